//! Debezium events whose schema is in a registry, whatever it is written in.

use std::borrow::Cow;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::facts::{Facts, Images};
use super::flattened::FlatRow;
use super::key::{self, RecordKey};
use super::schema::{Declared, Schema};
use super::source::{Said, Source};
use super::told::Plan;
use super::wrapping::Unwrapped;
use super::{Debezium, Meaning};
use crate::decode::frame::{Break, Framed, framed};
use crate::decode::memo::{Tables, recall};
use crate::decode::{Format, Schemas, Understood};
use crate::model::change::TableName;
use crate::model::schema::Part;
use crate::model::{Definition, Op, Record, Row, SchemaId, Wanted};

/// What came of a framed value.
#[expect(clippy::large_enum_variant, reason = "nearly all are read, and one is held at a time")]
pub(in crate::decode) enum Opened<'a> {
    /// It is understood, as a record of this format.
    Read(Format, Understood<'a>),
    /// It is JSON under this schema.
    Text(Option<Arc<Schema>>, &'a str),
}

/// An envelope as read.
#[derive(Default)]
pub(super) struct Read<'p, 'a> {
    pub(super) before: Option<WireRow<'a>>,
    pub(super) after: Option<WireRow<'a>>,
    pub(super) source: Option<Source<'a, Typed<'a>>>,
    pub(super) op: Option<&'a str>,
    /// What the schema says of `after`, or where there is none, of `before`.
    pub(super) declared: Option<Declared<'p>>,
}

/// A row, as far as it could be understood.
pub(super) struct WireRow<'a> {
    pub(super) row: Row<'a>,
    /// Columns that carry the marker of "not sent".
    pub(super) marked: Vec<u16>,
    /// The first column whose value is not what it is declared to be.
    pub(super) flaw: Option<String>,
}

/// What a binary value is.
#[expect(clippy::large_enum_variant, reason = "nearly all are envelopes, and one is held at a time")]
pub(super) enum Held<'p, 'a> {
    Envelope(Read<'p, 'a>),
    Control(&'static str),
    /// No envelope.
    Row(WireRow<'a>, Declared<'p>),
    /// No record.
    Other,
}

/// What a binary key is.
pub(super) enum HeldKey<'a> {
    Columns(WireRow<'a>),
    /// No record of columns: the text that it would be in JSON.
    Bare(Cow<'a, str>),
}

/// A simple value with its type.
#[derive(Debug, Clone, Copy)]
pub(super) enum Typed<'a> {
    Bool(bool),
    Int(i64),
    Text(&'a str),
}

impl<'a> Said<'a> for Typed<'a> {
    fn int(self) -> Option<i64> {
        match self {
            Typed::Int(value) => Some(value),
            Typed::Text(text) => text.parse().ok(),
            Typed::Bool(_) => None,
        }
    }

    fn text(self) -> Option<Cow<'a, str>> {
        self.inside().map(Cow::Borrowed)
    }

    fn inside(self) -> Option<&'a str> {
        match self {
            Typed::Text(text) => Some(text),
            Typed::Int(_) | Typed::Bool(_) => None,
        }
    }

    fn is_no(self) -> bool {
        matches!(self, Typed::Bool(false) | Typed::Text("false"))
    }

    fn table(self, schema: Option<Self>, tables: &mut Tables) -> Option<TableName> {
        let name = self.inside().filter(|name| !name.is_empty())?;
        Some(tables.named(schema.and_then(Typed::inside).unwrap_or_default(), name))
    }
}

/// Which record of Debezium's own that carries no change has this name.
pub(super) fn control(name: &str) -> Option<&'static str> {
    match name.strip_prefix("io.debezium.connector.")?.rsplit_once('.')?.1 {
        "Heartbeat" => Some("heartbeat"),
        "TransactionMetadataValue" => Some("transaction"),
        "SchemaChangeValue" => Some("schema-change"),
        _ => None,
    }
}

impl Debezium {
    /// Takes what a schema says.
    pub(in crate::decode) fn learn(&mut self, id: SchemaId, definition: &Definition) {
        self.told.learn(id, definition);
    }

