//! What an event of a trail says, whatever its fields are called.

use super::trail::{Event, Leaf};

const IDENTITY: &[&str] =
    &["user", "username", "subject", "sub", "actor", "principal", "identity", "who", "caller", "email", "account"];
const PARAMETERS: &[&str] = &[
    "param",
    "params",
    "parameters",
    "parameter",
    "argument",
    "arguments",
    "args",
    "input",
    "inputs",
    "request",
    "payload",
];
const STATUS: &[&str] =
    &["status", "outcome", "result", "decision", "response", "disposition", "success", "error", "code", "verdict"];
const TOOL: &[&str] = &["tool", "operation", "method", "action", "name", "target", "resource", "event", "api"];
const REFUSALS: &[&str] = &[
    "401",
    "403",
    "denied",
    "deny",
    "denies",
    "refused",
    "refuse",
    "rejected",
    "reject",
    "unauthorized",
    "unauthorised",
    "forbidden",
    "failure",
    "failed",
    "error",
    "blocked",
    "invalid",
    "unknown",
];
const HUMAN: &[&str] = &["human", "user", "person", "people", "employee", "interactive", "end_user", "enduser"];
const AGENT: &[&str] = &[
    "agent",
    "machine",
    "service",
    "non_human",
    "nonhuman",
    "workload",
    "robot",
    "bot",
    "service_account",
    "client_credentials",
    "ai_agent",
    "system",
];

/// What an entry must say; the second is why it counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// Who.
    Identity,
    /// Which tool.
    Tool,
    /// With which parameters, or their digest.
    Parameters,
    /// How it ended.
    Status,
    /// When.
    Time,
}

/// What `events`, which are about one person's calls, do not say. `subject` is her name, `tool` the tool's,
/// `known` a value that stood in the parameters.
pub(crate) fn missing(events: &[&Event], subject: &[String], tool: &str, known: &str) -> Vec<Field> {
    let leaves: Vec<&Leaf> = events.iter().flat_map(|event| &event.leaves).collect();
    let keyed = |keys: &[&str]| leaves.iter().any(|leaf| !leaf.text.trim().is_empty() && has_key(leaf, keys));
    let identity = keyed(IDENTITY)
        || leaves.iter().any(|leaf| subject.iter().any(|name| name.len() > 2 && leaf.text.contains(name)));
    let parameters = hold_parameters(events, known);
    [
        (Field::Identity, identity),
        (Field::Tool, events.iter().any(|event| event.names(tool)) && (keyed(TOOL) || !leaves.is_empty())),
        (Field::Parameters, parameters),
        (Field::Status, keyed(STATUS)),
        (Field::Time, events.iter().any(|event| !event.times.is_empty())),
    ]
    .into_iter()
    .filter(|(_, there)| !there)
    .map(|(field, _)| field)
    .collect()
}

/// Whether `events` hold parameters, or their digest, by key or by the value `known` that stood in them.
pub(crate) fn hold_parameters(events: &[&Event], known: &str) -> bool {
    let mut leaves = events.iter().flat_map(|event| &event.leaves);
    leaves.any(|leaf| {
        let keyed = !leaf.text.trim().is_empty() && has_key(leaf, PARAMETERS);
        keyed || (known.len() > 3 && leaf.text.contains(known))
    })
}

impl Field {
    /// In a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Identity => "who",
            Self::Tool => "which tool",
            Self::Parameters => "which parameters",
            Self::Status => "how it ended",
            Self::Time => "when",
        }
    }
}

/// Whether an event says that something was refused.
pub(crate) fn is_refusal(event: &Event) -> bool {
    event.leaves.iter().any(|leaf| match leaf.text.as_str() {
        // `"error": false` refuses nothing; `"allowed": false` does.
        "false" => has_key(leaf, &["allowed", "success", "ok", "permitted"]),
        "true" => has_key(leaf, &["denied", "refused", "blocked", "error", "is_error", "iserror"]),
        // A long text may speak of anything.
        text if text.len() > 200 => false,
        text => {
            words(text).any(|word| REFUSALS.contains(&word.as_str())) || text.replace('_', " ").contains("not found")
        }
    })
}

/// The field that says human for the one and agent for the other, where there is one.
pub(crate) fn tells_apart(person: &[&Event], agent: &[&Event]) -> Option<String> {
    let of_person = person.iter().flat_map(|event| &event.leaves);
    for leaf in of_person {
        let same = || agent.iter().flat_map(|event| &event.leaves).filter(|other| other.path == leaf.path);
        let marks = says(leaf, HUMAN) && same().any(|other| says(other, AGENT) && other.text != leaf.text);
        let flags = is_flag(leaf) && same().any(|other| is_flag(other) && other.text != leaf.text);
        // Only where it says so of every event: a person's events may not say agent too.
        let steady = |events: &[&Event], text: &str| {
            events
                .iter()
                .flat_map(|event| &event.leaves)
                .filter(|other| other.path == leaf.path)
                .all(|other| other.text == text)
        };
        if (marks || flags) && same().all(|other| other.text != leaf.text) && steady(person, &leaf.text) {
            return Some(leaf.path.join("."));
        }
    }
    None
}

