//! The loop of a tap that follows its topics as a member of a group.
#![expect(
    clippy::disallowed_methods,
    reason = "commit intervals and back-pressure are measured on the tap's own thread"
)]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Session;
use super::assign;
use super::client;
use super::ledger::Ledger;
use super::rebalance::{self, Follower, Start, Turn};
use super::roster::{Roster, Row, Troubles};
use super::topics::Topics;
use crate::model::position::PartitionName;
use crate::tap::TapEvent;
use crate::tap::outlet::{FULL, Flow, Outlet};
use crate::tap::position::Places;

/// How long a poll waits for a record; also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(100);

/// How often judged offsets are committed, and positions looked at where no record tells them.
const INTERVAL: Duration = Duration::from_secs(1);

/// Records read between two looks at everything else.
const BURST: usize = 4096;

/// How long the client may take to say good-bye before it is left behind: its close is known to hang on rare occasions.
const GOOD_BYE: Duration = Duration::from_secs(10);

/// How long one question may take while the brokers have not answered any; a stop is noticed in between.
const TRY: Duration = Duration::from_secs(2);

/// The question after which it is told that they do not answer.
const TELL: u32 = 3;

/// A tap in a group.
pub(super) struct Follow {
    pub(super) session: Session,
    pub(super) topics: Topics,
    pub(super) group: String,
    pub(super) from: Places,
    pub(super) ledger: Arc<Ledger>,
}

/// The state of the loop; its consumer stands beside it, because records borrow from it.
struct Loop {
    session: Session,
    context: Arc<Follower>,
    subscription: Vec<String>,
    outlet: Outlet,
    roster: Roster,
    troubles: Troubles,
    /// Records were gone from the log, or the log was another: [`Loop::recover`].
    lost: bool,
    /// The end of some partition was seen.
    ended: bool,
    full_since: Option<Instant>,
    looked: Instant,
    /// How long polling may stop: a quarter of what the group allows.
    patience: Duration,
}

impl Follow {
    /// Runs until it is stopped or cannot go on.
    pub(super) fn run(self, mut outlet: Outlet) {
        let Some(consumer) = self.consumer(&mut outlet) else {
            outlet.flush();
            return;
        };
        let subscription = self.topics.subscription();
        let patience = self.session.brokers.setting("max.poll.interval.ms", 300_000) / 4;
        let mut state = Loop {
            context: consumer.context().clone(),
            session: self.session,
            subscription,
            outlet,
            roster: Roster::default(),
            troubles: Troubles::default(),
            lost: false,
            ended: false,
            full_since: None,
            looked: Instant::now(),
            patience: Duration::from_millis(patience),
        };
        if state.subscribe(&consumer).is_continue() {
            while !state.session.signal.stopped() && state.step(&consumer).is_continue() {}
        }
        state.close(consumer);
    }

    /// A consumer, as soon as the brokers told which partitions exist: younger ones are read from their beginning.
    fn consumer(&self, outlet: &mut Outlet) -> Option<BaseConsumer<Follower>> {
        let brokers = &self.session.brokers;
        let born = self.born(outlet)?;
        let context = Follower::new(self.from.clone(), born, self.session.partitions.clone(), self.ledger.clone());
        match self.settings().create_with_context(context) {
            Ok(consumer) => Some(consumer),
            Err(error) => {
                outlet.event(TapEvent::Failed(brokers.unusable(error)));
                None
            }
        }
    }

    fn settings(&self) -> rdkafka::ClientConfig {
        let brokers = &self.session.brokers;
        let mut settings = brokers.settings();
        settings.set("group.id", &self.group).set("enable.partition.eof", "true");
        // The new protocol leaves both to the brokers and refuses to be told.
        if brokers.properties.get("group.protocol").is_none_or(|protocol| protocol != "consumer") {
            for (name, value) in
                [("partition.assignment.strategy", "cooperative-sticky"), ("session.timeout.ms", "10000")]
            {
                if !brokers.properties.contains_key(name) {
                    settings.set(name, value);
                }
            }
        }
        settings
    }