    /// Understands a value whose schema is in a registry, as far as that needs more than the text it may be.
    pub(in crate::decode) fn decode_framed<'a>(
        &mut self,
        topic: &str,
        record: &Record<'a>,
        value: Framed<'a>,
    ) -> Result<Opened<'a>, Wanted> {
        let held = match self.told.get(value.id, Part::Value)? {
            Ok(Plan::Avro(plan)) => {
                return self.binary((topic, record), plan.value(&self.marks, value.body));
            }
            Ok(Plan::Protobuf(plan)) => {
                return self.binary((topic, record), plan.value(&self.marks, &value));
            }
            Ok(Plan::Text(schema)) => utf8(value.body).map(|text| Opened::Text(schema, text)),
            Err(reason) => Err(reason.to_string()),
        };
        Ok(held.unwrap_or_else(|reason| Opened::Read(Format::Debezium, rejected(reason, None))))
    }

    fn binary<'a>(
        &mut self,
        letter: (&str, &Record<'a>),
        held: Result<Held<'_, 'a>, Break>,
    ) -> Result<Opened<'a>, Wanted> {
        let (format, understood) = match held {
            Ok(Held::Envelope(read)) => (Format::Debezium, self.interpret(letter, read)?),
            Ok(Held::Control(word)) => (Format::Debezium, Understood::Control(word)),
            Ok(Held::Row(row, declared)) => (Format::Flattened, self.framed_row(letter, row, declared)?),
            Ok(Held::Other) => (Format::Auto, rejected("its schema is that of no record".to_owned(), None)),
            Err(broken) => (Format::Debezium, rejected(broken.to_string(), None)),
        };
        Ok(Opened::Read(format, understood))
    }

    fn framed_row<'a>(
        &mut self,
        (topic, record): (&str, &Record<'a>),
        row: WireRow<'a>,
        declared: Declared<'_>,
    ) -> Result<Understood<'a>, Wanted> {
        let (row, marked) = match row {
            WireRow { flaw: Some(flaw), .. } => return Ok(rejected(flaw, None)),
            WireRow { row, .. } if row.cells.is_empty() => return Ok(rejected("it has no fields".to_owned(), None)),
            WireRow { row, marked, flaw: None } => (row, marked),
        };
        let record_key = match self.record_key(topic, record)? {
            Ok(key) => key,
            Err(reason) => return Ok(rejected(reason, None)),
        };
        let row = FlatRow { row, marked, declared: Some(declared) };
        Ok(self.row((topic, record), row, record_key).unwrap_or_else(Understood::Reject))
    }

    fn interpret<'a>(
        &mut self,
        (topic, record): (&str, &Record<'a>),
        read: Read<'_, 'a>,
    ) -> Result<Understood<'a>, Wanted> {
        let Read { before, after, source: Some(source), op: Some(op), declared } = read else {
            return Ok(rejected("it has no `op` and `source`".to_owned(), None));
        };
        let table = source.table(&mut self.memory.tables);
        let fault = |reason: String| Ok(rejected(reason, table.clone()));
        let op = match Meaning::of(op) {
            Some(Meaning::Row(op)) => op,
            Some(Meaning::Message) => return Ok(Understood::Control("message")),
            None => return fault(super::UNKNOWN_OP.to_owned()),
        };
        let Some(name) = table.clone() else { return fault(super::NO_TABLE.to_owned()) };
        let images = match images(before, after) {
            Ok(images) => images,
            Err(reason) => return fault(reason),
        };
        let record_key = match op {
            Op::Truncate => RecordKey::Missing,
            Op::Insert | Op::Read | Op::Update | Op::Delete => match self.record_key(topic, record)? {
                Ok(key) => key,
                Err(reason) => return fault(reason),
            },
        };
        let rule = self.keys.of(&name);
        let facts = Facts { op, table: name, source: source.provenance(), record_key, images, declared };
        Ok(facts.understand(rule.as_deref(), record).unwrap_or_else(|reason| rejected(reason, table)))
    }

    /// The key of a record, in whichever form it is.
    fn record_key<'a>(&mut self, topic: &str, record: &Record<'a>) -> Result<Result<RecordKey<'a>, String>, Wanted> {
        if let Some(framed) = self.framed_key(Schemas::Registry, topic, record)? {
            return Ok(framed);
        }
        let topic = recall(&mut self.topics, &xxh3_64(topic.as_bytes()));
        Ok(key::read(record.key, topic, &mut self.memory.schemas, &mut self.memory.shapes))
    }

    /// A key whose schema is in a registry; nothing where it names none.
    pub(in crate::decode) fn framed_key<'a>(
        &mut self,
        schemas: Schemas,
        topic: &str,
        record: &Record<'a>,
    ) -> Result<Option<Result<RecordKey<'a>, String>>, Wanted> {
        let framed =
            match record.key.filter(|_| schemas == Schemas::Registry).and_then(|key| framed(record, Part::Key, key)) {
                Some(Ok(framed)) => framed,
                Some(Err(reason)) => return Ok(Some(Err(format!("record key: {reason}")))),
                None => return Ok(None),
            };
        let read = match self.told.get(framed.id, Part::Key)? {
            Ok(Plan::Avro(plan)) => self.binary_key(plan.key(framed.body)),
            Ok(Plan::Protobuf(plan)) => self.binary_key(plan.key(&framed)),
            Ok(Plan::Text(schema)) => utf8(framed.body).and_then(|payload| {
                let last = recall(&mut self.topics, &xxh3_64(topic.as_bytes()));
                key::columns(Unwrapped { schema, payload, guessed: false }, last, &mut self.memory.shapes)
            }),
            Err(reason) => Err(reason.to_string()),
        };
        Ok(Some(read.map_err(|reason| match reason.starts_with("record key: ") {
            true => reason,
            false => format!("record key: {reason}"),
        })))
    }

    fn binary_key<'a>(&mut self, held: Result<HeldKey<'a>, Break>) -> Result<RecordKey<'a>, String> {
        match held.map_err(|broken| broken.to_string())? {
            HeldKey::Columns(WireRow { flaw: Some(flaw), .. }) => Err(flaw),
            HeldKey::Columns(WireRow { row, .. }) if row.cells.is_empty() => Ok(RecordKey::Unnamed(Cow::Borrowed(""))),
            HeldKey::Columns(WireRow { row, .. }) => {
                Ok(RecordKey::Columns(key::without_routing(row, &mut self.memory.shapes)))
            }
            HeldKey::Bare(text) => Ok(RecordKey::Unnamed(text)),
        }
    }
}

fn utf8(body: &[u8]) -> Result<&str, String> {
    simdutf8::compat::from_utf8(body).map_err(|error| format!("JSON that is not UTF-8: byte {}", error.valid_up_to()))
}

fn images<'a>(before: Option<WireRow<'a>>, after: Option<WireRow<'a>>) -> Result<Images<'a>, String> {
    let flaw = [&before, &after].into_iter().flatten().find_map(|row| row.flaw.clone());
    if let Some(flaw) = flaw {
        return Err(flaw);
    }
    let (after, marked) = after.map_or((None, Vec::new()), |after| (Some(after.row), after.marked));
    Ok(Images { before: before.map(|before| before.row), after, placeholders: marked.into() })
}

fn rejected<'a>(reason: String, table: Option<TableName>) -> Understood<'a> {
    Understood::Reject(super::reject(reason, table))
}
