//! What a long exploration comes to: one line of JSON.

use std::collections::BTreeMap;

use crate::check::{Outcome, Property};
use crate::damage::Damage;
use crate::detect::{Detections, at, sorted};
use crate::plan::{Lag, Plan};

/// Sums over many seeds.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) first: u64,
    pub(crate) changes: usize,
    seeds: usize,
    verdicts: u64,
    wrong: BTreeMap<Property, usize>,
    guaranteed: usize,
    unverifiable: u64,
    detections: Detections,
    over_earliest: BTreeMap<Lag, Vec<u64>>,
    memory: f64,
    reads: u64,
    lasting: (usize, usize),
    losses: (usize, usize),
    excluded: BTreeMap<&'static str, usize>,
    proofs: BTreeMap<String, (usize, usize, usize)>,
    damage: Damage,
}

impl Record {
    pub(crate) fn of(first: u64) -> Record {
        Record { first, ..Record::default() }
    }

    pub(crate) fn add(&mut self, plan: &Plan, outcome: &Outcome) {
        self.changes += outcome.changes;
        self.seeds += 1;
        let counters = &outcome.counters;
        self.verdicts += counters.matched + counters.superseded + outcome.findings as u64;
        for violation in &outcome.violations {
            *self.wrong.entry(violation.property).or_default() += 1;
        }
        self.guaranteed += outcome.guaranteed;
        self.unverifiable += counters.unverifiable;
        self.reads += counters.reads - counters.patrolled;
        self.detections.add(plan.setup(), &outcome.detections);
        self.over_earliest.entry(plan.lag).or_default().extend(&outcome.over_earliest);
        self.memory = self.memory.max(outcome.bytes_per_version);
        self.losses = (self.losses.0 + outcome.found, self.losses.1 + outcome.losses);
        self.lasting = (self.lasting.0 + outcome.lasting.0, self.lasting.1 + outcome.lasting.1);
        self.damage.add(outcome.damage);
        for (class, count) in &outcome.excluded {
            *self.excluded.entry(class).or_default() += count;
        }
        for (proof, (opened, wrong, repaired)) in &outcome.proofs {
            let sum = self.proofs.entry(proof.clone()).or_default();
            *sum = (sum.0 + opened, sum.1 + wrong, sum.2 + repaired);
        }
    }

    pub(crate) fn count(&self, property: Property) -> usize {
        self.wrong.get(&property).copied().unwrap_or(0)
    }

    /// How much was found, at which price.
    pub(crate) fn found(&self) -> String {
        format!(
            "{{\"lasting\":{},\"losses\":{},\"guaranteed\":{},\"missed\":{},\"reads_per_change\":{:.2}}}",
            share(self.lasting),
            share(self.losses),
            self.guaranteed,
            self.count(Property::NothingMissed),
            self.reads as f64 / self.changes.max(1) as f64,
        )
    }

    pub(crate) fn line(&self) -> String {
        let counts: Vec<String> = self.excluded.iter().map(|(class, count)| format!("\"{class}\":{count}")).collect();
        let proofs: Vec<String> =
            self.proofs.iter().map(|(proof, sums)| format!("\"{proof}\":{}", precision(*sums))).collect();
        format!(
            "{{\"seed\":{},\"changes\":{},\"seeds\":{},\"verdicts\":{},\"false\":{},\"missed\":{},\"guaranteed\":{},\
             \"unverifiable\":{},\"ttd_s\":{},\"memory_bytes_per_version\":{:.1},\"misnamed\":{},\"stuck\":{},\"other\":{},\"reads_per_change\":{:.2},\
             \"over_earliest_s\":{},\"losses\":{},\"lasting\":{},\"excluded\":{{{}}},\"precision\":{{{}}},\"detection\":{},\
              \"damage\":{{\"planted\":{},\"patrolled\":{},\"guaranteed\":{},\"found\":{}}}}}",
            self.first,
            self.changes,
            self.seeds,
            self.verdicts,
            self.count(Property::NoFalseFinding),
            self.count(Property::NothingMissed),
            self.guaranteed,
            self.unverifiable,
            times(&self.detections.by_lag()),
            self.memory,
            self.count(Property::RightName),
            self.count(Property::Liveness),
            self.count(Property::Other),
            self.reads as f64 / self.changes.max(1) as f64,
            times(&self.over_earliest),
            share(self.losses),
            share(self.lasting),
            counts.join(","),
            proofs.join(","),
            self.detections.json(),
            self.damage.planted,
            self.damage.patrolled,
            self.damage.guaranteed,
            self.damage.found,
        )
    }
}

fn share((found, planted): (usize, usize)) -> String {
    format!("{{\"found\":{found},\"planted\":{planted}}}")
}

fn precision((opened, wrong, repaired): (usize, usize, usize)) -> String {
    let right = opened.saturating_sub(wrong) as f64 / opened.max(1) as f64;
    let right = if opened == 0 { 1.0 } else { right };
    format!(
        "{{\"findings\":{opened},\"false\":{wrong},\"precision\":{right:.6},\"repaired_by_reapplication\":{repaired}}}"
    )
}

fn times(of: &BTreeMap<Lag, Vec<u64>>) -> String {
    let regimes = of.iter().filter(|(_, times)| !times.is_empty()).map(|(lag, times)| {
        let times = sorted(times.iter().copied());
        format!("\"{}\":{{\"p50\":{:.1},\"p99\":{:.1}}}", lag.word(), at(&times, 50), at(&times, 99))
    });
    format!("{{{}}}", regimes.collect::<Vec<_>>().join(","))
}
