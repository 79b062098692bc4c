//! PostgreSQL.
//!
//! One statement a batch: the keys go as bound arrays, unnested with their ordinal and joined to the table. Directly, the
//! session is read-only with a statement timeout, and statements stay prepared, planned anew for each batch. Behind a
//! transaction-mode pooler every batch is one explicit read-only transaction with nothing prepared and nothing set beyond it:
//! without the transaction, sqlx's unnamed statement could be executed on a server that had parsed somebody else's.

mod catalog;
mod key;
mod pooler;
mod value;

use std::str::FromStr;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::endpoint::{self, Endpoint, Identify, Server};
use super::failure::{self, Class};
use super::mapping::TableRef;
use super::reader::{Reader, read};
use super::sql::{belongs, counting, double_quoted, living_behind, only_living, statement};
use super::{
    Answer, Answered, AppliedRow, Ask, Options, Pooler, Probe, Reach, Role, RowSecurity, TargetError, applied,
};
use crate::model::{Cell, Row, TableMeta, Typing};
use key::KeyArray;
use value::Wire;

/// How long a read waits for a lock: an exclusive lock means a schema change under way.
const LOCK_TIMEOUT_MS: u32 = 2_000;

/// A PostgreSQL target.
#[derive(Debug, Clone)]
pub struct Postgres {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reader: Reader<sqlx::Postgres>,
    options: Options,
    connect: PgConnectOptions,
}

impl Postgres {
    /// Connects, and refuses a transaction-mode pooler that was not declared.
    pub(super) async fn connect(options: Options, url: &str) -> Result<Postgres, TargetError> {
        let connect = connect_options(url)?;
        let fail = |error| failure::classify("", by_code, error);
        let seen = match options.pooler {
            Pooler::None => pooler::is_seen(&connect).await.map_err(fail)?,
            Pooler::Transaction => {
                connect.connect().await.map_err(fail)?.close().await.map_err(fail)?;
                false
            }
        };
        if seen {
            return Err(failure::refused(
                "a transaction-mode pooler stands between here and the server: declare it (`pooler = \"transaction\"`) \
                 or connect to the server itself, since reads through an undeclared one can return other queries' rows",
            ));
        }
        let answers = Arc::new(Endpoint::default());
        answers.judge(&endpoint::look::<sqlx::Postgres, _>(&connect, options.max_connections).await.map_err(fail)?);
        answers.gate()?;
        let reader = reader(&options, &connect, answers);
        Ok(Postgres { inner: Arc::new(Inner { reader, options, connect }) })
    }

    /// The other end.
    pub(super) fn endpoint(&self) -> &Endpoint {
        self.inner.reader.endpoint()
    }

    /// One table's metadata.
    pub(super) async fn describe(&self, schema: Option<&str>, table: &str) -> Result<Option<TableMeta>, TargetError> {
        let reader = &self.inner.reader;
        let pooler = self.inner.options.pooler;
        read!(persevering reader, 0, table, |conn| {
            let mut read = self.begin(conn, table).await?;
            let found = catalog::describe(read.conn(), pooler, schema, table).await;
            let found = found.map_err(|error| reader.classify(table, error))?;
            read.end().await.map_err(|error| reader.classify(table, error))?;
            Ok(found)
        })
    }

    /// The tables with one of these names (lower case), in any schema.
    pub(super) async fn named(&self, names: &[String]) -> Result<Vec<TableRef>, TargetError> {
        let reader = &self.inner.reader;
        let pooler = self.inner.options.pooler;
        read!(persevering reader, 0, "", |conn| {
            let mut read = self.begin(conn, "").await?;
            let found = catalog::named(read.conn(), pooler, names).await;
            let found = found.map_err(|error| reader.classify("", error))?;
            read.end().await.map_err(|error| reader.classify("", error))?;
            Ok(found)
        })
    }

    /// What the session may do to a table besides reading it, and whether it is shown all rows.
    pub(super) async fn privileges(&self, table: &TableMeta) -> Result<(Vec<String>, RowSecurity), TargetError> {
        let reader = &self.inner.reader;
        let pooler = self.inner.options.pooler;
        read!(persevering reader, 0, &table.name, |conn| {
            let mut read = self.begin(conn, &table.name).await?;
            let found = catalog::privileges(read.conn(), pooler, table).await;
            let found = found.map_err(|error| reader.classify(&table.name, error))?;
            read.end().await.map_err(|error| reader.classify(&table.name, error))?;
            Ok(found)
        })
    }

