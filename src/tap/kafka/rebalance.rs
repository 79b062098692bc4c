//! What the group decides: partitions come, and partitions go.
//!
//! The callbacks run on the tap's thread, inside its poll. They do what must be done before the client acts (look up where
//! to begin; commit what is about to go) and leave the rest to the loop, which takes the [`Turn`]s before it looks at
//! whatever the poll returned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::assign::{self, Bounds, Known};
use super::ledger::Ledger;
use crate::model::PartitionId;
use crate::model::position::PartitionName;
use crate::tap::Partitions;
use crate::tap::position::{Place, Places};

/// How often the questions of an assignment are asked before it is given up: well within `max.poll.interval.ms`.
const TRIES: u32 = 3;

/// Where an assigned partition begins.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) name: PartitionName,
    pub(super) id: PartitionId,
    /// Where reading should begin.
    pub(super) asked: u64,
    /// What the log holds.
    pub(super) bounds: Bounds,
    /// What the group had committed.
    pub(super) stored: Option<u64>,
}

/// What the loop has to take note of.
#[derive(Debug)]
pub(super) enum Turn {
    Assigned(Vec<Start>),
    Revoked(Vec<PartitionName>),
    /// It could not be found out where to begin: join again.
    Unresolved(KafkaError),
    /// More partitions than a tap can number.
    TooMany(PartitionName),
}

/// The context of a group's consumer.
pub(super) struct Follower {
    pub(super) from: Places,
    /// The partitions that existed when the tap started. Others are younger than the tap, so they are read from their beginning.
    pub(super) born: BTreeSet<PartitionName>,
    pub(super) partitions: Partitions,
    pub(super) ledger: Arc<Ledger>,
    pub(super) paused: AtomicBool,
    turns: Mutex<Vec<Turn>>,
    turned: AtomicBool,
}

impl Follower {
    pub(super) fn new(
        from: Places,
        born: BTreeSet<PartitionName>,
        partitions: Partitions,
        ledger: Arc<Ledger>,
    ) -> Self {
        let (paused, turned) = (AtomicBool::new(false), AtomicBool::new(false));
        Follower { from, born, partitions, ledger, paused, turns: Mutex::default(), turned }
    }

    /// What happened since the last call.
    pub(super) fn turns(&self) -> Vec<Turn> {
        // Asked for every record: a look is cheaper than a swap.
        if !self.turned.load(Ordering::Acquire) || !self.turned.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn turn(&self, turn: Turn) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).push(turn);
        self.turned.store(true, Ordering::Release);
    }

    /// Finds where the partitions begin and writes it into the client's list, which it then takes as the assignment.
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let names = assign::names(list);
        let starts = match self.starts(consumer, &names) {
            Ok(starts) => starts,
            Err(error) => return self.turn(Turn::Unresolved(error)),
        };
        for mut element in list.elements() {
            let start = starts
                .iter()
                .find(|start| start.name.partition == element.partition() && *start.name.topic == *element.topic());
            // Those without a start are not read: the loop does not know them.
            let first =
                start.map_or(Offset::End, |start| Offset::Offset(i64::try_from(first(start)).unwrap_or(i64::MAX)));
            if let Err(error) = element.set_offset(first) {
                return self.turn(Turn::Unresolved(error));
            }
        }
        for start in &starts {
            self.ledger.assigned(start.id, first(start), start.stored);
        }
        self.turn(Turn::Assigned(starts));
    }

    fn starts(&self, consumer: &BaseConsumer<Self>, names: &[PartitionName]) -> KafkaResult<Vec<Start>> {
        let mut result = self.try_starts(consumer, names);
        for _ in 1..TRIES {
            match &result {
                Ok(_) => break,
                Err(error) => tracing::warn!(%error, "where the assigned partitions begin is not known yet"),
            }
            result = self.try_starts(consumer, names);
        }
        result
    }

    fn try_starts(&self, consumer: &BaseConsumer<Self>, names: &[PartitionName]) -> KafkaResult<Vec<Start>> {
        let stored = assign::committed(consumer, names)?;
        let bounds = assign::bounds(consumer, names)?;
        let places: BTreeMap<_, _> =
            names.iter().map(|name| (name, self.place(name, stored.contains_key(name)))).collect();
        let wanted = places.iter().filter_map(|(&name, place)| match place {
            Place::Time(at) => Some((name.clone(), at.0)),
            Place::Beginning | Place::End | Place::Stored | Place::Offset(_) | Place::BeforeEnd(_) => None,
        });
        let at_times = assign::at_times(consumer, &wanted.collect::<Vec<_>>())?;
        let start = |(&name, &place): (&&PartitionName, &Place)| {
            let known = Known {
                bounds: *bounds.get(name)?,
                stored: stored.get(name).copied(),
                at_time: at_times.get(name).copied().flatten(),
            };
            let asked = assign::offset(place, known)?;
            let replaced = asked > known.bounds.high;
            let id = if replaced { self.partitions.renewed(name) } else { self.partitions.id(name) };
            let Some(id) = id else {
                self.turn(Turn::TooMany(name.clone()));
                return None;
            };
            // A commit in the log that is gone says nothing of this one.
            let stored = known.stored.filter(|_| !replaced);
            Some(Start { name: name.clone(), id, asked, bounds: known.bounds, stored })
        };
        Ok(places.iter().filter_map(start).collect())
    }

    fn place(&self, name: &PartitionName, stored: bool) -> Place {
        if stored {
            return Place::Stored;
        }
        let place = match self.from.of(name) {
            _ if !self.born.contains(name) => Place::Beginning,
            Place::Stored => Place::End,
            given @ (Place::Beginning | Place::End | Place::Offset(_) | Place::BeforeEnd(_) | Place::Time(_)) => given,
        };
        tracing::info!(partition = %name, from = %place, "the group has committed nothing here yet");
        place
    }

    /// The last moment at which the partitions' commits are still ours to make.
    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let names = assign::names(list);
        let ids: Vec<_> = names.iter().filter_map(|name| self.partitions.id(name)).collect();
        if !consumer.assignment_lost() {
            commit(consumer, &self.partitions, &self.ledger.last(&ids), CommitMode::Sync);
        }
        for id in ids {
            self.ledger.revoked(id);
        }
        self.turn(Turn::Revoked(names));
    }
}

