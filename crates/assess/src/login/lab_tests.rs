//! For tests: an authorization server with sign-in pages and a protected MCP server, each control of which can
//! be switched off by name; a second origin plays the identity provider.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use aws_lc_rs::hmac;
use axum::{
    Form, Json, Router,
    body::Bytes,
    extract::{Query, State},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header};
use sallyport_model::{Clock, Secret, SystemClock, SystemRng};
use sallyport_oauth::{jws, pkce};
use serde_json::{Value, json};
use url::Url;

use super::token;
use crate::{
    access::{Access, AgentCredential, TestUser},
    bench::{Bench, Challenge, Discovery, Found, Target},
};

type Pairs = BTreeMap<String, String>;
type Lab = State<Arc<Server>>;

/// The lab, listening.
pub(crate) struct Server {
    off: BTreeSet<&'static str>,
    base: String,
    idp: String,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u32,
    clients: BTreeMap<String, Vec<String>>,
    codes: BTreeMap<String, Pairs>,
    refresh: BTreeMap<String, (Pairs, bool)>,
    revoked: BTreeSet<String>,
    sessions: BTreeMap<String, String>,
    /// Every path asked for, for what must not happen.
    pub(crate) log: Vec<String>,
}

impl Server {
    /// Starts it with `off` switched off.
    pub(crate) async fn start(off: &[&'static str]) -> Arc<Self> {
        let (as_listener, base) = listen().await;
        let (idp_listener, idp) = listen().await;
        let server = Arc::new(Self { off: off.iter().copied().collect(), base, idp, inner: Mutex::default() });
        let app = Router::new()
            .route("/register", post(register))
            .route("/authorize", get(authorize).post(consent))
            .route("/login", post(login))
            .route("/federated", get(federated))
            .route("/token", post(issue))
            .route("/revoke", post(revoke))
            .route("/mcp", post(mcp).delete(|| async { StatusCode::OK }))
            .with_state(server.clone());
        let idp = Router::new().route("/idp", get(idp_form).post(idp_login)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(as_listener, app).await });
        tokio::spawn(async move { axum::serve(idp_listener, idp).await });
        server
    }

    /// A bench aimed at it, with everything that an operator can give, discovery done.
    pub(crate) fn bench(&self) -> Bench {
        let user = |name: &str| Some(TestUser { name: name.to_owned(), password: Secret::new(format!("{name}-pw")) });
        let agent = AgentCredential { client_id: "agent-7".into(), client_secret: Secret::new("agent-secret") };
        let access = Access {
            user: user("alice"),
            second_user: user("bob"),
            agent: Some(agent),
            timeout: Some(std::time::Duration::from_secs(90)),
            ..Access::default()
        };
        self.bench_with(access)
    }

