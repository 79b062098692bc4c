//! Schema files read into definitions whose types are still names.

use super::schema::Presence;
use super::token::{Token, Tokens};

/// How deep messages may stand in messages. The compiler stops at 32 in some languages, at none in others.
const MAX_DEPTH: usize = 64;

/// The most messages, fields and symbols of all files. PostgreSQL stops at 1,600 columns, MySQL at 4,096.
const MAX_PARTS: usize = 65_536;

/// What files define, in the order in which they do.
#[derive(Debug, Default)]
pub(super) struct Definitions<'t> {
    pub(super) messages: Vec<MessageDefinition<'t>>,
    pub(super) enums: Vec<EnumDefinition<'t>>,
    parts: usize,
}

#[derive(Debug)]
pub(super) struct MessageDefinition<'t> {
    pub(super) full_name: String,
    pub(super) fields: Vec<FieldDefinition<'t>>,
    /// Messages defined in it.
    pub(super) nested: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct EnumDefinition<'t> {
    pub(super) full_name: String,
    pub(super) symbols: Vec<(i32, &'t str)>,
}

#[derive(Debug)]
pub(super) struct FieldDefinition<'t> {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) kind: &'t str,
    /// The type of the keys, of a map.
    pub(super) key: Option<&'t str>,
    pub(super) presence: Presence,
}

/// What a file says of all that is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Two,
    Three,
}

/// A file being read.
struct Reading<'d, 't> {
    tokens: Tokens<'t>,
    into: &'d mut Definitions<'t>,
    syntax: Syntax,
}

impl<'t> Definitions<'t> {
    /// Reads a file; answers the messages that it defines itself.
    pub(super) fn file(&mut self, text: &'t str) -> Result<Vec<usize>, String> {
        let mut reading = Reading { tokens: Tokens::of(text)?, into: self, syntax: Syntax::Two };
        let (mut package, mut messages) = ("", Vec::new());
        while let Some(token) = reading.tokens.take()? {
            match token {
                Token::Word("syntax") => reading.syntax()?,
                Token::Word("package") => {
                    package = reading.tokens.word()?;
                    reading.tokens.expect(';')?;
                }
                Token::Word("message") => messages.push(reading.message(package, 0)?),
                Token::Word("enum") => reading.enumeration(package)?,
                Token::Word("import" | "option") => reading.tokens.skip_to(';')?,
                Token::Word("service" | "extend") => reading.tokens.skip_to('}')?,
                Token::Word("edition") => return Err("editions of Protobuf are not read by this version".to_owned()),
                Token::Mark(';') => {}
                Token::Word(_) | Token::Text(_) | Token::Mark(_) => {
                    return Err(reading.tokens.wrong("neither a message nor anything else that a file may hold"));
                }
            }
        }
        Ok(messages)
    }

    fn count(&mut self, parts: usize) -> Result<(), String> {
        self.parts += parts;
        if self.parts > MAX_PARTS { Err(format!("more than {MAX_PARTS} messages, fields and symbols")) } else { Ok(()) }
    }
}

