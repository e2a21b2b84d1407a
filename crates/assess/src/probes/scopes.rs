//! Question 4: whether a token of a small scope can do less than one of all scopes.
//!
//! It lists tools, calls tools that say they only read or that the operator named, and calls no other but
//! without the arguments that it requires, so that it cannot act.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use sallyport_mcp::{Object, methods::ListKind};
use serde_json::{Value, json};

use super::{agent::scopes_of, sign_in::unseen};
use crate::{
    bench::{Bench, Target},
    login::{
        self, Desk, Fault, Who,
        flow::{self, Request},
        server, token,
    },
    wire::{Answer, ConnectOptions, Credential, Heard, McpClient, McpFault},
};

const ENFORCED: &str = "scope-enforced";
const STEP_UP: &str = "step-up-challenge";
/// So many small tokens are tried; fewer where each costs the operator a visit to the browser.
const TRIES: usize = 4;
const TRIES_IN_BROWSER: usize = 2;
/// So many tools are called with each.
const CALLS: usize = 3;
/// Scopes of OpenID Connect say who somebody is, and open no resource.
const OF_PEOPLE: [&str; 6] = ["openid", "profile", "email", "offline_access", "address", "phone"];

/// Runs them.
pub(crate) async fn run(bench: &Bench) {
    if !matches!(bench.target, Target::Http(_)) {
        return;
    }
    let both = |why: String, seen: &[u32]| {
        [ENFORCED, STEP_UP].iter().for_each(|check| bench.findings.unseen(check, why.clone(), seen))
    };
    let desk = match login::signed_in(bench) {
        Ok(desk) => desk,
        Err(fault) => return given(bench, &fault).await,
    };
    let Some(person) = bench.seen.person.get() else { return both("the person has no token".to_owned(), &[]) };
    let full = match tools(bench, person.access_token.expose()).await {
        Ok((_, full)) => full,
        Err(Stop::Refused(refusal)) => {
            return both(format!("the person's own token is refused: {}", refusal.what), &refusal.seen);
        }
        Err(Stop::Unclear(why)) => return both(why, &[]),
    };
    let small = small_scopes(bench, desk);
    if small.is_empty() {
        return both("there is no smaller scope to ask for than all".to_owned(), &[]);
    }
    let tries = if bench.access.user.is_some() { TRIES } else { TRIES_IN_BROWSER };
    let mut tally = Tally::default();
    for scope in small.into_iter().take(tries) {
        attempt(bench, desk, &scope, &full, &mut tally).await;
        if tally.refusal.is_some() || tally.leak.is_some() {
            break;
        }
    }
    tally.judge(bench);
}

/// A token that was given cannot be made smaller; but a tool that it is refused for want of a scope shows enough.
async fn given(bench: &Bench, fault: &Fault) {
    let mut tally = Tally::default();
    if let Some(person) = bench.seen.person.get()
        && let Ok((mut client, listed)) = tools(bench, person.access_token.expose()).await
    {
        let candidates: Vec<(&String, &Value)> = listed.iter().collect();
        for (tool, arguments, _) in calls(bench, &candidates) {
            if let Use::Refused(refusal) = call(&mut client, &tool, arguments).await
                && refusal.names_scope
            {
                tally.refusal = Some((format!("the token that was given: `{}`", login::quote(&tool)), refusal));
                break;
            }
        }
        client.close().await;
    }
    match tally.refusal {
        Some(_) => tally.judge(bench),
        None => [ENFORCED, STEP_UP].iter().for_each(|check| unseen(bench, check, fault)),
    }
}

/// A scope to ask for alone.
struct Small {
    scope: String,
    /// Whether it is none of the resource's.
    outside: bool,
}

