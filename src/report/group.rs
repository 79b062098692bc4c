//! Alerts are grouped: the first news of a quiet group goes out at once, what follows within a window goes out together at
//! its end. Pure: time comes in as [`Tick`].
//!
//! A group is one kind in one table of one pipeline. Nothing is dropped: news that cannot be delivered stays in its group as
//! counts, and past the bound on groups, news of further groups is counted in one group a pipeline.

use std::collections::BTreeMap;
use std::time::Duration;

use super::alert::{Alert, SCHEMA, Status};
use super::document::Document;
use crate::model::Tick;
use crate::model::finding::{Kind, Severity};

/// The bounds of grouping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a group stays silent after a message.
    pub window: Duration,
    /// Groups kept at a time, beside one a pipeline for what lies past the bound.
    pub groups: usize,
    /// Findings an alert carries at most.
    pub samples: usize,
}

impl Default for Limits {
    /// A minute of silence keeps a mass loss from becoming a mass of messages, and is short enough not to be missed; a
    /// thousand groups are every kind in a hundred tables; ten findings fit a chat message's attachment.
    fn default() -> Limits {
        Limits { window: Duration::from_secs(60), groups: 1_000, samples: 10 }
    }
}

/// What a group has in common. A group without a kind holds what lies past the bound.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// Pipeline.
    pub pipeline: String,
    /// Table on the tap.
    pub table: Option<String>,
    /// Kind.
    pub kind: Option<Kind>,
}

/// Where news went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// Into its own group.
    Own,
    /// Past the bound on groups: into the pipeline's common one.
    Merged,
}

/// Why a wake-up was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A quiet group has news.
    First,
    /// A group's window ends, and it has news.
    WindowEnds,
}

/// Every group with something to say, or open findings.
#[derive(Debug)]
pub struct Groups {
    limits: Limits,
    groups: BTreeMap<GroupKey, Group>,
}

#[derive(Debug, Default)]
struct Group {
    open: u64,
    opened: u64,
    closed: u64,
    worst: Option<Severity>,
    samples: Vec<Document>,
    quiet_until: Option<Tick>,
}

impl Groups {
    /// No group yet.
    #[must_use]
    pub fn new(limits: Limits) -> Groups {
        Groups { limits, groups: BTreeMap::new() }
    }

    /// Findings that were open before this process began: the group is not resolved before they are over.
    pub fn seed(&mut self, key: GroupKey, open: u64) {
        let (group, _) = self.group(key);
        group.open += open;
    }

    /// A finding opened.
    pub fn opened(&mut self, document: &Document) -> Placed {
        let samples = self.limits.samples;
        let (group, placed) = self.group(GroupKey::of(document));
        group.open += 1;
        group.opened += 1;
        group.tell_of(document, samples);
        placed
    }

    /// A finding that had been open healed or was retracted.
    pub fn closed(&mut self, document: &Document) -> Placed {
        let samples = self.limits.samples;
        let (group, placed) = self.group(GroupKey::of(document));
        group.open = group.open.saturating_sub(1);
        group.closed += 1;
        group.tell_of(document, samples);
        placed
    }

    /// The next alert that is due, the worst first. Its group is then silent for a window.
    pub fn poll(&mut self, now: Tick) -> Option<Alert> {
        self.groups.retain(|_, group| !group.is_over(now));
        self.take(now, |group| group.is_due(now))
    }

    /// The next alert whether it is due or not: for the end of the process.
    pub fn poll_all(&mut self, now: Tick) -> Option<Alert> {
        self.take(now, Group::has_news)
    }

    /// An alert could not be delivered: what it told of is news again, after a window.
    pub fn undelivered(&mut self, alert: Alert, now: Tick) {
        let Limits { window, samples, .. } = self.limits;
        let key = GroupKey { pipeline: alert.pipeline, table: alert.table, kind: alert.kind };
        let (group, _) = self.group(key);
        group.opened += alert.opened;
        group.closed += alert.closed;
        group.worst = group.worst.max(Some(alert.severity));
        let newer = std::mem::replace(&mut group.samples, alert.findings);
        group.samples.extend(newer);
        group.samples.truncate(samples);
        group.quiet_until = Some(now + window);
    }

