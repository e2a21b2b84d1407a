//! Audit events of the authorization server. Each is durable before its response leaves; what cannot
//! be recorded does not happen.

use std::collections::BTreeMap;

use sallyport_model::{
    Actor, AuditEvent, ClientId, CredentialId, EventId, EventKind, GrantId, Mark, TenantId, Timestamp,
    event::{DecisionFacts, Who},
};
use sallyport_storage::{AgentCredential, Grant, RevocationSubject};
use sallyport_web::Caller;
use serde_json::{Value, json};

use crate::{
    AuthServerError,
    error::{Ended, Refusal, failed, json as error_json},
    server::Server,
};

const LONGEST_CLAIM: usize = 200;

/// What whoever sent a request has proved so far, which says how its refusal is recorded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing: anybody can name a client that exists. Recorded one by one up to a limit.
    #[default]
    Stranger,
    /// That it is its client, or that it holds a grant that is good. Recorded one by one.
    Proved,
    /// That it holds something spent whose replay is on record already. Only counted.
    Repeated,
    /// That it speaks DPoP and was told the nonce to do it with, which is no refusal. Only counted.
    Expected,
}

/// What is known of a request while it is worked on; goes into the event if it is refused.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) standing: Standing,
    /// When the request came, before anything was judged; absent where nothing comes of it.
    pub(crate) started: Option<Timestamp>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) who: Option<Who>,
    /// A client that exists; whether it proved to be that client is another question.
    pub(crate) client: Option<ClientId>,
    /// The agent's credential that proved the client.
    pub(crate) credential: Option<CredentialId>,
    /// Whatever the request said of itself.
    pub(crate) claimed: BTreeMap<String, String>,
    pub(crate) facts: BTreeMap<String, Value>,
}

impl Known {
    /// From when what is made counts: whatever was revoked since then ends it, though it was judged good before.
    pub(crate) fn since(&self, server: &Server) -> Timestamp {
        self.started.unwrap_or_else(|| server.now())
    }

    /// Notes an unverified claim, shortened and without control characters.
    pub(crate) fn claim(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            let value = value.chars().take(LONGEST_CLAIM).map(|c| if c.is_control() { '\u{fffd}' } else { c });
            self.claimed.insert(name.to_owned(), value.collect());
        }
    }

    /// Notes a fact.
    pub(crate) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// Notes by which credential an agent proved itself, or would have if that were alive.
    pub(crate) fn proved_by(&mut self, credential: &AgentCredential) {
        self.credential = Some(credential.id.clone());
        self.fact("credential", credential.id.as_str());
        self.fact("credential_kind", credential.kind.word());
    }

    /// Notes whose grant it is about.
    pub(crate) fn grant(&mut self, grant: &Grant) {
        self.tenant = Some(grant.tenant.clone());
        self.who = Some(who(grant));
        self.fact("resource", grant.resource.as_str());
        self.fact("mark", Mark::of(&grant.subject, &grant.actors).as_str());
        if !grant.actors.is_empty() {
            self.fact("chain", json!(grant.actors));
        }
        if let Some(parent) = grant.ancestors.first() {
            self.fact("parent_grant", parent.as_str());
        }
    }
}

/// The principal of a grant: whoever acts under it, and on whose behalf.
pub(crate) fn who(grant: &Grant) -> Who {
    let mut chain = grant.actors.iter().cloned().map(Actor::Agent).chain([grant.subject.clone()]);
    Who {
        subject: chain.next().unwrap_or_else(|| grant.subject.clone()),
        on_behalf_of: chain.collect(),
        client: Some(grant.client.clone()),
        session: Some(grant.session.clone()),
        grant: Some(grant.id.clone()),
        token: None,
    }
}

impl Server {
    /// An event of `kind` with what is known.
    pub(crate) fn event(&self, kind: EventKind, caller: &Caller, known: &Known) -> AuditEvent {
        let now = self.now();
        let mut event = AuditEvent::new(kind, EventId::mint(now, self.rng.as_ref()), now);
        event.source = Some(caller.source());
        event.tenant.clone_from(&known.tenant);
        event.who.clone_from(&known.who);
        event.facts.clone_from(&known.facts);
        if let (None, Some(client)) = (&known.who, &known.client) {
            event.facts.insert("client".to_owned(), json!(client));
        }
        if known.who.is_none() && !known.claimed.is_empty() {
            event.claimed = Some(known.claimed.clone());
        }
        event
    }

    /// Records; `Ok` means durable.
    pub(crate) async fn record(&self, event: AuditEvent) -> Result<(), AuthServerError> {
        self.recorder.record(event).await?;
        Ok(())
    }

    /// Counts what would fill the log if each were recorded: one event for many.
    pub(crate) fn count(&self, caller: &Caller, known: &Known, code: &'static str) {
        self.strangers.count(&caller.source(), code, "", known.claimed.clone(), self.now());
    }

    /// Records a refusal. A stranger's is recorded one by one only up to a limit per source; beyond it,
    /// it is counted.
    pub(crate) async fn record_refusal(
        &self,
        kind: EventKind,
        caller: &Caller,
        known: &Known,
        refusal: &Refusal,
    ) -> Result<(), AuthServerError> {
        let one_by_one = match known.standing {
            Standing::Proved => true,
            Standing::Stranger => self.limits.records_refusal(caller),
            Standing::Repeated | Standing::Expected => false,
        };
        if !one_by_one {
            self.count(caller, known, refusal.reason);
            return Ok(());
        }
        let mut event = self.event(kind, caller, known);
        event.decision = Some(DecisionFacts { allowed: false, code: refusal.reason.to_owned(), needed: None });
        event.facts.insert("error".to_owned(), json!(refusal.error.code));
        self.record(event).await
    }

    /// Answers a request that ended early as JSON; a refusal is recorded first, as `kind`.
    pub(crate) async fn end(
        &self,
        kind: EventKind,
        caller: &Caller,
        known: &Known,
        ended: Ended,
    ) -> axum::response::Response {
        let failure = match ended {
            Ended::Refused(refusal) => match self.record_refusal(kind, caller, known, &refusal).await {
                Ok(()) => return error_json(refusal.error),
                Err(error) => error,
            },
            Ended::Failed(error) => error,
        };
        failed(&failure)
    }

    /// Records that `what` was presented again after it had been spent; it has been revoked with all that
    /// it gave.
    pub(crate) async fn record_replay(
        &self,
        caller: &Caller,
        known: &mut Known,
        what: &'static str,
    ) -> Result<(), AuthServerError> {
        known.fact("what", what);
        self.record(self.event(EventKind::ReplayDetected, caller, known)).await
    }

    /// Revokes a grant with everything that came of it.
    pub(crate) async fn revoke_grant(&self, grant: &GrantId) -> Result<(), AuthServerError> {
        self.store.revoke(&RevocationSubject::Grant(grant.clone()), self.now()).await?;
        Ok(())
    }
}
