//! The target: who answers, what each table is compared by, what may be read of it, and what its rows show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::canon::Rows;
use crate::config::{Pipeline, Pooler};
use crate::engine::event::Carried;
use crate::model::position::PartitionName;
use crate::model::{Key, Op};
use crate::tap::Partitions;
use crate::target::{Privileges, Reads, Role, RowSecurity, Target, TargetError};

use super::super::decoding::{carried, was_met};
use super::super::look;
use super::super::mapping::PlanRules;
use super::super::settings;
use super::super::tables::{Carries, Mapped, Table, Tables};
use super::super::tell::chain;
use super::progress::{Shown, is_heartbeat};
use super::report::{Report, TableReport};
use super::sample::{Sample, SeenTable};

/// Keys read of one table to see how late its rows are.
const LOOKED_AT: usize = 400;

/// What stands behind the report.
pub(super) struct Examined {
    pub(super) target: Target,
    /// Tables whose rows can be read.
    tables: BTreeMap<Arc<str>, Arc<Table>>,
    /// Why it is no node that is written, if it is none.
    pub(super) replica: Option<String>,
}

pub(super) async fn examine(pipeline: &Pipeline, sample: &Sample, report: &mut Report) -> Option<Examined> {
    let target = match Target::connect(settings::target(&pipeline.target)).await {
        Ok(target) => target,
        Err(error) => {
            report.problems.push(chain(&error));
            return None;
        }
    };
    let mut examined = Examined { target, tables: BTreeMap::new(), replica: None };
    examined.probe(pipeline, report).await;
    let known = Partitions::default();
    known.exist(sample.partitions.keys());
    let rules = PlanRules::of(pipeline, known);
    let tables = Tables::default();
    for (name, seen) in &sample.tables {
        let place = (tables.id(name), name, &*seen.topic);
        let record = Carries { key: seen.key.as_deref(), row: seen.columns.as_ref().map(|(columns, _)| &**columns) };
        match rules.make(&examined.target, place, record, BTreeMap::new()).await {
            Ok(mapped) => examined.table((name, seen), &mapped, sample, report).await,
            Err(error) => report.problems.push(chain(&error)),
        }
    }
    Some(examined)
}

impl Examined {
    /// Tables whose rows can be read.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    async fn probe(&mut self, pipeline: &Pipeline, report: &mut Report) {
        let probe = match self.target.probe().await {
            Ok(probe) => probe,
            Err(error) => return report.problems.push(chain(&error)),
        };
        let told = &mut report.target;
        told.version = probe.version;
        told.server = probe.server.map(|server| server.to_string());
        told.pooler = match (probe.transaction_pooler, pipeline.target.pooler) {
            (true, _) => "transaction".to_owned(),
            (false, Pooler::Transaction) => "transaction (declared; none was seen)".to_owned(),
            (false, Pooler::None) => "none".to_owned(),
        };
        told.node = match &probe.role {
            Role::Written(why) => format!("{why}: read as the node that the applier writes"),
            Role::Replica(why) => format!(
                "a replica: {why}; committed offsets only let us forget here, and a loss is proven by what is seen on it"
            ),
        };
        told.notes = probe.warnings;
        self.replica = match probe.role {
            Role::Written(_) => None,
            Role::Replica(why) => Some(why),
        };
        told.replica = self.replica.is_some();
    }

    async fn table(
        &mut self,
        (name, seen): (&Arc<str>, &SeenTable),
        mapped: &Mapped,
        sample: &Sample,
        report: &mut Report,
    ) {
        let table = match mapped {
            Mapped::Judged(table) => table,
            Mapped::NotJudged(why) => {
                report.problems.push(why.to_string());
                let not_judged = Some(why.to_string());
                return report.tables.push(TableReport {
                    table: name.to_string(),
                    not_judged,
                    ..TableReport::default()
                });
            }
        };
        let mut told = table_report(name, seen, table);
        told.left_out = left_out(name, table, sample);
        match self.target.privileges(&look::ask(table, &[])).await {
            Ok(privileges) => {
                told.permissions = Some(permissions(&privileges));
                match unreadable(&privileges) {
                    Some(why) => report.problems.push(format!("`{}`: {why}", table.target_name())),
                    None => drop(self.tables.insert(Arc::clone(name), Arc::clone(table))),
                }
            }
            Err(error) => report.problems.push(chain(&error)),
        }
        report.tables.push(told);
    }

    /// The newest change of each partition that the target's rows show.
    ///
    /// # Errors
    /// When the target does not answer.
    pub(super) async fn shown(&self, pipeline: &Pipeline, sample: &Sample) -> Result<Shown, TargetError> {
        let mut shown = Shown::default();
        // Of equal rows none shows a change.
        for (name, table) in self.tables.iter().filter(|(_, table)| table.plan.rows() == Rows::One) {
            let into = if is_heartbeat(pipeline, name) { &mut shown.heartbeats } else { &mut shown.rows };
            self.shown_by(name, table, sample, into).await?;
        }
        Ok(shown)
    }

    async fn shown_by(
        &self,
        name: &Arc<str>,
        table: &Table,
        sample: &Sample,
        into: &mut BTreeMap<PartitionName, u64>,
    ) -> Result<(), TargetError> {
        let changes = sample.partitions.iter().flat_map(|(partition, changes)| {
            let own = changes.iter().rev().filter(|change| change.change.table == *name);
            own.filter_map(move |seen| {
                let row = seen.change.key.as_ref().or(seen.change.after.as_ref())?;
                let rows = matches!(seen.change.op, Op::Insert | Op::Read | Op::Update);
                Some((partition, seen, table.plan.key(row).ok().filter(|_| rows)?))
            })
        });
        let changes: Vec<_> = changes.collect();
        let keys: BTreeSet<Key> = changes.iter().map(|(_, _, key)| key.clone()).collect();
        let keys: Vec<Key> = keys.into_iter().take(LOOKED_AT).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let rows = self.target.lookup(&look::ask(table, &keys)).await?;
        let found: BTreeMap<&Key, _> =
            keys.iter().zip(rows).map(|(key, rows)| (key, look::seen(table, key, rows))).collect();
        for (partition, seen, key) in &changes {
            if found.get(key).is_some_and(|row| look::is_there(table, row, &seen.change)) {
                let newest = into.entry((*partition).clone()).or_default();
                *newest = seen.offset.max(*newest);
            }
        }
        Ok(())
    }
}

