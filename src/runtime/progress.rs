//! How far an audit is: a bar that is redrawn on a terminal, a line every ten seconds elsewhere. Standard error only, and no
//! colours.

use std::fmt;
use std::time::Duration;

use crate::engine::tally::Tally;
use crate::tap::Partitions;

use super::entry::ProgressStyle;

/// Between two lines where nothing can be redrawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Partitions named in a line; the others are counted.
const PLACES: usize = 16;

/// What shows how far it is.
pub(super) enum Progress {
    Bar(indicatif::ProgressBar),
    Lines { next: Duration },
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// Offsets passed, and how many there are so far as is known.
    read: (u64, u64),
    changes: u64,
    awaiting: u64,
    findings: usize,
    /// Where each partition stands.
    places: Vec<String>,
    /// `None` where nobody knows.
    left: Option<Left>,
}

/// How much longer it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// To read the rest, at the pace so far.
    About(Duration),
    /// Verdicts are waited for no longer than this.
    AtMost(Duration),
}

/// What is known beside the judge's own picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside {
    pub(super) elapsed: Duration,
    pub(super) findings: usize,
    /// How long verdicts are waited for, once all was read.
    pub(super) left: Option<Duration>,
}

impl Progress {
    pub(super) fn new(style: ProgressStyle) -> Progress {
        match style {
            ProgressStyle::Bar => {
                let target = indicatif::ProgressDrawTarget::stderr();
                Progress::Bar(indicatif::ProgressBar::with_draw_target(None, target))
            }
            ProgressStyle::Lines => Progress::Lines { next: LINE_EVERY },
        }
    }

    /// Shows what `picture` gives, where it is time to.
    pub(super) fn show(&mut self, elapsed: Duration, picture: impl FnOnce() -> Picture) {
        match self {
            Progress::Bar(bar) => {
                let picture = picture();
                if let Ok(style) = indicatif::ProgressStyle::with_template(picture.template()) {
                    bar.set_style(style);
                }
                bar.set_length(picture.read.1);
                bar.set_position(picture.read.0);
                bar.set_message(picture.message());
            }
            Progress::Lines { next } if elapsed >= *next => {
                *next = elapsed + LINE_EVERY;
                picture().log();
            }
            Progress::Lines { .. } => {}
        }
    }

    /// Takes the bar away, so that the report stands alone.
    pub(super) fn end(&self) {
        match self {
            Progress::Bar(bar) => bar.finish_and_clear(),
            Progress::Lines { .. } => {}
        }
    }
}

impl Picture {
    pub(super) fn of(tally: &Tally, partitions: &Partitions, beside: Beside) -> Picture {
        let marks = || tally.partitions.iter().map(|mark| (mark, mark.end.max(mark.consumed)));
        let read = marks().map(|(mark, _)| mark.consumed - mark.start).sum();
        let all: u64 = marks().map(|(mark, end)| end - mark.start).sum();
        let place = |(mark, end): (&crate::engine::tally::PartitionTally, u64)| {
            format!("{} at {} of {end}", partitions.name(mark.partition), mark.consumed)
        };
        Picture {
            read: (read, all),
            changes: tally.counters.changes,
            awaiting: tally.keys as u64,
            findings: beside.findings,
            places: marks().map(place).collect(),
            left: beside.left.map(Left::AtMost).or_else(|| left(beside.elapsed, read, all).map(Left::About)),
        }
    }

    /// A file does not tell how long it is: there is no bar until it was read.
    fn template(&self) -> &'static str {
        match self.left {
            Some(Left::About(_) | Left::AtMost(_)) => "{bar:24} {percent:>3}%  {wide_msg}",
            None => "{spinner} {wide_msg}",
        }
    }

    fn message(&self) -> String {
        let Picture { changes, awaiting, findings, .. } = self;
        let left = self.left.map_or_else(String::new, |left| format!(", {left} left"));
        format!("{changes} changes, {awaiting} keys await verdicts, {findings} findings{left}")
    }

    fn log(&self) {
        let more = self.places.len().saturating_sub(PLACES);
        let mut places = self.places[..self.places.len() - more].join(", ");
        if more > 0 {
            places.push_str(&format!(" and {more} more"));
        }
        tracing::info!(
            partitions = places,
            changes = self.changes,
            keys_awaiting = self.awaiting,
            findings = self.findings,
            left = self.left.map_or_else(|| "not known".to_owned(), |left| left.to_string()),
            "auditing"
        );
    }
}

/// How long the rest of what is read takes at the pace so far.
fn left(elapsed: Duration, read: u64, all: u64) -> Option<Duration> {
    let rest = all.checked_sub(read).filter(|rest| *rest > 0 && read > 0)?;
    // Offsets in memory are far below 2^52, and this is a guess for people.
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * rest as f64 / read as f64).ok()
}

/// In whole seconds.
impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, time) = match self {
            Left::About(time) => ("about", time),
            Left::AtMost(time) => ("at most", time),
        };
        write!(f, "{word} {}", humantime::format_duration(Duration::from_secs(time.as_secs())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture {
            read: (500, 2_000),
            changes: 480,
            awaiting: 17,
            findings: 2,
            places: vec!["orders/0 at 500 of 2000".to_owned()],
            left: left(Duration::from_secs(30), 500, 2_000).map(Left::About),
        }
    }

    #[test]
    fn the_rest_is_guessed_from_the_pace_so_far() {
        assert_eq!(picture().message(), "480 changes, 17 keys await verdicts, 2 findings, about 1m 30s left");
        let waiting = Picture { left: Some(Left::AtMost(Duration::from_secs(62))), ..picture() };
        assert!(waiting.message().ends_with(", at most 1m 2s left"), "{}", waiting.message());
        assert_eq!(left(Duration::from_secs(30), 0, 2_000), None, "nothing was read yet");
        assert_eq!(left(Duration::from_secs(30), 2_000, 2_000), None, "all was read");
    }

    #[test]
    fn lines_come_every_ten_seconds() {
        let mut progress = Progress::new(ProgressStyle::Lines);
        let mut at = Vec::new();
        for tenth in 0..350 {
            let elapsed = Duration::from_millis(tenth * 100);
            progress.show(elapsed, || {
                at.push(elapsed.as_secs());
                picture()
            });
        }
        assert_eq!(at, [10, 20, 30]);
    }

    #[test]
    fn nothing_is_drawn_where_standard_error_is_no_terminal() {
        let mut progress = Progress::new(ProgressStyle::Bar);
        progress.show(Duration::ZERO, picture);
        let Progress::Bar(bar) = &progress else { panic!("a bar was asked for") };
        assert_eq!((bar.position(), bar.length()), (500, Some(2_000)));
        progress.end();
    }
}
