//! Question 8 with genuine tokens: whether they are bound to their resource, and whether the target looks.
//!
//! A token that was altered here is sent to the target alone.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use sallyport_model::Secret;
use sallyport_oauth::jws;
use serde_json::{Map, Value, json};

use super::sign_in::unseen;
use crate::{
    bench::{Bench, Grant, Target},
    login::{
        self, Fault, Who,
        flow::{self, Request},
        present::{self, Presented},
        server, token,
    },
};

/// A resource that the authorization server cannot know.
const ELSEWHERE: &str = "https://elsewhere.sallyport.invalid/mcp";

/// So many other resources of the authorization server are tried.
const MOST_NEIGHBOURS: usize = 2;

/// Runs them.
pub(crate) async fn run(bench: &Bench) {
    if !matches!(bench.target, Target::Http(_)) {
        return;
    }
    let person = match usable(bench).await {
        Ok(grant) => grant,
        Err(why) => {
            let checks = ["audience-bound", "audience-checked", "type-checked"];
            checks.iter().for_each(|check| bench.findings.unseen(check, why.clone(), &[]));
            return given_foreign(bench).await;
        }
    };
    altered(bench, person).await;
    id_token(bench, person).await;
    given_foreign(bench).await;
    let foreign = bound(bench, person).await;
    checked(bench, foreign).await;
}

/// The person's grant, when the target takes it: a refusal of something else says nothing otherwise.
async fn usable(bench: &Bench) -> Result<&Grant, String> {
    let grant = login::person_grant(bench).map_err(|fault| fault.to_string())?;
    match present::token(bench, "audience-checked", grant.access_token.expose()).await {
        Presented::Accepted { .. } => Ok(grant),
        other => Err(format!("the person's own token is of no use at the target: {}", other.seen().0)),
    }
}

/// What `aud` names; empty where it is absent.
fn audience(claims: &Map<String, Value>) -> Vec<String> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

fn is_ours(bench: &Bench, audience: &[String]) -> bool {
    let ours = server::resource_identifiers(bench);
    audience.iter().any(|aud| ours.iter().any(|own| same(aud, own)))
}

/// A genuine token for somewhere else.
struct Foreign {
    grant: Grant,
    whose: String,
}

/// RFC 8707: asks for a token for another resource. Gives back one that is for somewhere else.
async fn bound(bench: &Bench, person: &Grant) -> Option<Foreign> {
    let check = "audience-bound";
    let desk = login::signed_in(bench).map_err(|fault| unseen(bench, check, &fault)).ok()?;
    let mut request = Request::new(bench, desk);
    request.resource = Some(ELSEWHERE.to_owned());
    let (grant, _, exchange) = match flow::sign_in(bench, check, desk, Who::Person, request).await {
        Ok(signed_in) => signed_in,
        Err(fault @ Fault::Refused { .. }) => {
            bench.findings.pass(check, format!("for another resource {fault}"), fault.exchanges());
            return known_elsewhere(bench).await;
        }
        Err(fault) => {
            unseen(bench, check, &fault);
            return None;
        }
    };
    let Some(claims) = token::claims(grant.access_token.expose()) else {
        return opaque(bench, grant, exchange).await;
    };
    let aud = audience(&claims);
    let own = token::claims(person.access_token.expose()).map(|claims| audience(&claims)).unwrap_or_default();
    let shown = login::quote(&aud.join(" "));
    if aud.iter().any(|aud| same(aud, ELSEWHERE)) && !is_ours(bench, &aud) {
        bench.findings.pass(check, "a token that was asked for another resource names that one", &[exchange]);
        return Some(Foreign { grant, whose: "a genuine token for another resource".to_owned() });
    }
    if aud.is_empty() {
        bench.findings.fail(check, "a token that was asked for another resource names no audience at all", &[exchange]);
    } else if is_ours(bench, &aud) || aud == own {
        bench.findings.fail(
            check,
            format!("a token that was asked for another resource is for `{shown}` all the same"),
            &[exchange],
        );
    } else {
        bench.findings.unseen(
            check,
            format!("a token that was asked for another resource is for `{shown}`"),
            &[exchange],
        );
    }
    let elsewhere = !aud.is_empty() && !is_ours(bench, &aud) && aud != own;
    elsewhere.then(|| Foreign { grant, whose: format!("a genuine token for `{shown}`") })
}

