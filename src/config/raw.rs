//! The configuration as it is written: one struct for each section, one field for each key, strict about both. The doc
//! comments here are the descriptions of the JSON schema.
//!
//! Keys of features that this version does not have are read and refused by [`super::check`] with a word about it, so that
//! nobody takes silence for support.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::alert::quiet::Zone;
pub use super::alert::raw::{RawAlert, RawAlertFilter};
use super::evidence::Evidence;
use super::position::{Place, Start};
use super::secret::{Address, Secret};
use super::unit::{Auto, Count, Flag, OneOrMany, Scalar, Size, Span, field, not_a, not_among, one_of};
use super::word::{Applier, Commits, Disclosure, Format, Order, Pooler, RegistryIds, Schedule, TapType, TargetType};
use super::{Patrol, Tolerance};
use crate::model::Coercion;
use crate::model::coercion::{NoCoercion, WORDS};
use crate::model::finding::{Kind, Severity};

/// Where findings are kept when nothing is said: beside where the command runs, so that a first try needs no database.
pub const DEFAULT_STORE: &str = "sqlite:afterimage.db";

/// Loopback only: what is served names tables and keys.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8470";

/// Kafka's brokers may still hold writes of a fenced consumer for its session timeout; 30 s covers the usual 10 s thrice.
pub const DEFAULT_ZOMBIE_AFTER: Duration = Duration::from_secs(30);

/// One small query a second is noise to any database, and evidence a second old is fresh beside any batch window.
pub const DEFAULT_POLL: Duration = Duration::from_secs(1);

/// Two reads closer together than this may see one and the same moment of a busy target.
pub const DEFAULT_CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// However hot a key is, it costs at most one read in this time.
pub const DEFAULT_REREAD: Duration = Duration::from_secs(5);

/// At 64 bytes a version one key may then cost 32 KiB.
pub const DEFAULT_VERSIONS_PER_KEY: u32 = 512;

/// Room for about ten million pending versions of small keys.
pub const DEFAULT_MEMORY_BYTES: u64 = 1 << 30;

/// Room for about a quarter of a million recent rows of 1 KiB.
pub const DEFAULT_CACHE_BYTES: u64 = 256 << 20;

/// Enough to overlap lookups, few enough to go unnoticed among an application's connections.
pub const DEFAULT_MAX_CONNECTIONS: u32 = 4;

/// Connections to a source, which has other work.
pub const DEFAULT_SOURCE_CONNECTIONS: u32 = 2;

/// Keys read of a source per second: a page of findings in seconds, and nothing that a source notices.
pub const DEFAULT_SOURCE_READS: u32 = 200;

/// A whole configuration file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Configuration of afterimage")]
pub struct RawConfig {
    /// Where findings are kept.
    pub store: RawStore,
    /// The HTTP port: health, metrics and the API.
    pub web: RawWeb,
    /// The pipelines by name: one tap, one applier, one target each.
    pub pipelines: BTreeMap<String, RawPipeline>,
    /// Where alerts go.
    pub alerts: Vec<RawAlert>,
}

/// Where findings are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawStore {
    /// `sqlite:PATH`, or `postgres://…` for several sidecars.
    pub url: Address,
}

impl Default for RawStore {
    fn default() -> Self {
        RawStore { url: DEFAULT_STORE.into() }
    }
}

/// The HTTP port.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawWeb {
    /// `ADDRESS:PORT`; empty: off. An address other than loopback demands a token.
    pub listen: String,
    /// What callers must show as a bearer token; empty: none.
    pub token: Secret,
}

impl Default for RawWeb {
    fn default() -> Self {
        RawWeb { listen: DEFAULT_LISTEN.into(), token: Secret::default() }
    }
}

