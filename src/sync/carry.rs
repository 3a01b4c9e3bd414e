mod blobs;
mod copy;
pub(super) mod reconcile;
pub(super) mod renewal;

use std::sync::Arc;

use serde_json::Value;

pub use self::blobs::{BlobLink, BlobSettings};
use self::renewal::Present;
pub(super) use self::renewal::last_told;
use super::clock::{Asked, Offset};
use super::hub::Hub;
use super::relay::Relay;
use super::transport::Transport;
use crate::domain::feed::Cursor;
use crate::domain::ids::{Partition, SaveId};
use crate::domain::protocol::{Failure, Hello, PROTOCOLS, Pull, Push, Reached};
use crate::domain::save::Save;
use crate::domain::session::{Doing, Event, Holding, Step};
use crate::node::{Identity, RefusedSave, World};
use crate::store::{COPYING, LocalChange, PulledPage, Request, Store, StoreError};

/// Carries out what the session says, between a store and a transport.
pub struct Carrier {
    pub store: Arc<dyn Store>,
    pub transport: Arc<dyn Transport>,
    pub identity: Identity,
    /// This device's own clock, not corrected.
    pub world: Arc<dyn World>,
    pub offset: Arc<Offset>,
    /// The hub's side of this edge, for edges of its own.
    pub below: Option<(Arc<Hub>, Arc<Relay>)>,
}

/// The saves that the hub does not take, in no particular order.
pub async fn set_aside(store: &dyn Store) -> Result<Vec<RefusedSave>, StoreError> {
    RefusedSave::all(store).await
}

/// Keeps a save that the hub does not take, with the reason.
pub(super) async fn put_aside(store: &dyn Store, save: Save, reason: String, at: i64) -> Result<(), StoreError> {
    let key = save.id.to_string();
    let value: Value =
        serde_json::to_value(RefusedSave { save, reason, at }).map_err(|err| StoreError::Damaged(err.to_string()))?;
    let change = LocalChange { kind: RefusedSave::KIND, key, value: Some(value), expect: None };
    store.write(Request::Local(vec![change])).await.map(|_| ())
}

impl From<StoreError> for Failure {
    fn from(err: StoreError) -> Self {
        Failure::Local(err.to_string())
    }
}

impl Carrier {
    /// Carries out one step to its end and says how it ended. There is nothing to carry out in [`Step::Wait`].
    /// `in_step`: what the session last found, for telling the hub.
    pub async fn carry_out(&self, step: Step, in_step: bool) -> Option<Event> {
        let (doing, ended) = match step {
            Step::Wait { .. } => return None,
            Step::Hello => (Doing::Hello, self.hello(in_step).await),
            Step::Renew => (Doing::Renew, self.renew().await),
            Step::Push { max_bytes, since } => match self.push(max_bytes, since, in_step).await {
                Ok(event) => return Some(event),
                Err((single, failure)) => (Doing::Push(single), Err(failure)),
            },
            Step::SetAside { save, reason } => (Doing::SetAside, self.set_aside(save, reason).await),
            Step::Forget(partitions) => (Doing::Forget, self.forget(partitions).await),
            Step::Pull { partition, cursor, max_bytes } => {
                (Doing::Pull(partition.clone()), self.pull(partition, cursor, max_bytes).await)
            }
            Step::List { partition, epoch } => (Doing::List(partition.clone()), self.list(partition, epoch).await),
            Step::Copy { partition, epoch, head, chunk, then } => {
                (Doing::Copy(partition.clone()), self.copy(partition, epoch, head, chunk, then).await)
            }
            Step::Reconcile { partition, epoch, walk, push_bytes } => {
                (Doing::Reconcile(partition.clone()), self.reconcile(partition, epoch, walk, push_bytes).await)
            }
            Step::Compare => (Doing::Compare, self.compare().await),
        };
        Some(ended.unwrap_or_else(|failure| Event::Failed { doing, failure }))
    }

    /// Milliseconds since 1970 by the hub's clock, as far as it is known.
    fn now(&self) -> i64 {
        self.world.now().saturating_add(self.offset.millis())
    }

    fn is_checked(&self) -> bool {
        self.offset.is_checked(&*self.world)
    }

    async fn held(&self) -> Result<Vec<Holding>, StoreError> {
        let states = self.store.partitions().await?.into_iter().filter(|state| !state.partition.is_local());
        Ok(states
            .map(|state| Holding {
                partition: state.partition,
                cursor: state.cursor,
                records: state.records,
                digest: state.digest,
                copying: false,
            })
            .collect())
    }

    async fn hello(&self, in_step: bool) -> Result<Event, Failure> {
        // before what waits: what came from below until then is sent when nothing waits
        let settled = match &self.below {
            Some((hub, _)) => hub.settled().await?,
            None => None,
        };
        let waiting = self.store.waiting().await?;
        let mut held = self.held().await?;
        let under_way = self.store.locals(COPYING).await?;
        for holding in &mut held {
            holding.copying = under_way.iter().any(|(partition, _)| *partition == holding.partition.0);
        }
        let reached =
            held.iter().filter_map(|holding| Some(Reached { id: holding.partition.clone(), cursor: holding.cursor? }));
        let below = match &self.below {
            Some((hub, _)) => hub.below().await?,
            None => Vec::new(),
        };
        let Present { incarnation, ratchet } = self.present().await?;
        let asked = Asked::now(&*self.world);
        let hello = Hello {
            protocols: PROTOCOLS.to_vec(),
            node: self.identity.node,
            incarnation,
            clock: asked.clock,
            waiting,
            in_step: in_step && waiting == 0,
            partitions: reached.collect(),
            ratchet,
            attempt: Some(self.world.random() as u64),
            below,
            settled,
        };
        let welcome = self.transport.hello(&hello).await?;
        if !PROTOCOLS.contains(&welcome.protocol) {
            let reason = format!("the hub chose version {} of the sync protocol, unknown here", welcome.protocol);
            return Err(Failure::Refused(reason));
        }
        self.keep_ratchet(&welcome).await?;
        self.offset.learn(&*self.store, &*self.world, asked, welcome.clock).await?;
        if self.is_checked() {
            // before anything is sent, or joined to what was saved with a wrong clock
            self.store.write(Request::Retime { offset: self.offset.millis(), now: self.now() }).await?;
        }
        if let Some((_, relay)) = &self.below {
            relay.welcomed(&*self.store, &welcome).await?;
        }
        Ok(Event::Welcomed { welcome, held })
    }

