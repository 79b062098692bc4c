//! Rows that were verified, are left alone by the tap, and are changed on the target by hand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::database::Dialect;
use crate::ledger::spot;
use crate::load::Load;
use crate::pipeline::{Plan, Topics};
use crate::sidecar::{Sidecar, beside};
use crate::verdict::{self, LIMIT, applied_by_commits, assert_clean, assert_exactly, loss, quick, wait_verified};

/// Keys that the load never uses, and what their rows come to.
const QUIET: &str = "
INSERT INTO customers (id, name, balance, active) VALUES (10001, 'stays', 0, true);
INSERT INTO customers (id, name, balance, active) VALUES (10002, 'first', 0, true);
UPDATE customers SET name = 'second' WHERE id = 10002;
INSERT INTO customers (id, name, balance, active) VALUES (10003, 'goes', 0, true);
DELETE FROM customers WHERE id = 10003;
INSERT INTO customers (id, name, balance, active) VALUES (10004, 'stays', 0, true);
";

/// The records of it: a delete and its tombstone are two.
const QUIET_RECORDS: i64 = 7;

const DAMAGE: &str = "
DELETE FROM customers WHERE id = 10001;
UPDATE customers SET name = 'first' WHERE id = 10002;
INSERT INTO customers (id, name, balance, active) VALUES (10003, 'goes', 0, true);
UPDATE customers SET name = 'by hand' WHERE id = 10004;
";

const REPAIR: &str = "
INSERT INTO customers (id, name, balance, active) VALUES (10001, 'stays', 0, true);
UPDATE customers SET name = 'second' WHERE id = 10002;
DELETE FROM customers WHERE id = 10003;
UPDATE customers SET name = 'stays' WHERE id = 10004;
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verified_rows_that_are_changed_by_hand_are_found_and_heal() {
    let pipeline = Plan::new("patrol", Dialect::Postgres).topics(Topics::PerTable(2)).start().await;
    let own = format!("{}\npatrol = \"200 reads/s\"", applied_by_commits(&pipeline));
    let sidecar = Sidecar::run(&beside(&pipeline, &quick(&own))).await;
    pipeline.apply(&Load::new(31).take(1_000)).await;
    pipeline.write(QUIET, QUIET_RECORDS).await;
    pipeline.wait_applied().await;
    let status = wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    assert!(status["patrolled_keys"].as_u64().is_some_and(|keys| keys > 100), "{status:#}");
    assert_clean(&sidecar);

    pipeline.target.execute(DAMAGE).await;
    let newest = pipeline.newest();
    let kinds =
        [(10001, "vanished_row"), (10002, "regressed_row"), (10003, "resurrected_row"), (10004, "diverged_row")];
    let expected: BTreeMap<_, _> = kinds
        .into_iter()
        .map(|(id, kind)| {
            let spot = spot("customers", &json!({ "id": id }));
            let loss = loss(kind, &newest[&spot]);
            (spot, loss)
        })
        .collect();
    assert_exactly(&sidecar, &expected).await;

    pipeline.target.execute(REPAIR).await;
    let healed = |findings: &[Value]| findings.iter().all(|finding| finding["state"] == "healed");
    let findings = sidecar.wait_findings("the rows are right again", LIMIT, healed).await;
    assert_eq!(findings.len(), kinds.len(), "{:#?}", verdict::told(&findings));
    let covered = sidecar.metric("afterimage_patrol_keys", "").await;
    assert!(covered.is_some_and(|keys| keys > 100.0), "{covered:?}");
}
