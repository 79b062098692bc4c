//! Pipelines of real parts: PostgreSQL or MariaDB, Debezium, a Kafka broker, the JDBC sink, a target database, and the sidecar
//! beside them. `tests/run` starts the services and says where they are; nothing here is skipped when they are missing.
#![allow(clippy::print_stderr, reason = "what a failed test leaves behind is told beside its panic")]
#![allow(dead_code, reason = "knobs of the rig that no theme turns at present")]

mod balancer;
mod connect;
mod connector;
mod database;
mod kafka;
mod ledger;
mod load;
mod mariadb;
mod pipeline;
mod postgres;
mod services;
mod sidecar;
mod store_contract;
mod tap_kafka;
mod target_contract;
mod verdict;
mod wait;

mod again;
mod alerts;
mod archive;
mod audit;
mod avro;
mod batch_applier;
mod coerced;
mod columns;
mod deletes_off;
mod disturbed;
mod dms;
mod doctor;
mod flattened;
mod honest;
mod keyed_by_rule;
mod mariadb_pipeline;
mod patrol;
mod paused_sink;
mod registered;
mod rig;
mod secured;
mod stuck_sink;
mod values;
mod ways_to_lose;
