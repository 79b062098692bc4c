//! Keys that somebody else accuses: named by a table and texts, found on the tap as they come by.
//!
//! Which table of the tap a name means is told as its changes are met, by its name on the tap or that of its counterpart. The
//! texts become a key as soon as the table's plan is known, under which `7` and `7.00` may be one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use crate::engine::event::Tracked;
use crate::model::{Cell, Columns, Key, Op, Position, Row, SourceTime, TableId, Typing};

use super::tables::{Mapped, Table, Tables};

/// One key, as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accused {
    /// Schema, and table: of the tap or of the target.
    pub(super) table: (String, String),
    /// The values of the primary key, in its order.
    pub(super) key: Vec<String>,
}

/// Whether others are judged beside the keys that are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// Each key of the range is: what proves progress is what most rows show.
    Judged,
    /// The applier's own position proves it.
    LeftOut,
}

/// The keys that were named. Cheap to clone. As large as what is named.
#[derive(Debug, Clone)]
pub(super) struct Docket {
    inner: Arc<Mutex<Inner>>,
    others: Others,
}

#[derive(Debug, Default)]
struct Inner {
    accused: Vec<Accused>,
    by_table: BTreeMap<(String, String), Vec<usize>>,
    tables: Arc<Tables>,
    known: BTreeMap<TableId, Known>,
    met: HashMap<u128, Met>,
}

/// The named keys that a table of the tap may be meant by.
#[derive(Debug)]
struct Known {
    table: Arc<Table>,
    keys: HashMap<u128, ()>,
}

/// The newest change of a key that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) at: Position,
    pub(super) op: Op,
    /// When the source committed it, else when it was appended.
    pub(super) logged: Option<i64>,
}

/// What a name was found to mean.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meant {
    /// This key, of which changes were met or not.
    Key(Key, Option<Met>),
    /// No key: what is wrong with the name.
    NoKey(String),
    /// Nothing that can be told.
    Nothing(String),
}

/// How well a name fits a table: the less, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    TapExactly,
    Tap,
    TargetExactly,
    Target,
}

impl Docket {
    pub(super) fn new(accused: Vec<Accused>, others: Others) -> Docket {
        let mut by_table: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for (index, one) in accused.iter().enumerate() {
            by_table.entry(one.table.clone()).or_default().push(index);
        }
        Docket { inner: Arc::new(Mutex::new(Inner { accused, by_table, ..Inner::default() })), others }
    }

    /// With the tables of the process that reads the tap.
    pub(super) fn among(&self, tables: Arc<Tables>) {
        self.lock().tables = tables;
    }

    /// Whether nothing else is judged.
    pub(super) fn is_alone(&self) -> bool {
        self.others == Others::LeftOut
    }

    /// Whether the change is judged. One of a named key is noted.
    pub(super) fn takes(&self, change: &Tracked) -> bool {
        let mut inner = self.lock();
        let named = inner.is_named(&change.key);
        if named {
            let logged = change.committed_at.map(|SourceTime(at)| at).or(change.appended_at);
            inner.met.insert(change.key.hash128(), Met { at: change.at, op: change.op, logged });
        }
        named || !self.is_alone()
    }

