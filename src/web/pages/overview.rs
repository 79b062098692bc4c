//! The front page: whether the target can be trusted, in one sentence a pipeline, and what stands behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::Site;
use super::super::view::{PartitionStatus, PipelineStatus, Status};
use super::moment::{clock, length, parsed, since};
use super::{Tab, failed, findings, framed, pipelines, tables};
use crate::model::Wall;
use crate::model::finding::{Kind, State as FindingState};
use crate::report::text::printable;
use crate::report::unverified::UnverifiedRange;
use crate::store::Count;

/// Of a long list so many entries are shown: enough to see what they have in common.
const SOME: usize = 20;

/// A picture this much older than the page, in milliseconds, is worth a word: it is renewed every second or so.
const STALE_MS: i64 = 10_000;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<h1>Overview</h1>
<div id="now" data-live="status finding">
<p class="quiet">As of <time>{{ at }}</time> UTC · version {{ version }} · <a href="/api/v1/status">as JSON</a></p>
{%- if let Some(stale) = stale %}
<p class="bad" role="alert">{{ stale }}</p>
{%- endif %}
{%- for channel in channels %}
<p class="bad" role="alert">{{ channel }}</p>
{%- endfor %}
{%- if cards.is_empty() %}
<p>No pipeline has reported yet.</p>
{%- endif %}
{%- for card in cards %}
<section class="card {{ card.mood.class() }}">
<h2>{{ card.name }} <span class="badge">{{ card.mood.word() }}</span></h2>
<p class="sentence">{{ card.sentence }}.</p>
{%- if !card.kinds.is_empty() %}
<h3>Findings that stand</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">kind</th><th scope="col">open</th><th scope="col">acknowledged</th><th scope="col">suspected</th></tr></thead>
<tbody>
{%- for row in card.kinds %}
<tr><th scope="row"><a href="{{ row.link }}">{{ row.kind }}</a></th><td>{{ row.open }}</td><td>{{ row.acknowledged }}</td><td>{{ row.suspected }}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
{%- if !card.doubts.is_empty() %}
<h3>What cannot be verified, and why</h3>
<ul>
{%- for doubt in card.doubts %}
<li>{{ doubt }}</li>
{%- endfor %}
</ul>
{%- endif %}
<h3>How far</h3>
<dl>
{%- for (label, fact) in card.facts %}
<div><dt>{{ label }}</dt><dd>{{ fact }}</dd></div>
{%- endfor %}
</dl>
{%- if !card.marks.is_empty() %}
<details{% if card.marks.len() < 9 %} open{% endif %}><summary>Positions of {{ card.marks.len() }} partition{{ card.marks.len()|pluralize }}</summary>
<div class="scroll"><table class="numbers">
<thead><tr><th scope="col">partition</th><th scope="col">tap end</th><th scope="col">read</th><th scope="col">applied</th><th scope="col">verified</th><th scope="col">without verdict</th><th scope="col"></th></tr></thead>
<tbody>
{%- for mark in card.marks %}
<tr><th scope="row">{{ mark.topic }}/{{ mark.partition }}</th><td>{% if let Some(end) = mark.end %}{{ end }}{% else %}not known{% endif %}</td><td>{{ mark.consumed }}</td><td>{{ mark.applied }}</td><td>{{ mark.verified }}</td><td>{{ mark.pending }}</td><td>{% if mark.frozen %}verdicts are held{% endif %}</td></tr>
{%- endfor %}
</tbody></table></div></details>
{%- endif %}
<p><a href="{{ card.link }}">The pipeline</a> · <a href="{{ card.tables }}">Its tables</a></p>
</section>
{%- endfor %}
</div>"#
)]
struct Overview<'a> {
    at: String,
    version: &'a str,
    stale: Option<String>,
    channels: Vec<String>,
    cards: Vec<Card<'a>>,
}

struct Card<'a> {
    name: &'a str,
    mood: Mood,
    sentence: String,
    kinds: Vec<KindRow>,
    doubts: Vec<String>,
    facts: Vec<(&'static str, String)>,
    marks: &'a [PartitionStatus],
    link: String,
    tables: String,
}

struct KindRow {
    kind: Kind,
    open: u64,
    acknowledged: u64,
    suspected: u64,
    link: String,
}

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Sound,
    Unproven,
    Wrong,
}

