//! Finds in an error what is for the log alone: stack traces, paths of files, SQL.
//!
//! It knows the marks of the usual languages and databases; a message that names a type or a field shows
//! nothing by itself.

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leak {
    /// In a few words.
    pub(super) what: &'static str,
    /// The place, untrusted.
    pub(super) excerpt: String,
}

const TRACE: &str = "a stack trace";
const PATH: &str = "a path of a file";
const SQL: &str = "a database's error";

/// Marks that are enough by themselves.
const MARKS: &[(&str, &str)] = &[
    ("Traceback (most recent call last)", TRACE),
    ("panicked at ", TRACE),
    ("goroutine 1 [", TRACE),
    ("[running]:\n", TRACE),
    ("RUST_BACKTRACE", TRACE),
    ("at java.base/", TRACE),
    ("Fatal error: Uncaught", TRACE),
    ("System.NullReferenceException", TRACE),
    ("/node_modules/", PATH),
    ("/site-packages/", PATH),
    ("/dist-packages/", PATH),
    ("/.cargo/registry/", PATH),
    ("/vendor/bundle/", PATH),
    ("node:internal/", TRACE),
    ("SQLSTATE[", SQL),
    ("You have an error in your SQL syntax", SQL),
    ("syntax error at or near", SQL),
    ("sqlite3.OperationalError", SQL),
    ("unrecognized token: \"", SQL),
    ("psycopg2.", SQL),
    ("sqlalchemy.exc", SQL),
    ("PG::SyntaxError", SQL),
    ("ORA-0", SQL),
];

/// Folders that no answer speaks of by accident.
const FOLDERS: &[&str] =
    &["/home/", "/root/", "/usr/local/", "/usr/lib/", "/usr/src/", "/var/www/", "/opt/", "/srv/", "/app/", "/Users/"];

/// Endings of source files, before `:12` or `", line 12` or `(12)`.
const SOURCES: &[&str] =
    &[".py", ".js", ".mjs", ".cjs", ".ts", ".rs", ".go", ".java", ".kt", ".rb", ".php", ".cs", ".ex"];

/// The first leak in `text`, which may be JSON: escapes are looked through.
pub(super) fn find(text: &str) -> Option<Leak> {
    let text = text.replace("\\n", "\n").replace("\\\"", "\"").replace("\\/", "/").replace("\\\\", "\\");
    let at = |at: usize, what: &'static str| Leak { what, excerpt: line_at(&text, at) };
    if let Some((found, what)) = MARKS.iter().find_map(|(mark, what)| Some((text.find(mark)?, *what))) {
        return Some(at(found, what));
    }
    if let Some(found) = source_line(&text) {
        return Some(at(found, TRACE));
    }
    FOLDERS.iter().find_map(|folder| file_in(&text, folder)).map(|found| at(found, PATH)).or_else(|| {
        let windows = text.match_indices(":\\").find(|(colon, _)| is_drive(&text, *colon))?;
        Some(at(windows.0, PATH))
    })
}

/// A place in a source file: `app.py", line 3`, `index.js:3:7`, `Main.java:12`.
fn source_line(text: &str) -> Option<usize> {
    SOURCES.iter().find_map(|ending| {
        text.match_indices(ending).map(|(at, _)| at).find(|at| {
            let before = text[..*at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "_-".contains(c));
            let after = &text[at + ending.len()..];
            let number = after
                .strip_prefix(':')
                .or_else(|| after.strip_prefix("\", line "))
                .or_else(|| after.strip_prefix(" on line "))
                .or_else(|| after.strip_prefix('('));
            before && number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    })
}

/// A path under `folder` that does not belong to a URL.
fn file_in(text: &str, folder: &str) -> Option<usize> {
    text.match_indices(folder).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back();
        let starts = before.is_none_or(|c| c.is_whitespace() || "\"'`(=[:,".contains(c));
        let goes_on = text[at + folder.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '.' || c == '_');
        starts && goes_on
    })
}

/// `C:\Users`: one letter before the colon, and no longer word.
fn is_drive(text: &str, colon: usize) -> bool {
    let mut before = text[..colon].chars().rev();
    let letter = before.next().is_some_and(|c| c.is_ascii_alphabetic());
    let alone = before.next().is_none_or(|c| !c.is_alphanumeric());
    letter && alone && text[colon + 2..].starts_with(|c: char| c.is_alphanumeric())
}

fn line_at(text: &str, at: usize) -> String {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let from = line.char_indices().map(|(i, _)| i).rfind(|i| start + i + 40 <= at).unwrap_or(0);
    line[from..].chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn traces_paths_and_sql_are_found() {
        for (text, what) in [
            ("{\"error\":\"Traceback (most recent call last):\\n  File \\\"x\\\"\"}", TRACE),
            ("TypeError: x is not a function\n    at handle (server/index.js:12:5)", TRACE),
            ("File \"server.py\", line 3, in <module>", TRACE),
            ("at com.acme.Main.run(Main.java:12)", TRACE),
            ("thread 'main' panicked at src/main.rs:3", TRACE),
            ("ENOENT: no such file, open '/home/app/config.json'", PATH),
            ("cannot read /app/secrets.yaml", PATH),
            ("{\"message\":\"C:\\\\Users\\\\svc\\\\app\"}", PATH),
            ("SQLSTATE[42601]: syntax", SQL),
            ("ERROR: syntax error at or near \"OR\"", SQL),
        ] {
            assert_eq!(find(text).map(|leak| leak.what), Some(what), "{text}");
        }
    }

    #[test]
    fn ordinary_errors_are_clean() {
        for text in [
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
            r#"{"error":"invalid_token","error_description":"token expired at 12:30"}"#,
            "1 validation error for Request\nmethod\n  Input should be a valid string [type=string_type, input_value=42]",
            "see https://docs.example.com/home/errors and https://x.example/app/errors.js for help",
            "expected value at line 1 column 39",
            "unknown tool \"no such tool\"",
            "ratio 3:4 in a.b: c",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}|[a-zA-Z:/\\\\. \"\n0-9é]{0,200}|(/home/|\\.py|C:\\\\|:1|é){0,20}") {
            let _ = find(&text);
        }
    }
}
