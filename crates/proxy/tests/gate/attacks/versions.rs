//! Every way to be nobody, or the wrong one, under every protocol version and over both transports
//! (seen in mcp-toolbox CVE-2026-11719: an older version skipped the checks).

use std::{collections::BTreeSet, sync::Arc};

use axum::body::Body;
use http::{Request, StatusCode};
use sallyport_mcp::{Era, ProtocolVersion};
use sallyport_model::{ClientId, GrantId, SessionId, TenantId, TokenId, UserId};
use sallyport_proxy::Tenants;
use sallyport_storage::RevocationSubject;
use serde_json::{Value, json};

use crate::rig::{
    HOST, ISSUER, NOW, PUBLIC, Rig, claims,
    client::{Client, Reply},
    http_offer, stdio_offer,
    upstream::Upstream,
};

async fn world() -> (Rig, Arc<Upstream>, tempfile::TempDir) {
    let (legacy, url) = Upstream::start(Era::Legacy).await;
    let (_, modern_url) = Upstream::start(Era::Modern).await;
    let dir = tempfile::tempdir().unwrap();
    let cancelled = dir.path().join("cancelled");
    let offers = vec![
        http_offer("http-legacy", &url),
        http_offer("http-modern", &modern_url),
        stdio_offer("stdio-legacy", Era::Legacy, &cancelled),
        stdio_offer("stdio-modern", Era::Modern, &cancelled),
    ];
    (Rig::new(offers).await, legacy, dir)
}

const UPSTREAMS: [&str; 4] = ["http-legacy", "http-modern", "stdio-legacy", "stdio-modern"];

/// Tokens that are good nowhere, or not for `upstream`.
async fn bad_tokens(rig: &Rig, upstream: &str) -> Vec<(&'static str, String)> {
    let good = claims("ann", upstream);
    let with = |change: &dyn Fn(&mut sallyport_oauth::AccessClaims)| {
        let mut claims = good.clone();
        change(&mut claims);
        rig.sign(&claims)
    };
    let plain = serde_json::to_value(&good).unwrap();
    let without = |claim: &str| {
        let mut claims = plain.clone();
        claims.as_object_mut().unwrap().remove(claim);
        rig.forge(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}), &claims)
    };
    let genuine = rig.sign(&good);
    let mut tampered = genuine.clone().into_bytes();
    let at = genuine.find('.').unwrap() + 20;
    tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
    let mut parts = genuine.split('.');
    let unsigned = format!("{}.{}.", parts.next().unwrap(), parts.next().unwrap());
    let other_rig = Rig::new(Vec::new()).await;
    vec![
        ("garbage", "x".to_owned()),
        ("tampered", String::from_utf8(tampered).unwrap()),
        ("unsigned", unsigned),
        ("alg none", rig.forge(&json!({"alg": "none", "typ": "at+jwt", "kid": "k1"}), &plain)),
        ("alg HS256", rig.forge(&json!({"alg": "HS256", "typ": "at+jwt", "kid": "k1"}), &plain)),
        ("foreign key", other_rig.sign(&good)),
        ("unknown kid", rig.forge(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "k2"}), &plain)),
        ("embedded jwk", rig.forge(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1", "jwk": {}}), &plain)),
        ("ID token", rig.forge(&json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}), &plain)),
        ("no type", rig.forge(&json!({"alg": "ES256", "kid": "k1"}), &plain)),
        ("other issuer", with(&|c| c.iss = "https://evil.example".into())),
        ("issuer with a slash", with(&|c| c.iss = format!("{ISSUER}/"))),
        ("other audience", with(&|c| c.aud = format!("{PUBLIC}/mcp/elsewhere"))),
        ("audience of the whole gate", with(&|c| c.aud = PUBLIC.into())),
        ("audience with a slash", with(&|c| c.aud.push('/'))),
        ("no audience", without("aud")),
        ("no expiry", without("exp")),
        ("no tenant", without("tenant")),
        ("no scope", without("scope")),
        ("expired", with(&|c| (c.iat, c.exp) = (NOW - 400, NOW - 100))),
        ("of the future", with(&|c| (c.iat, c.exp) = (NOW + 1000, NOW + 2000))),
    ]
}

