//! What the commands ask of the runtime: one function for each, with everything its flags say as plain data.

mod dms;

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::dms::{EXPORT_TABLE, ExportArgs, ExportForm, ExportInto, FailureScope, ImportArgs, export, import};
use crate::config::{Bound, Config, Pipeline, Start};
use crate::decode::{Format, Understood};
use crate::model::finding::{Act, Kind, Severity, State};
use crate::model::position::PartitionName;
use crate::model::{Condition, Op, Wall};
pub use crate::report::unverified::RangeFormat;
use crate::target::TargetError;
use crate::telemetry::Metrics;

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Everything asked for was done, and nothing is wrong.
    Clean,
    /// Something is wrong, as bad as asked for or worse.
    Findings,
    /// Not everything could be verified. Wins over findings.
    Incomplete,
}

/// A command that could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// What failed, on what, and what was expected.
    pub what: String,
    /// What to do now.
    pub hint: Option<String>,
    /// The error below.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// Whether waiting may mend it: a target that cannot be reached now.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let source = self.source.as_deref().and_then(|source| source.downcast_ref::<TargetError>());
        source.is_some_and(|error| match error {
            TargetError::Unreachable { .. } => true,
            TargetError::Changed { .. } | TargetError::Refused { .. } => false,
        })
    }

    /// A failure that says what failed and nothing more.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), hint: None, source: None }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum OutputFormat {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values.
    Csv,
    /// A Markdown table.
    Markdown,
    /// JUnit XML, for CI.
    Junit,
    /// One HTML page.
    Html,
}

impl OutputFormat {
    /// The format that the name of a report says.
    #[must_use]
    pub fn of_file(path: &std::path::Path) -> Option<OutputFormat> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("html" | "htm") => Some(OutputFormat::Html),
            Some("json") => Some(OutputFormat::Json),
            Some("ndjson" | "jsonl") => Some(OutputFormat::Ndjson),
            Some("csv") => Some(OutputFormat::Csv),
            Some("md") => Some(OutputFormat::Markdown),
            Some("xml") => Some(OutputFormat::Junit),
            Some("txt") => Some(OutputFormat::Table),
            _ => None,
        }
    }
}

/// Whether long work shows how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProgressStyle {
    /// A bar, on a terminal.
    Bar,
    /// A line every 10 seconds, elsewhere.
    Lines,
}

/// What `run` is asked.
pub struct RunArgs {
    /// The configuration; every pipeline of it is run.
    pub config: Config,
    /// The counters that `/metrics` serves.
    pub metrics: Metrics,
    /// Cancelled at the first signal: stop taking in, make findings durable, commit, end.
    pub stop: CancellationToken,
}

/// Positions from which and up to which a tap is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// First position.
    pub from: Bound,
    /// The position before which the range ends.
    pub to: Bound,
}

