//! One pipeline: its own keys, and what its sections must agree on.

use std::time::Duration;

use super::tap::is_topic;
use super::{Checker, Presence};
use crate::config::evidence::Evidence;
use crate::config::raw::{RawLimits, RawPipeline};
use crate::config::tree::Path;
use crate::config::unit::{Auto, Span};
use crate::config::word::{Commits, Format, Order, TapType};
use crate::config::{Chosen, Judging, Limits, Pipeline, Progress, QueryTrust};

/// Names of pipelines stand in metrics, in findings and in consumer groups.
const LONGEST_NAME: usize = 64;

/// One confirmation would convict on a single read.
const FEWEST_CONFIRMATIONS: u32 = 2;

/// The floor and the newest version of a key are never coalesced.
const FEWEST_VERSIONS: u32 = 2;

/// Below this the bound would be met by the bookkeeping alone.
const LEAST_MEMORY_BYTES: u64 = 1 << 20;

impl Checker<'_> {
    pub(super) fn pipeline(&mut self, name: &str, raw: &RawPipeline) -> Option<Pipeline> {
        let path = Path::of(["pipelines", name]);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(legal) {
            let message = format!(
                "`{name}` is no name of a pipeline: expected 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`"
            );
            self.wrong(&path, message);
        }
        let progress = self.progress(&path, raw);
        let judging = self.judging(&path, raw);
        let limits = self.limits(&path.key("limits"), &raw.limits);
        let tap = self.tap(&path.key("tap"), &raw.tap);
        let decode = self.decode(&path.key("decode"), &raw.decode);
        let target = self.target(&path.key("target"), &raw.target);
        let source = self.source(&path.key("source"), &raw.source);
        let tables = self.tables(&path.key("tables"), &raw.tables);
        let schedules = self.schedules(&path.key("schedules"), raw);
        Some(Pipeline {
            name: name.to_owned(),
            progress,
            judging,
            limits,
            values: raw.values,
            connect_url: self.http(&path.key("connect_url"), &raw.connect_url.0, Presence::Optional),
            dead_letters: self.dead_letters(&path, raw),
            tap: tap?,
            decode,
            target: target?,
            source: source?,
            tables,
            schedules,
        })
    }

    fn dead_letters(&mut self, path: &Path, raw: &RawPipeline) -> Option<String> {
        let (path, topic) = (path.key("dead_letters"), &raw.dead_letters);
        if topic.is_empty() {
            return None;
        }
        if raw.tap.kind == Some(TapType::File) {
            self.wrong(&path, "needs a tap of type `kafka`: the topic is read from the tap's brokers; remove the key");
        } else if !is_topic(topic) {
            self.wrong(
                &path,
                format!("`{topic}` is no topic name: expected the sink's `errors.deadletterqueue.topic.name`"),
            );
        }
        Some(topic.clone())
    }

    fn progress(&mut self, path: &Path, raw: &RawPipeline) -> Progress {
        let applied = path.key("applied");
        if raw.applied.0.is_empty() {
            self.wrong(&applied, "empty: expected at least one form of evidence, such as \"inferred\"");
        }
        for (index, evidence) in raw.applied.0.iter().enumerate() {
            let path = if self.is_written(&applied.index(index)) { applied.index(index) } else { applied.clone() };
            self.evidence(&path, evidence, raw);
            if raw.applied.0[..index].contains(evidence) {
                self.wrong(&path, format!("`{evidence}` is in the list already: leave it out"));
            } else if let Some(other) =
                raw.applied.0[..index].iter().find(|other| other.is_position()).filter(|_| evidence.is_position())
            {
                let wrong = format!(
                    "`{other}` already says where the applier stands: expected one such form, and at most heartbeat or inferred beside it"
                );
                self.wrong(&path, wrong);
            }
        }
        let queries = raw.applied.0.iter().any(|evidence| matches!(evidence, Evidence::Query(_)));
        if raw.query_durable.0 && !queries {
            self.wrong(
                &path.key("query_durable"),
                "says something about a query, and `applied` has none: add query:SQL there",
            );
        }
        self.order(&path.key("order"), raw);
        Progress {
            applied: raw.applied.0.clone(),
            chosen: if self.is_written(&applied) { Chosen::Explicitly } else { Chosen::ByDefault },
            commits: raw.commits,
            query: if raw.query_durable.0 { QueryTrust::Durable } else { QueryTrust::Witness },
            order: raw.order,
            applier: raw.applier,
            lead: raw.lead.map(|span| span.0),
        }
    }

    fn evidence(&mut self, path: &Path, evidence: &Evidence, raw: &RawPipeline) {
        match evidence {
            Evidence::DmsStatus { .. } if raw.commits == Commits::AfterWrite => {
                self.wrong(
                    path,
                    "`dms-status` is a time and no position, which proves no loss: leave out commits = \"after_write\"",
                );
            }
            Evidence::KclLease(_) => {
                self.wrong(
                    path,
                    "`kcl-lease` is not supported by this version: expected kafka-group:NAME, query:SQL, \
                        dms-status:SCHEMA, heartbeat:SCHEMA.TABLE.COLUMN, inferred or assumed",
                );
            }
            Evidence::KafkaGroup(_) if raw.tap.kind == Some(TapType::File) => {
                self.wrong(
                    path,
                    "`kafka-group` needs a tap of type `kafka`: a file has no consumer groups; expected \
                        query:SQL, heartbeat:…, inferred or assumed",
                );
            }
            Evidence::KafkaGroup(_)
            | Evidence::Query(_)
            | Evidence::DmsStatus { .. }
            | Evidence::Heartbeat { .. }
            | Evidence::Inferred
            | Evidence::Assumed => {}
        }
    }

    /// Wider than a partition, order is the source's own position, which only some formats carry.
    fn order(&mut self, path: &Path, raw: &RawPipeline) {
        let wide = match raw.order {
            Order::Key | Order::Partition => return,
            wide @ (Order::Table | Order::Pipeline) => wide.word(),
        };
        match raw.decode.format {
            Format::Debezium => {}
            Format::Auto => {
                let message = format!(
                    "`{wide}` compares source positions, which only some formats carry: declare \
                            decode.format = \"debezium\" if the tap carries them, else expected `partition` or `key`"
                );
                self.wrong(path, message);
            }
            format @ (Format::Flattened | Format::Dms | Format::Maxwell | Format::Canal | Format::Dynamodb) => {
                let message = format!(
                    "`{wide}` compares source positions, and the format `{}` carries none that can be \
                            compared: expected `partition` or `key`",
                    format.word()
                );
                self.wrong(path, message);
            }
        }
    }

    fn judging(&mut self, path: &Path, raw: &RawPipeline) -> Judging {
        if let Auto::Fixed(count) = raw.confirmations
            && count.0 < FEWEST_CONFIRMATIONS
        {
            let message = format!(
                "`{}` is too few, one read proves nothing: expected \"auto\" or at least {FEWEST_CONFIRMATIONS}",
                count.0
            );
            self.wrong(&path.key("confirmations"), message);
        }
        self.some_time(&path.key("poll"), raw.poll);
        if let Auto::Fixed(span) = raw.stall_after {
            self.some_time(&path.key("stall_after"), span);
        }
        Judging {
            settle: raw.settle.map(|span| span.0),
            zombie_after: raw.zombie_after.0,
            poll: raw.poll.0,
            confirmations: raw.confirmations.map(|count| count.0),
            confirm_after: raw.confirm_after.0,
            stall_after: raw.stall_after.map(|span| span.0),
            patrol: raw.patrol,
        }
    }

    fn some_time(&mut self, path: &Path, span: Span) {
        if span.0 < Duration::from_millis(1) {
            self.wrong(path, "no time at all: expected at least 1ms");
        }
    }

    fn limits(&mut self, path: &Path, raw: &RawLimits) -> Limits {
        if raw.versions_per_key.0 < FEWEST_VERSIONS {
            let message = format!("`{}` is too few: expected at least {FEWEST_VERSIONS}", raw.versions_per_key.0);
            self.wrong(&path.key("versions_per_key"), message);
        }
        for (key, size) in [("memory", raw.memory), ("cache", raw.cache)] {
            if size.0 < LEAST_MEMORY_BYTES {
                self.wrong(&path.key(key), "is too little: expected at least \"1MiB\"");
            }
        }
        Limits {
            reread: raw.reread.0,
            versions_per_key: raw.versions_per_key.0,
            memory_bytes: raw.memory.0,
            cache_bytes: raw.cache.0,
        }
    }
}
