//! The pages on which a person links her account at an upstream, and ends that again.
//!
//! Everything here acts on the signed-in person only. What an MCP client is given is the address of such a page and
//! nothing more: whoever opens it signs in, sees what she is about to do, and links an account of her own.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Form, Json, Router,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use sallyport_identity::{Identity, IdentityError, SignedIn};
use sallyport_model::{
    Actor, AuditEvent, Clock, EventId, EventKind, Recorder, Rng, UpstreamName,
    event::{Outcome, OutcomeStatus, Source, Who},
};
use sallyport_oauth::{SigningKey, metadata::JWKS};
use sallyport_proxy::{
    Gate, Served,
    upstream::{
        AssertionSigner, AssertionType, CredentialKind, UpstreamTokens,
        tokens::linking::{LINKING_LIFE, LinkFault, Linker, state_digest, state_of},
    },
};
use sallyport_storage::{LinkedAccount, Parked, ParkedKind, Store, StoreError};
use sallyport_web::{Caller, ErrorPage, Notice, Shell, csrf_field, notice};
use serde::Deserialize;

/// What the pages stand on.
pub struct Deps {
    pub gate: Gate,
    pub identity: Identity,
    pub tokens: Arc<UpstreamTokens>,
    pub store: Arc<dyn Store>,
    pub recorder: Arc<dyn Recorder>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub shell: Arc<Shell>,
}

type Linking = Arc<Deps>;

/// `/account/linked` and below.
pub fn router(deps: Deps) -> Router {
    Router::new()
        .route("/account/linked", get(all))
        .route("/account/linked/{upstream}", get(one).post(begin))
        .route("/account/linked/{upstream}/end", post(end))
        .route("/account/linked/{upstream}/callback", get(callback))
        .route("/account/linked/{upstream}/client.json", get(client_document))
        .with_state(Arc::new(deps))
}

/// A page that ends here, or why.
enum Failure {
    Page(Box<ErrorPage>),
    /// Sign in first, then come back.
    SignIn(String),
}

impl From<ErrorPage> for Failure {
    fn from(page: ErrorPage) -> Self {
        Self::Page(Box::new(page))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a linked account could not be read or kept");
        unavailable().into()
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        tracing::error!(%error, "nobody knows who is signed in");
        unavailable().into()
    }
}

impl From<LinkFault> for Failure {
    fn from(fault: LinkFault) -> Self {
        tracing::info!(%fault, "an account was not linked");
        let (status, remedy) = match &fault {
            LinkFault::NotLinkable => (StatusCode::NOT_FOUND, "Ask the operator which servers you can connect."),
            LinkFault::Foreign(_) => (StatusCode::BAD_REQUEST, "Begin again on this server's page."),
            LinkFault::Denied(_) => (StatusCode::FORBIDDEN, "Begin again if that was not what you wanted."),
            LinkFault::Unfit(_) | LinkFault::Token(_) => {
                (StatusCode::BAD_GATEWAY, "Try again later; tell the operator if it stays so.")
            }
        };
        ErrorPage::new(status, fault.code(), format!("Your account was not connected: {fault}."), remedy).into()
    }
}

fn unavailable() -> ErrorPage {
    let what = "This is not available at the moment.";
    ErrorPage::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", what, "Try again in a moment.")
}

impl Deps {
    fn answer(&self, result: Result<Response, Failure>) -> Response {
        match result {
            Ok(response) => response,
            Err(Failure::Page(page)) => self.shell.error(&page),
            Err(Failure::SignIn(path)) => Redirect::to(&self.identity.sign_in_url(&path)).into_response(),
        }
    }

    async fn me(&self, headers: &HeaderMap, path: &str) -> Result<SignedIn, Failure> {
        self.identity.current(headers).await?.ok_or_else(|| Failure::SignIn(path.to_owned()))
    }

