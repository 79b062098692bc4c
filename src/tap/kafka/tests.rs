//! The tap against librdkafka's in-process cluster. What that cluster cannot do (transactions, compaction, retention, times,
//! descriptions of groups, quick rebalances) is tested against a real broker in `tests/it`.

use std::sync::LazyLock;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::evidence::Applied;
use super::*;
use crate::model::position::PartitionName;
use crate::model::{Batch, PartitionId, Position, Record, Wall};
use crate::tap::position::Place;

const LIMIT: Duration = Duration::from_secs(60);

/// One cluster for all tests: the first join of a group takes it seconds.
static BROKERS: LazyLock<String> = LazyLock::new(|| {
    let cluster = MockCluster::new(1).unwrap();
    let brokers = cluster.bootstrap_servers();
    std::mem::forget(cluster);
    brokers
});

fn produce(topic: &str, partition: i32, count: u64) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &*BROKERS).create().unwrap();
    for number in 0..count {
        let value = format!("v{number}");
        let record = BaseRecord::to(topic).partition(partition).key("k").payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

struct Tap {
    events: Receiver<TapEvent>,
    control: Arc<dyn Control>,
    partitions: Partitions,
    story: Vec<String>,
    deadline: Instant,
}

fn options(topics: &[&str], group: &str, reading: Reading) -> KafkaOptions {
    let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
    KafkaOptions { brokers: Brokers::from(BROKERS.as_str()), topics, group: group.to_owned(), reading }
}

#[expect(clippy::disallowed_methods, reason = "a deadline for the whole test")]
fn started(options: KafkaOptions) -> Tap {
    let partitions = Partitions::default();
    let (events, control) = start(options, partitions.clone()).unwrap();
    Tap { events, control, partitions, story: Vec::new(), deadline: Instant::now() + LIMIT }
}

fn follow(topics: &[&str], group: &str, from: Place) -> Tap {
    started(options(topics, group, Reading::Follow { from: Places::all(from) }))
}

fn range(topics: &[&str], from: &[&str], to: &[&str]) -> Tap {
    let places = |texts: &[&str], default| Places::parse(texts.iter().copied(), default, Wall(0)).unwrap();
    let reading =
        Reading::Range { from: places(from, Place::Beginning), to: places(to, Place::End), behind: Behind::Left };
    started(options(topics, "", reading))
}

impl Tap {
    fn id(&self, topic: &str, partition: i32) -> PartitionId {
        self.partitions.id(&PartitionName { topic: topic.into(), partition }).unwrap()
    }

    /// Reads events into the story until one of its lines is `last`.
    fn until(&mut self, last: &str) {
        while !self.story.iter().any(|line| line == last) {
            let event = self.next().unwrap_or_else(|| panic!("the tap ended without `{last}`: {:#?}", self.story));
            self.tell(&event);
        }
    }

    fn finish(&mut self) {
        while let Some(event) = self.next() {
            self.tell(&event);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a deadline for the whole test")]
    fn next(&self) -> Option<TapEvent> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(event) => Some(event),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("nothing in time after {:#?}", self.story),
        }
    }

    fn tell(&mut self, event: &TapEvent) {
        let name = |id: &PartitionId| self.partitions.name(*id);
        let lines = match event {
            TapEvent::Records(batch) => {
                batch.records().map(|record| format!("{}@{}", name(&record.partition), record.offset)).collect()
            }
            TapEvent::Reached { partition, next } => vec![format!("reached {} {next}", name(partition))],
            TapEvent::Assigned { partition, next } => vec![format!("assigned {} {next}", name(partition))],
            TapEvent::Revoked { partition } => vec![format!("revoked {}", name(partition))],
            TapEvent::Gap { partition, from, to, .. } => vec![format!("gap {} {from}..{to}", name(partition))],
            TapEvent::Replaced { partition, expected, end } => {
                vec![format!("replaced {} {expected}>{end}", name(partition))]
            }
            TapEvent::RangeEnds { partition, at } => vec![format!("range ends {} {at}", name(partition))],
            TapEvent::Ended => vec!["ended".to_owned()],
            TapEvent::Failed(error) => vec![format!("failed({}) {error}", error.fatal)],
        };
        self.story.extend(lines);
    }

    fn of(&self, what: &str) -> Vec<&str> {
        self.story.iter().map(String::as_str).filter(|line| line.contains(what)).collect()
    }
}

fn client(group: &str) -> BaseConsumer {
    ClientConfig::new().set("bootstrap.servers", &*BROKERS).set("group.id", group).create().unwrap()
}

fn list(topic: &str, partition: i32, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset).unwrap();
    list
}

fn committed(group: &str, topic: &str, partition: i32) -> Offset {
    let answer = client(group).committed_offsets(list(topic, partition, Offset::Invalid), LIMIT).unwrap();
    answer.elements()[0].offset()
}

