//! `record` and `replay`: a file is copied into an archive, judged from there as from the file, and given back.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::shop::{change, row, shop};
use super::{Ended, afterimage, afterimage_reading};

const TARGET: &str = "create table customers (id integer primary key, name text, city text); \
                      insert into customers values (42, 'a', 'Delft'), (7, 'q', 'Delft')";

/// A lost update of 42, the rest is right; a tombstone, a header and an empty value besides.
fn lines() -> Vec<String> {
    let null = Value::Null;
    let bare = |offset: u64, more: Value| {
        let mut line = json!({"topic": "shop.public.customers", "partition": 0, "offset": offset, "tstype": "logappend",
            "ts": 1_790_000_000_000u64 + offset});
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line.to_string()
    };
    vec![
        change(0, "c", 42, &null, &row(42, "a")),
        change(1, "c", 7, &null, &row(7, "q")),
        change(2, "u", 42, &null, &row(42, "b")),
        change(3, "c", 9, &null, &row(9, "x")),
        change(5, "d", 9, &row(9, "x"), &null),
        bare(6, json!({"headers": ["h", "v", "n", null], "key": json!({"id": 9}).to_string(), "payload": null})),
    ]
}

fn folder() -> TempDir {
    shop(lines(), TARGET)
}

const SMALL: [&str; 2] = ["--segment-bytes", "300"];

fn record(folder: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let ended = run(folder, &[&["record", "--tap", "file:e.jsonl", "--archive", "archive:tape"], more].concat());
    let summary = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    (ended.code, summary)
}

fn run(folder: &Path, arguments: &[&str]) -> Ended {
    afterimage(folder, arguments, &[])
}

fn audit(folder: &Path, tap: &str, more: &[&str]) -> (Option<i32>, Value, String) {
    let ended = run(folder, &[&["audit", "--tap", tap, "--target", "sqlite:t.db", "-o", "json"], more].concat());
    let report = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    (ended.code, report, ended.err)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("tape/segments")).expect("segments");
    let mut all: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    all.sort();
    all
}

#[test]
fn an_archive_is_judged_as_the_file_it_was_made_of() {
    let folder = folder();
    let (code, summary) = record(folder.path(), &SMALL);
    assert_eq!((code, &summary["records"], &summary["gaps"]), (Some(0), &json!(6), &json!([])));
    assert_eq!(summary["next"], json!([{"topic": "shop.public.customers", "partition": 0, "next": 7}]));
    assert!(segments(folder.path()).len() > 2, "{summary}");
    for range in [&[][..], &["--from", "2"], &["--to", "2"], &["--from", "s@1790000000002", "--to", "-2"]] {
        let (of_file, of_tape) =
            (audit(folder.path(), "file:e.jsonl", range), audit(folder.path(), "archive:tape", range));
        assert_eq!(of_file.0, of_tape.0, "{range:?}: {}", of_tape.2);
        for field in ["range", "records", "changes", "keys", "matched", "superseded", "findings", "complete"] {
            assert_eq!(of_file.1["summary"][field], of_tape.1["summary"][field], "{range:?} {field}");
        }
        let kinds = |report: &Value| {
            report["findings"].as_array().map(|all| all.iter().map(|one| one["kind"].clone()).collect::<Vec<_>>())
        };
        assert_eq!(kinds(&of_file.1), kinds(&of_tape.1));
    }
    let (_, report, _) = audit(folder.path(), "archive:tape", &[]);
    assert_eq!(
        (&report["findings"][0]["proof"], &report["findings"][0]["expected"]["at"]["tap"]),
        (&json!("assumed"), &json!("archive"))
    );
}

#[test]
fn the_same_command_goes_on_where_the_archive_ends() {
    let folder = folder();
    let all = lines();
    fs::write(folder.path().join("e.jsonl"), all[..2].join("\n")).expect("a file");
    assert_eq!(record(folder.path(), &SMALL).1["records"], json!(2));
    assert_eq!(record(folder.path(), &SMALL).1["records"], json!(0));
    fs::write(folder.path().join("e.jsonl"), all.join("\n")).expect("a file");
    assert_eq!(record(folder.path(), &SMALL).1["records"], json!(4));
    let given = run(folder.path(), &["replay", "--tap", "archive:tape", "--into", "file:-", "--speed", "max"]);
    assert_eq!((given.code, given.out.lines().count()), (Some(0), all.len()), "{}", given.err);
}

