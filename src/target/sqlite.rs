//! SQLite.
//!
//! The file is opened read-only. One statement a batch: the keys go as one bound JSON document, unpacked by `json_each`,
//! whose `key` is the ordinal. SQLite has no statement timeout; a read that takes too long is given up, not cancelled.

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _};

use super::endpoint::Endpoint;
use super::failure::{self, Class};
use super::mapping::TableRef;
use super::reader::{Reader, read};
use super::sql::{belongs, counting, double_quoted, living_behind, only_living, statement};
use super::{Answer, Answered, AppliedRow, Ask, Options, Probe, Reach, TargetError, applied};
use crate::model::calendar::{format_date, format_moment, format_time};
use crate::model::{Cell, ColumnMeta, Dialect, Row, TableMeta, Typing, UniqueIndex};

/// A SQLite target.
#[derive(Debug, Clone)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reader: Reader<sqlx::Sqlite>,
    dead_rows: String,
}

impl Sqlite {
    /// Opens the file, which must exist.
    pub(super) async fn connect(options: Options, path: &str) -> Result<Sqlite, TargetError> {
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(options.statement_timeout)
            .disable_statement_logging();
        let answers = Arc::new(Endpoint::default());
        let reader = Reader::new(&options, by_code, answers, move |pool| pool.connect_lazy_with(connect.clone()));
        let target = Sqlite { inner: Arc::new(Inner { reader, dead_rows: options.dead_rows }) };
        target.probe().await?;
        Ok(target)
    }

    /// One table's metadata.
    pub(super) async fn describe(&self, table: &str) -> Result<Option<TableMeta>, TargetError> {
        let reader = &self.inner.reader;
        read!(reader, 0, table, |conn| describe(conn, table).await.map_err(|error| reader.classify(table, error)))
    }

    /// The tables with one of these names (lower case).
    pub(super) async fn named(&self, names: &[String]) -> Result<Vec<TableRef>, TargetError> {
        const NAMED: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') \
                             AND lower(name) IN (SELECT value FROM json_each(?)) ORDER BY name";
        let reader = &self.inner.reader;
        let wanted = serde_json::Value::from(names).to_string();
        let rows = read!(reader, 0, "", |conn| {
            let rows = sqlx::query(NAMED).bind(wanted).fetch_all(conn).await;
            rows.map_err(|error| reader.classify("", error))
        })?;
        let name = |row: &SqliteRow| row.try_get(0).map_err(|error| reader.classify("", error));
        rows.iter().map(|row| Ok(TableRef { schema: String::new(), name: name(row)? })).collect()
    }

    /// How a table is reached by values of its columns.
    pub(super) async fn reach(&self, table: &TableMeta) -> Result<Reach, TargetError> {
        let name = double_quoted(&table.name);
        let rows = format!("SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT {})", Reach::COUNTED);
        let reader = &self.inner.reader;
        read!(reader, 0, &table.name, |conn| {
            let fail = |error| reader.classify(&table.name, error);
            let rows: i64 = sqlx::query_scalar(statement(rows)).fetch_one(&mut *conn).await.map_err(fail)?;
            let indexed = sqlx::query_scalar(INDEXED).bind(&*table.name).fetch_all(conn).await.map_err(fail)?;
            Ok(Reach { rows: u64::try_from(rows).unwrap_or(0), indexed })
        })
    }

    /// The rows of the asked keys.
    pub(super) async fn lookup(&self, ask: &Ask) -> Result<Answer, TargetError> {
        let mut answer: Answer = vec![Vec::new(); ask.keys.len()];
        let mut asked = Vec::with_capacity(ask.keys.len());
        let mut documents = Vec::with_capacity(ask.keys.len());
        for (index, key) in ask.keys.iter().enumerate() {
            let parts: Option<Vec<_>> = key.iter().map(json).collect();
            if let Some(parts) = parts.filter(|parts| parts.len() == ask.key_columns.len()) {
                documents.push(serde_json::Value::Array(parts));
                asked.push(index);
            }
        }
        let reader = &self.inner.reader;
        let sql = lookup_sql(ask, &self.inner.dead_rows);
        let rows = read!(reader, asked.len(), &ask.table.name, |conn| {
            let keys = serde_json::Value::Array(documents).to_string();
            let rows = sqlx::query(statement(sql)).bind(keys).fetch_all(conn).await;
            rows.map_err(|error| reader.classify(&ask.table.name, error))
        })?;
        for row in rows {
            let unfit = || failure::changed(&ask.table.name, "the answer is not of the shape asked for");
            let ordinal: i64 = row.try_get(0).map_err(|_| unfit())?;
            let index = usize::try_from(ordinal).ok().and_then(|ordinal| asked.get(ordinal)).ok_or_else(unfit)?;
            let width = ask.columns.len() + usize::from(ask.rows == Answered::Counted);
            let cells = (0..width).map(|column| cell(&row, column + 1)).collect::<Option<Vec<_>>>();
            answer[*index].push(Row::new(ask.names.clone(), cells.ok_or_else(unfit)?, Typing::Declared));
        }
        Ok(answer)
    }

