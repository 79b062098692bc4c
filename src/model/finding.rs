//! What was found: kinds, causes, states, and one finding as the engine states it.

use std::sync::Arc;

use super::change::{Op, SourcePlace};
use super::key::Key;
use super::position::Position;
use super::row::Row;
use super::time::{SourceTime, Tick};

/// Declares an enum whose variants have one fixed word each, used in JSON, in the store and on the command line.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The fixed word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// The value of a word.
            #[must_use]
            pub fn parse(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|value| value.word() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// What is wrong.
    Kind {
        /// Expected deleted; observed an earlier version of the row.
        UnappliedDelete = "unapplied_delete",
        /// Expected a row; observed nothing, and it was never seen there.
        MissingRow = "missing_row",
        /// Expected version n; observed version n−k.
        LostUpdate = "lost_update",
        /// Every column belongs to some version, no version has them all.
        TornRow = "torn_row",
        /// A value that no version ever had.
        DivergedRow = "diverged_row",
        /// Deleted, and once read so; an earlier version again.
        ResurrectedRow = "resurrected_row",
        /// Version n, and once read so; an earlier version again.
        RegressedRow = "regressed_row",
        /// Version n, and once read so; nothing now.
        VanishedRow = "vanished_row",
        /// One row expected, several observed.
        DuplicateRow = "duplicate_row",
        /// The applied watermark of a scope does not move.
        Stalled = "stalled",
        /// Bytes that decode to no change.
        Undecodable = "undecodable",
        /// Records that retention or a rewound source took before they were read.
        CoverageGap = "coverage_gap",
        /// Most rows of a (table, op) differ: a stuck group of statements or a mass loss.
        MassDivergence = "mass_divergence",
        /// The evidence of the applied watermark was seen not to hold.
        EvidenceUnsound = "evidence_unsound",
        /// Verdicts of a scope have been frozen for long.
        JudgingSuspended = "judging_suspended",
    }
}

words! {
    /// The documented rule that fits; see `engine::cause`.
    Cause {
        /// The connector's "unavailable value" marker stands where a real value was.
        PlaceholderWritten = "placeholder_written",
        /// No delete (truncate) of this table has been applied since a position.
        OpNotApplied = "op_not_applied",
        /// One half of a key change was applied.
        KeyChangeSplit = "key_change_split",
        /// A window of changes was applied again.
        ReplayedBatch = "replayed_batch",
        /// A run of adjacent positions of several keys, none applied.
        SkippedBatch = "skipped_batch",
        /// An insert and updates merged into one insert that met the existing row.
        InsertUpdateMerge = "insert_update_merge",
        /// An insert and its delete merged into nothing.
        InsertDeleteMerge = "insert_delete_merge",
        /// A delete and a new insert merged into nothing, or into the delete.
        DeleteInsertMerge = "delete_insert_merge",
        /// Updates merged wrongly: an earlier one is seen, or their columns are mixed.
        UpdateMerge = "update_merge",
        /// Content that no version had.
        ForeignWrite = "foreign_write",
        /// A record named by the sink's dead-letter topic.
        RejectedRow = "rejected_row",
        /// The same column differs the same way in most rows.
        ColumnCoercion = "column_coercion",
        /// No rule fits.
        Unknown = "unknown",
    }
}

words! {
    /// How bad.
    Severity {
        /// Worth knowing.
        Info = "info",
        /// Somebody should look.
        Warning = "warning",
        /// Somebody should look now.
        Critical = "critical",
    }
}

words! {
    /// Where in its life a finding is.
    State {
        /// Seen twice; shown, never alerted.
        Suspected = "suspected",
        /// Proven.
        Open = "open",
        /// Seen by a person.
        Acknowledged = "acknowledged",
        /// Set aside by a person.
        Ignored = "ignored",
        /// It was true and is right now.
        Healed = "healed",
        /// It was never true.
        Retracted = "retracted",
    }
}

words! {
    /// What happened to a finding, as its history tells it.
    Act {
        /// A person has seen it.
        Acknowledged = "acknowledged",
        /// A person, or a person's rule, set it aside.
        Ignored = "ignored",
        /// A person wants it to count again.
        Reopened = "reopened",
        /// A person remarked something.
        Noted = "noted",
        /// The time it was set aside for is over, or the rule that did it was removed.
        RanOut = "ran_out",
        /// It opened, in a way that is worth a word.
        Opened = "opened",
        /// It was true and is right now.
        Healed = "healed",
        /// A later version demands something else, and the row agrees with it.
        Superseded = "superseded",
        /// It was never true.
        Retracted = "retracted",
        /// It was looked at again, and is still true.
        StillTrue = "still_true",
        /// Its table has no counterpart any more by which it could be judged.
        Unmapped = "gone_from_mapping",
    }
}

