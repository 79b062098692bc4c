//! From the engine's finding, which knows indices and ticks, to the published one, which knows names and times.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::document::{At, Column, Document, Expected, Fields, Matched, Observed, Place, SCHEMA};
use super::revive;
use super::value::{Values, key_fields};
use crate::model::finding::{
    ColumnDifference, Finding, Kind, NamedVersion, Observed as Seen, Severity, State, Subject,
};
use crate::model::position::PartitionName;
use crate::model::{Key, Op, PartitionId, Position, TableId, Tick, Wall};

/// What a pipeline knows and its engine does not: names, clock time, the user's rules for publishing.
pub trait Context {
    /// Name of the pipeline.
    fn pipeline(&self) -> &str;

    /// The kind of tap: `kafka`, `file`.
    fn tap(&self) -> &str;

    /// How users know a partition.
    fn partition(&self, id: PartitionId) -> PartitionName;

    /// How users know a table.
    fn table(&self, id: TableId) -> TableNames;

    /// The moment of a tick on our wall clock.
    fn wall(&self, at: Tick) -> Wall;

    /// The user's own severity for this kind on this table (by its name on the tap), where there is one.
    fn severity(&self, table: Option<&str>, kind: Kind) -> Option<Severity>;

    /// How much of row values is published.
    fn values(&self) -> Values;
}

/// The names of a table and of its key's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    /// On the tap.
    pub tap: Arc<str>,
    /// On the target.
    pub target: Arc<str>,
    /// Key columns, in the order of a key's cells.
    pub key: Vec<String>,
    /// Columns that are not compared, each with the reason: ``place (type `box` is not covered)``.
    pub not_compared: Vec<String>,
}

impl Document {
    /// The published form of a finding. [`Document::extra`] is what [`Document::revive`] needs, and empty where no key is
    /// concerned.
    #[must_use]
    pub fn of(finding: &Finding, context: &dyn Context) -> Document {
        let about = About::of(finding, context);
        let healed_at = (finding.state == State::Healed).then(|| context.wall(finding.last_seen));
        let severity = context.severity(about.table.as_deref(), finding.kind);
        Document {
            schema: SCHEMA.to_owned(),
            id: about.id(context.pipeline(), finding.kind),
            pipeline: context.pipeline().to_owned(),
            table: about.table,
            target: about.target,
            key: about.key,
            kind: finding.kind,
            cause: finding.cause,
            severity: severity.unwrap_or_else(|| finding.kind.severity()),
            state: finding.state,
            expected: about.expected,
            observed: about.observed,
            columns: about.columns,
            not_compared: about.not_compared,
            versions_behind: about.versions_behind,
            proof: finding.proof,
            evidence: finding.evidence.clone(),
            count: about.count,
            samples: about.samples,
            reason: about.reason,
            detail: about.detail,
            first_seen: context.wall(finding.first_seen),
            last_seen: context.wall(finding.last_seen),
            observations: finding.observations,
            healed_at,
            note: None,
            audit: None,
            ignored: None,
            history: Vec::new(),
            extra: revive::pack(finding, context.values()),
        }
    }
}

impl Document {
    /// The finding that the newest version of this one would have opened by itself: of the same key and kind, at that
    /// version's position. `None` where no later version is known to be lost, or the key's bytes are of another version.
    #[must_use]
    pub fn at_latest(&self) -> Option<Document> {
        let known = self.expected.as_ref()?;
        let Place { topic, partition, offset } = known.latest.clone()?;
        let at = At { tap: known.at.tap.clone(), topic, partition, offset, source: None, committed_at: None };
        let expected = Expected { op: None, row: None, at, latest: None };
        let key_bytes = revive::key_bytes(&self.extra)?.into_vec();
        let about = About { table: self.table.clone(), key_bytes, expected: Some(expected), ..About::default() };
        let id = about.id(&self.pipeline, self.kind);
        Some(Document {
            id,
            expected: about.expected,
            columns: Vec::new(),
            first_seen: self.last_seen,
            ignored: None,
            ..self.clone()
        })
    }
}

/// The parts of a document that its subject decides.
#[derive(Default)]
struct About {
    table: Option<String>,
    target: Option<String>,
    key: Option<Fields>,
    key_bytes: Vec<u8>,
    expected: Option<Expected>,
    observed: Option<Observed>,
    columns: Vec<Column>,
    not_compared: Vec<String>,
    versions_behind: u32,
    count: Option<u64>,
    samples: Vec<Fields>,
    reason: Option<String>,
    detail: Option<String>,
}

