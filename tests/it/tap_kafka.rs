//! The Kafka tap against a real broker: what the in-process cluster of the unit tests cannot do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use afterimage::model::position::PartitionName;
use afterimage::model::{Batch, PartitionId, Position, Wall};
use afterimage::tap::kafka::evidence::{Applied, groups_on};
use afterimage::tap::kafka::{Brokers, KafkaOptions, Reading};
use afterimage::tap::position::{Place, Places};
use afterimage::tap::{Behind, Control, HeldUp, Partitions, TapEvent, TapOptions, start};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::Kafka;
use crate::wait::until;

const LIMIT: Duration = Duration::from_secs(30);

fn broker() -> String {
    std::env::var("AFTERIMAGE_IT_BROKER").expect("`tests/services/up` says where the broker is")
}

fn kafka() -> Kafka {
    Kafka::new(&broker())
}

/// A name of this run's own: a kept broker still has the topics of the run before.
fn own(name: &str) -> String {
    format!("tap-{name}-{}", std::process::id())
}

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker()).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config
}

/// Writes records `v0`, `v1`, … all with the key `k`.
fn produce(producer: &BaseProducer, topic: &str, partition: i32, count: usize) {
    for number in 0..count {
        let value = format!("v{number}");
        let record = BaseRecord::to(topic).partition(partition).key("k").payload(&value);
        let mut sent = producer.send(record);
        while let Err((rdkafka::error::KafkaError::MessageProduction(_), record)) = sent {
            producer.poll(Duration::from_millis(10));
            sent = producer.send(record);
        }
        sent.map_err(|(error, _)| error).expect("the queue takes it");
    }
    producer.flush(LIMIT).expect("the broker takes what was sent");
}

fn plain() -> BaseProducer {
    client().create().expect("a producer")
}

fn transactional(id: &str) -> BaseProducer {
    let producer: BaseProducer = client().set("transactional.id", id).create().expect("a producer");
    producer.init_transactions(LIMIT).expect("transactions are available");
    producer
}

struct Tap {
    events: Receiver<TapEvent>,
    control: Arc<dyn Control>,
    partitions: Partitions,
    story: Vec<String>,
}

fn options(topics: &[&str], group: &str, reading: Reading) -> KafkaOptions {
    let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
    KafkaOptions { brokers: Brokers::from(broker().as_str()), topics, group: group.to_owned(), reading }
}

fn started(options: KafkaOptions) -> Tap {
    let partitions = Partitions::default();
    let (events, control) = start(TapOptions::Kafka(options), partitions.clone()).expect("right options");
    Tap { events, control, partitions, story: Vec::new() }
}

fn following(topics: &[&str], group: &str, from: Place) -> KafkaOptions {
    options(topics, group, Reading::Follow { from: Places::all(from) })
}

fn ranging(topics: &[&str], group: &str, from: &[&str], to: &[&str]) -> KafkaOptions {
    let places = |texts: &[&str], default| Places::parse(texts.iter().copied(), default, Wall(0)).expect("positions");
    options(
        topics,
        group,
        Reading::Range { from: places(from, Place::Beginning), to: places(to, Place::End), behind: Behind::Left },
    )
}

impl Tap {
    fn id(&self, topic: &str, partition: i32) -> PartitionId {
        self.partitions.id(&PartitionName { topic: topic.into(), partition }).expect("few partitions")
    }

    fn until(&mut self, last: &str) {
        while !self.story.iter().any(|line| line == last) {
            assert!(self.next(), "the tap ended without `{last}`: {:#?}", self.story);
        }
    }

    fn finish(&mut self) {
        while self.next() {}
    }

