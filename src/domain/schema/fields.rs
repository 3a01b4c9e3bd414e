//! The fields of a type as a flat list: what the API tells about a type, and what lists and filters choose their columns from.

use serde::Serialize;
use serde_json::Value;

use super::conflict::Conflict;
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
    /// What becomes of a value of it that lost.
    #[serde(skip_serializing_if = "is_later")]
    pub conflict: Conflict,
}

fn is_later(conflict: &Conflict) -> bool {
    *conflict == Conflict::Later
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
    let mut collector =
        Collector { document, fields: Vec::new(), pointers: limits::POINTERS_BYTES, choices: limits::CHOICES_BYTES };
    collector.collect(&Facets::of(document, &[document.root()]), shape, "");
    collector.fields
}

struct Collector<'d, 'a> {
    document: &'d Document<'a>,
    fields: Vec<Field>,
    /// Bytes that may still be spent: one part of a schema may be referred to thousands of times.
    pointers: usize,
    choices: usize,
}

impl Collector<'_, '_> {
    fn collect(&mut self, facets: &Facets, shape: &Shape, at: &str) {
        let Shape::Object(object) = shape else { return };
        let document = self.document;
        let mut named = facets.properties(document);
        named.sort_by(|a, b| order(document, a).total_cmp(&order(document, b)));
        for property in named {
            let pointer = pointer::join(at, property.name);
            if self.fields.len() == limits::PLACES || pointer.len() > self.pointers {
                return;
            }
            self.pointers -= pointer.len();
            let shape = object.shape_of(property.name);
            let lead = [&property.certain, &property.conditional, &property.branches];
            let lead = lead.into_iter().find(|nodes| !nodes.is_empty()).unwrap_or(&property.certain);
            let conditional: &[NodeId] = if property.certain.is_empty() { &[] } else { &property.conditional };
            let facets = Facets::gather(document, lead, conditional, &[]);
            let field = self.field(&property, &facets, kind(document, &facets, shape), pointer.clone());
            self.fields.push(field);
            match shape {
                Shape::Object(_) => self.collect(&facets, shape, &pointer),
                Shape::Group(item) => {
                    let (certain, conditional) =
                        (items(document, &facets.certain), items(document, &facets.conditional));
                    let facets = Facets::gather(document, &certain, &conditional, &[]);
                    self.collect(&facets, item, &format!("{pointer}/@"));
                }
                Shape::Set | Shape::Counter | Shape::Text | Shape::Leaf => {}
            }
        }
    }

