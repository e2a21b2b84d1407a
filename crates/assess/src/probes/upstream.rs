//! What the server behind gets to see.

use std::time::Duration;

use serde_json::Value;

use crate::{
    bench::Bench,
    check::Needs,
    hooks::{
        HookName,
        caller::{self, Caller, Served},
        run::{self, Told},
        trail::values,
    },
};

const CHECK: &str = "no-passthrough";
/// How long the server behind may take to write its record.
const TRIES: usize = 5;
/// The part of a token that is looked for when the whole is not there.
const SHORTEST_PART: usize = 20;

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let unseen = |why: &str| bench.findings.unseen(CHECK, why, &[]);
    if !bench.access.hooks.has(HookName::UpstreamRequests) {
        return unseen(&format!("it needs {}", Needs::Hook("upstream_requests")));
    }
    let Ok(out) = tempfile::tempdir() else { return unseen("no folder could be made for the hook") };
    let grant = match caller::person(bench, CHECK, 15).await {
        Ok(grant) => grant,
        Err(why) => return unseen(&why),
    };
    let since = bench.clock.now();
    let served = Caller::new(bench, CHECK, &grant).announced().ask().await;
    if !matches!(served, Served::Yes(_)) {
        return unseen(&format!("no call could be made: {}", served.words()));
    }
    let tool = caller::read_tool(bench).map(|tool| tool.tool).unwrap_or_default();
    let told = Told::of(bench, &tool, since);
    for attempt in 1..=TRIES {
        let Some(hook) = run::run(bench, CHECK, HookName::UpstreamRequests, &told, out.path()).await else { return };
        let seen = [hook.exchanges.clone(), served.exchanges()].concat();
        if !hook.passed {
            return bench.findings.unseen(CHECK, hook.said, &seen);
        }
        let requests = requests(&hook.output);
        if let Some(place) = leaked(&hook.output, &requests, grant.access_token.expose()) {
            return bench.findings.fail(CHECK, format!("the person's token is in {place}"), &seen);
        }
        if !requests.is_empty() {
            let observed =
                format!("{} requests reached the server behind, none with the person's token", requests.len());
            return bench.findings.pass(CHECK, observed, &seen);
        }
        if attempt == TRIES {
            return bench.findings.unseen(CHECK, "the server behind recorded no request with headers", &seen);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Objects with `headers`.
fn requests(output: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    for value in values(output) {
        collect(value, &mut found);
    }
    found
}

fn collect(value: Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(object)
            if object.get("headers").is_some_and(|headers| headers.is_object() || headers.is_array()) =>
        {
            found.push(Value::Object(object));
        }
        Value::Object(object) => object.into_iter().for_each(|(_, inner)| collect(inner, found)),
        Value::Array(items) => items.into_iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}

/// Where the token, or a part of it that nobody else has, was seen.
fn leaked(output: &[u8], requests: &[Value], token: &str) -> Option<String> {
    let longest = token.split('.').max_by_key(|part| part.len()).unwrap_or(token);
    let parts = [token, token.rsplit('.').next().unwrap_or(token), longest];
    let holds = |text: &str| {
        parts.iter().any(|part| part.len() >= SHORTEST_PART && text.contains(part)) || text.contains(token)
    };
    for request in requests {
        let Some(Value::Object(headers)) = request.get("headers") else { continue };
        if let Some((name, _)) = headers.iter().find(|(_, value)| holds(&value.to_string())) {
            return Some(format!("the header `{}`", crate::login::quote(name)));
        }
    }
    holds(&String::from_utf8_lossy(output)).then(|| "what the server behind was sent".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbb.ccccccccccccccccccccccccc";

    fn look(output: &str) -> (usize, Option<String>) {
        let requests = requests(output.as_bytes());
        (requests.len(), leaked(output.as_bytes(), &requests, TOKEN))
    }

    #[test]
    fn a_token_is_found_in_any_header_whole_or_in_part() {
        let line = format!("{{\"headers\":{{\"authorization\":\"Bearer {TOKEN}\"}}}}\n");
        assert_eq!(look(&line), (1, Some("the header `authorization`".to_owned())));
        let cookie = "[{\"headers\":{\"cookie\":[\"s=ccccccccccccccccccccccccc\"]}}]";
        assert_eq!(look(cookie).1.as_deref(), Some("the header `cookie`"));
        let body = format!("{{\"headers\":{{}},\"body\":\"{TOKEN}\"}}");
        assert!(look(&body).1.is_some());
    }

    #[test]
    fn other_tokens_and_no_requests_are_no_leak() {
        assert_eq!(look("{\"requests\":[{\"headers\":{\"authorization\":\"Bearer other\"}}]}"), (1, None));
        assert_eq!(look("[]"), (0, None));
        assert_eq!(look("nothing here"), (0, None));
    }
}
