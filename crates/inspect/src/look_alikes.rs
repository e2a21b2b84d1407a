//! Names that read like another's. Compares names only; knows nothing of what the tools do.

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

/// Compares a definition's name with its siblings' and with itself as ASCII.
pub(crate) fn inspect(definition: &Definition, siblings: &[Definition], findings: &mut Findings) {
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
    for sibling in siblings.iter().filter(|other| other.kind == definition.kind && other.key != definition.key) {
        let Some(likeness) = likeness(name, &sibling.key, definition.kind) else { continue };
        let (severity, why) = match likeness {
            Likeness::Confusable => (High, "another name that reads the same"),
            Likeness::Spelling => (Medium, "another name that differs in case or separators only"),
            Likeness::Slip => (Low, "another name one slip away"),
        };
        let excerpt = format!("{} / {}", excerpt::shown(&escaped(name)), excerpt::shown(&escaped(&sibling.key)));
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

#[derive(Debug, PartialEq, Eq)]
enum Likeness {
    Confusable,
    Spelling,
    Slip,
}

fn likeness(a: &str, b: &str, kind: ListKind) -> Option<Likeness> {
    if normal(a).eq(normal(b)) {
        let spelling = plain(a).eq(plain(b));
        return Some(if spelling { Likeness::Spelling } else { Likeness::Confusable });
    }
    let named = matches!(kind, ListKind::Tools | ListKind::Prompts);
    (named && one_slip(a, b)).then_some(Likeness::Slip)
}

/// How a name reads: its skeleton (UTS #39 §4) without case and separators.
fn normal(name: &str) -> impl Iterator<Item = char> + '_ {
    skeleton(name).flat_map(char::to_lowercase).filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
}

fn plain(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars().flat_map(char::to_lowercase).filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
}

/// Whether exactly one long word differs, by one letter or two swapped ones; plurals, tenses and numbers apart.
fn one_slip(a: &str, b: &str) -> bool {
    if a.len().abs_diff(b.len()) > 4 {
        return false;
    }
    let (a, b) = (crate::annotations::words(a), crate::annotations::words(b));
    if a.len() != b.len() {
        return false;
    }
    let mut different = a.iter().zip(&b).filter(|(x, y)| x != y);
    match (different.next(), different.next()) {
        (Some((x, y)), None) => {
            let (x, y): (Vec<char>, Vec<char>) = (x.chars().collect(), y.chars().collect());
            x.len().min(y.len()) >= LONG_WORD && slipped(&x, &y)
        }
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
    use super::*;

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
