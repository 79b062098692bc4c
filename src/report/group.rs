//! Alerts are grouped: the first news of a quiet group goes out at once, what follows within a window goes out together at
//! its end. Pure: time comes in as [`Wall`], since what waits outlives the process.
//!
//! A group is one kind in one table of one pipeline. Nothing is dropped: news that cannot be told stays in its group as
//! counts, and past the bound on groups, news of further groups is counted in one group a pipeline.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::alert::{Alert, SCHEMA, Status};
use super::document::Document;
use crate::config::TableMatch;
use crate::model::Wall;
use crate::model::finding::{Kind, Severity};

/// Groups of one channel that are kept at a time, beside one a pipeline for what lies past the bound: every kind in a
/// hundred tables.
pub const GROUPS: usize = 1_000;

/// Findings an alert carries at most: ten fit a chat message's attachment.
pub const SAMPLES: usize = 10;

/// How long a group stays silent after a message: a minute keeps a mass loss from becoming a mass of messages, and is short
/// enough not to be missed.
pub const WINDOW: Duration = Duration::from_secs(60);

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

impl GroupKey {
    /// The group of a finding.
    #[must_use]
    pub fn of(document: &Document) -> GroupKey {
        GroupKey { pipeline: document.pipeline.clone(), table: document.table.clone(), kind: Some(document.kind) }
    }

    /// The pipeline's common group, past the bound.
    #[must_use]
    pub fn common(self) -> GroupKey {
        GroupKey { table: None, kind: None, ..self }
    }

    /// 32 hex digits that are the same for the same group.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [Some(self.pipeline.as_str()), self.table.as_deref(), self.kind.map(Kind::word)] {
            hash.update([u8::from(part.is_some())]);
            hash.update(part.unwrap_or_default().as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Which findings a channel hears of.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The least severity.
    pub severity: Severity,
    /// Only these kinds; empty: all.
    pub kinds: Vec<Kind>,
    /// Only these tables, as the tap names them; empty: all, and findings that concern no table.
    pub tables: Vec<TableMatch>,
    /// Only these pipelines; empty: all.
    pub pipelines: Vec<String>,
}

impl Filter {
    /// Whether the channel hears of this finding.
    #[must_use]
    pub fn lets(&self, document: &Document) -> bool {
        let table = document.table.as_ref();
        document.severity >= self.severity
            && (self.kinds.is_empty() || self.kinds.contains(&document.kind))
            && (self.tables.is_empty() || table.is_some_and(|table| self.tables.iter().any(|one| one.is(table))))
            && (self.pipelines.is_empty() || self.pipelines.contains(&document.pipeline))
    }
}

/// A channel and what it hears of.
#[derive(Debug, Clone)]
pub struct Route {
    /// The channel's name.
    pub channel: String,
    /// What it hears of.
    pub filter: Filter,
}

/// What became of a finding that people hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It opened.
    Opened,
    /// It had been open and healed, or was retracted.
    Closed,
}

/// What a batch of findings adds to one group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    opened: u64,
    closed: u64,
    worst: Option<Severity>,
    samples: Vec<String>,
    since: Option<Wall>,
}

/// What a batch of findings adds, by channel and group.
#[must_use]
pub fn deltas<'a>(
    routes: &[Route],
    turns: impl IntoIterator<Item = (&'a Document, Turn)>,
) -> BTreeMap<(String, GroupKey), Delta> {
    let mut deltas: BTreeMap<(String, GroupKey), Delta> = BTreeMap::new();
    for (document, turn) in turns {
        for route in routes.iter().filter(|route| route.filter.lets(document)) {
            let delta = deltas.entry((route.channel.clone(), GroupKey::of(document))).or_default();
            match turn {
                Turn::Opened => delta.opened += 1,
                Turn::Closed => delta.closed += 1,
            }
            delta.worst = delta.worst.max(Some(document.severity));
            delta.since = delta.since.or(Some(document.last_seen));
            if delta.samples.len() < SAMPLES && !delta.samples.contains(&document.id) {
                delta.samples.push(document.id.clone());
            }
        }
    }
    deltas
}

