//! Layers of written values, one over another, become a checked configuration: defaults, then the file, the environment,
//! and the flags.

use std::path::PathBuf;

use super::check::check;
use super::expand::{Surroundings, expand_all};
use super::problem::{Problems, closest};
use super::raw::RawConfig;
use super::tree::{Node, Origin, Path, Step, Value};
use super::unit::not_among;
use super::{Config, file, url};

/// Environment variables that begin like this are keys: `AFTERIMAGE__PIPELINES__ORDERS__SETTLE`.
const PREFIX: &str = "AFTERIMAGE__";

/// Everything that may say something about the configuration.
pub struct Layers<'a> {
    /// The file.
    pub file: Option<PathBuf>,
    /// Environment variables and files with secrets.
    pub around: &'a Surroundings,
    /// The flags.
    pub flags: Flags,
    /// What must be there.
    pub need: Need,
}

/// What a command needs of a configuration. Whatever is written is checked all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// No pipeline: only the findings store.
    Store,
    /// At least one pipeline, of which only the tap is read: its target may be missing.
    Taps,
    /// At least one pipeline.
    Pipelines,
}

/// The flags that are keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--tap`.
    pub tap: Option<String>,
    /// `--target`.
    pub target: Option<String>,
    /// `--applied`, each time it was given.
    pub applied: Vec<String>,
    /// `--registry`.
    pub registry: Option<String>,
    /// `--pipeline`: the one that the others speak of, and the only one wanted.
    pub pipeline: Option<String>,
}

/// A configuration, with all that is known of how it came to be.
#[derive(Debug)]
pub struct Loaded {
    /// What was understood.
    pub config: Config,
    /// Every key with its value, defaults included, as it may be shown: secrets are redacted.
    pub effective: serde_json::Value,
    written: Node,
}

impl Loaded {
    /// Where a value came from.
    #[must_use]
    pub fn origin(&self, path: &Path) -> Origin {
        self.written.origin_at(path).unwrap_or(Origin::Default)
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// Every mistake there is, each with the full path of its key.
pub fn load(layers: &Layers<'_>) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let mut written = Node::table(&Origin::Default);
    if let Some(path) = &layers.file {
        written = read_file(path, &mut problems);
    }
    // What was read of a broken file would only give mistakes that are none.
    std::mem::take(&mut problems).into_result()?;
    put_environment(&mut written, layers.around, &mut problems);
    put_flags(&mut written, &layers.flags, layers.around, &mut problems);
    if layers.need == Need::Taps {
        put_unread_targets(&mut written);
    }
    let mut failed: Vec<Path> = expand_and_split(&mut written, layers.around, &mut problems);
    let mut raw = understand(&written, &mut failed, &mut problems);
    keep_only(&mut raw, layers.flags.pipeline.as_deref(), &mut problems);
    if layers.need != Need::Store && raw.pipelines.is_empty() && problems.is_empty() {
        problems.flag("-c", "no pipeline is configured: give a file with one, or --tap and --target");
    }
    let config = check(&mut raw, &written, &failed, &mut problems);
    problems.into_result()?;
    let effective = serde_json::to_value(&raw).unwrap_or_default();
    match config {
        Some(config) => Ok(Loaded { config, effective, written }),
        None => unreachable!("a configuration that is refused has at least one problem"),
    }
}

fn read_file(path: &std::path::Path, problems: &mut Problems) -> Node {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => file::parse(&name, &text, problems),
        Err(error) => {
            problems.flag("-c", format!("cannot read `{name}`: {error}"));
            Node::table(&Origin::Default)
        }
    }
}

fn put_environment(written: &mut Node, around: &Surroundings, problems: &mut Problems) {
    for (name, value) in &around.variables {
        let Some(keys) = name.strip_prefix(PREFIX) else { continue };
        let origin = Origin::Environment { name: name.as_str().into() };
        let mut path: Vec<String> = Vec::new();
        for word in keys.split("__") {
            let key = key_of(word, written.get(&steps(&path, written)), path.last());
            path.push(key);
        }
        if path.iter().any(String::is_empty) {
            problems.at(&Path::default(), Some(origin), "names no key: expected AFTERIMAGE__SECTION__KEY");
            continue;
        }
        let structured = value.starts_with(['[', '{']).then(|| file::parse_value(value, &origin)).flatten();
        let node = structured.unwrap_or_else(|| Node::text(value, &origin));
        written.put(&path, node);
    }
}

/// The path of keys as it stands in a tree, where a number may be an index.
fn steps(keys: &[String], tree: &Node) -> Path {
    keys.iter().fold(Path::default(), |path, key| match (tree.get(&path).map(|node| &node.value), key.parse()) {
        (Some(Value::List(_)), Ok(index)) => path.index(index),
        _ => path.key(key),
    })
}

/// The key that a word of a variable's name stands for: variables know neither small letters nor dots. A key that was
/// written before is found again whatever its letters; properties of librdkafka have dots.
fn key_of(word: &str, table: Option<&Node>, parent: Option<&String>) -> String {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
    };
    let known = table.and_then(|table| table.keys().into_iter().find(|key| plain(key) == plain(word)));
    known.unwrap_or_else(|| match parent.map(String::as_str) {
        Some("properties") => word.to_ascii_lowercase().replace('_', "."),
        _ => word.to_ascii_lowercase(),
    })
}

