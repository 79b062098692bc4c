//! The routes: each answers JSON, except for the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Site;
use super::view::{Check, CheckState, Mark, PipelineStatus, Probe};
use crate::model::finding::{Kind, Severity, State as FindingState};
use crate::report::Document;
use crate::store::{Cursor, Filter, PAGE, Sort, StoreError, Watermark};

/// The media type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Shared = State<Arc<Site>>;

/// An answer that says what is wrong.
pub(super) fn problem(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(serde_json::json!({ "error": error.into() }))).into_response()
}

pub(super) async fn livez(State(site): Shared) -> Response {
    probe(&site.health.borrow().live)
}

pub(super) async fn readyz(State(site): Shared) -> Response {
    probe(&site.health.borrow().ready)
}

pub(super) async fn startupz(State(site): Shared) -> Response {
    probe(&site.health.borrow().started)
}

fn probe(checks: &[Check]) -> Response {
    let failing = checks.iter().any(|check| check.state == CheckState::Failing);
    let (code, status) = match failing {
        true => (StatusCode::SERVICE_UNAVAILABLE, CheckState::Failing),
        false => (StatusCode::OK, CheckState::Ok),
    };
    (code, Json(Probe { status, checks })).into_response()
}

pub(super) async fn metrics(State(site): Shared) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], site.metrics.render()).into_response()
}

pub(super) async fn status(State(site): Shared) -> Response {
    let status = Arc::clone(&site.status.borrow());
    Json(&*status).into_response()
}

pub(super) async fn pipelines(State(site): Shared) -> Response {
    let status = Arc::clone(&site.status.borrow());
    Json(serde_json::json!({ "at": status.at, "pipelines": status.pipelines })).into_response()
}

pub(super) async fn pipeline(State(site): Shared, Path(name): Path<String>) -> Response {
    let status = Arc::clone(&site.status.borrow());
    match status.pipelines.iter().find(|one| one.name == name) {
        Some(pipeline) => Json(pipeline).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no such pipeline here; /api/v1/pipelines lists them"),
    }
}

/// What may be asked of the watermarks.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Whose {
    pipeline: Option<String>,
}

pub(super) async fn watermarks(
    State(site): Shared,
    asked: Result<Query<Whose>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let status = Arc::clone(&site.status.borrow());
    let wanted = |one: &&PipelineStatus| asked.pipeline.as_ref().is_none_or(|name| *name == one.name);
    let mut marks = Vec::new();
    for pipeline in status.pipelines.iter().filter(wanted) {
        match site.store.load_watermarks(&pipeline.name).await {
            Ok(kept) => marks.extend(joined(pipeline, kept, &status.at)),
            Err(error) => return failed(&error),
        }
    }
    Json(serde_json::json!({ "watermarks": marks })).into_response()
}

/// What is ours as it is now, and the rest as whoever has it kept it last.
fn joined(pipeline: &PipelineStatus, kept: Vec<Watermark>, at: &str) -> Vec<Mark> {
    let mut marks: BTreeMap<(String, i32), Mark> = BTreeMap::new();
    for one in kept {
        let mark = Mark {
            pipeline: pipeline.name.clone(),
            topic: one.topic.clone(),
            partition: one.partition,
            verified: one.verified,
            applied: one.applied,
            at: one.at.rfc3339(),
            here: false,
            end: None,
            consumed: None,
            committed: None,
            settled: None,
        };
        marks.insert((one.topic, one.partition), mark);
    }
    for one in &pipeline.partitions {
        let mark = Mark {
            pipeline: pipeline.name.clone(),
            topic: one.topic.clone(),
            partition: one.partition,
            verified: one.verified,
            applied: Some(one.applied),
            at: at.to_owned(),
            here: true,
            end: one.end,
            consumed: Some(one.consumed),
            committed: one.committed,
            settled: Some(one.settled),
        };
        marks.insert((one.topic.clone(), one.partition), mark);
    }
    marks.into_values().collect()
}

