//! TOML into a [`Node`] tree that knows its lines.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems};
use super::tree::{Node, Origin, Value};

/// Parses a file's text. Every syntax error is a problem; what could be read is returned beside them.
pub(super) fn parse(name: &str, text: &str, problems: &mut Problems) -> Node {
    let lines = Lines { path: name.into(), starts: line_starts(text) };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let origin = lines.origin(error.span().map_or(0, |span| span.start));
        let message = format!("this is not TOML: {}", error.message());
        problems.push(Problem { path: String::new(), origin: Some(origin), message });
    }
    let mut root = table(document.get_ref(), lines.origin(0), &lines, problems);
    root.origin = lines.origin(0);
    root
}

/// Parses one value as it would stand behind an equals sign.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let parsed = DeValue::parse(text).ok()?;
    let lines = Lines { path: "".into(), starts: vec![0] };
    let mut problems = Problems::default();
    let mut parsed = node(&parsed, &lines, &mut problems);
    restamp(&mut parsed, origin);
    problems.is_empty().then_some(parsed)
}

fn restamp(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        Value::List(list) => list.iter_mut().for_each(|node| restamp(node, origin)),
        Value::Table(table) => table.values_mut().for_each(|node| restamp(node, origin)),
        Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => {}
    }
}

struct Lines {
    path: Arc<str>,
    starts: Vec<usize>,
}

fn line_starts(text: &str) -> Vec<usize> {
    [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

impl Lines {
    fn origin(&self, byte: usize) -> Origin {
        Origin::File { path: self.path.clone(), line: self.starts.partition_point(|start| *start <= byte) }
    }
}

fn table(table: &DeTable<'_>, origin: Origin, lines: &Lines, problems: &mut Problems) -> Node {
    let entries = table.iter().map(|(key, value)| {
        let mut value = node(value, lines, problems);
        value.origin = lines.origin(key.span().start);
        (key.get_ref().to_string(), value)
    });
    Node { value: Value::Table(entries.collect()), origin }
}

fn node(from: &Spanned<DeValue<'_>>, lines: &Lines, problems: &mut Problems) -> Node {
    let origin = lines.origin(from.span().start);
    let value = match from.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(moment) => Value::Text(moment.to_string()),
        DeValue::Array(list) => Value::List(list.iter().map(|item| node(item, lines, problems)).collect()),
        DeValue::Table(entries) => return table(entries, origin, lines, problems),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Int(number),
            Err(_) => {
                let message = format!("`{}` does not fit 64 bits", number.as_str());
                problems.push(Problem { path: String::new(), origin: Some(origin.clone()), message });
                Value::Int(0)
            }
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
    };
    Node { value, origin }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Path;
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let mut problems = Problems::default();
        let tree = parse("a.toml", "[web]\nlisten = \"x\"\n\n[[alerts]]\nurl = \"u\"\n", &mut problems);
        let line = |path: Path| tree.origin_at(&path).map(|origin| origin.to_string());
        assert_eq!(line(Path::of(["web", "listen"])), Some("a.toml:2".into()));
        assert_eq!(line(Path::of(["alerts"]).index(0).key("url")), Some("a.toml:5".into()));
        assert!(problems.is_empty());
    }

    #[test]
    fn every_syntax_error_is_told_with_its_line() {
        let mut problems = Problems::default();
        parse("a.toml", "a = \nb = 1\nc = [1\n", &mut problems);
        let told: Vec<String> = problems.into_result().unwrap_err().list().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "a.toml:1: this is not TOML: string values must be quoted, expected literal string",
                "a.toml:3: this is not TOML: unclosed array, expected `]`",
            ]
        );
    }

    #[test]
    fn a_lone_value_is_read_as_toml() {
        let origin = Origin::Flag { flag: "--set" };
        assert_eq!(parse_value("[\"a\", \"b\"]", &origin).unwrap().to_json(), serde_json::json!(["a", "b"]));
        assert_eq!(parse_value("[a", &origin), None);
    }
}
