//! The fields of a type as a flat list: what the API tells about a type, and what lists and filters choose their columns from.

use serde::Serialize;
use serde_json::Value;

use super::document::{Document, NodeId};
use super::facets::{Facets, Named, Types};
use super::shape::Shape;
use super::{limits, pointer};

/// One field of a type. The fields of an object or of a group's items follow their object or group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// A JSON Pointer into every record, in which the segment `@` stands for any item of a group: `/parts/@/quantity`.
    pub pointer: String,
    pub name: String,
    /// The schema's title, or words made from the name.
    pub title: String,
    pub kind: Kind,
    /// Required on no condition.
    pub required: bool,
    /// Null is one of its values.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nullable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The first of the schema's `examples`, where it is one value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// The values to choose from, where the schema lists them; for a list, those of its items.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

/// What a field holds, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Text,
    /// Text of several lines.
    LongText,
    Email,
    Url,
    Date,
    Time,
    DateTime,
    Number,
    Integer,
    Boolean,
    /// One of the listed values.
    Choice,
    /// Some of the listed values, each once.
    Choices,
    /// A list of scalars.
    List,
    Object,
    /// A repeated group.
    Group,
    /// One fixed value.
    Const,
    /// Anything else.
    Json,
}

impl Kind {
    /// Whether a column of a list can show it in one line.
    pub fn is_scalar(self) -> bool {
        !matches!(self, Kind::Choices | Kind::List | Kind::Object | Kind::Group | Kind::Json)
    }
}

/// A value that may be chosen, and what people call it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    pub value: Value,
    pub title: String,
}

/// The fields of a document, in the order of `x-order` and else of the schema.
pub(super) fn of(document: &Document, shape: &Shape) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(document, &Facets::of(document, &[document.root()]), shape, "", &mut fields);
    fields
}

fn collect(document: &Document, facets: &Facets, shape: &Shape, at: &str, fields: &mut Vec<Field>) {
    let Shape::Object(object) = shape else { return };
    let mut named = facets.properties(document);
    named.sort_by(|a, b| order(document, a).total_cmp(&order(document, b)));
    for property in named {
        if fields.len() == limits::PLACES {
            return;
        }
        let shape = object.shape_of(property.name);
        let lead =
            [&property.certain, &property.conditional, &property.branches].into_iter().find(|nodes| !nodes.is_empty());
        let conditional: &[NodeId] = if property.certain.is_empty() { &[] } else { &property.conditional };
        let facets = Facets::gather(document, lead.unwrap_or(&property.certain), conditional, &[]);
        let pointer = pointer::join(at, property.name);
        let kind = kind(document, &facets, shape);
        fields.push(field(document, &property, &facets, kind, pointer.clone()));
        match shape {
            Shape::Object(_) => collect(document, &facets, shape, &pointer, fields),
            Shape::Group(item) => {
                let (certain, conditional) = (items(document, &facets.certain), items(document, &facets.conditional));
                let facets = Facets::gather(document, &certain, &conditional, &[]);
                collect(document, &facets, item, &format!("{pointer}/@"), fields);
            }
            Shape::Leaf => {}
        }
    }
}

/// `x-order`; what has none comes last, as the schema has it.
fn order(document: &Document, property: &Named) -> f64 {
    let said = property.all().find_map(|id| document.nodes[id].keyword("x-order"));
    said.and_then(Value::as_f64).unwrap_or(f64::MAX)
}

