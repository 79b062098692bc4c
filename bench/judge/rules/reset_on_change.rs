//! A time without agreement that every further change of the row begins anew, as TiDB DM's validator counts it: 30 minutes
//! there, scaled to the load here, whose rows are changed some hundred times faster than a shop's.

use hashbrown::HashMap;

use afterimage::demo::applier::RowId;
use afterimage::model::Wall;

use super::{Next, Rule};

/// Milliseconds without agreement and without a change.
const DELAY: i64 = 30_000;

/// Milliseconds between two reads of a row that differs.
const RETRY: i64 = 5_000;

#[derive(Default)]
pub(crate) struct ResetOnChange(HashMap<RowId, Wall>);

impl Rule for ResetOnChange {
    fn name(&self) -> &'static str {
        "reset on change, 30 s"
    }

    fn changed(&mut self, row: &RowId, now: Wall) -> Option<Wall> {
        let known = self.0.insert(row.clone(), now);
        known.is_none().then_some(now)
    }

    fn looked(&mut self, row: &RowId, is_right: bool, now: Wall) -> Next {
        let Some(changed) = self.0.get(row) else { return Next::Done };
        if !is_right && now.0 - changed.0 < DELAY {
            return Next::Again(Wall(now.0 + RETRY));
        }
        self.0.remove(row);
        if is_right { Next::Done } else { Next::Alarm }
    }
}
