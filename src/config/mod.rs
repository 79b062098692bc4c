//! Configuration: what was written, and what was understood of it.
//!
//! Layers of written values (defaults, file, environment, flags) become one tree that knows where each value came from
//! ([`load`]); the tree becomes raw sections ([`raw`]), strict about keys and the form of each value; those become the
//! checked [`Config`] below, which is plain data and valid as a whole. Every mistake of every stage is reported at once.
//!
//! Nothing here opens a connection: what only the tap or the target can tell is found out by `doctor`, and by `run`.

pub mod alert;
pub mod check;
pub mod condition;
pub mod evidence;
mod expand;
mod file;
pub mod load;
pub mod position;
pub mod problem;
pub mod raw;
pub mod schedule;
pub mod secret;
pub mod show;
pub mod tree;
pub mod unit;
pub mod url;
mod word;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

pub use self::alert::{Alert, Destination};
pub use self::evidence::Evidence;
pub use self::expand::{Surroundings, expand};
pub use self::load::{Layers, Loaded, load};
pub use self::position::{Bound, Place, Start};
pub use self::problem::{Problem, Problems};
pub use self::schedule::{Due, ScheduledRun, Timetable};
pub use self::unit::Auto;
pub use self::word::{
    AlertType, Applier, Commits, Disclosure, Format, Order, Pooler, RegistryIds, Schedule, TapType, TargetType,
};
use crate::model::finding::{Kind, Severity};
use crate::model::{Coercion, Condition};

/// A whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where findings are kept.
    pub store: Store,
    /// The HTTP port; `None` where it is off.
    pub web: Option<Web>,
    /// The pipelines, in the order of their names.
    pub pipelines: Vec<Pipeline>,
    /// Where alerts go.
    pub alerts: Vec<Alert>,
}

/// Where findings are kept.
#[derive(Debug, Clone)]
pub struct Store {
    /// Which database.
    pub kind: StoreKind,
    /// `sqlite:PATH` or `postgres://…`. May hold a password: never logged.
    pub url: SecretString,
}

/// The databases that can keep findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    /// A file of this machine: one sidecar.
    Sqlite,
    /// Shared by several sidecars.
    Postgres,
}

/// The HTTP port.
#[derive(Debug, Clone)]
pub struct Web {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What a caller must show. Always present where `listen` is not a loopback address.
    pub token: Option<SecretString>,
}

/// One tap, one applier, one target.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// How the applier's progress is proven.
    pub progress: Progress,
    /// When and how often rows are read and judged.
    pub judging: Judging,
    /// Bounds.
    pub limits: Limits,
    /// What findings carry of row values.
    pub values: Disclosure,
    /// The sink's Kafka Connect REST address, asked for the reason of a stall. May hold a password.
    pub connect_url: Option<SecretString>,
    /// The applier's dead-letter topic, on the tap's brokers: what it names was rejected.
    pub dead_letters: Option<String>,
    /// The change stream.
    pub tap: Tap,
    /// How its records are understood.
    pub decode: Decode,
    /// The database that the applier writes.
    pub target: Target,
    /// The database that the changes come from, where it may be read: what is found is looked at there too, and nothing is
    /// judged by it.
    pub source: Option<Target>,
    /// Rules for single tables; the first that matches wins.
    pub tables: Vec<TableRule>,
    /// Runs by the clock.
    pub schedules: Vec<ScheduledRun>,
}

/// How the applier's progress is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The evidence, best first. Never empty.
    pub applied: Vec<Evidence>,
    /// Whether somebody chose it, or it is the default.
    pub chosen: Chosen,
    /// Whether a committed offset may convict.
    pub commits: Commits,
    /// Whether the position that `query:SQL` returns is durable and complete, or a mere witness.
    pub query: QueryTrust,
    /// The scope in which the applier keeps order.
    pub order: Order,
    /// Whether a batch becomes visible at once.
    pub applier: Applier,
    /// How far the applier may be ahead of the tap.
    pub lead: Auto<Duration>,
}

