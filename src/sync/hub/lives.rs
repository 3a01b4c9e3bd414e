//! What the hub keeps of each incarnation of a node: its ratchet, when it was last heard of, and what it said it has.
//!
//! One document for each that ever said hello. The ratchet moves on the disk before it is handed out; two hellos at once
//! cannot both turn it from the same place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{HubError, Result};
use crate::domain::ids::{Epoch, Incarnation, NodeId, Partition};
use crate::domain::protocol::{Hello, Reached};
use crate::domain::ratchet::Ratchet;
use crate::node::{Noticed, Past};
use crate::store::{LocalChange, Outcome, Request, Store, StoreError};

const KIND: &str = "life";
/// A node that says hello under more incarnations than this is remembered by the newest.
const MAX_LIVES: usize = 64;
/// Whoever was heard of within this time is taken to be running.
const RUNS: i64 = 24 * 3_600_000;
/// For so long people are told that a node's data was put back.
const TOLD: i64 = 30 * RUNS;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Life {
    /// None: it knows no ratchets.
    ratchet: Option<Ratchet>,
    /// When it was heard of first, and last.
    since: i64,
    heard: i64,
    /// How far it was when it last had nothing to send: what it may still bring up was made after these numbers.
    acknowledged: Option<Acknowledged>,
    /// It has an old program, which cannot compare what it holds with the hub.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    old: bool,
}

impl Life {
    fn begun(now: i64) -> Self {
        Self { ratchet: None, since: now, heard: now, acknowledged: None, old: false }
    }

