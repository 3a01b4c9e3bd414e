//! Asks the hub how far records have come, while somebody looks at them, and remembers what it said.
//!
//! Whoever wants to know waits for a moment at most, and never for a hub that is out of reach. One question is under way
//! at a time; what is asked meanwhile goes with the next one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::clock::Offset;
use super::transport::Transport;
use crate::domain::feed::Digest;
use crate::domain::ids::{RecordId, TypeName};
use crate::domain::protocol::Failure;
use crate::domain::reach::{MAX_ASKED, Sought, Standing, Whereabouts};
use crate::domain::session::LinkState;
use crate::node::{Reached, World};

/// For so many milliseconds what the hub said is not asked again.
const FRESH: i64 = 1_000;
/// As many records as are remembered.
const MAX_KNOWN: usize = 4_096;
/// As many as wait to be asked about; what comes beyond is asked about when it is looked at again.
const MAX_WANTED: usize = 4 * MAX_ASKED;
/// After a failure nothing is asked for so long, and so long after a hub said that it tells nothing of the kind.
const REST: i64 = 2_000;
const REST_LONG: i64 = 600_000;
/// So long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

const POISON: &str = "no holder of this lock panics";

type Key = (TypeName, RecordId);

pub struct Asker {
    transport: Arc<dyn Transport>,
    world: Arc<dyn World>,
    offset: Arc<Offset>,
    /// Whether the hub answers, as the link last found.
    in_contact: AtomicBool,
    /// Whether the hub said that it can be asked.
    can_be_asked: AtomicBool,
    /// Whether who is asked is the hub of all, and no edge that serves others.
    at_the_top: AtomicBool,
    state: Mutex<State>,
    /// Changes with each answer.
    answered: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    known: HashMap<Key, Known>,
    wanted: Vec<Sought>,
    is_asking: bool,
    /// Of the clock that never goes back.
    rests_until: Option<i64>,
}

struct Known {
    /// Of what it was told.
    hash: Digest,
    standing: Standing,
    as_of: i64,
    /// By the clock that never goes back.
    told: i64,
}

impl Asker {
    pub fn new(transport: Arc<dyn Transport>, world: Arc<dyn World>, offset: Arc<Offset>) -> Arc<Self> {
        Arc::new(Self {
            transport,
            world,
            offset,
            in_contact: AtomicBool::new(false),
            can_be_asked: AtomicBool::new(false),
            at_the_top: AtomicBool::new(true),
            state: Mutex::default(),
            answered: watch::Sender::new(()),
        })
    }

    /// How the link is, and whether its hub has one of its own.
    pub fn stands(&self, state: LinkState, is_between: bool) {
        self.in_contact.store(matches!(state, LinkState::InStep | LinkState::Behind), Ordering::Relaxed);
        self.at_the_top.store(!is_between, Ordering::Relaxed);
    }

    /// What the hub said in its welcome: one of an earlier version cannot be asked.
    pub fn welcomed(&self, locates: bool) {
        self.can_be_asked.store(locates, Ordering::Relaxed);
    }

    pub fn asks_the_hub(&self) -> bool {
        self.at_the_top.load(Ordering::Relaxed)
    }

    /// As [`Link::reach`](crate::node::Link::reach).
    pub async fn reach(self: &Arc<Self>, of: &[Sought], patience: Duration) -> Vec<Option<Reached>> {
        let mut answered = self.answered.subscribe();
        if self.want(of) && !patience.is_zero() {
            let told = async {
                while answered.changed().await.is_ok() {
                    if !self.is_missing(of) {
                        break;
                    }
                }
            };
            // what is known by then is what is shown
            let _ = tokio::time::timeout(patience, told).await;
        }
        let state = self.state.lock().expect(POISON);
        let known = |sought: &Sought| {
            let known = state.known.get(&(sought.type_name.clone(), sought.id))?;
            let Known { standing: Standing { at_hub, sites }, as_of, .. } = *known;
            (known.hash == sought.hash).then_some(Reached { at_hub, sites, as_of })
        };
        of.iter().map(known).collect()
    }

    /// Whether an answer that is not old is missing, and a question is under way.
    fn is_missing(&self, of: &[Sought]) -> bool {
        let now = self.world.ticks();
        let state = self.state.lock().expect(POISON);
        state.is_asking && of.iter().any(|sought| !state.is_fresh(sought, now))
    }

    /// Sees to it that the hub is asked. Whether there is something to wait for.
    fn want(self: &Arc<Self>, of: &[Sought]) -> bool {
        if !(self.in_contact.load(Ordering::Relaxed) && self.can_be_asked.load(Ordering::Relaxed)) {
            return false;
        }
        let now = self.world.ticks();
        let mut state = self.state.lock().expect(POISON);
        if state.rests_until.is_some_and(|until| now < until) {
            return false;
        }
        let stale: Vec<Sought> = of.iter().filter(|sought| !state.is_fresh(sought, now)).cloned().collect();
        if stale.is_empty() {
            return false;
        }
        for sought in stale {
            if state.wanted.len() < MAX_WANTED && !state.wanted.contains(&sought) {
                state.wanted.push(sought);
            }
        }
        if !std::mem::replace(&mut state.is_asking, true) {
            let this = self.clone();
            tokio::spawn(async move { this.ask().await });
        }
        true
    }

    async fn ask(&self) {
        loop {
            let records: Vec<Sought> = {
                let mut state = self.state.lock().expect(POISON);
                let n = state.wanted.len().min(MAX_ASKED);
                if n == 0 {
                    state.is_asking = false;
                    break;
                }
                state.wanted.drain(..n).collect()
            };
            let asked = Whereabouts { records };
            let answer = tokio::time::timeout(PATIENCE, self.transport.whereabouts(&asked)).await;
            let answer = answer.unwrap_or_else(|_| Err(Failure::Unreachable("the hub does not answer".into())));
            let (now, ticks) = (self.world.now().saturating_add(self.offset.millis()), self.world.ticks());
            let mut state = self.state.lock().expect(POISON);
            match answer {
                Ok(located) if located.records.len() == asked.records.len() => {
                    for (sought, standing) in asked.records.into_iter().zip(located.records) {
                        state.learn(sought, standing, now, ticks);
                    }
                }
                answer => {
                    // a hub of an older version says that there is no such address, and so does whatever is before it
                    let is_deaf = matches!(answer, Err(Failure::Rejected(_) | Failure::Faulty(_)));
                    state.rests_until = Some(ticks.saturating_add(if is_deaf { REST_LONG } else { REST }));
                    state.wanted.clear();
                    state.is_asking = false;
                    tracing::debug!("how far records have come is not known: {answer:?}");
                    break;
                }
            }
            drop(state);
            self.answered.send_replace(());
        }
        self.answered.send_replace(());
    }
}

impl State {
    fn is_fresh(&self, sought: &Sought, now: i64) -> bool {
        let known = self.known.get(&(sought.type_name.clone(), sought.id));
        known.is_some_and(|known| known.hash == sought.hash && now.saturating_sub(known.told) < FRESH)
    }

    fn learn(&mut self, sought: Sought, standing: Option<Standing>, now: i64, told: i64) {
        let key = (sought.type_name, sought.id);
        let Some(standing) = standing else {
            self.known.remove(&key);
            return;
        };
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        let age = standing.sites.map_or(0, |sites| i64::try_from(sites.age).unwrap_or(i64::MAX));
        let as_of = now.saturating_sub(age);
        self.known.insert(key, Known { hash: sought.hash, standing, as_of, told });
    }
}