fn put_flags(written: &mut Node, flags: &Flags, around: &Surroundings, problems: &mut Problems) {
    let origin = |flag| Origin::Flag { flag };
    let tap = flags.tap.as_ref().and_then(|text| {
        let text = super::expand::expand(text, around);
        let mut tap = problems.take("--tap", text.and_then(|text| url::tap(&text, &origin("--tap"))))?;
        // All that was written is expanded later; this is not to be once more.
        tap.section.each_text(&Path::default(), &mut |_, _, text| *text = text.replace("${", "$${"));
        Some(tap)
    });
    if tap.is_none() && flags.target.is_none() && flags.applied.is_empty() && flags.registry.is_none() {
        return;
    }
    let Some(name) = pipeline_of_flags(written, flags, tap.as_ref(), problems) else { return };
    let section = |key: &str| vec!["pipelines".to_owned(), name.clone(), key.to_owned()];
    if let Some(tap) = tap {
        let path = Path::of(["pipelines", &name, "tap"]);
        let same = written.text_at(&path.key("type")) == tap.section.text_at(&Path::of(["type"]));
        if !same {
            written.remove(&path);
        }
        written.put(&section("tap"), tap.section);
    }
    if let Some(target) = &flags.target {
        let path = Path::of(["pipelines", &name, "target"]);
        written.remove(&path.key("type"));
        let mut keys = section("target");
        keys.push("url".into());
        written.put(&keys, Node::text(target, &origin("--target")));
    }
    if let Some(registry) = &flags.registry {
        let mut keys = section("decode");
        keys.push("registry".into());
        written.put(&keys, Node::text(registry, &origin("--registry")));
    }
    if !flags.applied.is_empty() {
        let list = flags.applied.iter().map(|how| Node::text(how, &origin("--applied"))).collect();
        written.put(&section("applied"), Node { value: Value::List(list), origin: origin("--applied") });
    }
}

/// Gives pipelines without a target one that nobody reads, since a checked pipeline has a target.
fn put_unread_targets(written: &mut Node) {
    let pipelines = Path::of(["pipelines"]);
    for name in written.get(&pipelines).map(Node::keys).unwrap_or_default() {
        let url = pipelines.key(&name).key("target").key("url");
        if written.get(&url).is_none() {
            let keys = ["pipelines", &name, "target", "url"].map(str::to_owned);
            written.put(&keys, Node::text("sqlite:unread", &Origin::Default));
        }
    }
}

