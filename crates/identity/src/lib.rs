//! Who somebody is: sign-in at the local directory with passwords and passkeys, browser sessions,
//! and each person's own page.
//!
//! This crate never issues a token and never decides what a person may do at an upstream. Whatever
//! it cannot record, it does not let happen.

mod account;
pub mod agents;
mod answer;
mod audit;
mod config;
mod continue_to;
mod error;
mod federation;
mod oidc;
mod passkeys;
mod passwords;
mod people;
mod saml;
mod scim;
mod session;
mod signin;
mod signout;
pub mod ssf;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sallyport_model::{Clock, Recorder, Rng, Strangers, Timestamp};
use sallyport_outbound::provider::ProviderClient;
use sallyport_storage::Store;
use sallyport_web::{Asset, Shell};

pub use config::IdentityConfig;
pub use error::IdentityError;
pub use federation::{
    mapping::{Profile, preview},
    settings,
    standing::SessionStanding,
};
pub use oidc::id_jag;
pub use passwords::{LONGEST_PASSWORD, SHORTEST_PASSWORD, hash_password};
pub use people::NewPerson;
pub use saml::{SamlKeyStep, new_saml_keys, rotate_saml_keys, saml_entity_id};
pub use session::SignedIn;

use continue_to::ContinueTo;
use passkeys::Passkeys;
use passwords::Passwords;

/// No form of ours is larger.
const BODY_LIMIT: usize = 64 * 1024;

/// What an [`Identity`] is made of.
pub struct Deps {
    /// Where people, passkeys, sessions and locks are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for cookies, salts and ids.
    pub rng: Arc<dyn Rng>,
    /// The audit log.
    pub recorder: Arc<dyn Recorder>,
    /// Counts refusals that are not recorded one by one; somebody must record the counts now and then.
    pub strangers: Arc<Strangers>,
    /// The way to tenants' identity providers.
    pub providers: ProviderClient,
    /// How pages look, and the public URL.
    pub shell: Arc<Shell>,
    /// The operator's choices.
    pub config: IdentityConfig,
}

/// Signs people in and knows who is signed in. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    deps: Deps,
    passwords: Passwords,
    passkeys: Option<Passkeys>,
    script: Asset,
    repost: Asset,
    signals: ssf::KeyMemory,
    offer: std::sync::OnceLock<Arc<dyn agents::Offer>>,
}

impl Identity {
    /// Sets up; hashes one password (20 ms). [`IdentityError::PasskeysImpossible`] when administrators
    /// must have passkeys and the public URL has no host name, for then browsers refuse them.
    pub fn new(deps: Deps) -> Result<Self, IdentityError> {
        let passkeys = Passkeys::new(&deps.shell);
        if deps.config.require_passkey_for_administrators && passkeys.is_none() {
            return Err(IdentityError::PasskeysImpossible(deps.shell.public_url().to_string()));
        }
        let passwords = Passwords::new(deps.rng.as_ref())?;
        let script = Asset::script(include_str!("../assets/passkey.js"));
        let repost = Asset::script(include_str!("../assets/repost.js"));
        let signals = ssf::KeyMemory::default();
        Ok(Self(Arc::new(Inner {
            deps,
            passwords,
            passkeys,
            script,
            repost,
            signals,
            offer: std::sync::OnceLock::new(),
        })))
    }

    /// `/signin`, `/signout`, `/account` and what belongs to them. Every request must carry a
    /// [`sallyport_web::ClientAddress`] extension; one that does not gets a 500.
    pub fn router(&self) -> Router {
        let mut router = Router::new()
            .route("/account", get(account::page::show))
            .route("/account/grants/revoke", post(account::grants::revoke))
            .route("/account/agents/create", post(account::agents::create))
            .route("/account/agents/suspend", post(account::agents::suspend))
            .route("/account/agents/end", post(account::agents::end))
            .route("/account/agents/delete", post(account::agents::delete))
            .route("/account/consents/withdraw", post(account::consents::withdraw))
            .route("/account/passkeys/remove", post(account::passkeys::remove))
            .route("/signout", post(signout::sign_out))
            .route("/signin", get(signin::form::show))
            .route("/signin/sso", post(federation::realm::find))
            .route("/signin/sso/{connection}", get(federation::realm::start));
        if self.config().local_directory {
            router = router.route("/signin", post(signin::password::submit));
        }
        if self.config().local_directory && self.0.passkeys.is_some() {
            router = router
                .route("/signin/passkey/start", post(signin::passkey::start))
                .route("/signin/passkey/finish", post(signin::passkey::finish))
                .route("/account/passkeys/start", post(account::passkeys::start))
                .route("/account/passkeys/finish", post(account::passkeys::finish));
        }
        router
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .merge(oidc::router())
            .merge(saml::router())
            .merge(scim::router())
            .merge(ssf::router())
            .with_state(self.clone())
            .merge(self.0.script.router())
            .merge(self.0.repost.router())
    }

    /// Where to send a browser that must sign in and then come back. `continue_to` is a path of ours
    /// in its normal form, beginning with `/oauth/` or `/account`; anything else leads to `/account`.
    pub fn sign_in_url(&self, continue_to: &str) -> String {
        self.sign_in_url_for(continue_to, None)
    }

    /// The same for somebody who is expected: an address of a tenant's proved domain leads to its identity
    /// provider at once.
    pub fn sign_in_url_for(&self, continue_to: &str, hint: Option<&str>) -> String {
        let path = ContinueTo::parse(continue_to).unwrap_or_else(ContinueTo::account);
        let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let hint = hint.map(|hint| format!("&login_hint={}", escaped(hint))).unwrap_or_default();
        format!("/signin?continue_to={}{hint}", escaped(path.as_str()))
    }

    /// Tells what the gate offers, for the agents that people make for themselves. Before it is told, nothing is
    /// offered and nobody makes one. What is told first stays.
    pub fn know_offer(&self, offer: Arc<dyn agents::Offer>) {
        let _ = self.0.offer.set(offer);
    }

    pub(crate) fn offered(&self) -> Vec<agents::OfferedResource> {
        self.0.offer.get().map(|offer| offer.resources()).unwrap_or_default()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.0.deps.store.as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.deps.clock.now()
    }

    pub(crate) fn rng(&self) -> &dyn Rng {
        self.0.deps.rng.as_ref()
    }

    pub(crate) fn shell(&self) -> &Shell {
        &self.0.deps.shell
    }

    pub(crate) fn config(&self) -> &IdentityConfig {
        &self.0.deps.config
    }

    pub(crate) fn providers(&self) -> &ProviderClient {
        &self.0.deps.providers
    }

    pub(crate) fn signal_memory(&self) -> &ssf::KeyMemory {
        &self.0.signals
    }

    pub(crate) fn passkeys(&self) -> Option<&Passkeys> {
        self.0.passkeys.as_ref()
    }
}
