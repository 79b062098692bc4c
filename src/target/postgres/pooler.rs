//! Tells whether a transaction-mode pooler stands before the server.
//!
//! Two client connections of ours, both held open, ask in turn for the number of the server process that answers. A direct
//! connection, and a pooler in session mode, give each client one process of its own. A pooler that lends processes by the
//! transaction shows one client two processes, or two clients one. Nothing is set on the session and nothing is prepared:
//! either would reach other clients of such a pooler.

use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

/// Which client asks, in order. Asking twice in a row and in turns meets both habits of poolers: to lend the process
/// that was returned last, and to lend them in rotation.
const TURNS: [usize; 8] = [0, 1, 0, 0, 1, 1, 0, 1];

/// Whether one was seen.
pub(super) async fn is_seen(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut clients = [options.connect().await?, options.connect().await?];
    let mut processes: [Vec<i32>; 2] = [Vec::new(), Vec::new()];
    for turn in TURNS {
        let process = backend(&mut clients[turn]).await?;
        if !processes[turn].contains(&process) {
            processes[turn].push(process);
        }
    }
    for client in clients {
        // A pooler that drops the connection first has nothing left to say.
        let _ = client.close().await;
    }
    Ok(lends_by_transaction(&processes))
}

async fn backend(client: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::Executor::fetch_one(client, sqlx::raw_sql("SELECT pg_catalog.pg_backend_pid()")).await?;
    row.try_get(0)
}

fn lends_by_transaction(processes: &[Vec<i32>; 2]) -> bool {
    let [one, other] = processes;
    one.len() > 1 || other.len() > 1 || one.iter().any(|process| other.contains(process))
}

#[cfg(test)]
mod tests {
    use super::lends_by_transaction;

    #[test]
    fn a_process_of_ones_own_is_no_pooler() {
        assert!(!lends_by_transaction(&[vec![7], vec![8]]));
        assert!(lends_by_transaction(&[vec![7], vec![7]]));
        assert!(lends_by_transaction(&[vec![7, 8], vec![9]]));
    }
}
