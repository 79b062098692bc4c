//! MySQL and MariaDB.
//!
//! One statement a batch: the keys go as one bound JSON document, unpacked by `JSON_TABLE` (MySQL 8.0.4, MariaDB 10.6) with
//! its ordinal and joined to the table. Sessions are read-only and in UTC, with the server's own limit on a statement.

mod catalog;
mod grants;
mod key;
mod role;
mod value;

use std::str::FromStr;
use std::sync::Arc;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::endpoint::{self, Endpoint, Identify, Server};
use super::failure::{self, Class};
use super::mapping::TableRef;
use super::reader::{Reader, read};
use super::sql::{backticked, belongs, counting, living_behind, only_living, statement};
use super::{Answer, Answered, AppliedRow, Ask, Options, Pooler, Probe, Reach, TargetError, applied};
use crate::model::{Cell, Row, TableMeta, Typing};
use key::KeyColumn;
use value::Wire;

const BEGIN: &str = "START TRANSACTION READ ONLY";

/// A MySQL or MariaDB target.
#[derive(Debug, Clone)]
pub struct Mysql {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reader: Reader<sqlx::MySql>,
    options: Options,
    version: String,
    connect: MySqlConnectOptions,
}

impl Mysql {
    /// Connects, and learns which of the two it is.
    pub(super) async fn connect(options: Options, url: &str) -> Result<Mysql, TargetError> {
        let connect = connect_options(url)?;
        let fail = |error| failure::classify("", by_code, error);
        let mut first = connect.connect().await.map_err(fail)?;
        let row = first.fetch_one(sqlx::raw_sql("SELECT VERSION()")).await.map_err(fail)?;
        let version: String = row.try_get(0).map_err(fail)?;
        // The server closes it as well if this does not reach it.
        let _ = first.close().await;
        let answers = Arc::new(Endpoint::default());
        answers.judge(&endpoint::look::<sqlx::MySql, _>(&connect, options.max_connections).await.map_err(fail)?);
        answers.gate()?;
        let reader = reader(&options, &connect, &version, answers);
        Ok(Mysql { inner: Arc::new(Inner { reader, options, version, connect }) })
    }

    /// The other end.
    pub(super) fn endpoint(&self) -> &Endpoint {
        self.inner.reader.endpoint()
    }

    /// One table's metadata.
    pub(super) async fn describe(&self, schema: Option<&str>, table: &str) -> Result<Option<TableMeta>, TargetError> {
        let reader = &self.inner.reader;
        read!(persevering reader, 0, table, |conn| {
            catalog::describe(conn, schema, table).await.map_err(|error| reader.classify(table, error))
        })
    }

    /// The tables with one of these names (lower case), in the URL's database or, if it names none, in any.
    pub(super) async fn named(&self, names: &[String]) -> Result<Vec<TableRef>, TargetError> {
        let reader = &self.inner.reader;
        read!(persevering reader, 0, "", |conn| {
            catalog::named(conn, names).await.map_err(|error| reader.classify("", error))
        })
    }

    /// How a table is reached by values of its columns.
    pub(super) async fn reach(&self, table: &TableMeta) -> Result<Reach, TargetError> {
        let reader = &self.inner.reader;
        read!(persevering reader, 0, &table.name, |conn| {
            catalog::reach(conn, table).await.map_err(|error| reader.classify(&table.name, error))
        })
    }

    /// The rows of the asked keys.
    pub(super) async fn lookup(&self, ask: &Ask) -> Result<Answer, TargetError> {
        let question = Question::of(ask, &self.inner.options.dead_rows);
        let mut answer: Answer = vec![Vec::new(); ask.keys.len()];
        if question.asked.is_empty() {
            return Ok(answer);
        }
        let reader = &self.inner.reader;
        let asked = question.asked.len();
        let rows = read!(persevering reader, asked, &ask.table.name, |conn| self.rows(conn, &question, ask).await)?;
        question.sort_in(rows, ask, &mut answer)?;
        Ok(answer)
    }

