//! A text taken apart: sentences, words, figures, and what is only a plan.
//!
//! It knows nothing of the questions, and judges no truth.

/// What a sentence must hold besides words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// A number and a unit of time.
    Duration,
    /// A mail address, a link or a telephone number.
    Contact,
}

/// One sentence.
#[derive(Debug, Clone)]
pub(crate) struct Sentence {
    /// As it was written.
    pub(crate) text: String,
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    /// A comma, a bracket or a colon stands before it.
    pause: bool,
}

/// What makes a sentence a plan or a way round: each begins a word.
const NO_CONTROL: &[&str] = &[
    "are evaluating",
    "are considering",
    "are exploring",
    "are investigating",
    "available on request",
    "available upon request",
    "coming soon",
    "contact sales",
    "in progress",
    "in the future",
    "intend to",
    "is planned",
    "are planned",
    "next quarter",
    "next release",
    "next year",
    "not yet",
    "on our roadmap",
    "on the roadmap",
    "plan to",
    "planned for",
    "planning to",
    "roadmap",
    "tbd",
    "to be determined",
    "under development",
    "under nda",
    "upcoming",
    "will add",
    "will be added",
    "will be available",
    "will be implemented",
    "will be introduced",
    "will be supported",
    "will implement",
    "will introduce",
    "will offer",
    "will support",
    "working on",
];

const NEGATIONS: &[&str] = &["no", "not", "never", "cannot", "without", "lack", "lacks", "neither", "nor", "none"];
const NEGATIONS_AFTER: &[&str] = &["not", "never", "unsupported", "unavailable", "missing"];
/// What says that something is not so, before or after it.
const DENIALS: &[&str] = &[
    "no",
    "not",
    "never",
    "cannot",
    "without",
    "disabled",
    "removed",
    "refused",
    "rejected",
    "unsupported",
    "forbidden",
    "prohibited",
];
/// Words that end the reach of a negation, besides a pause.
const CLAUSE: &[&str] = &["and", "but", "or", "while", "so", "because"];
/// How many words before a term a negation reaches.
const REACH: usize = 4;
/// How many words after a term a negation still turns it.
const REACH_AFTER: usize = 3;
/// How far from what it denies a denial stands.
const REACH_DENIAL: usize = 6;

/// The sentences of `text`; an empty one is none.
pub(crate) fn sentences(text: &str) -> Vec<Sentence> {
    let mut all = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = end_of_sentence(rest);
        let (sentence, after) = rest.split_at(end);
        let sentence = sentence.trim();
        if sentence.chars().any(char::is_alphanumeric) {
            all.push(Sentence { text: sentence.to_owned(), words: words(sentence) });
        }
        rest = after;
    }
    all
}

/// After the first mark that ends a sentence: a full stop only where a space or nothing follows it.
fn end_of_sentence(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next_is_space =
            chars.peek().is_none_or(|(_, next)| next.is_whitespace() || matches!(next, '"' | '”' | ')'));
        if matches!(c, '\n' | ';') || (matches!(c, '.' | '!' | '?') && next_is_space) {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// Lower case; a hyphen, a slash or an underscore parts words, a full stop inside a number or a name does not.
fn words(text: &str) -> Vec<Word> {
    let mut all: Vec<Word> = Vec::new();
    let mut pause = false;
    let text = text.to_lowercase().replace("n't ", " not ").replace("n’t ", " not ");
    for piece in text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | ',' | ':' | '(' | ')' | '@' | '+'))) {
        if piece.starts_with('(') {
            pause = true;
        }
        let word = piece.trim_matches(['.', ',', ':', '(', ')']);
        if !word.is_empty() {
            all.push(Word { text: word.to_owned(), pause });
            pause = false;
        }
        pause |= piece.ends_with([',', ':', ')', '(']);
    }
    all
}

