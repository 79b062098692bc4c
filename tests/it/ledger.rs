//! What the log itself says: the newest event of every key, with its position. Findings are compared with this, not with what the
//! test believes to have written.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kafka::{Kafka, Record};

/// A table and the JSON of a key's columns in the order of their names.
pub(crate) type Spot = (String, String);

/// One change event of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The connector's letter: `c`, `u`, `d` or `r`.
    pub(crate) op: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// The newest event of every key in `topics`. Tombstones, which repeat a delete, do not count. Blocks its thread.
pub(crate) fn newest(kafka: &Kafka, topics: &[String]) -> BTreeMap<Spot, Event> {
    let records = topics.iter().flat_map(|topic| kafka.read_all(topic));
    records.filter_map(|record| event(&record)).collect()
}

/// The spot of a key given as an object in any order.
pub(crate) fn spot(table: &str, key: &Value) -> Spot {
    let columns: BTreeMap<_, _> = key.as_object().expect("a key is an object").iter().collect();
    (table.to_owned(), serde_json::to_string(&columns).expect("a map of JSON values is JSON"))
}

fn event(record: &Record) -> Option<(Spot, Event)> {
    let value = payload(record.value.as_deref()?);
    let key = payload(record.key.as_deref().expect("every table of the load has a key"));
    let table = value["source"]["table"].as_str().expect("a change names its table");
    let op = value["op"].as_str().expect("a change has an operation").to_owned();
    let (topic, partition, offset) = (record.topic.clone(), record.partition, record.offset);
    Some((spot(table, &key), Event { op, topic, partition, offset }))
}

/// The payload of a JSON record that carries its schema.
fn payload(bytes: &[u8]) -> Value {
    let mut record: Value = serde_json::from_slice(bytes).expect("the connectors write JSON");
    record["payload"].take()
}
