//! Values by their MySQL types.

use std::borrow::Cow;

use crate::decode::decimal;
use crate::decode::json::{self, Fields, Flaw, Scalar, Undeclared};
use crate::decode::row::ReadCell;
use crate::model::cell::Text;
use crate::model::{Cell, Columns, calendar};

/// The types of a row's columns.
#[derive(Debug)]
pub(super) struct Types {
    text: Box<str>,
    columns: Columns,
    kinds: Box<[Kind]>,
}

/// What the texts of a column stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Int,
    Decimal,
    Float32,
    Float64,
    Date,
    Time,
    /// Of a `timestamp` too: Canal writes it in a zone of its own and does not say which.
    Local,
    Text,
    Json,
    /// Bytes written as if they were characters of ISO 8859-1.
    Bytes,
    /// Written as the place of the member, from 1 on; 0 is the empty text.
    Enum(Box<[Box<str>]>),
    /// Written as a number with a bit for each member.
    Set(Box<[Box<str>]>),
    /// Carried, not compared.
    Opaque(Box<str>),
}

impl Types {
    /// Of the text of `mysqlType`.
    pub(super) fn read(text: &str) -> Result<Types, String> {
        let fields = match text {
            "null" => Fields(Vec::new()),
            _ => serde_json::from_str::<Fields<'_>>(text).map_err(|error| json::complaint(&error))?,
        };
        let kind =
            |(_, raw): &(Cow<'_, str>, &serde_json::value::RawValue)| kind(&json::text(raw.get()).unwrap_or_default());
        Ok(Types {
            text: text.into(),
            columns: Columns::new(fields.0.iter().map(|(name, _)| &**name)),
            kinds: fields.0.iter().map(kind).collect(),
        })
    }

    pub(super) fn is_of(&self, text: &str) -> bool {
        *self.text == *text
    }

    fn kind(&self, at: Option<usize>, name: &str) -> Option<&Kind> {
        let stands_there = |at: &usize| self.columns.0.get(*at).is_some_and(|column| **column == *name);
        self.kinds.get(at.filter(stands_there).or_else(|| self.columns.index_of(name))?)
    }
}

impl ReadCell for Types {
    fn written<'a>(&self, at: Option<usize>, name: &str, raw: &'a str) -> Result<Cell<'a>, Flaw> {
        match (self.kind(at, name), raw.starts_with('"')) {
            (Some(kind), true) => Ok(kind.cell(json::text(raw)?.into())),
            (Some(_), false) | (None, _) => Undeclared.written(at, name, raw),
        }
    }

    fn scalar<'a>(&self, _: usize, value: Scalar<'a>) -> Option<Result<Cell<'a>, Flaw>> {
        // Which column it is of is known by name only: rows need not have the columns of `mysqlType` in its order.
        matches!(value, Scalar::Null).then_some(Ok(Cell::Null))
    }
}

fn kind(declared: &str) -> Kind {
    let lower = declared.trim().to_ascii_lowercase();
    let base = lower.split(['(', ' ']).next().unwrap_or_default();
    match base {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "year" | "bit" | "bool" | "boolean"
        | "serial" => Kind::Int,
        "decimal" | "numeric" | "dec" | "fixed" => Kind::Decimal,
        "float" => Kind::Float32,
        "double" | "real" => Kind::Float64,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "datetime" | "timestamp" => Kind::Local,
        "char" | "varchar" | "nchar" | "nvarchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "uuid" => {
            Kind::Text
        }
        "json" => Kind::Json,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Bytes,
        "enum" => Kind::Enum(members(declared)),
        "set" => Kind::Set(members(declared)),
        _ => Kind::Opaque(declared.into()),
    }
}

