//! The columns of tables change at source and target while the load goes on.

use std::time::Duration;

use serde_json::Value;

use crate::database::Dialect;
use crate::load::Load;
use crate::pipeline::{Pipeline, Plan, Topics};
use crate::sidecar::Sidecar;
use crate::verdict::{self, judging, wait_verified};
use crate::wait;

/// How long the sidecar may take to notice: a beat of ten seconds, on a busy machine.
const NOTICED: Duration = Duration::from_secs(60);

/// The target keeps the new column of this row as it was, whatever is written.
const KEEPS_SHADE: &str = "
CREATE FUNCTION keep_shade() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.shade := NULL; RETURN NEW; END';
CREATE TRIGGER keep_shade BEFORE INSERT OR UPDATE ON counters FOR EACH ROW WHEN (NEW.id = 105) EXECUTE FUNCTION keep_shade();
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_come_go_and_change_and_nothing_but_the_planted_loss_is_found() {
    let plan = Plan::new("columns", Dialect::Postgres).topics(Topics::PerTable(2)).sink("schema.evolution", "basic");
    let pipeline = plan.start().await;
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    let mut load = Load::new(41);
    pipeline.apply(&load.take(1_000)).await;
    pipeline.write("INSERT INTO counters SELECT n, 0, 'as it was' FROM generate_series(100, 119) AS n", 20).await;

    added_at_the_target_first(&pipeline, &sidecar).await;
    pipeline.apply(&load.take(300)).await;
    added_at_the_source_first(&pipeline, &sidecar).await;
    pipeline.apply(&load.take(300)).await;
    an_open_finding_heals_by_other_columns(&pipeline, &sidecar).await;
    pipeline.apply(&load.take(300)).await;
    renamed_and_retyped_at_both(&pipeline, &sidecar).await;
    pipeline.apply(&load.take(300)).await;
    widened(&pipeline, &sidecar).await;
    pipeline.apply(&load.take(300)).await;
    made_again(&pipeline, &sidecar).await;
    dropped(&pipeline, &sidecar).await;
    pipeline.apply(&load.take(300)).await;

    pipeline.wait_applied().await;
    let status = wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    assert_eq!(status["unverifiable"], 0, "{status:#}");
    let findings = sidecar.findings();
    let [planted] = &*findings else { panic!("one finding, not {:#?}", verdict::told(&findings)) };
    assert_eq!((&planted["state"], &planted["key"]["id"]), (&"healed".into(), &105.into()), "{planted:#}");
}

async fn added_at_the_target_first(pipeline: &Pipeline, sidecar: &Sidecar) {
    pipeline.target.execute("ALTER TABLE counters ADD shade text").await;
    noticed(sidecar, "shade is new (text)").await;
    sidecar.wait_status("the status lists it", NOTICED, |status| own(status, "shade (no change carries it)")).await;
    pipeline.target.execute(KEEPS_SHADE).await;
    pipeline.source.execute("ALTER TABLE counters ADD shade text").await;
    pipeline.write("UPDATE counters SET shade = 'red', total = total + 1 WHERE id >= 100", 20).await;
    pipeline.wait_applied().await;
    let lost = |findings: &[Value]| findings.iter().any(|finding| finding["state"] == "open");
    let findings = sidecar.wait_findings("the lost shade is found", verdict::LIMIT, lost).await;
    assert_eq!((&findings[0]["key"]["id"], &findings[0]["columns"][0]["name"]), (&105.into(), &"shade".into()));
    sidecar.wait_status("it is compared", NOTICED, |status| !own(status, "shade")).await;
}

/// The sink adds it with the first record that has it.
async fn added_at_the_source_first(pipeline: &Pipeline, sidecar: &Sidecar) {
    pipeline.source.execute("ALTER TABLE customers ADD grade int").await;
    pipeline.source.execute("ALTER TABLE order_lines ADD bonus numeric(8,4)").await;
    let customers = pipeline.source.rows("customers").await.len();
    pipeline.write("UPDATE customers SET grade = id % 7", i64::try_from(customers).expect("few")).await;
    noticed(sidecar, "grade is new").await;
}