    /// A bench aimed at it with `access`, discovery done.
    pub(crate) fn bench_with(&self, access: Access) -> Bench {
        let target = Target::Http(self.url("/mcp"));
        let bench = Bench::new(target, access, Arc::new(SystemClock), Arc::new(SystemRng)).unwrap();
        let params = [("scope".to_owned(), "notes:read".to_owned())].into();
        let found = |path: &str, document: Value| Found { url: self.url(path), document, exchange: 0 };
        let discovery = Discovery {
            challenge: Some(Challenge { scheme: "Bearer".into(), params, exchange: 0 }),
            resource: Some(found(
                "/prm",
                json!({
                    "resource": format!("{}/mcp", self.base), "authorization_servers": [self.base],
                    "scopes_supported": ["notes:read", "mail:send"],
                }),
            )),
            servers: vec![found("/as", self.metadata())],
            issuer: Some(self.base.clone()),
        };
        bench.seen.discovery.set(discovery).unwrap();
        bench
    }

    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.base);
        let mut document = json!({
            "issuer": self.base, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "registration_endpoint": at("/register"), "revocation_endpoint": at("/revoke"),
            "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
            "scopes_supported": ["openid", "notes:read", "mail:send"],
        });
        if self.is_off("alone") {
            document["protected_resources"] = json!([at("/mcp"), at("/other")]);
        }
        if self.is_off("revocation-endpoint") {
            document.as_object_mut().unwrap().remove("revocation_endpoint");
        }
        document
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.base)).unwrap()
    }

    fn is_off(&self, name: &str) -> bool {
        self.off.contains(name)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// How often `path` was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.inner().log.iter().filter(|other| *other == path).count()
    }

    fn log(&self, path: &str) {
        self.inner().log.push(path.to_owned());
    }

    fn fresh(&self, prefix: &str) -> String {
        let mut inner = self.inner();
        inner.next += 1;
        format!("{prefix}-{:08}-{}", inner.next, "x".repeat(24))
    }

    fn sign(&self, input: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"lab");
        jws::encode(hmac::sign(&key, input.as_bytes()).as_ref())
    }

    fn jwt(&self, claims: &Value) -> String {
        let part = |value: &Value| jws::encode(value.to_string().as_bytes());
        let input = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "at+jwt"})), part(claims));
        format!("{input}.{}", self.sign(&input))
    }

    fn tokens(&self, subject: &str, request: &Pairs, with_refresh: bool) -> Value {
        let get = |name: &str| request.get(name).cloned().unwrap_or_default();
        let agent = subject == "agent-7";
        let now = SystemClock.now().as_secs();
        let seconds = if self.is_off("lifetime") {
            90_000
        } else if self.is_off("short") || (agent && self.is_off("agent-short")) {
            7200
        } else {
            300
        };
        let subject = if agent && self.is_off("agent-distinct") { "alice" } else { subject };
        let scope = if agent && self.is_off("agent-scope") { "notes:read mail:send".to_owned() } else { get("scope") };
        let aud = if self.is_off("resource") { format!("{}/mcp", self.base) } else { get("resource") };
        let mut claims = json!({
            "iss": self.base, "sub": subject, "aud": aud, "iat": now, "exp": now + seconds, "scope": scope,
            "client_id": get("client_id"), "jti": self.fresh("jti"),
        });
        if self.is_off("expiry") {
            claims.as_object_mut().unwrap().remove("exp");
        }
        let mut answer = json!({ "access_token": self.jwt(&claims), "token_type": "Bearer", "scope": scope });
        if !self.is_off("expiry") {
            answer["expires_in"] = json!(seconds);
        }
        if scope.split(' ').any(|scope| scope == "openid") {
            answer["id_token"] =
                json!(self.jwt(&json!({"iss": self.base, "sub": subject, "aud": get("client_id"), "exp": now + 300})));
        }
        if with_refresh && !self.is_off("refresh") {
            let token = self.fresh("refresh");
            self.inner().refresh.insert(token.clone(), (request.clone(), false));
            answer["refresh_token"] = json!(token);
        }
        answer
    }
}

async fn listen() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

fn oauth_error(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
}

async fn register(State(lab): Lab, Json(asked): Json<Value>) -> Response {
    let id = lab.fresh("client");
    let uris = asked["redirect_uris"].as_array().unwrap().iter().map(|uri| uri.as_str().unwrap().to_owned()).collect();
    lab.inner().clients.insert(id.clone(), uris);
    (StatusCode::CREATED, Json(json!({ "client_id": id, "token_endpoint_auth_method": "none" }))).into_response()
}

