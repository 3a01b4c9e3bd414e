//! Reads what a list is asked for: which records, in which order. Says which parameter is wrong, and why.

use serde_json::{Value, json};

use super::Problem;
use crate::domain::ids::TypeName;
use crate::domain::json as reader;
use crate::domain::path::Path;
use crate::store::{Filter, Operator, Query, Sort, SortKey};
use crate::web::urlencoded;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;
const MAX_FILTERS: usize = 32;
const MAX_PARAMETERS: usize = 100;
const MAX_SORTS: usize = 8;

/// The parameters of a query string, decoded, in order.
pub fn parameters(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = urlencoded::pairs(text.as_bytes(), MAX_PARAMETERS);
    pairs.map_err(|why| Problem::bad(format!("The query string cannot be read: {why}.")))
}

/// Reads the query string of a list of records. Without `sort` records come in the order they were made in, so that one
/// who pages through them misses none that changes meanwhile.
pub fn records(type_name: TypeName, text: &str) -> Result<Query, Problem> {
    let mut query =
        Query { type_name, filters: Vec::new(), sort: Vec::new(), binned: false, limit: DEFAULT_LIMIT, cursor: None };
    let parameters = parameters(text)?;
    for (at, (name, value)) in parameters.iter().enumerate() {
        if name != "filter" && parameters[..at].iter().any(|(other, _)| other == name) {
            return Err(Problem::bad(format!("{name}: Give this parameter once.")));
        }
        let wrong = |why: String| Problem::bad(format!("{name}: {why}"));
        match name.as_str() {
            "filter" => query.filters.push(filter(value).map_err(wrong)?),
            "sort" => query.sort = sort(value).map_err(wrong)?,
            "limit" => query.limit = limit(value).map_err(wrong)?,
            "cursor" => query.cursor = Some(value.clone()).filter(|cursor| !cursor.is_empty()),
            "deleted" => query.binned = flag(value).map_err(wrong)?,
            "q" => {
                return Err(wrong(
                    "Full text search is not there yet; use filter, for example filter=/title:contains:pump.".into(),
                ));
            }
            _ => {
                let known = "filter, sort, limit, cursor and deleted";
                return Err(wrong(format!("There is no such parameter here; there are {known}.")));
            }
        }
    }
    if query.filters.len() > MAX_FILTERS {
        return Err(Problem::bad(format!("filter: At most {MAX_FILTERS} at once.")));
    }
    Ok(query)
}

/// `limit`: 1 to 500.
pub fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(format!("“{text}” is not a number from 1 to {MAX_LIMIT}.")),
    }
}

/// What a list of things that are decided about is asked for.
pub struct Decided {
    /// `None`: all of them.
    pub state: Option<String>,
    pub limit: usize,
    pub cursor: Option<String>,
}

/// Reads `state`, one of these or `all`, `limit` and `cursor`. Without `state` all are meant.
pub fn decided(text: &str, states: &[&str]) -> Result<Decided, Problem> {
    let mut asked = Decided { state: None, limit: DEFAULT_LIMIT, cursor: None };
    for (name, value) in only(text, &["state", "limit", "cursor"])? {
        let wrong = |why: String| Problem::bad(format!("{name}: {why}"));
        match name.as_str() {
            "limit" => asked.limit = limit(&value).map_err(wrong)?,
            "cursor" => asked.cursor = Some(value).filter(|cursor| !cursor.is_empty()),
            _ if value == "all" => asked.state = None,
            _ if states.contains(&value.as_str()) => asked.state = Some(value),
            _ => return Err(wrong(format!("“{value}” is none of {} and all.", states.join(", ")))),
        }
    }
    Ok(asked)
}

/// `true` or `false`.
pub fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("“{text}” is neither true nor false."))
}

pub const OPERATORS: [(&str, Operator); 10] = [
    ("eq", Operator::Equal),
    ("ne", Operator::NotEqual),
    ("lt", Operator::Less),
    ("le", Operator::LessOrEqual),
    ("gt", Operator::Greater),
    ("ge", Operator::GreaterOrEqual),
    ("in", Operator::In),
    ("contains", Operator::Contains),
    ("starts", Operator::Starts),
    ("empty", Operator::Empty),
];

