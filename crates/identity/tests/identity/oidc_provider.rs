//! An OpenID provider on a loopback socket, as good or as bad as a test wants it, and the tenants connected to it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt;
use sallyport_identity::settings::{ConnectionSettings, Demands, Mapping, OidcSettings};
use sallyport_model::{Clock, ConnectionId, ManualClock, SessionId, TenantId};
use sallyport_oauth::pkce;
use sallyport_storage::{Connection, ConnectionProtocol};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::support::{Answer, Browser, TestApp};

pub(crate) const CLIENT: &str = "gate";
pub(crate) const SECRET: &str = "s3cret-of-the-gate";

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `document` with some members changed; `null` takes one away.
pub(crate) fn with(mut document: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(document.as_object_mut().unwrap().shift_remove(name)),
            value => document[name] = value.clone(),
        }
    }
    document
}

/// A P-256 key.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) pkcs8: Vec<u8>,
    pair: EcdsaKeyPair,
}

impl Key {
    pub(crate) fn new(kid: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pkcs8 = pkcs8.as_ref().to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
        Self { kid: kid.to_owned(), pkcs8, pair }
    }

    pub(crate) fn point(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    fn jwk(&self) -> Value {
        let point = self.point();
        let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig"})
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", b64(signature))
    }
}

/// A code that was given out, or a refresh token.
#[derive(Clone)]
struct Given {
    subject: String,
    client: String,
    nonce: Option<String>,
    challenge: String,
}

/// What the provider is and does.
pub(crate) struct Behaviour {
    /// Changes to its metadata, its key set, the next ID tokens' header and claims.
    pub(crate) metadata: Value,
    pub(crate) key_set: Value,
    pub(crate) header: Value,
    pub(crate) claims: Value,
    /// Changes to the claims of ID tokens that come with a refresh; `false`: there is none.
    pub(crate) refreshed: Value,
    pub(crate) user_info: Value,
    /// What the token endpoint answers instead.
    pub(crate) token_error: Option<(u16, Value)>,
    /// Documents are not served.
    pub(crate) documents_down: bool,
    pub(crate) gives_refresh_tokens: bool,
    pub(crate) wants_dpop: bool,
    pub(crate) keys: Vec<Key>,
    /// The key that signs.
    pub(crate) signer: usize,
    /// Every request: path and form or query.
    pub(crate) seen: Vec<(String, BTreeMap<String, String>)>,
    codes: BTreeMap<String, Given>,
    refresh_tokens: BTreeMap<String, Given>,
    pushed: BTreeMap<String, BTreeMap<String, String>>,
    count: u64,
}

#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) origin: String,
    inner: Arc<Mutex<Behaviour>>,
    clock: Arc<ManualClock>,
}

