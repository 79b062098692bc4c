//! When a channel sends what: the worst first, not in quiet hours, not more than it may, and slower where it fails. Pure:
//! time comes in.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::group::{GroupKey, News, after};
use crate::config::alert::{QuietHours, Rate};
use crate::model::Wall;
use crate::model::finding::Severity;

/// The first wait after a failure; it doubles from one to the next.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait between two tries: what a receiver's restart takes is covered by shorter ones, and nobody minds a try
/// in five minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The longest that a receiver may ask us to wait: more is a mistake of its.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Tell the news at this place of the list.
    Tell(usize),
    /// Say again how it stands with the group at this place.
    Remind(usize),
    /// Nothing before this moment, unless more news comes in.
    Wait(Wall),
    /// Nothing, unless more news comes in.
    Idle,
}

/// Which messages may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is due.
    Usual,
    /// Whatever the windows and the rate: the process ends.
    Last,
}

/// What was refused, and so what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// This message: others may pass.
    Message,
    /// All of them.
    Channel,
}

/// The pace of one channel.
#[derive(Debug)]
pub struct Pace {
    rate: Option<Rate>,
    quiet: Option<QuietHours>,
    remind: Option<Duration>,
    sent: VecDeque<Wall>,
    failures: u32,
    held: Option<Wall>,
    /// Groups whose message was refused. As many as the store keeps of a channel.
    refused: BTreeMap<GroupKey, Wall>,
    /// Groups whose reminder was not due, because somebody has seen all of them.
    seen: BTreeMap<GroupKey, Wall>,
}

