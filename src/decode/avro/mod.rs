//! Avro: what a schema says, and how the bytes of a datum are walked over.
//!
//! Not here: what the fields mean. Containers with a schema inside are files, not records.

mod cursor;
mod datum;
#[cfg(test)]
mod oracle;
mod schema;

pub(in crate::decode) use self::cursor::Cursor;
pub(in crate::decode) use self::datum::NO_BRANCH;
pub(in crate::decode) use self::schema::{NodeId, Notes, Schema, Shape};
