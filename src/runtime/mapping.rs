//! Finds the target table of each tap table, and makes its plan.
#![expect(clippy::disallowed_methods, reason = "the target is asked again at a bounded pace")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::canon::{Rows, Rules, Tolerance};
use crate::config::{self, Evidence, Format, SentNulls, TableMatch, TableRule};
use crate::engine::event::Role;
use crate::model::{Coercion, Condition, TableId, TableMeta, Tick};
use crate::tap::Partitions;
use crate::target::mapping::{TableRef, is_namesake};
use crate::target::{Target, TargetError};

use super::clock::Clock;
use super::context::rule_for;
use super::tables::{Carries, Mapped, Owned, Place, Table, Tables};
use super::tell;

/// How long a table that is not on the target yet is waited for: a sink that makes its tables does so with the first
/// record it writes.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);

/// How often it is looked for meanwhile, and an unreachable target asked again.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How often a table without a counterpart is looked for again by those who meet its changes; see [`super::columns`] for who
/// looks sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Rows of a table without an index that each look may read. A batch of a few hundred keys is one such look.
const SCANNED_AT_MOST: u64 = 20_000;

/// What a plan is made of, besides the target's table.
#[derive(Debug, Clone)]
pub(super) struct PlanRules {
    rules: Vec<TableRule>,
    heartbeats: Vec<String>,
    empty_is_null: bool,
    placeholder: Option<String>,
    partitions: Partitions,
}

impl PlanRules {
    pub(super) fn of(pipeline: &config::Pipeline, partitions: Partitions) -> PlanRules {
        let heartbeat = |evidence: &Evidence| match evidence {
            Evidence::Heartbeat { table, .. } => Some(table.clone()),
            Evidence::KafkaGroup(_)
            | Evidence::KclLease(_)
            | Evidence::Query(_)
            | Evidence::DmsStatus { .. }
            | Evidence::Inferred
            | Evidence::Assumed => None,
        };
        let dms = pipeline.decode.format == Format::Dms && pipeline.decode.nulls == SentNulls::LeftOut;
        PlanRules {
            rules: pipeline.tables.clone(),
            heartbeats: pipeline.progress.applied.iter().filter_map(heartbeat).collect(),
            empty_is_null: dms,
            placeholder: pipeline.decode.placeholder.clone(),
            partitions,
        }
    }

    fn role(&self, tap_name: &str) -> Role {
        if self.heartbeats.iter().any(|name| name == tap_name) { Role::Heartbeat } else { Role::Rows }
    }

