//! Lists: from a query to statements that find candidates in its order. What matches is decided by
//! [`crate::store::list`]; a condition here may let too much through and never too little.
//!
//! What people named is text in these statements only as a quoted literal; values are bound.

use std::fmt::Write;

use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::index::Plan;
use super::rows::{self, Decoded, columns};
use super::writer::{Job, Work};
use super::{Sqlite, failed};
use crate::domain::json::Decimal;
use crate::store::list::{Position, matches, text_of};
use crate::store::{Filter, Operator, Page, Query, SortKey, StoreError};

/// At most so many candidates at once, where many do not match.
const BATCH: usize = 500;
/// At most so many alternatives of one filter are looked for in the database.
const ALTERNATIVES: usize = 64;

impl Sqlite {
    pub(super) async fn read_list<T: Decoded>(&self, query: &Query) -> Result<Page<T>, StoreError> {
        let mut after = query.cursor.as_deref().map(|text| Position::parse(query, text)).transpose()?;
        let Some(type_ordinal) = self.names().types.find(&query.type_name) else { return Ok(Page::default()) };
        let mut index = self.index_for(query, type_ordinal);
        let mut items: Vec<T> = Vec::new();
        let wanted = query.limit.saturating_add(1);
        for phase in phases(query) {
            if !phase.reaches(after.as_ref()) {
                continue;
            }
            let mut batch = wanted - items.len();
            loop {
                let statement = Statement::of(query, type_ordinal, phase, after.as_ref(), batch, index.as_deref());
                let found: Vec<T> = match self.candidates(statement).await {
                    // it was dropped meanwhile
                    Err(StoreError::Database(_)) if index.is_some() => {
                        index = None;
                        continue;
                    }
                    found => found?,
                };
                let count = found.len();
                if count == batch {
                    after = found.last().map(|last| Position::of(query, last)).or(after);
                }
                items.extend(found.into_iter().filter(|one| matches(query, one)));
                if items.len() >= wanted {
                    items.truncate(query.limit);
                    let next = items.last().map(|last| Position::of(query, last).cursor());
                    return Ok(Page { items, next });
                }
                if count < batch {
                    break;
                }
                batch = BATCH.max(wanted - items.len());
            }
        }
        Ok(Page { items, next: None })
    }

    async fn candidates<T: Decoded>(&self, statement: Statement) -> Result<Vec<T>, StoreError> {
        // put together below; what people named is quoted, what they look for is bound
        let mut query = sqlx::query(AssertSqlSafe(statement.sql));
        for bound in statement.bound {
            query = match bound {
                Bound::Int(number) => query.bind(number),
                Bound::Real(number) => query.bind(number),
                Bound::Text(text) => query.bind(text),
                Bound::Blob(bytes) => query.bind(bytes),
            };
        }
        let row = query.fetch_one(&self.readers).await.map_err(failed)?;
        let names = self.names();
        rows::lines(&row, 0, &names)?.iter().map(|line| T::of(line, &names)).collect()
    }

    /// The index to read along; if it is not there and would help, the writer is asked for it.
    fn index_for(&self, query: &Query, type_ordinal: i64) -> Option<String> {
        if query.binned {
            return Some("record_binned".into());
        }
        let plan = Plan { type_ordinal, terms: terms(query)? };
        let found = self.shared.lists.find(&plan);
        if found.is_none() && self.shared.lists.ask(&plan) {
            let (answer, _) = tokio::sync::oneshot::channel();
            if self.jobs.try_send(Job { work: Work::Index(plan.clone()), answer }).is_err() {
                // the writer is busy; the next reader asks again
                self.shared.lists.decline(&plan);
            }
        }
        found
    }
}

/// The index along which a list can be read: what is to be equal, then what it is sorted by.
fn terms(query: &Query) -> Option<Vec<String>> {
    let mut equal: Vec<String> = query
        .filters
        .iter()
        .filter(|filter| filter.operator == Operator::Equal && !filter.value.is_array() && !filter.value.is_object())
        .filter_map(|filter| plain(&filter.path))
        .collect();
    equal.sort();
    equal.dedup();
    equal.truncate(2);
    match query.sort.first().map(|sort| &sort.by) {
        Some(SortKey::Field(path)) => equal.extend(plain(path)),
        Some(SortKey::Changed) => equal.push("seq".into()),
        None => {}
    }
    (!equal.is_empty()).then_some(equal)
}

/// Records with a value to sort by come first, in their order; then those without.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Whole,
    Valued,
    Empty,
}

fn phases(query: &Query) -> &'static [Phase] {
    match query.sort.first().map(|sort| &sort.by) {
        Some(SortKey::Field(_)) => &[Phase::Valued, Phase::Empty],
        Some(SortKey::Changed) | None => &[Phase::Whole],
    }
}

impl Phase {
    /// Whether any of it lies behind a position.
    fn reaches(self, after: Option<&Position>) -> bool {
        let past = after.and_then(|position| position.keys.first()).is_some_and(Value::is_null);
        self != Phase::Valued || !past
    }
}

