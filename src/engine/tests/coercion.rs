//! A column that the applier changes in the same way in every row.

use super::{Bench, check};

/// Inserts of so many keys, and what the target holds of them.
fn inserts(keys: std::ops::RangeInclusive<i64>, held: impl Fn(i64) -> i64) -> String {
    keys.map(|key| format!("insert {key} 10/{}\nput {key} 10/{}\n", key * 10 + 3, held(key))).collect()
}

fn tens(key: i64) -> i64 {
    key * 10
}

#[test]
fn six_rows_that_lost_the_same_are_one_finding_of_their_column() {
    let mut bench = Bench::heartbeat();
    bench.run(&format!("tens\n{}wait 25", inserts(1..=8, tens)));
    assert_eq!(bench.said, ["open diverged_row column_coercion b"]);
    assert!(bench.notes.contains(&"b is digits:0".to_owned()), "{:?}", bench.notes);
}

#[test]
fn without_an_answer_the_rows_are_findings_of_their_own() {
    let mut bench = Bench::heartbeat();
    bench.run(&format!("tens\n{}wait 100", inserts(1..=6, tens)));
    let is_row = |line: &&String| line.starts_with("open diverged_row") && line.contains('@');
    let rows: std::collections::BTreeSet<_> =
        bench.said.iter().filter(is_row).map(|line| line.split('@').next_back()).collect();
    assert_eq!(rows.len(), 6, "{:?}", bench.said);
}

#[test]
fn fewer_rows_are_named_by_what_they_lost_alike() {
    check(
        Bench::assumed(),
        &format!("tens\n{}wait 20", inserts(1..=3, tens)),
        &[
            "open diverged_row column_coercion assumed @0",
            "open diverged_row column_coercion assumed @1",
            "open diverged_row column_coercion assumed @2",
        ],
    );
}

#[test]
fn rows_that_kept_what_others_lost_speak_against_it() {
    let mut bench = Bench::heartbeat();
    let kept = |key: i64| key * 10 + 3;
    bench.run(&format!(
        "tens\n{}{}wait 5\n{}wait 100",
        inserts(1..=5, tens),
        inserts(11..=13, kept),
        inserts(6..=9, tens)
    ));
    assert!(!bench.said.iter().any(|line| line.ends_with("column_coercion b")), "{:?}", bench.said);
}

#[test]
fn one_value_that_came_back_in_every_row_proves_nothing() {
    let mut bench = Bench::heartbeat();
    let same: String = (1..=8).map(|key| format!("insert {key} 10/23\nput {key} 10/20\n")).collect();
    bench.run(&format!("tens\n{same}wait 100"));
    assert!(!bench.said.iter().any(|line| line.ends_with("column_coercion b")), "{:?}", bench.said);
}

#[test]
fn zeros_count_only_where_the_past_is_known() {
    let zeros = |op: &str| -> String {
        (1..=8).map(|key| format!("{op} {key} 10/{}\nput {key} 10/0\n", key * 10 + 3)).collect()
    };
    let mut bench = Bench::heartbeat();
    bench.run(&format!("tens\n{}wait 100", zeros("update")));
    assert!(!bench.said.iter().any(|line| line.ends_with("column_coercion b")), "{:?}", bench.said);
    let mut bench = Bench::heartbeat();
    bench.run(&format!("tens\n{}wait 25", zeros("insert")));
    assert_eq!(bench.said, ["open diverged_row column_coercion b"]);
    assert!(bench.notes.contains(&"b is nulled".to_owned()), "{:?}", bench.notes);
}

#[test]
fn an_older_version_that_looks_the_same_is_a_lost_update() {
    let mut bench = Bench::heartbeat();
    let lost: String = (1..=8)
        .map(|key| format!("applied insert {key} 10/{}\nupdate {key} 10/{}\n", key * 10, key * 10 + 3))
        .collect();
    bench.run(&format!("tens\n{lost}wait 100"));
    let lost = bench.said.iter().filter(|line| line.starts_with("open lost_update insert_update_merge")).count();
    assert!(lost >= 8, "{:?}", bench.said);
    assert!(!bench.said.iter().any(|line| line.ends_with("column_coercion b")), "{:?}", bench.said);
}

#[test]
fn what_an_earlier_process_said_ends_once_rows_are_right() {
    let mut bench = Bench::heartbeat();
    bench.run(&format!("tens\n{}wait 25", inserts(1..=8, tens)));
    let column = bench.findings.last().expect("a finding").clone();
    bench.restart_beside(&column, Some(1));
    let kept = |key: i64| key * 10 + 3;
    bench.run(&format!("{}wait 25", inserts(21..=170, kept)));
    assert_eq!(bench.said, [] as [&str; 0]);
    bench.run(&format!("{}wait 25", inserts(171..=240, kept)));
    assert_eq!(bench.said, ["healed diverged_row column_coercion b"]);
}

#[test]
fn what_an_earlier_process_said_ends_where_it_is_accepted() {
    let mut bench = Bench::heartbeat();
    bench.run(&format!("tens\n{}wait 25", inserts(1..=8, tens)));
    let column = bench.findings.last().expect("a finding").clone();
    bench.restart_beside(&column, None);
    assert_eq!(bench.said, ["healed diverged_row column_coercion b"]);
}
