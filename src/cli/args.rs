//! The command line, as it may be written. What a value means is understood in [`super::commands`], so that every mistake
//! can be told at once.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::runtime::entry::{AsOf, OutputFormat};
use crate::telemetry::LogFormat;

const AFTER_HELP: &str = "\
Exit codes:
  0    verified clean
  1    findings at or above --fail-on
  2    usage, configuration or I/O error, or the range could not be fully verified
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)

Any key of the configuration can be set in the environment: AFTERIMAGE__PIPELINES__ORDERS__SETTLE=90s.
Data goes to standard output, everything else to standard error.";

/// The terminal width beyond which help is not stretched.
const HELP_WIDTH: usize = 100;

/// Watches a change stream beside any batch applier and says, with the offset in hand, which change was lost.
#[derive(Debug, Parser)]
#[command(name = "afterimage", version, max_term_width = HELP_WIDTH, after_help = AFTER_HELP)]
pub struct Cli {
    /// How the log on standard error is written: text, json, or auto (text on a terminal, else json)
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Auto, value_name = "FORMAT", help_heading = "Log", hide_possible_values = true)]
    pub log_format: LogFormat,
    /// Say more; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Log")]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole thing in one process: a source, an applier that loses changes, and what is found
    Demo(Demo),
    /// Run beside an applier and report every change that is lost
    Run(Run),
    /// Replay a range of the tap, judge it, and exit
    Audit(Box<Audit>),
    /// Print what is understood of each record of a tap
    Decode(Decode),
    /// Copy a tap into an archive, which is a tap itself; the same command goes on where the archive ends
    Record(Box<Record>),
    /// Play an archive, or any other tap, into Kafka or a file, in the time that it took
    Replay(Box<Replay>),
    /// Tell the story of one key: its versions, what had to be applied, what the target holds
    Explain(Box<Explain>),
    /// Look at findings, and say what you make of them
    #[command(subcommand)]
    Findings(Findings),
    /// Look again at open findings about rows, and close what has healed
    Revalidate(Revalidate),
    /// Try the channels of alerts
    #[command(subcommand)]
    Alerts(Alerts),
    /// Look at the configuration
    #[command(subcommand)]
    Config(Config),
    /// Connect to tap and target and tell what will be compared, and what proves progress
    Doctor(Doctor),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct Source {
    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The change stream: kafka://HOST:PORT/TOPIC[,TOPIC]?group=G, file:PATH, file:- for standard input, or
    /// archive:FOLDER
    #[arg(long, value_name = "URL")]
    pub tap: Option<String>,
    /// The database the applier writes: postgres://…, mysql://…, sqlite:PATH
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Evidence of the applier's progress, best first; may be repeated: kafka-group:NAME, query:SQL,
    /// dms-status:SCHEMA, heartbeat:SCHEMA.TABLE.COLUMN, inferred, assumed
    #[arg(long, value_name = "HOW")]
    pub applied: Vec<String>,
    /// Registry of the records' schemas, as decode.registry in a configuration
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Only this pipeline; without a file, the name it is given
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Seed of everything that is random; the same seed plants the same losses
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How to print the report
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ShortFormat>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub source: Source,
}

