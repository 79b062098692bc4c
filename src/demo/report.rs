//! The report at the end: a table for people, one object for scripts.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::score::{Line, Score};
use crate::model::finding::Cause;
use crate::report::{self, Document};

/// The value of `schema` in every report of this shape.
const SCHEMA: &str = "afterimage.demo/1";

/// Everything the report says.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) changes: u64,
    pub(super) score: Score,
    pub(super) lag_p50: Duration,
    pub(super) lag_max: Duration,
    pub(super) elapsed: Duration,
    /// One finding to show in full.
    pub(super) example: Option<Document>,
}

#[derive(Serialize)]
struct Object<'a> {
    schema: &'a str,
    seed: u64,
    changes: u64,
    planted: BTreeMap<&'a str, u64>,
    healed: BTreeMap<&'a str, u64>,
    found: BTreeMap<&'a str, u64>,
    missed: u64,
    #[serde(rename = "false")]
    wrong: u64,
    time_to_detect_s: Times,
    lag_s: Lags,
    elapsed_s: f64,
}

#[derive(Serialize)]
struct Times {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
struct Lags {
    p50: f64,
    max: f64,
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

impl Report {
    /// Nothing missed, nothing false, and something to miss.
    pub(super) fn is_clean(&self) -> bool {
        let total = self.score.total();
        total.waiting == 0 && total.wrong == 0 && total.found > 0
    }

    /// One JSON object. `planted` counts the losses that lasted long enough to be proven; those that a later change
    /// healed before are `healed`.
    pub(super) fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let total = self.score.total();
        let object = Object {
            schema: SCHEMA,
            seed: self.seed,
            changes: self.changes,
            planted: self.by_cause(|line| line.planted - line.healed),
            healed: self.by_cause(|line| line.healed),
            found: self.by_cause(|line| line.found),
            missed: total.waiting,
            wrong: total.wrong,
            time_to_detect_s: Times {
                p50: seconds(self.score.time(50)),
                p99: seconds(self.score.time(99)),
                max: seconds(self.score.time(100)),
            },
            lag_s: Lags { p50: seconds(self.lag_p50), max: seconds(self.lag_max) },
            elapsed_s: seconds(self.elapsed),
        };
        serde_json::to_writer(&mut *out, &object)?;
        writeln!(out)
    }

    fn by_cause(&self, count: impl Fn(&Line) -> u64) -> BTreeMap<&'static str, u64> {
        self.score
            .lines
            .iter()
            .map(|(cause, line)| (cause.word(), count(line)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// The table, the times, what is unexplained, and one finding in full.
    pub(super) fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.lines())?;
        let score = &self.score;
        let [p50, p99, max] = [50, 99, 100].map(|rank| seconds(score.time(rank)));
        writeln!(out, "\ntime to detect, from the loss to the open finding: p50 {p50} s, p99 {p99} s, max {max} s")?;
        let (lag_p50, lag_max) = (seconds(self.lag_p50), seconds(self.lag_max));
        writeln!(out, "lag of the applier: p50 {lag_p50} s, max {lag_max} s")?;
        writeln!(out, "{} changes in {} s, seed {}", self.changes, seconds(self.elapsed), self.seed)?;
        for missed in &score.waiting {
            writeln!(out, "missed: {missed}")?;
        }
        for wrong in &score.wrong {
            writeln!(out, "false: {wrong}")?;
        }
        if let Some(example) = &self.example {
            writeln!(out, "\nOne of the findings:\n")?;
            report::show(example, out)?;
        }
        let verdict = if self.is_clean() {
            "every loss was found, and nothing else"
        } else if score.total().planted == 0 {
            "nothing was lost, so nothing was shown: run it for longer"
        } else {
            "not every loss was found, or something that was none was reported"
        };
        writeln!(out, "\n{verdict}")
    }

    fn lines(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["lost by", "planted", "healed before proof", "found", "missed", "false"]);
        let row = |name: &str, line: &Line| {
            [line.planted, line.healed, line.found, line.waiting, line.wrong].iter().fold(
                vec![name.to_owned()],
                |mut row, count| {
                    row.push(count.to_string());
                    row
                },
            )
        };
        for (cause, line) in &self.score.lines {
            table.add_row(row(Cause::word(*cause), line));
        }
        table.add_row(row("in all", &self.score.total()));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(line: Line) -> Report {
        let times = vec![Duration::from_millis(4_449), Duration::from_millis(9_950)];
        let lines = BTreeMap::from([(Cause::InsertDeleteMerge, line)]);
        Report {
            seed: 7,
            changes: 1_234,
            score: Score { lines, times, wrong: vec![], waiting: vec![] },
            lag_p50: Duration::from_millis(1_300),
            lag_max: Duration::from_millis(4_200),
            elapsed: Duration::from_millis(85_123),
            example: None,
        }
    }

    const CLEAN: Line = Line { planted: 6, healed: 1, found: 5, waiting: 0, wrong: 0 };

    #[test]
    fn a_script_gets_one_object() {
        let mut out = Vec::new();
        report(CLEAN).json(&mut out).expect("written");
        insta::assert_snapshot!(String::from_utf8(out).expect("text"), @r#"{"schema":"afterimage.demo/1","seed":7,"changes":1234,"planted":{"insert_delete_merge":5},"healed":{"insert_delete_merge":1},"found":{"insert_delete_merge":5},"missed":0,"false":0,"time_to_detect_s":{"p50":4.4,"p99":10.0,"max":10.0},"lag_s":{"p50":1.3,"max":4.2},"elapsed_s":85.1}"#);
    }

    #[test]
    fn it_is_clean_only_if_all_was_found_and_nothing_else() {
        let rows = [
            (CLEAN, true),
            (Line { waiting: 1, ..CLEAN }, false),
            (Line { wrong: 1, ..CLEAN }, false),
            (Line::default(), false),
        ];
        for (line, clean) in rows {
            assert_eq!(report(line).is_clean(), clean, "{line:?}");
        }
    }
}
