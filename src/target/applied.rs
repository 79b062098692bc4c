//! The rows of the operator's `query:SQL`: positions, or one time.

use super::{AppliedRow, TargetError, failure};
use crate::model::calendar::parse_moment;

/// Rows at most: more partitions than any topic list has, few enough to hold.
pub(super) const MOST_ROWS: usize = 100_000;

/// Reads the rows, given as text.
pub(super) fn rows(rows: &[Vec<Option<String>>]) -> Result<Vec<AppliedRow>, TargetError> {
    if rows.len() > MOST_ROWS {
        return Err(wrong(&format!("it returned more than {MOST_ROWS} rows")));
    }
    rows.iter().filter_map(|row| applied_row(row).transpose()).collect()
}

/// A row of NULLs says that nothing has been applied yet.
fn applied_row(row: &[Option<String>]) -> Result<Option<AppliedRow>, TargetError> {
    match row {
        [None] | [_, _, None] => Ok(None),
        [Some(time)] => time_of(time).map(AppliedRow::Time).map(Some).ok_or_else(|| wrong("its one column is no time")),
        [Some(topic), Some(partition), Some(next_offset)] => {
            let partition = partition.trim().parse().map_err(|_| wrong("its second column is no partition number"))?;
            let next_offset = next_offset.trim().parse().map_err(|_| wrong("its third column is no offset"))?;
            Ok(Some(AppliedRow::Position { topic: topic.clone(), partition, next_offset }))
        }
        [_, _, _] => Err(wrong("it left a topic or a partition NULL")),
        _ => Err(wrong(&format!("it returned {} columns", row.len()))),
    }
}

fn wrong(what: &str) -> TargetError {
    failure::refused(format!(
        "the query of `applied` must return rows of topic, partition and next offset, or one time, but {what}"
    ))
}

/// Milliseconds since the epoch: of a number as they are, of a text as a moment, in UTC unless it says otherwise.
fn time_of(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    let moment = parse_moment(text)?;
    let secs = moment.local_secs - i64::from(moment.offset_secs.unwrap_or(0));
    secs.checked_mul(1_000)?.checked_add(i64::from(moment.nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &[Option<&str>], expected: Result<Option<AppliedRow>, &str>) {
        let row: Vec<Option<String>> = row.iter().map(|cell| cell.map(str::to_owned)).collect();
        match (applied_row(&row), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn rows_are_positions_or_times() {
        let position = AppliedRow::Position { topic: "t".into(), partition: 3, next_offset: 12 };
        check(&[Some("t"), Some("3"), Some("12")], Ok(Some(position)));
        check(&[Some("2026-11-22 10:00:01.5+00")], Ok(Some(AppliedRow::Time(1_795_341_601_500))));
        check(&[Some("2026-11-22 12:00:01.5+02")], Ok(Some(AppliedRow::Time(1_795_341_601_500))));
        check(&[Some("1795341601500")], Ok(Some(AppliedRow::Time(1_795_341_601_500))));
        check(&[None], Ok(None));
        check(&[Some("t"), Some("3"), None], Ok(None));
        check(&[Some("t"), Some("x"), Some("1")], Err("no partition number"));
        check(&[Some("t"), Some("1")], Err("2 columns"));
        check(&[Some("soon")], Err("no time"));
    }
}