fn pipeline_of_flags(
    written: &Node,
    flags: &Flags,
    tap: Option<&url::TapUrl>,
    problems: &mut Problems,
) -> Option<String> {
    let known = written.get(&Path::of(["pipelines"])).map(Node::keys).unwrap_or_default();
    match (&flags.pipeline, known.as_slice(), tap) {
        (Some(name), _, _) => Some(name.clone()),
        (None, [only], _) => Some(only.clone()),
        (None, [], Some(tap)) => Some(tap.name.clone()),
        (None, [], None) if flags.tap.is_some() => None,
        (None, [], None) => {
            problems.flag("--tap", "missing: without a configuration file both --tap and --target are needed");
            None
        }
        (None, [_, _, ..], _) => {
            let names = super::unit::one_of(&known.iter().map(String::as_str).collect::<Vec<_>>());
            problems.flag(
                "--pipeline",
                format!("missing: say which pipeline --tap, --target and --applied are for: {names}"),
            );
            None
        }
    }
}

/// Expands variables, then moves the parameters of target URLs to the keys they are. Returns the paths that failed.
fn expand_and_split(written: &mut Node, around: &Surroundings, problems: &mut Problems) -> Vec<Path> {
    let failed = expand_all(written, around, problems);
    let pipelines = Path::of(["pipelines"]);
    for name in written.get(&pipelines).map(Node::keys).unwrap_or_default() {
        let path = pipelines.key(&name).key("target");
        let Some(target) = written.get_mut(&path.0) else { continue };
        let Some(node) = target.get(&Path::of(["url"])) else { continue };
        let Value::Text(text) = &node.value else { continue };
        let split = url::target(text, &node.origin);
        place_parameters(target, split, &path, problems);
    }
    failed
}

/// A parameter of a URL and the same key beside it: the later layer wins, within one layer it is a contradiction.
fn place_parameters(target: &mut Node, split: Node, path: &Path, problems: &mut Problems) {
    let layer = |origin: &Origin| match origin {
        Origin::Default => 0,
        Origin::File { .. } => 1,
        Origin::Environment { .. } => 2,
        Origin::Flag { .. } => 3,
    };
    for key in split.keys() {
        let Some(parameter) = split.get(&Path::of([key.as_str()])).cloned() else { continue };
        let beside = target.origin_at(&Path::of([key.as_str()])).filter(|_| key != "url");
        match beside.as_ref().map(|origin| layer(origin).cmp(&layer(&parameter.origin))) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => {
                problems.at(&path.key(&key), beside, "given twice: as a key and as a parameter of the URL; give one");
            }
            Some(std::cmp::Ordering::Less) | None => target.put(&[key], parameter),
        }
    }
}

/// Reads the raw sections. serde stops at the first mistake, so each one is noted, taken out of the tree, and the rest is
/// read again: what is left always reads, since every key has a default.
fn understand(written: &Node, failed: &mut Vec<Path>, problems: &mut Problems) -> RawConfig {
    let mut rest = written.clone();
    loop {
        let (path, message) = match read(&rest) {
            Ok(raw) => return raw,
            Err(mistake) => mistake,
        };
        match list_around(&path, &rest) {
            None => note(&path, &message, &rest, failed, problems),
            Some(list) => {
                for (path, message) in each_of_list(&list, &rest) {
                    note(&path, &message, &rest, failed, problems);
                }
            }
        }
        let removed = rest.remove(&path);
        failed.push(path);
        if removed.is_none() {
            return RawConfig::default();
        }
    }
}

/// Reads a tree, or tells the first mistake and its path.
fn read(tree: &Node) -> Result<RawConfig, (Path, String)> {
    serde_path_to_error::deserialize::<_, RawConfig>(tree.to_json())
        .map_err(|error| (path_of(error.path(), tree), error.inner().to_string()))
}

/// The list that goes as a whole when this path is removed.
fn list_around(path: &Path, tree: &Node) -> Option<Path> {
    let key = path.0.iter().rposition(|step| matches!(step, Step::Key(_)))?;
    let list = Path(path.0[..=key].to_vec());
    (key + 1 < path.0.len() && matches!(tree.get(&list)?.value, Value::List(_))).then_some(list)
}

