//! A transmitter of security events on a loopback socket, and people with access that events may end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use sallyport_identity::{
    Deps, Identity, IdentityConfig,
    ssf::{
        settings::OpaqueSubject,
        setup::{NewStream, SignalSetup},
    },
};
use sallyport_model::{Actor, Clock, ConnectionId, GrantId, Secret, SessionId, SignalStreamId, TenantId, UserId};
use sallyport_outbound::{AddressPolicy, guard::SystemResolver, provider::ProviderClient};
use sallyport_storage::{
    BrowserSession, Connection, ConnectionProtocol, Digest, Domain, DomainProof, Grant, Link, NewRefresh, Person,
    PersonOrigin, ProviderSession, Role, SignalStream, Store,
};
use serde_json::{Value, json};

use crate::{
    oidc_provider::{Key, b64, with},
    ssf_failing::Failing,
    support::{Answer, Browser, TestApp},
};

pub(crate) const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
pub(crate) const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
pub(crate) const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
pub(crate) const AUDIENCE: &str = "https://gate.example/audience";
pub(crate) const IDP: &str = "https://idp.example";
const TOKEN: &str = "token-of-the-transmitter";

/// What the transmitter is and knows.
pub(crate) struct Known {
    pub(crate) keys: Vec<Key>,
    pub(crate) down: bool,
    /// What a request for a stream is answered with instead.
    pub(crate) refuses: Option<u16>,
    /// The streams that were made: what was asked for.
    pub(crate) streams: Vec<Value>,
    /// The states of verification requests.
    pub(crate) states: Vec<String>,
    /// Tokens that wait to be polled, by `jti`.
    pub(crate) waiting: BTreeMap<String, String>,
    /// At most so many in one answer to a poll.
    pub(crate) page: usize,
    pub(crate) acknowledged: Vec<String>,
    pub(crate) errors: BTreeMap<String, Value>,
    /// Every request: method and path.
    pub(crate) seen: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Transmitter {
    pub(crate) issuer: String,
    known: Arc<Mutex<Known>>,
}

impl Transmitter {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let known = Known {
            keys: vec![Key::new("k1")],
            down: false,
            refuses: None,
            streams: Vec::new(),
            states: Vec::new(),
            waiting: BTreeMap::new(),
            page: 100,
            acknowledged: Vec::new(),
            errors: BTreeMap::new(),
            seen: Vec::new(),
        };
        let transmitter = Self { issuer, known: Arc::new(Mutex::new(known)) };
        let router = Router::new().fallback(serve).with_state(transmitter.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        transmitter
    }

    pub(crate) fn is(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    pub(crate) fn asked(&self, what: &str) -> usize {
        self.is().seen.iter().filter(|seen| *seen == what).count()
    }

    /// A token with any header and any claims, by the newest key.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let known = self.is();
        let key = known.keys.last().unwrap();
        key.sign(&with(json!({"alg": "ES256", "kid": key.kid, "typ": "secevent+jwt"}), header), claims)
    }

    /// Lays a token ready for the next poll.
    pub(crate) fn lay_ready(&self, jti: &str, token: String) {
        self.is().waiting.insert(jti.to_owned(), token);
    }

