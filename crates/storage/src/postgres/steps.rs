//! How a step runs: on a task of its own, so that it comes to its end even if the caller goes away; within
//! bounds of time; and again where another transaction was in the way or the connection had died, as long
//! as nothing of it can have been committed.
//!
//! A commit whose answer is lost is `Unavailable`, though it may have happened. Every step is such that
//! who repeats it errs to the safe side: a code or a token is spent, something is revoked twice.

use std::{pin::Pin, sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::{Instant, timeout_at};

use super::{
    PATIENCE, PostgresStore, Shared,
    connection::Bounds,
    error::{Failure, Remedy},
    pool::{Lent, Pool},
    rows::{self, Row, Value},
};
use crate::StoreError;

/// What a step gives, once it has run.
pub(super) type Running<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;

/// A step that may be long, such as one that covers all of a tenant.
const LONG: Duration = Duration::from_secs(10);

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const CHANGE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Another transaction may be in the way so often. It always is one that got on.
const ATTEMPTS: u32 = 10;

/// How a step runs.
struct How<T> {
    /// What opens its transaction; without, each statement stands alone, and there must be one that reads.
    begin: Option<&'static str>,
    /// What it may take once its transaction is open.
    patience: Duration,
    /// Whether it has the connections of the poll.
    polling: bool,
    /// Whether what it gives means that it changed something. A step that only locked rows is rolled back:
    /// nothing waits for the disk then, least of all those who want the same rows.
    changed: fn(&T) -> bool,
}

impl<T> How<T> {
    const READ: Self = Self { begin: None, patience: PATIENCE, polling: false, changed: |_| true };
    const LOOK: Self = Self { begin: Some(SNAPSHOT), ..Self::READ };
    const WRITE: Self = Self { begin: Some(CHANGE), ..Self::READ };
}

impl PostgresStore {
    /// One statement that reads.
    pub(super) async fn one<T: Send + 'static>(
        &self,
        sql: &'static str,
        params: Vec<Value>,
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<Option<T>, StoreError> {
        self.run(How::READ, (params, read), |c, (params, read)| Box::pin(rows::one(c, sql, params.clone(), read))).await
    }

    /// One statement that reads many rows.
    pub(super) async fn all<T: Send + 'static>(
        &self,
        sql: &'static str,
        params: Vec<Value>,
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<Vec<T>, StoreError> {
        self.run(How::READ, (params, read), |c, (params, read)| Box::pin(rows::all(c, sql, params.clone(), read))).await
    }

    /// The same on a connection that no writer can take.
    pub(super) async fn poll<T: Send + 'static>(
        &self,
        sql: &'static str,
        params: Vec<Value>,
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<Vec<T>, StoreError> {
        let how = How { polling: true, ..How::READ };
        self.run(how, (params, read), |c, (params, read)| Box::pin(rows::all(c, sql, params.clone(), read))).await
    }

    /// Several statements that read one state.
    pub(super) async fn look<A, T, S>(&self, given: A, step: S) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T> + Send + Sync + 'static,
    {
        self.run(How::LOOK, given, step).await
    }

    /// One statement that changes; how many rows it changed.
    pub(super) async fn execute(&self, sql: &'static str, params: Vec<Value>) -> Result<u64, StoreError> {
        let changed: fn(&u64) -> bool = |rows| *rows > 0;
        self.write_if(changed, params, move |c, params| {
            Box::pin(async move { Ok(rows::change(c, sql, params.clone()).await?) })
        })
        .await
    }

    /// A step that changes, with what it needs.
    pub(super) async fn write<A, T, S>(&self, given: A, step: S) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T> + Send + Sync + 'static,
    {
        self.run(How::WRITE, given, step).await
    }

    /// The same, for a step that may well find nothing to change; `changed` tells from what it gives.
    pub(super) async fn write_if<A, T, S>(&self, changed: fn(&T) -> bool, given: A, step: S) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T> + Send + Sync + 'static,
    {
        self.run(How { changed, ..How::WRITE }, given, step).await
    }

    /// The same as [`Self::write`], for a step that may touch very many rows. A database that does not answer is found out no
    /// later.
    pub(super) async fn write_long<A, T, S>(&self, given: A, step: S) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T> + Send + Sync + 'static,
    {
        self.write_within(LONG, given, step).await
    }

    /// The same, with bounds of its own.
    pub(super) async fn write_within<A, T, S>(&self, patience: Duration, given: A, step: S) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T> + Send + Sync + 'static,
    {
        self.run(How { patience, ..How::WRITE }, given, step).await
    }

    async fn run<A, T, S>(&self, how: How<T>, given: A, step: S) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T> + Send + Sync + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let running = tokio::spawn(async move { repeat(&shared, &how, &given, &step).await });
        running.await.map_err(|error| StoreError::Unavailable(format!("a step broke off: {error}")))?
    }
}