impl Provider {
    pub(crate) async fn start(app: &TestApp) -> Self {
        let behaviour = Behaviour {
            metadata: json!({}),
            key_set: json!({}),
            header: json!({}),
            claims: json!({}),
            refreshed: json!({}),
            user_info: json!({}),
            token_error: None,
            documents_down: false,
            gives_refresh_tokens: true,
            wants_dpop: false,
            keys: vec![Key::new("k1")],
            signer: 0,
            seen: Vec::new(),
            codes: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            pushed: BTreeMap::new(),
            count: 0,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self { origin, inner: Arc::new(Mutex::new(behaviour)), clock: app.clock.clone() };
        let router = Router::new().fallback(serve).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        provider
    }

    pub(crate) fn is(&self) -> MutexGuard<'_, Behaviour> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now().as_secs()
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.is().seen.iter().filter(|(seen, _)| seen == path).count()
    }

    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.origin);
        let document = json!({
            "issuer": self.origin, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"), "userinfo_endpoint": at("/userinfo"), "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["ES256", "none", "HS256"],
            "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
            "backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
        });
        with(document, &self.is().metadata)
    }

    /// Signs a token with the current key, whatever is in it.
    pub(crate) fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        let inner = self.is();
        let key = &inner.keys[inner.signer];
        let mut header = json!({"alg": "ES256", "kid": key.kid});
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        key.sign(&with(header, &inner.header), claims)
    }

    /// A log-out token; `changes` as in [`with`].
    pub(crate) fn logout_token(&self, jti: &str, changes: &Value) -> String {
        let now = self.now();
        let claims = json!({
            "iss": self.origin, "aud": CLIENT, "iat": now, "exp": now + 120, "jti": jti,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        self.sign(Some("logout+jwt"), &with(claims, changes))
    }

    fn id_token(&self, given: &Given, refreshed: bool) -> Option<String> {
        let now = self.now();
        let mut claims = json!({
            "iss": self.origin, "sub": given.subject, "aud": given.client, "iat": now, "exp": now + 300,
            "auth_time": now, "sid": format!("sid-of-{}", given.subject), "amr": ["pwd"],
            "email": format!("{}@acme.example", given.subject), "email_verified": true,
            "name": format!("Ms {}", given.subject), "groups": ["staff"], "preferred_username": given.subject,
        });
        let more = self.is().claims.clone();
        let of_refresh = self.is().refreshed.clone();
        claims = with(claims, &more);
        if refreshed {
            if of_refresh == json!(false) {
                return None;
            }
            claims = with(claims, &of_refresh);
        } else if claims.get("nonce").is_none() {
            claims["nonce"] = json!(given.nonce);
        }
        Some(self.sign(None, &claims))
    }

    /// The person signs in at the provider and is sent back: the callback's path and query.
    pub(crate) fn sign_in(&self, location: &str, subject: &str) -> String {
        let url = Url::parse(location).unwrap();
        assert_eq!(url.path(), "/authorize");
        let mut asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let mut inner = self.is();
        if let Some(uri) = asked.get("request_uri") {
            assert_eq!(asked.len(), 2, "{asked:?}");
            asked = inner.pushed.remove(uri).unwrap();
        }
        assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
        inner.seen.push(("/authorize".into(), asked.clone()));
        inner.count += 1;
        let code = format!("code-{}", inner.count);
        let given = Given {
            subject: subject.to_owned(),
            client: asked["client_id"].clone(),
            nonce: Some(asked["nonce"].clone()),
            challenge: asked["code_challenge"].clone(),
        };
        inner.codes.insert(code.clone(), given);
        drop(inner);
        let mut back = Url::parse(&asked["redirect_uri"]).unwrap();
        assert_eq!(back.origin().ascii_serialization(), "https://gate.example");
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &asked["state"]);
        back.query_pairs_mut().append_pair("iss", &self.origin);
        format!("{}?{}", back.path(), back.query().unwrap())
    }
}

fn answer(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(body.clone())).into_response()
}

