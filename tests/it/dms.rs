//! Beside AWS DMS validation on real servers: tables as DMS makes them, read, judged anew and written.

use std::fmt::Write as _;
use std::fs;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::database::{Database, Dialect};
use crate::mariadb::MariaDb;
use crate::postgres::Postgres;
use crate::services::{Services, Stay};

/// DMS's own statements: quoted upper case on PostgreSQL, `awsdms_control`'s forms on MySQL.
fn tables(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => {
            r#"create table public."awsdms_validation_failures_v1" (
                "TASK_NAME" varchar(128) not null, "TABLE_OWNER" varchar(128) not null, "TABLE_NAME" varchar(128) not null,
                "FAILURE_TIME" timestamp not null, "KEY_TYPE" varchar(128) not null, "KEY" varchar(7800) not null,
                "FAILURE_TYPE" varchar(128) not null, "DETAILS" varchar(7800) not null);
            create table public."awsdms_validation_failures_v2" (
                "RESYNC_ID" int8 generated always as identity primary key, "TASK_NAME" varchar(128) not null,
                "TABLE_OWNER" varchar(128) not null, "TABLE_NAME" varchar(128) not null, "FAILURE_TIME" timestamp not null,
                "KEY_TYPE" varchar(128) not null, "KEY" varchar(7800) not null, "FAILURE_TYPE" varchar(128) not null,
                "DETAILS" varchar(7000) not null, "RESYNC_RESULT" varchar(128), "RESYNC_TIME" timestamp,
                "RESYNC_ACTION" varchar(128));
            create index on public."awsdms_validation_failures_v2"
                ("TASK_NAME", "TABLE_OWNER", "TABLE_NAME", "FAILURE_TYPE", "FAILURE_TIME");"#
        }
        Dialect::MariaDb => {
            "create table `awsdms_validation_failures_v1` (
                `TASK_NAME` varchar(128) not null, `TABLE_OWNER` varchar(128) not null, `TABLE_NAME` varchar(128) not null,
                `FAILURE_TIME` datetime(3) not null, `KEY_TYPE` varchar(128) not null, `KEY` text not null,
                `FAILURE_TYPE` varchar(128) not null, `DETAILS` varchar(8000) not null)
                default charset = latin1 collate = latin1_swedish_ci;"
        }
    }
}

/// As DMS creates it, in lower case.
const STATUS: &str = "create table awsdms_status (server_name varchar(128), task_name varchar(128), task_status varchar(32), \
    status_time timestamp, pending_changes bigint, disk_swap_size bigint, task_memory bigint, source_current_position varchar(128), \
    source_current_timestamp timestamp null, source_tail_position varchar(128), source_tail_timestamp timestamp null, \
    source_timestamp_applied timestamp null, unique (server_name, task_name));";

struct Bench {
    target: Database,
    folder: TempDir,
    _stay: Stay,
}

impl Bench {
    async fn new(name: &str, dialect: Dialect) -> Bench {
        let stay = Stay::shared().await;
        let services = Services::from_env();
        let own = format!("{name}_{}", std::process::id());
        let target = match dialect {
            Dialect::Postgres => Database::Postgres(Postgres::create(&services.pg_target, &own).await),
            Dialect::MariaDb => Database::MariaDb(MariaDb::create(&services.mysql, &own).await),
        };
        Bench { target, folder: TempDir::new().expect("a folder"), _stay: stay }
    }

    /// A tap of changes of `customers`: each a code, which is the key, and a note; none: it is deleted.
    fn tap(&self, changes: impl IntoIterator<Item = (String, Option<String>)>) {
        let mut lines = String::new();
        for (offset, (code, note)) in changes.into_iter().enumerate() {
            let at = 1_790_000_000_000 + offset as u64;
            let source = json!({"version": "3.5.0.Final", "connector": "oracle", "name": "shop", "ts_ms": at,
                "snapshot": "false", "db": "shop", "schema": "SHOP", "table": "CUSTOMERS", "scn": "1"});
            let row = note.as_ref().map(|note| json!({"code": code, "region": 1, "note": note}));
            let (before, op) = match &row {
                Some(_) => (Value::Null, "c"),
                None => (json!({"code": code, "region": 1, "note": "gone"}), "d"),
            };
            let payload = json!({"before": before, "after": row, "source": source, "op": op, "ts_ms": at});
            let line = json!({"topic": "shop.SHOP.CUSTOMERS", "partition": 0, "offset": offset, "tstype": "create", "ts": at,
                "broker": 0, "key": json!({"code": code, "region": 1}).to_string(), "payload": payload.to_string()});
            writeln!(lines, "{line}").expect("a text grows");
        }
        fs::write(self.folder.path().join("e.jsonl"), lines).expect("a file");
        let config = format!(
            "[store]\nurl = \"sqlite:a.db\"\n[web]\nlisten = \"\"\n[pipelines.shop]\npoll = \"50ms\"\nconfirm_after = \"50ms\"\n\
             limits = {{ reread = \"100ms\" }}\ntap = {{ type = \"file\", path = \"e.jsonl\" }}\ntarget = {{ url = {:?} }}\n\
             [[pipelines.shop.tables]]\nmatch = \"SHOP.CUSTOMERS\"\ntarget = \"customers\"\n",
            self.target.url()
        );
        fs::write(self.folder.path().join("a.toml"), config).expect("a file");
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_afterimage"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.output().await.expect("the binary runs")
    }

