//! The consumer groups beside the tap: which read the same topics, and how the one stands that `applied` names.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::config::{Evidence, Pipeline, Tap, Topic};
use crate::model::Wall;
use crate::model::position::PartitionName;
use crate::tap::TapError;
use crate::tap::kafka::standing::{self, GroupStanding};
use crate::tap::kafka::{Brokers, evidence};

use super::super::settings;
use super::super::tell::chain;
use super::bound::words;
use super::report::Report;

/// Names of other groups told beside one that is not there.
const SIMILAR: usize = 3;

/// How much of two names has to be alike, of 1.
const ALIKE: f64 = 0.6;

/// Partitions named in one sentence.
const NAMED: usize = 5;

/// How the group of `applied` stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct GroupReport {
    pub(super) name: String,
    /// It has members or committed offsets.
    exists: bool,
    /// As the brokers name it; `null` where they show none.
    state: Option<String>,
    members: usize,
    /// Partitions of the tap in which it committed an offset.
    committed_partitions: usize,
    /// Partitions that hold records, in which it never committed one.
    pub(super) never_committed: Vec<String>,
    /// Records behind its committed offsets.
    behind: u64,
    /// The first of them that was appended longest ago: its place, and when.
    stands_before: Option<String>,
    /// How long ago that was, in seconds.
    #[serde(rename = "behind_s")]
    pub(super) behind_for: Option<f64>,
    /// Whether its offsets moved while they were looked at; `null` where there was nothing to move to.
    moved: Option<bool>,
    /// Existing groups of similar names, where it does not exist or never committed.
    similar: Vec<String>,
    /// The same in words.
    pub(super) words: Vec<String>,
}

/// The group of `applied`, as it stood at one moment.
pub(super) struct Look {
    brokers: Brokers,
    pub(super) group: String,
    partitions: Vec<PartitionName>,
    standing: GroupStanding,
    ranges: BTreeMap<PartitionName, (u64, u64)>,
}

/// Lists the groups that read the same topics, and the one that looks like the applier: a Connect sink's, else the only
/// other one. Blocking.
pub(super) fn list(pipeline: &Pipeline, report: &mut Report) {
    let Tap::Kafka(kafka) = &pipeline.tap else { return };
    let topics: Vec<String> = kafka
        .topics
        .iter()
        .map(|topic| match topic {
            Topic::Name(name) => name.clone(),
            Topic::Pattern(pattern) => format!("/{pattern}/"),
        })
        .collect();
    match evidence::groups_on(&settings::brokers(kafka), &topics) {
        Ok(groups) => {
            let others: Vec<_> = groups.into_iter().filter(|group| group.group != kafka.group).collect();
            let mut connect = others.iter().filter(|group| group.group.starts_with("connect-"));
            let likely = match (connect.next(), connect.next()) {
                (Some(only), None) => Some(only),
                (Some(_), Some(_)) => None,
                (None, _) => others.first().filter(|_| others.len() == 1),
            };
            report.tap.likely_applier = likely.map(|group| group.group.clone());
            report.tap.groups = others
                .iter()
                .map(|group| format!("{} ({}, {} members)", group.group, group.state, group.members))
                .collect();
        }
        Err(error) => report.tap.groups.push(format!("groups cannot be listed: {}", chain(&error))),
    }
}

/// How the group of `applied` stands now; `None` where there is none. Blocking.
///
/// # Errors
/// When the brokers do not answer.
pub(super) fn look(pipeline: &Pipeline, partitions: Vec<PartitionName>) -> Result<Option<Look>, TapError> {
    let Tap::Kafka(kafka) = &pipeline.tap else { return Ok(None) };
    let group = settings::applied(pipeline).into_iter().find_map(|one| match one {
        Evidence::KafkaGroup(group) => Some(group),
        Evidence::KclLease(_)
        | Evidence::Query(_)
        | Evidence::DmsStatus { .. }
        | Evidence::Heartbeat { .. }
        | Evidence::Inferred
        | Evidence::Assumed => None,
    });
    let Some(group) = group else { return Ok(None) };
    let brokers = settings::brokers(kafka);
    let standing = standing::group(&brokers, &group, &partitions)?;
    // Behind the commits: none of them can lie behind an end that was asked later.
    let ranges = standing::ranges(&brokers, &partitions)?;
    Ok(Some(Look { brokers, group, partitions, standing, ranges }))
}

impl Look {
    /// Partitions in which records wait for the group, and where it stands.
    pub(super) fn waiting(&self) -> BTreeMap<PartitionName, u64> {
        let behind = |(name, next): (&PartitionName, &u64)| {
            let end = self.ranges.get(name).map_or(0, |range| range.1);
            (*next < end).then(|| (name.clone(), *next))
        };
        self.standing.committed.iter().filter_map(behind).collect()
    }

