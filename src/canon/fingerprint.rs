//! Rows become hashes: an expected row one sum over what it says, an observed row one hash for each column.

use std::sync::Arc;

use super::form::{Form, Padding, Scale};
use super::lenient;
use super::plan::{COUNT, Plan, Rows};
use super::value::{self, Canonical, Reading};
use super::{Compared, Expected, Mask, ObservedHashes};
use crate::model::{Cell, Columns, Row, Typing};

/// Where the cells of tap rows of one shape stand in a plan. Made once for each shape, kept by the caller.
#[derive(Debug, Clone)]
pub struct Binding {
    typing: Typing,
    /// Cell and plan column, for each compared column that the shape has.
    pub(super) pairs: Box<[(u32, u32)]>,
    /// All of them, as a set: the mask of a row that says everything.
    full: Mask,
    unbound: Box<[Box<str>]>,
}

impl Binding {
    /// The compared columns of the plan that the shape has.
    #[must_use]
    pub fn full(&self) -> &Mask {
        &self.full
    }

    /// Tap columns that no column of the plan stands for: absent on the target, ignored, or of a type not covered.
    #[must_use]
    pub fn unbound(&self) -> &[Box<str>] {
        &self.unbound
    }
}

/// One column, compared on the slow path.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnComparison {
    /// Index in the plan.
    pub index: usize,
    /// Name on the target.
    pub name: Box<str>,
    /// Outcome.
    pub outcome: Compared,
    /// Expected, as text.
    pub expected: String,
    /// Observed, as text.
    pub observed: String,
    /// The observed value is the connector's "unavailable value" marker.
    pub placeholder: bool,
}

/// Whether two cells are sure to read alike. Floats are not told apart by `==` where they print differently.
fn is_same(one: &Cell, other: &Cell) -> bool {
    !matches!(one, Cell::Float32(_) | Cell::Float64(_)) && one == other
}

impl Plan {
    /// Binds the rows of one shape to this plan.
    #[must_use]
    pub fn bind(&self, columns: &Columns, typing: Typing) -> Binding {
        let mut pairs = Vec::with_capacity(columns.0.len());
        let mut unbound = Vec::new();
        for (cell, name) in columns.0.iter().enumerate() {
            match self.index_of_tap(name).filter(|index| self.columns[*index].compared) {
                Some(index) => pairs.push((cell as u32, index as u32)),
                None => unbound.push(name.clone()),
            }
        }
        let full = Mask::of(self.columns.len(), pairs.iter().map(|(_, index)| *index as usize));
        Binding { typing, pairs: pairs.into(), full, unbound: unbound.into() }
    }

    /// The fingerprint of an expected row, over the columns it says something comparable about. `row` must have the
    /// shape that `binding` was made for.
    #[must_use]
    pub fn expect(&self, binding: &Binding, row: &Row) -> Expected {
        let mut fingerprint = 0u128;
        let mut left_out = Vec::new();
        for (cell, index) in &binding.pairs {
            let index = *index as usize;
            match self.hash(index, &row.cells[*cell as usize], binding.typing) {
                Some(hash) => fingerprint = fingerprint.wrapping_add(hash),
                None => left_out.push(index),
            }
        }
        Expected { fingerprint, mask: binding.full.without(&left_out) }
    }

    /// The fingerprint of an expected row over those of its columns that are in `mask` of an earlier plan too, and are the
    /// columns that they were then.
    #[must_use]
    pub fn expect_still(&self, row: &Row, earlier: &Plan, mask: &Mask) -> Expected {
        if self.rows == Rows::Counted {
            // How many there have to be is not told by one of them.
            return Expected { fingerprint: 0, mask: Mask::default() };
        }
        let binding = self.bind(&row.columns, row.typing);
        let told: Vec<usize> = mask.iter().filter_map(|index| self.successor(earlier, index)).collect();
        let new: Vec<usize> = binding.full.iter().filter(|index| !told.contains(index)).collect();
        let pairs = binding.pairs.iter().filter(|(_, index)| !new.contains(&(*index as usize))).copied().collect();
        let full = binding.full.without(&new);
        self.expect(&Binding { pairs, full, ..binding }, row)
    }

