//! Records put into words: by their type, with the names of people and nodes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::FieldError;
use crate::domain::ids::{NodeId, PersonId, THE_HUB, TypeName};
use crate::domain::path::Path;
use crate::domain::record::EffectKind;
use crate::domain::schema::Schema;
use crate::domain::stamp::Stamp;
use crate::node::{Conflict, Node, NodeRole, Type};
use crate::store::{Held, HistoryLine};
use crate::views::part::{Change, Happening, Link, Person, Side, Tone, Versus, counted};
use crate::views::reading::Reader;
use crate::views::records::{TypeHead, one, several};
use crate::views::value::{Clock, Shown};
use crate::web::frame::hub_name;
use crate::web::session::Signed;
use crate::web::{App, WebError};

/// Longer than this nothing stands in a name, a button or a summary.
const BRIEF: usize = 40;
/// A change that came here later than this after it was made was made out of reach.
const LATE_MILLIS: i64 = 60_000;

/// A type, ready to read records by.
pub struct Reading {
    pub found: Arc<Type>,
    schema: Option<Arc<Schema>>,
    /// The schema as plain JSON, where this version cannot compile it.
    plain: Value,
    clock: Clock,
}

impl Reading {
    pub fn new(found: Arc<Type>, clock: Clock) -> Self {
        let schema = found.current.schema();
        let plain = match &schema {
            Some(_) => Value::Null,
            None => serde_json::from_str(&found.current.text).unwrap_or_default(),
        };
        Self { found, schema, plain, clock }
    }

    pub fn of(signed: &Signed, type_name: &str) -> Result<Self, WebError> {
        Ok(Self::new(signed.node().type_named(&signed.actor, type_name)?, signed.clock()))
    }

    pub fn schema(&self) -> Option<&Schema> {
        self.schema.as_deref()
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self.schema.as_ref().map_or(&self.plain, |schema| schema.source()), &self.clock)
    }

    pub fn head(&self) -> TypeHead {
        TypeHead { is_retired: self.found.retired, ..TypeHead::named(self.found.name.as_str(), &self.found.title) }
    }

    /// What a record is called.
    pub fn name(&self, held: &Held) -> String {
        self.name_of(&held.document.value, held)
    }

    fn name_of(&self, value: &Value, held: &Held) -> String {
        self.reader().name_of(value).unwrap_or_else(|| {
            let id = held.id.simple().to_string();
            format!("{} {}", self.found.title, &id[id.len() - 6..])
        })
    }

    pub fn link(&self, held: &Held) -> Link {
        Link::to(address(&held.type_name, held.id), self.name(held))
    }

    /// What is wrong, field and sentence.
    pub fn errors(&self, errors: &[FieldError]) -> Vec<(String, String)> {
        let reader = self.reader();
        errors.iter().map(|error| (reader.label(&error.pointer), error.message.clone())).collect()
    }
}

/// The readings that a page about several types needs, made once each.
pub struct Readings {
    clock: Clock,
    known: HashMap<TypeName, Reading>,
}

impl Readings {
    pub fn new(clock: Clock) -> Self {
        Self { clock, known: HashMap::new() }
    }

    /// `None` if the type is not here.
    pub fn get(&mut self, node: &Node, name: &TypeName) -> Option<&Reading> {
        if !self.known.contains_key(name) {
            let reading = Reading::new(node.caches().get(name)?, self.clock.clone());
            self.known.insert(name.clone(), reading);
        }
        self.known.get(name)
    }
}

/// Where a record's page is.
pub fn address(type_name: &TypeName, id: uuid::Uuid) -> String {
    format!("/records/{type_name}/{id}")
}

/// What people and nodes are called.
pub struct Names<'a> {
    node: &'a Node,
    nodes: HashMap<NodeId, String>,
}

