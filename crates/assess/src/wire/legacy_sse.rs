//! HTTP+SSE of 2024-11-05: a stream by GET, an `endpoint` event, and messages by POST.
//!
//! The endpoint must be of the stream's own origin: messages carry the token.

use std::time::Duration;

use url::Url;

use crate::wire::{Ask, McpFault, Stream, Wire, WireError};

/// How long the first event may take.
const FIRST_EVENT: Duration = Duration::from_secs(5);

/// An open stream, and where messages for it go.
#[derive(Debug)]
pub(super) struct LegacySse {
    pub(super) endpoint: Url,
    stream: Box<Stream>,
}

impl LegacySse {
    /// Opens the stream. `Ok(Err(stream))` is an answer that is no stream of events.
    pub(super) async fn open(
        wire: &Wire,
        check: &'static str,
        ask: Ask,
    ) -> Result<Result<Self, Box<Stream>>, McpFault> {
        let base = ask.url.clone();
        let mut stream = Box::new(wire.open(check, ask).await?);
        if !stream.status.is_success() || !stream.is_events() {
            return Ok(Err(stream));
        }
        loop {
            let event = match stream.next_event(FIRST_EVENT).await {
                Ok(Some(event)) => event,
                Ok(None) => return Err(McpFault::NotMcp("the stream ended before its `endpoint` event".to_owned())),
                Err(WireError::TimedOut { .. }) => {
                    return Err(McpFault::NotMcp("the stream begins without an `endpoint` event".to_owned()));
                }
                Err(error) => return Err(error.into()),
            };
            if event.event.as_deref() == Some("endpoint") {
                let endpoint = endpoint(&base, event.data.as_deref().unwrap_or_default())?;
                return Ok(Ok(Self { endpoint, stream }));
            }
        }
    }

    /// The next message; `None` when the server ended the stream.
    pub(super) async fn next(&mut self, wait: Duration) -> Result<Option<String>, McpFault> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            match self.stream.next_event(left).await? {
                None => return Ok(None),
                Some(event) if event.has_data() && matches!(event.event.as_deref(), None | Some("message")) => {
                    return Ok(event.data);
                }
                Some(_) => {}
            }
        }
    }
}

#[expect(clippy::result_large_err, reason = "once a connection, and it ends it")]
fn endpoint(base: &Url, named: &str) -> Result<Url, McpFault> {
    let url = base.join(named).map_err(|_| McpFault::NotMcp("the `endpoint` event holds no URL".to_owned()))?;
    if url.origin() != base.origin() {
        return Err(McpFault::NotMcp(format!(
            "the `endpoint` event points to another origin, {}: nothing is sent there",
            url.origin().ascii_serialization()
        )));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_stays_at_home() {
        let base: Url = "https://h.example/sse".parse().unwrap();
        assert_eq!(endpoint(&base, "/messages?s=1").unwrap().as_str(), "https://h.example/messages?s=1");
        for elsewhere in ["https://evil.example/m", "http://h.example/m", "//evil.example/", "javascript:x", "http://["]
        {
            assert!(endpoint(&base, elsewhere).is_err(), "{elsewhere}");
        }
    }
}
