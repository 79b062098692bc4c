//! Open findings of an earlier process, handed to the engine once their table is known, so that they can heal.

use std::sync::Arc;

use crate::canon::{COUNT, Mask};
use crate::engine::Input;
use crate::engine::event::{Carried, Role, Seen, Tracked};
use crate::model::change::KeyChange;
use crate::model::finding::{Finding, Kind, Observed, Subject};
use crate::model::position::PartitionName;
use crate::model::{Key, Op, PartitionId, TableId, Tick, Wall};
use crate::report::document::Document;
use crate::report::revive::Directory;
use crate::store::{About, Store, StoreError};
use crate::tap::Partitions;

use super::clock::Clock;
use super::look;
use super::tables::Table;

/// Findings brought back at most; older ones stay as they are in the store until their key changes again.
const AT_MOST: usize = 10_000;

/// Stored findings about rows that may still heal.
pub(super) struct Restore {
    documents: Vec<Document>,
    partitions: Partitions,
    clock: Clock,
}

/// What this process calls things, for one table.
struct Names<'a> {
    table: &'a Table,
    restore: &'a Restore,
}

impl Directory for Names<'_> {
    fn table(&self, name: &str) -> Option<TableId> {
        (*self.table.tap_name == *name).then_some(self.table.id)
    }

    fn partition(&self, name: &PartitionName) -> Option<PartitionId> {
        self.restore.partitions.id(name)
    }

    fn tick(&self, at: Wall) -> Tick {
        let began = self.restore.clock.wall(Tick(0));
        Tick(u64::try_from(at.0.saturating_sub(began.0)).unwrap_or_default())
    }
}

impl Restore {
    /// Nothing to bring back.
    pub(super) fn nothing(partitions: Partitions, clock: Clock) -> Restore {
        Restore { documents: Vec::new(), partitions, clock }
    }

    /// Reads what is open of a pipeline.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn load(store: &Store, pipeline: &str) -> Result<Vec<Document>, StoreError> {
        let mut columns = store.all_open((pipeline, About::More), Document::is_about_column, AT_MOST).await?;
        columns.extend(store.all_open((pipeline, About::Rows), |_| true, AT_MOST).await?);
        Ok(columns)
    }

    /// With what was read.
    pub(super) fn of(documents: Vec<Document>, partitions: Partitions, clock: Clock) -> Restore {
        Restore { documents, partitions, clock }
    }

    /// The findings of a table, taken out: each as the version it expected and itself.
    pub(super) fn take(&mut self, table: &Arc<Table>) -> Vec<Input> {
        let (of_table, rest): (Vec<Document>, Vec<Document>) = std::mem::take(&mut self.documents)
            .into_iter()
            .partition(|document| document.table.as_deref() == Some(&*table.tap_name));
        self.documents = rest;
        let names = Names { table, restore: self };
        let (columns, rows): (Vec<_>, Vec<_>) = of_table.iter().partition(|document| document.key.is_none());
        let columns = columns.into_iter().filter_map(|document| Some(column(table, document.revive_column(&names)?)));
        let revived = rows.into_iter().filter_map(|document| Some((document, document.revive(&names)?)));
        let rows = revived.filter_map(|(document, finding)| input(table, document, finding));
        columns.chain(rows).collect()
    }
}

/// A column that is not compared, or by what a coercion leaves, is not what it was: its finding is accepted.
fn column(table: &Table, finding: Finding) -> Input {
    let plan = &table.plan;
    let name = match &finding.subject {
        Subject::Column { column, .. } => Some(column),
        Subject::Row { .. } | Subject::Record { .. } | Subject::Table { .. } | Subject::Scope { .. } => None,
    };
    let is_it = |column: &str| name.is_some_and(|name| **name == *column) && !plan.rules().coerced.contains_key(column);
    let index = plan.names().0.iter().position(|column| is_it(column)).filter(|index| plan.compares(*index));
    Input::OpenColumn { table: table.id, index, finding: Box::new(finding) }
}

fn input(table: &Table, document: &Document, finding: Finding) -> Option<Input> {
    let Subject::Row { key, expected, observed, .. } = &finding.subject else { return None };
    let seen = seen(table, document, (finding.kind, key, observed));
    let counted = (table.role == Role::Counted).then(|| counted(&finding));
    let (fingerprint, mask) = match &expected.row {
        _ if let Some((count, ref mask)) = counted => (count, mask.clone()),
        Some(row) => {
            let reduced = table.plan.expect(&table.plan.bind(&row.columns, row.typing), row);
            (reduced.fingerprint, reduced.mask)
        }
        None => (0, Mask::default()),
    };
    let tracked = Tracked {
        carried: Carried::Always,
        key: key.clone(),
        at: expected.at,
        order: 0,
        waymark: None,
        op: if fingerprint > 0 && table.role == Role::Counted { Op::Insert } else { expected.op },
        fingerprint,
        mask,
        before: None,
        committed_at: expected.committed_at,
        appended_at: None,
        key_change: KeyChange::No,
        role: table.role,
        plan: table.epoch,
    };
    let leaves_row = !matches!(expected.op, crate::model::Op::Delete | crate::model::Op::Truncate);
    let known = !leaves_row || expected.row.is_some();
    let (expected, finding) = (Box::new(tracked), Box::new(finding));
    known.then_some(Input::OpenFinding { expected, finding, observed: seen })
}

/// How many rows had to be there, and the columns that say so: none where one alone had to be.
fn counted(finding: &Finding) -> (u128, Mask) {
    let Subject::Row { columns, .. } = &finding.subject else { return (0, Mask::default()) };
    let count = columns.iter().find(|column| *column.name == *COUNT).and_then(|column| column.expected.as_ref());
    let count = count.and_then(|count| count.parse().ok());
    count.map_or((0, Mask::default()), |count| (count, Mask::of(1, [0])))
}

/// What stood there, as a read under this process's plan would have told it; `None` where values were withheld.
fn seen(table: &Table, document: &Document, (kind, key, observed): (Kind, &Key, &Observed)) -> Option<Seen> {
    if document.observed.as_ref().is_some_and(|observed| observed.row.is_none()) {
        return Some(Seen::Absent);
    }
    let row = observed.row.as_ref()?;
    if kind == Kind::DuplicateRow {
        return Some(Seen::Several { count: 2, row: Arc::clone(row) });
    }
    Some(look::seen(table, key, vec![(**row).clone()]))
}
