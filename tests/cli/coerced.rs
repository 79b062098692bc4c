//! `audit` beside an applier that changes a column in the same way in every row: one finding for the column, and the column
//! is still compared by what is left of it.

use std::fs;

use serde_json::{Value, json};

use super::afterimage;
use super::shop::{change, row, shop};

const ROWS: i64 = 300;

/// Inserts whose names end in blanks, and updates of every other one.
fn tap() -> Vec<String> {
    let mut lines: Vec<String> =
        (1..=ROWS).map(|id| change(id as u64, "c", id, &Value::Null, &row(id, &format!("Ann {id}  ")))).collect();
    let update = |id: i64| {
        change((ROWS + id) as u64, "u", id, &row(id, &format!("Ann {id}  ")), &row(id, &format!("Bob {id} ")))
    };
    lines.extend((1..=ROWS).filter(|id| id % 2 == 0).map(update));
    lines
}

/// The target as an applier leaves it that trims names; and two of its rows are wrong besides.
fn target() -> String {
    format!(
        "create table customers (id integer primary key, name text, city text); \
         with recursive n(id) as (select 1 union all select id + 1 from n where id < {ROWS}) \
         insert into customers select id, case id % 2 when 0 then 'Bob ' else 'Ann ' end || id, 'Delft' from n; \
         update customers set name = 'Ann 42' where id = 42; \
         update customers set city = 'Gouda' where id = 77;"
    )
}

fn audit(rules: &str) -> (Vec<(Value, Value, Value)>, Value, Option<i32>) {
    let shop = shop(tap(), &target());
    let config = format!(
        "[pipelines.orders]\ntap = {{ type = \"file\", path = \"e.jsonl\" }}\ntarget = {{ url = \"sqlite:t.db\" }}\n\
         applied = \"assumed\"\n{rules}"
    );
    fs::write(shop.path().join("afterimage.toml"), config).expect("a file");
    let ended = afterimage(shop.path(), &["audit", "-c", "afterimage.toml", "-o", "json"], &[]);
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    let all = report["findings"].as_array().expect("findings");
    let mut found: Vec<_> = all
        .iter()
        .filter(|one| one["state"] == "open")
        .map(|one| (one["kind"].clone(), one["cause"].clone(), one["key"].clone()))
        .collect();
    found.sort_by_key(|one| one.2["id"].as_i64());
    (found, report, ended.code)
}

#[test]
fn a_column_that_is_trimmed_in_every_row_is_one_finding_and_hides_no_other() {
    let (found, report, code) = audit("");
    let wrong = [
        (json!("diverged_row"), json!("column_coercion"), Value::Null),
        (json!("lost_update"), json!("insert_update_merge"), json!({"id": 42})),
        (json!("diverged_row"), json!("foreign_write"), json!({"id": 77})),
    ];
    assert_eq!(found, wrong, "{report:#}");
    let coerced = report["findings"].as_array().expect("findings").iter().find(|one| one["cause"] == "column_coercion");
    let coerced = coerced.expect("it was just found");
    assert_eq!(coerced["detail"], "values of `name` are written without the white space at their end");
    assert_eq!(coerced["severity"], "warning");
    assert!(coerced["evidence"].as_str().expect("a sentence").contains("coercions = { name = \"trimmed_end\" }"));
    assert_eq!(
        coerced["columns"].as_array().expect("samples").len(),
        coerced["samples"].as_array().expect("keys").len()
    );
    assert_eq!(code, Some(1));
}

#[test]
fn a_coercion_that_is_declared_is_no_finding() {
    let rule = "[[pipelines.orders.tables]]\nmatch = \"public.customers\"\ncoercions = { name = \"trimmed_end\" }\n";
    let (found, report, code) = audit(rule);
    let wrong = [
        (json!("lost_update"), json!("insert_update_merge"), json!({"id": 42})),
        (json!("diverged_row"), json!("foreign_write"), json!({"id": 77})),
    ];
    assert_eq!(found, wrong, "{report:#}");
    assert_eq!(code, Some(1));
}
