//! What a tool's result carries into a model's context, tried by a tool that gives back what it is given.
//!
//! The payloads are harmless text made for the run: hidden characters, orders to a model, credentials of no
//! account, links to a host that does not exist. What comes back is compared with what an ordinary text comes
//! back as, so that a tool's own words around it prove nothing.

mod judge;
mod payload;

use sallyport_mcp::{Object, methods::ListKind};
use serde_json::{Map, Value, json};

use self::judge::{Returned, Verdict};
use super::{definitions::credential, discovery::shown};
use crate::{
    access::Canary,
    bench::Bench,
    wire::{Answer, ConnectOptions, McpClient, McpFault},
};

const CHECKS: [&str; 4] =
    ["results-hidden-text", "results-instructions", "results-credentials", "results-exfiltration"];

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let Some(canary) = &bench.access.canary else {
        return all_unseen(bench, &format!("it takes {}", crate::check::Needs::Canary), &[]);
    };
    let options = ConnectOptions { plain: true, ..ConnectOptions::default() };
    let mut client = match McpClient::connect(bench, CHECKS[0], credential(bench), options).await {
        Ok(client) => client,
        Err(fault) => return all_unseen(bench, &shown(&format!("no connection: {fault}")), &[]),
    };
    if let Err((why, exchanges)) = probe(bench, canary, &mut client).await {
        all_unseen(bench, &why, &exchanges);
    }
    client.close().await;
}

fn all_unseen(bench: &Bench, why: &str, exchanges: &[u32]) {
    for check in CHECKS {
        bench.findings.unseen(check, why, exchanges);
    }
}

/// Two ordinary texts first, then the payloads. The error says why the tool is no canary.
async fn probe(bench: &Bench, canary: &Canary, client: &mut McpClient) -> Result<(), (String, Vec<u32>)> {
    let mut controls = Vec::new();
    for _ in 0..2 {
        let ordinary = payload::ordinary(bench);
        let returned = call(bench, canary, client, CHECKS[0], &ordinary.text).await.map_err(|why| (why, Vec::new()))?;
        if !returned.echoes(&ordinary) {
            let why = format!(
                "{} does not give back what {} holds, so it is no canary",
                shown(&canary.tool),
                shown(&canary.argument)
            );
            return Err((why, vec![returned.exchange]));
        }
        controls.push((ordinary.text, returned));
    }
    let hidden = payload::hidden(bench);
    let returned = call(bench, canary, client, CHECKS[0], &hidden.text).await;
    leave(bench, CHECKS[0], returned, |returned| judge::hidden(&hidden, returned));
    let orders = payload::orders(bench);
    let returned = call(bench, canary, client, CHECKS[1], &orders).await;
    leave(bench, CHECKS[1], returned, |returned| judge::orders(&orders, returned, &controls));
    let secrets = payload::credentials(bench);
    let returned = call(bench, canary, client, CHECKS[2], &secrets.text).await;
    leave(bench, CHECKS[2], returned, |returned| judge::credentials(&secrets, returned));
    let links = payload::links(bench);
    let returned = call(bench, canary, client, CHECKS[3], &links.text).await;
    leave(bench, CHECKS[3], returned, |returned| judge::links(&links, returned));
    Ok(())
}

fn leave(bench: &Bench, check: &'static str, returned: Result<Returned, String>, judge: impl Fn(&Returned) -> Verdict) {
    match returned {
        Err(why) => bench.findings.unseen(check, why, &[]),
        Ok(returned) => {
            let Verdict { held, observed } = judge(&returned);
            bench.findings.decide(check, held, observed, &[returned.exchange]);
        }
    }
}

/// Calls the canary with `text`.
async fn call(
    bench: &Bench,
    canary: &Canary,
    client: &mut McpClient,
    check: &'static str,
    text: &str,
) -> Result<Returned, String> {
    let arguments = arguments(bench, canary, text);
    let params = json!({"name": canary.tool, "arguments": arguments}).as_object().cloned().unwrap_or_default();
    match client.call(check, "tools/call", params).await {
        Ok(Answer::Result(result, exchange)) => Ok(Returned::result(result, exchange)),
        Ok(Answer::Error(error, exchange)) => Ok(Returned::withheld(format!("error {}", error.code), exchange)),
        Ok(Answer::Refused(heard)) => match heard.status.as_u16() {
            status @ (429 | 500..) => Err(format!("HTTP {status} answers the call")),
            status => Ok(Returned::withheld(format!("HTTP {status}"), heard.exchange)),
        },
        Ok(Answer::InputRequired(_, exchange) | Answer::Asked { exchange, .. }) => {
            Ok(Returned::withheld("the server asks first".to_owned(), exchange))
        }
        Ok(Answer::Task(_, exchange)) => Ok(Returned::withheld("the server made a task of it".to_owned(), exchange)),
        Err(McpFault::Refused(heard)) => Err(format!("HTTP {} answers the call", heard.status.as_u16())),
        Err(fault) => Err(shown(&fault.to_string())),
    }
}

/// The canary's argument, and something harmless for every other that its schema requires.
fn arguments(bench: &Bench, canary: &Canary, text: &str) -> Object {
    let catalogue = bench.seen.catalogue.get();
    let tool = catalogue.into_iter().flatten().find(|one| one.kind == ListKind::Tools && one.key == canary.tool);
    filled(tool.and_then(|tool| tool.input_schema.as_ref()), &canary.argument, text)
}

fn filled(schema: Option<&Value>, argument: &str, text: &str) -> Object {
    let mut arguments = Map::new();
    let required = schema.and_then(|schema| schema.get("required")?.as_array());
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        let property = schema.and_then(|schema| schema.get("properties")?.get(name));
        arguments.insert(name.to_owned(), harmless(property.unwrap_or(&Value::Null)));
    }
    arguments.insert(argument.to_owned(), text.into());
    arguments
}

/// A small value of the type that a property states.
fn harmless(property: &Value) -> Value {
    if let Some(value) = property.get("default").or_else(|| property.get("enum")?.get(0)) {
        return value.clone();
    }
    match property.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("sallyport"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_required_arguments_are_filled_in() {
        let schema = json!({
            "required": ["text", "times", "mode"],
            "properties": {"times": {"type": "integer"}, "mode": {"enum": ["loud"]}, "more": {"type": "string"}},
        });
        let arguments = filled(Some(&schema), "text", "x");
        assert_eq!(Value::Object(arguments), json!({"text": "x", "times": 1, "mode": "loud"}));
        assert_eq!(Value::Object(filled(None, "text", "x")), json!({"text": "x"}));
    }
}
