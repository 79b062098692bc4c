//! Whether a row is one that the applier is meant to carry: the condition of a table's rule, asked of rows of the tap.
//!
//! Values are held against each other as they are on the tap: numbers by value, texts by their bytes, times as what they
//! show. Where the tap's format leaves open what a value is, the target's column tells. What a row does not tell is said to
//! be unknown, and never guessed.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::form::{Form, Padding, Scale, Zone};
use super::number;
use super::plan::Plan;
use super::value::{Canonical, Reading};
use crate::model::condition::{Case, Comparison, Condition, Operand, Pattern};
use crate::model::{Cell, Row, Typing};

/// A condition on the rows of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    condition: Condition,
    /// The columns that it asks for, with the form that their counterparts on the target have.
    columns: Vec<(Box<str>, Option<Form>)>,
}

/// Whether a row meets a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// It does.
    Yes,
    /// It does not, or NULLs leave it open, which is no in SQL.
    No,
    /// The row does not tell: a column was not sent, or is of a kind that cannot be held against what is written.
    Unknown,
}

/// SQL's truth, and not to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Null,
    Unknown,
}

/// One side of a comparison, as a row has it.
#[derive(Debug, Clone, Copy)]
enum Side<'v> {
    Unknown,
    Null,
    Cell(&'v Cell<'v>, Typing, Option<&'v Form>),
    Written(&'v Operand),
}

/// A row, and another image of the same change that may tell what it does not: columns that were not sent are as before.
struct Asked<'r> {
    filter: &'r Filter,
    row: &'r Row<'r>,
    before: Option<&'r Row<'r>>,
}

impl Filter {
    /// The condition, for rows that are compared by this plan.
    #[must_use]
    pub fn new(condition: Condition, plan: &Plan) -> Filter {
        let columns = condition.columns().into_iter().map(|name| (name.into(), plan.form_of_tap(name).cloned()));
        let columns = columns.collect();
        Filter { condition, columns }
    }

    /// Whether a row of the tap meets it. Columns that the row was sent without are taken from `before`, the same row as it
    /// was before the change.
    #[must_use]
    pub fn met_by(&self, row: &Row, before: Option<&Row>) -> Meets {
        match (Asked { filter: self, row, before }).truth(&self.condition) {
            Truth::True => Meets::Yes,
            Truth::False | Truth::Null => Meets::No,
            Truth::Unknown => Meets::Unknown,
        }
    }
}

impl<'r> Asked<'r> {
    fn truth(&self, condition: &'r Condition) -> Truth {
        match condition {
            Condition::And(left, right) => self.truth(left).and(self.truth(right)),
            Condition::Or(left, right) => self.truth(left).not().and(self.truth(right).not()).not(),
            Condition::Not(inner) => self.truth(inner).not(),
            Condition::Is(inner, wanted) => match (self.truth(inner), *wanted) {
                (Truth::Unknown, _) => Truth::Unknown,
                (Truth::True, true) | (Truth::False, false) => Truth::True,
                (Truth::Null | Truth::True | Truth::False, _) => Truth::False,
            },
            Condition::Holds(operand) => match self.side(operand) {
                Side::Null => Truth::Null,
                side @ (Side::Unknown | Side::Cell(..) | Side::Written(_)) => {
                    compare(side, Comparison::Equal, Side::Written(&Operand::Bool(true)))
                }
            },
            Condition::IsNull(operand) => match self.side(operand) {
                Side::Null => Truth::True,
                Side::Unknown => Truth::Unknown,
                Side::Cell(..) | Side::Written(_) => Truth::False,
            },
            Condition::Compare(left, comparison, right) => compare(self.side(left), *comparison, self.side(right)),
            Condition::Same(left, right) => match (self.side(left), self.side(right)) {
                (Side::Null, Side::Null) => Truth::True,
                (Side::Unknown, _) | (_, Side::Unknown) => Truth::Unknown,
                (Side::Null, _) | (_, Side::Null) => Truth::False,
                (left, right) => compare(left, Comparison::Equal, right),
            },
            Condition::In(operand, list) => {
                let one = |other: &'r Operand| compare(self.side(operand), Comparison::Equal, self.side(other));
                list.iter().fold(Truth::True, |none, other| none.and(one(other).not())).not()
            }
            Condition::Like(operand, pattern) => match self.side(operand) {
                Side::Null => Truth::Null,
                Side::Cell(Cell::Text(text) | Cell::Json(text), ..) => Truth::of(is_like(text, pattern)),
                Side::Cell(cell @ Cell::Uuid(_), ..) => Truth::of(is_like(&cell.to_string(), pattern)),
                Side::Written(Operand::Text(text)) => Truth::of(is_like(text, pattern)),
                Side::Unknown | Side::Cell(..) | Side::Written(_) => Truth::Unknown,
            },
        }
    }

