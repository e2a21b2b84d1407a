//! The register of assessed upstreams: every assessment, and every decision of a person about one.
//!
//! It only grows. What may follow from it (whether an upstream is served) is decided elsewhere.

use async_trait::async_trait;
use sallyport_model::{Timestamp, UpstreamName, assessment::Band};
use serde::{Deserialize, Serialize};

use crate::{Digest, StoreError};

/// Who brought an assessment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssessmentOrigin {
    /// An operator, from a file.
    Recorded,
    /// The gate, on its schedule.
    Scheduled,
}

/// An assessment of an upstream, without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessed {
    /// Which upstream it counts for.
    pub upstream: UpstreamName,
    /// When it began.
    pub assessed_at: Timestamp,
    /// When it came into the register.
    pub recorded_at: Timestamp,
    /// Who brought it.
    pub origin: AssessmentOrigin,
    /// What was assessed, as the document says.
    pub target: String,
    /// Why a target counts for this upstream that is not its own.
    pub target_differs: Option<String>,
    /// The evidence score, 0 to 20; `None` while a required check did not run.
    pub total: Option<u8>,
    /// The least that it can be.
    pub low: u8,
    /// The most.
    pub high: u8,
    /// The band of `total`.
    pub band: Option<Band>,
    /// [`crate::catalogue::definitions_digest`] of what was pinned while it ran; `None` where that is not known.
    pub definitions: Option<Digest>,
    /// Whether it decides. One that saw less than the one before and contradicts nothing of it does not.
    pub counts: bool,
}

impl Assessed {
    /// What counts for admission: the total, else the low end of the range.
    pub fn score(&self) -> u8 {
        self.total.unwrap_or(self.low)
    }
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// The score decides; an earlier hold or acceptance is over.
    Admitted,
    /// It is not served.
    Held,
    /// It is served until a date, whatever the score, as long as it offers what it offered then.
    Accepted,
}

/// A decision about an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionDecision {
    /// About which.
    pub upstream: UpstreamName,
    /// What.
    pub decided: Admission,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Who answers for the upstream from now on, if the decision names somebody.
    pub owner: Option<String>,
    /// Until when; of an acceptance always.
    pub until: Option<Timestamp>,
    /// When it was made.
    pub at: Timestamp,
    /// [`crate::catalogue::definitions_digest`] of what was pinned then.
    pub definitions: Digest,
}

/// What happened to an upstream in the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterEvent {
    /// It was assessed.
    Assessed(Assessed),
    /// Somebody decided.
    Decided(AdmissionDecision),
}

/// One entry of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterEntry {
    /// Strictly increasing over the whole register, without gaps among committed entries.
    pub number: u64,
    /// What happened.
    pub event: RegisterEvent,
}

/// How an upstream stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The newest assessment that counts.
    pub assessed: Option<Assessed>,
    /// The newest decision.
    pub decided: Option<AdmissionDecision>,
    /// When it was last assessed, whether that counts or not.
    pub last_assessed_at: Option<Timestamp>,
}

/// Storage of the register.
#[async_trait]
pub trait Assessments {
    /// Adds an assessment with its whole document, JSON; its number.
    async fn record_assessment(&self, assessed: &Assessed, document: &str) -> Result<u64, StoreError>;
    /// Adds a decision; its number.
    async fn decide_admission(&self, decision: &AdmissionDecision) -> Result<u64, StoreError>;
    /// How an upstream stands.
    async fn standing(&self, upstream: &UpstreamName) -> Result<Standing, StoreError>;
    /// The entries of an upstream, newest first, at most `limit`.
    async fn history(&self, upstream: &UpstreamName, limit: usize) -> Result<Vec<RegisterEntry>, StoreError>;
    /// The document of the assessment with that number.
    async fn assessment_document(&self, number: u64) -> Result<Option<String>, StoreError>;
    /// The number of the newest entry, 0 if there is none. Cheap: it is asked all the time.
    async fn register_number(&self) -> Result<u64, StoreError>;
    /// Entries after `number`, in order, at most `limit`.
    async fn register_after(&self, number: u64, limit: usize) -> Result<Vec<RegisterEntry>, StoreError>;
    /// Up to which entry the register is in the audit log.
    async fn register_logged(&self) -> Result<u64, StoreError>;
    /// Notes that it is there up to `number`; never goes back.
    async fn note_register_logged(&self, number: u64) -> Result<(), StoreError>;
}
