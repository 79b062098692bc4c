//! Keys become one JSON document: an array of arrays, unpacked by `JSON_TABLE` with its ordinal.

use serde_json::Value;

use super::value::{MOST_TIME_SECONDS, hex};
use crate::model::calendar::{NANOS, format_date, format_moment, format_time};
use crate::model::{Cell, ColumnMeta};

/// How a key column is unpacked and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signed,
    Unsigned,
    Float,
    Decimal,
    Text,
    Bytes,
    Date,
    Time,
    Moment,
    Uuid,
}

impl Kind {
    fn of(column: &ColumnMeta) -> Kind {
        let words: Vec<&str> = column.declared.split(|at: char| !at.is_ascii_alphanumeric()).collect();
        match words.first().copied().unwrap_or_default() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" if words.contains(&"unsigned") => Kind::Unsigned,
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" | "bit" => Kind::Signed,
            "float" | "double" => Kind::Float,
            "decimal" => Kind::Decimal,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Bytes,
            "date" => Kind::Date,
            "time" => Kind::Time,
            "datetime" | "timestamp" => Kind::Moment,
            "uuid" => Kind::Uuid,
            _ => Kind::Text,
        }
    }
}

/// The key columns of one lookup.
#[derive(Debug)]
pub(super) struct KeyColumn<'a> {
    column: &'a ColumnMeta,
    kind: Kind,
    /// Longest text of the batch, in characters.
    longest: usize,
}

impl<'a> KeyColumn<'a> {
    /// For a column of the table.
    pub(super) fn of(column: &'a ColumnMeta) -> KeyColumn<'a> {
        KeyColumn { column, kind: Kind::of(column), longest: 0 }
    }

    /// The JSON of a cell; `None` where no row of the column's type can hold it.
    pub(super) fn json(&mut self, cell: &Cell) -> Option<Value> {
        let text = match (self.kind, cell) {
            (Kind::Signed, Cell::Int(value)) => return Some(Value::from(*value)),
            (Kind::Signed, Cell::Bool(value)) => return Some(Value::from(i64::from(*value))),
            (Kind::Unsigned, Cell::Int(value)) => return u64::try_from(*value).ok().map(Value::from),
            (Kind::Unsigned, Cell::Decimal(text)) => return text.parse::<u64>().ok().map(Value::from),
            (Kind::Float, Cell::Float32(_) | Cell::Float64(_) | Cell::Int(_)) => {
                return cell.to_string().parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::from);
            }
            (Kind::Decimal, Cell::Int(_) | Cell::Decimal(_)) => cell.to_string(),
            (Kind::Text, Cell::Text(text)) => text.to_string(),
            (Kind::Bytes, Cell::Bytes(bytes)) => hex(&self.filled(bytes)),
            (Kind::Date, Cell::Date(days)) => format_date(*days),
            (Kind::Time, Cell::Time(nanos)) if nanos.abs() < MOST_TIME_SECONDS * NANOS => format_time(*nanos),
            (Kind::Moment, Cell::Local(secs, nanos) | Cell::Instant(secs, nanos)) => format_moment(*secs, *nanos),
            (Kind::Uuid, Cell::Uuid(_)) => cell.to_string(),
            _ => return None,
        };
        if text.ends_with(" BC") {
            return None;
        }
        self.longest = self.longest.max(text.chars().count());
        Some(Value::from(text))
    }

    /// `binary(n)` holds n bytes, filled with zeros; a canonical key has none at its end.
    fn filled(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let width =
            self.column.declared.strip_prefix("binary(").and_then(|rest| rest.trim_end_matches(')').parse().ok());
        if let Some(width) = width {
            bytes.resize(bytes.len().max(width), 0);
        }
        bytes
    }

    /// The type in which `JSON_TABLE` unpacks the column. Widths are rounded up, so that few statements are distinct.
    pub(super) fn unpacked(&self) -> String {
        match self.kind {
            Kind::Signed => "BIGINT".to_owned(),
            Kind::Unsigned => "BIGINT UNSIGNED".to_owned(),
            Kind::Float => "DOUBLE".to_owned(),
            Kind::Decimal | Kind::Text | Kind::Bytes | Kind::Date | Kind::Time | Kind::Moment | Kind::Uuid => {
                let widths = [40, 256, 1_024, 4_096, 16_000];
                let width = widths.into_iter().find(|width| *width >= self.longest);
                width.map_or_else(|| "LONGTEXT".to_owned(), |width| format!("VARCHAR({width}) CHARACTER SET utf8mb4"))
            }
        }
    }