    fn side(&self, operand: &'r Operand) -> Side<'r> {
        let name = match operand {
            Operand::Column(name) => name,
            Operand::Null => return Side::Null,
            Operand::Number(_) | Operand::Text(_) | Operand::Bool(_) => return Side::Written(operand),
        };
        let form = self.filter.columns.iter().find(|(known, _)| known == name).and_then(|(_, form)| form.as_ref());
        let told =
            |row: &'r Row<'r>| cell_of(row, name).filter(|cell| !cell.is_unknown()).map(|cell| (cell, row.typing));
        match told(self.row).or_else(|| self.before.and_then(told)) {
            None => Side::Unknown,
            Some((Cell::Null, _)) => Side::Null,
            // Left out are nulls and empty texts; what has no empty text was null.
            Some((Cell::Absent, Typing::Dms)) if form.is_some_and(|form| !matches!(form, Form::Text(_))) => Side::Null,
            Some((Cell::Absent, _)) => Side::Unknown,
            Some((cell, typing)) => Side::Cell(cell, typing, form),
        }
    }
}

/// A cell by the name of its column: as it is written, else without regard to case.
fn cell_of<'r>(row: &'r Row<'r>, name: &str) -> Option<&'r Cell<'r>> {
    row.get(name).or_else(|| row.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)).map(|(_, cell)| cell))
}

impl Truth {
    fn of(holds: bool) -> Truth {
        if holds { Truth::True } else { Truth::False }
    }

    fn not(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Null | Truth::Unknown => self,
        }
    }

    fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::False, _) | (_, Truth::False) => Truth::False,
            (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
            (Truth::Null, _) | (_, Truth::Null) => Truth::Null,
            (Truth::True, Truth::True) => Truth::True,
        }
    }
}

fn compare(left: Side<'_>, comparison: Comparison, right: Side<'_>) -> Truth {
    let order = match (left, right) {
        (Side::Null, _) | (_, Side::Null) => return Truth::Null,
        (Side::Unknown, _) | (_, Side::Unknown) => None,
        (Side::Cell(cell, typing, form), Side::Written(written)) => beside_written((cell, typing, form), written),
        (Side::Written(written), Side::Cell(cell, typing, form)) => {
            beside_written((cell, typing, form), written).map(Ordering::reverse)
        }
        (Side::Cell(left, typing, form), Side::Cell(right, other_typing, other_form)) => {
            let (form, other) = (form_of(left, typing, form), form_of(right, other_typing, other_form));
            form.filter(|_| form == other).and_then(|form| order(form, (left, typing), (right, other_typing)))
        }
        (Side::Written(left), Side::Written(right)) => written_order(left, right),
    };
    let Some(order) = order else { return Truth::Unknown };
    Truth::of(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::AtMost => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::AtLeast => order.is_ge(),
    })
}

fn written_order(left: &Operand, right: &Operand) -> Option<Ordering> {
    match (left, right) {
        (Operand::Number(_), Operand::Number(_)) => {
            order(&NUMBER, (&cell(left)?, Typing::Declared), (&cell(right)?, Typing::Declared))
        }
        (Operand::Text(left), Operand::Text(right)) => Some(left.cmp(right)),
        (Operand::Bool(left), Operand::Bool(right)) => Some(left.cmp(right)),
        (Operand::Number(_) | Operand::Text(_) | Operand::Bool(_) | Operand::Column(_) | Operand::Null, _) => None,
    }
}

const NUMBER: Form = Form::Number(Scale::Any);
const TEXT: Form = Form::Text(Padding::Exact);
const LOCAL: Form = Form::Moment(9, Zone::None);
const INSTANT: Form = Form::Moment(9, Zone::Utc);
const TIME: Form = Form::Time(9, Zone::None);

/// A written value as a cell.
fn cell(written: &Operand) -> Option<Cell<'_>> {
    match written {
        Operand::Number(digits) => Some(Cell::Decimal((&**digits).into())),
        Operand::Text(text) => Some(Cell::text(text)),
        Operand::Bool(value) => Some(Cell::Bool(*value)),
        Operand::Column(_) | Operand::Null => None,
    }
}

