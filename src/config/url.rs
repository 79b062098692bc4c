//! URLs of taps and targets: what stands before the question mark addresses the thing, the parameters behind it are keys
//! of its section.

use percent_encoding::percent_decode_str;

use super::secret::mask;
use super::tree::{Node, Origin, Value};
use super::unit::not_among;

/// The schemes of taps.
const TAP_SCHEMES: &[&str] = &["kafka", "file", "kinesis", "dynamodbstreams", "archive"];

/// The schemes of targets.
const TARGET_SCHEMES: &[&str] = &["postgres", "postgresql", "mysql", "mariadb", "sqlite", "dynamodb"];

/// Parameters that belong to the database drivers and stay in a target's URL.
const DRIVER_PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
    "charset",
    "collation",
    "socket",
    "timezone",
    "mode",
    "cache",
    "immutable",
    "vfs",
];

/// What a URL says of a tap.
#[derive(Debug, Clone, PartialEq)]
pub struct TapUrl {
    /// The section's keys.
    pub section: Node,
    /// What a pipeline is named after when nobody names it.
    pub name: String,
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Reads `kafka://host:port[,host:port]/topic[,topic…]?…`, `file:PATH?…` or `archive:FOLDER?…` into the keys of a tap section.
///
/// # Errors
/// What is wrong and what would be right.
pub fn tap(url: &str, origin: &Origin) -> Result<TapUrl, String> {
    let expected = "expected kafka://HOST:PORT/TOPIC[,TOPIC…]?group=GROUP, file:PATH or archive:FOLDER";
    let (scheme, rest) = url.split_once(':').ok_or_else(|| format!("`{}` is no tap: {expected}", mask(url)))?;
    match scheme {
        "kafka" => kafka(rest, origin).ok_or_else(|| format!("`{}` is no Kafka tap: {expected}", mask(url))),
        "file" => file(rest, origin).ok_or_else(|| format!("`{url}` names no file: {expected}")),
        "archive" => archive(rest, origin).ok_or_else(|| format!("`{url}` names no archive: {expected}")),
        "kinesis" | "dynamodbstreams" => Err(format!("`{scheme}:` taps are not supported by this version: {expected}")),
        _ => Err(not_among(scheme, TAP_SCHEMES)),
    }
}

fn kafka(rest: &str, origin: &Origin) -> Option<TapUrl> {
    let (brokers, rest) = rest.strip_prefix("//")?.split_once('/')?;
    let (topics, query) = topics(rest);
    if brokers.is_empty() || topics.is_empty() || topics.iter().any(String::is_empty) {
        return None;
    }
    let mut section = section("kafka", query, origin);
    let name = pipeline_name(&topics.join("-"));
    let list = topics.iter().map(|topic| Node::text(topic, origin)).collect();
    section.put(&["brokers".into()], Node::text(decoded(brokers), origin));
    section.put(&["topics".into()], Node { value: Value::List(list), origin: origin.clone() });
    Some(TapUrl { section, name })
}

/// Splits `a,/b,?/,c?group=g` into its topics and what stands behind the question mark: inside slashes commas and question
/// marks belong to the expression.
fn topics(mut rest: &str) -> (Vec<String>, &str) {
    let mut topics = Vec::new();
    loop {
        let end = match rest.strip_prefix('/') {
            Some(pattern) => pattern
                .match_indices('/')
                .map(|(at, _)| at + 2)
                .find(|end| rest[*end..].is_empty() || rest[*end..].starts_with([',', '?']))
                .unwrap_or(rest.len()),
            None => rest.find([',', '?']).unwrap_or(rest.len()),
        };
        topics.push(decoded(&rest[..end]));
        match rest[end..].split_at_checked(1) {
            Some((",", more)) => rest = more,
            Some((_, query)) => return (topics, query),
            None => return (topics, ""),
        }
    }
}

fn file(rest: &str, origin: &Origin) -> Option<TapUrl> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    let mut section = section("file", query, origin);
    let path = decoded(path);
    let stem = path.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
    let name = pipeline_name(if path == "-" { "stdin" } else { stem });
    section.put(&["path".into()], Node::text(path, origin));
    Some(TapUrl { section, name })
}

/// `archive:FOLDER`. Where an archive can lie is checked later.
fn archive(rest: &str, origin: &Origin) -> Option<TapUrl> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let place = decoded(place.strip_prefix("//").unwrap_or(place));
    let last = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if last.is_empty() {
        return None;
    }
    let mut section = section("archive", query, origin);
    let name = pipeline_name(last);
    section.put(&["url".into()], Node::text(place, origin));
    Some(TapUrl { section, name })
}

fn section(kind: &str, query: &str, origin: &Origin) -> Node {
    let mut section = Node::table(origin);
    section.put(&["type".into()], Node::text(kind, origin));
    for (name, value) in parameters(query) {
        put_parameter(&mut section, &name, value, origin);
    }
    section
}

