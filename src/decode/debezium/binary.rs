//! Debezium events in Avro: what a schema describes is told once, each record is read by it.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::columns::{AvroRow, AvroRows};
use super::flattened::FlatRow;
use super::key::RecordKey;
use super::source::{Field, Said, Source};
use super::{Debezium, Facts, Images, Meaning, key};
use crate::decode::avro::{Break, Cursor, Framed, NO_BRANCH, NodeId, Schema, Shape, framed};
use crate::decode::memo::{Tables, recall};
use crate::decode::row::Marks;
use crate::decode::{Format, Schemas, Understood};
use crate::model::change::TableName;
use crate::model::schema::Part;
use crate::model::{Definition, Op, Record, SchemaId, Wanted};

/// Most schemas that are kept; past it all are forgotten and asked for again.
const MAX_SCHEMAS: usize = 4_096;

/// Most bytes of the texts of all schemas that are kept, likewise.
const MAX_SCHEMA_BYTES: usize = 64 << 20;

/// Schemas that were told, by id.
#[derive(Debug, Default)]
pub(super) struct Told {
    plans: HashMap<SchemaId, Result<Arc<AvroPlan>, Arc<str>>>,
    bytes: usize,
}

impl Told {
    pub(super) fn learn(&mut self, id: SchemaId, definition: &Definition) {
        if self.plans.len() >= MAX_SCHEMAS || self.bytes + definition.bytes() > MAX_SCHEMA_BYTES {
            *self = Told::default();
        }
        self.bytes += definition.bytes();
        let unread = |reason: String| Arc::from(format!("its {id} cannot be read: {reason}"));
        let plan = match &*definition.language {
            "AVRO" => Schema::read(definition).map(|schema| Arc::new(AvroPlan::of(schema))).map_err(unread),
            other => Err(unread(format!("it is written in {other}; this version reads Avro"))),
        };
        self.plans.insert(id, plan);
    }

    fn get(&self, id: SchemaId, part: Part) -> Result<Result<Arc<AvroPlan>, Arc<str>>, Wanted> {
        self.plans.get(&id).cloned().ok_or(Wanted { id, part })
    }
}

/// What is known of a schema.
#[derive(Debug)]
pub(super) struct AvroPlan {
    schema: Schema,
    content: Content,
}

/// What a schema describes.
#[derive(Debug)]
enum Content {
    Envelope(Envelope),
    /// A record of Debezium's own that carries no change.
    Control(&'static str),
    /// Any other record.
    Rows(AvroRows),
    /// No record.
    Bare,
}

#[derive(Debug)]
struct Envelope {
    steps: Box<[Step]>,
    /// Where `before` and `after` differ in type, each has its own.
    rows: Vec<(NodeId, AvroRows)>,
}

/// A field of an envelope, and what becomes of it.
#[derive(Debug)]
enum Step {
    Before(Maybe, usize),
    After(Maybe, usize),
    Source(Maybe, Box<[(Option<Field>, NodeId)]>),
    Op(NodeId),
    Pass(NodeId),
}

/// A record that may be null.
#[derive(Debug)]
struct Maybe {
    /// Which branch it is, of how many; `None` where it cannot be null.
    branch: Option<(usize, usize)>,
}

impl Maybe {
    /// The record that a type is or may be.
    fn of(schema: &Schema, node: NodeId) -> Option<(Maybe, NodeId)> {
        let is_record = |node: &NodeId| matches!(schema.shape(*node), Shape::Record(_));
        let Shape::Union(branches) = schema.shape(node) else {
            return is_record(&node).then_some((Maybe { branch: None }, node));
        };
        let branch = branches.iter().position(is_record)?;
        let others = branches.iter().filter(|node| !matches!(schema.shape(**node), Shape::Null)).count();
        (others == 1).then(|| (Maybe { branch: Some((branch, branches.len())) }, branches[branch]))
    }

