//! Authorization responses: a code or an error by redirect, with `iss` on both (RFC 9207); or an error
//! page, where no redirect may be trusted.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use sallyport_model::{Actor, EventKind, GrantId, KeyBinding, Mark, ScopeSet, event::Who};
use sallyport_oauth::{ErrorCode, redirect};
use sallyport_storage::{Agent, CodeRecord, Consent, Grant};
use sallyport_web::{Caller, ErrorPage};

use super::request::{AuthorizationRequest, of_resource, within};
use crate::{
    AuthServerError, SignedIn, bearer,
    error::{Ended, Refusal},
    parameters::append,
    record::Known,
    server::Server,
};

/// How a consent came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// The person has just said so.
    Now,
    /// What she said earlier covers it.
    Earlier,
}

impl Server {
    /// Grants what was consented to and gives the URI with the code. The consent is recorded before
    /// anything exists that could be redeemed.
    pub(crate) async fn grant(
        &self,
        caller: &Caller,
        request: &AuthorizationRequest,
        person: &SignedIn,
        given: Given,
    ) -> Result<String, Ended> {
        let now = self.now();
        let delegation = self.delegation(request, person).await?;
        let request = &match &delegation {
            // What the agent may have now: it may have been narrowed since she was asked.
            Some(delegation) => self.narrowed(request, &delegation.agent)?,
            None => request.clone(),
        };
        let end = match &delegation {
            Some(delegation) => delegation.until,
            None => now.plus(self.lifetimes_of(&person.session.tenant).await?.grant),
        };
        // A grant never outlives the session at the provider that it stands on.
        let provider_end = person.session.provider.as_ref().and_then(|provider| provider.not_after);
        let grant = Grant {
            id: GrantId::mint(self.rng.as_ref()),
            tenant: person.session.tenant.clone(),
            subject: Actor::Human(person.person.id.clone()),
            actors: request.agent.iter().cloned().collect(),
            ancestors: Vec::new(),
            client: request.client.clone(),
            resource: request.resource.clone(),
            scopes: request.scopes.clone(),
            session: person.session.id.clone(),
            authenticated_at: person.session.authenticated_at,
            created_at: now,
            expires_at: provider_end.map_or(end, |provider_end| provider_end.min(end)),
            revoked_at: None,
            bound_to: request.dpop_jkt.clone().map(KeyBinding::Dpop),
        };
        let mut known = decided(request, person);
        // It is she who decides, whoever will act for her.
        let who = known.who.take();
        known.grant(&grant);
        known.who = who.map(|who| Who { grant: Some(grant.id.clone()), ..who });
        known.fact("mark", Mark::Human.as_str());
        if delegation.is_some() {
            known.fact("delegated_until", grant.expires_at.to_string());
        }
        known.fact("remembered", given == Given::Earlier);
        self.record(self.event(EventKind::Consented, caller, &known)).await?;
        if given == Given::Now && delegation.is_none() {
            self.remember(request, person).await?;
        }
        let (code, digest) = bearer::mint(self.rng.as_ref());
        let record = CodeRecord {
            grant: grant.id.clone(),
            tenant: grant.tenant.clone(),
            user: person.person.id.clone(),
            client: request.client.clone(),
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone(),
            resource: request.resource.clone(),
            scopes: request.scopes.clone(),
            session: grant.session.clone(),
            nonce: request.nonce.clone(),
            authenticated_at: grant.authenticated_at,
            expires_at: now.plus(self.config.lifetimes.code),
            dpop_jkt: request.dpop_jkt.clone(),
        };
        self.store.add_grant(&grant).await?;
        self.store.add_code(&digest, &record).await?;
        Ok(self.answer(&request.redirect_uri, request.state.as_deref(), &[("code", &code)]))
    }

    fn narrowed(&self, request: &AuthorizationRequest, agent: &Agent) -> Result<AuthorizationRequest, Refusal> {
        let gone = Refusal::new(ErrorCode::InvalidTarget, "the resource is no longer there", "resource_unknown");
        let resource = self.resources.resource(&request.resource).ok_or(gone)?;
        Ok(AuthorizationRequest { scopes: within(agent, &resource, &request.scopes)?, ..request.clone() })
    }

