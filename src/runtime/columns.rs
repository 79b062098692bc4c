//! The columns of the target's tables, looked at again while rows are judged by them.
//!
//! A table is looked at when a read fails by its columns, when a change brings a column that the target did not have, before a
//! row is called wrong again, and every now and then. Looking costs two or three questions to the catalog. What was found is
//! told to the engine once it differs from what is known.
#![expect(clippy::disallowed_methods, reason = "tables are looked at again at a slow pace of their own")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use crate::model::{TableId, Tick};
use crate::target::Target;

use super::clock::Clock;
use super::driver::Reply;
use super::mapping::PlanRules;
use super::tables::{Carries, Mapped, Tables};
use super::tell;

/// How often a table is looked at. Seldom enough that nobody notices on the target, often enough that a column which came is
/// compared before somebody asks why it is not.
const EVERY: Duration = Duration::from_secs(10);

/// At most one table in this time, however many there are.
const STEP: Duration = Duration::from_secs(1);

/// Looks at the columns of tables.
#[derive(Clone)]
pub(super) struct ColumnWatch {
    pub(super) rules: Arc<PlanRules>,
    pub(super) target: Target,
    pub(super) tables: Arc<Tables>,
    /// Rises when threads must forget what they know of tables.
    pub(super) epoch: Arc<AtomicU64>,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) pipeline: Arc<str>,
    pub(super) clock: Clock,
    /// One looks at a time: the later look is the newer one.
    pub(super) turn: Arc<Mutex<()>>,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The table is what it was.
    Same,
    /// It is not; everybody is told.
    Changed,
    /// The target does not answer.
    Nothing,
}

impl ColumnWatch {
    /// Looks at every table in turn, until nobody listens any more.
    pub(super) async fn run(self) {
        let mut pace = tokio::time::interval(STEP);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looked: BTreeMap<TableId, Tick> = BTreeMap::new();
        loop {
            tokio::select! {
                () = self.replies.closed() => return,
                _ = pace.tick() => {}
            }
            let now = self.clock.now();
            let Some(table) = self.tables.take_asked().or_else(|| self.due(&mut looked, now)) else { continue };
            looked.insert(table, now);
            self.look(table).await;
        }
    }

    /// The table whose last look is the oldest, if that is long enough ago. A table that is new was looked at just now.
    fn due(&self, looked: &mut BTreeMap<TableId, Tick>, now: Tick) -> Option<TableId> {
        for table in self.tables.looked_for() {
            looked.entry(table).or_insert(now);
        }
        let (table, last) = looked.iter().min_by_key(|(_, last)| **last)?;
        (*last + EVERY <= now).then_some(*table)
    }

    /// Reads the metadata of a table. Where it is not what the table's plan was made of, another plan is made.
    pub(super) async fn look(&self, table: TableId) -> Found {
        let _turn = self.turn.lock().await;
        let Some(place) = self.tables.place_of(table) else { return Found::Nothing };
        let tap_name = self.tables.tap_name(table);
        let before = self.tables.mapped(&tap_name);
        let found = self.tables.coerced(table);
        let record = Carries { key: place.key.as_ref(), row: place.row.as_ref() };
        let made = self.rules.make(&self.target, (table, &tap_name, &place.topic), record, found).await;
        let mapped = match made {
            Ok(mapped) => mapped,
            Err(error) => {
                tell::target_failed(&self.pipeline, &error, 0);
                return Found::Nothing;
            }
        };
        let is_same = match (&before, &mapped) {
            (Some(Mapped::Judged(before)), Mapped::Judged(now)) => {
                before.plan.meta() == now.plan.meta() && before.plan.rules() == now.plan.rules()
            }
            (Some(Mapped::NotJudged(_)) | None, Mapped::NotJudged(_)) => true,
            (Some(Mapped::Judged(_)), Mapped::NotJudged(_)) => false,
            (Some(Mapped::NotJudged(_)) | None, Mapped::Judged(_)) => false,
        };
        if is_same {
            return Found::Same;
        }
        let (now, epoch) = self.tables.set(table, mapped);
        self.epoch.fetch_add(1, Ordering::Release);
        tell::columns_changed(&self.pipeline, &tap_name, (before.as_ref(), &now));
        let _ = self.replies.send(Reply::Replanned(table, epoch)).await;
        Found::Changed
    }
}
