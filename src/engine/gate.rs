//! The group gate: under non-transactional retries, a stuck group of statements looks like a mass loss of rows.
//!
//! Rows whose floor is a causal watermark are convicted one by one only while most judgements of their table and operation
//! are right. Above 30 % wrong of at least 6 of the operation, or 10 % of at least 12 of the table, one `mass_divergence`
//! finding stands for them: of all, or of those in the scope that one worker of the applier writes. Before a row is convicted
//! early, 3 judgements of its operation and 6 of its table after its own have to be right by the same shares, in that scope:
//! other workers' statements say nothing of its own.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{Op, TableId, Tick};

use super::limit::{GATE_JUDGEMENTS, GATE_STATEMENTS};
use super::state::ScopeId;

/// Operations that an applier puts into statements of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Insert,
    Update,
    Delete,
}

impl Group {
    pub(super) fn of(op: Op) -> Group {
        match op {
            Op::Insert | Op::Read => Group::Insert,
            Op::Update => Group::Update,
            Op::Delete | Op::Truncate => Group::Delete,
        }
    }

    pub(super) fn op(self) -> Op {
        match self {
            Group::Insert => Op::Insert,
            Group::Update => Op::Update,
            Group::Delete => Op::Delete,
        }
    }
}

/// What an applier writes by statements of one kind: rows of a table, by one worker, or by all where no scope is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Statements {
    pub(super) scope: Option<ScopeId>,
    pub(super) table: TableId,
    pub(super) group: Group,
}

impl Statements {
    /// The same by all workers.
    fn of_all(self) -> Statements {
        Statements { scope: None, ..self }
    }
}

/// Whether a row may be convicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// Enough judgements, most of them right.
    Open,
    /// Too few to tell.
    TooFew,
    /// Too many wrong.
    Closed,
}

#[derive(Debug, Clone, Copy)]
struct Judgement {
    at: Tick,
    wrong: bool,
}

/// The recent judgements of statements of every kind.
#[derive(Debug, Default)]
pub(super) struct Gate {
    recent: BTreeMap<Statements, VecDeque<Judgement>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Share {
    all: usize,
    wrong: usize,
}

impl Share {
    fn above(self, tenths: usize, least: usize) -> bool {
        self.all >= least && self.wrong * 10 > self.all * tenths
    }

    fn opens(self, tenths: usize, least: usize) -> bool {
        self.all >= least && self.wrong * 10 <= self.all * tenths
    }
}

/// Those of an operation and of its table.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    op: Share,
    table: Share,
}

impl Shares {
    fn are_of_a_mass(self) -> bool {
        self.op.above(OP_TENTHS, OP_LEAST) || self.table.above(TABLE_TENTHS, TABLE_LEAST)
    }
}

const OP_LEAST: usize = 6;
const OP_TENTHS: usize = 3;
const TABLE_LEAST: usize = 12;
const TABLE_TENTHS: usize = 1;

/// Judgements after a suspect's first that let it pass where they are right: in the simulator's `refused` worlds no early
/// finding is false with 3 and 6, nor with 2 and 4.
const OP_OPENS: usize = 3;
const TABLE_OPENS: usize = 6;

impl Gate {
    /// Counts the first judgement of a version.
    pub(super) fn judged(&mut self, of: Statements, wrong: bool, at: Tick) {
        let own = of.scope.is_some().then_some(of);
        for of in own.into_iter().chain([of.of_all()]) {
            let recent = self.recent.entry(of).or_default();
            recent.push_back(Judgement { at, wrong });
            if recent.len() > GATE_JUDGEMENTS {
                recent.pop_front();
            }
        }
        if self.recent.len() > GATE_STATEMENTS {
            self.forget_half();
        }
    }

    /// Forgets the statements that were judged longest ago.
    fn forget_half(&mut self) {
        let last = |recent: &VecDeque<Judgement>| recent.back().map(|judgement| judgement.at);
        let mut times: Vec<Option<Tick>> = self.recent.values().map(last).collect();
        let (_, median, _) = times.select_nth_unstable(GATE_STATEMENTS / 2);
        let median = *median;
        self.recent.retain(|_, recent| last(recent) > median);
    }

    /// Another may read the partition from now on: what was judged of its statements is no word on what comes.
    pub(super) fn revoked(&mut self, scope: ScopeId) {
        self.recent.retain(|of, _| of.scope != Some(scope));
    }

    /// Rows of a table are compared otherwise from now on.
    pub(super) fn replanned(&mut self, table: TableId) {
        self.recent.retain(|of, _| of.table != table);
    }

    /// Whether a suspect of such statements, first judged at `judged`, may be convicted: by what was judged after it.
    pub(super) fn passage(&self, of: Statements, judged: Tick) -> Passage {
        let shares = |of, since| Shares { op: self.op_share(of, since), table: self.table_share(of, since) };
        let since = shares(of, Some(judged));
        let all = of.of_all();
        let seen = [since, shares(of, None), shares(all, Some(judged)), shares(all, None)];
        if seen.into_iter().any(Shares::are_of_a_mass) {
            Passage::Closed
        } else if since.op.opens(OP_TENTHS, OP_OPENS) && since.table.opens(TABLE_TENTHS, TABLE_OPENS) {
            Passage::Open
        } else {
            Passage::TooFew
        }
    }

