//! A bench for the judge: one partition or a few, one table, rows of two columns, and a script of one step a line.
//!
//! | step | what happens |
//! |---|---|
//! | `insert K A/B` `update K A/B` `delete K` `truncate` | a change is read from the tap (`K@P`: from partition P) |
//! | `partial K A` | an update is read that carries the first column only |
//! | `applied insert …` | the same, and the target takes it at once |
//! | `put K A/B` `gone K` `twice K A/B` `marker K A/B` | the target holds this at the key |
//! | `beat` | a heartbeat is read, and the target takes it; `unseen beat`: it does not; `old beat`: it goes back (`old beat N`: the N-th before it) |
//! | `commit N` | the applier commits, from now on, everything below N; `commit all`: whatever is on the tap |
//! | `group N` | the applier's group is in its N-th generation |
//! | `wait S` | seconds go by; a heartbeat every five of them unless `quiet` was said before (`beats` ends it) |
//! | `hold` `release` `fail` `heed` | lookups are not answered; are again; fail; are answered again |
//! | `letter N` | the applier's dead-letter topic names the record at offset N |
//! | `behind N` `caught up` | the tap ends N offsets behind what is consumed; consumption reaches the end |
//! | `reject` `gap N` `assign N` `revoke` | as the inputs of those names (`assign N@P`: partition P) |
//! | `held up N` `let go` | an open transaction holds partition 0 before offset N, of 100 more; none does |
//! | `load` | rows of a full load come in partition 0 |
//! | `another log` | partition 0 ends before what was to be read next; partition 1 is what follows |
//! | `unscannable` | tables cannot be looked at as a whole: so it is with several partitions |
//! | `tens` | rows may be weighed: for numbers cut to tens, and for zeros |
//! | `tolerance` `no images` | numbers that differ by one are equal, if not by fingerprint; images of changes are gone from cache and log |
//! | `forget` `mute` `told` | the cache is empty, the log is not; questions for images wait; those that wait are answered, and later ones are |
//! | `replan` `replan keys` | the table has other columns from now on (and other keys): nothing hashes as before |
//! | `replan more` | it has more columns: everything hashes as before, and changes are told under the columns before |
//! | `stale STEP` | the change was told under the columns before |
//! | `early STEP` | the change is told under the next columns, which nobody told of yet |
//! | `again N` | the N-th change is told once more |
//! | `late S …` | the change was committed at the source `S` seconds before it came to the tap |
//! | `named` | changes name their connector from now on, so that its log is followed |
//! | `server N` | the server with the global id N makes the changes from now on |
//! | `rewound N` | the next changes are of transaction N and on |
//! | `txn N …` | the change is of the source's transaction N; else each is of one of its own, above 1000 |

mod answers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::canon::{Mask, ObservedHashes};
use crate::engine::event::{Carried, Lookup, Node, PlanEpoch, Recall, Role, Seen, Tracked};
use crate::engine::limit::{Applier, Commits, Evidence, Margin, Options};
use crate::engine::{Engine, Input, Output};
use crate::model::change::KeyChange;
use crate::model::finding::{Finding, Subject};
use crate::model::waymark::{Form, Place, Server};
use crate::model::{Cell, Columns, Key, Op, PartitionId, Position, Row, SourceTime, TableId, Tick, Typing, Waymark};

use super::said;
use super::shelf::{Shared, carried, hashes, hashes_by, number, parse, row, values};

const ROWS: TableId = TableId(0);
const BEATS: TableId = TableId(1);

/// How lookups are answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    AtOnce,
    Held,
    Failed,
}

