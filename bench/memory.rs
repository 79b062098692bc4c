//! From memory: decode and track without a broker, and the cost of a pending version.

use std::time::Instant;

use afterimage::decode::{self, Decoder, Understood};
use afterimage::engine::{Engine, Input, Options};
use afterimage::model::{Batch, Position, Tick};

use crate::process::resident;
use crate::record::{NoImages, SHARED, Tracker, batch, batch_of};

pub(crate) const CHANGES: u64 = 1_000_000;
pub(crate) const BATCH: u64 = 4096;

/// Batches that are read again and again: more than a processor keeps near itself.
pub(crate) const BATCHES: u64 = 64;

/// How far a change goes in a measurement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing is understood: what the JSON library takes to skip the text.
    Skipped,
    Decoded,
    /// The same, of three tables in turn.
    DecodedInTurn,
    Canonical,
    Tracked,
}

/// One core: bytes → change → canonical form → tracked version, and what each stage takes of it.
pub(crate) fn changes_per_second() {
    let rate = |stage| (0..3).map(|_| run(stage)).fold(0.0, f64::max);
    let (skipped, decoded) = (rate(Stage::Skipped), rate(Stage::Decoded));
    let in_turn = rate(Stage::DecodedInTurn);
    let (canonical, tracked) = (rate(Stage::Canonical), rate(Stage::Tracked));
    let line = serde_json::json!({
        "bench": "decode + track from memory", "changes": CHANGES, "bytes_per_record": bytes_per_record(),
        "skipped_per_s_core": skipped.round(), "decoded_per_s_core": decoded.round(), "three_tables_in_turn_decoded_per_s_core": in_turn.round(),
        "canonical_per_s_core": canonical.round(),
        "changes_per_s_core": tracked.round(),
    });
    println!("{line}");
}

fn bytes_per_record() -> usize {
    batch(0, BATCH).records().map(|record| record.value.map_or(0, <[u8]>::len)).sum::<usize>() / BATCH as usize
}

/// Changes per second up to a stage.
fn run(stage: Stage) -> f64 {
    let tables = if stage == Stage::DecodedInTurn { &SHARED[..] } else { &SHARED[..1] };
    let batches: Vec<_> = (0..BATCHES).map(|index| batch_of(tables, index * BATCH, BATCH)).collect();
    rate(stage, &batches, &mut *decode::decoder(&decode::Options::default()))
}

/// Changes per second up to a stage, of these batches over and over.
pub(crate) fn rate(stage: Stage, batches: &[Batch], decoder: &mut dyn Decoder) -> f64 {
    let mut tracker = Tracker::new();
    let mut engine = Engine::new(Options::default(), Box::new(NoImages));
    engine.handle(Input::Assigned { partition: afterimage::model::PartitionId(0), next: 0 }, Tick(0));
    let mut offset = 0u64;
    let began = Instant::now();
    for batch in batches.iter().cycle() {
        for record in batch.records() {
            offset += 1;
            if stage == Stage::Skipped {
                let text = std::str::from_utf8(record.value.unwrap_or_default()).expect("updates are texts");
                std::hint::black_box(serde_json::from_str::<serde::de::IgnoredAny>(text).expect("updates are JSON"));
                continue;
            }
            let Ok(Understood::Change(change)) = decoder.decode("orders", record) else { unreachable!("updates only") };
            let at = Position { partition: afterimage::model::PartitionId(0), offset: offset - 1 };
            if stage <= Stage::DecodedInTurn {
                std::hint::black_box(change);
                continue;
            }
            let tracked = tracker.track(at, change);
            if stage == Stage::Canonical {
                std::hint::black_box(tracked);
                continue;
            }
            engine.handle(Input::Change(tracked), Tick(1));
        }
        if offset >= CHANGES {
            break;
        }
    }
    offset as f64 / began.elapsed().as_secs_f64()
}

/// Resident memory of pending versions of distinct keys, less the keys' own bytes, as they become more: tables that double now
/// and then are at their emptiest after 1,000,000 and again after 2,000,000. What each further version costs between those two
/// is what does not depend on where a process began.
pub(crate) fn bytes_per_version() {
    let mut decoder = decode::decoder(&decode::Options::default());
    let mut tracker = Tracker::new();
    let mut engine = Engine::new(Options { memory: usize::MAX, ..Options::default() }, Box::new(NoImages));
    engine.handle(Input::Assigned { partition: afterimage::model::PartitionId(0), next: 0 }, Tick(0));
    let mut key_bytes = 0usize;
    // What records take while they are read is there before anything is kept.
    drop(batch(0, BATCH));
    let before = resident(std::process::id());
    let mut per_version = std::collections::BTreeMap::new();
    for first in (0..2 * CHANGES).step_by(BATCH as usize) {
        let batch = batch(first, BATCH);
        for record in batch.records() {
            let at = Position { partition: record.partition, offset: record.offset };
            let Ok(Understood::Change(change)) = decoder.decode("orders", record) else { unreachable!("updates only") };
            let mut tracked = tracker.track(at, change);
            tracked.before = None;
            key_bytes += tracked.key.bytes().len();
            engine.handle(Input::Change(tracked), Tick(1));
        }
        let versions = first + BATCH;
        if versions % (CHANGES / 4) < BATCH && versions >= CHANGES {
            let grown = resident(std::process::id()).saturating_sub(before);
            let besides = grown.saturating_sub(key_bytes) as f64 / versions as f64;
            per_version.insert(engine.tally().versions, besides.round());
        }
    }
    let mean = per_version.values().sum::<f64>() / per_version.len() as f64;
    let total = |(versions, besides): (&usize, &f64)| (*versions as f64, *versions as f64 * besides);
    let (first, last) = (per_version.iter().next().map(total), per_version.iter().next_back().map(total));
    let further = first.zip(last).map(|(first, last)| ((last.1 - first.1) / (last.0 - first.0)).round());
    let line = serde_json::json!({
        "bench": "memory", "key_bytes": key_bytes as u64 / engine.tally().versions as u64,
        "bytes_per_version_besides_key": per_version, "mean": mean.round(), "each_further": further,
    });
    println!("{line}");
}
