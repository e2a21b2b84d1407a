//! Names that read like another's. Compares names only; knows nothing of what the tools do.

use std::collections::HashMap;

use sallyport_mcp::{catalogue::Definition, methods::ListKind};
use unicode_security::{MixedScript, confusable_detection::skeleton};

use crate::{
    excerpt,
    finding::{
        DetectorId::{LookAlikeName, MixedScriptName},
        Finding, Findings,
        Severity::{High, Low, Medium},
    },
};

/// A slip in a shorter word is as likely another word (`get`, `set`).
const LONG_WORD: usize = 6;
/// Nobody reads a longer name letter by letter (bytes).
const MOST_READ: usize = 256;

/// The names of a catalogue, each read once: pairs of them are compared by number.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    all: Vec<Name<'a>>,
    normal: HashMap<String, usize>,
    plain: HashMap<String, usize>,
}

/// One name, as far as others are compared with it.
#[derive(Debug)]
struct Name<'a> {
    key: &'a str,
    kind: ListKind,
    /// Number of its [`normal`] form; `None` where no other has it.
    normal: Option<usize>,
    /// The same of its [`plain`] form.
    plain: Option<usize>,
    /// Empty where a slip in it does not count.
    words: Vec<Vec<char>>,
}

impl<'a> Names<'a> {
    /// Reads the names of `definitions`.
    pub(crate) fn of(definitions: &'a [Definition]) -> Self {
        let mut names = Self::default();
        for definition in definitions {
            let (normal, plain) = (normal(&definition.key).collect(), plain(&definition.key).collect());
            let (next_normal, next_plain) = (names.normal.len(), names.plain.len());
            let normal = Some(*names.normal.entry(normal).or_insert(next_normal));
            let plain = Some(*names.plain.entry(plain).or_insert(next_plain));
            names.all.push(Name { normal, plain, ..Name::alone(&definition.key, definition.kind) });
        }
        names
    }

    /// The likest sibling of a name, the first of those that are equally like it.
    fn likest(&self, key: &str, kind: ListKind) -> Option<(&'a str, Likeness)> {
        let numbered = |text: String, all: &HashMap<String, usize>| all.get(&text).copied();
        let name = Name {
            normal: numbered(normal(key).collect(), &self.normal),
            plain: numbered(plain(key).collect(), &self.plain),
            ..Name::alone(key, kind)
        };
        let mut likest: Option<(&str, Likeness)> = None;
        for other in self.all.iter().filter(|other| other.kind == kind && other.key != key) {
            let Some(likeness) = name.likeness(other) else { continue };
            if likest.is_none_or(|(_, known)| likeness > known) {
                likest = Some((other.key, likeness));
            }
            if likeness == Likeness::Confusable {
                break;
            }
        }
        likest
    }
}

impl<'a> Name<'a> {
    fn alone(key: &'a str, kind: ListKind) -> Self {
        let named = matches!(kind, ListKind::Tools | ListKind::Prompts) && key.len() <= MOST_READ;
        let words = if named { crate::annotations::words(key) } else { Vec::new() };
        let words = words.iter().map(|word| word.chars().collect()).collect();
        Self { key, kind, normal: None, plain: None, words }
    }

    fn likeness(&self, other: &Self) -> Option<Likeness> {
        if self.normal.is_some() && self.normal == other.normal {
            let spelling = self.plain.is_some() && self.plain == other.plain;
            return Some(if spelling { Likeness::Spelling } else { Likeness::Confusable });
        }
        let near = self.key.len().abs_diff(other.key.len()) <= 4;
        (near && one_slip(&self.words, &other.words)).then_some(Likeness::Slip)
    }
}

/// Compares a definition's name with its siblings' and with itself as ASCII.
pub(crate) fn inspect(definition: &Definition, siblings: &Names<'_>, findings: &mut Findings) {
    let name = definition.key.as_str();
    let place = format!("/{}", definition.kind.key());
    let finding = |detector, severity, excerpt, why| Finding {
        detector,
        severity,
        place: place.clone(),
        at: 0..name.len(),
        excerpt,
        why,
    };
    if !name.is_ascii() && skeleton(name).all(|c| c.is_ascii()) {
        let severity = if name.is_single_script() { Medium } else { High };
        let read = excerpt::shown(&skeleton(name).collect::<String>());
        let why = format!("it reads as {read:?} and is written in other characters").into();
        findings.push(finding(MixedScriptName, severity, excerpt::shown(&escaped(name)), why));
    }
    if let Some((sibling, likeness)) = siblings.likest(name, definition.kind) {
        let (severity, why) = match likeness {
            Likeness::Confusable => (High, "another name that reads the same"),
            Likeness::Spelling => (Medium, "another name that differs in case or separators only"),
            Likeness::Slip => (Low, "another name one slip away"),
        };
        let excerpt = format!("{} / {}", excerpt::shown(&escaped(name)), excerpt::shown(&escaped(sibling)));
        findings.push(finding(LookAlikeName, severity, excerpt, why.into()));
    }
}

