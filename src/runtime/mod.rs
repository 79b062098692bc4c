//! The only async orchestration: threads, channels, clock, shutdown.
//!
//! One pipeline is: the tap's thread → `ingest` (a thread that keeps the order) ⇄ `decoding` (threads that bring changes
//! into canonical form, and wait for the registry where `schemas` must be asked for) → `driver` (a thread with the engine) ⇄ `look` (lookups on the target), `evidence` (the applier's progress, the tap's ends) →
//! `record` (findings made durable, then commits). Every queue is bounded; a full one stops the tap, and the log keeps
//! what was not read.
//!
//! **Architecture invariant:** nothing here compares or classifies.

pub mod clock;
pub mod entry;
pub mod ordered;

mod accused;
mod acts;
mod again;
mod alerting;
mod alerts_test;
mod archiving;
mod audit;
mod columns;
mod context;
mod counted;
mod crash;
mod dead_letters;
mod decode;
mod decoding;
mod doctor;
mod driver;
mod evidence;
mod explain;
mod export;
mod findings;
mod heard;
mod images;
mod import;
mod incarnation;
mod ingest;
mod inherited;
mod job;
mod keeper;
mod look;
mod losses;
mod mapping;
mod picture;
mod pipeline;
mod poison;
mod progress;
mod range;
mod recall;
mod record;
mod replay;
mod restore;
mod revalidate;
mod rota;
mod run;
mod scan;
mod scheduler;
mod schemas;
mod settings;
mod status;
mod tables;
mod tell;
mod twin;
mod window;

pub use self::clock::Clock;
