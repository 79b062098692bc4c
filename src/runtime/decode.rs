//! `decode`: what is understood of each record of a range.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::model::{Batch, Record};
use crate::tap::Partitions;

use super::clock::Clock;
use super::entry::{DecodeArgs, DecodeEnd, DecodedRecord, Failure, Outcome};
use super::range::Reading;
use super::schemas::{ENDS_WITHIN, Patience, Reader, Schemas, Waiter};

type Each<'a> = &'a mut (dyn FnMut(DecodedRecord<'_>) -> ControlFlow<()> + Send);

/// Reads the range on the calling thread; see [`super::entry::decode`].
pub(super) fn decode(args: &DecodeArgs, each: Each<'_>) -> Result<DecodeEnd, Failure> {
    let clock = Clock::start();
    let partitions = Partitions::default();
    let schemas = Schemas::of(&args.decode, Waiter::ending("decode", clock, Patience::For(ENDS_WITHIN)))?;
    let reading =
        Reading { command: "decode", tap: &args.tap, range: &args.range, partitions: &partitions, stop: &args.stop };
    let mut records = Records {
        reader: Reader::new(&args.decode, &args.tables, &schemas),
        partitions: partitions.clone(),
        tap: args.tap.word(),
        left: args.records.unwrap_or(u64::MAX),
        began: None,
        lasted: Duration::ZERO,
    };
    let outcome = reading.batches(&clock, |batch| records.batch(batch, &clock, each))?;
    let outcome = if schemas.gave_up() { Outcome::Incomplete } else { outcome };
    Ok(DecodeEnd { elapsed: records.lasted, outcome })
}

struct Records {
    reader: Reader,
    partitions: Partitions,
    tap: &'static str,
    left: u64,
    began: Option<Duration>,
    lasted: Duration,
}

impl Records {
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
        let Ok(understood) = self.reader.read(&name.topic, record) else { return ControlFlow::Break(()) };
        each(DecodedRecord {
            tap: self.tap,
            partition: &name,
            offset,
            timestamp_ms,
            format: self.reader.format(),
            understood: &understood,
        })
    }
}
