//! Results across the eras: `resultType`, `ttlMs`, `cacheScope` (2026-07-28 basic/index ResultType,
//! server/utilities/caching).

use serde_json::Value;

use crate::{
    json::Object,
    meta::{SERVER_INFO, meta_mut},
    methods::rule,
};

/// What a modern result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType<'a> {
    /// The final answer; also when `resultType` is absent.
    Complete,
    /// See [`super::input`].
    InputRequired,
    /// A task handle (SEP-2663).
    Task,
    /// An extension's, or no string at all (then empty). A client that does not know it must refuse it.
    Other(&'a str),
}

impl<'a> ResultType<'a> {
    /// Reads `resultType`.
    pub fn of(result: &'a Object) -> Self {
        match result.get("resultType").map(|kind| kind.as_str().unwrap_or_default()) {
            None | Some("complete") => Self::Complete,
            Some("input_required") => Self::InputRequired,
            Some("task") => Self::Task,
            Some(other) => Self::Other(other),
        }
    }
}

/// Makes a legacy upstream's final result one for a modern client.
///
/// `resultType` becomes `complete` whatever stood there: in the legacy era it has no meaning, and an
/// upstream must not open a round trip by it. Cacheable methods get `ttlMs` (the upstream's if it is a
/// whole number, else `ttl_ms`) and `cacheScope: "private"`.
pub fn to_modern(method: &str, result: &mut Object, ttl_ms: u64) {
    result.insert("resultType".to_owned(), "complete".into());
    if rule(method).cacheable {
        if !result.get("ttlMs").is_some_and(Value::is_u64) {
            result.insert("ttlMs".to_owned(), ttl_ms.into());
        }
        result.insert("cacheScope".to_owned(), "private".into());
    }
}

/// Makes a modern upstream's final result one for a legacy client. `ttlMs` of methods that are not cacheable
/// belongs to something else and stays.
pub fn to_legacy(method: &str, result: &mut Object) {
    result.shift_remove("resultType");
    if rule(method).cacheable {
        result.shift_remove("ttlMs");
        result.shift_remove("cacheScope");
    }
}

/// Forbids shared caches to keep a modern upstream's result: what a principal is shown is filtered. Does
/// nothing to results that carry no caching hints by their method or type.
pub fn make_private(method: &str, result: &mut Object) {
    if rule(method).cacheable && ResultType::of(result) == ResultType::Complete {
        result.insert("cacheScope".to_owned(), "private".into());
        result.entry("ttlMs").or_insert_with(|| 0.into());
    }
}

/// Writes who serves into `_meta`, where the modern era wants it.
pub fn identify(result: &mut Object, server_info: &Object) {
    meta_mut(result).insert(SERVER_INFO.to_owned(), Value::Object(server_info.clone()));
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
