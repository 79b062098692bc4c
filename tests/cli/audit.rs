//! `audit` of long files: records that are understood by those before them, however many threads decode.

use std::fs;

use serde_json::{Value, json};

use super::afterimage;
use super::shop::{line, shop};

const ROWS: u64 = 5_000;

/// A task's messages: one tells columns and key of the table, thousands follow that say neither, and leave out what is null.
fn task() -> impl Iterator<Item = String> {
    let metadata = |operation: &str, kind: &str| {
        json!({"timestamp": "2026-11-22T09:11:52.034Z", "record-type": kind, "operation": operation,
            "partition-key-type": "schema-table", "schema-name": "shop", "table-name": "orders"})
    };
    let definition = json!({"columns": {"id": {"type": "INT32", "nullable": false}, "name": {"type": "WSTRING", "length": 64},
        "note": {"type": "WSTRING", "length": 64}}, "primary-key": ["id"]});
    let create = json!({"control": {"table-def": definition}, "metadata": metadata("create-table", "control")});
    let insert = move |id: u64| {
        let data = json!({"id": id, "name": format!("n{id}")});
        line("dms", id, None, &json!({"data": data, "metadata": metadata("insert", "data")}))
    };
    std::iter::once(line("dms", 0, None, &create)).chain((1..=ROWS).map(insert))
}

#[test]
fn what_one_message_told_holds_for_all_behind_it() {
    let statements = format!(
        "create table orders (id integer primary key, name text, note text); \
         with recursive n(id) as (select 1 union all select id + 1 from n where id < {ROWS}) \
         insert into orders select id, 'n' || id, null from n; \
         update orders set note = 'written by nobody' where id in (7, 4321)"
    );
    for format in ["auto", "dms"] {
        let shop = shop(task(), &statements);
        let config = format!(
            "[pipelines.orders]\ntap = {{ type = \"file\", path = \"e.jsonl\" }}\ntarget = {{ url = \"sqlite:t.db\" }}\n\
             applied = \"assumed\"\ndecode = {{ format = \"{format}\" }}\n"
        );
        fs::write(shop.path().join("afterimage.toml"), config).expect("a file");
        let ended = afterimage(shop.path(), &["audit", "-c", "afterimage.toml", "-o", "json"], &[]);
        let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
        let findings: Vec<_> = report["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .map(|one| (one["kind"].clone(), one["key"].clone()))
            .collect();
        let diverged = |id: u64| (json!("diverged_row"), json!({"id": id}));
        assert_eq!(findings, [diverged(7), diverged(4321)], "{format}: {}", ended.err);
        assert_eq!(ended.code, Some(1), "{}", ended.err);
    }
}
