//! Whether an action waits for a person, by a tool that the operator named for it.
//!
//! On a server that asks nobody the tool acts, as often as it is called here; on one that asks, only where a
//! question is accepted to see whether its answer can be used twice or for something else. No other tool is
//! called.

mod bound;
mod judge;

use sallyport_mcp::Object;
use sallyport_model::assessment::CheckResult;
use serde_json::json;

use self::{bound::Tried, judge::Outcome};
use super::{definitions::credential, discovery::shown};
use crate::{
    access::NamedTool,
    bench::{Bench, Target},
    wire::{Answer, ConnectOptions, EraChoice, McpClient, Reply},
};

const HELD: &str = "action-held";
const CLOSED: &str = "action-fails-closed";
const BOUND: &str = "confirmation-bound";
const ERAS: [EraChoice; 2] = [EraChoice::Legacy, EraChoice::Modern];

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    if matches!(bench.target, Target::Answers(_)) {
        return;
    }
    let Some(tool) = &bench.access.acting else {
        for check in [HELD, CLOSED, BOUND] {
            bench.findings.unseen(check, format!("it takes {}", crate::check::Needs::ActingTool), &[]);
        }
        return;
    };
    for era in ERAS {
        held(bench, tool, era).await;
    }
    for era in ERAS {
        cannot_ask(bench, tool, era).await;
    }
    match bench.findings.result(HELD) {
        Some(CheckResult::Pass) => bound(bench, tool).await,
        _ => bench.findings.unseen(BOUND, "no call was seen that waits for a confirmation", &[]),
    }
}

fn params(tool: &NamedTool) -> Object {
    json!({"name": tool.tool, "arguments": tool.arguments}).as_object().cloned().unwrap_or_default()
}

/// A connection in `era`; `None` when the server does not speak it.
async fn connect(bench: &Bench, check: &'static str, era: EraChoice, elicitation: bool) -> Option<McpClient> {
    let options = ConnectOptions { era, elicitation, plain: true };
    match McpClient::connect(bench, check, credential(bench), options).await {
        Ok(client) => Some(client),
        Err(fault) => {
            bench.findings.unseen(check, shown(&format!("no connection: {fault}")), &[]);
            None
        }
    }
}

/// `action-held`; and of `action-fails-closed`, the person who declines.
async fn held(bench: &Bench, tool: &NamedTool, era: EraChoice) {
    let Some(mut client) = connect(bench, HELD, era, true).await else { return };
    let answer = client.call(HELD, "tools/call", params(tool)).await;
    let (outcome, exchanges) = judge::outcome(&answer);
    match &outcome {
        Outcome::Executed(how) => {
            bench.findings.fail(HELD, format!("the call went through without a question: {how}"), &exchanges)
        }
        Outcome::Held(how) => bench.findings.pass(HELD, how.as_str(), &exchanges),
        Outcome::Unclear(why) => bench.findings.unseen(HELD, why.as_str(), &exchanges),
    }
    if let (Outcome::Held(_), Ok(answer)) = (&outcome, answer) {
        declined(bench, tool, &mut client, answer).await;
    }
    client.close().await;
}

/// The person says no.
async fn declined(bench: &Bench, tool: &NamedTool, client: &mut McpClient, answer: Answer) {
    let after = match answer {
        Answer::Asked { pending, .. } => client.answer_ask(CLOSED, pending, Reply::Decline).await,
        Answer::InputRequired(required, _) => {
            client.answer_input(CLOSED, "tools/call", params(tool), &required, Reply::Decline).await
        }
        // What is held elsewhere cannot be declined from here.
        _ => return,
    };
    let (outcome, exchanges) = judge::after_decline(&after);
    match outcome {
        Outcome::Executed(how) => bench.findings.fail(CLOSED, format!("declined, and yet: {how}"), &exchanges),
        Outcome::Held(how) => bench.findings.pass(CLOSED, format!("declined: {how}"), &exchanges),
        Outcome::Unclear(why) => bench.findings.unseen(CLOSED, format!("declined: {why}"), &exchanges),
    }
}

/// `action-fails-closed`: a client that has no way to ask.
async fn cannot_ask(bench: &Bench, tool: &NamedTool, era: EraChoice) {
    let Some(mut client) = connect(bench, CLOSED, era, false).await else { return };
    let answer = client.call(CLOSED, "tools/call", params(tool)).await;
    let (outcome, exchanges) = judge::outcome(&answer);
    let who = "a client that cannot ask";
    match outcome {
        Outcome::Executed(how) => {
            bench.findings.fail(CLOSED, format!("the call of {who} went through: {how}"), &exchanges)
        }
        Outcome::Held(how) => bench.findings.pass(CLOSED, format!("{who}: {how}"), &exchanges),
        Outcome::Unclear(why) => bench.findings.unseen(CLOSED, format!("{who}: {why}"), &exchanges),
    }
    client.close().await;
}

/// `confirmation-bound`: whether what one person confirmed once serves another call, in both eras.
async fn bound(bench: &Bench, tool: &NamedTool) {
    let mut exchanges = Vec::new();
    for era in ERAS {
        let options = ConnectOptions { era, elicitation: true, plain: true };
        let Ok(mut client) = McpClient::connect(bench, BOUND, credential(bench), options).await else { continue };
        let tried = match client.is_modern() {
            true => bound::modern(&mut client, tool, &mut exchanges).await,
            false => bound::legacy(&mut client, tool, &mut exchanges).await,
        };
        match tried {
            Ok(observed) => bench.findings.pass(BOUND, observed, &exchanges),
            Err(Tried::Taken(what)) => bench.findings.fail(BOUND, what, &exchanges),
            Err(Tried::NotTried(why)) => bench.findings.unseen(BOUND, why, &exchanges),
        }
        client.close().await;
    }
    if bench.findings.result(BOUND).is_none() {
        bench.findings.unseen(BOUND, "no connection in either era", &[]);
    }
}
