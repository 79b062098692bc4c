//! Records become engine inputs: decoded, keyed, in canonical form. One for each thread that does this; whatever depends on
//! the order of batches is left to [`super::ingest`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::canon::{Binding, Expected, Filter, Mask, Meets};
use crate::decode::Understood;
use crate::engine::Input;
use crate::engine::event::{Carried, Image, Role, Tracked};
use crate::model::{Batch, Change, Columns, Condition, Key, Op, PartitionId, Position, Record, Row, TableId, Typing};
use crate::tap::Partitions;

use super::counted::Counts;
use super::images::Kept;
use super::mapping::Mapper;
use super::schemas::{Reader, Stopped};
use super::tables::{Carries, Mapped, Table, Tables};
use super::tell;

/// Shapes of rows remembered for one table; past it the oldest goes and is bound again when met.
const SHAPES: usize = 32;

/// A batch, decoded.
#[derive(Default)]
pub(super) struct Decoded {
    pub(super) batch: Batch,
    pub(super) inputs: Vec<Input>,
    pub(super) images: Vec<Kept>,
    /// Whether each change meets the condition that the user asks with, in the order of the images; empty without one.
    pub(super) meets: Vec<Meets>,
    /// Tables of which it holds changes that are judged.
    pub(super) judged: Vec<TableId>,
    /// What rows of a full load came of, told once a batch.
    pub(super) loading: BTreeSet<(PartitionId, TableId)>,
    /// The next offset of each of its partitions.
    pub(super) reached: BTreeMap<PartitionId, u64>,
    pub(super) changes: BTreeMap<Op, u64>,
    pub(super) rejects: u64,
    pub(super) not_judged: PassedOver,
    /// It holds records that are understood by those before them, in whatever batch.
    pub(super) depends_on_order: bool,
}

/// Changes of tables that are not judged, by partition and table.
pub(super) type PassedOver = BTreeMap<(PartitionId, TableId), Passed>;

/// Changes that are not judged: how many, and the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) count: u64,
    pub(super) range: (u64, u64),
}

impl Passed {
    /// Both.
    pub(super) fn with(self, more: Passed) -> Passed {
        let range = (self.range.0.min(more.range.0), self.range.1.max(more.range.1));
        Passed { count: self.count + more.count, range }
    }
}

/// What one thread needs.
pub(super) struct Decoding {
    pub(super) reader: Reader,
    pub(super) mapper: Mapper,
    pub(super) partitions: Partitions,
    pub(super) bindings: Bindings,
}

/// How rows of each shape stand in the plan of their table.
pub(super) struct Bindings {
    of: BTreeMap<TableId, Known>,
    tables: Arc<Tables>,
    pipeline: Arc<str>,
    /// What changes are asked for beside their table's own condition.
    asked: Option<Condition>,
}

/// What is remembered for one table.
struct Known {
    table: Arc<Table>,
    shapes: Vec<Shape>,
    asked: Option<Filter>,
}

/// Rows with the same columns, read the same way.
struct Shape {
    columns: Arc<Columns>,
    typing: Typing,
    binding: Arc<Binding>,
    /// A change left a row of this shape: what it carries is known.
    carried: bool,
}

/// Which of a change's rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Where a change was read.
pub(super) struct Place<'t> {
    topic: &'t str,
    pub(super) at: Position,
    pub(super) appended: Option<i64>,
}

impl Decoding {
    /// Decodes a batch. Blocks while the target cannot be asked for a table that is new, or the registry for a schema; a stop
    /// meanwhile leaves the batch unread.
    ///
    /// # Errors
    /// When it was stopped before the registry answered.
    pub(super) fn decode(&mut self, batch: Batch) -> Result<Decoded, Stopped> {
        let mut out = Decoded {
            inputs: Vec::with_capacity(batch.len() + 4),
            images: Vec::with_capacity(batch.len()),
            ..Decoded::default()
        };
        let mut topic: Option<(PartitionId, Arc<str>)> = None;
        for record in batch.records() {
            let name = match &topic {
                Some((partition, name)) if *partition == record.partition => Arc::clone(name),
                Some(_) | None => {
                    let name = self.partitions.name(record.partition).topic;
                    topic = Some((record.partition, Arc::clone(&name)));
                    name
                }
            };
            self.record(&name, record, &mut out)?;
            out.reached.insert(record.partition, record.offset + 1);
        }
        Ok(Decoded { batch, ..out })
    }

