//! Files of a node: which records refer to which, who may have them, where each one is.
//!
//! What refers to a file is found by reading the records of types that have files, as far as they changed since: the
//! numbers of each partition say from where. It is kept beside the records as documents of this node alone, so a restart
//! goes on where it was. Values that lost and values of a record's past count, too: no file is thrown away that somebody
//! may want back. Files that nothing refers to stay as well.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::Caches;
use crate::domain::blob::{BlobHash, FileRef, FileState, Place, has_files, parts, references};
use crate::domain::ids::{Epoch, Partition, PersonId, RecordId, TypeName};
use crate::domain::scope::Scope;
use crate::store::blob::{Arrived, BlobError, BlobFiles};
use crate::store::{LocalChange, Request, Store, StoreError};

/// Files of a record.
const REFERS: &str = "file-refers";
/// What this node knows of a file beside its bytes.
const KNOWN: &str = "file-known";
/// How far a partition was read.
const READ: &str = "file-read";
const PAGE: usize = 1 << 20;
/// The largest file that is taken, unless said otherwise.
pub const MOST: u64 = 50 << 20;

/// Which types have files.
pub type HasFiles = Box<dyn Fn(&TypeName) -> bool + Send + Sync>;

/// The files of one node.
pub struct Blobs {
    files: Arc<BlobFiles>,
    store: Arc<dyn Store>,
    has_files: HasFiles,
    most: AtomicU64,
    is_hub: bool,
    index: RwLock<Index>,
    reading: tokio::sync::Mutex<()>,
    stirred: watch::Sender<()>,
}

/// A record's files, as kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Refers {
    partition: Partition,
    now: Vec<FileRef>,
    /// Files that it referred to before.
    past: Vec<FileRef>,
}

/// What is kept of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    /// Who brought it here, if a person did.
    #[serde(default)]
    by: Option<PersonId>,
    /// The hub had it then, in this line of its numbers.
    #[serde(default)]
    at_hub: Option<Epoch>,
}

#[derive(Default)]
struct Index {
    refers: HashMap<String, Refers>,
    holders: HashMap<BlobHash, BTreeSet<String>>,
    known: HashMap<BlobHash, Known>,
    read: BTreeMap<Partition, u64>,
    /// Files that are here whole; not kept.
    here: HashSet<BlobHash>,
    /// How it goes on the way up; not kept.
    under_way: HashMap<BlobHash, (u64, Option<String>)>,
}

impl Index {
    fn put(&mut self, key: &str, refers: Option<Refers>) {
        if let Some(old) = self.refers.remove(key) {
            for file in old.now.iter().chain(&old.past) {
                if let Some(holders) = self.holders.get_mut(&file.hash) {
                    holders.remove(key);
                    if holders.is_empty() {
                        self.holders.remove(&file.hash);
                    }
                }
            }
        }
        let Some(refers) = refers else { return };
        for file in refers.now.iter().chain(&refers.past) {
            self.holders.entry(file.hash).or_default().insert(key.to_owned());
        }
        self.refers.insert(key.to_owned(), refers);
    }

    fn refers_to(&self, hash: BlobHash) -> impl Iterator<Item = (&Refers, &FileRef)> {
        let keys = self.holders.get(&hash).into_iter().flatten();
        keys.filter_map(move |key| {
            let refers = self.refers.get(key)?;
            let file = refers.now.iter().chain(&refers.past).find(|file| file.hash == hash)?;
            Some((refers, file))
        })
    }
}

/// A file that has to travel, and how long it is.
pub type Wanted = (BlobHash, u64);

/// Files that have to travel, and how many bytes they are in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Travelling {
    pub files: u64,
    pub bytes: u64,
}

const POISON: &str = "no holder of this lock panics";

/// Which types have files by what is published of them here.
pub fn by_types(caches: Arc<Caches>) -> HasFiles {
    Box::new(move |name| {
        let Some(found) = caches.get(name) else { return false };
        // the text first: it is asked often, and most types have none
        found.current.text.contains("x-kind")
            && serde_json::from_str::<Value>(&found.current.text).is_ok_and(|schema| has_files(&schema))
    })
}

