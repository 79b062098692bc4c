//! Against a web server that answers as registries do.

use serde_json::json;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn registry(urls: &[String], token: Option<&str>) -> Registry {
    let options = Options {
        urls: urls.iter().map(|url| url.as_str().into()).collect(),
        token: token.map(Into::into),
        authority: None,
        numbers: Numbers::Usual,
    };
    Registry::new(options).expect("the addresses are fine")
}

async fn answers(server: &MockServer, at: &str, template: ResponseTemplate) {
    Mock::given(method("GET")).and(path(at)).respond_with(template).mount(server).await;
}

fn schema(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"schema": text}))
}

fn missing() -> ResponseTemplate {
    ResponseTemplate::new(404).set_body_json(json!({"error_code": 40403, "message": "Schema not found"}))
}

async fn fails(registry: &Registry, id: u32) -> String {
    registry.schema(SchemaId::Short(id)).await.expect_err("no schema").to_string()
}

#[tokio::test]
async fn a_schema_is_asked_for_once_and_comes_with_what_it_refers_to() {
    let server = MockServer::start().await;
    let order = json!({"schema": "order", "schemaType": "AVRO", "references": [
        {"name": "a", "subject": "io.x/line", "version": 2}, {"name": "b", "subject": "money", "version": 1}]});
    let line = json!({"schema": "line", "references": [{"name": "b", "subject": "money", "version": 1}]});
    let money = ResponseTemplate::new(200).set_body_json(json!({"schema": "money", "references": [
        {"name": "c", "subject": "io.x/line", "version": 2}]}));
    for (at, template) in [
        ("/schemas/ids/7", ResponseTemplate::new(200).set_body_json(order)),
        ("/subjects/io.x%2Fline/versions/2", ResponseTemplate::new(200).set_body_json(line)),
        ("/subjects/money/versions/1", money),
    ] {
        Mock::given(method("GET")).and(path(at)).respond_with(template).expect(1).mount(&server).await;
    }
    let registry = registry(&[server.uri()], None);
    let (first, second) = tokio::join!(registry.schema(SchemaId::Short(7)), registry.schema(SchemaId::Short(7)));
    let first = first.expect("it is there");
    assert_eq!((&*first.text, &*first.language), ("order", "AVRO"));
    let mut references: Vec<&str> = first.references.iter().map(|one| &*one.text).collect();
    references.sort_unstable();
    assert_eq!(references, ["line", "money"]);
    assert_eq!(second.expect("it is there"), first);
}

#[tokio::test]
async fn what_a_schema_refers_to_comes_before_it() {
    let server = MockServer::start().await;
    let of = |text: &str, refers: &[&str]| {
        let references: Vec<_> =
            refers.iter().map(|name| json!({"name": name, "subject": name, "version": 1})).collect();
        ResponseTemplate::new(200).set_body_json(json!({"schema": text, "references": references}))
    };
    answers(&server, "/schemas/ids/7", of("order", &["money", "line"])).await;
    answers(&server, "/subjects/line/versions/1", of("line", &["item", "money"])).await;
    answers(&server, "/subjects/item/versions/1", of("item", &["money"])).await;
    answers(&server, "/subjects/money/versions/1", of("money", &[])).await;
    let registry = registry(&[server.uri()], None);
    let definition = registry.schema(SchemaId::Short(7)).await.expect("it is there");
    let names = ["money", "item", "line"].map(|name| Reference { name: name.to_owned(), text: name.to_owned() });
    assert_eq!(definition.references, names);
}

#[tokio::test]
async fn apicurios_own_interface_is_read_too() {
    let server = MockServer::start().await;
    let base = "/apis/registry/v2";
    let references = json!([{"groupId": null, "artifactId": "money", "version": "1", "name": "m"}]);
    let text = |text: &str| ResponseTemplate::new(200).set_body_string(text);
    answers(&server, &format!("{base}/ids/globalIds/9"), text("order")).await;
    let listed = ResponseTemplate::new(200).set_body_json(references);
    answers(&server, &format!("{base}/ids/globalIds/9/references"), listed).await;
    answers(&server, &format!("{base}/groups/default/artifacts/money/versions/1"), text("money")).await;
    let none = ResponseTemplate::new(200).set_body_json(json!([]));
    answers(&server, &format!("{base}/groups/default/artifacts/money/versions/1/references"), none).await;
    let registry = registry(&[format!("{}/apis/ccompat/v7", server.uri())], None);
    let definition = registry.schema(SchemaId::Global(9)).await.expect("it is there");
    let money = Reference { name: "m".to_owned(), text: "money".to_owned() };
    assert_eq!((&*definition.text, &definition.references[..]), ("order", &[money][..]));
}

