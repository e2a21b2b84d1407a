//! What a verified event does. It can end access and never gives any.
//!
//! Effects come first, then the record, then the mark that says that the token was acted upon: whatever stops
//! in between is done again when the transmitter comes again, and doing it again changes nothing more.

use std::time::Duration;

use sallyport_model::{
    Actor, AuditEvent, EventId, EventKind, SessionId, Timestamp,
    event::{Source, Who},
};
use sallyport_oauth::signals::{
    Effect, Event, SecurityEvent, Subject, SubjectId, delivery::ErrorCode, event::StreamStatus,
};
use sallyport_storage::{
    BrowserSession, Digest, Person, ProviderSessions, RevocationSubject, SignalStream, StoreError,
};
use serde_json::{Value, json};

use super::{
    settings::StreamSettings,
    whom::{Whom, format},
};
use crate::{Identity, IdentityError, audit::told, session::sha256};

/// Under which ids of tokens are remembered.
const SEEN: &str = "security event";
/// Further than any two clocks are apart.
const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);

/// What became of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Acted upon, recorded and remembered.
    Done,
    /// It was seen before; nothing was done.
    Again,
    /// Not taken.
    Refused(ErrorCode),
}

/// What an event did, for the log.
struct Done {
    /// A stable word.
    effect: &'static str,
    why: Option<&'static str>,
    sessions: Vec<SessionId>,
    person: Option<Person>,
}

impl Done {
    fn nothing(why: &'static str) -> Self {
        Self { effect: "none", why: Some(why), sessions: Vec::new(), person: None }
    }
}

/// What an event said about the stream.
#[derive(Default)]
struct Noted {
    verified_at: Option<Timestamp>,
    fault: Option<String>,
}

impl Identity {
    /// Acts upon a verified token. An error means that not all of it was done: the transmitter must send it again.
    pub(super) async fn take_set(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        set: &SecurityEvent,
        source: Option<&Source>,
    ) -> Result<Taken, IdentityError> {
        let id = token_id(stream, &set.jti);
        if self.was_seen(SEEN, &id).await? {
            return Ok(Taken::Again);
        }
        let mut noted = Noted::default();
        for event in &set.events {
            if event.effect() == Effect::Stream {
                if let Some(refused) = self.note(settings, set, event, &mut noted) {
                    return Ok(Taken::Refused(refused));
                }
                let effect = Done { effect: "stream_noted", ..Done::nothing(event_word(event)) };
                self.record_signal(stream, set, event, &effect, source).await?;
                continue;
            }
            for done in self.act(stream, settings, set, event).await? {
                self.record_signal(stream, set, event, &done, source).await?;
            }
        }
        self.mark_seen(SEEN, &id, set.remember_until).await?;
        self.store().note_stream(&stream.id, noted.verified_at, Some(self.now()), noted.fault.as_deref()).await?;
        Ok(Taken::Done)
    }

    /// Whether a token was marked. Looks without leaving a mark: what is written is over already.
    pub(super) async fn was_seen(&self, purpose: &str, id: &Digest) -> Result<bool, IdentityError> {
        let now = self.now();
        Ok(!self.store().use_once(purpose, id, now, now.minus(LONG_AGO)).await?)
    }

    /// Marks a token as acted upon.
    pub(super) async fn mark_seen(&self, purpose: &str, id: &Digest, until: Timestamp) -> Result<(), IdentityError> {
        self.store().use_once(purpose, id, self.now(), until).await?;
        Ok(())
    }

