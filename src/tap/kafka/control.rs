//! What may be asked of a running Kafka tap, from any thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::consumer::BaseConsumer;

use super::again::Again;
use super::client::{self, Brokers};
use super::evidence::{Held, held_between};
use super::ledger::Ledger;
use super::{Session, assign};
use crate::model::{Batch, PartitionId, Position};
use crate::tap::{Control, HeldUp, Partitions, TapError};

/// Asks the brokers for the ends of partitions, through a client that it keeps.
pub(super) struct Ends {
    brokers: Brokers,
    partitions: Partitions,
    asker: Mutex<Option<BaseConsumer>>,
    /// Sees beyond open transactions.
    unbound: Mutex<Option<BaseConsumer>>,
}

impl Ends {
    pub(super) fn new(brokers: Brokers, partitions: Partitions) -> Ends {
        Ends { brokers, partitions, asker: Mutex::new(None), unbound: Mutex::new(None) }
    }

    /// What open transactions hold back: the partition, its last stable offset, and where its log ends.
    fn held_up(&self, partitions: &[PartitionId]) -> Result<Vec<HeldUp>, TapError> {
        let mut unbound = self.unbound.lock().unwrap_or_else(PoisonError::into_inner);
        if unbound.is_none() {
            *unbound = self.brokers.unbound()?;
        }
        let mut asker = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
        if asker.is_none() {
            *asker = Some(self.brokers.asker()?);
        }
        let (Some(unbound), Some(asker)) = (unbound.as_ref(), asker.as_ref()) else { return Ok(Vec::new()) };
        client::drain(unbound);
        client::drain(asker);
        let names: Vec<_> = partitions.iter().map(|id| self.partitions.name(*id)).collect();
        let held = held_between(&self.brokers, (unbound, asker), &names)?;
        let by_id = |held: Held| {
            let partition = self.partitions.id(&held.name)?;
            Some(HeldUp { partition, stable: held.stable, end: held.end })
        };
        Ok(held.into_iter().filter_map(by_id).collect())
    }

    pub(super) fn of(&self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, TapError> {
        let mut asker = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
        if asker.is_none() {
            *asker = Some(self.brokers.asker()?);
        }
        let Some(client) = asker.as_ref() else { return Ok(Vec::new()) };
        client::drain(client);
        let names: Vec<_> = partitions.iter().map(|id| self.partitions.name(*id)).collect();
        let ends =
            assign::ends(client, &names).map_err(|error| self.brokers.silent("where the partitions end", error))?;
        Ok(ends.iter().filter_map(|(name, end)| Some((self.partitions.id(name)?, *end))).collect())
    }
}

pub(super) struct KafkaControl {
    pub(super) session: Session,
    pub(super) ledger: Arc<Ledger>,
    pub(super) ends: Ends,
    pub(super) again: Again,
    /// The thread has ended.
    pub(super) over: Arc<AtomicBool>,
}

impl KafkaControl {
    fn check_running(&self) -> Result<(), TapError> {
        if self.over.load(Ordering::Relaxed) {
            return Err(self.session.brokers.fatal("the tap has ended", "start it again", None));
        }
        Ok(())
    }
}

impl Control for KafkaControl {
    fn commit(&self, partition: PartitionId, next: u64) -> Result<(), TapError> {
        self.check_running()?;
        self.ledger.judged(partition, next);
        Ok(())
    }

    fn ends(&self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, TapError> {
        self.ends.of(partitions)
    }

    fn held_up(&self, partitions: &[PartitionId]) -> Result<Vec<HeldUp>, TapError> {
        self.ends.held_up(partitions)
    }

    fn rewind(&self, partition: PartitionId, to: u64) -> Result<(), TapError> {
        self.check_running()?;
        if self.ledger.rewind(partition, to) {
            return Ok(());
        }
        let what = format!("`{}` cannot be read again from {to}", self.session.partitions.name(partition));
        let hint = "only a partition that is followed and ours can: whoever has it now goes back by itself";
        Err(self.session.brokers.trouble(&what, hint, None))
    }

    fn read_again(&self, wanted: &[Position], each: &mut dyn FnMut(Batch)) -> Result<(), TapError> {
        self.again.read(wanted, &self.session.signal, each)
    }

    fn stop(&self) {
        self.session.signal.stop();
    }
}
