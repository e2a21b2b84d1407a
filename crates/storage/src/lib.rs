//! What is kept, as traits; the backends implement them and no SQL is written anywhere else.
//!
//! There is no transaction handle to pass about: each method is one atomic, durable step in the
//! words of the domain (`consume_code`, `rotate_refresh`), so that what must not be torn apart
//! cannot be. A method that returns `Ok` has committed. Every backend passes `conformance.rs`.
//!
//! Tokens, codes and cookies are stored as SHA-256 digests only. Private keys and data keys are
//! sealed under the deployment's master key before they reach a file.

pub mod agents;
pub mod api_tokens;
pub mod assessments;
pub mod authorizations;
pub mod catalogue;
pub mod clients;
pub mod connections;
pub mod consents;
pub mod directory;
pub mod grants;
pub mod keys;
pub mod linked_accounts;
pub mod notices;
pub mod postgres;
pub mod provisioning;
pub mod revocations;
pub mod sessions;
pub mod signals;
pub mod sqlite;
pub mod tenants;

mod seal;
mod values;

#[cfg(test)]
mod conformance;

pub use agents::{Agent, AgentBounds, AgentCredential, AgentHours, Agents, CredentialKind, MOST_WORKLOADS, ScopeUse};
pub use api_tokens::{ApiRole, ApiToken, ApiTokens};
pub use assessments::{
    Admission, AdmissionDecision, Assessed, AssessmentOrigin, Assessments, RegisterEntry, RegisterEvent, Standing,
};
pub use authorizations::{Authorizations, CodeRecord, CodeUse, Parked, ParkedKind};
pub use catalogue::{Catalogue, Definition, DefinitionKind, PinChange, definitions_digest};
pub use clients::{ApplicationType, ClientAuthMethod, ClientRecord, ClientSource, Clients};
pub use connections::{Connection, ConnectionProtocol, Connections, Domain, DomainProof, Link};
pub use consents::{Consent, Consents};
pub use directory::{Directory, Lock, LockPolicy, Passkey, Person, PersonOrigin, Role};
pub use grants::{Grant, Grants, NewRefresh, Rotation};
pub use keys::{DataKey, Keys, SigningKeyRecord};
pub use linked_accounts::{LinkedAccount, LinkedAccounts};
pub use notices::Notices;
pub use postgres::PostgresStore;
pub use provisioning::{MemberChange, Provisioning, ScimChange, ScimClient, ScimKind, ScimResource};
pub use revocations::{Revocation, RevocationSubject, Revocations};
pub use sessions::{BrowserSession, BrowserSessions, ProviderSession, ProviderSessions, ProviderToken};
pub use signals::{SignalDelivery, SignalStream, Signals};
pub use sqlite::SqliteStore;
pub use tenants::{Tenant, TenantSettings, Tenants};

/// A SHA-256 digest of a bearer value; the value itself is never stored.
pub type Digest = [u8; 32];

/// Why a step did not happen. Nothing of it did.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The backend cannot be reached or its disk failed; whoever asked must deny. Where it is reached over a
    /// network, a commit whose answer was lost is this as well: the one case in which the step may have happened.
    /// Repeating it errs to the safe side.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Something with that identity exists already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// What the step is about is not there, or no longer alive.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// What is stored cannot be read back; never guess at it.
    #[error("stored {what} is damaged: {why}")]
    Damaged {
        /// The noun.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The files were written by a newer version of the product.
    #[error("the store has schema {found}, this version knows {known}: use a newer version of sallyport")]
    TooNew {
        /// The schema version found.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// The files were sealed under another master key.
    #[error("the store is sealed under another master key: start with the key that it was created with")]
    WrongMasterKey,
    /// The files lie where others could change them.
    #[error("{path} is not safe for a store: {why}")]
    Exposed {
        /// The file or directory.
        path: String,
        /// What is wrong, and the remedy.
        why: &'static str,
    },
}

/// Everything that is kept.
pub trait Store:
    Agents
    + ApiTokens
    + Assessments
    + Authorizations
    + BrowserSessions
    + Catalogue
    + Clients
    + Connections
    + Consents
    + Directory
    + Grants
    + Keys
    + LinkedAccounts
    + Notices
    + Provisioning
    + Revocations
    + Signals
    + Tenants
    + Send
    + Sync
{
}

impl<T> Store for T where
    T: Agents
        + ApiTokens
        + Assessments
        + Authorizations
        + BrowserSessions
        + Catalogue
        + Clients
        + Connections
        + Consents
        + Directory
        + Grants
        + Keys
        + LinkedAccounts
        + Notices
        + Provisioning
        + Revocations
        + Signals
        + Tenants
        + Send
        + Sync
{
}
