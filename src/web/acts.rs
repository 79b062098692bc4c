//! What people do to findings through the port. The guard has seen the token before anything in here runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc::error::TrySendError;

use super::Site;
use super::api::{failed, problem};
use crate::model::Wall;
use crate::model::finding::Act;
use crate::store::{Deed, Refusal, StoreError};

/// Who does it, and what they say of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Said {
    by: String,
    note: Option<String>,
    /// RFC 3339; of `ignore` alone.
    until: Option<String>,
}

pub(super) async fn act(
    State(site): State<Arc<Site>>,
    Path((id, act)): Path<(String, String)>,
    said: Result<Json<Said>, JsonRejection>,
) -> Response {
    let said = match said {
        Ok(Json(said)) => said,
        Err(rejection) => return problem(StatusCode::UNPROCESSABLE_ENTITY, rejection.body_text()),
    };
    let act = match act.as_str() {
        "ack" => Act::Acknowledged,
        "ignore" => Act::Ignored,
        "reopen" => Act::Reopened,
        "note" => Act::Noted,
        "revalidate" => return revalidate(&site, &id).await,
        _ => return problem(StatusCode::NOT_FOUND, "expected ack, ignore, reopen, note or revalidate"),
    };
    let deed = match deed(act, said, (site.now)()) {
        Ok(deed) => deed,
        Err(wrong) => return problem(StatusCode::UNPROCESSABLE_ENTITY, wrong),
    };
    match site.desk.act(&id, &deed).await {
        Ok(Ok(finding)) => Json(finding).into_response(),
        Ok(Err(Refusal::Unknown)) => problem(StatusCode::NOT_FOUND, "no such finding"),
        Ok(Err(refusal @ Refusal::State { .. })) => problem(StatusCode::CONFLICT, refusal.to_string()),
        Ok(Err(refusal @ Refusal::Said(_))) => problem(StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()),
        Err(error @ StoreError::Ambiguous { .. }) => problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        Err(error) => failed(&error),
    }
}

fn deed(act: Act, said: Said, now: Wall) -> Result<Deed, String> {
    let until = said.until.map(|text| match chrono::DateTime::parse_from_rfc3339(&text) {
        Ok(at) => Ok(Wall(at.timestamp_millis())),
        Err(_) => Err(format!("until: `{text}` is no time: expected RFC 3339, such as 2026-11-22T10:00:00Z")),
    });
    Deed::of(act, &said.by, now, (said.note, until.transpose()?)).map_err(|refusal| refusal.to_string())
}

/// Has the pipeline look at it soon; the answer comes before that.
async fn revalidate(site: &Site, id: &str) -> Response {
    let finding = match site.store.get(id).await {
        Ok(Some(finding)) => finding,
        Ok(None) => return problem(StatusCode::NOT_FOUND, "no such finding"),
        Err(error @ StoreError::Ambiguous { .. }) => {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
        }
        Err(error) => return failed(&error),
    };
    if !finding.may_heal() {
        return problem(
            StatusCode::CONFLICT,
            format!("finding `{}` is {}: nothing is looked at", finding.id, finding.state),
        );
    }
    match site.revalidate.try_send(finding.id.clone()) {
        Ok(()) => (StatusCode::ACCEPTED, Json(finding)).into_response(),
        Err(TrySendError::Full(_)) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "many findings wait to be looked at: try again in a minute")
        }
        Err(TrySendError::Closed(_)) => problem(StatusCode::SERVICE_UNAVAILABLE, "nothing is looked at any more"),
    }
}
