//! OCSF 1.8: API Activity (class 6003) with the `security_control` profile, one event a line.
//!
//! Who acted is `actor.user` (its `type` says `human`, `agent` or `agent_for_human`), the client
//! `actor.app_uid`, the call `api`, the tool `resources`, the decision `action_id` and `disposition_id`, the
//! outcome `status_id`. What OCSF has no field for stands in `unmapped`, under our own names. An erased
//! event has no OCSF form and is only counted.

use std::io::Write;

use sallyport_ledger::{LedgerError, Opened};
use sallyport_model::{
    AuditEvent, EventKind, PrincipalKind,
    event::{CallFacts, Outcome, OutcomeStatus, Who},
    hex,
};
use serde_json::{Map, Value, json};

use crate::{ExportEntry, ExportError, Exported};

/// The version of the schema that the lines follow.
pub const OCSF_VERSION: &str = "1.8.0";

const CLASS: u64 = 6003;
const READ: u64 = 2;
const OTHER: u64 = 99;

/// Writes one line for each event.
///
/// # Errors
/// The first entry that cannot be read, opened or written ends the export.
pub fn write_ocsf(
    entries: impl IntoIterator<Item = Result<ExportEntry, LedgerError>>,
    out: &mut impl Write,
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    for entry in entries {
        let entry = entry?;
        let Opened::Event { json, .. } = &entry.opened else {
            exported.erased += 1;
            continue;
        };
        let bad = |source| ExportError::Event { index: entry.index, source };
        let event: AuditEvent = serde_json::from_slice(json).map_err(bad)?;
        let mut line = serde_json::to_vec(&ocsf(&entry, &event)).map_err(bad)?;
        line.push(b'\n');
        out.write_all(&line)?;
        exported.events += 1;
    }
    out.flush()?;
    Ok(exported)
}

/// The OCSF form of one event.
fn ocsf(entry: &ExportEntry, event: &AuditEvent) -> Value {
    let kind = name_of(&event.kind);
    let (activity, activity_name) = activity(event, &kind);
    let (severity, severity_name) = severity(event);
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| {
        line.insert(name.to_owned(), value);
    };
    put("class_uid", CLASS.into());
    put("class_name", "API Activity".into());
    put("category_uid", 6.into());
    put("category_name", "Application Activity".into());
    put("activity_id", activity.into());
    put("activity_name", activity_name.clone().into());
    put("type_uid", (CLASS * 100 + activity).into());
    put("type_name", format!("API Activity: {activity_name}").into());
    put("severity_id", severity.into());
    put("severity", severity_name.into());
    put("time", event.time.as_millis().into());
    put("metadata", metadata(entry, event, &kind));
    put("actor", actor(event));
    put("src_endpoint", source(event));
    put("api", api(event, &kind));
    if let Some(resources) = event.call.as_ref().and_then(resources) {
        put("resources", resources);
    }
    if let Some(agent) = event.source.as_ref().and_then(|source| source.user_agent.as_ref()) {
        put("http_request", json!({ "user_agent": agent }));
    }
    for (name, value) in decision(event).into_iter().chain(outcome(event.outcome.as_ref())) {
        put(name, value);
    }
    put("unmapped", unmapped(entry, event));
    Value::Object(line)
}

/// A unit variant as it is written in the log.
fn name_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        _ => "unknown".into(),
    }
}

/// Reading methods are OCSF's Read; what a tool does nobody knows from here.
fn activity(event: &AuditEvent, kind: &str) -> (u64, String) {
    let method = event.call.as_ref().map(|call| call.method.as_str());
    match method {
        Some(method) if method.ends_with("/list") || method.ends_with("/read") || method == "prompts/get" => {
            (READ, "Read".into())
        }
        Some(method) => (OTHER, method.into()),
        None => (OTHER, kind.into()),
    }
}

fn severity(event: &AuditEvent) -> (u64, &'static str) {
    let refused = event.decision.as_ref().is_some_and(|decision| !decision.allowed);
    match event.kind {
        EventKind::ReplayDetected => (4, "High"),
        EventKind::OutcomeUnknown => (3, "Medium"),
        EventKind::CallRefused
        | EventKind::StrangersRefused
        | EventKind::SignInRefused
        | EventKind::AuthorizationRefused
        | EventKind::TokenRefused
        | EventKind::ConsentDenied => (2, "Low"),
        _ if refused => (2, "Low"),
        _ => (1, "Informational"),
    }
}

fn metadata(entry: &ExportEntry, event: &AuditEvent, kind: &str) -> Value {
    let mut metadata = json!({
        "version": OCSF_VERSION,
        "profiles": ["security_control"],
        "product": { "name": "Sallyport", "vendor_name": "Sallyport" },
        "uid": event.id.to_string(),
        "event_code": kind,
        "sequence": entry.index,
        "log_version": event.version.to_string(),
    });
    if let Some(tenant) = &event.tenant {
        metadata["tenant_uid"] = tenant.as_str().into();
    }
    if let Some(call) = &event.call {
        metadata["correlation_uid"] = call.id.as_str().into();
    }
    metadata
}

fn actor(event: &AuditEvent) -> Value {
    let Some(who) = &event.who else {
        // The gate's own events have the gate as their actor; strangers stay strangers.
        let own = matches!(event.kind, EventKind::Started | EventKind::Stopped | EventKind::OutcomeUnknown);
        return json!({ "app_name": if own { "Sallyport" } else { "unauthenticated" } });
    };
    let Who { subject, client, session, .. } = who;
    // OCSF knows no machine that acts for a person; 99 leaves the word to us.
    let kind = if subject.kind() == PrincipalKind::Human { 1 } else { OTHER };
    let user = json!({ "uid": subject.id(), "type_id": kind, "type": who.mark().as_str() });
    let mut actor = json!({ "user": user });
    if let Some(client) = client {
        actor["app_uid"] = client.as_str().into();
    }
    if let Some(session) = session {
        actor["session"] = json!({ "uid": session.as_str() });
    }
    actor
}

