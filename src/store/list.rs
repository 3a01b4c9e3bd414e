//! Which records a list shows and in which order: what filters and sorting mean, decided here for every store. A
//! database may look for candidates as it likes; what matches is what this says.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Filter, Flags, Held, Listed, Operator, Query, Sort, SortKey, StoreError};
use crate::domain::ids::RecordId;
use crate::domain::json::{Decimal, equal};

/// The value at property names down from a document.
fn value_at<'a>(document: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, name| value.as_object()?.get(name))
}

/// What a list asks of a record.
pub(super) trait Candidate {
    fn id(&self) -> RecordId;
    fn seq(&self) -> u64;
    fn flags(&self) -> Flags;
    /// The document, or as much of it as a query looks at.
    fn looked_at(&self, query: &Query) -> Cow<'_, Value>;
}

impl Candidate for Held {
    fn id(&self) -> RecordId {
        self.id
    }

    fn seq(&self) -> u64 {
        self.seq
    }

    fn flags(&self) -> Flags {
        self.flags
    }

    fn looked_at(&self, _: &Query) -> Cow<'_, Value> {
        Cow::Borrowed(&self.document.value)
    }
}

impl Candidate for Listed {
    fn id(&self) -> RecordId {
        self.id
    }

    fn seq(&self) -> u64 {
        self.seq
    }

    fn flags(&self) -> Flags {
        self.flags
    }

    fn looked_at(&self, query: &Query) -> Cow<'_, Value> {
        let filters = query.filters.iter().map(|filter| filter.path.as_slice());
        let sorts = query.sort.iter().filter_map(|sort| match &sort.by {
            SortKey::Field(path) => Some(path.as_slice()),
            SortKey::Changed => None,
        });
        let paths: Vec<&[String]> = filters.chain(sorts).collect();
        let names: Option<Vec<&str>> = paths.iter().map(|path| Some(path.first()?.as_str())).collect();
        let value = match names {
            Some(names) => {
                let mut reader = serde_json::Deserializer::from_str(&self.document);
                reader.deserialize_map(Picked(&names))
            }
            // the document as a whole is looked at
            None => serde_json::from_str(&self.document),
        };
        // the store read it as JSON before it wrote it
        Cow::Owned(value.unwrap_or_default())
    }
}

/// Reads the properties of these names and passes over the others.
struct Picked<'a>(&'a [&'a str]);

impl<'de> Visitor<'de> for Picked<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut picked = Map::new();
        while let Some(name) = members.next_key_seed(Name(self.0))? {
            match name {
                Some(name) => picked.insert(name.to_owned(), members.next_value()?),
                None => members.next_value::<IgnoredAny>().map(|_| None)?,
            };
        }
        Ok(Value::Object(picked))
    }
}

/// Finds which of these names a name is, without a copy of it.
struct Name<'a>(&'a [&'a str]);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|known| **known == name).copied())
    }
}

pub(super) fn matches(query: &Query, candidate: &impl Candidate) -> bool {
    if candidate.flags().has(Flags::BINNED) != query.binned {
        return false;
    }
    if query.filters.is_empty() {
        return true;
    }
    let document = candidate.looked_at(query);
    query.filters.iter().all(|filter| holds(filter, value_at(&document, &filter.path)))
}

fn holds(filter: &Filter, value: Option<&Value>) -> bool {
    let wanted = &filter.value;
    match filter.operator {
        Operator::Equal => value.is_some_and(|value| equal(value, wanted)),
        Operator::NotEqual => !value.is_some_and(|value| equal(value, wanted)),
        Operator::Less => compare(value, wanted).is_some_and(Ordering::is_lt),
        Operator::LessOrEqual => compare(value, wanted).is_some_and(Ordering::is_le),
        Operator::Greater => compare(value, wanted).is_some_and(Ordering::is_gt),
        Operator::GreaterOrEqual => compare(value, wanted).is_some_and(Ordering::is_ge),
        Operator::In => {
            let any = |value: &Value| wanted.as_array().is_some_and(|list| list.iter().any(|one| equal(value, one)));
            value.is_some_and(any)
        }
        Operator::Contains => match value {
            Some(Value::String(text)) => {
                text_of(wanted).is_some_and(|part| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
            }
            Some(Value::Array(items)) => items.iter().any(|item| equal(item, wanted)),
            _ => false,
        },
        Operator::Starts => match value {
            Some(Value::String(text)) => text_of(wanted).is_some_and(|start| text.starts_with(&start)),
            _ => false,
        },
        Operator::Empty => value.is_none_or(Value::is_null) != (*wanted == Value::Bool(false)),
    }
}

/// What is looked for in a text: a text, or a number as it was typed.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Numbers by value and texts by code point; nothing else has an order.
fn compare(value: Option<&Value>, wanted: &Value) -> Option<Ordering> {
    match (value?, wanted) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => {
            Decimal::parse(&a.to_string())?.partial_cmp(&Decimal::parse(&b.to_string())?)
        }
        _ => None,
    }
}

