//! `replay`: a tap is played into topics or a file, in the time that its records took.
#![expect(clippy::disallowed_methods, reason = "records are played at the moments that they were recorded at")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::decode::Understood;
use crate::model::position::PartitionName;
use crate::model::{Batch, Change, PartitionId, Record};
use crate::report::Values;
use crate::report::life::is_key;
use crate::tap::file::line;
use crate::tap::kafka::Brokers;
use crate::tap::kafka::produce::TopicWriter;
use crate::tap::{Partitions, TapError};

use super::clock::Clock;
use super::entry::{Destination, Failure, Filter, Outcome, ReplayArgs, Speed};
use super::findings::writing;
use super::range::Reading;
use super::schemas::{ENDS_WITHIN, Patience, Reader, Schemas, Stopped, Waiter};

/// Bytes read ahead, so that records of several partitions, which are recorded in long runs, are played in the order of their
/// times.
const AHEAD: usize = 64 << 20;

/// Records read ahead.
const AHEAD_RECORDS: usize = 200_000;

/// Where records go.
enum Outlet<'a> {
    Topics { writer: Box<TopicWriter>, to: To },
    Lines(Box<dyn Write + 'a>),
}

/// Which topic a record goes to.
enum To {
    /// Its own.
    Same,
    /// This one, for all; they were of this topic.
    One { topic: String, of: Option<String> },
}

impl To {
    /// Partitions of two topics in one would mix keys whose order nobody kept.
    fn of<'t>(&'t mut self, name: &'t PartitionName) -> Result<&'t str, Failure> {
        match self {
            To::Same => Ok(&name.topic),
            To::One { topic, of } => {
                let of = of.get_or_insert_with(|| name.topic.to_string());
                if *of == *name.topic {
                    return Ok(topic);
                }
                let what = format!("records of `{of}` and `{}` cannot both be played into `{topic}`", name.topic);
                let hint =
                    "leave the topic out of --into: every record then goes to the topic of its own name".to_owned();
                Err(Failure { hint: Some(hint), ..Failure::new(what) })
            }
        }
    }
}

/// Records that wait for their moment, by time and arrival.
#[derive(Default)]
struct Waiting {
    records: BTreeMap<(i64, u64), (PartitionName, Batch)>,
    bytes: usize,
    arrived: u64,
    /// The greatest time of each partition: inside one, records are never put into another order.
    latest: BTreeMap<PartitionId, i64>,
}

struct Replay<'a> {
    args: &'a ReplayArgs,
    clock: Clock,
    outlet: Outlet<'a>,
    /// When the first record was played, and its time.
    began: Option<(Duration, i64)>,
    played: u64,
}

/// See [`super::entry::replay`]. Blocking.
pub(super) fn replay(args: &ReplayArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let (clock, partitions) = (Clock::start(), Partitions::default());
    let schemas = Schemas::of(&args.decode, Waiter::ending("replay", clock, Patience::For(ENDS_WITHIN)))?;
    let mut choice = Choice {
        filter: &args.filter,
        reader: Reader::new(&args.decode, &args.tables, &schemas),
        last: BTreeMap::new(),
        rejected: 0,
    };
    let mut replay = Replay { args, clock, outlet: outlet(&args.into, out)?, began: None, played: 0 };
    let mut waiting = Waiting::default();
    let mut failure = None;
    let reading =
        Reading { command: "replay", tap: &args.tap, range: &args.range, partitions: &partitions, stop: &args.stop };
    let outcome = reading.batches(&clock, |batch| {
        let played = batch.records().try_for_each(|record| {
            let name = partitions.name(record.partition);
            match choice.takes(&name, record) {
                Ok(true) => replay.record(&name, &record, &mut waiting),
                Ok(false) => ControlFlow::Continue(()),
                Err(Stopped) => ControlFlow::Break(None),
            }
        });
        match played {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(why) => {
                failure = why;
                ControlFlow::Break(())
            }
        }
    })?;
    let rest = if failure.is_none() { replay.drain(&mut waiting, (0, 0)) } else { ControlFlow::Continue(()) };
    let failure = failure.or(rest.break_value().flatten());
    replay.finish()?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    tracing::info!(records = replay.played, not_understood = choice.rejected, "played");
    let stopped = args.stop.is_cancelled() || schemas.gave_up();
    Ok(if stopped { Outcome::Incomplete } else { outcome })
}

fn outlet<'a>(into: &Destination, out: &'a mut (dyn Write + Send)) -> Result<Outlet<'a>, Failure> {
    Ok(match into {
        Destination::Output => Outlet::Lines(Box::new(out)),
        Destination::File(path) => {
            let file = File::create(path).map_err(|error| Failure {
                source: Some(Box::new(error)),
                ..Failure::new(format!("`{}` cannot be written", path.display()))
            })?;
            Outlet::Lines(Box::new(BufWriter::new(file)))
        }
        Destination::Topics { brokers, topic, properties } => {
            let brokers = Brokers { bootstrap: brokers.clone(), properties: properties.clone() };
            let writer = TopicWriter::new(brokers).map_err(refused)?;
            let one = |topic: &String| To::One { topic: topic.clone(), of: None };
            Outlet::Topics { writer: Box::new(writer), to: topic.as_ref().map_or(To::Same, one) }
        }
    })
}

fn refused(error: TapError) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new("the records cannot be played") }
}

