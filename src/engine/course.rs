//! The way of one connector through one partition, and how it is seen that it left its source's log for another.
//!
//! Places grow along a log. Where they fall, the connector reads the log again, or the log is not the one it was: the source
//! was restored, opened with RESETLOGS, or another server took over behind it. What is read again was committed no later than
//! what was read before; what another log says was committed later. A clock that is set does not make places fall.

use std::collections::VecDeque;

use crate::model::SourceTime;
use crate::model::waymark::{Place, Server};

/// Places of another log that prove it, unless it names a server of its own.
const PROOF: usize = 3;

/// Places remembered of a log; past it every other goes.
const REMEMBERED: usize = 64;

/// A change on its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) place: Place,
    /// Its offset in the partition.
    pub(super) offset: u64,
    pub(super) committed_at: SourceTime,
}

/// What one more change says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The log goes on, or is read again.
    On,
    /// It may be of another log.
    Doubtful,
    /// It is of another log.
    Left(Departure),
}

/// One log left for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Departure {
    /// The highest place of the old log.
    pub(super) old: Mark,
    /// The first place of the new one.
    pub(super) new: Mark,
    /// From this offset on, or one behind it, changes of the old log stood behind the first place of the new one.
    pub(super) from: u64,
}

impl Departure {
    /// Another server took over that executed all the connector had read: its log counts otherwise, and took nothing back.
    pub(super) fn is_renumbered(&self) -> bool {
        match (self.old.place.server, self.new.place.server) {
            (Server::Global(old), Server::Global(new)) => old != new,
            (Server::Unsaid | Server::Numbered(_) | Server::Global(_), _) => false,
        }
    }
}

/// The way of a connector through a partition.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) connector: u64,
    highest: Option<Mark>,
    /// The latest commit time of the log.
    newest: SourceTime,
    /// Changes that fell behind the highest and were committed later than all, each at a place of its own.
    doubt: Vec<Mark>,
    trail: Trail,
}

/// Where the log was at some offsets, the nearer the later.
#[derive(Debug, Default)]
struct Trail {
    steps: VecDeque<(u64, u64)>,
    spacing: u64,
}

impl Trail {
    fn note(&mut self, order: u64, offset: u64) {
        if self.steps.back().is_some_and(|(_, last)| offset < last.saturating_add(self.spacing)) {
            return;
        }
        self.steps.push_back((order, offset));
        if self.steps.len() > REMEMBERED {
            let mut index = 0;
            self.steps.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.spacing = self.spacing.max(1) * 2;
        }
    }

    /// An offset at or before the first that stood behind a place.
    fn from(&self, order: u64) -> u64 {
        let behind = self.steps.iter().rev().find(|(known, _)| *known <= order);
        let oldest = self.steps.front().map_or(0, |(_, offset)| *offset);
        behind.map_or(oldest, |(_, offset)| offset + 1)
    }
}

impl Course {
    pub(super) fn of(connector: u64) -> Course {
        Course { connector, highest: None, newest: SourceTime(i64::MIN), doubt: Vec::new(), trail: Trail::default() }
    }

    /// Whether it may have left its log.
    pub(super) fn is_doubtful(&self) -> bool {
        !self.doubt.is_empty()
    }

    /// Whether a change cannot be of the log that was followed so far.
    pub(super) fn is_left_by(&self, mark: &Mark) -> bool {
        self.highest.is_some_and(|highest| mark.place.order < highest.place.order && mark.committed_at > self.newest)
    }

    pub(super) fn step(&mut self, mark: Mark) -> Step {
        let Some(highest) = self.highest else {
            self.goes_on(mark);
            return Step::On;
        };
        if self.is_left_by(&mark) {
            return self.doubt(highest, mark);
        }
        if mark.place.order < highest.place.order {
            return if self.is_doubtful() { Step::Doubtful } else { Step::On };
        }
        // A log that is read again comes by the place where it was left; another one does not.
        let met = mark.place.order == highest.place.order && mark.committed_at == highest.committed_at;
        if met {
            self.doubt.clear();
        }
        match self.doubt.first().copied() {
            Some(first) => self.left(highest, first, mark),
            None => {
                self.goes_on(mark);
                Step::On
            }
        }
    }

    fn doubt(&mut self, highest: Mark, mark: Mark) -> Step {
        if self.doubt.iter().all(|known| known.place.order != mark.place.order) {
            self.doubt.push(mark);
        }
        let (old, new) = (highest.place.server, mark.place.server);
        let another = old != new && old != Server::Unsaid && new != Server::Unsaid;
        match self.doubt.first().copied() {
            Some(first) if another || self.doubt.len() >= PROOF => self.left(highest, first, mark),
            Some(_) | None => Step::Doubtful,
        }
    }

    fn left(&mut self, old: Mark, new: Mark, mark: Mark) -> Step {
        let from = self.trail.from(new.place.order);
        self.begin_anew();
        self.goes_on(mark);
        Step::Left(Departure { old, new, from })
    }

