//! A key that was read wrong and not yet proven lost.

use std::sync::Arc;
use std::time::Duration;

use crate::model::finding::Finding;
use crate::model::{PartitionId, Row, Tick};

use super::chain::{Arrival, Content, Version};
use super::horizon::Ends;
use super::judge::Observation;
use super::keys::{Entry, KeyIx};
use super::limit::{EARLY_READS, QUORUM};
use super::state::Engine;

/// What says that a version had to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Convict {
    /// The causal watermark of the order scope.
    Causal,
    /// The applier's committed position.
    Committed,
    /// The user's word.
    Assumed,
}

/// The newest version that had to be applied when a read was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) partition: PartitionId,
    pub(super) arrival: Arrival,
    pub(super) by: Convict,
}

/// The floors of one key in one read, fixed before the read was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Floors {
    /// To convict.
    pub(super) applied: Option<Floor>,
    /// To forget: the newest settled version.
    pub(super) settled: Option<Arrival>,
}

/// Reads that agreed so far.
#[derive(Debug)]
pub(super) struct Suspect {
    /// Floor of the first read.
    pub(super) floor: Floor,
    /// What was seen, the same each time.
    pub(super) content: Content,
    /// The row, for the finding.
    pub(super) row: Option<Arc<Row<'static>>>,
    /// How many reads agreed.
    pub(super) count: u32,
    /// How many were wrong against the settled floor as well, each but the first after new progress.
    pub(super) settled_count: u32,
    /// The tap's ends after the last of those.
    pub(super) settled_ends: Option<Ends>,
    /// When the first read was sent.
    pub(super) sent: Tick,
    /// When it returned.
    pub(super) first: Tick,
    /// When it was judged.
    pub(super) judged: Tick,
    /// When the last read that counted returned.
    pub(super) last: Tick,
    /// When the last read returned, whether it counted or not: the next one keeps its distance.
    pub(super) looked: Tick,
    /// The tap's ends after the last read.
    pub(super) ends: Ends,
    /// The next read may count: new progress was seen since the last.
    pub(super) ready: bool,
    /// The next read may count against the settled floor.
    pub(super) settled_ready: bool,
    /// How often the count began anew because the content had changed.
    pub(super) changed: u8,
    /// The suspicion as it was stated, once it was.
    pub(super) stated: Option<Box<Finding>>,
}

impl Suspect {
    /// Whether a read that agrees counts, which was wrong against the settled floor as well, or was not.
    fn may_count(&self, settled: bool) -> bool {
        self.ready || settled && self.settled_ready
    }

    /// One more read agrees.
    fn agreed(self, settled: bool, observation: &Observation<'_>) -> Suspect {
        let settled = settled && self.settled_ready;
        let ends = |counts: bool, known: Ends| if counts { Arc::clone(observation.ends) } else { known };
        Suspect {
            count: self.count + u32::from(self.ready),
            ends: ends(self.ready, self.ends),
            settled_count: self.settled_count + u32::from(settled),
            settled_ends: if settled { Some(Arc::clone(observation.ends)) } else { self.settled_ends },
            content: observation.content.clone(),
            row: observation.row.clone(),
            last: observation.ended,
            looked: observation.ended,
            ready: false,
            settled_ready: false,
            ..self
        }
    }
}

impl Engine {
    /// Counts a wrong read: the same content after new progress counts on, a different one starts again.
    pub(super) fn suspect(&mut self, ix: KeyIx, floor: Floor, settled: bool, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let frozen = self.is_frozen(entry, floor);
        let same = entry.suspect().is_some_and(|suspect| {
            self.is_same_loss(entry, suspect, observation) && !self.stood_between(entry, suspect, floor, observation)
        });
        let now = self.now;
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let known = entry.more().suspect.take();
        let next = match known {
            Some(suspect) if same && !frozen && suspect.may_count(settled) => suspect.agreed(settled, observation),
            Some(suspect) if same && !suspect.ready => {
                Suspect { settled_ready: false, looked: observation.ended, ..*suspect }
            }
            known => Suspect {
                floor,
                content: observation.content.clone(),
                row: observation.row.clone(),
                count: 1,
                settled_count: u32::from(settled && !frozen),
                settled_ends: (settled && !frozen).then(|| Arc::clone(observation.ends)),
                sent: observation.sent,
                first: observation.ended,
                judged: now,
                last: observation.ended,
                looked: observation.ended,
                ends: Arc::clone(observation.ends),
                ready: false,
                settled_ready: false,
                changed: known.as_ref().map_or(0, |suspect| suspect.changed.saturating_add(u8::from(!same))),
                stated: known.and_then(|suspect| suspect.stated),
            },
        };
        entry.more().suspect = Some(Box::new(next));
        self.suspects.insert(ix);
    }

    /// Whether verdicts against this floor are held by a backward step.
    pub(super) fn is_frozen(&self, entry: &Entry, floor: Floor) -> bool {
        let margin = self.margin_after_back(floor);
        let version = entry.chain.at_or_before(floor.arrival).map(|index| entry.chain.versions()[index]);
        let horizon = version.and_then(|version| self.horizon(&version, entry.key.table()));
        version.is_some_and(|version| self.is_doubtful(&version))
            || horizon.is_some_and(|horizon| horizon.frozen(self.now, margin))
    }

