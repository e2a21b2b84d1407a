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

/// Whose act it is, in one word: in tokens, introspection, audit events and policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// A person, by herself.
    Human,
    /// A machine, by itself.
    Agent,
    /// A machine that acts for a person.
    AgentForHuman,
}

impl Mark {
    /// Of an authority and those who act for it.
    pub fn of(subject: &Actor, actors: &[AgentId]) -> Self {
        match (subject, actors.is_empty()) {
            (Actor::Human(_), true) => Self::Human,
            (Actor::Human(_), false) => Self::AgentForHuman,
            (Actor::Agent(_), _) => Self::Agent,
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Agent => "agent",
            Self::AgentForHuman => "agent_for_human",
        }
    }
}

/// The key that whoever presents a token must prove to hold: the token's `cnf` (RFC 7800).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyBinding {
    /// `jkt`: the RFC 7638 thumbprint of a DPoP key (RFC 9449 section 6), base64url.
    #[serde(rename = "jkt")]
    Dpop(String),
    /// `x5t#S256`: the SHA-256 digest of a client certificate (RFC 8705 section 3.1), base64url.
    #[serde(rename = "x5t#S256")]
    Certificate(String),
}

/// The verified bearer of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant that the grant belongs to.
    pub tenant: TenantId,
    /// Whose authority it is.
    pub subject: Actor,
    /// Who acts for the subject (RFC 8693 `act`), the one that presents the token first. Empty: the subject acts.
    pub actors: Vec<AgentId>,
    /// The OAuth client that presented the token.
    pub client: ClientId,
    /// The sign-in session the token is bound to (an agent's token has one of its own).
    pub session: SessionId,
    /// The delegation that the token was issued under.
    pub grant: GrantId,
    /// The delegations that this one was made out of; it ends with any of them.
    pub ancestors: Vec<GrantId>,
    /// The token's `jti`.
    pub token: TokenId,
    /// What the token allows.
    pub scopes: ScopeSet,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// Whose key must be proved with each request; absent: a bearer token.
    pub bound_to: Option<KeyBinding>,
}

impl Principal {
    /// Human, agent, or agent for a human.
    pub fn mark(&self) -> Mark {
        Mark::of(&self.subject, &self.actors)
    }

    /// Who acts: the last agent of the chain, or the subject itself.
    pub fn acting(&self) -> Actor {
        self.actors.first().map_or_else(|| self.subject.clone(), |agent| Actor::Agent(agent.clone()))
    }

    /// On whose behalf, the nearest first and the subject last; empty where the subject itself acts.
    pub fn on_behalf_of(&self) -> Vec<Actor> {
        let others = self.actors.iter().skip(1).cloned().map(Actor::Agent);
        let subject = (!self.actors.is_empty()).then(|| self.subject.clone());
        others.chain(subject).collect()
    }

    /// What an MCP session, stream, task or elicitation is bound to: the same person or agent of
    /// the same tenant through the same client and sign-in session. A refreshed token keeps it.
    pub fn binding(&self) -> Binding {
        Binding {
            tenant: self.tenant.clone(),
            subject: self.subject.clone(),
            actors: self.actors.clone(),
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
    /// Who acts for it.
    pub actors: Vec<AgentId>,
    /// The OAuth client.
    pub client: ClientId,
    /// The sign-in session.
    pub session: SessionId,
}