impl Range {
    /// Whether something may lie in it, as far as can be told without asking the tap.
    ///
    /// # Errors
    /// A sentence about what would be right.
    pub fn is_sensible(&self) -> Result<(), String> {
        let left_out = |number: &&i32| self.from.everywhere.is_none() && !self.from.pinned.contains_key(number);
        if let Some(number) = self.to.pinned.keys().find(left_out) {
            return Err(format!(
                "partition {number} is pinned, which --from leaves out: pin it there too, or give --from a position of all"
            ));
        }
        let of = |bound: &Bound, number| bound.pinned.get(number).copied().or(bound.everywhere).unwrap_or(Start::End);
        let numbers = self.from.pinned.keys().chain(self.to.pinned.keys());
        let pinned = numbers.map(|number| (of(&self.from, number), of(&self.to, number)));
        let rest = self.from.everywhere.map(|from| (from, self.to.everywhere.unwrap_or(Start::End)));
        let mut legs = rest.into_iter().chain(pinned).peekable();
        match legs.peek().copied() {
            Some((from, to)) if legs.all(|(from, to)| from.never_before(to)) => {
                Err(format!("nothing lies between `{from}` and `{to}`: expected a position behind that of --from"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Which changes of a range are judged. Empty lists: all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Tables as the tap names them.
    pub tables: Vec<String>,
    /// Keys: `COLUMN=VALUE`, several columns behind commas, or the value alone for a key of one column.
    pub keys: Vec<String>,
    /// Operations.
    pub ops: Vec<Op>,
}

/// What is done with an unfinished run of the same command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Keys that it judged are not judged again.
    GoOn,
    /// It is forgotten.
    Forget,
}

/// Against which version a key is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, clap::ValueEnum)]
pub enum AsOf {
    /// The newest one when the command ends, also past the range.
    #[default]
    Now,
    /// The newest one of the range; keys that changed since cannot be told.
    End,
}

/// What `audit` is asked.
pub struct AuditArgs {
    /// The whole configuration, for the store.
    pub config: Config,
    /// The pipeline to audit.
    pub pipeline: Pipeline,
    /// What to read.
    pub range: Range,
    /// What of it to judge.
    pub filter: Filter,
    /// Only keys of which a change inside the range meets this, by its row after it, or before a delete.
    pub row_filter: Option<Condition>,
    /// Of a source that was rewound: only this one of the logs that the range holds, from 1.
    pub incarnation: Option<u64>,
    /// What is done with an unfinished run of the same command.
    pub unfinished: Unfinished,
    /// Against which version.
    pub as_of: AsOf,
    /// End once more findings than this are known; print no more than this.
    pub max_findings: Option<u64>,
    /// End after this long, with what is known by then.
    pub max_time: Option<Duration>,
    /// On a live tap: what is not proven by then is unverifiable.
    pub max_wait: Duration,
    /// The least severity that counts for [`Outcome::Findings`].
    pub fail_on: Severity,
    /// How to print.
    pub format: OutputFormat,
    /// Also write a report to this file, in the format that its name says.
    pub report: Option<PathBuf>,
    /// How to show progress.
    pub progress: ProgressStyle,
    /// Cancelled at the first signal.
    pub stop: CancellationToken,
}

/// What `decode` is asked.
pub struct DecodeArgs {
    /// Tap and decoder; there may be no target in it.
    pub tap: crate::config::Tap,
    /// How records are understood.
    pub decode: crate::config::Decode,
    /// Rules of tables: their key columns are used.
    pub tables: Vec<crate::config::TableRule>,
    /// What to read.
    pub range: Range,
    /// At most so many records.
    pub records: Option<u64>,
    /// Cancelled at the first signal.
    pub stop: CancellationToken,
}

/// What `record` is asked.
pub struct RecordArgs {
    /// The tap.
    pub tap: crate::config::Tap,
    /// The archive: a folder.
    pub archive: String,
    /// Where partitions begin that the archive does not hold yet.
    pub from: Bound,
    /// The position before which it ends; `None`: where the tap ends, and Kafka has no end.
    pub to: Option<Bound>,
    /// A segment is closed once it holds so many bytes, unpacked.
    pub segment_bytes: u64,
    /// A segment is closed once its first record has waited for so long.
    pub segment_time: Duration,
    /// Segments go once their newest record is older than this.
    pub keep_for: Option<Duration>,
    /// The oldest segments go while all have more bytes than this.
    pub keep_bytes: Option<u64>,
    /// Cancelled at the first signal: the open segment is closed, then it ends.
    pub stop: CancellationToken,
}

/// Where `replay` plays to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Topics of a Kafka cluster.
    Topics {
        /// `host:port`, several behind commas.
        brokers: String,
        /// One topic for everything; `None`: each record's own.
        topic: Option<String>,
        /// Handed to librdkafka as they are.
        properties: BTreeMap<String, String>,
    },
    /// A file of JSON Lines as `kcat -C -J` prints them.
    File(PathBuf),
    /// The same on standard output.
    Output,
}

/// How fast `replay` plays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded; above 0.
    Times(f64),
    /// As fast as it goes, in the order it was recorded in.
    Max,
}

/// What `replay` is asked.
pub struct ReplayArgs {
    /// The tap, an archive as a rule.
    pub tap: crate::config::Tap,
    /// How records are understood, for the filter.
    pub decode: crate::config::Decode,
    /// Rules of tables: their key columns are used.
    pub tables: Vec<crate::config::TableRule>,
    /// What to play.
    pub range: Range,
    /// Which records of it; operations are not looked at.
    pub filter: Filter,
    /// How fast.
    pub speed: Speed,
    /// Where to.
    pub into: Destination,
    /// Cancelled at the first signal.
    pub stop: CancellationToken,
}

/// One record, understood.
#[derive(Debug, Clone, Copy)]
pub struct DecodedRecord<'a> {
    /// Kind of tap: `kafka`, `file`.
    pub tap: &'static str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// Offset.
    pub offset: u64,
    /// When it was appended, in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// The format it was read as; `Auto` where it was not recognised.
    pub format: Format,
    /// What was understood.
    pub understood: &'a Understood<'a>,
}

/// How a `decode` ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeEnd {
    /// How long it took from the first record to the last.
    pub elapsed: Duration,
    /// Whether the whole range was read, or `records` of it.
    pub outcome: Outcome,
}

