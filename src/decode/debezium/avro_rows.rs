//! Rows in Avro: each column read by its type, and given the meaning that Connect wrote beside it.

use std::sync::Arc;

use super::cells::{Kind, kind, null_may_be_unsent};
use super::framed::WireRow;
use super::schema::{Declared, Node};
use crate::decode::avro::{Cursor, NO_BRANCH, NodeId, Notes, Schema, Shape};
use crate::decode::decimal;
use crate::decode::frame::Break;
use crate::decode::json::{self, Flaw, Scalar};
use crate::decode::row::{Marks, too_wide};
use crate::model::{Cell, Columns, Row, Typing};

/// How rows of one record type are read.
#[derive(Debug)]
pub(super) struct AvroRows {
    names: Arc<Columns>,
    columns: Box<[Column]>,
    weak_nulls: Box<[Box<str>]>,
    typing: Typing,
}

#[derive(Debug)]
struct Column {
    branches: Box<[Branch]>,
    /// Whether the value says which branch it is of.
    is_union: bool,
}

/// One type that a column may have.
#[derive(Debug)]
struct Branch {
    wire: Wire,
    kind: Kind,
    node: NodeId,
}

/// How its bytes are read.
#[derive(Debug, Clone, Copy)]
enum Wire {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Text,
    Symbol,
    Bytes,
    Fixed(usize),
    /// A record of a scale and an unscaled number.
    AnyScale,
    /// Carried as JSON text.
    Written,
}

impl AvroRows {
    /// Of a record type; `None` for any other.
    pub(super) fn of(schema: &Schema, record: NodeId) -> Option<AvroRows> {
        let Shape::Record(fields) = schema.shape(record) else { return None };
        let weak = |node: &NodeId| null_may_be_unsent(&connect(schema, value_of(schema, *node)));
        // Whoever leaves out Connect's names leaves out those of Debezium's types too: what is a date, nobody says.
        let named = schema.node(record).notes.as_ref().is_some_and(|notes| notes.connect_name.is_some());
        Some(AvroRows {
            names: Arc::new(Columns::new(fields.iter().map(|field| &*field.name))),
            columns: fields.iter().map(|field| Column::of(schema, field.node)).collect(),
            weak_nulls: fields.iter().filter(|field| weak(&field.node)).map(|field| field.name.clone()).collect(),
            typing: if named { Typing::Declared } else { Typing::Bare },
        })
    }

    pub(super) fn declared(&self) -> Declared<'_> {
        Declared { columns: self.columns.len(), weak_nulls: &self.weak_nulls }
    }

    /// Reads one row.
    pub(super) fn read<'a>(
        &self,
        schema: &Schema,
        marks: &Marks,
        cursor: &mut Cursor<'a>,
    ) -> Result<WireRow<'a>, Break> {
        let mut cells = Vec::with_capacity(self.columns.len());
        let (mut marked, mut flaw) = (Vec::new(), too_wide(self.columns.len()));
        for (index, column) in self.columns.iter().enumerate() {
            match column.read(schema, marks, cursor)? {
                Ok(cell) => {
                    if matches!(cell, Cell::NotSent) {
                        marked.push(index as u16);
                    }
                    cells.push(cell);
                }
                Err(wrong) => {
                    flaw.get_or_insert_with(|| format!("column `{}`: {wrong}", self.names.0[index]));
                    cells.push(Cell::NotSent);
                }
            }
        }
        Ok(WireRow { row: Row::new(Arc::clone(&self.names), cells, self.typing), marked, flaw })
    }
}

impl Column {
    fn of(schema: &Schema, node: NodeId) -> Column {
        let Shape::Union(branches) = schema.shape(node) else {
            return Column { branches: [Branch::of(schema, node)].into(), is_union: false };
        };
        Column { branches: branches.iter().map(|node| Branch::of(schema, *node)).collect(), is_union: true }
    }