/// A scope that opens no resource where there is one, then the resource's own, those that differ most first.
fn small_scopes(bench: &Bench, desk: &Desk) -> Vec<Small> {
    let mut own = server::resource_scopes(bench);
    if own.is_empty() {
        // A resource that says nothing leaves it to its authorization server (RFC 8414).
        own = desk.server.list("scopes_supported").unwrap_or_default().into_iter().map(str::to_owned).collect();
        own.retain(|scope| !OF_PEOPLE.contains(&scope.as_str()));
    }
    if own.is_empty() {
        return Vec::new();
    }
    let offered =
        |scope: &&&str| desk.server.lists("scopes_supported", scope) && !own.iter().any(|other| other == **scope);
    let outside = OF_PEOPLE.iter().filter(|scope| **scope != "offline_access").find(offered);
    let mut small: Vec<Small> =
        outside.iter().map(|scope| Small { scope: (**scope).to_string(), outside: true }).collect();
    let open: Vec<&String> = own.iter().filter(|scope| !OF_PEOPLE.contains(&scope.as_str())).collect();
    if open.len() > 1 {
        // The last ones are tried first: what the resource lists first is usually what everything needs.
        small.extend(open.iter().rev().map(|scope| Small { scope: (*scope).clone(), outside: false }));
    }
    small
}

/// What the small tokens showed together.
#[derive(Default)]
struct Tally {
    /// A use that the full token has and a small one was refused.
    refusal: Option<(String, Refusal)>,
    /// A tool that was hidden from a small token, and served it.
    leak: Option<(String, Vec<u32>)>,
    /// Small tokens that could do all that was tried.
    free: Vec<(Small, usize, Vec<u32>)>,
    notes: Vec<String>,
}

/// How a use was refused.
#[derive(Debug, Clone)]
struct Refusal {
    what: String,
    seen: Vec<u32>,
    /// Whether it names the missing scope as RFC 6750 has it.
    names_scope: bool,
}

enum Stop {
    Refused(Refusal),
    Unclear(String),
}

impl Tally {
    fn judge(self, bench: &Bench) {
        if let Some((what, seen)) = self.leak {
            bench.findings.fail(ENFORCED, what, &seen);
            return bench.findings.unseen(STEP_UP, "nothing was refused for want of a scope", &[]);
        }
        if let Some((whose, refusal)) = self.refusal {
            bench.findings.pass(ENFORCED, format!("{whose} {}", refusal.what), &refusal.seen);
            let observed = if refusal.names_scope {
                "403 with insufficient_scope and the scope that is missing"
            } else {
                "the refusal does not name the missing scope in a 403 challenge"
            };
            return bench.findings.decide(STEP_UP, refusal.names_scope, observed, &refusal.seen);
        }
        bench.findings.unseen(STEP_UP, "nothing was refused for want of a scope", &[]);
        let outside = self.free.iter().find(|(small, ..)| small.outside);
        if let Some((small, calls, seen)) = outside {
            let observed = format!(
                "a token for `{}` alone, none of the resource's scopes, lists the same tools as one for all, and {calls} calls were served",
                login::quote(&small.scope)
            );
            return bench.findings.fail(ENFORCED, observed, seen);
        }
        let own: Vec<&(Small, usize, Vec<u32>)> = self.free.iter().filter(|(_, calls, _)| *calls > 0).collect();
        let apart = own.iter().enumerate().find_map(|(at, (a, ..))| {
            own[at + 1..].iter().find(|(b, ..)| !may_include(&a.scope, &b.scope)).map(|(b, ..)| (a, b))
        });
        if let Some((a, b)) = apart {
            let seen: Vec<u32> = own.iter().flat_map(|(.., seen)| seen.clone()).collect();
            let observed = format!(
                "a token for `{}` alone and one for `{}` alone list the same tools and were served the same calls",
                login::quote(&a.scope),
                login::quote(&b.scope)
            );
            return bench.findings.fail(ENFORCED, observed, &seen);
        }
        let notes = if self.notes.is_empty() {
            "no call that is safe to make tells the scopes apart".to_owned()
        } else {
            self.notes.join("; ")
        };
        bench.findings.unseen(ENFORCED, notes, &[]);
    }
}

/// Whether one of two scopes may well contain the other, by their names: `read` in `write`, `a` in `a:b`.
fn may_include(a: &str, b: &str) -> bool {
    const MORE: [&str; 8] = ["write", "admin", "all", "full", "manage", "edit", "delete", "readwrite"];
    let words = |scope: &str| -> BTreeSet<String> {
        scope.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
    };
    let (a, b) = (words(a), words(b));
    let more = |words: &BTreeSet<String>| MORE.iter().any(|word| words.contains(*word));
    a.is_subset(&b) || b.is_subset(&a) || more(&a) || more(&b)
}

