//! What proves progress at this moment: how late it shows, how often, and where it does not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::config::{Evidence, Order, Pipeline};
use crate::engine::Options;
use crate::engine::limit::{Commits, QUORUM};
use crate::model::Wall;
use crate::model::position::PartitionName;

use super::super::settings;
use super::bound::{Measured, Pace};
use super::groups::{GroupReport, age, few};
use super::sample::{Sample, SeenChange};

/// What was found out about progress, besides the settings.
pub(super) struct Facts<'f> {
    pub(super) sample: &'f Sample,
    pub(super) group: Option<&'f GroupReport>,
    /// The partitions that the user's query named, and how long the first record behind each was there; why not.
    pub(super) query: Option<Result<BTreeMap<PartitionName, Duration>, String>>,
    /// The newest offset of each partition that rows of the target show, by what rows.
    pub(super) shown: Shown,
    /// What the node said, where it is a replica.
    pub(super) replica: Option<&'f str>,
    pub(super) now: Wall,
}

/// The newest offset of each partition that rows show.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) heartbeats: BTreeMap<PartitionName, u64>,
    pub(super) rows: BTreeMap<PartitionName, u64>,
}

/// How progress shows, and the partitions that no evidence covers.
pub(super) struct Progress {
    pub(super) pace: Pace,
    pub(super) unproven: Vec<String>,
}

/// One kind of evidence.
struct Source {
    lag: Measured,
    spacing: Measured,
    uncovered: BTreeSet<PartitionName>,
}

impl Source {
    fn nowhere(why: String) -> Source {
        Source { lag: Err(why.clone()), spacing: Err(why), uncovered: BTreeSet::new() }
    }
}

/// The best of the evidence: the first that bounds the time to detect, else every reason why none does.
pub(super) fn progress(pipeline: &Pipeline, options: &Options, facts: &Facts<'_>) -> Progress {
    let mut uncovered: Option<BTreeSet<PartitionName>> = None;
    let mut reasons: Vec<String> = Vec::new();
    let mut found = None;
    for evidence in settings::applied(pipeline) {
        let source = source(&evidence, pipeline, options, facts);
        uncovered = Some(match uncovered {
            Some(known) => known.intersection(&source.uncovered).cloned().collect(),
            None => source.uncovered,
        });
        match (&source.lag, &source.spacing) {
            (Ok(_), Ok(_)) if found.is_none() => found = Some(Pace { lag: source.lag, spacing: source.spacing }),
            (Ok(_), Ok(_)) => {}
            (Err(why), _) | (Ok(_), Err(why)) => reasons.push(why.clone()),
        }
    }
    let pace = found.unwrap_or_else(|| {
        let why = reasons.join("; ");
        Pace { lag: Err(why.clone()), spacing: Err(why) }
    });
    Progress { pace, unproven: uncovered.unwrap_or_default().iter().map(ToString::to_string).collect() }
}

fn source(evidence: &Evidence, pipeline: &Pipeline, options: &Options, facts: &Facts<'_>) -> Source {
    match evidence {
        Evidence::KafkaGroup(group) => by_commits(group, options, facts),
        Evidence::Query(_) => by_query(options, facts),
        Evidence::DmsStatus { .. } => by_status(facts),
        Evidence::KclLease(_) => {
            Source::nowhere("checkpoints in a lease table are not supported by this version".to_owned())
        }
        Evidence::Heartbeat { table, .. } => by_rows(pipeline, facts, &facts.shown.heartbeats, &Beats(table)),
        Evidence::Inferred => by_rows(pipeline, facts, &facts.shown.rows, &Rows(pipeline)),
        Evidence::Assumed => Source::nowhere(
            "you state what was applied: an `audit` reports what two reads show when it ends, and nothing later"
                .to_owned(),
        ),
    }
}

fn by_commits(group: &str, options: &Options, facts: &Facts<'_>) -> Source {
    let Some(found) = facts.group else { return Source::nowhere(format!("how `{group}` stands could not be asked")) };
    let uncovered = facts.sample.partitions.keys();
    let never = |name: &&PartitionName| found.never_committed.contains(&name.to_string());
    let uncovered: BTreeSet<PartitionName> = uncovered.filter(never).cloned().collect();
    let why = if let Some(problem) = found.problem() { Some(problem) } else { convicts_nothing(options, facts) };
    if let Some(why) = why {
        return Source { uncovered, ..Source::nowhere(why) };
    }
    let lag = found.behind_for.map_or_else(
        || (Duration::ZERO, format!("`{group}` has committed everything up to the end")),
        |seconds| (Duration::from_secs_f64(seconds), format!("the oldest record that `{group}` has not committed")),
    );
    Source { lag: Ok(lag), spacing: Ok(commit_interval(options)), uncovered }
}