/// `audit`.
#[derive(Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub source: Source,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub range: Range,
    /// Only this table of the tap; may be repeated
    #[arg(long, value_name = "TABLE", help_heading = "Filter")]
    pub table: Vec<String>,
    /// Only this key: COLUMN=VALUE[,COLUMN=VALUE], or the value alone; may be repeated
    #[arg(long, value_name = "KEY", help_heading = "Filter")]
    pub key: Vec<String>,
    /// Only this operation: insert, read, update, delete, truncate; may be repeated
    #[arg(long, value_name = "OP", help_heading = "Filter")]
    pub op: Vec<String>,
    /// Only keys of which a change of the range has a row (a delete: had one) that meets this SQL condition on the tap's
    /// columns, such as updated_at >= '2026-11-22'
    #[arg(long = "where", value_name = "SQL", help_heading = "Filter")]
    pub row_filter: Option<String>,
    /// Of a source that was rewound: only this one of the logs that the range holds, from 1; the newest can be judged
    #[arg(long, value_name = "N", help_heading = "Filter")]
    pub incarnation: Option<String>,
    /// What keys are judged by: their newest versions now, or what the end of the range demanded, where keys that changed
    /// since cannot be told
    #[arg(long, value_enum, value_name = "WHEN", default_value = "now")]
    pub as_of: AsOf,
    /// Begin anew, where the same command was ended before all was judged
    #[arg(long)]
    pub fresh: bool,
    /// End early once there are more findings than this, and print no more
    #[arg(long, value_name = "N")]
    pub max_findings: Option<u64>,
    /// End early after this long, with what is known by then
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<String>,
    /// On a live tap: what is not proven by then is unverifiable
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub max_wait: String,
    /// Least severity that makes the exit code 1: info, warning, critical
    #[arg(long, value_name = "SEVERITY", default_value = "info")]
    pub fail_on: String,
    /// How to print [default: table on a terminal, else ndjson]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
    /// Also write a report to this file, in the format its name ends with: .html, .json, .ndjson, .csv, .md, .xml, .txt
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub source: Source,
    /// Table as the tap names it
    #[arg(long, value_name = "TABLE")]
    pub table: String,
    /// COLUMN=VALUE[,COLUMN=VALUE], or the value alone of a key of one column
    #[arg(long, value_name = "KEY")]
    pub key: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub range: Range,
    /// How to print [default: table on a terminal, else json]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ShortFormat>,
}

/// A range of a tap.
#[derive(Debug, Clone, Default, Args)]
pub struct Range {
    /// First position: beginning, end, stored, N, -N, s@MILLIS, a time, `last 2h`; P:POSITION pins partition P and may
    /// be repeated
    #[arg(long, value_name = "POS", default_value = "beginning", allow_hyphen_values = true, help_heading = "Range")]
    pub from: Vec<String>,
    /// Position before which the range ends, in the same forms
    #[arg(long, value_name = "POS", default_value = "end", allow_hyphen_values = true, help_heading = "Range")]
    pub to: Vec<String>,
}

/// `decode`.
#[derive(Debug, Args)]
pub struct Decode {
    /// The change stream: kafka://HOST:PORT/TOPIC[,TOPIC], file:PATH, file:- for standard input, or
    /// archive:FOLDER
    #[arg(long, value_name = "URL")]
    pub tap: Option<String>,
    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Registry of the records' schemas, as decode.registry in a configuration
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Only this pipeline
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub range: Range,
    /// At most so many records
    #[arg(short = 'n', long, value_name = "N")]
    pub records: Option<u64>,
    /// How to print [default: table on a terminal, else ndjson]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<DecodeFormat>,
}

/// `record`.
#[derive(Debug, Args)]
pub struct Record {
    /// The change stream: kafka://HOST:PORT/TOPIC[,TOPIC], file:PATH, file:- for standard input, or
    /// archive:FOLDER
    #[arg(long, value_name = "URL")]
    pub tap: Option<String>,
    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only this pipeline
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Where to: archive:FOLDER
    #[arg(long, value_name = "URL")]
    pub archive: String,
    /// First position of partitions that the archive does not hold yet, as for audit
    #[arg(long, value_name = "POS", default_value = "beginning", allow_hyphen_values = true, help_heading = "Range")]
    pub from: Vec<String>,
    /// Position before which to end [default: a file's end; on Kafka, go on until a signal]
    #[arg(long, value_name = "POS", allow_hyphen_values = true, help_heading = "Range")]
    pub to: Vec<String>,
    /// Close a segment once it holds so many bytes, unpacked
    #[arg(long, value_name = "SIZE", default_value = "32MiB", help_heading = "Segments")]
    pub segment_bytes: String,
    /// Close a segment once its first record has waited so long; a killed process loses no more than the open one, and the next
    /// run records that again
    #[arg(long, value_name = "DURATION", default_value = "1m", help_heading = "Segments")]
    pub segment_time: String,
    /// Remove segments whose newest record is older than this
    #[arg(long, value_name = "DURATION", help_heading = "Segments")]
    pub keep_for: Option<String>,
    /// Remove the oldest segments while all of them have more bytes than this
    #[arg(long, value_name = "SIZE", help_heading = "Segments")]
    pub keep_bytes: Option<String>,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// What to play: archive:FOLDER, or any other tap
    #[arg(long, value_name = "URL")]
    pub tap: Option<String>,
    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Registry of the records' schemas, as decode.registry in a configuration; only --table and --key need it
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Only this pipeline
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Where to: kafka://HOST:PORT (the topics' own names), kafka://HOST:PORT/TOPIC, file:PATH, or file:- for standard output
    #[arg(long, value_name = "URL")]
    pub into: String,
    /// Times as fast as it was recorded, or max
    #[arg(long, value_name = "N|max", default_value = "1")]
    pub speed: String,
    /// Only this table of the tap; may be repeated
    #[arg(long, value_name = "TABLE", help_heading = "Filter")]
    pub table: Vec<String>,
    /// Only this key: COLUMN=VALUE[,COLUMN=VALUE], or the value alone; may be repeated
    #[arg(long, value_name = "KEY", help_heading = "Filter")]
    pub key: Vec<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub range: Range,
}

