//! One pipeline of a test's own: source database, Debezium source, topics, JDBC sink, target database. It goes away with its
//! value, also when the test panics.
#![expect(clippy::disallowed_methods, reason = "clearing up needs a thread and a runtime of its own")]

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::connect::{Connect, sink_group};
use crate::connector::{self, Config, Schemas};
use crate::database::{Database, Dialect};
use crate::kafka::Kafka;
use crate::ledger::{self, Event, Spot};
use crate::load::{self, Change, TABLES};
use crate::mariadb::MariaDb;
use crate::postgres::Postgres;
use crate::services::{Act, Service, Services, Stay};
use crate::wait;

/// How long the connectors may take to carry a load on a busy machine.
const CARRY_LIMIT: Duration = Duration::from_secs(180);

/// A table that tells when the source connector streams.
const MARKER: &str = "marker";

/// The rows of the source that carry heartbeats: enough that their keys reach every partition of a routed topic.
const HEARTBEAT_ROWS: i32 = 64;

/// Which topics carry the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Topics {
    /// One topic a table, each with so many partitions.
    PerTable(i32),
    /// One topic of so many partitions for all tables, heartbeats included.
    Routed(i32),
}

/// What a pipeline is to be made of.
pub(crate) struct Plan {
    name: String,
    dialect: Dialect,
    topics: Topics,
    company: Company,
    encoding: Encoding,
    source: Vec<(String, String)>,
    sink: Vec<(String, String)>,
    /// Tables of the test's own, by their definition at source and target.
    tables: Vec<(String, String)>,
    /// What both databases need before their tables.
    prepare: String,
    /// Parameters of the sink's connection.
    connection: String,
    tap: Tap,
}

/// Which records the sidecar reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tap {
    /// Those that the sink reads.
    OfSink,
    /// Those of a second connector on the same source, in JSON without schemas, which this sink cannot read.
    Plain,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// As JSON with the schema inside.
    Json,
    /// As Avro, whose schemas are in the registry.
    Avro,
    /// As JSON, whose schemas are in the registry.
    RegisteredJson,
}

/// Whether other tests may use the services at the same time.
#[derive(Clone, Copy, Debug)]
enum Company {
    Shared,
    Alone,
}

impl Plan {
    /// `name` must be unique among the tests, and fit for an SQL identifier.
    pub(crate) fn new(name: &str, dialect: Dialect) -> Self {
        // Services may outlive a run of the tests.
        let name = format!("{name}_{}", std::process::id());
        Self {
            name,
            dialect,
            topics: Topics::PerTable(1),
            company: Company::Shared,
            encoding: Encoding::Json,
            source: Vec::new(),
            sink: Vec::new(),
            tables: Vec::new(),
            prepare: String::new(),
            connection: String::new(),
            tap: Tap::OfSink,
        }
    }

    /// SQL that both databases run before their tables are created.
    #[must_use]
    pub(crate) fn prepare(mut self, sql: &str) -> Self {
        sql.clone_into(&mut self.prepare);
        self
    }

    /// A table beside those of the load, carried and judged as they are.
    #[must_use]
    pub(crate) fn table(mut self, name: &str, definition: &str) -> Self {
        self.tables.push((name.to_owned(), definition.to_owned()));
        self
    }

    /// The sidecar reads JSON without schemas, written by a connector of its own.
    #[must_use]
    pub(crate) fn plain(mut self) -> Self {
        self.tap = Tap::Plain;
        self
    }

    /// Parameters of the sink's JDBC connection.
    #[must_use]
    pub(crate) fn connection(mut self, parameters: &str) -> Self {
        parameters.clone_into(&mut self.connection);
        self
    }

    #[must_use]
    pub(crate) fn topics(mut self, topics: Topics) -> Self {
        self.topics = topics;
        self
    }

    /// For a test that disturbs services: it waits until no other test uses them, and keeps others out.
    #[must_use]
    pub(crate) fn alone(mut self) -> Self {
        self.company = Company::Alone;
        self
    }

    /// Keys and values in Avro instead of JSON.
    #[must_use]
    pub(crate) fn avro(mut self) -> Self {
        self.encoding = Encoding::Avro;
        self
    }

    /// What the sink's converter refuses goes to a dead-letter topic, of which the setting beside it tells the sidecar.
    pub(crate) fn letters(self) -> (Self, String) {
        let topic = format!("{}_letters", self.name);
        let settings = format!("\ndead_letters = {topic:?}");
        let plan = self.sink("errors.tolerance", "all").sink("errors.deadletterqueue.topic.name", &topic);
        let plan = plan.sink("errors.deadletterqueue.topic.replication.factor", "1");
        (plan.sink("errors.deadletterqueue.context.headers.enable", "true"), settings)
    }

