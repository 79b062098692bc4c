//! `[[tables]]`, and the `target` and `source` sections.

use std::collections::BTreeSet;

use super::{Checker, pattern};
use crate::config::raw::{RawSource, RawTable, RawTarget};
use crate::config::tree::Path;
use crate::config::url::target_scheme;
use crate::config::word::TargetType;
use crate::config::{TableMatch, TableRule, Target, TargetKind, condition};
use crate::model::Condition;

impl Checker<'_> {
    pub(super) fn target(&mut self, path: &Path, raw: &RawTarget) -> Option<Target> {
        if raw.max_connections.0 == 0 {
            self.wrong(&path.key("max_connections"), "0 connections read nothing: expected at least 1");
        }
        if raw.kind == Some(TargetType::Dynamodb) {
            self.wrong(
                &path.key("type"),
                "`dynamodb` targets are not supported by this version: expected `postgres`, `mysql` or `sqlite`",
            );
            return None;
        }
        let kind = self.target_kind(path, raw)?;
        Some(Target {
            kind,
            url: raw.url.0.clone(),
            pooler: raw.pooler,
            max_connections: raw.max_connections.0,
            reads_per_second: raw.reads_per_second.0,
            dead_rows: raw.dead_rows.clone(),
        })
    }

    /// The inner one is `None` where there is no source to read.
    #[expect(clippy::option_option, reason = "what is wrong is not what is left out")]
    pub(super) fn source(&mut self, path: &Path, raw: &RawSource) -> Option<Option<Target>> {
        if raw.url.expose().is_empty() {
            return Some(None);
        }
        let as_target = RawTarget {
            url: raw.url.clone(),
            pooler: raw.pooler,
            max_connections: raw.max_connections,
            reads_per_second: raw.reads_per_second,
            ..RawTarget::default()
        };
        self.target(path, &as_target).map(Some)
    }

    fn target_kind(&mut self, path: &Path, raw: &RawTarget) -> Option<TargetKind> {
        let url = raw.url.expose();
        if url.is_empty() {
            self.wrong(&path.key("url"), "missing: expected postgres://…, mysql://… or sqlite:PATH");
            return None;
        }
        let (kind, word) = match target_scheme(url) {
            Ok("postgres" | "postgresql") => (TargetKind::Postgres, TargetType::Postgres),
            Ok("mysql" | "mariadb") => (TargetKind::Mysql, TargetType::Mysql),
            Ok("sqlite") => (TargetKind::Sqlite, TargetType::Sqlite),
            Ok(other) => {
                let message = format!(
                    "`{other}:` targets are not supported by this version: expected postgres://…, mysql://… \
                            or sqlite:PATH"
                );
                self.wrong(&path.key("url"), message);
                return None;
            }
            Err(message) => {
                self.wrong(&path.key("url"), message);
                return None;
            }
        };
        if let Some(declared) = raw.kind.filter(|declared| *declared != word) {
            let message = format!(
                "`{}` contradicts the URL, which is of `{}`: make them agree, or leave the type out",
                declared.word(),
                word.word()
            );
            self.wrong(&path.key("type"), message);
        }
        Some(kind)
    }

    pub(super) fn tables(&mut self, path: &Path, raw: &[RawTable]) -> Vec<TableRule> {
        let mut rules = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, table) in raw.iter().enumerate() {
            let path = path.index(index);
            if !table.matches.is_empty() && !seen.insert(table.matches.as_str()) {
                let message =
                    format!("`{}` has a rule already, and the first one wins: put the two together", table.matches);
                self.wrong(&path.key("match"), message);
            }
            rules.extend(self.table(&path, table));
        }
        rules
    }

    fn table(&mut self, path: &Path, raw: &RawTable) -> Option<TableRule> {
        self.table_target(&path.key("target"), &raw.target);
        let mut targets = BTreeSet::new();
        for (tap, target) in &raw.columns {
            if target.is_empty() || !targets.insert(target.as_str()) {
                let message = match target.as_str() {
                    "" => "empty: expected the name of a target column".to_owned(),
                    target => format!("`{target}` is the target of another column too: each target column has one"),
                };
                self.wrong(&path.key("columns").key(tap), message);
            }
        }
        Some(TableRule {
            path: path.to_string(),
            matches: self.table_match(&path.key("match"), &raw.matches)?,
            target: Some(raw.target.clone()).filter(|target| !target.is_empty()),
            key: raw.key.0.iter().map(|name| name.0.clone()).collect(),
            ignore: raw.ignore.0.iter().map(|name| name.0.clone()).collect(),
            columns: raw.columns.clone(),
            tolerance: raw.tolerance.clone(),
            coercions: raw.coercions.clone(),
            carried: self.condition(&path.key("where"), &raw.row_filter),
            severity: raw.severity.iter().map(|(kind, severity)| (kind.0, severity.0)).collect(),
        })
    }

    fn condition(&mut self, path: &Path, text: &str) -> Option<Condition> {
        if text.is_empty() {
            return None;
        }
        condition::parse(text).map_err(|message| self.wrong(path, message)).ok()
    }

    pub(super) fn table_match(&mut self, path: &Path, text: &str) -> Option<TableMatch> {
        match pattern(text) {
            Ok(Some(pattern)) => Some(TableMatch::Pattern(pattern)),
            Ok(None) if text.is_empty() => {
                self.wrong(
                    path,
                    "missing: expected schema.table, or a pattern between slashes, of the tap's table name",
                );
                None
            }
            Ok(None) => Some(TableMatch::Name(text.to_owned())),
            Err(message) => {
                self.wrong(path, message);
                None
            }
        }
    }

    fn table_target(&mut self, path: &Path, target: &str) {
        let parts: Vec<&str> = target.split('.').collect();
        if !target.is_empty() && (parts.len() > 2 || parts.iter().any(|part| part.is_empty())) {
            self.wrong(path, format!("`{target}` is no table: expected schema.table or table"));
        }
    }
}
