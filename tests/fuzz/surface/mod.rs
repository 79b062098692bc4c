//! Where bytes from outside come in: one function for each place, from any bytes to a panic or to nothing. What a function
//! asserts beyond that holds for every input: the same bytes say the same, what is refused says why, what is shown can be
//! read again, and nothing grows out of all proportion to what came in.
//!
//! An input is made of parts with a line `--` between them, so that inputs can be written and read by hand; what the parts
//! are is said at each target.

mod finding;
mod grammar;
mod record;
mod registered;
mod settings;

/// A place where bytes come in.
pub(crate) type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("auto", record::auto),
    ("debezium", record::debezium),
    ("flattened", record::flattened),
    ("dms", record::dms),
    ("maxwell", record::maxwell),
    ("canal", record::canal),
    ("avro", registered::avro),
    ("protobuf", registered::protobuf),
    ("json_schema", registered::json_schema),
    ("config", settings::config),
    ("position", grammar::position),
    ("url", grammar::url),
    ("finding", finding::finding),
];

/// Hands an input to the target of a name. A name that is none is a mistake of whoever calls.
pub(crate) fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("there is a target of that name");
    target(bytes);
}

/// What stands between two parts.
const DIVIDER: &[u8] = b"\n--\n";

/// The parts of an input. There is always a first one.
fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    split(bytes, DIVIDER)
}

fn split<'a>(mut bytes: &'a [u8], divider: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = bytes.windows(divider.len()).position(|window| window == divider) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + divider.len()..];
    }
    parts.push(bytes);
    parts
}
