//! An applier that carries some rows of every table, and what is demanded of the others: nothing.

use afterimage::engine::event::Carried;
use afterimage::model::Op;

use crate::plan::Leaving;
use crate::source::{Cells, Change, Source};

/// The condition of the rows that an applier carries which does not carry all.
pub(crate) fn is_within(row: &Cells) -> bool {
    row[1].is_some_and(|value| value % 4 != 0)
}

impl Change {
    /// Whether the applier is meant to carry it, by what the tap tells.
    pub(crate) fn carried(&self, leaving: Option<Leaving>, before_images: bool) -> Carried {
        let was = self.before.filter(|_| before_images).map(|row| is_within(&row));
        match (self.row, was) {
            _ if leaving.is_none() || self.heartbeat || self.is_truncate() => Carried::Always,
            (Some(row), _) if is_within(&row) => Carried::Within,
            (Some(_), was) if self.op == Op::Insert || was == Some(false) => Carried::Outside,
            (Some(_), _) => Carried::Leaves,
            (None, Some(false)) => Carried::Outside,
            (None, Some(true) | None) => Carried::Within,
        }
    }
}

impl Source {
    /// Whether a change demands nothing of its row.
    pub(crate) fn is_left_out(&self, index: usize) -> bool {
        let carried = self.changes[index].carried(self.leaving, self.before_images);
        matches!(carried, Carried::Leaves | Carried::Outside)
    }

    /// Whether a target row may be what a change left. One that is left out may have been dropped, or have taken the row away.
    pub(crate) fn fits(&self, index: usize, row: Option<&Cells>) -> bool {
        if self.is_left_out(index) { row.is_none() } else { self.changes[index].fits(row) }
    }

    /// What the applier writes for a change, if anything.
    pub(crate) fn carries(&self, index: usize) -> bool {
        self.leaving == Some(Leaving::Removes) || !self.is_left_out(index)
    }

    /// The row that a change leaves on the target, where it is carried.
    pub(crate) fn left_by(&self, index: usize) -> Option<Cells> {
        self.changes[index].row.filter(|_| !self.is_left_out(index))
    }
}
