//! Home-realm discovery: from an e-mail address, a hint or a remembered choice to the provider where somebody
//! signs in (`/signin/sso`).

use std::time::Duration;

use axum::{
    extract::{Form, Path, Query, State},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::html;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sallyport_model::{ConnectionId, TenantId};
use sallyport_storage::Connection;
use sallyport_web::{Caller, Cookie, Markup, Notice, csrf_field, notice};
use serde::Deserialize;

use super::{
    mapping::domain_of,
    refused::{Refused, UNKNOWN},
    settings::ConnectionSettings,
};
use crate::{Identity, IdentityError, answer::Failure, continue_to::ContinueTo, signin::PURPOSE};

/// Where somebody signed in last.
const REALM: Cookie = Cookie::new("sallyport-realm").lasting(Duration::from_secs(180 * 24 * 60 * 60));

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    continue_to: String,
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    email: String,
}

#[derive(Deserialize)]
pub(crate) struct Started {
    #[serde(default)]
    continue_to: String,
    #[serde(default)]
    login_hint: String,
}

/// `POST /signin/sso`: where an address leads.
pub(crate) async fn find(State(identity): State<Identity>, caller: Caller, Form(asked): Form<Asked>) -> Response {
    let result = found(&identity, &caller, asked).await;
    identity.answer(result)
}

async fn found(identity: &Identity, caller: &Caller, asked: Asked) -> Result<Response, Failure> {
    identity.shell().check_form(&caller.headers, PURPOSE, &asked.csrf)?;
    let continue_to = ContinueTo::parse(&asked.continue_to).unwrap_or_else(ContinueTo::account);
    let email = asked.email.trim();
    match identity.connection_of_address(email).await? {
        Some(connection) => Ok(go_to(identity, &start_path(&connection.id, &continue_to, Some(email)))),
        None => {
            if let Some(refused) = identity.claimed_only(email).await? {
                return Err(identity.refuse_federated(caller, None, None, refused).await);
            }
            identity.count_refused(&caller.source(), Some(email), "unknown_domain");
            let text = "No organisation signs in here with that address. Check it, or use your login and password.";
            let message = Some(notice(Notice::Failed, text));
            let status = StatusCode::NOT_FOUND;
            Ok(identity.sign_in_page(&caller.headers, &continue_to, status, message, "").await?)
        }
    }
}

/// `GET /signin/sso/{connection}`: sends the browser to the provider.
pub(crate) async fn start(
    State(identity): State<Identity>,
    caller: Caller,
    Path(connection): Path<String>,
    Query(started): Query<Started>,
) -> Response {
    let result = started_at(&identity, &caller, &connection, started).await;
    identity.answer(result)
}

async fn started_at(
    identity: &Identity,
    caller: &Caller,
    connection: &str,
    started: Started,
) -> Result<Response, Failure> {
    let continue_to = ContinueTo::parse(&started.continue_to).unwrap_or_else(ContinueTo::account);
    let connection = match identity.usable(connection).await? {
        Ok(connection) => connection,
        Err(refused) => return Err(identity.refuse_federated(caller, None, None, refused).await),
    };
    let hint = Some(started.login_hint.as_str()).filter(|hint| !hint.is_empty() && hint.len() <= 254);
    let response = match ConnectionSettings::of(&connection)? {
        ConnectionSettings::Oidc(settings) => {
            crate::oidc::start(identity, caller, &connection, &settings, &continue_to, hint).await?
        }
        ConnectionSettings::Saml(settings) => {
            crate::saml::start(identity, caller, &connection, &settings, &continue_to, hint).await?
        }
    };
    let remembered = identity.shell().cookies().set(&REALM, connection.id.as_str());
    Ok((AppendHeaders([(header::SET_COOKIE, remembered)]), response).into_response())
}

/// The path that sends a browser to a provider.
pub(crate) fn start_path(connection: &ConnectionId, continue_to: &ContinueTo, hint: Option<&str>) -> String {
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let hint = hint.map(|hint| format!("&login_hint={}", escaped(hint))).unwrap_or_default();
    format!("/signin/sso/{}?continue_to={}{hint}", escaped(connection.as_str()), escaped(continue_to.as_str()))
}

/// A path that sends `login` to her provider, if her address leads to one.
pub(crate) async fn of_login(
    identity: &Identity,
    login: &str,
    continue_to: &ContinueTo,
) -> Result<Option<Response>, Failure> {
    let Some(connection) = identity.connection_of_address(login).await? else { return Ok(None) };
    if identity.store().person_by_login(login).await?.is_some() {
        return Ok(None);
    }
    Ok(Some(go_to(identity, &start_path(&connection.id, continue_to, Some(login)))))
}

