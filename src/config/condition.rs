//! `where`: a condition on the rows of a table, written in SQL.
//!
//! The columns are those of the tap. What a row alone tells can be asked of it: comparisons, `in`, `between`, `like`, `ilike`,
//! `is null`, `is [not] distinct from`, truth values, and `and`, `or`, `not` of these. Nothing else is: what needs a function, a
//! query or the time of day has another answer for the applier than for us.

use sqlparser::ast::{BinaryOperator, Expr, InTarget, UnaryOperator, Value};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::model::Condition;
use crate::model::condition::{Case, Comparison, Operand, Pattern};

/// Levels of brackets and operators that a condition may have.
const DEEPEST: usize = 64;

/// What a condition is made of, for people.
const GRAMMAR: &str =
    "comparisons of columns with values, `in (…)`, `between`, `like`, `is null`, and `and`, `or`, `not` of these";

/// Reads a condition.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn parse(text: &str) -> Result<Condition, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        let error = error.to_string();
        let error = error.trim_start_matches("sql parser error: ").trim_end_matches('.');
        format!("no condition: {error}; expected {GRAMMAR}")
    };
    let parser = Parser::new(&GenericDialect {}).with_recursion_limit(DEEPEST);
    let mut parser = parser.try_with_sql(text).map_err(|error| wrong(&error))?;
    let expression = parser.parse_expr().map_err(|error| wrong(&error))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(wrong(&format!("`{}` stands behind its end", rest.token)));
    }
    condition(&expression)
}