/// What `alerts test` is asked.
pub struct AlertsArgs {
    /// The configuration; every channel of it is tried.
    pub config: Config,
    /// How to print: a table or JSON.
    pub format: OutputFormat,
}

/// What `doctor` is asked.
pub struct DoctorArgs {
    /// The configuration; every pipeline of it is looked at.
    pub config: Config,
    /// How to print: a table or JSON.
    pub format: OutputFormat,
    /// Cancelled at the first signal.
    pub stop: CancellationToken,
}

/// What `explain` is asked.
pub struct ExplainArgs {
    /// Where findings are kept; it need not exist.
    pub store: crate::config::Store,
    /// The pipeline the key is of.
    pub pipeline: Pipeline,
    /// Where its versions are looked for.
    pub range: Range,
    /// The table as the tap names it.
    pub table: String,
    /// `COLUMN=VALUE[,COLUMN=VALUE]`, or the value alone of a key of one column.
    pub key: String,
    /// How to print: a table or JSON.
    pub format: OutputFormat,
    /// Cancelled at the first signal.
    pub stop: CancellationToken,
}

/// What `revalidate` is asked.
pub struct RevalidateArgs {
    /// The configuration; findings of every pipeline of it are looked at.
    pub config: Config,
    /// Only of this pipeline.
    pub pipeline: Option<String>,
    /// Only those seen wrong then or later.
    pub since: Option<Wall>,
    /// Only these: ids or their beginnings.
    pub ids: Vec<String>,
    /// How to print: a table or JSON.
    pub format: OutputFormat,
    /// Cancelled at the first signal.
    pub stop: CancellationToken,
}

/// What the commands under `findings` are asked.
pub struct FindingsArgs {
    /// Where findings are kept.
    pub store: crate::config::Store,
    /// Channels of alerts: they hear of what is set aside or reopened.
    pub alerts: Vec<crate::config::Alert>,
    /// Which ones, and what is done to them.
    pub query: FindingsQuery,
    /// How to print.
    pub format: OutputFormat,
}

/// Who does something, and what they say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who.
    pub by: String,
    /// Their remark.
    pub note: Option<String>,
    /// Until when; `None`: for good.
    pub until: Option<Until>,
}

/// A moment to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// This one.
    At(Wall),
    /// So long from now.
    In(Duration),
}

/// Which findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingsQuery {
    /// Those that fit, newest first. Empty lists: all.
    List {
        /// Pipeline.
        pipeline: Option<String>,
        /// Tables as the tap names them.
        tables: Vec<String>,
        /// Kinds.
        kinds: Vec<Kind>,
        /// States.
        states: Vec<State>,
        /// The least severity.
        severity: Severity,
        /// At most so many.
        limit: u64,
    },
    /// The ranges of the tap that ended without a verdict.
    Unverified {
        /// Pipeline.
        pipeline: Option<String>,
        /// At most so many.
        limit: u64,
        /// How to print.
        format: RangeFormat,
    },
    /// Something is done to these, by a person.
    Act {
        /// Ids or their beginnings.
        ids: Vec<String>,
        /// What.
        act: Act,
        /// Who does it, and what they say of it.
        said: Said,
    },
    /// A rule sets findings aside as they open, and those that are open.
    Rule {
        /// Pipeline.
        pipeline: String,
        /// Table on the tap.
        table: Option<String>,
        /// Key.
        key: Option<String>,
        /// Column.
        column: Option<String>,
        /// Kind.
        kind: Option<Kind>,
        /// Who makes it, and what they say of it.
        said: Said,
    },
    /// The rules in force.
    Rules {
        /// Of this pipeline.
        pipeline: Option<String>,
    },
    /// A rule is removed.
    Remove {
        /// Its id.
        rule: String,
        /// Who does it.
        by: String,
    },
    /// The one whose id begins like this.
    Show {
        /// The id or its beginning.
        id: String,
    },
}

