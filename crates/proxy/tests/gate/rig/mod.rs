//! A whole gate with upstreams of its own: real store, real tokens, a log that can be held or made to fail.

pub mod client;
pub mod holder;
pub mod issuer;
pub mod jobs;
pub mod log;
pub mod upstream;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{Router, body::Body};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Request;
use sallyport_mcp::Era;
use sallyport_model::{
    ClientId, GrantId, ManualClock, Rng, Secret, SessionId, SigningKeyId, SystemRng, TenantId, Timestamp, TokenId,
    UpstreamName, principal::PrincipalKind,
};
use sallyport_oauth::{AccessClaims, KeySource, SigningKey, VerifyingKey};
use sallyport_outbound::{
    guard::SystemResolver,
    http::HttpOptions,
    stdio::{Spawner, StdioSpec},
};
use sallyport_proxy::{
    Deps, Gate, GateConfig, Group, Limits, Offered, Peer, Possession, RegisterView, RevocationView, Tenants,
    upstream::{
        AssertionSigner, AssertionType, Connector, ConnectorOptions, Timeouts, TokensDeps, Transport,
        UpstreamCredential, UpstreamSpec, UpstreamTokens,
    },
};
use sallyport_storage::{RevocationSubject, Revocations, SqliteStore};
use serde_json::{Value, json};
use tower::ServiceExt;

use client::Reply;
use log::Log;

pub const PUBLIC: &str = "https://gate.example";
pub const HOST: &str = "gate.example";
pub const ISSUER: &str = "https://gate.example/issuer";
pub const UPSTREAM_TOKEN: &str = "the-gates-own-credential";
pub const NOW: u64 = 1_790_000_000;

struct OneKey(SigningKeyId, VerifyingKey);

impl KeySource for OneKey {
    fn verifying_key(&self, kid: &SigningKeyId) -> Option<VerifyingKey> {
        (*kid == self.0).then(|| self.1.clone())
    }
}

/// Signs the gate's assertions.
#[derive(Debug)]
struct Signer {
    pkcs8: Vec<u8>,
    kid: SigningKeyId,
}

impl AssertionSigner for Signer {
    fn sign(&self, typ: AssertionType, claims: &serde_json::Map<String, Value>) -> Option<Secret> {
        let header = json!({ "alg": "ES256", "typ": typ.as_str(), "kid": self.kid });
        Some(Secret::new(forged(&self.pkcs8, &header, &Value::Object(claims.clone()))))
    }
}

