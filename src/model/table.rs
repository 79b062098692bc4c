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
}

impl TableMeta {
    /// Where a column stands; exact first, then without regard to ASCII case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        let exact = self.columns.iter().position(|column| &*column.name == name);
        exact.or_else(|| self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
    }
}
