//! The only async orchestration.
