//! The pipeline before the applier: a PostgreSQL source, Debezium, topics; and the empty target.

use std::time::Duration;

use sqlx::postgres::PgPool;

use crate::connect::Connect;
use crate::connector::{self, Schemas};
use crate::database::Database;
use crate::kafka::Kafka;
use crate::postgres::Postgres;
use crate::services::Services;
use crate::tables::{self, Table};
use crate::wait;

/// Partitions of each table's topic.
const PARTITIONS: i32 = 2;

/// How long the connector may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Databases, topics and a running source connector.
pub(crate) struct Pipeline {
    name: String,
    pub(crate) kafka: Kafka,
    connect: Connect,
    source: Postgres,
    target: Postgres,
}

impl Pipeline {
    /// Makes it, and returns when the connector streams.
    pub(crate) async fn build(name: &str) -> Pipeline {
        let services = Services::from_env();
        let source = Postgres::create(&services.pg_source, name).await;
        let target = Postgres::create(&services.pg_target, name).await;
        source.execute(tables::SOURCE).await;
        target.execute(tables::TARGET).await;
        let (kafka, connect) = (Kafka::new(&services.broker), Connect::new(&services.connect_pg));
        let pipeline = Pipeline { name: name.to_owned(), kafka, connect, source, target };
        for topic in pipeline.topics() {
            pipeline.kafka.create_topic(&topic, PARTITIONS).await;
        }
        let marker = pipeline.topic("marker");
        pipeline.kafka.create_topic(&marker, 1).await;
        let config = connector::source(&Database::Postgres(pipeline.source.clone()), name, &services.broker)
            .json_schemas(Schemas::Left)
            .with("decimal.handling.mode", "string");
        pipeline.connect.deploy(&pipeline.connector(), &config).await;
        wait::until("the source connector streams", PATIENCE, || async {
            (pipeline.kafka.count(&marker) > 0).then_some(())
        })
        .await;
        pipeline
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn connector(&self) -> String {
        format!("{}-source", self.name)
    }

    /// The applier's consumer group.
    pub(crate) fn group(&self) -> String {
        format!("applier-{}", self.name)
    }

    fn topic(&self, table: &str) -> String {
        format!("{}.public.{table}", self.name)
    }

    /// The topics of the load.
    pub(crate) fn topics(&self) -> Vec<String> {
        Table::ALL.iter().map(|table| self.topic(table.name())).collect()
    }

    pub(crate) fn broker(&self) -> &str {
        self.kafka.broker()
    }

    pub(crate) fn source(&self) -> PgPool {
        self.source.pool().clone()
    }

    pub(crate) fn source_url(&self) -> &str {
        self.source.url()
    }

    pub(crate) fn target_url(&self) -> &str {
        self.target.url()
    }

    /// Whether the group has committed all that lies in the topics.
    pub(crate) fn is_applied(&self) -> bool {
        let group = self.group();
        self.topics().iter().all(|topic| {
            let committed = self.kafka.committed(&group, topic);
            self.kafka.ends(topic).iter().zip(committed).all(|(end, next)| next.unwrap_or(0) >= *end)
        })
    }

    /// Connectors first: they hold the slot of the source and would make their topics again.
    pub(crate) async fn clear(self) {
        self.connect.delete(&self.connector()).await;
        wait::until("the connector lets go of its slot", PATIENCE, || async {
            let sql = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active";
            let held = sqlx::query_scalar::<_, i64>(sql).bind(&self.name).fetch_one(self.source.pool()).await;
            held.is_ok_and(|held| held == 0).then_some(())
        })
        .await;
        self.source.drop_database().await;
        self.target.drop_database().await;
        let topics = self.kafka.topics(&self.name);
        self.kafka.delete_topics(&topics.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}
