//! Every bound of the engine, with what happens at it, and the settings that users may change.

use std::time::Duration;

/// Keys in one lookup: between 200 and 500 a larger batch no longer pays on any of the engines read.
pub const KEYS_PER_LOOKUP: usize = 400;

/// Lookups that are read at once; a further one waits in the schedule.
pub const LOOKUPS_IN_FLIGHT: usize = 4;

/// Proven steps of the watermark kept while they wait for the margin; past it the middle one is dropped, which delays
/// settling and changes no verdict.
pub const HORIZON_STEPS: usize = 256;

/// Versions of one heartbeat key that are not on the target yet; past it they are thinned, which delays progress.
pub const HEARTBEAT_VERSIONS: usize = 4096;

/// Versions of a heartbeat key kept behind the one on the target, so that a step back is recognised.
pub const HEARTBEATS_BEHIND: usize = 64;

/// Distinct rows that must agree before an inferred watermark moves: one could be a coincidence, two a second writer's
/// transaction.
pub const QUORUM: usize = 3;

/// Suspects that are looked through after every answer; with more of them, only at every poll.
pub const SUSPECTS_AT_ONCE: usize = 1000;

/// Images of one key that are asked of the log in one question, the most needed first; what the others would tell is not told.
pub const RECALLED_VERSIONS: usize = 16;

/// Questions for images of one key until it has a verdict: one is usual, and a key that goes on changing wants those of its
/// newer versions too.
pub const RECALL_ROUNDS: u8 = 8;

/// Questions for images without an answer, of all keys; past it a finding lists no columns: 4 MiB.
pub const RECALLS_AT_ONCE: usize = 16_384;

/// How long what is proven may be held until its images are read again: many times what a seek takes, and enough for a scan of
/// some gigabytes.
pub const RECALL_AT_MOST: Duration = Duration::from_secs(60);

/// Reads that must agree before anything rests on the margin R.
pub const EARLY_READS: u32 = 3;

/// Reads that must agree where the margin, a committed position or the user's word stands behind them.
pub const SURE_READS: u32 = 2;

/// Keys that are remembered to have changed behind a truncate while the rows of its table are looked at, 16 MiB a table; past it
/// those that are left end without a verdict.
pub const CHANGED_BEHIND: usize = 1 << 19;

/// Tables that are looked at as a whole at once; of a further one that is truncated, only keys that are tracked are judged.
pub const SCANS_AT_ONCE: usize = 16;

/// Rows of one table that a truncate left, each a finding, after which the others end without a verdict: a truncate that was not
/// applied leaves all of them.
pub const TRUNCATED_ROWS: u64 = 1_000;

/// Truncates of one partition that wait for the others; past it a newer one stands for the last, which holds commits longer.
pub const TRUNCATES_HELD: usize = 16;

/// Judgements remembered for each (table, op) by the group gate, of each worker and of all.
pub const GATE_JUDGEMENTS: usize = 64;

/// Kinds of statements whose judgements the group gate remembers: at most 16 MiB. At the bound the half that was judged longest
/// ago is forgotten: what is judged of them then counts anew, so their rows are told later, or grouped later.
pub const GATE_STATEMENTS: usize = 16_384;

/// Records named by the applier's dead-letter topic that are remembered; past it the one that was named first goes, and the
/// cause of its loss is told by the key's history alone.
pub const LETTERS_KEPT: usize = 16_384;

/// Keys named in one finding about a table.
pub const SAMPLE_KEYS: usize = 10;

/// Words of a summary of coalesced versions: 4096 bits keep false "maybe" answers under 1 in 30 for 500 versions.
pub const HOLE_WORDS: usize = 64;

/// Arrivals that one summary is of: no more than its words are for.
pub const HOLE_STRETCH: u32 = 512;

/// Summaries of one key, 4 KiB in all; past it the two oldest become one, which makes older content doubtful more often.
pub const HOLE_STRETCHES: usize = 8;

/// Rows sampled per scope and poll to look for progress.
pub const SAMPLES_PER_POLL: usize = 6;

/// Rows are sampled so many times in the largest lag measured of late, at most at every poll.
pub const SAMPLES_PER_LAG: u32 = 60;

/// Changes behind an end that is waited for, of which those are sampled that may show progress and were not read lately.
pub const SAMPLED_BEHIND_END: usize = 64;

/// Verified keys that the patrol covers, at 200 bytes and what a long key takes; past it one of them makes room.
pub const PATROL_KEYS: usize = 65_536;

/// A key is looked at again once in so long at most, and the reads earned in it are made at once: a slow patrol asks few
/// questions.
pub const PATROL_STRETCH: Duration = Duration::from_secs(10);

/// How long a pause on full memory may leave a returned read waiting for its tap end before middle versions are
/// coalesced and consumption goes on.
pub const PAUSE_AT_MOST: Duration = Duration::from_secs(5);

/// Versions that are taken though memory is full, before consumption pauses again: 64 KiB.
pub const VERSIONS_WHILE_FULL: usize = 1024;

/// Versions that wait while what is assumed applied is still being read; with more, what was read is judged as it comes. Their
/// images fit the usual cache.
pub const ASSUMED_AHEAD: usize = 65_536;

/// Bytes counted for a version and for a key besides its own bytes, for the memory bound.
pub const VERSION_BYTES: usize = 64;