/// What a channel has not told yet of one group, and how it stands with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The channel's name.
    pub channel: String,
    /// The group.
    pub group: GroupKey,
    /// Findings opened and not told of.
    pub opened: u64,
    /// Findings over and not told of.
    pub closed: u64,
    /// The worst severity among what is not told; `None`: there is no news.
    pub worst: Option<Severity>,
    /// The worst severity since the group was resolved last.
    pub peak: Severity,
    /// Ids of some of the findings that are not told of.
    pub samples: Vec<String>,
    /// Since when something is wrong, as far as news tells.
    pub since: Option<Wall>,
    /// Messages that the channel took.
    pub told: u64,
    /// Whether the last of them said that something is wrong.
    pub firing: bool,
    /// When the last of them went out.
    pub told_at: Wall,
}

impl News {
    /// A group of which nothing is known yet.
    #[must_use]
    pub fn none(channel: &str, group: GroupKey) -> News {
        News {
            channel: channel.to_owned(),
            group,
            opened: 0,
            closed: 0,
            worst: None,
            peak: Severity::Info,
            samples: Vec::new(),
            since: None,
            told: 0,
            firing: false,
            told_at: Wall(i64::MIN / 2),
        }
    }

    /// More has happened.
    pub fn add(&mut self, delta: &Delta) {
        self.opened += delta.opened;
        self.closed += delta.closed;
        self.worst = self.worst.max(delta.worst);
        self.peak = self.peak.max(delta.worst.unwrap_or(Severity::Info));
        self.since = self.since.or(delta.since);
        let new: Vec<&String> = delta.samples.iter().filter(|id| !self.samples.contains(id)).collect();
        let room = SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(new.into_iter().take(room).cloned());
    }

    /// The channel took a message of what this group had in `message`; more may have happened since.
    pub fn tell(&mut self, message: &News, status: Status, now: Wall) {
        self.opened = self.opened.saturating_sub(message.opened);
        self.closed = self.closed.saturating_sub(message.closed);
        self.samples.retain(|id| !message.samples.contains(id));
        self.told += 1;
        self.told_at = now;
        self.firing = status == Status::Firing;
        if !self.has_news() {
            self.worst = None;
            self.samples.clear();
        }
        if status == Status::Resolved {
            self.since = None;
            self.peak = self.worst.unwrap_or(Severity::Info);
        }
    }

    /// Whether something is to be told.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.opened + self.closed > 0
    }

    /// Whether nothing is to be told, and nothing of what was told still stands.
    #[must_use]
    pub fn is_over(&self, now: Wall) -> bool {
        !self.has_news() && !self.firing && now >= self.silent_until()
    }

    /// Until when the group is silent after its last message.
    #[must_use]
    pub fn silent_until(&self) -> Wall {
        after(self.told_at, WINDOW)
    }

    /// The message, with so many findings of the group open now.
    #[must_use]
    pub fn alert(&self, open: u64, findings: Vec<Document>) -> Alert {
        let findings = findings.into_iter().map(|finding| Document { extra: vec![], ..finding }).collect();
        Alert {
            schema: SCHEMA.to_owned(),
            status: if open == 0 { Status::Resolved } else { Status::Firing },
            text: String::new(),
            id: self.group.id(),
            number: self.told,
            since: self.since.unwrap_or(self.told_at),
            pipeline: self.group.pipeline.clone(),
            table: self.group.table.clone(),
            kind: self.group.kind,
            severity: self.peak,
            opened: self.opened,
            closed: self.closed,
            open,
            findings,
        }
    }
}

