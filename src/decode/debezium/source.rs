//! The `source` block: which table, when, and where in the source's own log.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use smol_str::format_smolstr;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::decode::json::{self, Name, REPEATED};
use crate::decode::memo::Tables;
use crate::model::change::{SourcePlace, TableName};
use crate::model::waymark::{Form, Place, Server};
use crate::model::{Cell, SourceTime, Waymark};

/// A field of a `source` block that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Connector,
    Name,
    Db,
    Schema,
    Table,
    TsMs,
    Snapshot,
    Sequence,
    Lsn,
    File,
    Pos,
    CommitScn,
    Scn,
    CommitLsn,
    Gtid,
    ServerId,
}

impl Field {
    const COUNT: usize = Field::ServerId as usize + 1;

    /// The field of this name, if it is used.
    pub(super) fn named(name: &str) -> Option<Field> {
        Some(match name {
            "connector" => Field::Connector,
            "name" => Field::Name,
            "db" => Field::Db,
            "schema" => Field::Schema,
            "table" => Field::Table,
            "ts_ms" => Field::TsMs,
            "snapshot" => Field::Snapshot,
            "sequence" => Field::Sequence,
            "lsn" => Field::Lsn,
            "file" => Field::File,
            "pos" => Field::Pos,
            "commit_scn" => Field::CommitScn,
            "scn" => Field::Scn,
            "commit_lsn" => Field::CommitLsn,
            "gtid" => Field::Gtid,
            "server_id" => Field::ServerId,
            _ => return None,
        })
    }

    /// The field of a name in which only letters and digits are allowed.
    pub(super) fn adjusted(name: &str) -> Option<Field> {
        Field::named(match name {
            "tsms" => "ts_ms",
            "commitscn" => "commit_scn",
            "commitlsn" => "commit_lsn",
            _ => name,
        })
    }
}

/// What a field says, in the form that its encoding gives it. Connectors write some of them in several forms.
pub(super) trait Said<'a>: Copy {
    /// An integer, or a text of one.
    fn int(self) -> Option<i64>;

    /// The content of a text.
    fn text(self) -> Option<Cow<'a, str>>;

    /// The inside of a text as it was sent: escapes may be left in it.
    fn inside(self) -> Option<&'a str>;

    /// Whether it is false or nothing.
    fn is_no(self) -> bool;

    /// The table of this name, in a schema that may be none.
    fn table(self, schema: Option<Self>, tables: &mut Tables) -> Option<TableName>;
}

/// As JSON text.
impl<'a> Said<'a> for &'a str {
    fn int(self) -> Option<i64> {
        self.inside().unwrap_or(self).parse().ok()
    }

    fn text(self) -> Option<Cow<'a, str>> {
        json::text(self).ok()
    }

    #[inline]
    fn inside(self) -> Option<&'a str> {
        self.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
    }

    fn is_no(self) -> bool {
        matches!(self, r#""false""# | "false" | "null")
    }

    fn table(self, schema: Option<&'a str>, tables: &mut Tables) -> Option<TableName> {
        tables.written(schema.unwrap_or_default(), self)
    }
}

/// As a cell of a row.
impl<'c> Said<'c> for &'c Cell<'_> {
    fn int(self) -> Option<i64> {
        if let Cell::Int(value) = self { Some(*value) } else { self.inside()?.parse().ok() }
    }

    fn text(self) -> Option<Cow<'c, str>> {
        self.inside().map(Cow::Borrowed)
    }

    fn inside(self) -> Option<&'c str> {
        if let Cell::Text(text) = self { Some(text) } else { None }
    }

    fn is_no(self) -> bool {
        matches!(self, Cell::Bool(false) | Cell::Null | Cell::Absent) || self.inside() == Some("false")
    }

    fn table(self, schema: Option<Self>, tables: &mut Tables) -> Option<TableName> {
        let name = self.inside().filter(|name| !name.is_empty())?;
        Some(tables.named(schema.and_then(Said::inside).unwrap_or_default(), name))
    }
}