impl Mood {
    fn word(self) -> &'static str {
        match self {
            Mood::Sound => "as it should be",
            Mood::Unproven => "not all is proven",
            Mood::Wrong => "something is wrong",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Mood::Sound => "good",
            Mood::Unproven => "unsure",
            Mood::Wrong => "bad",
        }
    }
}

/// What stands against a pipeline.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    rows: u64,
    rows_since: Option<Wall>,
    others: u64,
}

pub(super) async fn show(State(site): State<Arc<Site>>) -> Response {
    let status = Arc::clone(&site.status.borrow());
    let counts = match site.store.counts(None).await {
        Ok(counts) => counts,
        Err(error) => return failed(&error),
    };
    let ranges = match site.store.unverified(None).await {
        Ok(ranges) => ranges,
        Err(error) => return failed(&error),
    };
    let page = overview(&status, (site.now)(), &counts, &ranges);
    framed(StatusCode::OK, "Overview", Tab::Overview, &page)
}

fn overview<'a>(status: &'a Status, now: Wall, counts: &[Count], ranges: &[UnverifiedRange]) -> Overview<'a> {
    let at = parsed(&status.at).unwrap_or(now);
    let late = now.0.saturating_sub(at.0);
    let stale = (late > STALE_MS).then(|| {
        let late = length(late as f64 / 1_000.0);
        format!("This picture is {late} old: the pipelines do not report. See /livez, and the log.")
    });
    let failing = status.alerts.iter().filter(|channel| channel.failing_since.is_some());
    let channels = failing.map(|channel| {
        let why = channel.last_error.as_deref().unwrap_or("it does not answer");
        format!("Alerts do not get through on {}: {why}. {} wait.", channel.name, channel.queued_messages)
    });
    Overview {
        at: clock(at, now),
        version: status.version,
        stale,
        channels: channels.collect(),
        cards: status.pipelines.iter().map(|one| card(one, at, counts, ranges)).collect(),
    }
}

fn card<'a>(one: &'a PipelineStatus, at: Wall, counts: &[Count], ranges: &[UnverifiedRange]) -> Card<'a> {
    let counts: Vec<&Count> = counts.iter().filter(|count| count.pipeline == one.name).collect();
    let ranges: Vec<&UnverifiedRange> = ranges.iter().filter(|range| range.pipeline == one.name).collect();
    let standing = standing(&counts);
    Card {
        name: &one.name,
        mood: mood(one, &standing, &ranges),
        sentence: sentence(one, &standing, at),
        kinds: kinds(&one.name, &counts),
        doubts: doubts(one, &ranges),
        facts: facts(one),
        marks: &one.partitions,
        link: pipelines::link(&one.name),
        tables: tables::link(&one.name),
    }
}

fn standing(counts: &[&Count]) -> Standing {
    let mut standing = Standing::default();
    for count in counts.iter().filter(|count| matches!(count.state, FindingState::Open | FindingState::Acknowledged)) {
        if is_of_a_row(count.kind) {
            standing.rows += count.count;
            let oldest = standing.rows_since.map_or(count.since, |since| Wall(since.0.min(count.since.0)));
            standing.rows_since = Some(oldest);
        } else {
            standing.others += count.count;
        }
    }
    standing
}

fn is_of_a_row(kind: Kind) -> bool {
    match kind {
        Kind::UnappliedDelete
        | Kind::MissingRow
        | Kind::LostUpdate
        | Kind::TornRow
        | Kind::DivergedRow
        | Kind::ResurrectedRow
        | Kind::RegressedRow
        | Kind::VanishedRow
        | Kind::DuplicateRow => true,
        Kind::Stalled
        | Kind::Undecodable
        | Kind::CoverageGap
        | Kind::MassDivergence
        | Kind::EvidenceUnsound
        | Kind::JudgingSuspended => false,
    }
}

fn mood(one: &PipelineStatus, standing: &Standing, ranges: &[&UnverifiedRange]) -> Mood {
    let judged = !one.partitions.is_empty() && one.verified_age_s.is_some() && one.overdue_unproven == 0;
    if standing.rows + standing.others > 0 {
        Mood::Wrong
    } else if judged && one.held.is_empty() && ranges.is_empty() && one.suspects == 0 {
        Mood::Sound
    } else {
        Mood::Unproven
    }
}

