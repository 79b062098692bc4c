//! Whether committed positions can be believed: declared to be committed after the write, they are watched for having run
//! ahead of it.

use std::time::Duration;

use crate::model::Tick;
use crate::model::finding::{Finding, Kind, Subject};

use super::event::{Node, Note, Output};
use super::keys::KeyIx;
use super::limit::Commits;
use super::partition::Cursor;
use super::state::Engine;
use super::suspect::{Convict, Suspect};

/// First judgements below a committed position that have to be right for each that is wrong, where a suspect need not wait
/// for the applier's next visible step.
const RIGHTS_PER_WRONG: u32 = 10;

/// How many more were right before it need not.
const RIGHTS: u32 = 30;

/// Rights that are remembered at most.
const RIGHTS_AT_MOST: u32 = 100;

/// At how many moments positions have to have moved while all was right.
const COMMITS: u32 = 8;

/// Two rows that healed to their own version within this time are commits that run ahead of writes, which shows in every
/// batch. One may be what a former member of the group wrote late, or a row of few values that came about otherwise.
const HEALED_WITHIN: Duration = Duration::from_secs(600);

/// What was seen of rows below committed positions.
#[derive(Debug, Default)]
pub(super) struct Soundness {
    /// When a row that was wrong there last healed to exactly its own version.
    healed_to_own: Option<Tick>,
    pub(super) demoted: bool,
    node: Node,
    /// Rows that were right when they were first read, less [`RIGHTS_PER_WRONG`] for each that was not.
    rights: u32,
    /// At how many moments positions moved of which rows were right, and the last of these moments.
    commits: u32,
    moved: Tick,
}

impl Soundness {
    /// A row below a position that was committed at `moved` was right when it was first read.
    pub(super) fn right(&mut self, moved: Tick) {
        self.rights = (self.rights + 1).min(RIGHTS_AT_MOST);
        if moved > self.moved {
            (self.commits, self.moved) = (self.commits.saturating_add(1), moved);
        }
    }

    /// It was not.
    pub(super) fn wrong(&mut self) {
        self.rights = self.rights.saturating_sub(RIGHTS_PER_WRONG);
    }

    /// A row that was wrong below a position was not at the next look: positions have to show anew what they are worth.
    pub(super) fn healed(&mut self) {
        (self.rights, self.commits) = (0, 0);
    }

    /// It healed to exactly its own version, which nothing but a write after the commit can do. Gives back whether that was
    /// so of another one lately.
    pub(super) fn healed_to_own(&mut self, now: Tick) -> bool {
        self.healed_to_own.replace(now).is_some_and(|before| now < before + HEALED_WITHIN)
    }

    fn is_trusted(&self) -> bool {
        !self.demoted && self.rights >= RIGHTS && self.commits >= COMMITS
    }
}

impl Engine {
    /// Whether a row below a committed position had to be there.
    pub(super) fn commits_convict(&self) -> bool {
        let declared = self.options.commits == Commits::AfterWrite;
        declared && !self.soundness.demoted && self.soundness.node == Node::Primary
    }

    /// Reads go to this node from now on.
    pub(super) fn reads_from(&mut self, node: Node) {
        if self.soundness.node == node {
            return;
        }
        self.soundness.node = node;
        self.soundness.healed();
        self.forget_commits();
        self.move_horizons();
        self.pump();
    }

    /// Whether nobody applied anything again around the first read of a suspect: the group that commits has been the same since
    /// long before it, and was still the same after it. Where commits have shown that they follow writes, and something behind
    /// the suspect's version is visible, such a read proves the loss, and the next one need not wait until the applier shows
    /// what is appended only now.
    pub(super) fn stands_undisturbed(&self, suspect: &Suspect) -> bool {
        let Some(partition) = self.partitions.get(&suspect.floor.partition) else { return false };
        self.soundness.is_trusted()
            && partition.generation.is_some()
            && partition.group_changed + self.options.zombie_after <= suspect.sent
            && partition.committed_asked >= suspect.last
    }

    /// Committed offsets ran ahead of writes: from now on they only let us forget.
    pub(super) fn demote(&mut self, why: String) {
        if self.soundness.demoted {
            return;
        }
        self.soundness.demoted = true;
        self.say(Output::Note(Note::Demoted { why: why.clone() }));
        let evidence = "two rows that were wrong below the committed position healed to exactly their own version";
        self.evidence_is_unsound(why, evidence);
        self.forget_commits();
    }

    /// Source positions do not compare, though an order by them is declared.
    pub(super) fn order_is_unsound(&mut self, why: String) {
        self.evidence_is_unsound(why, "places in the source's log go back and forth");
    }

    fn evidence_is_unsound(&mut self, detail: String, evidence: &str) {
        let subject = Subject::Scope { at: None, detail };
        let finding = Finding::open(Kind::EvidenceUnsound, subject, evidence.to_owned(), self.now);
        self.is_unsound(Finding { observations: 2, ..finding });
    }

    /// States that evidence does not hold. The last word on it stands.
    pub(super) fn is_unsound(&mut self, finding: Finding) {
        self.state(&finding);
        self.stated.unsound = Some(finding);
    }

    /// What committed positions made suspect is suspect no more.
    fn forget_commits(&mut self) {
        let by_commits = |ix: &KeyIx| {
            let suspect = self.keys.get(*ix).and_then(|entry| entry.suspect());
            suspect.is_some_and(|suspect| suspect.floor.by == Convict::Committed)
        };
        let suspects: Vec<KeyIx> = self.suspects.iter().copied().filter(by_commits).collect();
        for ix in suspects {
            self.suspects.remove(&ix);
            let suspect = self.keys.get_mut(ix).and_then(|entry| entry.more().suspect.take());
            if let Some(suspicion) = suspect.and_then(|suspect| suspect.stated) {
                self.withdraw(*suspicion);
            }
            if let Some(more) = self.keys.get_mut(ix).and_then(|entry| entry.more.as_mut()) {
                more.applied_to = more.settled_to;
            }
        }
        // Positions that only commits had passed are passed again by the causal watermark.
        for partition in self.partitions.values_mut() {
            partition.again(Cursor::Applied);
        }
    }
}
