//! The plan of one pair of tables: which columns are compared, in which form, and what a key is.

use std::sync::Arc;

use super::form::{self, Form};
use super::value::{Canonical, Reading, numeric, temporal};
use super::{Rules, Tolerance};
use crate::model::{Cell, Coercion, ColumnMeta, Columns, Key, Row, TableId, TableMeta, Typing};

/// The column in which an answer tells how many rows hold a key's values, where they are counted.
pub const COUNT: &str = "count(*)";

/// The text that Debezium writes for a value it does not have, unless `unavailable.value.placeholder` says otherwise.
pub const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";

/// How the rows of one tap table are held against the rows of one target table.
///
/// Its columns are the target's key columns and every compared column, in table order; indices in masks, hashes and
/// comparisons are positions in [`Plan::names`]. A plan never changes: when the target's metadata or the rules do, a new
/// one is made and versions are fingerprinted again.
#[derive(Debug)]
pub struct Plan {
    table: TableId,
    meta: Arc<TableMeta>,
    rules: Rules,
    pub(super) columns: Vec<PlanColumn>,
    key: Vec<KeyColumn>,
    names: Arc<Columns>,
    not_compared: Vec<NotCompared>,
    /// How the connector's marker reads in the columns of the target.
    placeholders: Box<[Box<str>]>,
    pub(super) rows: Rows,
}

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Rows {
    /// One row, whose other columns are compared.
    #[default]
    One,
    /// Every row that holds the key's values: the table has no key, and how many there are is compared.
    Counted,
}

#[derive(Debug)]
pub(super) struct PlanColumn {
    /// Place in the table.
    pub(super) place: usize,
    pub(super) form: Form,
    pub(super) tolerance: Option<Tolerance>,
    pub(super) coercion: Option<Coercion>,
    /// Key columns may be read without being compared.
    pub(super) compared: bool,
}

#[derive(Debug)]
struct KeyColumn {
    /// Index in the plan.
    index: usize,
    /// Name on the tap.
    tap_name: Box<str>,
}

/// A target column that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCompared {
    /// Name on the target.
    pub column: Box<str>,
    /// Why, as a fragment: ``type `inet` is not covered``.
    pub why: String,
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing says what a key is.
    #[error(
        "table `{table}` has no primary key and its records carry no key: name the key columns in the table's rule (`key = [\"…\"]`)"
    )]
    NoKey {
        /// Target table.
        table: String,
    },
    /// A key column of the rule or the record does not exist on the target.
    #[error(
        "key column `{column}` has no counterpart in target table `{table}`: map it with `columns`, or name other key columns with `key`"
    )]
    KeyColumn {
        /// Target table.
        table: String,
        /// Name on the tap.
        column: String,
    },
    /// A key column's type cannot be compared.
    #[error(
        "key column `{column}` of target table `{table}` has type `{declared}`, which cannot be a key here: name other key columns with `key`"
    )]
    KeyType {
        /// Target table.
        table: String,
        /// Name on the target.
        column: String,
        /// Declared type.
        declared: String,
    },
    /// `columns` maps to a column that does not exist.
    #[error("`columns` maps `{tap}` to `{target}`, which target table `{table}` does not have")]
    Rename {
        /// Target table.
        table: String,
        /// Name on the tap.
        tap: String,
        /// Name as the rule gives it.
        target: String,
    },
    /// A tolerance that its column cannot have.
    #[error("`tolerance` of column `{column}` of target table `{table}` must be {expected}: its type is `{declared}`")]
    Tolerance {
        /// Target table.
        table: String,
        /// Name on the target.
        column: String,
        /// Declared type.
        declared: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// Why a row has no usable key. Data, not a fault: the record cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The column is not there, or was not sent.
    #[error("key column `{column}` is missing")]
    Missing {
        /// Name on the tap.
        column: String,
    },
    /// NULL finds no row.
    #[error("key column `{column}` is null")]
    Null {
        /// Name on the tap.
        column: String,
    },
    /// The value cannot be a value of the target's column.
    #[error("key column `{column}` holds a value that target type `{declared}` does not")]
    Incomparable {
        /// Name on the tap.
        column: String,
        /// Declared type on the target.
        declared: String,
    },
}

