//! The store in PostgreSQL, for several sidecars.
//!
//! Writers take one advisory lock for the length of a transaction, so that two sidecars that state the same fact at once
//! merge one after the other. Nothing depends on a session, so that any pooler may stand between after the tables are made.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};

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

/// Connections at most: one writes, three read.
const CONNECTIONS: u32 = 4;

/// How long a call waits for a connection before the store counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The advisory lock of writers: the first eight letters of `afterimage`.
const WRITER_LOCK: i64 = i64::from_be_bytes(*b"afterima");

/// `synchronous_commit = off` on the server would let a crash take findings whose offsets are committed. Stronger settings stay.
const DURABLE: &str =
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

const STEPS: [(i64, &str, &str); 7] = [
    (1, "findings", include_str!("migrations/postgres/0001_findings.sql")),
    (2, "unverified", include_str!("migrations/postgres/0002_unverified.sql")),
    (3, "outbox", include_str!("migrations/postgres/0003_outbox.sql")),
    (4, "life", include_str!("migrations/postgres/0004_life.sql")),
    (5, "audits", include_str!("migrations/postgres/0005_audits.sql")),
    (6, "schedules", include_str!("migrations/postgres/0006_schedules.sql")),
    (7, "history stays", include_str!("migrations/postgres/0007_history_stays.sql")),
];

/// Ids between commas.
const HISTORY: &str = "
    SELECT finding, event FROM (
        SELECT finding, event, number, ROW_NUMBER() OVER (PARTITION BY finding ORDER BY number DESC) AS place
        FROM afterimage_history WHERE finding = ANY(string_to_array($1, ','))
    ) AS numbered WHERE place <= 100 ORDER BY number";

#[derive(Debug, Clone)]
pub(super) struct Postgres {
    pool: PgPool,
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Postgres, Failure> {
        let options = PgConnectOptions::from_str(url)?.application_name("afterimage");
        // A pool goes on trying for as long as it may; whoever opens a store wants to know at once that nobody listens.
        options.connect().await?.close().await?;
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
        Ok(Postgres { pool: pool.connect_lazy_with(options) })
    }

    pub(super) async fn migrate(&self) -> Result<(), MigrateError> {
        let migrator = super::migrator(&STEPS);
        migrator.run(&self.pool).await
    }

