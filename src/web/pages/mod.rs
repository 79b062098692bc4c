//! The pages for people: what the API tells, as HTML that a browser shows without a script and without asking anybody else.
//!
//! Every `{{ … }}` of a template is escaped by the engine; the one exception is the body of [`Frame`], which is made of
//! escaped text. Scripts only send what people decide, through the API, whose rules hold as they are.

mod finding;
mod findings;
mod moment;
mod overview;
mod pipelines;
mod tables;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::Site;
use super::api::problem;
use crate::store::StoreError;

/// Nothing from anywhere else, nothing inline, and no frame around us.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/pipelines", get(pipelines::all))
        .route("/pipelines/{name}", get(pipelines::one))
        .route("/tables", get(tables::show))
        .route("/findings", get(findings::list))
        .route("/findings/{id}", get(finding::show))
        .route("/assets/style.css", get(style))
        .route("/assets/page.js", get(script))
        .route("/assets/icon.svg", get(icon))
        .layer(map_response(guarded))
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("style.css")).into_response()
}

async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], include_str!("icon.svg")).into_response()
}

async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page.js")).into_response()
}

/// Pages hold values of rows: they are not kept by anything on the way, nor told to other sites.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Which entry of the menu a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    Overview,
    Findings,
    Tables,
    Pipelines,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }} · afterimage</title>
<link rel="stylesheet" href="/assets/style.css">
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<script src="/assets/page.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><b>afterimage</b>
<nav aria-label="Pages">
<a href="/"{% if overview %} aria-current="page"{% endif %}>Overview</a>
<a href="/findings"{% if findings %} aria-current="page"{% endif %}>Findings</a>
<a href="/tables"{% if tables %} aria-current="page"{% endif %}>Tables</a>
<a href="/pipelines"{% if pipelines %} aria-current="page"{% endif %}>Pipelines</a>
</nav></header>
<p class="bad" role="alert" id="lost" hidden>This page no longer changes by itself: the connection is lost. It is tried again.</p>
<main id="main" tabindex="-1">
{{ body|safe }}
</main>
</body>
</html>
"##
)]
struct Frame<'a> {
    title: &'a str,
    overview: bool,
    findings: bool,
    tables: bool,
    pipelines: bool,
    /// Made by a template.
    body: &'a str,
}

fn framed(code: StatusCode, title: &str, tab: Tab, body: &impl Template) -> Response {
    let frame = |body: String| {
        Frame {
            title,
            overview: tab == Tab::Overview,
            findings: tab == Tab::Findings,
            tables: tab == Tab::Tables,
            pipelines: tab == Tab::Pipelines,
            body: &body,
        }
        .render()
    };
    match body.render().and_then(frame) {
        Ok(page) => (code, Html(page)).into_response(),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be written; the API tells the same"),
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>{{ title }}</h1>
<p>{{ message }}</p>
<p><a href="/findings">All findings</a></p>"#
)]
struct Sorry<'a> {
    title: &'a str,
    message: &'a str,
}

/// A page that says what is wrong.
fn sorry(code: StatusCode, message: &str) -> Response {
    let title = code.canonical_reason().unwrap_or("Something is wrong");
    framed(code, title, Tab::Findings, &Sorry { title, message })
}

fn failed(error: &StoreError) -> Response {
    crate::telemetry::event::StoreFailed { error }.emit();
    sorry(
        StatusCode::SERVICE_UNAVAILABLE,
        "The findings store does not answer. The log says why; /readyz says since when.",
    )
}

#[cfg(test)]
pub(super) mod tests;
