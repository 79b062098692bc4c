//! What may serve as evidence of the applied watermark: the value of `applied` and of `--applied`.

use std::fmt;

use super::unit::{Scalar, field, not_among};

/// Evidence of how far the applier has provably applied the tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The committed offsets of the applier's own consumer group on this tap.
    KafkaGroup(String),
    /// The checkpoints of a KCL application in its lease table.
    KclLease(String),
    /// Positions, or one time, that the applier keeps on the target: rows `topic, partition, next_offset`.
    Query(String),
    /// The time up to which a DMS task says that it has applied: its row in `awsdms_status` on the target.
    DmsStatus {
        /// The schema (MySQL: database) of the task's control tables.
        schema: String,
        /// The task, where several write there; `None`: the one that is furthest behind.
        task: Option<String>,
    },
    /// Rows that the source updates and the pipeline carries.
    Heartbeat {
        /// The table on the tap: `schema.table`.
        table: String,
        /// The column that the source updates.
        column: String,
    },
    /// Rows read on the target that equal versions of the tap.
    Inferred,
    /// The user's word that all of the tap up to its end at the start has been applied.
    Assumed,
}

/// The words that begin a form of evidence.
const FORMS: &[&str] = &["kafka-group", "kcl-lease", "query", "dms-status", "heartbeat", "inferred", "assumed"];

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::KafkaGroup(name) => write!(f, "kafka-group:{name}"),
            Evidence::KclLease(table) => write!(f, "kcl-lease:{table}"),
            Evidence::Query(sql) => write!(f, "query:{sql}"),
            Evidence::DmsStatus { schema, task: None } => write!(f, "dms-status:{schema}"),
            Evidence::DmsStatus { schema, task: Some(task) } => write!(f, "dms-status:{schema}/{task}"),
            Evidence::Heartbeat { table, column } => write!(f, "heartbeat:{table}.{column}"),
            Evidence::Inferred => f.write_str("inferred"),
            Evidence::Assumed => f.write_str("assumed"),
        }
    }
}

impl Evidence {
    /// Whether it is the applier's own position, rather than what rows show.
    pub fn is_position(&self) -> bool {
        match self {
            Evidence::KafkaGroup(_) | Evidence::KclLease(_) | Evidence::Query(_) | Evidence::DmsStatus { .. } => true,
            Evidence::Heartbeat { .. } | Evidence::Inferred | Evidence::Assumed => false,
        }
    }
}

fn heartbeat(place: &str) -> Option<Evidence> {
    let parts: Vec<&str> = place.split('.').collect();
    match parts.as_slice() {
        [schema, table, column] if parts.iter().all(|part| !part.is_empty()) => {
            Some(Evidence::Heartbeat { table: format!("{schema}.{table}"), column: (*column).to_owned() })
        }
        _ => None,
    }
}

impl Scalar for Evidence {
    fn expected() -> String {
        "kafka-group:NAME, query:SQL, dms-status:SCHEMA, heartbeat:SCHEMA.TABLE.COLUMN, inferred or assumed".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (form, rest) = text.split_once(':').map_or((text, None), |(form, rest)| (form, Some(rest.trim())));
        match (form, rest) {
            ("inferred", None) => Ok(Evidence::Inferred),
            ("assumed", None) => Ok(Evidence::Assumed),
            ("kafka-group", Some(name)) if !name.is_empty() => Ok(Evidence::KafkaGroup(name.to_owned())),
            ("kcl-lease", Some(table)) if !table.is_empty() => Ok(Evidence::KclLease(table.to_owned())),
            ("query", Some(sql)) if !sql.is_empty() => Ok(Evidence::Query(sql.to_owned())),
            ("dms-status", Some(place)) if !place.is_empty() && !place.starts_with('/') && !place.ends_with('/') => {
                let (schema, task) = place.split_once('/').map_or((place, None), |(schema, task)| (schema, Some(task)));
                Ok(Evidence::DmsStatus { schema: schema.to_owned(), task: task.map(str::to_owned) })
            }
            ("heartbeat", Some(place)) => heartbeat(place)
                .ok_or_else(|| format!("`{text}` names no column: expected heartbeat:SCHEMA.TABLE.COLUMN")),
            ("inferred" | "assumed", Some(_)) => Err(format!("`{form}` takes nothing behind it: write `{form}`")),
            ("kafka-group" | "kcl-lease" | "query" | "dms-status" | "heartbeat", _) => {
                Err(format!("`{form}` needs what it names behind a colon: expected {}", Self::expected()))
            }
            _ => Err(not_among(form, FORMS)),
        }
    }

    fn written(&self) -> serde_json::Value {
        self.to_string().into()
    }
}

field!(Evidence);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "kafka-group:connect-orders-sink",
            "kcl-lease:orders-app",
            "query:select topic, partition, next_offset from progress where a = 'x:y'",
            "heartbeat:public.heartbeat.beat",
            "dms-status:awsdms_control",
            "dms-status:public/full-load-and-cdc",
            "inferred",
            "assumed",
        ] {
            assert_eq!(Evidence::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_mistake_says_what_would_be_right() {
        for (text, part) in [
            ("infered", "did you mean `inferred`?"),
            ("kafka-group:", "needs what it names behind a colon"),
            ("kafka-group", "needs what it names behind a colon"),
            ("dms-status:", "needs what it names behind a colon"),
            ("dms-status:public/", "needs what it names behind a colon"),
            ("heartbeat:public.heartbeat", "expected heartbeat:SCHEMA.TABLE.COLUMN"),
            ("heartbeat:a.b.c.d", "expected heartbeat:SCHEMA.TABLE.COLUMN"),
            ("assumed:yes", "write `assumed`"),
            ("offsets", "expected one of"),
        ] {
            let message = Evidence::parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
