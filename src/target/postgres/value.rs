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
    Interval,
    /// Everything below is cast to text by the server.
    Numeric,
    Money,
    Timetz,
    Json,
    /// `bit(1)`.
    Bit,
    /// Enums and other types that are compared as what they print.
    Label,
    /// Arrays, and types that this version does not compare.
    Opaque,
}

impl Wire {
    /// The way of a column with that declared type.
    pub(super) fn of(declared: &str) -> Wire {
        let plain = without_arguments(declared);
        match plain.rsplit('.').next().unwrap_or_default() {
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
            "enum" | "citext" | "\"char\"" | "macaddr" | "macaddr8" | "inet" | "cidr" | "ltree" | "xml" => Wire::Label,
            "tsvector" | "bit" | "bit varying" | "hstore" | "point" => Wire::Label,
            "int4range" | "int8range" | "numrange" | "daterange" | "tsrange" | "tstzrange" => Wire::Label,
            "isbn" | "isbn13" | "issn" | "issn13" | "ismn" | "ismn13" | "ean13" | "upc" => Wire::Label,
            name if name == "interval" || (name.starts_with("interval ") && !name.ends_with(']')) => Wire::Interval,
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
            | Wire::Uuid
            | Wire::Interval => column.to_owned(),
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
            Wire::Interval => oid == 1186,
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
            Wire::Interval => interval(bytes, column)?,
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

/// As Debezium writes it with `interval.handling.mode=string`: every part, each with its own sign.
fn interval(bytes: &[u8], column: &ColumnMeta) -> Option<Cell<'static>> {
    let bytes: &[u8; 16] = bytes.try_into().ok()?;
    let micros = i64::from_be_bytes(bytes[..8].try_into().ok()?);
    let days = i32::from_be_bytes(bytes[8..12].try_into().ok()?);
    let months = i32::from_be_bytes(bytes[12..].try_into().ok()?);
    match (months, days, micros) {
        (i32::MAX, i32::MAX, i64::MAX) => return Some(Cell::Infinity(1)),
        (i32::MIN, i32::MIN, i64::MIN) => return Some(Cell::Infinity(-1)),
        _ => {}
    }
    let (hours, minutes, rest) = (micros / 3_600_000_000, micros / 60_000_000 % 60, micros % 60_000_000);
    let sign = if rest < 0 { "-" } else { "" };
    let seconds = format!("{sign}{}.{:06}", rest.abs() / 1_000_000, rest.abs() % 1_000_000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    let text = format!("P{}Y{}M{days}DT{hours}H{minutes}M{seconds}S", months / 12, months % 12);
    Some(Cell::Opaque(Box::new((column.declared.to_string(), text))))
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
            ("interval day to second(3)", Wire::Interval),
            ("interval[]", Wire::Opaque),
            ("public.hstore", Wire::Label),
            ("box", Wire::Opaque),
            ("enum(mood)", Wire::Label),
            ("bit(8)", Wire::Label),
            ("bit(1)", Wire::Bit),
        ] {
            assert_eq!(Wire::of(declared), wire, "{declared}");
        }
    }
}
