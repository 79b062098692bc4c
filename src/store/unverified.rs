//! Ranges without a verdict, put together so that a partition has few of them. Pure, and the same for every database.

use std::collections::BTreeMap;

use crate::report::unverified::UnverifiedRange;

/// Ranges kept of one partition. Past it the two of one reason that lie closest become one, which says too much, never too
/// little.
pub const RANGES: usize = 256;

/// A partition: pipeline, topic, number.
pub(super) type Whose = (String, String, i32);

/// Puts ranges together that overlap or touch and have the same reason, and keeps at most [`RANGES`] of each partition.
#[must_use]
pub fn merged(ranges: impl IntoIterator<Item = UnverifiedRange>) -> Vec<UnverifiedRange> {
    let of_each = by_partition(ranges).into_values();
    of_each.flat_map(|ranges| bounded(joined(ranges))).collect()
}

pub(super) fn by_partition(ranges: impl IntoIterator<Item = UnverifiedRange>) -> BTreeMap<Whose, Vec<UnverifiedRange>> {
    let mut groups: BTreeMap<Whose, Vec<UnverifiedRange>> = BTreeMap::new();
    for one in ranges {
        let whose = (one.pipeline.clone(), one.range.topic.clone(), one.range.partition);
        groups.entry(whose).or_default().push(one);
    }
    groups
}

fn joined(mut ranges: Vec<UnverifiedRange>) -> Vec<UnverifiedRange> {
    let place = |one: &UnverifiedRange| (one.range.from, one.range.to);
    ranges.sort_by(|one, other| (&one.range.reason, place(one)).cmp(&(&other.range.reason, place(other))));
    let mut joined: Vec<UnverifiedRange> = Vec::with_capacity(ranges.len());
    for one in ranges {
        match joined.last_mut() {
            Some(last) if last.range.reason == one.range.reason && one.range.from <= last.range.to => span(last, &one),
            Some(_) | None => joined.push(one),
        }
    }
    joined
}

fn bounded(mut ranges: Vec<UnverifiedRange>) -> Vec<UnverifiedRange> {
    while ranges.len() > RANGES {
        let gap = |pair: &[UnverifiedRange]| {
            let same = pair[0].range.reason == pair[1].range.reason;
            same.then(|| pair[1].range.from.saturating_sub(pair[0].range.to))
        };
        let gaps = ranges.windows(2).enumerate().filter_map(|(index, pair)| Some((gap(pair)?, index)));
        // There are far fewer reasons than ranges.
        let Some((_, index)) = gaps.min() else { break };
        let next = ranges.remove(index + 1);
        span(&mut ranges[index], &next);
    }
    ranges
}

fn span(one: &mut UnverifiedRange, other: &UnverifiedRange) {
    one.range.from = one.range.from.min(other.range.from);
    one.range.to = one.range.to.max(other.range.to);
    one.first_seen = one.first_seen.min(other.first_seen);
    one.last_seen = one.last_seen.max(other.last_seen);
}

#[cfg(test)]
mod tests {
    use super::super::suite::unverified;
    use super::*;

    fn places(ranges: &[UnverifiedRange]) -> Vec<(u64, u64)> {
        ranges.iter().map(|one| (one.range.from, one.range.to)).collect()
    }

    #[test]
    fn neighbours_of_one_reason_become_one() {
        let ranges = [(5, 8), (0, 3), (3, 4), (7, 9), (20, 21)].map(|place| unverified(0, place, "gone", 10));
        assert_eq!(places(&merged(ranges.clone())), [(0, 4), (5, 9), (20, 21)]);
        let twice = merged(merged(ranges.clone()).into_iter().chain(ranges.clone()));
        assert_eq!(twice, merged(ranges), "what is stated again changes nothing");
    }

    #[test]
    fn other_reasons_and_partitions_stay_apart() {
        let ranges =
            [unverified(0, (0, 5), "gone", 10), unverified(0, (2, 6), "late", 10), unverified(1, (4, 9), "gone", 10)];
        assert_eq!(merged(ranges.clone()), ranges);
    }

    #[test]
    fn past_the_bound_the_closest_are_joined_and_nothing_is_lost() {
        let many = (0..RANGES as u64 + 10).map(|number| unverified(0, (number * 10, number * 10 + 1), "gone", 10));
        let far = (1 << 40, 1 << 41);
        let kept = merged(many.clone().chain([unverified(0, far, "gone", 20)]));
        assert_eq!(kept.len(), RANGES);
        assert_eq!(places(&kept).last(), Some(&far), "what lies apart stays apart");
        let covered = |place: u64| kept.iter().any(|one| one.range.from <= place && place < one.range.to);
        assert!(many.into_iter().all(|one| covered(one.range.from)));
    }
}
