//! Findings for tests: one pipeline `orders` with one table and one partition.

use std::sync::Arc;

use super::summary::{self, Reached, Span, Unverified};
use super::{Context, Document, Summary, TableNames, Values};
use crate::model::change::SourcePlace;
use crate::model::finding::{
    Cause, ColumnDifference, Finding, Kind, NamedVersion, Observed, Proof, Severity, State, Subject,
};
use crate::model::position::PartitionName;
use crate::model::{Cell, Columns, Key, Op, PartitionId, Position, Row, SourceTime, TableId, Tick, Typing, Wall};

pub(super) const START: i64 = 1_795_341_600_000;

pub(crate) struct Orders {
    pub(super) values: Values,
    pub(super) severity: Option<Severity>,
    pub(super) first_table: u32,
}

impl Default for Orders {
    fn default() -> Orders {
        Orders { values: Values::Full, severity: None, first_table: 0 }
    }
}

impl Context for Orders {
    fn pipeline(&self) -> &str {
        "orders"
    }

    fn tap(&self) -> &str {
        "kafka"
    }

    fn partition(&self, id: PartitionId) -> PartitionName {
        PartitionName { topic: "orders".into(), partition: i32::from(id.0) }
    }

    fn table(&self, id: TableId) -> TableNames {
        assert_eq!(id.0, self.first_table);
        let name: Arc<str> = "public.customers".into();
        TableNames { tap: Arc::clone(&name), target: name, key: vec!["id".to_owned()], not_compared: Vec::new() }
    }

    fn wall(&self, at: Tick) -> Wall {
        Wall(START + i64::try_from(at.0).unwrap())
    }

    fn severity(&self, _: Option<&str>, _: Kind) -> Option<Severity> {
        self.severity
    }

    fn values(&self) -> Values {
        self.values
    }
}

pub(super) fn at(offset: u64) -> Position {
    Position { partition: PartitionId(3), offset }
}

pub(super) fn key(context: &Orders, id: i64) -> Key {
    Key::new(TableId(context.first_table), &[Cell::Int(id)])
}

fn row(id: i64, name: &'static str) -> Option<Arc<Row<'static>>> {
    let columns = Arc::new(Columns::new(["id", "name"]));
    Some(Arc::new(Row::new(columns, vec![Cell::Int(id), Cell::text(name)], Typing::Declared)))
}

fn version(offset: u64, op: Op, row: Option<Arc<Row<'static>>>) -> NamedVersion {
    let committed_at = Some(SourceTime(START + 1_000));
    NamedVersion { at: at(offset), op, committed_at, source: Some(SourcePlace::Lsn(0x16B_3748)), row }
}

fn finding(kind: Kind, cause: Cause, subject: Subject) -> Finding {
    Finding {
        kind,
        cause,
        state: State::Open,
        proof: None,
        subject,
        evidence: "applied watermark 3/1400 (kafka-group) is past 3/991".to_owned(),
        first_seen: Tick(38_000),
        last_seen: Tick(40_120),
        observations: 2,
    }
}

/// A delete at 991 that was lost together with the insert at 990.
pub(super) fn unapplied_delete(context: &Orders) -> Finding {
    let subject = Subject::Row {
        key: key(context, 42),
        expected: version(991, Op::Delete, None),
        latest: None,
        observed: Observed {
            row: row(42, "a"),
            at: Tick(40_120),
            matches: Some(version(990, Op::Insert, row(42, "a"))),
        },
        columns: vec![],
        versions_behind: 1,
    };
    Finding { proof: Some(Proof::Settled), ..finding(Kind::UnappliedDelete, Cause::InsertDeleteMerge, subject) }
}

/// An update at `offset` of key `id` that never reached the target.
pub(super) fn lost_update(context: &Orders, id: i64, offset: u64) -> Finding {
    let subject = Subject::Row {
        key: key(context, id),
        expected: version(offset, Op::Update, row(id, "b | <b>\u{1b}[31m")),
        latest: Some(at(offset + 4)),
        observed: Observed {
            row: row(id, "a"),
            at: Tick(40_120),
            matches: Some(version(offset - 1, Op::Insert, row(id, "a"))),
        },
        columns: vec![ColumnDifference {
            name: "name".into(),
            expected: Some("b | <b>\u{1b}[31m".to_owned()),
            observed: "a".to_owned(),
        }],
        versions_behind: 2,
    };
    Finding { proof: Some(Proof::Early), ..finding(Kind::LostUpdate, Cause::UpdateMerge, subject) }
}

pub(super) fn undecodable() -> Finding {
    let subject = Subject::Record { at: at(7), reason: "value is not JSON: expected `{`".to_owned(), table: None };
    finding(Kind::Undecodable, Cause::Unknown, subject)
}

pub(super) fn mass_divergence(context: &Orders) -> Finding {
    let samples = vec![key(context, 1), key(context, 2)];
    let table = "public.customers".into();
    let subject = Subject::Table { table, op: Some(Op::Delete), since: at(500), count: 1_200, samples };
    finding(Kind::MassDivergence, Cause::OpNotApplied, subject)
}

pub(super) fn coerced_column(context: &Orders) -> Finding {
    let column = |expected: &str, observed: &str| ColumnDifference {
        name: "name".into(),
        expected: Some(expected.to_owned()),
        observed: observed.to_owned(),
    };
    let subject = Subject::Column {
        table: "public.customers".into(),
        column: "name".into(),
        detail: "values of `name` are written without the white space at their end".to_owned(),
        count: 6,
        samples: vec![key(context, 1), key(context, 2)],
        columns: vec![column("a ", "a"), column("b  ", "b")],
    };
    finding(Kind::DivergedRow, Cause::ColumnCoercion, subject)
}

pub(crate) fn stalled() -> Finding {
    let subject = Subject::Scope { at: Some(at(120)), detail: "stands before 3/120 since 10:00:00".to_owned() };
    finding(Kind::Stalled, Cause::Unknown, subject)
}

/// One of each shape.
pub(crate) fn documents() -> Vec<Document> {
    let context = Orders::default();
    let findings = [
        unapplied_delete(&context),
        lost_update(&context, 43, 1_200),
        undecodable(),
        mass_divergence(&context),
        stalled(),
    ];
    findings.iter().map(|finding| Document::of(finding, &context)).collect()
}

/// An audit that is not complete.
pub(super) fn summary() -> Summary {
    let topic = || "orders".to_owned();
    Summary {
        schema: summary::SCHEMA.to_owned(),
        range: vec![Span { topic: topic(), partition: 3, from: 0, to: 1_400 }],
        records: 1_400,
        changes: 1_399,
        keys: 600,
        matched: 1_380,
        superseded: 10,
        lagging: 0,
        unverifiable: 7,
        unverified: vec![Unverified {
            topic: topic(),
            partition: 3,
            from: 1_300,
            to: 1_307,
            reason: "the images <are> no longer known".to_owned(),
        }],
        goes_on: None,
        chosen: None,
        ended_early: None,
        findings: [(Kind::LostUpdate.word().to_owned(), 1), (Kind::UnappliedDelete.word().to_owned(), 1)].into(),
        complete: false,
        watermarks: vec![Reached { topic: topic(), partition: 3, verified: 1_300 }],
        elapsed_s: 2.5,
    }
}
