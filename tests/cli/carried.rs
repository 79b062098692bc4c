//! `audit` beside an applier that is meant to carry some rows of a table.

use std::fs;

use serde_json::Value;

use super::afterimage;
use super::shop::{change, row_of as of, shop};

/// Rows of Delft are carried. Names of cities change.
fn tap() -> Vec<String> {
    let none = Value::Null;
    [
        ("c", 1, none.clone(), of(1, "Ann", "Delft")),
        ("c", 2, none.clone(), of(2, "Bob", "Gouda")),
        ("c", 3, none.clone(), of(3, "Cas", "Delft")),
        ("c", 4, none.clone(), of(4, "Dee", "Delft")),
        ("c", 5, none.clone(), of(5, "Eve", "Gouda")),
        ("c", 6, none.clone(), of(6, "Fay", "Delft")),
        ("u", 1, of(1, "Ann", "Delft"), of(1, "Anna", "Delft")),
        ("u", 3, of(3, "Cas", "Delft"), of(3, "Cas", "Gouda")),
        ("u", 4, of(4, "Dee", "Delft"), of(4, "Dee", "Gouda")),
        ("u", 5, of(5, "Eve", "Gouda"), of(5, "Eve", "Delft")),
        ("d", 2, of(2, "Bob", "Gouda"), none.clone()),
        ("d", 6, of(6, "Fay", "Delft"), none),
    ]
    .into_iter()
    .enumerate()
    .map(|(offset, (op, id, before, after))| change(offset as u64, op, id, &before, &after))
    .collect()
}

/// Of the rows that left, 3 stayed and 4 went. The update of 1, the row 5 that came in, and the delete of 6 are lost.
const TARGET: &str = "create table customers (id integer primary key, name text, city text); \
                      insert into customers values (1, 'Ann', 'Delft'), (3, 'Cas', 'Delft'), (6, 'Fay', 'Delft')";

fn audit(condition: &str) -> (String, String, Option<i32>) {
    let shop = shop(tap(), TARGET);
    let config = format!(
        "[pipelines.orders]\ntap = {{ type = \"file\", path = \"e.jsonl\" }}\ntarget = {{ url = \"sqlite:t.db\" }}\n\
         [[pipelines.orders.tables]]\nmatch = \"public.customers\"\nwhere = \"{condition}\"\n"
    );
    fs::write(shop.path().join("afterimage.toml"), config).expect("a file");
    let ended = afterimage(shop.path(), &["audit", "-c", "afterimage.toml", "-o", "json"], &[]);
    (ended.out, ended.err, ended.code)
}

fn found(report: &str) -> Vec<(i64, String)> {
    let report: Value = serde_json::from_str(report).unwrap_or_else(|_| panic!("{report}"));
    let findings = report["findings"].as_array().expect("findings");
    let mut found: Vec<_> = findings
        .iter()
        .map(|one| (one["key"]["id"].as_i64().expect("a key"), one["kind"].as_str().expect("a kind").to_owned()))
        .collect();
    found.sort();
    found
}

#[test]
fn rows_that_are_not_carried_are_no_findings_and_hide_none() {
    let (out, err, code) = audit("city = 'Delft'");
    let wrong = [(1, "lost_update"), (5, "missing_row"), (6, "unapplied_delete")];
    assert_eq!(found(&out), wrong.map(|(id, kind)| (id, kind.to_owned())), "{out}{err}");
    assert_eq!(code, Some(1), "{out}{err}");
}

#[test]
fn without_the_condition_they_would_be() {
    let (out, err, _) = audit("true");
    let more = found(&out);
    assert!(
        more.contains(&(3, "lost_update".to_owned())) && more.contains(&(4, "missing_row".to_owned())),
        "{out}{err}"
    );
}

#[test]
fn a_condition_that_rows_do_not_tell_of_leaves_them_unverified() {
    let (out, err, code) = audit("country = 'nl'");
    assert_eq!(found(&out), [(6, "unapplied_delete".to_owned())], "{out}{err}");
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(out.contains("does not tell whether the applier is meant to carry its row"), "{out}{err}");
}

#[test]
fn a_condition_that_is_none_is_refused_with_its_place() {
    let (_, err, code) = audit("city = now()");
    assert_eq!(code, Some(2));
    assert!(
        err.contains("pipelines.orders.tables[0].where (afterimage.toml:6): `now()` cannot be asked of a row"),
        "{err}"
    );
}
