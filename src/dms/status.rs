//! How far a task says that it came: `awsdms_status`, which a task writes where `StatusTableEnabled` is set.

use super::connection::Dialect;

/// The question for the one time in `awsdms_status` that says what was *applied*: everything that the source committed before
/// it. Nothing where a task has not come to applying changes, or says no time; of several tasks the one that is furthest behind.
///
/// `source_current_position` and `source_tail_position` are where the task *reads*, in a grammar that is nowhere written down.
/// They say nothing of what was applied, and are not asked for.
#[must_use]
pub fn applied_time(dialect: Dialect, schema: &str, task: Option<&str>) -> String {
    let (time, status) = (dialect.quoted("source_timestamp_applied"), dialect.quoted("task_status"));
    let table = match dialect {
        // A SQLite file has no schemas.
        Dialect::Sqlite => dialect.quoted("awsdms_status"),
        Dialect::Postgres | Dialect::Mysql => {
            format!("{}.{}", dialect.quoted(schema), dialect.quoted("awsdms_status"))
        }
    };
    let only = task.map(|task| format!(" WHERE {} = {}", dialect.quoted("task_name"), literal(dialect, task)));
    format!(
        "SELECT CASE WHEN count({time}) = count(*) AND max(CASE WHEN {status} = 'FULL LOAD' THEN 1 ELSE 0 END) = 0 \
         THEN min({time}) END FROM {table}{}",
        only.unwrap_or_default()
    )
}

fn literal(dialect: Dialect, text: &str) -> String {
    let text = text.replace('\'', "''");
    match dialect {
        Dialect::Mysql => format!("'{}'", text.replace('\\', "\\\\")),
        Dialect::Postgres | Dialect::Sqlite => format!("'{text}'"),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;

    #[tokio::test]
    async fn the_task_that_is_furthest_behind_says_what_was_applied() {
        let mut database = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let made = "create table awsdms_status (task_name varchar(128), task_status varchar(32), \
                    source_timestamp_applied timestamp)";
        sqlx::raw_sql(made).execute(&mut database).await.unwrap();
        let mut asked = async |rows: &str, task| -> Option<String> {
            let statements = format!("delete from awsdms_status; {rows}");
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut database).await.unwrap();
            let sql = applied_time(Dialect::Sqlite, "public", task);
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut database).await.unwrap()
        };
        let row = |task: &str, status: &str, at: &str| {
            format!("insert into awsdms_status values ('{}', '{status}', {at});", task.replace('\'', "''"))
        };
        let (a, b) = (row("a's", "CHANGE PROCESSING", "'10:00'"), row("b", "NOT RUNNING", "'09:00'"));
        assert_eq!(asked("", None).await, None);
        assert_eq!(asked(&a, None).await.as_deref(), Some("10:00"));
        assert_eq!(asked(&format!("{a}{b}"), None).await.as_deref(), Some("09:00"));
        assert_eq!(asked(&format!("{a}{b}"), Some("a's")).await.as_deref(), Some("10:00"));
        assert_eq!(asked(&a, Some("c")).await, None);
        let (loading, silent) = (row("c", "FULL LOAD", "'08:00'"), row("d", "CHANGE PROCESSING", "null"));
        assert_eq!(asked(&format!("{a}{loading}"), None).await, None, "a load has applied no changes");
        assert_eq!(asked(&format!("{a}{silent}"), None).await, None, "a task that says nothing may be anywhere");
    }
}
