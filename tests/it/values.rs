//! Values of every type through the real connectors, judged by the sidecar: what the sink carried is equal, what it is known to
//! alter is named, and the smallest step that a type knows, taken at the target, is found in its column.
//!
//! `tests/data/canon/families.json` lists the types by family, each a table: literals, a step (`@` is the column), and which of
//! the values the connectors alter in which pipelines. What the documentation says of each type is made from the same file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::database::Dialect;
use crate::pipeline::{Pipeline, Plan};
use crate::sidecar::Sidecar;
use crate::verdict::{self, judging, wait_verified};

const FAMILIES: &str = include_str!("../data/canon/families.json");

/// Types that tables here use; extensions of the PostgreSQL distribution.
const OWN_TYPES: &str = "
CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext; CREATE EXTENSION isn;
CREATE TYPE tc_mood AS ENUM ('sad', 'ok');
CREATE TYPE tc_pair AS (a int, b text);
CREATE DOMAIN tc_positive AS int CHECK (VALUE > 0);
";

/// The row that comes as nulls and is updated to values.
const UPDATED: usize = 100;
/// The first of the rows in which one column each takes a step at the target.
const STEPPED: usize = 1_000;

#[derive(Deserialize)]
struct Families {
    pipelines: Vec<Variant>,
    postgres: BTreeMap<String, Vec<Column>>,
    mariadb: BTreeMap<String, Vec<Column>>,
    not_compared: BTreeMap<String, Vec<String>>,
}

/// One way to set up the connectors.
#[derive(Deserialize)]
struct Variant {
    name: String,
    engine: String,
    encoding: String,
    source: BTreeMap<String, String>,
    /// Which lists of altered values apply.
    altered: Vec<String>,
    /// Families that its sink cannot write.
    without: Vec<String>,
}

#[derive(Deserialize)]
struct Column {
    #[serde(rename = "type")]
    declared: String,
    values: Vec<String>,
    step: String,
    #[serde(default)]
    altered: BTreeMap<String, Vec<usize>>,
    #[serde(default)]
    without: Vec<String>,
}

/// A table and its columns.
struct Family<'f> {
    table: &'f str,
    columns: Vec<&'f Column>,
}

/// Table, id, column.
type Place = (String, usize, String);

impl Variant {
    fn dialect(&self) -> Dialect {
        if self.engine == "postgres" { Dialect::Postgres } else { Dialect::MariaDb }
    }

    fn families<'f>(&self, all: &'f Families) -> Vec<Family<'f>> {
        let own = if self.engine == "postgres" { &all.postgres } else { &all.mariadb };
        let carried = own.iter().filter(|(table, _)| !self.without.contains(table));
        let columns =
            |columns: &'f Vec<Column>| columns.iter().filter(|one| !one.without.contains(&self.name)).collect();
        carried.map(|(table, all)| Family { table, columns: columns(all) }).collect()
    }

    /// The values of a column that the connectors alter here.
    fn altered(&self, column: &Column) -> BTreeSet<usize> {
        self.altered.iter().filter_map(|list| column.altered.get(list)).flatten().copied().collect()
    }

    fn plan(&self, families: &[Family<'_>], left_out: &[String]) -> Plan {
        let mut plan = Plan::new(&self.name, self.dialect());
        if self.dialect() == Dialect::Postgres {
            plan = plan.prepare(OWN_TYPES).connection("stringtype=unspecified");
        }
        plan = match &*self.encoding {
            "avro" => plan.avro(),
            "plain" => plan.plain(),
            _ => plan,
        };
        for family in families {
            plan = plan.table(family.table, &family.definition());
        }
        if !left_out.is_empty() {
            let columns: Vec<String> = left_out.iter().map(|declared| format!("a_{declared} {declared}")).collect();
            let table = format!("CREATE TABLE left_out (id int PRIMARY KEY, {})", columns.join(", "));
            plan = plan.table("left_out", &table);
        }
        self.source.iter().fold(plan, |plan, (key, value)| plan.source(key, value))
    }
}

