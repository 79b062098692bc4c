//! What happens to changes and keys on their way to a verdict.

use std::time::Duration;

use metrics::{counter, histogram};
use tracing::{debug, warn};

use crate::engine::event::Note;
use crate::telemetry::name;

/// Changes that were never seen themselves, whose newer version matched.
#[derive(Debug, Clone, Copy)]
pub struct ChangesSuperseded<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// How many.
    pub count: u64,
}

impl ChangesSuperseded<'_> {
    /// Counts them.
    pub fn emit(self) {
        counter!(name::EVENTS_SUPERSEDED, name::PIPELINE => self.pipeline.to_owned()).increment(self.count);
    }
}

/// How a read of a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckResult {
    /// The row is right.
    Match,
    /// The row is wrong.
    Mismatch,
    /// Nothing could be said.
    Inconclusive,
    /// Nothing was read.
    Error,
}

impl CheckResult {
    fn word(self) -> &'static str {
        match self {
            CheckResult::Match => "match",
            CheckResult::Mismatch => "mismatch",
            CheckResult::Inconclusive => "inconclusive",
            CheckResult::Error => "error",
        }
    }
}

/// Keys that were read and judged.
#[derive(Debug, Clone, Copy)]
pub struct KeysChecked<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// How.
    pub result: CheckResult,
    /// How many.
    pub count: u64,
}

impl KeysChecked<'_> {
    /// Counts them.
    pub fn emit(self) {
        counter!(name::CHECKS, name::PIPELINE => self.pipeline.to_owned(), name::RESULT => self.result.word())
            .increment(self.count);
    }
}

/// A change that got its verdict.
#[derive(Debug, Clone, Copy)]
pub struct VerdictGiven<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// From its commit at the source.
    pub after: Duration,
}

impl VerdictGiven<'_> {
    /// Records the delay.
    pub fn emit(self) {
        histogram!(name::CHECK_DELAY, name::PIPELINE => self.pipeline.to_owned()).record(self.after.as_secs_f64());
    }
}

/// Something the engine wants known.
#[derive(Debug, Clone, Copy)]
pub struct Noted<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// What.
    pub note: &'a Note,
}

impl Noted<'_> {
    /// Logs it and counts it. Partitions are named by the index that the tap gave them.
    pub fn emit(self) {
        let pipeline = self.pipeline;
        let count = |name| counter!(name, name::PIPELINE => pipeline.to_owned()).increment(1);
        match self.note {
            Note::Frozen { partition, why } => {
                count(name::FREEZES);
                warn!(pipeline, partition = partition.map(|id| id.0), why, "verdicts are held");
            }
            Note::Demoted { why } => warn!(pipeline, why, "committed offsets no longer convict"),
            Note::Coalesced { partition, range: (from, to) } => {
                count(name::UNVERIFIED_EVICTIONS);
                warn!(pipeline, partition = partition.0, from, to, "versions were coalesced to stay within memory");
            }
            Note::Unverifiable { partition, range: (from, to), why } => {
                count(name::UNVERIFIABLE_RANGES);
                warn!(pipeline, partition = partition.0, from, to, why, "a range ends without a verdict");
            }
            Note::Transient => {
                count(name::TRANSIENTS);
                debug!(pipeline, "a suspect turned out right before it was proven wrong");
            }
            Note::SlowEqual { table } => {
                count(name::SLOW_EQUALS);
                debug!(pipeline, table = table.0, "equal values had different fingerprints: a canonical form is wrong");
            }
        }
    }
}
