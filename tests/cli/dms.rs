//! Beside AWS DMS validation: what it logged is judged anew, and what is found is written as it writes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tempfile::TempDir;

use super::shop::{change, change_of, row};
use super::{afterimage, shop};

const CONFIG: &str = "[store]\nurl = \"sqlite:a.db\"\n[web]\nlisten = \"\"\n[pipelines.orders]\n\
    tap = { type = \"file\", path = \"e.jsonl\" }\ntarget = { url = \"sqlite:t.db\" }\n\
    poll = \"50ms\"\nconfirm_after = \"50ms\"\nlimits = { reread = \"100ms\" }\n\
    [[pipelines.orders.tables]]\nmatch = \"public.carts\"\ntarget = \"baskets\"\nkey = [\"line\", \"cart\"]\n";

/// The tables as DMS makes them, which SQLite takes too.
const TABLES: &str = r#"
    create table "awsdms_validation_failures_v1" (
        "TASK_NAME" varchar(128) not null, "TABLE_OWNER" varchar(128) not null, "TABLE_NAME" varchar(128) not null,
        "FAILURE_TIME" timestamp not null, "KEY_TYPE" varchar(128) not null, "KEY" varchar(7800) not null,
        "FAILURE_TYPE" varchar(128) not null, "DETAILS" varchar(7800) not null);
    create table "awsdms_validation_failures_v2" (
        "RESYNC_ID" integer primary key, "TASK_NAME" varchar(128) not null, "TABLE_OWNER" varchar(128) not null,
        "TABLE_NAME" varchar(128) not null, "FAILURE_TIME" timestamp not null, "KEY_TYPE" varchar(128) not null,
        "KEY" varchar(7800) not null, "FAILURE_TYPE" varchar(128) not null, "DETAILS" varchar(7000) not null,
        "RESYNC_RESULT" varchar(128), "RESYNC_TIME" timestamp, "RESYNC_ACTION" varchar(128));"#;

/// The tap's changes are of 2026-09-21 13:33:20 UTC.
const BEFORE: &str = "2026-09-20 10:00:00.123";
const AFTER: &str = "2026-10-01 10:00:00";

fn failure(table: (&str, &str), at: &str, key: &str, kind: &str) -> String {
    let (owner, table) = table;
    let key = key.replace('\'', "''");
    format!(
        "insert into awsdms_validation_failures_v1 values ('T1', '{owner}', '{table}', '{at}', 'Row', '{key}', '{kind}', '[]');"
    )
}