impl Pace {
    /// Nothing sent yet. With `remind`, groups that stand are told again that often.
    #[must_use]
    pub fn new(rate: Option<Rate>, quiet: Option<QuietHours>, remind: Option<Duration>) -> Pace {
        Pace {
            rate,
            quiet,
            remind,
            sent: VecDeque::new(),
            failures: 0,
            held: None,
            refused: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// What to do now with this news.
    #[must_use]
    pub fn next(&self, news: &[News], now: Wall, mode: Mode) -> Next {
        let mut due: Option<(Severity, usize)> = None;
        let mut remind = None;
        let mut soonest: Option<Wall> = None;
        for (index, one) in news.iter().enumerate() {
            let (at, severity) = match (self.told_from(one, now, mode), self.reminded_from(one)) {
                (Some(at), _) => (at, one.worst),
                (None, Some(at)) => (at, None),
                (None, None) => continue,
            };
            match severity {
                _ if at > now => soonest = Some(soonest.map_or(at, |soonest| soonest.min(at))),
                Some(severity) if due.is_none_or(|(worst, _)| severity > worst) => due = Some((severity, index)),
                Some(_) => {}
                None => remind = remind.or(Some(index)),
            }
        }
        match (due, remind, soonest) {
            (Some((_, index)), ..) => Next::Tell(index),
            (None, Some(index), _) => Next::Remind(index),
            (None, None, Some(at)) => Next::Wait(at),
            (None, None, None) => Next::Idle,
        }
    }

    /// From when the news of a group may be told; `None`: there is none.
    fn told_from(&self, news: &News, now: Wall, mode: Mode) -> Option<Wall> {
        let severity = news.worst.filter(|_| news.has_news())?;
        let quiet = self.quiet.and_then(|quiet| quiet.until(now, severity));
        let refused = self.refused.get(&news.group).copied();
        let paced = match mode {
            Mode::Usual => [Some(news.silent_until()), self.rate_allows(), self.held],
            Mode::Last => [None, None, self.held],
        };
        paced.into_iter().chain([quiet, refused]).flatten().max().or(Some(now))
    }

    fn reminded_from(&self, news: &News) -> Option<Wall> {
        let told = self.seen.get(&news.group).copied().unwrap_or(news.told_at).max(news.told_at);
        let at = after(told, self.remind.filter(|_| news.firing)?);
        [self.held, self.refused.get(&news.group).copied()].into_iter().flatten().chain([at]).max()
    }

    /// From when one more message keeps the rate.
    fn rate_allows(&self) -> Option<Wall> {
        let rate = self.rate?;
        let full = self.sent.len() >= rate.messages as usize;
        self.sent.front().filter(|_| full).map(|first| after(*first, rate.per))
    }

    /// Nobody is to be reminded of a group now: somebody has seen all that stands of it.
    pub fn seen(&mut self, group: &GroupKey, now: Wall) {
        self.seen.insert(group.clone(), now);
    }

    /// A message of a group was taken.
    pub fn taken(&mut self, group: &GroupKey, now: Wall) {
        (self.failures, self.held) = (0, None);
        self.refused.remove(group);
        self.seen.remove(group);
        self.sent.push_back(now);
        let most = self.rate.map_or(0, |rate| rate.messages as usize);
        while self.sent.len() > most {
            self.sent.pop_front();
        }
    }

    /// A message was not taken; the receiver may have asked to wait so long.
    pub fn failed(&mut self, group: &GroupKey, (blame, asked): (Blame, Option<Duration>), now: Wall) {
        match blame {
            Blame::Channel => {
                self.held =
                    Some(after(now, asked.map_or(wait(self.failures), |asked| asked.clamp(FIRST_WAIT, LONGEST_ASKED))));
                self.failures = self.failures.saturating_add(1);
            }
            Blame::Message => {
                self.refused.insert(group.clone(), after(now, LONGEST_WAIT));
            }
        }
    }
}

/// The wait after so many failures in a row before the last one.
fn wait(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::alert::Except;
    use crate::config::alert::quiet::{Minute, Zone};
    use crate::model::finding::Kind;

    const NOW: Wall = Wall(1_795_341_600_000);

    fn later(seconds: i64) -> Wall {
        Wall(NOW.0 + seconds * 1_000)
    }

    fn news(table: &str, worst: Severity) -> News {
        let group =
            GroupKey { pipeline: "orders".to_owned(), table: Some(table.to_owned()), kind: Some(Kind::LostUpdate) };
        News { opened: 1, worst: Some(worst), ..News::none("c", group) }
    }

    fn pace(messages: u32) -> Pace {
        Pace::new(Some(Rate { messages, per: Duration::from_secs(60) }), None, None)
    }

    #[test]
    fn the_worst_goes_first_and_equals_in_order() {
        let list = [news("a", Severity::Warning), news("b", Severity::Critical), news("c", Severity::Critical)];
        assert_eq!(pace(9).next(&list, NOW, Mode::Usual), Next::Tell(1));
        assert_eq!(pace(9).next(&list[..1], NOW, Mode::Usual), Next::Tell(0));
        assert_eq!(pace(9).next(&[], NOW, Mode::Usual), Next::Idle);
    }

    #[test]
    fn a_group_is_silent_for_a_window_after_its_message() {
        let list = [News { told_at: NOW, ..news("a", Severity::Critical) }];
        assert_eq!(pace(9).next(&list, later(59), Mode::Usual), Next::Wait(later(60)));
        assert_eq!(pace(9).next(&list, later(60), Mode::Usual), Next::Tell(0));
        assert_eq!(pace(9).next(&list, later(1), Mode::Last), Next::Tell(0));
    }

    #[test]
    fn past_the_rate_messages_wait_for_the_first_to_grow_old() {
        let list = [news("a", Severity::Critical)];
        let mut pace = pace(2);
        pace.taken(&news("b", Severity::Info).group, later(0));
        assert_eq!(pace.next(&list, later(1), Mode::Usual), Next::Tell(0));
        pace.taken(&news("c", Severity::Info).group, later(30));
        assert_eq!(pace.next(&list, later(31), Mode::Usual), Next::Wait(later(60)));
        assert_eq!(pace.next(&list, later(60), Mode::Usual), Next::Tell(0));
        pace.taken(&list[0].group, later(60));
        assert_eq!(pace.next(&list, later(61), Mode::Usual), Next::Wait(later(90)));
    }

    #[test]
    fn quiet_hours_hold_back_all_but_the_critical() {
        let hour = i64::from(chrono::Timelike::hour(&chrono::DateTime::from_timestamp_millis(NOW.0).unwrap()));
        let quiet = QuietHours {
            from: Minute(hour * 60),
            to: Minute((hour * 60 + 60) % 1_440),
            zone: Zone(0),
            except: Except::Critical,
        };
        let pace = Pace::new(None, Some(quiet), None);
        let list = [news("a", Severity::Warning), news("b", Severity::Critical)];
        assert_eq!(pace.next(&list, NOW, Mode::Usual), Next::Tell(1));
        let Next::Wait(end) = pace.next(&list[..1], NOW, Mode::Last) else { panic!("warnings wait") };
        assert_eq!(pace.next(&list[..1], end, Mode::Usual), Next::Tell(0));
    }

    #[test]
    fn waits_double_up_to_a_bound_and_what_is_asked_for_is_kept() {
        let list = [news("a", Severity::Critical)];
        let mut pace = pace(9);
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..11 {
            pace.failed(&list[0].group, (Blame::Channel, None), now);
            let Next::Wait(until) = pace.next(&list, now, Mode::Usual) else { panic!("it waits") };
            waits.push((until.0 - now.0) / 1_000);
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        pace.failed(&list[0].group, (Blame::Channel, Some(Duration::from_secs(7))), NOW);
        assert_eq!(pace.next(&list, NOW, Mode::Last), Next::Wait(later(7)));
        pace.failed(&list[0].group, (Blame::Channel, Some(Duration::from_secs(1 << 40))), NOW);
        assert_eq!(pace.next(&list, NOW, Mode::Usual), Next::Wait(later(3_600)));
        pace.failed(&list[0].group, (Blame::Channel, Some(Duration::ZERO)), NOW);
        assert_eq!(pace.next(&list, NOW, Mode::Usual), Next::Wait(later(1)), "nobody is asked in a tight loop");
        pace.taken(&list[0].group, NOW);
        assert_eq!(pace.next(&list, NOW, Mode::Usual), Next::Tell(0));
    }

    #[test]
    fn a_message_that_is_refused_holds_back_no_other() {
        let list = [news("a", Severity::Critical), news("b", Severity::Warning)];
        let mut pace = pace(9);
        pace.failed(&list[0].group, (Blame::Message, None), NOW);
        assert_eq!(pace.next(&list, NOW, Mode::Usual), Next::Tell(1));
        assert_eq!(pace.next(&list[..1], NOW, Mode::Usual), Next::Wait(later(300)));
        assert_eq!(pace.next(&list[..1], later(300), Mode::Usual), Next::Tell(0));
    }

    #[test]
    fn what_stands_is_said_again_where_the_receiver_forgets() {
        let standing = News { opened: 0, worst: None, firing: true, told_at: NOW, ..news("a", Severity::Critical) };
        let list = [standing];
        let pace = Pace::new(None, None, Some(Duration::from_secs(60)));
        assert_eq!(pace.next(&list, later(59), Mode::Usual), Next::Wait(later(60)));
        assert_eq!(pace.next(&list, later(60), Mode::Usual), Next::Remind(0));
        assert_eq!(self::pace(9).next(&list, later(60), Mode::Usual), Next::Idle);
    }
}
