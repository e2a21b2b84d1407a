//! Streams that are fetched (RFC 8936): every few seconds, by whichever node comes first.
//!
//! A token is acknowledged only after its effect has committed and is on record. What fails here is neither
//! acknowledged nor refused, so that it comes again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, header};
use sallyport_model::SignalStreamId;
use sallyport_oauth::signals::{
    SignalFault,
    delivery::{ErrorCode, Poll, Polled, error_code, polled},
};
use sallyport_outbound::provider::{ProviderError, ProviderRequest};
use sallyport_storage::{SignalDelivery, SignalStream};
use tokio::{sync::Semaphore, task::JoinSet};
use url::Url;

use super::{
    Later,
    effect::Taken,
    settings::{Signer, StreamSettings},
};
use crate::{Identity, IdentityError, audit::told, session::sha256};

/// How often a stream is asked.
const EVERY: Duration = Duration::from_secs(5);
/// For so long one node has a stream to itself: less than `EVERY`, so that each round is somebody's.
const TURN: Duration = Duration::from_secs(4);
/// How rarely a stream is asked that fails.
const RARELY: Duration = Duration::from_secs(60);
/// Tokens that are asked for at once.
const PAGE: u16 = 100;
/// Requests in one round: a transmitter that always has more must not keep us for ever.
const MOST_REQUESTS: usize = 20;
/// Streams that are asked at the same time.
const MOST_AT_ONCE: usize = 16;
/// Larger answers are refused unread.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// What a note about a failed round begins with, so that a good round takes back that note and no other.
const NOTE: &str = "the poll failed: ";

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Answer(#[from] SignalFault),
    #[error(transparent)]
    Later(#[from] Later),
    #[error("the stream's settings lack {0}")]
    Settings(&'static str),
}

impl From<IdentityError> for PollError {
    fn from(error: IdentityError) -> Self {
        Self::Later(error.into())
    }
}

/// When each stream is asked next, in rounds of this process.
#[derive(Default)]
struct Pace(Mutex<HashMap<SignalStreamId, Asked>>);

#[derive(Default, Clone, Copy)]
struct Asked {
    /// Rounds to let pass.
    wait: u32,
    failures: u32,
    /// A round of it is going on.
    busy: bool,
}

impl Pace {
    /// Whether the stream's turn is now.
    fn begin(&self, id: &SignalStreamId) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = all.entry(id.clone()).or_default();
        if asked.busy || asked.wait > 0 {
            asked.wait = asked.wait.saturating_sub(1);
            return false;
        }
        asked.busy = true;
        true
    }

    fn end(&self, id: &SignalStreamId, good: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = all.get(id).map(|asked| asked.failures).unwrap_or_default();
        let failures = if good { 0 } else { failures.saturating_add(1) };
        let most = u32::try_from(RARELY.as_secs() / EVERY.as_secs()).unwrap_or(1) - 1;
        let wait = if good { 0 } else { (1 << failures.min(8)) - 1 };
        all.insert(id.clone(), Asked { wait: wait.min(most), failures, busy: false });
    }

    /// Forgets streams that are gone.
    fn keep(&self, streams: &[SignalStream]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|id, asked| asked.busy || streams.iter().any(|stream| stream.id == *id));
    }
}

impl Identity {
    /// Asks every stream that is polled, for ever: every five seconds or so, and down to once a minute where it
    /// fails. Any number of nodes may do so.
    pub async fn keep_polling_signals(self) {
        let pace = Arc::new(Pace::default());
        let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
        let mut rounds = JoinSet::new();
        loop {
            tokio::time::sleep(self.jittered()).await;
            while rounds.try_join_next().is_some() {}
            let streams = match self.polled_streams().await {
                Ok(streams) => streams,
                Err(error) => {
                    tracing::error!(%error, "the streams of security events could not be read");
                    continue;
                }
            };
            pace.keep(&streams);
            for stream in streams {
                if pace.begin(&stream.id) {
                    let (identity, pace, room) = (self.clone(), Arc::clone(&pace), Arc::clone(&room));
                    rounds.spawn(async move {
                        let permit = room.acquire_owned().await;
                        let good = identity.poll_stream(&stream).await;
                        drop(permit);
                        pace.end(&stream.id, good);
                    });
                }
            }
        }
    }

    /// Asks every stream that is polled once, in turn; how many rounds were good. For tests and for tools: what
    /// runs beside a deployment is [`Self::keep_polling_signals`].
    ///
    /// # Errors
    /// When the streams cannot be read.
    pub async fn poll_signals(&self) -> Result<usize, IdentityError> {
        let mut good = 0;
        for stream in self.polled_streams().await? {
            good += usize::from(self.poll_stream(&stream).await);
        }
        Ok(good)
    }

    async fn polled_streams(&self) -> Result<Vec<SignalStream>, IdentityError> {
        let mut all = self.store().streams(None).await?;
        all.retain(|stream| stream.delivery == SignalDelivery::Poll);
        Ok(all)
    }

    /// `EVERY`, a fifth more or less, so that nodes do not march in step.
    fn jittered(&self) -> Duration {
        let mut byte = [0u8; 1];
        self.rng().fill(&mut byte);
        EVERY.mul_f64(0.8 + f64::from(byte[0]) / 255.0 * 0.4)
    }

