//! Writes rows in the shape of `awsdms_validation_failures_v1`, with what DMS does not tell: whether the row is there, whether it
//! is the source's, when that was found out and by whom.
//!
//! The table has one row for each finding, named by the finding's id, so that writing it again changes that row.

use std::io::{self, Write};

use secrecy::SecretString;

use super::connection::{Connection, Dialect, DmsError};
use crate::model::Wall;

/// The table that is written where no other is named. Not DMS's own: a task that finds that one left over does not start.
pub const DEFAULT_TABLE: &str = "afterimage_validation_failures";

/// Rows of one transaction.
const AT_ONCE: usize = 500;

/// The widths of `KEY` and `DETAILS`, as DMS has them on PostgreSQL.
const WIDTHS: (usize, usize) = (7_800, 7_000);

/// The columns: those of DMS in its order and its case, then those that are added.
const COLUMNS: [&str; 13] = [
    "TASK_NAME",
    "TABLE_OWNER",
    "TABLE_NAME",
    "FAILURE_TIME",
    "KEY_TYPE",
    "KEY",
    "FAILURE_TYPE",
    "DETAILS",
    "available_in_target",
    "matching_with_source",
    "last_updated_datetime",
    "last_updated_by",
    "finding_id",
];

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Comma-separated values with a header.
    Csv,
    /// Statements for PostgreSQL.
    Sql,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `TASK_NAME`.
    pub task: String,
    /// `TABLE_OWNER`.
    pub owner: String,
    /// `TABLE_NAME`.
    pub table: String,
    /// `FAILURE_TIME`.
    pub at: Wall,
    /// `KEY`.
    pub key: String,
    /// `FAILURE_TYPE`.
    pub failure_type: &'static str,
    /// `DETAILS`.
    pub details: String,
    /// Whether the target has a row of the key.
    pub available_in_target: Option<bool>,
    /// Whether the target's row is the source's; `None`: the source was not read.
    pub matching_with_source: Option<bool>,
    /// When something was last found out or said of it.
    pub updated: Wall,
    /// By whom.
    pub updated_by: String,
    /// The finding's id.
    pub finding: String,
}

impl Entry {
    fn values(&self) -> [Option<String>; COLUMNS.len()] {
        let fact = |fact: Option<bool>| fact.map(|fact| if fact { "true" } else { "false" }.to_owned());
        [
            Some(self.task.clone()),
            Some(self.owner.clone()),
            Some(self.table.clone()),
            Some(super::book::written(self.at)),
            Some("Row".to_owned()),
            Some(within(&self.key, WIDTHS.0)),
            Some(self.failure_type.to_owned()),
            Some(within(&self.details, WIDTHS.1)),
            fact(self.available_in_target),
            fact(self.matching_with_source),
            Some(super::book::written(self.updated)),
            Some(self.updated_by.clone()),
            Some(self.finding.clone()),
        ]
    }
}

fn within(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// A table that is written.
pub struct Ledger {
    connection: Connection,
    table: String,
}

impl Ledger {
    /// Connects, and makes the table if there is none. `name` is `TABLE` or `SCHEMA.TABLE`.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn open(url: &SecretString, name: &str) -> Result<Ledger, DmsError> {
        let mut connection = Connection::open(url).await?;
        let dialect = connection.dialect();
        let table = qualified(dialect, name)?;
        connection.write(&[(create(dialect, &table), Vec::new())]).await?;
        Ok(Ledger { connection, table })
    }

    /// Writes rows: those of known findings anew.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn put(&mut self, entries: &[Entry]) -> Result<(), DmsError> {
        let dialect = self.connection.dialect();
        let places: Vec<String> = (1..=COLUMNS.len()).map(|number| dialect.place(number)).collect();
        let sql = upsert(dialect, &self.table, &places);
        for entries in entries.chunks(AT_ONCE) {
            let statements: Vec<(String, Vec<Option<String>>)> =
                entries.iter().map(|entry| (sql.clone(), entry.values().to_vec())).collect();
            self.connection.write(&statements).await?;
        }
        Ok(())
    }

    /// Removes the rows of findings that are over.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    pub async fn remove(&mut self, findings: &[String]) -> Result<(), DmsError> {
        let dialect = self.connection.dialect();
        for ids in findings.chunks(AT_ONCE) {
            let places: Vec<String> = (1..=ids.len()).map(|number| dialect.place(number)).collect();
            let id = dialect.quoted("finding_id");
            let sql = format!("DELETE FROM {} WHERE {id} IN ({})", self.table, places.join(", "));
            self.connection.write(&[(sql, ids.iter().cloned().map(Some).collect())]).await?;
        }
        Ok(())
    }
}

fn qualified(dialect: Dialect, name: &str) -> Result<String, DmsError> {
    let parts: Vec<&str> = name.split('.').collect();
    match (parts.as_slice(), dialect) {
        ([table], _) if !table.is_empty() => Ok(dialect.quoted(table)),
        ([schema, table], Dialect::Postgres | Dialect::Mysql) if !schema.is_empty() && !table.is_empty() => {
            Ok(format!("{}.{}", dialect.quoted(schema), dialect.quoted(table)))
        }
        _ => Err(DmsError::Name(name.to_owned())),
    }
}

