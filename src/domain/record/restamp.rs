//! Bringing a record's own writes to corrected time: other stamps, the same record.

use std::collections::BTreeMap;

use super::{Cover, Place, State, Written};
use crate::domain::stamp::Stamp;

/// Which write has which stamp from now on.
pub type Restamped = BTreeMap<Stamp, Stamp>;

impl State {
    /// Gives writes other stamps, wherever the record names them. Each must stay above all that it was put above; then
    /// the record shows what it showed, and is what it would be had the writes been made with these stamps at once.
    ///
    /// `under` are publications that those writes took the place of: one of them may be the later now.
    pub fn restamp(&mut self, restamped: &Restamped, under: impl IntoIterator<Item = Written>) {
        self.root.restamp(restamped);
        if let Some(bin) = &mut self.bin {
            bin.stamp.follow(restamped);
            bin.cover.restamp(restamped);
        }
        if let Some(written) = &mut self.written {
            written.stamp.follow(restamped);
        }
        under.into_iter().for_each(|written| self.note_revision(written));
        self.settle();
    }
}

impl Stamp {
    fn follow(&mut self, restamped: &Restamped) {
        if let Some(new) = restamped.get(self) {
            self.time = new.time;
        }
    }
}

impl Cover {
    /// What was seen, under the stamps that it has now.
    pub fn restamp(&mut self, restamped: &Restamped) {
        self.all.follow(restamped);
        self.inside.values_mut().for_each(|stamp| stamp.follow(restamped));
        let all = self.all;
        self.inside.retain(|_, stamp| *stamp > all);
    }
}

impl Place {
    fn restamp(&mut self, restamped: &Restamped) {
        if let Some(write) = &mut self.write {
            write.stamp.follow(restamped);
        }
        if let Some(order) = &mut self.order {
            order.stamp.follow(restamped);
        }
        if let Some(removal) = &mut self.removal {
            removal.stamp.follow(restamped);
            removal.cover.restamp(restamped);
        }
        self.inside.values_mut().for_each(|place| place.restamp(restamped));
    }
}