/// How `decode` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecodeFormat {
    /// One JSON object a record
    Ndjson,
    /// One line a record, for people
    Table,
    /// One JSON object for all: how many, of which tables, how fast
    Summary,
}

/// A table for people or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShortFormat {
    /// A table for people
    Table,
    /// One JSON object
    Json,
}

impl ShortFormat {
    /// As one of all formats.
    #[must_use]
    pub fn widen(self) -> OutputFormat {
        match self {
            ShortFormat::Table => OutputFormat::Table,
            ShortFormat::Json => OutputFormat::Json,
        }
    }
}

/// `findings`.
#[derive(Debug, Subcommand)]
pub enum Findings {
    /// List findings, newest first
    List(FindingsList),
    /// Show one finding in full, with what to do now
    Show {
        /// Its id, or the beginning of it
        id: String,
        /// Configuration file (TOML), for the store
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How to print [default: table on a terminal, else json]
        #[arg(short, long, value_enum, value_name = "FORMAT")]
        output: Option<OutputFormat>,
    },
    /// Acknowledge findings: they stay open, and nobody is reminded of them
    Ack(FindingsAct),
    /// Set findings aside, or make a rule that does
    Ignore(Box<FindingsIgnore>),
    /// Let findings that were acknowledged or set aside count again
    Reopen(FindingsAct),
    /// Remark something, with --note
    Note(FindingsAct),
    /// Judge anew what AWS DMS validation has logged, and keep what is true of it as findings
    Import(Box<FindingsImport>),
    /// Write open findings about rows in the shape of AWS DMS's table of failures
    Export(FindingsExport),
}

/// `findings import`.
#[derive(Debug, Args)]
pub struct FindingsImport {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub source: Source,
    /// The database with awsdms_validation_failures_v1 or _v2: postgres://…, mysql://…, sqlite:PATH, or `target`; ${VAR} is expanded
    #[arg(long, value_name = "URL")]
    pub dms_failures: String,
    /// The schema (MySQL: database) of these tables [default: the only one that has them]
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
    /// Only what failed then or later: a time (2026-11-22T10:00:00Z), or so long ago (2h)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Where the tap is read from: what came before says nothing of a row then
    #[arg(long, value_name = "POS", default_value = "beginning", allow_hyphen_values = true)]
    pub from: Vec<String>,
    /// On a live tap: what is not proven by then is unclear
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub max_wait: String,
    /// How to print [default: table on a terminal, else json]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ShortFormat>,
}