fn key(id: i64) -> String {
    format!(r#"{{"key":  ["{id}"]}}"#)
}

/// A shop with two losses among what DMS accuses, and one more that it does not.
fn accused() -> TempDir {
    let null = Value::Null;
    let cart = |offset, line, cart, note: &str| {
        let row = json!({"cart": cart, "line": line, "note": note});
        change_of("carts", offset, ("c", cart), &null, &row)
    };
    let lines = [
        change(0, "c", 42, &null, &row(42, "a")),
        change(1, "u", 42, &null, &row(42, "b")),
        change(2, "c", 7, &null, &row(7, "q")),
        change(3, "d", 7, &row(7, "q"), &null),
        change(4, "c", 9, &null, &row(9, "z")),
        change(5, "c", 5, &null, &row(5, "p")),
        change(6, "c", 6, &null, &row(6, "lost, and not accused")),
        cart(7, 1, 2, "there"),
        cart(8, 2, 1, "lost"),
    ];
    let customers = ("PUBLIC", "CUSTOMERS");
    let failures = [
        failure(customers, AFTER, &key(42), "RECORD_DIFF"),
        failure(customers, "2026-10-01 12:00:00", &key(42), "RECORD_DIFF"),
        failure(("public", "customers"), AFTER, &key(7), "MISSING_SOURCE"),
        failure(customers, AFTER, &key(9), "RECORD_DIFF"),
        failure(customers, BEFORE, &key(5), "MISSING_TARGET"),
        failure(customers, AFTER, &key(99), "MISSING_TARGET"),
        failure(("public", "unheard"), AFTER, &key(1), "RECORD_DIFF"),
        failure(customers, AFTER, r#"{"key":  ["4"#, "RECORD_DIFF"),
        failure(customers, AFTER, r#"{"key":  ["4", "5"]}"#, "RECORD_DIFF"),
        failure(customers, AFTER, r#"{"key":  ["x"]}"#, "RECORD_DIFF"),
        failure(customers, AFTER, &key(3), "TABLE_WARNING"),
        // By the target's name, and in the order of the target's primary key.
        failure(("main", "BASKETS"), AFTER, r#"{"key":  ["2", "1"]}"#, "MISSING_TARGET"),
        failure(("public", "carts"), AFTER, r#"{"key":  ["1", "2"]}"#, "MISSING_TARGET"),
    ];
    let resynced = format!(
        "insert into awsdms_validation_failures_v2 values (17, 'T2', 'public', 'customers', '{AFTER}', 'Row', '{}', 'RECORD_DIFF', \
         '[]', 'SUCCESS', '{AFTER}', 'UPSERT')",
        key(9)
    );
    let statements = format!(
        "create table customers (id integer primary key, name text, city text); \
         create table baskets (cart integer, line integer, note text, primary key (cart, line)); \
         insert into customers values (42, 'a', 'Delft'), (7, 'q', 'Delft'), (9, 'z', 'Delft'), (5, 'p', 'Delft'); \
         insert into baskets values (2, 1, 'there'); {TABLES} {} {resynced};",
        failures.concat()
    );
    let shop = shop::shop(lines, &statements);
    fs::write(shop.path().join("a.toml"), CONFIG).expect("a file");
    shop
}

/// The exit code, the report, and each outcome by what was accused, with its detail.
fn imported(shop: &TempDir, more: &[&str]) -> (Option<i32>, Value, BTreeMap<String, (String, String)>) {
    let arguments = [&["findings", "import", "-c", "a.toml", "--dms-failures", "target"][..], more].concat();
    let ended = afterimage(shop.path(), &arguments, &[]);
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let outcomes = report["outcomes"].as_array().expect("outcomes").iter();
    let outcomes = outcomes.map(|one| {
        let name = format!("{} {} {}", text(&one["table"]), text(&one["key"]), text(&one["task"]));
        (name, (text(&one["outcome"]), text(&one["detail"])))
    });
    let outcomes = outcomes.collect();
    (ended.code, report, outcomes)
}

fn findings(shop: &TempDir) -> Vec<Value> {
    let ended = afterimage(shop.path(), &["findings", "list", "-c", "a.toml", "-o", "ndjson"], &[]);
    ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn in_database<T>(path: &Path, work: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut database = options.connect().await.expect("a database");
        work(&mut database).await
    })
}

#[test]
fn what_dms_accuses_is_judged_anew() {
    let shop = accused();
    let (code, report, outcomes) = imported(&shop, &[]);
    let told = |name: &str| {
        let (word, detail) = outcomes.get(name).unwrap_or_else(|| panic!("{name} in {report:#}"));
        (word.as_str(), detail.as_str())
    };
    for (name, word, part) in [
        (
            "PUBLIC.CUSTOMERS {\"key\":  [\"42\"]} T1",
            "finding",
            "is not what shop.public.customers/0:1 left: lost update",
        ),
        ("public.customers {\"key\":  [\"7\"]} T1", "finding", "unapplied delete"),
        ("PUBLIC.CUSTOMERS {\"key\":  [\"9\"]} T1", "false_alarm", "the row is what shop.public.customers/0:4 left"),
        ("public.customers {\"key\":  [\"9\"]} T2", "resynced", "DMS says that it wrote it"),
        ("PUBLIC.CUSTOMERS {\"key\":  [\"5\"]} T1", "superseded", "logged since the failure"),
        ("PUBLIC.CUSTOMERS {\"key\":  [\"99\"]} T1", "unclear", "the tap has no change of this key"),
        ("public.unheard {\"key\":  [\"1\"]} T1", "unclear", "no change of a table `public.unheard`"),
        ("PUBLIC.CUSTOMERS {\"key\":  [\"4 T1", "rejected", "is no JSON"),
        ("PUBLIC.CUSTOMERS {\"key\":  [\"4\", \"5\"]} T1", "rejected", "has 2 values"),
        ("PUBLIC.CUSTOMERS {\"key\":  [\"x\"]} T1", "rejected", "id"),
        ("PUBLIC.CUSTOMERS {\"key\":  [\"3\"]} T1", "rejected", "warning about its table"),
        ("main.BASKETS {\"key\":  [\"2\", \"1\"]} T1", "false_alarm", "shop.public.carts/0:7"),
        ("public.carts {\"key\":  [\"1\", \"2\"]} T1", "finding", "missing row"),
    ] {
        let found = told(name);
        assert!(found.0 == word && found.1.contains(part), "{name}: {found:?}");
    }
    assert_eq!((code, outcomes.len()), (Some(2), 13), "{report:#}");
    let twice = report["outcomes"].as_array().into_iter().flatten().find(|one| one["rows"] == json!(2)).expect("one");
    assert_eq!(twice["key"], json!(key(42)), "the same failure twice is told once: {twice}");
    let rejected = &report["outcomes"][0]["at"];
    assert!(rejected.as_str().is_some_and(|at| at.starts_with("awsdms_validation_failures_v1, task T1")), "{rejected}");

    let found = findings(&shop);
    assert_eq!(found.len(), 3, "what DMS does not accuse is not looked at: {found:?}");
    let of_42 = found.iter().find(|one| one["key"]["id"] == json!(42)).expect("kept");
    let evidence = of_42["evidence"].as_str().unwrap_or_default();
    let times = "from 2026-10-01T10:00:00.000Z to 2026-10-01T12:00:00.000Z";
    assert!(evidence.contains(&format!("DMS validation said RECORD_DIFF (task T1 {times}")), "{evidence}");

    let (_, again, _) = imported(&shop, &[]);
    assert_eq!(again["counts"], report["counts"]);
    let ids =
        |found: &[Value]| found.iter().map(|one| (one["id"].clone(), one["first_seen"].clone())).collect::<Vec<_>>();
    assert_eq!(ids(&findings(&shop)), ids(&found), "the second import opened something");

    let (code, report, _) = imported(&shop, &["--since", "2026-10-01T11:00:00Z"]);
    assert_eq!((code, &report["counts"]), (Some(1), &json!({"finding": 1})), "{report:#}");
}

#[test]
fn what_nothing_proves_is_no_finding() {
    let shop = accused();
    fs::write(shop.path().join("a.toml"), CONFIG.replace("poll =", "applied = \"inferred\"\npoll =")).expect("a file");
    let (code, report, outcomes) = imported(&shop, &["--max-wait", "1s"]);
    let of_42 = &outcomes["PUBLIC.CUSTOMERS {\"key\":  [\"42\"]} T1"];
    assert_eq!((code, of_42.0.as_str()), (Some(2), "unclear"), "{report:#}");
    assert_eq!(findings(&shop).len(), 0);
}

#[test]
fn a_database_without_failures_says_what_to_do() {
    let shop = accused();
    for (url, part) in [
        ("sqlite:none.db", "cannot be used"),
        ("sqlite:a.db", "has no table awsdms_validation_failures_v1 or _v2"),
        ("t.db", "expected postgres://…, mysql://…, sqlite:PATH, or `target`"),
        ("postgres://u:${NONE}@h/d", "the environment variable `NONE` is not set"),
    ] {
        let _ = findings(&shop);
        fs::OpenOptions::new().create(true).append(true).open(shop.path().join("a.db")).expect("a file");
        let ended = afterimage(shop.path(), &["findings", "import", "-c", "a.toml", "--dms-failures", url], &[]);
        assert!(ended.code == Some(2) && ended.err.contains(part), "{url}: {}", ended.err);
    }
}

#[test]
fn findings_are_written_as_dms_writes_them() {
    let shop = accused();
    imported(&shop, &[]);
    let export = |into: &str| {
        let ended = afterimage(shop.path(), &["findings", "export", "-c", "a.toml", "--dms-failures", into], &[]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{into}");
        ended.out
    };
    in_database(&shop.path().join("e.db"), async |_| ());
    assert_eq!(export("sqlite:e.db"), "3 findings written\n");
    let rows = || {
        in_database(&shop.path().join("e.db"), async |database| {
            let sql = "select \"TASK_NAME\" || ' ' || \"TABLE_OWNER\" || '.' || \"TABLE_NAME\" || ' ' || \"KEY_TYPE\" || ' ' || \
                       \"KEY\" || ' ' || \"FAILURE_TYPE\" || ' ' || \"DETAILS\" || ' ' || available_in_target || ' ' || \
                       coalesce(matching_with_source, 'null') || ' ' || last_updated_by from afterimage_validation_failures \
                       order by \"KEY\"";
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(database).await.expect("rows");
            rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>()
        })
    };
    let expected = [
        "afterimage:orders public.carts Row {\"key\":  [\"2\", \"1\"]} MISSING_TARGET [[{}, {}],] 0 null afterimage",
        "afterimage:orders public.customers Row {\"key\":  [\"42\"]} RECORD_DIFF [[{'name': 'b'}, {'name': 'a'}],] 1 null afterimage",
        "afterimage:orders public.customers Row {\"key\":  [\"7\"]} MISSING_SOURCE [[{}, {}],] 1 null afterimage",
    ];
    assert_eq!(rows(), expected);
    let csv = (export("e.csv"), fs::read_to_string(shop.path().join("e.csv")).expect("a file")).1;
    assert!(
        csv.starts_with("TASK_NAME,TABLE_OWNER,TABLE_NAME,FAILURE_TIME,KEY_TYPE,KEY,FAILURE_TYPE,DETAILS,"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let sql = (export("e.sql"), fs::read_to_string(shop.path().join("e.sql")).expect("a file")).1;
    assert!(sql.contains("'[[{''name'': ''b''}, {''name'': ''a''}],]'"), "{sql}");

    // What is over goes, what is known stays one row.
    in_database(&shop.path().join("t.db"), async |target| {
        sqlx::raw_sql("update customers set name = 'b' where id = 42").execute(target).await.expect("a statement");
    });
    assert_eq!(afterimage(shop.path(), &["revalidate", "-c", "a.toml"], &[]).code, Some(1));
    assert_eq!(export("sqlite:e.db"), "2 findings written\n");
    assert_eq!(rows(), [expected[0], expected[2]]);
    let refused = afterimage(shop.path(), &["findings", "export", "-c", "a.toml", "--dms-failures", "e.xls"], &[]);
    assert!(refused.code == Some(2) && refused.err.contains("ends in .csv or .sql"), "{}", refused.err);
}
