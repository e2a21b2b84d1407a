//! Question 3: whether an agent signs in as itself, and whether its token says so.

use serde_json::{Map, Value};

use super::{sign_in::unseen, tokens};
use crate::{
    bench::{Bench, Grant, Target},
    check::Needs,
    login::{self, Fault, server, token},
};

const CHECKS: [&str; 4] = ["agent-signs-in", "agent-distinct", "agent-lifetime", "agent-scoped"];
const HOUR: u64 = 3600;

/// Runs them.
pub(crate) async fn run(bench: &Bench) {
    if !matches!(bench.target, Target::Http(_)) {
        return;
    }
    if bench.access.agent.is_none() {
        let fault = Fault::NotGiven(Needs::Agent.to_string());
        return CHECKS.iter().for_each(|check| unseen(bench, check, &fault));
    }
    let grant = match bench.seen.agent.get().cloned() {
        Some(grant) => grant,
        // Asked once more, for the reason.
        None => match login::agent(bench, "agent-signs-in").await {
            Ok(grant) => grant,
            Err(fault) => return not_signed_in(bench, &fault),
        },
    };
    bench.findings.pass("agent-signs-in", "client credentials brought an access token", &[]);
    distinct(bench, &grant).await;
    lifetime(bench, &grant).await;
    scoped(bench).await;
}

fn not_signed_in(bench: &Bench, fault: &Fault) {
    if matches!(fault.error(), Some("unsupported_grant_type" | "unauthorized_client")) {
        bench.findings.fail("agent-signs-in", format!("client credentials: {fault}"), fault.exchanges());
    } else {
        unseen(bench, "agent-signs-in", fault);
    }
    CHECKS[1..].iter().for_each(|check| unseen(bench, check, fault));
}

/// RFC 9068 section 2.2: without a person, `sub` is the client; other servers mark it in a claim.
async fn distinct(bench: &Bench, grant: &Grant) {
    let check = "agent-distinct";
    let (claims, seen) = match token::claims(grant.access_token.expose()) {
        Some(claims) => (claims, Vec::new()),
        None => match tokens::introspect(bench, check, grant).await {
            Some((claims, exchange)) => (claims, vec![exchange]),
            None => {
                let why = "the token is opaque, and introspection does not tell about it";
                return bench.findings.unseen(check, why, &[]);
            }
        },
    };
    let person = bench.seen.person.get().and_then(|person| token::claims(person.access_token.expose()));
    let subject = |claims: &Map<String, Value>| claims.get("sub").and_then(Value::as_str).map(str::to_owned);
    if let (Some(person), Some(agent)) = (person.as_ref().and_then(subject), subject(&claims))
        && person == agent
    {
        return bench.findings.fail(
            check,
            format!("agent and person have the same subject, `{}`", login::quote(&agent)),
            &seen,
        );
    }
    match mark(&claims, &grant.client.id) {
        Some(mark) => bench.findings.pass(check, format!("its token says so: {mark}"), &seen),
        None => {
            let subject = subject(&claims).unwrap_or_default();
            let observed = format!("nothing in its token tells `{}` from a person", login::quote(&subject));
            bench.findings.fail(check, observed, &seen);
        }
    }
}

/// What in these claims is no person's.
fn mark(claims: &Map<String, Value>, client_id: &str) -> Option<String> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let subject = text("sub");
    let client = ["client_id", "azp", "appid", "cid"].into_iter().find_map(text);
    match subject {
        None if client.is_some() => return Some("it has a client and no subject".to_owned()),
        Some(subject) if subject == client_id || Some(subject) == client => {
            return Some(format!("its subject is the client, `{}`", login::quote(subject)));
        }
        _ => {}
    }
    const CLAIMS: [&str; 9] = [
        "idtyp",
        "gty",
        "typ",
        "subject_type",
        "sub_type",
        "principal_type",
        "actor_type",
        "kind",
        "preferred_username",
    ];
    const WORDS: [&str; 8] =
        ["agent", "machine", "client-credentials", "client_credentials", "service", "workload", "app", "non-human"];
    let says = |value: &str| {
        let value = value.to_lowercase();
        WORDS.iter().any(|word| {
            value == *word || value.starts_with(&format!("{word}-")) || value.ends_with(&format!("-{word}"))
        })
    };
    let named = CLAIMS.into_iter().find(|name| text(name).is_some_and(says));
    let private = claims.iter().find(|(name, value)| {
        let name = name.rsplit(['/', ':']).next().unwrap_or_default();
        matches!(
            name,
            "agent" | "is_agent" | "machine" | "principal" | "subject_type" | "principal_type" | "actor_type"
        ) && (value.as_bool() == Some(true) || value.as_str().is_some_and(says))
    });
    let found = named.map(str::to_owned).or_else(|| private.map(|(name, _)| name.clone()))?;
    let value = claims.get(&found).map(Value::to_string).unwrap_or_default();
    Some(format!("`{}` is {}", login::quote(&found), login::quote(&value)))
}

