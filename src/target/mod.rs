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
mod endpoint;
mod failure;
pub mod mapping;
pub mod mysql;
pub mod postgres;
mod reader;
mod sql;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

pub use endpoint::Server;

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
    /// How the rows of a key are answered.
    pub rows: Answered,
    /// Columns that are NULL in every row that is asked for, beside the key's.
    pub nulls: Vec<usize>,
}

/// How the rows of a key are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Answered {
    /// Each by itself.
    #[default]
    Each,
    /// Equal ones as one row, with one more cell at its end: how many they are. A key may hold NULLs, which equal NULLs.
    Counted,
}

impl Ask {
    /// The same question for the keys that hold NULLs in the same columns, with the places of these keys: NULLs are asked for
    /// apart, so that an index serves the rest.
    fn by_nulls(&self) -> BTreeMap<Vec<usize>, (Ask, Vec<usize>)> {
        let mut parts = BTreeMap::new();
        for (place, key) in self.keys.iter().enumerate() {
            let is_null = |column: &usize| key.get(*column).is_some_and(|cell| *cell == Cell::Null);
            let nulls: Vec<usize> = (0..self.key_columns.len()).filter(is_null).collect();
            let (ask, places) = parts.entry(nulls).or_insert_with_key(|nulls| {
                let (null, rest): (Vec<_>, Vec<_>) =
                    self.key_columns.iter().enumerate().partition(|(index, _)| nulls.contains(index));
                let columns = |of: Vec<(usize, &usize)>| of.into_iter().map(|(_, column)| *column).collect();
                let part = Ask { key_columns: columns(rest), nulls: columns(null), keys: Vec::new(), ..self.clone() };
                (part, Vec::new())
            });
            ask.keys.push(key.iter().filter(|cell| **cell != Cell::Null).cloned().collect());
            places.push(place);
        }
        parts
    }
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
    /// Whether it is the node that the applier writes.
    pub role: Role,
    /// Which server answered; `None` where it does not say.
    pub server: Option<Server>,
    /// Problems a person should mend, as sentences.
    pub warnings: Vec<String>,
}

/// Whether a node is the one that the applier writes, and by what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Written(String),
    /// It follows the one that does: what was committed may not be here yet.
    Replica(String),
}

impl Default for Role {
    fn default() -> Role {
        Role::Written("there is no other".to_owned())
    }
}

/// What the session may do to a table. Reading is all that is ever done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Privileges {
    /// What it may read of what was asked for.
    pub reads: Reads,
    /// What else it may do, as the server calls it: `INSERT`, `UPDATE`, `DELETE`.
    pub writes: Vec<String>,
    /// Whether row level security keeps rows from it.
    pub hides_rows: RowSecurity,
}

/// What a session may read of a table, found out by asking for no row of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reads {
    /// All that is asked for.
    #[default]
    All,
    /// Not these columns, and so nothing: they are read with the others.
    Lacks(Vec<String>),
    /// Nothing, not even the key.
    Nothing,
}

/// How a table is reached by values of its columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// How many rows it has, by the server's estimate; SQLite counts them up to [`Reach::COUNTED`].
    pub rows: u64,
    /// The columns that an index over all its rows begins with.
    pub indexed: Vec<String>,
}

impl Reach {
    /// Rows that are counted where there is no estimate.
    pub const COUNTED: u64 = 1_000_000;
}

