//! What the runtime tells the log and the counters: the engine's notes and the adapters' troubles, as telemetry events.

use std::error::Error;
use std::time::Duration;

use crate::engine::event::Note;
use crate::model::{Coercion, SourceTime, TableMeta, Wall, Wanted};
use crate::registry::RegistryError;
use crate::report::document::Document;
use crate::tap::{Partitions, TapError};
use crate::target::{Server, TargetError};
use crate::telemetry::event;

use super::tables::{Mapped, News, Table, Tables};

/// An error and the errors below it, as one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}

/// A tap that does not deliver.
pub(super) fn tap_failed(pipeline: &str, error: &TapError) {
    let end = if error.fatal { event::TapEnd::Ended } else { event::TapEnd::GoesOn };
    event::TapFailed { pipeline, error, end }.emit();
}

/// A target that does not answer for so many keys; 0 where metadata was asked for.
pub(super) fn target_failed(pipeline: &str, error: &TargetError, keys: usize) {
    event::TargetFailed { pipeline, error, keys }.emit();
}

/// A registry that does not answer for a schema that a record names.
pub(super) fn registry_failed(pipeline: &str, wanted: Wanted, error: &RegistryError) {
    event::RegistryFailed { pipeline, wanted: &wanted, error }.emit();
}

/// Dead letters that do not say which records of the tap they are.
pub(super) fn letters_without_names(pipeline: &str) {
    tracing::warn!(
        pipeline,
        "records on the dead-letter topic do not say which record of the tap they are: set \
         errors.deadletterqueue.context.headers.enable=true at the sink, else what it rejects is told by other causes"
    );
}

/// The node that is read follows the one that is written.
/// Said at every poll, so only to those who ask for everything; `doctor` and the manual say it to everybody.
pub(super) fn times_say_nothing(pipeline: &str) {
    tracing::debug!(
        pipeline,
        "changes of the tap do not tell when the source committed them, so the time up to which the applier came says nothing of \
         them"
    );
}

pub(super) fn reads_replica(pipeline: &str, why: &str) {
    tracing::warn!(
        pipeline,
        why,
        "the target's node is a replica: committed positions only let us forget there, and a loss is proven by what is seen \
         on it; read the node that the applier writes to find losses sooner"
    );
}

/// The target's URL leads to another server since now.
pub(super) fn reads_another_server(pipeline: &str, server: Option<&Server>) {
    let server = server.map(ToString::to_string);
    tracing::warn!(pipeline, server, "another server answers at the target's URL; what was suspect begins anew there");
}

/// Something the judge wants a person to be able to read.
pub(super) fn noted(pipeline: &str, note: &Note, partitions: &Partitions, tables: &Tables) {
    match note {
        Note::Frozen { partition, why } => {
            let partition = partition.map(|id| partitions.name(id));
            event::Frozen { pipeline, partition: partition.as_ref(), why }.emit();
        }
        Note::Demoted { why } => tracing::warn!(pipeline, "committed offsets no longer convict: {why}"),
        Note::Coalesced { partition, range } => {
            let partition = partitions.name(*partition);
            let versions = range.1.saturating_sub(range.0) + 1;
            event::Coalesced { pipeline, partition: &partition, range: *range, versions }.emit();
        }
        Note::Unverifiable { partition, range, why } => {
            let partition = partitions.name(*partition);
            event::Unverifiable { pipeline, partition: &partition, range: *range, why }.emit();
        }
        Note::Scanned { table, at, looked, found } => {
            let (table, truncate) =
                (tables.tap_name(*table), format!("{}/{}", partitions.name(at.partition), at.offset));
            event::TableScanned { pipeline, table: &table, truncate: &truncate, looked: *looked, found: *found }.emit();
        }
        Note::Transient => event::Transient { pipeline }.emit(),
        Note::Replanned { table, carried, left } => {
            let (table, carried, left) = (tables.tap_name(*table), *carried, *left);
            event::Replanned { pipeline, table: &table, carried, left }.emit();
        }
        Note::SlowEqual { table } => event::SlowEqual { pipeline, table: &tables.tap_name(*table) }.emit(),
    }
}

/// A finding became open at `now`.
pub(super) fn opened(finding: &Document, now: Wall) {
    let position = finding.position();
    event::FindingOpened {
        pipeline: &finding.pipeline,
        id: &finding.id,
        kind: finding.kind,
        cause: finding.cause.word(),
        severity: finding.severity,
        table: finding.table.as_deref(),
        position: Some(position.as_str()).filter(|position| !position.is_empty()),
        evidence: &finding.evidence,
        after: since_commit(finding, now),
    }
    .emit();
}

