//! What happened: CAEP 1.0, RISC 1.0 and the Shared Signals Framework's own events.
//!
//! Reading an event decides nothing; [`Event::effect`] says what a receiver that wants access to end
//! should at least do. What is not known, and what would give access back, does nothing, and says so.

use serde_json::{Map, Value};

use super::SignalFault;
use crate::oidc::foreign::shown;

/// The prefix of CAEP's event types.
pub const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
/// The prefix of RISC's event types.
pub const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
/// The prefix of the framework's own event types.
pub const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// The event types to ask a transmitter for: those with an effect.
pub const WANTED: [&str; 8] = [
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
    "https://schemas.openid.net/secevent/caep/event-type/credential-change",
    "https://schemas.openid.net/secevent/caep/event-type/token-claims-change",
    "https://schemas.openid.net/secevent/caep/event-type/assurance-level-change",
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
    "https://schemas.openid.net/secevent/risc/event-type/account-purged",
    "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked",
    "https://schemas.openid.net/secevent/risc/event-type/credential-compromise",
];

/// What changed about a credential (CAEP section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialChange {
    /// There is a new one.
    Create,
    /// It counts no longer.
    Revoke,
    /// It is another now.
    Update,
    /// It is gone.
    Delete,
}

/// The state of a stream (Shared Signals Framework section 8.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStatus {
    /// Events are sent.
    Enabled,
    /// Events are held.
    Paused,
    /// Events are dropped.
    Disabled,
}

impl StreamStatus {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// The status of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Paused, Self::Disabled].into_iter().find(|status| status.as_str() == name)
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// CAEP: a session, or all of a person's, ended.
    SessionRevoked,
    /// CAEP: a credential changed.
    CredentialChange {
        /// `credential_type`.
        credential: String,
        /// `change_type`.
        change: CredentialChange,
    },
    /// CAEP: claims of issued tokens are others now.
    TokenClaimsChange {
        /// The claims with their new values.
        claims: Map<String, Value>,
    },
    /// CAEP: how well the person is known changed.
    AssuranceLevelChange {
        /// What the levels are of.
        namespace: Option<String>,
        /// The level now.
        current: String,
        /// The level before.
        previous: Option<String>,
        /// `increase` is `Some(true)`, `decrease` `Some(false)`.
        increased: Option<bool>,
    },
    /// RISC: the account may not be used.
    AccountDisabled {
        /// `hijacking`, `bulk-account` or another.
        reason: Option<String>,
    },
    /// RISC: the account is gone for good.
    AccountPurged,
    /// RISC: the account may be used again.
    AccountEnabled,
    /// RISC: an address or number changed.
    IdentifierChanged {
        /// `new-value`.
        new_value: Option<String>,
    },
    /// RISC: a credential is known to others.
    CredentialCompromise {
        /// `credential_type`.
        credential: String,
    },
    /// SSF: the answer to our verification request, or the transmitter's own test.
    Verification {
        /// What we sent with the request.
        state: Option<String>,
    },
    /// SSF: the transmitter changed the stream's state.
    StreamUpdated {
        /// The new state.
        status: StreamStatus,
        /// Why.
        reason: Option<String>,
    },
    /// One that is not acted upon.
    Other {
        /// Its type.
        uri: String,
    },
}

/// What a receiver should at least do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// End the subject's sessions and all that hangs on them; the person may sign in again.
    EndSessions,
    /// End everything of the person and let her not come back by this account until the provider's own
    /// sign-in or SCIM brings her.
    EndAccount {
        /// The account is gone for good.
        purged: bool,
    },
    /// Whatever was decided from claims must be asked again: end sessions, so that the next sign-in brings
    /// the new ones.
    Reauthenticate,
    /// It is about the stream.
    Stream,
    /// Nothing, for this reason.
    Nothing(&'static str),
}

