//! The faults that are no matter of a single request: what happens to disks, clocks, links and types, and what admins do.

use outpost::domain::ids::Epoch;
use outpost::domain::people::Actor;
use outpost::domain::scope::Scope;
use outpost::domain::session::Event;
use outpost::node::{Identity, NodeChange, Nodes};
use outpost::sync::Hub;
use serde_json::Value;

use crate::device::{DAY, HOUR, YEAR};
use crate::faults::Fault;
use crate::node::Edge;
use crate::world::Storm;

impl Storm {
    pub fn misfortune(&mut self, which: usize) {
        let fault = Fault::ALL[self.dice.below(Fault::ALL.len() as u64) as usize];
        if !self.settings.has(fault) {
            return;
        }
        let now = self.now();
        let mut long = self.dice.below(20_000) as i64;
        if self.settings.long && self.dice.chance(30) {
            long = self.dice.below(3 * DAY as u64) as i64;
        }
        match fault {
            Fault::Cut => self.edges[which].cut_until = now + long,
            Fault::HalfOpen => self.edges[which].half_open_until = now + long,
            Fault::Partition => self.partition_until = now + long,
            Fault::Repeats => return self.echo(which),
            Fault::Restart => {
                if self.dice.chance(20) {
                    self.restart_hub();
                    return self.happens(fault, "the hub");
                }
                self.restart(which);
            }
            Fault::FullDisk if self.dice.chance(25) => self.hub_full_until = now + long,
            Fault::FullDisk => self.edges[which].full_until = now + long,
            Fault::ClockSet => {
                let far = if self.dice.chance(30) { 10 * YEAR } else { HOUR };
                let skew = self.dice.below(2 * far as u64) as i64 - far;
                self.edges[which].site.device.set(skew);
                if skew.abs() > YEAR {
                    self.happens(Fault::ClockFar, which);
                }
            }
            Fault::NewEpoch => {
                self.epochs.push(self.hub_identity.epoch);
                self.hub_identity.epoch = Epoch(self.dice.next());
                self.restart_hub();
            }
            Fault::Pause => {
                let random = self.dice.next();
                let event = if self.dice.chance(30) { Event::Pause } else { Event::Resume };
                self.edges[which].session.handle(event, now, random);
            }
            Fault::Scope if self.restored => return,
            Fault::Scope => {
                let Some(hub) = self.hub_above(which) else { return };
                let scope = self.scope();
                self.rescope(which, &hub, scope);
            }
            Fault::Revoke => {
                if !self.revoke(which) {
                    return;
                }
            }
            Fault::Clone => {
                let edge = &self.edges[which];
                let many = self.edges.len() > 2 * self.settings.edges;
                if many || edge.revoked || edge.network.old || self.dice.chance(50) {
                    return;
                }
                self.clone_edge(which);
            }
            Fault::Joins => {
                let many = self.edges.len() > 2 * self.settings.edges;
                if many || self.dice.chance(50) || !self.join() {
                    return;
                }
            }
            Fault::Publish => {
                if !self.publish() {
                    return;
                }
            }
            Fault::RollBack => return self.roll_back(which, fault),
            Fault::RestoreRelay => {
                let relays = 0..self.edges.len();
                let relays: Vec<usize> = relays.filter(|which| self.edges[*which].house.is_some()).collect();
                if relays.is_empty() {
                    return;
                }
                let which = relays[self.dice.below(relays.len() as u64) as usize];
                return self.roll_back(which, fault);
            }
            Fault::RestoreHub => return self.restore_hub(),
            _ => return,
        }
        self.happens(fault, which);
    }

    /// A designer publishes a type anew.
    fn publish(&mut self) -> bool {
        let site = self.house.site.clone();
        let is_up = self.hub_is_up() && !site.process().fuse.is_full();
        let Some(node) = site.process().node.filter(|_| is_up) else { return false };
        let design = &mut self.designs[self.dice.below(2) as usize];
        self.narrowed |= design.change(&mut self.dice, self.settings.narrows);
        let text = design.text();
        let published = self.ground.run(node.publish_type(&Actor::Operator, design.name, text.as_bytes(), ""));
        assert!(published.is_ok_and(|published| published.is_new), "a type is published");
        true
    }

    fn revoke(&mut self, which: usize) -> bool {
        let alive = (0..self.edges.len()).filter(|which| self.is_connected(*which)).count();
        if alive < 2 || self.restored || self.dice.chance(80) {
            return false;
        }
        let node = self.edges[which].carrier.identity.node;
        let is_full = self.house_above(which).site.process().fuse.is_full();
        let Some(hub) = self.hub_above(which).filter(|_| !is_full) else { return false };
        if self.ground.run(hub.revoke(node)).is_err() {
            return false;
        }
        self.forget_backup(which);
        // and with it every copy of its disk
        let same = self.edges.iter_mut().filter(|edge| edge.carrier.identity.node == node);
        same.for_each(|edge| edge.revoked = true);
        true
    }

