//! The answers file: TOML, an `[[answer]]` a question.

use std::collections::BTreeMap;

use jiff::civil::Date;
use sallyport_model::Timestamp;
use serde::Deserialize;

use super::{
    Entry, date,
    score::{Given, score},
};
use crate::{
    catalogue::QUESTIONS,
    hooks::{FileError, strict},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    answer: Vec<Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    question: u8,
    text: String,
    document: Option<String>,
    owner: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    covers: Option<Vec<String>>,
}

/// A vendor's text is pages, not megabytes.
const LONGEST_TEXT: usize = 64 * 1024;

pub(super) fn read(text: &str, file: &str, now: Timestamp) -> Result<BTreeMap<u8, Entry>, FileError> {
    let tables: Tables = strict::parse(text, file)?;
    let today = date::of(now);
    let mut entries = BTreeMap::new();
    for (table, number) in tables.answer.into_iter().zip(1..) {
        let place = format!("answer {number}");
        let question = table.question;
        let entry = entry(table, file, &place, today)?;
        if entries.insert(question, entry).is_some() {
            let what = format!("question {question} is answered twice");
            return Err(FileError::field(file, &place, what, "put both into one answer"));
        }
    }
    Ok(entries)
}

fn entry(table: Table, file: &str, place: &str, today: Date) -> Result<Entry, FileError> {
    let wrong = |key: &str, what: String, remedy: &str| FileError::field(file, &format!("{place}.{key}"), what, remedy);
    if !(1..=10).contains(&table.question) {
        return Err(wrong("question", format!("there is no question {}", table.question), "write 1 to 10"));
    }
    if table.text.len() > LONGEST_TEXT {
        return Err(wrong("text", format!("is longer than {LONGEST_TEXT} bytes"), "say it in fewer words, and link"));
    }
    let day = |key: &str, value: &Option<String>| {
        value.as_deref().map(|text| date::read(text, file, &format!("{place}.{key}"))).transpose()
    };
    let (date, expires) = (day("date", &table.date)?, day("expires", &table.expires)?);
    if let (Some(date), Some(expires)) = (date, expires)
        && expires < date
    {
        return Err(wrong("expires", format!("{expires} is before {date}"), "correct one of the two"));
    }
    let mut covers = Vec::new();
    for check in table.covers.unwrap_or_default() {
        let checks = QUESTIONS[usize::from(table.question) - 1];
        match checks.iter().find(|known| known.id == check) {
            Some(known) => covers.push(known.id),
            None => {
                let nearest = strict::nearest(&check, checks.iter().map(|known| known.id)).unwrap_or_default();
                let what = format!("`{check}` is no check of question {}", table.question);
                return Err(wrong("covers", what, &format!("did you mean `{nearest}`?")));
            }
        }
    }
    let filled = |value: Option<String>| value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let given = Given {
        question: table.question,
        text: table.text,
        document: filled(table.document),
        owner: filled(table.owner),
        date,
        expires,
    };
    let scored = score(given, today);
    Ok(Entry { answer: scored.answer, covers, silent_on: scored.silent_on })
}
