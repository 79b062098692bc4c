//! The rule that named a cause, in words.

use crate::model::finding::Cause;

/// What must have been seen for a cause to be named.
#[must_use]
pub fn of(cause: Cause) -> &'static str {
    match cause {
        Cause::PlaceholderWritten => "the connector's marker for a value that was not sent stands in the row",
        Cause::OpNotApplied => "no operation of this kind was applied to the table lately, of three at least",
        Cause::KeyChangeSplit => "the lost version is one half of a change of the key",
        Cause::ReplayedBatch => "the applier stepped back between the version and the verdict",
        Cause::SkippedBatch => {
            "three or more adjacent positions of several keys are lost, and none between them applied"
        }
        Cause::InsertUpdateMerge => "the insert's row is there, and only updates follow it up to the lost one",
        Cause::InsertDeleteMerge => "an insert is followed by a lost delete, and the row is still there",
        Cause::DeleteInsertMerge => "a delete is followed by the lost insert, and there is no row",
        Cause::UpdateMerge => "an earlier update's row is there, or columns of several updates are mixed in one row",
        Cause::ForeignWrite => "the row holds content that no version ever had",
        Cause::RejectedRow => "the applier's dead-letter topic names the record",
        Cause::ColumnCoercion => "other rows of the table, three at least, differ in the same column in the same way",
        Cause::Unknown => "none of the rules fits what is known",
    }
}
