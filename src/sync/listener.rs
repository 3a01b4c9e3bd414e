use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::enrolment::NodeRecord;
use super::observe::Listening;
use super::relay::Grant;
use super::switchboard::{Call, Line};
use crate::domain::ids::Epoch;
use crate::domain::protocol::Hint;
use crate::store::Store;

/// What moves on, as it moves on, for one node. What comes close together is told as one.
pub struct Listener {
    store: Arc<dyn Store>,
    node: NodeRecord,
    epoch: Epoch,
    line: Arc<Line>,
    closing: watch::Receiver<bool>,
    /// On an edge: what its own hub lets it hold.
    granted: Option<watch::Receiver<Grant>>,
    /// All above this number is still to be told.
    told: u64,
    /// Whether notices were missed, so that the store has to be asked.
    missed: bool,
    _counted: Option<Listening>,
}

impl Listener {
    /// `line` was opened before, so that nothing falls between the first listing and what it brings.
    pub(super) fn new(
        store: Arc<dyn Store>,
        line: Arc<Line>,
        node: NodeRecord,
        epoch: Epoch,
        since: u64,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self { store, node, epoch, line, closing, granted: None, told: since, missed: true, _counted: None }
    }

    /// Is counted as one who listens, until it is dropped.
    pub(super) fn counted(mut self, counted: Listening) -> Self {
        self._counted = Some(counted);
        self
    }

    /// Ends when what an edge itself may hold changes.
    pub(super) fn while_granted(mut self, granted: Option<watch::Receiver<Grant>>) -> Self {
        self.granted = granted;
        self
    }

    /// The next hints, or none of them when `wait` is over. `None` when there will be no more: the hub stops, or the node
    /// is not let in any more, or may hold something else now.
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
            () = changed(&mut self.granted) => return None,
            heard = timeout(wait, self.line.hear()) => heard,
        };
        match heard {
            Err(_) => Some(Vec::new()),
            Ok(Call::Cut) => None,
            Ok(Call::Missed) => self.listing().await,
            Ok(Call::News(news)) => {
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
        let states = self.store.partitions_in(&self.node.scope).await.ok()?;
        let hints: Vec<Hint> = states
            .into_iter()
            .filter(|state| state.head > self.told)
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

async fn changed(granted: &mut Option<watch::Receiver<Grant>>) {
    if let Some(granted) = granted
        && granted.changed().await.is_ok()
    {
        return;
    }
    // it never will be
    std::future::pending().await
}
