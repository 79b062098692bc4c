//! 7 ▸ Findings and alerts out.
