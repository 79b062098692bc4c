//! The one loop that holds the engine: inputs in, outputs carried out in their order.
#![expect(clippy::disallowed_methods, reason = "the loop wakes at the deadline that the engine asks for")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::event::{LookFailure, Looked, Lookup, Node, Note, Page, PlanEpoch, Recall, RecallId, Scan, ScanId};
use crate::engine::tally::Tally;
use crate::engine::{Engine, Input, Output};
use crate::model::finding::Finding;
use crate::model::{PartitionId, Position, SourceTime, TableId, Tick};
use crate::tap::{Control, HeldUp, Partitions, TapError};

use super::clock::Clock;
use super::tables::Tables;
use super::tell;

/// Batches of inputs that wait for the engine; past it ingest waits, and so does the tap.
pub(super) const FED: usize = 8;

/// Answers that wait for the engine: lookups in flight and evidence, so in practice a handful.
pub(super) const REPLIES: usize = 64;

/// Findings and commits that wait for the store; past it judging waits.
pub(super) const RECORDS: usize = 4096;

/// What ingest hands over.
#[derive(Debug)]
pub(super) enum Fed {
    Inputs(Vec<Input>),
    /// A tap began to be read, or the next part of one.
    TapStarted,
    /// Every partition of a bounded read reached its end.
    TapEnded,
    /// The tap's thread is gone.
    TapClosed,
    TapFailed(TapError),
}

/// What the tasks around the engine hand over.
#[derive(Debug)]
pub(super) enum Reply {
    Looked(Looked),
    Ends {
        asked: Tick,
        ends: Vec<(PartitionId, u64)>,
    },
    HeldUp {
        asked: Tick,
        held: Vec<HeldUp>,
    },
    DeadLetters(Vec<(Position, Arc<str>)>),
    Committed {
        asked: Tick,
        next: Vec<(PartitionId, u64)>,
        generation: Option<u64>,
    },
    AppliedTime {
        asked: Tick,
        time: SourceTime,
    },
    Node(Node),
    Replanned(TableId, PlanEpoch),
    Recalled {
        id: RecallId,
        found: u64,
    },
    Scanned {
        id: ScanId,
        page: Result<Page, LookFailure>,
    },
    /// Asks for the picture of a range, by its ends.
    Tally {
        ends: BTreeMap<PartitionId, u64>,
        asker: oneshot::Sender<Tally>,
    },
    /// What a defect of the judge would be.
    #[cfg(test)]
    Poison,
    Stop,
}

/// What must become durable, in order.
#[derive(Debug)]
pub(super) enum Record {
    Finding(Box<Finding>),
    Commit {
        partition: PartitionId,
        next: u64,
    },
    Unverifiable {
        partition: PartitionId,
        range: (u64, u64),
        why: &'static str,
    },
    /// Answered once everything before it is durable.
    Flush(oneshot::Sender<()>),
}

/// How the tap stands, for whoever waits for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TapState {
    Running,
    /// The asked range was read to its end.
    Ended,
    /// It will deliver nothing more; where a range was asked, it failed before the end.
    Closed,
}

/// Where the judge's questions go.
pub(super) struct Asks {
    pub(super) lookups: mpsc::Sender<Lookup>,
    pub(super) recalls: mpsc::Sender<Recall>,
    pub(super) scans: mpsc::Sender<Scan>,
}

/// The loop's ends of every channel.
pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) clock: Clock,
    pub(super) fed: mpsc::Receiver<Fed>,
    pub(super) replies: mpsc::Receiver<Reply>,
    pub(super) asks: Asks,
    pub(super) records: mpsc::Sender<Record>,
    pub(super) control: Arc<dyn Control>,
    pub(super) tally: watch::Sender<Tally>,
    pub(super) tap: watch::Sender<TapState>,
    pub(super) pipeline: Arc<str>,
    pub(super) partitions: Partitions,
    pub(super) tables: Arc<Tables>,
    pub(super) timing: Timing,
}

/// Whether changes tell when the source committed them. One that does not may be older or newer than any time: from there on a
/// time up to which the applier came says nothing of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Timing {
    /// All so far.
    #[default]
    All,
    /// Some do not.
    Some,
}

impl Timing {
    fn note(&mut self, input: &Input) {
        if let Input::Change(change) = input
            && change.committed_at.is_none()
        {
            *self = Timing::Some;
        }
    }
}

/// How often the read-only picture is renewed.
const PICTURE_EVERY_MS: u64 = 500;

