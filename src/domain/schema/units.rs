//! Merge units: places that one rule of the schema speaks of together, and that are therefore written and stamped together.
//!
//! `if`/`then`/`else`, `dependentRequired`, `dependentSchemas`, `anyOf`, `oneOf` and `not` tie what they speak of;
//! `required` alone ties nothing. If every write was valid and stamped all places of the units it touched, any merge of
//! such writes is valid, too. What counts things (`minItems`, `maxItems`, `uniqueItems`, `contains`, `minProperties`) is outside
//! of this: such a rule is reported after a merge.
//!
//! A tie may reach from outside into something that can be removed while somebody else edits it: an item of a group, or an
//! optional object. Such a removal does not win by time alone, so the tie could not hold; there the group or the object
//! becomes one value, a leaf of the shape. Where a rule only asks that it be there, it may stay as it is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use serde_json::Value;

use super::document::{Document, NodeId};
use super::facets::Types;
use super::pointer;
use super::shape::Shape;

/// One step of a [`Place`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    Name(String),
    /// Any item of a repeated group.
    Item,
}

/// A place in every record of a type: a path of property names and "any item".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place(pub Vec<Segment>);

impl fmt::Display for Place {
    /// As a JSON Pointer in which `@` stands for any item of a group: `/parts/@/quantity`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Name(name) => f.write_str(&pointer::join("", name))?,
                Segment::Item => f.write_str("/@")?,
            }
        }
        Ok(())
    }
}

impl Place {
    fn name(&self, name: &str) -> Self {
        self.with(Segment::Name(name.to_string()))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut path = self.0.clone();
        path.push(segment);
        Self(path)
    }

    /// As a path for [`Shape::at`].
    fn path(&self) -> Vec<&str> {
        self.0.iter().map(|segment| if let Segment::Name(name) = segment { name.as_str() } else { "@" }).collect()
    }

    /// Whether a path in a record, item keys and all, leads here, below, or to something that holds this.
    fn touches<S: AsRef<str>>(&self, path: &[S]) -> bool {
        self.0.iter().zip(path).all(|(segment, actual)| match segment {
            Segment::Name(name) => name == actual.as_ref(),
            Segment::Item => true,
        })
    }
}

/// Places that are written together.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Sorted. One that has parts stands for all of them.
    pub places: Vec<Place>,
    /// Pointers into the schema of the rules that tie them.
    pub rules: Vec<String>,
    /// Those of the places that are repeated groups: rules ask only that the list be there.
    groups: Vec<Place>,
}

impl Unit {
    /// Whether writing a path writes a place of this unit. What lies inside a group does not: it changes nothing about
    /// the list being there.
    fn is_touched_by<S: AsRef<str>>(&self, path: &[S]) -> bool {
        self.places
            .iter()
            .any(|place| place.touches(path) && (path.len() <= place.0.len() || !self.groups.contains(place)))
    }
}

impl fmt::Display for Unit {
    /// For the designer: "/systolic and /diastolic (because of /dependentRequired)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |place: &Place| match place.0.is_empty() {
            true => "the whole record".to_string(),
            false if self.places.len() == 1 => format!("all of {place}"),
            false => place.to_string(),
        };
        let places: Vec<String> = self.places.iter().map(name).collect();
        match places.split_last() {
            Some((last, rest)) if !rest.is_empty() => write!(f, "{} and {last}", rest.join(", "))?,
            Some((last, _)) => write!(f, "{last}")?,
            None => {}
        }
        write!(f, " (because of {})", self.rules.join(", "))
    }
}

/// The merge units of a type.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Units {
    units: Vec<Unit>,
}

impl Units {
    pub fn all(&self) -> &[Unit] {
        &self.units
    }