/// The first offset that exists of what was asked for. An offset behind the end is one of another log: a topic made anew, a
/// log cut off; all of what is there now is new.
pub(super) fn first(start: &Start) -> u64 {
    if start.asked > start.bounds.high { start.bounds.low } else { start.asked.max(start.bounds.low) }
}

/// Asks for commits; those that fail are asked for again by the ledger.
pub(super) fn commit(
    consumer: &BaseConsumer<Follower>,
    partitions: &Partitions,
    due: &[(PartitionId, u64)],
    mode: CommitMode,
) {
    if due.is_empty() {
        return;
    }
    let named: Vec<_> = due.iter().map(|(id, next)| (partitions.name(*id), *next)).collect();
    let asked = assign::list_at(named.iter().map(|(name, next)| (name, *next)));
    if let Err(error) = asked.and_then(|list| consumer.commit(&list, mode)) {
        refused(&error);
        for (id, _) in due {
            consumer.context().ledger.failed(*id);
        }
    }
}

/// A rebalance refuses commits as a matter of course; they are made again when it is over.
fn refused(error: &KafkaError) {
    let passing = [
        RDKafkaErrorCode::RebalanceInProgress,
        RDKafkaErrorCode::IllegalGeneration,
        RDKafkaErrorCode::UnknownMemberId,
        RDKafkaErrorCode::WaitingForCoordinator,
    ];
    if error.rdkafka_error_code().is_some_and(|code| passing.contains(&code)) {
        tracing::debug!(%error, "a commit waits for the group");
    } else {
        tracing::warn!(%error, "a commit was refused and will be tried again");
    }
}

impl ClientContext for Follower {
    /// The end of a partition comes this way too, once for every time it is reached.
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!("librdkafka: {error}: {reason}");
        }
    }
}

impl ConsumerContext for Follower {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) if list.count() == 0 => {}
            Rebalance::Assign(list) => self.assign(consumer, list),
            Rebalance::Revoke(list) => self.revoke(consumer, list),
            Rebalance::Error(error) => self.turn(Turn::Unresolved(error.clone())),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance
            && self.paused.load(Ordering::Relaxed)
            && let Err(error) = consumer.pause(list)
        {
            tracing::debug!(%error, "newly assigned partitions are not paused");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = &result {
            refused(error);
        }
        for element in offsets.elements() {
            let name = PartitionName { topic: element.topic().into(), partition: element.partition() };
            if (result.is_err() || element.error().is_err())
                && let Some(id) = self.partitions.id(&name)
            {
                self.ledger.failed(id);
            }
        }
    }
}
