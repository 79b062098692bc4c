//! One finding in full, for people.

use std::io::{self, Write};

use super::text::{facts, printable, sides, wrapped};
use super::{Document, advice, rule};
use crate::model::finding::Cause;

/// A comfortable line, also on a narrow terminal.
const WIDTH: usize = 96;

/// Prints one finding in full, ending with what to do now.
///
/// # Errors
/// When `out` cannot be written.
pub fn show(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    for (label, fact) in facts(document) {
        writeln!(out, "{label:<11}{fact}")?;
    }
    if document.cause != Cause::Unknown {
        writeln!(out, "{:<11}{}", "rule", rule::of(document.cause))?;
    }
    if !document.columns.is_empty() {
        writeln!(out, "\nColumns that differ")?;
        for (name, expected, observed) in document.columns.iter().map(sides) {
            writeln!(out, "  {name}\n    expected {expected}\n    observed {observed}")?;
        }
    }
    if !document.history.is_empty() {
        writeln!(out, "\nHistory")?;
        for event in &document.history {
            writeln!(out, "  {}", printable(&event.line()))?;
        }
    }
    writeln!(out, "\nWhat to do now")?;
    for line in wrapped(&advice::advice(document.kind, document.cause), WIDTH) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn shown(document: &Document) -> String {
        let mut out = Vec::new();
        show(document, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_finding_is_enough_to_act_on() {
        insta::assert_snapshot!(shown(&sample::documents()[1]), @r#"
        id         b88a5fa902a61c4d0349d68008a47016
        kind       lost_update
        cause      update_merge
        severity   warning
        state      open
        pipeline   orders
        table      public.customers
        key        id=43
        expected   the row of the update at orders/3:1200 (source 0/16B3748, committed 2026-11-22T10:00:01.000Z); lost up to orders/3:1204
        observed   a row, read 2026-11-22T10:00:40.120Z; it is the version of orders/3:1199 (insert)
        behind     2 versions
        proof      early
        evidence   applied watermark 3/1400 (kafka-group) is past 3/991
        first seen 2026-11-22T10:00:38.000Z
        last seen  2026-11-22T10:00:40.120Z, by 2 reads
        rule       an earlier update's row is there, or columns of several updates are mixed in one row

        Columns that differ
          name
            expected b | <b>\u{1b}[31m
            observed a

        What to do now
          The applier merged several updates of this key, and kept an earlier one or mixed their columns.
          Read the row at the source by its key and write its current values over the target's row. The
          finding closes by itself once the row is right. Turn off the merging of changes for this table
          (DMS: `BatchApplyEnabled=false`), or have updates carry whole rows.
        "#);
    }

    #[test]
    fn findings_without_a_row_show_what_they_are_about() {
        insta::assert_snapshot!(shown(&sample::documents()[3]), @r"
        id         2567e554e3d46cc0cd800c5cac052e59
        kind       mass_divergence
        cause      op_not_applied
        severity   critical
        state      open
        pipeline   orders
        table      public.customers
        expected   no row after the delete at orders/3:500
        count      1200 keys
        samples    (id=1), (id=2)
        evidence   applied watermark 3/1400 (kafka-group) is past 3/991
        first seen 2026-11-22T10:00:38.000Z
        last seen  2026-11-22T10:00:40.120Z, by 2 reads
        rule       no operation of this kind was applied to the table lately, of three at least

        What to do now
          The applier has applied no operation of this kind on this table since the position above. Most
          recent changes of this table are not on the target. Look at the applier's log for this table
          first: a group of statements that is stuck resolves by itself, a setting that drops them does
          not. Its rows stay suspected until that can be told. Check that the applier is told to carry
          such operations (Debezium JDBC sink: `delete.enabled=true` with `primary.key.mode=record_key`,
          `truncate.enabled=true`), and that its user may carry them out.
        ");
    }
}
