//! Photos and files in bundles, on the edge's side.

use std::sync::Arc;

use super::{BundleError, EdgeSide, FilePart, Files, FilesHad, Next, Packed, Sending, Taken, files};
use crate::domain::blob::CHUNK;
use crate::domain::ids::{Epoch, Partition};
use crate::node::{Blobs, Wanted};
use crate::store::StoreError;
use crate::store::blob::{Arrived, BlobError};

impl EdgeSide {
    /// Whether records here may refer to files that are kept here.
    pub(super) async fn may_have_files(&self) -> Result<bool, StoreError> {
        let Some(blobs) = &self.blobs else { return Ok(false) };
        Ok(self.store.partitions().await?.iter().any(|state| blobs.concerns(&state.partition)))
    }

    /// The line of numbers in which the hub was last heard of.
    async fn epoch(&self) -> Result<Option<Epoch>, StoreError> {
        Ok(self.state(&Partition::types()).await?.and_then(|state| state.cursor).map(|cursor| cursor.epoch))
    }

    /// The files of a bundle begin, behind its saves: what is told of them, and which go with it.
    pub(super) async fn begin_files(&self) -> Result<Packed, BundleError> {
        let Some(blobs) = &self.blobs else { return Ok(Packed::default()) };
        blobs.catch_up().await?;
        let names = |files: &[Wanted]| files.iter().map(|(hash, _)| *hash).collect::<Vec<_>>();
        let here = blobs.to_send(self.epoch().await?);
        let wanted = blobs.to_fetch();
        let files = Files { missing: wanted.len() as u64, ..Files::default() };
        let pieces = files::told(&names(&here), &names(&wanted));
        Ok(Packed { pieces, files, next: Some(Next::Files { edge: None, sending: Sending::of(here) }) })
    }

    /// Goes on with the files of a bundle, as [`EdgeSide::more`] with its saves.
    pub async fn more_files(&self, mut sending: Sending, room: usize) -> Result<Packed, BundleError> {
        let blobs = self.files()?;
        let (pieces, files) = sending.next(blobs, room, |_| true).await;
        Ok(Packed { pieces, files, next: Some(Next::Files { edge: None, sending }) }.ended())
    }

    fn files(&self) -> Result<&Arc<Blobs>, BundleError> {
        self.blobs.as_ref().ok_or_else(|| BundleError::Faulty("this node keeps no files".into()))
    }

    /// The hub has these files. How many of them are news.
    pub(super) async fn files_had(&self, had: FilesHad) -> Result<u64, BundleError> {
        let Some(blobs) = &self.blobs else { return Ok(0) };
        if self.epoch().await? != Some(had.epoch) {
            // it was put back since, and may have them no more
            return Ok(0);
        }
        let before = blobs.to_send(Some(had.epoch)).len();
        let here: Vec<_> = had.files.into_iter().filter(|hash| blobs.size(*hash).is_some()).collect();
        blobs.at_hub(&here, had.epoch).await?;
        Ok(before.saturating_sub(blobs.to_send(Some(had.epoch)).len()) as u64)
    }

    /// Takes a part of a file that a record here refers to.
    pub(super) async fn file_part(&self, part: FilePart, taken: &mut Taken) -> Result<(), BundleError> {
        let (is_last, hash, size) = (part.is_last(), part.hash, part.size);
        let blobs = self.files()?;
        if blobs.size(hash).is_some() {
            return Ok(());
        }
        let scope = self.relay.grant().scope;
        if blobs.in_scope(hash, &scope).is_none() {
            blobs.catch_up().await?;
        }
        if blobs.in_scope(hash, &scope).is_none() {
            taken.files_refused += u64::from(is_last);
            return Ok(());
        }
        match blobs.append(hash, size, part.part.saturating_mul(CHUNK), part.bytes).await {
            Ok(Arrived::Whole) => {
                taken.files += 1;
                taken.file_bytes += size;
                if let Some(epoch) = self.epoch().await? {
                    blobs.at_hub(&[hash], epoch).await?;
                }
            }
            Err(BlobError::Full) => return Err(StoreError::Full.into()),
            Err(BlobError::Io(err)) => return Err(StoreError::Database(Box::new(err)).into()),
            Ok(Arrived::Bytes(_)) | Err(_) => taken.files_damaged += u64::from(is_last),
        }
        Ok(())
    }
}