impl Sentence {
    /// The phrase that makes this a plan, where there is one.
    pub(crate) fn plan(&self) -> Option<&'static str> {
        NO_CONTROL.iter().find(|phrase| self.places(phrase).next().is_some()).copied()
    }

    /// Whether it holds `term`, and nothing turns it into its opposite. A `*` at the end stands for any ending.
    pub(crate) fn affirms(&self, term: &str) -> bool {
        let length = term.split(' ').count();
        self.places(term).any(|at| !self.turned(at, length))
    }

    /// Whether it holds `term`, and says that it is not so.
    pub(crate) fn denies(&self, term: &str) -> bool {
        let length = term.split(' ').count();
        self.places(term).any(|at| {
            let around = at.saturating_sub(REACH_DENIAL)..(at + length + REACH_DENIAL).min(self.words.len());
            self.words[around].iter().any(|word| DENIALS.contains(&word.text.as_str()))
        })
    }

    /// Whether it holds `term` at all.
    pub(crate) fn names(&self, term: &str) -> bool {
        self.places(term).next().is_some()
    }

    fn places<'a>(&'a self, term: &'a str) -> impl Iterator<Item = usize> + 'a {
        let term: Vec<&str> = term.split(' ').collect();
        (0..self.words.len()).filter(move |at| {
            let rest = &self.words[*at..];
            rest.len() >= term.len() && term.iter().zip(rest).all(|(wanted, word)| matches(wanted, &word.text))
        })
    }

    fn turned(&self, at: usize, length: usize) -> bool {
        let mut nearest = at;
        for back in (at.saturating_sub(REACH)..at).rev() {
            if self.words[nearest].pause || CLAUSE.contains(&self.words[back].text.as_str()) {
                break;
            }
            if NEGATIONS.contains(&self.words[back].text.as_str()) {
                return true;
            }
            nearest = back;
        }
        for word in self.words.iter().skip(at + length).take(REACH_AFTER) {
            if word.pause || CLAUSE.contains(&word.text.as_str()) {
                break;
            }
            if NEGATIONS_AFTER.contains(&word.text.as_str()) {
                return true;
            }
        }
        false
    }

    /// Whether it holds such a figure.
    pub(crate) fn figure(&self, figure: Figure) -> bool {
        match figure {
            Figure::Duration => self.longest().is_some(),
            Figure::Contact => self.text.split_whitespace().any(is_contact) || has_telephone(&self.text),
        }
    }

    /// The longest time that it names, in seconds.
    pub(crate) fn longest(&self) -> Option<u64> {
        let seconds = (0..self.words.len()).filter_map(|at| self.duration(at));
        seconds.max_by(f64::total_cmp).map(|seconds| seconds.ceil() as u64)
    }

    fn duration(&self, at: usize) -> Option<f64> {
        let word = self.words[at].text.as_str();
        let digits = word.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(word.len());
        let (number, unit) = word.split_at(digits);
        if !number.is_empty() && !unit.is_empty() {
            return Some(number.parse::<f64>().ok()? * seconds_in(unit, true)?);
        }
        let number = number.parse::<f64>().ok().or_else(|| number_word(word))?;
        let mut after = self.words[at + 1..].iter().map(|word| word.text.as_str());
        let unit = after.find(|word| !matches!(*word, "business" | "calendar" | "working"))?;
        Some(number * seconds_in(unit, false)?)
    }
}

fn matches(wanted: &str, word: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == wanted,
    }
}

fn seconds_in(unit: &str, attached: bool) -> Option<f64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" if attached => 1.0,
        "m" if attached => 60.0,
        "h" if attached => 3600.0,
        "d" if attached => 86_400.0,
        "sec" | "secs" | "second" | "seconds" => 1.0,
        "min" | "mins" | "minute" | "minutes" => 60.0,
        "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "day" | "days" => 86_400.0,
        "week" | "weeks" => 604_800.0,
        "month" | "months" => 2_629_800.0,
        "year" | "years" => 31_557_600.0,
        _ => return None,
    })
}

