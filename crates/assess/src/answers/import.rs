//! Sheets of CAIQ's kind: what was said there about the subjects of the ten questions.

use std::collections::BTreeMap;

use sallyport_model::Timestamp;

use super::{
    Entry, csv, date,
    score::{Given, score},
};
use crate::{hooks::FileError, mapping};

/// Whose sheet it is, and of when: a sheet does not say so itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// Where the sheet is published.
    pub document: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When it was filled in, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// Until when it holds, `YYYY-MM-DD`.
    pub expires: Option<String>,
}

/// Which column is what.
struct Columns {
    id: usize,
    answer: usize,
    notes: Vec<usize>,
}

const ID: [&str; 6] = ["question id", "question no", "control id", "ques num", "id", "#"];

pub(super) fn read(
    text: &str,
    file: &str,
    statement: &Statement,
    now: Timestamp,
) -> Result<BTreeMap<u8, Entry>, FileError> {
    let rows = csv::rows(text).map_err(|fault| FileError {
        place: format!("{file}:{}", fault.line),
        what: fault.what.to_owned(),
        remedy: "export the sheet as CSV (UTF-8) once more".to_owned(),
    })?;
    let head = rows.iter().position(|row| columns(&row.fields).is_some());
    let (Some(head), Some(columns)) = (head, rows.iter().find_map(|row| columns(&row.fields))) else {
        let remedy = "name the columns in one row: `Question ID`, `Answer`, and `Notes` where there are any";
        return Err(FileError::field(file, "header", "no row names an id and an answer", remedy));
    };
    let mut said: BTreeMap<u8, Said> = BTreeMap::new();
    for row in &rows[head + 1..] {
        let cell = |column: usize| row.fields.get(column).map_or("", |text| text.trim());
        let notes: Vec<&str> =
            columns.notes.iter().map(|column| cell(*column)).filter(|text| !text.is_empty()).collect();
        for question in questions(cell(columns.id)) {
            said.entry(question).or_default().add(cell(columns.id), cell(columns.answer), &notes);
        }
    }
    if said.is_empty() {
        let remedy = "use CAIQ v4 ids such as IAM-05.1 (docs/assess/mapping.md lists them), or 1 to 10";
        return Err(FileError::field(file, "rows", "not one row tells about the ten questions", remedy));
    }
    entries(said, file, statement, now)
}

fn columns(fields: &[String]) -> Option<Columns> {
    let names: Vec<String> = fields.iter().map(|name| name.trim().to_lowercase()).collect();
    let id = ID.iter().find_map(|wanted| names.iter().position(|name| name == wanted))?;
    let is_answer = |name: &String| name.contains("answer") || name.contains("response");
    let answer = names.iter().position(is_answer)?;
    let is_note = |name: &str| {
        ["note", "comment", "description", "explanation", "detail"].iter().any(|word| name.contains(word))
            && !name.contains("question")
            && !name.contains("control")
    };
    let notes = (0..names.len()).filter(|at| *at != id && *at != answer && is_note(&names[*at])).collect();
    (id != answer).then_some(Columns { id, answer, notes })
}

/// A row's questions: by its CAIQ id, or the number of the question itself.
fn questions(id: &str) -> Vec<u8> {
    let number = id.strip_prefix(['Q', 'q']).unwrap_or(id);
    match number.parse::<u8>() {
        Ok(number) if (1..=10).contains(&number) => vec![number],
        _ => mapping::questions_of_caiq(id),
    }
}

/// What the rows of one question say.
#[derive(Default)]
struct Said {
    text: Vec<String>,
    complaints: Vec<String>,
}

impl Said {
    fn add(&mut self, id: &str, answer: &str, notes: &[&str]) {
        match answer.to_lowercase().trim_end_matches(['.', '!']) {
            "yes" | "y" | "true" if notes.is_empty() => {
                self.complaints.push(format!("{id}: “yes” alone is not specific; say how in the notes"));
            }
            "yes" | "y" | "true" => self.text.extend(notes.iter().map(|note| (*note).to_owned())),
            "no" | "n" | "false" => self.complaints.push(format!("{id}: answered with no")),
            "na" | "n/a" | "not applicable" => self.complaints.push(format!("{id}: answered as not applicable")),
            "" => self.complaints.push(format!("{id}: not answered")),
            _ => {
                self.text.push(answer.to_owned());
                self.text.extend(notes.iter().map(|note| (*note).to_owned()));
            }
        }
    }
}

fn entries(
    said: BTreeMap<u8, Said>,
    file: &str,
    statement: &Statement,
    now: Timestamp,
) -> Result<BTreeMap<u8, Entry>, FileError> {
    let day =
        |field: &str, value: &Option<String>| value.as_deref().map(|text| date::read(text, file, field)).transpose();
    let (date, expires) = (day("date", &statement.date)?, day("expires", &statement.expires)?);
    let today = date::of(now);
    let entry = |(question, said): (u8, Said)| {
        let given = Given {
            question,
            text: said.text.join("\n"),
            document: statement.document.clone(),
            owner: statement.owner.clone(),
            date,
            expires,
        };
        let mut scored = score(given, today);
        scored.answer.complaints.extend(said.complaints);
        (question, Entry { answer: scored.answer, covers: Vec::new(), silent_on: scored.silent_on })
    };
    Ok(said.into_iter().map(entry).collect())
}
