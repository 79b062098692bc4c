//! Findings as one HTML file: no script, no font, no picture, nothing fetched from anywhere.

use std::io::{self, Write};

use askama::Template;

use super::document::Fields;
use super::plot::{Bar, Timeline, bars, scaled, timeline};
use super::text::{about, facts, printable, sides, value};
use super::{Document, Summary, advice};

pub(super) fn print(findings: &[Document], summary: Option<&Summary>, out: &mut dyn Write) -> io::Result<()> {
    let page = Page {
        plots: plots(findings),
        time: timeline(findings),
        coverage: summary.map(coverage).unwrap_or_default(),
        findings: findings.iter().map(Entry::of).collect(),
        summary,
    };
    page.write_into(out)?;
    writeln!(out)
}

/// Every `{{ … }}` is escaped by the template engine.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>afterimage: {{ findings.len() }} findings</title>
<style>
:root { color-scheme: light dark; --line: light-dark(#d5d8dd, #3a3f47); --quiet: light-dark(#59616d, #a3abb7);
  --card: light-dark(#f6f7f9, #1d2126); --bar: light-dark(#2f6fde, #6ea0f5); --critical: light-dark(#b3261e, #ff8a80);
  --warning: light-dark(#8a5a00, #f0b849); --info: light-dark(#1f5fbf, #82b1ff); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  background: light-dark(#fff, #14171a); color: light-dark(#1b1f24, #e6e8eb); }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
h3 { font-size: .95rem; margin: 0 0 .4rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
.plot { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; min-width: 0; overflow-wrap: anywhere; }
.bar { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 .6rem; margin: .25rem 0; font-size: .9rem; }
.bar span { overflow-wrap: anywhere; } .bar b { font-variant-numeric: tabular-nums; }
.bar svg { grid-column: 1 / -1; width: 100%; height: 8px; }
svg rect { fill: var(--bar); } svg rect.ground { fill: var(--line); }
.time { grid-column: 1 / -1; } .time svg { width: 100%; height: 90px; border-bottom: 1px solid var(--line); }
.axis { display: flex; justify-content: space-between; gap: 1rem; color: var(--quiet); font-size: .8rem; }
details { border: 1px solid var(--line); border-left-width: 5px; border-radius: 4px; margin: .5rem 0; padding: .4rem .8rem; }
details.critical { border-left-color: var(--critical); }
details.warning { border-left-color: var(--warning); }
details.info { border-left-color: var(--info); }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary b { margin-right: .4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; overflow-wrap: anywhere; }
th { font-weight: 600; } table.facts th { white-space: nowrap; width: 1%; color: var(--quiet); font-weight: 500; }
table.rows td, table.rows th { border-bottom: 1px solid var(--line); width: 33%; min-width: 6rem; }
table.rows small { display: block; font-weight: 400; color: var(--quiet); }
tr.differs td { font-weight: 600; } tr.differs td:last-child { color: var(--critical); }
.advice { border-top: 1px solid var(--line); padding-top: .4rem; }
.incomplete { color: var(--critical); font-weight: 600; }
</style>
</head>
<body>
<h1>{% if findings.is_empty() %}No findings{% else %}Findings: {{ findings.len() }}{% endif %}</h1>
{%- if let Some(summary) = summary %}
<p{% if !summary.complete %} class="incomplete"{% endif %}>{{ summary.sentence() }}.</p>
<h2>Coverage</h2>
<div class="plots">
<div class="plot"><h3>{{ summary.changes }} changes</h3>
{%- for bar in coverage %}
<div class="bar"><span>{{ bar.label }}</span><b>{{ bar.count }}</b><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="ground" width="100" height="8"/><rect width="{{ bar.percent }}" height="8"/></svg></div>
{%- endfor %}
</div>
<div class="plot"><h3>Range</h3>
{%- for span in summary.range %}
<div>{{ span.topic }}/{{ span.partition }} from {{ span.from }} to {{ span.to }}</div>
{%- endfor %}
</div>
</div>
{%- if !summary.unverified.is_empty() %}
<ul>
{%- for gap in summary.unverified %}
<li>not judged: {{ gap.sentence() }}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- endif %}
{%- if !plots.is_empty() %}
<h2>What was found</h2>
<div class="plots">
{%- for (name, bars) in plots %}
<div class="plot"><h3>{{ name }}</h3>
{%- for bar in bars %}
<div class="bar"><span>{{ bar.label }}</span><b>{{ bar.count }}</b><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="ground" width="100" height="8"/><rect width="{{ bar.percent }}" height="8"/></svg></div>
{%- endfor %}
</div>
{%- endfor %}
{%- if let Some(time) = time %}
<div class="plot time"><h3>By the time of what was lost</h3>
<svg viewBox="0 0 240 100" preserveAspectRatio="none" role="img" aria-label="findings over time">
{%- for column in time.columns %}
<rect x="{{ loop.index0 * 10 + 1 }}" y="{{ 100 - column.percent }}" width="8" height="{{ column.percent }}"><title>{{ column.count }} from {{ column.label }}</title></rect>
{%- endfor %}
</svg>
<div class="axis"><span>{{ time.from }}</span><span>{{ time.to }}</span></div>
</div>
{%- endif %}
</div>
<h2>Each finding</h2>
{%- endif %}
{%- for finding in findings %}
<details class="{{ finding.document.severity }}">
<summary><b>{{ finding.document.kind }}</b> {{ finding.title }} ({{ finding.document.severity }}, {{ finding.document.state }})</summary>
{%- if !finding.columns.is_empty() %}
<div class="scroll"><table class="rows">
<tr><th>column</th><th>expected<small>{{ finding.expected }}</small></th><th>observed<small>{{ finding.observed }}</small></th></tr>
{%- for column in finding.columns %}
<tr class="{{ column.class }}"><td>{{ column.name }}</td><td>{{ column.expected }}</td><td>{{ column.observed }}</td></tr>
{%- endfor %}
</table></div>
{%- endif %}
<table class="facts">
{%- for (label, fact) in finding.facts %}
<tr><th>{{ label }}</th><td>{{ fact }}</td></tr>
{%- endfor %}
</table>
<p class="advice"><b>What to do now.</b> {{ finding.advice }}</p>
</details>
{%- endfor %}
</body>
</html>"#
)]
struct Page<'a> {
    findings: Vec<Entry<'a>>,
    plots: Vec<(&'static str, Vec<Bar>)>,
    time: Option<Timeline>,
    coverage: Vec<Bar>,
    summary: Option<&'a Summary>,
}

/// A finding as the page shows it.
struct Entry<'a> {
    document: &'a Document,
    title: String,
    facts: Vec<(&'static str, String)>,
    columns: Vec<Sides>,
    expected: String,
    observed: String,
    advice: String,
}

/// One column of a row.
struct Sides {
    name: String,
    expected: String,
    observed: String,
    /// A class of the style sheet.
    class: &'static str,
}

fn plots(findings: &[Document]) -> Vec<(&'static str, Vec<Bar>)> {
    if findings.is_empty() {
        return Vec::new();
    }
    let table = |finding: &Document| {
        finding.table.as_ref().map_or_else(|| "(no table)".to_owned(), |table| printable(table).into_owned())
    };
    vec![
        ("By kind", bars(findings, |finding| finding.kind.word().to_owned())),
        ("By cause", bars(findings, |finding| finding.cause.word().to_owned())),
        ("By table", bars(findings, table)),
    ]
}

/// What became of the changes.
fn coverage(summary: &Summary) -> Vec<Bar> {
    let Summary { changes, matched, superseded, lagging, unverifiable, .. } = summary;
    let told = matched.saturating_add(*superseded).saturating_add(*lagging).saturating_add(*unverifiable);
    let counts = [
        ("seen applied", *matched),
        ("superseded by a newer version", *superseded),
        ("of keys with findings", changes.saturating_sub(told)),
        ("differ, nothing proves them due yet", *lagging),
        ("not verifiable", *unverifiable),
    ];
    scaled(counts.map(|(label, count)| (label.to_owned(), count)).into())
}

impl Entry<'_> {
    fn of(document: &Document) -> Entry<'_> {
        let (expected, observed) = headings(document);
        Entry {
            document,
            title: title(document),
            facts: facts(document),
            columns: columns(document),
            expected,
            observed,
            advice: advice::advice(document.kind, document.cause),
        }
    }
}

