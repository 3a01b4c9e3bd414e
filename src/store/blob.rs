//! Files on disk, named by the SHA-256 of their bytes: `blobs/ab/abcd…`; what is not whole yet lies in `blobs/coming`.
//!
//! A file comes into sight whole, checked against its name and on disk, or not at all. What has arrived of one is kept, so
//! that its next part can come after a crash or a year. Calls block; who may see a file, and which are wanted, is decided
//! elsewhere. Nothing is ever removed but what stopped coming.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::domain::blob::{BlobHash, CHUNK};

/// The place in the data directory.
pub const PLACE: &str = "blobs";
const COMING: &str = "coming";
/// What nobody went on with for so long is given up.
const GIVEN_UP: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why a part of a file was not taken. Nothing that arrived before is lost, unless it was wrong.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("its first {have} bytes are here; go on from there")]
    Gap { have: u64 },
    #[error("it is longer than the size that was said")]
    TooLong,
    #[error("its bytes are not those that its name stands for; what arrived was thrown away")]
    Mismatch,
    #[error("the disk is full; nothing was changed")]
    Full,
    #[error("the files cannot be kept: {0}")]
    Io(io::Error),
}

impl From<io::Error> for BlobError {
    fn from(err: io::Error) -> Self {
        match err.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(err),
        }
    }
}

/// The files of one node.
#[derive(Debug)]
pub struct BlobFiles {
    dir: PathBuf,
    /// Whoever appends to a file holds the lock that its name falls to.
    locks: [Mutex<()>; 16],
}

/// How much of a file is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    Whole,
    /// So many bytes from its beginning.
    Bytes(u64),
}

const POISON: &str = "no holder of this lock panics";

/// The SHA-256 of some bytes.
pub fn hash_of(bytes: &[u8]) -> BlobHash {
    BlobHash(Sha256::digest(bytes).into())
}

impl BlobFiles {
    /// The files in this data directory, for whoever runs the node: what nobody went on with is given up.
    pub fn open(data: &Path) -> Self {
        let files = Self::at(data);
        files.give_up();
        files
    }

    /// The files in this data directory; the place is made when the first one comes.
    pub fn at(data: &Path) -> Self {
        Self { dir: data.join(PLACE), locks: Default::default() }
    }

    /// Where files lie.
    pub fn place(&self) -> &Path {
        &self.dir
    }

