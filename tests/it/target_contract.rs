//! What every target promises, checked against every engine: PostgreSQL, MariaDB, SQLite.

mod bench;
mod faults;
mod values;

use std::sync::Arc;

use afterimage::canon::{Plan, Rules};
use afterimage::model::{Cell, Columns, Row, TableId, TableMeta, Typing};
use afterimage::target::mapping::MappingError;
use afterimage::target::{Answer, Answered, AppliedRow, Ask, Target, TargetError};

use bench::{Bench, Engine};

/// The question for the given keys: all columns of the table, by its primary key.
fn ask(meta: &Arc<TableMeta>, keys: Vec<Vec<Cell<'static>>>) -> Ask {
    ask_by(meta, meta.primary_key.clone(), keys)
}

fn ask_by(meta: &Arc<TableMeta>, key_columns: Vec<usize>, keys: Vec<Vec<Cell<'static>>>) -> Ask {
    let names = Arc::new(Columns::new(meta.columns.iter().map(|column| &*column.name)));
    let columns = (0..meta.columns.len()).collect();
    Ask { table: meta.clone(), key_columns, columns, names, keys, rows: Answered::Each, nulls: Vec::new() }
}

async fn describe(target: &Target, table: &str) -> Arc<TableMeta> {
    Arc::new(target.describe(None, table).await.expect("the catalog can be read").expect("the table exists"))
}

fn cells(answer: &Answer) -> Vec<Vec<Vec<Cell<'static>>>> {
    answer.iter().map(|rows| rows.iter().map(|row| row.cells.to_vec()).collect()).collect()
}

fn kind(outcome: &Result<impl std::fmt::Debug, TargetError>) -> &'static str {
    match outcome {
        Ok(_) => "answered",
        Err(TargetError::Unreachable { .. }) => "unreachable",
        Err(TargetError::Changed { .. }) => "changed",
        Err(TargetError::Refused { .. }) => "refused",
    }
}

