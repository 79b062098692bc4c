//! Findings and watermarks, durable and idempotent.
//!
//! The contract: when [`Store::record`] returns `Ok`, everything it was given survives a crash and power loss, so that
//! offsets below may be committed; when it returns an error, nothing may be committed and the same call may be made again.
//! Stating a finding twice changes nothing: `first_seen` only falls, `last_seen` and `observations` only rise, proof only
//! grows, and states follow `suspected → open → healed`, with `acknowledged` and `ignored` in a person's hand. One process
//! writes a SQLite store at a time, any number a PostgreSQL one.
//!
//! What is not here: whether something is wrong, and who should hear of it.

mod error;
mod history;
mod job;
mod life;
mod merge;
mod outbox;
mod postgres;
mod query;
mod schedule;
mod sqlite;
mod unverified;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use tokio::sync::broadcast;

use crate::model::Wall;
use crate::model::finding::{Kind, Severity, State};
use crate::report::alert::Status;
use crate::report::document::Document;
use crate::report::group::{GroupKey, News, Route};
use crate::report::unverified::UnverifiedRange;

pub use error::{Class, StoreError};
pub use job::AuditJob;
pub use life::{Deed, Desk, Refusal};
pub use merge::{Outcome, Recorded};
pub use query::{About, Count, Cursor, Filter, PAGE, Sort, Watermark};
pub use schedule::{Covers, Hold, LastRun, ScheduleKey, ScheduleState};
pub use unverified::{RANGES, merged};

use error::Doing;
use query::{ListArguments, Row};

/// Findings written in one transaction: a few MB at most, and a lock held for milliseconds.
const BATCH: usize = 500;

/// How long one call may take: three times the longest wait for a lock or a connection inside it.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Turns of findings that a slow listener may be behind.
const UNHEARD: usize = 1_024;

/// Not sqlx's own name, so that another program's tables may share the database.
const MIGRATIONS: &str = "afterimage_migration";

/// The steps from an empty database to this version's tables. The numbers, names and texts of those that were published are
/// never changed: a database remembers their checksums.
fn migrator(steps: &[(i64, &'static str, &'static str)]) -> Migrator {
    let step = |(number, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*number, Cow::Borrowed(name), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    let mut migrator = Migrator::with_migrations(steps.iter().map(step).collect());
    migrator.dangerous_set_table_name(MIGRATIONS);
    migrator
}

/// The findings store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    place: Arc<str>,
    /// Ids of findings that became something else, for whoever listens.
    turned: broadcast::Sender<Arc<str>>,
}

#[derive(Debug, Clone)]
enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// Calls the same method on whichever backend there is, and waits for it no longer than [`CALL_TIMEOUT`].
macro_rules! on {
    ($store:expr, $backend:ident => $call:expr) => {
        match &$store.backend {
            Backend::Sqlite($backend) => bounded($call).await,
            Backend::Postgres($backend) => bounded($call).await,
        }
    };
}

use on;

