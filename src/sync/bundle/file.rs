//! A bundle as a file.
//!
//! Layout: eight bytes that say what it is, the last of them the version, which is 2 if it may hold files and else 1; length and content of the header, in CBOR; the
//! pieces, each a length and a message as on the wire; an empty length; then the BLAKE3 hash of all that, the same keyed with
//! what only the two nodes know, how long it was, and eight bytes more. So what was cut, damaged or altered is told apart, and
//! before anything is done with it. Nothing in it is hidden: it is readable by whoever holds it.

use std::io::{self, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use super::{Header, Piece};
use crate::sync::wire;

const BEGINS: [u8; 7] = *b"outpbdl";
/// Without files, and with them.
const VERSIONS: [u8; 2] = [1, 2];
const ENDS: [u8; 8] = *b"ldbptuo\n";
/// Hash, keyed hash, length, and the last eight bytes.
const TAIL: u64 = 32 + 32 + 8 + 8;
/// A header has a few names.
const MAX_HEADER: u32 = 64 << 10;
/// What a piece may be in the file, and unpacked.
const MAX_PIECE: u32 = 48 << 20;
const MAX_UNPACKED: usize = 64 << 20;

/// Why a file is no bundle that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadBundle {
    #[error("it is no bundle of outpost")]
    Foreign,
    #[error("it was made by a newer version of outpost; use that version or a newer one")]
    Newer,
    #[error("it was cut short: its end is missing")]
    Cut,
    #[error("it was damaged: its checksum does not match")]
    Damaged,
    #[error("it was altered, or made for another life of this node: its seal does not match")]
    Unsealed,
    #[error("a part of it cannot be read: {0}")]
    Content(String),
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// What the two nodes of a bundle know, and nobody else: made of the hash of the edge's credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key(#[serde(with = "crate::domain::feed::bytes")] Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Of an edge's credential.
    pub fn of(credential: &str) -> Self {
        Self::of_hash(&blake3::hash(credential.as_bytes()))
    }

    pub(crate) fn of_hash(hash: &blake3::Hash) -> Self {
        Self(blake3::derive_key("outpost 2026-11 seal of a bundle", hash.as_bytes()).to_vec())
    }

    fn hasher(&self) -> blake3::Hasher {
        let mut key = [0; 32];
        // it is of this length unless it comes from nowhere, and then it fits nothing
        key.iter_mut().zip(&self.0).for_each(|(to, from)| *to = *from);
        blake3::Hasher::new_keyed(&key)
    }
}

/// Writes a bundle, and seals it.
pub struct Writer<W> {
    to: W,
    plain: blake3::Hasher,
    keyed: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(to: W, key: &Key, header: &Header) -> io::Result<Self> {
        let mut writer = Self { to, plain: blake3::Hasher::new(), keyed: key.hasher(), bytes: 0 };
        writer.put(&BEGINS)?;
        writer.put(&[VERSIONS[usize::from(header.files)]])?;
        let mut cbor = Vec::new();
        ciborium::into_writer(header, &mut cbor).expect("memory takes what is written");
        writer.frame(&cbor)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.plain.update(bytes);
        self.keyed.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.put(&length.to_be_bytes())?;
        self.put(bytes)
    }

    /// Adds a piece, as [`pack`] made it.
    pub fn piece(&mut self, packed: &[u8]) -> io::Result<()> {
        self.frame(packed)
    }

    /// How many bytes it became.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.put(&0u32.to_be_bytes())?;
        let (plain, keyed) = (self.plain.finalize(), self.keyed.finalize());
        self.to.write_all(plain.as_bytes())?;
        self.to.write_all(keyed.as_bytes())?;
        self.to.write_all(&self.bytes.to_be_bytes())?;
        self.to.write_all(&ENDS)?;
        self.to.flush()?;
        Ok((self.to, self.bytes + TAIL))
    }
}

/// A piece as it stands in the file.
pub fn pack(piece: &Piece) -> Vec<u8> {
    wire::encode(piece)
}

pub fn unpack(packed: &[u8]) -> Result<Piece, BadBundle> {
    wire::decode(packed, MAX_UNPACKED).map_err(|err| BadBundle::Content(err.to_string()))
}

/// Reads a bundle: first all of it for its seal, then piece by piece.
pub struct Reader<R> {
    from: R,
    header: Header,
    /// Where the pieces begin, and where the tail does.
    pieces: u64,
    end: u64,
    /// What the file as a whole should hash to.
    seal: [u8; 32],
}

