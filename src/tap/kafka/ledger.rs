//! What is ours and how far it was judged: shared by the tap's thread, its rebalance callbacks and its [`Control`](crate::tap::Control).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::PartitionId;

/// One partition that is ours.
#[derive(Debug, Clone, Copy, Default)]
struct Page {
    /// Next offset to be delivered: nothing above it can have been judged.
    delivered: u64,
    /// Everything below was judged.
    judged: Option<u64>,
    /// What the brokers were last asked to store.
    sent: Option<u64>,
    /// Where reading is to begin again.
    rewind: Option<u64>,
}

/// Commits of the partitions that are ours. Whatever concerns another partition is ignored.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<BTreeMap<PartitionId, Page>>);

impl Ledger {
    /// The partition is ours from `next` on. `stored` is what the brokers hold for it; where they hold nothing, `next` is
    /// committed as soon as may be, so that a crash before the first verdict does not begin at another place.
    pub(super) fn assigned(&self, partition: PartitionId, next: u64, stored: Option<u64>) {
        self.pages().insert(
            partition,
            Page { delivered: next, judged: Some(stored.unwrap_or(next)), sent: stored, rewind: None },
        );
    }

    pub(super) fn revoked(&self, partition: PartitionId) {
        self.pages().remove(&partition);
    }

    /// How far partitions were delivered.
    pub(super) fn delivered(&self, all: impl IntoIterator<Item = (PartitionId, u64)>) {
        let mut pages = self.pages();
        for (partition, next) in all {
            if let Some(page) = pages.get_mut(&partition) {
                page.delivered = next;
            }
        }
    }

    /// Everything below `next` was judged. A commit never goes past what was delivered: it would belong to an earlier
    /// assignment of the partition.
    pub(super) fn judged(&self, partition: PartitionId, next: u64) {
        if let Some(page) = self.pages().get_mut(&partition)
            && next <= page.delivered
        {
            page.judged = Some(next);
        }
    }

    /// Reading is to begin again at `to`. False if the partition is not ours.
    pub(super) fn rewind(&self, partition: PartitionId, to: u64) -> bool {
        let mut pages = self.pages();
        let Some(page) = pages.get_mut(&partition) else { return false };
        page.rewind = Some(page.rewind.map_or(to, |known| known.min(to)));
        true
    }

    /// Where reading is to begin again; from now on it counts as begun.
    pub(super) fn rewinds(&self) -> Vec<(PartitionId, u64)> {
        let wanted = |(&partition, page): (&PartitionId, &mut Page)| Some((partition, page.rewind.take()?));
        self.pages().iter_mut().filter_map(wanted).collect()
    }

    /// Reading begins again at `next`: what was judged above it is to be judged again, also after a crash.
    pub(super) fn rewound(&self, partition: PartitionId, next: u64) {
        if let Some(page) = self.pages().get_mut(&partition) {
            page.delivered = next;
            page.judged = page.judged.map(|judged| judged.min(next));
        }
    }

    /// What should be committed and was not yet asked for; from now on it counts as asked for.
    pub(super) fn due(&self) -> Vec<(PartitionId, u64)> {
        let due = |(&partition, page): (&PartitionId, &mut Page)| {
            let next = page.judged.filter(|next| page.sent != Some(*next))?;
            page.sent = Some(next);
            Some((partition, next))
        };
        self.pages().iter_mut().filter_map(due).collect()
    }

    /// Everything that was judged of the given partitions, asked for or not: for the last commit before they go.
    pub(super) fn last(&self, partitions: &[PartitionId]) -> Vec<(PartitionId, u64)> {
        let pages = self.pages();
        let judged = |partition: &PartitionId| Some((*partition, pages.get(partition)?.judged?));
        partitions.iter().filter_map(judged).collect()
    }

    /// The brokers did not store it: ask again.
    pub(super) fn failed(&self, partition: PartitionId) {
        if let Some(page) = self.pages().get_mut(&partition) {
            page.sent = None;
        }
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(3);

    #[test]
    fn only_news_is_committed_and_failures_are_asked_for_again() {
        let ledger = Ledger::default();
        ledger.assigned(P, 40, Some(40));
        assert_eq!(ledger.due(), []);
        ledger.delivered([(P, 60)]);
        ledger.judged(P, 50);
        assert_eq!(ledger.due(), [(P, 50)]);
        assert_eq!(ledger.due(), []);
        ledger.failed(P);
        assert_eq!(ledger.due(), [(P, 50)]);
    }

    #[test]
    fn a_start_without_a_commit_is_committed() {
        let ledger = Ledger::default();
        ledger.assigned(P, 40, None);
        assert_eq!(ledger.due(), [(P, 40)]);
    }

    #[test]
    fn what_is_read_again_is_committed_again() {
        let ledger = Ledger::default();
        assert!(!ledger.rewind(P, 20), "not ours");
        ledger.assigned(P, 40, Some(40));
        ledger.delivered([(P, 60)]);
        assert!(ledger.rewind(P, 20) && ledger.rewind(P, 30));
        assert_eq!(ledger.rewinds(), [(P, 20)]);
        assert_eq!(ledger.rewinds(), []);
        ledger.rewound(P, 20);
        ledger.judged(P, 50);
        assert_eq!(ledger.due(), [(P, 20)], "50 was not delivered again yet");
    }

    #[test]
    fn a_commit_of_an_earlier_assignment_is_ignored() {
        let ledger = Ledger::default();
        ledger.judged(P, 50);
        assert_eq!(ledger.due(), [], "not ours");
        ledger.assigned(P, 40, Some(40));
        ledger.judged(P, 50);
        assert_eq!(ledger.due(), [], "never delivered since");
        ledger.revoked(P);
        ledger.failed(P);
        assert_eq!(ledger.due(), []);
    }
}