impl<'a> Names<'a> {
    pub async fn of(app: &'a App) -> Result<Names<'a>, WebError> {
        let identity = app.node.identity();
        let mut nodes = HashMap::from([(identity.node, app.node.name())]);
        if let NodeRole::Edge(upstream) = &identity.role {
            let name = app.link.as_ref().map(|link| hub_name(app, &link.status()));
            nodes.insert(upstream.node, name.unwrap_or_else(|| upstream.name.clone()));
        }
        if let Some(below) = &app.nodes {
            nodes.extend(below.list().await?.into_iter().map(|node| (node.id, node.name)));
        }
        Ok(Self { node: &app.node, nodes })
    }

    pub fn person(&self, id: PersonId) -> String {
        match self.node.caches().person(id) {
            Some(person) if !person.name.is_empty() => person.name.clone(),
            Some(person) => person.email.clone(),
            None if id.is_nil() => "The operator".to_owned(),
            None if id == THE_HUB => "The hub".to_owned(),
            None => "A program".to_owned(),
        }
    }

    /// "on Platform 7".
    pub fn place(&self, id: NodeId) -> String {
        match self.nodes.get(&id) {
            Some(name) => format!("on {name}"),
            None => "on another node".to_owned(),
        }
    }

    fn is_here(&self, id: NodeId) -> bool {
        self.node.identity().node == id
    }
}

/// A lost value beside the one that stands, as it is shown at its field.
pub fn versus(signed: &Signed, reading: &Reading, names: &Names<'_>, conflict: &Conflict, back: &str) -> Versus {
    let reader = reading.reader();
    let clock = signed.clock();
    let side = |side: &crate::node::Side| Side {
        value: reader.at(&conflict.pointer, side.value.as_ref()),
        by: Some(Person::named(names.person(side.by))),
        at: clock.when_millis(side.at),
        place: names.place(side.node),
        remark: String::new(),
    };
    let lost = side(&conflict.lost);
    let restore_words = match &conflict.lost.value {
        Some(_) if conflict.asks => format!("Use {}", lost.value.brief(BRIEF)),
        Some(_) => format!("Bring back {}", lost.value.brief(BRIEF)),
        None => "Clear it again".to_owned(),
    };
    let kept = side(&conflict.kept);
    let keep_words = match &conflict.kept.value {
        Some(_) if conflict.asks => format!("Keep {}", kept.value.brief(BRIEF)),
        None if conflict.asks => "Keep it empty".to_owned(),
        _ => "Fine as it is".to_owned(),
    };
    Versus {
        asks: conflict.asks,
        keep_words,
        id: conflict.id.to_string(),
        csrf: signed.session.csrf.clone(),
        kept,
        lost,
        restore_words,
        may_decide: signed.session.role >= crate::domain::people::Role::Staff,
        back: back.to_owned(),
    }
}

/// What happened to a record, newest first: one entry for each save, the making of it last. Those of `wanted`, and how many
/// there are.
pub fn happenings(
    reading: &Reading,
    names: &Names<'_>,
    held: &Held,
    lines: &[HistoryLine],
    wanted: Range<usize>,
) -> (Vec<Happening>, usize) {
    let saves: Vec<&[HistoryLine]> = lines.chunk_by(|a, b| a.stamp == b.stamp && a.seq == b.seq).collect();
    let shown = saves.iter().skip(wanted.start).take(wanted.len());
    let mut happenings: Vec<Happening> = shown.map(|lines| happening(reading, names, lines)).collect();
    let made = made(held);
    let total = saves.len() + usize::from(made.is_some());
    if let Some(stamp) = made.filter(|_| wanted.contains(&saves.len())) {
        let place = place(names, &stamp, None, &reading.clock);
        happenings.push(Happening {
            who: names.person(stamp.author.person),
            what: "made it".to_owned(),
            at: reading.clock.when_millis(stamp.time.millis()),
            place,
            ..Happening::default()
        });
    }
    (happenings, total)
}

/// The stamp of the save that made a record.
pub fn made(held: &Held) -> Option<Stamp> {
    held.state.root.write.as_ref().map(|write| write.stamp)
}

fn happening(reading: &Reading, names: &Names<'_>, lines: &[HistoryLine]) -> Happening {
    let first = &lines[0];
    let reader = reading.reader();
    let is = |act: EffectKind| lines.iter().all(|line| line.act == act);
    let has = |act: EffectKind| lines.iter().any(|line| line.act == act);
    let valued = valued(reading, lines);
    let (tone, what) = if is(EffectKind::Binned) {
        (Tone::Wait, "put it in the bin".to_owned())
    } else if is(EffectKind::Restored) {
        (Tone::Ok, "took it out of the bin".to_owned())
    } else if is(EffectKind::Moved) {
        (Tone::Plain, "moved an item".to_owned())
    } else if is(EffectKind::Overruled) {
        (Tone::Merge, "saved a value that lost against a later one".to_owned())
    } else if is(EffectKind::Denied) {
        (Tone::Stop, "saved what the hub did not accept; it is in quarantine".to_owned())
    } else if first.stamp.author.person == THE_HUB {
        (Tone::Stop, "put back what stands, in place of what it did not accept".to_owned())
    } else {
        let tone = if has(EffectKind::Overruled) { Tone::Merge } else { Tone::Info };
        (tone, format!("saved {}", counted(valued.len().max(1) as u64, "field", "fields")))
    };
    let changes = valued.into_iter().map(|line| {
        let pointer = line.path.to_string();
        let words =
            |value: Option<&Value>| Some(reader.at(&pointer, value)).filter(|shown| !shown.is_missing()).map(flat);
        let mut label = reader.label(&pointer);
        if line.act == EffectKind::Overruled {
            label.push_str(" (lost)");
        }
        if line.act == EffectKind::Denied {
            label.push_str(" (not accepted)");
        }
        Change { label, old: words(line.old.as_ref()), new: words(line.new.as_ref()) }
    });
    Happening {
        tone,
        who: names.person(first.stamp.author.person),
        what,
        subject: None,
        changes: changes.collect(),
        at: reading.clock.when_millis(first.stamp.time.millis()),
        place: place(names, &first.stamp, Some(first.seen_at), &reading.clock),
    }
}

/// The lines of a save that have a value to show, in the order of the form; what a line above one shows is not shown twice.
fn valued<'a>(reading: &Reading, lines: &'a [HistoryLine]) -> Vec<&'a HistoryLine> {
    let has_value =
        |line: &&HistoryLine| matches!(line.act, EffectKind::Changed | EffectKind::Overruled | EffectKind::Denied);
    let shows = |outer: &HistoryLine, line: &HistoryLine| {
        let (above, below) = (&outer.path.0, &line.path.0);
        let is_empty = outer.new.as_ref().is_none_or(|new| new.as_array().is_some_and(Vec::is_empty));
        outer.act == line.act && !is_empty && above.len() < below.len() && below.starts_with(above)
    };
    let is_told = |line: &&HistoryLine| !lines.iter().any(|outer| shows(outer, line));
    let mut valued: Vec<&HistoryLine> = lines.iter().filter(has_value).filter(is_told).collect();
    let fields = reading.schema().map(Schema::fields).unwrap_or_default();
    valued.sort_by_key(|line| {
        let top = line.path.to_string();
        let end = top.get(1..).and_then(|rest| rest.find('/')).map_or(top.len(), |at| at + 1);
        fields.iter().position(|field| field.pointer == top[..end]).unwrap_or(usize::MAX)
    });
    valued
}

