//! How an edge shows that it is the only one with its data, and what it does when it is not.

use serde::{Deserialize, Serialize};

use super::Carrier;
use crate::domain::ids::{Epoch, Incarnation};
use crate::domain::protocol::{Failure, Welcome};
use crate::domain::session::Event;
use crate::node::Identity;
use crate::store::{LocalChange, Request, Store, StoreError};

/// The kind of local document with what the hub last gave.
const RATCHET: &str = "ratchet";
/// The kind of local document that says when a new incarnation was taken last; there until a person has seen it.
const NOTICED: &str = "noticed";

/// When it was noticed that this node's data was copied or put back, in milliseconds; `None` if never, or if a person
/// has put that away.
pub async fn noticed(store: &dyn Store) -> Result<Option<i64>, StoreError> {
    Ok(store.local(NOTICED, NOTICED).await?.and_then(|at| at.as_i64()))
}

/// A person has seen it.
pub async fn put_away(store: &dyn Store) -> Result<(), StoreError> {
    let change = LocalChange { kind: NOTICED, key: NOTICED.into(), value: None, expect: None };
    store.write(Request::Local(vec![change])).await.map(|_| ())
}

/// What an edge says of itself at a hello.
pub(super) struct Present {
    pub incarnation: Incarnation,
    pub ratchet: Option<u64>,
}

/// What the hub said at the last hello, kept before anything of it was used.
#[derive(Debug, Serialize, Deserialize)]
struct Given {
    ratchet: Option<u64>,
    epoch: Epoch,
    /// What the hub's clock showed then.
    #[serde(default)]
    clock: i64,
}

/// What the hub's clock showed when it was last asked; long ago if it never was.
pub(in crate::sync) async fn last_told(store: &dyn Store) -> Result<i64, StoreError> {
    let given = store.local(RATCHET, RATCHET).await?.map(serde_json::from_value::<Given>);
    Ok(given.and_then(|given| Some(given.ok()?.clock)).unwrap_or(i64::MIN))
}

impl Carrier {
    pub(super) async fn present(&self) -> Result<Present, StoreError> {
        let identity = Identity::load(&*self.store).await.map_err(|err| StoreError::Damaged(err.to_string()))?;
        let given = self.store.local(RATCHET, RATCHET).await?.map(serde_json::from_value::<Given>);
        // what cannot be read was not given: the hub says so, and a new incarnation is taken
        let ratchet = given.and_then(|given| given.ok()?.ratchet);
        Ok(Present { incarnation: identity.as_ref().unwrap_or(&self.identity).incarnation, ratchet })
    }

    pub(super) async fn keep_ratchet(&self, welcome: &Welcome) -> Result<(), StoreError> {
        let given = Given { ratchet: welcome.ratchet, epoch: welcome.epoch, clock: welcome.clock };
        let value = serde_json::to_value(given).map_err(|err| StoreError::Damaged(err.to_string()))?;
        let change = LocalChange { kind: RATCHET, key: RATCHET.into(), value: Some(value), expect: None };
        self.store.write(Request::Local(vec![change])).await.map(|_| ())
    }

    /// A new incarnation, no ratchet yet, and a word for people, in one transaction. The outbox, the cursors and all records stay.
    pub(super) async fn renew(&self) -> Result<Event, Failure> {
        let incarnation = Incarnation(self.world.random() as u64);
        let forget = LocalChange { kind: RATCHET, key: RATCHET.into(), value: None, expect: None };
        let at = Some(self.now().into());
        let notice = LocalChange { kind: NOTICED, key: NOTICED.into(), value: at, expect: None };
        Identity::renew(&*self.store, &self.identity, incarnation, vec![forget, notice]).await?;
        Ok(Event::Renewed)
    }
}
