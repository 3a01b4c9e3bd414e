//! Ends a process at any call it makes of its store or of the network.
//!
//! The product has no fault points of its own: every call through these two seams is one, named by who was doing what.
//! A process that is dead never gets an answer again; whoever waits for it drops what it was doing.

use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

/// When, of the call that is its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    Before,
    After,
    /// While it is written: how much of it is on disk is for the dice to say.
    Within,
}

/// Who called what while doing what.
pub type Point = (&'static str, &'static str, &'static str);

/// How often a call was made, and how often it was somebody's last, by moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passed {
    pub calls: u64,
    pub kills: [u64; 3],
}

pub type Points = Arc<Mutex<BTreeMap<Point, Passed>>>;

pub struct Fuse {
    who: &'static str,
    /// The log of the database, if there is one to tear.
    log: Option<PathBuf>,
    points: Points,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    doing: &'static str,
    /// The call that will be the last, counted from now.
    armed: Option<(u64, Moment)>,
    blown: Option<Point>,
    torn: Option<(u64, u64)>,
    full: bool,
}

impl Fuse {
    pub fn new(who: &'static str, log: Option<PathBuf>, points: &Points) -> Arc<Self> {
        Arc::new(Self { who, log, points: points.clone(), inner: Mutex::default() })
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("one thread")
    }

    /// What the calls from now on are for.
    pub fn begin(&self, doing: &'static str) {
        self.inner().doing = doing;
    }

    pub fn arm(&self, calls: u64, moment: Moment) {
        self.inner().armed = Some((calls, moment));
    }

    pub fn disarm(&self) {
        self.inner().armed = None;
    }

    pub fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    pub fn is_full(&self) -> bool {
        self.inner().full
    }

    /// The call that was the last.
    pub fn blown(&self) -> Option<Point> {
        self.inner().blown
    }

    /// Between which lengths of the log the last transaction was written, if it was torn.
    pub fn torn(&self) -> Option<(u64, u64)> {
        self.inner().torn
    }

    /// Length and identity of the log as it is now.
    fn log(&self) -> Option<(u64, Vec<u8>)> {
        let bytes = std::fs::read(self.log.as_ref()?).ok()?;
        let header = bytes.get(..32)?.to_vec();
        Some((bytes.len() as u64, header))
    }

    /// What becomes of the next call; none if nobody is there to make one.
    fn fate(&self, name: &'static str) -> Option<(Point, Option<Moment>)> {
        let mut inner = self.inner();
        if inner.blown.is_some() {
            return None;
        }
        let point = (self.who, inner.doing, name);
        let fate = match &mut inner.armed {
            Some((0, moment)) => Some(*moment),
            Some((calls, _)) => {
                *calls -= 1;
                None
            }
            None => None,
        };
        let mut points = self.points.lock().expect("one thread");
        let passed = points.entry(point).or_default();
        passed.calls += 1;
        fate.iter().for_each(|moment| passed.kills[*moment as usize] += 1);
        Some((point, fate))
    }

    /// One call through a seam.
    pub async fn call<T>(&self, name: &'static str, work: impl Future<Output = T>) -> T {
        let Some((point, fate)) = self.fate(name) else { return pending().await };
        let Some(moment) = fate else { return work.await };
        if moment != Moment::Before {
            let before = self.log();
            work.await;
            if let (Moment::Within, Some(before), Some(after)) = (moment, before, self.log())
                && before.1 == after.1
                && before.0 < after.0
            {
                self.inner().torn = Some((before.0, after.0));
            }
        }
        self.inner().blown = Some(point);
        pending().await
    }

    /// What a process does, unless it dies over it.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            _ if self.blown().is_some() => Poll::Ready(None),
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}
