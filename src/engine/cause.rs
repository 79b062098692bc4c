//! Names the cause of a proven divergence from the key's own history, most specific rule first.
//!
//! | cause | rule |
//! |---|---|
//! | `rejected_row` | the applier's dead-letter topic names the lost version, or one whose columns the row lacks |
//! | `placeholder_written` | the connector's "unavailable value" marker stands in the row |
//! | `op_not_applied` | every delete (truncate) of the table judged lately was unapplied, three at least |
//! | `key_change_split` | the lost version is one half of a key change |
//! | `replayed_batch` | the scope stepped backward between the version and the verdict, and the row was once read right, or no rule below fits |
//! | `column_coercion` | what differs is what the applier does to those columns of at least three other rows too |
//! | `skipped_batch` | three or more adjacent positions of several keys are lost, none applied |
//! | `insert_update_merge` | an insert is seen, and only updates follow it up to the lost version |
//! | `insert_delete_merge` | an insert (or re-insert) is followed by the lost delete, and the row is still there, though a later insert may have met it |
//! | `delete_insert_merge` | a delete is followed by the lost insert, and there is no row |
//! | `update_merge` | an update is seen and only updates follow it, or the columns of several are mixed |
//! | `foreign_write` | a column holds what no version ever had there, all of them known |
//! | `unknown` | no rule fits |

use crate::model::Op;
use crate::model::finding::{Cause, Kind};

/// What the rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    pub(super) kind: Kind,
    /// The applier set the version aside.
    pub(super) set_aside: bool,
    pub(super) placeholder: bool,
    pub(super) op_never_applied: bool,
    pub(super) key_change: bool,
    pub(super) back_step: bool,
    /// Adjacent lost positions around the version, and how many keys they belong to.
    pub(super) lost_run: usize,
    pub(super) lost_run_keys: usize,
    /// The operation of the version that is seen; `None` where the content is of no known version.
    pub(super) seen: Option<Op>,
    /// What differs is what the applier does to those columns of other rows too.
    pub(super) coerced: bool,
    /// Some column holds what no version of the key ever had there, all of them known.
    pub(super) stranger: bool,
    /// Operations after the seen version (all that are known, where none is seen) up to the lost one.
    pub(super) since: Vec<Op>,
}

/// Lost adjacent positions that make a skipped batch.
const SKIPPED_RUN: usize = 3;

/// The rule that fits.
pub(super) fn cause(history: &History) -> Cause {
    let lost_removal = history.since.last().is_some_and(removes);
    if history.set_aside {
        Cause::RejectedRow
    } else if history.placeholder {
        Cause::PlaceholderWritten
    } else if history.op_never_applied && lost_removal {
        Cause::OpNotApplied
    } else if history.key_change {
        Cause::KeyChangeSplit
    } else if history.back_step && was_right(history.kind) {
        Cause::ReplayedBatch
    } else if history.coerced && history.kind == Kind::DivergedRow {
        Cause::ColumnCoercion
    } else if history.lost_run >= SKIPPED_RUN && history.lost_run_keys > 1 {
        Cause::SkippedBatch
    } else {
        let cause = merge_cause(history, lost_removal);
        if cause == Cause::Unknown && history.back_step { Cause::ReplayedBatch } else { cause }
    }
}

/// Whether the row was once read as it should be: no merge lost it.
fn was_right(kind: Kind) -> bool {
    matches!(kind, Kind::RegressedRow | Kind::ResurrectedRow | Kind::VanishedRow)
}

fn merge_cause(history: &History, lost_removal: bool) -> Cause {
    let row_is_there = !matches!(history.kind, Kind::MissingRow | Kind::VanishedRow);
    let only_updates = !history.since.is_empty() && history.since.iter().all(|op| *op == Op::Update);
    let seen_insert = history.seen.as_ref().is_some_and(inserts);
    let removed_last = lost_removal && (seen_insert || history.since.iter().any(inserts));
    // The delete left the old row for the next insert to meet.
    let met_by_another = seen_insert && !was_right(history.kind) && history.since.first().is_some_and(removes);
    if row_is_there && seen_insert && only_updates {
        Cause::InsertUpdateMerge
    } else if row_is_there && (removed_last || met_by_another) {
        Cause::InsertDeleteMerge
    } else if !row_is_there && deleted_then_inserted(history) {
        Cause::DeleteInsertMerge
    } else if history.kind == Kind::TornRow || (row_is_there && history.seen == Some(Op::Update) && only_updates) {
        Cause::UpdateMerge
    } else if history.kind == Kind::DivergedRow && history.stranger {
        Cause::ForeignWrite
    } else {
        Cause::Unknown
    }
}

