//! What can be read beside the tools: a handbook, a template over tickets, one prompt, and the
//! completion of their arguments.

use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, ErrorData, GetPromptResult, JsonObject, Prompt,
    PromptArgument, PromptMessage, Reference, Resource, ResourceContents, ResourceTemplate, Role,
};

use crate::desk::Desk;

const HANDBOOK: &str = "desk://handbook";
const TICKET: &str = "desk://tickets/{number}";
const REPLY: &str = "reply_to_ticket";
const TONES: [&str; 3] = ["friendly", "formal", "short"];

pub(crate) fn resources() -> Vec<Resource> {
    vec![
        Resource::new(HANDBOOK, "handbook")
            .with_title("Help desk handbook")
            .with_description("How this desk answers tickets.")
            .with_mime_type("text/markdown"),
    ]
}

pub(crate) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new(TICKET, "ticket")
            .with_title("Ticket")
            .with_description("One support ticket as JSON.")
            .with_mime_type("application/json"),
    ]
}

pub(crate) fn prompts() -> Vec<Prompt> {
    let number = PromptArgument::new("number").with_description("The ticket's number").with_required(true);
    let tone = PromptArgument::new("tone").with_description("friendly, formal or short").with_required(false);
    vec![
        Prompt::new(REPLY, Some("Draft a reply to a ticket."), Some(vec![number, tone]))
            .with_title("Reply to a ticket"),
    ]
}

/// Reads `uri`, or -32002 (-32602 for a 2026-07-28 client, as `rmcp` maps it).
pub(crate) fn read(desk: &Desk, uri: &str) -> Result<ResourceContents, ErrorData> {
    let missing = || ErrorData::resource_not_found(format!("There is no resource {uri}"), None);
    if uri == HANDBOOK {
        let text = "# Handbook\n\nAnswer within a day. Never quote one customer's ticket to another.\n";
        return Ok(ResourceContents::text(text, uri).with_mime_type("text/markdown"));
    }
    let number = uri.strip_prefix("desk://tickets/").and_then(|n| n.parse().ok()).ok_or_else(missing)?;
    let ticket = desk.ticket(number).map_err(|_| missing())?;
    let json = serde_json::to_string_pretty(ticket).map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
    Ok(ResourceContents::text(json, uri).with_mime_type("application/json"))
}

pub(crate) fn prompt(desk: &Desk, name: &str, arguments: Option<&JsonObject>) -> Result<GetPromptResult, ErrorData> {
    if name != REPLY {
        return Err(ErrorData::invalid_params(format!("There is no prompt {name}"), None));
    }
    let argument = |name| arguments.and_then(|arguments| arguments.get(name)).and_then(|value| value.as_str());
    let number = argument("number")
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| ErrorData::invalid_params("`number` must be a ticket's number", None))?;
    let ticket = desk.ticket(number).map_err(|sentence| ErrorData::invalid_params(sentence, None))?;
    let tone = argument("tone").unwrap_or(TONES[0]);
    let text = format!("Draft a {tone} reply to this ticket.\n\nSubject: {}\n\n{}", ticket.subject, ticket.body);
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).with_description("A reply to a ticket"))
}

pub(crate) fn complete(desk: &Desk, request: &CompleteRequestParams) -> Result<CompleteResult, ErrorData> {
    let known = match &request.r#ref {
        Reference::Prompt(prompt) => prompt.name == REPLY,
        Reference::Resource(template) => template.uri == TICKET,
        _ => false,
    };
    let candidates: Vec<String> = match request.argument.name.as_str() {
        _ if !known => return Err(ErrorData::invalid_params("There is no such prompt or template", None)),
        "number" => desk.tickets.keys().map(u32::to_string).collect(),
        "tone" => TONES.map(str::to_owned).to_vec(),
        _ => Vec::new(),
    };
    let fits = candidates.into_iter().filter(|candidate| candidate.starts_with(&request.argument.value)).collect();
    let completion = CompletionInfo::with_all_values(fits).map_err(|e| ErrorData::internal_error(e, None))?;
    Ok(CompleteResult::new(completion))
}
