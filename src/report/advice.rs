//! What to do now: plain sentences for every kind and every cause.

use crate::model::finding::{Cause, Kind};

/// What to do about a finding: how it came about where that is known, how to mend what is wrong, and how to keep it from
/// happening again.
#[must_use]
pub fn advice(kind: Kind, cause: Cause) -> String {
    // Nothing is to be mended row by row where the column is what differs.
    let mend = if cause == Cause::ColumnCoercion { "" } else { mend(kind) };
    let parts = [origin(cause), mend, prevent(kind, cause)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn origin(cause: Cause) -> &'static str {
    match cause {
        Cause::PlaceholderWritten => {
            "The applier wrote the connector's \"unavailable value\" marker over a real value, which is gone from the target."
        }
        Cause::OpNotApplied => {
            "The applier has applied no operation of this kind on this table since the position above."
        }
        Cause::KeyChangeSplit => {
            "The source changed the row's key, which travels as a delete and an insert, and only one half was applied."
        }
        Cause::ReplayedBatch => {
            "The applier applied an older window of changes again after a restart, and not the newer changes after it."
        }
        Cause::SkippedBatch => {
            "A run of neighbouring changes was passed over as a whole: look for a batch that failed, or for offsets that \
             were moved, around the position above."
        }
        Cause::InsertUpdateMerge => {
            "The applier merged an insert and later updates of this key into one insert, and that insert met the row \
             already there and was dropped."
        }
        Cause::InsertDeleteMerge => {
            "The applier merged an insert and the delete after it into nothing, although a row was already there to be deleted."
        }
        Cause::DeleteInsertMerge => "The applier merged a delete and the insert after it, and the insert was lost.",
        Cause::UpdateMerge => {
            "The applier merged several updates of this key, and kept an earlier one or mixed their columns."
        }
        Cause::ForeignWrite => {
            "The row holds content that no change on the tap ever carried: somebody else writes this table, or the applier \
             alters values on their way."
        }
        Cause::RejectedRow => {
            "The sink rejected this record and put it on its dead-letter topic, where the reason stands."
        }
        Cause::ColumnCoercion => {
            "The applier, or the target's column, changes the values of this column in the same way in row after row."
        }
        Cause::Unknown => "",
    }
}

fn mend(kind: Kind) -> &'static str {
    match kind {
        Kind::UnappliedDelete => {
            "Check that the source no longer has the row, then delete it on the target. The finding closes by itself \
             once the row is gone."
        }
        Kind::MissingRow => {
            "Read the row at the source by its key and insert it on the target, or have the applier load this key again. \
             The finding closes by itself once the row is right."
        }
        Kind::LostUpdate | Kind::TornRow | Kind::RegressedRow => {
            "Read the row at the source by its key and write its current values over the target's row. The finding closes \
             by itself once the row is right."
        }
        Kind::DivergedRow => {
            "Find out who wrote the observed values before you overwrite them; then write the source's current values. \
             The finding closes by itself once the row is right."
        }
        Kind::ResurrectedRow => {
            "The row was deleted and came back. Check that the source no longer has it, then delete it on the target. The \
             finding closes by itself once the row is gone."
        }
        Kind::VanishedRow => {
            "The row was right and is gone. Find out who deleted it; then copy it from the source again. The finding closes \
             by itself once the row is right."
        }
        Kind::DuplicateRow => {
            "Delete all but the right one of the rows of this key, then add a primary key or a unique index on the key's \
             columns, so that the target itself refuses the next one."
        }
        Kind::Stalled => {
            "The applier does not get past the position above. Look at its log and status there, and at the record at that \
             position; mend the record or the target's table, then restart the applier. No row is accused meanwhile."
        }
        Kind::Undecodable => {
            "Print the record with `afterimage decode --from` at the position above. If the applier understands it, set \
             `decode.format` for this pipeline; if not, mend its producer. Its key was not judged by this record."
        }
        Kind::CoverageGap => {
            "Changes were gone from the tap before they could be read, so that nothing is known about them: compare the \
             tables of this topic with the source, and raise the topic's retention above the longest outage you want to survive. Where the source was rewound, \
             `afterimage audit --incarnation N` judges its newest log alone (the first that the range holds is 1)."
        }
        Kind::MassDivergence => {
            "Most recent changes of this table are not on the target. Look at the applier's log for this table first: a group \
             of statements that is stuck resolves by itself, a setting that drops them does not. Its rows stay suspected \
             until that can be told."
        }
        Kind::EvidenceUnsound => {
            "What was taken as proof of the applier's progress does not hold; the detail says how it was seen. Choose other \
             evidence with `applied`, or correct `order`; `afterimage doctor` lists what this setup offers."
        }
        Kind::JudgingSuspended => {
            "Verdicts are held back for the reason in the detail. If a load is running, wait for its end; if the tap is late, \
             see to the connector that writes it (or set `lead = \"0s\"` if the applier reads this very tap); if rows or commits \
             go back, look for an applier that restarts again and again."
        }
    }
}

