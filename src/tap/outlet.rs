//! The way out of a tap's thread: batches, order, and what happens when nobody takes them.
#![expect(clippy::disallowed_methods, reason = "a tap's own thread waits here for room, until it is told to stop")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use crate::model::{Batch, PartitionId};
use crate::tap::TapEvent;

/// Tells a tap's thread to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Signal(Arc<AtomicBool>);

impl Signal {
    pub(super) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A batch is closed at this size: large enough to make the hand-over cheap, small enough to stay in a core's cache until it
/// is decoded.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// A batch is closed at this count.
const BATCH_RECORDS: usize = 1024;

/// How soon a full channel is tried again. Whoever drains it has whole batches to go.
pub(super) const FULL: Duration = Duration::from_millis(5);

/// What became of an attempt to hand out everything that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing waits.
    Free,
    /// The channel is full.
    Full,
    /// The receiver is gone.
    Gone,
}

/// Collects records into batches and keeps every event in order behind them. At most one batch is open; what waits is
/// bounded by its owner, who reads no further record while [`Flow::Full`], and by one fate a partition ([`Outlet::revoked`]).
#[derive(Debug)]
pub(super) struct Outlet {
    sender: SyncSender<TapEvent>,
    open: Batch,
    waiting: VecDeque<TapEvent>,
}

impl Outlet {
    pub(super) fn new(sender: SyncSender<TapEvent>) -> Outlet {
        Outlet { sender, open: Batch::default(), waiting: VecDeque::new() }
    }

    /// The batch to append a record to; call [`Outlet::appended`] afterwards.
    pub(super) fn open(&mut self) -> &mut Batch {
        &mut self.open
    }

    /// Closes the batch if it is full.
    pub(super) fn appended(&mut self) {
        if self.open.bytes() >= BATCH_BYTES || self.open.len() >= BATCH_RECORDS {
            self.close();
        }
    }

    /// Puts an event behind everything so far.
    pub(super) fn event(&mut self, event: TapEvent) {
        self.close();
        self.waiting.push_back(event);
    }

    /// Drops whatever of the partition still waits, then says that it is revoked.
    pub(super) fn revoked(&mut self, partition: PartitionId) {
        self.drop_waiting(partition);
        self.waiting.push_back(TapEvent::Revoked { partition });
    }

    /// Drops whatever of the partition still waits, then says that it begins again at `next`.
    pub(super) fn assigned_again(&mut self, partition: PartitionId, next: u64) {
        self.drop_waiting(partition);
        self.waiting.push_back(TapEvent::Assigned { partition, next });
    }

    fn drop_waiting(&mut self, partition: PartitionId) {
        self.close();
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|event| without(event, partition)).collect();
    }

    /// Hands out what waits, the open batch included.
    pub(super) fn flush(&mut self) -> Flow {
        self.close();
        while let Some(event) = self.waiting.pop_front() {
            match self.sender.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return Flow::Full;
                }
                Err(TrySendError::Disconnected(_)) => return Flow::Gone,
            }
        }
        Flow::Free
    }

    /// Hands out everything, however long the receiver takes; false if it is gone, or the tap was stopped.
    pub(super) fn hand_out(&mut self, signal: &Signal) -> bool {
        loop {
            let flow = self.flush();
            if flow == Flow::Gone || signal.stopped() {
                return false;
            }
            if flow == Flow::Free {
                return true;
            }
            std::thread::park_timeout(FULL);
        }
    }

    /// Whether closed batches or events wait.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.waiting.push_back(TapEvent::Records(std::mem::take(&mut self.open)));
        }
    }
}

/// The event without what it says of `partition`.
fn without(event: TapEvent, partition: PartitionId) -> Option<TapEvent> {
    match event {
        TapEvent::Records(batch) => {
            let mut rest = Batch::default();
            for record in batch.records().filter(|record| record.partition != partition) {
                let place = (record.partition, record.offset, record.timestamp_ms);
                rest.push(place, record.key, record.value, record.headers());
                rest.stamp(record.stamp);
            }
            (!rest.is_empty()).then_some(TapEvent::Records(rest))
        }
        TapEvent::Reached { partition: of, .. }
        | TapEvent::Assigned { partition: of, .. }
        | TapEvent::Revoked { partition: of }
        | TapEvent::RangeEnds { partition: of, .. }
        | TapEvent::Gap { partition: of, .. }
        | TapEvent::Replaced { partition: of, .. } => (of != partition).then_some(event),
        TapEvent::Ended | TapEvent::Failed(_) => Some(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    const A: PartitionId = PartitionId(0);
    const B: PartitionId = PartitionId(1);

    fn push(outlet: &mut Outlet, partition: PartitionId, offset: u64) {
        outlet.open().push((partition, offset, None), None, Some(b"v"), []);
        outlet.appended();
    }

    fn offsets(event: TapEvent) -> Vec<(PartitionId, u64)> {
        let TapEvent::Records(batch) = event else { panic!("expected records, not {event:?}") };
        batch.records().map(|record| (record.partition, record.offset)).collect()
    }

    #[test]
    fn events_stay_behind_the_records_before_them() {
        let (sender, events) = sync_channel(8);
        let mut outlet = Outlet::new(sender);
        push(&mut outlet, A, 0);
        outlet.event(TapEvent::Reached { partition: A, next: 3 });
        push(&mut outlet, A, 3);
        assert_eq!(outlet.flush(), Flow::Free);
        assert_eq!(offsets(events.recv().unwrap()), [(A, 0)]);
        assert!(matches!(events.recv().unwrap(), TapEvent::Reached { next: 3, .. }));
        assert_eq!(offsets(events.recv().unwrap()), [(A, 3)]);
    }

    #[test]
    fn a_full_channel_keeps_order_and_a_revocation_drops_only_its_partition() {
        let (sender, events) = sync_channel(1);
        let mut outlet = Outlet::new(sender);
        push(&mut outlet, A, 0);
        assert_eq!(outlet.flush(), Flow::Free);
        push(&mut outlet, A, 1);
        push(&mut outlet, B, 7);
        outlet.event(TapEvent::Gap { partition: A, from: 2, to: 5, why: None });
        assert_eq!(outlet.flush(), Flow::Full);
        outlet.revoked(A);
        assert_eq!(offsets(events.recv().unwrap()), [(A, 0)]);
        assert_eq!(outlet.flush(), Flow::Full);
        assert_eq!(offsets(events.recv().unwrap()), [(B, 7)]);
        assert_eq!(outlet.flush(), Flow::Free);
        assert!(matches!(events.recv().unwrap(), TapEvent::Revoked { partition: A }));
        drop(events);
        push(&mut outlet, B, 8);
        assert_eq!(outlet.flush(), Flow::Gone);
    }

    #[test]
    fn batches_are_bounded() {
        let (sender, events) = sync_channel(8);
        let mut outlet = Outlet::new(sender);
        for offset in 0..BATCH_RECORDS as u64 + 1 {
            push(&mut outlet, A, offset);
        }
        assert_eq!(outlet.flush(), Flow::Free);
        assert_eq!(offsets(events.recv().unwrap()).len(), BATCH_RECORDS);
        assert_eq!(offsets(events.recv().unwrap()), [(A, BATCH_RECORDS as u64)]);
    }
}
