//! Debezium events in Protobuf: what a schema describes is told once, each record is read by it.

use std::borrow::Cow;
use std::sync::Arc;

use super::framed::{Held, HeldKey, Read, Typed, WireRow, control};
use super::protobuf_rows::{ProtobufRows, Zeros};
use super::source::{Field, Said as _, Source};
use crate::decode::frame::{Break, Framed, Message};
use crate::decode::protobuf::{Cursor, MessageId, Presence, Scalar, Schema, Type, WRONG_WIRE, Wire};
use crate::decode::row::Marks;

/// The deepest that a message may stand in others where a place is told.
const MAX_PLACES: u64 = 64;

const NO_MESSAGE: &str = "the message that it names is not in its schema";

const IN_PARTS: &str = "an image that comes in two parts";

/// What is known of a schema: of each of its messages what it describes.
#[derive(Debug)]
pub(super) struct ProtobufPlan {
    schema: Schema,
    contents: Box<[Content]>,
    zeros: Zeros,
}

/// What a message describes.
#[derive(Debug)]
enum Content {
    Envelope(Envelope),
    /// A record of Debezium's own that carries no change.
    Control(&'static str),
    /// Any other.
    Rows(ProtobufRows),
}

#[derive(Debug)]
struct Envelope {
    /// What becomes of each field of the message.
    steps: Box<[Step]>,
    /// One plan where both are of one message, so that their rows are known to have one shape.
    before: Option<Arc<ProtobufRows>>,
    after: Option<Arc<ProtobufRows>>,
}

#[derive(Debug)]
enum Step {
    Before,
    After,
    Source(MessageId, Box<[Option<Field>]>),
    Op,
    Pass,
}

impl ProtobufPlan {
    pub(super) fn of(schema: Schema) -> ProtobufPlan {
        // One field that tells whether it is set is enough: the writer was told to keep nulls, and every envelope has some.
        let keeps_nulls = schema.messages().filter(|id| !schema.is_built_in(*id)).any(|id| {
            let tells = |kind: Type| match kind {
                Type::Scalar(_) | Type::Enum(_) => true,
                Type::Message(id) => wrapped(&schema, id).is_some(),
            };
            schema.message(id).fields.iter().any(|one| one.presence == Presence::Told && tells(one.kind))
        });
        let contents = schema.messages().map(|id| Content::of(&schema, id)).collect();
        ProtobufPlan { schema, contents, zeros: if keeps_nulls { Zeros::Meant } else { Zeros::OrNull } }
    }

    /// Reads a value.
    pub(super) fn value<'a>(&self, marks: &Marks, framed: &Framed<'a>) -> Result<Held<'_, 'a>, Break> {
        let (id, mut cursor) = self.message(framed)?;
        match &self.contents[Schema::place(id)] {
            Content::Envelope(envelope) => {
                envelope.read((&self.schema, id), (marks, self.zeros), &mut cursor).map(Held::Envelope)
            }
            Content::Control(word) => pass(&mut cursor).map(|()| Held::Control(word)),
            Content::Rows(_) if wrapped(&self.schema, id).is_some() => Ok(Held::Other),
            Content::Rows(rows) => {
                let row = rows.read(&self.schema, (marks, self.zeros), &mut cursor)?;
                Ok(Held::Row(row, rows.declared()))
            }
        }
    }