/// Signs in for `small` alone and sees what it opens.
async fn attempt(bench: &Bench, desk: &Desk, small: &Small, full: &BTreeMap<String, Value>, tally: &mut Tally) {
    let name = login::quote(&small.scope);
    let mut request = Request::new(bench, desk);
    request.scope = Some(small.scope.clone());
    let grant = match flow::sign_in(bench, ENFORCED, desk, Who::Person, request).await {
        Ok((grant, ..)) => grant,
        Err(fault) => return tally.notes.push(format!("`{name}` alone: {fault}")),
    };
    let claimed = token::claims(grant.access_token.expose()).and_then(|claims| scopes_of(&claims));
    let got =
        claimed.unwrap_or_else(|| grant.scope.iter().flat_map(|s| s.split_whitespace()).map(str::to_owned).collect());
    if let Some(more) = got.iter().find(|scope| **scope != small.scope && !OF_PEOPLE.contains(&scope.as_str())) {
        return tally.notes.push(format!("asked for `{name}` alone, the token also got `{}`", login::quote(more)));
    }
    let whose = format!("a token for `{name}` alone:");
    let (mut client, listed) = match tools(bench, grant.access_token.expose()).await {
        Ok(found) => found,
        Err(Stop::Refused(refusal)) => return tally.refusal = Some((whose, refusal)),
        Err(Stop::Unclear(why)) => return tally.notes.push(why),
    };
    let hidden: BTreeMap<&String, &Value> = full.iter().filter(|(tool, _)| !listed.contains_key(*tool)).collect();
    let candidates: Vec<(&String, &Value)> =
        if hidden.is_empty() { full.iter().collect() } else { hidden.iter().map(|(a, b)| (*a, *b)).collect() };
    let mut served = Vec::new();
    for (tool, arguments, acts) in calls(bench, &candidates) {
        match call(&mut client, &tool, arguments).await {
            Use::Refused(refusal) => {
                tally.refusal = Some((format!("{whose} `{}`", login::quote(&tool)), refusal));
                break;
            }
            Use::Served(exchange) if !hidden.is_empty() && acts => {
                let observed = format!("{whose} `{}` is not listed, and was served all the same", login::quote(&tool));
                tally.leak = Some((observed, vec![exchange]));
                break;
            }
            Use::Served(exchange) if acts => served.push(exchange),
            Use::Served(_) | Use::Unclear => {}
        }
    }
    client.close().await;
    match (tally.refusal.is_some() || tally.leak.is_some(), hidden.len()) {
        (true, _) => {}
        (false, 0) => {
            tally.free.push((Small { scope: small.scope.clone(), outside: small.outside }, served.len(), served))
        }
        (false, hidden) => {
            tally.notes.push(format!("{whose} {hidden} tools are not listed, and none of them is safe to call"))
        }
    }
}

/// The calls that may be made: tool, arguments, and whether being served means that the tool was used.
fn calls(bench: &Bench, tools: &[(&String, &Value)]) -> Vec<(String, Object, bool)> {
    let mut calls = Vec::new();
    for named in [&bench.access.read, &bench.access.acting].into_iter().flatten() {
        if tools.iter().any(|(tool, _)| **tool == named.tool) {
            calls.push((named.tool.clone(), named.arguments.clone(), true));
        }
    }
    let hint = |tool: &Value, name: &str| tool.pointer(&format!("/annotations/{name}")).and_then(Value::as_bool);
    let required = |tool: &Value| {
        tool.pointer("/inputSchema/required").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    };
    let reads = |tool: &Value| hint(tool, "readOnlyHint") == Some(true);
    let known = |calls: &[(String, Object, bool)], name: &str| calls.iter().any(|(tool, ..)| tool == name);
    for (name, _) in tools.iter().filter(|(_, tool)| reads(tool) && !required(tool)) {
        if !known(&calls, name) {
            calls.push(((*name).clone(), Object::new(), true));
        }
    }
    // Without its arguments such a tool cannot act: only a refusal for want of a scope says anything.
    let blank = |tool: &Value| required(tool) && (reads(tool) || hint(tool, "destructiveHint") == Some(false));
    for (name, _) in tools.iter().filter(|(_, tool)| blank(tool)) {
        if !known(&calls, name) {
            calls.push(((*name).clone(), Object::new(), false));
        }
    }
    calls.truncate(CALLS);
    calls
}

