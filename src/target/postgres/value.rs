//! PostgreSQL's values: how a column is asked for and how its binary answer is read.

use sqlx::Row as _;
use sqlx::postgres::{PgRow, PgValueFormat};

use crate::model::calendar::{DAY_SECONDS, NANOS, parse_time};
use crate::model::{Cell, ColumnMeta};

/// Days and seconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_SECONDS: i64 = EPOCH_DAYS * DAY_SECONDS;

/// How a column travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Uuid,
    /// Everything below is cast to text by the server.
    Numeric,
    Money,
    Timetz,
    Json,
    /// `bit(1)`.
    Bit,
    /// Enums and `citext`, whose own type has no fixed number.
    Label,
    /// A type this version does not compare.
    Opaque,
}

impl Wire {
    /// The way of a column with that declared type.
    pub(super) fn of(declared: &str) -> Wire {
        match without_arguments(declared).as_str() {
            "boolean" => Wire::Bool,
            "smallint" => Wire::Int2,
            "integer" => Wire::Int4,
            "bigint" => Wire::Int8,
            "oid" => Wire::Oid,
            "real" => Wire::Float4,
            "double precision" => Wire::Float8,
            "text" | "character varying" | "character" | "bpchar" | "name" => Wire::Text,
            "bytea" => Wire::Bytea,
            "date" => Wire::Date,
            "time without time zone" => Wire::Time,
            "timestamp without time zone" => Wire::Timestamp,
            "timestamp with time zone" => Wire::Timestamptz,
            "uuid" => Wire::Uuid,
            "numeric" => Wire::Numeric,
            "money" => Wire::Money,
            "time with time zone" => Wire::Timetz,
            "json" | "jsonb" => Wire::Json,
            "bit" if declared == "bit(1)" => Wire::Bit,
            "enum" | "citext" => Wire::Label,
            _ => Wire::Opaque,
        }
    }

    /// The expression that reads the column.
    pub(super) fn select(self, column: &str) -> String {
        match self {
            Wire::Bool
            | Wire::Int2
            | Wire::Int4
            | Wire::Int8
            | Wire::Oid
            | Wire::Float4
            | Wire::Float8
            | Wire::Text
            | Wire::Bytea
            | Wire::Date
            | Wire::Time
            | Wire::Timestamp
            | Wire::Timestamptz
            | Wire::Uuid => column.to_owned(),
            Wire::Money => format!("{column}::numeric::text"),
            Wire::Numeric | Wire::Timetz | Wire::Json | Wire::Bit | Wire::Label | Wire::Opaque => {
                format!("{column}::text")
            }
        }
    }

    /// Whether an answer of that type (`pg_type.oid`) is what was asked for. A cast to text hides nothing: the text of
    /// another type is read as what it says, or as something not compared.
    pub(super) fn accepts(self, oid: u32) -> bool {
        match self {
            Wire::Bool => oid == 16,
            Wire::Int2 => oid == 21,
            Wire::Int4 => oid == 23,
            Wire::Int8 => oid == 20,
            Wire::Oid => oid == 26,
            Wire::Float4 => oid == 700,
            Wire::Float8 => oid == 701,
            Wire::Text => matches!(oid, 19 | 25 | 1042 | 1043),
            Wire::Bytea => oid == 17,
            Wire::Date => oid == 1082,
            Wire::Time => oid == 1083,
            Wire::Timestamp => oid == 1114,
            Wire::Timestamptz => oid == 1184,
            Wire::Uuid => oid == 2950,
            Wire::Numeric | Wire::Money | Wire::Timetz | Wire::Json | Wire::Bit | Wire::Label | Wire::Opaque => {
                oid == 25
            }
        }
    }

