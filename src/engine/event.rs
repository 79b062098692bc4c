//! The engine's entire contact with the world: what goes in, what comes out, and the one thing it may ask at once.

use std::sync::Arc;
use std::time::Duration;

use crate::canon::{Compared, Mask, ObservedHashes, Weighed};
use crate::model::change::{KeyChange, SourcePlace};
use crate::model::finding::Finding;
use crate::model::{Coercion, Key, Op, PartitionId, Position, Row, SourceTime, TableId, Tick, Waymark};

/// Which plan of a table: 0 is the first, and each that is made anew is one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PlanEpoch(pub u32);

/// One change of one key in canonical form.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// The key. Empty key cells mark a truncate of the key's table.
    pub key: Key,
    /// Its place on the tap.
    pub at: Position,
    /// Its place in the order scope: the offset where the scope is a partition, else the source's own position.
    pub order: u64,
    /// Where it stands in the log of its connector's source, where a connector is named.
    pub waymark: Option<Waymark>,
    /// What it does.
    pub op: Op,
    /// Fingerprint of the row after it, over `mask`; 0 for a delete. Of a table whose rows are counted: by how many it changes
    /// the count of the rows that hold the key's values, as the pattern of a signed number.
    pub fingerprint: u128,
    /// The columns it says something about.
    pub mask: Mask,
    /// Fingerprint of the row before it, over `mask`, where the before image can be trusted.
    pub before: Option<u128>,
    /// When the source committed it.
    pub committed_at: Option<SourceTime>,
    /// When it was appended to the tap, in milliseconds since the epoch.
    pub appended_at: Option<i64>,
    /// One half of a key change.
    pub key_change: KeyChange,
    /// Whether the applier is meant to carry it.
    pub carried: Carried,
    /// What its table is for.
    pub role: Role,
    /// The plan of its table that made its fingerprints.
    pub plan: PlanEpoch,
}

/// Whether the applier is meant to carry a change, by the row that it leaves (of a delete: the one that it removes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Carried {
    /// It carries all rows of the table.
    #[default]
    Always,
    /// It carries some rows of the table, and this is one of them.
    Within,
    /// This is none of them any more, or may never have been: the applier drops the change, or takes the row away for it.
    Leaves,
    /// This is none of them, and was none before.
    Outside,
    /// The change does not tell.
    Untold,
}

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Role {
    /// Rows that are judged.
    #[default]
    Rows,
    /// Rows that no key tells apart: the number of equal ones is judged.
    Counted,
    /// Heartbeats: read at every poll, trusted alone as witnesses, never judged.
    Heartbeat,
}

