//! 3–7 ▸ The deterministic judge.
//!
//! [`Engine`] is driven, it never waits. The contract:
//! - Feed it with [`Engine::handle`]; after each call drain [`Engine::poll_output`] until it is empty, and carry the
//!   outputs out in their order (a commit behind a finding is behind it for a reason).
//! - Time only rises, and comes in with each call. At [`Engine::poll_timeout`] at the latest, hand in [`Input::Tick`];
//!   the deadline says what it is for.
//! - Positions of a partition come in their order. Every consumed record is told, as a change, a reject or by
//!   [`Input::Reached`].
//! - Each [`Lookup`](event::Lookup) is answered once, with the tap's ends asked *after* its read returned.
//! - A [`Recall`](event::Recall) is answered once its images are there or gone for good. One that is not costs some delay.
//!
//! Invariants: no finding without proof of progress; a key has at most one lookup in flight; a position is committed only
//! when every earlier change of its partition has its verdict; a read that failed teaches nothing; memory stays under the
//! stated bound; the same inputs give the same outputs.
//!
//! The stages, by file: `chain` (versions of a key), `truncate` (of a table's keys), `replan` (of a table whose columns
//! changed), `course`, `logs`, `rewind` (of a source that was rewound) · `partition`, `horizon` (what was applied,
//! what is settled) · `schedule`, `sample`, `lookup` (which keys to read) · `judge`, `suspect`, `recall` (forgotten images),
//! `gate`, `coercion`, `cause` (verdicts) · `stall` ·
//! `roster`, `patrol` (verified keys, looked at again) · `ack` (what may be committed) · `limit` (every bound) · `tally` (the
//! read-only picture).

pub mod event;
pub mod limit;
pub mod logs;
pub mod tally;

mod ack;
mod cause;
mod chain;
mod classify;
mod coercion;
mod counted;
mod course;
mod foreign;
mod gate;
mod horizon;
mod ingest;
mod judge;
mod keys;
mod left_out;
mod letters;
mod lookup;
mod masks;
mod partition;
mod patrol;
mod progress;
mod recall;
mod recent;
mod replan;
mod rewind;
mod roster;
mod sample;
mod scan;
mod schedule;
mod soundness;
mod stall;
mod standing;
mod state;
mod suspect;
mod track;
mod truncate;
mod verdict;
mod witness;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::event::{Images, Input, Output};
pub use self::limit::Options;
pub use self::state::Engine;

use crate::model::Tick;

/// Why the engine wants to be called at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A key waits for its next read.
    Read,
    /// Evidence, suspects and commits are looked at.
    Poll,
}

impl Engine {
    /// Takes one input at `now`.
    pub fn handle(&mut self, input: Input, now: Tick) {
        self.now = self.now.max(now);
        match input {
            Input::Change(change) => self.change(change),
            Input::Reject { at, reason, table } => self.reject(at, reason, table),
            Input::Reached { partition, next } => self.reached(partition, next),
            Input::Assigned { partition, next } => self.assigned(partition, next),
            Input::Revoked { partition } => self.revoked(partition),
            Input::Gap { partition, from, to } => self.gap(partition, from, to),
            Input::Loading { partition, table } => self.loading(partition, table),
            Input::Replaced { partition, expected, end } => self.replaced(partition, expected, end),
            Input::Looked(looked) => self.looked(looked),
            Input::Ends { asked, ends } => self.ends(asked, &ends),
            Input::HeldUp { asked, held } => self.held_up(asked, &held),
            Input::DeadLetter { at, why } => self.dead_letter(at, why),
            Input::Committed { asked, next, generation } => self.committed(asked, &next, generation),
            Input::AppliedTime { asked, time } => self.applied_time(asked, time),
            Input::OpenFinding { expected, finding, observed } => {
                self.open_finding(*expected, *finding, observed.as_ref());
            }
            Input::Node(node) => self.reads_from(node),
            Input::Replanned { table, plan } => self.replanned(table, plan),
            Input::Recalled { id, found } => self.recalled(id, found),
            Input::Scanned { id, page } => self.scanned(id, page),
            Input::OpenColumn { table, index, finding } => self.open_column(table, index, *finding),
            Input::Tick => self.tick(),
        }
    }

    /// The next thing to carry out, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Tick`] at the latest, and what for.
    #[must_use]
    pub fn poll_timeout(&self) -> (Tick, Reason) {
        let poll = self.next_poll;
        match self.schedule.next_delayed() {
            Some(at) if at < poll => (at, Reason::Read),
            Some(_) | None => (poll, Reason::Poll),
        }
    }

    fn tick(&mut self) {
        self.judge_arrived();
        self.move_horizons();
        if self.now >= self.next_poll {
            self.next_poll = self.now + self.options.poll.max(Duration::from_millis(10));
            self.poll();
        }
        self.pump();
    }

    fn poll(&mut self) {
        self.call_off();
        self.read_heartbeats();
        self.give_up_recalls();
        self.wake_suspects();
        self.sample();
        self.look_again();
        self.state_groups();
        self.watch_stalls();
        self.watch_logs();
        self.watch_freezes();
        self.scan();
        self.acknowledge();
        self.guard_memory();
    }
}
