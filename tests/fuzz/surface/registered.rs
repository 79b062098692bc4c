//! Records whose schemas are in a registry, in each language: the schema is as hostile as the record.
//!
//! The parts: settings as of other records, the key's schema, the value's schema, then key and value of each record in turn.
//! With the letter `f` records are framed as Confluent's serializers do, under the ids 1 and 2; without it they come as they
//! are. A schema that refers to others holds them first, with lines `==` between all of them, each behind a line with its name.

use afterimage::decode::{Format, Options, Schemas};
use afterimage::model::{Definition, Reference};

use super::record::{Schemata, Settings, check};
use super::{parts, split};

pub(crate) fn avro(bytes: &[u8]) {
    of("AVRO", bytes);
}

pub(crate) fn protobuf(bytes: &[u8]) {
    of("PROTOBUF", bytes);
}

pub(crate) fn json_schema(bytes: &[u8]) {
    of("JSON", bytes);
}

fn of(language: &str, bytes: &[u8]) {
    let parts = parts(bytes);
    let [settings, key, value, records @ ..] = &parts[..] else { return };
    let settings = Settings::read(settings);
    // Connect's own schemas come from registries, too.
    let language = if settings.says(b'c') { "KCONNECT" } else { language };
    let schemata =
        Schemata { key: definition(language, key), value: definition(language, value), ..Schemata::default() };
    let format = if settings.says(b'd') { Format::Debezium } else { Format::Auto };
    let options = Options { format, schemas: Schemas::Registry, ..settings.options() };
    let framed: Vec<Vec<u8>> =
        records.iter().enumerate().map(|(index, record)| frame(&settings, index, record)).collect();
    let records: Vec<&[u8]> = framed.iter().map(Vec::as_slice).collect();
    check(&options, &settings.batch(&records), &schemata);
}

fn frame(settings: &Settings<'_>, index: usize, record: &[u8]) -> Vec<u8> {
    if !settings.says(b'f') || record == b"~" {
        return record.to_vec();
    }
    let id = if index.is_multiple_of(2) { 1 } else { 2 };
    [&[0, 0, 0, 0, id], record].concat()
}

/// A schema and what it refers to; `None` where it is no text, which a registry does not hold.
fn definition(language: &str, bytes: &[u8]) -> Option<Definition> {
    let mut texts = Vec::new();
    for text in split(bytes, b"\n==\n") {
        texts.push(std::str::from_utf8(text).ok()?);
    }
    let text = texts.pop()?.to_owned();
    let reference = |text: &str| {
        let (name, text) = text.split_once('\n').unwrap_or((text, ""));
        Reference { name: name.to_owned(), text: text.to_owned() }
    };
    Some(Definition { language: language.to_owned(), text, references: texts.into_iter().map(reference).collect() })
}
