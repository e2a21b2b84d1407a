//! Tries to use a confirmation for something else: other arguments, or a second time.
//!
//! It accepts a question in a form, as a person at a client would, so the tool acts once. It never opens a page:
//! what is confirmed there cannot be tried from here.

use sallyport_mcp::Object;
use serde_json::{Map, Value, json};

use super::{
    BOUND,
    judge::{self, Outcome},
    params,
};
use crate::{
    access::NamedTool,
    probes::discovery::shown,
    wire::{Answer, McpClient, McpFault, Reply},
};

/// Why a confirmation is not shown to be bound.
#[derive(Debug)]
pub(super) enum Tried {
    /// It served another call.
    Taken(String),
    /// The try could not be made.
    NotTried(String),
}

fn not_tried(why: impl Into<String>) -> Tried {
    Tried::NotTried(why.into())
}

/// Legacy era: the question comes inside the call, so only the next call can profit from its answer.
pub(super) async fn legacy(
    client: &mut McpClient,
    tool: &NamedTool,
    exchanges: &mut Vec<u32>,
) -> Result<String, Tried> {
    let (request, pending) = match client.call(BOUND, "tools/call", params(tool)).await {
        Ok(Answer::Asked { request, pending, .. }) => (request, pending),
        _ => return Err(not_tried("the server does not ask inside the call (legacy era)")),
    };
    let form = form(request.param("requestedSchema"));
    let first = client.answer_ask(BOUND, pending, Reply::Accept(form)).await;
    executed(&first, exchanges)?;
    again(client, &altered(tool).unwrap_or_else(|| tool.clone()), exchanges).await
}

/// Modern era: question and answer are two requests, and the state between them is in the client's hands.
pub(super) async fn modern(
    client: &mut McpClient,
    tool: &NamedTool,
    exchanges: &mut Vec<u32>,
) -> Result<String, Tried> {
    let mut seen = Vec::new();
    let question = ask(client, tool).await?;
    if let Some(other) = altered(tool) {
        let answer = accept(client, &other, &question).await;
        let (outcome, of_it) = judge::outcome(&answer);
        exchanges.extend(of_it);
        match outcome {
            Outcome::Executed(_) => return Err(Tried::Taken("an answer for other arguments was taken".to_owned())),
            Outcome::Held(how) => seen.push(format!("other arguments: {how}")),
            Outcome::Unclear(why) => seen.push(format!("other arguments: refused, {why}")),
        }
    }
    // A fresh question: the first one may be spent.
    let question = ask(client, tool).await?;
    let first = accept(client, tool, &question).await;
    if executed(&first, exchanges).is_err() {
        return match seen.is_empty() {
            true => Err(not_tried("acceptance alone does not execute, so nothing could be tried")),
            false => Ok(seen.join("; ")),
        };
    }
    let (replayed, of_it) = judge::outcome(&accept(client, tool, &question).await);
    exchanges.extend(of_it);
    match replayed {
        Outcome::Executed(_) => return Err(Tried::Taken("one answer was taken twice".to_owned())),
        Outcome::Held(how) | Outcome::Unclear(how) => seen.push(format!("used twice: {how}")),
    }
    match again(client, tool, exchanges).await {
        Ok(how) => seen.push(how),
        Err(Tried::NotTried(_)) => {}
        Err(taken) => return Err(taken),
    }
    Ok(seen.join("; "))
}

/// A new call after a confirmed one has to be asked about again.
async fn again(client: &mut McpClient, tool: &NamedTool, exchanges: &mut Vec<u32>) -> Result<String, Tried> {
    let (outcome, of_it) = judge::outcome(&client.call(BOUND, "tools/call", params(tool)).await);
    exchanges.extend(of_it);
    match outcome {
        Outcome::Executed(_) => {
            Err(Tried::Taken("after one confirmation the next call went through unasked".to_owned()))
        }
        Outcome::Held(how) => Ok(format!("the next call: {how}")),
        Outcome::Unclear(why) => Err(Tried::NotTried(format!("the next call: {why}"))),
    }
}

fn executed(answer: &Result<Answer, McpFault>, exchanges: &mut Vec<u32>) -> Result<(), Tried> {
    let (outcome, of_it) = judge::outcome(answer);
    exchanges.extend(of_it);
    match outcome {
        Outcome::Executed(_) => Ok(()),
        Outcome::Held(how) | Outcome::Unclear(how) => Err(Tried::NotTried(format!("accepted, and then: {how}"))),
    }
}

/// The question of a call, as the server put it.
async fn ask(client: &mut McpClient, tool: &NamedTool) -> Result<Object, Tried> {
    match client.call(BOUND, "tools/call", params(tool)).await {
        Ok(Answer::InputRequired(required, _)) => Ok(required),
        Ok(_) => Err(not_tried("the server does not ask by a result that requires input (2026-07-28)")),
        Err(fault) => Err(not_tried(shown(&fault.to_string()))),
    }
}

async fn accept(client: &mut McpClient, tool: &NamedTool, question: &Object) -> Result<Answer, McpFault> {
    let requests = question.get("inputRequests").and_then(Value::as_object);
    let schema = requests.into_iter().flatten().find_map(|(_, request)| request.pointer("/params/requestedSchema"));
    client.answer_input(BOUND, "tools/call", params(tool), question, Reply::Accept(form(schema))).await
}

/// Content for a form: yes to everything in it.
fn form(schema: Option<&Value>) -> Object {
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    let mut content = Map::new();
    for (name, property) in properties.into_iter().flatten() {
        let kind = property.get("type").and_then(Value::as_str);
        let value = match (property.get("enum").and_then(|values| values.get(0)), kind) {
            (Some(first), _) => first.clone(),
            (None, Some("boolean")) => json!(true),
            (None, Some("integer" | "number")) => json!(1),
            _ => json!("yes"),
        };
        content.insert(name.clone(), value);
    }
    content
}

/// The same call with one argument changed; `None` where there is none to change.
fn altered(tool: &NamedTool) -> Option<NamedTool> {
    let mut other = tool.clone();
    for value in other.arguments.values_mut() {
        match value {
            Value::String(text) => text.push_str(" (altered)"),
            Value::Number(number) => *value = json!(number.as_i64()?.checked_add(1)?),
            Value::Bool(yes) => *yes = !*yes,
            _ => continue,
        }
        return Some(other);
    }
    None
}

#[cfg(test)]
#[path = "bound_tests.rs"]
mod server_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_filled_with_consent_and_arguments_are_altered_once() {
        let schema = json!({
            "type": "object",
            "properties": {"confirm": {"type": "boolean"}, "why": {"type": "string"}, "how": {"type": "string", "enum": ["now"]}},
        });
        let content = form(Some(&schema));
        assert_eq!(Value::Object(content), json!({"confirm": true, "why": "yes", "how": "now"}));
        assert!(form(None).is_empty());

        let tool = |arguments: Value| NamedTool { tool: "t".into(), arguments: arguments.as_object().unwrap().clone() };
        let changed = |arguments: Value| altered(&tool(arguments)).map(|tool| Value::Object(tool.arguments));
        assert_eq!(changed(json!({"a": [], "b": "x", "c": "y"})), Some(json!({"a": [], "b": "x (altered)", "c": "y"})));
        assert_eq!(changed(json!({"n": 7})), Some(json!({"n": 8})));
        assert_eq!(changed(json!({"a": {}})), None);
    }
}
