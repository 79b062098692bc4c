//! Values under a Connect schema: the semantic type's name says what a number or a text stands for.
//!
//! Names and encodings are those of Debezium's `io.debezium.time`, `io.debezium.data` and Connect's logical types.

use serde_json::value::RawValue;

use super::schema::Node;
use crate::decode::calendar::{self, Unit};
use crate::decode::decimal;
use crate::decode::json::{self, Flaw, Scalar};
use crate::model::Cell;
use crate::model::cell::Text;

/// How a column's values are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Float32,
    Float64,
    Text,
    Bytes,
    Decimal {
        scale: i32,
    },
    VariableScaleDecimal,
    Date,
    Time(Unit),
    Local(Unit),
    Instant,
    IsoDay,
    IsoClock,
    IsoLocal,
    Bits {
        length: Option<usize>,
    },
    Uuid,
    Json,
    Array(Box<Kind>),
    /// Carried as written: the name of the type.
    Opaque(Box<str>),
}

/// The kind that a schema node declares.
pub(super) fn kind(node: &Node) -> Kind {
    let parameter = |name: &str| node.parameters.get(name).and_then(|text| text.parse().ok());
    match node.name.as_deref() {
        None => base(node),
        Some("org.apache.kafka.connect.data.Decimal") => Kind::Decimal { scale: parameter("scale").unwrap_or(0) },
        Some("io.debezium.data.VariableScaleDecimal") => Kind::VariableScaleDecimal,
        Some("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date") => Kind::Date,
        Some("io.debezium.time.Time" | "org.apache.kafka.connect.data.Time") => Kind::Time(Unit::Milli),
        Some("io.debezium.time.MicroTime") => Kind::Time(Unit::Micro),
        Some("io.debezium.time.NanoTime") => Kind::Time(Unit::Nano),
        Some("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp") => Kind::Local(Unit::Milli),
        Some("io.debezium.time.MicroTimestamp") => Kind::Local(Unit::Micro),
        Some("io.debezium.time.NanoTimestamp") => Kind::Local(Unit::Nano),
        Some("io.debezium.time.ZonedTimestamp") => Kind::Instant,
        Some("io.debezium.time.IsoDate") => Kind::IsoDay,
        Some("io.debezium.time.IsoTime") => Kind::IsoClock,
        Some("io.debezium.time.IsoTimestamp") => Kind::IsoLocal,
        Some("io.debezium.data.Bits") => {
            Kind::Bits { length: parameter("length").and_then(|length| usize::try_from(length).ok()) }
        }
        Some("io.debezium.data.Uuid") => Kind::Uuid,
        Some("io.debezium.data.Json") => Kind::Json,
        Some("io.debezium.time.Year") => Kind::Int,
        // What no kind of cell holds is understood where it is compared.
        Some(name @ ("io.debezium.time.ZonedTime" | "io.debezium.time.Interval")) => Kind::Opaque(name.into()),
        // Any other named text is a text (Enum, EnumSet, Xml, Ltree, Tsvector); any other name hides what is meant.
        Some(_) if node.base == "string" => Kind::Text,
        Some(name) => Kind::Opaque(name.into()),
    }
}

fn base(node: &Node) -> Kind {
    match node.base.as_str() {
        "boolean" => Kind::Bool,
        "int8" | "int16" | "int32" | "int64" => Kind::Int,
        "float" | "float32" => Kind::Float32,
        "double" | "float64" => Kind::Float64,
        "string" => Kind::Text,
        "bytes" => Kind::Bytes,
        "array" => match &node.items {
            Some(items) => Kind::Array(Box::new(kind(items))),
            None => Kind::Opaque("array".into()),
        },
        other => Kind::Opaque(other.into()),
    }
}

