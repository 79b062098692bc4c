//! Which target table a tap table means where no rule says so.
//!
//! `schema.table` if the target has it, else `table`, else the topic with `.` as `_`. Names are compared exactly first,
//! then without regard to ASCII case. More than one candidate is an error that asks for a rule: a guess would judge one
//! table by another's changes.

use std::fmt;

/// A table of the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableRef {
    /// Schema (PostgreSQL) or database (MySQL); empty for SQLite.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema.is_empty() { f.write_str(&self.name) } else { write!(f, "{}.{}", self.schema, self.name) }
    }
}

/// Why no table could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The target has no table of these names.
    #[error("the target has no table for `{tap}` (looked for {}): create it, name its table with a rule (`match = \"{tap}\"`, `target = \"…\"`), or grant SELECT on it", .tried.join(", "))]
    Missing {
        /// Table as the tap names it.
        tap: String,
        /// Names looked for.
        tried: Vec<String>,
    },
    /// Several tables would do.
    #[error("`{tap}` could be any of {} on the target: choose one with a rule (`match = \"{tap}\"`, `target = \"…\"`)", .candidates.join(", "))]
    Ambiguous {
        /// Table as the tap names it.
        tap: String,
        /// Candidates, sorted.
        candidates: Vec<String>,
    },
}

/// The bare table names worth looking for, in lower case.
#[must_use]
pub fn names(tap: &str, topic: &str) -> Vec<String> {
    let mut names = vec![table_of(tap).to_ascii_lowercase(), topic.replace('.', "_").to_ascii_lowercase()];
    names.dedup();
    names
}

/// Whether a table of the target has the schema and the name of a tap's table, so that no other one of the tap is taken for it
/// without a rule.
#[must_use]
pub fn is_namesake(tap: &str, target: &TableRef) -> bool {
    schema_of(tap) == Some(&*target.schema) && table_of(tap) == target.name
}

/// Chooses among the tables that the target has.
pub fn choose(tap: &str, topic: &str, known: &[TableRef]) -> Result<TableRef, MappingError> {
    let (schema, table) = (schema_of(tap), table_of(tap));
    let flat = topic.replace('.', "_");
    let steps: [Step<'_>; 3] = [
        &|known, same| schema.is_some_and(|schema| same.of(&known.schema, schema)) && same.of(&known.name, table),
        &|known, same| same.of(&known.name, table),
        &|known, same| same.of(&known.name, &flat),
    ];
    for step in steps {
        for same in [Same::Exactly, Same::InAnyCase] {
            let mut found: Vec<&TableRef> = known.iter().filter(|known| step(known, same)).collect();
            found.sort_unstable();
            found.dedup();
            match found[..] {
                [] => {}
                [one] => return Ok(one.clone()),
                [..] => {
                    let candidates = found.into_iter().map(|table| format!("`{table}`")).collect();
                    return Err(MappingError::Ambiguous { tap: tap.to_owned(), candidates });
                }
            }
        }
    }
    let mut tried = vec![format!("`{tap}`"), format!("`{table}`"), format!("`{flat}`")];
    tried.dedup();
    Err(MappingError::Missing { tap: tap.to_owned(), tried })
}

/// Whether a table is what one step of the search looks for.
type Step<'a> = &'a dyn Fn(&TableRef, Same) -> bool;

#[derive(Clone, Copy)]
enum Same {
    Exactly,
    InAnyCase,
}

impl Same {
    fn of(self, one: &str, other: &str) -> bool {
        match self {
            Same::Exactly => one == other,
            Same::InAnyCase => one.eq_ignore_ascii_case(other),
        }
    }
}

/// The schema of `schema.table`; of `catalog.schema.table` the part before the table.
fn schema_of(tap: &str) -> Option<&str> {
    let (schema, _) = tap.rsplit_once('.')?;
    Some(schema.rsplit_once('.').map_or(schema, |(_, schema)| schema))
}

fn table_of(tap: &str) -> &str {
    tap.rsplit_once('.').map_or(tap, |(_, table)| table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &[(&str, &str)], expected: &str) {
        let known: Vec<TableRef> = known
            .iter()
            .map(|(schema, name)| TableRef { schema: (*schema).to_owned(), name: (*name).to_owned() })
            .collect();
        let found = match choose("public.orders", "pg.public.orders", &known) {
            Ok(table) => table.to_string(),
            Err(MappingError::Missing { tried, .. }) => format!("missing {}", tried.join(" ")),
            Err(MappingError::Ambiguous { candidates, .. }) => format!("ambiguous {}", candidates.join(" ")),
        };
        assert_eq!(found, expected, "{known:?}");
    }

    #[test]
    fn the_nearest_name_wins() {
        check(&[("public", "orders"), ("crm", "orders")], "public.orders");
        check(&[("crm", "orders"), ("crm", "pg_public_orders")], "crm.orders");
        check(&[("crm", "pg_public_orders")], "crm.pg_public_orders");
        check(&[("", "orders")], "orders");
        check(&[("PUBLIC", "ORDERS")], "PUBLIC.ORDERS");
        check(&[("crm", "Orders"), ("app", "orders")], "app.orders");
    }

    #[test]
    fn no_candidate_and_several_ask_for_a_rule() {
        check(&[], "missing `public.orders` `orders` `pg_public_orders`");
        check(&[("b", "orders"), ("a", "orders")], "ambiguous `a.orders` `b.orders`");
        let missing = choose("public.orders", "t", &[]).expect_err("nothing there");
        assert!(missing.to_string().contains("match = \"public.orders\""));
    }
}
