//! The only async orchestration.

pub mod entry;
