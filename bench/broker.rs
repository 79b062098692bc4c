//! From a broker: a bare consumer that only counts bytes, then the whole road up to the tracked version, on one topic.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use afterimage::decode::{self, Understood};
use afterimage::engine::{Engine, Input, Options};
use afterimage::model::{Batch, Position, Record, Tick};
use afterimage::runtime::ordered::{Ordered, threads};
use afterimage::tap::kafka::{Brokers, KafkaOptions, Reading};
use afterimage::tap::position::{Place, Places};
use afterimage::tap::{self, Behind, Partitions, TapEvent, TapOptions};
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::process::{cpu, make_topic, remove_topic};
use crate::record::{NoImages, Tracker, update};

const RECORDS: u64 = 1_000_000;
const PARTITIONS: i32 = 4;
const ROUNDS: usize = 4;

/// Records per second, and microseconds of processor time per record.
type Run = (f64, f64);

/// Runs both in turn, so that neither has the warmer cache or the better minute; the best run of each counts.
pub(crate) fn consume_decode_track(brokers: &str) {
    let topic = format!("afterimage-bench-{}", std::process::id());
    fill(brokers, &topic);
    let settings: [&[(&str, &str)]; 2] =
        [&[], &[("queued.max.messages.kbytes", "262144"), ("queued.min.messages", "500000"), ("check.crcs", "false")]];
    let turn = |index| (bare_consumer(brokers, &topic, settings[index % 2]), whole_road(brokers, &topic));
    let (bare, whole): (Vec<Run>, Vec<Run>) = (0..ROUNDS).map(turn).unzip();
    let best =
        |runs: &[Run]| runs.iter().copied().fold((0.0, 0.0), |best, run| if run.0 > best.0 { run } else { best });
    let (bare, whole) = (best(&bare), best(&whole));
    let line = serde_json::json!({
        "bench": "consume + decode + track", "records": RECORDS, "partitions": PARTITIONS,
        "bare_per_s": bare.0.round(), "bare_cpu_us": bare.1, "whole_per_s": whole.0.round(), "whole_cpu_us": whole.1,
        "share": (whole.0 / bare.0 * 1000.0).round() / 1000.0,
    });
    println!("{line}");
    runtime().block_on(remove_topic(brokers, &topic));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

fn fill(brokers: &str, topic: &str) {
    runtime().block_on(make_topic(brokers, topic, PARTITIONS));
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "50")
        .set("queue.buffering.max.messages", "2000000")
        .set("queue.buffering.max.kbytes", "2000000")
        .create()
        .expect("a producer starts");
    for id in 0..RECORDS {
        let (key, value) = update(id, id);
        let mut record = BaseRecord::to(topic).key(&key).payload(&value).partition((id % PARTITIONS as u64) as i32);
        while let Err((_, back)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = back;
        }
        if id % 10_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(120)).expect("everything is written");
}

fn bare_consumer(brokers: &str, topic: &str, extra: &[(&str, &str)]) -> Run {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "afterimage-bench").set("enable.auto.commit", "false");
    extra.iter().for_each(|(name, value)| {
        config.set(*name, *value);
    });
    let consumer: BaseConsumer = config.create().expect("a consumer starts");
    let mut partitions = rdkafka::TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(topic, partition, rdkafka::Offset::Beginning).expect("it is a partition");
    }
    consumer.assign(&partitions).expect("it can be assigned");
    let (mut records, mut bytes) = (0u64, 0usize);
    let (began, cpu_before) = (Instant::now(), cpu(std::process::id()));
    while records < RECORDS {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            records += 1;
            bytes += message.payload().map_or(0, <[u8]>::len);
        }
    }
    assert!(bytes > 0, "records have bytes");
    rate(began, cpu_before)
}

fn rate(began: Instant, cpu_before: f64) -> Run {
    let took = began.elapsed().as_secs_f64();
    let micros = (cpu(std::process::id()) - cpu_before) * 1e6 / RECORDS as f64;
    (RECORDS as f64 / took, (micros * 100.0).round() / 100.0)
}

/// Hands batches to decoding threads and their changes on, in the tap's order.
fn in_order(events: &Receiver<TapEvent>, tracked: &SyncSender<Vec<Input>>) {
    let mut decoding = Ordered::start("decode", (0..threads()).map(|_| decoder())).expect("threads can be started");
    let hand_on = |decoding: &mut Ordered<Batch, Vec<Input>>| match decoding.answer() {
        Some(inputs) => tracked.send(inputs.expect("decoding goes on")).is_ok(),
        None => false,
    };
    while let Ok(event) = events.recv() {
        match event {
            TapEvent::Records(batch) => {
                if !decoding.has_room() {
                    hand_on(&mut decoding);
                }
                decoding.ask(batch).expect("decoding goes on");
            }
            TapEvent::Assigned { partition, next } => {
                while hand_on(&mut decoding) {}
                let _ = tracked.send(vec![Input::Assigned { partition, next }]);
            }
            TapEvent::Ended => break,
            TapEvent::Reached { .. }
            | TapEvent::Revoked { .. }
            | TapEvent::Gap { .. }
            | TapEvent::Replaced { .. }
            | TapEvent::RangeEnds { .. }
            | TapEvent::Failed(_) => {}
        }
    }
    while hand_on(&mut decoding) {}
}

fn decoder() -> impl FnMut(Batch) -> Vec<Input> {
    let mut decoder = decode::decoder(&decode::Options::default());
    let mut tracker = Tracker::new();
    move |batch| {
        let of = |record: Record<'_>| {
            let at = Position { partition: record.partition, offset: record.offset };
            let understood = decoder.decode("orders", record);
            let Ok(Understood::Change(change)) = understood else { unreachable!("updates only: {understood:?}") };
            Input::Change(tracker.track(at, change))
        };
        batch.records().map(of).collect()
    }
}

/// Tap thread → decoding threads → engine thread, as in the runtime.
fn whole_road(brokers: &str, topic: &str) -> Run {
    let options = KafkaOptions {
        brokers: Brokers { bootstrap: brokers.to_owned(), properties: BTreeMap::new() },
        topics: vec![topic.to_owned()],
        group: String::new(),
        reading: Reading::Range {
            from: Places::all(Place::Beginning),
            to: Places::all(Place::End),
            behind: Behind::Left,
        },
    };
    let (began, cpu_before) = (Instant::now(), cpu(std::process::id()));
    let (events, control) = tap::start(TapOptions::Kafka(options), Partitions::default()).expect("the tap starts");
    let (tracked, inputs) = sync_channel::<Vec<Input>>(8);
    let ingest = std::thread::spawn(move || in_order(&events, &tracked));
    let mut engine = Engine::new(Options { memory: usize::MAX, ..Options::default() }, Box::new(NoImages));
    for batch in inputs {
        for input in batch {
            engine.handle(input, Tick(1));
        }
    }
    ingest.join().expect("it ends");
    control.stop();
    assert_eq!(engine.counters().changes, RECORDS, "every record is tracked");
    rate(began, cpu_before)
}