    fn born(&self, outlet: &mut Outlet) -> Option<BTreeSet<crate::model::position::PartitionName>> {
        let Session { brokers, signal, .. } = &self.session;
        let asker = brokers.asker().map_err(|error| outlet.event(TapEvent::Failed(error))).ok()?;
        let (mut tries, mut refusal) = (0, None);
        while !signal.stopped() {
            match self.topics.existing(&asker, TRY) {
                Ok((found, missing)) => {
                    if !missing.is_empty() {
                        let what = format!("topic `{}` does not exist", missing.join("`, `"));
                        let hint = "check `topics`; it is read from its beginning when it is created later";
                        outlet.event(TapEvent::Failed(brokers.trouble(&what, hint, None)));
                    }
                    self.session.partitions.exist(&found);
                    return Some(found.into_iter().collect());
                }
                Err(error) => {
                    tries += 1;
                    refusal = client::drain(&asker).or(refusal);
                    if tries == TELL {
                        let error = refusal.take().unwrap_or(error);
                        outlet.event(TapEvent::Failed(brokers.silent("which topics exist; still asking", error)));
                        outlet.flush();
                    }
                }
            }
        }
        None
    }
}

type Go = ControlFlow<()>;

impl Loop {
    fn subscribe(&mut self, consumer: &BaseConsumer<Follower>) -> Go {
        let topics: Vec<&str> = self.subscription.iter().map(String::as_str).collect();
        match consumer.subscribe(&topics) {
            Ok(()) => Go::Continue(()),
            Err(error) => {
                let hint = "check `topics`";
                self.outlet.event(TapEvent::Failed(self.session.brokers.fatal(
                    "subscribing failed",
                    hint,
                    Some(error),
                )));
                Go::Break(())
            }
        }
    }

    fn step(&mut self, consumer: &BaseConsumer<Follower>) -> Go {
        let interval = self.looked.elapsed() >= INTERVAL;
        if interval {
            self.looked = Instant::now();
            let due = self.context.ledger.due();
            rebalance::commit(consumer, &self.session.partitions, &due, CommitMode::Async);
        }
        match self.outlet.flush() {
            Flow::Gone => return Go::Break(()),
            Flow::Full => return self.full(consumer),
            Flow::Free => self.free(consumer),
        }
        self.rewind(consumer);
        self.burst(consumer, IDLE)?;
        if self.lost {
            self.recover(consumer);
        }
        if interval || self.ended {
            self.ended = false;
            self.reached(consumer);
        }
        Go::Continue(())
    }

    /// Reads until nothing is there or a burst is over.
    fn burst(&mut self, consumer: &BaseConsumer<Follower>, wait: Duration) -> Go {
        let mut wait = wait;
        for _ in 0..BURST {
            let polled = consumer.poll(wait);
            self.turns(consumer)?;
            match polled {
                None => break,
                Some(Ok(message)) => {
                    self.troubles.over();
                    self.roster.deliver(&message, &mut self.outlet);
                }
                Some(Err(error)) => self.error(error)?,
            }
            wait = Duration::ZERO;
        }
        self.context.ledger.delivered(self.roster.rows().iter().map(|row| (row.id, row.next)));
        Go::Continue(())
    }

    /// The channel is full: polling stops, and the log keeps what is not polled. A group member that does not poll for long
    /// is expelled, so in the end partitions are paused (which costs what the client has fetched ahead) and polled for nothing.
    fn full(&mut self, consumer: &BaseConsumer<Follower>) -> Go {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.patience {
            if !self.context.paused.swap(true, Ordering::Relaxed) {
                tracing::info!("reading is paused: what was read is not taken");
                self.pausing(consumer.assignment().and_then(|all| consumer.pause(&all)));
            }
            self.burst(consumer, Duration::ZERO)?;
        }
        std::thread::park_timeout(FULL);
        Go::Continue(())
    }