    /// Whether no judgement of this operation was ever right, of at least three.
    pub(super) fn never_applied(&self, table: TableId, op: Op) -> bool {
        let share = self.op_share(Statements { scope: None, table, group: Group::of(op) }, None);
        share.all >= 3 && share.wrong == share.all
    }

    fn op_share(&self, of: Statements, since: Option<Tick>) -> Share {
        let mut share = Share::default();
        for judgement in self.recent.get(&of).into_iter().flatten() {
            if since.is_none_or(|since| judgement.at > since) {
                share.all += 1;
                share.wrong += usize::from(judgement.wrong);
            }
        }
        share
    }

    fn table_share(&self, of: Statements, since: Option<Tick>) -> Share {
        [Group::Insert, Group::Update, Group::Delete].iter().fold(Share::default(), |sum, group| {
            let share = self.op_share(Statements { group: *group, ..of }, since);
            Share { all: sum.all + share.all, wrong: sum.wrong + share.wrong }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PartitionId;

    fn of(partition: u16, op: Op) -> Statements {
        let scope = Some(ScopeId::Partition(PartitionId(partition)));
        Statements { scope, table: TableId(0), group: Group::of(op) }
    }

    fn gate(rights: usize, wrongs: usize) -> Gate {
        let mut gate = Gate::default();
        (0..rights).for_each(|_| gate.judged(of(0, Op::Update), false, Tick(5)));
        (0..wrongs).for_each(|_| gate.judged(of(0, Op::Delete), true, Tick(5)));
        gate
    }

    #[test]
    fn what_was_judged_longest_ago_is_forgotten_at_the_bound() {
        let mut gate = Gate::default();
        let of = |table: usize| Statements { table: TableId(table as u32), ..of(0, Op::Update) };
        (0..GATE_STATEMENTS).for_each(|table| gate.judged(of(table), false, Tick(table as u64)));
        assert!(gate.recent.len() <= GATE_STATEMENTS);
        let newest = gate.op_share(of(GATE_STATEMENTS - 1), None);
        assert_eq!((newest.all, gate.op_share(of(0), None).all), (1, 0));
    }

    #[test]
    fn a_partition_that_is_given_up_leaves_no_word_of_its_own() {
        let mut gate = gate(40, 0);
        gate.revoked(ScopeId::Partition(PartitionId(0)));
        assert_eq!(gate.recent.len(), 1, "what all workers did stays");
        assert_eq!(gate.passage(of(0, Op::Update), Tick(0)), Passage::TooFew);
    }

    #[test]
    fn a_mass_of_lost_deletes_closes_the_gate() {
        assert_eq!(gate(50, 6).passage(of(0, Op::Delete), Tick(0)), Passage::Closed);
        assert!(gate(50, 6).never_applied(TableId(0), Op::Delete));
    }

    #[test]
    fn a_few_judgements_tell_nothing() {
        assert_eq!(gate(0, 2).passage(of(0, Op::Delete), Tick(0)), Passage::TooFew);
        assert_eq!(gate(40, 1).passage(of(0, Op::Update), Tick(6)), Passage::TooFew, "all before the first read");
    }

    #[test]
    fn what_was_judged_with_a_suspect_does_not_let_it_pass() {
        let mut gate = gate(40, 0);
        assert_eq!(gate.passage(of(0, Op::Update), Tick(5)), Passage::TooFew);
        (0..5).for_each(|_| gate.judged(of(0, Op::Update), false, Tick(6)));
        assert_eq!(gate.passage(of(0, Op::Update), Tick(5)), Passage::TooFew, "one judgement too few");
        gate.judged(of(0, Op::Insert), false, Tick(6));
        assert_eq!(gate.passage(of(0, Op::Update), Tick(5)), Passage::Open);
        gate.judged(of(0, Op::Insert), true, Tick(6));
        assert_eq!(gate.passage(of(0, Op::Update), Tick(5)), Passage::TooFew, "one wrong of seven");
    }

    #[test]
    fn what_another_worker_writes_says_nothing() {
        let mut gate = gate(40, 0);
        gate.judged(of(1, Op::Update), true, Tick(5));
        assert_eq!(gate.passage(of(1, Op::Update), Tick(0)), Passage::TooFew);
        assert_eq!(gate.passage(of(0, Op::Update), Tick(0)), Passage::Open);
    }

    #[test]
    fn a_mass_that_several_workers_share_closes_the_gate() {
        let mut gate = Gate::default();
        (0..6).for_each(|partition| gate.judged(of(partition, Op::Delete), true, Tick(5)));
        (0..6).for_each(|partition| {
            assert_eq!(gate.passage(of(partition, Op::Delete), Tick(0)), Passage::Closed);
        });
    }

    #[test]
    fn mostly_right_lets_pass() {
        assert_eq!(gate(40, 1).passage(of(0, Op::Update), Tick(0)), Passage::Open);
    }

    #[test]
    fn a_table_with_more_than_a_tenth_wrong_is_held() {
        assert_eq!(gate(15, 3).passage(of(0, Op::Update), Tick(0)), Passage::Closed);
    }
}
