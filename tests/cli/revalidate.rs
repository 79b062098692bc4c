//! `revalidate`: findings that `run` left, after people and appliers have gone on.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::shop::{change, change_of, row};
use super::{afterimage, shop};

const CONFIG: &str = "[store]\nurl = \"sqlite:a.db\"\n[web]\nlisten = \"\"\n[pipelines.orders]\n\
    tap = { type = \"file\", path = \"e.jsonl\" }\ntarget = { url = \"sqlite:t.db\" }\n\
    applied = \"assumed\"\npoll = \"50ms\"\nconfirm_after = \"50ms\"\nlimits = { reread = \"100ms\" }\n";

/// Five losses, found by `run`: an update, a delete, an insert, a foreign value, and an insert into another table.
fn found() -> TempDir {
    let null = Value::Null;
    let lines = [
        change(0, "c", 42, &null, &row(42, "a")),
        change(1, "u", 42, &null, &row(42, "b")),
        change(2, "c", 7, &null, &row(7, "q")),
        change(3, "d", 7, &row(7, "q"), &null),
        change(4, "c", 9, &null, &row(9, "z")),
        change(5, "c", 5, &null, &row(5, "p")),
        change_of("boxes", 6, ("c", 1), &null, &json!({"id": 1, "name": "x"})),
    ];
    let statements = "create table customers (id integer primary key, name text, city text); \
                      create table boxes (id integer primary key, name text); \
                      insert into customers values (42, 'a', 'Delft'), (7, 'q', 'Delft'), (5, 'odd', 'Delft')";
    let shop = shop::shop(lines, statements);
    fs::write(shop.path().join("a.toml"), CONFIG).expect("a file");
    let mut run = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    run.args(["run", "-c", "a.toml"]).current_dir(shop.path()).env_clear();
    let mut run = run.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let open =
        || afterimage(shop.path(), &["findings", "list", "-c", "a.toml", "--state", "open"], &[]).out.lines().count();
    let all = (0..600).any(|_| open() == 5);
    run.kill().and_then(|()| run.wait().map(drop)).expect("it ends");
    assert!(all, "{}", afterimage(shop.path(), &["findings", "list", "-c", "a.toml"], &[]).out);
    shop
}

fn change_target(shop: &TempDir, statements: &'static str) {
    change_database(shop, "t.db", statements);
}

fn change_database(shop: &TempDir, name: &str, statements: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(shop.path().join(name)).create_if_missing(true);
        let mut target = options.connect().await.expect("a database");
        sqlx::raw_sql(statements).execute(&mut target).await.expect("statements");
    });
}

/// The exit code, the report, and each outcome with its detail by table and key.
fn revalidated(shop: &TempDir, more: &[&str]) -> (Option<i32>, Value, BTreeMap<String, (String, String)>) {
    let ended = afterimage(shop.path(), &[&["revalidate", "-c", "a.toml"][..], more].concat(), &[]);
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let outcomes = report["outcomes"].as_array().expect("outcomes").iter();
    let outcomes = outcomes.map(|one| {
        let name = format!("{} {}", text(&one["table"]), one["key"]["id"]);
        (name, (text(&one["outcome"]), text(&one["detail"])))
    });
    let outcomes = outcomes.collect();
    (ended.code, report, outcomes)
}

#[test]
fn what_has_healed_is_closed_and_what_has_not_is_seen_again() {
    let shop = found();
    let (code, report, first) = revalidated(&shop, &[]);
    assert_eq!((code, &report["counts"]), (Some(1), &json!({"still_true": 5})), "{report}");
    assert_eq!(first["public.customers 42"].1, "the row is the version of shop.public.customers/0:0");

    let mut tap = fs::OpenOptions::new().append(true).open(shop.path().join("e.jsonl")).expect("the tap");
    writeln!(tap, "{}", change(7, "u", 9, &Value::Null, &row(9, "y"))).expect("a line");
    // A later version that was not applied ends nothing.
    writeln!(tap, "{}", change(8, "u", 5, &Value::Null, &row(5, "n"))).expect("a line");
    change_target(
        &shop,
        "update customers set name = 'b' where id = 42; delete from customers where id = 7; \
         insert into customers values (9, 'y', 'Delft'); drop table boxes",
    );
    let (code, report, outcomes) = revalidated(&shop, &[]);
    let expected = [
        ("public.boxes 1", "gone_from_mapping"),
        ("public.customers 42", "healed"),
        ("public.customers 5", "still_true"),
        ("public.customers 7", "healed"),
        ("public.customers 9", "superseded"),
    ];
    let told: Vec<(&str, &str)> = outcomes.iter().map(|(name, (word, _))| (name.as_str(), word.as_str())).collect();
    assert_eq!((code, told, &report["remain"]), (Some(1), expected.to_vec(), &json!(2)), "{report}");
    assert_eq!(outcomes["public.customers 9"].1, "the row is what shop.public.customers/0:7 left");

    let healed = afterimage(shop.path(), &["findings", "list", "-c", "a.toml", "--state", "healed"], &[]).out;
    let acts: Vec<Value> = healed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["history"][0]["act"].clone())
        .collect();
    assert_eq!(acts.iter().filter(|act| **act == json!("healed")).count(), 2, "{acts:?}");
    assert_eq!(acts.iter().filter(|act| **act == json!("superseded")).count(), 1, "{acts:?}");
    // The same once more says no more of the table that is gone.
    assert_eq!(revalidated(&shop, &[]).0, Some(1));
    let gone = afterimage(shop.path(), &["findings", "list", "-c", "a.toml", "--table", "public.boxes"], &[]).out;
    let gone: Value = serde_json::from_str(&gone).expect("JSON");
    assert_eq!(gone["history"].as_array().map(Vec::len), Some(1), "{gone}");

    change_target(&shop, "update customers set name = 'n' where id = 5");
    let ids: Vec<&str> = gone["id"].as_str().into_iter().collect();
    let ignored = afterimage(shop.path(), &["findings", "ignore", "-c", "a.toml", ids[0]], &[]);
    assert_eq!(ignored.code, Some(0), "{}", ignored.err);
    assert_eq!(revalidated(&shop, &[]).0, Some(0));
    let refused = afterimage(shop.path(), &["revalidate", "-c", "a.toml", "--id", ids[0]], &[]);
    assert!(refused.code == Some(2) && refused.err.contains("is ignored"), "{}", refused.err);
}

