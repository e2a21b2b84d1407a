//! What a command answers: one value for programs, lines for people, remarks beside them.

use serde_json::Value;

use crate::End;

/// An answer, not printed yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// With `--json`.
    pub json: Value,
    /// On standard output without it.
    pub lines: Vec<String>,
    /// On standard error, always.
    pub remarks: Vec<String>,
    /// How it ended.
    pub end: End,
}

impl Answer {
    /// It is done, and this is what came of it.
    pub fn done(json: Value, lines: impl IntoIterator<Item = String>) -> Self {
        Self { json, lines: lines.into_iter().collect(), remarks: Vec::new(), end: End::Done }
    }

    /// The same, with the answer no.
    #[must_use]
    pub fn no(self) -> Self {
        Self { end: End::No, ..self }
    }

    /// With something to know beside it.
    #[must_use]
    pub fn remark(mut self, text: impl Into<String>) -> Self {
        self.remarks.push(text.into());
        self
    }

    /// With what there is to know beside it, if anything.
    #[must_use]
    pub fn remarks(mut self, all: impl IntoIterator<Item = String>) -> Self {
        self.remarks.extend(all);
        self
    }

    /// Prints it.
    pub fn print(self, json: bool) -> End {
        if json {
            println!("{:#}", self.json);
        } else {
            self.lines.iter().for_each(|line| println!("{line}"));
        }
        self.remarks.iter().for_each(|remark| anstream::eprintln!("{remark}"));
        self.end
    }
}

/// Columns as wide as their widest cell, a head first.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([heads[at].len()]).max().unwrap_or_default()
    };
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().enumerate().map(|(at, cell)| format!("{cell:<wide$}", wide = width(at))).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(heads.to_vec())).chain(body).collect()
}
