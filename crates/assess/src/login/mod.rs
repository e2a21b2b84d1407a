//! Registers a client, signs the test identities in, and leaves their tokens in [`crate::bench::Seen`].
//!
//! | module | what for |
//! |---|---|
//! | [`server`], [`register`] | the authorization server as its metadata describes it, and a client at it |
//! | [`flow`], [`token`] | authorization code with PKCE in pieces; the token endpoint |
//! | [`walk`], `choose`, `page`, `cookies` | the person at the browser |
//! | [`present`] | whether the target takes a token |
//!
//! It gives a password to the pages that the authorization server leads to and to nobody else, keeps every
//! token out of the record, and judges nothing: what a sign-in shows is for the probes.

mod choose;
mod cookies;
mod fault;
pub(crate) mod flow;
#[cfg(test)]
#[path = "lab_tests.rs"]
mod lab;
mod page;
pub(crate) mod present;
mod register;
pub(crate) mod server;
#[cfg(test)]
mod tests;
pub(crate) mod token;
pub(crate) mod walk;

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sallyport_model::Secret;
use sallyport_outbound::loopback::LoopbackListener;
use tokio::sync::OnceCell;
use url::Url;

pub(crate) use fault::{Fault, quote};
use server::Server;
use walk::{Browser, Walked};

use crate::{
    access::TestUser,
    bench::{Bench, Client, Grant},
    check::Needs,
};

/// The path of the redirect URI.
const CALLBACK: &str = "/callback";
/// The redirect URI where no browser takes part: nothing listens there, and the walk stops before it.
const UNOPENED: &str = "http://127.0.0.1:47653/callback";
/// How long `--login` waits for the operator.
const PATIENCE: Duration = Duration::from_secs(180);

/// The authorization server, the assessor's client at it, and the person's browser; one for a run.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The authorization server.
    pub(crate) server: Server,
    /// Where answers go.
    pub(crate) redirect_uri: Url,
    client: OnceCell<Result<Client, NoClient>>,
    listener: Option<LoopbackListener>,
    /// Whether the operator let a sign-in pass: she is not asked again.
    gone: AtomicBool,
    /// Scope and resource to ask with before anybody signed in.
    first_asked: Asked,
    /// What worked at the first sign-in.
    asked: OnceLock<Asked>,
    person: tokio::sync::Mutex<Browser>,
    /// Why the person is not signed in, where that was tried.
    failed: Mutex<Option<(String, Vec<u32>)>>,
    /// The person's first sign-in.
    first: OnceLock<First>,
}

/// Scope and resource of an authorization request; `None` for "leave it out".
type Asked = (Option<String>, Option<String>);

/// Why there is no client.
#[derive(Debug)]
struct NoClient {
    /// Whether registration is offered, and failed.
    offered: bool,
    why: String,
    exchanges: Vec<u32>,
}

/// What the first sign-in of a fresh browser showed.
#[derive(Debug)]
pub(crate) struct First {
    /// `iss` of the response.
    pub(crate) iss: Option<String>,
    /// What shows it.
    pub(crate) exchanges: Vec<u32>,
    /// `None` where the operator went it in a browser.
    pub(crate) walked: Option<Walked>,
}

/// Who goes to the authorization endpoint.
#[derive(Debug)]
pub(crate) enum Who<'a> {
    /// The person, in one browser for the whole run.
    Person,
    /// A user in a browser of her own.
    Fresh(&'a TestUser),
    /// Somebody who is signed in nowhere and names nobody.
    Nobody,
}

impl Who<'_> {
    /// Whether the operator has to do it.
    pub(crate) fn in_browser(&self, bench: &Bench) -> bool {
        matches!(self, Self::Person) && bench.access.user.is_none()
    }

    fn subject(&self, bench: &Bench) -> String {
        match self {
            Self::Person => bench.access.user.as_ref().map_or("person", |user| &user.name).to_owned(),
            Self::Fresh(user) => user.name.clone(),
            Self::Nobody => String::new(),
        }
    }
}

/// Signs in whoever the operator named.
pub(crate) async fn run(bench: &Bench) {
    let server = bench.seen.discovery.get();
    let server = server.and_then(|discovery| Server::find(discovery, bench.access.issuer.as_ref()));
    if let Some(server) = server {
        match Desk::open(bench, server).await {
            Ok(desk) => drop(bench.seen.login.set(desk)),
            Err(fault) => tracing::warn!(%fault, "nobody can sign in"),
        }
    }
    person(bench).await;
    second(bench).await;
    if let Ok(grant) = agent(bench, "agent-signs-in").await {
        let _ = bench.seen.agent.set(grant);
    }
}

