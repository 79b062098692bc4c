//! What the applier committed, read beside it.
//!
//! Committed offsets can be asked for by any client with the applier's `group.id`. This one never subscribes, commits or
//! stores an offset, so it is no member of the group, and the group does not change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::groups::{GroupInfo, GroupMemberInfo};
use xxhash_rust::xxh3::Xxh3;

use super::client::{self, ASK, Brokers};
use super::topics::Topics;
use super::{assign, control};
use crate::model::PartitionId;
use crate::model::position::PartitionName;
use crate::tap::{Partitions, TapError};

/// Groups whose commits [`groups_on`] looks at; each costs a client of its own for a moment.
const GROUPS: usize = 200;

/// The applier's group, watched.
pub struct Applied {
    brokers: Brokers,
    group: String,
    partitions: Partitions,
    client: Mutex<BaseConsumer>,
    ends: control::Ends,
}

impl Applied {
    /// Watches `group`. Blocks only in its questions.
    ///
    /// # Errors
    /// When a client cannot be made of these options.
    pub fn new(brokers: Brokers, group: &str, partitions: Partitions) -> Result<Applied, TapError> {
        brokers.check()?;
        let client = as_group(&brokers, group)?;
        let ends = control::Ends::new(brokers.clone(), partitions.clone());
        Ok(Applied { brokers, group: group.to_owned(), partitions, client: Mutex::new(client), ends })
    }

    /// The next offset that the applier will apply, for those of the partitions in which it committed one. Blocking.
    ///
    /// # Errors
    /// When the group's coordinator does not answer; nothing is learned then.
    pub fn committed(&self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, TapError> {
        let names: Vec<_> = partitions.iter().map(|id| self.partitions.name(*id)).collect();
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client::drain(&client);
        let offsets = assign::committed(&client, &names).map_err(|error| {
            let mut failed = self.brokers.silent("what the applier's group committed", error);
            failed.on = format!("{} (group {})", failed.on, self.group);
            failed
        })?;
        Ok(offsets.iter().filter_map(|(name, next)| Some((self.partitions.id(name)?, *next))).collect())
    }

    /// A number that changes whenever the group's state, members or assignments do; `None` where the brokers do not let us
    /// see them. Blocking.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client::drain(&client);
        let groups = client.fetch_group_list(Some(&self.group), ASK);
        let groups =
            groups.inspect_err(|error| tracing::debug!(%error, group = self.group, "the group is not described"));
        // Groups of the newer protocol look dead to this question, and so does a group that does not exist.
        let seen = |group: &&GroupInfo| group.name() == self.group && !matches!(group.state(), "Dead" | "");
        groups.ok()?.groups().iter().find(seen).map(fingerprint)
    }

    /// The ends of the partitions, asked of the brokers after the call. Blocking.
    ///
    /// # Errors
    /// When the brokers do not answer; nothing is learned then.
    pub fn ends(&self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, TapError> {
        self.ends.of(partitions)
    }
}

pub(super) fn as_group(brokers: &Brokers, group: &str) -> Result<BaseConsumer, TapError> {
    brokers.settings().set("group.id", group).create().map_err(|error| brokers.unusable(error))
}

fn fingerprint(group: &GroupInfo) -> u64 {
    let mut members: Vec<_> = group.members().iter().map(|member| (member.id(), member.assignment())).collect();
    members.sort_unstable();
    let mut hash = Xxh3::new();
    let mut put = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    put(group.state().as_bytes());
    for (id, assignment) in members {
        put(id.as_bytes());
        put(assignment.unwrap_or_default());
    }
    hash.digest()
}

/// A partition whose committed end an open transaction holds back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The partition.
    pub name: PartitionName,
    /// The last stable offset: nothing behind it reaches a reader of committed records.
    pub stable: u64,
    /// Where its log ends.
    pub end: u64,
}

/// Those of the partitions that an open transaction holds back; none if uncommitted records are read anyway. Blocking.
///
/// # Errors
/// When the brokers do not answer.
pub fn held_up(brokers: &Brokers, partitions: &[PartitionName]) -> Result<Vec<Held>, TapError> {
    let Some(unbound) = brokers.unbound()? else { return Ok(Vec::new()) };
    held_between(brokers, (&unbound, &brokers.asker()?), partitions)
}