/// Letters outside ASCII spelt out, as their looks are the point.
fn escaped(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii() {
            out.push(c)
        } else {
            out.extend(c.escape_unicode())
        }
        out
    })
}

/// The gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Slip,
    Spelling,
    Confusable,
}

/// How a name reads: its skeleton (UTS #39 §4) without case and separators.
fn normal(name: &str) -> impl Iterator<Item = char> + '_ {
    skeleton(name).flat_map(char::to_lowercase).filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
}

fn plain(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars().flat_map(char::to_lowercase).filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
}

/// Whether exactly one long word differs, by one letter or two swapped ones; plurals, tenses and numbers apart.
fn one_slip(a: &[Vec<char>], b: &[Vec<char>]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut different = a.iter().zip(b).filter(|(x, y)| x != y);
    match (different.next(), different.next()) {
        (Some((x, y)), None) => x.len().min(y.len()) >= LONG_WORD && slipped(x, y),
        _ => false,
    }
}

fn slipped(a: &[char], b: &[char]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let same = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let (short, long) = (&short[same..], &long[same..]);
    let number = |c: Option<&char>| c.is_some_and(|c| c.is_numeric());
    match long.len() - short.len() {
        // A last letter more is a plural, a tense or a number.
        1 => {
            short == &long[1..]
                && !(short.is_empty() && matches!(long[0], 's' | 'd' | 'r' | 'e' | 'y' | '0'..='9'))
                && !number(long.first())
        }
        0 if short.is_empty() || number(short.first()) || number(long.first()) => false,
        0 => {
            short[1..] == long[1..]
                || (short.len() >= 2 && short[0] == long[1] && short[1] == long[0] && short[2..] == long[2..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn likeness(a: &str, b: &str, kind: ListKind) -> Option<Likeness> {
        let raw = json!({"name": b, "uri": b, "inputSchema": {}});
        let siblings = [Definition::read(kind, raw).unwrap()];
        Names::of(&siblings).likest(a, kind).map(|(_, likeness)| likeness)
    }

    #[test]
    fn two_thousand_names_that_are_nearly_the_same_are_compared_in_time() {
        let name = |n: usize| format!("{}_{}{n}", "ab".repeat(60), "lI".repeat(n % 60));
        let tools: Vec<Definition> = (0..2000)
            .map(|n| Definition::read(ListKind::Tools, json!({"name": name(n), "inputSchema": {}})).unwrap())
            .collect();
        let begun = std::time::Instant::now();
        let names = Names::of(&tools);
        for tool in &tools {
            inspect(tool, &names, &mut Findings::default());
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn the_likest_sibling_is_told() {
        let tools = ["serach_mail", "search-mail", "sеarch_mail", "search_mall"]
            .map(|name| Definition::read(ListKind::Tools, json!({"name": name, "inputSchema": {}})).unwrap());
        let likest = |tools: &[Definition]| {
            Names::of(tools).likest("search_mail", ListKind::Tools).map(|(name, likeness)| (name.to_owned(), likeness))
        };
        assert_eq!(likest(&tools), Some(("sеarch_mail".to_owned(), Likeness::Confusable)));
        assert_eq!(likest(&tools[..2]), Some(("search-mail".to_owned(), Likeness::Spelling)));
        assert_eq!(likest(&tools[..1]), Some(("serach_mail".to_owned(), Likeness::Slip)));
    }

    #[test]
    fn likenesses() {
        let tools = ListKind::Tools;
        for (a, b) in [("read_file", "rеad_file"), ("mail_send", "rnail_send"), ("list_a", "Iist_a"), ("pay", "рay")]
        {
            assert_eq!(likeness(a, b, tools), Some(Likeness::Confusable), "{a} {b}");
        }
        for (a, b) in [("read_file", "readFile"), ("read-file", "read_file"), ("Read_File", "read_file")] {
            assert_eq!(likeness(a, b, tools), Some(Likeness::Spelling), "{a} {b}");
        }
        for (a, b) in
            [("transfer_funds", "tranfer_funds"), ("search_mail", "serach_mail"), ("delete_file", "delate_file")]
        {
            assert_eq!(likeness(a, b, tools), Some(Likeness::Slip), "{a} {b}");
        }
        for (a, b) in [
            ("get_user", "set_user"),
            ("get_user", "get_users"),
            ("list_file", "list_files"),
            ("step_1", "step_2"),
            ("archive_mail", "archived_mail"),
            ("lock", "unlock"),
            ("read_file", "read_text_file"),
            ("version1", "version2"),
            ("list_directory", "list_directory_with_sizes"),
            ("import_records", "export_records"),
            ("attach", "detach"),
            ("get-resource-links", "get-resource-reference"),
            ("encode", "decode"),
            ("add", "and"),
        ] {
            assert_eq!(likeness(a, b, tools), None, "{a} {b}");
        }
        assert_eq!(likeness("file:///report1", "file:///reports", ListKind::Resources), None);
    }
}
