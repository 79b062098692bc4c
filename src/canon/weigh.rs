//! Whether what an applier does to the values of a column would make an expected row the observed one.

use super::Compared;
use super::plan::{Plan, Rows};
use super::value::Reading;
use crate::model::{Cell, Coercion, Row, Typing};

/// What one row says of a coercion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The observed value is what the coercion makes of the expected one, which is another.
    Shown,
    /// The coercion would have changed the expected value, and not into the observed one.
    Contrary,
    /// The coercion leaves the expected value as it is.
    Silent,
}

/// One column of an expected row beside the same column of an observed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// Index in the plan.
    pub index: usize,
    /// Name on the target.
    pub name: Box<str>,
    /// The observed value is another.
    pub differs: bool,
    /// The coercions that explain that, those that erase less first.
    pub explained: Vec<Coercion>,
    /// What the row says of the coercions that were asked about.
    pub asked: Vec<(Coercion, Weight)>,
    /// A hash of the expected value.
    pub value: u64,
    /// Expected, as text.
    pub expected: String,
    /// Observed, as text.
    pub observed: String,
}

impl Plan {
    /// Holds an expected row against an observed one, for coercions alone: tolerances play no part. Columns that are part of
    /// the key, that are not compared, or of which one side says nothing are left out. `asked` are coercions of columns that
    /// are suspected.
    #[must_use]
    pub fn weigh(&self, expected: &Row, observed: &Row, asked: &[(usize, Coercion)]) -> Vec<Weighed> {
        if self.rows == Rows::Counted {
            return Vec::new();
        }
        let binding = self.bind(&expected.columns, expected.typing);
        let keys = self.key_indexes();
        let pairs = binding.pairs.iter().filter(|(_, index)| !keys.contains(&(*index as usize)));
        let weighed = pairs.filter_map(|(cell, index)| {
            let index = *index as usize;
            let seen = observed.get(&self.names().0[index])?;
            let pair = ((&expected.cells[*cell as usize], expected.typing), (seen, observed.typing));
            self.weigh_in(index, pair, asked)
        });
        weighed.collect()
    }

    fn weigh_in(&self, index: usize, (wanted, seen): Pair<'_>, asked: &[(usize, Coercion)]) -> Option<Weighed> {
        let read = |(cell, typing)| match self.read(index, cell, typing) {
            Reading::Value(value) => Some(value),
            Reading::Unknown | Reading::Incomparable => None,
        };
        let (was, is) = (read(wanted)?, read(seen)?);
        let compared = self.differ_in(index, (Some(wanted.0), wanted.1), seen)?;
        let zero = self.zero_of(index);
        let differs = compared.outcome == Compared::Different && !compared.placeholder;
        let weight = |coercion: Coercion| match coercion.shows_on(&was, &zero) {
            true if differs && coercion.explains(&was, &is, &zero) => Weight::Shown,
            true => Weight::Contrary,
            false => Weight::Silent,
        };
        let asked = asked.iter().filter(|(column, _)| *column == index);
        Some(Weighed {
            index,
            name: compared.name,
            differs: compared.outcome == Compared::Different,
            explained: if differs { Coercion::all_that_explain(&was, &is, &zero) } else { Vec::new() },
            asked: asked.map(|(_, coercion)| (*coercion, weight(*coercion))).collect(),
            value: was.hash(index) as u64,
            expected: compared.expected,
            observed: compared.observed,
        })
    }
}

/// A cell of an expected row, and the same of an observed one.
type Pair<'a> = ((&'a Cell<'a>, Typing), (&'a Cell<'a>, Typing));
