//! What lies between the edges and their hub.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use outpost::domain::ids::{Epoch, Partition};
use outpost::domain::protocol::{Failure, Hello, Pull, Pulled, Push, Pushed, Welcome};
use outpost::domain::reconcile::{Fetch, Fetched, Offer, Offered, Reconcile, Reconciled};
use outpost::domain::snapshot::{ChunkHash, Manifest};
use outpost::store::Request;
use outpost::sync::{Hub, HubError, LiveEvent, NodeRecord, Transport};
use tokio::sync::mpsc;

use crate::device::Time;
use crate::dice::Dice;
use crate::fuse::Fuse;
use crate::memory::Memory;
use crate::old;
use crate::planted::{Bug, silence};
use crate::site::Site;

/// A partition of so many records is copied from chunks.
const FEW: u64 = 3;

/// How the network treats a request. One decision for each, made before it leaves.
#[derive(Clone, Copy, Default, Debug)]
pub struct Weather {
    pub cut: bool,
    pub loses_request: bool,
    pub loses_answer: bool,
    pub repeats: bool,
    pub is_busy: bool,
    pub is_faulty: bool,
    /// Milliseconds that the request and the answer take.
    pub delays: (i64, i64),
    /// The hub dies at this call.
    pub kills_hub: Option<(u64, crate::fuse::Moment)>,
}

/// Where the hub runs, if it runs.
pub struct House {
    pub hub: Mutex<Option<Arc<Hub>>>,
    pub site: Arc<Site>,
}

pub struct Network {
    pub house: Arc<House>,
    pub credential: String,
    pub edge: Arc<Site>,
    pub time: Time,
    pub memory: Arc<Mutex<Memory>>,
    pub bug: Option<Bug>,
    /// Nothing of what came to the protocol later passes.
    pub old: bool,
    /// What is small is copied from chunks, too.
    pub chunks: bool,
    pub weather: Mutex<Weather>,
    /// Requests that come a second time, later.
    pub echoes: Mutex<Vec<Push>>,
    /// Who saves while a request is on its way.
    pub meanwhile: Mutex<Option<(Arc<Site>, Dice)>>,
    pub epoch: Mutex<Option<Epoch>>,
}

impl Network {
    fn weather(&self) -> Weather {
        *self.weather.lock().expect("one thread")
    }

    async fn carry(&self, ask: Ask) -> Result<Answer, Failure> {
        let weather = self.weather();
        let unreachable = || Failure::Unreachable("the storm".into());
        self.time.pass(weather.delays.0);
        if weather.cut || weather.loses_request {
            return Err(unreachable());
        }
        if weather.is_busy {
            return Err(Failure::Busy { reason: "busy".into(), retry_after: Some(700) });
        }
        if weather.is_faulty {
            return Err(Failure::Faulty("a proxy stumbled".into()));
        }
        let hub = self.house.hub.lock().expect("one thread").clone();
        let Some(hub) = hub else { return Err(unreachable()) };
        let fuse: Arc<Fuse> = self.house.site.process().fuse;
        fuse.begin(ask.name());
        if let Some((calls, moment)) = weather.kills_hub {
            fuse.arm(calls, moment);
        }
        let work = async {
            let node = match &ask {
                Ask::Push(_) => hub.recognise(Some(&self.credential)).await?,
                _ => hub.authenticate(Some(&self.credential)).await?,
            };
            ask.of(&hub, &node).await
        };
        let answer = fuse.guard(work).await;
        fuse.disarm();
        fuse.begin("look");
        let meanwhile = self.meanwhile.lock().expect("one thread").take();
        if let Some((whose, mut dice)) = meanwhile
            && whose.process().fuse.blown().is_none()
        {
            whose.save(&mut dice, &self.memory).await;
        }
        self.time.pass(weather.delays.1);
        let Some(answer) = answer else {
            *self.house.hub.lock().expect("one thread") = None;
            return Err(unreachable());
        };
        if weather.loses_answer {
            return Err(unreachable());
        }
        answer.map_err(|err| {
            let problem = err.problem();
            Failure::of(problem.status, Some(&problem), err.retry_after().map(|seconds| i64::from(seconds) * 1000))
        })
    }

    /// A request as the edge makes it, which may be the last thing it does.
    async fn ask(&self, ask: Ask) -> Result<Answer, Failure> {
        let fuse = self.edge.process().fuse;
        fuse.call(ask.name(), self.carry(ask)).await
    }
}

/// What an edge asks of the hub, and what it gets.
enum Ask {
    Hello(Hello),
    Push(Push),
    Pull(Pull),
    Reconcile(Reconcile),
    Fetch(Fetch),
    Offer(Box<Offer>),
    Snapshot(Partition),
    Chunk(ChunkHash),
}

enum Answer {
    Welcome(Box<Welcome>),
    Pushed(Pushed),
    Pulled(Box<Pulled>),
    Reconciled(Reconciled),
    Fetched(Box<Fetched>),
    Offered(Offered),
    Listed(Box<Manifest>),
    Chunk(Vec<u8>),
}