    async fn push(&self, max_bytes: usize, since: u64, in_step: bool) -> Result<Event, (Option<SaveId>, Failure)> {
        let local = |err: StoreError| (None, Failure::from(err));
        let unsent = self.store.outbox(max_bytes).await.map_err(local)?;
        if unsent.is_empty() {
            return Ok(Event::NothingToPush);
        }
        let saves: Vec<Save> =
            unsent.into_iter().take_while(|unsent| unsent.checked).map(|unsent| unsent.save).collect();
        if saves.is_empty() {
            // made with a clock that was set since the hub was asked: ask again first
            let welcomed = match self.hello(in_step).await {
                Ok(welcomed) => welcomed,
                Err(Failure::Revoked(_)) => {
                    // the hub will not tell the time any more; what it takes now is dated as well as it can be
                    let (offset, now) = (self.offset.millis(), self.now());
                    self.store.write(Request::Retime { offset, now }).await.map_err(local)?;
                    return Ok(Event::Waiting(self.store.waiting().await.map_err(local)?));
                }
                Err(failure) => return Err((None, failure)),
            };
            if !self.is_checked() {
                let failure = Failure::Local("this device's clock was set while the hub was asked for the time".into());
                return Err((None, failure));
            }
            return Ok(welcomed);
        }
        let push = Push { since, saves };
        let single = match &push.saves[..] {
            [save] => Some(save.id),
            _ => None,
        };
        let reply = self.transport.push(&push).await.map_err(|failure| (single, failure))?;
        let answered = reply.verdicts.iter().map(|verdict| verdict.save);
        if !answered.eq(push.saves.iter().map(|save| save.id)) {
            return Err((single, Failure::Faulty("the hub answered about other saves than were sent".into())));
        }
        let lacking = push.saves.iter().zip(&reply.verdicts).filter(|(_, verdict)| verdict.waits).map(|(save, _)| save);
        // before the saves count as acknowledged, which may be the end of the records here
        self.give_whole(reply.epoch, lacking, max_bytes).await.map_err(|failure| (None, failure))?;
        for (save, verdict) in push.saves.into_iter().zip(&reply.verdicts) {
            // what is in quarantine is at the hub, and comes back as an entry with the next pull
            if let Some(reason) = &verdict.refused {
                self.put_aside(save, reason.clone()).await.map_err(local)?;
            }
        }
        let ids = reply.verdicts.iter().map(|verdict| verdict.save).collect();
        self.store.write(Request::Acknowledge(ids)).await.map_err(local)?;
        let waiting = self.store.waiting().await.map_err(local)?;
        Ok(Event::Pushed { reply, waiting })
    }

    async fn put_aside(&self, save: Save, reason: String) -> Result<(), StoreError> {
        put_aside(&*self.store, save, reason, self.now()).await
    }

    async fn set_aside(&self, save: SaveId, reason: String) -> Result<Event, Failure> {
        let first = self.store.outbox(1).await?.into_iter().next();
        if let Some(first) = first.filter(|first| first.save.id == save) {
            self.put_aside(first.save, reason).await?;
            self.store.write(Request::Acknowledge(vec![save])).await?;
        }
        Ok(Event::IsAside { waiting: self.store.waiting().await? })
    }

    async fn forget(&self, partitions: Vec<Partition>) -> Result<Event, Failure> {
        self.store.write(Request::Forget(partitions)).await?;
        Ok(Event::Forgot)
    }

    async fn pull(&self, partition: Partition, cursor: Cursor, max_bytes: usize) -> Result<Event, Failure> {
        let Cursor { epoch, base, after, tag } = cursor;
        let pulled =
            self.transport.pull(&Pull { partition: partition.clone(), epoch, base, after, tag, max_bytes }).await?;
        if pulled.epoch != epoch {
            return Err(Failure::ForeignEpoch);
        }
        if pulled.partition != partition || pulled.next.is_some_and(|next| next <= after) {
            return Err(Failure::Faulty("the hub answered with another page than was asked for".into()));
        }
        let cursor = cursor.turned(pulled.next, pulled.head).tagged(pulled.tag);
        let (head, digest, rows) = (pulled.head, pulled.digest, pulled.rows.len() as u64);
        let page = PulledPage {
            partition: partition.clone(),
            rows: pulled.rows,
            moved: pulled.moved,
            cursor,
            dictionary: pulled.dictionary,
        };
        self.store.write(Request::Join { page, now: self.now() }).await?;
        Ok(Event::Joined { partition, cursor, head, digest, rows })
    }

    async fn compare(&self) -> Result<Event, Failure> {
        let before = self.store.waiting().await?;
        let held = self.held().await?;
        let after = self.store.waiting().await?;
        Ok(Event::Compared { waiting: before.max(after), held })
    }
}