impl Blobs {
    /// The files in a data directory, and what is known of them in its store.
    pub async fn open(
        data: &Path,
        store: Arc<dyn Store>,
        has_files: HasFiles,
        is_hub: bool,
    ) -> Result<Arc<Self>, StoreError> {
        let mut index = Index::default();
        for (key, value) in store.locals(REFERS).await? {
            // what cannot be read is found again when its record changes
            if let Ok(refers) = serde_json::from_value(value) {
                index.put(&key, Some(refers));
            }
        }
        for (key, value) in store.locals(KNOWN).await? {
            if let (Ok(hash), Ok(known)) = (key.parse(), serde_json::from_value(value)) {
                index.known.insert(hash, known);
            }
        }
        for (key, value) in store.locals(READ).await? {
            if let Some(read) = value.as_u64() {
                index.read.insert(Partition(key), read);
            }
        }
        let files = BlobFiles::open(data);
        index.here = files.all().map_err(|err| StoreError::ReadOnly(err.to_string()))?.into_iter().collect();
        Ok(Arc::new(Self {
            files: Arc::new(files),
            store,
            has_files,
            most: AtomicU64::new(MOST),
            is_hub,
            index: RwLock::new(index),
            reading: tokio::sync::Mutex::new(()),
            stirred: watch::Sender::new(()),
        }))
    }

