//! An authorization server on a real store, with a sign-in that believes whoever is named, a log in
//! memory and documents in memory.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use sallyport_authserver::{
    AuthServer, AuthServerConfig, Deps, Document, DocumentFetcher, FetchFault, IdJagIssuer, IntrospectionCaller,
    KeyRing, PreregisteredClient, Rates, ResourceInfo, Resources, ScopeInfo, SignIn, SignedIn,
};
use sallyport_identity::{
    Identity, IdentityConfig, IdentityError, SessionStanding, hash_password,
    id_jag::{IdJagRefused, IdJagStanding},
};
use sallyport_model::{
    AgentId, AuditEvent, ClientId, Clock, ConnectionId, EventKind, ManualClock, Receipt, RecordError, Recorder, Scope,
    ScopeSet, Secret, SessionId, Strangers, SystemRng, TenantId, Timestamp, UpstreamName, UserId, event::Source,
};
use sallyport_oauth::{
    Expect, TokenFault,
    id_jag::IdJag,
    oidc::{Jwks, JwtFault},
    pkce, verify_access_token,
};
use sallyport_outbound::{AddressPolicy, guard::SystemResolver, provider::ProviderClient};
use sallyport_storage::{
    Agent, AgentBounds, ApplicationType, BrowserSession, ClientAuthMethod, Person, PersonOrigin, ProviderSession, Role,
    Store, Tenant, sqlite::SqliteStore,
};
use sallyport_web::{Branding, ClientAddress, CsrfKey, Shell};
use serde_json::Value;
use tower::ServiceExt;
use zeroize::Zeroizing;

pub(crate) const ISSUER: &str = "https://gate.example";
pub(crate) const FILES: &str = "https://gate.example/mcp/files";
pub(crate) const MAIL: &str = "https://gate.example/mcp/mail";
pub(crate) const WEB_REDIRECT: &str = "https://web.example/cb";
pub(crate) const LOOPBACK: &str = "http://127.0.0.1:3334/oauth/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const SECRET: &str = "a-secret-of-the-web-client";
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

#[derive(Default)]
pub(crate) struct Log {
    events: Mutex<Vec<AuditEvent>>,
    pub(crate) broken: AtomicBool,
}

impl Log {
    pub(crate) fn events(&self) -> Vec<AuditEvent> {
        self.events.lock().unwrap().clone()
    }
    pub(crate) fn of(&self, kind: EventKind) -> Vec<AuditEvent> {
        self.events().into_iter().filter(|event| event.kind == kind).collect()
    }
    /// The decision codes of events of `kind`.
    pub(crate) fn codes(&self, kind: EventKind) -> Vec<String> {
        self.of(kind).into_iter().filter_map(|event| event.decision).map(|decision| decision.code).collect()
    }
}

#[async_trait]
impl Recorder for Log {
    async fn record(&self, event: AuditEvent) -> Result<Receipt, RecordError> {
        self.ready()?;
        let mut events = self.events.lock().unwrap();
        events.push(event);
        Ok(Receipt { index: events.len() as u64 - 1, leaf_hash: [0; 32] })
    }
    fn ready(&self) -> Result<(), RecordError> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(RecordError::Poisoned("test".into())),
            false => Ok(()),
        }
    }
}

#[derive(Default)]
pub(crate) struct Documents {
    pub(crate) at: Mutex<HashMap<String, (String, Option<Duration>)>>,
    pub(crate) fetched: AtomicU64,
    /// Whether a fetch never ends.
    pub(crate) stuck: AtomicBool,
    /// What the next fetch waits for.
    pub(crate) gate: Mutex<Option<Arc<tokio::sync::Notify>>>,
}

#[async_trait]
impl DocumentFetcher for Documents {
    async fn fetch(&self, url: &url::Url) -> Result<Document, FetchFault> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        if self.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let gate = self.gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        let at = self.at.lock().unwrap();
        let (text, max_age) = at.get(url.as_str()).ok_or(FetchFault::Unreachable("404".into()))?;
        Ok(Document { bytes: text.clone().into_bytes(), max_age: *max_age })
    }
}

