//! The packed form of a record's stamps, on disk and between nodes.
//!
//! One codec for both. On disk the values stand in the document beside, and only what the document does not show is kept
//! here. Between nodes every value stands at its place. Authors and property names are small ordinals of a
//! [`Dictionary`]: on disk the database's own, in a message the message's own; they never travel by themselves.
//!
//! Layout: a version byte; a table of the stamps in use, each with this node's number of arrival as the distance to the
//! record's number; the publication; the bin; the places, parents first. Numbers are LEB128.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::project::uncount;
use super::{Bin, Content, Cover, Order, Place, Removal, State, Write, Written, weave};
use crate::domain::clock::Hlc;
use crate::domain::ids::RevisionId;
use crate::domain::json;
use crate::domain::path::{ItemKey, Path, Segment};
use crate::domain::stamp::{Author, Stamp};

const VERSION: u8 = 1;
/// 2020-01-01, so that today's milliseconds fit six bytes.
const START: i64 = 1_577_836_800_000;
/// No record has more places than fit its size limit; a count beyond this is a damaged or hostile message.
const MAX_DEPTH: usize = 300;

/// Small ordinals for authors and names.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Dictionary {
    #[serde(rename = "a")]
    authors: Vec<Author>,
    #[serde(rename = "n")]
    names: Vec<String>,
    #[serde(skip)]
    by_author: HashMap<Author, u64>,
    #[serde(skip)]
    by_name: HashMap<String, u64>,
}

impl Dictionary {
    /// A dictionary with these entries, in order of their ordinals.
    pub fn of(authors: Vec<Author>, names: Vec<String>) -> Self {
        let by_author = authors.iter().zip(0..).map(|(author, at)| (*author, at)).collect();
        let by_name = names.iter().zip(0..).map(|(name, at)| (name.clone(), at)).collect();
        Self { authors, names, by_author, by_name }
    }

    /// All authors, in order of their ordinals; the new ones are behind those that were there.
    pub fn authors(&self) -> &[Author] {
        &self.authors
    }

    /// All names, in order of their ordinals.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn author(&mut self, author: &Author) -> u64 {
        if let Some(at) = self.by_author.get(author) {
            return *at;
        }
        let at = self.authors.len() as u64;
        self.authors.push(*author);
        self.by_author.insert(*author, at);
        at
    }

    pub fn name(&mut self, name: &str) -> u64 {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let at = self.names.len() as u64;
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), at);
        at
    }
}

/// The bytes are not what [`pack`] makes: damaged, or from a version this one does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged stamps: {0}")]
pub struct Damaged(&'static str);

/// Where the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// In the document beside.
    Beside,
    /// At their places.
    Inline,
}

/// Packs a record. `seq` is the record's own number, at least as high as every arrival in it.
pub fn pack(state: &State, seq: u64, values: Values, dictionary: &mut Dictionary) -> Vec<u8> {
    pack_apart(state, seq, values, dictionary).0
}

/// The same, and where in it the value of the record as a whole stands, its length included, if there is one.
pub fn pack_apart(
    state: &State,
    seq: u64,
    values: Values,
    dictionary: &mut Dictionary,
) -> (Vec<u8>, Option<Range<usize>>) {
    let mut packer = Packer {
        dictionary,
        stamps: Vec::new(),
        index: HashMap::new(),
        body: Vec::with_capacity(32),
        values,
        has_root: false,
        root_value: None,
    };
    match &state.written {
        None => packer.number(0),
        Some(written) => {
            let at = packer.dictionary.name(&written.revision.to_string());
            packer.number(at + 1);
            packer.stamp(written.stamp, written.arrival);
        }
    }
    match &state.bin {
        None => packer.body.push(0),
        Some(bin) => {
            packer.body.push(if bin.binned { 2 } else { 1 });
            packer.stamp(bin.stamp, bin.arrival);
            packer.cover(&bin.cover);
        }
    }
    packer.place(&state.root, true, Stamp::NEVER, None);
    let Packer { dictionary, stamps, body, root_value, .. } = packer;
    let mut out = Vec::with_capacity(body.len() + 16 * stamps.len() + 2);
    out.push(VERSION);
    leb(&mut out, stamps.len() as u64);
    for (stamp, arrival) in stamps {
        let counter = stamp.time.0 & 0xffff;
        let millis = zigzag(stamp.time.millis() - START);
        leb(&mut out, millis << 1 | u64::from(counter != 0));
        if counter != 0 {
            leb(&mut out, counter as u64);
        }
        leb(&mut out, dictionary.author(&stamp.author));
        out.extend_from_slice(&stamp.tag.to_le_bytes());
        leb(&mut out, if arrival == 0 { 0 } else { seq.saturating_sub(arrival) + 1 });
    }
    let start = out.len();
    out.extend_from_slice(&body);
    (out, root_value.map(|at| start + at.start..start + at.end))
}

