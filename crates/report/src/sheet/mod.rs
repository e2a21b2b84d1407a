//! A vendor's own answers to the ten questions, as `sallyport report --answers` writes them.
//!
//! [`AnswerSheet`] is filled from the live configuration and from measured figures. It says what is switched
//! on and what was measured, when and how; it claims no score.

mod markdown;
mod page;

use serde::{Deserialize, Serialize};

pub use markdown::markdown;
pub use page::html;

/// The version of the sheet's shape. A member may be added without raising it.
pub const SHEET_VERSION: u32 = 1;

/// The answers of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerSheet {
    /// [`SHEET_VERSION`].
    pub schema_version: u32,
    /// Who answers.
    pub vendor: String,
    /// For which product.
    pub product: String,
    /// The MCP endpoints that the answers are about.
    pub endpoints: Vec<String>,
    /// Where a customer asks back, at any hour: a mail address or a URL.
    pub contact: Option<String>,
    /// When the sheet was written, RFC 3339.
    pub prepared_at: String,
    /// Program and version.
    pub prepared_by: String,
    /// One for each question, in order.
    pub answers: Vec<SheetAnswer>,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetAnswer {
    /// 1 to 10.
    pub number: u8,
    /// In a few words (`sallyport_model::assessment::TITLES`).
    pub title: String,
    /// The answer, one paragraph a string; concrete: what is on, for whom, from which setting.
    pub text: Vec<String>,
    /// Numbers that belong to it.
    pub figures: Vec<Figure>,
    /// What stands behind it.
    pub state: EvidenceState,
    /// What it does not cover, a sentence each. An answer without limits is rarely true.
    pub limits: Vec<String>,
    /// Specifications, documents and settings that it refers to.
    pub references: Vec<String>,
}

/// A number, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is: `access token lifetime`, `deprovision to refusal, p99`.
    pub name: String,
    /// With its unit: `5 min`, `412 ms`.
    pub value: String,
    /// Where it comes from.
    pub origin: FigureOrigin,
}

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FigureOrigin {
    /// It was measured.
    Measured {
        /// When, RFC 3339.
        at: String,
        /// How, in a sentence: with which command, how many times, on what.
        how: String,
    },
    /// It is what the running configuration says.
    Configured {
        /// The setting: `tokens.access_ttl`.
        setting: String,
    },
}

/// What stands behind an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum EvidenceState {
    /// An assessment saw it.
    Observed {
        /// When, RFC 3339.
        at: String,
        /// Ids of the checks that passed.
        checks: Vec<String>,
    },
    /// Somebody answers for it.
    Attested {
        /// Who.
        owner: String,
        /// Where it is written down.
        document: String,
        /// Since when, `YYYY-MM-DD`.
        date: String,
        /// Until when, `YYYY-MM-DD`.
        expires: Option<String>,
    },
    /// It follows from the configuration; nobody has looked yet.
    Configured,
    /// There is no such control.
    Missing,
}

/// The state in a sentence.
fn state(state: &EvidenceState) -> String {
    use crate::{safe::line, words::instant};
    match state {
        EvidenceState::Observed { at, checks } => {
            let ids: Vec<String> = checks.iter().map(|check| line(check, 80)).collect();
            let by = if ids.is_empty() { String::new() } else { format!(" by {}", ids.join(", ")) };
            format!("Observed {}{by}", instant(at))
        }
        EvidenceState::Attested { owner, document, date, expires } => {
            let until = expires.as_ref().map(|date| format!(", until {}", line(date, 20))).unwrap_or_default();
            format!("Attested by {} in {}, {}{until}", line(owner, 120), line(document, 300), line(date, 20))
        }
        EvidenceState::Configured => "Follows from the running configuration; not yet assessed".to_owned(),
        EvidenceState::Missing => "There is no such control yet".to_owned(),
    }
}

/// Where a figure comes from, in a sentence.
fn origin(origin: &FigureOrigin) -> String {
    use crate::{safe::line, words::instant};
    match origin {
        FigureOrigin::Measured { at, how } => format!("measured {}: {}", instant(at), line(how, 300)),
        FigureOrigin::Configured { setting } => format!("setting {}", line(setting, 120)),
    }
}

#[cfg(test)]
mod tests;
