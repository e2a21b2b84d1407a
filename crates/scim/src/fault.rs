//! Why a request was refused, and what RFC 7644 §3.12 says of it on the wire.
//!
//! Every refusal has a status, a stable code, and a sentence that names the value. What went wrong inside
//! (storage, a bug) is kept for the log and never told to the client.

use serde_json::{Value, json};

use crate::directory::DirectoryError;

const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// A refusal. The text is a sentence for the client's administrator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The filter does not parse, is too large, or compares what cannot be compared (400 `invalidFilter`).
    #[error("{0}")]
    InvalidFilter(String),
    /// The body is not JSON, or not the message that the endpoint takes (400 `invalidSyntax`).
    #[error("{0}")]
    InvalidSyntax(String),
    /// A PATCH path does not parse or names no attribute (400 `invalidPath`).
    #[error("{0}")]
    InvalidPath(String),
    /// A PATCH path selects nothing (400 `noTarget`).
    #[error("{0}")]
    NoTarget(String),
    /// A value is missing or of the wrong type (400 `invalidValue`).
    #[error("{0}")]
    InvalidValue(String),
    /// The attribute may not be changed like this (400 `mutability`).
    #[error("{0}")]
    Mutability(String),
    /// The answer would cost too much (400 `tooMany`).
    #[error("{0}")]
    TooMany(String),
    /// Another resource has this value (409 `uniqueness`).
    #[error("another resource has this `{0}` already")]
    Uniqueness(&'static str),
    /// No such resource or endpoint (404).
    #[error("{0}")]
    NotFound(String),
    /// The endpoint does not take this method (405).
    #[error("the method is not allowed here; allowed: {allow}")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// The resource changed since the client read it (412).
    #[error("the resource has changed: its version is now {now}, the request was for {asked}")]
    PreconditionFailed {
        /// The current entity-tag.
        now: String,
        /// The header's value, shortened.
        asked: String,
    },
    /// The body or the number of bulk operations is over the limit (413).
    #[error("{0}")]
    TooLarge(String),
    /// Part of RFC 7644 that this service does not offer (501).
    #[error("{0}")]
    NotImplemented(String),
    /// Forbidden by the specification or by the deployment's limits (403).
    #[error("{0}")]
    Forbidden(String),
    /// Others kept changing the resource, or bulk references run in a circle (409).
    #[error("{0}")]
    Conflict(String),
    /// The store cannot be reached; nothing was changed (503). The text is for the log only.
    #[error("the directory is not available: {0}")]
    Unavailable(String),
}

impl Fault {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidFilter(_)
            | Self::InvalidSyntax(_)
            | Self::InvalidPath(_)
            | Self::NoTarget(_)
            | Self::InvalidValue(_)
            | Self::Mutability(_)
            | Self::TooMany(_) => 400,
            Self::Forbidden(_) => 403,
            Self::NotFound(_) => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::Uniqueness(_) | Self::Conflict(_) => 409,
            Self::PreconditionFailed { .. } => 412,
            Self::TooLarge(_) => 413,
            Self::NotImplemented(_) => 501,
            Self::Unavailable(_) => 503,
        }
    }

    /// A stable name for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidFilter(_) => "scim_invalid_filter",
            Self::InvalidSyntax(_) => "scim_invalid_syntax",
            Self::InvalidPath(_) => "scim_invalid_path",
            Self::NoTarget(_) => "scim_no_target",
            Self::InvalidValue(_) => "scim_invalid_value",
            Self::Mutability(_) => "scim_mutability",
            Self::TooMany(_) => "scim_too_many",
            Self::Uniqueness(_) => "scim_uniqueness",
            Self::NotFound(_) => "scim_not_found",
            Self::MethodNotAllowed { .. } => "scim_method_not_allowed",
            Self::PreconditionFailed { .. } => "scim_precondition_failed",
            Self::TooLarge(_) => "scim_too_large",
            Self::NotImplemented(_) => "scim_not_implemented",
            Self::Forbidden(_) => "scim_forbidden",
            Self::Conflict(_) => "scim_conflict",
            Self::Unavailable(_) => "scim_unavailable",
        }
    }

    /// The detail keyword of RFC 7644 table 9, where there is one.
    pub fn scim_type(&self) -> Option<&'static str> {
        match self {
            Self::InvalidFilter(_) => Some("invalidFilter"),
            Self::InvalidSyntax(_) => Some("invalidSyntax"),
            Self::InvalidPath(_) => Some("invalidPath"),
            Self::NoTarget(_) => Some("noTarget"),
            Self::InvalidValue(_) => Some("invalidValue"),
            Self::Mutability(_) => Some("mutability"),
            Self::TooMany(_) => Some("tooMany"),
            Self::Uniqueness(_) => Some("uniqueness"),
            _ => None,
        }
    }

    /// The error message of RFC 7644 §3.12.
    pub fn body(&self) -> Value {
        let detail = match self {
            Self::Unavailable(_) => "the directory is not available; nothing was changed, try again later".to_owned(),
            other => other.to_string(),
        };
        let mut body = json!({ "schemas": [ERROR_SCHEMA], "status": self.status().to_string(), "detail": detail });
        if let Some(keyword) = self.scim_type() {
            body["scimType"] = json!(keyword);
        }
        body
    }
}

/// A version conflict is not here: the engine retries it or turns it into 412.
impl From<DirectoryError> for Fault {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Taken { attribute } => Self::Uniqueness(attribute),
            DirectoryError::Conflict => Self::Conflict("the resource changed meanwhile; read it and try again".into()),
            DirectoryError::Gone => Self::NotFound("the resource is gone".into()),
            DirectoryError::Refused(why) => Self::Forbidden(why),
            DirectoryError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// A stranger's text, short enough for a sentence.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_the_shape_of_section_3_12() {
        let body = Fault::InvalidValue("`userName` is missing".into()).body();
        assert_eq!(body["schemas"], json!([ERROR_SCHEMA]));
        assert_eq!(body["status"], "400", "a string, as the RFC has it");
        assert_eq!(body["scimType"], "invalidValue");
        assert_eq!(body["detail"], "`userName` is missing");
        assert!(Fault::NotFound(String::new()).body().get("scimType").is_none());
    }

    #[test]
    fn what_the_store_said_stays_inside() {
        let fault = Fault::from(DirectoryError::Unavailable("host db-7 refused".into()));
        assert_eq!(fault.status(), 503);
        assert!(fault.to_string().contains("db-7"));
        assert!(!fault.body().to_string().contains("db-7"));
    }

    #[test]
    fn a_strangers_text_is_shortened_and_has_no_control_characters() {
        assert_eq!(shown("a\nb"), "a\u{fffd}b");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), 61);
    }
}
