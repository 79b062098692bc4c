//! The whole thing in one process.
