//! What was planted against what was found. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::applier::{Fields, Loss, Place, RowId};
use super::sidecar::place;
use crate::model::Wall;
use crate::model::finding::{Cause, State};
use crate::report::Document;

/// A loss that stood for so long could be proven: healed later or not, it has to be found. Twice the window and the commit
/// interval of the applier, the polls and the reads in between, and as much again for a busy machine.
const PROVABLE_AFTER: Duration = Duration::from_secs(30);

/// A finding that was open at some time.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    /// As it was last stated.
    pub(super) document: Document,
    /// When it was first seen open.
    pub(super) at: Wall,
}

/// Every finding that was ever open.
#[derive(Debug, Clone, Default)]
pub(super) struct Scoreboard {
    opened: BTreeMap<String, Opened>,
}

/// One line of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Line {
    pub(super) planted: u64,
    pub(super) healed: u64,
    pub(super) found: u64,
    pub(super) waiting: u64,
    pub(super) wrong: u64,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Score {
    /// By the cause that lost a row, except `found` and `wrong`, which go by the cause that the finding names.
    pub(super) lines: BTreeMap<Cause, Line>,
    /// From the moment of loss to the open finding, shortest first.
    pub(super) times: Vec<Duration>,
    /// Findings that nothing planted explains, as sentences.
    pub(super) wrong: Vec<String>,
    /// Losses that are not found and not healed, as sentences.
    pub(super) waiting: Vec<String>,
}

impl Score {
    pub(super) fn total(&self) -> Line {
        self.lines.values().fold(Line::default(), |sum, line| Line {
            planted: sum.planted + line.planted,
            healed: sum.healed + line.healed,
            found: sum.found + line.found,
            waiting: sum.waiting + line.waiting,
            wrong: sum.wrong + line.wrong,
        })
    }

    /// The time within which `per_cent` of the losses were found.
    pub(super) fn time(&self, per_cent: usize) -> Duration {
        let rank = (self.times.len() * per_cent).div_ceil(100).saturating_sub(1);
        self.times.get(rank).copied().unwrap_or_default()
    }
}

impl Scoreboard {
    /// Takes a finding as it stands at `now`.
    pub(super) fn see(&mut self, document: Document, now: Wall) {
        let known = self.opened.get_mut(&document.id);
        match (document.state, known) {
            (_, Some(known)) => known.document = document,
            (State::Open | State::Acknowledged | State::Ignored | State::Retracted, None) => {
                self.opened.insert(document.id.clone(), Opened { document, at: now });
            }
            // Healed before anybody saw it open: it was a finding all the same, if something had proven it.
            (State::Healed, None) if document.proof.is_some() => {
                self.opened.insert(document.id.clone(), Opened { document, at: now });
            }
            (State::Suspected | State::Healed, None) => {}
        }
    }

    /// Every finding that was ever open, in no particular order.
    pub(super) fn opened(&self) -> impl Iterator<Item = &Opened> {
        self.opened.values()
    }

    /// Matches findings with losses.
    pub(super) fn score(&self, losses: &[Loss<Place>], now: Wall) -> Score {
        let mut score = Score::default();
        let mut explained = BTreeSet::new();
        for loss in losses {
            let line = score.lines.entry(loss.cause).or_default();
            line.planted += 1;
            let found = self.opened.iter().find(|(_, opened)| explains(loss, opened));
            if let Some((id, opened)) = found {
                explained.insert(id.as_str());
                score.lines.entry(opened.document.cause).or_default().found += 1;
                score.times.push(between(loss.lost_at, opened.at));
                continue;
            }
            let stood = between(loss.lost_at, loss.healed_at.unwrap_or(now));
            if loss.healed_at.is_some() && stood < PROVABLE_AFTER {
                line.healed += 1;
            } else {
                line.waiting += 1;
                score.waiting.push(format!("{} at {} ({})", loss.id, newest(loss), loss.cause));
            }
        }
        for (_, opened) in self.opened.iter().filter(|(id, _)| !explained.contains(id.as_str())) {
            score.lines.entry(opened.document.cause).or_default().wrong += 1;
            score.wrong.push(sentence(&opened.document));
        }
        score.times.sort_unstable();
        score
    }
}

fn newest(loss: &Loss<Place>) -> String {
    loss.lost.last().map(ToString::to_string).unwrap_or_default()
}

/// The finding names a lost change of that row, and was first seen while the row was wrong.
fn explains(loss: &Loss<Place>, opened: &Opened) -> bool {
    let document = &opened.document;
    let Some(place) = place(document) else { return false };
    let row = document.table.as_deref().zip(document.key.as_ref()).map(|(table, key)| {
        let key: Fields = key.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        RowId::new(table, &key)
    });
    document.state != State::Retracted
        && row.as_ref() == Some(&loss.id)
        && loss.covers(&place)
        && loss.healed_at.is_none_or(|healed_at| document.first_seen <= healed_at)
}

fn between(from: Wall, to: Wall) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or_default())
}