/// Runs one promise against all three engines, one after the other.
macro_rules! promise {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        mod $name {
            use super::bench::{Bench, Engine};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name(&Bench::shared(Engine::Postgres, stringify!($name)).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn mariadb() {
                super::$name(&Bench::shared(Engine::MariaDb, stringify!($name)).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(&Bench::shared(Engine::Sqlite, stringify!($name)).await).await;
            }
        }
    };
}

promise!(a_batch_answers_for_every_key_in_order);
async fn a_batch_answers_for_every_key_in_order(bench: &Bench) {
    bench.execute("CREATE TABLE orders (tenant varchar(20) NOT NULL, no integer NOT NULL, v varchar(20), PRIMARY KEY (no, tenant))").await;
    let values: Vec<String> = (0..250).map(|no| format!("('t''{}', {no}, 'v{no}')", no % 3)).collect();
    bench.execute(&format!("INSERT INTO orders VALUES {}", values.join(","))).await;
    let target = bench.target().await;
    let meta = describe(&target, "orders").await;
    assert_eq!(meta.primary_key, [1, 0], "key order is the primary key's");
    let tenant = |no: i64| Cell::Text(format!("t'{}", no % 3).into());
    // Every other asked key is missing: of another tenant, or beyond the table, or of a kind no row can have.
    let keys: Vec<Vec<Cell<'static>>> = (0..500)
        .map(|at: i64| match at % 4 {
            0 | 2 => vec![Cell::Int(at / 2), tenant(at / 2)],
            1 => vec![Cell::Int(at / 2), Cell::text("nobody")],
            _ => vec![Cell::Int(at + 1_000), tenant(at)],
        })
        .collect();
    let answer = target.lookup(&ask(&meta, keys)).await.expect("an answer");
    assert_eq!(answer.len(), 500);
    for (at, rows) in cells(&answer).into_iter().enumerate() {
        let no = at as i64 / 2;
        let expected = if at % 2 == 0 {
            vec![vec![tenant(no), Cell::Int(no), Cell::Text(format!("v{no}").into())]]
        } else {
            vec![]
        };
        assert_eq!(rows, expected, "key {at}");
    }
    assert_eq!(target.lookup(&ask(&meta, vec![])).await.expect("nothing asked"), Answer::new());
    let impossible = vec![vec![Cell::Null, Cell::text("t'0")], vec![Cell::text("0"), Cell::text("\0")]];
    let answer = target.lookup(&ask(&meta, impossible)).await.expect("an answer");
    assert!(answer.iter().all(Vec::is_empty), "{answer:?}");
}

promise!(pages_follow_each_other_in_the_order_of_the_key);
async fn pages_follow_each_other_in_the_order_of_the_key(bench: &Bench) {
    let columns = "tenant varchar(20) NOT NULL, no integer NOT NULL, at timestamp NOT NULL, gone integer NOT NULL";
    bench.execute(&format!("CREATE TABLE orders ({columns}, PRIMARY KEY (tenant, at, no))")).await;
    let tenants = ["a", "B", "b''", "ä", "Z", "\u{1F600}"];
    let row = |no: usize| {
        let (tenant, hour) = (tenants[no % tenants.len()], no % 5);
        format!("('{tenant}', {no}, '2026-01-02 0{hour}:00:00', {})", no % 7 / 6)
    };
    let rows: Vec<String> = (0..100).map(row).collect();
    bench.execute(&format!("INSERT INTO orders VALUES {}", rows.join(","))).await;
    let target = bench.target_with(|options| options.dead_rows = "gone = 1".to_owned()).await;
    let meta = describe(&target, "orders").await;
    let plan = Plan::new(TableId(0), meta.clone(), &Rules::default(), None).expect("a plan");
    let (mut last, mut numbers) = (Vec::new(), Vec::new());
    loop {
        let question = Ask { columns: plan.columns_to_read(), names: plan.names().clone(), ..ask(&meta, last) };
        let rows = target.page(&question, 9).await.expect("a page");
        numbers.extend(rows.iter().map(|row| row.get("no").cloned().expect("a number").to_string()));
        let key = rows.last().map(|row| plan.observed_key(row).expect("a key").cells());
        last = key.into_iter().collect();
        if rows.len() < 9 {
            break;
        }
    }
    let (read, mut sorted) =
        (numbers.len(), numbers.iter().map(|no| no.parse().expect("a number")).collect::<Vec<_>>());
    sorted.sort_unstable();
    let living: Vec<usize> = (0..100).filter(|no| no % 7 != 6).collect();
    assert_eq!((read, sorted), (living.len(), living), "each living row once");
}

promise!(all_rows_of_a_key_are_found_where_nothing_makes_it_unique);
async fn all_rows_of_a_key_are_found_where_nothing_makes_it_unique(bench: &Bench) {
    bench.execute("CREATE TABLE log (id integer, v varchar(20))").await;
    bench.execute("INSERT INTO log VALUES (1, 'a'), (1, 'b'), (2, 'c'), (NULL, 'd')").await;
    let target = bench.target().await;
    let meta = describe(&target, "log").await;
    assert!(meta.primary_key.is_empty());
    let keys = vec![vec![Cell::Int(2)], vec![Cell::Int(1)], vec![Cell::Int(1)]];
    let answer = target.lookup(&ask_by(&meta, vec![0], keys)).await.expect("an answer");
    assert_eq!(answer.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 2]);
}