#[test]
fn a_range_ends_at_its_end() {
    produce("r1", 0, 10);
    produce("r1", 1, 3);
    let mut tap = range(&["r1"], &["0:7", "1:-1", "2:beginning"], &["0:9"]);
    tap.finish();
    assert_eq!(tap.of("r1/0"), ["assigned r1/0 7", "r1/0@7", "r1/0@8"]);
    assert_eq!(tap.of("r1/1"), ["assigned r1/1 2", "r1/1@2"]);
    assert_eq!(tap.of("r1/2"), ["assigned r1/2 0"], "an empty partition is done at once");
    assert_eq!(tap.story.last().unwrap(), "ended");
}

#[test]
fn a_range_of_several_topics_ends_though_they_share_numbers() {
    produce("rs1", 0, 5000);
    produce("rs2", 0, 3);
    let mut tap = range(&["rs1", "/^rs2$/"], &[], &[]);
    tap.finish();
    assert_eq!((tap.of("rs1/0@").len(), tap.of("rs2/0@").len()), (5000, 3));
    assert_eq!(tap.story.last().unwrap(), "ended");
}

#[test]
fn a_range_that_cannot_be_is_a_fatal_failure() {
    let mut tap = range(&["no-such-topic"], &[], &[]);
    tap.finish();
    assert_eq!(tap.story.len(), 1);
    assert!(tap.story[0].starts_with("failed(true) topic `no-such-topic` does not exist"), "{}", tap.story[0]);
    produce("rg", 0, 1);
    let mut tap = range(&["rg"], &["stored"], &[]);
    tap.finish();
    assert!(tap.story[0].starts_with("failed(true) `stored` needs a group"), "{}", tap.story[0]);
}

#[test]
fn following_commits_what_was_judged_and_begins_there_again() {
    produce("f1", 0, 10);
    let mut tap = follow(&["f1"], "g-f1", Place::Beginning);
    tap.until("f1/0@9");
    assert_eq!(tap.of("f1/0")[..2], ["assigned f1/0 0", "f1/0@0"]);
    let id = tap.id("f1", 0);
    assert_eq!(tap.control.ends(&[id]).unwrap(), [(id, 10)]);
    tap.control.commit(id, 4).unwrap();
    tap.control.commit(id, 400).unwrap();
    tap.control.stop();
    tap.finish();
    assert_eq!(tap.of("revoked f1/0").len(), 1);
    assert!(tap.control.commit(id, 5).is_err(), "the tap is gone");
    assert_eq!(committed("g-f1", "f1", 0), Offset::Offset(4), "400 was never delivered");

    let mut tap = follow(&["f1"], "g-f1", Place::End);
    tap.until("f1/0@9");
    assert_eq!(tap.of("f1/0")[..2], ["assigned f1/0 4", "f1/0@4"]);
    tap.control.stop();
    tap.finish();
}

#[test]
fn a_partition_goes_back_and_the_others_go_on() {
    produce("w1", 0, 10);
    produce("w1", 1, 10);
    let mut tap = follow(&["w1"], "g-w1", Place::Beginning);
    tap.until("w1/0@9");
    tap.until("w1/1@9");
    let id = tap.id("w1", 0);
    tap.control.commit(id, 8).unwrap();
    tap.control.rewind(id, 6).unwrap();
    tap.until("assigned w1/0 6");
    tap.story.clear();
    produce("w1", 0, 1);
    produce("w1", 1, 1);
    tap.until("w1/0@10");
    tap.until("w1/1@10");
    assert_eq!(tap.of("w1/0@"), ["w1/0@6", "w1/0@7", "w1/0@8", "w1/0@9", "w1/0@10"]);
    assert_eq!(tap.of("w1/1@"), ["w1/1@10"]);
    tap.control.rewind(id, 100).unwrap();
    tap.until("assigned w1/0 11");
    tap.control.stop();
    tap.finish();
    assert!(tap.control.rewind(id, 3).is_err(), "the tap is gone");
    assert_eq!(committed("g-w1", "w1", 0), Offset::Offset(6), "a crash would begin there again");
}

#[test]
fn a_range_does_not_go_back() {
    produce("w2", 0, 2);
    let tap = range(&["w2"], &[], &[]);
    let error = tap.control.rewind(tap.id("w2", 0), 0).unwrap_err();
    assert!(!error.fatal, "{error}");
}

#[test]
fn a_beginning_without_commits_is_kept_and_younger_partitions_are_read_whole() {
    produce("b1", 0, 5);
    let mut tap = follow(&["b1", "/^b2-/"], "g-b1", Place::Stored);
    tap.until("assigned b1/0 5");
    produce("b2-later", 1, 3);
    tap.until("b2-later/1@2");
    assert_eq!(tap.of("b2-later/1")[..2], ["assigned b2-later/1 0", "b2-later/1@0"]);
    assert_eq!(tap.of("b1/0@"), [""; 0], "from the end");
    tap.control.stop();
    tap.finish();
    assert_eq!(committed("g-b1", "b1", 0), Offset::Offset(5), "so that a crash does not begin at a later end");
}

