//! Writes what the node holds as the JSON that the API speaks. Records go straight to bytes: they are the hot path.

use std::collections::HashMap;
use std::io::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::time;
use crate::domain::ids::{NodeId, PersonId};
use crate::domain::path::{ItemKey, Path, Segment, escape};
use crate::domain::record::{Content, Keys, Place};
use crate::domain::schema::Shape;
use crate::domain::stamp::Stamp;
use crate::node::{KnownNode, Node, NodeRole, Revision, Verdict};
use crate::store::{Flags, Held, Listed};
use crate::web::App;

const PLAIN: &str = "what is written is plain data, and a Vec takes all of it";

/// Names for the people and nodes that stamps speak of.
pub struct Who<'a> {
    node: &'a Node,
    /// Those below a hub.
    nodes: HashMap<NodeId, String>,
}

impl<'a> Who<'a> {
    /// Knows people, this node and its hub.
    pub fn here(node: &'a Node) -> Self {
        Self { node, nodes: HashMap::new() }
    }

    /// Knows these nodes, too.
    pub fn knowing(node: &'a Node, known: Vec<KnownNode>) -> Self {
        Self { node, nodes: known.into_iter().map(|known| (known.id, known.name)).collect() }
    }

    /// Knows the nodes below this hub, too. That they cannot be told is no reason to fail.
    pub async fn everywhere(app: &'a App) -> Self {
        let mut who = Self::here(&app.node);
        if let Some(nodes) = &app.nodes {
            let known = nodes.list().await.unwrap_or_else(|err| {
                tracing::warn!("the nodes cannot be listed: {err}");
                Vec::new()
            });
            who.nodes = known.into_iter().map(|known| (known.id, known.name)).collect();
        }
        who
    }

    /// Knows who wrote in a record.
    pub async fn of(app: &'a App, held: &Held) -> Self {
        let own = app.node.identity().node;
        let mut foreign = false;
        held.state.each_stamp(&mut |stamp| foreign |= stamp.author.node != own);
        if foreign && app.nodes.is_some() { Self::everywhere(app).await } else { Self::here(&app.node) }
    }

    pub fn person(&self, id: PersonId) -> Value {
        match self.node.caches().person(id) {
            Some(person) => json!({ "id": id, "name": person.name, "email": person.email }),
            None => json!({ "id": id, "name": self.node.token_name(id) }),
        }
    }

    pub fn node(&self, id: NodeId) -> Value {
        let identity = self.node.identity();
        let name = match &identity.role {
            _ if id == identity.node => Some(&identity.name),
            NodeRole::Edge(hub) if id == hub.node => Some(&hub.name),
            _ => self.nodes.get(&id),
        };
        json!({ "id": id, "name": name })
    }
}

/// Appends a record; with `who`, also when each of its fields was written, by whom and where.
pub fn record(out: &mut Vec<u8>, node: &Node, held: &Held, who: Option<&Who>) {
    let revision = held.state.revision().and_then(|id| node.caches().revision(id));
    open(out, node, &held.listed(), revision.as_deref());
    if let Some(who) = who {
        out.extend_from_slice(b",\"fields\":");
        fields(out, held, revision.as_deref(), who);
    }
    out.push(b'}');
}

/// Appends a record of a list.
pub fn listed(out: &mut Vec<u8>, node: &Node, listed: &Listed) {
    let revision = listed.revision.and_then(|id| node.caches().revision(id));
    open(out, node, listed, revision.as_deref());
    out.push(b'}');
}

/// Appends what is said of every record, and leaves the object open.
fn open(out: &mut Vec<u8>, node: &Node, listed: &Listed, revision: Option<&Revision>) {
    write!(out, "{{\"id\":\"{}\",\"type\":\"{}\",\"data\":", listed.id, listed.type_name).expect(PLAIN);
    out.extend_from_slice(listed.document.as_bytes());
    out.extend_from_slice(b",\"schema_version\":");
    put(out, &revision.map(|revision| revision.version));
    match verdict(node, listed) {
        Verdict::Valid => out.extend_from_slice(b",\"valid\":true,\"errors\":[]"),
        Verdict::UnknownRevision => out.extend_from_slice(b",\"valid\":null,\"errors\":[]"),
        Verdict::Invalid(errors) => {
            out.extend_from_slice(b",\"valid\":false,\"errors\":");
            put(out, &errors);
        }
    }
    write!(out, ",\"deleted\":{}", listed.flags.has(Flags::BINNED)).expect(PLAIN);
    if listed.flags.has(Flags::EDITED_AFTER_DELETION) {
        out.extend_from_slice(b",\"edited_after_deletion\":true");
    }
    out.extend_from_slice(b",\"updated_at\":\"");
    time::write(out, listed.latest.time.millis());
    out.push(b'"');
}

