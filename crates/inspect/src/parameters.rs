//! Parameters made to carry out what a tool has no business with. Looks at input schemas only.

use sallyport_mcp::catalogue::Definition;
use serde_json::Value;

use crate::{
    excerpt,
    finding::{
        DetectorId::SuspiciousParameter,
        Finding, Findings, Severity,
        Severity::{High, Low, Medium},
    },
    phrases, text,
};

/// Names that serve nothing else.
const SIDE_CHANNELS: [&str; 8] =
    ["sidenote", "side_note", "hidden_note", "exfil", "secret_note", "hidden_context", "internal_note_to_ai", "stolen"];
/// Names of what the model knows and the tool should not ask for.
const KNOWLEDGE: [&str; 22] = [
    "conversation_history",
    "conversation",
    "chat_history",
    "full_conversation",
    "conversation_context",
    "message_history",
    "previous_messages",
    "chat_log",
    "chat_transcript",
    "system_prompt",
    "systemprompt",
    "chain_of_thought",
    "tool_call_history",
    "tools_list",
    "available_tools",
    "all_tools",
    "user_prompt",
    "original_prompt",
    "user_query_verbatim",
    "conversation_summary",
    "full_context",
    "prior_tool_results",
];
/// Names that are ordinary until their description asks for the conversation.
const CONTEXTS: [&str; 7] = ["context", "note", "notes", "metadata", "comment", "feedback", "debug"];

/// Looks at the properties of the input schema, nested ones too.
pub(crate) fn inspect(definition: &Definition, findings: &mut Findings) {
    let Some(schema) = &definition.input_schema else { return };
    text::walk_values("/inputSchema", schema, |place, _, schema| {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            property_of(schema, name, property, place, findings);
        }
    });
}

fn property_of(schema: &Value, name: &str, property: &Value, place: &str, findings: &mut Findings) {
    let required = schema.get("required").and_then(Value::as_array).is_some_and(|r| r.iter().any(|item| item == name));
    let is_text = property
        .get("type")
        .is_none_or(|t| t == "string" || t.as_array().is_some_and(|t| t.iter().any(|t| t == "string")));
    if !is_text {
        return;
    }
    let plain = crate::annotations::words(name).join("_");
    let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
    let (severity, why) = match () {
        () if SIDE_CHANNELS.contains(&plain.as_str()) => (High, "a parameter that only carries something out"),
        () if KNOWLEDGE.contains(&plain.as_str()) => {
            (weight(required), "a parameter that asks for what only the model knows")
        }
        () if CONTEXTS.contains(&plain.as_str()) && asks_for_conversation(description) => {
            (weight(required), "a parameter that asks for the conversation")
        }
        () => return,
    };
    let excerpt = excerpt::shown(&format!("{plain}: {description}"));
    findings.push(Finding {
        detector: SuspiciousParameter,
        severity,
        place: excerpt::place(&format!("{place}/properties/{}", text::escaped(name))),
        at: 0..0,
        excerpt,
        why: why.into(),
    });
}

/// The model may leave out what is not required.
fn weight(required: bool) -> Severity {
    if required { Medium } else { Low }
}

fn asks_for_conversation(description: &str) -> bool {
    let lower = description.to_lowercase();
    let knows = [
        "conversation",
        "chat history",
        "system prompt",
        "previous messages",
        "message history",
        "user's messages",
        "contents of",
        "credentials",
        "api key",
        "environment variable",
    ];
    knows.iter().any(|word| lower.contains(word)) || phrases::sounds_like_order(description)
}

#[cfg(test)]
mod tests {
    use sallyport_mcp::methods::ListKind;
    use serde_json::json;

    use super::*;

    fn worst(name: &str, property: Value, required: bool) -> Option<Severity> {
        let required: &[&str] = if required { &[name] } else { &[] };
        let schema = json!({"type": "object", "properties": {"o": {"type": "object", "properties": {(name): property}, "required": required}}});
        let raw = json!({"name": "add", "inputSchema": schema});
        let mut findings = Findings::default();
        inspect(&Definition::read(ListKind::Tools, raw).expect("a tool"), &mut findings);
        let found = findings.finish();
        assert!(found.iter().all(|f| f.place.starts_with("/inputSchema/properties/o/properties/")), "{found:?}");
        found.first().map(|f| f.severity)
    }

    #[test]
    fn side_channels_and_ordinary_parameters() {
        let string = || json!({"type": "string"});
        assert_eq!(worst("sidenote", string(), false), Some(High));
        assert_eq!(worst("conversationHistory", string(), true), Some(Medium));
        assert_eq!(worst("system_prompt", string(), false), Some(Low));
        let asks = json!({"type": "string", "description": "The full conversation so far"});
        assert_eq!(worst("context", asks, true), Some(Medium));
        for (name, property) in [
            ("context", json!({"type": "string", "description": "kubectl context to use"})),
            ("context", json!({"type": "integer", "description": "Lines of context; conversation"})),
            ("thought", string()),
            ("note", json!({"type": "string", "description": "Note text"})),
            ("conversation_history", json!({"type": "array"})),
            ("conversation_id", string()),
        ] {
            assert_eq!(worst(name, property, true), None, "{name}");
        }
    }
}