/// The first mistake in each element of a list that will be removed as a whole.
fn each_of_list(list: &Path, tree: &Node) -> Vec<(Path, String)> {
    let Some(Value::List(elements)) = tree.get(list).map(|node| node.value.clone()) else { return Vec::new() };
    let mut mistakes = Vec::new();
    for (index, element) in elements.into_iter().enumerate() {
        let mut alone = tree.clone();
        if let Some(node) = alone.get_mut(&list.0) {
            node.value = Value::List(vec![element]);
        }
        let Err((path, message)) = read(&alone) else { continue };
        if path.0.len() > list.0.len() && path.touches(list) {
            let inside = path.0[list.0.len() + 1..].iter().cloned();
            let path = list.index(index).0.into_iter().chain(inside).collect();
            mistakes.push((Path(path), message));
        }
    }
    mistakes
}

fn note(path: &Path, message: &str, tree: &Node, failed: &mut Vec<Path>, problems: &mut Problems) {
    if failed.iter().any(|known| known.touches(path)) {
        return;
    }
    let parent = Path(path.0.split_last().map_or(&[][..], |(_, parents)| parents).to_vec());
    let (message, meant) = explain(message, &parent);
    problems.at(path, tree.origin_at(path), message);
    failed.extend(meant.map(|meant| parent.key(&meant)));
}

/// The path of an error, as far as it exists in the tree.
fn path_of(path: &serde_path_to_error::Path, tree: &Node) -> Path {
    let mut known = Path::default();
    for segment in path.iter() {
        let step = match segment {
            serde_path_to_error::Segment::Seq { index } => Step::Index(*index),
            serde_path_to_error::Segment::Map { key } => Step::Key(key.clone()),
            serde_path_to_error::Segment::Enum { variant } => Step::Key(variant.clone()),
            serde_path_to_error::Segment::Unknown => break,
        };
        let mut next = known.clone();
        next.0.push(step);
        if tree.get(&next).is_none() {
            break;
        }
        known = next;
    }
    known
}

/// serde's message in the words of a user, and the key that was meant, where one can be guessed.
fn explain(message: &str, parent: &Path) -> (String, Option<String>) {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = match names.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => (unknown, known),
        _ => return (in_plain_words(message), None),
    };
    if let Some(near) = closest(unknown, known.iter().copied()) {
        return (format!("unknown key: did you mean `{near}`?"), Some(near.to_owned()));
    }
    let in_a_pipeline = parent.0.len() == 2 && parent.touches(&Path::of(["pipelines"]));
    match super::raw::section_of(unknown).filter(|_| in_a_pipeline) {
        Some(section) => (format!("unknown key: did you mean `{unknown}` of the section `{section}`?"), None),
        None => (format!("unknown key: expected {}", super::unit::one_of(known)), None),
    }
}

fn in_plain_words(message: &str) -> String {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let what = what.replace("invalid type: ", "wrong type: ").replace("map", "a table").replace("sequence", "a list");
    match expected {
        "" => what,
        "a map" => format!("{what}, expected a table"),
        "a sequence" => format!("{what}, expected a list"),
        structure if structure.starts_with("struct ") => format!("{what}, expected a table"),
        other => format!("{what}, expected {other}"),
    }
}