fn source(event: &AuditEvent) -> Value {
    match &event.source {
        Some(source) if source.address.parse::<std::net::IpAddr>().is_ok() => json!({ "ip": source.address }),
        Some(source) => json!({ "name": source.address }),
        None => json!({ "name": "unknown" }),
    }
}

fn api(event: &AuditEvent, kind: &str) -> Value {
    let Some(call) = &event.call else {
        return json!({ "operation": kind, "service": { "name": "sallyport" } });
    };
    let mut api = json!({
        "operation": call.method,
        "service": { "name": call.upstream.as_str() },
        "request": { "uid": call.id.as_str() },
    });
    if let Some(version) = &call.protocol_version {
        api["version"] = version.as_str().into();
    }
    if let Some(arguments) = &call.arguments {
        api["request"]["data"] = arguments.clone();
    }
    let code = event.outcome.as_ref().and_then(|outcome| outcome.code.as_ref());
    if let Some(code) = code {
        api["response"] = match code.parse::<i32>() {
            Ok(number) => json!({ "code": number, "error": code }),
            Err(_) => json!({ "error": code }),
        };
    }
    api
}

/// The tool, prompt or resource of a call.
fn resources(call: &CallFacts) -> Option<Value> {
    let name = call.name.as_ref()?;
    let kind = match call.method.split('/').next() {
        Some("tools") => "mcp_tool",
        Some("prompts") => "mcp_prompt",
        Some("resources") => "mcp_resource",
        _ => "mcp",
    };
    let mut resource = json!({ "name": name, "type": kind, "namespace": call.upstream.as_str() });
    if let Some(definition) = &call.definition_sha256 {
        resource["version"] = definition.as_str().into();
    }
    Some(json!([resource]))
}

/// The fields of the `security_control` profile.
fn decision(event: &AuditEvent) -> Vec<(&'static str, Value)> {
    let Some(decision) = &event.decision else { return Vec::new() };
    let (action, disposition) = if decision.allowed { ("Allowed", "Allowed") } else { ("Denied", "Blocked") };
    let id = if decision.allowed { 1 } else { 2 };
    vec![
        ("action_id", id.into()),
        ("action", action.into()),
        ("disposition_id", id.into()),
        ("disposition", disposition.into()),
        ("authorizations", json!([{ "decision": decision.code }])),
    ]
}

fn outcome(outcome: Option<&Outcome>) -> Vec<(&'static str, Value)> {
    let Some(outcome) = outcome else { return Vec::new() };
    let (id, status) = match outcome.status {
        OutcomeStatus::Succeeded => (1, "Success"),
        OutcomeStatus::Unknown => (0, "Unknown"),
        OutcomeStatus::InputRequired | OutcomeStatus::Cancelled => (99, "Other"),
        OutcomeStatus::ToolFailed | OutcomeStatus::Errored | OutcomeStatus::Refused | OutcomeStatus::UpstreamFailed => {
            (2, "Failure")
        }
    };
    let mut fields = vec![
        ("status_id", id.into()),
        ("status", status.into()),
        ("status_detail", name_of(&outcome.status).into()),
        // OCSF counts milliseconds; the exact figure is in `unmapped`.
        ("duration", (outcome.latency_us / 1000).into()),
    ];
    if let Some(code) = &outcome.code {
        fields.push(("status_code", code.as_str().into()));
    }
    fields
}

/// Everything that OCSF has no field for.
fn unmapped(entry: &ExportEntry, event: &AuditEvent) -> Value {
    let mut rest = Map::new();
    let log =
        json!({ "index": entry.index, "leaf_hash": hex(&entry.leaf_hash), "tenant_sequence": entry.tenant_sequence });
    rest.insert("log".into(), log);
    if let Some(who) = &event.who {
        rest.insert("mark".into(), who.mark().as_str().into());
        let chain: Vec<Value> =
            who.on_behalf_of.iter().map(|actor| json!({ "kind": name_of(&actor.kind()), "id": actor.id() })).collect();
        if !chain.is_empty() {
            rest.insert("on_behalf_of".into(), chain.into());
        }
        let mut put = |name: &str, value: Option<&str>| value.map(|value| rest.insert(name.into(), value.into()));
        put("grant", who.grant.as_ref().map(|id| id.as_str()));
        put("token", who.token.as_ref().map(|id| id.as_str()));
    }
    if let Some(call) = &event.call {
        rest.insert("request_bytes".into(), call.request_bytes.into());
        let mut put = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| rest.insert(name.into(), value.as_str().into()))
        };
        put("arguments_sha256", &call.arguments_sha256);
        put("traceparent", &call.traceparent);
    }
    if let Some(outcome) = &event.outcome {
        rest.insert("latency_us".into(), outcome.latency_us.into());
        rest.insert("response_bytes".into(), outcome.response_bytes.into());
    }
    if let Some(needed) = event.decision.as_ref().and_then(|decision| decision.needed.as_ref()) {
        rest.insert("scopes_needed".into(), needed.to_string().into());
    }
    if let Some(claimed) = &event.claimed {
        rest.insert("claimed_unverified".into(), json!(claimed));
    }
    if !event.facts.is_empty() {
        rest.insert("facts".into(), json!(event.facts));
    }
    Value::Object(rest)
}
