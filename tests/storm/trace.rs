//! What happened, as one hash, and how much of it.

use std::collections::BTreeMap;

use crate::faults::Fault;
use crate::fuse::{Passed, Point};

/// Two runs of one seed have the same.
pub struct Trace {
    hasher: blake3::Hasher,
    log: bool,
}

impl Trace {
    pub fn new(log: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), log }
    }

    pub fn note(&mut self, at: i64, what: &str) {
        self.add(what.as_bytes());
        self.add(&at.to_le_bytes());
        if self.log {
            println!("{at:>8} {what}");
        }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Whether somebody reads what is noted.
    pub fn is_shown(&self) -> bool {
        self.log
    }

    pub fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..16].to_owned()
    }
}

/// How much was tried.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub seeds: u64,
    pub on_sqlite: u64,
    pub nodes: u64,
    pub saves: u64,
    pub records: u64,
    /// Simulated time, in milliseconds.
    pub time: i64,
    /// The longest time to come to rest after the last fault.
    pub rest: i64,
    pub faults: BTreeMap<&'static str, u64>,
    /// How often an edge and its hub compared records.
    pub reconciled: u64,
    pub points: BTreeMap<Point, Passed>,
    /// Bytes of stamps on disk, stamps, and bytes of documents.
    pub stamps: [u64; 3],
}

impl Report {
    pub fn count(&mut self, fault: Fault) {
        *self.faults.entry(fault.name()).or_default() += 1;
    }

    /// Whether everything that can go wrong did.
    pub fn is_complete(&self) -> bool {
        let unseen: Vec<&str> = self.unseen();
        if !unseen.is_empty() {
            eprintln!("faults that never happened: {}", unseen.join(", "));
        }
        unseen.is_empty()
    }

    fn unseen(&self) -> Vec<&'static str> {
        let names = Fault::ALL.iter().map(|fault| fault.name());
        names.filter(|fault| !self.faults.contains_key(fault)).collect()
    }

    pub fn add(&mut self, other: Report) {
        self.seeds += other.seeds;
        self.on_sqlite += other.on_sqlite;
        self.nodes += other.nodes;
        self.saves += other.saves;
        self.records += other.records;
        self.time += other.time;
        self.rest = self.rest.max(other.rest);
        self.reconciled += other.reconciled;
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        for (point, passed) in other.points {
            let sum = self.points.entry(point).or_default();
            sum.calls += passed.calls;
            sum.kills.iter_mut().zip(passed.kills).for_each(|(sum, kills)| *sum += kills);
        }
        self.stamps.iter_mut().zip(other.stamps).for_each(|(sum, bytes)| *sum += bytes);
    }

    pub fn print(&self, all: bool) {
        let days = self.time as f64 / 86_400_000.0;
        println!(
            "{} seeds ({} on SQLite), {} nodes, {} saves, {} records, {days:.1} simulated days; at rest after {} s at most",
            self.seeds,
            self.on_sqlite,
            self.nodes,
            self.saves,
            self.records,
            self.rest / 1000
        );
        let [bytes, stamps, documents] = self.stamps;
        println!("stamps take {:.1} bytes each; documents {documents} bytes", bytes as f64 / stamps.max(1) as f64);
        let faults = self.faults.iter().map(|(fault, count)| format!("{fault} {count}"));
        println!("faults: {}", faults.collect::<Vec<_>>().join(", "));
        println!("{} steps of bringing together again", self.reconciled);
        let unseen = self.unseen();
        if !unseen.is_empty() {
            println!("faults that never happened: {}", unseen.join(", "));
        }
        // where nothing dies: while the storm looks at a node, or starts it
        let points = self.points.iter().filter(|((_, doing, _), _)| !["", "look", "start"].contains(doing));
        let points: Vec<_> = points.collect();
        let killed = |moment: usize| points.iter().filter(|(_, passed)| passed.kills[moment] > 0).count();
        println!(
            "{} points to die at; died before {} of them, after {}, within {}",
            points.len(),
            killed(0),
            killed(1),
            killed(2)
        );
        if all {
            for ((who, doing, call), Passed { calls, kills }) in points {
                println!("  {who:<5} {doing:<13} {call:<13} {calls:>9} calls, last {kills:?}");
            }
        }
    }
}
