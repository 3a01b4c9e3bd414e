//! What a running node counts of itself, for those who operate it: counters and histograms that cost an atomic addition.
//!
//! Figures only; how they are written down is the business of `web::api`. What can be read when somebody asks (how many
//! records, how far an edge is) is not counted here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many there are now of something that is held.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn up(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn down(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

const BUCKETS: usize = 9;

/// How often a value was at most each of these bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: [u64; BUCKETS],
    /// How many of the values' units make one of the unit that is shown.
    unit: u64,
    /// The last one is for what is beyond all bounds.
    counts: [AtomicU64; BUCKETS + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Of durations, from a millisecond to half a minute.
    pub fn seconds() -> Self {
        Self::new([1_000, 5_000, 20_000, 100_000, 500_000, 1_000_000, 2_500_000, 10_000_000, 30_000_000], 1_000_000)
    }

    /// Of numbers of things that are done together.
    pub fn sizes() -> Self {
        Self::new([1, 2, 5, 10, 20, 50, 100, 200, 500], 1)
    }

    fn new(bounds: [u64; BUCKETS], unit: u64) -> Self {
        Self { bounds, unit, counts: Default::default(), sum: AtomicU64::new(0) }
    }

    pub fn took(&self, time: Duration) {
        self.saw(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn saw(&self, value: u64) {
        let at = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(BUCKETS);
        self.counts[at].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// For each bound, how many values were at most as large; the last is without bound and counts all of them.
    pub fn buckets(&self) -> Vec<(Option<f64>, u64)> {
        let bounds = self.bounds.iter().map(|bound| Some(*bound as f64 / self.unit as f64)).chain([None]);
        let mut so_far = 0;
        bounds
            .zip(&self.counts)
            .map(|(bound, count)| {
                so_far += count.load(Relaxed);
                (bound, so_far)
            })
            .collect()
    }

    pub fn sum(&self) -> f64 {
        self.sum.load(Relaxed) as f64 / self.unit as f64
    }
}

/// What a step of a conversation is called.
pub const STEPS: [&str; 10] =
    ["enrol", "hello", "push", "pull", "snapshot", "chunks", "reconcile", "compare", "forget", "blobs"];
/// How one ended.
pub const OUTCOMES: [&str; 6] = ["ok", "refused", "rejected", "busy", "unreachable", "failed"];

/// One side of a node's conversations: a hub's with all its edges, or an edge's with its hub.
#[derive(Debug)]
pub struct Talk {
    ended: [[Counter; OUTCOMES.len()]; STEPS.len()],
    took: [Histogram; STEPS.len()],
    pub bytes_received: Counter,
    pub bytes_sent: Counter,
    /// Records, or parts of them, that were pulled.
    pub rows: Counter,
    pub saves_accepted: Counter,
    pub saves_quarantined: Counter,
    pub saves_refused: Counter,
    /// Streams and polls that are open.
    pub listening: Gauge,
    /// Partitions that differed and were pulled from the beginning.
    pub healed: Counter,
}

impl Default for Talk {
    fn default() -> Self {
        Self {
            ended: Default::default(),
            took: std::array::from_fn(|_| Histogram::seconds()),
            bytes_received: Counter::default(),
            bytes_sent: Counter::default(),
            rows: Counter::default(),
            saves_accepted: Counter::default(),
            saves_quarantined: Counter::default(),
            saves_refused: Counter::default(),
            listening: Gauge::default(),
            healed: Counter::default(),
        }
    }
}

impl Talk {
    /// Counts a step that ended. What is no step, or no outcome, is not counted.
    pub fn ended(&self, step: &str, outcome: &str, time: Duration) {
        let step = STEPS.iter().position(|known| *known == step);
        let outcome = OUTCOMES.iter().position(|known| *known == outcome);
        if let (Some(step), Some(outcome)) = (step, outcome) {
            self.ended[step][outcome].add(1);
            self.took[step].took(time);
        }
    }

    /// How often each step ended in each way; zeros too.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        STEPS.into_iter().zip(&self.ended).flat_map(|(step, row)| {
            OUTCOMES.into_iter().zip(row).map(move |(outcome, count)| (step, outcome, count.get()))
        })
    }

    pub fn durations(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        STEPS.into_iter().zip(&self.took)
    }
}

/// The one who writes to a database.
#[derive(Debug)]
pub struct Writes {
    /// How many requests one transaction carried.
    pub together: Histogram,
    /// How long it took, with the flush to disk.
    pub took: Histogram,
    /// Transactions that were given up.
    pub failed: Counter,
}

impl Default for Writes {
    fn default() -> Self {
        Self { together: Histogram::sizes(), took: Histogram::seconds(), failed: Counter::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_all_that_is_at_most_as_large() {
        let histogram = Histogram::sizes();
        [1, 2, 3, 500, 501].into_iter().for_each(|value| histogram.saw(value));
        let buckets = histogram.buckets();
        let at = |bound: Option<f64>| buckets.iter().find(|(known, _)| *known == bound).map(|(_, count)| *count);
        assert_eq!([at(Some(1.0)), at(Some(2.0)), at(Some(5.0))], [Some(1), Some(2), Some(3)]);
        assert_eq!([at(Some(500.0)), at(None)], [Some(4), Some(5)]);
        assert_eq!(histogram.sum(), 1007.0);
        let seconds = Histogram::seconds();
        seconds.took(Duration::from_millis(5));
        assert_eq!(seconds.buckets()[1], (Some(0.005), 1));
        assert_eq!(seconds.sum(), 0.005);
    }

    #[test]
    fn a_step_is_counted_under_its_name_and_how_it_ended() {
        let talk = Talk::default();
        talk.ended("push", "busy", Duration::from_secs(1));
        talk.ended("live", "ok", Duration::from_secs(1));
        let counted: Vec<_> = talk.steps().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(counted, [("push", "busy", 1)]);
        assert_eq!(talk.steps().count(), STEPS.len() * OUTCOMES.len());
    }
}
