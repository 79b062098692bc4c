//! The same proofs between two MariaDB databases, by a Connect worker of their own.

use crate::database::Dialect;
use crate::deletes_off::{names_every_delete_by_committed_offsets, tells_of_masses_by_heartbeats};
use crate::honest::{stays_clean_by_committed_offsets, stays_clean_by_heartbeats, stays_clean_by_rows};
use crate::pipeline::Plan;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_is_verified_to_the_end_by_its_committed_offsets() {
    stays_clean_by_committed_offsets(Plan::new("my_commits", Dialect::MariaDb)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_is_verified_by_heartbeats() {
    stays_clean_by_heartbeats(Plan::new("my_beats", Dialect::MariaDb)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_is_verified_by_its_rows_alone() {
    stays_clean_by_rows(Plan::new("my_rows", Dialect::MariaDb)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unapplied_delete_is_named_by_its_offset() {
    names_every_delete_by_committed_offsets(Plan::new("my_deletes", Dialect::MariaDb)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_alone_tell_of_a_mass_of_deletes_by_table() {
    tells_of_masses_by_heartbeats(Plan::new("my_masses", Dialect::MariaDb)).await;
}