/// Whether the PostgreSQL connector sends null where an update left a TOASTed value of this type alone: arrays and
/// structs that its text marker does not fit, and `bytea` sent as base64 text (which only a propagated type tells).
pub(super) fn null_may_be_unsent(node: &Node) -> bool {
    let source_type = node.parameters.get("__debezium.source.column.type").map(String::as_str);
    let number = node.name.as_deref() == Some("io.debezium.data.VariableScaleDecimal");
    match node.base.as_str() {
        "array" | "struct" | "map" => !number,
        "string" => source_type == Some("BYTEA"),
        _ => false,
    }
}

impl Kind {
    /// The cell of a value as written.
    pub(super) fn written<'a>(&self, raw: &'a str) -> Result<Cell<'a>, Flaw> {
        match self {
            _ if raw == "null" => Ok(Cell::Null),
            Kind::Opaque(name) => json::opaque(name, raw),
            Kind::Array(element) => json::opaque("array", &array(element, raw).unwrap_or_else(|| raw.to_owned())),
            Kind::Float32 => float(raw).map(Cell::Float32),
            Kind::Float64 => float(raw).map(Cell::Float64),
            Kind::VariableScaleDecimal => any_scale(raw),
            // A plain number, under `decimal.format=NUMERIC`.
            Kind::Decimal { .. } if raw.starts_with(is_of_number) => Ok(Cell::Decimal(decimal::plain(raw)?)),
            Kind::Bool
            | Kind::Int
            | Kind::Text
            | Kind::Bytes
            | Kind::Decimal { .. }
            | Kind::Date
            | Kind::Time(_)
            | Kind::Local(_)
            | Kind::Instant
            | Kind::IsoDay
            | Kind::IsoClock
            | Kind::IsoLocal
            | Kind::Bits { .. }
            | Kind::Uuid
            | Kind::Json => self.simple(raw),
        }
    }

    fn simple<'a>(&self, raw: &'a str) -> Result<Cell<'a>, Flaw> {
        let scalar = match raw.as_bytes().first() {
            Some(b'"') => return self.scalar(Scalar::Text(json::text(raw)?.into())).unwrap_or(Err(self.mistyped())),
            Some(b't') => Some(Scalar::Bool(true)),
            Some(b'f') => Some(Scalar::Bool(false)),
            Some(_) | None => raw.parse().ok().map(Scalar::Int),
        };
        scalar.and_then(|scalar| self.scalar(scalar)).unwrap_or(Err(self.mistyped()))
    }

    /// The cell of a simple value; `None` where it is not what the kind is written as.
    pub(super) fn scalar<'a>(&self, value: Scalar<'a>) -> Option<Result<Cell<'a>, Flaw>> {
        Some(match (self, value) {
            (Kind::Float32 | Kind::Float64 | Kind::VariableScaleDecimal, _) => return None,
            (Kind::Array(_) | Kind::Opaque(_), _) => return None,
            (_, Scalar::Null) => Ok(Cell::Null),
            (Kind::Bool, Scalar::Bool(value)) => Ok(Cell::Bool(value)),
            (Kind::Int, Scalar::Int(value)) => Ok(Cell::Int(value)),
            (Kind::Date, Scalar::Int(days)) => Ok(calendar::date(days)),
            (Kind::Time(unit), Scalar::Int(count)) => calendar::time(count, *unit).ok_or(self.mistyped()),
            (Kind::Local(unit), Scalar::Int(count)) => Ok(calendar::local(count, *unit)),
            (Kind::Text, Scalar::Text(text)) => Ok(Cell::Text(text)),
            (Kind::Json, Scalar::Text(text)) => Ok(Cell::Json(text)),
            (Kind::Uuid, Scalar::Text(text)) => Ok(uuid(text)),
            (Kind::Bytes | Kind::Bits { .. } | Kind::Decimal { .. }, Scalar::Text(text)) => {
                json::base64(&text).and_then(|bytes| self.bytes(bytes))
            }
            (Kind::Instant, Scalar::Text(text)) => calendar::instant(&text).ok_or(self.mistyped()),
            (Kind::IsoDay, Scalar::Text(text)) => calendar::iso_day(&text).ok_or(self.mistyped()),
            (Kind::IsoClock, Scalar::Text(text)) => calendar::iso_clock(&text).ok_or(self.mistyped()),
            (Kind::IsoLocal, Scalar::Text(text)) => calendar::iso_local(&text).ok_or(self.mistyped()),
            (_, Scalar::Bool(_) | Scalar::Int(_) | Scalar::Fraction(_) | Scalar::Text(_)) => return None,
        })
    }

    /// The cell of a value that is sent as bytes.
    pub(super) fn bytes(&self, bytes: impl AsRef<[u8]> + Into<Box<[u8]>>) -> Result<Cell<'static>, Flaw> {
        match self {
            Kind::Bytes => Ok(Cell::Bytes(bytes.into())),
            Kind::Bits { length } => Ok(bits(bytes.as_ref(), *length)),
            Kind::Decimal { scale } => decimal::from_twos_complement(bytes.as_ref(), *scale).map(Cell::Decimal),
            Kind::Bool
            | Kind::Int
            | Kind::Float32
            | Kind::Float64
            | Kind::Text
            | Kind::VariableScaleDecimal
            | Kind::Date
            | Kind::Time(_)
            | Kind::Local(_)
            | Kind::Instant
            | Kind::IsoDay
            | Kind::IsoClock
            | Kind::IsoLocal
            | Kind::Uuid
            | Kind::Json
            | Kind::Array(_)
            | Kind::Opaque(_) => Err(self.mistyped()),
        }
    }

    /// Whether only the value as written tells it exactly.
    pub(super) fn is_seen_as_written(&self) -> bool {
        let nested = matches!(self, Kind::VariableScaleDecimal | Kind::Array(_) | Kind::Opaque(_));
        nested || matches!(self, Kind::Float32 | Kind::Float64)
    }

    /// The name of a type that is carried as written; of another kind, none.
    pub(super) fn name(&self) -> &str {
        match self {
            Kind::Opaque(name) => name,
            Kind::Array(_) => "array",
            Kind::Bool
            | Kind::Int
            | Kind::Float32
            | Kind::Float64
            | Kind::Text
            | Kind::Bytes
            | Kind::Decimal { .. }
            | Kind::VariableScaleDecimal
            | Kind::Date
            | Kind::Time(_)
            | Kind::Local(_)
            | Kind::Instant
            | Kind::IsoDay
            | Kind::IsoClock
            | Kind::IsoLocal
            | Kind::Bits { .. }
            | Kind::Uuid
            | Kind::Json => "value",
        }
    }

    /// What is wrong with a value of another form.
    pub(super) fn mistyped(&self) -> Flaw {
        Flaw::Not(match self {
            Kind::Bool => "a boolean, as declared",
            Kind::Int | Kind::Date | Kind::Local(_) => "an integer of 64 bits, as declared",
            Kind::Time(_) => "a time of day, as declared",
            Kind::Float32 | Kind::Float64 => "a floating-point number, as declared",
            Kind::Text | Kind::Uuid | Kind::Json => "a text, as declared",
            Kind::Bytes | Kind::Bits { .. } => "base64 text, as declared",
            Kind::Decimal { .. } | Kind::VariableScaleDecimal => "a decimal, as declared",
            Kind::Instant => "an ISO 8601 moment, as declared",
            Kind::IsoDay => "an ISO 8601 date, as declared",
            Kind::IsoClock => "an ISO 8601 time, as declared",
            Kind::IsoLocal => "an ISO 8601 date and time, as declared",
            Kind::Array(_) | Kind::Opaque(_) => "of its declared type",
        })
    }
}