impl About {
    fn of(finding: &Finding, context: &dyn Context) -> About {
        match &finding.subject {
            Subject::Row { key, expected, latest, observed, columns, versions_behind } => {
                let latest = latest.filter(|latest| *latest != expected.at).map(|latest| place(latest, context));
                About {
                    expected: Some(Expected { latest, ..version(expected, context) }),
                    observed: Some(seen(observed, context)),
                    columns: columns.iter().map(|column| difference(column, context.values())).collect(),
                    versions_behind: *versions_behind,
                    ..About::of_key(key, context)
                }
            }
            Subject::Record { at, reason, table } => About {
                table: table.as_deref().map(str::to_owned),
                expected: Some(bare(*at, None, context)),
                reason: Some(reason.clone()),
                ..About::default()
            },
            Subject::Table { table, op, since, count, samples } => About {
                table: Some(table.as_ref().to_owned()),
                expected: Some(bare(*since, *op, context)),
                count: Some(*count),
                target: samples.first().and_then(|key| other_name(&context.table(key.table()))),
                samples: samples.iter().map(|key| named_key(key, &context.table(key.table()))).collect(),
                ..About::default()
            },
            Subject::Column { table, column, detail, count, samples, columns } => About {
                table: Some(table.as_ref().to_owned()),
                key_bytes: column.as_bytes().to_vec(),
                columns: columns.iter().map(|column| difference(column, context.values())).collect(),
                count: Some(*count),
                detail: Some(detail.clone()),
                target: samples.first().and_then(|key| other_name(&context.table(key.table()))),
                samples: samples.iter().map(|key| named_key(key, &context.table(key.table()))).collect(),
                ..About::default()
            },
            Subject::Scope { at, detail } => About {
                expected: at.map(|at| bare(at, None, context)),
                detail: Some(detail.clone()),
                ..About::default()
            },
        }
    }

    fn of_key(key: &Key, context: &dyn Context) -> About {
        let names = context.table(key.table());
        About {
            key: Some(named_key(key, &names)),
            key_bytes: key.cell_bytes().to_vec(),
            target: other_name(&names),
            table: Some(names.tap.as_ref().to_owned()),
            not_compared: names.not_compared,
            ..About::default()
        }
    }