    fn configuration(&self, asked: &Value, id: &str) -> Value {
        let mut delivery = asked["delivery"].clone();
        if delivery["method"] == "urn:ietf:rfc:8936" {
            delivery["endpoint_url"] = json!(format!("{}/poll/{id}", self.issuer));
        }
        delivery.as_object_mut().unwrap().shift_remove("authorization_header");
        json!({"stream_id": id, "iss": self.issuer, "aud": AUDIENCE, "delivery": delivery,
            "events_delivered": asked["events_requested"]})
    }
}

async fn serve(State(transmitter): State<Transmitter>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    transmitter.is().seen.push(format!("{} {path}", parts.method));
    let body = body.collect().await.unwrap().to_bytes();
    if transmitter.is().down {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let ok = |body: Value| Json(body).into_response();
    let issuer = &transmitter.issuer;
    match path.as_str() {
        "/.well-known/ssf-configuration" => {
            return ok(json!({
                "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"), "default_subjects": "ALL",
                "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
                "configuration_endpoint": format!("{issuer}/stream"), "critical_subject_members": ["device"],
                "verification_endpoint": format!("{issuer}/verify"),
            }));
        }
        "/.well-known/openid-configuration" => {
            return ok(json!({
                "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"),
                "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
                "response_types_supported": ["code"], "id_token_signing_alg_values_supported": ["ES256"],
            }));
        }
        "/jwks" => {
            let keys: Vec<Value> = transmitter.is().keys.iter().map(jwk).collect();
            return ok(json!({ "keys": keys }));
        }
        _ => {}
    }
    let bearer = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    if bearer != Some(format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (&parts.method, path.as_str()) {
        (&Method::POST, "/stream") => {
            if let Some(status) = transmitter.is().refuses {
                return StatusCode::from_u16(status).unwrap().into_response();
            }
            let id = format!("stream-{}", transmitter.is().streams.len());
            transmitter.is().streams.push(asked.clone());
            (StatusCode::CREATED, Json(transmitter.configuration(&asked, &id))).into_response()
        }
        (&Method::DELETE, "/stream") => StatusCode::NO_CONTENT.into_response(),
        (&Method::POST, "/verify") => {
            transmitter.is().states.push(asked["state"].as_str().unwrap().to_owned());
            StatusCode::NO_CONTENT.into_response()
        }
        (&Method::POST, path) if path.starts_with("/poll/") => ok(poll(&mut transmitter.is(), &asked)),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// RFC 8936 section 2.
fn poll(known: &mut Known, asked: &Value) -> Value {
    assert_eq!(asked["returnImmediately"], json!(true), "nobody waits here");
    for jti in asked["ack"].as_array().into_iter().flatten() {
        let jti = jti.as_str().unwrap();
        assert!(known.waiting.remove(jti).is_some(), "{jti} was not given");
        known.acknowledged.push(jti.to_owned());
    }
    for (jti, error) in asked["setErrs"].as_object().into_iter().flatten() {
        assert!(known.waiting.remove(jti).is_some(), "{jti} was not given");
        known.errors.insert(jti.clone(), error.clone());
    }
    let most = usize::try_from(asked["maxEvents"].as_u64().unwrap()).unwrap().min(known.page);
    let sets: BTreeMap<_, _> = known.waiting.iter().take(most).collect();
    json!({"sets": sets, "moreAvailable": known.waiting.len() > sets.len()})
}

fn jwk(key: &Key) -> Value {
    let point = key.point();
    json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]), "kid": key.kid, "use": "sig"})
}

/// A tenant with two connections, a transmitter, and a stream from it.
pub(crate) struct Scene {
    pub(crate) app: TestApp,
    pub(crate) failing: Arc<Failing>,
    pub(crate) identity: Identity,
    pub(crate) browser: Browser,
    pub(crate) transmitter: Transmitter,
    pub(crate) connection: ConnectionId,
    pub(crate) other: ConnectionId,
    pub(crate) stream: SignalStreamId,
    pub(crate) bearer: String,
}

/// Somebody's access, by every credential.
pub(crate) struct Access {
    pub(crate) person: Person,
    cookie: Digest,
    grant: GrantId,
    refresh: Digest,
}

pub(crate) fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

/// How a stream is made.
pub(crate) struct Made {
    pub(crate) push: bool,
    pub(crate) of_connection: bool,
    pub(crate) opaque: OpaqueSubject,
    pub(crate) customer: Option<String>,
}

impl Default for Made {
    fn default() -> Self {
        Self { push: true, of_connection: true, opaque: OpaqueSubject::Subject, customer: None }
    }
}

