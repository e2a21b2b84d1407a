//! Files that an operator wrote, read strictly: an unknown key is an error that names the nearest known one.
//!
//! It never guesses what was meant, and goes on with nothing that it did not understand.

use serde::de::DeserializeOwned;

/// A file that is not used: where, what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}\n  remedy: {remedy}")]
pub struct FileError {
    /// `hooks.toml:12:3`, or `hooks.toml: deprovision.url`.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl FileError {
    /// A field whose value cannot be.
    pub(crate) fn field(file: &str, field: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: format!("{file}: {field}"), what: what.into(), remedy: remedy.into() }
    }
}

/// Reads TOML into `T`, which denies unknown fields.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| located(text, file, &error))
}

fn located(text: &str, file: &str, error: &toml::de::Error) -> FileError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    // A span may end up inside a character when the text is damaged.
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let what = error.message().lines().next().unwrap_or_default().to_owned();
    FileError { place: format!("{file}:{line}:{column}"), remedy: remedy(&what), what }
}

/// `unknown field `comand`, expected one of `command`, …` → the nearest of the expected ones.
fn remedy(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field ") || message.starts_with("unknown variant ") {
        let unknown = quoted.next().unwrap_or_default();
        return match nearest(unknown, quoted) {
            Some(best) => format!("did you mean `{best}`?"),
            None => "remove it".to_owned(),
        };
    }
    if message.contains("expected a string") {
        return "put the value in quotes, a day too: \"2026-11-30\"".to_owned();
    }
    match (message.starts_with("missing field "), quoted.next()) {
        (true, Some(field)) => format!("add `{field} = …`"),
        _ => "write it as TOML 1.0 has it; docs/assess shows an example of each file".to_owned(),
    }
}

/// Of `known`, the word most like `unknown`.
pub(crate) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |word: &str| strsim::jaro_winkler(word, unknown);
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only read by the parser")]
        command: String,
        #[expect(dead_code, reason = "only read by the parser")]
        url: Option<String>,
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest_known_one() {
        let error = parse::<Sample>("url = \"x\"\ncomand = \"y\"\n", "hooks.toml").unwrap_err();
        assert_eq!((error.place.as_str(), error.remedy.as_str()), ("hooks.toml:2:1", "did you mean `command`?"));
    }

    #[test]
    fn a_missing_key_says_what_to_add() {
        let error = parse::<Sample>("url = \"x\"\n", "hooks.toml").unwrap_err();
        assert_eq!(error.remedy, "add `command = …`");
        assert!(parse::<Sample>("url = ", "hooks.toml").unwrap_err().to_string().contains("hooks.toml:1:"));
    }
}
