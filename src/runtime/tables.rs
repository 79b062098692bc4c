//! The tables of a pipeline: which target table stands for a tap table, and the plan by which their rows are compared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use crate::canon::{Binding, Filter, Plan, PlanError, Rows, Rules};
use crate::engine::event::{PlanEpoch, Role};
use crate::model::{Coercion, Columns, Condition, TableId, TableMeta};

/// Plans of one table that are remembered, so that what was told under an earlier one can be told anew. Batches wait for
/// seconds, columns change in minutes.
const PLANS: usize = 8;

/// Columns of the tap without a counterpart that are told of, of one table: a tap whose columns are made up of data has more.
const STRANGERS: usize = 256;

/// One table of the tap, as far as it is understood.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) id: TableId,
    pub(super) tap_name: Arc<str>,
    pub(super) role: Role,
    /// What a lookup needs, besides keys.
    pub(super) plan: Arc<Plan>,
    /// Target columns to read, as places in the table.
    pub(super) columns: Vec<usize>,
    /// Key columns, as places in the table.
    pub(super) key_columns: Vec<usize>,
    /// Which of the table's plans this is.
    pub(super) epoch: PlanEpoch,
    /// The rows that the applier is meant to carry; `None`: all.
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) owned: Owned,
}

/// Whether the rows of a target table are of one table of the tap alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Owned {
    Alone,
    /// Others may be written into it too.
    #[default]
    PerhapsShared,
}

/// How a tap table is looked for on the target.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) topic: Arc<str>,
    /// The columns of its records' keys, where they have keys.
    pub(super) key: Option<Columns>,
    /// The columns of the row of its first record.
    pub(super) row: Option<Columns>,
}

/// The columns of a record: those of its key, where it has one, and of its row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Carries<'a> {
    pub(super) key: Option<&'a Columns>,
    pub(super) row: Option<&'a Columns>,
}

/// Columns of one table that are not compared because one side does not have them.
#[derive(Debug, Default)]
struct Strangers {
    /// On the tap alone.
    tap: BTreeSet<Box<str>>,
    /// On the target, and some change carried them.
    carried: BTreeSet<Box<str>>,
    /// Of these, those that later changes did not carry.
    gone: BTreeSet<Box<str>>,
}

/// What rows of a new shape tell of the columns of their table, once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Columns that the target does not have.
    pub(super) unknown: Vec<Box<str>>,
    /// Columns of the target that rows carried so far, and these do not.
    pub(super) gone: Vec<Box<str>>,
}

/// A table of the tap, and how it is judged, or why it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Coverage {
    pub(super) id: TableId,
    pub(super) tap_name: Arc<str>,
    pub(super) covered: Result<Covered, Arc<str>>,
}

/// How a table is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covered {
    /// Its counterpart on the target.
    pub(super) target: String,
    pub(super) role: Role,
    /// Columns that are compared.
    pub(super) compared: usize,
    /// Those that are not, with the reason.
    pub(super) not_compared: Vec<String>,
}

/// What is known of a tap table's counterpart.
#[derive(Debug, Clone)]
pub(super) enum Mapped {
    /// Its rows are judged.
    Judged(Arc<Table>),
    /// They are not, for this reason.
    NotJudged(Arc<str>),
}

/// Tables by name and by id; grows with the tap, shared by every stage.
#[derive(Debug, Default)]
pub(super) struct Tables {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ids: BTreeMap<Arc<str>, TableId>,
    names: Vec<Arc<str>>,
    mapped: BTreeMap<TableId, Mapped>,
    places: BTreeMap<TableId, Place>,
    epochs: BTreeMap<TableId, PlanEpoch>,
    /// The last plans of each table, oldest first.
    plans: BTreeMap<TableId, VecDeque<Arc<Table>>>,
    strangers: BTreeMap<TableId, Strangers>,
    /// What the applier does to columns of each table, as far as that was found out.
    coerced: BTreeMap<TableId, BTreeMap<String, Coercion>>,
    /// Tables whose columns are to be looked at soon.
    asked: BTreeSet<TableId>,
}