    async fn imported(&self) -> (Option<i32>, Value) {
        // On a shared server other tests have such tables too.
        let schema = self.target.schema();
        let import =
            ["findings", "import", "-c", "a.toml", "--dms-failures", "target", "--schema", schema, "-o", "json"];
        let output = self.run(&import).await;
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), report)
    }
}

fn outcome<'r>(report: &'r Value, key: &str) -> &'r Value {
    let all = report["outcomes"].as_array().expect("outcomes");
    let of_key = |one: &&Value| one["key"].as_str().is_some_and(|known| known.contains(&format!("[\"{key}\"")));
    &all.iter().find(of_key).unwrap_or_else(|| panic!("{key} in {report:#}"))["outcome"]
}

/// What DMS says of the rows, in its own words.
async fn accuse(target: &Database) {
    target.execute(tables(target.dialect())).await;
    let failure = |code: &str, kind: &str| {
        format!(
            "insert into awsdms_validation_failures_v1 values ('task', 'SHOP', 'CUSTOMERS', '2026-11-01 10:00:00.123', 'Row', \
             '{{\"key\":  [\"{code}\", \"1\"]}}', '{kind}', '[[{{''NOTE'': ''x''}}, {{''NOTE'': ''y''}}],]');"
        )
    };
    for (code, kind) in [
        ("right", "RECORD_DIFF"),
        ("Right", "RECORD_DIFF"),
        ("wrong", "RECORD_DIFF"),
        ("gone", "MISSING_SOURCE"),
        ("lost", "MISSING_TARGET"),
    ] {
        target.execute(&failure(code, kind)).await;
    }
    if target.dialect() == Dialect::Postgres {
        let resynced = "insert into \"awsdms_validation_failures_v2\" (\"TASK_NAME\", \"TABLE_OWNER\", \"TABLE_NAME\", \
            \"FAILURE_TIME\", \"KEY_TYPE\", \"KEY\", \"FAILURE_TYPE\", \"DETAILS\", \"RESYNC_RESULT\", \"RESYNC_TIME\", \
            \"RESYNC_ACTION\") values ('task', 'SHOP', 'CUSTOMERS', '2026-11-01 10:00:00', 'Row', '{\"key\": [\"right\", \"1\"]}', \
            'RECORD_DIFF', '', 'SUCCESS', '2026-11-01 11:00:00', 'UPSERT')";
        target.execute(resynced).await;
    }
}

