//! One finding: what was expected and observed side by side, why it is believed, how it came about, what to do now.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::super::Site;
use super::{Tab, failed, framed, sorry};
use crate::model::finding::{Cause, State as FindingState};
use crate::report::document::Fields;
use crate::report::text::{facts, headline, printable, shortened, sides, value};
use crate::report::{Document, advice, rule};
use crate::store::StoreError;

/// Characters of a value that are shown; the API has all of them.
const VALUE_SHOWN: usize = 2_000;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<p class="quiet"><a href="/findings">Findings</a></p>
<h1>{{ title }}</h1>
<p><span class="badge {{ document.severity }}">{{ document.severity }}</span> <span class="badge">{{ document.state }}</span> <a class="quiet" href="/api/v1/findings/{{ document.id }}">as JSON</a></p>
<section class="card">
<h2>What to do now</h2>
<p>{{ advice }}</p>
</section>
{%- if let Some(note) = withheld %}
<p class="quiet">{{ note }}</p>
{%- endif %}
{%- if !columns.is_empty() %}
<section>
<h2>Expected and observed</h2>
<div class="scroll"><table class="sides">
<thead><tr><th scope="col">column</th><th scope="col">expected<small>{{ expected }}</small></th><th scope="col">observed<small>{{ observed }}</small></th></tr></thead>
<tbody>
{%- for column in columns %}
<tr{% if column.differs %} class="differs"{% endif %}><th scope="row">{{ column.name }}{% if column.differs %}<small>differs</small>{% endif %}</th><td>{{ column.expected }}</td><td>{{ column.observed }}</td></tr>
{%- endfor %}
</tbody></table></div>
</section>
{%- endif %}
<section>
<h2>How it came about</h2>
<ol class="story">
{%- for (when, what) in story %}
<li><b>{{ when }}</b> {{ what }}</li>
{%- endfor %}
</ol>
</section>
<section>
<h2>Why it is believed</h2>
{%- if let Some(rule) = rule %}
<p>The rule {{ document.cause }} fits: {{ rule }}.</p>
{%- endif %}
<dl>
{%- for (label, fact) in facts %}
<div><dt>{{ label }}</dt><dd>{{ fact }}</dd></div>
{%- endfor %}
</dl>
</section>
<section>
<h2>Decide</h2>
{%- if acts.is_empty() %}
<p>Changes need a token: set <code>web.token</code>, and restart. <code>afterimage findings ack {{ document.id }}</code> works without.</p>
{%- else %}
<form data-acts="{{ document.id }}">
<label>Your name <input name="by" required autocomplete="username"></label>
<label>Note <input name="note" autocomplete="off"></label>
<label>Token <input name="token" type="password" autocomplete="off"></label>
<p>{% for (act, label) in acts %}<button name="act" value="{{ act }}">{{ label }}</button> {% endfor %}</p>
<output aria-live="polite"></output>
<noscript>Deciding here needs scripts; <code>afterimage findings ack {{ document.id }}</code> does not.</noscript>
</form>
{%- endif %}
</section>"#
)]
struct Shown<'a> {
    document: &'a Document,
    title: String,
    advice: String,
    withheld: Option<&'static str>,
    columns: Vec<Pair>,
    expected: String,
    observed: String,
    story: Vec<(String, String)>,
    rule: Option<&'static str>,
    facts: Vec<(&'static str, String)>,
    acts: &'static [(&'static str, &'static str)],
}

/// A column on both sides.
struct Pair {
    name: String,
    expected: String,
    observed: String,
    differs: bool,
}