/// `findings export`.
#[derive(Debug, Args)]
pub struct FindingsExport {
    /// Where to: a database (postgres://…, mysql://…, sqlite:PATH, ${VAR} is expanded), or a file that ends in .csv or .sql
    #[arg(long, value_name = "URL|FILE")]
    pub dms_failures: String,
    /// The table that is made and written: TABLE or SCHEMA.TABLE
    #[arg(long, value_name = "TABLE", default_value = crate::runtime::entry::EXPORT_TABLE)]
    pub table: String,
    /// Only of this pipeline
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Configuration file (TOML), for the store
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Who does something to findings, and what they say of it.
#[derive(Debug, Args)]
pub struct Saying {
    /// Who does it [default: $USER]
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// What is to be remembered of it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Configuration file (TOML), for the store and for the channels of alerts
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to print [default: table on a terminal, else ndjson]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

/// `findings ack`, `reopen` and `note`.
#[derive(Debug, Args)]
pub struct FindingsAct {
    /// Ids of findings, or their beginnings
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub saying: Saying,
}

/// `findings ignore`.
#[derive(Debug, Args)]
pub struct FindingsIgnore {
    /// Ids of findings, or their beginnings; without any, a rule is made for what opens from now on and is open now
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Until then, and open again after: a time (2026-11-22T10:00:00Z), or so long from now (7d) [default: for good]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The rule's pipeline; with --list, only of this one
    #[arg(long, value_name = "NAME", conflicts_with = "ids", help_heading = "Rule")]
    pub pipeline: Option<String>,
    /// The rule covers this table of the tap
    #[arg(long, value_name = "TABLE", conflicts_with = "ids", help_heading = "Rule")]
    pub table: Option<String>,
    /// The rule covers this key: COLUMN=VALUE[,COLUMN=VALUE], or the value alone
    #[arg(long, value_name = "KEY", conflicts_with = "ids", help_heading = "Rule")]
    pub key: Option<String>,
    /// The rule covers findings in which only this column differs
    #[arg(long, value_name = "COLUMN", conflicts_with = "ids", help_heading = "Rule")]
    pub column: Option<String>,
    /// The rule covers this kind, such as unapplied_delete
    #[arg(long, value_name = "KIND", conflicts_with = "ids", help_heading = "Rule")]
    pub kind: Option<String>,
    /// List the rules in force
    #[arg(long, conflicts_with_all = ["ids", "until", "table", "key", "column", "kind"], help_heading = "Rule")]
    pub list: bool,
    /// Remove a rule; what it had set aside opens again
    #[arg(long, value_name = "RULE", conflicts_with_all = ["ids", "until", "pipeline", "table", "key", "column", "kind", "list"], help_heading = "Rule")]
    pub remove: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub saying: Saying,
}

/// `findings list`.
#[derive(Debug, Args)]
pub struct FindingsList {
    /// Configuration file (TOML), for the store
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only of this pipeline
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Only of this table of the tap; may be repeated
    #[arg(long, value_name = "TABLE")]
    pub table: Vec<String>,
    /// Only of this kind, such as unapplied_delete; may be repeated
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
    /// Only in this state: suspected, open, acknowledged, ignored, healed, retracted; may be repeated
    #[arg(long, value_name = "STATE")]
    pub state: Vec<String>,
    /// Only as bad as this or worse: info, warning, critical
    #[arg(long, value_name = "SEVERITY", default_value = "info")]
    pub severity: String,
    /// List the ranges of the tap that ended without a verdict instead
    #[arg(long, conflicts_with_all = ["table", "kind", "state", "severity"])]
    pub unverified: bool,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000)]
    pub limit: u64,
    /// How to print [default: table on a terminal, else ndjson]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

/// `revalidate`.
#[derive(Debug, Args)]
pub struct Revalidate {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub source: Source,
    /// Only findings seen wrong then or later: a time (2026-11-22T10:00:00Z), or so long ago (2h)
    #[arg(long, value_name = "TIME", conflicts_with = "id")]
    pub since: Option<String>,
    /// Only this finding, by its id or the beginning of it; may be repeated
    #[arg(long, value_name = "ID")]
    pub id: Vec<String>,
    /// How to print [default: table on a terminal, else json]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ShortFormat>,
}

/// `alerts`.
#[derive(Debug, Subcommand)]
pub enum Alerts {
    /// Send a sample through every configured channel and tell what each answered; exits with 2 unless all took it
    Test {
        /// Configuration file (TOML)
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How to print [default: table on a terminal, else json]
        #[arg(short, long, value_enum, value_name = "FORMAT")]
        output: Option<ShortFormat>,
    },
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check the configuration and tell every mistake in it
    Check(Run),
    /// Print the effective configuration, secrets redacted
    Show {
        #[command(flatten)]
        #[expect(missing_docs, reason = "the flattened struct says it")]
        source: Source,
        /// Tell where each value came from
        #[arg(long)]
        origin: bool,
        /// How to print
        #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "toml")]
        output: ConfigFormat,
    },
    /// Print the JSON schema of the configuration file
    Schema,
}

/// How the configuration is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// As a configuration file
    Toml,
    /// As JSON
    Json,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened struct says it")]
    pub source: Source,
    /// How to print
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ShortFormat>,
}