    /// Rows in the order of their key.
    pub(super) async fn page(&self, ask: &Ask, most: usize) -> Result<Vec<Row<'static>>, TargetError> {
        let last = ask.keys.first().map(|key| key.iter().map(json).collect::<Option<Vec<_>>>().unwrap_or_default());
        let reader = &self.inner.reader;
        let sql = page_sql(ask, most, &self.inner.dead_rows);
        let rows = read!(reader, most, &ask.table.name, |conn| {
            let query =
                sqlx::query(statement(sql)).bind(serde_json::Value::Array(last.unwrap_or_default()).to_string());
            query.fetch_all(conn).await.map_err(|error| reader.classify(&ask.table.name, error))
        })?;
        let cells = |row: &SqliteRow| (0..ask.columns.len()).map(|column| cell(row, column + 1)).collect();
        let unfit = || failure::changed(&ask.table.name, "the answer is not of the shape asked for");
        let made =
            |row: &SqliteRow| Ok(Row::new(ask.names.clone(), Option::ok_or_else(cells(row), unfit)?, Typing::Declared));
        rows.iter().map(made).collect()
    }

    /// The rows of the operator's query. The connection cannot write.
    pub(super) async fn applied(&self, sql: &str) -> Result<Vec<AppliedRow>, TargetError> {
        let reader = &self.inner.reader;
        let query = sqlx::raw_sql(statement(sql.to_owned()));
        let rows = read!(reader, 1, "", |conn| {
            conn.fetch_all(query).await.map_err(|error| reader.classify("query of `applied`", error))
        })?;
        applied::rows(&rows.iter().map(texts).collect::<Vec<_>>())
    }

    /// What stands at the other end.
    pub(super) async fn probe(&self) -> Result<Probe, TargetError> {
        let reader = &self.inner.reader;
        // Touching the schema is what finds out that a file is no database.
        let facts = "SELECT sqlite_version(), (SELECT count(*) FROM sqlite_schema)";
        let row = read!(reader, 0, "", |conn| conn.fetch_one(facts).await.map_err(|error| reader.classify("", error)))?;
        let version: String = row.try_get(0).map_err(|error| reader.classify("", error))?;
        Ok(Probe { version: format!("SQLite {version}"), ..Probe::default() })
    }
}

const INDEXED: &str = "SELECT c.name FROM pragma_index_list(?) l JOIN pragma_index_info(l.name) c \
                       WHERE c.seqno = 0 AND NOT l.partial AND c.name IS NOT NULL";

async fn describe(conn: &mut SqliteConnection, table: &str) -> Result<Option<TableMeta>, sqlx::Error> {
    const COLUMNS: &str = "SELECT s.name, c.name, lower(c.type), c.\"notnull\", c.pk FROM sqlite_schema s \
                           JOIN pragma_table_xinfo(s.name) c WHERE s.type IN ('table', 'view') AND s.name = ? \
                           AND c.hidden <> 1 ORDER BY c.cid";
    const UNIQUE: &str = "SELECT l.name, coalesce(c.name, '(expression)') FROM pragma_index_list(?) l \
                          JOIN pragma_index_info(l.name) c WHERE l.\"unique\" AND l.origin <> 'pk' ORDER BY l.name, c.seqno";
    let rows = sqlx::query(COLUMNS).bind(table).fetch_all(&mut *conn).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut primary_key = Vec::new();
    let mut columns = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let rank: i64 = row.try_get(4)?;
        if rank > 0 {
            primary_key.push((rank, place));
        }
        columns.push(ColumnMeta {
            name: row.try_get::<String, _>(1)?.into(),
            declared: row.try_get::<String, _>(2)?.into(),
            nullable: row.try_get::<i64, _>(3)? == 0,
            collation: None,
            number: 0,
        });
    }
    primary_key.sort_unstable();
    let indexed = sqlx::query(UNIQUE).bind(table).fetch_all(conn).await?;
    let pairs = indexed.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok(Some(TableMeta {
        dialect: Dialect::Sqlite,
        schema: "".into(),
        name: first.try_get::<String, _>(0)?.into(),
        columns,
        primary_key: primary_key.into_iter().map(|(_, place)| place).collect(),
        unique: UniqueIndex::all(pairs.collect::<Result<Vec<_>, sqlx::Error>>()?),
    }))
}

/// A name that is not there would be a string in double quotes; behind a table's name it is an error. The asked keys
/// drive the join, which `CROSS JOIN` says here.
fn lookup_sql(ask: &Ask, dead_rows: &str) -> String {
    let columns = &ask.table.columns;
    let quoted = |place: &usize| format!("t.{}", double_quoted(&columns[*place].name));
    let selected: String = ask.columns.iter().map(|place| format!(", {}", quoted(place))).collect();
    let conditions: Vec<String> = ask
        .key_columns
        .iter()
        .enumerate()
        .map(|(index, place)| format!("{} = {}", quoted(place), asked_value(&columns[*place], index)))
        .collect();
    let (count, grouped) = counting(ask.rows, ask.columns.len() + 1);
    format!(
        "SELECT k.afterimage_ordinal{selected}{count} FROM (SELECT key AS afterimage_ordinal, value AS afterimage_key \
         FROM json_each(?)) AS k CROSS JOIN {} AS t ON {}{}{grouped}",
        double_quoted(&ask.table.name),
        belongs(conditions, ask.nulls.iter().map(quoted)),
        only_living(dead_rows),
    )
}

