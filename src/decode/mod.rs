//! 2 ▸ Bytes become changes.
//!
//! Pure: no clock, no network. A record is understood in one of the forms of [`Understood`]; whatever is not becomes a
//! [`Reject`] with a reason, never a panic and never silence.

mod auto;
mod avro;
mod calendar;
mod canal;
mod debezium;
mod decimal;
mod dms;
mod frame;
mod guess;
mod json;
mod keys;
mod maxwell;
mod memo;
mod mysql;
mod protobuf;
mod row;
mod scan;
mod sniff;
#[cfg(test)]
mod tests;
mod written;

pub use self::keys::{KeyRule, KeyRules};
use crate::model::{Change, Definition, Record, Reject, SchemaId, Wanted};

/// The formats a tap may be declared to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Format {
    /// Sniffed for each record.
    #[default]
    Auto,
    /// Debezium envelopes as JSON, with or without schemas, or as Avro, Protobuf or JSON whose schemas are in a registry.
    Debezium,
    /// Rows alone, as Debezium's `ExtractNewRecordState` leaves them and other connectors write them; a null value is a delete.
    Flattened,
    /// AWS DMS JSON.
    Dms,
    /// Maxwell JSON.
    Maxwell,
    /// Canal JSON (`flatMessage`).
    Canal,
}

impl Format {
    /// Whether what a record says follows from records before it: DMS tells the columns and the key of a table once, and
    /// leaves out what is null; and only rows before it tell that a null value is a delete, unless that is declared. One decoder
    /// must read all of them, in order.
    #[must_use]
    pub fn depends_on_order(self) -> bool {
        match self {
            Format::Dms | Format::Flattened => true,
            Format::Auto | Format::Debezium | Format::Maxwell | Format::Canal => false,
        }
    }

    /// The word for it, in configuration and in what is printed; none for [`Format::Auto`].
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Format::Auto => None,
            Format::Debezium => Some("debezium"),
            Format::Flattened => Some("flattened"),
            Format::Dms => Some("dms"),
            Format::Maxwell => Some("maxwell"),
            Format::Canal => Some("canal"),
        }
    }

    /// What it is called in sentences.
    fn title(self) -> &'static str {
        match self {
            Format::Auto => "no format",
            Format::Debezium => "Debezium",
            Format::Flattened => "flattened",
            Format::Dms => "DMS",
            Format::Maxwell => "Maxwell",
            Format::Canal => "Canal",
        }
    }

    /// What one record of it is called.
    fn noun(self) -> &'static str {
        match self {
            Format::Auto => "an unknown record",
            Format::Debezium => "a Debezium record",
            Format::Flattened => "a row without an envelope (a flattened Debezium record or a plain row)",
            Format::Dms => "a DMS record",
            Format::Maxwell => "a Maxwell record",
            Format::Canal => "a Canal record",
        }
    }
}

/// Where schemas are that records name and do not carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Schemas {
    /// Nowhere: values that name one are not understood, keys that seem to do say nothing.
    #[default]
    Nowhere,
    /// In a registry: they are asked for.
    Registry,
}

/// What the user declared about the tap's records.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Format.
    pub format: Format,
    /// DMS: the top-level field its task settings name for the before image; empty: any object beside `data` and `metadata`.
    pub before_image: String,
    /// DMS: the task sends nulls and empty values (`IncludeNullAndEmpty`), so a missing column is not sent.
    pub include_null_and_empty: bool,
    /// Debezium: the marker of an unchanged, unsent column.
    pub placeholder: Option<String>,
    /// Rows: what the names of fields and headers begin with that tell of the change (`add.fields.prefix` and
    /// `add.headers.prefix`); `None`: `__`.
    pub fields_prefix: Option<String>,
    /// Schemas that records name.
    pub schemas: Schemas,
    /// Key columns of the user's choice. They are used whatever key a record has.
    pub keys: KeyRules,
}

/// A record, understood. Texts are parts of the record where that is possible.
#[derive(Debug, Clone, PartialEq)]
pub enum Understood<'a> {
    /// One change.
    Change(Change<'a>),
    /// A change of a key that one record carries whole: the delete of the old key, then the insert of the new one. Of
    /// Debezium's records only under a key of the user's choice: of its own keys it writes two records.
    KeyChange(Box<(Change<'a>, Change<'a>)>),
    /// Changes of different keys that one record carries, in its order. Canal writes all rows of one event of the binary log
    /// into one record.
    Changes(Vec<Change<'a>>),
    /// A null value behind a delete: it says nothing new.
    Tombstone,
    /// Heartbeats, transaction metadata, schema changes, messages, DMS control records: the word says which.
    Control(&'static str),
    /// Not understood.
    Reject(Reject),
}

impl Understood<'_> {
    /// The same, in need of nothing else.
    #[must_use]
    pub fn into_owned(self) -> Understood<'static> {
        match self {
            Understood::Change(change) => Understood::Change(change.into_owned()),
            Understood::KeyChange(pair) => {
                let (old, new) = *pair;
                Understood::KeyChange(Box::new((old.into_owned(), new.into_owned())))
            }
            Understood::Changes(changes) => Understood::Changes(changes.into_iter().map(Change::into_owned).collect()),
            Understood::Tombstone => Understood::Tombstone,
            Understood::Control(word) => Understood::Control(word),
            Understood::Reject(reject) => Understood::Reject(reject),
        }
    }
}

/// A decoder for one worker thread. Keeps caches of column names; gives the same answer whatever they hold, except in formats
/// that [depend on order](Format::depends_on_order).
pub trait Decoder: Send {
    /// Understands one record of `topic`.
    ///
    /// # Errors
    /// A schema must be known first: after [`Decoder::learn`] the record is asked for again.
    fn decode<'a>(&mut self, topic: &str, record: Record<'a>) -> Result<Understood<'a>, Wanted>;

    /// Takes what a registry holds under an id. Kept within a bound: it may be wanted again.
    fn learn(&mut self, id: SchemaId, definition: &Definition);

    /// The format the last record was read as; [`Format::Auto`] where it was of none.
    fn format(&self) -> Format;
}

/// A decoder for the declared format.
#[must_use]
pub fn decoder(options: &Options) -> Box<dyn Decoder> {
    Box::new(auto::Reader::new(options))
}
