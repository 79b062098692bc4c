//! The oracle. It knows what the applier did and when, so it can say of each key and moment whether a loss stood there.
//! It knows nothing of how the engine finds out.

use afterimage::model::Op;
use afterimage::model::finding::Cause;

use crate::applier::Put;
use crate::source::{Bits, COLUMNS, Cells, KeyId, Source};

/// What went wrong, as the applier knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    InsertUpdate,
    InsertDelete,
    DeleteInsert,
    UpdateMerge,
    Skipped,
    NoDelete,
    Torn,
    Foreign,
    BatchSkipped,
    /// The target refused the row.
    Rejected,
    /// Somebody else wrote the row.
    Elsewhere,
    /// A row that was verified was changed behind our back.
    Damaged,
    /// A window applied again left an earlier state.
    Replayed,
}

impl Label {
    /// Whether nothing on the tap has to do with it.
    pub(crate) fn is_anothers(self) -> bool {
        matches!(self, Label::Elsewhere | Label::Damaged)
    }

    /// Whether a cause named for such a loss is not a lie: evidence that was overwritten may leave a weaker or a neighbouring one.
    pub(crate) fn admits(self, cause: Cause) -> bool {
        match cause {
            Cause::ForeignWrite => matches!(self, Label::Foreign | Label::Torn | Label::Replayed) || self.is_anothers(),
            Cause::PlaceholderWritten | Cause::RejectedRow | Cause::ColumnCoercion => false,
            Cause::InsertUpdateMerge
            | Cause::InsertDeleteMerge
            | Cause::DeleteInsertMerge
            | Cause::UpdateMerge
            | Cause::SkippedBatch
            | Cause::ReplayedBatch
            | Cause::OpNotApplied
            | Cause::KeyChangeSplit
            | Cause::Unknown => true,
        }
    }
}

/// One stretch of time in which a key's row was not what the applier had completed.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    pub(crate) key: KeyId,
    /// The newest change that the applier had completed when it began, if it had any.
    pub(crate) change: Option<usize>,
    /// What stood there meanwhile: writes of other columns change a row and heal nothing.
    pub(crate) contents: Vec<Option<Cells>>,
    pub(crate) label: Label,
    pub(crate) worker: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// It ended because a window was applied again.
    pub(crate) reapplied: bool,
    /// It began with a change that demands nothing, whatever it did.
    pub(crate) undemanded: bool,
    /// When a finding said so.
    pub(crate) found: Option<u64>,
}

impl Loss {
    pub(crate) fn covers(&self, moment: u64) -> bool {
        self.start <= moment && moment <= self.end
    }

