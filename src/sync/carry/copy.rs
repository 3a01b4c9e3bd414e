//! The first copy of a partition, chunk by chunk. Each is remembered in the transaction that joins it, so whatever happens
//! in between, none is fetched twice and none is missed.

use std::collections::BTreeSet;

use super::Carrier;
use crate::domain::feed::Cursor;
use crate::domain::ids::{Epoch, Partition};
use crate::domain::protocol::Failure;
use crate::domain::record::pack::Dictionary;
use crate::domain::session::Event;
use crate::domain::snapshot::{ChunkHash, ChunkRef, Copying};
use crate::store::{COPYING, PulledPage, Request, StoreError};
use crate::sync::transport::Opened;

impl Carrier {
    async fn copying(&self, partition: &Partition) -> Result<Option<Copying>, StoreError> {
        let kept = self.store.local(COPYING, &partition.0).await?;
        let copying = kept.map(serde_json::from_value).transpose();
        copying.map_err(|err| StoreError::Damaged(format!("how far {partition} was copied: {err}")))
    }

    async fn holds_some(&self, partition: &Partition) -> Result<bool, StoreError> {
        Ok(self.held().await?.iter().any(|holding| holding.records > 0 && holding.partition == *partition))
    }

    /// Asks for the manifest and finds out what of it is here.
    pub(super) async fn list(&self, partition: Partition, epoch: Epoch) -> Result<Event, Failure> {
        let manifest = self.transport.snapshot(&partition).await?;
        if manifest.partition != partition {
            return Err(Failure::Faulty("the hub answered about another partition than was asked for".into()));
        }
        if manifest.epoch != epoch {
            return Err(Failure::ForeignEpoch);
        }
        let copying = self.copying(&partition).await?;
        let mut left = manifest.chunks;
        let cursor = match copying {
            // what left since then is told in no number of this line: all is pulled from its beginning
            Some(copying) if copying.epoch != epoch => {
                left.clear();
                Some(Cursor::start(epoch))
            }
            // what was saved here since the hello may be denied, and no chunk tells that it is not there
            None if self.holds_some(&partition).await? => {
                left.clear();
                Some(Cursor::start(epoch))
            }
            copying => {
                let (done, oldest) =
                    copying.map_or((BTreeSet::new(), manifest.head), |copying| (copying.done, copying.head));
                left.retain(|chunk| !done.contains(&chunk.hash));
                left.is_empty().then(|| at(epoch, oldest.min(manifest.head)))
            }
        };
        if let Some(cursor) = cursor {
            let page = PulledPage {
                partition: partition.clone(),
                rows: Vec::new(),
                moved: Vec::new(),
                cursor,
                dictionary: Dictionary::default(),
            };
            self.store.write(Request::Join { page, now: self.now() }).await?;
        }
        Ok(Event::Listed { partition, epoch, head: manifest.head, digest: manifest.digest, left, cursor })
    }

    /// Fetches a chunk and joins it, if it is what its name says.
    pub(super) async fn copy(
        &self,
        partition: Partition,
        epoch: Epoch,
        head: u64,
        chunk: ChunkRef,
        then: Option<ChunkHash>,
    ) -> Result<Event, Failure> {
        let Opened { rows, ready, dictionary } =
            self.transport.records(&partition, chunk.hash, then, self.store.judge()).await?;
        let so_far = self.copying(&partition).await?.filter(|copying| copying.epoch == epoch);
        let so_far = so_far.unwrap_or(Copying { epoch, head, done: BTreeSet::new() });
        let copying = so_far.with(chunk.hash, head);
        let cursor = at(epoch, copying.head);
        let page = PulledPage { partition: partition.clone(), rows, moved: Vec::new(), cursor, dictionary };
        let is_last = then.is_none();
        let copying = (!is_last).then_some(copying);
        self.store.write(Request::JoinChunk { page, ready, copying, now: self.now() }).await?;
        Ok(Event::Copied { partition, chunk, cursor: is_last.then_some(cursor) })
    }
}

/// Complete up to this number.
fn at(epoch: Epoch, head: u64) -> Cursor {
    Cursor { epoch, base: head, after: head, tag: None }
}