    /// How a table is reached by values of its columns.
    pub(super) async fn reach(&self, table: &TableMeta) -> Result<Reach, TargetError> {
        let reader = &self.inner.reader;
        let pooler = self.inner.options.pooler;
        read!(persevering reader, 0, &table.name, |conn| {
            let mut read = self.begin(conn, &table.name).await?;
            let found = catalog::reach(read.conn(), pooler, table).await;
            let found = found.map_err(|error| reader.classify(&table.name, error))?;
            read.end().await.map_err(|error| reader.classify(&table.name, error))?;
            Ok(found)
        })
    }

    /// The rows of the asked keys.
    pub(super) async fn lookup(&self, ask: &Ask) -> Result<Answer, TargetError> {
        let question = Question::of(ask, &self.inner.options.dead_rows);
        if question.asked.is_empty() {
            return Ok(vec![Vec::new(); ask.keys.len()]);
        }
        let reader = &self.inner.reader;
        let asked = question.asked.len();
        read!(persevering reader, asked, &ask.table.name, |conn| self.rows(conn, &question, ask).await)
    }

    /// Rows in the order of their key.
    pub(super) async fn page(&self, ask: &Ask, most: usize) -> Result<Vec<Row<'static>>, TargetError> {
        let question = Question::page(ask, most, &self.inner.options.dead_rows)?;
        let reader = &self.inner.reader;
        let one = Ask { keys: vec![Vec::new()], ..ask.clone() };
        let answer = read!(persevering reader, most, &ask.table.name, |conn| self.rows(conn, &question, &one).await)?;
        Ok(answer.into_iter().flatten().collect())
    }

    /// Rows are read while the server still sends.
    async fn rows(&self, conn: &mut PgConnection, question: &Question, ask: &Ask) -> Result<Answer, TargetError> {
        let fail = |error| self.inner.reader.classify(&ask.table.name, error);
        let mut arguments = PgArguments::default();
        for array in &question.arrays {
            array.clone().bind(&mut arguments).map_err(|error| fail(sqlx::Error::Encode(error)))?;
        }
        let mut read = self.begin(conn, &ask.table.name).await?;
        let query = sqlx::query_with(statement(question.sql.clone()), arguments);
        let persistent = self.inner.options.pooler.keeps_statements();
        let mut answer: Answer = vec![Vec::new(); ask.keys.len()];
        let mut rows = query.persistent(persistent).fetch(read.conn());
        let mut is_checked = false;
        while let Some(row) = rows.try_next().await.map_err(fail)? {
            if !is_checked {
                question.check_types(&row, ask)?;
                is_checked = true;
            }
            question.sort_in(&row, ask, &mut answer)?;
        }
        drop(rows);
        read.end().await.map_err(fail)?;
        Ok(answer)
    }

    /// The rows of the operator's query, run in a read-only transaction.
    pub(super) async fn applied(&self, sql: &str) -> Result<Vec<AppliedRow>, TargetError> {
        let reader = &self.inner.reader;
        let fail = |error| reader.classify("query of `applied`", error);
        let rows = read!(persevering reader, 1, "", |conn| {
            let mut transaction = conn.begin_with(statement(self.transaction_begin())).await.map_err(fail)?;
            let query = sqlx::raw_sql(statement(sql.to_owned()));
            let rows = transaction.fetch_all(query).await.map_err(fail)?;
            transaction.commit().await.map_err(fail)?;
            Ok(rows)
        })?;
        let texts: Vec<Vec<Option<String>>> = rows.iter().map(texts).collect();
        applied::rows(&texts)
    }

    /// What stands at the other end.
    pub(super) async fn probe(&self) -> Result<Probe, TargetError> {
        let reader = &self.inner.reader;
        let fail = |error| reader.classify("", error);
        reader.look_who_answers(&self.inner.connect).await?;
        let transaction_pooler = pooler::is_seen(&self.inner.connect).await.map_err(fail)?;
        let mut lease = reader.lease_to_look(0, "").await?;
        let facts = "SELECT pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery(), \
                     pg_catalog.current_setting('server_encoding')";
        let outcome = reader.bounded(async { lease.conn.fetch_one(sqlx::raw_sql(facts)).await.map_err(fail) }).await;
        lease.settle(&outcome);
        let row = outcome?;
        let text = |index: usize| row.try_get_unchecked::<String, _>(index).unwrap_or_default();
        let mut warnings = Vec::new();
        if text(2) != "UTF8" {
            warnings.push(format!("the server stores text as {}: characters outside of it cannot match", text(2)));
        }
        if self.inner.options.pooler == Pooler::Transaction && !transaction_pooler {
            warnings.push("`pooler = \"transaction\"` is declared and no such pooler was seen: reads cost two round trips more than they need".to_owned());
        }
        Ok(Probe {
            version: format!("PostgreSQL {}", text(0)),
            transaction_pooler,
            role: match row.try_get_unchecked(1).unwrap_or(false) {
                true => Role::Replica("it is in recovery: it follows another server".to_owned()),
                false => Role::Written("it is not in recovery".to_owned()),
            },
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

    /// A pooler may have another server answer each transaction: one that does not know itself ends it at once.
    fn transaction_begin(&self) -> String {
        let begin = transaction_begin(&self.inner.options);
        match self.inner.reader.endpoint().known().and_then(|server| server.started) {
            Some(started) => format!("{begin}; SELECT 1 / ({STARTED} = {started})::int"),
            None => begin,
        }
    }

    /// Begins a read: a transaction where a pooler may switch servers, nothing otherwise.
    async fn begin<'c>(&self, conn: &'c mut PgConnection, table: &str) -> Result<Read<'c>, TargetError> {
        match self.inner.options.pooler {
            Pooler::None => Ok(Read::Statement(conn)),
            Pooler::Transaction => {
                let reader = &self.inner.reader;
                let began = conn.begin_with(statement(self.transaction_begin())).await;
                Ok(Read::Transaction(began.map_err(|error| match is_other_server(&error) {
                    true => {
                        reader.endpoint().doubt();
                        failure::moved()
                    }
                    false => reader.classify(table, error),
                })?))
            }
        }
    }
}

