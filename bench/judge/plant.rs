//! A second writer: it damages rows that are right and that nobody changes any more, some of each kind.
//!
//! Most rows are damaged a few seconds after the applier committed their last change, while the sidecar still watches them;
//! every eighth when it has verified and forgotten them, so that only its patrol of quiet rows can meet the damage.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use afterimage::demo::applier::RowId;
use afterimage::model::Wall;
use afterimage::model::finding::Kind;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::book::{Applied, Shelf};
use crate::load::{self, End, Finished};
use crate::tables::Table;
use crate::target::row_id;
use crate::wall;

/// After the last commit of a row that is still watched: long enough for one read of it, and less than the margin after which a
/// verified row is forgotten (`zombie_after`, 30 s).
const SOON: Duration = Duration::from_secs(8);

/// After the last commit of a row that is forgotten.
const QUIET: Duration = Duration::from_secs(100);

/// How often a row is damaged: enough of each kind in a few minutes, and too seldom to look like a mass.
pub(crate) const EVERY: Duration = Duration::from_secs(3);

/// Rows that wait for their damage.
const WAITING: usize = 4000;

/// When a row was damaged, beside its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Age {
    Watched,
    Forgotten,
}

/// One damaged row.
#[derive(Debug, Clone)]
pub(crate) struct Planted {
    pub(crate) row: RowId,
    pub(crate) kind: Kind,
    pub(crate) age: Age,
    /// The row's newest change.
    pub(crate) applied: Applied,
    pub(crate) at: Wall,
}

/// The writer.
pub(crate) struct Planter {
    target: PgConnection,
    shelf: Shelf,
    waiting: VecDeque<Finished>,
    forgotten: VecDeque<Finished>,
    planted: Vec<Planted>,
    turn: usize,
}

/// What it does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Regress,
    Vanish,
    Diverge,
    Resurrect,
    Duplicate,
}

impl Damage {
    /// All of them, in turn.
    const ALL: [Damage; 5] = [Damage::Regress, Damage::Vanish, Damage::Diverge, Damage::Resurrect, Damage::Duplicate];

    /// What a finding should call it.
    fn kind(self) -> Kind {
        match self {
            Damage::Regress => Kind::RegressedRow,
            Damage::Vanish => Kind::VanishedRow,
            Damage::Diverge => Kind::DivergedRow,
            Damage::Resurrect => Kind::ResurrectedRow,
            Damage::Duplicate => Kind::DuplicateRow,
        }
    }

    fn fits(self, row: Finished) -> bool {
        match self {
            Damage::Resurrect => row.table == Table::Events && row.end == End::Deleted,
            Damage::Duplicate => row.table == Table::Items && row.end == End::Changed,
            Damage::Regress | Damage::Vanish | Damage::Diverge => row.table == Table::Orders && row.end == End::Changed,
        }
    }

    fn sql(self, row: Finished) -> String {
        let (table, at) = (row.table.name(), load::at(row.table, row.id));
        match self {
            Damage::Regress => {
                format!("UPDATE orders SET status = 'new', note = NULL, rev = 0 WHERE {at} AND status = 'paid'")
            }
            Damage::Vanish => format!("DELETE FROM {table} WHERE {at} AND status = 'paid'"),
            Damage::Diverge => format!("UPDATE orders SET status = 'forged' WHERE {at} AND status = 'paid'"),
            Damage::Duplicate => format!("INSERT INTO {table} SELECT * FROM {table} WHERE {at}"),
            Damage::Resurrect => {
                let insert = load::insert(row.table, row.id);
                format!("{} ON CONFLICT DO NOTHING", insert.trim_end_matches(';'))
            }
        }
    }
}

impl Planter {
    pub(crate) fn new(target: PgConnection, shelf: Shelf) -> Planter {
        let (waiting, forgotten) = (VecDeque::new(), VecDeque::new());
        Planter { target, shelf, waiting, forgotten, planted: Vec::new(), turn: 0 }
    }

    /// Rows that are left alone from now on.
    pub(crate) fn finished(&mut self, rows: Vec<Finished>) {
        for row in rows {
            let queue = if row.id % 8 == 0 { &mut self.forgotten } else { &mut self.waiting };
            if queue.len() < WAITING {
                queue.push_back(row);
            }
        }
    }

    /// Damages one row, if there is one that fits.
    pub(crate) async fn step(&mut self) {
        let damage = Damage::ALL[self.turn % Damage::ALL.len()];
        let age = if (self.turn / Damage::ALL.len()) % 8 == 7 { Age::Forgotten } else { Age::Watched };
        self.turn += 1;
        let Some((finished, row, applied)) = self.pick(damage, age) else { return };
        let sql = damage.sql(finished);
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut self.target).await.expect("the target takes it");
        if done.rows_affected() == 1 {
            self.planted.push(Planted { row, kind: damage.kind(), age, applied, at: wall::now() });
        }
    }

    pub(crate) fn into_planted(self) -> Vec<Planted> {
        self.planted
    }

    /// The oldest row that fits, is right, and was committed at the right time. Those that are too old are dropped.
    fn pick(&mut self, damage: Damage, age: Age) -> Option<(Finished, RowId, Applied)> {
        let book = self.shelf.book();
        let lost: BTreeSet<&RowId> =
            book.losses.iter().filter(|loss| loss.healed_at.is_none()).map(|loss| &loss.id).collect();
        let (queue, from, to) = match age {
            Age::Watched => (&mut self.waiting, SOON, SOON * 2),
            Age::Forgotten => (&mut self.forgotten, QUIET, QUIET * 100),
        };
        let now = wall::now();
        let mut at = 0;
        while let Some(finished) = queue.get(at).copied() {
            let row = row_id(finished.table, &load::key(finished.table, finished.id));
            let applied = book.rows.get(&row).filter(|applied| applied.changes >= finished.changes);
            let age = applied.map(|applied| wall::seconds(applied.committed, now));
            let is_old = age.is_some_and(|age| age > to.as_secs_f64());
            let is_ripe = age.is_some_and(|age| age >= from.as_secs_f64()) && !lost.contains(&row);
            if is_ripe && !is_old && damage.fits(finished) {
                queue.remove(at);
                return applied.map(|applied| (finished, row, applied.clone()));
            }
            if is_old || lost.contains(&row) {
                queue.remove(at);
            } else {
                at += 1;
            }
        }
        None
    }
}
