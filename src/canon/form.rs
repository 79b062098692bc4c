//! The canonical form of a target column, chosen from its declared type.

use std::borrow::Cow;

use super::value::Canonical;
use crate::model::{ColumnMeta, Dialect};

/// How the values of one target column are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Numbers by value, at the column's scale where it has one.
    Number(Scale),
    /// Floats at 32 bits.
    Float32,
    /// Floats at 64 bits.
    Float64,
    /// Truth values.
    Bool,
    /// Text.
    Text(Padding),
    /// Bytes.
    Bytes(Padding),
    /// Dates.
    Date,
    /// Times, at a number of digits behind the second.
    Time(u8, Zone),
    /// Dates and times, at a number of digits behind the second. `Zone::Utc` columns hold moments, `Zone::None` ones
    /// hold what a clock on some wall showed.
    Moment(u8, Zone),
    /// UUIDs.
    Uuid,
    /// JSON documents by structure.
    Json,
    /// Bits, those in front that are 0 aside: a change stream keeps neither them nor a length.
    Bits,
    /// Intervals by their length, a month taken for 30.4375 days as Debezium does.
    Interval,
    /// Addresses of networks and hosts, with the length of their mask.
    Address,
    /// Keys and values of an hstore.
    Hstore,
    /// A PostgreSQL point.
    Point,
    /// A MySQL geometry: its reference system and well-known binary.
    Geometry,
    /// Arrays of one dimension, element by element.
    Array(Box<Form>),
    /// Ranges by their bounds.
    Range(Box<Form>),
}

impl Form {
    /// What stands in a column of this form where nothing was given; NULL where there is no such value.
    pub(super) fn zero(&self) -> Canonical<'static> {
        match self {
            Form::Number(_) => Canonical::Int(0),
            Form::Float32 | Form::Float64 => Canonical::Float(0),
            Form::Bool => Canonical::Bool(false),
            Form::Text(_) => Canonical::Text(Cow::Borrowed("")),
            Form::Bytes(_)
            | Form::Date
            | Form::Time(..)
            | Form::Moment(..)
            | Form::Uuid
            | Form::Json
            | Form::Bits
            | Form::Interval
            | Form::Address
            | Form::Hstore
            | Form::Point
            | Form::Geometry
            | Form::Array(_)
            | Form::Range(_) => Canonical::Null,
        }
    }

    /// Whether rows without a key are counted by such a column: its values find their rows again, and appliers leave them as
    /// they are. Numbers of a binary scale and times are cut by many.
    pub(super) fn counts_rows(&self) -> bool {
        match self {
            Form::Number(_) | Form::Bool | Form::Text(_) | Form::Bytes(_) | Form::Date | Form::Uuid => true,
            Form::Float32 | Form::Float64 | Form::Time(..) | Form::Moment(..) | Form::Address => false,
            Form::Json
            | Form::Bits
            | Form::Interval
            | Form::Hstore
            | Form::Point
            | Form::Geometry
            | Form::Array(_)
            | Form::Range(_) => false,
        }
    }

    /// Whether a canonical value finds its row again. Others are read by more than one text, and a lookup by one of them
    /// would miss the row.
    pub(super) fn finds_rows(&self) -> bool {
        match self {
            Form::Number(_)
            | Form::Float32
            | Form::Float64
            | Form::Bool
            | Form::Text(_)
            | Form::Bytes(_)
            | Form::Date
            | Form::Time(..)
            | Form::Moment(..)
            | Form::Uuid
            | Form::Address => true,
            Form::Json
            | Form::Bits
            | Form::Interval
            | Form::Hstore
            | Form::Point
            | Form::Geometry
            | Form::Array(_)
            | Form::Range(_) => false,
        }
    }
}

/// The scale of a number column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Any number of digits behind the point.
    Any,
    /// That many digits.
    Digits(u32),
    /// A whole number from 0 to 2^64-1: a source that wraps beyond 2^63 is read back.
    Unsigned64,
}

impl Scale {
    pub(super) fn digits(self) -> Option<u32> {
        match self {
            Scale::Any => None,
            Scale::Digits(digits) => Some(digits),
            Scale::Unsigned64 => Some(0),
        }
    }
}

/// Whether the column fills values up to its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// Every character counts.
    Exact,
    /// Blanks (bytes: zeros) at the end do not count.
    Filled,
}

/// Whether a time is tied to UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// No.
    None,
    /// Yes.
    Utc,
}

/// The form of a column; `None` if its type is not covered.
pub(super) fn of(dialect: Dialect, column: &ColumnMeta) -> Option<Form> {
    of_type(dialect, &column.declared)
}

fn of_type(dialect: Dialect, declared: &str) -> Option<Form> {
    if let (Dialect::Postgres, Some(element)) = (dialect, declared.strip_suffix("[]")) {
        return of_type(dialect, element).map(|element| Form::Array(Box::new(element)));
    }
    let declared = Declared::of(declared);
    match dialect {
        Dialect::Postgres => postgres(&declared),
        Dialect::Mysql => mysql(&declared),
        Dialect::Sqlite => sqlite(&declared),
    }
}