    /// Rows in the order of their key.
    pub(super) async fn page(&self, ask: &Ask, most: usize) -> Result<Vec<Row<'static>>, TargetError> {
        let question = Question::page(ask, most, &self.inner.options.dead_rows)?;
        let reader = &self.inner.reader;
        let rows = read!(persevering reader, most, &ask.table.name, |conn| self.rows(conn, &question, ask).await)?;
        let mut answer: Answer = vec![Vec::new()];
        question.sort_in(rows, ask, &mut answer)?;
        Ok(answer.into_iter().flatten().collect())
    }

    async fn rows(
        &self,
        conn: &mut MySqlConnection,
        question: &Question,
        ask: &Ask,
    ) -> Result<Vec<MySqlRow>, TargetError> {
        let fail = |error| self.inner.reader.classify(&ask.table.name, error);
        let query = sqlx::query(statement(question.sql.clone()));
        let query = (0..question.bound).fold(query, |query, _| query.bind(&question.keys));
        match self.inner.options.pooler {
            Pooler::None => query.fetch_all(conn).await.map_err(fail),
            Pooler::Transaction => {
                let mut transaction = conn.begin_with(BEGIN).await.map_err(fail)?;
                // A pooler may have another server answer each transaction.
                self.endpoint().met(sqlx::MySql::identify(&mut transaction).await.map_err(fail)?);
                self.endpoint().gate()?;
                let rows = query.persistent(false).fetch_all(&mut *transaction).await.map_err(fail)?;
                transaction.commit().await.map_err(fail)?;
                Ok(rows)
            }
        }
    }

    /// The rows of the operator's query, run in a read-only transaction.
    pub(super) async fn applied(&self, sql: &str) -> Result<Vec<AppliedRow>, TargetError> {
        let reader = &self.inner.reader;
        let fail = |error| reader.classify("query of `applied`", error);
        let rows = read!(persevering reader, 1, "", |conn| {
            let mut transaction = conn.begin_with(BEGIN).await.map_err(fail)?;
            let query = sqlx::raw_sql(statement(sql.to_owned()));
            let rows = transaction.fetch_all(query).await.map_err(fail)?;
            transaction.commit().await.map_err(fail)?;
            Ok(rows)
        })?;
        let texts: Vec<Vec<Option<String>>> = rows.iter().map(texts).collect();
        applied::rows(&texts)
    }

    /// What the session may do to a table besides reading it.
    pub(super) async fn writes(&self, table: &TableMeta) -> Result<Vec<String>, TargetError> {
        let reader = &self.inner.reader;
        read!(persevering reader, 0, &table.name, |conn| {
            catalog::writes(conn, table).await.map_err(|error| reader.classify(&table.name, error))
        })
    }

    /// What stands at the other end.
    pub(super) async fn probe(&self) -> Result<Probe, TargetError> {
        let reader = &self.inner.reader;
        reader.look_who_answers(&self.inner.connect).await?;
        let mut lease = reader.lease_to_look(0, "").await?;
        let read = async { role::ask(&mut lease.conn).await.map_err(|error| reader.classify("", error)) };
        let outcome = reader.bounded(read).await;
        lease.settle(&outcome);
        let (role, warnings) = outcome?;
        let version = &self.inner.version;
        let name = if is_mariadb(version) { "MariaDB" } else { "MySQL" };
        Ok(Probe {
            version: format!("{name} {version}"),
            transaction_pooler: false,
            role,
            server: reader.endpoint().known(),
            warnings,
        })
    }

    /// The read itself, of no key.
    pub(super) async fn rehearse(&self, ask: &Ask) -> Result<(), TargetError> {
        let question = Question::of(ask, &self.inner.options.dead_rows);
        let reader = &self.inner.reader;
        read!(persevering reader, 0, &ask.table.name, |conn| self.rows(conn, &question, ask).await.map(drop))
    }
}