/// One tap, one applier, one target.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawPipeline {
    /// Evidence of the applied watermark, one or a list, best first: `kafka-group:NAME`, `query:SQL`,
    /// `dms-status:SCHEMA`, `heartbeat:SCHEMA.TABLE.COLUMN`, `inferred`, `assumed`.
    pub applied: OneOrMany<Evidence>,
    /// Whether a committed offset may convict.
    pub commits: Commits,
    /// The position that `query:SQL` returns is durable and complete.
    pub query_durable: Flag,
    /// The scope in which the applier keeps order.
    pub order: Order,
    /// Whether a batch becomes visible at once.
    pub applier: Applier,
    /// How far the applier may be ahead of the tap.
    pub lead: Auto<Span>,
    /// Lag-tolerant margin for re-application.
    pub settle: Auto<Span>,
    /// Margin after a commit, or a change of the group, before a version is forgotten.
    pub zombie_after: Span,
    /// How often evidence and suspects are read.
    pub poll: Span,
    /// Reads that must agree; at least 2.
    pub confirmations: Auto<Count>,
    /// Least time between two of them.
    pub confirm_after: Span,
    /// When an applied watermark that does not move is called stalled.
    pub stall_after: Auto<Span>,
    /// The sink's Kafka Connect REST address: reasons for stalls.
    pub connect_url: Address,
    /// The sink's dead-letter topic, on the tap's brokers: the records that it names are losses by rejection.
    pub dead_letters: String,
    /// Look again at verified keys where nothing else is to be read: `off`, `idle` (5 reads a second) or `N reads/s`.
    pub patrol: Patrol,
    /// What findings carry of row values.
    pub values: Disclosure,
    /// Bounds.
    pub limits: RawLimits,
    /// The source database: `revalidate`, and `run` beside its judges, also read the source's rows.
    pub source: RawSource,
    /// The change stream.
    pub tap: RawTap,
    /// How its records are understood.
    pub decode: RawDecode,
    /// The database that the applier writes.
    pub target: RawTarget,
    /// Rules for tables; the first that matches wins.
    pub tables: Vec<RawTable>,
    /// Runs by the clock, inside `run`.
    pub schedules: Vec<RawSchedule>,
}

impl Default for RawPipeline {
    fn default() -> Self {
        RawPipeline {
            applied: OneOrMany(vec![Evidence::Inferred]),
            commits: Commits::Auto,
            query_durable: Flag(false),
            order: Order::Partition,
            applier: Applier::Batch,
            lead: Auto::Auto,
            settle: Auto::Auto,
            zombie_after: Span(DEFAULT_ZOMBIE_AFTER),
            poll: Span(DEFAULT_POLL),
            confirmations: Auto::Auto,
            confirm_after: Span(DEFAULT_CONFIRM_AFTER),
            stall_after: Auto::Auto,
            connect_url: Address::default(),
            dead_letters: String::new(),
            patrol: Patrol::Idle,
            values: Disclosure::Full,
            limits: RawLimits::default(),
            source: RawSource::default(),
            tap: RawTap::default(),
            decode: RawDecode::default(),
            target: RawTarget::default(),
            tables: Vec::new(),
            schedules: Vec::new(),
        }
    }
}

/// Bounds of one pipeline.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawLimits {
    /// At most one scheduled read a key in this time, suspects apart.
    pub reread: Span,
    /// Versions kept of one key.
    pub versions_per_key: Count,
    /// Versions in memory; past it middle versions are coalesced, never dropped.
    pub memory: Size,
    /// The table-version cache: recent images.
    pub cache: Size,
}

impl Default for RawLimits {
    fn default() -> Self {
        RawLimits {
            reread: Span(DEFAULT_REREAD),
            versions_per_key: Count(DEFAULT_VERSIONS_PER_KEY),
            memory: Size(DEFAULT_MEMORY_BYTES),
            cache: Size(DEFAULT_CACHE_BYTES),
        }
    }
}

/// The source database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawSource {
    /// `postgres://…`, `mysql://…` or `sqlite:PATH`; empty: it is not read.
    pub url: Address,
    /// Whether a transaction-mode pooler stands between.
    pub pooler: Pooler,
    /// Connections at most.
    pub max_connections: Count,
    /// Keys read per second at most; 0 is no limit.
    pub reads_per_second: Count,
}

impl Default for RawSource {
    fn default() -> Self {
        RawSource {
            url: Address::default(),
            pooler: Pooler::None,
            max_connections: Count(DEFAULT_SOURCE_CONNECTIONS),
            reads_per_second: Count(DEFAULT_SOURCE_READS),
        }
    }
}

/// The change stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawTap {
    /// What kind of tap.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<TapType>,
    /// kafka: `host:port`, several behind commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brokers: Option<String>,
    /// kafka: names, or patterns between slashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<OneOrMany<RawTopic>>,
    /// kafka: the sidecar's own consumer group; `afterimage-` and the pipeline's name when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// file: JSON Lines as `kcat -C -J` prints them, `.gz` and `.zst` too; `-` for standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// archive: the folder that `record` wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where to begin, in kcat's grammar. Nothing stored: at the end.
    pub from: OneOrMany<Place>,
    /// kafka: handed to librdkafka as they are.
    pub properties: BTreeMap<String, RawProperty>,
}

