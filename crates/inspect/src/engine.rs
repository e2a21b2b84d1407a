//! One string through every detector of text. Pure; knows nothing of definitions.

use std::{borrow::Cow, ops::Range};

use crate::{
    excerpt,
    finding::{DetectorId, Finding, Findings, Severity},
    hidden, links, markup, phrases, secrets,
};

/// What kind of text it is: the same words are ordinary in one and not in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// Written for the model, in advance, by whoever wrote the server.
    Definition,
    /// Content from anywhere.
    Result,
}

/// One string under inspection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) text: &'a str,
    pub(crate) place: &'a str,
    pub(crate) surface: Surface,
}

impl Subject<'_> {
    pub(crate) fn is_definition(&self) -> bool {
        self.surface == Surface::Definition
    }

    /// A finding about the bytes `at`, with the text around them.
    pub(crate) fn finding(
        &self,
        detector: DetectorId,
        severity: Severity,
        at: Range<usize>,
        why: impl Into<Cow<'static, str>>,
    ) -> Finding {
        let excerpt = excerpt::around(self.text, &at);
        Finding { detector, severity, place: excerpt::place(self.place), at, excerpt, why: why.into() }
    }
}

/// Runs every detector of text.
pub(crate) fn inspect(subject: Subject<'_>, findings: &mut Findings) {
    hidden::inspect(subject, findings);
    secrets::inspect(subject, findings);
    links::inspect(subject, findings);
    markup::inspect(subject, findings);
    phrases::inspect(subject, findings);
}
