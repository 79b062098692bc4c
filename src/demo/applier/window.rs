//! The merge window: the net effect of many changes, one statement a row.

use std::collections::BTreeMap;

use super::change::{Act, Event, Fields, RowId, Statement, Write};

/// Changes in one window; at it the window has to be closed early. DMS bounds its windows by memory the same way
/// (`BatchApplyMemoryLimit`).
pub const CHANGES_AT_MOST: usize = 100_000;

/// The net effect of a row's changes so far.
///
/// It is worked out from the changes alone, as if the target stood where the window began. That is right as long as every
/// window is applied exactly once.
#[derive(Debug, Clone, PartialEq)]
pub enum Net {
    /// The row did not exist before the window.
    Insert(Fields),
    /// The row existed before the window.
    Update {
        /// The row after the last change.
        row: Fields,
        /// The columns that the last change alone changed.
        last: Fields,
    },
    /// The row existed before the window and is gone.
    Delete,
    /// The row came and went inside the window.
    Nothing,
}

impl Net {
    fn first(act: &Act) -> Net {
        match act {
            Act::Insert(row) => Net::Insert(row.clone()),
            Act::Update { row, before } => Net::Update { row: row.clone(), last: changed(row, before.as_ref()) },
            Act::Delete => Net::Delete,
        }
    }

    /// What this and a later change come to.
    #[must_use]
    pub fn and(self, act: &Act) -> Net {
        match (self, act) {
            (Net::Insert(_) | Net::Nothing, Act::Insert(row) | Act::Update { row, .. }) => Net::Insert(row.clone()),
            (Net::Insert(_) | Net::Nothing, Act::Delete) => Net::Nothing,
            (Net::Update { .. }, Act::Update { row, before }) => {
                Net::Update { row: row.clone(), last: changed(row, before.as_ref()) }
            }
            (Net::Update { .. } | Net::Delete, Act::Insert(row)) | (Net::Delete, Act::Update { row, .. }) => {
                Net::Update { row: row.clone(), last: row.clone() }
            }
            (Net::Update { .. } | Net::Delete, Act::Delete) => Net::Delete,
        }
    }
}

fn changed(row: &Fields, before: Option<&Fields>) -> Fields {
    let Some(before) = before else { return row.clone() };
    row.iter().filter(|(name, value)| before.get(*name) != Some(*value)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// Which columns a merged update sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Every column of the row.
    Whole,
    /// Only the columns that its last change changed: what earlier updates of the window changed elsewhere is lost.
    LastOnly,
}

/// One change of a row inside a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Version<P> {
    /// The row it leaves.
    pub row: Option<Fields>,
    /// Its place.
    pub at: P,
}

/// Everything a window knows of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged<P> {
    /// Key columns and values.
    pub key: Fields,
    /// Net effect.
    pub net: Net,
    /// Its changes, in order.
    pub versions: Vec<Version<P>>,
}

/// Changes collected since the last window was applied, merged per row.
#[derive(Debug, Clone)]
pub struct Window<P> {
    rows: BTreeMap<RowId, Merged<P>>,
    changes: usize,
}

impl<P> Default for Window<P> {
    fn default() -> Window<P> {
        Window { rows: BTreeMap::new(), changes: 0 }
    }
}

impl<P> Window<P> {
    /// Takes the next change of the log.
    pub fn take(&mut self, event: Event<P>) {
        self.changes += 1;
        let version = Version { row: event.act.row().cloned(), at: event.at };
        let id = RowId::new(&event.table, &event.key);
        match self.rows.get_mut(&id) {
            Some(merged) => {
                let net = std::mem::replace(&mut merged.net, Net::Nothing);
                merged.net = net.and(&event.act);
                merged.versions.push(version);
            }
            None => {
                let net = Net::first(&event.act);
                self.rows.insert(id, Merged { key: event.key, net, versions: vec![version] });
            }
        }
    }

    /// The statements of the net effect: table by table, and within a table inserts, updates, deletes.
    #[must_use]
    pub fn statements(&self, setting: Setting) -> Vec<Statement> {
        let mut statements: Vec<Statement> =
            self.rows.iter().filter_map(|(id, merged)| statement(id, merged, setting)).collect();
        statements.sort_by(|a, b| (&a.id.table, a.write.rank()).cmp(&(&b.id.table, b.write.rank())));
        statements
    }

    /// The rows it touches.
    #[must_use]
    pub fn rows(&self) -> &BTreeMap<RowId, Merged<P>> {
        &self.rows
    }

