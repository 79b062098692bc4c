//! From places to offsets: what the log holds, what a group committed, what a time means.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::client::ASK;
use crate::model::position::PartitionName;
use crate::tap::position::Place;

/// What the log of one partition holds: the offsets `low..high`. `high` is the last stable offset where the client reads
/// committed records only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: u64,
    pub(super) high: u64,
}

pub(super) type Offsets = BTreeMap<PartitionName, u64>;

/// The ends of partitions, all in one request to each broker.
pub(super) fn ends<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    names: &[PartitionName],
) -> Result<Offsets, KafkaError> {
    edge(client, names, Offset::End)
}

pub(super) fn bounds<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    names: &[PartitionName],
) -> Result<BTreeMap<PartitionName, Bounds>, KafkaError> {
    let lows = edge(client, names, Offset::Beginning)?;
    let highs = edge(client, names, Offset::End)?;
    let both = lows.into_iter().filter_map(|(name, low)| {
        let high = highs.get(&name).copied()?.max(low);
        Some((name, Bounds { low, high }))
    });
    Ok(both.collect())
}

fn edge<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    names: &[PartitionName],
    which: Offset,
) -> Result<Offsets, KafkaError> {
    let mut question = TopicPartitionList::with_capacity(names.len());
    for name in names {
        question.add_partition_offset(&name.topic, name.partition, which)?;
    }
    let mut offsets = Offsets::new();
    for (name, offset) in times(client, question)? {
        // Every partition has both its edges; an answer without one is no answer.
        offsets.insert(name, offset.ok_or(KafkaError::OffsetFetch(rdkafka::error::RDKafkaErrorCode::BadMessage))?);
    }
    Ok(offsets)
}

/// The first offsets appended at the given times (milliseconds) or later; `None` behind the last record.
pub(super) fn at_times<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    wanted: &[(PartitionName, i64)],
) -> Result<BTreeMap<PartitionName, Option<u64>>, KafkaError> {
    let mut question = TopicPartitionList::with_capacity(wanted.len());
    for (name, millis) in wanted {
        question.add_partition_offset(&name.topic, name.partition, Offset::Offset((*millis).max(0)))?;
    }
    Ok(times(client, question)?.into_iter().collect())
}

fn times<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    question: TopicPartitionList,
) -> Result<Vec<(PartitionName, Option<u64>)>, KafkaError> {
    if question.count() == 0 {
        return Ok(Vec::new());
    }
    read(&client.offsets_for_times(question, ASK)?)
}

/// What the client's group committed; partitions without a commit are left out.
pub(super) fn committed<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    names: &[PartitionName],
) -> Result<Offsets, KafkaError> {
    if names.is_empty() {
        return Ok(Offsets::new());
    }
    let answer = client.committed_offsets(list(names), ASK)?;
    Ok(read(&answer)?.into_iter().filter_map(|(name, offset)| Some((name, offset?))).collect())
}

/// The partitions of a client's list.
pub(super) fn names(list: &TopicPartitionList) -> Vec<PartitionName> {
    let one = |topic: &str, partition| PartitionName { topic: topic.into(), partition };
    list.elements().iter().map(|element| one(element.topic(), element.partition())).collect()
}

/// Offsets of a client's list: `None` where an element has none.
pub(super) fn read(list: &TopicPartitionList) -> Result<Vec<(PartitionName, Option<u64>)>, KafkaError> {
    let one = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        element.error()?;
        let name = PartitionName { topic: element.topic().into(), partition: element.partition() };
        Ok((name, actual(element.offset())))
    };
    list.elements().iter().map(one).collect()
}

/// An offset that names a record, as opposed to the wishes that librdkafka writes in the same field.
pub(super) fn actual(offset: Offset) -> Option<u64> {
    match offset {
        Offset::Offset(offset) => u64::try_from(offset).ok(),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    }
}

pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a PartitionName>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for name in names {
        list.add_partition(&name.topic, name.partition);
    }
    list
}

/// A list with offsets. Offsets past 2^63 do not exist on the wire.
pub(super) fn list_at<'a>(
    offsets: impl IntoIterator<Item = (&'a PartitionName, u64)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (name, offset) in offsets {
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        list.add_partition_offset(&name.topic, name.partition, offset)?;
    }
    Ok(list)
}

/// What is known when a place is turned into an offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) bounds: Bounds,
    /// What the group committed.
    pub(super) stored: Option<u64>,
    /// The first offset at the place's time; `None` behind the last record.
    pub(super) at_time: Option<u64>,
}

/// The offset of a place; `None` for `stored` where nothing is. It may lie outside the bounds only if the user or the group said so.
pub(super) fn offset(place: Place, known: Known) -> Option<u64> {
    let Bounds { low, high } = known.bounds;
    match place {
        Place::Beginning => Some(low),
        Place::End => Some(high),
        Place::Stored => known.stored,
        Place::Offset(offset) => Some(offset),
        Place::BeforeEnd(count) => Some(high.saturating_sub(count).max(low)),
        Place::Time(_) => Some(known.at_time.map_or(high, |offset| offset.clamp(low, high))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Wall;

    #[test]
    fn places_become_offsets() {
        let known = Known { bounds: Bounds { low: 10, high: 100 }, stored: Some(42), at_time: Some(60) };
        let at = |place| offset(place, known);
        assert_eq!(at(Place::Beginning), Some(10));
        assert_eq!(at(Place::End), Some(100));
        assert_eq!(at(Place::Stored), Some(42));
        assert_eq!(at(Place::Offset(3)), Some(3), "retention took it: the caller says so");
        assert_eq!(at(Place::BeforeEnd(1)), Some(99));
        assert_eq!(at(Place::BeforeEnd(1000)), Some(10));
        assert_eq!(at(Place::Time(Wall(5))), Some(60));
        assert_eq!(offset(Place::Time(Wall(5)), Known { at_time: None, ..known }), Some(100));
        assert_eq!(offset(Place::Stored, Known { stored: None, ..known }), None);
    }
}
