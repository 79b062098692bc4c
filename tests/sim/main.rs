//! A deterministic simulator of everything around the judge.
//!
//! `cargo test --test sim` runs the kept seeds, then explores new ones for a while. `cargo test --test sim -- seed N` runs
//! one seed and tells what happened; `-- seed N KEY` tells the story of a key; `-- explore SECONDS [FIRST]`
//! looks for new ones.

mod applier;
mod check;
mod images;
mod model;
mod plan;
mod rng;
mod source;
mod world;

use std::time::Duration;

use check::Outcome;
use plan::Plan;

/// Seconds of exploration when nothing else is said.
const EXPLORE: u64 = 20;

const KEPT: &str = include_str!("seeds/kept.txt");

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let passed = match words.first().map(String::as_str) {
        Some("--list") => {
            println!("sim: test");
            true
        }
        Some("seed") => number(1).is_some_and(|seed| one(seed, number(2))),
        Some("explore") => explore(number(1).unwrap_or(EXPLORE), number(2).unwrap_or(1)),
        Some(_) | None => kept() && explore(environment("SIM_SECONDS", EXPLORE), environment("SIM_FIRST", 1)),
    };
    std::process::exit(i32::from(!passed));
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|word| word.parse().ok()).unwrap_or(default)
}

/// Seeds that once failed, or that show something: one on a line, with what it showed.
fn kept() -> bool {
    let seeds = KEPT.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let mut passed = true;
    for seed in seeds {
        let plan = Plan::of(seed);
        let outcome = world::run(&plan);
        passed &= told(&plan, &outcome);
        let again = world::run(&plan);
        if again.trace != outcome.trace {
            println!("seed {seed}: two runs differ");
            passed = false;
        }
    }
    passed
}

fn one(seed: u64, watch: Option<u64>) -> bool {
    let mut plan = Plan::of(seed);
    plan.watch = watch.and_then(|key| u32::try_from(key).ok());
    if watch.is_none() {
        println!("{plan:#?}");
    }
    let outcome = world::run(&plan);
    println!("{}", summary(&outcome));
    println!("{:#?}", outcome.counters);
    told(&plan, &outcome)
}

#[expect(clippy::disallowed_methods, reason = "the only use of a clock: how long to go on exploring")]
fn explore(seconds: u64, first: u64) -> bool {
    let began = std::time::Instant::now();
    let mut passed = true;
    let mut sum = Outcome::default();
    let mut runs = 0;
    for seed in first.. {
        if began.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        let plan = Plan::of(seed);
        let outcome = world::run(&plan);
        passed &= told(&plan, &outcome);
        runs += 1;
        sum.changes += outcome.changes;
        sum.losses += outcome.losses;
        sum.guaranteed += outcome.guaranteed;
        sum.found += outcome.found;
        sum.findings += outcome.findings;
        sum.early += outcome.early;
        sum.stalls += outcome.stalls;
        sum.groups += outcome.groups;
        sum.frozen += outcome.frozen;
        sum.detected.extend(outcome.detected);
        sum.counters.reads += outcome.counters.reads;
    }
    sum.detected.sort_unstable();
    println!("{runs} seeds from {first}: {}", summary(&sum));
    passed
}

fn summary(outcome: &Outcome) -> String {
    let share = |part: usize| outcome.detected.get(outcome.detected.len() * part / 100).map_or(0, |ms| ms / 1000);
    format!(
        "{} changes, {} losses ({} guaranteed, {} found), {} findings ({} first early), {} stalls, {} groups, {} freezes, \
         {:.2} reads a change, found after {}/{}/{} s (p50/p90/p99)",
        outcome.changes,
        outcome.losses,
        outcome.guaranteed,
        outcome.found,
        outcome.findings,
        outcome.early,
        outcome.stalls,
        outcome.groups,
        outcome.frozen,
        outcome.counters.reads as f64 / outcome.changes.max(1) as f64,
        share(50),
        share(90),
        share(99),
    )
}

fn told(plan: &Plan, outcome: &Outcome) -> bool {
    if outcome.violations.is_empty() {
        return true;
    }
    println!("seed {} fails ({})", plan.seed, plan.words());
    outcome.violations.iter().for_each(|violation| println!("    {violation}"));
    println!("    reproduce: cargo test --test sim -- seed {}", plan.seed);
    false
}
