//! What a query means, said once in Rust: the model store answers by it, and cursors are read and written here.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::{Filter, Held, Operator, Page, Query, SortKey, StoreError};
use crate::domain::ids::RecordId;
use crate::domain::json::{self, Decimal};

/// Where a page ended: the values of the sort keys of its last record, and its id.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Position {
    pub values: Vec<Value>,
    pub id: RecordId,
}

impl Position {
    pub fn write(&self) -> String {
        data_encoding::BASE64URL_NOPAD.encode(json!([self.values, self.id]).to_string().as_bytes())
    }

    /// Reads what [`Position::write`] made for a query with as many sort keys.
    pub fn read(text: &str, keys: usize) -> Result<Self, StoreError> {
        let read = || {
            let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
            let (values, id) = serde_json::from_slice::<(Vec<Value>, RecordId)>(&bytes).ok()?;
            (values.len() == keys).then_some(Self { values, id })
        };
        read().ok_or(StoreError::Cursor)
    }

    pub fn of(held: &Held, query: &Query) -> Self {
        Self { values: query.sort.iter().map(|sort| key_of(held, &sort.by)).collect(), id: held.id }
    }
}

/// What a record is sorted by; `null` where it has no scalar there.
pub(super) fn key_of(held: &Held, by: &SortKey) -> Value {
    match by {
        SortKey::Changed => json!(held.seq),
        SortKey::Field(path) => match at(&held.document.value, path) {
            Some(value @ (Value::Number(_) | Value::String(_) | Value::Bool(_))) => value.clone(),
            _ => Value::Null,
        },
    }
}

pub(super) fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.as_object()?.get(name))
}

/// False, true, numbers, texts; what has no order is equal.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    let class = |value: &Value| match value {
        Value::Bool(_) | Value::Number(_) => 0,
        Value::String(_) => 1,
        _ => 2,
    };
    let number = |value: &Value| match value {
        Value::Bool(on) => Decimal::parse(if *on { "1" } else { "0" }),
        Value::Number(number) => Decimal::parse(&number.to_string()),
        _ => None,
    };
    class(a).cmp(&class(b)).then_with(|| match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => number(a).cmp(&number(b)),
    })
}

/// Records without a value come last, whichever way.
fn order(a: &Value, b: &Value, descending: bool) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if descending => compare(b, a),
        _ => compare(a, b),
    }
}

pub(super) fn matches(filter: &Filter, document: &Value) -> bool {
    let value = at(document, &filter.path);
    let filled = value.filter(|value| !value.is_null());
    let ordered = |wanted: &[Ordering]| {
        filled.is_some_and(|value| {
            let same_kind =
                (value.is_number() && filter.value.is_number()) || (value.is_string() && filter.value.is_string());
            same_kind && wanted.contains(&compare(value, &filter.value))
        })
    };
    match filter.operator {
        Operator::Equal => value.is_some_and(|value| json::equal(value, &filter.value)),
        Operator::NotEqual => !value.is_some_and(|value| json::equal(value, &filter.value)),
        Operator::Less => ordered(&[Ordering::Less]),
        Operator::LessOrEqual => ordered(&[Ordering::Less, Ordering::Equal]),
        Operator::Greater => ordered(&[Ordering::Greater]),
        Operator::GreaterOrEqual => ordered(&[Ordering::Greater, Ordering::Equal]),
        Operator::In => {
            let wanted = filter.value.as_array().map(Vec::as_slice).unwrap_or_default();
            value.is_some_and(|value| wanted.iter().any(|wanted| json::equal(value, wanted)))
        }
        Operator::Contains => match (filled, &filter.value) {
            (Some(Value::String(text)), Value::String(part)) => {
                text.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
            }
            (Some(Value::Array(items)), part) => items.iter().any(|item| json::equal(item, part)),
            _ => false,
        },
        Operator::Starts => match (filled, &filter.value) {
            (Some(Value::String(text)), Value::String(part)) => text.starts_with(part.as_str()),
            _ => false,
        },
        Operator::Empty => filled.is_none() == (filter.value != json!(false)),
    }
}

/// Answers a query over all records of its type.
pub(super) fn answer(all: impl Iterator<Item = Held>, query: &Query) -> Result<Page, StoreError> {
    let after = query.cursor.as_deref().map(|text| Position::read(text, query.sort.len())).transpose()?;
    let place = |a: &Position, b: &Position| {
        let keys = query.sort.iter().zip(a.values.iter().zip(&b.values));
        keys.map(|(sort, (a, b))| order(a, b, sort.descending)).find(|order| order.is_ne()).unwrap_or_else(|| {
            let descending = query.sort.first().is_some_and(|sort| sort.descending);
            if descending { b.id.cmp(&a.id) } else { a.id.cmp(&b.id) }
        })
    };
    let mut found: Vec<(Position, Held)> = all
        .filter(|held| held.state.exists() && held.state.is_binned() == query.binned)
        .filter(|held| query.filters.iter().all(|filter| matches(filter, &held.document.value)))
        .map(|held| (Position::of(&held, query), held))
        .filter(|(position, _)| after.as_ref().is_none_or(|after| place(position, after).is_gt()))
        .collect();
    found.sort_by(|a, b| place(&a.0, &b.0));
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let next = if more { found.last().map(|(position, _)| position.write()) } else { None };
    Ok(Page { items: found.into_iter().map(|(_, held)| held).collect(), next })
}