/// What a value is sorted by. Truth values stand among the numbers as 0 and 1, lists and objects among the texts as
/// their JSON, and numbers beyond a double's digits where the nearest double stands: as SQLite has it in its indexes.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    Number(Number),
    Text(String),
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Whole(i64),
    Real(f64),
}

fn place(value: Option<&Value>) -> Place {
    match value {
        None | Some(Value::Null) => Place::Empty,
        Some(Value::Bool(truth)) => Place::Number(Number::Whole(i64::from(*truth))),
        Some(Value::Number(number)) => Place::Number(number_of(&number.to_string())),
        Some(Value::String(text)) => Place::Text(text.clone()),
        Some(other) => Place::Text(other.to_string()),
    }
}

fn number_of(text: &str) -> Number {
    match text.parse() {
        Ok(whole) => Number::Whole(whole),
        Err(_) => Number::Real(text.parse().unwrap_or(f64::INFINITY)),
    }
}

fn compare_numbers(a: Number, b: Number) -> Ordering {
    match (a, b) {
        (Number::Whole(a), Number::Whole(b)) => a.cmp(&b),
        (Number::Real(a), Number::Real(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Number::Whole(a), Number::Real(b)) => compare_mixed(a, b),
        (Number::Real(a), Number::Whole(b)) => compare_mixed(b, a).reverse(),
    }
}

/// Exactly, though a whole number may have more digits than a double.
fn compare_mixed(whole: i64, real: f64) -> Ordering {
    if real >= 9_223_372_036_854_775_808.0 {
        Ordering::Less
    } else if real < -9_223_372_036_854_775_808.0 {
        Ordering::Greater
    } else {
        let trunc = real.trunc();
        whole.cmp(&(trunc as i64)).then_with(|| 0.0f64.partial_cmp(&(real - trunc)).unwrap_or(Ordering::Equal))
    }
}

fn compare_places(a: &Place, b: &Place, descending: bool) -> Ordering {
    let order = match (a, b) {
        (Place::Empty, Place::Empty) => return Ordering::Equal,
        // last, either way
        (Place::Empty, _) => return Ordering::Greater,
        (_, Place::Empty) => return Ordering::Less,
        (Place::Number(a), Place::Number(b)) => compare_numbers(*a, *b),
        (Place::Number(_), Place::Text(_)) => Ordering::Less,
        (Place::Text(_), Place::Number(_)) => Ordering::Greater,
        (Place::Text(a), Place::Text(b)) => a.cmp(b),
    };
    if descending { order.reverse() } else { order }
}

/// Where a record stands in a list: the values it is sorted by, and its id as the last word, in the direction of the
/// first of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Of which list.
    #[serde(rename = "l")]
    list: String,
    #[serde(rename = "k")]
    pub keys: Vec<Value>,
    #[serde(rename = "i")]
    pub id: uuid::Uuid,
}

impl Position {
    pub fn of(query: &Query, candidate: &impl Candidate) -> Self {
        let document = candidate.looked_at(query);
        let key = |sort: &Sort| match &sort.by {
            SortKey::Field(path) => value_at(&document, path).cloned().unwrap_or_default(),
            SortKey::Changed => Value::from(candidate.seq()),
        };
        Self { list: fingerprint(query), keys: query.sort.iter().map(key).collect(), id: candidate.id() }
    }

    pub fn parse(query: &Query, text: &str) -> Result<Self, StoreError> {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| StoreError::Cursor)?;
        let position: Position = serde_json::from_slice(&bytes).map_err(|_| StoreError::Cursor)?;
        let fits = position.list == fingerprint(query) && position.keys.len() == query.sort.len();
        if fits { Ok(position) } else { Err(StoreError::Cursor) }
    }

    pub fn cursor(&self) -> String {
        let bytes = serde_json::to_vec(self).expect("JSON values and texts can be written as JSON");
        data_encoding::BASE64URL_NOPAD.encode(&bytes)
    }

    /// The order of a list.
    pub fn compare(&self, other: &Self, sort: &[Sort]) -> Ordering {
        for ((a, b), sort) in self.keys.iter().zip(&other.keys).zip(sort) {
            let order = compare_places(&place(Some(a)), &place(Some(b)), sort.descending);
            if order.is_ne() {
                return order;
            }
        }
        let order = self.id.cmp(&other.id);
        if sort.first().is_some_and(|first| first.descending) { order.reverse() } else { order }
    }
}

/// A cursor of one list says nothing about another.
fn fingerprint(query: &Query) -> String {
    let text = format!("{:?}", (&query.type_name, &query.filters, &query.sort, query.binned));
    blake3::hash(text.as_bytes()).to_hex()[..12].to_owned()
}
