//! `explain` on a file and a SQLite target: a key whose delete was not applied, one that is right, one nobody knows.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::shop::{change, row};
use super::{Ended, afterimage, shop};

/// The tap of four changes, and a target on which the last was not applied.
fn shop() -> TempDir {
    let null = Value::Null;
    let lines = [
        change(0, "c", 42, &null, &row(42, "a")),
        change(1, "c", 7, &null, &row(7, "q")),
        change(2, "u", 42, &null, &row(42, "b")),
        change(3, "d", 42, &json!({"id": 42, "name": null, "city": null}), &null),
    ];
    let statements = "create table customers (id integer primary key, name text, city text); \
                      insert into customers values (42, 'a', 'Delft'), (7, 'q', 'Delft')";
    shop::shop(lines, statements)
}

fn explain(shop: &Path, key: &str, format: &str) -> Ended {
    let fixed = ["explain", "--tap", "file:e.jsonl", "--target", "sqlite:t.db", "--table", "public.customers"];
    afterimage(shop, &[&fixed[..], &["--key", key, "-o", format]].concat(), &[])
}

#[test]
fn the_story_of_a_delete_that_was_not_applied() {
    let shop = shop();
    let ended = explain(shop.path(), "42", "table");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let read = ended.out.find("read 20").expect("when the row was read");
    let told = format!("{}read NOW{}", &ended.out[..read], &ended.out[read + "read 2026-11-22T09:11:52.034Z".len()..]);
    insta::assert_snapshot!(told, @r"
    public.customers  id=42  (on the target: customers)

    Versions on the tap, oldest first
    = shop.public.customers/0:0  insert  committed 2026-09-21T14:13:20.000Z  source 0/3E8
          changed city, id, name
      shop.public.customers/0:2  update  committed 2026-09-21T14:13:20.002Z  source 0/3EA
          changed name
      shop.public.customers/0:3  delete  committed 2026-09-21T14:13:20.003Z  source 0/3EB

    What had to be applied
      assumed: it was stated that all of the tap is applied

    The target now
      a row, read NOW: id=42, name=a, city=Delft
      that is the version of shop.public.customers/0:0, not the newest, of shop.public.customers/0:3

    Findings
      none in the store
    ");
}

#[test]
fn a_row_that_is_right_is_its_newest_version() {
    let shop = shop();
    let ended = explain(shop.path(), "id=7", "json");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let story: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!((&story["schema"], &story["versions"][0]["is_there"]), (&json!("afterimage.story/1"), &json!(true)));
    assert_eq!(story["observed"]["row"], row(7, "q"));
    assert_eq!(story["columns"], json!([]));
}

#[test]
fn a_key_or_table_that_the_range_does_not_hold() {
    let shop = shop();
    let ended = explain(shop.path(), "9", "table");
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.out.starts_with("public.customers  9\n") && ended.out.contains("none in this range"),
        "{}",
        ended.out
    );
    let other = ["explain", "--tap", "file:e.jsonl", "--target", "sqlite:t.db", "--table", "customers", "--key", "7"];
    let ended = afterimage(shop.path(), &other, &[]);
    assert_eq!((ended.code, &*ended.out), (Some(2), ""));
    insta::assert_snapshot!(ended.err, @r"
    error: the range holds no change of `customers`
    hint: the range holds changes of public.customers
    ");
}

#[test]
fn a_change_of_a_key_in_one_record_is_told_of_both_keys() {
    let shop = shop();
    let metadata = json!({"timestamp": "2026-09-21T14:13:30Z", "record-type": "data", "operation": "update",
        "schema-name": "public", "table-name": "customers"});
    let payload = json!({"data": {"id": 43, "name": "b"}, "metadata": metadata, "before": {"id": 42, "name": "b"}});
    let line = shop::line("dms", 4, Some(&json!({"id": 43})), &payload);
    fs::write(shop.path().join("e.jsonl"), format!("{line}\n")).expect("a file");
    for (key, op) in [("42", "delete"), ("43", "insert")] {
        let ended = explain(shop.path(), key, "json");
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
        let story: Value = serde_json::from_str(&ended.out).expect("JSON");
        assert_eq!((&story["versions"][0]["op"], &story["versions"][1]), (&json!(op), &Value::Null), "{story}");
    }
}
