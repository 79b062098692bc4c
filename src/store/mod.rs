//! Findings and watermarks, durable and idempotent.
