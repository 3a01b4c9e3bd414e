//! How records lie in a chunk: not one after the other, but what is alike side by side, which packs to about half.
//!
//! Ids, and the stamps of records, are written byte by byte across all of them: first the first byte of each, then the
//! second. Of the value of a record as a whole only what stands in it is written, column by column, and the names once.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{MAX_CHUNK, MAX_RECORDS};
use crate::domain::feed::{Row, bytes};
use crate::domain::ids::{Partition, RecordId, TypeName};
use crate::domain::record::pack::{Dictionary, Values, leb, pack_apart};
use crate::domain::record::{Content, State};

const FORMAT: u8 = 1;
/// What the records of a chunk may be once they are put together again.
const MAX_WHOLE: usize = 4 * MAX_CHUNK;
/// A shape with more names than this is written whole.
const MAX_NAMES: usize = 256;
/// More shapes are not told apart in one chunk.
const MAX_SHAPES: usize = 256;

/// Why something is no chunk of records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it cannot be read: {0}")]
    Encoding(String),
    #[error("it is of format {0}, unknown here")]
    Format(u8),
    #[error("its parts do not belong together: {0}")]
    Parts(&'static str),
    #[error("it is larger than anything that is made")]
    TooLarge,
}

#[derive(Serialize, Deserialize)]
struct Packed {
    #[serde(rename = "f")]
    format: u8,
    #[serde(rename = "p")]
    partition: Partition,
    #[serde(rename = "d")]
    dictionary: Dictionary,
    /// Types in their order, and how many records each has.
    #[serde(rename = "t")]
    types: Vec<(TypeName, u64)>,
    #[serde(rename = "i", with = "bytes")]
    ids: Vec<u8>,
    /// Names of the properties, in their order.
    #[serde(rename = "s")]
    shapes: Vec<Vec<String>>,
    /// For each record its shape, counted from 1; 0 if its value is not taken apart.
    #[serde(rename = "o")]
    of: Vec<u16>,
    /// For each shape and each of its names the values as JSON text, a line each.
    #[serde(rename = "v")]
    values: Vec<Vec<String>>,
    /// What stands in the packed states before the value, and behind it.
    #[serde(rename = "b")]
    before: Pieces,
    #[serde(rename = "a")]
    after: Pieces,
}

/// Short byte strings, those of one length side by side, byte by byte across.
#[derive(Default, Serialize, Deserialize)]
struct Pieces {
    #[serde(rename = "l")]
    lengths: Vec<u32>,
    #[serde(rename = "b", with = "bytes")]
    bytes: Vec<u8>,
}

impl Pieces {
    fn of(pieces: &[Vec<u8>]) -> Self {
        let mut by_length: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
        for piece in pieces {
            by_length.entry(piece.len()).or_default().push(piece);
        }
        let bytes = by_length.iter().flat_map(|(length, group)| across(group, *length)).collect();
        Self { lengths: pieces.iter().map(|piece| piece.len() as u32).collect(), bytes }
    }

    fn into_pieces(self, count: usize) -> Result<Vec<Vec<u8>>, Malformed> {
        if self.lengths.len() != count {
            return Err(Malformed::Parts("pieces"));
        }
        let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, length) in self.lengths.iter().enumerate() {
            by_length.entry(*length as usize).or_default().push(at);
        }
        let mut pieces = vec![Vec::new(); count];
        let mut rest = &self.bytes[..];
        for (length, places) in by_length {
            let size = length.checked_mul(places.len()).ok_or(Malformed::TooLarge)?;
            let (group, behind) = rest.split_at_checked(size).ok_or(Malformed::Parts("pieces"))?;
            rest = behind;
            for (row, at) in places.iter().enumerate() {
                pieces[*at] = (0..length).map(|byte| group[byte * places.len() + row]).collect();
            }
        }
        if rest.is_empty() { Ok(pieces) } else { Err(Malformed::Parts("pieces")) }
    }
}

