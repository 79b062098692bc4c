//! The effective configuration as text: TOML that could be used again, or JSON. Secrets are redacted.

use serde_json::Value;

use super::load::Loaded;
use super::secret::{REDACTED, is_secret_name};
use super::tree::{Path, Step};

/// Whether each value is followed by where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origins {
    /// Values only.
    Hide,
    /// A comment behind each value.
    Show,
}

/// As TOML.
#[must_use]
pub fn toml(loaded: &Loaded, origins: Origins) -> String {
    let mut out = String::new();
    table(loaded, origins, &loaded.effective, &Path::default(), &mut out);
    out.trim_start().to_owned()
}

/// As one JSON object; with origins, each value is `{"value": …, "origin": "…"}`.
#[must_use]
pub fn json(loaded: &Loaded, origins: Origins) -> Value {
    json_at(loaded, origins, &loaded.effective, &Path::default())
}

fn json_at(loaded: &Loaded, origins: Origins, value: &Value, path: &Path) -> Value {
    match value {
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), json_at(loaded, origins, value, &path.key(key)))).collect()
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            let items = list.iter().enumerate();
            items.map(|(index, value)| json_at(loaded, origins, value, &path.index(index))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => match origins {
            Origins::Hide => shown(value, path),
            Origins::Show => {
                serde_json::json!({ "value": shown(value, path), "origin": loaded.origin(path).to_string() })
            }
        },
    }
}

/// A value, unless its key is secret by its name, as properties of librdkafka may be.
fn shown(value: &Value, path: &Path) -> Value {
    let under_properties = path.0.iter().rev().nth(1) == Some(&Step::Key("properties".into()));
    match path.0.last() {
        Some(Step::Key(key)) if under_properties && is_secret_name(key) => REDACTED.into(),
        _ => value.clone(),
    }
}

fn is_table(value: &Value) -> bool {
    value.is_object() || value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
}

fn table(loaded: &Loaded, origins: Origins, value: &Value, path: &Path, out: &mut String) {
    let Value::Object(entries) = value else { return };
    let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let plain = entries.iter().filter(|(_, value)| !is_table(value) && !empty(value)).map(|(key, value)| {
        let path = path.key(key);
        (format!("{} = {}", quoted(key), inline(&shown(value, &path))), loaded.origin(&path))
    });
    let lines: Vec<_> = plain.collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    for (line, origin) in lines {
        match origins {
            Origins::Hide => out.push_str(&line),
            Origins::Show => out.push_str(&format!("{line:<width$}  # {origin}")),
        }
        out.push('\n');
    }
    for (key, value) in entries {
        let path = path.key(key);
        match value {
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(inner) => {
                if inner.values().any(|value| !is_table(value)) {
                    out.push_str(&format!("\n[{}]\n", header(&path)));
                }
                table(loaded, origins, value, &path, out);
            }
            Value::Array(list) if is_table(value) => {
                for (index, item) in list.iter().enumerate() {
                    out.push_str(&format!("\n[[{}]]\n", header(&path)));
                    table(loaded, origins, item, &path.index(index), out);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
    }
}

/// The name of a table: TOML knows no index, the last element of a list is meant.
fn header(path: &Path) -> String {
    let keys = path.0.iter().filter_map(|step| match step {
        Step::Key(key) => Some(quoted(key)),
        Step::Index(_) => None,
    });
    keys.collect::<Vec<_>>().join(".")
}

fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { key.to_owned() } else { toml::Value::from(key).to_string() }
}

fn inline(value: &Value) -> String {
    let value = plain(value);
    toml::Value::try_from(&value).map_or_else(|_| value.to_string(), |value| value.to_string())
}

/// Texts as they must be written to be read as they are: `${` would be expanded.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace("${", "$${").into(),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.clone(),
    }
}
