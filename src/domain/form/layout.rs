//! Which controls a form has: a type's schema as a tree of fields, made once per publication and shared.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::said::Said;
use crate::domain::json;
use crate::domain::path::escape;
use crate::domain::schema::{self, Schema, Shape};

/// Choices up to this many are laid out side by side, more are a menu.
const SIDE_BY_SIDE: usize = 5;

/// What a control's name may be followed by, after `#`.
const PARTS: [&str; 5] = ["date", "time", "zone", "shown", "items"];

/// Objects and groups within one another that are drawn as such; what lies deeper is edited as its JSON text.
const DEPTH: usize = 24;

/// The form of a type.
#[derive(Debug)]
pub struct Layout {
    schema: Arc<Schema>,
    pub(super) fields: Vec<Field>,
}

/// One property, or what each item of a list is.
#[derive(Debug, Clone)]
pub struct Field {
    /// The property's name; empty for items.
    pub name: String,
    pub label: String,
    pub hint: Option<String>,
    pub unit: Option<String>,
    pub example: Option<String>,
    pub required: bool,
    /// Nothing ever asks for it.
    pub optional: bool,
    pub nullable: bool,
    pub read_only: bool,
    pub default: Option<Value>,
    pub kind: Kind,
}

/// The control a field is drawn with.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One line.
    Text(TextInput),
    Lines,
    Number {
        integer: bool,
    },
    Date,
    Time,
    Moment,
    /// Yes, no, and unknown where null is a value.
    YesNo,
    /// One box: not ticked is false.
    Tick,
    /// One box: not ticked is no answer.
    Consent,
    Choice {
        choices: Vec<Choice>,
        menu: bool,
    },
    Choices(Vec<Choice>),
    List {
        item: Box<Field>,
        most: Option<usize>,
        least: usize,
    },
    Object(Vec<Field>),
    Group {
        item: Vec<Field>,
        /// What one of them is called.
        item_label: String,
        most: Option<usize>,
        least: usize,
    },
    /// Written with the object it is in.
    Fixed(Value),
    /// Its JSON text.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextInput {
    Plain,
    Email,
    Url,
}

/// A value that can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub value: Value,
    pub label: String,
    pub note: Option<String>,
}

impl Layout {
    pub fn of(schema: Arc<Schema>) -> Self {
        let said = Said::of_record(&schema);
        let mut listed = schema.fields().iter().peekable();
        let fields = build(&mut listed, "", &said, schema.shape(), 0);
        drop(said);
        Self { schema, fields }
    }

    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// What a new record shows before anybody types: the defaults.
    pub(super) fn prefill(&self) -> Value {
        let whole = self.schema.source().get("default");
        prefill(&self.fields, whole.and_then(Value::as_object))
    }
}

/// What the controls of a new object show. A key of the object's own default goes before the default of its property.
pub(super) fn prefill(fields: &[Field], whole: Option<&Map<String, Value>>) -> Value {
    let mut map = Map::new();
    for field in fields {
        let given = whole.and_then(|whole| whole.get(&field.name)).or(field.default.as_ref());
        let value = match (&field.kind, given) {
            (Kind::Fixed(_) | Kind::Consent, _) => None,
            (Kind::Object(fields), given @ (None | Some(Value::Object(_)))) => {
                let inner = prefill(fields, given.and_then(Value::as_object));
                let filled = inner.as_object().is_some_and(|map| !map.is_empty());
                (given.is_some() || (filled && (field.required || suffices(fields, &inner)))).then_some(inner)
            }
            (Kind::Tick, None) => Some(Value::Bool(false)),
            (_, given) => given.cloned(),
        };
        if let Some(value) = value {
            map.insert(field.name.clone(), value);
        }
    }
    Value::Object(map)
}

/// Whether an optional object may be there with its defaults alone. Otherwise they are not shown: they would turn an object that
/// nobody asked for into one with answers missing.
fn suffices(fields: &[Field], value: &Value) -> bool {
    fields
        .iter()
        .all(|field| !field.required || matches!(field.kind, Kind::Fixed(_)) || value.get(&field.name).is_some())
}

type Listed<'s> = std::iter::Peekable<std::slice::Iter<'s, schema::Field>>;

/// The fields that lie directly in the object at `at`; the list is in order of the tree, inner fields behind their outer one.
fn build(listed: &mut Listed, at: &str, said: &Said, shape: &Shape, depth: usize) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some(next) = listed.next_if(|next| next.pointer == format!("{at}/{}", escape(&next.name))) {
        let said_of = said.property(&next.name);
        let shape = match shape {
            Shape::Object(object) => object.shape_of(&next.name),
            _ => &Shape::Leaf,
        };
        let kind = kind(listed, next, &said_of, shape, depth + 1);
        let optional = !next.required && !said.may_ask_for(&next.name);
        fields.push(field(next, &said_of, kind, optional));
    }
    // a sibling that is really called `due#date` would be taken for a part of `due`
    let odd: Vec<String> =
        fields.iter().filter(|field| field.name.contains('#')).map(|field| field.name.clone()).collect();
    for field in fields.iter_mut().filter(|_| !odd.is_empty()) {
        if PARTS.iter().any(|part| odd.contains(&format!("{}#{part}", field.name))) {
            field.kind = Kind::Json;
        }
    }
    fields
}

