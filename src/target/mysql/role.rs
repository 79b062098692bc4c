//! Whether a MySQL or MariaDB server is the one that the applier writes.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{Executor as _, Row as _};

use crate::target::Role;

/// `super_read_only` is MySQL's; `innodb_read_only` is what the readers of an Aurora cluster have.
const READ_ONLY: &str =
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'innodb_read_only')";

/// MySQL's statement lists all of its channels; MariaDB lists named connections only by one of its own.
const STATUS: [&str; 3] = ["SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS", "SHOW SLAVE STATUS"];

/// What the server may not tell, and what to do about it.
const DENIED: &str =
    "whether this server follows another one cannot be asked: grant REPLICATION CLIENT (MariaDB: SLAVE MONITOR)";

/// What replication says.
enum Follows {
    Nobody,
    /// Where what it replicates comes from.
    Sources(Vec<String>),
    Unknown,
}

/// A server that takes writes is taken for the one that the applier writes, also where it replicates from elsewhere; one
/// that takes none follows the one that is.
pub(super) async fn ask(conn: &mut MySqlConnection) -> Result<(Role, Vec<String>), sqlx::Error> {
    let read_only = read_only(conn).await?;
    let follows = follows(conn).await?;
    let mut warnings = Vec::new();
    if let Follows::Unknown = follows {
        warnings.push(DENIED.to_owned());
    }
    let role = match (read_only.as_slice(), follows) {
        ([], Follows::Sources(sources)) => {
            let sources = sources.join(", ");
            warnings.push(format!(
                "the server takes writes and replicates from {sources}: committed offsets convict here only rightly if the \
                 applier writes here; if it writes there, read there, or set `read_only` here"
            ));
            Role::Written(format!("it takes writes, and replicates from {sources}"))
        }
        ([], Follows::Nobody) => Role::Written("it takes writes, and follows no other server".to_owned()),
        ([], Follows::Unknown) => Role::Written("it takes writes".to_owned()),
        (set, Follows::Sources(sources)) => {
            Role::Replica(format!("{}, and it replicates from {}", set.join(" and "), sources.join(", ")))
        }
        (set, Follows::Nobody) => {
            let set = set.join(" and ");
            warnings.push(format!("{set}, and the server follows no other one: the applier cannot write here"));
            Role::Replica(format!("{set}, so that the applier writes elsewhere"))
        }
        (set, Follows::Unknown) => {
            Role::Replica(format!("{}, so that the applier writes elsewhere", set.join(" and ")))
        }
    };
    Ok((role, warnings))
}

/// The settings that keep clients from writing, as `name = value`.
async fn read_only(conn: &mut MySqlConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut set = Vec::new();
    for row in conn.fetch_all(sqlx::raw_sql(READ_ONLY)).await? {
        let (name, value): (String, String) = (row.try_get_unchecked(0)?, row.try_get_unchecked(1)?);
        if !matches!(value.to_ascii_uppercase().as_str(), "OFF" | "0") {
            set.push(format!("`{name}` is {value}"));
        }
    }
    Ok(set)
}

async fn follows(conn: &mut MySqlConnection) -> Result<Follows, sqlx::Error> {
    for statement in STATUS {
        match conn.fetch_all(sqlx::raw_sql(statement)).await {
            Ok(rows) if rows.is_empty() => return Ok(Follows::Nobody),
            Ok(rows) => return Ok(Follows::Sources(rows.iter().map(source).collect())),
            // The statement is the other server's.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42000") && !is_denied(&*error) => {}
            Err(sqlx::Error::Database(_)) => return Ok(Follows::Unknown),
            Err(error) => return Err(error),
        }
    }
    Ok(Follows::Unknown)
}

fn is_denied(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().is_some_and(|error| error.number() == 1227)
}

fn source(row: &MySqlRow) -> String {
    let text = |names: [&str; 2]| {
        names.iter().find_map(|name| row.try_get_unchecked::<String, _>(*name).ok()).unwrap_or_else(|| "?".to_owned())
    };
    format!("{}:{}", text(["Source_Host", "Master_Host"]), text(["Source_Port", "Master_Port"]))
}
