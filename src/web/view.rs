//! What is published: the state of the process and of its pipelines, as JSON.

use serde::{Serialize, Serializer};

/// The value of `schema` in the status.
pub const STATUS_SCHEMA: &str = "afterimage.status/1";

/// Integers up to this survive every JSON reader; larger ones are published as text.
const LARGEST_EXACT: u64 = 1 << 53;

/// How one part of the process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which part: `store`, `orders: tap`, `orders: target`.
    pub name: String,
    /// How it is.
    pub state: CheckState,
    /// What is the matter, or since when all is well. Never holds values or secrets.
    pub detail: String,
}

/// How one part of the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Failing,
}

/// The checks behind the three probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The loops turn: what a restart would mend. A target that is down is not among them.
    pub live: Vec<Check>,
    /// Partitions are assigned, the target answers, findings can be kept.
    pub ready: Vec<Check>,
    /// The first assignment and the first read were made.
    pub started: Vec<Check>,
}

impl Health {
    /// The health of a process that has only begun: alive, and nothing else yet.
    #[must_use]
    pub fn starting() -> Health {
        let starting = Check { name: "start".into(), state: CheckState::Failing, detail: "still starting".into() };
        Health { live: Vec::new(), ready: vec![starting.clone()], started: vec![starting] }
    }
}

/// What a probe answers.
#[derive(Debug, Serialize)]
pub(super) struct Probe<'a> {
    pub(super) status: CheckState,
    pub(super) checks: &'a [Check],
}

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Always `afterimage.status/1`.
    pub schema: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// When the process began, RFC 3339.
    pub started_at: String,
    /// When the picture was made, RFC 3339.
    pub at: String,
    /// Pipelines.
    pub pipelines: Vec<PipelineStatus>,
    /// Channels of alerts.
    pub alerts: Vec<ChannelStatus>,
}

impl Status {
    /// The status of a process that has only begun.
    #[must_use]
    pub fn starting(started_at: String) -> Status {
        let version = env!("CARGO_PKG_VERSION");
        Status {
            schema: STATUS_SCHEMA,
            version,
            at: started_at.clone(),
            started_at,
            pipelines: Vec::new(),
            alerts: Vec::new(),
        }
    }
}

/// How a channel of alerts stands. Holds neither its address nor its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Messages that wait: one a group.
    pub queued_messages: u64,
    /// Findings that these tell of.
    pub queued_findings: u64,
    /// Messages that were taken since the start.
    pub delivered: u64,
    /// Since when no message is taken, RFC 3339; `None`: the last one was.
    pub failing_since: Option<String>,
    /// Why the last one that was not taken was not.
    pub last_error: Option<String>,
    /// When that was, RFC 3339.
    pub last_error_at: Option<String>,
}