promise!(equal_rows_are_counted_and_nulls_equal_nulls);
async fn equal_rows_are_counted_and_nulls_equal_nulls(bench: &Bench) {
    bench.execute("CREATE TABLE visits (who varchar(20), page integer, seen date, took double precision)").await;
    let rows = "('a', 1, '2026-01-02', 1), ('a', 1, '2026-01-02', 2), ('a', NULL, '2026-01-02', 1), \
                (NULL, NULL, '2026-01-02', 1), (NULL, NULL, '2026-01-02', 2), (NULL, NULL, '2026-01-02', 3), ('b', 2, NULL, 1)";
    bench.execute(&format!("INSERT INTO visits VALUES {rows}")).await;
    bench.execute("CREATE INDEX visits_page ON visits (page, who)").await;
    let target = bench.target().await;
    let meta = describe(&target, "visits").await;
    let reach = target.reach(&meta).await.expect("an answer");
    assert!(reach.indexed.contains(&"page".to_owned()) && reach.rows < 1000, "{reach:?}");
    let row = Columns::new(["who", "page", "seen", "took"]);
    let plan = Plan::of_contents(TableId(0), meta.clone(), &Rules::default(), &row).expect("a plan");
    let date = Cell::Date(20_455);
    let keys = [
        [Cell::text("a"), Cell::Int(1), date.clone()],
        [Cell::text("a"), Cell::Null, date.clone()],
        [Cell::Null, Cell::Null, date.clone()],
        [Cell::text("b"), Cell::Int(2), Cell::Null],
        [Cell::text("b"), Cell::Int(1), date.clone()],
        [Cell::Null, Cell::Int(1), date],
    ];
    let question = Ask {
        table: meta,
        key_columns: plan.key_places(),
        columns: plan.columns_to_read(),
        names: plan.names().clone(),
        keys: keys.iter().map(|key| key.to_vec()).collect(),
        rows: Answered::Counted,
        nulls: Vec::new(),
    };
    let answer = target.lookup(&question).await.expect("an answer");
    let counts: Vec<u64> = answer.iter().map(|rows| rows.iter().map(|row| plan.observe(row).count()).sum()).collect();
    assert_eq!(counts, [2, 1, 3, 1, 0, 0]);
    for (rows, key) in answer.iter().zip(keys).filter(|(rows, _)| !rows.is_empty()) {
        assert_eq!(plan.observed_key(&rows[0]).expect("a key").cells(), key);
    }
}

promise!(unique_indexes_besides_the_key_are_told);
async fn unique_indexes_besides_the_key_are_told(bench: &Bench) {
    bench
        .execute("CREATE TABLE users (id integer PRIMARY KEY, tenant varchar(9), email varchar(9), code integer)")
        .await;
    bench.execute("CREATE UNIQUE INDEX by_email ON users (tenant, email)").await;
    bench.execute("CREATE UNIQUE INDEX by_code ON users (code)").await;
    bench.execute("CREATE INDEX by_tenant ON users (tenant)").await;
    let target = bench.target().await;
    let meta = describe(&target, "users").await;
    let told: Vec<String> =
        meta.unique.iter().map(|index| format!("{} {}", index.name, index.columns.join(","))).collect();
    assert_eq!(told, ["by_code code", "by_email tenant,email"]);
    let hazard = meta.hazard(&["id"]).expect("two of them");
    assert!(hazard.starts_with("unique besides the key: `by_code` (code), `by_email` (tenant, email); "), "{hazard}");
    let hazard = meta.hazard(&["email", "tenant"]).expect("one is the key");
    assert!(hazard.starts_with("unique besides the key: `by_code` (code); "), "{hazard}");
    bench.execute("CREATE TABLE plain (id integer PRIMARY KEY, code integer)").await;
    assert_eq!(describe(&target, "plain").await.hazard(&["id"]), None);
}

promise!(dead_rows_count_as_absent);
async fn dead_rows_count_as_absent(bench: &Bench) {
    bench.execute("CREATE TABLE users (id integer PRIMARY KEY, gone varchar(1), ordinal integer)").await;
    bench.execute("INSERT INTO users VALUES (1, 'y', 0), (2, 'n', 0), (3, NULL, 0)").await;
    let target = bench.target_with(|options| options.dead_rows = "gone = 'y' -- soft delete".to_owned()).await;
    let meta = describe(&target, "users").await;
    let keys = (1..=3).map(|id| vec![Cell::Int(id)]).collect();
    let answer = target.lookup(&ask(&meta, keys)).await.expect("an answer");
    assert_eq!(answer.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 1]);
}

