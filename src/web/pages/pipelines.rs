//! The pages of pipelines: what is ours, how far it is, what is read of the target, and what to do about what fails.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::Site;
use super::super::view::{Check, CheckState, Health, PartitionStatus, PipelineStatus, ScheduleStatus, Status};
use super::moment::length;
use super::{Tab, framed, sorry, tables};
use crate::report::text::printable;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>{{ title }}</h1>
<div id="now" data-live="status">
<p class="quiet">As of <time>{{ at }}</time> · <a href="/api/v1/pipelines">as JSON</a></p>
{%- if all.is_empty() %}
<p>No pipeline has reported yet.</p>
{%- endif %}
{%- for one in all %}
<section class="card">
<h2><a href="{{ one.link }}">{{ one.status.name }}</a></h2>
{%- if one.checks.is_empty() %}
<p>Nothing has been checked yet.</p>
{%- else %}
<h3>Its parts</h3>
<ul class="checks">
{%- for check in one.checks %}
<li class="{% if check.ok %}good{% else %}bad{% endif %}"><span class="badge">{% if check.ok %}ok{% else %}failing{% endif %}</span> <b>{{ check.part }}</b>: {{ check.detail }}{% if let Some(advice) = check.advice %}<small>{{ advice }}</small>{% endif %}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- if !one.status.held.is_empty() %}
<h3>Judging or reading is held</h3>
<ul>
{%- for why in one.status.held %}
<li>{{ why }}</li>
{%- endfor %}
</ul>
{%- endif %}
<h3>Reads of the target</h3>
<dl>
{%- for (label, fact) in one.facts %}
<div><dt>{{ label }}</dt><dd>{{ fact }}</dd></div>
{%- endfor %}
</dl>
<h3>Partitions that are ours</h3>
{%- if one.partitions.is_empty() %}
<p>None. Another member of the group has them, or the tap cannot be reached: its part above says which.</p>
{%- else %}
<div class="scroll"><table class="numbers">
<thead><tr><th scope="col">partition</th><th scope="col">tap end</th><th scope="col">read</th><th scope="col">to read</th><th scope="col">committed by the applier</th><th scope="col">applied</th><th scope="col">settled</th><th scope="col">verified</th><th scope="col">without verdict</th><th scope="col">overdue, unproven</th><th scope="col"></th></tr></thead>
<tbody>
{%- for line in one.partitions %}
<tr><th scope="row">{{ line.head }}</th>{% for cell in line.cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
{%- if !one.schedules.is_empty() %}
<h3>Runs by the clock</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">run</th><th scope="col">what</th><th scope="col">next</th><th scope="col">last</th></tr></thead>
<tbody>
{%- for line in one.schedules %}
<tr><th scope="row">{{ line.head }}</th>{% for cell in line.cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
<p><a href="{{ one.tables }}">Its tables</a> · <a href="{{ one.findings }}">Its findings</a></p>
</section>
{%- endfor %}
</div>"#
)]
struct Pipelines<'a> {
    title: &'a str,
    at: &'a str,
    all: Vec<Shown<'a>>,
}

struct Shown<'a> {
    status: &'a PipelineStatus,
    link: String,
    tables: String,
    findings: String,
    checks: Vec<Part<'a>>,
    facts: Vec<(&'static str, String)>,
    partitions: Vec<Line>,
    schedules: Vec<Line>,
}

/// A check of one part.
struct Part<'a> {
    part: &'a str,
    ok: bool,
    detail: String,
    advice: Option<&'static str>,
}

/// A line of a table.
struct Line {
    head: String,
    cells: Vec<String>,
}