/// `Err` is the answer.
#[expect(clippy::result_large_err, reason = "a response is an error once in a test")]
fn check(lab: &Server, request: &Pairs) -> Result<(), Response> {
    let get = |name: &str| request.get(name).map(String::as_str).unwrap_or_default();
    let uri = get("redirect_uri");
    let page = |text: &str| (StatusCode::BAD_REQUEST, Html(format!("<h1>{text}</h1>"))).into_response();
    let uris = lab.inner().clients.get(get("client_id")).cloned().ok_or_else(|| page("Unknown client"))?;
    let fits = uris.iter().any(|own| own == uri || (lab.is_off("redirect") && uri.starts_with(own.as_str())));
    if !fits {
        return Err(page("Unregistered redirect"));
    }
    let back = |error: &str| Err(answer(lab, request, &[("error", error)]));
    if get("response_type") != "code" && !(get("response_type") == "token" && lab.is_off("no-implicit")) {
        return back("unsupported_response_type");
    }
    if get("code_challenge").is_empty() && !lab.is_off("pkce") {
        return back("invalid_request");
    }
    let neighbour = lab.is_off("alone") && get("resource") == format!("{}/other", lab.base);
    let foreign = lab.is_off("strict-resource") || neighbour || get("resource") == format!("{}/mcp", lab.base);
    if !foreign && !lab.is_off("resource") {
        return back("invalid_target");
    }
    Ok(())
}

fn answer(lab: &Server, request: &Pairs, pairs: &[(&str, &str)]) -> Response {
    let mut url = Url::parse(&request["redirect_uri"]).unwrap();
    url.query_pairs_mut().extend_pairs(pairs);
    if let Some(state) = request.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    if !lab.is_off("iss") {
        url.query_pairs_mut().append_pair("iss", &lab.base);
    }
    Redirect::to(url.as_str()).into_response()
}

fn hidden(request: &Pairs) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;");
    request
        .iter()
        .map(|(name, value)| format!("<input type=hidden name=\"{name}\" value=\"{}\">", escape(value)))
        .collect()
}

fn signed_in(headers: &HeaderMap) -> Option<String> {
    let cookie = headers.get(header::COOKIE)?.to_str().ok()?;
    cookie.split("; ").find_map(|pair| pair.strip_prefix("user=")).map(str::to_owned)
}

async fn authorize(State(lab): Lab, headers: HeaderMap, Query(request): Query<Pairs>) -> Response {
    lab.log("/authorize");
    if let Err(answer) = check(&lab, &request) {
        return answer;
    }
    let page = match signed_in(&headers) {
        Some(user) => format!(
            "<h1>Allow it, {user}?</h1><form method=post action=/authorize>{}<button name=decision value=deny>Deny</button>\
             <button name=decision value=allow>Allow</button></form>",
            hidden(&request)
        ),
        None if lab.is_off("own-sign-in") => {
            let back = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&request).finish();
            let mut url = Url::parse(&format!("{}/idp", lab.idp)).unwrap();
            url.query_pairs_mut().append_pair("back", &back);
            return Redirect::to(url.as_str()).into_response();
        }
        None => format!(
            "<form method=get action=/search><input name=q></form>\
             <form method=post action=/login>{}<input name=username><input type=password name=password>\
             <button>Sign in</button></form>",
            hidden(&request)
        ),
    };
    Html(page).into_response()
}

fn cookie_and_on(lab: &Server, user: &str, request: &Pairs) -> Response {
    let mut url = lab.url("/authorize");
    url.query_pairs_mut()
        .extend_pairs(request.iter().filter(|(name, _)| !matches!(name.as_str(), "username" | "password")));
    ([(header::SET_COOKIE, format!("user={user}; Path=/; HttpOnly; SameSite=Lax"))], Redirect::to(url.as_str()))
        .into_response()
}

async fn login(State(lab): Lab, Form(form): Form<Pairs>) -> Response {
    lab.log("/login");
    if form["password"] != format!("{}-pw", form["username"]) {
        let page = "<p>Wrong</p><form method=post action=/login><input name=username><input type=password name=password></form>";
        return (StatusCode::UNAUTHORIZED, Html(page)).into_response();
    }
    cookie_and_on(&lab, &form["username"], &form)
}

