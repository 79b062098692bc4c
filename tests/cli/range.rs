//! `audit` of parts of a tap: every form of a position, every filter, every way to end, in a file beside a SQLite target.
#![expect(clippy::disallowed_methods, reason = "threads feed and watch the binary while it runs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::shop::{change, change_of, row, shop};
use super::{Ended, afterimage};

/// Six changes of three customers. The delete of 42 and the update of 9 were not applied.
fn lines() -> Vec<String> {
    let null = Value::Null;
    vec![
        change(0, "c", 42, &null, &row(42, "a")),
        change(1, "c", 7, &null, &row(7, "q")),
        change(2, "u", 42, &null, &row(42, "b")),
        change(3, "d", 42, &json!({"id": 42, "name": null, "city": null}), &null),
        change(4, "c", 9, &null, &row(9, "x")),
        change(5, "u", 9, &null, &row(9, "y")),
    ]
}

const TARGET: &str = "create table customers (id integer primary key, name text, city text); \
                      insert into customers values (42, 'a', 'Delft'), (7, 'q', 'Delft'), (9, 'x', 'Delft')";

fn losing(more: impl IntoIterator<Item = String>) -> TempDir {
    shop(lines().into_iter().chain(more), TARGET)
}

fn audit(folder: &Path, more: &[&str]) -> Ended {
    let fixed = ["audit", "--tap", "file:e.jsonl", "--target", "sqlite:t.db"];
    afterimage(folder, &[&fixed[..], more].concat(), &[])
}

/// The code, and the report on standard output.
fn audited(folder: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let ended = audit(folder, &[more, &["-o", "json"]].concat());
    let report = serde_json::from_str(&ended.out);
    (ended.code, report.unwrap_or_else(|error| panic!("{more:?}: {error}: {}{}", ended.out, ended.err)))
}

/// Code, first and last offset, keys, findings.
type Expected<'v> = (i32, [u64; 2], u64, &'v Value);

/// What is expected of a range, as it came to be.
fn outcome(folder: &Path, more: &[&str]) -> (Option<i32>, [u64; 2], u64, Value) {
    let (code, report) = audited(folder, more);
    let summary = &report["summary"];
    let at = |name: &str| summary["range"][0][name].as_u64().expect("an offset");
    let keys = summary["keys"].as_u64().expect("a count");
    (code, [at("from"), at("to")], keys, summary["findings"].clone())
}