enum Bound {
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

struct Statement {
    sql: String,
    bound: Vec<Bound>,
}

/// One step of the order, and what a position has there.
struct Term {
    sql: String,
    descending: bool,
    at: Option<String>,
}

impl Statement {
    fn of(
        query: &Query,
        type_ordinal: i64,
        phase: &Phase,
        after: Option<&Position>,
        limit: usize,
        index: Option<&str>,
    ) -> Self {
        let mut statement = Self { sql: String::new(), bound: Vec::new() };
        let bin = u8::from(query.binned);
        let mut conditions = vec![format!("type = {type_ordinal}"), format!("flags & 1 = {bin}")];
        conditions.extend(query.filters.iter().filter_map(|filter| statement.condition(filter)));
        // a position in the phase before says nothing about this one
        let after = after.filter(|after| *phase != Phase::Empty || after.keys.first().is_some_and(Value::is_null));
        let terms = statement.order(query, phase, after);
        if let Some(SortKey::Field(path)) = query.sort.first().map(|sort| &sort.by) {
            let not = if *phase == Phase::Valued { "not " } else { "" };
            conditions.push(format!("{} is {not}null", expression(path)));
        }
        if after.is_some() {
            conditions.extend(beyond(&terms));
        }
        let order: Vec<String> =
            terms.iter().map(|term| format!("{}{}", term.sql, if term.descending { " desc" } else { "" })).collect();
        let limit = statement.bind(Bound::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
        let along = index.map(|name| format!(" indexed by {name}")).unwrap_or_default();
        let (conditions, order) = (conditions.join(" and "), order.join(", "));
        statement.sql = format!(
            "select {} from (select * from record{along} where {conditions} order by {order} limit {limit})",
            columns!()
        );
        statement
    }

    fn bind(&mut self, bound: Bound) -> String {
        self.bound.push(bound);
        format!("?{}", self.bound.len())
    }

    /// A value of a document as SQLite has it, the very same way it reads the document.
    fn bind_value(&mut self, value: &Value) -> String {
        match value {
            Value::String(text) => self.bind(Bound::Text(text.clone())),
            other => format!("({} ->> '$')", self.bind(Bound::Text(other.to_string()))),
        }
    }

    fn order(&mut self, query: &Query, phase: &Phase, after: Option<&Position>) -> Vec<Term> {
        let mut terms = Vec::new();
        for (at, sort) in query.sort.iter().enumerate() {
            let key = after.and_then(|after| after.keys.get(at));
            let descending = sort.descending;
            match &sort.by {
                SortKey::Changed => {
                    let at = key.and_then(Value::as_i64).map(|seq| self.bind(Bound::Int(seq)));
                    terms.push(Term { sql: "seq".into(), descending, at });
                }
                SortKey::Field(_) if at == 0 && *phase == Phase::Empty => {}
                SortKey::Field(path) => {
                    let sql = expression(path);
                    let empty = key.is_some_and(Value::is_null);
                    if at > 0 {
                        let at = key.map(|_| u8::from(empty).to_string());
                        terms.push(Term { sql: format!("({sql} is null)"), descending: false, at });
                    }
                    // among those without a value there is no order by it
                    let at = key.filter(|_| !empty).map(|key| self.bind_value(key));
                    terms.push(Term { sql, descending, at });
                }
            }
        }
        let at = after.map(|after| self.bind(Bound::Blob(after.id.as_bytes().to_vec())));
        let descending = query.sort.first().is_some_and(|first| first.descending);
        terms.push(Term { sql: "id".into(), descending, at });
        terms
    }

    /// What every record that matches fulfils; none if SQLite cannot tell.
    fn condition(&mut self, filter: &Filter) -> Option<String> {
        let key = expression(&filter.path);
        let value = &filter.value;
        match filter.operator {
            Operator::Equal => Some(self.equal(&key, value)),
            Operator::NotEqual => None,
            Operator::In => {
                let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
                if list.len() > ALTERNATIVES {
                    return None;
                }
                let any: Vec<String> = list.iter().map(|one| self.equal(&key, one)).collect();
                Some(if any.is_empty() { "false".into() } else { format!("({})", any.join(" or ")) })
            }
            Operator::Less | Operator::LessOrEqual => match value {
                Value::Number(number) => {
                    let (_, high) = self.around(&number.to_string());
                    Some(format!("{key} <= {high}"))
                }
                Value::String(text) => {
                    Some(format!("{key} >= '' and {key} <= {}", self.bind(Bound::Text(text.clone()))))
                }
                _ => Some("false".into()),
            },
            Operator::Greater | Operator::GreaterOrEqual => match value {
                Value::Number(number) => {
                    let (low, _) = self.around(&number.to_string());
                    Some(format!("{key} >= {low} and {key} < ''"))
                }
                Value::String(text) => Some(format!("{key} >= {}", self.bind(Bound::Text(text.clone())))),
                _ => Some("false".into()),
            },
            Operator::Contains => match text_of(value) {
                Some(part) if value.is_string() && !part.chars().any(is_escaped) => {
                    let part = self.bind(Bound::Text(part));
                    Some(format!("instr(lower({key}), lower({part})) > 0"))
                }
                _ => Some(format!("{key} is not null")),
            },
            Operator::Starts => {
                let Some(start) = text_of(value) else { return Some("false".into()) };
                let above = above_all_that_start(&start);
                let mut condition = format!("{key} >= {}", self.bind(Bound::Text(start)));
                if let Some(above) = above {
                    let above = self.bind(Bound::Text(above));
                    let _ = write!(condition, " and {key} < {above}");
                }
                Some(condition)
            }
            Operator::Empty if *value == Value::Bool(false) => Some(format!("{key} is not null")),
            Operator::Empty => Some(format!("{key} is null")),
        }
    }

    fn equal(&mut self, key: &str, value: &Value) -> String {
        match value {
            Value::Null => format!("{key} is null"),
            Value::Bool(truth) => format!("{key} = {}", u8::from(*truth)),
            Value::String(text) => format!("{key} = {}", self.bind(Bound::Text(text.clone()))),
            Value::Number(number) => match number.to_string().parse::<i64>() {
                Ok(whole) if whole.unsigned_abs() <= 1 << 53 => format!("{key} = {}", self.bind(Bound::Int(whole))),
                _ => {
                    let (low, high) = self.around(&number.to_string());
                    format!("{key} between {low} and {high}")
                }
            },
            Value::Array(_) | Value::Object(_) => format!("{key} is not null"),
        }
    }

    /// Doubles that are surely below and above a number, whoever rounds it.
    fn around(&mut self, text: &str) -> (String, String) {
        let near: f64 = text.parse().unwrap_or(0.0);
        let exact = Decimal::parse(text).is_some();
        let (low, high) = if exact && near.is_finite() {
            (near.next_down().next_down(), near.next_up().next_up())
        } else {
            (f64::NEG_INFINITY, f64::INFINITY)
        };
        (self.bind(Bound::Real(low)), self.bind(Bound::Real(high)))
    }
}

/// What lies behind a position: later in the first step in which it differs.
fn beyond(terms: &[Term]) -> Option<String> {
    let known: Vec<(&Term, &String)> = terms.iter().filter_map(|term| Some((term, term.at.as_ref()?))).collect();
    let mut ways = Vec::new();
    for (depth, (term, at)) in known.iter().enumerate() {
        let mut way: Vec<String> = known[..depth].iter().map(|(term, at)| format!("{} = {at}", term.sql)).collect();
        way.push(format!("{} {} {at}", term.sql, if term.descending { "<" } else { ">" }));
        ways.push(format!("({})", way.join(" and ")));
    }
    let (first, at) = known.first()?;
    // said by the rest as well, but this is what an index can jump to
    let bound = format!("{} {} {at}", first.sql, if first.descending { "<=" } else { ">=" });
    Some(format!("{bound} and ({})", ways.join(" or ")))
}

/// Whether JSON text writes a character otherwise than it is.
fn is_escaped(c: char) -> bool {
    c == '"' || c == '\\' || c.is_control()
}

/// The first text after all that start with this one.
fn above_all_that_start(start: &str) -> Option<String> {
    let mut above = start.to_owned();
    while let Some(last) = above.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(last as u32 + 1),
        };
        if let Some(next) = next {
            above.push(next);
            return Some(above);
        }
    }
    None
}

