//! `initialize` ⇄ per-request metadata, `InitializeResult` ⇄ `DiscoverResult`.
//!
//! Capabilities are translated member by member; unknown ones, `experimental` and `extensions` pass. Tasks
//! are another protocol in each era, so they cross only when the gate says that it translates them.

use serde_json::{Value, json};

use crate::{
    era::ProtocolVersion,
    errors::Error,
    json::Object,
    meta::{self, ClientCapabilities, LogLevel, RequestMeta, SERVER_INFO, TASKS_EXTENSION},
    translate::{results, tasks},
};

/// The metadata for each request that a legacy client's session sends to a modern upstream.
///
/// `params` are those of its `initialize`. The client's `tasks` (tasks that a *client* hosts) have no
/// modern form and are dropped; `roots.listChanged` too. A request made as a task needs the tasks extension
/// declared in its own metadata: [`declare_tasks`].
///
/// # Errors
/// [`Error::InvalidParams`] when `capabilities` or `clientInfo` is missing or no object.
pub fn meta_from_initialize(params: &Object, log_level: Option<LogLevel>) -> Result<RequestMeta, Error> {
    let object = |key: &str| match params.get(key) {
        Some(Value::Object(object)) => Ok(object.clone()),
        _ => Err(Error::InvalidParams(format!("`params.{key}` of initialize must be an object"))),
    };
    let mut capabilities = object("capabilities")?;
    capabilities.shift_remove("tasks");
    if let Some(Value::Object(roots)) = capabilities.get_mut("roots") {
        roots.shift_remove("listChanged");
    }
    Ok(RequestMeta {
        protocol_version: ProtocolVersion::LATEST,
        client_info: Some(object("clientInfo")?),
        client_capabilities: ClientCapabilities(capabilities),
        log_level,
        progress_token: None,
    })
}

/// The `params` of the `initialize` that the gate sends to a legacy upstream on behalf of a modern client.
///
/// The tasks extension is not declared: in the legacy era a client's `tasks` means something else.
pub fn initialize_from_meta(meta: &RequestMeta, version: ProtocolVersion) -> Object {
    let mut capabilities = meta.client_capabilities.0.clone();
    remove_tasks_extension(&mut capabilities);
    let info = meta.client_info.clone().unwrap_or_else(unnamed);
    let mut params = Object::new();
    params.insert("protocolVersion".to_owned(), version.as_str().into());
    params.insert("capabilities".to_owned(), Value::Object(capabilities));
    params.insert("clientInfo".to_owned(), Value::Object(info));
    params
}

/// Declares the tasks extension.
pub fn declare_tasks(capabilities: &mut Object) {
    let extensions = capabilities.entry("extensions").or_insert_with(|| json!({}));
    if let Value::Object(extensions) = extensions {
        extensions.entry(TASKS_EXTENSION).or_insert_with(|| json!({}));
    }
}

/// A modern upstream's `DiscoverResult` as the `InitializeResult` for a legacy client.
///
/// `tasks`: whether the gate translates tasks; else the extension is not offered.
///
/// # Errors
/// [`Error::ResultShape`] when `capabilities` is missing or no object.
pub fn initialize_result(mut discovered: Object, version: ProtocolVersion, tasks: bool) -> Result<Object, Error> {
    let mut capabilities = take_object(&mut discovered, "capabilities")?;
    if remove_tasks_extension(&mut capabilities) && tasks {
        capabilities.insert("tasks".to_owned(), json!({ "cancel": {}, "requests": { "tools": { "call": {} } } }));
    }
    let info = take_server_info(&mut discovered).unwrap_or_else(unnamed);
    discovered.shift_remove("supportedVersions");
    results::to_legacy("server/discover", &mut discovered);
    let mut result = Object::new();
    result.insert("protocolVersion".to_owned(), version.as_str().into());
    result.insert("capabilities".to_owned(), Value::Object(capabilities));
    result.insert("serverInfo".to_owned(), Value::Object(info));
    result.extend(discovered);
    Ok(result)
}

/// A legacy upstream's `InitializeResult` as the `DiscoverResult` for a modern client. `supported` is what
/// the *gate* serves; `cacheScope` is `private`, because what is offered depends on who asks.
///
/// `translated`: whether the gate translates tasks, as in [`initialize_result`].
///
/// # Errors
/// [`Error::ResultShape`] when `capabilities` is missing or no object.
pub fn discover_result(
    mut initialized: Object,
    supported: &[ProtocolVersion],
    ttl_ms: u64,
    translated: bool,
) -> Result<Object, Error> {
    let mut capabilities = take_object(&mut initialized, "capabilities")?;
    // The extension does not exist in the legacy era: who declares it there offers nothing by it.
    remove_tasks_extension(&mut capabilities);
    let offers_tasks = tasks::offered(&capabilities);
    capabilities.shift_remove("tasks");
    if offers_tasks && translated {
        declare_tasks(&mut capabilities);
    }
    initialized.shift_remove("protocolVersion");
    let info = initialized.shift_remove("serverInfo");
    let versions: Vec<&str> = supported.iter().map(|version| version.as_str()).collect();
    let mut result = Object::new();
    result.insert("supportedVersions".to_owned(), json!(versions));
    result.insert("capabilities".to_owned(), Value::Object(capabilities));
    result.extend(initialized);
    if let Some(Value::Object(info)) = info {
        results::identify(&mut result, &info);
    }
    results::to_modern("server/discover", &mut result, ttl_ms);
    Ok(result)
}

/// A modern upstream's `DiscoverResult` on its way to a modern client: the versions are those that the
/// *gate* serves, and no shared cache may keep it.
pub fn relay_discover(result: &mut Object, supported: &[ProtocolVersion]) {
    let versions: Vec<&str> = supported.iter().map(|version| version.as_str()).collect();
    result.insert("supportedVersions".to_owned(), json!(versions));
    results::make_private("server/discover", result);
}

/// A legacy upstream's `InitializeResult` on its way to a legacy client: the version is the one negotiated
/// with the *client*.
pub fn relay_initialize(result: &mut Object, version: ProtocolVersion) {
    result.insert("protocolVersion".to_owned(), version.as_str().into());
}

fn take_object(from: &mut Object, key: &str) -> Result<Object, Error> {
    match from.shift_remove(key) {
        Some(Value::Object(object)) => Ok(object),
        _ => Err(Error::ResultShape(format!("the upstream's handshake has no object `{key}`"))),
    }
}

fn take_server_info(discovered: &mut Object) -> Option<Object> {
    let Some(Value::Object(meta)) = discovered.get_mut(meta::META) else { return None };
    let info = meta.shift_remove(SERVER_INFO);
    if meta.is_empty() {
        discovered.shift_remove(meta::META);
    }
    match info {
        Some(Value::Object(info)) => Some(info),
        _ => None,
    }
}

fn remove_tasks_extension(capabilities: &mut Object) -> bool {
    let Some(Value::Object(extensions)) = capabilities.get_mut("extensions") else { return false };
    let had = extensions.shift_remove(TASKS_EXTENSION).is_some();
    if extensions.is_empty() {
        capabilities.shift_remove("extensions");
    }
    had
}

/// `Implementation` demands both members; the modern era allows a peer to say neither.
fn unnamed() -> Object {
    let mut info = Object::new();
    info.insert("name".to_owned(), "unnamed".into());
    info.insert("version".to_owned(), "0".into());
    info
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
