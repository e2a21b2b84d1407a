//! The methods of both eras: who answers each, in which era it exists, and what a caller must be allowed.
//!
//! The gate authorizes by this table and nothing else: [`rule`] names the kind of access that a method
//! is, [`Target::of`] the object it is for. An unknown method is [`Kind::Other`], which a policy may
//! refuse or forward. The table grants nothing.

use serde_json::Value;

use crate::{envelope::Request, era::Era, errors::Error};

/// The four lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// `tools/list`
    Tools,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    ResourceTemplates,
    /// `prompts/list`
    Prompts,
}

/// The kind of access that a method is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Opens or describes the connection: `initialize`, `notifications/initialized`, `server/discover`.
    Handshake,
    /// About other messages or the session: `ping`, log level, cancellation, progress.
    Control,
    /// A list; its result must be filtered.
    List(ListKind),
    /// Calls a tool: `params.name`.
    Tool,
    /// Reads or watches a resource: `params.uri`.
    Resource,
    /// Gets a prompt: `params.name`.
    Prompt,
    /// Completes an argument of a prompt or resource template: `params.ref`.
    Completion,
    /// Acts on a task: `params.taskId`, which must belong to the caller. `tasks/list` names none.
    Task,
    /// Opens a stream of change notifications: `params.notifications`.
    Listen,
    /// Asks the client for something: elicitation, sampling, roots. Upstreams send these.
    Input,
    /// A change that an upstream announces.
    Change,
    /// Unknown: an extension's, or a mistake.
    Other,
}

/// Who answers a request, or acts on a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answerer {
    /// The gate, always.
    Gate,
    /// The upstream.
    Upstream,
    /// The upstream if it is legacy too; else the gate, which keeps the state and translates it.
    UpstreamIfLegacy,
    /// The client; upstreams send it.
    Client,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodRule {
    /// Exists in the legacy era.
    pub legacy: bool,
    /// Exists in the modern era.
    pub modern: bool,
    /// The kind of access.
    pub kind: Kind,
    /// Who answers.
    pub answerer: Answerer,
    /// Whether a modern answer may be `input_required` (basic/patterns/mrtr, Supported Requests).
    pub input_required: bool,
    /// Whether a modern answer carries `ttlMs` and `cacheScope` (server/utilities/caching).
    pub cacheable: bool,
}

impl MethodRule {
    const fn new(kind: Kind, answerer: Answerer) -> Self {
        Self { legacy: true, modern: true, kind, answerer, input_required: false, cacheable: false }
    }

    const fn legacy_only(self) -> Self {
        Self { modern: false, ..self }
    }

    const fn modern_only(self) -> Self {
        Self { legacy: false, ..self }
    }

    const fn with_input(self) -> Self {
        Self { input_required: true, ..self }
    }

    const fn with_cache(self) -> Self {
        Self { cacheable: true, ..self }
    }

    /// Whether the method exists in `era`.
    pub const fn exists_in(&self, era: Era) -> bool {
        match era {
            Era::Legacy => self.legacy,
            Era::Modern => self.modern,
        }
    }
}

