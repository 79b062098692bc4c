//! What one seed stands for: the whole scenario is drawn here, so that a seed and nothing else names a run.

use std::time::Duration;

use afterimage::engine::Options;
use afterimage::engine::limit::{Applier, Commits, Evidence, Margin, Order};

use crate::rng::Rng;

pub(crate) const SECOND: u64 = 1000;

/// Which evidence the judge is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Committed,
    UnknownCommitsAndHeartbeat,
    Heartbeat,
    Inferred,
    Assumed,
}

/// How far the applier is behind the tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lag {
    None,
    Seconds,
    HalfMinute,
    TenMinutes,
    Wandering,
    Stalled,
}

impl Lag {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Lag::None => "0s",
            Lag::Seconds => "2s",
            Lag::HalfMinute => "30s",
            Lag::TenMinutes => "10min",
            Lag::Wandering => "wandering",
            Lag::Stalled => "stalled",
        }
    }

    /// Milliseconds between which the lag is drawn anew from time to time.
    pub(crate) fn range(self) -> (u64, u64) {
        match self {
            Lag::None => (0, 200),
            Lag::Seconds | Lag::Stalled => (1_000, 3_000),
            Lag::HalfMinute => (10_000, 50_000),
            Lag::TenMinutes => (300_000, 900_000),
            Lag::Wandering => (0, 120_000),
        }
    }
}

/// The applier carries some rows of every table; what it does with a change that leaves a row outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It drops the change, so that the row stays as it was.
    Drops,
    /// It takes the row away.
    Removes,
}

/// Which keys change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skew {
    Uniform,
    Zipf,
    /// Every tenth change, or every third, is of one key.
    OneHot(u8),
}

/// What a second writer puts on the target, now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// Rows that no change ever wrote.
    Junk,
    /// Rows of changes that the applier has still to apply.
    Future,
}

/// How the applier's workers share the tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    Partitions,
    One,
    Tables,
    Keys(u8),
}

/// What the applier does wrong, as probabilities for each key of a batch (the last two: for each batch).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Wrongs {
    pub(crate) insert_update: f64,
    pub(crate) insert_delete: f64,
    pub(crate) delete_insert: f64,
    pub(crate) update_merge: f64,
    pub(crate) skipped: f64,
    pub(crate) no_delete: f64,
    pub(crate) torn: f64,
    pub(crate) foreign: f64,
    pub(crate) batch_skipped: f64,
    pub(crate) crash: f64,
}

/// A source that goes on from where it stood a while ago, all times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rewind {
    pub(crate) at: u64,
    pub(crate) back: u64,
    /// Until it goes on.
    pub(crate) takes: u64,
    /// The target is set back with it, and the applier never sees what was taken back.
    pub(crate) restored: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) mode: Mode,
    pub(crate) order: Order,
    pub(crate) lag: Lag,
    pub(crate) wrongs: Wrongs,
    pub(crate) partitions: u16,
    pub(crate) keys: u32,
    pub(crate) changes: usize,
    /// Milliseconds between changes, on average.
    pub(crate) every: u64,
    pub(crate) skew: Skew,
    pub(crate) workers: Workers,
    pub(crate) second: Option<Second>,
    /// Probabilities for each change of the source.
    pub(crate) truncates: f64,
    /// The applier passes truncates over.
    pub(crate) drops_truncates: bool,
    pub(crate) duplicated: f64,
    pub(crate) unreadable: f64,
    pub(crate) clock_steps: f64,
    /// Probability that a record is told once more.
    pub(crate) redelivered: f64,
    /// Probability that a partition that is given out has lost its next records.
    pub(crate) gaps: f64,
    /// We read a replica, so far behind, in milliseconds.
    pub(crate) replica: Option<(u64, u64)>,
    /// How often a row that was verified is changed behind our back.
    pub(crate) damages: u32,
    /// How often the columns of a table change on the target.
    pub(crate) replans: u32,
    /// The applier carries some rows of every table.
    pub(crate) leaving: Option<Leaving>,
    /// The source is rewound.
    pub(crate) rewind: Option<Rewind>,
    /// The target has a constraint that some rows break, whoever writes them.
    pub(crate) rejected: bool,
    /// What crashes goes on writing for a while, though another member took over.
    pub(crate) zombies: bool,
    pub(crate) partial: f64,
    pub(crate) before_images: bool,
    /// Merges a window's changes of a key and shows groups one after another; else one transaction a batch.
    pub(crate) batches: bool,
    pub(crate) batch_most: usize,
    pub(crate) window: u64,
    pub(crate) group_gap: u64,
    /// Interval of the applier's checkpoints and commits.
    pub(crate) checkpoint: u64,
    /// How old a checkpoint may be from which a crash applies again, twice over: what the margin R is for.
    pub(crate) reach: u64,
    pub(crate) stalls: f64,
    /// Probability that a batch's last statements are refused for a while, and the batch is formed anew with newer changes.
    pub(crate) refusals: f64,
    /// Which batches are committed before they are written, and up to how many milliseconds.
    pub(crate) commits_ahead: Option<(f64, u64)>,
    /// The applier keeps its position in the target, and moves it in the transaction that writes the rows.
    pub(crate) exact: bool,
    /// The applier reads the source's log itself, ahead of the tap.
    pub(crate) source_log: bool,
    pub(crate) tap_delay: u64,
    pub(crate) heartbeat: Option<u64>,
    pub(crate) failed_reads: f64,
    pub(crate) slow_consumption: bool,
    pub(crate) our_crashes: u32,
    pub(crate) rebalances: u32,
    pub(crate) images: usize,
    pub(crate) generations: bool,
    /// The key whose story is told while the run goes on.
    pub(crate) watch: Option<u32>,
    /// Every input and output goes into the trace; costs most of a run's time.
    pub(crate) traced: bool,
    pub(crate) options: Options,
}

