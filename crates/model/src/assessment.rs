//! The result of an assessment: the document that `sallyport assess --format json` prints and that every
//! other format is made from.
//!
//! It holds what was seen and what follows by the rubric; it decides nothing. Every string in it may come
//! from a hostile server: whoever shows one escapes it.

use serde::{Deserialize, Serialize};

/// The version of this document's shape. A member may be added without raising it.
pub const SCHEMA_VERSION: u32 = 1;
/// The most points that one question gives.
pub const QUESTION_MAX: u8 = 2;
/// The most points in all.
pub const TOTAL_MAX: u8 = 20;

/// One assessment of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The URL, `stdio:` and a command, or `answers:` and a file.
    pub target: String,
    /// What the server says that it is.
    pub server: Option<ServerAbout>,
    /// `streamable-http`, `sse`, `stdio`, or `none` when no server was asked.
    pub transport: String,
    /// Every protocol version that the server agreed to, newest first.
    pub protocol_versions: Vec<String>,
    /// When it began, RFC 3339.
    pub assessed_at: String,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// Program and version.
    pub assessor: String,
    /// What the assessor was given: `person`, `second person`, `agent`, `hook deprovision`, …
    pub access: Vec<String>,
    /// All ten, in order.
    pub questions: Vec<Question>,
    /// The evidence score; `None` while a required check did not run and would matter.
    pub total: Option<u8>,
    /// The least and the most that the evidence score can be.
    pub total_range: [u8; 2],
    /// The score of the vendor's own answers, where there is a sheet.
    pub answer_total: Option<u8>,
    /// [`TOTAL_MAX`].
    pub max: u8,
    /// The band of `total`; `None` where that is.
    pub band: Option<Band>,
    /// The bands that `total_range` reaches, worst first. One alone is a verdict even without a total.
    pub bands_possible: Vec<Band>,
    /// What the server offered, to tell a later run what has changed. At most 1000.
    #[serde(default)]
    pub definitions: Vec<DefinitionDigest>,
    /// What was sent and what came back, as far as evidence refers to it.
    pub exchanges: Vec<Exchange>,
}

/// One definition that a server offered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DefinitionDigest {
    /// `tools`, `resources`, `resourceTemplates` or `prompts`.
    pub kind: String,
    /// Its name or URI.
    pub name: String,
    /// SHA-256 over its canonical JSON (RFC 8785), lowercase hexadecimal.
    pub sha256: String,
}

/// A server about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAbout {
    /// `serverInfo.name`.
    pub name: String,
    /// `serverInfo.version`.
    pub version: String,
}

/// One of the ten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// 1 to 10.
    pub number: u8,
    /// In a few words.
    pub title: String,
    /// 0, 1 or 2 by evidence; `None` while it could still be either.
    pub score: Option<u8>,
    /// The least and the most that it can be.
    pub range: [u8; 2],
    /// [`QUESTION_MAX`].
    pub max: u8,
    /// Of the weights of all checks that were decided, the part that passed, in percent.
    pub points: Option<u8>,
    /// The score in a word.
    pub verdict: Verdict,
    /// Why it cannot be more: a sentence for each check that holds it down.
    pub held_down_by: Vec<String>,
    /// The vendor's answer, where there is one.
    pub answer: Option<Answer>,
    /// Every check of this question, decided or not.
    pub evidence: Vec<Evidence>,
    /// What to do next; empty at full score.
    pub remedy: String,
}

/// A score in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// 2.
    Met,
    /// 1.
    Partial,
    /// 0.
    NotMet,
    /// Between two of them.
    NotAssessable,
}

/// What a vendor says, and how specific that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// 0, 1 or 2 by the document's own rule.
    pub score: u8,
    /// The text.
    pub text: String,
    /// Where it is written down.
    pub document: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When it was said, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// Until when it holds, `YYYY-MM-DD`.
    pub expires: Option<String>,
    /// What is missing for the next point.
    pub complaints: Vec<String>,
}

/// One check and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Stable id.
    pub check: String,
    /// What it looks at.
    pub title: String,
    /// How it ended.
    pub result: CheckResult,
    /// What was seen, or why nothing was.
    pub observed: String,
    /// Who says so.
    pub source: Source,
    /// How much a failure weighs.
    pub severity: Severity,
    /// Specification and section.
    pub reference: String,
    /// What to do when it failed.
    pub remedy: String,
    /// Numbers of [`Exchange`]s.
    pub exchanges: Vec<u32>,
    /// Present where somebody chose to live with a failure; it still counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppression>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// The control is there.
    Pass,
    /// It is not.
    Fail,
    /// Nobody could tell: neither 0 nor 2.
    NotAssessable,
    /// It has no meaning for this target.
    NotApplicable,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Seen by the assessor.
    Observed,
    /// The vendor's statement.
    Attested,
    /// Nobody.
    None,
}

/// How much a failure weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Should be mended.
    Medium,
    /// Keeps the question from its full score.
    High,
    /// Takes the question to nothing.
    Critical,
}

/// A failure that somebody chose to live with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Why.
    pub reason: String,
    /// Who.
    pub owner: String,
    /// Until when, `YYYY-MM-DD`.
    pub until: String,
}

/// What a total means (the document's own bands and advice).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Below 10.
    DoNotEnable,
    /// 10 to 15.
    ReviewAndRemediate,
    /// 16 to 20.
    Proceed,
}

impl Band {
    /// The band of a total.
    pub fn of(total: u8) -> Self {
        match total {
            16.. => Self::Proceed,
            10..=15 => Self::ReviewAndRemediate,
            _ => Self::DoNotEnable,
        }
    }

    /// In a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Proceed => "strong security posture",
            Self::ReviewAndRemediate => "meaningful gaps",
            Self::DoNotEnable => "do not enable",
        }
    }

    /// What to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Proceed => "Go on with procurement as usual.",
            Self::ReviewAndRemediate => {
                "Ask for a technical security review and a commitment to close the gaps before approval."
            }
            Self::DoNotEnable => "Do not enable it in production until the gaps are closed; escalate to the CISO.",
        }
    }
}

/// One request and its response, as far as they may be kept: credentials are cut to a few characters, bodies to
/// a few kilobytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// From 1.
    pub number: u32,
    /// The check that needed it.
    pub check: String,
    /// `GET https://…`, `stdio tools/list`, `hook deprovision`.
    pub request: String,
    /// Header lines, credentials redacted.
    pub request_headers: Vec<(String, String)>,
    /// The body, redacted and cut.
    pub request_body: String,
    /// HTTP status or exit code; `None` where there was no answer.
    pub status: Option<i32>,
    /// Header lines.
    pub response_headers: Vec<(String, String)>,
    /// The body or the reason why there is none, redacted and cut.
    pub response_body: String,
    /// Milliseconds.
    pub elapsed_ms: u64,
    /// How to do it again by hand, with placeholders for credentials.
    pub replay: String,
}

/// The titles of the ten questions, from the first.
pub const TITLES: [&str; 10] = [
    "OAuth 2.1 + PKCE authorization model",
    "IdP integration and deprovisioning",
    "Agent identity management",
    "Least-privilege scopes and restriction",
    "Prompt injection prevention",
    "Token lifetime and rotation",
    "Agent-aware audit trail",
    "Cross-app access and audience validation",
    "Human-in-the-loop for high-risk actions",
    "Incident response path",
];
