//! What a stranger finds: the refusal and its challenge, resource metadata, authorization server metadata.
//!
//! It looks in every place where the MCP specification tells a client to look, and nowhere else. Where a
//! document points inside while the target is outside, nothing is fetched, and that is what was observed.

pub(crate) mod challenge;
#[cfg(test)]
#[path = "discovery/fixture_tests.rs"]
pub(crate) mod fixture;
pub(crate) mod opening;
pub(crate) mod places;
pub(crate) mod served;

use sallyport_model::assessment::CheckResult;
use serde_json::Value;
use url::Url;

use self::served::{Refusal, Served};
use super::metadata::{issuers_of, safe_transport};
use crate::{
    bench::{Bench, Challenge, Discovery, Found},
    wire::{Ask, Credential, EraChoice},
};

/// Most authorization servers of one resource that are looked at.
const MOST_SERVERS: usize = 4;

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let Some(target) = bench.url() else { return };
    let Some(refusal) = stranger(bench).await else { return };
    let challenge = judge_refusal(bench, refusal.as_ref());
    let resource = resource(bench, target, challenge.as_ref()).await;
    let servers = servers(bench, target, resource.as_ref()).await;
    let named = resource.iter().flat_map(|found| issuers_of(&found.document)).next().map(str::to_owned);
    let said = || servers.first()?.document.get("issuer")?.as_str().map(str::to_owned);
    let issuer = named.or_else(said);
    judge_scope(bench, challenge.as_ref(), resource.as_ref());
    // Nobody else sets it: the run has one discovery.
    drop(bench.seen.discovery.set(Discovery { challenge, resource, servers, issuer }));
}

/// Asks without a token in both eras, as the assessor and as anybody, and gives the refusal, where there was one.
/// `None` when the target does not answer at all: then nothing else can be found out.
async fn stranger(bench: &Bench) -> Option<Option<Refusal>> {
    const CHECK: &str = "auth-required";
    let mut refusal = None;
    let mut unclear = Vec::new();
    let mut silent = 0;
    let eras = [EraChoice::Modern, EraChoice::Legacy];
    for (era, plain) in eras.map(|era| (era, false)).into_iter().chain(eras.map(|era| (era, true))) {
        if plain && failed(bench, CHECK) {
            break;
        }
        match served::ask(bench, CHECK, Credential::None, era, plain).await {
            Served::Yes { how, exchanges } => {
                let whom = if plain { ", to a client that does not say that it is the assessor" } else { "" };
                bench.findings.fail(CHECK, format!("without a token {how}{whom}"), &exchanges);
            }
            Served::No(no) if refusal.is_none() => refusal = Some(no),
            Served::No(_) => {}
            Served::Unclear { why, unreachable, .. } => {
                silent += u8::from(unreachable);
                if !unclear.contains(&why) {
                    unclear.push(why);
                }
                // A target that keeps a caller waiting would do so again.
                if unreachable {
                    break;
                }
            }
        }
    }
    match &refusal {
        Some(no) => bench.findings.pass(CHECK, no.observed(), &no.exchanges()),
        None => bench.findings.unseen(CHECK, unclear.join("; "), &[]),
    }
    (silent == 0 || refusal.is_some() || failed(bench, CHECK)).then_some(refusal)
}

fn failed(bench: &Bench, check: &str) -> bool {
    bench.findings.result(check) == Some(CheckResult::Fail)
}

