//! Debezium events in Avro: what a schema describes is told once, each record is read by it.

use std::borrow::Cow;

use super::avro_rows::AvroRows;
use super::framed::{Held, HeldKey, Read, Typed, control};
use super::source::{Field, Said as _, Source};
use crate::decode::avro::{Cursor, NO_BRANCH, NodeId, Schema, Shape};
use crate::decode::frame::Break;
use crate::decode::row::Marks;

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
    pub(super) fn of(schema: Schema) -> AvroPlan {
        let control = connect_name(&schema).and_then(control);
        let content = match (control, Envelope::of(&schema)) {
            (Some(word), _) => Content::Control(word),
            (None, Some(envelope)) => Content::Envelope(envelope),
            (None, None) => AvroRows::of(&schema, schema.root).map_or(Content::Bare, Content::Rows),
        };
        AvroPlan { schema, content }
    }

    /// Reads a value.
    pub(super) fn value<'a>(&self, marks: &Marks, body: &'a [u8]) -> Result<Held<'_, 'a>, Break> {
        let mut cursor = Cursor::new(body);
        match &self.content {
            Content::Envelope(envelope) => envelope.read(&self.schema, marks, &mut cursor).map(Held::Envelope),
            Content::Control(word) => {
                self.schema.skip(self.schema.root, &mut cursor)?;
                cursor.end()?;
                Ok(Held::Control(word))
            }
            Content::Rows(rows) => {
                let row = rows.read(&self.schema, marks, &mut cursor)?;
                cursor.end()?;
                Ok(Held::Row(row, rows.declared()))
            }
            Content::Bare => Ok(Held::Other),
        }
    }

    /// Reads a key.
    pub(super) fn key<'a>(&self, body: &'a [u8]) -> Result<HeldKey<'a>, Break> {
        let Content::Rows(rows) = &self.content else {
            return Ok(HeldKey::Bare(bare_key(&self.schema, body)));
        };
        let mut cursor = Cursor::new(body);
        let row = rows.read(&self.schema, &Marks::default(), &mut cursor)?;
        cursor.end()?;
        Ok(HeldKey::Columns(row))
    }
}

/// The name that Connect knows a record by.
fn connect_name(schema: &Schema) -> Option<&str> {
    let notes = schema.node(schema.root).notes.as_deref()?;
    notes.connect_name.as_deref().or(notes.full_name.as_deref())
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

    fn read<'a>(&self, schema: &Schema, marks: &Marks, cursor: &mut Cursor<'a>) -> Result<Read<'_, 'a>, Break> {
        let (mut read, mut declared) = (Read::default(), 0);
        for step in &self.steps {
            match step {
                Step::Before(maybe, rows) if maybe.read(cursor)? => {
                    read.before = Some(self.rows[*rows].1.read(schema, marks, cursor)?);
                }
                Step::After(maybe, rows) if maybe.read(cursor)? => {
                    read.after = Some(self.rows[*rows].1.read(schema, marks, cursor)?);
                    declared = *rows;
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
        read.declared = self.rows.get(declared).map(|(_, rows)| rows.declared());
        Ok(read)
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

/// A key that is no record of columns, as the text that it would be in JSON.
fn bare_key<'a>(schema: &Schema, body: &'a [u8]) -> Cow<'a, str> {
    let mut cursor = Cursor::new(body);
    let read = typed(schema, schema.root, &mut cursor).and_then(|key| cursor.end().map(|()| key));
    match read {
        Ok(Some(Typed::Int(value))) => value.to_string().into(),
        Ok(Some(Typed::Text(text))) => text.into(),
        Ok(Some(Typed::Bool(_)) | None) | Err(_) => Cow::Borrowed(""),
    }
}