words! {
    /// What convicted.
    Proof {
        /// True at every read so far; a re-application might still repair it.
        Early = "early",
        /// True after the re-application margin.
        Settled = "settled",
        /// The applier's committed offset passed it.
        Committed = "committed",
        /// The user stated that it was applied.
        Assumed = "assumed",
    }
}

impl Kind {
    /// Severity unless a table's rule overrides it.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Kind::UnappliedDelete | Kind::MissingRow | Kind::MassDivergence | Kind::CoverageGap => Severity::Critical,
            Kind::LostUpdate
            | Kind::TornRow
            | Kind::DivergedRow
            | Kind::ResurrectedRow
            | Kind::RegressedRow
            | Kind::VanishedRow
            | Kind::DuplicateRow
            | Kind::Stalled
            | Kind::EvidenceUnsound => Severity::Warning,
            Kind::Undecodable | Kind::JudgingSuspended => Severity::Info,
        }
    }
}

/// A version of a key, as a finding names it.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedVersion {
    /// Its place on the tap.
    pub at: Position,
    /// What it did.
    pub op: Op,
    /// When the source committed it.
    pub committed_at: Option<SourceTime>,
    /// Its place in the source's log.
    pub source: Option<SourcePlace>,
    /// Its row, while it is still known.
    pub row: Option<Arc<Row<'static>>>,
}

/// What the target held.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The row; `None` where there was none.
    pub row: Option<Arc<Row<'static>>>,
    /// When the deciding read returned.
    pub at: Tick,
    /// The version whose content it is, where there is one.
    pub matches: Option<NamedVersion>,
}

/// One column that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDifference {
    /// Column on the target.
    pub name: Box<str>,
    /// Expected, as text; `None` where the image is no longer known.
    pub expected: Option<String>,
    /// Observed, as text.
    pub observed: String,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// One key of one table.
    Row {
        /// The key.
        key: Key,
        /// The newest version that must have been applied.
        expected: NamedVersion,
        /// The newest version of the key known to be lost since the finding opened.
        latest: Option<Position>,
        /// What stood there.
        observed: Observed,
        /// The columns that differ, where images allow to say.
        columns: Vec<ColumnDifference>,
        /// How many versions the row is behind; 0 where that cannot be said.
        versions_behind: u32,
    },
    /// One record of the tap.
    Record {
        /// Its position.
        at: Position,
        /// Why it could not be understood.
        reason: String,
        /// Its table, when known.
        table: Option<Arc<str>>,
    },
    /// One fact about a table.
    Table {
        /// Table on the tap.
        table: Arc<str>,
        /// The operation concerned.
        op: Option<Op>,
        /// Where it begins.
        since: Position,
        /// How many keys are held.
        count: u64,
        /// Some of them.
        samples: Vec<Key>,
    },
    /// One fact about a column of a table.
    Column {
        /// Table on the tap.
        table: Arc<str>,
        /// Column on the target.
        column: Box<str>,
        /// What is done to its values, as a sentence.
        detail: String,
        /// How many keys showed it lately.
        count: u64,
        /// Some of them.
        samples: Vec<Key>,
        /// The column of each of these: expected and observed.
        columns: Vec<ColumnDifference>,
    },
    /// One fact about a scope of the pipeline.
    Scope {
        /// The position it stands before, or begins at.
        at: Option<Position>,
        /// What is the matter, as a sentence.
        detail: String,
    },
}

/// One finding, as the engine states it at one moment. Its identity is pipeline, table, key, expected position and kind:
/// stating it again updates the same finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// The rule that fits.
    pub cause: Cause,
    /// Where in its life.
    pub state: State,
    /// What convicted; `None` while suspected and for facts that need no proof.
    pub proof: Option<Proof>,
    /// What it is about.
    pub subject: Subject,
    /// Why it is believed, as a sentence: `applied watermark 3/1400 (kafka-group) is past 3/991`.
    pub evidence: String,
    /// First seen wrong.
    pub first_seen: Tick,
    /// Last seen wrong (or right, when healed).
    pub last_seen: Tick,
    /// How many reads agreed.
    pub observations: u32,
}

impl Finding {
    /// One about something else than a row, open and seen once, at `now`. No read proves it, and nothing names its cause.
    #[must_use]
    pub fn open(kind: Kind, subject: Subject, evidence: String, now: Tick) -> Finding {
        Finding {
            kind,
            cause: Cause::Unknown,
            state: State::Open,
            proof: None,
            subject,
            evidence,
            first_seen: now,
            last_seen: now,
            observations: 1,
        }
    }
}
