//! Why a security event, or something else of a transmitter's, is refused.

use crate::{
    oidc::{JwtFault, OidcFault},
    strict::NotAnObject,
};

/// Why something of a transmitter's is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalFault {
    /// A token fails what every token must pass.
    #[error(transparent)]
    Jwt(#[from] JwtFault),
    /// A URL or another part of its metadata.
    #[error(transparent)]
    Oidc(#[from] OidcFault),
    /// A document is not one unambiguous JSON object.
    #[error("the {what} cannot be read: {why}")]
    Document {
        /// Which document.
        what: &'static str,
        /// What is wrong with it.
        why: NotAnObject,
    },
    /// A document is larger than is read.
    #[error("the {what} is larger than is read")]
    TooLarge {
        /// Which document.
        what: &'static str,
    },
    /// A member is missing or malformed.
    #[error("`{name}` {why}")]
    Member {
        /// The member.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The metadata or the stream are of another transmitter.
    #[error("this is of the transmitter `{found}`; `{expected}` was asked")]
    Transmitter {
        /// Theirs.
        found: String,
        /// Who was asked.
        expected: String,
    },
    /// The subject identifier is malformed.
    #[error("the subject identifier {why}")]
    Subject {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The subject identifier has a format that we do not know.
    #[error("the subject identifier's format `{format}` is not known")]
    SubjectFormat {
        /// `format`.
        format: String,
    },
    /// There is no event, or there are too many.
    #[error("the token holds {found} events; 1 to 16 are read")]
    Events {
        /// How many.
        found: usize,
    },
    /// An event lacks a member that its definition demands, or holds a malformed one.
    #[error("the event {event}: `{name}` is missing or malformed")]
    Event {
        /// The last part of its type.
        event: &'static str,
        /// The member.
        name: &'static str,
    },
    /// The transmitter answered with another status.
    #[error("the transmitter answered {status}{}", description.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Answer {
        /// The HTTP status.
        status: u16,
        /// What it said.
        description: Option<String>,
    },
}

impl SignalFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Jwt(fault) => fault.code(),
            Self::Oidc(fault) => fault.code(),
            Self::Document { .. } => "signal_document",
            Self::TooLarge { .. } => "signal_too_large",
            Self::Member { .. } => "signal_member",
            Self::Transmitter { .. } => "signal_transmitter",
            Self::Subject { .. } => "signal_subject",
            Self::SubjectFormat { .. } => "signal_subject_format",
            Self::Events { .. } => "signal_events",
            Self::Event { .. } => "signal_event",
            Self::Answer { .. } => "signal_answer",
        }
    }

    /// What an administrator can do.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Jwt(fault) => return fault.remedy(),
            Self::Oidc(fault) => return fault.remedy(),
            Self::Transmitter { .. } => "copy the transmitter's issuer into the stream's settings, to the letter",
            Self::SubjectFormat { .. } => {
                "have the transmitter name people by email, iss_sub, opaque id, account or phone number"
            }
            Self::Answer { status: 401, .. } => "check the token that the transmitter gave for stream management",
            Self::Answer { status: 403, .. } => "allow this receiver to manage streams at the transmitter",
            Self::Answer { status: 404, .. } => "create the stream again: the transmitter does not know it",
            Self::Answer { status: 409, .. } => "the transmitter has a stream for us already: read and update that one",
            Self::Answer { status: 429, .. } => "wait for the stream's min_verification_interval and try again",
            _ => return None,
        })
    }
}
