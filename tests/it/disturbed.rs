//! Losses planted before, during and after disturbances of everything around the sidecar, and of the sidecar itself: all of
//! them are found, with their positions, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::database::Dialect;
use crate::ledger::{Spot, spot};
use crate::load::Load;
use crate::pipeline::{Pipeline, Plan, Topics};
use crate::services::{Act, Service};
use crate::sidecar::{Sidecar, beside};
use crate::verdict::{applied_by_commits, is_of_rows, partitions, quick, told, wait_all_verified};
use crate::wait;

const LIMIT: Duration = Duration::from_secs(180);

/// Losses of each kind in one planting.
const EACH: i64 = 6;

/// Keys that the load never uses.
const FIRST_KEY: i64 = 10_000;

/// The target swallows rows by their names, as no error and no log line tells: what a broken trigger does.
const SWALLOW: &str = "
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER swallow_writes BEFORE INSERT ON customers FOR EACH ROW WHEN (NEW.name LIKE 'lost %') EXECUTE FUNCTION swallow();
CREATE TRIGGER swallow_deletes BEFORE DELETE ON customers FOR EACH ROW WHEN (OLD.name LIKE 'kept %') EXECUTE FUNCTION swallow();
";

/// Writes what will be lost, and remembers it.
struct Planter<'a> {
    pipeline: &'a Pipeline,
    load: Load,
    next: i64,
    planted: BTreeMap<Spot, &'static str>,
}

impl Planter<'_> {
    /// Losses of three kinds amid changes that arrive.
    async fn plant(&mut self) {
        let (start, mut sql, mut records) = (self.next, String::new(), 0);
        for id in start..start + EACH {
            let (missing, stale, undead) = (id, id + EACH, id + 2 * EACH);
            sql.push_str(&insert(missing, "lost"));
            sql.push_str(&insert(stale, "fine"));
            sql.push_str(&format!("UPDATE customers SET name = 'lost {stale}' WHERE id = {stale};"));
            sql.push_str(&insert(undead, "kept"));
            sql.push_str(&format!("DELETE FROM customers WHERE id = {undead};"));
            records += 6;
            for (id, kind) in [(missing, "missing_row"), (stale, "lost_update"), (undead, "unapplied_delete")] {
                self.planted.insert(spot("customers", &json!({ "id": id })), kind);
            }
        }
        self.next += 3 * EACH;
        self.pipeline.apply(&self.load.take(60)).await;
        self.pipeline.write(&sql, records).await;
        self.pipeline.apply(&self.load.take(60)).await;
    }

    /// Plants again and again for so long.
    async fn plant_throughout(&mut self, length: Duration) {
        let planter = tokio::sync::Mutex::new(self);
        wait::throughout("losses are planted", length, || async {
            planter.lock().await.plant().await;
            Ok(())
        })
        .await;
    }

    /// Waits until the sidecars together have found everything planted so far.
    async fn wait_found(&self, sidecars: &[&Sidecar]) {
        wait::until("every planted loss is found", LIMIT, || async {
            let found = found(sidecars);
            self.planted.keys().all(|spot| found.contains_key(spot)).then_some(())
        })
        .await;
    }
}

fn insert(id: i64, name: &str) -> String {
    format!("INSERT INTO customers (id, name, balance, active) VALUES ({id}, '{name} {id}', 0, true);")
}

/// Rows that the sidecars together call lost at present, and what they say of them.
fn found(sidecars: &[&Sidecar]) -> BTreeMap<Spot, (String, i64)> {
    let findings = sidecars.iter().flat_map(|sidecar| sidecar.findings());
    let open = findings.filter(|finding| is_of_rows(finding) && finding["state"] == "open");
    open.map(|finding| {
        let table = finding["table"].as_str().and_then(|name| name.rsplit('.').next()).expect("a table");
        let kind = finding["kind"].as_str().expect("a kind").to_owned();
        (spot(table, &finding["key"]), (kind, finding["expected"]["at"]["offset"].as_i64().expect("an offset")))
    })
    .collect()
}

