//! The applier's dead-letter topic: which records of the tap it set aside, and why.
//!
//! Kafka Connect puts what a converter or a transformation refused there as it came, with headers that say where it came
//! from: `__connect.errors.topic`, `.partition`, `.offset`, `.stage`, `.connector.name`, `.task.id` and
//! `.exception.class.name` (`DeadLetterQueueReporter`), if `errors.deadletterqueue.context.headers.enable` is on. The
//! exception's message and the record itself may hold values of rows: neither is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::assign::{self, Bounds};
use super::client::{self, ASK, Brokers};
use super::topics::Topics;
use crate::model::position::PartitionName;
use crate::tap::TapError;

/// Newest records of each partition that are read at the start: what is older was set aside long ago.
const NEWEST: u64 = 16_384;

/// Records read in one call at most.
const AT_ONCE: usize = 1_000;

/// How long one call waits for a record.
const WAIT: Duration = Duration::from_millis(50);

/// How often it is looked whether there are new partitions; the topic itself may be made with the first letter.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What all its headers begin with.
const HEADERS: &str = "__connect.errors.";

/// A record that the applier set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The partition of the tap it stood in.
    pub name: PartitionName,
    /// Its offset there.
    pub offset: u64,
    /// What went wrong, at which stage, and whose record it was. Holds no values of rows.
    pub why: String,
}

/// What was read in one call.
#[derive(Debug, Default)]
pub struct Letters {
    /// Records that say which record of the tap they are.
    pub named: Vec<DeadLetter>,
    /// How many do not.
    pub unnamed: u64,
}

/// Reads the topic from its newest records on, as nobody's member.
pub struct DeadLetters {
    brokers: Brokers,
    topics: Topics,
    consumer: BaseConsumer,
    read: BTreeMap<PartitionName, u64>,
    looked: Option<Instant>,
}

impl DeadLetters {
    /// Reads `topic`, which need not exist yet.
    ///
    /// # Errors
    /// When it is no name of a topic, or a client cannot be made of these options.
    pub fn new(brokers: Brokers, topic: &str) -> Result<DeadLetters, TapError> {
        brokers.check()?;
        let topics = Topics::parse(&brokers, &[topic.to_owned()])?;
        let consumer = brokers.reader("dead-letters").create().map_err(|error| brokers.unusable(error))?;
        Ok(DeadLetters { brokers, topics, consumer, read: BTreeMap::new(), looked: None })
    }

    /// How many partitions the topic has; none where it does not exist yet.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.read.len()
    }

    /// What came since the last call, in order within each partition. Blocking; not for long where nothing comes.
    ///
    /// # Errors
    /// When the brokers do not answer; what comes meanwhile is read later.
    pub fn read(&mut self) -> Result<Letters, TapError> {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.look()?;
        }
        let mut letters = Letters::default();
        if self.read.is_empty() {
            client::drain(&self.consumer);
            return Ok(letters);
        }
        for _ in 0..AT_ONCE {
            match self.consumer.poll(WAIT) {
                None => break,
                Some(Ok(message)) => {
                    let name = PartitionName { topic: message.topic().into(), partition: message.partition() };
                    self.read.insert(name, u64::try_from(message.offset()).unwrap_or_default() + 1);
                    match named(&message) {
                        Some(letter) => letters.named.push(letter),
                        None => letters.unnamed += 1,
                    }
                }
                Some(Err(error)) if is_out_of_reach(&error) => {
                    // Retention took what was to be read next: it begins anew where the log begins.
                    self.looked = None;
                    self.read.clear();
                    break;
                }
                Some(Err(error)) => return Err(self.brokers.silent("what the dead-letter topic holds", error)),
            }
        }
        Ok(letters)
    }

    /// Begins to read partitions that were not known.
    fn look(&mut self) -> Result<(), TapError> {
        let silent = |error| self.brokers.silent("what the dead-letter topic is", error);
        let (names, _) = self.topics.existing(&self.consumer, ASK).map_err(silent)?;
        let known: BTreeSet<&PartitionName> = self.read.keys().collect();
        let new: Vec<PartitionName> = names.into_iter().filter(|name| !known.contains(name)).collect();
        self.looked = Some(Instant::now());
        if new.is_empty() {
            return Ok(());
        }
        let bounds = assign::bounds(&self.consumer, &new).map_err(silent)?;
        let first = |Bounds { low, high }: Bounds| low.max(high.saturating_sub(NEWEST));
        self.read.extend(bounds.into_iter().map(|(name, bounds)| (name, first(bounds))));
        self.assign().map_err(|error| self.brokers.silent("what the dead-letter topic holds", error))
    }

    fn assign(&self) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(self.read.len());
        for (name, next) in &self.read {
            let next = i64::try_from(*next).unwrap_or(i64::MAX);
            list.add_partition_offset(&name.topic, name.partition, Offset::Offset(next))?;
        }
        self.consumer.assign(&list)
    }
}

fn is_out_of_reach(error: &KafkaError) -> bool {
    type Code = RDKafkaErrorCode;
    matches!(error.rdkafka_error_code(), Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation))
}

fn named(message: &BorrowedMessage<'_>) -> Option<DeadLetter> {
    letter(|name| header(message.headers()?, name))
}

fn header<'m>(headers: &'m BorrowedHeaders, name: &str) -> Option<&'m str> {
    let wanted = |key: &str| key.strip_prefix(HEADERS) == Some(name);
    let found = headers.iter().find(|header| wanted(header.key))?;
    std::str::from_utf8(found.value?).ok()
}

/// The letter that these headers make, by their names without what they all begin with.
fn letter<'m>(header: impl Fn(&str) -> Option<&'m str>) -> Option<DeadLetter> {
    let name = PartitionName { topic: header("topic")?.into(), partition: header("partition")?.parse().ok()? };
    let offset = header("offset")?.parse().ok()?;
    let said = |name: &str, unsaid: &'static str| header(name).map_or(unsaid, |text| text).to_owned();
    let why = format!(
        "{} in the {} of {} (task {})",
        said("exception.class.name", "an error that it does not name"),
        said("stage", "unnamed stage"),
        said("connector.name", "the sink"),
        said("task.id", "unknown"),
    );
    Some(DeadLetter { name, offset, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&str, &'static str)]) -> Option<DeadLetter> {
        let headers: BTreeMap<&str, &'static str> = headers.iter().copied().collect();
        letter(|name| headers.get(name).copied())
    }

    #[test]
    fn headers_name_the_record_and_the_reason() {
        let all = [
            ("topic", "shop.public.orders"),
            ("partition", "2"),
            ("offset", "991"),
            ("stage", "VALUE_CONVERTER"),
            ("connector.name", "sink-orders"),
            ("task.id", "0"),
            ("exception.class.name", "org.apache.kafka.connect.errors.DataException"),
            ("exception.message", "a value of a row"),
        ];
        let found = of(&all).unwrap();
        assert_eq!((found.name.to_string().as_str(), found.offset), ("shop.public.orders/2", 991));
        assert_eq!(
            found.why,
            "org.apache.kafka.connect.errors.DataException in the VALUE_CONVERTER of sink-orders (task 0)"
        );
    }

    #[test]
    fn a_record_without_its_place_is_no_letter() {
        assert_eq!(of(&[("topic", "t"), ("partition", "0")]), None);
        assert_eq!(of(&[("topic", "t"), ("partition", "0"), ("offset", "many")]), None);
        assert!(of(&[("topic", "t"), ("partition", "0"), ("offset", "1")]).is_some());
    }
}