    /// When [`Groups::poll`] has something next, unless more news comes in.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Tick, Reason)> {
        let with_news = self.groups.values().filter(|group| group.has_news());
        let wake = |group: &Group| match group.quiet_until {
            Some(at) => (at, Reason::WindowEnds),
            None => (Tick(0), Reason::First),
        };
        with_news.map(wake).min_by_key(|(at, _)| *at)
    }

    fn group(&mut self, key: GroupKey) -> (&mut Group, Placed) {
        let fits = self.groups.contains_key(&key) || self.groups.len() < self.limits.groups;
        let placed = if fits { Placed::Own } else { Placed::Merged };
        let key = if fits { key } else { GroupKey { table: None, kind: None, ..key } };
        (self.groups.entry(key).or_default(), placed)
    }

    fn take(&mut self, now: Tick, is_wanted: impl Fn(&Group) -> bool) -> Option<Alert> {
        let wanted = self.groups.iter_mut().filter(|(_, group)| is_wanted(group));
        // `max_by_key` keeps the last of equals; keys are in order, so the reversed walk keeps the first.
        let (key, group) = wanted.rev().max_by_key(|(_, group)| group.worst)?;
        let quiet_until = Some(now + self.limits.window);
        let told = std::mem::replace(group, Group { open: group.open, quiet_until, ..Group::default() });
        Some(told.alert(key))
    }
}

impl GroupKey {
    fn of(document: &Document) -> GroupKey {
        GroupKey { pipeline: document.pipeline.clone(), table: document.table.clone(), kind: Some(document.kind) }
    }
}

impl Group {
    fn tell_of(&mut self, document: &Document, samples: usize) {
        self.worst = self.worst.max(Some(document.severity));
        if self.samples.len() < samples {
            self.samples.push(Document { extra: vec![], ..document.clone() });
        }
    }

    fn has_news(&self) -> bool {
        self.opened + self.closed > 0
    }

    fn is_due(&self, now: Tick) -> bool {
        self.has_news() && self.quiet_until.is_none_or(|until| now >= until)
    }

    fn is_over(&self, now: Tick) -> bool {
        !self.has_news() && self.open == 0 && self.quiet_until.is_none_or(|until| now >= until)
    }