    /// One round of one stream, if it is this node's turn; whether nothing failed.
    async fn poll_stream(&self, stream: &SignalStream) -> bool {
        let now = self.now();
        let turn = sha256(stream.id.as_str());
        match self.store().use_once("signal poll", &turn, now, now.plus(TURN)).await {
            Ok(true) => {}
            Ok(false) => return true,
            Err(error) => {
                tracing::error!(%error, stream = %stream.id, "a stream of security events could not be polled");
                return false;
            }
        }
        let note = match self.poll_round(stream).await {
            Ok(()) if stream.last_fault.as_ref().is_some_and(|fault| fault.starts_with(NOTE)) => None,
            Ok(()) => return true,
            Err(error) => {
                tracing::warn!(%error, stream = %stream.id, "a stream of security events could not be polled");
                Some(format!("{NOTE}{}", told(&error.to_string())))
            }
        };
        let good = note.is_none();
        if note != stream.last_fault
            && let Err(error) = self.store().note_stream(&stream.id, None, None, note.as_deref()).await
        {
            tracing::error!(%error, stream = %stream.id, "a failed poll could not be noted");
        }
        good
    }

    /// Asks until there is no more, acknowledging on the way.
    async fn poll_round(&self, stream: &SignalStream) -> Result<(), PollError> {
        let settings = StreamSettings::of(stream)?;
        let signer = settings.signer.as_ref().ok_or(PollError::Settings("an issuer"))?;
        let endpoint = settings.poll_endpoint.as_ref().ok_or(PollError::Settings("a poll endpoint"))?;
        let mut poll = Poll::new(PAGE, true);
        for _ in 0..MOST_REQUESTS {
            let brought = self.ask(endpoint, settings.token.as_deref(), &poll).await?;
            poll = Poll::new(PAGE, true);
            let mut failed = None;
            for (jti, token) in &brought.sets {
                match self.take_polled(stream, &settings, signer, jti, token).await {
                    Ok(Taken::Done | Taken::Again) => poll.acknowledge(jti),
                    Ok(Taken::Refused(code)) => poll.refuse(jti, code),
                    Err(later) => failed = Some(later),
                }
            }
            let settled = poll.ack.is_empty() && poll.set_errs.is_empty();
            if let Some(later) = failed {
                if !settled {
                    self.ask(endpoint, settings.token.as_deref(), &Poll { max_events: 0, ..poll }).await?;
                }
                return Err(later.into());
            }
            if settled {
                return Ok(());
            }
        }
        // Never left unsaid: what is not acknowledged would come again.
        self.ask(endpoint, settings.token.as_deref(), &Poll { max_events: 0, ..poll }).await?;
        Ok(())
    }

    /// One request.
    async fn ask(&self, endpoint: &Url, token: Option<&str>, poll: &Poll) -> Result<Polled, PollError> {
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json.clone()), (header::ACCEPT, json)]);
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            headers.insert(header::AUTHORIZATION, value.map_err(|_| PollError::Settings("a usable token"))?);
        }
        let request = ProviderRequest {
            method: Method::POST,
            url: endpoint.clone(),
            headers,
            body: poll.to_body().into(),
            max_bytes: MAX_ANSWER,
        };
        let answer = self.providers().send(request).await?;
        Ok(polled(answer.status.as_u16(), &answer.body)?)
    }

    async fn take_polled(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        signer: &Signer,
        jti: &str,
        token: &str,
    ) -> Result<Taken, Later> {
        let fault = match self.verify_set(stream, settings, signer, token).await? {
            Ok(set) if set.jti == jti => {
                let taken = self.take_set(stream, settings, &set, None).await?;
                if let Taken::Refused(code) = taken {
                    self.note_fault(stream, &format!("an event was refused: {}", code.as_str())).await?;
                }
                return Ok(taken);
            }
            Ok(_) => {
                self.note_fault(stream, "signal_jti: an event came under the name of another").await?;
                return Ok(Taken::Refused(ErrorCode::InvalidRequest));
            }
            Err(fault) => fault,
        };
        self.note_fault(stream, &format!("{}: {}", fault.code(), told(&fault.to_string()))).await?;
        Ok(Taken::Refused(error_code(&fault)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_fails_is_asked_more_and_more_rarely_and_one_that_recovers_at_once() {
        let pace = Pace::default();
        let id = SignalStreamId::new("s").unwrap();
        let mut waits = Vec::new();
        for _ in 0..6 {
            let mut rounds = 0;
            while !pace.begin(&id) {
                rounds += 1;
            }
            assert!(!pace.begin(&id), "a round goes on");
            pace.end(&id, false);
            waits.push(rounds);
        }
        assert_eq!(waits, [0, 1, 3, 7, 11, 11], "rounds of five seconds between two attempts, at most a minute");
        while !pace.begin(&id) {}
        pace.end(&id, true);
        assert!(pace.begin(&id));
        pace.end(&id, true);
        pace.keep(&[]);
        assert!(pace.0.lock().unwrap().is_empty());
    }
}
