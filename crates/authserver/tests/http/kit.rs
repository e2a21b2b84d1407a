//! Agents, keys and proofs for the tests.

use std::{net::IpAddr, sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::body::Body;
use http::{HeaderValue, Request};
use sallyport_model::{AgentId, ClientId, Clock, CredentialId, PeerCertificate, Timestamp, UserId};
use sallyport_oauth::{jws, thumbprint};
use sallyport_storage::{
    Agent, AgentBounds, AgentCredential, Agents, ApplicationType, ClientAuthMethod, ClientRecord, ClientSource,
    Clients, CredentialKind, Tenant, TenantSettings, Tenants,
};
use sallyport_web::ClientAddress;
use serde_json::{Value, json};

use crate::app::*;

pub(crate) const CALLBACK: &str = "https://agent.example/callback";
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const TOKEN_URL: &str = "https://gate.example/oauth/token";

/// A P-256 key that signs whatever it is told to.
pub(crate) struct Key(EcdsaKeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap())
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "x": jws::encode(&point[1..33]), "y": jws::encode(&point[33..])})
    }

    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    pub(crate) fn jkt(&self) -> String {
        thumbprint::of_jwk(self.jwk().as_object().unwrap()).unwrap()
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input =
            format!("{}.{}", jws::encode(header.to_string().as_bytes()), jws::encode(claims.to_string().as_bytes()));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", jws::encode(signature.as_ref()))
    }

    pub(crate) fn jwt(&self, typ: &str, claims: &Value) -> String {
        self.sign(&json!({"alg": "ES256", "typ": typ}), claims)
    }

    /// A proof with these claims.
    pub(crate) fn proof_of(&self, claims: &Value) -> String {
        self.sign(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()}), claims)
    }

    /// The claims of a good proof for a POST to `url`.
    pub(crate) async fn claims(&self, app: &App, url: &str) -> Value {
        let nonce = app.nonce().await;
        json!({"jti": random(), "htm": "POST", "htu": url, "iat": app.clock.now().as_secs(), "nonce": nonce})
    }

    /// A good proof for the token endpoint.
    pub(crate) async fn proof(&self, app: &App) -> String {
        self.proof_of(&self.claims(app, TOKEN_URL).await)
    }
}

/// 22 random characters.
pub(crate) fn random() -> String {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    jws::encode(&bytes)
}

impl App {
    /// The server's current nonce.
    pub(crate) async fn nonce(&self) -> String {
        self.post("/oauth/par", &[]).await.headers["dpop-nonce"].to_str().unwrap().to_owned()
    }

    /// A token request with a DPoP proof.
    pub(crate) async fn token_with(&self, form: &[(&str, &str)], proof: &str) -> Answer {
        self.send(with_proof(form_request("/oauth/token", form), proof)).await
    }

    /// A token request from `address`.
    pub(crate) async fn token_from(&self, form: &[(&str, &str)], address: &str) -> Answer {
        let mut request = form_request("/oauth/token", form);
        request.extensions_mut().insert(ClientAddress(address.parse::<IpAddr>().unwrap()));
        self.send(request).await
    }

    /// A token request over a connection with a client certificate.
    pub(crate) async fn token_tls(&self, form: &[(&str, &str)], certificate: &PeerCertificate) -> Answer {
        let mut request = form_request("/oauth/token", form);
        request.extensions_mut().insert(certificate.clone());
        self.send(request).await
    }

    /// Changes what the tenant has chosen.
    pub(crate) async fn settings(&self, change: impl FnOnce(&mut TenantSettings)) {
        let mut acme = self.store.tenant(&"acme".parse().unwrap()).await.unwrap().unwrap();
        change(&mut acme.settings);
        Tenants::put_tenant(self.store.as_ref(), &acme).await.unwrap();
    }

    /// Changes an agent.
    pub(crate) async fn change_agent(&self, id: &str, change: impl FnOnce(&mut Agent)) {
        let mut agent = self.store.agent(&id.parse().unwrap()).await.unwrap().unwrap();
        change(&mut agent);
        Agents::put_agent(self.store.as_ref(), &agent).await.unwrap();
    }

    /// A second tenant.
    pub(crate) async fn globex(&self) {
        let tenant = Tenant::new("globex".parse().unwrap(), "Globex", self.clock.now());
        Tenants::put_tenant(self.store.as_ref(), &tenant).await.unwrap();
    }

    /// An agent of acme with a key; it may read and write files, and act for people.
    pub(crate) async fn agent(self: &Arc<Self>, name: &str) -> Robot {
        self.agent_of("acme", name).await
    }

    pub(crate) async fn agent_of(self: &Arc<Self>, tenant: &str, name: &str) -> Robot {
        let client = ClientRecord {
            id: ClientId::new(format!("client-{name}")).unwrap(),
            source: ClientSource::Preregistered,
            name: String::new(),
            redirect_uris: Vec::new(),
            application_type: ApplicationType::Web,
            auth: ClientAuthMethod::AgentCredential,
            grant_types: Vec::new(),
            uri: None,
            agent: Some(AgentId::new(name).unwrap()),
            created_at: self.clock.now(),
            stale_at: None,
        };
        Clients::put_client(self.store.as_ref(), &client).await.unwrap();
        let agent = Agent {
            id: AgentId::new(name).unwrap(),
            tenant: tenant.parse().unwrap(),
            client: client.id.clone(),
            name: format!("The agent {name}"),
            owner: None,
            purpose: "It sorts <files>".into(),
            scopes: "files:write".parse().unwrap(),
            resources: vec![FILES.into()],
            created_at: self.clock.now(),
            suspended: false,
            bounds: AgentBounds { redirect_uris: vec![CALLBACK.into()], ..AgentBounds::default() },
            last_used_at: None,
        };
        Agents::put_agent(self.store.as_ref(), &agent).await.unwrap();
        let robot = Robot { app: Arc::clone(self), id: name.to_owned(), key: Key::new() };
        robot.credential("first", CredentialKind::Keys { jwks: robot.key.jwks() }).await;
        robot
    }