/// Why committed positions convict nothing here.
fn convicts_nothing(options: &Options, facts: &Facts<'_>) -> Option<String> {
    match (options.commits, facts.replica) {
        (Commits::Unknown, _) => Some(
            "committed positions only let us forget here, so that nothing convicts by them (`commits`, `query_durable`)".to_owned(),
        ),
        (Commits::AfterWrite, Some(_)) => {
            Some("committed positions convict nothing on a replica, which may be behind them".to_owned())
        }
        (Commits::AfterWrite, None) => None,
    }
}

/// `settle` is at least twice the interval of the applier's checkpoints, or it is no margin.
pub(in crate::runtime) fn commit_interval(options: &Options) -> (Duration, String) {
    let from = "half of `settle`, which has to be twice the applier's commit interval".to_owned();
    (options.settle.at_first() / 2, from)
}

fn by_query(options: &Options, facts: &Facts<'_>) -> Source {
    let positions = match &facts.query {
        Some(Ok(positions)) => positions,
        Some(Err(why)) => return Source::nowhere(format!("the query of `applied` gave no positions: {why}")),
        None => return Source::nowhere("the query of `applied` could not be asked".to_owned()),
    };
    let partitions = facts.sample.partitions.iter();
    let uncovered: BTreeSet<PartitionName> = partitions
        .filter(|(name, changes)| !changes.is_empty() && !positions.contains_key(*name))
        .map(|(name, _)| name.clone())
        .collect();
    if !uncovered.is_empty() {
        let names: Vec<String> = uncovered.iter().map(ToString::to_string).collect();
        let why = format!("the query of `applied` returns no position of {}", few(&names));
        return Source { uncovered, ..Source::nowhere(why) };
    }
    if let Some(why) = convicts_nothing(options, facts) {
        return Source { uncovered, ..Source::nowhere(why) };
    }
    let lag = positions.values().max().copied().unwrap_or_default();
    let from = "the oldest record behind the positions of the query of `applied`".to_owned();
    Source { lag: Ok((lag, from)), spacing: Ok(commit_interval(options)), uncovered }
}

/// What a task says of itself convicts nothing.
fn by_status(facts: &Facts<'_>) -> Source {
    let all = || facts.sample.partitions.keys().cloned().collect();
    match &facts.query {
        Some(Ok(late)) if late.is_empty() => Source {
            uncovered: all(),
            ..Source::nowhere("`awsdms_status` names no time up to which changes were applied: no task of it runs, or one still loads".to_owned())
        },
        Some(Ok(late)) => {
            let lag = late.values().max().copied().unwrap_or_default().as_secs();
            Source::nowhere(format!("`awsdms_status` says that what the source committed up to {lag} s ago was applied, which only lets us forget"))
        }
        Some(Err(why)) => Source { uncovered: all(), ..Source::nowhere(format!("`awsdms_status` could not be read: {why}")) },
        None => Source { uncovered: all(), ..Source::nowhere("`awsdms_status` could not be asked".to_owned()) },
    }
}

/// Which rows tell of progress.
trait Witnesses {
    fn counts(&self, change: &SeenChange) -> bool;
    /// Distinct keys that make one sign of progress.
    fn quorum(&self) -> usize;
    fn missing(&self) -> String;
    fn words(&self) -> &'static str;
}

struct Beats<'b>(&'b str);

impl Witnesses for Beats<'_> {
    fn counts(&self, change: &SeenChange) -> bool {
        *change.change.table == *self.0
    }

    fn quorum(&self) -> usize {
        1
    }

    fn missing(&self) -> String {
        format!("no two heartbeats of `{}` are among the newest records of", self.0)
    }

    fn words(&self) -> &'static str {
        "heartbeats"
    }
}

struct Rows<'b>(&'b Pipeline);

