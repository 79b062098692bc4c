//! The tables of a pipeline: which target table stands for a tap table, and the plan by which their rows are compared.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::canon::{Plan, Rules};
use crate::engine::event::Role;
use crate::model::{Columns, TableId, TableMeta};

/// One table of the tap, as far as it is understood.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) id: TableId,
    pub(super) tap_name: Arc<str>,
    pub(super) role: Role,
    /// What a lookup needs, besides keys.
    pub(super) plan: Arc<Plan>,
    /// Target columns to read, as places in the table.
    pub(super) columns: Vec<usize>,
    /// Key columns, as places in the table.
    pub(super) key_columns: Vec<usize>,
}

/// What is known of a tap table's counterpart.
#[derive(Debug, Clone)]
pub(super) enum Mapped {
    /// Its rows are judged.
    Judged(Arc<Table>),
    /// They are not, for this reason.
    NotJudged(Arc<str>),
}

/// Tables by name and by id; grows with the tap, shared by every stage.
#[derive(Debug, Default)]
pub(super) struct Tables {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ids: BTreeMap<Arc<str>, TableId>,
    names: Vec<Arc<str>>,
    mapped: BTreeMap<TableId, Mapped>,
}

impl Tables {
    /// The id of a tap table, given out at first sight.
    pub(super) fn id(&self, tap_name: &Arc<str>) -> TableId {
        if let Some(id) = self.read().ids.get(tap_name) {
            return *id;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let next = TableId(u32::try_from(inner.names.len()).unwrap_or(u32::MAX));
        inner.names.push(Arc::clone(tap_name));
        inner.ids.insert(Arc::clone(tap_name), next);
        next
    }

    /// What is known of a tap table.
    pub(super) fn mapped(&self, tap_name: &str) -> Option<Mapped> {
        let inner = self.read();
        inner.ids.get(tap_name).and_then(|id| inner.mapped.get(id)).cloned()
    }

    /// Records what was found out about a table.
    pub(super) fn set(&self, id: TableId, mapped: Mapped) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).mapped.insert(id, mapped);
    }

    pub(super) fn get(&self, id: TableId) -> Option<Arc<Table>> {
        match self.read().mapped.get(&id) {
            Some(Mapped::Judged(table)) => Some(Arc::clone(table)),
            Some(Mapped::NotJudged(_)) | None => None,
        }
    }

    /// Why a table is not judged.
    pub(super) fn why_not(&self, id: TableId) -> Arc<str> {
        match self.read().mapped.get(&id) {
            Some(Mapped::NotJudged(why)) => Arc::clone(why),
            Some(Mapped::Judged(_)) | None => "it was found on the target too late".into(),
        }
    }

    pub(super) fn plan(&self, id: TableId) -> Option<Arc<Plan>> {
        self.get(id).map(|table| Arc::clone(&table.plan))
    }

    pub(super) fn tap_name(&self, id: TableId) -> Arc<str> {
        self.read().names.get(id.0 as usize).cloned().unwrap_or_else(|| "?".into())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Makes the plan of a tap table and its target table.
    pub(super) fn plan(
        (id, tap_name, role): (TableId, &Arc<str>, Role),
        meta: Arc<TableMeta>,
        rules: &Rules,
        record_key: Option<&Columns>,
        placeholder: Option<&str>,
    ) -> Result<Table, crate::canon::PlanError> {
        let key: Option<Vec<String>> =
            record_key.map(|columns| columns.0.iter().map(|name| name.to_string()).collect());
        let mut plan = Plan::new(id, meta, rules, key.as_deref())?;
        if let Some(marker) = placeholder {
            plan = plan.with_placeholder(marker);
        }
        let (columns, key_columns) = (plan.columns_to_read(), plan.key_places());
        Ok(Table { id, tap_name: Arc::clone(tap_name), role, plan: Arc::new(plan), columns, key_columns })
    }

    /// The target table's name, for people.
    pub(super) fn target_name(&self) -> String {
        let meta = self.plan.meta();
        if meta.schema.is_empty() { meta.name.to_string() } else { format!("{}.{}", meta.schema, meta.name) }
    }
}