async fn idp_form(State(lab): Lab, Query(asked): Query<Pairs>) -> Response {
    lab.log("/idp");
    Html(format!(
        "<form method=post>{}<input type=email name=identifier><input type=password name=secret><button>Next</button></form>",
        hidden(&asked)
    ))
    .into_response()
}

async fn idp_login(State(lab): Lab, Form(form): Form<Pairs>) -> Response {
    let mut url = lab.url("/federated");
    url.query_pairs_mut().append_pair("user", &form["identifier"]).append_pair("back", &form["back"]);
    Redirect::to(url.as_str()).into_response()
}

async fn federated(State(lab): Lab, Query(asked): Query<Pairs>) -> Response {
    let request = url::form_urlencoded::parse(asked["back"].as_bytes()).into_owned().collect();
    cookie_and_on(&lab, &asked["user"], &request)
}

async fn consent(State(lab): Lab, headers: HeaderMap, Form(mut form): Form<Pairs>) -> Response {
    let decision = form.remove("decision").unwrap_or_default();
    if let Err(answer) = check(&lab, &form) {
        return answer;
    }
    let Some(user) = signed_in(&headers).filter(|_| decision == "allow") else {
        return answer(&lab, &form, &[("error", "access_denied")]);
    };
    form.insert("user".into(), user.clone());
    if form["response_type"] == "token" {
        let token = lab.tokens(&user, &form, false)["access_token"].as_str().unwrap().to_owned();
        return Redirect::to(&format!("{}#access_token={token}", form["redirect_uri"])).into_response();
    }
    let code = lab.fresh("code");
    lab.inner().codes.insert(code.clone(), form.clone());
    answer(&lab, &form, &[("code", &code)])
}

async fn issue(State(lab): Lab, headers: HeaderMap, Form(form): Form<Pairs>) -> Response {
    lab.log("/token");
    let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    match get("grant_type") {
        "authorization_code" => {
            let found = lab.inner().codes.get(get("code")).cloned();
            let Some(request) = found else { return oauth_error("invalid_grant") };
            if !lab.is_off("single-use") {
                lab.inner().codes.remove(get("code"));
            }
            let challenge = request.get("code_challenge").map(String::as_str).unwrap_or_default();
            let verified = challenge.is_empty() || pkce::verifies(challenge, get("code_verifier"));
            let bound = get("redirect_uri") == request["redirect_uri"] || lab.is_off("redirect-bound");
            if (!verified && !lab.is_off("verifier")) || !bound {
                return oauth_error("invalid_grant");
            }
            Json(lab.tokens(&request["user"], &request, true)).into_response()
        }
        "refresh_token" => {
            let found = lab.inner().refresh.get(get("refresh_token")).cloned();
            let Some((request, used)) = found.filter(|(_, used)| !used || lab.is_off("reuse")) else {
                return oauth_error("invalid_grant");
            };
            let _ = used;
            let mut answer = lab.tokens(&request["user"], &request, !lab.is_off("rotation"));
            if lab.is_off("rotation") {
                answer["refresh_token"] = json!(get("refresh_token"));
            } else if let Some(entry) = lab.inner().refresh.get_mut(get("refresh_token")) {
                entry.1 = true;
            }
            Json(answer).into_response()
        }
        "client_credentials" => {
            let expected = "Basic YWdlbnQtNzphZ2VudC1zZWNyZXQ=";
            if headers.get(header::AUTHORIZATION).is_none_or(|value| value != expected) {
                return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
            }
            if lab.is_off("agents") {
                return oauth_error("unauthorized_client");
            }
            let mut request = form.clone();
            request.insert("client_id".into(), "agent-7".into());
            Json(lab.tokens("agent-7", &request, false)).into_response()
        }
        "password" if lab.is_off("no-password") && get("password") == format!("{}-pw", get("username")) => {
            Json(lab.tokens(get("username"), &form, false)).into_response()
        }
        _ => oauth_error("unsupported_grant_type"),
    }
}

