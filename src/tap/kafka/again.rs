//! Records that were consumed before, read once more: one seek for those that lie near each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::assign::{self, Bounds};
use super::client::{self, Brokers};
use super::roster::append;
use crate::model::position::PartitionName;
use crate::model::{Batch, PartitionId, Position};
use crate::tap::outlet::{BATCH_BYTES, Signal};
use crate::tap::{Partitions, TapError};

/// Offsets that are read through rather than sought: about what one fetch brings anyway.
const NEAR: u64 = 1_000;

/// How long one poll waits.
const WAIT: Duration = Duration::from_millis(100);

/// Without a record for so long, the brokers do not answer.
const SILENCE: Duration = Duration::from_secs(10);

/// How long one call may take. What is not read by then was not read.
const WHOLE: Duration = Duration::from_secs(30);

/// Reads through a client that it keeps, and that belongs to no group.
pub(super) struct Again {
    brokers: Brokers,
    partitions: Partitions,
    reader: Mutex<Option<BaseConsumer>>,
}

/// What is wanted of one partition, in order.
struct Wanted {
    id: PartitionId,
    offsets: VecDeque<u64>,
}

/// What is wanted of each partition; none without any offset.
type Left = BTreeMap<PartitionName, Wanted>;

impl Again {
    pub(super) fn new(brokers: Brokers, partitions: Partitions) -> Again {
        Again { brokers, partitions, reader: Mutex::new(None) }
    }

    pub(super) fn read(
        &self,
        wanted: &[Position],
        signal: &Signal,
        each: &mut dyn FnMut(Batch),
    ) -> Result<(), TapError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if reader.is_none() {
            *reader = Some(self.client()?);
        }
        let Some(reader) = reader.as_ref() else { return Ok(()) };
        client::drain(reader);
        let silent = |error| self.brokers.silent("what their logs hold again", error);
        let mut left = self.of_this_log(wanted);
        let bounds = assign::bounds(reader, &left.keys().cloned().collect::<Vec<_>>()).map_err(silent)?;
        left.retain(|name, wanted| {
            let Bounds { low, high } = bounds.get(name).copied().unwrap_or(Bounds { low: 0, high: 0 });
            wanted.offsets.retain(|offset| (low..high).contains(offset));
            !wanted.offsets.is_empty()
        });
        let until = Instant::now() + WHOLE;
        while !left.is_empty() && !signal.stopped() {
            let mut round = Round::of(&left, until);
            let read = round.read(reader, &mut left, signal, each);
            if !round.batch.is_empty() {
                each(round.batch);
            }
            // What is not read any more is not fetched either.
            let _ = reader.unassign();
            read.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn client(&self) -> Result<BaseConsumer, TapError> {
        let mut settings = self.brokers.reader("again");
        // Single records are wanted, soon.
        settings.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "50").set("queued.min.messages", "1000");
        settings.create().map_err(|error| self.brokers.unusable(error))
    }

    /// Partitions whose log was made anew since hold other records at these offsets.
    fn of_this_log(&self, wanted: &[Position]) -> Left {
        let mut left = Left::new();
        for at in wanted.iter().collect::<BTreeSet<_>>() {
            let name = self.partitions.name(at.partition);
            if self.partitions.id(&name) == Some(at.partition) {
                let fresh = || Wanted { id: at.partition, offsets: VecDeque::new() };
                left.entry(name).or_insert_with(fresh).offsets.push_back(at.offset);
            }
        }
        left
    }

    fn failed(&self, error: Option<KafkaError>) -> TapError {
        let hint =
            "findings do without the columns that these records would tell; they are asked for again by the next";
        self.brokers.trouble("records could not be read again in time", hint, error)
    }
}

/// Partitions that are read at once, each from one place on. No two have the same number: the client says where a partition
/// ends by its number alone.
struct Round {
    reading: BTreeMap<i32, PartitionName>,
    until: Instant,
    heard: Instant,
    batch: Batch,
}

impl Round {
    fn of(left: &Left, until: Instant) -> Round {
        let mut reading = BTreeMap::new();
        for name in left.keys() {
            reading.entry(name.partition).or_insert_with(|| name.clone());
        }
        Round { reading, until, heard: Instant::now(), batch: Batch::default() }
    }

    fn read(
        &mut self,
        reader: &BaseConsumer,
        left: &mut Left,
        signal: &Signal,
        each: &mut dyn FnMut(Batch),
    ) -> Result<(), Option<KafkaError>> {
        let from = self.reading.values().filter_map(|name| Some((name, *left.get(name)?.offsets.front()?)));
        reader.assign(&assign::list_at(from)?)?;
        while !self.reading.is_empty() && !signal.stopped() {
            match reader.poll(WAIT) {
                Some(Ok(message)) => self.message(&message, left),
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    self.heard = Instant::now();
                    if let Some(name) = self.reading.remove(&number) {
                        left.remove(&name);
                    }
                }
                Some(Err(error)) if Instant::now() >= self.until => return Err(Some(error)),
                Some(Err(_)) | None => {}
            }
            if self.batch.bytes() >= BATCH_BYTES {
                each(std::mem::take(&mut self.batch));
            }
            let now = Instant::now();
            if !self.reading.is_empty() && (now >= self.until || now >= self.heard + SILENCE) {
                return Err(None);
            }
        }
        Ok(())
    }

    /// Takes a record that is wanted. Those before it that did not come are gone.
    fn message(&mut self, message: &BorrowedMessage<'_>, left: &mut Left) {
        let (number, Ok(offset)) = (message.partition(), u64::try_from(message.offset())) else { return };
        let Some(name) = self.reading.get(&number).filter(|name| *name.topic == *message.topic()).cloned() else {
            return;
        };
        self.heard = Instant::now();
        let Some(wanted) = left.get_mut(&name) else { return };
        while wanted.offsets.front().is_some_and(|front| *front < offset) {
            wanted.offsets.pop_front();
        }
        if wanted.offsets.front() == Some(&offset) {
            wanted.offsets.pop_front();
            append(message, (wanted.id, offset), &mut self.batch);
        }
        let goes_on = wanted.offsets.front().is_some_and(|next| next - offset <= NEAR);
        if wanted.offsets.is_empty() {
            left.remove(&name);
        }
        if !goes_on {
            self.reading.remove(&number);
        }
    }
}