impl Plan {
    /// Makes the plan of a target table. The key is the rule's, else `key_columns` (names on the tap, as the records'
    /// keys have them), else the target's primary key.
    pub fn new(
        table: TableId,
        meta: Arc<TableMeta>,
        rules: &Rules,
        key_columns: Option<&[String]>,
    ) -> Result<Plan, PlanError> {
        check_rules(&meta, rules)?;
        let key_names = key_names(&meta, rules, key_columns)?;
        let key_places = places_of(&meta, rules, &key_names)?;
        let mut plan = Plan::bare(table, &meta, rules);
        for place in 0..meta.columns.len() {
            plan.add_column(place, key_places.contains(&place))?;
        }
        plan.names = Arc::new(Columns::new(plan.target_names()));
        plan.key = plan.key_columns(key_names.into_iter().zip(key_places));
        Ok(plan)
    }

    fn bare(table: TableId, meta: &Arc<TableMeta>, rules: &Rules) -> Plan {
        Plan {
            table,
            meta: Arc::clone(meta),
            rules: rules.clone(),
            columns: Vec::new(),
            key: Vec::new(),
            names: Arc::default(),
            not_compared: Vec::new(),
            placeholders: markers(UNAVAILABLE_VALUE),
            rows: Rows::One,
        }
    }