/// The rule of a method or notification. Total: an unknown one is [`Kind::Other`] in both eras, answered
/// by the upstream. Methods are compared exactly; `Tools/call` is unknown.
pub fn rule(method: &str) -> MethodRule {
    use Answerer::{Client, Gate, Upstream, UpstreamIfLegacy};
    use ListKind::{Prompts, ResourceTemplates, Resources, Tools};
    let new = MethodRule::new;
    match method {
        "initialize" | "notifications/initialized" => new(Kind::Handshake, Gate).legacy_only(),
        "server/discover" => new(Kind::Handshake, Gate).modern_only().with_cache(),
        "ping" => new(Kind::Control, Gate).legacy_only(),
        "logging/setLevel" => new(Kind::Control, UpstreamIfLegacy).legacy_only(),
        "notifications/roots/list_changed" => new(Kind::Control, UpstreamIfLegacy).legacy_only(),
        "notifications/cancelled" | "notifications/progress" => new(Kind::Control, Gate),
        "notifications/message" => new(Kind::Control, Client),
        "subscriptions/listen" => new(Kind::Listen, Gate).modern_only(),
        "notifications/subscriptions/acknowledged" => new(Kind::Control, Gate).modern_only(),

        "tools/list" => new(Kind::List(Tools), Upstream).with_cache(),
        "resources/list" => new(Kind::List(Resources), Upstream).with_cache(),
        "resources/templates/list" => new(Kind::List(ResourceTemplates), Upstream).with_cache(),
        "prompts/list" => new(Kind::List(Prompts), Upstream).with_cache(),
        "tools/call" => new(Kind::Tool, Upstream).with_input(),
        "resources/read" => new(Kind::Resource, Upstream).with_input().with_cache(),
        "prompts/get" => new(Kind::Prompt, Upstream).with_input(),
        "completion/complete" => new(Kind::Completion, Upstream),
        "resources/subscribe" | "resources/unsubscribe" => new(Kind::Resource, UpstreamIfLegacy).legacy_only(),

        // Core in 2025-11-25, the tasks extension (SEP-2663) since; the shapes differ.
        "tasks/get" | "tasks/cancel" => new(Kind::Task, Upstream),
        "tasks/list" | "tasks/result" => new(Kind::Task, Upstream).legacy_only(),
        "tasks/update" => new(Kind::Task, Upstream).modern_only(),
        "notifications/tasks/status" => new(Kind::Change, Client).legacy_only(),
        "notifications/tasks" => new(Kind::Change, Client).modern_only(),

        // In the modern era these are members of `inputRequests`, not messages.
        "elicitation/create" | "sampling/createMessage" | "roots/list" => new(Kind::Input, Client).legacy_only(),
        "notifications/elicitation/complete" => new(Kind::Change, Client).legacy_only(),
        "notifications/tools/list_changed"
        | "notifications/resources/list_changed"
        | "notifications/prompts/list_changed"
        | "notifications/resources/updated" => new(Kind::Change, Client),
        _ => new(Kind::Other, Upstream),
    }
}

/// The rule of a method that a *client* of `era` sent as a request.
///
/// # Errors
/// [`Error::MethodNotFound`] for a method of the other era, and for those that only upstreams send.
pub fn client_rule(method: &str, era: Era) -> Result<MethodRule, Error> {
    let rule = rule(method);
    if rule.exists_in(era) && rule.answerer != Answerer::Client {
        Ok(rule)
    } else {
        Err(Error::MethodNotFound { method: method.to_owned() })
    }
}