fn beside_written(value: (&Cell<'_>, Typing, Option<&Form>), written: &Operand) -> Option<Ordering> {
    let (of, typing, target) = value;
    let form = match (of, written) {
        (Cell::Bool(_), Operand::Text(_)) | (Cell::Text(_), Operand::Bool(_)) => &Form::Bool,
        (Cell::Text(_), Operand::Number(_)) => &NUMBER,
        (_, Operand::Number(_) | Operand::Text(_) | Operand::Bool(_) | Operand::Column(_) | Operand::Null) => {
            form_of(of, typing, target)?
        }
    };
    order(form, (of, typing), (&cell(written)?, Typing::Declared))
}

/// The form in which a cell of the tap is held against others: that of its own kind where it tells it, else the target's.
fn form_of<'f>(cell: &Cell<'_>, typing: Typing, target: Option<&'f Form>) -> Option<&'f Form> {
    let is_temporal = |form: &&Form| matches!(form, Form::Date | Form::Time(..) | Form::Moment(..));
    let is_plain =
        |form: &&Form| matches!(form, Form::Number(_) | Form::Float32 | Form::Float64 | Form::Bool | Form::Uuid);
    match cell {
        Cell::Bool(_) | Cell::Int(_) | Cell::Decimal(_) | Cell::Float32(_) | Cell::Float64(_) => {
            target.filter(|form| typing != Typing::Declared && is_temporal(form)).or(Some(&NUMBER))
        }
        Cell::Text(_) => {
            let told = |form: &&Form| is_temporal(form) || typing != Typing::Declared && is_plain(form);
            target.filter(told).or(Some(&TEXT))
        }
        Cell::Json(_) => Some(&TEXT),
        Cell::Date(_) => Some(&Form::Date),
        Cell::Time(_) => Some(&TIME),
        Cell::Local(..) => Some(&LOCAL),
        Cell::Instant(..) => Some(&INSTANT),
        Cell::Infinity(_) => target.filter(is_temporal).or(Some(&LOCAL)),
        Cell::Uuid(_) => Some(&Form::Uuid),
        Cell::Bytes(_) | Cell::Opaque(_) => target.filter(|form| is_temporal(form) || is_plain(form)),
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => None,
    }
}

fn order(form: &Form, left: (&Cell<'_>, Typing), right: (&Cell<'_>, Typing)) -> Option<Ordering> {
    let read = |(cell, typing): (&Cell<'_>, Typing)| match form.read(cell, typing) {
        Reading::Value(value) => Some(value.into_owned()),
        Reading::Unknown | Reading::Incomparable => None,
    };
    match (read(left)?, read(right)?) {
        (Canonical::Int(left), Canonical::Int(right)) => Some(left.cmp(&right)),
        (left @ (Canonical::Int(_) | Canonical::Decimal(_)), right @ (Canonical::Int(_) | Canonical::Decimal(_))) => {
            number::order(&digits(left)?, &digits(right)?)
        }
        (Canonical::Float(left), Canonical::Float(right)) => f64::from_bits(left).partial_cmp(&f64::from_bits(right)),
        (Canonical::Bool(left), Canonical::Bool(right)) => Some(left.cmp(&right)),
        (Canonical::Text(left), Canonical::Text(right)) => Some(left.cmp(&right)),
        (Canonical::Uuid(left), Canonical::Uuid(right)) => Some(left.cmp(&right)),
        (Canonical::Date(left), Canonical::Date(right)) | (Canonical::Time(left), Canonical::Time(right)) => {
            Some(left.cmp(&right))
        }
        (Canonical::Local(secs, nanos), Canonical::Local(other, rest))
        | (Canonical::Instant(secs, nanos), Canonical::Instant(other, rest)) => Some((secs, nanos).cmp(&(other, rest))),
        (Canonical::Infinity(left), Canonical::Infinity(right)) => Some(left.cmp(&right)),
        (Canonical::Infinity(sign), _) => Some(sign.cmp(&0)),
        (_, Canonical::Infinity(sign)) => Some(0.cmp(&sign)),
        (_, _) => None,
    }
}

fn digits(value: Canonical<'_>) -> Option<Cow<'_, str>> {
    match value {
        Canonical::Int(value) => Some(Cow::Owned(value.to_string())),
        Canonical::Decimal(text) => Some(text),
        Canonical::Null
        | Canonical::Bool(_)
        | Canonical::Float(_)
        | Canonical::Text(_)
        | Canonical::Bytes(_)
        | Canonical::Date(_)
        | Canonical::Time(_)
        | Canonical::Local(..)
        | Canonical::Instant(..)
        | Canonical::Infinity(_)
        | Canonical::Uuid(_)
        | Canonical::Json(_) => None,
    }
}

/// One sign of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Any,
    One,
    Own(char),
}

fn is_like(text: &str, pattern: &Pattern) -> bool {
    let cased = |text: &str| match pattern.case {
        Case::Told => text.to_owned(),
        Case::Ignored => text.to_lowercase(),
    };
    let (text, written) = (cased(text), cased(&pattern.text));
    let escape = pattern.escape.map(|escape| match pattern.case {
        Case::Told => escape,
        Case::Ignored => escape.to_lowercase().next().unwrap_or(escape),
    });
    let mut signs = Vec::new();
    let mut rest = written.chars();
    while let Some(sign) = rest.next() {
        signs.push(match sign {
            sign if Some(sign) == escape => Sign::Own(rest.next().unwrap_or(sign)),
            '%' => Sign::Any,
            '_' => Sign::One,
            own => Sign::Own(own),
        });
    }
    matches(&text.chars().collect::<Vec<_>>(), &signs)
}

/// Goes back to the last `%` alone, so that it takes no longer than text times pattern.
fn matches(text: &[char], signs: &[Sign]) -> bool {
    let (mut at, mut sign, mut back) = (0, 0, None);
    while at < text.len() {
        match signs.get(sign) {
            Some(Sign::Any) => {
                back = Some((at, sign));
                sign += 1;
            }
            Some(Sign::One) => (at, sign) = (at + 1, sign + 1),
            Some(Sign::Own(own)) if *own == text[at] => (at, sign) = (at + 1, sign + 1),
            Some(Sign::Own(_)) | None => {
                let Some((from, any)) = back else { return false };
                back = Some((from + 1, any));
                (at, sign) = (from + 1, any + 1);
            }
        }
    }
    signs[sign..].iter().all(|sign| *sign == Sign::Any)
}
