//! What was told against what is true. Pure.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::model::Wall;
use afterimage::model::finding::{Proof, State};
use serde_json::{Value, json};

use crate::plant::Age;
use crate::rules::{Outcome, is_sampled};
use crate::sidecar::Told;
use crate::truth::{Hand, Truth, Wrong};
use crate::wall::seconds;

/// The sidecar's score.
#[derive(Debug, Default)]
pub(crate) struct Score {
    /// Findings about rows that were opened, and those of them that were false, by proof.
    pub(crate) by_proof: BTreeMap<&'static str, (u64, u64)>,
    /// For each wrong row in turn: when a finding was opened for it.
    pub(crate) found: BTreeMap<usize, Wall>,
    pub(crate) wrong_kind: Vec<String>,
    pub(crate) wrong_cause: BTreeMap<String, u64>,
    pub(crate) wrong_place: Vec<String>,
    pub(crate) falsely: Vec<String>,
    /// Findings about anything but a row, by kind.
    pub(crate) others: BTreeMap<&'static str, u64>,
    /// Rows suspected and never told.
    pub(crate) suspected: u64,
}

impl Score {
    pub(crate) fn of(truth: &Truth, told: &[Told]) -> Score {
        let mut score = Score::default();
        for one in told {
            let document = &one.document;
            if !document.is_about_row() {
                *score.others.entry(document.kind.word()).or_default() += 1;
            } else if one.is_opened() {
                score.take(truth, one);
            } else {
                score.suspected += 1;
            }
        }
        score
    }

    fn take(&mut self, truth: &Truth, told: &Told) {
        let document = &told.document;
        let proof = document.proof.map_or("none", Proof::word);
        let count = self.by_proof.entry(proof).or_default();
        count.0 += 1;
        let read = document.observed.as_ref().map_or(document.last_seen, |observed| observed.at);
        let row = told.row();
        let covering = row.as_ref().map(|row| truth.of(row, document.first_seen, document.first_seen.max(read)));
        let covering = covering.unwrap_or_default();
        let place = told.place();
        let named = |index: &&usize| place.as_ref().is_some_and(|place| truth.all[**index].places.contains(place));
        let best = covering.iter().find(named).or(covering.first());
        let Some(index) = best.filter(|_| document.state != State::Retracted) else {
            count.1 += 1;
            self.falsely.push(sentence(told));
            return;
        };
        let wrong = &truth.all[*index];
        let at = told.at.unwrap_or(read);
        let known = self.found.entry(*index).or_insert(at);
        *known = (*known).min(at);
        if !wrong.kinds.contains(&document.kind) {
            self.wrong_kind.push(format!("{:?}: {}", wrong.kinds, sentence(told)));
        }
        if !place.is_some_and(|place| wrong.places.contains(&place)) {
            self.wrong_place.push(format!("{:?}: {}", wrong.places, sentence(told)));
        }
        if let Some(cause) = wrong.cause.filter(|cause| *cause != document.cause) {
            *self.wrong_cause.entry(format!("{cause} told as {}", document.cause)).or_default() += 1;
        }
    }

    /// Wrong rows that never heal and nobody was told of, as sentences.
    pub(crate) fn missed(&self, truth: &Truth) -> Vec<String> {
        let missed = truth.all.iter().enumerate().filter(|(index, wrong)| {
            wrong.until.is_none() && wrong.hand != Hand::Planter(Age::Forgotten) && !self.found.contains_key(index)
        });
        missed.map(|(_, wrong)| format!("{wrong:?}")).collect()
    }

    /// The record's part about the sidecar. `earliest` is in seconds: from the loss to when anybody could have known.
    pub(crate) fn to_json(&self, truth: &Truth, earliest: f64) -> Value {
        let opened: u64 = self.by_proof.values().map(|count| count.0).sum();
        let falsely: u64 = self.by_proof.values().map(|count| count.1).sum();
        let by_proof = self.by_proof.iter().map(|(proof, (all, falsely))| {
            ((*proof).to_owned(), json!({ "opened": all, "false": falsely, "precision": share(all - falsely, *all) }))
        });
        let class = |wanted: &dyn Fn(&Wrong) -> bool| self.class(truth, earliest, wanted);
        json!({
            "opened": opened,
            "false": falsely,
            "precision": share(opened - falsely, opened),
            "by_proof": by_proof.collect::<serde_json::Map<_, _>>(),
            "lost": class(&|wrong| wrong.hand == Hand::Applier && wrong.until.is_none()),
            "healed": class(&|wrong| wrong.hand == Hand::Applier && wrong.until.is_some()),
            "planted": class(&|wrong| wrong.hand == Hand::Planter(Age::Watched)),
            "planted_forgotten": class(&|wrong| wrong.hand == Hand::Planter(Age::Forgotten)),
            "wrong_kind": self.wrong_kind.len(),
            "wrong_cause": self.wrong_cause.values().sum::<u64>(),
            "wrong_causes": self.wrong_cause,
            "wrong_offset": self.wrong_place.len(),
            "suspected": self.suspected,
            "not_of_rows": self.others,
            "by_kind": self.by_kind(truth),
        })
    }

