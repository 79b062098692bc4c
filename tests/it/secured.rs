//! A broker that asks who its clients are, over TLS: `tap.properties` as users write them.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use crate::kafka::{Draft, Kafka};
use crate::services::{Services, Stay};
use crate::sidecar::{Sidecar, afterimage};

const LIMIT: Duration = Duration::from_secs(60);

const WRONG_PASSWORD: &str = "not-the-password-7f3a";

const CREDENTIALS: &str = "they refuse the credentials: check sasl.mechanism, sasl.username and sasl.password";

const CERTIFICATE: &str =
    "no secure connection can be made: check in `properties` that ssl.ca.location names the authority";

/// One topic with one row, which lies on the target too.
struct Shop {
    services: Services,
    kafka: Kafka,
    folder: TempDir,
    topic: String,
    password: String,
    _stay: Stay,
}

impl Shop {
    async fn open(name: &str) -> Shop {
        let stay = Stay::shared().await;
        let services = Services::from_env();
        let kafka = Kafka::new(&services.broker);
        let topic = format!("secured-{name}-{}", std::process::id());
        kafka.create_topic(&topic, 1).await;
        let source = json!({"connector": "postgresql", "schema": "public", "table": "orders", "lsn": 7, "ts_ms": 5});
        let value = json!({"op": "c", "before": null, "after": {"id": 1, "name": "a"}, "source": source}).to_string();
        let draft = Draft {
            topic: &topic,
            partition: 0,
            key: Some(b"{\"id\":1}"),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        kafka.produce(&draft).await;
        let folder = TempDir::new().expect("a directory");
        let target = SqliteConnectOptions::new().filename(folder.path().join("t.db")).create_if_missing(true);
        let mut target = target.connect().await.expect("a database");
        let table = "create table orders (id integer primary key, name text); insert into orders values (1, 'a')";
        sqlx::raw_sql(table).execute(&mut target).await.expect("a table");
        let password = fs::read_to_string(services.secrets.join("password")).expect("`tests/services/up` wrote it");
        Shop { services, kafka, folder, topic, password: password.trim().to_owned(), _stay: stay }
    }

    /// The sections of a pipeline that proves itself by what stands in the file `secret`, and trusts who `authority` signed.
    fn sections(&self, secret: &str, authority: &str) -> String {
        fs::write(self.folder.path().join("secret"), secret).expect("the directory is writable");
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let authority = self.services.secrets.join(authority).display().to_string();
        format!(
            "[pipelines.secured]\napplied = \"assumed\"\npoll = \"200ms\"\nconfirm_after = \"200ms\"\n\
             [pipelines.secured.target]\nurl = \"sqlite:{}\"\n\
             [pipelines.secured.tap]\ntype = \"kafka\"\nbrokers = {:?}\ntopics = [{:?}]\nfrom = \"beginning\"\n\
             [pipelines.secured.tap.properties]\n\
             \"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
             \"sasl.username\" = \"reader\"\n\"sasl.password\" = \"${{file:{}}}\"\n\"ssl.ca.location\" = {authority:?}\n\
             \"broker.address.family\" = \"v4\"\n",
            path("t.db"),
            self.services.secured,
            self.topic,
            path("secret"),
        )
    }

    /// Runs a command on the range of the topic, or the doctor.
    fn run(&self, arguments: &[&str], secret: &str, authority: &str) -> Output {
        let file = self.folder.path().join("a.toml");
        fs::write(&file, self.sections(secret, authority)).expect("the directory is writable");
        let ended = afterimage(self.folder.path(), &[arguments, &["-c", "a.toml"]].concat());
        for said in [&ended.stdout, &ended.stderr] {
            let said = String::from_utf8_lossy(said);
            assert!(!said.contains(secret), "a secret is told: {said}");
        }
        ended
    }

    async fn close(self) {
        self.kafka.delete_topics(&[&self.topic]).await;
    }
}

const AUDIT: [&str; 7] = ["audit", "--from", "beginning", "--to", "end", "-o", "json"];

const DECODE: [&str; 7] = ["decode", "--from", "beginning", "--to", "end", "-o", "ndjson"];

const DOCTOR: [&str; 3] = ["doctor", "-o", "json"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_credentials_let_every_command_read() {
    let shop = Shop::open("right").await;
    let run = |arguments: &[&str]| {
        let ended = shop.run(arguments, &shop.password, "authority.pem");
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        serde_json::from_slice::<Value>(&ended.stdout).expect("one JSON value")
    };
    assert_eq!(run(&DECODE)["key"], json!({"id": 1}));
    assert_eq!(run(&AUDIT)["findings"], json!([]));
    let report = run(&DOCTOR);
    assert_eq!(report[0]["tap"]["records_seen"], 1, "{report:#}");
    assert_eq!(report[0]["problems"], json!([]), "{report:#}");

    let mut sidecar = Sidecar::run(&shop.sections(&shop.password, "authority.pem")).await;
    let verified = |status: &Value| status["pipelines"][0]["partitions"][0]["verified"] == 1;
    sidecar.wait_status("the row is verified by a member of a group", LIMIT, verified).await;
    sidecar.terminate().await;
    assert!(!sidecar.log().contains(&shop.password));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_unknown_authority_are_told_apart() {
    let shop = Shop::open("wrong").await;
    for (secret, authority, advice) in
        [(WRONG_PASSWORD, "authority.pem", CREDENTIALS), (&shop.password, "stranger.pem", CERTIFICATE)]
    {
        for arguments in [&DECODE[..], &AUDIT[..], &DOCTOR[..]] {
            let ended = shop.run(arguments, secret, authority);
            let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(advice) && said.contains(&shop.services.secured), "{arguments:?}: {said}");
        }
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_refused_says_why_and_goes_on_asking() {
    let shop = Shop::open("refused").await;
    let mut sidecar = Sidecar::run(&shop.sections(WRONG_PASSWORD, "authority.pem")).await;
    crate::wait::until("the log says why nothing is read", LIMIT, || async {
        sidecar.log().contains(CREDENTIALS).then_some(())
    })
    .await;
    assert!(!sidecar.log().contains(WRONG_PASSWORD));
    sidecar.terminate().await;
    shop.close().await;
}
