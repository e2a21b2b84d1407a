//! What the published scopes tell apart.
//!
//! Only their names are seen here: whether they are enforced is another check.

use super::{judge::Judged, strings};
use crate::{bench::Discovery, probes::discovery::shown};

/// Scopes that say who somebody is or how long a grant lasts, and nothing about the resource.
const OF_IDENTITY: [&str; 7] = ["openid", "profile", "email", "phone", "address", "offline_access", "offline"];

/// Words that leave nothing out.
const EVERYTHING: [&str; 9] =
    ["*", "all", "full", "everything", "any", "root", "superuser", "full-access", "fullaccess"];

/// Words for a kind of MCP primitive, which tell no tool from another.
const KINDS: [&str; 9] = ["mcp", "tool", "tools", "resource", "resources", "prompt", "prompts", "server", "api"];

/// The scopes of the resource: its metadata's, or those of the authorization server where there is no resource
/// metadata (MCP 2025-03-26, where both are one server).
fn of_resource(discovery: &Discovery) -> Vec<&str> {
    match &discovery.resource {
        Some(found) => strings(&found.document, "scopes_supported"),
        None => of_servers(discovery),
    }
}

fn of_servers(discovery: &Discovery) -> Vec<&str> {
    discovery.servers.iter().flat_map(|found| strings(&found.document, "scopes_supported")).collect()
}

/// RFC 9728 section 2: by the resource itself.
pub(super) fn published(discovery: &Discovery) -> Judged {
    let resource = discovery.resource.iter();
    let scopes: Vec<&str> = resource.flat_map(|found| strings(&found.document, "scopes_supported")).collect();
    match scopes.is_empty() {
        true => Judged::fail("the resource publishes no scopes_supported"),
        false => Judged::pass(format!("published: {}", list(&scopes))),
    }
}

/// Wildcards and words for everything. `offline_access` says nothing of the resource and does not belong in its
/// metadata (MCP 2026-07-28, Refresh Tokens).
pub(super) fn specific(discovery: &Discovery) -> Judged {
    let scopes = of_resource(discovery);
    if scopes.is_empty() {
        return Judged::fail("no scope is published, so a token cannot be asked for that is good for less than all");
    }
    let broad: Vec<&str> = scopes.iter().copied().filter(|scope| is_everything(scope)).collect();
    if !broad.is_empty() {
        return Judged::fail(format!("stands for everything: {}", list(&broad)));
    }
    if discovery.resource.is_some() && scopes.contains(&"offline_access") {
        return Judged::fail("the resource lists offline_access, which is none of its scopes");
    }
    Judged::pass(format!("each is limited: {}", list(&scopes)))
}

/// Whether a scope's name leaves nothing out: a wildcard in it, such a word at its end, `all` at its start, or `admin`
/// alone. A server may well be named `everything`, and then its scopes begin with that.
pub(crate) fn is_everything(scope: &str) -> bool {
    let scope = scope.to_ascii_lowercase().replace('_', "-");
    let whole = ["admin", "administrator", "access", "full-control"].contains(&scope.as_str());
    let narrowed = scope.strip_prefix("https://").unwrap_or(&scope);
    let parts: Vec<&str> = narrowed.split([':', '.', '/', ' ']).collect();
    let first = parts.first().is_some_and(|part| ["all", "any", "full"].contains(part));
    let last = parts.last().is_some_and(|part| EVERYTHING.contains(part));
    whole || first || last || scope.contains('*')
}

/// Two scopes of the resource at least, not all of which name a kind of primitive alone.
pub(super) fn separate(discovery: &Discovery) -> Judged {
    let mut scopes = of_resource(discovery);
    scopes.extend(of_servers(discovery));
    scopes.sort_unstable();
    scopes.dedup();
    scopes.retain(|scope| !OF_IDENTITY.contains(scope) && !is_everything(scope));
    let telling: Vec<&str> = scopes.iter().copied().filter(|scope| !is_kind(scope)).collect();
    if scopes.len() >= 2 && !telling.is_empty() {
        return Judged::pass(format!("told apart: {}", list(&scopes)));
    }
    Judged::fail(match scopes.as_slice() {
        [] => "no scope of the resource is published".to_owned(),
        [one] => format!("there is one scope, {}", shown(one)),
        more => format!("scopes name kinds of things, not tools: {}", list(more)),
    })
}

fn is_kind(scope: &str) -> bool {
    scope.split([':', '.', '/', '-', '_']).all(|part| KINDS.contains(&part.to_ascii_lowercase().as_str()))
}

fn list(scopes: &[&str]) -> String {
    const MOST: usize = 12;
    let mut text: Vec<String> = scopes.iter().take(MOST).map(|scope| shown(scope)).collect();
    if scopes.len() > MOST {
        text.push(format!("… ({} in all)", scopes.len()));
    }
    text.join(", ")
}
