//! Findings as one HTML file: no script, no font, no picture, nothing fetched from anywhere.

use std::io::{self, Write};

use askama::Template;

use super::text::{about, facts, printable, sides};
use super::{Document, Summary, advice};

pub(super) fn print(findings: &[Document], summary: Option<&Summary>, out: &mut dyn Write) -> io::Result<()> {
    let page = Page { findings: findings.iter().map(Entry::of).collect(), summary };
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
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
details { border: 1px solid #8886; border-left-width: 5px; border-radius: 4px; margin: .5rem 0; padding: .4rem .8rem; }
details.critical { border-left-color: #c62828; }
details.warning { border-left-color: #e69500; }
details.info { border-left-color: #1976d2; }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary b { margin-right: .4rem; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { text-align: left; vertical-align: top; padding: .15rem .9rem .15rem 0; overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; }
.advice { border-top: 1px solid #8886; padding-top: .4rem; }
.incomplete { color: #c62828; font-weight: 600; }
</style>
</head>
<body>
<h1>{% if findings.is_empty() %}No findings{% else %}Findings: {{ findings.len() }}{% endif %}</h1>
{%- if let Some(summary) = summary %}
<p{% if !summary.complete %} class="incomplete"{% endif %}>{{ summary.sentence() }}.</p>
{%- if !summary.unverified.is_empty() %}
<ul>
{%- for gap in summary.unverified %}
<li>not judged: {{ gap.sentence() }}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- endif %}
{%- for finding in findings %}
<details class="{{ finding.document.severity }}">
<summary><b>{{ finding.document.kind }}</b> {{ finding.title }} ({{ finding.document.severity }}, {{ finding.document.state }})</summary>
<table>
{%- for (label, fact) in finding.facts %}
<tr><th>{{ label }}</th><td>{{ fact }}</td></tr>
{%- endfor %}
</table>
{%- if !finding.columns.is_empty() %}
<table>
<tr><th>column</th><th>expected</th><th>observed</th></tr>
{%- for (name, expected, observed) in finding.columns %}
<tr><td>{{ name }}</td><td>{{ expected }}</td><td>{{ observed }}</td></tr>
{%- endfor %}
</table>
{%- endif %}
<p class="advice"><b>What to do now.</b> {{ finding.advice }}</p>
</details>
{%- endfor %}
</body>
</html>"#
)]
struct Page<'a> {
    findings: Vec<Entry<'a>>,
    summary: Option<&'a Summary>,
}

/// A finding as the page shows it.
struct Entry<'a> {
    document: &'a Document,
    title: String,
    facts: Vec<(&'static str, String)>,
    columns: Vec<(String, String, String)>,
    advice: String,
}

impl Entry<'_> {
    fn of(document: &Document) -> Entry<'_> {
        Entry {
            document,
            title: title(document),
            facts: facts(document),
            columns: document.columns.iter().map(sides).collect(),
            advice: advice::advice(document.kind, document.cause),
        }
    }
}

fn title(document: &Document) -> String {
    let parts = [document.table.clone().unwrap_or_default(), about(document), document.position()];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    printable(&parts.join(" · ")).into_owned()
}
