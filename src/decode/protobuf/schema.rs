//! Schemas, read once each into tables of messages and enums that name each other by place.

use hashbrown::HashMap;

use super::builtin;
use super::parse::{Definitions, FieldDefinition, qualified};
use crate::decode::json;
use crate::model::Definition;

/// A place in the table of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::decode) struct MessageId(u32);

/// A place in the table of enums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::decode) struct EnumId(u32);

/// A schema file, and what it refers to.
#[derive(Debug)]
pub(in crate::decode) struct Schema {
    messages: Box<[Message]>,
    enums: Box<[Enum]>,
    /// The messages that the file itself defines, outside of others.
    pub(in crate::decode) own: Box<[MessageId]>,
    /// Messages from here on come built in.
    told: usize,
}

/// A message.
#[derive(Debug)]
pub(in crate::decode) struct Message {
    pub(in crate::decode) full_name: Box<str>,
    /// As they are defined.
    pub(in crate::decode) fields: Box<[Field]>,
    /// Numbers of the fields, ascending, and where each field is.
    numbers: Box<[(u32, u32)]>,
    nested: Box<[MessageId]>,
}

#[derive(Debug)]
struct Enum(Box<[(i32, Box<str>)]>);

/// A field of a message.
#[derive(Debug)]
pub(in crate::decode) struct Field {
    pub(in crate::decode) name: Box<str>,
    pub(in crate::decode) number: u32,
    pub(in crate::decode) kind: Type,
    pub(in crate::decode) presence: Presence,
    /// Of a map, the type of its keys: each of its entries is a message of a key and a value.
    pub(in crate::decode) key: Option<Scalar>,
}

/// What a field that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Presence {
    /// That it was not set: one that was set is always there.
    Told,
    /// Its type's zero, or that it was not set.
    Untold,
    /// That there is no item, or that it was not set.
    List,
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Type {
    Scalar(Scalar),
    Enum(EnumId),
    Message(MessageId),
}

/// The types that are not defined in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Scalar {
    Double,
    Float,
    Integer(Integer),
    Bool,
    Text,
    Bytes,
}

/// The types of integers, which differ in sign, size, and how their bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Integer {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
}

impl Scalar {
    fn named(name: &str) -> Option<Scalar> {
        Some(match name {
            "double" => Scalar::Double,
            "float" => Scalar::Float,
            "int32" => Scalar::Integer(Integer::Int32),
            "int64" => Scalar::Integer(Integer::Int64),
            "uint32" => Scalar::Integer(Integer::Uint32),
            "uint64" => Scalar::Integer(Integer::Uint64),
            "sint32" => Scalar::Integer(Integer::Sint32),
            "sint64" => Scalar::Integer(Integer::Sint64),
            "fixed32" => Scalar::Integer(Integer::Fixed32),
            "fixed64" => Scalar::Integer(Integer::Fixed64),
            "sfixed32" => Scalar::Integer(Integer::Sfixed32),
            "sfixed64" => Scalar::Integer(Integer::Sfixed64),
            "bool" => Scalar::Bool,
            "string" => Scalar::Text,
            "bytes" => Scalar::Bytes,
            _ => return None,
        })
    }
}

impl Message {
    /// The field of a number. Fields mostly come in the order of their numbers, so the one behind the last is tried first.
    #[inline]
    pub(in crate::decode) fn field(&self, number: u32, likely: usize) -> Option<usize> {
        match self.numbers.get(likely) {
            Some((known, at)) if *known == number => Some(*at as usize),
            Some(_) | None => self.find(number),
        }
    }

    fn find(&self, number: u32) -> Option<usize> {
        let place = self.numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.numbers[place].1 as usize)
    }
}