    /// Reads a key.
    pub(super) fn key<'a>(&self, framed: &Framed<'a>) -> Result<HeldKey<'a>, Break> {
        let (id, mut cursor) = self.message(framed)?;
        if let Some(scalar) = wrapped(&self.schema, id) {
            return bare(&self.schema, scalar, &mut cursor).map(HeldKey::Bare);
        }
        let Content::Rows(rows) = &self.contents[Schema::place(id)] else {
            return Ok(HeldKey::Bare(Cow::Borrowed("")));
        };
        // A key has no nulls, so what is not there is zero.
        rows.read(&self.schema, (&Marks::default(), Zeros::Meant), &mut cursor).map(HeldKey::Columns)
    }

    /// Which message it is, and its bytes.
    fn message<'a>(&self, framed: &Framed<'a>) -> Result<(MessageId, Cursor<'a>), Break> {
        let cursor = Cursor::new(framed.body);
        let (known, cursor) = match framed.message {
            Message::Named(name) => {
                let name = std::str::from_utf8(name).unwrap_or_default();
                (self.schema.named(name), self.referred(&cursor).map_or(cursor, |(_, rest)| rest))
            }
            Message::At(places) => (self.at(&mut Cursor::new(places)), cursor),
            Message::InBody => match self.referred(&cursor) {
                Some((id, rest)) => (Some(id), rest),
                None => {
                    let mut ahead = cursor.again();
                    match self.at(&mut ahead) {
                        // Apicurio may send its reference behind the place.
                        Some(id) => (Some(id), self.referred(&ahead).map_or(ahead, |(_, rest)| rest)),
                        // Apicurio's version 3 names no message by default: the first is meant.
                        None => (self.schema.own.first().copied(), cursor),
                    }
                }
            },
        };
        known.map(|id| (id, cursor.again())).ok_or_else(|| cursor.broken(NO_MESSAGE))
    }

    /// By the name in a message of one text that Apicurio writes first.
    fn referred<'a>(&self, cursor: &Cursor<'a>) -> Option<(MessageId, Cursor<'a>)> {
        let mut ahead = cursor.again();
        let mut reference = ahead.inner().ok()?;
        let (1, Wire::Length) = reference.tag().ok()? else { return None };
        let name = reference.text().ok()?;
        let id = self.schema.named(name).filter(|_| reference.is_at_end())?;
        Some((id, ahead))
    }

    /// By its place: how many numbers follow, and which message of the file, which of the messages in it, and so on. The
    /// first of the file may be written as no number at all.
    fn at(&self, cursor: &mut Cursor<'_>) -> Option<MessageId> {
        let count = u64::try_from(cursor.zigzag().ok()?).ok().filter(|count| *count <= MAX_PLACES)?;
        if count == 0 {
            return self.schema.own.first().copied();
        }
        let places = (0..count).map(|_| usize::try_from(cursor.zigzag().ok()?).ok());
        let places: Vec<usize> = places.collect::<Option<_>>()?;
        self.schema.at(places.into_iter())
    }
}

impl Content {
    fn of(schema: &Schema, id: MessageId) -> Content {
        let message = schema.message(id);
        if let Some(word) = control(&message.full_name) {
            return Content::Control(word);
        }
        let has = |name: &str| message.fields.iter().any(|field| &*field.name == name);
        match has("op") && has("source") {
            true => Content::Envelope(Envelope::of(schema, id)),
            false => Content::Rows(ProtobufRows::of(schema, id)),
        }
    }
}

impl Envelope {
    fn of(schema: &Schema, id: MessageId) -> Envelope {
        let mut envelope = Envelope { steps: Box::default(), before: None, after: None };
        let rows = |id: MessageId, other: &Option<Arc<ProtobufRows>>| match other {
            Some(other) if other.reads(id) => Arc::clone(other),
            Some(_) | None => Arc::new(ProtobufRows::of(schema, id)),
        };
        let mut step = |field: &crate::decode::protobuf::Field| match (&*field.name, field.kind, field.presence) {
            ("before", Type::Message(row), Presence::Told) => {
                envelope.before = Some(rows(row, &envelope.after));
                Step::Before
            }
            ("after", Type::Message(row), Presence::Told) => {
                envelope.after = Some(rows(row, &envelope.before));
                Step::After
            }
            ("source", Type::Message(block), Presence::Told) => {
                let fields = schema.message(block).fields.iter().map(|field| Field::named(&field.name));
                Step::Source(block, fields.collect())
            }
            ("op", Type::Scalar(_) | Type::Message(_), _) => Step::Op,
            _ => Step::Pass,
        };
        let steps = schema.message(id).fields.iter().map(&mut step).collect();
        envelope.steps = steps;
        envelope
    }

    fn read<'a>(
        &self,
        (schema, id): (&Schema, MessageId),
        marks: (&Marks, Zeros),
        cursor: &mut Cursor<'a>,
    ) -> Result<Read<'_, 'a>, Break> {
        let (mut read, mut likely, message) = (Read::default(), 0, schema.message(id));
        while !cursor.is_at_end() {
            let (number, wire) = cursor.tag()?;
            let Some(at) = message.field(number, likely) else {
                cursor.skip(number, wire)?;
                continue;
            };
            likely = at + 1;
            match (&self.steps[at], wire) {
                (Step::Before, Wire::Length) => row(&mut read.before, self.before.as_deref(), schema, marks, cursor)?,
                (Step::After, Wire::Length) => row(&mut read.after, self.after.as_deref(), schema, marks, cursor)?,
                (Step::Source(..), Wire::Length) if read.source.is_some() => return Err(cursor.broken(IN_PARTS)),
                (Step::Source(block, fields), Wire::Length) => {
                    read.source = Some(source(schema, *block, fields, &mut cursor.inner()?)?);
                }
                (Step::Op, wire) => {
                    read.op = typed(schema, message.fields[at].kind, (number, wire), cursor)?.and_then(Typed::inside)
                }
                (Step::Before | Step::After | Step::Source(..) | Step::Pass, _) => cursor.skip(number, wire)?,
            }
        }
        read.declared = self.after.as_ref().or(self.before.as_ref()).map(|rows| rows.declared());
        Ok(read)
    }
}