fn refused(expression: &Expr) -> String {
    format!("`{expression}` cannot be asked of a row: expected {GRAMMAR}")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all of SQL's expressions but these are refused")]
fn condition(expression: &Expr) -> Result<Condition, String> {
    let of = |inner: &Expr| condition(inner).map(Box::new);
    Ok(match expression {
        Expr::Nested(inner) => return condition(inner),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Condition::Not(of(expr)?),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => Condition::And(of(left)?, of(right)?),
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => Condition::Or(of(left)?, of(right)?),
        Expr::BinaryOp { left, op, right } => {
            let comparison = comparison(op).ok_or_else(|| refused(expression))?;
            Condition::Compare(operand(left)?, comparison, operand(right)?)
        }
        Expr::IsNull(inner) => Condition::IsNull(operand(inner)?),
        Expr::IsNotNull(inner) => not(Condition::IsNull(operand(inner)?)),
        Expr::IsTrue(inner) => Condition::Is(of(inner)?, true),
        Expr::IsNotTrue(inner) => not(Condition::Is(of(inner)?, true)),
        Expr::IsFalse(inner) => Condition::Is(of(inner)?, false),
        Expr::IsNotFalse(inner) => not(Condition::Is(of(inner)?, false)),
        Expr::IsNotDistinctFrom(left, right) => Condition::Same(operand(left)?, operand(right)?),
        Expr::IsDistinctFrom(left, right) => not(Condition::Same(operand(left)?, operand(right)?)),
        Expr::In { expr, target: InTarget::List(list), negated, global: false } => {
            let list: Result<Vec<Operand>, String> = list.iter().map(operand).collect();
            negated_if(*negated, Condition::In(operand(expr)?, list?))
        }
        Expr::Between { expr, negated, low, high } => {
            let value = operand(expr)?;
            let from = Condition::Compare(value.clone(), Comparison::AtLeast, operand(low)?);
            let to = Condition::Compare(value, Comparison::AtMost, operand(high)?);
            negated_if(*negated, Condition::And(Box::new(from), Box::new(to)))
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            like(*negated, (expr, pattern), escape_char.as_deref(), Case::Told)?
        }
        Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
            like(*negated, (expr, pattern), escape_char.as_deref(), Case::Ignored)?
        }
        Expr::Identifier(_) | Expr::Value(_) => Condition::Holds(truth(expression)?),
        _ => return Err(refused(expression)),
    })
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn negated_if(negated: bool, condition: Condition) -> Condition {
    if negated { not(condition) } else { condition }
}

/// A column, or a written truth value.
fn truth(expression: &Expr) -> Result<Operand, String> {
    match operand(expression)? {
        value @ (Operand::Column(_) | Operand::Bool(_) | Operand::Null) => Ok(value),
        Operand::Number(_) | Operand::Text(_) => Err(refused(expression)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all of SQL's operators but these are refused")]
fn comparison(operator: &BinaryOperator) -> Option<Comparison> {
    Some(match operator {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::AtMost,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::AtLeast,
        _ => return None,
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all of SQL's expressions but these are refused")]
fn operand(expression: &Expr) -> Result<Operand, String> {
    match expression {
        Expr::Nested(inner) => operand(inner),
        Expr::Identifier(name) => Ok(Operand::Column(name.value.as_str().into())),
        Expr::Value(value) => written(&value.value).ok_or_else(|| refused(expression)),
        Expr::TypedString(typed) => written(&typed.value.value).ok_or_else(|| refused(expression)),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match operand(expr)? {
            Operand::Number(digits) if !digits.starts_with('-') => Ok(Operand::Number(format!("-{digits}").into())),
            _ => Err(refused(expression)),
        },
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => operand(expr),
        _ => Err(refused(expression)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all of SQL's literals but these are refused")]
fn written(value: &Value) -> Option<Operand> {
    Some(match value {
        Value::Number(digits, _) => Operand::Number(digits.as_str().into()),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) | Value::NationalStringLiteral(text) => {
            Operand::Text(text.as_str().into())
        }
        Value::Boolean(value) => Operand::Bool(*value),
        Value::Null => Operand::Null,
        _ => return None,
    })
}

fn like(
    negated: bool,
    (value, pattern): (&Expr, &Expr),
    escape: Option<&Expr>,
    case: Case,
) -> Result<Condition, String> {
    let Operand::Text(text) = operand(pattern)? else {
        return Err(format!("`like {pattern}`: expected a pattern between single quotes"));
    };
    let escape = match escape.map(operand).transpose()? {
        // What PostgreSQL and MySQL take where nothing is said.
        None => Some('\\'),
        Some(Operand::Text(escape)) if escape.chars().count() <= 1 => escape.chars().next(),
        Some(_) => return Err("`escape`: expected one character between single quotes".into()),
    };
    Ok(negated_if(negated, Condition::Like(operand(value)?, Pattern { text, escape, case })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_tells_can_be_asked() {
        for (text, columns) in [
            ("region = 'eu'", "region"),
            ("NOT (\"Region\" <> 'eu' OR `n` >= -1.50) AND deleted_at IS NULL", "Region deleted_at n"),
            ("n BETWEEN 1 AND 10 and name not like 'a!_%' escape '!'", "n name"),
            ("kind in ('a', 'b', null) or is_open is not true", "is_open kind"),
            ("a is distinct from b", "a b"),
            ("created_at >= timestamp '2026-01-01 00:00:00' and d < DATE '2026-02-01'", "created_at d"),
            ("active", "active"),
            ("true", ""),
        ] {
            let condition = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(condition.columns().into_iter().collect::<Vec<_>>().join(" "), columns, "{text}");
        }
        let negative =
            Condition::Compare(Operand::Column("n".into()), Comparison::AtLeast, Operand::Number("-1.50".into()));
        assert_eq!(parse("n >= -1.50"), Ok(negative));
    }

    #[test]
    fn what_it_does_not_tell_is_refused_with_what_can_be_asked() {
        for (text, why) in [
            ("", "no condition: Expected: an expression, found: EOF"),
            ("region =", "no condition: Expected: an expression, found: EOF"),
            ("region = 'eu' region", "no condition: `region` stands behind its end"),
            ("created_at > now()", "`now()` cannot be asked of a row"),
            ("id in (select id from t)", "`id IN (SELECT id FROM t)` cannot be asked of a row"),
            ("a + 1 = 2", "`a + 1` cannot be asked of a row"),
            ("1", "`1` cannot be asked of a row"),
            ("t.a = 1", "`t.a` cannot be asked of a row"),
            ("a like b", "`like b`: expected a pattern between single quotes"),
            ("a like 'b' escape 'cc'", "`escape`: expected one character between single quotes"),
            ("a = - -1", "`- -1` cannot be asked of a row"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(why), "{text}: {error}");
        }
        let deep = format!("{}a = 1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(parse(&deep).is_err());
    }
}