    /// Takes the next event into the story; false after the last one.
    fn next(&mut self) -> bool {
        let event = match self.events.recv_timeout(LIMIT) {
            Ok(event) => event,
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing in time after {:#?}", self.story),
        };
        let name = |id: &PartitionId| self.partitions.name(*id);
        let lines = match &event {
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
        true
    }

    fn of(&self, what: &str) -> Vec<&str> {
        self.story.iter().map(String::as_str).filter(|line| line.contains(what)).collect()
    }

    fn stop(mut self) -> Vec<String> {
        self.control.stop();
        self.finish();
        self.story
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_and_aborted_records_are_passed_over_and_told() {
    let (kafka, topic) = (kafka(), own("tx"));
    kafka.create_topic(&topic, 1).await;
    let producer = transactional(&topic);
    // Offsets 0, 1 and a marker; 3, 4 aborted and a marker; 6 and a marker.
    for (count, keep) in [(2, true), (2, false), (1, true)] {
        producer.begin_transaction().expect("a transaction");
        produce(&producer, &topic, 0, count);
        let ended = if keep { producer.commit_transaction(LIMIT) } else { producer.abort_transaction(LIMIT) };
        ended.expect("the transaction ends");
    }
    let p = format!("{topic}/0");
    let delivered =
        [format!("assigned {p} 0"), format!("{p}@0"), format!("{p}@1"), format!("{p}@6"), format!("reached {p} 8")];
    let mut tap = started(following(&[&topic], &own("g-tx"), Place::Beginning));
    tap.until(&format!("reached {p} 8"));
    // Whether the client's queue ran dry between two transactions is up to timing; what it tells then is right, too.
    tap.story.retain(|line| !line.starts_with("reached") || line.ends_with(" 8"));
    assert_eq!(tap.story, delivered);
    assert_eq!(tap.control.ends(&[tap.id(&topic, 0)]).expect("the broker answers"), [(tap.id(&topic, 0), 8)]);
    tap.stop();

    let mut tap = started(ranging(&[&topic], "", &["beginning"], &["end"]));
    tap.finish();
    assert_eq!(tap.of("@"), delivered[1..4]);
    assert_eq!(tap.story[tap.story.len() - 2..], [format!("reached {p} 8"), "ended".to_owned()]);
    let mut tap = started(ranging(&[&topic], "", &["2"], &["6"]));
    tap.finish();
    assert_eq!(tap.of("@"), [""; 0], "nothing but markers and aborted records");
    assert_eq!(tap.story[tap.story.len() - 2..], [format!("reached {p} 6"), "ended".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_read_again_as_far_as_the_log_holds_it() {
    let (kafka, topic) = (kafka(), own("again"));
    kafka.create_topic(&topic, 2).await;
    let producer = transactional(&topic);
    // Partition 0: 0, 1 and a marker; 3, 4 aborted and a marker; 6 and a marker; then far away. Partition 1: 0 to 2.
    for (count, keep) in [(2, true), (2, false), (1, true), (3_000, true)] {
        producer.begin_transaction().expect("a transaction");
        produce(&producer, &topic, 0, count);
        let ended = if keep { producer.commit_transaction(LIMIT) } else { producer.abort_transaction(LIMIT) };
        ended.expect("the transaction ends");
    }
    produce(&plain(), &topic, 1, 3);
    let mut tap = started(ranging(&[&topic], "", &[], &[]));
    tap.finish();
    let (first, second) = (tap.id(&topic, 0), tap.id(&topic, 1));
    let end = 8 + 3_000;
    let wanted = [(first, 1), (first, 3), (first, 6), (first, end - 1), (first, end), (second, 2), (second, 9)];
    let wanted = wanted.map(|(partition, offset)| Position { partition, offset });
    let again = || {
        let mut read = Vec::new();
        let mut each = |batch: Batch| read.extend(batch.records().map(|record| (record.partition, record.offset)));
        tap.control.read_again(&wanted, &mut each).expect("the broker answers");
        read.sort_unstable();
        read
    };
    assert_eq!(again(), [(first, 1), (first, 6), (first, end - 1), (second, 2)], "neither markers nor aborted records");
    kafka.delete_records(&topic, 0, 6).await;
    assert_eq!(again(), [(first, 6), (first, end - 1), (second, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_ends_the_range_and_is_named() {
    let (kafka, topic) = (kafka(), own("open"));
    kafka.create_topic(&topic, 1).await;
    produce(&plain(), &topic, 0, 2);
    let producer = transactional(&topic);
    producer.begin_transaction().expect("a transaction");
    produce(&producer, &topic, 0, 3);
    let mut tap = started(ranging(&[&topic], "", &[], &[]));
    tap.finish();
    let p = format!("{topic}/0");
    assert!(
        tap.story[0]
            .starts_with(&format!("failed(false) an open transaction holds `{p}` at 2, though its log reaches 5"))
    );
    assert_eq!(tap.of("@"), [format!("{p}@0"), format!("{p}@1")]);
    assert_eq!(tap.story.last().map(String::as_str), Some("ended"));

    let mut tap = started(following(&[&topic], &own("g-open"), Place::Beginning));
    tap.until(&format!("{p}@1"));
    assert_eq!(
        tap.control.ends(&[tap.id(&topic, 0)]).expect("an answer"),
        [(tap.id(&topic, 0), 2)],
        "the last stable offset"
    );
    let held = |tap: &Tap| tap.control.held_up(&[tap.id(&topic, 0)]).expect("an answer");
    assert_eq!(held(&tap), [HeldUp { partition: tap.id(&topic, 0), stable: 2, end: 5 }]);
    producer.commit_transaction(LIMIT).expect("the transaction ends");
    tap.until(&format!("reached {p} 6"));
    assert_eq!(held(&tap), []);
    assert_eq!(tap.of("@").len(), 5);
    tap.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_looked_up() {
    let (kafka, topic) = (kafka(), own("times"));
    kafka.create_topic(&topic, 2).await;
    let producer = plain();
    for millis in [1000, 2000, 3000, 4000] {
        let record = BaseRecord::<str, str>::to(&topic).partition(0).key("k").payload("v").timestamp(millis);
        producer.send(record).map_err(|(error, _)| error).expect("the queue takes it");
    }
    producer.flush(LIMIT).expect("the broker takes it");
    let mut tap = started(ranging(&[&topic], "", &["s@1500"], &["1970-01-01T00:00:04Z"]));
    tap.finish();
    assert_eq!(tap.of("@"), [format!("{topic}/0@1"), format!("{topic}/0@2")]);
    assert_eq!(tap.story.last().map(String::as_str), Some("ended"), "an empty partition has no such time and ends");
    let mut tap = started(ranging(&[&topic], "", &["s@9000"], &[]));
    tap.finish();
    assert_eq!(tap.of("@"), [""; 0]);
    let mut tap = started(following(&[&topic], &own("g-times"), Place::Time(Wall(3000))));
    tap.until(&format!("{topic}/0@3"));
    assert_eq!(tap.of("assigned")[0], format!("assigned {topic}/0 2"));
    tap.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_leaves_holes_and_no_gaps() {
    let (kafka, topic) = (kafka(), own("compact"));
    let admin: AdminClient<DefaultClientContext> = client().create().expect("an admin client");
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("segment.ms", "200")
        .set("min.cleanable.dirty.ratio", "0.001")
        .set("max.compaction.lag.ms", "300")
        .set("delete.retention.ms", "0");
    admin.create_topics(&[new], &AdminOptions::new()).await.expect("an answer")[0].as_ref().expect("the topic is made");
    let producer = plain();
    produce(&producer, &topic, 0, 20);
    // The cleaner takes closed segments only, and a segment closes when something is appended after its time.
    until("the cleaner has run", Duration::from_secs(60), || async {
        produce(&producer, &topic, 0, 1);
        (!kafka.read_all(&topic).iter().any(|record| record.offset == 3)).then_some(())
    })
    .await;
    let (first, end) = kafka.range(&topic, 0);
    let mut tap = started(ranging(&[&topic], "", &[], &[]));
    tap.finish();
    assert_eq!(tap.of("gap"), [""; 0]);
    assert!((tap.of("@").len() as i64) < end - first, "there are holes");
    assert_eq!(tap.story.last().map(String::as_str), Some("ended"));
    let mut tap = started(following(&[&topic], &own("g-compact"), Place::Beginning));
    tap.until(&format!("{topic}/0@{}", end - 1));
    assert_eq!(tap.of("gap"), [""; 0]);
    tap.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_is_a_gap() {
    let (kafka, topic, group) = (kafka(), own("gap"), own("g-gap"));
    kafka.create_topic(&topic, 1).await;
    produce(&plain(), &topic, 0, 10);
    let p = format!("{topic}/0");
    let mut tap = started(following(&[&topic], &group, Place::Beginning));
    tap.until(&format!("{p}@9"));
    tap.control.commit(tap.id(&topic, 0), 3).expect("the tap runs");
    tap.stop();
    kafka.delete_records(&topic, 0, 6).await;

    let mut tap = started(following(&[&topic], &group, Place::End));
    tap.until(&format!("{p}@9"));
    assert_eq!(tap.of(&p)[..3], [format!("assigned {p} 3"), format!("gap {p} 3..6"), format!("{p}@6")]);
    tap.stop();
    let mut tap = started(ranging(&[&topic], &group, &["stored"], &["8"]));
    tap.finish();
    assert_eq!(
        tap.of(&p)[..4],
        [format!("assigned {p} 3"), format!("gap {p} 3..6"), format!("{p}@6"), format!("{p}@7")]
    );
    let mut tap = started(ranging(&[&topic], "", &["1"], &["4"]));
    tap.finish();
    assert_eq!(tap.of(&p), [format!("assigned {p} 1"), format!("gap {p} 1..4")], "all of the range is gone");
    assert_eq!(tap.story.last().map(String::as_str), Some("ended"));
}

/// More than a tap, its channel and its client hold when nobody reads.
const MANY: usize = 200_000;

async fn gone_while_read(kafka: &Kafka, topic: &str, mut options: KafkaOptions) -> Tap {
    kafka.create_topic(topic, 1).await;
    produce(&plain(), topic, 0, MANY);
    for (name, value) in [("queued.max.messages.kbytes", "64"), ("fetch.message.max.bytes", "65536")] {
        options.brokers.properties.insert(name.to_owned(), value.to_owned());
    }
    let mut tap = started(options);
    tap.until(&format!("{topic}/0@0"));
    kafka.delete_records(topic, 0, MANY as i64 - 1).await;
    tap
}

fn assert_one_gap(tap: &Tap, topic: &str) {
    let records = tap.of("@").len();
    assert!(records < MANY - 1, "retention came in between");
    assert_eq!(tap.of("gap"), [format!("gap {topic}/0 {}..{}", records - 1, MANY - 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_takes_while_it_is_read_is_a_gap() {
    let kafka = kafka();
    for strategy in ["cooperative-sticky", "range"] {
        let topic = own(&format!("taken-{strategy}"));
        let mut options = following(&[&topic], &format!("g-{topic}"), Place::Beginning);
        options.brokers.properties =
            BTreeMap::from([("partition.assignment.strategy".to_owned(), strategy.to_owned())]);
        let mut tap = gone_while_read(&kafka, &topic, options).await;
        tap.until(&format!("{topic}/0@{}", MANY - 1));
        assert_one_gap(&tap, &topic);
        tap.stop();
    }
    let topic = own("taken-range-read");
    let mut tap = gone_while_read(&kafka, &topic, ranging(&[&topic], "", &[], &[])).await;
    tap.finish();
    assert_one_gap(&tap, &topic);
    assert_eq!(tap.story.last().map(String::as_str), Some("ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_partitions_made_later_are_read_from_their_beginning() {
    let (kafka, prefix) = (kafka(), own("later"));
    let (old, new) = (format!("{prefix}.old"), format!("{prefix}.new"));
    kafka.create_topic(&old, 1).await;
    produce(&plain(), &old, 0, 2);
    let mut tap = started(following(&[&format!("/^{prefix}\\..*/")], &own("g-later"), Place::End));
    tap.until(&format!("assigned {old}/0 2"));
    kafka.create_topic(&new, 2).await;
    produce(&plain(), &new, 1, 3);
    tap.until(&format!("{new}/1@2"));
    assert_eq!(tap.of("@"), (0..3).map(|offset| format!("{new}/1@{offset}")).collect::<Vec<_>>());
    tap.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_read_from_its_beginning() {
    let (kafka, topic, group) = (kafka(), own("anew"), own("g-anew"));
    kafka.create_topic(&topic, 1).await;
    produce(&plain(), &topic, 0, 10);
    client()
        .set("group.id", &group)
        .create::<BaseConsumer>()
        .and_then(|consumer| consumer.commit(&at(&topic, 8), CommitMode::Sync))
        .expect("a commit");
    kafka.delete_topics(&[&topic]).await;
    until("the topic is gone", LIMIT, || async { kafka.topics(&topic).is_empty().then_some(()) }).await;
    kafka.create_topic(&topic, 1).await;
    produce(&plain(), &topic, 0, 3);
    // Brokers forget the commits of a topic that is deleted; an operator's script may put them back.
    client()
        .set("group.id", &group)
        .create::<BaseConsumer>()
        .and_then(|consumer| consumer.commit(&at(&topic, 8), CommitMode::Sync))
        .expect("a commit");
    let mut tap = started(following(&[&topic], &group, Place::End));
    tap.until(&format!("{topic}/0@2"));
    let told = format!("failed(false) `{topic}/0` ends at 3, before the offset 8");
    assert!(tap.story[2].starts_with(&told), "{:?}", tap.story);
    let [replaced, assigned, first] =
        [format!("replaced {topic}/0 8>3"), format!("assigned {topic}/0 0"), format!("{topic}/0@0")];
    assert_eq!(tap.story[..2], [replaced, assigned]);
    assert_eq!(tap.story[3], first);
    tap.stop();
}

fn at(topic: &str, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("an offset");
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_hand_partitions_over_with_their_commits() {
    let kafka = kafka();
    for strategy in ["cooperative-sticky", "range"] {
        let (topic, group) = (own(&format!("share-{strategy}")), own(&format!("g-share-{strategy}")));
        kafka.create_topic(&topic, 2).await;
        let producer = plain();
        (0..2).for_each(|partition| produce(&producer, &topic, partition, 5));
        let member = || {
            let mut options = following(&[&topic], &group, Place::Beginning);
            let set = BTreeMap::from([("partition.assignment.strategy".to_owned(), strategy.to_owned())]);
            options.brokers.properties = set;
            started(options)
        };
        let mut first = member();
        (0..2).for_each(|partition| first.until(&format!("{topic}/{partition}@4")));
        // Not yet durable when the other one joins: giving the partition up must make it so.
        (0..2).for_each(|partition| first.control.commit(first.id(&topic, partition), 3).expect("the tap runs"));
        let mut second = member();
        while second.of("assigned").is_empty() {
            assert!(second.next());
        }
        let taken = i32::from(second.of("assigned")[0].contains("/1 "));
        assert_eq!(second.of("assigned"), [format!("assigned {topic}/{taken} 3")], "{strategy}");
        first.until(&format!("revoked {topic}/{taken}"));
        produce(&producer, &topic, taken, 1);
        second.until(&format!("{topic}/{taken}@5"));
        assert_eq!(second.of("@"), (3..6).map(|offset| format!("{topic}/{taken}@{offset}")).collect::<Vec<_>>());
        second.stop();
        while first.of(&format!("assigned {topic}/{taken}")).len() < 2 {
            assert!(first.next());
        }
        first.until(&format!("{topic}/{taken}@5"));
        first.stop();
        assert_eq!(kafka.committed(&group, &topic), [Some(3), Some(3)], "{strategy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_durable_while_the_tap_runs() {
    let (kafka, topic, group) = (kafka(), own("durable"), own("g-durable"));
    kafka.create_topic(&topic, 2).await;
    produce(&plain(), &topic, 0, 10);
    let mut tap = started(following(&[&topic], &group, Place::Beginning));
    tap.until(&format!("{topic}/0@9"));
    tap.control.commit(tap.id(&topic, 0), 7).expect("the tap runs");
    until("the commit is durable", LIMIT, || async {
        (kafka.committed(&group, &topic) == [Some(7), Some(0)]).then_some(())
    })
    .await;
    tap.stop();
    assert_eq!(kafka.committed(&group, &topic), [Some(7), Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_appliers_group_is_watched_and_left_alone() {
    let (kafka, topic, group) = (kafka(), own("applied"), own("connect-sink"));
    kafka.create_topic(&topic, 2).await;
    produce(&plain(), &topic, 0, 10);
    let applier = joined(&group, &topic);
    applier.commit(&at(&topic, 4), CommitMode::Sync).expect("a commit");
    let before = (kafka.group(&group), kafka.committed(&group, &topic));

    let partitions = Partitions::default();
    let ids: Vec<_> = (0..2)
        .map(|partition| partitions.id(&PartitionName { topic: topic.as_str().into(), partition }).expect("an id"))
        .collect();
    let applied = Applied::new(Brokers::from(broker().as_str()), &group, partitions).expect("right options");
    assert_eq!(applied.committed(&ids).expect("an answer"), [(ids[0], 4)]);
    assert_eq!(applied.ends(&ids).expect("an answer"), [(ids[0], 10), (ids[1], 0)]);
    let generation = applied.generation().expect("this broker describes groups");
    assert_eq!(applied.generation(), Some(generation), "nothing changed");
    let named = groups_on(&Brokers::from(broker().as_str()), std::slice::from_ref(&topic)).expect("an answer");
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!((&named[0].group, named[0].members, named[0].has_offsets), (&group, 1, true));
    assert_eq!(named[0].state, "Stable");
    drop(applied);
    assert_eq!((kafka.group(&group), kafka.committed(&group, &topic)), before);
    applier.commit(&at(&topic, 5), CommitMode::Sync).expect("its generation is as it was");

    let applied = Applied::new(Brokers::from(broker().as_str()), &group, Partitions::default()).expect("right options");
    drop(applier);
    assert_ne!(applied.generation(), Some(generation), "the member left");
    let nobody =
        Applied::new(Brokers::from(broker().as_str()), &own("nobody"), Partitions::default()).expect("options");
    assert_eq!(nobody.generation(), None);
}

/// A member of `group` that has its partitions.
fn joined(group: &str, topic: &str) -> BaseConsumer {
    let applier: BaseConsumer = client().set("group.id", group).create().expect("a consumer");
    applier.subscribe(&[topic]).expect("a subscription");
    // A rebalance ends a poll, too, without a record.
    let polled = (0..100).find_map(|_| applier.poll(LIMIT)).map(|first| first.map(drop));
    polled.expect("a record comes").expect("and no error");
    applier
}