/// `properties.security.protocol` is the entry `security.protocol` of the table `properties`; other names are keys.
fn put_parameter(section: &mut Node, name: &str, value: String, origin: &Origin) {
    let path = match name.strip_prefix("properties.") {
        Some(property) => vec!["properties".to_owned(), property.to_owned()],
        None => vec![name.to_owned()],
    };
    section.put(&path, Node::text(value, origin));
}

fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (decoded(name), decoded(value))
    })
}

/// A pipeline name made of any text: words of what a name may hold, joined by `_`.
fn pipeline_name(text: &str) -> String {
    /// Longer names make metrics and tables unreadable.
    const LONGEST: usize = 64;
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    let words: Vec<&str> =
        words.map(|word| word.trim_matches(['-', '_', '.'])).filter(|word| !word.is_empty()).collect();
    let name: String = words.join("_").chars().take(LONGEST).collect();
    if name.is_empty() { "pipeline".into() } else { name }
}

/// Splits a target's URL into the keys of its section: the URL without them, and each of them.
pub(super) fn target(url: &str, origin: &Origin) -> Node {
    let mut section = Node::table(origin);
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (ours, drivers): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|parameter| !parameter.is_empty()).partition(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default();
            !DRIVER_PARAMETERS.contains(&name) && !name.starts_with("options[")
        });
    for (name, value) in parameters(&ours.join("&")) {
        put_parameter(&mut section, &name, value, origin);
    }
    let query = if drivers.is_empty() { String::new() } else { format!("?{}", drivers.join("&")) };
    section.put(&["url".into()], Node::text(format!("{base}{query}"), origin));
    section
}

/// The scheme of a database URL, if it is one of the known ones.
///
/// # Errors
/// What is wrong and what would be right. Never the URL itself, which may hold a password.
pub(super) fn target_scheme(url: &str) -> Result<&'static str, String> {
    let scheme = url.split(':').next().filter(|_| url.contains(':')).unwrap_or_default();
    let known = TARGET_SCHEMES.iter().copied().find(|known| *known == scheme);
    known.ok_or_else(|| match scheme {
        "" => "this is no database URL: expected postgres://…, mysql://… or sqlite:PATH".into(),
        scheme => {
            format!("`{scheme}:` is no database that can be read: expected postgres://…, mysql://… or sqlite:PATH")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ORIGIN: Origin = Origin::Flag { flag: "--tap" };

    #[track_caller]
    fn check(url: &str, name: &str, section: serde_json::Value) {
        let read = tap(url, &ORIGIN).unwrap();
        assert_eq!((read.name.as_str(), read.section.to_json()), (name, section), "{url}");
    }

    #[test]
    fn tap_urls_become_keys() {
        check(
            "kafka://a:9092,b:9092/orders,items?group=g&from=-5",
            "orders-items",
            json!({"type": "kafka", "brokers": "a:9092,b:9092", "topics": ["orders", "items"], "group": "g", "from": "-5"}),
        );
        check(
            "kafka://h:1//^inventory\\.(a|b)?.{1,3}$/,x?properties.security.protocol=SSL",
            "inventory_a_b_1_3_x",
            json!({"type": "kafka", "brokers": "h:1", "topics": ["/^inventory\\.(a|b)?.{1,3}$/", "x"],
                   "properties": {"security.protocol": "SSL"}}),
        );
        check("file:dump/a%20b.jsonl.gz", "a_b", json!({"type": "file", "path": "dump/a b.jsonl.gz"}));
        check(
            "archive:/var/lib/orders%201?from=-5",
            "orders_1",
            json!({"type": "archive", "url": "/var/lib/orders 1", "from": "-5"}),
        );
        check("archive:tapes/shop/", "shop", json!({"type": "archive", "url": "tapes/shop/"}));
        check("file:-", "stdin", json!({"type": "file", "path": "-"}));
    }

    #[test]
    fn what_is_no_tap_says_what_would_be_right() {
        for (url, part) in [
            ("orders", "expected kafka://HOST:PORT/TOPIC"),
            ("kafka://h:1", "is no Kafka tap"),
            ("kafka://h:1/", "is no Kafka tap"),
            ("kafak://h:1/t", "did you mean `kafka`?"),
            ("file:", "names no file"),
            ("archive:", "names no archive"),
            ("kinesis://eu-west-1/s", "not supported by this version"),
        ] {
            let message = tap(url, &ORIGIN).unwrap_err();
            assert!(message.contains(part), "{url}: {message}");
        }
    }

    #[test]
    fn a_targets_url_keeps_what_belongs_to_the_driver() {
        let section = target("postgres://u:p@h/db?pooler=transaction&sslmode=require&max_connections=2", &ORIGIN);
        assert_eq!(
            section.to_json(),
            json!({"url": "postgres://u:p@h/db?sslmode=require", "pooler": "transaction", "max_connections": "2"})
        );
    }
}