    /// All that a write of `touched` has to stamp: the touched paths, and every place of the units they belong to, in the
    /// items that were touched. Paths are property names and item keys. A path stands for everything below it, so no path
    /// of the answer lies below another. A write that makes a group's list appear, go or become empty touches the group's own
    /// path, one that adds or removes another item that item's path.
    pub fn expand<P, S>(&self, touched: &[P]) -> BTreeSet<Vec<String>>
    where
        P: AsRef<[S]>,
        S: AsRef<str>,
    {
        let mut all: BTreeSet<Vec<String>> = BTreeSet::new();
        // units share no places, so what one adds touches no other; in another item it is added again
        let mut added: HashSet<(usize, Vec<String>)> = HashSet::new();
        for path in touched {
            let path: Vec<String> = path.as_ref().iter().map(|segment| segment.as_ref().to_string()).collect();
            for (i, unit) in self.units.iter().enumerate().filter(|(_, unit)| unit.is_touched_by(&path)) {
                let segments = unit.places.first().into_iter().flat_map(|place| &place.0);
                let items = segments.zip(&path).filter(|(segment, _)| **segment == Segment::Item);
                if added.insert((i, items.map(|(_, key)| key.clone()).collect())) {
                    all.extend(unit.places.iter().filter_map(|place| concrete(place, &path)));
                }
            }
            all.insert(path);
        }
        let covered = |path: &Vec<String>| (0..path.len()).any(|n| all.contains(&path[..n]));
        all.iter().filter(|path| !covered(path)).cloned().collect()
    }

    /// The unit that a path belongs to.
    pub fn of<S: AsRef<str>>(&self, path: &[S]) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.is_touched_by(path))
    }
}

/// `place` with the item keys of `path`; `None` where `path` does not say which item is meant, since it holds them all.
fn concrete(place: &Place, path: &[String]) -> Option<Vec<String>> {
    place
        .0
        .iter()
        .enumerate()
        .map(|(i, segment)| match segment {
            Segment::Name(name) => Some(name.clone()),
            Segment::Item => path.get(i).cloned(),
        })
        .collect()
}

/// How a rule depends on a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tie {
    /// It can only fail because the place is missing or has too little.
    Presence,
    /// It looks at what is there.
    Content,
}

/// Whether more of what a subschema asks for makes the rule more likely to hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Polarity {
    Asks,
    Tests,
}

#[derive(Default)]
struct Rule {
    /// Where it stands in the schema; several where rules were joined.
    pointers: BTreeSet<String>,
    places: BTreeMap<Place, Tie>,
}

impl Rule {
    fn at(pointer: String) -> Self {
        Self { pointers: BTreeSet::from([pointer]), places: BTreeMap::new() }
    }

    fn speak(&mut self, place: &Place, tie: Tie) {
        let known = self.places.entry(place.clone()).or_insert(tie);
        *known = (*known).max(tie);
    }

    fn unit(self, shape: &Shape) -> Unit {
        let covered =
            |place: &Place| (0..place.0.len()).any(|n| self.places.contains_key(&Place(place.0[..n].to_vec())));
        let places: Vec<Place> = self.places.keys().filter(|place| !covered(place)).cloned().collect();
        let groups = places.iter().filter(|place| is_group(shape, place)).cloned().collect();
        Unit { places, rules: self.pointers.into_iter().collect(), groups }
    }
}

/// Finds the units of a document, and makes leaves of the shape where only that lets a unit hold.
pub(super) fn find(document: &Document, shape: &mut Shape) -> Units {
    let mut finder = Finder { document, shape, rules: Vec::new(), seen: HashSet::new() };
    finder.walk(document.root(), &Place::default());
    let rules = finder.rules;
    // what adds up from parts could break what a rule says of the whole
    for place in rules.iter().flat_map(|rule| rule.places.keys()) {
        if matches!(shape.at(&place.path()), Some(Shape::Set | Shape::Counter | Shape::Text)) {
            shape.make_leaf(&place.path());
        }
    }
    let mut joined = join(rules, shape);
    loop {
        let leaves: BTreeSet<Place> = joined.iter().flat_map(|rule| unholdable(rule, shape)).collect();
        if leaves.is_empty() {
            break;
        }
        for leaf in &leaves {
            shape.make_leaf(&leaf.path());
        }
        for rule in &mut joined {
            let places = std::mem::take(&mut rule.places);
            for (place, tie) in places {
                // the nearest leaf that holds the place speaks for it
                let end = (0..=place.0.len())
                    .find(|&n| shape.at(&Place(place.0[..n].to_vec()).path()).is_some_and(Shape::is_leaf));
                rule.speak(&Place(place.0[..end.unwrap_or(place.0.len())].to_vec()), tie);
            }
        }
        joined = join(joined, shape);
    }
    let mut units: Vec<Unit> =
        joined.into_iter().filter(|rule| ties_something(rule, shape)).map(|rule| rule.unit(shape)).collect();
    units.sort_by(|a, b| a.places.cmp(&b.places));
    Units { units }
}

