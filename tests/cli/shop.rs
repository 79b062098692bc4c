//! A tap file beside a SQLite target, for commands that read both.

use std::fs;

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

/// A line as `kcat -C -J` prints it, of partition 0.
pub(super) fn line(topic: &str, offset: u64, key: Option<&Value>, payload: &Value) -> String {
    let at = 1_790_000_000_000u64 + offset;
    json!({"topic": topic, "partition": 0, "offset": offset, "tstype": "create", "ts": at, "broker": 0,
        "key": key.map(Value::to_string), "payload": payload.to_string()})
    .to_string()
}

/// A row of the table `customers`.
pub(super) fn row(id: i64, name: &str) -> Value {
    row_of(id, name, "Delft")
}

/// The same, of another city.
pub(super) fn row_of(id: i64, name: &str, city: &str) -> Value {
    json!({"id": id, "name": name, "city": city})
}

/// A line with one change of `customers` as Debezium writes it.
pub(super) fn change(offset: u64, op: &str, id: i64, before: &Value, after: &Value) -> String {
    change_of("customers", offset, (op, id), before, after)
}

/// A line with one change of a table as Debezium writes it.
pub(super) fn change_of(table: &str, offset: u64, (op, id): (&str, i64), before: &Value, after: &Value) -> String {
    let at = 1_790_000_000_000 + offset;
    let source = json!({"version": "3.5.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": at,
        "snapshot": "false", "db": "shop", "schema": "public", "table": table, "txId": 1, "lsn": 1000 + offset});
    let payload = json!({"before": before, "after": after, "source": source, "op": op, "ts_ms": at});
    line(&format!("shop.public.{table}"), offset, Some(&json!({"id": id})), &payload)
}

/// A folder with the tap `e.jsonl` of these lines, and the target `t.db` that these statements made.
pub(super) fn shop(lines: impl IntoIterator<Item = String>, statements: &str) -> TempDir {
    let shop = super::folder("");
    let tap: String = lines.into_iter().map(|line| line + "\n").collect();
    fs::write(shop.path().join("e.jsonl"), tap).expect("a file");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(shop.path().join("t.db")).create_if_missing(true);
        let mut target = options.connect().await.expect("a database");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut target).await.expect("tables");
    });
    shop
}
