//! 3–7 ▸ The deterministic judge.

pub mod event;