/// What came of a call.
enum Use {
    Refused(Refusal),
    Served(u32),
    Unclear,
}

async fn call(client: &mut McpClient, tool: &str, arguments: Object) -> Use {
    let mut params = Object::new();
    params.insert("name".to_owned(), json!(tool));
    params.insert("arguments".to_owned(), Value::Object(arguments));
    match client.call(ENFORCED, "tools/call", params).await {
        Ok(Answer::Refused(heard)) => refused(&heard).map_or(Use::Unclear, Use::Refused),
        Ok(Answer::Error(error, exchange)) => {
            let what = format!("refused with error {}: {}", error.code, login::quote(&error.message));
            if says_denied(&error.message) || unknown(&error.message) {
                Use::Refused(Refusal { what, seen: vec![exchange], names_scope: false })
            } else {
                Use::Unclear
            }
        }
        Ok(Answer::Result(result, exchange)) if result.get("isError") == Some(&Value::Bool(true)) => {
            let text = result.get("content").map(Value::to_string).unwrap_or_default();
            if says_denied(&text) || unknown(&text) {
                let what = format!("refused: {}", login::quote(&text));
                Use::Refused(Refusal { what, seen: vec![exchange], names_scope: false })
            } else {
                Use::Unclear
            }
        }
        Ok(Answer::Result(_, exchange) | Answer::Task(_, exchange)) => Use::Served(exchange),
        // A question to a person comes after the scope was looked at, or instead: nobody can tell.
        Ok(Answer::InputRequired(..) | Answer::Asked { .. }) | Err(_) => Use::Unclear,
    }
}

fn says_denied(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "insufficient_scope",
        "insufficient scope",
        "scope",
        "permission",
        "forbidden",
        "not allowed",
        "not authorized",
        "unauthorized",
        "access denied",
        "not permitted",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// A tool that is hidden is unknown to whoever may not use it.
fn unknown(text: &str) -> bool {
    let text = text.to_lowercase();
    ["unknown tool", "not found", "no such tool", "no tool"].iter().any(|word| text.contains(word))
}

/// An HTTP refusal that is about the caller.
fn refused(heard: &Heard) -> Option<Refusal> {
    let about_caller = matches!(heard.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    let challenge = heard.header("www-authenticate").unwrap_or_default();
    let names_scope = heard.status == StatusCode::FORBIDDEN
        && challenge.contains("insufficient_scope")
        && challenge.split([',', ' ']).any(|part| part.trim().starts_with("scope="));
    let what = format!("refused with {}", heard.status);
    about_caller.then(|| Refusal { what, seen: vec![heard.exchange], names_scope })
}

/// Connects and lists the tools, by name.
async fn tools(bench: &Bench, token: &str) -> Result<(McpClient, BTreeMap<String, Value>), Stop> {
    let stop = |fault: McpFault| match fault {
        McpFault::Refused(heard) => {
            refused(&heard).map_or_else(|| Stop::Unclear(format!("answered with {}", heard.status)), Stop::Refused)
        }
        McpFault::Rpc(error, exchange) => {
            let what = format!("refused with error {}: {}", error.code, login::quote(&error.message));
            if says_denied(&error.message) {
                Stop::Refused(Refusal { what, seen: vec![exchange], names_scope: false })
            } else {
                Stop::Unclear(what)
            }
        }
        fault => Stop::Unclear(login::quote(&fault.to_string())),
    };
    let options = ConnectOptions { plain: true, ..ConnectOptions::default() };
    let mut client = McpClient::connect(bench, ENFORCED, Credential::Bearer(token), options).await.map_err(stop)?;
    let listed = client.list(ENFORCED, ListKind::Tools).await.map_err(stop)?;
    let named = listed.into_iter().filter_map(|tool| Some((tool.get("name")?.as_str()?.to_owned(), tool)));
    Ok((client, named.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_that_may_contain_one_another_prove_nothing() {
        for (a, b) in [("mail.read", "mail.write"), ("mcp", "mcp:tools"), ("notes:read", "notes:admin"), ("a", "a")] {
            assert!(may_include(a, b), "{a} {b}");
        }
        for (a, b) in [("mcp:tools", "mcp:resources"), ("mail.read", "calendar.read")] {
            assert!(!may_include(a, b), "{a} {b}");
        }
    }
}