/// Reads of rows that wait until the applier's lead is over, besides those under way: with 400 keys in each and a lead of
/// 2 s, 12,000 keys a second are still looked at.
pub const LOOKUPS_WAITING: usize = 60;

/// Commits of the applier from which their usual interval is known.
pub const CHECKPOINTS_KNOWN: u64 = 8;

/// So many of a hundred intervals between commits are usual; the others are outages.
pub const USUAL_PERCENT: u64 = 90;

/// A restarted applier applies again what it wrote since its last commit: one interval, and one more for a commit that failed.
pub const CHECKPOINTS_AGAIN: u32 = 2;

/// A margin that grows no further: what lies longer between commits than half of it is an outage.
pub const SETTLE_AT_MOST: Duration = Duration::from_secs(600);

/// A tap that is later than this is not measured as its usual delay: it is late, and judging waits.
pub const TAP_DELAY_AT_MOST: Duration = Duration::from_secs(60);

/// Columns that may be coerced; past it those that were met first make room.
pub const COERCED_COLUMNS: usize = 256;

/// Coercions of one column that are counted; more are left out.
pub const COERCIONS_AT_ONCE: usize = 16;

/// Keys that showed a coercion lately, so that one that is read again is counted once.
pub const COERCED_KEYS: usize = 64;

/// How long no row of a table is convicted while it is about to be compared otherwise.
pub const COERCION_HOLDS: Duration = Duration::from_secs(30);

/// Right rows after which a column is coerced no more.
pub const RIGHTS_THAT_END: u32 = 200;

/// A length of time that the user states, or that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Margin {
    /// So long.
    Stated(Duration),
    /// By what is seen.
    Measured {
        /// Never shorter.
        least: Duration,
        /// Until something was seen.
        unknown: Duration,
    },
}

impl Margin {
    /// So long where nothing was seen yet.
    #[must_use]
    pub fn at_first(self) -> Duration {
        match self {
            Margin::Stated(length) => length,
            Margin::Measured { unknown, .. } => unknown,
        }
    }
}

/// Scope in which the applier keeps order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Order {
    /// A partition of the tap.
    #[default]
    Partition,
    /// A single key: nothing else is ordered.
    Key,
    /// A table, by source position.
    Table,
    /// The whole pipeline, by source position.
    Pipeline,
}

impl Order {
    /// Whether it reaches over partitions.
    #[must_use]
    pub fn is_wide(self) -> bool {
        match self {
            Order::Partition | Order::Key => false,
            Order::Table | Order::Pipeline => true,
        }
    }
}

/// Whether a batch becomes visible at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Applier {
    /// Its statements become visible one after another.
    #[default]
    Batch,
    /// All at once.
    Transactional,
}

/// What a committed offset proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Commits {
    /// Everything below was written: it may convict.
    AfterWrite,
    /// Perhaps written: it only lets us forget.
    #[default]
    Unknown,
}

/// The evidence that may move the applied watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Evidence {
    /// Committed positions arrive by [`super::event::Input::Committed`].
    pub committed: bool,
    /// Rows of heartbeat tables.
    pub heartbeat: bool,
    /// Ordinary rows, three at least.
    pub inferred: bool,
    /// The user's word about the tap's end at the start.
    pub assumed: bool,
}

/// Settings of one pipeline's judge, in checked form.
#[derive(Debug, Clone)]
pub struct Options {
    /// What may move the applied watermark.
    pub evidence: Evidence,
    /// What a committed offset proves.
    pub commits: Commits,
    /// Name of the evidence, for sentences: `kafka-group`, `heartbeat`, `inferred`, `query`, `assumed`.
    pub evidence_name: String,
    /// Order scope.
    pub order: Order,
    /// Visibility of batches.
    pub applier: Applier,
    /// How far the applier may be ahead of the tap. Measured, it is half as long again as the largest time of late from the
    /// source's commit to the append.
    pub lead: Margin,
    /// Re-application margin R. Measured, it is twice the usual interval between commits of the applier.
    pub settle: Margin,
    /// Margin after a commit or a change of the group.
    pub zombie_after: Duration,
    /// How often evidence and suspects are read.
    pub poll: Duration,
    /// Reads that must agree; `None`: 3 early, 2 settled, committed or assumed.
    pub confirmations: Option<u32>,
    /// Least time between them.
    pub confirm_after: Duration,
    /// No progress for so long opens a `stalled` finding; `None`: 60 s, five times the lag that 99 of 100 do not exceed, or
    /// three usual intervals between commits, whichever is longest.
    pub stall_after: Option<Duration>,
    /// At most one scheduled read of a key in this time.
    pub reread: Duration,
    /// Versions of one key; past it middle ones are coalesced.
    pub versions_per_key: usize,
    /// Bytes of versions in memory; past it consumption pauses.
    pub memory: usize,
    /// Reads of verified keys a second, where nothing else is to be read; 0 for none.
    pub patrol_reads_per_second: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            evidence: Evidence { inferred: true, ..Evidence::default() },
            commits: Commits::Unknown,
            evidence_name: "inferred".to_owned(),
            order: Order::Partition,
            applier: Applier::Batch,
            lead: Margin::Stated(Duration::ZERO),
            settle: Margin::Stated(Duration::from_secs(60)),
            zombie_after: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            confirmations: None,
            confirm_after: Duration::from_secs(1),
            stall_after: None,
            reread: Duration::from_secs(5),
            versions_per_key: 512,
            memory: 1 << 30,
            patrol_reads_per_second: 0,
        }
    }
}
