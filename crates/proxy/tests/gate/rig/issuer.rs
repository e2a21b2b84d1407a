//! A strict authorization server of an upstream, and the guard that it puts in front of the upstream. Everything
//! that arrives at either is kept, whole.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode};
use sallyport_mcp::Era;
use sallyport_model::{SigningKeyId, Timestamp};
use sallyport_oauth::{KeySource, dpop, jws::Compact, pkce};
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::{ISSUER, NOW, upstream::Upstream};

pub const CLIENT: &str = "the-gate";
pub const SECRET: &str = "the-gates-secret:%+there";
/// What no error of the gate's may repeat.
pub const LEAK: &str = "postgres://admin:hunter2@db.internal";

/// One request, whole.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    /// All of it as one text.
    pub fn text(&self) -> String {
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        format!("{} {}\n{}\n\n{}", self.method, self.uri, headers.join("\n"), self.body)
    }
    pub fn form(&self) -> HashMap<String, String> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// A token that was issued.
#[derive(Debug, Clone, Default)]
pub struct Issued {
    /// The claims of the assertion that it was issued for.
    pub about: Map<String, Value>,
    /// The key that it is bound to.
    pub jkt: Option<String>,
    pub person: Option<String>,
}

#[derive(Default)]
struct Kept {
    seen: Vec<Seen>,
    tokens: HashMap<String, Issued>,
    refresh: HashMap<String, (String, Option<String>)>,
    codes: HashMap<String, HashMap<String, String>>,
    assertions: Vec<String>,
    revoked: Vec<String>,
    refusing: Option<(&'static str, u16)>,
}

/// The server.
pub struct Issuer {
    pub url: String,
    pub upstream: Arc<Upstream>,
    keys: Mutex<Option<Arc<dyn KeySource>>>,
    kept: Mutex<Kept>,
    count: AtomicUsize,
    /// Seconds that its tokens live.
    pub life: AtomicU64,
    /// It gives DPoP tokens only, and wants a nonce in proofs.
    pub dpop: AtomicBool,
    /// It advertises PKCE.
    pub s256: AtomicBool,
    /// It says in its metadata that it is somebody else.
    pub impostor: AtomicBool,
    /// Its metadata name an authorization endpoint at another origin.
    pub astray: AtomicBool,
    /// Which nonce it wants in proofs.
    pub nonce: AtomicUsize,
    /// It takes this long to issue a token.
    pub slow: AtomicU64,
    /// Its protected resource metadata name this authorization server instead of itself.
    pub elsewhere: Mutex<Option<String>>,
    /// It takes handshakes and lists without a token.
    pub open_lists: AtomicBool,
    /// It takes everything without a token.
    pub open_all: AtomicBool,
}

impl Issuer {
    /// A server with an upstream behind it; the upstream's URL.
    pub async fn start(era: Era) -> (Arc<Self>, String) {
        let (upstream, router) = Upstream::unserved(era);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Arc::new(Self {
            url: url.clone(),
            upstream,
            keys: Mutex::default(),
            kept: Mutex::default(),
            count: AtomicUsize::new(0),
            life: AtomicU64::new(300),
            dpop: AtomicBool::new(false),
            s256: AtomicBool::new(true),
            impostor: AtomicBool::new(false),
            astray: AtomicBool::new(false),
            nonce: AtomicUsize::new(1),
            slow: AtomicU64::new(0),
            elsewhere: Mutex::default(),
            open_lists: AtomicBool::new(false),
            open_all: AtomicBool::new(false),
        });
        let router = router.layer(axum::middleware::from_fn_with_state(Arc::clone(&issuer), walk));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (issuer, format!("{url}/mcp"))
    }