    /// The first 128 bits of SHA-256 over schema, pipeline, table, key, topic, partition, offset and kind, each preceded
    /// by its length as 64 bits. A table-level finding has its operation where the key would be, a column's its name; what is unknown is
    /// empty. Indices of this process take no part.
    fn id(&self, pipeline: &str, kind: Kind) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        let at = self.expected.as_ref().map(|expected| &expected.at);
        let op = if self.count.is_some() { self.expected.as_ref().and_then(|expected| expected.op) } else { None };
        part(SCHEMA.as_bytes());
        part(pipeline.as_bytes());
        part(self.table.as_deref().unwrap_or_default().as_bytes());
        part(op.map_or(self.key_bytes.as_slice(), |op| op.word().as_bytes()));
        part(at.map_or("", |at| &at.topic).as_bytes());
        part(at.map(|at| at.partition.to_string()).unwrap_or_default().as_bytes());
        part(at.map(|at| at.offset.to_string()).unwrap_or_default().as_bytes());
        part(kind.word().as_bytes());
        hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn named_key(key: &Key, names: &TableNames) -> Fields {
    key_fields(&names.key, &key.cells())
}

fn version(version: &NamedVersion, context: &dyn Context) -> Expected {
    let mut expected = bare(version.at, Some(version.op), context);
    expected.at.source = version.source.as_ref().map(ToString::to_string);
    expected.at.committed_at = version.committed_at.map(crate::model::SourceTime::rfc3339);
    expected.row = version.row.as_deref().map(|row| context.values().row(row));
    expected
}

fn bare(at: Position, op: Option<Op>, context: &dyn Context) -> Expected {
    let Place { topic, partition, offset } = place(at, context);
    let at = At { tap: context.tap().to_owned(), topic, partition, offset, source: None, committed_at: None };
    Expected { op, row: None, at, latest: None }
}

fn place(at: Position, context: &dyn Context) -> Place {
    let PartitionName { topic, partition } = context.partition(at.partition);
    Place { topic: topic.as_ref().to_owned(), partition, offset: at.offset }
}

fn seen(seen: &Seen, context: &dyn Context) -> Observed {
    let matches = seen.matches.as_ref().map(|version| {
        let Place { topic, partition, offset } = place(version.at, context);
        Matched { op: version.op, offset, partition, topic }
    });
    Observed { row: seen.row.as_deref().map(|row| context.values().row(row)), at: context.wall(seen.at), matches }
}

fn difference(column: &ColumnDifference, values: Values) -> Column {
    Column {
        name: column.name.as_ref().to_owned(),
        expected: column.expected.as_deref().and_then(|text| values.text(text)),
        observed: values.text(&column.observed),
    }
}

fn other_name(names: &TableNames) -> Option<String> {
    (names.target != names.tap).then(|| names.target.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, Orders};
    use super::*;
    use crate::model::finding::Proof;

    fn json(finding: &Finding, context: &Orders) -> String {
        serde_json::to_string_pretty(&Document::of(finding, context)).unwrap()
    }

    #[test]
    fn a_row_finding_has_the_documented_shape() {
        let context = Orders::default();
        insta::assert_snapshot!(json(&sample::unapplied_delete(&context), &context), @r#"
        {
          "schema": "afterimage.finding/1",
          "id": "cccc2bd8378660ead13c1a7ede575acb",
          "pipeline": "orders",
          "table": "public.customers",
          "key": {
            "id": 42
          },
          "kind": "unapplied_delete",
          "cause": "insert_delete_merge",
          "severity": "critical",
          "state": "open",
          "expected": {
            "op": "delete",
            "row": null,
            "at": {
              "tap": "kafka",
              "topic": "orders",
              "partition": 3,
              "offset": 991,
              "source": "0/16B3748",
              "committed_at": "2026-11-22T10:00:01.000Z"
            }
          },
          "observed": {
            "row": {
              "id": 42,
              "name": "a"
            },
            "at": "2026-11-22T10:00:40.120Z",
            "matches": {
              "op": "insert",
              "offset": 990,
              "partition": 3,
              "topic": "orders"
            }
          },
          "columns": [],
          "versions_behind": 1,
          "proof": "settled",
          "evidence": "applied watermark 3/1400 (kafka-group) is past 3/991",
          "first_seen": "2026-11-22T10:00:38.000Z",
          "last_seen": "2026-11-22T10:00:40.120Z",
          "observations": 2,
          "healed_at": null,
          "note": null
        }
        "#);
    }

    #[test]
    fn findings_without_a_row_say_it_in_the_same_shape() {
        let context = Orders::default();
        let line = |finding: &Finding| serde_json::to_string(&Document::of(finding, &context)).unwrap();
        insta::assert_snapshot!(line(&sample::mass_divergence(&context)), @r#"{"schema":"afterimage.finding/1","id":"2567e554e3d46cc0cd800c5cac052e59","pipeline":"orders","table":"public.customers","key":null,"kind":"mass_divergence","cause":"op_not_applied","severity":"critical","state":"open","expected":{"op":"delete","row":null,"at":{"tap":"kafka","topic":"orders","partition":3,"offset":500,"source":null,"committed_at":null}},"observed":null,"columns":[],"versions_behind":0,"proof":null,"evidence":"applied watermark 3/1400 (kafka-group) is past 3/991","count":1200,"samples":[{"id":1},{"id":2}],"first_seen":"2026-11-22T10:00:38.000Z","last_seen":"2026-11-22T10:00:40.120Z","observations":2,"healed_at":null,"note":null}"#);
        insta::assert_snapshot!(line(&sample::undecodable()), @r#"{"schema":"afterimage.finding/1","id":"9050e07e2908dbc2361b3a4a38866210","pipeline":"orders","table":null,"key":null,"kind":"undecodable","cause":"unknown","severity":"info","state":"open","expected":{"op":null,"row":null,"at":{"tap":"kafka","topic":"orders","partition":3,"offset":7,"source":null,"committed_at":null}},"observed":null,"columns":[],"versions_behind":0,"proof":null,"evidence":"applied watermark 3/1400 (kafka-group) is past 3/991","reason":"value is not JSON: expected `{`","first_seen":"2026-11-22T10:00:38.000Z","last_seen":"2026-11-22T10:00:40.120Z","observations":2,"healed_at":null,"note":null}"#);
        insta::assert_snapshot!(line(&sample::stalled()), @r#"{"schema":"afterimage.finding/1","id":"11a1e5d7d7ae8ba4308ede9d40de0bc3","pipeline":"orders","table":null,"key":null,"kind":"stalled","cause":"unknown","severity":"warning","state":"open","expected":{"op":null,"row":null,"at":{"tap":"kafka","topic":"orders","partition":3,"offset":120,"source":null,"committed_at":null}},"observed":null,"columns":[],"versions_behind":0,"proof":null,"evidence":"applied watermark 3/1400 (kafka-group) is past 3/991","detail":"stands before 3/120 since 10:00:00","first_seen":"2026-11-22T10:00:38.000Z","last_seen":"2026-11-22T10:00:40.120Z","observations":2,"healed_at":null,"note":null}"#);
    }

    #[test]
    fn a_column_has_one_id_wherever_it_was_seen_first() {
        let context = Orders::default();
        let document = Document::of(&sample::coerced_column(&context), &context);
        insta::assert_snapshot!(serde_json::to_string(&document).unwrap(), @r#"{"schema":"afterimage.finding/1","id":"8889ad339c08e5ddf88ff6ec83abe44e","pipeline":"orders","table":"public.customers","key":null,"kind":"diverged_row","cause":"column_coercion","severity":"warning","state":"open","expected":null,"observed":null,"columns":[{"name":"name","expected":"a ","observed":"a"},{"name":"name","expected":"b  ","observed":"b"}],"versions_behind":0,"proof":null,"evidence":"applied watermark 3/1400 (kafka-group) is past 3/991","count":6,"samples":[{"id":1},{"id":2}],"detail":"values of `name` are written without the white space at their end","first_seen":"2026-11-22T10:00:38.000Z","last_seen":"2026-11-22T10:00:40.120Z","observations":2,"healed_at":null,"note":null}"#);
        let mut later = sample::coerced_column(&context);
        let Subject::Column { count, samples, .. } = &mut later.subject else { panic!("a column") };
        (*count, *samples) = (40, Vec::new());
        assert_eq!(Document::of(&later, &context).id, document.id);
    }

    #[test]
    fn every_shape_reads_back_as_it_was_written() {
        let context = Orders::default();
        let column = Document::of(&sample::coerced_column(&context), &context);
        for document in sample::documents().into_iter().chain([column]) {
            let text = serde_json::to_string(&document).unwrap();
            let back: Document = serde_json::from_str(&text).unwrap();
            assert_eq!(back, Document { extra: vec![], ..document });
        }
    }

    #[test]
    fn offsets_beyond_2_to_the_53_are_text_and_come_back() {
        let context = Orders::default();
        let document = Document::of(&sample::lost_update(&context, 1, 9_007_199_254_740_993), &context);
        let text = serde_json::to_string(&document).unwrap();
        assert!(text.contains(r#""offset":"9007199254740993""#), "{text}");
        let back: Document = serde_json::from_str(&text).unwrap();
        assert_eq!(back.expected, document.expected);
    }

    #[test]
    fn an_id_depends_on_the_fact_and_on_nothing_of_this_process() {
        let context = Orders::default();
        let other = Orders { first_table: 7, ..Orders::default() };
        let finding = sample::unapplied_delete(&context);
        let id = |finding: &Finding, context: &Orders| Document::of(finding, context).id;
        assert_eq!(id(&finding, &context), id(&sample::unapplied_delete(&other), &other));

        let later =
            Finding { proof: Some(Proof::Committed), observations: 9, last_seen: Tick(99_000), ..finding.clone() };
        assert_eq!(id(&later, &context), id(&finding, &context));

        let different = [
            Finding { kind: Kind::ResurrectedRow, ..finding.clone() },
            sample::lost_update(&context, 42, 991),
            sample::lost_update(&context, 42, 992),
            sample::lost_update(&context, 43, 992),
        ];
        let mut ids: Vec<String> = different.iter().map(|finding| id(finding, &context)).collect();
        ids.push(id(&finding, &context));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn the_users_severity_wins_and_a_healed_finding_says_when() {
        let context = Orders { severity: Some(Severity::Info), ..Orders::default() };
        let healed = Finding { state: State::Healed, ..sample::unapplied_delete(&context) };
        let document = Document::of(&healed, &context);
        assert_eq!((document.severity, document.healed_at), (Severity::Info, Some(Wall(sample::START + 40_120))));
    }

    #[test]
    fn withheld_values_appear_nowhere_but_the_key_stays() {
        let context = Orders { values: Values::None, ..Orders::default() };
        let text = json(&sample::lost_update(&context, 43, 1_200), &context);
        assert!(!text.contains("31m") && !text.contains("\"a\"") && text.contains("\"id\": 43"), "{text}");
    }
}
