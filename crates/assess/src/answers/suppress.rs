//! Failures that somebody chose to live with, until a day. They stay visible, and still count.

use std::collections::BTreeMap;

use jiff::civil::Date;
use sallyport_model::{
    Timestamp,
    assessment::{Assessment, CheckResult, Suppression},
};
use serde::Deserialize;

use super::date;
use crate::{
    catalogue,
    hooks::{FileError, strict},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    suppress: Vec<Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    check: String,
    reason: String,
    owner: String,
    until: String,
}

/// The suppressions file, read.
#[derive(Debug, Clone, Default)]
pub struct Suppressions(BTreeMap<&'static str, (Date, Suppression)>);

impl Suppressions {
    /// Reads a suppressions file (TOML, `[[suppress]]`). `file` is its name for errors.
    ///
    /// # Errors
    /// [`FileError`] with place and remedy: a check that is not in the rubric or stands twice, a reason or owner
    /// that is empty, a day that is none.
    pub fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        let tables: Tables = strict::parse(text, file)?;
        let mut all = BTreeMap::new();
        for (table, number) in tables.suppress.into_iter().zip(1..) {
            let field = |key: &str| format!("suppress {number}.{key}");
            let Some(check) = catalogue::find(&table.check) else {
                let nearest = strict::nearest(&table.check, catalogue::all().map(|check| check.id)).unwrap_or_default();
                let what = format!("there is no check `{}`", table.check);
                return Err(FileError::field(file, &field("check"), what, format!("did you mean `{nearest}`?")));
            };
            for (key, value) in [("reason", &table.reason), ("owner", &table.owner)] {
                if value.trim().is_empty() {
                    return Err(FileError::field(file, &field(key), "is empty", "say why, and who answers for it"));
                }
            }
            let until = date::read(&table.until, file, &field("until"))?;
            let suppression = Suppression { reason: table.reason, owner: table.owner, until: table.until };
            if all.insert(check.id, (until, suppression)).is_some() {
                let what = format!("`{}` is suppressed twice", check.id);
                return Err(FileError::field(file, &field("check"), what, "remove one of the two"));
            }
        }
        Ok(Self(all))
    }

    /// Marks the failures of `assessment` that somebody lives with. It changes no result and no score.
    pub fn mark(&self, assessment: &mut Assessment, now: Timestamp) {
        let evidence = assessment.questions.iter_mut().flat_map(|question| &mut question.evidence);
        for evidence in evidence.filter(|evidence| evidence.result == CheckResult::Fail) {
            evidence.suppressed = self.active(&evidence.check, now).cloned();
        }
    }

    /// The suppression of `check`, unless its day is past.
    pub fn active(&self, check: &str, now: Timestamp) -> Option<&Suppression> {
        let today = date::of(now);
        self.0.get(check).filter(|(until, _)| *until >= today).map(|(_, suppression)| suppression)
    }

    /// The checks whose suppression has run out.
    pub fn expired(&self, now: Timestamp) -> Vec<&'static str> {
        let today = date::of(now);
        self.0.iter().filter(|(_, (until, _))| *until < today).map(|(check, _)| *check).collect()
    }
}
