//! Which losses must be found, how soon, and why the others need not be.

use std::collections::BTreeSet;

use afterimage::engine::limit::{Applier as Shape, Order};
use afterimage::model::Op;

use crate::applier::Applier;
use crate::check::Check;
use crate::model::{Label, Loss};
use crate::plan::{Mode, Plan, SECOND, Workers, millis};
use crate::source::{BITS, Change, Source};

/// The earliest moment at which anyone could know of a loss: something that was appended after it began is complete in the
/// same worker, or the worker committed.
pub(crate) fn earliest(plan: &Plan, applier: &Applier, loss: &Loss) -> Option<u64> {
    let worker = applier.workers.get(loss.worker)?;
    let from = worker.lags.partition_point(|(at, _)| *at < loss.start);
    let causal = worker.lags[from..].iter().find(|(at, lag)| at - lag >= loss.start).map(|(at, _)| *at);
    let commit = worker.commits.get(worker.commits.partition_point(|at| *at < loss.start)).copied();
    match plan.mode {
        Mode::Committed => causal.into_iter().chain(commit).min(),
        Mode::Assumed => Some(loss.start.max(plan.start())),
        Mode::UnknownCommitsAndHeartbeat | Mode::Heartbeat | Mode::Inferred => causal,
    }
}

impl Check {
    /// Why a loss was not found.
    pub(crate) fn class(&self, plan: &Plan, source: &Source, loss: &Loss, earliest: Option<u64>) -> &'static str {
        let end = loss.end.min(plan.end());
        if loss.label == Label::Damaged {
            "damaged"
        } else if loss.label == Label::Elsewhere {
            "D4"
        } else if loss.masked(source, end) {
            "D2b"
        } else if loss.change.is_some_and(|change| self.is_listed(&source.changes[change])) {
            "unverifiable"
        } else if self.is_grouped(source, loss, end) {
            "group"
        } else {
            match earliest {
                None => "D3",
                Some(earliest) if loss.end < earliest => "D1",
                Some(_) if loss.end < plan.end() => "D2",
                Some(_) => "not yet",
            }
        }
    }

    /// Whether an assumption of the guarantee does not hold for a loss.
    fn is_outside(&self, plan: &Plan, source: &Source, loss: &Loss, end: u64) -> bool {
        let Some(change) = loss.change.map(|change| &source.changes[change]) else { return true };
        let alone = plan.second.is_some() && plan.mode == Mode::Inferred;
        // A row that left those which are carried may stand as it was, so an insert of its key proves nothing any more.
        let shown = plan.leaving.is_none() || !matches!(plan.mode, Mode::Inferred | Mode::Committed);
        let unreadable = |index: &&usize| {
            let other = &source.changes[**index];
            let concerns = source.table(other.key) == source.table(loss.key) || !source.tells_table(**index);
            other.unreadable && other.append <= end && concerns
        };
        let taken_back =
            loss.change.is_some_and(|index| source.fork.as_ref().is_some_and(|fork| fork.takes_back(index)));
        loss.label.is_anothers()
            || taken_back
            || alone
            || !shown
            || loss.undemanded
            || matches!(plan.workers, Workers::Keys(_))
            || change.is_truncate()
            || source.logs[usize::from(change.partition)].iter().any(|index| unreadable(&index))
            || self.is_listed(change)
            || loss.masked(source, end)
            || self.is_grouped(source, loss, end)
    }

    /// How long the loss may stand unsaid, if it is of those that must be said.
    pub(crate) fn guaranteed(&self, plan: &Plan, source: &Source, applier: &Applier, loss: &Loss) -> Option<u64> {
        let end = loss.end.min(plan.end());
        if self.is_outside(plan, source, loss, end) {
            return None;
        }
        let change = &source.changes[loss.change?];
        let worker = &applier.workers[loss.worker];
        let mut cuts: Vec<u64> = worker.restarts.iter().chain(&self.interruptions).copied().collect();
        let start = loss.start.max(plan.start());
        cuts.extend(self.replans_of(source, loss.key));
        cuts.retain(|cut| *cut > start && *cut < end);
        cuts.extend([start, end.max(start)]);
        cuts.sort_unstable();
        cuts.windows(2).find_map(|segment| {
            let (from, to) = (segment[0], segment[1]);
            let first = worker.lags.partition_point(|(at, _)| *at < from);
            let until = worker.lags.partition_point(|(at, _)| *at <= to);
            let lag = worker.lags[first..(until + 1).min(worker.lags.len())].iter().map(|(_, lag)| *lag).max();
            // What was never applied again after the segment was late for as long as it waited in it.
            let waits = if until < worker.lags.len() { 0 } else { worker.waits(source, to) };
            let bound = bound(plan, source, loss, lag.unwrap_or(0).max(waits));
            let shown =
                || plan.mode != Mode::Inferred || has_witnesses(plan, source, change, (from, to), &self.interruptions);
            (to - from >= bound && shown()).then_some(bound)
        })
    }

    pub(crate) fn is_listed(&self, change: &Change) -> bool {
        self.unverifiable.iter().any(|(partition, (first, last))| {
            *partition == change.partition && *first <= change.offset && change.offset <= *last
        })
    }

    pub(crate) fn is_grouped(&self, source: &Source, loss: &Loss, end: u64) -> bool {
        let table = format!("public.t{}", source.table(loss.key).0);
        self.group_times.iter().any(|(of, from, to)| *of == table && *from <= end && *to >= loss.start)
    }
}

