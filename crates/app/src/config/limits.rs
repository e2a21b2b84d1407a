//! `[limits]`: bounds on what one client may ask.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// Bounds on what one client may ask.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request body. Default: 4194304.
    pub body_bytes: usize,
    /// Levels of JSON nesting. Default: 64.
    pub json_depth: usize,
    /// Calls in progress of one principal. Default: 64.
    pub calls: usize,
    /// Long-lived streams of one principal. Default: 16.
    pub streams: usize,
    /// Legacy MCP sessions of one principal. Default: 16.
    pub sessions: usize,
    /// Minutes after which an unused session ends. Default: 30.
    pub session_idle_minutes: u32,
    /// Minutes that a call waits for a person's input. Default: 10.
    pub parked_minutes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let gate = sallyport_proxy::Limits::default();
        Self {
            body_bytes: gate.body_bytes,
            json_depth: gate.json_depth,
            calls: gate.calls,
            streams: gate.streams,
            sessions: gate.sessions,
            session_idle_minutes: 30,
            parked_minutes: 10,
        }
    }
}

impl Limits {
    /// As the gate takes them.
    pub fn gate(&self) -> sallyport_proxy::Limits {
        let minutes = |n: u32| Duration::from_secs(u64::from(n.max(1)) * 60);
        sallyport_proxy::Limits {
            body_bytes: self.body_bytes,
            json_depth: self.json_depth,
            calls: self.calls,
            streams: self.streams,
            sessions: self.sessions,
            session_idle: minutes(self.session_idle_minutes),
            parked: minutes(self.parked_minutes),
            ..sallyport_proxy::Limits::default()
        }
    }
}