/// The members of `enum('a','it''s')`.
fn members(declared: &str) -> Box<[Box<str>]> {
    let mut members = Vec::new();
    let mut rest = declared;
    while let Some((_, start)) = rest.split_once('\'') {
        let mut member = String::new();
        let mut left = start;
        loop {
            let Some((part, behind)) = left.split_once('\'') else { return members.into() };
            member.push_str(part);
            match behind.strip_prefix('\'') {
                Some(more) => {
                    member.push('\'');
                    left = more;
                }
                None => {
                    left = behind;
                    break;
                }
            }
        }
        members.push(member.into());
        rest = left;
    }
    members.into()
}

impl Kind {
    /// The cell of a text. One that is no value of its type (a zero date, a number of another form) is carried, not compared.
    fn cell<'a>(&self, text: Text<'a>) -> Cell<'a> {
        let read = match self {
            Kind::Int => text.parse().ok().map(Cell::Int).or_else(|| wide(&text)),
            Kind::Decimal => plain(&text),
            Kind::Float32 => text.parse().ok().map(Cell::Float32),
            Kind::Float64 => text.parse().ok().map(Cell::Float64),
            Kind::Date => calendar::parse_date(&text).map(Cell::Date),
            Kind::Time => calendar::parse_time(&text).map(|(nanos, _)| Cell::Time(nanos)),
            Kind::Local => calendar::parse_moment(&text).map(|moment| Cell::Local(moment.local_secs, moment.nanos)),
            Kind::Text => return Cell::Text(text),
            Kind::Json => return Cell::Json(text),
            Kind::Bytes => {
                text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect::<Option<_>>().map(Cell::Bytes)
            }
            Kind::Enum(members) => one_of(members, &text),
            Kind::Set(members) => some_of(members, &text),
            Kind::Opaque(_) => None,
        };
        read.unwrap_or_else(|| Cell::Opaque(Box::new((self.name(), text.to_string()))))
    }

    fn name(&self) -> String {
        match self {
            Kind::Int => "integer",
            Kind::Decimal => "decimal",
            Kind::Float32 | Kind::Float64 => "floating-point number",
            Kind::Date => "date",
            Kind::Time => "time",
            Kind::Local => "date and time",
            Kind::Text => "text",
            Kind::Json => "json",
            Kind::Bytes => "bytes",
            Kind::Enum(_) => "enum",
            Kind::Set(_) => "set",
            Kind::Opaque(name) => name,
        }
        .to_owned()
    }
}

/// An integer of more than 64 bits, or of 64 without a sign.
fn wide(text: &str) -> Option<Cell<'static>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer.then(|| Cell::Decimal(text.to_owned().into()))
}

fn plain(text: &str) -> Option<Cell<'static>> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    wide(whole)?;
    let is_fraction =
        fraction.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number = decimal::plain(text).ok().filter(|_| is_fraction)?;
    Some(Cell::Decimal(number.into_owned()))
}

/// A member by its place. Where a member is itself such a number, which is meant is not known.
fn one_of(members: &[Box<str>], text: &str) -> Option<Cell<'static>> {
    let is_member = members.iter().any(|member| **member == *text);
    let member = match text.parse::<usize>() {
        Ok(_) if is_member => return None,
        Ok(0) => "",
        Ok(place) => members.get(place - 1)?,
        Err(_) => text,
    };
    Some(Cell::Text(member.to_owned().into()))
}

/// Members by their bits, in the order of the type, as MySQL prints them.
fn some_of(members: &[Box<str>], text: &str) -> Option<Cell<'static>> {
    let is_member = members.iter().any(|member| **member == *text);
    let Ok(bits) = text.parse::<u64>() else { return Some(Cell::Text(text.to_owned().into())) };
    if is_member || (members.len() < 64 && bits >> members.len() != 0) {
        return None;
    }
    let held = members.iter().enumerate().filter(|(index, _)| *index < 64 && bits >> index & 1 == 1);
    let names: Vec<&str> = held.map(|(_, member)| &**member).collect();
    Some(Cell::Text(names.join(",").into()))
}