#[tokio::test]
async fn a_missing_schema_is_told_from_a_wrong_address() {
    let server = MockServer::start().await;
    answers(&server, "/schemas/ids/7", missing()).await;
    let at = server.uri();
    let registry_here = registry(std::slice::from_ref(&at), None);
    let none = registry_here.schema(SchemaId::Short(7)).await.expect_err("it is not there");
    assert!(matches!(none, RegistryError::Missing { .. }), "{none}");
    assert_eq!(none.to_string(), format!("schema 7 is not in the registry at {at}"));
    registry_here.believe_missing(SchemaId::Short(7));
    server.reset().await;
    answers(&server, "/schemas/ids/7", schema("late")).await;
    assert!(fails(&registry_here, 7).await.contains("is not in the registry"), "what was believed is not asked again");

    let wrong = registry(&[format!("{at}/elsewhere")], None).schema(SchemaId::Short(7)).await;
    let wrong = wrong.expect_err("there is nothing");
    assert!(matches!(wrong, RegistryError::Strange { .. }), "{wrong}");
}

#[tokio::test]
async fn another_address_answers_for_one_that_does_not() {
    let (busy, good) = (MockServer::start().await, MockServer::start().await);
    answers(&busy, "/schemas/ids/7", ResponseTemplate::new(503)).await;
    answers(&good, "/schemas/ids/7", schema("it")).await;
    answers(&good, "/schemas/ids/8", missing()).await;
    let both = registry(&[busy.uri(), good.uri()], None);
    assert_eq!(both.schema(SchemaId::Short(7)).await.expect("one answers").text, "it");
    // One says that it is not there, the other says nothing: that proves nothing.
    answers(&busy, "/schemas/ids/8", ResponseTemplate::new(503)).await;
    assert_eq!(fails(&both, 8).await, format!("the registry at {} answered 503: see its own log", busy.uri()));
}

#[tokio::test]
async fn logins_and_tokens_are_shown_to_the_registry_and_to_nobody_else() {
    let server = MockServer::start().await;
    let basic = header("authorization", "Basic dTpwQHNz");
    Mock::given(path("/schemas/ids/1")).and(basic).respond_with(schema("basic")).mount(&server).await;
    let bearer = header("authorization", "Bearer secret-token");
    Mock::given(path("/schemas/ids/2")).and(bearer).respond_with(schema("bearer")).mount(&server).await;
    answers(&server, "/schemas/ids/3", ResponseTemplate::new(401)).await;
    let address = server.uri().replace("http://", "http://u:p%40ss@");
    let by_login = registry(&[address], Some("secret-token"));
    assert_eq!(by_login.schema(SchemaId::Short(1)).await.expect("it is let in").text, "basic");
    let by_token = registry(&[server.uri()], Some("secret-token"));
    assert_eq!(by_token.schema(SchemaId::Short(2)).await.expect("it is let in").text, "bearer");
    let refused = fails(&by_login, 3).await;
    assert_eq!(
        refused,
        format!("the registry at {} answered 401: check its user and password, or the token", server.uri())
    );
    let shown = format!("{by_login:?}");
    assert!(!shown.contains("p@ss") && !shown.contains("p%40ss") && !shown.contains("secret-token"), "{shown}");
}

#[tokio::test]
async fn answers_that_are_no_schemas() {
    let server = MockServer::start().await;
    answers(&server, "/schemas/ids/1", ResponseTemplate::new(200).set_body_string("<html>")).await;
    answers(&server, "/schemas/ids/2", ResponseTemplate::new(302).insert_header("location", "/schemas/ids/3")).await;
    answers(&server, "/schemas/ids/3", schema("elsewhere")).await;
    answers(&server, "/schemas/ids/4", ResponseTemplate::new(200).set_body_bytes(vec![b'x'; SCHEMA_BYTES + 1])).await;
    answers(&server, "/schemas/types", ResponseTemplate::new(200).set_body_json(json!(["AVRO"]))).await;
    let at = server.uri();
    let registry_here = registry(std::slice::from_ref(&at), None);
    for (id, expected) in [
        (1, "answered what is no schema (at line 1 column 1): check that this is a registry's address"),
        (2, "answered 302: check that this is a registry's address"),
        (4, "answered what is no schema (more than 16777216 bytes): check that this is a registry's address"),
    ] {
        assert_eq!(fails(&registry_here, id).await, format!("the registry at {at} {expected}"));
    }
    let told = registry_here.probe().await;
    assert!(matches!(&told[..], [(name, Ok(()))] if *name == at), "{told:?}");
    let elsewhere = registry(&[format!("{at}/x")], None).probe().await;
    assert!(matches!(&elsewhere[..], [(_, Err(RegistryError::Strange { .. }))]), "{elsewhere:?}");
}

#[tokio::test]
async fn nobody_listens() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let told = fails(&registry(std::slice::from_ref(&address), None), 7).await;
    assert_eq!(
        told,
        format!("the registry at {address} does not answer: check that it runs and that this host may connect to it")
    );
}

#[test]
fn certificates_that_are_none() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for path in [file.path().to_owned(), PathBuf::from("no/such/file.pem")] {
        let options = Options {
            urls: vec!["https://r".into()],
            token: None,
            authority: Some(path.clone()),
            numbers: Numbers::Usual,
        };
        let told = Registry::new(options).expect_err("no certificates").to_string();
        assert!(
            told.starts_with(&format!("the registry cannot be asked: the certificates in `{}`", path.display())),
            "{told}"
        );
    }
}
