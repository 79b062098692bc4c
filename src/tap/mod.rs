//! 1 ▸ Bytes and positions in.
//!
//! A [`Tap`] runs on a thread of its own and sends [`TapEvent`]s over a bounded channel; a full channel stops polling,
//! and the log keeps what was not polled.
//!
//! The contract every tap keeps:
//! - Inside a partition, offsets only rise, except after [`TapEvent::Assigned`], which restarts the partition at its
//!   `next`; records may then come again.
//! - Everything below a partition's `next` was delivered, or was passed over for ever by the log itself (transaction
//!   markers, aborted records, compaction): [`TapEvent::Reached`] says so where no record does.
//! - A partition's events stop after [`TapEvent::Revoked`] until it is assigned again.
//! - [`Control::commit`] is only ever called with the low watermark of judged changes; a tap stores nothing else.
//! - Records that were taken from the log before they could be read are a [`TapEvent::Gap`], and a log that is another one
//!   is a [`TapEvent::Replaced`], never silence.

pub mod archive;
pub mod file;
pub mod kafka;
mod outlet;
pub mod position;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, RwLock};

use crate::model::position::PartitionName;
use crate::model::{Batch, PartitionId, Position};

/// Names of partitions, shared between a tap (which appends) and everyone who shows positions (who read).
#[derive(Debug, Clone, Default)]
pub struct Partitions(Arc<RwLock<Vec<PartitionName>>>, Arc<RwLock<BTreeSet<Arc<str>>>>);

impl Partitions {
    /// The id of a partition, given out at first sight. At most 65,535 partitions; past that the last id is shared and
    /// nothing of them is judged, which `None` says.
    #[must_use]
    pub fn id(&self, name: &PartitionName) -> Option<PartitionId> {
        let mut names = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let index = names.iter().rposition(|known| known == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        });
        u16::try_from(index).ok().map(PartitionId)
    }

    /// A new id for a partition whose log is another one from now on: nothing known by its old id holds of it. `None` as for
    /// [`Partitions::id`].
    #[must_use]
    pub fn renewed(&self, name: &PartitionName) -> Option<PartitionId> {
        let mut names = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        names.push(name.clone());
        u16::try_from(names.len() - 1).ok().map(PartitionId)
    }

    /// Tells of partitions that exist, whoever reads them.
    pub fn exist<'a>(&self, names: impl IntoIterator<Item = &'a PartitionName>) {
        let spread = names.into_iter().filter(|name| name.partition > 0).map(|name| Arc::clone(&name.topic));
        self.1.write().unwrap_or_else(std::sync::PoisonError::into_inner).extend(spread);
    }

    /// Whether the records of a topic come in several partitions, as far as that is known.
    #[must_use]
    pub fn is_spread(&self, topic: &str) -> bool {
        let names = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut own = names.iter().filter(|name| *name.topic == *topic).map(|name| name.partition);
        let first = own.next();
        own.any(|other| Some(other) != first)
            || self.1.read().unwrap_or_else(std::sync::PoisonError::into_inner).contains(topic)
    }

    /// The name of an id.
    #[must_use]
    pub fn name(&self, id: PartitionId) -> PartitionName {
        let names = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        names.get(usize::from(id.0)).cloned().unwrap_or(PartitionName { topic: "?".into(), partition: -1 })
    }

    /// Every partition met so far, by its newest id.
    #[must_use]
    pub fn all(&self) -> Vec<(PartitionId, PartitionName)> {
        let names = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let newest: BTreeMap<&PartitionName, PartitionId> = names.iter().zip((0u16..).map(PartitionId)).collect();
        let mut all: Vec<_> = newest.into_iter().map(|(name, id)| (id, name.clone())).collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }
}

/// Events that a tap sends ahead of its reader. With batches of at most 1 MiB (one record may be larger), 8 MiB.
const DEPTH: usize = 8;

/// A tap as it is configured, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TapOptions {
    /// Topics of Kafka.
    Kafka(kafka::KafkaOptions),
    /// A file, or standard input.
    File(file::FileOptions),
    /// What was recorded before.
    Archive(archive::ArchiveOptions),
}

/// Starts a tap on a thread of its own. The channel closes after the tap's last event; dropping the receiver stops the tap.
///
/// # Errors
/// When the options cannot be right, or a file cannot be opened.
pub fn start(options: TapOptions, partitions: Partitions) -> Result<(Receiver<TapEvent>, Arc<dyn Control>), TapError> {
    match options {
        TapOptions::Kafka(options) => kafka::start(options, partitions),
        TapOptions::File(options) => file::start(options, partitions),
        TapOptions::Archive(options) => archive::start(options, partitions),
    }
}

