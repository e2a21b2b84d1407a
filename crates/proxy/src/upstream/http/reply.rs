//! Reading what an upstream answers over HTTP: one JSON object, or a stream of events.
//!
//! Nothing is read before it is polled for, so that a slow reader slows the upstream down. Limits on a
//! message's size, on silence and on the whole hold at every piece.

use std::{collections::VecDeque, future::Future, time::Duration};

use ::http::{Response as HttpResponse, header};
use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use sallyport_mcp::{
    Error as McpError, Incoming as Parsed, Limits, Message, RequestId, envelope,
    sse::{Decoder, Event},
};
use tokio::time::Instant;

use super::{claim, media_type};
use crate::upstream::{ASKED_IDLE, Delivered, UpstreamError, UpstreamStream};

/// What a stream may end with.
#[derive(Debug, Clone)]
pub(in crate::upstream) enum Ending {
    /// The answer to this request, which must come.
    Answer(RequestId),
    /// The same, and no request may come before it: no modern server sends any (Receiving Messages).
    ModernAnswer(RequestId),
    /// The same; but a stream that broke after an event with an id just ends, since it can be resumed.
    AnswerOrResume(RequestId),
    /// Its close, whenever.
    Close,
    /// Its close or any answer: the rest of another stream.
    CloseOrAnswer,
}

/// When to lose patience.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadClock {
    pub idle: Option<Duration>,
    pub deadline: Option<Instant>,
}

impl ReadClock {
    async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, UpstreamError> {
        let now = Instant::now();
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(now));
        let (what, after) = match (self.idle, left) {
            (None, None) => return Ok(work.await),
            (Some(idle), None) => ("silence", idle),
            (Some(idle), Some(left)) if idle <= left => ("silence", idle),
            (_, Some(left)) => ("whole call", left),
        };
        let late = |_| UpstreamError::TimedOut { what, after, sent: true };
        tokio::time::timeout(after, work).await.map_err(late)
    }
}

