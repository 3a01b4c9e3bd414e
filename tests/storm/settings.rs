//! What kind of storm a seed is.

use std::collections::BTreeSet;

use crate::dice::Dice;
use crate::faults::Fault;
use crate::planted::Bug;

#[derive(Debug, Clone)]
pub struct Settings {
    pub edges: usize,
    /// Real databases in a temporary directory, instead of the model.
    pub sqlite: bool,
    /// Types are real publications, and change.
    pub typed: bool,
    /// A type may come to allow less than it did.
    pub narrows: bool,
    /// How many edges in a row may be hubs, besides the hub of all.
    pub hops: u64,
    /// It lasts for days or weeks.
    pub long: bool,
    /// How many things happen before it calms down.
    pub actions: u64,
    /// How often a process dies, of a hundred steps.
    pub deadly: u64,
    /// A random part of all, so that each is also seen without the others.
    pub faults: BTreeSet<Fault>,
    pub bug: Option<Bug>,
}

impl Settings {
    pub fn of(dice: &mut Dice, bug: Option<Bug>) -> Self {
        let sqlite = dice.chance(4);
        let edges = match dice.below(100) {
            0..25 => 1 + dice.below(2),
            25..90 => 3 + dice.below(2),
            90..99 => 5 + dice.below(6),
            _ => 11 + dice.below(40),
        };
        let edges = if sqlite { 1 + edges % 3 } else { edges };
        let actions = match (sqlite, dice.below(20)) {
            (true, _) => 60 + dice.below(90),
            (false, 0) => 500 + dice.below(500),
            (false, _) => 60 + dice.below(240),
        };
        let likely = [25, 50, 80][dice.below(3) as usize];
        let mut faults: BTreeSet<Fault> = Fault::ALL.iter().copied().filter(|_| dice.chance(likely)).collect();
        if bug == Some(Bug::HidesRestore) {
            // it takes a hub that is restored, which is not where saves are denied or edges are revoked or old
            faults.insert(Fault::RestoreHub);
            faults.retain(|fault| !matches!(fault, Fault::Deny | Fault::Revoke | Fault::OldEdge));
        }
        let hops = if faults.contains(&Fault::Hop) { 1 + dice.below(2) } else { 0 };
        let long = faults.contains(&Fault::Idle);
        // a store that loses what it answered is made for plain types
        let typed = dice.chance(25) && bug != Some(Bug::NotDurable) || bug == Some(Bug::CutsUnits);
        let narrows = dice.chance(40);
        let deadly = [2, 6, 20][dice.below(3) as usize];
        Self {
            typed,
            narrows,
            hops,
            long,
            deadly,
            edges: edges as usize,
            sqlite,
            actions: actions + 10 * edges,
            faults,
            bug,
        }
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}
