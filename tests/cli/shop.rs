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
