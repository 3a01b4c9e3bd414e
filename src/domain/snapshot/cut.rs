use super::MAX_RECORDS;
use super::columns::Columns;
use crate::domain::ids::{Partition, RecordId, TypeName};
use crate::domain::record::State;

/// A chunk is at least about so large, then ends before a record whose id says so, or before it would be larger than `MOST`
/// times as much. All before packing, which makes a fifth of it.
const USUAL: usize = 512 << 10;
const MOST: usize = 4;
/// What a record counts besides its document.
const EACH: usize = 64;

/// What a chunk is made of, to be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub records: u64,
}

/// Puts the records of a partition, which come in the order of type and id, into chunks.
pub struct Cutter {
    columns: Columns,
    partition: Partition,
    weight: usize,
    /// About how large a chunk is.
    usual: usize,
}

impl Cutter {
    pub fn new(partition: &Partition) -> Self {
        Self::sized(partition, USUAL)
    }

    /// As [`Cutter::new`], into chunks of about so many bytes before packing.
    pub fn sized(partition: &Partition, usual: usize) -> Self {
        Self { columns: Columns::new(partition), partition: partition.clone(), weight: 0, usual: usual.max(1) }
    }

    /// Takes the next record; `text` is how long its document is as text. Gives the chunk that ended before it.
    pub fn push(&mut self, type_name: &TypeName, id: RecordId, state: State, text: usize) -> Option<Content> {
        let weight = text + EACH;
        let ends = self.columns.len() > 0
            && (self.weight >= self.usual && begins_one(id, weight, self.usual)
                || self.weight + weight > self.usual.saturating_mul(MOST)
                || self.columns.len() >= MAX_RECORDS);
        let ended = if ends { self.take() } else { None };
        self.columns.push(type_name, id, state);
        self.weight += weight;
        ended
    }

    /// The last chunk, if anything is in it.
    pub fn finish(mut self) -> Option<Content> {
        self.take()
    }

    fn take(&mut self) -> Option<Content> {
        if self.columns.len() == 0 {
            return None;
        }
        self.weight = 0;
        let columns = std::mem::replace(&mut self.columns, Columns::new(&self.partition));
        let records = columns.len() as u64;
        Some(Content { bytes: columns.into_bytes(), records })
    }
}

/// Whether a record of this weight begins a chunk: as likely as it is heavy, and the same wherever and whenever it is asked.
fn begins_one(id: RecordId, weight: usize, usual: usize) -> bool {
    let hash = blake3::hash(id.as_bytes());
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    let chance = u32::from_le_bytes(*first) as usize;
    chance < weight.min(usual).saturating_mul(u32::MAX as usize / usual)
}
