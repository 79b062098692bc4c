//! The wrapping that `JsonConverter` puts around a key or a value under `schemas.enable`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::schema::{Schema, Schemas};
use crate::decode::{json, sniff};

/// A JSON text without the wrapping of `schemas.enable`.
pub(super) struct Unwrapped<'a> {
    pub(super) schema: Option<Arc<Schema>>,
    pub(super) payload: &'a str,
    /// Whether the wrapping was taken to be that of the record before, and not scanned.
    pub(super) guessed: bool,
}

/// What `JsonConverter` writes with `schemas.enable`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapping<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Takes schema and payload apart. The schema is nearly always the one of the record before, byte for byte: then it
/// is compared and not scanned. Nothing is wrapped where the schema was told from elsewhere.
pub(super) fn unwrap<'a>(
    schemas: &mut Schemas,
    last: &mut Option<Arc<Schema>>,
    (text, told): (&'a str, Option<&Arc<Schema>>),
) -> Result<Unwrapped<'a>, String> {
    if let Some(schema) = told {
        return Ok(Unwrapped { schema: Some(Arc::clone(schema)), payload: text, guessed: false });
    }
    if let Some(schema) = last.as_ref()
        && let Some(payload) = payload_after(text, &schema.text)
    {
        return Ok(Unwrapped { schema: Some(Arc::clone(schema)), payload, guessed: true });
    }
    if !matches!(sniff::first_field(text), Some("schema" | "payload")) {
        return Ok(Unwrapped { schema: None, payload: text, guessed: false });
    }
    let Ok(Wrapping { schema, payload }) = serde_json::from_str(text) else {
        return Ok(Unwrapped { schema: None, payload: text, guessed: false });
    };
    let schema = schema.map(|schema| schemas.of(schema.get())).transpose()?;
    last.clone_from(&schema);
    Ok(Unwrapped { schema, payload: payload.map_or("null", RawValue::get), guessed: false })
}

fn payload_after<'a>(text: &'a str, schema: &str) -> Option<&'a str> {
    let rest = text.strip_prefix("{\"schema\":")?.strip_prefix(schema)?;
    rest.strip_prefix(",\"payload\":")?.trim_end_matches(json::SPACE).strip_suffix('}')
}
