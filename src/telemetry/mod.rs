//! Log lines and counters, emitted together.