/// Everything the engine is told.
#[derive(Debug)]
pub enum Input {
    /// A change was read from the tap.
    Change(Tracked),
    /// A record was read and not understood.
    Reject {
        /// Its place.
        at: Position,
        /// Why.
        reason: String,
        /// Its table, when known.
        table: Option<Arc<str>>,
    },
    /// Consumption of a partition reached `next`.
    Reached {
        /// Partition.
        partition: PartitionId,
        /// Next offset to be consumed.
        next: u64,
    },
    /// A partition is ours from `next` on; what was known of it is forgotten.
    Assigned {
        /// Partition.
        partition: PartitionId,
        /// First offset that will be consumed.
        next: u64,
    },
    /// A partition is no longer ours.
    Revoked {
        /// Partition.
        partition: PartitionId,
    },
    /// Records are gone from the log and were never read.
    Gap {
        /// Partition.
        partition: PartitionId,
        /// First missing offset.
        from: u64,
        /// First offset that exists again.
        to: u64,
    },
    /// The log ends before what was to be read next: it was made anew or cut off. What follows has a partition of its own.
    Replaced {
        /// Partition of what follows.
        partition: PartitionId,
        /// Offset that was to be read next.
        expected: u64,
        /// Next offset the log gives out.
        end: u64,
    },
    /// Rows of a full load come on the tap: the applier loads the table beside the stream of its changes.
    Loading {
        /// Partition the rows came in.
        partition: PartitionId,
        /// Table.
        table: TableId,
    },
    /// A lookup came back.
    Looked(Looked),
    /// The ends of the tap's partitions, asked of the log at `asked`.
    Ends {
        /// When the question was sent.
        asked: Tick,
        /// Next offset the log will give out, by partition.
        ends: Vec<(PartitionId, u64)>,
    },
    /// The partitions whose readable end an open transaction holds back, asked at `asked`: last stable offset and end of the
    /// log. No other is.
    HeldUp {
        /// When the question was sent.
        asked: Tick,
        /// Partition, last stable offset, end of the log.
        held: Vec<(PartitionId, u64, u64)>,
    },
    /// What an earlier process said of a column that the applier changes; it ends once the column's rows are right, or at once
    /// where the column is not compared as it was then.
    OpenColumn {
        /// Table.
        table: TableId,
        /// Index of the column; `None` where it is not compared as it was.
        index: Option<usize>,
        /// As it was stated last.
        finding: Box<Finding>,
    },
    /// The applier set the record of this position aside, says its dead-letter topic: it names the cause of a loss, and is no
    /// evidence of one.
    DeadLetter {
        /// Of the record on the tap.
        at: Position,
        /// What went wrong there. Holds no values of rows.
        why: Arc<str>,
    },
    /// The applier's committed positions, asked at `asked`.
    Committed {
        /// When the question was sent.
        asked: Tick,
        /// Next offset the applier will apply, by partition.
        next: Vec<(PartitionId, u64)>,
        /// Changes whenever the group's members or assignments do; `None` where that cannot be asked.
        generation: Option<u64>,
    },
    /// Everything committed at the source before `time` was applied, says the user's query.
    AppliedTime {
        /// When the question was sent.
        asked: Tick,
        /// Source commit time.
        time: SourceTime,
    },
    /// An open finding known from the store: its key is read again now and then, and may heal.
    OpenFinding {
        /// The version it expected, as it was tracked then.
        expected: Box<Tracked>,
        /// What was found.
        finding: Box<Finding>,
        /// What stood there when it was last stated; `None` where that was not kept.
        observed: Option<Seen>,
    },
    /// What the node that is read says of itself.
    Node(Node),
    /// The table's plan was made anew, or there is none any more: fingerprints of an earlier one compare with nothing. Changes
    /// may be told under an earlier plan still, and under a later one already.
    Replanned {
        /// Table.
        table: TableId,
        /// The plan from now on.
        plan: PlanEpoch,
    },
    /// Images that were asked for are there again, or gone for good.
    Recalled {
        /// Which question.
        id: RecallId,
        /// How many of them are there.
        found: u64,
    },
    /// A page of a table's keys came, or why it did not.
    Scanned {
        /// Which page.
        id: ScanId,
        /// The page.
        page: Result<Page, LookFailure>,
    },
    /// Time went by.
    Tick,
}

/// Which node of the target answers reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Node {
    /// The one that is written.
    #[default]
    Primary,
    /// One that follows it: what was committed to the tap may be missing there for a while, so commits do not convict.
    Replica,
}

/// Identifies one lookup in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// Keys to read on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Names the answer.
    pub id: LookupId,
    /// Table of every key.
    pub table: TableId,
    /// Keys, without duplicates.
    pub keys: Vec<Key>,
    /// The partitions whose tap ends must be asked *after* the read returned and `lead` more went by.
    pub partitions: Vec<PartitionId>,
    /// How far the applier may be ahead of the tap.
    pub lead: Duration,
    /// Some key of it was read wrong before. A row that is read by columns which are no longer so looks wrong too, so the answer
    /// must be known to have been read by the columns as they are.
    pub convicts: bool,
}

/// Identifies one question for images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecallId(pub u64);

/// Changes of one key whose images the cache has forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recall {
    /// Names the answer.
    pub id: RecallId,
    /// The key.
    pub key: Key,
    /// Where they stand on the tap, each once.
    pub at: Vec<Position>,
}

/// Identifies one page of a table's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScanId(pub u64);

/// A page of the keys of a table's rows, in the order of the target's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Names the answer.
    pub id: ScanId,
    /// Table.
    pub table: TableId,
    /// The last key of the page before; `None`: from the first on.
    pub after: Option<Key>,
    /// Keys at most.
    pub most: usize,
}

/// Keys of rows that stand on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<Key>,
    /// How it ended.
    pub end: PageEnd,
}

