//! Reads the failures that DMS has written, page by page, each once however often DMS wrote it.

use secrecy::SecretString;

use super::connection::{Connection, Dialect, DmsError, Texts};
use super::{Failure, Resync, Shape};
use crate::model::Wall;
use crate::model::calendar::parse_moment;

/// What a failure is named by: rows that agree in these say the same.
const NAMED_BY: [&str; 6] = ["TASK_NAME", "TABLE_OWNER", "TABLE_NAME", "KEY_TYPE", "KEY", "FAILURE_TYPE"];

/// What `_v2` has besides.
const OF_RESYNC: [&str; 4] = ["RESYNC_ID", "RESYNC_RESULT", "RESYNC_TIME", "RESYNC_ACTION"];

/// Which failures are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The schema (MySQL: database) of the tables; `None`: the one that has them.
    pub schema: Option<String>,
    /// Only what failed then or later.
    pub since: Option<Wall>,
    /// Only what failed before.
    pub until: Option<Wall>,
}

/// The failures of one database.
pub struct Book {
    connection: Connection,
    sheets: Vec<Sheet>,
    scope: Scope,
}

/// One table.
struct Sheet {
    shape: Shape,
    /// Quoted, with its schema.
    name: String,
    /// The columns by the names that they have in there.
    columns: Vec<(&'static str, String)>,
    /// Behind what the next page begins.
    after: Option<Vec<Option<String>>>,
    /// Whether there may be more.
    left: Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Some,
    Nothing,
}

/// Some failures.
pub type Page = Vec<Failure>;

impl Book {
    /// Connects, and finds the tables.
    ///
    /// # Errors
    /// The database does not answer, or has no such table, or several.
    pub async fn open(url: &SecretString, scope: Scope) -> Result<Book, DmsError> {
        let mut connection = Connection::open(url).await?;
        let mut sheets = Vec::new();
        for shape in Shape::ALL {
            sheets.extend(find(&mut connection, shape, scope.schema.as_deref()).await?);
        }
        if sheets.is_empty() {
            let hint = "name the schema with --schema, or grant SELECT on it; DMS makes it with the first failure";
            return Err(DmsError::NoTable { place: connection.place, hint });
        }
        Ok(Book { connection, sheets, scope })
    }

    /// The names of the tables that were found.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.sheets.iter().map(|sheet| sheet.name.as_str())
    }

    /// The next failures, at most `most`; none where there are no more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn page(&mut self, most: usize) -> Result<Page, DmsError> {
        for sheet in &mut self.sheets {
            if sheet.left == Left::Nothing {
                continue;
            }
            let (sql, values) = sheet.question(self.connection.dialect(), &self.scope, most);
            let rows = self.connection.read(&sql, &values).await?;
            if rows.len() < most {
                sheet.left = Left::Nothing;
            }
            sheet.after = rows.last().map(|last| last[..NAMED_BY.len()].to_vec());
            if !rows.is_empty() {
                return Ok(rows.into_iter().map(|row| failure(sheet.shape, row)).collect());
            }
        }
        Ok(Page::new())
    }
}

impl Sheet {
    fn column<'s>(&'s self, name: &'s str) -> &'s str {
        self.columns.iter().find(|(known, _)| *known == name).map_or(name, |(_, column)| column)
    }

    fn question(&self, dialect: Dialect, scope: &Scope, most: usize) -> (String, Vec<Option<String>>) {
        let named: Vec<String> = NAMED_BY.iter().map(|name| dialect.text(self.column(name))).collect();
        let quoted = |name: &str| dialect.quoted(self.column(name));
        let time = quoted("FAILURE_TIME");
        let mut asked = named.clone();
        asked.push(dialect.cast("count(*)"));
        asked.extend(["min", "max"].map(|of| dialect.cast(&format!("{of}({time})"))));
        if self.shape == Shape::V2 {
            let [id, rest @ ..] = OF_RESYNC.map(quoted);
            asked.push(dialect.cast(&format!("min({id})")));
            asked.extend(rest.map(|column| dialect.cast(&format!("max({column})"))));
        }
        let (mut values, mut conditions): (Vec<Option<String>>, Vec<String>) = (Vec::new(), Vec::new());
        let mut next = |value: Option<String>| {
            values.push(value);
            dialect.place(values.len())
        };
        if let Some(after) = &self.after {
            let places: Vec<String> = after.iter().map(|value| next(value.clone())).collect();
            conditions.push(format!("({}) > ({})", named.join(", "), places.join(", ")));
        }
        for (bound, is) in [(scope.since, ">="), (scope.until, "<")] {
            let Some(bound) = bound else { continue };
            let place = next(Some(written(bound)));
            conditions.push(match dialect {
                Dialect::Postgres => format!("{time} {is} {place}::timestamp"),
                Dialect::Mysql | Dialect::Sqlite => format!("{time} {is} {place}"),
            });
        }
        let only = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let places = (1..=NAMED_BY.len()).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        let (asked, name) = (asked.join(", "), &self.name);
        (format!("SELECT {asked} FROM {name}{only} GROUP BY {places} ORDER BY {places} LIMIT {most}"), values)
    }
}

