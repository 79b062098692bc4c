//! reladiff, the real one, as a process of its own: source against target, table by table, while changes flow.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use afterimage::demo::applier::RowId;
use afterimage::model::Wall;
use serde_json::Value;
use tokio::process::Command;

use super::{Alarm, Outcome};
use crate::tables::Table;
use crate::target::row_id;
use crate::wall;

/// What it compares.
#[derive(Debug, Clone)]
pub(crate) struct Reladiff {
    pub(crate) program: PathBuf,
    pub(crate) source: String,
    pub(crate) target: String,
}

/// A row that one run reported, with when the run of its table began and ended.
type Reported = Vec<(RowId, Wall, Wall)>;

impl Reladiff {
    /// Runs it twice: what the first run says, and what both say.
    pub(crate) async fn run(self) -> [Outcome; 2] {
        let looked_at = Some(wall::now());
        let (first, second) = (self.once().await, self.once().await);
        let again: BTreeSet<&RowId> = second.iter().map(|(row, ..)| row).collect();
        let ended = second.iter().map(|(.., at)| *at).max().unwrap_or_else(wall::now);
        let both = first.iter().filter(|(row, ..)| again.contains(row));
        let both = both.map(|(row, from, _)| Alarm { row: row.clone(), from: *from, at: ended }).collect();
        let once = first.iter().map(|(row, from, at)| Alarm { row: row.clone(), from: *from, at: *at }).collect();
        [
            Outcome { name: "reladiff, once".into(), alarms: once, reads: 0, looked_at },
            Outcome { name: "reladiff, twice and intersected".into(), alarms: both, reads: 0, looked_at },
        ]
    }

    async fn once(&self) -> Reported {
        let mut reported = Vec::new();
        for table in Table::ALL {
            let from = wall::now();
            let rows = self.compare(table).await;
            let at = wall::now();
            reported.extend(rows.into_iter().map(|row| (row, from, at)));
        }
        reported
    }

    async fn compare(&self, table: Table) -> BTreeSet<RowId> {
        let mut command = Command::new(&self.program);
        command.args([&self.source, table.name(), &self.target, table.name(), "--json", "-j", "2"]);
        table.key().iter().for_each(|column| _ = command.args(["-k", column]));
        table.rest().iter().for_each(|column| _ = command.args(["-c", column]));
        let output = command.stdin(Stdio::null()).output().await.expect("reladiff starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "reladiff of `{}` fails: {complaint}", table.name());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| row(table, line)).collect()
    }
}

/// The row of a line as `["-", ["1", "a", …]]`, the key columns first.
fn row(table: Table, line: &str) -> Option<RowId> {
    let line: Value = serde_json::from_str(line).ok()?;
    let values = line.get(1)?.as_array()?;
    let key: Vec<String> = table.key().iter().zip(values).map(|(name, value)| pair(name, value)).collect();
    Some(row_id(table, &format!("{{{}}}", key.join(","))))
}

fn pair(name: &str, value: &Value) -> String {
    format!("\"{name}\":{}", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
}
