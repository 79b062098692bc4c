//! The `tap` and `decode` sections.

use std::path::PathBuf;

use super::{Checker, Presence, pattern};
use crate::config::evidence::Evidence;
use crate::config::position::{Bound, Place, Start};
use crate::config::raw::{RawConfig, RawDecode, RawPipeline, RawTap, RawTopic};
use crate::config::tree::Path;
use crate::config::unit::OneOrMany;
use crate::config::word::{Format, RegistryIds, TapType};
use crate::config::{ArchiveTap, Decode, FilePath, FileTap, KafkaTap, Registry, SentNulls, Tap, Topic};

/// Properties of librdkafka that the tap itself must decide, and what decides them instead.
const OWNED_PROPERTIES: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `brokers`"),
    ("metadata.broker.list", "set `brokers`"),
    ("group.id", "set `group`"),
    ("auto.offset.reset", "set `from`"),
    ("enable.auto.commit", "only judged changes are committed"),
    ("enable.auto.offset.store", "only judged changes are committed"),
    ("enable.partition.eof", "the tap needs it"),
];

/// Kafka's own bound on the length of a topic's name.
const LONGEST_TOPIC: usize = 249;

impl RawTap {
    /// Fills in what depends on the pipeline's name, so that it is shown.
    pub(super) fn fill(&mut self, pipeline: &str) {
        if self.kind == Some(TapType::Kafka) && self.group.is_none() {
            self.group = Some(format!("afterimage-{pipeline}"));
        }
    }

    /// Begins where taps of its kind begin when nobody says where.
    pub(super) fn begin(&mut self) {
        if matches!(self.kind, Some(TapType::File | TapType::Archive)) {
            self.from = OneOrMany(vec![Place { partition: None, start: Start::Beginning }]);
        }
    }
}

