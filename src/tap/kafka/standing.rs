//! How a group and a log stand at one moment: asked once, by whoever looks at a setup.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;

use super::assign::{self, Bounds, Offsets};
use super::client::{ASK, Brokers};
use super::evidence::as_group;
use crate::model::position::PartitionName;
use crate::tap::TapError;

/// Waits for a record that are given up after this long: a broker holds an empty fetch for half a second.
const WAIT: Duration = Duration::from_millis(200);

/// Such waits in one question.
const WAITS: usize = 50;

/// A group of the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStanding {
    /// `Stable`, `Empty`, …, as the brokers name it; `None` where they show no group of this name. Groups of the newer
    /// protocol are not shown either.
    pub state: Option<String>,
    /// Members at present.
    pub members: usize,
    /// The next offset that it will read, for those of the partitions asked for in which it committed one.
    pub committed: BTreeMap<PartitionName, u64>,
}

/// How a group stands in these partitions. Blocking.
///
/// # Errors
/// When the brokers do not answer.
pub fn group(brokers: &Brokers, group: &str, partitions: &[PartitionName]) -> Result<GroupStanding, TapError> {
    let client = as_group(brokers, group)?;
    let ask = |error: KafkaError| brokers.silent(&format!("how the group `{group}` stands"), error);
    let groups = client.fetch_group_list(Some(group), ASK).map_err(ask)?;
    let shown = groups.groups().iter().find(|one| one.name() == group && !matches!(one.state(), "Dead" | ""));
    let committed = assign::committed(&client, partitions).map_err(ask)?;
    Ok(GroupStanding {
        state: shown.map(|one| one.state().to_owned()),
        members: shown.map_or(0, |one| one.members().len()),
        committed,
    })
}

/// The names of all groups, in order. Blocking.
///
/// # Errors
/// When the brokers do not answer, or do not let us list groups.
pub fn group_names(brokers: &Brokers) -> Result<Vec<String>, TapError> {
    let groups = brokers.asker()?.fetch_group_list(None, ASK);
    let groups = groups.map_err(|error| brokers.silent("which groups there are", error))?;
    let mut names: Vec<String> = groups.groups().iter().map(|group| group.name().to_owned()).collect();
    names.sort();
    Ok(names)
}

/// The first and the next offset of each partition. Blocking.
///
/// # Errors
/// When the brokers do not answer.
pub fn ranges(
    brokers: &Brokers,
    partitions: &[PartitionName],
) -> Result<BTreeMap<PartitionName, (u64, u64)>, TapError> {
    let bounds = assign::bounds(&brokers.asker()?, partitions);
    let bounds = bounds.map_err(|error| brokers.silent("where the partitions begin and end", error))?;
    Ok(bounds.into_iter().map(|(name, Bounds { low, high })| (name, (low, high))).collect())
}

/// When the first record at or behind each offset was appended, in milliseconds since the epoch; partitions that show none
/// in ten seconds are left out. Blocking.
///
/// # Errors
/// When the brokers do not answer.
pub fn appended_at(brokers: &Brokers, from: &Offsets) -> Result<BTreeMap<PartitionName, i64>, TapError> {
    let mut found = BTreeMap::new();
    if from.is_empty() {
        return Ok(found);
    }
    let ask = |error: KafkaError| brokers.silent("when records were appended", error);
    // An assigned client needs a group's name, and uses it for nothing.
    let reader: BaseConsumer =
        brokers.settings().set("group.id", "afterimage-asks").create().map_err(|error| brokers.unusable(error))?;
    let list = assign::list_at(from.iter().map(|(name, offset)| (name, *offset))).map_err(ask)?;
    reader.assign(&list).map_err(ask)?;
    let mut waits = 0;
    while found.len() < from.len() && waits < WAITS {
        match reader.poll(WAIT) {
            Some(Ok(message)) => {
                let name = PartitionName { topic: message.topic().into(), partition: message.partition() };
                if let Some(at) = message.timestamp().to_millis().filter(|_| from.contains_key(&name)) {
                    found.entry(name).or_insert(at);
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "asking when records were appended");
                waits += 1;
            }
            None => waits += 1,
        }
    }
    Ok(found)
}