/// How long ago the source committed what a finding is about, where the record told.
fn since_commit(finding: &Document, now: Wall) -> Option<Duration> {
    let committed = chrono::DateTime::parse_from_rfc3339(finding.expected.as_ref()?.at.committed_at.as_ref()?).ok()?;
    Some(now.after(SourceTime(committed.timestamp_millis())))
}

/// A finding healed.
pub(super) fn closed(finding: &Document) {
    event::FindingHealed { pipeline: &finding.pipeline, id: &finding.id, kind: finding.kind }.emit();
}

/// What rows of a new shape tell of the columns of their table.
pub(super) fn carried(pipeline: &str, table: &Table, news: &News) {
    let (table, target) = (&*table.tap_name, table.target_name());
    if !news.unknown.is_empty() {
        let columns = news.unknown.join(", ");
        tracing::warn!(
            pipeline,
            table,
            target,
            columns,
            "columns of the tap are not compared: the target has none of these names. They are from when it has"
        );
    }
    if !news.gone.is_empty() {
        let columns = news.gone.join(", ");
        tracing::info!(
            pipeline,
            table,
            target,
            columns,
            "some changes do not carry these columns any more: there they are expected as earlier changes left them"
        );
    }
}

/// A table is not on the target as it was.
pub(super) fn columns_changed(pipeline: &str, tap_name: &str, (before, now): (Option<&Mapped>, &Mapped)) {
    let columns = match (before, now) {
        // What is done to a column is told when it is found out.
        (Some(Mapped::Judged(before)), Mapped::Judged(now)) if before.plan.meta() == now.plan.meta() => return,
        (Some(Mapped::Judged(before)), Mapped::Judged(now)) => changed(before, now),
        (Some(Mapped::NotJudged(_)) | None, Mapped::Judged(_)) | (_, Mapped::NotJudged(_)) => String::new(),
    };
    event::ColumnsChanged { pipeline, table: tap_name }.emit();
    match now {
        Mapped::Judged(_) if columns.is_empty() => mapped(pipeline, tap_name, now),
        Mapped::Judged(table) => {
            let target = table.target_name();
            tracing::warn!(pipeline, table = tap_name, target, columns, "the columns of the target table changed");
        }
        Mapped::NotJudged(why) => {
            tracing::warn!(pipeline, table = tap_name, "table is not judged any more: {why}");
        }
    }
}

/// The applier changes a column in the same way in every row.
pub(super) fn coerced(pipeline: &str, table: &str, column: &str, coercion: Coercion) {
    let words = coercion.words();
    let leaves = coercion.to_string();
    tracing::warn!(
        pipeline,
        table,
        column,
        coercion = leaves,
        "values of the column are {words}: it is compared by what that leaves"
    );
}

/// What differs between two plans, column by column, as the target names them.
fn changed(before: &Table, now: &Table) -> String {
    let (before, now) = (before.plan.meta(), now.plan.meta());
    let of = |meta: &TableMeta, name: &str| meta.columns.iter().find(|column| *column.name == *name).cloned();
    let mut told: Vec<String> = Vec::new();
    for column in &now.columns {
        let (name, declared) = (&column.name, &column.declared);
        match of(before, name) {
            None => told.push(format!("{name} is new ({declared}): compared in changes from now on that carry it")),
            Some(was) if was.number != column.number => {
                told.push(format!("{name} was dropped and made again ({declared}): compared in changes from now on"));
            }
            Some(was) if was.declared != *declared => told.push(format!("{name} is {declared}, was {}", was.declared)),
            Some(was) if was != *column => told.push(format!("{name} has another collation or nullability")),
            Some(_) => {}
        }
    }
    let gone = before.columns.iter().filter(|column| of(now, &column.name).is_none());
    told.extend(gone.map(|column| format!("{} is gone: compared no more", column.name)));
    if told.is_empty() { "their order or the primary key".to_owned() } else { told.join("; ") }
}

/// A table was met for the first time.
pub(super) fn mapped(pipeline: &str, tap_name: &str, mapped: &Mapped) {
    match mapped {
        Mapped::Judged(table) => {
            let left_out = table.plan.not_compared().iter();
            let left_out: Vec<String> = left_out.map(|column| format!("{} ({})", column.column, column.why)).collect();
            let target = table.target_name();
            tracing::info!(pipeline, table = tap_name, target, not_compared = left_out.join(", "), "table is judged");
            if let Some(hazard) = table.plan.hazard() {
                tracing::warn!(pipeline, table = tap_name, target, "the target table is {hazard}");
            }
        }
        Mapped::NotJudged(why) => tracing::warn!(pipeline, table = tap_name, "table is not judged: {why}"),
    }
}
