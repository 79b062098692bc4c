//! What a pipeline knows and its engine does not: names, clock time, the user's rules for publishing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Disclosure, Pipeline, TableMatch, TableRule};
use crate::model::finding::{Kind, Severity};
use crate::model::position::PartitionName;
use crate::model::{PartitionId, TableId, Tick, Wall};
use crate::report::compose::{Context, TableNames};
use crate::report::value::Values;
use crate::tap::Partitions;

use super::clock::Clock;
use super::tables::Tables;

/// The context of one pipeline.
pub(super) struct PipelineContext {
    name: String,
    tap: &'static str,
    values: Values,
    severities: Vec<(TableMatch, BTreeMap<Kind, Severity>)>,
    tables: Arc<Tables>,
    partitions: Partitions,
    pub(super) clock: Clock,
}

impl PipelineContext {
    pub(super) fn new(
        pipeline: &Pipeline,
        tables: Arc<Tables>,
        partitions: Partitions,
        clock: Clock,
    ) -> PipelineContext {
        let tap = pipeline.tap.word();
        let values = values(pipeline);
        let ruled = pipeline.tables.iter().filter(|rule| !rule.severity.is_empty());
        let severities = ruled.map(|rule| (rule.matches.clone(), rule.severity.clone())).collect();
        PipelineContext { name: pipeline.name.clone(), tap, values, severities, tables, partitions, clock }
    }

    /// The wall time now.
    pub(super) fn now(&self) -> Wall {
        self.clock.wall(self.clock.now())
    }
}

impl Context for PipelineContext {
    fn pipeline(&self) -> &str {
        &self.name
    }

    fn tap(&self) -> &str {
        self.tap
    }

    fn partition(&self, id: PartitionId) -> PartitionName {
        self.partitions.name(id)
    }

    fn table(&self, id: TableId) -> TableNames {
        let tap = self.tables.tap_name(id);
        match self.tables.get(id) {
            Some(table) => TableNames {
                tap,
                target: table.target_name().into(),
                key: table.plan.key_names().map(str::to_owned).collect(),
                not_compared: self.tables.left_out(id),
            },
            None => TableNames { target: Arc::clone(&tap), tap, key: Vec::new(), not_compared: Vec::new() },
        }
    }

    fn wall(&self, at: Tick) -> Wall {
        self.clock.wall(at)
    }

    fn severity(&self, table: Option<&str>, kind: Kind) -> Option<Severity> {
        let table = table?;
        let ruled = self.severities.iter().find(|(matches, _)| is_match(matches, table));
        ruled.and_then(|(_, severities)| severities.get(&kind)).copied()
    }

    fn values(&self) -> Values {
        self.values
    }
}

/// Whether a rule is for this table.
pub(super) fn is_match(matches: &TableMatch, table: &str) -> bool {
    matches.is(table)
}

/// The first rule for a table.
pub(super) fn rule_for<'a>(rules: &'a [TableRule], table: &str) -> Option<&'a TableRule> {
    rules.iter().find(|rule| is_match(&rule.matches, table))
}

/// How much of row values the user lets us tell.
pub(super) fn values(pipeline: &Pipeline) -> Values {
    match pipeline.values {
        Disclosure::Full => Values::Full,
        Disclosure::Hashed => Values::Hashed,
        Disclosure::None => Values::None,
    }
}