struct Two;

impl Resources for Two {
    fn resource(&self, uri: &str) -> Option<ResourceInfo> {
        self.resources().into_iter().find(|resource| resource.uri == uri)
    }
    fn resources(&self) -> Vec<ResourceInfo> {
        let scope = |name: &str, includes: &str, risky| ScopeInfo {
            scope: Scope::new(name).unwrap(),
            title: format!("Title of {name}"),
            description: "What it does.".into(),
            includes: includes.parse().unwrap(),
            risky,
        };
        let resource = |uri: &str, name: &str, scopes: Vec<ScopeInfo>, initial: &str| ResourceInfo {
            uri: uri.into(),
            upstream: UpstreamName::new(name).unwrap(),
            title: format!("The {name}"),
            scopes,
            initial_scopes: initial.parse().unwrap(),
        };
        vec![
            resource(
                FILES,
                "files",
                vec![
                    scope("files:read", "", false),
                    scope("files:write", "files:read", true),
                    scope("files:share", "", true),
                ],
                "files:read",
            ),
            resource(MAIL, "mail", vec![scope("mail:send", "", true)], "mail:send"),
        ]
    }
}

/// Believes a cookie that names a session made with [`App::sign_in`].
struct Believing {
    store: Arc<dyn Store>,
    sessions: Arc<Mutex<HashMap<String, BrowserSession>>>,
    standing: Arc<Mutex<SessionStanding>>,
    providers: Arc<Mutex<Vec<Provider>>>,
}

/// A tenant's identity provider that sends ID-JAGs.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) issuer: IdJagIssuer,
    /// Its JWK set; null while it is down.
    pub(crate) keys: Value,
    /// Whether whoever it names and nobody knows is made a person, as by `mapping.create`.
    pub(crate) creates: bool,
}

#[async_trait]
impl SignIn for Believing {
    async fn standing(&self, _: &sallyport_model::SessionId) -> Result<SessionStanding, IdentityError> {
        Ok(*self.standing.lock().unwrap())
    }
    async fn id_jag_issuers(&self, issuer: &str) -> Result<Vec<IdJagIssuer>, IdentityError> {
        let all = self.providers.lock().unwrap();
        Ok(all.iter().map(|one| one.issuer.clone()).filter(|one| one.rule.issued(issuer, None)).collect())
    }
    async fn id_jag_keys(&self, of: &IdJagIssuer, _: Option<&JwtFault>) -> Result<Jwks, IdentityError> {
        let all = self.providers.lock().unwrap();
        let one = all.iter().find(|one| one.issuer.connection == of.connection).unwrap();
        if one.keys.is_null() {
            return Err(IdentityError::Provider("it is down".into()));
        }
        Ok(Jwks::parse(one.keys.to_string().as_bytes()).unwrap())
    }
    async fn id_jag_standing(&self, of: &IdJagIssuer, id_jag: &IdJag) -> Result<IdJagStanding, IdentityError> {
        let linked = self.store.link(&of.connection, &format!("{} {}", id_jag.issuer, id_jag.subject)).await?.is_some();
        let domain = id_jag.email.as_deref().and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
        let owner = self.store.domain(domain.unwrap_or_default()).await?.map(|domain| domain.tenant);
        let proved = id_jag.email_verified && owner.as_ref() == Some(&of.tenant);
        Ok(IdJagStanding { linked, proved, owners: owner.into_iter().collect() })
    }
    /// The person whose id is the `sub`, of the connection's tenant.
    async fn id_jag_person(
        &self,
        _: &Source,
        of: &IdJagIssuer,
        id_jag: &IdJag,
    ) -> Result<Result<BrowserSession, IdJagRefused>, IdentityError> {
        let mut person = self.store.person(&UserId::new(&*id_jag.subject).unwrap()).await?;
        let creates = self.providers.lock().unwrap().iter().any(|one| one.creates && one.issuer.tenant == of.tenant);
        if let Some(known) = person.clone().filter(|known| creates && known.tenant != of.tenant) {
            let made = UserId::new(format!("{}-of-{}", known.id, of.tenant)).unwrap();
            let made = Person { login: made.to_string(), id: made, tenant: of.tenant.clone(), ..known };
            self.store.add_person(&made).await?;
            person = Some(made);
        }
        let Some(person) = person.filter(|person| person.tenant == of.tenant) else {
            return Ok(Err(IdJagRefused { code: "not_provisioned", what: "nobody".into() }));
        };
        Ok(Ok(BrowserSession {
            id: SessionId::new(format!("id-jag-{}", person.id)).unwrap(),
            cookie: [0; 32],
            user: person.id,
            tenant: person.tenant,
            methods: vec!["id_jag".into()],
            authenticated_at: id_jag.issued_at,
            expires_at: id_jag.issued_at.plus(Duration::from_secs(12 * 3600)),
            provider: None,
        }))
    }
    async fn current(&self, headers: &HeaderMap) -> Result<Option<SignedIn>, IdentityError> {
        let cookie = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let id = cookie.split("; ").find_map(|pair| pair.strip_prefix("test-session="));
        let session = id.and_then(|id| self.sessions.lock().unwrap().get(id).cloned());
        let Some(session) = session else { return Ok(None) };
        let person = self.store.person(&session.user).await?;
        Ok(person.filter(|person| !person.disabled).map(|person| SignedIn { session, person }))
    }
    fn sign_in_url(&self, continue_to: &str, _: Option<&str>) -> String {
        format!(
            "/signin?continue_to={}",
            url::form_urlencoded::byte_serialize(continue_to.as_bytes()).collect::<String>()
        )
    }
}

pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) log: Arc<Log>,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) documents: Arc<Documents>,
    pub(crate) keys: Arc<KeyRing>,
    /// What the identity provider says of everybody.
    pub(crate) standing: Arc<Mutex<SessionStanding>>,
    /// Tenants' identity providers that send ID-JAGs.
    pub(crate) providers: Arc<Mutex<Vec<Provider>>>,
    /// What platforms publish.
    pub(crate) platforms: Arc<Documents>,
    sessions: Arc<Mutex<HashMap<String, BrowserSession>>>,
    _directory: tempfile::TempDir,
}

struct Parts {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    log: Arc<Log>,
    shell: Arc<Shell>,
    directory: tempfile::TempDir,
}

impl Parts {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store").join("sallyport.db");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path, Zeroizing::new([7; 32])).unwrap());
        seed(store.as_ref()).await;
        let csrf = CsrfKey::new(Zeroizing::new([1; 32]));
        let shell = Arc::new(Shell::new(ISSUER.parse().unwrap(), Branding::default(), csrf).unwrap());
        Self { store, clock: Arc::new(ManualClock::at(START)), log: Arc::default(), shell, directory }
    }
}

impl App {
    pub(crate) async fn new() -> Arc<Self> {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut AuthServerConfig)) -> Arc<Self> {
        let parts = Parts::new().await;
        let sessions = Arc::default();
        let standing = Arc::new(Mutex::new(SessionStanding::Stands));
        let providers = Arc::<Mutex<Vec<Provider>>>::default();
        let (store, kept) = (parts.store.clone(), Arc::clone(&sessions));
        let identity =
            Believing { store, sessions: kept, standing: Arc::clone(&standing), providers: Arc::clone(&providers) };
        let app = Self::build(parts, Arc::new(identity), sessions, change).await;
        Arc::new(Self { standing, providers, ..Arc::into_inner(app).unwrap() })
    }

    /// Another node of the same deployment.
    pub(crate) async fn another_node(&self) -> Arc<Self> {
        let csrf = CsrfKey::new(Zeroizing::new([1; 32]));
        let parts = Parts {
            store: self.store.clone(),
            clock: self.clock.clone(),
            log: self.log.clone(),
            shell: Arc::new(Shell::new(ISSUER.parse().unwrap(), Branding::default(), csrf).unwrap()),
            directory: tempfile::tempdir().unwrap(),
        };
        let identity = Believing {
            store: self.store.clone(),
            sessions: self.sessions.clone(),
            standing: self.standing.clone(),
            providers: self.providers.clone(),
        };
        Self::build(parts, Arc::new(identity), self.sessions.clone(), |_| {}).await
    }

    /// With the real sign-in pages; alice's password is `correct horse battery`.
    pub(crate) async fn with_real_sign_in() -> Arc<Self> {
        let parts = Parts::new().await;
        let hash = hash_password(&Secret::new("correct horse battery"), &SystemRng).unwrap();
        parts.store.set_password(&UserId::new("alice").unwrap(), &hash).await.unwrap();
        let identity = Identity::new(sallyport_identity::Deps {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            rng: Arc::new(SystemRng),
            recorder: parts.log.clone(),
            strangers: Arc::default(),
            providers: ProviderClient::new(AddressPolicy::PublicOnly, Arc::new(SystemResolver), Vec::new()),
            shell: parts.shell.clone(),
            config: IdentityConfig::default(),
        })
        .unwrap();
        let pages = identity.router();
        let mut app = Arc::into_inner(Self::build(parts, Arc::new(identity), Arc::default(), |_| {}).await).unwrap();
        app.router = app.router.merge(pages);
        Arc::new(app)
    }

    async fn build(
        parts: Parts,
        identity: Arc<dyn SignIn>,
        sessions: Arc<Mutex<HashMap<String, BrowserSession>>>,
        change: impl FnOnce(&mut AuthServerConfig),
    ) -> Arc<Self> {
        let documents = Arc::<Documents>::default();
        let platforms = Arc::<Documents>::default();
        let strangers = Arc::<Strangers>::default();
        let mut config = config();
        change(&mut config);
        let server = AuthServer::new(Deps {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            rng: Arc::new(SystemRng),
            recorder: parts.log.clone(),
            strangers: strangers.clone(),
            identity,
            shell: parts.shell,
            documents: documents.clone(),
            platforms: platforms.clone(),
            nonce_key: Zeroizing::new([3; 32]),
            resources: Arc::new(Two),
            config,
        })
        .await
        .unwrap();
        Arc::new(Self {
            router: server.router(),
            keys: server.keys(),
            standing: Arc::new(Mutex::new(SessionStanding::Stands)),
            store: parts.store,
            clock: parts.clock,
            log: parts.log,
            strangers,
            documents,
            platforms,
            providers: Arc::default(),
            sessions,
            _directory: parts.directory,
        })
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        let address = ClientAddress(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        request.extensions_mut().get_or_insert_with(|| address);
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(form_request(path, form)).await
    }

    /// A token request.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.post("/oauth/token", form).await
    }

    /// Registers a public client on loopback.
    pub(crate) async fn register(&self) -> String {
        self.register_with(serde_json::json!({"client_name": "A tool", "redirect_uris": [LOOPBACK]}))
            .await
            .text("client_id")
    }

    pub(crate) async fn register_with(&self, metadata: Value) -> Answer {
        let request = Request::post("/oauth/register").header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(metadata.to_string())).unwrap()).await
    }

    /// A browser in which nobody is signed in.
    pub(crate) fn browser(self: &Arc<Self>) -> Browser {
        Browser { app: Arc::clone(self), cookies: BTreeMap::new() }
    }

    /// A browser in which alice is signed in.
    pub(crate) fn alice(self: &Arc<Self>) -> Browser {
        let mut browser = self.browser();
        browser.sign_in("alice");
        browser
    }

    /// Verifies an access token for `audience` as the proxy does.
    pub(crate) fn verify(&self, token: &str, audience: &str) -> Result<sallyport_model::Principal, TokenFault> {
        let expect = Expect { issuer: ISSUER, audience, now: self.clock.now(), leeway: Duration::from_secs(5) };
        verify_access_token(token, self.keys.as_ref(), &expect)
    }

    /// Tokens of alice for `client` at the files, by the whole flow.
    pub(crate) async fn tokens(self: &Arc<Self>, client: &str, redirect_uri: &str) -> Answer {
        let code = self.alice().code(&request(client, redirect_uri)).await;
        let answer = self.token(&redeem(client, redirect_uri, &code)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }
}