/// The first byte of each, then the second.
fn across<'a>(group: &'a [&'a [u8]], length: usize) -> impl Iterator<Item = u8> + 'a {
    (0..length).flat_map(move |byte| group.iter().map(move |piece| piece[byte]))
}

/// The records of a chunk that is being made.
pub(super) struct Columns {
    partition: Partition,
    dictionary: Dictionary,
    types: Vec<(TypeName, u64)>,
    ids: Vec<RecordId>,
    shapes: Vec<Vec<String>>,
    by_names: HashMap<Vec<String>, u16>,
    of: Vec<u16>,
    values: Vec<Vec<String>>,
    before: Vec<Vec<u8>>,
    after: Vec<Vec<u8>>,
}

impl Columns {
    pub fn new(partition: &Partition) -> Self {
        Self {
            partition: partition.clone(),
            dictionary: Dictionary::default(),
            types: Vec::new(),
            ids: Vec::new(),
            shapes: Vec::new(),
            by_names: HashMap::new(),
            of: Vec::new(),
            values: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn push(&mut self, type_name: &TypeName, id: RecordId, mut state: State) {
        match self.types.last_mut() {
            Some((last, count)) if last == type_name => *count += 1,
            _ => self.types.push((type_name.clone(), 1)),
        }
        self.ids.push(id);
        state.renumber(0);
        let (mut packed, value) = pack_apart(&state, 0, Values::Inline, &mut self.dictionary);
        let taken = value.and_then(|at| {
            let Content::Json(text) = &state.root.write.as_ref()?.content else { return None };
            Some((at, self.take_apart(&text.0)?))
        });
        let (after, shape) = match taken {
            Some((at, shape)) => {
                let after = packed.split_off(at.end);
                packed.truncate(at.start);
                (after, shape)
            }
            None => (Vec::new(), 0),
        };
        self.before.push(packed);
        self.after.push(after);
        self.of.push(shape);
    }

    /// Writes a value into the columns of its shape, counted from 1. `None` if it is none that has columns.
    fn take_apart(&mut self, value: &Value) -> Option<u16> {
        let map = value.as_object().filter(|map| map.len() <= MAX_NAMES)?;
        let names: Vec<String> = map.keys().cloned().collect();
        let shape = match self.by_names.get(&names) {
            Some(shape) => *shape,
            None if self.shapes.len() >= MAX_SHAPES => return None,
            None => {
                self.shapes.push(names.clone());
                self.values.push(vec![String::new(); names.len()]);
                let shape = self.shapes.len() as u16;
                self.by_names.insert(names, shape);
                shape
            }
        };
        for (column, value) in self.values[usize::from(shape) - 1].iter_mut().zip(map.values()) {
            // JSON text has no line breaks of its own
            column.push_str(&value.to_string());
            column.push('\n');
        }
        Some(shape)
    }

    pub fn into_bytes(self) -> Vec<u8> {
        let ids: Vec<&[u8]> = self.ids.iter().map(|id| &id.as_bytes()[..]).collect();
        let packed = Packed {
            format: FORMAT,
            partition: self.partition,
            dictionary: self.dictionary,
            types: self.types,
            ids: across(&ids, 16).collect(),
            shapes: self.shapes,
            of: self.of,
            values: self.values,
            before: Pieces::of(&self.before),
            after: Pieces::of(&self.after),
        };
        let mut bytes = Vec::new();
        ciborium::into_writer(&packed, &mut bytes)
            .expect("what is packed has an encoding, and memory takes what is written");
        bytes
    }
}

/// The records of a chunk as a pull hands them on, in the order of type and id, without numbers of arrival, with the
/// dictionary their stamps speak of. They are not unpacked here: whoever joins them judges each.
pub fn read(partition: &Partition, bytes: &[u8]) -> Result<(Vec<Row>, Dictionary), Malformed> {
    if bytes.len() > MAX_CHUNK {
        return Err(Malformed::TooLarge);
    }
    let mut rest = bytes;
    let packed: Packed = ciborium::from_reader(&mut rest).map_err(|err| Malformed::Encoding(err.to_string()))?;
    if packed.format != FORMAT {
        return Err(Malformed::Format(packed.format));
    }
    if !rest.is_empty() {
        return Err(Malformed::Parts("something follows"));
    }
    if packed.partition != *partition {
        return Err(Malformed::Parts("it is of another partition"));
    }
    let count = packed.ids.len() / 16;
    if count > MAX_RECORDS {
        return Err(Malformed::TooLarge);
    }
    let sum = packed.types.iter().try_fold(0u64, |sum, (_, more)| sum.checked_add(*more));
    if !packed.ids.len().is_multiple_of(16) || packed.of.len() != count || sum != Some(count as u64) {
        return Err(Malformed::Parts("ids"));
    }
    if packed.values.len() != packed.shapes.len() || packed.shapes.len() > MAX_SHAPES {
        return Err(Malformed::Parts("shapes"));
    }
    let mut shapes = Vec::with_capacity(packed.shapes.len());
    for (names, columns) in packed.shapes.iter().zip(&packed.values) {
        shapes.push(Shape::of(names, columns)?);
    }
    let befores = packed.before.into_pieces(count)?;
    let afters = packed.after.into_pieces(count)?;
    let types = packed.types.iter().flat_map(|(name, count)| std::iter::repeat_n(name, *count as usize));
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    let mut whole = 0usize;
    for (at, ((type_name, before), after)) in types.zip(befores).zip(afters).enumerate() {
        let id = Uuid::from_bytes(std::array::from_fn(|byte| packed.ids[byte * count + at]));
        if rows.last().is_some_and(|last| (&last.type_name, last.id) >= (type_name, id)) {
            return Err(Malformed::Parts("its records are out of order"));
        }
        let mut state = before;
        match usize::from(packed.of[at]) {
            0 if after.is_empty() => {}
            0 => return Err(Malformed::Parts("pieces")),
            shape => {
                let shape = shapes.get_mut(shape - 1).ok_or(Malformed::Parts("shapes"))?;
                let value = shape.next(MAX_WHOLE - whole)?;
                state.reserve(value.len() + after.len() + 4);
                leb(&mut state, value.len() as u64);
                state.extend_from_slice(value.as_bytes());
                state.extend_from_slice(&after);
            }
        }
        whole += state.len();
        if whole > MAX_WHOLE {
            return Err(Malformed::TooLarge);
        }
        rows.push(Row { type_name: type_name.clone(), id, seq: 0, state });
    }
    if shapes.iter_mut().any(Shape::has_more) {
        return Err(Malformed::Parts("values"));
    }
    Ok((rows, packed.dictionary))
}

/// The columns of a shape, being read.
struct Shape<'a> {
    /// As they stand before their values: `{"a":` and `,"b":`.
    names: Vec<String>,
    columns: Vec<std::str::SplitTerminator<'a, char>>,
    /// How long the last value was; the next is about as long.
    usual: usize,
}

impl<'a> Shape<'a> {
    fn of(names: &[String], columns: &'a [String]) -> Result<Self, Malformed> {
        if names.len() != columns.len() || names.len() > MAX_NAMES {
            return Err(Malformed::Parts("shapes"));
        }
        let name = |(at, name): (usize, &String)| {
            format!("{}{}:", if at == 0 { '{' } else { ',' }, Value::String(name.clone()))
        };
        Ok(Self {
            names: names.iter().enumerate().map(name).collect(),
            columns: columns.iter().map(|column| column.split_terminator('\n')).collect(),
            usual: 0,
        })
    }

    /// The next value as text, if it is no longer than `limit`.
    fn next(&mut self, limit: usize) -> Result<String, Malformed> {
        if self.names.is_empty() {
            return Ok("{}".into());
        }
        let mut text = String::with_capacity(self.usual + self.usual / 8);
        for (name, column) in self.names.iter().zip(&mut self.columns) {
            text.push_str(name);
            text.push_str(column.next().ok_or(Malformed::Parts("values"))?);
            if text.len() > limit {
                return Err(Malformed::TooLarge);
            }
        }
        text.push('}');
        self.usual = text.len();
        Ok(text)
    }

    fn has_more(&mut self) -> bool {
        self.columns.iter_mut().any(|column| column.next().is_some())
    }
}
