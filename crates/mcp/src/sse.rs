//! Server-sent events (WHATWG HTML, Server-sent events), both directions.
//!
//! [`Decoder`] takes bytes in arbitrary pieces and yields whole events; [`Event::encode`] writes one. An
//! event without data is an event here: 2025-11-25 primes clients with `id` and empty data, and sends
//! `retry` before it closes. Comments are dropped. What is inside `data` is not looked at.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::errors::Error;

/// One event, with the fields that were on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// `id`; an empty one resets the client's last event id.
    pub id: Option<String>,
    /// `event`; `None` means `message`.
    pub event: Option<String>,
    /// `data` lines joined by line feeds. `Some("")` is a priming event; `None` means no `data` line, which
    /// a browser would not dispatch.
    pub data: Option<String>,
    /// `retry` in milliseconds.
    pub retry: Option<u64>,
}

impl Event {
    /// An unnamed event with this data.
    pub fn message(data: impl Into<String>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// A priming event: an id and empty data (2025-11-25 basic/transports, Sending Messages 6).
    pub fn priming(id: impl Into<String>, retry: Option<u64>) -> Self {
        Self { id: Some(id.into()), retry, ..Self::message("") }
    }

    /// Whether it carries a message.
    pub fn has_data(&self) -> bool {
        self.data.as_ref().is_some_and(|data| !data.is_empty())
    }

    /// The bytes of the event with the blank line that ends it. Line breaks of any kind in `data` become
    /// lines; JSON text has none.
    ///
    /// # Errors
    /// [`Error::EventField`] when `id` or `event` holds a line break or NUL.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut out = String::with_capacity(self.data.as_ref().map_or(0, String::len) + 64);
        field(&mut out, "id", self.id.as_deref())?;
        field(&mut out, "event", self.event.as_deref())?;
        if let Some(retry) = self.retry {
            out.push_str(&format!("retry: {retry}\n"));
        }
        if let Some(data) = &self.data {
            for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
                out.push_str("data: ");
                out.push_str(line);
                out.push('\n');
            }
        }
        out.push('\n');
        Ok(Bytes::from(out))
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A comment that keeps a quiet connection open.
pub const KEEP_ALIVE: &[u8] = b":\n\n";

fn field(out: &mut String, name: &'static str, value: Option<&str>) -> Result<(), Error> {
    let Some(value) = value else { return Ok(()) };
    if value.contains(['\r', '\n', '\0']) {
        return Err(Error::EventField(name));
    }
    out.push_str(name);
    out.push_str(": ");
    out.push_str(value);
    out.push('\n');
    Ok(())
}

/// An incremental decoder. After an error it yields nothing more.
#[derive(Debug)]
pub struct Decoder {
    line: Vec<u8>,
    building: Event,
    ready: VecDeque<Event>,
    /// Bytes of the event being built, line ends too, comments not.
    size: usize,
    limit: usize,
    first_line: bool,
    after_cr: bool,
    failed: Option<Error>,
}

impl Decoder {
    /// A decoder that refuses events of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            line: Vec::new(),
            building: Event::default(),
            ready: VecDeque::new(),
            size: 0,
            limit,
            first_line: true,
            after_cr: false,
            failed: None,
        }
    }

    /// Takes the next bytes of the stream. Events that they complete wait in [`Decoder::next_event`], also
    /// when a later part of `bytes` is at fault.
    ///
    /// # Errors
    /// [`Error::EventTooLarge`], [`Error::EventNotUtf8`]; the same again on every later call.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.take(bytes).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// The next whole event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Whether the stream, if it ended now, would end inside an event. Such a rest is not an event.
    pub fn is_mid_event(&self) -> bool {
        !self.line.is_empty() || !self.building.is_empty()
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|b| matches!(b, b'\r' | b'\n'));
            let length = end.unwrap_or(bytes.len());
            self.size += length;
            if self.size > self.limit {
                return Err(Error::EventTooLarge { limit: self.limit });
            }
            self.line.extend_from_slice(&bytes[..length]);
            let Some(end) = end else { break };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.size += 1;
            self.end_of_line()?;
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<(), Error> {
        let mut line = std::mem::take(&mut self.line);
        let read = self.read_line(&line);
        // The buffer goes back, so that a stream does not allocate for each line.
        line.clear();
        self.line = line;
        read
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), Error> {
        let mut text = std::str::from_utf8(line).map_err(|_| Error::EventNotUtf8)?;
        if std::mem::take(&mut self.first_line) {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        if text.is_empty() {
            self.size = 0;
            let event = std::mem::take(&mut self.building);
            if !event.is_empty() {
                self.ready.push_back(event);
            }
            return Ok(());
        }
        if text.starts_with(':') {
            // Keep-alives may come for days without a blank line between them.
            self.size -= line.len() + 1;
            return Ok(());
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        self.field(name, value.strip_prefix(' ').unwrap_or(value));
        Ok(())
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "id" if !value.contains('\0') => self.building.id = Some(value.to_owned()),
            "event" => self.building.event = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.building.retry = value.parse().ok();
            }
            "data" => match &mut self.building.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                data @ None => *data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