async fn serve(State(provider): State<Provider>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = if parts.method == Method::POST { &bytes[..] } else { parts.uri.query().unwrap_or("").as_bytes() };
    let form: BTreeMap<String, String> = form_urlencoded::parse(text).into_owned().collect();
    provider.is().seen.push((path.clone(), form.clone()));
    let document = path.ends_with("/.well-known/openid-configuration") || path == "/jwks";
    if document && provider.is().documents_down {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    match path.as_str() {
        "/jwks" => {
            let inner = provider.is();
            let keys: Vec<Value> = inner.keys.iter().map(Key::jwk).collect();
            answer(200, &with(json!({ "keys": keys }), &inner.key_set))
        }
        "/par" => {
            assert!(proved(&parts.headers, &form));
            provider.is().pushed.insert("urn:pushed:1".into(), form);
            answer(201, &json!({"request_uri": "urn:pushed:1", "expires_in": 60}))
        }
        "/token" => token(&provider, &parts.headers, &form),
        "/userinfo" => user_info(&provider, &parts.headers),
        "/moved" => (StatusCode::FOUND, [(header::LOCATION, "/token")]).into_response(),
        _ if document => answer(200, &provider.metadata()),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// By the secret; an assertion is looked at by the test itself.
fn proved(headers: &HeaderMap, form: &BTreeMap<String, String>) -> bool {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    let header = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    header == Some(format!("Basic {basic}")) || form.contains_key("client_assertion")
}

fn token(provider: &Provider, headers: &HeaderMap, form: &BTreeMap<String, String>) -> Response {
    if let Some((status, body)) = provider.is().token_error.clone() {
        return answer(status, &body);
    }
    if !proved(headers, form) {
        return answer(401, &json!({"error": "invalid_client"}));
    }
    if provider.is().wants_dpop {
        let proof = headers.get("dpop").map(|value| value.to_str().unwrap()).unwrap_or_default();
        let claims = proof.split('.').nth(1).map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        if claims["nonce"] != "nonce-1" {
            let body = Json(json!({"error": "use_dpop_nonce"}));
            return (StatusCode::BAD_REQUEST, [("dpop-nonce", "nonce-1")], body).into_response();
        }
        assert_eq!((&claims["htm"], &claims["htu"]), (&json!("POST"), &json!(format!("{}/token", provider.origin))));
    }
    let refreshed = form["grant_type"] == "refresh_token";
    let given = match refreshed {
        true => provider.is().refresh_tokens.remove(&form["refresh_token"]),
        false => provider
            .is()
            .codes
            .remove(&form["code"])
            .filter(|given| pkce::challenge_of(&form["code_verifier"]) == given.challenge),
    };
    let Some(given) = given else { return answer(400, &json!({"error": "invalid_grant"})) };
    let id_token = provider.id_token(&given, refreshed);
    let mut inner = provider.is();
    inner.count += 1;
    let number = inner.count;
    let token_type = if inner.wants_dpop { "DPoP" } else { "Bearer" };
    let mut body =
        json!({"access_token": format!("at-{}", given.subject), "token_type": token_type, "expires_in": 300});
    if let Some(id_token) = id_token {
        body["id_token"] = json!(id_token);
    }
    if inner.gives_refresh_tokens {
        inner.refresh_tokens.insert(format!("rt-{number}"), given);
        body["refresh_token"] = json!(format!("rt-{number}"));
    }
    answer(200, &body)
}

fn user_info(provider: &Provider, headers: &HeaderMap) -> Response {
    let inner = provider.is();
    let scheme = if inner.wants_dpop { "DPoP at-" } else { "Bearer at-" };
    let token = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap()).unwrap_or_default();
    match token.strip_prefix(scheme) {
        Some(subject) if !inner.wants_dpop || headers.contains_key("dpop") => {
            answer(200, &with(json!({"sub": subject}), &inner.user_info))
        }
        _ => answer(401, &json!({"error": "invalid_token"})),
    }
}

/// Settings of a connection to `provider`.
pub(crate) fn settings(provider: &Provider) -> OidcSettings {
    OidcSettings {
        preset: "standard".into(),
        issuer: provider.origin.clone(),
        client_id: CLIENT.into(),
        client_secret: Some(SECRET.into()),
        private_key: None,
        certificate: None,
        scopes: Vec::new(),
        organisation: None,
        demands: Demands::default(),
        mapping: Mapping::default(),
        ask_again: true,
        id_jag: false,
    }
}

pub(crate) async fn connect(app: &TestApp, tenant: &str, settings: OidcSettings) -> ConnectionId {
    let id = ConnectionId::new(format!("{tenant}-idp")).unwrap();
    let connection = Connection {
        id: id.clone(),
        tenant: TenantId::new(tenant).unwrap(),
        name: format!("{tenant} SSO"),
        protocol: ConnectionProtocol::Oidc,
        settings: ConnectionSettings::Oidc(Box::new(settings)).to_json(),
        enabled: true,
        created_at: app.now(),
        changed_at: app.now(),
    };
    app.store.put_connection(&connection).await.unwrap();
    id
}

/// A deployment with one tenant's provider.
pub(crate) struct Stage {
    pub(crate) app: TestApp,
    pub(crate) provider: Provider,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::set(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn set(change: impl FnOnce(&mut OidcSettings)) -> Self {
        let app = TestApp::with_providers().await;
        let provider = Provider::start(&app).await;
        let mut settings = settings(&provider);
        change(&mut settings);
        connect(&app, "acme", settings).await;
        Self { app, provider }
    }

    /// Sends `browser` to the provider of `tenant`; where it is sent.
    pub(crate) async fn leave(&self, browser: &mut Browser, tenant: &str) -> String {
        let path = format!("/signin/sso/{tenant}-idp?continue_to=%2Faccount%3Fa%3Db");
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.location().to_owned()
    }

    /// Signs `subject` in at `tenant`; the callback's answer.
    pub(crate) async fn sign_in(&self, browser: &mut Browser, tenant: &str, subject: &str) -> Answer {
        let location = self.leave(browser, tenant).await;
        let back = self.provider.sign_in(&location, subject);
        browser.get(&back).await
    }

    /// A browser in which `subject` is signed in at acme.
    pub(crate) async fn signed_in(&self, subject: &str) -> Browser {
        let mut browser = self.app.browser();
        let answer = self.sign_in(&mut browser, "acme", subject).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        browser
    }

    pub(crate) async fn session(&self, browser: &Browser) -> Option<SessionId> {
        self.app.identity.current(&browser.header_map()).await.unwrap().map(|me| me.session.id)
    }

    /// That `answer` is a refusal with this code, on the page and under its reference in the log.
    pub(crate) fn assert_refused(&self, answer: &Answer, code: &str) {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{code}: {}", answer.text);
        let event = self.app.log.last();
        assert_eq!(event.decision.as_ref().unwrap().code, code, "{}", answer.text);
        assert!(answer.text.contains(&event.id.0.to_string()), "no reference: {}", answer.text);
        assert!(answer.set_cookies().iter().all(|cookie| !cookie.contains("sallyport-session=")));
        for secret in [SECRET, "code-1", "at-alice", "rt-"] {
            assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
            assert!(!serde_json::to_string(&event).unwrap().contains(secret), "{secret}");
        }
    }
}
