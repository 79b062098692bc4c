//! `audit` of long files: records that are understood by those before them, however many threads decode.

use std::fs;

use serde_json::{Value, json};

use super::decode::gzip;
use super::shop::{line, shop};
use super::{afterimage, afterimage_reading};

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
        let findings = findings(&report);
        let diverged = |id: u64| (json!("diverged_row"), json!({"id": id}));
        assert_eq!(findings, [diverged(7), diverged(4321)], "{format}: {}", ended.err);
        assert_eq!(ended.code, Some(1), "{}", ended.err);
    }
}

fn findings(report: &Value) -> Vec<(Value, Value)> {
    let all = report["findings"].as_array().expect("findings");
    all.iter().map(|one| (one["kind"].clone(), one["key"].clone())).collect()
}

#[test]
fn a_tap_on_standard_input_is_judged_to_its_end() {
    let row = |id: u64| json!({"id": id, "name": format!("n{id}")});
    let payload = |id: u64| {
        let source = json!({"connector": "postgresql", "schema": "public", "table": "orders", "lsn": id});
        json!({"op": "c", "before": null, "after": row(id), "source": source})
    };
    let lines: String = (1..=300).map(|id| line("t", id, Some(&json!({"id": id})), &payload(id)) + "\n").collect();
    let shop = shop(
        [],
        "create table orders (id integer primary key, name text); \
         with recursive n(id) as (select 1 union all select id + 1 from n where id < 300) \
         insert into orders select id, 'n' || id from n where id <> 123",
    );
    let arguments = ["audit", "--tap", "file:-", "--target", "sqlite:t.db", "-o", "json"];
    for input in [lines.as_bytes(), &gzip(&lines)] {
        let ended = afterimage_reading(shop.path(), &arguments, input);
        let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
        assert_eq!(findings(&report), [(json!("missing_row"), json!({"id": 123}))], "{}", ended.err);
        assert_eq!(ended.code, Some(1), "{}", ended.err);
    }
}

/// A log that is left for another: what it told last never happened, and the target was restored with its source.
#[test]
fn a_tap_with_two_lines_of_its_source_is_judged_by_the_newer_one() {
    let insert = |(offset, id, lsn, seconds): (u64, u64, u64, u64)| {
        let source = json!({"connector": "postgresql", "name": "shop", "schema": "public", "table": "orders", "lsn": lsn + 8,
            "sequence": format!("[\"{lsn}\",\"{}\"]", lsn + 8), "ts_ms": 1_790_000_000_000u64 + seconds * 1000});
        let payload = json!({"op": "c", "before": null, "after": {"id": id, "name": "n"}, "source": source});
        line("t", offset, Some(&json!({"id": id})), &payload)
    };
    let old = [(0, 1, 1000, 0), (1, 2, 2000, 1), (2, 3, 3000, 2)];
    let new = [(3, 4, 1500, 10), (4, 5, 1600, 11), (5, 6, 1700, 12), (6, 7, 1800, 13)];
    let again = [(3, 2, 2000, 1), (4, 3, 3000, 2), (5, 4, 4000, 10), (6, 5, 5000, 11)];
    for (then, rows, expected, complete) in [
        (new, "(1), (4), (5), (6)", [("coverage_gap", json!(null)), ("missing_row", json!({"id": 7}))].to_vec(), false),
        (again, "(1), (2), (3), (4)", [("missing_row", json!({"id": 5}))].to_vec(), true),
    ] {
        let statements = format!(
            "create table orders (id integer primary key, name text default 'n'); insert into orders (id) values {rows}"
        );
        let shop = shop(old.into_iter().chain(then).map(insert), &statements);
        let ended =
            afterimage(shop.path(), &["audit", "--tap", "file:e.jsonl", "--target", "sqlite:t.db", "-o", "json"], &[]);
        let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
        let expected: Vec<(Value, Value)> = expected.into_iter().map(|(kind, key)| (json!(kind), key)).collect();
        assert_eq!(findings(&report), expected, "{}", ended.err);
        assert_eq!(report["summary"]["complete"], json!(complete), "{}", ended.out);
        assert_eq!(ended.code, Some(if complete { 1 } else { 2 }), "{}", ended.err);

        let of_log = |number: &str| {
            let fixed = ["audit", "--tap", "file:e.jsonl", "--target", "sqlite:t.db", "-o", "json", "--fresh"];
            afterimage(shop.path(), &[&fixed[..], &["--incarnation", number]].concat(), &[])
        };
        let (first, second, third) = (of_log("1"), of_log("2"), of_log("3"));
        if complete {
            let report: Value = serde_json::from_str(&first.out).expect("JSON");
            assert_eq!((first.code, findings(&report)), (Some(1), expected), "{}", first.err);
            assert!(second.code == Some(2) && second.err.contains("the range holds one log"), "{}", second.err);
        } else {
            let report: Value = serde_json::from_str(&second.out).unwrap_or_else(|_| panic!("{}", second.err));
            assert_eq!((second.code, &report["summary"]["complete"]), (Some(1), &json!(true)), "{}", second.err);
            assert_eq!(findings(&report), [(json!("missing_row"), json!({"id": 7}))], "{}", second.err);
            assert_eq!(report["summary"]["range"][0]["from"], json!(3), "{}", second.out);
            assert!(first.code == Some(2) && first.err.contains("was left for another"), "{}", first.err);
            assert!(third.code == Some(2) && third.err.contains("incarnations 1 to 2"), "{}", third.err);
        }
    }
}

#[test]
fn a_tap_that_fails_before_its_end_is_never_verified() {
    let packed = gzip(&task().map(|line| line + "\n").collect::<String>());
    let shop = shop([], "create table orders (id integer primary key, name text, note text)");
    let arguments = ["audit", "--tap", "file:-", "--target", "sqlite:t.db", "-o", "json"];
    for length in [100, packed.len() / 2] {
        let ended = afterimage_reading(shop.path(), &arguments, &packed[..length]);
        let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
        assert_eq!((ended.code, &report["summary"]["complete"]), (Some(2), &json!(false)), "{}", ended.err);
        assert!(ended.err.contains("cut off or damaged"), "{}", ended.err);
    }
}