fn first_seen(sidecar: &Sidecar) -> BTreeMap<String, Value> {
    let one = |finding: Value| (finding["id"].as_str().expect("an id").to_owned(), finding["first_seen"].clone());
    sidecar.findings().into_iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_loss_around_every_disturbance_is_found() {
    let pipeline = Plan::new("disturbed", Dialect::Postgres).topics(Topics::PerTable(2)).alone().start().await;
    pipeline.target.execute(SWALLOW).await;
    let sections = beside(&pipeline, &quick(&applied_by_commits(&pipeline)));
    let mut sidecar = Sidecar::run(&sections).await;
    let mut planter = Planter { pipeline: &pipeline, load: Load::new(6), next: FIRST_KEY, planted: BTreeMap::new() };
    planter.plant().await;
    planter.wait_found(&[&sidecar]).await;
    let seen_early = first_seen(&sidecar);

    stop_the_target(&mut planter).await;
    pipeline.disturb(Act::Restart, Service::Broker).await;
    planter.plant().await;
    planter.wait_found(&[&sidecar]).await;

    planter.plant().await;
    sidecar.kill();
    planter.plant().await;
    pipeline.wait_applied().await;
    sidecar.start();
    sidecar.wait_up().await;
    planter.plant().await;
    planter.wait_found(&[&sidecar]).await;

    let mut second = Sidecar::run(&sections).await;
    share_a_group(&mut planter, &sidecar, &mut second).await;

    pipeline.wait_applied().await;
    wait_all_verified(&pipeline, &[&sidecar]).await;
    planter.wait_found(&[&sidecar, &second]).await;
    assert_exactly(&planter, &[&sidecar, &second]);
    let seen_late = first_seen(&sidecar);
    let kept = seen_early.iter().all(|(id, first)| seen_late.get(id) == Some(first));
    assert!(kept, "{seen_early:#?} became {seen_late:#?}");
}

/// Twenty seconds without a target; its sink fails meanwhile and is restarted by its operator.
async fn stop_the_target(planter: &mut Planter<'_>) {
    let pipeline = planter.pipeline;
    pipeline.disturb(Act::Stop, Service::PgTarget).await;
    planter.plant_throughout(Duration::from_secs(20)).await;
    pipeline.disturb(Act::Start, Service::PgTarget).await;
    pipeline.connect.restart(&pipeline.sink_connector()).await;
    planter.plant().await;
}

/// A second sidecar takes over partitions of the first, and loses them again by its sudden end.
async fn share_a_group(planter: &mut Planter<'_>, first: &Sidecar, second: &mut Sidecar) {
    let has_some = |status: &Value| !partitions(status).is_empty();
    planter.plant().await;
    second.wait_status("the second sidecar has partitions", LIMIT, has_some).await;
    first.wait_status("the first has the others", LIMIT, has_some).await;
    planter.plant().await;
    planter.wait_found(&[first, second]).await;
    planter.plant().await;
    second.kill();
    planter.plant().await;
}

/// What was planted is found with its kind, at the newest event of its key; no other row is called wrong, open or healed.
fn assert_exactly(planter: &Planter<'_>, sidecars: &[&Sidecar]) {
    assert!(planter.planted.len() >= 50, "{}", planter.planted.len());
    let newest = planter.pipeline.newest();
    let expected: BTreeMap<_, _> =
        planter.planted.iter().map(|(spot, kind)| (spot.clone(), ((*kind).to_owned(), newest[spot].offset))).collect();
    let observed = found(sidecars);
    let wrong: Vec<_> = observed.iter().filter(|(spot, said)| expected.get(*spot) != Some(*said)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(observed.len(), expected.len());
    let keys: BTreeSet<_> = expected.keys().map(|(_, key)| key.clone()).collect();
    let others: Vec<_> = sidecars
        .iter()
        .flat_map(|sidecar| sidecar.findings())
        .filter(|finding| finding["kind"] != "stalled")
        .filter(|finding| !is_of_rows(finding) || !keys.contains(&spot("customers", &finding["key"]).1))
        .collect();
    assert!(others.is_empty(), "{:#?}", told(&others));
}