/// One read: inside a transaction of its own, or as the single statement it is.
enum Read<'c> {
    Statement(&'c mut PgConnection),
    Transaction(sqlx::Transaction<'c, sqlx::Postgres>),
}

impl Read<'_> {
    fn conn(&mut self) -> &mut PgConnection {
        match self {
            Read::Statement(conn) => conn,
            Read::Transaction(transaction) => transaction,
        }
    }

    async fn end(self) -> Result<(), sqlx::Error> {
        match self {
            Read::Statement(_) => Ok(()),
            Read::Transaction(transaction) => transaction.commit().await,
        }
    }
}

/// A lookup as SQL, its arrays, and how to read the answer.
struct Question {
    sql: String,
    arrays: Vec<KeyArray>,
    /// Which asked key each array element stands for: keys that no row can have are not sent.
    asked: Vec<usize>,
    wires: Vec<Wire>,
}

impl Question {
    fn of(ask: &Ask, dead_rows: &str) -> Question {
        let columns = &ask.table.columns;
        let mut arrays: Vec<KeyArray> =
            ask.key_columns.iter().map(|place| KeyArray::for_column(&columns[*place])).collect();
        let mut asked = Vec::with_capacity(ask.keys.len());
        for (index, key) in ask.keys.iter().enumerate() {
            let fits = key.len() == arrays.len() && arrays.iter().zip(key).all(|(array, cell)| array.can_hold(cell));
            if fits {
                arrays.iter_mut().zip(key).for_each(|(array, cell)| array.push(cell));
                asked.push(index);
            }
        }
        let wires: Vec<Wire> = ask.columns.iter().map(|place| Wire::of(&columns[*place].declared)).collect();
        Question { sql: lookup_sql(ask, &wires, dead_rows), arrays, asked, wires }
    }

    /// All of a page's rows stand for one key.
    fn page(ask: &Ask, most: usize, dead_rows: &str) -> Result<Question, TargetError> {
        if !ask.key_columns.iter().all(|place| key::is_ordered(&ask.table.columns[*place])) {
            return Err(failure::unordered(&ask.table.name));
        }
        let Question { arrays, wires, .. } = Question::of(ask, dead_rows);
        let sql = page_sql(ask, &wires, dead_rows, most);
        let arrays = if ask.keys.is_empty() { Vec::new() } else { arrays };
        Ok(Question { sql, arrays, asked: vec![0], wires })
    }

    fn sort_in(&self, row: &PgRow, ask: &Ask, answer: &mut Answer) -> Result<(), TargetError> {
        let unfit = |hint: &str| failure::changed(&ask.table.name, hint);
        let ordinal: i64 = row.try_get(0).map_err(|_| unfit("the answer has no ordinal"))?;
        let index = usize::try_from(ordinal - 1).ok().and_then(|index| self.asked.get(index));
        let Some(index) = index else { return Err(unfit("the answer names a key that was not asked for")) };
        let mut cells = Vec::with_capacity(self.wires.len());
        for (column, (wire, place)) in self.wires.iter().zip(&ask.columns).enumerate() {
            let cell = wire.cell(row, column + 1, &ask.table.columns[*place]);
            cells.push(cell.ok_or_else(|| unfit("a value is not of its column's type"))?);
        }
        if ask.rows == Answered::Counted {
            let count: i64 = row.try_get(self.wires.len() + 1).map_err(|_| unfit("the answer has no count"))?;
            cells.push(Cell::Int(count));
        }
        answer[*index].push(Row::new(ask.names.clone(), cells, Typing::Declared));
        Ok(())
    }