    /// Keys and values in JSON whose schemas are in the registry, instead of inside; without tombstones, on which the sink's
    /// converter fails.
    #[must_use]
    pub(crate) fn registered_json(mut self) -> Self {
        self.encoding = Encoding::RegisteredJson;
        self.source("tombstones.on.delete", "false")
    }

    /// Sets a key of the source connector.
    #[must_use]
    pub(crate) fn source(mut self, key: &str, value: &str) -> Self {
        self.source.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sets a key of the sink connector.
    #[must_use]
    pub(crate) fn sink(mut self, key: &str, value: &str) -> Self {
        self.sink.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Creates databases, tables and topics, and starts the source connector; returns when it streams. The sink is not there yet.
    pub(crate) async fn build(self) -> Pipeline {
        let services = Services::from_env();
        let stay = match self.company {
            Company::Shared => Stay::shared().await,
            Company::Alone => Stay::alone().await,
        };
        let connect = Connect::new(match self.dialect {
            Dialect::Postgres => &services.connect_pg,
            Dialect::MariaDb => &services.connect_my,
        });
        let (source, target) = create_databases(&services, self.dialect, &self.name).await;
        let kafka = Kafka::new(&services.broker);
        let pipeline = Pipeline { services, kafka, connect, source, target, plan: self, written: Mutex::new(0), stay };
        pipeline.create_tables().await;
        pipeline.create_topics().await;
        pipeline.start_source().await;
        pipeline
    }

    /// `build`, and the sink.
    pub(crate) async fn start(self) -> Pipeline {
        let pipeline = self.build().await;
        pipeline.start_sink().await;
        pipeline
    }
}

async fn create_databases(services: &Services, dialect: Dialect, name: &str) -> (Database, Database) {
    match dialect {
        Dialect::Postgres => (
            Database::Postgres(Postgres::create(&services.pg_source, name).await),
            Database::Postgres(Postgres::create(&services.pg_target, name).await),
        ),
        Dialect::MariaDb => (
            Database::MariaDb(MariaDb::create(&services.mysql, &format!("{name}_source")).await),
            Database::MariaDb(MariaDb::create(&services.mysql, &format!("{name}_target")).await),
        ),
    }
}

/// A running pipeline.
pub(crate) struct Pipeline {
    pub(crate) services: Services,
    pub(crate) kafka: Kafka,
    pub(crate) connect: Connect,
    pub(crate) source: Database,
    pub(crate) target: Database,
    plan: Plan,
    /// How many records the topics of the load must have for all that was written to the source so far.
    written: Mutex<i64>,
    stay: Stay,
}

impl Pipeline {
    /// Disturbs a service; the plan must be to stay `alone`.
    pub(crate) async fn disturb(&self, act: Act, service: Service) {
        self.services.act(&self.stay, act, service).await;
    }

    /// The name of its databases and the prefix of its topics.
    pub(crate) fn name(&self) -> &str {
        &self.plan.name
    }

    pub(crate) fn source_connector(&self) -> String {
        format!("{}-source", self.plan.name)
    }

    /// The connector of the tap that is not the sink's, and the prefix of its topics.
    fn plain_connector(&self) -> String {
        format!("{}_plain", self.plan.name)
    }

    /// The topics that the sidecar reads.
    pub(crate) fn tapped_topics(&self) -> Vec<String> {
        let plain = |topic: String| topic.replacen(&self.plan.name, &self.plain_connector(), 1);
        match self.plan.tap {
            Tap::OfSink => self.load_topics(),
            Tap::Plain => self.load_topics().into_iter().map(plain).collect(),
        }
    }

    pub(crate) fn sink_connector(&self) -> String {
        format!("{}-sink", self.plan.name)
    }

    /// The consumer group of the sink.
    pub(crate) fn group(&self) -> String {
        sink_group(&self.sink_connector())
    }

    /// The topic that carries a table.
    pub(crate) fn topic(&self, table: &str) -> String {
        match self.plan.topics {
            Topics::PerTable(_) => format!("{}.{}.{table}", self.plan.name, self.source.schema()),
            Topics::Routed(_) => format!("{}.all", self.plan.name),
        }
    }

    /// The tables of the load, and the test's own.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &str> {
        TABLES.into_iter().chain(self.plan.tables.iter().map(|(name, _)| name.as_str()))
    }

    /// The topics of these tables: one each, or the one they share.
    pub(crate) fn load_topics(&self) -> Vec<String> {
        let mut topics: Vec<_> = self.tables().map(|table| self.topic(table)).collect();
        topics.dedup();
        topics
    }

    async fn create_tables(&self) {
        for database in [&self.source, &self.target] {
            load::create_tables(database).await;
            let own = self.plan.tables.iter().map(|(_, definition)| definition);
            for sql in std::iter::once(&self.plan.prepare).chain(own).filter(|sql| !sql.is_empty()) {
                database.execute(sql).await;
            }
            database.execute(&format!("CREATE TABLE {MARKER} (id int PRIMARY KEY, beat bigint NOT NULL)")).await;
            database.execute("CREATE TABLE heartbeats (id int PRIMARY KEY, beat bigint NOT NULL)").await;
        }
        if let Database::Postgres(source) = &self.source {
            source.identify_fully("documents").await;
        }
    }

    async fn create_topics(&self) {
        let (Topics::PerTable(partitions) | Topics::Routed(partitions)) = self.plan.topics;
        for topic in self.load_topics() {
            self.kafka.create_topic(&topic, partitions).await;
        }
        if let Topics::PerTable(_) = self.plan.topics {
            self.kafka.create_topic(&self.topic("heartbeats"), partitions).await;
            self.kafka.create_topic(&self.topic(MARKER), 1).await;
        }
    }

    async fn start_source(&self) {
        self.source.execute(&format!("INSERT INTO {MARKER} VALUES (1, 0)")).await;
        let mut config = self.encoded(connector::source(&self.source, &self.plan.name, &self.services.broker));
        if let Topics::Routed(_) = self.plan.topics {
            config = config.routed(&self.plan.name, &self.topic(MARKER));
        }
        self.connect.deploy(&self.source_connector(), &changed(config, &self.plan.source)).await;
        // What is written after the marker of the snapshot has arrived is streamed.
        wait::until("the source connector streams", CARRY_LIMIT, || async {
            (self.kafka.count(&self.topic(MARKER)) > 0).then_some(())
        })
        .await;
        if self.plan.tap == Tap::Plain {
            self.start_plain_source().await;
        }
        *self.written.lock().await = self.records();
    }

    async fn start_plain_source(&self) {
        let prefix = self.plain_connector();
        for topic in self.tapped_topics() {
            self.kafka.create_topic(&topic, 1).await;
        }
        let config = connector::source(&self.source, &prefix, &self.services.broker).json_schemas(Schemas::Left);
        self.connect.deploy(&prefix, &changed(config, &self.plan.source)).await;
        let marker = self.topic(MARKER).replacen(&self.plan.name, &prefix, 1);
        wait::until("the second source connector streams", CARRY_LIMIT, || async {
            (self.kafka.count(&marker) > 0).then_some(())
        })
        .await;
    }

    /// Waits until the sidecar's own topics have what the sink's have.
    pub(crate) async fn wait_tapped(&self) {
        wait::until("the tap has every change", CARRY_LIMIT, || async {
            let tapped: i64 = self.tapped_topics().iter().map(|topic| self.kafka.count(topic)).sum();
            (tapped >= self.records()).then_some(())
        })
        .await;
    }

    /// The configuration of the sink, as the plan has it.
    pub(crate) fn sink_config(&self) -> Config {
        let topics = match self.plan.topics {
            Topics::PerTable(_) => format!(r"{}\..*", self.plan.name),
            Topics::Routed(_) => self.topic(MARKER).replace('.', r"\."),
        };
        let sink = connector::sink(&self.target, &topics).connection(&self.plan.connection);
        changed(self.encoded(sink), &self.plan.sink)
    }

    fn encoded(&self, config: Config) -> Config {
        match self.plan.encoding {
            Encoding::Json => config,
            Encoding::Avro => config.avro(&self.services.registry),
            Encoding::RegisteredJson => config.registered_json(&self.services.registry),
        }
    }

    /// The address of the registry that its records need.
    pub(crate) fn registry(&self) -> Option<String> {
        (self.plan.encoding != Encoding::Json).then(|| self.services.compatible_registry())
    }

    pub(crate) async fn start_sink(&self) {
        self.connect.deploy(&self.sink_connector(), &self.sink_config()).await;
    }

    /// Writes changes to the source and waits until all their records lie in the topics.
    pub(crate) async fn apply(&self, changes: &[Change]) {
        load::apply(&self.source, changes).await;
        self.wait_written(self.records_of(changes)).await;
    }

    /// How many records changes make in the topics of the load.
    pub(crate) fn records_of(&self, changes: &[Change]) -> i64 {
        match self.plan.encoding {
            Encoding::Json | Encoding::Avro => changes.iter().map(Change::records).sum(),
            // Without tombstones.
            Encoding::RegisteredJson => changes.iter().map(|change| change.events().cast_signed()).sum(),
        }
    }

    /// Runs SQL at the source and waits until the `records` it makes in the topics of the load lie there.
    pub(crate) async fn write(&self, sql: &str, records: i64) {
        self.source.execute(sql).await;
        self.wait_written(records).await;
    }

    /// Runs SQL at the source alone. The `records` it makes in the topics of the load are awaited by whatever is written next.
    pub(crate) async fn write_ahead(&self, sql: &str, records: i64) {
        let mut written = self.written.lock().await;
        self.source.execute(sql).await;
        *written += records;
    }

    /// Heartbeats wait meanwhile: in a routed topic one of theirs would be taken for one of the awaited records.
    async fn wait_written(&self, records: i64) {
        let mut written = self.written.lock().await;
        *written += records;
        wait::until("every change lies in its topic", CARRY_LIMIT, || async {
            (self.records() >= *written).then_some(())
        })
        .await;
    }

    /// The newest event of every key in the topics of the load.
    pub(crate) fn newest(&self) -> BTreeMap<Spot, Event> {
        ledger::newest(&self.kafka, &self.load_topics(), &mut ledger::Schemas::new(self.registry()))
    }

    /// How many offsets the topics of the load have given out.
    pub(crate) fn records(&self) -> i64 {
        self.load_topics().iter().map(|topic| self.kafka.count(topic)).sum()
    }

    /// Waits until the sink has committed all that lies in the topics now; panics with the trace of a task that failed.
    pub(crate) async fn wait_applied(&self) {
        let ends: Vec<_> = self.load_topics().into_iter().map(|topic| (self.kafka.ends(&topic), topic)).collect();
        let group = self.group();
        wait::until("the sink has committed the end of every topic", CARRY_LIMIT, || async {
            self.connect.assert_not_failed(&self.sink_connector()).await;
            let behind = ends.iter().any(|(ends, topic)| {
                let committed = self.kafka.committed(&group, topic);
                ends.iter().zip(committed).any(|(end, next)| next.unwrap_or(0) < *end)
            });
            (!behind).then_some(())
        })
        .await;
    }

    /// The tables of the load whose rows are not the same at source and target, with how many rows differ.
    pub(crate) async fn differences(&self) -> Vec<(&'static str, usize)> {
        let mut found = Vec::new();
        for table in TABLES {
            let (expected, observed) = (self.source.rows(table).await, self.target.rows(table).await);
            let differ = count_missing(&expected, &observed) + count_missing(&observed, &expected);
            if differ > 0 {
                found.push((table, differ));
            }
        }
        found
    }

    /// Creates rows of `heartbeats` at the source, so many that their keys reach every partition.
    pub(crate) async fn plant_heartbeats(&self) {
        let rows: Vec<_> = (0..HEARTBEAT_ROWS).map(|id| format!("({id}, 0)")).collect();
        self.heartbeat(&format!("INSERT INTO heartbeats VALUES {}", rows.join(", "))).await;
    }

    /// Gives every heartbeat row a new value.
    pub(crate) async fn beat(&self) {
        self.heartbeat("UPDATE heartbeats SET beat = beat + 1").await;
    }

    async fn heartbeat(&self, sql: &str) {
        let mut written = self.written.lock().await;
        self.source.execute(sql).await;
        if let Topics::Routed(_) = self.plan.topics {
            *written += i64::from(HEARTBEAT_ROWS);
        }
    }
}

impl Drop for Pipeline {
    /// Clears up on a thread and runtime of its own: this may be the unwinding of a failed test.
    fn drop(&mut self) {
        let leavings = Leavings {
            connect: self.connect.url().to_owned(),
            connectors: [self.sink_connector(), self.source_connector(), self.plain_connector()],
            databases: [self.source.clone(), self.target.clone()],
            broker: self.services.broker.clone(),
            name: self.plan.name.clone(),
        };
        std::thread::scope(|scope| {
            let cleared = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(leavings.clear());
            });
            if cleared.join().is_err() {
                eprintln!("`{}` is not wholly cleared up", self.plan.name);
            }
        });
    }
}

/// What a pipeline leaves on the services.
struct Leavings {
    connect: String,
    connectors: [String; 3],
    databases: [Database; 2],
    broker: String,
    /// Part of the name of every topic of the pipeline.
    name: String,
}

impl Leavings {
    /// Connectors first: they hold the slot of the source and would make their topics again.
    async fn clear(&self) {
        let connect = Connect::new(&self.connect);
        for connector in &self.connectors {
            connect.delete(connector).await;
        }
        for database in &self.databases {
            database.drop_database().await;
        }
        let kafka = Kafka::new(&self.broker);
        let topics = kafka.topics(&self.name);
        if !topics.is_empty() {
            kafka.delete_topics(&topics.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
    }
}

fn changed(config: Config, overrides: &[(String, String)]) -> Config {
    overrides.iter().fold(config, |config, (key, value)| config.with(key, value))
}

/// How many of the sorted `rows` are not among the sorted `others`.
fn count_missing(rows: &[String], others: &[String]) -> usize {
    rows.iter().filter(|row| others.binary_search(row).is_err()).count()
}