/// `challenge-401`, and the challenge where there is one.
fn judge_refusal(bench: &Bench, refusal: Option<&Refusal>) -> Option<Challenge> {
    const CHECK: &str = "challenge-401";
    let Some(refusal) = refusal else {
        match failed(bench, "auth-required") {
            true => bench.findings.fail(CHECK, "nothing is refused, so there is no challenge", &[]),
            false => bench.findings.unseen(CHECK, "no refusal was seen", &[]),
        }
        return None;
    };
    let challenges = refusal.challenges();
    let status = refusal.status();
    let found = challenges.token();
    let exchanges = refusal.exchanges();
    match (status, found) {
        (Some(401), Some(challenge)) if challenges.faults.is_empty() => {
            bench.findings.pass(CHECK, format!("401 with a {} challenge", shown(&challenge.scheme)), &exchanges);
        }
        (Some(401), Some(challenge)) => {
            let faults = challenges.faults.join(", ");
            let observed = format!("401 with a {} challenge, sloppily written: {faults}", shown(&challenge.scheme));
            bench.findings.pass(CHECK, observed, &exchanges);
        }
        (Some(401), None) => bench.findings.fail(CHECK, "401 without a Bearer challenge", &exchanges),
        (Some(status), _) => bench.findings.fail(CHECK, format!("refused with {status}, not 401"), &exchanges),
        (None, _) => bench.findings.fail(CHECK, "refused by a JSON-RPC error, not by 401", &exchanges),
    }
    found.cloned()
}

/// Finds the resource's metadata; decides `challenge-metadata` and `resource-metadata`.
async fn resource(bench: &Bench, target: &Url, challenge: Option<&Challenge>) -> Option<Found<Value>> {
    let mut tried = Vec::new();
    let mut found = None;
    if let Some(pointed) = pointed_at(bench, challenge) {
        found = document(bench, "challenge-metadata", &pointed, &mut tried).await;
        let exchanges: Vec<u32> =
            challenge.iter().map(|c| c.exchange).chain(found.iter().map(|f| f.exchange)).collect();
        let observed = match &found {
            Some(found) => format!("the challenge points to {}", shown(found.url.as_str())),
            None => format!("the challenge points to no document: {}", tried.join("; ")),
        };
        bench.findings.decide("challenge-metadata", found.is_some(), observed, &exchanges);
    }
    for place in places::of_resource(target) {
        if found.is_none() {
            found = document(bench, "resource-metadata", &place, &mut tried).await;
        }
    }
    judge_resource(bench, found.as_ref(), &tried);
    found
}

/// The URL in the challenge, if it is one.
fn pointed_at(bench: &Bench, challenge: Option<&Challenge>) -> Option<Url> {
    const CHECK: &str = "challenge-metadata";
    let Some(challenge) = challenge else {
        no_challenge(bench, CHECK);
        return None;
    };
    let Some(text) = challenge.params.get("resource_metadata") else {
        bench.findings.fail(CHECK, "the challenge has no resource_metadata", &[challenge.exchange]);
        return None;
    };
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
        _ => {
            bench.findings.fail(CHECK, format!("resource_metadata is no URL: {}", shown(text)), &[challenge.exchange]);
            None
        }
    }
}

/// Without a refusal nobody knows whether there would be a challenge.
fn no_challenge(bench: &Bench, check: &'static str) {
    match bench.findings.result("challenge-401") {
        Some(CheckResult::Pass | CheckResult::Fail) => bench.findings.fail(check, "there is no challenge", &[]),
        _ => bench.findings.unseen(check, "no refusal was seen", &[]),
    }
}

fn judge_resource(bench: &Bench, found: Option<&Found<Value>>, tried: &[String]) {
    const CHECK: &str = "resource-metadata";
    let Some(found) = found else {
        return bench.findings.fail(CHECK, format!("none was found: {}", tried.join("; ")), &[]);
    };
    let place = shown(found.url.as_str());
    let named = issuers_of(&found.document);
    let (held, observed) = if !found.document.get("resource").is_some_and(Value::is_string) {
        (false, format!("{place} has no `resource`"))
    } else if named.is_empty() {
        (false, format!("{place} names no authorization server"))
    } else {
        (true, format!("{place} names {}", shown(&named.join(", "))))
    };
    bench.findings.decide(CHECK, held, observed, &[found.exchange]);
}