/// What the flags say; the errors are looked for only where there are some.
fn verdict(node: &Node, listed: &Listed) -> Verdict {
    if listed.flags.has(Flags::INVALID) {
        let document: Value = serde_json::from_str(&listed.document).unwrap_or_default();
        node.verdict_of(listed.revision, &document)
    } else if listed.flags.has(Flags::UNKNOWN_REVISION) {
        Verdict::UnknownRevision
    } else {
        Verdict::Valid
    }
}

pub fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect(PLAIN);
}

/// Appends `{pointer: {at, by, node}}` for every field that has a value, and for those that were cleared.
fn fields(out: &mut Vec<u8>, held: &Held, revision: Option<&Revision>, who: &Who) {
    let schema = revision.and_then(Revision::schema);
    let mut writer = Fields { out, keys: &held.document.keys, who, said: Vec::new(), path: Path::root(), first: true };
    writer.out.push(b'{');
    let shape = schema.as_ref().map(|schema| schema.shape());
    writer.walk(&held.document.value, shape, Some(&held.state.root), Stamp::NEVER, &mut String::new());
    held.state.root.visit(&mut Path::root(), &mut |path, place| {
        if let Some(write) = &place.write
            && write.content == Content::Absent
            && held.document.get(path).is_none()
        {
            writer.say(&path.to_string(), write.stamp);
        }
    });
    writer.out.push(b'}');
}

struct Fields<'a> {
    out: &'a mut Vec<u8>,
    keys: &'a Keys,
    who: &'a Who<'a>,
    /// Stamps that were written out already; a record has few.
    said: Vec<(Stamp, Vec<u8>)>,
    path: Path,
    first: bool,
}

impl Fields<'_> {
    /// Goes down through objects of a fixed shape and through items; all else is one field. `stamp` decided what is above.
    fn walk(
        &mut self,
        value: &Value,
        shape: Option<&Shape>,
        place: Option<&Place>,
        stamp: Stamp,
        pointer: &mut String,
    ) {
        let stamp = place.and_then(|place| place.write.as_ref()).map_or(stamp, |write| stamp.max(write.stamp));
        let parted = place.is_some_and(|place| !place.inside.is_empty());
        match value {
            Value::Object(members)
                if !members.is_empty()
                    && (parted || self.path.is_root() || matches!(shape, Some(Shape::Object(_)))) =>
            {
                for (name, below) in members {
                    let shape = match shape {
                        Some(Shape::Object(object)) => Some(object.shape_of(name)),
                        _ => None,
                    };
                    self.step(Segment::Property(name.clone()), below, shape, place, stamp, pointer);
                }
            }
            // sets, counters and long texts, made of many writes, are one field each
            Value::Array(_) | Value::Number(_) | Value::String(_)
                if parted && matches!(shape, Some(Shape::Set | Shape::Counter | Shape::Text)) =>
            {
                self.say(pointer, place.map_or(stamp, |place| stamp.max(place.latest())));
            }
            Value::Array(items) if !items.is_empty() && self.keys.contains_key(&self.path) => {
                let keys: &[ItemKey] = &self.keys[&self.path];
                let shape = match shape {
                    Some(Shape::Group(item)) => Some(&**item),
                    _ => None,
                };
                for (key, item) in keys.iter().zip(items) {
                    self.step(Segment::Item(key.clone()), item, shape, place, stamp, pointer);
                }
            }
            _ => self.say(pointer, stamp),
        }
    }

    fn step(
        &mut self,
        segment: Segment,
        value: &Value,
        shape: Option<&Shape>,
        place: Option<&Place>,
        stamp: Stamp,
        pointer: &mut String,
    ) {
        let length = pointer.len();
        match &segment {
            Segment::Property(name) => pointer.extend(["/", &escape(name)]),
            Segment::Item(key) => pointer.extend(["/@", &escape(&key.0)]),
        }
        let below = place.and_then(|place| place.inside.get(&segment));
        self.path.0.push(segment);
        self.walk(value, shape, below, stamp, pointer);
        self.path.0.pop();
        pointer.truncate(length);
    }

    fn say(&mut self, pointer: &str, stamp: Stamp) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        put(self.out, &pointer);
        self.out.push(b':');
        if let Some((_, said)) = self.said.iter().rev().find(|(other, _)| *other == stamp) {
            self.out.extend_from_slice(said);
            return;
        }
        let said = json!({
            "at": time::text(stamp.time.millis()),
            "by": self.who.person(stamp.author.person),
            "node": self.who.node(stamp.author.node),
        });
        let said = serde_json::to_vec(&said).expect(PLAIN);
        self.out.extend_from_slice(&said);
        self.said.push((stamp, said));
    }
}
