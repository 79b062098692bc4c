//! Findings about more than a row that an earlier process left open: the engine begins without them, so they end here, once
//! what they stood before was judged.

use std::collections::BTreeMap;

use crate::model::finding::{Kind, State};
use crate::model::position::PartitionName;
use crate::model::{PartitionId, Wall};
use crate::report::document::Document;
use crate::store::{About, Store, StoreError};

/// Taken over at most: there is one stall of a pipeline, and one mass divergence of a table and operation.
const AT_MOST: usize = 10_000;

/// Those that nobody has stated anew in this process.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<Document>);

impl Inherited {
    /// Reads what a pipeline has open of what stands in the way, rather than is a fact that stays.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn load(store: &Store, pipeline: &str) -> Result<Inherited, StoreError> {
        let ends_by_progress = |document: &Document| {
            matches!(document.kind, Kind::Stalled | Kind::MassDivergence | Kind::JudgingSuspended)
        };
        store.all_open((pipeline, About::More), ends_by_progress, AT_MOST).await.map(Inherited)
    }

    /// This process says so too: it will say when it ends.
    pub(super) fn stated_anew(&mut self, id: &str) {
        self.0.retain(|document| document.id != id);
    }

    /// What is over by these verified watermarks, as it is to be recorded.
    pub(super) fn passed(
        &mut self,
        verified: &BTreeMap<PartitionId, u64>,
        name: impl Fn(PartitionId) -> PartitionName,
        now: Wall,
    ) -> Vec<Document> {
        if self.0.is_empty() || verified.is_empty() {
            return Vec::new();
        }
        let verified: Vec<(PartitionName, u64)> = verified.iter().map(|(id, next)| (name(*id), *next)).collect();
        let is_over = |document: &mut Document| match &document.expected {
            Some(expected) => verified.iter().any(|(name, next)| {
                *name.topic == *expected.at.topic
                    && name.partition == expected.at.partition
                    && *next > expected.at.offset
            }),
            // It had no place: judging stood still, and goes on.
            None => true,
        };
        let over = self.0.extract_if(.., is_over);
        over.map(|document| Document { state: State::Healed, healed_at: Some(now), last_seen: now, ..document })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{self, Orders};

    fn passed(inherited: &mut Inherited, topic: &str, partition: i32, next: u64) -> Vec<(Kind, State)> {
        let verified = BTreeMap::from([(PartitionId(0), next)]);
        let name = |_| PartitionName { topic: topic.into(), partition };
        let over = inherited.passed(&verified, name, Wall(7));
        over.into_iter().map(|document| (document.kind, document.state)).collect()
    }

    #[test]
    fn a_stall_of_an_earlier_process_is_over_once_its_place_was_judged() {
        let context = Orders::default();
        let stalled = Document::of(&sample::stalled(), &context);
        let at = stalled.expected.as_ref().unwrap().at.clone();
        let mut inherited = Inherited(vec![stalled]);
        assert_eq!(passed(&mut inherited, &at.topic, at.partition, at.offset), []);
        assert_eq!(passed(&mut inherited, "another", at.partition, at.offset + 1), []);
        assert_eq!(passed(&mut inherited, &at.topic, at.partition + 1, at.offset + 1), []);
        let over = passed(&mut inherited, &at.topic, at.partition, at.offset + 1);
        assert_eq!(over, [(Kind::Stalled, State::Healed)]);
        assert_eq!(passed(&mut inherited, &at.topic, at.partition, at.offset + 9), []);
    }

    #[test]
    fn what_this_process_states_itself_is_its_own_to_end() {
        let stalled = Document::of(&sample::stalled(), &Orders::default());
        let at = stalled.expected.as_ref().unwrap().at.clone();
        let mut inherited = Inherited(vec![stalled.clone()]);
        inherited.stated_anew(&stalled.id);
        assert_eq!(passed(&mut inherited, &at.topic, at.partition, at.offset + 1), []);
    }
}