impl Witnesses for Rows<'_> {
    fn counts(&self, change: &SeenChange) -> bool {
        !is_heartbeat(self.0, &change.change.table)
    }

    fn quorum(&self) -> usize {
        QUORUM
    }

    fn missing(&self) -> String {
        format!("fewer than {QUORUM} keys change in")
    }

    fn words(&self) -> &'static str {
        "changes of three keys"
    }
}

/// Whether a table of the tap carries heartbeats.
pub(super) fn is_heartbeat(pipeline: &Pipeline, tap_name: &str) -> bool {
    settings::applied(pipeline).iter().any(|evidence| match evidence {
        Evidence::Heartbeat { table, .. } => table == tap_name,
        Evidence::KafkaGroup(_)
        | Evidence::KclLease(_)
        | Evidence::Query(_)
        | Evidence::DmsStatus { .. }
        | Evidence::Inferred
        | Evidence::Assumed => false,
    })
}

fn by_rows(
    pipeline: &Pipeline,
    facts: &Facts<'_>,
    shown: &BTreeMap<PartitionName, u64>,
    witnesses: &impl Witnesses,
) -> Source {
    if pipeline.progress.order == Order::Key {
        let why = "nothing but a single key is in order (`order`): a change that was merely lost is proven by nothing";
        return Source::nowhere(why.to_owned());
    }
    let (mut uncovered, mut unseen) = (BTreeSet::new(), Vec::new());
    let (mut lag, mut spacing) = (Duration::ZERO, Duration::ZERO);
    for (name, changes) in facts.sample.partitions.iter().filter(|(_, changes)| !changes.is_empty()) {
        match widest(changes, witnesses, facts.now) {
            Some(gap) => spacing = spacing.max(gap),
            None => {
                uncovered.insert(name.clone());
                continue;
            }
        }
        match behind(changes, shown.get(name).copied(), witnesses, facts.now) {
            Some(late) => lag = lag.max(late),
            None => unseen.push(name.to_string()),
        }
    }
    if !uncovered.is_empty() {
        let names: Vec<String> = uncovered.iter().map(ToString::to_string).collect();
        let why = format!("{} {}", witnesses.missing(), few(&names));
        return Source { uncovered, ..Source::nowhere(why) };
    }
    if facts.sample.tables.is_empty() {
        return Source::nowhere("the tap holds no change yet".to_owned());
    }
    let spacing = Ok((spacing, format!("the longest between {} among the newest records", witnesses.words())));
    if !unseen.is_empty() {
        let why = format!("none of the newest {} is on the target yet, of {}", witnesses.words(), few(&unseen));
        return Source { lag: Err(why), spacing, uncovered };
    }
    let from = format!("the oldest of the {} that the target does not show", witnesses.words());
    Source { lag: Ok((lag, from)), spacing, uncovered }
}

/// The longest time in which no further sign of progress was appended, up to now; `None` where there are not two.
fn widest(changes: &VecDeque<SeenChange>, witnesses: &impl Witnesses, now: Wall) -> Option<Duration> {
    let mut keys: BTreeSet<String> = BTreeSet::new();
    let (mut since, mut signs, mut widest) = (None, 0, 0);
    for change in changes.iter().filter(|change| witnesses.counts(change)) {
        let at = change.appended?;
        keys.insert(format!("{} {:?}", change.change.table, change.change.key));
        if keys.len() < witnesses.quorum() {
            since = since.or(Some(at));
            continue;
        }
        widest = widest.max(at - since.unwrap_or(at));
        (since, signs) = (Some(at), signs + 1);
        keys.clear();
    }
    let enough = if witnesses.quorum() > 1 { signs > 0 } else { signs > 1 };
    let open = since.map_or(Duration::ZERO, |since| age(now, since));
    enough.then(|| Duration::from_millis(u64::try_from(widest).unwrap_or_default()).max(open))
}

/// How long the first change waits that is behind what rows show; nothing where they show all of it.
fn behind(
    changes: &VecDeque<SeenChange>,
    shown: Option<u64>,
    witnesses: &impl Witnesses,
    now: Wall,
) -> Option<Duration> {
    let shown = shown?;
    // That a row is gone is no sign: it may never have been there.
    let mut rows = changes.iter().filter(|change| witnesses.counts(change) && change.change.after.is_some());
    let next = rows.find(|change| change.offset > shown);
    Some(next.and_then(|next| next.appended).map_or(Duration::ZERO, |at| age(now, at)))
}
