//! What the metadata documents say: of the resource (RFC 9728), of the authorization servers (RFC 8414).
//!
//! It judges the documents that `discovery` found and sends nothing. What a document claims is compared with
//! what a client would ask for, never believed as a control.

mod judge;
mod scopes;

use sallyport_model::assessment::CheckResult;
use serde_json::Value;
use url::Url;

use super::discovery::places;
use crate::bench::{Bench, Discovery, Found};

pub(crate) use judge::{is_loopback, safe_transport};
pub(crate) use scopes::is_everything;

use judge::Judged;

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let (Some(url), Some(discovery)) = (bench.url(), bench.seen.discovery.get()) else { return };
    decide(bench, "scopes-published", scopes::published(discovery), discovery);
    decide(bench, "scopes-specific", scopes::specific(discovery), discovery);
    decide(bench, "scopes-separate", scopes::separate(discovery), discovery);
    of_authorization_server(bench, "sender-bound", judge::sender_bound(discovery), discovery);
    of_authorization_server(bench, "agent-grant", judge::agent_grant(&discovery.servers), discovery);
    decide(bench, "registration-path", judge::registration_path(&discovery.servers), discovery);
    match &discovery.resource {
        Some(found) => decide(bench, "resource-identifier", judge::identifier(url, found, discovery), discovery),
        None => decide(bench, "resource-identifier", Judged::fail("there is no resource metadata"), discovery),
    }
    let asked: Vec<_> = discovery.servers.iter().map(|found| (asked_for(url, discovery, found), found)).collect();
    decide(bench, "server-metadata", judge::complete(&discovery.servers), discovery);
    decide(bench, "server-issuer", judge::issuers(&asked), discovery);
    decide(bench, "server-endpoints-tls", judge::endpoints(&discovery.servers), discovery);
    decide(bench, "pkce-advertised", judge::pkce(&discovery.servers), discovery);
}

/// What an authorization server offers is unknown while none is found, unless the target serves everybody: then
/// nothing depends on one.
fn of_authorization_server(bench: &Bench, check: &'static str, judged: Judged, discovery: &Discovery) {
    let open = bench.findings.result("auth-required") == Some(CheckResult::Fail);
    match discovery.servers.is_empty() && !judged.held && !open {
        true => bench.findings.unseen(check, judged.observed, &[]),
        false => decide(bench, check, judged, discovery),
    }
}

fn decide(bench: &Bench, check: &'static str, judged: Judged, discovery: &Discovery) {
    let mut exchanges: Vec<u32> = discovery.servers.iter().map(|found| found.exchange).collect();
    exchanges.extend(discovery.resource.iter().map(|found| found.exchange));
    exchanges.sort_unstable();
    bench.findings.decide(check, judged.held, judged.observed, &exchanges);
}

/// The issuer that `found` was asked for: an entry of `authorization_servers`, or without resource metadata
/// the target's own origin (MCP 2025-03-26).
fn asked_for(target: &Url, discovery: &Discovery, found: &Found<Value>) -> Asked {
    let named = discovery.resource.iter().flat_map(|resource| issuers_of(&resource.document));
    let of_it = |issuer: &&str| Url::parse(issuer).is_ok_and(|url| places::of_issuer(&url).contains(&found.url));
    match named.into_iter().find(of_it) {
        Some(issuer) => Asked::Issuer(issuer.to_owned()),
        None => Asked::Origin(places::origin(target)),
    }
}

/// What a document was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An entry of `authorization_servers`, to the letter.
    Issuer(String),
    /// Nobody named an issuer: the origin of the target.
    Origin(Url),
}

/// `authorization_servers` of a resource's metadata.
pub(crate) fn issuers_of(resource: &Value) -> Vec<&str> {
    strings(resource, "authorization_servers")
}

/// The strings in the array `member`.
pub(crate) fn strings<'a>(document: &'a Value, member: &str) -> Vec<&'a str> {
    let items = document.get(member).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests;
