//! Pages of a table's keys, asked for where a truncate may have left rows.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::engine::event::{LookFailure, Page, PageEnd, Scan};
use crate::engine::limit::SCANS_AT_ONCE;
use crate::model::Key;
use crate::target::{Ask, Target, TargetError};

use super::crash::Guard;
use super::driver::Reply;
use super::look::ask;
use super::tables::Tables;
use super::tell;

/// Pages that wait to be read: of each table one at most is asked for at a time.
pub(super) const SCANS: usize = SCANS_AT_ONCE;

/// The stage.
pub(super) struct Scanner {
    pub(super) scans: mpsc::Receiver<Scan>,
    pub(super) target: Target,
    pub(super) tables: Arc<Tables>,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) pipeline: Arc<str>,
    pub(super) guard: Guard,
}

impl Scanner {
    /// Reads one page after another, under the same budget as lookups, until nobody asks any more.
    pub(super) async fn run(mut self) {
        while let Some(scan) = self.scans.recv().await {
            let Some(page) = self.guard.clone().hold_task("scan", self.page(&scan)).await else { break };
            if self.replies.send(Reply::Scanned { id: scan.id, page }).await.is_err() {
                break;
            }
        }
    }

    async fn page(&self, scan: &Scan) -> Result<Page, LookFailure> {
        let Some(table) = self.tables.get(scan.table) else { return Err(LookFailure::Replanned) };
        let asked = Ask { keys: scan.after.iter().map(Key::cells).collect(), ..ask(&table, &[]) };
        let rows = match self.target.page(&asked, scan.most).await {
            Ok(rows) => rows,
            Err(error) => {
                tell::target_failed(&self.pipeline, &error, scan.most);
                return match error {
                    TargetError::Unreachable { .. } => Err(LookFailure::Unreachable),
                    TargetError::Changed { .. } => Err(LookFailure::Replanned),
                    TargetError::Refused { .. } => Ok(Page { keys: Vec::new(), end: PageEnd::Unread }),
                };
            }
        };
        let keys: Vec<Key> = rows.iter().map_while(|row| table.plan.observed_key(row).ok()).collect();
        let end = match keys.last() {
            _ if keys.len() < rows.len() => PageEnd::Unread,
            Some(last) if rows.len() >= scan.most => PageEnd::At(last.clone()),
            Some(_) | None => PageEnd::Last,
        };
        Ok(Page { keys, end })
    }
}
