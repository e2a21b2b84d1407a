//! What can go wrong, by whose fault it is.

use sallyport_model::RecordError;
use sallyport_storage::StoreError;

/// Why something about an identity did not happen. A refused sign-in is not among these: it is an
/// answer.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The store failed; whoever asked must deny.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event could not be recorded, so what it tells of must not go on.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Too many passwords are being checked at once.
    #[error("the server is checking too many passwords at once; try again in a few seconds")]
    Busy,
    /// A password was refused before hashing; the caller's fault.
    #[error("the password {0}")]
    WeakPassword(&'static str),
    /// A login name was refused; the caller's fault.
    #[error("the login {0}")]
    BadLogin(&'static str),
    /// No such person; the caller's fault.
    #[error("there is no such person")]
    UnknownPerson,
    /// The configuration asks for passkeys where browsers refuse them; the operator's fault.
    #[error("passkeys need a host name, and the public URL `{0}` has none: set public_url to a name such as localhost")]
    PasskeysImpossible(String),
    /// A connection's settings cannot be read; the operator's fault.
    #[error("the settings of connection {0} are not usable: {1}")]
    Settings(String, String),
    /// What is needed of an identity provider cannot be had at this moment; the provider's fault.
    #[error("the identity provider: {0}")]
    Provider(String),
    /// Our keys for a SAML provider cannot be made or used; the operator's fault.
    #[error("the SAML keys of the connection: {0}")]
    SamlKeys(sallyport_saml::SamlFault),
    /// What is asked of an agent cannot be; the caller's fault.
    #[error("{field}: {what}")]
    Agent {
        /// Which part of what was asked: `scopes`, `owner`, `credential` and so on.
        field: &'static str,
        /// What is wrong, and the remedy.
        what: String,
    },
    /// A computation that cannot fail did.
    #[error("{0} failed")]
    Internal(&'static str),
}
