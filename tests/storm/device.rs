//! A device's clock, which may be set and may run fast or slow, and its own chance.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use outpost::node::World;

use crate::dice::Dice;

/// When every storm begins, in milliseconds since 1970.
pub const START: i64 = 1_760_000_000_000;
pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
pub const YEAR: i64 = 365 * DAY;

/// True time, which only the storm knows; all devices share it.
#[derive(Clone)]
pub struct Time(Arc<AtomicI64>);

impl Default for Time {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(START)))
    }
}

impl Time {
    pub fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn pass(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

pub struct Device {
    time: Time,
    /// How far the clock that can be set is off.
    skew: AtomicI64,
    /// Milliseconds gained in a million.
    drift: AtomicI64,
    chance: AtomicU64,
}

impl Device {
    pub fn new(time: &Time, chance: u64) -> Arc<Self> {
        let chance = AtomicU64::new(chance & !0xffff_ffff);
        Arc::new(Self { time: time.clone(), skew: AtomicI64::new(0), drift: AtomicI64::new(0), chance })
    }

    pub fn set(&self, skew: i64) {
        self.skew.store(skew, Ordering::Relaxed);
    }

    pub fn run_wrong(&self, millionths: i64) {
        self.drift.store(millionths, Ordering::Relaxed);
    }
}

impl World for Device {
    fn now(&self) -> i64 {
        self.ticks() + self.skew.load(Ordering::Relaxed)
    }

    fn ticks(&self) -> i64 {
        let now = self.time.now();
        now + (now - START) * self.drift.load(Ordering::Relaxed) / 1_000_000
    }

    fn random(&self) -> u128 {
        let seed = self.chance.fetch_add(1, Ordering::Relaxed);
        Dice(seed.wrapping_mul(0x2545_F491_4F6C_DD1D)).wide()
    }
}
