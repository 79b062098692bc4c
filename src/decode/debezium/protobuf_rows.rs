//! Rows in Protobuf: each column read by its type. Connect's converters write only the types that are Connect's own; of
//! Debezium's, numbers and texts are left, and the target says what they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cells::Kind;
use super::framed::WireRow;
use super::protobuf::wrapped;
use super::schema::Declared;
use crate::decode::decimal;
use crate::decode::frame::{Break, Room, TOO_LONG};
use crate::decode::json::{self, Flaw};
use crate::decode::protobuf::{Cursor, EnumId, Field, MessageId, Presence, Scalar, Schema, Type, WRONG_WIRE, Wire};
use crate::decode::row::{Marks, too_wide};
use crate::model::calendar::{civil_from_days, days_from_civil};
use crate::model::{Cell, Columns, Row, Typing};

/// How rows of one message are read.
#[derive(Debug)]
pub(super) struct ProtobufRows {
    message: MessageId,
    names: Arc<Columns>,
    columns: Box<[Column]>,
    weak_nulls: Box<[Box<str>]>,
}

/// What a column means that is not there and does not tell whether it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zeros {
    /// Zero: null would have been told.
    Meant,
    /// Zero or null.
    OrNull,
}

/// How a column's bytes are read.
#[derive(Debug, Clone, Copy)]
enum Column {
    Scalar(Scalar),
    Enum(EnumId),
    /// A value in a message of its own, so that it may be null.
    Wrapped(Scalar),
    Decimal,
    Date,
    TimeOfDay,
    Timestamp,
    /// A message of a scale and an unscaled number.
    AnyScale,
    /// Carried as JSON text.
    Struct,
    List,
}

impl Column {
    fn of(schema: &Schema, field: &Field) -> Column {
        match (field.presence, field.kind) {
            (Presence::List, _) => Column::List,
            (Presence::Told | Presence::Untold, Type::Scalar(scalar)) => Column::Scalar(scalar),
            (Presence::Told | Presence::Untold, Type::Enum(id)) => Column::Enum(id),
            (Presence::Told | Presence::Untold, Type::Message(id)) => Column::of_message(schema, id),
        }
    }

    fn of_message(schema: &Schema, id: MessageId) -> Column {
        match &*schema.message(id).full_name {
            "confluent.type.Decimal" => Column::Decimal,
            "google.type.Date" => Column::Date,
            "google.type.TimeOfDay" => Column::TimeOfDay,
            "google.protobuf.Timestamp" => Column::Timestamp,
            name if name.rsplit('.').next() == Some("VariableScaleDecimal") => Column::AnyScale,
            _ => wrapped(schema, id).map_or(Column::Struct, Column::Wrapped),
        }
    }
}

impl ProtobufRows {
    pub(super) fn of(schema: &Schema, id: MessageId) -> ProtobufRows {
        let message = schema.message(id);
        let columns: Box<[Column]> = message.fields.iter().map(|field| Column::of(schema, field)).collect();
        let is_weak = |(_, column): &(&Field, &Column)| matches!(column, Column::Struct | Column::List);
        let weak = message.fields.iter().zip(&columns).filter(is_weak).map(|(field, _)| field.name.clone());
        ProtobufRows {
            message: id,
            names: Arc::new(Columns::new(message.fields.iter().map(|field| &*field.name))),
            weak_nulls: weak.collect(),
            columns,
        }
    }

    /// Whether it reads rows of that message.
    pub(super) fn reads(&self, id: MessageId) -> bool {
        self.message == id
    }