    /// The fingerprint of the row before a change, beside the row after it, `after`, of which `expected` was made: only
    /// what differs is read. Both rows must have the shape that `binding` was made for.
    #[must_use]
    pub fn expect_before(&self, binding: &Binding, before: &Row, (after, expected): (&Row, &Expected)) -> Expected {
        let mut fingerprint = expected.fingerprint;
        for (cell, index) in &binding.pairs {
            let (was, is) = (&before.cells[*cell as usize], &after.cells[*cell as usize]);
            if is_same(was, is) {
                continue;
            }
            let index = *index as usize;
            match (self.hash(index, was, binding.typing), self.hash(index, is, binding.typing)) {
                (Some(was), Some(is)) => fingerprint = fingerprint.wrapping_sub(is).wrapping_add(was),
                (None, _) | (_, None) => return self.expect(binding, before),
            }
        }
        Expected { fingerprint, mask: expected.mask.clone() }
    }

    /// The hash of a cell in a column; `None` where it says nothing that can be compared.
    fn hash(&self, index: usize, cell: &Cell, typing: Typing) -> Option<u128> {
        // Nearly all are: they are hashed where they stand.
        let column = &self.columns[index];
        match (&column.form, cell) {
            (Form::Text(Padding::Exact), Cell::Text(text)) if !text.is_empty() && column.coercion.is_none() => {
                Some(value::hash_text(index, text))
            }
            (Form::Number(Scale::Any | Scale::Digits(_)), Cell::Int(int)) if column.coercion.is_none() => {
                Some(value::hash_int(index, *int))
            }
            _ => match self.read(index, cell, typing) {
                Reading::Value(value) => Some(value.hash(index)),
                Reading::Unknown | Reading::Incomparable => None,
            },
        }
    }

    /// The column hashes of an observed row, read with the columns of [`Plan::names`]. A column that is not compared, or
    /// holds something that cannot be, hashes to 0, which no expected value does.
    #[must_use]
    pub fn observe(&self, row: &Row) -> ObservedHashes {
        if let (Rows::Counted, Some(Cell::Int(count))) = (self.rows, row.get(COUNT)) {
            return ObservedHashes::of_count(u64::try_from(*count).unwrap_or(0));
        }
        let hashes = self.observed_cells(row).enumerate().map(|(index, cell)| {
            let compared = cell.filter(|_| self.columns[index].compared);
            compared.and_then(|cell| self.hash(index, cell, row.typing)).unwrap_or(0)
        });
        ObservedHashes(hashes.collect())
    }

    /// Plan columns in which an observed row holds the connector's "unavailable value" marker. They differ from every
    /// real value, also where the tap did not send the column.
    #[must_use]
    pub fn placeholders(&self, observed: &Row) -> Vec<usize> {
        let cells = self.observed_cells(observed).enumerate();
        cells.filter(|(_, cell)| cell.is_some_and(|cell| self.is_placeholder(cell))).map(|(index, _)| index).collect()
    }

    /// Compares column by column what an expected row says with an observed row. Columns that it says nothing about are
    /// left out, unless the observed value is the marker, which is different from every value there can be.
    #[must_use]
    pub fn differ(&self, expected: &Row, observed: &Row) -> Vec<ColumnComparison> {
        if self.rows == Rows::Counted {
            return Vec::new();
        }
        let binding = self.bind(&expected.columns, expected.typing);
        let seen: Vec<Option<&Cell>> = self.observed_cells(observed).collect();
        let mut wanted: Vec<Option<&Cell>> = vec![None; self.columns.len()];
        for (cell, index) in &binding.pairs {
            wanted[*index as usize] = Some(&expected.cells[*cell as usize]);
        }
        let mut found = Vec::new();
        for (index, cell) in seen.into_iter().enumerate() {
            let Some(cell) = cell.filter(|_| self.columns[index].compared) else { continue };
            found.extend(self.differ_in(index, (wanted[index], expected.typing), (cell, observed.typing)));
        }
        found
    }

