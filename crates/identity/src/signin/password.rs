//! `POST /signin`: login and password.
//!
//! An attempt is counted before its password is looked at, in one atomic step, so that no number of
//! parallel attempts gets more tries than the policy gives. Unknown logins are counted, hashed and
//! answered as known ones are. The log gets every failure up to a lock, and each lock once; what runs
//! into a lock is only counted.

use std::time::Duration;

use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderValue, StatusCode, header};
use maud::html;
use sallyport_model::{Secret, Timestamp, hex};
use sallyport_storage::{Lock, LockPolicy, Person, Role};
use sallyport_web::{Caller, Notice, notice};
use serde::Deserialize;

use super::PURPOSE;
use crate::{
    Identity, IdentityError,
    answer::Failure,
    continue_to::ContinueTo,
    federation::realm,
    passkeys::{Ceremony, RightPassword},
    people::normal_login,
};

#[derive(Deserialize)]
pub(crate) struct Submitted {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    continue_to: String,
    #[serde(default)]
    login: String,
    password: Secret,
}

/// Why an attempt was refused, as the audit log says it. The page never does.
enum Refusal {
    Locked { wait: Duration, by_this: bool },
    Wrong { code: &'static str, person: Option<Person> },
}

/// Signs in, or says that it did not work, in words that do not depend on why.
pub(crate) async fn submit(State(identity): State<Identity>, caller: Caller, Form(form): Form<Submitted>) -> Response {
    let result = attempt(&identity, &caller, form).await;
    identity.answer(result)
}

async fn attempt(identity: &Identity, caller: &Caller, form: Submitted) -> Result<Response, Failure> {
    identity.shell().check_form(&caller.headers, PURPOSE, &form.csrf)?;
    let continue_to = ContinueTo::parse(&form.continue_to).unwrap_or_else(ContinueTo::account);
    let login = normal_login(&form.login);
    let typed: String = form.login.chars().take(254).collect();
    let since = identity.now();
    if let Some(elsewhere) = realm::of_login(identity, &login, &continue_to).await? {
        return Ok(elsewhere);
    }
    match check(identity, caller, &login, form.password, since).await? {
        Ok(person) => next_step(identity, caller, person, continue_to, since).await,
        Err(Refusal::Locked { wait, by_this }) => {
            match by_this {
                true => identity.record_refused(caller.source(), Some(&login), None, "locked").await?,
                false => identity.count_refused(&caller.source(), Some(&login), "locked"),
            }
            let seconds = wait.as_millis().div_ceil(1000) as u64;
            let text = format!("Too many attempts. Wait {} and try again.", in_words(seconds));
            let message = Some(notice(Notice::Failed, &text));
            let status = StatusCode::TOO_MANY_REQUESTS;
            let mut response = identity.sign_in_page(&caller.headers, &continue_to, status, message, &typed).await?;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            Ok(response)
        }
        Err(Refusal::Wrong { code, person }) => {
            let tenant = person.map(|person| person.tenant);
            identity.record_refused(caller.source(), Some(&login), tenant, code).await?;
            let message =
                Some(notice(Notice::Failed, "That login and password do not match. Check both and try again."));
            Ok(identity.sign_in_page(&caller.headers, &continue_to, StatusCode::FORBIDDEN, message, &typed).await?)
        }
    }
}

fn in_words(seconds: u64) -> String {
    match seconds.div_ceil(60) {
        0 | 1 => "a minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

/// The lock keys; a login of any length makes a short key.
pub(super) fn login_key(login: &str) -> String {
    let digest = crate::session::sha256(login);
    format!("login:{}", hex(&digest[..16]))
}

pub(super) fn address_key(caller: &Caller) -> String {
    format!("address:{}", caller.address.limit_key())
}

fn wait(lock: Lock, now: Timestamp) -> Option<Duration> {
    lock.locked_until.filter(|until| *until > now).map(|until| until.since(now))
}

/// Whether it was this very failure that locked.
fn just_locked(counted: Lock, now: Timestamp, policy: LockPolicy) -> bool {
    counted.locked_until == Some(now.plus(policy.lock))
}

async fn check(
    identity: &Identity,
    caller: &Caller,
    login: &str,
    password: Secret,
    now: Timestamp,
) -> Result<Result<Person, Refusal>, IdentityError> {
    let (store, config) = (identity.store(), identity.config());
    let (login_key, address_key) = (login_key(login), address_key(caller));
    let locks = [store.lock(&login_key, now).await?, store.lock(&address_key, now).await?];
    if let Some(wait) = locks.into_iter().filter_map(|lock| wait(lock, now)).max() {
        return Ok(Err(Refusal::Locked { wait, by_this: false }));
    }
    // Counted in advance, so one more than the limit is the attempt that finds itself locked.
    let policy = LockPolicy { limit: config.login_lock.limit.saturating_add(1), ..config.login_lock };
    let counted = store.count_failure(&login_key, now, policy).await?;
    if let Some(wait) = wait(counted, now) {
        return Ok(Err(Refusal::Locked { wait, by_this: just_locked(counted, now, policy) }));
    }
    let person = store.person_by_login(login).await?;
    let hash = person.as_ref().and_then(|person| person.password_hash.clone());
    let has_password = hash.is_some();
    let right = identity.0.passwords.check(password, hash).await?;
    let code = match &person {
        None => "unknown_login",
        Some(_) if !has_password => "no_password",
        Some(_) if !right => "wrong_password",
        Some(person) if !identity.may_sign_in(person).await? => "disabled",
        Some(person) => {
            store.clear_failures(&login_key, now).await?;
            return Ok(Ok(person.clone()));
        }
    };
    // Not forgiven by a success: one good account must not buy tries at others.
    let counted = store.count_failure(&address_key, now, config.address_lock).await?;
    if just_locked(counted, now, config.address_lock) {
        identity.record_refused(caller.source(), None, None, "address_locked").await?;
    }
    Ok(Err(Refusal::Wrong { code, person }))
}

/// The password was right. An administrator with a passkey must show it; one without may have to
/// enrol one; everybody else is signed in.
async fn next_step(
    identity: &Identity,
    caller: &Caller,
    person: Person,
    continue_to: ContinueTo,
    since: Timestamp,
) -> Result<Response, Failure> {
    if person.role == Role::Administrator {
        let has_passkey = !identity.store().passkeys(&person.id).await?.is_empty();
        if has_passkey && identity.passkeys().is_none() {
            return Err(IdentityError::PasskeysImpossible(identity.shell().public_url().to_string()).into());
        }
        if has_passkey {
            let ceremony = Ceremony::SecondFactor {
                after: RightPassword::of(&person),
                continue_to: continue_to.clone(),
                state: None,
            };
            return passkey_page(identity, caller, &continue_to, &ceremony, Asking::ForPasskey).await;
        }
        if identity.config().require_passkey_for_administrators {
            let ceremony = Ceremony::RequiredEnrolment {
                after: RightPassword::of(&person),
                continue_to: continue_to.clone(),
                state: None,
            };
            return passkey_page(identity, caller, &continue_to, &ceremony, Asking::ToEnrol).await;
        }
    }
    let cookie = identity.complete_sign_in(caller, &person, &["pwd"], since).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(continue_to.as_str())).into_response())
}

#[derive(Clone, Copy)]
enum Asking {
    ForPasskey,
    ToEnrol,
}

async fn passkey_page(
    identity: &Identity,
    caller: &Caller,
    continue_to: &ContinueTo,
    ceremony: &Ceremony,
    asking: Asking,
) -> Result<Response, Failure> {
    let again = identity.sign_in_url(continue_to.as_str());
    let cookie = identity.park_ceremony(ceremony).await?;
    let issued = identity.shell().form_token(&caller.headers, PURPOSE, identity.rng());
    let (title, lead, button) = match asking {
        Asking::ForPasskey => ("One more step", "Confirm with your passkey that it is you.", "Use passkey"),
        Asking::ToEnrol => (
            "Add a passkey",
            "Administrators sign in with a passkey as well as a password. Add yours now to go on.",
            "Add passkey",
        ),
    };
    let body = html! {
        h1 { (title) }
        p.lead { (lead) }
        noscript { (notice(Notice::Failed, "Passkeys need JavaScript. Allow it for this site and sign in again.")) }
        div hidden data-passkey-area {
            div.actions {
                button type="button" data-passkey="/signin/passkey" data-csrf=(issued.token) autofocus { (button) }
            }
            p.notice.failed role="alert" data-passkey-error {}
        }
        p.notice.failed role="alert" hidden data-passkey-missing {
            "This browser has no passkeys. Open this page in one that has."
        }
        p.fine { a href=(again) { "Start again" } }
    };
    let page = identity.shell().page(title).script(&identity.0.script).in_popup();
    Ok(page.set_cookie(issued.set_cookie).set_cookie(Some(cookie)).respond(body))
}
