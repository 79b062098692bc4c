//! The checked configuration, as each adapter and the engine want it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::config::{
    self, Applier, Auto, Bound, Chosen, Commits, Evidence, FilePath, Format, KafkaTap, Order, Patrol, Pipeline, Pooler,
    QueryTrust, SentNulls, Start, Tap, TargetKind, Topic,
};
use crate::decode;
use crate::dms;
use crate::engine::limit::{self, Margin, Options};
use crate::model::position::PartitionName;
use crate::model::{Columns, Wall};
use crate::tap::archive::ArchiveOptions;
use crate::tap::file::FileOptions;
use crate::tap::kafka::{Brokers, KafkaOptions, Reading};
use crate::tap::position::{Place, Places};
use crate::tap::{Behind, TapOptions};
use crate::target;

use super::context::rule_for;

/// The least re-application margin, and the one where nothing is known of the applier's checkpoints.
const SETTLE: Duration = Duration::from_secs(60);

/// The re-application margin of a Kafka Connect sink whose commits were not seen yet: twice its default interval of 60 s.
const SETTLE_CONNECT: Duration = Duration::from_secs(120);

/// Appliers that read the source's own log are this far ahead of the tap at least.
const LEAD: Duration = Duration::from_secs(2);

/// Reads a second of a patrol that is to cost nothing: one statement of fifty keys every ten seconds.
const PATROL_IDLE: u32 = 5;

/// A statement that runs longer is of no use: its keys are read again.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// What is read of the tap.
pub(super) enum Read {
    /// From the group's commits on.
    Follow,
    /// A range, as written.
    Range { from: Bound, to: Bound, behind: Behind },
    /// What was appended since a range was read, from where each partition was left.
    Onward(Vec<(PartitionName, u64)>),
    /// What is copied: from the positions where a copy stands, elsewhere as written; without an end, or a tap's own end.
    Copy { from: Bound, to: Option<Bound>, done: Vec<(PartitionName, u64)> },
}

/// The brokers of a tap.
pub(super) fn brokers(kafka: &KafkaTap) -> Brokers {
    let properties = kafka.properties.iter();
    Brokers {
        bootstrap: kafka.brokers.clone(),
        properties: properties.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect(),
    }
}

/// The tap's options.
///
/// # Errors
/// A sentence about what the tap cannot do.
pub(super) fn tap(tap: &Tap, read: Read, now: Wall) -> Result<TapOptions, String> {
    match tap {
        Tap::Kafka(kafka) => {
            let topics = kafka.topics.iter().map(|topic| match topic {
                Topic::Name(name) => name.clone(),
                Topic::Pattern(pattern) => format!("/{pattern}/"),
            });
            let reading = match read {
                Read::Follow => Reading::Follow { from: places(&kafka.from, Place::Stored, now)? },
                Read::Range { from, to, behind } => {
                    Reading::Range { from: places(&from, Place::End, now)?, to: places(&to, Place::End, now)?, behind }
                }
                Read::Onward(from) => {
                    Reading::Range { from: Places::onward(from), to: Places::all(Place::End), behind: Behind::Left }
                }
                Read::Copy { from, to: None, done } => {
                    Reading::Copy { from: places(&from, Place::End, now)?.going_on(done) }
                }
                Read::Copy { from, to: Some(to), done } => Reading::Range {
                    from: places(&from, Place::End, now)?.going_on(done),
                    to: places(&to, Place::End, now)?,
                    behind: Behind::Left,
                },
            };
            Ok(TapOptions::Kafka(KafkaOptions {
                brokers: brokers(kafka),
                topics: topics.collect(),
                group: kafka.group.clone(),
                reading,
            }))
        }
        Tap::File(file) => {
            let path = match &file.path {
                FilePath::Stdin => "-".to_owned(),
                FilePath::Path(path) => path.display().to_string(),
            };
            let (from, to, behind) = standing(&file.from, read, now)?;
            Ok(TapOptions::File(FileOptions { path, from, to, behind }))
        }
        Tap::Archive(archive) => {
            let (from, to, behind) = standing(&archive.from, read, now)?;
            Ok(TapOptions::Archive(ArchiveOptions { location: archive.url.clone(), from, to, behind }))
        }
    }
}