async fn person(bench: &Bench) {
    if (bench.access.user.is_some() || bench.access.browser.is_some())
        && let Ok(desk) = desk(bench)
    {
        match first_sign_in(bench, desk).await {
            Ok(grant) => return drop(bench.seen.person.set(grant)),
            Err(fault) => desk.fail(&fault),
        }
    }
    if let Some(token) = &bench.access.token {
        let _ = bench.seen.person.set(given(bench, token, "person"));
    }
}

async fn second(bench: &Bench) {
    if let Some(user) = &bench.access.second_user
        && let Ok(grant) = sign_in(bench, "session-bound", user).await
    {
        return drop(bench.seen.second.set(grant));
    }
    if let Some(token) = &bench.access.second_token {
        let _ = bench.seen.second.set(given(bench, token, "second person"));
    }
}

/// A grant around a token that the operator gave.
fn given(bench: &Bench, token: &Secret, subject: &str) -> Grant {
    Grant {
        access_token: token.clone(),
        refresh_token: None,
        id_token: None,
        expires_in: None,
        obtained_at: bench.clock.now(),
        scope: token::claims(token.expose()).and_then(|claims| Some(claims.get("scope")?.as_str()?.to_owned())),
        client: Client::default(),
        token_type: "Bearer".to_owned(),
        subject: subject.to_owned(),
    }
}

/// Where sign-ins are made.
///
/// # Errors
/// [`Fault::NoServer`]; [`Fault::OtherServer`] where the operator named one.
pub(crate) fn desk(bench: &Bench) -> Result<&Desk, Fault> {
    bench.seen.login.get().ok_or_else(|| match &bench.access.issuer {
        Some(issuer) => Fault::OtherServer(issuer.to_string()),
        None => Fault::NoServer,
    })
}

/// The desk, when the person signed in at it, so that she can again.
///
/// # Errors
/// [`Fault`] that says what is missing, or why the first sign-in failed.
pub(crate) fn signed_in(bench: &Bench) -> Result<&Desk, Fault> {
    if !bench.access.covers(&Needs::SignIn) {
        return Err(Fault::NotGiven(Needs::SignIn.to_string()));
    }
    let desk = desk(bench)?;
    if desk.first.get().is_some() {
        return Ok(desk);
    }
    let failed = desk.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (why, exchanges) = failed.unwrap_or_else(|| ("nobody signed in".to_owned(), Vec::new()));
    Err(Fault::NotSignedIn { why, exchanges })
}

/// The person's grant.
///
/// # Errors
/// As [`signed_in`], or what was not given.
pub(crate) fn person_grant(bench: &Bench) -> Result<&Grant, Fault> {
    match bench.seen.person.get() {
        Some(grant) => Ok(grant),
        None if bench.access.covers(&Needs::SignIn) => Err(signed_in(bench).err().unwrap_or(Fault::NoServer)),
        None => Err(Fault::NotGiven(Needs::Person.to_string())),
    }
}

/// Signs `user` in with a fresh browser, as what worked for the person.
///
/// # Errors
/// [`Fault::Refused`] or [`Fault::Walk`] when the user is not let in.
pub(crate) async fn sign_in(bench: &Bench, check: &'static str, user: &TestUser) -> Result<Grant, Fault> {
    let desk = desk(bench)?;
    let request = flow::Request::new(bench, desk);
    Ok(flow::sign_in(bench, check, desk, Who::Fresh(user), request).await?.0)
}

/// Uses the refresh token of `grant`. The answer's refresh token is the old one where it brings none.
///
/// # Errors
/// [`Fault::Refused`] when it is refused, [`Fault::NotGiven`] when the grant has none.
pub(crate) async fn refresh(bench: &Bench, check: &'static str, grant: &Grant) -> Result<(Grant, u32), Fault> {
    let desk = desk(bench)?;
    let Some(old) = &grant.refresh_token else { return Err(Fault::NotGiven("a refresh token".to_owned())) };
    let resource = desk.resource();
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", old.expose())];
    form.extend(resource.as_deref().map(|resource| ("resource", resource)));
    let issued = token::request(bench, check, (&desk.server, &grant.client), &form).await?;
    let exchange = issued.exchange;
    let mut fresh = issued.grant(bench, &grant.client, &grant.subject, grant.scope.as_deref());
    fresh.refresh_token = fresh.refresh_token.or_else(|| Some(old.clone()));
    Ok((fresh, exchange))
}

