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
