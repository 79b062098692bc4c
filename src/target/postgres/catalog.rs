//! What PostgreSQL's catalog says of tables.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::model::{ColumnMeta, Dialect, TableMeta, UniqueIndex};
use crate::target::mapping::TableRef;
use crate::target::{Pooler, Reach, RowSecurity};

/// Domains are followed to their base types: values travel as those.
const COLUMNS: &str = "
WITH RECURSIVE base(attnum, typid, typmod) AS (
  SELECT a.attnum, a.atttypid, a.atttypmod FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attnum, t.typbasetype, t.typtypmod FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typid
  WHERE t.typtype = 'd')
SELECT a.attname::text,
       CASE WHEN t.typtype = 'e' THEN 'enum(' || t.typname || ')'
            WHEN t.typcategory = 'A' AND e.typtype = 'e' THEN 'enum(' || e.typname || ')[]'
            ELSE pg_catalog.format_type(b.typid, b.typmod) END,
       NOT a.attnotnull, c.collname::text,
       COALESCE(pg_catalog.array_position(i.indkey::int2[], a.attnum), -1)::int4, a.attnum::int4
FROM pg_catalog.pg_attribute a
JOIN base b ON b.attnum = a.attnum
JOIN pg_catalog.pg_type t ON t.oid = b.typid AND t.typtype <> 'd'
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation AND c.collname <> 'default'
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";

/// One row for each column of an index, in its order.
const UNIQUE: &str = "
SELECT x.relname::text, COALESCE(a.attname::text, '(expression)')
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
WHERE i.indrelid = $1::oid AND i.indisunique AND NOT i.indisprimary AND k.place <= i.indnkeyatts
ORDER BY x.relname, k.place";

/// Tables, partitioned tables, views and foreign tables; without a schema, the one that the search path finds.
const TABLE: &str = "
SELECT c.oid::int8, n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $2::text AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE WHEN $1::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = $1::text END
LIMIT 1";

const NAMED: &str = "
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE lower(c.relname) = ANY($1::text[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1, 2";

/// One table's metadata.
pub(super) async fn describe(
    conn: &mut PgConnection,
    pooler: Pooler,
    schema: Option<&str>,
    table: &str,
) -> Result<Option<TableMeta>, sqlx::Error> {
    let found = sqlx::query(TABLE)
        .persistent(pooler.keeps_statements())
        .bind(schema)
        .bind(table)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(found) = found else { return Ok(None) };
    let oid: i64 = found.try_get(0)?;
    let rows = sqlx::query(COLUMNS).persistent(pooler.keeps_statements()).bind(oid).fetch_all(&mut *conn).await?;
    let mut primary_key = Vec::new();
    let mut columns = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let rank: i32 = row.try_get(4)?;
        if rank >= 0 {
            primary_key.push((rank, place));
        }
        columns.push(column(row)?);
    }
    primary_key.sort_unstable();
    let indexed = sqlx::query(UNIQUE).persistent(pooler.keeps_statements()).bind(oid).fetch_all(&mut *conn).await?;
    let pairs = indexed.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok(Some(TableMeta {
        dialect: Dialect::Postgres,
        schema: found.try_get::<String, _>(1)?.into(),
        name: found.try_get::<String, _>(2)?.into(),
        columns,
        primary_key: primary_key.into_iter().map(|(_, place)| place).collect(),
        unique: UniqueIndex::all(pairs.collect::<Result<Vec<_>, sqlx::Error>>()?),
    }))
}

fn column(row: &PgRow) -> Result<ColumnMeta, sqlx::Error> {
    Ok(ColumnMeta {
        name: row.try_get::<String, _>(0)?.into(),
        declared: row.try_get::<String, _>(1)?.to_lowercase().into(),
        nullable: row.try_get(2)?,
        collation: row.try_get::<Option<String>, _>(3)?.map(Into::into),
        number: u32::try_from(row.try_get::<i32, _>(5)?).unwrap_or_default(),
    })
}

/// Schema, table.
const PRIVILEGES: &str = "SELECT pg_catalog.row_security_active(t.name::regclass), ARRAY( \
     SELECT p FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS p \
     WHERE pg_catalog.has_table_privilege(t.name, p) ORDER BY p) \
     FROM (SELECT pg_catalog.format('%I.%I', $1::text, $2::text) AS name) AS t";

/// What the session may do to a table besides reading it, and whether policies decide which rows it sees.
pub(super) async fn privileges(
    conn: &mut PgConnection,
    pooler: Pooler,
    table: &TableMeta,
) -> Result<(Vec<String>, RowSecurity), sqlx::Error> {
    let query = sqlx::query(PRIVILEGES).persistent(pooler.keeps_statements());
    let row = query.bind(&*table.schema).bind(&*table.name).fetch_one(conn).await?;
    let hides_rows = if row.try_get(0)? { RowSecurity::Filtered } else { RowSecurity::SeesAll };
    Ok((row.try_get(1)?, hides_rows))
}

/// Schema, table. A table that was never analysed is taken for one of short rows. Views have no size.
const REACH: &str = "
SELECT (CASE WHEN c.reltuples >= 0 THEN c.reltuples ELSE COALESCE(pg_catalog.pg_relation_size(c.oid), 0) / 64 END)::int8,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
             WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relname = $2::text";

/// How a table is reached by values of its columns.
pub(super) async fn reach(conn: &mut PgConnection, pooler: Pooler, table: &TableMeta) -> Result<Reach, sqlx::Error> {
    let query = sqlx::query(REACH).persistent(pooler.keeps_statements());
    let row = query.bind(&*table.schema).bind(&*table.name).fetch_one(conn).await?;
    Ok(Reach { rows: u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0), indexed: row.try_get(1)? })
}

/// The tables with one of these names, in any case of letters.
pub(super) async fn named(
    conn: &mut PgConnection,
    pooler: Pooler,
    names: &[String],
) -> Result<Vec<TableRef>, sqlx::Error> {
    let rows = sqlx::query(NAMED).persistent(pooler.keeps_statements()).bind(names).fetch_all(conn).await?;
    rows.iter().map(|row| Ok(TableRef { schema: row.try_get(0)?, name: row.try_get(1)? })).collect()
}
