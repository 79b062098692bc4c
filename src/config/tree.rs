//! Values as they were written, each with where it was written. Layers of them are laid over one another before anything
//! is understood.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where a value came from. A later one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody wrote it.
    Default,
    /// A file and its line.
    File {
        /// Path, as it was given.
        path: Arc<str>,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: Arc<str>,
    },
    /// A flag of the command line.
    Flag {
        /// The flag with its dashes.
        flag: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::Environment { name } => write!(f, "environment {name}"),
            Origin::Flag { flag } => write!(f, "flag {flag}"),
        }
    }
}

/// One step from a value to a value inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Key of a table.
    Key(String),
    /// Index in a list.
    Index(usize),
}

/// The full path of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// From keys.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Path {
        Path(keys.into_iter().map(|key| Step::Key(key.to_owned())).collect())
    }

    /// This path and one key more.
    #[must_use]
    pub fn key(&self, key: &str) -> Path {
        self.with(Step::Key(key.to_owned()))
    }

    /// This path and one index more.
    #[must_use]
    pub fn index(&self, index: usize) -> Path {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Path {
        Path(self.0.iter().cloned().chain([step]).collect())
    }

    /// Whether one of the two is the other or lies inside it.
    #[must_use]
    pub fn touches(&self, other: &Path) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if key.contains(['.', ' ', '"']) || key.is_empty() => {
                    write!(f, "{}{key:?}", if position > 0 { "." } else { "" })?;
                }
                Step::Key(key) => write!(f, "{}{key}", if position > 0 { "." } else { "" })?,
            }
        }
        Ok(())
    }
}

/// A written value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Node>),
}

/// A written value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

impl Node {
    /// A text.
    pub fn text(text: impl Into<String>, origin: &Origin) -> Node {
        Node { value: Value::Text(text.into()), origin: origin.clone() }
    }

    /// A table without keys.
    #[must_use]
    pub fn table(origin: &Origin) -> Node {
        Node { value: Value::Table(BTreeMap::new()), origin: origin.clone() }
    }

    /// The keys of a table; none of anything else.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        match &self.value {
            Value::Table(table) => table.keys().cloned().collect(),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) => Vec::new(),
        }
    }

    /// The value at a path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Node> {
        path.0.iter().try_fold(self, |node, step| match (&node.value, step) {
            (Value::Table(table), Step::Key(key)) => table.get(key),
            (Value::List(list), Step::Index(index)) => list.get(*index),
            _ => None,
        })
    }

    /// The text at a path.
    #[must_use]
    pub fn text_at(&self, path: &Path) -> Option<&str> {
        match &self.get(path)?.value {
            Value::Text(text) => Some(text),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) => None,
        }
    }

    /// Where the value at a path was written; of a value that was not, `None`.
    #[must_use]
    pub fn origin_at(&self, path: &Path) -> Option<Origin> {
        self.get(path).map(|node| node.origin.clone())
    }

    /// Lays a value over what stands at a path of keys, making tables on the way. A list on the way is entered by a number that is one of
    /// its indices or the next one. What stood in the way of a table is replaced: the later layer wins.
    pub fn put(&mut self, path: &[String], node: Node) {
        let Some((first, rest)) = path.split_first() else {
            return self.overlay(node);
        };
        let origin = node.origin.clone();
        if let (Value::List(list), Ok(index)) = (&mut self.value, first.parse::<usize>())
            && index <= list.len()
        {
            if index == list.len() {
                list.push(Node::table(&origin));
            }
            return list[index].put(rest, node);
        }
        if !matches!(self.value, Value::Table(_)) {
            *self = Node::table(&origin);
        }
        if let Value::Table(table) = &mut self.value {
            table.entry(first.clone()).or_insert_with(|| Node::table(&origin)).put(rest, node);
        }
    }

    /// Takes away the value at a path. An element of a list goes with its whole list, so that no index shifts.
    pub fn remove(&mut self, path: &Path) -> Option<Node> {
        let last = path.0.iter().rposition(|step| matches!(step, Step::Key(_)))?;
        let (Step::Key(key), parents) = (&path.0[last], &path.0[..last]) else { return None };
        match &mut self.get_mut(parents)?.value {
            Value::Table(table) => table.remove(key),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, steps: &[Step]) -> Option<&mut Node> {
        steps.iter().try_fold(self, |node, step| match (&mut node.value, step) {
            (Value::Table(table), Step::Key(key)) => table.get_mut(key),
            (Value::List(list), Step::Index(index)) => list.get_mut(*index),
            _ => None,
        })
    }

    /// Lays another tree over this one: its tables are merged key by key, everything else of it replaces what is here.
    pub fn overlay(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Table(under), Value::Table(over)) => {
                for (key, node) in over {
                    match under.get_mut(&key) {
                        Some(known) => known.overlay(node),
                        None => {
                            under.insert(key, node);
                        }
                    }
                }
            }
            (_, value) => *self = Node { value, origin: over.origin },
        }
    }

    /// Calls `change` with every text of the tree and its path.
    pub fn each_text(&mut self, path: &Path, change: &mut dyn FnMut(&Path, &Origin, &mut String)) {
        match &mut self.value {
            Value::Text(text) => change(path, &self.origin, text),
            Value::List(list) => {
                for (index, node) in list.iter_mut().enumerate() {
                    node.each_text(&path.index(index), change);
                }
            }
            Value::Table(table) => {
                for (key, node) in table {
                    node.each_text(&path.key(key), change);
                }
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {}
        }
    }

    /// The tree without its origins.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) => text.as_str().into(),
            Value::Int(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(flag) => (*flag).into(),
            Value::List(list) => list.iter().map(Node::to_json).collect(),
            Value::Table(table) => {
                serde_json::Value::Object(table.iter().map(|(key, node)| (key.clone(), node.to_json())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, &str)], flag: &'static str) -> Node {
        let origin = Origin::Flag { flag };
        let mut root = Node::table(&origin);
        for (path, text) in entries {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            root.put(&path, Node::text(*text, &origin));
        }
        root
    }

    #[test]
    fn a_later_layer_wins_key_by_key_and_keeps_its_origin() {
        let mut under = tree(&[("a.b", "1"), ("a.c", "2")], "--under");
        under.overlay(tree(&[("a.c", "3"), ("d", "4")], "--over"));
        let at = |keys: [&str; 2]| under.get(&Path::of(keys)).map(|node| (node.to_json(), node.origin.to_string()));
        assert_eq!(at(["a", "b"]), Some(("1".into(), "flag --under".into())));
        assert_eq!(at(["a", "c"]), Some(("3".into(), "flag --over".into())));
        assert_eq!(under.text_at(&Path::of(["d"])), Some("4"));
    }

    #[test]
    fn a_list_is_entered_by_index() {
        let origin = Origin::Default;
        let list = Node { value: Value::List(vec![Node::table(&origin)]), origin: origin.clone() };
        let mut root = Node::table(&origin);
        root.put(&["alerts".into()], list);
        root.put(&["alerts".into(), "0".into(), "url".into()], Node::text("x", &origin));
        root.put(&["alerts".into(), "1".into(), "url".into()], Node::text("y", &origin));
        assert_eq!(root.to_json(), serde_json::json!({"alerts": [{"url": "x"}, {"url": "y"}]}));
    }

    #[test]
    fn a_path_reads_as_it_is_written() {
        let path = Path::of(["pipelines", "orders", "tap", "properties", "sasl.password"]).index(0);
        assert_eq!(path.to_string(), "pipelines.orders.tap.properties.\"sasl.password\"[0]");
    }
}
