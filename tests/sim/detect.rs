//! How soon losses are found, beside the earliest moment at which the evidence at hand could have told.

use std::collections::BTreeMap;

use crate::applier::Applier;
use crate::model::Loss;
use crate::plan::{Lag, Mode, Plan, Workers, millis};
use crate::source::Source;

/// Regime, evidence, and whether nothing disturbs the world.
pub(crate) type Setup = (Lag, &'static str, bool);

/// One loss that was found: milliseconds from the moment it stood there and we lived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detection {
    /// To the finding.
    pub(crate) took: u64,
    /// To the moment at which a judge with this evidence, and no doubt about it, could have known.
    pub(crate) possible: Option<u64>,
}

impl Detection {
    pub(crate) fn of(plan: &Plan, source: &Source, applier: &Applier, loss: &Loss, found: u64) -> Detection {
        let from = loss.start.max(plan.start());
        let possible = possible(plan, source, applier, loss).map(|at| at.saturating_sub(from));
        Detection { took: found.saturating_sub(from), possible }
    }
}

/// The moment at which a judge who reads every poll could have known, by the evidence he is given: a commit after the loss,
/// or a heartbeat behind it that was seen and another that was appended after that.
fn possible(plan: &Plan, source: &Source, applier: &Applier, loss: &Loss) -> Option<u64> {
    let worker = applier.workers.get(loss.worker)?;
    let from = loss.start.max(plan.start());
    let rows = || {
        let first = worker.lags.partition_point(|(at, _)| *at < from);
        worker.lags[first..].iter().find(|(at, lag)| at - lag >= from).map(|(at, _)| *at)
    };
    let beats = || {
        let behind = worker.beats.iter().find(|(_, index)| Some(*index) > loss.change)?;
        let later = worker.beats.iter().find(|(_, index)| source.changes[*index].append >= behind.0)?;
        Some(later.0)
    };
    let commits = || worker.commits.get(worker.commits.partition_point(|at| *at < from)).copied();
    let at = match plan.mode {
        Mode::Committed if plan.heartbeat.is_some() => commits().into_iter().chain(beats()).min(),
        Mode::Committed => commits(),
        Mode::UnknownCommitsAndHeartbeat | Mode::Heartbeat => beats(),
        Mode::Inferred => rows(),
        Mode::Assumed => Some(from),
    };
    at.map(|at| at.max(from) + millis(plan.options.poll) + plan.lead())
}

impl Plan {
    /// Where the judge gets his watermark from.
    pub(crate) fn evidence(&self) -> &'static str {
        match self.mode {
            Mode::Committed if matches!(self.workers, Workers::Keys(_)) => "after_write, no order",
            Mode::Committed if self.exact => "exact",
            Mode::Committed if self.heartbeat.is_some() => "after_write+heartbeat",
            Mode::Committed => "after_write",
            Mode::UnknownCommitsAndHeartbeat => "unknown+heartbeat",
            Mode::Heartbeat => "heartbeat",
            Mode::Inferred => "inferred",
            Mode::Assumed => "assumed",
        }
    }

    /// Whether nothing but the lag and the applier's own mistakes is in the way.
    pub(crate) fn is_calm(&self) -> bool {
        let applier = self.wrongs.crash == 0.0 && self.stalls == 0.0 && self.second.is_none() && !self.rejected;
        let tap = self.unreadable == 0.0 && self.truncates == 0.0 && !self.slow_consumption && !self.source_log;
        let us = self.our_crashes == 0 && self.rebalances == 0 && self.options.memory > 1 << 20;
        applier && tap && us && self.replica.is_none() && self.failed_reads <= 0.01
    }

    pub(crate) fn setup(&self) -> Setup {
        (self.lag, self.evidence(), self.is_calm())
    }
}

/// Detections of many runs.
#[derive(Debug, Default)]
pub(crate) struct Detections {
    by_setup: BTreeMap<Setup, Vec<Detection>>,
}

impl Detections {
    pub(crate) fn add(&mut self, setup: Setup, detections: &[Detection]) {
        self.by_setup.entry(setup).or_default().extend(detections);
    }

    /// How long each took, by lag.
    pub(crate) fn by_lag(&self) -> BTreeMap<Lag, Vec<u64>> {
        let mut took: BTreeMap<Lag, Vec<u64>> = BTreeMap::new();
        for ((lag, _, _), detections) in &self.by_setup {
            took.entry(*lag).or_default().extend(detections.iter().map(|detection| detection.took));
        }
        took
    }

    /// One JSON object: regime, then evidence, then `calm` or `disturbed`; times in seconds.
    pub(crate) fn json(&self) -> String {
        let mut regimes: BTreeMap<Lag, Vec<String>> = BTreeMap::new();
        for ((lag, evidence, calm), detections) in &self.by_setup {
            let world = if *calm { "calm" } else { "disturbed" };
            regimes.entry(*lag).or_default().push(format!("\"{evidence}, {world}\":{}", spread(detections)));
        }
        let regimes = regimes.iter().map(|(lag, setups)| format!("\"{}\":{{{}}}", lag.word(), setups.join(",")));
        format!("{{{}}}", regimes.collect::<Vec<_>>().join(","))
    }
}

fn spread(detections: &[Detection]) -> String {
    let took = sorted(detections.iter().map(|detection| detection.took));
    let possible = sorted(detections.iter().filter_map(|detection| detection.possible));
    let ratio = at(&took, 50) / at(&possible, 50).max(0.001);
    format!(
        "{{\"losses\":{},\"p50\":{:.1},\"p90\":{:.1},\"p99\":{:.1},\"possible_p50\":{:.1},\"possible_p99\":{:.1},\"ratio\":{:.2}}}",
        took.len(),
        at(&took, 50),
        at(&took, 90),
        at(&took, 99),
        at(&possible, 50),
        at(&possible, 99),
        ratio,
    )
}

pub(crate) fn sorted(times: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut times: Vec<u64> = times.collect();
    times.sort_unstable();
    times
}

/// A percentile, in seconds.
pub(crate) fn at(sorted: &[u64], part: usize) -> f64 {
    let index = (sorted.len() * part / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(0) as f64 / 1000.0
}
