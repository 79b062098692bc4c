//! `audit`, killed in the middle: the same command goes on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::shop::{change, row, shop};
use super::{Ended, afterimage};

const KEYS: i64 = 2000;

/// Each key is inserted and updated; of every 97th the update is lost.
fn losing() -> TempDir {
    let null = Value::Null;
    let inserted = (0..KEYS).map(|id| change(id as u64, "c", id, &null, &row(id, "a")));
    let updated = (0..KEYS).map(|id| change((KEYS + id) as u64, "u", id, &null, &row(id, "b")));
    let rows: Vec<String> =
        (0..KEYS).map(|id| format!("({id}, '{}', 'Delft')", if id % 97 == 0 { "a" } else { "b" })).collect();
    let table = "create table customers (id integer primary key, name text, city text)";
    shop(inserted.chain(updated), &format!("{table}; insert into customers values {}", rows.join(", ")))
}

/// Reading the target takes some seconds.
const SLOW: [&str; 7] =
    ["audit", "--tap", "file:e.jsonl", "--target", "sqlite:t.db?reads_per_second=500", "-o", "json"];

/// Runs until something is kept, and kills it.
fn kill_in_the_middle(folder: &Path) {
    let mut audit = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    audit.args(SLOW).arg("-v").current_dir(folder).env_clear();
    audit.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut audit = audit.spawn().expect("the binary runs");
    let mut log = BufReader::new(audit.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("kept how far the audit is")), "it ended by itself");
    audit.kill().expect("it was killed");
    audit.wait().expect("it is gone");
}

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err))
}

/// What two runs of one audit say alike.
fn lasting(report: &Value) -> (Value, Vec<(Value, Value, Value)>) {
    let mut summary = report["summary"].clone();
    let fields = summary.as_object_mut().expect("a summary");
    fields.remove("elapsed_s");
    fields.remove("goes_on");
    let findings = report["findings"].as_array().expect("findings").iter();
    let mut findings: Vec<_> =
        findings.map(|one| (one["id"].clone(), one["kind"].clone(), one["columns"].clone())).collect();
    findings.sort_by_key(|one| one.0.to_string());
    (summary, findings)
}

/// The store of one shop in another: nothing has it open.
fn copy_store(from: &Path, to: &Path) {
    for file in ["afterimage.db", "afterimage.db-wal", "afterimage.db-shm"] {
        let _ = fs::remove_file(to.join(file));
        let _ = fs::copy(from.join(file), to.join(file));
    }
}

/// Somebody takes back the update of as many rows as have lost theirs.
fn spoil(shop: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut target = SqliteConnectOptions::new().filename(shop.join("t.db")).connect().await.expect("a database");
        sqlx::raw_sql("update customers set name = 'a' where id % 97 = 1")
            .execute(&mut target)
            .await
            .expect("it is written");
    });
}

#[test]
fn a_killed_audit_goes_on_and_ends_with_the_same_report() {
    let (killed, whole) = (losing(), losing());
    #[expect(clippy::disallowed_methods, reason = "both audits run at once")]
    std::thread::scope(|scope| {
        let uninterrupted = scope.spawn(|| afterimage(whole.path(), &SLOW, &[]));
        kill_in_the_middle(killed.path());
        let (elsewhere, kept) = (losing(), super::folder(""));
        copy_store(killed.path(), elsewhere.path());
        copy_store(killed.path(), kept.path());
        let ended = afterimage(killed.path(), &SLOW, &[]);
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains("goes on from the run of 20"), "{}", ended.err);
        let gone_on = report(&ended);
        let judged = gone_on["summary"]["goes_on"]["keys"].as_u64().expect("it went on");
        assert!((1..KEYS as u64).contains(&judged), "{judged}");
        let whole = report(&uninterrupted.join().expect("it ends"));
        assert_eq!(lasting(&gone_on), lasting(&whole));

        // What was right is not read again: rows that somebody spoiled since are found where they were not judged.
        copy_store(kept.path(), killed.path());
        spoil(killed.path());
        let ended = afterimage(killed.path(), &SLOW, &[]);
        let found = |report: &Value| report["findings"].as_array().map(Vec::len).expect("findings");
        let lost = found(&whole);
        assert!((lost..2 * lost).contains(&found(&report(&ended))), "{judged} judged: {}", ended.err);

        let again = afterimage(killed.path(), &[&SLOW[..], &["--max-time", "1ms"]].concat(), &[]);
        assert_eq!(report(&again)["summary"].get("goes_on"), None, "what was judged to its end is not gone on with");
        let changed = afterimage(elsewhere.path(), &[&SLOW[..], &["--max-time", "1ms"]].concat(), &[]);
        assert!(changed.err.contains("starts over: `e.jsonl` changed since the run of 20"), "{}", changed.err);
        assert_eq!(report(&changed)["summary"]["ended_early"], json!("the time of --max-time was over"));
    });
}