/// The fields used of a `source` block. A null may be kept as sent or be left out.
#[derive(Debug)]
pub(super) struct Source<'a, V = &'a str>([Option<V>; Field::COUNT], PhantomData<&'a str>);

impl<V: Copy> Default for Source<'_, V> {
    fn default() -> Self {
        Source([None; Field::COUNT], PhantomData)
    }
}

/// What a change says of its source.
#[derive(Debug)]
pub(super) struct Provenance {
    pub(super) origin: Origin,
    pub(super) committed_at: Option<SourceTime>,
    pub(super) place: Option<SourcePlace>,
    pub(super) order: Option<u64>,
    pub(super) waymark: Option<Waymark>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Source<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a source block")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut source, mut met) = (Source::default(), [false; Field::COUNT]);
        while let Some(Name(name)) = map.next_key()? {
            let Some(field) = Field::named(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut met[field as usize], true) {
                return Err(A::Error::custom(REPEATED));
            }
            source.0[field as usize] = map.next_value::<Option<&'de RawValue>>()?.map(RawValue::get);
        }
        Ok(source)
    }
}

/// The families of connectors whose events differ in what may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// Any other.
    Other,
}

impl<'a, V: Said<'a>> Source<'a, V> {
    /// What a field says.
    pub(super) fn get(&self, field: Field) -> Option<V> {
        self.0[field as usize]
    }

    /// Notes what a field says.
    pub(super) fn set(&mut self, field: Field, value: V) {
        self.0[field as usize] = Some(value);
    }

    /// Everything but the table.
    pub(super) fn provenance(&self) -> Provenance {
        Provenance {
            origin: self.origin(),
            committed_at: self.committed_at(),
            place: self.position(),
            order: self.order(),
            waymark: self.waymark(),
        }
    }

    fn int(&self, field: Field) -> Option<i64> {
        self.get(field)?.int()
    }

    fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        self.get(field)?.text()
    }

    fn origin(&self) -> Origin {
        match self.get(Field::Connector).and_then(V::inside) {
            Some("postgresql") => Origin::Postgres,
            Some("mysql" | "mariadb") => Origin::Mysql,
            Some(_) | None => Origin::Other,
        }
    }

    /// `schema.table`, or `database.table` where the source has no schemas; `None` for a source that names no table.
    pub(super) fn table(&self, tables: &mut Tables) -> Option<TableName> {
        let schema = [Field::Schema, Field::Db].into_iter().filter_map(|field| self.get(field));
        let schema = schema.into_iter().find(|said| said.inside().is_some());
        self.get(Field::Table)?.table(schema, tables)
    }

    /// When the source committed. The finer fields beside this one are the same instant, since Debezium 2.6.
    fn committed_at(&self) -> Option<SourceTime> {
        self.int(Field::TsMs).map(SourceTime)
    }

    /// Whether a snapshot read the row. Streaming events say `"false"`, `false`, null or nothing.
    pub(super) fn is_snapshot(&self) -> bool {
        self.get(Field::Snapshot).is_some_and(|said| !said.is_no())
    }

    /// The position in the source's log, for people.
    fn position(&self) -> Option<SourcePlace> {
        match self.origin() {
            Origin::Postgres => self.int(Field::Lsn).map(|lsn| SourcePlace::Lsn(lsn as u64)),
            Origin::Mysql => {
                let (file, position) = (self.text(Field::File)?, self.int(Field::Pos)?);
                Some(SourcePlace::Text(format_smolstr!("{file}:{position}")))
            }
            Origin::Other => {
                let place = self
                    .text(Field::CommitScn)
                    .or_else(|| self.text(Field::Scn))
                    .or_else(|| self.text(Field::CommitLsn))?;
                Some(SourcePlace::Text(place.into()))
            }
        }
    }

    /// The position as one number that grows in commit order; snapshot rows stand nowhere in that order.
    ///
    /// PostgreSQL: the last LSN committed before the change, since the change's own LSN is older in a long
    /// transaction. MySQL: file number and position. Oracle: the SCN of the commit. SQL Server and Db2: the LSN of the
    /// commit. Changes of one transaction share the last two.
    fn order(&self) -> Option<u64> {
        if self.is_snapshot() {
            return None;
        }
        match self.origin() {
            Origin::Postgres => self.committed_lsn().or_else(|| self.int(Field::Lsn).map(|lsn| lsn as u64)),
            Origin::Mysql => binlog_order(&self.text(Field::File)?, u64::try_from(self.int(Field::Pos)?).ok()?),
            Origin::Other => {
                let scn = self.int(Field::CommitScn).and_then(|scn| u64::try_from(scn).ok());
                scn.or_else(|| commit_order(&self.text(Field::CommitLsn)?))
            }
        }
    }

    /// Where it stands in the connector's log. A connector without a name could be any.
    fn waymark(&self) -> Option<Waymark> {
        let named =
            |seed, field| self.get(field).and_then(V::inside).map(|name| xxh3_64_with_seed(name.as_bytes(), seed));
        let connector = named(named(0, Field::Connector)?, Field::Name)?;
        // Connectors of SQL Server follow each of several databases by itself; those of MySQL have one log for all.
        let of_database = match self.origin() {
            Origin::Postgres | Origin::Mysql => None,
            Origin::Other => named(connector, Field::Db),
        };
        let place = if self.is_snapshot() { None } else { self.place() };
        Some(Waymark { connector: of_database.unwrap_or(connector), place })
    }

    /// Only what grows from commit to commit: PostgreSQL's own LSN of a change falls in transactions that overlap.
    fn place(&self) -> Option<Place> {
        let (order, form) = match self.origin() {
            Origin::Postgres => (self.committed_lsn()?, Form::Lsn),
            Origin::Mysql => (self.order()?, Form::Binlog),
            Origin::Other => match self.get(Field::CommitLsn).and_then(V::inside) {
                Some(lsn) => (commit_lsn(lsn)?, Form::CommitLsn),
                None => (u64::try_from(self.int(Field::CommitScn)?).ok()?, Form::Scn),
            },
        };
        Some(Place { order, form, server: self.server() })
    }

    /// The server that made the change: by the source of its global transaction id, `UUID:N` of MySQL (with a tag between
    /// them since 8.4) and `domain-server-N` of MariaDB.
    fn server(&self) -> Server {
        let global = self.get(Field::Gtid).and_then(V::inside).filter(|gtid| !gtid.is_empty());
        match global.and_then(|gtid| gtid.split_once(':').or_else(|| gtid.rsplit_once('-'))) {
            Some((source, _)) => Server::Global(xxh3_64(source.as_bytes())),
            None => self.int(Field::ServerId).map_or(Server::Unsaid, |id| Server::Numbered(id as u64)),
        }
    }

    /// The first element of `sequence`, the JSON text of an array of two decimal texts or nulls.
    fn committed_lsn(&self) -> Option<u64> {
        let list = self.get(Field::Sequence)?.inside()?.strip_prefix('[')?;
        // Bytes, not characters: this is read for every change.
        let marks = |byte: &u8| matches!(byte, b'\\' | b'"' | b' ');
        let start = list.bytes().position(|byte| !marks(&byte))?;
        let length = list.as_bytes()[start..].iter().position(|byte| marks(byte) || matches!(byte, b',' | b']'))?;
        let first = &list[start..start + length];
        first.parse::<u64>().ok().or_else(|| first.parse::<i64>().ok().map(|lsn| lsn as u64))
    }
}

