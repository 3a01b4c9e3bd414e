//! The chunks of large partitions, made when an edge asks and kept as files for the next one.
//!
//! They are made beside the writer, from one moment, a few records at a time. A manifest is handed out as long as little
//! changed since: the reader pulls that. Its chunks stay until there are two newer ones, so that whoever is in the middle of
//! it can go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::{HubError, POISON, Result};
use crate::domain::ids::{Epoch, Partition};
use crate::domain::snapshot::{ChunkHash, ChunkRef, Content, Cutter, Manifest};
use crate::store::chunk::seal;
use crate::store::{Store, StoreError};

/// The place in the data directory.
const PLACE: &str = "chunks";
/// So many changes are pulled rather than packed anew, or an eighth of all records if that is more.
const FEW: u64 = 1_000;

#[derive(Default)]
pub(super) struct Snapshots {
    parent: OnceLock<PathBuf>,
    passing: OnceLock<tempfile::TempDir>,
    usual: OnceLock<usize>,
    kept: Mutex<BTreeMap<Partition, Kept>>,
    /// One is made at a time.
    making: tokio::sync::Mutex<()>,
}

struct Kept {
    newest: Manifest,
    before: Option<Manifest>,
}

impl Kept {
    fn hashes(&self) -> impl Iterator<Item = ChunkHash> {
        let before = self.before.iter().flat_map(|manifest| &manifest.chunks);
        self.newest.chunks.iter().chain(before).map(|chunk| chunk.hash)
    }
}

impl Snapshots {
    pub fn keep_in(&self, dir: &Path) {
        let place = dir.join(PLACE);
        // left by a process before: nobody knows what is in there
        let _ = fs::remove_dir_all(&place);
        // the first place stays
        let _ = self.parent.set(place);
    }

    pub fn cut_about(&self, bytes: usize) {
        // the first size stays
        let _ = self.usual.set(bytes);
    }

    fn place(&self) -> io::Result<&Path> {
        if let Some(place) = self.parent.get() {
            fs::create_dir_all(place)?;
            return Ok(place);
        }
        if self.passing.get().is_none() {
            // whoever was quicker made one, too, and this one goes
            let _ = self.passing.set(tempfile::Builder::new().prefix("outpost-chunks-").tempdir()?);
        }
        self.passing.get().map(tempfile::TempDir::path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub async fn manifest(&self, store: &dyn Store, partition: &Partition, epoch: Epoch) -> Result<Manifest> {
        let _one_at_a_time = self.making.lock().await;
        let states = store.partitions().await?;
        let Some(state) = states.into_iter().find(|state| state.partition == *partition) else {
            return Err(HubError::NoChunk(format!("this hub holds nothing of {partition}")));
        };
        let kept = self.kept.lock().expect(POISON).get(partition).map(|kept| kept.newest.clone());
        if let Some(manifest) = kept
            && manifest.epoch == epoch
            && state.head.saturating_sub(manifest.head) <= FEW.max(manifest.records / 8)
        {
            return Ok(manifest);
        }
        let manifest = self.make(store, partition, epoch).await?;
        self.replace(manifest.clone());
        Ok(manifest)
    }

    async fn make(&self, store: &dyn Store, partition: &Partition, epoch: Epoch) -> Result<Manifest> {
        let unkept = |err: &io::Error| HubError::NoChunk(format!("{partition} cannot be put together: {err}"));
        let place = self.place().map_err(|err| unkept(&err))?;
        let mut chunks: Vec<ChunkRef> = Vec::new();
        let mut trouble = None;
        let mut keep = |content: Content| {
            let sealed = seal(&content);
            let kept = write(&place.join(sealed.at.hash.to_string()), &sealed.bytes);
            chunks.push(sealed.at);
            kept.map_err(|err| {
                let why = StoreError::Database(err.to_string().into());
                trouble = Some(err);
                why
            })
        };
        let mut cutter = match self.usual.get() {
            Some(usual) => Cutter::sized(partition, *usual),
            None => Cutter::new(partition),
        };
        let walked = store
            .walk(partition, &mut |held| {
                let text = held.document.value.to_string().len();
                cutter.push(&held.type_name, held.id, held.state, text).map_or(Ok(()), &mut keep)
            })
            .await;
        let walked = walked.and_then(|state| cutter.finish().map_or(Ok(()), &mut keep).map(|()| state));
        match (walked, trouble) {
            (Ok(state), _) => Ok(Manifest {
                partition: partition.clone(),
                epoch,
                head: state.head,
                digest: state.digest,
                records: state.records,
                chunks,
            }),
            (Err(_), Some(err)) => {
                tracing::warn!(%err, %partition, "chunks for a first copy could not be kept");
                Err(unkept(&err))
            }
            (Err(err), None) => Err(err.into()),
        }
    }

    /// Takes a manifest in the place of an older one, and removes the chunks that nobody is in the middle of.
    fn replace(&self, newest: Manifest) {
        let mut kept = self.kept.lock().expect(POISON);
        let old = kept.remove(&newest.partition);
        let leaving: Vec<ChunkHash> = old.iter().flat_map(Kept::hashes).collect();
        let before = old.map(|old| old.newest);
        kept.insert(newest.partition.clone(), Kept { newest, before });
        let staying: BTreeSet<ChunkHash> = kept.values().flat_map(Kept::hashes).collect();
        let Ok(place) = self.place() else { return };
        for hash in leaving.iter().filter(|hash| !staying.contains(hash)) {
            // what cannot be removed only takes up room until the next start
            let _ = fs::remove_file(place.join(hash.to_string()));
        }
    }

    pub fn chunk(&self, hash: ChunkHash, may_see: impl Fn(&Partition) -> bool) -> Result<Vec<u8>> {
        let gone = || HubError::NoChunk(format!("there is no chunk {hash} here"));
        let is_known = {
            let kept = self.kept.lock().expect(POISON);
            kept.iter().any(|(partition, kept)| may_see(partition) && kept.hashes().any(|other| other == hash))
        };
        if !is_known {
            return Err(gone());
        }
        let bytes = self.place().and_then(|place| fs::read(place.join(hash.to_string())));
        // a file that is damaged is made anew with the next manifest
        bytes.ok().filter(|bytes| ChunkHash::of(bytes) == hash).ok_or_else(|| {
            self.kept.lock().expect(POISON).retain(|_, kept| kept.hashes().all(|other| other != hash));
            gone()
        })
    }
}

/// Writes a file that is there whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|known| known.len() == bytes.len() as u64) {
        return Ok(());
    }
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, path)
}
