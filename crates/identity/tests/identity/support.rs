//! A deployment of identity alone, and a browser that keeps cookies and fills forms.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use sallyport_identity::{Deps, Identity, IdentityConfig, NewPerson};
use sallyport_model::{
    AuditEvent, Clock, EventKind, ManualClock, Receipt, RecordError, Recorder, Rng, Secret, SeededRng, Strangers,
    TenantId, Timestamp,
};
use sallyport_outbound::{AddressPolicy, guard::SystemResolver, provider::ProviderClient};
use sallyport_storage::{Digest, Person, Role, Store, Tenant, sqlite::SqliteStore};
use sallyport_web::{Branding, ClientAddress, CsrfKey, Shell};
use tower::ServiceExt;
use zeroize::Zeroizing;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Keeps events, or refuses them.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) events: Mutex<Vec<AuditEvent>>,
    pub(crate) broken: AtomicBool,
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
            true => Err(RecordError::Poisoned("full disk".to_owned())),
            false => Ok(()),
        }
    }
}

impl Log {
    pub(crate) fn last(&self) -> AuditEvent {
        self.events.lock().unwrap().last().expect("an event").clone()
    }

    pub(crate) fn count(&self, kind: EventKind) -> usize {
        self.events.lock().unwrap().iter().filter(|event| event.kind == kind).count()
    }
}

pub(crate) struct TestApp {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) log: Arc<Log>,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) shell: Arc<Shell>,
    pub(crate) identity: Identity,
    pub(crate) router: Router,
    _folder: tempfile::TempDir,
}

/// A way to providers; none is reached by it.
pub(crate) fn providers() -> ProviderClient {
    ProviderClient::new(AddressPolicy::PublicOnly, Arc::new(SystemResolver), Vec::new())
}

/// As a bearer value is stored.
pub(crate) fn digest(text: &str) -> Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::with("https://gate.example", IdentityConfig::default()).await
    }

    pub(crate) async fn with(public_url: &str, config: IdentityConfig) -> Self {
        Self::built(public_url, config, providers()).await
    }

    /// One that reaches providers on this machine's loopback.
    pub(crate) async fn with_providers() -> Self {
        let loopback = AddressPolicy::Allowing(vec!["127.0.0.0/8".parse().unwrap()]);
        let providers = ProviderClient::new(loopback, Arc::new(SystemResolver), Vec::new());
        Self::built("https://gate.example", IdentityConfig::default(), providers).await
    }

    async fn built(public_url: &str, config: IdentityConfig, providers: ProviderClient) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db"), Zeroizing::new([7; 32])).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(42));
        let log = Arc::new(Log::default());
        let strangers = Arc::<Strangers>::default();
        let key = CsrfKey::new(Zeroizing::new([3; 32]));
        let shell = Arc::new(Shell::new(public_url.parse().unwrap(), Branding::default(), key).unwrap());
        for name in ["acme", "globex"] {
            let id = TenantId::new(name).unwrap();
            let now = Timestamp::from_secs(1);
            store.put_tenant(&Tenant::new(id, name, now)).await.unwrap();
        }
        let identity = Identity::new(Deps {
            store: store.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            recorder: log.clone(),
            strangers: strangers.clone(),
            providers,
            shell: shell.clone(),
            config,
        })
        .unwrap();
        let router = identity.router().merge(shell.router());
        Self { store, clock, rng, log, strangers, shell, identity, router, _folder: folder }
    }

    pub(crate) async fn person(&self, login: &str, role: Role) -> Person {
        let new = NewPerson {
            tenant: tenant(),
            login: login.to_owned(),
            email: Some(format!("{login}@acme.example")),
            display_name: format!("Ms {login}"),
            role,
            password: Some(Secret::new(PASSWORD)),
        };
        self.identity.create_person(new).await.unwrap()
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::at(self.router.clone(), "192.0.2.1")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn later(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }

    /// The value of the first hidden or other input called `name`.
    pub(crate) fn field(&self, name: &str) -> String {
        let from = self.text.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name}: {}", self.text));
        let rest = &self.text[from..];
        let value = rest.split("value=\"").nth(1).unwrap().split('"').next().unwrap();
        value.replace("&amp;", "&")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The first attribute `name` of the page.
    pub(crate) fn attribute(&self, name: &str) -> String {
        self.text.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    pub(crate) fn set_cookies(&self) -> Vec<String> {
        self.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }
}

#[derive(Clone)]
pub(crate) struct Browser {
    router: Router,
    address: IpAddr,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Browser {
    pub(crate) fn at(router: Router, address: &str) -> Self {
        Self { router, address: address.parse().unwrap(), cookies: BTreeMap::new(), headers: Vec::new() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url_form(fields);
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn post_json(&mut self, path: &str, body: &serde_json::Value) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn send(&mut self, mut request: Request<Body>) -> Answer {
        if !self.cookies.is_empty() {
            let line: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(header::COOKIE, line.join("; ").parse().unwrap());
        }
        for (name, value) in &self.headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        request.extensions_mut().insert(ClientAddress(self.address));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let answer = Answer { status: parts.status, headers: parts.headers, text };
        for cookie in answer.set_cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match value.is_empty() {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// Opens the form and sends it.
    pub(crate) async fn sign_in(&mut self, login: &str, password: &str, continue_to: &str) -> Answer {
        let csrf = self.get("/signin").await.field("csrf");
        let fields = [("csrf", csrf.as_str()), ("continue_to", continue_to), ("login", login), ("password", password)];
        self.post("/signin", &fields).await
    }

    pub(crate) fn header_map(&self) -> HeaderMap {
        let line: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        HeaderMap::from_iter([(header::COOKIE, line.join("; ").parse().unwrap())])
    }
}

fn url_form(fields: &[(&str, &str)]) -> String {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