fn number_word(word: &str) -> Option<f64> {
    const WORDS: [(&str, f64); 17] = [
        ("one", 1.0),
        ("two", 2.0),
        ("three", 3.0),
        ("four", 4.0),
        ("five", 5.0),
        ("six", 6.0),
        ("seven", 7.0),
        ("eight", 8.0),
        ("nine", 9.0),
        ("ten", 10.0),
        ("twelve", 12.0),
        ("fifteen", 15.0),
        ("twenty", 20.0),
        ("thirty", 30.0),
        ("sixty", 60.0),
        ("ninety", 90.0),
        ("hundred", 100.0),
    ];
    WORDS.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

fn is_contact(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
    if word.starts_with("https://") || word.starts_with("http://") || word.starts_with("tel:") {
        return word.len() > 12;
    }
    let Some((name, host)) = word.split_once('@') else { return false };
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+'));
    !name.is_empty() && plain(name) && plain(host) && host.split('.').filter(|label| !label.is_empty()).count() >= 2
}

/// `+49 30 1234567`: a plus, then seven digits or more, with spaces and hyphens between them.
fn has_telephone(text: &str) -> bool {
    text.split('+').skip(1).any(|after| {
        let number = after.chars().take_while(|c| c.is_ascii_digit() || matches!(c, ' ' | '-' | '(' | ')'));
        number.filter(char::is_ascii_digit).count() >= 7
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Sentence {
        sentences(text).remove(0)
    }

    #[test]
    fn sentences_end_where_they_end() {
        let texts: Vec<String> =
            sentences("We use OAuth 2.1 (PKCE). It holds! \n\n . Next; last").into_iter().map(|s| s.text).collect();
        assert_eq!(texts, ["We use OAuth 2.1 (PKCE).", "It holds!", "Next;", "last"]);
    }

    #[test]
    fn a_plan_is_seen_and_a_fact_is_not_one() {
        for plan in ["We are working on it.", "DPoP is planned for Q3.", "SAML is not yet there", "We'll see: TBD"] {
            assert!(one(plan).plan().is_some(), "{plan}");
        }
        for fact in ["Customers will be notified within 72 hours.", "The floor plan is blue.", "An approval expires."] {
            assert!(one(fact).plan().is_none(), "{fact}");
        }
    }

    #[test]
    fn a_negation_turns_what_stands_near() {
        for (text, term, affirmed) in [
            ("We support PKCE.", "pkce", true),
            ("We do not support PKCE.", "pkce", false),
            ("We don't support PKCE.", "pkce", false),
            ("PKCE is not supported.", "pkce", false),
            ("There is no support for PKCE", "pkce", false),
            ("Tokens are bound to the session and cannot be transferred.", "bound", true),
            ("Admins revoke agent credentials without affecting the user.", "revoke", true),
            ("No implicit grant, only PKCE", "pkce", true),
            ("Access is revoked, not suspended", "revoked", true),
        ] {
            assert_eq!(one(text).affirms(term), affirmed, "{text}");
            assert!(one(text).names(term));
        }
    }

    #[test]
    fn durations_need_a_number_and_a_unit() {
        for (text, seconds) in [
            ("within 15 minutes", Some(900)),
            ("a 15-minute lifetime", Some(900)),
            ("for 60s", Some(60)),
            ("in five minutes", Some(300)),
            ("[48/72] hours", Some(259_200)),
            ("48/72 hours", Some(259_200)),
            ("after 250 ms", Some(1)),
            ("two business days", Some(172_800)),
            ("5 minutes idle, 24h in all", Some(86_400)),
            ("[X] minutes", None),
            ("PKCE S256 is used", None),
            ("24/7", None),
            ("immediately", None),
            ("9999999999999999999999 years", Some(u64::MAX)),
        ] {
            assert_eq!(one(text).longest(), seconds, "{text}");
        }
    }

    #[test]
    fn a_contact_is_an_address_and_no_placeholder() {
        for text in ["at security@vendor.example 24/7", "see https://vendor.example/security.", "call +49 30 1234567"] {
            assert!(one(text).figure(Figure::Contact), "{text}");
        }
        for text in ["security@[vendor.com]", "mail us", "@home", "5 + 7"] {
            assert!(!one(text).figure(Figure::Contact), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_losing_words(text in "\\PC{0,200}") {
            let all = sentences(&text);
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
            prop_assert_eq!(all.iter().map(|s| letters(&s.text)).sum::<usize>(), letters(&text));
            for sentence in all {
                let _ = (sentence.plan(), sentence.longest(), sentence.figure(Figure::Contact), sentence.affirms("pkce"));
            }
        }
    }
}
