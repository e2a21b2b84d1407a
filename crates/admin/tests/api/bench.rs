//! Two tenants with everything that a tenant can have, and the API before them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use sallyport_admin::{
    api::{AdminApi, BASE, Deps},
    tenancy::{Author, Bounds, Noticed, Parts, Tenancy, api_tokens, sha256},
};
use sallyport_model::{
    Actor, AuditEvent, ClientId, GrantId, ManualClock, Receipt, RecordError, Recorder, ScopeSet, SeededRng, SessionId,
    SignalStreamId, TenantId, Timestamp, UserId,
};
use sallyport_outbound::{AddressPolicy, guard::SystemResolver, provider::ProviderClient};
use sallyport_storage::{
    ApiRole, BrowserSession, Connection, ConnectionProtocol, Domain, DomainProof, Grant, Link, Person, PersonOrigin,
    ProviderSession, Role, ScimClient, SignalDelivery, SignalStream, SqliteStore, Store, Tenant,
};
use sallyport_web::ClientAddress;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// 2026-09-21T14:13:20Z
pub const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
pub const SECRET: &str = "the-secret-of-the-provider";

/// Keeps events, or refuses them.
#[derive(Default)]
pub struct Kept {
    pub events: Mutex<Vec<AuditEvent>>,
    pub full: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Recorder for Kept {
    async fn record(&self, event: AuditEvent) -> Result<Receipt, RecordError> {
        self.ready()?;
        let mut events = self.events.lock().unwrap();
        events.push(event);
        Ok(Receipt { index: events.len() as u64, leaf_hash: [0; 32] })
    }

    fn ready(&self) -> Result<(), RecordError> {
        match self.full.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(RecordError::Poisoned("no space".into())),
            false => Ok(()),
        }
    }
}

pub struct Bench {
    _dir: tempfile::TempDir,
    pub store: Arc<dyn Store>,
    pub kept: Arc<Kept>,
    pub clock: Arc<ManualClock>,
    pub router: Router,
    pub tenancy: Tenancy,
    /// The operator's token.
    pub operator: String,
    /// Of the administrators of `acme` and `beta`.
    pub acme: String,
    pub beta: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

pub fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

/// The ids of a tenant's things, by the names of the document's path parameters.
pub fn ids(of: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("tenant", of.to_owned()),
        ("domain", format!("{of}.example")),
        ("connection", format!("c-{of}")),
        ("stream", format!("st-{of}")),
        ("person", format!("u-{of}")),
        ("session", format!("s-{of}")),
        ("grant", format!("g-{of}")),
    ])
}

