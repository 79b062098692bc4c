//! The same changes in Avro: decoded and tracked from memory, beside `apache-avro` reading the same bytes into its own values.

use std::time::Instant;

use afterimage::decode::{self, Schemas};
use afterimage::model::{Batch, Definition, PartitionId, SchemaId};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use crate::memory::{BATCH, BATCHES, CHANGES, Stage, rate};
use crate::record::update;

/// What the registry calls the two schemas.
const KEY: u32 = 1;
const VALUE: u32 = 2;

/// As Connect's Avro converter writes the schema of an envelope of Debezium's PostgreSQL connector.
const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","namespace":"shop.public.orders","connect.version":2,
"connect.name":"shop.public.orders.Envelope","fields":[
{"name":"before","type":["null",{"type":"record","name":"Value","connect.name":"shop.public.orders.Value","fields":[
 {"name":"id","type":"long"},{"name":"customer","type":["null","string"]},{"name":"email","type":["null","string"]},
 {"name":"street","type":["null","string"]},{"name":"city","type":["null","string"]},{"name":"country","type":["null","string"]},
 {"name":"status","type":["null","string"]},{"name":"quantity","type":["null","int"]},{"name":"total","type":["null","double"]},
 {"name":"paid","type":["null","boolean"]},{"name":"note","type":["null","string"]},{"name":"version","type":["null","long"]}]}]},
{"name":"after","type":["null","Value"]},
{"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[
 {"name":"version","type":"string"},{"name":"connector","type":"string"},{"name":"name","type":"string"},
 {"name":"ts_ms","type":"long"},{"name":"snapshot","type":["null","string"]},{"name":"db","type":"string"},
 {"name":"sequence","type":["null","string"]},{"name":"ts_us","type":["null","long"]},{"name":"ts_ns","type":["null","long"]},
 {"name":"schema","type":"string"},{"name":"table","type":"string"},{"name":"txId","type":["null","long"]},
 {"name":"lsn","type":["null","long"]},{"name":"xmin","type":["null","long"]}]}},
{"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event","fields":[
 {"name":"id","type":"string"},{"name":"total_order","type":"long"},{"name":"data_collection_order","type":"long"}]}]},
{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"]}]}"#;

const KEYS: &str = r#"{"type":"record","name":"Key","namespace":"shop.public.orders","connect.name":"shop.public.orders.Key",
"fields":[{"name":"id","type":"long"}]}"#;

/// One core, by stages; and the other reader, with what it needs kept and, as its simplest function has it, made anew.
pub(crate) fn changes_per_second() {
    let batches = batches();
    let best = |run: &dyn Fn() -> f64| (0..3).map(|_| run()).fold(0.0, f64::max);
    let ours = |stage| best(&|| rate(stage, &batches, &mut *decoder()));
    let bytes: usize = batches[0].records().map(|record| record.value.map_or(0, <[u8]>::len)).sum();
    let json: usize = (0..BATCH).map(|id| update(id, id).1.len()).sum();
    let (decoded, canonical, tracked) = (ours(Stage::Decoded), ours(Stage::Canonical), ours(Stage::Tracked));
    let line = serde_json::json!({
        "bench": "decode + track Avro from memory", "changes": CHANGES, "bytes_per_record": bytes / BATCH as usize,
        "json_bytes_per_record": json / BATCH as usize,
        "decoded_per_s_core": decoded.round(), "canonical_per_s_core": canonical.round(), "changes_per_s_core": tracked.round(),
        "from_avro_datum_per_s_core": best(&|| from_avro_datum(&batches)).round(),
        "generic_datum_reader_per_s_core": best(&|| generic_reader(&batches)).round(),
    });
    println!("{line}");
}

fn decoder() -> Box<dyn decode::Decoder> {
    taught("AVRO", [(KEY, KEYS), (VALUE, ENVELOPE)])
}

/// A decoder that knows these schemas, by their ids.
pub(crate) fn taught(language: &str, schemas: [(u32, &str); 2]) -> Box<dyn decode::Decoder> {
    let mut decoder = decode::decoder(&decode::Options { schemas: Schemas::Registry, ..decode::Options::default() });
    for (id, text) in schemas {
        let definition = Definition { language: language.into(), text: text.into(), references: Vec::new() };
        decoder.learn(SchemaId::Short(id), &definition);
    }
    decoder
}

/// The updates of the other measurements, converted.
fn batches() -> Vec<Batch> {
    let (keys, envelope) = (Schema::parse_str(KEYS).expect("a schema"), Schema::parse_str(ENVELOPE).expect("a schema"));
    let framed = |id: u32, schema: &Schema, json: &str| {
        let json: serde_json::Value = serde_json::from_str(json).expect("updates are JSON");
        let value =
            Value::try_from(json).expect("JSON can be a value").resolve(schema).expect("an update fits its schema");
        let writer = GenericDatumWriter::builder(schema).build().expect("a writer");
        [&[0][..], &id.to_be_bytes(), &writer.write_value_to_vec(value).expect("it is of its schema")].concat()
    };
    let batch = |index: u64| {
        let mut batch = Batch::default();
        for id in index * BATCH..(index + 1) * BATCH {
            let (key, value) = update(id, id);
            let (key, value) = (framed(KEY, &keys, &key), framed(VALUE, &envelope, &value));
            let no_headers = std::iter::empty::<(&[u8], Option<&[u8]>)>();
            batch.push((PartitionId(0), id, Some(0)), Some(&key), Some(&value), no_headers);
        }
        batch
    };
    (0..BATCHES).map(batch).collect()
}

/// Values per second of somebody else's reader; keys are not read.
fn values(batches: &[Batch], mut read: impl FnMut(&mut &[u8]) -> Value) -> f64 {
    let mut count = 0u64;
    let began = Instant::now();
    for batch in batches {
        for record in batch.records() {
            std::hint::black_box(read(&mut &record.value.unwrap_or_default()[5..]));
            count += 1;
        }
    }
    count as f64 / began.elapsed().as_secs_f64()
}

#[expect(deprecated, reason = "it is what the measurement is named after")]
fn from_avro_datum(batches: &[Batch]) -> f64 {
    let schema = Schema::parse_str(ENVELOPE).expect("a schema");
    values(batches, |datum| apache_avro::from_avro_datum(&schema, datum, None).expect("an update"))
}

fn generic_reader(batches: &[Batch]) -> f64 {
    let schema = Schema::parse_str(ENVELOPE).expect("a schema");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
    values(batches, |datum| reader.read_value(datum).expect("an update"))
}
