//! Reading a record by its schema: which fields there are, what they are called, and each value in words.
//!
//! For showing only: nothing here judges. The union of whatever a schema offers (`$ref`, `allOf`, the branches of `oneOf` and
//! `anyOf`) is taken for labels and order, and what no schema knows is shown all the same.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use super::file::Attached;
use super::part::{Chip, Link, Versus};
pub use super::schema_parts::Kind;
use super::schema_parts::{Parts, choices_of, get, kind_of};
use super::value::{self, Clock, Column, Fact, Shown, Table};
use crate::domain::blob::{BlobHash, FileRef, FileState, says_file};

/// How deep values are unfolded; below that they are JSON text.
const MOST_LEVELS: usize = 12;
/// A repeated group of more columns than this is shown item by item.
const MOST_COLUMNS: usize = 6;

/// What is to be known about one value of a record beside the value, by its RFC 6901 pointer.
///
/// An item of a repeated group is addressed by its position here: `/parts/0/quantity`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    pub chips: Vec<Chip>,
    pub by: String,
    pub errors: Vec<String>,
    pub lost: Vec<Versus>,
}

/// Notes by pointer.
pub type Notes = BTreeMap<String, Note>;

/// A card of the record's page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// For anchors; unique on the page.
    pub id: String,
    pub title: String,
    pub chips: Vec<Chip>,
    pub body: Shown,
    /// Notes about values inside a table, which has no room for them.
    pub notes: Vec<Fact>,
}

impl Section {
    /// Whether the body brings its own frame.
    pub fn is_table(&self) -> bool {
        matches!(self.body, Shown::Table(_))
    }
}

/// A field that a list can show, sort and filter by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub pointer: String,
    pub title: String,
    pub kind: Kind,
    /// The values it may have, where the schema lists them, with their titles.
    pub choices: Vec<(Value, String)>,
}

/// Reads records of one type.
pub struct Reader<'a> {
    root: &'a Value,
    clock: &'a Clock,
    names: HashMap<String, String>,
    files: HashMap<BlobHash, FileState>,
}