/// Goes on, or breaks: with a failure, or because it was stopped.
type Flow = ControlFlow<Option<Failure>>;

impl Replay<'_> {
    fn record(&mut self, name: &PartitionName, record: &Record<'_>, waiting: &mut Waiting) -> Flow {
        match self.args.speed {
            Speed::Max => self.play(name, record),
            Speed::Times(_) => {
                waiting.put(name, record);
                self.drain(waiting, (AHEAD, AHEAD_RECORDS))
            }
        }
    }

    /// Plays what waits until no more than this is left.
    fn drain(&mut self, waiting: &mut Waiting, (bytes, records): (usize, usize)) -> Flow {
        while waiting.bytes > bytes || waiting.records.len() > records {
            let Some(((at, _), (name, batch))) = waiting.records.pop_first() else { break };
            waiting.bytes -= batch.bytes();
            self.wait(at)?;
            for record in batch.records() {
                self.play(&name, &record)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Waits for the moment of a time.
    fn wait(&mut self, at: i64) -> Flow {
        let Speed::Times(speed) = self.args.speed else { return ControlFlow::Continue(()) };
        let now = self.clock.elapsed();
        let (began, first) = *self.began.get_or_insert((now, at));
        let since = u64::try_from(at.saturating_sub(first)).unwrap_or(0);
        let due = began.saturating_add(Duration::from_millis((since as f64 / speed) as u64));
        let left = due.saturating_sub(now);
        if left.is_zero() {
            return ControlFlow::Continue(());
        }
        // What was played is not held back while nothing is due.
        self.flush_lines()?;
        let stopped = Handle::current().block_on(async {
            tokio::select! {
                () = self.args.stop.cancelled() => true,
                () = tokio::time::sleep(left) => false,
            }
        });
        if stopped { ControlFlow::Break(None) } else { ControlFlow::Continue(()) }
    }

    fn flush_lines(&mut self) -> Flow {
        match &mut self.outlet {
            Outlet::Topics { .. } => ControlFlow::Continue(()),
            Outlet::Lines(out) => match out.flush() {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(Some(writing(error))),
            },
        }
    }

    fn play(&mut self, name: &PartitionName, record: &Record<'_>) -> Flow {
        let played = match &mut self.outlet {
            Outlet::Topics { writer, to } => {
                to.of(name).and_then(|topic| writer.write((topic, name.partition), record).map_err(refused))
            }
            Outlet::Lines(out) => match line(name, record) {
                Ok(line) => out.write_all(&line).map_err(writing),
                Err(error) => Err(Failure {
                    hint: Some("JSON Lines hold text alone: play it into a topic".to_owned()),
                    ..Failure::new(format!("{name}@{} cannot be written: {error}", record.offset))
                }),
            },
        };
        match played {
            Ok(()) => {
                self.played += 1;
                ControlFlow::Continue(())
            }
            Err(failure) => ControlFlow::Break(Some(failure)),
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        match &mut self.outlet {
            Outlet::Topics { writer, .. } => writer.flush().map_err(refused),
            Outlet::Lines(out) => out.flush().map_err(writing),
        }
    }
}

impl Waiting {
    fn put(&mut self, name: &PartitionName, record: &Record<'_>) {
        let latest = self.latest.entry(record.partition).or_insert(i64::MIN);
        *latest = record.timestamp_ms.unwrap_or(*latest).max(*latest);
        let mut batch = Batch::default();
        let place = (record.partition, record.offset, record.timestamp_ms);
        batch.push(place, record.key, record.value, record.headers());
        batch.stamp(record.stamp);
        self.bytes += batch.bytes();
        self.arrived += 1;
        self.records.insert((*latest, self.arrived), (name.clone(), batch));
    }
}

/// Which records are played.
struct Choice<'a> {
    filter: &'a Filter,
    reader: Reader,
    /// The key of the record that was taken last of each partition: a tombstone behind a delete goes with it.
    last: BTreeMap<PartitionId, Vec<u8>>,
    rejected: u64,
}

impl Choice<'_> {
    fn takes(&mut self, name: &PartitionName, record: Record<'_>) -> Result<bool, Stopped> {
        if self.filter.tables.is_empty() && self.filter.keys.is_empty() {
            return Ok(true);
        }
        let takes = match self.reader.read(&name.topic, record)? {
            Understood::Change(change) => self.filter.takes(&change),
            Understood::KeyChange(pair) => self.filter.takes(&pair.0) || self.filter.takes(&pair.1),
            Understood::Changes(changes) => changes.iter().any(|change| self.filter.takes(change)),
            Understood::Tombstone => self.last.get(&record.partition).map(Vec::as_slice) == record.key,
            Understood::Control(_) => false,
            Understood::Reject(_) => {
                self.rejected += 1;
                false
            }
        };
        if takes {
            self.last.insert(record.partition, record.key.unwrap_or_default().to_vec());
        }
        Ok(takes)
    }
}

impl Filter {
    fn takes(&self, change: &Change<'_>) -> bool {
        let row = change.key.as_ref().or(change.after.as_ref()).or(change.before.as_ref());
        let table = self.tables.is_empty() || self.tables.iter().any(|table| **table == *change.table);
        let is_wanted = |wanted: &String| row.is_some_and(|row| is_key(wanted, &Values::Full.row(row)));
        table && (self.keys.is_empty() || self.keys.iter().any(is_wanted))
    }
}