    fn class(&self, truth: &Truth, earliest: f64, wanted: &dyn Fn(&Wrong) -> bool) -> Value {
        let class = Class::of(truth, &self.found, wanted);
        let mut json = class.to_json();
        json["p50_over_earliest"] = class.times.at(50).map(|p50| rounded(p50 / earliest)).into();
        json
    }

    /// Rows that never heal, by what they are.
    fn by_kind(&self, truth: &Truth) -> Value {
        let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let standing = |wrong: &Wrong| wrong.until.is_none() && wrong.hand != Hand::Planter(Age::Forgotten);
        for (index, wrong) in truth.all.iter().enumerate().filter(|(_, wrong)| standing(wrong)) {
            let name = wrong.kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(" or ");
            let count = kinds.entry(name).or_default();
            count.0 += 1;
            count.1 += u64::from(self.found.contains_key(&index));
        }
        kinds.into_iter().map(|(kind, (all, found))| (kind, json!({ "all": all, "found": found }))).collect()
    }
}

/// The record's part about another rule. `share_judged` of the keys were judged by it, `changes` of them.
pub(crate) fn rival(truth: &Truth, outcome: &Outcome, share_judged: u64, changes: u64) -> Value {
    let (mut found, mut rightly): (BTreeMap<usize, Wall>, u64) = (BTreeMap::new(), 0);
    for alarm in &outcome.alarms {
        let covering = truth.of(&alarm.row, alarm.from, alarm.at);
        rightly += u64::from(!covering.is_empty());
        for index in covering {
            let known = found.entry(index).or_insert(alarm.at);
            *known = (*known).min(alarm.at);
        }
    }
    let judged = |wrong: &Wrong| {
        wrong.until.is_none()
            && is_sampled(&wrong.row, share_judged)
            && outcome.looked_at.is_none_or(|looked_at| wrong.from <= looked_at)
    };
    let class =
        |wanted: &dyn Fn(&Wrong) -> bool| Class::of(truth, &found, &|wrong| judged(wrong) && wanted(wrong)).to_json();
    let rows: BTreeSet<_> = outcome.alarms.iter().map(|alarm| &alarm.row).collect();
    let alarms = outcome.alarms.len() as u64;
    json!({
        "rule": outcome.name,
        "share_of_keys_per_cent": share_judged,
        "alarms": alarms,
        "rows": rows.len(),
        "false": alarms - rightly,
        "precision": share(rightly, alarms),
        "lost": class(&|wrong| wrong.hand == Hand::Applier),
        "planted": class(&|wrong| wrong.hand == Hand::Planter(Age::Watched)),
        "reads_per_change": (changes > 0).then(|| rounded(outcome.reads as f64 / changes as f64)),
    })
}

/// Some of the wrong rows.
struct Class {
    all: usize,
    /// From when it was wrong until it was told, of each that was.
    times: Times,
}

impl Class {
    fn of(truth: &Truth, found: &BTreeMap<usize, Wall>, wanted: &dyn Fn(&Wrong) -> bool) -> Class {
        let of_class = || truth.all.iter().enumerate().filter(|(_, wrong)| wanted(wrong));
        let times = of_class().filter_map(|(index, wrong)| Some(seconds(wrong.from, *found.get(&index)?)));
        Class { all: of_class().count(), times: Times::new(times.collect()) }
    }

    fn to_json(&self) -> Value {
        let found = self.times.0.len() as u64;
        json!({
            "all": self.all, "found": found, "recall": share(found, self.all as u64), "ttd_s": self.times.to_json(),
        })
    }
}

/// Seconds, shortest first.
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn new(mut times: Vec<f64>) -> Times {
        times.sort_by(f64::total_cmp);
        Times(times)
    }

    pub(crate) fn at(&self, per_cent: usize) -> Option<f64> {
        let rank = (self.0.len() * per_cent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied()
    }

    pub(crate) fn to_json(&self) -> Value {
        let at = |per_cent| self.at(per_cent).map(rounded);
        json!({ "p50": at(50), "p99": at(99), "max": at(100) })
    }
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| (part as f64 / all as f64 * 1e5).floor() / 1e5)
}

pub(crate) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn sentence(told: &Told) -> String {
    serde_json::to_string(&told.document).unwrap_or_default()
}
