//! Builds the controls of a form from its layout, the record and what was typed.

use serde_json::{Map, Value};

use super::base::Base;
use super::decode::Context;
use super::keys::KeyMaker;
use super::layout::{Field, Kind, Layout, TextInput, prefill};
use super::options;
use super::posted::{Action, Posted};
use super::rows;
use super::text::{self, Drawn, Moment};
use super::view::{Choice, Control, Form, Head, Input, Node, Options, Row, Rows, Section};
use crate::domain::path::{ItemKey, Path, Segment, escape};

/// The form with all that was typed, changed as the button says; whether it said anything of this form is told.
pub(super) fn build(
    layout: &Layout,
    base: &Base,
    posted: &Posted,
    context: Context,
    action: Option<(&Action, &mut bool)>,
) -> Form {
    let empty = Map::new();
    let mut builder = Builder {
        base,
        posted,
        context,
        maker: KeyMaker { secret: context.secret, submission: base.submission },
        action,
        path: Path::root(),
        name: String::new(),
        focus: false,
    };
    let root = base.document.value.as_object().unwrap_or(&empty);
    let nodes = builder.object(&layout.fields, root);
    Form {
        hidden: vec![
            ("_base", base.seal(context.secret)),
            ("_schema", base.revision.to_string()),
            ("_submission", base.submission.to_string()),
        ],
        nodes,
        summary: Vec::new(),
        is_new: base.is_new(),
    }
}

struct Builder<'a> {
    base: &'a Base,
    posted: &'a Posted,
    context: Context<'a>,
    maker: KeyMaker<'a>,
    action: Option<(&'a Action, &'a mut bool)>,
    path: Path,
    name: String,
    /// The next control is the first of what was added.
    focus: bool,
}

impl<'a> Builder<'a> {
    fn within<T>(&mut self, segment: Segment, then: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.name.len();
        match &segment {
            Segment::Property(name) => {
                self.name.push('/');
                self.name.push_str(&escape(name));
            }
            Segment::Item(key) => {
                self.name.push_str("/@");
                self.name.push_str(&escape(&key.0));
            }
        }
        self.path.0.push(segment);
        let result = then(self);
        self.path.0.pop();
        self.name.truncate(length);
        result
    }

    fn object(&mut self, fields: &[Field], value: &Map<String, Value>) -> Vec<Node> {
        let mut nodes = Vec::with_capacity(fields.len());
        for field in fields {
            let value = value.get(&field.name);
            let node = self.within(Segment::Property(field.name.clone()), |here| here.node(field, value));
            nodes.extend(node);
        }
        for (name, value) in value.iter().filter(|(name, _)| !fields.iter().any(|field| field.name == **name)) {
            let node = self.within(Segment::Property(name.clone()), |here| here.carried(name, value));
            nodes.push(node);
        }
        nodes
    }

    /// A value of which the type says nothing: shown, kept, and not asked.
    fn carried(&mut self, name: &str, value: &Value) -> Node {
        let label = if name.trim().is_empty() { "No name".to_owned() } else { name.to_owned() };
        let head = Head {
            name: self.name.clone(),
            id: id(&self.name),
            label,
            hint: Some("Not part of this form. It is kept as it is.".to_owned()),
            ..Head::default()
        };
        Node::Control(Control { head, input: Input::Fixed { text: options::short(value), unit: None } })
    }

    fn head(&mut self, field: &Field) -> Head {
        Head {
            name: self.name.clone(),
            id: id(&self.name),
            label: field.label.clone(),
            hint: field.hint.clone(),
            optional: field.optional && !field.read_only,
            message: None,
            focus: false,
        }
    }