    /// How many changes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Whether it has to be closed now, see [`CHANGES_AT_MOST`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.changes >= CHANGES_AT_MOST
    }

    /// Forgets everything, as after an applied window or a crash.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.changes = 0;
    }
}

fn statement<P>(id: &RowId, merged: &Merged<P>, setting: Setting) -> Option<Statement> {
    let without_key = |fields: &Fields| -> Fields {
        fields.iter().filter(|(n, _)| !merged.key.contains_key(*n)).map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    let write = match (&merged.net, setting) {
        (Net::Insert(row), _) => Write::Insert(row.clone()),
        (Net::Update { row, .. }, Setting::Whole) => Write::Update(without_key(row)),
        (Net::Update { last, .. }, Setting::LastOnly) => Write::Update(without_key(last)),
        (Net::Delete, _) => Write::Delete,
        (Net::Nothing, _) => return None,
    };
    Some(Statement { id: id.clone(), key: merged.key.clone(), write })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{delete, fields, insert, update};
    use super::*;

    fn net(acts: &[Act]) -> String {
        let mut window = Window::default();
        for (at, act) in acts.iter().enumerate() {
            window.take(Event { table: "t".into(), key: fields(&[("id", 1)]), act: act.clone(), at });
        }
        let statements = window.statements(Setting::Whole);
        assert!(statements.len() <= 1, "one row, one statement at most");
        match statements.first().map(|statement| &statement.write) {
            Some(Write::Insert(row)) => format!("insert v={}", row["v"]),
            Some(Write::Update(set)) => format!("update v={}", set["v"]),
            Some(Write::Delete) => "delete".into(),
            None => "nothing".into(),
        }
    }

    #[test]
    fn every_merge_rule() {
        let rows: &[(&[Act], &str)] = &[
            (&[insert(1)], "insert v=1"),
            (&[update(1, 2)], "update v=2"),
            (&[delete()], "delete"),
            (&[insert(1), update(1, 2)], "insert v=2"),
            (&[insert(1), delete()], "nothing"),
            (&[insert(1), insert(2)], "insert v=2"),
            (&[update(1, 2), update(2, 3)], "update v=3"),
            (&[update(1, 2), delete()], "delete"),
            (&[update(1, 2), insert(3)], "update v=3"),
            (&[delete(), insert(3)], "update v=3"),
            (&[delete(), update(3, 4)], "update v=4"),
            (&[delete(), delete()], "delete"),
            (&[insert(1), delete(), insert(3)], "insert v=3"),
            (&[insert(1), delete(), update(3, 4)], "insert v=4"),
            (&[insert(1), delete(), delete()], "nothing"),
            (&[delete(), insert(3), delete()], "delete"),
            (&[delete(), insert(3), update(3, 4)], "update v=4"),
            (&[insert(1), update(1, 2), delete()], "nothing"),
            (&[update(1, 2), delete(), insert(3)], "update v=3"),
        ];
        for (acts, expected) in rows {
            assert_eq!(net(acts), *expected, "{acts:?}");
        }
    }

    #[test]
    fn a_torn_update_sets_only_what_the_last_change_changed() {
        let row = |a: i64, b: i64| fields(&[("id", 1), ("a", a), ("b", b)]);
        let change = |from: Fields, to: Fields| Act::Update { row: to, before: Some(from) };
        let mut window = Window::default();
        for (at, act) in [change(row(1, 1), row(2, 1)), change(row(2, 1), row(2, 2))].into_iter().enumerate() {
            window.take(Event { table: "t".into(), key: fields(&[("id", 1)]), act, at });
        }
        assert_eq!(window.statements(Setting::LastOnly)[0].write, Write::Update(fields(&[("b", 2)])));
        assert_eq!(window.statements(Setting::Whole)[0].write, Write::Update(fields(&[("a", 2), ("b", 2)])));
    }

    #[test]
    fn statements_come_table_by_table_inserts_before_updates_before_deletes() {
        let mut window = Window::default();
        let changes = [("b", 1, delete()), ("b", 2, insert(1)), ("a", 3, update(1, 2)), ("b", 4, update(1, 2))];
        for (at, (table, id, act)) in changes.into_iter().enumerate() {
            window.take(Event { table: table.into(), key: fields(&[("id", id)]), act, at });
        }
        let order: Vec<String> = window.statements(Setting::Whole).iter().map(|s| s.id.to_string()).collect();
        assert_eq!(order, [r#"a {"id":3}"#, r#"b {"id":2}"#, r#"b {"id":4}"#, r#"b {"id":1}"#]);
    }
}
