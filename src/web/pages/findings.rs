//! The list of findings: filtered, searched by key, sorted, and read page by page.

use std::fmt::Write as _;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::Site;
use super::super::api::{Asked, Unlisted, listed};
use super::{Tab, failed, framed, sorry};
use crate::model::finding::{Kind, Severity, State as FindingState};
use crate::report::Document;
use crate::report::text::{about, printable, shortened};

/// Findings of a page unless asked otherwise: two screens of them.
const ROWS: u32 = 50;

/// Characters of a key in the list; its own page has all of it.
const KEY_SHOWN: usize = 120;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>Findings</h1>
<form class="filter" method="get" action="/findings" role="search">
<label>Kind <select name="kind">{% for option in kinds %}<option value="{{ option.value }}"{% if option.chosen %} selected{% endif %}>{{ option.label }}</option>{% endfor %}</select></label>
<label>State <select name="state">{% for option in states %}<option value="{{ option.value }}"{% if option.chosen %} selected{% endif %}>{{ option.label }}</option>{% endfor %}</select></label>
<label>At least <select name="severity">{% for option in severities %}<option value="{{ option.value }}"{% if option.chosen %} selected{% endif %}>{{ option.label }}</option>{% endfor %}</select></label>
<label>Pipeline <input name="pipeline" value="{{ pipeline }}" autocomplete="off"></label>
<label>Table <input name="table" value="{{ table }}" placeholder="public.orders" autocomplete="off"></label>
<label>Key <input name="key" value="{{ key }}" placeholder="42, or id=42" autocomplete="off"></label>
<label>Order <select name="sort">{% for option in sorts %}<option value="{{ option.value }}"{% if option.chosen %} selected{% endif %}>{{ option.label }}</option>{% endfor %}</select></label>
<button>Show</button> <a href="/findings">All</a>
</form>
<div id="list" data-live="finding">
{%- if rows.is_empty() %}
<p>No finding is like this.</p>
{%- else %}
<form data-acts>
<div class="scroll"><table class="list">
<thead><tr>{% if changeable %}<th scope="col"><input type="checkbox" data-all aria-label="Choose all on this page"></th>{% endif %}<th scope="col">kind</th><th scope="col">table</th><th scope="col">key</th><th scope="col">position</th><th scope="col">cause</th><th scope="col">state</th><th scope="col">first seen</th></tr></thead>
<tbody>
{%- for row in rows %}
<tr class="{{ row.severity }}">{% if changeable %}<td><input type="checkbox" name="id" value="{{ row.id }}" aria-label="Choose {{ row.kind }} {{ row.about }}"></td>{% endif %}<th scope="row" data-label="kind"><a href="/findings/{{ row.id }}">{{ row.kind }}</a> <small>{{ row.severity }}</small></th><td data-label="table">{{ row.table }}</td><td data-label="key">{{ row.about }}</td><td data-label="position">{{ row.position }}</td><td data-label="cause">{{ row.cause }}</td><td data-label="state">{{ row.state }}</td><td data-label="first seen"><time>{{ row.first_seen }}</time></td></tr>
{%- endfor %}
</tbody></table></div>
{%- if changeable %}
<fieldset><legend>With the chosen ones</legend>
<label>Your name <input name="by" required autocomplete="username"></label>
<label>Note <input name="note" autocomplete="off"></label>
<label>Token <input name="token" type="password" autocomplete="off"></label>
<button name="act" value="ack">Acknowledge</button>
<output aria-live="polite"></output>
<noscript>Acknowledging here needs scripts; <code>afterimage findings ack</code> does not.</noscript>
</fieldset>
{%- endif %}
</form>
<p class="pages">{{ rows.len() }} shown{% if let Some(next) = next %} · <a rel="next" href="{{ next }}">Next page</a>{% endif %}{% if paged %} · <a href="{{ first }}">First page</a>{% endif %}</p>
{%- endif %}
</div>"#
)]
struct List {
    kinds: Vec<Choice>,
    states: Vec<Choice>,
    severities: Vec<Choice>,
    sorts: Vec<Choice>,
    pipeline: String,
    table: String,
    key: String,
    rows: Vec<Row>,
    changeable: bool,
    paged: bool,
    first: String,
    next: Option<String>,
}

/// One of those that a field offers.
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

