//! MySQL's values: how a column is asked for and how its answer is read.

use std::fmt::Write;

use sqlx::mysql::MySqlRow;
use sqlx::{Column as _, Row as _, TypeInfo as _};

use crate::model::calendar::{DAY_SECONDS, parse_date, parse_moment, parse_time};
use crate::model::{Cell, ColumnMeta};

const TEXTS: [&str; 8] = ["CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "ENUM", "SET"];
const BYTES: [&str; 6] = ["BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"];

/// How a column travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Signed,
    Unsigned,
    Float4,
    Float8,
    Decimal,
    Text,
    Bytes,
    /// `bit(1)`.
    Bit,
    /// Longer bits.
    Bits,
    Json,
    /// Everything below is cast to text by the server: zero dates have no binary form that a driver reads.
    Date,
    Time,
    Datetime,
    Timestamp,
    Uuid,
    /// Addresses.
    Label,
    /// Geometries, and types that this version does not compare.
    Opaque,
}

impl Wire {
    /// The way of a column with that declared type.
    pub(super) fn of(declared: &str) -> Wire {
        let words: Vec<&str> = declared.split(|at: char| !at.is_ascii_alphanumeric()).collect();
        match words.first().copied().unwrap_or_default() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" if words.contains(&"unsigned") => Wire::Unsigned,
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Wire::Signed,
            "year" => Wire::Unsigned,
            "float" => Wire::Float4,
            "double" => Wire::Float8,
            "decimal" => Wire::Decimal,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => Wire::Text,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Wire::Bytes,
            "bit" if declared == "bit(1)" => Wire::Bit,
            "bit" => Wire::Bits,
            "inet4" | "inet6" => Wire::Label,
            "json" => Wire::Json,
            "date" => Wire::Date,
            "time" => Wire::Time,
            "datetime" => Wire::Datetime,
            "timestamp" => Wire::Timestamp,
            "uuid" => Wire::Uuid,
            _ => Wire::Opaque,
        }
    }

    /// The expression that reads the column.
    pub(super) fn select(self, column: &str) -> String {
        match self {
            Wire::Signed
            | Wire::Unsigned
            | Wire::Float4
            | Wire::Float8
            | Wire::Decimal
            | Wire::Text
            | Wire::Bytes
            | Wire::Bit
            | Wire::Bits
            | Wire::Json => column.to_owned(),
            Wire::Date | Wire::Time | Wire::Datetime | Wire::Timestamp | Wire::Uuid | Wire::Label => {
                format!("CAST({column} AS CHAR)")
            }
            Wire::Opaque => format!("HEX({column})"),
        }
    }

    /// Whether an answer of that type is what was asked for, so that a column altered behind our back is noticed. What
    /// is cast to text is read as what it says.
    fn accepts(self, name: &str) -> bool {
        let integer = ["TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "BOOLEAN", "YEAR"];
        match self {
            // A width of 1 hides the sign: the driver says BOOLEAN.
            Wire::Signed => integer.contains(&name),
            Wire::Unsigned => name.ends_with(" UNSIGNED") || name == "YEAR" || name == "BOOLEAN",
            Wire::Float4 => name == "FLOAT",
            Wire::Float8 => name == "DOUBLE",
            Wire::Decimal => name == "DECIMAL",
            // Under a `_bin` collation the driver gives text the names of bytes.
            Wire::Text => TEXTS.contains(&name) || BYTES.contains(&name),
            Wire::Bytes => BYTES.contains(&name),
            Wire::Bit | Wire::Bits => name == "BIT",
            Wire::Json | Wire::Date | Wire::Time | Wire::Datetime | Wire::Timestamp => true,
            Wire::Uuid | Wire::Label | Wire::Opaque => true,
        }
    }

    /// Reads the answer. `None` is an answer that this type does not have.
    fn read<'a>(self, bytes: &'a [u8], column: &ColumnMeta) -> Option<Cell<'a>> {
        let text = || std::str::from_utf8(bytes).ok();
        Some(match self {
            Wire::Signed => Cell::Int(signed(bytes)?),
            Wire::Unsigned => unsigned(bytes)?,
            Wire::Float4 => Cell::Float32(f32::from_le_bytes(bytes.try_into().ok()?)),
            Wire::Float8 => Cell::Float64(f64::from_le_bytes(bytes.try_into().ok()?)),
            Wire::Decimal => Cell::Decimal(text()?.into()),
            Wire::Text => match text() {
                Some(text) => Cell::text(text),
                None => opaque(column, hex(bytes)),
            },
            Wire::Bytes => Cell::Bytes(bytes.into()),
            Wire::Bit => Cell::Bool(bytes.iter().any(|byte| *byte != 0)),
            Wire::Bits => Cell::Text(bits(bytes, &column.declared).into()),
            Wire::Label => Cell::text(text()?),
            Wire::Json => Cell::Json(text()?.into()),
            Wire::Uuid => uuid(text()?)?,
            Wire::Date => temporal(column, text()?, parse_date(text()?).map(Cell::Date)),
            Wire::Time => temporal(column, text()?, parse_time(text()?).map(|(nanos, _)| Cell::Time(nanos))),
            Wire::Datetime => temporal(column, text()?, moment(text()?, Cell::Local)),
            Wire::Timestamp => temporal(column, text()?, moment(text()?, Cell::Instant)),
            Wire::Opaque => opaque(column, text()?.to_owned()),
        })
    }

    /// The cell of an answer's column; `None` where the answer is not of the type that was asked for.
    pub(super) fn cell(self, row: &MySqlRow, index: usize, column: &ColumnMeta) -> Option<Cell<'static>> {
        match row.try_get_unchecked::<Option<&[u8]>, _>(index).ok()? {
            Some(bytes) => self.read(bytes, column).map(Cell::into_owned),
            None => Some(Cell::Null),
        }
    }

    /// Whether the answer's column is of the type that was asked for.
    pub(super) fn fits(self, row: &MySqlRow, index: usize) -> bool {
        row.columns().get(index).is_some_and(|column| self.accepts(column.type_info().name()))
    }
}

