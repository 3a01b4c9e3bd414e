//! One round: asks a peer what is new, and takes it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::client::{Client, Trouble};
use super::{POISON, Peers, REST};
use crate::domain::feed::Cursor;
use crate::domain::ids::{NodeId, Partition, SaveId};
use crate::domain::peer::{Ask, News, PeerPage, Standing, Stands, Tidings, Told};
use crate::domain::record::State;
use crate::domain::save::Save;
use crate::domain::scope::Scope;
use crate::node::PeerState;
use crate::store::{self, LocalChange, OfferedPage, Outcome, Request, StoreError};

/// How far each peer was read: the partition behind its id, or its outbox behind nothing.
const READ: &str = "peer-read";
/// A peer may hold its answer back for so long.
const WAIT: Duration = Duration::from_secs(20);
const BREATH: Duration = Duration::from_secs(1);

/// How far a peer was read.
#[derive(Default)]
struct Read {
    after: Option<SaveId>,
    partitions: BTreeMap<Partition, Cursor>,
}

fn key_of(peer: NodeId, partition: &str) -> String {
    format!("{peer}/{partition}")
}

impl Peers {
    /// How long to rest until the next one.
    pub(super) async fn round(
        &self,
        url: &str,
        client: &mut Option<Client>,
        contact: &mut watch::Receiver<Stands>,
    ) -> Result<Duration, Trouble> {
        let client = match client {
            Some(client) => client,
            none => none.insert(self.client(url)?),
        };
        let (peer, name) = client.who().await?;
        let read = self.read(peer).await?;
        let scope = self.settings.relay.grant().scope;
        let partitions = self.standings(&scope, &read).await?;
        let in_contact = *contact.borrow_and_update() == Stands::InContact;
        let asked = Ask::News(News {
            in_contact,
            wait: u64::try_from(WAIT.as_millis()).unwrap_or(0),
            after: read.after,
            partitions: partitions.clone(),
        });
        let began = Instant::now();
        let told = tokio::select! {
            told = client.ask(&asked, WAIT) => told?,
            // it is to be asked otherwise
            Ok(()) = contact.changed() => return Ok(Duration::ZERO),
        };
        let Told::News(tidings) = told else { return Err(Trouble::Faulty("it answered something else".into())) };
        let now = self.settings.world.now();
        self.with(url, |status| {
            status.name = Some(name.clone());
            status.last_contact = Some(now);
        });
        match tidings.stands {
            Stands::Paused => {
                self.tell(url, PeerState::Paused, Some(format!("sync is paused at {name}")), None);
                return Ok(self.jittered(REST));
            }
            Stands::InContact if in_contact => {
                let why = "both are in contact with their hub; what is new goes over it";
                self.tell(url, PeerState::Resting, Some(why.into()), None);
                return Ok(self.breath(began));
            }
            Stands::Apart | Stands::InContact => self.tell(url, PeerState::Connected, None, None),
        }
        let took = self.take(url, peer, &scope, &partitions, *tidings).await?;
        Ok(if took { Duration::ZERO } else { self.breath(began) })
    }

    /// Somebody who does not hold back an answer without news is not asked again at once.
    fn breath(&self, began: Instant) -> Duration {
        if began.elapsed() >= BREATH { Duration::ZERO } else { self.jittered(BREATH) }
    }

    async fn read(&self, peer: NodeId) -> Result<Read, StoreError> {
        let mut read = Read::default();
        let under = key_of(peer, "");
        for (key, value) in self.settings.store.locals_under(READ, &under).await? {
            // what cannot be read is read again from the beginning
            match key.strip_prefix(&under) {
                Some("") => read.after = value.as_str().and_then(|id| id.parse().ok()),
                Some(partition) => {
                    let cursor = serde_json::from_value(value).ok();
                    read.partitions.extend(cursor.map(|cursor| (Partition(partition.to_owned()), cursor)));
                }
                None => {}
            }
        }
        Ok(read)
    }

    async fn standings(&self, scope: &Scope, read: &Read) -> Result<Vec<Standing>, StoreError> {
        let states = self.settings.store.partitions_in(scope).await?;
        let mut standings: BTreeMap<Partition, Standing> = BTreeMap::new();
        for state in states.into_iter().filter(|state| !state.partition.is_local()) {
            let hub = state.cursor.map(|cursor| (cursor.epoch, cursor.base));
            let standing = Standing { id: state.partition.clone(), hub, read: None };
            standings.insert(state.partition, standing);
        }
        for (partition, cursor) in &read.partitions {
            let blank = || Standing { id: partition.clone(), hub: None, read: None };
            standings.entry(partition.clone()).or_insert_with(blank).read = Some(*cursor);
        }
        standings.retain(|_, standing| standing.hub.is_some() || standing.read.is_some());
        Ok(standings.into_values().collect())
    }