fn is_of_number(first: char) -> bool {
    first == '-' || first.is_ascii_digit()
}

/// `JsonConverter` writes the three values that JSON lacks as texts.
fn float<F: std::str::FromStr>(raw: &str) -> Result<F, Flaw> {
    let text = match raw {
        r#""NaN""# => "NaN",
        r#""Infinity""# => "inf",
        r#""-Infinity""# => "-inf",
        _ if raw.starts_with(is_of_number) => raw,
        _ => return Err(Kind::Float64.mistyped()),
    };
    text.parse().map_err(|_| Kind::Float64.mistyped())
}

fn any_scale(raw: &str) -> Result<Cell<'static>, Flaw> {
    json::variable_scale(raw).unwrap_or(Err(Kind::VariableScaleDecimal.mistyped())).map(Cell::Decimal)
}

/// An array's elements as their own type says, as JSON again: numbers as numbers, bytes as PostgreSQL prints them, everything
/// else as text. `None` where an element is not of its type, as in an array of arrays.
fn array(element: &Kind, raw: &str) -> Option<String> {
    let raw: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    let texts: Option<Vec<String>> = raw.iter().map(|raw| element_text(&element.written(raw.get()).ok()?)).collect();
    Some(format!("[{}]", texts?.join(",")))
}

fn element_text(cell: &Cell) -> Option<String> {
    let text = cell.to_string();
    match cell {
        Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Decimal(_) | Cell::Opaque(_) => Some(text),
        Cell::Float32(value) if value.is_finite() => Some(text),
        Cell::Float64(value) if value.is_finite() => Some(text),
        Cell::Bytes(_) => serde_json::to_string(&format!("\\x{text}")).ok(),
        Cell::Float32(_) | Cell::Float64(_) | Cell::Text(_) | Cell::Uuid(_) | Cell::Json(_) | Cell::Infinity(_) => {
            serde_json::to_string(&text).ok()
        }
        Cell::Date(_) | Cell::Time(_) | Cell::Local(..) | Cell::Instant(..) => serde_json::to_string(&text).ok(),
        Cell::Absent | Cell::NotSent | Cell::Redacted => None,
    }
}