    /// What an event about the stream itself says; a code where it must not be taken.
    fn note(
        &self,
        settings: &StreamSettings,
        set: &SecurityEvent,
        event: &Event,
        noted: &mut Noted,
    ) -> Option<ErrorCode> {
        if let Ok(Subject::Simple(SubjectId::Opaque(id))) = &set.subject
            && Some(id) != settings.stream_id.as_ref()
        {
            return Some(ErrorCode::InvalidRequest);
        }
        match event {
            Event::Verification { state: Some(state) } if Some(state) != settings.verification_state.as_ref() => {
                return Some(ErrorCode::InvalidState);
            }
            Event::Verification { .. } => noted.verified_at = Some(self.now()),
            Event::StreamUpdated { status: StreamStatus::Enabled, .. } => noted.fault = None,
            Event::StreamUpdated { status, reason } => {
                let reason = reason.as_deref().map(|reason| format!(": {}", told(reason))).unwrap_or_default();
                noted.fault = Some(format!("the transmitter made the stream {}{reason}", status.as_str()));
            }
            _ => {}
        }
        None
    }

    /// Does what an event demands, for everybody whom it means.
    async fn act(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        set: &SecurityEvent,
        event: &Event,
    ) -> Result<Vec<Done>, IdentityError> {
        let effect = event.effect();
        if let Effect::Nothing(why) = effect {
            return Ok(vec![Done::nothing(why)]);
        }
        let Ok(subject) = &set.subject else { return Ok(vec![Done::nothing("subject_not_readable")]) };
        let may_be_session = *event == Event::SessionRevoked;
        match (self.whom(stream, settings, subject, may_be_session).await?, effect) {
            (Whom::Nobody(why), _) => Ok(vec![Done::nothing(why)]),
            (Whom::People(people, _), Effect::EndAccount { purged }) => {
                let mut all = Vec::new();
                for person in people {
                    all.push(self.end_account(person, purged).await?);
                }
                Ok(all)
            }
            (Whom::Session(_), Effect::EndAccount { .. }) => Ok(vec![Done::nothing("names_no_person")]),
            (Whom::People(people, session), _) => {
                let mut all = Vec::new();
                for person in people {
                    let sessions = self.end_sessions(stream, &person, session.as_deref()).await?;
                    all.push(Done { effect: ended_word(effect), why: None, sessions, person: Some(person) });
                }
                Ok(all)
            }
            (Whom::Session(session), _) => {
                let sessions = self.end_session_at_provider(stream, &session).await?;
                Ok(vec![match sessions.is_empty() {
                    true => Done::nothing("no_such_subject"),
                    false => Done { effect: ended_word(effect), why: None, sessions, person: None },
                }])
            }
        }
    }

