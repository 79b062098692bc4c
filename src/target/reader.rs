//! A pool of connections under the read budget, with a limit on every answer.

use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{Database, Pool};
use tokio::sync::OwnedSemaphorePermit;

use super::budget::Budget;
use super::failure::{self, Class};
use super::{Options, TargetError};

/// How long a new connection may take: a server that is up answers in milliseconds, one that comes up in seconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Added to the statement timeout before we stop waiting ourselves: the server's own word is better than our guess.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// After a server restart every idle connection is dead; each try finds out about one.
const SPARE_TRIES: usize = 2;

/// Reads one database.
#[derive(Debug)]
pub(super) struct Reader<DB: Database> {
    pool: Pool<DB>,
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
        pool: impl FnOnce(PoolOptions<DB>) -> Pool<DB>,
    ) -> Reader<DB> {
        let max_connections = options.max_connections.max(1);
        let pool_options = PoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(CONNECT_LIMIT)
            // A round trip before each read would cost more than the retry that a dead connection needs.
            .test_before_acquire(false);
        Reader {
            pool: pool(pool_options),
            budget: Budget::new(max_connections, options.reads_per_second),
            answer_limit: options.statement_timeout + ANSWER_MARGIN,
            tries: max_connections as usize + SPARE_TRIES,
            by_code,
        }
    }

    /// Waits for the budget, then for a connection.
    pub(super) async fn lease(&self, keys: usize, table: &str) -> Result<Lease<DB>, TargetError> {
        let Some(permit) = self.budget.take(keys).await else { return Err(failure::refused("the target was closed")) };
        let conn = self.pool.acquire().await.map_err(|error| self.classify(table, error))?;
        Ok(Lease { conn, _permit: permit })
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

    /// What an error means.
    pub(super) fn classify(&self, table: &str, error: sqlx::Error) -> TargetError {
        failure::classify(table, self.by_code, error)
    }
}
