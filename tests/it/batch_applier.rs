//! Beside an applier that works like DMS: it merges the changes of a window into one statement a row, dies between writing and
//! committing, and thereby loses what no error tells. Once it consumes the tap, once it reads the source's own log and is
//! ahead of the tap.
#![expect(clippy::disallowed_methods, reason = "the applier writes at a steady pace")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use afterimage::demo::applier::{
    Act, Applier, Effect, Event, FaultPlan, Fields, Loss, Rates, Statement, Then, Write, debezium,
};
use afterimage::model::Wall;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use crate::database::{Database, Dialect};
use crate::ledger::{Spot, spot};
use crate::pipeline::{Pipeline, Plan, Topics};
use crate::sidecar::{Sidecar, beside};
use crate::verdict::{quick, told, wait_all_verified};
use crate::wait;

const LIMIT: Duration = Duration::from_secs(120);

/// How long changes are collected before they are merged.
const WINDOW: Duration = Duration::from_secs(2);

/// How many steps the traffic has, and at which pace.
const STEPS: i64 = 225;
const PACE: Duration = Duration::from_millis(200);

/// New rows at each step of the traffic. Each is touched once more: one of them so soon that a restarted applier merges that
/// with the insert, the others when the applier has committed the insert. Losses are rare enough to be no mass divergence.
const NEW_ROWS: i64 = 6;
const SOON: i64 = 9;

/// Steps whose other rows are touched at one step, at most.
const LATE: usize = 2;

/// Rows that stand on the target before any fault; after each change that may be lost one of them is changed, which cannot.
/// So no run of adjacent changes is lost, as if a batch had been skipped.
const OLD_ROWS: i64 = 8000;

const RATES: Rates = Rates { restart: 400, skipped_batch: 0, torn_update: 0, calm_windows: 2 };

/// Where the applier takes its changes from.
enum Feed {
    /// The topics, as a consumer of a group.
    Tap { consumer: StreamConsumer, next: BTreeMap<(String, i32), i64> },
    /// The source's own log: every change as soon as it is committed there.
    Log(mpsc::UnboundedReceiver<Event<u64>>),
}

impl Feed {
    fn tap(pipeline: &Pipeline, group: &str) -> Self {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", pipeline.kafka.broker())
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a consumer");
        let topics = pipeline.load_topics();
        consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()).expect("topics");
        Self::Tap { consumer, next: BTreeMap::new() }
    }

    /// The next change, however long it takes.
    async fn next(&mut self) -> Event<u64> {
        match self {
            Self::Tap { consumer, next } => loop {
                let Ok(message) = consumer.recv().await else { continue };
                next.insert((message.topic().to_owned(), message.partition()), message.offset() + 1);
                let at = u64::try_from(message.offset()).expect("an offset");
                let read = debezium::read(message.key(), message.payload(), at).expect("a record of Debezium");
                if let Some((event, _)) = read {
                    return event;
                }
            },
            // A log that has ended has no next change.
            Self::Log(events) => match events.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            },
        }
    }

    fn commit(&self) {
        if let Self::Tap { consumer, next } = self {
            let mut list = TopicPartitionList::new();
            for ((topic, partition), next) in next {
                list.add_partition_offset(topic, *partition, Offset::Offset(*next)).expect("an offset");
            }
            consumer.commit(&list, CommitMode::Sync).expect("the coordinator answers");
        }
    }
}

/// What the applier tells of itself.
#[derive(Clone, Default)]
struct Applied(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// What it lost so far, as its own ledger has it.
    losses: Vec<Loss<u64>>,
    /// The newest step of the traffic that it has committed.
    step: i64,
}

