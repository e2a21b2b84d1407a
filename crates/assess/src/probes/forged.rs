//! Tokens that nobody should accept, sent to the target: garbage, unsigned, forged, of a foreign issuer.
//!
//! A token is *accepted* when `tools/list`, or any other request, is answered with it. It goes to the target
//! alone. A server that serves everybody accepts every token, these too.

mod mint;

use serde_json::{Map, Value, json};
use url::Url;

use self::mint::{Claims, EcKey, RsaKey};
use super::{
    discovery::{
        served::{self, Refusal, Served},
        shown,
    },
    metadata::strings,
};
use crate::{
    bench::{Bench, Discovery},
    wire::{Ask, Credential, EraChoice},
};

/// Most keys of the issuer that forged tokens refer to.
const MOST_KEYS: usize = 2;
/// An issuer that is nobody's (RFC 2606).
const FOREIGN: &str = "https://issuer.example";

/// Runs the probes of this file that need no genuine token.
pub(crate) async fn run(bench: &Bench) {
    // A target that did not answer a stranger in time would not answer these either.
    let (Some(_), Some(_)) = (bench.url(), bench.seen.discovery.get()) else { return };
    garbage(bench).await;
    let keys = issuer_keys(bench).await;
    let claims = claims(bench);
    let kid = keys.iter().find_map(|key| key.get("kid")).cloned();
    for token in unsigned(&claims, kid.as_ref()) {
        present(bench, "unsigned-refused", &token).await;
    }
    for token in forged(&claims, &keys) {
        present(bench, "forged-refused", &token).await;
    }
    for token in foreign(&claims, kid.as_ref()) {
        present(bench, "issuer-checked", &token).await;
    }
}

/// Runs those that alter a genuine token: its claims are right beyond doubt.
pub(crate) async fn with_person(bench: &Bench) {
    let (Some(_), Some(grant)) = (bench.url(), bench.seen.person.get()) else { return };
    for (what, token) in mint::altered(grant.access_token.expose()) {
        let check = if what.contains("alg none") { "unsigned-refused" } else { "forged-refused" };
        present(bench, check, &Forged { what, token, both_eras: true }).await;
    }
}

/// A token to present, and what is wrong with it.
struct Forged {
    what: &'static str,
    token: String,
    both_eras: bool,
}

impl Forged {
    fn new(what: &'static str, token: String) -> Self {
        Self { what, token, both_eras: false }
    }
}

/// Presents a token, in both eras where one could skip what the other checks, and leaves the outcome.
async fn present(bench: &Bench, check: &'static str, forged: &Forged) -> Option<Refusal> {
    bench.wire.keep_secret(&sallyport_model::Secret::new(forged.token.as_str()));
    let eras: &[EraChoice] =
        if forged.both_eras { &[EraChoice::Legacy, EraChoice::Modern] } else { &[EraChoice::Auto] };
    let mut refusal = None;
    for era in eras {
        match served::ask(bench, check, Credential::Bearer(&forged.token), *era, true).await {
            Served::Yes { how, exchanges } => {
                bench.findings.fail(check, format!("with {} {how}", forged.what), &exchanges);
                return None;
            }
            Served::No(no) => {
                bench.findings.pass(check, format!("refused: {} ({})", forged.what, no.observed()), &no.exchanges());
                refusal = Some(no);
            }
            Served::Unclear { why, exchanges, .. } if refusal.is_none() => {
                bench.findings.unseen(check, why, &exchanges)
            }
            Served::Unclear { .. } => {}
        }
    }
    refusal
}

/// `garbage-refused`, and from its refusal `challenge-error`.
async fn garbage(bench: &Bench) {
    let random = bench.nonce(24);
    let plain = Forged { what: "a random string", token: random.clone(), both_eras: true };
    let dotted = Forged::new("three random parts", format!("{}.{}.{}", &random[..12], &random[12..30], &random[30..]));
    let refusal = present(bench, "garbage-refused", &plain).await;
    present(bench, "garbage-refused", &dotted).await;
    judge_error(bench, refusal.as_ref());
}

/// RFC 6750 section 3.1.
fn judge_error(bench: &Bench, refusal: Option<&Refusal>) {
    const CHECK: &str = "challenge-error";
    let Some(refusal) = refusal else {
        use sallyport_model::assessment::CheckResult::Fail;
        return match bench.findings.result("garbage-refused") {
            Some(Fail) => bench.findings.fail(CHECK, "a token that is none is not refused", &[]),
            _ => bench.findings.unseen(CHECK, "no refusal was seen", &[]),
        };
    };
    let challenges = refusal.challenges();
    let error = challenges.token().and_then(|challenge| challenge.params.get("error"));
    let (held, observed) = match error.map(String::as_str) {
        Some("invalid_token") => (true, "the challenge says error=\"invalid_token\"".to_owned()),
        Some(other) => (false, format!("the challenge says error=\"{}\"", shown(other))),
        None => (false, "the challenge names no error".to_owned()),
    };
    bench.findings.decide(CHECK, held, observed, &refusal.exchanges());
}

