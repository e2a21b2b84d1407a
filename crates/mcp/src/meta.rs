//! Per-request metadata of the modern era (2026-07-28 basic/index, `_meta`).
//!
//! Reads, strips and inserts the `io.modelcontextprotocol/*` members of `params._meta`; all other members
//! of `_meta` (trace context, extensions, vendors) are left where they are. What a client says of itself
//! here is never identity.

use serde_json::Value;

use crate::{envelope::RequestId, era::ProtocolVersion, errors::Error, json::Object};

/// The member of params and results that holds metadata.
pub const META: &str = "_meta";
/// `_meta` key of a request's protocol version.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of a client's name and version.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta` key of a client's capabilities.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` key of the least level of log messages wanted.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// `_meta` key that ties a notification to its `subscriptions/listen`.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// `_meta` key of a server's name and version, in results.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// `_meta` key of the task that a legacy message belongs to.
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
/// `_meta` key that opts into progress notifications, both eras.
pub const PROGRESS_TOKEN: &str = "progressToken";
/// The tasks extension (SEP-2663).
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Severity of a log message (RFC 5424 §6.2.1). Ordered: `Debug` is least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of RFC 5424")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    /// `None` for an unknown level.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(level, _)| level)
    }

    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What a client declared it can do. Unknown members are kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientCapabilities(pub Object);

impl ClientCapabilities {
    /// Form elicitation: `elicitation.form`, or `elicitation: {}` as 2025-06-18 wrote it.
    pub fn elicitation_form(&self) -> bool {
        self.object("elicitation").is_some_and(|e| e.contains_key("form") || !e.contains_key("url"))
    }

    /// URL elicitation.
    pub fn elicitation_url(&self) -> bool {
        self.object("elicitation").is_some_and(|e| e.contains_key("url"))
    }

    /// Sampling.
    pub fn sampling(&self) -> bool {
        self.object("sampling").is_some()
    }

    /// Sampling with tools.
    pub fn sampling_tools(&self) -> bool {
        self.object("sampling").is_some_and(|s| s.contains_key("tools"))
    }

    /// Roots.
    pub fn roots(&self) -> bool {
        self.object("roots").is_some()
    }

    /// An extension, by its identifier.
    pub fn extension(&self, identifier: &str) -> bool {
        self.object("extensions").is_some_and(|e| e.contains_key(identifier))
    }

    fn object(&self, key: &str) -> Option<&Object> {
        self.0.get(key)?.as_object()
    }
}

/// What a modern request says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestMeta {
    /// Modern and known.
    pub protocol_version: ProtocolVersion,
    /// Name and version of the client; self-reported.
    pub client_info: Option<Object>,
    /// Required.
    pub client_capabilities: ClientCapabilities,
    /// Log messages of at least this level are wanted; none at all without it.
    pub log_level: Option<LogLevel>,
    /// A string or number.
    pub progress_token: Option<Value>,
}

impl RequestMeta {
    /// Reads the metadata of a request whose version has been decided.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] naming the member that is missing or of a wrong type.
    pub(crate) fn read(protocol_version: ProtocolVersion, params: Option<&Object>) -> Result<Self, Error> {
        let empty = Object::new();
        let meta = meta_of(params).unwrap_or(&empty);
        let Some(Value::Object(capabilities)) = meta.get(CLIENT_CAPABILITIES) else {
            return Err(wrong(CLIENT_CAPABILITIES, "an object, and is required"));
        };
        let client_info = match meta.get(CLIENT_INFO) {
            None => None,
            Some(Value::Object(info)) => Some(info.clone()),
            Some(_) => return Err(wrong(CLIENT_INFO, "an object")),
        };
        let log_level = match meta.get(LOG_LEVEL) {
            None => None,
            Some(level) => Some(
                level
                    .as_str()
                    .and_then(LogLevel::parse)
                    .ok_or_else(|| wrong(LOG_LEVEL, "a log level such as \"info\""))?,
            ),
        };
        Ok(Self {
            protocol_version,
            client_info,
            client_capabilities: ClientCapabilities(capabilities.clone()),
            log_level,
            progress_token: progress_token(params)?,
        })
    }

    /// Writes the metadata into `params._meta`, over what is there under the same keys.
    pub fn insert(&self, params: &mut Object) {
        let meta = meta_mut(params);
        meta.insert(PROTOCOL_VERSION.to_owned(), self.protocol_version.as_str().into());
        meta.insert(CLIENT_CAPABILITIES.to_owned(), Value::Object(self.client_capabilities.0.clone()));
        set(meta, CLIENT_INFO, self.client_info.clone().map(Value::Object));
        set(meta, LOG_LEVEL, self.log_level.map(|level| level.as_str().into()));
        if let Some(token) = &self.progress_token {
            meta.insert(PROGRESS_TOKEN.to_owned(), token.clone());
        }
    }

    /// Takes the modern members out of `params._meta`; `progressToken` stays, both eras have it.
    pub fn strip(params: &mut Object) {
        let Some(Value::Object(meta)) = params.get_mut(META) else { return };
        for key in [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL] {
            meta.shift_remove(key);
        }
        if meta.is_empty() {
            params.shift_remove(META);
        }
    }
}

/// Whether `_meta` holds any of the members that only a modern client writes.
pub fn is_modern(params: Option<&Object>) -> bool {
    meta_of(params)
        .is_some_and(|meta| [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES].iter().any(|k| meta.contains_key(*k)))
}

/// The protocol version that `_meta` declares.
///
/// # Errors
/// [`Error::InvalidParams`] when it is missing or no string.
pub fn declared_version(params: Option<&Object>) -> Result<&str, Error> {
    meta_of(params)
        .and_then(|meta| meta.get(PROTOCOL_VERSION))
        .and_then(Value::as_str)
        .ok_or_else(|| wrong(PROTOCOL_VERSION, "a string, and is required"))
}

/// `_meta.progressToken`, both eras.
///
/// # Errors
/// [`Error::InvalidParams`] unless it is a string or number.
pub fn progress_token(params: Option<&Object>) -> Result<Option<Value>, Error> {
    match meta_of(params).and_then(|meta| meta.get(PROGRESS_TOKEN)) {
        None => Ok(None),
        Some(token @ (Value::String(_) | Value::Number(_))) => Ok(Some(token.clone())),
        Some(_) => Err(wrong(PROGRESS_TOKEN, "a string or an integer")),
    }
}

/// The `subscriptions/listen` request that a notification or result belongs to.
pub fn subscription_id(params: &Object) -> Option<RequestId> {
    RequestId::from_value(meta_of(Some(params))?.get(SUBSCRIPTION_ID)?)
}

/// `params._meta`, if it is an object.
pub fn meta_of(params: Option<&Object>) -> Option<&Object> {
    params?.get(META)?.as_object()
}

/// `params._meta` for writing; made, or replaced if it is no object.
pub fn meta_mut(params: &mut Object) -> &mut Object {
    let meta = params.entry(META).or_insert_with(|| Value::Object(Object::new()));
    if !meta.is_object() {
        *meta = Value::Object(Object::new());
    }
    match meta {
        Value::Object(meta) => meta,
        _ => unreachable!("made an object above"),
    }
}

fn set(meta: &mut Object, key: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            meta.insert(key.to_owned(), value);
        }
        None => {
            meta.shift_remove(key);
        }
    }
}

fn wrong(key: &str, must: &str) -> Error {
    Error::InvalidParams(format!("`params._meta[\"{key}\"]` must be {must}"))
}