promise!(a_table_that_changed_says_so);
async fn a_table_that_changed_says_so(bench: &Bench) {
    bench.execute("CREATE TABLE items (id integer PRIMARY KEY, v varchar(20), w varchar(20))").await;
    bench.execute("INSERT INTO items VALUES (1, 'a', 'b')").await;
    let target = bench.target().await;
    let meta = describe(&target, "items").await;
    assert_eq!(describe(&target, "items").await, meta, "two reads of an unchanged table are equal");
    let question = ask(&meta, vec![vec![Cell::Int(1)]]);
    target.lookup(&question).await.expect("an answer");

    bench.execute("ALTER TABLE items DROP COLUMN w").await;
    let outcome = target.lookup(&question).await;
    assert_eq!(kind(&outcome), "changed", "{outcome:?}");
    let shorter = describe(&target, "items").await;
    let answer = target.lookup(&ask(&shorter, vec![vec![Cell::Int(1)]])).await.expect("an answer");
    assert_eq!(cells(&answer), [[vec![Cell::Int(1), Cell::text("a")]]]);

    if bench.engine != Engine::Sqlite {
        let retype = match bench.engine {
            Engine::Postgres => "ALTER TABLE items ALTER v TYPE integer USING 7",
            Engine::MariaDb | Engine::Sqlite => "ALTER TABLE items MODIFY v datetime",
        };
        if bench.engine == Engine::MariaDb {
            bench.execute("UPDATE items SET v = NULL").await;
        }
        bench.execute(retype).await;
        let outcome = target.lookup(&ask(&shorter, vec![vec![Cell::Int(1)]])).await;
        assert_eq!(kind(&outcome), "changed", "{outcome:?}");
    }

    bench.execute("DROP TABLE items").await;
    assert_eq!(kind(&target.lookup(&ask(&shorter, vec![vec![Cell::Int(1)]])).await), "changed");
    assert_eq!(target.describe(None, "items").await.expect("the catalog can be read"), None);
}

promise!(nothing_can_be_written);
async fn nothing_can_be_written(bench: &Bench) {
    bench.execute("CREATE TABLE kept (id integer PRIMARY KEY)").await;
    bench.execute("INSERT INTO kept VALUES (1)").await;
    let target = bench.target().await;
    let outcome = target.applied("DELETE FROM kept").await;
    assert_eq!(kind(&outcome), "refused", "{outcome:?}");
    let meta = describe(&target, "kept").await;
    let answer = target.lookup(&ask(&meta, vec![vec![Cell::Int(1)]])).await.expect("an answer");
    assert_eq!(answer[0].len(), 1, "the row is still there");
}

promise!(the_operators_query_tells_positions_or_a_time);
async fn the_operators_query_tells_positions_or_a_time(bench: &Bench) {
    bench.execute("CREATE TABLE progress (topic varchar(20), part integer, next_offset bigint)").await;
    bench.execute("INSERT INTO progress VALUES ('a', 0, 12), ('a', 1, 9007199254740993), ('b', 0, NULL)").await;
    let target = bench.target().await;
    let positions = target.applied("SELECT topic, part, next_offset FROM progress ORDER BY 1, 2").await.expect("rows");
    let position = |partition, next_offset| AppliedRow::Position { topic: "a".into(), partition, next_offset };
    assert_eq!(positions, [position(0, 12), position(1, 9_007_199_254_740_993)]);
    let time = target.applied("SELECT '2026-11-22 10:00:01.500'").await.expect("a row");
    assert_eq!(time, [AppliedRow::Time(1_795_341_601_500)]);
    let outcome = target.applied("SELECT topic, part FROM progress").await;
    assert!(outcome.as_ref().is_err_and(|error| error.to_string().contains("2 columns")), "{outcome:?}");
    assert_eq!(kind(&target.applied("SELEKT").await), "refused");
}

