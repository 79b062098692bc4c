//! Where a change stands on the tap.

use std::fmt;
use std::sync::Arc;

/// A partition (Kafka) or shard (Kinesis) of this pipeline's tap: a dense index given out by the tap in the order in
/// which it met them. Stable for the life of the process only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

/// The name of a partition as users know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    /// Topic or stream (or the path of a file).
    pub topic: Arc<str>,
    /// Number of the partition.
    pub partition: i32,
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// One change's place on the tap. Comparable only inside one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition.
    pub partition: PartitionId,
    /// Offset of the record in the partition.
    pub offset: u64,
}
