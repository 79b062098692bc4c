//! A deterministic simulator of everything around the judge.
//!
//! `cargo test --test sim` runs the kept seeds, then explores new ones for a while (`SIM_SECONDS`).
//! `-- explore --changes N --seed S` explores fresh seeds from S on until it has seen N changes, and ends with one line of JSON.
//! `--settle S`, `--zombie-after S`, `--confirmations N` and `--confirm-after MS` judge the same worlds otherwise.
//! `-- hunt --seconds N --seed S` runs the kept seeds once and fresh ones from S on, and ends at the first that fails.
//! `-- times --seeds N --seed S` measures times to detect in worlds that nothing disturbs.
//! `-- refused --seeds N --seed S` runs appliers of which a group of statements is refused for minutes.
//! `-- rewound --seeds N --seed S` runs worlds whose source is rewound, each of them; `-- leaving …` those whose applier carries
//! some rows alone, `-- truncated …` those whose tables, of one partition, are truncated.
//! `-- seed N` runs one seed and tells what happened, `-- seed N KEY` tells the story of a key; `keys=N`, `changes=N` and
//! `without=PART,…` cut the scenario down; `rewound=yes` rewinds its source, and
//! `leaving=yes` leaves rows out, `truncated=yes` truncates tables, whether or not it was drawn.
#![allow(clippy::print_stdout, reason = "a simulator tells what it ran")]

mod applier;
mod calm;
mod carried;
mod check;
mod cut;
mod damage;
mod detect;
mod guarantee;
mod images;
mod model;
mod plan;
mod record;
mod rewind;
mod rng;
mod settings;
mod source;
mod world;

use std::time::{Duration, Instant};

use check::{Outcome, Property, Violation};
use cut::{Cut, Forced};
use plan::Plan;
use record::Record;
use settings::Settings;

/// Seconds of exploration when nothing else is said.
const EXPLORE: u64 = 60;

/// Failures that are shrunk and told in one exploration; the rest is counted.
const TOLD: usize = 8;

const KEPT: &str = include_str!("seeds/kept.txt");

/// When an exploration ends.
enum Until {
    Changes(usize),
    Passed(Duration),
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let passed = match words.as_slice() {
        ["--list", ..] => {
            println!("sim: test");
            true
        }
        ["seed", seed, rest @ ..] => seed.parse().is_ok_and(|seed| one(seed, rest)),
        ["explore", rest @ ..] => {
            let changes = option(rest, "--changes").unwrap_or(1_000_000);
            explore(
                option(rest, "--seed").unwrap_or(1),
                &Until::Changes(usize::try_from(changes).unwrap_or(usize::MAX)),
                Settings::read(rest),
            )
        }
        ["hunt", rest @ ..] => {
            let seconds = Duration::from_secs(option(rest, "--seconds").unwrap_or(EXPLORE));
            hunt(option(rest, "--seed").unwrap_or(1), seconds)
        }
        ["refused", rest @ ..] => refused(option(rest, "--seed").unwrap_or(1), option(rest, "--seeds").unwrap_or(4)),
        ["rewound", rest @ ..] => forced(Forced::Rewound, rest),
        ["leaving", rest @ ..] => forced(Forced::Leaving, rest),
        ["truncated", rest @ ..] => forced(Forced::Truncated, rest),
        ["ahead", rest @ ..] => ahead(option(rest, "--seed").unwrap_or(1), option(rest, "--seeds").unwrap_or(2)),
        ["times", rest @ ..] => {
            times(option(rest, "--seed").unwrap_or(1), option(rest, "--seeds").unwrap_or(4), rest.last().copied())
        }
        _ => {
            let seconds = Duration::from_secs(environment("SIM_SECONDS", EXPLORE));
            kept() && ahead(1, 1) && explore(environment("SIM_FIRST", 1), &Until::Passed(seconds), Settings::default())
        }
    };
    std::process::exit(i32::from(!passed));
}

fn option(words: &[&str], name: &str) -> Option<u64> {
    let at = words.iter().position(|word| *word == name)?;
    words.get(at + 1)?.parse().ok()
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|word| word.parse().ok()).unwrap_or(default)
}