impl Family<'_> {
    fn definition(&self) -> String {
        let columns = self.columns.iter().enumerate();
        let columns: String = columns.map(|(at, column)| format!(", c{at} {}", column.declared)).collect();
        format!("CREATE TABLE {} (id int PRIMARY KEY, touched int NOT NULL{columns})", self.table)
    }

    /// How many rows it takes to have every value and a row of nulls.
    fn height(&self) -> usize {
        self.columns.iter().map(|column| column.values.len()).max().unwrap_or(0) + 1
    }

    fn insert(&self, id: usize, value: usize) -> String {
        let literal = |column: &&Column| column.values.get(value).map_or("NULL", String::as_str).to_owned();
        let values: Vec<String> = self.columns.iter().map(literal).collect();
        format!("INSERT INTO {} VALUES ({id}, 0, {})", self.table, values.join(", "))
    }

    /// Inserts, updates, a delete and a re-insert; and how many records they make.
    fn changes(&self) -> (String, i64) {
        let height = self.height();
        let mut rows: Vec<String> = (0..height).map(|row| self.insert(row, row)).collect();
        rows.push(self.insert(UPDATED, usize::MAX));
        rows.extend((0..self.columns.len()).map(|at| self.insert(STEPPED + at, 0)));
        let inserted = rows.len();
        let first: Vec<String> =
            self.columns.iter().enumerate().map(|(at, column)| format!("c{at} = {}", column.values[0])).collect();
        rows.push(format!("UPDATE {} SET {} WHERE id = {UPDATED}", self.table, first.join(", ")));
        rows.push(format!("UPDATE {} SET touched = 1", self.table));
        rows.push(format!("DELETE FROM {} WHERE id = 0", self.table));
        rows.push(self.insert(0, 0));
        let records = 2 * inserted + 1 + 2 + 1;
        (rows.join("; "), i64::try_from(records).expect("few"))
    }

    /// One step in each column, each in a row of its own.
    fn steps(&self) -> String {
        let step = |(at, column): (usize, &&Column)| {
            let name = format!("c{at}");
            let value = column.step.replace('@', &name);
            format!("UPDATE {} SET {name} = {value} WHERE id = {}", self.table, STEPPED + at)
        };
        self.columns.iter().enumerate().map(step).collect::<Vec<_>>().join("; ")
    }

    /// The places that must be found: the steps, and what the connectors alter.
    fn places(&self, variant: &Variant) -> BTreeSet<Place> {
        let mut places = BTreeSet::new();
        for (at, column) in self.columns.iter().enumerate() {
            let place = |id: usize| (self.table.to_owned(), id, format!("c{at}"));
            places.insert(place(STEPPED + at));
            places.extend(variant.altered(column).into_iter().map(place));
        }
        places
    }
}

/// The places that open findings name.
fn found(findings: &[Value]) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for finding in findings {
        let table = finding["table"].as_str().unwrap_or_default();
        let table = table.rsplit('.').next().unwrap_or_default();
        let id = finding["key"]["id"].as_u64().and_then(|id| usize::try_from(id).ok()).unwrap_or(usize::MAX);
        for column in finding["columns"].as_array().into_iter().flatten() {
            places.insert((table.to_owned(), id, column["name"].as_str().unwrap_or_default().to_owned()));
        }
    }
    places
}

async fn every_value(name: &str) {
    let all: Families = serde_json::from_str(FAMILIES).expect("the families are JSON");
    let variant = all.pipelines.iter().find(|variant| variant.name == name).expect("a variant");
    let families = variant.families(&all);
    let left_out = &all.not_compared[&variant.engine];
    let pipeline = variant.plan(&families, left_out).start().await;
    for family in &families {
        let (sql, records) = family.changes();
        pipeline.write(&sql, records).await;
    }
    if !left_out.is_empty() {
        pipeline.write("INSERT INTO left_out VALUES (1, '(1,1),(0,0)', '(1,a)')", 1).await;
    }
    pipeline.wait_applied().await;
    for family in &families {
        pipeline.target.execute(&family.steps()).await;
    }
    if !left_out.is_empty() {
        pipeline.target.execute("DELETE FROM left_out").await;
    }
    let expected: BTreeSet<Place> = families.iter().flat_map(|family| family.places(variant)).collect();
    let applied = if variant.encoding == "plain" { "assumed".to_owned() } else { verdict::committed(&pipeline) };
    pipeline.wait_tapped().await;
    judge(&pipeline, &applied, &expected, left_out).await;
}

async fn judge(pipeline: &Pipeline, applied: &str, expected: &BTreeSet<Place>, left_out: &[String]) {
    let sidecar = Sidecar::run(&judging(pipeline, applied)).await;
    let status = wait_verified(&sidecar, &verdict::ends(pipeline)).await;
    assert_eq!((&status["unverifiable"], &status["rejects"]), (&0.into(), &0.into()), "{status:#}");
    let findings = sidecar.findings();
    let found = found(&findings);
    let missed: Vec<_> = expected.difference(&found).collect();
    let wrong: Vec<_> = found.difference(expected).collect();
    assert!(
        missed.is_empty() && wrong.is_empty(),
        "missed: {missed:?}\nwrong: {wrong:?}\n{:#?}",
        told(&findings, &wrong)
    );
    let lost = findings.iter().find(|finding| finding["kind"] == "missing_row");
    let told = lost.map(|finding| finding["not_compared"].to_string()).unwrap_or_default();
    for declared in left_out {
        let words = format!("a_{declared} (type `{declared}` is not covered)");
        assert!(status["not_compared"].to_string().contains(&words), "{status:#}");
        assert!(told.contains(&words), "the finding of the row that is gone says `{told}`");
    }
}

/// The findings of places that should not be found.
fn told(findings: &[Value], places: &[&Place]) -> Vec<String> {
    let of = |finding: &&Value| {
        let at = found(std::slice::from_ref(*finding));
        places.iter().any(|place| at.contains(*place))
    };
    findings.iter().filter(of).map(|finding| format!("{} {}", finding["key"], finding["columns"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_postgres_in_json() {
    every_value("pg_json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_postgres_in_plain_json() {
    every_value("pg_plain").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_mariadb_in_plain_json() {
    every_value("my_plain").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_postgres_in_avro() {
    every_value("pg_avro").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_postgres_as_texts() {
    every_value("pg_string").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_postgres_as_doubles() {
    every_value("pg_double").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_mariadb_in_json() {
    every_value("my_json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_mariadb_as_texts() {
    every_value("my_string").await;
}
