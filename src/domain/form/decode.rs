//! From a posted form to the record it means.
//!
//! A control that was not drawn, or that came back as it was shown, leaves what is there, even if that is invalid. Nothing is ever
//! invented: an empty number is no number, an unanswered question has no answer.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::base::Base;
use super::keys::KeyMaker;
use super::layout::{Field, Kind, Layout, prefill};
use super::options;
use super::posted::Posted;
use super::problems::{self, Problem};
use super::rows;
use super::text::{self, Drawn, Moment, Way};
use crate::domain::path::{ItemKey, Path, Segment};
use crate::domain::record::{Document, Keys};
use crate::domain::save::MAX_RECORD_BYTES;
use crate::domain::{FieldError, diff, json};

/// What the node knows and a form does not.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The node's secret: what a form carries is authenticated with it.
    pub secret: &'a [u8; 32],
    /// The site's distance to UTC, `+01:00` or `Z`: what a time that is entered without a zone means.
    pub zone: &'a str,
}

/// What a posted form means.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The record as its author wants it. To be saved only if there are no errors.
    pub candidate: Document,
    /// What has to be put right first.
    pub errors: Vec<Problem>,
    /// What was wrong already as the form was rendered, and was not touched: the same rule at the same place. It does not hold
    /// up the save.
    pub standing: Vec<Problem>,
}

/// Decodes and judges a posted form.
pub fn decode(layout: &Layout, base: &Base, posted: &Posted, context: Context) -> Decoded {
    let maker = KeyMaker { secret: context.secret, submission: base.submission };
    let mut decoder = Decoder {
        base: &base.document,
        posted,
        context,
        maker,
        keys: base.document.keys.clone(),
        rows: Keys::new(),
        used: HashSet::new(),
        problems: Vec::new(),
        layout,
    };
    let empty = Map::new();
    let root = base.document.value.as_object().unwrap_or(&empty);
    let place = &mut Place::default();
    let done = decoder.object(&layout.fields, place, root, base.is_new());
    let value = if done.changed { json::sorted(Value::Object(done.map)) } else { base.document.value.clone() };
    decoder.leftovers();
    let Decoder { keys, rows, problems: mut errors, .. } = decoder;
    let mut candidate = Document { value, keys };
    forget_lost_keys(&mut candidate);
    if errors.is_empty() && candidate.value.to_string().len() > MAX_RECORD_BYTES {
        let message = "This record is larger than 1 MiB. Shorten the longest text, or split the record.";
        errors.push(Problem::at("", FieldError::new("", "limit", message)));
    }
    let (found, standing) = problems::judge(layout, base, &candidate, &rows, maker);
    for problem in found {
        if !errors.iter().any(|other| other.name == problem.name) {
            errors.push(problem);
        }
    }
    Decoded { candidate, errors, standing }
}

/// Keys of groups that are not there any more.
fn forget_lost_keys(document: &mut Document) {
    let lost: Vec<Path> = document
        .keys
        .iter()
        .filter(|(place, keys)| {
            document.get(place).and_then(Value::as_array).is_none_or(|items| items.len() != keys.len())
        })
        .map(|(place, _)| place.clone())
        .collect();
    for place in lost {
        document.keys.remove(&place);
    }
}

/// Where one is: the path, and the same as the name of a control.
#[derive(Default)]
struct Place {
    path: Path,
    name: String,
}

impl Place {
    fn within<T>(&mut self, segment: Segment, then: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.name.len();
        let one = Path(vec![segment]);
        self.name.push_str(&one.to_string());
        self.path.0.extend(one.0);
        let result = then(self);
        self.path.0.pop();
        self.name.truncate(length);
        result
    }
}

/// What a control says of a value.
enum Outcome {
    Keep,
    Is(Value),
    /// What an object has to have once it is there; no answer of anybody.
    Implied(Value),
    Absent,
}

/// An object, put together.
struct Object {
    map: Map<String, Value>,
    changed: bool,
    /// Whether somebody, or a default that was shown, gave it an answer.
    answered: bool,
}

struct Decoder<'a> {
    base: &'a Document,
    posted: &'a Posted,
    context: Context<'a>,
    maker: KeyMaker<'a>,
    keys: Keys,
    /// The rows of lists, as far as they are in the candidate: what tells which row an error is about.
    rows: Keys,
    used: HashSet<&'a str>,
    problems: Vec<Problem>,
    layout: &'a Layout,
}

