//! What MySQL's information schema says of tables.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{Executor as _, Row as _};

use super::grants;
use crate::model::{ColumnMeta, Dialect, TableMeta, UniqueIndex};
use crate::target::Reach;
use crate::target::mapping::TableRef;

const COLUMNS: &str = "
SELECT CAST(c.TABLE_SCHEMA AS CHAR), CAST(c.TABLE_NAME AS CHAR), CAST(c.COLUMN_NAME AS CHAR), CAST(c.COLUMN_TYPE AS CHAR),
       c.IS_NULLABLE = 'YES', CAST(c.COLLATION_NAME AS CHAR), CAST(COALESCE(s.SEQ_IN_INDEX, 0) AS SIGNED)
FROM information_schema.COLUMNS c
LEFT JOIN information_schema.STATISTICS s
  ON s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME
 AND s.INDEX_NAME = 'PRIMARY'
WHERE c.TABLE_SCHEMA = COALESCE(?, DATABASE()) AND c.TABLE_NAME = ?
ORDER BY c.ORDINAL_POSITION";

/// Schema, table. An index over an expression has no column there.
const UNIQUE: &str = "
SELECT CAST(INDEX_NAME AS CHAR), CAST(COALESCE(COLUMN_NAME, '(expression)') AS CHAR) FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 AND INDEX_NAME <> 'PRIMARY'
ORDER BY INDEX_NAME, SEQ_IN_INDEX";

/// A URL that names a database means that database: the server may hold the source's as well.
const NAMED: &str = "
SELECT CAST(TABLE_SCHEMA AS CHAR), CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES
WHERE LOWER(TABLE_NAME) IN (?, ?) AND TABLE_SCHEMA = COALESCE(DATABASE(), TABLE_SCHEMA)
  AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
ORDER BY 1, 2";

/// One table's metadata.
pub(super) async fn describe(
    conn: &mut MySqlConnection,
    schema: Option<&str>,
    table: &str,
) -> Result<Option<TableMeta>, sqlx::Error> {
    let rows = sqlx::query(COLUMNS).bind(schema).bind(table).fetch_all(&mut *conn).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut primary_key = Vec::new();
    let mut columns = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let rank: i64 = row.try_get(6)?;
        if rank > 0 {
            primary_key.push((rank, place));
        }
        columns.push(column(row)?);
    }
    primary_key.sort_unstable();
    let (schema, name): (String, String) = (first.try_get(0)?, first.try_get(1)?);
    let indexed = sqlx::query(UNIQUE).bind(&schema).bind(&name).fetch_all(conn).await?;
    let pairs = indexed.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok(Some(TableMeta {
        dialect: Dialect::Mysql,
        schema: schema.into(),
        name: name.into(),
        columns,
        primary_key: primary_key.into_iter().map(|(_, place)| place).collect(),
        unique: UniqueIndex::all(pairs.collect::<Result<Vec<_>, sqlx::Error>>()?),
    }))
}

fn column(row: &MySqlRow) -> Result<ColumnMeta, sqlx::Error> {
    Ok(ColumnMeta {
        name: row.try_get::<String, _>(2)?.into(),
        declared: row.try_get::<String, _>(3)?.to_lowercase().into(),
        nullable: row.try_get_unchecked::<i64, _>(4)? != 0,
        collation: row.try_get::<Option<String>, _>(5)?.map(Into::into),
        number: 0,
    })
}

/// Schema, table, twice.
const REACH: &str = "
SELECT CAST(COALESCE(TABLE_ROWS, 0) AS SIGNED), NULL FROM information_schema.TABLES
WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?
UNION ALL
SELECT 0, CAST(COLUMN_NAME AS CHAR) FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND SEQ_IN_INDEX = 1 AND COLUMN_NAME IS NOT NULL";

/// How a table is reached by values of its columns.
pub(super) async fn reach(conn: &mut MySqlConnection, table: &TableMeta) -> Result<Reach, sqlx::Error> {
    let query = sqlx::query(REACH).bind(&*table.schema).bind(&*table.name).bind(&*table.schema).bind(&*table.name);
    let mut reach = Reach::default();
    for row in query.fetch_all(conn).await? {
        reach.rows = reach.rows.max(u64::try_from(row.try_get_unchecked::<i64, _>(0)?).unwrap_or(0));
        reach.indexed.extend(row.try_get::<Option<String>, _>(1)?);
    }
    Ok(reach)
}

/// What the session may do to a table besides reading it, by its own privileges and those of its roles.
pub(super) async fn writes(conn: &mut MySqlConnection, table: &TableMeta) -> Result<Vec<String>, sqlx::Error> {
    let rows = conn.fetch_all(sqlx::raw_sql("SHOW GRANTS")).await?;
    let grants: Vec<String> = rows.iter().map(|row| row.try_get_unchecked(0)).collect::<Result<_, _>>()?;
    Ok(grants::writes(grants.iter().map(String::as_str), &table.schema, &table.name))
}

/// The tables with one of these names, in any case of letters.
pub(super) async fn named(conn: &mut MySqlConnection, names: &[String]) -> Result<Vec<TableRef>, sqlx::Error> {
    let first = names.first().map_or("", String::as_str);
    let second = names.get(1).map_or(first, String::as_str);
    let rows = sqlx::query(NAMED).bind(first).bind(second).fetch_all(conn).await?;
    rows.iter().map(|row| Ok(TableRef { schema: row.try_get(0)?, name: row.try_get(1)? })).collect()
}
