//! A row of the source beside the target's row of the same key, each as its own engine gives it.
//!
//! What the tap sends is judged by [`Plan::differ`], which knows what appliers do to it. A source's row was never on the tap, so a
//! difference is told only where both columns hold values of one kind; elsewhere it may be the engines', and nothing is told.

use super::Compared;
use super::form::{Form, Padding};
use super::plan::Plan;
use crate::model::Row;

/// What comparing the two rows gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    /// Target columns that differ.
    pub differ: Vec<Box<str>>,
    /// Target columns of which nothing can be told.
    pub left_out: Vec<Box<str>>,
}

impl Plan {
    /// Compares a row of the source with a row of the target. `source` is the plan of the source's own table, whose columns are
    /// called as on the tap.
    #[must_use]
    pub fn beside(&self, source: &Plan, theirs: &Row, ours: &Row) -> Beside {
        let mut found = Beside::default();
        let compared = self.differ(theirs, ours);
        for (index, name) in self.names().0.iter().enumerate().filter(|(index, _)| self.compares(*index)) {
            let outcome = compared.iter().find(|column| column.index == index).map(|column| column.outcome);
            match (outcome, self.twin(source, index)) {
                (Some(Compared::Equal), _) => {}
                (Some(Compared::Different), Some((theirs, ours))) if are_akin(theirs, ours) => {
                    found.differ.push(name.clone());
                }
                (Some(Compared::Different | Compared::Incomparable) | None, _) => found.left_out.push(name.clone()),
            }
        }
        found
    }

    /// The forms of a column on both sides.
    fn twin<'p>(&'p self, source: &'p Plan, index: usize) -> Option<(&'p Form, &'p Form)> {
        let of_source = |name: &str| self.index_of_tap(name) == Some(index);
        let theirs = source.names().0.iter().position(|name| of_source(name))?;
        Some((&source.columns[theirs].form, &self.columns[index].form))
    }
}

/// Whether values of both forms that differ are different values.
fn are_akin(theirs: &Form, ours: &Form) -> bool {
    match (theirs, ours) {
        // A column that fills its values up may be carried filled or bare.
        (Form::Text(Padding::Filled), Form::Text(Padding::Exact)) => false,
        (Form::Bytes(Padding::Filled), Form::Bytes(Padding::Exact)) => false,
        (Form::Array(theirs), Form::Array(ours)) | (Form::Range(theirs), Form::Range(ours)) => are_akin(theirs, ours),
        (
            Form::Number(_) | Form::Float32 | Form::Float64 | Form::Bool,
            Form::Number(_) | Form::Float32 | Form::Float64 | Form::Bool,
        ) => true,
        (Form::Uuid, Form::Text(_)) | (Form::Text(_), Form::Uuid) => true,
        (theirs, ours) => std::mem::discriminant(theirs) == std::mem::discriminant(ours),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::canon::Rules;
    use crate::model::{Cell, ColumnMeta, Columns, Dialect, TableId, TableMeta, Typing};

    fn plan(dialect: Dialect, declared: &str) -> Plan {
        let column = |name: &str, declared: &str| ColumnMeta {
            name: name.into(),
            declared: declared.into(),
            nullable: true,
            collation: None,
            number: 0,
        };
        let columns = vec![column("id", "bigint"), column("v", declared)];
        let (schema, name) = ("s".into(), "t".into());
        let meta = TableMeta { dialect, schema, name, columns, primary_key: vec![0], unique: Vec::new() };
        Plan::new(TableId(0), Arc::new(meta), &Rules::default(), None).expect("it has a key")
    }

    /// What is told of `v`: `same`, `other` or `nothing`.
    fn check(theirs: (Dialect, &str, Cell), ours: (Dialect, &str, Cell), told: &str) {
        let said = format!("{theirs:?} beside {ours:?}");
        let row = |cell: Cell<'static>| {
            Row::new(Arc::new(Columns::new(["id", "v"])), vec![Cell::Int(1), cell], Typing::Declared)
        };
        let (source, target) = (plan(theirs.0, theirs.1), plan(ours.0, ours.1));
        let found = target.beside(&source, &row(theirs.2.into_owned()), &row(ours.2.into_owned()));
        let word = match (found.differ.is_empty(), found.left_out.is_empty()) {
            (true, true) => "same",
            (false, _) => "other",
            (true, false) => "nothing",
        };
        assert_eq!(word, told, "{said}: {found:?}");
    }

    #[test]
    fn only_values_of_one_kind_are_told_apart() {
        use Dialect::{Mysql, Postgres, Sqlite};
        let text = Cell::text;
        check((Postgres, "text", text("a")), (Mysql, "varchar(9)", text("a")), "same");
        check((Postgres, "text", text("a")), (Mysql, "varchar(9)", text("b")), "other");
        check((Postgres, "boolean", Cell::Bool(true)), (Mysql, "tinyint(1)", Cell::Int(1)), "same");
        check((Postgres, "boolean", Cell::Bool(true)), (Mysql, "tinyint(1)", Cell::Int(0)), "other");
        let (long, short) = (|| Cell::Decimal("1.2340".into()), || Cell::Decimal("1.23".into()));
        check((Postgres, "numeric(10,4)", long()), (Mysql, "decimal(10,2)", short()), "same");
        check((Postgres, "numeric", long()), (Sqlite, "numeric", Cell::Float64(1.234)), "same");
        check((Postgres, "character(3)", text("a  ")), (Mysql, "varchar(3)", text("a")), "nothing");
        check((Mysql, "char(3)", text("a")), (Postgres, "character(3)", text("a  ")), "same");
        check((Mysql, "char(3)", text("b")), (Postgres, "character(3)", text("a  ")), "other");
        let (moment, local) = (|| Cell::Instant(7_200, 0), || Cell::Local(7_200, 0));
        check((Postgres, "timestamp with time zone", moment()), (Mysql, "datetime", local()), "same");
        let later = || Cell::Local(10_800, 0);
        check((Postgres, "timestamp with time zone", moment()), (Mysql, "datetime", later()), "nothing");
        check((Postgres, "timestamp without time zone", local()), (Mysql, "datetime", later()), "other");
        check((Postgres, "date", Cell::Date(1)), (Mysql, "datetime", later()), "nothing");
        check((Postgres, "jsonb", Cell::Json("{\"a\": 1}".into())), (Mysql, "longtext", text("{\"a\":1}")), "same");
        check((Postgres, "jsonb", Cell::Json("{\"a\": 1}".into())), (Mysql, "longtext", text("{\"b\":1}")), "nothing");
        check(
            (Postgres, "uuid", Cell::Uuid([7; 16])),
            (Mysql, "char(36)", text("08070707-0707-0707-0707-070707070707")),
            "other",
        );
        check((Postgres, "text", Cell::Null), (Mysql, "varchar(9)", text("b")), "other");
        check((Postgres, "box", text("(1,1),(0,0)")), (Postgres, "text", text("(1,1),(0,0)")), "same");
        check((Postgres, "box", text("(1,1),(0,0)")), (Postgres, "text", text("(2,1),(0,0)")), "nothing");
    }
}
