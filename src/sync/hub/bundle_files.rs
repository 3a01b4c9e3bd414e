//! Photos and files in bundles, on the hub's side: takes those that a record in the edge's scope refers to, and gives what it
//! wants and what the records that it is told of refer to.

use std::collections::BTreeMap;

use super::bundles::kept;
use super::{Hub, HubError};
use crate::domain::blob::{BlobHash, HubHas};
use crate::domain::ids::NodeId;
use crate::store::{LocalChange, Request, StoreError};
use crate::sync::NodeRecord;
use crate::sync::bundle::{BundleError, FilePart, FilesTold, Header, Next, Packed, Sending, Start, Taken, files};

/// What the newest bundle of an edge told of files.
const FILES: &str = "bundle-files";

impl Hub {
    /// Whether something in these partitions may refer to files that are kept here.
    pub(super) fn may_have_files<'a>(
        &self,
        mut partitions: impl Iterator<Item = &'a crate::domain::ids::Partition>,
    ) -> bool {
        self.blobs.get().is_some_and(|blobs| partitions.any(|partition| blobs.concerns(partition)))
    }

    async fn told_of_files(&self, edge: NodeId) -> Result<Vec<(String, FilesTold)>, StoreError> {
        let all = self.store.locals_under(FILES, &format!("{edge}/")).await?.into_iter();
        all.map(|(key, value)| Ok((key, super::bundles::read(value)?))).collect()
    }

    /// The files of a bundle begin, behind its records: what is told of those that the edge has, and which go with it.
    pub(super) async fn files_of_bundle(
        &self,
        edge: NodeId,
        record: &NodeRecord,
        starts: &[Start],
    ) -> Result<(Vec<Vec<u8>>, Sending), BundleError> {
        let Some(blobs) = self.blobs.get() else { return Ok(Default::default()) };
        blobs.catch_up().await?;
        let mut sending: BTreeMap<BlobHash, u64> = BTreeMap::new();
        for start in starts.iter().filter(|start| blobs.concerns(&start.partition)) {
            sending.extend(blobs.referred_since(&start.partition, start.base).await?);
        }
        let mut had = Vec::new();
        for (_, told) in self.told_of_files(edge).await? {
            let is_its = |hash: &BlobHash| blobs.in_scope(*hash, &record.scope);
            had.extend(told.here.into_iter().filter(|hash| is_its(hash).is_some() && blobs.size(*hash).is_some()));
            sending.extend(told.wanted.into_iter().filter_map(|hash| Some((hash, is_its(&hash)?))));
        }
        // it has those
        had.iter().for_each(|hash| {
            sending.remove(hash);
        });
        Ok((files::had(self.identity.epoch, &had), Sending::of(sending.into_iter().collect())))
    }

    /// Goes on with the files of a bundle, as [`Hub::more_of_bundle`] with its records.
    pub async fn more_files_of_bundle(
        &self,
        edge: NodeId,
        mut sending: Sending,
        room: usize,
    ) -> Result<Packed, BundleError> {
        let record = self.may_have(edge).await?;
        let blobs = self.blobs.get().ok_or_else(|| HubError::NoBlob("this hub keeps no files".into()))?;
        // its scope may have changed since the bundle was begun
        let is_for = |hash| blobs.in_scope(hash, &record.scope).is_some();
        let (pieces, files) = sending.next(blobs, room, is_for).await;
        Ok(Packed { pieces, files, next: Some(Next::Files { edge: Some(edge), sending }) }.ended())
    }

    /// Keeps what an edge told of files, if nothing newer is known.
    pub(super) async fn heard_of_files(&self, header: &Header, told: FilesTold) -> Result<(), BundleError> {
        if self.newest_bundle(header.edge).await? == Some(header.id)
            && let Some(first) = told.here.first().or(told.wanted.first())
        {
            let key = format!("{}/{:016x}/{first}", header.edge, header.id);
            self.store.write(Request::Local(vec![kept(FILES, key, &told)])).await?;
        }
        Ok(())
    }

    /// Lets go what other bundles than this one told of files.
    pub(super) async fn without_older_files(&self, header: &Header) -> Result<Vec<LocalChange>, StoreError> {
        let ours = format!("{}/{:016x}/", header.edge, header.id);
        let told = self.store.locals_under(FILES, &format!("{}/", header.edge)).await?.into_iter();
        let older = told.map(|(key, _)| key).filter(|key| !key.starts_with(&ours));
        Ok(older.map(|key| LocalChange { kind: FILES, key, value: None, expect: None }).collect())
    }

    /// Takes a part of a file, as if it came over a link. What may not be taken is counted, and the rest goes on.
    pub(super) async fn file_of_bundle(
        &self,
        record: &NodeRecord,
        part: FilePart,
        taken: &mut Taken,
    ) -> Result<(), BundleError> {
        let (is_last, size) = (part.is_last(), part.size);
        if record.revoked_at.is_some() {
            taken.files_refused += u64::from(is_last);
            return Ok(());
        }
        if self.blobs.get().is_some_and(|blobs| blobs.size(part.hash).is_some()) {
            return Ok(());
        }
        match self.take_part(record, part.hash, size, part.part, part.bytes).await {
            Ok(HubHas::Whole) => {
                taken.files += 1;
                taken.file_bytes += size;
            }
            Err(HubError::Store(err)) => return Err(err.into()),
            Err(HubError::NoBlob(_) | HubError::FileTooLarge(_)) => taken.files_refused += u64::from(is_last),
            Ok(_) | Err(_) => taken.files_damaged += u64::from(is_last),
        }
        Ok(())
    }
}
