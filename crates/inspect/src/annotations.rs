//! A tool's hints against what its name and first sentence say. Hints are claims; this finds the plain lies only.

use std::sync::LazyLock;

use regex::Regex;
use sallyport_mcp::{catalogue::Definition, methods::ListKind};
use serde_json::Value;

use crate::{
    excerpt,
    finding::{DetectorId, Finding, Severity},
};

/// Which of the four hints the upstream stated itself, and how (MCP schema, `ToolAnnotations`). A hint that is no
/// boolean counts as unstated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stated {
    /// `readOnlyHint`.
    pub read_only: Option<bool>,
    /// `destructiveHint`.
    pub destructive: Option<bool>,
    /// `idempotentHint`.
    pub idempotent: Option<bool>,
    /// `openWorldHint`.
    pub open_world: Option<bool>,
}

/// What the definition states, read from its raw form; nothing for what is no tool.
pub fn stated(definition: &Definition) -> Stated {
    let annotations = definition.raw.get("annotations").filter(|_| definition.kind == ListKind::Tools);
    let hint = |name: &str| annotations.and_then(|a| a.get(name)).and_then(Value::as_bool);
    Stated {
        read_only: hint("readOnlyHint"),
        destructive: hint("destructiveHint"),
        idempotent: hint("idempotentHint"),
        open_world: hint("openWorldHint"),
    }
}

/// Verbs that act, whatever they act upon.
const ACTS: [&str; 53] = [
    "delete",
    "drop",
    "destroy",
    "purge",
    "wipe",
    "erase",
    "truncate",
    "kill",
    "terminate",
    "uninstall",
    "revoke",
    "send",
    "email",
    "publish",
    "tweet",
    "transfer",
    "pay",
    "purchase",
    "buy",
    "refund",
    "charge",
    "withdraw",
    "write",
    "overwrite",
    "upload",
    "insert",
    "update",
    "edit",
    "modify",
    "rename",
    "upsert",
    "deploy",
    "grant",
    "ban",
    "invite",
    "cancel",
    "archive",
    "restart",
    "reboot",
    "shutdown",
    "approve",
    "assign",
    "install",
    "remove",
    "reply",
    "forward",
    "wire",
    "rm",
    "rmdir",
    "unlink",
    "mkdir",
    "chmod",
    "merge",
];
/// Verbs that act or only make something; they count when the description begins with one as well.
const MAY_ACT: [&str; 14] = [
    "create", "add", "set", "post", "save", "store", "reset", "move", "enable", "disable", "put", "patch", "append",
    "make",
];
/// Verbs that destroy.
const DESTROYS: [&str; 14] = [
    "delete",
    "drop",
    "destroy",
    "purge",
    "wipe",
    "erase",
    "truncate",
    "overwrite",
    "uninstall",
    "terminate",
    "kill",
    "rm",
    "rmdir",
    "unlink",
];
/// Verbs that only look.
const LOOKS: [&str; 39] = [
    "get",
    "list",
    "read",
    "search",
    "find",
    "fetch",
    "show",
    "describe",
    "check",
    "count",
    "query",
    "lookup",
    "view",
    "validate",
    "preview",
    "is",
    "has",
    "can",
    "explain",
    "compare",
    "calculate",
    "compute",
    "analyze",
    "analyse",
    "estimate",
    "status",
    "inspect",
    "verify",
    "retrieve",
    "summarize",
    "echo",
    "simulate",
    "lint",
    "test",
    "parse",
    "browse",
    "render",
    "format",
    "convert",
];

/// Acts on text or requests in hand change nothing outside ("Removes HTML tags from text", "Sends a query").
static IN_HAND: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^\W*[a-z]+ (?:(?:a|an|the|all|any|raw|simple|single|your|given|extra|leading|trailing|http|https|get|search|sql|read-only|graphql|api|sparql|dns|icmp) )*(?:request|query|queries|prompt|ping|question|ping|get|head|search|whitespaces?|duplicates?|stop ?words?|html|tags|markup|background|noise|accents|diacritics|formatting|markdown|punctuation|characters|text|string|words?|sentences?|prefix|suffix)\b",
    )
    .expect("a fixed pattern")
});

/// Whether the hints are plausible: `readOnlyHint: true` on what plainly acts, `destructiveHint: false` on what
/// plainly destroys. Unstated hints are never implausible.
///
/// # Errors
/// The finding, with the place of the hint.
pub fn plausible(definition: &Definition) -> Result<(), Finding> {
    let stated = stated(definition);
    let does = Does::of(definition);
    let finding = |detector, hint: &str, (verb, place): (&str, &str), why: &'static str| {
        let source =
            if place == "name" { &definition.key } else { definition.description.as_ref().unwrap_or(&definition.key) };
        let excerpt = format!("{hint}, {place} says {verb:?}: {}", excerpt::shown(source));
        let pointer = format!("/annotations/{}", hint.split(':').next().unwrap_or(hint));
        Finding { detector, severity: Severity::High, place: pointer, at: 0..0, excerpt, why: why.into() }
    };
    if stated.read_only == Some(true) {
        return match does.acts {
            Some(verb) => {
                let why = "it says that it only reads, and plainly acts";
                Err(finding(DetectorId::ReadOnlyImplausible, "readOnlyHint: true", (&verb.0, verb.1), why))
            }
            None => Ok(()),
        };
    }
    match does.destroys.filter(|_| stated.destructive == Some(false)) {
        Some(verb) => {
            let why = "it says that it destroys nothing, and plainly does";
            Err(finding(DetectorId::DestructiveImplausible, "destructiveHint: false", (&verb.0, verb.1), why))
        }
        None => Ok(()),
    }
}

