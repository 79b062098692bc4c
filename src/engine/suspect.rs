//! A key that was read wrong and not yet proven lost.

use std::sync::Arc;

use crate::model::{PartitionId, Row, Tick};

use super::chain::Content;
use super::horizon::Ends;

/// What says that a version had to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Convict {
    /// The causal watermark of the order scope.
    Causal,
    /// The applier's committed position.
    Committed,
    /// The user's word.
    Assumed,
}

/// The newest version that had to be applied when a read was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) partition: PartitionId,
    pub(super) offset: u64,
    pub(super) by: Convict,
}

/// The floors of one key in one read, fixed before the read was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Floors {
    /// To convict.
    pub(super) applied: Option<Floor>,
    /// To forget: offset of the newest settled version.
    pub(super) settled: Option<u64>,
}

/// Reads that agreed so far.
#[derive(Debug)]
pub(super) struct Suspect {
    /// Floor of the first read.
    pub(super) floor: Floor,
    /// What was seen, the same each time.
    pub(super) content: Content,
    /// The row, for the finding.
    pub(super) row: Option<Arc<Row>>,
    /// How many reads agreed.
    pub(super) count: u32,
    /// How many of them were wrong against the settled floor as well, each after new progress.
    pub(super) settled_count: u32,
    /// When the first read returned.
    pub(super) first: Tick,
    /// When the last read returned.
    pub(super) last: Tick,
    /// The tap's ends after the last read.
    pub(super) ends: Ends,
    /// The next read may count: new progress was seen since the last.
    pub(super) ready: bool,
}