struct Row {
    id: String,
    severity: Severity,
    kind: Kind,
    table: String,
    about: String,
    position: String,
    cause: &'static str,
    state: FindingState,
    first_seen: String,
}

pub(super) async fn list(State(site): State<Arc<Site>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => without_blanks(asked),
        Err(rejection) => return sorry(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    match listed(&site, &asked).await {
        Ok((findings, next)) => {
            let page = page(&asked, &findings, next.as_deref(), site.web.token.is_some());
            framed(StatusCode::OK, "Findings", Tab::Findings, &page)
        }
        Err(Unlisted::Asked(message)) => sorry(StatusCode::BAD_REQUEST, &message),
        Err(Unlisted::Store(error)) => failed(&error),
    }
}

/// A form sends every field, also those that nobody filled in.
fn without_blanks(asked: Asked) -> Asked {
    let filled = |field: Option<String>| field.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Asked {
        pipeline: filled(asked.pipeline),
        table: filled(asked.table),
        kind: filled(asked.kind),
        state: filled(asked.state),
        severity: filled(asked.severity),
        key: filled(asked.key),
        sort: filled(asked.sort),
        after: filled(asked.after),
        limit: Some(asked.limit.unwrap_or(ROWS)),
    }
}

fn page(asked: &Asked, findings: &[Document], next: Option<&str>, changeable: bool) -> List {
    let limit = asked.limit.filter(|limit| *limit != ROWS).map(|limit| limit.to_string());
    let to = |after: Option<&str>| {
        link(&[
            ("pipeline", asked.pipeline.as_deref()),
            ("table", asked.table.as_deref()),
            ("kind", asked.kind.as_deref()),
            ("state", asked.state.as_deref()),
            ("severity", asked.severity.as_deref()),
            ("key", asked.key.as_deref()),
            ("sort", asked.sort.as_deref()),
            ("limit", limit.as_deref()),
            ("after", after),
        ])
    };
    List {
        kinds: choices("any", Kind::ALL.iter().map(|kind| kind.word()), asked.kind.as_deref()),
        states: choices("any", FindingState::ALL.iter().map(|state| state.word()), asked.state.as_deref()),
        severities: choices("any", Severity::ALL.iter().map(|severity| severity.word()), asked.severity.as_deref()),
        sorts: choices("newest first", ["oldest"].into_iter(), asked.sort.as_deref().filter(|sort| *sort != "newest")),
        pipeline: asked.pipeline.clone().unwrap_or_default(),
        table: asked.table.clone().unwrap_or_default(),
        key: asked.key.clone().unwrap_or_default(),
        rows: findings.iter().map(row).collect(),
        changeable,
        paged: asked.after.is_some(),
        first: to(None),
        next: next.map(|next| to(Some(next))),
    }
}

/// What a field offers, and what was asked for even where that is several words.
fn choices<'a>(none: &str, words: impl Iterator<Item = &'a str>, asked: Option<&str>) -> Vec<Choice> {
    let mut choices = vec![Choice { value: String::new(), label: none.to_owned(), chosen: asked.is_none() }];
    let choice = |word: &str| Choice { value: word.to_owned(), label: word.to_owned(), chosen: asked == Some(word) };
    choices.extend(words.map(choice));
    if let Some(asked) = asked.filter(|_| !choices.iter().any(|choice| choice.chosen)) {
        choices.push(Choice { value: asked.to_owned(), label: asked.replace(',', ", "), chosen: true });
    }
    choices
}

fn row(document: &Document) -> Row {
    Row {
        id: document.id.clone(),
        severity: document.severity,
        kind: document.kind,
        table: document.table.as_deref().map(|table| printable(table).into_owned()).unwrap_or_default(),
        about: shortened(&about(document), KEY_SHOWN),
        position: printable(&document.position()).into_owned(),
        cause: document.cause.word(),
        state: document.state,
        first_seen: document.first_seen.rfc3339(),
    }
}

/// The address of a list.
pub(super) fn link(asked: &[(&str, Option<&str>)]) -> String {
    let mut link = "/findings".to_owned();
    for (name, value) in asked {
        if let Some(value) = value {
            let mark = if link.contains('?') { '&' } else { '?' };
            let _ = write!(link, "{mark}{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
    }
    link
}
