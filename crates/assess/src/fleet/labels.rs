//! What a tool could be part of: reading what strangers wrote, reading what is secret, sending something out.
//!
//! A guess from names, descriptions and hints, so it is made on the careful side: a tool that says nothing of
//! itself is taken to act on an open world, as the specification's defaults say. An administrator's labels
//! in the gate are facts; these are not.

use sallyport_mcp::catalogue::Definition;
use sallyport_mcp::methods::ListKind;
use serde::Serialize;

/// What a tool could be part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Labels {
    /// It brings in text that a stranger may have written.
    pub untrusted: bool,
    /// It reads what is not public.
    pub sensitive: bool,
    /// It can carry something out of the organisation.
    pub outbound: bool,
}

const STRANGERS: &[&str] = &[
    "web",
    "url",
    "http",
    "browse",
    "crawl",
    "scrape",
    "search",
    "email",
    "mail",
    "inbox",
    "ticket",
    "issue",
    "comment",
    "review",
    "feed",
    "rss",
    "message",
    "chat",
    "slack",
    "page",
    "download",
    "fetch",
    "pull request",
    "forum",
    "tweet",
];
const SECRETS: &[&str] = &[
    "file",
    "directory",
    "database",
    "sql",
    "query",
    "customer",
    "account",
    "secret",
    "credential",
    "password",
    "token",
    "key",
    "env",
    "private",
    "repository",
    "document",
    "drive",
    "calendar",
    "contact",
    "invoice",
    "payment",
    "employee",
    "note",
    "memory",
    "record",
    "user",
    "email",
    "mail",
    "inbox",
    "ticket",
    "message",
];
const SENDING: &[&str] = &[
    "send",
    "post",
    "publish",
    "upload",
    "share",
    "reply",
    "comment",
    "create issue",
    "create_issue",
    "tweet",
    "notify",
    "webhook",
    "email",
    "mail",
    "http",
    "url",
    "fetch",
    "request",
    "push",
    "commit",
    "invite",
    "forward",
    "exec",
    "shell",
    "command",
    "run",
];

/// Labels one definition. Prompts have none: a person chooses them.
pub fn label(definition: &Definition) -> Labels {
    let hints = definition.annotations;
    match definition.kind {
        ListKind::Prompts => Labels::default(),
        ListKind::Resources | ListKind::ResourceTemplates => {
            let remote = definition.key.starts_with("http");
            Labels { untrusted: remote, sensitive: !remote, outbound: false }
        }
        ListKind::Tools => {
            let words = words(definition);
            let reads_world = hints.open_world && mentions(&words, STRANGERS);
            // A URL that the caller chooses carries data out even where the tool only reads.
            let sends = mentions(&words, SENDING) && (hints.open_world || !hints.read_only);
            Labels { untrusted: reads_world, sensitive: mentions(&words, SECRETS), outbound: sends }
        }
    }
}

fn words(definition: &Definition) -> String {
    let mut text = spaced(&definition.key);
    for part in [&definition.title, &definition.description].into_iter().flatten() {
        text.push(' ');
        text.push_str(&part.chars().take(400).collect::<String>().to_lowercase());
    }
    let properties = definition.input_schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    for name in properties.into_iter().flatten().map(|(name, _)| name) {
        text.push(' ');
        text.push_str(&spaced(name));
    }
    text
}

/// `readFile_now` becomes `read file now`.
fn spaced(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if c.is_uppercase() || !c.is_alphanumeric() {
            out.push(' ');
        }
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        }
    }
    out
}

fn mentions(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| {
        text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after: String = text[at + word.len()..].chars().take_while(|c| c.is_alphanumeric()).collect();
            before.is_none_or(|c| !c.is_alphanumeric()) && matches!(after.as_str(), "" | "s" | "es" | "ing" | "ed")
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, description: &str, hints: serde_json::Value) -> Labels {
        let raw =
            json!({"name": name, "description": description, "inputSchema": {"type": "object"}, "annotations": hints});
        label(&Definition::read(ListKind::Tools, raw).unwrap())
    }

    #[test]
    fn names_and_hints_decide() {
        let mail = tool("send_email", "Sends a message", json!({}));
        assert!(mail.outbound);
        let files =
            tool("readFile", "Reads a file below a folder", json!({"readOnlyHint": true, "openWorldHint": false}));
        assert_eq!(files, Labels { untrusted: false, sensitive: true, outbound: false });
        let web = tool("fetch", "Fetches a page of the web", json!({"readOnlyHint": true}));
        assert!(web.untrusted && web.outbound);
        let sum = tool("add", "Adds two numbers", json!({"readOnlyHint": true}));
        assert_eq!(sum, Labels::default());
        assert!(!tool("monkey", "A profile of a webbed keyboard", json!({})).sensitive);
    }
}