    fn alert(self, key: &GroupKey) -> Alert {
        let mut alert = Alert {
            schema: SCHEMA.to_owned(),
            status: if self.open == 0 { Status::Resolved } else { Status::Firing },
            text: String::new(),
            pipeline: key.pipeline.clone(),
            table: key.table.clone(),
            kind: key.kind,
            severity: self.worst.unwrap_or(Severity::Info),
            opened: self.opened,
            closed: self.closed,
            open: self.open,
            findings: self.samples,
        };
        alert.text = alert.line();
        alert
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn groups(bound: usize) -> Groups {
        Groups::new(Limits { window: WINDOW, groups: bound, samples: 2 })
    }

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1_000)
    }

    fn lost(table: &str) -> Document {
        Document { table: Some(table.to_owned()), ..sample::documents()[1].clone() }
    }

    /// Status, opened, closed, open, samples.
    fn said(alert: Option<Alert>) -> Option<(Status, u64, u64, u64, usize)> {
        alert.map(|alert| (alert.status, alert.opened, alert.closed, alert.open, alert.findings.len()))
    }

    #[test]
    fn the_first_goes_at_once_and_what_follows_at_the_end_of_the_window() {
        let mut groups = groups(10);
        groups.opened(&lost("a"));
        assert_eq!(groups.poll_timeout(), Some((Tick(0), Reason::First)));
        assert_eq!(said(groups.poll(at(100))), Some((Status::Firing, 1, 0, 1, 1)));
        for _ in 0..5 {
            groups.opened(&lost("a"));
        }
        groups.closed(&lost("a"));
        assert_eq!(said(groups.poll(at(159))), None);
        assert_eq!(groups.poll_timeout(), Some((at(160), Reason::WindowEnds)));
        assert_eq!(said(groups.poll(at(160))), Some((Status::Firing, 5, 1, 5, 2)));
        assert_eq!((said(groups.poll(at(160))), groups.poll_timeout()), (None, None));
    }

    #[test]
    fn the_last_healing_resolves_and_the_group_is_forgotten_after_its_window() {
        let mut groups = groups(10);
        groups.opened(&lost("a"));
        groups.opened(&lost("a"));
        assert_eq!(said(groups.poll(at(0))), Some((Status::Firing, 2, 0, 2, 2)));
        groups.closed(&lost("a"));
        assert_eq!(said(groups.poll(at(60))), Some((Status::Firing, 0, 1, 1, 1)));
        groups.closed(&lost("a"));
        let resolved = groups.poll(at(500)).unwrap();
        assert_eq!(resolved.text, "[warning] lost_update in orders, a: resolved, 1 over");
        assert_eq!(said(Some(resolved)), Some((Status::Resolved, 0, 1, 0, 1)));
        assert_eq!((said(groups.poll(at(501))), groups.groups.len()), (None, 1));
        assert_eq!((said(groups.poll(at(560))), groups.groups.len()), (None, 0));
    }

    #[test]
    fn tables_and_kinds_are_groups_of_their_own_and_the_worst_is_told_first() {
        let mut groups = groups(10);
        groups.opened(&lost("a"));
        groups.opened(&lost("b"));
        groups.opened(&Document { table: Some("b".to_owned()), ..sample::documents()[0].clone() });
        let texts: Vec<String> = std::iter::from_fn(|| groups.poll(at(1))).map(|alert| alert.text).collect();
        assert_eq!(
            texts,
            [
                "[critical] unapplied_delete in orders, b: 1 new, 0 over, 1 open",
                "[warning] lost_update in orders, a: 1 new, 0 over, 1 open",
                "[warning] lost_update in orders, b: 1 new, 0 over, 1 open",
            ]
        );
    }

    #[test]
    fn what_was_open_before_keeps_a_group_from_being_resolved() {
        let mut groups = groups(10);
        groups.seed(GroupKey::of(&lost("a")), 2);
        assert_eq!(said(groups.poll(at(0))), None);
        groups.closed(&lost("a"));
        assert_eq!(said(groups.poll(at(1))), Some((Status::Firing, 0, 1, 1, 1)));
        groups.closed(&lost("a"));
        assert_eq!(said(groups.poll(at(99))), Some((Status::Resolved, 0, 1, 0, 1)));
    }

    #[test]
    fn past_the_bound_news_is_counted_together_and_not_dropped() {
        let mut groups = groups(2);
        let placed: Vec<Placed> = ["a", "b", "c", "d", "a"].map(|table| groups.opened(&lost(table))).into();
        assert_eq!(placed, [Placed::Own, Placed::Own, Placed::Merged, Placed::Merged, Placed::Own]);
        let alerts: Vec<Alert> = std::iter::from_fn(|| groups.poll(at(1))).collect();
        assert_eq!(alerts.iter().map(|alert| alert.opened).sum::<u64>(), 5);
        assert_eq!(alerts[0].text, "[warning] findings of many kinds in orders: 2 new, 0 over, 2 open");
    }

    #[test]
    fn what_was_not_delivered_is_told_again_with_what_came_since() {
        let mut groups = groups(10);
        groups.opened(&lost("a"));
        let alert = groups.poll(at(0)).unwrap();
        groups.opened(&lost("a"));
        groups.undelivered(alert, at(30));
        assert_eq!(said(groups.poll(at(89))), None);
        assert_eq!(said(groups.poll(at(90))), Some((Status::Firing, 2, 0, 2, 2)));
    }

    #[test]
    fn at_the_end_everything_is_told_whatever_the_window() {
        let mut groups = groups(10);
        groups.opened(&lost("a"));
        groups.poll(at(0)).unwrap();
        groups.opened(&lost("a"));
        assert_eq!(said(groups.poll_all(at(1))), Some((Status::Firing, 1, 0, 2, 1)));
        assert_eq!(said(groups.poll_all(at(1))), None);
    }
}
