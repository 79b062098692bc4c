//! What is remembered between records, to save work: never needed for the answer, and bounded.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::json;
use crate::model::change::TableName;
use crate::model::{Cell, Columns, Row};

/// Most entries of each memory. A full one is emptied and fills again: tables and topics of a pipeline are far fewer.
const MAX_ENTRIES: usize = 4_096;

/// Columns shared by rows of the same names.
#[derive(Debug, Default)]
pub(super) struct Shapes(HashMap<u64, Arc<Columns>>);

impl Shapes {
    /// The shared columns of these names; an error where one comes twice.
    pub(super) fn shared<'n>(&mut self, names: impl Iterator<Item = &'n str> + Clone) -> Result<Arc<Columns>, String> {
        let hash = names.clone().fold(0, |hash, name| xxh3_64_with_seed(name.as_bytes(), hash));
        if let Some(known) = self.0.get(&hash)
            && known.0.iter().map(|name| &**name).eq(names.clone())
        {
            return Ok(Arc::clone(known));
        }
        if json::repeated(names.clone()) {
            return Err("the row has a column twice".to_owned());
        }
        let columns = Arc::new(Columns::new(names));
        remember(&mut self.0, hash, Arc::clone(&columns));
        Ok(columns)
    }

    /// The key that these columns make of a row; `None` where the row lacks one of them, or has one twice.
    pub(super) fn key_of<'a>(&mut self, row: &Row<'a>, columns: &[String]) -> Option<Row<'a>> {
        let cell = |name: &String| row.get(name).filter(|cell| !matches!(cell, Cell::NotSent | Cell::Absent)).cloned();
        let cells: Vec<Cell<'a>> = columns.iter().map(cell).collect::<Option<_>>()?;
        let names = self.shared(columns.iter().map(String::as_str)).ok()?;
        (!cells.is_empty()).then(|| Row::new(names, cells, row.typing))
    }
}

/// Table names, each allocated once.
#[derive(Debug, Default)]
pub(super) struct Tables {
    names: HashMap<u64, TableName>,
    /// The last table, by schema and table as written: records of a table come in runs.
    last: Option<(String, String, TableName)>,
}

impl Tables {
    /// The table of these JSON texts, as written; `None` where they name none.
    pub(super) fn written(&mut self, schema: &str, table: &str) -> Option<TableName> {
        if let Some((last_schema, last_table, name)) = &self.last
            && last_table == table
            && last_schema == schema
        {
            return Some(Arc::clone(name));
        }
        let named = json::text(table).ok().filter(|table| !table.is_empty())?;
        let name = self.named(&json::text(schema).unwrap_or_default(), &named);
        self.last = Some((schema.to_owned(), table.to_owned(), Arc::clone(&name)));
        Some(name)
    }

    /// `schema.table`, or `table` alone where the schema is empty.
    pub(super) fn named(&mut self, schema: &str, table: &str) -> TableName {
        let hash = xxh3_64_with_seed(table.as_bytes(), xxh3_64(schema.as_bytes()));
        match self.names.get(&hash) {
            Some(known) if is_named(known, schema, table) => Arc::clone(known),
            Some(_) | None => {
                let name: TableName = join(schema, table).into();
                remember(&mut self.names, hash, Arc::clone(&name));
                name
            }
        }
    }
}

fn join(schema: &str, table: &str) -> String {
    if schema.is_empty() { table.to_owned() } else { format!("{schema}.{table}") }
}

fn is_named(known: &str, schema: &str, table: &str) -> bool {
    match known.strip_prefix(schema) {
        Some(rest) if schema.is_empty() => rest == table,
        Some(rest) => rest.strip_prefix('.') == Some(table),
        None => false,
    }
}

/// What is remembered under a key; nothing yet where the key is new.
pub(super) fn recall<'m, K: Eq + Hash + Clone, V: Default>(memory: &'m mut HashMap<K, V>, key: &K) -> &'m mut V {
    make_room(memory, key);
    memory.entry_ref(key).or_default()
}

/// Puts an entry into a memory.
pub(super) fn remember<K: Eq + Hash, V>(memory: &mut HashMap<K, V>, key: K, value: V) {
    make_room(memory, &key);
    memory.insert(key, value);
}

fn make_room<K: Eq + Hash, V>(memory: &mut HashMap<K, V>, key: &K) {
    if memory.len() >= MAX_ENTRIES && !memory.contains_key(key) {
        memory.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_share_one_allocation() {
        let mut shapes = Shapes::default();
        let names = ["id", "v"].into_iter();
        let first = shapes.shared(names.clone()).expect("no name twice");
        assert!(Arc::ptr_eq(&first, &shapes.shared(names).expect("no name twice")));
        assert!(shapes.shared(["id", "id"].into_iter()).is_err());
        let mut tables = Tables::default();
        assert!(Arc::ptr_eq(&tables.named("public", "a"), &tables.named("public", "a")));
        assert_eq!(&*tables.named("", "a"), "a");
    }

    #[test]
    fn a_full_memory_starts_again() {
        let mut tables = Tables::default();
        for table in 0..3 * MAX_ENTRIES {
            tables.named("s", &table.to_string());
        }
        assert!(tables.names.len() <= MAX_ENTRIES);
    }
}
