//! What the applier writes down: each loss with what kind of divergence it is, and how far each row was applied.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use afterimage::demo::applier::{Counts, Event, Fields, Ledger, Loss, Place, RowId};
use afterimage::model::Wall;
use afterimage::model::finding::Kind;

/// Versions of a row that are remembered; those of the hottest rows are forgotten first.
const VERSIONS: usize = 256;

/// How far a row was applied.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// Changes committed.
    pub(crate) changes: u32,
    /// The newest of them.
    pub(crate) at: Place,
    /// When it was committed.
    pub(crate) committed: Wall,
}

/// What is told to the others.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Every loss so far.
    pub(crate) losses: Vec<Loss<Place>>,
    /// For each, what it was: more than one kind where a later change was lost too.
    pub(crate) kinds: Vec<BTreeSet<Kind>>,
    pub(crate) rows: HashMap<RowId, Applied>,
    pub(crate) counts: Counts,
    /// Milliseconds from the beginning of each batch's writing to its commit.
    pub(crate) writing_ms: Vec<i64>,
    /// Milliseconds from the record's time to the commit, one for each window: its oldest record.
    pub(crate) lag_ms: Vec<i64>,
}

/// The book as all parties hold it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Book>>);

impl Shelf {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Versions of every row, to tell what a loss looks like.
#[derive(Debug, Default)]
pub(crate) struct Versions(HashMap<RowId, Vec<Fields>>);

impl Versions {
    /// A change that is taken into a window for the first time.
    pub(crate) fn take(&mut self, event: &Event<Place>) {
        let Some(row) = event.act.row() else { return };
        let versions = self.0.entry(RowId::new(&event.table, &event.key)).or_default();
        if versions.len() >= VERSIONS {
            versions.remove(0);
        }
        versions.push(row.clone());
    }

    /// What the target holds of a row, against what it should hold.
    fn kind(&self, ledger: &Ledger<Place>, row: &RowId) -> Kind {
        let none = Vec::new();
        let versions = self.0.get(row).unwrap_or(&none);
        match (ledger.truth().get(row), ledger.held().get(row)) {
            (None, _) => Kind::UnappliedDelete,
            (Some(_), None) => Kind::MissingRow,
            (Some(_), Some(held)) if versions.contains(held) => Kind::LostUpdate,
            (Some(_), Some(_)) => Kind::TornRow,
        }
    }
}

impl Book {
    /// A window was committed at `at`: these changes, in the order of the tap.
    pub(crate) fn committed(&mut self, ledger: &Ledger<Place>, versions: &Versions, events: &[Event<Place>], at: Wall) {
        for event in events {
            let row = RowId::new(&event.table, &event.key);
            let place = event.at.clone();
            let applied = self.rows.entry(row).or_insert(Applied { changes: 0, at: place.clone(), committed: at });
            applied.changes += 1;
            applied.at = place;
            applied.committed = at;
        }
        for (index, loss) in ledger.losses().iter().enumerate() {
            match self.losses.get_mut(index) {
                Some(known) if *known == *loss => {}
                Some(known) => {
                    let extended = loss.healed_at.is_none();
                    *known = loss.clone();
                    if extended {
                        self.kinds[index].insert(versions.kind(ledger, &loss.id));
                    }
                }
                None => {
                    self.losses.push(loss.clone());
                    self.kinds.push(BTreeSet::from([versions.kind(ledger, &loss.id)]));
                }
            }
        }
    }
}