pub(super) struct Bench {
    engine: Engine,
    images: Shared,
    pub(super) target: BTreeMap<Key, Seen>,
    options: Options,
    now: u64,
    /// Next offset of each partition, and how far the log goes beyond what was consumed of it.
    next: BTreeMap<u16, u64>,
    behind: u64,
    txn: Option<u64>,
    named: bool,
    server: Server,
    late: u64,
    plan: u32,
    carried: Carried,
    told: Vec<Tracked>,
    changes: u64,
    committed: Option<u64>,
    commits_all: bool,
    generation: Option<u64>,
    beats: bool,
    beat: i64,
    answers: Answers,
    pub(super) held: Vec<Lookup>,
    /// Questions for images that wait, where they do.
    mute: Option<Vec<Recall>>,
    last_beat: BTreeMap<i64, u64>,
    /// What was stated, one line each, repetitions left out.
    pub(super) said: Vec<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) commits: BTreeMap<u16, u64>,
    pub(super) rewinds: Vec<u64>,
    pub(super) notes: Vec<String>,
    pub(super) paused: bool,
    /// Questions asked of the target.
    pub(super) lookups: u64,
    /// Those among them that may convict.
    pub(super) convicting: u64,
    /// Keys of a page of the target's.
    pub(super) page: usize,
    /// Pages that were asked for.
    pub(super) scans: u64,
    /// Offsets whose images were asked for, by question.
    pub(super) recalls: Vec<Vec<u64>>,
}

impl Bench {
    pub(super) fn new(options: Options) -> Bench {
        let images = Shared::default();
        let mut bench = Bench {
            engine: Engine::new(options.clone(), Box::new(images.clone())),
            images,
            target: BTreeMap::new(),
            options,
            now: 1000,
            next: BTreeMap::new(),
            behind: 0,
            txn: None,
            named: false,
            server: Server::Unsaid,
            late: 0,
            plan: 0,
            carried: Carried::Always,
            told: Vec::new(),
            changes: 1000,
            committed: None,
            commits_all: false,
            generation: None,
            beats: true,
            beat: 0,
            answers: Answers::AtOnce,
            held: Vec::new(),
            mute: None,
            recalls: Vec::new(),
            last_beat: BTreeMap::new(),
            said: Vec::new(),
            findings: Vec::new(),
            commits: BTreeMap::new(),
            rewinds: Vec::new(),
            notes: Vec::new(),
            paused: false,
            lookups: 0,
            convicting: 0,
            page: 2,
            scans: 0,
        };
        bench.give(Input::Assigned { partition: PartitionId(0), next: 0 });
        bench
    }

    fn options(evidence: Evidence) -> Options {
        let settle = Margin::Stated(Duration::from_secs(30));
        Options { evidence, settle, applier: Applier::Transactional, ..Options::default() }
    }

    pub(super) fn heartbeat() -> Bench {
        Bench::new(Bench::options(Evidence { heartbeat: true, ..Evidence::default() }))
    }

    pub(super) fn inferred() -> Bench {
        let mut bench = Bench::new(Bench::options(Evidence { inferred: true, ..Evidence::default() }));
        bench.beats = false;
        bench
    }

    pub(super) fn committed() -> Bench {
        let options = Bench::options(Evidence { committed: true, ..Evidence::default() });
        let name = "kafka-group".to_owned();
        let mut bench = Bench::new(Options { commits: Commits::AfterWrite, evidence_name: name, ..options });
        bench.beats = false;
        bench
    }

    pub(super) fn assumed() -> Bench {
        let mut bench = Bench::new(Bench::options(Evidence { assumed: true, ..Evidence::default() }));
        bench.beats = false;
        bench
    }

