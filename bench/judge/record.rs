//! The record of one regime: one JSON object.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::applier::RATES;
use crate::book::Book;
use crate::check::Check;
use crate::cost::Seconds;
use crate::drive::Written;
use crate::options::Options;
use crate::rules::Outcome;
use crate::score::{Score, Times, rival, rounded};
use crate::sidecar::{POLL, Sidecar, Told};
use crate::truth::Truth;
use crate::wall::seconds;

/// What the sidecar says it did, and what it used.
pub(crate) struct SidecarCost {
    reads: f64,
    transients: f64,
    retractions: f64,
    cpu_s: f64,
    resident_bytes: usize,
}

impl SidecarCost {
    pub(crate) async fn of(sidecar: &Sidecar) -> SidecarCost {
        let (cpu_s, resident_bytes) = sidecar.cost();
        SidecarCost {
            reads: sidecar.metric("afterimage_target_batch_keys_sum").await.unwrap_or(f64::NAN),
            transients: sidecar.metric("afterimage_transients_total").await.unwrap_or(f64::NAN),
            retractions: sidecar.metric("afterimage_retractions_total").await.unwrap_or(f64::NAN),
            cpu_s,
            resident_bytes,
        }
    }
}

/// Everything that one regime came to.
pub(crate) struct Regime<'a> {
    pub(crate) options: &'a Options,
    pub(crate) written: &'a Written,
    pub(crate) book: &'a Book,
    pub(crate) truth: &'a Truth,
    pub(crate) score: &'a Score,
    pub(crate) rivals: &'a [Outcome],
    pub(crate) judged_changes: u64,
    pub(crate) target_cpu: Seconds,
    pub(crate) sidecar: SidecarCost,
    pub(crate) check: &'a Check,
}

impl Regime<'_> {
    /// From the loss to when anybody could have known by the applier's committed offsets: half the time between two commits, as
    /// the last one may be that old, and the time between two looks at them.
    fn earliest(&self) -> f64 {
        self.options.window_ms as f64 / 2000.0 + POLL.as_secs_f64()
    }

    pub(crate) fn to_json(&self) -> Value {
        let Regime { options, written, book, .. } = self;
        let counts = book.counts;
        let took = seconds(written.began, written.ended);
        let (writing, lag) = (times(&book.writing_ms), times(&book.lag_ms));
        json!({
            "bench": "judge",
            "lag_s": options.lag_s,
            "seed": options.seed,
            "window_ms": options.window_ms,
            "faults_per_mille_of_windows": {
                "restart": RATES.restart, "torn_update": RATES.torn_update, "skipped_batch": RATES.skipped_batch,
            },
            "changes": written.changes,
            "changes_with_the_rest": counts.changes,
            "load_s": rounded(took),
            "changes_per_s": (written.changes as f64 / took).round(),
            "windows": counts.windows,
            "restarts": counts.restarts,
            "lag_seen_s": lag,
            "write_to_commit_s": writing,
            "earliest_s": rounded(self.earliest()),
            "afterimage": self.score.to_json(self.truth, self.earliest()),
            "sidecar": self.sidecar(),
            "target_cpu_s": self.target_cpu.iter().map(|(name, used)| (name.clone(), rounded(*used).into())).collect::<serde_json::Map<_, _>>(),
            "rules": self.rivals.iter().map(|outcome| self.rival(outcome)).collect::<Vec<_>>(),
            "check": {
                "rows_that_differ": self.check.differing,
                "unknown": self.check.unknown.len(),
                "unreal": self.check.unreal.len(),
            },
        })
    }

    fn sidecar(&self) -> Value {
        let cost = &self.sidecar;
        json!({
            "reads": cost.reads,
            "reads_per_change": rounded(cost.reads / self.book.counts.changes as f64),
            "transients": cost.transients,
            "retractions": cost.retractions,
            "cpu_s": rounded(cost.cpu_s),
            "resident_bytes": cost.resident_bytes,
        })
    }

    /// reladiff sees every key; what it reads cannot be counted in rows.
    fn rival(&self, outcome: &Outcome) -> Value {
        let is_timed = outcome.reads > 0;
        let share = if is_timed { self.options.share } else { 100 };
        rival(self.truth, outcome, share, if is_timed { self.judged_changes } else { 0 })
    }
}

fn times(milliseconds: &[i64]) -> Value {
    Times::new(milliseconds.iter().map(|one| *one as f64 / 1000.0).collect()).to_json()
}

/// Keeps what a person needs who looks at a regime more closely.
pub(crate) fn keep(path: &Path, options: &Options, truth: &Truth, score: &Score, told: &[Told], log: &Path) {
    let mut text = String::new();
    let mut part = |title: &str, lines: &[String]| {
        writeln!(text, "== {title}: {}", lines.len()).expect("a string takes all");
        lines.iter().for_each(|line| writeln!(text, "{line}").expect("a string takes all"));
    };
    part("false", &score.falsely);
    part("missed", &score.missed(truth));
    part("wrong kind", &score.wrong_kind);
    part("wrong offset", &score.wrong_place);
    part("wrong rows", &truth.all.iter().map(|wrong| format!("{wrong:?}")).collect::<Vec<_>>());
    let told: Vec<String> = told
        .iter()
        .map(|one| format!("{:?} {}", one.at, serde_json::to_string(&one.document).unwrap_or_default()))
        .collect();
    part("told", &told);
    fs::create_dir_all(path).expect("a directory");
    fs::write(path.join(format!("lag-{}.txt", options.lag_s)), text).expect("a file");
    fs::copy(log, path.join(format!("lag-{}.log", options.lag_s))).expect("a file");
}