    /// The upstream, if it is one for people's own accounts that this person's tenant may use.
    fn upstream(&self, name: &str, me: &SignedIn) -> Result<Arc<Served>, Failure> {
        let served = UpstreamName::new(name).ok().and_then(|name| self.gate.served(&name));
        let served = served.filter(|served| {
            let offered = served.offered();
            offered.spec.credential.kind() == CredentialKind::LinkedAccount
                && offered.tenants.contains(&me.person.tenant)
        });
        served.ok_or_else(|| LinkFault::NotLinkable.into())
    }

    async fn account(&self, me: &SignedIn, served: &Served) -> Result<Option<LinkedAccount>, Failure> {
        let account = self.store.linked_account(&me.person.tenant, &me.person.id, served.name()).await?;
        // One that was linked for another address or resource is not used: she can link again.
        Ok(account.filter(|account| self.tokens.is_linked(&served.offered().spec, account)))
    }

    /// What happened, durable before the page leaves.
    async fn record(
        &self,
        kind: EventKind,
        source: Source,
        me: &SignedIn,
        served: &Served,
        fault: Option<&LinkFault>,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut event = AuditEvent::new(kind, EventId::mint(now, self.rng.as_ref()), now);
        event.tenant = Some(me.person.tenant.clone());
        event.source = Some(source);
        event.who = Some(Who {
            subject: Actor::Human(me.person.id.clone()),
            on_behalf_of: Vec::new(),
            client: None,
            session: Some(me.session.id.clone()),
            grant: None,
            token: None,
        });
        event.outcome = fault.map(|fault| Outcome {
            status: OutcomeStatus::UpstreamFailed,
            code: Some(fault.code().to_owned()),
            latency_us: 0,
            response_bytes: 0,
        });
        event.facts = BTreeMap::from([("linked_account".to_owned(), served.name().as_str().into())]);
        self.recorder.record(event).await.map_err(|error| {
            tracing::error!(%error, "a linked account could not be recorded");
            Failure::from(unavailable())
        })?;
        Ok(())
    }
}

fn path_of(name: &str) -> String {
    format!("/account/linked/{name}")
}

/// The purpose of a form's token: it dies with the session and is good for one upstream.
fn purpose(me: &SignedIn, served: &Served) -> String {
    format!("linked:{}:{}", me.session.id, served.name())
}

fn linker(me: &SignedIn) -> Linker {
    Linker { tenant: me.person.tenant.clone(), user: me.person.id.clone(), session: me.session.id.clone() }
}

/// `GET /account/linked`: what she has linked, and what she can link.
async fn all(State(linking): State<Linking>, caller: Caller) -> Response {
    let result = list(&linking, &caller).await;
    linking.answer(result)
}

async fn list(linking: &Deps, caller: &Caller) -> Result<Response, Failure> {
    let me = linking.me(&caller.headers, "/account/linked").await?;
    let mut linked = linking.store.linked_accounts(&me.person.tenant, &me.person.id).await?;
    linked.retain(|account| {
        let served = linking.gate.served(&account.upstream);
        served.is_some_and(|served| linking.tokens.is_linked(&served.offered().spec, account))
    });
    let mut offered: Vec<_> = linking
        .gate
        .all_served()
        .filter(|served| linking.upstream(served.name().as_str(), &me).is_ok())
        .map(|served| (served.name().clone(), served.offered().title.clone()))
        .collect();
    offered.sort();
    let body = html! {
        h1 { "Your accounts at other servers" }
        @if offered.is_empty() { p { "There is no server here that is used with an account of your own." } }
        ul {
            @for (name, title) in &offered {
                li {
                    a href=(path_of(name.as_str())) { (title) }
                    @match linked.iter().find(|account| account.upstream == *name) {
                        Some(account) => { " – connected since " (account.linked_at) }
                        None => { " – not connected" }
                    }
                }
            }
        }
        p { a href="/account" { "Your account" } }
    };
    Ok(linking.shell.page("Your accounts at other servers").respond(body))
}