impl<'a> Decoder<'a> {
    fn fault(&mut self, name: &str, keyword: &str, message: impl Into<String>) {
        self.problems.push(Problem::at(name, FieldError::new(name, keyword, message)));
    }

    /// The value posted for a control; a name that came twice is a fault.
    fn one(&mut self, name: &str) -> Option<&'a str> {
        let posted = self.posted;
        let (name, values) = posted.entry(name)?;
        self.used.insert(name);
        if values.len() > 1 {
            self.fault(name, "name", "This field was sent twice. Nothing was saved; load the form again.");
        }
        values.first().map(String::as_str)
    }

    fn several(&mut self, name: &str) -> &'a [String] {
        let posted = self.posted;
        match posted.entry(name) {
            Some((name, values)) => {
                self.used.insert(name);
                values
            }
            None => &[],
        }
    }

    fn part(&mut self, name: &str, part: &str) -> Option<&'a str> {
        self.one(&format!("{name}#{part}"))
    }

    /// Names that no control of this form has.
    fn leftovers(&mut self) {
        let unknown: Vec<&str> = self.posted.names().filter(|name| !self.used.contains(name)).collect();
        for name in unknown {
            let shown: String = name.chars().take(80).collect();
            let message = format!("This form has no field \"{shown}\". Nothing was saved; load the form again.");
            self.problems.push(Problem::at("", FieldError::new(name, "name", message)));
        }
    }

    /// `fresh`: the object is not in the record yet.
    fn object(&mut self, fields: &'a [Field], place: &mut Place, base: &Map<String, Value>, fresh: bool) -> Object {
        let mut object = Object { map: base.clone(), changed: false, answered: false };
        for field in fields {
            let value = base.get(&field.name);
            let outcome =
                place.within(Segment::Property(field.name.clone()), |place| self.field(field, place, value, fresh));
            match outcome {
                Outcome::Keep => object.answered |= value.is_some() && !matches!(field.kind, Kind::Fixed(_)),
                Outcome::Is(value) => {
                    object.answered = true;
                    object.changed = true;
                    object.map.insert(field.name.clone(), value);
                }
                Outcome::Implied(value) => {
                    object.changed = true;
                    object.map.insert(field.name.clone(), value);
                }
                Outcome::Absent => object.changed |= object.map.shift_remove(&field.name).is_some(),
            }
        }
        // fields that this form does not know
        object.answered = object.answered || base.keys().any(|name| !fields.iter().any(|field| field.name == *name));
        for field in fields {
            let Kind::Fixed(value) = &field.kind else { continue };
            let missing = object.map.get(&field.name).is_none_or(|own| !json::equal(own, value));
            if (fresh && !object.map.contains_key(&field.name)) || (object.changed && field.required && missing) {
                object.map.insert(field.name.clone(), value.clone());
                object.changed = true;
            }
        }
        object
    }

    fn field(&mut self, field: &'a Field, place: &mut Place, base: Option<&Value>, fresh: bool) -> Outcome {
        if field.read_only {
            let (below, parts) = (format!("{}/", place.name), format!("{}#", place.name));
            let posted = self.posted;
            let own = posted.entry(&place.name).map(|(name, _)| name);
            self.used.extend(own.into_iter().chain(posted.beginning(below)).chain(posted.beginning(parts)));
            return Outcome::Keep;
        }
        let drawn = text::drawn(&field.kind, base);
        if drawn != Drawn::Own {
            return self.text(field, drawn, place, base, fresh);
        }
        match &field.kind {
            Kind::Fixed(_) => Outcome::Keep,
            Kind::Object(fields) => self.inner(field, fields, place, base, fresh),
            Kind::Group { item, .. } => self.group(field, item, place, base, fresh),
            Kind::List { item, .. } => self.list(field, item, place, base, fresh),
            Kind::Moment => self.moment(field, place, base, fresh),
            Kind::Tick | Kind::Consent => self.tick(field, place, base, fresh),
            Kind::YesNo | Kind::Choice { .. } => self.choice(field, place, base),
            Kind::Choices(_) => self.choices(field, place, base, fresh),
            _ => self.text(field, drawn, place, base, fresh),
        }
    }

    fn inner(
        &mut self,
        field: &Field,
        fields: &'a [Field],
        place: &mut Place,
        base: Option<&Value>,
        fresh: bool,
    ) -> Outcome {
        let empty = Map::new();
        let was = base.and_then(Value::as_object);
        let object = self.object(fields, place, was.unwrap_or(&empty), was.is_none() || fresh);
        match was {
            None if object.answered => Outcome::Is(Value::Object(object.map)),
            None if field.required && fresh => Outcome::Implied(Value::Object(object.map)),
            None => Outcome::Keep,
            Some(_) if !object.changed => Outcome::Keep,
            Some(_) if object.answered || field.required => Outcome::Is(Value::Object(object.map)),
            Some(_) => Outcome::Absent,
        }
    }

    /// What an emptied control means.
    fn cleared(field: &Field, base: Option<&Value>) -> Outcome {
        match base {
            None => Outcome::Keep,
            Some(_) if field.nullable && !matches!(field.kind, Kind::Json) => Outcome::Is(Value::Null),
            Some(_) => Outcome::Absent,
        }
    }

    /// What an untouched control means: as it is, but a new object's answer that must be there and may be null is null.
    fn untouched(field: &Field, base: Option<&Value>, fresh: bool) -> Outcome {
        let is_null = base.is_none() && fresh && field.required && field.nullable && !matches!(field.kind, Kind::Json);
        if is_null { Outcome::Implied(Value::Null) } else { Outcome::Keep }
    }

    fn text(
        &mut self,
        field: &'a Field,
        drawn: Drawn,
        place: &mut Place,
        base: Option<&Value>,
        fresh: bool,
    ) -> Outcome {
        let Some(posted) = self.one(&place.name) else { return Outcome::Keep };
        let way = Way::of(&field.kind, drawn);
        if way.is_untouched(&text::shown(&field.kind, drawn, base), posted) {
            return Self::untouched(field, base, fresh);
        }
        let posted = if way == Way::Lines { text::lines(posted) } else { posted.trim().to_owned() };
        if posted.trim().is_empty() {
            return Self::cleared(field, base);
        }
        if drawn == Drawn::Json {
            return match json::read(&posted) {
                Ok(value) => self.whole(field, place, value),
                Err(fault) => {
                    self.fault(&place.name, "json", text::not_json(&fault));
                    Outcome::Keep
                }
            };
        }
        match text::meant(field, &posted, base, self.context.zone) {
            Ok(value) if base.is_some_and(|base| *base == value) => Outcome::Keep,
            Ok(value) => Outcome::Is(value),
            Err(message) => {
                let keyword = if matches!(field.kind, Kind::Json) { "json" } else { "type" };
                self.fault(&place.name, keyword, message);
                Outcome::Keep
            }
        }
    }

    /// A value that was entered as JSON where there usually is a control: its items are found again.
    fn whole(&mut self, field: &Field, place: &Place, value: Value) -> Outcome {
        if matches!(field.kind, Kind::Group { .. } | Kind::Object(_)) {
            let mut document = self.base.clone();
            if put(&mut document, &place.path, value.clone()) {
                let maker = self.maker;
                let schema = self.layout.schema();
                let matched = diff::match_items(schema, self.base, document.value, &mut |at, n| maker.key(at, n));
                let below = |at: &Path| at.0.starts_with(&place.path.0);
                self.keys.retain(|at, _| !below(at));
                self.keys.extend(matched.keys.into_iter().filter(|(at, _)| below(at)));
            }
        }
        Outcome::Is(value)
    }

    fn moment(&mut self, field: &Field, place: &mut Place, base: Option<&Value>, fresh: bool) -> Outcome {
        let (date, time) = (self.part(&place.name, "date"), self.part(&place.name, "time"));
        let zone = self.part(&place.name, "zone");
        // a program may send it whole
        if let Some(whole) = self.one(&place.name) {
            return match base.and_then(Value::as_str) {
                Some(own) if own == whole => Outcome::Keep,
                _ if whole.trim().is_empty() => Self::cleared(field, base),
                _ => Outcome::Is(Value::String(whole.trim().to_owned())),
            };
        }
        if date.is_none() && time.is_none() {
            return Outcome::Keep;
        }
        let shown = Moment::shown(base, self.context.zone);
        let date = date.unwrap_or(&shown.date).trim();
        let time = time.unwrap_or(&shown.time).trim();
        let zone = zone.map_or(shown.zone.as_str(), str::trim);
        if shown.is_same(date, time) && (zone == shown.zone || date.is_empty()) {
            return Self::untouched(field, base, fresh);
        }
        if date.is_empty() && time.is_empty() {
            return Self::cleared(field, base);
        }
        match Moment::meant(field, date, time, zone) {
            Ok(moment) => Outcome::Is(Value::String(moment)),
            Err(message) => {
                self.fault(&place.name, "format", message);
                Outcome::Keep
            }
        }
    }

    fn tick(&mut self, field: &Field, place: &mut Place, base: Option<&Value>, fresh: bool) -> Outcome {
        let drawn = self.part(&place.name, "shown").is_some();
        let ticked = self.one(&place.name).is_some();
        if !drawn && !ticked {
            return Outcome::Keep;
        }
        let was = base == Some(&Value::Bool(true));
        match (ticked, &field.kind) {
            (true, _) if was => Outcome::Keep,
            (true, _) => Outcome::Is(Value::Bool(true)),
            (false, Kind::Consent) if was => Outcome::Absent,
            (false, Kind::Consent) => Outcome::Keep,
            (false, _) if was => Outcome::Is(Value::Bool(false)),
            (false, _) if base.is_none() && fresh && field.required => Outcome::Implied(Value::Bool(false)),
            (false, _) => Outcome::Keep,
        }
    }

    fn choice(&mut self, field: &Field, place: &mut Place, base: Option<&Value>) -> Outcome {
        let drawn = self.part(&place.name, "shown").is_some();
        let token = match self.one(&place.name) {
            Some(token) => token,
            None if drawn => "",
            None => return Outcome::Keep,
        };
        let options = options::of(field, base);
        let chosen = options::chosen(&options, base, false);
        if chosen.first().map_or("", String::as_str) == token {
            return Outcome::Keep;
        }
        if token.is_empty() {
            return if base.is_some() { Outcome::Absent } else { Outcome::Keep };
        }
        match options.into_iter().find(|option| option.token == token).and_then(|option| option.value) {
            Some(value) => Outcome::Is(value),
            None => {
                self.no_such_option(place);
                Outcome::Keep
            }
        }
    }

    fn no_such_option(&mut self, place: &Place) {
        self.fault(&place.name, "enum", "Choose one of the values on offer.");
    }

    fn choices(&mut self, field: &Field, place: &mut Place, base: Option<&Value>, fresh: bool) -> Outcome {
        let drawn = self.part(&place.name, "shown").is_some();
        let tokens = self.several(&place.name);
        if !drawn && tokens.is_empty() {
            return Outcome::Keep;
        }
        let options = options::of(field, base);
        let chosen = options::chosen(&options, base, true);
        let posted: HashSet<&str> = tokens.iter().map(String::as_str).collect();
        if !posted.iter().all(|token| options.iter().any(|option| option.token == *token)) {
            self.no_such_option(place);
            return Outcome::Keep;
        }
        let is_same = chosen.len() == posted.len() && chosen.iter().all(|token| posted.contains(token.as_str()));
        if is_same {
            return Self::empty_list(field, base, fresh, posted.is_empty());
        }
        let was = base.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_chosen = |value: &&Value| {
            let is = |own: &Value| json::equal(own, value);
            options.iter().any(|option| posted.contains(option.token.as_str()) && option.value.as_ref().is_some_and(is))
        };
        let mut values: Vec<Value> = was.iter().filter(is_chosen).cloned().collect();
        for option in options.iter().filter(|option| posted.contains(option.token.as_str())) {
            values.extend(option.value.clone().filter(|value| !values.iter().any(|own| json::equal(own, value))));
        }
        if values.is_empty() && !field.required && !matches!(base, Some(Value::Array(_))) {
            return Outcome::Absent;
        }
        Outcome::Is(Value::Array(values))
    }

    /// A list nobody touched: one that must be there is empty in a new object.
    fn empty_list(field: &Field, base: Option<&Value>, fresh: bool, is_empty: bool) -> Outcome {
        let must = is_empty && base.is_none() && fresh && field.required;
        if must { Outcome::Implied(Value::Array(Vec::new())) } else { Outcome::Keep }
    }

    fn rows(&mut self, place: &Place, there: &[ItemKey]) -> Option<Vec<ItemKey>> {
        self.part(&place.name, "items")?;
        match rows::posted_rows(self.posted, self.maker, &place.path, &place.name, there)? {
            Ok(keys) => Some(keys),
            Err(fault) => {
                self.problems.push(Problem::at(&place.name, fault));
                None
            }
        }
    }

    fn list(
        &mut self,
        field: &Field,
        item: &'a Field,
        place: &mut Place,
        base: Option<&Value>,
        fresh: bool,
    ) -> Outcome {
        let was = base.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let there: Vec<ItemKey> = (0..was.len()).map(|number| self.maker.key(&place.path, number)).collect();
        let Some(keys) = self.rows(place, &there) else { return Outcome::Keep };
        let mut changed = keys.iter().filter(|key| there.contains(key)).ne(&there);
        let (mut values, mut order) = (Vec::new(), Vec::new());
        for key in keys {
            let own = there.iter().position(|other| *other == key).map(|at| &was[at]);
            let outcome = place.within(Segment::Item(key.clone()), |place| self.field(item, place, own, false));
            let value = match outcome {
                Outcome::Keep => own.cloned(),
                Outcome::Is(value) | Outcome::Implied(value) => {
                    changed = true;
                    Some(value)
                }
                Outcome::Absent => {
                    changed = true;
                    None
                }
            };
            if let Some(value) = value {
                values.push(value);
                order.push(key);
            }
        }
        self.rows.insert(place.path.clone(), order);
        if !changed {
            return Self::empty_list(field, base, fresh, values.is_empty());
        }
        if values.is_empty() && !field.required && !matches!(base, Some(Value::Array(_))) {
            return Self::cleared(field, base);
        }
        Outcome::Is(Value::Array(values))
    }

    fn group(
        &mut self,
        field: &Field,
        item: &'a [Field],
        place: &mut Place,
        base: Option<&Value>,
        fresh: bool,
    ) -> Outcome {
        let was = base.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let there: Vec<ItemKey> =
            self.base.keys.get(&place.path).filter(|_| base.is_some()).cloned().unwrap_or_default();
        let Some(keys) = self.rows(place, &there) else { return Outcome::Keep };
        let mut changed = keys.iter().filter(|key| there.contains(key)).ne(&there);
        let (mut values, mut order) = (Vec::new(), Vec::new());
        for key in keys {
            let own = there.iter().position(|other| *other == key).and_then(|at| was.get(at));
            let value = place.within(Segment::Item(key.clone()), |place| match own {
                Some(own) => {
                    let value = self.item(item, place, own, fresh);
                    changed |= value.is_some();
                    Some(value.unwrap_or_else(|| own.clone()))
                }
                None => {
                    let shown = prefill(item, None);
                    let object = self.object(item, place, shown.as_object().unwrap_or(&Map::new()), true);
                    object.answered.then_some(Value::Object(object.map))
                }
            });
            // an entry that was added and left blank is none
            if let Some(value) = value {
                changed |= own.is_none();
                values.push(value);
                order.push(key);
            }
        }
        if !changed {
            let outcome = Self::empty_list(field, base, fresh, values.is_empty());
            if matches!(outcome, Outcome::Implied(_)) {
                self.keys.insert(place.path.clone(), order);
            }
            return outcome;
        }
        self.keys.insert(place.path.clone(), order);
        Outcome::Is(Value::Array(values))
    }

    /// An item that is there already; `None` if it stays as it is. One that is no object is drawn as its JSON text.
    fn item(&mut self, fields: &'a [Field], place: &mut Place, own: &Value, fresh: bool) -> Option<Value> {
        match own {
            Value::Object(map) => {
                let object = self.object(fields, place, map, fresh);
                object.changed.then_some(Value::Object(object.map))
            }
            other => {
                let posted = self.one(&place.name)?;
                if Way::Lines.is_untouched(&text::pretty(other), posted) {
                    return None;
                }
                match json::read(posted) {
                    Ok(value) => Some(value),
                    Err(fault) => {
                        self.fault(&place.name, "json", text::not_json(&fault));
                        None
                    }
                }
            }
        }
    }
}

/// Puts a value at a place of a document. Says whether the place was there to put it.
fn put(document: &mut Document, path: &Path, value: Value) -> bool {
    let Some(pointer) = document.pointer(path) else { return false };
    if let Some(there) = document.value.pointer_mut(&pointer) {
        *there = value;
        return true;
    }
    false
}
