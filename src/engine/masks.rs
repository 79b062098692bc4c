//! Column masks, each stored once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canon::Mask;

use super::chain::MaskId;

/// Every mask seen. Tables have few shapes, so it stays small; it is never emptied.
#[derive(Debug, Default)]
pub(super) struct Masks {
    list: Vec<Arc<Mask>>,
    ids: BTreeMap<Arc<Mask>, MaskId>,
    last: Option<MaskId>,
}

impl Masks {
    pub(super) fn id(&mut self, mask: &Arc<Mask>) -> MaskId {
        if let Some(last) = self.last
            && Arc::ptr_eq(&self.list[last.0 as usize], mask)
        {
            return last;
        }
        let id = match self.ids.get(mask) {
            Some(id) => *id,
            None => {
                let id = MaskId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
                self.list.push(Arc::clone(mask));
                self.ids.insert(Arc::clone(mask), id);
                id
            }
        };
        self.last = Some(id);
        id
    }

    pub(super) fn get(&self, id: MaskId) -> &Arc<Mask> {
        &self.list[id.0 as usize]
    }

    /// Every mask, for contents whose version is no longer known.
    pub(super) fn all(&self) -> &[Arc<Mask>] {
        &self.list
    }
}
