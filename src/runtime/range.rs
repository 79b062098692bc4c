//! A range of the tap, read once on the calling thread.

use std::ops::ControlFlow;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::Tap;
use crate::model::Batch;
use crate::tap::{self, Behind, Partitions, TapEvent};
use crate::telemetry::event;

use super::clock::Clock;
use super::entry::{Failure, Outcome, Range};
use super::pipeline::tap_failure;
use super::settings::{self, Read};

/// How often a stop is looked for while no record comes.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What is read, and until when.
pub(super) struct Reading<'r> {
    /// The command that reads, for the log.
    pub(super) command: &'static str,
    pub(super) tap: &'r Tap,
    pub(super) range: &'r Range,
    pub(super) partitions: &'r Partitions,
    pub(super) stop: &'r CancellationToken,
}

impl Reading<'_> {
    /// Hands out the records until the range ends or `each` has had enough. [`Outcome::Incomplete`] if it was stopped before,
    /// or if some records of the range were gone from the log.
    pub(super) fn batches(
        &self,
        clock: &Clock,
        mut each: impl FnMut(&Batch) -> ControlFlow<()>,
    ) -> Result<Outcome, Failure> {
        let read = Read::Range { from: self.range.from.clone(), to: self.range.to.clone(), behind: Behind::Left };
        let options = settings::tap(self.tap, read, clock.wall(clock.now())).map_err(Failure::new)?;
        let (events, control) = tap::start(options, self.partitions.clone()).map_err(tap_failure)?;
        let mut outcome = Outcome::Clean;
        loop {
            match events.recv_timeout(LOOK_UP) {
                Ok(TapEvent::Records(batch)) if each(&batch).is_break() => break,
                Ok(TapEvent::Ended) => break,
                Ok(TapEvent::Failed(error)) if error.fatal => return Err(tap_failure(error)),
                Ok(TapEvent::Failed(error)) => super::tell::tap_failed(self.command, &error),
                Ok(TapEvent::Gap { partition, from, to, why }) => {
                    let (name, why) = (self.partitions.name(partition), why.as_deref());
                    event::GapSeen { pipeline: self.command, partition: &name, from, to, why }.emit();
                    outcome = Outcome::Incomplete;
                }
                Ok(TapEvent::Replaced { .. }) => outcome = Outcome::Incomplete,
                Ok(
                    TapEvent::Records(_)
                    | TapEvent::Reached { .. }
                    | TapEvent::Assigned { .. }
                    | TapEvent::Revoked { .. }
                    | TapEvent::RangeEnds { .. },
                ) => {}
                Err(RecvTimeoutError::Timeout) if !self.stop.is_cancelled() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    outcome = Outcome::Incomplete;
                    break;
                }
            }
        }
        control.stop();
        Ok(outcome)
    }
}
