//! How unknown clients come in: what registration accepts, and what a client id makes the server fetch.
//!
//! What it registers has a redirect that leads nowhere of ours, and is deleted where the server says how.

use std::time::Duration;

use sallyport_outbound::loopback::LoopbackListener;
use serde_json::{Value, json};
use url::Url;

use super::{discovery::shown, metadata::is_loopback};
use crate::{
    bench::{Bench, Discovery},
    wire::{Ask, Heard},
};

/// Redirect URIs that lead to script, or to whoever listens on the way.
const DANGEROUS: [&str; 3] = [
    "javascript:alert(document.domain)//",
    "data:text/html,<script>location='https://evil.example/'</script>",
    "http://evil.example/cb",
];
/// How long a server gets to fetch a client id after it answered.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let (Some(target), Some(discovery)) = (bench.url(), bench.seen.discovery.get()) else { return };
    redirects(bench, discovery).await;
    inside(bench, target, discovery).await;
}

/// `registration-safe`.
async fn redirects(bench: &Bench, discovery: &Discovery) {
    const CHECK: &str = "registration-safe";
    let Some(endpoint) = endpoint(discovery, "registration_endpoint") else {
        return bench.findings.not_applicable(CHECK, "no registration endpoint is advertised");
    };
    let mut exchanges = Vec::new();
    let mut doubts = Vec::new();
    for redirect in DANGEROUS {
        let asked = json!({
            "client_name": "MCP client",
            "redirect_uris": [redirect],
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let heard = match bench.wire.send(CHECK, Ask::post_json(endpoint.clone(), &asked).plain()).await {
            Ok(heard) => heard,
            Err(error) => {
                doubts.push(format!("no answer: {error}"));
                continue;
            }
        };
        exchanges.push(heard.exchange);
        match judge(&heard, redirect) {
            Registered::Yes => {
                bench.findings.fail(CHECK, format!("{} was registered", shown(redirect)), &[heard.exchange])
            }
            Registered::No => {}
            Registered::Unclear(why) => doubts.push(why),
        }
        unregister(bench, CHECK, &endpoint, &heard).await;
    }
    match doubts.first() {
        Some(why) => bench.findings.unseen(CHECK, why.as_str(), &exchanges),
        None => bench.findings.pass(CHECK, "script, data and plain-http redirect URIs are refused", &exchanges),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Registered {
    Yes,
    No,
    Unclear(String),
}

/// A registration is one that has a client id and kept the redirect URI (RFC 7591 section 3.2.1).
fn judge(heard: &Heard, redirect: &str) -> Registered {
    let answer = heard.json().unwrap_or_default();
    let kept =
        answer.get("redirect_uris").and_then(Value::as_array).is_none_or(|uris| uris.iter().any(|uri| uri == redirect));
    let has_id = answer.get("client_id").is_some_and(Value::is_string);
    match heard.status.as_u16() {
        200..=299 if has_id && kept => Registered::Yes,
        200..=299 if has_id => Registered::No,
        400..=428 | 430..=499 => Registered::No,
        status => Registered::Unclear(format!("{status} answers a registration")),
    }
}

/// RFC 7592 section 2.3, where the server gave the means; only at its own origin.
async fn unregister(bench: &Bench, check: &'static str, endpoint: &Url, heard: &Heard) {
    let answer = heard.json().unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let place = text("registration_client_uri").and_then(|text| Url::parse(text).ok());
    let (Some(place), Some(token)) = (place, text("registration_access_token")) else { return };
    if place.origin() != endpoint.origin() {
        return;
    }
    bench.wire.keep_secret(&sallyport_model::Secret::new(token));
    // A client that stays is a pity, not an outcome.
    drop(bench.wire.send(check, Ask::new(http::Method::DELETE, place).bearer(token)).await);
}

/// `registration-no-ssrf`: a client id of plain http on this machine, where the server could reach it.
async fn inside(bench: &Bench, target: &Url, discovery: &Discovery) {
    const CHECK: &str = "registration-no-ssrf";
    let advertised = discovery
        .servers
        .iter()
        .any(|found| found.document.get("client_id_metadata_document_supported") == Some(&Value::Bool(true)));
    if !advertised {
        return bench.findings.not_applicable(CHECK, "client ID metadata documents are not advertised");
    }
    let Some(authorize) = endpoint(discovery, "authorization_endpoint") else {
        return bench.findings.unseen(CHECK, "no authorization endpoint is advertised", &[]);
    };
    if !is_loopback(target) || !is_loopback(&authorize) {
        let why = "nobody outside can see what the server fetches inside its own network";
        return bench.findings.unseen(CHECK, why, &[]);
    }
    let listener = match LoopbackListener::open("/client.json").await {
        Ok(listener) => listener,
        Err(error) => return bench.findings.unseen(CHECK, format!("no listener: {error}"), &[]),
    };
    let ask = Ask::get(authorization_request(&authorize, listener.redirect_uri(), target, &bench.nonce(24)));
    let (heard, fetched) = tokio::join!(bench.wire.send(CHECK, ask), listener.next(PATIENCE));
    let exchanges: Vec<u32> = match &heard {
        Ok(heard) => vec![heard.exchange],
        Err(error) => error.exchange().into_iter().collect(),
    };
    let status = heard.ok().map(|heard| heard.status.as_u16());
    match (fetched, status) {
        (Ok(Some(_)), _) => {
            bench.findings.fail(CHECK, "the server fetched a client id by plain http on its own machine", &exchanges)
        }
        (Ok(None), Some(400..=499)) => {
            bench.findings.pass(CHECK, "such a client id is refused and was not fetched", &exchanges)
        }
        (Ok(None), Some(status)) => {
            let why = format!("it was not fetched, but {status} answers: perhaps only after a sign-in");
            bench.findings.unseen(CHECK, why, &exchanges);
        }
        _ => bench.findings.unseen(CHECK, "no answer to the authorization request", &exchanges),
    }
}

/// A request of the code grant (OAuth 2.1 section 4.1.1) whose client is a URL.
fn authorization_request(endpoint: &Url, client: &Url, resource: &Url, random: &str) -> Url {
    let mut url = endpoint.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", client.as_str())
        .append_pair("redirect_uri", "http://127.0.0.1:33418/callback")
        .append_pair("state", random)
        // S256 of nothing that anybody will redeem: 43 characters of base64url.
        .append_pair("code_challenge", &format!("{random:0<43}")[..43])
        .append_pair("code_challenge_method", "S256")
        .append_pair("resource", resource.as_str());
    url
}

/// An endpoint of the first server that has it.
fn endpoint(discovery: &Discovery, member: &str) -> Option<Url> {
    let url = discovery.servers.iter().find_map(|found| Url::parse(found.document.get(member)?.as_str()?).ok())?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn heard(status: u16, body: Value) -> Heard {
        Heard {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_string()),
            truncated: false,
            exchange: 1,
            elapsed: Duration::ZERO,
            tls: None,
        }
    }

    #[test]
    fn a_registration_that_drops_the_uri_is_a_refusal() {
        let bad = DANGEROUS[0];
        assert_eq!(judge(&heard(201, json!({"client_id": "x", "redirect_uris": [bad]})), bad), Registered::Yes);
        assert_eq!(judge(&heard(201, json!({"client_id": "x"})), bad), Registered::Yes);
        assert_eq!(judge(&heard(201, json!({"client_id": "x", "redirect_uris": []})), bad), Registered::No);
        for status in [400, 401, 403, 404] {
            assert_eq!(judge(&heard(status, json!({"error": "invalid_redirect_uri"})), bad), Registered::No);
        }
        for status in [302, 429, 500, 200] {
            assert!(matches!(judge(&heard(status, json!({})), bad), Registered::Unclear(_)), "{status}");
        }
    }

    #[test]
    fn an_authorization_request_is_whole() {
        let url = |text: &str| Url::parse(text).unwrap();
        let request = authorization_request(
            &url("http://127.0.0.1:9/authorize?a=b"),
            &url("http://127.0.0.1:7/client.json"),
            &url("http://127.0.0.1:9/mcp"),
            "00ff",
        );
        let pairs: std::collections::HashMap<_, _> = request.query_pairs().into_owned().collect();
        assert_eq!(pairs["a"], "b");
        assert_eq!(pairs["client_id"], "http://127.0.0.1:7/client.json");
        assert_eq!(pairs["code_challenge"].len(), 43);
    }
}