/// A lookup as SQL, its keys, and how to read the answer.
struct Question {
    sql: String,
    keys: String,
    /// How often the statement names them.
    bound: usize,
    /// Which asked key each element stands for: keys that no row can have are not sent.
    asked: Vec<usize>,
    wires: Vec<Wire>,
}

impl Question {
    fn of(ask: &Ask, dead_rows: &str) -> Question {
        let columns = &ask.table.columns;
        let mut key_columns: Vec<KeyColumn<'_>> =
            ask.key_columns.iter().map(|place| KeyColumn::of(&columns[*place])).collect();
        let mut asked = Vec::with_capacity(ask.keys.len());
        let mut documents = Vec::with_capacity(ask.keys.len());
        for (index, key) in ask.keys.iter().enumerate() {
            let parts: Option<Vec<_>> =
                key_columns.iter_mut().zip(key).map(|(column, cell)| column.json(cell)).collect();
            if let Some(parts) = parts.filter(|parts| parts.len() == ask.key_columns.len()) {
                documents.push(serde_json::Value::Array(parts));
                asked.push(index);
            }
        }
        let wires: Vec<Wire> = ask.columns.iter().map(|place| Wire::of(&columns[*place].declared)).collect();
        let sql = lookup_sql(ask, &key_columns, &wires, dead_rows);
        Question { sql, keys: serde_json::Value::Array(documents).to_string(), bound: 1, asked, wires }
    }

    /// All of a page's rows stand for one key.
    fn page(ask: &Ask, most: usize, dead_rows: &str) -> Result<Question, TargetError> {
        let columns = &ask.table.columns;
        let mut key_columns: Vec<KeyColumn<'_>> =
            ask.key_columns.iter().map(|place| KeyColumn::of(&columns[*place])).collect();
        if !key_columns.iter().all(KeyColumn::is_ordered) {
            return Err(failure::unordered(&ask.table.name));
        }
        let last = ask.keys.first().map(|key| {
            let parts = key_columns.iter_mut().zip(key);
            parts.map(|(column, cell)| column.json(cell).unwrap_or_default()).collect()
        });
        let wires: Vec<Wire> = ask.columns.iter().map(|place| Wire::of(&columns[*place].declared)).collect();
        let (behind, bound) = match &last {
            Some(_) => behind(ask, &key_columns),
            None => (None, 0),
        };
        let keys = serde_json::Value::Array(last.unwrap_or_default()).to_string();
        let sql = page_sql(ask, &wires, dead_rows, (behind, most));
        Ok(Question { sql, keys, bound, asked: vec![0], wires })
    }

    fn sort_in(&self, rows: Vec<MySqlRow>, ask: &Ask, answer: &mut Answer) -> Result<(), TargetError> {
        let unfit = |hint: &str| failure::changed(&ask.table.name, hint);
        if let Some(row) = rows.first() {
            self.check_types(row, ask)?;
        }
        for row in rows {
            let ordinal: i64 = row.try_get_unchecked(0).map_err(|_| unfit("the answer has no ordinal"))?;
            let index = usize::try_from(ordinal - 1).ok().and_then(|index| self.asked.get(index));
            let Some(index) = index else { return Err(unfit("the answer names a key that was not asked for")) };
            let mut cells = Vec::with_capacity(self.wires.len());
            for (column, (wire, place)) in self.wires.iter().zip(&ask.columns).enumerate() {
                let cell = wire.cell(&row, column + 1, &ask.table.columns[*place]);
                cells.push(cell.ok_or_else(|| unfit("a value is not of its column's type"))?);
            }
            if ask.rows == Answered::Counted {
                let count = row.try_get_unchecked(self.wires.len() + 1);
                cells.push(Cell::Int(count.map_err(|_| unfit("the answer has no count"))?));
            }
            answer[*index].push(Row::new(ask.names.clone(), cells, Typing::Declared));
        }
        Ok(())
    }