    pub(super) fn differ_in(
        &self,
        index: usize,
        (wanted, typing): (Option<&Cell>, Typing),
        (seen, seen_typing): (&Cell, Typing),
    ) -> Option<ColumnComparison> {
        let column = &self.columns[index];
        let wanted = wanted.unwrap_or(&Cell::NotSent);
        let placeholder = self.is_placeholder(seen);
        let outcome = match lenient::compare(&column.form, column.tolerance, (wanted, typing), (seen, seen_typing)) {
            _ if placeholder && !self.is_placeholder(wanted) => Compared::Different,
            None => return None,
            Some(Compared::Different) if self.reads_alike(index, (wanted, typing), (seen, seen_typing)) => {
                Compared::Equal
            }
            Some(outcome) => outcome,
        };
        Some(ColumnComparison {
            index,
            name: self.names().0[index].clone(),
            outcome,
            expected: self.shown(index, wanted, typing),
            observed: seen.to_string(),
            placeholder,
        })
    }

    /// Whether two cells are one under the rules of the table, though not under the form of the column.
    fn reads_alike(&self, index: usize, wanted: (&Cell, Typing), seen: (&Cell, Typing)) -> bool {
        let read = |(cell, typing)| self.read(index, cell, typing);
        match (read(wanted), read(seen)) {
            (Reading::Value(wanted), Reading::Value(seen)) => wanted == seen,
            (Reading::Value(_) | Reading::Unknown | Reading::Incomparable, _) => false,
        }
    }

    /// The expected value as the target's column would show it, so that both sides of a finding read alike.
    fn shown(&self, index: usize, cell: &Cell, typing: Typing) -> String {
        let form = &self.columns[index].form;
        // What has no row to be found by has no canonical form that people read.
        if matches!(cell, Cell::Decimal(_) | Cell::Json(_) | Cell::Float32(_) | Cell::Opaque(_)) || !form.finds_rows() {
            return cell.to_string();
        }
        match form.read(cell, typing) {
            Reading::Value(Canonical::Null) | Reading::Unknown | Reading::Incomparable => cell.to_string(),
            Reading::Value(value) => value.into_cell().to_string(),
        }
    }