fn config() -> AuthServerConfig {
    let mut config = AuthServerConfig::new(ISSUER);
    config.dynamic_registration = true;
    config.rates = Rates {
        registrations_per_hour: 1000,
        authorizations_per_minute: 1000,
        recorded_refusals_per_minute: 1000,
        document_fetches_per_minute: 1000,
    };
    let sha256 = |text: &str| {
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref());
        out
    };
    let client = |id: &str, redirect: &[&str], grants: &[&str], agent: Option<&str>| PreregisteredClient {
        id: ClientId::new(id).unwrap(),
        name: format!("Client {id}"),
        redirect_uris: redirect.iter().map(|uri| (*uri).to_owned()).collect(),
        application_type: ApplicationType::Web,
        auth: ClientAuthMethod::Secret { sha256: sha256(SECRET) },
        grant_types: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        agent: agent.map(|agent| AgentId::new(agent).unwrap()),
    };
    config.clients = vec![
        client("web", &[WEB_REDIRECT], &["authorization_code", "refresh_token"], None),
        client("robot", &[], &["client_credentials"], Some("robot-1")),
    ];
    config.introspection_callers = vec![IntrospectionCaller {
        id: "files-server".into(),
        secret_sha256: sha256("introspect"),
        resources: vec![FILES.into()],
    }];
    config
}