/// The verb and where it stands.
type Verb = (String, &'static str);

struct Does {
    acts: Option<Verb>,
    destroys: Option<Verb>,
}

impl Does {
    fn of(definition: &Definition) -> Self {
        let description = definition.description.as_deref().unwrap_or_default();
        let first = first_verb(description).filter(|_| !IN_HAND.is_match(description));
        let says = |verbs: &[&str]| first.clone().filter(|verb| verbs.contains(&verb.as_str()));
        let names = verbs_of_name(&definition.key);
        let named = |verbs: &[&str]| names.iter().find(|verb| verbs.contains(&verb.as_str())).cloned();
        // A description about things in hand excuses the name, too.
        let in_hand = IN_HAND.is_match(description);
        let by_name = |verbs: &[&str]| named(verbs).filter(|_| !in_hand).map(|verb| (verb, "name"));
        let by_text = |verbs: &[&str]| says(verbs).map(|verb| (verb, "description"));
        let made = named(&MAY_ACT).and_then(|_| says(&MAY_ACT)).map(|verb| (verb, "description"));
        Self {
            acts: by_name(&ACTS).or_else(|| by_text(&ACTS)).or(made),
            destroys: by_name(&DESTROYS).or_else(|| by_text(&DESTROYS)),
        }
    }
}

/// The verbs that a name consists of: the first one, and those joined to it by "and" or "or".
fn verbs_of_name(name: &str) -> Vec<String> {
    let words = words(name);
    let is_verb = |word: &str| [&ACTS[..], &MAY_ACT, &LOOKS].iter().any(|verbs| verbs.contains(&word));
    let mut verbs = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let joined = i > 0 && matches!(words[i - 1].as_str(), "and" | "or");
        if is_verb(word) && (verbs.is_empty() || joined) {
            verbs.push(word.clone());
        }
    }
    verbs
}

/// The lower-case words of a name in snake, kebab, dotted or camel case.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase() || c.is_numeric();
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The verb that a description begins with, in its base form.
fn first_verb(description: &str) -> Option<String> {
    const LEADS: [&str; 9] =
        ["permanently", "irreversibly", "immediately", "this", "tool", "will", "can", "safely", "irrevocably"];
    let lower: String = description.chars().take(120).collect::<String>().to_lowercase();
    let word =
        lower.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).take(6).find(|w| !LEADS.contains(w))?;
    Some(base(word))
}

fn base(word: &str) -> String {
    let known = |word: &str| ACTS.contains(&word) || MAY_ACT.contains(&word) || LOOKS.contains(&word);
    let candidates = [
        Some(word.to_owned()),
        word.strip_suffix('s').map(str::to_owned),
        word.strip_suffix("es").map(str::to_owned),
        word.strip_suffix("ies").map(|stem| format!("{stem}y")),
    ];
    candidates.into_iter().flatten().find(|word| known(word)).unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, description: &str, annotations: Value) -> Definition {
        let raw = json!({"name": name, "description": description, "inputSchema": {"type": "object"}, "annotations": annotations});
        Definition::read(ListKind::Tools, raw).expect("a tool")
    }

    #[test]
    fn plain_lies_are_found() {
        for (name, description) in [
            ("delete_user", "Deletes a user account."),
            ("send_email", "Sends an email to a recipient"),
            ("github_merge_pull_request", ""),
            ("searchAndDelete", "Finds records"),
            ("account_ops", "Permanently deletes the account."),
            ("write_file", "Create or overwrite a file"),
            ("create_issue", "Creates a new issue in the repository"),
            ("wire.transfer", "Moves money"),
            ("post_message", "Posts a message to a channel"),
        ] {
            let tool = tool(name, description, json!({"readOnlyHint": true}));
            let finding = plausible(&tool).expect_err(name);
            assert_eq!(
                (finding.detector, finding.place.as_str()),
                (DetectorId::ReadOnlyImplausible, "/annotations/readOnlyHint")
            );
        }
        let wipe = tool("wipe_disk", "Wipes it", json!({"destructiveHint": false}));
        assert_eq!(plausible(&wipe).expect_err("lie").detector, DetectorId::DestructiveImplausible);
    }

    #[test]
    fn honest_and_doubtful_hints_pass() {
        for (name, description) in [
            ("get_user", "Returns a user"),
            ("list_deleted_items", "Lists deleted items"),
            ("check_delete_permission", "Tells whether a delete would be allowed"),
            ("get_write_status", "Status of the last write"),
            ("remove_stopwords", "Removes stop words from text"),
            ("send_query", "Sends a query to the search engine and returns its results"),
            ("create_chart", "Renders a chart"),
            ("send_http_request", "Send an HTTP GET request"),
            ("search_updates", "Searches for updates"),
            ("gzip-file-as-resource", "Compresses a single file using gzip compression."),
        ] {
            assert_eq!(plausible(&tool(name, description, json!({"readOnlyHint": true}))), Ok(()), "{name}");
        }
        assert_eq!(plausible(&tool("delete_user", "Deletes", json!({}))), Ok(()), "unstated");
        assert_eq!(plausible(&tool("delete_user", "Deletes", json!({"readOnlyHint": "true"}))), Ok(()), "no boolean");
        assert_eq!(plausible(&tool("delete_user", "Deletes", json!({"destructiveHint": true}))), Ok(()));
    }

    #[test]
    fn what_is_stated_is_told_from_defaults() {
        let tool = tool("a", "", json!({"readOnlyHint": false, "openWorldHint": 1}));
        assert_eq!(stated(&tool), Stated { read_only: Some(false), ..Stated::default() });
    }
}
