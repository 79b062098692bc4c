//! What the target and the log answer.

use crate::engine::Input;
use crate::engine::event::{LookFailure, Looked, Lookup, Page, PageEnd, Recall, Scan, Seen};
use crate::model::{Key, Tick};

use super::{Answers, Bench};

impl Bench {
    pub(super) fn answer(&mut self, lookup: &Lookup) {
        assert_eq!(
            lookup.lead,
            self.options.lead.at_first(),
            "the tap's ends are asked when the applier's lead is over"
        );
        let rows = match self.answers {
            Answers::Failed => Err(LookFailure::Unreachable),
            Answers::AtOnce | Answers::Held => {
                Ok(lookup.keys.iter().map(|key| self.target.get(key).cloned().unwrap_or(Seen::Absent)).collect())
            }
        };
        let looked = Looked { id: lookup.id, ended: Tick(self.now), rows, ends: self.ends() };
        self.give(Input::Looked(looked));
    }

    pub(super) fn unscannable(&self) {
        self.images.0.lock().unwrap().unscannable = Some("its rows are in several partitions");
    }

    pub(super) fn page(&mut self, scan: &Scan) {
        let behind = |key: &&Key| key.table() == scan.table && scan.after.as_ref().is_none_or(|after| *key > after);
        let keys: Vec<Key> = self.target.keys().filter(behind).take(self.page).cloned().collect();
        let end = match keys.get(self.page - 1) {
            Some(last) => PageEnd::At(last.clone()),
            None => PageEnd::Last,
        };
        let page = match self.answers {
            Answers::Failed => Err(LookFailure::Unreachable),
            Answers::AtOnce | Answers::Held => Ok(Page { keys, end }),
        };
        self.give(Input::Scanned { id: scan.id, page });
    }

    pub(super) fn recall(&mut self, recall: &Recall) {
        let found = self.images.put_back(recall);
        self.give(Input::Recalled { id: recall.id, found });
    }
}