async fn seed(store: &dyn Store) {
    let tenant = TenantId::new("acme").unwrap();
    let new = Tenant::new(tenant.clone(), "Acme", START);
    store.put_tenant(&new).await.unwrap();
    for login in ["alice", "bob"] {
        let person = Person {
            id: UserId::new(login).unwrap(),
            tenant: tenant.clone(),
            origin: PersonOrigin::Local,
            login: login.into(),
            email: None,
            display_name: format!("{login} of Acme"),
            role: Role::User,
            groups: Vec::new(),
            password_hash: None,
            disabled: false,
            created_at: START,
        };
        store.add_person(&person).await.unwrap();
    }
    let agent = Agent {
        id: AgentId::new("robot-1").unwrap(),
        tenant,
        client: ClientId::new("robot").unwrap(),
        name: "Robot".into(),
        owner: None,
        purpose: "tests".into(),
        scopes: "files:write".parse().unwrap(),
        resources: vec![FILES.into()],
        created_at: START,
        suspended: false,
        bounds: AgentBounds::default(),
        last_used_at: None,
    };
    store.put_agent(&agent).await.unwrap();
}

/// A usual authorization request.
pub(crate) fn request<'a>(client: &'a str, redirect_uri: &'a str) -> Vec<(&'a str, String)> {
    vec![
        ("response_type", "code".into()),
        ("client_id", client.into()),
        ("redirect_uri", redirect_uri.into()),
        ("state", "st&te=1".into()),
        ("code_challenge", pkce::challenge_of(VERIFIER)),
        ("code_challenge_method", "S256".into()),
        ("resource", FILES.into()),
        ("scope", "files:read".into()),
    ]
}

/// The same with one parameter set, or left out when `value` is empty.
pub(crate) fn changed<'a>(mut request: Vec<(&'a str, String)>, name: &'a str, value: &str) -> Vec<(&'a str, String)> {
    request.retain(|(key, _)| *key != name);
    if !value.is_empty() {
        request.push((name, value.to_owned()));
    }
    request
}