    fn node(&mut self, field: &Field, value: Option<&Value>) -> Option<Node> {
        if field.read_only {
            let text = match value {
                Some(value @ (Value::Array(_) | Value::Object(_))) => text::pretty(value),
                Some(value) => options::short(value),
                None => return None,
            };
            let input = Input::Fixed { text, unit: field.unit.clone() };
            return Some(Node::Control(Control { head: self.head(field), input }));
        }
        let drawn = text::drawn(&field.kind, value);
        match (&field.kind, drawn) {
            (Kind::Object(fields), Drawn::Own) => {
                let empty = Map::new();
                let head = self.head(field);
                let nodes = self.object(fields, value.and_then(Value::as_object).unwrap_or(&empty));
                Some(Node::Section(Section { head, nodes }))
            }
            (Kind::Group { item, item_label, most, least }, Drawn::Own) => {
                Some(Node::Rows(self.group(field, item, item_label, (*least, *most), value)))
            }
            (Kind::List { item, most, least }, Drawn::Own) => {
                Some(Node::Rows(self.list(field, item, (*least, *most), value)))
            }
            (Kind::Fixed(fixed), _) => {
                let text = options::short(value.unwrap_or(fixed));
                let unit = field.unit.clone();
                Some(Node::Control(Control { head: self.head(field), input: Input::Fixed { text, unit } }))
            }
            _ => Some(Node::Control(self.control(field, drawn, value))),
        }
    }

    fn control(&mut self, field: &Field, drawn: Drawn, value: Option<&Value>) -> Control {
        let mut head = self.head(field);
        head.focus = std::mem::take(&mut self.focus);
        let input = self.input(field, drawn, value);
        Control { head, input }
    }

    fn input(&mut self, field: &Field, drawn: Drawn, value: Option<&Value>) -> Input {
        let typed = |name: &str| self.posted.get(name).map(str::to_owned);
        let text = || typed(&self.name).unwrap_or_else(|| text::shown(&field.kind, drawn, value));
        let line = |kind: &'static str, inputmode: Option<&'static str>| Input::Line {
            kind,
            inputmode,
            text: text(),
            unit: field.unit.clone(),
            step: None,
        };
        match (drawn, &field.kind) {
            (Drawn::Json, _) | (Drawn::Own, Kind::Json) => {
                let text = text();
                Input::Lines { rows: text.lines().count().clamp(3, 20), text, is_json: true }
            }
            (Drawn::Lines, _) | (Drawn::Own, Kind::Lines) => {
                let text = text();
                Input::Lines { rows: text.lines().count().clamp(4, 20), text, is_json: false }
            }
            (_, Kind::Number { integer }) => line("text", Some(if *integer { "numeric" } else { "decimal" })),
            (Drawn::Line, _) => line("text", None),
            (_, Kind::Date) => self.picker("date", text(), text::is_date, None),
            (_, Kind::Time) => {
                let step = text().matches(':').count().gt(&1).then_some("any");
                self.picker("time", text(), text::is_time, step)
            }
            (_, Kind::Moment) => {
                let shown = Moment::shown(value, self.context.zone);
                let part = |part: &str, own: String| typed(&format!("{}#{part}", self.name)).unwrap_or(own);
                let time = part("time", shown.time);
                Input::Moment {
                    date: part("date", shown.date),
                    with_seconds: time.matches(':').count() > 1,
                    time,
                    zone: part("zone", shown.zone),
                }
            }
            (_, Kind::Tick | Kind::Consent) => {
                let drawn = self.posted.get(&format!("{}#shown", self.name)).is_some();
                let ticked = match typed(&self.name) {
                    Some(_) => true,
                    None => !drawn && value == Some(&Value::Bool(true)),
                };
                Input::Tick { ticked, json: "true".to_owned() }
            }
            (_, Kind::YesNo | Kind::Choice { .. } | Kind::Choices(_)) => self.options(field, value),
            (_, Kind::Text(TextInput::Email)) => line("email", None),
            (_, Kind::Text(TextInput::Url)) => line("url", None),
            _ => line("text", None),
        }
    }

    /// A browser's date or time control; where it could not show what was typed, a line of text.
    fn picker(&self, kind: &'static str, text: String, fits: fn(&str) -> bool, step: Option<&'static str>) -> Input {
        let kind = if text.is_empty() || fits(&text) { kind } else { "text" };
        Input::Line { kind, inputmode: None, text, unit: None, step }
    }