/// The public keys of the issuer, as far as they are found.
async fn issuer_keys(bench: &Bench) -> Vec<Value> {
    let Some(discovery) = bench.seen.discovery.get() else { return Vec::new() };
    let place = discovery.servers.iter().find_map(|found| Url::parse(found.document.get("jwks_uri")?.as_str()?).ok());
    let Some(place) = place.filter(|url| matches!(url.scheme(), "http" | "https")) else { return Vec::new() };
    let Ok(heard) = bench.wire.send("forged-refused", Ask::get(place)).await else { return Vec::new() };
    let document = heard.json().unwrap_or_default();
    let keys = document.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    keys.into_iter().filter(|key| mint::pem(key).is_some()).take(MOST_KEYS).collect()
}

/// Claims that would be right at this resource.
fn claims(bench: &Bench) -> Claims {
    let nothing = Discovery::default();
    let discovery = bench.seen.discovery.get().unwrap_or(&nothing);
    let document = discovery.resource.as_ref().map(|found| &found.document);
    let target = bench.url().map(|url| url.as_str().to_owned()).unwrap_or_default();
    let audience = document.and_then(|d| d.get("resource")?.as_str().map(str::to_owned)).unwrap_or(target);
    let scope = document.map(|d| strings(d, "scopes_supported").join(" ")).unwrap_or_default();
    let issuer = discovery.issuer.clone().unwrap_or_else(|| FOREIGN.to_owned());
    let now = bench.clock.now().as_secs();
    let mut claims = Map::new();
    for (name, value) in [
        ("iss", json!(issuer)),
        ("aud", json!(audience)),
        // Nothing in it may say whose token it is: a server might refuse that alone.
        ("sub", json!(bench.nonce(16))),
        ("client_id", json!("mcp-client")),
        ("scope", json!(scope)),
        ("iat", json!(now)),
        ("nbf", json!(now)),
        ("exp", json!(now + 600)),
        ("jti", json!(bench.nonce(8))),
    ] {
        claims.insert(name.to_owned(), value);
    }
    claims
}

fn header(alg: &str, kid: Option<&Value>) -> Value {
    let mut header = json!({ "alg": alg, "typ": "at+jwt" });
    if let Some(kid) = kid {
        header["kid"] = kid.clone();
    }
    header
}

/// RFC 8725 section 3.1.
fn unsigned(claims: &Claims, kid: Option<&Value>) -> Vec<Forged> {
    vec![
        Forged {
            what: "alg none and no signature",
            token: mint::unsigned(&header("none", None), claims),
            both_eras: true,
        },
        Forged::new("alg NonE and no signature", mint::unsigned(&header("NonE", kid), claims)),
        Forged::new("alg RS256 and an empty signature", mint::unsigned(&header("RS256", kid), claims)),
    ]
}

/// RFC 8725 sections 2.1, 3.2 and 3.3; RFC 7515 sections 4.1.2 and 4.1.3.
fn forged(claims: &Claims, keys: &[Value]) -> Vec<Forged> {
    let kid = keys.iter().find_map(|key| key.get("kid"));
    let mut tokens = Vec::new();
    if let Some(key) = EcKey::generate() {
        let mut own = header("ES256", None);
        own["jwk"] = key.jwk();
        tokens.extend(key.sign(&own, claims).map(|token| Forged {
            what: "a key of our own in its header (jwk)",
            token,
            both_eras: true,
        }));
        tokens.extend(
            key.sign(&header("ES256", kid), claims)
                .map(|token| Forged::new("a signature of another key (ES256)", token)),
        );
    }
    let signed = RsaKey::generate().and_then(|key| key.sign(&header("RS256", kid), claims));
    tokens.extend(signed.map(|token| Forged::new("a signature of another key (RS256)", token)));
    for key in keys {
        let public = mint::pem(key).unwrap_or_default();
        let token = mint::hmac_signed(public.as_bytes(), &header("HS256", key.get("kid")), claims);
        tokens.push(Forged::new("an HMAC under the issuer's public key", token));
    }
    for (what, secret) in [("an HMAC under an empty secret", ""), ("an HMAC under the secret `secret`", "secret")] {
        tokens.push(Forged::new(what, mint::hmac_signed(secret.as_bytes(), &header("HS256", None), claims)));
    }
    tokens
}

/// RFC 9068 section 4: another issuer, everything else as it should be.
fn foreign(claims: &Claims, kid: Option<&Value>) -> Vec<Forged> {
    let mut claims = claims.clone();
    claims.insert("iss".to_owned(), json!(FOREIGN));
    let mut tokens = vec![Forged::new("a foreign issuer, unsigned", mint::unsigned(&header("none", None), &claims))];
    if let Some(key) = EcKey::generate() {
        let mut own = header("ES256", kid);
        own["jwk"] = key.jwk();
        tokens.extend(key.sign(&own, &claims).map(|token| Forged::new("a foreign issuer, signed by its key", token)));
    }
    tokens
}

#[cfg(test)]
mod tests;
