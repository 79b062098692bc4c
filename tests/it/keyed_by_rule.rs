//! Tables without a primary key, whose key a rule names for all of them at once.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::database::{Database, Dialect};
use crate::pipeline::{Pipeline, Plan};
use crate::sidecar::afterimage;
use crate::verdict::LIMIT;
use crate::wait;

/// The first has no index at all, so its records have no key; of the second the connector makes the unique column the key.
const TABLES: [(&str, &str); 2] = [("club_members", ""), ("club_badges", "UNIQUE")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_in_tables_without_a_primary_key_are_found_by_the_key_of_a_pattern() {
    let pipeline = Plan::new("keyed", Dialect::Postgres).build().await;
    create_tables(&pipeline).await;
    for database in [&pipeline.source, &pipeline.target] {
        for (table, _) in TABLES {
            database.execute(&honest(table)).await;
        }
    }
    wait_for(&pipeline, "end-1").await;
    let has_key = |table: &str| -> BTreeSet<bool> {
        pipeline.kafka.read_all(&topic(&pipeline, table)).iter().map(|record| record.key.is_some()).collect()
    };
    assert_eq!(has_key("club_members"), BTreeSet::from([false]));
    assert_eq!(has_key("club_badges"), BTreeSet::from([true]));

    let folder = TempDir::new().expect("a directory");
    fs::write(folder.path().join("a.toml"), config(&pipeline)).expect("the directory is writable");
    let (code, findings) = audit(&folder);
    assert_eq!((code, findings), (Some(0), BTreeSet::new()));

    for (table, _) in TABLES {
        pipeline.source.execute(&later(table)).await;
        pipeline.target.execute(&later_with_losses(table)).await;
    }
    wait_for(&pipeline, "end-2").await;
    let (code, findings) = audit(&folder);
    let lost = |(table, _): (&str, &str)| {
        let finding =
            |kind: &str, code: &str| (kind.to_owned(), format!("public.{table}"), json!({ "code": code }).to_string());
        [finding("lost_update", "a"), finding("unapplied_delete", "b"), finding("unapplied_delete", "moved")]
    };
    assert_eq!(findings, TABLES.into_iter().flat_map(lost).collect());
    assert_eq!(code, Some(1));
}

/// Old rows are logged whole: without a primary key PostgreSQL lets rows be changed in no other way.
async fn create_tables(pipeline: &Pipeline) {
    for (table, unique) in TABLES {
        pipeline.kafka.create_topic(&topic(pipeline, table), 1).await;
        let create = format!("CREATE TABLE {table} (code text NOT NULL {unique}, name text NOT NULL, points int)");
        for database in [&pipeline.source, &pipeline.target] {
            database.execute(&create).await;
        }
        let Database::Postgres(source) = &pipeline.source else { panic!("a PostgreSQL pipeline") };
        source.identify_fully(table).await;
    }
}

/// Every kind of change, all of them applied: the same statements at source and target.
fn honest(table: &str) -> String {
    format!(
        "INSERT INTO {table} VALUES ('a', 'n', 1), ('b', 'n', 2), ('c', 'n', 3), ('d', 'n', 4);
         UPDATE {table} SET points = 20 WHERE code = 'b';
         UPDATE {table} SET code = 'moved' WHERE code = 'c';
         DELETE FROM {table} WHERE code = 'd';
         INSERT INTO {table} VALUES ('end-1', 'n', 0);"
    )
}

fn later(table: &str) -> String {
    format!(
        "UPDATE {table} SET points = 10 WHERE code = 'a';
         DELETE FROM {table} WHERE code = 'b';
         UPDATE {table} SET code = 'moved again' WHERE code = 'moved';
         INSERT INTO {table} VALUES ('end-2', 'n', 0);"
    )
}

/// Of [`later`] the update, the delete and the old half of the key change are lost.
fn later_with_losses(table: &str) -> String {
    format!("INSERT INTO {table} VALUES ('moved again', 'n', 3), ('end-2', 'n', 0)")
}

fn topic(pipeline: &Pipeline, table: &str) -> String {
    format!("{}.public.{table}", pipeline.name())
}

/// Waits until the row that was written last lies in each topic.
async fn wait_for(pipeline: &Pipeline, code: &str) {
    wait::until("the last change lies in its topic", LIMIT, || async {
        let has_come = |table: &str| {
            let records = pipeline.kafka.read_all(&topic(pipeline, table));
            records.iter().any(|record| record.value.as_deref().is_some_and(|value| contains(value, code)))
        };
        TABLES.iter().all(|(table, _)| has_come(table)).then_some(())
    })
    .await;
}

fn contains(value: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(value).contains(&format!("\"{text}\""))
}

fn config(pipeline: &Pipeline) -> String {
    let topics = TABLES.map(|(table, _)| format!("{:?}", topic(pipeline, table))).join(", ");
    format!(
        "[pipelines.keyed]\napplied = \"assumed\"\n\
         tap = {{ type = \"kafka\", brokers = {:?}, topics = [{topics}] }}\n\
         target = {{ url = {:?} }}\n\
         [[pipelines.keyed.tables]]\nmatch = \"/^public[.]club_/\"\nkey = [\"code\"]\n",
        pipeline.kafka.broker(),
        pipeline.target.url()
    )
}

/// How an audit of everything ends, and what it finds: kinds, tables and keys.
fn audit(folder: &TempDir) -> (Option<i32>, BTreeSet<(String, String, String)>) {
    let arguments = ["audit", "-c", "a.toml", "--from", "beginning", "--to", "end", "-o", "json"];
    let ended = afterimage(folder.path(), &arguments);
    let complaint = String::from_utf8_lossy(&ended.stderr);
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {complaint}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("findings");
    let told = findings.iter().map(|one| (text(&one["kind"]), text(&one["table"]), one["key"].to_string()));
    (ended.status.code(), told.collect())
}