impl Default for RawTap {
    fn default() -> Self {
        RawTap {
            kind: None,
            brokers: None,
            topics: None,
            group: None,
            path: None,
            url: None,
            from: OneOrMany(vec![Place { partition: None, start: Start::Stored }]),
            properties: BTreeMap::new(),
        }
    }
}

/// How records are understood.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawDecode {
    /// Their format.
    pub format: Format,
    /// Addresses of the schema registry, several behind commas: Confluent's, one that answers as it does, or Apicurio
    /// (`…/apis/ccompat/v7`, `…/apis/registry/v2`). May hold a user and a password.
    pub registry: Address,
    /// Bearer token for the registry.
    pub registry_token: Secret,
    /// A file of certificates, in PEM, that are trusted for the registry besides the system's.
    pub registry_ca: String,
    /// What the number before a record counts.
    pub registry_ids: RegistryIds,
    /// DMS: the field that the task settings name for the before image.
    pub before_image: String,
    /// DMS: the task sends nulls and empty values (`IncludeNullAndEmpty`), so that a missing column was not sent.
    pub include_null_and_empty: Flag,
    /// Debezium: the marker of an unchanged, unsent column (`unavailable.value.placeholder`); empty: Debezium's own.
    pub placeholder: String,
    /// Flattened rows: what the names of fields and headers begin with that tell of the change (`add.fields.prefix`,
    /// `add.headers.prefix`); empty: `__`.
    pub fields_prefix: String,
}

impl Default for RawDecode {
    fn default() -> Self {
        RawDecode {
            format: Format::Auto,
            registry: Address::default(),
            registry_token: Secret::default(),
            registry_ca: String::new(),
            registry_ids: RegistryIds::Auto,
            before_image: String::new(),
            include_null_and_empty: Flag(false),
            placeholder: String::new(),
            fields_prefix: String::new(),
        }
    }
}

/// The database that the applier writes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawTarget {
    /// Which database; left out, the URL says it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<TargetType>,
    /// `postgres://…`, `mysql://…` or `sqlite:PATH`. Keys of this section may be its parameters.
    pub url: Address,
    /// Whether a transaction-mode pooler stands between.
    pub pooler: Pooler,
    /// Connections at most.
    pub max_connections: Count,
    /// Keys read per second at most; 0 is no limit.
    pub reads_per_second: Count,
    /// Soft delete: the SQL condition that means "deleted".
    pub dead_rows: String,
}

impl Default for RawTarget {
    fn default() -> Self {
        RawTarget {
            kind: None,
            url: Address::default(),
            pooler: Pooler::None,
            max_connections: Count(DEFAULT_MAX_CONNECTIONS),
            reads_per_second: Count(0),
            dead_rows: String::new(),
        }
    }
}

/// Rules for the tables that match.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawTable {
    /// `schema.table`, or a pattern between slashes, of the tap's table name.
    #[serde(rename = "match")]
    pub matches: String,
    /// The table on the target: `schema.table` or `table`.
    pub target: String,
    /// Key columns by their names on the tap.
    pub key: OneOrMany<RawName>,
    /// Target columns that are not compared.
    pub ignore: OneOrMany<RawName>,
    /// Tap column = target column.
    pub columns: BTreeMap<String, String>,
    /// By target column: a number, or a duration for times.
    pub tolerance: BTreeMap<String, Tolerance>,
    /// By target column: what the applier does to its values on purpose (`trimmed_end`, `fraction:0`, …). They are compared by
    /// what that leaves of them.
    pub coercions: BTreeMap<String, Coercion>,
    /// Rows the applier is meant to carry: a condition on the tap's columns, as SQL has it (`region = 'eu' and not archived`).
    #[serde(rename = "where")]
    pub row_filter: String,
    /// By kind of finding: a severity other than the usual one.
    pub severity: BTreeMap<KindWord, SeverityWord>,
}