    fn record(&mut self, topic: &str, record: Record<'_>, out: &mut Decoded) -> Result<(), Stopped> {
        let at = Position { partition: record.partition, offset: record.offset };
        let place = Place { topic, at, appended: record.timestamp_ms };
        let understood = self.reader.read(topic, record)?;
        out.depends_on_order |= self.reader.format().depends_on_order();
        let mut counts = Counts::default();
        match understood {
            Understood::Change(change) => self.change(&place, change, &mut counts, out),
            Understood::KeyChange(pair) => {
                let (old, new) = *pair;
                self.change(&place, old, &mut counts, out);
                self.change(&place, new, &mut counts, out);
            }
            Understood::Changes(changes) => {
                changes.into_iter().for_each(|change| self.change(&place, change, &mut counts, out));
            }
            Understood::Tombstone | Understood::Control(_) => {}
            Understood::Reject(reject) => out.reject(at, reject.reason, reject.table),
        }
        counts.end(&place, out);
        Ok(())
    }

    fn change(&mut self, place: &Place<'_>, change: Change<'_>, counts: &mut Counts, out: &mut Decoded) {
        *out.changes.entry(change.op).or_default() += 1;
        let table = match self.mapper.mapped(&change.table, place.topic, carried_columns(&change)) {
            (_, Mapped::Judged(table)) => table,
            (id, Mapped::NotJudged(_)) => {
                out.pass_over(id, place.at);
                return;
            }
        };
        if table.role == Role::Counted && change.op != Op::Truncate {
            let meets = self.bindings.meets(table, &change);
            if let Err(reason) = counts.add(table, &change, meets) {
                out.reject(place.at, reason, Some(Arc::clone(&change.table)));
            }
            return;
        }
        match key_of(table, &change) {
            Ok(key) => {
                if is_full_load(&change) && out.loading.insert((place.at.partition, table.id)) {
                    out.inputs.push(Input::Loading { partition: place.at.partition, table: table.id });
                }
                out.meets.extend(self.bindings.meets(table, &change));
                let (tracked, image) = self.bindings.tracked(table, place, key, change);
                out.keep(tracked, image);
            }
            Err(reason) => out.reject(place.at, reason, Some(Arc::clone(&change.table))),
        }
    }
}

/// The columns by which a table is mapped that a change is the first of.
fn carried_columns<'a>(change: &'a Change<'_>) -> Carries<'a> {
    let row = change.after.as_ref().or(change.before.as_ref());
    Carries { key: change.key.as_ref().map(|key| &*key.columns), row: row.map(|row| &*row.columns) }
}

/// DMS loads a table beside the stream of its changes, and tells of it on the tap. A connector's snapshot comes to the applier
/// in the tap's own order.
fn is_full_load(change: &Change<'_>) -> bool {
    change.op == Op::Read && change.after.as_ref().is_some_and(|row| row.typing == Typing::Dms)
}

impl Decoded {
    pub(super) fn keep(&mut self, tracked: Tracked, image: Image) {
        let table = tracked.key.table();
        if !self.judged.contains(&table) {
            self.judged.push(table);
        }
        self.images.push(Kept::new(tracked.at, &tracked.key, image));
        self.inputs.push(Input::Change(tracked));
    }

    fn pass_over(&mut self, table: TableId, at: Position) {
        let one = Passed { count: 1, range: (at.offset, at.offset) };
        let passed = self.not_judged.entry((at.partition, table)).or_insert(Passed { count: 0, ..one });
        *passed = passed.with(one);
    }

    fn reject(&mut self, at: Position, reason: String, table: Option<Arc<str>>) {
        self.rejects += 1;
        self.inputs.push(Input::Reject { at, reason, table });
    }
}

/// Whether the row before a change met the condition, as far as that row is told.
pub(super) fn was_met(filter: &Filter, change: &Change<'_>) -> Meets {
    change.before.as_ref().map_or(Meets::Unknown, |before| filter.met_by(before, None))
}

/// Whether the applier is meant to carry a change, of which `was` says whether the row before it was carried. A delete that does not tell what it removes has to be carried: nothing
/// tells the applier more.
pub(super) fn carried(filter: &Filter, change: &Change<'_>, was: Meets) -> Carried {
    let Some(after) = &change.after else {
        return if was == Meets::No { Carried::Outside } else { Carried::Within };
    };
    match filter.met_by(after, change.before.as_ref()) {
        Meets::Yes => Carried::Within,
        Meets::No if change.op == Op::Insert || was == Meets::No => Carried::Outside,
        Meets::No => Carried::Leaves,
        Meets::Unknown => Carried::Untold,
    }
}

pub(super) fn key_of(table: &Table, change: &Change<'_>) -> Result<Key, String> {
    if change.op == Op::Truncate {
        return Ok(Key::new(table.id, &[]));
    }
    let row = change.key.as_ref().or(change.after.as_ref()).or(change.before.as_ref());
    let advice = || {
        format!(
            "the record names no key and none is configured: set `key` in a [[tables]] rule for `{}`, to columns that every \
             record carries",
            change.table
        )
    };
    let row = row.ok_or_else(advice)?;
    let named = table.plan.key(row);
    let spare = change.after.as_ref().or(change.before.as_ref());
    let found = named.or_else(|error| spare.map_or(Err(error), |row| table.plan.key(row)));
    found.map_err(|error| match change.key {
        Some(_) => error.to_string(),
        None => format!("{error}; {}", advice()),
    })
}

