//! What is known of a target table.

/// The SQL dialects of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
}

/// A column of a target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMeta {
    /// Name, as the database spells it.
    pub name: Box<str>,
    /// Declared type, lower case, with its arguments: `numeric(10,2)`, `character varying(40)`, `datetime(6)`, `int(11) unsigned`.
    pub declared: Box<str>,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Collation, for text, where the database tells.
    pub collation: Option<Box<str>>,
    /// The database's own number for it, which a column that is dropped and made again under its name does not keep; 0 where
    /// the database has none.
    pub number: u32,
}

/// What is known of a target table. Two reads of an unchanged table are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMeta {
    /// Dialect, which the canonical forms depend on.
    pub dialect: Dialect,
    /// Schema (PostgreSQL) or database (MySQL); empty for SQLite.
    pub schema: Box<str>,
    /// Table name.
    pub name: Box<str>,
    /// Columns, in table order.
    pub columns: Vec<ColumnMeta>,
    /// Indices of the primary key's columns, in key order; empty where there is none.
    pub primary_key: Vec<usize>,
    /// Other indexes that hold each value once.
    pub unique: Vec<UniqueIndex>,
}

/// An index that holds each value once, besides that of the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueIndex {
    /// Its name.
    pub name: Box<str>,
    /// Its columns, in its order; an expression stands as the database writes it, or as `(expression)`.
    pub columns: Vec<Box<str>>,
}

impl TableMeta {
    /// Where a column stands; exact first, then without regard to ASCII case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        let exact = self.columns.iter().position(|column| &*column.name == name);
        exact.or_else(|| self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
    }
}

impl UniqueIndex {
    /// Indexes of the pairs of an index and a column, sorted by index and by place in it.
    #[must_use]
    pub fn all(pairs: Vec<(String, String)>) -> Vec<UniqueIndex> {
        let mut all: Vec<UniqueIndex> = Vec::new();
        for (name, column) in pairs {
            match all.last_mut().filter(|last| *last.name == *name) {
                Some(last) => last.columns.push(column.into()),
                None => all.push(UniqueIndex { name: name.into(), columns: vec![column.into()] }),
            }
        }
        all
    }
}

impl TableMeta {
    /// The hazard of unique indexes besides those whose columns are `key`, as a sentence: what an upsert does that meets one
    /// of them. `None` where there is no such index.
    #[must_use]
    pub fn hazard(&self, key: &[&str]) -> Option<String> {
        let is_key = |index: &UniqueIndex| {
            index.columns.len() == key.len() && index.columns.iter().all(|column| key.contains(&&**column))
        };
        let beside: Vec<String> = self
            .unique
            .iter()
            .filter(|index| !is_key(index))
            .map(|index| format!("`{}` ({})", index.name, index.columns.join(", ")))
            .collect();
        let does = match self.dialect {
            Dialect::Postgres => "an upsert that meets one fails, and its row is missing where the applier skips it",
            Dialect::Mysql => {
                "an upsert that meets one (ON DUPLICATE KEY UPDATE) writes the row of another key, and REPLACE deletes it"
            }
            Dialect::Sqlite => "an upsert that meets one fails, and INSERT OR REPLACE deletes the row of another key",
        };
        (!beside.is_empty()).then(|| format!("unique besides the key: {}; {does}", beside.join(", ")))
    }
}
