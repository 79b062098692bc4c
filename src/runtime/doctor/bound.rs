//! Within which time a loss is reported: the sum of everything that its proof waits for.

use std::time::Duration;

use serde::Serialize;

use crate::engine::Options;
use crate::engine::limit::SURE_READS;

/// What is left for queues, the grain of clocks and the way to the store.
const REST: Duration = Duration::from_secs(5);

/// One term of the bound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::runtime) struct Term {
    /// What it is.
    pub(super) name: &'static str,
    /// How often it counts.
    pub(super) times: u32,
    /// How long it is; `None` where that is not known.
    pub(super) seconds: Option<f64>,
    /// Where it is known from, or why it is not.
    pub(super) from: String,
}

/// The bound of the time to detect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::runtime) struct Detection {
    /// Every loss that lasts longer is reported within it, in seconds; `None` where nothing bounds it.
    pub(in crate::runtime) within_s: Option<f64>,
    /// The same in words.
    pub(super) statement: String,
    /// What it is the sum of.
    pub(super) terms: Vec<Term>,
}

/// A time and where it is known from, or why it is not.
pub(in crate::runtime) type Measured = Result<(Duration, String), String>;

/// What no setting says.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct Pace {
    /// From append to proof of being applied, at worst.
    pub(in crate::runtime) lag: Measured,
    /// Between two signs of progress, at worst.
    pub(in crate::runtime) spacing: Measured,
}

/// Three proofs follow one another (applied, settled, seen later than that): each waits for the lag, for the next sign of
/// progress and for us to read it. Twice the margin of re-application goes by; the rest is our own pace of asking.
pub(in crate::runtime) fn bound(options: &Options, pace: &Pace) -> Detection {
    let set = |key: &str| format!("`{key}`");
    let margin = options.settle.at_first().max(options.zombie_after);
    let reads = options.confirmations.unwrap_or(SURE_READS);
    let terms = vec![
        measured("lag", 3, &pace.lag),
        measured("between two signs of progress", 4, &pace.spacing),
        known("reading the tap", 3, Duration::ZERO, "as long as the sidecar keeps up with the tap".to_owned()),
        known("margin of re-application", 2, margin, "the longer of `settle` and `zombie_after`".to_owned()),
        known("between two reads of a key", 1, options.reread, set("limits.reread")),
        known("poll", 6, options.poll, set("poll")),
        known("lead of the applier over the tap", 4, options.lead.at_first(), set("lead")),
        known("between reads that must agree", reads.saturating_sub(1), options.confirm_after, set("confirm_after")),
        known("rest", 1, REST, "queues, clocks, the store".to_owned()),
    ];
    let mut reasons: Vec<&str> = Vec::new();
    for term in terms.iter().filter(|term| term.seconds.is_none()) {
        if !reasons.contains(&term.from.as_str()) {
            reasons.push(&term.from);
        }
    }
    let sum = |sum: f64, term: &Term| sum + term.seconds.unwrap_or_default() * f64::from(term.times);
    let within_s = reasons.is_empty().then(|| terms.iter().fold(0.0, sum).ceil());
    let statement = match within_s {
        Some(within) => {
            let within = words(Duration::from_secs_f64(within));
            format!(
                "every loss that lasts longer than {within} is reported within {within}, while the lag is no longer than now"
            )
        }
        None => format!("the time to report a loss cannot be bounded, because {}", reasons.join("; and ")),
    };
    Detection { within_s, statement, terms }
}

fn measured(name: &'static str, times: u32, measured: &Measured) -> Term {
    match measured {
        Ok((time, from)) => known(name, times, *time, from.clone()),
        Err(why) => Term { name, times, seconds: None, from: why.clone() },
    }
}

fn known(name: &'static str, times: u32, time: Duration, from: String) -> Term {
    // Milliseconds: more digits are noise.
    let seconds = f64::from(u32::try_from(time.as_millis()).unwrap_or(u32::MAX)) / 1000.0;
    Term { name, times, seconds: Some(seconds), from }
}

/// A time for people, to the second, and to the millisecond below one.
pub(super) fn words(time: Duration) -> String {
    let time = match time {
        time if time < Duration::from_secs(1) => Duration::from_millis(u64::from(time.subsec_millis())),
        time => Duration::from_secs(time.as_secs()),
    };
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::limit::Margin;

    fn options() -> Options {
        Options {
            settle: Margin::Stated(Duration::from_secs(30)),
            confirm_after: Duration::from_secs(2),
            ..Options::default()
        }
    }

    fn seconds(seconds: u64) -> Measured {
        Ok((Duration::from_secs(seconds), "measured".to_owned()))
    }

    #[test]
    fn the_bound_is_the_sum_of_its_terms() {
        for (lag, spacing, settle, expected) in [
            // 3·lag + 4·h + 2·30 + 5 (reread) + 6 (polls) + 2 (confirm_after) + 5
            (0, 0, 30, 78.0),
            (10, 5, 30, 128.0),
            (10, 5, 120, 308.0),
            (10, 5, 1, 128.0), // `zombie_after` is 30 s and longer
        ] {
            let options = Options { settle: Margin::Stated(Duration::from_secs(settle)), ..options() };
            let found = bound(&options, &Pace { lag: seconds(lag), spacing: seconds(spacing) });
            assert_eq!(found.within_s, Some(expected), "{lag} {spacing} {settle}");
        }
        let lead = Options { lead: Margin::Stated(Duration::from_secs(2)), confirmations: Some(4), ..options() };
        let found = bound(&lead, &Pace { lag: seconds(0), spacing: seconds(0) });
        assert_eq!(found.within_s, Some(78.0 + 8.0 + 4.0));
        assert_eq!(
            found.statement,
            "every loss that lasts longer than 1m 30s is reported within 1m 30s, while the lag is no longer than now"
        );
    }

    #[test]
    fn an_unknown_term_leaves_it_unbounded_and_says_why() {
        let pace = Pace { lag: Err("nothing committed".to_owned()), spacing: Err("nothing committed".to_owned()) };
        let found = bound(&options(), &pace);
        assert_eq!(found.within_s, None);
        assert_eq!(found.statement, "the time to report a loss cannot be bounded, because nothing committed");
        let found = bound(&options(), &Pace { lag: seconds(1), ..pace });
        assert!(found.statement.ends_with("because nothing committed"), "{}", found.statement);
    }
}