/// A declared type taken apart: `timestamp(3) without time zone` is `timestamp without time zone` and `[3]`.
struct Declared {
    name: String,
    arguments: Vec<i64>,
    unsigned: bool,
}

impl Declared {
    fn of(text: &str) -> Declared {
        let text = text.trim().to_ascii_lowercase();
        let (before, inside, after) = match (text.find('('), text.rfind(')')) {
            (Some(open), Some(close)) if open < close => (&text[..open], &text[open + 1..close], &text[close + 1..]),
            _ => (text.as_str(), "", ""),
        };
        let words: Vec<&str> = before.split_whitespace().chain(after.split_whitespace()).collect();
        let flags = ["unsigned", "zerofill", "signed"];
        let name = words.iter().filter(|word| !flags.contains(word)).copied().collect::<Vec<_>>().join(" ");
        let arguments = inside.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        Declared { name, arguments, unsigned: words.contains(&"unsigned") }
    }

    fn argument(&self, index: usize) -> Option<u32> {
        self.arguments.get(index).and_then(|argument| u32::try_from(*argument).ok())
    }

    /// Digits behind the second, where the declaration says so, else `default`.
    fn second_digits(&self, default: u8) -> u8 {
        self.argument(0).and_then(|digits| u8::try_from(digits).ok()).unwrap_or(default).min(9)
    }

    /// `None` for PostgreSQL's negative scales, which round to the left of the point.
    fn scale(&self) -> Option<Scale> {
        match self.arguments[..] {
            [] => Some(Scale::Any),
            [_] => Some(Scale::Digits(0)),
            [..] => self.argument(1).map(Scale::Digits),
        }
    }
}

/// A type of an extension is named with its schema where that is not in the search path.
fn postgres(declared: &Declared) -> Option<Form> {
    Some(match declared.name.rsplit('.').next()? {
        "smallint" | "integer" | "bigint" | "oid" => Form::Number(Scale::Digits(0)),
        "numeric" => Form::Number(declared.scale()?),
        "money" => Form::Number(Scale::Digits(2)),
        "real" => Form::Float32,
        "double precision" => Form::Float64,
        "boolean" => Form::Bool,
        "bit" if declared.argument(0).unwrap_or(1) == 1 => Form::Bool,
        "text" | "character varying" | "citext" | "name" | "\"char\"" | "enum" => Form::Text(Padding::Exact),
        "macaddr" | "macaddr8" | "ltree" | "xml" | "tsvector" => Form::Text(Padding::Exact),
        "isbn" | "isbn13" | "issn" | "issn13" | "ismn" | "ismn13" | "ean13" | "upc" => Form::Text(Padding::Exact),
        "character" | "bpchar" => Form::Text(Padding::Filled),
        "bytea" => Form::Bytes(Padding::Exact),
        "date" => Form::Date,
        "time without time zone" => Form::Time(declared.second_digits(6), Zone::None),
        "time with time zone" => Form::Time(declared.second_digits(6), Zone::Utc),
        "timestamp without time zone" => Form::Moment(declared.second_digits(6), Zone::None),
        "timestamp with time zone" => Form::Moment(declared.second_digits(6), Zone::Utc),
        "uuid" => Form::Uuid,
        "json" | "jsonb" => Form::Json,
        "bit" | "bit varying" => Form::Bits,
        "inet" | "cidr" => Form::Address,
        "hstore" => Form::Hstore,
        "point" => Form::Point,
        name if name == "interval" || name.starts_with("interval ") => Form::Interval,
        name => return range_bound(name).map(|bound| Form::Range(Box::new(bound))),
    })
}

fn range_bound(name: &str) -> Option<Form> {
    Some(match name {
        "int4range" | "int8range" => Form::Number(Scale::Digits(0)),
        "numrange" => Form::Number(Scale::Any),
        "daterange" => Form::Date,
        "tsrange" => Form::Moment(6, Zone::None),
        "tstzrange" => Form::Moment(6, Zone::Utc),
        _ => return None,
    })
}

fn mysql(declared: &Declared) -> Option<Form> {
    Some(match declared.name.as_str() {
        "bigint" if declared.unsigned => Form::Number(Scale::Unsigned64),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Form::Number(Scale::Digits(0)),
        "decimal" => Form::Number(Scale::Digits(declared.argument(1).unwrap_or(0))),
        "float" => Form::Float32,
        "double" => Form::Float64,
        "bit" if declared.argument(0).unwrap_or(1) == 1 => Form::Bool,
        "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => Form::Text(Padding::Exact),
        "char" => Form::Text(Padding::Filled),
        "binary" => Form::Bytes(Padding::Filled),
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Form::Bytes(Padding::Exact),
        "date" => Form::Date,
        "time" => Form::Time(declared.second_digits(0), Zone::None),
        "datetime" => Form::Moment(declared.second_digits(0), Zone::None),
        "timestamp" => Form::Moment(declared.second_digits(0), Zone::Utc),
        "uuid" => Form::Uuid,
        "json" => Form::Json,
        "bit" => Form::Bits,
        "inet4" | "inet6" => Form::Text(Padding::Exact),
        "geometry" | "point" | "linestring" | "polygon" => Form::Geometry,
        "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection" => Form::Geometry,
        _ => return None,
    })
}

