//! Tables: what they are compared by, and what a session may read of them.

use serde_json::json;

use super::Setup;
use crate::database::Dialect;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_cannot_be_judged_say_why() {
    let setup = Setup::new("tables", Dialect::Postgres).await;
    setup.append("nowhere", 0, json!({"id": 1})).await;
    setup.doctor("").assert_problem("nowhere");

    let setup = Setup::new("twice", Dialect::Postgres).await;
    setup.append("orders", 0, json!({"id": 1, "note": "n"})).await;
    setup.database.execute("DROP TABLE orders; CREATE SCHEMA a; CREATE SCHEMA b").await;
    for schema in ["a", "b"] {
        setup.database.execute(&format!("CREATE TABLE {schema}.orders (id bigint PRIMARY KEY)")).await;
    }
    let ambiguous = setup.doctor("");
    ambiguous.assert_problem("a.orders");
    ambiguous.assert_problem("b.orders");
    assert_eq!(ambiguous.report["tables"][0]["target"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_are_not_compared_are_named() {
    let setup = Setup::new("columns", Dialect::Postgres).await;
    setup.database.execute("ALTER TABLE orders ADD place box").await;
    setup.append("orders", 0, json!({"id": 1, "note": "n", "place": "(1,2)", "gone": 5})).await;
    let told = setup.doctor("");
    told.assert_sound();
    let table = &told.report["tables"][0];
    assert_eq!(table["key"], json!(["id"]));
    let left_out = json!(["place: type `box` is not covered", "gone: the target shows this user no such column"]);
    assert_eq!(table["not_compared"], left_out, "{table:#}");
    let text = setup.text("");
    assert!(
        text.contains("public.orders -> public.orders, key (id)") && text.contains("not compared: place: "),
        "{text}"
    );
}

/// What `doctor` says of a user with these grants; `@` stands for the user.
async fn as_postgres_user(setup: &Setup, name: &str, grants: &str) -> super::Told {
    let role = format!("{name}_{}", std::process::id());
    let database = &setup.database.login().database;
    let sql = format!("CREATE ROLE @ LOGIN; GRANT CONNECT ON DATABASE {database} TO @; {grants}");
    setup.database.execute(&sql.replace('@', &role)).await;
    let url = setup.database.url().replacen("postgres@", &format!("{role}@"), 1);
    let told = setup.doctor_at("", &url, "");
    setup.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_postgres_role_may_read_is_found_out_by_reading() {
    let setup = Setup::new("grants", Dialect::Postgres).await;
    setup.orders(0, 0..4).await;
    let told = as_postgres_user(&setup, "none", "").await;
    told.assert_problem("may not be read: grant SELECT on it");

    let told = as_postgres_user(&setup, "column", "GRANT SELECT (id) ON orders TO @").await;
    told.assert_problem("the columns note may not be read");

    let told = as_postgres_user(&setup, "all", "GRANT SELECT ON orders TO @").await;
    told.assert_sound();
    assert_eq!(told.report["tables"][0]["permissions"], "may be read");

    let group = format!("readers_{}", std::process::id());
    let grants = format!("CREATE ROLE {group}; GRANT SELECT ON orders TO {group}; GRANT {group} TO @");
    as_postgres_user(&setup, "member", &grants).await.assert_sound();
    setup.database.execute(&format!("DROP OWNED BY {group}; DROP ROLE {group}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_level_security_that_hides_rows_is_a_problem_and_not_a_loss() {
    let setup = Setup::new("policy", Dialect::Postgres).await;
    setup.orders(0, 0..4).await;
    setup.database.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY").await;
    let told = as_postgres_user(&setup, "filtered", "GRANT SELECT ON orders TO @").await;
    told.assert_problem("row level security is active for this user");
    as_postgres_user(&setup, "bypass", "GRANT SELECT ON orders TO @; ALTER ROLE @ BYPASSRLS").await.assert_sound();
    setup.doctor("").assert_sound();

    // An audit reads nothing rather than rows that are merely hidden.
    let role = format!("audits_{}", std::process::id());
    let database = &setup.database.login().database;
    let grants = format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON orders TO {role}; GRANT CONNECT ON DATABASE {database} TO {role}"
    );
    setup.database.execute(&grants).await;
    let url = setup.database.url().replacen("postgres@", &format!("{role}@"), 1);
    let config = setup.config("applied = \"assumed\"", &url, "");
    let args = ["audit", "--from", "beginning", "--to", "end", "--max-wait", "4s", "-o", "json", "-c"];
    let args: Vec<&str> = args.into_iter().chain([config.to_str().expect("a path of text")]).collect();
    let output = crate::sidecar::afterimage(setup.dir.path(), &args);
    setup.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{told} {}", String::from_utf8_lossy(&output.stderr));
    assert!(!told.contains("missing_row"), "{told}");
}

/// What `doctor` says of a MariaDB user with these grants; `@U` stands for the user, `@D` for the database.
async fn as_mariadb_user(setup: &Setup, name: &str, grants: &[&str]) -> super::Told {
    let user = format!("{name}_{}", std::process::id());
    let login = setup.database.login();
    let address = format!("'{user}'@'127.0.0.1'");
    let sql = |text: &str| text.replace("@U", &address).replace("@D", &login.database);
    setup.database.execute(&sql("CREATE USER @U IDENTIFIED BY 'x'")).await;
    for grant in grants {
        setup.database.execute(&sql(grant)).await;
    }
    let url = format!("mysql://{user}:x@{}:{}/{}", login.host, login.port, login.database);
    let told = setup.doctor_at("", &url, "");
    setup.database.execute(&sql("DROP USER @U")).await;
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_mariadb_user_may_read_is_found_out_by_reading() {
    let setup = Setup::new("grants_my", Dialect::MariaDb).await;
    setup.orders(0, 0..4).await;
    let role = format!("readers_{}", std::process::id());
    setup.database.execute(&format!("CREATE ROLE {role}")).await;
    let database = &setup.database.login().database;
    setup.database.execute(&format!("GRANT SELECT, INSERT ON {database}.orders TO {role}")).await;
    let (granted, default) = (format!("GRANT {role} TO @U"), format!("SET DEFAULT ROLE {role} FOR @U"));
    let by_role = as_mariadb_user(&setup, "r", &[&granted, &default]).await;
    by_role.assert_sound();
    let permissions = by_role.report["tables"][0]["permissions"].as_str().expect("a sentence");
    assert!(permissions.starts_with("may be read, and by INSERT written"), "{permissions}");
    setup.database.execute(&format!("DROP ROLE {role}")).await;

    for (name, grant) in [
        ("d", "GRANT SELECT ON @D.* TO @U"),
        ("g", "GRANT SELECT ON *.* TO @U"),
        ("t", "GRANT SELECT ON @D.orders TO @U"),
    ] {
        let told = as_mariadb_user(&setup, name, &[grant]).await;
        told.assert_sound();
        assert_eq!(told.report["tables"][0]["permissions"], "may be read", "{grant}");
    }
    let one = as_mariadb_user(&setup, "c", &["GRANT SELECT (id), INSERT (note) ON @D.orders TO @U"]).await;
    one.assert_problem("the columns note may not be read");
    let hidden = as_mariadb_user(&setup, "h", &["GRANT SELECT (id) ON @D.orders TO @U"]).await;
    hidden.assert_sound();
    let left_out = json!(["note: the target shows this user no such column"]);
    assert_eq!(hidden.report["tables"][0]["not_compared"], left_out);
    let none =
        as_mariadb_user(&setup, "n", &["CREATE TABLE @D.other (id int)", "GRANT SELECT ON @D.other TO @U"]).await;
    none.assert_problem("or grant SELECT on it");
}