    /// Whether it is there.
    fn read(&self, cursor: &mut Cursor<'_>) -> Result<bool, Break> {
        match self.branch {
            Some((branch, count)) => Ok(cursor.choice(count, NO_BRANCH)? == branch),
            None => Ok(true),
        }
    }
}

impl AvroPlan {
    fn of(schema: Schema) -> AvroPlan {
        let control = debezium_name(&schema).and_then(control);
        let content = match (control, Envelope::of(&schema)) {
            (Some(word), _) => Content::Control(word),
            (None, Some(envelope)) => Content::Envelope(envelope),
            (None, None) => AvroRows::of(&schema, schema.root).map_or(Content::Bare, Content::Rows),
        };
        AvroPlan { schema, content }
    }
}

/// The name of a record of Debezium's own, without what it begins with.
fn debezium_name(schema: &Schema) -> Option<&str> {
    let notes = schema.node(schema.root).notes.as_deref()?;
    notes.connect_name.as_deref().or(notes.full_name.as_deref())?.strip_prefix("io.debezium.connector.")
}

fn control(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "Heartbeat" => Some("heartbeat"),
        "TransactionMetadataValue" => Some("transaction"),
        "SchemaChangeValue" => Some("schema-change"),
        _ => None,
    }
}

impl Envelope {
    /// What makes a record an envelope is what makes one of JSON: `op`, and a `source`.
    fn of(schema: &Schema) -> Option<Envelope> {
        let Shape::Record(fields) = schema.shape(schema.root) else { return None };
        let has = |name: &str| fields.iter().any(|field| &*field.name == name);
        if !has("op") || !has("source") {
            return None;
        }
        let mut envelope = Envelope { steps: Box::default(), rows: Vec::new() };
        let steps = fields.iter().map(|field| envelope.step(schema, &field.name, field.node)).collect();
        envelope.steps = steps;
        Some(envelope)
    }

    fn step(&mut self, schema: &Schema, name: &str, node: NodeId) -> Step {
        match (name, Maybe::of(schema, node)) {
            ("before", Some((maybe, record))) => Step::Before(maybe, self.row(schema, record)),
            ("after", Some((maybe, record))) => Step::After(maybe, self.row(schema, record)),
            ("source", Some((maybe, record))) => {
                let Shape::Record(fields) = schema.shape(record) else { return Step::Pass(node) };
                Step::Source(maybe, fields.iter().map(|field| (Field::named(&field.name), field.node)).collect())
            }
            ("op", _) => Step::Op(node),
            _ => Step::Pass(node),
        }
    }

    fn row(&mut self, schema: &Schema, record: NodeId) -> usize {
        match self.rows.iter().position(|(known, _)| *known == record) {
            Some(known) => known,
            None => {
                self.rows.extend(AvroRows::of(schema, record).map(|rows| (record, rows)));
                self.rows.len() - 1
            }
        }
    }

    fn read<'a>(&self, schema: &Schema, marks: &Marks, cursor: &mut Cursor<'a>) -> Result<Read<'a>, Break> {
        let mut read = Read::default();
        for step in &self.steps {
            match step {
                Step::Before(maybe, rows) if maybe.read(cursor)? => {
                    read.before = Some(self.rows[*rows].1.read(schema, marks, cursor)?);
                }
                Step::After(maybe, rows) if maybe.read(cursor)? => {
                    read.after = Some((self.rows[*rows].1.read(schema, marks, cursor)?, *rows));
                }
                Step::Source(maybe, fields) if maybe.read(cursor)? => {
                    let mut source = Source::default();
                    for (field, node) in fields {
                        match field {
                            Some(field) => {
                                typed(schema, *node, cursor)?.into_iter().for_each(|said| source.set(*field, said));
                            }
                            None => schema.skip(*node, cursor)?,
                        }
                    }
                    read.source = Some(source);
                }
                Step::Op(node) => read.op = typed(schema, *node, cursor)?.and_then(Typed::inside),
                Step::Pass(node) => schema.skip(*node, cursor)?,
                Step::Before(..) | Step::After(..) | Step::Source(..) => {}
            }
        }
        cursor.end()?;
        Ok(read)
    }
}

