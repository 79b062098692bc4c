//! `audit` with a cache that forgets nearly every image before it is needed: they are read again from the file.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::afterimage;
use super::decode::gzip;
use super::shop::{change, shop};

/// Rows of 2 KiB, three times what the smallest cache holds.
const ROWS: i64 = 1_500;

fn row(id: i64, name: &str) -> Value {
    json!({"id": id, "name": name, "city": "Delft", "price": 10, "note": "n".repeat(2_000)})
}

/// Every row is inserted, and the first twenty change early on.
fn lines() -> Vec<String> {
    let null = Value::Null;
    let mut lines: Vec<String> = Vec::new();
    for id in 1..=ROWS {
        lines.push(change(lines.len() as u64, "c", id, &null, &row(id, "first")));
        if id <= 20 {
            let mut after = row(id, "second");
            after["city"] = json!("Gouda");
            lines.push(change(lines.len() as u64, "u", id, &row(id, "first"), &after));
        }
    }
    lines.push(change(lines.len() as u64, "d", 30, &row(30, "first"), &null));
    lines
}

/// What the applier left: 2 lost its update, 4 took half of it, 6 holds what nobody wrote, 8 is missing; 10 is right within the
/// tolerance and 12 is not; the row 30 was never deleted.
fn audited() -> TempDir {
    let statements = format!(
        "create table customers (id integer primary key, name text, city text, price integer, note text); \
         with recursive n(id) as (select 1 union all select id + 1 from n where id < {ROWS}) \
         insert into customers select id, iif(id <= 20, 'second', 'first'), iif(id <= 20, 'Gouda', 'Delft'), 10, \
         replace(hex(zeroblob(1000)), '0', 'n') from n; \
         update customers set name = 'first', city = 'Delft' where id = 2; update customers set city = 'Delft' where id = 4; \
         update customers set city = 'Paris' where id = 6; delete from customers where id = 8; \
         update customers set price = 11 where id = 10; update customers set price = 13 where id = 12"
    );
    shop(lines(), &statements)
}

fn config(tap: &str, cache: &str) -> String {
    format!(
        "[pipelines.orders]\ntap = {{ type = \"file\", path = \"{tap}\" }}\ntarget = {{ url = \"sqlite:t.db\" }}\n\
         applied = \"assumed\"\npoll = \"50ms\"\nconfirm_after = \"50ms\"\nlimits = {{ cache = \"{cache}\", reread = \"100ms\" }}\n\
         [[pipelines.orders.tables]]\nmatch = \"public.customers\"\ntolerance = {{ price = 1 }}\n"
    )
}

/// Everything of each finding but times.
fn findings(report: &Value) -> Vec<Value> {
    let told = |finding: &Value| {
        let names = ["key", "kind", "cause", "columns", "expected"];
        let mut told: Vec<Value> = names.iter().map(|name| finding[name].clone()).collect();
        told.push(finding["observed"]["matches"].clone());
        // Two thousand letters say no more than their number.
        let note = told[4]["row"]["note"].as_str().map(str::len);
        told[4]["row"]["note"] = json!(note);
        json!(told)
    };
    let mut told: Vec<Value> = report["findings"].as_array().expect("findings").iter().map(told).collect();
    told.sort_by_key(|finding| finding[0]["id"].as_i64());
    told
}

#[test]
fn a_small_cache_finds_what_a_large_one_finds_with_the_same_columns_and_rows() {
    let shop = audited();
    let plain = fs::read_to_string(shop.path().join("e.jsonl")).expect("a file");
    fs::write(shop.path().join("e.jsonl.gz"), gzip(&plain)).expect("a file");
    let mut all: Vec<Vec<Value>> = Vec::new();
    for (tap, cache) in [("e.jsonl", "256MiB"), ("e.jsonl", "1MiB"), ("e.jsonl.gz", "1MiB")] {
        fs::write(shop.path().join("afterimage.toml"), config(tap, cache)).expect("a file");
        let ended = afterimage(shop.path(), &["audit", "-c", "afterimage.toml", "-o", "json"], &[]);
        let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
        assert_eq!(
            (ended.code, &report["summary"]["complete"]),
            (Some(1), &json!(true)),
            "{tap} {cache}: {}",
            ended.err
        );
        all.push(findings(&report));
    }
    let kinds: Vec<(i64, &str, usize)> = all[0]
        .iter()
        .filter_map(|finding| Some((finding[0]["id"].as_i64()?, finding[1].as_str()?, finding[3].as_array()?.len())))
        .collect();
    let expected = [
        (2, "lost_update", 2),
        (4, "torn_row", 1),
        (6, "diverged_row", 1),
        (8, "missing_row", 0),
        (12, "diverged_row", 1),
        (30, "unapplied_delete", 0),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(all[1], all[0]);
    assert_eq!(all[2], all[0]);
}

/// What cannot be read twice costs the columns, and nothing is said of a row that only its image would judge.
#[test]
fn what_cannot_be_read_again_costs_detail_and_never_the_truth() {
    let shop = audited();
    fs::write(shop.path().join("afterimage.toml"), config("-", "1MiB")).expect("a file");
    let tap = fs::read(shop.path().join("e.jsonl")).expect("a file");
    let ended = super::afterimage_reading(shop.path(), &["audit", "-c", "afterimage.toml", "-o", "json"], &tap);
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    let found = findings(&report);
    let ids: Vec<i64> = found.iter().filter_map(|finding| finding[0]["id"].as_i64()).collect();
    assert_eq!(ids, [8, 30], "a tolerance may make every other row right: {found:?}");
    assert_eq!((ended.code, &report["summary"]["complete"]), (Some(2), &json!(false)), "{}", ended.err);
}