pub(super) async fn show(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Response {
    match site.store.get(&id).await {
        Ok(Some(document)) => {
            let mut page = shown(&document);
            if site.web.token.is_none() {
                page.acts = &[];
            }
            framed(StatusCode::OK, document.kind.word(), Tab::Findings, &page)
        }
        Ok(None) => sorry(StatusCode::NOT_FOUND, "There is no such finding. It may be in another store."),
        Err(error @ StoreError::Ambiguous { .. }) => sorry(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => failed(&error),
    }
}

fn shown(document: &Document) -> Shown<'_> {
    let (sided, facts): (Vec<_>, Vec<_>) =
        facts(document).into_iter().partition(|(label, _)| matches!(*label, "expected" | "observed"));
    let side = |label: &str| sided.iter().find(|(of, _)| *of == label).map(|(_, fact)| fact.clone());
    Shown {
        document,
        title: headline(document),
        advice: advice::advice(document.kind, document.cause),
        withheld: withheld(document),
        columns: pairs(document),
        expected: side("expected").unwrap_or_default(),
        observed: side("observed").unwrap_or_default(),
        story: story(document),
        rule: (document.cause != Cause::Unknown).then(|| rule::of(document.cause)),
        facts,
        acts: acts(document.state),
    }
}

fn withheld(document: &Document) -> Option<&'static str> {
    let expected = document.expected.as_ref().and_then(|expected| expected.row.as_ref());
    let observed = document.observed.as_ref().and_then(|observed| observed.row.as_ref());
    let empty = expected.into_iter().chain(observed).any(Fields::is_empty);
    empty.then_some("A row was there; the configuration (values = \"none\") withholds what it held.")
}

/// The columns that differ, then those that do not.
fn pairs(document: &Document) -> Vec<Pair> {
    let expected = document.expected.as_ref().and_then(|expected| expected.row.as_ref());
    let observed = document.observed.as_ref().and_then(|observed| observed.row.as_ref());
    let mut pairs: Vec<Pair> = document.columns.iter().map(differing).collect();
    let names = expected.into_iter().chain(observed).flat_map(Fields::keys);
    for name in names {
        let printed = printable(name);
        if pairs.iter().any(|pair| pair.name == printed) {
            continue;
        }
        let cell = |row: Option<&Fields>| row.and_then(|row| row.get(name)).map(told).unwrap_or_else(|| "—".to_owned());
        pairs.push(Pair {
            name: printed.into_owned(),
            expected: cell(expected),
            observed: cell(observed),
            // Where one side has no row at all, each column differs, and to mark them would tell nothing.
            differs: false,
        });
    }
    pairs
}

fn differing(column: &crate::report::document::Column) -> Pair {
    let (name, expected, observed) = sides(column);
    let short = |text: String| shortened(&text, VALUE_SHOWN);
    Pair { name, expected: short(expected), observed: short(observed), differs: true }
}

fn told(cell: &Value) -> String {
    shortened(&value(cell), VALUE_SHOWN)
}

/// Versions of the tap in their order, then what was seen and done.
fn story(document: &Document) -> Vec<(String, String)> {
    let mut story = Vec::new();
    let expected = document.expected.as_ref();
    if let Some(seen) = document.observed.as_ref().and_then(|observed| observed.matches.as_ref()) {
        story.push((seen.to_string(), "the version that the target still holds".to_owned()));
    }
    if let Some(expected) = expected {
        let op = expected.op.map_or("record", |op| op.word());
        let committed = expected.at.committed_at.as_ref().map(|at| format!(", committed {at}")).unwrap_or_default();
        story.push((expected.at.to_string(), format!("{op}{committed}: the version that is not there")));
    }
    if let Some(latest) = expected.and_then(|expected| expected.latest.as_ref()) {
        story.push((latest.to_string(), "the newest version known to be lost since".to_owned()));
    }
    story.push((document.first_seen.rfc3339(), "seen wrong for the first time".to_owned()));
    if let Some(observed) = &document.observed {
        let what = if observed.row.is_some() { "a row" } else { "no row" };
        story.push((observed.at.rfc3339(), format!("the deciding read found {what}")));
    }
    story.extend(document.history.iter().map(|event| (String::new(), event.line())));
    if let Some(at) = document.healed_at {
        story.push((at.rfc3339(), "seen right again".to_owned()));
    }
    story.into_iter().map(|(when, what)| (printable(&when).into_owned(), printable(&what).into_owned())).collect()
}

/// What may be decided of a finding in a state.
fn acts(state: FindingState) -> &'static [(&'static str, &'static str)] {
    match state {
        FindingState::Open => {
            &[("ack", "Acknowledge"), ("ignore", "Set aside"), ("revalidate", "Look again"), ("note", "Only note")]
        }
        FindingState::Acknowledged => {
            &[("ignore", "Set aside"), ("reopen", "Reopen"), ("revalidate", "Look again"), ("note", "Only note")]
        }
        FindingState::Ignored => &[("reopen", "Reopen"), ("note", "Only note")],
        FindingState::Suspected | FindingState::Healed | FindingState::Retracted => &[("note", "Only note")],
    }
}
