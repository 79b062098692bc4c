//! Keys become arrays: one bound array for each key column, unnested side by side.

use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, error::BoxDynError};

use super::value::without_arguments;
use crate::model::calendar::{format_date, format_moment, format_time};
use crate::model::{Cell, ColumnMeta};

/// One key column's values for one batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum KeyArray {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
    Texts(Vec<String>),
}

/// How a key column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
    Bytes,
    /// Sent as text, read by the server as the named type.
    Typed(&'static str),
    /// Compared as text on both sides: types whose input refuses what it does not know, such as enums.
    AsText,
}

impl Kind {
    fn of(column: &ColumnMeta) -> Kind {
        match without_arguments(&column.declared).as_str() {
            "smallint" | "integer" | "bigint" | "oid" => Kind::Int,
            "real" | "double precision" => Kind::Float,
            "bytea" => Kind::Bytes,
            "text" | "character varying" | "name" => Kind::Typed("text"),
            "character" | "bpchar" => Kind::Typed("bpchar"),
            "citext" => Kind::Typed("citext"),
            "numeric" | "money" => Kind::Typed("numeric"),
            "boolean" | "bit" => Kind::Typed("boolean"),
            "date" => Kind::Typed("date"),
            "time without time zone" | "time with time zone" => Kind::Typed("time"),
            "timestamp without time zone" => Kind::Typed("timestamp"),
            "timestamp with time zone" => Kind::Typed("timestamptz"),
            "uuid" => Kind::Typed("uuid"),
            _ => Kind::AsText,
        }
    }
}

/// The parameter of a key column: `$2::text[]::uuid[]`. The type carries no length or scale, so that nothing is cut.
pub(super) fn parameter(column: &ColumnMeta, number: usize) -> String {
    match Kind::of(column) {
        Kind::Int => format!("${number}::bigint[]"),
        Kind::Float => format!("${number}::float8[]"),
        Kind::Bytes => format!("${number}::bytea[]"),
        Kind::Typed("text") | Kind::AsText => format!("${number}::text[]"),
        Kind::Typed(name) => format!("${number}::text[]::{name}[]"),
    }
}

/// The condition under which a row belongs to an asked key.
pub(super) fn condition(column: &ColumnMeta, quoted: &str, asked: &str) -> String {
    match (Kind::of(column), without_arguments(&column.declared).as_str()) {
        (Kind::AsText, _) => format!("{quoted}::text = {asked}"),
        (_, "bit") => format!("{quoted}::int::boolean = {asked}"),
        // Equal moments of the day at two offsets are two values to PostgreSQL, and one to a change stream.
        (_, "time with time zone") => format!("({quoted} AT TIME ZONE 'UTC')::time = {asked}"),
        (_, "oid") => format!("{quoted} = {asked}::oid"),
        (_, "real") => format!("{quoted} = {asked}::real"),
        (_, "money") => format!("{quoted}::numeric = {asked}"),
        _ => format!("{quoted} = {asked}"),
    }
}

/// Whether an index of the column keeps the order in which values are compared with an asked one.
pub(super) fn is_ordered(column: &ColumnMeta) -> bool {
    match (Kind::of(column), without_arguments(&column.declared).as_str()) {
        (Kind::AsText, _) | (_, "oid" | "real" | "money" | "bit" | "time with time zone") => false,
        (Kind::Int | Kind::Float | Kind::Bytes | Kind::Typed(_), _) => true,
    }
}

impl KeyArray {
    /// An empty array for a column.
    pub(super) fn for_column(column: &ColumnMeta) -> KeyArray {
        match Kind::of(column) {
            Kind::Int => KeyArray::Ints(Vec::new()),
            Kind::Float => KeyArray::Floats(Vec::new()),
            Kind::Bytes => KeyArray::Bytes(Vec::new()),
            Kind::Typed(_) | Kind::AsText => KeyArray::Texts(Vec::new()),
        }
    }

    /// Whether a row of the column's type can hold the cell at all. If not, the key has no row.
    pub(super) fn can_hold(&self, cell: &Cell) -> bool {
        match self {
            KeyArray::Ints(_) => matches!(cell, Cell::Int(_)),
            KeyArray::Floats(_) => matches!(cell, Cell::Float64(_) | Cell::Float32(_) | Cell::Int(_)),
            KeyArray::Bytes(_) => matches!(cell, Cell::Bytes(_)),
            KeyArray::Texts(_) => text_of(cell).is_some(),
        }
    }

    /// Appends a cell that [`KeyArray::can_hold`].
    pub(super) fn push(&mut self, cell: &Cell) {
        match self {
            KeyArray::Ints(values) => values.push(if let Cell::Int(value) = cell { *value } else { 0 }),
            KeyArray::Floats(values) => values.push(cell.to_string().parse().unwrap_or(f64::NAN)),
            KeyArray::Bytes(values) => {
                values.push(if let Cell::Bytes(bytes) = cell { bytes.to_vec() } else { Vec::new() })
            }
            KeyArray::Texts(values) => values.push(text_of(cell).unwrap_or_default()),
        }
    }

    /// Binds the array.
    pub(super) fn bind(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        match self {
            KeyArray::Ints(values) => arguments.add(values),
            KeyArray::Floats(values) => arguments.add(values),
            KeyArray::Bytes(values) => arguments.add(values),
            KeyArray::Texts(values) => arguments.add(values),
        }
    }
}

/// A cell as PostgreSQL reads it; `None` for what cannot be a key's value, a text with a NUL among it.
fn text_of(cell: &Cell) -> Option<String> {
    let text = match cell {
        Cell::Int(_) | Cell::Decimal(_) | Cell::Text(_) | Cell::Uuid(_) | Cell::Bool(_) | Cell::Infinity(_) => {
            cell.to_string()
        }
        Cell::Float32(_) | Cell::Float64(_) => cell.to_string(),
        Cell::Date(days) => format_date(*days),
        Cell::Time(nanos) => format_time(*nanos),
        Cell::Local(secs, nanos) => format_moment(*secs, *nanos),
        Cell::Instant(secs, nanos) => with_zone(&format_moment(*secs, *nanos)),
        Cell::Null
        | Cell::Absent
        | Cell::NotSent
        | Cell::Redacted
        | Cell::Bytes(_)
        | Cell::Json(_)
        | Cell::Opaque(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}

fn with_zone(text: &str) -> String {
    match text.strip_suffix(" BC") {
        Some(text) => format!("{text}+00 BC"),
        None => format!("{text}+00"),
    }
}