/// An opaque token shows whom it is for only by who takes it.
async fn opaque(bench: &Bench, grant: Grant, exchange: u32) -> Option<Foreign> {
    let check = "audience-bound";
    let presented = present::anywhere(bench, check, grant.access_token.expose()).await;
    let (what, seen) = presented.seen();
    let mut shown = vec![exchange];
    shown.extend(seen);
    match presented.accepted() {
        Some(true) => {
            bench.findings.fail(check, "a token that was asked for another resource opens this one", &shown);
        }
        Some(false) => {
            bench.findings.pass(check, format!("a token that was asked for another resource: {what}"), &shown);
        }
        None => bench.findings.unseen(check, what, &shown),
    }
    Some(Foreign { grant, whose: "a genuine token that was asked for another resource".to_owned() })
}

/// Where unknown resources are refused: a token for one that the operator names, for a neighbour that the metadata
/// lists (RFC 9728 section 4), or for none in particular, which may be for something else.
async fn known_elsewhere(bench: &Bench) -> Option<Foreign> {
    bench.access.user.as_ref()?;
    let desk = login::signed_in(bench).ok()?;
    let listed = desk.server.list("protected_resources").unwrap_or_default();
    let others = listed.into_iter().filter(|other| !is_ours(bench, &[(*other).to_owned()]));
    let named = bench.access.foreign_resource.as_ref().map(|url| (Some(url.to_string()), None));
    let listed = others.take(MOST_NEIGHBOURS).map(|other| (Some(other.to_owned()), None));
    let mut attempts: Vec<(Option<String>, Option<String>)> = named.into_iter().chain(listed).collect();
    attempts.push((None, desk.scope()));
    for (resource, scope) in attempts {
        let mut request = Request::new(bench, desk);
        (request.resource, request.scope) = (resource, scope);
        let Ok((grant, ..)) = flow::sign_in(bench, "audience-checked", desk, Who::Person, request).await else {
            continue;
        };
        let Some(claims) = token::claims(grant.access_token.expose()) else { continue };
        let aud = audience(&claims);
        if !aud.is_empty() && !is_ours(bench, &aud) {
            let whose = format!("a genuine token for `{}`", login::quote(&aud.join(" ")));
            return Some(Foreign { grant, whose });
        }
    }
    None
}

/// The operator's own foreign token.
async fn given_foreign(bench: &Bench) {
    let Some(token) = &bench.access.foreign_token else { return };
    let presented = present::anywhere(bench, "audience-checked", token.expose()).await;
    decide_refused(bench, "audience-checked", "the token for another resource that was given", &presented);
}

async fn checked(bench: &Bench, foreign: Option<Foreign>) {
    let check = "audience-checked";
    match foreign {
        Some(foreign) => {
            let presented = present::anywhere(bench, check, foreign.grant.access_token.expose()).await;
            decide_refused(bench, check, &foreign.whose, &presented);
        }
        None => {
            let why = "the authorization server issues no token for another resource; name one with --foreign-resource, or give such a token with --foreign-token-env";
            bench.findings.unseen(check, why, &[]);
        }
    }
}

/// A token that must not open the target.
fn decide_refused(bench: &Bench, check: &'static str, whose: &str, presented: &Presented) {
    let (what, seen) = presented.seen();
    match presented.accepted() {
        Some(accepted) => bench.findings.decide(check, !accepted, format!("{whose}: {what}"), seen),
        None => bench.findings.unseen(check, format!("{whose}: {what}"), seen),
    }
}