/// Milliseconds between heartbeats.
const HEARTBEATS: [u64; 3] = [2 * SECOND, 5 * SECOND, 15 * SECOND];

impl Plan {
    pub(crate) fn of(seed: u64) -> Plan {
        let rng = &mut Rng::new(seed);
        let plan = Plan::plain(seed, rng).widened(rng).fitting().patrolled(&mut Rng::new(seed ^ 0x50_41_54_52));
        let plan = plan.evidenced(&mut Rng::new(seed ^ 0x45_56_49_44)).replanned(&mut Rng::new(seed ^ 0x50_4c_41_4e));
        let plan = plan.rewound(&mut Rng::new(seed ^ 0x52_45_57_44), 0.05);
        plan.carrying(&mut Rng::new(seed ^ 0x43_41_52_52), 0.1)
    }

    /// Without the rarer models.
    pub(crate) fn plain(seed: u64, rng: &mut Rng) -> Plan {
        let modes = [Mode::Committed, Mode::UnknownCommitsAndHeartbeat, Mode::Heartbeat, Mode::Inferred, Mode::Assumed];
        let mode = *rng.pick(&modes);
        let source_log = matches!(mode, Mode::Heartbeat | Mode::Inferred) && rng.chance(0.3);
        let pipeline = source_log || (matches!(mode, Mode::Heartbeat | Mode::Inferred) && rng.chance(0.3));
        let order = if pipeline { Order::Pipeline } else { Order::Partition };
        let lags =
            [Lag::None, Lag::Seconds, Lag::Seconds, Lag::HalfMinute, Lag::TenMinutes, Lag::Wandering, Lag::Stalled];
        let lag = *rng.pick(&lags);
        let batches = rng.chance(0.8);
        let wrongs = wrongs(rng, batches);
        let partitions = if rng.chance(0.4) { 1 } else { 1 + rng.below(4) as u16 };
        let heartbeat =
            matches!(mode, Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat).then(|| *rng.pick(&HEARTBEATS));
        let checkpoint = *rng.pick(&[2 * SECOND, 5 * SECOND, 15 * SECOND]);
        let tap_delay = if source_log { 800 } else { 5 };
        let plan = Plan {
            seed,
            mode,
            order,
            lag,
            wrongs,
            partitions,
            keys: rng.range((40, 400)) as u32,
            changes: rng.range((800, 3000)) as usize,
            every: rng.range((50, 600)),
            skew: Skew::Zipf,
            workers: if pipeline { Workers::One } else { Workers::Partitions },
            second: None,
            truncates: 0.0,
            drops_truncates: false,
            duplicated: 0.0,
            unreadable: 0.0,
            clock_steps: 0.0,
            redelivered: 0.0,
            gaps: 0.0,
            replica: None,
            damages: 0,
            replans: 0,
            leaving: None,
            rewind: None,
            rejected: false,
            zombies: false,
            partial: if rng.chance(0.3) { 0.3 } else { 0.0 },
            before_images: rng.chance(0.5),
            batches,
            batch_most: *rng.pick(&[60, 200, 10_000]),
            window: if batches { rng.range((200, 5_000)) } else { rng.range((20, 500)) },
            group_gap: if batches { rng.range((20, 600)) } else { 0 },
            checkpoint,
            reach: 0,
            stalls: if lag == Lag::Stalled { 0.002 } else { 0.0 },
            refusals: 0.0,
            commits_ahead: None,
            exact: false,
            source_log,
            tap_delay,
            heartbeat,
            failed_reads: *rng.pick(&[0.0, 0.01, 0.1]),
            slow_consumption: rng.chance(0.2),
            our_crashes: if rng.chance(0.2) { 1 + rng.below(2) as u32 } else { 0 },
            rebalances: if rng.chance(0.15) { 1 + rng.below(3) as u32 } else { 0 },
            images: *rng.pick(&[100, 100_000]),
            generations: rng.chance(0.5),
            watch: None,
            traced: false,
            options: options(mode, order, batches, source_log, rng),
        };
        Plan { reach: plan.settle(), ..plan }
    }

