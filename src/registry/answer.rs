//! What registries answer.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::place::{Path, Place};

/// A schema, as it was answered.
pub(super) struct Answer {
    pub(super) language: String,
    pub(super) text: String,
    /// The schemas that it refers to: under which names, and where they are.
    pub(super) references: Vec<(String, Path)>,
}

/// Confluent's answer.
#[derive(Deserialize)]
struct Confluent {
    schema: String,
    #[serde(rename = "schemaType")]
    language: Option<String>,
    #[serde(default)]
    references: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    subject: String,
    version: i64,
}

/// A reference in Apicurio's own words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    #[serde(default)]
    name: String,
    #[serde(default)]
    group_id: Option<String>,
    artifact_id: String,
    version: String,
}

impl Answer {
    /// Reads an answer: the schema itself where the path says that its references are elsewhere, else Confluent's object.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(body: &str, path: &Path, place: &Place) -> Result<Answer, String> {
        if path.references.is_some() {
            let language = language_of(body).to_owned();
            return Ok(Answer { language, text: body.to_owned(), references: Vec::new() });
        }
        let Confluent { schema, language, references } = parse(body)?;
        Ok(Answer {
            language: language.unwrap_or_else(|| "AVRO".to_owned()),
            text: schema,
            references: references
                .into_iter()
                .map(|one| (one.name, place.subject(&one.subject, one.version)))
                .collect(),
        })
    }
}

/// The references of one of Apicurio's schemas.
///
/// # Errors
/// What is wrong with the answer.
pub(super) fn native_references(body: &str, place: &Place) -> Result<Vec<(String, Path)>, String> {
    let artifacts: Vec<Artifact> = parse(body)?;
    let path =
        |one: &Artifact| place.artifact(one.group_id.as_deref().unwrap_or_default(), &one.artifact_id, &one.version);
    Ok(artifacts.into_iter().map(|one| (one.name.clone(), path(&one))).collect())
}

/// The language of a schema that was answered without saying so: no two of them begin alike.
fn language_of(text: &str) -> &'static str {
    /// What tells the kinds of JSON apart.
    #[derive(Deserialize)]
    struct Marks<'a> {
        #[serde(rename = "type", default, borrow)]
        kind: Option<&'a RawValue>,
        #[serde(default)]
        fields: Option<IgnoredAny>,
        #[serde(default)]
        field: Option<IgnoredAny>,
        #[serde(default)]
        optional: Option<IgnoredAny>,
        #[serde(rename = "$schema", default)]
        dialect: Option<IgnoredAny>,
        #[serde(rename = "oneOf", default)]
        one_of: Option<IgnoredAny>,
        #[serde(default)]
        properties: Option<IgnoredAny>,
    }
    /// Types of JSON Schema that neither Avro nor Connect names so.
    const JSON_SCHEMA: [&str; 3] = ["\"object\"", "\"integer\"", "\"number\""];
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {}
        Some(b'[' | b'"') => return "AVRO",
        Some(_) | None => return if is_word(text) { "AVRO" } else { "PROTOBUF" },
    }
    let Ok(marks) = serde_json::from_str::<Marks<'_>>(text) else { return "AVRO" };
    let kind = marks.kind.map_or("", RawValue::get);
    let is_json = marks.dialect.is_some() || marks.one_of.is_some() || marks.properties.is_some();
    if kind == "\"struct\"" || marks.optional.is_some() || marks.field.is_some() {
        "KCONNECT"
    } else if is_json || (marks.fields.is_none() && JSON_SCHEMA.contains(&kind)) {
        "JSON"
    } else {
        "AVRO"
    }
}

fn is_word(text: &str) -> bool {
    text.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
}

/// Whether a 404 is a registry's own, which says that there is no such schema; any web server says 404 to a wrong path.
pub(super) fn says_missing(body: &str) -> bool {
    #[derive(Deserialize)]
    struct Error {
        /// Confluent's, of which 40403 is a missing schema and 404 a path that there is not.
        error_code: Option<i64>,
        /// Apicurio's own name of what it threw.
        name: Option<String>,
    }
    let error = serde_json::from_str::<Error>(body);
    error.is_ok_and(|error| {
        error.name.is_some_and(|name| name.ends_with("NotFoundException"))
            || error.error_code.is_some_and(|code| matches!(code, 40401..=40409))
    })
}

fn parse<'b, T: Deserialize<'b>>(body: &'b str) -> Result<T, String> {
    // The reader's own words might quote what was answered.
    serde_json::from_str(body).map_err(|error| format!("at line {} column {}", error.line(), error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart() {
        for (text, expected) in [
            (r#"{"type":"record","name":"R","fields":[]}"#, "AVRO"),
            (r#"["null","int"]"#, "AVRO"),
            (r#""long""#, "AVRO"),
            ("long", "AVRO"),
            (r#"{"type":"string","connect.version":1}"#, "AVRO"),
            (r#"{"type":"struct","fields":[],"optional":false,"name":"t.Envelope"}"#, "KCONNECT"),
            (r#"{"type":"string","optional":false}"#, "KCONNECT"),
            (r#"{"type":"object","title":"t.Envelope","properties":{}}"#, "JSON"),
            (r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#, "JSON"),
            (r#"{"type":"integer","connect.type":"int64"}"#, "JSON"),
            ("// made\nsyntax = \"proto3\";", "PROTOBUF"),
            ("", "AVRO"),
        ] {
            assert_eq!(language_of(text), expected, "{text}");
        }
    }
}