    fn path(&self, hash: BlobHash) -> PathBuf {
        let name = hash.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    fn coming(&self, hash: BlobHash) -> PathBuf {
        self.dir.join(COMING).join(hash.to_string())
    }

    /// Removes what nobody went on with.
    fn give_up(&self) {
        let Ok(entries) = fs::read_dir(self.dir.join(COMING)) else { return };
        for entry in entries.flatten() {
            let touched = entry.metadata().and_then(|data| data.modified());
            let age = touched.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age > GIVEN_UP) {
                // what cannot be removed only takes up room
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The size of a file that is here whole.
    pub fn size(&self, hash: BlobHash) -> Option<u64> {
        fs::metadata(self.path(hash)).ok().map(|data| data.len())
    }

    pub fn arrived(&self, hash: BlobHash) -> Arrived {
        if self.size(hash).is_some() {
            return Arrived::Whole;
        }
        Arrived::Bytes(fs::metadata(self.coming(hash)).map_or(0, |data| data.len()))
    }

    /// Takes the next bytes of a file that will be `size` long, beginning at `offset`. What is here already passes over, so
    /// that the same part may come twice. With its last byte it is held against its name and comes into sight.
    pub fn append(&self, hash: BlobHash, size: u64, offset: u64, bytes: &[u8]) -> Result<Arrived, BlobError> {
        let _alone = self.locks[usize::from(hash.0[0] >> 4)].lock().expect(POISON);
        if self.size(hash).is_some() {
            return Ok(Arrived::Whole);
        }
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= size).ok_or(BlobError::TooLong)?;
        let path = self.coming(hash);
        fs::create_dir_all(self.dir.join(COMING))?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let have = file.metadata()?.len();
        if have > size {
            // somebody said another size before; begin again
            drop(file);
            fs::remove_file(&path)?;
            return Err(BlobError::Gap { have: 0 });
        }
        if offset > have {
            return Err(BlobError::Gap { have });
        }
        if end > have {
            let known = usize::try_from(have - offset).unwrap_or(bytes.len()).min(bytes.len());
            if let Err(err) = file.write_all(&bytes[known..]) {
                // what came of it must not stand in the way of the next try
                let _ = file.set_len(have);
                return Err(err.into());
            }
        }
        let have = have.max(end);
        if have < size {
            return Ok(Arrived::Bytes(have));
        }
        self.finish(hash, &path, file)?;
        Ok(Arrived::Whole)
    }

    /// Holds what arrived against its name, and brings it into sight.
    fn finish(&self, hash: BlobHash, path: &Path, mut file: File) -> Result<(), BlobError> {
        file.seek(SeekFrom::Start(0))?;
        if hash_all(&mut file)? != hash {
            drop(file);
            fs::remove_file(path)?;
            return Err(BlobError::Mismatch);
        }
        file.sync_all()?;
        let target = self.path(hash);
        let folder = target.parent().unwrap_or(&self.dir);
        fs::create_dir_all(folder)?;
        fs::rename(path, &target)?;
        for folder in [folder, &self.dir] {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Some bytes of a file that is here whole; fewer at its end, and `None` if it is not here.
    pub fn read(&self, hash: BlobHash, offset: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
        let mut file = match File::open(self.path(hash)) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err),
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Part `number` of a file that is here whole.
    pub fn part(&self, hash: BlobHash, number: u64) -> io::Result<Option<Vec<u8>>> {
        self.read(hash, number.saturating_mul(CHUNK), CHUNK)
    }

    /// The names of all files that are here whole, in order.
    pub fn all(&self) -> io::Result<Vec<BlobHash>> {
        let mut all = Vec::new();
        for folder in entries(&self.dir)? {
            if folder.file_name().is_some_and(|name| name.len() == 2) {
                let files = entries(&folder)?.into_iter();
                all.extend(files.filter_map(|file| file.file_name()?.to_str()?.parse::<BlobHash>().ok()));
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Whether the bytes of a file that is here are those that its name stands for.
    pub fn is_sound(&self, hash: BlobHash) -> io::Result<bool> {
        Ok(hash_all(&mut File::open(self.path(hash))?)? == hash)
    }

    /// Takes a damaged file out of sight, so that it can come again.
    pub fn set_aside(&self, hash: BlobHash) -> io::Result<()> {
        fs::rename(self.path(hash), self.path(hash).with_extension("damaged"))
    }
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(err) => Err(err),
    }
}

fn hash_all(file: &mut File) -> io::Result<BlobHash> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(BlobHash(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (BlobFiles, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        (BlobFiles::open(dir.path()), dir)
    }

    fn photo(size: usize) -> Vec<u8> {
        (0..size).map(|n| (n * 31 % 251) as u8).collect()
    }

    #[test]
    fn a_file_comes_into_sight_when_it_is_whole() {
        let (files, dir) = files();
        let bytes = photo(700_000);
        let hash = hash_of(&bytes);
        assert_eq!(files.arrived(hash), Arrived::Bytes(0));
        let first = files.append(hash, 700_000, 0, &bytes[..300_000]).expect("it is taken");
        assert_eq!(first, Arrived::Bytes(300_000));
        assert_eq!((files.size(hash), files.read(hash, 0, 9).expect("it reads")), (None, None));
        // another process goes on
        let files = BlobFiles::open(dir.path());
        assert_eq!(files.arrived(hash), Arrived::Bytes(300_000));
        let rest = files.append(hash, 700_000, 300_000, &bytes[300_000..]).expect("it is taken");
        assert_eq!(rest, Arrived::Whole);
        assert_eq!(files.read(hash, 699_998, 9).expect("it reads").as_deref(), Some(&bytes[699_998..]));
        assert_eq!(files.part(hash, 1).expect("it reads").as_deref(), Some(&bytes[CHUNK as usize..2 * CHUNK as usize]));
        assert_eq!(files.all().expect("it lists"), [hash]);
        assert!(files.is_sound(hash).expect("it reads"));
    }

    #[test]
    fn the_same_part_may_come_twice_and_a_gap_is_told() {
        let (files, _dir) = files();
        let bytes = photo(1000);
        let hash = hash_of(&bytes);
        files.append(hash, 1000, 0, &bytes[..600]).expect("it is taken");
        assert_eq!(files.append(hash, 1000, 0, &bytes[..600]).expect("again"), Arrived::Bytes(600));
        assert_eq!(files.append(hash, 1000, 500, &bytes[500..700]).expect("overlapping"), Arrived::Bytes(700));
        assert!(matches!(files.append(hash, 1000, 800, &bytes[800..]), Err(BlobError::Gap { have: 700 })));
        assert!(matches!(files.append(hash, 1000, 700, &bytes[..700]), Err(BlobError::TooLong)));
        assert!(matches!(files.append(hash, 1000, u64::MAX, &bytes[..7]), Err(BlobError::TooLong)));
        assert_eq!(files.append(hash, 1000, 700, &bytes[700..]).expect("the rest"), Arrived::Whole);
        assert_eq!(files.append(hash, 1000, 0, &bytes[..600]).expect("after all"), Arrived::Whole);
    }

    #[test]
    fn bytes_that_are_not_those_of_the_name_never_come_into_sight() {
        let (files, _dir) = files();
        let hash = hash_of(b"right");
        assert!(matches!(files.append(hash, 5, 0, b"wrong"), Err(BlobError::Mismatch)));
        assert_eq!(files.arrived(hash), Arrived::Bytes(0));
        assert_eq!(files.append(hash, 5, 0, b"right").expect("it is taken"), Arrived::Whole);
        let empty = hash_of(b"");
        assert_eq!(files.append(empty, 0, 0, b"").expect("nothing is something, too"), Arrived::Whole);
    }

    #[test]
    fn a_file_that_rots_is_noticed_and_can_come_again() {
        let (files, _dir) = files();
        let hash = hash_of(b"right");
        files.append(hash, 5, 0, b"right").expect("it is taken");
        fs::write(files.path(hash), b"rotte").expect("the disk rots");
        assert!(!files.is_sound(hash).expect("it reads"));
        files.set_aside(hash).expect("it is moved");
        assert_eq!((files.arrived(hash), files.all().expect("it lists").len()), (Arrived::Bytes(0), 0));
        files.append(hash, 5, 0, b"right").expect("it comes again");
        assert!(files.is_sound(hash).expect("it reads"));
    }

    #[test]
    fn two_who_bring_the_same_file_at_once_make_one_of_it() {
        let (files, _dir) = files();
        let bytes = photo(600_000);
        let hash = hash_of(&bytes);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (number, part) in bytes.chunks(50_000).enumerate() {
                        files.append(hash, 600_000, number as u64 * 50_000, part).expect("it is taken");
                    }
                });
            }
        });
        assert!(files.is_sound(hash).expect("it is here"));
    }
}
