//! 5 ▸ Keys become observed rows.
//!
//! A [`Target`] reads, in batches and under a budget, and writes nothing. The contract: a lookup answers for *every* key
//! it was asked or fails as a whole; a failed or partial read is never evidence, in particular not of absence. Rows are
//! read from the node that the applier writes, in one read-only statement per batch.

//!
//! Not here: what a row means. A collation may find a row by a key that only resembles the asked one; whoever asks
//! compares the key that came back.

mod applied;
mod budget;
mod failure;
pub mod mapping;
pub mod mysql;
pub mod postgres;
mod reader;
mod sql;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::model::{Cell, Columns, Row, TableMeta};
use mapping::{MappingError, TableRef};

/// Where and how to read.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://…`, `mysql://…` or `sqlite:PATH`. May hold a password: never logged.
    pub url: secrecy::SecretString,
    /// Whether a transaction-mode pooler stands between.
    pub pooler: Pooler,
    /// Connections at most.
    pub max_connections: u32,
    /// Keys read per second at most; 0 is no limit.
    pub reads_per_second: u32,
    /// A statement that runs longer is cancelled and counts as failed.
    pub statement_timeout: Duration,
    /// SQL condition that means "deleted"; empty: rows are deleted for real.
    pub dead_rows: String,
}

/// Whether a pooler may switch servers between two statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Pooler {
    /// A direct connection, or a pooler in session mode.
    #[default]
    None,
    /// A pooler in transaction mode: every read runs inside one explicit transaction.
    Transaction,
}

impl Pooler {
    /// Whether statements may stay prepared on a connection.
    fn keeps_statements(self) -> bool {
        match self {
            Pooler::None => true,
            Pooler::Transaction => false,
        }
    }
}

/// One lookup: the table, its key columns and the keys' cells.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The table.
    pub table: Arc<TableMeta>,
    /// Indices of the key columns, in the order of each key's cells.
    pub key_columns: Vec<usize>,
    /// Indices of the columns to read, in the order wanted. Includes none of the dead-row condition.
    pub columns: Vec<usize>,
    /// The names of `columns`, shared by every row that comes back.
    pub names: Arc<Columns>,
    /// Keys. 200–500 is a good batch.
    pub keys: Vec<Vec<Cell<'static>>>,
}

/// The answer: for each asked key, in order, the rows found. None, one, or (without a unique key) several.
pub type Answer = Vec<Vec<Row<'static>>>;

/// A position or a time that the applier keeps on the target, read by the user's `query:SQL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppliedRow {
    /// The next offset the applier will apply of a partition.
    Position {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Next offset.
        next_offset: u64,
    },
    /// Everything committed at the source before this moment (milliseconds since the epoch) was applied.
    Time(i64),
}

/// What a probe of the target found; `doctor` prints it, `run` refuses what is unsafe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probe {
    /// Server version, as it says.
    pub version: String,
    /// A transaction-mode pooler was seen.
    pub transaction_pooler: bool,
    /// The node is a replica (in recovery).
    pub replica: bool,
    /// Problems a person should mend, as sentences.
    pub warnings: Vec<String>,
}

/// What the session may do to a table. Reading is all that is ever done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Privileges {
    /// It may read it, or some columns of it.
    pub reads: bool,
    /// What else it may do, as the server calls it: `INSERT`, `UPDATE`, `DELETE`.
    pub writes: Vec<String>,
}

impl Privileges {
    /// Of the privileges that a server lists by name.
    fn of(names: impl IntoIterator<Item = String>) -> Privileges {
        let mut privileges = Privileges::default();
        for name in names {
            match &*name {
                "SELECT" => privileges.reads = true,
                "INSERT" | "UPDATE" | "DELETE" if !privileges.writes.contains(&name) => privileges.writes.push(name),
                _ => {}
            }
        }
        privileges
    }
}

/// A database that is read.
#[derive(Debug, Clone)]
pub enum Target {
    /// PostgreSQL.
    Postgres(postgres::Postgres),
    /// MySQL or MariaDB.
    Mysql(mysql::Mysql),
    /// SQLite.
    Sqlite(sqlite::Sqlite),
}