impl<R: Read + Seek> Reader<R> {
    /// Finds out whether it is a bundle and came over whole. Nobody knows yet who made it.
    pub fn open(mut from: R) -> Result<Self, BadBundle> {
        from.seek(SeekFrom::Start(0))?;
        let mut begins = [0; 8];
        from.read_exact(&mut begins).map_err(|err| missing(err, BadBundle::Foreign))?;
        match begins {
            [begins @ .., version] if begins == BEGINS && VERSIONS.contains(&version) => {}
            [begins @ .., version] if begins == BEGINS && version > VERSIONS[1] => return Err(BadBundle::Newer),
            _ => return Err(BadBundle::Foreign),
        }
        let length = from.seek(SeekFrom::End(0))?;
        let end = length.checked_sub(TAIL).ok_or(BadBundle::Cut)?;
        from.seek(SeekFrom::Start(end))?;
        let mut tail = [0; TAIL as usize];
        from.read_exact(&mut tail).map_err(|err| missing(err, BadBundle::Cut))?;
        let (hash, rest) = tail.split_at(32);
        let (seal, rest) = rest.split_at(32);
        let (told, ends) = rest.split_at(8);
        if ends != ENDS || told != end.to_be_bytes() {
            return Err(BadBundle::Cut);
        }
        if each(&mut from, end, blake3::Hasher::new())?.as_bytes() != hash {
            return Err(BadBundle::Damaged);
        }
        let mut seal_bytes = [0; 32];
        seal_bytes.copy_from_slice(seal);
        from.seek(SeekFrom::Start(8))?;
        let header = frame(&mut from, MAX_HEADER)?;
        let header =
            ciborium::from_reader(&header[..]).map_err(|err| BadBundle::Content(format!("its header: {err}")))?;
        let pieces = from.stream_position()?;
        Ok(Self { from, header, pieces, end, seal: seal_bytes })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub fn bytes(&self) -> u64 {
        self.end + TAIL
    }

    /// Holds all of it against the key, and begins with the first piece.
    pub fn unseal(&mut self, key: &Key) -> Result<(), BadBundle> {
        let hash = each(&mut self.from, self.end, key.hasher())?;
        // blake3 compares its own hashes in the same time whatever they are
        if hash != blake3::Hash::from_bytes(self.seal) {
            return Err(BadBundle::Unsealed);
        }
        self.from.seek(SeekFrom::Start(self.pieces))?;
        Ok(())
    }

    /// The next piece, packed.
    pub fn piece(&mut self) -> Result<Option<Vec<u8>>, BadBundle> {
        let packed = frame(&mut self.from, MAX_PIECE)?;
        Ok((!packed.is_empty()).then_some(packed))
    }
}

fn missing(err: io::Error, instead: BadBundle) -> BadBundle {
    if err.kind() == io::ErrorKind::UnexpectedEof { instead } else { err.into() }
}

fn frame(from: &mut impl Read, most: u32) -> Result<Vec<u8>, BadBundle> {
    let mut length = [0; 4];
    from.read_exact(&mut length).map_err(|err| missing(err, BadBundle::Cut))?;
    let length = u32::from_be_bytes(length);
    if length > most {
        return Err(BadBundle::Content("it says that it is larger than any".into()));
    }
    let mut bytes = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() == length as usize { Ok(bytes) } else { Err(BadBundle::Cut) }
}

/// The hash of the first so many bytes.
fn each<R: Read + Seek>(from: &mut R, bytes: u64, mut hasher: blake3::Hasher) -> Result<blake3::Hash, BadBundle> {
    from.seek(SeekFrom::Start(0))?;
    let mut left = from.take(bytes);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match left.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::domain::ids::NodeId;
    use crate::domain::protocol::Push;
    use crate::sync::bundle::Way;

    fn header() -> Header {
        Header {
            way: Way::Up,
            edge: NodeId(1),
            edge_name: "Platform 7".into(),
            hub: NodeId(2),
            hub_name: "Tern Bay hub".into(),
            id: 3,
            number: 4,
            made_at: 5,
            life: 6,
            files: false,
        }
    }

    fn bundle(key: &Key) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), key, &header()).expect("memory takes it");
        writer.piece(&pack(&Piece::Push(Push { since: 7, saves: Vec::new() }))).expect("memory takes it");
        let (bytes, length) = writer.finish().expect("memory takes it");
        assert_eq!(bytes.len() as u64, length);
        bytes
    }

    fn read(bytes: &[u8], key: &Key) -> Result<Vec<Piece>, BadBundle> {
        let mut reader = Reader::open(Cursor::new(bytes))?;
        assert_eq!(reader.header(), &header());
        reader.unseal(key)?;
        let mut pieces = Vec::new();
        while let Some(packed) = reader.piece()? {
            pieces.push(unpack(&packed)?);
        }
        Ok(pieces)
    }

    #[test]
    fn what_was_written_is_read_by_whoever_knows_the_key() {
        let (key, other) = (Key::of("opn_a"), Key::of("opn_b"));
        let bytes = bundle(&key);
        let pieces = read(&bytes, &key).expect("it is whole");
        assert!(matches!(&pieces[..], [Piece::Push(push)] if push.since == 7));
        assert!(matches!(read(&bytes, &other), Err(BadBundle::Unsealed)));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let key = Key::of("opn_a");
        let bytes = bundle(&key);
        for at in 0..bytes.len() {
            assert!(read(&bytes[..at], &key).is_err(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(read(&flipped, &key).is_err(), "flipped at {at}");
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"more");
        assert!(matches!(read(&longer, &key), Err(BadBundle::Cut)));
    }

    #[test]
    fn what_was_altered_with_its_checksum_put_right_is_not_sealed() {
        let key = Key::of("opn_a");
        let mut bytes = bundle(&key);
        let end = bytes.len() - TAIL as usize;
        let at = bytes.windows(8).position(|window| window == b"Platform").expect("the name is in it");
        bytes[at] = b'p';
        let hash = blake3::hash(&bytes[..end]);
        bytes[end..end + 32].copy_from_slice(hash.as_bytes());
        let mut reader = Reader::open(Cursor::new(&bytes)).expect("it is whole");
        assert!(matches!(reader.unseal(&key), Err(BadBundle::Unsealed)));
    }

    #[test]
    fn a_newer_one_and_another_file_are_told() {
        let mut bytes = bundle(&Key::of("opn_a"));
        assert_eq!(bytes[7], 1, "without files it is what the first programs read");
        bytes[7] = VERSIONS[1] + 1;
        assert!(matches!(Reader::open(Cursor::new(&bytes)), Err(BadBundle::Newer)));
        assert!(matches!(Reader::open(Cursor::new(b"PK")), Err(BadBundle::Foreign)));
        assert!(matches!(Reader::open(Cursor::new(b"a text of some length")), Err(BadBundle::Foreign)));
    }
}
