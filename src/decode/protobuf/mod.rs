//! Protobuf: what a schema file says, which of its messages a record holds, and how its bytes are walked over.
//!
//! Not here: what the fields mean. Services, extensions and options other than `json_name` say nothing of a record's bytes.

mod builtin;
mod cursor;
mod message;
#[cfg(test)]
mod oracle;
mod parse;
mod schema;
mod token;

pub(in crate::decode) use self::cursor::{Cursor, Wire};
pub(in crate::decode) use self::message::WRONG_WIRE;
pub(in crate::decode) use self::schema::{EnumId, Field, MessageId, Presence, Scalar, Schema, Type};
