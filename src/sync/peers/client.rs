//! A conversation with another edge: who it is, and that nobody altered what it said.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::domain::ids::NodeId;
use crate::domain::peer::{Ask, Meet, Met, Sealed, SessionKey, Told, Way};
use crate::domain::protocol::{Failure, PROTOCOLS, Problem, problem};
use crate::node::World;
use crate::sync::http_transport;
use crate::sync::relay::Relay;
use crate::sync::wire;

/// Without a byte for so long, an answer is given up; one that is held back on purpose has that time more.
const SILENCE: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 64 << 20;

/// Why a peer could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Unreachable(String),
    /// The two do not know each other.
    #[error("{0}")]
    Refused(String),
    /// It has forgotten the conversation: begin anew.
    #[error("it began anew")]
    NoSession,
    #[error("{0}")]
    Faulty(String),
}

impl From<crate::store::StoreError> for Trouble {
    fn from(err: crate::store::StoreError) -> Self {
        Self::Faulty(err.to_string())
    }
}

pub struct Client {
    http: reqwest::Client,
    base: String,
    node: NodeId,
    relay: Arc<Relay>,
    world: Arc<dyn World>,
    session: Option<Session>,
}

struct Session {
    with: NodeId,
    name: String,
    id: u64,
    key: SessionKey,
    number: u64,
}

impl Client {
    pub fn new(url: &str, node: NodeId, relay: Arc<Relay>, world: Arc<dyn World>) -> Result<Self, Trouble> {
        let http = http_transport::client(url).map_err(|failure: Failure| Trouble::Faulty(failure.to_string()))?;
        Ok(Self { http, base: url.to_owned(), node, relay, world, session: None })
    }

    /// Who answers there, as far as it is known to be one of the peers: its id, and its name.
    pub async fn who(&mut self) -> Result<(NodeId, String), Trouble> {
        // somebody whom the hub does not name any more is asked nothing
        let peers = self.relay.peers();
        self.session.take_if(|session| !peers.contains_key(&session.with));
        if self.session.is_none() {
            self.session = Some(self.meet().await?);
        }
        let session = self.session.as_ref().ok_or(Trouble::NoSession)?;
        Ok((session.with, session.name.clone()))
    }

    async fn meet(&self) -> Result<Session, Trouble> {
        let peers = self.relay.peers();
        if peers.is_empty() {
            return Err(Trouble::Refused(
                "its hub names no other edge of a site to this one; at the hub, `outpost node change ID --site NAME` says which belong together".into(),
            ));
        }
        let challenge = self.world.random() as u64;
        let meet = Meet { protocols: PROTOCOLS.to_vec(), node: self.node, challenge };
        let met: Met = self.post("meet", &meet, Duration::ZERO).await?;
        if met.node == self.node {
            return Err(Trouble::Refused("this very node answers there".into()));
        }
        let peer = peers.get(&met.node).ok_or_else(|| {
            Trouble::Refused(format!(
                "an edge answers there ({}) that the hub does not name as one of this site",
                met.node
            ))
        })?;
        let key = peer.key.session(self.node, met.node, challenge, met.session);
        if met.seal != key.seal(Way::Answer, 0, &[]) {
            return Err(Trouble::Refused(format!("who answers there cannot prove to be {}", peer.name)));
        }
        let name = if peer.name.is_empty() { met.name } else { peer.name.clone() };
        Ok(Session { with: met.node, name, id: met.session, key, number: 0 })
    }

    /// Asks something, beginning the conversation anew if the other one has forgotten it. `wait`: for so long the answer may
    /// be held back.
    pub async fn ask(&mut self, ask: &Ask, wait: Duration) -> Result<Told, Trouble> {
        match self.ask_once(ask, wait).await {
            Err(Trouble::NoSession) => {
                self.session = None;
                self.ask_once(ask, wait).await
            }
            answered => answered,
        }
    }

    async fn ask_once(&mut self, ask: &Ask, wait: Duration) -> Result<Told, Trouble> {
        self.who().await?;
        let session = self.session.as_mut().ok_or(Trouble::NoSession)?;
        session.number += 1;
        let (id, number, key) = (session.id, session.number, session.key);
        let sealed = Sealed::new(id, number, wire::encode(ask), Way::Question, &key);
        let told: Sealed = self.post("ask", &sealed, wait).await?;
        if told.session != id || told.number != number || !told.is_of(&key, Way::Answer) {
            return Err(Trouble::Faulty("its answer was altered on the way".into()));
        }
        wire::decode(&told.body, MAX_ANSWER).map_err(|err| Trouble::Faulty(format!("its answer: {err}")))
    }

    async fn post<Q: Serialize, A: DeserializeOwned>(&self, path: &str, ask: &Q, wait: Duration) -> Result<A, Trouble> {
        let request = self
            .http
            .post(format!("{}/sync/v1/peer/{path}", self.base))
            .header(CONTENT_TYPE, wire::MEDIA_TYPE)
            .header(ACCEPT, wire::MEDIA_TYPE)
            .body(wire::encode(ask));
        let sent = timeout(SILENCE + wait, request.send()).await.map_err(|_| silent())?;
        let response = sent.map_err(|err| unreachable(&err))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        let bytes = body(response, MAX_ANSWER).await?;
        wire::decode(&bytes, MAX_ANSWER).map_err(|err| Trouble::Faulty(format!("its answer: {err}")))
    }
}

fn silent() -> Trouble {
    Trouble::Unreachable("it does not answer".into())
}

fn unreachable(err: &reqwest::Error) -> Trouble {
    let reason = http_transport::cause(err);
    Trouble::Unreachable(match err.is_connect() {
        true => format!("it cannot be reached: {reason}"),
        false => format!("the connection to it broke: {reason}"),
    })
}

async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while let Some(more) =
        timeout(SILENCE, response.chunk()).await.map_err(|_| silent())?.map_err(|err| unreachable(&err))?
    {
        bytes.extend_from_slice(&more);
        if bytes.len() > limit {
            return Err(Trouble::Faulty("its answer is too large".into()));
        }
    }
    Ok(bytes)
}

async fn refusal(response: Response) -> Trouble {
    let status = response.status();
    let bytes = match body(response, 64 << 10).await {
        Ok(bytes) => bytes,
        Err(trouble) => return trouble,
    };
    let said: Option<Problem> = serde_json::from_slice(&bytes).ok();
    match said {
        Some(said) if said.kind == problem::NOT_A_PEER || said.kind == problem::PROTOCOL => {
            Trouble::Refused(said.detail)
        }
        Some(said) if said.kind == problem::SESSION => Trouble::NoSession,
        Some(said) if said.kind.starts_with("urn:outpost:") => Trouble::Faulty(said.detail),
        _ if status.is_client_error() => {
            Trouble::Refused(format!("no edge answers there that speaks to others (status {})", status.as_u16()))
        }
        _ => Trouble::Faulty(format!("it answered with status {}", status.as_u16())),
    }
}