/// A finding in one line.
pub(super) fn sentence(document: &Document) -> String {
    let table = document.table.as_deref().unwrap_or("the pipeline");
    let key = document.key.as_ref().and_then(|key| serde_json::to_string(key).ok()).unwrap_or_default();
    format!("{} {table} {key} at {} ({})", document.kind, document.position(), document.cause)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROW: i64 = 7;

    fn loss(offset: u64, lost_at: i64, healed_at: Option<i64>) -> Loss<Place> {
        let key: Fields = [("id".to_owned(), json!(ROW))].into();
        Loss {
            id: RowId::new("public.t", &key),
            key,
            lost: vec![Place { topic: "t".into(), partition: 0, offset }],
            cause: Cause::InsertUpdateMerge,
            expected: None,
            lost_at: Wall(lost_at),
            healed_at: healed_at.map(Wall),
        }
    }

    fn finding(key: i64, offset: u64, state: &str, first_seen: i64) -> Document {
        let at = json!({"tap": "kafka", "topic": "t", "partition": 0, "offset": offset, "source": null, "committed_at": null});
        let time = Wall(first_seen).rfc3339();
        serde_json::from_value(json!({
            "schema": "afterimage.finding/1", "id": format!("{key}-{offset}"), "pipeline": "demo", "table": "public.t",
            "key": {"id": key}, "kind": "lost_update", "cause": "insert_update_merge", "severity": "warning",
            "state": state, "expected": {"op": "update", "row": null, "at": at}, "observed": null, "columns": [],
            "versions_behind": 1, "proof": if state == "suspected" { json!(null) } else { json!("committed") },
            "evidence": "", "first_seen": time, "last_seen": time, "observations": 2, "healed_at": null, "note": null,
        }))
        .expect("a finding")
    }

    /// Planted, healed, found, waiting, false.
    fn counted(losses: &[Loss<Place>], findings: &[Document]) -> [u64; 5] {
        let mut board = Scoreboard::default();
        findings.iter().for_each(|document| board.see(document.clone(), Wall(5_000)));
        let Line { planted, healed, found, waiting, wrong } = board.score(losses, Wall(100_000)).total();
        [planted, healed, found, waiting, wrong]
    }

    #[test]
    fn findings_are_held_against_losses() {
        let rows = [
            ("found", vec![loss(3, 1_000, None)], vec![finding(ROW, 3, "open", 2_000)], [1, 0, 1, 0, 0]),
            (
                "healed since",
                vec![loss(3, 1_000, Some(9_000))],
                vec![finding(ROW, 3, "healed", 2_000)],
                [1, 0, 1, 0, 0],
            ),
            ("not found", vec![loss(3, 1_000, None)], vec![], [1, 0, 0, 1, 0]),
            ("suspected only", vec![loss(3, 1_000, None)], vec![finding(ROW, 3, "suspected", 2_000)], [1, 0, 0, 1, 0]),
            ("healed before proof", vec![loss(3, 1_000, Some(6_000))], vec![], [1, 1, 0, 0, 0]),
            ("healed long after", vec![loss(3, 1_000, Some(60_000))], vec![], [1, 0, 0, 1, 0]),
            ("another position", vec![loss(3, 1_000, None)], vec![finding(ROW, 4, "open", 2_000)], [1, 0, 0, 1, 1]),
            ("another row", vec![loss(3, 1_000, None)], vec![finding(8, 3, "open", 2_000)], [1, 0, 0, 1, 1]),
            (
                "seen only when right",
                vec![loss(3, 1_000, Some(1_500))],
                vec![finding(ROW, 3, "open", 2_000)],
                [1, 1, 0, 0, 1],
            ),
            ("retracted", vec![loss(3, 1_000, None)], vec![finding(ROW, 3, "retracted", 2_000)], [1, 0, 0, 1, 1]),
            ("nothing lost", vec![], vec![finding(ROW, 3, "open", 2_000)], [0, 0, 0, 0, 1]),
        ];
        for (what, losses, findings, expected) in rows {
            assert_eq!(counted(&losses, &findings), expected, "{what}");
        }
    }

    #[test]
    fn a_finding_about_more_than_a_row_is_false_too() {
        let stalled = Document { table: None, key: None, expected: None, ..finding(ROW, 3, "open", 2_000) };
        assert_eq!(counted(&[], &[stalled]), [0, 0, 0, 0, 1]);
    }

    #[test]
    fn times_run_from_the_loss_to_the_open_finding() {
        let losses: Vec<Loss<Place>> = (0..100).map(|n| loss(n, i64::try_from(n).unwrap() * 10, None)).collect();
        let mut board = Scoreboard::default();
        (0..100).for_each(|n| board.see(finding(ROW, n, "open", 500), Wall(1_000)));
        let score = board.score(&losses, Wall(2_000));
        let times = [50, 99, 100].map(|rank| score.time(rank).as_millis());
        assert_eq!(times, [500, 990, 1_000]);
    }
}