/// Whether rows are kept from a session by a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RowSecurity {
    /// It sees all of them.
    #[default]
    SeesAll,
    /// Policies decide what it sees.
    Filtered,
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

    /// How a table is reached by values of its columns.
    pub async fn reach(&self, table: &TableMeta) -> Result<Reach, TargetError> {
        match self {
            Target::Postgres(target) => target.reach(table).await,
            Target::Mysql(target) => target.reach(table).await,
            Target::Sqlite(target) => target.reach(table).await,
        }
    }

    /// Reads the rows of the asked keys in one statement. Answers for every key or fails as a whole. Keys that the
    /// table's types cannot hold have no row and are not asked for. Where rows are counted, keys that hold NULLs in other columns
    /// are asked for in statements of their own.
    pub async fn lookup(&self, ask: &Ask) -> Result<Answer, TargetError> {
        match ask.rows {
            Answered::Each => self.look_up(ask).await,
            Answered::Counted => {
                let mut answer: Answer = vec![Vec::new(); ask.keys.len()];
                for (part, places) in ask.by_nulls().into_values() {
                    let found = self.look_up(&part).await?;
                    places.into_iter().zip(found).for_each(|(place, rows)| answer[place] = rows);
                }
                Ok(answer)
            }
        }
    }

    /// Reads rows in the order of their key: those behind the asked one, or from the first on where none is asked for; `most` at
    /// most. Rows with NULLs in their key may be left out.
    ///
    /// # Errors
    /// As lookups; refused where the key's columns are of types whose order no index keeps.
    pub async fn page(&self, ask: &Ask, most: usize) -> Result<Vec<Row<'static>>, TargetError> {
        match self {
            Target::Postgres(target) => target.page(ask, most).await,
            Target::Mysql(target) => target.page(ask, most).await,
            Target::Sqlite(target) => target.page(ask, most).await,
        }
    }

    async fn look_up(&self, ask: &Ask) -> Result<Answer, TargetError> {
        match self {
            Target::Postgres(target) => target.lookup(ask).await,
            Target::Mysql(target) => target.lookup(ask).await,
            Target::Sqlite(target) => target.lookup(ask).await,
        }
    }

    /// What the session may do to the table of a lookup. A SQLite file has no privileges: whoever opens it for reading reads it.
    pub async fn privileges(&self, ask: &Ask) -> Result<Privileges, TargetError> {
        let (writes, hides_rows) = match self {
            Target::Postgres(target) => target.privileges(&ask.table).await,
            Target::Mysql(target) => target.writes(&ask.table).await.map(|writes| (writes, RowSecurity::SeesAll)),
            Target::Sqlite(_) => Ok((Vec::new(), RowSecurity::SeesAll)),
        }?;
        let reads = match hides_rows {
            // Every read of the table fails then, whatever its columns.
            RowSecurity::Filtered => Reads::All,
            RowSecurity::SeesAll => self.reads(ask).await?,
        };
        Ok(Privileges { reads, writes, hides_rows })
    }

    async fn reads(&self, ask: &Ask) -> Result<Reads, TargetError> {
        if self.may_read(ask).await? {
            return Ok(Reads::All);
        }
        let asking = |columns: Vec<usize>| Ask { columns, ..ask.clone() };
        if !self.may_read(&asking(Vec::new())).await? {
            return Ok(Reads::Nothing);
        }
        let mut lacks = Vec::new();
        for column in &ask.columns {
            if !self.may_read(&asking(vec![*column])).await? {
                lacks.push(ask.table.columns[*column].name.to_string());
            }
        }
        Ok(Reads::Lacks(lacks))
    }

    /// Whether the server carries out this very lookup, of no key.
    async fn may_read(&self, ask: &Ask) -> Result<bool, TargetError> {
        let ask = Ask { keys: Vec::new(), ..ask.clone() };
        let outcome = match self {
            Target::Postgres(target) => target.rehearse(&ask).await,
            Target::Mysql(target) => target.rehearse(&ask).await,
            Target::Sqlite(target) => target.lookup(&ask).await.map(drop),
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if failure::is_denied(&error) => Ok(false),
            Err(error) => Err(error),
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

    /// Whether another server seems to answer than the one that was read. Nothing is read until [`Target::probe`] has looked
    /// and [`Target::admit`] was called.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.endpoint().is_some_and(endpoint::Endpoint::is_doubtful)
    }

    /// Why nothing is read at all, where several servers answer at the URL.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.endpoint().and_then(endpoint::Endpoint::refusal)
    }

    /// Reads may go to the server that the last probe has looked at.
    pub fn admit(&self) {
        if let Some(endpoint) = self.endpoint() {
            endpoint.admit();
        }
    }

    fn endpoint(&self) -> Option<&endpoint::Endpoint> {
        match self {
            Target::Postgres(target) => Some(target.endpoint()),
            Target::Mysql(target) => Some(target.endpoint()),
            Target::Sqlite(_) => None,
        }
    }

    /// Looks at what stands at the other end, and who it is where that is doubtful.
    ///
    /// # Errors
    /// It does not answer, or several servers do.
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