pub(crate) fn authorize_path(request: &[(&str, String)]) -> String {
    format!("/oauth/authorize?{}", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(request).finish())
}

/// A usual code redemption.
pub(crate) fn redeem<'a>(client: &'a str, redirect_uri: &'a str, code: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("resource", FILES),
    ]
}

pub(crate) fn form_request(path: &str, form: &[(&str, &str)]) -> Request<Body> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Body::from(body)).unwrap()
}

pub(crate) fn basic(mut request: Request<Body>, id: &str, secret: &str) -> Request<Body> {
    let value = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
    request
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.body))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {} {}", self.status, self.body)).to_owned()
    }

    pub(crate) fn error(&self) -> String {
        self.text("error")
    }

    pub(crate) fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION).map(|value| value.to_str().unwrap())
    }

    /// A parameter of the redirect.
    pub(crate) fn answered(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(self.location().unwrap_or_else(|| panic!("{} {}", self.status, self.body))).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The value of a hidden field of a page.
    pub(crate) fn field(&self, name: &str) -> String {
        let at = self.body.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name} in {}", self.body));
        let rest = &self.body[at..];
        let start = rest.find("value=\"").unwrap() + 7;
        rest[start..].split('"').next().unwrap().to_owned()
    }
}

#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) app: Arc<App>,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Lets every session stand on one at an identity provider.
    pub(crate) fn federate(&self) {
        for session in self.app.sessions.lock().unwrap().values_mut() {
            session.provider = Some(ProviderSession {
                connection: ConnectionId::new("c").unwrap(),
                subject: "s".into(),
                session: None,
                not_after: Some(session.authenticated_at.plus(Duration::from_secs(600))),
            });
        }
    }

    pub(crate) fn sign_in(&mut self, login: &str) {
        let now = self.app.clock.now();
        let id = format!("session-{}", self.app.sessions.lock().unwrap().len());
        let session = BrowserSession {
            id: SessionId::new(&*id).unwrap(),
            cookie: [0; 32],
            user: UserId::new(login).unwrap(),
            tenant: TenantId::new("acme").unwrap(),
            methods: vec!["pwd".into()],
            authenticated_at: now,
            expires_at: now.plus(Duration::from_secs(12 * 3600)),
            provider: None,
        };
        self.app.sessions.lock().unwrap().insert(id.clone(), session);
        self.cookies.insert("test-session".into(), id);
    }

    pub(crate) async fn send(&mut self, mut request: Request<Body>) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request.headers_mut().insert(header::COOKIE, cookies.join("; ").parse().unwrap());
        }
        let answer = self.app.send(request).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(form_request(path, form)).await
    }

    /// Sends an authorization request and follows redirects within the server.
    pub(crate) async fn authorize(&mut self, request: &[(&str, String)]) -> Answer {
        self.walk(&authorize_path(request)).await
    }

    pub(crate) async fn walk(&mut self, path: &str) -> Answer {
        let mut answer = self.get(path).await;
        for _ in 0..12 {
            let Some(next) = answer.location().filter(|next| next.starts_with("/oauth/")).map(str::to_owned) else {
                return answer;
            };
            answer = self.get(&next).await;
        }
        panic!("the browser is sent in circles")
    }

    /// Presses a button of a consent page.
    pub(crate) async fn decide(&mut self, page: &Answer, decision: &str) -> Answer {
        let (csrf, handle) = (page.field("csrf"), page.field("handle"));
        self.post("/oauth/consent", &[("csrf", &csrf), ("handle", &handle), ("decision", decision)]).await
    }

    /// Authorizes, consents, and gives the code.
    pub(crate) async fn code(&mut self, request: &[(&str, String)]) -> String {
        let page = self.authorize(request).await;
        assert_eq!(page.status, StatusCode::OK, "{:?} {}", page.location(), page.body);
        let answer = self.decide(&page, "allow").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        answer.answered("code").unwrap()
    }
}

pub(crate) fn scopes(text: &str) -> ScopeSet {
    text.parse().unwrap()
}
