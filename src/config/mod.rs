//! Configuration: what was written, and what was understood of it.
