//! Runs by the clock: which of them are done, and who does the one that is due. Of several sidecars one does it.

use super::Failure;
use super::error::{Doing, StoreError};
use super::{Backend, Store, bounded};
use crate::model::Wall;

/// A schedule: of a pipeline, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleKey {
    /// Pipeline.
    pub pipeline: String,
    /// Its name.
    pub name: String,
}

/// How a schedule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleState {
    /// The time whose run is done, those before it included; where there was none, when it was met first.
    pub done: Wall,
    /// Up to which time runs did what they are for.
    pub covered: Wall,
    /// How the last run ended.
    pub last: Option<LastRun>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// In a word.
    pub outcome: String,
    /// In a sentence.
    pub detail: String,
    /// When.
    pub ended: Wall,
}

/// Whether a run moves on what is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// It did what it is for.
    Yes,
    /// The next one begins where it began.
    No,
}

/// Done, covered, outcome, detail, ended.
pub(super) type StateRow = (i64, i64, Option<String>, Option<String>, Option<i64>);

pub(super) const MEET: &str = "INSERT INTO afterimage_schedule (pipeline, name, done, covered) VALUES ($1, $2, $3, $3)
     ON CONFLICT (pipeline, name) DO NOTHING";
pub(super) const STATE: &str =
    "SELECT done, covered, outcome, detail, ended FROM afterimage_schedule WHERE pipeline = $1 AND name = $2";
pub(super) const BEGIN: &str = "UPDATE afterimage_schedule SET holder = $4, held_until = $6
     WHERE pipeline = $1 AND name = $2 AND done < $3 AND (held_until IS NULL OR held_until <= $5)";
pub(super) const HOLD: &str =
    "UPDATE afterimage_schedule SET held_until = $4 WHERE pipeline = $1 AND name = $2 AND holder = $3";
pub(super) const RELEASE: &str = "UPDATE afterimage_schedule SET holder = NULL, held_until = NULL
     WHERE pipeline = $1 AND name = $2 AND holder = $3";
pub(super) const END: &str = "UPDATE afterimage_schedule SET holder = NULL, held_until = NULL, done = $4,
     covered = CASE WHEN $5 = 1 THEN $4 ELSE covered END, outcome = $6, detail = $7, ended = $8
     WHERE pipeline = $1 AND name = $2 AND holder = $3";

/// Who does a run, and until when that is believed.
#[derive(Debug, Clone, Copy)]
pub struct Hold<'h> {
    /// Who.
    pub holder: &'h str,
    /// Now.
    pub now: Wall,
    /// Past this another may take it.
    pub until: Wall,
}

macro_rules! ask {
    ($store:expr, $doing:expr, $backend:ident => $call:expr) => {{
        let answer: Result<_, Failure> = match &$store.backend {
            Backend::Sqlite($backend) => bounded($call).await,
            Backend::Postgres($backend) => bounded($call).await,
        };
        answer.map_err(|failure| failure.at($doing, $store.place()))
    }};
}

impl Store {
    /// How a schedule stands. One that is met first has nothing to make up for.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn schedule(&self, key: &ScheduleKey, now: Wall) -> Result<ScheduleState, StoreError> {
        let row: StateRow = ask!(self, Doing::Write, backend => backend.schedule(key, now))?;
        let (done, covered, outcome, detail, ended) = row;
        let last = outcome.zip(detail).zip(ended);
        let last = last.map(|((outcome, detail), ended)| LastRun { outcome, detail, ended: Wall(ended) });
        Ok(ScheduleState { done: Wall(done), covered: Wall(covered), last })
    }

    /// Takes the run of a time; `false` where it is done, or somebody else does it.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn begin_run(&self, key: &ScheduleKey, due: Wall, hold: Hold<'_>) -> Result<bool, StoreError> {
        ask!(self, Doing::Write, backend => backend.begin_run(key, due, hold)).map(|taken: u64| taken > 0)
    }

    /// Goes on holding a run; `false` where somebody else has it.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn hold_run(&self, key: &ScheduleKey, holder: &str, until: Wall) -> Result<bool, StoreError> {
        ask!(self, Doing::Write, backend => backend.hold_run(key, holder, until)).map(|held: u64| held > 0)
    }

    /// Lets go of a run that was not done: it is due still.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn release_run(&self, key: &ScheduleKey, holder: &str) -> Result<(), StoreError> {
        ask!(self, Doing::Write, backend => backend.release_run(key, holder)).map(|_: u64| ())
    }

    /// Ends the run of a time; `false` where somebody else has it by now.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn end_run(
        &self,
        key: &ScheduleKey,
        (holder, due, covers): (&str, Wall, Covers),
        ended: &LastRun,
    ) -> Result<bool, StoreError> {
        ask!(self, Doing::Write, backend => backend.end_run(key, (holder, due, covers), ended))
            .map(|ended: u64| ended > 0)
    }
}

/// The statements, as methods of a backend whose pool for writing and for what follows it is `$pool`.
macro_rules! schedule_statements {
    ($($pool:ident).+) => {
        pub(super) async fn schedule(
            &self,
            key: &ScheduleKey,
            now: Wall,
        ) -> Result<schedule::StateRow, sqlx::Error> {
            let meet = sqlx::query(schedule::MEET).bind(&key.pipeline).bind(&key.name).bind(now.0);
            meet.execute(&self.$($pool).+).await?;
            let state = sqlx::query_as(schedule::STATE).bind(&key.pipeline).bind(&key.name);
            state.fetch_one(&self.$($pool).+).await
        }

        pub(super) async fn begin_run(&self, key: &ScheduleKey, due: Wall, hold: Hold<'_>) -> Result<u64, sqlx::Error> {
            let begin = sqlx::query(schedule::BEGIN).bind(&key.pipeline).bind(&key.name).bind(due.0);
            let begin = begin.bind(hold.holder).bind(hold.now.0).bind(hold.until.0);
            Ok(begin.execute(&self.$($pool).+).await?.rows_affected())
        }

        pub(super) async fn hold_run(&self, key: &ScheduleKey, holder: &str, until: Wall) -> Result<u64, sqlx::Error> {
            let held = sqlx::query(schedule::HOLD).bind(&key.pipeline).bind(&key.name).bind(holder).bind(until.0);
            Ok(held.execute(&self.$($pool).+).await?.rows_affected())
        }

        pub(super) async fn release_run(&self, key: &ScheduleKey, holder: &str) -> Result<u64, sqlx::Error> {
            let release = sqlx::query(schedule::RELEASE).bind(&key.pipeline).bind(&key.name).bind(holder);
            Ok(release.execute(&self.$($pool).+).await?.rows_affected())
        }

        pub(super) async fn end_run(
            &self,
            key: &ScheduleKey,
            (holder, due, covers): (&str, Wall, Covers),
            ended: &LastRun,
        ) -> Result<u64, sqlx::Error> {
            let end = sqlx::query(schedule::END).bind(&key.pipeline).bind(&key.name).bind(holder).bind(due.0);
            let end = end.bind(i64::from(covers == Covers::Yes)).bind(&ended.outcome).bind(&ended.detail);
            Ok(end.bind(ended.ended.0).execute(&self.$($pool).+).await?.rows_affected())
        }
    };
}
pub(super) use schedule_statements;
