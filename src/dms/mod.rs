//! What AWS DMS validation leaves in a database, and what is left there in the same shape.
//!
//! A task with validation writes a row into `awsdms_validation_failures_v1` (`_v2` since 3.6.1, on PostgreSQL) for each row of a
//! table that differed when it looked, and never looks again. [`Book`] reads those rows, [`Ledger`] writes such rows.
//!
//! Not here: whether a row still differs. That takes the tap and the target.

mod book;
mod connection;
mod key;
mod ledger;
mod status;

pub use book::{Book, Page, Scope};
pub use connection::{Dialect, DmsError};
pub use key::{NoKey, key_text, key_values};
pub use ledger::{DEFAULT_TABLE, Entry, Form, Ledger, Paper};
pub use status::applied_time;

use crate::model::Wall;

/// Which of the two tables a failure stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// `awsdms_validation_failures_v1`.
    V1,
    /// `awsdms_validation_failures_v2`, with what a resync did.
    V2,
}

impl Shape {
    /// Both.
    pub const ALL: [Shape; 2] = [Shape::V1, Shape::V2];

    /// The table's name.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Shape::V1 => "awsdms_validation_failures_v1",
            Shape::V2 => "awsdms_validation_failures_v2",
        }
    }
}

/// One failure: rows that say the same of the same key, however often DMS wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it stands.
    pub shape: Shape,
    /// `TASK_NAME`.
    pub task: String,
    /// `TABLE_OWNER`.
    pub owner: String,
    /// `TABLE_NAME`.
    pub table: String,
    /// `KEY_TYPE`: `Row`, where it is about a row.
    pub key_type: String,
    /// `KEY`, as it is written.
    pub key: String,
    /// `FAILURE_TYPE`: `RECORD_DIFF`, `MISSING_SOURCE`, `MISSING_TARGET`, `TABLE_WARNING`.
    pub failure_type: String,
    /// How many rows say so.
    pub rows: u64,
    /// The first and the last `FAILURE_TIME` of them, read as UTC. `None` where it is no time.
    pub times: Option<(Wall, Wall)>,
    /// What a resync did of it.
    pub resync: Option<Resync>,
}

/// What a resync did, as `_v2` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// The first `RESYNC_ID`.
    pub id: String,
    /// `RESYNC_RESULT`: `SUCCESS`, `FAILURE`, or nothing yet.
    pub result: Option<String>,
    /// `RESYNC_TIME`.
    pub at: Option<String>,
    /// `RESYNC_ACTION`: `UPSERT`, `DELETE`.
    pub action: Option<String>,
}

impl Failure {
    /// Whether it is about one row.
    #[must_use]
    pub fn is_about_row(&self) -> bool {
        self.key_type.eq_ignore_ascii_case("row")
    }

    /// Where it stands, so that it can be found there.
    #[must_use]
    pub fn place(&self) -> String {
        let table = self.shape.table();
        match &self.resync {
            Some(resync) => format!("{table}, RESYNC_ID {}", resync.id),
            None => {
                let at = self.times.map_or_else(|| "a time that is none".to_owned(), |(first, _)| first.rfc3339());
                format!("{table}, task {}, {}.{}, KEY {}, {at}", self.task, self.owner, self.table, self.key)
            }
        }
    }

    /// What DMS said, as a finding's evidence carries it.
    #[must_use]
    pub fn provenance(&self) -> String {
        let times = self.times.map_or_else(String::new, |(first, last)| match first == last {
            true => format!(" at {}", first.rfc3339()),
            false => format!(" from {} to {}", first.rfc3339(), last.rfc3339()),
        });
        let resync = self.resync.as_ref().and_then(|resync| resync.result.as_ref());
        let resync = resync.map(|result| format!(", resync {result}")).unwrap_or_default();
        format!("DMS validation said {} (task {}{times}; {}{resync})", self.failure_type, self.task, self.shape.table())
    }
}
