//! A backup: one file with all that a node knows, made of the chunks that first copies are made of.
//!
//! Layout: eight bytes that say what it is; the chunks, one behind the other, in the order in which the index names them;
//! the files, each behind its SHA-256 and its length of eight bytes; the index, packed as a chunk is; its hash and length; eight bytes more, so that a file that was cut is always noticed. Every chunk is held
//! against its hash when it is read. What is in the tables is the store's own affair: this module only keeps them.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use super::blob::{BlobError, BlobFiles};
use super::chunk::{self, BadChunk, MAX_PACKED, Sealed, seal};
use crate::domain::blob::{BlobHash, CHUNK};
use crate::domain::snapshot::{ChunkHash, ChunkRef, Content, MAX_CHUNK, MAX_RECORDS, Manifest};

const BEGINS: [u8; 8] = *b"outpost\x01";
/// With files in it, which a version that knows none would leave out.
const BEGINS_WITH_FILES: [u8; 8] = *b"outpost\x02";
const ENDS: [u8; 8] = *b"\x01tsoptuo";
/// Hash and length of the index, and the last eight bytes.
const TAIL: u64 = 32 + 8 + 8;
/// About so much of a table, before packing, is one chunk.
const USUAL: usize = 512 << 10;
const MOST_ROWS: usize = 10_000;

/// Why a file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadArchive {
    #[error("it is no backup of outpost")]
    Foreign,
    #[error("it was cut short: its end is missing")]
    Cut,
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it was made by a newer version of outpost; use that version or a newer one")]
    Newer,
    #[error("the disk is full; free some space and try again")]
    Full,
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl From<BadChunk> for BadArchive {
    fn from(err: BadChunk) -> Self {
        Self::Damaged(err.to_string())
    }
}

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The program that made it.
    pub version: String,
    /// Milliseconds since 1970.
    pub made_at: i64,
    /// Of which node: its id, what it is called, and whether it is a hub or an edge.
    pub node: String,
    pub name: String,
    pub role: String,
    /// How many migrations the database had seen.
    pub schema: u32,
    /// All but the records.
    pub tables: Vec<Table>,
    /// Behind the tables.
    pub partitions: Vec<Part>,
    /// Then: records that could not be read, as they stand.
    pub unreadable: Vec<ChunkRef>,
    /// Last: photos and files.
    #[serde(default)]
    pub files: Files,
}

/// How many files there are, and how long they are in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    pub count: u64,
    pub bytes: u64,
}

impl Index {
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(|part| part.manifest.records).sum()
    }
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its digest was computed from the records while they were read.
    pub manifest: Manifest,
    /// For each of its chunks, and in the file right behind it, what only this node knows of these records.
    pub beside: Vec<ChunkRef>,
}

/// A table that is kept row by row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub chunks: Vec<ChunkRef>,
}

/// A value of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    #[serde(rename = "n")]
    Null,
    #[serde(rename = "i")]
    Int(i64),
    #[serde(rename = "r")]
    Real(f64),
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "b", with = "crate::domain::feed::bytes")]
    Blob(Vec<u8>),
}

impl Cell {
    fn weight(&self) -> usize {
        match self {
            Cell::Text(text) => text.len() + 4,
            Cell::Blob(bytes) => bytes.len() + 4,
            Cell::Null | Cell::Int(_) | Cell::Real(_) => 8,
        }
    }
}

/// Some rows of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

/// As they are kept: column by column.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(rename = "c")]
    columns: Vec<String>,
    #[serde(rename = "r")]
    rows: u64,
    #[serde(rename = "v")]
    values: Vec<Vec<Cell>>,
}

impl Rows {
    pub fn is_full(&self, weight: usize) -> bool {
        weight >= USUAL || self.rows.len() >= MOST_ROWS
    }

    fn into_content(self) -> Content {
        let rows = self.rows.len() as u64;
        let mut values: Vec<Vec<Cell>> = self.columns.iter().map(|_| Vec::with_capacity(self.rows.len())).collect();
        for row in self.rows {
            for (column, cell) in values.iter_mut().zip(row) {
                column.push(cell);
            }
        }
        Content { bytes: cbor(&Kept { columns: self.columns, rows, values }), records: rows }
    }