impl<'a> Reader<'a> {
    /// `schema` is the type's JSON Schema.
    pub fn new(schema: &'a Value, clock: &'a Clock) -> Reader<'a> {
        Reader { root: schema, clock, names: HashMap::new(), files: HashMap::new() }
    }

    /// With the names of records that fields may point to, by record id.
    pub fn with_names(self, names: HashMap<String, String>) -> Reader<'a> {
        Reader { names, ..self }
    }

    /// With where the files are that records refer to.
    pub fn with_files(self, files: HashMap<BlobHash, FileState>) -> Reader<'a> {
        Reader { files, ..self }
    }

    /// What records of this type are called: its `title`.
    pub fn title(&self) -> Option<&'a str> {
        self.root.get("title").and_then(Value::as_str)
    }

    /// The record's own name: the fields of `x-title`, else a field that is called like a name, else its first text.
    pub fn name_of(&self, data: &Value) -> Option<String> {
        let by_hint = match self.root.get("x-title") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        };
        let hinted: Vec<String> = by_hint.into_iter().filter_map(|field| self.words_at(data, field)).collect();
        if !hinted.is_empty() {
            return Some(hinted.join(" · "));
        }
        let usual = ["title", "name", "subject", "label"].into_iter().find_map(|field| self.words_at(data, field));
        usual.or_else(|| {
            let texts = self.fields().into_iter().filter(|field| field.kind == Kind::Text);
            texts.into_iter().find_map(|field| self.words_at(data, &field.pointer))
        })
    }

    /// The brief words of a value, by pointer or by property name; `None` where there is nothing.
    fn words_at(&self, data: &Value, field: &str) -> Option<String> {
        let pointer = if field.starts_with('/') { field.to_owned() } else { pointer_of("", field) };
        match self.cell(&pointer, data) {
            Shown::Missing | Shown::Unknown | Shown::Blank | Shown::Nothing => None,
            shown => Some(shown.brief(90)),
        }
    }

    /// The fields of the record's own level and of plain objects in it, in the order of the form.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        self.collect_fields(self.root, "", "", 0, &mut fields);
        fields
    }

    fn collect_fields(&self, schema: &'a Value, base: &str, prefix: &str, level: usize, fields: &mut Vec<Field>) {
        for (name, schema) in self.properties(schema) {
            let parts = self.parts(schema);
            let title = format!("{prefix}{}", self.title_of(&parts, name));
            let pointer = pointer_of(base, name);
            let kind = kind_of(&parts);
            let is_file = says_file(get(&parts, "x-kind"));
            if kind == Kind::Other && !is_file && get(&parts, "properties").is_some() && level < 2 {
                self.collect_fields(schema, &pointer, &format!("{title} › "), level + 1, fields);
                continue;
            }
            let choices = choices_of(&parts).into_iter().map(|(value, title)| (value.clone(), title)).collect();
            fields.push(Field { pointer, title, kind, choices });
        }
    }

    /// The value at a pointer, in words.
    pub fn cell(&self, pointer: &str, data: &Value) -> Shown {
        self.shown(self.schema_at(pointer), data.pointer(pointer), pointer, &Notes::new(), MOST_LEVELS - 1)
    }

    /// A value that stood or stands at this pointer, in words; `None` is a missing one.
    pub fn at(&self, pointer: &str, value: Option<&Value>) -> Shown {
        self.shown(self.schema_at(pointer), value, pointer, &Notes::new(), 1)
    }

    /// What the field at a pointer is called: "Parts › Quantity". Items may be given by position or by key.
    pub fn label(&self, pointer: &str) -> String {
        let mut schema = Some(self.root);
        let mut titles = Vec::new();
        for token in tokens(pointer) {
            let parts = schema.map(|schema| self.parts(schema)).unwrap_or_default();
            if let Some(child) = self.property(&parts, &token) {
                titles.push(self.title_of(&self.parts(child), &token));
                schema = Some(child);
            } else if let Some(items) = get(&parts, "items").filter(|_| is_item(&token)) {
                schema = Some(items);
            } else {
                titles.push(if token.starts_with('@') { "item".to_owned() } else { token.clone() });
                schema = None;
            }
        }
        if titles.is_empty() { "The record as a whole".to_owned() } else { titles.join(" › ") }
    }

    /// The record in cards: plain fields first, then each object and each repeated group under its own heading, then what the
    /// schema does not know.
    pub fn sections(&self, data: &Value, notes: &Notes) -> Vec<Section> {
        let empty = Map::new();
        let object = data.as_object().unwrap_or(&empty);
        let mut plain = Vec::new();
        let mut sections = Vec::new();
        let mut known = HashSet::new();
        for (name, schema) in self.properties(self.root) {
            known.insert(name);
            let pointer = pointer_of("", name);
            let parts = self.parts(schema);
            let value = object.get(name);
            let shown = self.shown(Some(schema), value, &pointer, notes, 1);
            let own_card = matches!(shown, Shown::Facts(_) | Shown::Table(_))
                || (!matches!(shown, Shown::Files(_))
                    && get(&parts, "properties").is_some()
                    && value.is_some_and(Value::is_object));
            if own_card {
                let title = self.title_of(&parts, name);
                sections.push(self.section(&pointer, title, shown, notes));
            } else {
                plain.push(self.fact(self.title_of(&parts, name), shown, &pointer, notes));
            }
        }
        let mut others = Vec::new();
        for (name, value) in object.iter().filter(|(name, _)| !known.contains(name.as_str())) {
            let pointer = pointer_of("", name);
            others.push(self.fact(name.clone(), self.shown(None, Some(value), &pointer, notes, 1), &pointer, notes));
        }
        let gone = |pointer: &&String| {
            tokens(pointer).next().is_some_and(|name| !known.contains(name.as_str()) && !object.contains_key(&name))
        };
        for pointer in notes.keys().filter(gone) {
            others.push(self.fact(self.label(pointer), Shown::Missing, pointer, notes));
        }
        let details = Section {
            id: "s-details".to_owned(),
            title: "Details".to_owned(),
            body: Shown::Facts(plain),
            ..Section::default()
        };
        let unknown = Section {
            id: "s-other".to_owned(),
            title: "Not part of this form".to_owned(),
            body: Shown::Facts(others),
            ..Section::default()
        };
        let filled = |section: &Section| !matches!(&section.body, Shown::Facts(facts) if facts.is_empty());
        std::iter::once(details).chain(sections).chain(std::iter::once(unknown)).filter(filled).collect()
    }

    fn section(&self, pointer: &str, title: String, body: Shown, notes: &Notes) -> Section {
        let inside = notes.range(pointer.to_owned()..).take_while(|(at, _)| at.starts_with(pointer));
        let mut section = Section {
            id: format!("s{}", pointer.replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
            title,
            body,
            ..Section::default()
        };
        let shows_own = matches!(section.body, Shown::Facts(_));
        for (at, note) in inside {
            if at == pointer {
                section.chips.extend(note.chips.iter().cloned());
            }
            if at == pointer || !shows_own {
                let label = self.label(at);
                let fact = Fact {
                    label,
                    value: Shown::text(""),
                    chips: if at == pointer { vec![] } else { note.chips.clone() },
                    by: note.by.clone(),
                    errors: note.errors.clone(),
                    lost: note.lost.clone(),
                };
                if !fact.errors.is_empty() || !fact.lost.is_empty() || !fact.chips.is_empty() {
                    section.notes.push(fact);
                }
            }
        }
        section
    }

    fn fact(&self, label: String, value: Shown, pointer: &str, notes: &Notes) -> Fact {
        let note = notes.get(pointer).cloned().unwrap_or_default();
        Fact { label, value, chips: note.chips, by: note.by, errors: note.errors, lost: note.lost }
    }

    fn shown(
        &self,
        schema: Option<&'a Value>,
        value: Option<&Value>,
        pointer: &str,
        notes: &Notes,
        level: usize,
    ) -> Shown {
        let Some(value) = value else { return Shown::Missing };
        let parts = schema.map(|schema| self.parts(schema)).unwrap_or_default();
        if let Some((_, title)) = choices_of(&parts).into_iter().find(|(choice, _)| *choice == value) {
            return Shown::Choice(title);
        }
        match value {
            Value::Null => Shown::Unknown,
            Value::Bool(answer) => Shown::text(if *answer { "Yes" } else { "No" }),
            Value::Number(number) => {
                let digits = value::number(&number.to_string());
                match get(&parts, "x-unit").and_then(Value::as_str) {
                    Some(unit) => Shown::Text(format!("{digits} {unit}")),
                    None => Shown::Text(digits),
                }
            }
            Value::String(text) => self.text(&parts, text),
            Value::Array(items) if items.is_empty() => Shown::Nothing,
            Value::Object(object) if object.is_empty() => Shown::Nothing,
            Value::Object(_) if says_file(get(&parts, "x-kind")) && FileRef::of(value).is_some() => {
                Shown::Files(self.attached(value).into_iter().collect())
            }
            _ if level >= MOST_LEVELS => Shown::Json(value.to_string()),
            Value::Array(items) => self.list(&parts, items, pointer, notes, level),
            Value::Object(object) => Shown::Facts(self.facts(&parts, object, pointer, notes, level)),
        }
    }

    fn text(&self, parts: &[&'a Value], text: &str) -> Shown {
        if text.is_empty() {
            return Shown::Blank;
        }
        if let Some(target) = get(parts, "x-reference").and_then(Value::as_str) {
            let words =
                self.names.get(text).cloned().unwrap_or_else(|| format!("{} {}", value::label(target), brief_id(text)));
            return Shown::Link(Link::to(format!("/records/{target}/{text}"), words));
        }
        let by_format = match get(parts, "format").and_then(Value::as_str) {
            Some("date") => self.clock.date(text).map(Shown::When),
            Some("date-time") => self.clock.date_time(text).map(Shown::When),
            Some("email" | "idn-email") if is_plain_address(text) => {
                Some(Shown::Link(Link::to(format!("mailto:{text}"), text)))
            }
            Some("uri" | "iri") if text.starts_with("https://") || text.starts_with("http://") => {
                Some(Shown::Link(Link::to(text, text)))
            }
            _ => None,
        };
        by_format.unwrap_or_else(|| {
            if text.contains(['\n', '\r']) { Shown::Lines(text.to_owned()) } else { Shown::text(text) }
        })
    }

    fn list(&self, parts: &[&'a Value], items: &[Value], pointer: &str, notes: &Notes, level: usize) -> Shown {
        let schema_of = |at: usize| {
            let slots = get(parts, "prefixItems").and_then(Value::as_array);
            slots.and_then(|slots| slots.get(at)).or_else(|| get(parts, "items").filter(|items| items.is_object()))
        };
        let is_file = |(at, item): (usize, &Value)| {
            let parts = schema_of(at).map(|schema| self.parts(schema)).unwrap_or_default();
            says_file(get(&parts, "x-kind")) && FileRef::of(item).is_some()
        };
        if items.iter().enumerate().all(is_file) {
            return Shown::Files(items.iter().filter_map(|item| self.attached(item)).collect());
        }
        let item_at = |at: usize| format!("{pointer}/{at}");
        if items.iter().all(Value::is_object)
            && let Some(table) = self.table(schema_of(0), items, pointer, notes, level)
        {
            return Shown::Table(table);
        }
        let shown = |(at, item): (usize, &Value)| self.shown(schema_of(at), Some(item), &item_at(at), notes, level + 1);
        Shown::List(items.iter().enumerate().map(shown).collect())
    }

    fn attached(&self, value: &Value) -> Option<Attached> {
        let file = FileRef::of(value)?;
        Some(Attached::of(&file, self.files.get(&file.hash)))
    }

    /// The items as a table, if each is flat and there are few columns.
    fn table(
        &self,
        schema: Option<&'a Value>,
        items: &[Value],
        pointer: &str,
        notes: &Notes,
        level: usize,
    ) -> Option<Table> {
        let mut columns: Vec<(String, Option<&'a Value>)> = schema
            .map(|schema| self.properties(schema))
            .unwrap_or_default()
            .into_iter()
            .map(|(name, schema)| (name.to_owned(), Some(schema)))
            .collect();
        for name in items.iter().filter_map(Value::as_object).flat_map(Map::keys) {
            if !columns.iter().any(|(known, _)| known == name) {
                columns.push((name.clone(), None));
            }
            if columns.len() > MOST_COLUMNS {
                return None;
            }
        }
        let flat = |item: &Value| {
            item.as_object().is_some_and(|item| item.values().all(|value| !value.is_object() && !has_objects(value)))
        };
        if columns.is_empty() || !items.iter().all(flat) {
            return None;
        }
        let rows = items.iter().enumerate().map(|(at, item)| {
            let cell = |(name, schema): &(String, Option<&'a Value>)| {
                let pointer = pointer_of(&format!("{pointer}/{at}"), name);
                self.shown(*schema, item.get(name), &pointer, notes, level + 2)
            };
            columns.iter().map(cell).collect()
        });
        let rows = rows.collect();
        let head = |(name, schema): &(String, Option<&'a Value>)| match schema {
            Some(schema) => {
                let parts = self.parts(schema);
                Column { title: self.title_of(&parts, name), numeric: kind_of(&parts) == Kind::Number }
            }
            None => Column { title: name.clone(), numeric: false },
        };
        Some(Table { label: self.label(pointer), columns: columns.iter().map(head).collect(), rows })
    }

    fn facts(
        &self,
        parts: &[&'a Value],
        object: &Map<String, Value>,
        pointer: &str,
        notes: &Notes,
        level: usize,
    ) -> Vec<Fact> {
        let known = self.properties_of(parts);
        let mut facts = Vec::new();
        for (name, schema) in &known {
            let pointer = pointer_of(pointer, name);
            let shown = self.shown(Some(schema), object.get(*name), &pointer, notes, level + 1);
            facts.push(self.fact(self.title_of(&self.parts(schema), name), shown, &pointer, notes));
        }
        for (name, value) in object.iter().filter(|(name, _)| !known.iter().any(|(known, _)| known == name)) {
            let pointer = pointer_of(pointer, name);
            facts.push(self.fact(
                name.clone(),
                self.shown(None, Some(value), &pointer, notes, level + 1),
                &pointer,
                notes,
            ));
        }
        facts
    }

    /// The schema that describes the value at a pointer, if any does.
    fn schema_at(&self, pointer: &str) -> Option<&'a Value> {
        let mut schema = self.root;
        for token in tokens(pointer) {
            let parts = self.parts(schema);
            schema = match self.property(&parts, &token) {
                Some(property) => property,
                None => get(&parts, "items").filter(|_| is_item(&token))?,
            };
        }
        Some(schema)
    }

    fn property(&self, parts: &[&'a Value], name: &str) -> Option<&'a Value> {
        parts.iter().find_map(|part| part.get("properties")?.as_object()?.get(name))
    }

    fn properties(&self, schema: &'a Value) -> Vec<(&'a str, &'a Value)> {
        self.properties_of(&self.parts(schema))
    }

    /// The properties of all parts, each once, by `x-order` and then as they stand.
    fn properties_of(&self, parts: &[&'a Value]) -> Vec<(&'a str, &'a Value)> {
        let mut seen = HashSet::new();
        let maps = parts.iter().filter_map(|part| part.get("properties")?.as_object());
        let mut found: Vec<(&str, &Value)> = maps
            .flatten()
            .map(|(name, schema)| (name.as_str(), schema))
            .filter(|(name, _)| seen.insert(*name))
            .collect();
        let place = |schema: &Value| schema.get("x-order").and_then(Value::as_f64).unwrap_or(f64::MAX);
        found.sort_by(|(_, a), (_, b)| place(a).total_cmp(&place(b)));
        found
    }

    fn title_of(&self, parts: &Parts<'_>, name: &str) -> String {
        match get(parts.own(), "title").and_then(Value::as_str).map(str::trim) {
            Some(title) if !title.is_empty() => title.to_owned(),
            _ => value::label(name),
        }
    }

    fn parts(&self, schema: &'a Value) -> Parts<'a> {
        Parts::of(self.root, schema)
    }
}

fn has_objects(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(|item| item.is_object() || item.is_array()))
}

/// The pointer of a property below another pointer.
fn pointer_of(base: &str, name: &str) -> String {
    format!("{base}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

fn is_item(token: &str) -> bool {
    token.starts_with('@') || (!token.is_empty() && token.bytes().all(|b| b.is_ascii_digit()))
}

/// An address that cannot carry more than an address into a `mailto:` link.
fn is_plain_address(text: &str) -> bool {
    text.contains('@') && !text.contains(|c: char| c.is_whitespace() || "?&#%\"<>,;:\\".contains(c))
}

/// The end of a UUID, enough to tell two apart.
fn brief_id(id: &str) -> String {
    let tail: Vec<char> = id.chars().rev().take(6).collect();
    tail.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;

    fn clock() -> Clock {
        Clock::new("2026-05-14T12:32:07Z".parse().expect("a timestamp"), TimeZone::UTC)
    }

    fn schema() -> Value {
        json!({
            "title": "Work order", "type": "object", "x-title": ["/code", "/title"],
            "properties": {
                "title": {"type": "string"},
                "code": {"type": "string", "x-order": 1},
                "priority": {"oneOf": [{"const": "low", "title": "Low"}, {"const": "high", "title": "High"}]},
                "isolated": {"type": ["boolean", "null"]},
                "gas": {"type": "number", "x-unit": "% LEL"},
                "due": {"$ref": "#/$defs/moment", "title": "Due"},
                "asset": {"type": "string", "x-reference": "asset"},
                "place": {"type": "object", "properties": {"deck": {"type": "integer", "title": "Deck"}}},
                "parts": {"type": "array", "title": "Parts used", "items": {"$ref": "#/$defs/part"}}
            },
            "$defs": {
                "moment": {"type": "string", "format": "date-time"},
                "part": {"type": "object", "properties": {
                    "name": {"type": "string", "title": "Part"}, "quantity": {"type": "number", "title": "Quantity"}}}
            }
        })
    }

    #[test]
    fn values_are_shown_by_what_their_schema_says() {
        let (schema, clock) = (schema(), clock());
        let reader =
            Reader::new(&schema, &clock).with_names(HashMap::from([("a1".to_owned(), "Pump P-204".to_owned())]));
        let text =
            r#"{"priority": "high", "isolated": null, "gas": 4.50, "due": "2026-05-14T16:00:00Z", "asset": "a1"}"#;
        let data: Value = serde_json::from_str(text).expect("JSON");
        let words = |pointer: &str| reader.cell(pointer, &data).brief(80);
        assert_eq!(words("/priority"), "High");
        assert_eq!(words("/isolated"), "unknown");
        assert_eq!(words("/gas"), "4.50 % LEL");
        assert_eq!(words("/due"), "Thu 14 May, 16:00");
        assert_eq!(words("/asset"), "Pump P-204");
        assert_eq!(words("/title"), "no answer");
        assert_eq!(reader.at("/priority", Some(&json!("urgent"))).brief(80), "urgent");
    }

    #[test]
    fn a_field_is_called_by_the_titles_on_its_way() {
        let (schema, clock) = (schema(), clock());
        let reader = Reader::new(&schema, &clock);
        assert_eq!(reader.label("/parts/@k7f2/quantity"), "Parts used › Quantity");
        assert_eq!(reader.label("/parts/0"), "Parts used");
        assert_eq!(reader.label("/place/deck"), "Place › Deck");
        assert_eq!(reader.label("/gone/x"), "gone › x");
        assert_eq!(reader.label(""), "The record as a whole");
    }

    #[test]
    fn a_record_is_named_by_the_fields_the_type_names() {
        let (schema, clock) = (schema(), clock());
        let reader = Reader::new(&schema, &clock);
        assert_eq!(reader.name_of(&json!({"title": "Seal", "code": "WO-1"})).as_deref(), Some("WO-1 · Seal"));
        assert_eq!(reader.name_of(&json!({"title": "Seal"})).as_deref(), Some("Seal"));
        assert_eq!(reader.name_of(&json!({})), None);
    }

    #[test]
    fn a_record_is_read_in_cards_and_nothing_of_it_is_left_out() {
        let (schema, clock) = (schema(), clock());
        let reader = Reader::new(&schema, &clock);
        let data = json!({
            "title": "Seal", "place": {"deck": 2, "row": "b"}, "stray": [1, 2],
            "parts": [{"name": "Seal kit", "quantity": 1}, {"name": "Oil", "quantity": 12, "lot": "x"}]
        });
        let note = Note { errors: vec!["At least 2".to_owned()], ..Note::default() };
        let notes = Notes::from([("/parts/0/quantity".to_owned(), note.clone()), ("/was".to_owned(), note)]);
        let sections = reader.sections(&data, &notes);
        let titles: Vec<&str> = sections.iter().map(|section| section.title.as_str()).collect();
        assert_eq!(titles, ["Details", "Place", "Parts used", "Not part of this form"]);
        let html: String = sections.iter().map(|section| section.body.to_string()).collect();
        for piece in ["Seal kit", "12", "lot", "Not answered", "<dt>row</dt>", "stray", "was"] {
            assert!(html.contains(piece), "{piece} is missing in {html}");
        }
        assert_eq!(sections[2].notes[0].label, "Parts used › Quantity");
        assert_eq!(sections[2].notes[0].errors, ["At least 2"]);
    }

    #[test]
    fn fields_come_in_their_order_with_what_they_hold() {
        let (schema, clock) = (schema(), clock());
        let fields = Reader::new(&schema, &clock).fields();
        let seen: Vec<(&str, Kind)> = fields.iter().map(|field| (field.title.as_str(), field.kind)).collect();
        assert_eq!(
            seen,
            [
                ("Code", Kind::Text),
                ("Title", Kind::Text),
                ("Priority", Kind::Choice),
                ("Isolated", Kind::Boolean),
                ("Gas", Kind::Number),
                ("Due", Kind::DateTime),
                ("Asset", Kind::Text),
                ("Place › Deck", Kind::Number),
                ("Parts used", Kind::Other),
            ]
        );
    }

    #[test]
    fn a_schema_without_end_and_a_value_without_schema_still_read() {
        let schema = json!({"properties": {"child": {"$ref": "#"}, "loop": {"$ref": "#/properties/loop"}, "no": true}});
        let clock = clock();
        let reader = Reader::new(&schema, &clock);
        let mut data = json!({"loop": 1});
        for _ in 0..40 {
            data = json!({"child": data, "x": {"y": [{"z": [[1]]}]}});
        }
        assert!(!reader.sections(&data, &Notes::new()).is_empty());
        assert!(reader.sections(&json!("not an object"), &Notes::new()).len() <= 1);
    }

    #[test]
    fn a_link_goes_only_where_links_may_go() {
        let schema = json!({"properties": {"u": {"format": "uri"}, "e": {"format": "email"}}});
        let clock = clock();
        let reader = Reader::new(&schema, &clock);
        let is_link = |pointer: &str, text: &str| matches!(reader.at(pointer, Some(&json!(text))), Shown::Link(_));
        assert!(is_link("/u", "https://example.org/"));
        assert!(!is_link("/u", "javascript:alert(1)"));
        assert!(is_link("/e", "mei@example.org"));
        assert!(!is_link("/e", "mei@example.org?bcc=x"));
    }
}