/// The field of a person's events that says human, where there is one; for when no agent was given.
pub(crate) fn marks_person(person: &[&Event]) -> Option<String> {
    let marked = |leaf: &&Leaf| {
        (says(leaf, HUMAN) && has_key(leaf, &["type", "kind", "class", "category", "actor", "principal", "marker"]))
            || is_flag(leaf)
    };
    person.iter().flat_map(|event| &event.leaves).find(marked).map(|leaf| leaf.path.join("."))
}

fn says(leaf: &Leaf, marks: &[&str]) -> bool {
    let text = leaf.text.to_lowercase().replace(['-', ' '], "_");
    marks.contains(&text.as_str()) || marks.iter().any(|mark| text.split([':', '/', '.']).any(|part| part == *mark))
}

/// `is_agent: false`, `human: true`.
fn is_flag(leaf: &Leaf) -> bool {
    matches!(leaf.text.as_str(), "true" | "false")
        && leaf
            .path
            .last()
            .is_some_and(|key| words(key).any(|word| HUMAN.contains(&word.as_str()) || AGENT.contains(&word.as_str())))
}

/// Whether a key on the way to the value is one of `keys`, or has one as a word of it.
fn has_key(leaf: &Leaf, keys: &[&str]) -> bool {
    leaf.path.iter().any(|key| keys.contains(&key.as_str()) || words(key).any(|word| keys.contains(&word.as_str())))
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::trail::Trail;

    fn trail(text: &str) -> Trail {
        Trail::read(text.as_bytes())
    }

    const GOOD: &str = r#"{"time":"2026-11-23T12:00:00Z","actor":{"type":"human","user":"ann"},"tool":"read","arguments":{"id":7},"status":"ok"}"#;
    const AGENTS: &str = r#"{"time":"2026-11-23T12:00:00Z","actor":{"type":"agent","user":"nightly"},"tool":"read","arguments":{"id":7},"status":"ok"}"#;

    #[test]
    fn a_whole_entry_misses_nothing_and_each_field_is_missed() {
        let missing = |text: &str| {
            let trail = trail(text);
            missing(&trail.events.iter().collect::<Vec<_>>(), &["ann".to_owned()], "read", "")
        };
        assert!(missing(GOOD).is_empty());
        assert_eq!(missing(&GOOD.replace("\"status\":\"ok\"", "\"x\":1")), [Field::Status]);
        assert_eq!(missing(&GOOD.replace("arguments", "y")), [Field::Parameters]);
        assert_eq!(missing(&GOOD.replace("arguments\":{\"id\":7}", "args_sha256\":\"ab\"")), []);
        assert_eq!(missing(&GOOD.replace("2026-11-23T12:00:00Z", "noon")), [Field::Time]);
        assert_eq!(
            missing(r#"{"time":"2026-11-23T12:00:00Z","tool":"read","arguments":1,"status":"ok"}"#),
            [Field::Identity]
        );
    }

    #[test]
    fn a_field_tells_human_and_agent_apart_or_none_does() {
        let apart = |person: &str, agent: &str| {
            let (person, agent) = (trail(person), trail(agent));
            tells_apart(&person.events.iter().collect::<Vec<_>>(), &agent.events.iter().collect::<Vec<_>>())
        };
        assert_eq!(apart(GOOD, AGENTS).as_deref(), Some("actor.type"));
        assert_eq!(apart(GOOD, &AGENTS.replace("\"agent\"", "\"human\"")), None);
        assert_eq!(apart(r#"{"a":{"is_agent":false}}"#, r#"{"a":{"is_agent":true}}"#).as_deref(), Some("a.is_agent"));
        assert_eq!(apart(r#"{"user":"ann"}"#, r#"{"user":"agent-7"}"#), None, "a name is no mark");
        let both = format!("{GOOD}\n{}", GOOD.replace("\"human\"", "\"agent\""));
        assert_eq!(apart(&both, AGENTS), None, "a mark that differs among one's own calls tells nothing");
        let marked = |text: &str| marks_person(&trail(text).events.iter().collect::<Vec<_>>());
        assert_eq!(marked(GOOD).as_deref(), Some("actor.type"));
        assert_eq!(marked(r#"{"user":"ann","tool":"user"}"#), None);
    }

    #[test]
    fn refusals_are_known_by_their_words() {
        let refusal = |text: &str| is_refusal(&trail(text).events[0]);
        for text in [
            r#"{"s":"denied"}"#,
            r#"{"status":401}"#,
            r#"{"allowed":false}"#,
            r#"{"m":"tool not_found"}"#,
            r#"{"decision":"Deny"}"#,
        ] {
            assert!(refusal(text), "{text}");
        }
        for text in [r#"{"s":"ok"}"#, r#"{"error":false}"#, r#"{"n":4010}"#] {
            assert!(!refusal(text), "{text}");
        }
    }
}
