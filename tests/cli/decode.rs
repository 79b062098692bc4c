//! `decode`: the keys it prints are those of the configuration, and standard input is as good as a file.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::shop::{line, shop};
use super::{afterimage, afterimage_reading, folder};

/// Rules of which the first that matches is the table's: it has no key for `plain`.
const RULES: &str = r#"
[pipelines.orders]
tap = { type = "file", path = "e.jsonl" }
[[pipelines.orders.tables]]
match = "shop.plain"
ignore = ["note"]
[[pipelines.orders.tables]]
match = "/^shop[.]/"
key = ["code"]
[[pipelines.orders.tables]]
match = "shop.members"
key = ["id"]
"#;

fn debezium(offset: u64, table: &str, (op, before, after): (&str, &Value, &Value)) -> String {
    let source = json!({"connector": "postgresql", "schema": "shop", "table": table, "lsn": 16 + offset, "ts_ms": 5});
    let key = json!({"id": 1});
    line("t", offset, Some(&key), &json!({"op": op, "before": before, "after": after, "source": source}))
}

fn dms(offset: u64, operation: &str, data: &Value, before: &Value) -> String {
    let metadata = json!({"timestamp": "2026-11-22T09:11:52.034Z", "record-type": "data", "operation": operation,
        "partition-key-type": "schema-table", "schema-name": "shop", "table-name": "badges"});
    line("t", offset, None, &json!({"data": data, "BI": before, "metadata": metadata}))
}

#[test]
fn keys_are_those_of_the_first_rule_that_matches() {
    let null = Value::Null;
    let member = |code: &str| json!({"id": 1, "code": code});
    let lines = [
        debezium(0, "members", ("c", &null, &member("a"))),
        debezium(1, "members", ("u", &member("a"), &member("b"))),
        debezium(2, "members", ("u", &null, &member("b"))),
        debezium(3, "members", ("c", &null, &json!({"id": 1}))),
        debezium(4, "plain", ("c", &null, &member("a"))),
        dms(5, "insert", &member("a"), &json!({})),
        dms(6, "update", &member("b"), &member("a")),
        dms(7, "insert", &json!({"id": 1}), &json!({})),
        json!({"topic": "t", "partition": 0, "offset": 8, "ts": 1, "key": "{\"id\":1}", "payload": null}).to_string(),
    ];
    let shop = shop(lines, "");
    fs::write(shop.path().join("a.toml"), RULES).expect("a file");
    let ended = afterimage(shop.path(), &["decode", "-c", "a.toml", "-o", "ndjson"], &[]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "some records have no key that can be told");
    let told: Vec<String> = ended.out.lines().map(in_short).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    0 insert {"code":"a"}
    1 update {"code":"a"} -> {"code":"b"}
    2 reject null: debezium record: whether key column `code` changed cannot be told: `pipelines.orders.tables[1].key` names it, and the record has no old row that is sure; log rows whole at the source (REPLICA IDENTITY FULL, binlog_row_image=FULL), or name the column in the connector's `message.key.columns`
    3 reject null: debezium record: key column `code` is neither in the record's key nor in its row: expected it in one of them, for `pipelines.orders.tables[1].key` names it; name columns that every record of the table carries
    4 insert {"id":1}
    5 insert {"code":"a"}
    6 update {"code":"a"} -> {"code":"b"}
    7 reject null: dms record: key column `code` is not in `data`: expected it there, for `pipelines.orders.tables[1].key` names it; name columns that every record of the table carries
    8 tombstone null
    "#);
}

/// What became of one record.
fn in_short(line: &str) -> String {
    let told: Value = serde_json::from_str(line).expect("each line is JSON");
    let what = told["op"].as_str().or(told["status"].as_str()).expect("each record has its status");
    let old = told.get("old_key").map(|old| format!("{old} -> ")).unwrap_or_default();
    let reason = told["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} {what} {old}{}{reason}", told["at"]["offset"], told["key"])
}