fn create(dialect: Dialect, table: &str) -> String {
    let (moment, long) = match dialect {
        Dialect::Postgres => ("timestamp", ("varchar(7800)", "varchar(7000)")),
        // A row of MySQL has no room for two such columns.
        Dialect::Mysql => ("datetime(3)", ("text", "text")),
        Dialect::Sqlite => ("timestamp", ("text", "text")),
    };
    let kind = |column: &str| match column {
        "FAILURE_TIME" | "last_updated_datetime" => format!("{moment} NOT NULL"),
        "KEY" => format!("{} NOT NULL", long.0),
        "DETAILS" => format!("{} NOT NULL", long.1),
        "available_in_target" | "matching_with_source" => "boolean".to_owned(),
        "finding_id" => "varchar(32) NOT NULL PRIMARY KEY".to_owned(),
        _ => "varchar(128) NOT NULL".to_owned(),
    };
    let columns: Vec<String> =
        COLUMNS.iter().map(|column| format!("{} {}", dialect.quoted(column), kind(column))).collect();
    format!("CREATE TABLE IF NOT EXISTS {table} ({})", columns.join(", "))
}

/// A value of this column, which is bound as a text.
fn typed(dialect: Dialect, column: &str, place: String) -> String {
    match (dialect, column) {
        (Dialect::Postgres, "FAILURE_TIME" | "last_updated_datetime") => format!("{place}::timestamp"),
        (Dialect::Postgres, "available_in_target" | "matching_with_source") => format!("{place}::boolean"),
        (Dialect::Mysql | Dialect::Sqlite, "available_in_target" | "matching_with_source") => {
            format!("CASE {place} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END")
        }
        (Dialect::Postgres | Dialect::Mysql | Dialect::Sqlite, _) => place,
    }
}

fn upsert(dialect: Dialect, table: &str, values: &[String]) -> String {
    let columns: Vec<String> = COLUMNS.iter().map(|column| dialect.quoted(column)).collect();
    let values: Vec<String> =
        COLUMNS.iter().zip(values).map(|(column, value)| typed(dialect, column, value.clone())).collect();
    let others = columns.iter().filter(|column| **column != dialect.quoted("finding_id"));
    let set: Vec<String> = others
        .map(|column| match dialect {
            Dialect::Postgres | Dialect::Sqlite => format!("{column} = excluded.{column}"),
            Dialect::Mysql => format!("{column} = VALUES({column})"),
        })
        .collect();
    let known = match dialect {
        Dialect::Postgres | Dialect::Sqlite => {
            format!("ON CONFLICT ({}) DO UPDATE SET", dialect.quoted("finding_id"))
        }
        Dialect::Mysql => "ON DUPLICATE KEY UPDATE".to_owned(),
    };
    let (columns, values, set) = (columns.join(", "), values.join(", "), set.join(", "));
    format!("INSERT INTO {table} ({columns}) VALUES ({values}) {known} {set}")
}

/// A file that is written.
pub struct Paper<W: Write> {
    form: Form,
    table: String,
    out: W,
}

impl<W: Write> Paper<W> {
    /// Begins with a header, or with the statement that makes `table`, which is `TABLE` or `SCHEMA.TABLE`. What is not known is
    /// empty in a list of values.
    ///
    /// # Errors
    /// When `out` cannot be written, or `table` is no name.
    pub fn begin(form: Form, table: &str, mut out: W) -> io::Result<Paper<W>> {
        let dialect = Dialect::Postgres;
        let table = qualified(dialect, table).map_err(|error| io::Error::other(error.to_string()))?;
        match form {
            Form::Csv => csv::Writer::from_writer(&mut out).write_record(COLUMNS)?,
            Form::Sql => writeln!(out, "{};", create(dialect, &table))?,
        }
        Ok(Paper { form, table, out })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn put(&mut self, entries: &[Entry]) -> io::Result<()> {
        match self.form {
            Form::Csv => {
                let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(&mut self.out);
                for entry in entries {
                    writer.write_record(entry.values().map(Option::unwrap_or_default))?;
                }
                writer.flush()
            }
            Form::Sql => {
                let literals = |entry: &Entry| entry.values().map(literal);
                let each = entries.iter().map(|entry| upsert(Dialect::Postgres, &self.table, &literals(entry)));
                each.into_iter().try_for_each(|statement| writeln!(self.out, "{statement};"))
            }
        }
    }

    /// Ends, and gives back what it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn literal(value: Option<String>) -> String {
    match value {
        None => "NULL".to_owned(),
        // Whatever standard_conforming_strings says, a backslash in such a text is one.
        Some(text) if text.contains('\\') => format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
        Some(text) => format!("'{}'", text.replace('\'', "''")),
    }
}