/// What is read of a tap that ends.
fn standing(begin: &Bound, read: Read, now: Wall) -> Result<(Places, Places, Behind), String> {
    let end = Places::all(Place::End);
    Ok(match read {
        Read::Follow => (places(begin, Place::Beginning, now)?, end, Behind::Left),
        Read::Range { from, to, behind } => (places(&from, Place::End, now)?, places(&to, Place::End, now)?, behind),
        Read::Onward(from) => (Places::onward(from), end, Behind::Left),
        Read::Copy { from, to, done } => {
            let to = to.map_or(Ok(end), |to| places(&to, Place::End, now))?;
            (places(&from, Place::End, now)?.going_on(done), to, Behind::Left)
        }
    })
}

/// One grammar, two forms: what the user wrote and what the tap takes. Partitions that are not named take `default`.
fn places(bound: &Bound, default: Place, now: Wall) -> Result<Places, String> {
    let everywhere = bound.everywhere.map(|start| written(start, now));
    let pinned = bound.pinned.iter().map(|(partition, start)| format!("{partition}:{}", written(*start, now)));
    let texts: Vec<String> = everywhere.into_iter().chain(pinned).collect();
    Places::parse(texts.iter().map(String::as_str), default, now).map_err(|error| error.to_string())
}

fn written(start: Start, now: Wall) -> String {
    match start {
        Start::Last(ago) => {
            let since = now.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX));
            format!("s@{}", since.max(0))
        }
        Start::Beginning | Start::End | Start::Stored | Start::Offset(_) | Start::Tail(_) | Start::Time(_) => {
            start.to_string()
        }
    }
}

/// The target's options.
pub(super) fn target(target: &config::Target) -> target::Options {
    target::Options {
        url: target.url.clone(),
        pooler: match target.pooler {
            Pooler::None => target::Pooler::None,
            Pooler::Transaction => target::Pooler::Transaction,
        },
        max_connections: target.max_connections,
        reads_per_second: target.reads_per_second,
        statement_timeout: STATEMENT_TIMEOUT,
        dead_rows: target.dead_rows.clone(),
    }
}

/// The decoder's options.
pub(super) fn decoder(decode: &config::Decode, rules: &[config::TableRule]) -> decode::Options {
    decode::Options {
        format: match decode.format {
            // The last is refused by the configuration's check.
            Format::Auto | Format::Dynamodb => decode::Format::Auto,
            Format::Debezium => decode::Format::Debezium,
            Format::Flattened => decode::Format::Flattened,
            Format::Maxwell => decode::Format::Maxwell,
            Format::Canal => decode::Format::Canal,
            Format::Dms => decode::Format::Dms,
        },
        before_image: decode.before_image.clone(),
        include_null_and_empty: decode.nulls == SentNulls::Sent,
        placeholder: decode.placeholder.clone(),
        fields_prefix: decode.fields_prefix.clone(),
        schemas: match decode.registry {
            Some(_) => decode::Schemas::Registry,
            None => decode::Schemas::Nowhere,
        },
        keys: keys(rules),
    }
}

/// The key columns that the rules of tables choose.
fn keys(rules: &[config::TableRule]) -> decode::KeyRules {
    if rules.iter().all(|rule| rule.key.is_empty()) {
        return decode::KeyRules::default();
    }
    let rules = rules.to_vec();
    decode::KeyRules::new(move |table| {
        let rule = rule_for(&rules, table).filter(|rule| !rule.key.is_empty())?;
        let columns = Columns::new(rule.key.iter().map(String::as_str));
        Some(decode::KeyRule { columns: Arc::new(columns), path: format!("{}.key", rule.path) })
    })
}

fn auto<T: Copy>(value: &Auto<T>) -> Option<T> {
    match value {
        Auto::Auto => None,
        Auto::Fixed(value) => Some(*value),
    }
}

/// The evidence in use, where nobody chose one and the tap is a file or an archive: the user's word, which every finding then says.
pub(super) fn applied(pipeline: &Pipeline) -> Vec<Evidence> {
    match (&pipeline.tap, pipeline.progress.chosen) {
        (Tap::File(_) | Tap::Archive(_), Chosen::ByDefault) => vec![Evidence::Assumed],
        (Tap::File(_) | Tap::Archive(_) | Tap::Kafka(_), _) => pipeline.progress.applied.clone(),
    }
}

