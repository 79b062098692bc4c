//! A fixed number of tries in a fixed time after the change, as molt's live verification makes them: five, in about four
//! seconds, each twice as long after the one before.

use hashbrown::HashMap;

use afterimage::demo::applier::RowId;
use afterimage::model::Wall;

use super::{Next, Rule};

/// Milliseconds from the change to each try.
const TRIES: [i64; 5] = [250, 500, 1000, 2000, 4000];

struct Check {
    began: Wall,
    tries: usize,
    /// The row has changed since: it is checked once more afterwards.
    changed_again: Option<Wall>,
}

#[derive(Default)]
pub(crate) struct FixedDelay(HashMap<RowId, Check>);

impl Rule for FixedDelay {
    fn name(&self) -> &'static str {
        "fixed delay, 5 tries in 4 s"
    }

    fn changed(&mut self, row: &RowId, now: Wall) -> Option<Wall> {
        if let Some(check) = self.0.get_mut(row) {
            check.changed_again = Some(now);
            return None;
        }
        self.0.insert(row.clone(), Check { began: now, tries: 0, changed_again: None });
        Some(Wall(now.0 + TRIES[0]))
    }

    fn looked(&mut self, row: &RowId, is_right: bool, _: Wall) -> Next {
        let Some(check) = self.0.get_mut(row) else { return Next::Done };
        check.tries += 1;
        if is_right {
            self.0.remove(row);
            return Next::Done;
        }
        if let Some(after) = TRIES.get(check.tries) {
            return Next::Again(Wall(check.began.0 + after));
        }
        match check.changed_again.take() {
            Some(changed) => {
                *check = Check { began: changed, tries: 0, changed_again: None };
                Next::Again(Wall(changed.0 + TRIES[0]))
            }
            None => {
                self.0.remove(row);
                Next::Alarm
            }
        }
    }
}
