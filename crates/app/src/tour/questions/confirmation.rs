//! Question 9: a person's word before calls that cannot be taken back.

use anyhow::Result;
use sallyport_demo::Access;
use serde_json::{Value, json};

use super::super::{
    Tour,
    answer::Answer,
    client::Tokens,
    client::text,
    mcp::{held_back, result_text},
};

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let every = tour.every_scope();
    let all = tour.ann(&every).await?;
    let read = tour.ann(&tour.client.first_scope()).await?;
    let (tools, harmless) = (tour.mcp.tools(&all).await?, tour.mcp.tools(&read).await?);
    told_apart(answer, &tools, &harmless);
    deleting(tour, answer, &all).await?;
    reaching_out(tour, answer, &all).await?;
    answer.lacks("confirmation by a person, in the client (elicitation) or on the gate's own page, single use, bound to the call");
    answer.lacks("which calls need it, set by a tenant's administrator; a second pair of eyes");
    Ok(())
}

fn told_apart(answer: &mut Answer, tools: &[Value], harmless: &[Value]) {
    let hint = |tool: &Value, name: &str| tool["annotations"][name].as_bool();
    let marked =
        tools.iter().filter(|tool| hint(tool, "readOnlyHint").is_some() && hint(tool, "destructiveHint").is_some());
    let marked = marked.count();
    answer.saw(
        "the client sees which tools read and which destroy",
        marked == tools.len() && marked > 0,
        format!("{marked} of {} tools carry both annotations", tools.len()),
    );
    let reading = tools.iter().filter(|tool| hint(tool, "readOnlyHint") == Some(true)).count();
    let only = harmless.iter().all(|tool| hint(tool, "readOnlyHint") == Some(true));
    answer.saw(
        "the reading scope holds the reading tools and nothing else",
        only && harmless.len() == reading && reading > 0,
        format!("{} tools, {reading} are marked as reading", harmless.len()),
    );
}

async fn deleting(tour: &Tour<'_>, answer: &mut Answer, all: &Tokens) -> Result<()> {
    let found = tour.mcp.tool(all, "search_customers", json!({"text": ""})).await?;
    let customers = found.json()["result"]["structuredContent"]["customers"].clone();
    let victim = text(&customers[0], "id");
    anyhow::ensure!(!victim.is_empty(), "search_customers answered {} without a customer", found.status);
    let reply = tour.mcp.tool(all, "delete_customer", json!({"id": victim})).await?;
    let there = tour.running.desk.desk().customers.contains_key(&victim);
    let word = if there { "is still there" } else { "is gone, and nobody was asked" };
    answer.core(
        "deleting a customer waits for a person",
        there && held_back(&reply),
        format!("{} `{}`; {victim} {word}", reply.status, result_text(&reply)),
    );
    Ok(())
}

async fn reaching_out(tour: &Tour<'_>, answer: &mut Answer, all: &Tokens) -> Result<()> {
    let before = tour.running.desk.desk().outbox.len();
    let mail = json!({"to": "a@customer.example", "subject": "tour", "body": "tour"});
    let sent = tour.mcp.tool(all, "send_mail", mail).await?;
    let now = tour.running.desk.desk().outbox.len() - before;
    answer.core("sending a mail waits", now == 0 && held_back(&sent), format!("{}; {now} mail(s) sent", sent.status));
    let staff = "tour@demo.example";
    let granted = tour.mcp.tool(all, "grant_access", json!({"email": staff, "access": Access::Viewer})).await?;
    let has = tour.running.desk.desk().access.contains_key(staff);
    let word = if has { "access was given" } else { "none was given" };
    answer.core("giving access waits", !has && held_back(&granted), format!("{}; {word}", granted.status));
    let exported = tour.mcp.tool(all, "export_customers", json!({})).await?;
    let rows = result_text(&exported).lines().skip(1).count();
    answer.saw(
        "exporting all customers waits",
        rows == 0 && held_back(&exported),
        format!("{}; {rows} customers handed out", exported.status),
    );
    Ok(())
}
