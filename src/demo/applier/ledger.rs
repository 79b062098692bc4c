//! What was lost, exactly: the rows that the target holds against the rows that it should hold.

use std::collections::BTreeMap;

use super::change::{Effect, Fields, RowId, Statement, Write};
use super::fault::Fault;
use super::window::{Merged, Net, Version};
use crate::model::Wall;
use crate::model::finding::Cause;

/// Lost positions remembered of one loss; past it the second newest goes.
const POSITIONS_AT_MOST: usize = 64;

/// One row that the target holds wrongly.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss<P> {
    /// The row.
    pub id: RowId,
    /// Its key columns and values.
    pub key: Fields,
    /// The changes of the row that are lost, oldest first: the newest is the one a finding should name.
    pub lost: Vec<P>,
    /// Which merge or fault lost them.
    pub cause: Cause,
    /// The row that should stand on the target; `None` where it should be gone.
    pub expected: Option<Fields>,
    /// When the position was committed with the target wrong: from then on it can be known.
    pub lost_at: Wall,
    /// When a later change made the row right.
    pub healed_at: Option<Wall>,
}

impl<P: PartialEq> Loss<P> {
    /// Whether the change at `at` is one of those lost.
    #[must_use]
    pub fn covers(&self, at: &P) -> bool {
        self.lost.contains(at)
    }
}

/// Compares what the applier did with what it should have done. It believes what the target said of each statement, and
/// nothing else.
#[derive(Debug, Clone)]
pub struct Ledger<P> {
    truth: BTreeMap<RowId, Fields>,
    held: BTreeMap<RowId, Fields>,
    open: BTreeMap<RowId, usize>,
    losses: Vec<Loss<P>>,
}

impl<P> Default for Ledger<P> {
    fn default() -> Ledger<P> {
        Ledger { truth: BTreeMap::new(), held: BTreeMap::new(), open: BTreeMap::new(), losses: Vec::new() }
    }
}

impl<P: Clone> Ledger<P> {
    /// Every loss, in the order in which they happened; healed ones included.
    #[must_use]
    pub fn losses(&self) -> &[Loss<P>] {
        &self.losses
    }

    /// The rows as they should stand on the target.
    #[must_use]
    pub fn truth(&self) -> &BTreeMap<RowId, Fields> {
        &self.truth
    }

    /// The rows as they stand on the target.
    #[must_use]
    pub fn held(&self) -> &BTreeMap<RowId, Fields> {
        &self.held
    }

    /// A window's statements were carried out, with these effects.
    pub(super) fn applied(
        &mut self,
        rows: &BTreeMap<RowId, Merged<P>>,
        statements: &[Statement],
        effects: &[Effect],
        at: Wall,
    ) {
        assert_eq!(statements.len(), effects.len(), "every statement has its effect");
        for (statement, effect) in statements.iter().zip(effects) {
            match effect {
                Effect::Done => self.write(statement),
                Effect::Skipped => {}
            }
        }
        for (id, merged) in rows {
            match merged.versions.last().and_then(|version| version.row.clone()) {
                Some(row) => self.truth.insert(id.clone(), row),
                None => self.truth.remove(id),
            };
            if self.is_right(id) {
                self.heal(id, at);
            }
        }
    }

    fn write(&mut self, statement: &Statement) {
        match &statement.write {
            Write::Insert(row) => {
                self.held.insert(statement.id.clone(), row.clone());
            }
            Write::Update(set) => {
                if let Some(row) = self.held.get_mut(&statement.id) {
                    row.extend(set.clone());
                }
            }
            Write::Delete => {
                self.held.remove(&statement.id);
            }
        }
    }

    /// A window's position was committed: what the target holds wrongly now is lost.
    pub(super) fn committed(&mut self, rows: &BTreeMap<RowId, Merged<P>>, fault: Fault, at: Wall) {
        for (id, merged) in rows {
            if self.is_right(id) {
                continue;
            }
            let lost = self.lost(id, &merged.versions);
            let expected = self.truth.get(id).cloned();
            if let Some(loss) = self.open.get(id).and_then(|index| self.losses.get_mut(*index)) {
                extend(loss, lost);
                loss.expected = expected;
                continue;
            }
            let cause = self.cause(id, &merged.net, fault);
            self.open.insert(id.clone(), self.losses.len());
            let key = merged.key.clone();
            self.losses.push(Loss { id: id.clone(), key, lost, cause, expected, lost_at: at, healed_at: None });
        }
    }

    fn is_right(&self, id: &RowId) -> bool {
        self.held.get(id) == self.truth.get(id)
    }

    fn heal(&mut self, id: &RowId, at: Wall) {
        if let Some(loss) = self.open.remove(id).and_then(|index| self.losses.get_mut(index)) {
            loss.healed_at = Some(at);
        }
    }

    /// The changes after the newest one that the target shows; all of them where it shows none.
    fn lost(&self, id: &RowId, versions: &[Version<P>]) -> Vec<P> {
        let held = self.held.get(id);
        let seen = versions.iter().rposition(|version| version.row.as_ref() == held);
        versions[seen.map_or(0, |index| index + 1)..].iter().map(|version| version.at.clone()).collect()
    }

    fn cause(&self, id: &RowId, net: &Net, fault: Fault) -> Cause {
        match (fault, net) {
            (Fault::SkippedBatch, _) => Cause::SkippedBatch,
            (Fault::None | Fault::Restart | Fault::TornUpdate, net) => match net {
                Net::Insert(_) => Cause::InsertUpdateMerge,
                Net::Nothing => Cause::InsertDeleteMerge,
                Net::Update { .. } if !self.held.contains_key(id) => Cause::DeleteInsertMerge,
                Net::Update { .. } => Cause::UpdateMerge,
                Net::Delete => Cause::Unknown,
            },
        }
    }
}

fn extend<P>(loss: &mut Loss<P>, lost: Vec<P>) {
    for at in lost {
        if loss.lost.len() >= POSITIONS_AT_MOST {
            loss.lost.remove(POSITIONS_AT_MOST - 1);
        }
        loss.lost.push(at);
    }
}