impl Store {
    /// Opens `sqlite:PATH`, `sqlite::memory:` (kept for as long as the store is open) or `postgres://…`, and brings its
    /// tables up to this version.
    ///
    /// # Errors
    /// When it cannot be reached, refuses, or was written by a newer version.
    pub async fn open(url: &str) -> Result<Store, StoreError> {
        let place: Arc<str> = place(url).into();
        let failed = |failure: Failure| failure.at(Doing::Open, &place);
        let backend = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Backend::Sqlite(sqlite::Sqlite::open(url).await.map_err(failed)?),
            Some("postgres" | "postgresql") => Backend::Postgres(postgres::Postgres::open(url).await.map_err(failed)?),
            _ => {
                let hint = "the URL of a store begins with `sqlite:` or `postgres://`";
                return Err(StoreError::Refused { doing: "open", place: place.to_string(), hint, source: None });
            }
        };
        let store = Store { backend, place: Arc::clone(&place), turned: broadcast::channel(UNHEARD).0 };
        on!(store, backend => backend.migrate()).map_err(failed)?;
        Ok(store)
    }

    /// Records findings, in order. `Ok` means durable. Large slices are written in several transactions: after an error, a
    /// part of them may have been recorded, and recording all of them again is right.
    ///
    /// # Errors
    /// When the store did not take them.
    pub async fn record(&self, findings: &[Document]) -> Result<Vec<Recorded>, StoreError> {
        Ok(self.record_for(findings, &[]).await?.0)
    }

    /// As [`Store::record`], and puts what these channels hear of into the outbox in the same transactions. Also returns how
    /// many groups of news were put together with others, because a channel has too many.
    ///
    /// # Errors
    /// When the store did not take them.
    pub async fn record_for(
        &self,
        findings: &[Document],
        routes: &[Route],
    ) -> Result<(Vec<Recorded>, u64), StoreError> {
        let (mut recorded, mut merged) = (Vec::with_capacity(findings.len()), 0);
        for batch in findings.chunks(BATCH) {
            let batch = on!(self, backend => backend.record(batch, routes));
            let batch = batch.map_err(|failure| failure.at(Doing::Write, &self.place))?;
            batch.0.iter().filter(|one| one.outcome.turned()).for_each(|one| self.tell(&one.id));
            recorded.extend(batch.0);
            merged += batch.1;
        }
        Ok((recorded, merged))
    }

    /// The ids of findings that are new or in another state from now on, by what this process writes, once that is durable.
    /// Whoever listens too slowly misses the oldest, and is told how many these were.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.turned.subscribe()
    }

    /// Nobody has to listen.
    fn tell(&self, id: &str) {
        let _ = self.turned.send(id.into());
    }

    /// What a channel, or every one, has not told yet, and what it told that still stands, without what somebody else is
    /// telling now.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn news(&self, channel: Option<&str>, now: Wall) -> Result<Vec<News>, StoreError> {
        let news = on!(self, backend => backend.news(channel, now));
        news.map_err(|failure| failure.at(Doing::Read, &self.place))
    }

    /// Takes a group until then, so that nobody else tells it; `None`: somebody else does. Returns the news as it is now.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn lease(&self, news: &News, now: Wall, until: Wall) -> Result<Option<News>, StoreError> {
        let leased = on!(self, backend => backend.lease(news, now, until));
        leased.map_err(|failure| failure.at(Doing::Write, &self.place))
    }

    /// Gives a leased group back: it was not told.
    ///
    /// # Errors
    /// When the store did not answer; the lease ends by itself.
    pub async fn release(&self, news: &News) -> Result<(), StoreError> {
        let released = on!(self, backend => backend.release(news));
        released.map_err(|failure| failure.at(Doing::Write, &self.place))
    }

    /// Gives back what a process leased that is gone, where only one can be at work: in a file.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn release_all(&self) -> Result<(), StoreError> {
        let released = on!(self, backend => backend.release_all());
        released.map_err(|failure| failure.at(Doing::Write, &self.place))
    }

    /// A leased group was told: what the message told of is news no more. What came since is.
    ///
    /// # Errors
    /// When the store did not take it: the message will go out again.
    pub async fn told(&self, message: &News, status: Status, now: Wall) -> Result<(), StoreError> {
        let told = on!(self, backend => backend.told(message, status, now));
        told.map_err(|failure| failure.at(Doing::Write, &self.place))
    }

    /// How many findings of a group are open, at or above a severity, those included that somebody has acknowledged.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn standing(&self, group: &GroupKey, severity: Severity) -> Result<u64, StoreError> {
        self.standing_of(group, (query::rank(severity), 1)).await
    }

    /// How many of them nobody has acknowledged: those that people are reminded of.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn unseen(&self, group: &GroupKey, severity: Severity) -> Result<u64, StoreError> {
        self.standing_of(group, (query::rank(severity), 0)).await
    }

    async fn standing_of(&self, group: &GroupKey, which: (i64, i64)) -> Result<u64, StoreError> {
        let count = on!(self, backend => backend.standing(group, which));
        let count = count.map_err(|failure| failure.at(Doing::Read, &self.place))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// One page of findings, newest first unless asked otherwise. [`Cursor::behind`] its last one asks for the next.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Document>, StoreError> {
        let rows = on!(self, backend => backend.list(ListArguments::of(filter)));
        self.with_history(self.documents(rows)?).await
    }

    /// The finding of an id, or of the beginning of one; `None` where there is none.
    ///
    /// # Errors
    /// When the store did not answer, or more than one id begins so.
    pub async fn get(&self, prefix: &str) -> Result<Option<Document>, StoreError> {
        let from = prefix.to_ascii_lowercase();
        if from.is_empty() || !from.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        // Every id that begins so sorts before the same digits followed by `g`.
        let to = format!("{from}g");
        let found = self.documents(on!(self, backend => backend.find(&from, &to)))?;
        match found.len() {
            0 | 1 => Ok(self.with_history(found).await?.pop()),
            _ => Err(StoreError::Ambiguous { prefix: prefix.to_owned() }),
        }
    }

    /// One page of the pipeline's findings about rows that may still heal (suspected, open or acknowledged), by id, after
    /// the id `after`; begin with `""`. Each has the bytes in [`Document::extra`] that it was recorded with.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn open_findings(&self, pipeline: &str, about: About, after: &str) -> Result<Vec<Document>, StoreError> {
        let rows = on!(self, backend => backend.open_findings((pipeline, about), after, i64::from(PAGE)));
        self.documents(rows)
    }

    /// All that is open of a pipeline, page by page: what `keep` lets through, until there are `most` of it.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn all_open(
        &self,
        (pipeline, about): (&str, About),
        keep: impl Fn(&Document) -> bool,
        most: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let (mut kept, mut after) = (Vec::new(), String::new());
        while kept.len() < most {
            let page = self.open_findings(pipeline, about, &after).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            kept.extend(page.into_iter().filter(&keep));
        }
        Ok(kept)
    }

    /// How many findings there are of each sort, in one pipeline or in all.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn counts(&self, pipeline: Option<&str>) -> Result<Vec<Count>, StoreError> {
        let rows = on!(self, backend => backend.counts(pipeline));
        let rows = rows.map_err(|failure| failure.at(Doing::Read, &self.place))?;
        // A word this version does not know was written by a newer one, whose tables would not have opened.
        Ok(rows.into_iter().filter_map(count).collect())
    }

    /// Keeps how far partitions were judged. A statement older than the kept one changes nothing.
    ///
    /// # Errors
    /// When the store did not take them.
    pub async fn save_watermarks(&self, pipeline: &str, watermarks: &[Watermark]) -> Result<(), StoreError> {
        let saved = on!(self, backend => backend.save_watermarks(pipeline, watermarks));
        saved.map_err(|failure| failure.at(Doing::Write, &self.place))
    }

    /// How far the pipeline's partitions were judged.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn load_watermarks(&self, pipeline: &str) -> Result<Vec<Watermark>, StoreError> {
        let rows = on!(self, backend => backend.watermarks(pipeline));
        let rows = rows.map_err(|failure| failure.at(Doing::Read, &self.place))?;
        Ok(rows.into_iter().map(Watermark::of).collect())
    }

    /// Keeps ranges that ended without a verdict, put together with those that are known ([`merged`]). `Ok` means durable.
    /// Stating one again changes nothing but when it was last seen.
    ///
    /// # Errors
    /// When the store did not take them.
    pub async fn record_unverified(&self, ranges: &[UnverifiedRange]) -> Result<(), StoreError> {
        if ranges.is_empty() {
            return Ok(());
        }
        let groups = unverified::by_partition(ranges.iter().cloned());
        let recorded = on!(self, backend => backend.record_unverified(&groups));
        recorded.map_err(|failure| failure.at(Doing::Write, &self.place))
    }

    /// The ranges of one pipeline, or of all, that ended without a verdict.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn unverified(&self, pipeline: Option<&str>) -> Result<Vec<UnverifiedRange>, StoreError> {
        let rows = on!(self, backend => backend.unverified(pipeline));
        let rows = rows.map_err(|failure| failure.at(Doing::Read, &self.place))?;
        Ok(rows.into_iter().map(query::unverified).collect())
    }

    /// Where the store is, without credentials.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Closes its connections after what is under way.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(backend) => backend.close().await,
            Backend::Postgres(backend) => backend.close().await,
        }
    }

    fn documents(&self, rows: Result<Vec<Row>, Failure>) -> Result<Vec<Document>, StoreError> {
        rows.and_then(documents).map_err(|failure| failure.at(Doing::Read, &self.place))
    }
}

