//! `record`: a tap is copied into an archive.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use serde::Serialize;

use crate::tap::archive::{ArchiveWriter, Closed, Keep};
use crate::tap::{self, Partitions, TapError, TapEvent};
use crate::telemetry::event;

use super::clock::Clock;
use super::entry::{Failure, Outcome, RecordArgs};
use super::findings::writing;
use super::pipeline::tap_failure;
use super::settings::{self, Read};
use super::tell::tap_failed;

/// How often it is looked for a stop, and whether the open segment is due, while no record comes.
const LOOK_UP: Duration = Duration::from_millis(100);

/// The command, for the log.
const COMMAND: &str = "record";

/// What was recorded, as it is printed at the end.
#[derive(Debug, Serialize)]
struct Summary {
    schema: &'static str,
    archive: String,
    records: u64,
    segments: u64,
    /// Bytes of the segments.
    bytes: u64,
    /// Segments that retention took.
    expired: u64,
    gaps: Vec<Missing>,
    /// Where the next run goes on.
    next: Vec<Next>,
}

#[derive(Debug, Serialize)]
struct Missing {
    topic: String,
    partition: i32,
    from: u64,
    to: u64,
}

#[derive(Debug, Serialize)]
struct Next {
    topic: String,
    partition: i32,
    next: u64,
}

struct Recording<'a> {
    args: &'a RecordArgs,
    clock: Clock,
    partitions: Partitions,
    writer: ArchiveWriter,
    summary: Summary,
    /// When the open segment got its first record.
    opened: Option<Duration>,
}

/// See [`super::entry::record`]. Blocking.
pub(super) fn record(args: &RecordArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let keep = Keep {
        for_ms: args.keep_for.map(|span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        bytes: args.keep_bytes,
    };
    let writer = ArchiveWriter::open(&args.archive, keep).map_err(failed)?;
    let summary = Summary {
        schema: "afterimage.recorded/1",
        archive: args.archive.clone(),
        records: 0,
        segments: 0,
        bytes: 0,
        expired: 0,
        gaps: Vec::new(),
        next: Vec::new(),
    };
    let (clock, partitions) = (Clock::start(), Partitions::default());
    let mut recording = Recording { args, clock, partitions, writer, summary, opened: None };
    let outcome = recording.run();
    // Whatever ended it, what was read is kept.
    recording.close()?;
    let (next, outcome) = (recording.writer.next().iter(), outcome?);
    recording.summary.next = next
        .map(|(name, next)| Next { topic: name.topic.to_string(), partition: name.partition, next: *next })
        .collect();
    serde_json::to_writer(&mut *out, &recording.summary).map_err(|error| writing(error.into()))?;
    writeln!(out).and_then(|()| out.flush()).map_err(writing)?;
    Ok(outcome)
}

fn failed(error: TapError) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new("the archive cannot be recorded") }
}

impl Recording<'_> {
    fn run(&mut self) -> Result<Outcome, Failure> {
        let done = self.writer.next().iter().map(|(name, next)| (name.clone(), *next)).collect();
        let read = Read::Copy { from: self.args.from.clone(), to: self.args.to.clone(), done };
        let now = self.clock.wall(self.clock.now());
        let options = settings::tap(&self.args.tap, read, now).map_err(Failure::new)?;
        let (events, control) = tap::start(options, self.partitions.clone()).map_err(tap_failure)?;
        let outcome = loop {
            match events.recv_timeout(LOOK_UP) {
                Ok(event) => match self.event(event)? {
                    ControlFlow::Continue(()) => {}
                    ControlFlow::Break(()) => break Outcome::Clean,
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Outcome::Incomplete,
            }
            if self.args.stop.is_cancelled() {
                break Outcome::Incomplete;
            }
            self.close_if_due()?;
        };
        control.stop();
        Ok(if self.summary.gaps.is_empty() { outcome } else { Outcome::Incomplete })
    }

    fn event(&mut self, event: TapEvent) -> Result<ControlFlow<()>, Failure> {
        match event {
            TapEvent::Records(batch) => {
                for record in batch.records() {
                    let name = self.partitions.name(record.partition);
                    let new = self.writer.record(&name, &record).map_err(failed)?;
                    self.summary.records += u64::from(new);
                    if self.is_full() {
                        self.close()?;
                    }
                }
            }
            TapEvent::Reached { partition, next } => {
                self.writer.reached(&self.partitions.name(partition), next).map_err(failed)?;
            }
            TapEvent::Assigned { partition, next } => {
                self.writer.begins(&self.partitions.name(partition), next).map_err(failed)?;
            }
            TapEvent::Gap { partition, from, to, why } => {
                let (name, why) = (self.partitions.name(partition), why.as_deref());
                if self.writer.gap(&name, (from, to)).map_err(failed)? {
                    event::GapSeen { pipeline: COMMAND, partition: &name, from, to, why }.emit();
                    let (topic, partition) = (name.topic.to_string(), name.partition);
                    self.summary.gaps.push(Missing { topic, partition, from, to });
                }
            }
            TapEvent::Replaced { partition, expected, end } => {
                let name = self.partitions.name(partition);
                let what = format!("the log of {name} was made anew: it ends at {end}, before {expected}");
                let hint = "record it from its beginning into another archive".to_owned();
                return Err(Failure { hint: Some(hint), ..Failure::new(what) });
            }
            TapEvent::Ended => return Ok(ControlFlow::Break(())),
            TapEvent::Failed(error) if error.fatal => return Err(tap_failure(error)),
            TapEvent::Failed(error) => tap_failed(COMMAND, &error),
            TapEvent::Revoked { .. } | TapEvent::RangeEnds { .. } => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn is_full(&self) -> bool {
        self.writer.unpacked().is_some_and(|bytes| bytes >= self.args.segment_bytes)
    }

    fn close_if_due(&mut self) -> Result<(), Failure> {
        if self.writer.unpacked().is_none() {
            return Ok(());
        }
        let now = self.clock.elapsed();
        if now.saturating_sub(*self.opened.get_or_insert(now)) >= self.args.segment_time {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.opened = None;
        let now = self.clock.wall(self.clock.now());
        if let Some(Closed { segment, records, bytes, expired }) = self.writer.close(now).map_err(failed)? {
            tracing::info!(archive = %self.args.archive, segment, records, bytes, expired, "a segment was closed");
            self.summary.segments += 1;
            self.summary.bytes += bytes;
            self.summary.expired += expired;
        }
        Ok(())
    }
}