async fn repeat<A, T, S>(shared: &Shared, how: &How<T>, given: &A, step: &S) -> Result<T, StoreError>
where
    S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T>,
{
    let pool = if how.polling { &shared.polling } else { &shared.pool };
    let begun = Instant::now();
    let mut reconnected = false;
    for attempt in 1.. {
        let failure = match attempt_once(pool, how, begun, given, step).await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        let again = match failure.remedy() {
            Remedy::Tell => false,
            Remedy::Repeat => attempt < ATTEMPTS,
            Remedy::Reconnect => {
                pool.forget();
                !std::mem::replace(&mut reconnected, true)
            }
        };
        if !again {
            return Err(failure.into());
        }
        tracing::debug!(?failure, attempt, "a step runs again");
    }
    Err(StoreError::Unavailable("the step never ran".into()))
}

async fn attempt_once<A, T, S>(pool: &Pool, how: &How<T>, begun: Instant, given: &A, step: &S) -> Result<T, Failure>
where
    S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T>,
{
    let late = |_| StoreError::Unavailable("the database did not answer in time".into());
    // Waiting for others' connections and opening one's own come out of the same patience.
    let opening = timeout_at(begun + PATIENCE, async {
        let mut lent = pool.lend().await?;
        if let Some(begin) = how.begin {
            execute(&mut lent.connection, &opened(begin, how.patience)).await?;
        }
        Ok::<Lent, Failure>(lent)
    });
    let mut lent = opening.await.map_err(late)??;
    let end = begun + how.patience.max(PATIENCE);
    let outcome = timeout_at(end, finish(&mut lent.connection, how, given, step)).await.map_err(late)?;
    // Given back only where it is certain that it is in no transaction.
    match outcome {
        Ended::Well(value) => {
            pool.give_back(lent);
            Ok(value)
        }
        Ended::RolledBack(failure) => {
            pool.give_back(lent);
            Err(failure)
        }
        Ended::Broken(failure) => Err(failure),
    }
}

/// How an attempt ended, and what that means for its connection.
enum Ended<T> {
    Well(T),
    RolledBack(Failure),
    Broken(Failure),
}

async fn finish<A, T, S>(c: &mut PgConnection, how: &How<T>, given: &A, step: &S) -> Ended<T>
where
    S: for<'c> Fn(&'c mut PgConnection, &'c A) -> Running<'c, T>,
{
    match (step(c, given).await, how.begin) {
        (Ok(value), None) => Ended::Well(value),
        (Ok(value), Some(_)) if !(how.changed)(&value) => match execute(c, "ROLLBACK").await {
            Ok(()) => Ended::Well(value),
            Err(failure) => Ended::Broken(failure),
        },
        (Ok(value), Some(_)) => match execute(c, "COMMIT").await {
            Ok(()) => Ended::Well(value),
            // Whether it happened is not known, unless the server itself says that it did not.
            Err(failure) if failure.remedy() == Remedy::Repeat => Ended::Broken(failure),
            Err(failure) => {
                let why = format!("whether a step was committed is not known: {}", StoreError::from(failure));
                Ended::Broken(StoreError::Unavailable(why).into())
            }
        },
        (Err(failure), _) if failure.remedy() == Remedy::Reconnect => Ended::Broken(failure),
        (Err(failure), None) => Ended::RolledBack(failure),
        (Err(failure), Some(_)) => match execute(c, "ROLLBACK").await {
            Ok(()) => Ended::RolledBack(failure),
            Err(_) => Ended::Broken(failure),
        },
    }
}

/// Opens a transaction; one that may be long tells the server so.
fn opened(begin: &str, patience: Duration) -> String {
    if patience <= PATIENCE {
        return begin.to_owned();
    }
    let Bounds { statement, lock, .. } = Bounds::of(patience);
    format!("{begin}; SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}")
}

async fn execute(c: &mut PgConnection, sql: &str) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(c).await?;
    Ok(())
}
