//! What the gate has going on, so that a stop can wait for it and end what is left on the record.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long what was told to end may take. Longer than an upstream may take to hear of it.
const ENDING: Duration = Duration::from_secs(6);

/// The tasks of the gate.
#[derive(Debug, Default)]
pub(crate) struct Work {
    calls: TaskTracker,
    streams: TaskTracker,
    stopped: CancellationToken,
}

impl Work {
    /// Runs a call, or the end of something: a stop waits for it.
    pub(crate) fn run<F>(&self, call: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.calls.spawn(call)
    }

    /// Runs a stream, which has no end of its own: a stop ends it.
    pub(crate) fn run_stream<F>(&self, stream: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.streams.spawn(stream);
    }

    /// Whether every call has to end now.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_cancelled()
    }

    /// Resolves once every call has to end.
    pub(crate) async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Lets calls finish for `patience`; then tells what is left to end, and waits until it has.
    pub(crate) async fn finish(&self, patience: Duration) {
        self.calls.close();
        self.streams.close();
        let in_time = timeout(patience, self.calls.wait()).await.is_ok();
        self.stopped.cancel();
        let ended = async { tokio::join!(self.calls.wait(), self.streams.wait()) };
        if timeout(ENDING, ended).await.is_err() {
            let open = self.calls.len() + self.streams.len();
            tracing::warn!(open, "not everything ended; the next start closes in the log what is open there");
        } else if !in_time {
            tracing::warn!("calls that were not done were cancelled");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn calls_get_their_time_and_streams_none() {
        let work = Arc::new(Work::default());
        let quick = work.run(tokio::time::sleep(Duration::from_secs(3)));
        let watched = Arc::clone(&work);
        work.run_stream(async move { watched.stopped().await });
        let began = tokio::time::Instant::now();
        work.finish(Duration::from_secs(10)).await;
        assert!(quick.is_finished() && work.streams.is_empty());
        assert_eq!(began.elapsed().as_secs(), 3, "nobody waits for longer than the calls take");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_finish_is_told_to_end() {
        let work = Arc::new(Work::default());
        let watched = Arc::clone(&work);
        let slow = work.run(async move { watched.stopped().await });
        work.run(std::future::pending::<()>());
        let began = tokio::time::Instant::now();
        work.finish(Duration::from_secs(10)).await;
        assert!(slow.is_finished());
        assert_eq!(began.elapsed().as_secs(), 16, "what never ends does not hold up the stop");
    }
}
