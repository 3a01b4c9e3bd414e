//! The nodes of a hub, for people: who they are, how they stand, and what may be changed about them.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{Hub, MAX_BELOW, POISON, lives, newer};
use crate::domain::FieldError;
use crate::domain::ids::{NodeId, Partition};
use crate::domain::protocol::Below;
use crate::domain::reach::Sites;
use crate::domain::scope::Scope;
use crate::meter::Talk;
use crate::node::{Holder, KnownNode, NodeChange, NodeError, Nodes};
use crate::store::StoreError;
use crate::sync::enrolment;

impl Hub {
    async fn known_nodes(&self) -> Result<Vec<KnownNode>, StoreError> {
        let states = self.store.partitions().await?;
        let silent = self.silent().await?;
        let mut pasts = lives::noticed(&*self.store, self.world.now()).await?;
        let mut known: Vec<KnownNode> = enrolment::nodes(&*self.store)
            .await?
            .into_iter()
            .map(|node| {
                let contact = self.contacts.lock().expect(POISON).get(&node.id).cloned();
                let behind = contact.as_ref().map(|contact| {
                    let scope = states.iter().filter(|state| node.scope.contains(&state.partition));
                    scope.map(|state| newer(state, contact.reached.get(&state.partition.0).copied().unwrap_or(0))).sum()
                });
                let waiting = contact.as_ref().map(|contact| contact.waiting);
                KnownNode {
                    id: node.id,
                    name: node.name,
                    scope: node.scope.to_json(),
                    relays: node.relays,
                    site: node.site,
                    via: None,
                    enrolled_at: node.enrolled_at,
                    last_contact: contact.as_ref().map(|contact| contact.at),
                    revoked: node.revoked_at.is_some(),
                    in_step: contact.is_some_and(|contact| contact.in_step) && behind == Some(0) && waiting == Some(0),
                    behind,
                    waiting,
                    past: pasts.remove(&node.id),
                    silent: silent.contains(&node.id),
                }
            })
            .collect();
        known.sort_by(|a, b| (a.revoked, &a.name, a.id).cmp(&(b.revoked, &b.name, b.id)));
        Ok(known)
    }

    /// The nodes that those here serve, as these told.
    fn beyond(&self, known: &[KnownNode]) -> Vec<KnownNode> {
        let contacts = self.contacts.lock().expect(POISON);
        let served = known.iter().filter_map(|node| Some((node, contacts.get(&node.id)?)));
        let served = served.flat_map(|(by, contact)| contact.below.iter().map(move |below| (by, below)));
        let beyond = served.map(|(by, below)| KnownNode {
            past: None,
            silent: false,
            id: below.node,
            name: below.name.clone(),
            scope: below.scope.as_ref().map_or_else(|| by.scope.clone(), Scope::to_json),
            relays: false,
            site: None,
            via: Some(below.via.clone().unwrap_or_else(|| by.name.clone())),
            enrolled_at: by.enrolled_at,
            last_contact: below.last_contact,
            revoked: false,
            behind: None,
            waiting: Some(below.waiting),
            in_step: below.in_step && by.in_step,
        });
        beyond.collect()
    }

    /// The nodes that this edge serves, and those that they serve, for telling the hub.
    pub(in crate::sync) async fn below(&self) -> Result<Vec<Below>, StoreError> {
        let known = self.known_nodes().await?;
        let beyond = self.beyond(&known);
        let below = known.into_iter().chain(beyond).filter(|node| !node.revoked);
        let below = below.map(|node| Below {
            node: node.id,
            name: node.name,
            last_contact: node.last_contact,
            waiting: node.waiting.unwrap_or(0),
            in_step: node.in_step,
            via: node.via,
            // one that cannot be read is left out, and taken for what this edge may hold
            scope: Scope::from_json(&node.scope).ok(),
        });
        Ok(below.take(MAX_BELOW).collect())
    }
}

fn read_scope(json: &Value) -> Result<Scope, NodeError> {
    Scope::from_json(json).map_err(|err| NodeError::Invalid(vec![FieldError::new("/scope", "scope", err.to_string())]))
}

fn read_site(text: &str) -> Result<Option<String>, NodeError> {
    enrolment::site_name(text).map_err(|why| NodeError::Invalid(vec![FieldError::new("/site", "site", why)]))
}

#[async_trait]
impl Nodes for Hub {
    fn meter(&self) -> Option<Arc<Talk>> {
        Some(self.meter.clone())
    }

    async fn invite(&self, name: &str, scope: Value, relays: bool) -> Result<String, NodeError> {
        let scope = read_scope(&scope)?;
        let (now, secret) = (self.world.now(), self.world.random());
        Ok(enrolment::invite(&*self.store, name, scope, relays, now, secret).await?)
    }

    async fn invite_to(&self, name: &str, scope: Value, relays: bool, site: &str) -> Result<String, NodeError> {
        let (scope, site) = (read_scope(&scope)?, read_site(site)?);
        let (now, secret) = (self.world.now(), self.world.random());
        Ok(enrolment::invite_to(&*self.store, name, scope, relays, site, now, secret).await?)
    }

    async fn move_to(&self, id: NodeId, site: &str) -> Result<(), NodeError> {
        let site = read_site(site)?;
        // those it leaves are to hear of it, too
        let before = self.roster().await?;
        if !enrolment::move_to(&*self.store, id, site).await? {
            return Err(NodeError::NotFound("node"));
        }
        self.cut_peers_of(&before, id);
        self.tell_peers_of(id).await?;
        self.recall(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<KnownNode>, NodeError> {
        let mut known = self.known_nodes().await?;
        known.extend(self.beyond(&known));
        known.sort_by(|a, b| (a.revoked, &a.name, a.id).cmp(&(b.revoked, &b.name, b.id)));
        Ok(known)
    }

    async fn sites(&self, of: &[(Partition, u64)]) -> Result<Vec<Sites>, NodeError> {
        Ok(self.counted(of).await?)
    }

    async fn holders(&self, partition: &Partition, seq: u64) -> Result<Vec<Holder>, NodeError> {
        Ok(self.by_name(partition, seq).await?)
    }

    async fn forget(&self) -> Result<(), NodeError> {
        Hub::forget(self).await?;
        Ok(())
    }

    fn serves(&self) -> bool {
        self.may_serve().is_ok()
    }

    async fn revoke(&self, id: NodeId) -> Result<(), NodeError> {
        let before = self.roster().await?;
        let found = enrolment::revoke(&*self.store, id, self.world.now()).await?;
        self.roster_changed().await;
        self.cut_peers_of(&before, id);
        self.recall(id);
        if found { Ok(()) } else { Err(NodeError::NotFound("node")) }
    }

    async fn change(&self, id: NodeId, change: NodeChange) -> Result<(), NodeError> {
        let scope = change.scope.as_ref().map(read_scope).transpose()?;
        let found = enrolment::change(&*self.store, id, scope, change.relays).await?;
        // it says hello when its stream ends, and hears how it stands now; so do its peers
        self.tell_peers_of(id).await?;
        self.recall(id);
        if found { Ok(()) } else { Err(NodeError::NotFound("node")) }
    }
}
