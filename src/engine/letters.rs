//! Records that the applier set aside: what its dead-letter topic names was not applied, and no merge lost it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::model::Position;
use crate::model::finding::{Cause, Finding, Kind, Subject};

use super::classify::Case;
use super::limit::LETTERS_KEPT;
use super::state::Engine;

/// A record that was set aside.
#[derive(Debug)]
pub(super) struct Letter {
    at: Position,
    why: Arc<str>,
}

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

    /// The word on the record there, if it was set aside.
    pub(super) fn of(&self, at: Position) -> Option<Letter> {
        self.why.get(&at).map(|why| Letter { at, why: Arc::clone(why) })
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
        let letter = self.letters.of(expected.at).filter(|_| finding.cause != Cause::RejectedRow)?;
        Some(self.with_letter(&finding.evidence, &letter))
    }

    pub(super) fn with_letter(&self, proven: &str, letter: &Letter) -> String {
        let place = self.place(letter.at.partition, letter.at.offset);
        format!("{proven}; the dead-letter topic names {place}: {}", letter.why)
    }

    /// The record that was set aside, and why, where that is what is wrong: it is the expected version, or one of those that a
    /// row of columns from several versions lacks.
    pub(super) fn set_aside(&self, case: &Case<'_>, kind: Kind) -> Option<Letter> {
        self.letters.of(case.expected().at()).or_else(|| {
            let mixed = matches!(kind, Kind::TornRow | Kind::DivergedRow);
            let before = &case.entry.chain.versions()[..case.index];
            before.iter().rev().filter(|_| mixed).find_map(|version| self.letters.of(version.at()))
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
        let why = |offset| letters.of(at(offset)).map(|letter| letter.why);
        assert_eq!((why(0), why(1).as_deref()), (None, Some("another")));
        assert_eq!(letters.why.len(), LETTERS_KEPT);
    }
}