/// Whether rows tell of progress at all: three keys that may be witnesses change in each spacing of a stretch of time. What a
/// row was before an update is known by its image or by earlier changes; in a later life of ours, if they began with its
/// insert.
pub(crate) fn has_witnesses(
    plan: &Plan,
    source: &Source,
    of: &Change,
    (from, to): (u64, u64),
    interruptions: &[u64],
) -> bool {
    let may_witness = |index: &&usize| {
        let change = &source.changes[**index];
        let began = interruptions.iter().filter(|at| **at <= change.append).max().copied().unwrap_or(0);
        let is_read = |earlier: &&usize| source.changes[**earlier].append >= began;
        let mut read = source.by_key[change.key as usize].iter().filter(is_read);
        let first = read.next();
        let from_insert = first.is_some_and(|first| source.changes[*first].op == Op::Insert);
        let known = plan.before_images || first != Some(index) && (began == 0 || from_insert);
        let ordered = match plan.order {
            Order::Partition | Order::Key => change.partition == of.partition,
            Order::Table => source.table(change.key) == source.table(of.key),
            Order::Pipeline => true,
        };
        ordered && (change.op == Op::Insert || change.op == Op::Update && known)
    };
    let all: Vec<(u64, u32)> = source
        .logs
        .iter()
        .flatten()
        .filter(may_witness)
        .map(|index| (source.changes[*index].append, source.changes[*index].key))
        .collect();
    (from..to.saturating_sub(INFERRED_SPACING)).step_by(INFERRED_SPACING as usize / 2).all(|begin| {
        let within = all.iter().filter(|(at, _)| (begin..begin + INFERRED_SPACING).contains(at));
        within.map(|(_, key)| key).collect::<BTreeSet<_>>().len() >= 3
    })
}

/// Milliseconds in which three witnesses show themselves where nothing but rows tells of progress.
const INFERRED_SPACING: u64 = 180_000;

/// The bound of the protocol's guarantee with the run's figures, and room for failed reads.
fn bound(plan: &Plan, source: &Source, loss: &Loss, lag: u64) -> u64 {
    let options = &plan.options;
    let consumption = if plan.slow_consumption { 62_000 } else { 2_000 };
    // Without heartbeats, witnesses are ordinary rows, of which a trickle goes on.
    let spacing = match plan.mode {
        Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat => plan.heartbeat.unwrap_or(0),
        Mode::Committed => 90_000,
        Mode::Inferred => INFERRED_SPACING,
        Mode::Assumed => 0,
    } * if plan.workers == Workers::Tables { 2 } else { 1 }
        + plan.every * 4
        + plan.replica.map_or(0, |(_, most)| most);
    let slow_batches = plan.window + 8 * plan.group_gap;
    let polls = millis(options.reread) + 6 * millis(options.poll) + 5 * SECOND;
    let settle = plan.settle();
    let gate = if options.applier == Shape::Batch { 150_000 + 4 * (lag + spacing) + settle } else { 0 };
    let causal = 3 * (lag + spacing + consumption + slow_batches) + 2 * settle + spacing + 4 * plan.lead() + gate;
    let bits = if source.table(loss.key).0 == BITS { causal } else { 0 };
    let committed =
        2 * (lag + plan.checkpoint() + consumption + slow_batches) + lag + spacing + millis(options.zombie_after);
    let base = match plan.mode {
        Mode::Committed => committed,
        Mode::Assumed => consumption,
        Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat | Mode::Inferred => causal,
    };
    (base + polls + bits) * 3 / 2
}