/// Scenarios that once failed, or that show something: one on a line, as `seed` takes them, with what they showed behind `#`.
fn kept_scenarios() -> impl Iterator<Item = (u64, Cut)> {
    KEPT.lines().filter_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let seed = words.next()?.parse().ok()?;
        let mut cut = Cut::default();
        cut.read(words);
        Some((seed, cut))
    })
}

fn kept() -> bool {
    let mut passed = true;
    for (seed, cut) in kept_scenarios() {
        let plan = Plan { traced: true, ..cut.plan(seed) };
        let outcome = world::run(&plan);
        passed &= told(&plan, &cut, &outcome);
        if world::run(&plan).trace != outcome.trace {
            println!("seed {seed}: two runs differ");
            passed = false;
        }
    }
    passed
}

fn one(seed: u64, words: &[&str]) -> bool {
    let mut cut = Cut::default();
    let rest = cut.read(words.iter().copied());
    let mut plan = cut.plan(seed);
    plan.watch = rest.first().and_then(|key| key.parse().ok());
    if plan.watch.is_none() {
        println!("{plan:#?}");
    }
    let outcome = world::run(&plan);
    let mut record = Record::of(seed);
    record.add(&plan, &outcome);
    println!("{:#?}", outcome.counters);
    println!("{}", record.line());
    told(&plan, &cut, &outcome)
}

/// Runs that end with rows which still wait for a verdict are told and counted; they are late, not wrong. Kept seeds must
/// come to their end.
fn is_late(violation: &Violation) -> bool {
    violation.property == Property::Liveness
}

/// Whether every kept scenario passes, and every fresh seed for so long. A failure ends it as it is, without being shrunk.
fn hunt(first: u64, seconds: Duration) -> bool {
    let elapsed = stopwatch();
    let passes = |(seed, cut): (u64, Cut)| {
        let plan = cut.plan(seed);
        told(&plan, &cut, &world::run(&plan))
    };
    if !kept_scenarios().all(passes) || !ahead(1, 1) {
        return false;
    }
    for seed in first.. {
        if elapsed() >= seconds {
            println!("seeds {first} to {} pass", seed.saturating_sub(1));
            break;
        }
        let plan = Plan::of(seed);
        let outcome = world::run(&plan);
        if !outcome.violations.iter().all(is_late) {
            return told(&plan, &Cut::default(), &outcome);
        }
    }
    true
}

/// Tells how much time went by since now.
#[expect(clippy::disallowed_methods, reason = "the only use of a clock: how long to go on exploring")]
fn stopwatch() -> impl Fn() -> Duration {
    let began = Instant::now();
    move || began.elapsed()
}

fn explore(first: u64, until: &Until, settings: Settings) -> bool {
    let elapsed = stopwatch();
    let mut record = Record::of(first);
    let mut failures = 0;
    for seed in first.. {
        let over = match until {
            Until::Changes(changes) => record.changes >= *changes,
            Until::Passed(time) => elapsed() >= *time,
        };
        if over {
            break;
        }
        let plan = settings.apply(Plan::of(seed));
        let outcome = world::run(&plan);
        record.add(&plan, &outcome);
        if !outcome.violations.is_empty() && outcome.violations.iter().all(is_late) {
            println!("seed {seed}: {}", outcome.violations[0]);
        } else if !outcome.violations.is_empty() {
            failures += 1;
            if failures <= TOLD && settings.are_default() {
                let cut = cut::shrink(seed, &Cut::default(), &outcome);
                let smallest = cut.plan(seed);
                told(&smallest, &cut, &world::run(&smallest));
            } else {
                println!("seed {seed} fails too: {}", outcome.violations[0]);
            }
        }
    }
    println!("{}", record.line());
    failures == 0 && record.count(Property::NoFalseFinding) == 0 && record.count(Property::NothingMissed) == 0
}