/// What becomes of the log behind a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// It is not read.
    Left,
    /// It is read too, up to the end at the start: [`TapEvent::RangeEnds`] tells where the range was over.
    Read,
}

/// What a tap tells.
#[derive(Debug)]
pub enum TapEvent {
    /// Records, in order within each partition.
    Records(Batch),
    /// Consumption of `partition` has reached `next` (the next offset to be delivered), though the records between may
    /// not exist: end of partition, transaction markers, compaction.
    Reached {
        /// Partition.
        partition: PartitionId,
        /// Next offset to be delivered.
        next: u64,
    },
    /// The partition is ours from `next` on. Anything known about it is stale.
    Assigned {
        /// Partition.
        partition: PartitionId,
        /// First offset that will be delivered.
        next: u64,
    },
    /// The partition is no longer ours; nothing of it may be judged or committed any more.
    Revoked {
        /// Partition.
        partition: PartitionId,
    },
    /// The records `from..to` are gone from the log and were never read.
    Gap {
        /// Partition.
        partition: PartitionId,
        /// First missing offset.
        from: u64,
        /// First offset that exists again.
        to: u64,
        /// What is known of how they went, and what to do; `None` where the log's own retention took them.
        why: Option<String>,
    },
    /// The log ends before what was to be read next: it was made anew or cut off. What follows is of another log, under
    /// another id, which an [`TapEvent::Assigned`] gives out next.
    Replaced {
        /// Partition, by its new id.
        partition: PartitionId,
        /// Offset that was to be read next.
        expected: u64,
        /// Next offset the log gives out.
        end: u64,
    },
    /// The asked range ends before `at`; said before the record there is delivered. Only for bounded reads that go on behind
    /// their range ([`Behind::Read`]).
    RangeEnds {
        /// Partition.
        partition: PartitionId,
        /// First offset that is no longer of the range.
        at: u64,
    },
    /// Every partition reached the end of the asked range. Only for bounded reads.
    Ended,
    /// The tap cannot go on by itself. `fatal` ones end the thread.
    Failed(TapError),
}

/// A partition whose readable end an open transaction holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldUp {
    /// Partition.
    pub partition: PartitionId,
    /// The last stable offset: nothing behind it reaches a reader of committed records.
    pub stable: u64,
    /// Where its log ends.
    pub end: u64,
}

/// What may be asked of a running tap. Cheap to clone; every call is answered by the tap's thread or by a client of its own.
pub trait Control: Send + Sync {
    /// Records that everything below `next` was judged. Durable at the tap's next commit interval.
    ///
    /// # Errors
    /// When the tap is gone.
    fn commit(&self, partition: PartitionId, next: u64) -> Result<(), TapError>;

    /// The end of each partition now: the next offset the log will give out, asked of the log itself (high watermark, or
    /// last stable offset where the tap reads committed). Blocking.
    ///
    /// # Errors
    /// When the log does not answer; nothing is learned then.
    fn ends(&self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, TapError>;

    /// Those of the partitions of which an open transaction holds back what was appended behind it. Blocking.
    ///
    /// # Errors
    /// When the log does not answer; nothing is learned then.
    fn held_up(&self, _partitions: &[PartitionId]) -> Result<Vec<HeldUp>, TapError> {
        Ok(Vec::new())
    }

    /// Delivers the partition again from `to` on, after an [`TapEvent::Assigned`] of it. Only for taps that follow.
    ///
    /// # Errors
    /// When the tap is gone or cannot go back.
    fn rewind(&self, partition: PartitionId, to: u64) -> Result<(), TapError> {
        Err(TapError {
            what: format!("going back to offset {to} is not possible"),
            on: format!("partition {}", partition.0),
            hint: "restart from that position to judge again what the applier applies again".to_owned(),
            fatal: false,
            source: None,
        })
    }

    /// Delivers again those of the records that the log still holds and that the tap delivered before. It seeks for them
    /// beside what the tap reads, and changes nothing of that. What is not delivered is gone for good. Blocking, for seconds, or
    /// for as long as a scan of a file takes; cut short by [`Control::stop`].
    ///
    /// # Errors
    /// When the log does not answer: what was not delivered may still be there.
    fn read_again(&self, _wanted: &[Position], _each: &mut dyn FnMut(Batch)) -> Result<(), TapError> {
        Ok(())
    }

    /// Stops the thread; the channel closes after its last event. Stored commits are made durable first.
    fn stop(&self);
}

/// A tap that cannot deliver.
#[derive(Debug, thiserror::Error)]
#[error("{what} on `{on}`: {hint}")]
pub struct TapError {
    /// What failed.
    pub what: String,
    /// On what: brokers, topic, file.
    pub on: String,
    /// What would be right, or what to do now.
    pub hint: String,
    /// Whether the tap ended with it.
    pub fatal: bool,
    /// The client's own error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
