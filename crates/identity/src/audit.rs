//! Audit events of signing in and out. Each is durable before the response leaves.

use std::collections::BTreeMap;

use sallyport_model::{
    Actor, AuditEvent, EventId, EventKind, TenantId,
    event::{DecisionFacts, Source, Who},
};
use sallyport_storage::{BrowserSession, Person};
use serde_json::json;

use crate::{Identity, IdentityError};

const LONGEST_CLAIM: usize = 128;

/// A claimed login as it may stand in the log: short, and without what could forge a line.
fn bounded(claim: &str) -> String {
    claim.chars().take(LONGEST_CLAIM).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A sentence as it may stand in the log: bounded, and without what could forge a line.
pub(crate) fn told(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl Identity {
    pub(crate) async fn record(&self, event: AuditEvent) -> Result<(), IdentityError> {
        self.0.deps.recorder.record(event).await?;
        Ok(())
    }

    pub(crate) fn event(&self, kind: EventKind, source: Source) -> AuditEvent {
        let now = self.now();
        let mut event = AuditEvent::new(kind, EventId::mint(now, self.rng()), now);
        event.source = Some(source);
        event
    }

    fn event_of(
        &self,
        kind: EventKind,
        source: Source,
        person: &Person,
        session: Option<&BrowserSession>,
    ) -> AuditEvent {
        let mut event = self.event(kind, source);
        event.tenant = Some(person.tenant.clone());
        event.who = Some(Who {
            subject: Actor::Human(person.id.clone()),
            on_behalf_of: Vec::new(),
            client: None,
            session: session.map(|session| session.id.clone()),
            grant: None,
            token: None,
        });
        event
    }

    /// Somebody proved who she is.
    pub(crate) async fn record_signed_in(
        &self,
        source: Source,
        person: &Person,
        session: &BrowserSession,
    ) -> Result<(), IdentityError> {
        let mut event = self.event_of(EventKind::SignedIn, source, person, Some(session));
        event.facts.insert("methods".to_owned(), json!(session.methods));
        if let Some(provider) = &session.provider {
            event.facts.insert("connection".to_owned(), json!(provider.connection));
        }
        self.record(event).await
    }

    /// Somebody did not. `claimed` is what the form said; `tenant` is that of the person with that
    /// login, where there is one.
    pub(crate) async fn record_refused(
        &self,
        source: Source,
        claimed: Option<&str>,
        tenant: Option<TenantId>,
        code: &str,
    ) -> Result<(), IdentityError> {
        let mut event = self.event(EventKind::SignInRefused, source);
        event.tenant = tenant;
        event.claimed = claimed.map(|login| BTreeMap::from([("login".to_owned(), bounded(login))]));
        event.decision = Some(DecisionFacts { allowed: false, code: code.to_owned(), needed: None });
        self.record(event).await
    }

    /// Counts a refusal that is one of many, so that a flood of them does not fill the log.
    pub(crate) fn count_refused(&self, source: &Source, claimed: Option<&str>, code: &'static str) {
        let claimed = claimed.map(|login| ("login".to_owned(), bounded(login)));
        self.0.deps.strangers.count(source, code, "", claimed.into_iter().collect(), self.now());
    }

    /// Something that a person did: [`EventKind::SignedOut`], [`EventKind::Revoked`], or a change of her
    /// passkeys. There is no session yet where she enrols one while signing in.
    pub(crate) async fn record_done(
        &self,
        kind: EventKind,
        source: Source,
        person: &Person,
        session: Option<&BrowserSession>,
        facts: &[(&str, &str)],
    ) -> Result<(), IdentityError> {
        let mut event = self.event_of(kind, source, person, session);
        event.facts = facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.record(event).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_short_and_holds_no_control_characters() {
        assert_eq!(bounded("al\nice"), "al\u{fffd}ice");
        assert_eq!(bounded(&"é".repeat(1000)).chars().count(), 128);
    }
}
