//! Schemas that records name and do not carry.

use std::fmt;

/// The name under which a registry knows a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaId {
    /// A number of 4 bytes, as Confluent's framing has it. What it counts is the registry's to say.
    Short(u32),
    /// A number of 8 bytes in the same place, as Apicurio's older framing has it.
    Long(u64),
    /// Apicurio's number of an artifact's version.
    Global(u64),
    /// Apicurio's number of a content, whatever artifacts have it.
    Content(u64),
    /// Confluent's GUID.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaId::Short(id) => write!(f, "schema {id}"),
            SchemaId::Long(id) => write!(f, "schema {id} (an id of 8 bytes)"),
            SchemaId::Global(id) => write!(f, "schema {id} (a global id)"),
            SchemaId::Content(id) => write!(f, "schema {id} (a content id)"),
            SchemaId::Guid(guid) => {
                f.write_str("schema ")?;
                guid.iter().enumerate().try_for_each(|(index, byte)| {
                    write!(f, "{}{byte:02x}", if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" })
                })
            }
        }
    }
}

/// The part of a record that a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

/// A schema that must be known before a record is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub id: SchemaId,
    /// The part of the record that names it.
    pub part: Part,
}

/// "the schema 7 of its key".
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Key => "key",
            Part::Value => "value",
        };
        write!(f, "{} of its {part}", self.id)
    }
}

/// What a registry holds under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The language it is written in, as registries name it: `AVRO`, `PROTOBUF`, `JSON` (JSON Schema), `KCONNECT` (the JSON
    /// form of Connect's own schemas).
    pub language: String,
    /// The schema.
    pub text: String,
    /// Schemas it refers to, each behind those that it refers to itself.
    pub references: Vec<Reference>,
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The name under which it is referred to.
    pub name: String,
    /// The schema.
    pub text: String,
}

impl Definition {
    /// Bytes of all its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() + self.references.iter().map(|one| one.name.len() + one.text.len()).sum::<usize>()
    }
}
