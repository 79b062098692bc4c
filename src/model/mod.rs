//! The vocabulary every stage shares. No I/O and no policy lives here.

pub mod calendar;
pub mod cell;
pub mod change;
pub mod coercion;
pub mod condition;
pub mod finding;
pub mod key;
pub mod position;
pub mod record;
pub mod row;
pub mod schema;
pub mod table;
pub mod time;
pub mod waymark;

pub use cell::Cell;
pub use change::{Change, Op, Reject};
pub use coercion::Coercion;
pub use condition::Condition;
pub use key::{Key, TableId};
pub use position::{PartitionId, Position};
pub use record::{Batch, Record, Stamp};
pub use row::{Columns, Row, Typing};
pub use schema::{Definition, Reference, SchemaId, Wanted};
pub use table::{ColumnMeta, Dialect, TableMeta, UniqueIndex};
pub use time::{SourceTime, Tick, Wall};
pub use waymark::Waymark;
