//! Cells as JSON values, in full, hashed or withheld.

use serde_json::Value;

use super::document::Fields;
use super::wire::EXACT_MAX;
use crate::model::{Cell, Row};

/// How much of row values a finding carries. Keys are always carried in full: without them nobody could act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Values {
    /// Values as they are.
    #[default]
    Full,
    /// `xxh3:` and 16 hex digits of each value's text. Equal values have equal hashes. The hash has no key, so that
    /// values out of a small set can be guessed.
    Hashed,
    /// No values: a row that was there is an empty object, columns that differ have names only.
    None,
}

impl Values {
    /// A row. Columns that were not sent, or left out by the sender, are left out.
    #[must_use]
    pub fn row(self, row: &Row) -> Fields {
        match self {
            Values::Full => fields(row.iter(), json),
            Values::Hashed => fields(row.iter(), hashed),
            Values::None => Fields::new(),
        }
    }

    /// The text of one value that differs.
    #[must_use]
    pub fn text(self, text: &str) -> Option<String> {
        match self {
            Values::Full => Some(text.to_owned()),
            Values::Hashed => Some(hash(text)),
            Values::None => None,
        }
    }
}

/// The cells of a key under the names of its columns.
pub(super) fn key_fields(names: &[String], cells: &[Cell]) -> Fields {
    let name = |index: usize| names.get(index).cloned().unwrap_or_else(|| format!("key_{}", index + 1));
    cells.iter().enumerate().map(|(index, cell)| (name(index), json(cell))).collect()
}

fn fields<'a>(columns: impl Iterator<Item = (&'a str, &'a Cell<'a>)>, value: impl Fn(&Cell) -> Value) -> Fields {
    let known = columns.filter(|(_, cell)| !matches!(cell, Cell::NotSent | Cell::Absent));
    known.map(|(name, cell)| (name.to_owned(), value(cell))).collect()
}

fn hashed(cell: &Cell) -> Value {
    if *cell == Cell::Null { Value::Null } else { Value::String(hash(&cell.to_string())) }
}

fn hash(text: &str) -> String {
    format!("xxh3:{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

fn json(cell: &Cell) -> Value {
    match cell {
        Cell::Null | Cell::Absent | Cell::NotSent => Value::Null,
        Cell::Bool(value) => Value::Bool(*value),
        Cell::Int(value) if value.unsigned_abs() <= EXACT_MAX => Value::from(*value),
        Cell::Float64(value) => number(*value, cell),
        // The shortest text of a 32-bit float, read as 64 bits, prints as that text: 0.1 stays 0.1.
        Cell::Float32(value) => number(value.to_string().parse().unwrap_or(f64::NAN), cell),
        Cell::Redacted
        | Cell::Int(_)
        | Cell::Decimal(_)
        | Cell::Text(_)
        | Cell::Bytes(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::Local(..)
        | Cell::Instant(..)
        | Cell::Infinity(_)
        | Cell::Uuid(_)
        | Cell::Json(_)
        | Cell::Opaque(_) => Value::String(cell.to_string()),
    }
}

fn number(value: f64, cell: &Cell) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(cell.to_string()), Value::Number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Columns, Typing};

    fn row() -> Row<'static> {
        let columns = Columns::new(["id", "big", "price", "f", "nan", "raw", "gone", "toast", "nothing", "day"]);
        let cells = vec![
            Cell::Int(42),
            Cell::Int(9_007_199_254_740_993),
            Cell::Decimal("12.50".into()),
            Cell::Float32(0.1),
            Cell::Float64(f64::NAN),
            Cell::Bytes([0, 255].into()),
            Cell::Absent,
            Cell::NotSent,
            Cell::Null,
            Cell::Date(1),
        ];
        Row::new(Arc::new(columns), cells, Typing::Declared)
    }

    #[test]
    fn what_javascript_would_round_is_text_and_what_was_not_sent_is_left_out() {
        let full = serde_json::to_string(&Values::Full.row(&row())).unwrap();
        insta::assert_snapshot!(full, @r#"{"id":42,"big":"9007199254740993","price":"12.50","f":0.1,"nan":"NaN","raw":"00ff","nothing":null,"day":"1970-01-02"}"#);
    }

    #[test]
    fn hashed_values_agree_between_rows_and_columns_and_keep_null() {
        let hashed = Values::Hashed.row(&row());
        assert_eq!(hashed["price"].as_str().unwrap(), Values::Hashed.text("12.50").unwrap());
        assert_eq!(hashed["nothing"], Value::Null);
        assert!(!serde_json::to_string(&hashed).unwrap().contains("12.50"));
    }

    #[test]
    fn no_values_leaves_an_empty_row_which_is_not_a_missing_one() {
        assert_eq!(Values::None.row(&row()), Fields::new());
        assert_eq!(Values::None.text("secret"), None);
    }
}
