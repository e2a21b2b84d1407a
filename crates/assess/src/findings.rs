//! What the probes found: one outcome a check, written once.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use sallyport_model::assessment::{CheckResult, Source};

use crate::catalogue;

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How.
    pub result: CheckResult,
    /// What was seen, or why nothing was: one sentence.
    pub observed: String,
    /// Who says so.
    pub source: Source,
    /// Numbers of the exchanges that show it.
    pub exchanges: Vec<u32>,
}

/// Collects outcomes. A check that failed once stays failed; one that passed may still fail.
#[derive(Debug, Default)]
pub struct Findings(Mutex<BTreeMap<&'static str, Finding>>);

impl Findings {
    /// The control is there.
    pub fn pass(&self, check: &'static str, observed: impl Into<String>, exchanges: &[u32]) {
        self.add(check, CheckResult::Pass, observed.into(), exchanges);
    }

    /// The control is not there.
    pub fn fail(&self, check: &'static str, observed: impl Into<String>, exchanges: &[u32]) {
        self.add(check, CheckResult::Fail, observed.into(), exchanges);
    }

    /// Nobody could tell, and why.
    pub fn unseen(&self, check: &'static str, why: impl Into<String>, exchanges: &[u32]) {
        self.add(check, CheckResult::NotAssessable, why.into(), exchanges);
    }

    /// The check has no meaning for this target, and why.
    pub fn not_applicable(&self, check: &'static str, why: impl Into<String>) {
        self.add(check, CheckResult::NotApplicable, why.into(), &[]);
    }

    /// [`Self::pass`] or [`Self::fail`].
    pub fn decide(&self, check: &'static str, held: bool, observed: impl Into<String>, exchanges: &[u32]) {
        let result = if held { CheckResult::Pass } else { CheckResult::Fail };
        self.add(check, result, observed.into(), exchanges);
    }

    /// Nobody could tell, but the vendor states that the control is there. What was decided stays.
    pub fn attest(&self, check: &'static str, statement: impl Into<String>) {
        let finding = Finding {
            result: CheckResult::Pass,
            observed: statement.into(),
            source: Source::Attested,
            exchanges: Vec::new(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(check).is_none_or(|before| before.result == CheckResult::NotAssessable) {
            all.insert(check, finding);
        }
    }

    /// How a check ended so far.
    pub fn result(&self, check: &str) -> Option<CheckResult> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(check).map(|finding| finding.result)
    }

    /// Everything, by check.
    pub fn all(&self) -> BTreeMap<&'static str, Finding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, check: &'static str, result: CheckResult, observed: String, exchanges: &[u32]) {
        debug_assert!(catalogue::find(check).is_some(), "{check} is not in the rubric");
        let decided = matches!(result, CheckResult::Pass | CheckResult::Fail);
        let source = if decided { Source::Observed } else { Source::None };
        let finding = Finding { result, observed, source, exchanges: exchanges.to_vec() };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(check).map(|before| before.result) {
            Some(CheckResult::Fail) => {}
            Some(CheckResult::Pass) if result != CheckResult::Fail => {}
            _ => drop(all.insert(check, finding)),
        }
    }
}
