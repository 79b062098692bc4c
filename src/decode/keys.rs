//! Key columns that the user chose: which table has which, and what a row says under them.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Understood;
use super::memo::remember;
use crate::model::change::{KeyChange, TableName};
use crate::model::{Cell, Change, Columns, Op, Row};

/// The key columns that the user chose for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule {
    /// Names on the tap, in key order; at least one.
    pub columns: Arc<Columns>,
    /// Where that is configured, for people: `pipelines.orders.tables[0].key`.
    pub path: String,
}

/// Finds the rule of a table by its name on the tap.
type Find = dyn Fn(&str) -> Option<KeyRule> + Send + Sync;

/// Which tables have key columns of the user's choice.
#[derive(Clone, Default)]
pub struct KeyRules(Option<Arc<Find>>);

impl KeyRules {
    /// None.
    pub const NONE: KeyRules = KeyRules(None);

    /// The rule of a table is what `find` says of its name on the tap. It must say the same whenever it is asked: it is asked
    /// once for each table, and again for one that was forgotten.
    pub fn new(find: impl Fn(&str) -> Option<KeyRule> + Send + Sync + 'static) -> KeyRules {
        KeyRules(Some(Arc::new(find)))
    }
}

impl fmt::Debug for KeyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "KeyRules(..)" } else { "KeyRules(none)" })
    }
}

/// The rules as a decoder asks for them: each table's is found once.
#[derive(Debug, Default)]
pub(super) struct Keys {
    rules: KeyRules,
    known: HashMap<TableName, Option<Arc<KeyRule>>>,
    /// The last table and its rule: records of a table come in runs.
    last: Option<(TableName, Option<Arc<KeyRule>>)>,
}

impl Keys {
    pub(super) fn new(rules: &KeyRules) -> Keys {
        Keys { rules: rules.clone(), ..Keys::default() }
    }

    /// The rule of a table; `None` where the records say what the key is.
    pub(super) fn of(&mut self, table: &TableName) -> Option<Arc<KeyRule>> {
        let find = self.rules.0.as_ref()?;
        if let Some((last, rule)) = &self.last
            && Arc::ptr_eq(last, table)
        {
            return rule.clone();
        }
        let rule = match self.known.get(table) {
            Some(rule) => rule.clone(),
            None => {
                let rule = find(table).map(Arc::new);
                remember(&mut self.known, Arc::clone(table), rule.clone());
                rule
            }
        };
        self.last = Some((Arc::clone(table), rule.clone()));
        rule
    }
}

impl KeyRule {
    /// What a row says under the key columns.
    ///
    /// # Errors
    /// The first column that it lacks, or that was not sent.
    pub(super) fn key_in<'a>(&self, row: &Row<'a>) -> Result<Row<'a>, &str> {
        if *row.columns == *self.columns && row.cells.iter().all(is_sent) {
            return Ok(row.clone());
        }
        let cell = |name| row.get(name).filter(|cell| is_sent(cell)).cloned().ok_or(name);
        let cells = self.columns.0.iter().map(|name| cell(&**name)).collect::<Result<_, _>>()?;
        Ok(Row::new(Arc::clone(&self.columns), cells, row.typing))
    }

    /// Whether these are the key columns, in whatever order.
    pub(super) fn is_of(&self, names: &Columns) -> bool {
        names.0.len() == self.columns.0.len() && self.outside(names).is_none()
    }

    /// The first key column that is not among these.
    pub(super) fn outside(&self, names: &Columns) -> Option<&str> {
        self.columns.0.iter().map(|name| &**name).find(|name| names.index_of(name).is_none())
    }
}

fn is_sent(cell: &Cell<'_>) -> bool {
    !matches!(cell, Cell::NotSent | Cell::Absent)
}

/// An update under which the key changed, as what it is for the rows of a target: the old key's delete, then the new key's
/// insert. `before` is the row under the old key, where it can be trusted as a whole.
pub(super) fn key_changed<'a>(update: Change<'a>, old_key: Row<'a>, before: Option<Row<'a>>) -> Understood<'a> {
    let old = Change {
        table: update.table.clone(),
        op: Op::Delete,
        key: Some(old_key),
        after: None,
        before,
        committed_at: update.committed_at,
        source: update.source.clone(),
        source_order: update.source_order,
        waymark: update.waymark,
        placeholders: Box::default(),
        key_change: KeyChange::Old,
        complete: false,
    };
    let new = Change { op: Op::Insert, before: None, key_change: KeyChange::New, ..update };
    Understood::KeyChange(Box::new((old, new)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_rule_of_a_table_is_found_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let rules = KeyRules::new(move |table| {
            counted.fetch_add(1, Ordering::Relaxed);
            let columns = Arc::new(Columns::new(["id"]));
            (table != "s.none").then(|| KeyRule { columns, path: table.to_owned() })
        });
        let mut keys = Keys::new(&rules);
        for table in ["s.a", "s.a", "s.none", "s.a", "s.none", "s.none"] {
            let rule = keys.of(&table.into());
            assert_eq!(rule.map(|rule| rule.path.clone()), (table != "s.none").then(|| table.to_owned()));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
