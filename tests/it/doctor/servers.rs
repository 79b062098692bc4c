//! Which server answers, what it is, and that several of them are refused.

use std::time::Duration;

use afterimage::target::{Options, Pooler, Role, Target, TargetError};

use super::{ORDERS, Setup};
use crate::balancer::{Balancer, Leads};
use crate::database::Dialect;
use crate::postgres::Postgres;
use crate::services::{Act, Service};
use crate::sidecar::{Sidecar, afterimage};

const LIMIT: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_told_and_commits_convict_nothing_there() {
    let setup = Setup::alone("standby", Dialect::Postgres).await;
    setup.orders(0, 0..4).await;
    for partition in 0..2 {
        setup.commit("connect-standby", &setup.topic, partition, if partition == 0 { 4 } else { 0 });
    }
    setup.services.act(&setup.stay, Act::Start, Service::PgStandby).await;
    let url = format!("{}/{}", setup.services.pg_standby, setup.name);
    let told = setup.doctor_at("applied = \"kafka-group:connect-standby\"", &url, "");
    setup.services.act(&setup.stay, Act::Stop, Service::PgStandby).await;
    told.assert_sound();
    let target = &told.report["target"];
    assert_eq!(target["replica"], true, "{target:#}");
    assert!(target["node"].as_str().is_some_and(|node| node.contains("it is in recovery")), "{target:#}");
    told.assert_unbounded("committed positions convict nothing on a replica");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_server_is_a_replica_where_it_takes_no_writes() {
    let setup = Setup::alone("replica_my", Dialect::MariaDb).await;
    let writes = setup.doctor("");
    assert_eq!(writes.report["target"]["replica"], false);
    let node = |told: &super::Told| told.report["target"]["node"].as_str().expect("a sentence").to_owned();
    assert!(node(&writes).contains("it takes writes, and follows no other server"), "{}", node(&writes));

    // Nothing listens there, and nobody starts it: it is configured to follow, which is what counts.
    setup.database.execute("CHANGE MASTER 'from_elsewhere' TO MASTER_HOST='10.9.8.7', MASTER_PORT=3399").await;
    let follows = setup.doctor("");
    setup.database.execute("SET GLOBAL read_only = ON").await;
    let read_only = setup.doctor("");
    setup.database.execute("RESET SLAVE 'from_elsewhere' ALL").await;
    let alone = setup.doctor("");
    setup.database.execute("SET GLOBAL read_only = OFF").await;

    assert_eq!(follows.report["target"]["replica"], false, "a primary that replicates from elsewhere is written");
    assert!(node(&follows).contains("it takes writes, and replicates from 10.9.8.7:3399"), "{}", node(&follows));
    let notes = follows.report["target"]["notes"].to_string();
    assert!(notes.contains("convict here only rightly if the applier writes here"), "{notes}");
    assert_eq!(read_only.report["target"]["replica"], true);
    assert!(
        node(&read_only).contains("`read_only` is ON, and it replicates from 10.9.8.7:3399"),
        "{}",
        node(&read_only)
    );
    assert_eq!(alone.report["target"]["replica"], true);
    assert!(alone.report["target"]["notes"].to_string().contains("the applier cannot write here"));
}

/// The same database on two servers, with the same table.
struct Two {
    setup: Setup,
    other: Postgres,
    balancer: Balancer,
}

impl Two {
    async fn new(name: &str, leads: Leads) -> Self {
        let setup = Setup::new(name, Dialect::Postgres).await;
        let other = Postgres::create(&setup.services.pg_source, &setup.name).await;
        other.execute(ORDERS).await;
        let address = |url: &str| url.rsplit('@').next().expect("a host").to_owned();
        let servers = [address(&setup.services.pg_target), address(&setup.services.pg_source)];
        let balancer = Balancer::before(&servers, leads).await;
        Self { setup, other, balancer }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@{}/{}", self.balancer.address(), self.setup.name)
    }

    fn options(&self) -> Options {
        Options {
            url: self.url().into(),
            pooler: Pooler::None,
            max_connections: 2,
            reads_per_second: 0,
            statement_timeout: Duration::from_secs(5),
            dead_rows: String::new(),
        }
    }

    async fn drop_other(self) {
        self.other.drop_database().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_with_several_servers_behind_it_is_refused_by_every_command() {
    let two = Two::new("balanced", Leads::InTurnsFrom(0)).await;
    two.setup.orders(0, 0..2).await;
    let told = two.setup.doctor_at("", &two.url(), "");
    told.assert_problem("several servers answer at this URL, 127.0.0.1:");
    let config = two.setup.config("", &two.url(), "");
    let config = config.to_str().expect("a path of text");
    for args in [vec!["run", "-c", config], vec!["audit", "--from", "beginning", "--to", "end", "-c", config]] {
        let output = afterimage(two.setup.dir.path(), &args);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {complaint}");
        assert!(complaint.contains("several servers answer at this URL"), "{complaint}");
    }
    two.drop_other().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_move_with_an_address_that_fails_over_and_end_at_one_that_balances() {
    let two = Two::new("moves", Leads::To(0)).await;
    two.setup.database.execute("CREATE TABLE here (id int PRIMARY KEY)").await;
    two.other.execute("CREATE TABLE there (id int PRIMARY KEY)").await;
    let target = Target::connect(two.options()).await.expect("one server answers");
    let first = target.probe().await.expect("an answer").server.expect("it says who it is");
    assert!(target.describe(None, "here").await.expect("an answer").is_some());

    two.balancer.lead(Leads::To(1));
    let outcome = target.describe(None, "there").await;
    assert!(matches!(outcome, Err(TargetError::Unreachable { .. })), "nothing is read there yet: {outcome:?}");
    assert!(target.is_doubtful() && target.refusal().is_none());
    let probe = target.probe().await.expect("one server answers, another one");
    assert!(matches!(probe.role, Role::Written(_)));
    assert_ne!(probe.server, Some(first));
    assert!(target.describe(None, "there").await.is_err(), "it is looked at before it is read");
    target.admit();
    assert!(target.describe(None, "there").await.expect("an answer").is_some());

    two.balancer.lead(Leads::InTurnsFrom(0));
    assert!(target.describe(None, "there").await.is_err(), "the next connection is the other server's");
    assert!(target.is_doubtful());
    let outcome = target.probe().await;
    assert!(matches!(outcome, Err(TargetError::Refused { .. })), "{outcome:?}");
    assert!(target.refusal().is_some_and(|why| why.contains("several servers answer")));
    two.balancer.lead(Leads::To(0));
    for _ in 0..2 {
        assert!(target.probe().await.is_err(), "one look is not enough");
    }
    target.probe().await.expect("the third one in a row that meets one server");
    target.admit();
    assert!(target.describe(None, "here").await.expect("an answer").is_some());
    two.drop_other().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_stops_judging_where_an_address_begins_to_balance() {
    let two = Two::new("begins", Leads::To(0)).await;
    let (setup, name) = (&two.setup, &two.setup.name);
    setup.orders(0, 0..3).await;
    let section = format!(
        "[pipelines.{name}]\napplied = \"kafka-group:connect-{name}\"\nsettle = \"2s\"\nzombie_after = \"2s\"\n\
         [pipelines.{name}.tap]\ntype = \"kafka\"\nbrokers = {:?}\ntopics = [{:?}]\ngroup = \"afterimage-{name}\"\n\
         from = \"beginning\"\n[pipelines.{name}.target]\ntype = \"postgres\"\nurl = {:?}\n",
        setup.services.broker,
        setup.topic,
        two.url(),
    );
    setup.commit(&format!("connect-{name}"), &setup.topic, 0, 3);
    let mut sidecar = Sidecar::run(&section).await;
    let matched =
        |count: u64| move |status: &serde_json::Value| status["pipelines"][0]["matched"].as_u64() >= Some(count);
    let status = sidecar.wait_status("the first rows are verified", LIMIT, matched(3)).await;
    assert!(status["pipelines"][0]["detects_within_s"].as_f64() > Some(0.0), "{status:#}");

    // These rows are on the first server alone: half of the reads would miss them.
    two.balancer.lead(Leads::InTurnsFrom(1));
    setup.orders(0, 3..40).await;
    setup.commit(&format!("connect-{name}"), &setup.topic, 0, 40);
    let held =
        |status: &serde_json::Value| status["pipelines"][0]["held"].to_string().contains("several servers answer");
    let status = sidecar.wait_status("judging is held", LIMIT, held).await;
    assert_eq!(status["pipelines"][0]["matched"], 3, "{status:#}");
    assert!(sidecar.log().contains("several servers answer at this URL"), "{}", sidecar.log());
    assert_eq!(sidecar.findings(), Vec::<serde_json::Value>::new(), "no row of the other server is judged");
    sidecar.kill();
    two.drop_other().await;
}