/// Bits arrive with the lowest byte first and without leading zero bytes. They become a text of `0` and `1`, highest
/// bit first, as databases print them; `varbit` has lost its length.
fn bits(bytes: &[u8], length: Option<usize>) -> Cell<'static> {
    let digits: String = bytes.iter().rev().map(|byte| format!("{byte:08b}")).collect();
    let text = match length {
        Some(length) if length <= digits.len() => digits[digits.len() - length..].to_owned(),
        // `varbit` without a length declares 2^31 - 1; only a real length is padded to.
        Some(length) if length <= 65_536 => format!("{}{digits}", "0".repeat(length - digits.len())),
        Some(_) | None => digits,
    };
    Cell::Opaque(Box::new(("io.debezium.data.Bits".to_owned(), text)))
}

/// A text that is no UUID stays a text: comparing it as one loses nothing.
fn uuid(text: Text<'_>) -> Cell<'_> {
    let hex: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let nibble = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; 16];
    let complete = hex.len() == 32
        && bytes.iter_mut().zip(hex.chunks_exact(2)).all(|(byte, pair)| match (nibble(pair[0]), nibble(pair[1])) {
            (Some(high), Some(low)) => {
                *byte = high << 4 | low;
                true
            }
            _ => false,
        });
    if complete { Cell::Uuid(bytes) } else { Cell::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(schema: &str) -> Kind {
        kind(&serde_json::from_str(schema).expect("the schema of a test is JSON"))
    }

    fn named(base: &str, name: &str) -> Kind {
        declared(&format!(r#"{{"type":"{base}","name":"{name}"}}"#))
    }

    #[test]
    fn semantic_types() {
        let decimal =
            declared(r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}"#);
        let bits = declared(r#"{"type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"10"}}"#);
        let bits_text = |text: &str| Cell::Opaque(Box::new(("io.debezium.data.Bits".into(), text.into())));
        for (kind, raw, expected) in [
            (&decimal, r#""MDk=""#, Cell::Decimal("123.45".into())),
            (&decimal, "1.230", Cell::Decimal("1.230".into())),
            (
                &named("struct", "io.debezium.data.VariableScaleDecimal"),
                r#"{"scale":1,"value":"Dw=="}"#,
                Cell::Decimal("1.5".into()),
            ),
            (&named("int32", "io.debezium.time.Time"), "45296789", Cell::Time(45_296_789_000_000)),
            (&named("int64", "io.debezium.time.NanoTime"), "1", Cell::Time(1)),
            (&named("int64", "io.debezium.time.NanoTimestamp"), "-1", Cell::Local(-1, 999_999_999)),
            (&named("string", "io.debezium.time.IsoDate"), r#""2017-09-15Z""#, Cell::Date(17_424)),
            (&named("string", "io.debezium.time.IsoTime"), r#""00:00:01Z""#, Cell::Time(1_000_000_000)),
            (&named("string", "io.debezium.time.IsoTimestamp"), r#""1970-01-01T00:00:01Z""#, Cell::Local(1, 0)),
            (&named("int32", "io.debezium.time.Year"), "1901", Cell::Int(1901)),
            (&bits, r#""AQI=""#, bits_text("1000000001")),
            (&bits, r#""""#, bits_text("0000000000")),
            (&declared(r#"{"type":"float"}"#), "0.1", Cell::Float32(0.1)),
            (&declared(r#"{"type":"double"}"#), r#""-Infinity""#, Cell::Float64(f64::NEG_INFINITY)),
            (&named("string", "io.debezium.data.Uuid"), r#""no uuid""#, Cell::text("no uuid")),
            (&named("string", "io.debezium.data.Enum"), r#""sad""#, Cell::text("sad")),
            (
                &named("int64", "io.debezium.time.MicroDuration"),
                "5",
                Cell::Opaque(Box::new(("io.debezium.time.MicroDuration".into(), "5".into()))),
            ),
            (
                &declared(r#"{"type":"array","items":{"type":"int32"}}"#),
                "[1]",
                Cell::Opaque(Box::new(("array".into(), "[1]".into()))),
            ),
            (
                &declared(r#"{"type":"array","items":{"type":"int32","name":"io.debezium.time.Date"}}"#),
                "[19782,null]",
                Cell::Opaque(Box::new(("array".into(), r#"["2024-02-29",null]"#.into()))),
            ),
            (
                &declared(r#"{"type":"array","items":{"type":"bytes"}}"#),
                r#"["AP8="]"#,
                Cell::Opaque(Box::new(("array".into(), r#"["\\x00ff"]"#.into()))),
            ),
            (
                &declared(r#"{"type":"array","items":{"type":"int32"}}"#),
                "[[1],[2]]",
                Cell::Opaque(Box::new(("array".into(), "[[1],[2]]".into()))),
            ),
            (&decimal, "null", Cell::Null),
        ] {
            assert_eq!(kind.written(raw), Ok(expected), "{kind:?} {raw}");
        }
    }

    #[test]
    fn values_that_break_their_declaration() {
        for (kind, raw) in [
            (Kind::Int, r#""5""#),
            (Kind::Int, "9223372036854775808"),
            (Kind::Int, "1.0"),
            (Kind::Bool, "1"),
            (Kind::Float64, r#""nan""#),
            (Kind::Float64, "true"),
            (Kind::Bytes, r#""%""#),
            (Kind::Text, "5"),
            (Kind::Decimal { scale: 0 }, "true"),
            (Kind::VariableScaleDecimal, "5"),
            (Kind::Instant, r#""yesterday""#),
            (Kind::Time(Unit::Milli), "9223372036854775807"),
        ] {
            assert!(kind.written(raw).is_err(), "{kind:?} {raw}");
        }
    }
}
