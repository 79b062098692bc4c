//! Values as Connect's `JsonConverter` would write them, of columns that are carried as text.

use super::cursor::{Cursor, Wire};
use super::schema::{Field, Integer, Message, MessageId, Presence, Scalar, Schema, Type};
use crate::decode::frame::{Break, MOST_WRITTEN, TOO_LONG};
use crate::decode::written::{show, write_base64, write_float, write_text};

/// Nesting beyond which a message is refused: the same as of JSON.
const MAX_DEPTH: usize = 127;

/// What is said of a field that its type could not have written.
pub(in crate::decode) const WRONG_WIRE: &str = "a field whose bytes lie otherwise than its type's";

impl Schema {
    /// One value of a field as JSON text.
    pub(in crate::decode) fn write_value(
        &self,
        field: &Field,
        wire: Wire,
        cursor: &mut Cursor<'_>,
        out: &mut String,
        depth: usize,
    ) -> Result<(), Break> {
        if depth > MAX_DEPTH {
            return Err(cursor.broken("values nested deeper than 127 levels"));
        }
        if out.len() > MOST_WRITTEN {
            return Err(cursor.broken(TOO_LONG));
        }
        match (field.kind, field.key) {
            (_, Some(key)) => self.write_entry(field, key, cursor, out, depth),
            (Type::Scalar(scalar), None) if wire == Wire::of(scalar) => write_scalar(scalar, cursor, out),
            (Type::Enum(id), None) if wire == Wire::Varint => {
                let number = cursor.varint()? as i32;
                match self.symbol(id, number) {
                    Some(name) => write_text(out, name),
                    None => show(out, number),
                }
                Ok(())
            }
            (Type::Message(id), None) if wire == Wire::Length => {
                let mut inner = cursor.inner()?;
                self.write_message(id, &mut inner, out, depth + 1)
            }
            (Type::Scalar(_) | Type::Enum(_) | Type::Message(_), None) => Err(cursor.broken(WRONG_WIRE)),
        }
    }

    /// An entry of a map: its key becomes a name.
    fn write_entry(
        &self,
        field: &Field,
        key: Scalar,
        cursor: &mut Cursor<'_>,
        out: &mut String,
        depth: usize,
    ) -> Result<(), Break> {
        let mut entry = cursor.inner()?;
        let (mut name, mut value) = (zero(Type::Scalar(key)), None);
        while !entry.is_at_end() {
            match entry.tag()? {
                (1, wire) if wire == Wire::of(key) => {
                    name.clear();
                    write_scalar(key, &mut entry, &mut name)?;
                }
                (2, wire) => {
                    let mut written = String::new();
                    let plain =
                        Field { name: "".into(), number: 2, kind: field.kind, presence: Presence::Told, key: None };
                    self.write_value(&plain, wire, &mut entry, &mut written, depth + 1)?;
                    value = Some(written);
                }
                (number, wire) => entry.skip(number, wire)?,
            }
        }
        if name.starts_with('"') {
            out.push_str(&name)
        } else {
            write_text(out, &name)
        }
        out.push(':');
        out.push_str(&value.unwrap_or_else(|| self.zero_value(field.kind)));
        Ok(())
    }

    fn zero_value(&self, kind: Type) -> String {
        match kind {
            Type::Enum(id) => {
                let mut out = String::new();
                write_text(&mut out, self.symbol(id, 0).unwrap_or_default());
                out
            }
            Type::Scalar(_) | Type::Message(_) => zero(kind),
        }
    }

    pub(super) fn write_message(
        &self,
        id: MessageId,
        cursor: &mut Cursor<'_>,
        out: &mut String,
        depth: usize,
    ) -> Result<(), Break> {
        let message = self.message(id);
        let written = self.fields(message, cursor, depth)?;
        out.push('{');
        for (field, written) in message.fields.iter().zip(written) {
            if !out.ends_with('{') {
                out.push(',');
            }
            write_text(out, &field.name);
            out.push(':');
            match (written, field.presence, field.key) {
                (Some(items), Presence::List, Some(_)) => out.extend(["{", &items, "}"]),
                (Some(items), Presence::List, None) => out.extend(["[", &items, "]"]),
                (Some(value), Presence::Told | Presence::Untold, _) => out.push_str(&value),
                (None, Presence::List, Some(_)) => out.push_str("{}"),
                (None, Presence::List, None) => out.push_str("[]"),
                (None, Presence::Told, _) => out.push_str("null"),
                (None, Presence::Untold, _) => out.push_str(&self.zero_value(field.kind)),
            }
        }
        out.push('}');
        Ok(())
    }

