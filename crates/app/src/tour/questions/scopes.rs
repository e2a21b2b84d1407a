//! Question 4: scopes.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::{
    Tour,
    answer::Answer,
    client::{Tokens, text, words},
    mcp::{result_status, result_text},
};

/// Puts it.
pub async fn ask(tour: &mut Tour<'_>, answer: &mut Answer) -> Result<()> {
    let every = tour.every_scope();
    let all = tour.ann(&every).await?;
    let read = tour.ann(&tour.client.first_scope()).await?;
    let (shown, total) = (tour.mcp.tools(&read).await?, tour.mcp.tools(&all).await?);
    documented(tour, answer, &total);
    answer.core(
        "a token shows the tools that it may call and no others",
        !shown.is_empty() && shown.len() < total.len(),
        format!("{} of {} tools with `{}`", shown.len(), total.len(), text(&read.answer, "scope")),
    );
    let needed = refused(tour, answer, &read).await?;
    stepped_up(tour, answer, &needed).await?;
    let foreign = format!("{}-other", tour.client.resource());
    let (url, _) = tour.client.request(&tour.client.first_scope(), &[("resource", Some(&foreign))])?;
    let page = tour.browser.open(url).await?;
    let back = page.reply.header("location").parse().map(|url| super::super::client::parameters(&url));
    let error = back.map(|back| text(&back, "error")).unwrap_or_default();
    answer.saw("a token is asked for one known resource (RFC 8707)", error == "invalid_target", error.clone());
    answer.lacks("a tenant administrator narrows scopes, tools and arguments in a console");
    answer.lacks("policies over principal, tool and arguments (Cedar)");
    let verb = if super::super::has_verb("policy") { "the verb is not played yet" } else { "there is no such verb" };
    answer.lacks(format!("`sallyport policy` with its simulator: {verb}"));
    Ok(())
}

fn documented(tour: &Tour<'_>, answer: &mut Answer, total: &[Value]) {
    let scopes = words(&tour.client.resource_metadata["scopes_supported"]);
    let named = |tool: &Value| {
        let name = text(tool, "name");
        scopes.iter().any(|scope| scope.split_once(':').is_some_and(|(_, right)| right == name))
    };
    let count = total.iter().filter(|tool| named(tool)).count();
    answer.saw(
        "every tool has a scope of its own, in the metadata",
        count == total.len() && count > 0,
        format!("{count} of {} tools, {} scopes", total.len(), scopes.len()),
    );
    let first = tour.client.first_scope();
    answer.saw("the first challenge asks for little", first.ends_with(":read"), format!("`{first}`"));
}

async fn refused(tour: &Tour<'_>, answer: &mut Answer, read: &Tokens) -> Result<String> {
    let reply = tour.mcp.tool(read, "add_note", json!({"number": 1042, "text": "by the tour"})).await?;
    let (error, needed) = (reply.challenge("error"), reply.challenge("scope").unwrap_or_default());
    answer.core(
        "a tool beyond the token is refused, with the scope to ask for",
        reply.status == 403 && error.as_deref() == Some("insufficient_scope") && !needed.is_empty(),
        format!("add_note: {} {}, scope `{needed}`", reply.status, error.unwrap_or_default()),
    );
    Ok(needed)
}

async fn stepped_up(tour: &mut Tour<'_>, answer: &mut Answer, needed: &str) -> Result<()> {
    let more = tour.ann(needed).await?;
    let note = json!({"number": 1042, "text": "by the tour"});
    let modern = tour.mcp.tool(&more, "add_note", note.clone()).await?;
    let worked = modern.status == 200 && modern.json()["result"]["isError"] != true && !result_text(&modern).is_empty();
    answer.saw("after stepping up, that tool works", worked, format!("add_note: {}", result_status(&modern)));
    let session = tour.mcp.session(&more).await?;
    let legacy = tour.mcp.tool_in(&session, &more, "add_note", note).await?;
    tour.mcp.end(&session, &more).await?;
    let works = legacy.status == 200 && legacy.json()["result"]["isError"] != true && !result_text(&legacy).is_empty();
    answer.saw(
        "so it does in a session of the older protocol",
        works,
        format!("{}: {}", session.version, result_status(&legacy)),
    );
    let other = tour.mcp.tool(&more, "delete_customer", json!({"id": "c-0"})).await?;
    answer.core("and no other tool with it", other.status == 403, format!("delete_customer: {}", other.status));
    Ok(())
}