/// An envelope as read.
#[derive(Default)]
struct Read<'a> {
    before: Option<AvroRow<'a>>,
    /// The row, and which of the envelope's rows it is.
    after: Option<(AvroRow<'a>, usize)>,
    source: Option<Source<'a, Typed<'a>>>,
    op: Option<&'a str>,
}

/// A simple value with its type.
#[derive(Debug, Clone, Copy)]
enum Typed<'a> {
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

/// A simple value; nothing where it is null, or of another type.
fn typed<'a>(schema: &Schema, node: NodeId, cursor: &mut Cursor<'a>) -> Result<Option<Typed<'a>>, Break> {
    Ok(match schema.shape(node) {
        Shape::Union(branches) => {
            let branch = branches[cursor.choice(branches.len(), NO_BRANCH)?];
            // Unions do not nest.
            return typed(schema, branch, cursor);
        }
        Shape::Null => None,
        Shape::Boolean => Some(Typed::Bool(cursor.boolean()?)),
        Shape::Int => Some(Typed::Int(cursor.int()?.into())),
        Shape::Long => Some(Typed::Int(cursor.long()?)),
        Shape::Text => Some(Typed::Text(cursor.text()?)),
        Shape::Float
        | Shape::Double
        | Shape::Bytes
        | Shape::Fixed(_)
        | Shape::Enum(_)
        | Shape::Array(_)
        | Shape::Map(_)
        | Shape::Record(_) => {
            schema.skip(node, cursor)?;
            None
        }
    })
}

impl Debezium {
    /// Takes what a schema says.
    pub(in crate::decode) fn learn(&mut self, id: SchemaId, definition: &Definition) {
        self.told.learn(id, definition);
    }