/// The address of one pipeline's page.
pub(super) fn link(name: &str) -> String {
    format!("/pipelines/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

pub(super) async fn all(State(site): State<Arc<Site>>) -> Response {
    page(&site, None)
}

pub(super) async fn one(State(site): State<Arc<Site>>, Path(name): Path<String>) -> Response {
    page(&site, Some(&name))
}

fn page(site: &Site, name: Option<&str>) -> Response {
    let (status, health): (Arc<Status>, Health) = (Arc::clone(&site.status.borrow()), site.health.borrow().clone());
    let wanted = |one: &&PipelineStatus| name.is_none_or(|name| name == one.name);
    let all: Vec<Shown<'_>> = status.pipelines.iter().filter(wanted).map(|one| shown(one, &health)).collect();
    match name {
        Some(_) if all.is_empty() => sorry(StatusCode::NOT_FOUND, "There is no such pipeline in this process."),
        Some(name) => framed(StatusCode::OK, name, Tab::Pipelines, &Pipelines { title: name, at: &status.at, all }),
        None => {
            framed(StatusCode::OK, "Pipelines", Tab::Pipelines, &Pipelines { title: "Pipelines", at: &status.at, all })
        }
    }
}

fn shown<'a>(one: &'a PipelineStatus, health: &'a Health) -> Shown<'a> {
    Shown {
        status: one,
        link: link(&one.name),
        tables: tables::link(&one.name),
        findings: super::findings::link(&[("pipeline", Some(&one.name))]),
        checks: health.live.iter().chain(&health.ready).filter_map(|check| part(&one.name, check)).collect(),
        facts: facts(one),
        partitions: one.partitions.iter().map(positions).collect(),
        schedules: one.schedules.iter().map(run).collect(),
    }
}

fn positions(mark: &PartitionStatus) -> Line {
    let known = |number: Option<u64>| number.map_or_else(|| "not known".to_owned(), |number| number.to_string());
    let held = if mark.frozen { "verdicts are held: the log stepped back" } else { "" };
    Line {
        head: format!("{}/{}", mark.topic, mark.partition),
        cells: vec![
            known(mark.end),
            mark.consumed.to_string(),
            known(mark.end.map(|end| end.saturating_sub(mark.consumed))),
            known(mark.committed),
            mark.applied.to_string(),
            mark.settled.to_string(),
            mark.verified.to_string(),
            mark.pending.to_string(),
            mark.overdue_unproven.to_string(),
            held.to_owned(),
        ],
    }
}

fn run(run: &ScheduleStatus) -> Line {
    let next = match (&run.running_since, &run.next) {
        (Some(since), _) => format!("runs since {since}"),
        (None, next) => next.clone().unwrap_or_else(|| "never".to_owned()),
    };
    let last = [&run.last_outcome, &run.last_ended, &run.last_detail];
    let last: Vec<&str> = last.into_iter().filter_map(|part| part.as_deref()).collect();
    let last = if last.is_empty() { "none yet".to_owned() } else { last.join(", ") };
    Line { head: run.name.clone(), cells: vec![run.run.to_owned(), next, last] }
}

/// A check, where it is of this pipeline.
fn part<'a>(pipeline: &str, check: &'a Check) -> Option<Part<'a>> {
    let part = check.name.strip_prefix(pipeline)?.strip_prefix(": ")?;
    let ok = check.state == CheckState::Ok;
    let detail = printable(&check.detail).into_owned();
    Some(Part { part, ok, detail, advice: (!ok).then(|| advice(part)).flatten() })
}

/// What to do about a part that fails.
fn advice(part: &str) -> Option<&'static str> {
    match part {
        "tap" => Some(
            "Changes are not read, and nothing new is judged. See the log for the broker's words; `afterimage doctor` tries the              connection, the group and the topics one by one.",
        ),
        "target" => Some(
            "Verdicts wait, and none is lost: they go on when the target answers. Try its URL with the user of              `pipelines.*.target.url`; `afterimage doctor` does.",
        ),
        "registry" => {
            Some("Records whose schema is not known wait. Try the registry's URL and user from this machine.")
        }
        "store" => {
            Some("Nothing is committed until findings can be kept again. See the log; a full disk is the usual reason.")
        }
        "engine" => {
            Some("Restart the process: it goes on where the last verdict was kept. Then report the log's panic to us.")
        }
        _ => None,
    }
}

fn facts(one: &PipelineStatus) -> Vec<(&'static str, String)> {
    let reads = &one.reads;
    let budget = match reads.per_second {
        0 => "no limit".to_owned(),
        most => format!("{most} keys a second"),
    };
    vec![
        ("budget", format!("{budget}, over {} connections", reads.max_connections)),
        ("keys read", format!("{}, of these {} again by the patrol", reads.keys, reads.patrolled)),
        ("reads that failed", reads.failed.to_string()),
        ("under way", format!("{}, and {} keys wait", reads.in_flight, reads.waiting)),
        ("keys without a verdict", format!("{}, with {} versions; {} differ", one.keys, one.pending, one.suspects)),
        (
            "looked at again",
            format!("{} verified keys, the oldest look {} ago", one.patrolled_keys, length(one.oldest_look_s)),
        ),
        ("memory", format!("{:.1} MB of versions and keys", one.memory_bytes as f64 / 1e6)),
        ("records without a change", one.rejects.to_string()),
    ]
}
