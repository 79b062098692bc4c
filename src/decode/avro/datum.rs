//! A datum walked over by its schema: passed over, or written as Connect's `JsonConverter` would write it.

use super::cursor::Cursor;
use super::schema::{NodeId, Schema, Shape};
use crate::decode::frame::Break;
use crate::decode::written::{show, write_base64, write_float, write_text};

/// Nesting beyond which a datum is refused: the same as of JSON.
const MAX_DEPTH: usize = 127;

const TOO_DEEP: &str = "values nested deeper than 127 levels";

impl Schema {
    /// Passes over a value.
    pub(in crate::decode) fn skip(&self, node: NodeId, cursor: &mut Cursor<'_>) -> Result<(), Break> {
        self.skip_at(node, cursor, 0)
    }

    fn skip_at(&self, node: NodeId, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Break> {
        cursor.step()?;
        if depth > MAX_DEPTH {
            return Err(cursor.broken(TOO_DEEP));
        }
        match self.shape(node) {
            Shape::Null => {}
            Shape::Boolean => drop(cursor.boolean()?),
            Shape::Int => drop(cursor.int()?),
            Shape::Long => drop(cursor.long()?),
            Shape::Float => drop(cursor.float()?),
            Shape::Double => drop(cursor.double()?),
            Shape::Bytes | Shape::Text => drop(cursor.bytes()?),
            Shape::Fixed(size) => drop(cursor.fixed(*size)?),
            Shape::Enum(symbols) => drop(cursor.choice(symbols.len(), NO_SYMBOL)?),
            Shape::Union(branches) => {
                let branch = branches[cursor.choice(branches.len(), NO_BRANCH)?];
                self.skip_at(branch, cursor, depth)?;
            }
            Shape::Record(fields) => {
                fields.iter().try_for_each(|field| self.skip_at(field.node, cursor, depth + 1))?;
            }
            Shape::Array(items) => blocks(cursor, |cursor| self.skip_at(*items, cursor, depth + 1))?,
            Shape::Map(values) => blocks(cursor, |cursor| {
                cursor.bytes()?;
                self.skip_at(*values, cursor, depth + 1)
            })?,
        }
        Ok(())
    }

    /// The value as JSON text.
    pub(in crate::decode) fn written(&self, node: NodeId, cursor: &mut Cursor<'_>) -> Result<String, Break> {
        let mut out = String::new();
        self.write_at(node, cursor, &mut out, 0)?;
        cursor.spend(out.len())?;
        Ok(out)
    }

    fn write_at(&self, node: NodeId, cursor: &mut Cursor<'_>, out: &mut String, depth: usize) -> Result<(), Break> {
        cursor.step()?;
        if depth > MAX_DEPTH {
            return Err(cursor.broken(TOO_DEEP));
        }
        cursor.fits(out.len())?;
        match self.shape(node) {
            Shape::Null => out.push_str("null"),
            Shape::Boolean => out.push_str(if cursor.boolean()? { "true" } else { "false" }),
            Shape::Int => show(out, cursor.int()?),
            Shape::Long => show(out, cursor.long()?),
            Shape::Float => {
                let value = cursor.float()?;
                write_float(out, f64::from(value), Some(value).filter(|value| value.is_finite()));
            }
            Shape::Double => {
                let value = cursor.double()?;
                write_float(out, value, Some(value).filter(|value| value.is_finite()));
            }
            Shape::Bytes => write_base64(out, cursor.bytes()?),
            Shape::Fixed(size) => write_base64(out, cursor.fixed(*size)?),
            Shape::Text => write_text(out, cursor.text()?),
            Shape::Enum(symbols) => write_text(out, &symbols[cursor.choice(symbols.len(), NO_SYMBOL)?]),
            Shape::Union(branches) => {
                let branch = branches[cursor.choice(branches.len(), NO_BRANCH)?];
                self.write_at(branch, cursor, out, depth)?;
            }
            Shape::Record(_) | Shape::Array(_) | Shape::Map(_) => self.write_nested(node, cursor, out, depth)?,
        }
        Ok(())
    }

    fn write_nested(&self, node: NodeId, cursor: &mut Cursor<'_>, out: &mut String, depth: usize) -> Result<(), Break> {
        let comma = |out: &mut String| {
            if !out.ends_with(['{', '[']) {
                out.push(',');
            }
        };
        match self.shape(node) {
            Shape::Record(fields) => {
                out.push('{');
                for field in fields {
                    comma(out);
                    write_text(out, &field.name);
                    out.push(':');
                    self.write_at(field.node, cursor, out, depth + 1)?;
                }
                out.push('}');
            }
            Shape::Map(values) => {
                out.push('{');
                blocks(cursor, |cursor| {
                    comma(out);
                    write_text(out, cursor.text()?);
                    out.push(':');
                    self.write_at(*values, cursor, out, depth + 1)
                })?;
                out.push('}');
            }
            Shape::Array(items) => {
                out.push('[');
                blocks(cursor, |cursor| {
                    comma(out);
                    self.write_at(*items, cursor, out, depth + 1)
                })?;
                out.push(']');
            }
            Shape::Null
            | Shape::Boolean
            | Shape::Int
            | Shape::Long
            | Shape::Float
            | Shape::Double
            | Shape::Bytes
            | Shape::Text
            | Shape::Fixed(_)
            | Shape::Enum(_)
            | Shape::Union(_) => {}
        }
        Ok(())
    }
}

/// What is said of a branch that a union lacks.
pub(in crate::decode) const NO_BRANCH: &str = "a branch that the schema's union does not have";

const NO_SYMBOL: &str = "a symbol that the schema's enum does not have";

fn blocks(cursor: &mut Cursor<'_>, mut each: impl FnMut(&mut Cursor<'_>) -> Result<(), Break>) -> Result<(), Break> {
    loop {
        let count = cursor.block()?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            cursor.step()?;
            each(cursor)?;
        }
    }
}
