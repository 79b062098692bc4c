//! The store in one SQLite file, for one sidecar and the commands beside it.
//!
//! WAL with `synchronous = FULL`: a recorded finding survives power loss, which is what lets the offset below it be
//! committed. One connection writes; other processes wait for its transaction through the busy timeout.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool};

use super::job::{self, AuditJob};
use super::life::{self, Deed, Refusal};
use super::merge::{self, Applied, Recorded};
use super::query::{self, About, ListArguments, Row, Stored, Watermark};
use super::schedule::{self, Covers, Hold, LastRun, ScheduleKey};
use super::unverified::Whose;
use super::{Failure, documents, history, outbox};
use crate::model::Wall;
use crate::report::alert::Status;
use crate::report::document::Document;
use crate::report::group::{self, News, Route};
use crate::report::life::{Event, IgnoreRule};
use crate::report::unverified::UnverifiedRange;

/// How long a write waits for another process's write. Batches take milliseconds; a checkpoint on a slow disk, seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it waits at first where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Readers at a time: the web page, a command, one to spare.
const READERS: u32 = 3;

const STEPS: [(i64, &str, &str); 7] = [
    (1, "findings", include_str!("migrations/sqlite/0001_findings.sql")),
    (2, "unverified", include_str!("migrations/sqlite/0002_unverified.sql")),
    (3, "outbox", include_str!("migrations/sqlite/0003_outbox.sql")),
    (4, "life", include_str!("migrations/sqlite/0004_life.sql")),
    (5, "audits", include_str!("migrations/sqlite/0005_audits.sql")),
    (6, "schedules", include_str!("migrations/sqlite/0006_schedules.sql")),
    (7, "history stays", include_str!("migrations/sqlite/0007_history_stays.sql")),
];

/// Ids between commas.
const HISTORY: &str = "
    SELECT finding, event FROM (
        SELECT finding, event, number, ROW_NUMBER() OVER (PARTITION BY finding ORDER BY number DESC) AS place
        FROM afterimage_history WHERE finding IN (SELECT value FROM json_each('[\"' || REPLACE($1, ',', '\",\"') || '\"]'))
    ) AS numbered WHERE place <= 100 ORDER BY number";

#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
    place: Held,
}

/// Where the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    InFile,
    /// Its connection is the database.
    InMemory,
}