impl Driver {
    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        let mut paused = false;
        let mut open = true;
        let mut pictured = Tick(0);
        loop {
            let (deadline, _) = self.engine.poll_timeout();
            let wake = tokio::time::Instant::from_std(self.clock.instant(deadline));
            tokio::select! {
                biased;
                reply = self.replies.recv() => match reply {
                    Some(Reply::Stop) | None => break,
                    Some(reply) => self.reply(reply),
                },
                () = tokio::time::sleep_until(wake) => self.handle(Input::Tick),
                fed = self.fed.recv(), if open && !paused => match fed {
                    Some(fed) => open = self.fed(fed),
                    None => open = false,
                },
            }
            if !self.carry_out(&mut paused).await {
                break;
            }
            if self.clock.now().0 >= pictured.0 + PICTURE_EVERY_MS {
                pictured = self.clock.now();
                self.tally.send_replace(self.engine.tally());
            }
        }
        self.control.stop();
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        self.engine.handle(input, now);
    }

    fn fed(&mut self, fed: Fed) -> bool {
        match fed {
            Fed::Inputs(inputs) => inputs.into_iter().for_each(|input| {
                self.timing.note(&input);
                self.handle(input);
            }),
            Fed::TapStarted => self.tap_is(TapState::Running),
            Fed::TapEnded => self.tap_is(TapState::Ended),
            Fed::TapClosed => {
                self.tap.send_replace(TapState::Closed);
                return false;
            }
            Fed::TapFailed(error) => {
                tell::tap_failed(&self.pipeline, &error);
                if error.fatal {
                    self.tap.send_replace(TapState::Closed);
                }
            }
        }
        true
    }

    /// A tap of which something failed for good never was read to its end, whatever comes of its other parts.
    fn tap_is(&self, state: TapState) {
        self.tap.send_if_modified(|known| {
            let changes = *known != TapState::Closed && *known != state;
            if changes {
                *known = state;
            }
            changes
        });
    }

    fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Looked(looked) => self.handle(Input::Looked(looked)),
            Reply::Ends { asked, ends } => self.handle(Input::Ends { asked, ends }),
            Reply::HeldUp { asked, held } => {
                let held = held.into_iter().map(|held| (held.partition, held.stable, held.end)).collect();
                self.handle(Input::HeldUp { asked, held });
            }
            Reply::DeadLetters(letters) => {
                letters.into_iter().for_each(|(at, why)| self.handle(Input::DeadLetter { at, why }));
            }
            Reply::Committed { asked, next, generation } => self.handle(Input::Committed { asked, next, generation }),
            Reply::AppliedTime { asked, time } => match self.timing {
                Timing::All => self.handle(Input::AppliedTime { asked, time }),
                Timing::Some => tell::times_say_nothing(&self.pipeline),
            },
            Reply::Node(node) => self.handle(Input::Node(node)),
            Reply::Replanned(table, plan) => self.handle(Input::Replanned { table, plan }),
            Reply::Recalled { id, found } => self.handle(Input::Recalled { id, found }),
            Reply::Scanned { id, page } => self.handle(Input::Scanned { id, page }),
            Reply::Tally { ends, asker } => {
                let _ = asker.send(self.engine.tally_before(&ends));
            }
            #[cfg(test)]
            Reply::Poison => panic!("poisoned"),
            Reply::Stop => {}
        }
    }

    /// Carries out what the engine wants; `false` once nobody records any more.
    async fn carry_out(&mut self, paused: &mut bool) -> bool {
        while let Some(output) = self.engine.poll_output() {
            let sent = match output {
                Output::Lookup(lookup) => self.asks.lookups.send(lookup).await.is_ok(),
                Output::Recall(recall) => {
                    self.recall(recall);
                    true
                }
                Output::Scan(scan) => self.asks.scans.send(scan).await.is_ok(),
                Output::Finding(finding) => self.records.send(Record::Finding(finding)).await.is_ok(),
                Output::Commit { partition, next } => {
                    self.records.send(Record::Commit { partition, next }).await.is_ok()
                }
                Output::Rewind { partition, to } => {
                    self.rewind(partition, to);
                    true
                }
                Output::Pause => {
                    *paused = true;
                    true
                }
                Output::Resume => {
                    *paused = false;
                    true
                }
                Output::Coerced { table, column, coercion } => {
                    self.tables.coerce(table, &column, coercion);
                    tell::coerced(&self.pipeline, &self.tables.tap_name(table), &column, coercion);
                    true
                }
                Output::Note(note) => self.note(note).await,
            };
            if !sent {
                return false;
            }
        }
        true
    }

    /// Where too many wait, the judge is told at once that this one will not be read.
    fn recall(&mut self, recall: Recall) {
        if let Err(refused) = self.asks.recalls.try_send(recall) {
            let id = refused.into_inner().id;
            self.handle(Input::Recalled { id, found: 0 });
        }
    }

    fn rewind(&self, partition: PartitionId, to: u64) {
        if let Err(error) = self.control.rewind(partition, to) {
            tell::tap_failed(&self.pipeline, &error);
        }
    }

    async fn note(&self, note: Note) -> bool {
        tell::noted(&self.pipeline, &note, &self.partitions, &self.tables);
        match note {
            Note::Unverifiable { partition, range, why } => {
                self.records.send(Record::Unverifiable { partition, range, why }).await.is_ok()
            }
            Note::Frozen { .. }
            | Note::Demoted { .. }
            | Note::Coalesced { .. }
            | Note::Scanned { .. }
            | Note::Transient
            | Note::Replanned { .. }
            | Note::SlowEqual { .. } => true,
        }
    }
}