    pub(super) fn declared(&self) -> Declared<'_> {
        Declared { columns: self.columns.len(), weak_nulls: &self.weak_nulls }
    }

    /// Reads one row.
    pub(super) fn read<'a>(
        &self,
        schema: &Schema,
        (marks, zeros): (&Marks, Zeros),
        cursor: &mut Cursor<'a>,
    ) -> Result<WireRow<'a>, Break> {
        let message = schema.message(self.message);
        let mut cells: Vec<Cell<'a>> = Vec::with_capacity(self.columns.len());
        let absent = message.fields.iter().zip(&self.columns);
        cells.extend(absent.map(|(field, column)| column.absent(schema, field.presence, zeros)));
        let (mut lists, mut flaw, mut likely) = (BTreeMap::new(), too_wide(self.columns.len()), 0);
        let mut room = Room::of(cursor.rest().len());
        while !cursor.is_at_end() {
            let (number, wire) = cursor.tag()?;
            let Some(at) = message.field(number, likely) else {
                cursor.skip(number, wire)?;
                continue;
            };
            likely = at + 1;
            let (column, field) = (self.columns[at], &message.fields[at]);
            let cell = match column {
                Column::List => {
                    let items: &mut String = lists.entry(at).or_default();
                    let before = items.len();
                    schema.write_items(field, wire, cursor, items, 0)?;
                    if !room.spend(items.len() - before) {
                        return Err(cursor.broken(TOO_LONG));
                    }
                    continue;
                }
                Column::Scalar(scalar) if wire == Wire::of(scalar) => scalar_cell(scalar, marks, cursor)?,
                Column::Enum(id) if wire == Wire::Varint => Ok(symbol(schema, id, cursor.varint()? as i32)),
                Column::Scalar(_) | Column::Enum(_) => return Err(cursor.broken(WRONG_WIRE)),
                _ if wire != Wire::Length => return Err(cursor.broken(WRONG_WIRE)),
                Column::Wrapped(scalar) => unwrapped(scalar, marks, &mut cursor.inner()?)?,
                Column::Struct => opaque(schema, field, wire, marks, cursor)?,
                Column::Decimal | Column::Date | Column::TimeOfDay | Column::Timestamp | Column::AnyScale => {
                    column.composed(schema, field, &mut cursor.inner()?)?
                }
            };
            match cell {
                Ok(cell) if room.spend(cell.weight()) => cells[at] = cell,
                Ok(_) => return Err(cursor.broken(TOO_LONG)),
                Err(wrong) => drop(flaw.get_or_insert_with(|| format!("column `{}`: {wrong}", field.name))),
            }
        }
        for (at, items) in lists {
            cells[at] = listed(&message.fields[at], &items, marks);
        }
        let marked = cells.iter().enumerate().filter(|(_, cell)| matches!(cell, Cell::NotSent));
        let marked = marked.map(|(index, _)| index as u16).collect();
        Ok(WireRow { row: Row::new(Arc::clone(&self.names), cells, Typing::Bare), marked, flaw })
    }
}

/// A list or a map.
fn listed(field: &Field, items: &str, marks: &Marks) -> Cell<'static> {
    let (name, written) = match field.key {
        Some(_) => ("map", format!("{{{items}}}")),
        None => ("array", format!("[{items}]")),
    };
    if marks.hold_raw(&written) { Cell::NotSent } else { Cell::Opaque(Box::new((name.to_owned(), written))) }
}

impl Column {
    /// What it is where it is not there.
    fn absent(self, schema: &Schema, presence: Presence, zeros: Zeros) -> Cell<'static> {
        match (self, presence, zeros) {
            // No items are no list, or one of none: nothing tells which.
            (Column::List, _, _) => Cell::Absent,
            (_, Presence::Told | Presence::List, _) => Cell::Null,
            (_, Presence::Untold, Zeros::OrNull) => Cell::Absent,
            (Column::Scalar(scalar), Presence::Untold, Zeros::Meant) => zero(scalar),
            (Column::Enum(id), Presence::Untold, Zeros::Meant) => symbol(schema, id, 0),
            (
                Column::Wrapped(_)
                | Column::Decimal
                | Column::Date
                | Column::TimeOfDay
                | Column::Timestamp
                | Column::AnyScale
                | Column::Struct,
                Presence::Untold,
                Zeros::Meant,
            ) => Cell::Null,
        }
    }

    /// The names of the numbers that it is composed of.
    fn parts(self) -> &'static [&'static str] {
        match self {
            Column::Decimal | Column::AnyScale => &["scale"],
            Column::Date => &["year", "month", "day"],
            Column::TimeOfDay => &["hours", "minutes", "seconds", "nanos"],
            Column::Timestamp => &["seconds", "nanos"],
            Column::Scalar(_) | Column::Enum(_) | Column::Wrapped(_) | Column::Struct | Column::List => &[],
        }
    }

    /// The cell of a message of a few numbers.
    fn composed<'a>(
        self,
        schema: &Schema,
        field: &Field,
        cursor: &mut Cursor<'a>,
    ) -> Result<Result<Cell<'a>, Flaw>, Break> {
        let Type::Message(id) = field.kind else { return Err(cursor.broken(WRONG_WIRE)) };
        let (message, mut numbers, mut unscaled) = (schema.message(id), [0; 4], &[][..]);
        let parts = self.parts();
        while !cursor.is_at_end() {
            let (number, wire) = cursor.tag()?;
            let part = message.field(number, 0).map(|at| &message.fields[at]);
            match part.map(|part| (part.kind, parts.iter().position(|name| **name == *part.name))) {
                Some((Type::Scalar(Scalar::Bytes), _)) if wire == Wire::Length => unscaled = cursor.bytes()?,
                Some((Type::Scalar(scalar @ Scalar::Integer(integer)), Some(place))) if wire == Wire::of(scalar) => {
                    numbers[place] = cursor.integer(integer)? as i64;
                }
                Some(_) | None => cursor.skip(number, wire)?,
            }
        }
        Ok(match self {
            Column::Date => date(numbers),
            Column::TimeOfDay => time(numbers),
            Column::Timestamp => timestamp(numbers),
            Column::Decimal
            | Column::AnyScale
            | Column::Scalar(_)
            | Column::Enum(_)
            | Column::Wrapped(_)
            | Column::Struct
            | Column::List => i32::try_from(numbers[0])
                .map_err(|_| Kind::VariableScaleDecimal.mistyped())
                .and_then(|scale| decimal::from_twos_complement(unscaled, scale))
                .map(Cell::Decimal),
        })
    }
}