/// How one pipeline stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// In plain words, what this setup can promise, and within which time.
    pub guarantee: String,
    /// Every loss that lasts longer is reported within so many seconds, by the lag and the signs of progress seen since the
    /// start; `None` where nothing bounds it.
    pub detects_within_s: Option<f64>,
    /// The evidence of the applied watermark, best first, as it is configured.
    pub applied: Vec<String>,
    /// What would settle what is overdue and unproven; `None` where nothing is.
    pub would_settle: Option<String>,
    /// Changes read since the start.
    pub changes: u64,
    /// Records that decode to no change, since the start.
    pub rejects: u64,
    /// Changes that were seen applied.
    pub matched: u64,
    /// Changes that were never seen themselves, whose newer version matched.
    pub superseded: u64,
    /// Changes of rows that the applier is not meant to carry (`where`).
    pub left_out: u64,
    /// Losses that healed before proof was possible.
    pub transient: u64,
    /// Changes that ended without a verdict.
    pub unverifiable: u64,
    /// Images that a verdict needed and the cache had forgotten, read again from the log.
    pub images_recalled: u64,
    /// Those that could not be read again: their findings list no columns.
    pub images_gone: u64,
    /// Keys with versions that have no verdict.
    pub keys: u64,
    /// Versions without a verdict.
    pub pending: u64,
    /// Keys that differ and wait for proof.
    pub suspects: u64,
    /// Changes that nothing proves had to be applied yet.
    pub overdue_unproven: u64,
    /// Keys that differ at present though nothing proves yet that they are wrong: some of them, by table and key.
    pub differing: Vec<String>,
    /// Open findings about rows.
    pub open_findings: u64,
    /// Seconds since the commit of the oldest change without a verdict; 0 where each has its verdict; `None` where records
    /// wait to be read, whose time is not known.
    pub verified_age_s: Option<f64>,
    /// Seconds from append to sight, the longest measured.
    pub lag_s: f64,
    /// Bytes of versions and keys in memory.
    pub memory_bytes: u64,
    /// Verified keys that the patrol looks at again.
    pub patrolled_keys: u64,
    /// Seconds since the look at the one of them that was read longest ago; 0 where there is none.
    pub oldest_look_s: f64,
    /// Columns that are not compared, by table, each with the reason: ignored, of a type not covered, or on one side alone.
    pub not_compared: Vec<String>,
    /// Why judging or reading is held, in plain words; empty: nothing is.
    pub held: Vec<String>,
    /// Reads of the target.
    pub reads: ReadStatus,
    /// Tables that the tap carried so far.
    pub tables: Vec<TableStatus>,
    /// Partitions that are ours.
    pub partitions: Vec<PartitionStatus>,
    /// Runs by the clock.
    pub schedules: Vec<ScheduleStatus>,
}

/// What is read of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReadStatus {
    /// Keys a second at most; 0 is no limit.
    pub per_second: u32,
    /// Connections at most.
    pub max_connections: u32,
    /// Keys read since the start.
    pub keys: u64,
    /// Of these, those that the patrol looked at again.
    pub patrolled: u64,
    /// Keys whose read failed.
    pub failed: u64,
    /// Reads under way.
    pub in_flight: u64,
    /// Keys that wait to be read.
    pub waiting: u64,
}

/// How one table of the tap is judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableStatus {
    /// Its name on the tap.
    pub table: String,
    /// Its name on the target; `None` where it is not judged.
    pub target: Option<String>,
    /// What its rows are: `rows`, judged one by one; `counted`, by how many are alike; `heartbeat`, signs of progress.
    pub role: Option<&'static str>,
    /// Why it is not judged.
    pub not_judged: Option<String>,
    /// Columns that are compared.
    pub compared: u64,
    /// Columns that are not, with the reason.
    pub not_compared: Vec<String>,
    /// Keys with versions that have no verdict.
    pub keys: u64,
    /// These versions.
    pub pending: u64,
    /// Keys that differ and wait for proof.
    pub suspects: u64,
    /// Open findings about its rows.
    pub open_findings: u64,
    /// Keys with the most versions without a verdict.
    pub hot_keys: Vec<HotKey>,
    /// Seconds from the commit at the source to the verdict, half of the last verdicts within; `None` where none is known.
    pub verdict_p50_s: Option<f64>,
    /// The same of 99 in 100.
    pub verdict_p99_s: Option<f64>,
}

/// A key that changes faster than it is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HotKey {
    /// Its values, as text.
    pub key: String,
    /// Its versions without a verdict.
    pub versions: u64,
}

/// What a stream of events tells at each renewal of the picture.
#[derive(Debug, Serialize)]
pub(super) struct Beat<'a> {
    /// When the picture was made, RFC 3339.
    pub(super) at: &'a str,
    /// Pipelines.
    pub(super) pipelines: Vec<Pulse<'a>>,
}

/// The few numbers of a pipeline that change all the time; meanings as in [`PipelineStatus`].
#[derive(Debug, Serialize)]
pub(super) struct Pulse<'a> {
    name: &'a str,
    verified_age_s: Option<f64>,
    lag_s: f64,
    changes: u64,
    pending: u64,
    suspects: u64,
    overdue_unproven: u64,
    open_findings: u64,
    held: &'a [String],
}

