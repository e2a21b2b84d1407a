//! Typed identifiers. Two ids of different nouns never mix, and none is ever empty.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Rng;

/// Why a string is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {noun}: {why}")]
pub struct BadId {
    /// The noun that was expected, such as `upstream name`.
    pub noun: &'static str,
    /// What was given (at most 80 characters of it).
    pub value: String,
    /// What is wrong with it.
    pub why: &'static str,
}

fn bad(noun: &'static str, value: &str, why: &'static str) -> BadId {
    BadId { noun, value: value.chars().take(80).collect(), why }
}

fn plain(noun: &'static str, value: &str) -> Result<(), BadId> {
    if value.is_empty() {
        return Err(bad(noun, value, "it is empty"));
    }
    if value.len() > 512 {
        return Err(bad(noun, value, "it is longer than 512 bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err(bad(noun, value, "it holds a control character"));
    }
    Ok(())
}

fn slug(noun: &'static str, value: &str) -> Result<(), BadId> {
    plain(noun, value)?;
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if value.len() > 63 || !value.chars().all(ok) || value.starts_with('-') || value.ends_with('-') {
        return Err(bad(noun, value, "use 1 to 63 of a-z, 0-9 and inner hyphens"));
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps `value`.
            pub fn new(value: impl Into<String>) -> Result<Self, BadId> {
                let value = value.into();
                $check($noun, &value)?;
                Ok(Self(value))
            }

            /// The id as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(value: String) -> Result<Self, BadId> {
                Self::new(value)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(value: &str) -> Result<Self, BadId> {
                Self::new(value)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! minted {
    ($($name:ident),*) => { $(
        impl $name {
            /// Mints a fresh unguessable id: 128 random bits in lowercase hexadecimal.
            pub fn mint(rng: &dyn Rng) -> Self {
                let mut bytes = [0u8; 16];
                rng.fill(&mut bytes);
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid().simple().to_string())
            }
        }
    )* };
}

id!(/** A customer of the deployment. */ TenantId, "tenant id", slug);
id!(/** A person, unique in the deployment. */ UserId, "user id", plain);
id!(/** A non-human principal. */ AgentId, "agent id", plain);
id!(/** An OAuth client: registered id, or the https URL of a metadata document. */ ClientId, "client id", plain);
id!(/** The name of an upstream; the last segment of `/mcp/NAME`. */ UpstreamName, "upstream name", slug);
id!(/** A sign-in session at the authorization server (`sid`). */ SessionId, "session id", plain);
id!(/** A delegation by one principal to one client (one refresh family). */ GrantId, "grant id", plain);
id!(/** An access token (`jti`). */ TokenId, "token id", plain);
id!(/** One JSON-RPC request on its way through the gate. */ CallId, "call id", plain);
id!(/** A legacy-era MCP session at the gate (`MCP-Session-Id`). */ McpSessionId, "MCP session id", plain);
id!(/** A data-encryption key of the audit log. */ DataKeyId, "data key id", plain);
id!(/** A token-signing key (`kid`). */ SigningKeyId, "signing key id", plain);
id!(/** A credential of an agent. */ CredentialId, "credential id", plain);
id!(/** A tenant's connection to an identity provider. */ ConnectionId, "connection id", plain);
id!(/** A tenant's SCIM client. */ ScimClientId, "SCIM client id", plain);
id!(/** A stream of security events (OpenID SSF) that a tenant's transmitter sends. */ SignalStreamId, "stream id", plain);
id!(/** A token of the admin API. */ ApiTokenId, "API token id", plain);
minted!(
    ApiTokenId,
    CredentialId,
    ConnectionId,
    ScimClientId,
    SignalStreamId,
    UserId,
    AgentId,
    SessionId,
    GrantId,
    TokenId,
    CallId,
    McpSessionId,
    DataKeyId,
    SigningKeyId,
    ClientId
);

/// An audit event's id: a UUID version 7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventId(pub uuid::Uuid);

impl EventId {
    /// Mints an id for an event at `now`.
    pub fn mint(now: crate::Timestamp, rng: &dyn Rng) -> Self {
        let mut bytes = [0u8; 10];
        rng.fill(&mut bytes);
        Self(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &bytes).into_uuid())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_name_is_a_slug() {
        for ok in ["files", "a", "a-b-9"] {
            assert!(UpstreamName::new(ok).is_ok(), "{ok}");
        }
        for no in ["", "-a", "a-", "A", "a/b", "a.b", "é", &"a".repeat(64)] {
            assert!(UpstreamName::new(no).is_err(), "{no}");
        }
    }

    #[test]
    fn an_id_refuses_control_characters_also_when_deserialised() {
        assert!(ClientId::new("a\nb").is_err());
        assert!(serde_json::from_str::<ClientId>("\"\"").is_err());
    }
}
