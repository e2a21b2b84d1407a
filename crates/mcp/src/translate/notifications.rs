//! Notifications: which stream each belongs to, and `subscriptions/listen` ⇄ GET stream.
//!
//! In the modern era a notification either belongs to one request and flows on its response, or was asked
//! for by `subscriptions/listen` and carries its id. Legacy upstreams put both on any stream. Nothing is
//! sent that was not asked for.

use serde_json::Value;

use crate::{
    envelope::{Notification, RequestId},
    errors::Error,
    json::Object,
    meta::{LogLevel, META, SUBSCRIPTION_ID, TASKS_EXTENSION, meta_mut},
};

/// Where a notification of an upstream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// On the response stream of the request it belongs to, nowhere else: progress and log messages.
    Request,
    /// On listening streams whose [`Filter`] wants it; for a legacy client, on its GET stream.
    Listener,
    /// To legacy clients only: `notifications/elicitation/complete`, `notifications/tasks/status`.
    LegacyOnly,
    /// The gate acts on it: cancellation, acknowledgement.
    Gate,
    /// Unknown: with the request it came with; never on a listening stream.
    Unknown,
}

/// Where a notification that an upstream sends goes, by its method.
pub fn delivery(method: &str) -> Delivery {
    match method {
        "notifications/progress" | "notifications/message" => Delivery::Request,
        "notifications/tools/list_changed"
        | "notifications/prompts/list_changed"
        | "notifications/resources/list_changed"
        | "notifications/resources/updated"
        | "notifications/tasks" => Delivery::Listener,
        "notifications/elicitation/complete" | "notifications/tasks/status" => Delivery::LegacyOnly,
        "notifications/cancelled" | "notifications/subscriptions/acknowledged" => Delivery::Gate,
        _ => Delivery::Unknown,
    }
}

/// What a `subscriptions/listen` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// `toolsListChanged`
    pub tools: bool,
    /// `promptsListChanged`
    pub prompts: bool,
    /// `resourcesListChanged`
    pub resources: bool,
    /// `resourceSubscriptions`; each must be one that the principal may read.
    pub resource_uris: Vec<String>,
    /// `taskIds` (SEP-2663); each must be the caller's, and the client must declare the extension.
    pub task_ids: Vec<String>,
}

impl Filter {
    /// Reads `params.notifications`. Members that are unknown here cannot be honoured and are left out of
    /// the acknowledgement.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] naming the member at fault.
    pub fn read(params: Option<&Object>) -> Result<Self, Error> {
        let Some(Value::Object(wanted)) = params.and_then(|params| params.get("notifications")) else {
            return Err(Error::InvalidParams("`params.notifications` must be an object, and is required".into()));
        };
        Ok(Self {
            tools: flag(wanted, "toolsListChanged")?,
            prompts: flag(wanted, "promptsListChanged")?,
            resources: flag(wanted, "resourcesListChanged")?,
            resource_uris: texts(wanted, "resourceSubscriptions")?,
            task_ids: texts(wanted, "taskIds")?,
        })
    }

    /// Drops what an upstream with these `ServerCapabilities`, of either era, does not offer.
    pub fn limit_to(&mut self, server: &Object) {
        let offers = |kind: &str, what: &str| {
            server.get(kind).and_then(|c| c.get(what)).and_then(Value::as_bool).unwrap_or(false)
        };
        self.tools &= offers("tools", "listChanged");
        self.prompts &= offers("prompts", "listChanged");
        self.resources &= offers("resources", "listChanged");
        if !offers("resources", "subscribe") {
            self.resource_uris.clear();
        }
        let extensions = server.get("extensions").and_then(Value::as_object);
        if !extensions.is_some_and(|extensions| extensions.contains_key(TASKS_EXTENSION)) {
            self.task_ids.clear();
        }
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the notification was asked for. A resource counts when it, or one that it lies under, is
    /// subscribed to (schema, `ResourceUpdatedNotificationParams`: the URI may be a sub-resource's).
    pub fn wants(&self, notification: &Notification) -> bool {
        let text = |key: &str| notification.param(key).and_then(Value::as_str);
        match notification.method.as_str() {
            "notifications/tools/list_changed" => self.tools,
            "notifications/prompts/list_changed" => self.prompts,
            "notifications/resources/list_changed" => self.resources,
            "notifications/resources/updated" => {
                text("uri").is_some_and(|uri| self.resource_uris.iter().any(|of| lies_under(uri, of)))
            }
            "notifications/tasks" => text("taskId").is_some_and(|id| self.task_ids.iter().any(|task| task == id)),
            _ => false,
        }
    }

    /// As on the wire: only what is asked for.
    pub fn to_object(&self) -> Object {
        let mut object = Object::new();
        for (key, on) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if on {
                object.insert(key.to_owned(), true.into());
            }
        }
        for (key, list) in [("resourceSubscriptions", &self.resource_uris), ("taskIds", &self.task_ids)] {
            if !list.is_empty() {
                object.insert(key.to_owned(), list.clone().into());
            }
        }
        object
    }

