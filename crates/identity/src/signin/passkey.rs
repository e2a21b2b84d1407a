//! `POST /signin/passkey/start` and `/finish`: a passkey instead of the password, after it, or
//! enrolled because an administrator must have one.

use axum::{
    Json,
    extract::State,
    response::{AppendHeaders, IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use sallyport_model::Timestamp;
use sallyport_storage::{Passkey as StoredPasskey, Person};
use sallyport_web::{Caller, ErrorPage};
use serde::Deserialize;
use serde_json::{Value, json};
use webauthn_rs::prelude::{AuthenticationResult, PublicKeyCredential, RegisterPublicKeyCredential};

use super::{
    PURPOSE,
    password::{address_key, login_key},
};
use crate::{
    Identity, IdentityError,
    answer::Failure,
    continue_to::ContinueTo,
    passkeys::{self, Ceremony, Passkeys},
};

#[derive(Deserialize)]
pub(crate) struct Start {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    continue_to: String,
}

#[derive(Deserialize)]
pub(crate) struct Finish {
    #[serde(default)]
    csrf: String,
    credential: Value,
}

/// Gives the challenge: `{"mode": "get" | "create", "publicKey": …}`.
pub(crate) async fn start(State(identity): State<Identity>, caller: Caller, Json(form): Json<Start>) -> Response {
    let result = challenge(&identity, &caller.headers, form).await;
    identity.answer_json(result)
}

/// Takes the authenticator's answer: `{"location": …}` and a session, or an error.
pub(crate) async fn finish(State(identity): State<Identity>, caller: Caller, Json(form): Json<Finish>) -> Response {
    let result = conclude(&identity, &caller, form).await;
    identity.answer_json(result)
}

pub(crate) fn refused() -> ErrorPage {
    ErrorPage::new(
        StatusCode::FORBIDDEN,
        "passkey_refused",
        "That passkey did not work.",
        "Reload the page and try again, or use another way to sign in.",
    )
}

pub(crate) fn relying_party(identity: &Identity) -> Result<&Passkeys, IdentityError> {
    let impossible = || IdentityError::PasskeysImpossible(identity.shell().public_url().to_string());
    identity.passkeys().ok_or_else(impossible)
}

async fn challenge(identity: &Identity, headers: &HeaderMap, form: Start) -> Result<Response, Failure> {
    identity.shell().check_form(headers, PURPOSE, &form.csrf)?;
    let passkeys = relying_party(identity)?;
    // The page says where to go on only when it is the sign-in page; a ceremony that waits for its
    // second step began with a password and knows.
    let waiting = if form.continue_to.is_empty() { identity.peek_ceremony(headers).await? } else { None };
    let (answer, ceremony) = match waiting {
        Some(Ceremony::SecondFactor { after, continue_to, .. }) => {
            let person = identity.still_right(&after).await?.ok_or_else(refused)?;
            let known = identity.store().passkeys(&person.id).await?;
            let known = known.iter().map(passkeys::read).collect::<Result<Vec<_>, _>>()?;
            let (options, state) =
                passkeys.webauthn.start_passkey_authentication(&known).map_err(|_| Failure::from(refused()))?;
            (
                with_mode(passkeys::json(&options)?, "get"),
                Ceremony::SecondFactor { after, continue_to, state: Some(state) },
            )
        }
        Some(Ceremony::RequiredEnrolment { after, continue_to, .. }) => {
            let person = identity.still_right(&after).await?.ok_or_else(refused)?;
            let (options, state) = passkeys.start_registration(&person, &[])?;
            (with_mode(options, "create"), Ceremony::RequiredEnrolment { after, continue_to, state: Some(state) })
        }
        _ => {
            let continue_to = ContinueTo::parse(&form.continue_to).unwrap_or_else(ContinueTo::account);
            let (mut options, state) =
                passkeys.webauthn.start_discoverable_authentication().map_err(|_| Failure::from(refused()))?;
            // The person pressed a button; the library's default waits for her to touch a field.
            options.mediation = None;
            let cookie = identity.park_ceremony(&Ceremony::Discoverable { continue_to, state }).await?;
            let answer = Json(with_mode(passkeys::json(&options)?, "get"));
            return Ok(([(header::SET_COOKIE, cookie)], answer).into_response());
        }
    };
    if !identity.update_ceremony(headers, &ceremony).await? {
        return Err(refused().into());
    }
    Ok(Json(answer).into_response())
}

pub(crate) fn with_mode(mut options: Value, mode: &str) -> Value {
    options["mode"] = mode.into();
    options
}

async fn conclude(identity: &Identity, caller: &Caller, form: Finish) -> Result<Response, Failure> {
    identity.shell().check_form(&caller.headers, PURPOSE, &form.csrf)?;
    let since = identity.now();
    let ceremony = identity.take_ceremony(&caller.headers).await?.ok_or_else(refused)?;
    let proved = match ceremony {
        Ceremony::SecondFactor { after, continue_to, state: Some(state) } => {
            let person = identity.still_right(&after).await?.ok_or_else(refused)?;
            let verified = assertion(form.credential).and_then(|credential| {
                identity.passkeys()?.webauthn.finish_passkey_authentication(&credential, &state).ok()
            });
            prove(identity, person, verified, &["pwd", "hwk", "mfa"], continue_to).await?
        }
        Ceremony::Discoverable { continue_to, state } => {
            let found = find(identity, form.credential).await?;
            let verified = found.as_ref().and_then(|(_, passkey, credential)| {
                let webauthn = &identity.passkeys()?.webauthn;
                webauthn.finish_discoverable_authentication_v2(credential, state, passkey).ok()
            });
            match found {
                Some((person, ..)) => prove(identity, person, verified, &["hwk", "mfa"], continue_to).await?,
                None => Err(None),
            }
        }
        Ceremony::RequiredEnrolment { after, continue_to, state: Some(state) } => {
            let person = identity.still_right(&after).await?.ok_or_else(refused)?;
            // Whoever has a passkey by now must show it; a password never adds a second one.
            let first = identity.store().passkeys(&person.id).await?.is_empty();
            let credential: Option<RegisterPublicKeyCredential> = serde_json::from_value(form.credential).ok();
            let made = credential.and_then(|credential| {
                identity.passkeys()?.webauthn.finish_passkey_registration(&credential, &state).ok()
            });
            match made {
                Some(passkey) if first => {
                    identity.keep_new_passkey(caller, &person, None, &passkey, "Passkey").await?;
                    Ok(Proved { person, methods: &["pwd", "hwk", "mfa"], continue_to })
                }
                _ => Err(Some(person)),
            }
        }
        _ => Err(None),
    };
    match proved {
        Ok(proved) => welcome(identity, caller, proved, since).await,
        Err(person) => turn_away(identity, caller, person).await,
    }
}

/// Somebody whose passkey was verified.
struct Proved {
    person: Person,
    methods: &'static [&'static str],
    continue_to: ContinueTo,
}

fn assertion(credential: Value) -> Option<PublicKeyCredential> {
    serde_json::from_value(credential).ok()
}

/// The person and passkey that a discoverable assertion claims to be of; nothing is verified yet.
async fn find(
    identity: &Identity,
    credential: Value,
) -> Result<Option<(Person, webauthn_rs::prelude::DiscoverableKey, PublicKeyCredential)>, IdentityError> {
    let Some(credential) = assertion(credential) else { return Ok(None) };
    let webauthn = &relying_party(identity)?.webauthn;
    let Ok((handle, id)) = webauthn.identify_discoverable_authentication(&credential) else { return Ok(None) };
    let Some(user) = passkeys::user_of_handle(handle) else { return Ok(None) };
    let Some(person) = identity.store().person(&user).await? else { return Ok(None) };
    for stored in identity.store().passkeys(&user).await? {
        let passkey = passkeys::read(&stored)?;
        if passkey.cred_id().as_slice() == id {
            return Ok(Some((person, passkey.into(), credential)));
        }
    }
    Ok(None)
}

/// Keeps the passkey's counter and lets the person through, if the assertion was verified and she
/// may sign in; otherwise gives her back, for the log.
async fn prove(
    identity: &Identity,
    person: Person,
    verified: Option<AuthenticationResult>,
    methods: &'static [&'static str],
    continue_to: ContinueTo,
) -> Result<Result<Proved, Option<Person>>, IdentityError> {
    let Some(verified) = verified.filter(AuthenticationResult::user_verified) else { return Ok(Err(Some(person))) };
    if !identity.may_sign_in(&person).await? {
        return Ok(Err(Some(person)));
    }
    for stored in identity.store().passkeys(&person.id).await? {
        let mut passkey = passkeys::read(&stored)?;
        // `None`: another passkey; `Some(false)`: this one, and its counter stands.
        if passkey.update_credential(&verified).is_some() {
            let credential = passkeys::write(&passkey)?;
            let used = StoredPasskey { credential, last_used_at: Some(identity.now()), ..stored };
            identity.store().put_passkey(&used).await?;
            return Ok(Ok(Proved { person, methods, continue_to }));
        }
    }
    // It was removed while the ceremony ran.
    Ok(Err(Some(person)))
}

