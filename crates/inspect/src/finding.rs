//! What a detector says: one finding, and the bounded collection of them. Never decides what follows from it.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range};

pub use sallyport_model::assessment::Severity;
use serde::{Serialize, Serializer};

/// The most findings that one call returns; the most severe are kept.
pub const MAX_FINDINGS: usize = 32;

/// The most findings of one detector at one severity that are gathered before it is left out.
const MAX_ALIKE: usize = 8;

/// A detector; its text is stable and appears in reports, policies and exceptions.
///
/// Each says what it catches and what it misses. All miss what is split over several fields or calls, and
/// what is encoded (base64, ciphers, pictures).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DetectorId {
    /// *Catches* orders to drop, forget or replace earlier instructions or the model's role, in English and
    /// by set phrases in German, French, Spanish, Italian, Portuguese, Russian, Chinese and Japanese.
    /// *Misses* paraphrase without such a verb, requests that just give another task, other languages.
    InstructionOverride,
    /// *Catches* orders to keep something from the user, or to pass it off as normal output. *Misses* hints
    /// without a negation ("our little secret"). A sentence about a flag ("if true, do not notify the user")
    /// is not one.
    Concealment,
    /// *Catches* orders to read key files, credentials, the system prompt or the conversation and to put them
    /// in an argument, an answer or a message. *Misses* secrets that are only paraphrased ("that long string
    /// from the dashboard") and everyday requests in mail ("send me the report").
    SecretHarvest,
    /// *Catches* markup that pretends to rank above the text around it: `<IMPORTANT>` with orders inside, turns
    /// of chat templates, forged ends of tool results. *Misses* tags with invented names and plain headings.
    PseudoTag,
    /// *Catches* text of a result that addresses the reading model ("note to the AI", "if you are an LLM").
    /// Of low severity in a definition, which is written for the model. *Misses* a bare "you".
    AddressedToModel,
    /// *Catches* a result that wants a tool called to send, share, pay or delete. *Misses* orders that name no
    /// tool; a hint at the next tool ("use `get_page` for more") is of low severity.
    ToolCoercion,
    /// *Catches* text of a result that asks for something to be sent to an address. Low severity in a result: people write
    /// such mail every day; only the context can tell.
    ActRequest,
    /// *Catches* orders not to ask for confirmation. *Misses* plain statements that nothing will be asked.
    ApprovalBypass,
    /// *Catches* a definition that changes how another tool is used: its recipient, destination, a copy to a
    /// third party, a ban on it. *Misses* rules that name no tool at all. Order of calls ("first call
    /// `list_projects`") is ordinary.
    ToolShadowing,
    /// *Catches* parameters made to carry the conversation, the prompt or the reasoning (`sidenote`,
    /// `conversation_history`, …). *Misses* harmless names with a harmless description.
    SuspiciousParameter,
    /// *Catches* Unicode tag characters (U+E0000–E007F), which spell invisible ASCII. Flags of regions stay.
    HiddenTags,
    /// *Catches* zero-width and other invisible characters that split words or form codes. Joiners in emoji,
    /// Persian, Indic and other joining scripts stay. *Misses* a code with one character per word in them.
    HiddenZeroWidth,
    /// *Catches* overrides, and embeddings or isolates that are unbalanced or stand in text without any
    /// right-to-left letter. *Misses* reordering by right-to-left letters themselves.
    HiddenBidi,
    /// *Catches* variation selectors in runs or on characters that have no variants. *Misses* one selector per
    /// emoji used as a code.
    HiddenVariationSelectors,
    /// *Catches* private-use characters, which mean only what a font says. Of low severity in results, where
    /// icons are common.
    HiddenPrivateUse,
    /// *Catches* terminal escape sequences and control characters. Colours in results stay. *Misses* sequences
    /// written as text (`\x1b[`).
    ControlSequence,
    /// *Catches* HTML and Markdown comments with words in a definition, with orders in a result.
    HiddenComment,
    /// *Catches* elements styled invisible: any in a definition, those with orders in a result. *Misses*
    /// classes whose style is elsewhere, and text in the background's colour other than white.
    HiddenStyle,
    /// *Catches* keys and passwords: known shapes, and assignments whose value looks random. Published
    /// examples and placeholders are left out or of low severity. *Misses* weak passwords in prose and keys of
    /// services without a known prefix outside an assignment.
    Secret,
    /// *Catches* Markdown or HTML images and links whose query carries encoded text or a place to fill in.
    /// *Misses* short values, data in the path or host name, and references (`[x][1]`).
    ExfiltrationLink,
    /// *Catches* links that run something: `javascript:`, `vbscript:`, `data:` other than pictures, sound,
    /// video and fonts.
    ActiveLink,
    /// *Catches* a name that reads like a sibling's: equal but for case, separators or confusable characters,
    /// or one slip away in a long word. Plurals and numbers are ordinary. *Misses* synonyms.
    LookAlikeName,
    /// *Catches* a name in characters of another script that reads as ASCII.
    MixedScriptName,
    /// *Catches* `readOnlyHint: true` on what plainly deletes, sends or writes by its English name or first
    /// sentence. *Misses* other languages and vague names.
    ReadOnlyImplausible,
    /// *Catches* `destructiveHint: false` on what plainly deletes by its English name or first sentence.
    DestructiveImplausible,
}