    fn check_types(&self, row: &PgRow, ask: &Ask) -> Result<(), TargetError> {
        for (index, (wire, place)) in self.wires.iter().zip(&ask.columns).enumerate() {
            let oid = row.columns().get(index + 1).and_then(|column| sqlx::Column::type_info(column).oid());
            if !oid.is_some_and(|oid| wire.accepts(oid.0)) {
                let column = &ask.table.columns[*place];
                let hint = format!("column `{}` is no longer `{}`", column.name, column.declared);
                return Err(failure::changed(&ask.table.name, &hint));
            }
        }
        Ok(())
    }
}

/// Our own names are unlike any column's, so that the operator's condition can name columns without a prefix.
fn lookup_sql(ask: &Ask, wires: &[Wire], dead_rows: &str) -> String {
    let columns = &ask.table.columns;
    let quoted = |place: &usize| format!("t.{}", double_quoted(&columns[*place].name));
    let asked = |number: usize| format!("afterimage_key_{number}");
    let selected: String =
        wires.iter().zip(&ask.columns).map(|(wire, place)| format!(", {}", wire.select(&quoted(place)))).collect();
    let numbered = || ask.key_columns.iter().enumerate().map(|(index, place)| (index + 1, place));
    let parameters: Vec<String> = numbered().map(|(number, place)| key::parameter(&columns[*place], number)).collect();
    let names: String = numbered().map(|(number, _)| format!("{}, ", asked(number))).collect();
    let conditions: Vec<String> = numbered()
        .map(|(number, place)| key::condition(&columns[*place], &quoted(place), &format!("k.{}", asked(number))))
        .collect();
    let (count, grouped) = counting(ask.rows, wires.len() + 1);
    format!(
        "SELECT k.afterimage_ordinal{selected}{count} FROM unnest({}) WITH ORDINALITY AS k({names}afterimage_ordinal) \
         JOIN {}.{} AS t ON {}{}{grouped}",
        parameters.join(", "),
        double_quoted(&ask.table.schema),
        double_quoted(&ask.table.name),
        belongs(conditions, ask.nulls.iter().map(quoted)),
        only_living(dead_rows),
    )
}

/// The last key of the page before comes as arrays of one, whose values are constants to the planner.
fn page_sql(ask: &Ask, wires: &[Wire], dead_rows: &str, most: usize) -> String {
    let columns = &ask.table.columns;
    let quoted = |place: &usize| format!("t.{}", double_quoted(&columns[*place].name));
    let selected: String =
        wires.iter().zip(&ask.columns).map(|(wire, place)| format!(", {}", wire.select(&quoted(place)))).collect();
    let key: Vec<String> = ask.key_columns.iter().map(quoted).collect();
    let key = key.join(", ");
    let numbered = ask.key_columns.iter().enumerate();
    let last: Vec<String> =
        numbered.map(|(index, place)| format!("({})[1]", key::parameter(&columns[*place], index + 1))).collect();
    let behind = (!ask.keys.is_empty()).then(|| format!("({key}) > ({})", last.join(", ")));
    format!(
        "SELECT 1::int8{selected} FROM {}.{} AS t{} ORDER BY {key} LIMIT {most}",
        double_quoted(&ask.table.schema),
        double_quoted(&ask.table.name),
        living_behind(dead_rows, behind),
    )
}

fn reader(options: &Options, connect: &PgConnectOptions, answers: Arc<Endpoint>) -> Reader<sqlx::Postgres> {
    let (connect, met) = (connect.clone(), Arc::clone(&answers));
    let session = match options.pooler {
        Pooler::None => Some(session_settings(options)),
        Pooler::Transaction => None,
    };
    Reader::new(options, by_code, answers, move |pool| {
        let (session, met) = (session.clone(), Arc::clone(&met));
        pool.after_connect(move |conn: &mut PgConnection, _| {
            let (session, met) = (session.clone(), Arc::clone(&met));
            Box::pin(async move {
                if let Some(session) = session {
                    conn.execute(sqlx::raw_sql(statement(session))).await?;
                }
                met.met(sqlx::Postgres::identify(conn).await?);
                Ok(())
            })
        })
        .connect_lazy_with(connect.clone())
    })
}

