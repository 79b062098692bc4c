//! A batch applier that loses merges, as the ones in the field do.
//!
//! It collects changes for a window, merges them per row into one statement each, and applies those: AWS DMS's batch
//! apply does so. The merge supposes that the target stands where the window began. When the applier dies between writing
//! and committing its position, the next window begins with changes that are applied already, and is merged with newer
//! ones:
//!
//! | merged | statement | on a target that has the first part | lost |
//! |---|---|---|---|
//! | insert, update | insert of the updated row | key exists: skipped | the update (`insert_update_merge`) |
//! | insert, delete | none | the row stays for ever | the delete (`insert_delete_merge`) |
//! | delete, insert | update | no row: skipped | the insert (`delete_insert_merge`) |
//!
//! Two further faults can be planned: [`Fault::SkippedBatch`] and [`Fault::TornUpdate`].
//!
//! [`Applier`] waits for nothing and touches no target, so that one and the same applier runs in `demo`, in tests against
//! real databases, and in simulations. Whoever drives it:
//! 1. hands it every change of the log in order ([`Applier::take`]),
//! 2. at the end of a window asks what to write ([`Applier::close`]), writes it, and tells what the target said
//!    ([`Applier::applied`]),
//! 3. then does what [`Batch::then`] says: commits the position and calls [`Applier::committed`], or goes back to the
//!    committed position and calls [`Applier::restarted`]. After a restart the next window must not be closed before every
//!    change of the last one was taken again.
//!
//! The [`Ledger`] knows at any time exactly which changes are lost. [`debezium`] reads records of Debezium's JSON form,
//! [`sqlite`] writes a SQLite target, [`kafka`] drives all of it from a consumer group.

pub mod change;
pub mod debezium;
pub mod fault;
pub mod kafka;
pub mod ledger;
pub mod sqlite;
pub mod window;

#[cfg(test)]
pub(super) mod sample;
#[cfg(test)]
mod tests;

pub use change::{Act, Effect, Event, Fields, Place, RowId, Statement, Write};
pub use fault::{Fault, FaultPlan, Rates};
pub use ledger::{Ledger, Loss};
pub use window::{Setting, Window};

use crate::model::Wall;

/// What to write at the end of a window, and what to do then.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Statements, in their order. May be empty.
    pub statements: Vec<Statement>,
    /// What to do after them.
    pub then: Then,
}

/// What follows an applied window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Commit the position behind the last change taken, then call [`Applier::committed`].
    Commit,
    /// Go back to the committed position, then call [`Applier::restarted`].
    Restart,
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Changes whose position was committed, each counted once.
    pub changes: u64,
    /// Windows whose position was committed.
    pub windows: u64,
    /// Windows applied and then taken again.
    pub restarts: u64,
}

/// The applier. See the module for how to drive it.
#[derive(Debug, Clone)]
pub struct Applier<P> {
    window: Window<P>,
    plan: FaultPlan,
    ledger: Ledger<P>,
    closed: Option<(Fault, Vec<Statement>)>,
    counts: Counts,
}

impl<P: Clone> Applier<P> {
    /// An applier that has read nothing yet, of a target whose tables are empty.
    #[must_use]
    pub fn new(plan: FaultPlan) -> Applier<P> {
        Applier { window: Window::default(), plan, ledger: Ledger::default(), closed: None, counts: Counts::default() }
    }

    /// Takes the next change of the log.
    pub fn take(&mut self, event: Event<P>) {
        assert!(self.closed.is_none(), "a closed window is written before anything else is read");
        self.window.take(event);
    }

    /// Whether the window must be closed before anything else is taken, see [`window::CHANGES_AT_MOST`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.window.is_full()
    }

    /// Ends the window. `None` where nothing was read.
    pub fn close(&mut self) -> Option<Batch> {
        assert!(self.closed.is_none(), "a closed window is written before the next is closed");
        if self.window.is_empty() {
            return None;
        }
        let fault = self.plan.draw();
        let statements = match fault {
            Fault::None | Fault::Restart => self.window.statements(Setting::Whole),
            Fault::TornUpdate => self.window.statements(Setting::LastOnly),
            Fault::SkippedBatch => Vec::new(),
        };
        let then = match fault {
            Fault::Restart => Then::Restart,
            Fault::None | Fault::SkippedBatch | Fault::TornUpdate => Then::Commit,
        };
        self.closed = Some((fault, statements.clone()));
        Some(Batch { statements, then })
    }

    /// The batch's statements were carried out on the target, with these effects, in their order.
    pub fn applied(&mut self, effects: &[Effect], at: Wall) {
        let Some((_, statements)) = &self.closed else { return };
        self.ledger.applied(self.window.rows(), statements, effects, at);
    }

    /// The position behind the last change taken was committed.
    pub fn committed(&mut self, at: Wall) {
        let Some((fault, _)) = self.closed.take() else { return };
        self.ledger.committed(self.window.rows(), fault, at);
        self.counts.changes += self.window.len() as u64;
        self.counts.windows += 1;
        self.window.clear();
    }

    /// Reading begins again at the committed position.
    pub fn restarted(&mut self) {
        self.closed = None;
        self.counts.restarts += 1;
        self.window.clear();
    }

    /// No more faults from here on.
    pub fn stop_faults(&mut self) {
        self.plan.stop();
    }

    /// What was lost so far.
    #[must_use]
    pub fn ledger(&self) -> &Ledger<P> {
        &self.ledger
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
