//! `decode`: what is understood of each record of a range.

use std::ops::ControlFlow;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::config::Tap;
use crate::decode::{Decoder, Understood};
use crate::model::{Batch, Record};
use crate::tap::{self, Partitions, TapEvent};

use super::clock::Clock;
use super::entry::{DecodeArgs, DecodeEnd, DecodedRecord, Failure, Outcome};
use super::pipeline::tap_failure;
use super::settings::{self, Read};

/// How often a stop is looked for while no record comes.
const LOOK_UP: Duration = Duration::from_millis(100);

type Each<'a> = &'a mut (dyn FnMut(DecodedRecord<'_>) -> ControlFlow<()> + Send);

/// Reads the range on the calling thread; see [`super::entry::decode`].
pub(super) fn decode(args: &DecodeArgs, each: Each<'_>) -> Result<DecodeEnd, Failure> {
    let clock = Clock::start();
    let read = Read::Range { from: args.range.from.clone(), to: args.range.to.clone() };
    let options = settings::tap(&args.tap, read, clock.wall(clock.now())).map_err(Failure::new)?;
    let partitions = Partitions::default();
    let (events, control) = tap::start(options, partitions.clone()).map_err(tap_failure)?;
    let mut reading = Reading {
        decoder: crate::decode::decoder(&settings::decoder(&args.decode, &[])),
        partitions,
        tap: match args.tap {
            Tap::Kafka(_) => "kafka",
            Tap::File(_) => "file",
        },
        left: args.records.unwrap_or(u64::MAX),
        began: None,
        lasted: Duration::ZERO,
    };
    let mut outcome = Outcome::Incomplete;
    loop {
        match events.recv_timeout(LOOK_UP) {
            Ok(TapEvent::Records(batch)) => {
                if reading.batch(&batch, &clock, each).is_break() {
                    outcome = Outcome::Clean;
                    break;
                }
            }
            Ok(TapEvent::Ended) => {
                outcome = Outcome::Clean;
                break;
            }
            Ok(TapEvent::Failed(error)) if error.fatal => return Err(tap_failure(error)),
            Ok(TapEvent::Failed(error)) => super::tell::tap_failed("decode", &error),
            Ok(TapEvent::Gap { .. }) => outcome = Outcome::Incomplete,
            Ok(TapEvent::Reached { .. } | TapEvent::Assigned { .. } | TapEvent::Revoked { .. }) => {}
            Err(RecvTimeoutError::Timeout) if args.stop.is_cancelled() => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    control.stop();
    Ok(DecodeEnd { elapsed: reading.lasted, outcome })
}

struct Reading {
    decoder: Box<dyn Decoder>,
    partitions: Partitions,
    tap: &'static str,
    left: u64,
    began: Option<Duration>,
    lasted: Duration,
}

impl Reading {
    fn batch(&mut self, batch: &Batch, clock: &Clock, each: Each<'_>) -> ControlFlow<()> {
        let began = *self.began.get_or_insert_with(|| clock.elapsed());
        for record in batch.records() {
            if self.left == 0 {
                return ControlFlow::Break(());
            }
            self.left -= 1;
            self.record(record, each)?;
        }
        self.lasted = clock.elapsed().saturating_sub(began);
        if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn record(&mut self, record: Record<'_>, each: Each<'_>) -> ControlFlow<()> {
        let name = self.partitions.name(record.partition);
        let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
        let understood: Understood = self.decoder.decode(&name.topic, record);
        each(DecodedRecord {
            tap: self.tap,
            partition: &name,
            offset,
            timestamp_ms,
            format: self.decoder.format(),
            understood: &understood,
        })
    }
}