/// The question for the time up to which a DMS task says that it has applied.
pub(super) fn status_query(pipeline: &Pipeline, schema: &str, task: Option<&str>) -> String {
    let dialect = match pipeline.target.kind {
        TargetKind::Postgres => dms::Dialect::Postgres,
        TargetKind::Mysql => dms::Dialect::Mysql,
        TargetKind::Sqlite => dms::Dialect::Sqlite,
    };
    dms::applied_time(dialect, schema, task)
}

/// The engine's options.
pub(super) fn engine(pipeline: &Pipeline) -> Options {
    let applied = applied(pipeline);
    let mut evidence = limit::Evidence::default();
    let mut connect = false;
    let mut durable = false;
    for one in &applied {
        match one {
            Evidence::KafkaGroup(group) => {
                evidence.committed = true;
                connect |= group.starts_with("connect-");
            }
            Evidence::KclLease(_) | Evidence::DmsStatus { .. } => evidence.committed = true,
            Evidence::Query(_) => {
                evidence.committed = true;
                durable = pipeline.progress.query == QueryTrust::Durable;
            }
            Evidence::Heartbeat { .. } => evidence.heartbeat = true,
            Evidence::Inferred => evidence.inferred = true,
            Evidence::Assumed => evidence.assumed = true,
        }
    }
    let after_write = match pipeline.progress.commits {
        Commits::AfterWrite => true,
        Commits::Unknown => false,
        Commits::Auto => connect || durable,
    };
    let judging = &pipeline.judging;
    // A group or a position on this very tap is that of an applier which cannot be ahead of it. A DMS task reads the source's log.
    let beside = applied.iter().any(|one| matches!(one, Evidence::DmsStatus { .. }));
    let lead = match (auto(&pipeline.progress.lead), (evidence.committed && !beside) || evidence.assumed) {
        (Some(lead), _) => Margin::Stated(lead),
        (None, true) => Margin::Stated(Duration::ZERO),
        (None, false) => Margin::Measured { least: LEAD, unknown: LEAD },
    };
    let unknown = if connect { SETTLE_CONNECT } else { SETTLE };
    let settle = auto(&judging.settle).map_or(Margin::Measured { least: SETTLE, unknown }, Margin::Stated);
    Options {
        evidence,
        commits: if after_write { limit::Commits::AfterWrite } else { limit::Commits::Unknown },
        evidence_name: evidence_name(&applied).to_owned(),
        order: match pipeline.progress.order {
            Order::Partition => limit::Order::Partition,
            Order::Key => limit::Order::Key,
            Order::Table => limit::Order::Table,
            Order::Pipeline => limit::Order::Pipeline,
        },
        applier: match pipeline.progress.applier {
            Applier::Batch => limit::Applier::Batch,
            Applier::Transactional => limit::Applier::Transactional,
        },
        lead,
        settle,
        zombie_after: judging.zombie_after,
        poll: judging.poll,
        confirmations: auto(&judging.confirmations),
        confirm_after: judging.confirm_after,
        stall_after: auto(&judging.stall_after),
        reread: pipeline.limits.reread,
        versions_per_key: pipeline.limits.versions_per_key as usize,
        memory: usize::try_from(pipeline.limits.memory_bytes).unwrap_or(usize::MAX),
        patrol_reads_per_second: match judging.patrol {
            Patrol::Off => 0,
            Patrol::Idle => PATROL_IDLE,
            Patrol::PerSecond(reads) => reads,
        },
    }
}

fn evidence_name(applied: &[Evidence]) -> &'static str {
    // A finding under a causal watermark names its evidence by itself.
    let position = applied.iter().find(|evidence| evidence.is_position());
    position.or(applied.first()).map_or("inferred", |evidence| match evidence {
        Evidence::KafkaGroup(_) => "kafka-group",
        Evidence::KclLease(_) => "kcl-lease",
        Evidence::Query(_) => "query",
        Evidence::DmsStatus { .. } => "dms-status",
        Evidence::Heartbeat { .. } => "heartbeat",
        Evidence::Inferred => "inferred",
        Evidence::Assumed => "assumed",
    })
}