impl Event {
    /// Reads the event `uri` with its `payload`.
    ///
    /// # Errors
    /// [`SignalFault::Event`] when a known event lacks what its definition demands. An event that ends
    /// access is read with what it has: `session-revoked` and the account events demand nothing.
    pub fn read(uri: &str, payload: &Map<String, Value>) -> Result<Self, SignalFault> {
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(shown);
        if let Some(name) = uri.strip_prefix(CAEP) {
            return Self::caep(name, uri, payload);
        }
        if let Some(name) = uri.strip_prefix(RISC) {
            return Ok(match name {
                "account-disabled" => Self::AccountDisabled { reason: text("reason") },
                "account-purged" => Self::AccountPurged,
                "account-enabled" => Self::AccountEnabled,
                "identifier-changed" => Self::IdentifierChanged { new_value: text("new-value") },
                "sessions-revoked" => Self::SessionRevoked,
                "credential-compromise" => {
                    Self::CredentialCompromise { credential: text("credential_type").unwrap_or_default() }
                }
                _ => Self::Other { uri: shown(uri) },
            });
        }
        match uri.strip_prefix(SSF) {
            Some("verification") => match payload.get("state") {
                None => Ok(Self::Verification { state: None }),
                Some(Value::String(state)) if state.len() <= 1024 => {
                    Ok(Self::Verification { state: Some(state.clone()) })
                }
                Some(_) => Err(SignalFault::Event { event: "verification", name: "state" }),
            },
            Some("stream-updated") => {
                let status = payload.get("status").and_then(Value::as_str).and_then(StreamStatus::named);
                let status = status.ok_or(SignalFault::Event { event: "stream-updated", name: "status" })?;
                Ok(Self::StreamUpdated { status, reason: text("reason") })
            }
            _ => Ok(Self::Other { uri: shown(uri) }),
        }
    }

    fn caep(name: &str, uri: &str, payload: &Map<String, Value>) -> Result<Self, SignalFault> {
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(shown);
        Ok(match name {
            "session-revoked" => Self::SessionRevoked,
            "credential-change" => {
                let fault = |name| SignalFault::Event { event: "credential-change", name };
                let change = match text("change_type").as_deref() {
                    Some("create") => CredentialChange::Create,
                    Some("revoke") => CredentialChange::Revoke,
                    Some("update") => CredentialChange::Update,
                    Some("delete") => CredentialChange::Delete,
                    _ => return Err(fault("change_type")),
                };
                let credential = text("credential_type").ok_or(fault("credential_type"))?;
                Self::CredentialChange { credential, change }
            }
            "token-claims-change" => {
                let claims = payload.get("claims").and_then(Value::as_object);
                let fault = SignalFault::Event { event: "token-claims-change", name: "claims" };
                Self::TokenClaimsChange { claims: claims.ok_or(fault)?.clone() }
            }
            "assurance-level-change" => {
                let fault = SignalFault::Event { event: "assurance-level-change", name: "current_level" };
                Self::AssuranceLevelChange {
                    namespace: text("namespace"),
                    current: text("current_level").ok_or(fault)?,
                    previous: text("previous_level"),
                    increased: match text("change_direction").as_deref() {
                        Some("increase") => Some(true),
                        Some("decrease") => Some(false),
                        _ => None,
                    },
                }
            }
            _ => Self::Other { uri: shown(uri) },
        })
    }

    /// What a receiver should at least do.
    pub fn effect(&self) -> Effect {
        match self {
            Self::SessionRevoked => Effect::EndSessions,
            Self::AccountDisabled { .. } => Effect::EndAccount { purged: false },
            Self::AccountPurged => Effect::EndAccount { purged: true },
            Self::CredentialChange { change: CredentialChange::Create, .. } => {
                Effect::Nothing("a new credential makes no earlier sign-in worse")
            }
            Self::CredentialChange { .. } | Self::CredentialCompromise { .. } => Effect::EndSessions,
            Self::TokenClaimsChange { .. } => Effect::Reauthenticate,
            // Without a direction it may have become less.
            Self::AssuranceLevelChange { increased: Some(true), .. } => {
                Effect::Nothing("a higher level takes nothing away")
            }
            Self::AssuranceLevelChange { .. } => Effect::Reauthenticate,
            Self::AccountEnabled => Effect::Nothing("an event gives no access back: the next sign-in or SCIM does"),
            Self::IdentifierChanged { .. } => {
                Effect::Nothing("addresses change by the next sign-in or SCIM, never by an event")
            }
            Self::Verification { .. } | Self::StreamUpdated { .. } => Effect::Stream,
            Self::Other { .. } => Effect::Nothing("the event's type is not acted upon"),
        }
    }

    /// The event's short name, for the log.
    pub fn name(&self) -> &str {
        match self {
            Self::SessionRevoked => "session-revoked",
            Self::CredentialChange { .. } => "credential-change",
            Self::TokenClaimsChange { .. } => "token-claims-change",
            Self::AssuranceLevelChange { .. } => "assurance-level-change",
            Self::AccountDisabled { .. } => "account-disabled",
            Self::AccountPurged => "account-purged",
            Self::AccountEnabled => "account-enabled",
            Self::IdentifierChanged { .. } => "identifier-changed",
            Self::CredentialCompromise { .. } => "credential-compromise",
            Self::Verification { .. } => "verification",
            Self::StreamUpdated { .. } => "stream-updated",
            Self::Other { uri } => uri,
        }
    }
}