/// Reads a whole body.
pub(super) async fn read_body(mut body: Incoming, limit: usize, clock: &ReadClock) -> Result<Bytes, UpstreamError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(UpstreamError::TooLarge { limit });
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = clock.within(body.frame()).await? {
        let frame = frame.map_err(|e| UpstreamError::Broken { what: e.to_string(), sent: true })?;
        let Ok(piece) = frame.into_data() else { continue };
        if whole.len() + piece.len() > limit {
            return Err(UpstreamError::TooLarge { limit });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The stream of an answer, by its media type. A JSON body has been read when this returns.
pub(super) async fn read(
    response: HttpResponse<Incoming>,
    ending: Ending,
    limits: Limits,
    max_message: usize,
    clock: ReadClock,
) -> Result<UpstreamStream, UpstreamError> {
    if response.headers().get(header::CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        return Err(UpstreamError::Protocol("its answer is compressed, which was not asked for".to_owned()));
    }
    match media_type(response.headers()).as_str() {
        "text/event-stream" => {
            let reader = EventReader {
                body: Some(response.into_body()),
                decoder: Decoder::new(max_message),
                fault: None,
                ready: VecDeque::new(),
                resumable: false,
                ending,
                limits,
                max_message,
                clock,
            };
            Ok(Box::pin(stream::unfold(reader, |mut reader| async move { Some((reader.next().await?, reader)) })))
        }
        "application/json" => {
            let body = read_body(response.into_body(), max_message, &clock).await?;
            let mut ready = VecDeque::new();
            for message in parse(&body, limits)? {
                ready.push_back(Delivered::plain(message));
            }
            let ready = answer_last(ready, &ending)?;
            Ok(Box::pin(stream::iter(ready.into_iter().map(Ok))))
        }
        other => {
            let shown: String = other.chars().take(60).collect();
            Err(UpstreamError::Protocol(format!("it answers with content type {shown:?}")))
        }
    }
}

fn parse(bytes: &[u8], limits: Limits) -> Result<Vec<Message>, UpstreamError> {
    match envelope::parse(bytes, limits) {
        Ok(Parsed::One(message)) => Ok(vec![message]),
        Ok(Parsed::Batch(messages)) => Ok(messages),
        Err(refusal) => Err(UpstreamError::Protocol(refusal.error.to_string())),
    }
}

/// Of a JSON body: what comes before the answer, and the answer, which must be there.
fn answer_last(messages: VecDeque<Delivered>, ending: &Ending) -> Result<Vec<Delivered>, UpstreamError> {
    let mut kept = Vec::new();
    for delivered in messages {
        let Delivered::Message { message, .. } = delivered else { continue };
        let (message, last) = judge(message, ending)?;
        kept.push(Delivered::plain(message));
        if last {
            return Ok(kept);
        }
    }
    Err(UpstreamError::Protocol("its JSON body holds no answer to the request".to_owned()))
}

/// Whether `message` ends the stream. An answer to another request is an error: it would be delivered to
/// the wrong caller.
fn judge(message: Message, ending: &Ending) -> Result<(Message, bool), UpstreamError> {
    if let (Message::Request(_), Ending::ModernAnswer(_)) = (&message, ending) {
        return Err(UpstreamError::Protocol("it sent a request, which no modern server may".to_owned()));
    }
    let Message::Response(response) = message else { return Ok((message, false)) };
    match ending {
        Ending::Answer(id) | Ending::ModernAnswer(id) | Ending::AnswerOrResume(id) => {
            let response = claim(response, id);
            if response.id.as_ref() != Some(id) {
                return Err(UpstreamError::Protocol("it answers a request that was not asked".to_owned()));
            }
            Ok((Message::Response(response), true))
        }
        Ending::CloseOrAnswer => Ok((Message::Response(response), true)),
        Ending::Close => Err(UpstreamError::Protocol("an answer came where no request was".to_owned())),
    }
}

struct EventReader {
    /// Gone once the stream is over.
    body: Option<Incoming>,
    decoder: Decoder,
    /// What is wrong with bytes that follow events already decoded.
    fault: Option<McpError>,
    ready: VecDeque<Delivered>,
    /// An event with an id came.
    resumable: bool,
    ending: Ending,
    limits: Limits,
    max_message: usize,
    clock: ReadClock,
}

impl EventReader {
    async fn next(&mut self) -> Option<Result<Delivered, UpstreamError>> {
        loop {
            if let Some(delivered) = self.ready.pop_front() {
                return self.deliver(delivered);
            }
            self.body.as_ref()?;
            if let Some(event) = self.decoder.next_event() {
                if let Err(error) = self.take(event) {
                    return self.fail(error);
                }
                continue;
            }
            if let Some(fault) = self.fault.take() {
                let too_large = matches!(fault, McpError::EventTooLarge { .. });
                return self.fail(if too_large {
                    UpstreamError::TooLarge { limit: self.max_message }
                } else {
                    UpstreamError::Protocol(fault.to_string())
                });
            }
            let body = self.body.as_mut()?;
            match self.clock.within(body.frame()).await {
                Err(late) => return self.fail(late),
                Ok(Some(Ok(frame))) => {
                    if let Some(piece) = frame.data_ref() {
                        self.fault = self.decoder.push(piece).err();
                    }
                }
                Ok(Some(Err(error))) => return self.closed(Some(error)),
                Ok(None) => return self.closed(None),
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<(), UpstreamError> {
        let Event { id, event: name, data, retry } = event;
        self.resumable |= id.as_ref().is_some_and(|id| !id.is_empty());
        let data = data.filter(|data| !data.is_empty() && name.as_deref().is_none_or(|name| name == "message"));
        let Some(data) = data else {
            self.ready.push_back(Delivered::Priming { sse_id: id, retry_ms: retry });
            return Ok(());
        };
        for message in parse(data.as_bytes(), self.limits)? {
            self.ready.push_back(Delivered::Message { message, sse_id: id.clone(), retry_ms: retry });
        }
        Ok(())
    }

    fn deliver(&mut self, delivered: Delivered) -> Option<Result<Delivered, UpstreamError>> {
        let Delivered::Message { message, sse_id, retry_ms } = delivered else { return Some(Ok(delivered)) };
        match judge(message, &self.ending) {
            Ok((message, last)) => {
                if matches!(message, Message::Request(_)) {
                    self.clock.idle = self.clock.idle.map(|idle| idle.max(ASKED_IDLE));
                }
                if last {
                    self.ready.clear();
                    if let Some(body) = self.body.take() {
                        drain(body);
                    }
                }
                Some(Ok(Delivered::Message { message, sse_id, retry_ms }))
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: UpstreamError) -> Option<Result<Delivered, UpstreamError>> {
        self.ready.clear();
        self.body = None;
        Some(Err(error))
    }

    fn closed(&mut self, error: Option<hyper::Error>) -> Option<Result<Delivered, UpstreamError>> {
        self.body = None;
        let may_end = match &self.ending {
            Ending::Answer(_) | Ending::ModernAnswer(_) => false,
            Ending::AnswerOrResume(_) => self.resumable,
            Ending::Close | Ending::CloseOrAnswer => true,
        };
        if may_end {
            return None;
        }
        let what = match error {
            Some(error) => error.to_string(),
            None => "the stream ended before the answer".to_owned(),
        };
        Some(Err(UpstreamError::Broken { what, sent: true }))
    }
}

/// Reads on to the end of the body, if it is near, so that the connection can be used again.
fn drain(mut body: Incoming) {
    tokio::spawn(async move {
        let end = async { while let Some(Ok(_)) = body.frame().await {} };
        // Nothing hangs on it: a connection that is not drained is closed.
        let _ = tokio::time::timeout(Duration::from_secs(1), end).await;
    });
}
