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
pub(crate) fn newest(kafka: &Kafka, topics: &[String], schemas: &mut Schemas) -> BTreeMap<Spot, Event> {
    let records = topics.iter().flat_map(|topic| kafka.read_all(topic));
    records.filter_map(|record| event(&record, schemas)).collect()
}

/// The same of topics that carry rows alone, in JSON: a null value is a delete, and so is a row that says of itself that it is one.
pub(crate) fn newest_of_rows(kafka: &Kafka, topics: &[String]) -> BTreeMap<Spot, Event> {
    let schemas = &mut Schemas::new(None);
    let records = topics.iter().flat_map(|topic| kafka.read_all(topic));
    let event = |record: Record| {
        let value = record.value.as_deref().map(|value| payload(value, schemas));
        let key = payload(record.key.as_deref().expect("every table of the load has a key"), schemas);
        let table = record.topic.rsplit('.').next().expect("a split gives one part at least");
        let is_delete = value.is_none_or(|value| value["__deleted"] == "true");
        let op = if is_delete { "d" } else { "u" }.to_owned();
        (
            spot(table, &key),
            Event { op, topic: record.topic.clone(), partition: record.partition, offset: record.offset },
        )
    };
    records.map(event).collect()
}

/// Schemas of Avro records, read by somebody else's reader.
pub(crate) struct Schemas {
    registry: Option<String>,
    known: BTreeMap<u32, apache_avro::Schema>,
}

impl Schemas {
    pub(crate) fn new(registry: Option<String>) -> Self {
        Self { registry, known: BTreeMap::new() }
    }

    /// A framed datum as JSON.
    fn read(&mut self, framed: &[u8]) -> Value {
        let (frame, mut datum) = framed.split_at(5);
        let id = u32::from_be_bytes(frame[1..].try_into().expect("four bytes"));
        let registry = self.registry.as_deref().expect("Avro records have a registry");
        let schema = self.known.entry(id).or_insert_with(|| fetch(registry, id));
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(schema).build().expect("a reader");
        let value = reader.read_value(&mut datum).expect("the connectors write what they registered");
        value.try_into().expect("a datum can be shown as JSON")
    }
}

fn fetch(registry: &str, id: u32) -> apache_avro::Schema {
    let url = format!("{registry}/schemas/ids/{id}");
    let answer = tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async { reqwest::get(url).await?.json::<Value>().await })
    });
    let answer = answer.expect("the registry answers");
    apache_avro::Schema::parse_str(answer["schema"].as_str().expect("a schema")).expect("it is Avro")
}

/// The spot of a key given as an object in any order.
pub(crate) fn spot(table: &str, key: &Value) -> Spot {
    let columns: BTreeMap<_, _> = key.as_object().expect("a key is an object").iter().collect();
    (table.to_owned(), serde_json::to_string(&columns).expect("a map of JSON values is JSON"))
}

fn event(record: &Record, schemas: &mut Schemas) -> Option<(Spot, Event)> {
    let value = payload(record.value.as_deref()?, schemas);
    let key = payload(record.key.as_deref().expect("every table of the load has a key"), schemas);
    let table = value["source"]["table"].as_str().expect("a change names its table");
    let op = value["op"].as_str().expect("a change has an operation").to_owned();
    let (topic, partition, offset) = (record.topic.clone(), record.partition, record.offset);
    Some((spot(table, &key), Event { op, topic, partition, offset }))
}

/// The payload of a JSON record that carries its schema, or of an Avro record.
fn payload(bytes: &[u8], schemas: &mut Schemas) -> Value {
    if bytes.first() == Some(&0) {
        return schemas.read(bytes);
    }
    let mut record: Value = serde_json::from_slice(bytes).expect("the connectors write JSON");
    record["payload"].take()
}
