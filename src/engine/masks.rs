//! Column masks, each stored once: versions are many and carry a number.

use std::collections::BTreeMap;

use crate::canon::Mask;

use super::chain::MaskId;

/// Every mask seen. Tables have few shapes, so it stays small; it is never emptied.
#[derive(Debug, Default)]
pub(super) struct Masks {
    list: Vec<Mask>,
    ids: BTreeMap<Mask, MaskId>,
    last: Option<MaskId>,
}

impl Masks {
    pub(super) fn id(&mut self, mask: &Mask) -> MaskId {
        if let Some(last) = self.last
            && self.list[last.0 as usize] == *mask
        {
            return last;
        }
        let id = match self.ids.get(mask) {
            Some(id) => *id,
            None => {
                let id = MaskId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
                self.list.push(mask.clone());
                self.ids.insert(mask.clone(), id);
                id
            }
        };
        self.last = Some(id);
        id
    }

    pub(super) fn get(&self, id: MaskId) -> &Mask {
        &self.list[id.0 as usize]
    }

    /// Every mask, for contents whose version is no longer known.
    pub(super) fn all(&self) -> &[Mask] {
        &self.list
    }
}
