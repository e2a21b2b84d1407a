//! What an event of a trail says, whatever its fields are called.

use super::trail::{Event, Leaf};

const IDENTITY: &[&str] =
    &["user", "username", "subject", "sub", "actor", "principal", "identity", "who", "caller", "email", "account"];
const PARAMETERS: &[&str] =
    &["param", "params", "parameters", "parameter", "argument", "arguments", "args", "input", "inputs"];
/// They hold more than the parameters, so that by itself such a key shows none.
const ENVELOPES: &[&str] = &["request", "payload", "body", "message"];
/// What makes of `request_bytes`, `input_tokens` or `response_time` no request, input or response.
const MEASURES: &[&str] = &[
    "bytes", "size", "length", "len", "count", "tokens", "time", "at", "ms", "us", "ns", "seconds", "duration",
    "latency", "required",
];
/// The least characters of a digest, in any alphabet.
const DIGEST: usize = 22;
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

/// What `events`, which are about one person's calls, do not say. `subject` is her name, `tool` the tool's. That the
/// parameters are there and empty is said too.
pub(crate) fn missing(events: &[&Event], subject: &[String], tool: &str) -> Vec<Field> {
    let leaves: Vec<&Leaf> = events.iter().flat_map(|event| &event.leaves).collect();
    let keyed = |keys: &[&str]| leaves.iter().any(|leaf| !leaf.text.trim().is_empty() && has_key(leaf, keys));
    let identity = keyed(IDENTITY)
        || leaves.iter().any(|leaf| subject.iter().any(|name| name.len() > 2 && leaf.text.contains(name)));
    let parameters = keyed(PARAMETERS) || leaves.iter().any(|leaf| is_digest_of_envelope(leaf));
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

/// Whether `events`, of a call with a value in its parameter `name`, hold that parameter, or a digest. `known` is a
/// part of the value that nobody has to take out.
pub(crate) fn hold_parameters(events: &[&Event], name: &str, known: &str) -> bool {
    let name = name.to_lowercase();
    let mut leaves = events.iter().flat_map(|event| &event.leaves);
    leaves.any(|leaf| {
        let empty = matches!(leaf.text.trim(), "" | "{}" | "[]");
        let inside = || leaf.path.contains(&name) && has_key(leaf, ENVELOPES);
        let keyed = !empty && (has_key(leaf, PARAMETERS) || inside() || is_digest_of_envelope(leaf));
        keyed || (known.len() > 3 && leaf.text.contains(known))
    })
}

/// `request_sha256`, but not `request_id`.
fn is_digest_of_envelope(leaf: &Leaf) -> bool {
    let says_so = |key: &String| words(key).any(|word| word.starts_with("sha") || word == "digest" || word == "hash");
    leaf.text.len() >= DIGEST && leaf.path.iter().any(says_so) && has_key(leaf, ENVELOPES)
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

/// Whether a key on the way to the value is one of `keys`, or has one as a word of it and is no measure of it.
fn has_key(leaf: &Leaf, keys: &[&str]) -> bool {
    let held = |key: &String| {
        let words: Vec<String> = words(key).collect();
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        // `user_agent` names a program.
        let program = words.windows(2).any(|pair| pair == ["user", "agent"]);
        has(keys) && !has(MEASURES) && !program
    };
    leaf.path.iter().any(|key| keys.contains(&key.as_str()) || held(key))
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
            missing(&trail.events.iter().collect::<Vec<_>>(), &["ann".to_owned()], "read")
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
    fn how_long_a_request_was_is_no_parameter_and_a_program_is_nobody() {
        let bare = r#"{"time":"2026-11-23T12:00:00Z","call":{"tool":"read","request_bytes":91,"request_id":"7c9e6679f0b14cd1a1f55a7e"},
            "source":{"user_agent":"x/1"},"outcome":{"response_bytes":20,"latency_us":7}}"#;
        let trail = trail(bare);
        let missing = missing(&trail.events.iter().collect::<Vec<_>>(), &["ann".to_owned()], "read");
        assert_eq!(missing, [Field::Identity, Field::Parameters], "`outcome` is how it ended");
    }

    #[test]
    fn a_parameter_is_there_by_its_value_its_name_or_a_digest() {
        let hold = |text: &str| {
            let trail = trail(text);
            hold_parameters(&trail.events.iter().collect::<Vec<_>>(), "Text", "marker-1")
        };
        for text in [
            r#"{"m":"called with marker-1 token=[key]"}"#,
            r#"{"arguments":{"text":"[left out]"}}"#,
            r#"{"arguments_sha256":"ab"}"#,
            r#"{"request":{"text":"[redacted]"}}"#,
            r#"{"request":{"sha256":"47DEQpj8HBSa-_TImW-5JA"}}"#,
        ] {
            assert!(hold(text), "{text}");
        }
        for text in [
            r#"{"arguments":{}}"#,
            r#"{"request":{"id":"7c9e6679f0b14cd1a1f55a7e","method":"tools/call"}}"#,
            r#"{"request_bytes":91,"input_tokens":4,"arguments_count":1}"#,
            r#"{"text":"hello"}"#,
            r#"{"definition_sha256":"47DEQpj8HBSa-_TImW-5JA"}"#,
        ] {
            assert!(!hold(text), "{text}");
        }
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
