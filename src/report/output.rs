//! Findings printed: seven formats, one way in.

use std::io::{self, IsTerminal, Write};

use super::{Document, Summary, csv, html, json, junit, markdown, table};

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// A table for people, fitted to the terminal; the summary in words below it.
    Table,
    /// One JSON value: an array of findings, or `{"findings": […], "summary": {…}}`.
    Json,
    /// One finding a line; the summary is the last line.
    Ndjson,
    /// One finding a row under one header; the summary is left out, which a table of findings has no place for.
    Csv,
    /// A table for issues and chat; the summary in words below it.
    Markdown,
    /// JUnit XML: a failure for each finding that is open or acknowledged, an error where an audit is not complete.
    Junit,
    /// One HTML file that needs no other.
    Html,
}

impl Format {
    /// Every format, in the order help shows them.
    pub const ALL: [Format; 7] =
        [Format::Table, Format::Json, Format::Ndjson, Format::Csv, Format::Markdown, Format::Junit, Format::Html];

    /// The word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Markdown => "markdown",
            Format::Junit => "junit",
            Format::Html => "html",
        }
    }

    /// The format of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.word() == word)
    }
}

/// What the place that tables are printed to can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns; `None` is no limit.
    pub width: Option<u16>,
    /// Colours.
    pub ink: Ink,
}

/// Whether colours may be used. Nothing is said by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Plain text.
    Plain,
    /// ANSI colours.
    Ansi,
}

impl Look {
    /// A file or a pipe: no colours, no limit.
    pub const FILE: Look = Look { width: None, ink: Ink::Plain };

    /// Standard output as it is: on a terminal its width, and colours unless `NO_COLOR` is set.
    #[must_use]
    pub fn of_stdout() -> Look {
        if !io::stdout().is_terminal() {
            return Look::FILE;
        }
        let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let cannot = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let ink = if asked_not_to || cannot { Ink::Plain } else { Ink::Ansi };
        Look { width: table::terminal_width(), ink }
    }
}

/// Prints findings, then the summary where there is one. Tables take the look of standard output.
///
/// # Errors
/// When `out` cannot be written.
pub fn print(format: Format, findings: &[Document], summary: Option<&Summary>, out: &mut dyn Write) -> io::Result<()> {
    print_with(Look::of_stdout(), format, findings, summary, out)
}

