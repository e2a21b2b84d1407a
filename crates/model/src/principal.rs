//! Who acts. Authority is never an `Option`: code that holds a [`Principal`] holds a verified one.

use serde::{Deserialize, Serialize};

use crate::{AgentId, ClientId, GrantId, ScopeSet, SessionId, TenantId, Timestamp, TokenId, UserId};

/// A person or a machine; the two are never mistaken for one another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    /// A person.
    Human(UserId),
    /// A non-human principal with credentials of its own.
    Agent(AgentId),
}

/// The tag that every audit event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    Human,
    /// A non-human principal.
    Agent,
}

impl Actor {
    /// Human or agent.
    pub fn kind(&self) -> PrincipalKind {
        match self {
            Self::Human(_) => PrincipalKind::Human,
            Self::Agent(_) => PrincipalKind::Agent,
        }
    }
    /// The id as a string, as in a token's `sub`.
    pub fn id(&self) -> &str {
        match self {
            Self::Human(id) => id.as_str(),
            Self::Agent(id) => id.as_str(),
        }
    }
}

/// The verified bearer of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant that the grant belongs to.
    pub tenant: TenantId,
    /// Whose authority it is.
    pub subject: Actor,
    /// The OAuth client that presented the token.
    pub client: ClientId,
    /// The sign-in session the token is bound to (an agent's token has one of its own).
    pub session: SessionId,
    /// The delegation that the token was issued under.
    pub grant: GrantId,
    /// The token's `jti`.
    pub token: TokenId,
    /// What the token allows.
    pub scopes: ScopeSet,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// When the token ends.
    pub expires_at: Timestamp,
}

impl Principal {
    /// What an MCP session, stream, task or elicitation is bound to: the same person or agent of
    /// the same tenant through the same client and sign-in session. A refreshed token keeps it.
    pub fn binding(&self) -> Binding {
        Binding {
            tenant: self.tenant.clone(),
            subject: self.subject.clone(),
            client: self.client.clone(),
            session: self.session.clone(),
        }
    }
}

/// The identity that state at the gate belongs to. Compare whole; never by a part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The tenant.
    pub tenant: TenantId,
    /// The person or agent.
    pub subject: Actor,
    /// The OAuth client.
    pub client: ClientId,
    /// The sign-in session.
    pub session: SessionId,
}
