//! Rows of comma-separated values (RFC 4180), as spreadsheets write them.
//!
//! It reads quoted fields with commas, quotes and line ends in them, and bounds what it reads.

/// The most rows that are read.
pub(super) const MOST_ROWS: usize = 20_000;
/// The most bytes that are read.
pub(super) const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Why a sheet is not read, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) what: &'static str,
}

/// A row and the line that it begins in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) fields: Vec<String>,
}

/// Rows of `text`; the separator is the semicolon when the first line has more of them than commas.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MOST_BYTES {
        return Err(Fault { line: 1, what: "the sheet is larger than 8 MiB" });
    }
    let first = text.lines().next().unwrap_or_default();
    let separator = if first.matches(';').count() > first.matches(',').count() { ';' } else { ',' };
    let mut reader = Reader { rest: text.chars().peekable(), separator, line: 1 };
    let mut all = Vec::new();
    while reader.rest.peek().is_some() {
        if all.len() == MOST_ROWS {
            return Err(Fault { line: reader.line, what: "the sheet has more than 20,000 rows" });
        }
        let line = reader.line;
        let fields = reader.row()?;
        if fields.iter().any(|field| !field.trim().is_empty()) {
            all.push(Row { line, fields });
        }
    }
    Ok(all)
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    separator: char,
    line: usize,
}

impl Reader<'_> {
    fn row(&mut self) -> Result<Vec<String>, Fault> {
        let mut fields = Vec::new();
        loop {
            fields.push(if self.rest.peek() == Some(&'"') { self.quoted()? } else { self.plain() });
            match self.next() {
                Some(c) if c == self.separator => {}
                None | Some('\n') => return Ok(fields),
                Some('\r') if self.rest.peek().is_none_or(|c| *c == '\n') => {
                    self.next();
                    return Ok(fields);
                }
                Some(_) => return Err(Fault { line: self.line, what: "text follows a closing quote" }),
            }
        }
    }

    fn plain(&mut self) -> String {
        let mut field = String::new();
        while let Some(c) = self.rest.peek().copied() {
            if c == self.separator || c == '\n' || c == '\r' {
                break;
            }
            field.push(c);
            self.next();
        }
        field
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        let began = self.line;
        self.next();
        let mut field = String::new();
        loop {
            match self.next() {
                None => return Err(Fault { line: began, what: "a quote is not closed" }),
                Some('"') if self.rest.peek() == Some(&'"') => {
                    self.next();
                    field.push('"');
                }
                Some('"') => return Ok(field),
                Some(c) => field.push(c),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        rows(text).unwrap().into_iter().map(|row| row.fields).collect()
    }

    #[test]
    fn quotes_commas_and_line_ends_are_read_as_spreadsheets_write_them() {
        let read = fields("\u{feff}id,answer,notes\r\nIAM-05.1,Yes,\"least, \"\"only\"\"\nneeded\"\r\n\r\n,,\nX,,");
        assert_eq!(read.len(), 3);
        assert_eq!(read[1], ["IAM-05.1", "Yes", "least, \"only\"\nneeded"]);
        assert_eq!(read[2], ["X", "", ""]);
        assert_eq!(fields("id;answer\na;b,c"), [["id", "answer"], ["a", "b,c"]]);
    }

    #[test]
    fn what_is_damaged_is_refused_with_its_line() {
        assert_eq!(rows("a,b\n\"open").unwrap_err().line, 2);
        assert_eq!(rows("\"a\"b,c").unwrap_err().what, "text follows a closing quote");
        assert!(rows(&"a\n".repeat(MOST_ROWS + 1)).is_err());
        assert!(rows(&"a".repeat(MOST_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(table in prop::collection::vec(prop::collection::vec("[^\\u{0}]{0,12}", 2..5), 1..6)) {
            let quote = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let lines: Vec<String> = table.iter().map(|row| row.iter().map(quote).collect::<Vec<_>>().join(",")).collect();
            // The first line decides on the separator, so it holds none but commas.
            let text = format!("a,b\n{}", lines.join("\n"));
            let kept: Vec<&Vec<String>> = table.iter().filter(|row| row.iter().any(|field| !field.trim().is_empty())).collect();
            let read = fields(&text);
            prop_assert_eq!(read[1..].iter().collect::<Vec<_>>(), kept);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = rows(&text);
        }
    }
}
