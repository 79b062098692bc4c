//! Avro as registries frame it: where a record names its schema, what that schema says, and how its bytes are walked over.
//!
//! Not here: what the fields mean. Containers with a schema inside are files, not records.

mod cursor;
mod datum;
mod frame;
#[cfg(test)]
mod oracle;
mod schema;

pub(in crate::decode) use self::cursor::{Break, Cursor};
pub(in crate::decode) use self::datum::NO_BRANCH;
pub(in crate::decode) use self::frame::{Framed, framed};
pub(in crate::decode) use self::schema::{NodeId, Notes, Schema, Shape};
