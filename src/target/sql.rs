//! The only place where text becomes SQL.
//!
//! Statements are made of fixed text, quoted identifiers from the database's own catalog, and conditions that the
//! operator wrote in the configuration. Values are always bound.

use super::Answered;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// An identifier in double quotes: PostgreSQL, SQLite.
pub(super) fn double_quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An identifier in backticks: MySQL, MariaDB.
pub(super) fn backticked(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A statement put together by this module's callers, under the rule above.
pub(super) fn statement(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

/// The condition that keeps dead rows out of a read: they count as absent. A condition that is NULL is not met. The line
/// break ends a comment that the operator's text may end in.
pub(super) fn only_living(dead_rows: &str) -> String {
    if dead_rows.trim().is_empty() { String::new() } else { format!(" WHERE NOT COALESCE(({dead_rows}\n), FALSE)") }
}

/// The rows of a page: living ones, behind the last of the page before if there was one.
pub(super) fn living_behind(dead_rows: &str, behind: Option<String>) -> String {
    let living = only_living(dead_rows);
    match behind {
        Some(behind) if living.is_empty() => format!(" WHERE {behind}"),
        Some(behind) => format!("{living} AND {behind}"),
        None => living,
    }
}

/// What makes one row of equal ones, with their number as its last column: what is selected in front of it, and what ends the
/// statement. `columns` are those that come before it.
pub(super) fn counting(rows: Answered, columns: usize) -> (&'static str, String) {
    match rows {
        Answered::Each => ("", String::new()),
        Answered::Counted => {
            let places: Vec<String> = (1..=columns).map(|place| place.to_string()).collect();
            (", count(*)", format!(" GROUP BY {}", places.join(", ")))
        }
    }
}

/// The conditions under which a row belongs to an asked key: those of the columns that have values, and NULLs in the others.
pub(super) fn belongs(conditions: Vec<String>, nulls: impl Iterator<Item = String>) -> String {
    let nulls = nulls.map(|quoted| format!("{quoted} IS NULL"));
    conditions.into_iter().chain(nulls).collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_leave_their_quotes() {
        assert_eq!(double_quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
        assert_eq!(backticked("a`b"), "`a``b`");
    }

    #[test]
    fn a_page_begins_behind_the_one_before() {
        let behind = || Some("k > 5".to_owned());
        assert_eq!(living_behind("", None), "");
        assert_eq!(living_behind("", behind()), " WHERE k > 5");
        assert_eq!(living_behind("gone", behind()), " WHERE NOT COALESCE((gone\n), FALSE) AND k > 5");
    }

    #[test]
    fn no_condition_adds_nothing() {
        assert_eq!(only_living(" "), "");
        assert_eq!(only_living("gone -- soft"), " WHERE NOT COALESCE((gone -- soft\n), FALSE)");
    }
}
