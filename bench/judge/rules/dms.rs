//! A fixed threshold: a row that differs is read again until it agrees or the time is over, whatever else is changed. AWS DMS's
//! validation works so (`RecordFailureDelayLimitInMinutes`); one minute is the least that can be set there besides none.

use hashbrown::HashMap;

use afterimage::demo::applier::RowId;
use afterimage::model::Wall;

use super::{Next, Rule};

/// Milliseconds from the first read that differs to the alarm.
const THRESHOLD: i64 = 60_000;

/// Milliseconds between two reads of a row that differs.
const RETRY: i64 = 5_000;

#[derive(Default)]
pub(crate) struct Dms(HashMap<RowId, Option<Wall>>);

impl Rule for Dms {
    fn name(&self) -> &'static str {
        "fixed threshold, 60 s (DMS)"
    }

    fn changed(&mut self, row: &RowId, now: Wall) -> Option<Wall> {
        if self.0.contains_key(row) {
            return None;
        }
        self.0.insert(row.clone(), None);
        Some(now)
    }

    fn looked(&mut self, row: &RowId, is_right: bool, now: Wall) -> Next {
        let Some(first) = self.0.get_mut(row) else { return Next::Done };
        let since = *first.get_or_insert(now);
        if !is_right && now.0 - since.0 < THRESHOLD {
            return Next::Again(Wall(now.0 + RETRY));
        }
        self.0.remove(row);
        if is_right { Next::Done } else { Next::Alarm }
    }
}