    /// Draws the rarer models, so that a seed has a few of them.
    fn widened(mut self, rng: &mut Rng) -> Plan {
        let some = |rng: &mut Rng, chance: f64, value: f64| if rng.chance(chance) { value } else { 0.0 };
        self.skew = *rng.pick(&[Skew::Uniform, Skew::Zipf, Skew::Zipf, Skew::OneHot(10), Skew::OneHot(3)]);
        self.second = rng.chance(0.1).then(|| *rng.pick(&[Second::Junk, Second::Future]));
        self.truncates = some(rng, 0.1, 0.000_7);
        self.duplicated = some(rng, 0.15, 0.01);
        self.redelivered = some(rng, 0.15, 0.01);
        self.unreadable = some(rng, 0.1, 0.001);
        self.clock_steps = some(rng, 0.1, 0.002);
        self.gaps = some(rng, 0.3, 0.5);
        self.replica = rng.chance(0.1).then(|| *rng.pick(&[(100, 2_000), (1_000, 30_000)]));
        self.rejected = rng.chance(0.1);
        let parallel = rng.chance(0.15);
        match self.mode {
            Mode::Inferred if parallel && self.order == Order::Partition => {
                (self.workers, self.order) = (Workers::Tables, Order::Table);
            }
            Mode::Committed if parallel => {
                (self.workers, self.order) = (Workers::Keys(2 + rng.below(4) as u8), Order::Key);
            }
            Mode::Committed | Mode::UnknownCommitsAndHeartbeat | Mode::Heartbeat | Mode::Inferred | Mode::Assumed => {}
        }
        self.options.order = self.order;
        self.zombies = rng.chance(0.5);
        self
    }

    /// Drops what does not go together.
    pub(crate) fn fitting(mut self) -> Plan {
        if matches!(self.mode, Mode::Committed | Mode::Assumed) {
            // What convicts there must have been read where it was written.
            self.replica = None;
        }
        if self.partitions > 1 && self.order == Order::Partition
            || matches!(self.workers, Workers::Tables | Workers::Keys(_))
        {
            // A truncate has an order with the rest only where one worker applies both.
            self.truncates = 0.0;
        }
        if self.source_log {
            // The lead is measured by the source's clock.
            self.clock_steps = 0.0;
        }
        if self.mode == Mode::Assumed {
            self.second = None;
            (self.our_crashes, self.rebalances, self.wrongs.crash, self.stalls) = (0, 0, 0.0, 0.0);
        }
        if self.order != Order::Partition {
            self.rebalances = 0;
        }
        if self.lag == Lag::TenMinutes {
            self.changes = self.changes.min(1500);
            self.every = self.every.max(500);
        }
        self
    }

    /// Draws whether the applier carries all rows.
    pub(crate) fn carrying(mut self, rng: &mut Rng, share: f64) -> Plan {
        // Columns that a change does not carry would be of rows that the applier never had.
        if rng.chance(share) && self.rewind.is_none() && self.partial == 0.0 {
            self.leaving = Some(*rng.pick(&[Leaving::Drops, Leaving::Removes]));
        }
        self
    }