    /// Whether an index keeps the order in which values are compared with a text: that of an `enum` is the order of its list.
    pub(super) fn is_ordered(&self) -> bool {
        !["enum", "set"].iter().any(|listed| self.column.declared.starts_with(listed))
    }

    /// The condition under which a row belongs to an asked key.
    pub(super) fn condition(&self, quoted: &str, asked: &str) -> String {
        format!("{quoted} = {}", self.typed(asked))
    }

    /// The value of the column in a bound array of one key, as a constant.
    pub(super) fn bound(&self, index: usize) -> String {
        let text = format!("JSON_UNQUOTE(JSON_EXTRACT(?, '$[{index}]'))");
        match self.kind {
            Kind::Signed => format!("CAST({text} AS SIGNED)"),
            Kind::Unsigned => format!("CAST({text} AS UNSIGNED)"),
            Kind::Float => format!("CAST({text} AS DOUBLE)"),
            Kind::Decimal | Kind::Text | Kind::Bytes | Kind::Date | Kind::Time | Kind::Moment | Kind::Uuid => {
                self.typed(&text)
            }
        }
    }

    /// The asked side is given the column's type and collation, so that the column's index serves.
    fn typed(&self, asked: &str) -> String {
        match self.kind {
            Kind::Signed | Kind::Unsigned | Kind::Float => asked.to_owned(),
            Kind::Decimal => format!("CAST({asked} AS DECIMAL(65,30))"),
            Kind::Bytes => format!("UNHEX({asked})"),
            Kind::Date => format!("CAST({asked} AS DATE)"),
            Kind::Time => format!("CAST({asked} AS TIME(6))"),
            Kind::Moment => format!("CAST({asked} AS DATETIME(6))"),
            Kind::Uuid => format!("CAST({asked} AS UUID)"),
            Kind::Text => match self.column.collation.as_deref().and_then(charset_and_collation) {
                Some((charset, collation)) => format!("CONVERT({asked} USING {charset}) COLLATE {collation}"),
                None => asked.to_owned(),
            },
        }
    }
}

/// A collation's name begins with its character set's, but for MariaDB's `uca1400_…`, which belong to several. Names are
/// letters, digits and underscores, or they are not used.
fn charset_and_collation(collation: &str) -> Option<(String, String)> {
    if !collation.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let charset = collation.split('_').next()?;
    Some(match charset {
        "uca1400" => ("utf8mb4".to_owned(), format!("utf8mb4_{collation}")),
        _ => (charset.to_owned(), collation.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(declared: &str, collation: Option<&str>) -> ColumnMeta {
        ColumnMeta {
            name: "c".into(),
            declared: declared.into(),
            nullable: false,
            collation: collation.map(Into::into),
            number: 0,
        }
    }

    #[test]
    fn text_is_compared_under_the_columns_collation() {
        let text = column("varchar(20)", Some("latin1_swedish_ci"));
        let condition = KeyColumn::of(&text).condition("t.`c`", "k.a");
        assert_eq!(condition, "t.`c` = CONVERT(k.a USING latin1) COLLATE latin1_swedish_ci");
        let hostile = column("varchar(20)", Some("x; DROP"));
        assert_eq!(KeyColumn::of(&hostile).condition("t.`c`", "k.a"), "t.`c` = k.a");
    }

    #[test]
    fn what_no_row_can_hold_is_not_asked_for() {
        for (declared, cell) in [
            ("int(10) unsigned", Cell::Int(-1)),
            ("bigint(20)", Cell::Decimal("18446744073709551615".into())),
            ("date", Cell::Date(-1_000_000)),
            ("datetime", Cell::Infinity(1)),
            ("varchar(5)", Cell::Null),
        ] {
            assert_eq!(KeyColumn::of(&column(declared, None)).json(&cell), None, "{declared}");
        }
    }

    #[test]
    fn fixed_bytes_are_filled() {
        let fixed = column("binary(4)", None);
        assert_eq!(KeyColumn::of(&fixed).json(&Cell::Bytes([1].into())), Some(Value::from("01000000")));
    }
}
