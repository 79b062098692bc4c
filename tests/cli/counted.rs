//! `audit` of a table that has no key: equal rows are counted.

use serde_json::{Value, json};

use super::afterimage;
use super::shop::{line, shop};

fn visit(who: &str, page: Option<&str>, took: f64) -> Value {
    json!({"who": who, "page": page, "took": took})
}

/// A line with one change of `visits`, whose records have no key.
fn change(offset: u64, (op, before, after): &(&str, Value, Value)) -> String {
    let at = 1_790_000_000_000 + offset;
    let source = json!({"version": "3.5.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": at,
        "snapshot": "false", "db": "shop", "schema": "public", "table": "visits", "txId": 1, "lsn": 1000 + offset});
    let payload = json!({"before": before, "after": after, "source": source, "op": op, "ts_ms": at});
    line("shop.public.visits", offset, None, &payload)
}

/// Behind the truncate nothing is there, so that all is counted from it.
fn tap(truncate: &str) -> Vec<String> {
    let none = || Value::Null;
    let of = |who, page| visit(who, Some(page), 1.5);
    let changes = [
        ("c", none(), of("ann", "a")),
        (truncate, none(), none()),
        ("c", none(), of("ann", "a")),
        ("c", none(), of("ann", "a")),
        ("c", none(), visit("bob", None, 1.5)),
        ("d", visit("bob", None, 1.5), none()),
        ("c", none(), of("cas", "c")),
        ("c", none(), of("cas", "c")),
        ("d", of("cas", "c"), none()),
        ("c", none(), of("dee", "d")),
        ("u", of("dee", "d"), of("dee", "e")),
        ("c", none(), of("eve", "e")),
        ("c", none(), of("fay", "f")),
        ("c", none(), of("gus", "g")),
        ("u", of("gus", "g"), visit("gus", Some("g"), 3.0)),
        ("c", none(), visit("hal", None, 1.0)),
        ("c", none(), visit("hal", None, 1.0)),
    ];
    changes.iter().enumerate().map(|(offset, of)| change(offset as u64, of)).collect()
}

/// Lost: the second row of Ann, both deletes, Fay's row. Eve's was written twice. What `took` says is not compared.
const TARGET: &str = "create table visits (who text, page text, took real); insert into visits values ('ann', 'a', 1.5), \
                      ('bob', null, 1.5), ('cas', 'c', 1.5), ('cas', 'c', 1.5), ('dee', 'e', 1.5), ('eve', 'e', 1.5), \
                      ('eve', 'e', 1.5), ('gus', 'g', 9), ('hal', null, 1), ('hal', null, 1)";

/// Who, the kind, the offset and the operation that were expected, and both counts.
type Found = (String, String, u64, String, String);

fn audit(tap: Vec<String>) -> (Vec<Found>, Value, Option<i32>) {
    let shop = shop(tap, TARGET);
    let ended =
        afterimage(shop.path(), &["audit", "--tap", "file:e.jsonl", "--target", "sqlite:t.db", "-o", "json"], &[]);
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let found = |one: &Value| {
        let at = one["expected"]["at"]["offset"].as_u64().expect("an offset");
        let counts = one["columns"].as_array().expect("columns").iter();
        let counts =
            counts.map(|of| format!("{}: {} {}", text(&of["name"]), text(&of["expected"]), text(&of["observed"])));
        (text(&one["key"]["who"]), text(&one["kind"]), at, text(&one["expected"]["op"]), counts.collect())
    };
    let mut all: Vec<Found> = report["findings"].as_array().expect("findings").iter().map(found).collect();
    all.sort();
    (all, report["summary"].clone(), ended.code)
}

#[test]
fn equal_rows_are_counted() {
    let (found, summary, code) = audit(tap("t"));
    let told: Vec<_> =
        found.iter().map(|(who, kind, at, op, counts)| format!("{who} {kind} {at} {op} {counts}")).collect();
    assert_eq!(
        told,
        [
            "ann missing_row 3 insert count(*): 2 1",
            "bob unapplied_delete 5 delete ",
            "cas unapplied_delete 8 delete count(*): 1 2",
            "eve duplicate_row 11 insert count(*): 1 2",
            "fay missing_row 12 insert count(*): 1 0",
        ],
        "{summary:#}"
    );
    assert_eq!((summary["complete"].as_bool(), code), (Some(true), Some(1)), "{summary:#}");
}

#[test]
fn what_was_there_before_is_not_guessed() {
    // An update of a row like no other stands where the truncate stood.
    let mut tap = tap("t");
    tap.remove(1);
    let (found, summary, code) = audit(tap);
    let told: Vec<_> = found.iter().map(|(who, kind, ..)| format!("{who} {kind}")).collect();
    assert_eq!(told, ["fay missing_row"], "{summary:#}");
    let reasons: Vec<&str> = summary["unverified"]
        .as_array()
        .expect("ranges")
        .iter()
        .map(|range| range["reason"].as_str().expect("a reason"))
        .collect();
    assert!(reasons.iter().all(|why| why.contains("how many equal rows there were before")), "{summary:#}");
    assert_eq!(code, Some(2));
}
