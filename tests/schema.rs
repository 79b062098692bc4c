//! The committed JSON Schemas are those of the types. `UPDATE_SCHEMAS=1 cargo test --test schema` writes them anew.

use std::fs;
use std::path::PathBuf;

use afterimage::report::{Alert, Document, Summary};
use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};

#[test]
fn finding() {
    check("finding.json", written().into_root_schema_for::<Document>());
}

#[test]
fn audit() {
    check("audit.json", written().into_root_schema_for::<Summary>());
}

#[test]
fn alert() {
    check("alert.json", written().into_root_schema_for::<Alert>());
}

/// Schemas say what is written: a member that is always there is required, though a reader could do without.
fn written() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

fn check(name: &str, schema: Schema) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(&path, text).expect("schemas/ can be written");
        return;
    }
    let committed = fs::read_to_string(&path).expect("the schema is committed");
    assert!(
        committed == text,
        "schemas/{name} is not that of the types: run `UPDATE_SCHEMAS=1 cargo test --test schema`"
    );
}
