//! Why a change was not made, by whose fault it is.

use std::fmt;

use sallyport_identity::IdentityError;
use sallyport_storage::StoreError;

/// Why a change was not made. Nothing of it was, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be done as it was asked; the caller's fault.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The store failed; whoever asked must take it as not done.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored, or a key, cannot be used; the operator's fault.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log takes no event, so nothing was changed.
    #[error("the change cannot be put on record, so it was not made: {0}")]
    Record(String),
    /// Another server did not do its part; what it said.
    #[error("{what}")]
    Elsewhere {
        /// What happened.
        what: String,
        /// What to do, where that is known.
        remedy: Option<String>,
    },
    /// A computation that cannot fail did.
    #[error("{0} failed")]
    Internal(&'static str),
}

/// A stable name for a reason. New ones may come; none changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// What it is about is not there, or not the caller's.
    NotFound,
    /// A value cannot be used.
    InvalidValue,
    /// A lifetime outside of what the operator allows.
    OutOfBounds,
    /// Something of that name is there already.
    AlreadyExists,
    /// It contradicts what is there.
    Conflict,
    /// The configuration file decides this, not the API.
    Configured,
    /// A tenant has as many connections as it may have.
    TooManyConnections,
    /// Somebody changed it meanwhile.
    Stale,
}

impl Code {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::InvalidValue => "invalid_value",
            Self::OutOfBounds => "out_of_bounds",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::Configured => "configured",
            Self::TooManyConnections => "too_many_connections",
            Self::Stale => "stale",
        }
    }
}

/// What cannot be done as it was asked, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub code: Code,
    /// Which member of the request, in the API's words: `name`, `settings.grant_seconds`.
    pub field: &'static str,
    /// What is wrong. It may quote what others wrote.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.remedy.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.what, self.remedy) }
    }
}

impl Fault {
    pub(crate) fn refused(code: Code, field: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal { code, field, what: what.into(), remedy: remedy.into() }))
    }

    pub(crate) fn invalid(field: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::refused(Code::InvalidValue, field, what, remedy)
    }

    pub(crate) fn not_found(field: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::refused(Code::NotFound, field, what, remedy)
    }

    pub(crate) fn stale() -> Self {
        let what = "somebody else changed it meanwhile";
        Self::refused(Code::Stale, "", what, "look at it again, and repeat the change if it is still wanted")
    }
}