fn forged(pkcs8: &[u8], header: &Value, claims: &Value) -> String {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap();
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// The gate and all that it stands on.
pub struct Rig {
    pub gate: Gate,
    pub router: Router,
    pub log: Arc<Log>,
    pub clock: Arc<ManualClock>,
    pub view: Arc<RevocationView>,
    pub register: Arc<RegisterView>,
    pub store: Arc<SqliteStore>,
    pub connector: Arc<Connector>,
    key: SigningKey,
    pkcs8: Vec<u8>,
    possession: Option<Possession>,
    background: Vec<tokio::task::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.background.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Rig {
    /// A gate in front of `offered`, with default limits.
    pub async fn new(offered: Vec<Offered>) -> Self {
        Self::with(offered, Limits::default()).await
    }

    /// A gate in front of `offered`, its catalogues read.
    pub async fn with(offered: Vec<Offered>, limits: Limits) -> Self {
        let rig = Self::made(offered, limits, None, |_| None).await;
        assert!(rig.gate.read_catalogues().await.is_empty(), "every catalogue can be read");
        rig
    }

    /// A gate that has read no catalogue.
    pub async fn unread(offered: Vec<Offered>) -> Self {
        Self::made(offered, Limits::default(), None, |_| None).await
    }

    /// A gate that demands a score of its upstreams.
    pub async fn demanding(offered: Vec<Offered>, minimum: Option<u8>) -> Self {
        let rig = Self::made(offered, Limits::default(), minimum, |_| None).await;
        assert!(rig.gate.read_catalogues().await.is_empty(), "every catalogue can be read");
        rig
    }

    /// A gate that holds proofs of possession against what `possession` gives.
    pub async fn possessing(offered: Vec<Offered>, possession: fn(Arc<SqliteStore>) -> Possession) -> Self {
        let rig = Self::made(offered, Limits::default(), None, |store| Some(possession(store))).await;
        assert!(rig.gate.read_catalogues().await.is_empty(), "every catalogue can be read");
        rig
    }

    /// Another node of the same deployment, or the same one started anew where it shares nothing of that kind.
    pub async fn another_node(&self, offered: Vec<Offered>) -> Router {
        let gate = self.another_gate(offered).await;
        gate.read_demands().await;
        gate.router()
    }

    /// The same, before it has read which tenants take no bearer tokens.
    pub async fn another_gate(&self, offered: Vec<Offered>) -> Gate {
        let admission = RegisterView::new(None, offered.iter().map(|offered| offered.name().clone()).collect());
        let deps = Deps {
            store: self.store.clone(),
            recorder: self.log.clone(),
            clock: self.clock.clone(),
            rng: Arc::new(SystemRng),
            keys: Arc::new(OneKey(self.key.id().clone(), self.key.verifying_key().unwrap())),
            connector: self.connector.clone(),
            revocations: self.view.clone(),
            admission: Arc::new(admission),
        };
        let config = gate_config(offered, Limits::default());
        let gate = match &self.possession {
            Some(possession) => Gate::with_possession(config, deps, possession.clone()),
            None => Gate::new(config, deps),
        };
        assert!(gate.read_catalogues().await.is_empty(), "every catalogue can be read");
        gate
    }

    async fn made(
        offered: Vec<Offered>,
        limits: Limits,
        minimum: Option<u8>,
        possession: impl FnOnce(Arc<SqliteStore>) -> Option<Possession>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("private/store.db"), zeroize::Zeroizing::new([7; 32])).unwrap();
        let store = Arc::new(store);
        let pkcs8 = SigningKey::generate().unwrap().to_vec();
        let key = SigningKey::from_pkcs8(SigningKeyId::new("k1").unwrap(), &pkcs8).unwrap();
        let keys = OneKey(key.id().clone(), key.verifying_key().unwrap());
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(NOW)));
        let log = Arc::new(Log::default());
        let view = Arc::new(RevocationView::default());
        let names = offered.iter().map(|offered| offered.name().clone()).collect();
        let register = Arc::new(RegisterView::new(minimum, names));
        let tokens = UpstreamTokens::new(TokensDeps {
            issuer: ISSUER.to_owned(),
            public_url: PUBLIC.to_owned(),
            signer: Arc::new(Signer { pkcs8: pkcs8.clone(), kid: key.id().clone() }),
            store: store.clone(),
            clock: clock.clone(),
            rng: Arc::new(SystemRng),
            resolver: Arc::new(SystemResolver),
        });
        let connector = Connector::with_tokens(ConnectorOptions::default(), Spawner::default(), Arc::new(tokens));
        let connector = Arc::new(connector);
        let deps = Deps {
            store: store.clone(),
            recorder: log.clone(),
            clock: clock.clone(),
            rng: Arc::new(SystemRng),
            keys: Arc::new(keys),
            connector: connector.clone(),
            revocations: view.clone(),
            admission: register.clone(),
        };
        let config = gate_config(offered, limits);
        let possession = possession(store.clone());
        let gate = match &possession {
            Some(possession) => Gate::with_possession(config, deps, possession.clone()),
            None => Gate::new(config, deps),
        };
        view.poll(store.as_ref()).await.unwrap();
        register.poll(store.as_ref()).await.unwrap();
        gate.read_demands().await;
        let background = vec![
            tokio::spawn(Arc::clone(&view).keep_polling(store.clone())),
            tokio::spawn(gate.clone().keep_sweeping()),
            tokio::spawn(Arc::clone(&register).keep_polling(store.clone())),
        ];
        Self {
            router: gate.router(),
            gate,
            log,
            clock,
            view,
            register,
            store,
            connector,
            key,
            pkcs8,
            possession,
            background,
            _dir: dir,
        }
    }

    /// Nobody asks the store for revocations any more, as when it is down.
    pub fn stop_polling(&self) {
        self.background[0].abort();
    }

    /// Nobody reads the register any more.
    pub fn stop_reading_the_register(&self) {
        self.background[2].abort();
    }

    /// Revokes, and waits until the gate has learned of it.
    pub async fn revoke(&self, subject: RevocationSubject) {
        let at = Timestamp::from_secs(NOW + 1);
        let epoch = self.store.revoke(&subject, at).await.unwrap();
        until("the revocation is known", || self.view.epoch() >= epoch).await;
    }

    /// Signs claims as our authorization server would.
    pub fn sign(&self, claims: &AccessClaims) -> String {
        sallyport_oauth::token::issue(claims, &self.key).unwrap()
    }

    /// Signs any header and claims with our key.
    pub fn forge(&self, header: &Value, claims: &Value) -> String {
        forged(&self.pkcs8, header, claims)
    }

    /// Where the store's files are.
    pub fn store_dir(&self) -> std::path::PathBuf {
        self._dir.path().join("private")
    }

    /// Our published keys.
    pub fn keys(&self) -> Arc<dyn KeySource> {
        Arc::new(OneKey(self.key.id().clone(), self.key.verifying_key().unwrap()))
    }

    /// Ann's token for `upstream` with its read and write scopes.
    pub fn token(&self, upstream: &str) -> String {
        self.sign(&claims("ann", upstream))
    }

    /// Sends a request as it is; `Host` and the peer's address are put on it where they are missing.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        self.send_to(&self.router, request).await
    }

    /// The same, to another node.
    pub async fn send_to(&self, node: &Router, mut request: Request<Body>) -> Reply {
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", HOST.parse().unwrap());
        }
        request.extensions_mut().insert(Peer(IpAddr::from([203, 0, 113, 9])));
        let response = node.clone().oneshot(request).await.unwrap();
        Reply::new(response)
    }
}