/// One leaf alone is tied to nothing, nor is one group that only has to be there.
fn ties_something(rule: &Rule, shape: &Shape) -> bool {
    rule.places.len() > 1 || rule.places.iter().any(|(place, tie)| *tie == Tie::Content && !is_leaf(shape, place))
}

fn is_group(shape: &Shape, place: &Place) -> bool {
    matches!(shape.at(&place.path()), Some(Shape::Group(_)))
}

fn is_leaf(shape: &Shape, place: &Place) -> bool {
    shape.at(&place.path()).is_none_or(Shape::is_leaf)
}

/// Joins rules that share places, until none do. Writing inside an object writes the object; writing inside a group does
/// not change that it is there.
fn join(rules: Vec<Rule>, shape: &Shape) -> Vec<Rule> {
    let mut holder: BTreeMap<&Place, usize> = BTreeMap::new();
    let mut sets = Sets::of(rules.len());
    for (i, rule) in rules.iter().enumerate() {
        for place in rule.places.keys() {
            sets.join(*holder.entry(place).or_insert(i), i);
        }
    }
    for (place, &i) in &holder {
        for n in 0..place.0.len() {
            let outer = Place(place.0[..n].to_vec());
            if let Some(&other) = holder.get(&outer)
                && !is_group(shape, &outer)
            {
                sets.join(other, i);
            }
        }
    }
    let mut joined: BTreeMap<usize, Rule> = BTreeMap::new();
    for (i, rule) in rules.into_iter().enumerate() {
        let whole = joined.entry(sets.root(i)).or_default();
        whole.pointers.extend(rule.pointers);
        for (place, tie) in &rule.places {
            whole.speak(place, *tie);
        }
    }
    joined.into_values().filter(|rule| !rule.places.is_empty()).collect()
}

/// Disjoint sets of numbers.
struct Sets(Vec<usize>);

