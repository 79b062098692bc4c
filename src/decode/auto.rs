//! The decoder of a tap: tells each record's format, or holds it to the declared one.

use super::avro::{Framed, framed};
use super::debezium::{Debezium, Letter, Unread};
use super::dms::Dms;
use super::sniff::{self, Shape};
use super::{Decoder, Format, Options, Schemas, Understood};
use crate::model::schema::Part;
use crate::model::{Definition, Record, Reject, SchemaId, Wanted};

/// Reads every format of this version.
#[derive(Debug)]
pub(super) struct Reader {
    options: Options,
    debezium: Debezium,
    dms: Dms,
    last: Format,
}

impl Reader {
    pub(super) fn new(options: &Options) -> Reader {
        Reader {
            options: options.clone(),
            debezium: Debezium::new(options),
            dms: Dms::new(options),
            last: Format::Auto,
        }
    }

    /// The format to try first: telling formats apart for certain costs a pass over the record.
    fn likely(&self, text: &str) -> Shape {
        let names_dms = || matches!(sniff::first_field(text), Some("data" | "metadata" | "control"));
        match self.options.format {
            Format::Dms => Shape::Dms,
            Format::Auto if names_dms() => Shape::Dms,
            Format::Debezium | Format::Auto => Shape::Debezium,
        }
    }

    fn read<'a>(&mut self, shape: Shape, letter: &Letter<'_, 'a>, text: &'a str) -> Result<Understood<'a>, Unread<'a>> {
        self.last = match shape {
            Shape::Dms => Format::Dms,
            Shape::Debezium | Shape::Control(_) => Format::Debezium,
            Shape::Null | Shape::Unread(_) => Format::Auto,
        };
        match (shape, self.options.format) {
            (Shape::Dms, Format::Auto | Format::Dms) => self.dms.decode(&self.options, letter.record, text),
            (Shape::Debezium, Format::Auto | Format::Debezium) => self.debezium.decode(letter, text),
            (Shape::Null, _) => Ok(Understood::Tombstone),
            (Shape::Control(word), Format::Auto | Format::Debezium) => Ok(Understood::Control(word)),
            (Shape::Control(_) | Shape::Debezium, Format::Dms) => Ok(reject("a Debezium record where DMS is declared")),
            (Shape::Dms, Format::Debezium) => Ok(reject("a DMS record where Debezium is declared")),
            (Shape::Unread(what), _) => Ok(reject(format!("{what}; not read by this version"))),
        }
    }

    /// Understands a text as what it most likely is, and if it is not that, as what it is.
    fn understand<'a>(&mut self, letter: &Letter<'_, 'a>, text: &'a str) -> Understood<'a> {
        let likely = self.likely(text);
        let (payload, complaint) = match self.read(likely, letter, text) {
            Ok(understood) => return understood,
            Err(Unread::Broken(reject)) => return Understood::Reject(reject),
            Err(Unread::Other { payload, complaint }) => (payload, complaint),
        };
        match sniff::shape(payload) {
            Ok(shape) if shape == likely => reject(complaint),
            Ok(shape) => match self.read(shape, letter, payload) {
                Ok(understood) => understood,
                Err(Unread::Broken(reject)) => Understood::Reject(reject),
                Err(Unread::Other { complaint, .. }) => reject(complaint),
            },
            Err(complaint) => reject(complaint),
        }
    }
}

impl Decoder for Reader {
    fn format(&self) -> Format {
        self.last
    }

    fn learn(&mut self, id: SchemaId, definition: &Definition) {
        self.debezium.learn(id, definition);
    }

    fn decode<'a>(&mut self, topic: &str, record: Record<'a>) -> Result<Understood<'a>, Wanted> {
        self.last = Format::Auto;
        let Some(value) = record.value else { return Ok(Understood::Tombstone) };
        match framed(&record, Part::Value, value) {
            Some(Ok(framed)) => return self.framed(topic, &record, framed),
            Some(Err(reason)) => return Ok(reject(reason)),
            None => {}
        }
        if let Some(framing) = sniff::framing(value) {
            return Ok(reject(format!("{framing}; not read by this version")));
        }
        let text = match simdutf8::compat::from_utf8(value) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                return Ok(reject(format!("neither UTF-8 text nor a known binary form: byte {at}")));
            }
        };
        let key = match self.debezium.framed_key(self.options.schemas, &record)? {
            Some(Ok(key)) => Some(key),
            Some(Err(reason)) => return Ok(reject(reason)),
            None => None,
        };
        Ok(self.understand(&Letter { topic, record: &record, key }, text))
    }
}

impl Reader {
    /// Understands a value whose schema is in a registry.
    fn framed<'a>(&mut self, topic: &str, record: &Record<'a>, value: Framed<'a>) -> Result<Understood<'a>, Wanted> {
        match (self.options.format, self.options.schemas) {
            (Format::Dms, _) => Ok(reject("a record whose schema is in a registry where DMS is declared")),
            (Format::Auto | Format::Debezium, Schemas::Nowhere) => {
                let id = value.id;
                Ok(reject(format!("its {id} is in a registry: set `decode.registry` to the address of that registry")))
            }
            (Format::Auto | Format::Debezium, Schemas::Registry) => {
                self.last = Format::Debezium;
                self.debezium.decode_framed(topic, record, value)
            }
        }
    }
}

fn reject<'a>(reason: impl Into<String>) -> Understood<'a> {
    Understood::Reject(Reject { reason: reason.into(), table: None })
}
