//! The partitions being read, and how far.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, Timestamp};

use super::assign;
use crate::model::position::PartitionName;
use crate::model::{Batch, PartitionId, Stamp};
use crate::tap::TapEvent;
use crate::tap::outlet::Outlet;

/// One partition.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: PartitionName,
    pub(super) id: PartitionId,
    /// Next offset to be delivered.
    pub(super) next: u64,
    /// Where reading ends; what lies behind is not delivered.
    pub(super) to: u64,
}

impl Row {
    pub(super) fn done(&self) -> bool {
        self.next >= self.to
    }
}

/// What is read. Partitions come in long runs, so the last one found is tried first.
#[derive(Debug, Default)]
pub(super) struct Roster {
    rows: Vec<Row>,
    last: usize,
}

impl Roster {
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn names(&self) -> Vec<PartitionName> {
        self.rows.iter().map(|row| row.name.clone()).collect()
    }

    pub(super) fn put(&mut self, row: Row) {
        self.remove(&row.name);
        self.rows.push(row);
    }

    pub(super) fn remove(&mut self, name: &PartitionName) -> Option<Row> {
        let index = self.rows.iter().position(|row| row.name == *name)?;
        self.last = 0;
        Some(self.rows.remove(index))
    }

    pub(super) fn find(&mut self, topic: &str, partition: i32) -> Option<&mut Row> {
        let is = |row: &Row| row.name.partition == partition && *row.name.topic == *topic;
        if !self.rows.get(self.last).is_some_and(is) {
            self.last = self.rows.iter().position(is)?;
        }
        self.rows.get_mut(self.last)
    }

    /// Appends a record to the open batch, unless its partition is not ours (any more), it came before, or it lies behind the end.
    pub(super) fn deliver(&mut self, message: &BorrowedMessage<'_>, outlet: &mut Outlet) {
        let Ok(offset) = u64::try_from(message.offset()) else { return };
        let Some(row) = self.find(message.topic(), message.partition()) else { return };
        if offset < row.next || row.done() {
            return;
        }
        if offset >= row.to {
            row.next = row.to;
            let (partition, next) = (row.id, row.to);
            return outlet.event(TapEvent::Reached { partition, next });
        }
        row.next = offset + 1;
        append(message, (row.id, offset), outlet.open());
        outlet.appended();
    }

    /// Tells how far consumption came where no record says so: markers of transactions, aborted records, compaction. The
    /// client's position is where the last thing that it polled ends, so it must be asked between two polls.
    pub(super) fn reached<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        outlet: &mut Outlet,
    ) -> KafkaResult<bool> {
        let mut moved = false;
        for (name, position) in assign::read(&consumer.position()?)? {
            let Some(row) = self.find(&name.topic, name.partition) else { continue };
            let next = position.unwrap_or(0).min(row.to);
            if next > row.next {
                row.next = next;
                moved = true;
                outlet.event(TapEvent::Reached { partition: row.id, next });
            }
        }
        Ok(moved)
    }
}

/// The same trouble is told again only after this long, or after things went well in between.
const AGAIN: Duration = Duration::from_secs(60);

/// Which troubles were told, so that an outage is one event and not a flood.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<i32, Instant>);

impl Troubles {
    /// Whether this one is to be told. Interrupted connections are not: the client mends them, and says so when it cannot.
    pub(super) fn tell(&mut self, error: &KafkaError, now: Instant) -> bool {
        let Some(code) = error.rdkafka_error_code() else { return true };
        if matches!(code, RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut) {
            return false;
        }
        self.tell_code(code as i32, now)
    }

    pub(super) fn tell_code(&mut self, code: i32, now: Instant) -> bool {
        let told = self.0.get(&code).is_some_and(|at| now.duration_since(*at) < AGAIN);
        if !told {
            self.0.insert(code, now);
        }
        !told
    }

    pub(super) fn over(&mut self) {
        self.0.clear();
    }
}

/// Appends a record to a batch.
pub(super) fn append(message: &BorrowedMessage<'_>, (partition, offset): (PartitionId, u64), batch: &mut Batch) {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let headers = headers.map(|header| (header.key.as_bytes(), header.value));
    let place = (partition, offset, message.timestamp().to_millis());
    batch.push(place, message.key(), message.payload(), headers);
    if matches!(message.timestamp(), Timestamp::LogAppendTime(_)) {
        batch.stamp(Stamp::Appended);
    }
}
