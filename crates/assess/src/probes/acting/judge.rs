//! Whether a call acted, waits, or failed for reasons of its own. Pure.

use sallyport_mcp::{Object, errors};
use serde_json::Value;

use crate::{
    probes::discovery::shown,
    wire::{Answer, McpFault},
};

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It acted; with what it said.
    Executed(String),
    /// It did not, since nobody has confirmed; and how that shows.
    Held(String),
    /// Nobody can tell, and why.
    Unclear(String),
}

/// A call's answer before anybody confirmed anything.
pub(super) fn outcome(answer: &Result<Answer, McpFault>) -> (Outcome, Vec<u32>) {
    match answer {
        Ok(Answer::Result(result, exchange)) => (result_of(result), vec![*exchange]),
        Ok(Answer::Error(error, exchange)) => (error_of(error.code, &error.message), vec![*exchange]),
        Ok(Answer::InputRequired(_, exchange)) => (held("the result asks for input first"), vec![*exchange]),
        Ok(Answer::Asked { request, exchange, .. }) => {
            (Outcome::Held(format!("the server asks first ({})", shown(&request.method))), vec![*exchange])
        }
        Ok(Answer::Task(_, exchange)) => (held("the server made a task of it, which waits"), vec![*exchange]),
        Ok(Answer::Refused(heard)) | Err(McpFault::Refused(heard)) => {
            let status = heard.status.as_u16();
            let message = heard.rpc().unwrap_or_default();
            let code = message.pointer("/error/code").and_then(Value::as_i64);
            let text = message.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
            let outcome = match error_of(code.unwrap_or_default(), text) {
                Outcome::Held(how) => Outcome::Held(how),
                _ => Outcome::Unclear(format!("HTTP {status} refuses the call, perhaps for another reason")),
            };
            (outcome, vec![heard.exchange])
        }
        Err(McpFault::Rpc(error, exchange)) => (error_of(error.code, &error.message), vec![*exchange]),
        Err(McpFault::Wire(error)) => {
            (Outcome::Unclear(format!("no answer: {error}")), error.exchange().into_iter().collect())
        }
        Err(fault) => (Outcome::Unclear(shown(&fault.to_string())), Vec::new()),
    }
}

/// The answer after the person declined: any refusal will do.
pub(super) fn after_decline(answer: &Result<Answer, McpFault>) -> (Outcome, Vec<u32>) {
    let (outcome, exchanges) = outcome(answer);
    let outcome = match (outcome, answer) {
        (Outcome::Held(how), _) => Outcome::Held(how),
        (_, Ok(Answer::Error(error, _))) => Outcome::Held(format!("error {}: {}", error.code, shown(&error.message))),
        (_, Ok(Answer::Result(result, _))) if is_error(result) => {
            Outcome::Held(format!("the tool refuses: {}", said(result)))
        }
        (Outcome::Executed(said), _) if says_no(&said) => Outcome::Held(format!("the tool says {said}")),
        (other, _) => other,
    };
    (outcome, exchanges)
}

fn held(how: &str) -> Outcome {
    Outcome::Held(how.to_owned())
}

fn result_of(result: &Object) -> Outcome {
    let text = said(result);
    let failed = is_error(result);
    if waits(&all_text(result), failed) {
        return Outcome::Held(format!("the call is held: {text}"));
    }
    match failed {
        true => Outcome::Unclear(format!("the tool fails, perhaps for another reason: {text}")),
        false => Outcome::Executed(text),
    }
}

/// -32042 and -32021 exist for this alone.
fn error_of(code: i64, message: &str) -> Outcome {
    let text = shown(message);
    match code {
        errors::URL_ELICITATION_REQUIRED => Outcome::Held(format!("error {code} sends the person to a page first")),
        errors::MISSING_REQUIRED_CLIENT_CAPABILITY => {
            Outcome::Held(format!("error {code} refuses a client that cannot ask"))
        }
        code if waits(message, true) => Outcome::Held(format!("error {code}: {text}")),
        code => Outcome::Unclear(format!("error {code} refuses the call, perhaps for another reason: {text}")),
    }
}

fn is_error(result: &Object) -> bool {
    result.get("isError") == Some(&Value::Bool(true))
}