    /// What each of the names meant, in their order.
    pub(super) fn meant(&self) -> Vec<Meant> {
        let inner = self.lock();
        inner.accused.iter().map(|one| inner.meant(one)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_named(&mut self, key: &Key) -> bool {
        let Some(table) = self.tables.get(key.table()) else { return false };
        let known = self.known.get(&table.id).filter(|known| Arc::ptr_eq(&known.table, &table));
        if let Some(known) = known {
            return known.keys.contains_key(&key.hash128());
        }
        let keys = self.keys(&table);
        let is_named = keys.contains_key(&key.hash128());
        self.known.insert(table.id, Known { table, keys });
        is_named
    }

    fn keys(&self, table: &Table) -> HashMap<u128, ()> {
        let fitting = self.by_table.iter().filter(|(name, _)| fit(name, table).is_some());
        let indexes = fitting.flat_map(|(_, indexes)| indexes);
        let keys = indexes.filter_map(|index| key(table, &self.accused[*index].key).ok());
        keys.map(|key| (key.hash128(), ())).collect()
    }

    fn meant(&self, one: &Accused) -> Meant {
        let mut fitting: Vec<(Fit, &Known)> =
            self.known.values().filter_map(|known| Some((fit(&one.table, &known.table)?, known))).collect();
        fitting.sort_by_key(|(fit, known)| (*fit, known.table.id));
        let best = fitting.first().map(|(fit, _)| *fit);
        fitting.retain(|(fit, _)| Some(*fit) == best);
        match fitting.as_slice() {
            [] => Meant::Nothing(self.unknown(&one.table)),
            [(_, known)] => match key(&known.table, &one.key) {
                Ok(key) => {
                    let met = self.met.get(&key.hash128()).copied();
                    Meant::Key(key, met)
                }
                Err(why) => Meant::NoKey(why),
            },
            several => {
                let names: Vec<String> =
                    several.iter().map(|(_, known)| format!("`{}`", known.table.tap_name)).collect();
                Meant::Nothing(format!("its table could be any of {} on the tap", names.join(", ")))
            }
        }
    }

    /// Why no table of a name was judged.
    fn unknown(&self, (schema, table): &(String, String)) -> String {
        for name in [format!("{schema}.{table}"), format!("{schema}.{table}").to_ascii_lowercase(), table.clone()] {
            if let Some(Mapped::NotJudged(why)) = self.tables.mapped(&Arc::from(name.as_str())) {
                return format!("`{name}` is not judged: {why}");
            }
        }
        format!("the tap has no change of a table `{schema}.{table}` in the range that was read")
    }
}

/// How well a name fits a table, if it does.
fn fit((schema, name): &(String, String), table: &Table) -> Option<Fit> {
    let meta = table.plan.meta();
    let tap = table.tap_name.rsplit_once('.').unwrap_or(("", &table.tap_name));
    // A name of three parts begins with the database.
    let tap = (tap.0.rsplit_once('.').map_or(tap.0, |(_, schema)| schema), tap.1);
    let target = (&*meta.schema, &*meta.name);
    let same = |known: (&str, &str)| (known.0.is_empty() || known.0 == schema) && known.1 == name;
    let alike = |known: (&str, &str)| {
        (known.0.is_empty() || known.0.eq_ignore_ascii_case(schema)) && known.1.eq_ignore_ascii_case(name)
    };
    if same(tap) {
        Some(Fit::TapExactly)
    } else if alike(tap) {
        Some(Fit::Tap)
    } else if same(target) {
        Some(Fit::TargetExactly)
    } else {
        alike(target).then_some(Fit::Target)
    }
}

/// The key of a table that these texts are. They are in the order of the target's primary key, where that is the key.
fn key(table: &Table, values: &[String]) -> Result<Key, String> {
    let (plan, meta) = (&table.plan, table.plan.meta());
    let (names, places): (Vec<&str>, Vec<usize>) = (plan.key_names().collect(), plan.key_places());
    if names.len() != values.len() {
        return Err(format!(
            "its KEY has {} values, and the key of `{}` has the columns {}",
            values.len(),
            table.tap_name,
            names.join(", ")
        ));
    }
    let mut order: Vec<usize> =
        meta.primary_key.iter().filter_map(|place| places.iter().position(|own| own == place)).collect();
    if order.len() != names.len() || meta.primary_key.len() != names.len() {
        order = (0..names.len()).collect();
    }
    let columns = Columns::new(order.iter().map(|index| names[*index]));
    let cells = values.iter().map(|value| Cell::Text(value.as_str().into())).collect();
    plan.key(&Row::new(Arc::new(columns), cells, Typing::Dms)).map_err(|error| error.to_string())
}