    fn check_types(&self, row: &MySqlRow, ask: &Ask) -> Result<(), TargetError> {
        for (index, (wire, place)) in self.wires.iter().zip(&ask.columns).enumerate() {
            if !wire.fits(row, index + 1) {
                let column = &ask.table.columns[*place];
                let hint = format!("column `{}` is no longer `{}`", column.name, column.declared);
                return Err(failure::changed(&ask.table.name, &hint));
            }
        }
        Ok(())
    }
}

/// Our own names are unlike any column's, so that the operator's condition can name columns without a prefix. The asked
/// keys drive the join: the optimizer cannot know how few they are.
fn lookup_sql(ask: &Ask, key_columns: &[KeyColumn<'_>], wires: &[Wire], dead_rows: &str) -> String {
    let columns = &ask.table.columns;
    let quoted = |place: &usize| format!("t.{}", backticked(&columns[*place].name));
    let selected: String =
        wires.iter().zip(&ask.columns).map(|(wire, place)| format!(", {}", wire.select(&quoted(place)))).collect();
    let unpacked: String = key_columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!(", afterimage_key_{index} {} PATH '$[{index}]'", column.unpacked()))
        .collect();
    let conditions: Vec<String> = key_columns
        .iter()
        .zip(&ask.key_columns)
        .enumerate()
        .map(|(index, (column, place))| column.condition(&quoted(place), &format!("k.afterimage_key_{index}")))
        .collect();
    let (count, grouped) = counting(ask.rows, wires.len() + 1);
    format!(
        "SELECT CAST(k.afterimage_ordinal AS SIGNED){selected}{count} FROM JSON_TABLE(?, '$[*]' COLUMNS (afterimage_ordinal FOR \
         ORDINALITY{unpacked})) AS k STRAIGHT_JOIN {}.{} AS t ON {}{}{grouped}",
        backticked(&ask.table.schema),
        backticked(&ask.table.name),
        belongs(conditions, ask.nulls.iter().map(quoted)),
        only_living(dead_rows),
    )
}