    /// Reads the gate's keys from here on, as by its `jwks_uri`.
    pub fn trust(&self, keys: Arc<dyn KeySource>) {
        *self.keys.lock().unwrap() = Some(keys);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// Everything that arrived, at the server and at the upstream.
    pub fn seen(&self) -> Vec<Seen> {
        self.kept().seen.clone()
    }
    /// Token requests.
    pub fn token_requests(&self) -> Vec<HashMap<String, String>> {
        self.seen().iter().filter(|seen| seen.uri == "/token").map(Seen::form).collect()
    }
    /// What a token was issued for, and how many were.
    pub fn issued(&self) -> Vec<Issued> {
        self.kept().tokens.values().cloned().collect()
    }
    pub fn revoked(&self) -> Vec<String> {
        self.kept().revoked.clone()
    }
    /// A token that was given out by hand.
    pub fn grant(&self) -> String {
        self.issue(Issued::default())["access_token"].as_str().unwrap().to_owned()
    }
    /// Every access token is worth nothing any more; those to come are.
    pub fn forget_tokens(&self) {
        self.kept().tokens.clear();
    }
    /// Every grant is over.
    pub fn forget_grants(&self) {
        let mut kept = self.kept();
        kept.tokens.clear();
        kept.refresh.clear();
    }
    /// Refuses every token request.
    pub fn refuse(&self, error: &'static str, status: u16) {
        self.kept().refusing = Some((error, status));
    }

    /// What a person's browser brings back who agrees to what `redirect` asks.
    pub fn consent(&self, redirect: &Url, person: &str) -> String {
        let mut asked: HashMap<String, String> = redirect.query_pairs().into_owned().collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["resource"], format!("{}/mcp", self.url));
        let code = format!("code-{}", self.next());
        let state = asked["state"].clone();
        asked.insert("person".to_owned(), person.to_owned());
        self.kept().codes.insert(code.clone(), asked);
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("code", code.as_str()), ("state", &state), ("iss", &self.url)])
            .finish()
    }

    fn wanted_nonce(&self) -> String {
        format!("n-{}", self.nonce.load(Ordering::SeqCst))
    }

    fn next(&self) -> usize {
        self.count.fetch_add(1, Ordering::SeqCst)
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({
            "issuer": if self.impostor.load(Ordering::SeqCst) { "https://somebody.else.example" } else { &self.url },
            "token_endpoint": format!("{}/token", self.url),
            "authorization_endpoint": format!("{}/authorize", self.url),
            "revocation_endpoint": format!("{}/revoke", self.url),
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": true,
        });
        if self.astray.load(Ordering::SeqCst) {
            metadata["authorization_endpoint"] = json!("http://127.0.0.1:9/authorize");
        }
        if self.s256.load(Ordering::SeqCst) {
            metadata["code_challenge_methods_supported"] = json!(["S256"]);
        }
        metadata
    }

    /// The guard: a token of ours, shown as it was issued.
    fn admits(&self, headers: &HeaderMap, method: &str) -> Result<(), &'static str> {
        let value = headers.get("authorization").and_then(|value| value.to_str().ok()).ok_or("invalid_token")?;
        let (scheme, token) = value.split_once(' ').ok_or("invalid_token")?;
        let issued = self.kept().tokens.get(token).cloned().ok_or("invalid_token")?;
        match (&issued.jkt, scheme) {
            (None, "Bearer") => Ok(()),
            (Some(jkt), "DPoP") => {
                let proof = self.proof(headers, method, "/mcp", Some(token))?;
                if proof == *jkt { Ok(()) } else { Err("invalid_token") }
            }
            _ => Err("invalid_token"),
        }
    }

    fn proof(
        &self,
        headers: &HeaderMap,
        method: &str,
        path: &str,
        token: Option<&str>,
    ) -> Result<String, &'static str> {
        let proof = headers.get("dpop").and_then(|value| value.to_str().ok()).ok_or("invalid_dpop_proof")?;
        let url: Url = format!("{}{path}", self.url).parse().unwrap();
        let expect = dpop::ExpectProof {
            method,
            url: url.as_str(),
            access_token: token,
            nonces: dpop::Nonces::Ignored,
            now: Timestamp::from_secs(NOW),
            window: dpop::WINDOW,
        };
        let proof = dpop::verify(proof, &expect).map_err(|_| "invalid_dpop_proof")?;
        if proof.nonce == Some(self.wanted_nonce()) { Ok(proof.jkt) } else { Err("use_dpop_nonce") }
    }

    fn token(&self, seen: &Seen) -> Result<Value, &'static str> {
        let form = seen.form();
        assert_eq!(form.len(), seen.body.split('&').count(), "no parameter stands twice");
        if let Some((error, _)) = self.kept().refusing {
            return Err(error);
        }
        let client = self.client(seen, &form)?;
        let jkt = match self.dpop.load(Ordering::SeqCst) {
            true => Some(self.proof(&seen.headers, "POST", "/token", None)?),
            false => None,
        };
        let grant = form.get("grant_type").ok_or("invalid_request")?.as_str();
        if !grant.ends_with("jwt-bearer") && form.get("resource") != Some(&format!("{}/mcp", self.url)) {
            return Err("invalid_target");
        }
        let mut issued = Issued { jkt, ..Issued::default() };
        match grant {
            "client_credentials" => {}
            "urn:ietf:params:oauth:grant-type:token-exchange" => {
                if form["subject_token_type"] != "urn:ietf:params:oauth:token-type:jwt" {
                    return Err("invalid_request");
                }
                let endpoint = format!("{}/token", self.url);
                issued.about = self.assertion(&form["subject_token"], "sallyport-subject+jwt", ISSUER, &endpoint)?;
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                issued.about = self.assertion(&form["assertion"], "oauth-id-jag+jwt", ISSUER, &self.url)?;
                if issued.about["client_id"] != client || issued.about["resource"] != format!("{}/mcp", self.url) {
                    return Err("invalid_grant");
                }
            }
            "authorization_code" => issued.person = Some(self.redeem(&form, &client, issued.jkt.as_deref())?),
            "refresh_token" => {
                let found = self.kept().refresh.remove(&form["refresh_token"]);
                let (person, jkt) = found.ok_or("invalid_grant")?;
                if jkt != issued.jkt {
                    return Err("invalid_grant");
                }
                issued.person = Some(person);
            }
            _ => return Err("unsupported_grant_type"),
        }
        Ok(self.issue(issued))
    }

    fn issue(&self, issued: Issued) -> Value {
        let token = format!("upstream-token-{}", self.next());
        let mut answer = json!({
            "access_token": token,
            "token_type": if issued.jkt.is_some() { "DPoP" } else { "Bearer" },
            "expires_in": self.life.load(Ordering::SeqCst),
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        });
        let mut kept = self.kept();
        if let Some(person) = &issued.person {
            let refresh = format!("upstream-refresh-{}", self.next());
            kept.refresh.insert(refresh.clone(), (person.clone(), issued.jkt.clone()));
            answer["refresh_token"] = refresh.into();
        }
        kept.tokens.insert(token, issued);
        answer
    }

    fn redeem(&self, form: &HashMap<String, String>, client: &str, jkt: Option<&str>) -> Result<String, &'static str> {
        let asked = self.kept().codes.remove(&form["code"]).ok_or("invalid_grant")?;
        let same = asked["redirect_uri"] == form["redirect_uri"]
            && asked["client_id"] == client
            && asked.get("dpop_jkt").map(String::as_str) == jkt
            && pkce::verifies(&asked["code_challenge"], &form["code_verifier"]);
        if same { Ok(asked["person"].clone()) } else { Err("invalid_grant") }
    }

    /// Who asks, once it has proved that.
    fn client(&self, seen: &Seen, form: &HashMap<String, String>) -> Result<String, &'static str> {
        if let Some(value) = seen.headers.get("authorization") {
            let pair =
                STANDARD.decode(value.to_str().unwrap().strip_prefix("Basic ").ok_or("invalid_client")?).unwrap();
            let pair = String::from_utf8(pair).unwrap();
            let (id, secret) = pair.split_once(':').ok_or("invalid_client")?;
            let decoded =
                |text: &str| form_urlencoded::parse(format!("x={text}").as_bytes()).next().unwrap().1.into_owned();
            let good = decoded(id) == CLIENT && decoded(secret) == SECRET && !form.contains_key("client_id");
            return if good { Ok(CLIENT.to_owned()) } else { Err("invalid_client") };
        }
        let id = form.get("client_id").ok_or("invalid_client")?.clone();
        if let Some(assertion) = form.get("client_assertion") {
            let claims = self.assertion(assertion, "client-authentication+jwt", &id, &self.url)?;
            return if claims["sub"] == id.as_str() { Ok(id) } else { Err("invalid_client") };
        }
        match form.get("client_secret") {
            Some(secret) if id == CLIENT && secret == SECRET => Ok(id),
            // A public client is known by its document.
            None if id.ends_with("/client.json") => Ok(id),
            _ => Err("invalid_client"),
        }
    }

    /// The claims of an assertion of the gate's: signed by its published key, of this type, for this audience,
    /// short, and never seen before.
    fn assertion(&self, jwt: &str, typ: &str, iss: &str, aud: &str) -> Result<Map<String, Value>, &'static str> {
        let compact = Compact::parse(jwt).map_err(|_| "invalid_grant")?;
        let kid = SigningKeyId::new(compact.kid.as_deref().unwrap_or_default()).map_err(|_| "invalid_grant")?;
        let key =
            self.keys.lock().unwrap().as_ref().and_then(|keys| keys.verifying_key(&kid)).ok_or("invalid_grant")?;
        let claims = compact.claims.clone();
        let number = |name: &str| claims.get(name).and_then(Value::as_u64).unwrap_or_default();
        let fresh =
            (NOW..NOW + 60).contains(&number("iat")) && number("exp") > NOW && number("exp") - number("iat") <= 60;
        let addressed = claims["iss"] == iss && claims["aud"] == aud;
        let known = compact.alg == "ES256" && compact.has_type(typ);
        if !(known && fresh && addressed && key.verifies(compact.signing_input.as_bytes(), &compact.signature)) {
            return Err("invalid_grant");
        }
        let jti = claims["jti"].as_str().unwrap().to_owned();
        let mut kept = self.kept();
        if kept.assertions.contains(&jti) {
            return Err("invalid_grant");
        }
        kept.assertions.push(jti);
        Ok(claims)
    }
}