    fn field(&mut self, property: &Named, facets: &Facets, kind: Kind, pointer: String) -> Field {
        let document = self.document;
        let word = |word: &str| facets.keyword(document, word);
        let text = |name: &str, most: usize| {
            let said = word(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
            said.map(|text| text.chars().take(most).collect::<String>())
        };
        let example = word("examples").and_then(|values| values.get(0));
        let example = example.filter(|value| !value.is_object() && !value.is_array()).map(shown);
        let types = types(document, facets);
        Field {
            pointer,
            name: property.name.to_string(),
            title: text("title", limits::TITLE_CHARS).unwrap_or_else(|| humanized(property.name)),
            kind,
            required: property.required,
            nullable: types != Types::ALL && types.has(Types::NULL),
            read_only: word("readOnly") == Some(&Value::Bool(true)),
            description: text("description", limits::DESCRIPTION_CHARS),
            unit: text("x-unit", limits::TITLE_CHARS),
            example: example.filter(|example| example.chars().count() <= limits::TITLE_CHARS),
            choices: match kind {
                Kind::Choice => self.choices(facets),
                Kind::Choices | Kind::List => self.choices(&Facets::of(document, &items(document, &facets.certain))),
                _ => Vec::new(),
            },
            conflict: Conflict::of(word("x-conflict")),
        }
    }

    fn choices(&mut self, facets: &Facets) -> Vec<Choice> {
        if self.choices == 0 {
            return Vec::new();
        }
        let mut choices = Vec::new();
        for (value, title) in listed(self.document, facets, usize::MAX) {
            let choice = Choice { value: value.clone(), title: title.map_or_else(|| shown(value), str::to_string) };
            self.choices = self.choices.saturating_sub(choice.title.len() + value.to_string().len());
            if self.choices == 0 {
                return Vec::new();
            }
            choices.push(choice);
        }
        choices
    }
}

/// `x-order`; what has none comes last, as the schema has it.
fn order(document: &Document, property: &Named) -> f64 {
    let said = property.all().find_map(|id| document.nodes[id].keyword("x-order"));
    said.and_then(Value::as_f64).unwrap_or(f64::MAX)
}

fn types(document: &Document, facets: &Facets) -> Types {
    facets.certain.iter().map(|&id| Types::of(document, id)).fold(Types::ALL, Types::and)
}

fn kind(document: &Document, facets: &Facets, shape: &Shape) -> Kind {
    match shape {
        Shape::Object(_) => return Kind::Object,
        Shape::Group(_) => return Kind::Group,
        Shape::Set | Shape::Counter | Shape::Text | Shape::Leaf => {}
    }
    let word = |word: &str| facets.all().find_map(|id| document.nodes[id].keyword(word));
    if facets.certain.iter().any(|&id| document.nodes[id].keyword("const").is_some()) {
        return Kind::Const;
    }
    if !listed(document, facets, 1).is_empty() {
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
            _ if is_long(word("x-widget"), word("maxLength"))
                || *shape == Shape::Text && word("x-widget").is_none() =>
            {
                Kind::LongText
            }
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

/// Whether the values a subschema allows have an order that everybody means alike.
pub(super) fn has_order(document: &Document, id: NodeId) -> bool {
    let facets = Facets::of(document, &[id]);
    let is_number = types(document, &facets).without(Types::NULL) == Types::NUMBER;
    is_number || matches!(kind(document, &facets, &Shape::Leaf), Kind::Date | Kind::DateTime)
}

fn list_kind(document: &Document, facets: &Facets) -> Kind {
    let items = items(document, &facets.certain);
    if items.is_empty() || facets.all().any(|id| document.nodes[id].keyword("prefixItems").is_some()) {
        return Kind::Json;
    }
    let item = Facets::of(document, &items);
    let unique = facets.keyword(document, "uniqueItems") == Some(&Value::Bool(true));
    if unique && !listed(document, &item, 1).is_empty() {
        return Kind::Choices;
    }
    let scalars = Types::STRING.or(Types::NUMBER).or(Types::BOOLEAN);
    let types = types(document, &item);
    if types.has(scalars) && !types.has(Types::OBJECT.or(Types::ARRAY)) { Kind::List } else { Kind::Json }
}

fn items(document: &Document, nodes: &[NodeId]) -> Vec<NodeId> {
    nodes.iter().flat_map(|&id| document.nodes[id].edges_of("items")).map(|edge| edge.to).collect()
}

/// The listed values with the titles they are given, null apart: of `enum`, or of `oneOf`/`anyOf` branches that are each one
/// constant; of all of them `most`. A list beside something free, as in "one of these or any text", lists nothing. What a
/// condition lists for a field that is described elsewhere is a rule, not its choices.
fn listed<'a>(document: &Document<'a>, facets: &Facets, most: usize) -> Vec<(&'a Value, Option<&'a str>)> {
    let lead = if facets.certain.is_empty() { &facets.conditional } else { &facets.certain };
    lead.iter().map(|&id| listed_by(document, id, most)).find(|found| !found.is_empty()).unwrap_or_default()
}

fn listed_by<'a>(document: &Document<'a>, id: NodeId, most: usize) -> Vec<(&'a Value, Option<&'a str>)> {
    let node = &document.nodes[id];
    if let Some(Value::Array(values)) = node.keyword("enum") {
        let titles = ["enumNames", "x-enumNames"].iter().find_map(|word| node.keyword(word)?.as_array());
        let title = |i: usize| titles.and_then(|titles| titles.get(i)).and_then(Value::as_str);
        let titled = values.iter().enumerate().map(|(i, value)| (value, title(i)));
        return titled.filter(|(value, _)| !value.is_null()).take(most).collect();
    }
    for word in ["oneOf", "anyOf"] {
        let branches: Vec<NodeId> = node
            .edges_of(word)
            .map(|edge| edge.to)
            .filter(|&branch| Types::of(document, branch) != Types::NULL)
            .collect();
        let constants = branches.iter().map(|&branch| {
            let branch = &document.nodes[branch];
            let value = match (branch.keyword("const"), branch.keyword("enum")) {
                (Some(value), _) => value,
                (None, Some(Value::Array(values))) if values.len() == 1 => &values[0],
                _ => return None,
            };
            Some((value, branch.keyword("title").and_then(Value::as_str)))
        });
        let constants = constants.collect::<Option<Vec<_>>>().unwrap_or_default();
        if !constants.is_empty() {
            return constants;
        }
        if let [only] = branches[..] {
            return listed(document, &Facets::of(document, &[only]), most);
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
pub(crate) fn humanized(name: &str) -> String {
    let mut words = String::new();
    let mut last: Option<char> = None;
    for c in name.chars() {
        let starts_word = c.is_uppercase() && last.is_some_and(|last| last.is_lowercase() || last.is_ascii_digit());
        if (matches!(c, '_' | '-' | ' ') || starts_word) && !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
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
