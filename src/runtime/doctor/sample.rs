//! The newest records of each partition: which tables there are, and how changes come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::config::{Format, Pipeline, Start, Tap};
use crate::decode::Understood;
use crate::model::position::PartitionName;
use crate::model::{Change, Columns, Typing};
use crate::tap::{self, Behind, Partitions, TapEvent};

use super::super::clock::Clock;
use super::super::schemas::{Patience, Reader, Schemas, Waiter};
use super::super::settings::{self, Read};
use super::super::tell::chain;
use super::report::Report;

/// Records read from the end of each partition to see which tables there are.
const SAMPLE: u64 = 200;

/// How long the tap may take to give them.
const SAMPLE_WITHIN: Duration = Duration::from_secs(20);

/// How long a registry that does not answer may hold up the look at the records.
const SCHEMA_WITHIN: Duration = Duration::from_secs(3);

/// Changes kept of each partition; past it the oldest goes, which shortens the time over which their pace is measured.
const KEPT: usize = 50;

/// A table as records showed it.
pub(super) struct SeenTable {
    /// The topic it came from.
    pub(super) topic: Arc<str>,
    /// The columns of its key.
    pub(super) key: Option<Arc<Columns>>,
    /// The columns of its newest row.
    pub(super) columns: Option<(Arc<Columns>, Typing)>,
}

/// A change and its place.
pub(super) struct SeenChange {
    pub(super) offset: u64,
    /// When its record was appended, in milliseconds since the epoch.
    pub(super) appended: Option<i64>,
    pub(super) change: Change<'static>,
}

/// What the newest records showed.
#[derive(Default)]
pub(super) struct Sample {
    pub(super) tables: BTreeMap<Arc<str>, SeenTable>,
    /// Every partition of the tap, with its newest changes in order.
    pub(super) partitions: BTreeMap<PartitionName, VecDeque<SeenChange>>,
}

/// A null value before the first row of a topic is not known to be a delete, unless that is declared.
fn note_of_format(declared: Format, report: &Report) -> Option<String> {
    let flattened = report.tap.formats.contains("flattened") && declared == Format::Auto;
    flattened.then(|| {
        "there are rows without an envelope: set `decode.format = \"flattened\"`, so that every null value is known to be a delete"
            .to_owned()
    })
}

impl Sample {
    /// Reads the tap's end. Blocking.
    pub(super) fn read(pipeline: &Pipeline, report: &mut Report) -> Sample {
        report.tap.place = match &pipeline.tap {
            Tap::Kafka(kafka) => kafka.brokers.clone(),
            Tap::File(_) => "a file".to_owned(),
            Tap::Archive(archive) => format!("archive {}", archive.url),
        };
        let mut sample = Sample::default();
        let partitions = Partitions::default();
        if let Err(problem) = sample.gather(pipeline, &partitions, report) {
            report.problems.push(problem);
            return sample;
        }
        for (_, name) in partitions.all() {
            sample.partitions.entry(name).or_default();
        }
        report.tap.partitions = sample.partitions.keys().map(ToString::to_string).collect();
        if sample.partitions.is_empty() {
            report.problems.push("no partition of the tap could be read: check `topics`".to_owned());
        }
        sample
    }

    fn gather(&mut self, pipeline: &Pipeline, partitions: &Partitions, report: &mut Report) -> Result<(), String> {
        let clock = Clock::start();
        let read = Read::Range { from: Start::Tail(SAMPLE).into(), to: Start::End.into(), behind: Behind::Left };
        let waiter = Waiter::ending(&pipeline.name, clock, Patience::For(SCHEMA_WITHIN));
        let schemas = Schemas::of(&pipeline.decode, waiter).map_err(|failure| failure.to_string())?;
        examine_registry(&schemas, report);
        let options = settings::tap(&pipeline.tap, read, clock.wall(clock.now()))?;
        let (events, control) = tap::start(options, partitions.clone()).map_err(|error| chain(&error))?;
        let mut reader = Reader::new(&pipeline.decode, &pipeline.tables, &schemas);
        while clock.elapsed() < SAMPLE_WITHIN {
            match events.recv_timeout(SAMPLE_WITHIN.saturating_sub(clock.elapsed())) {
                Ok(TapEvent::Records(batch)) => {
                    for record in batch.records() {
                        let name = partitions.name(record.partition);
                        report.tap.records_seen += 1;
                        if let Ok(understood) = reader.read(&name.topic, record) {
                            report.tap.formats.extend(reader.format().word());
                            self.note(understood, &name, (record.offset, record.timestamp_ms), report);
                        }
                    }
                }
                Ok(TapEvent::Failed(error)) => report.problems.push(chain(&error)),
                Ok(TapEvent::Ended) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => break,
                Ok(
                    TapEvent::Reached { .. }
                    | TapEvent::Assigned { .. }
                    | TapEvent::Revoked { .. }
                    | TapEvent::Gap { .. }
                    | TapEvent::Replaced { .. }
                    | TapEvent::RangeEnds { .. },
                ) => {}
            }
        }
        control.stop();
        let note = note_of_format(pipeline.decode.format, report);
        report.tap.format_notes.extend(note);
        Ok(())
    }

    fn note(
        &mut self,
        understood: Understood<'_>,
        name: &PartitionName,
        (offset, appended): (u64, Option<i64>),
        report: &mut Report,
    ) {
        match understood {
            Understood::Change(change) => self.keep(name, SeenChange { offset, appended, change: change.into_owned() }),
            Understood::KeyChange(pair) => {
                for change in [pair.0, pair.1] {
                    self.keep(name, SeenChange { offset, appended, change: change.into_owned() });
                }
            }
            Understood::Changes(changes) => {
                for change in changes {
                    self.keep(name, SeenChange { offset, appended, change: change.into_owned() });
                }
            }
            Understood::Tombstone | Understood::Control(_) => {}
            Understood::Reject(reject) => {
                report.tap.rejected += 1;
                let first = || format!("{name} offset {offset}: {}", reject.reason);
                report.tap.first_reject.get_or_insert_with(first);
            }
        }
    }

    fn keep(&mut self, name: &PartitionName, seen: SeenChange) {
        let change = &seen.change;
        let key = change.key.as_ref().map(|key| Arc::clone(&key.columns));
        let columns = change.after.as_ref().map(|row| (Arc::clone(&row.columns), row.typing));
        let columns = columns.or_else(|| self.tables.get(&change.table).and_then(|known| known.columns.clone()));
        self.tables.insert(Arc::clone(&change.table), SeenTable { topic: Arc::clone(&name.topic), key, columns });
        let kept = self.partitions.entry(name.clone()).or_default();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(seen);
    }
}

/// Asks every address of the registry something small.
fn examine_registry(schemas: &Schemas, report: &mut Report) {
    let Some(registry) = schemas.registry() else { return };
    for (place, answered) in tokio::runtime::Handle::current().block_on(registry.probe()) {
        match answered {
            Ok(()) => report.tap.registry.push(format!("{place} answers")),
            Err(error) => {
                report.tap.registry.push(format!("{place} does not answer as a registry"));
                report.problems.push(chain(&error));
            }
        }
    }
}