#[test]
fn what_is_replayed_is_what_was_recorded() {
    let folder = folder();
    record(folder.path(), &SMALL);
    for speed in ["max", "1000"] {
        let ended =
            run(folder.path(), &["replay", "--tap", "archive:tape", "--into", "file:back.jsonl", "--speed", speed]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
        let back = fs::read_to_string(folder.path().join("back.jsonl")).expect("a file");
        let read = |line: &str| {
            let mut line: Value = serde_json::from_str(line).expect("a line");
            line.as_object_mut().expect("an object").remove("broker");
            line
        };
        let (back, original): (Vec<_>, Vec<_>) =
            (back.lines().map(read).collect(), lines().iter().map(|line| read(line)).collect());
        assert_eq!(back, original, "{speed}");
    }
    let ended = run(
        folder.path(),
        &[
            "replay",
            "--tap",
            "archive:tape",
            "--into",
            "file:-",
            "--speed",
            "max",
            "--table",
            "public.customers",
            "--key",
            "9",
        ],
    );
    let offsets: Vec<u64> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line")["offset"].as_u64().expect("a number"))
        .collect();
    assert_eq!(offsets, [3, 5, 6], "a key's records, with the tombstone behind its delete: {}", ended.err);
    let ended = run(
        folder.path(),
        &["replay", "--tap", "archive:tape", "--into", "file:-", "--speed", "max", "--from", "2", "--to", "4"],
    );
    assert_eq!(ended.out.lines().count(), 2);
}

#[test]
fn a_lost_or_damaged_segment_is_a_coverage_gap() {
    let delete = |path: &Path| fs::remove_file(path).expect("it was there");
    let damage = |path: &Path| {
        let mut bytes = fs::read(path).expect("a segment");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("a segment");
    };
    for (harm, what) in [(&delete as &dyn Fn(&Path), "it is missing"), (&damage, "its checksum does not fit")] {
        let folder = folder();
        record(folder.path(), &SMALL);
        let segments = segments(folder.path());
        harm(&segments[1]);
        let (code, report, err) = audit(folder.path(), "archive:tape", &[]);
        assert_eq!((code, &report["summary"]["complete"]), (Some(2), &json!(false)), "{err}");
        let findings = report["findings"].as_array().expect("findings");
        let gap = findings.iter().find(|one| one["kind"] == json!("coverage_gap")).expect("a gap");
        let detail = gap["detail"].as_str().expect("a sentence");
        for part in ["segments/000000000001.segment", "shop.public.customers/0:", what, "put it back from a copy"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
        for command in [
            &["decode", "--tap", "archive:tape"][..],
            &[
                "explain",
                "--tap",
                "archive:tape",
                "--target",
                "sqlite:t.db",
                "--table",
                "public.customers",
                "--key",
                "42",
            ],
            &["replay", "--tap", "archive:tape", "--into", "file:-", "--speed", "max"],
        ] {
            let ended = run(folder.path(), command);
            assert_eq!(ended.code, Some(2), "{command:?}: {}", ended.err);
            assert!(ended.err.contains("segments/000000000001.segment"), "{command:?}: {}", ended.err);
        }
        let (code, _, err) = audit(folder.path(), "archive:tape", &["--from", "5"]);
        assert_eq!(code, Some(0), "the range does not need that segment: {err}");
    }
}

#[test]
fn standard_input_is_recorded_and_retention_is_kept() {
    let folder = folder();
    let input = lines().join("\n");
    let arguments =
        ["record", "--tap", "file:-", "--archive", "archive:tape", "--segment-bytes", "300", "--keep-bytes", "300"];
    let ended = afterimage_reading(folder.path(), &arguments, input.as_bytes());
    let summary: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    assert!(summary["expired"].as_u64() > Some(0), "{summary}");
    let (code, report, err) = audit(folder.path(), "archive:tape", &["--from", "0"]);
    assert_eq!(code, Some(2), "{err}");
    let detail = report["findings"][0]["detail"].as_str().expect("a sentence");
    assert!(detail.contains("archive `tape` begins at shop.public.customers/0:"), "{detail}");
}

#[test]
fn an_archive_is_a_tap_in_a_configuration_too() {
    let folder = folder();
    record(folder.path(), &[]);
    let config = |tap: &str| format!("[pipelines.orders]\ntap = {{ {tap} }}\ntarget = {{ url = \"sqlite:t.db\" }}\n");
    fs::write(folder.path().join("a.toml"), config("type = \"archive\", url = \"tape\"")).expect("a file");
    let ended = run(folder.path(), &["audit", "-c", "a.toml"]);
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
    fs::write(
        folder.path().join("b.toml"),
        config("type = \"archive\", path = \"x\", group = \"g\", from = \"stored\""),
    )
    .expect("a file");
    let ended = run(folder.path(), &["config", "check", "-c", "b.toml"]);
    for part in ["tap.url", "expected a folder", "tap.path", "tap.group", "tap.from", "not for archives"] {
        assert!(ended.code == Some(2) && ended.err.contains(part), "{part}: {}", ended.err);
    }
}

#[test]
fn mistakes_are_told_all_at_once() {
    let folder = folder();
    let ended = run(
        folder.path(),
        &["record", "--tap", "file:e.jsonl", "--archive", "tape", "--segment-time", "soon", "--keep-bytes", "much"],
    );
    for part in ["--archive", "expected archive:FOLDER", "--segment-time", "--keep-bytes"] {
        assert!(ended.code == Some(2) && ended.err.contains(part), "{part}: {}", ended.err);
    }
    let ended = run(folder.path(), &["replay", "--tap", "archive:tape", "--into", "nowhere", "--speed", "0"]);
    for part in ["--into", "expected kafka://HOST:PORT", "--speed", "a number above 0"] {
        assert!(ended.code == Some(2) && ended.err.contains(part), "{part}: {}", ended.err);
    }
    let ended = run(folder.path(), &["audit", "--tap", "archive:nothing", "--target", "sqlite:t.db"]);
    assert!(ended.code == Some(2) && ended.err.contains("there is no archive"), "{}", ended.err);
}
