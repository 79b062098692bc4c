//! The group gate: under non-transactional retries, a stuck group of statements looks like a mass loss of rows.
//!
//! Rows whose floor is a causal watermark are convicted one by one only while most judgements of their table and operation
//! are right. Above 30 % wrong of at least 6 of the operation, or 10 % of at least 12 of the table, one `mass_divergence`
//! finding stands for them.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{Op, TableId, Tick};

use super::limit::GATE_JUDGEMENTS;

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

/// The recent judgements of every (table, op).
#[derive(Debug, Default)]
pub(super) struct Gate {
    recent: BTreeMap<(TableId, Group), VecDeque<Judgement>>,
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
}

const OP_LEAST: usize = 6;
const OP_TENTHS: usize = 3;
const TABLE_LEAST: usize = 12;
const TABLE_TENTHS: usize = 1;

impl Gate {
    /// Counts the first judgement of a version.
    pub(super) fn judged(&mut self, table: TableId, op: Op, wrong: bool, at: Tick) {
        let recent = self.recent.entry((table, Group::of(op))).or_default();
        recent.push_back(Judgement { at, wrong });
        if recent.len() > GATE_JUDGEMENTS {
            recent.pop_front();
        }
    }

    /// Whether a suspect of this table and operation, first read at `first`, may be convicted.
    pub(super) fn passage(&self, table: TableId, op: Op, first: Tick) -> Passage {
        let group = Group::of(op);
        let (op_since, table_since) = (self.op_share(table, group, Some(first)), self.table_share(table, Some(first)));
        let (op_all, table_all) = (self.op_share(table, group, None), self.table_share(table, None));
        let closed = [op_since, op_all].iter().any(|share| share.above(OP_TENTHS, OP_LEAST))
            || [table_since, table_all].iter().any(|share| share.above(TABLE_TENTHS, TABLE_LEAST));
        if closed {
            Passage::Closed
        } else if op_since.all >= OP_LEAST && table_since.all >= TABLE_LEAST {
            Passage::Open
        } else {
            Passage::TooFew
        }
    }

    /// Whether no judgement of this operation was ever right, of at least three.
    pub(super) fn never_applied(&self, table: TableId, op: Op) -> bool {
        let share = self.op_share(table, Group::of(op), None);
        share.all >= 3 && share.wrong == share.all
    }

    fn op_share(&self, table: TableId, group: Group, since: Option<Tick>) -> Share {
        let mut share = Share::default();
        for judgement in self.recent.get(&(table, group)).into_iter().flatten() {
            if since.is_none_or(|since| judgement.at >= since) {
                share.all += 1;
                share.wrong += usize::from(judgement.wrong);
            }
        }
        share
    }

    fn table_share(&self, table: TableId, since: Option<Tick>) -> Share {
        [Group::Insert, Group::Update, Group::Delete].iter().fold(Share::default(), |sum, group| {
            let share = self.op_share(table, *group, since);
            Share { all: sum.all + share.all, wrong: sum.wrong + share.wrong }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(rights: usize, wrongs: usize) -> Gate {
        let mut gate = Gate::default();
        (0..rights).for_each(|_| gate.judged(TableId(0), Op::Update, false, Tick(5)));
        (0..wrongs).for_each(|_| gate.judged(TableId(0), Op::Delete, true, Tick(5)));
        gate
    }

    #[test]
    fn a_mass_of_lost_deletes_closes_the_gate() {
        assert_eq!(gate(50, 6).passage(TableId(0), Op::Delete, Tick(0)), Passage::Closed);
        assert!(gate(50, 6).never_applied(TableId(0), Op::Delete));
    }

    #[test]
    fn a_few_judgements_tell_nothing() {
        assert_eq!(gate(0, 2).passage(TableId(0), Op::Delete, Tick(0)), Passage::TooFew);
        assert_eq!(gate(40, 1).passage(TableId(0), Op::Update, Tick(6)), Passage::TooFew, "all before the first read");
    }

    #[test]
    fn mostly_right_lets_pass() {
        assert_eq!(gate(40, 1).passage(TableId(0), Op::Update, Tick(0)), Passage::Open);
    }

    #[test]
    fn a_table_with_more_than_a_tenth_wrong_is_held() {
        assert_eq!(gate(15, 3).passage(TableId(0), Op::Update, Tick(0)), Passage::Closed);
    }
}
