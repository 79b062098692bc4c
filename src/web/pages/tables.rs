//! The page of tables: which are judged, what of them is not compared, how long verdicts take, which keys are hot.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::super::Site;
use super::super::view::{PipelineStatus, Status, TableStatus};
use super::moment::length;
use super::{Tab, findings, framed, sorry};

/// Tables that are shown of each pipeline: more than a person reads; the API has all of them.
const TABLES: usize = 500;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>Tables</h1>
<div id="now" data-live="status">
{%- if groups.is_empty() %}
<p>No pipeline has reported yet, or none has this name.</p>
{%- endif %}
{%- for group in groups %}
<section>
<h2>{{ group.name }}</h2>
<p>{{ group.sentence }}</p>
{%- if !group.rows.is_empty() %}
<div class="scroll"><table class="list">
<thead><tr><th scope="col">table on the tap</th><th scope="col">on the target</th><th scope="col">columns</th><th scope="col">open findings</th><th scope="col">without verdict</th><th scope="col">commit to verdict</th><th scope="col">hot keys</th></tr></thead>
<tbody>
{%- for row in group.rows %}
<tr><th scope="row" data-label="table">{{ row.table.table }}</th><td data-label="target">{{ row.target }}</td><td data-label="columns">{{ row.columns }}{% if !row.table.not_compared.is_empty() %}<details><summary>{{ row.table.not_compared.len() }} not compared</summary><ul>{% for column in row.table.not_compared %}<li>{{ column }}</li>{% endfor %}</ul></details>{% endif %}</td><td data-label="open findings">{% if row.table.open_findings > 0 %}<a href="{{ row.findings }}">{{ row.table.open_findings }}</a>{% else %}none{% endif %}</td><td data-label="without verdict">{{ row.waiting }}</td><td data-label="commit to verdict">{{ row.verdicts }}</td><td data-label="hot keys">{% for hot in row.table.hot_keys %}<small>{{ hot.key }}: {{ hot.versions }} versions</small>{% endfor %}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
</section>
{%- endfor %}
</div>"#
)]
struct Tables<'a> {
    groups: Vec<Group<'a>>,
}

struct Group<'a> {
    name: &'a str,
    sentence: String,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    table: &'a TableStatus,
    target: String,
    columns: String,
    findings: String,
    waiting: String,
    verdicts: String,
}

/// Which tables are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    pipeline: Option<String>,
}

/// The address of the tables of one pipeline.
pub(super) fn link(pipeline: &str) -> String {
    format!("/tables?pipeline={}", utf8_percent_encode(pipeline, NON_ALPHANUMERIC))
}

pub(super) async fn show(State(site): State<Arc<Site>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return sorry(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let status = Arc::clone(&site.status.borrow());
    framed(StatusCode::OK, "Tables", Tab::Tables, &tables(&status, asked.pipeline.as_deref()))
}

fn tables<'a>(status: &'a Status, pipeline: Option<&str>) -> Tables<'a> {
    let wanted = |one: &&PipelineStatus| pipeline.is_none_or(|name| name == one.name);
    Tables { groups: status.pipelines.iter().filter(wanted).map(group).collect() }
}

fn group(one: &PipelineStatus) -> Group<'_> {
    let judged = one.tables.iter().filter(|table| table.not_judged.is_none()).count();
    let whole = one.tables.iter().filter(|table| table.not_judged.is_none() && table.not_compared.is_empty()).count();
    let sentence = match one.tables.len() {
        0 => "No change of any table was read yet.".to_owned(),
        all if all > TABLES => {
            format!("{judged} of {all} tables are judged, {whole} of them in every column. {TABLES} are shown.")
        }
        all => format!("{judged} of {all} tables are judged, {whole} of them in every column."),
    };
    let mut sorted: Vec<&TableStatus> = one.tables.iter().collect();
    // What needs a look comes first.
    sorted.sort_by_key(|table| (table.not_judged.is_none(), table.open_findings == 0));
    Group {
        name: &one.name,
        sentence,
        rows: sorted.into_iter().take(TABLES).map(|table| row(&one.name, table)).collect(),
    }
}

fn row<'a>(pipeline: &str, table: &'a TableStatus) -> Row<'a> {
    let target = match (&table.target, &table.not_judged) {
        (_, Some(why)) => format!("not judged: {why}"),
        (Some(target), None) => match table.role {
            Some("counted") => format!("{target}, rows counted: no key tells them apart"),
            Some("heartbeat") => format!("{target}, read as a sign of progress, not judged"),
            Some(_) | None => target.clone(),
        },
        (None, None) => "not looked for yet".to_owned(),
    };
    let waiting = match (table.pending, table.suspects) {
        (0, _) => "nothing".to_owned(),
        (pending, 0) => format!("{pending} versions of {} keys", table.keys),
        (pending, differ) => format!("{pending} versions of {} keys; {differ} differ", table.keys),
    };
    let verdicts = match (table.verdict_p50_s, table.verdict_p99_s) {
        (Some(half), Some(most)) => format!("half within {}, 99 in 100 within {}", length(half), length(most)),
        (Some(_) | None, _) => "none yet".to_owned(),
    };
    Row {
        table,
        target,
        columns: if table.target.is_some() { format!("{} compared", table.compared) } else { String::new() },
        findings: findings::link(&[
            ("pipeline", Some(pipeline)),
            ("table", Some(&table.table)),
            ("state", Some("suspected,open,acknowledged")),
        ]),
        waiting,
        verdicts,
    }
}