/// The same by two clients, of which the first sees beyond open transactions.
pub(super) fn held_between(
    brokers: &Brokers,
    (unbound, bound): (&BaseConsumer, &BaseConsumer),
    partitions: &[PartitionName],
) -> Result<Vec<Held>, TapError> {
    let ask = |error: KafkaError| brokers.silent("where the partitions end", error);
    // In this order: what is appended between the two questions would otherwise look held back.
    let ends = assign::ends(unbound, partitions).map_err(ask)?;
    let stable = assign::ends(bound, partitions).map_err(ask)?;
    let held = |(name, end): (PartitionName, u64)| {
        let stable = *stable.get(&name)?;
        (stable < end).then_some(Held { name, stable, end })
    };
    Ok(ends.into_iter().filter_map(held).collect())
}

/// The partitions of these topics (named or matched) that exist now, in order, and the named topics that do not. Blocking.
///
/// # Errors
/// When the topics cannot be right, or the brokers do not answer.
pub fn partitions_of(brokers: &Brokers, topics: &[String]) -> Result<(Vec<PartitionName>, Vec<String>), TapError> {
    brokers.check()?;
    let topics = Topics::parse(brokers, topics)?;
    let asker = brokers.asker()?;
    topics.existing(&asker, ASK).map_err(|error| brokers.silent_to(&asker, "which topics exist", error))
}

/// A group that reads some of the same topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOnTopics {
    /// Its name.
    pub group: String,
    /// Members at present.
    pub members: usize,
    /// `Stable`, `Empty`, …, as the brokers name it.
    pub state: String,
    /// Whether it committed offsets in these topics.
    pub has_offsets: bool,
}

/// The groups that read any of these topics (named or matched), by name: candidates for the applier. Looks at the commits of
/// at most 200 groups; members' assignments are always looked at. Blocking.
///
/// # Errors
/// When the brokers do not answer, or do not let us list groups.
pub fn groups_on(brokers: &Brokers, topics: &[String]) -> Result<Vec<GroupOnTopics>, TapError> {
    let client = brokers.asker()?;
    let ask = |error: KafkaError| brokers.silent_to(&client, "which groups read these topics", error);
    let (names, _) = Topics::parse(brokers, topics)?.existing(&client, ASK).map_err(ask)?;
    let groups = client.fetch_group_list(None, ASK).map_err(ask)?;
    let wanted: BTreeSet<&str> = names.iter().map(|name| &*name.topic).collect();
    let mut found = BTreeMap::new();
    for (index, group) in groups.groups().iter().enumerate() {
        if !matches!(group.protocol_type(), "consumer" | "") {
            continue;
        }
        let has_offsets = index < GROUPS && has_offsets(brokers, group.name(), &names);
        let reads = group.members().iter().flat_map(assigned_topics).any(|topic| wanted.contains(topic.as_str()));
        if has_offsets || reads {
            let (group, members, state) = (group.name().to_owned(), group.members().len(), group.state().to_owned());
            found.insert(group.clone(), GroupOnTopics { group, members, state, has_offsets });
        }
    }
    Ok(found.into_values().collect())
}

fn has_offsets(brokers: &Brokers, group: &str, names: &[PartitionName]) -> bool {
    let Ok(client) = as_group(brokers, group) else { return false };
    let committed = assign::committed(&client, names);
    let committed = committed.inspect_err(|error| tracing::debug!(%error, group, "its commits are not known"));
    committed.is_ok_and(|offsets| !offsets.is_empty())
}

fn assigned_topics(member: &GroupMemberInfo) -> Vec<String> {
    member.assignment().and_then(topics_of).unwrap_or_default()
}

/// The topics of a member's assignment: the consumer protocol's `version: i16, [topic: string, [partition: i32]]`, which
/// every consumer of the classic protocol writes.
fn topics_of(assignment: &[u8]) -> Option<Vec<String>> {
    let (_version, rest) = assignment.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..i32::from_be_bytes(*count).max(0) {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (name, after) = after.split_at_checked(usize::try_from(i16::from_be_bytes(*length)).ok()?)?;
        topics.push(String::from_utf8(name.to_vec()).ok()?);
        let (partitions, after) = after.split_first_chunk::<4>()?;
        let partitions = usize::try_from(i32::from_be_bytes(*partitions)).ok()?;
        (_, rest) = after.split_at_checked(partitions.checked_mul(4)?)?;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_name_their_topics() {
        let bytes = b"\0\x01\0\0\0\x02\0\x06orders\0\0\0\x02\0\0\0\0\0\0\0\x01\0\x01x\0\0\0\0\xff\xff\xff\xff";
        assert_eq!(topics_of(bytes), Some(vec!["orders".to_owned(), "x".to_owned()]));
        assert_eq!(topics_of(b"\0\x01\0\0\0\0"), Some(vec![]));
        assert_eq!(topics_of(b"\0\x01\0\0\0\x01\0\x06ord"), None, "cut off");
        assert_eq!(topics_of(b""), None);
    }
}
