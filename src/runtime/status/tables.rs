//! How each table of a pipeline stands.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::event::Role;
use crate::engine::tally::{TableTally, Tally};
use crate::model::{Key, TableId};
use crate::runtime::picture::Picture;
use crate::runtime::tables::Coverage;
use crate::web::view::{HotKey, TableStatus};

/// Characters of a key that are shown.
const KEY_SHOWN: usize = 200;

pub(super) fn statuses(picture: &Picture, tally: &Tally) -> Vec<TableStatus> {
    let tallies: BTreeMap<TableId, &TableTally> = tally.tables.iter().map(|one| (one.table, one)).collect();
    let coverage = picture.tables.coverage().into_iter();
    let mut statuses: Vec<TableStatus> = coverage
        .map(|Coverage { id, tap_name, covered }| {
            let mut status = TableStatus { table: tap_name.to_string(), ..TableStatus::default() };
            match covered {
                Err(why) => status.not_judged = Some(why.to_string()),
                Ok(covered) => {
                    status.role = Some(word(covered.role));
                    status.target = Some(covered.target);
                    status.compared = covered.compared as u64;
                    status.not_compared = covered.not_compared;
                }
            }
            if let Some(tally) = tallies.get(&id) {
                add(&mut status, tally, picture);
            }
            status
        })
        .collect();
    statuses.sort_by(|one, other| one.table.cmp(&other.table));
    statuses
}

fn add(status: &mut TableStatus, tally: &TableTally, picture: &Picture) {
    status.keys = tally.keys as u64;
    status.pending = tally.versions as u64;
    status.suspects = tally.suspects as u64;
    status.open_findings = tally.open_rows as u64;
    let hot = |(key, versions): &(Key, usize)| HotKey { key: text(key), versions: *versions as u64 };
    status.hot_keys = tally.hot.iter().map(hot).collect();
    let mut took: Vec<Duration> =
        tally.verdicts.iter().map(|(committed, at)| picture.clock.wall(*at).after(*committed)).collect();
    took.sort_unstable();
    status.verdict_p50_s = within(&took, 50);
    status.verdict_p99_s = within(&took, 99);
}

fn text(key: &Key) -> String {
    let cells: Vec<String> = key.cells().iter().map(ToString::to_string).collect();
    crate::report::text::shortened(&cells.join(", "), KEY_SHOWN)
}

/// The time within which so many in a hundred of the sorted times are.
fn within(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).map(Duration::as_secs_f64)
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Rows => "rows",
        Role::Counted => "counted",
        Role::Heartbeat => "heartbeat",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let times = |most: u64| (1..=most).map(Duration::from_secs).collect::<Vec<_>>();
        let rows =
            [(0, None, None), (1, Some(1.0), Some(1.0)), (2, Some(1.0), Some(2.0)), (200, Some(100.0), Some(198.0))];
        for (most, p50, p99) in rows {
            let times = times(most);
            assert_eq!((within(&times, 50), within(&times, 99)), (p50, p99), "{most}");
        }
    }
}