/// How a page of keys ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageEnd {
    /// With this key; more may follow.
    At(Key),
    /// With the table's last row.
    Last,
    /// Where nothing tells where the next page begins: its key has no canonical form, or no order.
    Unread,
}

/// What came back.
#[derive(Debug)]
pub struct Looked {
    /// Which lookup.
    pub id: LookupId,
    /// When the read returned.
    pub ended: Tick,
    /// For each asked key, in order, what stood there; or why nothing was learned.
    pub rows: Result<Vec<Seen>, LookFailure>,
    /// The tap's ends, asked after the read returned.
    pub ends: Vec<(PartitionId, u64)>,
}

/// Why a lookup taught nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LookFailure {
    /// The target or the tap's end could not be reached.
    Unreachable,
    /// The table changed under us; its plan is being made anew.
    Replanned,
}

/// What stood at a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// No row.
    Absent,
    /// One row.
    Row {
        /// Its canonical column hashes.
        hashes: ObservedHashes,
        /// The row itself, for findings.
        row: Arc<Row<'static>>,
        /// Some compared column holds the connector's "unavailable value" marker.
        placeholder: bool,
    },
    /// More than one row.
    Several {
        /// How many.
        count: usize,
        /// One of them.
        row: Arc<Row<'static>>,
    },
    /// A row that cannot be compared at all at present.
    Incomparable,
}

/// Everything the engine asks for or tells.
#[derive(Debug)]
pub enum Output {
    /// Read these keys, then the tap's ends, and answer with [`Input::Looked`].
    Lookup(Lookup),
    /// Read these changes again from the log, so that [`Images::image`] has them, and answer with [`Input::Recalled`]. May be
    /// refused, at a cost of detail.
    Recall(Recall),
    /// Read a page of a table's keys, and answer with [`Input::Scanned`].
    Scan(Scan),
    /// Record this finding (again).
    Finding(Box<Finding>),
    /// Everything below `next` has its verdict; commit it once the findings before it are durable.
    Commit {
        /// Partition.
        partition: PartitionId,
        /// Next offset.
        next: u64,
    },
    /// Consume this partition again from `to`: the applier was set back and will decide these changes anew. Answered by
    /// [`Input::Assigned`].
    Rewind {
        /// Partition.
        partition: PartitionId,
        /// Offset to go on from.
        to: u64,
    },
    /// Stop handing in changes: memory is at its bound.
    Pause,
    /// Go on handing in changes.
    Resume,
    /// The applier changes a column in the same way in every row: compare it by what that leaves. Answered by
    /// [`Input::Replanned`]; without an answer the table goes on as it was.
    Coerced {
        /// Table.
        table: TableId,
        /// Name on the target.
        column: Box<str>,
        /// What is done to its values.
        coercion: Coercion,
    },
    /// Something a person may want in the log.
    Note(Note),
}

/// Facts for the log and the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Verdicts of a partition are held: a backward step was seen.
    Frozen {
        /// Partition, where one is concerned.
        partition: Option<PartitionId>,
        /// Why, as a sentence.
        why: String,
    },
    /// Committed offsets no longer convict.
    Demoted {
        /// Why, as a sentence.
        why: String,
    },
    /// Middle versions of keys were coalesced to stay inside a bound.
    Coalesced {
        /// Partition.
        partition: PartitionId,
        /// First and last offset that lost their own verdict.
        range: (u64, u64),
    },
    /// Keys of a range end without a verdict, with the reason.
    Unverifiable {
        /// Partition.
        partition: PartitionId,
        /// First and last offset.
        range: (u64, u64),
        /// Why, as a fragment.
        why: &'static str,
    },
    /// All rows of a truncated table were looked at.
    Scanned {
        /// Table.
        table: TableId,
        /// Where the truncate stands.
        at: Position,
        /// Rows that stood there.
        looked: u64,
        /// Findings among them.
        found: u64,
    },
    /// A suspect turned out right before it was proven wrong.
    Transient,
    /// A table's plan was made anew, and what had no verdict yet goes on under it as far as its images are there.
    Replanned {
        /// Table.
        table: TableId,
        /// Versions that are judged under the new plan.
        carried: u64,
        /// Versions that end without a verdict.
        left: u64,
    },
    /// A fingerprint differed and the slow path said equal: a canonical form is wrong, at a cost of speed only.
    SlowEqual {
        /// Table.
        table: TableId,
    },
}

