//! Shows calls on standard error as they are recorded; for the demo.

use std::sync::Arc;

use async_trait::async_trait;
use sallyport_model::{
    AuditEvent, EventKind, Mark, Receipt, RecordError, Recorder,
    event::{CallFacts, OutcomeStatus},
};

/// A recorder that tells what it recorded.
pub struct Announce(pub Arc<dyn Recorder>);

#[async_trait]
impl Recorder for Announce {
    async fn record(&self, event: AuditEvent) -> Result<Receipt, RecordError> {
        let line = line(&event);
        let receipt = self.0.record(event).await?;
        if let Some(line) = line {
            anstream::eprintln!("{:>6}  {line}", receipt.index);
        }
        Ok(receipt)
    }

    fn ready(&self) -> Result<(), RecordError> {
        self.0.ready()
    }
}

fn line(event: &AuditEvent) -> Option<String> {
    let what = match event.kind {
        EventKind::CallClosed | EventKind::CallRefused => call(event.call.as_ref()?),
        EventKind::SignedIn => "signed in".to_owned(),
        EventKind::Consented => "gave consent".to_owned(),
        EventKind::TokenIssued => "got an access token".to_owned(),
        EventKind::ReplayDetected => "presented a spent code or token again; the grant is revoked".to_owned(),
        EventKind::Revoked => "had a token or grant revoked".to_owned(),
        _ => return None,
    };
    let who = event.who.as_ref().map_or_else(
        || "somebody".to_owned(),
        |who| {
            let mark = match who.mark() {
                Mark::Human => "human",
                Mark::Agent => "agent",
                Mark::AgentForHuman => "agent for a human",
            };
            format!("{mark} {}", who.subject.id().chars().take(8).collect::<String>())
        },
    );
    Some(format!("{who:<15} {what}{}", outcome(event)))
}

fn call(call: &CallFacts) -> String {
    let text = call.name.as_ref().map_or_else(|| call.method.clone(), |name| format!("{} {name}", call.method));
    plain(&text)
}

/// Names are the client's and the upstream's: none of them moves the cursor or changes the colour.
fn plain(text: &str) -> String {
    text.chars().take(100).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn outcome(event: &AuditEvent) -> String {
    let Some(outcome) = &event.outcome else { return String::new() };
    let word = match outcome.status {
        OutcomeStatus::Succeeded => "ok",
        OutcomeStatus::ToolFailed => "tool failed",
        OutcomeStatus::Errored => "error",
        OutcomeStatus::InputRequired => "asks for input",
        OutcomeStatus::Cancelled => "cancelled",
        OutcomeStatus::Refused => "refused",
        OutcomeStatus::UpstreamFailed => "upstream failed",
        OutcomeStatus::Unknown => "unknown",
    };
    let code =
        event.decision.as_ref().filter(|decision| !decision.allowed).map(|decision| format!(" ({})", decision.code));
    format!(": {word}{} in {:.1} ms", code.unwrap_or_default(), outcome.latency_us as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_name_writes_to_the_terminal_by_itself() {
        assert_eq!(plain("a\u{1b}[2K\rb"), "a\\u{1b}[2K\\rb");
        assert_eq!(plain("délai 名"), "délai 名");
    }
}