impl<'t> Reading<'_, 't> {
    fn syntax(&mut self) -> Result<(), String> {
        self.tokens.expect('=')?;
        self.syntax = match &*self.tokens.string()? {
            "proto2" => Syntax::Two,
            "proto3" => Syntax::Three,
            other => return Err(format!("its syntax is `{other}`; proto2 and proto3 are read")),
        };
        self.tokens.expect(';')
    }

    fn message(&mut self, scope: &str, depth: usize) -> Result<usize, String> {
        if depth == MAX_DEPTH {
            return Err(self.tokens.wrong(&format!("messages nested deeper than {MAX_DEPTH} levels")));
        }
        let full_name = qualified(scope, self.tokens.word()?);
        self.into.count(1)?;
        let index = self.into.messages.len();
        let message = MessageDefinition { full_name: full_name.clone(), fields: Vec::new(), nested: Vec::new() };
        self.into.messages.push(message);
        self.tokens.expect('{')?;
        while !self.tokens.took('}')? {
            match self.tokens.word_or_mark()? {
                "message" => {
                    let nested = self.message(&full_name, depth + 1)?;
                    self.into.messages[index].nested.push(nested);
                }
                "enum" => self.enumeration(&full_name)?,
                "oneof" => self.oneof(index)?,
                "extend" => self.tokens.skip_to('}')?,
                "option" | "reserved" | "extensions" => self.tokens.skip_to(';')?,
                ";" => {}
                word => self.labelled(index, word)?,
            }
        }
        Ok(index)
    }

    fn oneof(&mut self, message: usize) -> Result<(), String> {
        self.tokens.word()?;
        self.tokens.expect('{')?;
        while !self.tokens.took('}')? {
            match self.tokens.word_or_mark()? {
                "option" => self.tokens.skip_to(';')?,
                ";" => {}
                kind => self.field(message, kind, Presence::Told)?,
            }
        }
        Ok(())
    }

    fn labelled(&mut self, message: usize, word: &'t str) -> Result<(), String> {
        let is_label = matches!(self.tokens.peek(), Some(Token::Word(_)));
        match (word, self.syntax) {
            ("map", _) if self.tokens.took('<')? => self.map(message),
            ("optional" | "required", _) if is_label => {
                let kind = self.kind()?;
                self.field(message, kind, Presence::Told)
            }
            ("repeated", _) if is_label => {
                let kind = self.kind()?;
                self.field(message, kind, Presence::List)
            }
            (kind, Syntax::Three) => self.field(message, kind, Presence::Untold),
            (kind, Syntax::Two) => self.field(message, kind, Presence::Told),
        }
    }

    fn kind(&mut self) -> Result<&'t str, String> {
        match self.tokens.word()? {
            "group" => Err(self.tokens.wrong("a group; not read by this version")),
            kind => Ok(kind),
        }
    }

    fn map(&mut self, message: usize) -> Result<(), String> {
        let key = self.tokens.word()?;
        self.tokens.expect(',')?;
        let kind = self.tokens.word()?;
        self.tokens.expect('>')?;
        self.define(message, kind, Some(key), Presence::List)
    }

    fn field(&mut self, message: usize, kind: &'t str, presence: Presence) -> Result<(), String> {
        self.define(message, kind, None, presence)
    }

    fn define(
        &mut self,
        message: usize,
        kind: &'t str,
        key: Option<&'t str>,
        presence: Presence,
    ) -> Result<(), String> {
        let name = self.tokens.word()?;
        self.tokens.expect('=')?;
        let number = self.tokens.word()?;
        let number = number_of(number)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| self.tokens.wrong(&format!("the number of field `{name}` is none")))?;
        let name = self.options()?.unwrap_or_else(|| name.to_owned());
        self.tokens.expect(';')?;
        self.into.count(1)?;
        self.into.messages[message].fields.push(FieldDefinition { name, number, kind, key, presence });
        Ok(())
    }

    /// Options of a field. Apicurio's converter keeps a column's name in one, where Protobuf does not allow it.
    fn options(&mut self) -> Result<Option<String>, String> {
        let mut raw = None;
        if !self.tokens.took('[')? {
            return Ok(None);
        }
        let mut open = 1usize;
        while open > 0 {
            match self.tokens.take()? {
                Some(Token::Word("json_name")) if open == 1 && self.tokens.took('=')? => {
                    let json_name = self.tokens.string()?;
                    raw = json_name.split_once("__raw:").map(|(_, raw)| raw.to_owned());
                }
                Some(Token::Mark('[' | '{' | '(' | '<')) => open += 1,
                Some(Token::Mark(']' | '}' | ')' | '>')) => open -= 1,
                Some(_) => {}
                None => return Err(self.tokens.wrong("it ends early")),
            }
        }
        Ok(raw)
    }

    fn enumeration(&mut self, scope: &str) -> Result<(), String> {
        let full_name = qualified(scope, self.tokens.word()?);
        let mut symbols = Vec::new();
        self.tokens.expect('{')?;
        while !self.tokens.took('}')? {
            match self.tokens.word_or_mark()? {
                "option" | "reserved" if self.tokens.peek() != Some(&Token::Mark('=')) => self.tokens.skip_to(';')?,
                ";" => {}
                name => {
                    self.tokens.expect('=')?;
                    let sign = if self.tokens.took('-')? { -1 } else { 1 };
                    let number = number_of(self.tokens.word()?).and_then(|number| i32::try_from(sign * number).ok());
                    let number = number.ok_or_else(|| self.tokens.wrong(&format!("the number of `{name}` is none")))?;
                    self.options()?;
                    self.tokens.expect(';')?;
                    self.into.count(1)?;
                    symbols.push((number, name));
                }
            }
        }
        self.into.enums.push(EnumDefinition { full_name, symbols });
        self.into.count(1)
    }
}

impl<'t> Tokens<'t> {
    fn word_or_mark(&mut self) -> Result<&'t str, String> {
        if self.took(';')? { Ok(";") } else { self.word() }
    }
}

/// Numbers may be decimal, hexadecimal or octal.
fn number_of(word: &str) -> Option<i64> {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None if word.len() > 1 && word.starts_with('0') => i64::from_str_radix(word, 8).ok(),
        None => word.parse().ok(),
    }
}

pub(super) fn qualified(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