    fn target_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*self.meta.columns[column.place].name)
    }

    fn key_columns(&self, named: impl Iterator<Item = (String, usize)>) -> Vec<KeyColumn> {
        let index_of = |place: usize| self.columns.iter().position(|column| column.place == place);
        named
            .filter_map(|(tap_name, place)| Some(KeyColumn { index: index_of(place)?, tap_name: tap_name.into() }))
            .collect()
    }

    /// Makes the plan of a target table whose rows no key tells apart: they are counted by the columns of `row` (names on the
    /// tap) that hold the same value on both sides and find it again. Of the others nothing is said.
    ///
    /// # Errors
    /// No column is such a one, or a rule does not fit.
    pub fn of_contents(table: TableId, meta: Arc<TableMeta>, rules: &Rules, row: &Columns) -> Result<Plan, PlanError> {
        check_rules(&meta, rules)?;
        let mut plan = Plan { rows: Rows::Counted, ..Plan::bare(table, &meta, rules) };
        let mut named = Vec::new();
        for place in 0..meta.columns.len() {
            let column = &meta.columns[place];
            let on_tap = row.0.iter().find(|name| place_of(&meta, rules, name) == Some(place));
            let is_named = |name: &String| meta.column(name) == Some(place);
            let ruled = rules.ignore.iter().chain(rules.coerced.keys()).chain(rules.tolerance.keys()).any(is_named);
            match (form::of(meta.dialect, column).filter(|form| form.counts_rows() && !ruled), on_tap) {
                (Some(form), Some(tap_name)) => {
                    named.push((tap_name.to_string(), place));
                    plan.columns.push(PlanColumn { place, form, tolerance: None, coercion: None, compared: true });
                }
                (None, _) | (_, None) => {
                    let why = "the table has no key, and its rows are counted by other columns".to_owned();
                    plan.not_compared.push(NotCompared { column: column.name.clone(), why });
                }
            }
        }
        if named.is_empty() {
            return Err(PlanError::NoKey { table: qualified(&meta) });
        }
        plan.names = Arc::new(Columns::new(plan.target_names().chain([COUNT])));
        plan.key = plan.key_columns(named.into_iter());
        Ok(plan)
    }

    /// What a key stands for.
    #[must_use]
    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// The same plan with another marker for values the connector does not have.
    #[must_use]
    pub fn with_placeholder(mut self, marker: &str) -> Plan {
        self.placeholders = markers(marker);
        self
    }

    fn add_column(&mut self, place: usize, is_key: bool) -> Result<(), PlanError> {
        let column = &self.meta.columns[place];
        let ignored = self.rules.ignore.iter().any(|name| self.meta.column(name) == Some(place));
        let form = form::of(self.meta.dialect, column);
        let why = match form {
            _ if ignored => "ignored by rule".to_owned(),
            None => format!("type `{}` is not covered", column.declared),
            Some(_) => String::new(),
        };
        let compared = why.is_empty();
        if !compared {
            self.not_compared.push(NotCompared { column: column.name.clone(), why });
        }
        match form.filter(|form| !is_key || form.finds_rows()) {
            Some(form) if compared || is_key => {
                let tolerance = tolerance_of(&self.meta, &self.rules, place, &form)?;
                let coercion = self.coercion_of(place).filter(|_| !is_key);
                self.columns.push(PlanColumn { place, form, tolerance, coercion, compared });
            }
            None if is_key => {
                return Err(PlanError::KeyType {
                    table: qualified(&self.meta),
                    column: column.name.to_string(),
                    declared: column.declared.to_string(),
                });
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn coercion_of(&self, place: usize) -> Option<Coercion> {
        let coerced = self.rules.coerced.iter().find(|(name, _)| self.meta.column(name) == Some(place));
        coerced.map(|(_, coercion)| *coercion)
    }

    /// The table's index in the pipeline.
    #[must_use]
    pub fn table(&self) -> TableId {
        self.table
    }

    /// The target table's metadata, as this plan was made from it.
    #[must_use]
    pub fn meta(&self) -> &Arc<TableMeta> {
        &self.meta
    }

    /// The rules, as this plan was made from them.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Names of the plan's columns on the target; the shape of the rows that [`Plan::observe`] expects.
    #[must_use]
    pub fn names(&self) -> &Arc<Columns> {
        &self.names
    }

    /// Places in the table of the columns to read, in the order of [`Plan::names`].
    #[must_use]
    pub fn columns_to_read(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.place).collect()
    }

    /// Places in the table of the key columns, in the order of a key's cells.
    #[must_use]
    pub fn key_places(&self) -> Vec<usize> {
        self.key.iter().map(|column| self.columns[column.index].place).collect()
    }

    pub(super) fn key_indexes(&self) -> Vec<usize> {
        self.key.iter().map(|column| column.index).collect()
    }

    /// What stands in a column where nothing was given.
    pub(super) fn zero_of(&self, index: usize) -> Canonical<'static> {
        self.columns[index].form.zero()
    }

    /// What an upsert does that meets a unique index of the target besides the key, as a sentence; `None` where there is none.
    #[must_use]
    pub fn hazard(&self) -> Option<String> {
        let key: Vec<&str> = self.key_places().into_iter().map(|place| &*self.meta.columns[place].name).collect();
        self.meta.hazard(&key)
    }

    /// Names of the key columns on the tap, in the order of a key's cells.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|column| &*column.tap_name)
    }

    /// Whether a key under another plan is the same key under this one.
    #[must_use]
    pub fn has_keys_of(&self, other: &Plan) -> bool {
        let forms = |plan: &Plan| -> Vec<(Box<str>, Form)> {
            plan.key.iter().map(|column| (column.tap_name.clone(), plan.columns[column.index].form.clone())).collect()
        };
        self.rows == other.rows && forms(self) == forms(other)
    }

    /// The column of this plan that a column of an earlier one is now; `None` where it is gone, or was made again since: then
    /// rows that were written before do not hold what they held.
    pub(super) fn successor(&self, earlier: &Plan, index: usize) -> Option<usize> {
        let was = earlier.columns.get(index)?.place;
        let column = &earlier.meta.columns[was];
        let own = self.columns.iter().position(|own| self.meta.columns[own.place].name == column.name)?;
        let is = self.columns[own].place;
        // Columns that are made come last, so one that went behind another is a new one.
        let went_behind = |(place, other): (usize, &ColumnMeta)| {
            let now = self.meta.columns.iter().position(|own| own.name == other.name);
            place > was && now.is_some_and(|now| now < is)
        };
        let remade = match (column.number, self.meta.columns[is].number) {
            (0, _) | (_, 0) => earlier.meta.columns.iter().enumerate().any(went_behind),
            (before, now) => before != now,
        };
        (!remade).then_some(own)
    }

    /// Whether fingerprints of another plan are those of this one too: the columns of that one come first here, in the same
    /// forms.
    #[must_use]
    pub fn extends(&self, other: &Plan) -> bool {
        let alike = |(index, column): (usize, &PlanColumn)| {
            let own = self.successor(other, index).filter(|own| *own == index).map(|own| &self.columns[own]);
            own.is_some_and(|own| {
                own.form == column.form
                    && own.tolerance == column.tolerance
                    && own.coercion == column.coercion
                    && own.compared == column.compared
            })
        };
        self.has_keys_of(other) && other.columns.iter().enumerate().all(alike)
    }

    /// The columns left out of comparing, with the reason.
    #[must_use]
    pub fn not_compared(&self) -> &[NotCompared] {
        &self.not_compared
    }

    /// Whether the target has no column that this one of the tap stands for.
    #[must_use]
    pub fn lacks(&self, tap_name: &str) -> bool {
        self.place_of_tap(tap_name).is_none()
    }

    /// Whether a column of [`Plan::names`] is compared where a change carries it.
    #[must_use]
    pub fn compares(&self, index: usize) -> bool {
        self.columns.get(index).is_some_and(|column| column.compared)
    }

    /// Whether a column has a tolerance, so that fingerprints may rightly differ where rows are called equal.
    #[must_use]
    pub fn has_tolerance(&self) -> bool {
        self.columns.iter().any(|column| column.tolerance.is_some())
    }

    /// The key of a row of the tap: a record's key, or any row that holds the key columns.
    pub fn key(&self, record_key: &Row) -> Result<Key, KeyError> {
        let cells = self.key.iter().map(|column| {
            let cell = record_key.get(&column.tap_name);
            self.key_cell(column, cell, record_key)
        });
        Key::of(self.table, cells)
    }

    /// The key of a row of the target, to be held against the key that was asked for: a collation may have found
    /// another one.
    pub fn observed_key(&self, row: &Row) -> Result<Key, KeyError> {
        let cells = self.key.iter().map(|column| {
            let cell = row.get(&self.names.0[column.index]);
            self.key_cell(column, cell, row)
        });
        Key::of(self.table, cells)
    }

    fn key_cell<'c>(
        &self,
        column: &KeyColumn,
        cell: Option<&'c Cell<'_>>,
        row: &Row<'_>,
    ) -> Result<Cell<'c>, KeyError> {
        let name = || column.tap_name.to_string();
        let plan_column = &self.columns[column.index];
        let Some(cell) = cell else { return Err(KeyError::Missing { column: name() }) };
        match plan_column.form.read(cell, row.typing) {
            Reading::Value(Canonical::Null) if self.rows == Rows::One => Err(KeyError::Null { column: name() }),
            Reading::Value(value) => Ok(value.into_cell()),
            Reading::Unknown => Err(KeyError::Missing { column: name() }),
            Reading::Incomparable => Err(KeyError::Incomparable {
                column: name(),
                declared: self.meta.columns[plan_column.place].declared.to_string(),
            }),
        }
    }

    /// The plan column that a tap column is held against.
    pub(super) fn index_of_tap(&self, tap_name: &str) -> Option<usize> {
        let place = self.place_of_tap(tap_name)?;
        self.columns.iter().position(|column| column.place == place)
    }

    /// The form of the column that a tap column stands for.
    pub(super) fn form_of_tap(&self, tap_name: &str) -> Option<&Form> {
        self.index_of_tap(tap_name).map(|index| &self.columns[index].form)
    }

    /// The place in the table of the column that a tap column stands for.
    pub(super) fn place_of_tap(&self, tap_name: &str) -> Option<usize> {
        place_of(&self.meta, &self.rules, tap_name)
    }

    /// What a cell says in a column of this plan.
    pub(super) fn read<'a>(&self, index: usize, cell: &'a Cell, typing: Typing) -> Reading<'a> {
        let column = &self.columns[index];
        let reading = column.form.read(cell, typing);
        let reading =
            if self.rules.empty_is_null && reading.is_empty() { Reading::Value(Canonical::Null) } else { reading };
        match (reading, column.coercion) {
            (Reading::Value(value), Some(coercion)) => Reading::Value(coercion.leaves(value, &column.form.zero())),
            (reading, _) => reading,
        }
    }

    /// Whether a cell read on the target is the connector's marker for a value it did not have.
    pub(super) fn is_placeholder(&self, cell: &Cell) -> bool {
        let is = |text: &str| self.placeholders.iter().any(|marker| **marker == *text);
        match cell {
            Cell::Text(text) => is(text),
            Cell::Opaque(pair) => is(&pair.1),
            Cell::Bytes(bytes) => std::str::from_utf8(bytes).is_ok_and(is),
            Cell::Json(text) => is(text.trim().trim_matches('"')),
            Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => false,
            numeric!() | temporal!() | Cell::Uuid(_) => false,
        }
    }
}