/// An image; one that comes twice would have to be put together.
fn row<'a>(
    read: &mut Option<WireRow<'a>>,
    rows: Option<&ProtobufRows>,
    schema: &Schema,
    marks: (&Marks, Zeros),
    cursor: &mut Cursor<'a>,
) -> Result<(), Break> {
    let (None, Some(rows)) = (&read, rows) else { return Err(cursor.broken(IN_PARTS)) };
    *read = Some(rows.read(schema, marks, &mut cursor.inner()?)?);
    Ok(())
}

fn source<'a>(
    schema: &Schema,
    block: MessageId,
    fields: &[Option<Field>],
    cursor: &mut Cursor<'a>,
) -> Result<Source<'a, Typed<'a>>, Break> {
    let (mut source, mut likely, message) = (Source::default(), 0, schema.message(block));
    while !cursor.is_at_end() {
        let (number, wire) = cursor.tag()?;
        let at = message.field(number, likely);
        likely = at.map_or(likely, |at| at + 1);
        match at.and_then(|at| Some((at, fields[at]?))) {
            Some((at, field)) => {
                let said = typed(schema, message.fields[at].kind, (number, wire), cursor)?;
                said.into_iter().for_each(|said| source.set(field, said));
            }
            None => cursor.skip(number, wire)?,
        }
    }
    Ok(source)
}

/// A simple value, or one in a wrapper; nothing where it is of another type.
fn typed<'a>(
    schema: &Schema,
    kind: Type,
    (number, wire): (u32, Wire),
    cursor: &mut Cursor<'a>,
) -> Result<Option<Typed<'a>>, Break> {
    let scalar = match kind {
        Type::Scalar(scalar) => scalar,
        Type::Message(id) if wire == Wire::Length => match wrapped(schema, id) {
            Some(scalar) => return inside(schema, scalar, &mut cursor.inner()?),
            None => return cursor.skip(number, wire).map(|()| None),
        },
        Type::Message(_) | Type::Enum(_) => return cursor.skip(number, wire).map(|()| None),
    };
    if wire != Wire::of(scalar) {
        return Err(cursor.broken(WRONG_WIRE));
    }
    Ok(match scalar {
        Scalar::Text => Some(Typed::Text(cursor.text()?)),
        Scalar::Bool => Some(Typed::Bool(cursor.varint()? != 0)),
        Scalar::Bytes | Scalar::Double | Scalar::Float => cursor.skip(number, wire).map(|()| None)?,
        // Places in logs beyond 63 bits are read back as they lie.
        Scalar::Integer(integer) => Some(Typed::Int(cursor.integer(integer)? as i64)),
    })
}

/// The value in a wrapper; nothing in it is zero.
fn inside<'a>(schema: &Schema, scalar: Scalar, cursor: &mut Cursor<'a>) -> Result<Option<Typed<'a>>, Break> {
    let mut value = match Wire::of(scalar) {
        Wire::Length => Some(Typed::Text("")),
        Wire::Varint if scalar == Scalar::Bool => Some(Typed::Bool(false)),
        Wire::Varint | Wire::Fixed32 | Wire::Fixed64 | Wire::Group => Some(Typed::Int(0)),
    };
    while !cursor.is_at_end() {
        match cursor.tag()? {
            (1, wire) => value = typed(schema, Type::Scalar(scalar), (1, wire), cursor)?,
            (number, wire) => cursor.skip(number, wire)?,
        }
    }
    Ok(value)
}

/// What a message of one value holds, of those that stand for a value that may be null.
pub(super) fn wrapped(schema: &Schema, id: MessageId) -> Option<Scalar> {
    let message = schema.message(id);
    let name = message.full_name.strip_prefix("google.protobuf.")?;
    match (&*message.fields, name.ends_with("Value")) {
        ([only], true) => match (only.kind, only.presence) {
            (Type::Scalar(scalar), Presence::Told | Presence::Untold) => Some(scalar),
            (Type::Scalar(_) | Type::Enum(_) | Type::Message(_), _) => None,
        },
        (_, _) => None,
    }
}

/// A key that is no record of columns, as the text that it would be in JSON.
fn bare<'a>(schema: &Schema, scalar: Scalar, cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Break> {
    Ok(match inside(schema, scalar, cursor)? {
        Some(Typed::Int(value)) => value.to_string().into(),
        Some(Typed::Text(text)) => text.into(),
        Some(Typed::Bool(_)) | None => Cow::Borrowed(""),
    })
}

fn pass(cursor: &mut Cursor<'_>) -> Result<(), Break> {
    while !cursor.is_at_end() {
        let (number, wire) = cursor.tag()?;
        cursor.skip(number, wire)?;
    }
    Ok(())
}