impl Bench {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private/store.db");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path, zeroize::Zeroizing::new([7; 32])).unwrap());
        let clock = Arc::new(ManualClock::at(NOW));
        let kept = Arc::new(Kept::default());
        let rng = Arc::new(SeededRng::new(7));
        let bounds = Bounds {
            origin: "https://gate.example".into(),
            configured: vec![tenant("gamma")],
            reserved: "sallyport-gate",
            access_token: 300,
            refresh_idle: 8 * 3600,
            grant: 24 * 3600,
            delegation: 8 * 3600,
            session: 12 * 3600,
            local_directory: true,
        };
        let api = AdminApi::new(Deps {
            store: store.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            recorder: kept.clone(),
            bounds: bounds.clone(),
            providers: ProviderClient::new(AddressPolicy::PublicOnly, Arc::new(SystemResolver), Vec::new()),
            name_server: Some(([127, 0, 0, 1], 9).into()),
        });
        let journal = Arc::new(Noticed(store.clone()));
        let parts = Parts { store: store.clone(), clock: clock.clone(), rng, journal, bounds };
        let tenancy = Tenancy::new(Arc::new(parts), Author::Account("ann (uid 1000)".into()));
        for id in ["acme", "beta", "gamma"] {
            store.put_tenant(&Tenant::new(tenant(id), format!("{id} Ltd"), NOW)).await.unwrap();
        }
        for id in ["acme", "beta"] {
            fill(store.as_ref(), id).await;
        }
        let token = async |role| api_tokens::create(&tenancy, role, "ci", None).await.unwrap().1.expose().to_owned();
        let operator = token(ApiRole::Operator).await;
        let acme = token(ApiRole::Administrator(tenant("acme"))).await;
        let beta = token(ApiRole::Administrator(tenant("beta"))).await;
        Self { _dir: dir, store, kept, clock, router: api.router(), tenancy, operator, acme, beta }
    }

    /// What a request gets, whatever it is; its token is whole, or there is none.
    pub async fn raw(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), 1 << 22).await.unwrap();
        let json = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        if status != StatusCode::NO_CONTENT {
            assert_eq!(headers[header::CACHE_CONTROL], "no-store");
            let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
            assert_eq!(headers[header::CONTENT_TYPE], kind, "{status} {json}");
        }
        assert!(
            !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) && !headers.contains_key(header::SET_COOKIE)
        );
        Answered { status, headers, json }
    }

    pub fn request(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header(header::HOST, "127.0.0.1:9090")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .extension(ClientAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()
    }

    pub async fn send(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Answered {
        self.raw(self.request(token, method, path, body)).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answered {
        self.send(token, Method::GET, path, None).await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answered {
        let body = (!body.is_null()).then_some(body);
        self.send(token, Method::POST, path, body.as_ref()).await
    }

    pub async fn delete(&self, token: &str, path: &str) -> Answered {
        self.send(token, Method::DELETE, path, None).await
    }

    /// A change of the state that `etag` names.
    pub async fn change(&self, token: &str, method: Method, path: &str, etag: &str, body: &Value) -> Answered {
        let mut request = self.request(token, method, path, Some(body));
        request.headers_mut().insert(header::IF_MATCH, etag.parse().unwrap());
        self.raw(request).await
    }

    pub async fn document(&self) -> Value {
        self.get(&self.operator, "/openapi.json").await.json
    }

    /// The id of a tenant's token of the kind that is listed at `path`.
    pub async fn token_id(&self, of: &str, path: &str) -> String {
        let listed = self.get(&self.operator, &format!("/tenants/{of}/{path}")).await;
        listed.json["items"][0]["id"].as_str().unwrap().to_owned()
    }

    /// What has been recorded of the admin API.
    pub fn events(&self) -> Vec<AuditEvent> {
        self.kept.events.lock().unwrap().clone()
    }

    /// The last event's action, tenant and who did it.
    pub fn noted(&self) -> (String, Option<String>, Value) {
        let event = self.events().pop().expect("something was recorded");
        assert!(event.source.is_some_and(|source| source.address == "127.0.0.1"));
        let text = |name: &str| event.facts[name].as_str().unwrap().to_owned();
        assert!(text("by").starts_with("API token "));
        (text("action"), event.tenant.map(String::from), event.facts["api_token"]["name"].clone())
    }

    /// Everything of a tenant that the store has.
    pub async fn everything(&self, of: &str) -> String {
        let (store, id) = (&self.store, tenant(of));
        let mut all = format!("{:?}", store.tenant(&id).await.unwrap());
        for connection in store.connections(&id).await.unwrap() {
            all +=
                &format!("{connection:?} {} {} {:?}", connection.enabled, connection.settings, connection.changed_at);
        }
        all += &format!("{:?}", store.domains(&id).await.unwrap());
        all += &format!("{:?}", store.scim_clients(&id).await.unwrap());
        all += &format!("{:?}", store.api_tokens(Some(&id)).await.unwrap());
        for stream in store.streams(Some(&id)).await.unwrap() {
            all += &format!("{stream:?} {} {:?}", stream.settings, stream.verified_at);
        }
        for person in store.people(&id).await.unwrap() {
            all += &format!("{person:?} {:?}", store.links(&person.id).await.unwrap());
            all += &format!("{:?}", store.grants_of(&id, &Actor::Human(person.id), NOW).await.unwrap());
        }
        all += &format!("{:?}", store.browser_sessions(&id, None, NOW).await.unwrap());
        all + &format!("{:?}", store.revocations_after(0, 1000).await.unwrap())
    }
}

/// Everything that a tenant can have.
async fn fill(store: &dyn Store, of: &str) {
    let (id, at) = (tenant(of), ids(of));
    let before = NOW.minus(Duration::from_secs(60));
    let later = NOW.plus(Duration::from_secs(3600));
    let user = UserId::new(&*at["person"]).unwrap();
    let person = Person {
        id: user.clone(),
        tenant: id.clone(),
        origin: PersonOrigin::External,
        login: at["person"].clone(),
        email: Some(format!("ann@{of}.example")),
        display_name: format!("Ann of {of}"),
        role: Role::User,
        groups: vec!["staff".into()],
        password_hash: None,
        disabled: false,
        created_at: before,
    };
    store.add_person(&person).await.unwrap();
    let settings = json!({
        "protocol": "oidc", "preset": "standard", "issuer": format!("https://idp.{of}.example"), "client_id": "gate",
        "client_secret": SECRET, "ask_again": true,
    });
    let connection = Connection {
        id: at["connection"].parse().unwrap(),
        tenant: id.clone(),
        name: "idp".into(),
        protocol: ConnectionProtocol::Oidc,
        settings: settings.to_string(),
        enabled: true,
        created_at: before,
        changed_at: before,
    };
    store.put_connection(&connection).await.unwrap();
    let domain = Domain {
        tenant: id.clone(),
        name: at["domain"].clone(),
        challenge: format!("challenge of {of}"),
        connection: Some(connection.id.clone()),
        claimed_at: before,
        proved: Some((DomainProof::Dns, before)),
    };
    store.put_domain(&domain).await.unwrap();
    let link = Link {
        tenant: id.clone(),
        connection: connection.id.clone(),
        subject: format!("iss {of}"),
        user: user.clone(),
        linked_at: before,
        last_seen_at: before,
        asserted: json!({ "email": [format!("ann@{of}.example")], "groups": ["staff"] }).to_string(),
    };
    store.put_link(&link).await.unwrap();
    let client = ScimClient {
        id: format!("sc-{of}").parse().unwrap(),
        tenant: id.clone(),
        name: "Okta".into(),
        token: sha256(of),
        created_at: before,
        expires_at: Some(later),
    };
    store.add_scim_client(&client).await.unwrap();
    let stream = SignalStream {
        id: SignalStreamId::new(&*at["stream"]).unwrap(),
        tenant: id.clone(),
        connection: Some(connection.id.clone()),
        delivery: SignalDelivery::TokenRevocation,
        settings: "{}".into(),
        token: Some(sha256(&format!("stream {of}"))),
        created_at: before,
        verified_at: None,
        last_event_at: None,
        last_fault: None,
    };
    store.put_stream(&stream).await.unwrap();
    let provider = ProviderSession {
        connection: connection.id.clone(),
        subject: format!("iss {of}"),
        session: None,
        not_after: None,
    };
    signed_in(store, of, &at["session"], &at["grant"], Some(provider)).await;
}

/// Ann of that tenant signs in, and gives a grant.
pub async fn signed_in(store: &dyn Store, of: &str, session: &str, grant: &str, provider: Option<ProviderSession>) {
    let before = NOW.minus(Duration::from_secs(30));
    let later = NOW.plus(Duration::from_secs(3600));
    let user = UserId::new(format!("u-{of}")).unwrap();
    let begun = BrowserSession {
        id: SessionId::new(session).unwrap(),
        cookie: sha256(session),
        user: user.clone(),
        tenant: tenant(of),
        methods: vec!["pwd".into()],
        authenticated_at: before,
        expires_at: later,
        provider,
    };
    store.add_browser_session(&begun).await.unwrap();
    let grant = Grant {
        id: GrantId::new(grant).unwrap(),
        tenant: tenant(of),
        subject: Actor::Human(user),
        actors: Vec::new(),
        ancestors: Vec::new(),
        client: ClientId::new("cli").unwrap(),
        resource: "https://gate.example/mcp/up".into(),
        scopes: ScopeSet::default(),
        session: begun.id.clone(),
        authenticated_at: before,
        created_at: before,
        expires_at: later,
        revoked_at: None,
        bound_to: None,
    };
    store.add_grant(&grant).await.unwrap();
}