/// A run by the clock.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawSchedule {
    /// What to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Schedule>,
    /// What it is called in the log, in metrics and in the store; left out: what it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When: five fields of cron.
    pub cron: String,
    /// Whose time: `UTC`, or an offset from it such as `+02:00`, all the year.
    pub zone: Zone,
    /// What was logged up to this long before the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Span>,
    /// import: the database with the failures of DMS validation; empty: the target.
    pub dms_failures: Address,
}

/// A topic's name, or a pattern between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTopic(pub String);

impl Scalar for RawTopic {
    fn expected() -> String {
        "a topic's name, or a regular expression between slashes".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(RawTopic(text.to_owned()))
    }

    fn written(&self) -> serde_json::Value {
        self.0.as_str().into()
    }
}

/// A column's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawName(pub String);

impl Scalar for RawName {
    fn expected() -> String {
        "the name of a column".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err(not_a::<RawName>(text)) } else { Ok(RawName(text.to_owned())) }
    }

    fn written(&self) -> serde_json::Value {
        self.0.as_str().into()
    }
}

/// A property of librdkafka: text, or a number or boolean as its text.
#[derive(Debug, Clone)]
pub struct RawProperty(pub String);

impl Scalar for RawProperty {
    fn expected() -> String {
        "a text, a number or a boolean".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(RawProperty(text.to_owned()))
    }

    fn written(&self) -> serde_json::Value {
        self.0.as_str().into()
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl Scalar for Patrol {
    fn expected() -> String {
        "`off`, `idle`, or reads per second such as \"50 reads/s\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Patrol::Off),
            "idle" => Ok(Patrol::Idle),
            text => text
                .strip_suffix("reads/s")
                .and_then(|number| number.trim().parse().ok())
                .filter(|number| *number > 0)
                .map(Patrol::PerSecond)
                .ok_or_else(|| not_a::<Patrol>(text)),
        }
    }

    fn written(&self) -> serde_json::Value {
        match self {
            Patrol::Off => "off".into(),
            Patrol::Idle => "idle".into(),
            Patrol::PerSecond(number) => format!("{number} reads/s").into(),
        }
    }
}

impl Scalar for Coercion {
    fn expected() -> String {
        format!("a coercion: {WORDS}")
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: NoCoercion| error.to_string())
    }

    fn written(&self) -> serde_json::Value {
        self.to_string().into()
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Scalar for Tolerance {
    fn expected() -> String {
        "a number that is not negative, or for times a duration such as \"1ms\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let time = || humantime::parse_duration(text).ok().map(Tolerance::Time);
        number.map(Tolerance::Number).or_else(time).ok_or_else(|| not_a::<Tolerance>(text))
    }

    fn written(&self) -> serde_json::Value {
        match self {
            Tolerance::Number(number) => (*number).into(),
            Tolerance::Time(time) => humantime::format_duration(*time).to_string().into(),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["number", "string"] })
    }
}

/// Gives a word of the model the text form of a configuration value.
macro_rules! model_words {
    ($($(#[$doc:meta])* $name:ident($of:ident)),+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub $of);

        impl $name {
            fn words() -> Vec<&'static str> {
                $of::ALL.iter().map(|value| value.word()).collect()
            }
        }

        impl Scalar for $name {
            fn expected() -> String {
                one_of(&$name::words())
            }

            fn parse(text: &str) -> Result<Self, String> {
                $of::parse(text).map($name).ok_or_else(|| not_among(text, &$name::words()))
            }

            fn written(&self) -> serde_json::Value {
                self.0.word().into()
            }

            fn schema() -> Schema {
                json_schema!({ "type": "string", "enum": $name::words() })
            }
        }
    )+ };
}

model_words! {
    /// A kind of finding.
    KindWord(Kind),
    /// A severity.
    SeverityWord(Severity)
}

field!(RawTopic, RawName, RawProperty, Patrol, Tolerance, Coercion, KindWord, SeverityWord);

/// The section of a pipeline that has a key of this name.
pub(super) fn section_of(key: &str) -> Option<&'static str> {
    let schema = json_schema();
    let sections = [("tap", "RawTap"), ("target", "RawTarget"), ("decode", "RawDecode"), ("limits", "RawLimits")];
    let has = |definition: &str| !schema["$defs"][definition]["properties"][key].is_null();
    sections.into_iter().find(|(_, definition)| has(definition)).map(|(section, _)| section)
}

/// The JSON schema of the configuration, for editors. Kept in `schemas/config.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RawConfig).to_value()
}
