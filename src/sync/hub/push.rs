//! Saves that edges push: each is taken in, or kept in quarantine with the reason. Only what cannot be kept is refused.
//!
//! An edge that serves edges of its own judges nobody's rights: it sends all on, and its hub decides.

use std::collections::BTreeSet;

use super::{Hub, Result, head};
use crate::domain::ids::{NodeId, SaveId, THE_HUB};
use crate::domain::protocol::{Head, Push, Pushed, Verdict};
use crate::domain::save::{MAX_RECORDS, Save};
use crate::domain::stamp::Author;
use crate::store::{self, Denied, Outcome, Request, StoreError};
use crate::sync::enrolment::{self, NodeRecord};
use crate::sync::observe;

impl Hub {
    /// Takes saves in, in their order. All that a revoked node brings goes to quarantine, and it is told nothing.
    pub async fn push(&self, node: &NodeRecord, push: Push) -> Result<Pushed> {
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(push.saves.len());
        // those that are alike are taken together
        let foreign = push.saves.iter().any(|save| save.author.node != node.id);
        let carries = if foreign { self.carries(node).await? } else { Carries::default() };
        let mut judged = push.saves.into_iter().map(|save| (self.judge(node, &carries, &save).err(), save)).peekable();
        while let Some((denied, save)) = judged.next() {
            let mut run = vec![(denied, save)];
            let is_denied = run[0].0.is_some();
            while let Some(next) = judged.next_if(|(denied, _)| denied.is_some() == is_denied) {
                run.push(next);
            }
            verdicts.extend(if is_denied { self.deny(node, run).await? } else { self.take(node, run).await? });
        }
        observe::judged(&self.meter, &verdicts);
        self.noted(node.id, |_| {});
        let mut pushed =
            Pushed { epoch: self.identity.epoch, verdicts, head: push.since, partitions: Vec::<Head>::new() };
        if node.revoked_at.is_none() {
            let states = self.store.partitions_in(&node.scope).await?;
            let moved_on = states.iter().filter(|state| state.head > push.since);
            pushed.partitions = moved_on.map(|state| head(state, push.since)).collect();
            pushed.head = pushed.partitions.iter().map(|head| head.head).max().unwrap_or(push.since);
        }
        Ok(pushed)
    }

    async fn take(&self, node: &NodeRecord, run: Vec<(Option<String>, Save)>) -> Result<Vec<Verdict>> {
        let saves: Vec<Save> = run.into_iter().map(|(_, save)| save).collect();
        let relay = self.relay.is_some();
        let outcomes = self.receive(Request::Receive { saves: saves.clone(), now: self.world.now(), relay }).await?;
        self.stir();
        let mut verdicts = Vec::with_capacity(saves.len());
        for (save, outcome) in saves.into_iter().zip(outcomes) {
            match outcome {
                // over a limit, most likely: kept if it can be kept at all
                store::Verdict::Refused(reason) if !relay => {
                    verdicts.extend(self.deny(node, vec![(Some(reason), save)]).await?);
                }
                outcome => verdicts.push(told(save.id, outcome)),
            }
        }
        Ok(verdicts)
    }

    async fn deny(&self, node: &NodeRecord, run: Vec<(Option<String>, Save)>) -> Result<Vec<Verdict>> {
        if self.relay.is_some() {
            let refused = |(reason, save): (Option<String>, Save)| {
                told(save.id, store::Verdict::Refused(reason.unwrap_or_default()))
            };
            return Ok(run.into_iter().map(refused).collect());
        }
        let ids: Vec<_> = run.iter().map(|(_, save)| save.id).collect();
        let denied =
            |(reason, save): (Option<String>, Save)| Denied { save, reason: reason.unwrap_or_default(), via: node.id };
        let saves: Vec<Denied> = run.into_iter().map(denied).collect();
        for denied in &saves {
            tracing::warn!(save = %denied.save.id, node = %node.id, reason = %denied.reason, "a save goes to quarantine");
        }
        let by = Author { node: self.identity.node, incarnation: self.identity.incarnation, person: THE_HUB };
        let outcomes = self.receive(Request::Quarantine { saves, by, now: self.world.now() }).await?;
        Ok(ids.into_iter().zip(outcomes).map(|(id, outcome)| told(id, outcome)).collect())
    }

    async fn receive(&self, request: Request) -> Result<Vec<store::Verdict>> {
        match self.store.write(request).await? {
            Outcome::Received(verdicts) => Ok(verdicts),
            _ => Err(StoreError::Damaged("saves were not answered as saves".into()).into()),
        }
    }

    /// For whom else a node may bring saves: one that serves others for anybody, and each for those it met at a site.
    async fn carries(&self, node: &NodeRecord) -> Result<Carries> {
        if !node.relays && !node.was_at_a_site() {
            return Ok(Carries::default());
        }
        let mut carries = Carries { any: node.relays, ..Carries::default() };
        for other in enrolment::nodes(&*self.store).await? {
            if other.revoked_at.is_some() {
                carries.revoked.insert(other.id);
            } else if other.id != node.id && other.has_met(node) {
                carries.of.insert(other.id);
                carries.any |= other.relays;
            }
        }
        Ok(carries)
    }

    fn judge(&self, node: &NodeRecord, carries: &Carries, save: &Save) -> std::result::Result<(), String> {
        let author = save.author.node;
        if node.revoked_at.is_some() || carries.revoked.contains(&author) {
            return Err("the device it was made on was revoked".into());
        }
        let may_bring = author == node.id || carries.any || carries.of.contains(&author);
        if !may_bring || (author != node.id && author == self.identity.node) {
            return Err("it was not made on the device that brought it".into());
        }
        if save.records.len() > MAX_RECORDS {
            return Err(format!("it writes more than {MAX_RECORDS} records"));
        }
        if self.relay.is_some() { Ok(()) } else { (self.permits)(save) }
    }
}

/// See [`Hub::carries`].
#[derive(Default)]
struct Carries {
    any: bool,
    of: BTreeSet<NodeId>,
    /// Nodes whose saves are not taken from those who bring them either.
    revoked: BTreeSet<NodeId>,
}

fn told(save: SaveId, outcome: store::Verdict) -> Verdict {
    let accepted = Verdict { save, refused: None, quarantined: None, waits: false };
    match outcome {
        store::Verdict::Accepted => accepted,
        store::Verdict::Waits => Verdict { waits: true, ..accepted },
        store::Verdict::Quarantined(reason) => Verdict { quarantined: Some(reason), ..accepted },
        store::Verdict::Refused(reason) => Verdict { refused: Some(reason), ..accepted },
    }
}