    /// Lets nobody in as this person, and ends all that she has.
    async fn end_account(&self, person: Person, purged: bool) -> Result<Done, IdentityError> {
        match self.store().set_disabled(&person.id, true).await {
            // Removed at this moment by somebody else; what she had is revoked all the same.
            Ok(()) | Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.revoke_person(&person).await?;
        self.settle_agents_of(&person.id, None).await?;
        let effect = if purged { "account_purged" } else { "account_disabled" };
        Ok(Done { effect, why: None, sessions: Vec::new(), person: Some(person) })
    }

    /// Ends everything of a person.
    pub(super) async fn revoke_person(&self, person: &Person) -> Result<(), IdentityError> {
        self.store().revoke(&RevocationSubject::User(person.id.clone()), self.now()).await?;
        Ok(())
    }

    /// Ends a person's sessions at the stream's connection, or that one, with every grant that stands on them,
    /// the grants of sessions that she has left too. A session whose id at the provider was never told may be
    /// the one that is meant, so it ends. A stream of no connection ends all that she has.
    async fn end_sessions(
        &self,
        stream: &SignalStream,
        person: &Person,
        session: Option<&str>,
    ) -> Result<Vec<SessionId>, IdentityError> {
        if stream.connection.is_none() && session.is_none() {
            self.revoke_person(person).await?;
            return Ok(Vec::new());
        }
        let connections = self.connections_of(stream).await?;
        let meant = |known: &BrowserSession| {
            known.provider.as_ref().is_some_and(|provider| {
                let same = match (session, &provider.session) {
                    (Some(meant), Some(theirs)) => meant == theirs,
                    _ => true,
                };
                same && connections.contains(&provider.connection)
            })
        };
        let now = self.now();
        let store = self.store();
        let mut ended = Vec::new();
        for known in store.browser_sessions(&person.tenant, Some(&person.id), now).await? {
            if meant(&known) {
                store.revoke(&RevocationSubject::Session(known.id.clone()), now).await?;
                ended.push(known.id);
            }
        }
        for grant in store.grants_of(&person.tenant, &Actor::Human(person.id.clone()), now).await? {
            match store.browser_session_by_id(&grant.session).await? {
                Some(known) if !meant(&known) => {}
                Some(_) => {
                    store.revoke(&RevocationSubject::Session(grant.session.clone()), now).await?;
                    if !ended.contains(&grant.session) {
                        ended.push(grant.session);
                    }
                }
                // Nobody knows any more where that session began.
                None => drop(store.revoke(&RevocationSubject::Grant(grant.id), now).await?),
            }
        }
        Ok(ended)
    }

    /// Ends whatever stands on a session at the provider, whoever has it.
    async fn end_session_at_provider(
        &self,
        stream: &SignalStream,
        session: &str,
    ) -> Result<Vec<SessionId>, IdentityError> {
        let mut ended = Vec::new();
        for connection in self.connections_of(stream).await? {
            let which = ProviderSessions { connection, subject: None, session: Some(session.to_owned()) };
            ended.extend(self.store().revoke_provider_sessions(&which, self.now()).await?);
        }
        Ok(ended)
    }

    async fn record_signal(
        &self,
        stream: &SignalStream,
        set: &SecurityEvent,
        event: &Event,
        done: &Done,
        source: Option<&Source>,
    ) -> Result<(), IdentityError> {
        let kind = if done.effect == "none" || done.effect == "stream_noted" {
            EventKind::Administered
        } else {
            EventKind::Revoked
        };
        let subject = set.subject.as_ref().map(format).unwrap_or("none");
        let mut facts: Vec<(&str, Value)> = vec![
            ("action", json!("signals.event")),
            ("stream", json!(stream.id)),
            ("jti", json!(told(&set.jti))),
            ("event", json!(told(event.name()))),
            ("subject_format", json!(subject)),
            ("effect", json!(done.effect)),
        ];
        facts.extend(set.txn.as_ref().map(|txn| ("txn", json!(told(txn)))));
        facts.extend(done.why.map(|why| ("why", json!(why))));
        facts.extend((!done.sessions.is_empty()).then(|| ("sessions", json!(done.sessions))));
        self.record_of_stream(kind, stream, done.person.as_ref(), facts, source).await
    }

    /// Records what a transmitter made happen, or could not.
    pub(super) async fn record_of_stream(
        &self,
        kind: EventKind,
        stream: &SignalStream,
        person: Option<&Person>,
        facts: Vec<(&str, Value)>,
        source: Option<&Source>,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        let mut entry = AuditEvent::new(kind, EventId::mint(now, self.rng()), now);
        entry.source = source.cloned();
        entry.tenant = Some(stream.tenant.clone());
        entry.who = person.map(|person| Who {
            subject: Actor::Human(person.id.clone()),
            on_behalf_of: Vec::new(),
            client: None,
            session: None,
            grant: None,
            token: None,
        });
        entry.facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.record(entry).await
    }
}

/// An id of a token, of one stream.
pub(super) fn token_id(stream: &SignalStream, jti: &str) -> Digest {
    sha256(&format!("{}\0{jti}", stream.id))
}

fn ended_word(effect: Effect) -> &'static str {
    if effect == Effect::Reauthenticate { "must_sign_in_again" } else { "sessions_ended" }
}

fn event_word(event: &Event) -> &'static str {
    if matches!(event, Event::Verification { .. }) { "verified" } else { "status_changed" }
}