    /// Understands a value whose schema is in a registry.
    pub(in crate::decode) fn decode_framed<'a>(
        &mut self,
        topic: &str,
        record: &Record<'a>,
        value: Framed<'a>,
    ) -> Result<Understood<'a>, Wanted> {
        let plan = match self.told.get(value.id, Part::Value)? {
            Ok(plan) => plan,
            Err(reason) => return Ok(rejected(reason.to_string(), None)),
        };
        let mut cursor = Cursor::new(value.body);
        let envelope = match &plan.content {
            Content::Envelope(envelope) => envelope,
            Content::Control(word) => {
                let read = plan.schema.skip(plan.schema.root, &mut cursor).and_then(|()| cursor.end());
                return Ok(
                    read.map_or_else(|broken| rejected(broken.to_string(), None), |()| Understood::Control(word))
                );
            }
            Content::Rows(rows) => return self.framed_row((topic, record), &plan.schema, rows, cursor),
            Content::Bare => return Ok(rejected("its schema is that of no record".to_owned(), None)),
        };
        match envelope.read(&plan.schema, &self.marks, &mut cursor) {
            Ok(read) => self.interpret((topic, record), envelope, read),
            Err(broken) => Ok(rejected(broken.to_string(), None)),
        }
    }

    /// The format of values of a schema, where it is known.
    pub(in crate::decode) fn framed_format(&self, id: SchemaId) -> Option<Format> {
        let plan = self.told.plans.get(&id)?.as_ref().ok()?;
        Some(match plan.content {
            Content::Envelope(_) | Content::Control(_) => Format::Debezium,
            Content::Rows(_) => Format::Flattened,
            Content::Bare => Format::Auto,
        })
    }

    fn framed_row<'a>(
        &mut self,
        (topic, record): (&str, &Record<'a>),
        schema: &Schema,
        rows: &AvroRows,
        mut cursor: Cursor<'a>,
    ) -> Result<Understood<'a>, Wanted> {
        let read = rows.read(schema, &self.marks, &mut cursor).and_then(|row| cursor.end().map(|()| row));
        let (row, marked) = match read {
            Ok(AvroRow { flaw: Some(flaw), .. }) => return Ok(rejected(flaw, None)),
            Ok(AvroRow { row, marked, flaw: None }) => (row, marked),
            Err(broken) => return Ok(rejected(broken.to_string(), None)),
        };
        let record_key = match self.record_key(topic, record)? {
            Ok(key) => key,
            Err(reason) => return Ok(rejected(reason, None)),
        };
        let row = FlatRow { row, marked, declared: Some(rows.declared()) };
        Ok(self.row((topic, record), row, record_key).unwrap_or_else(Understood::Reject))
    }

    fn interpret<'a>(
        &mut self,
        (topic, record): (&str, &Record<'a>),
        envelope: &Envelope,
        read: Read<'a>,
    ) -> Result<Understood<'a>, Wanted> {
        let Read { before, after, source: Some(source), op: Some(op) } = read else {
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
        let declared = after.as_ref().map_or(0, |(_, rows)| *rows);
        let declared = envelope.rows.get(declared).map(|(_, rows)| rows.declared());
        let images = match images(before, after.map(|(row, _)| row)) {
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
        if let Some(framed) = self.framed_key(Schemas::Registry, record)? {
            return Ok(framed);
        }
        let topic = recall(&mut self.topics, &xxh3_64(topic.as_bytes()));
        Ok(key::read(record.key, topic, &mut self.memory.schemas, &mut self.memory.shapes))
    }

    /// A key whose schema is in a registry; nothing where it names none.
    pub(in crate::decode) fn framed_key<'a>(
        &mut self,
        schemas: Schemas,
        record: &Record<'a>,
    ) -> Result<Option<Result<RecordKey<'a>, String>>, Wanted> {
        let is_text = |key: &&[u8]| matches!(key.first(), Some(b'{' | b'"'));
        let key = record.key.filter(|key| schemas == Schemas::Registry && !is_text(key));
        let framed = match key.and_then(|key| framed(record, Part::Key, key)) {
            Some(Ok(framed)) => framed,
            Some(Err(reason)) => return Ok(Some(Err(format!("record key: {reason}")))),
            None => return Ok(None),
        };
        let plan = match self.told.get(framed.id, Part::Key)? {
            Ok(plan) => plan,
            Err(reason) => return Ok(Some(Err(format!("record key: {reason}")))),
        };
        let Content::Rows(rows) = &plan.content else { return Ok(Some(Ok(bare_key(&plan.schema, framed.body)))) };
        let mut cursor = Cursor::new(framed.body);
        let read = rows.read(&plan.schema, &Marks::default(), &mut cursor).and_then(|row| cursor.end().map(|()| row));
        Ok(Some(match read {
            Ok(AvroRow { flaw: Some(flaw), .. }) => Err(format!("record key: {flaw}")),
            Ok(AvroRow { row, .. }) if row.cells.is_empty() => Ok(RecordKey::Unnamed(Cow::Borrowed(""))),
            Ok(AvroRow { row, .. }) => Ok(RecordKey::Columns(key::without_routing(row, &mut self.memory.shapes))),
            Err(broken) => Err(format!("record key: {broken}")),
        }))
    }
}

/// A key that is no record of columns, as the text that it would be in JSON.
fn bare_key<'a>(schema: &Schema, body: &'a [u8]) -> RecordKey<'a> {
    let mut cursor = Cursor::new(body);
    let read = typed(schema, schema.root, &mut cursor).and_then(|key| cursor.end().map(|()| key));
    RecordKey::Unnamed(match read {
        Ok(Some(Typed::Int(value))) => value.to_string().into(),
        Ok(Some(Typed::Text(text))) => text.into(),
        Ok(Some(Typed::Bool(_)) | None) | Err(_) => Cow::Borrowed(""),
    })
}

fn images<'a>(before: Option<AvroRow<'a>>, after: Option<AvroRow<'a>>) -> Result<Images<'a>, String> {
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