impl Sqlite {
    pub(super) async fn open(url: &str) -> Result<Sqlite, Failure> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        if is_in_memory(url) {
            // The one connection is the database: it must neither be closed nor have a second beside it.
            let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
            let pool = pool.connect_with(options).await?;
            return Ok(Sqlite { writer: pool.clone(), readers: pool, place: Held::InMemory });
        }
        create_private(options.get_filename());
        // The change of a new file to WAL does not wait for another process that makes the same change.
        let pace = ExponentialBuilder::default().with_min_delay(BUSY_PAUSE).with_total_delay(Some(BUSY_TIMEOUT));
        let connect = || SqlitePoolOptions::new().max_connections(1).connect_with(options.clone());
        let writer = connect.retry(pace).when(is_busy).await?;
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.create_if_missing(false));
        Ok(Sqlite { writer, readers, place: Held::InFile })
    }

    pub(super) async fn migrate(&self) -> Result<(), MigrateError> {
        let migrator = super::migrator(&STEPS);
        // SQLite has no lock to hold meanwhile: of two processes that open a new file at once, one finds the tables of a step made
        // by the other, at each step at most once, and finds nothing left to do when it looks again behind the last.
        for _ in STEPS {
            match migrator.run(&self.writer).await {
                Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)) => {}
                done => return done,
            }
        }
        migrator.run(&self.writer).await
    }

    pub(super) async fn record(
        &self,
        incoming: &[Document],
        routes: &[Route],
    ) -> Result<(Vec<Recorded>, u64), Failure> {
        let mut writer = self.writer.acquire().await?;
        let done = record(&mut writer, incoming, routes).await;
        self.done(writer, done).await
    }

    pub(super) async fn told(&self, message: &News, status: Status, now: Wall) -> Result<(), sqlx::Error> {
        let mut writer = self.writer.acquire().await?;
        let done = told(&mut writer, (message, status), now).await;
        self.done(writer, done).await
    }

    /// What a process leased that is gone: one process writes a file at a time.
    pub(super) async fn release_all(&self) -> Result<(), sqlx::Error> {
        sqlx::query(outbox::RELEASE_ALL).execute(&self.writer).await.map(|_| ())
    }

    pub(super) async fn news(&self, channel: Option<&str>, now: Wall) -> Result<Vec<News>, sqlx::Error> {
        let rows: Vec<outbox::NewsRow> =
            sqlx::query_as(outbox::NEWS).bind(channel).bind(now.0).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(outbox::news).collect())
    }

    pub(super) async fn lease(&self, news: &News, now: Wall, until: Wall) -> Result<Option<News>, sqlx::Error> {
        let (pipeline, table, kind) = outbox::key(&news.group);
        let lease = sqlx::query_as(outbox::LEASE).bind(&news.channel).bind(pipeline).bind(table).bind(kind);
        let row: Option<outbox::NewsRow> = lease.bind(now.0).bind(until.0).fetch_optional(&self.writer).await?;
        Ok(row.map(outbox::news))
    }

    pub(super) async fn release(&self, news: &News) -> Result<(), sqlx::Error> {
        let (pipeline, table, kind) = outbox::key(&news.group);
        let release = sqlx::query(outbox::RELEASE).bind(&news.channel).bind(pipeline).bind(table).bind(kind);
        release.execute(&self.writer).await.map(|_| ())
    }

    pub(super) async fn standing(
        &self,
        group: &group::GroupKey,
        (severity, seen): (i64, i64),
    ) -> Result<i64, sqlx::Error> {
        let (pipeline, table, kind) = outbox::key(group);
        let count =
            sqlx::query_scalar(outbox::STANDING).bind(pipeline).bind(severity).bind(kind).bind(table).bind(seen);
        count.fetch_one(&self.readers).await
    }

    /// A connection whose transaction failed is not used again: where SQLite rolled back by itself, as it does on a full
    /// disk, the driver still believes in a transaction and would begin no other.
    async fn done<T, E>(&self, writer: PoolConnection<sqlx::Sqlite>, done: Result<T, E>) -> Result<T, E> {
        if done.is_err() && self.place == Held::InFile {
            // What it still says is of no use: the error that ended it is told.
            let _ = writer.close().await;
        }
        done
    }

    pub(super) async fn act(
        &self,
        ids: &[String],
        deed: &Deed,
        routes: &[Route],
    ) -> Result<Vec<Result<Document, Refusal>>, Failure> {
        let mut writer = self.writer.acquire().await?;
        let done = act(&mut writer, ids, (deed, routes)).await;
        self.done(writer, done).await
    }

    pub(super) async fn due(&self, now: i64, limit: i64) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(history::RUN_OUT).bind(now).bind(limit).fetch_all(&self.readers).await
    }

    pub(super) async fn by_rule(&self, rule: &str, limit: i64) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(history::BY_RULE).bind(rule).bind(limit).fetch_all(&self.readers).await
    }

    pub(super) async fn rules(&self, pipeline: Option<&str>) -> Result<Vec<IgnoreRule>, Failure> {
        history::rules(sqlx::query_as(history::RULES).bind(pipeline).fetch_all(&self.readers).await?)
    }

    pub(super) async fn add_rule(&self, rule: &IgnoreRule) -> Result<(), Failure> {
        let text = serde_json::to_string(rule).map_err(|source| Failure::damaged(&rule.id, source))?;
        let add = sqlx::query(history::ADD_RULE).bind(&rule.id).bind(query::plain(&rule.pipeline));
        add.bind(rule.until.map(|until| until.0)).bind(text).execute(&self.writer).await?;
        Ok(())
    }

    pub(super) async fn remove_rule(&self, id: &str, now: i64, by: &str) -> Result<u64, sqlx::Error> {
        let remove = sqlx::query(history::REMOVE_RULE).bind(id).bind(now).bind(by);
        Ok(remove.execute(&self.writer).await?.rows_affected())
    }

    /// The last events of findings, oldest first; the ids stand between commas.
    pub(super) async fn history(&self, ids: &str) -> Result<Vec<(String, Event)>, Failure> {
        history::events(sqlx::query_as(HISTORY).bind(ids).fetch_all(&self.readers).await?)
    }

    pub(super) async fn list(&self, arguments: ListArguments) -> Result<Vec<Row>, sqlx::Error> {
        sqlx::query_as(arguments.statement)
            .bind(arguments.pipeline)
            .bind(arguments.table)
            .bind(arguments.kinds)
            .bind(arguments.states)
            .bind(arguments.severity)
            .bind(arguments.since)
            .bind(arguments.before)
            .bind(arguments.before_id)
            .bind(arguments.key)
            .bind(arguments.limit)
            .fetch_all(&self.readers)
            .await
    }

    pub(super) async fn find(&self, from: &str, to: &str) -> Result<Vec<Row>, sqlx::Error> {
        sqlx::query_as(query::FIND).bind(from).bind(to).fetch_all(&self.readers).await
    }

    pub(super) async fn open_findings(
        &self,
        (pipeline, about): (&str, About),
        after: &str,
        limit: i64,
    ) -> Result<Vec<Row>, sqlx::Error> {
        sqlx::query_as(query::OPEN)
            .bind(pipeline)
            .bind(about.number())
            .bind(after)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
    }

    pub(super) async fn counts(&self, pipeline: Option<&str>) -> Result<Vec<query::CountRow>, sqlx::Error> {
        sqlx::query_as(query::COUNTS).bind(pipeline).fetch_all(&self.readers).await
    }

    pub(super) async fn save_watermarks(&self, pipeline: &str, watermarks: &[Watermark]) -> Result<(), sqlx::Error> {
        let mut writer = self.writer.acquire().await?;
        let done = save_watermarks(&mut writer, pipeline, watermarks).await;
        self.done(writer, done).await
    }

    pub(super) async fn watermarks(&self, pipeline: &str) -> Result<Vec<query::WatermarkRow>, sqlx::Error> {
        sqlx::query_as(query::WATERMARKS).bind(pipeline).fetch_all(&self.readers).await
    }

    pub(super) async fn record_unverified(
        &self,
        groups: &BTreeMap<Whose, Vec<UnverifiedRange>>,
    ) -> Result<(), sqlx::Error> {
        let mut writer = self.writer.acquire().await?;
        let done = record_unverified(&mut writer, groups).await;
        self.done(writer, done).await
    }

    pub(super) async fn unverified(&self, pipeline: Option<&str>) -> Result<Vec<query::UnverifiedRow>, sqlx::Error> {
        sqlx::query_as(query::UNVERIFIED)
            .bind(pipeline)
            .bind(None::<&str>)
            .bind(None::<i64>)
            .fetch_all(&self.readers)
            .await
    }

    pub(super) async fn keep_audit(&self, job: &AuditJob, keys: &[u8]) -> Result<(), sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let begun = sqlx::query(job::BEGIN).bind(&job.id).bind(&job.input).bind(job.started.0);
        begun.execute(&mut *transaction).await?;
        sqlx::query(job::APPEND).bind(&job.id).bind(keys).execute(&mut *transaction).await?;
        transaction.commit().await
    }

    pub(super) async fn audit(&self, id: &str) -> Result<job::Found, sqlx::Error> {
        let job = sqlx::query_as(job::FIND).bind(id).fetch_optional(&self.readers).await?;
        Ok((job, sqlx::query_as(job::JUDGED).bind(id).fetch_all(&self.readers).await?))
    }

    pub(super) async fn forget_audit(&self, id: &str) -> Result<(), sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for statement in job::FORGET {
            sqlx::query(statement).bind(id).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    schedule::schedule_statements!(writer);

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn told(
    writer: &mut sqlx::SqliteConnection,
    (message, status): (&News, Status),
    now: Wall,
) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    outbox::tell_news!(transaction, message, status, now);
    transaction.commit().await
}