    /// Takes a doubt for true; gives back the first change of the new log, if there was a doubt.
    pub(super) fn give_in(&mut self) -> Option<Mark> {
        let doubt = std::mem::take(&mut self.doubt);
        if !doubt.is_empty() {
            self.begin_anew();
        }
        doubt.iter().for_each(|mark| self.goes_on(*mark));
        doubt.first().copied()
    }

    /// Forgets the log that was followed: what comes next is of another.
    pub(super) fn begin_anew(&mut self) {
        *self = Course::of(self.connector);
    }

    fn goes_on(&mut self, mark: Mark) {
        if self.highest.is_none_or(|highest| highest.place.order < mark.place.order) {
            self.highest = Some(mark);
        }
        self.newest = self.newest.max(mark.committed_at);
        self.trail.note(mark.place.order, mark.offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::waymark::Form;

    fn mark((offset, order, committed): (u64, u64, i64)) -> Mark {
        let place = Place { order, form: Form::Lsn, server: Server::Unsaid };
        Mark { place, offset, committed_at: SourceTime(committed) }
    }

    /// What the last of some changes says, each by its place and commit time.
    fn last(steps: &[(u64, i64)]) -> Step {
        let mut course = Course::of(1);
        let marks = (0..).zip(steps).map(|(offset, (order, committed))| mark((offset, *order, *committed)));
        marks.map(|mark| course.step(mark)).last().expect("some step")
    }

    fn left(old: (u64, u64, i64), new: (u64, u64, i64), from: u64) -> Step {
        Step::Left(Departure { old: mark(old), new: mark(new), from })
    }

    #[test]
    fn a_log_that_falls_while_time_goes_on_is_another() {
        let old = [(10, 100), (20, 200), (30, 300), (40, 400)];
        let with = |more: &[(u64, i64)]| last(&[&old[..], more].concat());
        for (more, expected) in [
            // One log: it goes on, a transaction has several changes, a clock is set, parts are read again.
            (&[(50, 500)][..], Step::On),
            (&[(40, 400)], Step::On),
            (&[(50, 50), (60, 60)], Step::On),
            (&[(20, 200), (30, 300), (40, 400), (50, 500)], Step::On),
            (&[(20, 350)], Step::On),
            // Another one.
            (&[(15, 500)], Step::Doubtful),
            (&[(15, 500), (15, 501), (15, 502)], Step::Doubtful),
            (&[(15, 500), (16, 501)], Step::Doubtful),
            (&[(15, 500), (16, 300)], Step::Doubtful),
            (&[(15, 500), (16, 501), (17, 502)], left((3, 40, 400), (4, 15, 500), 1)),
            (&[(15, 500), (50, 600)], left((3, 40, 400), (4, 15, 500), 1)),
            // Read again by a clock that was not yet known.
            (&[(15, 500), (20, 510), (40, 400), (50, 600)], Step::On),
        ] {
            assert_eq!(with(more), expected, "{more:?}");
        }
    }

    #[test]
    fn the_new_log_is_followed_by_itself() {
        let mut course = Course::of(1);
        for step in [(0, 100, 100), (1, 10, 200), (2, 11, 201), (3, 12, 202)] {
            course.step(mark(step));
        }
        assert_eq!(course.step(mark((4, 13, 203))), Step::On);
        assert_eq!(course.step(mark((5, 9, 204))), Step::Doubtful);
    }

    #[test]
    fn a_server_of_its_own_is_proof_enough() {
        let by = |server, step| {
            let mark = mark(step);
            Mark { place: Place { server, ..mark.place }, ..mark }
        };
        for (old, new, proof, renumbered) in [
            (Server::Numbered(1), Server::Numbered(2), true, false),
            (Server::Global(1), Server::Global(2), true, true),
            (Server::Numbered(1), Server::Numbered(1), false, false),
            (Server::Unsaid, Server::Numbered(1), false, false),
        ] {
            let mut course = Course::of(1);
            course.step(by(old, (0, 100, 100)));
            let step = course.step(by(new, (1, 10, 200)));
            let departure = match step {
                Step::Left(departure) => Some(departure),
                Step::On | Step::Doubtful => None,
            };
            assert_eq!(departure.is_some(), proof, "{old:?} {new:?}");
            assert_eq!(departure.is_some_and(|departure| departure.is_renumbered()), renumbered, "{old:?} {new:?}");
        }
    }

    #[test]
    fn of_a_long_log_the_place_of_the_fork_is_known_roughly() {
        let mut course = Course::of(1);
        for step in 0..10_000u64 {
            course.step(mark((step, step, step as i64)));
        }
        assert!(course.trail.steps.len() <= REMEMBERED);
        let from = course.trail.from(9_000);
        assert!((8_400..=9_001).contains(&from), "{from}");
        assert_eq!(course.trail.from(0), 1);
    }
}