/// Reads what [`pack`] made. `document` is needed where the values stand beside.
pub fn unpack(bytes: &[u8], seq: u64, document: Option<Value>, dictionary: &Dictionary) -> Result<State, Damaged> {
    let mut reader = Reader { bytes, dictionary, stamps: Vec::new(), parked: BTreeMap::new() };
    if reader.byte()? != VERSION {
        return Err(Damaged("unknown version"));
    }
    for _ in 0..reader.count()? {
        let head = reader.number()?;
        let millis = unzigzag(head >> 1).checked_add(START).ok_or(Damaged("time"))?;
        let counter = if head & 1 == 1 { reader.number()? } else { 0 };
        if millis.unsigned_abs() >= 1 << 47 || counter > 0xffff {
            return Err(Damaged("time"));
        }
        let author = reader.number()?;
        let author = *dictionary.authors.get(usize::try_from(author).unwrap_or(usize::MAX)).ok_or(Damaged("author"))?;
        let tag = u32::from_le_bytes(reader.take(4)?.try_into().map_err(|_| Damaged("tag"))?);
        let behind = reader.number()?;
        let arrival = if behind == 0 { 0 } else { seq.checked_sub(behind - 1).ok_or(Damaged("arrival"))? };
        reader.stamps.push((Stamp { time: Hlc(millis << 16 | counter as i64), author, tag }, arrival));
    }
    let written = match reader.number()? {
        0 => None,
        at => {
            let revision: RevisionId = reader.name(at - 1)?.parse().map_err(|_| Damaged("publication"))?;
            let (stamp, arrival) = reader.stamp()?;
            Some(Written { stamp, arrival, revision })
        }
    };
    let bin = match reader.byte()? {
        0 => None,
        kind @ (1 | 2) => {
            let (stamp, arrival) = reader.stamp()?;
            Some(Bin { stamp, arrival, binned: kind == 2, cover: reader.cover()? })
        }
        _ => return Err(Damaged("bin")),
    };
    let inline = document.is_none();
    let mut root = reader.place(inline, &mut Path::root())?;
    if !reader.bytes.is_empty() {
        return Err(Damaged("more than a record"));
    }
    match (document, &mut root) {
        // most records are as they were made
        (Some(document), Place { write: Some(write), removal: None, order: None, inside })
            if inside.is_empty() && matches!(write.content, Content::Json(_)) =>
        {
            write.content = Content::json(document);
        }
        (Some(document), root) => {
            fill(root, Some(&document), true, Stamp::NEVER, &mut Path::root(), &reader.parked)?;
            strip(root, &mut Path::root(), &reader.parked);
        }
        (None, _) => {}
    }
    let mut state = State { root, bin, written };
    state.settle();
    Ok(state)
}

/// Gives the writes their values from the document, and those that are not shown from what was kept beside.
fn fill(
    place: &mut Place,
    value: Option<&Value>,
    shown: bool,
    above: Stamp,
    path: &mut Path,
    parked: &BTreeMap<Path, Value>,
) -> Result<(), Damaged> {
    // of a text with edits the document shows what came of them
    let beside = !shown || weave::has_edits(place);
    let value = if beside { parked.get(path) } else { value };
    if let Some(Write { content: Content::Json(text), .. }) = &mut place.write {
        // a value that is nowhere was written over by all that was written inside it, and shows nowhere
        text.0 = value.cloned().unwrap_or_default();
    }
    let here = place.write.as_ref().map_or(above, |write| above.max(write.stamp));
    let order: Vec<ItemKey> = place.items().into_iter().map(|(key, _)| key.clone()).collect();
    let shows: Vec<bool> = place.inside.iter().map(|(segment, below)| place.shows(segment, below, here)).collect();
    for ((segment, below), shown) in place.inside.iter_mut().zip(shows) {
        let value = match segment {
            Segment::Property(name) => value.and_then(|value| value.as_object()?.get(name)),
            Segment::Item(key) => {
                value.and_then(|value| value.as_array()?.get(order.iter().position(|other| other == key)?))
            }
        };
        path.0.push(segment.clone());
        fill(below, value, shown, here, path, parked)?;
        path.0.pop();
    }
    Ok(())
}

/// Takes out of the values that were filled in what only later writes below put there, and differences that add to them: a place that was removed would
/// have its own copy if the write above had said anything of it.
fn strip(place: &mut Place, path: &mut Path, parked: &BTreeMap<Path, Value>) {
    if let Some(Write { content: Content::Json(text), .. }) = &mut place.write {
        let mut value = std::mem::take(&mut text.0);
        strip_value(&mut value, place, path, parked);
        if let Some(Write { content: Content::Json(text), .. }) = &mut place.write {
            text.0 = value;
        }
    }
    for (segment, below) in &mut place.inside {
        path.0.push(segment.clone());
        strip(below, path, parked);
        path.0.pop();
    }
}