    /// What it amounts to, in numbers and words. `later` is the same look again. Blocking.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub(super) fn report(&self, later: Option<&Look>, now: Wall) -> Result<GroupReport, TapError> {
        let last = later.unwrap_or(self);
        let standing = &last.standing;
        let holds = |name: &&PartitionName| last.ranges.get(*name).is_some_and(|(low, high)| low < high);
        let never = self.partitions.iter().filter(|name| !standing.committed.contains_key(*name)).filter(holds);
        let waiting = last.waiting();
        let oldest = standing::appended_at(&last.brokers, &waiting)?.into_iter().min_by_key(|(_, at)| *at);
        let moved = later.map(|later| later.standing.committed != self.standing.committed);
        let mut report = GroupReport {
            name: self.group.clone(),
            exists: standing.state.is_some() || !standing.committed.is_empty(),
            state: standing.state.clone(),
            members: standing.members,
            committed_partitions: standing.committed.len(),
            never_committed: never.map(ToString::to_string).collect(),
            behind: waiting.iter().map(|(name, next)| last.ranges[name].1 - next).sum(),
            stands_before: oldest
                .as_ref()
                .map(|(name, at)| format!("{name}:{}, {}", waiting[name], Wall(*at).rfc3339())),
            behind_for: oldest.map(|(_, at)| age(now, at).as_secs_f64()),
            moved: moved.filter(|_| !waiting.is_empty()),
            ..GroupReport::default()
        };
        if standing.committed.is_empty() {
            report.similar = similar(&self.group, standing::group_names(&self.brokers)?);
        }
        report.words = report.told();
        Ok(report)
    }
}

/// How long ago something was, by the clocks of two machines.
pub(super) fn age(now: Wall, at: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.0.saturating_sub(at)).unwrap_or_default())
}

/// The names most like it, and those that it is a part of: `orders` for `connect-orders`.
fn similar(wanted: &str, names: Vec<String>) -> Vec<String> {
    let alike = |name: String| {
        let part = name.contains(wanted) || (!name.is_empty() && wanted.contains(&name));
        let score = if part { 1.0 } else { strsim::normalized_damerau_levenshtein(wanted, &name) };
        (name != wanted && score >= ALIKE).then_some((score, name))
    };
    let mut found: Vec<(f64, String)> = names.into_iter().filter_map(alike).collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    found.into_iter().take(SIMILAR).map(|(_, name)| name).collect()
}

/// A few names of many.
pub(super) fn few(names: &[String]) -> String {
    match names.len() {
        0..=NAMED => names.join(", "),
        more => format!("{} and {} more", names[..NAMED].join(", "), more - NAMED),
    }
}

impl GroupReport {
    fn told(&self) -> Vec<String> {
        if !self.exists {
            return vec![format!(
                "`{}` does not exist: it has no member and committed nothing{}",
                self.name,
                self.others()
            )];
        }
        let state = match &self.state {
            Some(state) => format!("`{}` is {state}, with {} members", self.name, self.members),
            None => format!("`{}` has committed, and the brokers do not show its members", self.name),
        };
        let mut words = vec![state];
        if self.committed_partitions == 0 {
            words.push(format!("it committed nothing in these topics{}", self.others()));
            return words;
        }
        if !self.never_committed.is_empty() {
            words.push(format!("it never committed in {}", few(&self.never_committed)));
        }
        words.push(match (self.behind, &self.stands_before, self.behind_for) {
            (0, _, _) => "it has committed everything".to_owned(),
            (behind, Some(place), Some(seconds)) => {
                let ago = words_ago(seconds);
                format!("it is {behind} records behind: the first of them ({place}) was appended {ago} ago")
            }
            (behind, _, _) => format!("it is {behind} records behind"),
        });
        words.extend(self.moved.map(|moved| {
            match moved {
                true => "its offsets moved while they were looked at".to_owned(),
                false => {
                    "its offsets did not move while they were looked at; since when they stand, the brokers do not tell"
                        .to_owned()
                }
            }
        }));
        words
    }

    /// What keeps it from proving anything.
    pub(super) fn problem(&self) -> Option<String> {
        let name = &self.name;
        if !self.exists {
            Some(format!("the consumer group `{name}` of `applied` does not exist{}", self.others()))
        } else if self.committed_partitions == 0 {
            Some(format!("the consumer group `{name}` of `applied` committed nothing in these topics{}", self.others()))
        } else if self.never_committed.is_empty() {
            None
        } else {
            let partitions = few(&self.never_committed);
            Some(format!(
                "the consumer group `{name}` of `applied` never committed in {partitions}, which hold records"
            ))
        }
    }

    fn others(&self) -> String {
        match self.similar.as_slice() {
            [] => String::new(),
            names => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                format!("; there is {}", names.join(", "))
            }
        }
    }
}

fn words_ago(seconds: f64) -> String {
    words(Duration::from_secs_f64(seconds.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn similar_names_are_those_a_slip_or_a_prefix_away() {
        let names = || ["connect-orders", "orderz", "billing", "orders"].map(str::to_owned).to_vec();
        assert_eq!(similar("orders", names()), ["connect-orders", "orderz"]);
        assert_eq!(similar("connect-order", names()), ["connect-orders"]);
        assert_eq!(similar("payments", names()), [""; 0]);
    }
}