/// RFC 9068 section 4: an ID token is for the client.
async fn id_token(bench: &Bench, person: &Grant) {
    let check = "type-checked";
    match &person.id_token {
        Some(id_token) => {
            let presented = present::anywhere(bench, check, id_token.expose()).await;
            decide_refused(bench, check, "the person's ID token", &presented);
        }
        None if login::signed_in(bench).is_ok() => {
            bench.findings.not_applicable(check, "the authorization server issues no ID token to this client");
        }
        None => bench.findings.unseen(check, "it needs an ID token, which a sign-in brings", &[]),
    }
}

/// The person's token, altered as only a genuine one can be; `forged` makes the other copies of it.
async fn altered(bench: &Bench, person: &Grant) {
    let check = "forged-refused";
    if let Some((whose, token)) = forgery(person.access_token.expose()) {
        bench.wire.keep_secret(&Secret::new(token.as_str()));
        let presented = present::anywhere(bench, check, &token).await;
        decide_refused(bench, check, whose, &presented);
    }
}

/// Genuine claims under a key that the token brings itself, or an opaque token that is another one.
fn forgery(genuine: &str) -> Option<(&'static str, String)> {
    let payload = genuine.split('.').nth(1);
    match (token::header(genuine), payload) {
        (Some(header), Some(payload)) => {
            Some(("the person's claims signed with a key that the header brings", own_key(&header, payload)?))
        }
        _ => Some(("the person's token with a character changed", swapped(genuine)?)),
    }
}

fn encoded(members: &Map<String, Value>) -> String {
    jws::encode(Value::Object(members.clone()).to_string().as_bytes())
}

/// `text` with one character in the middle replaced: the last one may hold bits that nobody reads.
fn swapped(text: &str) -> Option<String> {
    let at = text.len() / 2;
    let other = match text.get(at..=at)? {
        "A" => "B",
        _ => "A",
    };
    Some(format!("{}{other}{}", &text[..at], &text[at + 1..]))
}

/// RFC 8725 section 2.6: a verifier that reads the key from the token verifies anything.
fn own_key(header: &Map<String, Value>, payload: &str) -> Option<String> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).ok()?;
    let point = pair.public_key().as_ref();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": jws::encode(point.get(1..33)?), "y": jws::encode(point.get(33..65)?) });
    let mut header = header.clone();
    header.insert("alg".to_owned(), json!("ES256"));
    header.insert("jwk".to_owned(), jwk);
    let input = format!("{}.{payload}", encoded(&header));
    let signature = pair.sign(&random, input.as_bytes()).ok()?;
    Some(format!("{input}.{}", jws::encode(signature.as_ref())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn genuine() -> String {
        let part = |value: Value| jws::encode(value.to_string().as_bytes());
        format!(
            "{}.{}.{}",
            part(json!({"alg": "RS256", "kid": "k"})),
            part(json!({"sub": "a", "aud": "x"})),
            jws::encode(&[7; 64])
        )
    }

    #[test]
    fn a_forgery_says_what_the_genuine_token_says_under_another_key() {
        let genuine = genuine();
        let (_, forged) = forgery(&genuine).unwrap();
        let header = token::header(&forged).unwrap();
        assert_eq!(
            (&header["alg"], &header["kid"], &header["jwk"]["kty"]),
            (&json!("ES256"), &json!("k"), &json!("EC"))
        );
        assert_eq!(token::claims(&forged), token::claims(&genuine));
        assert_eq!(forgery("opaque").unwrap().1, "opaAue");
        assert_eq!(forgery(""), None);
    }

    #[test]
    fn an_audience_is_read_in_both_forms() {
        let of = |value: Value| audience(value.as_object().unwrap());
        assert_eq!(of(json!({"aud": "a"})), ["a"]);
        assert_eq!(of(json!({"aud": ["a", "b", 3]})), ["a", "b"]);
        assert!(of(json!({})).is_empty());
    }

    proptest! {
        #[test]
        fn a_swapped_token_is_another_one(token in "[A-Za-z0-9_-]{1,60}") {
            let other = swapped(&token).unwrap();
            prop_assert_ne!(&other, &token);
            prop_assert_eq!(other.len(), token.len());
        }
        #[test]
        fn no_token_panics(token in "\\PC{0,40}") {
            let _ = forgery(&token);
        }
    }
}