    fn read(content: &[u8]) -> Result<Self, BadArchive> {
        let Kept { columns, rows, values } = from_cbor(content)?;
        let parts = || BadArchive::Damaged("the parts of a table do not belong together".into());
        let count = usize::try_from(rows).ok().filter(|count| *count <= MAX_RECORDS).ok_or_else(parts)?;
        if values.len() != columns.len() || values.iter().any(|column| column.len() != count) {
            return Err(parts());
        }
        let mut rows: Vec<Vec<Cell>> = (0..count).map(|_| Vec::with_capacity(columns.len())).collect();
        for column in values {
            for (row, cell) in rows.iter_mut().zip(column) {
                row.push(cell);
            }
        }
        Ok(Self { columns, rows })
    }
}

fn cbor(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("what is kept has an encoding, and memory takes what is written");
    bytes
}

fn from_cbor<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, BadArchive> {
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(|err| BadArchive::Damaged(err.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(BadArchive::Damaged("something follows".into())) }
}

fn unkept(err: BlobError) -> BadArchive {
    match err {
        BlobError::Full => BadArchive::Full,
        BlobError::Io(err) => BadArchive::Io(err),
        wrong => BadArchive::Damaged(format!("a file in it: {wrong}")),
    }
}

/// How much a row weighs in a chunk.
pub fn weight(row: &[Cell]) -> usize {
    row.iter().map(Cell::weight).sum()
}

/// A backup that is being written.
pub struct Writer {
    file: BufWriter<File>,
}

impl Writer {
    pub fn new(file: File) -> io::Result<Self> {
        let mut file = BufWriter::new(file);
        file.write_all(&BEGINS)?;
        Ok(Self { file })
    }

    pub fn records(&mut self, content: &Content) -> io::Result<ChunkRef> {
        let Sealed { at, bytes } = seal(content);
        self.file.write_all(&bytes)?;
        Ok(at)
    }

    pub fn rows(&mut self, rows: Rows) -> io::Result<ChunkRef> {
        self.records(&rows.into_content())
    }

    /// All files that are here whole, as they are: whoever restores them holds them against their names.
    pub fn files(&mut self, files: &BlobFiles) -> io::Result<Files> {
        let mut written = Files::default();
        for hash in files.all()? {
            // one that is taken out of sight meanwhile is not here
            let Some(size) = files.size(hash) else { continue };
            self.file.write_all(&hash.0)?;
            self.file.write_all(&size.to_le_bytes())?;
            for at in (0..size).step_by(CHUNK as usize) {
                let expected = CHUNK.min(size - at);
                let part = files.read(hash, at, expected)?.filter(|part| part.len() as u64 == expected);
                let part =
                    part.ok_or_else(|| io::Error::other(format!("the file {hash} changed while it was read")))?;
                self.file.write_all(&part)?;
            }
            written = Files { count: written.count + 1, bytes: written.bytes + size };
        }
        Ok(written)
    }

    /// Writes the index and has all of it reach the disk. How many bytes it is.
    pub fn finish(mut self, index: &Index) -> io::Result<u64> {
        let Sealed { at, bytes } = seal(&Content { bytes: cbor(index), records: 0 });
        self.file.write_all(&bytes)?;
        self.file.write_all(&at.hash.0)?;
        self.file.write_all(&at.bytes.to_le_bytes())?;
        self.file.write_all(&ENDS)?;
        let size = self.file.stream_position()?;
        if index.files.count > 0 {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&BEGINS_WITH_FILES)?;
        }
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(size)
    }
}

/// A backup that is being read, from its first chunk to its last.
pub struct Reader {
    file: BufReader<File>,
    pub index: Index,
}

