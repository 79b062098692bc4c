//! The rules of others, on the same tap and the same target at the same time.
//!
//! | rule | who | says a row is wrong when |
//! |---|---|---|
//! | [`fixed_delay`] | molt's live verification | five reads in four seconds after the change differ |
//! | [`reset_on_change`] | TiDB DM's validator | it differs, and has for a time without another change |
//! | [`dms`] | AWS DMS's validation | it differs for a fixed time |
//! | [`reladiff`] | reladiff itself | source and target differ, seen once, or twice |
//!
//! The first three are small and honest: each gets every change of the keys it judges, in order, reads the target when it says,
//! and compares with the newest row known on the tap. They share their reads' statements, not their reads.

pub(crate) mod dms;
pub(crate) mod fixed_delay;
pub(crate) mod reladiff;
pub(crate) mod reset_on_change;

use std::collections::BTreeMap;

use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use afterimage::demo::applier::{Fields, RowId, debezium};
use afterimage::demo::dice::mix;
use afterimage::model::Wall;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message as _;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::runtime::Runtime;

use crate::feed::{Begin, Feed};
use crate::tables::Table;
use crate::target::connect;
use crate::wall;

/// How often the rows that are due are read.
const ROUND: Duration = Duration::from_millis(100);

/// Rows of one statement, at most.
const ROWS: usize = 500;

/// What a rule does after a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It has no further question about the row.
    Done,
    /// It reads the row again then.
    Again(Wall),
    /// It says that the row is wrong.
    Alarm,
}

/// One rule's memory of the rows that it judges.
pub(crate) trait Rule: Send {
    fn name(&self) -> &'static str;

    /// A change was seen on the tap; when to read its row, if that is not settled already.
    fn changed(&mut self, row: &RowId, now: Wall) -> Option<Wall>;

    /// A row was read, and is or is not as the newest change left it.
    fn looked(&mut self, row: &RowId, is_right: bool, now: Wall) -> Next;
}

/// A row that a rule says is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) row: RowId,
    /// From here on it looked.
    pub(crate) from: Wall,
    /// Then it said so.
    pub(crate) at: Wall,
}

/// What a rule came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) reads: u64,
    /// When it looked, if it did so once: it is asked for nothing that was lost later.
    pub(crate) looked_at: Option<Wall>,
}

/// Whether a row is among those that the timed rules judge.
pub(crate) fn is_sampled(row: &RowId, share: u64) -> bool {
    let bytes = row.table.bytes().chain(row.key.bytes());
    let sum = bytes.fold(7_u64, |sum, byte| mix(sum ^ u64::from(byte)));
    sum % 100 < share
}

/// What the rules look at.
pub(crate) struct Settings {
    pub(crate) feed: Feed,
    pub(crate) target: String,
    pub(crate) share: u64,
}

/// Rules at work.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Outcome>>,
}

impl Running {
    pub(crate) fn start(settings: Settings, rules: Vec<Box<dyn Rule>>) -> Running {
        let (stop, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop_there, changes_there) = (Arc::clone(&stop), Arc::clone(&changes));
        let run = move || Bench::new(settings, rules).run(&stop_there, &changes_there);
        let thread = std::thread::Builder::new().name("rules".into()).spawn(run).expect("a thread");
        Running { stop, changes, thread }
    }

    /// Ends them; what each came to, and how many changes they saw.
    pub(crate) fn stop(self) -> (Vec<Outcome>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let outcomes = self.thread.join().expect("the rules do not panic");
        (outcomes, self.changes.load(Ordering::Relaxed))
    }
}

struct Bench {
    consumer: BaseConsumer,
    runtime: Runtime,
    target: PgConnection,
    share: u64,
    rules: Vec<(Box<dyn Rule>, Outcome)>,
    newest: HashMap<RowId, (Fields, Option<Fields>)>,
    /// Rows to be read, by when, and by which rule.
    due: BTreeMap<(Wall, usize), Vec<RowId>>,
}

impl Bench {
    fn new(settings: Settings, rules: Vec<Box<dyn Rule>>) -> Bench {
        let consumer = settings.feed.consumer(Begin::Latest);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let target = runtime.block_on(connect(&settings.target, "rules"));
        let named = |rule: Box<dyn Rule>| {
            let outcome = Outcome { name: rule.name().to_owned(), ..Outcome::default() };
            (rule, outcome)
        };
        let rules = rules.into_iter().map(named).collect();
        Bench { consumer, runtime, target, share: settings.share, rules, newest: HashMap::new(), due: BTreeMap::new() }
    }