    /// Whether nothing may be forgotten that it does not know. Whoever cannot compare is waited for until it can, for it
    /// would never be rid of what the hub has forgotten.
    fn is_waited_for(&self, since: i64) -> bool {
        self.heard >= since || self.old
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Acknowledged {
    epoch: Epoch,
    numbers: BTreeMap<String, u64>,
}

fn key(node: NodeId, incarnation: Incarnation) -> String {
    format!("{node}/{incarnation}")
}

fn read(value: serde_json::Value) -> std::result::Result<Life, StoreError> {
    serde_json::from_value(value).map_err(|err| StoreError::Damaged(err.to_string()))
}

/// Takes notice of a hello, together with `beside`, and gives the ratchet to answer with.
pub(super) async fn hear(
    store: &dyn Store,
    hello: &Hello,
    numbers: Option<BTreeMap<String, u64>>,
    epoch: Epoch,
    now: i64,
    random: u64,
    beside: Option<LocalChange>,
) -> Result<Option<u64>> {
    const TRIES: u32 = 8;
    let key = key(hello.node, hello.incarnation);
    for _ in 0..TRIES {
        let standing = store.local(KIND, &key).await?;
        let known = standing.clone().map(read).transpose()?;
        let mut changes = Vec::new();
        if known.is_none() {
            changes.extend(make_room(store, hello.node).await?);
        }
        let life = next(known, hello, &numbers, epoch, now, random).ok_or(HubError::Twin)?;
        let given = life.ratchet.as_ref().filter(|_| hello.attempt.is_some()).map(Ratchet::given);
        let value = serde_json::to_value(&life).expect("what is kept is plain data");
        changes.push(LocalChange { kind: KIND, key: key.clone(), value: Some(value), expect: Some(standing) });
        changes.extend(beside.clone());
        if store.write(Request::Local(changes)).await? == Outcome::Done {
            return Ok(given);
        }
        // another hello of this life came in between
    }
    Err(HubError::Twin)
}

/// Takes notice of a node that was heard of otherwise than by a hello, and of what it has acknowledged by that.
pub(super) async fn told(
    store: &dyn Store,
    node: NodeId,
    incarnation: Incarnation,
    acknowledged: Option<(Epoch, BTreeMap<String, u64>)>,
    now: i64,
) -> std::result::Result<(), StoreError> {
    let key = key(node, incarnation);
    loop {
        let standing = store.local(KIND, &key).await?;
        let known = standing.clone().map(read).transpose()?;
        let mut life = known.unwrap_or(Life::begun(now));
        life.heard = now;
        if let Some((epoch, numbers)) = acknowledged.clone() {
            life.acknowledged = Some(Acknowledged { epoch, numbers });
        }
        let value = serde_json::to_value(&life).expect("what is kept is plain data");
        let change = LocalChange { kind: KIND, key: key.clone(), value: Some(value), expect: Some(standing) };
        if store.write(Request::Local(vec![change])).await? == Outcome::Done {
            return Ok(());
        }
    }
}

/// What a hello acknowledges, if nothing waits to be sent: in each partition a number. `strayed`: where the reader's numbers are
/// not those of `heads`.
pub(super) fn numbers(
    hello: &Hello,
    epoch: Epoch,
    heads: &BTreeMap<&Partition, u64>,
    strayed: impl Fn(&Partition) -> bool,
) -> Option<BTreeMap<String, u64>> {
    let speaks_for = |partition: &Partition| match &hello.settled {
        Some(settled) => settled.get(&partition.0).copied().unwrap_or(0),
        None => u64::MAX,
    };
    let is_ours = |reached: &&Reached| {
        reached.cursor.epoch == epoch
            && !strayed(&reached.id)
            && heads.get(&reached.id).is_some_and(|head| reached.cursor.base <= *head)
    };
    let reached = hello.partitions.iter().filter(is_ours);
    let numbers = reached.map(|reached| (reached.id.0.clone(), reached.cursor.base.min(speaks_for(&reached.id))));
    (hello.waiting == 0).then(|| numbers.collect())
}

/// What each incarnation that was heard of since then, or is waited for all the same, has acknowledged in this epoch.
pub(super) async fn acknowledged(
    store: &dyn Store,
    epoch: Epoch,
    since: i64,
) -> std::result::Result<BTreeMap<NodeId, Vec<BTreeMap<String, u64>>>, StoreError> {
    let mut found: BTreeMap<NodeId, Vec<BTreeMap<String, u64>>> = BTreeMap::new();
    for (node, life) in all(store).await?.into_iter().filter(|(_, life)| life.is_waited_for(since)) {
        let of = life.acknowledged.filter(|of| of.epoch == epoch);
        found.entry(node).or_default().push(of.map(|of| of.numbers).unwrap_or_default());
    }
    Ok(found)
}

/// The nodes that were heard of, but not since then, and are not waited for in any incarnation.
pub(super) async fn silent(store: &dyn Store, since: i64) -> std::result::Result<Vec<NodeId>, StoreError> {
    let mut waited: BTreeMap<NodeId, bool> = BTreeMap::new();
    for (node, life) in all(store).await? {
        *waited.entry(node).or_default() |= life.is_waited_for(since);
    }
    Ok(waited.into_iter().filter(|(_, waited)| !waited).map(|(node, _)| node).collect())
}

async fn all(store: &dyn Store) -> std::result::Result<Vec<(NodeId, Life)>, StoreError> {
    let lives = store.locals(KIND).await?.into_iter().map(|(key, value)| {
        let node = key.split('/').next().and_then(|node| node.parse().ok());
        Ok((node.ok_or_else(|| StoreError::Damaged(format!("life {key}")))?, read(value)?))
    });
    lives.collect()
}

fn next(
    known: Option<Life>,
    hello: &Hello,
    numbers: &Option<BTreeMap<String, u64>>,
    epoch: Epoch,
    now: i64,
    random: u64,
) -> Option<Life> {
    let mut life = known.unwrap_or(Life::begun(now));
    if let Some(attempt) = hello.attempt {
        life.ratchet = Some(Ratchet::turn(life.ratchet.as_ref(), hello.ratchet, attempt, epoch, random)?);
    }
    life.old = hello.attempt.is_none();
    life.heard = now;
    if let Some(numbers) = numbers.clone() {
        life.acknowledged = Some(Acknowledged { epoch, numbers });
    }
    Some(life)
}

/// Forgets the life of a node that was silent for longest, if there are too many of them.
async fn make_room(store: &dyn Store, node: NodeId) -> Result<Option<LocalChange>> {
    let of = format!("{node}/");
    let mut lives = Vec::new();
    for (key, value) in store.locals_under(KIND, &of).await? {
        lives.push((read(value)?.heard, key));
    }
    lives.sort();
    let oldest = lives.into_iter().rev().nth(MAX_LIVES - 1);
    Ok(oldest.map(|(_, key)| LocalChange { kind: KIND, key, value: None, expect: None }))
}

/// What is to be told of each node whose data is not the only one of its kind, or was not always the newest.
pub(super) async fn noticed(store: &dyn Store, now: i64) -> std::result::Result<BTreeMap<NodeId, Past>, StoreError> {
    let mut lives: BTreeMap<NodeId, Vec<Life>> = BTreeMap::new();
    for (node, life) in all(store).await? {
        lives.entry(node).or_default().push(life);
    }
    Ok(lives.into_iter().filter_map(|(node, lives)| Some((node, past(lives, now)?))).collect())
}

fn past(mut lives: Vec<Life>, now: i64) -> Option<Past> {
    lives.sort_by_key(|life| life.since);
    let (newest, older) = lives.split_last()?;
    let other = older.iter().map(|life| life.heard).max()?;
    let (since, age) = (newest.since, now.saturating_sub(newest.since));
    let runs = |heard: i64| now.saturating_sub(heard) <= RUNS;
    if other > since && runs(other) && runs(newest.heard) {
        Some(Past { noticed: Noticed::RunsTwice, since })
    } else if age <= TOLD {
        Some(Past { noticed: Noticed::PutBack, since })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(since: i64, heard: i64) -> Life {
        Life { heard, ..Life::begun(since) }
    }

    #[test]
    fn a_copy_that_runs_is_told_from_data_that_was_put_back() {
        let past = |lives: &[Life], now| past(lives.to_vec(), now).map(|past| (past.noticed, past.since));
        assert_eq!(past(&[life(0, 50)], 60), None);
        assert_eq!(past(&[life(0, 50), life(60, 70)], 80), Some((Noticed::PutBack, 60)));
        assert_eq!(past(&[life(60, 70), life(0, 65)], 80), Some((Noticed::RunsTwice, 60)));
        assert_eq!(past(&[life(0, 65), life(60, 70 + RUNS)], 80 + RUNS), Some((Noticed::PutBack, 60)), "one is silent");
        assert_eq!(past(&[life(0, 50), life(60, 70 + TOLD)], 80 + TOLD), None, "long ago");
    }
}