impl Inner {
    /// The columns of a table that are not compared, with the reason.
    fn left_out(&self, id: TableId, table: &Table) -> Vec<String> {
        let own = table.plan.not_compared().iter().map(|column| format!("{} ({})", column.column, column.why));
        let known = self.strangers.get(&id);
        let strangers = known.into_iter().flat_map(|known| &known.tap);
        let tap = strangers.map(|name| format!("{name} (the target has no such column)"));
        let carried = |name: &str| known.is_none_or(|known| known.carried.is_empty() || known.carried.contains(name));
        let names = table.plan.names().0.iter().enumerate();
        let target = names.filter(|(index, name)| table.plan.compares(*index) && !carried(name));
        let target = target.map(|(_, name)| format!("{name} (no change carries it)"));
        let coerced = table
            .plan
            .rules()
            .coerced
            .iter()
            .filter(|(column, _)| !table.plan.not_compared().iter().any(|left| *left.column == ***column));
        let coerced = coerced.map(|(column, coercion)| format!("{column} (only what `{coercion}` leaves of it)"));
        own.chain(tap).chain(target).chain(coerced).collect()
    }
}

impl Tables {
    /// The id of a tap table, given out at first sight.
    pub(super) fn id(&self, tap_name: &Arc<str>) -> TableId {
        if let Some(id) = self.read().ids.get(tap_name) {
            return *id;
        }
        let mut inner = self.write();
        let next = TableId(u32::try_from(inner.names.len()).unwrap_or(u32::MAX));
        // Another thread may have met it since: with two ids the changes of one key would be judged apart.
        let id = *inner.ids.entry(Arc::clone(tap_name)).or_insert(next);
        if id == next {
            inner.names.push(Arc::clone(tap_name));
        }
        id
    }

    /// What is known of a tap table.
    pub(super) fn mapped(&self, tap_name: &str) -> Option<Mapped> {
        let inner = self.read();
        inner.ids.get(tap_name).and_then(|id| inner.mapped.get(id)).cloned()
    }

    /// Records what was found out about a table: the first plan, or another one than before. Gives it back as it is known
    /// from now on, with its epoch.
    pub(super) fn set(&self, id: TableId, mapped: Mapped) -> (Mapped, PlanEpoch) {
        let mut inner = self.write();
        let was_judged = matches!(inner.mapped.get(&id), Some(Mapped::Judged(_)));
        let is_news = was_judged || matches!(mapped, Mapped::Judged(_)) && inner.epochs.contains_key(&id);
        let epoch = inner.epochs.entry(id).or_default();
        epoch.0 += u32::from(is_news);
        let epoch = *epoch;
        let mapped = match mapped {
            Mapped::Judged(table) => {
                let table = Arc::new(Table { epoch, ..Table::clone(&table) });
                let plans = inner.plans.entry(id).or_default();
                plans.push_back(Arc::clone(&table));
                if plans.len() > PLANS {
                    plans.pop_front();
                }
                Mapped::Judged(table)
            }
            not @ Mapped::NotJudged(_) => {
                // Changes go by unseen from here on.
                inner.plans.remove(&id);
                not
            }
        };
        if let (Mapped::Judged(table), Some(known)) = (&mapped, inner.strangers.get_mut(&id)) {
            known.tap.retain(|name| table.plan.lacks(name));
            let names = &table.plan.names().0;
            known.carried.retain(|name| names.contains(name));
            known.gone.retain(|name| names.contains(name));
        }
        inner.mapped.insert(id, mapped.clone());
        (mapped, epoch)
    }

    /// Records how a table is looked for.
    pub(super) fn place(&self, id: TableId, place: Place) {
        let mut inner = self.write();
        let known = inner.places.entry(id).or_insert_with(|| place.clone());
        known.row = known.row.take().or(place.row);
    }

