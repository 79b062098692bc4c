//! A pool of connections under the read budget, with a limit on every answer.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{ConnectOptions, Database, Pool};
use tokio::sync::OwnedSemaphorePermit;

use super::budget::Budget;
use super::endpoint::{self, Endpoint, Identify};
use super::failure::{self, Class};
use super::{Options, TargetError};

/// How long a new connection may take: a server that is up answers in milliseconds, one that comes up in seconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Added to the statement timeout before we stop waiting ourselves: the server's own word is better than our guess.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// After a server restart every idle connection is dead; each try finds out about one.
const SPARE_TRIES: usize = 2;

/// A connection is opened anew after so long: where the address leads by now is seen no later.
const LIFETIME: Duration = Duration::from_secs(60);

/// Makes a pool.
type Make<DB> = Box<dyn Fn(PoolOptions<DB>) -> Pool<DB> + Send + Sync>;

/// One read through a connection of its own: `|conn| { … }` is asked, with a limit on its answer. With `persevering`, it is
/// asked again while each try loses its connection.
///
/// A macro, because a method that takes an async closure makes the callers' futures not provably `Send`.
macro_rules! read {
    (persevering $reader:expr, $keys:expr, $table:expr, |$conn:ident| $ask:expr) => {
        $reader.persevering(|| async { read!($reader, $keys, $table, |$conn| $ask) }).await
    };
    ($reader:expr, $keys:expr, $table:expr, |$conn:ident| $ask:expr) => {
        match $reader.lease($keys, $table).await {
            Ok(mut lease) => {
                let $conn = &mut *lease.conn;
                let outcome = $reader.bounded(async { $ask }).await;
                lease.settle(&outcome);
                outcome
            }
            Err(error) => Err(error),
        }
    };
}
pub(super) use read;

/// Reads one database.
pub(super) struct Reader<DB: Database> {
    /// Replaced as a whole when reads move to another server.
    pool: Mutex<Pool<DB>>,
    make: Make<DB>,
    endpoint: Arc<Endpoint>,
    max_connections: u32,
    budget: Budget,
    answer_limit: Duration,
    tries: usize,
    by_code: fn(&dyn sqlx::error::DatabaseError) -> Class,
}

/// A connection in use.
pub(super) struct Lease<DB: Database> {
    pub(super) conn: PoolConnection<DB>,
    _permit: OwnedSemaphorePermit,
}

impl<DB: Database> Lease<DB> {
    /// Gives the connection back; one that failed may have lost its bearings and is closed instead.
    pub(super) fn settle<T>(self, outcome: &Result<T, TargetError>) {
        if outcome.as_ref().is_err_and(failure::spoils_connection) {
            drop(self.conn.detach());
        }
    }
}

impl<DB: Database> Reader<DB> {
    /// A reader whose pool has exactly as many connections as its budget, so that getting one never queues in the pool.
    pub(super) fn new(
        options: &Options,
        by_code: fn(&dyn sqlx::error::DatabaseError) -> Class,
        endpoint: Arc<Endpoint>,
        make: impl Fn(PoolOptions<DB>) -> Pool<DB> + Send + Sync + 'static,
    ) -> Reader<DB> {
        let max_connections = options.max_connections.max(1);
        let make: Make<DB> = Box::new(make);
        Reader {
            pool: Mutex::new(make(pool_options(max_connections))),
            make,
            endpoint,
            max_connections,
            budget: Budget::new(max_connections, options.reads_per_second),
            answer_limit: options.statement_timeout + ANSWER_MARGIN,
            tries: max_connections as usize + SPARE_TRIES,
            by_code,
        }
    }

    /// Waits for the budget, then for a connection. Refuses while it is not known that one server answers.
    pub(super) async fn lease(&self, keys: usize, table: &str) -> Result<Lease<DB>, TargetError> {
        self.endpoint.gate()?;
        let lease = self.lease_to_look(keys, table).await?;
        // A connection that was opened for this lease may have reached another server.
        self.endpoint.gate()?;
        Ok(lease)
    }

    /// As [`Reader::lease`], to look at whichever server answers. No row is read through it.
    pub(super) async fn lease_to_look(&self, keys: usize, table: &str) -> Result<Lease<DB>, TargetError> {
        let Some(permit) = self.budget.take(keys).await else { return Err(failure::refused("the target was closed")) };
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let conn = pool.acquire().await.map_err(|error| self.classify(table, error))?;
        Ok(Lease { conn, _permit: permit })
    }

    /// Who answers at the other end.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits for an answer, but not for ever: a server that is gone without a word is unreachable.
    pub(super) async fn bounded<T>(
        &self,
        answer: impl Future<Output = Result<T, TargetError>>,
    ) -> Result<T, TargetError> {
        tokio::time::timeout(self.answer_limit, answer).await.unwrap_or_else(|_| Err(failure::timed_out()))
    }

    /// Repeats a read while each try loses its connection.
    pub(super) async fn persevering<T, F>(&self, read: impl FnMut() -> F) -> Result<T, TargetError>
    where
        F: Future<Output = Result<T, TargetError>>,
    {
        let pace = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_secs(1))
            .with_max_times(self.tries);
        read.retry(pace).when(failure::lost_connection).await
    }

    fn renew(&self) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever still reads through it gives its connection back, which is closed then.
        drop(pool.close());
        *pool = (self.make)(pool_options(self.max_connections));
    }

    /// What an error means.
    pub(super) fn classify(&self, table: &str, error: sqlx::Error) -> TargetError {
        failure::classify(table, self.by_code, error)
    }
}

impl<DB: Identify> Reader<DB> {
    /// Where it is doubtful which server answers: opens fresh connections and looks. A move closes the old ones.
    ///
    /// # Errors
    /// Nobody answers, or several do.
    pub(super) async fn look_who_answers<C>(&self, connect: &C) -> Result<(), TargetError>
    where
        C: ConnectOptions<Connection = DB::Connection>,
    {
        if !self.endpoint.is_doubtful() {
            return Ok(());
        }
        // The connections at hand lead to where the address led before.
        self.renew();
        let seen = endpoint::look::<DB, C>(connect, self.max_connections).await;
        let seen = seen.map_err(|error| self.classify("", error))?;
        if self.endpoint.judge(&seen) {
            return Ok(());
        }
        self.endpoint.gate()
    }
}

impl<DB: Database> fmt::Debug for Reader<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("endpoint", &self.endpoint).field("budget", &self.budget).finish_non_exhaustive()
    }
}

fn pool_options<DB: Database>(max_connections: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(max_connections)
        .max_lifetime(LIFETIME)
        .acquire_timeout(CONNECT_LIMIT)
        // A round trip before each read would cost more than the retry that a dead connection needs.
        .test_before_acquire(false)
}
