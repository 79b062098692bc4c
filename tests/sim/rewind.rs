//! What must hold where the source was rewound.

use std::collections::BTreeSet;

use afterimage::model::Position;

use crate::check::{Check, Property};
use crate::plan::Plan;
use crate::source::{KeyId, Source};

impl Check {
    /// A source that was rewound is said to be, once, where its new log begins.
    pub(crate) fn is_rewind_said(&mut self, plan: &Plan, source: &Source) {
        let Some(fork) = &source.fork else { return };
        let said: Vec<Position> = self.rewound.iter().copied().collect();
        let begins = |at: &Position| {
            let log = &source.logs[usize::from(at.partition.0)];
            let first = log.iter().find(|index| **index >= fork.to);
            first.is_some_and(|first| source.position(*first).offset <= at.offset)
        };
        if !said.iter().all(begins) {
            self.broke(Property::Other, format!("said to be rewound where it was not: {said:?}"));
        }
        let highest =
            |log: &[usize]| log.iter().filter(|index| **index < fork.to).map(|index| source.changes[*index].txn).max();
        let falls = |log: &Vec<usize>| {
            let Some(highest) = highest(log) else { return false };
            let new = log.iter().filter(|index| **index >= fork.to && !source.changes[**index].unreadable);
            let new: BTreeSet<u64> = new.map(|index| source.changes[*index].txn).filter(|txn| *txn < highest).collect();
            new.len() >= 3
        };
        // In another life the new log may be all there is to read.
        let undisturbed = plan.our_crashes + plan.rebalances == 0;
        let expected = usize::from(source.logs.iter().any(falls));
        if undisturbed && (said.len() > 1 || said.len() < expected) {
            self.broke(
                Property::Other,
                format!(
                    "said to be rewound {} times, at {said:?}, where {fork:?}",
                    said.len(),
                    fork = (fork.from, fork.to)
                ),
            );
        }
    }

    pub(crate) fn is_taken_back(&self, source: &Source, key: KeyId, at: Position) -> bool {
        let taken_back = |index| source.fork.as_ref().is_some_and(|fork| fork.takes_back(index));
        self.change_at(source, key, at).is_some_and(taken_back)
    }
}
