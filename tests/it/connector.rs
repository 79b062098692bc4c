//! Connector configurations that are known to work, to be varied by tests.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::database::{Database, Dialect, Login};

/// The configuration of one connector.
#[derive(Clone, Debug)]
pub(crate) struct Config(BTreeMap<String, String>);

impl Config {
    fn new(entries: &[(&str, &str)]) -> Self {
        Self(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.0.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Keys and values as JSON with or without its schema inside.
    #[must_use]
    pub(crate) fn json_schemas(self, schemas: Schemas) -> Self {
        let json = "org.apache.kafka.connect.json.JsonConverter";
        let enable = match schemas {
            Schemas::Inside => "true",
            Schemas::Left => "false",
        };
        ["key", "value"].into_iter().fold(self, |config, part| {
            config.with(&format!("{part}.converter"), json).with(&format!("{part}.converter.schemas.enable"), enable)
        })
    }

    /// Keys and values as Avro in Confluent's framing, their schemas in the registry at this address.
    #[must_use]
    pub(crate) fn avro(self, registry: &str) -> Self {
        let config = self.registered("io.apicurio.registry.utils.converter.AvroConverter", registry);
        config.with("schema.name.adjustment.mode", "avro").with("field.name.adjustment.mode", "avro")
    }

    /// Keys and values as JSON that names its schema, which is in the registry at this address.
    #[must_use]
    pub(crate) fn registered_json(self, registry: &str) -> Self {
        self.registered("io.apicurio.registry.utils.converter.ExtJsonConverter", registry)
    }

    fn registered(self, class: &str, registry: &str) -> Self {
        let own = [
            ("apicurio.registry.url", format!("{registry}/apis/registry/v2")),
            ("apicurio.registry.as-confluent", "true".to_owned()),
            ("apicurio.registry.use-id", "contentId".to_owned()),
            ("apicurio.registry.headers.enabled", "false".to_owned()),
            ("apicurio.registry.auto-register", "true".to_owned()),
            ("apicurio.registry.find-latest", "true".to_owned()),
        ];
        ["key", "value"].into_iter().fold(self, |config, part| {
            let config =
                config.without(&format!("{part}.converter.schemas.enable")).with(&format!("{part}.converter"), class);
            own.iter().fold(config, |config, (key, value)| config.with(&format!("{part}.converter.{key}"), value))
        })
    }

    fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// Sends the records of every table into one topic, which must exist with the wanted partitions.
    #[must_use]
    pub(crate) fn routed(self, prefix: &str, topic: &str) -> Self {
        self.with("transforms", "route")
            .with("transforms.route.type", "org.apache.kafka.connect.transforms.RegexRouter")
            .with("transforms.route.regex", &format!(r"{prefix}\.[^.]+\.[^.]+"))
            .with("transforms.route.replacement", topic)
    }

    /// Adds parameters to the address of a sink's database.
    #[must_use]
    pub(crate) fn connection(mut self, parameters: &str) -> Self {
        if let Some(url) = self.0.get_mut("connection.url").filter(|_| !parameters.is_empty()) {
            *url = format!("{url}?{parameters}");
        }
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        self.0.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
    }
}

/// Whether a JSON record carries its schema; the JDBC sink needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schemas {
    Inside,
    Left,
}

/// A Debezium source on all tables of `database`; topics are `prefix.<schema>.<table>`.
pub(crate) fn source(database: &Database, prefix: &str, broker: &str) -> Config {
    let login = database.login();
    let port = login.port.to_string();
    let own = match database.dialect() {
        Dialect::Postgres => Config::new(&[
            ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
            ("plugin.name", "pgoutput"),
            ("database.dbname", &login.database),
            ("slot.name", prefix),
            ("publication.name", prefix),
            ("publication.autocreate.mode", "all_tables"),
            ("schema.include.list", "public"),
        ]),
        Dialect::MariaDb => Config::new(&[
            ("connector.class", "io.debezium.connector.mariadb.MariaDbConnector"),
            ("database.include.list", &login.database),
            ("database.server.id", &server_id(prefix)),
            ("schema.history.internal.kafka.bootstrap.servers", broker),
            ("schema.history.internal.kafka.topic", &format!("history-{prefix}")),
            ("include.schema.changes", "false"),
        ]),
    };
    own.with("tasks.max", "1")
        .with("database.hostname", &login.host)
        .with("database.port", &port)
        .with("database.user", &login.user)
        .with("database.password", &login.password)
        .with("topic.prefix", prefix)
        .with("skipped.operations", "none")
        .with("poll.interval.ms", "100")
        .json_schemas(Schemas::Inside)
}

/// Replicas of one MariaDB server must differ in their id.
fn server_id(prefix: &str) -> String {
    let sum = prefix.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    (10_000 + sum % 1_000_000_000).to_string()
}

/// A JDBC sink that writes the topics matching `topics` into the tables of `database` named as at the source: inserts, updates,
/// deletes and truncates.
pub(crate) fn sink(database: &Database, topics: &str) -> Config {
    let login = database.login();
    Config::new(&[
        ("connector.class", "io.debezium.connector.jdbc.JdbcSinkConnector"),
        ("tasks.max", "1"),
        ("topics.regex", topics),
        ("connection.url", &jdbc_url(database.dialect(), login)),
        ("connection.username", &login.user),
        ("connection.password", &login.password),
        ("connection.pool.min_size", "1"),
        ("connection.pool.max_size", "2"),
        ("insert.mode", "upsert"),
        ("delete.enabled", "true"),
        ("truncate.enabled", "true"),
        ("primary.key.mode", "record_key"),
        ("schema.evolution", "none"),
        ("collection.name.format", "${source.table}"),
        // The default header converter dies on the headers of the first primary-key change.
        ("header.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("consumer.override.auto.offset.reset", "earliest"),
        ("consumer.override.metadata.max.age.ms", "2000"),
    ])
    .json_schemas(Schemas::Inside)
}

fn jdbc_url(dialect: Dialect, login: &Login) -> String {
    let scheme = match dialect {
        Dialect::Postgres => "postgresql",
        Dialect::MariaDb => "mariadb",
    };
    format!("jdbc:{scheme}://{}:{}/{}", login.host, login.port, login.database)
}