#[test]
fn a_change_without_a_key_says_what_to_configure() {
    let payload = json!({"op": "c", "after": {"id": 1}, "source": {"connector": "mysql", "db": "d", "table": "t"}});
    let shop = shop([line("t", 0, None, &payload)], "");
    let ended = afterimage(shop.path(), &["decode", "--tap", "file:e.jsonl", "-o", "ndjson"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    insta::assert_snapshot!(in_short(&ended.out), @r#"0 insert null: neither the record nor the configuration names its key: `run` and `audit` take the target's primary key; set `key = ["COLUMN"]` in a [[pipelines.NAME.tables]] rule for this table where that is not right"#);
}

#[test]
fn standard_input_is_read_like_a_file() {
    let payload =
        |id: u64| json!({"op": "c", "after": {"id": id}, "source": {"connector": "mysql", "db": "d", "table": "t"}});
    // More than a pipe holds.
    let lines: String = (0..5_000).map(|id| line("t", id, Some(&json!({"id": id})), &payload(id)) + "\n").collect();
    let folder = folder("");
    fs::write(folder.path().join("e.jsonl"), &lines).expect("a file");
    let from_file = afterimage(folder.path(), &["decode", "--tap", "file:e.jsonl", "-o", "ndjson"], &[]);
    assert_eq!((from_file.code, from_file.out.lines().count()), (Some(0), 5_000), "{}", from_file.err);
    for input in [lines.as_bytes(), &gzip(&lines)] {
        let ended = afterimage_reading(folder.path(), &["decode", "--tap", "file:-", "-o", "ndjson"], input);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert!(ended.out == from_file.out, "the same records are understood the same");
    }
    let broken = afterimage_reading(folder.path(), &["decode", "--tap", "file:-", "-o", "ndjson"], b"not JSON\n");
    assert_eq!(broken.code, Some(1), "{}", broken.err);
    assert!(broken.out.contains("\"status\":\"reject\""), "{}", broken.out);
    let cut = &gzip(&lines)[..200];
    let ended = afterimage_reading(folder.path(), &["decode", "--tap", "file:-", "-o", "ndjson"], cut);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("cut off or damaged"), "{}", ended.err);
}

/// The text as `gzip` packs it.
pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).and_then(|()| packed.finish()).expect("memory takes it")
}

/// One record of each format, all of one topic.
fn mixed() -> Vec<String> {
    let null = Value::Null;
    let key = json!({"id": 7});
    let (types, row) =
        (json!({"id": "int", "name": "varchar(9)"}), |id: &str, name: &str| json!({"id": id, "name": name}));
    let canal = json!({"data": [row("8", "h"), row("9", "i")], "database": "shop", "es": 5, "isDdl": false, "mysqlType": types,
        "old": null, "pkNames": ["id"], "table": "customers", "ts": 6, "type": "INSERT"});
    let maxwell =
        json!({"database": "shop", "table": "customers", "type": "insert", "ts": 5, "data": {"id": 10, "name": "j"}});
    let cloud = json!({"specversion": "1.0", "id": "1", "source": "/debezium/mysql/p", "type": "t", "iodebeziumop": "c",
        "iodebeziumconnector": "mysql", "iodebeziumdb": "shop", "iodebeziumtable": "customers",
        "data": {"before": null, "after": {"id": 11, "name": "k"}}});
    let flat = json!({"id": 7, "name": "g", "__op": "c", "__table": "customers", "__db": "shop"});
    let bare = |offset: u64, key: &Value| {
        json!({"topic": "shop.customers", "partition": 0, "offset": offset, "ts": 1, "key": key.to_string(), "payload": null}).to_string()
    };
    vec![
        line("shop.customers", 0, None, &canal),
        line("shop.customers", 1, Some(&json!({"database": "shop", "table": "customers", "pk.id": 10})), &maxwell),
        line("shop.customers", 2, Some(&json!({"id": 11})), &cloud),
        line("shop.customers", 3, Some(&key), &flat),
        bare(4, &key),
        dms(5, "insert", &json!({"id": 12, "code": "m"}), &null).replace("\"t\"", "\"shop.customers\""),
    ]
}

#[test]
fn every_format_in_one_topic_is_named() {
    let shop = shop(mixed(), "");
    let ended = afterimage(shop.path(), &["decode", "--tap", "file:e.jsonl", "-o", "ndjson"], &[]);
    let told = ended.out.lines().map(|line| {
        let record: Value = serde_json::from_str(line).expect("a JSON object a line");
        let also = record["also"].as_array().map_or(String::new(), |also| format!(" and {}", also[0]["key"]));
        format!("{} {} {} {}{also}", record["format"], record["table"], record["op"], record["key"]).replace('"', "")
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
    canal shop.customers insert {id:8} and {id:9}
    maxwell shop.customers insert {id:10}
    debezium shop.customers insert {id:11}
    flattened shop.customers insert {id:7}
    flattened shop.customers delete {id:7}
    dms shop.badges insert null
    ");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn a_row_that_was_lost_of_several_in_one_record_is_found_by_its_key() {
    let target = "create table customers (id integer primary key, name text); \
                  insert into customers values (7, 'g'), (8, 'h'), (10, 'j'), (11, 'k')";
    let shop = shop(mixed().into_iter().take(5), target);
    let ended =
        afterimage(shop.path(), &["audit", "--tap", "file:e.jsonl", "--target", "sqlite:t.db", "-o", "json"], &[]);
    let report: Value = serde_json::from_str(&ended.out).expect("one document");
    let found = report["findings"].as_array().expect("findings").iter();
    let found: Vec<_> =
        found.map(|one| format!("{} {} {}", one["kind"], one["key"], one["expected"]["at"]["offset"])).collect();
    assert_eq!(found, [r#""missing_row" {"id":9} 0"#, r#""unapplied_delete" {"id":7} 4"#], "{}", ended.out);
    assert_eq!((&report["summary"]["changes"], ended.code), (&json!(6), Some(1)));
}
