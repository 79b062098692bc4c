//! `audit --incarnation`: of a source that was rewound, its newest log alone.
//!
//! The tap is read once beforehand, to find where each log begins in each partition; the audit then begins there. A log that was
//! left for another is not judged: what it told behind the place where the next one begins may never have happened.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::config::{Bound, FilePath, Start, Tap};
use crate::decode::Understood;
use crate::engine::logs::{Log, Logs};
use crate::model::{Change, PartitionId, Position, SourceTime};
use crate::tap::Partitions;

use super::clock::Clock;
use super::entry::{AuditArgs, Failure, Outcome, Range};
use super::range::Reading;
use super::schemas::{ENDS_WITHIN, Patience, Reader, Schemas, Stopped, Waiter};

/// The command, with a range that begins where the asked log does. Blocking.
///
/// # Errors
/// There is no such log, it is not the newest one, or the tap cannot be read.
pub(super) fn chosen(args: AuditArgs, clock: Clock) -> Result<AuditArgs, Failure> {
    let Some(asked) = args.incarnation else { return Ok(args) };
    if matches!(&args.pipeline.tap, Tap::File(file) if file.path == FilePath::Stdin) {
        return Err(Failure::new("standard input cannot be read twice, which --incarnation needs: expected a file"));
    }
    let partitions = Partitions::default();
    let search = Search { args: &args, clock, partitions: &partitions };
    let mut logs = Logs::default();
    search.changes(|at, change| logs.follow(at, change.waymark, change.committed_at))?;
    let later = logs.later().ok_or_else(|| Failure {
        hint: Some("audit the topics of one connector at a time".to_owned()),
        ..Failure::new("the sources of several connectors were rewound, so that their logs have no common number")
    })?;
    let count = later.len() + 1;
    match (later.last(), usize::try_from(asked).unwrap_or(usize::MAX)) {
        (None, 1) => Ok(args),
        (Some(newest), number) if number == count => {
            let begins = search.begins(newest)?;
            let from = search.from(&begins)?;
            tracing::info!(incarnation = asked, "the newest log of the source is judged alone, from where it begins");
            Ok(AuditArgs { range: Range { from, ..args.range.clone() }, ..args })
        }
        (_, number) if number > count => {
            let logs = if count == 1 { "one log: no place in it falls" } else { "fewer logs" };
            Err(Failure::new(format!("the range holds {logs} (incarnations 1 to {count} were found)")))
        }
        (_, _) => Err(Failure {
            hint: Some(format!("{count} is the newest one")),
            ..Failure::new(format!(
                "incarnation {asked} was left for another: what it told last may never have happened, so nothing can be held \
                 against it"
            ))
        }),
    }
}

struct Search<'a> {
    args: &'a AuditArgs,
    clock: Clock,
    partitions: &'a Partitions,
}

impl Search<'_> {
    /// Hands out every change from the beginning of the range to the tap's end.
    fn changes(&self, mut each: impl FnMut(Position, &Change<'_>)) -> Result<(), Failure> {
        let pipeline = &self.args.pipeline;
        let range = Range { from: self.args.range.from.clone(), to: Start::End.into() };
        let reading = Reading {
            command: "audit",
            tap: &pipeline.tap,
            range: &range,
            partitions: self.partitions,
            stop: &self.args.stop,
        };
        let schemas = Schemas::of(&pipeline.decode, Waiter::ending("audit", self.clock, Patience::For(ENDS_WITHIN)))?;
        let mut reader = Reader::new(&pipeline.decode, &pipeline.tables, &schemas);
        let outcome = reading.batches(&self.clock, |batch| {
            for record in batch.records() {
                let topic = self.partitions.name(record.partition).topic;
                let at = Position { partition: record.partition, offset: record.offset };
                match reader.read(&topic, record) {
                    Ok(Understood::Change(change)) => each(at, &change),
                    Ok(Understood::KeyChange(pair)) => each(at, &pair.1),
                    Ok(Understood::Changes(changes)) => changes.iter().for_each(|change| each(at, change)),
                    Ok(Understood::Tombstone | Understood::Control(_) | Understood::Reject(_)) => {}
                    Err(Stopped) => return ControlFlow::Break(()),
                }
            }
            ControlFlow::Continue(())
        })?;
        match (self.args.stop.is_cancelled(), outcome) {
            (true, _) => Err(Failure::new("it was stopped before the logs of the source were told apart")),
            (false, Outcome::Clean | Outcome::Findings | Outcome::Incomplete) => Ok(()),
        }
    }

    /// Where the log begins. In partitions that do not show it themselves, with the first change that was committed no earlier
    /// than its first one.
    fn begins(&self, log: &Log) -> Result<BTreeMap<PartitionId, u64>, Failure> {
        let mut begins = log.begins.clone();
        if self.partitions.all().iter().any(|(id, _)| !begins.contains_key(id)) {
            self.changes(|at, change| {
                if change.committed_at.is_some_and(|committed: SourceTime| committed >= log.began) {
                    begins.entry(at.partition).or_insert(at.offset);
                }
            })?;
        }
        Ok(begins)
    }

    fn from(&self, begins: &BTreeMap<PartitionId, u64>) -> Result<Bound, Failure> {
        let mut pinned = BTreeMap::new();
        for (id, name) in self.partitions.all() {
            let start = begins.get(&id).map_or(Start::End, |offset| Start::Offset(*offset));
            if pinned.insert(name.partition, start).is_some_and(|other| other != start) {
                return Err(Failure {
                    hint: Some("audit one topic at a time".to_owned()),
                    ..Failure::new("the log begins at different places in the topics, and --from is of all of them")
                });
            }
        }
        Ok(Bound { everywhere: None, pinned })
    }
}
