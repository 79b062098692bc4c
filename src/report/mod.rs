//! 7 ▸ Findings out: one published form, seven ways to print it, and alerts.
//!
//! The engine's [`Finding`](crate::model::finding::Finding) becomes a [`Document`] by [`Document::of`]; everything else
//! in here, and the store, deals in documents only. Nothing in here decides whether something is wrong.

pub mod advice;
pub mod again;
pub mod alert;
pub mod channel;
pub mod compose;
pub mod document;
pub mod group;
pub mod import;
pub mod life;
pub mod output;
pub mod pace;
pub mod revive;
pub mod rule;
pub mod story;
pub mod summary;
pub mod text;
pub mod trial;
pub mod unverified;
pub mod value;

mod csv;
mod html;
mod json;
mod junit;
mod markdown;
mod plot;
mod show;
mod table;
mod wire;

#[cfg(test)]
pub(crate) mod sample;

pub use alert::Alert;
pub use channel::{Channel, DeliveryError};
pub use compose::{Context, TableNames};
pub use document::Document;
pub use output::{Format, Ink, Look, print, print_with};
pub use show::show;
pub use summary::Summary;
pub use value::Values;