    /// The `params` of the gate's own `subscriptions/listen` to a modern upstream; request metadata is still
    /// to be inserted.
    pub fn to_params(&self) -> Object {
        Object::from_iter([("notifications".to_owned(), Value::Object(self.to_object()))])
    }

    /// The acknowledgement, which must be the first message of the stream that `listen` opened.
    pub fn acknowledgement(&self, listen: &RequestId) -> Notification {
        let mut notification = Notification::new("notifications/subscriptions/acknowledged", Some(self.to_params()));
        tag(&mut notification, listen);
        notification
    }
}

/// The result that ends a listening stream in good order (Graceful Closure).
pub fn listen_result(listen: &RequestId) -> Object {
    let mut result = Object::from_iter([("resultType".to_owned(), "complete".into())]);
    meta_mut(&mut result).insert(SUBSCRIPTION_ID.to_owned(), listen.to_value());
    result
}

/// Marks a notification as belonging to the stream that `listen` opened.
pub fn tag(notification: &mut Notification, listen: &RequestId) {
    let params = notification.params.get_or_insert_with(Object::new);
    meta_mut(params).insert(SUBSCRIPTION_ID.to_owned(), listen.to_value());
}

/// Takes the mark off; `_meta` and `params` that held nothing else go with it.
pub fn untag(notification: &mut Notification) -> Option<RequestId> {
    let params = notification.params.as_mut()?;
    let Some(Value::Object(meta)) = params.get_mut(META) else { return None };
    let id = meta.shift_remove(SUBSCRIPTION_ID).as_ref().and_then(RequestId::from_value);
    if meta.is_empty() {
        params.shift_remove(META);
    }
    if params.is_empty() {
        notification.params = None;
    }
    id
}

/// The request that a `notifications/cancelled` is about; compare it with the sender's own open requests.
pub fn cancelled(notification: &Notification) -> Option<RequestId> {
    RequestId::from_value(notification.param("requestId")?)
}

/// A `notifications/cancelled`. Over modern HTTP closing the stream says it; this is for legacy peers and
/// for stdio.
pub fn cancel(request: &RequestId, reason: Option<&str>) -> Notification {
    let mut params = Object::from_iter([("requestId".to_owned(), request.to_value())]);
    if let Some(reason) = reason {
        params.insert("reason".to_owned(), reason.into());
    }
    Notification::new("notifications/cancelled", Some(params))
}

/// The token of a `notifications/progress`; it belongs to the request whose `_meta.progressToken` it equals.
pub fn progress_token(notification: &Notification) -> Option<&Value> {
    notification.param("progressToken").filter(|token| token.is_string() || token.is_number())
}

/// Whether a `notifications/message` may be sent to a modern client whose request has this `logLevel`:
/// never without one (server/utilities/logging). An unknown level counts as the highest.
pub fn log_admitted(notification: &Notification, wanted: Option<LogLevel>) -> bool {
    let level = notification.param("level").and_then(Value::as_str).and_then(LogLevel::parse);
    wanted.is_some_and(|wanted| level.unwrap_or(LogLevel::Emergency) >= wanted)
}

/// The level of a legacy `logging/setLevel`.
///
/// # Errors
/// [`Error::InvalidParams`] for an unknown level.
pub fn set_level(params: Option<&Object>) -> Result<LogLevel, Error> {
    params
        .and_then(|params| params.get("level")?.as_str())
        .and_then(LogLevel::parse)
        .ok_or_else(|| Error::InvalidParams("`params.level` must be a log level such as \"info\"".into()))
}

fn lies_under(uri: &str, subscribed: &str) -> bool {
    match uri.strip_prefix(subscribed) {
        Some("") => true,
        Some(rest) => !rest.split('/').any(|part| part == "..") && (subscribed.ends_with('/') || rest.starts_with('/')),
        None => false,
    }
}

fn flag(wanted: &Object, key: &str) -> Result<bool, Error> {
    match wanted.get(key) {
        None => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(_) => Err(Error::InvalidParams(format!("`params.notifications.{key}` must be a boolean"))),
    }
}

fn texts(wanted: &Object, key: &str) -> Result<Vec<String>, Error> {
    let wrong = || Error::InvalidParams(format!("`params.notifications.{key}` must be an array of strings"));
    match wanted.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
#[path = "notifications_tests.rs"]
mod tests;