    /// Whether a record is the first of its table with a row.
    pub(super) fn is_news(&self, id: TableId, record: Carries<'_>) -> bool {
        record.row.is_some() && self.place_of(id).is_none_or(|place| place.row.is_none())
    }

    /// Tables that were looked for.
    pub(super) fn looked_for(&self) -> Vec<TableId> {
        self.read().places.keys().copied().collect()
    }

    /// How a table is looked for.
    pub(super) fn place_of(&self, id: TableId) -> Option<Place> {
        self.read().places.get(&id).cloned()
    }

    /// A plan of a table, by its epoch, while it is remembered.
    pub(super) fn plan_at(&self, id: TableId, epoch: PlanEpoch) -> Option<Arc<Plan>> {
        let inner = self.read();
        let table = inner.plans.get(&id)?.iter().find(|table| table.epoch == epoch)?;
        Some(Arc::clone(&table.plan))
    }

    /// Notes the columns that rows of a new shape carry. Where the target has no counterpart of one, the table is looked at
    /// again soon.
    pub(super) fn carries(&self, table: &Table, binding: &Binding) -> News {
        let mut inner = self.write();
        let inner = &mut *inner;
        if inner.epochs.get(&table.id) != Some(&table.epoch) {
            return News::default();
        }
        let known = inner.strangers.entry(table.id).or_default();
        let names = &table.plan.names().0;
        let mut news = News::default();
        for name in binding.unbound().iter().filter(|name| table.plan.lacks(name)) {
            if known.tap.len() < STRANGERS && known.tap.insert(name.clone()) {
                news.unknown.push(name.clone());
                inner.asked.insert(table.id);
            }
        }
        for (index, name) in names.iter().enumerate() {
            if binding.full().has(index) {
                known.carried.insert(name.clone());
            } else if known.carried.contains(name) && known.gone.insert(name.clone()) {
                news.gone.push(name.clone());
            }
        }
        news
    }

    /// Notes what the applier does to a column: the table's plan is made anew soon.
    pub(super) fn coerce(&self, id: TableId, column: &str, coercion: Coercion) {
        let mut inner = self.write();
        inner.coerced.entry(id).or_default().insert(column.to_owned(), coercion);
        inner.asked.insert(id);
    }

    /// What was found out of what the applier does to the columns of a table.
    pub(super) fn coerced(&self, id: TableId) -> BTreeMap<String, Coercion> {
        self.read().coerced.get(&id).cloned().unwrap_or_default()
    }

    /// Takes one table whose columns are to be looked at soon.
    pub(super) fn take_asked(&self) -> Option<TableId> {
        if self.read().asked.is_empty() {
            return None;
        }
        self.write().asked.pop_first()
    }

    /// Every table that was looked for.
    pub(super) fn coverage(&self) -> Vec<Coverage> {
        let inner = self.read();
        let one = |(id, mapped): (&TableId, &Mapped)| {
            let name = inner.names.get(id.0 as usize).cloned().unwrap_or_else(|| "?".into());
            let covered = match mapped {
                Mapped::NotJudged(why) => Err(Arc::clone(why)),
                Mapped::Judged(table) => Ok(Covered {
                    target: table.target_name(),
                    role: table.role,
                    compared: (0..table.plan.names().0.len()).filter(|index| table.plan.compares(*index)).count(),
                    not_compared: inner.left_out(*id, table),
                }),
            };
            Coverage { id: *id, tap_name: name, covered }
        };
        inner.mapped.iter().map(one).collect()
    }

    /// The columns of every table that are not compared, with the reason.
    pub(super) fn not_compared(&self) -> Vec<(Arc<str>, Vec<String>)> {
        let inner = self.read();
        let of = |(id, mapped): (&TableId, &Mapped)| {
            let Mapped::Judged(table) = mapped else { return None };
            Some((Arc::clone(&table.tap_name), inner.left_out(*id, table)))
        };
        inner.mapped.iter().filter_map(of).collect()
    }