#[test]
fn a_reader_who_takes_nothing_is_waited_for_and_loses_nothing() {
    produce("slow", 0, 50_000);
    let mut options = options(&["slow"], "g-slow", Reading::Follow { from: Places::all(Place::Beginning) });
    // A quarter of 3 s without polling, and partitions are paused.
    for (name, value) in
        [("max.poll.interval.ms", "3000"), ("session.timeout.ms", "3000"), ("heartbeat.interval.ms", "500")]
    {
        options.brokers.properties.insert(name.to_owned(), value.to_owned());
    }
    let mut tap = started(options);
    tap.until("assigned slow/0 0");
    // Each first join of a group takes this cluster 3 s: longer than a member may not poll. One that did not would be
    // expelled, which revokes.
    for group in ["g-slow-1", "g-slow-2"] {
        let mut other = follow(&["slow"], group, Place::End);
        other.until("assigned slow/0 50000");
        other.control.stop();
        other.finish();
    }
    tap.until("slow/0@49999");
    let offsets: Vec<_> = tap.of("slow/0@").iter().map(|line| line[7..].parse::<u64>().unwrap()).collect();
    assert_eq!(offsets, (0..50_000).collect::<Vec<_>>());
    assert!(tap.of("revoked").is_empty());
    tap.control.stop();
    tap.finish();
}

#[test]
fn brokers_that_are_away_are_one_failure_and_no_end() {
    let mut options = options(&["x"], "g-x", Reading::Follow { from: Places::all(Place::End) });
    options.brokers = Brokers::from("127.0.0.1:1");
    let mut tap = started(options);
    let event = tap.next().unwrap();
    tap.tell(&event);
    assert!(
        tap.story[0].contains("which topics exist; still asking on `127.0.0.1:1`: check that `brokers`"),
        "{:?}",
        tap.story
    );
    tap.control.stop();
    tap.finish();
    assert_eq!(tap.story.len(), 1);
}

#[test]
fn the_appliers_commits_are_read_from_outside() {
    produce("a1", 0, 10);
    client("applier").commit(&list("a1", 0, Offset::Offset(6)), CommitMode::Sync).unwrap();
    let partitions = Partitions::default();
    let id = |partition| partitions.id(&PartitionName { topic: "a1".into(), partition }).unwrap();
    let (one, other) = (id(0), id(1));
    let applied = Applied::new(Brokers::from(BROKERS.as_str()), "applier", partitions.clone()).unwrap();
    assert_eq!(applied.committed(&[one, other]).unwrap(), [(one, 6)]);
    assert_eq!(applied.ends(&[other, one]).unwrap(), [(one, 10), (other, 0)]);
    assert_eq!(applied.generation(), None, "this cluster does not describe groups");
    client("applier").commit(&list("a1", 0, Offset::Offset(9)), CommitMode::Sync).unwrap();
    assert_eq!(applied.committed(&[one]).unwrap(), [(one, 9)]);
}

#[test]
fn records_are_read_again_where_they_stand() {
    produce("again", 0, 3_000);
    produce("again", 1, 2);
    produce("again_too", 0, 5);
    let mut tap = range(&["again", "again_too"], &["end"], &[]);
    tap.finish();
    let (one, two, other) = (tap.id("again", 0), tap.id("again", 1), tap.id("again_too", 0));
    let wanted = [(one, 2_999), (one, 7), (one, 8), (two, 1), (other, 4), (one, 9_999), (two, 2)];
    let wanted = wanted.map(|(partition, offset)| Position { partition, offset });
    for _ in 0..2 {
        let mut read = Vec::new();
        let mut each = |batch: Batch| {
            let record = |record: Record<'_>| (record.partition, record.offset, record.value.map(<[u8]>::to_vec));
            read.extend(batch.records().map(record));
        };
        tap.control.read_again(&wanted, &mut each).unwrap();
        read.sort();
        let value = |partition, offset: u64| (partition, offset, Some(format!("v{offset}").into_bytes()));
        let mut expected = [value(one, 7), value(one, 8), value(one, 2_999), value(two, 1), value(other, 4)];
        expected.sort();
        assert_eq!(read, expected);
    }
}

#[test]
fn records_of_a_log_that_was_made_anew_are_not_those_of_the_old_one() {
    produce("anew", 0, 3);
    let mut tap = range(&["anew"], &[], &[]);
    tap.finish();
    let old = tap.id("anew", 0);
    let new = tap.partitions.renewed(&PartitionName { topic: "anew".into(), partition: 0 }).unwrap();
    let mut read = Vec::new();
    let wanted = [old, new].map(|partition| Position { partition, offset: 1 });
    tap.control.read_again(&wanted, &mut |batch| read.extend(batch.records().map(|record| record.partition))).unwrap();
    assert_eq!(read, [new]);
}