    /// The cell of the value that follows. A value that is not what it is declared to be has still been passed.
    #[inline]
    fn read<'a>(
        &self,
        schema: &Schema,
        marks: &Marks,
        cursor: &mut Cursor<'a>,
    ) -> Result<Result<Cell<'a>, Flaw>, Break> {
        let branch = match self.is_union {
            true => cursor.choice(self.branches.len(), NO_BRANCH)?,
            false => 0,
        };
        let Branch { wire, kind, node } = &self.branches[branch];
        let of = |scalar| kind.scalar(scalar).unwrap_or(Err(kind.mistyped()));
        Ok(match wire {
            Wire::Null => Ok(Cell::Null),
            Wire::Text => match cursor.text()? {
                text if marks.hold_text(text) => Ok(Cell::NotSent),
                text if *kind == Kind::Text => Ok(Cell::Text(text.into())),
                text => of(Scalar::Text(text.into())),
            },
            Wire::Int => of(Scalar::Int(cursor.int()?.into())),
            Wire::Long => of(Scalar::Int(cursor.long()?)),
            Wire::Boolean => of(Scalar::Bool(cursor.boolean()?)),
            Wire::Float => Ok(Cell::Float32(cursor.float()?)),
            Wire::Double => Ok(Cell::Float64(cursor.double()?)),
            Wire::Bytes => bytes(kind, marks, cursor, Cursor::bytes)?,
            Wire::Fixed(size) => bytes(kind, marks, cursor, |cursor| cursor.fixed(*size))?,
            Wire::Symbol => {
                let Shape::Enum(symbols) = schema.shape(*node) else { return Ok(Err(kind.mistyped())) };
                let symbol = &symbols[cursor.choice(symbols.len(), NO_BRANCH)?];
                of(Scalar::Text(symbol.to_string().into()))
            }
            Wire::AnyScale => any_scale(schema, *node, cursor)?,
            Wire::Written => {
                let written = schema.written(*node, cursor)?;
                if marks.hold_raw(&written) {
                    Ok(Cell::NotSent)
                } else if let Kind::Array(_) = kind {
                    kind.written(&written).map(Cell::into_owned)
                } else {
                    json::opaque(kind.name(), &written)
                }
            }
        })
    }
}

fn bytes<'a>(
    kind: &Kind,
    marks: &Marks,
    cursor: &mut Cursor<'a>,
    take: impl Fn(&mut Cursor<'a>) -> Result<&'a [u8], Break>,
) -> Result<Result<Cell<'static>, Flaw>, Break> {
    let bytes = take(cursor)?;
    if marks.hold_bytes(bytes) {
        return Ok(Ok(Cell::NotSent));
    }
    let read = kind.bytes(bytes);
    cursor.spend(read.as_ref().map_or(0, Cell::weight))?;
    Ok(read)
}