pub(crate) fn loopback() -> ProviderClient {
    let policy = AddressPolicy::Allowing(vec!["127.0.0.0/8".parse().unwrap()]);
    ProviderClient::new(policy, Arc::new(SystemResolver), Vec::new())
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::made(Made::default()).await
    }

    pub(crate) async fn made(made: Made) -> Self {
        let app = TestApp::with_providers().await;
        let failing = Failing::around(app.store.clone());
        let identity = another_node(&app, failing.clone());
        let browser = Browser::at(identity.router(), "192.0.2.9");
        let connection = connect(&app, "acme", "idp").await;
        let other = connect(&app, "acme", "other").await;
        let transmitter = Transmitter::start().await;
        let stream = SignalStreamId::new("unset").unwrap();
        let bearer = String::new();
        let mut scene = Self { app, failing, identity, browser, transmitter, connection, other, stream, bearer };
        let added = scene.add(&made).await;
        let asked = scene.transmitter.is().streams.last().unwrap().clone();
        let header = asked["delivery"]["authorization_header"].as_str().unwrap_or_default();
        scene.bearer = header.trim_start_matches("Bearer ").to_owned();
        scene.stream = added.id;
        scene.transmitter.is().seen.clear();
        scene
    }

    pub(crate) async fn add(&self, made: &Made) -> SignalStream {
        let providers = loopback();
        let setup = SignalSetup {
            providers: &providers,
            store: self.app.store.as_ref(),
            rng: self.app.rng.as_ref(),
            now: self.app.now(),
            origin: "https://gate.example",
        };
        let metadata = setup.metadata(&self.transmitter.issuer).await.unwrap();
        let added = setup.add(&metadata, self.new_stream(made)).await.unwrap();
        assert_eq!(added.configuration.audience, [AUDIENCE]);
        assert!(setup.ask_verification(&metadata, &added.stream).await.unwrap());
        added.stream
    }

    pub(crate) fn new_stream(&self, made: &Made) -> NewStream {
        NewStream {
            tenant: acme(),
            connection: made.of_connection.then(|| self.connection.clone()),
            token: Secret::new(TOKEN),
            push: made.push,
            description: "for a test".to_owned(),
            opaque: made.opaque,
            customer: made.customer.clone(),
        }
    }

    /// A good token about `subject`.
    pub(crate) fn claims(&self, jti: &str, event: &str, payload: &Value, subject: &Value) -> Value {
        json!({
            "iss": self.transmitter.issuer, "aud": AUDIENCE, "jti": jti, "iat": self.app.now().as_secs(),
            "txn": "t1", "sub_id": subject, "events": {event: payload},
        })
    }

    /// Pushes a good token about `subject`.
    pub(crate) async fn tell(&mut self, jti: &str, event: &str, payload: &Value, subject: &Value) -> Answer {
        let token = self.transmitter.sign(&json!({}), &self.claims(jti, event, payload, subject));
        self.push(&token).await
    }

    pub(crate) async fn push(&mut self, token: &str) -> Answer {
        let authorization = format!("Bearer {}", self.bearer);
        self.push_as(Some(&authorization), "application/secevent+jwt", token.to_owned()).await
    }

    pub(crate) async fn push_as(&mut self, authorization: Option<&str>, kind: &str, body: String) -> Answer {
        let mut request = Request::post(format!("/signals/{}/events", self.stream)).header(header::CONTENT_TYPE, kind);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.browser.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn kept(&self) -> SignalStream {
        self.app.store.stream(&self.stream).await.unwrap().unwrap()
    }

    /// The last epoch of the revocation log.
    pub(crate) async fn epoch(&self) -> u64 {
        self.app.store.revocations_after(0, 10_000).await.unwrap().last().map_or(0, |last| last.epoch)
    }

    /// A fact of the last event of the log.
    pub(crate) fn fact(&self, name: &str) -> Value {
        self.app.log.last().facts.get(name).cloned().unwrap_or_default()
    }

    /// Somebody of a connection, with a session, a grant and a refresh token.
    pub(crate) async fn access(&self, connection: &ConnectionId, subject: &str, session: Option<&str>) -> Access {
        let tenant = self.app.store.connection(connection).await.unwrap().unwrap().tenant;
        let person = person(&self.app, &tenant, connection, subject).await;
        self.access_of(person, connection, subject, session).await
    }

    pub(crate) async fn access_of(
        &self,
        person: Person,
        connection: &ConnectionId,
        subject: &str,
        session: Option<&str>,
    ) -> Access {
        let (store, now) = (&self.app.store, self.app.now());
        let mut bytes = [[0u8; 32]; 2];
        bytes.iter_mut().for_each(|bytes| self.app.rng.fill(bytes));
        let [cookie, refresh] = bytes;
        let id = SessionId::mint(self.app.rng.as_ref());
        let provider = ProviderSession {
            connection: connection.clone(),
            subject: format!("{IDP} {subject}"),
            session: session.map(str::to_owned),
            not_after: None,
        };
        let begun = BrowserSession {
            id: id.clone(),
            cookie,
            user: person.id.clone(),
            tenant: person.tenant.clone(),
            methods: vec!["pwd".into()],
            authenticated_at: now,
            expires_at: now.plus(Duration::from_secs(3600)),
            provider: Some(provider),
        };
        store.add_browser_session(&begun).await.unwrap();
        let grant = Grant {
            id: GrantId::mint(self.app.rng.as_ref()),
            tenant: person.tenant.clone(),
            subject: Actor::Human(person.id.clone()),
            client: "client".parse().unwrap(),
            resource: "https://gate.example/mcp/files".into(),
            scopes: "tools".parse().unwrap(),
            session: id,
            authenticated_at: now,
            created_at: now,
            expires_at: now.plus(Duration::from_secs(24 * 3600)),
            revoked_at: None,
            actors: Vec::new(),
            ancestors: Vec::new(),
            bound_to: None,
        };
        store.add_grant(&grant).await.unwrap();
        let first = NewRefresh { token: refresh, idle_expires_at: now.plus(Duration::from_secs(8 * 3600)) };
        store.add_refresh(&grant.id, &first, now).await.unwrap();
        Access { person, cookie, grant: grant.id, refresh }
    }

    /// Whether all of somebody's credentials work; none may outlive another.
    pub(crate) async fn lives(&self, access: &Access) -> bool {
        let (store, now) = (&self.app.store, self.app.now());
        let session = store.browser_session(&access.cookie, now).await.unwrap().is_some();
        let grant = store.grant(&access.grant).await.unwrap().unwrap().revoked_at.is_none();
        let refresh = store.grant_of_refresh(&access.refresh, now).await.unwrap().unwrap().1;
        assert!(session == grant && grant == refresh, "session {session}, grant {grant}, refresh token {refresh}");
        session
    }

    pub(crate) async fn is_disabled(&self, access: &Access) -> bool {
        self.app.store.person(&access.person.id).await.unwrap().unwrap().disabled
    }

    pub(crate) async fn signs_out(&self, access: &Access) {
        let now = self.app.now();
        let session = self.app.store.browser_session(&access.cookie, now).await.unwrap().unwrap();
        assert!(self.app.store.end_browser_session(&session.id, now).await.unwrap());
    }

    pub(crate) async fn grant_lives(&self, access: &Access) -> bool {
        self.app.store.grant_of_refresh(&access.refresh, self.app.now()).await.unwrap().unwrap().1
    }
}

