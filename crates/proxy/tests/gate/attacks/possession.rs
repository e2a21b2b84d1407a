//! A token in the hands of somebody who does not hold its key (RFC 9449, RFC 8705 section 3): stolen, downgraded,
//! with somebody else's proof, or with one that was used before, here or on another node.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::body::Body;
use futures::future::join_all;
use http::{Request, StatusCode};
use sallyport_mcp::{Era, ProtocolVersion};
use sallyport_model::{Clock as _, EventKind, KeyBinding, PeerCertificate, SystemRng, TenantId, Timestamp};
use sallyport_oauth::{dpop::NonceKey, thumbprint};
use sallyport_proxy::{MemoryProofIds, NoProofIds, Possession, ProofIds, UsedProof};
use sallyport_storage::{SqliteStore, Tenant, Tenants as _};
use serde_json::{Value, json};

use crate::rig::{
    NOW, PUBLIC, Rig, claims,
    client::{Client, Reply},
    holder::{Holder, Says},
    http_offer,
    upstream::Upstream,
};

const URL: &str = "https://gate.example/mcp/up";
const GREETING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;

async fn world() -> (Rig, Arc<Upstream>, String) {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let shared = |store: Arc<SqliteStore>| Possession::shared(store, &[9; 32]);
    (Rig::possessing(vec![http_offer("up", &url)], shared).await, upstream, url)
}

/// Ann's token, bound to `binding`.
fn bound(rig: &Rig, binding: KeyBinding) -> String {
    let mut claims = claims("ann", "up");
    claims.cnf = Some(binding);
    rig.sign(&claims)
}

/// A POST that would open a session, with these headers.
fn greeting(headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post("/mcp/up")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(GREETING)).unwrap()
}

async fn nonce(rig: &Rig) -> String {
    rig.send(greeting(&[])).await.header("dpop-nonce").to_owned()
}

fn dpop(token: &str) -> String {
    format!("DPoP {token}")
}

/// What a good proof for [`greeting`] says.
fn good<'a>(token: &'a str, nonce: &'a str) -> Says<'a> {
    Says { method: "POST", url: URL, token: Some(token), nonce: Some(nonce), at: NOW }
}

/// The challenges of an answer, by scheme.
fn challenges(reply: &Reply) -> HashMap<String, String> {
    let all = reply.headers.get_all("www-authenticate").iter();
    all.map(|value| value.to_str().unwrap().split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap())
        .collect()
}

/// That an answer refuses with `error` in the challenge of `scheme` alone, and offers both schemes.
fn is_refused(reply: &Reply, scheme: &str, error: &str, what: &str) {
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}");
    let all = challenges(reply);
    assert_eq!(all.len(), 2, "{what}: {all:?}");
    assert!(reply.header("www-authenticate").starts_with(scheme), "{what}: the scheme that was used is first");
    for (name, text) in &all {
        assert!(text.contains("resource_metadata=\"") && text.contains("scope=\"up:read\""), "{what}: {text}");
        assert_eq!(text.contains("error="), name == scheme, "{what}: {name} {text}");
        assert_eq!(text.contains("algs=\"ES256"), name == "DPoP", "{what}: {name} {text}");
    }
    assert!(all[scheme].contains(&format!("error=\"{error}\"")), "{what}: {all:?}");
    assert!(!reply.header("dpop-nonce").is_empty(), "{what}: the next proof can have a nonce");
}

