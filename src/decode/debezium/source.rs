//! The `source` block: which table, when, and where in the source's own log.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::decode::json;
use crate::decode::memo::Tables;
use crate::model::SourceTime;
use crate::model::change::TableName;

/// The fields used of a `source` block, values as written: connectors print some of them in several forms. A null may be
/// kept as written or be left out.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Source<'a> {
    #[serde(borrow, default, deserialize_with = "as_written")]
    connector: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    db: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    schema: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    table: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    ts_ms: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    snapshot: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    sequence: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    lsn: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    file: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    pos: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    commit_scn: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    scn: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "as_written")]
    commit_lsn: Option<&'a str>,
}

fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de str>, D::Error> {
    Ok(Option::<&'de RawValue>::deserialize(deserializer)?.map(RawValue::get))
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

fn int(raw: Option<&str>) -> Option<i64> {
    raw?.trim_matches('"').parse().ok()
}

fn text<'a>(raw: Option<&'a str>) -> Option<Cow<'a, str>> {
    json::text(raw?).ok()
}

impl<'a> Source<'a> {
    /// The place of a field that is used.
    pub(super) fn field(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        Some(match name {
            "connector" => &mut self.connector,
            "db" => &mut self.db,
            "schema" => &mut self.schema,
            "table" => &mut self.table,
            "ts_ms" => &mut self.ts_ms,
            "snapshot" => &mut self.snapshot,
            "sequence" => &mut self.sequence,
            "lsn" => &mut self.lsn,
            "file" => &mut self.file,
            "pos" => &mut self.pos,
            "commit_scn" => &mut self.commit_scn,
            "scn" => &mut self.scn,
            "commit_lsn" => &mut self.commit_lsn,
            _ => return None,
        })
    }

    pub(super) fn origin(&self) -> Origin {
        match self.connector {
            Some(r#""postgresql""#) => Origin::Postgres,
            Some(r#""mysql""# | r#""mariadb""#) => Origin::Mysql,
            Some(_) | None => Origin::Other,
        }
    }

    /// `schema.table`, or `database.table` where the source has no schemas; `None` for a source that names no table.
    pub(super) fn table(&self, tables: &mut Tables) -> Option<TableName> {
        let table = text(self.table).filter(|table| !table.is_empty())?;
        let schema = text(self.schema).or_else(|| text(self.db)).unwrap_or_default();
        Some(tables.named(&schema, &table))
    }

    /// When the source committed. The finer fields beside this one are the same instant, since Debezium 2.6.
    pub(super) fn committed_at(&self) -> Option<SourceTime> {
        int(self.ts_ms).map(SourceTime)
    }

    /// Whether a snapshot read the row. Streaming events say `"false"`, `false`, null or nothing.
    fn is_snapshot(&self) -> bool {
        !matches!(self.snapshot, None | Some(r#""false""# | "false" | "null"))
    }

    /// The position in the source's log, for people.
    pub(super) fn position(&self) -> Option<Box<str>> {
        match self.origin() {
            Origin::Postgres => int(self.lsn).map(|lsn| lsn_text(lsn as u64)),
            Origin::Mysql => Some(format!("{}:{}", text(self.file)?, int(self.pos)?).into()),
            Origin::Other => {
                let place = text(self.commit_scn).or_else(|| text(self.scn)).or_else(|| text(self.commit_lsn))?;
                Some(place.into())
            }
        }
    }

    /// The position as one number that grows in commit order; snapshot rows stand nowhere in that order.
    ///
    /// PostgreSQL: the last LSN committed before the change, since the change's own LSN is older in a long
    /// transaction. MySQL: file number and position. Others: none that is read by this version.
    pub(super) fn order(&self) -> Option<u64> {
        if self.is_snapshot() {
            return None;
        }
        match self.origin() {
            Origin::Postgres => self.committed_lsn().or_else(|| int(self.lsn).map(|lsn| lsn as u64)),
            Origin::Mysql => binlog_order(&text(self.file)?, u64::try_from(int(self.pos)?).ok()?),
            Origin::Other => None,
        }
    }

    /// The first element of `sequence`, the JSON text of an array of two decimal texts or nulls.
    fn committed_lsn(&self) -> Option<u64> {
        let list = self.sequence?.strip_prefix("\"[")?;
        let first = list.split([',', ']']).next()?.trim_matches(['\\', '"', ' ']);
        first.parse::<u64>().ok().or_else(|| first.parse::<i64>().ok().map(|lsn| lsn as u64))
    }
}

/// PostgreSQL's own form of a log position: high and low 32 bits in hexadecimal.
fn lsn_text(lsn: u64) -> Box<str> {
    // One is made for every change: a formatter takes as long as the whole block.
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(17);
    for half in [(lsn >> 32) as u32, lsn as u32] {
        if !text.is_empty() {
            text.push('/');
        }
        let first = (half | 1).ilog2() / 4;
        (0..=first).rev().for_each(|digit| text.push(char::from(DIGITS[(half >> (4 * digit) & 15) as usize])));
    }
    text.into()
}

/// File number and position of a binary log in one number: 24 bits for the number, 40 (1 TiB) for the position.
pub(in crate::decode) fn binlog_order(file: &str, position: u64) -> Option<u64> {
    let (_, number) = file.rsplit_once('.')?;
    let number: u64 = number.parse().ok()?;
    (number < 1 << 24 && position < 1 << 40).then_some(number << 40 | position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(block: &str) -> (Option<String>, Option<u64>) {
        let source: Source<'_> = serde_json::from_str(block).expect("the block of a test is JSON");
        (source.position().map(String::from), source.order())
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
            (r#"{"connector":"oracle","scn":"1","commit_scn":"2868551"}"#, Some("2868551"), None),
            (
                r#"{"connector":"sqlserver","commit_lsn":"00000027:00000758:0005"}"#,
                Some("00000027:00000758:0005"),
                None,
            ),
            ("{}", None, None),
        ] {
            assert_eq!(order_of(block), (position.map(str::to_owned), order), "{block}");
        }
    }
}
