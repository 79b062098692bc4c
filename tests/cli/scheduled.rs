//! Runs by the clock, inside `run`: what was missed while nothing ran is done at once, and once.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};
use tempfile::TempDir;

use super::shop::{change, row};
use super::{afterimage, shop};

/// What `run` itself would judge begins at the tap's end: what is found is found by the clock.
const CONFIG: &str = r#"[store]
url = "sqlite:a.db"
[web]
listen = ""
[pipelines.orders]
tap = { type = "file", path = "e.jsonl", from = "end" }
target = { url = "sqlite:t.db" }
poll = "50ms"
confirm_after = "50ms"
limits = { reread = "100ms" }
[[pipelines.orders.schedules]]
run = "audit"
cron = "0 * * * *"
offset = "1h"
[[pipelines.orders.schedules]]
run = "import"
cron = "30 2 * * *"
zone = "+02:00"
[[pipelines.orders.schedules]]
name = "again"
run = "revalidate"
cron = "0 * * * *"
"#;

const FAILURES: &str = r#"create table "awsdms_validation_failures_v1" (
    "TASK_NAME" varchar(128) not null, "TABLE_OWNER" varchar(128) not null, "TABLE_NAME" varchar(128) not null,
    "FAILURE_TIME" timestamp not null, "KEY_TYPE" varchar(128) not null, "KEY" varchar(7800) not null,
    "FAILURE_TYPE" varchar(128) not null, "DETAILS" varchar(7800) not null);
insert into awsdms_validation_failures_v1 values
    ('T1', 'public', 'customers', '2026-09-22 10:00:00', 'Row', '{"key":  ["42"]}', 'RECORD_DIFF', '[]'),
    ('T1', 'public', 'customers', '2026-08-01 10:00:00', 'Row', '{"key":  ["7"]}', 'MISSING_TARGET', '[]');"#;

/// A shop with two losses.
fn lossy() -> TempDir {
    let null = Value::Null;
    let lines = [
        change(0, "c", 42, &null, &row(42, "a")),
        change(1, "u", 42, &null, &row(42, "b")),
        change(2, "c", 7, &null, &row(7, "q")),
    ];
    let statements = format!(
        "create table customers (id integer primary key, name text, city text); insert into customers values (42, 'a', 'Delft'); \
         {FAILURES}"
    );
    let shop = shop::shop(lines, &statements);
    fs::write(shop.path().join("a.toml"), CONFIG).expect("a file");
    shop
}

fn run(shop: &TempDir, log: &str) -> Child {
    let log = fs::File::create(shop.path().join(log)).expect("a file");
    let mut run = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    run.args(["run", "-c", "a.toml"]).current_dir(shop.path()).env_clear();
    run.stdin(Stdio::null()).stderr(log).spawn().expect("the binary runs")
}

/// Asks the store, which may not be there yet.
fn store(shop: &TempDir, sql: &'static str) -> Vec<(String, Option<String>, Option<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(shop.path().join("a.db"));
        let Ok(mut store) = options.connect().await else { return Vec::new() };
        let rows = sqlx::query(sql).fetch_all(&mut store).await.unwrap_or_default();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    })
}

fn until(
    shop: &TempDir,
    log: &str,
    what: impl Fn(&[(String, Option<String>, Option<String>)]) -> bool,
) -> Vec<(String, Option<String>, Option<String>)> {
    const STATES: &str = "select name, outcome, detail from afterimage_schedule order by name";
    for _ in 0..60_000 {
        let states = store(shop, STATES);
        if what(&states) {
            return states;
        }
    }
    panic!("{:?}\n{}", store(shop, STATES), fs::read_to_string(shop.path().join(log)).unwrap_or_default());
}

#[test]
fn what_was_missed_is_run_at_once() {
    let shop = lossy();
    let mut first = run(&shop, "first.log");
    let met = until(&shop, "first.log", |states| states.len() == 3);
    first.kill().and_then(|()| first.wait().map(drop)).expect("it ends");
    assert!(met.iter().all(|(_, outcome, _)| outcome.is_none()), "a new schedule has nothing to make up for: {met:?}");

    // As if nothing had run since the 1st of September.
    store(
        &shop,
        "update afterimage_schedule set done = 1788220800000, covered = 1788220800000 returning name, outcome, detail",
    );
    let mut second = run(&shop, "second.log");
    let states = until(&shop, "second.log", |states| states.iter().all(|(_, outcome, _)| outcome.is_some()));
    second.kill().and_then(|()| second.wait().map(drop)).expect("it ends");
    let detail = |name: &str| {
        let (_, outcome, detail) = states.iter().find(|(known, ..)| known == name).expect("a schedule");
        (outcome.clone().unwrap_or_default(), detail.clone().unwrap_or_default())
    };
    let (audit, import, again) = (detail("audit"), detail("import"), detail("again"));
    assert_eq!(audit.0, "findings", "{audit:?}");
    assert!(
        audit.1.contains("from 2026-08-31T23:00:00.000Z to ") && audit.1.contains(": 3 changes of 2 keys, 2 findings"),
        "{audit:?}"
    );
    assert!(import.0 == "findings" && import.1.ends_with(": 1 finding"), "only what was logged since: {import:?}");
    assert!(again.1.contains("remain"), "{again:?}");

    let found = afterimage(shop.path(), &["findings", "list", "-c", "a.toml", "-o", "ndjson"], &[]).out;
    assert_eq!(found.lines().count(), 2, "what both found is one finding: {found}");
    let log = fs::read_to_string(shop.path().join("second.log")).expect("a log");
    assert!(log.contains("\"schedule\":\"audit\"") && log.contains("\"outcome\":\"findings\""), "{log}");
    let done = store(&shop, "select name, cast(done > 1788220800000 as text), holder from afterimage_schedule");
    assert!(done.iter().all(|(_, done, holder)| done.as_deref() == Some("1") && holder.is_none()), "{done:?}");
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused_by_name() {
    for (from, to, path, part) in [
        ("cron = \"0 * * * *\"\noffset", "cron = \"61 * * * *\"\noffset", "schedules[0].cron", "expected five fields"),
        ("run = \"audit\"\n", "", "schedules[0].run", "missing"),
        ("run = \"audit\"\n", "run = \"reconcile\"\n", "schedules[0].run", "not supported by this version"),
        ("name = \"again\"", "name = \"audit\"", "schedules[2].name", "another schedule's name"),
        ("zone = \"+02:00\"", "zone = \"Europe/Amsterdam\"", "schedules[1].zone", "an offset from it"),
        (
            "run = \"audit\"\n",
            "run = \"audit\"\ndms_failures = \"sqlite:f.db\"\n",
            "schedules[0].dms_failures",
            "is read by `import` alone",
        ),
        ("zone = \"+02:00\"", "dms_failures = \"f.db\"", "schedules[1].dms_failures", "no database"),
    ] {
        assert!(CONFIG.contains(from), "{from}");
        let folder = super::folder(&CONFIG.replacen(from, to, 1));
        let ended = afterimage(folder.path(), &["config", "check", "-c", "a.toml"], &[]);
        assert!(ended.code == Some(2) && ended.err.contains(path) && ended.err.contains(part), "{path}: {}", ended.err);
    }
}
