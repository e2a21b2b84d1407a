//! `GET /signin/sso/{connection}` at an OpenID provider: the way there.

use std::time::Duration;

use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, header};
use sallyport_model::Secret;
use sallyport_oauth::oidc::{
    PresetId,
    request::{self, AuthorizationRequest, LoginSecrets, Prompt},
};
use sallyport_storage::Connection;
use sallyport_web::Caller;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{peer::Peer, trouble::Trouble};
use crate::{
    Identity, IdentityError,
    answer::Failure,
    continue_to::ContinueTo,
    federation::mapping::domain_of,
    settings::{Demands, OidcSettings},
};

/// What is remembered of a request until its answer; `state` is the handle that it is kept under.
#[derive(Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) nonce: String,
    pub(super) verifier: String,
}

/// Sends the browser to the provider.
pub(crate) async fn start(
    identity: &Identity,
    caller: &Caller,
    connection: &Connection,
    settings: &OidcSettings,
    continue_to: &ContinueTo,
    hint: Option<&str>,
) -> Result<Response, Failure> {
    match begin(identity, caller, connection, settings, continue_to, hint).await {
        Ok((url, cookie)) => Ok(([(header::SET_COOKIE, cookie)], Redirect::to(url.as_str())).into_response()),
        Err(trouble) => Err(trouble.failure(identity, caller, connection).await),
    }
}

async fn begin(
    identity: &Identity,
    caller: &Caller,
    connection: &Connection,
    settings: &OidcSettings,
    continue_to: &ContinueTo,
    hint: Option<&str>,
) -> Result<(Url, HeaderValue), Trouble> {
    let peer = Peer::new(identity, connection, settings)?;
    let metadata = peer.metadata().await?;
    let fresh = LoginSecrets::mint(identity.rng());
    let sent = Sent { nonce: fresh.nonce.clone(), verifier: fresh.verifier.expose().to_owned() };
    let sent = serde_json::to_value(sent).map_err(|_| IdentityError::Internal("writing a sign-in down"))?;
    let (state, cookie) = identity.send_off(&caller.headers, &connection.id, continue_to, sent).await?;
    let secrets = LoginSecrets { state, ..fresh };
    let redirect_uri = peer.redirect_uri();
    let domain = domain(&peer, hint);
    let (acr_values, claims) = proof_asked_for(peer.preset.id, &settings.demands);
    let asked = AuthorizationRequest {
        redirect_uri: &redirect_uri,
        extra_scopes: &settings.scopes,
        login_hint: hint,
        domain: domain.as_deref(),
        acr_values: &acr_values,
        mfa: settings.demands.mfa,
        max_age: settings.demands.max_age_seconds.map(Duration::from_secs),
        prompt: prompt(&peer),
        claims: claims.as_ref(),
    };
    let parameters = request::parameters(&asked, &secrets, &settings.client_id, &metadata, peer.preset);
    let Some(push) = peer.exchange(&metadata).push(&parameters)? else {
        return Ok((request::url(&metadata, &parameters), cookie));
    };
    let answer = peer.post("pushed request's answer", &push).await?;
    let uri = request::pushed(answer.status.as_u16(), &answer.body)?;
    Ok((request::pushed_url(&metadata, &settings.client_id, &uri), cookie))
}

/// The domain whose accounts are wanted: Google's is the connection's, Entra's is the person's.
fn domain(peer: &Peer<'_>, hint: Option<&str>) -> Option<String> {
    match peer.preset.id {
        PresetId::Google => peer.settings.organisation.clone(),
        PresetId::Entra => hint.and_then(domain_of),
        _ => None,
    }
}

/// `acr_values` and the `claims` parameter. Entra knows contexts instead of classes, one in a request.
fn proof_asked_for(preset: PresetId, demands: &Demands) -> (Vec<String>, Option<Value>) {
    let strong = demands.mfa_acr.iter().filter(|_| demands.mfa);
    let mut wanted: Vec<String> = demands.acr.iter().chain(strong).cloned().collect();
    wanted.dedup();
    match preset {
        PresetId::Entra => (Vec::new(), wanted.first().map(|context| request::entra_context(context))),
        _ => (wanted, None),
    }
}

/// Consent, where without it there would be no refresh token, by which the provider is asked again: at Google
/// always, elsewhere where `offline_access` was chosen (OpenID Connect Core section 11).
fn prompt(peer: &Peer<'_>) -> Option<Prompt> {
    let chosen = peer.settings.scopes.iter().any(|scope| scope == "offline_access");
    let needed = peer.preset.id == PresetId::Google || chosen;
    (peer.settings.ask_again && needed).then_some(Prompt::Consent)
}

impl Sent {
    pub(super) fn read(protocol: &Value) -> Result<Self, IdentityError> {
        serde_json::from_value(protocol.clone()).map_err(|_| IdentityError::Internal("reading a sign-in back"))
    }

    pub(super) fn verifier(&self) -> Secret {
        Secret::new(self.verifier.as_str())
    }
}
