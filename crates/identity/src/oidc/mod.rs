//! Signing in at a tenant's OpenID provider: the flow around `sallyport_oauth::oidc`.
//!
//! | module | what for |
//! |---|---|
//! | `peer` | a connection made ready: preset, issuer, our proof, who somebody is there |
//! | `documents`, `wire` | the provider's metadata and keys, kept in the store; requests to its endpoints |
//! | `start`, `callback`, `attributes` | there and back (`/signin/oidc/{connection}/callback`) |
//! | `logout`, `front_channel` | the provider says that a session ended |
//! | `again` | asks the provider before each refresh whether it still stands by the person |
//! | [`id_jag`] | the provider's word for a client of ours, without a browser |
//! | `jwks` | our public keys for `private_key_jwt` |
//!
//! It never reads a claim that was not verified, never follows a redirect of a provider's endpoint, and keeps
//! nothing of a provider's in this process alone.

mod again;
mod attributes;
mod callback;
mod documents;
mod front_channel;
pub mod id_jag;
mod jwks;
mod logout;
mod peer;
mod start;
mod trouble;
mod wire;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use sallyport_model::{Actor, AuditEvent, EventId, EventKind, event::Source, event::Who};
use sallyport_storage::BrowserSession;
use serde_json::json;

pub(crate) use again::ask_again;
pub(crate) use start::start;

use crate::{Identity, IdentityError};

/// A log-out token is far smaller.
const BODY_LIMIT: usize = 64 * 1024;

/// What providers and returning browsers ask for.
pub(crate) fn router() -> Router<Identity> {
    Router::new()
        .route("/signin/oidc/{connection}/callback", get(callback::callback))
        .route("/signin/oidc/{connection}/logout", post(logout::logout))
        .route("/signin/oidc/{connection}/frontchannel-logout", get(front_channel::logout))
        .route("/signin/oidc/{connection}/jwks", get(jwks::show))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}

impl Identity {
    /// A session that ended because its provider said so. `source` is absent where we had asked.
    async fn record_ended_by_provider(
        &self,
        session: &BrowserSession,
        source: Option<Source>,
        why: &str,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        let mut event = AuditEvent::new(EventKind::Revoked, EventId::mint(now, self.rng()), now);
        event.source = source;
        event.tenant = Some(session.tenant.clone());
        event.who = Some(Who {
            subject: Actor::Human(session.user.clone()),
            on_behalf_of: Vec::new(),
            client: None,
            session: Some(session.id.clone()),
            grant: None,
            token: None,
        });
        event.facts.insert("reason".to_owned(), json!(why));
        if let Some(provider) = &session.provider {
            event.facts.insert("connection".to_owned(), json!(provider.connection));
        }
        self.record(event).await
    }
}
