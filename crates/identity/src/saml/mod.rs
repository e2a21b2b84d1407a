//! Signing in at a SAML 2.0 identity provider: the service provider's HTTP half.
//!
//! | module | what for |
//! |---|---|
//! | `start` | sends somebody off with a signed request |
//! | `acs` | takes the provider's answer, twice posted |
//! | `login` | what is demanded of it, and who it is about |
//! | `logout` | single logout, asked for by either side |
//! | `theirs`, `ours` | metadata |
//! | `subject` | a `NameID` as it is kept |
//! | `keys`, `pages` | our keys; pages that pass something on |
//!
//! Messages are verified by the `saml` crate. What this module adds is everything with a memory: which request a
//! browser began, which message was used, what a provider's metadata were. It never believes a `RelayState`: that is
//! a handle of ours, or else at most one of our own paths.

mod acs;
mod fault;
mod keys;
mod login;
mod logout;
mod ours;
mod pages;
mod start;
mod subject;
mod theirs;

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sallyport_model::ConnectionId;
use sallyport_saml::ServiceProvider;
use sallyport_storage::Connection;
use sallyport_web::Caller;

pub use keys::{SamlKeyStep, new_saml_keys, rotate_saml_keys};
pub(crate) use logout::offer;
pub(crate) use start::start;

use crate::{
    Identity, IdentityError,
    answer::Failure,
    federation::refused::Refused,
    settings::{ConnectionSettings, SamlSettings},
};

/// A response with a large attribute statement, in base64, percent-encoded.
const BODY_LIMIT: usize = 256 * 1024;
/// What stands for itself in a path (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How far a provider's clock may be off.
const SKEW: Duration = Duration::from_secs(60);

/// Our entity id towards the provider of a connection, which is where our metadata are. `origin` is the public URL's.
pub fn saml_entity_id(origin: &str, connection: &ConnectionId) -> String {
    format!("{origin}{}", path(connection, "metadata"))
}

/// `/signin/saml/{connection}/{end}`.
fn path(connection: &ConnectionId, end: &str) -> String {
    format!("/signin/saml/{}/{end}", utf8_percent_encode(connection.as_str(), SEGMENT))
}

pub(crate) fn router() -> Router<Identity> {
    Router::new()
        .route("/signin/saml/{connection}/metadata", get(ours::serve))
        .route("/signin/saml/{connection}/acs", post(acs::take_in))
        .route("/signin/saml/{connection}/acs/continue", post(acs::proceed))
        .route("/signin/saml/{connection}/acs/confirm", post(acs::confirm))
        .route("/signin/saml/{connection}/slo", get(logout::by_redirect).post(logout::by_post))
        .route("/signin/saml/{connection}/slo/continue", post(logout::answered_by_post))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}

/// One connection, and who we are to its provider.
struct Party {
    connection: Connection,
    settings: SamlSettings,
    sp: ServiceProvider,
}

impl Party {
    fn of(identity: &Identity, connection: &Connection, settings: &SamlSettings) -> Result<Self, IdentityError> {
        let at = |end| format!("{}{}", identity.shell().origin(), path(&connection.id, end));
        let sp = ServiceProvider {
            entity_id: at("metadata"),
            acs_url: at("acs"),
            slo_url: Some(at("slo")),
            keys: keys::read(&settings.keys)?,
        };
        Ok(Self { connection: connection.clone(), settings: settings.clone(), sp })
    }

    /// The connection of a URL, if people may sign in by it and it speaks SAML.
    async fn at(identity: &Identity, caller: &Caller, id: &str) -> Result<Self, Failure> {
        let refused = match identity.usable(id).await? {
            Ok(connection) => match ConnectionSettings::of(&connection)? {
                ConnectionSettings::Saml(settings) => return Ok(Self::of(identity, &connection, &settings)?),
                ConnectionSettings::Oidc(_) => {
                    Refused::again("connection_unknown", "There is no such identity provider here.")
                }
            },
            Err(refused) => refused,
        };
        Err(identity.refuse_federated(caller, None, None, refused).await)
    }

    /// Records a refusal of this connection and makes its page.
    async fn refuse(&self, identity: &Identity, caller: &Caller, refused: Refused) -> Failure {
        identity.refuse_federated(caller, Some(&self.connection.tenant), Some(&self.connection.id), refused).await
    }
}