/// Another node on the same store, or on one around it.
pub(crate) fn another_node(app: &TestApp, store: Arc<dyn Store>) -> Identity {
    Identity::new(Deps {
        store,
        clock: app.clock.clone(),
        rng: app.rng.clone(),
        recorder: app.log.clone(),
        strangers: app.strangers.clone(),
        providers: loopback(),
        shell: app.shell.clone(),
        config: IdentityConfig::default(),
    })
    .unwrap()
}

pub(crate) async fn connect(app: &TestApp, tenant: &str, name: &str) -> ConnectionId {
    let settings = json!({"protocol": "oidc", "preset": "standard", "issuer": IDP, "client_id": "gate"});
    let id = ConnectionId::mint(app.rng.as_ref());
    let connection = Connection {
        id: id.clone(),
        tenant: TenantId::new(tenant).unwrap(),
        name: name.into(),
        protocol: ConnectionProtocol::Oidc,
        settings: settings.to_string(),
        enabled: true,
        created_at: app.clock.now(),
        changed_at: app.clock.now(),
    };
    app.store.put_connection(&connection).await.unwrap();
    id
}

/// Somebody whom a connection knows.
pub(crate) async fn person(app: &TestApp, tenant: &TenantId, connection: &ConnectionId, subject: &str) -> Person {
    let person = unlinked(app, tenant, subject).await;
    let link = Link {
        tenant: tenant.clone(),
        connection: connection.clone(),
        subject: format!("{IDP} {subject}"),
        user: person.id.clone(),
        linked_at: app.now(),
        last_seen_at: app.now(),
        asserted: "{}".into(),
    };
    app.store.put_link(&link).await.unwrap();
    person
}

/// Somebody whom no connection knows yet.
pub(crate) async fn unlinked(app: &TestApp, tenant: &TenantId, name: &str) -> Person {
    let id = UserId::mint(app.rng.as_ref());
    let person = Person {
        login: id.to_string(),
        id,
        tenant: tenant.clone(),
        origin: PersonOrigin::External,
        email: Some(format!("{name}@{tenant}.example")),
        display_name: name.into(),
        role: Role::User,
        groups: Vec::new(),
        password_hash: None,
        disabled: false,
        created_at: app.now(),
    };
    app.store.add_person(&person).await.unwrap();
    person
}

/// Lets a tenant prove a domain.
pub(crate) async fn prove(app: &TestApp, tenant: &TenantId, name: &str) {
    let domain = Domain {
        tenant: tenant.clone(),
        name: name.into(),
        challenge: "c".into(),
        connection: None,
        claimed_at: app.now(),
        proved: Some((DomainProof::Operator, app.now())),
    };
    app.store.put_domain(&domain).await.unwrap();
}

pub(crate) fn iss_sub(subject: &str) -> Value {
    json!({"format": "iss_sub", "iss": IDP, "sub": subject})
}
