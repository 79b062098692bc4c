//! 7 ▸ Findings out: one published form, seven ways to print it, and alerts.
//!
//! The engine's [`Finding`](crate::model::finding::Finding) becomes a [`Document`] by [`Document::of`]; everything else
//! in here, and the store, deals in documents only. Nothing in here decides whether something is wrong.

pub mod advice;
pub mod compose;
pub mod document;
pub mod summary;
pub mod value;

mod wire;

#[cfg(test)]
mod sample;

pub use compose::{Context, TableNames};
pub use document::Document;
pub use summary::Summary;
pub use value::Values;
