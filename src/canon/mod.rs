//! One canonical form per value, so that two engines' renderings of one value hash alike.
//!
//! A [`Plan`] is made once for each pair of tap table and target table, from the target's column types and the user's
//! rules. It turns keys, expected rows and observed rows into the one form that is compared: a 128-bit fingerprint that is
//! the wrapping sum, over columns, of xxh3-128(column index ‖ canonical value), so that any subset of columns can be
//! compared by its mask. Where fingerprints differ, [`Plan::differ`] compares column by column with the declared
//! tolerances before anything is called different.
//!
//! Not here: reading the target, and deciding what a difference means.
#![doc = include_str!("coverage.md")]

mod beside;
mod coercion;
mod compound;
mod condition;
mod fingerprint;
mod fit;
mod form;
mod json;
mod lenient;
mod number;
mod plan;
mod read;
mod shape;
mod temporal;
#[cfg(test)]
mod tests;
mod value;
mod weigh;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use beside::Beside;
pub use condition::{Filter, Meets};
pub use fingerprint::{Binding, ColumnComparison};
pub use fit::Misfit;
pub use plan::{COUNT, KeyError, NotCompared, Plan, PlanError, Rows, UNAVAILABLE_VALUE};
pub use weigh::{Weighed, Weight};

/// Columns of a plan, as a set of bits. Cheap to clone: every change carries one, from thread to thread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mask(Words);

/// Most tables have 64 columns or fewer. What fits one word is always kept so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Words {
    One(u64),
    Many(Arc<[u64]>),
}

impl Default for Mask {
    fn default() -> Mask {
        Mask(Words::One(0))
    }
}

impl Mask {
    /// The set of the given column indices, for a plan of `columns` columns.
    #[must_use]
    pub fn of(columns: usize, members: impl IntoIterator<Item = usize>) -> Mask {
        let mut words = vec![0u64; columns.div_ceil(64)];
        for index in members {
            words[index / 64] |= 1 << (index % 64);
        }
        Mask(match words[..] {
            [] => Words::One(0),
            [word] => Words::One(word),
            [..] => Words::Many(words.into()),
        })
    }

    fn words(&self) -> &[u64] {
        match &self.0 {
            Words::One(word) => std::slice::from_ref(word),
            Words::Many(words) => words,
        }
    }

    /// The set without these columns.
    #[must_use]
    pub fn without(&self, columns: &[usize]) -> Mask {
        if columns.is_empty() {
            return self.clone();
        }
        Mask::of(self.words().len() * 64, self.iter().filter(|index| !columns.contains(index)))
    }

    /// Whether a column is in the set.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        self.words().get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Whether no column is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words().iter().all(|word| *word == 0)
    }

    /// The members, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.words().len() * 64).filter(|index| self.has(*index))
    }
}

/// The rules of one table that bear on comparing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// Tap column = target column.
    pub rename: BTreeMap<String, String>,
    /// Target columns not compared.
    pub ignore: Vec<String>,
    /// Tolerance by target column.
    pub tolerance: BTreeMap<String, Tolerance>,
    /// What the applier does to the values of a target column: they are compared by what that leaves of them.
    pub coerced: BTreeMap<String, crate::model::Coercion>,
    /// Key columns by tap name; empty: the record's key, else the target's primary key.
    pub key: Vec<String>,
    /// NULL and the empty string are one value (DMS without `IncludeNullAndEmpty`).
    pub empty_is_null: bool,
}

/// How far two values may differ and still be called equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Numbers: absolute difference.
    Number(f64),
    /// Times: absolute difference in nanoseconds.
    Time(i64),
}

/// An expected row, reduced: what the engine keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Sum over the columns of `mask`.
    pub fingerprint: u128,
    /// The columns that the row says something about and the plan compares.
    pub mask: Mask,
}

/// An observed row, reduced: one hash for each compared column of the plan, so that any version's mask can be summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedHashes(pub Box<[u128]>);

impl ObservedHashes {
    /// So many rows that no key tells apart: the one column that is compared is their count, which is its own hash. There is
    /// at least one, for a hash of 0 is no value's.
    #[must_use]
    pub fn of_count(count: u64) -> ObservedHashes {
        ObservedHashes([u128::from(count)].into())
    }

    /// How many rows there are, of hashes that [`ObservedHashes::of_count`] made.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.first().map_or(0, |count| u64::try_from(*count).unwrap_or(u64::MAX))
    }

    /// The fingerprint of the row over a mask: comparable with [`Expected::fingerprint`] under the same mask.
    #[must_use]
    pub fn sum(&self, mask: &Mask) -> u128 {
        mask.iter().filter_map(|index| self.0.get(index)).fold(0, |sum, hash| sum.wrapping_add(*hash))
    }
}

/// One column, compared on the slow path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Equal, within tolerance.
    Equal,
    /// Different.
    Different,
    /// The pair of forms cannot be compared; never a difference.
    Incomparable,
}
