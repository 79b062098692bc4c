//! The decoder of a tap: tells each record's format, or holds it to the declared one.

use super::debezium::{Debezium, Unread};
use super::dms::Dms;
use super::sniff::{self, Shape};
use super::{Decoder, Format, Options, Understood};
use crate::model::{Record, Reject};

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

    fn read<'a>(
        &mut self,
        shape: Shape,
        topic: &str,
        record: &Record<'a>,
        text: &'a str,
    ) -> Result<Understood<'a>, Unread<'a>> {
        self.last = match shape {
            Shape::Dms => Format::Dms,
            Shape::Debezium | Shape::Control(_) => Format::Debezium,
            Shape::Null | Shape::Unread(_) => Format::Auto,
        };
        match (shape, self.options.format) {
            (Shape::Dms, Format::Auto | Format::Dms) => self.dms.decode(&self.options, record, text),
            (Shape::Debezium, Format::Auto | Format::Debezium) => self.debezium.decode(topic, record, text),
            (Shape::Null, _) => Ok(Understood::Tombstone),
            (Shape::Control(word), Format::Auto | Format::Debezium) => Ok(Understood::Control(word)),
            (Shape::Control(_) | Shape::Debezium, Format::Dms) => Ok(reject("a Debezium record where DMS is declared")),
            (Shape::Dms, Format::Debezium) => Ok(reject("a DMS record where Debezium is declared")),
            (Shape::Unread(what), _) => Ok(reject(format!("{what}; not read by this version"))),
        }
    }

    /// Understands a text as what it most likely is, and if it is not that, as what it is.
    fn understand<'a>(&mut self, topic: &str, record: &Record<'a>, text: &'a str) -> Understood<'a> {
        let likely = self.likely(text);
        let (payload, complaint) = match self.read(likely, topic, record, text) {
            Ok(understood) => return understood,
            Err(Unread::Broken(reject)) => return Understood::Reject(reject),
            Err(Unread::Other { payload, complaint }) => (payload, complaint),
        };
        match sniff::shape(payload) {
            Ok(shape) if shape == likely => reject(complaint),
            Ok(shape) => match self.read(shape, topic, record, payload) {
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

    fn decode<'a>(&mut self, topic: &str, record: Record<'a>) -> Understood<'a> {
        self.last = Format::Auto;
        let Some(value) = record.value else { return Understood::Tombstone };
        if let Some(framing) = sniff::framing(&record, value) {
            return reject(format!("{framing}; not read by this version"));
        }
        let text = match simdutf8::compat::from_utf8(value) {
            Ok(text) => text,
            Err(error) => {
                return reject(format!("neither UTF-8 text nor a known binary form: byte {}", error.valid_up_to()));
            }
        };
        self.understand(topic, &record, text)
    }
}

fn reject<'a>(reason: impl Into<String>) -> Understood<'a> {
    Understood::Reject(Reject { reason: reason.into(), table: None })
}