/// A dead peer must not hold its caller for ever. What was under way is rolled back.
async fn bounded<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure::Driver(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
    }
}

/// What went wrong inside a backend, which does not know its own name.
#[derive(Debug)]
enum Failure {
    Driver(sqlx::Error),
    Migration(MigrateError),
    Damaged { id: String, source: serde_json::Error },
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        Failure::Driver(error)
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Failure {
        Failure::Migration(error)
    }
}

impl Failure {
    fn damaged(id: &str, source: serde_json::Error) -> Failure {
        Failure::Damaged { id: id.to_owned(), source }
    }

    fn at(self, doing: Doing, place: &str) -> StoreError {
        match self {
            Failure::Driver(source) => error::classify(doing, place, source),
            Failure::Migration(source) => error::migration(place, source),
            Failure::Damaged { id, source } => StoreError::Damaged { place: place.to_owned(), id, source },
        }
    }
}

fn documents(rows: impl IntoIterator<Item = Row>) -> Result<Vec<Document>, Failure> {
    let read = |(id, text, extra): Row| {
        let document: Document = serde_json::from_str(&text).map_err(|source| Failure::damaged(&id, source))?;
        Ok(Document { extra, ..document })
    };
    rows.into_iter().map(read).collect()
}

fn count((pipeline, table, kind, severity, state, count, since): query::CountRow) -> Option<Count> {
    Some(Count {
        pipeline,
        table,
        kind: Kind::parse(&kind)?,
        severity: query::severity(severity)?,
        state: State::parse(&state)?,
        count: u64::try_from(count).ok()?,
        since: Wall(since),
    })
}

/// The URL without user, password and parameters.
fn place(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(place, _)| place);
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, place)| place)),
        None => url.to_owned(),
    }
}