impl Ask {
    fn name(&self) -> &'static str {
        match self {
            Ask::Hello(_) => "answer hello",
            Ask::Push(_) => "answer push",
            Ask::Pull(_) => "answer pull",
            Ask::Reconcile(_) => "answer reconcile",
            Ask::Fetch(_) => "answer fetch",
            Ask::Offer(_) => "answer offer",
            Ask::Snapshot(_) => "answer list",
            Ask::Chunk(_) => "answer copy",
        }
    }

    async fn of(self, hub: &Hub, node: &NodeRecord) -> Result<Answer, HubError> {
        Ok(match self {
            Ask::Hello(hello) => Answer::Welcome(Box::new(hub.hello(node, &hello).await?)),
            Ask::Push(push) => Answer::Pushed(hub.push(node, push).await?),
            Ask::Reconcile(asked) => Answer::Reconciled(hub.reconcile(node, &asked).await?),
            Ask::Fetch(asked) => Answer::Fetched(Box::new(hub.fetch(node, &asked).await?)),
            Ask::Offer(offer) => Answer::Offered(hub.offer(node, *offer).await?),
            Ask::Pull(pull) => Answer::Pulled(Box::new(hub.pull(node, &pull).await?)),
            Ask::Snapshot(partition) => Answer::Listed(Box::new(hub.snapshot(node, &partition).await?)),
            Ask::Chunk(hash) => Answer::Chunk(hub.chunk(node, hash).await?),
        })
    }
}

#[async_trait]
impl Transport for Network {
    async fn hello(&self, hello: &Hello) -> Result<Welcome, Failure> {
        let hello = if self.old { old::hello(hello) } else { hello.clone() };
        let Answer::Welcome(mut welcome) = self.ask(Ask::Hello(hello)).await? else { unreachable!("as asked") };
        if self.chunks {
            welcome.limits.chunk_records = FEW;
        }
        if self.old {
            old::welcome(&mut welcome);
        }
        if self.bug == Some(Bug::HidesRestore) {
            welcome.ancestors.clear();
        }
        let before = self.epoch.lock().expect("one thread").replace(welcome.epoch);
        if self.bug == Some(Bug::EpochClears) && before.is_some_and(|before| before != welcome.epoch) {
            let store = self.edge.process().store;
            let unsent = store.outbox(usize::MAX).await.unwrap_or_default();
            let all = unsent.into_iter().map(|unsent| unsent.save.id).collect();
            store.write(Request::Acknowledge(all)).await.map_err(|err| Failure::Local(err.to_string()))?;
        }
        let mut rumours = self.edge.rumours.lock().expect("one thread");
        rumours.extend(welcome.partitions.iter().map(|head| (head.id.clone(), head.digest)));
        Ok(*welcome)
    }

    async fn push(&self, push: &Push) -> Result<Pushed, Failure> {
        if self.weather().repeats {
            self.echoes.lock().expect("one thread").push(push.clone());
        }
        match (self.bug, self.ask(Ask::Push(push.clone())).await) {
            (Some(Bug::AcknowledgesSilence), Err(Failure::Unreachable(_))) => {
                let epoch = self.epoch.lock().expect("one thread").unwrap_or(Epoch(0));
                Ok(Pushed { epoch, verdicts: silence(&push.saves), head: push.since, partitions: Vec::new() })
            }
            (_, Ok(Answer::Pushed(pushed))) => Ok(pushed),
            (_, Ok(_)) => unreachable!("as asked"),
            (_, Err(failure)) => Err(failure),
        }
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled, Failure> {
        let mut pull = pull.clone();
        if self.bug == Some(Bug::BaseMovesWithPage) {
            pull.base = pull.after;
        }
        let Answer::Pulled(mut pulled) = self.ask(Ask::Pull(pull)).await? else { unreachable!("as asked") };
        if self.old {
            pulled.tag = None;
        }
        self.edge.rumours.lock().expect("one thread").insert(pulled.partition.clone(), pulled.digest);
        Ok(*pulled)
    }

    async fn reconcile(&self, asked: &Reconcile) -> Result<Reconciled, Failure> {
        let Answer::Reconciled(answer) = self.ask(Ask::Reconcile(asked.clone())).await? else {
            unreachable!("as asked")
        };
        Ok(answer)
    }

    async fn fetch(&self, asked: &Fetch) -> Result<Fetched, Failure> {
        let Answer::Fetched(answer) = self.ask(Ask::Fetch(asked.clone())).await? else { unreachable!("as asked") };
        Ok(*answer)
    }

    async fn offer(&self, offer: &Offer) -> Result<Offered, Failure> {
        let offer = Box::new(offer.clone());
        let Answer::Offered(answer) = self.ask(Ask::Offer(offer)).await? else { unreachable!("as asked") };
        Ok(answer)
    }

    async fn snapshot(&self, partition: &Partition) -> Result<Manifest, Failure> {
        let Answer::Listed(answer) = self.ask(Ask::Snapshot(partition.clone())).await? else {
            unreachable!("as asked")
        };
        Ok(*answer)
    }

    async fn chunk(&self, hash: ChunkHash, _: Option<ChunkHash>) -> Result<Vec<u8>, Failure> {
        let Answer::Chunk(bytes) = self.ask(Ask::Chunk(hash)).await? else { unreachable!("as asked") };
        Ok(bytes)
    }

    async fn live(&self, _: u64, _: mpsc::Sender<LiveEvent>) -> Failure {
        Failure::Local("hints are delivered by the storm".into())
    }
}
