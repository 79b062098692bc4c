//! The same changes in Protobuf: decoded and tracked from memory, beside `prost-reflect` reading the same bytes.

use std::time::Instant;

use afterimage::decode::{self};
use afterimage::model::{Batch, PartitionId};
use prost_reflect::prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};
use protox::Compiler;
use protox::file::{File, FileResolver};

use crate::memory::{BATCH, BATCHES, CHANGES, Stage, rate};
use crate::record::update;

/// What the registry calls the two schemas.
const KEY: u32 = 1;
const VALUE: u32 = 2;

/// As Confluent's converter writes the schema of an envelope of Debezium's PostgreSQL connector, told to keep nulls.
const ENVELOPE: &str = r#"syntax = "proto3"; package shop.public.orders;
message Envelope { Value before = 1; Value after = 2; Source source = 3; Block transaction = 4; string op = 5;
    optional int64 ts_ms = 6;
    message Value { int64 id = 1; optional string customer = 2; optional string email = 3; optional string street = 4;
        optional string city = 5; optional string country = 6; optional string status = 7; optional int32 quantity = 8;
        optional double total = 9; optional bool paid = 10; optional string note = 11; optional int64 version = 12; }
    message Source { string version = 1; string connector = 2; string name = 3; int64 ts_ms = 4; optional string snapshot = 5;
        string db = 6; optional string sequence = 7; optional int64 ts_us = 8; optional int64 ts_ns = 9; string schema = 10;
        string table = 11; optional int64 txId = 12; optional int64 lsn = 13; optional int64 xmin = 14; }
    message Block { string id = 1; int64 total_order = 2; int64 data_collection_order = 3; } }"#;

const KEYS: &str = r#"syntax = "proto3"; package shop.public.orders; message Key { int64 id = 1; }"#;

/// One core, by stages; and the other reader.
pub(crate) fn changes_per_second() {
    let envelope = descriptor(ENVELOPE, "shop.public.orders.Envelope");
    let batches = batches(&envelope);
    let best = |run: &dyn Fn() -> f64| (0..3).map(|_| run()).fold(0.0, f64::max);
    let ours = |stage| best(&|| rate(stage, &batches, &mut *decoder()));
    let bytes: usize = batches[0].records().map(|record| record.value.map_or(0, <[u8]>::len)).sum();
    let (decoded, canonical, tracked) = (ours(Stage::Decoded), ours(Stage::Canonical), ours(Stage::Tracked));
    let line = serde_json::json!({
        "bench": "decode + track Protobuf from memory", "changes": CHANGES, "bytes_per_record": bytes / BATCH as usize,
        "decoded_per_s_core": decoded.round(), "canonical_per_s_core": canonical.round(), "changes_per_s_core": tracked.round(),
        "dynamic_message_per_s_core": best(&|| dynamic_messages(&batches, &envelope)).round(),
    });
    println!("{line}");
}

fn decoder() -> Box<dyn decode::Decoder> {
    super::avro::taught("PROTOBUF", [(KEY, KEYS), (VALUE, ENVELOPE)])
}

struct Only(&'static str);

impl FileResolver for Only {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        File::from_source(name, self.0)
    }
}

fn descriptor(text: &'static str, name: &str) -> MessageDescriptor {
    let mut compiler = Compiler::with_file_resolver(Only(text));
    compiler.open_file("t.proto").expect("a file of Protobuf");
    compiler.descriptor_pool().get_message_by_name(name).expect("it is defined")
}

/// The updates of the other measurements, converted.
fn batches(envelope: &MessageDescriptor) -> Vec<Batch> {
    let keys = descriptor(KEYS, "shop.public.orders.Key");
    let framed = |id: u32, descriptor: &MessageDescriptor, json: &str| {
        let mut json = serde_json::Deserializer::from_str(json);
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let message = DynamicMessage::deserialize_with_options(descriptor.clone(), &mut json, &options);
        let message = message.expect("an update fits its schema");
        [&[0][..], &id.to_be_bytes(), &[0], &message.encode_to_vec()].concat()
    };
    let batch = |index: u64| {
        let mut batch = Batch::default();
        for id in index * BATCH..(index + 1) * BATCH {
            let (key, value) = update(id, id);
            let (key, value) = (framed(KEY, &keys, &key), framed(VALUE, envelope, &value));
            let no_headers = std::iter::empty::<(&[u8], Option<&[u8]>)>();
            batch.push((PartitionId(0), id, Some(0)), Some(&key), Some(&value), no_headers);
        }
        batch
    };
    (0..BATCHES).map(batch).collect()
}

/// Values per second of somebody else's reader; keys are not read.
fn dynamic_messages(batches: &[Batch], envelope: &MessageDescriptor) -> f64 {
    let mut count = 0u64;
    let began = Instant::now();
    for record in batches.iter().flat_map(Batch::records) {
        let body = &record.value.unwrap_or_default()[6..];
        std::hint::black_box(DynamicMessage::decode(envelope.clone(), body).expect("an update"));
        count += 1;
    }
    count as f64 / began.elapsed().as_secs_f64()
}