/// What somebody on call needs first.
fn sentence(one: &PipelineStatus, standing: &Standing, at: Wall) -> String {
    let mut parts = vec![verified(one, at)];
    parts.push(match standing.rows_since {
        Some(oldest) => format!("{} lost or wrong since {}", counted(standing.rows, "row"), since(oldest, at)),
        None => "no row is known to be lost".to_owned(),
    });
    if standing.others > 0 {
        parts.push(format!("{} about more than a row", counted(standing.others, "finding")));
    }
    if one.overdue_unproven > 0 {
        parts.push(format!("{} overdue, unproven", counted(one.overdue_unproven, "change")));
    }
    if !one.held.is_empty() {
        parts.push("judging is held".to_owned());
    }
    parts.join("; ")
}

fn verified(one: &PipelineStatus, at: Wall) -> String {
    if one.partitions.is_empty() {
        return "nothing is verified here, for no partition is ours".to_owned();
    }
    match one.verified_age_s {
        Some(age) if age < 1.0 => format!("verified to {}, up to date", clock(at, at)),
        Some(age) => {
            let to = Wall(at.0.saturating_sub((age * 1_000.0) as i64));
            format!("verified to {}, {} behind", clock(to, at), length(age))
        }
        None => format!("{} not read yet, {} without a verdict", counted(unread(one), "record"), one.pending),
    }
}

fn unread(one: &PipelineStatus) -> u64 {
    one.partitions.iter().map(|mark| mark.end.unwrap_or_default().saturating_sub(mark.consumed)).sum()
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn kinds(pipeline: &str, counts: &[&Count]) -> Vec<KindRow> {
    let mut rows: BTreeMap<Kind, KindRow> = BTreeMap::new();
    for count in counts {
        let (open, acknowledged, suspected) = match count.state {
            FindingState::Open => (count.count, 0, 0),
            FindingState::Acknowledged => (0, count.count, 0),
            FindingState::Suspected => (0, 0, count.count),
            FindingState::Ignored | FindingState::Healed | FindingState::Retracted => continue,
        };
        let row = rows.entry(count.kind).or_insert_with(|| KindRow {
            kind: count.kind,
            open: 0,
            acknowledged: 0,
            suspected: 0,
            link: findings::link(&[
                ("pipeline", Some(pipeline)),
                ("kind", Some(count.kind.word())),
                ("state", Some("suspected,open,acknowledged")),
            ]),
        });
        row.open += open;
        row.acknowledged += acknowledged;
        row.suspected += suspected;
    }
    rows.into_values().collect()
}

fn doubts(one: &PipelineStatus, ranges: &[&UnverifiedRange]) -> Vec<String> {
    let mut doubts = one.held.clone();
    if let Some(would) = &one.would_settle {
        doubts.push(format!("{} overdue, unproven: {would}", counted(one.overdue_unproven, "change")));
    }
    let ranges = ranges.iter().map(|range| {
        let seen = range.first_seen.rfc3339();
        format!("{} (since {seen})", range.range.sentence())
    });
    doubts.extend(some(ranges.collect()));
    doubts.extend(some(one.differing.iter().map(|key| format!("differs at present, unproven: {key}")).collect()));
    doubts.extend(some(one.not_compared.iter().map(|column| format!("not compared: {column}")).collect()));
    doubts.into_iter().map(|doubt| printable(&doubt).into_owned()).collect()
}

fn some(mut list: Vec<String>) -> Vec<String> {
    let more = list.len().saturating_sub(SOME);
    if more > 0 {
        list.truncate(SOME);
        list.push(format!("and {more} more like these: see the API"));
    }
    list
}

fn facts(one: &PipelineStatus) -> Vec<(&'static str, String)> {
    let within = one.detects_within_s.map_or_else(|| "nothing bounds it yet".to_owned(), length);
    vec![
        ("lag the applier shows", length(one.lag_s)),
        ("a loss is reported within", within),
        ("evidence", one.applied.join(", ")),
        ("promise", one.guarantee.clone()),
        ("changes read", one.changes.to_string()),
        ("seen applied", format!("{}, and {} superseded", one.matched, one.superseded)),
        ("without a verdict", format!("{} of {}", counted(one.pending, "version"), counted(one.keys, "key"))),
        ("unverifiable", counted(one.unverifiable, "change")),
    ]
}