/// File number and position of a binary log in one number: 24 bits for the number, 40 (1 TiB) for the position.
pub(in crate::decode) fn binlog_order(file: &str, position: u64) -> Option<u64> {
    let (_, number) = file.rsplit_once('.')?;
    let number: u64 = number.parse().ok()?;
    (number < 1 << 24 && position < 1 << 40).then_some(number << 40 | position)
}

/// The LSN of a commit in one number, of which its last part takes 40 bits where it is written with 16 digits, as Db2 does
/// (`00000000:00001e36:000000000004a1b4`), else 16 (SQL Server, `00000027:00000758:0005`: log file, block, record). `None` where
/// the parts before it need more than what is left.
fn commit_order(lsn: &str) -> Option<u64> {
    let (rest, last) = lsn.rsplit_once(':')?;
    let (first, second) = rest.split_once(':')?;
    let hex = |part: &str| u64::from_str_radix(part, 16).ok().filter(|_| part.len() <= 16);
    let (first, second, third) = (hex(first)?, hex(second)?, hex(last)?);
    match last.len() {
        4 if first < 1 << 24 && second < 1 << 24 => Some(first << 40 | second << 16 | third),
        16 if first == 0 && second < 1 << 24 && third < 1 << 40 => Some(second << 40 | third),
        _ => None,
    }
}

