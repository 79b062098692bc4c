//! Records written to topics as they were read: partition, key, value, headers and timestamp.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::client::{self, ASK, Brokers};
use crate::model::Record;
use crate::tap::TapError;

/// How long a full queue is waited for between two tries.
const ROOM: Duration = Duration::from_millis(100);

/// How long the last records may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(60);

/// What the brokers refused first.
#[derive(Debug, Clone, Default)]
struct Refused(Arc<Mutex<Option<KafkaError>>>);

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
        }
    }
}

/// Writes records, each partition in order. Blocking.
pub struct TopicWriter {
    brokers: Brokers,
    producer: BaseProducer<Refused>,
    refused: Refused,
    /// Partitions of the topics met.
    partitions: BTreeMap<String, i32>,
}

impl TopicWriter {
    /// # Errors
    /// When the brokers' properties cannot be right.
    pub fn new(brokers: Brokers) -> Result<TopicWriter, TapError> {
        let refused = Refused::default();
        let mut settings = brokers.settings();
        let producer = settings.set("enable.idempotence", "true").create_with_context(refused.clone());
        let producer = producer.map_err(|error| brokers.unusable(error))?;
        Ok(TopicWriter { brokers, producer, refused, partitions: BTreeMap::new() })
    }

    /// Hands a record to the client; waits while its queue is full.
    ///
    /// # Errors
    /// The topic has no such partition, or the brokers refused this record or an earlier one.
    pub fn write(&mut self, (topic, partition): (&str, i32), record: &Record<'_>) -> Result<(), TapError> {
        self.has(topic, partition)?;
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition);
        message.key = record.key;
        message.payload = record.value;
        message.timestamp = record.timestamp_ms;
        let mut headers = OwnedHeaders::new();
        for (name, value) in record.headers() {
            let key = std::str::from_utf8(name).map_err(|_| {
                let what = format!("a header of {topic}/{partition}@{} has a name that is no text", record.offset);
                self.brokers.fatal(&what, "leave the record out with `--from` and `--to`", None)
            })?;
            headers = headers.insert(Header { key, value });
        }
        if headers.count() > 0 {
            message.headers = Some(headers);
        }
        loop {
            match self.producer.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    message = back;
                    self.producer.poll(ROOM);
                }
                Err((error, _)) => return Err(self.failed(topic, error)),
            }
        }
        self.producer.poll(Duration::ZERO);
        self.acknowledged(topic)
    }

    /// Waits until everything was acknowledged.
    ///
    /// # Errors
    /// The brokers refused a record, or did not take all of them in time.
    pub fn flush(&mut self) -> Result<(), TapError> {
        let flushed = self.producer.flush(FLUSH).map_err(|error| self.failed("the topics", error));
        flushed.and_then(|()| self.acknowledged("the topics"))
    }

    fn has(&mut self, topic: &str, partition: i32) -> Result<(), TapError> {
        let count = match self.partitions.get(topic) {
            Some(count) => *count,
            None => {
                let metadata = self.producer.client().fetch_metadata(Some(topic), ASK);
                let metadata = metadata.map_err(|error| self.brokers.silent("which partitions there are", error))?;
                let found = metadata.topics().first().filter(|found| found.error().is_none());
                let count = found.map_or(0, |found| i32::try_from(found.partitions().len()).unwrap_or(i32::MAX));
                self.partitions.insert(topic.to_owned(), count);
                count
            }
        };
        if (0..count).contains(&partition) {
            return Ok(());
        }
        let what = match count {
            0 => format!("topic `{topic}` does not exist"),
            count => format!("topic `{topic}` has {count} partitions, and there are records of partition {partition}"),
        };
        let hint = "make it with as many partitions as the recorded topic had: partition numbers are kept";
        Err(self.brokers.fatal(&what, hint, None))
    }

    fn acknowledged(&self, topic: &str) -> Result<(), TapError> {
        match self.refused.0.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => Ok(()),
            Some(error) => Err(self.failed(topic, error)),
        }
    }

    fn failed(&self, topic: &str, error: KafkaError) -> TapError {
        let hint = error.rdkafka_error_code().map_or("see the log", client::advice);
        self.brokers.fatal(&format!("`{topic}` did not take a record"), hint, Some(error))
    }
}
