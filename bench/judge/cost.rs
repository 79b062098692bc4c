//! What each party costs the target: processor time of the server's processes, by the name of who they serve.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;

use crate::process::cpu_of;
use crate::target::connect;

/// How often the server's processes are looked at; one that ends in between takes its last stretch with it.
const EVERY: Duration = Duration::from_secs(2);

/// Seconds of processor time by application name.
pub(crate) type Seconds = BTreeMap<String, f64>;

/// Watches the target.
pub(crate) struct Meter {
    seen: Arc<Mutex<BTreeMap<u32, (String, f64)>>>,
    task: JoinHandle<()>,
}

impl Meter {
    pub(crate) async fn start(url: &str) -> Meter {
        let mut connection = connect(url, "meter").await;
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let there = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut clock = tokio::time::interval(EVERY);
            loop {
                clock.tick().await;
                for (name, process) in backends(&mut connection).await {
                    if let Some(seconds) = cpu_of(process) {
                        let mut seen = there.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.insert(process, (name, seconds));
                    }
                }
            }
        });
        Meter { seen, task }
    }

    pub(crate) fn stop(self) -> Seconds {
        self.task.abort();
        let mut seconds = Seconds::new();
        for (name, used) in self.seen.lock().unwrap_or_else(PoisonError::into_inner).values() {
            *seconds.entry(name.clone()).or_default() += used;
        }
        seconds
    }
}

async fn backends(connection: &mut PgConnection) -> Vec<(String, u32)> {
    let sql = "SELECT coalesce(nullif(application_name, ''), backend_type), pid FROM pg_stat_activity";
    let rows: Vec<(String, i32)> = sqlx::query_as(sql).fetch_all(connection).await.unwrap_or_default();
    rows.into_iter().filter_map(|(name, process)| Some((name, u32::try_from(process).ok()?))).collect()
}