fn date<'a>([year, month, day, _]: [i64; 4]) -> Result<Cell<'a>, Flaw> {
    let (month, day) = (u32::try_from(month).unwrap_or(0), u32::try_from(day).unwrap_or(0));
    let is_day = (1..=12).contains(&month) && (1..=31).contains(&day);
    let days = is_day.then(|| days_from_civil(year, month, day));
    let days = days.filter(|days| civil_from_days(*days) == (year, month, day));
    days.map(Cell::Date).ok_or(Flaw::Not("a day of the calendar"))
}

fn time<'a>([hours, minutes, seconds, nanos]: [i64; 4]) -> Result<Cell<'a>, Flaw> {
    let is_time = (0..=24).contains(&hours)
        && (0..60).contains(&minutes)
        && (0..=60).contains(&seconds)
        && (0..1_000_000_000).contains(&nanos);
    match is_time {
        true => Ok(Cell::Time(((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanos)),
        false => Err(Flaw::Not("a time of day")),
    }
}

fn timestamp<'a>([seconds, nanos, ..]: [i64; 4]) -> Result<Cell<'a>, Flaw> {
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    nanos.map(|nanos| Cell::Local(seconds, nanos)).ok_or(Flaw::Not("a moment"))
}

fn zero(scalar: Scalar) -> Cell<'static> {
    match scalar {
        Scalar::Double => Cell::Float64(0.0),
        Scalar::Float => Cell::Float32(0.0),
        Scalar::Bool => Cell::Bool(false),
        Scalar::Text => Cell::text(""),
        Scalar::Bytes => Cell::Bytes(Box::default()),
        Scalar::Integer(_) => Cell::Int(0),
    }
}

fn symbol(schema: &Schema, id: EnumId, number: i32) -> Cell<'static> {
    match schema.symbol(id, number) {
        Some(name) => Cell::Text(name.to_owned().into()),
        None => Cell::Int(number.into()),
    }
}

#[inline]
fn scalar_cell<'a>(scalar: Scalar, marks: &Marks, cursor: &mut Cursor<'a>) -> Result<Result<Cell<'a>, Flaw>, Break> {
    Ok(Ok(match scalar {
        Scalar::Text => match cursor.text()? {
            text if marks.hold_text(text) => Cell::NotSent,
            text => Cell::Text(text.into()),
        },
        Scalar::Bytes => match cursor.bytes()? {
            bytes if marks.hold_bytes(bytes) => Cell::NotSent,
            bytes => Cell::Bytes(bytes.into()),
        },
        Scalar::Bool => Cell::Bool(cursor.varint()? != 0),
        Scalar::Double => Cell::Float64(cursor.double()?),
        Scalar::Float => Cell::Float32(cursor.float()?),
        Scalar::Integer(integer) => whole(cursor.integer(integer)?),
    }))
}

fn whole(value: i128) -> Cell<'static> {
    i64::try_from(value).map_or_else(|_| Cell::Decimal(value.to_string().into()), Cell::Int)
}

/// The value in a wrapper; nothing in it is zero.
fn unwrapped<'a>(scalar: Scalar, marks: &Marks, cursor: &mut Cursor<'a>) -> Result<Result<Cell<'a>, Flaw>, Break> {
    let mut cell = Ok(zero(scalar));
    while !cursor.is_at_end() {
        match cursor.tag()? {
            (1, wire) if wire == Wire::of(scalar) => cell = scalar_cell(scalar, marks, cursor)?,
            (1, _) => return Err(cursor.broken(WRONG_WIRE)),
            (number, wire) => cursor.skip(number, wire)?,
        }
    }
    Ok(cell)
}

fn opaque<'a>(
    schema: &Schema,
    field: &Field,
    wire: Wire,
    marks: &Marks,
    cursor: &mut Cursor<'_>,
) -> Result<Result<Cell<'a>, Flaw>, Break> {
    let mut written = String::new();
    schema.write_value(field, wire, cursor, &mut written, 0)?;
    if marks.hold_raw(&written) { Ok(Ok(Cell::NotSent)) } else { Ok(json::opaque("struct", &written)) }
}