fn strip_value(value: &mut Value, place: &Place, path: &mut Path, parked: &BTreeMap<Path, Value>) {
    uncount(place, value);
    let Some(map) = value.as_object_mut() else { return };
    for (segment, below) in &place.inside {
        let Segment::Property(name) = segment else { continue };
        if below.write.is_some() {
            continue;
        }
        if below.removal.is_some() {
            map.shift_remove(name);
            continue;
        }
        path.0.push(segment.clone());
        match (map.get_mut(name), parked.get(path)) {
            (Some(value), Some(base)) if weave::has_edits(below) => *value = base.clone(),
            (Some(_), None) if weave::has_edits(below) => drop(map.shift_remove(name)),
            (Some(value), _) => strip_value(value, below, path, parked),
            (None, _) => {}
        }
        path.0.pop();
    }
}

const HAS_WRITE: u8 = 1;
const HAS_REMOVAL: u8 = 2;
const HAS_ORDER: u8 = 4;
const HAS_INSIDE: u8 = 8;
const CONTENT: u8 = 0x30;
const ABSENT: u8 = 0;
const JSON: u8 = 0x10;
const GROUP: u8 = 0x20;
/// A value follows: between nodes the place's own, on disk what a place holds that is not shown.
const HAS_VALUE: u8 = 0x40;

/// So many stamps are not looked up by their hash.
const FEW: u64 = 8;

struct Packer<'a> {
    dictionary: &'a mut Dictionary,
    stamps: Vec<(Stamp, u64)>,
    index: HashMap<(Stamp, u64), u64>,
    body: Vec<u8>,
    values: Values,
    /// Whether the root was begun: it is the first place.
    has_root: bool,
    root_value: Option<Range<usize>>,
}

