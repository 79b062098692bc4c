//! Asks, at every poll, how far the applier came and where the tap ends.
#![expect(clippy::disallowed_methods, reason = "evidence is asked for at a bounded pace, by calls that block")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::QueryTrust;
use crate::engine::event::Node;
use crate::model::{PartitionId, SourceTime, Tick};
use crate::tap::kafka::evidence::Applied;
use crate::tap::{Control, Partitions, TapError};
use crate::target::{AppliedRow, Role, Target, TargetError};

use super::clock::Clock;
use super::driver::Reply;
use super::tell;

/// How often the node that is read is asked what it is, where no read fails.
const ASK_NODE_EVERY: Duration = Duration::from_secs(600);

/// How often it is looked who answers, where several servers did.
const LOOK_WHO_ANSWERS_EVERY: Duration = Duration::from_secs(60);

/// How often it is asked whether an open transaction holds the tap back, which matters only where it stays open for long.
const ASK_HELD_EVERY: Duration = Duration::from_secs(15);

/// Where the applier's own positions come from.
pub(super) enum Positions {
    /// Only rows tell.
    None,
    /// Its consumer group.
    Group(Arc<Applied>),
    /// A query on the target.
    Query { sql: String, trust: QueryTrust },
}

/// The poller.
pub(super) struct Evidence {
    pub(super) clock: Clock,
    pub(super) every: Duration,
    pub(super) partitions: Partitions,
    pub(super) control: Arc<dyn Control>,
    pub(super) positions: Positions,
    pub(super) target: Target,
    /// The last lookup failed.
    pub(super) failing: Arc<AtomicBool>,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) pipeline: Arc<str>,
}

impl Evidence {
    /// Runs until nobody listens any more. A question that is not answered is asked again at the next poll.
    pub(super) async fn run(self) {
        let mut pace = tokio::time::interval(self.every.max(Duration::from_millis(20)));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut asked_node, mut refused, mut asked_held) = (None, None, None);
        while !self.replies.is_closed() {
            pace.tick().await;
            if self.failing.load(Ordering::Relaxed) || self.target.is_doubtful() {
                // Another node may answer next.
                asked_node = None;
            }
            let now = self.clock.now();
            let waits = refused.is_some_and(|at: Tick| now < at + LOOK_WHO_ANSWERS_EVERY);
            if !waits && asked_node.is_none_or(|at| at + ASK_NODE_EVERY <= now) {
                asked_node = self.ask_node().await.then_some(now);
                refused = self.target.refusal().map(|_| now);
            }
            let known: Vec<PartitionId> = self.partitions.all().into_iter().map(|(id, _)| id).collect();
            if known.is_empty() {
                continue;
            }
            if asked_node.is_some() {
                self.ask_positions(&known).await;
            }
            if asked_held.is_none_or(|at: Tick| at + ASK_HELD_EVERY <= now) {
                self.ask_held(known.clone()).await;
                asked_held = Some(now);
            }
            self.ask_ends(known).await;
        }
    }

    async fn ask_held(&self, known: Vec<PartitionId>) {
        let asked = self.clock.now();
        let control = Arc::clone(&self.control);
        match tokio::task::spawn_blocking(move || control.held_up(&known)).await {
            Ok(Ok(held)) => self.send(Reply::HeldUp { asked, held }).await,
            Ok(Err(error)) => tell::tap_failed(&self.pipeline, &error),
            Err(_) => {}
        }
    }

    /// Asks which node is read; gives back whether it answered. Until then positions prove nothing, and where it is another
    /// one than before nothing is read.
    async fn ask_node(&self) -> bool {
        let is_another = self.target.is_doubtful();
        let probe = match self.target.probe().await {
            Ok(probe) => probe,
            Err(error) => {
                // Several servers: no lookup will say so where none is due.
                self.failing.fetch_or(self.target.refusal().is_some(), Ordering::Relaxed);
                self.failed(&error);
                return false;
            }
        };
        if is_another {
            tell::reads_another_server(&self.pipeline, probe.server.as_ref());
            // What positions made suspect was read elsewhere: it begins anew, as behind any change of the node.
            self.send(Reply::Node(Node::Replica)).await;
        }
        let node = match probe.role {
            Role::Replica(why) => {
                tell::reads_replica(&self.pipeline, &why);
                Node::Replica
            }
            Role::Written(_) => Node::Primary,
        };
        self.send(Reply::Node(node)).await;
        self.target.admit();
        true
    }

    async fn ask_ends(&self, known: Vec<PartitionId>) {
        let asked = self.clock.now();
        let control = Arc::clone(&self.control);
        match tokio::task::spawn_blocking(move || control.ends(&known)).await {
            Ok(Ok(ends)) => self.send(Reply::Ends { asked, ends }).await,
            Ok(Err(error)) => tell::tap_failed(&self.pipeline, &error),
            Err(_) => {}
        }
    }

    async fn ask_positions(&self, known: &[PartitionId]) {
        let asked = self.clock.now();
        match &self.positions {
            Positions::None => {}
            Positions::Group(group) => {
                let (group, known) = (Arc::clone(group), known.to_vec());
                let answer = tokio::task::spawn_blocking(move || -> Result<_, TapError> {
                    let generation = group.generation();
                    Ok((group.committed(&known)?, generation))
                });
                match answer.await {
                    Ok(Ok((next, generation))) => self.send(Reply::Committed { asked, next, generation }).await,
                    Ok(Err(error)) => tell::tap_failed(&self.pipeline, &error),
                    Err(_) => {}
                }
            }
            Positions::Query { sql, trust } => match self.target.applied(sql).await {
                Ok(rows) => self.rows(asked, rows, *trust).await,
                Err(error) => self.failed(&error),
            },
        }
    }

    fn failed(&self, error: &TargetError) {
        tell::target_failed(&self.pipeline, error, 0);
    }

    async fn rows(&self, asked: Tick, rows: Vec<AppliedRow>, trust: QueryTrust) {
        let names = super::look::by_name(self.partitions.all());
        let mut next = Vec::new();
        for row in rows {
            match row {
                AppliedRow::Position { topic, partition, next_offset } => {
                    next.extend(names.get(&(topic, partition)).map(|id| (*id, next_offset)));
                }
                AppliedRow::Time(time) => self.send(Reply::AppliedTime { asked, time: SourceTime(time) }).await,
            }
        }
        // Whoever writes rows moves their position with them: there is no former member of a group to look out for.
        let generation = match trust {
            QueryTrust::Durable => Some(0),
            QueryTrust::Witness => None,
        };
        if !next.is_empty() {
            self.send(Reply::Committed { asked, next, generation }).await;
        }
    }

    async fn send(&self, reply: Reply) {
        let _ = self.replies.send(reply).await;
    }
}
