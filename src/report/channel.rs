//! News on its way to one channel: what it asked for, in groups, ready for whoever delivers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use tokio::sync::Notify;

use super::document::Document;
use super::group::{GroupKey, Groups, Limits, Placed};
use crate::model::finding::{Kind, Severity};
use crate::telemetry::name;

/// The word for this kind of channel in metrics and logs.
pub(super) const SINK: &str = "webhook";

/// Which findings a channel hears of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The least severity.
    pub severity: Severity,
    /// Only these kinds; empty: all.
    pub kinds: Vec<Kind>,
    /// Only these tables, as the tap names them; empty: all, and findings that concern no table.
    pub tables: Vec<String>,
}

impl Filter {
    fn lets(&self, severity: Severity, kind: Option<Kind>, table: Option<&String>) -> bool {
        let is_asked_for = |kind| self.kinds.contains(&kind);
        severity >= self.severity
            && (self.kinds.is_empty() || kind.is_some_and(is_asked_for))
            && (self.tables.is_empty() || table.is_some_and(|table| self.tables.contains(table)))
    }
}

/// The news of one channel on their way out. Cheap to clone; taking news never waits and never loses any.
#[derive(Debug, Clone)]
pub struct Alerts {
    filter: Arc<Filter>,
    groups: Arc<Mutex<Groups>>,
    wake: Arc<Notify>,
}

impl Alerts {
    /// Nothing to tell yet.
    #[must_use]
    pub fn new(filter: Filter, limits: Limits) -> Alerts {
        let groups = Arc::new(Mutex::new(Groups::new(limits)));
        Alerts { filter: Arc::new(filter), groups, wake: Arc::new(Notify::new()) }
    }

    /// So many findings of a group were open before this process began: it is not resolved before they are over.
    pub fn seed(&self, key: GroupKey, severity: Severity, open: u64) {
        if self.filter.lets(severity, key.kind, key.table.as_ref()) {
            self.groups().seed(key, open);
        }
    }

    /// A finding opened.
    pub fn opened(&self, document: &Document) {
        self.tell(document, Groups::opened);
    }

    /// A finding that had been open is over.
    pub fn closed(&self, document: &Document) {
        self.tell(document, Groups::closed);
    }

    fn tell(&self, document: &Document, news: fn(&mut Groups, &Document) -> Placed) {
        if !self.filter.lets(document.severity, Some(document.kind), document.table.as_ref()) {
            return;
        }
        match news(&mut self.groups(), document) {
            Placed::Own => {}
            Placed::Merged => counter!(name::ALERTS_MERGED, name::SINK => SINK).increment(1),
        }
        self.wake.notify_one();
    }

    /// Returns at the next news, or at once if there was some since the last call.
    pub(super) async fn news(&self) {
        self.wake.notified().await;
    }

    pub(super) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) const EVERYTHING: Filter = Filter { severity: Severity::Info, kinds: vec![], tables: vec![] };

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_channel_hears_only_of_what_it_asked_for() {
        let [delete, update, _, _, stalled] = sample::documents().try_into().unwrap();
        let table = || vec!["public.customers".to_owned()];
        let rows: [(Filter, [bool; 3]); 5] = [
            (EVERYTHING, [true, true, true]),
            (Filter { severity: Severity::Critical, ..EVERYTHING }, [true, false, false]),
            (Filter { kinds: vec![Kind::Stalled, Kind::LostUpdate], ..EVERYTHING }, [false, true, true]),
            (Filter { tables: table(), ..EVERYTHING }, [true, true, false]),
            (Filter { tables: vec!["public.other".to_owned()], ..EVERYTHING }, [false, false, false]),
        ];
        for (filter, expected) in rows {
            let heard = [&delete, &update, &stalled].map(|finding| {
                let alerts = Alerts::new(filter.clone(), Limits::default());
                alerts.opened(finding);
                alerts.groups().poll_timeout().is_some()
            });
            assert_eq!(heard, expected, "{filter:?}");
        }
    }
}