    /// A backup of the hub of an edge tells of it what is not so any more.
    fn forget_backup(&mut self, which: usize) {
        match self.edges[which].above {
            Some(above) => self.edges[above].backup = None,
            None => self.hub_backup = None,
        }
    }

    /// An admin changes what a node holds.
    fn rescope(&mut self, which: usize, hub: &Hub, scope: Value) {
        let node = self.edges[which].carrier.identity.node;
        let change = NodeChange { scope: Some(scope.clone()), relays: None };
        if self.ground.run(hub.change(node, change)).is_err() {
            // withdrawn, or the disk is full
            return;
        }
        self.forget_backup(which);
        let scope = Scope::from_json(&scope).expect("a good scope");
        // copies of the node's disk are the same node
        let same = self.edges.iter_mut().filter(|edge| edge.carrier.identity.node == node);
        same.for_each(|edge| edge.scope = scope.clone());
    }

    /// Operators keep copies, for the day on which something happens to a disk.
    pub fn back_up(&mut self) {
        if self.settings.has(Fault::RestoreHub) {
            self.hub_backup = Some(self.house.site.process().disk.copy(&self.ground, None));
        }
        if self.settings.has(Fault::RollBack) || self.settings.has(Fault::RestoreRelay) {
            for edge in self.edges.iter_mut().filter(|edge| edge.backup.is_none()) {
                edge.backup = Some(edge.site.process().disk.copy(&self.ground, None));
            }
        }
    }

    /// The edge goes on from an older copy of its disk, or from a backup that was restored, if nothing is lost by that
    /// which only this disk holds.
    fn roll_back(&mut self, which: usize, fault: Fault) {
        let serves_old = self.edges.iter().any(|edge| edge.above == Some(which) && edge.network.old);
        let edge = &mut self.edges[which];
        if self.restored || serves_old || edge.network.old {
            return;
        }
        let disk = edge.site.process().disk;
        let waiting = self.ground.run(edge.site.disk().waiting()).expect("the store works");
        match edge.backup.take() {
            None => edge.backup = Some(disk.copy(&self.ground, None)),
            Some(backup) if waiting == 0 => {
                disk.discard(&self.ground);
                if fault == Fault::RestoreRelay {
                    let store = backup.store();
                    let settled = self.ground.run(Identity::settle_restored(&*store, &*edge.site.device));
                    settled.expect("it is a node's backup");
                }
                edge.site.start(&self.ground, backup);
                edge.site.close_forms();
                self.relay_put_back |= edge.house.is_some();
                self.restart(which);
                self.happens(fault, which);
            }
            backup => edge.backup = backup,
        }
    }

    /// The hub goes on from a backup; what it was given since is with its edges, as far as they have it.
    fn restore_hub(&mut self) {
        // an old edge has no way to give back what it holds; and of a record with something in quarantine nothing is taken
        // back before that is decided
        let cannot = |edge: &Edge| edge.revoked || edge.above.is_none() && edge.network.old;
        let denies = self.settings.has(Fault::Deny) || self.edges.iter().any(cannot);
        if !self.hub_is_up() || self.restored || denies {
            return;
        }
        let site = self.house.site.clone();
        let disk = site.process().disk;
        let Some(backup) = self.hub_backup.take() else {
            self.hub_backup = Some(disk.copy(&self.ground, None));
            return;
        };
        crate::invariants::forgive(self, &*backup.store());
        disk.discard(&self.ground);
        let store = backup.store();
        let restored = self.ground.run(Identity::settle_restored(&*store, &*site.device));
        self.epochs.push(self.hub_identity.epoch);
        self.hub_identity = restored.expect("it is a hub's backup");
        self.hub_identity.ancestors = self.epochs.clone();
        site.start(&self.ground, backup);
        site.close_forms();
        self.open_hub();
        self.restored = true;
        for edge in self.edges.iter().filter(|edge| edge.above.is_none()) {
            edge.network.echoes.lock().expect("one thread").clear();
        }
        self.happens(Fault::RestoreHub, "the hub");
    }

    /// A push that was sent long ago arrives once more.
    fn echo(&mut self, which: usize) {
        let edge = &self.edges[which];
        let hub = self.hub_above(which).filter(|_| !edge.revoked);
        let Some(hub) = hub else { return };
        let push = {
            let mut echoes = edge.network.echoes.lock().expect("one thread");
            if echoes.is_empty() {
                return;
            }
            let at = self.dice.below(echoes.len() as u64) as usize;
            echoes.swap_remove(at)
        };
        self.house_above(which).site.process().fuse.set_full(false);
        let credential = edge.network.credential.clone();
        let above = edge.above;
        let pushed = self.ground.run(async {
            let node = hub.authenticate(Some(&credential)).await.expect("the edge is let in");
            hub.push(&node, push).await.expect("the store works")
        });
        assert!(pushed.verdicts.iter().all(|verdict| verdict.refused.is_none()), "{pushed:?}");
        above.into_iter().for_each(|above| self.waiting(above));
        self.happens(Fault::Repeats, which);
    }
}