    /// The same evidence under other settings.
    pub(super) fn with(self, change: impl FnOnce(&mut Options)) -> Bench {
        let (beats, mut options) = (self.beats, self.options);
        change(&mut options);
        Bench { beats, ..Bench::new(options) }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A new life: nothing is known but the target, the tap and these findings.
    pub(super) fn restart(&mut self, open: &[(Finding, &str)]) {
        self.engine = Engine::new(self.options.clone(), Box::new(self.images.clone()));
        self.held.clear();
        self.give(Input::Assigned { partition: PartitionId(0), next: self.next[&0] });
        for (finding, change) in open {
            let Subject::Row { expected, .. } = &finding.subject else { panic!("a finding about a row") };
            let words: Vec<&str> = change.split_whitespace().collect();
            let tracked = self.tracked(&words, expected.at);
            let observed = Some(self.target.get(&tracked.key).cloned().unwrap_or(Seen::Absent));
            let (expected, finding) = (Box::new(tracked), Box::new(finding.clone()));
            self.give(Input::OpenFinding { expected, finding, observed });
        }
    }

    /// The same, with what was said of a column.
    pub(super) fn restart_beside(&mut self, column: &Finding, index: Option<usize>) {
        self.restart(&[]);
        self.said.clear();
        self.give(Input::OpenColumn { table: ROWS, index, finding: Box::new(column.clone()) });
    }

    pub(super) fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            self.step(&words);
        }
    }

    fn step(&mut self, words: &[&str]) {
        match words {
            ["wait", seconds] => (0..number(seconds)).for_each(|_| self.second()),
            [word @ ("quiet" | "beats")] => self.beats = *word == "beats",
            ["beat"] => self.heartbeat_comes(true),
            ["unseen", "beat"] => self.heartbeat_comes(false),
            ["old", "beat"] => self.show_beat(self.beat - 1),
            ["old", "beat", back] => self.show_beat((self.beat - number(back) as i64).max(1)),
            ["commit", "all"] => self.commits_all = true,
            ["commit", next] => (self.committed, self.commits_all) = (Some(number(next)), false),
            ["replica"] => self.give(Input::Node(Node::Replica)),
            ["primary"] => self.give(Input::Node(Node::Primary)),
            ["group", generation] => self.generation = Some(number(generation)),
            ["hold"] => self.answers = Answers::Held,
            ["fail"] => self.answers = Answers::Failed,
            ["heed"] => self.answers = Answers::AtOnce,
            ["release"] => self.release(),
            ["behind", offsets] => self.behind = number(offsets),
            ["caught", "up"] => self.caught_up(),
            ["reject"] => {
                let at = self.position("0");
                self.give(Input::Reject { at, reason: "not JSON".to_owned(), table: None });
            }
            ["letter", offset] => {
                let at = Position { partition: PartitionId(0), offset: number(offset) };
                self.give(Input::DeadLetter { at, why: "it did not convert".into() });
            }
            ["gap", offsets] => self.gap(number(offsets)),
            ["held", "up", stable] => {
                let stable = number(stable);
                let held = vec![(PartitionId(0), stable, stable + 100)];
                self.give(Input::HeldUp { asked: Tick(self.now), held });
            }
            ["let", "go"] => self.give(Input::HeldUp { asked: Tick(self.now), held: Vec::new() }),
            ["load"] => self.give(Input::Loading { partition: PartitionId(0), table: ROWS }),
            ["another", "log"] => {
                let expected = self.next.remove(&0).unwrap_or(0);
                self.give(Input::Replaced { partition: PartitionId(1), expected, end: 0 });
                self.step(&["revoke"]);
                self.step(&["assign", "0@1"]);
            }
            ["unscannable" | "tens" | "tolerance" | "forget" | "mute" | "told"] | ["no", "images"] => {
                self.step_of_images(words[0])
            }
            ["partial", key, value] => self.partial(key, number(value) as i64),
            ["assign", place] => {
                let (next, partition) = place.split_once('@').unwrap_or((place, "0"));
                let (next, partition) = (number(next), number(partition) as u16);
                self.next.insert(partition, next);
                self.give(Input::Assigned { partition: PartitionId(partition), next });
            }
            ["again", place] => {
                let change = self.told[number(place) as usize].clone();
                self.give(Input::Change(change));
            }
            ["late", seconds, change @ ..] => {
                self.late = number(seconds);
                self.step(change);
                self.late = 0;
            }
            ["txn", txn, change @ ..] => {
                self.txn = Some(number(txn));
                self.step(change);
            }
            ["named" | "server" | "rewound", ..] => self.step_of_source(words),
            ["revoke"] => self.give(Input::Revoked { partition: PartitionId(0) }),
            ["replan" | "stale" | "early", ..] => self.step_of_columns(words),
            _ => self.step_of_rows(words),
        }
    }

    fn step_of_images(&mut self, word: &str) {
        match word {
            "unscannable" => self.unscannable(),
            "tens" => self.images.0.lock().unwrap().tens = true,
            "tolerance" => self.images.0.lock().unwrap().tolerance = true,
            "no" => self.images.lose(),
            "forget" => self.images.forget(),
            "mute" => self.mute = Some(Vec::new()),
            _ => self.mute.take().unwrap_or_default().iter().for_each(|recall| self.recall(recall)),
        }
    }

    fn step_of_source(&mut self, words: &[&str]) {
        match words {
            ["named"] => self.named = true,
            ["server", id] => self.server = Server::Global(number(id)),
            ["rewound", txn] => self.changes = number(txn) - 1,
            _ => panic!("no such step: {words:?}"),
        }
    }

    fn step_of_columns(&mut self, words: &[&str]) {
        match words {
            ["replan", what @ ..] => {
                if what == ["keys"] {
                    self.images.0.lock().unwrap().keys_since = self.plan + 1;
                }
                if what == ["more"] {
                    self.images.0.lock().unwrap().extended = Some(self.plan + 1);
                    self.give(Input::Replanned { table: ROWS, plan: PlanEpoch(self.plan + 1) });
                    return;
                }
                self.replan(1);
                self.give(Input::Replanned { table: ROWS, plan: PlanEpoch(self.plan) });
            }
            ["stale", change @ ..] => {
                self.replan(-1);
                self.step(change);
                self.replan(1);
            }
            ["early", change @ ..] => {
                self.replan(1);
                self.step(change);
            }
            _ => panic!("no such step: {words:?}"),
        }
    }

    fn step_of_rows(&mut self, words: &[&str]) {
        match words {
            [word @ ("within" | "leaves" | "outside" | "untold"), change @ ..] => {
                self.carried = carried(word);
                self.step(change);
                self.carried = Carried::Always;
            }
            ["put", key, values] => {
                self.target_holds(key, Some(values), |row, hashes| Seen::Row { hashes, row, placeholder: false })
            }
            ["marker", key, values] => {
                self.target_holds(key, Some(values), |row, hashes| Seen::Row { hashes, row, placeholder: true });
            }
            ["twice", key, values] => {
                self.target_holds(key, Some(values), |row, _| Seen::Several { count: 2, row });
            }
            ["gone", key] => self.target_holds(key, None, |_, _| Seen::Absent),
            ["applied", change @ ..] => {
                self.change(change);
                match change {
                    ["delete", key] => self.step(&["gone", key]),
                    [_, key, values] => self.step(&["put", key, values]),
                    _ => panic!("what was applied? {words:?}"),
                }
            }
            _ => self.change(words),
        }
    }

    /// Rows are read by other columns from now on.
    fn replan(&mut self, by: i32) {
        self.plan = self.plan.checked_add_signed(by).expect("a plan");
        for (_, seen) in self.target.iter_mut().filter(|(key, _)| key.table() == ROWS) {
            if let Seen::Row { hashes, row, .. } = seen {
                *hashes = hashes_by(self.plan, values(row));
            }
        }
    }

    fn target_holds(
        &mut self,
        key: &str,
        values: Option<&str>,
        seen: impl FnOnce(Arc<Row<'static>>, ObservedHashes) -> Seen,
    ) {
        let key = row_key(key).0;
        match values.map(parse) {
            Some(values) => self.target.insert(key, seen(row(values), hashes_by(self.plan, values))),
            None => self.target.remove(&key),
        };
    }

    fn gap(&mut self, offsets: u64) {
        let from = self.next.get(&0).copied().unwrap_or(0);
        self.next.insert(0, from + offsets);
        self.give(Input::Gap { partition: PartitionId(0), from, to: from + offsets });
    }

    pub(super) fn position(&mut self, partition: &str) -> Position {
        let partition = number(partition) as u16;
        if partition > 0 {
            self.unscannable();
        }
        let next = self.next.entry(partition).or_default();
        *next += 1;
        Position { partition: PartitionId(partition), offset: *next - 1 }
    }

    /// The source position of the next change.
    pub(super) fn order(&mut self) -> u64 {
        self.changes += 1;
        self.txn.take().unwrap_or(self.changes)
    }

    fn waymark(&self, order: u64) -> Option<Waymark> {
        let place = Some(Place { order, form: Form::Lsn, server: self.server });
        self.named.then_some(Waymark { connector: 1, place })
    }

    fn change(&mut self, words: &[&str]) {
        let partition = words.get(1).and_then(|key| key.split_once('@')).map_or("0", |(_, partition)| partition);
        let at = self.position(partition);
        let order = self.order();
        let tracked = Tracked { order, waymark: self.waymark(order), ..self.tracked(words, at) };
        self.images.put(at, &tracked.key, words.get(2).map(|values| row(parse(values))));
        self.told.push(tracked.clone());
        self.give(Input::Change(tracked));
        self.give(Input::Reached { partition: at.partition, next: at.offset + 1 });
    }

    fn partial(&mut self, key: &str, value: i64) {
        let (key, partition) = row_key(key);
        let (at, order) = (self.position(&partition.to_string()), self.order());
        let mask = Mask::of(2, 0..1);
        let tracked = self.tracked_as(key, at, Op::Update, hashes_by(self.plan, (value, 0)).sum(&mask), Role::Rows);
        let tracked = Tracked { order, mask, waymark: self.waymark(order), ..tracked };
        let cells = vec![Cell::Int(value), Cell::NotSent];
        let row = Row::new(Arc::new(Columns::new(["a", "b"])), cells, Typing::Declared);
        self.images.put(at, &tracked.key, Some(Arc::new(row)));
        self.give(Input::Change(tracked));
        self.give(Input::Reached { partition: at.partition, next: at.offset + 1 });
    }

    pub(super) fn tracked(&self, words: &[&str], at: Position) -> Tracked {
        let op = match words[0] {
            "insert" => Op::Insert,
            "update" => Op::Update,
            "delete" => Op::Delete,
            "truncate" => Op::Truncate,
            word => panic!("no such step: {word}"),
        };
        let key = words.get(1).map_or_else(|| Key::new(ROWS, &[]), |key| row_key(key).0);
        let fingerprint = words.get(2).map_or(0, |values| hashes_by(self.plan, parse(values)).sum(&all()));
        self.tracked_as(key, at, op, fingerprint, Role::Rows)
    }

    pub(super) fn tracked_as(&self, key: Key, at: Position, op: Op, fingerprint: u128, role: Role) -> Tracked {
        Tracked {
            key,
            at,
            order: at.offset,
            waymark: None,
            op,
            fingerprint,
            mask: all(),
            before: None,
            committed_at: Some(SourceTime((self.now - (self.late * 1000).min(self.now)) as i64)),
            appended_at: Some(self.now as i64),
            key_change: KeyChange::No,
            carried: if role == Role::Rows { self.carried } else { Carried::Always },
            role,
            plan: PlanEpoch(if role == Role::Rows { self.plan } else { 0 }),
        }
    }

    fn heartbeat_comes(&mut self, seen: bool) {
        let at = self.position("0");
        self.beat += 1;
        let fingerprint = hashes((self.beat, 0)).sum(&all());
        let order = self.order();
        let tracked = self.tracked_as(beat_key(), at, Op::Update, fingerprint, Role::Heartbeat);
        let tracked = Tracked { order, waymark: self.waymark(order), ..tracked };
        self.last_beat.insert(self.beat, at.offset);
        self.give(Input::Change(tracked));
        self.give(Input::Reached { partition: at.partition, next: at.offset + 1 });
        if seen {
            self.show_beat(self.beat);
        }
    }

    fn show_beat(&mut self, beat: i64) {
        let seen = Seen::Row { hashes: hashes((beat, 0)), row: row((beat, 0)), placeholder: false };
        self.target.insert(beat_key(), seen);
    }

    fn second(&mut self) {
        self.now += 1000;
        if self.beats && self.now.is_multiple_of(5000) {
            self.heartbeat_comes(true);
        }
        let ends = self.ends();
        self.give(Input::Ends { asked: Tick(self.now), ends });
        let end = self.next.get(&0).copied().unwrap_or(0);
        if let Some(next) = if self.commits_all { Some(end) } else { self.committed } {
            let next = vec![(PartitionId(0), next)];
            self.give(Input::Committed { asked: Tick(self.now), next, generation: self.generation });
        }
        self.give(Input::Tick);
    }

    pub(super) fn ends(&self) -> Vec<(PartitionId, u64)> {
        let ends = self.next.iter().map(|(partition, next)| (PartitionId(*partition), next + self.behind));
        let mut ends: Vec<_> = ends.collect();
        if ends.is_empty() {
            ends.push((PartitionId(0), 0));
        }
        ends
    }

    fn caught_up(&mut self) {
        let next = self.next.get(&0).copied().unwrap_or(0) + self.behind;
        self.behind = 0;
        self.next.insert(0, next);
        self.give(Input::Reached { partition: PartitionId(0), next });
    }

    fn release(&mut self) {
        self.answers = Answers::AtOnce;
        for lookup in std::mem::take(&mut self.held) {
            self.answer(&lookup);
        }
    }

    pub(super) fn give(&mut self, input: Input) {
        self.engine.handle(input, Tick(self.now));
        while let Some(output) = self.engine.poll_output() {
            self.take(output);
        }
    }

    fn take(&mut self, output: Output) {
        self.lookups += u64::from(matches!(output, Output::Lookup(_)));
        self.convicting += u64::from(matches!(&output, Output::Lookup(lookup) if lookup.convicts));
        match output {
            Output::Lookup(lookup) if self.answers == Answers::Held => self.held.push(lookup),
            Output::Lookup(lookup) => self.answer(&lookup),
            Output::Scan(scan) => {
                self.scans += 1;
                self.page(&scan);
            }
            Output::Recall(recall) => {
                self.recalls.push(recall.at.iter().map(|at| at.offset).collect());
                match &mut self.mute {
                    Some(waiting) => waiting.push(recall),
                    None => self.recall(&recall),
                }
            }
            Output::Finding(finding) => {
                let line = said(&finding);
                if self.said.last() != Some(&line) {
                    self.said.push(line);
                }
                self.findings.push(*finding);
            }
            Output::Commit { partition, next } => drop(self.commits.insert(partition.0, next)),
            Output::Rewind { to, .. } => self.rewinds.push(to),
            Output::Pause => self.paused = true,
            Output::Resume => self.paused = false,
            Output::Coerced { column, coercion, .. } => self.notes.push(format!("{column} is {coercion}")),
            Output::Note(note) => self.notes.push(format!("{note:?}")),
        }
    }
}

/// Runs a script and compares what was stated, in order: state, kind, cause, proof and offset.
pub(super) fn check(mut bench: Bench, script: &str, expected: &[&str]) {
    bench.run(script);
    assert_eq!(bench.said, expected, "{script}");
}

/// `K` or `K@P`.
pub(super) fn row_key(word: &str) -> (Key, u16) {
    let (key, partition) = word.split_once('@').unwrap_or((word, "0"));
    (Key::new(ROWS, &[Cell::Int(number(key) as i64)]), number(partition) as u16)
}

fn beat_key() -> Key {
    Key::new(BEATS, &[Cell::Int(0)])
}

fn all() -> Mask {
    Mask::of(2, 0..2)
}