    /// Draws what comes after a row was verified.
    fn patrolled(mut self, rng: &mut Rng) -> Plan {
        if rng.chance(0.6) {
            self.options.patrol_reads_per_second = *rng.pick(&[1, 5, 20, 200, 2000]);
        }
        if rng.chance(0.6) {
            self.damages = rng.range((1, 12)) as u32;
        }
        self
    }

    /// Draws evidence beside that of the mode.
    fn evidenced(mut self, rng: &mut Rng) -> Plan {
        let further = rng.chance(0.3) && !matches!(self.workers, Workers::Keys(_));
        match self.mode {
            Mode::Committed if further => {
                self.heartbeat = Some(*rng.pick(&HEARTBEATS));
                self.options.evidence.heartbeat = true;
            }
            Mode::Committed if !self.batches && self.workers == Workers::Partitions && rng.chance(0.5) => {
                self.exact = true;
            }
            Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat if further => self.options.evidence.inferred = true,
            Mode::Committed | Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat | Mode::Inferred | Mode::Assumed => {}
        }
        self
    }

    /// Draws changes of the target's tables.
    fn replanned(mut self, rng: &mut Rng) -> Plan {
        if rng.chance(0.1) {
            self.replans = rng.range((1, 4)) as u32;
        }
        self
    }

    /// Draws a rewind of the source.
    pub(crate) fn rewound(mut self, rng: &mut Rng, probability: f64) -> Plan {
        if !rng.chance(probability) {
            return self;
        }
        let at = rng.range((20_000, (self.busy() * 3 / 4).max(30_000)));
        let back = rng.range((1_000, at.min(300_000)));
        // Where the applier's commits count, it has consumed the tap, and what the old log published with it.
        let restores = matches!(self.mode, Mode::Heartbeat | Mode::Inferred | Mode::Assumed);
        let restored = restores && rng.chance(0.5);
        self.rewind = Some(Rewind { at, back, takes: rng.range((1_000, 30_000)), restored });
        // By a clock that is set back, or where the first places of the new log are gone, nothing tells of it.
        (self.clock_steps, self.gaps) = (0.0, 0.0);
        // A stranger's row may pass for one of before the rewind.
        self.second = None;
        self
    }

    /// When all that a rewind unsettles is settled: rows are witnesses again, and heartbeats have gone past those that were
    /// taken back.
    pub(crate) fn calm_after_rewind(&self) -> Option<u64> {
        let rewind = self.rewind?;
        let doubted = 600_000 + 3 * self.lag.range().1;
        Some(rewind.at + rewind.takes + doubted + 2 * rewind.back + 2 * self.settle())
    }

    /// Leaves only the evidence of the mode.
    pub(crate) fn with_its_own_evidence(&mut self) {
        (self.options.evidence, self.exact) = (evidence(self.mode), false);
        if self.mode == Mode::Committed {
            self.heartbeat = None;
        }
    }

    /// Milliseconds in which changes are made; heartbeats and a trickle of changes go on after it.
    pub(crate) fn busy(&self) -> u64 {
        self.changes as u64 * self.every
    }

    /// Our life begins with the run; where everything is assumed applied, it begins when that is true.
    pub(crate) fn start(&self) -> u64 {
        if self.mode == Mode::Assumed { self.busy() + 3 * self.lag.range().1 + 300_000 + self.backlog() } else { 0 }
    }

    /// How long after the load an applier may be busy that takes fewer changes in a batch than come meanwhile. A batch holds
    /// at most ten changes in three cases of ten, and is written in four groups at most; transactions make half as many
    /// changes again.
    fn backlog(&self) -> u64 {
        let batches = self.changes as u64 * 3 / 2 * 10 / (self.batch_most as u64 * 7 + 30);
        (batches * (self.window + 4 * self.group_gap + 60)).saturating_sub(self.busy())
    }

    /// When the run ends: long enough after the load for everything to settle.
    pub(crate) fn end(&self) -> u64 {
        let lag = self.lag.range().1 + if self.stalls > 0.0 { 900_000 } else { 0 };
        let afterwards = if self.damages > 0 { 900_000 } else { 0 };
        let again = self.rewind.map_or(0, |rewind| 600_000 + 2 * rewind.back);
        self.busy() + 5 * lag + 600_000 + 4 * self.settle() + afterwards + again
    }

    pub(crate) fn settle(&self) -> u64 {
        millis(self.options.settle.at_first())
    }

    pub(crate) fn lead(&self) -> u64 {
        millis(self.options.lead.at_first())
    }

