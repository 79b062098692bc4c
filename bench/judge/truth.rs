//! What is known to be wrong on the target, from when, until when: the applier's losses and the second writer's damage.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::demo::applier::{Place, RowId};
use afterimage::model::Wall;
use afterimage::model::finding::{Cause, Kind};

use crate::book::Book;
use crate::plant::{Age, Planted};

/// The clocks of a read and of a commit are of one machine, but what they stamp takes its time.
const SLACK_MS: i64 = 1_000;

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hand {
    Applier,
    Planter(Age),
}

/// One row that was wrong for a time.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) row: RowId,
    pub(crate) hand: Hand,
    pub(crate) from: Wall,
    pub(crate) until: Option<Wall>,
    /// What a finding may call it.
    pub(crate) kinds: BTreeSet<Kind>,
    /// What a finding should name as its cause; `None` where no rule of ours says.
    pub(crate) cause: Option<Cause>,
    /// The changes that a finding may name.
    pub(crate) places: Vec<Place>,
}

impl Wrong {
    /// Whether it was wrong at some time between.
    pub(crate) fn covers(&self, from: Wall, to: Wall) -> bool {
        to.0 + SLACK_MS >= self.from.0 && self.until.is_none_or(|until| from.0 <= until.0 + SLACK_MS)
    }
}

/// All of them, by row.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) all: Vec<Wrong>,
    by_row: BTreeMap<RowId, Vec<usize>>,
}

impl Truth {
    pub(crate) fn new(book: &Book, planted: &[Planted]) -> Truth {
        let mut truth = Truth::default();
        for (loss, kinds) in book.losses.iter().zip(&book.kinds) {
            truth.add(Wrong {
                row: loss.id.clone(),
                hand: Hand::Applier,
                from: loss.lost_at,
                until: loss.healed_at,
                kinds: kinds.clone(),
                cause: Some(loss.cause),
                places: loss.lost.clone(),
            });
        }
        for planted in planted {
            truth.add(Wrong {
                row: planted.row.clone(),
                hand: Hand::Planter(planted.age),
                from: planted.at,
                until: None,
                kinds: BTreeSet::from([planted.kind]),
                cause: (planted.kind == Kind::DivergedRow).then_some(Cause::ForeignWrite),
                places: vec![planted.applied.at.clone()],
            });
        }
        truth
    }

    fn add(&mut self, wrong: Wrong) {
        self.by_row.entry(wrong.row.clone()).or_default().push(self.all.len());
        self.all.push(wrong);
    }

    /// The numbers of those that a row had between, of all of them.
    pub(crate) fn of(&self, row: &RowId, from: Wall, to: Wall) -> Vec<usize> {
        let known = self.by_row.get(row).map_or(&[][..], Vec::as_slice);
        known.iter().copied().filter(|index| self.all[*index].covers(from, to)).collect()
    }

    /// Rows that are wrong now.
    pub(crate) fn standing(&self) -> BTreeSet<&RowId> {
        self.all.iter().filter(|wrong| wrong.until.is_none()).map(|wrong| &wrong.row).collect()
    }
}
