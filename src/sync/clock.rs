use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::Value;

use crate::node::World;
use crate::store::{LocalChange, Request, Store, StoreError};

const KIND: &str = "clock";
const UNKNOWN: i64 = i64::MIN;

/// How far the hub's clock is ahead of this device's, as measured at the last contacts; kept over restarts.
pub struct Offset(AtomicI64);

impl Offset {
    pub async fn load(store: &dyn Store) -> Result<Arc<Self>, StoreError> {
        let known = store.local(KIND, KIND).await?.as_ref().and_then(Value::as_i64);
        Ok(Arc::new(Self(AtomicI64::new(known.unwrap_or(UNKNOWN)))))
    }

    /// In milliseconds; `None` before the first contact.
    pub fn known(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|offset| *offset != UNKNOWN)
    }

    pub fn millis(&self) -> i64 {
        self.known().unwrap_or(0)
    }

    /// Takes notice of one exchange: what this device's clock showed when the question left and when the answer came,
    /// and what the hub's clock showed in between. What is known stays while it is within the uncertainty of the new
    /// measure, so that time does not jump with every slow answer.
    pub async fn learn(&self, store: &dyn Store, sent: i64, received: i64, hub: i64) -> Result<(), StoreError> {
        let way = received.saturating_sub(sent) / 2;
        if way < 0 {
            // the clock was set in between
            return Ok(());
        }
        let measured = hub.saturating_sub(sent.saturating_add(way));
        if self.known().is_some_and(|known| known.abs_diff(measured) <= way.unsigned_abs() + 1) {
            return Ok(());
        }
        self.0.store(measured, Ordering::Relaxed);
        let change = LocalChange { kind: KIND, key: KIND.into(), value: Some(measured.into()), expect: None };
        store.write(Request::Local(vec![change])).await?;
        Ok(())
    }
}

/// A world whose clock goes with the hub's.
pub struct Corrected {
    world: Arc<dyn World>,
    offset: Arc<Offset>,
}

impl Corrected {
    pub fn new(world: Arc<dyn World>, offset: Arc<Offset>) -> Self {
        Self { world, offset }
    }
}

impl World for Corrected {
    fn now(&self) -> i64 {
        self.world.now().saturating_add(self.offset.millis())
    }

    fn random(&self) -> u128 {
        self.world.random()
    }
}