/// SQLite declares affinities, not types: names that mean something to people are taken at their word, then the rules
/// of <https://www.sqlite.org/datatype3.html> §3.1 apply. A column without a type holds anything and is not compared.
fn sqlite(declared: &Declared) -> Option<Form> {
    let name = declared.name.as_str();
    Some(match name {
        "" => return None,
        "date" => Form::Date,
        "time" => Form::Time(9, Zone::None),
        "datetime" | "timestamp" | "timestamp without time zone" => Form::Moment(9, Zone::None),
        "timestamptz" | "timestamp with time zone" => Form::Moment(9, Zone::Utc),
        "json" | "jsonb" => Form::Json,
        "uuid" => Form::Uuid,
        _ if name.starts_with("bool") => Form::Bool,
        _ if name.contains("int") => Form::Number(Scale::Any),
        _ if ["char", "clob", "text"].iter().any(|part| name.contains(part)) => Form::Text(Padding::Exact),
        _ if name.contains("blob") => Form::Bytes(Padding::Exact),
        _ if ["real", "floa", "doub"].iter().any(|part| name.contains(part)) => Form::Float64,
        "numeric" | "decimal" => Form::Number(declared.scale()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, declared: &str, expected: Option<Form>) {
        let column =
            ColumnMeta { name: "c".into(), declared: declared.into(), nullable: true, collation: None, number: 0 };
        assert_eq!(of(dialect, &column), expected, "{declared}");
    }

    #[test]
    fn declared_types_choose_the_form() {
        use Dialect::{Mysql, Postgres, Sqlite};
        check(Postgres, "numeric(10,2)", Some(Form::Number(Scale::Digits(2))));
        check(Postgres, "numeric", Some(Form::Number(Scale::Any)));
        check(Postgres, "numeric(10)", Some(Form::Number(Scale::Digits(0))));
        check(Postgres, "numeric(3,-2)", None);
        let array = |element| Some(Form::Array(Box::new(element)));
        check(Postgres, "numeric(8,3)[]", array(Form::Number(Scale::Digits(3))));
        check(Postgres, "timestamp(3) without time zone[]", array(Form::Moment(3, Zone::None)));
        check(Postgres, "enum(mood)[]", array(Form::Text(Padding::Exact)));
        check(Postgres, "box[]", None);
        check(Postgres, "timestamp(3) without time zone", Some(Form::Moment(3, Zone::None)));
        check(Postgres, "time with time zone", Some(Form::Time(6, Zone::Utc)));
        check(Postgres, "character(8)", Some(Form::Text(Padding::Filled)));
        check(Postgres, "enum(mood)", Some(Form::Text(Padding::Exact)));
        check(Postgres, "bit(1)", Some(Form::Bool));
        check(Postgres, "bit(8)", Some(Form::Bits));
        check(Postgres, "bit varying", Some(Form::Bits));
        check(Postgres, "inet", Some(Form::Address));
        check(Postgres, "interval day to second(3)", Some(Form::Interval));
        check(Postgres, "tstzrange", Some(Form::Range(Box::new(Form::Moment(6, Zone::Utc)))));
        check(Postgres, "extensions.hstore", Some(Form::Hstore));
        check(Postgres, "box", None);
        check(Mysql, "int(10) unsigned zerofill", Some(Form::Number(Scale::Digits(0))));
        check(Mysql, "bigint(20) unsigned", Some(Form::Number(Scale::Unsigned64)));
        check(Mysql, "float(7,3)", Some(Form::Float32));
        check(Mysql, "enum('a','b)','ü')", Some(Form::Text(Padding::Exact)));
        check(Mysql, "datetime", Some(Form::Moment(0, Zone::None)));
        check(Mysql, "timestamp(6)", Some(Form::Moment(6, Zone::Utc)));
        check(Mysql, "binary(16)", Some(Form::Bytes(Padding::Filled)));
        check(Mysql, "bit(20)", Some(Form::Bits));
        check(Mysql, "point", Some(Form::Geometry));
        check(Mysql, "vector(3)", None);
        check(Sqlite, "integer", Some(Form::Number(Scale::Any)));
        check(Sqlite, "varchar(40)", Some(Form::Text(Padding::Exact)));
        check(Sqlite, "decimal(10,2)", Some(Form::Number(Scale::Digits(2))));
        check(Sqlite, "", None);
    }
}