/// `/status:eq:open`. The pointer ends at the first `:` that an operator and `:` follow, so it may hold others itself;
/// `empty` may stand without a value.
pub fn filter(text: &str) -> Result<Filter, String> {
    let found = text.match_indices(':').find_map(|(at, _)| {
        let rest = &text[at + 1..];
        OPERATORS.into_iter().find_map(|(word, operator)| match rest.strip_prefix(word)? {
            "" if operator == Operator::Empty => Some((at, operator, "true")),
            value => Some((at, operator, value.strip_prefix(':')?)),
        })
    });
    let Some((at, operator, value)) = found else {
        let words = OPERATORS.map(|(word, _)| word).join(", ");
        return Err(format!(
            "“{text}” is not POINTER:OPERATOR:VALUE, for example /status:eq:open. The operators are {words}."
        ));
    };
    let path = path(&text[..at])?;
    let value = match reader::read(value) {
        // text starts with text, whatever its beginning looks like
        Ok(json) if operator == Operator::Starts && !json.is_string() => json!(value),
        Ok(json) => json,
        Err(_) => json!(value),
    };
    match operator {
        Operator::In if !value.is_array() => {
            Err("“in” takes a JSON array, for example /status:in:[\"open\",\"done\"].".into())
        }
        Operator::Empty if !value.is_boolean() => Err("“empty” takes true or false.".into()),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
            if !(value.is_number() || value.is_string()) =>
        {
            Err("Only numbers and texts are less or greater than others.".into())
        }
        _ => Ok(Filter { path, operator, value }),
    }
}

/// `/due,-/priority`; `changed` stands for the newest change.
pub fn sort(text: &str) -> Result<Vec<Sort>, String> {
    let sorts = text.split(',').map(|one| {
        let (descending, name) = one.strip_prefix('-').map_or((false, one), |name| (true, name));
        let by = if name == "changed" { SortKey::Changed } else { SortKey::Field(path(name)?) };
        Ok(Sort { by, descending })
    });
    let sorts: Vec<Sort> = sorts.collect::<Result<_, String>>()?;
    if sorts.len() > MAX_SORTS { Err(format!("At most {MAX_SORTS} fields at once.")) } else { Ok(sorts) }
}

fn path(pointer: &str) -> Result<Vec<String>, String> {
    match Path::steps(pointer) {
        Some(steps) if !steps.is_empty() => Ok(steps),
        _ => Err(format!("“{pointer}” is not a JSON Pointer to a field, for example /status.")),
    }
}

/// The parameters of a request that knows these and no others.
pub fn only(text: &str, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let parameters = parameters(text)?;
    match parameters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(parameters),
        Some((name, _)) => Err(Problem::bad(format!("{name}: There is no such parameter here."))),
    }
}

/// A page of a list.
pub fn page(items: Vec<Value>, next: Option<&str>) -> Value {
    json!({ "items": items, "next": next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_the_table_says() {
        let table: Value = serde_json::from_str(include_str!("../../../tests/data/api/filters.json")).expect("JSON");
        for case in table.as_array().expect("a list") {
            let text = case["filter"].as_str().expect("a filter");
            match filter(text) {
                Ok(read) => {
                    let word = OPERATORS.iter().find(|(_, operator)| *operator == read.operator).map(|(word, _)| *word);
                    let read = json!({ "path": read.path, "operator": word, "value": read.value });
                    assert_eq!(read, case["means"], "{text}");
                }
                Err(said) => {
                    let expected = case["error"].as_str().unwrap_or_else(|| panic!("{text}: {said}"));
                    assert!(said.contains(expected), "{text}: {said}");
                }
            }
        }
    }

    #[test]
    fn sorts_are_pointers_with_a_sign() {
        let read = |text: &str| {
            let name = |sort: Sort| match sort.by {
                SortKey::Field(path) => (path.join("."), sort.descending),
                SortKey::Changed => ("changed".to_owned(), sort.descending),
            };
            sort(text).map(|sorts| sorts.into_iter().map(name).collect::<Vec<_>>())
        };
        let of = |pairs: &[(&str, bool)]| Ok(pairs.iter().map(|(name, down)| ((*name).to_owned(), *down)).collect());
        assert_eq!(read("/due,-/priority"), of(&[("due", false), ("priority", true)]));
        assert_eq!(read("-changed,/a~1b"), of(&[("changed", true), ("a/b", false)]));
        for bad in ["", ",", "due", "/a,due", "/a,", "--/a", "/~2", &["/a"; 9].join(",")] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_from_1_to_500() {
        assert_eq!((limit("1"), limit("500")), (Ok(1), Ok(500)));
        for bad in ["0", "501", "-1", "", "x", "1e2", "99999999999999999999"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