/// A path that sends somebody to her provider whom a link expects: an address, else a tenant.
pub(crate) async fn hinted(
    identity: &Identity,
    login: &str,
    tenant: &str,
    continue_to: &ContinueTo,
) -> Result<Option<String>, IdentityError> {
    if !login.is_empty() && login.len() <= 254 {
        let found = identity.connection_of_address(login).await?;
        if let Some(connection) = found.filter(|_| !login.contains(char::is_control)) {
            return Ok(Some(start_path(&connection.id, continue_to, Some(login))));
        }
    }
    let Ok(tenant) = TenantId::new(tenant) else { return Ok(None) };
    let found = identity.connection_of_tenant(&tenant).await?;
    Ok(found.map(|connection| start_path(&connection.id, continue_to, None)))
}

/// Leaves by a page of its own: browsers hold the page's `form-action` against every redirect that follows its
/// form.
fn go_to(identity: &Identity, path: &str) -> Response {
    leave_for(identity, "Your organisation signs you in", path)
}

/// The same under another heading; `address` may be another origin's.
pub(crate) fn leave_for(identity: &Identity, heading: &str, address: &str) -> Response {
    let body = html! {
        h1 { (heading) }
        p.lead { a href=(address) { "Go on" } }
    };
    match HeaderValue::from_str(&format!("0; url={address}")) {
        Ok(refresh) => identity.shell().page("Signing in").in_popup().header(header::REFRESH, refresh).respond(body),
        Err(_) => Redirect::to(address).into_response(),
    }
}

impl Identity {
    /// A connection by the id in a URL, if people may sign in by it.
    pub(crate) async fn usable(&self, id: &str) -> Result<Result<Connection, Refused>, IdentityError> {
        let unknown = || Refused::again(UNKNOWN, "There is no such identity provider here.");
        let Ok(id) = ConnectionId::new(id) else { return Ok(Err(unknown())) };
        let Some(connection) = self.store().connection(&id).await? else { return Ok(Err(unknown())) };
        let tenant = self.store().tenant(&connection.tenant).await?;
        if !connection.enabled || tenant.is_none_or(|tenant| tenant.suspended) {
            let what = "Signing in by this identity provider is switched off.";
            return Ok(Err(Refused::new("connection_off", what, None)));
        }
        Ok(Ok(connection))
    }

    /// Where the people of an address's domain sign in; only proved domains count.
    pub(crate) async fn connection_of_address(&self, address: &str) -> Result<Option<Connection>, IdentityError> {
        let Some(domain) = domain_of(address) else { return Ok(None) };
        let Some(domain) = self.store().domain(&domain).await? else { return Ok(None) };
        match &domain.connection {
            Some(connection) => {
                let connection = self.store().connection(connection).await?;
                Ok(connection.filter(|connection| connection.enabled && connection.tenant == domain.tenant))
            }
            None => self.connection_of_tenant(&domain.tenant).await,
        }
    }

    /// What to say of an address whose domain somebody has claimed and nobody has proved.
    async fn claimed_only(&self, address: &str) -> Result<Option<Refused>, IdentityError> {
        let Some(name) = domain_of(address) else { return Ok(None) };
        if self.store().domain(&name).await?.is_some() {
            return Ok(None);
        }
        for tenant in self.store().tenants().await? {
            if self.store().domains(&tenant.id).await?.iter().any(|domain| domain.name == name) {
                let what = format!("It is not proved yet whose domain {name} is, so nobody signs in by it.");
                let remedy = "Verify the domain: `sallyport tenant domain verify`.";
                return Ok(Some(Refused::new("domain_not_verified", what, Some(remedy))));
            }
        }
        Ok(None)
    }

    /// A tenant's first connection that is on.
    pub(crate) async fn connection_of_tenant(&self, tenant: &TenantId) -> Result<Option<Connection>, IdentityError> {
        let mut all = self.store().connections(tenant).await?;
        all.retain(|connection| connection.enabled);
        all.sort_by_key(|connection| connection.created_at);
        Ok(all.into_iter().next())
    }

    /// Where this browser signed in last, if that still works.
    async fn remembered(&self, headers: &HeaderMap) -> Result<Option<Connection>, IdentityError> {
        let Some(id) = self.shell().cookies().read(headers, &REALM) else { return Ok(None) };
        Ok(self.usable(&id).await?.ok())
    }

    /// The part of the sign-in page for people of organisations; nothing while no tenant has a connection.
    pub(crate) async fn realm_form(
        &self,
        headers: &HeaderMap,
        continue_to: &ContinueTo,
        token: &str,
    ) -> Result<Option<Markup>, IdentityError> {
        if !self.store().has_connections().await? {
            return Ok(None);
        }
        let remembered = self.remembered(headers).await?;
        Ok(Some(html! {
            @if self.config().local_directory { p.or { "or" } }
            @if let Some(connection) = &remembered {
                p.actions {
                    a.button.full href=(start_path(&connection.id, continue_to, None)) {
                        "Continue with " (connection.name)
                    }
                }
            }
            form.stack method="post" action="/signin/sso" {
                (csrf_field(token))
                input type="hidden" name="continue_to" value=(continue_to.as_str());
                div {
                    label for="email" { "Work e-mail" }
                    input #email type="email" name="email" autocomplete="email" required maxlength="254";
                }
                button.quiet.full type="submit" { "Sign in with your organisation" }
            }
        }))
    }
}