promise!(tables_are_found_by_the_taps_names);
async fn tables_are_found_by_the_taps_names(bench: &Bench) {
    bench.execute("CREATE TABLE parcels (id integer PRIMARY KEY)").await;
    bench.execute("CREATE TABLE pg_public_letters (id integer PRIMARY KEY)").await;
    let target = bench.target().await;
    let by_name = target.locate("elsewhere.parcels", "pg.elsewhere.parcels").await.expect("the catalog can be read");
    assert_eq!(by_name.map(|table| table.name), Ok("parcels".to_owned()));
    let by_topic = target.locate("public.letters", "pg.public.letters").await.expect("the catalog can be read");
    assert_eq!(by_topic.map(|table| table.name), Ok("pg_public_letters".to_owned()));
    let missing = target.locate("public.nope", "pg.public.nope").await.expect("the catalog can be read");
    assert!(matches!(missing, Err(MappingError::Missing { .. })), "{missing:?}");
    if bench.engine == Engine::Postgres {
        bench.execute("CREATE SCHEMA a; CREATE TABLE a.parcels (id integer)").await;
        let several = target.locate("elsewhere.parcels", "t").await.expect("the catalog can be read");
        assert!(matches!(several, Err(MappingError::Ambiguous { .. })), "{several:?}");
    }
}

promise!(names_and_keys_may_hold_anything);
async fn names_and_keys_may_hold_anything(bench: &Bench) {
    let quote = |name: &str| match bench.engine {
        Engine::Postgres | Engine::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        Engine::MariaDb => format!("`{}`", name.replace('`', "``")),
    };
    let (table, column) = (quote("we\"ird`; table"), quote("se\"lect`"));
    bench.execute(&format!("CREATE TABLE {table} ({column} varchar(60) PRIMARY KEY, k1 integer, ord integer)")).await;
    let texts = ["", " ", "a'b\"c\\d", "ü ☃ 𝄞", "[1,\"x\"]", "null", "%s ? $1"];
    for (at, text) in texts.iter().enumerate() {
        let literal = match bench.engine {
            Engine::Postgres | Engine::Sqlite => text.replace('\'', "''"),
            Engine::MariaDb => text.replace('\\', "\\\\").replace('\'', "''"),
        };
        // Under a PAD SPACE collation the empty text and a blank are one key.
        if !(bench.engine == Engine::MariaDb && *text == " ") {
            bench.execute(&format!("INSERT INTO {table} VALUES ('{literal}', {at}, 0)")).await;
        }
    }
    let target = bench.target().await;
    let meta = describe(&target, "we\"ird`; table").await;
    let keys = texts.iter().map(|text| vec![Cell::text(text)]).collect();
    let answer = target.lookup(&ask(&meta, keys)).await.expect("an answer");
    for (at, (text, rows)) in texts.iter().zip(cells(&answer)).enumerate() {
        if !(bench.engine == Engine::MariaDb && text.trim().is_empty()) {
            assert_eq!(rows, [[Cell::text(text), Cell::Int(at as i64), Cell::Int(0)]], "{text:?}");
        }
    }
}

promise!(a_row_found_by_another_spelling_shows_its_own_key);
async fn a_row_found_by_another_spelling_shows_its_own_key(bench: &Bench) {
    bench.execute("CREATE TABLE codes (code varchar(20) PRIMARY KEY, v integer)").await;
    bench.execute("INSERT INTO codes VALUES ('Abc', 1)").await;
    let target = bench.target().await;
    let meta = describe(&target, "codes").await;
    let plan = Plan::new(TableId(0), meta.clone(), &Rules::default(), None).expect("a plan");
    let asked = Row::new(Arc::new(Columns::new(["code"])), vec![Cell::text("aBC")], Typing::Declared);
    let asked = plan.key(&asked).expect("a key");
    let question = Ask {
        table: meta,
        key_columns: plan.key_places(),
        columns: plan.columns_to_read(),
        names: plan.names().clone(),
        keys: vec![asked.cells()],
        rows: Answered::Each,
        nulls: Vec::new(),
    };
    let answer = target.lookup(&question).await.expect("an answer");
    assert_eq!(answer[0].len(), usize::from(bench.engine == Engine::MariaDb), "its default collation ignores case");
    for row in &answer[0] {
        assert_ne!(plan.observed_key(row).expect("a key"), asked);
    }
}
