//! The hybrid logical clock.
//!
//! Kulkarni et al., "Logical Physical Clocks" (2014), in one integer: 48 bits of milliseconds since 1970, 16 bits of
//! counter. The reading of the real clock is handed in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment in the order of writes. Sorts as an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hlc(pub i64);

/// How far a change from elsewhere may pull this node's clock ahead of its own reading, in milliseconds. Beyond it a
/// stamp from a wrong clock stays with the leaves it touched.
pub const MAX_LEAD: i64 = 5_000;

impl Hlc {
    pub const ZERO: Hlc = Hlc(0);

    /// The first moment of a millisecond.
    pub fn at(millis: i64) -> Self {
        Self(millis.clamp(0, (1 << 47) - 1) << 16)
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> i64 {
        self.0 >> 16
    }

    /// The very next moment.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.0 & 0xffff)
    }
}

/// A look at the clock, for a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Milliseconds since 1970, corrected by what is known of the hub's clock.
    pub now: i64,
    /// The correction in it, where that could not be checked lately: it may be brought to corrected time later.
    pub unchecked: Option<i64>,
}

/// What a node keeps of its clock; saved in the transaction that used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Clock {
    /// The latest moment this clock gave out or accepted.
    pub last: Hlc,
}

impl Clock {
    /// The moment for one record of a save: after everything this clock gave out, and after `above`, the stamps the
    /// save replaces. Only the first of the two moves the clock.
    pub fn stamp(&mut self, now_millis: i64, above: Hlc) -> Hlc {
        self.last = Hlc::at(now_millis).max(self.last.next());
        if above >= self.last { above.next() } else { self.last }
    }

    /// Comes back from a time that was none. `last` is the latest moment that it gave out and that still counts.
    pub fn correct(&mut self, now_millis: i64, last: Hlc) {
        if self.last > Hlc::at(now_millis.saturating_add(MAX_LEAD)) {
            self.last = Hlc::at(now_millis);
        }
        self.last = self.last.max(last);
    }

    /// Takes notice of a stamp from elsewhere, but never beyond [`MAX_LEAD`] ahead of now.
    pub fn observe(&mut self, now_millis: i64, seen: Hlc) {
        self.last = self.last.max(seen.min(Hlc::at(now_millis + MAX_LEAD)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_from_a_wrong_clock_does_not_move_ours() {
        let mut clock = Clock::default();
        let year = Hlc::at(1_000_000 + 31_536_000_000);
        let stamped = clock.stamp(1_000_000, year);
        assert!(stamped > year);
        assert!(clock.stamp(1_000_000, Hlc::ZERO) < Hlc::at(1_000_001));
        clock.observe(1_000_000, year);
        assert!(clock.last <= Hlc::at(1_000_000 + MAX_LEAD));
    }

    #[test]
    fn time_that_stands_still_or_goes_back_still_gives_later_stamps() {
        let mut clock = Clock::default();
        let mut last = Hlc::ZERO;
        for now in [5, 5, 5, 4, 3, 100, 2] {
            let stamp = clock.stamp(now, Hlc::ZERO);
            assert!(stamp > last);
            last = stamp;
        }
    }
}