pub(super) async fn unknown() -> Response {
    problem(StatusCode::NOT_FOUND, "no such path")
}

/// What may be asked of the list of findings. Several kinds or states stand behind commas.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) pipeline: Option<String>,
    pub(super) table: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) state: Option<String>,
    pub(super) severity: Option<String>,
    /// A part of the key, or `COLUMN=VALUE`.
    pub(super) key: Option<String>,
    /// `newest` first, or `oldest`.
    pub(super) sort: Option<String>,
    /// The id of the last finding of the page before.
    pub(super) after: Option<String>,
    pub(super) limit: Option<u32>,
}

/// Why there is no list.
pub(super) enum Unlisted {
    /// It was asked for what there is not.
    Asked(String),
    Store(StoreError),
}

/// A page of findings, and behind which one the next page begins.
pub(super) async fn listed(site: &Site, asked: &Asked) -> Result<(Vec<Document>, Option<String>), Unlisted> {
    let mut filter = filter(asked).map_err(Unlisted::Asked)?;
    if let Some(id) = &asked.after {
        let last = site.store.get(id).await.map_err(Unlisted::Store)?;
        let last = last.ok_or_else(|| Unlisted::Asked("`after` names no finding".to_owned()))?;
        filter.after = Some(Cursor::behind(&last));
    }
    let findings = site.store.list(&filter).await.map_err(Unlisted::Store)?;
    let whole = findings.len() < filter.limit as usize;
    let next = findings.last().filter(|_| !whole).map(|last| last.id.clone());
    Ok((findings, next))
}

pub(super) async fn findings(
    State(site): Shared,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    match listed(&site, &asked).await {
        Ok((findings, next)) => Json(serde_json::json!({ "findings": findings, "next": next })).into_response(),
        Err(Unlisted::Asked(message)) => problem(StatusCode::BAD_REQUEST, message),
        Err(Unlisted::Store(error)) => failed(&error),
    }
}

fn filter(asked: &Asked) -> Result<Filter, String> {
    let severity =
        asked.severity.as_deref().map_or(Ok(Severity::Info), |word| known("severity", word, Severity::parse));
    Ok(Filter {
        pipeline: asked.pipeline.clone(),
        table: asked.table.clone(),
        kinds: each("kind", asked.kind.as_deref(), Kind::parse)?,
        states: each("state", asked.state.as_deref(), FindingState::parse)?,
        severity: severity?,
        key: asked.key.clone(),
        sort: asked.sort.as_deref().map_or(Ok(Sort::Newest), |word| known("sort", word, Sort::parse))?,
        limit: asked.limit.unwrap_or(PAGE).clamp(1, PAGE),
        ..Filter::default()
    })
}

fn each<T>(name: &str, words: Option<&str>, parse: fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let words = words.into_iter().flat_map(|words| words.split(',')).filter(|word| !word.is_empty());
    words.map(|word| known(name, word, parse)).collect()
}

fn known<T>(name: &str, word: &str, parse: fn(&str) -> Option<T>) -> Result<T, String> {
    parse(word).ok_or_else(|| format!("`{word}` is no {name}"))
}

pub(super) async fn finding(State(site): Shared, Path(id): Path<String>) -> Response {
    match site.store.get(&id).await {
        Ok(Some(finding)) => Json(finding).into_response(),
        Ok(None) => problem(StatusCode::NOT_FOUND, "no such finding"),
        Err(error @ StoreError::Ambiguous { .. }) => problem(StatusCode::BAD_REQUEST, error.to_string()),
        Err(error) => failed(&error),
    }
}

pub(super) fn failed(error: &StoreError) -> Response {
    crate::telemetry::event::StoreFailed { error }.emit();
    problem(StatusCode::SERVICE_UNAVAILABLE, "the findings store does not answer; see the log")
}