fn prevent(kind: Kind, cause: Cause) -> &'static str {
    match cause {
        Cause::PlaceholderWritten => {
            "To keep it from happening again, set `REPLICA IDENTITY FULL` on the source table, or have the connector select \
             such columns again (Debezium: `ReselectColumnsPostProcessor`)."
        }
        Cause::OpNotApplied => {
            "Check that the applier is told to carry such operations (Debezium JDBC sink: `delete.enabled=true` with \
             `primary.key.mode=record_key`, `truncate.enabled=true`), and that its user may carry them out."
        }
        Cause::KeyChangeSplit => {
            "Check that the applier carries deletes, and that both keys travel in the order of the source: one partition, or \
             an applier that keeps order over partitions."
        }
        Cause::ReplayedBatch => {
            "Check that the applier stores its position only after its writes, and in one transaction with them where it can."
        }
        Cause::SkippedBatch => {
            "Check the applier's error handling: what it skips (`errors.tolerance=all`), and who moved its offsets."
        }
        Cause::InsertUpdateMerge => {
            "Let the applier's inserts overwrite an existing row (DMS: `ApplyErrorInsertPolicy=UPDATE_RECORD`; JDBC sink: \
             `insert.mode=upsert`)."
        }
        Cause::InsertDeleteMerge | Cause::DeleteInsertMerge => {
            "Where keys are reused within seconds, turn off the merging of changes (DMS: `BatchApplyEnabled=false`), or let \
             the applier carry deletes even where it has seen no row."
        }
        Cause::UpdateMerge => {
            "Turn off the merging of changes for this table (DMS: `BatchApplyEnabled=false`), or have updates carry whole rows."
        }
        Cause::ForeignWrite => {
            "Take the right to write this table from every user but the applier's, or name the columns that others own under \
             `ignore`."
        }
        Cause::RejectedRow => "Mend what the dead-letter record's headers name, then send the record again.",
        Cause::ColumnCoercion => {
            "Mend the column's type, the applier's converter or the trigger that does it and load the table again, or accept it \
             under `coercions` in the table's rule, as the evidence shows."
        }
        Cause::Unknown => unknown_row(kind),
    }
}

/// Only a row whose loss has no name is worth a hint on where to look; the other kinds have said it all.
fn unknown_row(kind: Kind) -> &'static str {
    match kind {
        Kind::UnappliedDelete
        | Kind::MissingRow
        | Kind::LostUpdate
        | Kind::TornRow
        | Kind::DivergedRow
        | Kind::ResurrectedRow
        | Kind::RegressedRow
        | Kind::VanishedRow => "No rule names the cause: look in the applier's log at the time of the position above.",
        Kind::DuplicateRow
        | Kind::Stalled
        | Kind::Undecodable
        | Kind::CoverageGap
        | Kind::MassDivergence
        | Kind::EvidenceUnsound
        | Kind::JudgingSuspended => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_says_something_whole() {
        for kind in Kind::ALL {
            for cause in Cause::ALL {
                let text = advice(*kind, *cause);
                assert!(text.ends_with('.') && !text.contains("  ") && !text.contains('\n'), "{kind} {cause}: {text}");
            }
        }
    }

    #[test]
    fn the_cause_comes_before_the_cure() {
        let text = advice(Kind::UnappliedDelete, Cause::InsertDeleteMerge);
        let (origin, mend) = (text.find("into nothing").unwrap(), text.find("delete it on the target").unwrap());
        assert!(origin < mend && mend < text.find("BatchApplyEnabled").unwrap());
    }
}