async fn revoke(State(lab): Lab, Form(form): Form<Pairs>) -> StatusCode {
    if !lab.is_off("revocation") {
        lab.inner().revoked.insert(form["token"].clone());
    }
    StatusCode::OK
}

/// Who presents a good token, and its scopes.
fn bearer(lab: &Server, token: &str) -> Option<(String, Vec<String>)> {
    let claims = token::claims(token)?;
    let header = token::header(token)?;
    let (input, signature) = token.rsplit_once('.')?;
    let unsigned = lab.is_off("alg") && header["alg"].as_str()?.eq_ignore_ascii_case("none");
    let own_key = lab.is_off("jwk") && header.contains_key("jwk");
    if lab.sign(input) != signature && !lab.is_off("signature") && !unsigned && !own_key {
        return None;
    }
    let ours = claims.get("aud").is_some_and(|aud| *aud == json!(format!("{}/mcp", lab.base)));
    let is_id_token = claims.get("jti").is_none();
    if (!ours && !lab.is_off("audience") && !is_id_token) || (is_id_token && !lab.is_off("type")) {
        return None;
    }
    if lab.inner().revoked.contains(token) {
        return None;
    }
    let scopes = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
    Some((claims["sub"].as_str()?.to_owned(), scopes.split(' ').map(str::to_owned).collect()))
}

async fn mcp(State(lab): Lab, headers: HeaderMap, Query(query): Query<Pairs>, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let in_query = query.get("access_token").filter(|_| lab.is_off("header-only"));
    let token = text("authorization").and_then(|value| value.strip_prefix("Bearer ")).or(in_query.map(String::as_str));
    let session = text("mcp-session-id").and_then(|id| lab.inner().sessions.get(id).cloned());
    let mut caller = token.and_then(|token| bearer(&lab, token));
    if caller.is_none() && lab.is_off("session-auth") {
        caller = session.clone().map(|owner| (owner, vec!["notes:read".to_owned()]));
    }
    let Some((subject, scopes)) = caller else {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer scope=\"notes:read\"")]).into_response();
    };
    let Ok(message) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let id = message["id"].clone();
    let result = |result: Value| Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response();
    let may = |scope: &str| lab.is_off("scopes") || scopes.iter().any(|other| other == scope);
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            let mut answer = result(json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": { "name": "lab", "version": "1" },
            }));
            if !lab.is_off("sessions") {
                let id = if lab.is_off("random") {
                    lab.fresh("s")
                } else {
                    jws::encode(
                        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"s"), lab.fresh("s").as_bytes()).as_ref(),
                    )
                };
                lab.inner().sessions.insert(id.clone(), subject);
                answer.headers_mut().insert("mcp-session-id", id.parse().unwrap());
            }
            answer
        }
        method if method.starts_with("notifications/") => StatusCode::ACCEPTED.into_response(),
        _ if session.as_ref().is_some_and(|owner| *owner != subject) && !lab.is_off("session-owner") => {
            StatusCode::NOT_FOUND.into_response()
        }
        "tools/list" => {
            let tool = |name: &str, reads: bool| json!({ "name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": reads} });
            let mut tools = Vec::new();
            if may("notes:read") || lab.is_off("call-scope") {
                tools.push(tool("list_notes", true))
            }
            if may("mail:send") || lab.is_off("call-scope") {
                tools.push(tool("send_mail", false))
            }
            result(json!({ "tools": tools }))
        }
        "tools/call" if message["params"]["name"] == "list_notes" => {
            if !may("notes:read") && !lab.is_off("call-scope") && !lab.is_off("hidden-calls") {
                let challenge = "Bearer error=\"insufficient_scope\", scope=\"notes:read\"";
                return (StatusCode::FORBIDDEN, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
            }
            result(json!({ "content": [{"type": "text", "text": "none"}] }))
        }
        _ => Json(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "Method not found" } }))
            .into_response(),
    }
}
