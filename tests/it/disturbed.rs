//! Losses planted before, during and after disturbances of everything around the sidecar, and of the sidecar itself: all of
//! them are found, with their positions, and nothing else is.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use serde_json::{Value, json};

use crate::database::Dialect;
use crate::ledger::{Spot, spot};
use crate::load::Load;
use crate::pipeline::{Pipeline, Plan, Topics};
use crate::services::{Act, Service};
use crate::sidecar::{Sidecar, beside};
use crate::verdict::{applied_by_commits, ends, is_of_rows, partitions, quick, told, wait_all_verified};
use crate::wait;

const LIMIT: Duration = Duration::from_secs(180);

/// Losses of each kind in one planting.
const EACH: i64 = 17;

/// Losses that each disturbance must meet at each moment.
const ENOUGH: usize = 50;

/// Keys that the load never uses.
const FIRST_KEY: i64 = 10_000;

/// Changes of the load at once.
const SOME: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Disturbance {
    TargetDown,
    BrokerRestarted,
    SidecarKilled,
    /// A second sidecar joins the group.
    MemberJoined,
    /// It is killed.
    MemberLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Before,
    During,
    After,
}

type Phase = (Disturbance, Moment);

/// What must have been planted by the end.
const PHASES: [Disturbance; 5] = [
    Disturbance::TargetDown,
    Disturbance::BrokerRestarted,
    Disturbance::SidecarKilled,
    Disturbance::MemberJoined,
    Disturbance::MemberLost,
];

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
    planted: BTreeMap<Spot, (&'static str, Phase)>,
    /// When each finding was first seen, by its store and id.
    seen: BTreeMap<(usize, String), Value>,
}

