//! Worlds in which nothing but the lag and the applier's own mistakes is in the way, one for each evidence and lag: by
//! them times to detect are compared, with one another and with the protocol's.

use std::time::Duration;

use afterimage::engine::Options;
use afterimage::engine::limit::{Applier, Commits, Evidence, Margin};

use crate::plan::{Lag, Mode, Plan, SECOND, Skew, Workers, Wrongs};
use crate::rng::Rng;

/// What is varied: the evidence, the interval of commits (0: with each batch, in its transaction), and the shape of the
/// applier's batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arm {
    pub(crate) word: &'static str,
    mode: Mode,
    heartbeat: bool,
    commits: u64,
    shape: Applier,
}

impl Arm {
    /// Whether positions convict that are committed after the rows.
    pub(crate) fn is_committed(&self) -> bool {
        self.mode == Mode::Committed && self.commits > 0
    }

    /// Whether causal watermarks alone convict, under batches that are no transactions.
    pub(crate) fn is_gated(&self) -> bool {
        self.mode != Mode::Committed && self.shape == Applier::Batch
    }
}

const fn arm(word: &'static str, mode: Mode, heartbeat: bool, commits: u64, shape: Applier) -> Arm {
    Arm { word, mode, heartbeat, commits, shape }
}

pub(crate) const ARMS: [Arm; 11] = [
    arm("heartbeat, transactional", Mode::Heartbeat, true, 20, Applier::Transactional),
    arm("heartbeat, batch", Mode::Heartbeat, true, 20, Applier::Batch),
    arm("inferred, transactional", Mode::Inferred, false, 20, Applier::Transactional),
    arm("inferred, batch", Mode::Inferred, false, 20, Applier::Batch),
    arm("exact", Mode::Committed, false, 0, Applier::Transactional),
    arm("after_write c=5", Mode::Committed, false, 5, Applier::Batch),
    arm("after_write c=60", Mode::Committed, false, 60, Applier::Batch),
    arm("after_write+heartbeat c=5", Mode::Committed, true, 5, Applier::Batch),
    arm("after_write+heartbeat c=60", Mode::Committed, true, 60, Applier::Batch),
    arm("unknown+heartbeat c=60, transactional", Mode::UnknownCommitsAndHeartbeat, true, 60, Applier::Transactional),
    arm("unknown+heartbeat c=60, batch", Mode::UnknownCommitsAndHeartbeat, true, 60, Applier::Batch),
];

pub(crate) const LAGS: [Lag; 4] = [Lag::None, Lag::Seconds, Lag::HalfMinute, Lag::TenMinutes];

/// Heartbeats every 5 s, R = 30 s, ten changes a second on 3000 keys: the protocol's own measure.
pub(crate) fn plan(arm: Arm, lag: Lag, seed: u64) -> Plan {
    let transactional = arm.shape == Applier::Transactional;
    let committed = matches!(arm.mode, Mode::Committed | Mode::UnknownCommitsAndHeartbeat);
    let slow = lag == Lag::TenMinutes;
    let evidence =
        Evidence { committed, heartbeat: arm.heartbeat, inferred: arm.mode == Mode::Inferred, assumed: false };
    Plan {
        lag,
        mode: arm.mode,
        order: afterimage::engine::limit::Order::Partition,
        wrongs: wrongs(arm.mode),
        partitions: if committed { 6 } else { 1 },
        keys: 3000,
        changes: if slow { 15_000 } else { 10_000 },
        every: if slow { 400 } else { 100 },
        skew: Skew::Zipf,
        workers: Workers::Partitions,
        partial: 0.0,
        before_images: true,
        batches: !transactional,
        batch_most: if committed { 60 } else { 10_000 },
        window: if transactional { 50 } else { 1_000 },
        group_gap: if transactional { 0 } else { 100 },
        checkpoint: arm.commits * SECOND,
        exact: arm.commits == 0,
        stalls: 0.0,
        source_log: false,
        tap_delay: 5,
        heartbeat: arm.heartbeat.then_some(5 * SECOND),
        failed_reads: 0.01,
        slow_consumption: false,
        our_crashes: 0,
        rebalances: 0,
        images: 100_000,
        generations: true,
        options: Options {
            evidence,
            commits: if arm.mode == Mode::Committed { Commits::AfterWrite } else { Commits::Unknown },
            applier: arm.shape,
            settle: Margin::Stated(Duration::from_secs(30)),
            ..Options::default()
        },
        ..Plan::plain(seed, &mut Rng::new(seed))
    }
}

fn wrongs(mode: Mode) -> Wrongs {
    Wrongs {
        insert_update: 0.05,
        insert_delete: 0.05,
        delete_insert: 0.05,
        update_merge: 0.01,
        skipped: 0.001,
        no_delete: 0.003,
        torn: 0.003,
        // What nobody wrote to the tap ends what rows alone can prove.
        foreign: if mode == Mode::Inferred { 0.0 } else { 0.001 },
        ..Wrongs::default()
    }
}

/// An applier that loses nothing, and commits some batches before it writes them, though it is declared to commit after.
pub(crate) fn ahead(arm: Arm, lag: Lag, (share, group_gap): (f64, u64), seed: u64) -> Plan {
    let commits_ahead = Some((share, 10 * SECOND));
    Plan { wrongs: Wrongs::default(), commits_ahead, group_gap, ..plan(arm, lag, seed) }
}

/// An applier that loses nothing, and of whose batches the last group is refused for minutes while newer changes join them:
/// the watermark creeps over rows that are only late. Only the group gate can tell.
pub(crate) fn refused(arm: Arm, lag: Lag, seed: u64) -> Plan {
    Plan { wrongs: Wrongs::default(), refusals: 0.01, every: 100, changes: 10_000, ..plan(arm, lag, seed) }
}