impl Bindings {
    pub(super) fn new(tables: Arc<Tables>, pipeline: Arc<str>, asked: Option<Condition>) -> Bindings {
        Bindings { of: BTreeMap::new(), tables, pipeline, asked }
    }

    /// What is remembered for a table; nothing of what an earlier plan of it was.
    fn known<'k>(of: &'k mut BTreeMap<TableId, Known>, table: &Arc<Table>, asked: Option<&Condition>) -> &'k mut Known {
        let new = || Known {
            table: Arc::clone(table),
            shapes: Vec::new(),
            asked: asked.map(|asked| Filter::new(asked.clone(), &table.plan)),
        };
        let known = of.entry(table.id).or_insert_with(new);
        if !Arc::ptr_eq(&known.table, table) {
            *known = new();
        }
        known
    }

    /// Whether a change is asked for: by its row, or by the one it removes as far as that is told; `None` where no condition was
    /// asked.
    fn meets(&mut self, table: &Arc<Table>, change: &Change<'_>) -> Option<Meets> {
        let asked = self.asked.as_ref()?;
        let filter = Bindings::known(&mut self.of, table, Some(asked)).asked.as_ref()?;
        // A key alone is told in any case.
        let row = change.after.as_ref().or(change.before.as_ref()).or(change.key.as_ref());
        Some(row.map_or(Meets::Unknown, |row| filter.met_by(row, change.before.as_ref())))
    }

    fn tracked(&mut self, table: &Arc<Table>, place: &Place<'_>, key: Key, change: Change<'_>) -> (Tracked, Image) {
        let filter = table.filter.as_deref().filter(|_| change.op != Op::Truncate);
        let was = filter.map(|filter| was_met(filter, &change));
        let carried = filter.zip(was).map_or(Carried::Always, |(filter, was)| carried(filter, &change, was));
        let after = change.after.as_ref().map(|row| self.expected(table, (row, Side::After), None));
        let beside = change.after.as_ref().zip(after.as_ref());
        let before = change.before.as_ref().map(|row| self.expected(table, (row, Side::Before), beside));
        let (fingerprint, mask) = match (after, &before) {
            (Some(after), _) => (after.fingerprint, after.mask),
            (None, Some(before)) => (0, before.mask.clone()),
            (None, None) => (0, Mask::default()),
        };
        let was_carried = was.is_none_or(|was| was == Meets::Yes);
        let before = before.filter(|before| before.mask == mask && was_carried);
        let before = before.map(|before| before.fingerprint);
        let image = Image { row: change.after.map(|row| Arc::new(row.into_owned())), source: change.source };
        let tracked = Tracked {
            key,
            at: place.at,
            order: change.source_order.unwrap_or_default(),
            waymark: change.waymark,
            op: change.op,
            fingerprint,
            mask,
            before,
            committed_at: change.committed_at,
            appended_at: place.appended,
            key_change: change.key_change,
            carried,
            role: table.role,
            plan: table.epoch,
        };
        (tracked, image)
    }

    /// What a row says; read beside another image of the same change where that has the same shape.
    fn expected(
        &mut self,
        table: &Arc<Table>,
        (row, side): (&Row, Side),
        beside: Option<(&Row, &Expected)>,
    ) -> Expected {
        let binding = self.binding(table, row, side);
        let alike =
            |(other, _): &(&Row, &Expected)| Arc::ptr_eq(&other.columns, &row.columns) && other.typing == row.typing;
        match beside.filter(alike) {
            Some(other) => table.plan.expect_before(&binding, row, other),
            None => table.plan.expect(&binding, row),
        }
    }

    fn binding(&mut self, table: &Arc<Table>, row: &Row, side: Side) -> Arc<Binding> {
        let shapes = &mut Bindings::known(&mut self.of, table, self.asked.as_ref()).shapes;
        let is_it = |shape: &Shape| Arc::ptr_eq(&shape.columns, &row.columns) && shape.typing == row.typing;
        let at = shapes.iter().position(is_it).unwrap_or_else(|| {
            if shapes.len() >= SHAPES {
                shapes.remove(0);
            }
            let binding = Arc::new(table.plan.bind(&row.columns, row.typing));
            shapes.push(Shape { columns: Arc::clone(&row.columns), typing: row.typing, binding, carried: false });
            shapes.len() - 1
        });
        let shape = &mut shapes[at];
        if side == Side::After && !shape.carried {
            shape.carried = true;
            tell::carried(&self.pipeline, table, &self.tables.carries(table, &shape.binding));
        }
        Arc::clone(&shape.binding)
    }
}