    /// The rules of a table; what was found out of its columns goes before what is written of them.
    fn canon(&self, tap_name: &str, found: BTreeMap<String, Coercion>) -> Rules {
        let Some(rule) = rule_for(&self.rules, tap_name) else {
            return Rules { empty_is_null: self.empty_is_null, coerced: found, ..Rules::default() };
        };
        let tolerance = |tolerance: &config::Tolerance| match tolerance {
            config::Tolerance::Number(by) => Tolerance::Number(*by),
            config::Tolerance::Time(by) => Tolerance::Time(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)),
        };
        Rules {
            rename: rule.columns.clone(),
            ignore: rule.ignore.clone(),
            tolerance: rule.tolerance.iter().map(|(column, by)| (column.clone(), tolerance(by))).collect(),
            coerced: rule.coercions.clone().into_iter().chain(found).collect(),
            key: rule.key.clone(),
            empty_is_null: self.empty_is_null,
        }
    }

    /// The rows of a table that the applier carries; a heartbeat it does.
    fn carried(&self, tap_name: &str) -> Option<&Condition> {
        let rule = rule_for(&self.rules, tap_name).filter(|_| self.role(tap_name) == Role::Rows);
        rule.and_then(|rule| rule.carried.as_ref())
    }

    fn target_of(&self, tap_name: &str) -> Option<&str> {
        rule_for(&self.rules, tap_name).and_then(|rule| rule.target.as_deref())
    }

    /// Finds the table's counterpart and makes its plan.
    ///
    /// # Errors
    /// When the target does not answer. A table that cannot be judged is no error.
    pub(super) async fn make(
        &self,
        target: &Target,
        (id, tap_name, topic): (TableId, &Arc<str>, &str),
        record: Carries<'_>,
        found: BTreeMap<String, Coercion>,
    ) -> Result<Mapped, TargetError> {
        let meta = match self.locate(target, tap_name, topic).await? {
            Ok(meta) => Arc::new(meta),
            Err(why) => return Ok(Mapped::NotJudged(why.into())),
        };
        let role = self.role(tap_name);
        let rules = self.canon(tap_name, found);
        let made = Table::plan((id, tap_name, role), meta, &rules, record, self.placeholder.as_deref());
        Ok(match made {
            Ok(table) if let Some(why) = self.uncountable(target, &table, topic).await? => {
                Mapped::NotJudged(why.into())
            }
            Ok(table) => {
                let owned = self.owned(tap_name, &table);
                Mapped::Judged(Arc::new(Table { owned, ..table.carrying(self.carried(tap_name)) }))
            }
            Err(error) => Mapped::NotJudged(error.to_string().into()),
        })
    }

    /// Whether the rows of a target table can be of no other table of the tap.
    fn owned(&self, tap_name: &str, table: &Table) -> Owned {
        let meta = table.plan.meta();
        let place = TableRef { schema: meta.schema.to_string(), name: meta.name.to_string() };
        let alone = match rule_for(&self.rules, tap_name) {
            Some(rule) if rule.target.is_some() => {
                let same = self.rules.iter().filter(|other| other.target == rule.target);
                matches!(rule.matches, TableMatch::Name(_)) && same.count() == 1
            }
            Some(_) | None => is_namesake(tap_name, &place),
        };
        if alone { Owned::Alone } else { Owned::PerhapsShared }
    }

    /// Why the rows of a table without a key cannot be counted, where they cannot.
    ///
    /// # Errors
    /// When the target does not answer.
    async fn uncountable(&self, target: &Target, table: &Table, topic: &str) -> Result<Option<String>, TargetError> {
        match table.plan.rows() {
            Rows::One => return Ok(None),
            Rows::Counted => {}
        }
        let name = table.target_name();
        let advice = "name the columns that tell its rows apart in the table's rule (`key = [\"…\"]`)";
        if self.partitions.is_spread(topic) {
            let why = "its records come in several partitions, which are in no order";
            return Ok(Some(format!(
                "table `{name}` has no key, and {why}: {advice}, or give the topic one partition"
            )));
        }
        if self.carried(&table.tap_name).is_some() {
            let why = "the applier carries some of its rows (`where`)";
            return Ok(Some(format!("table `{name}` has no key, and {why}: {advice}")));
        }
        let reach = target.reach(table.plan.meta()).await?;
        let names: Vec<&str> =
            table.plan.key_places().iter().map(|place| &*table.plan.meta().columns[*place].name).collect();
        let is_reached = reach.indexed.iter().any(|column| names.contains(&&**column));
        Ok((reach.rows > SCANNED_AT_MOST && !is_reached).then(|| {
            format!(
                "table `{name}` has no key, some {} rows and no index that begins with one of {}: each look would read all of \
                 it; make such an index, or {advice}",
                reach.rows,
                names.join(", ")
            )
        }))
    }

    async fn locate(
        &self,
        target: &Target,
        tap_name: &str,
        topic: &str,
    ) -> Result<Result<TableMeta, String>, TargetError> {
        let place = match self.target_of(tap_name) {
            Some(named) => {
                let (schema, name) =
                    named.rsplit_once('.').map_or((None, named), |(schema, name)| (Some(schema), name));
                (schema.map(str::to_owned), name.to_owned())
            }
            None => match target.locate(tap_name, topic).await? {
                Ok(found) => (Some(found.schema).filter(|schema| !schema.is_empty()), found.name),
                Err(why) => return Ok(Err(why.to_string())),
            },
        };
        let described = target.describe(place.0.as_deref(), &place.1).await?;
        let missing =
            || format!("the target has no table `{}`: name it in the table's rule, or grant SELECT on it", place.1);
        Ok(described.ok_or_else(missing))
    }
}

/// A decoding thread's view of the tables: asks the target at first sight, and waits for it.
#[derive(Clone)]
pub(super) struct Mapper {
    finder: Arc<Mutex<Finder>>,
    tables: Arc<Tables>,
    epoch: Arc<AtomicU64>,
    clock: Clock,
    known: BTreeMap<Arc<str>, Known>,
    known_epoch: u64,
}