    /// Reads the binary answer. `None` is an answer that this type does not have.
    fn read<'a>(self, bytes: &'a [u8], column: &ColumnMeta) -> Option<Cell<'a>> {
        let text = || std::str::from_utf8(bytes).ok();
        Some(match self {
            Wire::Bool => Cell::Bool(*bytes.first()? != 0),
            Wire::Int2 => Cell::Int(i64::from(i16::from_be_bytes(bytes.try_into().ok()?))),
            Wire::Int4 => Cell::Int(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
            Wire::Int8 => Cell::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
            Wire::Oid => Cell::Int(i64::from(u32::from_be_bytes(bytes.try_into().ok()?))),
            Wire::Float4 => Cell::Float32(f32::from_be_bytes(bytes.try_into().ok()?)),
            Wire::Float8 => Cell::Float64(f64::from_be_bytes(bytes.try_into().ok()?)),
            Wire::Text | Wire::Label => Cell::text(text()?),
            Wire::Bytea => Cell::Bytes(bytes.into()),
            Wire::Date => date(i32::from_be_bytes(bytes.try_into().ok()?)),
            Wire::Time => Cell::Time(i64::from_be_bytes(bytes.try_into().ok()?).checked_mul(1_000)?),
            Wire::Timestamp => moment(i64::from_be_bytes(bytes.try_into().ok()?), Cell::Local),
            Wire::Timestamptz => moment(i64::from_be_bytes(bytes.try_into().ok()?), Cell::Instant),
            Wire::Uuid => Cell::Uuid(bytes.try_into().ok()?),
            Wire::Numeric | Wire::Money => Cell::Decimal(text()?.into()),
            Wire::Timetz => zoned_time(text()?)?,
            Wire::Json => Cell::Json(text()?.into()),
            Wire::Bit => Cell::Bool(text()? == "1"),
            Wire::Opaque => Cell::Opaque(Box::new((column.declared.to_string(), text()?.to_owned()))),
        })
    }

    /// The cell of an answer's column; `None` where the answer is not of the type that was asked for.
    pub(super) fn cell(self, row: &PgRow, index: usize, column: &ColumnMeta) -> Option<Cell<'static>> {
        let value = row.try_get_raw(index).ok()?;
        if value.format() != PgValueFormat::Binary {
            return None;
        }
        match value.as_bytes() {
            Ok(bytes) => self.read(bytes, column).map(Cell::into_owned),
            Err(_) => Some(Cell::Null),
        }
    }
}

/// `timestamp(3) without time zone` is `timestamp without time zone`; an array keeps its brackets.
pub(super) fn without_arguments(declared: &str) -> String {
    match (declared.find('('), declared.rfind(')')) {
        (Some(open), Some(close)) if open < close => format!("{}{}", &declared[..open], &declared[close + 1..]),
        _ => declared.to_owned(),
    }
}

fn date(days: i32) -> Cell<'static> {
    match days {
        i32::MAX => Cell::Infinity(1),
        i32::MIN => Cell::Infinity(-1),
        _ => Cell::Date(i64::from(days) + EPOCH_DAYS),
    }
}

fn moment(micros: i64, cell: fn(i64, u32) -> Cell<'static>) -> Cell<'static> {
    match micros {
        i64::MAX => Cell::Infinity(1),
        i64::MIN => Cell::Infinity(-1),
        _ => cell(micros.div_euclid(1_000_000) + EPOCH_SECONDS, (micros.rem_euclid(1_000_000) * 1_000) as u32),
    }
}

/// A time with zone as the time of UTC's day: what Debezium makes of it.
fn zoned_time(text: &str) -> Option<Cell<'static>> {
    let (nanos, offset) = parse_time(text)?;
    let utc = nanos - i64::from(offset.unwrap_or(0)) * NANOS;
    let day = DAY_SECONDS * NANOS;
    Some(Cell::Time(if utc == day { day } else { utc.rem_euclid(day) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_time_are_infinities() {
        assert_eq!(date(i32::MAX), Cell::Infinity(1));
        assert_eq!(date(-10_957), Cell::Date(0));
        assert_eq!(moment(i64::MIN, Cell::Instant), Cell::Infinity(-1));
        assert_eq!(moment(-1, Cell::Local), Cell::Local(946_684_799, 999_999_000));
    }

    #[test]
    fn declared_types_choose_the_way() {
        for (declared, wire) in [
            ("timestamp(3) without time zone", Wire::Timestamp),
            ("character varying(40)", Wire::Text),
            ("numeric(8,3)[]", Wire::Opaque),
            ("enum(mood)", Wire::Label),
            ("bit(8)", Wire::Opaque),
            ("bit(1)", Wire::Bit),
        ] {
            assert_eq!(Wire::of(declared), wire, "{declared}");
        }
    }
}
