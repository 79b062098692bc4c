//! The services that `tests/services/up` started: where they listen, and how a test disturbs them.

use std::env;
use std::path::PathBuf;

use tokio::process::Command;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// All tests share one set of services; a test that disturbs one of them waits until it has them for itself.
static HOUSE: RwLock<()> = RwLock::const_new(());

/// A test's stay at the services. Only its end lets others disturb them, or use them.
pub(crate) enum Stay {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Stay {
    pub(crate) async fn shared() -> Self {
        Self::Shared { _guard: HOUSE.read().await }
    }

    pub(crate) async fn alone() -> Self {
        Self::Alone { _guard: HOUSE.write().await }
    }
}

/// Addresses of the running services, as the environment file of `tests/services/up` gives them.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) broker: String,
    /// Its listener for clients that prove who they are: SASL_SSL with PLAIN.
    pub(crate) secured: String,
    /// `authority.pem` signed the certificate there, `stranger.pem` did not; `password` is that of the user `reader`.
    pub(crate) secrets: PathBuf,
    pub(crate) connect_pg: String,
    pub(crate) connect_my: String,
    pub(crate) pg_source: String,
    pub(crate) pg_target: String,
    /// A standby of the target, which a test starts that needs it.
    pub(crate) pg_standby: String,
    pub(crate) pgbouncer: String,
    pub(crate) mysql: String,
    /// Where the schema registry listens; its interfaces are below.
    pub(crate) registry: String,
    ctl: String,
}

impl Services {
    pub(crate) fn from_env() -> Self {
        Self {
            broker: address("AFTERIMAGE_IT_BROKER"),
            secured: address("AFTERIMAGE_IT_SECURED"),
            secrets: address("AFTERIMAGE_IT_SECRETS").into(),
            connect_pg: address("AFTERIMAGE_IT_CONNECT_PG"),
            connect_my: address("AFTERIMAGE_IT_CONNECT_MY"),
            pg_source: address("AFTERIMAGE_IT_PG_SOURCE"),
            pg_target: address("AFTERIMAGE_IT_PG_TARGET"),
            pg_standby: address("AFTERIMAGE_IT_PG_STANDBY"),
            pgbouncer: address("AFTERIMAGE_IT_PGBOUNCER"),
            mysql: address("AFTERIMAGE_IT_MYSQL"),
            registry: address("AFTERIMAGE_IT_REGISTRY"),
            ctl: address("AFTERIMAGE_IT_CTL"),
        }
    }

    /// The registry as Confluent's would answer.
    pub(crate) fn compatible_registry(&self) -> String {
        format!("{}/apis/ccompat/v7", self.registry)
    }

    /// Carries out one act on one service and returns when it is done: `start` and `restart` when the service answers again.
    /// Only a test that stays alone may do this.
    pub(crate) async fn act(&self, stay: &Stay, act: Act, service: Service) {
        assert!(matches!(stay, Stay::Alone { .. }), "{service:?} is used by other tests too: stay alone to disturb it");
        let done =
            Command::new(&self.ctl).args([act.word(), service.name()]).output().await.expect("the ctl script runs");
        assert!(done.status.success(), "{act:?} {service:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

fn address(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!(
            "`{name}` is not set: pipeline tests need running services. Use `tests/run --only it`, or start them with \
             `tests/services/up` and `source target/services/env` first"
        )
    })
}

/// One of the processes that `tests/services` runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    PgSource,
    PgTarget,
    PgStandby,
    Pgbouncer,
    Mysql,
    Broker,
    ConnectPg,
    ConnectMy,
    Registry,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::PgSource => "pg-source",
            Self::PgTarget => "pg-target",
            Self::PgStandby => "pg-standby",
            Self::Pgbouncer => "pgbouncer",
            Self::Mysql => "mysql",
            Self::Broker => "broker",
            Self::ConnectPg => "connect-pg",
            Self::ConnectMy => "connect-my",
            Self::Registry => "registry",
        }
    }
}

/// What can happen to a service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Stop,
    Start,
    Restart,
    /// SIGKILL.
    Kill,
    /// Frozen with its connections open.
    Pause,
    Resume,
}

impl Act {
    fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}
