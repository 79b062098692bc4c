//! Writes a SQLite target: the applier's own hand, apart from the sidecar's reading one.

use std::path::Path;

use serde_json::Value;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, Sqlite};

use super::change::{Effect, Fields, Statement, Write};

/// A SQLite database that the applier writes.
#[derive(Debug, Clone)]
pub struct SqliteWriter {
    pool: SqlitePool,
}

impl SqliteWriter {
    /// Creates the database at `path` and runs `schema` on it. It is in WAL mode, so that readers do not wait for the
    /// applier.
    ///
    /// # Errors
    /// When the file cannot be written or the schema is refused.
    pub async fn create(path: &Path, schema: &'static str) -> Result<SqliteWriter, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::raw_sql(schema).execute(&pool).await?;
        Ok(SqliteWriter { pool })
    }

    /// Carries out statements in one transaction; what each of them did comes back in their order.
    ///
    /// # Errors
    /// When the database refuses a statement for anything but a key that exists already. Nothing is written then.
    pub async fn write(&self, statements: &[Statement]) -> Result<Vec<Effect>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let mut effects = Vec::with_capacity(statements.len());
        for statement in statements {
            let (sql, arguments) = rendered(statement)?;
            let query = sqlx::query_with::<Sqlite, _>(AssertSqlSafe(sql), arguments);
            let done = query.execute(&mut *transaction).await?.rows_affected() > 0;
            effects.push(if done { Effect::Done } else { Effect::Skipped });
        }
        transaction.commit().await?;
        Ok(effects)
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn rendered(statement: &Statement) -> Result<(String, SqliteArguments), sqlx::Error> {
    let table = statement.id.table.rsplit('.').next().map(quoted).unwrap_or_default();
    let mut arguments = SqliteArguments::default();
    let sql = match &statement.write {
        Write::Insert(row) => {
            bind(row, &mut arguments)?;
            let columns: Vec<String> = row.keys().map(|name| quoted(name)).collect();
            let marks = vec!["?"; row.len()].join(", ");
            format!("INSERT INTO {table} ({}) VALUES ({marks}) ON CONFLICT DO NOTHING", columns.join(", "))
        }
        Write::Update(set) if set.is_empty() => {
            bind(&statement.key, &mut arguments)?;
            let first = statement.key.keys().next().map(|name| quoted(name)).unwrap_or_default();
            format!("UPDATE {table} SET {first} = {first} WHERE {}", equals(&statement.key, " AND "))
        }
        Write::Update(set) => {
            bind(set, &mut arguments)?;
            bind(&statement.key, &mut arguments)?;
            format!("UPDATE {table} SET {} WHERE {}", equals(set, ", "), equals(&statement.key, " AND "))
        }
        Write::Delete => {
            bind(&statement.key, &mut arguments)?;
            format!("DELETE FROM {table} WHERE {}", equals(&statement.key, " AND "))
        }
    };
    Ok((sql, arguments))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn equals(fields: &Fields, between: &str) -> String {
    fields.keys().map(|name| format!("{} = ?", quoted(name))).collect::<Vec<_>>().join(between)
}

fn bind(fields: &Fields, arguments: &mut SqliteArguments) -> Result<(), sqlx::Error> {
    for value in fields.values() {
        let bound = match value {
            Value::Null => arguments.add(None::<String>),
            Value::Bool(value) => arguments.add(*value),
            Value::Number(number) => match number.as_i64() {
                Some(number) => arguments.add(number),
                None => arguments.add(number.as_f64()),
            },
            Value::String(text) => arguments.add(text.clone()),
            Value::Array(_) | Value::Object(_) => arguments.add(value.to_string()),
        };
        bound.map_err(sqlx::Error::Encode)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::change::RowId;
    use super::super::sample::fields;
    use super::*;

    fn statement(id: i64, write: Write) -> Statement {
        let key = fields(&[("id", id)]);
        Statement { id: RowId::new("public.t", &key), key, write }
    }

    #[tokio::test]
    async fn statements_that_meet_the_wrong_row_are_skipped() {
        let dir = tempfile::tempdir().expect("a directory");
        let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER)";
        let writer = SqliteWriter::create(&dir.path().join("t.db"), schema).await.expect("a database");
        let row = |v| fields(&[("id", 1), ("v", v)]);
        let rows = [
            (statement(1, Write::Update(fields(&[("v", 9)]))), Effect::Skipped),
            (statement(1, Write::Delete), Effect::Skipped),
            (statement(1, Write::Insert(row(1))), Effect::Done),
            (statement(1, Write::Insert(row(2))), Effect::Skipped),
            (statement(1, Write::Update(fields(&[("v", 3)]))), Effect::Done),
            (statement(1, Write::Update(fields(&[]))), Effect::Done),
            (statement(2, Write::Update(fields(&[]))), Effect::Skipped),
        ];
        let (statements, expected): (Vec<Statement>, Vec<Effect>) = rows.into_iter().unzip();
        assert_eq!(writer.write(&statements).await.expect("written"), expected);
        let v: i64 = sqlx::query_scalar("SELECT v FROM t").fetch_one(&writer.pool).await.expect("a row");
        assert_eq!(v, 3);
        assert_eq!(writer.write(&[statement(1, Write::Delete)]).await.expect("written"), [Effect::Done]);
    }
}
