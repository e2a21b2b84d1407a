//! Sends somebody to her provider with a signed `AuthnRequest`.

use axum::response::Response;
use http::header;
use sallyport_saml::{AuthnRequest, authn_request};
use sallyport_storage::Connection;
use sallyport_web::Caller;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Party, fault::refusal, login::contexts, pages::From};
use crate::{
    Identity,
    answer::Failure,
    continue_to::ContinueTo,
    federation::{begun::Begun, refused::Refused},
    settings::SamlSettings,
};

/// What is remembered of a message of ours until its answer comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    /// An `AuthnRequest`, by its id; whether it demanded a fresh proof.
    Login { request: String, forced: bool },
    /// A `LogoutRequest`, by its id.
    Logout { request: String },
}

impl Asked {
    pub(super) fn of(begun: &Begun) -> Result<Self, Refused> {
        let elsewhere = || Refused::again("sign_in_ended", "This answers something else than a SAML request.");
        serde_json::from_value(begun.protocol.clone()).map_err(|_| elsewhere())
    }

    pub(super) fn to_json(&self) -> Value {
        json!(self)
    }
}

/// Sends the browser to the provider. SAML has no place for a hint of who it is, that providers would read.
pub(crate) async fn start(
    identity: &Identity,
    caller: &Caller,
    connection: &Connection,
    settings: &SamlSettings,
    continue_to: &ContinueTo,
    _hint: Option<&str>,
) -> Result<Response, Failure> {
    let party = Party::of(identity, connection, settings)?;
    let forced = settings.demands.max_age_seconds == Some(0);
    party.ask(identity, caller, continue_to, forced, From::Link).await
}

impl Party {
    /// Asks the provider to sign somebody in, who is where `from` says; `forced`: to make her prove it anew.
    pub(super) async fn ask(
        &self,
        identity: &Identity,
        caller: &Caller,
        continue_to: &ContinueTo,
        forced: bool,
        from: From,
    ) -> Result<Response, Failure> {
        let theirs = self.known(identity, caller).await?;
        let contexts = contexts(&self.settings.demands);
        let handle = identity.fresh_handle();
        let ask = AuthnRequest {
            force_authn: forced,
            authn_contexts: &contexts,
            relay_state: Some(&handle),
            ..AuthnRequest::default()
        };
        let sent = match authn_request(&self.sp, &theirs, &ask, identity.now(), identity.rng()) {
            Ok(sent) => sent,
            Err(fault) => return Err(self.refuse(identity, caller, refusal(&fault)).await),
        };
        let asked = Asked::Login { request: sent.id, forced }.to_json();
        let (headers, connection) = (&caller.headers, &self.connection.id);
        let cookie = identity.send_off_as(&handle, headers, connection, continue_to, asked).await?;
        let mut response = identity.send_on(&sent.outgoing, "Your organisation signs you in", from);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(response)
    }
}