impl Target {
    /// Connects once, so that what is wrong with the URL, the password or the pooler is said at once. Later reads open
    /// and reopen connections as they need them.
    pub async fn connect(options: Options) -> Result<Target, TargetError> {
        let url = options.url.clone();
        let url = url.expose_secret();
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => postgres::Postgres::connect(options, url).await.map(Target::Postgres),
            Some("mysql" | "mariadb") => mysql::Mysql::connect(options, url).await.map(Target::Mysql),
            Some("sqlite") => {
                let path = url.trim_start_matches("sqlite:");
                let path = path.strip_prefix("//").unwrap_or(path);
                sqlite::Sqlite::connect(options, path).await.map(Target::Sqlite)
            }
            Some(_) | None => Err(failure::refused(
                "the URL is of no kind known here: it must begin with `postgres://`, `mysql://` or `sqlite:`",
            )),
        }
    }

    /// What is known of a table; `None` if there is none of that name. Without a schema the session's own counts: the
    /// search path (PostgreSQL), the URL's database (MySQL).
    pub async fn describe(&self, schema: Option<&str>, table: &str) -> Result<Option<TableMeta>, TargetError> {
        match self {
            Target::Postgres(target) => target.describe(schema, table).await,
            Target::Mysql(target) => target.describe(schema, table).await,
            Target::Sqlite(target) => target.describe(table).await,
        }
    }

    /// The table that a tap table means where no rule says so: see [`mapping`].
    pub async fn locate(&self, tap: &str, topic: &str) -> Result<Result<TableRef, MappingError>, TargetError> {
        let names = mapping::names(tap, topic);
        let known = match self {
            Target::Postgres(target) => target.named(&names).await,
            Target::Mysql(target) => target.named(&names).await,
            Target::Sqlite(target) => target.named(&names).await,
        }?;
        Ok(mapping::choose(tap, topic, &known))
    }

    /// Reads the rows of the asked keys in one statement. Answers for every key or fails as a whole. Keys that the
    /// table's types cannot hold have no row and are not asked for.
    pub async fn lookup(&self, ask: &Ask) -> Result<Answer, TargetError> {
        match self {
            Target::Postgres(target) => target.lookup(ask).await,
            Target::Mysql(target) => target.lookup(ask).await,
            Target::Sqlite(target) => target.lookup(ask).await,
        }
    }

    /// What the session may do to a table. A SQLite file has no privileges: whoever opens it for reading reads it.
    pub async fn privileges(&self, table: &TableMeta) -> Result<Privileges, TargetError> {
        match self {
            Target::Postgres(target) => target.privileges(table).await,
            Target::Mysql(target) => target.privileges(table).await,
            Target::Sqlite(_) => Ok(Privileges { reads: true, writes: Vec::new() }),
        }
    }

    /// Runs the operator's `query:SQL`, which cannot write.
    pub async fn applied(&self, sql: &str) -> Result<Vec<AppliedRow>, TargetError> {
        match self {
            Target::Postgres(target) => target.applied(sql).await,
            Target::Mysql(target) => target.applied(sql).await,
            Target::Sqlite(target) => target.applied(sql).await,
        }
    }

    /// Looks at what stands at the other end.
    pub async fn probe(&self) -> Result<Probe, TargetError> {
        match self {
            Target::Postgres(target) => target.probe().await,
            Target::Mysql(target) => target.probe().await,
            Target::Sqlite(target) => target.probe().await,
        }
    }
}

/// A read that did not answer. Never evidence about a row.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No connection, a lost one, a timeout, a restart: try again later.
    #[error("cannot reach the target: {hint}")]
    Unreachable {
        /// What to do.
        hint: String,
        /// The driver's error.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The table or a column is not what it was: read its metadata again.
    #[error("table `{table}` is not what it was: {hint}")]
    Changed {
        /// Table.
        table: String,
        /// What to do.
        hint: String,
        /// The driver's error.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The operator must act: permission, wrong URL, an undeclared pooler.
    #[error("the target refuses: {hint}")]
    Refused {
        /// What to do.
        hint: String,
        /// The driver's error.
        #[source]
        source: Option<sqlx::Error>,
    },
}