fn field(document: &Document, property: &Named, facets: &Facets, kind: Kind, pointer: String) -> Field {
    let word = |word: &str| facets.keyword(document, word);
    let text =
        |name: &str| word(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(str::to_string);
    let choices = match kind {
        Kind::Choice => choices(document, facets),
        Kind::Choices | Kind::List => choices(document, &Facets::of(document, &items(document, &facets.certain))),
        _ => Vec::new(),
    };
    Field {
        pointer,
        name: property.name.to_string(),
        title: text("title").unwrap_or_else(|| humanized(property.name)),
        kind,
        required: property.required,
        nullable: types(document, facets) != Types::ALL && types(document, facets).has(Types::NULL),
        read_only: word("readOnly") == Some(&Value::Bool(true)),
        description: text("description"),
        unit: text("x-unit"),
        example: word("examples")
            .and_then(|values| values.get(0))
            .filter(|value| !value.is_object() && !value.is_array())
            .map(shown),
        choices,
    }
}

fn types(document: &Document, facets: &Facets) -> Types {
    facets.certain.iter().map(|&id| Types::of(document, id)).fold(Types::ALL, Types::and)
}

fn kind(document: &Document, facets: &Facets, shape: &Shape) -> Kind {
    match shape {
        Shape::Object(_) => return Kind::Object,
        Shape::Group(_) => return Kind::Group,
        Shape::Leaf => {}
    }
    let word = |word: &str| facets.all().find_map(|id| document.nodes[id].keyword(word));
    if facets.certain.iter().any(|&id| document.nodes[id].keyword("const").is_some()) {
        return Kind::Const;
    }
    if !choices(document, facets).is_empty() {
        return Kind::Choice;
    }
    match types(document, facets).without(Types::NULL) {
        Types::BOOLEAN => Kind::Boolean,
        Types::NUMBER if is_integer(document, facets) => Kind::Integer,
        Types::NUMBER => Kind::Number,
        Types::STRING => match word("format").and_then(Value::as_str) {
            Some("date") => Kind::Date,
            Some("time") => Kind::Time,
            Some("date-time") => Kind::DateTime,
            Some("email" | "idn-email") => Kind::Email,
            Some("uri" | "uri-reference" | "iri" | "iri-reference") => Kind::Url,
            _ if is_long(word("x-widget"), word("maxLength")) => Kind::LongText,
            _ => Kind::Text,
        },
        Types::ARRAY => list_kind(document, facets),
        _ => Kind::Json,
    }
}

fn is_integer(document: &Document, facets: &Facets) -> bool {
    facets.all().any(|id| match document.nodes[id].keyword("type") {
        Some(Value::String(name)) => name == "integer",
        Some(Value::Array(names)) => {
            names.iter().any(|name| name == "integer") && !names.iter().any(|name| name == "number")
        }
        _ => false,
    })
}

fn is_long(widget: Option<&Value>, most: Option<&Value>) -> bool {
    match widget.and_then(Value::as_str) {
        Some(widget) => widget == "textarea",
        None => most.and_then(Value::as_u64).is_some_and(|most| most > 120),
    }
}

fn list_kind(document: &Document, facets: &Facets) -> Kind {
    let items = items(document, &facets.certain);
    if items.is_empty() || facets.all().any(|id| document.nodes[id].keyword("prefixItems").is_some()) {
        return Kind::Json;
    }
    let item = Facets::of(document, &items);
    let unique = facets.keyword(document, "uniqueItems") == Some(&Value::Bool(true));
    if unique && !choices(document, &item).is_empty() {
        return Kind::Choices;
    }
    let scalars = Types::STRING.or(Types::NUMBER).or(Types::BOOLEAN);
    let types = types(document, &item);
    if types.has(scalars) && !types.has(Types::OBJECT.or(Types::ARRAY)) { Kind::List } else { Kind::Json }
}

fn items(document: &Document, nodes: &[NodeId]) -> Vec<NodeId> {
    nodes.iter().flat_map(|&id| document.nodes[id].edges_of("items")).map(|edge| edge.to).collect()
}

/// The listed values, null apart: of `enum`, or of `oneOf`/`anyOf` branches that are each one constant.
fn choices(document: &Document, facets: &Facets) -> Vec<Choice> {
    for &id in facets.certain.iter().chain(&facets.conditional).chain(&facets.branches) {
        let found = choices_of(document, id);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn choices_of(document: &Document, id: NodeId) -> Vec<Choice> {
    let node = &document.nodes[id];
    if let Some(Value::Array(values)) = node.keyword("enum") {
        let titles = ["enumNames", "x-enumNames"].iter().find_map(|word| node.keyword(word)?.as_array());
        let choice = |(i, value): (usize, &Value)| {
            let said = titles.and_then(|titles| titles.get(i)).and_then(Value::as_str);
            Choice { title: said.map_or_else(|| shown(value), str::to_string), value: value.clone() }
        };
        return values.iter().enumerate().map(choice).filter(|choice| !choice.value.is_null()).collect();
    }
    for word in ["oneOf", "anyOf"] {
        let constants = node.edges_of(word).map(|edge| {
            let branch = &document.nodes[edge.to];
            let value = match (branch.keyword("const"), branch.keyword("enum")) {
                (Some(value), _) => value,
                (None, Some(Value::Array(values))) if values.len() == 1 => &values[0],
                _ if branch.keyword("type").is_some_and(|name| name == "null") => &Value::Null,
                _ => return None,
            };
            let title = branch.keyword("title").and_then(Value::as_str).map_or_else(|| shown(value), str::to_string);
            Some(Choice { value: value.clone(), title })
        });
        if let Some(choices) = constants.collect::<Option<Vec<Choice>>>()
            && !choices.is_empty()
        {
            return choices.into_iter().filter(|choice| !choice.value.is_null()).collect();
        }
    }
    Vec::new()
}

/// A value as people read it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "Yes".to_string(),
        Value::Bool(false) => "No".to_string(),
        Value::Null => "nothing".to_string(),
        other => other.to_string(),
    }
}

/// Words made from a property name: `gas_reading` and `gasReading` become "Gas reading".
pub(super) fn humanized(name: &str) -> String {
    let mut words = String::new();
    let mut last: Option<char> = None;
    for c in name.chars() {
        let starts_word = c.is_uppercase() && last.is_some_and(|last| last.is_lowercase() || last.is_ascii_digit());
        if matches!(c, '_' | '-' | ' ') || starts_word {
            if !words.is_empty() && !words.ends_with(' ') {
                words.push(' ');
            }
        }
        if !matches!(c, '_' | '-' | ' ') {
            if words.is_empty() {
                words.extend(c.to_uppercase());
            } else if starts_word {
                words.extend(c.to_lowercase());
            } else {
                words.push(c);
            }
        }
        last = Some(c);
    }
    let words = words.trim_end();
    if words.is_empty() { name.to_string() } else { words.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_the_table() {
        let table: Vec<Value> = serde_json::from_str(include_str!("../../../tests/data/schema/fields.json")).unwrap();
        for case in table {
            let document = Document::read(&case["schema"]);
            let fields = serde_json::to_value(of(&document, &Shape::of(&document))).unwrap();
            assert_eq!(fields, case["fields"], "{}", case["what"]);
        }
    }

    #[test]
    fn a_name_becomes_words() {
        for (name, words) in [
            ("gas_reading", "Gas reading"),
            ("gasReading", "Gas reading"),
            ("due", "Due"),
            ("__proto__", "Proto"),
            ("", ""),
            ("_", "_"),
            ("APIKey", "APIKey"),
            ("größe-in-cm", "Größe in cm"),
        ] {
            assert_eq!(humanized(name), words);
        }
    }
}
