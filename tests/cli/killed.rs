//! `audit`, killed in the middle: the same command goes on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
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

#[test]
fn a_killed_audit_goes_on_and_ends_with_the_same_report() {
    let (killed, whole) = (losing(), losing());
    #[expect(clippy::disallowed_methods, reason = "both audits run at once")]
    std::thread::scope(|scope| {
        let uninterrupted = scope.spawn(|| afterimage(whole.path(), &SLOW, &[]));
        kill_in_the_middle(killed.path());
        let elsewhere = losing();
        for file in ["afterimage.db", "afterimage.db-wal"] {
            let _ = fs::copy(killed.path().join(file), elsewhere.path().join(file));
        }
        let ended = afterimage(killed.path(), &SLOW, &[]);
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains("goes on from the run of 20"), "{}", ended.err);
        let gone_on = report(&ended);
        let judged = gone_on["summary"]["goes_on"]["keys"].as_u64().expect("it went on");
        assert!(judged >= 500, "{judged}");
        let whole = report(&uninterrupted.join().expect("it ends"));
        assert_eq!(lasting(&gone_on), lasting(&whole));
        let took = |report: &Value| report["summary"]["elapsed_s"].as_f64().expect("a time");
        assert!(took(&gone_on) < took(&whole), "rows were read again");

        let again = afterimage(killed.path(), &[&SLOW[..], &["--max-time", "1ms"]].concat(), &[]);
        assert_eq!(report(&again)["summary"].get("goes_on"), None, "what was judged to its end is not gone on with");
        let changed = afterimage(elsewhere.path(), &[&SLOW[..], &["--max-time", "1ms"]].concat(), &[]);
        assert!(changed.err.contains("starts over: `e.jsonl` changed since the run of 20"), "{}", changed.err);
        assert_eq!(report(&changed)["summary"]["ended_early"], json!("the time of --max-time was over"));
    });
}
