//! Changes as a Debezium connector for PostgreSQL writes them: JSON without schemas, `REPLICA IDENTITY FULL`.

use serde_json::{Value, json};

use super::shop::Table;
use super::{Change, SourceRecord};
use crate::model::Wall;

/// The connector: where the log stands.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    began: Wall,
    lsn: u64,
    transaction: u64,
}

impl Connector {
    pub(super) fn new(began: Wall) -> Connector {
        Connector { began, lsn: 38_570_472, transaction: 1800 }
    }

    /// The source's clock `at` milliseconds after the beginning, as a `timestamptz` travels.
    pub(super) fn time(&self, at: u64) -> String {
        Wall(self.millis(at)).rfc3339()
    }

    fn millis(&self, at: u64) -> i64 {
        self.began.0.saturating_add(i64::try_from(at).unwrap_or(i64::MAX))
    }

    /// The records of one transaction.
    pub(super) fn records(&mut self, changes: &[Change], at: u64, snapshot: bool, out: &mut Vec<SourceRecord>) {
        self.transaction += 1;
        let begun = self.lsn;
        for (index, change) in changes.iter().enumerate() {
            let snapshot = match (snapshot, index) {
                (false, _) => "false",
                (true, 0) => "first",
                (true, _) if index + 1 == changes.len() => "last",
                (true, _) => "true",
            };
            let source = self.source(change.table, begun, at, snapshot);
            let key = key(change);
            let value = envelope(change, source, self.millis(at), snapshot != "false").to_string();
            let topic = change.table.topic();
            out.push(SourceRecord { topic, key: key.clone(), value: Some(value) });
            if change.after.is_none() {
                out.push(SourceRecord { topic, key, value: None });
            }
            self.lsn += 88 + 8 * (change.key.len() as u64 + change.after.as_ref().map_or(0, |row| row.len() as u64));
        }
    }

    fn source(&self, table: Table, begun: u64, at: u64, snapshot: &str) -> Value {
        let millis = self.millis(at);
        json!({
            "version": "3.5.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": millis, "snapshot": snapshot,
            "db": "shop", "sequence": format!("[\"{begun}\",\"{}\"]", self.lsn), "ts_us": millis * 1_000,
            "ts_ns": millis * 1_000_000, "schema": "public", "table": table.name(), "txId": self.transaction,
            "lsn": self.lsn, "xmin": null, "origin": null, "origin_lsn": null,
        })
    }
}

fn envelope(change: &Change, source: Value, millis: i64, snapshot: bool) -> Value {
    let op = match (&change.before, &change.after) {
        (_, None) => "d",
        (None, Some(_)) if snapshot => "r",
        (None, Some(_)) => "c",
        (Some(_), Some(_)) => "u",
    };
    json!({
        "before": change.before, "after": change.after, "source": source, "transaction": null, "op": op,
        "ts_ms": millis, "ts_us": millis * 1_000, "ts_ns": millis * 1_000_000,
    })
}

/// The key's columns stand in the order of the primary key.
fn key(change: &Change) -> String {
    let pair = |column: &&str| Some(format!("{}:{}", json!(column), change.key.get(*column)?));
    format!("{{{}}}", change.table.key_columns().iter().filter_map(pair).collect::<Vec<_>>().join(","))
}
