//! Deleting for good, and how long a node waits for others before it forgets.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Node, NodeError, Result};
use crate::domain::ids::{PersonId, RecordId, TypeName};
use crate::domain::people::{Actor, Operation, authorise};
use crate::store::{LocalChange, Request, Store, StoreError, remains_of};

const DAY: i64 = 24 * 3_600_000;

/// How long a node waits for others before it forgets what was deleted, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keeping {
    /// Whoever is silent for longer is not waited for. When it comes back it compares all it holds, and hands over what
    /// it saved.
    pub silent: i64,
    /// A backup that is older will not be restored.
    pub backups: i64,
    /// What is in the bin for so long is deleted for good; `None` keeps it until a person decides.
    pub bin: Option<i64>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { silent: 180 * DAY, backups: 30 * DAY, bin: None }
    }
}

impl Keeping {
    const KIND: &str = "keeping";

    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let kept = store.local(Self::KIND, Self::KIND).await?;
        let read = |value| serde_json::from_value(value).map_err(|err| StoreError::Damaged(err.to_string()));
        Ok(kept.map(read).transpose()?.unwrap_or_default())
    }

    pub async fn keep(&self, store: &dyn Store) -> Result<(), StoreError> {
        let change = LocalChange { kind: Self::KIND, key: Self::KIND.into(), value: Some(json!(self)), expect: None };
        store.write(Request::Local(vec![change])).await.map(|_| ())
    }

    /// With these numbers of days instead; `bin` as one says it: a number of days, or `never`.
    pub fn in_days(
        self,
        silent: Option<u32>,
        backups: Option<u32>,
        bin: Option<&str>,
    ) -> std::result::Result<Self, String> {
        let days = |days: u32| i64::from(days) * DAY;
        let bin = match bin {
            None => self.bin,
            Some("never") => None,
            Some(number) => {
                let number = number.parse().map_err(|_| format!("{number:?} is neither a number of days nor never"))?;
                Some(days(number))
            }
        };
        let silent = silent.map_or(self.silent, days);
        if silent < DAY {
            return Err("a node may be silent for a day at least".into());
        }
        Ok(Self { silent, backups: backups.map_or(self.backups, days), bin })
    }
}

/// That a backup was made: it may be restored for a while, and would bring back what is not deleted in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    pub at: i64,
    /// What has this number, or a lower one, is in it.
    pub upto: u64,
}

impl BackedUp {
    const KIND: &str = "backup";

    pub async fn all(store: &dyn Store) -> Result<Vec<Self>, StoreError> {
        let read = |(_, value)| serde_json::from_value(value).map_err(|err| StoreError::Damaged(err.to_string()));
        store.locals(Self::KIND).await?.into_iter().map(read).collect()
    }

    /// Notes that one is about to be made. Those that are not restored any more are forgotten.
    pub async fn note(store: &dyn Store, now: i64) -> Result<Self, StoreError> {
        let keeping = Keeping::load(store).await?;
        let upto = store.partitions().await?.iter().map(|state| state.head).max().unwrap_or(0);
        let made = Self { at: now, upto };
        let old = |(_, value): &(String, Value)| {
            let known: Option<Self> = serde_json::from_value(value.clone()).ok();
            known.is_none_or(|known| now.saturating_sub(known.at) > keeping.backups)
        };
        let mut changes: Vec<LocalChange> = store
            .locals(Self::KIND)
            .await?
            .into_iter()
            .filter(old)
            .map(|(key, _)| LocalChange { kind: Self::KIND, key, value: None, expect: None })
            .collect();
        let key = format!("{now:016}");
        changes.push(LocalChange { kind: Self::KIND, key, value: Some(json!(made)), expect: None });
        store.write(Request::Local(changes)).await?;
        Ok(made)
    }
}

/// Somebody asked for a record in the bin to be deleted for good; that is done as soon as every node knows that it is
/// there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub at: i64,
    pub person: PersonId,
}

impl Order {
    pub const KIND: &str = "purge";

    /// All of them, with the records they are about.
    pub async fn all(store: &dyn Store) -> Result<Vec<(TypeName, RecordId)>, StoreError> {
        Ok(store.locals(Self::KIND).await?.iter().filter_map(|(key, _)| remains_of(key)).collect())
    }

    fn key(type_name: &TypeName, id: RecordId) -> String {
        format!("{type_name}/{id}")
    }

    /// It is done, or there is nothing to do any more.
    pub fn done(type_name: &TypeName, id: RecordId) -> LocalChange {
        LocalChange { kind: Self::KIND, key: Self::key(type_name, id), value: None, expect: None }
    }
}

impl Node {
    /// Asks for a record in the bin to be deleted for good, with its history and its lost values. It is gone as soon as
    /// every node has heard that it is in the bin, and nobody brought it back meanwhile. Asking again changes nothing.
    pub async fn delete_for_good(&self, actor: &Actor, type_name: &str, id: RecordId) -> Result<()> {
        let held = self.record(actor, type_name, id).await?;
        authorise(actor, Operation::Administer, Some((&held.type_name, id)), &[])?;
        if !self.is_hub() {
            return Err(NodeError::Conflict("records are deleted for good at the hub".into()));
        }
        if !held.state.is_binned() {
            return Err(NodeError::Conflict("the record is not in the bin; put it there first".into()));
        }
        if held.state.is_edited_after_deletion() {
            return Err(NodeError::Conflict(
                "somebody edited the record after it was deleted; decide that first".into(),
            ));
        }
        let order = Order { at: self.now(), person: actor.person() };
        let key = Order::key(&held.type_name, id);
        let change = LocalChange { kind: Order::KIND, key, value: Some(json!(order)), expect: None };
        self.store().write(Request::Local(vec![change])).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_days() {
        let keeping = Keeping::default().in_days(Some(10), None, Some("90")).expect("good days");
        assert_eq!(keeping, Keeping { silent: 10 * DAY, backups: 30 * DAY, bin: Some(90 * DAY) });
        assert_eq!(keeping.in_days(None, Some(0), Some("never")).expect("good days").bin, None);
        assert!(keeping.in_days(None, None, Some("soon")).is_err());
        assert!(keeping.in_days(Some(0), None, None).is_err(), "nobody could ever be waited for");
    }
}
