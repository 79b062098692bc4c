//! Lookups: keys out, rows back, and the tap's ends asked after the rows.
#![expect(clippy::disallowed_methods, reason = "the applier may be ahead of the tap: the end is asked so much later")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::canon::{COUNT, Compared, Rows};
use crate::engine::event::{LookFailure, Looked, Lookup, Seen};
use crate::model::{Cell, Change, Key, Row};
use crate::tap::Control;
use crate::target::{Answered, Ask, Target, TargetError};
use crate::telemetry::event;

use super::clock::Clock;
use super::columns::{ColumnWatch, Found};
use super::crash::Guard;
use super::driver::Reply;
use super::tables::{Table, Tables};
use super::tell;

/// What a lookup needs of the world.
#[derive(Clone)]
pub(super) struct Looker {
    pub(super) clock: Clock,
    pub(super) target: Target,
    pub(super) tables: Arc<Tables>,
    pub(super) control: Arc<dyn Control>,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) columns: ColumnWatch,
    /// The last lookup failed.
    pub(super) failing: Arc<AtomicBool>,
    /// Room for reads under way.
    pub(super) reading: Arc<Semaphore>,
    pub(super) pipeline: Arc<str>,
    pub(super) guard: Guard,
}

impl Looker {
    /// Answers lookups, several at a time, until nobody asks any more. The engine bounds how many are in flight, most of
    /// which wait for the applier's lead to be over.
    pub(super) async fn run(self, mut lookups: mpsc::Receiver<Lookup>) {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                lookup = lookups.recv() => match lookup {
                    Some(lookup) => {
                        let looker = self.clone();
                        running.spawn(self.guard.clone().hold_task("look", async move { looker.look(lookup).await }));
                    }
                    None => break,
                },
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
        running.shutdown().await;
    }

    async fn look(&self, lookup: Lookup) {
        let rows = match self.reading.acquire().await {
            Ok(_reading) => self.read(&lookup).await,
            Err(_) => Err(LookFailure::Unreachable),
        };
        let ended = self.clock.now();
        if !lookup.lead.is_zero() && rows.is_ok() {
            tokio::time::sleep(lookup.lead).await;
        }
        let ends = match rows {
            Ok(_) => self.ends(&lookup).await,
            Err(_) => Ok(Vec::new()),
        };
        let (rows, ends) = match ends {
            Ok(ends) => (rows, ends),
            Err(failure) => (Err(failure), Vec::new()),
        };
        let looked = Looked { id: lookup.id, ended, rows, ends };
        let _ = self.replies.send(Reply::Looked(looked)).await;
    }

    async fn read(&self, lookup: &Lookup) -> Result<Vec<Seen>, LookFailure> {
        let Some(table) = self.tables.get(lookup.table) else { return Err(LookFailure::Replanned) };
        let began = self.clock.elapsed();
        let asked = self.target.lookup(&ask(&table, &lookup.keys)).await;
        let took = self.clock.elapsed().saturating_sub(began);
        event::TargetRead { pipeline: &self.pipeline, keys: lookup.keys.len(), took }.emit();
        self.failing.store(asked.is_err(), Ordering::Relaxed);
        match asked {
            Ok(answer) => {
                self.stands(&table, lookup).await?;
                let seen = lookup.keys.iter().zip(answer).map(|(key, rows)| seen(&table, key, rows));
                Ok(seen.collect())
            }
            Err(error) => {
                tell::target_failed(&self.pipeline, &error, lookup.keys.len());
                match error {
                    TargetError::Changed { .. } => {
                        self.columns.look(table.id).await;
                        Err(LookFailure::Replanned)
                    }
                    TargetError::Unreachable { .. } | TargetError::Refused { .. } => Err(LookFailure::Unreachable),
                }
            }
        }
    }