impl DetectorId {
    /// Every detector.
    pub const ALL: [Self; 25] = [
        Self::InstructionOverride,
        Self::Concealment,
        Self::SecretHarvest,
        Self::PseudoTag,
        Self::AddressedToModel,
        Self::ToolCoercion,
        Self::ActRequest,
        Self::ApprovalBypass,
        Self::ToolShadowing,
        Self::SuspiciousParameter,
        Self::HiddenTags,
        Self::HiddenZeroWidth,
        Self::HiddenBidi,
        Self::HiddenVariationSelectors,
        Self::HiddenPrivateUse,
        Self::ControlSequence,
        Self::HiddenComment,
        Self::HiddenStyle,
        Self::Secret,
        Self::ExfiltrationLink,
        Self::ActiveLink,
        Self::LookAlikeName,
        Self::MixedScriptName,
        Self::ReadOnlyImplausible,
        Self::DestructiveImplausible,
    ];

    /// The stable text, in kebab case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InstructionOverride => "instruction-override",
            Self::Concealment => "concealment",
            Self::SecretHarvest => "secret-harvest",
            Self::PseudoTag => "pseudo-tag",
            Self::AddressedToModel => "addressed-to-model",
            Self::ToolCoercion => "tool-coercion",
            Self::ActRequest => "act-request",
            Self::ApprovalBypass => "approval-bypass",
            Self::ToolShadowing => "tool-shadowing",
            Self::SuspiciousParameter => "suspicious-parameter",
            Self::HiddenTags => "hidden-tags",
            Self::HiddenZeroWidth => "hidden-zero-width",
            Self::HiddenBidi => "hidden-bidi",
            Self::HiddenVariationSelectors => "hidden-variation-selectors",
            Self::HiddenPrivateUse => "hidden-private-use",
            Self::ControlSequence => "control-sequence",
            Self::HiddenComment => "hidden-comment",
            Self::HiddenStyle => "hidden-style",
            Self::Secret => "secret",
            Self::ExfiltrationLink => "exfiltration-link",
            Self::ActiveLink => "active-link",
            Self::LookAlikeName => "look-alike-name",
            Self::MixedScriptName => "mixed-script-name",
            Self::ReadOnlyImplausible => "read-only-implausible",
            Self::DestructiveImplausible => "destructive-implausible",
        }
    }
}

impl fmt::Display for DetectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for DetectorId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// By whom.
    pub detector: DetectorId,
    /// How much it weighs. [`Severity::Low`] is worth knowing and no ground to refuse.
    pub severity: Severity,
    /// JSON pointer (RFC 6901) of the string, or of the member whose name it is; empty for a bare text. Cut off
    /// with an ellipsis after 1 KiB.
    pub place: String,
    /// Bytes of that string (UTF-8, unescaped) that gave rise to it.
    pub at: Range<usize>,
    /// A short excerpt that is safe on a terminal; invisible characters are shown as `\u{..}`, secrets cut.
    pub excerpt: String,
    /// Why, in one line of fixed words (decoded hidden text apart).
    pub why: Cow<'static, str>,
}

/// Gathers findings without ever growing past a fixed number.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    alike: BTreeMap<(DetectorId, Severity), usize>,
}

impl Findings {
    /// Whether more of this kind would be left out anyway; lets a detector stop early.
    pub(crate) fn is_full(&self, detector: DetectorId, severity: Severity) -> bool {
        self.alike.get(&(detector, severity)).is_some_and(|count| *count >= MAX_ALIKE)
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        let overlaps = |other: &Finding| {
            other.detector == finding.detector
                && other.place == finding.place
                && other.at.start < finding.at.end.max(finding.at.start + 1)
                && finding.at.start < other.at.end.max(other.at.start + 1)
        };
        if let Some(known) = self.found.iter_mut().find(|other| overlaps(other)) {
            if finding.severity > known.severity {
                *known = finding;
            }
            return;
        }
        let count = self.alike.entry((finding.detector, finding.severity)).or_default();
        if *count < MAX_ALIKE {
            *count += 1;
            self.found.push(finding);
        }
    }

    /// The most severe first, then in the order of the text; at most [`MAX_FINDINGS`].
    pub(crate) fn finish(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.found.truncate(MAX_FINDINGS);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kebab_case_and_unique() {
        let ids: std::collections::BTreeSet<_> = DetectorId::ALL.iter().map(|id| id.as_str()).collect();
        assert_eq!(ids.len(), DetectorId::ALL.len());
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')), "{ids:?}");
    }

    #[test]
    fn severe_findings_survive_a_flood_of_light_ones() {
        let mut findings = Findings::default();
        let finding = |severity, at| Finding {
            detector: DetectorId::Concealment,
            severity,
            place: String::new(),
            at: at..at + 1,
            excerpt: String::new(),
            why: "".into(),
        };
        (0..1000).for_each(|at| findings.push(finding(Severity::Low, at)));
        findings.push(finding(Severity::High, 2000));
        let found = findings.finish();
        assert_eq!((found.len(), found[0].severity), (MAX_ALIKE + 1, Severity::High));
    }
}