/// Finds the metadata of each authorization server that the resource names; without a resource's metadata, of
/// the one at the target's own origin (MCP 2025-03-26). Decides `server-metadata` where there is none.
async fn servers(bench: &Bench, target: &Url, resource: Option<&Found<Value>>) -> Vec<Found<Value>> {
    const CHECK: &str = "server-metadata";
    let named = resource.map(|found| issuers_of(&found.document)).unwrap_or_default();
    let mut found = Vec::new();
    if named.is_empty() {
        let mut tried = Vec::new();
        found = documents(bench, CHECK, &places::of_origin(target), &mut tried).await;
        if found.is_empty() {
            bench.findings.fail(
                CHECK,
                format!("no authorization server is named, and none was found: {}", tried.join("; ")),
                &[],
            );
        }
    }
    for issuer in named.into_iter().take(MOST_SERVERS) {
        let mut tried = Vec::new();
        let documents = match Url::parse(issuer) {
            Ok(url) => documents(bench, CHECK, &places::of_issuer(&url), &mut tried).await,
            Err(_) => Vec::new(),
        };
        if documents.is_empty() {
            bench.findings.fail(CHECK, format!("{} has none: {}", shown(issuer), tried.join("; ")), &[]);
        }
        found.extend(documents);
    }
    found
}

/// Every document at `places`; both of RFC 8414 and OpenID Connect, so that they can be compared.
async fn documents(bench: &Bench, check: &'static str, places: &[Url], tried: &mut Vec<String>) -> Vec<Found<Value>> {
    let mut found = Vec::new();
    for place in places {
        found.extend(document(bench, check, place, tried).await);
    }
    found
}

/// The JSON object at `url`, or a word in `tried` on why there is none.
async fn document(bench: &Bench, check: &'static str, url: &Url, tried: &mut Vec<String>) -> Option<Found<Value>> {
    let place = shown(url.as_str());
    let ask = Ask::get(url.clone()).header("accept", "application/json");
    let heard = match bench.wire.send(check, ask).await {
        Ok(heard) => heard,
        Err(error) => {
            tried.push(format!("{place}: {error}"));
            return None;
        }
    };
    if heard.status.as_u16() != 200 {
        tried.push(format!("{place} answers {}", heard.status.as_u16()));
        return None;
    }
    match heard.json() {
        Some(document) if document.is_object() => Some(Found { url: url.clone(), document, exchange: heard.exchange }),
        _ => {
            tried.push(format!("{place} is no JSON object"));
            None
        }
    }
}

/// `scope-challenge`: RFC 6750 section 3; MCP, Scope Selection Strategy.
fn judge_scope(bench: &Bench, challenge: Option<&Challenge>, resource: Option<&Found<Value>>) {
    const CHECK: &str = "scope-challenge";
    let Some(challenge) = challenge else { return no_challenge(bench, CHECK) };
    let published =
        resource.map(|found| super::metadata::strings(&found.document, "scopes_supported")).unwrap_or_default();
    let (held, observed) = small_scope(challenge.params.get("scope").map(String::as_str), &published);
    bench.findings.decide(CHECK, held, observed, &[challenge.exchange]);
}

/// Whether the scope of a first challenge is small: named, no wildcard, and not all of three or more.
fn small_scope(asked: Option<&str>, published: &[&str]) -> (bool, String) {
    let asked: Vec<&str> = asked.unwrap_or_default().split_ascii_whitespace().collect();
    if asked.is_empty() {
        return (false, "the challenge names no scope".to_owned());
    }
    let list = shown(&asked.join(" "));
    if asked.iter().any(|scope| super::metadata::is_everything(scope)) {
        return (false, format!("the challenge asks for everything: {list}"));
    }
    if published.len() >= 3 && published.iter().all(|scope| asked.contains(scope)) {
        return (false, format!("the challenge asks for all scopes at once: {list}"));
    }
    (true, format!("the challenge asks for {list}"))
}

/// A stranger's text as it may stand in a sentence: one line, printable, at most 160 characters.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 160;
    let keep = |c: char| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c };
    let mut out: String = text.chars().take(MOST).map(keep).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

/// Characters that show nothing or change the order of what is shown.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether the documents that were found are reached safely; for `transport-tls`.
pub(crate) fn unsafe_servers(discovery: &Discovery) -> Vec<String> {
    let servers = discovery.servers.iter().map(|found| &found.url);
    servers.filter(|url| !safe_transport(url)).map(|url| shown(url.as_str())).collect()
}

#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod tests;
