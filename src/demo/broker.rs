//! rdkafka's in-process mock cluster as the broker, and the thread that produces the source's records to it.
//!
//! The mock keeps 5 MB or 100,000 message sets a partition and drops the oldest without a word: four partitions a topic,
//! and batches of 20 ms, leave an order of magnitude to spare.
#![expect(clippy::disallowed_methods, reason = "it owns the thread of the demo's source")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::source::{Source, SourceRecord};
use crate::runtime::Clock;

/// Partitions of each topic.
pub(super) const PARTITIONS: i32 = 4;

/// How often the source is asked what fell due.
const PACE: Duration = Duration::from_millis(25);

/// How long the last records may take to arrive.
const FLUSH: Duration = Duration::from_secs(5);

/// A broker that cannot serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    /// The client library refuses.
    #[error("the broker of the demo fails")]
    Kafka(#[from] KafkaError),
    /// No thread.
    #[error("the thread of the demo's source cannot be started")]
    Thread(#[from] std::io::Error),
    /// The thread panicked.
    #[error("the thread of the demo's source panicked")]
    Panicked,
}

/// The broker. It is gone when this is dropped, so everybody else has to be stopped before.
pub(super) struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Broker {
    /// Starts it, with these topics.
    pub(super) fn start(topics: &[&str]) -> Result<Broker, BrokerError> {
        let cluster = MockCluster::new(1)?;
        topics.iter().try_for_each(|topic| cluster.create_topic(topic, PARTITIONS, 1))?;
        Ok(Broker { cluster })
    }

    pub(super) fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

/// The source, producing.
pub(super) struct Producing {
    changes: Arc<AtomicU64>,
    stop: Sender<()>,
    thread: JoinHandle<Result<(), BrokerError>>,
}

impl Producing {
    pub(super) fn start(brokers: &str, source: Source, clock: Clock) -> Result<Producing, BrokerError> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("client.id", "demo-source")
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("partitioner", "murmur2_random")
            .create()?;
        let (changes, (stop, stopped)) = (Arc::new(AtomicU64::new(0)), channel());
        let counted = Arc::clone(&changes);
        let work = move || produce(&producer, source, clock, &counted, &stopped);
        let thread = std::thread::Builder::new().name("demo-source".into()).spawn(work)?;
        Ok(Producing { changes, stop, thread })
    }

    /// Rows changed at the source so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// The same count, for whoever outlives this.
    #[cfg(test)]
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.changes)
    }

    /// Whether the thread has ended, which it does by itself only when it fails.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops producing, once everything produced has arrived. Blocking.
    pub(super) fn stop(self) -> Result<(), BrokerError> {
        drop(self.stop);
        self.thread.join().map_err(|_| BrokerError::Panicked)?
    }
}

fn produce(
    producer: &BaseProducer,
    mut source: Source,
    clock: Clock,
    changes: &AtomicU64,
    stopped: &Receiver<()>,
) -> Result<(), BrokerError> {
    let began = clock.now();
    while stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        let elapsed = u64::try_from(clock.now().since(began).as_millis()).unwrap_or(u64::MAX);
        for record in source.advance(elapsed) {
            send(producer, &record)?;
        }
        producer.poll(Duration::ZERO);
        changes.store(source.changes(), Ordering::Relaxed);
    }
    producer.flush(FLUSH)?;
    Ok(())
}

fn send(producer: &BaseProducer, record: &SourceRecord) -> Result<(), KafkaError> {
    let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
    loop {
        let base = BaseRecord::to(record.topic).key(record.key.as_str());
        let base = match &record.value {
            Some(value) => base.payload(value.as_str()),
            None => base,
        };
        match producer.send(base) {
            Err((error, _)) if error == full => {
                producer.poll(PACE);
            }
            Err((error, _)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
}
