//! The clock and the dice of a node under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use outpost::node::World;

/// A clock that stands still until it is moved, and dice that fall alike in every run.
#[derive(Debug)]
pub struct Hands {
    now: AtomicI64,
    thrown: AtomicU64,
    seed: u64,
}

impl Hands {
    pub fn at(now: i64, seed: u64) -> Arc<Self> {
        Arc::new(Self { now: AtomicI64::new(now), thrown: AtomicU64::new(0), seed })
    }

    pub fn advance(&self, millis: i64) {
        self.now.fetch_add(millis, Relaxed);
    }
}

impl World for Hands {
    fn now(&self) -> i64 {
        self.now.load(Relaxed)
    }

    fn ticks(&self) -> i64 {
        self.now()
    }

    fn random(&self) -> u128 {
        let thrown = self.thrown.fetch_add(1, Relaxed);
        let hash = blake3::hash(&[self.seed.to_le_bytes(), thrown.to_le_bytes()].concat());
        u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("sixteen bytes"))
    }
}
