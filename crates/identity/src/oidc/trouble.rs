//! What goes wrong between us and a provider, and the page that it ends in.

use sallyport_oauth::oidc::OidcFault;
use sallyport_outbound::provider::ProviderError;
use sallyport_storage::{Connection, StoreError};
use sallyport_web::Caller;

use crate::{Identity, IdentityError, answer::Failure, federation::refused::Refused};

/// Why a step with a provider failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// What the provider says is refused.
    #[error(transparent)]
    Fault(#[from] OidcFault),
    /// Nothing came back from it.
    #[error("the {what} cannot be fetched: {why}")]
    Unreachable {
        /// Which of its endpoints.
        what: &'static str,
        /// As the network or the guard says.
        why: ProviderError,
    },
    /// It answered a `GET` with an error.
    #[error("the {what} cannot be fetched: the provider answered {status}")]
    Status {
        /// Which of its endpoints.
        what: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// Already as a page says it.
    #[error("{}", .0.what)]
    Refused(Refused),
    /// Ours.
    #[error(transparent)]
    Ours(#[from] IdentityError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Ours(error.into())
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Trouble {
    /// Whether the provider may answer otherwise in a moment.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Status { .. } => true,
            Self::Fault(fault) => matches!(fault, OidcFault::Document { .. }),
            Self::Refused(_) | Self::Ours(_) => false,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Fault(OidcFault::TokenEndpoint { error, .. }) if error == "invalid_client" => "oidc_invalid_client",
            Self::Fault(fault) => fault.code(),
            Self::Unreachable { .. } | Self::Status { .. } => "oidc_provider_unreachable",
            Self::Refused(refused) => refused.code,
            Self::Ours(_) => "internal_error",
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Fault(fault) => fault.remedy().map(sentence),
            Self::Unreachable { why: ProviderError::NotHttps(_), .. } => {
                Some("Use the provider's https address.".to_owned())
            }
            Self::Unreachable { .. } | Self::Status { .. } => Some(
                "Check that the identity provider is up, that the connection's issuer is right and that this server \
                 may reach it, then sign in again."
                    .to_owned(),
            ),
            Self::Refused(_) | Self::Ours(_) => None,
        }
    }

    /// Records it and makes its page.
    pub(super) async fn failure(self, identity: &Identity, caller: &Caller, connection: &Connection) -> Failure {
        let refused = match self {
            Self::Ours(error) => return error.into(),
            Self::Refused(refused) => refused,
            trouble => {
                let what = format!("{}: {trouble}.", connection.name);
                match trouble {
                    Self::Fault(OidcFault::State | OidcFault::StateMissing | OidcFault::Nonce) => {
                        Refused::again(trouble.code(), what)
                    }
                    _ => Refused::new(trouble.code(), what, trouble.remedy().as_deref()),
                }
            }
        };
        identity.refuse_federated(caller, Some(&connection.tenant), Some(&connection.id), refused).await
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