    fn run(mut self, stop: &AtomicBool, changes: &AtomicU64) -> Vec<Outcome> {
        let mut round = wall::now();
        while !stop.load(Ordering::Relaxed) {
            if self.poll() {
                changes.fetch_add(1, Ordering::Relaxed);
            }
            if wall::now() >= round {
                self.read_due();
                round = wall::later(wall::now(), ROUND);
            }
        }
        self.rules.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Takes one record; whether it was a change of a row that is judged.
    fn poll(&mut self) -> bool {
        let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(10)) else { return false };
        let read = debezium::read(message.key(), message.payload(), ()).expect("a record of Debezium");
        let Some((event, _)) = read else { return false };
        let row = RowId::new(&event.table, &event.key);
        if !is_sampled(&row, self.share) {
            return false;
        }
        let now = wall::now();
        self.newest.insert(row.clone(), (event.key, event.act.row().cloned()));
        for (index, (rule, _)) in self.rules.iter_mut().enumerate() {
            if let Some(at) = rule.changed(&row, now) {
                self.due.entry((at, index)).or_default().push(row.clone());
            }
        }
        true
    }

    fn read_due(&mut self) {
        let now = wall::now();
        let later = self.due.split_off(&(Wall(now.0 + 1), 0));
        let due = std::mem::replace(&mut self.due, later);
        let mut asking: BTreeMap<(Table, &RowId), Vec<usize>> = BTreeMap::new();
        for ((_, rule), rows) in &due {
            for row in rows {
                let table = Table::named(&row.table).expect("a table of the load");
                asking.entry((table, row)).or_default().push(*rule);
            }
        }
        for table in Table::ALL {
            let of_table: Vec<_> = asking.iter().filter(|((of, _), _)| *of == table).collect();
            for these in of_table.chunks(ROWS) {
                let rows: Vec<&RowId> = these.iter().map(|((_, row), _)| *row).collect();
                let from = wall::now();
                let right = self.runtime.block_on(look(&mut self.target, table, &rows, &self.newest));
                let at = wall::now();
                for (((_, row), rules), is_right) in these.iter().zip(right) {
                    rules
                        .iter()
                        .for_each(|rule| tell(&mut self.rules[*rule], *rule, row, is_right, (from, at), &mut self.due));
                }
            }
        }
    }
}

fn tell(
    (rule, outcome): &mut (Box<dyn Rule>, Outcome),
    index: usize,
    row: &RowId,
    is_right: bool,
    (from, at): (Wall, Wall),
    due: &mut BTreeMap<(Wall, usize), Vec<RowId>>,
) {
    outcome.reads += 1;
    match rule.looked(row, is_right, at) {
        Next::Done => {}
        Next::Again(then) => due.entry((then, index)).or_default().push(row.clone()),
        Next::Alarm => outcome.alarms.push(Alarm { row: row.clone(), from, at }),
    }
}

/// Which of the rows are on the target as the newest change left them. The target compares, in its own types.
async fn look(
    target: &mut PgConnection,
    table: Table,
    rows: &[&RowId],
    newest: &HashMap<RowId, (Fields, Option<Fields>)>,
) -> Vec<bool> {
    let wanted: Vec<Value> = rows
        .iter()
        .map(|row| {
            let (key, wanted) = newest.get(*row).expect("a row of which a change was seen");
            json!({ "there": wanted.is_some(), "row": wanted.as_ref().unwrap_or(key) })
        })
        .collect();
    let name = table.name();
    let same: Vec<String> = table.key().iter().map(|column| format!("t.{column} = (n.row).{column}")).collect();
    let sql = format!(
        "WITH n AS MATERIALIZED (
             SELECT place, (entry->>'there')::boolean AS there, jsonb_populate_record(NULL::{name}, entry->'row') AS row
             FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS entries (entry, place))
         SELECT CASE WHEN n.there THEN count(t) = 1 AND bool_and(t IS NOT DISTINCT FROM n.row) ELSE count(t) = 0 END
         FROM n LEFT JOIN {name} t ON {} GROUP BY n.place, n.there ORDER BY n.place",
        same.join(" AND ")
    );
    let query = sqlx::query_scalar::<_, bool>(AssertSqlSafe(sql)).bind(Value::from(wanted).to_string());
    query.fetch_all(target).await.expect("the target answers")
}
