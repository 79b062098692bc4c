//! The broker as tests use it: topics, raw records, offsets of any group.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::wait::until_now;

const LIMIT: Duration = Duration::from_secs(30);

/// Clients of the test broker.
pub(crate) struct Kafka {
    broker: String,
    admin: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
    reader: BaseConsumer,
}

/// One record as it lies in the log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// A record to write; `None` as its value is a tombstone.
#[derive(Clone, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a str, &'a [u8])],
}

impl Kafka {
    pub(crate) fn new(broker: &str) -> Self {
        let config = client(broker);
        Self {
            broker: broker.to_owned(),
            admin: config.create().expect("an admin client"),
            producer: config.create().expect("a producer"),
            reader: client(broker).set("group.id", "unused").create().expect("a consumer"),
        }
    }

    pub(crate) fn broker(&self) -> &str {
        &self.broker
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let results = self.admin.create_topics(&[topic], &options()).await.expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(name, code)| panic!("creating topic `{name}`: {code}"));
        }
    }

    /// Deletes those of the topics that exist.
    pub(crate) async fn delete_topics(&self, names: &[&str]) {
        self.admin.delete_topics(names, &options()).await.expect("the broker answers");
    }

    /// The names of all topics that contain `part`.
    pub(crate) fn topics(&self, part: &str) -> Vec<String> {
        let metadata = self.reader.fetch_metadata(None, LIMIT).expect("the broker answers");
        let mut names: Vec<_> =
            metadata.topics().iter().map(|topic| topic.name().to_owned()).filter(|name| name.contains(part)).collect();
        names.sort();
        names
    }

    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        let metadata = self.reader.fetch_metadata(Some(topic), LIMIT).expect("the broker answers");
        i32::try_from(metadata.topics()[0].partitions().len()).expect("a count of partitions")
    }

    /// First offset and next offset of one partition, which has no leader for a moment after the broker was restarted.
    pub(crate) fn range(&self, topic: &str, partition: i32) -> (i64, i64) {
        let what = format!("`{topic}` has its partition {partition}");
        until_now(&what, LIMIT, || self.reader.fetch_watermarks(topic, partition, LIMIT).ok())
    }

    /// The next offset of each partition, in order.
    pub(crate) fn ends(&self, topic: &str) -> Vec<i64> {
        (0..self.partitions(topic)).map(|partition| self.range(topic, partition).1).collect()
    }

    /// How many offsets the topic has given out.
    pub(crate) fn count(&self, topic: &str) -> i64 {
        self.ends(topic).iter().sum()
    }

    /// Writes one record; returns its offset.
    pub(crate) async fn produce(&self, draft: &Draft<'_>) -> i64 {
        let mut headers = OwnedHeaders::new();
        for (key, value) in draft.headers {
            headers = headers.insert(Header { key, value: Some(*value) });
        }
        let record = FutureRecord {
            topic: draft.topic,
            partition: Some(draft.partition),
            payload: draft.value,
            key: draft.key,
            timestamp: None,
            headers: Some(headers),
        };
        let sent = self.producer.send(record, LIMIT).await;
        sent.unwrap_or_else(|(error, _)| panic!("writing to `{}`: {error}", draft.topic)).offset
    }

    /// Everything in a topic up to its present end, by partition and offset. Blocks its thread.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Record> {
        let reader: BaseConsumer = client(&self.broker)
            .set("group.id", "unused")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let mut records = Vec::new();
        for partition in 0..self.partitions(topic) {
            let (first, end) = self.range(topic, partition);
            let mut at = TopicPartitionList::new();
            at.add_partition_offset(topic, partition, Offset::Offset(first)).expect("a valid offset");
            reader.assign(&at).expect("the partition exists");
            let mut next = first;
            while next < end {
                match reader.poll(LIMIT).expect("a record or the end of the partition") {
                    Ok(message) => {
                        next = message.offset() + 1;
                        records.push(Record::from(&message));
                    }
                    Err(rdkafka::error::KafkaError::PartitionEOF(_)) => break,
                    Err(error) => panic!("reading `{topic}`: {error}"),
                }
            }
        }
        records
    }

    /// What a group has committed in each partition; `None` where it has committed nothing. It does not join the group.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let observer: BaseConsumer = client(&self.broker).set("group.id", group).create().expect("a consumer");
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(topic, 0, self.partitions(topic) - 1);
        let answer = observer.committed_offsets(wanted, LIMIT).expect("the coordinator answers");
        let offsets = answer.elements().into_iter().map(|element| match element.offset() {
            Offset::Offset(next) => Some(next),
            Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
        });
        offsets.collect()
    }

    /// State and member ids of a group, for tests that must leave it alone.
    pub(crate) fn group(&self, group: &str) -> (String, Vec<String>) {
        let list = self.reader.fetch_group_list(Some(group), LIMIT).expect("the coordinator answers");
        let found = list.groups().first().expect("a described group");
        let mut members: Vec<_> = found.members().iter().map(|member| member.id().to_owned()).collect();
        members.sort();
        (found.state().to_owned(), members)
    }

    /// Takes the records below `before` from a partition, as retention does.
    pub(crate) async fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut until = TopicPartitionList::new();
        until.add_partition_offset(topic, partition, Offset::Offset(before)).expect("a valid offset");
        let gone = self.admin.delete_records(&until, &options()).await.expect("the broker answers");
        gone.elements()[0].error().expect("records can be deleted");
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(LIMIT).expect("the broker takes what was sent");
    }
}

impl<M: rdkafka::Message> From<&M> for Record {
    fn from(message: &M) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect(),
        }
    }
}

fn client(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LIMIT)).request_timeout(Some(LIMIT))
}