/// The marker alone, as the pair of an hstore, and as the one element of an array of texts or of the codes of its characters.
fn markers(marker: &str) -> Box<[Box<str>]> {
    let codes: Vec<String> = marker.bytes().map(|code| code.to_string()).collect();
    let of_arrays = [format!("{{{marker}}}"), format!("{{{}}}", codes.join(","))];
    let pair = format!("\"{marker}\"=>\"{marker}\"");
    [marker.to_owned(), pair].into_iter().chain(of_arrays).map(Into::into).collect()
}

fn qualified(meta: &TableMeta) -> String {
    if meta.schema.is_empty() { meta.name.to_string() } else { format!("{}.{}", meta.schema, meta.name) }
}

fn check_rules(meta: &TableMeta, rules: &Rules) -> Result<(), PlanError> {
    match rules.rename.iter().find(|(_, target)| meta.column(target).is_none()) {
        Some((tap, target)) => {
            Err(PlanError::Rename { table: qualified(meta), tap: tap.clone(), target: target.clone() })
        }
        None => Ok(()),
    }
}

/// The place in the table of a tap column: by rule, else by name, also by a name that Avro allows, unless a rule gives that
/// place to another column.
fn place_of(meta: &TableMeta, rules: &Rules, tap_name: &str) -> Option<usize> {
    if let Some(target) = rules.rename.get(tap_name) {
        return meta.column(target);
    }
    let place = meta.column(tap_name).or_else(|| place_of_adjusted(meta, tap_name))?;
    let taken = rules.rename.values().any(|target| meta.column(target) == Some(place));
    (!taken).then_some(place)
}