/// `GET /account/linked/{upstream}`: what will happen, before it does.
async fn one(State(linking): State<Linking>, caller: Caller, Path(name): Path<String>) -> Response {
    let result = show(&linking, &caller, &name).await;
    linking.answer(result)
}

async fn show(linking: &Deps, caller: &Caller, name: &str) -> Result<Response, Failure> {
    let me = linking.me(&caller.headers, &path_of(name)).await?;
    let served = linking.upstream(name, &me)?;
    let title = &served.offered().title;
    let issued = linking.shell.form_token(&caller.headers, &purpose(&me, &served), linking.rng.as_ref());
    let page = linking.shell.page(format!("Your account at {title}")).set_cookie(issued.set_cookie);
    if let Some(account) = linking.account(&me, &served).await? {
        let done = html! { (notice(Notice::Done, "Your account is connected. You can close this page.")) };
        return Ok(page.respond(connected(&served, &account, &issued.token, &done)));
    }
    let (issuer, endpoint) = linking.tokens.link_server(&served.offered().spec).await?;
    let body = html! {
        h1 { "Connect your account at " (title) }
        p {
            "You will sign in at " strong { (host_of(&issuer)) } ". Then this gate calls " (title)
            " with your account when you, or an agent that acts for you, use it through the gate."
        }
        p { "No application sees the access that you give. You can end it here at any time." }
        form method="post" action=(path_of(name)) {
            (csrf_field(&issued.token))
            button type="submit" { "Connect" }
        }
    };
    Ok(page.form_may_lead_to(&endpoint).respond(body))
}

fn connected(served: &Served, account: &LinkedAccount, token: &str, done: &Markup) -> Markup {
    html! {
        (done)
        h1 { "Your account at " (served.offered().title) }
        p { "Connected since " (account.linked_at) "." }
        form method="post" action=(format!("{}/end", path_of(served.name().as_str()))) {
            (csrf_field(token))
            button type="submit" { "Disconnect" }
        }
        p { a href="/account/linked" { "All your accounts at other servers" } }
    }
}

fn host_of(issuer: &str) -> String {
    url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| issuer.to_owned())
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    csrf: String,
}

/// `POST /account/linked/{upstream}`: to the upstream's authorization server.
async fn begin(
    State(linking): State<Linking>,
    caller: Caller,
    Path(name): Path<String>,
    Form(sent): Form<Sent>,
) -> Response {
    let result = began(&linking, &caller, &name, &sent).await;
    linking.answer(result)
}

async fn began(linking: &Deps, caller: &Caller, name: &str, sent: &Sent) -> Result<Response, Failure> {
    let me = linking.me(&caller.headers, &path_of(name)).await?;
    let served = linking.upstream(name, &me)?;
    check(linking, caller, &me, &served, sent)?;
    let begun = linking.tokens.begin_link(&served.offered().spec, linker(&me)).await?;
    let parked = Parked {
        handle: state_digest(&begun.state),
        kind: ParkedKind::Linking,
        body: begun.kept.expose().to_owned(),
        expires_at: linking.clock.now().plus(LINKING_LIFE),
    };
    linking.store.park(&parked).await?;
    Ok(Redirect::to(begun.redirect.as_str()).into_response())
}

fn check(linking: &Deps, caller: &Caller, me: &SignedIn, served: &Served, sent: &Sent) -> Result<(), Failure> {
    linking.shell.check_form(&caller.headers, &purpose(me, served), &sent.csrf).map_err(|_| {
        let what = "The form was not yours, or too old.";
        ErrorPage::new(StatusCode::FORBIDDEN, "form_token", what, "Load the page again and retry.").into()
    })
}

/// `GET /account/linked/{upstream}/callback`: back from the authorization server.
async fn callback(
    State(linking): State<Linking>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let result = finish(&linking, &caller, &name, query.as_deref().unwrap_or_default()).await;
    linking.answer(result)
}

