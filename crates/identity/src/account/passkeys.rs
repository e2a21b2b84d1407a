//! `POST /account/passkeys/start`, `/finish` and `/remove`. Each wants a recent sign-in, and each change is
//! recorded.

use axum::{
    Form, Json,
    extract::State,
    response::{AppendHeaders, IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{StatusCode, header};
use sallyport_model::EventKind;
use sallyport_storage::{BrowserSession, Passkey as StoredPasskey, Person, Role};
use sallyport_web::{Caller, ErrorPage};
use serde::Deserialize;
use serde_json::{Value, json};
use webauthn_rs::prelude::{Passkey, RegisterPublicKeyCredential};

use super::{back, unknown};
use crate::{
    Identity, IdentityError,
    answer::Failure,
    passkeys::{self, Ceremony},
    signin::passkey::{refused, relying_party, with_mode},
};

const MOST_PASSKEYS: usize = 20;

#[derive(Deserialize)]
pub(crate) struct Start {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
pub(crate) struct Finish {
    #[serde(default)]
    csrf: String,
    credential: Value,
}

#[derive(Deserialize)]
pub(crate) struct Remove {
    #[serde(default)]
    csrf: String,
    passkey: String,
}

/// Gives the challenge: `{"mode": "create", "publicKey": …}`.
pub(crate) async fn start(State(identity): State<Identity>, caller: Caller, Json(form): Json<Start>) -> Response {
    let result = challenge(&identity, &caller, form).await;
    identity.answer_json(result)
}

/// Takes the new passkey: `{"location": "/account?…"}`.
pub(crate) async fn finish(State(identity): State<Identity>, caller: Caller, Json(form): Json<Finish>) -> Response {
    let result = conclude(&identity, &caller, form).await;
    identity.answer_json(result)
}

/// Removes one.
pub(crate) async fn remove(State(identity): State<Identity>, caller: Caller, Form(form): Form<Remove>) -> Response {
    let result = drop_one(&identity, &caller, form).await;
    identity.answer(result)
}

async fn challenge(identity: &Identity, caller: &Caller, form: Start) -> Result<Response, Failure> {
    let me = identity.authorize_fresh(&caller.headers, &form.csrf).await?;
    let existing = identity.store().passkeys(&me.person.id).await?;
    if existing.len() >= MOST_PASSKEYS {
        let what = "You have as many passkeys as one account may have.";
        return Err(ErrorPage::new(StatusCode::CONFLICT, "too_many_passkeys", what, "Remove one first.").into());
    }
    let (options, state) = relying_party(identity)?.start_registration(&me.person, &existing)?;
    let name = passkey_name(&form.name);
    let ceremony = Ceremony::Enrolment { user: me.person.id, session: me.session.id, name, state };
    let cookie = identity.park_ceremony(&ceremony).await?;
    Ok(([(header::SET_COOKIE, cookie)], Json(with_mode(options, "create"))).into_response())
}

fn passkey_name(given: &str) -> String {
    let name: String = given.trim().chars().filter(|c| !c.is_control()).take(60).collect();
    if name.is_empty() { "Passkey".to_owned() } else { name }
}

async fn conclude(identity: &Identity, caller: &Caller, form: Finish) -> Result<Response, Failure> {
    let me = identity.authorize_fresh(&caller.headers, &form.csrf).await?;
    let Some(Ceremony::Enrolment { user, session, name, state }) = identity.take_ceremony(&caller.headers).await?
    else {
        return Err(refused().into());
    };
    if user != me.person.id || session != me.session.id {
        return Err(refused().into());
    }
    let credential: RegisterPublicKeyCredential = serde_json::from_value(form.credential).map_err(|_| refused())?;
    let made = relying_party(identity)?.webauthn.finish_passkey_registration(&credential, &state);
    let made = made.map_err(|_| refused())?;
    identity.keep_new_passkey(caller, &me.person, Some(&me.session), &made, &name).await?;
    let cookies = AppendHeaders([(header::SET_COOKIE, identity.forget_ceremony())]);
    Ok((cookies, Json(json!({"location": "/account?done=passkey_added"}))).into_response())
}

async fn drop_one(identity: &Identity, caller: &Caller, form: Remove) -> Result<Response, Failure> {
    let me = identity.authorize_fresh(&caller.headers, &form.csrf).await?;
    let mine = identity.store().passkeys(&me.person.id).await?;
    let needed = identity.config().require_passkey_for_administrators && me.person.role == Role::Administrator;
    if needed && mine.len() == 1 && mine[0].id == form.passkey {
        let what = "Administrators must keep a passkey.";
        return Err(ErrorPage::new(StatusCode::CONFLICT, "last_passkey", what, "Add another one first.").into());
    }
    if !identity.store().remove_passkey(&me.person.id, &form.passkey).await? {
        return Err(unknown("passkey").into());
    }
    let facts = [("action", "passkey_removed"), ("passkey", form.passkey.as_str())];
    identity.record_done(EventKind::Administered, caller.source(), &me.person, Some(&me.session), &facts).await?;
    Ok(back("passkey_removed"))
}

impl Identity {
    /// Stores a passkey that was just registered and records it; without the record it is not kept.
    pub(crate) async fn keep_new_passkey(
        &self,
        caller: &Caller,
        person: &Person,
        session: Option<&BrowserSession>,
        passkey: &Passkey,
        name: &str,
    ) -> Result<(), IdentityError> {
        let id = URL_SAFE_NO_PAD.encode(passkey.cred_id());
        let stored = StoredPasskey {
            id: id.clone(),
            user: person.id.clone(),
            name: name.to_owned(),
            credential: passkeys::write(passkey)?,
            created_at: self.now(),
            last_used_at: None,
        };
        self.store().put_passkey(&stored).await?;
        let facts = [("action", "passkey_added"), ("passkey", id.as_str())];
        let recorded = self.record_done(EventKind::Administered, caller.source(), person, session, &facts).await;
        if recorded.is_err() {
            self.store().remove_passkey(&person.id, &id).await?;
        }
        recorded
    }
}