#[cfg(test)]
use crate::model::finding::Act;
/// Names the shared suite expects beside those above.
#[cfg(test)]
use crate::report::{
    alert::Status as AlertStatus,
    group::{Filter as AlertFilter, GROUPS},
    life::IgnoreRule,
};

#[cfg(test)]
#[macro_use]
#[path = "../../tests/it/store_contract/suite.rs"]
mod suite;

#[cfg(test)]
mod tests {
    use super::*;

    /// A store in a file of its own, which lives as long as the directory.
    async fn open(name: &str) -> (Store, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join(name).display());
        (Store::open(&url).await.unwrap(), directory)
    }

    store_contract!(open);

    #[tokio::test]
    async fn a_store_in_memory_keeps_what_it_is_given() {
        let store = Store::open("sqlite::memory:").await.unwrap();
        let finding = suite::finding(1, State::Open, 5);
        store.record(std::slice::from_ref(&finding)).await.unwrap();
        assert_eq!(store.list(&Filter::default()).await.unwrap(), [finding]);
    }

    #[tokio::test]
    async fn a_burst_is_kept_and_paged_through_without_loss() {
        const BURST: u32 = 30_000;
        let (store, _directory) = open("a.db").await;
        for first in (0..BURST).step_by(10_000) {
            let part: Vec<Document> =
                (first..first + 10_000).map(|number| suite::finding(number, State::Open, 10)).collect();
            store.record(&part).await.unwrap();
        }
        let (mut filter, mut listed) = (Filter::default(), 0);
        loop {
            let page = store.list(&filter).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.after = Some(Cursor::behind(last));
            listed += page.len();
        }
        let (mut after, mut walked) = (String::new(), 0);
        loop {
            let page = store.open_findings("orders", About::Rows, &after).await.unwrap();
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            walked += page.len();
        }
        assert_eq!((listed, walked), (BURST as usize, BURST as usize));
    }

    #[tokio::test]
    async fn findings_survive_closing_and_opening_again() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("a.db").display());
        let finding = suite::finding(1, State::Open, 5);
        let store = Store::open(&url).await.unwrap();
        store.record(std::slice::from_ref(&finding)).await.unwrap();
        store.close().await;
        assert_eq!(Store::open(&url).await.unwrap().get(&finding.id).await.unwrap(), Some(finding));
    }

    #[tokio::test]
    async fn two_processes_may_make_one_new_file_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("a.db").display());
        let (one, other) = tokio::join!(Store::open(&url), Store::open(&url));
        let finding = suite::finding(1, State::Open, 5);
        one.unwrap().record(std::slice::from_ref(&finding)).await.unwrap();
        assert_eq!(other.unwrap().list(&Filter::default()).await.unwrap(), [finding]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_new_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_store, directory) = open("a.db").await;
        let mode = std::fs::metadata(directory.path().join("a.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_cannot_be_opened_says_who_must_act() {
        let directory = tempfile::tempdir().unwrap();
        let text = directory.path().join("text.db");
        std::fs::write(&text, "certainly not a database, and longer than a header of one hundred bytes ".repeat(4))
            .unwrap();
        let rows = [
            ("sqlite:/nowhere/at/all/a.db".to_owned(), Class::Operator, "directory must exist"),
            (format!("sqlite:{}", text.display()), Class::Operator, "no SQLite database"),
            ("mysql://root@localhost/x".to_owned(), Class::Operator, "begins with `sqlite:`"),
            ("afterimage.db".to_owned(), Class::Operator, "begins with `sqlite:`"),
            ("postgres://u:secret@127.0.0.1:1/x".to_owned(), Class::Retry, "can be reached"),
        ];
        for (url, class, part) in rows {
            let error = Store::open(&url).await.unwrap_err();
            let text = error.to_string();
            assert!(error.class() == class && text.contains(part) && !text.contains("secret"), "{url}: {text}");
        }
    }

    #[tokio::test]
    async fn a_store_of_a_newer_version_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("a.db").display());
        Store::open(&url).await.unwrap().close().await;
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let newer = "INSERT INTO afterimage_migration VALUES (9999, 'later', '2030-01-01', TRUE, x'00', 1)";
        sqlx::query(newer).execute(&pool).await.unwrap();
        pool.close().await;
        let text = Store::open(&url).await.unwrap_err().to_string();
        assert!(text.contains("a newer afterimage wrote it"), "{text}");
    }

    #[test]
    fn a_place_has_no_credentials_in_it() {
        let rows = [
            ("postgres://u:p@ss@db:5432/x?password=y", "postgres://db:5432/x"),
            ("postgres://db/x", "postgres://db/x"),
            ("sqlite:a.db?mode=rwc", "sqlite:a.db"),
        ];
        for (url, expected) in rows {
            assert_eq!(place(url), expected);
        }
    }
}