    /// A backward committed position holds its partition for two commit intervals at least, any other step for the margin.
    fn margin_after_back(&self, floor: Floor) -> Duration {
        let interval =
            self.partitions.get(&floor.partition).map(|partition| partition.commit_interval).unwrap_or_default();
        match floor.by {
            Convict::Causal => self.settle(),
            Convict::Committed | Convict::Assumed => (interval * 2).min(self.settle()),
        }
    }

    /// The content was right for a moment between the floors of the two reads: a row that toggles, so the reads say nothing
    /// together.
    fn stood_between(&self, entry: &Entry, suspect: &Suspect, floor: Floor, observation: &Observation<'_>) -> bool {
        let probe = self.probe(&observation.content);
        let since = suspect.floor.arrival;
        let between = |version: &&Version| version.arrival > since && version.arrival <= floor.arrival;
        !observation.content.has_placeholder()
            && entry.chain.versions().iter().filter(between).any(|version| probe.fits(version))
    }

    /// The same wrong content, or one column that stays at a value which no allowed version has.
    fn is_same_loss(&self, entry: &Entry, suspect: &Suspect, observation: &Observation<'_>) -> bool {
        if suspect.content == observation.content {
            return true;
        }
        let (Some(before), Some(row)) = (&suspect.row, &observation.row) else { return false };
        let (Content::Row { hashes: was, .. }, Content::Row { hashes: is, .. }) =
            (&suspect.content, &observation.content)
        else {
            return false;
        };
        let allowed = entry.chain.versions().iter().filter(|version| version.arrival >= suspect.floor.arrival);
        let mut stale: Vec<usize> = (0..is.0.len()).filter(|index| was.0.get(*index) == is.0.get(*index)).collect();
        for version in allowed.filter(|version| version.leaves_row()) {
            let Some(expected) = self.images.image(version.at(), &entry.key).and_then(|image| image.row) else {
                return false;
            };
            let verdicts = self.compare(&entry.key, version, &expected, row);
            stale.retain(|index| {
                verdicts
                    .iter()
                    .any(|verdict| verdict.index == *index && verdict.outcome == crate::canon::Compared::Different)
            });
        }
        !stale.is_empty() && before.columns == row.columns
    }

    /// Suspects whose next read may count: something appended after their last read is visible (or the applier committed a
    /// standing log whole), and the last read is old enough.
    pub(super) fn wake_suspects(&mut self) {
        let mut wake = Vec::new();
        for ix in &self.suspects {
            let Some(entry) = self.keys.get(*ix) else { continue };
            let Some(suspect) = entry.suspect() else { continue };
            // Reads beyond the third wait for the gate or the margin: no hurry.
            let pause = if suspect.count < EARLY_READS { self.options.confirm_after } else { self.options.reread };
            if entry.is_in_flight() || suspect.looked + pause > self.now {
                continue;
            }
            let ready = suspect.ready || self.is_post_dated(entry, suspect, &suspect.ends);
            let settled = suspect.floor.by == Convict::Causal
                && match &suspect.settled_ends {
                    Some(ends) => self.is_post_dated(entry, suspect, ends),
                    None => self.is_settled(entry, suspect),
                };
            if ready || (settled && suspect.looked + self.options.reread <= self.now) {
                wake.push((*ix, ready, settled));
            }
        }
        for (ix, ready, settled) in wake {
            if let Some(suspect) = self.keys.get_mut(ix).and_then(|entry| entry.more().suspect.as_mut()) {
                (suspect.ready, suspect.settled_ready) = (ready, settled);
            }
            self.schedule_now(ix);
        }
    }

    /// Whether the floor of a suspect is settled by now.
    fn is_settled(&self, entry: &Entry, suspect: &Suspect) -> bool {
        let index = entry.chain.at_or_before(suspect.floor.arrival);
        index.is_some_and(|index| self.settles(&entry.chain.versions()[index], entry.key.table()))
    }

    pub(super) fn is_post_dated(&self, entry: &Entry, suspect: &Suspect, ends: &Ends) -> bool {
        let Some(index) = entry.chain.at_or_before(suspect.floor.arrival) else { return true };
        let version = entry.chain.versions()[index];
        let horizon = self.horizon(&version, entry.key.table());
        let visible = |quorum| horizon.is_some_and(|horizon| horizon.post_dates(ends, quorum));
        // Where nothing but the key is ordered, what stands behind says nothing.
        let behind = [(version.partition, version.offset + 1)];
        let is_passed = || horizon.is_none_or(|horizon| horizon.post_dates(&behind, 1));
        match suspect.floor.by {
            Convict::Assumed => true,
            Convict::Causal => visible(QUORUM),
            Convict::Committed => {
                visible(1) || self.stands_committed(suspect) || self.stands_undisturbed(suspect) && is_passed()
            }
        }
    }

    /// Nothing is appended any more, and the applier committed all there is, asked after the last read.
    fn stands_committed(&self, suspect: &Suspect) -> bool {
        let zombie = self.options.zombie_after;
        let Some(partition) = self.partitions.get(&suspect.floor.partition) else { return false };
        partition.idle_and_committed(self.now, zombie)
            && partition.committed_asked >= suspect.last
            && suspect.last + zombie <= self.now
    }
}