impl Schema {
    /// Reads a schema and what it refers to.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub(in crate::decode) fn read(definition: &Definition) -> Result<Schema, String> {
        let mut definitions = Definitions::default();
        let own = definitions.file(&definition.text)?;
        for reference in &definition.references {
            definitions.file(&reference.text).map_err(|reason| format!("a schema it refers to: {reason}"))?;
        }
        let told = definitions.messages.len();
        for file in builtin::FILES {
            definitions.file(file)?;
        }
        link(&definitions, &own, told)
    }

    pub(in crate::decode) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// All messages, in the order of their ids.
    pub(in crate::decode) fn messages(&self) -> impl Iterator<Item = MessageId> + use<> {
        (0..self.messages.len() as u32).map(MessageId)
    }

    /// Whether a message is of no file that the registry holds.
    pub(in crate::decode) fn is_built_in(&self, id: MessageId) -> bool {
        id.0 as usize >= self.told
    }

    /// Where a message stands in [`Schema::messages`].
    pub(in crate::decode) fn place(id: MessageId) -> usize {
        id.0 as usize
    }

    /// The name of a number of an enum, if it has one.
    pub(in crate::decode) fn symbol(&self, id: EnumId, number: i32) -> Option<&str> {
        let symbols = &self.enums[id.0 as usize].0;
        symbols.iter().find(|(known, _)| *known == number).map(|(_, name)| &**name)
    }

    /// The message at a place: of the file's, and then of the messages in each.
    pub(in crate::decode) fn at(&self, mut places: impl Iterator<Item = usize>) -> Option<MessageId> {
        let first = *self.own.get(places.next()?)?;
        places.try_fold(first, |message, place| self.message(message).nested.get(place).copied())
    }

    /// The file's message of this name, with or without what it stands in.
    pub(in crate::decode) fn named(&self, name: &str) -> Option<MessageId> {
        let is_named = |id: &&MessageId| {
            let full_name = &*self.message(**id).full_name;
            full_name == name || full_name.rsplit('.').next() == Some(name)
        };
        self.own.iter().find(is_named).copied()
    }
}

/// What names mean.
#[derive(Default)]
struct Names<'d>(HashMap<&'d str, Type>);

impl Names<'_> {
    /// From the innermost scope outwards, as the compiler looks.
    fn find(&self, name: &str, mut scope: &str) -> Option<Type> {
        if let Some(absolute) = name.strip_prefix('.') {
            return self.0.get(absolute).copied();
        }
        loop {
            if let Some(known) = self.0.get(&*qualified(scope, name)) {
                return Some(*known);
            }
            if scope.is_empty() {
                return None;
            }
            scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
    }
}

/// Names become places. Of what comes built in, a file's own definition is taken where it has one.
fn link(definitions: &Definitions<'_>, own: &[usize], told: usize) -> Result<Schema, String> {
    let mut names = Names::default();
    for (index, message) in definitions.messages.iter().enumerate() {
        let known = names.0.contains_key(&*message.full_name);
        if known && index < told {
            return Err(format!("the type `{}` is defined twice", message.full_name));
        }
        names.0.entry(&message.full_name).or_insert(Type::Message(MessageId(index as u32)));
    }
    for (index, one) in definitions.enums.iter().enumerate() {
        names.0.entry(&one.full_name).or_insert(Type::Enum(EnumId(index as u32)));
    }
    let mut messages = Vec::with_capacity(definitions.messages.len());
    for message in &definitions.messages {
        let fields = message.fields.iter().map(|field| resolved(field, &message.full_name, &names));
        let fields: Box<[Field]> = fields.collect::<Result<_, _>>()?;
        if json::repeated(fields.iter().map(|field| &*field.name)) {
            return Err(format!("message `{}` has a field twice", message.full_name));
        }
        let mut numbers: Vec<_> = fields.iter().enumerate().map(|(at, field)| (field.number, at as u32)).collect();
        numbers.sort_unstable();
        if numbers.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("message `{}` has two fields of one number", message.full_name));
        }
        messages.push(Message {
            full_name: (&*message.full_name).into(),
            fields,
            numbers: numbers.into(),
            nested: message.nested.iter().map(|place| MessageId(*place as u32)).collect(),
        });
    }
    let symbols = |symbols: &[(i32, &str)]| symbols.iter().map(|(number, name)| (*number, (*name).into())).collect();
    Ok(Schema {
        messages: messages.into(),
        enums: definitions.enums.iter().map(|one| Enum(symbols(&one.symbols))).collect(),
        own: own.iter().map(|place| MessageId(*place as u32)).collect(),
        told,
    })
}

fn resolved(field: &FieldDefinition<'_>, scope: &str, names: &Names<'_>) -> Result<Field, String> {
    let kind = match Scalar::named(field.kind) {
        Some(scalar) => Type::Scalar(scalar),
        None => names
            .find(field.kind, scope)
            .ok_or_else(|| format!("the type `{}` of field `{}` is defined nowhere", field.kind, field.name))?,
    };
    let key = field.key.map(|key| Scalar::named(key).ok_or_else(|| format!("`{key}` cannot be a key of a map")));
    // A message that is there says so by being there.
    let presence = match (field.presence, kind) {
        (Presence::Untold, Type::Message(_)) => Presence::Told,
        (presence, Type::Scalar(_) | Type::Enum(_) | Type::Message(_)) => presence,
    };
    Ok(Field { name: field.name.as_str().into(), number: field.number, kind, presence, key: key.transpose()? })
}
