//! A smaller scenario of the same seed: what a failure is shrunk to, in words that the command line takes back.

use crate::check::{Outcome, Property};
use crate::plan::{Plan, Skew, Wrongs};
use crate::rng::Rng;
use crate::world;

/// Runs that shrinking may take.
const TRIES: usize = 60;

/// A part of a scenario that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Losses,
    Crashes,
    OurCrashes,
    Rebalances,
    Gaps,
    Partial,
    Skew,
    FailedReads,
    SlowConsumption,
    SecondWriter,
    Truncates,
    Duplicates,
    Unreadable,
    Replica,
    ClockSteps,
    Rejected,
    Stalls,
    Caps,
    Damages,
    Patrol,
    Evidence,
    Replans,
    Rewinds,
    Leaving,
}

impl Part {
    const ALL: [Part; 24] = [
        Part::Rewinds,
        Part::Leaving,
        Part::Replans,
        Part::Evidence,
        Part::Damages,
        Part::Patrol,
        Part::OurCrashes,
        Part::Rebalances,
        Part::Gaps,
        Part::SecondWriter,
        Part::Truncates,
        Part::Unreadable,
        Part::Duplicates,
        Part::Replica,
        Part::ClockSteps,
        Part::Rejected,
        Part::Crashes,
        Part::Losses,
        Part::Partial,
        Part::Skew,
        Part::FailedReads,
        Part::SlowConsumption,
        Part::Stalls,
        Part::Caps,
    ];

    fn word(self) -> &'static str {
        match self {
            Part::Losses => "losses",
            Part::Crashes => "crashes",
            Part::OurCrashes => "our-crashes",
            Part::Rebalances => "rebalances",
            Part::Gaps => "gaps",
            Part::Partial => "partial",
            Part::Skew => "skew",
            Part::FailedReads => "failed-reads",
            Part::SlowConsumption => "slow-consumption",
            Part::SecondWriter => "second-writer",
            Part::Truncates => "truncates",
            Part::Duplicates => "duplicates",
            Part::Unreadable => "unreadable",
            Part::Replica => "replica",
            Part::ClockSteps => "clock-steps",
            Part::Rejected => "rejected",
            Part::Stalls => "stalls",
            Part::Caps => "caps",
            Part::Damages => "damages",
            Part::Patrol => "patrol",
            Part::Evidence => "evidence",
            Part::Replans => "replans",
            Part::Rewinds => "rewinds",
            Part::Leaving => "leaving",
        }
    }

    fn leave_out(self, plan: &mut Plan) {
        match self {
            Part::Losses => plan.wrongs = Wrongs { crash: plan.wrongs.crash, ..Wrongs::default() },
            Part::Crashes => plan.wrongs.crash = 0.0,
            Part::OurCrashes => plan.our_crashes = 0,
            Part::Rebalances => plan.rebalances = 0,
            Part::Gaps => plan.gaps = 0.0,
            Part::Partial => plan.partial = 0.0,
            Part::Skew => plan.skew = Skew::Zipf,
            Part::FailedReads => plan.failed_reads = 0.0,
            Part::SlowConsumption => plan.slow_consumption = false,
            Part::SecondWriter => plan.second = None,
            Part::Truncates => plan.truncates = 0.0,
            Part::Duplicates => (plan.duplicated, plan.redelivered) = (0.0, 0.0),
            Part::Unreadable => plan.unreadable = 0.0,
            Part::Replica => plan.replica = None,
            Part::ClockSteps => plan.clock_steps = 0.0,
            Part::Rejected => plan.rejected = false,
            Part::Stalls => plan.stalls = 0.0,
            Part::Damages => plan.damages = 0,
            Part::Patrol => plan.options.patrol_reads_per_second = 0,
            Part::Evidence => plan.with_its_own_evidence(),
            Part::Replans => plan.replans = 0,
            Part::Rewinds => plan.rewind = None,
            Part::Leaving => plan.leaving = None,
            Part::Caps => (plan.options.versions_per_key, plan.options.memory) = (512, 1 << 30),
        }
    }
}

/// What a scenario has whether or not it was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forced {
    /// The source is rewound.
    Rewound,
    /// The applier carries some rows alone.
    Leaving,
    /// Tables of one partition are truncated.
    Truncated,
}

