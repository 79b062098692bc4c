//! Changes of a table `t (id, v)` for tests.

use super::change::{Act, Fields};

pub(in crate::demo) fn fields(pairs: &[(&str, i64)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

fn row(v: i64) -> Fields {
    fields(&[("id", 1), ("v", v)])
}

pub(in crate::demo) fn insert(v: i64) -> Act {
    Act::Insert(row(v))
}

pub(in crate::demo) fn update(from: i64, to: i64) -> Act {
    Act::Update { row: row(to), before: Some(row(from)) }
}

pub(in crate::demo) fn delete() -> Act {
    Act::Delete
}