impl<'a> Planter<'a> {
    fn new(pipeline: &'a Pipeline) -> Planter<'a> {
        Planter { pipeline, load: Load::new(6), next: FIRST_KEY, planted: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// Losses of three kinds, as statements and the number of their records.
    fn losses(&mut self, phase: Phase) -> (String, i64) {
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
                self.planted.insert(spot("customers", &json!({ "id": id })), (kind, phase));
            }
        }
        self.next += 3 * EACH;
        (sql, records)
    }

    async fn live_on(&mut self) {
        self.pipeline.apply(&self.load.take(SOME)).await;
    }

    /// Losses amid changes that arrive; all of them lie in the topics when it returns.
    async fn plant(&mut self, phase: Phase) {
        let (sql, records) = self.losses(phase);
        self.live_on().await;
        self.pipeline.write(&sql, records).await;
        self.live_on().await;
    }

    /// Losses at the source alone: nothing is asked of the topics.
    async fn plant_at_source(&mut self, phase: Phase) {
        let (sql, records) = self.losses(phase);
        self.pipeline.write_ahead(&sql, records).await;
    }

    /// Plants, and goes on changing rows until `work` is done.
    async fn plant_during<T>(&mut self, phase: Phase, work: impl Future<Output = T>) -> T {
        let over = Cell::new(false);
        let work = async {
            let done = work.await;
            over.set(true);
            done
        };
        let planting = async {
            self.plant(phase).await;
            while !over.get() {
                self.live_on().await;
            }
        };
        tokio::join!(work, planting).0
    }

    /// Waits until the sidecars together have found everything planted so far; what was found before was first seen when it was.
    async fn wait_found(&mut self, sidecars: &[&Sidecar]) {
        wait::until("every planted loss is found", LIMIT, || async {
            let found = found(sidecars);
            self.planted.keys().all(|spot| found.contains_key(spot)).then_some(())
        })
        .await;
        for (store, sidecar) in sidecars.iter().enumerate() {
            let now: BTreeMap<_, _> = first_seen(sidecar).into_iter().map(|(id, first)| ((store, id), first)).collect();
            let known = self.seen.iter().filter(|((of, _), _)| *of == store);
            let moved: Vec<_> = known.filter(|(id, first)| now.get(*id) != Some(*first)).collect();
            assert!(moved.is_empty(), "first_seen was not kept: {moved:#?}");
            self.seen.extend(now);
        }
    }

    /// Every disturbance met enough losses at each moment.
    fn assert_enough(&self) {
        for disturbance in PHASES {
            for moment in [Moment::Before, Moment::During, Moment::After] {
                let count = self.planted.values().filter(|(_, phase)| *phase == (disturbance, moment)).count();
                assert!(count >= ENOUGH, "only {count} losses {moment:?} {disturbance:?}");
            }
        }
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
    let mut planter = Planter::new(&pipeline);

    stop_the_target(&mut planter).await;
    planter.wait_found(&[&sidecar]).await;
    restart_the_broker(&mut planter).await;
    planter.wait_found(&[&sidecar]).await;
    kill_the_sidecar(&mut planter, &mut sidecar).await;
    planter.wait_found(&[&sidecar]).await;
    let second = share_the_group(&mut planter, &sidecar, &sections).await;
    planter.wait_found(&[&sidecar, &second]).await;
    let second = lose_a_member(&mut planter, &sidecar, second).await;

    pipeline.wait_applied().await;
    wait_all_verified(&pipeline, &[&sidecar]).await;
    planter.wait_found(&[&sidecar, &second]).await;
    planter.assert_enough();
    assert_exactly(&planter, &[&sidecar, &second]);
}

/// Twenty seconds without a target; its sink fails meanwhile and is restarted by its operator.
async fn stop_the_target(planter: &mut Planter<'_>) {
    let (pipeline, phase) = (planter.pipeline, |moment| (Disturbance::TargetDown, moment));
    planter.plant(phase(Moment::Before)).await;
    pipeline.disturb(Act::Stop, Service::PgTarget).await;
    let down = wait::throughout("the target is down", Duration::from_secs(20), || async { Ok(()) });
    planter.plant_during(phase(Moment::During), down).await;
    pipeline.disturb(Act::Start, Service::PgTarget).await;
    pipeline.connect.restart(&pipeline.sink_connector()).await;
    planter.plant(phase(Moment::After)).await;
}

/// What is written meanwhile waits in the source's own log; what was written just before may or may not have come through.
async fn restart_the_broker(planter: &mut Planter<'_>) {
    let (pipeline, phase) = (planter.pipeline, |moment| (Disturbance::BrokerRestarted, moment));
    planter.plant_at_source(phase(Moment::Before)).await;
    pipeline.disturb(Act::Stop, Service::Broker).await;
    planter.plant_at_source(phase(Moment::During)).await;
    pipeline.disturb(Act::Start, Service::Broker).await;
    planter.plant(phase(Moment::After)).await;
}

/// What was applied while nobody watched is read afterwards.
async fn kill_the_sidecar(planter: &mut Planter<'_>, sidecar: &mut Sidecar) {
    let phase = |moment| (Disturbance::SidecarKilled, moment);
    planter.plant(phase(Moment::Before)).await;
    sidecar.kill();
    planter.plant(phase(Moment::During)).await;
    planter.pipeline.wait_applied().await;
    sidecar.start();
    sidecar.wait_up().await;
    planter.plant(phase(Moment::After)).await;
}

/// A second sidecar takes over partitions of the first.
async fn share_the_group(planter: &mut Planter<'_>, first: &Sidecar, sections: &str) -> Sidecar {
    let phase = |moment| (Disturbance::MemberJoined, moment);
    planter.plant(phase(Moment::Before)).await;
    let mut second = Sidecar::prepare(sections);
    second.start();
    let joining = async {
        second.wait_up().await;
        let has_some = |status: &Value| !partitions(status).is_empty();
        second.wait_status("the second sidecar has partitions", LIMIT, has_some).await;
        first.wait_status("the first has the others", LIMIT, has_some).await;
    };
    planter.plant_during(phase(Moment::During), joining).await;
    planter.plant(phase(Moment::After)).await;
    second
}

/// The second sidecar ends suddenly; the first has all partitions again when the group has noticed.
async fn lose_a_member(planter: &mut Planter<'_>, first: &Sidecar, mut second: Sidecar) -> Sidecar {
    let phase = |moment| (Disturbance::MemberLost, moment);
    planter.plant(phase(Moment::Before)).await;
    second.kill();
    let all = ends(planter.pipeline).len();
    let has_all = |status: &Value| partitions(status).len() == all;
    let noticed = first.wait_status("the first has all partitions again", LIMIT, has_all);
    planter.plant_during(phase(Moment::During), noticed).await;
    planter.plant(phase(Moment::After)).await;
    second
}

/// What was planted is found with its kind, at the newest event of its key; no other row is called wrong, open or healed.
fn assert_exactly(planter: &Planter<'_>, sidecars: &[&Sidecar]) {
    let newest = planter.pipeline.newest();
    let expected: BTreeMap<_, _> = planter
        .planted
        .iter()
        .map(|(spot, (kind, _))| (spot.clone(), ((*kind).to_owned(), newest[spot].offset)))
        .collect();
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