    /// A version on its way, or one that says too little, equals the lost row: nothing can tell them apart.
    pub(crate) fn masked(&self, source: &Source, until: u64) -> bool {
        source.by_key[self.key as usize].iter().skip_while(|index| Some(**index) < self.change).any(|index| {
            let fits = |content: &Option<Cells>| source.fits(*index, content.as_ref());
            source.changes[*index].append <= until && self.contents.iter().any(fits)
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) losses: Vec<Loss>,
    /// The newest completed change of each key, of those that the applier carries.
    pub(crate) expected: Vec<Option<usize>>,
    /// Behind it another was left out: no row is right too.
    left_out: Vec<bool>,
    /// What is written now was written before.
    pub(crate) again: bool,
    /// When a former member of the group last wrote its batch after another one had taken over.
    pub(crate) late: Option<u64>,
    /// Keys that a batch got wrong and right again before it was complete.
    pub(crate) overwritten: usize,
    done: Vec<bool>,
    open: Vec<Option<usize>>,
    label: Vec<Option<Label>>,
    /// Rows that an attempt at a batch really got wrong, completed or not: key, from, to.
    attempts: Vec<(KeyId, u64, u64)>,
    attempt: Vec<Option<usize>>,
}

/// Milliseconds within which rows that a former member wrote late may be met below a committed position, twice.
const LATE: u64 = 1_200_000;

impl Truth {
    pub(crate) fn wrote_late(&self, now: u64) -> bool {
        self.late.is_some_and(|late| now < late + LATE)
    }

    /// Somebody else's content stood on the target.
    pub(crate) fn was_foreign(&self) -> bool {
        self.losses.iter().any(|loss| loss.label == Label::Foreign || loss.label.is_anothers())
    }

    pub(crate) fn new(source: &Source) -> Truth {
        let keys = source.by_key.len();
        Truth {
            expected: vec![None; keys],
            left_out: vec![false; keys],
            done: vec![false; source.changes.len()],
            open: vec![None; keys],
            label: vec![None; keys],
            attempt: vec![None; keys],
            ..Truth::default()
        }
    }

    pub(crate) fn is_done(&self, index: usize) -> bool {
        self.done[index]
    }

    pub(crate) fn done(&mut self, source: &Source, index: usize, key: KeyId) {
        self.done[index] = true;
        let left_out = source.is_left_out(index);
        self.left_out[key as usize] = left_out;
        if !left_out {
            self.expected[key as usize] = Some(index);
        }
    }

    /// Whether a row is what has to stand there by what is completed.
    fn is_right(&self, source: &Source, key: KeyId, row: Option<Cells>) -> bool {
        let nothing = self.left_out[key as usize] && row.is_none();
        nothing || self.row(source, key) == row
    }

    pub(crate) fn was_done(&mut self, index: usize) {
        self.done[index] = true;
    }

    /// The target was restored: what stands there is right, by the last change that was not taken back.
    pub(crate) fn restored(&mut self, key: KeyId, last: Option<usize>, now: u64) {
        let at = key as usize;
        self.expected[at] = last;
        self.label[at] = None;
        if let Some(attempt) = self.attempt[at].take() {
            self.attempts[attempt].2 = now;
        }
        if let Some(loss) = self.open[at].take() {
            self.losses[loss].end = now;
        }
    }

    pub(crate) fn misapplied(&mut self, key: KeyId, label: Label, now: u64) {
        self.label[key as usize] = Some(label);
        if self.attempt[key as usize].is_none() {
            self.attempt[key as usize] = Some(self.attempts.len());
            self.attempts.push((key, now, u64::MAX));
        }
    }

    /// A row changed on the target: what was wrong is wrong no more, unless columns it did not touch are.
    pub(crate) fn written(&mut self, source: &Source, key: KeyId, put: Put, new: Option<Cells>, now: u64) {
        if let Some(attempt) = self.attempt[key as usize].take() {
            self.attempts[attempt].2 = now;
        }
        let expected = self.row(source, key);
        let untouched = match (put, new, expected) {
            (Put::Columns(_, bits), Some(new), Some(expected)) => {
                (0..COLUMNS).any(|column| bits >> column & 1 == 0 && new[column] != expected[column])
            }
            (Put::Columns(..) | Put::Row(_) | Put::Table, _, _) => false,
        };
        if let Some(loss) = self.open[key as usize].filter(|_| untouched) {
            self.losses[loss].contents.push(new);
        }
        if let Some(loss) = self.open[key as usize].filter(|_| !untouched) {
            self.losses[loss].end = now;
            self.losses[loss].reapplied = self.again;
            self.open[key as usize] = None;
        }
    }

    /// Somebody else wrote a row: what stood wrong there stands no more, and what it left may be wrong.
    pub(crate) fn elsewhere(&mut self, source: &Source, key: KeyId, new: Option<Cells>, (label, now): (Label, u64)) {
        self.again = false;
        self.written(source, key, Put::Row(new), new, now);
        self.label[key as usize] = Some(label);
        if !self.is_right(source, key, new) {
            self.open(key, new, (usize::MAX, now));
        }
    }

    /// The row that has to stand there by what is completed.
    pub(crate) fn row(&self, source: &Source, key: KeyId) -> Option<Cells> {
        self.expected[key as usize].map_or(source.before[key as usize], |index| source.changes[index].row)
    }

    /// A batch that held the key is complete: is its row what it has to be?
    pub(crate) fn judged(&mut self, source: &Source, key: KeyId, worker: usize, row: Option<Cells>, now: u64) {
        let at = key as usize;
        if self.expected[at].is_none() {
            return;
        }
        let right = self.is_right(source, key, row);
        match self.open[at] {
            None if !right && key < source.keys => self.open(key, row, (worker, now)),
            Some(loss) if right => {
                self.losses[loss].end = now;
                self.losses[loss].reapplied = self.again;
                self.open[at] = None;
            }
            None | Some(_) => {}
        }
        if right {
            self.overwritten += usize::from(self.label[at].take().is_some());
        }
    }

    fn open(&mut self, key: KeyId, content: Option<Cells>, (worker, start): (usize, u64)) {
        let at = key as usize;
        self.open[at] = Some(self.losses.len());
        self.losses.push(Loss {
            key,
            change: self.expected[at],
            contents: vec![content],
            label: self.label[at].unwrap_or(Label::Replayed),
            worker,
            start,
            end: u64::MAX,
            reapplied: false,
            undemanded: self.left_out[at],
            found: None,
        });
    }

    /// The loss that stands at a key.
    pub(crate) fn standing(&self, key: KeyId) -> Option<&Loss> {
        self.open[key as usize].map(|loss| &self.losses[loss])
    }

    /// The losses of a key that cover a moment.
    pub(crate) fn at(&mut self, key: KeyId, moment: u64) -> impl Iterator<Item = &mut Loss> {
        self.losses.iter_mut().filter(move |loss| loss.key == key && loss.covers(moment))
    }

    /// Whether an attempt that was given up later had really got the row wrong.
    pub(crate) fn attempted(&self, key: KeyId, moment: u64) -> bool {
        self.attempts.iter().any(|(of, from, to)| *of == key && *from <= moment && moment <= *to)
    }
}

/// Whether a row was ever what a change of the key (or the time before them) left.
pub(crate) fn was_ever(source: &Source, key: KeyId, row: Option<&Cells>) -> bool {
    source.before[key as usize].as_ref() == row
        || source.by_key[key as usize].iter().any(|index| source.fits(*index, row) || source.changes[*index].fits(row))
}

/// Whether every column that was told stood in some version.
pub(crate) fn is_mix(source: &Source, key: KeyId, (row, told): (&Cells, Bits)) -> bool {
    let rows = source.by_key[key as usize].iter().filter_map(|index| source.changes[*index].row);
    let rows: Vec<Cells> = rows.chain(source.before[key as usize]).collect();
    (0..COLUMNS).all(|column| told >> column & 1 == 0 || rows.iter().any(|known| known[column] == row[column]))
}

pub(crate) fn removes(op: Op) -> bool {
    matches!(op, Op::Delete | Op::Truncate)
}