/// When the server's process began, in microseconds.
const STARTED: &str = "(EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::int8";

impl Identify for sqlx::Postgres {
    /// Where the client's connection ends is a server's own address, also behind a proxy that only hands on bytes.
    async fn identify(conn: &mut PgConnection) -> Result<Option<Server>, sqlx::Error> {
        let who = format!(
            "SELECT COALESCE(pg_catalog.host(pg_catalog.inet_server_addr()) || ':' || pg_catalog.inet_server_port(), \
             'a socket, port ' || pg_catalog.current_setting('port')), {STARTED}::text"
        );
        match conn.fetch_one(sqlx::raw_sql(statement(who))).await {
            Ok(row) => {
                let started = row.try_get_unchecked::<String, _>(1)?.parse().ok();
                Ok(Some(Server { place: row.try_get_unchecked(0)?, started }))
            }
            // What only speaks the protocol of PostgreSQL may not know these functions.
            Err(sqlx::Error::Database(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The division by zero that [`Postgres::transaction_begin`] makes of another server's answer.
fn is_other_server(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("22012")
}

fn connect_options(url: &str) -> Result<PgConnectOptions, TargetError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        failure::refused("the URL is not right: it must be `postgres://user:password@host:port/database`")
    })?;
    // Poolers refuse start-up parameters that they do not track; floats travel as bits and need no digits.
    Ok(options.application_name("afterimage").extra_float_digits(None).disable_statement_logging())
}

fn settings(options: &Options, scope: &str) -> String {
    let timeout = options.statement_timeout.as_millis();
    [
        format!("statement_timeout = {timeout}"),
        format!("lock_timeout = {LOCK_TIMEOUT_MS}"),
        // Rows that a policy hides would look lost: the read fails instead.
        "row_security = off".to_owned(),
        "TimeZone = 'UTC'".to_owned(),
        "DateStyle = 'ISO, MDY'".to_owned(),
        "extra_float_digits = 2".to_owned(),
        "plan_cache_mode = force_custom_plan".to_owned(),
    ]
    .iter()
    .map(|setting| format!("; {scope} {setting}"))
    .collect()
}

fn session_settings(options: &Options) -> String {
    let idle = "SET idle_in_transaction_session_timeout = 60000";
    format!("SET default_transaction_read_only = on; {idle}{}", settings(options, "SET"))
}

fn transaction_begin(options: &Options) -> String {
    format!("BEGIN READ ONLY{}", settings(options, "SET LOCAL"))
}

fn texts(row: &PgRow) -> Vec<Option<String>> {
    (0..row.len())
        .map(|index| row.try_get_raw(index).ok().and_then(|value| value.as_str().ok().map(str::to_owned)))
        .collect()
}

/// PostgreSQL's SQLSTATEs: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn by_code(error: &dyn sqlx::error::DatabaseError) -> Class {
    let code = error.code().unwrap_or_default();
    match &*code {
        "57014" => Class::Unreachable("the statement timeout cancelled the read"),
        "55P03" => Class::Unreachable("the table is locked"),
        "42501" => Class::Refused(
            "the role may not read all of this: grant SELECT on the table (and USAGE on its schema), and BYPASSRLS where row \
             level security hides rows from it",
        ),
        "42P01" | "3F000" => Class::Changed("the table is gone or was renamed"),
        "42703" => Class::Changed("a column is gone or was renamed"),
        "0A000" | "42883" | "42804" | "42846" | "22P02" | "22P03" | "42704" => {
            Class::Changed("a column's type is not what it was")
        }
        "25006" => Class::Refused("the statement tried to write, and reads here are read-only"),
        "3D000" => Class::Refused("the server has no such database: check the URL"),
        "42601" => Class::Refused("the server cannot parse the statement: check `dead_rows` and `query:SQL`"),
        "08P01" => Class::Refused("the pooler or server refuses the way we connect: check the URL and `pooler`"),
        code if code.starts_with("28") => Class::Refused("the server refuses the role or its password"),
        code if code.starts_with("08") || code.starts_with("57") => {
            Class::Unreachable("the server ended the connection")
        }
        code if code.starts_with("53") || code.starts_with("40") || code.starts_with("58") => {
            Class::Unreachable("the server lacks resources at the moment")
        }
        _ => Class::Refused("the server reports an error that retrying does not mend"),
    }
}
