//! Files at the hub: it takes and gives those that a record refers to which the asking node may hold, and no others.

use std::sync::Arc;

use super::{Hub, HubError, Result};
use crate::domain::blob::{AskBlobs, BlobHash, BlobsHeld, CHUNK, HubHas, MAX_ASKED, parts};
use crate::node::Blobs;
use crate::store::StoreError;
use crate::store::blob::{Arrived, BlobError};
use crate::sync::NodeRecord;

impl From<BlobError> for HubError {
    fn from(err: BlobError) -> Self {
        match err {
            BlobError::Full => StoreError::Full.into(),
            BlobError::Io(err) => StoreError::Database(Box::new(err)).into(),
            err => HubError::Meaningless(format!("the file: {err}")),
        }
    }
}

impl Hub {
    /// Takes and gives these files from now on; the first ones stay.
    pub fn keep_files(&self, blobs: Arc<Blobs>) {
        let _ = self.blobs.set(blobs);
    }

    fn files(&self) -> Result<&Arc<Blobs>> {
        self.blobs.get().ok_or_else(|| HubError::NoBlob("this hub keeps no files".into()))
    }

    /// Whether a record of the node's scope refers to it. Records come before files, so the last of them are read first.
    async fn is_its(&self, node: &NodeRecord, hash: BlobHash) -> Result<bool> {
        let blobs = self.files()?;
        if blobs.in_scope(hash, &node.scope).is_none() {
            blobs.catch_up().await?;
        }
        Ok(blobs.in_scope(hash, &node.scope).is_some())
    }

    /// How it stands with some files.
    pub async fn ask_blobs(&self, node: &NodeRecord, asked: &AskBlobs) -> Result<BlobsHeld> {
        if asked.blobs.len() > MAX_ASKED {
            return Err(HubError::Meaningless(format!("no more than {MAX_ASKED} files are asked about at once")));
        }
        let files = self.files()?;
        let unknown = asked.blobs.iter().any(|hash| files.in_scope(*hash, &node.scope).is_none());
        if unknown {
            files.catch_up().await?;
        }
        let has = |hash: &BlobHash| match files.in_scope(*hash, &node.scope) {
            None => HubHas::Unknown,
            Some(_) => has(files.arrived(*hash)),
        };
        self.noted(node.id, |_| {});
        Ok(BlobsHeld { epoch: self.identity.epoch, blobs: asked.blobs.iter().map(has).collect() })
    }

    /// Takes a part of a file that is `size` bytes long.
    pub async fn put_blob(
        &self,
        node: &NodeRecord,
        hash: BlobHash,
        size: u64,
        part: u64,
        bytes: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<HubHas> {
        let taken = self.take_part(node, hash, size, part, bytes).await?;
        self.noted(node.id, |_| {});
        Ok(taken)
    }

    /// The same, however it came.
    pub(super) async fn take_part(
        &self,
        node: &NodeRecord,
        hash: BlobHash,
        size: u64,
        part: u64,
        bytes: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<HubHas> {
        let files = self.files()?;
        if size > files.most() {
            return Err(HubError::FileTooLarge(files.most()));
        }
        if !self.is_its(node, hash).await? {
            return Err(HubError::NoBlob("no record here that this node may hold refers to this file".into()));
        }
        let offset = part.checked_mul(CHUNK).filter(|_| part < parts(size));
        let expected = offset.map(|offset| (size - offset).min(CHUNK));
        let (Some(offset), true) = (offset, expected == Some(bytes.as_ref().len() as u64)) else {
            return Err(HubError::Meaningless("that is no part of a file of this size".into()));
        };
        match files.append(hash, size, offset, bytes).await {
            Ok(arrived) => Ok(has(arrived)),
            // it goes on from there
            Err(BlobError::Gap { have }) => Ok(HubHas::Parts(have / CHUNK)),
            Err(err) => Err(err.into()),
        }
    }

    /// A part of a file, and how long the whole is. What is outside of the node's scope is as if it were not there.
    pub async fn blob(&self, node: &NodeRecord, hash: BlobHash, part: u64) -> Result<(Vec<u8>, u64)> {
        let gone = || HubError::NoBlob("there is no such file here, or not yet".into());
        if !self.is_its(node, hash).await? {
            return Err(gone());
        }
        let files = self.files()?;
        let size = files.size(hash).filter(|size| part < parts(*size)).ok_or_else(gone)?;
        let bytes = files.part(hash, part).await?.ok_or_else(gone)?;
        Ok((bytes, size))
    }
}

fn has(arrived: Arrived) -> HubHas {
    match arrived {
        Arrived::Whole => HubHas::Whole,
        Arrived::Bytes(bytes) => HubHas::Parts(bytes / CHUNK),
    }
}