    fn free(&mut self, consumer: &BaseConsumer<Follower>) {
        self.full_since = None;
        if self.context.paused.swap(false, Ordering::Relaxed) {
            tracing::info!("reading goes on");
            self.pausing(consumer.assignment().and_then(|all| consumer.resume(&all)));
        }
    }

    fn pausing(&mut self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            tracing::warn!(%error, "pausing or resuming failed");
        }
    }

    fn turns(&mut self, consumer: &BaseConsumer<Follower>) -> Go {
        for turn in self.context.turns() {
            match turn {
                Turn::Assigned(starts) => starts.into_iter().for_each(|start| self.assigned(start)),
                Turn::Revoked(names) => {
                    for row in names.iter().filter_map(|name| self.roster.remove(name)) {
                        self.outlet.revoked(row.id);
                    }
                }
                Turn::Unresolved(error) => {
                    self.outlet
                        .event(TapEvent::Failed(self.session.brokers.silent("where to begin; joining again", error)));
                    consumer.unsubscribe();
                    self.subscribe(consumer)?;
                }
                Turn::TooMany(name) => self.too_many(&name),
            }
        }
        Go::Continue(())
    }

    fn too_many(&mut self, name: &PartitionName) {
        let hint = "nothing of it is judged: give this pipeline fewer topics";
        let what = format!("`{name}` is past the 65,536 partitions of one tap");
        self.outlet.event(TapEvent::Failed(self.session.brokers.trouble(&what, hint, None)));
    }

    fn assigned(&mut self, start: Start) {
        self.troubles.over();
        let next = rebalance::first(&start);
        let (partition, from) = (start.id, start.asked);
        if start.asked > start.bounds.high {
            self.another_log(&start, next);
        } else {
            self.outlet.event(TapEvent::Assigned { partition, next: from });
            if from < next {
                self.outlet.event(TapEvent::Gap { partition, from, to: next, why: None });
            }
        }
        self.roster.put(Row { name: start.name, id: partition, next, to: u64::MAX });
    }

    /// What is known of the partition is of a log that is gone.
    fn another_log(&mut self, start: &Start, next: u64) {
        let (partition, expected, end) = (start.id, start.asked, start.bounds.high);
        self.outlet.event(TapEvent::Replaced { partition, expected, end });
        self.outlet.event(TapEvent::Assigned { partition, next });
        let what = format!(
            "`{}` ends at {}, before the offset {} that was to be read next",
            start.name, start.bounds.high, start.asked
        );
        let hint = "the topic was made anew or its log cut off: reading begins again where the log begins; audit what lies between";
        self.outlet.event(TapEvent::Failed(self.session.brokers.trouble(&what, hint, None)));
    }

    fn reached(&mut self, consumer: &BaseConsumer<Follower>) {
        if let Err(error) = self.roster.reached(consumer, &mut self.outlet) {
            tracing::debug!(%error, "positions are not known");
        }
        self.context.ledger.delivered(self.roster.rows().iter().map(|row| (row.id, row.next)));
    }

    fn error(&mut self, error: KafkaError) -> Go {
        type Code = RDKafkaErrorCode;
        let code = error.rdkafka_error_code();
        if matches!(error, KafkaError::PartitionEOF(_)) {
            self.ended = true;
            self.troubles.over();
        } else if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            let hint = "the client cannot go on; start again, and see the log for its reason";
            self.outlet.event(TapEvent::Failed(self.session.brokers.fatal(
                "reading failed for good",
                hint,
                Some(error),
            )));
            return Go::Break(());
        } else if matches!(code, Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation)) {
            self.lost = true;
        } else if self.troubles.tell(&error, Instant::now()) {
            let hint = code.map_or("see the log", client::advice);
            self.outlet.event(TapEvent::Failed(self.session.brokers.trouble(
                "reading is interrupted",
                hint,
                Some(error),
            )));
        }
        Go::Continue(())
    }

    /// The log does not hold the next offset of some partition (the client does not say which): tells what is gone, and
    /// begins again behind it.
    fn recover(&mut self, consumer: &BaseConsumer<Follower>) {
        let bounds = match assign::bounds(consumer, &self.roster.names()) {
            Ok(bounds) => bounds,
            Err(error) => {
                tracing::warn!(%error, "what the log still holds is not known yet; asking again");
                return;
            }
        };
        for row in self.roster.rows().to_vec() {
            let Some(&bounds) = bounds.get(&row.name) else { continue };
            let mut start = Start { name: row.name.clone(), id: row.id, asked: row.next, bounds, stored: None };
            let next = rebalance::first(&start);
            if row.next > bounds.high {
                self.context.ledger.revoked(row.id);
                self.outlet.revoked(row.id);
                let Some(id) = self.session.partitions.renewed(&row.name) else {
                    self.roster.remove(&row.name);
                    self.too_many(&row.name);
                    continue;
                };
                start.id = id;
                self.context.ledger.assigned(id, next, None);
                self.another_log(&start, next);
            } else if row.next < next {
                self.outlet.event(TapEvent::Gap { partition: row.id, from: row.next, to: next, why: None });
            }
            self.roster.put(Row { next, id: start.id, ..row });
        }
        match self.reassign(consumer) {
            Ok(()) => self.lost = false,
            Err(error) => tracing::warn!(%error, "reading cannot begin again yet; trying again"),
        }
    }

    /// Begins again where [`Control::rewind`](crate::tap::Control::rewind) said, or where the log begins if that is later:
    /// what is gone was read before.
    fn rewind(&mut self, consumer: &BaseConsumer<Follower>) {
        let wanted = self.context.ledger.rewinds();
        if wanted.is_empty() {
            return;
        }
        let bounds = match assign::bounds(consumer, &self.roster.names()) {
            Ok(bounds) => bounds,
            Err(error) => {
                tracing::warn!(%error, "where the log begins is not known yet; reading begins again later");
                for (id, to) in wanted {
                    self.context.ledger.rewind(id, to);
                }
                return;
            }
        };
        for (id, to) in wanted {
            let Some(row) = self.roster.rows().iter().find(|row| row.id == id).cloned() else { continue };
            let low = bounds.get(&row.name).map_or(to, |bounds| bounds.low);
            let next = to.max(low).min(row.next);
            self.context.ledger.rewound(id, next);
            self.outlet.assigned_again(id, next);
            self.roster.put(Row { next, ..row });
        }
        // As after a loss, until it works: the rows say where reading begins.
        self.lost = self.reassign(consumer).is_err() || self.lost;
    }

    /// A partition that failed is not fetched again until it is assigned again; a seek is refused.
    fn reassign(&mut self, consumer: &BaseConsumer<Follower>) -> Result<(), KafkaError> {
        let all = assign::list_at(self.roster.rows().iter().map(|row| (&row.name, row.next)))?;
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                consumer.incremental_unassign(&all)?;
                consumer.incremental_assign(&all)
            }
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(&all),
        }
    }

    /// Commits what was judged and leaves the group, within [`GOOD_BYE`].
    fn close(mut self, consumer: BaseConsumer<Follower>) {
        let ids: Vec<_> = self.roster.rows().iter().map(|row| row.id).collect();
        let last = self.context.ledger.last(&ids);
        let partitions = self.session.partitions.clone();
        let (done, closed) = mpsc::sync_channel(1);
        let closing = std::thread::Builder::new().name("tap-close".into()).spawn(move || {
            rebalance::commit(&consumer, &partitions, &last, CommitMode::Sync);
            drop(consumer);
            // Nobody waits for it any more after GOOD_BYE.
            let _ = done.try_send(());
        });
        if closing.is_err() || closed.recv_timeout(GOOD_BYE).is_err() {
            tracing::warn!(
                "the Kafka client did not close in time and is left behind; the group notices by its session timeout"
            );
        }
        for turn in self.context.turns() {
            if let Turn::Revoked(names) = turn {
                for row in names.iter().filter_map(|name| self.roster.remove(name)) {
                    self.outlet.revoked(row.id);
                }
            }
        }
        self.outlet.flush();
    }
}
