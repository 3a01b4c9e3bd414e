//! Notices that an edge's data was copied or put back to an earlier state.
//!
//! At each hello the edge presents the value that it was given at the one before, and is given a new one. Whoever presents
//! an older one is a copy, or was put back: two devices cannot both hold the newest. The hub's side, without I/O; where
//! the value is kept is its own affair, as is what an edge does that is told so.

use serde::{Deserialize, Serialize};

use super::ids::Epoch;

/// What the hub knows of one incarnation of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratchet {
    /// Given last; nobody has shown yet that it arrived.
    given: u64,
    /// What was presented when it was given, so that it surely arrived once; nothing at the first hello.
    before: Option<u64>,
    /// The hello it was given to. An echo of that one gets the same answer.
    attempt: u64,
    /// The epoch of the hub in which it was given.
    epoch: Epoch,
}

impl Ratchet {
    /// The ratchet after a hello, whose value is the one to answer with. `fresh` is random. `None`: an older value was
    /// presented, and the node has to take a new incarnation.
    ///
    /// What was given and what was presented then are both accepted: an answer may be lost. Neither is answered with what
    /// was given already, for of two devices that present the same only one may hold the newest.
    #[must_use]
    pub fn turn(known: Option<&Self>, presented: Option<u64>, attempt: u64, epoch: Epoch, fresh: u64) -> Option<Self> {
        let next = Self { given: fresh, before: presented, attempt, epoch };
        match known {
            // a hub that was restored has forgotten what it gave, so its ratchets begin anew
            None => Some(next),
            Some(known) if known.epoch != epoch => Some(next),
            Some(known) if known.attempt == attempt && known.before == presented => Some(known.clone()),
            Some(known) if presented == Some(known.given) || presented == known.before => Some(next),
            Some(_) => None,
        }
    }

    pub fn given(&self) -> u64 {
        self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch(1);

    /// A hub with one life of a node, and how many hellos it heard.
    #[derive(Default)]
    struct Hub(Option<Ratchet>, u64);

    impl Hub {
        fn hello(&mut self, presented: Option<u64>) -> Option<u64> {
            self.1 += 1;
            self.heard(presented, self.1)
        }

        fn heard(&mut self, presented: Option<u64>, attempt: u64) -> Option<u64> {
            self.1 += 100;
            let next = Ratchet::turn(self.0.as_ref(), presented, attempt, EPOCH, self.1)?;
            let given = next.given();
            self.0 = Some(next);
            Some(given)
        }
    }

    #[test]
    fn an_edge_goes_from_value_to_value() {
        let mut hub = Hub::default();
        let mut value = None;
        for _ in 0..5 {
            let given = hub.hello(value);
            assert!(given.is_some() && given != value);
            value = given;
        }
    }

    #[test]
    fn a_lost_answer_is_no_clone_whichever_it_was() {
        let mut hub = Hub::default();
        for lost in 1..4 {
            for _ in 0..lost {
                assert!(hub.hello(None).is_some(), "the first answers");
            }
        }
        let value = hub.hello(None);
        let lost = hub.hello(value);
        let again = hub.hello(value);
        assert!(again.is_some() && again != lost, "never the same answer twice");
        assert!(hub.hello(again).is_some());
        assert_eq!(hub.hello(lost), None, "whoever got the one that was replaced is another");
    }

    #[test]
    fn an_echo_is_no_clone() {
        let mut hub = Hub::default();
        let first = hub.heard(None, 7);
        assert_eq!(hub.heard(None, 7), first);
        let second = hub.heard(first, 8);
        assert_eq!(hub.heard(first, 8), second);
        assert!(hub.heard(second, 9).is_some());
        assert_eq!(hub.heard(first, 8), None, "nobody waits for this answer any more");
    }

    #[test]
    fn an_older_value_or_none_is_a_copy_or_was_put_back() {
        let mut hub = Hub::default();
        let first = hub.hello(None);
        let second = hub.hello(first);
        let third = hub.hello(second);
        assert_eq!(hub.hello(first), None);
        assert_eq!(hub.hello(None), None);
        assert_eq!(hub.hello(Some(4711)), None);
        assert!(hub.hello(third).is_some(), "and the other is not stopped");
    }

    #[test]
    fn of_twins_one_goes_on_and_one_is_told_whoever_speaks_first() {
        for before_the_first_hello in [true, false] {
            let mut hub = Hub::default();
            let value = if before_the_first_hello { None } else { hub.hello(None) };
            let (one, other) = (hub.hello(value), hub.hello(value));
            assert!(one.is_some() && other.is_some() && one != other);
            assert_eq!(hub.hello(one), None);
            assert!(hub.hello(other).is_some());
        }
    }

    #[test]
    fn a_restored_hub_takes_what_it_does_not_know_any_more() {
        let known = Ratchet::turn(None, None, 1, EPOCH, 5);
        let restored = Ratchet::turn(known.as_ref(), Some(99), 2, Epoch(2), 6).expect("it begins anew");
        assert_eq!(Ratchet::turn(Some(&restored), Some(98), 3, Epoch(2), 7), None, "but only once");
        assert!(Ratchet::turn(Some(&restored), Some(99), 3, Epoch(2), 7).is_some(), "an answer may be lost");
    }
}
