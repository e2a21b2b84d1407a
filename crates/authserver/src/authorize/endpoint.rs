//! `GET` and `POST /oauth/authorize`.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    response::Response,
};
use sallyport_model::EventKind;
use sallyport_oauth::{
    ErrorCode, metadata,
    redirect::{self, RedirectKind},
};
use sallyport_storage::ClientSource;
use sallyport_web::Caller;

use super::{
    answer::{Given, see_other},
    par,
    request::{self, AuthorizationRequest, Target},
};
use crate::{
    AuthServerError,
    error::{Ended, Refusal},
    parameters::Parameters,
    record::Known,
    server::Server,
};

/// Takes an authorization request from a browser.
pub(crate) async fn get(State(server): State<Arc<Server>>, caller: Caller, RawQuery(query): RawQuery) -> Response {
    let mut known = Known::default();
    let ended = match authorize(&server, &caller, query.as_deref().unwrap_or_default(), &mut known).await {
        Ok(response) => return response,
        Err(ended) => ended,
    };
    match ended {
        Ended::Failed(error) => server.failure_page(&error),
        Ended::Refused(refusal) => {
            match server.record_refusal(EventKind::AuthorizationRefused, &caller, &known, &refusal).await {
                Ok(()) => server.error_page(&refusal),
                Err(error) => server.failure_page(&error),
            }
        }
    }
}

/// The same by POST (OpenID Connect Core section 3.1.2.1). Another site's POST brings none of our
/// cookies, so the browser is sent round to the GET.
pub(crate) async fn post(State(server): State<Arc<Server>>, caller: Caller, body: Bytes) -> Response {
    let form = crate::token::is_form(&caller.headers);
    match std::str::from_utf8(&body) {
        Ok(query) if form && query.len() <= 8 * 1024 && query.bytes().all(|b| b.is_ascii_graphic()) => {
            see_other(&format!("{}?{query}", metadata::AUTHORIZE), None)
        }
        _ => server.error_page(&Refusal::new(ErrorCode::InvalidRequest, "the form is malformed", "form_malformed")),
    }
}

async fn authorize(server: &Server, caller: &Caller, query: &str, known: &mut Known) -> Result<Response, Ended> {
    server.limits.authorization(caller)?;
    let (parameters, unreadable) = match Parameters::parse(query) {
        Ok(parameters) => (parameters, None),
        Err(unreadable) => (unreadable.readable, Some(unreadable.error)),
    };
    let parameters = match parameters.get("request_uri") {
        Some(_) if unreadable.is_some() => return Err(refused(unreadable)),
        Some(request_uri) => par::take(server, request_uri, parameters.get("client_id")).await?,
        None => parameters,
    };
    let target = match request::target(server, caller, &parameters, known).await {
        Err(Ended::Refused(_)) if unreadable.is_some() => return Err(refused(unreadable)),
        target => target?,
    };
    let request = match unreadable {
        Some(error) => Err(error.into()),
        None => request::check(server, &target, &parameters),
    };
    match request {
        Ok(request) if request.prompt.none => silently(server, caller, &target, &request, known).await,
        Ok(request) => {
            let (path, cookie) = server.wait(&caller.headers, request).await?;
            Ok(see_other(&path, cookie))
        }
        Err(refusal) => redirect_refusal(server, caller, &target, known, &refusal).await,
    }
}

fn refused(error: Option<sallyport_oauth::OAuthError>) -> Ended {
    error.map_or_else(
        || Refusal::new(ErrorCode::InvalidRequest, "the request is malformed", "request_malformed").into(),
        Ended::from,
    )
}

/// `prompt=none`: answers without showing anything, or says why it cannot.
async fn silently(
    server: &Server,
    caller: &Caller,
    target: &Target,
    request: &AuthorizationRequest,
    known: &mut Known,
) -> Result<Response, Ended> {
    let login = Refusal::new(ErrorCode::LoginRequired, "nobody is signed in", "login_required");
    let Some(person) = server.identity.current(&caller.headers).await? else {
        return redirect_refusal(server, caller, target, known, &login).await;
    };
    let age = server.now().since(person.session.authenticated_at).as_secs();
    if request.max_age.is_some_and(|limit| age > limit) {
        return redirect_refusal(server, caller, target, known, &login).await;
    }
    if !server.is_consented(&target.client, request, &person).await? {
        let consent = Refusal::new(ErrorCode::ConsentRequired, "consent is missing", "consent_required");
        return redirect_refusal(server, caller, target, known, &consent).await;
    }
    Ok(see_other(&server.grant(caller, request, &person, Given::Earlier).await?, None))
}

async fn redirect_refusal(
    server: &Server,
    caller: &Caller,
    target: &Target,
    known: &Known,
    refusal: &Refusal,
) -> Result<Response, Ended> {
    server.record_refusal(EventKind::AuthorizationRefused, caller, known, refusal).await?;
    if !may_send_on(server, caller, target).await? {
        return Ok(server.error_page(refusal));
    }
    Ok(see_other(&server.error_answer(&target.redirect_uri, target.state.as_deref(), refusal), None))
}

/// Whether the browser may be sent on though nobody has decided anything here. Anybody can register a
/// website and link to us, and we would send whoever trusts our address there (RFC 9700 section
/// 4.11.2): so to a website only if the operator vouches for the client, or if whoever is signed in
/// agreed to it before. A program on her own computer is no such place.
async fn may_send_on(server: &Server, caller: &Caller, target: &Target) -> Result<bool, AuthServerError> {
    let website = redirect::check(&target.redirect_uri) == Ok(RedirectKind::Https);
    if !website || target.client.source == ClientSource::Preregistered {
        return Ok(true);
    }
    let Some(person) = server.identity.current(&caller.headers).await? else { return Ok(false) };
    let consents = server.store.consents(&person.person.id).await?;
    Ok(consents.iter().any(|given| given.client == target.client.id && given.redirect_uri == target.redirect_uri))
}