/// Why rows of a table cannot be judged as this user, and what to do.
fn unreadable(privileges: &Privileges) -> Option<String> {
    match (&privileges.reads, privileges.hides_rows) {
        (_, RowSecurity::Filtered) => Some(
            "row level security is active for this user: rows that it hides would look lost, so reads of it are refused; give the \
             user BYPASSRLS, or read as the table's owner"
                .to_owned(),
        ),
        (Reads::Nothing, RowSecurity::SeesAll) => Some("it may not be read: grant SELECT on it".to_owned()),
        (Reads::Lacks(columns), RowSecurity::SeesAll) => {
            let columns = columns.join(", ");
            Some(format!("the columns {columns} may not be read, so nothing of it is: grant SELECT on them, or `ignore` them"))
        }
        (Reads::All, RowSecurity::SeesAll) => None,
    }
}

/// What the session may do to a table, and what of that nothing here needs.
fn permissions(privileges: &Privileges) -> String {
    let reads = unreadable(privileges).unwrap_or_else(|| "may be read".to_owned());
    if privileges.writes.is_empty() {
        return reads;
    }
    let writes = privileges.writes.join(", ");
    format!("{reads}, and by {writes} written, which is never done: a user without them is enough")
}

/// What the condition of a table's rule makes of the changes seen.
fn left_out(name: &str, table: &Table, sample: &Sample) -> Option<String> {
    let filter = table.filter.as_deref()?;
    let changes = sample.partitions.values().flatten().map(|seen| &seen.change);
    let carried: Vec<Carried> = changes
        .filter(|change| *change.table == *name)
        .map(|change| carried(filter, change, was_met(filter, change)))
        .collect();
    let count = |of: &[Carried]| carried.iter().filter(|carried| of.contains(carried)).count();
    let (out, untold) = (count(&[Carried::Leaves, Carried::Outside]), count(&[Carried::Untold]));
    let untold = match untold {
        0 => String::new(),
        some => format!(
            "; {some} do not tell, and will end without a verdict: columns of the condition were not sent, or cannot be held \
             against what it asks"
        ),
    };
    Some(format!("`where` leaves out {out} of the {} changes seen{untold}", carried.len()))
}

fn table_report(name: &str, seen: &SeenTable, table: &Table) -> TableReport {
    let left_out = table.plan.not_compared().iter();
    let mut not_compared: Vec<String> = left_out.map(|column| format!("{}: {}", column.column, column.why)).collect();
    if let Some((columns, typing)) = &seen.columns {
        let bound = table.plan.bind(columns, *typing);
        let known = |column: &str| table.plan.not_compared().iter().any(|known| *known.column == *column);
        let unknown = bound.unbound().iter().filter(|column| !known(column));
        not_compared.extend(unknown.map(|column| format!("{column}: the target shows this user no such column")));
    }
    TableReport {
        table: name.to_owned(),
        target: Some(table.target_name()),
        key: table.plan.key_names().map(str::to_owned).collect(),
        compared: table.plan.names().0.len(),
        not_compared,
        left_out: None,
        hazard: table.plan.hazard(),
        permissions: None,
        not_judged: None,
    }
}
