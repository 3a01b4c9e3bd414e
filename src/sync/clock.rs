use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::domain::clock::Reading;
use crate::node::World;
use crate::store::{LocalChange, Request, Store, StoreError};

const KIND: &str = "clock";
/// A device's clock that runs by itself for longer than this since it was compared counts as unchecked.
const FRESH: i64 = 120_000;
/// Two clocks of one device that part by more than this: the one that can be set was set, or the device slept.
const SET: u64 = 1_000;

/// How far the hub's clock is ahead of this device's, as measured at the last contacts; kept over restarts.
pub struct Offset {
    measured: Mutex<Measured>,
    /// Whether others may have what is saved here before the hub was asked again.
    shared: AtomicBool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    offset: Option<i64>,
    /// What the device's ticks and its clock showed when it was measured last.
    at: Option<(i64, i64)>,
}

/// What a device showed when a question to the hub left: its ticks, and its clock.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    ticks: i64,
    pub clock: i64,
}

impl Asked {
    pub fn now(world: &dyn World) -> Self {
        Self { ticks: world.ticks(), clock: world.now() }
    }
}

impl Offset {
    pub async fn load(store: &dyn Store) -> Result<Arc<Self>, StoreError> {
        let offset = store.local(KIND, KIND).await?.as_ref().and_then(Value::as_i64);
        let measured = Mutex::new(Measured { offset, at: None });
        Ok(Arc::new(Self { measured, shared: AtomicBool::new(false) }))
    }

    /// On an edge that serves others no save is corrected later: they may have it already.
    pub fn share(&self, shared: bool) {
        self.shared.store(shared, Ordering::Relaxed);
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In milliseconds; `None` before the first contact.
    pub fn known(&self) -> Option<i64> {
        self.measured().offset
    }

    pub fn millis(&self) -> i64 {
        self.known().unwrap_or(0)
    }

    /// Whether the device was compared with the hub lately, and its clock was not set since.
    pub fn is_checked(&self, device: &dyn World) -> bool {
        self.checks(device.ticks(), device.now())
    }

    fn checks(&self, ticks: i64, clock: i64) -> bool {
        self.measured().at.is_some_and(|(then, shown)| {
            let passed = ticks.saturating_sub(then);
            passed <= FRESH && clock.saturating_sub(shown).abs_diff(passed) <= SET
        })
    }

    /// A look at the device's clock, corrected. It counts as checked for a while after a contact, as long as nobody set
    /// the clock.
    pub fn reading(&self, device: &dyn World) -> Reading {
        let (ticks, clock) = (device.ticks(), device.now());
        let is_final = self.checks(ticks, clock) || self.shared.load(Ordering::Relaxed);
        let offset = self.millis();
        Reading { now: clock.saturating_add(offset), unchecked: Some(offset).filter(|_| !is_final) }
    }

    /// Takes notice of one exchange: what this device showed when the question left, what it shows now that the answer
    /// is here, and what the hub's clock showed in between. What is known stays while it is within the uncertainty of the
    /// new measure, so that time does not jump with every slow answer.
    pub async fn learn(&self, store: &dyn Store, device: &dyn World, asked: Asked, hub: i64) -> Result<(), StoreError> {
        let (ticks, clock) = (device.ticks(), device.now());
        let took = ticks.saturating_sub(asked.ticks);
        if clock.saturating_sub(asked.clock).abs_diff(took) > SET {
            // the clock was set in between
            return Ok(());
        }
        let way = took / 2;
        let offset = hub.saturating_sub(clock.saturating_sub(way));
        {
            let mut measured = self.measured();
            measured.at = Some((ticks, clock));
            if measured.offset.is_some_and(|known| known.abs_diff(offset) <= way.unsigned_abs() + 1) {
                return Ok(());
            }
            measured.offset = Some(offset);
        }
        let change = LocalChange { kind: KIND, key: KIND.into(), value: Some(offset.into()), expect: None };
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

    fn ticks(&self) -> i64 {
        self.world.ticks()
    }

    fn random(&self) -> u128 {
        self.world.random()
    }

    fn reading(&self) -> Reading {
        self.offset.reading(&*self.world)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use serde_json::Value;

    use super::*;
    use crate::domain::ids::{Partition, RevisionId, TypeName};
    use crate::store::{Judge, Model};

    const HUB: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;

    #[derive(Default)]
    struct Device {
        ticks: AtomicI64,
        /// How far its clock is ahead of the hub's.
        ahead: AtomicI64,
    }

    impl Device {
        fn pass(&self, millis: i64) {
            self.ticks.fetch_add(millis, Ordering::Relaxed);
        }

        fn hub(&self) -> i64 {
            HUB + self.ticks()
        }
    }

    impl World for Device {
        fn now(&self) -> i64 {
            self.hub() + self.ahead.load(Ordering::Relaxed)
        }

        fn random(&self) -> u128 {
            0
        }

        fn ticks(&self) -> i64 {
            self.ticks.load(Ordering::Relaxed)
        }
    }

    struct Nothing;

    impl Judge for Nothing {
        fn partition(&self, type_name: &TypeName, _: &Value) -> Partition {
            Partition::of_type(type_name)
        }

        fn is_valid(&self, _: &TypeName, _: Option<RevisionId>, _: &Value) -> Option<bool> {
            Some(true)
        }
    }

    #[tokio::test]
    async fn a_time_counts_as_checked_from_a_contact_until_the_clock_is_set_or_long_alone() {
        let store = Model::new(Arc::new(Nothing));
        let device = Device::default();
        let set = |ahead| device.ahead.store(ahead, Ordering::Relaxed);
        set(HOUR);
        let offset = Offset::load(&store).await.expect("the model store works");
        assert_eq!(offset.reading(&device), Reading { now: HUB + HOUR, unchecked: Some(0) }, "nobody was asked yet");

        let contact = async |during: &dyn Fn()| {
            let asked = Asked::now(&device);
            device.pass(40);
            let hub = device.hub();
            during();
            device.pass(40);
            offset.learn(&store, &device, asked, hub).await.expect("the model store works");
        };
        contact(&|| {}).await;
        assert_eq!(offset.reading(&device), Reading { now: device.hub(), unchecked: None });
        device.pass(60_000);
        assert_eq!(offset.reading(&device), Reading { now: device.hub(), unchecked: None });
        set(-HOUR);
        assert_eq!(offset.reading(&device).unchecked, Some(-HOUR), "somebody set it");

        contact(&|| set(HOUR)).await;
        assert_eq!(offset.reading(&device).unchecked, None, "it is as it was when it was checked");
        set(-HOUR);
        contact(&|| set(-2 * HOUR)).await;
        assert_eq!(offset.reading(&device).unchecked, Some(-HOUR), "set while the hub was asked: nothing was learnt");
        contact(&|| {}).await;
        assert_eq!(offset.reading(&device), Reading { now: device.hub(), unchecked: None });
        device.pass(FRESH + 1);
        assert_eq!(offset.reading(&device).unchecked, Some(2 * HOUR), "long alone");
        let again = Offset::load(&store).await.expect("the model store works");
        assert_eq!(
            again.reading(&device),
            Reading { now: device.hub(), unchecked: Some(2 * HOUR) },
            "kept over a restart"
        );
    }
}