#[test]
fn every_form_of_a_position_bounds_the_range() {
    let shop = losing([]);
    let both = json!({"lost_update": 1, "unapplied_delete": 1});
    // A key is judged against its newest version, also where that lies behind the range.
    let delete = json!({"unapplied_delete": 1});
    let update = json!({"lost_update": 1});
    let none = json!({});
    let rows: [(&[&str], Expected<'_>); 19] = [
        (&[], (1, [0, 6], 3, &both)),
        (&["--from", "beginning", "--to", "end"], (1, [0, 6], 3, &both)),
        (&["--to", "3"], (1, [0, 3], 2, &delete)),
        (&["--to", "1"], (1, [0, 1], 1, &delete)),
        (&["--to", "-2"], (1, [0, 4], 2, &delete)),
        (&["--from", "4"], (1, [4, 6], 1, &update)),
        (&["--from", "-2"], (1, [4, 6], 1, &update)),
        (&["--from", "-2", "--to", "-1"], (1, [4, 5], 1, &update)),
        (&["--from", "1", "--to", "2"], (0, [1, 2], 1, &none)),
        (&["--to", "s@1790000000002"], (1, [0, 2], 2, &delete)),
        (&["--to", "s@2026-09-21T14:13:20.002Z"], (1, [0, 2], 2, &delete)),
        (&["--to", "2026-09-21T16:13:20.002+02:00"], (1, [0, 2], 2, &delete)),
        (&["--from", "s@1790000000004"], (1, [4, 6], 1, &update)),
        (&["--from", "last 50years"], (1, [0, 6], 3, &both)),
        (&["--to", "last 50years"], (0, [0, 0], 0, &none)),
        (&["--from", "last 100years"], (1, [0, 6], 3, &both)),
        (&["--from", "0:4"], (1, [4, 6], 1, &update)),
        (&["--from", "0:1", "--to", "0:2"], (0, [1, 2], 1, &none)),
        (&["--from", "4", "--from", "0:1", "--to", "0:2", "--to", "end"], (0, [1, 2], 1, &none)),
    ];
    std::thread::scope(|scope| {
        for (more, (code, range, keys, findings)) in rows {
            let folder = shop.path();
            scope.spawn(move || {
                assert_eq!(outcome(folder, more), (Some(code), range, keys, findings.clone()), "{more:?}");
            });
        }
    });
}

#[test]
fn a_range_that_can_hold_nothing_is_refused() {
    let shop = losing([]);
    let rows: [(&[&str], &str); 9] = [
        (&["--from", "end"], "--to: nothing lies between `end` and `end`"),
        (&["--to", "beginning"], "--to: nothing lies between `beginning` and `beginning`"),
        (&["--from", "5", "--to", "5"], "--to: nothing lies between `5` and `5`: expected a position behind"),
        (&["--from", "-2", "--to", "-3"], "--to: nothing lies between `-2` and `-3`"),
        (&["--from", "last 1h", "--to", "last 2h"], "--to: nothing lies between `last 1h` and `last 2h`"),
        (&["--from", "0:1", "--to", "1:5"], "--to: partition 1 is pinned, which --from leaves out"),
        (&["--from", "stored"], "a file keeps no committed offsets on `e.jsonl`: use `beginning`, an offset or a time"),
        (&["--to", "stored"], "a file keeps no committed offsets on `e.jsonl`: use `beginning`, an offset or a time"),
        (&["--tap", "file:-", "--to", "-2"], "standard input has no known end"),
    ];
    for (more, said) in rows {
        let mut arguments = vec!["audit", "--target", "sqlite:t.db"];
        if !more.contains(&"--tap") {
            arguments.extend(["--tap", "file:e.jsonl"]);
        }
        let ended = afterimage(shop.path(), &[&arguments[..], more].concat(), &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{more:?}");
        assert!(ended.err.contains(said), "{more:?}: {}", ended.err);
    }
}

#[test]
fn filters_and_the_least_severity_decide_between_0_and_1() {
    let shop = losing([]);
    let rows: [(&[&str], i32, usize); 14] = [
        (&["--fail-on", "info"], 1, 2),
        (&["--fail-on", "warning"], 1, 2),
        (&["--fail-on", "critical"], 1, 2),
        (&["--from", "4", "--fail-on", "info"], 1, 1),
        (&["--from", "4", "--fail-on", "warning"], 1, 1),
        (&["--from", "4", "--fail-on", "critical"], 0, 1),
        (&["--op", "delete"], 1, 1),
        (&["--op", "update", "--fail-on", "critical"], 0, 1),
        (&["--op", "insert"], 0, 0),
        (&["--table", "public.customers"], 1, 2),
        (&["--table", "public.orders"], 0, 0),
        (&["--key", "42"], 1, 1),
        (&["--key", "id=7"], 0, 0),
        (&["--key", "id=9", "--key", "42", "--as-of", "end"], 1, 2),
    ];
    std::thread::scope(|scope| {
        for (more, code, findings) in rows {
            let folder = shop.path();
            scope.spawn(move || {
                let (ended, report) = audited(folder, more);
                assert_eq!((ended, report["summary"]["complete"].as_bool()), (Some(code), Some(true)), "{more:?}");
                assert_eq!(report["findings"].as_array().map(Vec::len), Some(findings), "{more:?}");
            });
        }
    });
}

#[test]
fn more_findings_than_asked_for_end_an_audit_early() {
    let shop = losing([]);
    let (code, report) = audited(shop.path(), &["--max-findings", "1"]);
    let summary = &report["summary"];
    assert_eq!((code, report["findings"].as_array().map(Vec::len)), (Some(2), Some(1)));
    assert_eq!(
        (&summary["complete"], &summary["ended_early"]),
        (&json!(false), &json!("there are more than 1 findings"))
    );
    let (code, report) = audited(shop.path(), &["--max-findings", "2"]);
    assert_eq!((code, report["findings"].as_array().map(Vec::len)), (Some(1), Some(2)));
    assert_eq!(report["summary"].get("ended_early"), None);
}

#[test]
fn what_could_not_be_verified_wins_over_what_was_found() {
    let shop = losing(["no record at all".to_owned()]);
    let (code, report) = audited(shop.path(), &[]);
    assert_eq!((code, report["summary"]["complete"].as_bool()), (Some(2), Some(false)));
    assert_eq!(report["summary"]["findings"]["undecodable"], json!(1));
    assert_eq!(report["summary"]["findings"]["unapplied_delete"], json!(1));
}

#[test]
fn changes_of_a_table_without_a_counterpart_are_listed() {
    let stray = |offset| change_of("invoices", offset, ("c", 1), &Value::Null, &json!({"id": 1, "total": 5}));
    let shop = shop(lines()[1..2].iter().cloned().chain([stray(6), stray(8)]), TARGET);
    let (code, report) = audited(shop.path(), &[]);
    let unverified = &report["summary"]["unverified"];
    assert_eq!((code, report["summary"]["unverifiable"].as_u64()), (Some(2), Some(2)), "{unverified}");
    assert_eq!((&unverified[0]["from"], &unverified[0]["to"]), (&json!(6), &json!(9)));
    let reason = unverified[0]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("`public.invoices` is not judged: "), "{reason}");
    let (code, report) = audited(shop.path(), &["--table", "public.customers"]);
    assert_eq!((code, report["summary"]["complete"].as_bool()), (Some(0), Some(true)), "it was not asked for");
}

#[test]
fn time_that_is_up_leaves_ranges_without_a_verdict() {
    let shop = losing([]);
    for limit in ["--max-time", "--max-wait"] {
        let (code, report) = audited(shop.path(), &[limit, "1ms", "--to", "5"]);
        let summary = &report["summary"];
        assert_eq!((code, summary["complete"].as_bool()), (Some(2), Some(false)), "{limit}");
        if limit == "--max-wait" {
            let open = &summary["unverified"][0];
            assert_eq!(open["to"], json!(5), "{summary}");
            assert!(open["reason"].as_str().is_some_and(|why| why.starts_with("the time given was over")), "{open}");
        } else {
            assert_eq!(summary["ended_early"], json!("the time of --max-time was over"), "{summary}");
        }
    }
}

#[test]
fn a_tap_that_cannot_be_read_is_no_clean_range() {
    let shop = losing([]);
    let missing = afterimage(shop.path(), &["audit", "--tap", "file:none.jsonl", "--target", "sqlite:t.db"], &[]);
    assert_eq!((missing.code, missing.out.as_str()), (Some(2), ""));
    let nobody = ["audit", "--tap", "kafka://127.0.0.1:1/orders", "--target", "sqlite:t.db", "-o", "json"];
    let ended = afterimage(shop.path(), &nobody, &[]);
    assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
    let report: Value = serde_json::from_str(&ended.out).expect("a report");
    assert_eq!(report["summary"]["complete"], json!(false));
}

#[test]
fn a_report_is_written_in_the_format_of_its_name() {
    let shop = losing([]);
    let formats = ["table:txt", "json:json", "ndjson:ndjson", "csv:csv", "markdown:md", "junit:xml", "html:html"];
    std::thread::scope(|scope| {
        for format in formats {
            let folder = shop.path();
            scope.spawn(move || {
                let (format, extension) = format.split_once(':').expect("two words");
                let file = format!("report.{extension}");
                let ended = audit(folder, &["-o", format, "--report", &file]);
                let report = std::fs::read_to_string(folder.join(file)).expect("the report");
                assert_eq!((ended.code, &report), (Some(1), &ended.out), "{format}");
                assert!(report.contains("unapplied_delete"), "{format}");
            });
        }
    });
    let ended = audit(shop.path(), &["--report", "no/such/folder/report.json"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
}

/// What differs from run to run, taken out.
fn steady(out: &str) -> String {
    let swap = |text: &str, pattern: &str, by: &str| {
        regex::Regex::new(pattern).expect("a pattern").replace_all(text, by).into_owned()
    };
    let text = swap(out, r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME");
    let text = swap(&text, r#""elapsed_s":( ?)[0-9.]+"#, r#""elapsed_s":${1}1.5"#);
    swap(&text, r#"(observations":( ?))\d+"#, "${1}2")
}

fn printed(format: &str) -> String {
    let shop = losing([]);
    let ended = audit(shop.path(), &["-o", format]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    steady(&ended.out)
}

#[test]
fn a_table_for_people() {
    insta::assert_snapshot!(printed("table"), @r#"
    ┌────────────┬──────────┬───────┬──────────────────┬──────────────────┬───────┬───────────────────────────┬─────────────────────┬──────────────────────┐
    │ id         ┆ severity ┆ state ┆ kind             ┆ table            ┆ key   ┆ position                  ┆ cause               ┆ first seen           │
    ╞════════════╪══════════╪═══════╪══════════════════╪══════════════════╪═══════╪═══════════════════════════╪═════════════════════╪══════════════════════╡
    │ a8cf8e978e ┆ critical ┆ open  ┆ unapplied_delete ┆ public.customers ┆ id=42 ┆ shop.public.customers/0:3 ┆ insert_delete_merge ┆ TIME │
    │ ce00d614a3 ┆ warning  ┆ open  ┆ lost_update      ┆ public.customers ┆ id=9  ┆ shop.public.customers/0:5 ┆ insert_update_merge ┆ TIME │
    └────────────┴──────────┴───────┴──────────────────┴──────────────────┴───────┴───────────────────────────┴─────────────────────┴──────────────────────┘
    6 records, 6 changes of 3 keys: 1 matched, 0 superseded, 0 lagging, 0 unverifiable; 2 findings; every key has its verdict
    "#);
}

#[test]
fn one_json_document_holds_what_the_lines_do() {
    let document: Value = serde_json::from_str(&printed("json")).expect("one document");
    let lines = printed("ndjson");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let (summary, findings) = lines.split_last().expect("a summary at least");
    assert_eq!(document, json!({"findings": findings, "summary": summary}));
}

#[test]
fn json_lines() {
    insta::assert_snapshot!(printed("ndjson"), @r#"
    {"schema":"afterimage.finding/1","id":"a8cf8e978eb0cf6522a14725b962a1f3","pipeline":"e","table":"public.customers","target":"customers","key":{"id":42},"kind":"unapplied_delete","cause":"insert_delete_merge","severity":"critical","state":"open","expected":{"op":"delete","row":null,"at":{"tap":"file","topic":"shop.public.customers","partition":0,"offset":3,"source":"0/3EB","committed_at":"TIME"}},"observed":{"row":{"id":42,"name":"a","city":"Delft"},"at":"TIME","matches":{"op":"insert","offset":0,"partition":0,"topic":"shop.public.customers"}},"columns":[],"versions_behind":2,"proof":"assumed","evidence":"assumed: you stated that everything before shop.public.customers/0/6 was applied; that is past shop.public.customers/0/3","first_seen":"TIME","last_seen":"TIME","observations":2,"healed_at":null,"note":null}
    {"schema":"afterimage.finding/1","id":"ce00d614a39192b2e4ecbb8ea190ad4c","pipeline":"e","table":"public.customers","target":"customers","key":{"id":9},"kind":"lost_update","cause":"insert_update_merge","severity":"warning","state":"open","expected":{"op":"update","row":{"city":"Delft","id":9,"name":"y"},"at":{"tap":"file","topic":"shop.public.customers","partition":0,"offset":5,"source":"0/3ED","committed_at":"TIME"}},"observed":{"row":{"id":9,"name":"x","city":"Delft"},"at":"TIME","matches":{"op":"insert","offset":4,"partition":0,"topic":"shop.public.customers"}},"columns":[{"name":"name","expected":"y","observed":"x"}],"versions_behind":1,"proof":"assumed","evidence":"assumed: you stated that everything before shop.public.customers/0/6 was applied; that is past shop.public.customers/0/5","first_seen":"TIME","last_seen":"TIME","observations":2,"healed_at":null,"note":null}
    {"schema":"afterimage.audit/1","range":[{"topic":"shop.public.customers","partition":0,"from":0,"to":6}],"records":6,"changes":6,"keys":3,"matched":1,"superseded":0,"lagging":0,"unverifiable":0,"findings":{"lost_update":1,"unapplied_delete":1},"complete":true,"watermarks":[{"topic":"shop.public.customers","partition":0,"verified":6}],"elapsed_s":1.5}
    "#);
}

#[test]
fn comma_separated_values() {
    insta::assert_snapshot!(printed("csv"), @r#"
    id,pipeline,table,target,key,kind,cause,severity,state,op,topic,partition,offset,source,committed_at,observed_at,columns,versions_behind,proof,evidence,count,detail,first_seen,last_seen,observations,healed_at,note
    a8cf8e978eb0cf6522a14725b962a1f3,e,public.customers,customers,"{""id"":42}",unapplied_delete,insert_delete_merge,critical,open,delete,shop.public.customers,0,3,0/3EB,TIME,TIME,,2,assumed,assumed: you stated that everything before shop.public.customers/0/6 was applied; that is past shop.public.customers/0/3,,,TIME,TIME,2,,
    ce00d614a39192b2e4ecbb8ea190ad4c,e,public.customers,customers,"{""id"":9}",lost_update,insert_update_merge,warning,open,update,shop.public.customers,0,5,0/3ED,TIME,TIME,"[{""name"":""name"",""expected"":""y"",""observed"":""x""}]",1,assumed,assumed: you stated that everything before shop.public.customers/0/6 was applied; that is past shop.public.customers/0/5,,,TIME,TIME,2,,
    "#);
}

#[test]
fn a_markdown_table() {
    insta::assert_snapshot!(printed("markdown"), @r#"
    | id | severity | state | kind | table | key | position | cause | first seen |
    |---|---|---|---|---|---|---|---|---|
    | a8cf8e978eb0cf6522a14725b962a1f3 | critical | open | unapplied_delete | public.customers | id=42 | shop.public.customers/0:3 | insert_delete_merge | TIME |
    | ce00d614a39192b2e4ecbb8ea190ad4c | warning | open | lost_update | public.customers | id=9 | shop.public.customers/0:5 | insert_update_merge | TIME |

    6 records, 6 changes of 3 keys: 1 matched, 0 superseded, 0 lagging, 0 unverifiable; 2 findings; every key has its verdict.
    "#);
}

#[test]
fn junit_for_ci() {
    insta::assert_snapshot!(printed("junit"), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="afterimage" tests="3" skipped="0" failures="2" errors="0">
        <testsuite name="e" tests="2" skipped="0" errors="0" failures="2">
            <testcase name="unapplied_delete of public.customers id=42 at shop.public.customers/0:3" classname="public.customers">
                <failure message="assumed: you stated that everything before shop.public.customers/0/6 was applied; that is past shop.public.customers/0/3" type="unapplied_delete">id: a8cf8e978eb0cf6522a14725b962a1f3
    kind: unapplied_delete
    cause: insert_delete_merge
    severity: critical
    state: open
    pipeline: e
    table: public.customers, on the target customers
    key: id=42
    expected: no row after the delete at shop.public.customers/0:3 (source 0/3EB, committed TIME)
    observed: a row, read TIME; it is the version of shop.public.customers/0:0 (insert)
    behind: 2 versions
    proof: assumed
    evidence: assumed: you stated that everything before shop.public.customers/0/6 was applied; that is past shop.public.customers/0/3
    first seen: TIME
    last seen: TIME, by 2 reads
    The applier merged an insert and the delete after it into nothing, although a row was already there to be deleted. Check that the source no longer has the row, then delete it on the target. The finding closes by itself once the row is gone. Where keys are reused within seconds, turn off the merging of changes (DMS: `BatchApplyEnabled=false`), or let the applier carry deletes even where it has seen no row.</failure>
            </testcase>
            <testcase name="lost_update of public.customers id=9 at shop.public.customers/0:5" classname="public.customers">
                <failure message="assumed: you stated that everything before shop.public.customers/0/6 was applied; that is past shop.public.customers/0/5" type="lost_update">id: ce00d614a39192b2e4ecbb8ea190ad4c
    kind: lost_update
    cause: insert_update_merge
    severity: warning
    state: open
    pipeline: e
    table: public.customers, on the target customers
    key: id=9
    expected: the row of the update at shop.public.customers/0:5 (source 0/3ED, committed TIME)
    observed: a row, read TIME; it is the version of shop.public.customers/0:4 (insert)
    behind: 1 version
    proof: assumed
    evidence: assumed: you stated that everything before shop.public.customers/0/6 was applied; that is past shop.public.customers/0/5
    first seen: TIME
    last seen: TIME, by 2 reads
    The applier merged an insert and later updates of this key into one insert, and that insert met the row already there and was dropped. Read the row at the source by its key and write its current values over the target&apos;s row. The finding closes by itself once the row is right. Let the applier&apos;s inserts overwrite an existing row (DMS: `ApplyErrorInsertPolicy=UPDATE_RECORD`; JDBC sink: `insert.mode=upsert`).</failure>
            </testcase>
        </testsuite>
        <testsuite name="audit" tests="1" skipped="0" errors="0" failures="0">
            <testcase name="every key has its verdict"/>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn one_html_page() {
    let page = printed("html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"), "{page}");
    for part in ["unapplied_delete", "lost_update", "id=42", "every key has its verdict"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// An interrupted audit: the tap is a pipe that does not end.
#[test]
fn an_interrupted_audit_prints_what_is_known_and_exits_130() {
    let shop = losing([]);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut audit = Command::new(env!("CARGO_BIN_EXE_afterimage"));
        audit.args(["audit", "--tap", "file:-", "--target", "sqlite:t.db", "-o", "json", "-v"]);
        audit.current_dir(shop.path()).env_clear();
        audit.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut audit = audit.spawn().expect("the binary runs");
        let mut tap = audit.stdin.take().expect("a pipe");
        let mut log = BufReader::new(audit.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        lines().iter().for_each(|line| writeln!(tap, "{line}").expect("it reads"));
        assert!(log.any(|line| line.contains("table is judged")), "it reads and judges");
        let sent = Command::new("kill").args([signal, &audit.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        assert!(log.any(|line| line.contains("a second signal ends at once")), "the signal was heard");
        drop(tap);
        log.for_each(drop);
        let mut out = String::new();
        audit.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
        assert_eq!(audit.wait().expect("it ends").code(), Some(code), "{out}");
        let report: Value = serde_json::from_str(&out).expect("a report");
        assert_eq!(report["summary"]["complete"], json!(false), "{out}");
    }
}
