//! The record of what was said: every request and its answer, redacted before it is kept.
//!
//! Numbers run from 1. A record holds no credential and at most a few kilobytes of each body.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sallyport_model::assessment::Exchange;

use crate::wire::redact::{Redactor, cut_to};

/// The most bytes of a body that are kept.
pub const MAX_BODY: usize = 4 * 1024;
/// The most bytes of a header value that are kept.
const MAX_VALUE: usize = 1024;
/// The most header lines that are kept.
const MAX_LINES: usize = 64;

/// What one side of an exchange looked like; nothing of it is redacted yet.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// The check that needed it.
    pub check: &'static str,
    /// `GET https://…`, `stdio tools/list`, `hook deprovision`.
    pub request: String,
    /// Header lines.
    pub request_headers: Vec<(String, String)>,
    /// The body.
    pub request_body: String,
    /// HTTP status or exit code; `None` where there was no answer.
    pub status: Option<i32>,
    /// Header lines.
    pub response_headers: Vec<(String, String)>,
    /// The body, or the reason why there is none.
    pub response_body: String,
    /// Milliseconds.
    pub elapsed_ms: u64,
    /// How to do it again by hand; made from the redacted parts where it is empty and the request is HTTP.
    pub replay: String,
}

/// Every exchange so far.
#[derive(Debug, Default)]
pub struct Exchanges(Mutex<Vec<Exchange>>);

impl Exchanges {
    /// Redacts and keeps an exchange. Returns its number.
    pub fn add(&self, noted: Noted, redactor: &Redactor) -> u32 {
        let exchange = kept(noted, redactor);
        let mut all = self.all_mut();
        let number = u32::try_from(all.len()).unwrap_or(u32::MAX).saturating_add(1);
        all.push(Exchange { number, ..exchange });
        number
    }

    /// Changes the answer of an exchange that went on: a stream's next event.
    pub fn update(&self, number: u32, body: &str, elapsed_ms: u64, redactor: &Redactor) {
        let body = short(body, MAX_BODY, redactor);
        if let Some(exchange) = self.all_mut().iter_mut().find(|exchange| exchange.number == number) {
            exchange.response_body = body;
            exchange.elapsed_ms = elapsed_ms;
        }
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<Exchange> {
        self.all_mut().clone()
    }

    fn all_mut(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kept(noted: Noted, redactor: &Redactor) -> Exchange {
    redactor.learn(&noted.request);
    redactor.learn(&noted.request_body);
    redactor.learn(&noted.response_body);
    redactor.learn_headers(&noted.request_headers);
    redactor.learn_headers(&noted.response_headers);
    let mut exchange = Exchange {
        number: 0,
        check: noted.check.to_owned(),
        request: short(&noted.request, MAX_VALUE, redactor),
        request_headers: lines(&noted.request_headers, redactor),
        request_body: short(&noted.request_body, MAX_BODY, redactor),
        status: noted.status,
        response_headers: lines(&noted.response_headers, redactor),
        response_body: short(&noted.response_body, MAX_BODY, redactor),
        elapsed_ms: noted.elapsed_ms,
        replay: short(&noted.replay, MAX_BODY, redactor),
    };
    if exchange.replay.is_empty() {
        exchange.replay = replay(&exchange);
    }
    exchange
}

fn lines(headers: &[(String, String)], redactor: &Redactor) -> Vec<(String, String)> {
    let line = |(name, value): &(String, String)| {
        let value = cut_to(&redactor.header(name, value), MAX_VALUE);
        (cut_to(name, MAX_VALUE), value)
    };
    headers.iter().take(MAX_LINES).map(line).collect()
}

fn short(text: &str, limit: usize, redactor: &Redactor) -> String {
    cut_to(&redactor.text(text), limit)
}

/// A `curl` command with `$TOKEN` where the credential was.
fn replay(exchange: &Exchange) -> String {
    let Some((method, url)) = exchange.request.split_once(' ').filter(|(_, url)| url.starts_with("http")) else {
        return String::new();
    };
    let mut command = format!("curl -sS -i -X {method} {}", quoted(url));
    for (name, value) in &exchange.request_headers {
        let value = if name == "authorization" {
            format!("{} $TOKEN", value.split(' ').next().unwrap_or_default())
        } else {
            value.clone()
        };
        command.push_str(&format!(" -H {}", double_quoted(&format!("{name}: {value}"))));
    }
    if !exchange.request_body.is_empty() {
        command.push_str(&format!(" --data-raw {}", quoted(&exchange.request_body)));
    }
    command
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// In double quotes, where only `$TOKEN` is left to the shell.
fn double_quoted(text: &str) -> String {
    match text.split_once("$TOKEN") {
        Some((before, after)) => format!("{}\"$TOKEN\"{}", quoted(before), quoted(after)),
        None => quoted(text),
    }
}