fn page_sql(ask: &Ask, most: usize, dead_rows: &str) -> String {
    let columns = &ask.table.columns;
    let quoted = |place: &usize| format!("t.{}", double_quoted(&columns[*place].name));
    let selected: String = ask.columns.iter().map(|place| format!(", {}", quoted(place))).collect();
    let key: Vec<String> = ask.key_columns.iter().map(quoted).collect();
    let key = key.join(", ");
    let numbered = ask.key_columns.iter().enumerate();
    let last: Vec<String> = numbered.map(|(index, place)| value_in("?1", &columns[*place], index)).collect();
    let behind = (!ask.keys.is_empty()).then(|| format!("({key}) > ({})", last.join(", ")));
    // The key is bound to every page, whether or not there was one before.
    format!(
        "SELECT ?1 IS NULL{selected} FROM {} AS t{} ORDER BY {key} LIMIT {most}",
        double_quoted(&ask.table.name),
        living_behind(dead_rows, behind),
    )
}

fn asked_value(column: &ColumnMeta, index: usize) -> String {
    value_in("k.afterimage_key", column, index)
}

/// Bytes travel as hexadecimal digits, since JSON has none.
fn value_in(key: &str, column: &ColumnMeta, index: usize) -> String {
    let value = format!("json_extract({key}, '$[{index}]')");
    if column.declared.contains("blob") { format!("unhex({value})") } else { value }
}

/// The JSON of a key's cell; `None` for what cannot be a key's value. Decimals go as text, which the column's affinity
/// makes a number again without losing digits on the way.
fn json(cell: &Cell) -> Option<serde_json::Value> {
    Some(match cell {
        Cell::Int(value) => (*value).into(),
        Cell::Bool(value) => i64::from(*value).into(),
        Cell::Float64(value) if value.is_finite() => (*value).into(),
        Cell::Float32(value) if value.is_finite() => f64::from(*value).into(),
        Cell::Decimal(_) | Cell::Text(_) | Cell::Uuid(_) => cell.to_string().into(),
        Cell::Bytes(_) => cell.to_string().into(),
        Cell::Date(days) => format_date(*days).into(),
        Cell::Time(nanos) => format_time(*nanos).into(),
        Cell::Local(secs, nanos) | Cell::Instant(secs, nanos) => format_moment(*secs, *nanos).into(),
        Cell::Float64(_)
        | Cell::Float32(_)
        | Cell::Null
        | Cell::Absent
        | Cell::NotSent
        | Cell::Redacted
        | Cell::Infinity(_)
        | Cell::Json(_)
        | Cell::Opaque(_) => return None,
    })
}

/// By storage class: in SQLite a type belongs to a value, not to a column.
fn cell(row: &SqliteRow, index: usize) -> Option<Cell<'static>> {
    let value = row.try_get_raw(index).ok()?;
    if value.is_null() {
        return Some(Cell::Null);
    }
    match value.type_info().name() {
        "INTEGER" => row.try_get_unchecked(index).ok().map(Cell::Int),
        "REAL" => row.try_get_unchecked(index).ok().map(Cell::Float64),
        "TEXT" => row.try_get_unchecked::<String, _>(index).ok().map(|text| Cell::Text(text.into())),
        "BLOB" => row.try_get_unchecked::<Vec<u8>, _>(index).ok().map(|bytes| Cell::Bytes(bytes.into())),
        _ => None,
    }
}

fn texts(row: &SqliteRow) -> Vec<Option<String>> {
    let text = |index| match cell(row, index) {
        None | Some(Cell::Null) => None,
        Some(cell) => Some(cell.to_string()),
    };
    (0..row.len()).map(text).collect()
}

/// SQLite's result codes, the extended ones by their low byte: <https://www.sqlite.org/rescode.html>.
fn by_code(error: &dyn sqlx::error::DatabaseError) -> Class {
    let code: u32 = error.code().and_then(|code| code.parse().ok()).unwrap_or_default();
    match code & 0xff {
        1 if error.message().starts_with("no such table") => Class::Changed("the table is gone or was renamed"),
        1 if error.message().starts_with("no such column") => Class::Changed("a column is gone or was renamed"),
        17 => Class::Changed("the schema changed while it was read"),
        5 | 6 => Class::Unreachable("the database is locked by a writer"),
        9 | 10 => Class::Unreachable("the file could not be read"),
        14 => Class::Unreachable("the file cannot be opened: check the path, and that its directory can be read"),
        8 => Class::Refused("the statement tried to write, and reads here are read-only"),
        3 | 23 => Class::Refused("the file may not be read: check its permissions"),
        11 | 26 => Class::Refused("the file is no SQLite database, or is damaged"),
        _ => Class::Refused("SQLite reports an error that retrying does not mend: check `dead_rows` and `query:SQL`"),
    }
}