fn any_scale(schema: &Schema, node: NodeId, cursor: &mut Cursor<'_>) -> Result<Result<Cell<'static>, Flaw>, Break> {
    let Shape::Record(fields) = schema.shape(node) else { return Ok(Err(Kind::VariableScaleDecimal.mistyped())) };
    let (mut scale, mut unscaled) = (None, None);
    for field in fields {
        match (&*field.name, schema.shape(field.node)) {
            ("scale", Shape::Int) => scale = Some(cursor.int()?),
            ("value", Shape::Bytes) => unscaled = Some(cursor.bytes()?),
            _ => schema.skip(field.node, cursor)?,
        }
    }
    let read = match scale.zip(unscaled) {
        Some((scale, unscaled)) => decimal::from_twos_complement(unscaled, scale).map(Cell::Decimal),
        None => Err(Kind::VariableScaleDecimal.mistyped()),
    };
    cursor.spend(read.as_ref().map_or(0, Cell::weight))?;
    Ok(read)
}

impl Branch {
    fn of(schema: &Schema, node: NodeId) -> Branch {
        let kind = kind(&connect(schema, node));
        let wire = match (schema.shape(node), &kind) {
            (Shape::Null, _) => Wire::Null,
            (Shape::Record(_), Kind::VariableScaleDecimal) => Wire::AnyScale,
            (Shape::Array(_) | Shape::Map(_) | Shape::Union(_) | Shape::Record(_), _) | (_, Kind::Opaque(_)) => {
                Wire::Written
            }
            (Shape::Boolean, _) => Wire::Boolean,
            (Shape::Int, _) => Wire::Int,
            (Shape::Long, _) => Wire::Long,
            (Shape::Float, _) => Wire::Float,
            (Shape::Double, _) => Wire::Double,
            (Shape::Text, _) => Wire::Text,
            (Shape::Enum(_), _) => Wire::Symbol,
            (Shape::Bytes, _) => Wire::Bytes,
            (Shape::Fixed(size), _) => Wire::Fixed(*size),
        };
        Branch { wire, kind, node }
    }
}

/// The type of what may also be null.
fn value_of(schema: &Schema, node: NodeId) -> NodeId {
    let Shape::Union(branches) = schema.shape(node) else { return node };
    let is_value = |node: &&NodeId| !matches!(schema.shape(**node), Shape::Null);
    branches.iter().find(is_value).copied().unwrap_or(node)
}

/// The Connect schema that a type was made of. Where Connect's own name is missing, what Avro calls logical says the same of
/// the types that are Connect's.
fn connect(schema: &Schema, node: NodeId) -> Node {
    let node = schema.node(node);
    let base = base(&node.shape);
    let items = if let Shape::Array(items) = &node.shape {
        Some(Box::new(connect(schema, value_of(schema, *items))))
    } else {
        None
    };
    let plain = Node { base: base.to_owned(), items, ..Node::default() };
    let Some(notes) = node.notes.as_deref() else { return plain };
    let mut parameters = notes.parameters.clone();
    let name = match &notes.connect_name {
        Some(name) => Some(name.clone()),
        None if matches!(node.shape, Shape::Record(_)) => notes.full_name.clone(),
        None => logical(notes, base).map(str::to_owned),
    };
    if notes.logical.as_deref() == Some("decimal") {
        parameters.entry("scale".to_owned()).or_insert_with(|| notes.scale.to_string());
    }
    Node { name, parameters, ..plain }
}

fn logical(notes: &Notes, base: &str) -> Option<&'static str> {
    Some(match (notes.logical.as_deref()?, base) {
        ("decimal", "bytes") => "org.apache.kafka.connect.data.Decimal",
        ("date", "int32") => "org.apache.kafka.connect.data.Date",
        ("time-millis", "int32") => "org.apache.kafka.connect.data.Time",
        ("time-micros", "int64") => "io.debezium.time.MicroTime",
        ("timestamp-millis" | "local-timestamp-millis", "int64") => "org.apache.kafka.connect.data.Timestamp",
        ("timestamp-micros" | "local-timestamp-micros", "int64") => "io.debezium.time.MicroTimestamp",
        ("timestamp-nanos" | "local-timestamp-nanos", "int64") => "io.debezium.time.NanoTimestamp",
        ("uuid", "string") => "io.debezium.data.Uuid",
        _ => return None,
    })
}

/// What Connect calls the type.
fn base(shape: &Shape) -> &'static str {
    match shape {
        Shape::Boolean => "boolean",
        Shape::Int => "int32",
        Shape::Long => "int64",
        Shape::Float => "float",
        Shape::Double => "double",
        Shape::Bytes | Shape::Fixed(_) => "bytes",
        Shape::Text | Shape::Enum(_) => "string",
        Shape::Array(_) => "array",
        Shape::Map(_) => "map",
        Shape::Record(_) => "struct",
        Shape::Null => "null",
        Shape::Union(_) => "union",
    }
}