async fn lifetime(bench: &Bench, grant: &Grant) {
    let check = "agent-lifetime";
    match tokens::life(bench, check, grant).await {
        Some(life) => {
            let held = life.seconds.is_some_and(|seconds| seconds <= HOUR);
            let long = life
                .seconds
                .map_or_else(|| "for ever".to_owned(), |seconds| format!("for {}", tokens::spoken(seconds)));
            bench.findings.decide(check, held, format!("it lives {long}, says {}", life.said_by), &life.exchanges);
        }
        None => {
            let why = "neither the token, the token response nor introspection says when the token ends";
            bench.findings.unseen(check, why, &[]);
        }
    }
}

/// Asks for one scope, and looks at what came.
async fn scoped(bench: &Bench) {
    let check = "agent-scoped";
    let mut scopes = server::challenge_scopes(bench);
    scopes.extend(server::resource_scopes(bench));
    // What the full grant holds is what the agent may have.
    let held = bench.seen.agent.get().and_then(|grant| grant.scope.clone()).unwrap_or_default();
    let may = |scope: &&String| held.split_whitespace().any(|other| other == *scope);
    let Some(asked) = scopes.iter().find(may).or_else(|| scopes.first()) else {
        return bench.findings.unseen(check, "the resource names no scope to ask for", &[]);
    };
    // Where one scope is all that it may have, getting that one shows nothing: it asks for another too.
    let only = held.split_whitespace().all(|scope| scope == asked);
    let another = scopes.iter().find(|scope| only && *scope != asked);
    let (mut seen, mut said) = (Vec::new(), String::new());
    for asked in std::iter::once(asked).chain(another) {
        let named = login::quote(asked);
        let (got, exchange) = match granted(bench, check, asked).await {
            Ok(granted) => granted,
            Err(fault @ Fault::Refused { .. }) if Some(asked) == another => {
                seen.extend(fault.exchanges());
                said += &format!("; asked for `{named}`, it got nothing");
                break;
            }
            Err(fault) => return unseen(bench, check, &fault),
        };
        let more: Vec<&str> = got.iter().map(String::as_str).filter(|scope| scope != asked).collect();
        if !more.is_empty() {
            let observed = format!("asked for `{named}`, it got `{}`", login::quote(&more.join(" ")));
            return bench.findings.fail(check, observed, &[exchange]);
        }
        seen.push(exchange);
        said += if said.is_empty() { "" } else { "; " };
        said += &format!("asked for `{named}`, it got no more");
    }
    bench.findings.pass(check, said, &seen);
}

/// The scopes that the agent gets when it asks for one, and the exchange.
async fn granted(bench: &Bench, check: &'static str, asked: &str) -> Result<(Vec<String>, u32), Fault> {
    let (grant, exchange) = login::agent_with(bench, check, Some(asked)).await?;
    let in_token = token::claims(grant.access_token.expose()).and_then(|claims| scopes_of(&claims));
    Ok((in_token.unwrap_or_else(|| words(grant.scope.as_deref().unwrap_or_default())), exchange))
}

/// The scopes in a token: `scope` as text (RFC 9068), or `scp` as text or list.
pub(super) fn scopes_of(claims: &Map<String, Value>) -> Option<Vec<String>> {
    let value = claims.get("scope").or_else(|| claims.get("scp"))?;
    match value {
        Value::String(text) => Some(words(text)),
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn marked(claims: Value) -> bool {
        mark(claims.as_object().unwrap(), "agent-7").is_some()
    }

    #[test]
    fn a_machine_is_told_by_its_subject_or_a_claim() {
        for machine in [
            json!({"sub": "agent-7", "client_id": "agent-7"}),
            json!({"sub": "x", "client_id": "x"}),
            json!({"client_id": "agent-7"}),
            json!({"sub": "u1", "idtyp": "app"}),
            json!({"sub": "u1", "gty": "client-credentials"}),
            json!({"sub": "u1", "preferred_username": "service-account-x"}),
            json!({"sub": "u1", "https://as.example/principal_type": "agent"}),
            json!({"sub": "u1", "is_agent": true}),
        ] {
            assert!(marked(machine.clone()), "{machine}");
        }
        for person in [
            json!({"sub": "alice", "client_id": "agent-7"}),
            json!({"sub": "alice", "typ": "Bearer"}),
            json!({"sub": "alice", "preferred_username": "alice"}),
            json!({"sub": "alice", "kind": "happy"}),
            json!({}),
        ] {
            assert!(!marked(person.clone()), "{person}");
        }
    }
}