/// As [`print`], for a place with another look, such as a file.
///
/// # Errors
/// When `out` cannot be written.
pub fn print_with(
    look: Look,
    format: Format,
    findings: &[Document],
    summary: Option<&Summary>,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Table => table::print(look, findings, summary, out),
        Format::Json => json::print(findings, summary, out),
        Format::Ndjson => json::print_lines(findings, summary, out),
        Format::Csv => csv::print(findings, out),
        Format::Markdown => markdown::print(findings, summary, out),
        Format::Junit => junit::print(findings, summary, out),
        Format::Html => html::print(findings, summary, out),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::model::finding::State;

    fn printed(format: Format, findings: &[Document], summary: Option<&Summary>) -> String {
        let mut out = Vec::new();
        print_with(Look { width: Some(140), ink: Ink::Plain }, format, findings, summary, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// One of each shape, and the lost update once more, healed.
    fn findings() -> Vec<Document> {
        let mut findings = sample::documents();
        findings.push(Document { id: "f".repeat(32), state: State::Healed, ..findings[1].clone() });
        findings
    }

    #[test]
    fn words_name_formats() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.word()), Some(format));
        }
        assert_eq!(Format::parse("yaml"), None);
    }

    #[test]
    fn a_table_fits_its_width_and_says_the_summary() {
        let text = printed(Format::Table, &findings(), Some(&sample::summary()));
        assert!(text.lines().filter(|line| !line.starts_with("1400")).all(|line| line.chars().count() <= 140));
        insta::assert_snapshot!(text, @r"
        ┌────────────┬──────────┬────────┬───────────────────┬───────────────────┬───────────┬───────────────┬──────────────────┬──────────────────┐
        │ id         ┆ severity ┆ state  ┆ kind              ┆ table             ┆ key       ┆ position      ┆ cause            ┆ first seen       │
        ╞════════════╪══════════╪════════╪═══════════════════╪═══════════════════╪═══════════╪═══════════════╪══════════════════╪══════════════════╡
        │ cccc2bd837 ┆ critical ┆ open   ┆ unapplied_delete  ┆ public.customers  ┆ id=42     ┆ orders/3:991  ┆ insert_delete_me ┆ 2026-11-22T10:00 │
        │            ┆          ┆        ┆                   ┆                   ┆           ┆               ┆ rge              ┆ :38Z             │
        │ b88a5fa902 ┆ warning  ┆ open   ┆ lost_update       ┆ public.customers  ┆ id=43     ┆ orders/3:1200 ┆ update_merge     ┆ 2026-11-22T10:00 │
        │            ┆          ┆        ┆                   ┆                   ┆           ┆               ┆                  ┆ :38Z             │
        │ 9050e07e29 ┆ info     ┆ open   ┆ undecodable       ┆                   ┆           ┆ orders/3:7    ┆ unknown          ┆ 2026-11-22T10:00 │
        │            ┆          ┆        ┆                   ┆                   ┆           ┆               ┆                  ┆ :38Z             │
        │ 2567e554e3 ┆ critical ┆ open   ┆ mass_divergence   ┆ public.customers  ┆ 1200 keys ┆ orders/3:500  ┆ op_not_applied   ┆ 2026-11-22T10:00 │
        │            ┆          ┆        ┆                   ┆                   ┆ (delete)  ┆               ┆                  ┆ :38Z             │
        │ 11a1e5d7d7 ┆ warning  ┆ open   ┆ stalled           ┆                   ┆           ┆ orders/3:120  ┆ unknown          ┆ 2026-11-22T10:00 │
        │            ┆          ┆        ┆                   ┆                   ┆           ┆               ┆                  ┆ :38Z             │
        │ ffffffffff ┆ warning  ┆ healed ┆ lost_update       ┆ public.customers  ┆ id=43     ┆ orders/3:1200 ┆ update_merge     ┆ 2026-11-22T10:00 │
        │            ┆          ┆        ┆                   ┆                   ┆           ┆               ┆                  ┆ :38Z             │
        └────────────┴──────────┴────────┴───────────────────┴───────────────────┴───────────┴───────────────┴──────────────────┴──────────────────┘
        1400 records, 1399 changes of 600 keys: 1380 matched, 10 superseded, 0 lagging, 7 unverifiable; 2 findings; NOT every key has its verdict
        not judged: orders/3 from 1300 to 1307: the images <are> no longer known
        ");
        insta::assert_snapshot!(printed(Format::Table, &[], None), @"no findings");
    }

    #[test]
    fn colours_are_asked_for_and_never_needed() {
        let text = |ink| {
            let mut out = Vec::new();
            let look = Look { width: Some(140), ink };
            print_with(look, Format::Table, &findings(), None, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(text(Ink::Ansi).contains("\u{1b}[38;5;9m") && !text(Ink::Plain).contains('\u{1b}'));
    }

    #[test]
    fn json_is_an_array_or_findings_with_their_summary() {
        let back: Vec<Document> = serde_json::from_str(&printed(Format::Json, &findings(), None)).unwrap();
        assert_eq!(back.len(), findings().len());
        let both: serde_json::Value =
            serde_json::from_str(&printed(Format::Json, &findings()[..1], Some(&sample::summary()))).unwrap();
        let summary = serde_json::to_string(&both["summary"]).unwrap();
        insta::assert_snapshot!(summary, @r#"{"changes":1399,"complete":false,"elapsed_s":2.5,"findings":{"lost_update":1,"unapplied_delete":1},"keys":600,"lagging":0,"matched":1380,"range":[{"from":0,"partition":3,"to":1400,"topic":"orders"}],"records":1400,"schema":"afterimage.audit/1","superseded":10,"unverifiable":7,"unverified":[{"from":1300,"partition":3,"reason":"the images <are> no longer known","to":1307,"topic":"orders"}],"watermarks":[{"partition":3,"topic":"orders","verified":1300}]}"#);
        assert_eq!(both["findings"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn ndjson_is_a_finding_a_line_and_the_summary_last() {
        let text = printed(Format::Ndjson, &findings(), Some(&sample::summary()));
        let schemas: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["schema"].as_str().unwrap().to_owned())
            .collect();
        let mut expected = vec!["afterimage.finding/1"; findings().len()];
        expected.push("afterimage.audit/1");
        assert_eq!(schemas, expected);
    }

    #[test]
    fn csv_has_one_row_a_finding() {
        insta::assert_snapshot!(printed(Format::Csv, &findings(), None), @r#"
        id,pipeline,table,target,key,kind,cause,severity,state,op,topic,partition,offset,source,committed_at,observed_at,columns,versions_behind,proof,evidence,count,detail,first_seen,last_seen,observations,healed_at,note
        cccc2bd8378660ead13c1a7ede575acb,orders,public.customers,,"{""id"":42}",unapplied_delete,insert_delete_merge,critical,open,delete,orders,3,991,0/16B3748,2026-11-22T10:00:01.000Z,2026-11-22T10:00:40.120Z,,1,settled,applied watermark 3/1400 (kafka-group) is past 3/991,,,2026-11-22T10:00:38.000Z,2026-11-22T10:00:40.120Z,2,,
        b88a5fa902a61c4d0349d68008a47016,orders,public.customers,,"{""id"":43}",lost_update,update_merge,warning,open,update,orders,3,1200,0/16B3748,2026-11-22T10:00:01.000Z,2026-11-22T10:00:40.120Z,"[{""name"":""name"",""expected"":""b | <b>\u001b[31m"",""observed"":""a""}]",2,early,applied watermark 3/1400 (kafka-group) is past 3/991,,,2026-11-22T10:00:38.000Z,2026-11-22T10:00:40.120Z,2,,
        9050e07e2908dbc2361b3a4a38866210,orders,,,,undecodable,unknown,info,open,,orders,3,7,,,,,0,,applied watermark 3/1400 (kafka-group) is past 3/991,,value is not JSON: expected `{`,2026-11-22T10:00:38.000Z,2026-11-22T10:00:40.120Z,2,,
        2567e554e3d46cc0cd800c5cac052e59,orders,public.customers,,,mass_divergence,op_not_applied,critical,open,delete,orders,3,500,,,,,0,,applied watermark 3/1400 (kafka-group) is past 3/991,1200,,2026-11-22T10:00:38.000Z,2026-11-22T10:00:40.120Z,2,,
        11a1e5d7d7ae8ba4308ede9d40de0bc3,orders,,,,stalled,unknown,warning,open,,orders,3,120,,,,,0,,applied watermark 3/1400 (kafka-group) is past 3/991,,stands before 3/120 since 10:00:00,2026-11-22T10:00:38.000Z,2026-11-22T10:00:40.120Z,2,,
        ffffffffffffffffffffffffffffffff,orders,public.customers,,"{""id"":43}",lost_update,update_merge,warning,healed,update,orders,3,1200,0/16B3748,2026-11-22T10:00:01.000Z,2026-11-22T10:00:40.120Z,"[{""name"":""name"",""expected"":""b | <b>\u001b[31m"",""observed"":""a""}]",2,early,applied watermark 3/1400 (kafka-group) is past 3/991,,,2026-11-22T10:00:38.000Z,2026-11-22T10:00:40.120Z,2,,
        "#);
    }

    #[test]
    fn markdown_shows_values_as_they_are() {
        let mut findings = findings();
        let key = findings[1].key.as_mut().unwrap();
        key.insert("code".to_owned(), "a|b<script>`x`\n".into());
        insta::assert_snapshot!(printed(Format::Markdown, &findings, Some(&sample::summary())), @r#"
        | id | severity | state | kind | table | key | position | cause | first seen |
        |---|---|---|---|---|---|---|---|---|
        | cccc2bd8378660ead13c1a7ede575acb | critical | open | unapplied_delete | public.customers | id=42 | orders/3:991 | insert_delete_merge | 2026-11-22T10:00:38.000Z |
        | b88a5fa902a61c4d0349d68008a47016 | warning | open | lost_update | public.customers | id=43, code=a\|b\<script\>\`x\`\\u{a} | orders/3:1200 | update_merge | 2026-11-22T10:00:38.000Z |
        | 9050e07e2908dbc2361b3a4a38866210 | info | open | undecodable |  |  | orders/3:7 | unknown | 2026-11-22T10:00:38.000Z |
        | 2567e554e3d46cc0cd800c5cac052e59 | critical | open | mass_divergence | public.customers | 1200 keys (delete) | orders/3:500 | op_not_applied | 2026-11-22T10:00:38.000Z |
        | 11a1e5d7d7ae8ba4308ede9d40de0bc3 | warning | open | stalled |  |  | orders/3:120 | unknown | 2026-11-22T10:00:38.000Z |
        | ffffffffffffffffffffffffffffffff | warning | healed | lost_update | public.customers | id=43 | orders/3:1200 | update_merge | 2026-11-22T10:00:38.000Z |

        1400 records, 1399 changes of 600 keys: 1380 matched, 10 superseded, 0 lagging, 7 unverifiable; 2 findings; NOT every key has its verdict.
        - not judged: orders/3 from 1300 to 1307: the images \<are\> no longer known
        "#);
    }

    #[test]
    fn junit_fails_what_is_true_now_and_what_is_not_complete() {
        let findings = [0, 2, 5].map(|index| findings()[index].clone());
        insta::assert_snapshot!(printed(Format::Junit, &findings, Some(&sample::summary())), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="afterimage" tests="4" skipped="1" failures="2" errors="1">
            <testsuite name="orders" tests="3" skipped="1" errors="0" failures="2">
                <testcase name="unapplied_delete of public.customers id=42 at orders/3:991" classname="public.customers">
                    <failure message="applied watermark 3/1400 (kafka-group) is past 3/991" type="unapplied_delete">id: cccc2bd8378660ead13c1a7ede575acb
        kind: unapplied_delete
        cause: insert_delete_merge
        severity: critical
        state: open
        pipeline: orders
        table: public.customers
        key: id=42
        expected: no row after the delete at orders/3:991 (source 0/16B3748, committed 2026-11-22T10:00:01.000Z)
        observed: a row, read 2026-11-22T10:00:40.120Z; it is the version of orders/3:990 (insert)
        behind: 1 version
        proof: settled
        evidence: applied watermark 3/1400 (kafka-group) is past 3/991
        first seen: 2026-11-22T10:00:38.000Z
        last seen: 2026-11-22T10:00:40.120Z, by 2 reads
        The applier merged an insert and the delete after it into nothing, although a row was already there to be deleted. Check that the source no longer has the row, then delete it on the target. The finding closes by itself once the row is gone. Where keys are reused within seconds, turn off the merging of changes (DMS: `BatchApplyEnabled=false`), or let the applier carry deletes even where it has seen no row.</failure>
                </testcase>
                <testcase name="undecodable at orders/3:7" classname="orders">
                    <failure message="applied watermark 3/1400 (kafka-group) is past 3/991" type="undecodable">id: 9050e07e2908dbc2361b3a4a38866210
        kind: undecodable
        cause: unknown
        severity: info
        state: open
        pipeline: orders
        expected: the record at orders/3:7
        reason: value is not JSON: expected `{`
        evidence: applied watermark 3/1400 (kafka-group) is past 3/991
        first seen: 2026-11-22T10:00:38.000Z
        last seen: 2026-11-22T10:00:40.120Z, by 2 reads
        Print the record with `afterimage decode --from` at the position above. If the applier understands it, set `decode.format` for this pipeline; if not, mend its producer. Its key was not judged by this record.</failure>
                </testcase>
                <testcase name="lost_update of public.customers id=43 at orders/3:1200" classname="public.customers">
                    <skipped message="healed"/>
                </testcase>
            </testsuite>
            <testsuite name="audit" tests="1" skipped="0" errors="1" failures="0">
                <testcase name="every key has its verdict">
                    <error message="1400 records, 1399 changes of 600 keys: 1380 matched, 10 superseded, 0 lagging, 7 unverifiable; 2 findings; NOT every key has its verdict" type="incomplete"/>
                </testcase>
            </testsuite>
        </testsuites>
        "#);
        let complete = Summary { complete: true, ..sample::summary() };
        assert!(printed(Format::Junit, &[], Some(&complete)).contains(r#"failures="0" errors="0""#));
    }

    #[test]
    fn html_escapes_values_and_asks_nobody_for_anything() {
        let text = printed(Format::Html, &findings()[1..2], Some(&sample::summary()));
        assert!(!text.contains("<b>\\u") && !text.contains('\u{1b}') && !text.contains("<are>"), "{text}");
        assert!(
            !text.contains("http:") && !text.contains("https:") && !text.contains("src=") && !text.contains("<script")
        );
        let body = text.split_once("</head>").unwrap().1.trim();
        let about = body.split_once("<details").unwrap().1;
        let rows = about.split_once("<table class=\"rows\">").unwrap().1.split_once("</table>").unwrap().0;
        let differs = r#"<tr class="differs"><td>name</td><td>b | &#60;b&#62;\u{1b}[31m</td><td>a</td></tr>"#;
        assert!(rows.contains(differs), "{rows}");
        assert!(
            about.contains("<th>evidence</th><td>applied watermark") && about.contains("What to do now."),
            "{about}"
        );
        for plot in ["By kind", "By cause", "By table", "1399 changes", "not judged: orders/3 from 1300 to 1307"] {
            assert!(body.contains(plot), "{plot}: {body}");
        }
    }
}
