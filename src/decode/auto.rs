//! The decoder of a tap: tells each record's format, or holds it to the declared one.

use std::sync::Arc;

use super::canal::Canal;
use super::debezium::{Debezium, Letter, Likeness, Schema, Unframed, Unread};
use super::dms::Dms;
use super::frame::{Framed, framed};
use super::json;
use super::maxwell::Maxwell;
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
    maxwell: Maxwell,
    canal: Canal,
    last: Format,
}

impl Reader {
    pub(super) fn new(options: &Options) -> Reader {
        Reader {
            options: options.clone(),
            debezium: Debezium::new(options),
            dms: Dms::new(options),
            maxwell: Maxwell::new(options),
            canal: Canal::new(options),
            last: Format::Auto,
        }
    }

    /// The format to try first: telling formats apart for certain costs a pass over the record.
    fn likely(&self, topic: &str, text: &str) -> Shape {
        match self.options.format {
            Format::Dms => Shape::Dms,
            Format::Maxwell => Shape::Maxwell,
            Format::Canal => Shape::Canal,
            Format::Debezium => Shape::Debezium,
            Format::Flattened => Shape::Flattened,
            Format::Auto => match sniff::first_field(text) {
                Some("data") if text.starts_with("{\"data\":[") => Shape::Canal,
                Some("data" | "metadata" | "control") => Shape::Dms,
                Some("database") => Shape::Maxwell,
                Some(_) | None if self.debezium.has_rows(topic) => Shape::Flattened,
                Some(_) | None => Shape::Debezium,
            },
        }
    }

    fn read<'a>(
        &mut self,
        (shape, likeness): (Shape, Likeness),
        letter: &Letter<'_, 'a>,
        text: &'a str,
    ) -> Result<Understood<'a>, Unread<'a>> {
        let found = match shape {
            Shape::Dms => Format::Dms,
            Shape::Maxwell => Format::Maxwell,
            Shape::Canal => Format::Canal,
            Shape::Flattened => Format::Flattened,
            Shape::Debezium | Shape::Cloud | Shape::Control(_) => Format::Debezium,
            Shape::Null | Shape::Unread(_) => Format::Auto,
        };
        let declared = self.options.format;
        self.last = found;
        let control = matches!(shape, Shape::Control(_)) && declared == Format::Flattened;
        if found != declared && found != Format::Auto && declared != Format::Auto && !control {
            return Ok(reject(format!("{} where {} is declared", found.noun(), declared.title())));
        }
        match shape {
            Shape::Debezium => self.debezium.decode(letter, text),
            Shape::Cloud => self.debezium.decode_cloud(letter, text),
            Shape::Flattened => self.debezium.decode_row(letter, text, likeness),
            Shape::Dms => self.dms.decode(&self.options, letter.record, text),
            Shape::Maxwell => self.maxwell.decode(letter.record, text),
            Shape::Canal => self.canal.decode(text),
            Shape::Null => Ok(self.absent(letter)),
            Shape::Control(word) => Ok(Understood::Control(word)),
            Shape::Unread(what) => Ok(reject(format!("{what}; not read by this version"))),
        }
    }

    /// Understands a text as what it most likely is, and if it is not that, as what it is.
    fn understand<'a>(&mut self, letter: &Letter<'_, 'a>, text: &'a str) -> Understood<'a> {
        let likely = self.likely(letter.topic, text);
        let (payload, complaint) = match self.read((likely, Likeness::Likely), letter, text) {
            Ok(understood) => return understood,
            Err(Unread::Broken(reject)) => return Understood::Reject(reject),
            Err(Unread::Other { payload, complaint }) => (payload, complaint),
        };
        let shape = match sniff::shape(payload).map(|shape| self.settled(shape)) {
            Ok(shape) if shape == likely && shape != Shape::Flattened => return reject(complaint),
            Ok(shape) => shape,
            Err(complaint) => return self.unpacked(letter, text).unwrap_or_else(|| reject(complaint)),
        };
        // A row is read by the schema beside it.
        let text = if shape == Shape::Flattened { text } else { payload };
        match self.read((shape, Likeness::Certain), letter, text) {
            Ok(understood) => understood,
            Err(Unread::Broken(reject)) => Understood::Reject(reject),
            Err(Unread::Other { complaint, .. }) => reject(complaint),
        }
    }

    /// Understands a text that is base64 of one, as bridges from Kinesis may write the records of DMS.
    fn unpacked(&mut self, letter: &Letter<'_, '_>, text: &str) -> Option<Understood<'static>> {
        // Base64 of an object begins with one of these; of one that is packed again it does not.
        if !text.starts_with("ey") && !text.starts_with("ew") {
            return None;
        }
        let value = String::from_utf8(json::base64(text.trim_ascii()).ok()?).ok()?;
        Some(self.understand(letter, &value).into_owned())
    }

    /// Where rows are declared, one with the columns of another format is a row.
    fn settled(&self, shape: Shape) -> Shape {
        match shape {
            Shape::Dms | Shape::Maxwell | Shape::Canal | Shape::Unread(_)
                if self.options.format == Format::Flattened =>
            {
                Shape::Flattened
            }
            Shape::Debezium
            | Shape::Cloud
            | Shape::Dms
            | Shape::Maxwell
            | Shape::Canal
            | Shape::Flattened
            | Shape::Null
            | Shape::Control(_)
            | Shape::Unread(_) => shape,
        }
    }

    /// A null value: in a topic of rows the delete of its key, elsewhere nothing.
    fn absent<'a>(&mut self, letter: &Letter<'_, 'a>) -> Understood<'a> {
        if !self.holds_rows(letter.topic) {
            return Understood::Tombstone;
        }
        self.last = Format::Flattened;
        self.debezium.decode_absent(letter)
    }

    fn holds_rows(&self, topic: &str) -> bool {
        match self.options.format {
            Format::Flattened => true,
            Format::Auto => self.debezium.has_rows(topic),
            Format::Debezium | Format::Dms | Format::Maxwell | Format::Canal => false,
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
        let mut understood = self.decode_as_is(topic, record);
        if let Ok(Understood::Reject(reject)) = &mut understood {
            legible(&mut reject.reason);
        }
        understood
    }
}