#[test]
fn the_source_is_a_fact_beside_the_tap_s_verdict() {
    let shop = found();
    let config = CONFIG.replace("applied =", "source = { url = \"sqlite:s.db\" }\napplied =");
    fs::write(shop.path().join("a.toml"), &config).expect("a file");
    // It is not there yet: told in words, and the verdicts are as without it.
    let (code, report, _) = revalidated(&shop, &[]);
    assert_eq!((code, &report["counts"]), (Some(1), &json!({"still_true": 5})), "{report}");
    for one in report["outcomes"].as_array().expect("outcomes") {
        let words = one["facts"]["source"].as_str().expect("words");
        assert!(words.starts_with("the source cannot be used: "), "{words}");
        assert_eq!(one["facts"]["matching_with_source"], Value::Null, "{one}");
    }

    // 42: as the tap says; 7: deleted as the tap says; 9: changed since; 5: what the target has, which the tap never told.
    let statements = "create table customers (id integer primary key, name text, city text, extra text); \
        insert into customers values (42, 'b', 'Delft', 'x'), (9, 'zz', 'Delft', 'x'), (5, 'odd', 'Delft', 'x')";
    change_database(&shop, "s.db", statements);
    let (code, report, _) = revalidated(&shop, &[]);
    assert_eq!((code, &report["counts"]), (Some(1), &json!({"still_true": 5})), "{report}");
    let facts = |table: &str, id: u64| {
        let mut outcomes = report["outcomes"].as_array().expect("outcomes").iter();
        let one = outcomes.find(|one| one["table"] == json!(table) && one["key"]["id"] == json!(id)).expect("there");
        let facts = &one["facts"];
        let words = facts["source"].as_str().expect("words").to_owned();
        (facts["available_in_target"].as_bool(), facts["matching_with_source"].as_bool(), words)
    };
    let told = |available, matching, words: &str| (Some(available), matching, words.to_owned());
    assert_eq!(facts("public.customers", 42), told(true, Some(false), "the source's row now differs in name"));
    assert_eq!(facts("public.customers", 7), told(true, Some(false), "the source has no such row now"));
    assert_eq!(facts("public.customers", 9), told(false, Some(false), "the source has a row now"));
    assert_eq!(facts("public.customers", 5), told(true, Some(true), "the source has the same row now"));
    let no_table = "the source shows no table `public.boxes`: grant SELECT on it, if it is there";
    assert_eq!(facts("public.boxes", 1), told(false, None, no_table));

    let list =
        |more: &[&str]| afterimage(shop.path(), &[&["findings", "list", "-c", "a.toml"][..], more].concat(), &[]).out;
    let five: Value = list(&[])
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .find(|one: &Value| one["key"]["id"] == json!(5))
        .expect("it is there");
    let event = &five["history"][0];
    let expected = "the source has the same row now: a newer change has not been seen on the tap";
    assert_eq!(
        (&five["state"], &event["act"], &event["note"]),
        (&json!("open"), &json!("still_true"), &json!(expected))
    );
    let id = five["id"].as_str().expect("an id");
    let shown = afterimage(shop.path(), &["findings", "show", "-c", "a.toml", "-o", "table", id], &[]).out;
    assert!(shown.contains("source     available in target: yes; matching with source: yes; "), "{shown}");
    assert!(list(&["-o", "html"]).contains("matching with source: yes; "), "the HTML report");

    // Put right by hand: the tap decides that it is over, and the source is told beside it. The same facts add no event.
    change_target(&shop, "update customers set name = 'b' where id = 42");
    assert_eq!(revalidated(&shop, &[]).1["counts"], json!({"healed": 1, "still_true": 4}));
    let healed: Value = serde_json::from_str(&list(&["--state", "healed"])).expect("JSON");
    let events = healed["history"].as_array().expect("a history");
    let last = events.last().expect("an event");
    assert_eq!((&last["act"], &last["matching_with_source"]), (&json!("healed"), &json!(true)), "{healed}");
    assert_eq!(events.len(), 2, "{healed}");

    let doctor = afterimage(shop.path(), &["doctor", "-c", "a.toml", "-o", "table"], &[]).out;
    assert!(doctor.contains("customers beside customers; not compared: extra"), "{doctor}");
    assert!(doctor.contains("the source shows no table `public.boxes`"), "{doctor}");
}