/// Whether a value was chosen by somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chosen {
    /// By file, environment or flag.
    Explicitly,
    /// Nobody wrote it.
    ByDefault,
}

/// How far a `query:SQL` is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueryTrust {
    /// What it returns was seen; nothing more.
    Witness,
    /// The user declares that everything below it is durably applied.
    Durable,
}

/// When and how often rows are read and judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judging {
    /// Margin for re-application after proof.
    pub settle: Auto<Duration>,
    /// Margin after a commit, or a change of the group, before a version is forgotten.
    pub zombie_after: Duration,
    /// How often evidence and suspects are read.
    pub poll: Duration,
    /// Reads that must agree before a finding; at least 2.
    pub confirmations: Auto<u32>,
    /// Least time between two of them.
    pub confirm_after: Duration,
    /// When an applied watermark that does not move is called stalled.
    pub stall_after: Auto<Duration>,
    /// Whether verified keys are looked at again.
    pub patrol: Patrol,
}

/// Whether verified keys are looked at again, where nothing else is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Patrol {
    /// Never.
    Off,
    /// At most 5 reads a second.
    Idle,
    /// At most so many reads a second.
    PerSecond(u32),
}

/// Bounds of one pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At most one scheduled read a key in this time, suspects apart.
    pub reread: Duration,
    /// Versions kept of one key; past it middle versions are coalesced.
    pub versions_per_key: u32,
    /// Bytes of versions in memory; past it middle versions are coalesced, never dropped.
    pub memory_bytes: u64,
    /// Bytes of the table-version cache.
    pub cache_bytes: u64,
}

impl Tap {
    /// Its kind, as `type` says it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Tap::Kafka(_) => TapType::Kafka.word(),
            Tap::File(_) => TapType::File.word(),
            Tap::Archive(_) => TapType::Archive.word(),
        }
    }
}

/// The change stream.
#[derive(Debug, Clone)]
pub enum Tap {
    /// Topics of a Kafka cluster.
    Kafka(KafkaTap),
    /// Records as `kcat -C -J` prints them.
    File(FileTap),
    /// What `record` copied.
    Archive(ArchiveTap),
}

/// Topics of a Kafka cluster.
#[derive(Debug, Clone)]
pub struct KafkaTap {
    /// `host:port`, several behind commas.
    pub brokers: String,
    /// The topics. Never empty.
    pub topics: Vec<Topic>,
    /// The consumer group of the sidecar itself: never the applier's.
    pub group: String,
    /// Where to begin where the group has stored nothing else.
    pub from: Bound,
    /// Handed to librdkafka as they are; any of them may be a secret.
    pub properties: BTreeMap<String, SecretString>,
}

/// A topic by name or by pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Exactly this name.
    Name(String),
    /// Every topic whose name the regular expression matches, also those made later. Without the slashes around it.
    Pattern(String),
}

/// Records as `kcat -C -J` prints them: plain, `.gz` or `.zst`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTap {
    /// Where they are.
    pub path: FilePath,
    /// Where to begin.
    pub from: Bound,
}

/// A file, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePath {
    /// `-`.
    Stdin,
    /// A path.
    Path(PathBuf),
}

/// What `record` copied of another tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveTap {
    /// A folder.
    pub url: String,
    /// Where to begin.
    pub from: Bound,
}

/// How records are understood.
#[derive(Debug, Clone)]
pub struct Decode {
    /// Their format.
    pub format: Format,
    /// DMS: the field that the task settings name for the before image; empty: any object beside `data` and `metadata`.
    pub before_image: String,
    /// DMS: nulls and empty values are sent (`IncludeNullAndEmpty`), or left out alike.
    pub nulls: SentNulls,
    /// Debezium: the marker of an unchanged, unsent column, where the connector was given one of its own.
    pub placeholder: Option<String>,
    /// Flattened rows: what the names of fields and headers begin with that tell of the change, where that was changed.
    pub fields_prefix: Option<String>,
    /// Where schemas are that records name; `None` where records carry theirs, or have none.
    pub registry: Option<Registry>,
}