async fn record(
    writer: &mut sqlx::SqliteConnection,
    incoming: &[Document],
    routes: &[Route],
) -> Result<(Vec<Recorded>, u64), Failure> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let mut stored = BTreeMap::new();
    let mut wanted: Vec<String> = incoming.iter().map(|document| document.id.clone()).collect();
    while let Some(id) = wanted.pop() {
        let row: Option<Row> = sqlx::query_as(history::LOAD).bind(id).fetch_optional(&mut *transaction).await?;
        for known in documents(row)? {
            wanted.extend(merge::followed_by(&known));
            stored.insert(known.id.clone(), known);
        }
    }
    let rules = history::rules_of!(transaction);
    let Applied { recorded, changed, mut events } = merge::apply(&mut stored, incoming, &rules);
    put(&mut transaction, merge::rows(&stored, &changed)?).await?;
    events.extend(history::earlier!(transaction, &recorded, &stored));
    history::append!(transaction, events.iter().map(|(id, event)| (id, event)));
    let deltas = group::deltas(routes, outbox::turns(&recorded, &stored));
    let merged = outbox::add_news!(transaction, &deltas);
    transaction.commit().await?;
    Ok((recorded, merged))
}

async fn act(
    writer: &mut sqlx::SqliteConnection,
    ids: &[String],
    (deed, routes): (&Deed, &[Route]),
) -> Result<Vec<Result<Document, Refusal>>, Failure> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let done = history::act!(transaction, ids, deed, routes);
    transaction.commit().await?;
    Ok(done)
}