    fn options(&mut self, field: &Field, value: Option<&Value>) -> Input {
        let several = matches!(field.kind, Kind::Choices(_));
        let options = options::of(field, value);
        let own = options::chosen(&options, value, several);
        let drawn = self.posted.get(&format!("{}#shown", self.name)).is_some();
        let typed = self.posted.all(&self.name);
        let chosen: &[String] = if drawn || !typed.is_empty() { typed } else { &own };
        let as_ = match &field.kind {
            Kind::Choices(_) => Options::Boxes,
            Kind::Choice { menu: true, .. } => Options::Menu,
            Kind::YesNo => Options::RadioRow,
            _ => Options::Radio,
        };
        let blank = match as_ {
            Options::Menu => Some("Not answered"),
            // where null is a value, it is the way back
            Options::Radio | Options::RadioRow if !field.required && !field.nullable => Some("No answer"),
            _ => None,
        };
        let blank = blank.map(|label| Choice {
            token: String::new(),
            json: None,
            label: label.to_owned(),
            note: None,
            chosen: chosen.first().is_none_or(|token| token.is_empty()),
        });
        let choice = |option: options::Choosable| Choice {
            chosen: chosen.contains(&option.token),
            json: option.value.map(|value| value.to_string()),
            token: option.token,
            label: option.label,
            note: option.note,
        };
        let offered = options.into_iter().map(choice);
        let options = match as_ {
            Options::Menu => blank.into_iter().chain(offered).collect(),
            _ => offered.chain(blank).collect(),
        };
        Input::Options { options, as_ }
    }

    /// The keys of the rows that are drawn, and of the one that was just added.
    fn keys(&mut self, there: Vec<ItemKey>, blank: usize) -> (Vec<ItemKey>, Option<ItemKey>) {
        let posted = rows::posted_rows(self.posted, self.maker, &self.path, &self.name, &there);
        let mut keys = match posted {
            Some(Ok(keys)) => keys,
            _ if there.is_empty() => (0..blank).map(|number| self.maker.key(&self.path, number)).collect(),
            _ => there,
        };
        let mut added = None;
        if let Some((action, done)) = &mut self.action
            && let Some(new) = rows::act(action, self.maker, &self.path, &self.name, &mut keys)
        {
            **done = true;
            added = new;
        }
        (keys, added)
    }

    fn group(
        &mut self,
        field: &Field,
        fields: &[Field],
        item_label: &str,
        (least, most): (usize, Option<usize>),
        value: Option<&Value>,
    ) -> Rows {
        let head = self.head(field);
        let base = self.base;
        let was = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let there = base.document.keys.get(&self.path).filter(|_| value.is_some()).cloned().unwrap_or_default();
        let blank = if field.required && value.is_none() { least.min(3) } else { 0 };
        let (keys, added) = self.keys(there.clone(), blank);
        let marker = (rows::marker(&self.name), rows::written(&keys));
        let count = keys.len();
        let empty = Map::new();
        let mut rows = Vec::with_capacity(count);
        for (number, key) in keys.into_iter().enumerate() {
            let own = there.iter().position(|other| *other == key).and_then(|at| was.get(at));
            self.focus |= added.as_ref() == Some(&key);
            let row = self.within(Segment::Item(key), |here| {
                let (nodes, summary) = match own {
                    Some(Value::Object(map)) => (here.object(fields, map), None),
                    Some(other) => (vec![here.raw(item_label, other)], Some(options::short(other))),
                    None => {
                        let shown = prefill(fields, None);
                        (here.object(fields, shown.as_object().unwrap_or(&empty)), None)
                    }
                };
                let summary = summary.or_else(|| first_text(&nodes));
                here.row(number, count, item_label, summary, own.is_none(), nodes)
            });
            self.focus = false;
            rows.push(row);
        }
        let (add, limit) = adding(item_label, count, least, most);
        Rows { head, marker, rows, is_list: false, add, limit }
    }

