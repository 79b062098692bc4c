//! From memory: decode and track without a broker, and the cost of a pending version.

use std::time::Instant;

use afterimage::decode::{self, Understood};
use afterimage::engine::{Engine, Input, Options};
use afterimage::model::{Position, Tick};

use crate::record::{NoImages, Tracker, batch};

const CHANGES: u64 = 1_000_000;
const BATCH: u64 = 4096;

/// One core: bytes → change → canonical form → tracked version.
pub(crate) fn changes_per_second() {
    let batches: Vec<_> = (0..64).map(|index| batch(index * BATCH, BATCH)).collect();
    let mut decoder = decode::decoder(&decode::Options::default());
    let mut tracker = Tracker::new();
    let mut engine = Engine::new(Options::default(), Box::new(NoImages));
    engine.handle(Input::Assigned { partition: afterimage::model::PartitionId(0), next: 0 }, Tick(0));
    let (mut changes, mut bytes, mut offset) = (0u64, 0u64, 0u64);
    let began = Instant::now();
    'all: loop {
        for batch in &batches {
            for record in batch.records() {
                bytes += record.value.map_or(0, <[u8]>::len) as u64;
                let Understood::Change(change) = decoder.decode("orders", record) else { unreachable!("updates only") };
                let at = Position { partition: afterimage::model::PartitionId(0), offset };
                engine.handle(Input::Change(tracker.track(at, change)), Tick(1));
                offset += 1;
            }
            changes += batch.len() as u64;
            if changes >= CHANGES {
                break 'all;
            }
        }
    }
    let took = began.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "bench": "decode + track from memory", "changes": changes, "bytes_per_record": bytes / changes,
        "changes_per_s_core": (changes as f64 / took).round(),
    });
    println!("{line}");
}

/// Resident memory of a million pending versions of distinct keys, less the keys' own bytes.
pub(crate) fn bytes_per_version() {
    let mut decoder = decode::decoder(&decode::Options::default());
    let mut tracker = Tracker::new();
    let mut engine = Engine::new(Options { memory: usize::MAX, ..Options::default() }, Box::new(NoImages));
    engine.handle(Input::Assigned { partition: afterimage::model::PartitionId(0), next: 0 }, Tick(0));
    let mut key_bytes = 0usize;
    let before = resident();
    for first in (0..CHANGES).step_by(BATCH as usize) {
        let batch = batch(first, BATCH.min(CHANGES - first));
        for record in batch.records() {
            let at = Position { partition: record.partition, offset: record.offset };
            let Understood::Change(change) = decoder.decode("orders", record) else { unreachable!("updates only") };
            let mut tracked = tracker.track(at, change);
            tracked.before = None;
            key_bytes += tracked.key.bytes().len();
            engine.handle(Input::Change(tracked), Tick(1));
        }
    }
    let grown = resident().saturating_sub(before);
    let per_version = (grown.saturating_sub(key_bytes)) as f64 / CHANGES as f64;
    let tally = engine.tally();
    let line = serde_json::json!({
        "bench": "memory", "pending_versions": tally.versions, "resident_bytes": grown, "key_bytes": key_bytes,
        "bytes_per_version_besides_key": per_version.round(),
    });
    println!("{line}");
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).unwrap_or_default() * 1024
}
