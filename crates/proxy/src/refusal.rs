//! What the gate answers when it says no, in one place: HTTP status, JSON-RPC error, challenge.

use http::StatusCode;
use sallyport_mcp::{Era, RequestId, RpcError, errors};
use sallyport_model::{Decision, Reason, RecordError, ScopeSet};
use sallyport_oauth::TokenFault;
use serde_json::json;

use crate::{possession::Unproved, revocation::Dead, upstream::UpstreamError};

/// Why a request goes no further. Nothing of it was forwarded, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No upstream of that name.
    #[error("there is no MCP server at this path")]
    NoSuchUpstream,
    /// A page of a foreign origin, or a request for a foreign host.
    #[error("the {0} header names a site that may not call this server")]
    ForeignSite(&'static str),
    /// Not a verb of the endpoint.
    #[error("use POST, GET or DELETE")]
    Verb,
    /// A verb that this upstream does not offer.
    #[error("{0}")]
    NotOffered(&'static str),
    /// No token.
    #[error("sign in first: send an access token in the Authorization header")]
    NoToken,
    /// A token where none may be, or several.
    #[error("send exactly one access token, in the Authorization header, as Bearer or DPoP")]
    TokenPlace,
    /// A token that is not good here.
    #[error("the access token is not valid here")]
    BadToken(TokenFault),
    /// A token that is good here, from somebody who does not hold its key.
    #[error(transparent)]
    Unproved(#[from] Unproved),
    /// A token that was good once, or may be; or an upstream that is not served.
    #[error("{}", dead_text(.0))]
    Dead(Dead),
    /// Denied.
    #[error("{}", deny_text(.0))]
    Denied(Reason),
    /// The bytes are not a message that can be understood.
    #[error("{0}")]
    Malformed(sallyport_mcp::Refusal),
    /// The HTTP around the message is wrong.
    #[error("{what}")]
    Http {
        /// The status.
        status: StatusCode,
        /// What is wrong, and the remedy.
        what: String,
    },
    /// No such session, or not this principal's.
    #[error("there is no such session: send `initialize` again")]
    NoSession,
    /// The session ended while a call of it was in progress.
    #[error("the session ended before this was answered, and it may have been executed: send `initialize` again")]
    SessionEnded,
    /// A response that answers nothing that was asked.
    #[error("the response answers no open request of this session")]
    NothingAsked,
    /// A retry whose state cannot be used.
    #[error("`requestState` is not valid for this request: {0}; start the request anew without it")]
    State(&'static str),
    /// The upstream failed. What it may have done is in the text.
    #[error("the MCP server behind this gate failed: {what}")]
    Upstream {
        /// A stable code.
        code: &'static str,
        /// What happened, and whether the request may have been executed.
        what: String,
    },
    /// The person has to link her account at the upstream first.
    #[error("connect your account at this server first: open {url} in a browser, then try again")]
    LinkRequired {
        /// The gate's page for it.
        url: String,
    },
    /// The audit log takes nothing: nobody passes.
    #[error("the audit log is not available, so nothing is allowed; tell the operator")]
    NoRecord(#[from] RecordError),
    /// The call was executed, but its record failed.
    #[error("the call was executed and its result is withheld, because the audit log is not available")]
    ExecutedUnrecorded,
    /// A store failed.
    #[error("the gate cannot reach its store, so nothing is allowed; tell the operator")]
    Store,
}

fn dead_text(dead: &Dead) -> String {
    match dead {
        Dead::Stopped => "the gate stopped".to_owned(),
        Dead::Held(held) => format!("this server is not available at this gate: {held}; ask the operator"),
        Dead::Revoked | Dead::Unknown => "the access token is not valid any more".to_owned(),
    }
}

fn deny_text(reason: &Reason) -> String {
    match reason {
        Reason::InsufficientScope { .. } => "the access token does not cover this operation".to_owned(),
        Reason::NotInCatalogue { name } => format!("unknown name: {}", name.chars().take(128).collect::<String>()),
        Reason::UpstreamNotGranted => "your organisation may not use this server".to_owned(),
        Reason::MethodNotAllowed { method } => {
            format!("method not found: {}", method.chars().take(64).collect::<String>())
        }
        Reason::LimitReached { limit } => format!("the limit `{limit}` is reached; try again later"),
    }
}

impl Refusal {
    /// The HTTP status of the answer to a request that has an id. An upstream that is not served is told in a
    /// JSON-RPC error under 200: clients lose the body of any other status, and some of them wait for an answer
    /// for ever then (python-sdk 3091). What has no id, and so no answer, gets its status.
    pub(crate) fn answer_status(&self, era: Era) -> StatusCode {
        if matches!(self, Self::Dead(Dead::Held(_))) { StatusCode::OK } else { self.status(era) }
    }

    /// The HTTP status towards a client of `era`.
    pub(crate) fn status(&self, era: Era) -> StatusCode {
        match self {
            Self::NoSuchUpstream | Self::NoSession | Self::SessionEnded => StatusCode::NOT_FOUND,
            Self::ForeignSite(_) => StatusCode::FORBIDDEN,
            Self::Verb | Self::NotOffered(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoToken | Self::TokenPlace | Self::BadToken(_) | Self::Unproved(_) | Self::Dead(Dead::Revoked) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Dead(Dead::Unknown | Dead::Stopped | Dead::Held(_)) | Self::NoRecord(_) | Self::Store => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Denied(reason) => denied_status(reason, era),
            Self::Malformed(refusal) => refusal.status(era),
            Self::Http { status, .. } => *status,
            Self::NothingAsked | Self::State(_) => StatusCode::BAD_REQUEST,
            // A JSON-RPC error in an answer is what every client can show; a bare 502 is not.
            Self::Upstream { .. } | Self::LinkRequired { .. } => StatusCode::OK,
            Self::ExecutedUnrecorded => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code for the audit log.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoSuchUpstream => "no_such_upstream",
            Self::ForeignSite(_) => "foreign_site",
            Self::Verb | Self::NotOffered(_) => "verb",
            Self::NoToken => "no_token",
            Self::TokenPlace => "token_place",
            Self::BadToken(fault) => fault.code(),
            Self::Unproved(why) => why.code(),
            Self::Dead(Dead::Revoked) => "token_revoked",
            Self::Dead(Dead::Unknown) => "revocations_unknown",
            Self::Dead(Dead::Stopped) => "gate_stopped",
            Self::Dead(Dead::Held(held)) => held.code(),
            Self::Denied(reason) => reason.code(),
            Self::Malformed(_) => "malformed",
            Self::Http { .. } => "http",
            Self::NoSession => "no_session",
            Self::SessionEnded => "session_ended",
            Self::NothingAsked => "nothing_asked",
            Self::State(_) => "request_state",
            Self::Upstream { code, .. } => code,
            Self::LinkRequired { .. } => "link_required",
            Self::NoRecord(_) => "no_record",
            Self::ExecutedUnrecorded => "executed_unrecorded",
            Self::Store => "store",
        }
    }

    /// The JSON-RPC error in the body.
    pub(crate) fn rpc(&self) -> RpcError {
        let (code, data) = match self {
            Self::Malformed(refusal) => return refusal.error.rpc(),
            Self::Denied(Reason::NotInCatalogue { .. }) | Self::State(_) => (errors::INVALID_PARAMS, None),
            Self::Denied(Reason::MethodNotAllowed { .. }) => (errors::METHOD_NOT_FOUND, None),
            Self::Denied(Reason::InsufficientScope { needed }) => {
                (errors::INVALID_REQUEST, Some(json!({ "error": "insufficient_scope", "scope": needed })))
            }
            Self::LinkRequired { url } => (errors::INTERNAL_ERROR, Some(json!({ "reason": self.code(), "url": url }))),
            Self::NoRecord(_)
            | Self::ExecutedUnrecorded
            | Self::Store
            | Self::Upstream { .. }
            | Self::Dead(Dead::Unknown | Dead::Stopped | Dead::Held(_)) => {
                (errors::INTERNAL_ERROR, Some(json!({ "reason": self.code() })))
            }
            // Which check a token failed is for the log; a stranger learns nothing from probing.
            Self::BadToken(fault) => (errors::INVALID_REQUEST, Some(json!({ "reason": fault.outside() }))),
            Self::Unproved(why) => (errors::INVALID_REQUEST, Some(json!({ "reason": why.error() }))),
            _ => (errors::INVALID_REQUEST, Some(json!({ "reason": self.code() }))),
        };
        RpcError { data, ..RpcError::new(code, self.to_string()) }
    }

    /// The id to answer to, where the refusal knows it.
    pub(crate) fn id(&self) -> Option<RequestId> {
        match self {
            Self::Malformed(refusal) => refusal.id.clone(),
            _ => None,
        }
    }
}

fn denied_status(reason: &Reason, era: Era) -> StatusCode {
    match reason {
        Reason::InsufficientScope { .. } | Reason::UpstreamNotGranted => StatusCode::FORBIDDEN,
        Reason::LimitReached { .. } => StatusCode::TOO_MANY_REQUESTS,
        Reason::NotInCatalogue { .. } => StatusCode::OK,
        Reason::MethodNotAllowed { .. } if era == Era::Modern => StatusCode::NOT_FOUND,
        Reason::MethodNotAllowed { .. } => StatusCode::OK,
    }
}

impl From<UpstreamError> for Refusal {
    fn from(error: UpstreamError) -> Self {
        if let UpstreamError::LinkRequired { url } = error {
            return Self::LinkRequired { url };
        }
        let done = if error.sent() { "; the request may have been executed" } else { "; nothing was executed" };
        Self::Upstream { code: error.code(), what: format!("{error}{done}") }
    }
}

/// Turns a decision into a step on or a refusal.
pub(crate) fn allowed(decision: Decision) -> Result<(), Refusal> {
    match decision {
        Decision::Allow => Ok(()),
        Decision::Deny(reason) => Err(Refusal::Denied(reason)),
    }
}

/// A value for `WWW-Authenticate` (RFC 6750 section 3, RFC 9728 section 5.1).
pub(crate) fn challenge(refusal: &Refusal, resource_metadata: &str, initial: &ScopeSet) -> Option<String> {
    let head = format!("Bearer resource_metadata=\"{resource_metadata}\"");
    match refusal {
        Refusal::NoToken => Some(format!("{head}, scope=\"{initial}\"")),
        Refusal::TokenPlace | Refusal::BadToken(_) | Refusal::Dead(Dead::Revoked) => {
            Some(format!("{head}, scope=\"{initial}\", error=\"invalid_token\", error_description=\"{refusal}\""))
        }
        Refusal::Unproved(why) => {
            let error = why.error();
            Some(format!("{head}, scope=\"{initial}\", error=\"{error}\", error_description=\"{refusal}\""))
        }
        Refusal::Denied(Reason::InsufficientScope { needed }) => {
            Some(format!("{head}, scope=\"{needed}\", error=\"insufficient_scope\", error_description=\"{refusal}\""))
        }
        _ => None,
    }
}