impl Checker<'_> {
    pub(super) fn tap(&mut self, path: &Path, raw: &RawTap) -> Option<Tap> {
        match raw.kind {
            Some(TapType::Kafka) => self.kafka(path, raw).map(Tap::Kafka),
            Some(TapType::File) => self.file(path, raw).map(Tap::File),
            Some(TapType::Archive) => self.archive(path, raw).map(Tap::Archive),
            Some(kind @ (TapType::Kinesis | TapType::DynamodbStreams)) => {
                let message = format!(
                    "`{}` taps are not supported by this version: expected `kafka`, `file` or `archive`",
                    kind.word()
                );
                self.wrong(&path.key("type"), message);
                None
            }
            None => {
                self.wrong(&path.key("type"), "missing: expected `kafka`, `file` or `archive`");
                None
            }
        }
    }

    fn kafka(&mut self, path: &Path, raw: &RawTap) -> Option<KafkaTap> {
        self.foreign(path, "file", &[("path", raw.path.is_some())]);
        self.foreign(path, "archive", &[("url", raw.url.is_some())]);
        let brokers = raw.brokers.clone().unwrap_or_default();
        self.brokers(&path.key("brokers"), &brokers);
        let topics = self.topics(&path.key("topics"), raw.topics.as_ref().map_or(&[], |topics| &topics.0));
        let group = raw.group.clone().unwrap_or_default();
        if group.trim().is_empty() {
            self.wrong(&path.key("group"), "empty: expected the name of a consumer group of the sidecar's own");
        }
        for (name, instead) in OWNED_PROPERTIES {
            if raw.properties.contains_key(*name) {
                self.wrong(&path.key("properties").key(name), format!("is not to be set here: {instead}"));
            }
        }
        let properties = raw.properties.iter().map(|(name, value)| (name.clone(), value.0.clone().into())).collect();
        Some(KafkaTap { brokers, topics, group, from: self.from(path, &raw.from.0)?, properties })
    }

    fn file(&mut self, path: &Path, raw: &RawTap) -> Option<FileTap> {
        self.foreign(path, "kafka", &of_kafka(raw));
        self.foreign(path, "archive", &[("url", raw.url.is_some())]);
        let file = raw.path.clone().unwrap_or_default();
        if file.is_empty() {
            self.wrong(
                &path.key("path"),
                "missing: expected the path of a file of JSON Lines as `kcat -C -J` prints them, or `-`",
            );
        }
        let file = if file == "-" { FilePath::Stdin } else { FilePath::Path(PathBuf::from(file)) };
        Some(FileTap { path: file, from: self.unstored(path, raw, "files")? })
    }

    fn archive(&mut self, path: &Path, raw: &RawTap) -> Option<ArchiveTap> {
        self.foreign(path, "kafka", &of_kafka(raw));
        self.foreign(path, "file", &[("path", raw.path.is_some())]);
        let url = raw.url.clone().unwrap_or_default();
        if let Err(message) = archive_place(&url) {
            self.wrong(&path.key("url"), message);
        }
        Some(ArchiveTap { url, from: self.unstored(path, raw, "archives")? })
    }

    /// A position of a tap that stores none.
    fn unstored(&mut self, path: &Path, raw: &RawTap, what: &str) -> Option<Bound> {
        let from = self.from(path, &raw.from.0)?;
        if from.everywhere == Some(Start::Stored) || from.pinned.values().any(|start| *start == Start::Stored) {
            let message = format!(
                "`stored` is not for {what}, of which nothing is stored: expected `beginning`, an offset or a time"
            );
            self.wrong(&path.key("from"), message);
        }
        Some(from)
    }

    /// Keys of another kind of tap.
    fn foreign(&mut self, path: &Path, other: &str, keys: &[(&str, bool)]) {
        for (key, _) in keys.iter().filter(|(_, given)| *given) {
            self.wrong(
                &path.key(key),
                format!("belongs to taps of type `{other}`: leave it out, or set type = \"{other}\""),
            );
        }
    }

    fn from(&mut self, path: &Path, places: &[Place]) -> Option<Bound> {
        let path = path.key("from");
        match Bound::of(places) {
            Ok(bound) if places.is_empty() => {
                self.wrong(&path, "empty: expected a position such as \"stored\" or \"beginning\"");
                Some(bound)
            }
            Ok(bound) => Some(bound),
            Err(message) => {
                self.wrong(&path, message);
                None
            }
        }
    }

    pub(super) fn brokers(&mut self, path: &Path, brokers: &str) {
        if brokers.is_empty() {
            return self.wrong(path, "missing: expected HOST:PORT, several behind commas");
        }
        for broker in brokers.split(',').map(str::trim) {
            let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('@'));
            if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none() {
                self.wrong(path, format!("`{broker}` is no broker: expected HOST:PORT, several behind commas"));
            }
        }
    }

    fn topics(&mut self, path: &Path, raw: &[RawTopic]) -> Vec<Topic> {
        if raw.is_empty() {
            self.wrong(path, "missing: expected a list of topics, or of patterns such as \"/^inventory\\\\..*/\"");
        }
        let mut topics = Vec::new();
        for (index, topic) in raw.iter().enumerate() {
            let path = if self.is_written(&path.index(index)) { path.index(index) } else { path.clone() };
            match pattern(&topic.0) {
                Err(message) => self.wrong(&path, message),
                Ok(Some(pattern)) => topics.push(Topic::Pattern(pattern.as_str().to_owned())),
                Ok(None) if is_topic(&topic.0) => topics.push(Topic::Name(topic.0.clone())),
                Ok(None) => {
                    let message = format!(
                        "`{}` is no topic: expected letters, digits, `.`, `_` and `-`, one topic each",
                        topic.0
                    );
                    self.wrong(&path, message);
                }
            }
        }
        topics
    }

    pub(super) fn decode(&mut self, path: &Path, raw: &RawDecode) -> Decode {
        if raw.format == Format::Dynamodb {
            let message = "the format `dynamodb` is not supported by this version: expected `auto`, `debezium`, `flattened`, \
                           `dms`, `maxwell` or `canal`";
            self.wrong(&path.key("format"), message);
        }
        if matches!(raw.format, Format::Debezium | Format::Flattened | Format::Maxwell | Format::Canal) {
            let dms = [
                ("before_image", !raw.before_image.is_empty()),
                ("include_null_and_empty", raw.include_null_and_empty.0),
            ];
            for (key, _) in dms.iter().filter(|(_, given)| *given) {
                self.wrong(&path.key(key), "belongs to the format `dms`: leave it out");
            }
        }
        Decode {
            format: raw.format,
            before_image: raw.before_image.clone(),
            nulls: if raw.include_null_and_empty.0 { SentNulls::Sent } else { SentNulls::LeftOut },
            fields_prefix: Some(raw.fields_prefix.clone()).filter(|prefix| !prefix.is_empty()),
            placeholder: Some(raw.placeholder.clone()).filter(|marker| !marker.is_empty()),
            registry: self.registry(path, raw),
        }
    }

    fn registry(&mut self, path: &Path, raw: &RawDecode) -> Option<Registry> {
        let written = raw.registry.expose();
        if written.is_empty() {
            let alone = [
                ("registry_token", raw.registry_token.non_empty().is_some()),
                ("registry_ca", !raw.registry_ca.is_empty()),
                ("registry_ids", raw.registry_ids != RegistryIds::Auto),
            ];
            for (key, _) in alone.iter().filter(|(_, given)| *given) {
                self.wrong(&path.key(key), "there is no registry: set `registry` to its address");
            }
            return None;
        }
        if matches!(raw.format, Format::Dms | Format::Maxwell | Format::Canal) {
            let message = format!("records of the format `{}` name no schemas: leave it out", raw.format.word());
            self.wrong(&path.key("registry"), message);
        }
        let urls: Vec<_> = written
            .split(',')
            .filter_map(|url| self.http(&path.key("registry"), &url.trim().to_owned().into(), Presence::Required))
            .collect();
        Some(Registry {
            urls,
            token: raw.registry_token.non_empty(),
            authority: Some(PathBuf::from(&raw.registry_ca)).filter(|_| !raw.registry_ca.is_empty()),
            ids: raw.registry_ids,
        })
    }

    /// Consumer groups must be the sidecar's own, one for each pipeline: members of one group share partitions.
    pub(super) fn groups(&mut self, raw: &RawConfig) {
        let mut seen: Vec<(&str, &str, &str)> = Vec::new();
        for (name, pipeline) in &raw.pipelines {
            let path = Path::of(["pipelines", name, "tap", "group"]);
            let (Some(brokers), Some(group)) = (&pipeline.tap.brokers, &pipeline.tap.group) else { continue };
            if is_applier(pipeline, group) {
                let message = format!(
                    "`{group}` is the applier's own group: joining it would take partitions from the \
                            applier; name another"
                );
                self.wrong(&path, message);
            }
            match seen.iter().find(|(_, b, g)| b == brokers && g == group) {
                Some((other, _, _)) => {
                    let message = format!(
                        "`{group}` is the group of pipeline `{other}` too: they would share its partitions; name \
                                another"
                    );
                    self.wrong(&path, message);
                }
                None => seen.push((name, brokers, group)),
            }
        }
    }
}

/// Keys that only taps of Kafka have, and whether they are given.
fn of_kafka(raw: &RawTap) -> [(&'static str, bool); 4] {
    [
        ("brokers", raw.brokers.is_some()),
        ("topics", raw.topics.is_some()),
        ("group", raw.group.is_some()),
        ("properties", !raw.properties.is_empty()),
    ]
}

/// Whether an archive can lie there.
///
/// # Errors
/// What would be right.
pub fn archive_place(url: &str) -> Result<(), String> {
    match url.split_once("://") {
        None if url.trim().is_empty() => Err("missing: expected a folder".to_owned()),
        None => Ok(()),
        Some(("s3", _)) => Err(format!("`{url}`: archives in S3 are not supported by this version: expected a folder")),
        Some(_) => Err(format!("`{url}` is no place for an archive: expected a folder")),
    }
}

fn is_applier(pipeline: &RawPipeline, group: &str) -> bool {
    pipeline.applied.0.iter().any(|evidence| matches!(evidence, Evidence::KafkaGroup(name) if name == group))
}

pub(super) fn is_topic(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= LONGEST_TOPIC && name.chars().all(legal) && name != "." && name != ".."
}