    /// The same of one table.
    pub(super) fn left_out(&self, id: TableId) -> Vec<String> {
        let inner = self.read();
        match inner.mapped.get(&id) {
            Some(Mapped::Judged(table)) => inner.left_out(id, table),
            Some(Mapped::NotJudged(_)) | None => Vec::new(),
        }
    }

    pub(super) fn get(&self, id: TableId) -> Option<Arc<Table>> {
        match self.read().mapped.get(&id) {
            Some(Mapped::Judged(table)) => Some(Arc::clone(table)),
            Some(Mapped::NotJudged(_)) | None => None,
        }
    }

    /// Why a table is not judged.
    pub(super) fn why_not(&self, id: TableId) -> Arc<str> {
        match self.read().mapped.get(&id) {
            Some(Mapped::NotJudged(why)) => Arc::clone(why),
            Some(Mapped::Judged(_)) | None => "it was found on the target too late".into(),
        }
    }

    pub(super) fn plan(&self, id: TableId) -> Option<Arc<Plan>> {
        self.get(id).map(|table| Arc::clone(&table.plan))
    }

    pub(super) fn tap_name(&self, id: TableId) -> Arc<str> {
        self.read().names.get(id.0 as usize).cloned().unwrap_or_else(|| "?".into())
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Makes the plan of a tap table and its target table.
    pub(super) fn plan(
        (id, tap_name, role): (TableId, &Arc<str>, Role),
        meta: Arc<TableMeta>,
        rules: &Rules,
        record: Carries<'_>,
        placeholder: Option<&str>,
    ) -> Result<Table, PlanError> {
        let key: Option<Vec<String>> =
            record.key.map(|columns| columns.0.iter().map(|name| name.to_string()).collect());
        let mut plan = match (Plan::new(id, Arc::clone(&meta), rules, key.as_deref()), record.row) {
            (Err(PlanError::NoKey { .. }), Some(row)) if role == Role::Rows => Plan::of_contents(id, meta, rules, row)?,
            (made, _) => made?,
        };
        let role = match plan.rows() {
            Rows::One => role,
            Rows::Counted => Role::Counted,
        };
        if let Some(marker) = placeholder {
            plan = plan.with_placeholder(marker);
        }
        let (columns, key_columns) = (plan.columns_to_read(), plan.key_places());
        let (tap_name, plan, epoch) = (Arc::clone(tap_name), Arc::new(plan), PlanEpoch::default());
        Ok(Table { id, tap_name, role, plan, columns, key_columns, epoch, filter: None, owned: Owned::default() })
    }

    /// The same table, of which the applier carries the rows that meet a condition.
    pub(super) fn carrying(self, condition: Option<&Condition>) -> Table {
        let filter = condition.map(|condition| Arc::new(Filter::new(condition.clone(), &self.plan)));
        Table { filter, ..self }
    }

    /// The target table's name, for people.
    pub(super) fn target_name(&self) -> String {
        let meta = self.plan.meta();
        if meta.schema.is_empty() { meta.name.to_string() } else { format!("{}.{}", meta.schema, meta.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "threads meet the same table at once")]
    fn a_table_has_one_id_whoever_meets_it_first() {
        let (tables, start) = (Tables::default(), std::sync::Barrier::new(4));
        let meet = || -> Vec<TableId> {
            let names = (0..2000).map(|number| Arc::from(format!("public.t{number}")));
            names.map(|name: Arc<str>| (start.wait(), tables.id(&name)).1).collect()
        };
        let met = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(meet)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).collect::<Vec<_>>()
        });
        assert!(met.iter().all(|ids| *ids == met[0]));
        assert_eq!(met[0], (0..2000).map(TableId).collect::<Vec<_>>());
    }
}