    /// Stores the consent; what was agreed to earlier for the same redirect URI stays agreed to.
    async fn remember(&self, request: &AuthorizationRequest, person: &SignedIn) -> Result<(), AuthServerError> {
        let user = &person.person.id;
        let earlier = self.store.consent(user, &request.client, &request.resource).await?;
        let earlier = earlier.filter(|consent| consent.redirect_uri == request.redirect_uri);
        let scopes = of_resource(&request.scopes);
        let scopes = earlier.map_or(scopes.clone(), |consent| consent.scopes.union(&scopes));
        let consent = Consent {
            user: user.clone(),
            client: request.client.clone(),
            resource: request.resource.clone(),
            scopes,
            redirect_uri: request.redirect_uri.clone(),
            given_at: self.now(),
        };
        Ok(self.store.put_consent(&consent).await?)
    }

    /// The redirect URI with an answer, `state` and `iss`.
    pub(crate) fn answer(&self, redirect_uri: &str, state: Option<&str>, answer: &[(&str, &str)]) -> String {
        let mut parameters = answer.to_vec();
        parameters.extend(state.map(|state| ("state", state)));
        parameters.push(("iss", self.issuer()));
        append(redirect_uri, &parameters)
    }

    /// The redirect URI with an error.
    pub(crate) fn error_answer(&self, redirect_uri: &str, state: Option<&str>, refusal: &Refusal) -> String {
        let error = [("error", refusal.error.code.as_str()), ("error_description", refusal.error.description)];
        self.answer(redirect_uri, state, &error)
    }

    /// The error page, for whatever must not be redirected.
    pub(crate) fn error_page(&self, refusal: &Refusal) -> Response {
        let remedy = match refusal.error.code {
            ErrorCode::TooManyRequests => "Wait a minute and try again.",
            ErrorCode::TemporarilyUnavailable => "Wait a few seconds and try again.",
            ErrorCode::InvalidClient => "Tell whoever makes the application; nothing was given to it.",
            _ => "Go back to the application and start again; nothing was given to it.",
        };
        let status = match refusal.error.code {
            ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let what = format!("The application's request was refused: {}.", refusal.error.description);
        self.shell.error(&ErrorPage::new(status, refusal.reason, what, remedy))
    }

    /// The error page for a failure here; logged once, here.
    pub(crate) fn failure_page(&self, error: &AuthServerError) -> Response {
        tracing::error!(%error, "the authorization server could not answer");
        let page = ErrorPage::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "This cannot be done just now; nothing was given to the application.",
            "Try again in a few seconds.",
        );
        self.shell.error(&page.retry_after(std::time::Duration::from_secs(5)))
    }
}

/// What an event says about a person's decision.
pub(crate) fn decided(request: &AuthorizationRequest, person: &SignedIn) -> Known {
    let mut known = Known {
        tenant: Some(person.session.tenant.clone()),
        who: Some(Who {
            subject: Actor::Human(person.person.id.clone()),
            on_behalf_of: Vec::new(),
            client: Some(request.client.clone()),
            session: Some(person.session.id.clone()),
            grant: None,
            token: None,
        }),
        client: Some(request.client.clone()),
        ..Known::default()
    };
    known.fact("resource", request.resource.as_str());
    known.fact("scopes", scopes_text(&request.scopes));
    known.fact("redirect_host", redirect::shown_host(&request.redirect_uri));
    known
}

fn scopes_text(scopes: &ScopeSet) -> String {
    scopes.to_string()
}

/// A redirect that turns a POST into a GET and that nothing caches.
pub(crate) fn see_other(uri: &str, set_cookie: Option<HeaderValue>) -> Response {
    let Ok(location) = HeaderValue::from_str(uri) else { return StatusCode::BAD_REQUEST.into_response() };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(cookie) = set_cookie {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}
