//! The fixed words of the configuration.

use super::unit::words;

words! {
    /// Whether a committed offset of the applier's group may convict.
    Commits {
        /// `after_write` where the group is a Connect sink's (`connect-…`), else `unknown`.
        Auto = "auto",
        /// The applier commits after it has written: what is committed is applied or skipped for good.
        AfterWrite = "after_write",
        /// When it commits is not known: a committed offset only lets versions be forgotten.
        Unknown = "unknown",
    }
}

words! {
    /// The scope in which the applier keeps order, from the narrowest to the widest.
    Order {
        /// One key: when nothing is known.
        Key = "key",
        /// One partition of the tap.
        Partition = "partition",
        /// One table, across partitions.
        Table = "table",
        /// Everything.
        Pipeline = "pipeline",
    }
}

words! {
    /// Whether a batch of the applier becomes visible at once.
    Applier {
        /// Its statements may become visible one after another.
        Batch = "batch",
        /// A batch is one transaction.
        Transactional = "transactional",
    }
}

words! {
    /// What the number that a record names its schema by counts.
    RegistryIds {
        /// What the registry's Confluent-compatible interface counts; without one, Apicurio's contents. A number of 8 bytes:
        /// Apicurio's versions of artifacts.
        Auto = "auto",
        /// Apicurio's versions of artifacts (`globalId`).
        Global = "global",
        /// Apicurio's contents (`contentId`).
        Content = "content",
    }
}

words! {
    /// What findings carry of row values.
    Disclosure {
        /// The values.
        Full = "full",
        /// Hashes of them.
        Hashed = "hashed",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// The kinds of tap that may be named.
    TapType {
        /// Topics of a Kafka cluster.
        Kafka = "kafka",
        /// Records as `kcat -C -J` prints them.
        File = "file",
        /// A Kinesis data stream.
        Kinesis = "kinesis",
        /// The stream of a DynamoDB table.
        DynamodbStreams = "dynamodb_streams",
        /// An archive made by `record`.
        Archive = "archive",
    }
}

words! {
    /// The formats that records may be declared to have.
    Format {
        /// Sniffed for each record.
        Auto = "auto",
        /// Debezium envelopes.
        Debezium = "debezium",
        /// Rows alone: flattened by Debezium (`ExtractNewRecordState`), or plain. A null value is a delete.
        Flattened = "flattened",
        /// AWS DMS JSON.
        Dms = "dms",
        /// Maxwell JSON.
        Maxwell = "maxwell",
        /// Canal JSON.
        Canal = "canal",
        /// Records of DynamoDB streams.
        Dynamodb = "dynamodb",
    }
}

words! {
    /// The databases that may be named as a target.
    TargetType {
        /// PostgreSQL.
        Postgres = "postgres",
        /// MySQL and MariaDB.
        Mysql = "mysql",
        /// SQLite.
        Sqlite = "sqlite",
        /// DynamoDB.
        Dynamodb = "dynamodb",
    }
}

words! {
    /// Whether a pooler may switch servers between two statements.
    Pooler {
        /// A direct connection, or a pooler in session mode.
        None = "none",
        /// A pooler in transaction mode.
        Transaction = "transaction",
    }
}

words! {
    /// The channels that alerts may be declared to go through.
    AlertType {
        /// A signed HTTP POST.
        Webhook = "webhook",
        /// Slack.
        Slack = "slack",
        /// PagerDuty.
        Pagerduty = "pagerduty",
        /// Prometheus Alertmanager.
        Alertmanager = "alertmanager",
        /// A Kafka topic.
        Kafka = "kafka",
    }
}

words! {
    /// What a schedule may run.
    Schedule {
        /// Look again at findings, and at what was logged up to some time before.
        Revalidate = "revalidate",
        /// Compare source and target.
        Reconcile = "reconcile",
        /// Replay a range.
        Audit = "audit",
        /// Judge anew what AWS DMS validation has logged.
        Import = "import",
    }
}
