//! Whether a value can stand in a target column at all: what makes an applier fail rather than lose.

use super::plan::Plan;
use crate::model::{Cell, ColumnMeta, Row};

/// A value that its target column cannot hold. Says sizes and types, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Column on the target.
    pub column: Box<str>,
    /// Why, as a fragment: `120 characters into character varying(40)`.
    pub why: String,
}

impl Plan {
    /// The first column of an expected row that its target column cannot hold.
    #[must_use]
    pub fn misfit(&self, row: &Row) -> Option<Misfit> {
        row.iter().find_map(|(name, cell)| {
            let column = &self.meta().columns[self.place_of_tap(name)?];
            misfit(cell, column).map(|why| Misfit { column: column.name.clone(), why })
        })
    }
}

fn misfit(cell: &Cell, column: &ColumnMeta) -> Option<String> {
    let declared = &*column.declared;
    let (base, arguments) = parts(declared);
    match cell {
        Cell::Null if !column.nullable => Some("null into a column that is not null".to_owned()),
        Cell::Text(text) if is_sized_text(base) => {
            let most = arguments.first().copied()?;
            let length = text.chars().count() as u64;
            (length > most).then(|| format!("{length} characters into {declared}"))
        }
        Cell::Int(value) => {
            let (least, most) = integer_range(base, declared)?;
            (i128::from(*value) < least || i128::from(*value) > most)
                .then(|| format!("an integer out of the range of {declared}"))
        }
        Cell::Decimal(text) if matches!(base, "numeric" | "decimal") => {
            let (precision, scale) = (arguments.first().copied()?, arguments.get(1).copied().unwrap_or_default());
            let whole =
                text.trim_start_matches('-').split('.').next().unwrap_or_default().trim_start_matches('0').len() as u64;
            (whole > precision.saturating_sub(scale))
                .then(|| format!("{whole} digits before the point into {declared}"))
        }
        Cell::Null
        | Cell::Absent
        | Cell::NotSent
        | Cell::Redacted
        | Cell::Bool(_)
        | Cell::Decimal(_)
        | Cell::Float32(_)
        | Cell::Float64(_)
        | Cell::Text(_)
        | Cell::Bytes(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::Local(..)
        | Cell::Instant(..)
        | Cell::Infinity(_)
        | Cell::Uuid(_)
        | Cell::Json(_)
        | Cell::Opaque(_) => None,
    }
}

fn is_sized_text(base: &str) -> bool {
    matches!(base, "character varying" | "varchar" | "character" | "char" | "bpchar")
}

fn integer_range(base: &str, declared: &str) -> Option<(i128, i128)> {
    let bits = match base {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "integer" | "int" => 32,
        "bigint" => 64,
        _ => return None,
    };
    if declared.contains("unsigned") {
        Some((0, (1 << bits) - 1))
    } else {
        Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    }
}

/// `numeric(10,2)` → `numeric`, [10, 2].
fn parts(declared: &str) -> (&str, Vec<u64>) {
    let Some((base, rest)) = declared.split_once('(') else {
        return (declared.trim_end_matches(" unsigned").trim(), Vec::new());
    };
    let inside = rest.split(')').next().unwrap_or_default();
    (base.trim(), inside.split(',').filter_map(|part| part.trim().parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(cell: Cell, declared: &str) -> Option<String> {
        let column =
            ColumnMeta { name: "c".into(), declared: declared.into(), nullable: false, collation: None, number: 0 };
        misfit(&cell, &column)
    }

    #[test]
    fn what_a_column_cannot_hold_is_named_without_the_value() {
        assert_eq!(
            why(Cell::text("abcd"), "character varying(3)").as_deref(),
            Some("4 characters into character varying(3)")
        );
        assert_eq!(why(Cell::text("abc"), "character varying(3)"), None);
        assert_eq!(why(Cell::text("abcd"), "text"), None);
        assert_eq!(why(Cell::Null, "text").as_deref(), Some("null into a column that is not null"));
        assert_eq!(why(Cell::Int(40_000), "smallint").as_deref(), Some("an integer out of the range of smallint"));
        assert_eq!(why(Cell::Int(40_000), "smallint(5) unsigned"), None);
        assert_eq!(
            why(Cell::Int(-1), "int(10) unsigned").as_deref(),
            Some("an integer out of the range of int(10) unsigned")
        );
        assert_eq!(
            why(Cell::Decimal("12345.6".into()), "numeric(6,2)").as_deref(),
            Some("5 digits before the point into numeric(6,2)")
        );
        assert_eq!(why(Cell::Decimal("-0.60".into()), "numeric(2,2)"), None);
    }
}