impl Applied {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until it is dropped. The `stop` of the traffic ends its faults.
async fn apply(mut feed: Feed, target: PgPool, seed: u64, applied: Applied, faults: watch::Receiver<bool>) {
    let mut applier = Applier::new(FaultPlan::new(seed, RATES));
    let mut uncommitted: Vec<Event<u64>> = Vec::new();
    loop {
        // The end of the window is no error.
        let _ = tokio::time::timeout(WINDOW, async {
            loop {
                let event = feed.next().await;
                applier.take(event.clone());
                uncommitted.push(event);
            }
        })
        .await;
        if !*faults.borrow() {
            applier.stop_faults();
        }
        let Some(batch) = applier.close() else { continue };
        let mut effects = Vec::new();
        for statement in &batch.statements {
            effects.push(write(&target, statement).await);
        }
        applier.applied(&effects, Wall(0));
        match batch.then {
            Then::Commit => {
                feed.commit();
                applier.committed(Wall(0));
                let step = uncommitted.drain(..).filter_map(|event| birth(&event)).max();
                let mut told = applied.told();
                told.step = told.step.max(step.unwrap_or(0));
            }
            // It begins again at its position, with all that it had read behind it.
            Then::Restart => {
                applier.restarted();
                uncommitted.iter().cloned().for_each(|event| applier.take(event));
            }
        }
        applied.told().losses = applier.ledger().losses().to_vec();
    }
}

async fn write(target: &PgPool, statement: &Statement) -> Effect {
    let table = &statement.id.table;
    let pairs = |fields: &Fields, between: &str| {
        fields.iter().map(|(name, value)| format!("{name} = {}", literal(value))).collect::<Vec<_>>().join(between)
    };
    let at = pairs(&statement.key, " AND ");
    let sql = match &statement.write {
        Write::Insert(row) => {
            let names: Vec<_> = row.keys().map(String::as_str).collect();
            let values: Vec<_> = row.values().map(literal).collect();
            let (names, values) = (names.join(", "), values.join(", "));
            format!("INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING")
        }
        Write::Update(set) => format!("UPDATE {table} SET {} WHERE {at}", pairs(set, ", ")),
        Write::Delete => format!("DELETE FROM {table} WHERE {at}"),
    };
    let done = sqlx::query(AssertSqlSafe(sql)).execute(target).await.expect("the target takes it");
    if done.rows_affected() == 0 { Effect::Skipped } else { Effect::Done }
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Inserts rows, and later updates half of them and deletes the others; each row is left alone from then on, so that what is
/// lost stays lost.
struct Traffic {
    step: i64,
    /// The next old row to be changed.
    old: i64,
    /// Steps whose rows are not all touched yet.
    young: VecDeque<i64>,
    applied: Applied,
    log: Option<mpsc::UnboundedSender<Event<u64>>>,
    pace: Interval,
}

impl Traffic {
    fn new(applied: &Applied, log: Option<mpsc::UnboundedSender<Event<u64>>>) -> Self {
        // A slow machine has less traffic, never a burst of it: that would put rows of many steps into one window.
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { step: 0, old: 1, young: VecDeque::new(), applied: applied.clone(), log, pace }
    }

    /// Some steps, and a heartbeat now and then for who reads the log.
    async fn steps(&mut self, source: &Database, count: i64) {
        for _ in 0..count {
            self.pace.tick().await;
            self.step(source).await;
            if self.log.is_some() && self.step % 5 == 0 {
                self.beat(source).await;
            }
        }
    }

    /// Creates the old rows.
    async fn settle(&self, source: &Database) {
        let sql = format!("INSERT INTO counters SELECT id, 0, 'old' FROM generate_series(1, {OLD_ROWS}) id");
        source.execute(&sql).await;
        self.tell((1..=OLD_ROWS).map(|id| self.event(id, Act::Insert(row(id, 0, "old")))).collect());
    }

    /// One transaction at the source.
    async fn step(&mut self, source: &Database) {
        self.step += 1;
        let (mut sql, mut events) = (String::from("BEGIN;"), Vec::new());
        for n in 0..NEW_ROWS {
            let id = row_id(self.step, n);
            let act = Act::Insert(row(id, 0, "new"));
            sql.push_str(&act_sql(id, &act));
            events.push(self.event(id, act));
        }
        for id in self.due() {
            let old = self.old;
            self.old += 1;
            assert!(old <= OLD_ROWS, "every old row is changed already");
            for (id, before) in [(id, row(id, 0, "new")), (old, row(old, 0, "old"))] {
                let act = touch(id, before);
                sql.push_str(&act_sql(id, &act));
                events.push(self.event(id, act));
            }
        }
        sql.push_str("COMMIT;");
        source.execute(&sql).await;
        self.tell(events);
    }

    /// The rows to be touched at this step.
    fn due(&mut self) -> Vec<i64> {
        self.young.push_back(self.step);
        let born = self.step - SOON;
        let mut rows: Vec<i64> = (born > 0).then(|| row_id(born, soon(born))).into_iter().collect();
        let committed = self.applied.told().step.min(born);
        for _ in 0..LATE {
            let Some(born) = self.young.pop_front_if(|born| *born <= committed) else { break };
            rows.extend((0..NEW_ROWS).filter(|n| *n != soon(born)).map(|n| row_id(born, n)));
        }
        rows
    }

    fn event(&self, id: i64, act: Act) -> Event<u64> {
        Event { table: "public.counters".into(), key: fields(json!({ "id": id })), act, at: self.step.unsigned_abs() }
    }

    /// Hands the committed changes to the reader of the log, if there is one.
    fn tell(&self, events: Vec<Event<u64>>) {
        if let Some(log) = &self.log {
            events.into_iter().for_each(|event| log.send(event).expect("the applier reads its log"));
        }
    }

    /// A heartbeat of the source: the applier carries it as every other change.
    async fn beat(&self, source: &Database) {
        source.execute("UPDATE heartbeats SET beat = beat + 1").await;
        let Database::Postgres(postgres) = source else { panic!("a PostgreSQL source") };
        let beat: i64 =
            sqlx::query_scalar("SELECT beat FROM heartbeats").fetch_one(postgres.pool()).await.expect("a row");
        let key = fields(json!({ "id": 1 }));
        let act = Act::Update { row: fields(json!({ "id": 1, "beat": beat })), before: None };
        self.tell(vec![Event { table: "public.heartbeats".into(), key, act, at: 0 }]);
    }
}

/// Deletes rows of even numbers and updates the others.
fn touch(id: i64, before: Fields) -> Act {
    if id % 2 == 0 { Act::Delete } else { Act::Update { row: row(id, 1, "touched"), before: Some(before) } }
}

fn act_sql(id: i64, act: &Act) -> String {
    match act {
        Act::Insert(_) => format!("INSERT INTO counters VALUES ({id}, 0, 'new');"),
        Act::Update { .. } => format!("UPDATE counters SET total = 1, note = 'touched' WHERE id = {id};"),
        Act::Delete => format!("DELETE FROM counters WHERE id = {id};"),
    }
}

fn row_id(step: i64, n: i64) -> i64 {
    2 * OLD_ROWS + step * NEW_ROWS + n
}

/// Which of the rows born at a step is touched soon: a row to be deleted, at the next step one to be updated.
fn soon(born: i64) -> i64 {
    born % 2
}

/// The step at which a new row was inserted.
fn birth(event: &Event<u64>) -> Option<i64> {
    let inserted = matches!(event.act, Act::Insert(_)).then_some(&event.key)?;
    let id = inserted.get("id")?.as_i64()?;
    (id > 2 * OLD_ROWS).then_some((id - 2 * OLD_ROWS) / NEW_ROWS)
}

fn row(id: i64, total: i64, note: &str) -> Fields {
    fields(json!({ "id": id, "total": total, "note": note }))
}

fn fields(value: Value) -> Fields {
    let Value::Object(columns) = value else { panic!("an object") };
    columns.into_iter().collect()
}

fn pool(database: &Database) -> PgPool {
    let Database::Postgres(postgres) = database else { panic!("a PostgreSQL pipeline") };
    postgres.pool().clone()
}

/// Kind, cause and offset of what each open finding says of its row.
fn found(sidecar: &Sidecar) -> BTreeMap<Spot, (String, String, i64)> {
    let open = sidecar.findings().into_iter().filter(|finding| finding["state"] == "open");
    open.filter(|finding| !finding["key"].is_null())
        .map(|finding| {
            let text = |name: &str| finding[name].as_str().expect("a word").to_owned();
            let offset = finding["expected"]["at"]["offset"].as_i64().expect("an offset");
            (spot("counters", &finding["key"]), (text("kind"), text("cause"), offset))
        })
        .collect()
}

/// The same of what the applier lost; every row has one change after its insert, the newest of its key.
fn expected(applied: &Applied, pipeline: &Pipeline) -> BTreeMap<Spot, (String, String, i64)> {
    let newest = pipeline.newest();
    let losses = applied.told().losses.clone();
    let one = |loss: Loss<u64>| {
        let kind = if loss.expected.is_some() { "lost_update" } else { "unapplied_delete" };
        let key = spot("counters", &Value::from_iter(loss.key));
        let offset = newest[&key].offset;
        (key, (kind.to_owned(), loss.cause.word().to_owned(), offset))
    };
    // A lost heartbeat is no row that anybody judges.
    let stays = |loss: &Loss<u64>| loss.healed_at.is_none() && &*loss.id.table == "public.counters";
    losses.into_iter().filter(stays).map(one).collect()
}

async fn wait_all_found(sidecar: &Sidecar, applied: &Applied, pipeline: &Pipeline) {
    let expected = expected(applied, pipeline);
    assert!(expected.len() >= 10, "the applier lost {} rows", expected.len());
    for kind in ["lost_update", "unapplied_delete"] {
        assert!(expected.values().any(|loss| loss.0 == kind), "no {kind} was planted");
    }
    wait::until_right("every loss is found", LIMIT, || async {
        let found = found(sidecar);
        let missing: Vec<_> = expected.iter().filter(|(key, _)| !found.contains_key(*key)).take(5).collect();
        let groups: Vec<_> = sidecar.findings().into_iter().filter(|finding| finding["state"] != "open").collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:#?} {:#?}", told(&groups))) }
    })
    .await;
    let is_held = |finding: &Value| finding["kind"] == "mass_divergence" && finding["state"] == "open";
    sidecar.wait_findings("no group is held back", LIMIT, |findings| !findings.iter().any(is_held)).await;
    let found = found(sidecar);
    let unlike = |one: &BTreeMap<Spot, (String, String, i64)>, other: &BTreeMap<_, _>| {
        one.iter().filter(|(key, loss)| other.get(*key) != Some(*loss)).map(|entry| format!("{entry:?}")).collect()
    };
    let (unfound, untrue): (Vec<_>, Vec<_>) = (unlike(&expected, &found), unlike(&found, &expected));
    assert!(unfound.is_empty() && untrue.is_empty(), "lost: {unfound:#?}, found: {untrue:#?}");
    // Rows of a group may have been held back for a while.
    let others: Vec<_> = sidecar
        .findings()
        .into_iter()
        .filter(|finding| finding["key"].is_null())
        .filter(|finding| finding["kind"] != "mass_divergence" || finding["state"] != "healed")
        .collect();
    assert!(others.is_empty(), "{:#?}", told(&others));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_applier_on_the_tap_loses_nothing_unseen() {
    let pipeline = Plan::new("batch_tap", Dialect::Postgres).topics(Topics::PerTable(1)).build().await;
    let group = format!("dms-{}", pipeline.name());
    let applied = format!("applied = \"kafka-group:{group}\"\ncommits = \"after_write\"");
    let sidecar = Sidecar::run(&beside(&pipeline, &quick(&applied))).await;
    let applied = Applied::default();
    let mut traffic = Traffic::new(&applied, None);
    let (faults, faulty) = watch::channel(true);
    let applier = apply(Feed::tap(&pipeline, &group), pool(&pipeline.target), 8, applied.clone(), faulty);
    let story = async {
        traffic.settle(&pipeline.source).await;
        wait_settled(&pipeline).await;
        traffic.steps(&pipeline.source, STEPS).await;
        faults.send_replace(false);
        wait_committed(&pipeline, &group).await;
        wait_all_verified(&pipeline, &[&sidecar]).await;
        wait_all_found(&sidecar, &applied, &pipeline).await;
    };
    tokio::select! {
        () = story => {}
        () = applier => {}
    }
}

/// Waits until the old rows are on the target.
async fn wait_settled(pipeline: &Pipeline) {
    wait::until("the old rows are on the target", LIMIT, || async {
        (pipeline.target.rows("counters").await.len() >= usize::try_from(OLD_ROWS).expect("a count")).then_some(())
    })
    .await;
}

/// Waits until every change of the traffic lies in its topic, and the applier has committed it.
async fn wait_committed(pipeline: &Pipeline, group: &str) {
    pipeline.write("INSERT INTO counters VALUES (0, 0, 'the last')", 0).await;
    wait::until("the last change lies in its topic", LIMIT, || async {
        pipeline.newest().contains_key(&spot("counters", &json!({"id": 0}))).then_some(())
    })
    .await;
    let topic = pipeline.topic("counters");
    let ends = pipeline.kafka.ends(&topic);
    wait::until("the applier has committed all of it", LIMIT, || async {
        let committed = pipeline.kafka.committed(group, &topic);
        ends.iter().zip(committed).all(|(end, next)| next.unwrap_or(0) >= *end).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_applier_ahead_of_the_tap_loses_nothing_unseen() {
    let pipeline = Plan::new("batch_log", Dialect::Postgres).topics(Topics::Routed(2)).build().await;
    pipeline.target.execute("INSERT INTO marker VALUES (1, 0)").await;
    let lines = "applied = \"heartbeat:public.heartbeats.beat\"\norder = \"pipeline\"\nlead = \"5s\"";
    let decode = format!("\n[pipelines.{}.decode]\nformat = \"debezium\"\n", pipeline.name());
    let sidecar = Sidecar::run(&(beside(&pipeline, &quick(lines)) + &decode)).await;
    let (log, events) = mpsc::unbounded_channel();
    let applied = Applied::default();
    let mut traffic = Traffic::new(&applied, Some(log));
    for database in [&pipeline.source, &pipeline.target] {
        database.execute("INSERT INTO heartbeats VALUES (1, 0)").await;
    }
    let (faults, faulty) = watch::channel(true);
    let applier = apply(Feed::Log(events), pool(&pipeline.target), 8, applied.clone(), faulty);
    let story = async {
        traffic.settle(&pipeline.source).await;
        wait_settled(&pipeline).await;
        traffic.steps(&pipeline.source, STEPS).await;
        faults.send_replace(false);
        // The traffic goes on, without a loss: a row alone cannot be told from a group of statements that is stuck.
        let going_on = traffic.steps(&pipeline.source, i64::MAX);
        tokio::select! {
            () = going_on => {}
            () = async {
                wait_last_window(&pipeline).await;
                wait_all_found(&sidecar, &applied, &pipeline).await;
            } => {}
        }
    };
    tokio::select! {
        () = story => {}
        () = applier => {}
    }
}

/// Waits until the target has heartbeats of more than one window after the traffic: every earlier window is written and committed.
async fn wait_last_window(pipeline: &Pipeline) {
    let beat = |database: &Database| {
        let pool = pool(database);
        async move {
            sqlx::query_scalar::<_, i64>("SELECT beat FROM heartbeats").fetch_one(&pool).await.expect("a heartbeat row")
        }
    };
    let after = beat(&pipeline.source).await + 4;
    wait::until("a heartbeat of after the traffic is on the target", LIMIT, || async {
        (beat(&pipeline.target).await >= after).then_some(())
    })
    .await;
}