    /// Interval of the applier's checkpoints and commits: none where the position goes with the rows.
    pub(crate) fn checkpoint(&self) -> u64 {
        if self.exact { 0 } else { self.checkpoint }
    }

    /// Whether a writer that was put out may still write: not where it has to move the position with its rows.
    pub(crate) fn has_zombies(&self) -> bool {
        self.zombies && !self.exact
    }

    /// One line that names the scenario.
    pub(crate) fn words(&self) -> String {
        let applier = if self.batches { "batch" } else { "transactional" };
        let faults = [
            (self.wrongs != Wrongs::default(), "losses"),
            (self.options.evidence != evidence(self.mode), "further evidence"),
            (self.exact, "exact positions"),
            (self.wrongs.crash > 0.0, "applier crashes"),
            (self.our_crashes > 0, "our crashes"),
            (self.rebalances > 0, "rebalances"),
            (self.source_log, "source log"),
            (self.partial > 0.0, "partial rows"),
            (matches!(self.skew, Skew::OneHot(_)), "hot key"),
            (self.second.is_some(), "second writer"),
            (self.truncates > 0.0, "truncates"),
            (self.truncates > 0.0 && self.drops_truncates, "none of them applied"),
            (self.duplicated + self.redelivered > 0.0, "duplicates"),
            (self.unreadable > 0.0, "unreadable records"),
            (self.gaps > 0.0, "gaps"),
            (self.replica.is_some(), "replica"),
            (self.rejected, "rejected rows"),
            (self.has_zombies() && self.wrongs.crash > 0.0, "zombies"),
            (self.options.patrol_reads_per_second > 0, "patrol"),
            (self.damages > 0, "damaged rows"),
            (self.replans > 0, "changed tables"),
            (self.leaving == Some(Leaving::Drops), "rows left out"),
            (self.leaving == Some(Leaving::Removes), "rows left out and removed"),
            (self.rewind.is_some_and(|rewind| !rewind.restored), "rewound source"),
            (self.rewind.is_some_and(|rewind| rewind.restored), "restored source and target"),
            (self.clock_steps > 0.0, "clock steps"),
            (matches!(self.workers, Workers::Tables | Workers::Keys(_)), "parallel"),
            (self.slow_consumption, "slow consumption"),
        ];
        let faults: Vec<&str> = faults.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        format!(
            "{:?} {:?} lag {:?} {applier}, {} partitions, {} keys, {} changes; {}",
            self.mode,
            self.order,
            self.lag,
            self.partitions,
            self.keys,
            self.changes,
            faults.join(", ")
        )
    }
}

fn wrongs(rng: &mut Rng, batches: bool) -> Wrongs {
    let crash = if rng.chance(0.3) { 0.01 } else { 0.0 };
    if rng.chance(0.25) {
        return Wrongs { crash, ..Wrongs::default() };
    }
    let many = *rng.pick(&[0.02, 0.05]);
    let merge = if batches { many } else { 0.0 };
    Wrongs {
        insert_update: merge,
        insert_delete: merge,
        delete_insert: merge,
        update_merge: merge / 4.0,
        skipped: 0.003,
        no_delete: 0.01,
        torn: 0.003,
        foreign: 0.001,
        batch_skipped: if rng.chance(0.3) { 0.003 } else { 0.0 },
        crash,
    }
}

fn evidence(mode: Mode) -> Evidence {
    Evidence {
        committed: matches!(mode, Mode::Committed | Mode::UnknownCommitsAndHeartbeat),
        heartbeat: matches!(mode, Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat),
        inferred: mode == Mode::Inferred,
        assumed: mode == Mode::Assumed,
    }
}

fn options(mode: Mode, order: Order, batches: bool, source_log: bool, rng: &mut Rng) -> Options {
    Options {
        evidence: evidence(mode),
        commits: if mode == Mode::Committed { Commits::AfterWrite } else { Commits::Unknown },
        evidence_name: format!("{mode:?}").to_lowercase(),
        order,
        applier: if batches { Applier::Batch } else { Applier::Transactional },
        lead: Margin::Stated(Duration::from_secs(if source_log { 2 } else { 0 })),
        settle: Margin::Stated(Duration::from_secs(*rng.pick(&[30, 60]))),
        versions_per_key: *rng.pick(&[8, 512]),
        memory: if rng.chance(0.1) { 40 * 1024 } else { 1 << 30 },
        ..Options::default()
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
