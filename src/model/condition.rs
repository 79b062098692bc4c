//! A condition on the columns of a row, as SQL has it: what a `where` says.

use std::collections::BTreeSet;

/// A condition. It is true, false, or (where a NULL leaves it open) neither, by SQL's three-valued logic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Both.
    And(Box<Condition>, Box<Condition>),
    /// Either.
    Or(Box<Condition>, Box<Condition>),
    /// Not so.
    Not(Box<Condition>),
    /// A column of truth values, or a written one.
    Holds(Operand),
    /// Known to be so, whatever is NULL: `is true`, `is false`.
    Is(Box<Condition>, bool),
    /// `is null`.
    IsNull(Operand),
    /// Two values side by side.
    Compare(Operand, Comparison, Operand),
    /// `is not distinct from`: equal, or both NULL.
    Same(Operand, Operand),
    /// One of these.
    In(Operand, Vec<Operand>),
    /// `like`.
    Like(Operand, Pattern),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A column, by its name on the tap.
    Column(Box<str>),
    /// A number as it was written: `-12.50`.
    Number(Box<str>),
    /// A text; beside a time it is read as one.
    Text(Box<str>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// How two values are held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// The pattern of a `like`: `%` is any text, `_` any character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As written.
    pub text: Box<str>,
    /// The character that takes its meaning from the next one.
    pub escape: Option<char>,
    /// Whether upper and lower case are told apart.
    pub case: Case,
}

/// Whether upper and lower case are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `like`
    Told,
    /// `ilike`
    Ignored,
}

impl Condition {
    /// The columns that it asks for, by their names on the tap.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut columns = BTreeSet::new();
        self.each_operand(&mut |operand| {
            if let Operand::Column(name) = operand {
                columns.insert(&**name);
            }
        });
        columns
    }

    fn each_operand<'c>(&'c self, visit: &mut impl FnMut(&'c Operand)) {
        match self {
            Condition::And(left, right) | Condition::Or(left, right) => {
                left.each_operand(visit);
                right.each_operand(visit);
            }
            Condition::Not(inner) | Condition::Is(inner, _) => inner.each_operand(visit),
            Condition::Holds(operand) | Condition::IsNull(operand) | Condition::Like(operand, _) => visit(operand),
            Condition::Compare(left, _, right) | Condition::Same(left, right) => {
                visit(left);
                visit(right);
            }
            Condition::In(operand, list) => {
                visit(operand);
                list.iter().for_each(visit);
            }
        }
    }
}