/// A request under `version` that would have an effect if it were let in.
fn attempt(
    upstream: &str,
    version: ProtocolVersion,
    method: &str,
    tool: &str,
) -> (String, Vec<(&'static str, String)>) {
    let mut params = json!({"name": tool, "arguments": {}});
    let mut headers = vec![("mcp-protocol-version", version.to_string())];
    if method == "initialize" {
        params = json!({"protocolVersion": version.as_str(), "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
        headers.clear();
    }
    if version.era() == Era::Modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": version.as_str(),
            "io.modelcontextprotocol/clientCapabilities": {}, "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
        });
        headers.push(("mcp-method", method.to_owned()));
        headers.push(("mcp-name", tool.to_owned()));
    }
    let _ = upstream;
    (json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(), headers)
}

async fn send(
    rig: &Rig,
    verb: &str,
    upstream: &str,
    token: Option<&str>,
    session: Option<&str>,
    body: (String, Vec<(&'static str, String)>),
) -> Reply {
    let mut request = Request::builder().method(verb).uri(format!("/mcp/{upstream}")).header("host", HOST);
    request = request.header("content-type", "application/json");
    for (name, value) in body.1 {
        request = request.header(name, value);
    }
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
    }
    rig.send(request.body(Body::from(body.0)).unwrap()).await
}

fn is_challenged(reply: &Reply, upstream: &str, what: &str) {
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
    let challenge = reply.header("www-authenticate");
    let metadata = format!("resource_metadata=\"{PUBLIC}/.well-known/oauth-protected-resource/mcp/{upstream}\"");
    assert!(challenge.starts_with("Bearer ") && challenge.contains(&metadata), "{what}: {challenge}");
    assert!(challenge.contains(&format!("scope=\"{upstream}:read\"")), "{what}: {challenge}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_version_transport_or_verb_lets_a_stranger_in() {
    let (rig, legacy, _dir) = world().await;
    let before = legacy.arrived().len();
    let mut tried = 0;
    for upstream in UPSTREAMS {
        let session = Client::connect(&rig, upstream, Era::Legacy).await.session.unwrap();
        let mut tokens: Vec<(&str, Option<String>)> = vec![("no token", None)];
        tokens.extend(bad_tokens(&rig, upstream).await.into_iter().map(|(what, token)| (what, Some(token))));
        for (what, token) in &tokens {
            for version in ProtocolVersion::ALL {
                for (verb, method) in [
                    ("POST", "initialize"),
                    ("POST", "tools/call"),
                    ("POST", "server/discover"),
                    ("GET", ""),
                    ("DELETE", ""),
                ] {
                    let body = attempt(upstream, version, method, "write");
                    let reply = send(&rig, verb, upstream, token.as_deref(), Some(&session), body).await;
                    is_challenged(&reply, upstream, &format!("{what} {version} {verb} {method} {upstream}"));
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 4 * 22 * 5 * 5);
    let leaked = legacy.arrived().split_off(before).iter().any(|arrived| arrived.body.contains("write"));
    assert!(!leaked, "nothing of it was forwarded");
    let events = rig.gate.strangers().drain(rig.clock.as_ref(), &sallyport_model::SystemRng);
    let codes: BTreeSet<_> = events.iter().map(|event| event.facts["code"].as_str().unwrap().to_owned()).collect();
    for code in [
        "no_token",
        "token_audience",
        "token_issuer",
        "token_expired",
        "token_type",
        "token_signature",
        "token_algorithm",
    ] {
        assert!(codes.contains(code), "{code} in {codes:?}");
    }
    let counted: u64 = events.iter().map(|event| event.facts["times"].as_u64().unwrap()).sum();
    assert_eq!(counted, tried, "every refusal is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_dead_under_every_version_whatever_part_of_it_was_revoked() {
    let (rig, _, _dir) = world().await;
    type Part = fn(&str) -> RevocationSubject;
    let parts: [(&str, Part); 6] = [
        ("token", |who| RevocationSubject::Token(TokenId::new(format!("t-{who}")).unwrap())),
        ("grant", |who| RevocationSubject::Grant(GrantId::new(format!("g-{who}")).unwrap())),
        ("session", |who| RevocationSubject::Session(SessionId::new(format!("s-{who}")).unwrap())),
        ("user", |who| RevocationSubject::User(UserId::new(format!("u-{who}")).unwrap())),
        ("client", |who| RevocationSubject::Client(ClientId::new(format!("c-{who}")).unwrap())),
        ("tenant", |who| RevocationSubject::Tenant(TenantId::new(format!("tenant-{who}")).unwrap())),
    ];
    for (part, subject) in parts {
        let mut tokens = Vec::new();
        for upstream in UPSTREAMS {
            let mut claims = claims(part, upstream);
            claims.jti = TokenId::new(format!("t-{part}")).unwrap();
            claims.client_id = ClientId::new(format!("c-{part}")).unwrap();
            claims.tenant = TenantId::new(format!("tenant-{part}")).unwrap();
            let token = rig.sign(&claims);
            // Used once, so that the gate remembers its signature as good.
            let client = Client::connect_as(&rig, upstream, "2025-11-25", token.clone(), json!({})).await;
            tokens.push((upstream, token, client.session.unwrap()));
        }
        rig.revoke(subject(part)).await;
        for (upstream, token, session) in tokens {
            for version in ProtocolVersion::ALL {
                let body = attempt(upstream, version, "tools/call", "write");
                let reply = send(&rig, "POST", upstream, Some(&token), Some(&session), body).await;
                is_challenged(&reply, upstream, &format!("{part} {version} {upstream}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_beyond_the_scope_is_refused_under_every_version_with_all_that_it_needs() {
    let (rig, legacy, _dir) = world().await;
    for upstream in UPSTREAMS {
        let mut reader = claims("bob", upstream);
        reader.scope = format!("{upstream}:read").parse().unwrap();
        let token = rig.sign(&reader);
        for version in ProtocolVersion::ALL {
            let client = Client::connect_as(&rig, upstream, version.as_str(), token.clone(), json!({})).await;
            let reply = client.open("tools/call", json!({"name": "write", "arguments": {"note": "x"}})).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{version} {upstream}");
            let challenge = reply.header("www-authenticate").to_owned();
            assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
            assert!(challenge.contains("resource_metadata=\""), "{challenge}");
            let named = challenge.split("scope=\"").nth(1).unwrap().split('"').next().unwrap();
            let named: BTreeSet<&str> = named.split(' ').collect();
            let (read, tool) = (format!("{upstream}:read"), format!("{upstream}:write"));
            assert!(named.contains(read.as_str()), "what is held stays: {challenge}");
            assert!(named.iter().any(|scope| scope.starts_with(&tool) || scope.ends_with("%77rite")), "{challenge}");
            assert!(client.call("echo", json!({})).await.response.get("result").is_some(), "reading goes on");
            // A principal has few processes at once, and each version needs one.
            client.verb("DELETE", &[]).await;
        }
    }
    assert_eq!(legacy.calls("write"), 0);
    assert_eq!(rig.log.refusals().iter().filter(|code| *code == "insufficient_scope").count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scope_of_one_tool_covers_that_tool_alone() {
    let (rig, _, _dir) = world().await;
    for version in ["2025-11-25", "2026-07-28"] {
        let mut claims = claims("eve", "http-legacy");
        claims.scope = "http-legacy:echo".parse().unwrap();
        let token = rig.sign(&claims);
        let client = Client::connect_as(&rig, "http-legacy", version, token, json!({})).await;
        assert!(client.call("echo", json!({})).await.response.get("result").is_some());
        for (method, params) in [
            ("tools/call", json!({"name": "fail", "arguments": {}})),
            ("tools/call", json!({"name": "write", "arguments": {}})),
            ("resources/read", json!({"uri": "mem://a"})),
            ("prompts/get", json!({"name": "greet"})),
            (
                "completion/complete",
                json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "a", "value": ""}}),
            ),
        ] {
            assert_eq!(client.request(method, params).await.status, 403, "{method}");
        }
        let tools = client.request("tools/list", json!({})).await;
        let shown: Vec<&Value> = tools.result()["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        assert_eq!(shown, ["echo"]);
        for (list, member) in [("resources/list", "resources"), ("prompts/list", "prompts")] {
            assert_eq!(client.request(list, json!({})).await.result()[member], json!([]), "{list}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_not_offered_an_upstream_gets_nothing_of_it() {
    let (legacy, url) = Upstream::start(Era::Legacy).await;
    let mut offer = http_offer("ours", &url);
    offer.tenants = Tenants::These(BTreeSet::from([TenantId::new("acme").unwrap()]));
    let rig = Rig::new(vec![offer]).await;
    let before = legacy.arrived().len();
    let mut theirs = claims("mallory", "ours");
    theirs.tenant = TenantId::new("globex").unwrap();
    let token = rig.sign(&theirs);
    for version in ProtocolVersion::ALL {
        for method in ["initialize", "tools/call", "tools/list", "server/discover", "subscriptions/listen"] {
            let (mut body, mut headers) = attempt("ours", version, method, "echo");
            let wants_name = method == "tools/call";
            if !wants_name {
                headers.retain(|(name, _)| *name != "mcp-name");
            }
            if method == "subscriptions/listen" {
                body = body.replace("\"arguments\":{}", "\"notifications\":{}");
            }
            if version.era() == Era::Modern && method == "initialize" {
                continue;
            }
            let reply = send(&rig, "POST", "ours", Some(&token), None, (body, headers)).await;
            assert!(reply.status.is_client_error(), "{version} {method}: {}", reply.status);
            let answer = reply.json().await;
            assert!(answer.get("result").is_none(), "{version} {method}: {answer}");
        }
    }
    assert_eq!(legacy.arrived().len(), before, "nothing was forwarded");
    assert!(rig.log.refusals().contains(&"upstream_not_granted".to_owned()), "{:?}", rig.log.refusals());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_good_is_not_remembered_beyond_its_end() {
    let (rig, _, _dir) = world().await;
    let legacy = Client::connect(&rig, "http-legacy", Era::Legacy).await;
    let modern = Client::connect(&rig, "http-modern", Era::Modern).await;
    let mut stream = legacy.verb("GET", &[]).await;
    for client in [&legacy, &modern] {
        client.call("echo", json!({})).await.result();
    }
    rig.clock.advance(std::time::Duration::from_secs(306));
    for client in [&legacy, &modern] {
        let reply = client.open("tools/call", json!({"name": "echo", "arguments": {}})).await;
        is_challenged(&reply, &client.upstream, "expired");
    }
    assert!(stream.next().await.is_none(), "its streams end with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_good_at_one_server_is_not_believed_at_another() {
    let (rig, _, _dir) = world().await;
    let token = rig.token("http-legacy");
    for version in ProtocolVersion::ALL.into_iter().filter(|version| version.era() == Era::Legacy) {
        let open = || attempt("", version, "initialize", "");
        let there = send(&rig, "POST", "http-legacy", Some(&token), None, open()).await;
        assert_eq!(there.status, StatusCode::OK, "{version}");
        for elsewhere in ["http-modern", "stdio-legacy", "stdio-modern"] {
            let reply = send(&rig, "POST", elsewhere, Some(&token), None, open()).await;
            is_challenged(&reply, elsewhere, &format!("{version} {elsewhere}"));
        }
    }
}