    /// A person of acme.
    pub(crate) async fn disable(&self, login: &str, disabled: bool) {
        let user = UserId::new(login).unwrap();
        sallyport_storage::Directory::set_disabled(self.store.as_ref(), &user, disabled).await.unwrap();
    }
}

pub(crate) fn with_proof(mut request: Request<Body>, proof: &str) -> Request<Body> {
    request.headers_mut().insert("dpop", HeaderValue::from_str(proof).unwrap());
    request
}

/// A certificate as the handshake showed it.
pub(crate) fn certificate(der: &[u8], trusted: bool) -> PeerCertificate {
    PeerCertificate { der: der.into(), x5t_s256: thumbprint::of_certificate(der).into(), trusted }
}

/// An agent with a key.
pub(crate) struct Robot {
    pub(crate) app: Arc<App>,
    pub(crate) id: String,
    pub(crate) key: Key,
}

impl Robot {
    pub(crate) fn client(&self) -> String {
        format!("client-{}", self.id)
    }

    pub(crate) fn agent_id(&self) -> AgentId {
        self.id.parse().unwrap()
    }

    /// Adds a credential that lives for ninety days.
    pub(crate) async fn credential(&self, name: &str, kind: CredentialKind) -> CredentialId {
        let now = self.app.clock.now();
        self.credential_until(name, kind, now.plus(Duration::from_secs(90 * 24 * 3600))).await
    }

    pub(crate) async fn credential_until(&self, name: &str, kind: CredentialKind, end: Timestamp) -> CredentialId {
        let agent = self.app.store.agent(&self.agent_id()).await.unwrap().unwrap();
        let issuer = match &kind {
            CredentialKind::Workload { trust } => Some(trust["issuer"].as_str().unwrap().to_owned()),
            _ => None,
        };
        let credential = AgentCredential {
            id: CredentialId::new(format!("{}-{name}", self.id)).unwrap(),
            agent: agent.id,
            tenant: agent.tenant,
            kind,
            issuer,
            created_at: self.app.clock.now(),
            expires_at: end,
            revoked_at: None,
            last_used_at: None,
        };
        self.app.store.add_credential(&credential).await.unwrap();
        credential.id
    }

    /// A fresh assertion that proves its client.
    pub(crate) fn assertion(&self) -> String {
        self.assertion_by(&self.key)
    }

    pub(crate) fn assertion_by(&self, key: &Key) -> String {
        let now = self.app.clock.now().as_secs();
        let claims = json!({"iss": self.client(), "sub": self.client(), "aud": ISSUER, "jti": random(), "iat": now,
            "exp": now + 60});
        key.jwt("JWT", &claims)
    }

    /// A token request of its client.
    pub(crate) async fn ask(&self, form: &[(&str, &str)]) -> Answer {
        self.ask_by(&self.key, form, None).await
    }

    pub(crate) async fn ask_with(&self, form: &[(&str, &str)], proof: &str) -> Answer {
        self.ask_by(&self.key, form, Some(proof)).await
    }

    pub(crate) async fn ask_by(&self, key: &Key, form: &[(&str, &str)], proof: Option<&str>) -> Answer {
        let assertion = self.assertion_by(key);
        let own = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)];
        let form = [form, &own[..]].concat();
        match proof {
            None => self.app.token(&form).await,
            Some(proof) => self.app.token_with(&form, proof).await,
        }
    }

    /// A token for itself.
    pub(crate) async fn token(&self) -> String {
        let answer = self.ask(&CREDENTIALS).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        answer.text("access_token")
    }

    /// An authorization request for a person.
    pub(crate) fn request(&self) -> Vec<(&'static str, String)> {
        let client = self.client();
        let request = request(&client, CALLBACK);
        request.into_iter().map(|(name, value)| (name_of(name), value)).collect()
    }

    /// Redeems a code.
    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.ask(&form).await
    }

    /// What it gets when alice lets it act for her.
    pub(crate) async fn for_alice(&self) -> Answer {
        let code = self.app.alice().code(&self.request()).await;
        let answer = self.redeem(&code).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        answer
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.ask(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Exchanges another agent's token for one of its own.
    pub(crate) async fn exchange(&self, token: &str, more: &[(&str, &str)]) -> Answer {
        self.ask(&[&exchange_of(token)[..], more].concat()).await
    }

    /// Lets another agent act for it.
    pub(crate) async fn lets(&self, other: &Robot) {
        self.app.change_agent(&self.id, |agent| agent.bounds.delegates.push(other.agent_id())).await;
    }
}

pub(crate) const CREDENTIALS: [(&str, &str); 2] = [("grant_type", "client_credentials"), ("resource", FILES)];

pub(crate) fn exchange_of(token: &str) -> [(&str, &str); 3] {
    [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)]
}

fn name_of(name: &str) -> &'static str {
    [
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "code_challenge",
        "code_challenge_method",
        "resource",
        "scope",
    ]
    .into_iter()
    .find(|known| *known == name)
    .unwrap()
}