async fn an_open_finding_heals_by_other_columns(pipeline: &Pipeline, sidecar: &Sidecar) {
    pipeline.target.execute("DROP TRIGGER keep_shade ON counters; ALTER TABLE counters ADD loaded_by text").await;
    noticed(sidecar, "loaded_by is new").await;
    assert_eq!(verdict::count_by(&sidecar.findings(), "state")["open"], 1, "it stands as it did");
    pipeline.target.execute("UPDATE counters SET shade = 'red', loaded_by = 'hand' WHERE id = 105").await;
    let healed = |findings: &[Value]| findings.iter().all(|finding| finding["state"] == "healed");
    sidecar.wait_findings("the repaired row heals", verdict::LIMIT, healed).await;
}

/// While nothing is under way: the sink cannot write to a column that has another name.
async fn renamed_and_retyped_at_both(pipeline: &Pipeline, sidecar: &Sidecar) {
    pipeline.wait_applied().await;
    pipeline.connect.pause(&pipeline.sink_connector()).await;
    for database in [&pipeline.target, &pipeline.source] {
        database.execute("ALTER TABLE counters RENAME shade TO tint; ALTER TABLE counters ALTER total TYPE text").await;
    }
    pipeline.write("UPDATE counters SET tint = 'blue', total = '00' || id WHERE id >= 100", 20).await;
    pipeline.connect.resume(&pipeline.sink_connector()).await;
    noticed(sidecar, "shade is gone").await;
    noticed(sidecar, "total is text, was bigint").await;
}

async fn widened(pipeline: &Pipeline, sidecar: &Sidecar) {
    for database in [&pipeline.target, &pipeline.source] {
        database.execute("ALTER TABLE order_lines ALTER quantity TYPE bigint, ALTER sku TYPE varchar(80)").await;
    }
    noticed(sidecar, "quantity is bigint, was integer").await;
    noticed(sidecar, "sku is character varying(80), was character varying(40)").await;
    pipeline.write("UPDATE counters SET tint = 'green' WHERE id < 110 AND id >= 100", 10).await;
}

/// The rows that stand there lose what they held, by no change of the tap.
async fn made_again(pipeline: &Pipeline, sidecar: &Sidecar) {
    pipeline.wait_applied().await;
    pipeline.target.execute("ALTER TABLE counters DROP tint; ALTER TABLE counters ADD tint text").await;
    noticed(sidecar, "tint was dropped and made again (text)").await;
    pipeline.write("UPDATE counters SET tint = 'grey' WHERE id >= 110", 10).await;
}

async fn dropped(pipeline: &Pipeline, sidecar: &Sidecar) {
    pipeline.source.execute("ALTER TABLE counters DROP tint").await;
    pipeline.write("UPDATE counters SET note = 'on its way' WHERE id >= 100", 20).await;
    noticed(sidecar, "some changes do not carry these columns any more").await;
    pipeline.wait_applied().await;
    pipeline.target.execute("ALTER TABLE counters DROP tint").await;
    pipeline.write("UPDATE counters SET note = 'and gone' WHERE id >= 100", 20).await;
    noticed(sidecar, "tint is gone").await;
}

async fn noticed(sidecar: &Sidecar, words: &str) {
    let what = format!("the log says `{words}`");
    wait::until(&what, NOTICED, || async { sidecar.log().contains(words).then_some(()) }).await;
}

/// Whether the status lists a column as not compared.
fn own(status: &Value, words: &str) -> bool {
    let listed = status["pipelines"][0]["not_compared"].as_array().into_iter().flatten();
    listed.into_iter().any(|column| column.as_str().is_some_and(|column| column.contains(words)))
}