async fn judges_what_dms_accuses(name: &str, dialect: Dialect) {
    let bench = Bench::new(name, dialect).await;
    bench.tap(
        [
            ("right", Some("a")),
            ("wrong", Some("b")),
            ("gone", Some("c")),
            ("gone", None),
            ("Right", Some("e")),
            ("lost", Some("d")),
        ]
        .map(|(code, note)| (code.to_owned(), note.map(str::to_owned))),
    );
    let key = match dialect {
        Dialect::Postgres => "varchar(20)",
        Dialect::MariaDb => "varchar(20) character set utf8mb4 collate utf8mb4_bin",
    };
    let target = &bench.target;
    target
        .execute(&format!(
            "create table customers (code {key}, region integer, note varchar(50), primary key (code, region))"
        ))
        .await;
    target
        .execute("insert into customers values ('right', 1, 'a'), ('wrong', 1, 'odd'), ('gone', 1, 'c'), ('Right', 1, 'other')")
        .await;
    accuse(target).await;
    let (code, report) = bench.imported().await;
    for (key, word) in
        [("right", "false_alarm"), ("Right", "finding"), ("wrong", "finding"), ("gone", "finding"), ("lost", "finding")]
    {
        assert_eq!(outcome(&report, key), word, "{key}: {report:#}");
    }
    let resynced = if dialect == Dialect::Postgres { json!(1) } else { Value::Null };
    assert_eq!((code, &report["counts"]["resynced"]), (Some(1), &resynced), "{report:#}");

    let (_, again) = bench.imported().await;
    assert_eq!(again["counts"], report["counts"]);
    for _ in 0..2 {
        let output = bench.run(&["findings", "export", "-c", "a.toml", "--dms-failures", target.url()]).await;
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "4 findings written\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let rows = target.rows("afterimage_validation_failures").await;
    assert_eq!(rows.len(), 4, "{rows:?}");
    let of_gone = rows.iter().find(|row| row.contains("gone")).expect("exported");
    assert!(of_gone.contains("MISSING_SOURCE") && of_gone.contains("afterimage:shop"), "{of_gone}");
    target.drop_database().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_dms_logged_on_postgres_are_judged_anew() {
    judges_what_dms_accuses("dms_pg", Dialect::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_dms_logged_on_mariadb_are_judged_anew() {
    judges_what_dms_accuses("dms_my", Dialect::MariaDb).await;
}

/// More failures than a page: each is told once.
async fn reads_many_page_by_page(name: &str, dialect: Dialect) {
    const FAILURES: u64 = 120_000;
    let bench = Bench::new(name, dialect).await;
    bench.tap((0..500).map(|number| (number.to_string(), Some("a".to_owned()))));
    let target = &bench.target;
    let customers =
        "create table customers (code varchar(20), region integer, note varchar(50), primary key (code, region))";
    target.execute(customers).await;
    target.execute(tables(dialect)).await;
    let key = r#"{"key":  [""#;
    let (numbers, rows) = match dialect {
        Dialect::Postgres => (
            format!("'{key}' || number || '\", \"1\"]}}' as k from generate_series(1, {FAILURES}) as number"),
            "number::text, 1, 'a' from generate_series(0, 499) as number",
        ),
        Dialect::MariaDb => (
            format!("concat('{key}', seq, '\", \"1\"]}}') as k from seq_1_to_{FAILURES}"),
            "seq, 1, 'a' from seq_0_to_499",
        ),
    };
    target.execute(&format!("insert into customers select {rows}")).await;
    let many = format!(
        "insert into awsdms_validation_failures_v1 select 'task', 'SHOP', 'CUSTOMERS', '2026-11-01 10:00:00', 'Row', k, \
         'RECORD_DIFF', '' from (select {numbers}) as keyed"
    );
    let many = match dialect {
        Dialect::Postgres => many.replace("awsdms_validation_failures_v1", "\"awsdms_validation_failures_v1\""),
        Dialect::MariaDb => many,
    };
    target.execute(&many).await;
    let (code, report) = bench.imported().await;
    let expected = json!({"false_alarm": 499, "unclear": FAILURES - 499});
    assert_eq!((code, &report["counts"]), (Some(2), &expected));
    target.drop_database().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_many_failures_on_postgres_is_read_page_by_page() {
    reads_many_page_by_page("dms_many_pg", Dialect::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_many_failures_on_mariadb_is_read_page_by_page() {
    reads_many_page_by_page("dms_many_my", Dialect::MariaDb).await;
}

async fn says_how_far_a_task_came(name: &str, dialect: Dialect) {
    let bench = Bench::new(name, dialect).await;
    bench.tap([("right".to_owned(), Some("a".to_owned()))]);
    let target = &bench.target;
    target
        .execute(
            "create table customers (code varchar(20), region integer, note varchar(50), primary key (code, region))",
        )
        .await;
    let schema = target.schema().to_owned();
    let applied = format!("dms-status:{schema}/task");
    let doctor = async || {
        let output = bench
            .run(&["doctor", "--tap", "file:e.jsonl", "--target", target.url(), "--applied", &applied, "-o", "json"])
            .await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("source_timestamp_applied"), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let none = doctor().await;
    assert!(none.contains("`awsdms_status` could not be read"), "{none}");
    target.execute(STATUS).await;
    let row = |task: &str, status: &str, at: &str| {
        format!(
            "insert into awsdms_status (server_name, task_name, task_status, source_timestamp_applied) values ('s', '{task}', '{status}', {at})"
        )
    };
    target.execute(&row("task", "FULL LOAD", "null")).await;
    let loading = doctor().await;
    assert!(loading.contains("names no time up to which changes were applied"), "{loading}");
    target.execute("delete from awsdms_status").await;
    target.execute(&row("task", "CHANGE PROCESSING", "'2026-09-21 14:00:00'")).await;
    target.execute(&row("another", "FULL LOAD", "null")).await;
    let runs = doctor().await;
    assert!(runs.contains("s ago was applied, which only lets us forget"), "{runs}");
    target.drop_database().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dms_task_says_on_postgres_how_far_it_came() {
    says_how_far_a_task_came("dms_status_pg", Dialect::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dms_task_says_on_mariadb_how_far_it_came() {
    says_how_far_a_task_came("dms_status_my", Dialect::MariaDb).await;
}
