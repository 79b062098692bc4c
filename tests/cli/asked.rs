//! `audit` of a part of what changed: rows that meet a condition, and what the end of a range demanded.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::afterimage;
use super::shop::{change, change_of, row_of as of, shop};

/// 1 and 2 of Delft lost their updates, and 3 of Gouda; 4 left Delft for Gouda, and that was lost; 5 is right.
fn lines() -> Vec<String> {
    let none = Value::Null;
    let changes = [
        ("c", 1, none.clone(), of(1, "a", "Delft")),
        ("c", 2, none.clone(), of(2, "a", "Delft")),
        ("c", 3, none.clone(), of(3, "a", "Gouda")),
        ("c", 4, none.clone(), of(4, "a", "Delft")),
        ("c", 5, none.clone(), of(5, "a", "Delft")),
        ("u", 1, none.clone(), of(1, "b", "Delft")),
        ("u", 3, none.clone(), of(3, "b", "Gouda")),
        ("u", 4, none.clone(), of(4, "b", "Gouda")),
        ("u", 2, none, of(2, "b", "Delft")),
    ];
    let line = |(offset, (op, id, before, after)): (usize, (&str, i64, Value, Value))| {
        change(offset as u64, op, id, &before, &after)
    };
    changes.into_iter().enumerate().map(line).collect()
}

const TARGET: &str = "create table customers (id integer primary key, name text, city text); \
                      create table notes (id integer primary key, text text); insert into notes values (1, 'x'); \
                      insert into customers values (1, 'a', 'Delft'), (2, 'a', 'Delft'), (3, 'a', 'Gouda'), \
                      (4, 'a', 'Delft'), (5, 'a', 'Delft')";

fn losing(more: impl IntoIterator<Item = String>) -> TempDir {
    shop(lines().into_iter().chain(more), TARGET)
}

/// Exit code, the keys with findings in order, and the summary.
fn audited(folder: &Path, more: &[&str]) -> (Option<i32>, Vec<i64>, Value) {
    let fixed = ["audit", "--tap", "file:e.jsonl", "--target", "sqlite:t.db", "-o", "json"];
    let ended = afterimage(folder, &[&fixed[..], more].concat(), &[]);
    let report: Value =
        serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{more:?}: {}{}", ended.out, ended.err));
    let findings = report["findings"].as_array().expect("findings").iter();
    let mut keys: Vec<i64> = findings.map(|one| one["key"]["id"].as_i64().expect("a key")).collect();
    keys.sort_unstable();
    (ended.code, keys, report["summary"].clone())
}

#[test]
fn a_condition_chooses_keys_by_the_rows_of_the_range() {
    let shop = losing([]);
    let rows: [(&[&str], i32, &[i64], u64); 8] = [
        (&["--where", "city = 'Delft'"], 1, &[1, 2, 4], 4),
        (&["--where", "city = 'Gouda'"], 1, &[3, 4], 2),
        (&["--where", "name = 'b' and city = 'Delft'"], 1, &[1, 2], 2),
        (&["--where", "id in (5, 7)"], 0, &[], 1),
        (&["--where", "city = 'Gouda'", "--from", "0", "--to", "6"], 1, &[3], 1),
        (&["--where", "city = 'Delft'", "--op", "update"], 1, &[1, 2], 2),
        (&["--where", "city = 'Delft'", "--key", "1"], 1, &[1], 4),
        (&["--where", "false"], 0, &[], 0),
    ];
    #[expect(clippy::disallowed_methods, reason = "the audits run at once")]
    std::thread::scope(|scope| {
        for (more, code, keys, chosen) in rows {
            let folder = shop.path();
            scope.spawn(move || {
                let (ended, found, summary) = audited(folder, more);
                assert_eq!((ended, &found[..]), (Some(code), keys), "{more:?}: {summary}");
                assert_eq!((&summary["chosen"], &summary["complete"]), (&json!(chosen), &json!(true)), "{more:?}");
            });
        }
    });
}

#[test]
fn changes_that_do_not_tell_are_counted_unless_their_key_is_chosen_anyhow() {
    let null = Value::Null;
    let note = change_of("notes", 9, ("c", 1), &null, &json!({"id": 1, "text": "x"}));
    let deleted = |offset, id| change(offset, "d", id, &of(id, "a", "Delft"), &null);
    // The source does not say that its log holds whole rows.
    let shop = losing([note, deleted(10, 4), deleted(11, 5), deleted(12, 5)]);
    let (code, found, summary) = audited(shop.path(), &["--where", "city = 'Gouda'"]);
    assert_eq!((code, &found[..]), (Some(2), &[3, 4, 5][..]), "{summary}");
    let reasons: Vec<&str> =
        summary["unverified"].as_array().expect("ranges").iter().filter_map(|one| one["reason"].as_str()).collect();
    assert_eq!(
        reasons,
        [
            "2 changes of `public.customers` do not tell whether --where holds",
            "1 change of `public.notes` does not tell whether --where holds"
        ]
    );
    let table = ["--table", "public.customers", "--where", "city = 'Delft'"];
    let (code, found, summary) = audited(shop.path(), &table);
    assert_eq!((code, &found[..], &summary["complete"]), (Some(1), &[1, 2, 4, 5][..], &json!(true)), "{summary}");
}

#[test]
fn a_condition_that_is_none_is_refused() {
    let shop = losing([]);
    let fixed = ["audit", "--tap", "file:e.jsonl", "--target", "sqlite:t.db", "--where", "city = now()"];
    let ended = afterimage(shop.path(), &fixed, &[]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("--where: `now()` cannot be asked of a row"), "{}", ended.err);
}

#[test]
fn the_end_of_a_range_is_told_only_of_keys_that_stand_as_they_did() {
    let shop = losing([]);
    let range = ["--to", "6"];
    let (code, found, summary) = audited(shop.path(), &range);
    assert_eq!((code, &found[..], &summary["complete"]), (Some(1), &[1, 2, 3, 4][..], &json!(true)), "{summary}");
    let (code, found, summary) = audited(shop.path(), &["--to", "6", "--as-of", "end"]);
    assert_eq!((code, &found[..], &summary["unverifiable"]), (Some(2), &[1][..], &json!(3)), "{summary}");
    let overtaken = &summary["unverified"][0];
    assert_eq!((&overtaken["from"], &overtaken["to"]), (&json!(6), &json!(9)));
    let reason = overtaken["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("3 keys of `public.customers` changed behind the range"), "{reason}");
    for key in ["(id=2)", "(id=3)", "(id=4)"] {
        assert!(reason.contains(key), "{reason}");
    }
    let (code, found, _) = audited(shop.path(), &["--as-of", "end"]);
    assert_eq!((code, &found[..]), (Some(1), &[1, 2, 3, 4][..]), "nothing lies behind the whole");
}
