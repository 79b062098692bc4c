//! Images that the table-version cache has forgotten are read again from the log, beside everything else.
//!
//! Nothing rests on it but detail: what is not read again is told as gone, and the judge goes on without.
#![expect(
    clippy::disallowed_methods,
    reason = "the log is read by calls that block, for what was asked within a moment"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::decode::{Format, Understood};
use crate::engine::event::{Image, Recall};
use crate::engine::limit::RECALLS_AT_ONCE;
use crate::model::{Batch, Change, Position, Record};
use crate::tap::{Control, Partitions, TapError};

use super::crash::Guard;
use super::decoding::key_of;
use super::driver::Reply;
use super::images::{ImageStore, Kept};
use super::schemas::{Reader, Stopped};
use super::tables::{Mapped, Tables};
use super::tell;

/// Questions that wait; a further one is refused. As many as the judge asks at once.
pub(super) const RECALLS: usize = RECALLS_AT_ONCE;

/// Losses are noticed in crowds: what is asked within this time is read by one seek, or by one scan of a file.
const GATHER: Duration = Duration::from_millis(20);

/// Positions known to be gone, which are not looked for again; past it the first ones go.
const GONE: usize = 65_536;

/// The stage.
pub(super) struct Recaller {
    pub(super) recalls: mpsc::Receiver<Recall>,
    pub(super) again: Again,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) pipeline: Arc<str>,
    pub(super) guard: Guard,
}

/// What reads and understands records apart from those around them.
pub(super) struct Again {
    pub(super) control: Arc<dyn Control>,
    pub(super) reader: Reader,
    pub(super) tables: Arc<Tables>,
    pub(super) partitions: Partitions,
    pub(super) images: Arc<ImageStore>,
    pub(super) gone: BTreeSet<Position>,
}

impl Recaller {
    /// Runs until nobody asks any more.
    pub(super) async fn run(mut self) {
        let mut is_silent = false;
        while let Some(first) = self.recalls.recv().await {
            tokio::time::sleep(GATHER).await;
            let mut wanted = vec![first];
            while let Some(next) = self.recalls.try_recv().ok().filter(|_| wanted.len() < RECALLS) {
                wanted.push(next);
            }
            let (mut again, guard) = (self.again, self.guard.clone());
            let done = tokio::task::spawn_blocking(move || {
                guard.hold("recall", || {
                    let read = again.read(&wanted);
                    let found: Vec<_> = wanted.iter().map(|recall| (recall.id, again.found(recall))).collect();
                    (again, read, found)
                })
            });
            let Ok(Some((again, read, found))) = done.await else { return };
            self.again = again;
            match read {
                Ok(()) => is_silent = false,
                Err(error) if !is_silent => {
                    is_silent = true;
                    tell::tap_failed(&self.pipeline, &error);
                }
                Err(_) => {}
            }
            for (id, found) in found {
                if self.replies.send(Reply::Recalled { id, found }).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Again {
    /// Reads what is wanted, as far as it is there, and keeps its images.
    fn read(&mut self, wanted: &[Recall]) -> Result<(), TapError> {
        let all: BTreeSet<Position> = wanted.iter().flat_map(|recall| recall.at.iter().copied()).collect();
        let missing: Vec<Position> = all.difference(&self.gone).copied().collect();
        let keys: BTreeSet<(Position, u64)> = wanted.iter().flat_map(Again::names).collect();
        let control = Arc::clone(&self.control);
        let (mut there, mut stopped) = (BTreeSet::new(), false);
        let read = control.read_again(&missing, &mut |batch| stopped |= self.keep(&batch, &keys, &mut there).is_err());
        if read.is_ok() && !stopped {
            self.gone.extend(missing.into_iter().filter(|at| !there.contains(at)));
            while self.gone.len() > GONE {
                self.gone.pop_first();
            }
        }
        read
    }

    fn names(recall: &Recall) -> impl Iterator<Item = (Position, u64)> {
        let key = Kept::hash(&recall.key);
        recall.at.iter().map(move |at| (*at, key))
    }

    fn found(&self, recall: &Recall) -> u64 {
        Again::names(recall).filter(|(at, key)| self.images.find(*at, *key).is_some()).count() as u64
    }

    /// Keeps the images of these changes, and notes where they stand.
    fn keep(
        &mut self,
        batch: &Batch,
        keys: &BTreeSet<(Position, u64)>,
        there: &mut BTreeSet<Position>,
    ) -> Result<(), Stopped> {
        for record in batch.records() {
            let topic = self.partitions.name(record.partition).topic;
            let changes = match self.reader.read(&topic, record)? {
                Understood::Change(change) => vec![change],
                Understood::KeyChange(pair) => vec![pair.0, pair.1],
                Understood::Changes(changes) => changes,
                Understood::Tombstone | Understood::Control(_) | Understood::Reject(_) => Vec::new(),
            };
            if !says_all(self.reader.format(), record) {
                continue;
            }
            let at = Position { partition: record.partition, offset: record.offset };
            let kept = changes.into_iter().filter_map(|change| self.image(at, change));
            for kept in kept.filter(|kept| keys.contains(&kept.name())) {
                there.insert(at);
                self.images.put_back(kept);
            }
        }
        Ok(())
    }

    fn image(&self, at: Position, change: Change<'_>) -> Option<Kept> {
        let Mapped::Judged(table) = self.tables.mapped(&change.table)? else { return None };
        let key = key_of(&table, &change).ok()?;
        let row = change.after.map(|row| Arc::new(row.into_owned()));
        Some(Kept::new(at, &key, Image { row, source: change.source }))
    }
}

/// Whether a record says without those before it what it says with them. DMS leaves out what is null, of columns that it named
/// once; and only rows before it tell that a null value is a delete.
fn says_all(format: Format, record: Record<'_>) -> bool {
    match format {
        Format::Dms => false,
        Format::Flattened => record.value.is_some(),
        Format::Auto | Format::Debezium | Format::Maxwell | Format::Canal => true,
    }
}
