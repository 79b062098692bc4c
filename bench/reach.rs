//! How fast changes are read, understood and tracked, beside a bare consumer of the same topic; what a pending version
//! costs in memory; how fast keys are looked up; what a sidecar costs that has nothing to do.
//!
//! ```sh
//! cargo bench --bench reach                                        # from memory only
//! AFTERIMAGE_BENCH_BROKER=127.0.0.1:9092 cargo bench --bench reach  # and from a broker
//! AFTERIMAGE_BENCH_PG=postgres://… cargo bench --bench reach        # and lookups
//! ```
//! Prints one JSON object a line. Topics and tables it makes are its own and are removed.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark prints and measures"
)]

mod broker;
mod idle;
mod lookup;
mod memory;
mod record;

fn main() {
    // First: what another measurement gave back to the allocator would be taken from there, unseen.
    memory::bytes_per_version();
    memory::changes_per_second();
    match std::env::var("AFTERIMAGE_BENCH_BROKER") {
        Ok(brokers) => broker::consume_decode_track(&brokers),
        Err(_) => {
            println!("{}", serde_json::json!({"bench": "broker", "skipped": "AFTERIMAGE_BENCH_BROKER is not set"}))
        }
    }
    match (std::env::var("AFTERIMAGE_BENCH_BROKER"), std::env::var("AFTERIMAGE_BENCH_PG")) {
        (Ok(brokers), Ok(url)) => idle::sidecar(&brokers, &url),
        (Err(_), _) | (_, Err(_)) => {
            println!("{}", serde_json::json!({"bench": "idle sidecar", "skipped": "it needs a broker and a database"}));
        }
    }
    match std::env::var("AFTERIMAGE_BENCH_PG") {
        Ok(url) => lookup::keys_per_second(&url),
        Err(_) => println!("{}", serde_json::json!({"bench": "lookup", "skipped": "AFTERIMAGE_BENCH_PG is not set"})),
    }
}