/// The codes under which strangers were refused since the last time.
async fn codes(rig: &Rig) -> Vec<String> {
    let before = rig.log.of(EventKind::StrangersRefused).len();
    rig.gate.strangers().flush(rig.log.as_ref(), rig.clock.as_ref(), &SystemRng).await;
    let events = rig.log.of(EventKind::StrangersRefused);
    events[before..].iter().map(|event| event.facts["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_worth_nothing_without_its_key() {
    let (rig, upstream, _) = world().await;
    let (ann, thief) = (Holder::new(), Holder::new());
    let token = bound(&rig, ann.cnf());
    let nonce = nonce(&rig).await;
    codes(&rig).await;
    let before = (upstream.arrived().len(), rig.log.events().len());
    let forged = thief.prove(&good(&token, &nonce));
    let (as_dpop, as_bearer) = (dpop(&token), format!("Bearer {token}"));
    for (what, headers, scheme, error, code) in [
        ("alone", vec![("authorization", as_bearer.as_str())], "Bearer", "invalid_token", "dpop_downgraded"),
        ("without a proof", vec![("authorization", &as_dpop)], "DPoP", "invalid_dpop_proof", "dpop_missing"),
        (
            "with another key's proof",
            vec![("authorization", &as_dpop), ("dpop", &forged)],
            "DPoP",
            "invalid_dpop_proof",
            "dpop_other_key",
        ),
        (
            "as bearer, with another key's proof",
            vec![("authorization", &as_bearer), ("dpop", &forged)],
            "Bearer",
            "invalid_token",
            "dpop_downgraded",
        ),
    ] {
        is_refused(&rig.send(greeting(&headers)).await, scheme, error, what);
        assert!(codes(&rig).await.contains(&code.to_owned()), "{what}");
    }
    assert_eq!(upstream.arrived().len(), before.0, "nothing was forwarded");
    let of_ann = rig.log.events()[before.1..].iter().filter(|event| event.who.is_some()).count();
    assert_eq!(of_ann, 0, "nothing is on record as done by Ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_version_or_verb_takes_a_bound_token_as_a_bearer_token() {
    let (rig, upstream, _) = world().await;
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    for version in ProtocolVersion::ALL {
        let held = Client::connect_held(&rig, "up", version.as_str(), token.clone(), Holder::new_with(&holder)).await;
        let calls = upstream.calls("echo");
        let mut thief = Client::unconnected(&rig, "up", version.as_str(), token.clone());
        thief.session = held.session.clone();
        let call = json!({"name": "echo", "arguments": {}});
        for (method, params) in [
            ("tools/call", call.clone()),
            ("tools/list", json!({})),
            ("ping", json!({})),
            ("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})),
        ] {
            let reply = thief.open(method, params).await;
            is_refused(&reply, "Bearer", "invalid_token", &format!("{version} {method}"));
        }
        let batch = json!([{"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": call}]).to_string();
        is_refused(&thief.post(&batch).await, "Bearer", "invalid_token", &format!("{version} batch"));
        assert_eq!(thief.notify("notifications/initialized", json!({})).await, StatusCode::UNAUTHORIZED);
        for verb in ["GET", "DELETE"] {
            is_refused(&thief.verb(verb, &[]).await, "Bearer", "invalid_token", &format!("{version} {verb}"));
        }
        assert_eq!(upstream.calls("echo"), calls, "nothing was forwarded under {version}");

        held.call("echo", json!({})).await.result();
        if version.era() == Era::Legacy {
            let stream = held.verb("GET", &[]).await;
            assert_eq!(stream.status, StatusCode::OK, "{version}");
            drop(stream);
            assert_eq!(held.verb("DELETE", &[]).await.status, StatusCode::OK, "{version}");
        } else {
            let wanted = json!({"notifications": {"toolsListChanged": true}});
            assert_eq!(held.open("subscriptions/listen", wanted).await.status, StatusCode::OK);
        }
    }
    let calls = rig.log.about(EventKind::CallClosed, "tools/call");
    assert!(!calls.is_empty() && calls.iter().all(|call| call.facts["bound"] == "dpop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_for_one_method_address_token_and_time() {
    let (rig, upstream, url) = world().await;
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let other_token = bound(&rig, holder.cnf());
    let first = nonce(&rig).await;
    let alone = Rig::new(vec![http_offer("up", &url)]).await;
    let foreign = nonce(&alone).await;
    assert_ne!(first, foreign, "each node that stands alone has nonces of its own");
    let before = upstream.arrived().len();
    let says = || good(&token, &first);
    for (what, says, error) in [
        ("htm", Says { method: "GET", ..says() }, "invalid_dpop_proof"),
        ("htm in small letters", Says { method: "post", ..says() }, "invalid_dpop_proof"),
        ("htu of another upstream", Says { url: "https://gate.example/mcp/other", ..says() }, "invalid_dpop_proof"),
        ("htu of another host", Says { url: "https://evil.example/mcp/up", ..says() }, "invalid_dpop_proof"),
        ("htu of another scheme", Says { url: "http://gate.example/mcp/up", ..says() }, "invalid_dpop_proof"),
        ("htu of another port", Says { url: "https://gate.example:8443/mcp/up", ..says() }, "invalid_dpop_proof"),
        ("htu of the whole gate", Says { url: PUBLIC, ..says() }, "invalid_dpop_proof"),
        ("htu with more of a path", Says { url: "https://gate.example/mcp/up/x", ..says() }, "invalid_dpop_proof"),
        ("ath of another token", Says { token: Some(&other_token), ..says() }, "invalid_dpop_proof"),
        ("no ath", Says { token: None, ..says() }, "invalid_dpop_proof"),
        ("older than the window", Says { at: NOW - 302, ..says() }, "invalid_dpop_proof"),
        ("newer than the window", Says { at: NOW + 302, ..says() }, "invalid_dpop_proof"),
        ("no nonce", Says { nonce: None, ..says() }, "use_dpop_nonce"),
        ("a nonce that nobody gave", Says { nonce: Some("x"), ..says() }, "use_dpop_nonce"),
        ("another server's nonce", Says { nonce: Some(&foreign), ..says() }, "use_dpop_nonce"),
    ] {
        let proof = holder.prove(&says);
        let reply = rig.send(greeting(&[("authorization", &dpop(&token)), ("dpop", &proof)])).await;
        is_refused(&reply, "DPoP", error, what);
    }
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
    let within = Says { at: NOW - 299, url: "https://GATE.example:443/mcp/up?x=1#y", ..says() };
    let proof = holder.prove(&within);
    let reply = rig.send(greeting(&[("authorization", &dpop(&token)), ("dpop", &proof)])).await;
    assert_eq!(reply.status, StatusCode::OK, "what only looks different is the same address");

    rig.clock.advance(Duration::from_secs(150));
    let reply = rig.send(greeting(&[("authorization", &dpop(&token)), ("dpop", &holder.prove(&says()))])).await;
    is_refused(&reply, "DPoP", "use_dpop_nonce", "an old nonce");
    let next = reply.header("dpop-nonce");
    assert_ne!(next, first);
    let proof = holder.prove(&good(&token, next));
    let reply = rig.send(greeting(&[("authorization", &dpop(&token)), ("dpop", &proof)])).await;
    assert_eq!((reply.status, reply.header("dpop-nonce")), (StatusCode::OK, next), "a success brings the nonce, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_in_a_proof_is_never_held_against_the_host_header() {
    let (rig, upstream, _) = world().await;
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let nonce = nonce(&rig).await;
    let before = upstream.arrived().len();
    let says = Says { url: "https://evil.example/mcp/up", ..good(&token, &nonce) };
    for headers in [
        vec![("host", "evil.example")],
        vec![("x-forwarded-host", "evil.example")],
        vec![("forwarded", "host=evil.example")],
    ] {
        let proof = holder.prove(&says);
        let authorization = dpop(&token);
        let mut all = vec![("authorization", authorization.as_str()), ("dpop", &proof)];
        all.extend(headers);
        assert!(rig.send(greeting(&all)).await.status.is_client_error(), "{all:?}");
    }
    assert_eq!(upstream.arrived().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_counts_once_on_whichever_node() {
    let (rig, _, url) = world().await;
    let other = rig.another_node(vec![http_offer("up", &url)]).await;
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let nonce = nonce(&rig).await;
    let proof = holder.prove(&good(&token, &nonce));
    let authorization = dpop(&token);
    let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
    assert_eq!(rig.send(greeting(&headers)).await.status, StatusCode::OK);
    for node in [&rig.router, &other] {
        is_refused(&rig.send_to(node, greeting(&headers)).await, "DPoP", "invalid_dpop_proof", "again");
    }
    let fresh = holder.prove(&good(&token, &nonce));
    let headers = [("authorization", authorization.as_str()), ("dpop", &fresh)];
    let taken = rig.send_to(&other, greeting(&headers)).await;
    assert_eq!(taken.status, StatusCode::OK, "the nodes' nonces are the same");
    is_refused(&rig.send(greeting(&headers)).await, "DPoP", "invalid_dpop_proof", "on the first node");
    assert!(codes(&rig).await.contains(&"dpop_replayed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_at_once_with_one_proof_one_passes() {
    let (rig, _, url) = world().await;
    let other = rig.another_node(vec![http_offer("up", &url)]).await;
    let alone = Rig::new(vec![http_offer("up", &url)]).await;
    for (rig, nodes) in [(&rig, [&rig.router, &other]), (&alone, [&alone.router, &alone.router])] {
        let holder = Holder::new();
        let token = bound(rig, holder.cnf());
        let nonce = nonce(rig).await;
        for _ in 0..3 {
            let proof = holder.prove(&good(&token, &nonce));
            let authorization = dpop(&token);
            let sent = (0..50).map(|n| {
                let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
                rig.send_to(nodes[n % 2], greeting(&headers))
            });
            let replies = join_all(sent).await;
            let passed = replies.iter().filter(|reply| reply.status == StatusCode::OK).count();
            let refused = replies.iter().filter(|reply| reply.status == StatusCode::UNAUTHORIZED).count();
            assert_eq!((passed, refused), (1, 49));
        }
        // Each with a proof of its own: all pass, whoever waits for whom.
        let sent = (0..10).map(|n| {
            let proof = holder.prove(&good(&token, &nonce));
            let request = greeting(&[("authorization", &dpop(&token)), ("dpop", &proof)]);
            async move { rig.send_to(nodes[n % 2], request).await.status }
        });
        assert_eq!(join_all(sent).await, [StatusCode::OK; 10]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_safely() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let proof = holder.prove(&good(&token, &nonce(&rig).await));
    let authorization = dpop(&token);
    let headers = [("authorization", authorization.as_str()), ("dpop", &proof)];
    assert_eq!(rig.send(greeting(&headers)).await.status, StatusCode::OK);
    let restarted = rig.another_node(vec![http_offer("up", &url)]).await;
    let reply = rig.send_to(&restarted, greeting(&headers)).await;
    is_refused(&reply, "DPoP", "use_dpop_nonce", "what it took before it was started anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_proofs_none_counts_and_a_bearer_token_has_none() {
    let (rig, upstream, _) = world().await;
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let nonce = nonce(&rig).await;
    let before = upstream.arrived().len();
    let (one, two) = (holder.prove(&good(&token, &nonce)), holder.prove(&good(&token, &nonce)));
    let authorization = dpop(&token);
    let both = [("authorization", authorization.as_str()), ("dpop", &one), ("dpop", &two)];
    is_refused(&rig.send(greeting(&both)).await, "DPoP", "invalid_dpop_proof", "two headers");
    let same = [("authorization", authorization.as_str()), ("dpop", &one), ("dpop", &one)];
    is_refused(&rig.send(greeting(&same)).await, "DPoP", "invalid_dpop_proof", "the same twice");
    let joined = format!("{one}, {two}");
    let joined = [("authorization", authorization.as_str()), ("dpop", &joined)];
    is_refused(&rig.send(greeting(&joined)).await, "DPoP", "invalid_dpop_proof", "two in one header");

    let plain = rig.token("up");
    let proof = holder.prove(&good(&plain, &nonce));
    let bearer = format!("Bearer {plain}");
    let needless = [("authorization", bearer.as_str()), ("dpop", &proof)];
    is_refused(&rig.send(greeting(&needless)).await, "Bearer", "invalid_token", "a proof with a bearer token");
    let unbound = [("authorization", &*dpop(&plain)), ("dpop", &proof)].map(|(name, value)| (name, value.to_owned()));
    let unbound: Vec<_> = unbound.iter().map(|(name, value)| (*name, value.as_str())).collect();
    is_refused(&rig.send(greeting(&unbound)).await, "DPoP", "invalid_token", "a token without a key as DPoP");
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
    let good = [("authorization", authorization.as_str()), ("dpop", &one)];
    assert_eq!(rig.send(greeting(&good)).await.status, StatusCode::OK, "what was refused used no proof up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_with_a_byte_changed_proves_nothing() {
    let (rig, upstream, _) = world().await;
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let nonce = nonce(&rig).await;
    let before = upstream.arrived().len();
    let proof = holder.prove(&good(&token, &nonce));
    for at in (0..proof.len()).step_by(7) {
        let mut bytes = proof.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).unwrap();
        let reply = rig.send(greeting(&[("authorization", &dpop(&token)), ("dpop", &forged)])).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "byte {at}");
    }
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
}

/// A store that cannot tell.
struct Down;

#[async_trait]
impl ProofIds for Down {
    async fn use_each_once(&self, _: &[UsedProof], _: Timestamp) -> Result<Vec<bool>, NoProofIds> {
        Err(NoProofIds::Store("down".to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_tell_a_replayed_proof_refuses_every_one() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let down = |_: Arc<SqliteStore>| Possession::with(Arc::new(Down), &[9; 32]);
    let rig = Rig::possessing(vec![http_offer("up", &url)], down).await;
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let before = upstream.arrived().len();
    let proof = holder.prove(&good(&token, &nonce(&rig).await));
    let reply = rig.send(greeting(&[("authorization", &dpop(&token)), ("dpop", &proof)])).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(challenges(&reply).is_empty(), "signing in anew would not help");
    assert_eq!(reply.json().await["error"]["data"]["reason"], "store");
    assert_eq!(upstream.arrived().len(), before);
    let plain = format!("Bearer {}", rig.token("up"));
    assert_eq!(rig.send(greeting(&[("authorization", &plain)])).await.status, StatusCode::OK, "it is about proofs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_a_certificate_needs_that_certificate() {
    let (rig, upstream, _) = world().await;
    let der: Arc<[u8]> = Arc::from(&b"the certificate"[..]);
    let digest = thumbprint::of_certificate(&der);
    let token = bound(&rig, KeyBinding::Certificate(digest.clone()));
    let before = upstream.arrived().len();
    let of = |der: &[u8]| PeerCertificate {
        der: Arc::from(der),
        x5t_s256: Arc::from(thumbprint::of_certificate(der)),
        trusted: false,
    };
    let holder = Holder::new();
    let proof = holder.prove(&good(&token, &nonce(&rig).await));
    let (as_bearer, as_dpop) = (format!("Bearer {token}"), dpop(&token));
    for (what, headers, peer, scheme) in [
        ("none", vec![("authorization", as_bearer.as_str())], None, "Bearer"),
        ("another", vec![("authorization", &as_bearer)], Some(of(b"another certificate")), "Bearer"),
        ("in a header", vec![("authorization", &as_bearer), ("x-client-cert", &digest)], None, "Bearer"),
        ("with a proof instead", vec![("authorization", &as_dpop), ("dpop", &proof)], None, "DPoP"),
        ("with both", vec![("authorization", &as_bearer), ("dpop", &proof)], Some(of(&der)), "Bearer"),
    ] {
        let mut request = greeting(&headers);
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        is_refused(&rig.send(request).await, scheme, "invalid_token", what);
    }
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
    let mut request = greeting(&[("authorization", &as_bearer)]);
    request.extensions_mut().insert(of(&der));
    assert_eq!(rig.send(request).await.status, StatusCode::OK);
    let opened = rig.log.of(EventKind::McpSessionOpened);
    assert_eq!(opened.last().unwrap().facts["bound"], "mtls");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_offered_stands_in_the_metadata_and_pages_may_use_it() {
    let (rig, _, _) = world().await;
    let request = Request::get("/.well-known/oauth-protected-resource/mcp/up").body(Body::empty()).unwrap();
    let metadata = rig.send(request).await.json().await;
    let algorithms = metadata["dpop_signing_alg_values_supported"].as_array().unwrap();
    assert!(algorithms.contains(&Value::from("ES256")) && !algorithms.iter().any(|name| name == "none"));
    assert!(metadata.get("dpop_bound_access_tokens_required").is_none(), "bearer tokens are taken as well");
    let preflight = Request::options("/mcp/up").header("origin", "https://app.example").body(Body::empty()).unwrap();
    let preflight = rig.send(preflight).await;
    assert!(preflight.header("access-control-allow-headers").split(", ").any(|name| name == "dpop"));
    let reply = rig.send(greeting(&[("origin", "https://app.example")])).await;
    is_offered(&reply);
    assert!(reply.header("access-control-expose-headers").split(", ").any(|name| name == "dpop-nonce"));
}

/// That a stranger is offered both schemes and accused of nothing.
fn is_offered(reply: &Reply) {
    let all = challenges(reply);
    assert_eq!((reply.status, all.len()), (StatusCode::UNAUTHORIZED, 2));
    assert!(reply.header("www-authenticate").starts_with("Bearer "), "clients that know no other read the first");
    assert!(all["DPoP"].contains("algs=\"ES256") && all.values().all(|text| !text.contains("error=")), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_lacking_is_named_in_the_scheme_that_was_used() {
    let (rig, _, _) = world().await;
    let holder = Holder::new();
    let mut reader = claims("bob", "up");
    reader.scope = "up:read".parse().unwrap();
    reader.cnf = Some(holder.cnf());
    let bob = Client::connect_held(&rig, "up", "2025-11-25", rig.sign(&reader), holder).await;
    let reply = bob.open("tools/call", json!({"name": "write", "arguments": {}})).await;
    let all = challenges(&reply);
    assert_eq!((reply.status, all.len()), (StatusCode::FORBIDDEN, 1));
    assert!(all["DPoP"].contains("error=\"insufficient_scope\"") && all["DPoP"].contains("algs="), "{all:?}");
    bob.holder.as_ref().unwrap().hear(&reply);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_demand_ends_its_bearer_tokens_and_nobody_elses() {
    let (rig, _, _) = world().await;
    let mut acme = Tenant::new(TenantId::new("acme").unwrap(), "Acme", Timestamp::from_secs(NOW));
    let mut theirs = claims("mallory", "up");
    theirs.tenant = TenantId::new("globex").unwrap();
    let (ours, theirs) = (format!("Bearer {}", rig.token("up")), format!("Bearer {}", rig.sign(&theirs)));
    // In a session that is not there: whoever is let in hears so, and no session is opened.
    const LET_IN: StatusCode = StatusCode::NOT_FOUND;
    let status = async |authorization: &str| {
        let request = Request::get("/mcp/up").header("authorization", authorization).header("mcp-session-id", "none");
        rig.send(request.header("accept", "text/event-stream").body(Body::empty()).unwrap()).await.status
    };
    let becomes = async |wanted: StatusCode| {
        let began = std::time::Instant::now();
        while status(&ours).await != wanted {
            assert!(began.elapsed() < Duration::from_secs(5), "waited in vain for {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(status(&ours).await, LET_IN);
    acme.settings.sender_bound = true;
    rig.store.put_tenant(&acme).await.unwrap();
    becomes(StatusCode::UNAUTHORIZED).await;
    let reply = rig.send(greeting(&[("authorization", &ours)])).await;
    is_refused(&reply, "Bearer", "invalid_token", "a bearer token of a tenant that takes none");
    assert!(codes(&rig).await.contains(&"token_unbound".to_owned()));
    assert_eq!(status(&theirs).await, LET_IN, "another tenant's");
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let proof = holder.prove(&good(&token, &nonce(&rig).await));
    let reply = rig.send(greeting(&[("authorization", &dpop(&token)), ("dpop", &proof)])).await;
    assert_eq!(reply.status, StatusCode::OK, "a bound one");
    acme.settings.sender_bound = false;
    rig.store.put_tenant(&acme).await.unwrap();
    becomes(LET_IN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_tenants_were_read_no_unbound_token_passes() {
    let (rig, upstream, url) = world().await;
    let gate = rig.another_gate(vec![http_offer("up", &url)]).await;
    let node = gate.router();
    let plain = format!("Bearer {}", rig.token("up"));
    let before = upstream.arrived().len();
    let reply = rig.send_to(&node, greeting(&[("authorization", &plain)])).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(challenges(&reply).is_empty(), "signing in anew would not help");
    assert_eq!(reply.json().await["error"]["data"]["reason"], "store");
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
    let holder = Holder::new();
    let token = bound(&rig, holder.cnf());
    let proof = holder.prove(&good(&token, &nonce(&rig).await));
    let reply = rig.send_to(&node, greeting(&[("authorization", &dpop(&token)), ("dpop", &proof)])).await;
    assert_eq!(reply.status, StatusCode::OK, "a bound one does not depend on it");
    gate.load_pins().await.unwrap();
    assert_eq!(rig.send_to(&node, greeting(&[("authorization", &plain)])).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_proof_is_refused_for_as_long_as_it_could_pass_on_either_kind_of_node() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let offered = || vec![http_offer("up", &url)];
    let shared: fn(Arc<SqliteStore>) -> Possession = |store| Possession::shared(store, &[9; 32]);
    let of_one = |_| Possession::with(Arc::new(MemoryProofIds::default()), &[9; 32]);
    for possession in [of_one, shared] {
        let rig = Rig::possessing(offered(), possession).await;
        let holder = Holder::new();
        let mut claims = claims("ann", "up");
        (claims.cnf, claims.exp) = (Some(holder.cnf()), NOW + 900);
        let token = rig.sign(&claims);
        // As a node whose clock is ahead hands it out: good for three windows from now on.
        let start = NOW - NOW % 60 + 60;
        rig.clock.advance(Duration::from_secs(start - NOW));
        let nonces = NonceKey::new(&[9; 32], Duration::from_secs(60)).unwrap();
        let nonce = nonces.current(Timestamp::from_secs(start + 60));
        let proof = holder.prove(&Says { at: start + 290, ..good(&token, &nonce) });
        let (authorization, before) = (dpop(&token), upstream.arrived().len());
        let show = async || rig.send(greeting(&[("authorization", &authorization), ("dpop", &proof)])).await.status;
        assert_eq!(show().await, StatusCode::OK);
        let forwarded = upstream.arrived().len();
        assert!(forwarded > before);
        codes(&rig).await;
        for after in (0..170).step_by(5).chain(170..220).chain((220..700).step_by(20)) {
            let now = rig.clock.now().as_secs();
            rig.clock.advance(Duration::from_secs(start + after - now));
            assert_eq!(show().await, StatusCode::UNAUTHORIZED, "{after}");
            let code = codes(&rig).await.join(",");
            let expected = match after {
                ..180 => "dpop_replayed",
                180..=590 => "dpop_nonce",
                _ => "dpop_time",
            };
            assert_eq!(code, expected, "{after}");
        }
        assert_eq!(upstream.arrived().len(), forwarded, "nothing more was forwarded");
    }
}
