//! Whether an upstream is served at all: asked for every message, stream and session, before anything of it is
//! forwarded, and again before a result is released.
//!
//! The only maker of [`Admitted`], without which no message goes on. It never looks into the store by itself.

use sallyport_model::{Timestamp, UpstreamName};
use sallyport_storage::Digest;

use crate::{gate::Gate, served::Served};

/// Why an upstream is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Held {
    /// A person holds it.
    #[error("the operator holds it")]
    ByPerson,
    /// The deployment demands a score and there is none.
    #[error("it has not been assessed")]
    NotAssessed,
    /// Its score is too low.
    #[error("its last assessment is below what the operator demands")]
    BelowMinimum,
    /// It offers something else than what was assessed or accepted.
    #[error("it offers something else than when it was assessed")]
    Drifted,
    /// This node cannot tell.
    #[error("the register of assessed servers cannot be read")]
    Unknown,
}

impl Held {
    /// The stable code, as in the audit log.
    pub fn code(self) -> &'static str {
        match self {
            Self::ByPerson => "upstream_held",
            Self::NotAssessed => "upstream_not_assessed",
            Self::BelowMinimum => "upstream_below_minimum",
            Self::Drifted => "upstream_drifted",
            Self::Unknown => "admission_unknown",
        }
    }
}

/// Knows which upstreams may be served; wired by the app.
pub trait Admission: Send + Sync {
    /// Whether `upstream` may be served `now`, offering what `definitions` is the digest of
    /// ([`sallyport_storage::definitions_digest`]). Asked all the time: it must not wait for anything.
    ///
    /// # Errors
    /// Why not.
    fn admitted(&self, upstream: &UpstreamName, definitions: &Digest, now: Timestamp) -> Result<(), Held>;
    /// Whether it can tell at all, for `/readyz`.
    fn is_known(&self) -> bool;
}

/// The proof that a message's upstream was admitted when the message arrived.
#[derive(Debug)]
pub(crate) struct Admitted(());

impl Gate {
    /// Admits a message or stream to `served`.
    pub(crate) fn admit(&self, served: &Served) -> Result<Admitted, Held> {
        self.admitted(served).map(Admitted)
    }

    /// Whether `served` may be served now.
    pub(crate) fn admitted(&self, served: &Served) -> Result<(), Held> {
        self.admission().admitted(served.name(), served.live().definitions(), self.clock().now())
    }

    /// Whether what is open at an upstream has to end. A node that cannot tell ends nothing here: it denies.
    pub(crate) fn is_held(&self, upstream: &UpstreamName) -> bool {
        let held = self.served(upstream).map(|served| self.admitted(&served));
        matches!(held, Some(Err(held)) if held != Held::Unknown)
    }
}