impl<'a> Beat<'a> {
    /// Of a whole picture.
    pub(super) fn of(status: &'a Status) -> Beat<'a> {
        let pulse = |one: &'a PipelineStatus| Pulse {
            name: &one.name,
            verified_age_s: one.verified_age_s,
            lag_s: one.lag_s,
            changes: one.changes,
            pending: one.pending,
            suspects: one.suspects,
            overdue_unproven: one.overdue_unproven,
            open_findings: one.open_findings,
            held: &one.held,
        };
        Beat { at: &status.at, pipelines: status.pipelines.iter().map(pulse).collect() }
    }
}

/// How far one partition is, by the process that answers and by all that share its store.
#[derive(Debug, Serialize)]
pub(super) struct Mark {
    /// Pipeline.
    pub(super) pipeline: String,
    /// Topic, stream or file.
    pub(super) topic: String,
    /// Partition.
    pub(super) partition: i32,
    /// Every change below it has its verdict.
    #[serde(serialize_with = "exact")]
    pub(super) verified: u64,
    /// Proven to be applied, where that is known.
    #[serde(serialize_with = "exact_if_known")]
    pub(super) applied: Option<u64>,
    /// When that was so, RFC 3339.
    pub(super) at: String,
    /// The partition is judged by the process that answers; what follows is known of those alone.
    pub(super) here: bool,
    /// The log's end.
    #[serde(serialize_with = "exact_if_known")]
    pub(super) end: Option<u64>,
    /// Consumed.
    #[serde(serialize_with = "exact_if_known")]
    pub(super) consumed: Option<u64>,
    /// Committed by the applier.
    #[serde(serialize_with = "exact_if_known")]
    pub(super) committed: Option<u64>,
    /// Applied, and past the margin in which it might be applied again.
    #[serde(serialize_with = "exact_if_known")]
    pub(super) settled: Option<u64>,
}

/// How a run by the clock stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleStatus {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub run: &'static str,
    /// Since when a run of it goes on here, RFC 3339.
    pub running_since: Option<String>,
    /// When the next one is due, RFC 3339; `None`: never.
    pub next: Option<String>,
    /// How the last one ended, here or elsewhere: `clean`, `findings`, `incomplete`, `failed`.
    pub last_outcome: Option<String>,
    /// The same in a sentence.
    pub last_detail: Option<String>,
    /// When that was, RFC 3339.
    pub last_ended: Option<String>,
}

/// How one partition stands. Positions are those of the next record: everything below was consumed, applied and so on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Topic, stream or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The log's end, where it is known.
    #[serde(serialize_with = "exact_if_known")]
    pub end: Option<u64>,
    /// Consumed by us.
    #[serde(serialize_with = "exact")]
    pub consumed: u64,
    /// Committed by the applier, where that is known.
    #[serde(serialize_with = "exact_if_known")]
    pub committed: Option<u64>,
    /// Proven to be applied. A source position where the order scope is wider than a partition.
    #[serde(serialize_with = "exact")]
    pub applied: u64,
    /// Applied, and past the margin in which it might be applied again.
    #[serde(serialize_with = "exact")]
    pub settled: u64,
    /// Every change below it has its verdict.
    #[serde(serialize_with = "exact")]
    pub verified: u64,
    /// Versions without a verdict.
    pub pending: u64,
    /// Versions that nothing proves had to be applied yet.
    pub overdue_unproven: u64,
    /// Verdicts are held since a backward step.
    pub frozen: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn exact<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
    if *number <= LARGEST_EXACT { to.serialize_u64(*number) } else { to.collect_str(number) }
}

#[expect(clippy::ref_option, reason = "serde asks for a reference")]
fn exact_if_known<S: Serializer>(number: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => exact(number, to),
        None => to.serialize_none(),
    }
}
