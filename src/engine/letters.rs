//! Records that the applier set aside: what its dead-letter topic names was not applied, and no merge lost it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::model::Position;
use crate::model::finding::{Cause, Finding, Kind, Subject};

use super::classify::Case;
use super::limit::LETTERS_KEPT;
use super::state::Engine;

/// Why records were set aside, by their positions.
#[derive(Debug, Default)]
pub(super) struct Letters {
    why: BTreeMap<Position, Arc<str>>,
    came: VecDeque<Position>,
}

impl Letters {
    /// The last word on a record counts.
    fn came(&mut self, at: Position, why: Arc<str>) {
        if self.why.insert(at, why).is_some() {
            return;
        }
        self.came.push_back(at);
        if self.came.len() > LETTERS_KEPT
            && let Some(oldest) = self.came.pop_front()
        {
            self.why.remove(&oldest);
        }
    }

    /// Why the record there was set aside, if it was.
    pub(super) fn of(&self, at: Position) -> Option<&Arc<str>> {
        self.why.get(&at)
    }
}

impl Engine {
    /// The applier set a record aside. Whether it is a loss, its row tells.
    pub(super) fn dead_letter(&mut self, at: Position, why: Arc<str>) {
        self.letters.came(at, why);
    }

    /// What proves a finding, and that the record it expected was set aside, where that was told behind the finding.
    pub(super) fn named_since(&self, finding: &Finding) -> Option<String> {
        let Subject::Row { expected, .. } = &finding.subject else { return None };
        let why = self.letters.of(expected.at).filter(|_| finding.cause != Cause::RejectedRow)?;
        Some(self.with_letter(&finding.evidence, expected.at, why))
    }

    pub(super) fn with_letter(&self, proven: &str, at: Position, why: &str) -> String {
        format!("{proven}; the dead-letter topic names {}: {why}", self.place(at.partition, at.offset))
    }

    /// The record that was set aside, and why, where that is what is wrong: it is the expected version, or one of those that a
    /// row of columns from several versions lacks.
    pub(super) fn set_aside(&self, case: &Case<'_>, kind: Kind) -> Option<(Position, Arc<str>)> {
        let letter = |at: Position| Some((at, Arc::clone(self.letters.of(at)?)));
        letter(case.expected().at()).or_else(|| {
            let mixed = matches!(kind, Kind::TornRow | Kind::DivergedRow);
            let before = &case.entry.chain.versions()[..case.index];
            before.iter().rev().filter(|_| mixed).find_map(|version| letter(version.at()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PartitionId;

    #[test]
    fn the_oldest_letter_goes_first() {
        let mut letters = Letters::default();
        let at = |offset| Position { partition: PartitionId(0), offset };
        for offset in 0..=LETTERS_KEPT as u64 {
            letters.came(at(offset), "a reason".into());
        }
        letters.came(at(1), "another".into());
        assert_eq!((letters.of(at(0)), letters.of(at(1)).map(|why| &**why)), (None, Some("another")));
        assert_eq!(letters.why.len(), LETTERS_KEPT);
    }
}
