//! What an edge holds, as a form: everything, or for each type none of it, all of it, or the records of some places.

use serde_json::{Map, Value, json};

use crate::domain::json as canonical;
use crate::domain::schema::Kind;
use crate::node::{Node, Type};
use crate::views::nodes::{Holds, Part};
use crate::web::sent::Fields;

/// A line that stands for the records without a value.
const NONE: &str = "(empty)";

/// The form for a scope. `id` tells it from others on the page.
pub fn form(node: &Node, id: &str, scope: &Value, relays: bool, site: &str) -> Holds {
    let parts = types(node).into_iter().map(|found| {
        let given = scope.get(found.name.as_str());
        let choice = match given {
            Some(Value::Array(_)) => "values",
            Some(_) => "all",
            None => "none",
        };
        let lines = given.and_then(Value::as_array).into_iter().flatten().map(line);
        part(&found, choice, lines.collect::<Vec<_>>().join("\n"))
    });
    let everything = !scope.is_object();
    Holds { id: id.into(), everything, parts: parts.collect(), relays, site: site.into(), error: None }
}

/// Reads what was chosen; `Err` is the form as it was sent, with what is wrong in it. Of the scope that stands is kept what
/// the form does not show: types that are not here yet.
pub fn read(node: &Node, id: &str, fields: &Fields, standing: &Value) -> Result<Value, Holds> {
    if fields.get("holds") != "chosen" {
        return Ok(json!("all"));
    }
    let mut scope = Map::new();
    let mut parts = Vec::new();
    let types = types(node);
    let unseen = standing.as_object().into_iter().flatten();
    let unseen = unseen.filter(|(name, _)| types.iter().all(|found| found.name.as_str() != *name));
    scope.extend(unseen.map(|(name, part)| (name.clone(), part.clone())));
    for found in types {
        let name = found.name.as_str();
        let choice = match fields.get(&format!("part/{name}")) {
            "all" => "all",
            "values" => "values",
            _ => "none",
        };
        let text = fields.get(&format!("values/{name}"));
        let mut part = part(&found, choice, text.to_owned());
        match choice {
            "all" => drop(scope.insert(name.into(), true.into())),
            "values" => match values(&found, text) {
                Ok(values) => drop(scope.insert(name.into(), values.into())),
                Err(why) => part.error = Some(why),
            },
            _ => {}
        }
        parts.push(part);
    }
    if parts.iter().any(|part| part.error.is_some()) {
        let (relays, site) = (relays(fields), site(fields).to_owned());
        return Err(Holds { id: id.into(), everything: false, parts, relays, site, error: None });
    }
    Ok(Value::Object(scope))
}

/// Whether it was ticked that the edge may serve others.
pub fn relays(fields: &Fields) -> bool {
    fields.get("relays") == "yes"
}

/// The site that was typed; empty for none.
pub fn site(fields: &Fields) -> &str {
    fields.get("site").trim()
}

fn types(node: &Node) -> Vec<std::sync::Arc<Type>> {
    let mut types = node.caches().types();
    types.sort_by(|a, b| (a.retired, &a.title).cmp(&(b.retired, &b.title)));
    types
}

fn part(found: &Type, choice: &'static str, values: String) -> Part {
    // a scope may name values of a type that has no such field; then it holds none of it
    let field = scope_field(found).map(|(title, _)| title);
    let field = field.or_else(|| (choice == "values").then(|| "scope".to_owned()));
    Part { name: found.name.to_string(), title: found.title.clone(), field, choice, values, error: None }
}

/// The title and the kind of the field that decides who holds a record.
fn scope_field(found: &Type) -> Option<(String, Kind)> {
    let schema = found.current.schema()?;
    let pointer = schema.scope_field()?;
    let field = schema.field(pointer);
    Some(field.map_or_else(|| (pointer.to_owned(), Kind::Text), |field| (field.title.clone(), field.kind)))
}

fn line(value: &Value) -> String {
    match value {
        Value::Null => NONE.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One value a line, of the kind that the field takes.
fn values(found: &Type, text: &str) -> Result<Vec<Value>, String> {
    let is_text =
        !scope_field(found).is_some_and(|(_, kind)| matches!(kind, Kind::Number | Kind::Integer | Kind::Boolean));
    let mut values = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let value = match line {
            NONE => Value::Null,
            line if is_text => line.into(),
            line => match canonical::read(line) {
                Ok(value) if !value.is_array() && !value.is_object() => value,
                _ => return Err(format!("{line:?} is no value of this field")),
            },
        };
        if !values.iter().any(|known| canonical::equal(known, &value)) {
            values.push(value);
        }
    }
    if values.is_empty() { Err("Enter at least one, each on a line of its own".into()) } else { Ok(values) }
}