fn gate_config(offered: Vec<Offered>, limits: Limits) -> GateConfig {
    GateConfig {
        issuer: ISSUER.to_owned(),
        public_url: PUBLIC.to_owned(),
        allowed_origins: vec!["https://app.example".to_owned()],
        limits,
        upstreams: offered,
    }
}

fn b64(text: String) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Claims of a person at tenant `acme`.
pub fn claims(person: &str, upstream: &str) -> AccessClaims {
    let mut jti = [0; 8];
    SystemRng.fill(&mut jti);
    AccessClaims {
        iss: ISSUER.to_owned(),
        sub: format!("u-{person}"),
        aud: format!("{PUBLIC}/mcp/{upstream}"),
        client_id: ClientId::new("c-1").unwrap(),
        exp: NOW + 300,
        iat: NOW,
        jti: TokenId::new(format!("t-{}", URL_SAFE_NO_PAD.encode(jti))).unwrap(),
        scope: format!("{upstream}:read {upstream}:write").parse().unwrap(),
        sid: SessionId::new(format!("s-{person}")).unwrap(),
        tenant: TenantId::new("acme").unwrap(),
        grant: GrantId::new(format!("g-{person}")).unwrap(),
        principal_type: PrincipalKind::Human,
        act: Vec::new(),
        ancestors: Vec::new(),
        cnf: None,
    }
}

/// An upstream over HTTP, for every tenant.
pub fn http_offer(name: &str, url: &str) -> Offered {
    let transport = Transport::Http { url: url.parse().unwrap(), options: HttpOptions::default() };
    offer(name, transport, UpstreamCredential::Bearer(Secret::new(UPSTREAM_TOKEN)))
}

/// The python server of `stdio.py` in one era.
pub fn stdio_offer(name: &str, era: Era, cancelled: &std::path::Path) -> Offered {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gate/rig/stdio.py");
    let era = if era == Era::Legacy { "legacy" } else { "modern" };
    let args = vec![script.to_owned(), era.to_owned()];
    let env = BTreeMap::from([("CANCELLED_FILE".to_owned(), Secret::new(cancelled.to_str().unwrap()))]);
    let spec = StdioSpec::from_configuration("python3", args, env, None);
    offer(name, Transport::Stdio { spec, shareable: false }, UpstreamCredential::None)
}

pub fn offer(name: &str, transport: Transport, credential: UpstreamCredential) -> Offered {
    let timeouts = Timeouts { first: Duration::from_secs(10), ..Timeouts::default() };
    let name = UpstreamName::new(name).unwrap();
    let spec = UpstreamSpec {
        name: name.clone(),
        transport,
        credential,
        identity_header: false,
        timeouts,
        max_message_bytes: 1 << 20,
    };
    Offered { spec: Arc::new(spec), title: name.to_string(), tenants: Tenants::All, initial: vec![Group::Read] }
}

/// Serves a router on a loopback port; its base URL.
pub async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// Waits, at most five seconds, until `done`.
pub async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {what}");
}

/// Capabilities of a client that can be asked everything.
pub fn able() -> Value {
    let extensions = json!({"io.modelcontextprotocol/tasks": {}});
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": true}, "extensions": extensions})
}