async fn walk(State(issuer): State<Arc<Issuer>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let seen = Seen {
        method: parts.method.to_string(),
        uri: parts.uri.to_string(),
        headers: parts.headers.clone(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    issuer.kept().seen.push(seen.clone());
    match parts.uri.path() {
        "/.well-known/oauth-protected-resource/mcp" => {
            let elsewhere = issuer.elsewhere.lock().unwrap().clone();
            let server = elsewhere.unwrap_or_else(|| issuer.url.clone());
            answer(200, &json!({"resource": format!("{}/mcp", issuer.url), "authorization_servers": [server]}))
        }
        "/.well-known/oauth-authorization-server" => answer(200, &issuer.metadata()),
        "/token" => {
            tokio::time::sleep(Duration::from_millis(issuer.slow.load(Ordering::SeqCst))).await;
            let given = issuer.token(&seen);
            let status = issuer.kept().refusing.map_or(400, |(_, status)| status);
            let mut response = match given {
                Ok(token) => answer(200, &token),
                Err(error) => answer(status, &json!({"error": error, "error_description": LEAK})),
            };
            response.headers_mut().insert("dpop-nonce", issuer.wanted_nonce().parse().unwrap());
            response
        }
        "/revoke" => {
            let form = seen.form();
            assert!(issuer.client(&seen, &form).is_ok());
            issuer.kept().revoked.push(form["token"].clone());
            StatusCode::OK.into_response()
        }
        "/mcp" => {
            let opening = ["initialize", "server/discover", "/list", "notifications/initialized"];
            let open = issuer.open_lists.load(Ordering::SeqCst)
                && (parts.method != "POST" || opening.iter().any(|method| seen.body.contains(&format!("{method}\""))));
            let open = open || issuer.open_all.load(Ordering::SeqCst);
            match issuer.admits(&parts.headers, parts.method.as_str()) {
                Err(error) if !open => challenged(&issuer, error),
                _ => next.run(Request::from_parts(parts, Body::from(bytes))).await,
            }
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn challenged(issuer: &Issuer, error: &str) -> Response {
    let mut response = answer(401, &json!({"error": LEAK}));
    let place = format!("{}/.well-known/oauth-protected-resource/mcp", issuer.url);
    let scheme = if issuer.dpop.load(Ordering::SeqCst) { "DPoP" } else { "Bearer" };
    let challenge = format!("{scheme} resource_metadata=\"{place}\", error=\"{error}\", error_description=\"{LEAK}\"");
    response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
    response.headers_mut().insert("dpop-nonce", issuer.wanted_nonce().parse().unwrap());
    response
}

fn answer(status: u16, value: &Value) -> Response {
    let body = Bytes::from(value.to_string());
    (StatusCode::from_u16(status).unwrap(), [("content-type", "application/json")], body).into_response()
}