    /// Makes sure that what was read was read by the table's columns as they are, as far as that matters.
    async fn stands(&self, table: &Arc<Table>, lookup: &Lookup) -> Result<(), LookFailure> {
        if lookup.convicts {
            match self.columns.look(table.id).await {
                Found::Same | Found::Changed => {}
                Found::Nothing => return Err(LookFailure::Unreachable),
            }
        }
        let known = self.tables.get(table.id);
        if known.is_some_and(|known| Arc::ptr_eq(&known, table)) { Ok(()) } else { Err(LookFailure::Replanned) }
    }

    async fn ends(&self, lookup: &Lookup) -> Result<Vec<(crate::model::PartitionId, u64)>, LookFailure> {
        let (control, partitions) = (Arc::clone(&self.control), lookup.partitions.clone());
        let asked = tokio::task::spawn_blocking(move || control.ends(&partitions)).await;
        match asked {
            Ok(Ok(ends)) => Ok(ends),
            Ok(Err(error)) => {
                tell::tap_failed(&self.pipeline, &error);
                Err(LookFailure::Unreachable)
            }
            Err(_) => Err(LookFailure::Unreachable),
        }
    }
}

pub(super) fn ask(table: &Table, keys: &[Key]) -> Ask {
    Ask {
        table: Arc::clone(table.plan.meta()),
        key_columns: table.key_columns.clone(),
        columns: table.columns.clone(),
        names: Arc::clone(table.plan.names()),
        keys: keys.iter().map(Key::cells).collect(),
        rows: match table.plan.rows() {
            Rows::One => Answered::Each,
            Rows::Counted => Answered::Counted,
        },
        nulls: Vec::new(),
    }
}

/// A collation may find rows of another key: they say nothing about this one.
pub(super) fn seen(table: &Table, key: &Key, rows: Vec<Row<'static>>) -> Seen {
    let found = rows.len();
    let own = rows.into_iter().filter(|row| table.plan.observed_key(row).is_ok_and(|observed| observed == *key));
    let mut own: Vec<Row<'static>> = own.collect();
    if table.plan.rows() == Rows::Counted {
        own = counted_together(own);
    }
    match (own.len(), found) {
        (0, 0) => Seen::Absent,
        (0, _) => Seen::Incomparable,
        (1, _) => {
            let row = own.remove(0);
            let placeholder = !table.plan.placeholders(&row).is_empty();
            Seen::Row { hashes: table.plan.observe(&row), row: Arc::new(row), placeholder }
        }
        (count, _) => Seen::Several { count, row: Arc::new(own.remove(0)) },
    }
}

/// Rows that differ only in what their forms leave out are equal, and are counted together.
fn counted_together(rows: Vec<Row<'static>>) -> Vec<Row<'static>> {
    let count = |row: &Row| if let Some(Cell::Int(count)) = row.get(COUNT) { *count } else { 0 };
    let all: i64 = rows.iter().map(count).sum();
    let one = rows.into_iter().next().map(|mut row| {
        if let Some(last) = row.cells.last_mut() {
            *last = Cell::Int(all);
        }
        row
    });
    one.into_iter().collect()
}

/// Whether what was seen is what a change left behind, in the columns that are compared.
pub(super) fn is_there(table: &Table, seen: &Seen, change: &Change) -> bool {
    match (seen, &change.after) {
        (Seen::Absent, None) => true,
        (Seen::Row { row, .. }, Some(expected)) => {
            let compared = table.plan.differ(expected, row);
            compared.iter().all(|column| column.outcome != Compared::Different)
        }
        (Seen::Absent, Some(_)) | (Seen::Row { .. }, None) | (Seen::Several { .. } | Seen::Incomparable, _) => false,
    }
}

/// Names of partitions by topic and number, for evidence that comes by name.
pub(super) fn by_name(
    all: Vec<(crate::model::PartitionId, crate::model::position::PartitionName)>,
) -> BTreeMap<(String, i32), crate::model::PartitionId> {
    all.into_iter().map(|(id, name)| ((name.topic.to_string(), name.partition), id)).collect()
}