/// The rows behind a key, and how often that is bound: written out, since no range of an index is made of a comparison of rows.
fn behind(ask: &Ask, key_columns: &[KeyColumn<'_>]) -> (Option<String>, usize) {
    let names: Vec<String> = ask.key_columns.iter().map(|place| quoted(ask, *place)).collect();
    let with = |index: usize, sign: &str| format!("{} {sign} {}", names[index], key_columns[index].bound(index));
    let parts: Vec<String> = (0..names.len())
        .map(|last| {
            let equal = (0..last).map(|index| with(index, "="));
            let all: Vec<String> = equal.chain([with(last, ">")]).collect();
            format!("({})", all.join(" AND "))
        })
        .collect();
    let condition = format!("{} AND ({})", with(0, ">="), parts.join(" OR "));
    let bound = condition.matches('?').count();
    (Some(condition), bound)
}

fn quoted(ask: &Ask, place: usize) -> String {
    format!("t.{}", backticked(&ask.table.columns[place].name))
}

fn page_sql(ask: &Ask, wires: &[Wire], dead_rows: &str, (behind, most): (Option<String>, usize)) -> String {
    let selected = wires.iter().zip(&ask.columns);
    let selected: String = selected.map(|(wire, place)| format!(", {}", wire.select(&quoted(ask, *place)))).collect();
    let key: Vec<String> = ask.key_columns.iter().map(|place| quoted(ask, *place)).collect();
    format!(
        "SELECT CAST(1 AS SIGNED){selected} FROM {}.{} AS t{} ORDER BY {} LIMIT {most}",
        backticked(&ask.table.schema),
        backticked(&ask.table.name),
        living_behind(dead_rows, behind),
        key.join(", "),
    )
}

fn reader(
    options: &Options,
    connect: &MySqlConnectOptions,
    version: &str,
    answers: Arc<Endpoint>,
) -> Reader<sqlx::MySql> {
    let (connect, met) = (connect.clone(), Arc::clone(&answers));
    let session = session_settings(options, version);
    Reader::new(options, by_code, answers, move |pool| {
        let (session, met) = (session.clone(), Arc::clone(&met));
        pool.after_connect(move |conn: &mut MySqlConnection, _| {
            let (session, met) = (session.clone(), Arc::clone(&met));
            Box::pin(async move {
                for setting in session {
                    conn.execute(sqlx::raw_sql(statement(setting))).await?;
                }
                met.met(sqlx::MySql::identify(conn).await?);
                Ok(())
            })
        })
        .connect_lazy_with(connect.clone())
    })
}

/// MySQL names each server by `server_uuid`, later versions of MariaDB by `server_uid`; host, port and `server_id` are what
/// the others have.
const IDENTITY: &str =
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_uid', 'server_id', 'hostname', 'port')";

impl Identify for sqlx::MySql {
    async fn identify(conn: &mut MySqlConnection) -> Result<Option<Server>, sqlx::Error> {
        let rows = match conn.fetch_all(sqlx::raw_sql(IDENTITY)).await {
            Ok(rows) => rows,
            Err(sqlx::Error::Database(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut marks = std::collections::BTreeMap::new();
        for row in rows {
            marks.insert(row.try_get_unchecked::<String, _>(0)?, row.try_get_unchecked::<String, _>(1)?);
        }
        let mark = |name: &str| marks.get(name).map_or("", String::as_str);
        let named = ["server_uuid", "server_uid"].map(mark).concat();
        let place = format!("{}:{} (server {} {named})", mark("hostname"), mark("port"), mark("server_id"));
        Ok((!marks.is_empty()).then(|| Server { place: place.replace(" )", ")"), started: None }))
    }
}

fn connect_options(url: &str) -> Result<MySqlConnectOptions, TargetError> {
    let options = MySqlConnectOptions::from_str(url)
        .map_err(|_| failure::refused("the URL is not right: it must be `mysql://user:password@host:port/database`"))?;
    Ok(options.timezone(Some("+00:00".to_owned())).disable_statement_logging())
}

fn session_settings(options: &Options, version: &str) -> Vec<String> {
    let timeout = options.statement_timeout;
    let limit = if is_mariadb(version) {
        format!("SET SESSION max_statement_time = {}", timeout.as_secs_f64())
    } else {
        format!("SET SESSION max_execution_time = {}", timeout.as_millis())
    };
    vec!["SET SESSION TRANSACTION READ ONLY".to_owned(), limit]
}

fn is_mariadb(version: &str) -> bool {
    version.contains("MariaDB")
}

fn texts(row: &MySqlRow) -> Vec<Option<String>> {
    (0..row.len()).map(|index| row.try_get_unchecked::<Option<String>, _>(index).ok().flatten()).collect()
}

/// MySQL's SQLSTATEs are coarse; its error numbers (<https://dev.mysql.com/doc/mysql-errors/8.0/en/>) are not.
fn by_code(error: &dyn sqlx::error::DatabaseError) -> Class {
    let number = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map_or(0, |error| error.number());
    match number {
        1040 | 1203 | 1226 => Class::Unreachable("the server has no connection to spare"),
        1053 | 1077 | 1079 | 1080 | 1927 | 2006 | 2013 => Class::Unreachable("the server ended the connection"),
        1969 | 3024 | 1317 => Class::Unreachable("the statement timeout cancelled the read"),
        1205 | 1213 => Class::Unreachable("the table is locked"),
        1146 | 1051 | 1049 => Class::Changed("the table is gone or was renamed"),
        1054 => Class::Changed("a column is gone or was renamed"),
        1412 | 1615 => Class::Changed("the table was altered while it was read"),
        1267 | 1253 | 1115 | 1273 => Class::Changed("a key column's collation is not what it was"),
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 => {
            Class::Refused("the user may not read this: check the password, and grant SELECT on the table")
        }
        1792 => Class::Refused("the statement tried to write, and reads here are read-only"),
        1064 => Class::Refused(
            "the server cannot parse the statement: check `dead_rows` and `query:SQL`; MySQL 8.0.4 or MariaDB 10.6 is needed",
        ),
        _ => Class::Refused("the server reports an error that retrying does not mend"),
    }
}