impl Forced {
    const ALL: [Forced; 3] = [Forced::Rewound, Forced::Leaving, Forced::Truncated];

    fn word(self) -> &'static str {
        match self {
            Forced::Rewound => "rewound=yes",
            Forced::Leaving => "leaving=yes",
            Forced::Truncated => "truncated=yes",
        }
    }

    fn upon(self, plan: Plan) -> Plan {
        let seed = plan.seed;
        match self {
            Forced::Rewound if plan.rewind.is_none() => plan.rewound(&mut Rng::new(seed ^ 0x52_45_57_44), 1.0),
            Forced::Leaving if plan.leaving.is_none() => {
                let whole = Plan { partial: 0.0, rewind: None, ..plan };
                whole.carrying(&mut Rng::new(seed ^ 0x43_41_52_52), 1.0)
            }
            Forced::Truncated => {
                let drops_truncates = seed.is_multiple_of(4);
                Plan { truncates: 0.002, drops_truncates, partitions: 1, leaving: None, ..plan }.fitting()
            }
            Forced::Rewound | Forced::Leaving => plan,
        }
    }
}

/// What a scenario is cut down to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    pub(crate) keys: Option<u32>,
    pub(crate) changes: Option<usize>,
    pub(crate) without: Vec<Part>,
    pub(crate) forced: Vec<Forced>,
}

impl Cut {
    /// Takes `keys=N`, `changes=N` and `without=PART,PART`; gives back what it does not know.
    pub(crate) fn read<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        words.filter(|word| self.takes(word).is_none()).collect()
    }

    fn takes(&mut self, word: &str) -> Option<()> {
        match word.split_once('=')? {
            ("keys", count) => self.keys = Some(count.parse().ok()?),
            ("changes", count) => self.changes = Some(count.parse().ok()?),
            ("without", parts) => {
                self.without
                    .extend(parts.split(',').filter_map(|part| Part::ALL.into_iter().find(|of| of.word() == part)));
            }
            (_, _) => self.forced.push(Forced::ALL.into_iter().find(|forced| forced.word() == word)?),
        }
        Some(())
    }

    pub(crate) fn words(&self) -> String {
        let mut words = String::new();
        if let Some(keys) = self.keys {
            words += &format!(" keys={keys}");
        }
        if let Some(changes) = self.changes {
            words += &format!(" changes={changes}");
        }
        for forced in &self.forced {
            words += &format!(" {}", forced.word());
        }
        if !self.without.is_empty() {
            let parts: Vec<&str> = self.without.iter().map(|part| part.word()).collect();
            words += &format!(" without={}", parts.join(","));
        }
        words
    }

    pub(crate) fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::of(seed);
        for forced in &self.forced {
            plan = forced.upon(plan);
        }
        plan.keys = self.keys.unwrap_or(plan.keys);
        plan.changes = self.changes.unwrap_or(plan.changes);
        self.without.iter().for_each(|part| part.leave_out(&mut plan));
        plan
    }
}

/// The smallest scenario found that still breaks the same property.
pub(crate) fn shrink(seed: u64, from: &Cut, failed: &Outcome) -> Cut {
    let Some(broken) = failed.violations.first().map(|violation| violation.property) else { return from.clone() };
    let mut tries = 0;
    let mut fails = |cut: &Cut| {
        tries += 1;
        tries <= TRIES && world::run(&cut.plan(seed)).violations.iter().any(|violation| violation.property == broken)
    };
    let mut cut = from.clone();
    for part in Part::ALL {
        let mut less = cut.clone();
        less.without.push(part);
        if !cut.without.contains(&part)
            && format!("{:?}", less.plan(seed)) != format!("{:?}", cut.plan(seed))
            && fails(&less)
        {
            cut = less;
        }
    }
    if broken == Property::Liveness {
        // With fewer keys there would be nothing to see progress by.
        return cut;
    }
    for share in [8, 4, 2, 3] {
        let plan = cut.plan(seed);
        let fewer = |count: usize| if share == 3 { count * 3 / 4 } else { count / share };
        let less = Cut { changes: Some(fewer(plan.changes).max(10)), ..cut.clone() };
        if fails(&less) {
            cut = less;
        }
        let less = Cut { keys: Some((fewer(plan.keys as usize) as u32).max(4)), ..cut.clone() };
        if fails(&less) {
            cut = less;
        }
    }
    cut
}