fn field(listed: &schema::Field, said: &Said, kind: Kind, optional: bool) -> Field {
    Field {
        name: listed.name.clone(),
        label: if listed.title.trim().is_empty() { "No name".to_owned() } else { listed.title.clone() },
        hint: listed.description.clone(),
        unit: listed.unit.clone(),
        example: listed.example.clone(),
        required: listed.required,
        optional,
        nullable: listed.nullable,
        read_only: listed.read_only || said.word("x-compute").is_some(),
        default: said.word("default").cloned().map(json::sorted),
        kind,
    }
}

fn kind(listed: &mut Listed, field: &schema::Field, said: &Said, shape: &Shape, depth: usize) -> Kind {
    let widget = said.text("x-widget").unwrap_or_default();
    let (least, most) = (said.count("minItems").unwrap_or(0), said.count("maxItems"));
    match field.kind {
        schema::Kind::Object | schema::Kind::Group if depth > DEPTH => {
            let below = format!("{}/", field.pointer);
            while listed.next_if(|next| next.pointer.starts_with(&below)).is_some() {}
            Kind::Json
        }
        schema::Kind::Object => Kind::Object(build(listed, &field.pointer, said, shape, depth)),
        schema::Kind::Group => {
            let item_shape = match shape {
                Shape::Group(item) => item.as_ref(),
                _ => &Shape::Leaf,
            };
            let items = said.items();
            let item = build(listed, &format!("{}/@", field.pointer), &items, item_shape, depth);
            let item_label = items.text("title").unwrap_or_else(|| "entry".to_owned());
            Kind::Group { item, item_label, most, least }
        }
        schema::Kind::Const => match said.word("const") {
            Some(Value::Bool(true)) => Kind::Consent,
            Some(value) => Kind::Fixed(value.clone()),
            None => Kind::Json,
        },
        schema::Kind::Choices => Kind::Choices(choices(&field.choices, &said.items())),
        schema::Kind::List => {
            let items = said.items();
            match scalar(&items, &field.choices) {
                Some(kind) => Kind::List { item: Box::new(row(field, &items, kind)), most, least },
                None => Kind::Json,
            }
        }
        schema::Kind::Choice => {
            let choices = choices(&field.choices, said);
            let menu = match widget.as_str() {
                "select" => true,
                "radio" => false,
                _ => choices.len() > SIDE_BY_SIDE,
            };
            Kind::Choice { choices, menu }
        }
        schema::Kind::Boolean => {
            let hinted = matches!(widget.as_str(), "tick" | "checkbox");
            let defaults = said.word("default").is_some_and(Value::is_boolean);
            if !field.nullable && widget != "radio" && (hinted || defaults) { Kind::Tick } else { Kind::YesNo }
        }
        schema::Kind::Text => Kind::Text(TextInput::Plain),
        schema::Kind::LongText => Kind::Lines,
        schema::Kind::Email => Kind::Text(TextInput::Email),
        schema::Kind::Url => Kind::Text(TextInput::Url),
        schema::Kind::Date => Kind::Date,
        schema::Kind::Time => Kind::Time,
        schema::Kind::DateTime => Kind::Moment,
        schema::Kind::Number => Kind::Number { integer: false },
        schema::Kind::Integer => Kind::Number { integer: true },
        schema::Kind::Json => Kind::Json,
    }
}

/// The items of a list, if they are of one scalar kind.
fn scalar(items: &Said, listed: &[schema::Choice]) -> Option<Kind> {
    if !listed.is_empty() {
        return Some(Kind::Choice { choices: choices(listed, items), menu: true });
    }
    let mut types: Vec<&str> = match items.word("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    types.retain(|one| *one != "null");
    match types.as_slice() {
        ["string"] => Some(match items.word("format").and_then(Value::as_str) {
            Some("date") => Kind::Date,
            Some("email" | "idn-email") => Kind::Text(TextInput::Email),
            Some("uri" | "uri-reference" | "iri" | "iri-reference") => Kind::Text(TextInput::Url),
            _ => Kind::Text(TextInput::Plain),
        }),
        ["number"] => Some(Kind::Number { integer: false }),
        ["integer"] => Some(Kind::Number { integer: true }),
        ["boolean"] => Some(Kind::Choice {
            choices: [(true, "Yes"), (false, "No")].map(|(value, label)| Choice::of(value.into(), label)).to_vec(),
            menu: true,
        }),
        _ => None,
    }
}

fn row(list: &schema::Field, items: &Said, kind: Kind) -> Field {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Field {
        name: String::new(),
        label: items.text("title").unwrap_or_else(|| list.title.clone()),
        hint: None,
        unit: items.text("x-unit").or_else(|| list.unit.clone()),
        example: items.hint("examples").and_then(|all| all.get(0)).map(shown),
        required: true,
        optional: false,
        nullable: false,
        read_only: false,
        default: None,
        kind,
    }
}

impl Choice {
    pub(super) fn of(value: Value, label: &str) -> Self {
        Self { value, label: label.to_owned(), note: None }
    }
}

fn choices(listed: &[schema::Choice], said: &Said) -> Vec<Choice> {
    let choice = |choice: &schema::Choice| {
        let label = if choice.title.trim().is_empty() { "(empty)".to_owned() } else { choice.title.clone() };
        Choice { value: choice.value.clone(), label, note: said.of_choice(&choice.value) }
    };
    listed.iter().map(choice).collect()
}