    /// The largest file that is taken, in bytes.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    pub fn take_at_most(&self, bytes: u64) {
        self.most.store(bytes, Ordering::Relaxed);
    }

    /// Changes when a file came, or is to travel.
    pub fn stirred(&self) -> watch::Receiver<()> {
        self.stirred.subscribe()
    }

    /// Whether records of a partition may refer to files.
    pub fn concerns(&self, partition: &Partition) -> bool {
        TypeName::custom(partition.type_name()).is_ok_and(|name| (self.has_files)(&name))
    }

    /// Reads what changed in records since it was read last.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.reading.lock().await;
        for state in self.store.partitions().await? {
            let name = TypeName::custom(state.partition.type_name());
            let Some(name) = name.ok().filter(|name| (self.has_files)(name)) else { continue };
            let read = self.index.read().expect(POISON).read.get(&state.partition).copied().unwrap_or(0);
            if read < state.head {
                self.read_partition(&state.partition, &name, read).await?;
            }
        }
        Ok(())
    }

    async fn read_partition(&self, partition: &Partition, name: &TypeName, base: u64) -> Result<(), StoreError> {
        let mut after = base;
        loop {
            let page = self.store.changes(partition, base, after, PAGE).await?;
            let rows = page.rows.iter().map(|row| (row.type_name.clone(), row.id));
            let keys: BTreeSet<(TypeName, RecordId)> =
                rows.chain(page.moved.iter().map(|moved| (moved.type_name.clone(), moved.id))).collect();
            let mut found = Vec::new();
            for (type_name, id) in keys {
                found.push((format!("{type_name}/{id}"), self.read_record(name, &type_name, id).await?));
            }
            let read = page.next.unwrap_or(page.head);
            let mut changes: Vec<LocalChange> = Vec::new();
            {
                let index = self.index.read().expect(POISON);
                found.retain(|(key, refers)| index.refers.get(key) != refers.as_ref());
            }
            for (key, refers) in &found {
                let value = refers.as_ref().map(|refers| serde_json::to_value(refers).expect("it is plain data"));
                changes.push(LocalChange { kind: REFERS, key: key.clone(), value, expect: None });
            }
            let key = partition.0.clone();
            changes.push(LocalChange { kind: READ, key, value: Some(read.into()), expect: None });
            self.store.write(Request::Local(changes)).await?;
            let mut index = self.index.write().expect(POISON);
            for (key, refers) in found {
                index.put(&key, refers);
            }
            index.read.insert(partition.clone(), read);
            if page.next.is_none() {
                return Ok(());
            }
            after = read;
        }
    }

    /// What a record refers to now and did before; `None` if that is nothing, or it is not here any more.
    async fn read_record(
        &self,
        of: &TypeName,
        type_name: &TypeName,
        id: RecordId,
    ) -> Result<Option<Refers>, StoreError> {
        let Some(held) = self.store.record(type_name, id).await? else { return Ok(None) };
        let now = references(&held.document.value);
        let mut past: Vec<FileRef> = Vec::new();
        if type_name == of {
            for line in self.store.history(type_name, id).await? {
                for file in line.old.iter().chain(&line.new).flat_map(references) {
                    if now.iter().chain(&past).all(|known| known.hash != file.hash) {
                        past.push(file);
                    }
                }
            }
        }
        let is_nothing = now.is_empty() && past.is_empty();
        Ok((!is_nothing).then_some(Refers { partition: held.partition, now, past }))
    }

    /// What a record says of a file, if any record here does.
    pub fn file(&self, hash: BlobHash) -> Option<FileRef> {
        let index = self.index.read().expect(POISON);
        index.refers_to(hash).next().map(|(_, file)| file.clone())
    }

    /// Whether a record refers to it, or this person brought it.
    pub fn is_for(&self, hash: BlobHash, person: PersonId) -> bool {
        let index = self.index.read().expect(POISON);
        index.holders.contains_key(&hash) || index.known.get(&hash).is_some_and(|known| known.by == Some(person))
    }

    /// How long a file is by what the records of a scope say of it; `None` if none of them refers to it.
    pub fn in_scope(&self, hash: BlobHash, scope: &Scope) -> Option<u64> {
        let index = self.index.read().expect(POISON);
        index.refers_to(hash).find(|(refers, _)| scope.contains(&refers.partition)).map(|(_, file)| file.size)
    }

    /// How long a file is that is here whole.
    pub fn size(&self, hash: BlobHash) -> Option<u64> {
        self.files.size(hash)
    }

    pub fn arrived(&self, hash: BlobHash) -> Arrived {
        self.files.arrived(hash)
    }

    /// Runs something on the disk beside whoever waits for sockets.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BlobFiles) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let files = self.files.clone();
        let done = tokio::task::spawn_blocking(move || work(&files)).await;
        done.unwrap_or_else(|err| Err(BlobError::Io(std::io::Error::other(err))))
    }

    /// Some bytes of a file that is here whole.
    pub async fn read(&self, hash: BlobHash, offset: u64, length: u64) -> Result<Option<Vec<u8>>, BlobError> {
        self.on_disk(move |files| Ok(files.read(hash, offset, length)?)).await
    }

    /// A part of a file that is here whole.
    pub async fn part(&self, hash: BlobHash, number: u64) -> Result<Option<Vec<u8>>, BlobError> {
        self.on_disk(move |files| Ok(files.part(hash, number)?)).await
    }

    /// Takes the next bytes of a file.
    pub async fn append(
        &self,
        hash: BlobHash,
        size: u64,
        offset: u64,
        bytes: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<Arrived, BlobError> {
        let arrived = self.on_disk(move |files| files.append(hash, size, offset, bytes.as_ref())).await?;
        if arrived == Arrived::Whole {
            self.index.write().expect(POISON).here.insert(hash);
            self.stirred.send_replace(());
        }
        Ok(arrived)
    }

    /// Remembers who brought a file.
    pub async fn brought(&self, hash: BlobHash, by: PersonId) -> Result<(), StoreError> {
        self.note(&[hash], |known| known.by = known.by.or(Some(by))).await
    }

    /// Remembers that the hub has these files.
    pub async fn at_hub(&self, hashes: &[BlobHash], epoch: Epoch) -> Result<(), StoreError> {
        self.note(hashes, |known| known.at_hub = Some(epoch)).await?;
        let mut index = self.index.write().expect(POISON);
        hashes.iter().for_each(|hash| drop(index.under_way.remove(hash)));
        Ok(())
    }

    async fn note(&self, hashes: &[BlobHash], note: impl Fn(&mut Known)) -> Result<(), StoreError> {
        let mut noted = Vec::new();
        for hash in hashes {
            let old = self.index.read().expect(POISON).known.get(hash).cloned();
            let mut known = old.clone().unwrap_or_default();
            note(&mut known);
            if old.as_ref() != Some(&known) {
                noted.push((*hash, known));
            }
        }
        if noted.is_empty() {
            return Ok(());
        }
        let change = |(hash, known): &(BlobHash, Known)| LocalChange {
            kind: KNOWN,
            key: hash.to_string(),
            value: Some(serde_json::to_value(known).expect("it is plain data")),
            expect: None,
        };
        self.store.write(Request::Local(noted.iter().map(change).collect())).await?;
        self.index.write().expect(POISON).known.extend(noted);
        Ok(())
    }

    /// How a file gets on upwards: so many parts are there, and why no more, if something is the matter.
    pub fn gets_on(&self, hash: BlobHash, parts: u64, trouble: Option<String>) {
        self.index.write().expect(POISON).under_way.insert(hash, (parts, trouble));
    }

    /// Files that are here and that the hub of this epoch does not have, as far as is known; those of an edge.
    pub fn to_send(&self, epoch: Option<Epoch>) -> Vec<Wanted> {
        let hashes: Vec<BlobHash> = {
            let index = self.index.read().expect(POISON);
            let is_there = |hash: &BlobHash| {
                let at_hub = index.known.get(hash).and_then(|known| known.at_hub);
                at_hub.is_some() && (epoch.is_none() || at_hub == epoch)
            };
            index.holders.keys().filter(|hash| index.here.contains(hash) && !is_there(hash)).copied().collect()
        };
        hashes.into_iter().filter_map(|hash| Some((hash, self.files.size(hash)?))).collect()
    }

    /// Files that records refer to now and that are not here.
    pub fn to_fetch(&self) -> Vec<Wanted> {
        let wanted: BTreeMap<BlobHash, u64> = {
            let index = self.index.read().expect(POISON);
            let now = index.refers.values().flat_map(|refers| &refers.now);
            now.filter(|file| !index.here.contains(&file.hash)).map(|file| (file.hash, file.size)).collect()
        };
        wanted.into_iter().collect()
    }

    /// Files that records of a partition refer to now, of those that changed after this number of it.
    pub async fn referred_since(&self, partition: &Partition, base: u64) -> Result<Vec<Wanted>, StoreError> {
        let now = |refers: &Refers| refers.now.iter().map(|file| (file.hash, file.size)).collect::<Vec<_>>();
        if base == 0 {
            let index = self.index.read().expect(POISON);
            let there = index.refers.values().filter(|refers| refers.partition == *partition);
            return Ok(there.flat_map(now).collect());
        }
        let (mut found, mut after) = (Vec::new(), base);
        loop {
            let page = self.store.changes(partition, base, after, PAGE).await?;
            let index = self.index.read().expect(POISON);
            let refers = page.rows.iter().filter_map(|row| index.refers.get(&format!("{}/{}", row.type_name, row.id)));
            found.extend(refers.flat_map(now));
            match page.next {
                Some(next) => after = next,
                None => return Ok(found),
            }
        }
    }

    /// What is not here, and of an edge what its hub does not have.
    pub fn travelling(&self) -> (Travelling, Travelling) {
        let sum = |files: Vec<Wanted>| Travelling {
            files: files.len() as u64,
            bytes: files.iter().map(|(_, size)| size).sum(),
        };
        let out = if self.is_hub { Vec::new() } else { self.to_send(None) };
        (sum(out), sum(self.to_fetch()))
    }

    /// Lets go what only records referred to that are not here any more: they left the scope of this node.
    pub async fn look_again(&self, hash: BlobHash) -> Result<(), StoreError> {
        let keys: Vec<String> = {
            let index = self.index.read().expect(POISON);
            index.holders.get(&hash).into_iter().flatten().cloned().collect()
        };
        for key in keys {
            let parsed = key.split_once('/').and_then(|(name, id)| Some((name.parse().ok()?, id.parse().ok()?)));
            let Some((type_name, id)): Option<(TypeName, RecordId)> = parsed else { continue };
            if self.store.record(&type_name, id).await?.is_none() {
                let change = LocalChange { kind: REFERS, key: key.clone(), value: None, expect: None };
                self.store.write(Request::Local(vec![change])).await?;
                self.index.write().expect(POISON).put(&key, None);
            }
        }
        Ok(())
    }

    /// Where a file is.
    pub fn state(&self, hash: BlobHash, size: u64) -> FileState {
        let of = parts(size);
        let index = self.index.read().expect(POISON);
        match self.files.arrived(hash) {
            Arrived::Whole if self.is_hub => FileState { place: Place::Here, done: of, of, trouble: None },
            Arrived::Whole if index.known.get(&hash).is_some_and(|known| known.at_hub.is_some()) => {
                FileState { place: Place::AtHub, done: of, of, trouble: None }
            }
            Arrived::Whole => {
                let (done, trouble) = index.under_way.get(&hash).cloned().unwrap_or_default();
                FileState { place: Place::Waiting, done, of, trouble }
            }
            Arrived::Bytes(bytes) => {
                let (_, trouble) = index.under_way.get(&hash).cloned().unwrap_or_default();
                FileState { place: Place::Coming, done: bytes / crate::domain::blob::CHUNK, of, trouble }
            }
        }
    }
}