impl Sets {
    fn of(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// The groups and optional objects into which a rule reaches from outside.
fn unholdable(rule: &Rule, shape: &Shape) -> Vec<Place> {
    if rule.places.len() == 1 && rule.places.keys().all(|place| is_leaf(shape, place)) {
        return Vec::new();
    }
    let mut common: Option<Vec<Segment>> = None;
    for place in rule.places.keys() {
        let shared =
            common.map_or(place.0.len(), |known| known.iter().zip(&place.0).take_while(|(a, b)| a == b).count());
        common = Some(place.0[..shared].to_vec());
    }
    let base = common.map_or(0, |common| common.len());
    let mut found = Vec::new();
    for (place, tie) in &rule.places {
        for n in base..=place.0.len() {
            let holder = Place(place.0[..n].to_vec());
            let at_place = n == place.0.len();
            let removable = match shape.at(&holder.path()) {
                // even a rule about nothing but its items: two people may each add one
                Some(Shape::Group(_)) => n > base || at_place,
                Some(Shape::Object(_)) => n > base && (at_place || !is_required(shape, &holder)),
                _ => false,
            };
            if removable && !(at_place && *tie == Tie::Presence) {
                found.push(holder);
                break;
            }
        }
        if *tie == Tie::Content {
            removable_parts(shape, place, &mut found);
        }
    }
    found
}

/// What can be removed from an object of which a rule looks at everything.
fn removable_parts(shape: &Shape, place: &Place, found: &mut Vec<Place>) {
    let Some(Shape::Object(object)) = shape.at(&place.path()) else { return };
    for property in object.properties() {
        let part = place.name(&property.name);
        match &property.shape {
            Shape::Leaf | Shape::Set | Shape::Counter | Shape::Text => {}
            Shape::Object(_) if property.required => removable_parts(shape, &part, found),
            Shape::Object(_) | Shape::Group(_) => found.push(part),
        }
    }
}

fn is_required(shape: &Shape, place: &Place) -> bool {
    let Some((Segment::Name(name), parent)) = place.0.split_last() else { return false };
    match shape.at(&Place(parent.to_vec()).path()) {
        Some(Shape::Object(object)) => object.property(name).is_some_and(|property| property.required),
        _ => false,
    }
}

struct Finder<'d, 'a, 's> {
    document: &'d Document<'a>,
    shape: &'s Shape,
    rules: Vec<Rule>,
    seen: HashSet<(NodeId, Place)>,
}

impl Finder<'_, '_, '_> {
    /// Collects the rules of a subschema that always holds at a place, and of what lies below.
    fn walk(&mut self, id: NodeId, at: &Place) {
        if !self.seen.insert((id, at.clone())) {
            return;
        }
        let (document, shape) = (self.document, self.shape);
        let Some(here) = shape.at(&at.path()).filter(|here| !here.is_leaf()) else { return };
        let node = &document.nodes[id];
        let mut condition = None;
        for edge in &node.edges {
            let pointer = &document.nodes[edge.to].pointer;
            match (edge.keyword, here) {
                ("$ref" | "$dynamicRef" | "allOf", _) => self.walk(edge.to, at),
                ("properties", Shape::Object(_)) => self.walk(edge.to, &at.name(edge.name)),
                ("items", Shape::Group(_)) => self.walk(edge.to, &at.with(Segment::Item)),
                ("if" | "then" | "else", _) => {
                    let rule = condition.get_or_insert_with(|| Rule::at(pointer::join(&node.pointer, "if")));
                    let polarity = if edge.keyword == "if" { Polarity::Tests } else { Polarity::Asks };
                    Speaker::new(document, shape, rule).speak(edge.to, at, polarity);
                }
                ("dependentSchemas", Shape::Object(_)) => {
                    let mut rule = Rule::at(pointer.clone());
                    let mut speaker = Speaker::new(document, shape, &mut rule);
                    speaker.presence(&at.name(edge.name), Polarity::Tests);
                    speaker.speak(edge.to, at, Polarity::Asks);
                    self.rules.push(rule);
                }
                ("not", _) => {
                    let mut rule = Rule::at(pointer.clone());
                    Speaker::new(document, shape, &mut rule).speak(edge.to, at, Polarity::Tests);
                    self.rules.push(rule);
                }
                _ => {}
            }
        }
        if node.keyword("if").is_some() {
            self.rules.extend(condition);
        }
        for (word, polarity) in [("anyOf", Polarity::Asks), ("oneOf", Polarity::Tests)] {
            let mut rule = Rule::at(pointer::join(&node.pointer, word));
            for edge in node.edges_of(word) {
                Speaker::new(document, shape, &mut rule).speak(edge.to, at, polarity);
            }
            self.rules.push(rule);
        }
        if let (Some(Value::Object(dependent)), Shape::Object(_)) = (node.keyword("dependentRequired"), here) {
            for (name, needed) in dependent {
                let pointer = pointer::join(&pointer::join(&node.pointer, "dependentRequired"), name);
                let mut rule = Rule::at(pointer);
                let mut speaker = Speaker::new(document, shape, &mut rule);
                speaker.presence(&at.name(name), Polarity::Tests);
                for name in needed.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    speaker.presence(&at.name(name), Polarity::Asks);
                }
                self.rules.push(rule);
            }
        }
    }
}