impl Reader {
    pub fn open(mut file: File) -> Result<Self, BadArchive> {
        let size = file.seek(SeekFrom::End(0))?;
        let mut begins = [0; BEGINS.len()];
        file.seek(SeekFrom::Start(0))?;
        let whole = size >= BEGINS.len() as u64;
        if whole {
            file.read_exact(&mut begins)?;
        }
        if begins[..7] != BEGINS[..7] {
            return Err(BadArchive::Foreign);
        }
        if begins != BEGINS && begins != BEGINS_WITH_FILES {
            return Err(BadArchive::Newer);
        }
        let tail_at = size.checked_sub(TAIL).filter(|at| *at >= BEGINS.len() as u64).ok_or(BadArchive::Cut)?;
        let mut tail = [0; TAIL as usize];
        file.seek(SeekFrom::Start(tail_at))?;
        file.read_exact(&mut tail)?;
        if tail[40..] != ENDS {
            return Err(BadArchive::Cut);
        }
        let hash = ChunkHash(std::array::from_fn(|at| tail[at]));
        let length = u64::from_le_bytes(std::array::from_fn(|at| tail[32 + at]));
        let damaged = || BadArchive::Damaged("its index is not where it should be".into());
        let index_at = tail_at.checked_sub(length).filter(|at| *at >= BEGINS.len() as u64).ok_or_else(damaged)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_PACKED).ok_or_else(damaged)?;
        let mut bytes = vec![0; length];
        file.seek(SeekFrom::Start(index_at))?;
        file.read_exact(&mut bytes)?;
        let index: Index = from_cbor(&chunk::open(hash, &bytes)?)?;
        if index.partitions.iter().any(|part| part.beside.len() != part.manifest.chunks.len()) {
            return Err(BadArchive::Damaged("the parts of its index do not belong together".into()));
        }
        file.seek(SeekFrom::Start(BEGINS.len() as u64))?;
        Ok(Self { file: BufReader::new(file), index })
    }

    /// The next chunk, which is this one if the file is as its index says.
    pub fn records(&mut self, at: &ChunkRef) -> Result<Vec<u8>, BadArchive> {
        let length = usize::try_from(at.bytes).ok().filter(|length| *length <= MAX_PACKED.min(MAX_CHUNK));
        let length =
            length.ok_or_else(|| BadArchive::Damaged("a chunk is larger than anything that is made".into()))?;
        let mut bytes = vec![0; length];
        self.exactly(&mut bytes)?;
        Ok(chunk::open(at.hash, &bytes)?)
    }

    /// Brings all files into a place of their own, each held against its name. To be asked when all chunks were read.
    pub fn files(&mut self, into: &BlobFiles) -> Result<(), BadArchive> {
        let mut found = Files::default();
        let mut part = vec![0; CHUNK as usize];
        for _ in 0..self.index.files.count {
            let (mut hash, mut size) = ([0; 32], [0; 8]);
            self.exactly(&mut hash)?;
            self.exactly(&mut size)?;
            let (hash, size) = (BlobHash(hash), u64::from_le_bytes(size));
            if size > self.index.files.bytes.saturating_sub(found.bytes) {
                return Err(BadArchive::Damaged("a file is longer than all of them".into()));
            }
            if size == 0 {
                into.append(hash, 0, 0, &[]).map_err(unkept)?;
            }
            for at in (0..size).step_by(CHUNK as usize) {
                let part = &mut part[..CHUNK.min(size - at) as usize];
                self.exactly(part)?;
                into.append(hash, size, at, part).map_err(unkept)?;
            }
            found = Files { count: found.count + 1, bytes: found.bytes + size };
        }
        if found == self.index.files {
            Ok(())
        } else {
            Err(BadArchive::Damaged("it holds other files than its index says".into()))
        }
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Result<(), BadArchive> {
        self.file.read_exact(bytes).map_err(|err| match err.kind() {
            io::ErrorKind::UnexpectedEof => BadArchive::Cut,
            _ => err.into(),
        })
    }

    pub fn rows(&mut self, at: &ChunkRef) -> Result<Rows, BadArchive> {
        let rows = Rows::read(&self.records(at)?)?;
        if rows.rows.len() as u64 == at.records {
            Ok(rows)
        } else {
            Err(BadArchive::Damaged("a table holds other rows than its index says".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{Epoch, Partition};
    use crate::store::blob::hash_of;

    fn rows() -> Rows {
        let row = |n: i64| {
            vec![
                Cell::Int(n),
                Cell::Text(format!("text {n}")),
                Cell::Null,
                Cell::Blob(vec![n as u8; 3]),
                Cell::Real(0.5),
            ]
        };
        Rows { columns: ["a", "b", "c", "d", "e"].map(String::from).to_vec(), rows: (0..40).map(row).collect() }
    }

    fn photo() -> Vec<u8> {
        (0..CHUNK + 77).map(|n| (n * 31 % 251) as u8).collect()
    }

    fn made() -> Vec<u8> {
        let dir = tempfile::tempdir().expect("a directory");
        let photos = BlobFiles::at(dir.path());
        for bytes in [photo(), Vec::new()] {
            photos.append(hash_of(&bytes), bytes.len() as u64, 0, &bytes).expect("it is kept");
        }
        written(&photos)
    }

    fn written(photos: &BlobFiles) -> Vec<u8> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut writer = Writer::new(file.reopen().expect("a file")).expect("it is written");
        let table = writer.rows(rows()).expect("it is written");
        let chunk = writer.records(&Content { bytes: vec![1, 2, 3], records: 1 }).expect("it is written");
        let beside = writer
            .rows(Rows { columns: vec!["number".into()], rows: vec![vec![Cell::Int(1)]] })
            .expect("it is written");
        let manifest = Manifest {
            partition: Partition::types(),
            epoch: Epoch(1),
            head: 1,
            digest: Default::default(),
            records: 1,
            chunks: vec![chunk],
        };
        let index = Index {
            version: "0.1.0".into(),
            made_at: 1,
            node: "n".into(),
            name: "hub".into(),
            role: "hub".into(),
            schema: 1,
            tables: vec![Table { name: "local".into(), chunks: vec![table] }],
            partitions: vec![Part { manifest, beside: vec![beside] }],
            unreadable: Vec::new(),
            files: writer.files(photos).expect("they are written"),
        };
        let size = writer.finish(&index).expect("it is written");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("it is read");
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Rows, BadArchive> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        let mut reader = Reader::open(file)?;
        let index = reader.index.clone();
        let table = reader.rows(&index.tables[0].chunks[0])?;
        let part = &index.partitions[0];
        assert_eq!(reader.records(&part.manifest.chunks[0])?, [1, 2, 3]);
        reader.rows(&part.beside[0])?;
        let dir = tempfile::tempdir()?;
        let photos = BlobFiles::at(dir.path());
        reader.files(&photos)?;
        if index.files.count > 0 {
            for bytes in [photo(), Vec::new()] {
                assert_eq!(photos.read(hash_of(&bytes), 0, 1 << 20)?, Some(bytes));
            }
        }
        Ok(table)
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&made()).expect("it is whole"), rows());
    }

    #[test]
    fn without_files_an_earlier_version_reads_it_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = written(&BlobFiles::at(dir.path()));
        assert_eq!(made[..8], BEGINS);
        assert_eq!(read(&made).expect("it is whole"), rows());
        assert_eq!(super::tests::made()[..8], BEGINS_WITH_FILES);
    }

    #[test]
    fn a_file_that_is_cut_altered_or_foreign_is_told() {
        let whole = made();
        for cut in [0, 3, 8, 40, whole.len() / 2, whole.len() - 1] {
            let err = read(&whole[..cut]).expect_err("it is cut");
            assert!(matches!(err, BadArchive::Cut | BadArchive::Foreign), "{cut}: {err}");
        }
        // of the bytes of the photo some are enough
        let photo = photo();
        let begins = whole.windows(64).position(|bytes| bytes == &photo[..64]).expect("it is in there");
        let inside = begins + 64..begins + photo.len() - 64;
        for at in (0..whole.len()).filter(|at| !inside.contains(at) || at % 20_011 == 0) {
            let mut altered = whole.clone();
            altered[at] ^= 0x11;
            assert!(read(&altered).is_err(), "{at}");
        }
        assert!(matches!(
            read(b"SQLite format 3\0 and a lot of other things that follow there, longer than any tail"),
            Err(BadArchive::Foreign)
        ));
        let mut newer = whole.clone();
        newer[7] = 3;
        assert!(matches!(read(&newer), Err(BadArchive::Newer)));
        let longer = [&whole[..], b"more"].concat();
        assert!(matches!(read(&longer), Err(BadArchive::Cut)));
    }
}
