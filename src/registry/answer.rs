//! What registries answer.

use serde::Deserialize;

use super::place::{Path, Place};

/// A schema, as it was answered.
pub(super) struct Answer {
    pub(super) language: String,
    pub(super) text: String,
    /// Where the schemas are that it refers to.
    pub(super) references: Vec<Path>,
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
    subject: String,
    version: i64,
}

/// A reference in Apicurio's own words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
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
            return Ok(Answer { language: "AVRO".to_owned(), text: body.to_owned(), references: Vec::new() });
        }
        let Confluent { schema, language, references } = parse(body)?;
        Ok(Answer {
            language: language.unwrap_or_else(|| "AVRO".to_owned()),
            text: schema,
            references: references.iter().map(|one| place.subject(&one.subject, one.version)).collect(),
        })
    }
}

/// The references of one of Apicurio's schemas.
///
/// # Errors
/// What is wrong with the answer.
pub(super) fn native_references(body: &str, place: &Place) -> Result<Vec<Path>, String> {
    let artifacts: Vec<Artifact> = parse(body)?;
    let path =
        |one: &Artifact| place.artifact(one.group_id.as_deref().unwrap_or_default(), &one.artifact_id, &one.version);
    Ok(artifacts.iter().map(path).collect())
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