/// Times to detect of the undisturbed worlds, one line for each evidence and lag.
fn times(first: u64, seeds: u64, part: Option<&str>) -> bool {
    let mut passed = true;
    let part = part.filter(|word| word.parse::<u64>().is_err()).unwrap_or_default();
    for arm in calm::ARMS.into_iter().filter(|arm| arm.word.contains(part)) {
        for lag in calm::LAGS {
            let mut detections = detect::Detections::default();
            let mut record = Record::of(first);
            for seed in first..first + seeds {
                let plan = calm::plan(arm, lag, seed);
                let outcome = world::run(&plan);
                outcome.violations.iter().for_each(|violation| println!("seed {seed}: {violation}"));
                passed &= outcome.violations.iter().all(is_late);
                detections.add((lag, arm.word, true), &outcome.detections);
                record.add(&plan, &outcome);
            }
            println!("{} {}", detections.json(), record.found());
        }
    }
    passed
}

/// Appliers that break the protocol's assumption about batches. No early finding may be false there; a settled one may be, of
/// rows too few for the group gate to tell, where the refusal outlasts the margin.
fn refused(first: u64, seeds: u64) -> bool {
    let mut record = Record::of(first);
    for arm in calm::ARMS.into_iter().filter(calm::Arm::is_gated) {
        for (lag, seed) in calm::LAGS.into_iter().flat_map(|lag| (first..first + seeds).map(move |seed| (lag, seed))) {
            let plan = calm::refused(arm, lag, seed);
            let outcome = world::run(&plan);
            outcome
                .violations
                .iter()
                .for_each(|violation| println!("{}, {}, seed {seed}: {violation}", arm.word, lag.word()));
            record.add(&plan, &outcome);
        }
    }
    println!("{}", record.line());
    record.count(Property::NoFalseFinding) == 0
}

/// Worlds of one kind, whether or not it was drawn.
fn forced(forced: Forced, words: &[&str]) -> bool {
    let first = option(words, "--seed").unwrap_or(1);
    let seeds = option(words, "--seeds").unwrap_or(200);
    let mut record = Record::of(first);
    let mut failures = 0;
    for seed in first..first + seeds {
        let cut = Cut { forced: vec![forced], ..Cut::default() };
        let outcome = world::run(&cut.plan(seed));
        record.add(&cut.plan(seed), &outcome);
        if outcome.violations.iter().all(is_late) {
            outcome.violations.iter().for_each(|violation| println!("seed {seed}: {violation}"));
            continue;
        }
        failures += 1;
        if failures <= TOLD {
            let cut = cut::shrink(seed, &cut, &outcome);
            let smallest = cut.plan(seed);
            told(&smallest, &cut, &world::run(&smallest));
        } else {
            println!("seed {seed} fails too: {}", outcome.violations[0]);
        }
    }
    println!("{}", record.line());
    failures == 0
}

/// Shares of batches that are committed too early, and milliseconds between their groups.
const AHEAD: [(f64, u64); 3] = [(1.0, 5_000), (0.3, 5_000), (0.03, 100)];

/// Appliers that commit before they write, though they are declared to commit after: the assumption about committed positions
/// that nothing but their history can check. Nothing may be found falsely there.
fn ahead(first: u64, seeds: u64) -> bool {
    let mut passed = true;
    for arm in calm::ARMS.into_iter().filter(calm::Arm::is_committed) {
        for (lag, broken) in calm::LAGS.into_iter().flat_map(|lag| AHEAD.map(|broken| (lag, broken))) {
            let mut record = Record::of(first);
            for seed in first..first + seeds {
                let plan = calm::ahead(arm, lag, broken, seed);
                record.add(&plan, &world::run(&plan));
            }
            let count = record.count(Property::NoFalseFinding);
            if count > 0 {
                println!("{}, {}, {} of batches committed ahead: {count} false", arm.word, lag.word(), broken.0);
            }
            passed &= count == 0;
        }
    }
    passed
}

fn told(plan: &Plan, cut: &Cut, outcome: &Outcome) -> bool {
    if outcome.violations.is_empty() {
        return true;
    }
    println!("seed {} fails ({})", plan.seed, plan.words());
    outcome.violations.iter().for_each(|violation| println!("    {violation}"));
    println!("    reproduce: cargo test --test sim -- seed {}{}", plan.seed, cut.words());
    false
}
