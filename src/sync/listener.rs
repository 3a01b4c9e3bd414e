use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};
use tokio::sync::watch;
use tokio::time::timeout;

use super::enrolment::{self, NodeRecord};
use crate::domain::ids::{Epoch, Partition};
use crate::domain::protocol::Hint;
use crate::store::{Notice, Store, StoreError};

/// What moves on, as it moves on, for one node. What comes close together is told as one.
pub struct Listener {
    store: Arc<dyn Store>,
    node: NodeRecord,
    epoch: Epoch,
    notices: broadcast::Receiver<Arc<Vec<Notice>>>,
    closing: watch::Receiver<bool>,
    /// All above this number is still to be told.
    told: u64,
    /// Whether notices were missed, so that the store has to be asked.
    missed: bool,
}

impl Listener {
    pub(super) async fn new(
        store: Arc<dyn Store>,
        node: NodeRecord,
        epoch: Epoch,
        since: u64,
        closing: watch::Receiver<bool>,
    ) -> Result<Self, StoreError> {
        // first the notices, then the listing, so that nothing falls between
        let notices = store.notices();
        Ok(Self { store, node, epoch, notices, closing, told: since, missed: true })
    }

    /// The next hints, or none of them when `wait` is over. `None` when there will be no more: the hub stops, or the node
    /// is not let in any more.
    pub async fn next(&mut self, wait: Duration) -> Option<Vec<Hint>> {
        if *self.closing.borrow() {
            return None;
        }
        if std::mem::take(&mut self.missed) {
            let hints = self.listing().await?;
            if !hints.is_empty() {
                return Some(hints);
            }
        }
        let heard = tokio::select! {
            biased;
            _ = self.closing.wait_for(|closing| *closing) => return None,
            heard = timeout(wait, heard(&mut self.notices, &self.node)) => heard,
        };
        match heard {
            Err(_) => enrolment::is_admitted(&*self.store, self.node.id).await.then(Vec::new),
            Ok(Heard::Closed) => None,
            Ok(Heard::Missed) => self.listing().await,
            Ok(Heard::News(news)) => {
                let hints = news.into_iter().map(|(partition, (head, records))| Hint {
                    epoch: self.epoch,
                    partition,
                    head,
                    records,
                });
                let hints: Vec<Hint> = hints.filter(|hint| hint.head > self.told).collect();
                self.told = hints.iter().fold(self.told, |told, hint| told.max(hint.head));
                Some(hints)
            }
        }
    }

    async fn listing(&mut self) -> Option<Vec<Hint>> {
        // a store that fails here fails for the pull as well, which tells it better
        let states = self.store.partitions().await.ok()?;
        let hints: Vec<Hint> = states
            .into_iter()
            .filter(|state| state.head > self.told && self.node.scope.contains(&state.partition))
            .map(|state| Hint {
                epoch: self.epoch,
                records: state.records.min(state.head - self.told),
                head: state.head,
                partition: state.partition,
            })
            .collect();
        self.told = hints.iter().fold(self.told, |told, hint| told.max(hint.head));
        Some(hints)
    }
}

enum Heard {
    News(BTreeMap<Partition, (u64, u64)>),
    Missed,
    Closed,
}

/// Waits for notices that concern the node, and takes all that are there.
async fn heard(notices: &mut broadcast::Receiver<Arc<Vec<Notice>>>, node: &NodeRecord) -> Heard {
    let mut news = BTreeMap::new();
    loop {
        let batch = if news.is_empty() {
            match notices.recv().await {
                Ok(batch) => batch,
                Err(RecvError::Lagged(_)) => return Heard::Missed,
                Err(RecvError::Closed) => return Heard::Closed,
            }
        } else {
            match notices.try_recv() {
                Ok(batch) => batch,
                Err(TryRecvError::Lagged(_)) => return Heard::Missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Heard::News(news),
            }
        };
        for notice in batch.iter().filter(|notice| node.scope.contains(&notice.partition)) {
            let (head, records) = news.entry(notice.partition.clone()).or_insert((0, 0));
            *head = notice.seq.max(*head);
            *records += 1;
        }
    }
}
