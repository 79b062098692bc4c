//! Watches a change stream beside any batch applier and says, with the offset in hand, which change was lost.
//!
//! ```text
//!  tap ──bytes──▶ decode ──Change──▶ engine ──Lookup──▶ target
//!      registry ──▶ canon            │  ◀──Observed rows──┘
//!                                    ├──Finding──▶ store ──▶ report, web
//!                                    └──Commit──▶ tap
//! ```
//! Bytes from a tap become changes, changes become versions of keys, a due key becomes a read of the target, a read
//! becomes a verdict, and a verdict that stays wrong becomes a finding. Everything between the arrows is a value.
//!
//! **Architecture invariant:** [`model`], [`decode`], [`canon`] and [`engine`] are pure: no clock, randomness, async,
//! network or hash-map iteration. Time and bytes come in, decisions come out; the same inputs give the same outputs.
//!
//! **Architecture invariant:** adapters ([`tap`], [`registry`], [`target`], [`store`], [`dms`], [`report`]) wait and never decide; only
//! [`runtime`] knows who sends what to whom, and it neither compares nor classifies.
//!
//! A first reading: [`engine::event`], the contract in [`engine`], then `engine/judge.rs`, `runtime/driver.rs`,
//! `tap/file.rs`, `target/sqlite.rs`, and `tests/sim/world.rs`.

#![warn(missing_docs)]

pub mod model;

pub mod tap;

pub mod decode;

pub mod registry;

pub mod canon;

pub mod engine;

pub mod target;

pub mod store;

pub mod dms;

pub mod report;

pub mod telemetry;

pub mod config;

pub mod runtime;

pub mod web;

pub mod cli;

pub mod demo;