impl Packer<'_> {
    fn number(&mut self, number: u64) {
        leb(&mut self.body, number);
    }

    fn stamp(&mut self, stamp: Stamp, arrival: u64) {
        let next = self.stamps.len() as u64;
        let at = match next {
            // most records have few, which are found sooner than hashed
            ..FEW => self.stamps.iter().position(|known| *known == (stamp, arrival)).map(|at| at as u64),
            _ => {
                if next == FEW {
                    self.index.extend(self.stamps.iter().copied().zip(0..));
                }
                self.index.get(&(stamp, arrival)).copied()
            }
        };
        if at.is_none() {
            self.stamps.push((stamp, arrival));
            if next >= FEW {
                self.index.insert((stamp, arrival), next);
            }
        }
        leb(&mut self.body, at.unwrap_or(next));
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.body.extend_from_slice(text.as_bytes());
    }

    fn segment(&mut self, segment: &Segment) {
        match segment {
            Segment::Item(key) => {
                self.number(0);
                self.text(&key.0);
            }
            Segment::Property(name) => {
                let at = self.dictionary.name(name);
                self.number(at + 1);
            }
        }
    }

    fn cover(&mut self, cover: &Cover) {
        self.stamp(cover.all, 0);
        self.number(cover.inside.len() as u64);
        for (path, stamp) in &cover.inside {
            self.number(path.0.len() as u64);
            path.0.iter().for_each(|segment| self.segment(segment));
            self.stamp(*stamp, 0);
        }
    }

    /// `said` is what the nearest write above says of the place.
    fn place(&mut self, place: &Place, shown: bool, above: Stamp, said: Option<&Value>) {
        let said = match &place.write {
            None => said,
            Some(Write { content: Content::Json(text), .. }) => Some(&text.0),
            Some(_) => None,
        };
        let is_root = !std::mem::replace(&mut self.has_root, true);
        let value = match (self.values, &place.write) {
            (Values::Inline, Some(Write { content: Content::Json(text), .. })) => Some(text.0.to_string()),
            (Values::Beside, _) if weave::has_edits(place) => said.map(Value::to_string),
            (Values::Beside, _) if !shown => place.parked(above).map(|value| value.to_string()),
            _ => None,
        };
        let mut flags = 0;
        if let Some(write) = &place.write {
            flags |= HAS_WRITE;
            flags |= match write.content {
                Content::Absent => ABSENT,
                Content::Json(_) => JSON,
                Content::Group => GROUP,
            };
        }
        flags |= if place.removal.is_some() { HAS_REMOVAL } else { 0 };
        flags |= if place.order.is_some() { HAS_ORDER } else { 0 };
        flags |= if place.inside.is_empty() { 0 } else { HAS_INSIDE };
        flags |= if value.is_some() { HAS_VALUE } else { 0 };
        self.body.push(flags);
        if let Some(write) = &place.write {
            self.stamp(write.stamp, write.arrival);
        }
        if let Some(value) = value {
            let start = self.body.len();
            self.text(&value);
            if is_root {
                self.root_value = Some(start..self.body.len());
            }
        }
        if let Some(removal) = &place.removal {
            self.stamp(removal.stamp, removal.arrival);
            self.cover(&removal.cover);
        }
        if let Some(order) = &place.order {
            self.stamp(order.stamp, order.arrival);
            self.text(&order.rank);
        }
        if !place.inside.is_empty() {
            let here = place.write.as_ref().map_or(above, |write| above.max(write.stamp));
            self.number(place.inside.len() as u64);
            for (segment, below) in &place.inside {
                self.segment(segment);
                self.place(below, place.shows(segment, below, here), here, weave::within(said, segment));
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    dictionary: &'a Dictionary,
    stamps: Vec<(Stamp, u64)>,
    parked: BTreeMap<Path, Value>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Damaged("cut short"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(Damaged("number"));
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged("number"))
    }

    /// A count of things that each take a byte at least, so that a hostile one cannot make us reserve memory.
    fn count(&mut self) -> Result<usize, Damaged> {
        let count = usize::try_from(self.number()?).map_err(|_| Damaged("count"))?;
        if count > self.bytes.len() { Err(Damaged("count")) } else { Ok(count) }
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        let count = self.count()?;
        std::str::from_utf8(self.take(count)?).map_err(|_| Damaged("text"))
    }

    fn name(&self, at: u64) -> Result<&'a str, Damaged> {
        let at = usize::try_from(at).map_err(|_| Damaged("name"))?;
        self.dictionary.names.get(at).map(String::as_str).ok_or(Damaged("name"))
    }

    fn stamp(&mut self) -> Result<(Stamp, u64), Damaged> {
        let at = usize::try_from(self.number()?).map_err(|_| Damaged("stamp"))?;
        self.stamps.get(at).copied().ok_or(Damaged("stamp"))
    }

    fn segment(&mut self) -> Result<Segment, Damaged> {
        Ok(match self.number()? {
            0 => Segment::Item(ItemKey(self.text()?.to_owned())),
            at => {
                let name = self.name(at - 1)?;
                if json::is_reserved(name) {
                    return Err(Damaged("property"));
                }
                Segment::Property(name.to_owned())
            }
        })
    }

    fn cover(&mut self) -> Result<Cover, Damaged> {
        let (all, _) = self.stamp()?;
        let mut inside = BTreeMap::new();
        for _ in 0..self.count()? {
            let depth = self.count()?;
            let path = (0..depth).map(|_| self.segment()).collect::<Result<Vec<_>, _>>()?;
            inside.insert(Path(path), self.stamp()?.0);
        }
        Ok(Cover { all, inside })
    }

    fn place(&mut self, inline: bool, path: &mut Path) -> Result<Place, Damaged> {
        if path.0.len() > MAX_DEPTH {
            return Err(Damaged("too deep"));
        }
        let flags = self.byte()?;
        let stamp = if flags & HAS_WRITE == 0 { None } else { Some(self.stamp()?) };
        let value =
            if flags & HAS_VALUE == 0 { None } else { Some(json::read(self.text()?).map_err(|_| Damaged("value"))?) };
        let mut place = Place::default();
        if let Some((stamp, arrival)) = stamp {
            let content = match (flags & CONTENT, &value) {
                (ABSENT, _) => Content::Absent,
                (GROUP, _) => Content::Group,
                (JSON, Some(value)) if inline => Content::json(value.clone()),
                (JSON, _) if !inline => Content::json(Value::Null),
                _ => return Err(Damaged("content")),
            };
            place.write = Some(Write { stamp, arrival, content });
        }
        if let Some(value) = value
            && !inline
        {
            self.parked.insert(path.clone(), value);
        }
        if flags & HAS_REMOVAL != 0 {
            let (stamp, arrival) = self.stamp()?;
            place.removal = Some(Removal { stamp, arrival, cover: self.cover()? });
        }
        if flags & HAS_ORDER != 0 {
            let (stamp, arrival) = self.stamp()?;
            place.order = Some(Order { stamp, arrival, rank: self.text()?.to_owned() });
        }
        if flags & HAS_INSIDE != 0 {
            for _ in 0..self.count()? {
                let segment = self.segment()?;
                path.0.push(segment.clone());
                let below = self.place(inline, path)?;
                path.0.pop();
                place.inside.insert(segment, below);
            }
        }
        Ok(place)
    }
}

pub(in crate::domain) fn leb(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}
