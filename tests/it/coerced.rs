//! The target changes a column in the same way in every row that the sink writes: one finding, and no loss is hidden by it.

use std::time::Duration;

use serde_json::Value;

use crate::database::Dialect;
use crate::pipeline::{Pipeline, Plan};
use crate::sidecar::Sidecar;
use crate::verdict::{self, judging, wait_verified};

/// How long the sidecar may take to compare otherwise: a beat of a second, on a busy machine.
const NOTICED: Duration = Duration::from_secs(60);

/// Notes are written in upper case, and one row takes no update.
const LOUD: &str = "
CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
    IF TG_OP = ''UPDATE'' AND NEW.id = 105 THEN RETURN OLD; END IF;
    NEW.note := upper(NEW.note);
    RETURN NEW;
END';
CREATE TRIGGER loud BEFORE INSERT OR UPDATE ON counters FOR EACH ROW EXECUTE FUNCTION loud();
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_every_row_differs_in_is_one_finding_and_a_lost_update_shows_beside_it() {
    let pipeline = Plan::new("coerced", Dialect::Postgres).start().await;
    pipeline.target.execute(LOUD).await;
    let mut sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    write_notes(&pipeline, "INSERT INTO counters SELECT n, 0, 'note ' || n FROM generate_series(100, 119) AS n").await;
    let is_found = |findings: &[Value]| findings.iter().any(is_of_column);
    sidecar.wait_findings("the column is found", verdict::LIMIT, is_found).await;
    let compared = |status: &Value| status.to_string().contains("note (only what `upper` leaves of it)");
    sidecar.wait_status("the column is compared by what is left", NOTICED, compared).await;

    let update = "UPDATE counters SET note = 'more of ' || note WHERE id BETWEEN 100 AND 119";
    write_notes(&pipeline, update).await;
    let is_lost = |findings: &[Value]| findings.iter().any(|finding| finding["key"]["id"] == 105);
    sidecar.wait_findings("the lost update is found", verdict::LIMIT, is_lost).await;
    let status = wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    assert_eq!(status["unverifiable"], 0, "{status:#}");

    let (columns, rows): (Vec<Value>, Vec<Value>) = sidecar.findings().into_iter().partition(is_of_column);
    let [column] = &*columns else { panic!("one column, not {columns:#?}") };
    assert_eq!(
        (&column["state"], &column["detail"]),
        (&"open".into(), &"values of `note` are written in upper case".into())
    );
    let [lost] = &*rows else { panic!("one row, not {:#?}", verdict::told(&rows)) };
    assert_eq!((&lost["kind"], &lost["key"]["id"]), (&"lost_update".into(), &105.into()), "{lost:#}");

    another_process_says_the_same(&pipeline, &mut sidecar, column).await;
}

/// It finds the column out by itself, and it is the same finding.
async fn another_process_says_the_same(pipeline: &Pipeline, sidecar: &mut Sidecar, column: &Value) {
    sidecar.kill();
    sidecar.start();
    sidecar.wait_up().await;
    let update = "UPDATE counters SET note = 'yet ' || note WHERE id BETWEEN 100 AND 119";
    write_notes(pipeline, update).await;
    let compared = |status: &Value| status.to_string().contains("note (only what `upper` leaves of it)");
    sidecar.wait_status("the column is compared by what is left again", NOTICED, compared).await;
    wait_verified(sidecar, &verdict::ends(pipeline)).await;
    let findings = sidecar.findings();
    let again = findings.iter().find(|finding| is_of_column(finding)).expect("it is still there");
    assert_eq!(
        (&again["id"], &again["first_seen"], &again["state"]),
        (&column["id"], &column["first_seen"], &"open".into())
    );
    assert_eq!(findings.len(), 2, "{:#?}", verdict::told(&findings));
}

async fn write_notes(pipeline: &Pipeline, sql: &str) {
    pipeline.write(sql, 20).await;
    pipeline.wait_applied().await;
}

fn is_of_column(finding: &Value) -> bool {
    finding["cause"] == "column_coercion" && finding["key"].is_null()
}