/// A schema registry.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Its addresses, asked in turn. Never empty. Each may hold a user and a password.
    pub urls: Vec<SecretString>,
    /// A bearer token.
    pub token: Option<SecretString>,
    /// Certificates that are trusted besides the system's.
    pub authority: Option<PathBuf>,
    /// What the number before a record counts.
    pub ids: RegistryIds,
}

/// Whether a DMS task sends nulls and empty values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SentNulls {
    /// Left out: a missing column is null or empty.
    LeftOut,
    /// Sent (`IncludeNullAndEmpty`): a missing column was not sent.
    Sent,
}

/// The database that the applier writes.
#[derive(Debug, Clone)]
pub struct Target {
    /// Which database.
    pub kind: TargetKind,
    /// Its URL, without the keys of this section. May hold a password: never logged.
    pub url: SecretString,
    /// Whether a transaction-mode pooler stands between.
    pub pooler: Pooler,
    /// Connections at most; at least 1.
    pub max_connections: u32,
    /// Keys read per second at most; 0 is no limit.
    pub reads_per_second: u32,
    /// Soft delete: the SQL condition that means "deleted"; empty: rows are deleted for real.
    pub dead_rows: String,
}

/// The databases that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
}

/// Rules for the tables that match.
#[derive(Debug, Clone)]
pub struct TableRule {
    /// Where it is written: `pipelines.orders.tables[0]`.
    pub path: String,
    /// Which tables of the tap.
    pub matches: TableMatch,
    /// The table on the target: `schema.table` or `table`. `None`: the usual mapping.
    pub target: Option<String>,
    /// Key columns by their names on the tap, in whatever form a record has its key; empty: the record's key, else the
    /// target's primary key.
    pub key: Vec<String>,
    /// Target columns that are not compared.
    pub ignore: Vec<String>,
    /// Tap column = target column.
    pub columns: BTreeMap<String, String>,
    /// Tolerance by target column.
    pub tolerance: BTreeMap<String, Tolerance>,
    /// What the applier does to the values of a target column on purpose.
    pub coercions: BTreeMap<String, Coercion>,
    /// The rows that the applier is meant to carry; `None`: all.
    pub carried: Option<Condition>,
    /// Severities that differ from the usual ones.
    pub severity: BTreeMap<Kind, Severity>,
}

/// Which tables of the tap a rule is for.
#[derive(Debug, Clone)]
pub enum TableMatch {
    /// Exactly this `schema.table`.
    Name(String),
    /// Every table whose name the regular expression matches.
    Pattern(regex::Regex),
}

impl TableMatch {
    /// Whether it is for this table.
    #[must_use]
    pub fn is(&self, table: &str) -> bool {
        match self {
            TableMatch::Name(name) => name == table,
            TableMatch::Pattern(pattern) => pattern.is_match(table),
        }
    }
}

/// How far two values may differ and still be called equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Numbers: the absolute difference.
    Number(f64),
    /// Times: the absolute difference.
    Time(Duration),
}

impl Config {
    /// The pipeline of a name, or the only one there is.
    ///
    /// # Errors
    /// No such pipeline, or several and no name: what would be right.
    pub fn pipeline(&self, name: Option<&str>) -> Result<&Pipeline, String> {
        let names: Vec<&str> = self.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
        match (name, self.pipelines.as_slice()) {
            (Some(name), all) => {
                all.iter().find(|pipeline| pipeline.name == name).ok_or_else(|| unit::not_among(name, &names))
            }
            (None, [only]) => Ok(only),
            (None, []) => Err("no pipeline is configured: give -c FILE, or --tap and --target".into()),
            (None, _) => Err(format!("several pipelines are configured: name one, {}", unit::one_of(&names))),
        }
    }
}