    /// The fields of a message, each as written; items of a list side by side.
    fn fields(&self, message: &Message, cursor: &mut Cursor<'_>, depth: usize) -> Result<Vec<Option<String>>, Break> {
        let mut fields: Vec<Option<String>> = vec![None; message.fields.len()];
        let mut likely = 0;
        while !cursor.is_at_end() {
            let (number, wire) = cursor.tag()?;
            let Some(at) = message.field(number, likely) else {
                cursor.skip(number, wire)?;
                continue;
            };
            likely = at + 1;
            let (field, slot) = (&message.fields[at], &mut fields[at]);
            match field.presence {
                Presence::List => self.write_items(field, wire, cursor, slot.get_or_insert_default(), depth)?,
                Presence::Told | Presence::Untold if slot.is_some() && matches!(field.kind, Type::Message(_)) => {
                    return Err(cursor.broken("a message that comes in two parts"));
                }
                Presence::Told | Presence::Untold => {
                    let mut written = String::new();
                    self.write_value(field, wire, cursor, &mut written, depth)?;
                    *slot = Some(written);
                }
            }
        }
        Ok(fields)
    }

    /// Items of a list: one, or of numbers as many as are packed together.
    pub(in crate::decode) fn write_items(
        &self,
        field: &Field,
        wire: Wire,
        cursor: &mut Cursor<'_>,
        out: &mut String,
        depth: usize,
    ) -> Result<(), Break> {
        let comma = |out: &mut String| {
            if !out.is_empty() {
                out.push(',');
            }
        };
        let packed = match (field.kind, field.key) {
            (Type::Scalar(scalar), None) => Some(Wire::of(scalar)),
            (Type::Enum(_), None) => Some(Wire::Varint),
            (Type::Scalar(_) | Type::Enum(_) | Type::Message(_), _) => None,
        };
        match packed.filter(|packed| wire == Wire::Length && *packed != Wire::Length) {
            Some(packed) => {
                let mut inner = cursor.inner()?;
                while !inner.is_at_end() {
                    comma(out);
                    self.write_value(field, packed, &mut inner, out, depth)?;
                }
                Ok(())
            }
            None => {
                comma(out);
                self.write_value(field, wire, cursor, out, depth)
            }
        }
    }
}

/// What a value is that is not there.
fn zero(kind: Type) -> String {
    match kind {
        Type::Scalar(Scalar::Text | Scalar::Bytes) => "\"\"",
        Type::Scalar(Scalar::Bool) => "false",
        Type::Scalar(Scalar::Double | Scalar::Float) => "0.0",
        Type::Scalar(Scalar::Integer(_)) | Type::Enum(_) => "0",
        Type::Message(_) => "null",
    }
    .to_owned()
}

fn write_scalar(scalar: Scalar, cursor: &mut Cursor<'_>, out: &mut String) -> Result<(), Break> {
    match scalar {
        Scalar::Double => {
            let value = cursor.double()?;
            write_float(out, value, Some(value).filter(|value| value.is_finite()));
        }
        Scalar::Float => {
            let value = cursor.float()?;
            write_float(out, f64::from(value), Some(value).filter(|value| value.is_finite()));
        }
        Scalar::Integer(integer) => show(out, cursor.integer(integer)?),
        Scalar::Bool => out.push_str(if cursor.varint()? == 0 { "false" } else { "true" }),
        Scalar::Text => write_text(out, cursor.text()?),
        Scalar::Bytes => write_base64(out, cursor.bytes()?),
    }
    Ok(())
}

impl Cursor<'_> {
    /// An integer of any type.
    pub(in crate::decode) fn integer(&mut self, integer: Integer) -> Result<i128, Break> {
        Ok(match integer {
            Integer::Int32 => i128::from(self.varint()? as i32),
            Integer::Int64 => i128::from(self.varint()? as i64),
            Integer::Uint32 => i128::from(self.varint()? as u32),
            Integer::Uint64 => i128::from(self.varint()?),
            Integer::Sint32 => {
                let value = self.varint()? as u32;
                i128::from((value >> 1) as i32 ^ -((value & 1) as i32))
            }
            Integer::Sint64 => i128::from(self.zigzag()?),
            Integer::Fixed32 => i128::from(self.fixed32()?),
            Integer::Fixed64 => i128::from(self.fixed64()?),
            Integer::Sfixed32 => i128::from(self.fixed32()? as i32),
            Integer::Sfixed64 => i128::from(self.fixed64()? as i64),
        })
    }
}