/// What a thread knows of a tap table.
#[derive(Debug, Clone)]
struct Known {
    id: TableId,
    mapped: Mapped,
    /// When a table without a counterpart is looked for again.
    again: Tick,
    /// A row of it was met: where there is no key, its columns are what it is judged by.
    shown: bool,
}

/// Looks for the counterparts of tables, for one thread at a time: what one has found the others need not look for.
pub(super) struct Finder {
    pub(super) rules: Arc<PlanRules>,
    pub(super) target: Target,
    pub(super) handle: Handle,
    pub(super) stopped: Arc<AtomicBool>,
    pub(super) pipeline: Arc<str>,
    /// When each table is looked for again.
    pub(super) again: BTreeMap<TableId, Tick>,
}

impl Mapper {
    pub(super) fn new(finder: Finder, tables: Arc<Tables>, epoch: Arc<AtomicU64>, clock: Clock) -> Mapper {
        let finder = Arc::new(Mutex::new(finder));
        Mapper { finder, tables, epoch, clock, known: BTreeMap::new(), known_epoch: 0 }
    }

    /// What stands for a tap table. Blocks while the target cannot be asked: the tap waits meanwhile.
    pub(super) fn mapped(&mut self, tap_name: &Arc<str>, topic: &str, record: Carries<'_>) -> (TableId, &Mapped) {
        let epoch = self.epoch.load(Ordering::Acquire);
        if epoch != self.known_epoch {
            self.known.clear();
            self.known_epoch = epoch;
        }
        let fresh = match self.known.get(tap_name) {
            Some(Known { mapped: Mapped::Judged(_), .. }) => true,
            Some(known) => self.clock.now() < known.again && (known.shown || record.row.is_none()),
            None => false,
        };
        if !fresh {
            let known = self.find(tap_name, topic, record);
            self.known.insert(Arc::clone(tap_name), known);
        }
        let known = &self.known[tap_name];
        (known.id, &known.mapped)
    }

    fn find(&self, tap_name: &Arc<str>, topic: &str, record: Carries<'_>) -> Known {
        let id = self.tables.id(tap_name);
        let mut finder = self.finder.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = record.row.is_some() || self.tables.place_of(id).is_some_and(|place| place.row.is_some());
        let again = finder.again.get(&id).copied().filter(|_| !self.tables.is_news(id, record));
        let mapped = match self.tables.mapped(tap_name) {
            Some(judged @ Mapped::Judged(_)) => judged,
            Some(other @ Mapped::NotJudged(_)) if again.is_some_and(|again| self.clock.now() < again) => other,
            Some(Mapped::NotJudged(_)) | None => {
                let place = Place { topic: topic.into(), key: record.key.cloned(), row: record.row.cloned() };
                self.tables.place(id, place);
                let mapped = finder.find((id, tap_name, topic), record, (self.clock, self.tables.coerced(id)));
                finder.again.insert(id, self.clock.now() + LOOK_AGAIN);
                self.tables.set(id, mapped).0
            }
        };
        Known { id, mapped, again: finder.again.get(&id).copied().unwrap_or_default(), shown }
    }
}

impl Finder {
    fn find(
        &self,
        (id, tap_name, topic): (TableId, &Arc<str>, &str),
        record: Carries<'_>,
        (clock, found): (Clock, BTreeMap<String, Coercion>),
    ) -> Mapped {
        // One without rows says nothing of a table without a key: what comes next may.
        let first = !self.again.contains_key(&id) && (record.key.is_some() || record.row.is_some());
        let patience = clock.now() + if first { APPEARS_WITHIN } else { Duration::ZERO };
        let mapped = loop {
            let made = self.rules.make(&self.target, (id, tap_name, topic), record, found.clone());
            let made = self.handle.block_on(made);
            let stopped = self.stopped.load(Ordering::Relaxed);
            match made {
                Ok(judged @ Mapped::Judged(_)) => break judged,
                Ok(other @ Mapped::NotJudged(_)) if clock.now() >= patience || stopped => break other,
                Err(_) if stopped => break Mapped::NotJudged("stopped before the target answered".into()),
                Ok(Mapped::NotJudged(_)) => {}
                Err(error) => tell::target_failed(&self.pipeline, &error, 0),
            }
            // Made inside: a timer belongs to the runtime that it is made in, and this thread is in none.
            self.handle.block_on(async { tokio::time::sleep(ASK_EVERY).await });
        };
        if first {
            tell::mapped(&self.pipeline, tap_name, &mapped);
        }
        mapped
    }
}
