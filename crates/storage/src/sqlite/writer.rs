//! The one connection that writes, on a thread of its own.
//!
//! Group commit without a timer: a step that finds the writer idle runs and commits at once; what
//! arrives while a commit waits for the disk goes into the next transaction together. Each step has
//! a savepoint, so one that fails takes back only itself. No caller hears `Ok` before the commit.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::StoreError;

/// Bounds how long the first step of a batch waits for the last.
const BATCH_LIMIT: usize = 256;

pub(super) struct Writer {
    steps: Option<Sender<Box<dyn Step>>>,
    thread: Option<JoinHandle<()>>,
    revoked: watch::Receiver<u64>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (steps, queue) = mpsc::channel();
        let (epoch, revoked) = watch::channel(0);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || serve(&connection, &queue, &epoch))
            .map_err(|error| StoreError::Unavailable(format!("the writer's thread did not start: {error}")))?;
        Ok(Self { steps: Some(steps), thread: Some(thread), revoked })
    }

    /// The epoch of the revocation log, told after each commit that moved it and before its caller is
    /// answered.
    pub(super) fn revoked(&self) -> watch::Receiver<u64> {
        self.revoked.clone()
    }

    /// Runs `work` in a transaction and answers once it is durable. It runs to its end even if the
    /// caller goes away. With `scrub`, what it deleted is also wiped from the write-ahead log.
    pub(super) async fn submit<T, F>(&self, work: F, scrub: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let stopped = || StoreError::Unavailable("the writer has stopped: restart sallyport".into());
        let (reply, answer) = oneshot::channel();
        let step = Box::new(Typed { work: Some(work), outcome: None, scrub, reply });
        self.steps.as_ref().ok_or_else(stopped)?.send(step).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Ends the thread after what is queued, so that the file is closed when the store is gone.
impl Drop for Writer {
    fn drop(&mut self) {
        self.steps = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the database's writer had panicked");
        }
    }
}

/// A unit of work of any type.
trait Step: Send {
    /// Runs; whether what it did is to be kept.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Whether the write-ahead log must be emptied afterwards.
    fn scrubs(&self) -> bool;
    /// Tells the caller, after the commit or its failure.
    fn answer(self: Box<Self>, committed: Result<(), &str>);
}

struct Typed<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    scrub: bool,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Step for Typed<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.outcome = self.work.take().map(|work| work(connection));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn scrubs(&self) -> bool {
        self.scrub
    }

    fn answer(self: Box<Self>, committed: Result<(), &str>) {
        let not_run = || Err(StoreError::Unavailable("the step did not run".into()));
        let outcome = match committed {
            Ok(()) => self.outcome.unwrap_or_else(not_run),
            Err(why) => Err(StoreError::Unavailable(why.into())),
        };
        // A caller that went away has nobody to tell; its step is committed all the same.
        let _ = self.reply.send(outcome);
    }
}

fn serve(connection: &Connection, queue: &Receiver<Box<dyn Step>>, epoch: &watch::Sender<u64>) {
    while let Ok(first) = queue.recv() {
        let mut steps = vec![first];
        let committed = commit(connection, &mut steps, queue).map_err(|error| {
            abandon(connection);
            error.to_string()
        });
        if committed.is_ok() && steps.iter().any(|step| step.scrubs()) {
            scrub(connection);
        }
        if committed.is_ok() {
            tell(connection, epoch);
        }
        for step in steps {
            step.answer(committed.as_ref().map(|_| ()).map_err(String::as_str));
        }
    }
}

/// Tells whoever waits that there are new revocations. Only a wake-up: a failure here is noticed by the
/// next poll, which asks the log itself.
fn tell(connection: &Connection, epoch: &watch::Sender<u64>) {
    let read = connection
        .prepare_cached("SELECT value FROM counters WHERE name = 'revocation_epoch'")
        .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)));
    if let Some(now) = read.ok().and_then(|value| u64::try_from(value).ok()) {
        epoch.send_if_modified(|known| std::mem::replace(known, now) != now);
    }
}

/// Runs what is queued in one transaction. An error means that nothing of it is kept.
fn commit(
    connection: &Connection,
    steps: &mut Vec<Box<dyn Step>>,
    queue: &Receiver<Box<dyn Step>>,
) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut done = 0;
    while done < steps.len() {
        run(connection, steps[done].as_mut())?;
        done += 1;
        if done == steps.len()
            && done < BATCH_LIMIT
            && let Ok(step) = queue.try_recv()
        {
            steps.push(step);
        }
    }
    connection.execute_batch("COMMIT")
}

/// If SQLite ended the whole transaction by itself (a full disk), the savepoint is gone too, this
/// fails, and with it the batch.
fn run(connection: &Connection, step: &mut dyn Step) -> rusqlite::Result<()> {
    connection.execute_batch("SAVEPOINT step")?;
    if !step.run(connection) {
        connection.execute_batch("ROLLBACK TO step")?;
    }
    connection.execute_batch("RELEASE step")
}

fn abandon(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a failed transaction could not be rolled back");
    }
}

/// Empties the write-ahead log, where old copies of deleted rows lie.
fn scrub(connection: &Connection) {
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    if !matches!(busy, Ok(0)) {
        tracing::warn!(?busy, "the write-ahead log could not be emptied yet; a later checkpoint will");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn writer() -> Arc<Writer> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        Arc::new(Writer::start(connection).unwrap())
    }

    async fn count(writer: &Writer) -> i64 {
        writer.submit(|c| Ok(c.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?), false).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failing_step_takes_back_only_itself() {
        let writer = writer();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..200i64 {
            let writer = Arc::clone(&writer);
            tasks.spawn(async move {
                let step = move |c: &Connection| {
                    c.execute("INSERT INTO t VALUES (?1)", [n])?;
                    if n % 2 == 0 { Ok(n) } else { Err(StoreError::Missing("even number")) }
                };
                (n, writer.submit(step, false).await)
            });
        }
        while let Some(done) = tasks.join_next().await {
            match done.unwrap() {
                (n, Ok(kept)) => assert_eq!((n, n % 2), (kept, 0)),
                (n, Err(StoreError::Missing(_))) => assert_eq!(n % 2, 1),
                (n, Err(other)) => panic!("{n}: {other}"),
            }
        }
        assert_eq!(count(&writer).await, 100);
    }

    #[tokio::test]
    async fn a_transaction_that_ends_under_a_step_fails_its_caller_and_not_the_next() {
        let writer = writer();
        let step = |c: &Connection| {
            c.execute("INSERT INTO t VALUES (1)", [])?;
            c.execute_batch("ROLLBACK")?;
            Ok(())
        };
        assert!(matches!(writer.submit(step, false).await, Err(StoreError::Unavailable(_))));
        assert_eq!(count(&writer).await, 0);
    }

    #[tokio::test]
    async fn a_panic_stops_the_writer_and_everybody_is_refused() {
        let writer = writer();
        let step = |_: &Connection| -> Result<(), StoreError> { panic!("on purpose") };
        assert!(matches!(writer.submit(step, false).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(writer.submit(|_| Ok(()), false).await, Err(StoreError::Unavailable(_))));
    }
}
