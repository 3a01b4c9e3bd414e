//! The running link of an edge: lets the session decide, carries it out, and listens for what happens meanwhile.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use super::asker::Asker;
use super::carry::{Carrier, renewal};
use super::clock::Offset;
use super::hub::Hub;
use super::observe;
use super::peers::Peers;
use super::relay::Relay;
use super::transport::{LiveEvent, Switch, Transport};
use crate::domain::peer::Stands;
use crate::domain::protocol::Above;
use crate::domain::session::{Event, Session, Status, Step};
use crate::meter::Talk;
use crate::node::{self, Identity, LinkStatus, NodeRole, Reached, Sought, World};
use crate::store::{LocalChange, Notice, Request, Store, StoreError};

const KIND: &str = "link";
const PAUSED: &str = "paused";
/// Until a person has seen it.
const NOTICED: &str = "the data of this device was copied or put back, and nothing of it is lost";

pub struct LinkSettings {
    pub store: Arc<dyn Store>,
    /// Of an edge; [`NodeRole::Edge`] says where its hub is.
    pub identity: Identity,
    pub transport: Arc<dyn Transport>,
    /// This device's own clock, not corrected.
    pub world: Arc<dyn World>,
    pub offset: Arc<Offset>,
    /// The one that the transport obeys: restoring it wakes the link.
    pub switch: Switch,
    /// The hub's side of this edge, for edges of its own.
    pub below: Option<(Arc<Hub>, Arc<Relay>)>,
}

/// Runs until it is dropped or stopped.
pub struct Link {
    status: watch::Receiver<LinkStatus>,
    meter: Arc<Talk>,
    asker: Arc<Asker>,
    control: mpsc::UnboundedSender<Control>,
    task: Mutex<Option<JoinHandle<()>>>,
    peers: OnceLock<Arc<Peers>>,
}

enum Control {
    Pause,
    Resume,
    Now,
    PutAway,
    Stop,
    /// Carry nothing: says so, and waits until the other side is dropped.
    Rest {
        resting: oneshot::Sender<()>,
        done: oneshot::Receiver<()>,
    },
}

impl Link {
    /// Starts it in the background; paused, if it was when the node stopped.
    pub async fn start(settings: LinkSettings) -> Result<Arc<Self>, StoreError> {
        let LinkSettings { store, identity, transport, world, offset, switch, below } = settings;
        let paused = store.local(KIND, PAUSED).await? == Some(Value::Bool(true));
        let noticed = renewal::noticed(&*store).await?;
        let (url, hub_name) = match &identity.role {
            NodeRole::Edge(upstream) => (upstream.url.clone(), upstream.name.clone()),
            NodeRole::Hub => (String::new(), String::new()),
        };
        let (control, commands) = mpsc::unbounded_channel();
        let (heard, hints) = mpsc::channel(256);
        let started = Instant::now();
        let mut session = Session::new(0);
        if paused {
            session.handle(Event::Pause, 0, 0);
        }
        let stirred = match &below {
            Some((_, relay)) => relay.stirred(),
            None => watch::Sender::new(()).subscribe(),
        };
        let shown =
            Shown { url, hub_name, world: world.clone(), offset: offset.clone(), began: None, above: None, noticed };
        let meter = transport.meter();
        let asker = Asker::new(transport.clone(), world.clone(), offset.clone());
        below.iter().for_each(|(_, relay)| relay.asks_by(&asker));
        let mut runner = Runner {
            meter: meter.clone(),
            notices: store.notices(),
            carrier: Carrier { store, transport, identity, world, offset, below },
            session,
            started,
            commands,
            hints,
            heard,
            live: None,
            generation: 0,
            cuts: switch.watch(),
            stirred,
            shown,
            status: watch::Sender::new(blank()),
            healed: 0,
            told: node::LinkState::Behind,
            asker: asker.clone(),
        };
        let status = runner.status.subscribe();
        runner.publish();
        let task = tokio::spawn(async move { runner.run().await });
        Ok(Arc::new(Self { status, meter, asker, control, task: Mutex::new(Some(task)), peers: OnceLock::new() }))
    }

    /// The other edges of the site, for whoever asks how this one stands.
    pub fn beside(&self, peers: Arc<Peers>) {
        // the first stay
        let _ = self.peers.set(peers);
    }

    /// Does something to the store in the place of this link, which carries nothing meanwhile, and finds out anew afterwards
    /// how the two sides stand.
    pub async fn while_it_rests<T>(&self, work: impl Future<Output = T>) -> T {
        let (resting, rests) = oneshot::channel();
        let (over, done) = oneshot::channel();
        // a link that stopped rests, too
        let _ = self.control.send(Control::Rest { resting, done });
        let _ = rests.await;
        let result = work.await;
        drop::<oneshot::Sender<()>>(over);
        result
    }