/// Signs the agent in with its own credential, for as much of the resource's scopes as it gets.
///
/// # Errors
/// [`Fault`]; [`Fault::NotGiven`] without an agent.
pub(crate) async fn agent(bench: &Bench, check: &'static str) -> Result<Grant, Fault> {
    let all = server::resource_scopes(bench).join(" ");
    let small = server::challenge_scopes(bench).join(" ");
    let mut scopes = vec![Some(all.as_str()), Some(small.as_str()), None];
    scopes.retain(|scope| *scope != Some(""));
    scopes.dedup();
    let mut last = None;
    for scope in scopes {
        match agent_with(bench, check, scope).await {
            Err(fault @ Fault::Refused { .. }) if fault.error() != Some("invalid_client") => last = Some(fault),
            outcome => return outcome.map(|(grant, _)| grant),
        }
    }
    Err(last.unwrap_or(Fault::NoServer))
}

/// Signs the agent in for exactly `scope`. The answer's number is that of its exchange.
///
/// # Errors
/// As [`agent`].
pub(crate) async fn agent_with(bench: &Bench, check: &'static str, scope: Option<&str>) -> Result<(Grant, u32), Fault> {
    let Some(agent) = &bench.access.agent else { return Err(Fault::NotGiven(Needs::Agent.to_string())) };
    let desk = desk(bench)?;
    let client = Client {
        id: agent.client_id.clone(),
        secret: Some(agent.client_secret.clone()),
        auth_method: register::method(&desk.server, true).to_owned(),
        redirect_uri: None,
    };
    let mut last = None;
    for resource in server::resource_identifiers(bench) {
        let mut form = vec![("grant_type", "client_credentials"), ("resource", resource.as_str())];
        form.extend(scope.map(|scope| ("scope", scope)));
        match token::request(bench, check, (&desk.server, &client), &form).await {
            Ok(issued) => {
                let exchange = issued.exchange;
                return Ok((issued.grant(bench, &client, &client.id, scope), exchange));
            }
            Err(fault) if fault.error() == Some("invalid_target") => last = Some(fault),
            Err(fault) => return Err(fault),
        }
    }
    Err(last.unwrap_or(Fault::NoServer))
}

/// The person's first sign-in: for all scopes of the resource, and for less where that is refused. Where the
/// target does not take the token, another identifier of the resource is tried.
async fn first_sign_in(bench: &Bench, desk: &Desk) -> Result<Grant, Fault> {
    let mut last = Fault::NoServer;
    let mut useless: Option<SignedIn> = None;
    for (scope, resource) in attempts(bench, desk) {
        if useless.as_ref().is_some_and(|(.., asked)| asked.1 == resource) {
            continue;
        }
        let mut request = flow::Request::new(bench, desk);
        (request.scope, request.resource) = (scope.clone(), resource.clone());
        let signed_in = match flow::sign_in(bench, "sso-federated", desk, Who::Person, request).await {
            Ok((grant, code, exchange)) => (grant, code, exchange, (scope, resource)),
            Err(fault @ (Fault::Refused { .. } | Fault::Busy { .. })) => {
                last = fault;
                continue;
            }
            Err(fault) if useless.is_none() => return Err(fault),
            Err(_) => break,
        };
        let presented = present::token(bench, "audience-checked", signed_in.0.access_token.expose()).await;
        if presented.accepted() != Some(false) {
            return Ok(desk.settle(useless.map(|(_, code, ..)| code), signed_in));
        }
        useless = useless.or(Some(signed_in));
    }
    useless.map(|signed_in| desk.settle(None, signed_in)).ok_or(last)
}

/// A sign-in that worked: its grant and code, the exchange of its token, and what was asked for.
type SignedIn = (Grant, flow::Code, u32, Asked);

/// Scope and resource to ask with, the fullest first.
fn attempts(bench: &Bench, desk: &Desk) -> Vec<Asked> {
    let small = server::challenge_scopes(bench);
    let mut all = server::resource_scopes(bench);
    all.extend(small.iter().filter(|scope| !all.contains(scope)).cloned().collect::<Vec<_>>());
    let extra = ["openid", "offline_access"].into_iter().filter(|scope| desk.server.lists("scopes_supported", scope));
    all.extend(extra.filter(|scope| !all.iter().any(|other| other == scope)).map(str::to_owned).collect::<Vec<_>>());
    let mut attempts = Vec::new();
    for resource in server::resource_identifiers(bench) {
        attempts.extend([joined(&all), joined(&small), None].map(|scope| (scope, Some(resource.clone()))));
    }
    attempts.dedup();
    attempts
}