fn signed(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        1 => i64::from(i8::from_le_bytes(bytes.try_into().ok()?)),
        2 => i64::from(i16::from_le_bytes(bytes.try_into().ok()?)),
        4 => i64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
        8 => i64::from_le_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

fn unsigned(bytes: &[u8]) -> Option<Cell<'static>> {
    let mut padded = [0; 8];
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let value = u64::from_le_bytes(padded);
    Some(i64::try_from(value).map_or_else(|_| Cell::Decimal(value.to_string().into()), Cell::Int))
}

/// As digits, the highest bit first, as many as the column is declared to have.
fn bits(bytes: &[u8], declared: &str) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let width = declared.trim_start_matches("bit(").trim_end_matches(')').parse().unwrap_or(digits.len());
    digits.get(digits.len().saturating_sub(width)..).map(str::to_owned).unwrap_or(digits.clone())
}

fn moment(text: &str, cell: fn(i64, u32) -> Cell<'static>) -> Option<Cell<'static>> {
    parse_moment(text).map(|moment| cell(moment.local_secs, moment.nanos))
}

/// Zero and partial dates are no dates: they are shown and not compared.
fn temporal(column: &ColumnMeta, text: &str, parsed: Option<Cell<'static>>) -> Cell<'static> {
    parsed.unwrap_or_else(|| opaque(column, text.to_owned()))
}

fn opaque(column: &ColumnMeta, text: String) -> Cell<'static> {
    Cell::Opaque(Box::new((column.declared.to_string(), text)))
}

fn uuid(text: &str) -> Option<Cell<'static>> {
    let digits: String = text.chars().filter(|digit| *digit != '-').collect();
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    Some(Cell::Uuid(bytes?.try_into().ok()?))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The longest TIME, in seconds, for which a cell is still a key here: beyond it MySQL has none.
pub(super) const MOST_TIME_SECONDS: i64 = 35 * DAY_SECONDS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_choose_the_way() {
        for (declared, wire) in [
            ("int(10) unsigned zerofill", Wire::Unsigned),
            ("tinyint(1)", Wire::Signed),
            ("enum('unsigned','b')", Wire::Text),
            ("decimal(10,2)", Wire::Decimal),
            ("bit(1)", Wire::Bit),
            ("bit(20)", Wire::Bits),
            ("timestamp(6)", Wire::Timestamp),
            ("point", Wire::Opaque),
        ] {
            assert_eq!(Wire::of(declared), wire, "{declared}");
        }
    }

    #[test]
    fn integers_of_every_width_are_read() {
        assert_eq!(signed(&[0xff]), Some(-1));
        assert_eq!(signed(&[0, 0x80]), Some(-32_768));
        assert_eq!(unsigned(&[0xff; 8]), Some(Cell::Decimal("18446744073709551615".into())));
        assert_eq!(unsigned(&[0xff]), Some(Cell::Int(255)));
        assert_eq!(signed(&[1, 2, 3]), None);
    }
}
