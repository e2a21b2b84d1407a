//! The vendor's own answers: read, scored by the document's own rule, and used as attestations.
//!
//! An answer is scored by what it names, never by whether that is true: a statement stands in only for what no
//! probe could see, and says who made it.

mod apply;
mod csv;
mod date;
mod file;
mod import;
mod rules;
mod score;
mod sentence;
mod suppress;

use std::collections::BTreeMap;

use sallyport_model::{Timestamp, assessment::Answer};

pub use import::Statement;
pub use suppress::Suppressions;

use crate::hooks::FileError;

pub(crate) use apply::run;

/// The answers file, read and scored.
#[derive(Debug, Clone, Default)]
pub struct Sheet(BTreeMap<u8, Entry>);

/// One answer.
#[derive(Debug, Clone)]
struct Entry {
    answer: Answer,
    /// Checks that the vendor names; empty for all of the question.
    covers: Vec<&'static str>,
    /// Checks that this answer may not stand for, because it does not say enough about them.
    silent_on: Vec<&'static str>,
}

impl Sheet {
    /// Reads an answers file (TOML, `[[answer]]`). `file` is its name for errors; `now` decides what has expired.
    ///
    /// # Errors
    /// [`FileError`] with place and remedy.
    pub fn parse(text: &str, file: &str, now: Timestamp) -> Result<Self, FileError> {
        file::read(text, file, now).map(Self)
    }

    /// Reads an answer sheet of CAIQ's kind: CSV with a question id, an answer and notes. Rows are mapped to the
    /// ten questions by [`crate::mapping`], or by their number. `statement` says whose sheet it is.
    ///
    /// # Errors
    /// [`FileError`] with place and remedy, also when not one row maps.
    pub fn import_csv(text: &str, file: &str, statement: &Statement, now: Timestamp) -> Result<Self, FileError> {
        import::read(text, file, statement, now).map(Self)
    }

    /// The answer to one question (1 to 10), scored.
    pub fn answer(&self, question: u8) -> Option<Answer> {
        self.0.get(&question).map(|entry| entry.answer.clone())
    }

    /// The score of all answers, 0 to 20; a question without one gives 0. `None` without any answer.
    pub fn total(&self) -> Option<u8> {
        (!self.0.is_empty()).then(|| self.0.values().map(|entry| entry.answer.score).sum())
    }
}

#[cfg(test)]
mod tests;