fn joined(scopes: &[String]) -> Option<String> {
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

impl Desk {
    async fn open(bench: &Bench, server: Server) -> Result<Self, Fault> {
        let needs_browser = bench.access.user.is_none() && bench.access.browser.is_some();
        let listener = match needs_browser {
            true => Some(LoopbackListener::open(CALLBACK).await.map_err(|error| Fault::Listener(error.to_string()))?),
            false => None,
        };
        let unopened = || Url::parse(UNOPENED).map_err(|error| Fault::Listener(error.to_string()));
        let redirect_uri = listener.as_ref().map_or_else(unopened, |listener| Ok(listener.redirect_uri().clone()))?;
        Ok(Self {
            server,
            redirect_uri,
            client: OnceCell::new(),
            listener,
            gone: AtomicBool::new(false),
            first_asked: (
                joined(&server::challenge_scopes(bench)),
                server::resource_identifiers(bench).into_iter().next(),
            ),
            asked: OnceLock::new(),
            person: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
            first: OnceLock::new(),
        })
    }

    /// The assessor's client here; registered when it is first needed.
    ///
    /// # Errors
    /// [`Fault::NoClient`].
    pub(crate) async fn client(&self, bench: &Bench) -> Result<&Client, Fault> {
        let register = || async {
            let client = register::client(bench, &self.server, self.redirect_uri.as_str()).await;
            client.map_err(|fault| NoClient {
                offered: !matches!(fault, Fault::NoClient { .. }),
                exchanges: fault.exchanges().to_vec(),
                why: match fault {
                    Fault::NoClient { why, .. } => why,
                    fault => fault.to_string(),
                },
            })
        };
        self.client.get_or_init(register).await.as_ref().map_err(|failed| {
            let (why, exchanges) = (failed.why.clone(), failed.exchanges.clone());
            if failed.offered { Fault::Unregistered { why, exchanges } } else { Fault::NoClient { why, exchanges } }
        })
    }

    /// What the person's first sign-in showed, once she is signed in.
    pub(crate) fn first(&self) -> Option<&First> {
        self.first.get()
    }

    /// The scope that worked, or that is tried first.
    pub(crate) fn scope(&self) -> Option<String> {
        self.asked.get().unwrap_or(&self.first_asked).0.clone()
    }

    /// The resource identifier that worked, or that is tried first.
    pub(crate) fn resource(&self) -> Option<String> {
        self.asked.get().unwrap_or(&self.first_asked).1.clone()
    }

    /// Keeps what worked. What the sign-in pages showed is seen in a fresh browser alone, so the `earlier` code
    /// stands for that.
    fn settle(&self, earlier: Option<flow::Code>, (grant, code, exchange, asked): SignedIn) -> Grant {
        let code = earlier.unwrap_or(code);
        let mut exchanges = code.exchanges;
        exchanges.push(exchange);
        let _ = self.first.set(First { iss: code.iss, exchanges, walked: code.walked });
        let _ = self.asked.set(asked);
        grant
    }

    fn fail(&self, fault: &Fault) {
        let failed = Some((fault.to_string(), fault.exchanges().to_vec()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }

    async fn walk(
        &self,
        bench: &Bench,
        check: &'static str,
        who: Who<'_>,
        start: Url,
        ends: &[Url],
    ) -> Result<Walked, Fault> {
        match who {
            Who::Person => {
                let mut browser = self.person.lock().await;
                walk::walk(bench, check, &mut browser, start, bench.access.user.as_ref(), ends).await
            }
            Who::Fresh(user) => walk::walk(bench, check, &mut Browser::default(), start, Some(user), ends).await,
            Who::Nobody => walk::walk(bench, check, &mut Browser::default(), start, None, ends).await,
        }
    }

    /// Shows `url` to the operator and waits for the answer to it. Any page in the browser can send something else
    /// here: that is left lying, unless nothing better comes.
    async fn show(&self, bench: &Bench, url: &Url, answers: impl Fn(&Url) -> bool) -> Result<Url, Fault> {
        let (Some(browser), Some(listener)) = (&bench.access.browser, &self.listener) else {
            return Err(Fault::NotGiven(Needs::SignIn.to_string()));
        };
        let patience = PATIENCE.min(bench.wire.left());
        if self.gone.load(Ordering::Relaxed) {
            return Err(Fault::Nobody(PATIENCE));
        }
        browser(url);
        let until = tokio::time::Instant::now() + patience;
        let mut other = None;
        let answer = loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            match listener.next(left).await.map_err(|error| Fault::Listener(error.to_string()))? {
                Some(answer) if answers(&answer) => break Some(answer),
                Some(answer) => other = Some(answer),
                None => break other,
            }
        };
        answer.ok_or_else(|| {
            self.gone.store(true, Ordering::Relaxed);
            Fault::Nobody(patience)
        })
    }
}