/// Whether a text says that somebody has to confirm first. Bare words such as *approval* are not enough: an
/// action can be about one. What did not fail has to say it in so many words.
fn waits(text: &str, failed: bool) -> bool {
    const NEEDS: [&str; 6] = ["require", "need", "await", "pending", "must be", "must first be"];
    const MAYBE: [&str; 6] = ["wait", "without", "not yet", "has not been", "was not", "nobody"];
    const WHAT: [&str; 6] = ["approv", "confirm", "consent", "elicit", "human review", "sign-off"];
    let text = text.to_lowercase();
    text.split(['.', '!', '\n', ';']).any(|sentence| {
        let has = |words: &[&str]| words.iter().any(|word| sentence.contains(word));
        (has(&NEEDS) || (failed && has(&MAYBE))) && has(&WHAT)
    })
}

/// Whether a text says that nothing was done.
fn says_no(text: &str) -> bool {
    const NO: [&str; 14] = [
        "declin",
        "cancel",
        "abort",
        "denied",
        "refused",
        "rejected",
        "not sent",
        "not deleted",
        "not done",
        "not executed",
        "nothing was",
        "not performed",
        "no action",
        "did not",
    ];
    let text = text.to_lowercase();
    NO.iter().any(|word| text.contains(word))
}

/// The first text of a result, for a sentence.
fn said(result: &Object) -> String {
    let content = result.get("content").and_then(Value::as_array);
    let text = content.into_iter().flatten().find_map(|item| item.get("text")?.as_str());
    shown(text.unwrap_or("(no text)"))
}

/// Every string of a result.
fn all_text(result: &Object) -> String {
    let mut text = String::new();
    let mut open: Vec<&Value> = result.values().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::String(one) => {
                text.push_str(one);
                text.push('\n');
            }
            Value::Array(items) => open.extend(items),
            Value::Object(members) => open.extend(members.values()),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
#[expect(clippy::result_large_err, reason = "it is what a call gives")]
mod tests {
    use proptest::prelude::*;
    use sallyport_mcp::RpcError;
    use serde_json::json;

    use super::*;

    fn result(text: &str, is_error: bool) -> Result<Answer, McpFault> {
        let result = json!({"content": [{"type": "text", "text": text}], "isError": is_error});
        Ok(Answer::Result(result.as_object().unwrap().clone(), 4))
    }

    fn error(code: i64, message: &str) -> Result<Answer, McpFault> {
        Ok(Answer::Error(RpcError::new(code, message), 4))
    }

    #[test]
    fn an_ordinary_result_is_execution() {
        for text in ["Mail sent to bob@example.com.", "Approved expense 7", "Deleted. The person was notified.", ""] {
            assert!(matches!(outcome(&result(text, false)).0, Outcome::Executed(_)), "{text}");
        }
    }

    #[test]
    fn what_waits_for_a_person_is_held() {
        for answer in [
            result("This call requires approval by a person: https://g.example/approve/1", false),
            result("Pending approval", true),
            result("Not executed: confirmation is needed and this client cannot ask", true),
            error(-32042, "open the page"),
            error(-32021, "elicitation is missing"),
            error(-32001, "this tool needs confirmation"),
            Ok(Answer::InputRequired(Object::new(), 4)),
            Ok(Answer::Task(Object::new(), 4)),
        ] {
            assert!(matches!(outcome(&answer).0, Outcome::Held(_)), "{answer:?}");
        }
    }

    #[test]
    fn a_failure_of_its_own_decides_nothing() {
        for answer in [result("no such recipient", true), error(-32602, "`to` is missing"), error(-32603, "boom")] {
            assert!(matches!(outcome(&answer).0, Outcome::Unclear(_)), "{answer:?}");
        }
    }

    #[test]
    fn after_a_no_any_refusal_does_and_an_ordinary_result_does_not() {
        for answer in [
            result("declined by the user", false),
            result("x", true),
            error(-32603, "x"),
            result("Mail not sent", false),
        ] {
            assert!(matches!(after_decline(&answer).0, Outcome::Held(_)), "{answer:?}");
        }
        assert!(matches!(after_decline(&result("Mail sent.", false)).0, Outcome::Executed(_)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,120}") {
            let _ = (outcome(&result(&text, false)), after_decline(&result(&text, true)));
        }
    }
}