    /// Ends it, and returns when nothing of it writes any more.
    pub async fn stop(&self) {
        let _ = self.control.send(Control::Stop);
        let task = self.task.lock().expect("no holder of this lock panics").take();
        if let Some(task) = task {
            // a task that panicked has stopped, too
            let _ = task.await;
        }
    }
}

#[async_trait]
impl node::Link for Link {
    fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<LinkStatus> {
        self.status.clone()
    }

    // a link that stopped has nothing to be told
    fn sync_now(&self) {
        let _ = self.control.send(Control::Now);
    }

    fn pause(&self) {
        let _ = self.control.send(Control::Pause);
    }

    fn resume(&self) {
        let _ = self.control.send(Control::Resume);
    }

    fn put_away(&self) {
        let _ = self.control.send(Control::PutAway);
    }

    fn meter(&self) -> Option<Arc<Talk>> {
        Some(self.meter.clone())
    }

    fn peers(&self) -> Option<Arc<dyn node::Peers>> {
        self.peers.get().map(|peers| peers.clone() as Arc<dyn node::Peers>)
    }

    async fn reach(&self, of: &[Sought], patience: Duration) -> Vec<Option<Reached>> {
        self.asker.reach(of, patience).await
    }
}

struct Runner {
    meter: Arc<Talk>,
    carrier: Carrier,
    session: Session,
    started: Instant,
    commands: mpsc::UnboundedReceiver<Control>,
    notices: broadcast::Receiver<Arc<Vec<Notice>>>,
    hints: mpsc::Receiver<(u64, Live)>,
    heard: mpsc::Sender<(u64, Live)>,
    live: Option<JoinHandle<()>>,
    /// Which listener's words count; those of one that was given up do not.
    generation: u64,
    cuts: watch::Receiver<bool>,
    /// Changes when the nodes below saved something, or stand otherwise than they did.
    stirred: watch::Receiver<()>,
    shown: Shown,
    status: watch::Sender<LinkStatus>,
    /// How many differences were told in the log.
    healed: u64,
    /// The state that was told in the log.
    told: node::LinkState,
    asker: Arc<Asker>,
}

enum Live {
    Event(LiveEvent),
    Ended,
}

/// Something to react to.
enum Woken {
    Command(Option<Control>),
    Saved,
    Below,
    Live(u64, Live),
    Switched,
    Time,
}

impl Runner {
    async fn run(&mut self) {
        self.count_waiting().await;
        loop {
            if self.take_news().await {
                break;
            }
            self.listen();
            self.publish();
            let step = self.session.next(self.now());
            if self.session.healed() > self.healed {
                self.meter.healed.add(usize::try_from(self.session.healed() - self.healed).unwrap_or(0));
                self.healed = self.session.healed();
                tracing::warn!("a partition differed from the hub's and is pulled from the beginning: {step:?}");
            }
            let goes_on = match step {
                Step::Wait { until } => {
                    let woken = self.wait(until).await;
                    self.react(woken).await
                }
                step => self.carry_out(step).await,
            };
            if !goes_on {
                break;
            }
        }
        if let Some(live) = self.live.take() {
            live.abort();
        }
    }