/// The moment so long after another.
pub(super) fn after(at: Wall, by: Duration) -> Wall {
    Wall(at.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    const EVERYTHING: Filter = Filter { severity: Severity::Info, kinds: vec![], tables: vec![], pipelines: vec![] };

    fn lost(number: u32, table: &str) -> Document {
        let id = format!("{number:032x}");
        Document { id, table: Some(table.to_owned()), ..sample::documents()[1].clone() }
    }

    fn news(turns: &[(&Document, Turn)]) -> News {
        let routes = [Route { channel: "c".to_owned(), filter: EVERYTHING }];
        let deltas = deltas(&routes, turns.iter().copied());
        let mut news = News::none("c", GroupKey::of(turns[0].0));
        deltas.values().for_each(|delta| news.add(delta));
        news
    }

    #[test]
    fn a_channel_hears_only_of_what_it_asked_for() {
        let [delete, update, _, _, stalled] = sample::documents().try_into().unwrap();
        let tables = |names: &[&str]| names.iter().map(|name| TableMatch::Name((*name).to_owned())).collect();
        let pattern = TableMatch::Pattern(regex::Regex::new(r"^public\.").unwrap());
        let rows: [(Filter, [bool; 3]); 8] = [
            (EVERYTHING, [true, true, true]),
            (Filter { severity: Severity::Critical, ..EVERYTHING }, [true, false, false]),
            (Filter { kinds: vec![Kind::Stalled, Kind::LostUpdate], ..EVERYTHING }, [false, true, true]),
            (Filter { tables: tables(&["public.customers"]), ..EVERYTHING }, [true, true, false]),
            (Filter { tables: tables(&["public.other"]), ..EVERYTHING }, [false, false, false]),
            (Filter { tables: vec![pattern], ..EVERYTHING }, [true, true, false]),
            (Filter { pipelines: vec!["orders".to_owned()], ..EVERYTHING }, [true, true, true]),
            (Filter { pipelines: vec!["other".to_owned()], ..EVERYTHING }, [false, false, false]),
        ];
        for (filter, expected) in rows {
            assert_eq!([&delete, &update, &stalled].map(|finding| filter.lets(finding)), expected, "{filter:?}");
        }
    }

    #[test]
    fn what_happens_while_a_message_is_on_its_way_is_told_by_the_next() {
        let (one, other) = (lost(1, "a"), lost(2, "a"));
        let mut kept = news(&[(&one, Turn::Opened)]);
        let message = kept.clone();
        let more = news(&[(&other, Turn::Opened), (&one, Turn::Closed)]);
        kept.add(&Delta { opened: 1, closed: 1, worst: more.worst, samples: more.samples, since: None });
        kept.tell(&message, Status::Firing, Wall(5));
        assert_eq!((kept.opened, kept.closed, kept.samples.clone()), (1, 1, vec![other.id]));
        assert!(kept.firing && kept.since.is_some());
        let rest = kept.clone();
        kept.tell(&rest, Status::Resolved, Wall(6));
        assert_eq!((kept.has_news(), kept.worst, kept.since, kept.told), (false, None, None, 2));
        assert!(!kept.is_over(Wall(7)) && kept.is_over(Wall(60_006)));
    }

    #[test]
    fn a_message_says_how_the_group_stands_and_carries_some_findings() {
        let many: Vec<Document> = (0..15).map(|number| lost(number, "a")).collect();
        let turns: Vec<(&Document, Turn)> = many.iter().map(|finding| (finding, Turn::Opened)).collect();
        let news = news(&turns);
        assert_eq!((news.opened, news.samples.len()), (15, SAMPLES));
        let firing = news.alert(3, vec![many[0].clone()]).worded(None);
        assert_eq!(firing.text, "[warning] lost_update in orders, a: 15 new, 0 over, 3 open");
        let over = News { closed: 2, ..news }.alert(0, vec![]).worded(None);
        assert_eq!(
            (over.status, over.text.as_str()),
            (Status::Resolved, "[warning] lost_update in orders, a: resolved, 2 over")
        );
    }

    #[test]
    fn groups_are_told_apart_by_all_they_have_in_common() {
        let key = GroupKey::of(&lost(1, "a"));
        let others = [
            GroupKey::of(&lost(1, "b")),
            GroupKey { pipeline: "o".to_owned(), ..key.clone() },
            GroupKey { table: None, ..key.clone() },
            key.clone().common(),
        ];
        assert_eq!(key.id(), GroupKey::of(&lost(9, "a")).id());
        assert!(others.iter().all(|other| other.id() != key.id()));
    }
}