/// As a column of times without a zone holds it: DMS writes UTC.
pub(super) fn written(at: Wall) -> String {
    let text = at.rfc3339();
    text.trim_end_matches('Z').replacen('T', " ", 1)
}

fn moment(text: Option<&String>) -> Option<Wall> {
    let moment = parse_moment(text?)?;
    let secs = moment.local_secs - i64::from(moment.offset_secs.unwrap_or(0));
    secs.checked_mul(1_000)?.checked_add(i64::from(moment.nanos / 1_000_000)).map(Wall)
}

fn failure(shape: Shape, row: Texts) -> Failure {
    let text = |index: usize| row.get(index).cloned().flatten();
    let [task, owner, table, key_type, key, failure_type] =
        std::array::from_fn(|index| text(index).unwrap_or_default());
    let times = moment(text(7).as_ref()).zip(moment(text(8).as_ref()));
    let resync = (shape == Shape::V2).then(|| Resync {
        id: text(9).unwrap_or_default(),
        result: text(10),
        at: text(11),
        action: text(12),
    });
    let rows = text(6).and_then(|count| count.parse().ok()).unwrap_or(1);
    Failure { shape, task, owner, table, key_type, key, failure_type, rows, times, resync }
}

async fn find(connection: &mut Connection, shape: Shape, schema: Option<&str>) -> Result<Option<Sheet>, DmsError> {
    let dialect = connection.dialect();
    let sql = match dialect {
        Dialect::Postgres => {
            "SELECT table_schema::text, table_name::text FROM information_schema.tables WHERE lower(table_name) = $1"
        }
        Dialect::Mysql => {
            "SELECT CAST(table_schema AS CHAR), CAST(table_name AS CHAR) FROM information_schema.tables \
             WHERE lower(table_name) = ?"
        }
        Dialect::Sqlite => "SELECT '', name FROM sqlite_master WHERE type = 'table' AND lower(name) = ?1",
    };
    let rows = connection.read(sql, &[Some(shape.table().to_owned())]).await?;
    let found = rows.into_iter().filter_map(|row| {
        let [Some(schema), Some(name)] = <[Option<String>; 2]>::try_from(row).ok()? else { return None };
        Some((schema, name))
    });
    let mut found: Vec<(String, String)> =
        found.filter(|(known, _)| schema.is_none_or(|schema| known.is_empty() || schema == known)).collect();
    found.sort_unstable();
    if found.len() > 1 {
        let schemas = found.into_iter().map(|(schema, _)| schema).collect();
        return Err(DmsError::Ambiguous { table: shape.table(), schemas });
    }
    let Some((schema, name)) = found.pop() else { return Ok(None) };
    let columns = columns(connection, (&schema, &name), shape).await?;
    let name = match schema.is_empty() {
        true => dialect.quoted(&name),
        false => format!("{}.{}", dialect.quoted(&schema), dialect.quoted(&name)),
    };
    Ok(Some(Sheet { shape, name, columns, after: None, left: Left::Some }))
}

/// The columns that are read, by their names in the table: their case differs.
async fn columns(
    connection: &mut Connection,
    (schema, table): (&str, &str),
    shape: Shape,
) -> Result<Vec<(&'static str, String)>, DmsError> {
    let (sql, values) = match connection.dialect() {
        Dialect::Postgres => (
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2",
            vec![schema, table],
        ),
        Dialect::Mysql => (
            "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = ? AND table_name = ?",
            vec![schema, table],
        ),
        Dialect::Sqlite => ("SELECT name FROM pragma_table_info(?1)", vec![table]),
    };
    let values: Vec<Option<String>> = values.into_iter().map(|value| Some(value.to_owned())).collect();
    let rows = connection.read(sql, &values).await?;
    let known: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    let of_resync: &[&'static str] = match shape {
        Shape::V1 => &[],
        Shape::V2 => &OF_RESYNC,
    };
    let wanted = NAMED_BY.iter().chain(&["FAILURE_TIME"]).chain(of_resync);
    let find = |column: &&'static str| {
        let found = known.iter().find(|known| known.eq_ignore_ascii_case(column));
        let found = found.map(|found| (*column, found.clone()));
        found.ok_or_else(|| DmsError::NoColumn { table: table.to_owned(), column })
    };
    wanted.map(find).collect()
}