    /// The cells of an observed row in plan order; by position where the row has the plan's shape, else by name.
    fn observed_cells<'a>(&'a self, row: &'a Row<'_>) -> impl Iterator<Item = Option<&'a Cell<'a>>> {
        let by_position = Arc::ptr_eq(&row.columns, self.names()) || row.columns == *self.names();
        (0..self.columns.len()).map(
            move |index| {
                if by_position { row.cells.get(index) } else { row.get(&self.names().0[index]) }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canon::Rules;
    use crate::model::{ColumnMeta, Dialect, TableId, TableMeta};

    fn meta(dialect: Dialect, columns: &[(&str, &str)]) -> TableMeta {
        let column = |(name, declared): &(&str, &str)| ColumnMeta {
            name: (*name).into(),
            declared: (*declared).into(),
            nullable: true,
            collation: None,
            number: 0,
        };
        let columns = columns.iter().map(column).collect();
        TableMeta {
            dialect,
            schema: "public".into(),
            name: "t".into(),
            columns,
            primary_key: vec![0],
            unique: Vec::new(),
        }
    }

    #[test]
    fn what_is_hashed_where_it_stands_hashes_as_its_canonical_form() {
        let texts = [("a", "text"), ("b", "character(3)"), ("c", "bytea")];
        let numbers = [("d", "bigint"), ("e", "numeric(20,0)"), ("f", "numeric(10,2)"), ("g", "double precision")];
        let columns = [&texts[..], &numbers].concat();
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            let meta = meta(dialect, &columns);
            for empty_is_null in [false, true] {
                let rules = Rules { empty_is_null, ..Rules::default() };
                let plan = Plan::new(TableId(0), Arc::new(meta.clone()), &rules, None).expect("it has a key");
                for (index, name) in plan.names().0.iter().enumerate() {
                    for cell in [Cell::text(""), Cell::text(" a "), Cell::text("7"), Cell::Int(7), Cell::Int(-7)] {
                        let read = match plan.read(index, &cell, Typing::Bare) {
                            Reading::Value(value) => Some(value.hash(index)),
                            Reading::Unknown | Reading::Incomparable => None,
                        };
                        assert_eq!(plan.hash(index, &cell, Typing::Bare), read, "{cell:?} in {name} of {dialect:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_is_told_anew_of_the_columns_that_were_told_of_and_are_still_there() {
        let plan = |columns| {
            let meta = meta(Dialect::Postgres, columns);
            Plan::new(TableId(0), Arc::new(meta), &Rules::default(), None).expect("it has a key")
        };
        let before = plan(&[("id", "bigint"), ("a", "text"), ("b", "integer"), ("c", "text")]);
        let now = plan(&[("id", "bigint"), ("b", "bigint"), ("c", "text"), ("d", "text")]);
        let columns = Arc::new(Columns::new(["id", "a", "b", "c", "d"]));
        let cells = vec![Cell::Int(7), Cell::text("x"), Cell::Int(8), Cell::NotSent, Cell::text("new")];
        let row = Row::new(columns, cells, Typing::Declared);
        let told = before.expect(&before.bind(&row.columns, row.typing), &row);
        let anew = now.expect_still(&row, &before, &told.mask);
        assert_eq!(anew.mask.iter().collect::<Vec<_>>(), [0, 1], "`id` and `b`; `d` came since, `c` was not sent");
        let target =
            Row::new(Arc::clone(now.names()), vec![Cell::Int(7), Cell::Int(8), Cell::Null, Cell::Null], Typing::Bare);
        assert_eq!(now.observe(&target).sum(&anew.mask), anew.fingerprint);
        let remade = plan(&[("id", "bigint"), ("b", "integer"), ("c", "text"), ("a", "text")]);
        let anew = remade.expect_still(&row, &before, &told.mask);
        assert_eq!(anew.mask.iter().collect::<Vec<_>>(), [0, 1], "`a` went behind the others, so it was made again");
        assert!(now.has_keys_of(&before));
        assert!(!plan(&[("id", "text")]).has_keys_of(&now));
    }

    #[test]
    fn a_row_read_beside_another_has_its_own_fingerprint() {
        let meta = meta(Dialect::Postgres, &[("id", "bigint"), ("v", "text"), ("n", "numeric(10,2)")]);
        let plan = Plan::new(TableId(0), Arc::new(meta), &Rules::default(), None).expect("it has a key");
        let columns = Arc::new(Columns::new(["id", "v", "n"]));
        let binding = plan.bind(&columns, Typing::Declared);
        let row = |v: &Cell<'static>, n: &Cell<'static>| {
            Row::new(Arc::clone(&columns), vec![Cell::Int(7), v.clone(), n.clone()], Typing::Declared)
        };
        let zeros = [Cell::Float64(0.0), Cell::Float64(-0.0), Cell::Float64(f64::NAN), Cell::Decimal("1.0".into())];
        let others = [Cell::Null, Cell::NotSent, Cell::text("1"), Cell::text("a"), Cell::Bytes([1].into())];
        let cells: Vec<Cell> = zeros.into_iter().chain(others).collect();
        let pairs = || cells.iter().flat_map(|one| cells.iter().map(move |other| (one, other)));
        for (was, is) in pairs() {
            for n in &cells {
                let (before, after) = (row(was, n), row(is, was));
                let expected = plan.expect(&binding, &after);
                let beside = plan.expect_before(&binding, &before, (&after, &expected));
                assert_eq!(beside, plan.expect(&binding, &before), "{before:?} beside {after:?}");
            }
        }
    }
}