async fn save_watermarks(
    writer: &mut sqlx::SqliteConnection,
    pipeline: &str,
    watermarks: &[Watermark],
) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    for watermark in watermarks {
        let (partition, verified, applied, at) = watermark.arguments();
        sqlx::query(query::SAVE_WATERMARK)
            .bind(pipeline)
            .bind(&watermark.topic)
            .bind(partition)
            .bind(verified)
            .bind(applied)
            .bind(at)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Whether another connection is in the way (`SQLITE_BUSY`, 5).
fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "5")
}

async fn record_unverified(
    writer: &mut sqlx::SqliteConnection,
    groups: &BTreeMap<Whose, Vec<UnverifiedRange>>,
) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    query::merge_unverified!(transaction, groups);
    transaction.commit().await
}

async fn put(connection: &mut sqlx::SqliteConnection, rows: Vec<Stored>) -> Result<(), sqlx::Error> {
    for row in rows {
        put_one(connection, row).await?;
    }
    Ok(())
}

async fn put_one(connection: &mut sqlx::SqliteConnection, stored: Stored) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT OR REPLACE INTO afterimage_finding
         (id, pipeline, table_name, kind, severity, state, about_row, first_seen, last_seen, document, extra,
          key_text, ignored_until, ignored_rule)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(stored.id)
    .bind(stored.pipeline)
    .bind(stored.table)
    .bind(stored.kind)
    .bind(stored.severity)
    .bind(stored.state)
    .bind(stored.about_row)
    .bind(stored.first_seen)
    .bind(stored.last_seen)
    .bind(stored.document)
    .bind(stored.extra)
    .bind(stored.key_text)
    .bind(stored.ignored_until)
    .bind(stored.ignored_rule)
    .execute(connection)
    .await
    .map(|_| ())
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// Findings carry row values: a new file is its owner's alone. A file that cannot be made is left to SQLite to explain.
fn create_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        drop(created);
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::finding;
    use super::*;
    use crate::model::finding::{Act, State};

    #[tokio::test]
    async fn history_is_only_added_to() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&format!("sqlite:{}", directory.path().join("a.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let known = finding(1, State::Open, 5);
        store.record(std::slice::from_ref(&known), &[]).await.unwrap();
        let (act, by, note) = (Act::Noted, "ada".to_owned(), Some("ours".to_owned()));
        let deed = Deed { act, by, at: Wall(7), note, until: None, rule: None };
        store.act(std::slice::from_ref(&known.id), &deed, &[]).await.unwrap();
        for change in ["UPDATE afterimage_history SET at = 0", "DELETE FROM afterimage_history"] {
            let error = sqlx::raw_sql(change).execute(&store.writer).await.unwrap_err().to_string();
            assert!(error.contains("history is only added to"), "{change}: {error}");
        }
    }

    #[tokio::test]
    async fn a_disk_that_was_full_and_has_room_again_takes_findings() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&format!("sqlite:{}", directory.path().join("a.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        // As a full disk does, no page beyond those there are; a new connection knows nothing of the bound.
        sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&store.writer).await.unwrap();
        let many: Vec<Document> = (1..200).map(|number| finding(number, State::Open, 5)).collect();
        let full = store.record(&many, &[]).await.unwrap_err();
        let Failure::Driver(sqlx::Error::Database(error)) = &full else { panic!("{full:?}") };
        assert_eq!(error.code().as_deref(), Some("13"), "SQLITE_FULL: {error}");
        assert_eq!(store.record(&many, &[]).await.unwrap().0.len(), many.len());
    }
}