    /// Milliseconds since this link was started.
    fn now(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn handle(&mut self, event: Event) {
        let (now, random) = (self.now(), self.carrier.world.random() as u64);
        self.session.handle(event, now, random);
    }

    /// How many saves wait to be sent.
    async fn count_waiting(&mut self) {
        // a store that cannot be read now tells the next step the same
        if let Ok(waiting) = self.carrier.store.waiting().await {
            self.handle(Event::Waiting(waiting));
        }
    }

    /// Takes in all that happened while something was carried out. True: it is time to stop.
    async fn take_news(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => {
                    if !self.react(Woken::Command(Some(command))).await {
                        return true;
                    }
                }
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return true,
            }
        }
        let mut saved = self.stirred.has_changed().unwrap_or(false);
        if saved {
            self.stirred.mark_unchanged();
            self.handle(Event::Report);
        }
        loop {
            match self.notices.try_recv() {
                Ok(batch) => saved |= self.is_ours(&batch),
                Err(TryRecvError::Lagged(_)) => saved = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if saved {
            self.count_waiting().await;
        }
        while let Ok((generation, live)) = self.hints.try_recv() {
            self.hear(generation, live);
        }
        if self.cuts.has_changed().unwrap_or(false) {
            self.switched();
        }
        false
    }

    fn is_ours(&self, batch: &[Notice]) -> bool {
        batch.iter().any(|notice| notice.node == self.carrier.identity.node)
    }

    async fn wait(&mut self, until: Option<i64>) -> Woken {
        let until = until.map(|until| self.started + Duration::from_millis(until.max(0).unsigned_abs()));
        let time = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let node = self.carrier.identity.node;
        let saved = async {
            loop {
                match self.notices.recv().await {
                    Ok(batch) if !batch.iter().any(|notice| notice.node == node) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            command = self.commands.recv() => Woken::Command(command),
            () = saved => Woken::Saved,
            Some((generation, live)) = self.hints.recv() => Woken::Live(generation, live),
            Ok(()) = self.cuts.changed() => Woken::Switched,
            Ok(()) = self.stirred.changed() => Woken::Below,
            () = time => Woken::Time,
        }
    }

    /// False: it is time to stop.
    async fn react(&mut self, woken: Woken) -> bool {
        match woken {
            Woken::Command(None | Some(Control::Stop)) => return false,
            Woken::Command(Some(Control::Pause)) => {
                self.keep_paused(true).await;
                self.handle(Event::Pause);
            }
            Woken::Command(Some(Control::Resume)) => {
                self.keep_paused(false).await;
                self.handle(Event::Resume);
            }
            Woken::Command(Some(Control::Now)) => self.handle(Event::Now),
            Woken::Command(Some(Control::PutAway)) => match renewal::put_away(&*self.carrier.store).await {
                Ok(()) => self.shown.noticed = None,
                Err(err) => tracing::warn!("what a person has seen goes on being told: {err}"),
            },
            Woken::Command(Some(Control::Rest { resting, done })) => {
                // what was given to the writer and not waited for is in when this is
                let _ = self.carrier.store.write(Request::Local(Vec::new())).await;
                let _ = resting.send(());
                // it ends by being dropped
                let _ = done.await;
                self.begin_anew().await;
            }
            Woken::Saved => self.count_waiting().await,
            Woken::Below => {
                self.count_waiting().await;
                self.handle(Event::Report);
            }
            Woken::Live(generation, live) => self.hear(generation, live),
            Woken::Switched => self.switched(),
            Woken::Time => {}
        }
        true
    }

    /// As after a start.
    async fn begin_anew(&mut self) {
        let is_paused = self.session.status().state == node::LinkState::Paused;
        if let Some(live) = self.live.take() {
            live.abort();
        }
        self.generation += 1;
        self.session = Session::new(self.now());
        self.healed = 0;
        if is_paused {
            self.handle(Event::Pause);
        }
        self.count_waiting().await;
    }

    fn switched(&mut self) {
        if *self.cuts.borrow_and_update() {
            self.handle(Event::Now);
        }
    }

    fn hear(&mut self, generation: u64, live: Live) {
        if generation != self.generation {
            return;
        }
        match live {
            Live::Event(LiveEvent::Up) => self.handle(Event::LiveUp),
            Live::Event(LiveEvent::Hint(hint)) => self.handle(Event::Heard(hint)),
            Live::Ended => {
                self.live = None;
                self.handle(Event::LiveDown);
            }
        }
    }

    async fn keep_paused(&self, paused: bool) {
        let change = LocalChange { kind: KIND, key: PAUSED.into(), value: Some(paused.into()), expect: None };
        if let Err(err) = self.carrier.store.write(Request::Local(vec![change])).await {
            tracing::warn!("that the link is paused is not kept over a restart: {err}");
        }
    }

    /// Carries out one step, unless somebody pauses or stops the link meanwhile. False: it is time to stop.
    async fn carry_out(&mut self, step: Step) -> bool {
        let in_step = self.session.is_in_step();
        let mut hurry = false;
        let interrupted = {
            let (step_name, partition) = observe::step(&step);
            let hub = self.shown.hub_name.as_str();
            let span = tracing::debug_span!("step", step = step_name, hub, partition);
            let carried = async {
                let began = std::time::Instant::now();
                let event = self.carrier.carry_out(step, in_step).await;
                event.iter().for_each(|event| observe::carried_out(&self.meter, step_name, began, event));
                event
            };
            let carried = carried.instrument(span);
            tokio::pin!(carried);
            loop {
                tokio::select! {
                    biased;
                    command = self.commands.recv() => match command {
                        Some(Control::Now | Control::Resume) => hurry = true,
                        command => break Err(command),
                    },
                    event = &mut carried => break Ok(event),
                }
            }
        };
        match interrupted {
            Ok(event) => {
                if matches!(event, Some(Event::Renewed)) {
                    self.shown.noticed = renewal::noticed(&*self.carrier.store).await.ok().flatten();
                    tracing::warn!(
                        "the data of this device was copied or put back; it goes on under a new incarnation and keeps all it has"
                    );
                }
                if let Some(Event::Welcomed { welcome, .. }) = &event {
                    self.hub_is_called(&welcome.name).await;
                    self.shown.above = welcome.above.clone();
                    self.asker.welcomed(welcome.locates);
                }
                event.into_iter().chain(hurry.then_some(Event::Now)).for_each(|event| self.handle(event));
                true
            }
            Err(command) => self.react(Woken::Command(command)).await,
        }
    }

    /// The hub says what it is called with every welcome.
    async fn hub_is_called(&mut self, name: &str) {
        if name.is_empty() || name == self.shown.hub_name {
            return;
        }
        self.shown.hub_name = name.to_owned();
        if let Err(err) = Identity::hub_is_called(&*self.carrier.store, name).await {
            tracing::warn!("the new name of the hub is not kept over a restart: {err}");
        }
    }

    /// Starts or ends listening, as the session wants it.
    fn listen(&mut self) {
        match (self.session.listens(self.now()), &self.live) {
            (Some(since), None) => {
                self.generation += 1;
                let (generation, heard) = (self.generation, self.heard.clone());
                let transport = self.carrier.transport.clone();
                self.live = Some(tokio::spawn(async move {
                    let (events, mut received) = mpsc::channel(64);
                    let forward = async {
                        while let Some(event) = received.recv().await {
                            if heard.send((generation, Live::Event(event))).await.is_err() {
                                break;
                            }
                        }
                    };
                    let (failure, ()) = tokio::join!(transport.live(since, events), forward);
                    tracing::debug!("listening ended: {failure}");
                    // the link is gone with its receiver
                    let _ = heard.send((generation, Live::Ended)).await;
                }));
            }
            (None, Some(live)) => {
                live.abort();
                self.live = None;
                self.generation += 1;
            }
            _ => {}
        }
    }

    /// A line in the log when contact is lost, found, refused, paused. A link that works is behind and in step all the
    /// time, which is no news.
    fn tell(&mut self, status: &LinkStatus) {
        if status.state == self.told || status.state == node::LinkState::Behind {
            return;
        }
        let (state, reason) = (status.state.as_str(), status.reason.as_deref().unwrap_or_default());
        tracing::info!(hub = status.hub_name, waiting = status.pending_out, "the link is {state}: {reason}");
        self.told = status.state;
    }

    fn publish(&mut self) {
        let status = self.shown.of(self.session.status(), self.now());
        self.asker.stands(status.state, status.above.is_some());
        if let Some((_, relay)) = &self.carrier.below {
            relay.is_in_contact(match status.state {
                node::LinkState::InStep | node::LinkState::Behind if status.last_contact.is_some() => Stands::InContact,
                node::LinkState::Paused => Stands::Paused,
                _ => Stands::Apart,
            });
            relay.stands(Above {
                name: status.hub_name.clone(),
                in_step: status.in_step,
                waiting: status.pending_out,
                last_contact: status.last_contact,
            });
        }
        self.tell(&status);
        self.status.send_if_modified(|shown| {
            let changed = *shown != status;
            *shown = status;
            changed
        });
    }
}

/// Turns the session's status into what people see.
struct Shown {
    url: String,
    hub_name: String,
    world: Arc<dyn World>,
    offset: Arc<Offset>,
    /// The moment of the session's zero.
    began: Option<i64>,
    /// How the hub stands to its own.
    above: Option<Above>,
    noticed: Option<i64>,
}

impl Shown {
    fn of(&mut self, status: Status, now: i64) -> LinkStatus {
        let began = self.world.now().saturating_add(self.offset.millis()) - now;
        // the clock was set, or corrected
        if self.began.is_none_or(|known| known.abs_diff(began) > 1_000) {
            self.began = Some(began);
        }
        let began = self.began.unwrap_or(began);
        LinkStatus {
            url: self.url.clone(),
            hub_name: self.hub_name.clone(),
            state: status.state,
            since: began + status.since,
            last_contact: status.last_contact.map(|at| began + at),
            reason: Some(match self.noticed {
                Some(_) => format!("{}; {NOTICED}", status.reason),
                None => status.reason,
            }),
            next_try: status.next_try.map(|at| began + at),
            pending_out: status.pending_out,
            pending_in: status.pending_in,
            in_step: status.state == node::LinkState::InStep,
            clock_ahead: self.offset.known().map(|offset| -offset),
            above: self.above.clone(),
            noticed: self.noticed,
        }
    }
}

fn blank() -> LinkStatus {
    LinkStatus {
        url: String::new(),
        hub_name: String::new(),
        state: node::LinkState::Behind,
        since: 0,
        last_contact: None,
        reason: None,
        next_try: None,
        pending_out: 0,
        pending_in: 0,
        in_step: false,
        clock_ahead: None,
        above: None,
        noticed: None,
    }
}