/// The one column whose name, written as Debezium's `field.name.adjustment.mode=avro` does, is this: what Avro does not allow
/// becomes `_`, and a digit in front gets one before it.
fn place_of_adjusted(meta: &TableMeta, tap_name: &str) -> Option<usize> {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let is_meant = |name: &str| {
        let prefix = name.starts_with(|first: char| first.is_ascii_digit()).then_some('_');
        prefix.into_iter().chain(name.chars().map(legal)).eq(tap_name.chars())
    };
    let mut places = (0..meta.columns.len()).filter(|place| is_meant(&meta.columns[*place].name));
    places.next().filter(|_| places.next().is_none())
}

fn key_names(meta: &TableMeta, rules: &Rules, key_columns: Option<&[String]>) -> Result<Vec<String>, PlanError> {
    if !rules.key.is_empty() {
        return Ok(rules.key.clone());
    }
    if let Some(names) = key_columns.filter(|names| !names.is_empty()) {
        return Ok(names.to_vec());
    }
    if meta.primary_key.is_empty() {
        return Err(PlanError::NoKey { table: qualified(meta) });
    }
    Ok(meta.primary_key.iter().map(|place| tap_name(meta, rules, *place)).collect())
}

fn tap_name(meta: &TableMeta, rules: &Rules, place: usize) -> String {
    let renamed = rules.rename.iter().find(|(_, target)| meta.column(target) == Some(place));
    renamed.map_or_else(|| meta.columns[place].name.to_string(), |(tap, _)| tap.clone())
}

fn places_of(meta: &TableMeta, rules: &Rules, key_names: &[String]) -> Result<Vec<usize>, PlanError> {
    key_names
        .iter()
        .map(|name| {
            place_of(meta, rules, name)
                .ok_or_else(|| PlanError::KeyColumn { table: qualified(meta), column: name.clone() })
        })
        .collect()
}

fn tolerance_of(meta: &TableMeta, rules: &Rules, place: usize, form: &Form) -> Result<Option<Tolerance>, PlanError> {
    let Some((_, tolerance)) = rules.tolerance.iter().find(|(name, _)| meta.column(name) == Some(place)) else {
        return Ok(None);
    };
    let expected = match form {
        Form::Number(_) | Form::Float32 | Form::Float64 => "a number",
        Form::Date | Form::Time(..) | Form::Moment(..) | Form::Interval => "a duration",
        Form::Bool | Form::Text(_) | Form::Bytes(_) | Form::Uuid | Form::Json => "left out",
        Form::Bits | Form::Address | Form::Hstore | Form::Point | Form::Geometry => "left out",
        Form::Array(_) | Form::Range(_) => "left out",
    };
    let fits = match tolerance {
        Tolerance::Number(_) => expected == "a number",
        Tolerance::Time(_) => expected == "a duration",
    };
    if fits {
        return Ok(Some(*tolerance));
    }
    Err(PlanError::Tolerance {
        table: qualified(meta),
        column: meta.columns[place].name.to_string(),
        declared: meta.columns[place].declared.to_string(),
        expected,
    })
}