async fn finish(linking: &Deps, caller: &Caller, name: &str, query: &str) -> Result<Response, Failure> {
    // Not by way of the sign-in page: what was begun belongs to the session that began it.
    let me = linking.identity.current(&caller.headers).await?;
    let me = me.ok_or(LinkFault::Foreign("you are not signed in any more"))?;
    let served = linking.upstream(name, &me)?;
    let state = state_of(query).ok_or(LinkFault::Foreign("it has no state"))?;
    let taken = linking.store.unpark(&state_digest(&state), ParkedKind::Linking, linking.clock.now()).await?;
    let parked = taken.ok_or(LinkFault::Foreign("nothing was begun for it, or it took too long"))?;
    let answer = linking.tokens.take_answer(&served.offered().spec, &parked.body, query, &linker(&me)).await;
    let granted = match answer {
        Ok(granted) => granted,
        Err(fault) => {
            if fault == LinkFault::Denied("access_denied") {
                linking.record(EventKind::ConsentDenied, caller.source(), &me, &served, None).await?;
            }
            return Err(fault.into());
        }
    };
    // The record first: an account that cannot be recorded is not linked.
    linking.record(EventKind::Consented, caller.source(), &me, &served, None).await?;
    if let Err(fault) = linking.tokens.redeem_link(granted).await {
        // What follows the consent in the log: it came to nothing.
        linking.record(EventKind::TokenRefused, caller.source(), &me, &served, Some(&fault)).await?;
        return Err(fault.into());
    }
    Ok(Redirect::to(&path_of(name)).into_response())
}

/// `POST /account/linked/{upstream}/end`: unlinks.
async fn end(
    State(linking): State<Linking>,
    caller: Caller,
    Path(name): Path<String>,
    Form(sent): Form<Sent>,
) -> Response {
    let result = ended(&linking, &caller, &name, &sent).await;
    linking.answer(result)
}

async fn ended(linking: &Deps, caller: &Caller, name: &str, sent: &Sent) -> Result<Response, Failure> {
    let me = linking.me(&caller.headers, &path_of(name)).await?;
    let served = linking.upstream(name, &me)?;
    check(linking, caller, &me, &served, sent)?;
    // The end comes first: should recording fail, access has ended all the same.
    let unlinked = linking.tokens.unlink(&served.offered().spec, &me.person.tenant, &me.person.id).await;
    if unlinked.map_err(LinkFault::from)? {
        linking.record(EventKind::Revoked, caller.source(), &me, &served, None).await?;
    }
    Ok(Redirect::to("/account/linked").into_response())
}

/// `GET /account/linked/{upstream}/client.json`: the gate as a client of the upstream's authorization server.
async fn client_document(State(linking): State<Linking>, Path(name): Path<String>) -> Response {
    let served = UpstreamName::new(name).ok().and_then(|name| linking.gate.served(&name));
    let document = served.and_then(|served| {
        let jwks_uri = format!("{}{JWKS}", linking.shell.origin());
        linking.tokens.client_document(&served.offered().spec, &linking.shell.branding().product, &jwks_uri)
    });
    match document {
        Some(document) => Json(document).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Signs the gate's own assertions with the authorization server's ring of keys, which is made after the gate.
#[derive(Default)]
pub struct LateSigner(pub std::sync::OnceLock<Arc<sallyport_authserver::KeyRing>>);

impl std::fmt::Debug for LateSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LateSigner(…)")
    }
}

impl AssertionSigner for LateSigner {
    fn sign(
        &self,
        typ: AssertionType,
        claims: &serde_json::Map<String, serde_json::Value>,
    ) -> Option<sallyport_model::Secret> {
        let ring = self.0.get()?;
        let signed = ring.sign(|key: &SigningKey| key.sign(typ.as_str(), claims));
        signed.map(sallyport_model::Secret::new).inspect_err(|error| tracing::error!(%error, "no assertion")).ok()
    }
}