/// A value in a line or a few of them, whatever it is.
fn flat(shown: Shown) -> Shown {
    let line = |cells: Vec<&Shown>| {
        let words = cells.into_iter().filter(|cell| !cell.is_missing()).map(|cell| cell.brief(BRIEF));
        Shown::text(words.collect::<Vec<_>>().join(" · "))
    };
    match shown {
        Shown::Facts(facts) => line(facts.iter().map(|fact| &fact.value).collect()),
        Shown::Table(table) if table.rows.len() == 1 => line(table.rows[0].iter().collect()),
        Shown::Table(table) => Shown::List(table.rows.iter().map(|row| line(row.iter().collect())).collect()),
        other => other,
    }
}

/// "on Platform 7 · came here 13:40".
fn place(names: &Names<'_>, stamp: &Stamp, seen_at: Option<i64>, clock: &Clock) -> String {
    let mut words = names.place(stamp.author.node);
    let late = seen_at.filter(|at| at - stamp.time.millis() > LATE_MILLIS && !names.is_here(stamp.author.node));
    if let Some(at) = late {
        words.push_str(&format!(" · came here {}", clock.when_millis(at).words));
    }
    words
}

/// The place that a pointer with item keys names in a record, as a plain pointer with positions.
pub fn positional(held: &Held, pointer: &str) -> String {
    let path = Path::parse(pointer, |place| held.document.is_group(place));
    path.and_then(|path| held.document.pointer(&path)).unwrap_or_else(|| pointer.to_owned())
}

/// "12 work orders".
pub fn so_many(n: u64, title: &str) -> String {
    counted(n, &one(title), &one(&several(title)))
}

/// Words of a value, for a button or a sentence.
pub fn brief(shown: &Shown) -> String {
    shown.brief(BRIEF)
}
