//! What a failure concerns, how long that waits, and how it is hurried.

use super::{Doing, Session};
use crate::domain::protocol::Failure;

/// A node that was refused asks again, in case somebody thought better of it.
pub(super) const REFUSED: i64 = 300_000;
/// A save that the hub rejects as it stands is set aside after so many tries.
const TRIES: u32 = 4;

impl Session {
    /// All that waits for its time is tried at once.
    pub(super) fn hurry(&mut self, now: i64) {
        self.greeted = false;
        self.link.hurry();
        self.out.hurry();
        self.live_retry.hurry();
        if let Some((_, until)) = &mut self.refused {
            *until = now;
        }
        self.lanes.values_mut().for_each(|lane| lane.retry.hurry());
    }

    pub(super) fn failed(&mut self, doing: Doing, failure: Failure, now: i64, random: u64) {
        match (&failure, doing) {
            (Failure::Busy { .. }, Doing::List(partition)) => self.copy_failed(&partition, failure, now, random),
            (Failure::Refused(reason), _) => {
                self.refused = Some((reason.clone(), now + REFUSED));
                self.hands_over = false;
                self.last_contact = Some(now);
            }
            (Failure::Revoked(reason), doing) => {
                self.refused = Some((reason.clone(), now + REFUSED));
                // a push that is answered so is answered by a hub that takes nothing
                self.hands_over = !matches!(doing, Doing::Push(_));
                self.last_contact = Some(now);
            }
            // what can never be taken is put out of the way as ever; anything else is tried again when the hub is
            (_, Doing::Push(_)) if self.refused.is_some() && !matches!(failure, Failure::Rejected(_)) => {
                self.hands_over = false;
                self.out.fail(now, random, None);
            }
            (Failure::Twin(_), _) => {
                self.greeted = false;
                self.renew = true;
                self.renewals = self.renewals.saturating_add(1);
                if self.renewals > 1 {
                    // a new one is no older one: the hub errs, and is not to be asked for ever
                    self.lost(failure, None, now, random);
                }
            }
            (Failure::Busy { retry_after, .. }, _) => {
                let asked = *retry_after;
                self.lost(failure, asked, now, random);
            }
            (Failure::Unreachable(_), _) | (_, Doing::Hello | Doing::Renew | Doing::Compare) => {
                self.lost(failure, None, now, random)
            }
            (_, Doing::Push(single)) => {
                self.out.fail(now, random, None);
                if matches!(failure, Failure::Rejected(_)) {
                    // find the one that it is about, so that the others go on
                    self.push_bytes = 1;
                    if let Some(save) = single
                        && self.out.failures() >= TRIES
                    {
                        self.set_aside = Some((save, failure.to_string()));
                        self.out.hurry();
                    }
                }
                self.out_trouble = Some(failure.to_string());
            }
            (_, Doing::SetAside) => self.out.fail(now, random, None),
            // found again with the next hello
            (_, Doing::Forget) => self.forget.clear(),
            (_, Doing::List(partition) | Doing::Copy(partition)) => self.copy_failed(&partition, failure, now, random),
            (_, Doing::Pull(partition) | Doing::Reconcile(partition)) => {
                if matches!(failure, Failure::ForeignEpoch | Failure::OutOfScope(_)) {
                    self.greeted = false;
                }
                if let Some(lane) = self.lanes.get_mut(&partition) {
                    lane.retry.fail(now, random, None);
                    lane.trouble = Some(failure.to_string());
                }
            }
        }
    }

    /// Nothing can be done until the hub answers: everything begins again with a hello.
    fn lost(&mut self, failure: Failure, retry_after: Option<i64>, now: i64, random: u64) {
        self.link.fail(now, random, retry_after);
        self.trouble = Some(failure);
        self.greeted = false;
        self.live = false;
    }
}
