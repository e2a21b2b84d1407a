//! What is wrong with a configuration: where, and one remedy to copy.

use std::{fmt, path::PathBuf};

/// A configuration that is not used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is wrong at one place.
    Place {
        /// `sallyport.toml:12:3`
        place: String,
        /// What is wrong.
        what: String,
        /// The line.
        line: String,
        /// What to write instead, if that is known.
        remedy: Option<String>,
    },
    /// A field has a value that cannot be.
    Field {
        /// `server.listen`
        field: String,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A variable of the environment is wrong.
    Environment(String),
    /// An option of the command line, or a file that it names, cannot be used.
    Given(String),
}

impl ConfigError {
    /// A field with a value that cannot be.
    pub fn field(field: &str, what: &str, remedy: &str) -> Self {
        Self::Field { field: field.to_owned(), what: what.to_owned(), remedy: remedy.to_owned() }
    }

    /// An option that cannot be used, and what to write instead.
    pub fn option(option: &str, what: &str) -> Self {
        Self::Given(format!("{option}: {what}"))
    }

    /// A file that an option names.
    pub fn in_file(path: &std::path::Path, what: &str) -> Self {
        Self::Given(format!("{}: {what}", path.display()))
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                write!(
                    f,
                    "{}: {source}\n  remedy: `sallyport config init > {}` writes one to start from",
                    path.display(),
                    path.display()
                )
            }
            Self::Place { place, what, line, remedy } => {
                write!(f, "{place}: {what}\n  | {line}")?;
                remedy.iter().try_for_each(|remedy| write!(f, "\n  remedy: {remedy}"))
            }
            Self::Field { field, what, remedy } => write!(f, "`{field}`: {what}\n  remedy: {remedy}"),
            Self::Environment(what) => write!(f, "the environment overrides a setting wrongly: {what}"),
            Self::Given(what) => f.write_str(what),
        }
    }
}

/// A parser's error with line, column, and for an unknown key the nearest one that is known.
pub(super) fn located(text: &str, path: &std::path::Path, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text[..start];
    let number = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().to_owned();
    let what = error.message().lines().next().unwrap_or_default().to_owned();
    ConfigError::Place { place: format!("{}:{number}:{column}", path.display()), remedy: nearest(&what), what, line }
}

/// `unknown field `lisen`, expected one of `listen`, …` → the nearest of the expected ones.
fn nearest(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let best = quoted.max_by(|a, b| strsim::jaro_winkler(a, unknown).total_cmp(&strsim::jaro_winkler(b, unknown)))?;
    Some(format!("did you mean `{best}`?"))
}
