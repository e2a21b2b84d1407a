//! One comparison: an operand checked against the attribute's type, and values held against it.
//!
//! Nothing is converted to make it fit: the number 5 is never the text "5". The one exception is a boolean
//! written as text, which Entra ID sends (`roles[primary eq "True"]`).

use std::cmp::Ordering;

use serde_json::Value;

use super::{AttrPath, Operator};
use crate::{
    directory::fold,
    fault::{Fault, shown},
    schema::{Attribute, Type},
};

/// The right-hand side.
#[derive(Debug)]
pub(crate) enum Operand {
    /// Folded unless case matters.
    Text {
        text: String,
        exact: bool,
    },
    Boolean(bool),
    Number(serde_json::Number),
    Time(jiff::Timestamp),
    Null,
}

impl Operand {
    /// Checks `value` against the attribute. An attribute without a schema takes any type.
    pub(super) fn new(
        path: &AttrPath,
        schema: Option<&'static Attribute>,
        operator: Operator,
        value: &Value,
    ) -> Result<Self, Fault> {
        use Operator::{Co, Eq, Ew, Ne, Sw};
        let unfit = |what: &str| Err(Fault::InvalidFilter(format!("`{}` cannot be compared {what}", shown_path(path))));
        let wrong = |what: &str| Err(Fault::InvalidValue(format!("`{}` is compared with {what}", shown_path(path))));
        let equality = matches!(operator, Eq | Ne);
        let part = matches!(operator, Co | Sw | Ew);
        if value.is_null() {
            return if equality { Ok(Self::Null) } else { unfit("with null in this way") };
        }
        let kind = schema.map(|schema| schema.kind);
        match (kind, value) {
            (Some(Type::Boolean), _) if !equality => unfit("in this way: it is a boolean"),
            (Some(Type::Boolean) | None, Value::Bool(flag)) if equality => Ok(Self::Boolean(*flag)),
            (Some(Type::Boolean), Value::String(text)) => match boolean(text) {
                Some(flag) => Ok(Self::Boolean(flag)),
                None => wrong("a text that is neither true nor false"),
            },
            (Some(Type::Binary), _) if !equality && !part => unfit("by order: it is binary"),
            (Some(Type::DateTime), _) if part => unfit("in part: it is a time"),
            (Some(Type::DateTime), Value::String(text)) => match text.parse() {
                Ok(time) => Ok(Self::Time(time)),
                Err(_) => wrong("a text that is no RFC 3339 time"),
            },
            (Some(Type::String | Type::Reference | Type::Binary) | None, Value::String(text)) => {
                let exact = schema.is_some_and(|schema| schema.case_exact);
                Ok(Self::Text { text: if exact { text.clone() } else { fold(text) }, exact })
            }
            (Some(Type::Integer) | None, Value::Number(number)) if !part => Ok(Self::Number(number.clone())),
            (Some(Type::Complex), _) => unfit("as a whole"),
            (None, _) => unfit("in this way"),
            (Some(_), _) => wrong("a value of another type"),
        }
    }

    /// Whether one of the values fits. Without values only `ne x` and `eq null` are true.
    pub(super) fn matches(&self, operator: Operator, values: &[&Value]) -> bool {
        match (self, operator) {
            (Self::Null, Operator::Ne) => !values.is_empty(),
            (Self::Null, _) => values.is_empty(),
            (_, Operator::Ne) => values.is_empty() || values.iter().any(|value| !self.fits(Operator::Eq, value)),
            _ => values.iter().any(|value| self.fits(operator, value)),
        }
    }

    fn fits(&self, operator: Operator, value: &Value) -> bool {
        match (self, value) {
            (Self::Text { text, exact: true }, Value::String(value)) => text_fits(operator, value, text),
            (Self::Text { text, exact: false }, Value::String(value)) => text_fits(operator, &fold(value), text),
            (Self::Boolean(flag), Value::Bool(value)) => operator == Operator::Eq && flag == value,
            (Self::Number(number), Value::Number(value)) => {
                numbers(value, number).is_some_and(|order| ordered(operator, order))
            }
            (Self::Time(time), Value::String(value)) => {
                value.parse::<jiff::Timestamp>().is_ok_and(|value| ordered(operator, value.cmp(time)))
            }
            _ => false,
        }
    }
}

fn shown_path(path: &AttrPath) -> String {
    shown(&path.to_string())
}

/// A boolean as Entra ID writes it in text.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn text_fits(operator: Operator, value: &str, operand: &str) -> bool {
    match operator {
        Operator::Co => value.contains(operand),
        Operator::Sw => value.starts_with(operand),
        Operator::Ew => value.ends_with(operand),
        _ => ordered(operator, value.cmp(operand)),
    }
}

fn numbers(a: &serde_json::Number, b: &serde_json::Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn ordered(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}
