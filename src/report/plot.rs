//! Counts as bars for the HTML report: inline SVG that is as wide as its place, with the numbers beside it as text.

use std::collections::BTreeMap;

use super::Document;

/// Bars of one plot; what comes behind is counted together.
const BARS: usize = 12;

/// Columns of the plot over time.
const COLUMNS: usize = 24;

/// One bar, and how long it is beside the longest.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) count: u64,
    pub(super) percent: u64,
}

/// Counts by what `label` says, largest first.
pub(super) fn bars(findings: &[Document], label: impl Fn(&Document) -> String) -> Vec<Bar> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for finding in findings {
        *counts.entry(label(finding)).or_default() += 1;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let rest: Vec<(String, u64)> = counts.split_off(counts.len().min(BARS));
    if !rest.is_empty() {
        counts.push((format!("{} others", rest.len()), rest.iter().map(|(_, count)| count).sum()));
    }
    scaled(counts)
}

/// Bars of these counts, in this order.
pub(super) fn scaled(counts: Vec<(String, u64)>) -> Vec<Bar> {
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
    let bar = |(label, count): (String, u64)| Bar { label, count, percent: (count * 100).div_ceil(most) };
    counts.into_iter().map(bar).collect()
}

/// Findings over the time at which the source committed what was lost; over that at which they were seen where it is not told.
pub(super) struct Timeline {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) columns: Vec<Bar>,
}

/// `None` where there is only one moment.
pub(super) fn timeline(findings: &[Document]) -> Option<Timeline> {
    let times: Vec<i64> = findings.iter().map(moment).collect();
    let (first, last) = (times.iter().min().copied()?, times.iter().max().copied()?);
    let span = last.checked_sub(first).filter(|span| *span > 0)?;
    let start = |column: usize| first + (i128::from(span) * column as i128 / COLUMNS as i128) as i64;
    let mut counts = vec![0; COLUMNS];
    for at in times {
        let column = i128::from(at - first) * COLUMNS as i128 / (i128::from(span) + 1);
        counts[usize::try_from(column).unwrap_or_default().min(COLUMNS - 1)] += 1;
    }
    let named = counts.into_iter().enumerate().map(|(column, count)| (written(start(column)), count));
    Some(Timeline { from: written(first), to: written(last), columns: scaled(named.collect()) })
}

fn moment(finding: &Document) -> i64 {
    let committed = finding.expected.as_ref().and_then(|expected| expected.at.committed_at.as_deref());
    let told = committed.and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
    told.map_or(finding.first_seen.0, |at| at.timestamp_millis())
}

fn written(millis: i64) -> String {
    let moment = crate::model::Wall(millis).rfc3339();
    // Nobody reads milliseconds on an axis.
    moment.split('.').next().map(|seconds| format!("{}Z", seconds.replace('T', " "))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_longest_bar_is_whole_and_the_smallest_is_seen() {
        let bars = scaled(vec![("a".to_owned(), 1_000), ("b".to_owned(), 1), ("c".to_owned(), 0)]);
        assert_eq!(bars.iter().map(|bar| bar.percent).collect::<Vec<_>>(), [100, 1, 0]);
    }

    #[test]
    fn bars_past_the_bound_are_one() {
        let one = Document::of(&sample::stalled(), &sample::Orders::default());
        let many: Vec<Document> =
            (0..20).map(|at| Document { table: Some(format!("t{at:02}")), ..one.clone() }).collect();
        let bars = bars(&many, |finding| finding.table.clone().unwrap_or_default());
        assert_eq!((bars.len(), bars[12].label.as_str(), bars[12].count), (13, "8 others", 8));
    }

    #[test]
    fn time_has_columns_from_the_first_to_the_last() {
        let one = Document { expected: None, ..Document::of(&sample::stalled(), &sample::Orders::default()) };
        let at = |millis| Document { first_seen: crate::model::Wall(millis), ..one.clone() };
        assert!(timeline(&[at(5), at(5)]).is_none() && timeline(&[]).is_none());
        let time = timeline(&[at(0), at(1), at(2_399)]).expect("two moments");
        assert_eq!((time.columns[0].count, time.columns[23].count, time.columns.len()), (2, 1, 24));
        assert!(time.to.ends_with(" 00:00:02Z"), "{}", time.to);
    }
}