fn deleted_then_inserted(history: &History) -> bool {
    let ops = history.seen.iter().chain(&history.since);
    ops.skip_while(|op| !removes(op)).any(inserts)
}

fn inserts(op: &Op) -> bool {
    matches!(op, Op::Insert | Op::Read)
}

fn removes(op: &Op) -> bool {
    matches!(op, Op::Delete | Op::Truncate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(kind: Kind, seen: Option<Op>, since: &[Op]) -> History {
        History {
            kind,
            set_aside: false,
            placeholder: false,
            op_never_applied: false,
            key_change: false,
            back_step: false,
            lost_run: 1,
            lost_run_keys: 1,
            seen,
            coerced: false,
            stranger: false,
            since: since.to_vec(),
        }
    }

    #[test]
    fn each_rule_names_its_cause() {
        use Op::{Delete, Insert, Truncate, Update};
        let rows = [
            (plain(Kind::LostUpdate, Some(Insert), &[Update]), Cause::InsertUpdateMerge),
            (plain(Kind::LostUpdate, Some(Insert), &[Update, Update]), Cause::InsertUpdateMerge),
            (plain(Kind::UnappliedDelete, Some(Insert), &[Delete]), Cause::InsertDeleteMerge),
            (plain(Kind::UnappliedDelete, Some(Update), &[Delete, Insert, Delete]), Cause::InsertDeleteMerge),
            (plain(Kind::UnappliedDelete, Some(Update), &[Delete]), Cause::Unknown),
            (plain(Kind::LostUpdate, Some(Insert), &[Delete, Insert]), Cause::InsertDeleteMerge),
            (plain(Kind::LostUpdate, Some(Insert), &[Delete, Insert, Update]), Cause::InsertDeleteMerge),
            (plain(Kind::LostUpdate, Some(Update), &[Delete, Insert]), Cause::Unknown),
            (plain(Kind::MissingRow, Some(Delete), &[Insert]), Cause::DeleteInsertMerge),
            (plain(Kind::VanishedRow, None, &[Delete, Insert, Update]), Cause::DeleteInsertMerge),
            (plain(Kind::MissingRow, None, &[Insert]), Cause::Unknown),
            (plain(Kind::LostUpdate, Some(Update), &[Update]), Cause::UpdateMerge),
            (plain(Kind::TornRow, None, &[Update, Update]), Cause::UpdateMerge),
            (plain(Kind::DivergedRow, None, &[Update]), Cause::Unknown),
            (History { stranger: true, ..plain(Kind::DivergedRow, None, &[Update]) }, Cause::ForeignWrite),
            (
                History { coerced: true, stranger: true, ..plain(Kind::DivergedRow, None, &[Update]) },
                Cause::ColumnCoercion,
            ),
            (History { placeholder: true, ..plain(Kind::DivergedRow, None, &[Update]) }, Cause::PlaceholderWritten),
            (History { set_aside: true, ..plain(Kind::LostUpdate, Some(Insert), &[Update]) }, Cause::RejectedRow),
            (
                History { op_never_applied: true, ..plain(Kind::UnappliedDelete, Some(Insert), &[Delete]) },
                Cause::OpNotApplied,
            ),
            (
                History { op_never_applied: true, ..plain(Kind::UnappliedDelete, Some(Insert), &[Truncate]) },
                Cause::OpNotApplied,
            ),
            (
                History { key_change: true, ..plain(Kind::UnappliedDelete, Some(Insert), &[Delete]) },
                Cause::KeyChangeSplit,
            ),
            (History { back_step: true, ..plain(Kind::RegressedRow, Some(Insert), &[Update]) }, Cause::ReplayedBatch),
            (History { back_step: true, ..plain(Kind::MissingRow, None, &[Insert]) }, Cause::ReplayedBatch),
            (History { back_step: true, ..plain(Kind::LostUpdate, Some(Insert), &[Update]) }, Cause::InsertUpdateMerge),
            (
                History { lost_run: 3, lost_run_keys: 2, ..plain(Kind::MissingRow, None, &[Insert]) },
                Cause::SkippedBatch,
            ),
            (
                History { lost_run: 3, lost_run_keys: 1, ..plain(Kind::LostUpdate, Some(Insert), &[Update]) },
                Cause::InsertUpdateMerge,
            ),
        ];
        for (history, expected) in rows {
            assert_eq!(cause(&history), expected, "{history:?}");
        }
    }
}