    pub(super) async fn news(&self, channel: Option<&str>, now: Wall) -> Result<Vec<News>, sqlx::Error> {
        let rows: Vec<outbox::NewsRow> =
            sqlx::query_as(outbox::NEWS).bind(channel).bind(now.0).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(outbox::news).collect())
    }

    pub(super) async fn lease(&self, news: &News, now: Wall, until: Wall) -> Result<Option<News>, sqlx::Error> {
        let (pipeline, table, kind) = outbox::key(&news.group);
        let lease = sqlx::query_as(outbox::LEASE).bind(&news.channel).bind(pipeline).bind(table).bind(kind);
        let row: Option<outbox::NewsRow> = lease.bind(now.0).bind(until.0).fetch_optional(&self.pool).await?;
        Ok(row.map(outbox::news))
    }

    pub(super) async fn release(&self, news: &News) -> Result<(), sqlx::Error> {
        let (pipeline, table, kind) = outbox::key(&news.group);
        let release = sqlx::query(outbox::RELEASE).bind(&news.channel).bind(pipeline).bind(table).bind(kind);
        release.execute(&self.pool).await.map(|_| ())
    }

    pub(super) async fn standing(
        &self,
        group: &group::GroupKey,
        (severity, seen): (i64, i64),
    ) -> Result<i64, sqlx::Error> {
        let (pipeline, table, kind) = outbox::key(group);
        let count =
            sqlx::query_scalar(outbox::STANDING).bind(pipeline).bind(severity).bind(kind).bind(table).bind(seen);
        count.fetch_one(&self.pool).await
    }

    pub(super) async fn told(&self, message: &News, status: Status, now: Wall) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER_LOCK).execute(&mut *transaction).await?;
        outbox::tell_news!(transaction, message, status, now);
        transaction.commit().await
    }

    /// Nothing: another sidecar may be at work, and leases end by themselves.
    #[expect(clippy::unused_async, reason = "the other store has something to wait for")]
    pub(super) async fn release_all(&self) -> Result<(), sqlx::Error> {
        Ok(())
    }

    pub(super) async fn record(
        &self,
        incoming: &[Document],
        routes: &[Route],
    ) -> Result<(Vec<Recorded>, u64), Failure> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(DURABLE).execute(&mut *transaction).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER_LOCK).execute(&mut *transaction).await?;
        let ids: Vec<&str> = incoming.iter().map(|document| document.id.as_str()).collect();
        let rows: Vec<Row> = sqlx::query_as("SELECT id, document, extra FROM afterimage_finding WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(&mut *transaction)
            .await?;
        let known = documents(rows)?;
        let mut stored: BTreeMap<String, Document> = known.into_iter().map(|known| (known.id.clone(), known)).collect();
        let mut wanted: Vec<String> = stored.values().filter_map(merge::followed_by).collect();
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

    pub(super) async fn act(
        &self,
        ids: &[String],
        deed: &Deed,
        routes: &[Route],
    ) -> Result<Vec<Result<Document, Refusal>>, Failure> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(DURABLE).execute(&mut *transaction).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER_LOCK).execute(&mut *transaction).await?;
        let done = history::act!(transaction, ids, deed, routes);
        transaction.commit().await?;
        Ok(done)
    }

    pub(super) async fn due(&self, now: i64, limit: i64) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(history::RUN_OUT).bind(now).bind(limit).fetch_all(&self.pool).await
    }

    pub(super) async fn by_rule(&self, rule: &str, limit: i64) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(history::BY_RULE).bind(rule).bind(limit).fetch_all(&self.pool).await
    }

    pub(super) async fn rules(&self, pipeline: Option<&str>) -> Result<Vec<IgnoreRule>, Failure> {
        history::rules(sqlx::query_as(history::RULES).bind(pipeline).fetch_all(&self.pool).await?)
    }

    pub(super) async fn add_rule(&self, rule: &IgnoreRule) -> Result<(), Failure> {
        let text = serde_json::to_string(rule).map_err(|source| Failure::damaged(&rule.id, source))?;
        let add = sqlx::query(history::ADD_RULE).bind(&rule.id).bind(query::plain(&rule.pipeline));
        add.bind(rule.until.map(|until| until.0)).bind(text).execute(&self.pool).await?;
        Ok(())
    }

    pub(super) async fn remove_rule(&self, id: &str, now: i64, by: &str) -> Result<u64, sqlx::Error> {
        let remove = sqlx::query(history::REMOVE_RULE).bind(id).bind(now).bind(by);
        Ok(remove.execute(&self.pool).await?.rows_affected())
    }

    /// The last events of findings, oldest first; the ids stand between commas.
    pub(super) async fn history(&self, ids: &str) -> Result<Vec<(String, Event)>, Failure> {
        history::events(sqlx::query_as(HISTORY).bind(ids).fetch_all(&self.pool).await?)
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
            .fetch_all(&self.pool)
            .await
    }

    pub(super) async fn find(&self, from: &str, to: &str) -> Result<Vec<Row>, sqlx::Error> {
        sqlx::query_as(query::FIND).bind(from).bind(to).fetch_all(&self.pool).await
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
            .fetch_all(&self.pool)
            .await
    }

    pub(super) async fn counts(&self, pipeline: Option<&str>) -> Result<Vec<query::CountRow>, sqlx::Error> {
        sqlx::query_as(query::COUNTS).bind(pipeline).fetch_all(&self.pool).await
    }

    pub(super) async fn save_watermarks(&self, pipeline: &str, watermarks: &[Watermark]) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER_LOCK).execute(&mut *transaction).await?;
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

    pub(super) async fn watermarks(&self, pipeline: &str) -> Result<Vec<query::WatermarkRow>, sqlx::Error> {
        sqlx::query_as(query::WATERMARKS).bind(pipeline).fetch_all(&self.pool).await
    }

    pub(super) async fn record_unverified(
        &self,
        groups: &BTreeMap<Whose, Vec<UnverifiedRange>>,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(DURABLE).execute(&mut *transaction).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER_LOCK).execute(&mut *transaction).await?;
        query::merge_unverified!(transaction, groups);
        transaction.commit().await
    }

    pub(super) async fn unverified(&self, pipeline: Option<&str>) -> Result<Vec<query::UnverifiedRow>, sqlx::Error> {
        sqlx::query_as(query::UNVERIFIED)
            .bind(pipeline)
            .bind(None::<&str>)
            .bind(None::<i64>)
            .fetch_all(&self.pool)
            .await
    }

    pub(super) async fn keep_audit(&self, job: &AuditJob, keys: &[u8]) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let begun = sqlx::query(job::BEGIN).bind(&job.id).bind(&job.input).bind(job.started.0);
        begun.execute(&mut *transaction).await?;
        sqlx::query(job::APPEND).bind(&job.id).bind(keys).execute(&mut *transaction).await?;
        transaction.commit().await
    }

    pub(super) async fn audit(&self, id: &str) -> Result<job::Found, sqlx::Error> {
        let job = sqlx::query_as(job::FIND).bind(id).fetch_optional(&self.pool).await?;
        Ok((job, sqlx::query_as(job::JUDGED).bind(id).fetch_all(&self.pool).await?))
    }

    pub(super) async fn forget_audit(&self, id: &str) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        for statement in job::FORGET {
            sqlx::query(statement).bind(id).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    schedule::schedule_statements!(pool);

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// One statement for a whole batch: a round trip a finding would make a mass loss wait for the network.
async fn put(connection: &mut sqlx::PgConnection, rows: Vec<Stored>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    fn column<T>(rows: &[Stored], value: impl Fn(&Stored) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    sqlx::query(
        "INSERT INTO afterimage_finding
         (id, pipeline, table_name, kind, severity, state, about_row, first_seen, last_seen, document, extra,
          key_text, ignored_until, ignored_rule)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[],
                              $8::bigint[], $9::bigint[], $10::text[], $11::bytea[],
                              $12::text[], $13::bigint[], $14::text[])
         ON CONFLICT (id) DO UPDATE
         SET pipeline = excluded.pipeline, table_name = excluded.table_name, kind = excluded.kind,
             severity = excluded.severity, state = excluded.state, about_row = excluded.about_row,
             first_seen = excluded.first_seen, last_seen = excluded.last_seen, document = excluded.document,
             extra = excluded.extra, key_text = excluded.key_text, ignored_until = excluded.ignored_until,
             ignored_rule = excluded.ignored_rule",
    )
    .bind(column(&rows, |row| row.id.clone()))
    .bind(column(&rows, |row| row.pipeline.clone()))
    .bind(column(&rows, |row| row.table.clone()))
    .bind(column(&rows, |row| row.kind))
    .bind(column(&rows, |row| row.severity))
    .bind(column(&rows, |row| row.state))
    .bind(column(&rows, |row| row.about_row))
    .bind(column(&rows, |row| row.first_seen))
    .bind(column(&rows, |row| row.last_seen))
    .bind(column(&rows, |row| row.document.clone()))
    .bind(column(&rows, |row| row.extra.clone()))
    .bind(column(&rows, |row| row.key_text.clone()))
    .bind(column(&rows, |row| row.ignored_until))
    .bind(column(&rows, |row| row.ignored_rule.clone()))
    .execute(connection)
    .await
    .map(|_| ())
}