/// What a request is for. Compare it byte by byte with what the principal may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A tool, by name.
    Tool(&'a str),
    /// A resource, by URI.
    Resource(&'a str),
    /// A prompt, by name.
    Prompt(&'a str),
    /// Completion of a prompt's argument.
    CompletePrompt(&'a str),
    /// Completion of a resource template's argument: the template or URI.
    CompleteResource(&'a str),
    /// A task; it must be the caller's.
    Task(&'a str),
    /// All tasks of the caller.
    Tasks,
    /// A list, to be filtered.
    List(ListKind),
    /// Change notifications; see [`crate::translate::notifications::Filter`].
    Listen,
    /// Handshake and control: nothing beyond being who one is.
    Nothing,
    /// Unknown method.
    Other,
}

impl<'a> Target<'a> {
    /// Reads the target of a client's request.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] when the member that names it is missing or no string, or when `_meta` or
    /// the `arguments` of a tool or prompt are no object: what cannot be read cannot be judged.
    pub fn of(request: &'a Request) -> Result<Self, Error> {
        object_or_absent(request, "_meta")?;
        if matches!(rule(&request.method).kind, Kind::Tool | Kind::Prompt) {
            object_or_absent(request, "arguments")?;
        }
        Ok(match rule(&request.method).kind {
            Kind::Handshake | Kind::Control | Kind::Input | Kind::Change => Self::Nothing,
            Kind::List(list) => Self::List(list),
            Kind::Tool => Self::Tool(named(request, "name")?),
            Kind::Resource => Self::Resource(named(request, "uri")?),
            Kind::Prompt => Self::Prompt(named(request, "name")?),
            Kind::Completion => completion(request)?,
            Kind::Task if request.method == "tasks/list" => Self::Tasks,
            Kind::Task => Self::Task(named(request, "taskId")?),
            Kind::Listen => Self::Listen,
            Kind::Other => Self::Other,
        })
    }
}

fn object_or_absent(request: &Request, key: &str) -> Result<(), Error> {
    match request.param(key) {
        None | Some(Value::Object(_)) => Ok(()),
        Some(_) => {
            Err(Error::InvalidParams(format!("`params.{key}` must be an object; leave it out if there is none")))
        }
    }
}

fn named<'a>(request: &'a Request, key: &str) -> Result<&'a str, Error> {
    request
        .param_str(key)
        .ok_or_else(|| Error::InvalidParams(format!("`params.{key}` must be a string, and is required")))
}

fn completion(request: &Request) -> Result<Target<'_>, Error> {
    let text = |key: &str| request.param("ref").and_then(|r| r.get(key)).and_then(Value::as_str);
    match (text("type"), text("name"), text("uri")) {
        (Some("ref/prompt"), Some(name), _) => Ok(Target::CompletePrompt(name)),
        (Some("ref/resource"), _, Some(uri)) => Ok(Target::CompleteResource(uri)),
        _ => Err(Error::InvalidParams(
            "`params.ref` must be {type: \"ref/prompt\", name} or {type: \"ref/resource\", uri}".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(method: &str, params: Value) -> Request {
        Request::new(1, method, params.as_object().cloned())
    }

    #[test]
    fn methods_of_one_era_do_not_exist_in_the_other() {
        for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
            assert!(client_rule(method, Era::Legacy).is_ok(), "{method}");
            assert!(matches!(client_rule(method, Era::Modern), Err(Error::MethodNotFound { .. })), "{method}");
        }
        for method in ["server/discover", "subscriptions/listen", "tasks/update"] {
            assert!(client_rule(method, Era::Modern).is_ok(), "{method}");
            assert!(client_rule(method, Era::Legacy).is_err(), "{method}");
        }
        assert!(client_rule("elicitation/create", Era::Legacy).is_err());
    }

    #[test]
    fn only_three_methods_may_answer_input_required() {
        let may: Vec<_> =
            ["tools/call", "resources/read", "prompts/get", "tools/list", "completion/complete", "x/y", "tasks/get"]
                .into_iter()
                .filter(|m| rule(m).input_required)
                .collect();
        assert_eq!(may, ["tools/call", "resources/read", "prompts/get"]);
    }

    #[test]
    fn look_alikes_are_other_methods() {
        for method in ["Tools/call", "tools/call ", "tools//call", "tools/calⅼ", ""] {
            assert_eq!(rule(method).kind, Kind::Other, "{method}");
        }
    }

    #[test]
    fn targets_are_read_or_refused() {
        let call = request("tools/call", json!({"name": "delete", "uri": "x"}));
        assert_eq!(Target::of(&call), Ok(Target::Tool("delete")));
        let complete = request("completion/complete", json!({"ref": {"type": "ref/resource", "uri": "a://{b}"}}));
        assert_eq!(Target::of(&complete), Ok(Target::CompleteResource("a://{b}")));
        for (method, params) in [
            ("tools/call", json!({})),
            ("tools/call", json!({"name": 7})),
            ("resources/read", json!({"name": "x"})),
            ("tasks/result", json!({})),
            ("tools/call", json!({"name": "t", "arguments": "text"})),
            ("tools/call", json!({"name": "t", "arguments": [1]})),
            ("prompts/get", json!({"name": "p", "arguments": null})),
            ("tools/list", json!({"_meta": "x"})),
            ("completion/complete", json!({"ref": {"type": "ref/other", "name": "x"}})),
        ] {
            assert!(matches!(Target::of(&request(method, params)), Err(Error::InvalidParams(_))), "{method}");
        }
    }
}