    /// Takes in what a peer told: saves before the records that may hold them. Whether there was anything.
    async fn take(
        &self,
        url: &str,
        peer: NodeId,
        scope: &Scope,
        asked: &[Standing],
        told: Tidings,
    ) -> Result<bool, Trouble> {
        let mut saves = Vec::with_capacity(told.saves.len());
        for save in told.saves {
            let is_new = save.author.node != self.settings.identity.node
                && !self.taken.lock().expect(POISON).all.contains(&save.id);
            if is_new && self.may_hold(&save, scope).await? {
                saves.push(save);
            }
        }
        let mut took = !saves.is_empty() || told.more;
        if !saves.is_empty() {
            self.receive(url, saves).await?;
        }
        let mut changes = Vec::new();
        for page in told.pages {
            took |= !page.rows.is_empty();
            changes.extend(self.join(url, peer, scope, asked, page).await?);
        }
        if let Some(last) = told.last {
            let value = Some(last.to_string().into());
            changes.push(LocalChange { kind: READ, key: key_of(peer, ""), value, expect: None });
        }
        if !changes.is_empty() {
            self.settings.store.write(Request::Local(changes)).await?;
        }
        Ok(took)
    }

    async fn receive(&self, url: &str, saves: Vec<Save>) -> Result<(), StoreError> {
        let ids: Vec<SaveId> = saves.iter().map(|save| save.id).collect();
        let now = self.settings.world.now();
        let outcome = self.settings.store.write(Request::Receive { saves, now, relay: true }).await?;
        let Outcome::Received(verdicts) = outcome else {
            return Err(StoreError::Damaged("saves were not answered as saves".into()));
        };
        let mut taken = 0;
        for (id, verdict) in ids.into_iter().zip(verdicts) {
            if let store::Verdict::Refused(reason) = verdict {
                // whoever has it brings it to the hub, where it is judged
                tracing::warn!(save = %id, reason, "a save of a peer cannot be kept here");
            } else {
                taken += 1;
            }
            self.taken.lock().expect(POISON).note(id);
        }
        self.with(url, |status| status.saves += taken);
        // they are to be sent on
        self.settings.relay.stir();
        Ok(())
    }

    /// Joins records of a partition. What is to be remembered of it.
    async fn join(
        &self,
        url: &str,
        peer: NodeId,
        scope: &Scope,
        asked: &[Standing],
        page: PeerPage,
    ) -> Result<Option<LocalChange>, StoreError> {
        let PeerPage { partition, dictionary, rows, read, .. } = page;
        if partition.is_local() || !scope.contains(&partition) {
            return Ok(None);
        }
        if !rows.is_empty() {
            // what the hub said meanwhile of what left is not to be undone by what the peer said before
            let then = asked.iter().find(|standing| standing.id == partition).and_then(|standing| standing.hub);
            let states = self.settings.store.partitions().await?;
            let cursor = states.into_iter().find(|state| state.partition == partition).and_then(|state| state.cursor);
            if cursor.map(|cursor| (cursor.epoch, cursor.base)) != then {
                return Ok(None);
            }
            let count = rows.len() as u64;
            let page = OfferedPage { partition: partition.clone(), rows, dictionary };
            let now = self.settings.world.now();
            self.settings.store.write(Request::Offer { page, now, relay: true }).await?;
            self.with(url, |status| status.records += count);
        }
        let value = Some(serde_json::to_value(read).map_err(|err| StoreError::Damaged(err.to_string()))?);
        Ok(Some(LocalChange { kind: READ, key: key_of(peer, &partition.0), value, expect: None }))
    }

    /// Whether all that a save makes would be where this edge may look. What it edits that is not here waits beside.
    async fn may_hold(&self, save: &Save, scope: &Scope) -> Result<bool, StoreError> {
        for record in &save.records {
            let held = self.settings.store.record(&record.type_name, record.id).await?;
            let partition = match held {
                Some(held) => held.partition,
                None if !record.creates() => continue,
                None if !self.settings.judge.knows(&record.type_name) => Partition::of_type(&record.type_name),
                None => {
                    let mut state = State::default();
                    state.apply(&record.changes, save.stamp(record), 1, &|_, _| true);
                    self.settings.judge.partition(&record.type_name, &state.document().value)
                }
            };
            if !scope.contains(&partition) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