async fn welcome(identity: &Identity, caller: &Caller, proved: Proved, since: Timestamp) -> Result<Response, Failure> {
    let cookie = identity.complete_sign_in(caller, &proved.person, proved.methods, since).await?;
    let cookies = AppendHeaders([(header::SET_COOKIE, cookie), (header::SET_COOKIE, identity.forget_ceremony())]);
    Ok((cookies, Json(json!({"location": proved.continue_to.as_str()}))).into_response())
}

/// Refuses. It counts as a failure from this address; once that is locked, the log gets no more of them.
async fn turn_away(identity: &Identity, caller: &Caller, person: Option<Person>) -> Result<Response, Failure> {
    let (store, now, config) = (identity.store(), identity.now(), identity.config());
    let (login, tenant) = person.map(|person| (person.login, person.tenant)).unzip();
    if let Some(login) = &login {
        store.count_failure(&login_key(login), now, config.login_lock).await?;
    }
    let address = address_key(caller);
    if store.lock(&address, now).await?.locked_until.is_some() {
        identity.count_refused(&caller.source(), login.as_deref(), "passkey_refused");
    } else {
        store.count_failure(&address, now, config.address_lock).await?;
        identity.record_refused(caller.source(), login.as_deref(), tenant, "passkey_refused").await?;
    }
    Err(refused().into())
}