/// What the engine may ask at once, without I/O: the table-version cache and the canonical plans. Implementations are
/// bounded; forgetting is allowed and costs detail, never correctness.
pub trait Images: Send {
    /// The row of a change, while it is cached.
    fn image(&self, at: Position, key: &Key) -> Option<Image>;

    /// Compares an expected row with an observed one, column by column: name on the target, the outcome, and both as text.
    /// Columns that `expected` says nothing about are left out.
    fn compare(&self, key: &Key, expected: &Row, observed: &Row) -> Vec<ColumnVerdict>;

    /// Whether the rows of a table can be looked at as a whole after a truncate that stands in this partition, or why not: nothing
    /// but the table's own changes may write its target, all of them in this partition.
    fn scannable(&self, _: TableId, _: PartitionId) -> Result<(), &'static str> {
        Ok(())
    }

    /// Holds an expected row against an observed one for what the applier may do to columns; `asked` are coercions of columns
    /// that are suspected. Nothing where that cannot be told.
    fn weigh(&self, _: &Key, _expected: &Row, _observed: &Row, _asked: &[(usize, Coercion)]) -> Vec<Weighed> {
        Vec::new()
    }

    /// What an earlier plan of a table is to a later one.
    fn kinship(&self, _: TableId, _from: PlanEpoch, _to: PlanEpoch) -> Kinship {
        Kinship::None
    }

    /// Tells the row of a change anew, under the plan `to` of its table: what it says of the columns that it told of under an
    /// earlier one and that are still there. Columns that came since are left out: when the change was applied they may not
    /// have been there. `None` where one of the plans is not known, or not any more.
    fn tell_anew(&self, _: TableId, _row: &Row, _told: (PlanEpoch, &Mask), _to: PlanEpoch) -> Option<(u128, Mask)> {
        None
    }

    /// What else than a loss may have written or taken away rows of a table, as a sentence.
    fn hazard(&self, _table: TableId) -> Option<String> {
        None
    }

    /// Remembers what a key was last read as, verified.
    fn remember(&mut self, key: &Key, verified: Verified);

    /// What a key was last read as, while it is cached.
    fn recall(&self, key: &Key) -> Option<Verified>;

    /// Whether rows of a table are equal only if their fingerprints are; not so where a column has a tolerance.
    fn is_exact(&self, _table: TableId) -> bool {
        true
    }

    /// Whether changes of one table may come in both of these partitions.
    fn share_tables(&self, _: PartitionId, _: PartitionId) -> bool {
        true
    }

    /// How a partition is written in sentences: `orders/3`.
    fn partition_name(&self, partition: PartitionId) -> String;

    /// How a table is written in sentences.
    fn table_name(&self, table: TableId) -> Arc<str>;
}

/// What an earlier plan of a table is to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kinship {
    /// Keys of one are none of the other; or one of them is not known any more.
    None,
    /// Keys are the same, fingerprints are not.
    Keys,
    /// Fingerprints of the earlier one are those of the later one too: it compares the same columns, and perhaps more.
    Fingerprints,
}

/// The image of a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Row after it; `None` for a delete.
    pub row: Option<Arc<Row<'static>>>,
    /// Its place in the source's log.
    pub source: Option<SourcePlace>,
}

/// One column of a slow comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnVerdict {
    /// Index in the plan.
    pub index: usize,
    /// Name on the target.
    pub name: Box<str>,
    /// Outcome.
    pub outcome: Compared,
    /// Expected, as text.
    pub expected: String,
    /// Observed, as text.
    pub observed: String,
    /// The observed value is the connector's "unavailable value" marker.
    pub placeholder: bool,
}

/// What a key was at when it was last passed. Kept after the key is forgotten, so that a row seen right and later wrong can
/// be told from one that never was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The version it equalled, or that ended without a verdict.
    pub at: Position,
    /// Whether the row was read as this version.
    pub seen: bool,
    /// That version's operation.
    pub op: Op,
    /// That version's fingerprint (0 for absence) over its mask.
    pub fingerprint: u128,
    /// Its mask.
    pub mask: Mask,
    /// Fingerprints of versions before it, newest first, few: an earlier one seen again is a regression.
    pub earlier: Vec<(Position, Op, u128)>,
}