/// The value at a path as an expression that an index can be made over; none for names that no JSON path can say.
fn plain(path: &[String]) -> Option<String> {
    if path.is_empty() || path.iter().any(|name| name.is_empty() || name.chars().any(is_escaped)) {
        return None;
    }
    let steps: String = path.iter().map(|name| format!(".\"{name}\"")).collect();
    Some(format!("doc ->> '${}'", steps.replace('\'', "''")))
}

/// The value at a path, whatever it is called.
fn expression(path: &[String]) -> String {
    if let Some(plain) = plain(path) {
        return format!("({plain})");
    }
    let mut tables = Vec::new();
    let mut conditions = Vec::new();
    for (at, name) in path.iter().enumerate() {
        let from = if at == 0 { "record.doc".to_owned() } else { format!("e{}.value", at - 1) };
        tables.push(format!("json_each({from}) as e{at}"));
        let literal = data_encoding::HEXUPPER.encode(name.as_bytes());
        conditions.push(format!("e{at}.key = cast(x'{literal}' as text)"));
        if at + 1 < path.len() {
            conditions.push(format!("e{at}.type = 'object'"));
        }
    }
    let Some(last) = path.len().checked_sub(1) else { return "(doc ->> '$')".into() };
    format!("(select e{last}.value from {} where {})", tables.join(" cross join "), conditions.join(" and "))
}