/// What stands above the two sides: which version the tap demands, and which one the target holds.
fn headings(document: &Document) -> (String, String) {
    let expected = document.expected.as_ref().map_or_else(String::new, |expected| {
        let op = expected.op.map_or("record", |op| op.word());
        format!("{}{op} at {}", if expected.row.is_none() { "no row: " } else { "" }, expected.at)
    });
    let observed = document.observed.as_ref().map_or_else(String::new, |observed| match &observed.matches {
        Some(before) => format!("as {before} left it"),
        None if observed.row.is_some() => "as no known version".to_owned(),
        None => "no row".to_owned(),
    });
    (printable(&expected).into_owned(), printable(&observed).into_owned())
}

/// Both rows side by side: first what differs, then the rest as far as it is told.
fn columns(document: &Document) -> Vec<Sides> {
    let mut columns: Vec<Sides> = document.columns.iter().map(sides).map(differs).collect();
    let expected = document.expected.as_ref().and_then(|expected| expected.row.as_ref());
    let observed = document.observed.as_ref().and_then(|observed| observed.row.as_ref());
    let names = expected.iter().chain(&observed).flat_map(|row| row.keys());
    for name in names {
        let name = printable(name).into_owned();
        if columns.iter().any(|known| known.name == name) {
            continue;
        }
        let side = |row: Option<&Fields>| row.and_then(|row| row.get(&name)).map_or_else(|| "–".to_owned(), value);
        let (expected, observed) = (side(expected), side(observed));
        columns.push(Sides { name, expected, observed, class: "" });
    }
    columns
}

fn differs((name, expected, observed): (String, String, String)) -> Sides {
    Sides { name, expected, observed, class: "differs" }
}

fn title(document: &Document) -> String {
    let parts = [document.table.clone().unwrap_or_default(), about(document), document.position()];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    printable(&parts.join(" · ")).into_owned()
}
