//! Liveness, readiness, metrics and the API on one loopback port.