/// Makes one line of a reason, of a length that a person reads: what it names came with the record.
fn legible(reason: &mut String) {
    /// More than any reason has that names things of usual length.
    const LONGEST: usize = 500;

    if reason.contains(char::is_control) {
        *reason = reason.replace(char::is_control, "\u{fffd}");
    }
    if let Some((at, _)) = reason.char_indices().nth(LONGEST) {
        reason.truncate(at);
        reason.push('…');
    }
}

impl Reader {
    #[inline]
    fn decode_as_is<'a>(&mut self, topic: &str, record: Record<'a>) -> Result<Understood<'a>, Wanted> {
        self.last = Format::Auto;
        let text = match record.value.map(|value| readable(&record, value)) {
            None if !self.holds_rows(topic) => return Ok(Understood::Tombstone),
            None => None,
            Some(Ok(text)) => Some(text),
            Some(Err(Value::Framed(framed))) => return self.framed(topic, &record, framed),
            Some(Err(Value::Unread(reason))) => return Ok(reject(reason)),
        };
        self.text((topic, &record), text, None)
    }
}

/// A value that is no text.
enum Value<'a> {
    Framed(Framed<'a>),
    /// Why it is not read.
    Unread(String),
}

/// A value as text.
fn readable<'a>(record: &Record<'a>, value: &'a [u8]) -> Result<&'a str, Value<'a>> {
    match framed(record, Part::Value, value) {
        Some(Ok(framed)) => return Err(Value::Framed(framed)),
        Some(Err(reason)) => return Err(Value::Unread(reason)),
        None => {}
    }
    if let Some(framing) = sniff::framing(value) {
        return Err(Value::Unread(format!("{framing}; not read by this version")));
    }
    simdutf8::compat::from_utf8(value).map_err(|error| {
        let at = error.valid_up_to();
        Value::Unread(format!("neither UTF-8 text nor a known binary form: byte {at}"))
    })
}

impl Reader {
    /// Understands a value that is text, or null. Its schema, where a registry has that.
    fn text<'a>(
        &mut self,
        (topic, record): (&str, &Record<'a>),
        text: Option<&'a str>,
        schema: Option<Arc<Schema>>,
    ) -> Result<Understood<'a>, Wanted> {
        let key = match self.debezium.framed_key(self.options.schemas, topic, record)? {
            Some(Ok(key)) => Some(key),
            Some(Err(reason)) => return Ok(reject(reason)),
            None => None,
        };
        let letter = Letter { topic, record, key, schema };
        Ok(match text {
            Some(text) => self.understand(&letter, text),
            None => self.absent(&letter),
        })
    }

    /// Understands a value whose schema is in a registry.
    fn framed<'a>(&mut self, topic: &str, record: &Record<'a>, value: Framed<'a>) -> Result<Understood<'a>, Wanted> {
        let declared = self.options.format;
        match (declared, self.options.schemas) {
            (Format::Dms | Format::Maxwell | Format::Canal, _) => {
                let title = declared.title();
                Ok(reject(format!("a record whose schema is in a registry where {title} is declared")))
            }
            (Format::Auto | Format::Debezium | Format::Flattened, Schemas::Nowhere) => {
                let id = value.id;
                Ok(reject(format!("its {id} is in a registry: set `decode.registry` to the address of that registry")))
            }
            (Format::Auto | Format::Debezium | Format::Flattened, Schemas::Registry) => {
                self.last = Format::Debezium;
                match self.debezium.decode_framed(topic, record, value)? {
                    Unframed::Read(found, _) if declared == Format::Debezium && found == Format::Flattened => {
                        self.last = found;
                        Ok(reject(format!("{} where {} is declared", found.noun(), declared.title())))
                    }
                    Unframed::Read(found, understood) => {
                        self.last = found;
                        Ok(understood)
                    }
                    Unframed::Text(schema, text) => self.text((topic, record), Some(text), schema),
                }
            }
        }
    }
}

fn reject<'a>(reason: impl Into<String>) -> Understood<'a> {
    Understood::Reject(Reject { reason: reason.into(), table: None })
}
