//! The findings store in a real PostgreSQL: the suite that every store keeps, each test in a schema of its own, and what
//! only a server with several clients can show.

#[macro_use]
mod suite;

use afterimage::model::Wall;
use afterimage::model::finding::{Act, Kind, Severity, State};
use afterimage::report::Document;
use afterimage::report::alert::Status as AlertStatus;
use afterimage::report::group::{Filter as AlertFilter, GROUPS, GroupKey, News, Route};
use afterimage::report::life::IgnoreRule;
use afterimage::report::unverified::UnverifiedRange;
use afterimage::store::{
    About, Class, Count, Covers, Cursor, Deed, Filter, Hold, LastRun, Outcome, RANGES, Refusal, ScheduleKey, Store,
    StoreError, Watermark,
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::services::{Services, Stay};

/// An empty store in its own schema, and the stay that keeps its server from being disturbed.
async fn open(name: &str) -> (Store, Stay) {
    let stay = Stay::shared().await;
    let url = fresh(name, &Services::from_env().pg_target).await;
    (Store::open(&url).await.expect("the server takes a new store"), stay)
}

/// Makes the schema anew and returns the URL that leads into it.
async fn fresh(name: &str, server: &str) -> String {
    let schema = format!("store_{name}");
    let mut connection = PgConnection::connect(server).await.expect("the server answers");
    let anew = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    connection.execute(AssertSqlSafe(anew)).await.expect("the schema can be made");
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-c%20search_path%3D{schema}")
}

store_contract!(open);

#[tokio::test]
async fn several_sidecars_open_and_write_one_store_at_once() {
    let _stay = Stay::shared().await;
    let url = fresh("several", &Services::from_env().pg_target).await;
    let (one, two, three) = tokio::join!(Store::open(&url), Store::open(&url), Store::open(&url));
    let stores = [one, two, three].map(|store| store.expect("each of them opens"));
    let findings: Vec<Document> = (0..700).map(|number| suite::finding(number, State::Open, 10)).collect();
    let recorded = tokio::join!(
        stores[0].record(&findings),
        stores[1].record(&findings[200..]),
        stores[2].record(&findings[..400]),
    );
    let recorded = [recorded.0, recorded.1, recorded.2].map(|recorded| recorded.expect("each of them writes"));
    let new = recorded.iter().flatten().filter(|one| one.outcome.opened()).count();
    assert_eq!(new, findings.len());
}

/// Keeps how durable the transaction was that wrote each finding.
const WITNESS: &str = "
    CREATE TABLE witness (setting TEXT NOT NULL);
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO witness VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
    CREATE TRIGGER tell AFTER INSERT OR UPDATE ON afterimage_finding FOR EACH ROW EXECUTE FUNCTION tell();";

#[tokio::test]
async fn a_finding_is_durable_even_where_the_server_is_set_not_to_be() {
    let _stay = Stay::shared().await;
    let url = fresh("durable", &Services::from_env().pg_target).await;
    let mut told = Vec::new();
    for setting in ["off", "remote_apply"] {
        let store = Store::open(&format!("{url}%20-c%20synchronous_commit%3D{setting}")).await.expect("it opens");
        let mut connection = PgConnection::connect(&url).await.expect("the server answers");
        if told.is_empty() {
            connection.execute(WITNESS).await.expect("the trigger can be made");
        }
        store.record(&[suite::finding(1, State::Open, told.len() as i64)]).await.expect("it writes");
        let last = "SELECT string_agg(setting, ' ') FROM witness";
        let setting: String = sqlx::query_scalar(last).fetch_one(&mut connection).await.expect("the trigger told");
        told.push(setting);
    }
    assert_eq!(told, ["on", "on remote_apply"]);
}

#[tokio::test]
async fn a_server_that_refuses_says_who_must_act() {
    let _stay = Stay::shared().await;
    let server = Services::from_env().pg_target;
    let error = Store::open(&format!("{server}/no_such_database")).await.expect_err("there is no such database");
    assert!(error.class() == Class::Operator && error.to_string().contains("database name"), "{error}");
}