/// Runs every pipeline until it is stopped.
///
/// # Errors
/// What cannot be waited for: a refused configuration, a store that cannot be opened.
pub async fn run(args: RunArgs) -> Result<Outcome, Failure> {
    super::run::run(args).await
}

/// Replays a range and judges it. Findings, then the summary, go to `out`.
///
/// # Errors
/// What kept it from reading or judging at all.
pub async fn audit(args: AuditArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    super::audit::audit(args, out).await
}

/// Reads a range of a tap and hands each record to `each`, in order within each partition, until it says to break.
///
/// # Errors
/// What kept it from reading.
#[expect(clippy::unused_async, reason = "the caller awaits what the runtime does")]
pub async fn decode(
    args: DecodeArgs,
    each: &mut (dyn FnMut(DecodedRecord<'_>) -> ControlFlow<()> + Send),
) -> Result<DecodeEnd, Failure> {
    tokio::task::block_in_place(|| super::decode::decode(&args, each))
}

/// Sends a sample through every channel of alerts and tells what each answered.
///
/// # Errors
/// There is no channel.
pub async fn alerts_test(args: AlertsArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    super::alerts_test::alerts_test(args, out).await
}

/// Copies a tap into an archive; what was recorded goes to `out`. [`Outcome::Incomplete`] if records were gone before they could be
/// recorded, or it was stopped.
///
/// # Errors
/// What kept it from reading the tap or from writing the archive.
#[expect(clippy::unused_async, reason = "the caller awaits what the runtime does")]
pub async fn record(args: RecordArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    tokio::task::block_in_place(|| super::archiving::record(&args, out))
}

/// Plays a tap into topics or a file; lines for standard output go to `out`. [`Outcome::Incomplete`] if records of the range were
/// gone, or it was stopped.
///
/// # Errors
/// What kept it from reading the tap or from writing.
#[expect(clippy::unused_async, reason = "the caller awaits what the runtime does")]
pub async fn replay(args: ReplayArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    tokio::task::block_in_place(|| super::replay::replay(&args, out))
}

/// Connects to tap and target and tells what it finds.
///
/// # Errors
/// What kept it from looking at all.
pub async fn doctor(args: DoctorArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    super::doctor::doctor(args, out).await
}

/// Tells the story of one key: its versions on the tap, what had to be applied, what the target holds, what was found.
///
/// # Errors
/// What kept it from reading the tap, and a table or key that the range does not hold.
pub async fn explain(args: ExplainArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    super::explain::explain(args, out).await
}

/// Looks again at open findings about rows; what came of each goes to `out`. [`Outcome::Findings`] if some remain.
///
/// # Errors
/// What kept it from reading the store, the tap or the target.
pub async fn revalidate(args: RevalidateArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    super::again::revalidate(args, out).await
}

/// Prints findings of the store, or does to them what a person asks for.
///
/// # Errors
/// The store cannot be used, no finding has the id, or its state does not allow what is asked.
pub async fn findings(args: FindingsArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    super::findings::findings(args, out).await
}

impl From<OutputFormat> for crate::report::Format {
    fn from(format: OutputFormat) -> crate::report::Format {
        match format {
            OutputFormat::Table => crate::report::Format::Table,
            OutputFormat::Json => crate::report::Format::Json,
            OutputFormat::Ndjson => crate::report::Format::Ndjson,
            OutputFormat::Csv => crate::report::Format::Csv,
            OutputFormat::Markdown => crate::report::Format::Markdown,
            OutputFormat::Junit => crate::report::Format::Junit,
            OutputFormat::Html => crate::report::Format::Html,
        }
    }
}
