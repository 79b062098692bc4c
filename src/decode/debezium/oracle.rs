//! Values captured from real connectors beside what the database itself prints of them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cells::kind;
use super::schema::Node;
use crate::model::Cell;

#[derive(Deserialize)]
struct Captured<'a> {
    connector: &'a str,
    schema: Node,
    #[serde(borrow)]
    event: &'a RawValue,
    #[serde(rename = "type")]
    declared: String,
    source: Option<String>,
}

/// A decimal text by its value: no zeros behind the point, no sign on zero.
fn by_value(number: &str) -> String {
    let trimmed = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    if trimmed == "-0" { "0".to_owned() } else { trimmed.to_owned() }
}

/// Whether a cell is what the database printed.
fn agrees(captured: &Captured<'_>, cell: &Cell) -> bool {
    let Some(source) = captured.source.as_deref() else { return *cell == Cell::Null };
    match cell {
        Cell::Null => false,
        Cell::Bool(value) => {
            source == if *value { "true" } else { "false" } || source == if *value { "1" } else { "0" }
        }
        Cell::Int(value) => source.trim_start_matches('0') == value.to_string().trim_start_matches('0'),
        Cell::Decimal(text) => by_value(text) == by_value(&source.replace(['$', ','], "")),
        Cell::Float32(value) => source.parse::<f32>().is_ok_and(|read| same(read.into(), (*value).into())),
        Cell::Float64(value) => source.parse::<f64>().is_ok_and(|read| same(read, *value)),
        Cell::Bytes(_) => source.trim_start_matches("\\x").eq_ignore_ascii_case(&cell.to_string()),
        Cell::Local(..) | Cell::Instant(..) => {
            source.trim_end_matches("+00").replace(' ', "T") == cell.to_string().trim_end_matches('Z')
        }
        Cell::Text(text) => &**text == source || format!("{source:<8}") == **text,
        Cell::Opaque(pair) if captured.connector == "postgresql" => pair.1 == source,
        Cell::Opaque(pair) => u64::from_str_radix(&pair.1, 2).ok() == u64::from_str_radix(source, 16).ok(),
        Cell::Date(_) | Cell::Time(_) | Cell::Infinity(_) | Cell::Uuid(_) | Cell::Json(_) => source == cell.to_string(),
        Cell::Absent | Cell::NotSent | Cell::Redacted => false,
    }
}

fn same(read: f64, value: f64) -> bool {
    read == value || (read.is_nan() && value.is_nan())
}

/// The connectors themselves lose the rest: `values.lossy` lists each value that does not come through, as it does come.
#[test]
fn typed_cells_are_what_the_database_prints() {
    let mut lossy = include_str!("../../../tests/data/debezium/values.lossy").lines();
    for line in include_str!("../../../tests/data/debezium/values.jsonl").lines() {
        let captured: Captured<'_> = serde_json::from_str(line).expect("captured lines are JSON");
        let cell = kind(&captured.schema).written(captured.event.get()).expect("captured values fit their schemas");
        if !agrees(&captured, &cell) {
            let (kind, source) = (captured.schema.name.unwrap_or(captured.schema.base), captured.source);
            let told = format!(
                "{} {} {kind} {} -> {cell:?}",
                captured.connector,
                captured.declared,
                source.unwrap_or_default()
            );
            assert_eq!(Some(&*told), lossy.next());
        }
    }
    assert_eq!(lossy.next(), None);
}