/// Collects the places of which a subschema speaks, as part of one rule.
struct Speaker<'d, 'a, 'r> {
    document: &'d Document<'a>,
    shape: &'d Shape,
    rule: &'r mut Rule,
    seen: HashSet<(NodeId, Place, Polarity)>,
}

impl<'d, 'a, 'r> Speaker<'d, 'a, 'r> {
    fn new(document: &'d Document<'a>, shape: &'d Shape, rule: &'r mut Rule) -> Self {
        Self { document, shape, rule, seen: HashSet::new() }
    }

    fn presence(&mut self, place: &Place, polarity: Polarity) {
        let tie = if polarity == Polarity::Asks { Tie::Presence } else { Tie::Content };
        self.rule.speak(place, tie);
    }

    fn speak(&mut self, id: NodeId, at: &Place, polarity: Polarity) {
        if !self.seen.insert((id, at.clone(), polarity)) {
            return;
        }
        let node = &self.document.nodes[id];
        let Value::Object(schema) = node.schema else {
            if node.schema == &Value::Bool(false) {
                self.rule.speak(at, Tie::Content);
            }
            return;
        };
        let here = self.shape.at(&at.path()).unwrap_or(&Shape::Leaf);
        if here.is_leaf() {
            self.rule.speak(at, Tie::Content);
            return;
        }
        for edge in &node.edges {
            match (edge.keyword, here) {
                ("$ref" | "$dynamicRef" | "allOf" | "anyOf" | "then" | "else", _) => self.speak(edge.to, at, polarity),
                ("oneOf" | "not" | "if", _) => self.speak(edge.to, at, Polarity::Tests),
                ("dependentSchemas", Shape::Object(_)) => {
                    self.presence(&at.name(edge.name), Polarity::Tests);
                    self.speak(edge.to, at, polarity);
                }
                ("properties", Shape::Object(_)) => {
                    let place = at.name(edge.name);
                    // a leaf is tied even where nothing is said of it: naming it lets `unevaluatedProperties` pass
                    if is_leaf(self.shape, &place) {
                        self.rule.speak(&place, Tie::Content);
                    } else {
                        self.speak(edge.to, &place, polarity);
                    }
                }
                ("contains", Shape::Group(_)) => self.rule.speak(at, Tie::Presence),
                // any other word speaks of all properties or of all items at once, unless it allows them all
                _ if self.document.nodes[edge.to].schema == &Value::Bool(true) => {}
                ("items" | "prefixItems" | "unevaluatedItems", Shape::Group(_))
                | (
                    "patternProperties" | "additionalProperties" | "unevaluatedProperties" | "propertyNames",
                    Shape::Object(_),
                ) => self.rule.speak(at, Tie::Content),
                _ => {}
            }
        }
        for (word, value) in schema {
            match (word.as_str(), value, here) {
                ("required", Value::Array(names), Shape::Object(_)) => {
                    for name in names.iter().filter_map(Value::as_str) {
                        self.presence(&at.name(name), polarity);
                    }
                }
                ("dependentRequired", Value::Object(dependent), Shape::Object(_)) => {
                    for (name, needed) in dependent {
                        self.presence(&at.name(name), Polarity::Tests);
                        for name in needed.as_array().into_iter().flatten().filter_map(Value::as_str) {
                            self.presence(&at.name(name), polarity);
                        }
                    }
                }
                ("const" | "enum", ..) => self.rule.speak(at, Tie::Content),
                ("type", ..) => {
                    let types = Types::of(self.document, id);
                    let fits = if matches!(here, Shape::Object(_)) { Types::OBJECT } else { Types::ARRAY };
                    if !types.has(fits) {
                        self.rule.speak(at, Tie::Content);
                    }
                }
                ("minItems" | "maxItems" | "uniqueItems", _, Shape::Group(_)) => self.rule.speak(at, Tie::Presence),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
