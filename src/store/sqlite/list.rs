//! A query as SQL, and the indexes that make it quick.
//!
//! Values are bound, names of fields stand in the text as string literals: an expression index is used only where the
//! statement repeats its expression. A name that JSON paths cannot say is reached through `json_each`, without an index.

use serde_json::Value;

use super::Bound;
use super::rows::COLUMNS;
use crate::store::query::Position;
use crate::store::{Filter, Operator, Query, SortKey, StoreError};

#[derive(Debug, Clone)]
pub(super) enum Bind {
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

pub(super) struct Statement {
    condition: String,
    order: String,
    values: Vec<Bind>,
}

impl Statement {
    pub fn sql(&self, limit: usize) -> String {
        format!("select {COLUMNS} from record where {} order by {} limit {limit}", self.condition, self.order)
    }

    pub fn values(&self) -> &[Bind] {
        &self.values
    }
}

pub(super) fn bind(query: Bound, value: &Bind) -> Bound {
    match value {
        Bind::Integer(value) => query.bind(*value),
        Bind::Real(value) => query.bind(*value),
        Bind::Text(value) => query.bind(value.clone()),
        Bind::Blob(value) => query.bind(value.clone()),
    }
}

/// One statement, or two where records without a value of the sort key come behind the others.
pub(super) struct Plan {
    statements: Vec<Statement>,
    indexes: Vec<String>,
}

impl Plan {
    pub fn of(query: &Query, ordinal: i64) -> Result<Self, StoreError> {
        let after = query.cursor.as_deref().map(|text| Position::read(text, query.sort.len())).transpose()?;
        let mut condition = format!("type = {ordinal} and flags & 1 = {}", i64::from(query.binned));
        let mut values = Vec::new();
        for filter in &query.filters {
            condition.push_str(" and ");
            filter_sql(filter, &mut condition, &mut values);
        }
        let base = Statement { condition, order: String::new(), values };
        let statements = match query.sort.as_slice() {
            [] => vec![by_id(base, after)],
            [one] => match &one.by {
                SortKey::Changed => vec![by_key(base, "seq", true, one.descending, after)],
                SortKey::Field(path) => {
                    let key = scalar(path);
                    let last = after.as_ref().is_some_and(|after| after.values[0].is_null());
                    let mut statements = Vec::new();
                    let absent = Statement {
                        condition: format!("{} and {key} is null", base.condition),
                        order: String::new(),
                        values: base.values.clone(),
                    };
                    if !last {
                        statements.push(by_key(base, &key, false, one.descending, after.clone()));
                    }
                    statements.push(by_id_in(absent, one.descending, after.filter(|_| last)));
                    statements
                }
            },
            many => vec![by_many(base, many, after)],
        };
        Ok(Self { statements, indexes: indexes(query, ordinal) })
    }

    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The statements that make this query's indexes.
    pub fn indexes(&self) -> Vec<String> {
        self.indexes.clone()
    }
}

fn by_id(statement: Statement, after: Option<Position>) -> Statement {
    by_id_in(statement, false, after)
}

fn by_id_in(mut statement: Statement, descending: bool, after: Option<Position>) -> Statement {
    let (way, than) = if descending { ("desc", "<") } else { ("asc", ">") };
    if let Some(after) = after {
        statement.condition.push_str(&format!(" and id {than} ?"));
        statement.values.push(Bind::Blob(after.id.as_bytes().to_vec()));
    }
    Statement { order: format!("id {way}"), ..statement }
}

/// In order of one expression with the id as the last word; records without a value are left out.
fn by_key(mut statement: Statement, key: &str, always: bool, descending: bool, after: Option<Position>) -> Statement {
    let (way, than) = if descending { ("desc", "<") } else { ("asc", ">") };
    if !always {
        statement.condition.push_str(&format!(" and {key} is not null"));
    }
    if let Some(after) = after {
        statement.condition.push_str(&format!(" and ({key}, id) {than} (?, ?)"));
        statement.values.push(bound(&after.values[0]));
        statement.values.push(Bind::Blob(after.id.as_bytes().to_vec()));
    }
    Statement { order: format!("{key} {way}, id {way}"), ..statement }
}

fn by_many(mut statement: Statement, sort: &[crate::store::Sort], after: Option<Position>) -> Statement {
    let mut order = Vec::new();
    let mut keys = Vec::new();
    for one in sort {
        let way = if one.descending { "desc" } else { "asc" };
        let key = match &one.by {
            SortKey::Changed => "seq".to_owned(),
            SortKey::Field(path) => scalar(path),
        };
        order.push(format!("{key} is null, {key} {way}"));
        keys.push((key, one.descending));
    }
    let descending = sort[0].descending;
    order.push(format!("id {}", if descending { "desc" } else { "asc" }));
    if let Some(after) = after {
        // lexicographic: equal in the keys before, behind in this one
        let mut alternatives = Vec::new();
        for at in 0..=keys.len() {
            let mut parts = Vec::new();
            for (before, (key, _)) in keys[..at].iter().enumerate() {
                match &after.values[before] {
                    Value::Null => parts.push(format!("{key} is null")),
                    value => {
                        parts.push(format!("{key} = ?"));
                        statement.values.push(bound(value));
                    }
                }
            }
            match keys.get(at) {
                None => {
                    parts.push(format!("id {} ?", if descending { "<" } else { ">" }));
                    statement.values.push(Bind::Blob(after.id.as_bytes().to_vec()));
                }
                // nothing comes behind what has no value
                Some(_) if after.values[at].is_null() => parts.push("false".into()),
                Some((key, descending)) => {
                    parts.push(format!("({key} {} ? or {key} is null)", if *descending { "<" } else { ">" }));
                    statement.values.push(bound(&after.values[at]));
                }
            }
            alternatives.push(format!("({})", parts.join(" and ")));
        }
        statement.condition.push_str(&format!(" and ({})", alternatives.join(" or ")));
    }
    Statement { order: order.join(", "), ..statement }
}

/// The JSON path of a place, if it has one: not for names with a quote, a backslash or a control character.
fn json_path(path: &[String]) -> Option<String> {
    let plain = |name: &String| !name.contains(['"', '\\']) && !name.chars().any(char::is_control);
    let all = path.iter().all(plain);
    all.then(|| path.iter().fold("$".to_owned(), |text, name| format!("{text}.\"{name}\"")))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The JSON text of a place, `null` where there is nothing.
fn text(path: &[String]) -> String {
    match json_path(path) {
        Some(path) => format!("doc -> {}", literal(&path)),
        None => {
            walk(path, "json(case type when 'true' then 'true' when 'false' then 'false' else json_quote(value) end)")
        }
    }
}

/// What a place is sorted and compared by: a number or a text; `null` for lists, objects and nothing.
fn scalar(path: &[String]) -> String {
    match json_path(path) {
        Some(path) => format!("json_extract(doc, {})", literal(&path)),
        None => walk(path, "case when type in ('array', 'object') then null else value end"),
    }
}

fn kind(path: &[String]) -> String {
    match json_path(path) {
        Some(path) => format!("json_type(doc, {})", literal(&path)),
        None => walk(path, "type"),
    }
}

/// Goes down by names that no JSON path can say.
fn walk(path: &[String], wanted: &str) -> String {
    let mut source = "doc".to_owned();
    for (depth, name) in path.iter().enumerate() {
        let column = if depth + 1 == path.len() { wanted } else { "value" };
        source = format!("(select {column} from json_each({source}) where key = {})", literal(name));
    }
    source
}

fn bound(value: &Value) -> Bind {
    match value {
        Value::Bool(on) => Bind::Integer(i64::from(*on)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Bind::Integer(number),
            None => Bind::Real(number.to_string().parse().unwrap_or(f64::MAX)),
        },
        Value::String(text) => Bind::Text(text.clone()),
        other => Bind::Text(other.to_string()),
    }
}

fn equal_sql(path: &[String], value: &Value, sql: &mut String, values: &mut Vec<Bind>) {
    match value {
        // by value, as far as a double tells numbers apart; beyond that by the digits
        Value::Number(number) if number.to_string().bytes().filter(u8::is_ascii_digit).count() <= 15 => {
            sql.push_str(&format!("({} = ? and {} in ('integer', 'real'))", scalar(path), kind(path)));
            values.push(bound(value));
        }
        Value::String(wanted) => {
            sql.push_str(&format!("({} = ? and {} = 'text')", scalar(path), kind(path)));
            values.push(Bind::Text(wanted.clone()));
        }
        other => {
            sql.push_str(&format!("coalesce({} = ?, false)", text(path)));
            values.push(Bind::Text(other.to_string()));
        }
    }
}

fn filter_sql(filter: &Filter, sql: &mut String, values: &mut Vec<Bind>) {
    let path = &filter.path;
    let mut ordered = |than: &str| {
        let kinds = match filter.value {
            Value::Number(_) => "'integer', 'real'",
            Value::String(_) => "'text'",
            _ => return "false".to_owned(),
        };
        values.push(bound(&filter.value));
        format!("({} {than} ? and {} in ({kinds}))", scalar(path), kind(path))
    };
    let written = match filter.operator {
        Operator::Less => ordered("<"),
        Operator::LessOrEqual => ordered("<="),
        Operator::Greater => ordered(">"),
        Operator::GreaterOrEqual => ordered(">="),
        Operator::Equal => return equal_sql(path, &filter.value, sql, values),
        Operator::NotEqual => {
            sql.push_str("not coalesce(");
            equal_sql(path, &filter.value, sql, values);
            sql.push_str(", false)");
            return;
        }
        Operator::In => {
            let wanted = filter.value.as_array().map(Vec::as_slice).unwrap_or_default();
            if wanted.is_empty() {
                return sql.push_str("false");
            }
            sql.push('(');
            for (at, value) in wanted.iter().enumerate() {
                sql.push_str(if at == 0 { "" } else { " or " });
                equal_sql(path, value, sql, values);
            }
            return sql.push(')');
        }
        Operator::Contains => {
            let element = filter.value.to_string();
            let part = filter.value.as_str().unwrap_or_default().to_ascii_lowercase();
            let is_text = filter.value.is_string();
            values.push(Bind::Text(part));
            values.push(Bind::Text(element));
            format!(
                "case {kind} when 'text' then {is_text} and instr(lower({value}), ?) > 0 when 'array' then exists (select 1 from json_each({array}) as item where (case item.type when 'true' then 'true' when 'false' then 'false' when 'null' then 'null' else json_quote(item.value) end) = ?) else false end",
                kind = kind(path),
                value = scalar(path),
                array = text(path),
            )
        }
        Operator::Starts => match filter.value.as_str() {
            None => "false".into(),
            Some(start) => {
                values.push(Bind::Text(start.to_owned()));
                values.push(Bind::Text(start.to_owned()));
                format!("({} = 'text' and substr({}, 1, length(?)) = ?)", kind(path), scalar(path))
            }
        },
        Operator::Empty => {
            let not = if filter.value == Value::Bool(false) { "not " } else { "" };
            format!("{not}coalesce({} = 'null', true)", kind(path))
        }
    };
    sql.push_str(&written);
}

/// An index for the one field that is compared for equality and the one that is sorted by.
fn indexes(query: &Query, ordinal: i64) -> Vec<String> {
    if query.type_name.is_built_in() || query.binned {
        return Vec::new();
    }
    let plain = |path: &Vec<String>| json_path(path).is_some();
    let equal = query
        .filters
        .iter()
        .find(|filter| {
            filter.operator == Operator::Equal
                && plain(&filter.path)
                && (filter.value.is_string() || filter.value.is_number())
        })
        .map(|filter| &filter.path);
    let sort = match query.sort.as_slice() {
        [one] => match &one.by {
            SortKey::Field(path) if plain(path) => Some(path),
            _ => None,
        },
        _ => None,
    };
    let ranged = query.filters.iter().find(|filter| {
        use Operator::{Greater, GreaterOrEqual, Less, LessOrEqual};
        matches!(filter.operator, Less | LessOrEqual | Greater | GreaterOrEqual) && plain(&filter.path)
    });
    let mut fields: Vec<&Vec<String>> = equal.into_iter().chain(sort).collect();
    if sort.is_none() {
        fields.extend(ranged.map(|filter| &filter.path));
    }
    if fields.is_empty() {
        return Vec::new();
    }
    let mut columns: Vec<String> = fields.iter().map(|path| scalar(path)).collect();
    columns.push(if equal.is_some() && sort.is_none() && ranged.is_none() { "seq".into() } else { "id".into() });
    let name = blake3::hash(columns.join(",").as_bytes()).to_hex();
    vec![format!(
        "create index if not exists list_{ordinal}_{} on record ({}) where type = {ordinal} and flags & 1 = 0",
        &name[..16],
        columns.join(", ")
    )]
}
