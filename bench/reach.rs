//! How fast changes are read, understood and tracked, beside a bare consumer of the same topic; what a pending version
//! costs in memory; how fast keys are looked up; what a sidecar costs that has nothing to do.
//!
//! ```sh
//! cargo bench --bench reach                                        # from memory only
//! AFTERIMAGE_BENCH_BROKER=127.0.0.1:9092 cargo bench --bench reach  # and from a broker
//! AFTERIMAGE_BENCH_PG=postgres://… cargo bench --bench reach        # and lookups
//! cargo bench --bench reach -- memory changes avro protobuf broker idle lookup   # only those named
//! ```
//! Prints one JSON object a line. Topics and tables it makes are its own and are removed.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark prints and measures"
)]

mod avro;
mod broker;
mod idle;
mod lookup;
mod memory;
mod process;
mod protobuf;
mod record;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    let broker = std::env::var("AFTERIMAGE_BENCH_BROKER").ok();
    let postgres = std::env::var("AFTERIMAGE_BENCH_PG").ok();
    let skipped = |name: &str, needs: &str| println!("{}", serde_json::json!({"bench": name, "skipped": needs}));
    // First: what another measurement gave back to the allocator would be taken from there, unseen.
    if wanted("memory") {
        memory::bytes_per_version();
    }
    if wanted("changes") {
        memory::changes_per_second();
    }
    if wanted("avro") {
        avro::changes_per_second();
    }
    if wanted("protobuf") {
        protobuf::changes_per_second();
    }
    if wanted("broker") {
        match &broker {
            Some(brokers) => broker::consume_decode_track(brokers),
            None => skipped("broker", "AFTERIMAGE_BENCH_BROKER is not set"),
        }
    }
    if wanted("idle") {
        match (&broker, &postgres) {
            (Some(brokers), Some(url)) => idle::sidecar(brokers, url),
            (None, _) | (_, None) => skipped("idle", "it needs AFTERIMAGE_BENCH_BROKER and AFTERIMAGE_BENCH_PG"),
        }
    }
    if wanted("lookup") {
        match &postgres {
            Some(url) => lookup::keys_per_second(url),
            None => skipped("lookup", "AFTERIMAGE_BENCH_PG is not set"),
        }
    }
}