fn keep_only(raw: &mut RawConfig, name: Option<&str>, problems: &mut Problems) {
    let Some(name) = name else { return };
    let names: Vec<&str> = raw.pipelines.keys().map(String::as_str).collect();
    match raw.pipelines.contains_key(name) {
        true => raw.pipelines.retain(|known, _| known == name),
        false if names.is_empty() => {
            problems.flag("--pipeline", format!("there is no pipeline `{name}`: none is configured"))
        }
        false => problems.flag("--pipeline", not_among(name, &names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::show::{Origins, toml};
    use crate::config::{Evidence, Tap, Topic};

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Surroundings { variables, read_file: |_| Ok("from-a-file\n".into()) }
    }

    fn flags(tap: &str, target: &str, applied: &[&str]) -> Flags {
        Flags {
            tap: Some(tap.into()),
            target: Some(target.into()),
            applied: applied.iter().map(|how| (*how).to_owned()).collect(),
            registry: None,
            pipeline: None,
        }
    }

    #[test]
    fn two_urls_say_enough() {
        let flags = flags(
            "kafka://b:9092/orders?group=g",
            "postgres://u@h/db?pooler=transaction",
            &["kafka-group:connect-x", "inferred"],
        );
        let loaded = load(&Layers { file: None, around: &around(&[]), flags, need: Need::Pipelines }).unwrap();
        let pipeline = &loaded.config.pipelines[0];
        assert_eq!(pipeline.name, "orders");
        assert_eq!(pipeline.progress.applied, [Evidence::KafkaGroup("connect-x".into()), Evidence::Inferred]);
        assert_eq!(pipeline.target.pooler, crate::config::Pooler::Transaction);
        let Tap::Kafka(tap) = &pipeline.tap else { panic!("a Kafka tap") };
        assert_eq!((tap.group.as_str(), &tap.topics), ("g", &vec![Topic::Name("orders".into())]));
    }

    #[test]
    fn the_later_layer_wins_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let text = "[pipelines.My-Orders]\nsettle = \"5s\"\npoll = \"2s\"\nstall_after = \"9s\"\n\
                    tap = { type = \"file\", path = \"a\" }\n\
                    target = { url = \"sqlite:${DB:-x.db}\", max_connections = 2 }\n";
        std::fs::write(&path, text).unwrap();
        let around = around(&[
            ("AFTERIMAGE__PIPELINES__MY_ORDERS__POLL", "3s"),
            ("AFTERIMAGE__PIPELINES__MY_ORDERS__TARGET__MAX_CONNECTIONS", "3"),
            ("AFTERIMAGE__STORE__URL", "postgres://u:${file:/pw}@h/d"),
            ("UNRELATED", "x"),
        ]);
        let flags = Flags { target: Some("sqlite:y.db?max_connections=7".into()), ..Flags::default() };
        let loaded = load(&Layers { file: Some(path), around: &around, flags, need: Need::Pipelines }).unwrap();
        let pipeline = &loaded.config.pipelines[0];
        assert_eq!((pipeline.judging.poll.as_secs(), pipeline.target.max_connections), (3, 7));
        let origin = |key: &str| loaded.origin(&Path::of(["pipelines", "My-Orders", key])).to_string();
        assert_eq!(origin("poll"), "environment AFTERIMAGE__PIPELINES__MY_ORDERS__POLL");
        assert!(origin("settle").ends_with("a.toml:2"), "{}", origin("settle"));
        assert_eq!(origin("zombie_after"), "default");
        let shown = toml(&loaded, Origins::Show);
        assert!(shown.contains("url = \"postgres://u:***@h/d\""), "{shown}");
        assert!(!shown.contains("from-a-file"), "{shown}");
    }

    #[test]
    fn what_is_shown_can_be_loaded_again() {
        for (tap, target) in [
            ("kafka://b:9092/a,/x.*/?properties.security.protocol=ssl", "mysql://h/db"),
            ("file:a.jsonl", "sqlite:a.db"),
            ("file:$${a}$$${b}", "sqlite:a.db"),
        ] {
            let flags = flags(tap, target, &[]);
            let loaded = load(&Layers { file: None, around: &around(&[]), flags, need: Need::Pipelines }).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("again.toml");
            std::fs::write(&path, toml(&loaded, Origins::Show)).unwrap();
            let again = load(&Layers {
                file: Some(path),
                around: &around(&[]),
                flags: Flags::default(),
                need: Need::Pipelines,
            })
            .unwrap();
            assert_eq!(again.effective, loaded.effective);
        }
    }

    #[test]
    fn every_mistake_is_told_once() {
        let around = around(&[("AFTERIMAGE__WEB__LISTEN", "0.0.0.0:1"), ("AFTERIMAGE__PIPELINES__A__POLL", "soon")]);
        let flags = Flags {
            tap: Some("file:x".into()),
            target: Some("oracle://h".into()),
            applied: vec!["guess".into()],
            registry: None,
            pipeline: None,
        };
        let problems = load(&Layers { file: None, around: &around, flags, need: Need::Pipelines }).unwrap_err();
        let paths: Vec<&str> = problems.list().iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["pipelines.a.applied[0]", "pipelines.a.poll", "pipelines.a.target.url", "web.listen"]);
    }
}