    fn list(
        &mut self,
        field: &Field,
        item: &Field,
        (least, most): (usize, Option<usize>),
        value: Option<&Value>,
    ) -> Rows {
        let head = self.head(field);
        let was = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let there: Vec<ItemKey> = (0..was.len()).map(|number| self.maker.key(&self.path, number)).collect();
        // an empty row to begin with
        let (keys, added) = self.keys(there.clone(), 1);
        let marker = (rows::marker(&self.name), rows::written(&keys));
        let count = keys.len();
        let mut rows = Vec::with_capacity(count);
        for (number, key) in keys.into_iter().enumerate() {
            let own = there.iter().position(|other| *other == key).and_then(|at| was.get(at));
            self.focus |= added.as_ref() == Some(&key);
            let row = self.within(Segment::Item(key), |here| {
                let drawn = text::drawn(&item.kind, own);
                let mut control = here.control(item, drawn, own);
                control.head.label = format!("{}, {}", item.label, number + 1);
                let nodes = vec![Node::Control(control)];
                let summary = first_text(&nodes);
                here.row(number, count, &item.label, summary, own.is_none(), nodes)
            });
            self.focus = false;
            rows.push(row);
        }
        let (add, limit) = adding("entry", count, least, most);
        Rows { head, marker, rows, is_list: true, add, limit }
    }

    fn row(
        &self,
        number: usize,
        count: usize,
        label: &str,
        summary: Option<String>,
        is_new: bool,
        nodes: Vec<Node>,
    ) -> Row {
        let words = summary.unwrap_or_else(|| label.to_owned());
        Row {
            id: format!("{}-row", id(&self.name)),
            name: self.name.clone(),
            title: format!("{}. {words}", number + 1),
            called: format!("{} {words}", number + 1),
            is_first: number == 0,
            is_last: number + 1 == count,
            is_new,
            focus: None,
            nodes,
        }
    }

    /// An entry that is no object: its JSON text.
    fn raw(&mut self, label: &str, value: &Value) -> Node {
        let text = self.posted.get(&self.name).map_or_else(|| text::pretty(value), str::to_owned);
        let head = Head {
            name: self.name.clone(),
            id: id(&self.name),
            label: label.to_owned(),
            focus: std::mem::take(&mut self.focus),
            ..Head::default()
        };
        let rows = text.lines().count().clamp(3, 20);
        Node::Control(Control { head, input: Input::Lines { text, rows, is_json: true } })
    }
}

fn adding(label: &str, count: usize, least: usize, most: Option<usize>) -> (Option<String>, String) {
    let limit = match (least, most) {
        (0, None) => String::new(),
        (0, Some(most)) => format!("At most {most}."),
        (least, None) => format!("At least {least}."),
        (least, Some(most)) => format!("At least {least}, at most {most}."),
    };
    let called = match label.chars().next() {
        Some(first) if label.chars().nth(1).is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(label.chars().skip(1)).collect()
        }
        _ => label.to_owned(),
    };
    let article = if called.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    let may = most.is_none_or(|most| count < most) && count < text::ROWS;
    (may.then(|| format!("Add {article} {called}")), limit)
}

/// What an item is called: the first text in it.
fn first_text(nodes: &[Node]) -> Option<String> {
    nodes.iter().find_map(|node| match node {
        Node::Control(Control { input: Input::Line { text, .. }, .. }) if !text.trim().is_empty() => {
            Some(text.trim().chars().take(80).collect())
        }
        Node::Control(Control { input: Input::Options { options, .. }, .. }) => {
            options.iter().find(|option| option.chosen && option.json.is_some()).map(|option| option.label.clone())
        }
        _ => None,
    })
}

/// A short hash of a name, for the `id` attribute.
fn id(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    format!("f{}", data_encoding::BASE32_DNSSEC.encode(&hash.as_bytes()[..6]))
}