/// The first two parts of `VVVVVVVV:BBBBBBBB:RRRR`; the third counts within a block of the log.
fn commit_lsn(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|part| u32::from_str_radix(part, 16).ok());
    let (file, block) = (parts.next()??, parts.next()??);
    Some(u64::from(file) << 32 | u64::from(block))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(block: &str) -> (Option<String>, Option<u64>) {
        let source: Source<'_> = serde_json::from_str(block).expect("the block of a test is JSON");
        (source.position().map(|place| place.to_string()), source.order())
    }

    #[test]
    fn positions() {
        for (block, position, order) in [
            (
                r#"{"connector":"postgresql","lsn":112394521944,"sequence":"[\"112394521600\",\"112394521944\"]"}"#,
                Some("1A/2B3C4D58"),
                Some(112_394_521_600),
            ),
            (r#"{"connector":"postgresql","lsn":5,"sequence":"[null,\"5\"]"}"#, Some("0/5"), Some(5)),
            (r#"{"connector":"postgresql","lsn":-1,"sequence":null}"#, Some("FFFFFFFF/FFFFFFFF"), Some(u64::MAX)),
            (r#"{"connector":"postgresql","lsn":5,"snapshot":"first"}"#, Some("0/5"), None),
            (r#"{"connector":"postgresql","lsn":5,"snapshot":true}"#, Some("0/5"), None),
            (r#"{"connector":"postgresql","lsn":5,"snapshot":false}"#, Some("0/5"), Some(5)),
            (r#"{"connector":"postgresql","snapshot":"incremental"}"#, None, None),
            (
                r#"{"connector":"mariadb","file":"mybin.000003","pos":484}"#,
                Some("mybin.000003:484"),
                Some(3 << 40 | 484),
            ),
            (r#"{"connector":"mysql","file":"mybin","pos":484}"#, Some("mybin:484"), None),
            (r#"{"connector":"mysql","file":"b.1","pos":1099511627776}"#, Some("b.1:1099511627776"), None),
            (
                r#"{"connector":"oracle","scn":"1","commit_scn":"2868551","ssn":0,"redo_thread":1}"#,
                Some("2868551"),
                Some(2_868_551),
            ),
            (r#"{"connector":"oracle","scn":"1","commit_scn":"2868551","snapshot":"true"}"#, Some("2868551"), None),
            (r#"{"connector":"oracle","scn":"7","commit_scn":null}"#, Some("7"), None),
            (
                r#"{"connector":"sqlserver","commit_lsn":"00000027:00000758:0005","change_lsn":"00000027:00000758:0003"}"#,
                Some("00000027:00000758:0005"),
                Some(0x27 << 40 | 0x758 << 16 | 5),
            ),
            (r#"{"connector":"sqlserver","commit_lsn":"NULL"}"#, Some("NULL"), None),
            (
                r#"{"connector":"db2","change_lsn":"00000000:00000000:000000000446140f","commit_lsn":"00000000:00001e36:000000000004a1b4"}"#,
                Some("00000000:00001e36:000000000004a1b4"),
                Some(0x1e36 << 40 | 0x4_a1b4),
            ),
            (
                r#"{"connector":"sqlserver","commit_lsn":"01000000:00000758:0005"}"#,
                Some("01000000:00000758:0005"),
                None,
            ),
            ("{}", None, None),
        ] {
            assert_eq!(order_of(block), (position.map(str::to_owned), order), "{block}");
        }
    }

    fn waymark_of(block: &str) -> Option<Waymark> {
        let source: Source<'_> = serde_json::from_str(block).expect("the block of a test is JSON");
        source.waymark()
    }

    #[test]
    fn places_grow_from_commit_to_commit_or_are_none() {
        for (block, place) in [
            (r#""connector":"postgresql","lsn":9,"sequence":"[\"5\",\"9\"]""#, Some("LSN 0/5")),
            // Without the last commit, overlapping transactions would look like a log that goes back.
            (r#""connector":"postgresql","lsn":9,"sequence":"[null,\"9\"]""#, None),
            (r#""connector":"postgresql","lsn":9"#, None),
            (r#""connector":"postgresql","lsn":9,"sequence":"[\"5\",\"9\"]","snapshot":"incremental""#, None),
            (r#""connector":"mysql","file":"b.000003","pos":484"#, Some("binary log 3 position 484")),
            (r#""connector":"oracle","scn":"1","commit_scn":"2868551""#, Some("SCN 2868551")),
            (r#""connector":"oracle","scn":"1""#, None),
            (r#""connector":"sqlserver","commit_lsn":"00000027:00000758:0005""#, Some("commit LSN 00000027:00000758")),
            (r#""connector":"sqlserver","commit_lsn":"27""#, None),
            (r#""connector":"db2""#, None),
        ] {
            let waymark = waymark_of(&format!("{{{block},\"name\":\"shop\"}}")).expect("it has a name");
            assert_eq!(waymark.place.map(|place| place.to_string()).as_deref(), place, "{block}");
            assert_eq!(waymark_of(&format!("{{{block}}}")), None, "which connector is it? {block}");
        }
    }

    #[test]
    fn connectors_are_told_apart_by_what_has_a_log_of_its_own() {
        let connector = |block: &str| waymark_of(block).map(|waymark| waymark.connector);
        let differ = |one, other| connector(one) != connector(other);
        let shop = r#"{"connector":"sqlserver","name":"shop","db":"a"}"#;
        assert!(differ(shop, r#"{"connector":"sqlserver","name":"shop","db":"b"}"#));
        assert!(differ(shop, r#"{"connector":"sqlserver","name":"cart","db":"a"}"#));
        let shop = r#"{"connector":"mysql","name":"shop","db":"a"}"#;
        assert!(!differ(shop, r#"{"connector":"mysql","name":"shop","db":"b"}"#));
        assert!(differ(shop, r#"{"connector":"postgresql","name":"shop","db":"a"}"#));
    }

    #[test]
    fn servers_are_known_by_the_best_that_is_said() {
        let server = |rest: &str| {
            let block = format!(r#"{{"connector":"mysql","name":"s","file":"b.1","pos":1{rest}}}"#);
            waymark_of(&block).and_then(|waymark| waymark.place).map(|place| place.server)
        };
        assert_eq!(server(""), Some(Server::Unsaid));
        assert_eq!(server(r#","server_id":7,"gtid":null"#), Some(Server::Numbered(7)));
        let global = |gtid: &str| server(&format!(r#","server_id":7,"gtid":"{gtid}""#));
        assert_eq!(global("3e11fa47:23"), global("3e11fa47:24"));
        assert_ne!(global("3e11fa47:23"), global("aaaaaaaa:23"));
        assert_eq!(global("0-1-100"), global("0-1-101"), "of MariaDB");
        assert_ne!(global("0-1-100"), global("0-2-101"));
    }
}
