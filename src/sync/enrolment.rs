//! How a node becomes one of a hub's: a one-time token, traded for a credential of its own.
//!
//! The hub keeps hashes of both, in its own database; neither travels again.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bundle::Key;
use super::http_transport;
use super::hub::HubError;
use crate::domain::ids::{Epoch, Incarnation, NodeId};
use crate::domain::protocol::{Enrol, Enrolled, Failure};
use crate::domain::scope::Scope;
use crate::node::{Identity, NodeError, NodeRole, Upstream, World};
use crate::store::{LocalChange, Outcome, Request, Store, StoreError};

const NODE: &str = "node";
const INVITATION: &str = "invitation";
/// An invitation works this long.
const INVITATION_MILLIS: i64 = 7 * 24 * 3_600_000;
const MAX_NAME: usize = 100;

/// A node that was let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub id: NodeId,
    pub name: String,
    pub scope: Scope,
    /// Whether it may serve nodes of its own.
    #[serde(default)]
    pub relays: bool,
    /// The site it is at: its edges may speak to each other directly, and carry for each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// All sites it was ever at; what it took there it may still bring.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    sites: BTreeSet<String>,
    /// Milliseconds since 1970, as all times here.
    pub enrolled_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<i64>,
    /// The hash of its credential.
    credential: String,
}

impl NodeRecord {
    /// What its bundles are sealed with.
    pub(super) fn bundle_key(&self) -> Result<Key, StoreError> {
        let hash = blake3::Hash::from_hex(&self.credential).map_err(|err| StoreError::Damaged(err.to_string()))?;
        Ok(Key::of_hash(&hash))
    }

    /// Whether the two were ever at one site.
    pub(super) fn has_met(&self, other: &NodeRecord) -> bool {
        !self.sites.is_disjoint(&other.sites)
    }

    pub(super) fn was_at_a_site(&self) -> bool {
        !self.sites.is_empty()
    }
}

/// What a site may be called; `None` where there is none.
pub fn site_name(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    if text.chars().count() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!("the name of a site is a text of at most {MAX_NAME} characters on one line"));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invitation {
    name: String,
    scope: Scope,
    #[serde(default)]
    relays: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    expires_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_by: Option<NodeId>,
}

fn fingerprint(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

fn value_of(record: &impl Serialize) -> Option<Value> {
    Some(serde_json::to_value(record).expect("what is kept is plain data"))
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|err| StoreError::Damaged(err.to_string()))
}

/// Makes a token for one node to join with. `secret` is 128 bits nobody can foresee.
pub async fn invite(
    store: &dyn Store,
    name: &str,
    scope: Scope,
    relays: bool,
    now: i64,
    secret: u128,
) -> Result<String, StoreError> {
    invite_to(store, name, scope, relays, None, now, secret).await
}

/// As [`invite`], to a site.
pub(super) async fn invite_to(
    store: &dyn Store,
    name: &str,
    scope: Scope,
    relays: bool,
    site: Option<String>,
    now: i64,
    secret: u128,
) -> Result<String, StoreError> {
    let token = format!("opj_{}", BASE64URL_NOPAD.encode(&secret.to_be_bytes()));
    let invitation = Invitation {
        name: name.trim().chars().take(MAX_NAME).collect(),
        scope,
        relays,
        site,
        expires_at: now + INVITATION_MILLIS,
        used_by: None,
    };
    let change = LocalChange { kind: INVITATION, key: fingerprint(&token), value: value_of(&invitation), expect: None };
    store.write(Request::Local(vec![change])).await?;
    Ok(token)
}

/// The hub's side: trades a token for a credential, once. Asked again by the same node it gives the same answer.
pub(super) async fn admit(
    store: &dyn Store,
    hub: &Identity,
    enrol: &Enrol,
    now: i64,
    node: NodeId,
) -> Result<Enrolled, HubError> {
    let key = fingerprint(enrol.token.trim());
    let unknown = || HubError::Token("this token is not one of this hub; ask for another".into());
    let used = |by: &str| HubError::Token(format!("this token was already used by {by}; ask for another"));
    let secret = enrol.secret.as_str();
    if !BASE64URL_NOPAD.decode(secret.as_bytes()).is_ok_and(|bytes| (16..=64).contains(&bytes.len())) {
        return Err(HubError::Token("the node's own secret is none: 128 bits, base64url".into()));
    }
    let standing = store.local(INVITATION, &key).await?.ok_or_else(unknown)?;
    let mut invitation: Invitation = read(standing.clone())?;
    let enrolled = |record: &NodeRecord| Enrolled {
        node: record.id,
        name: record.name.clone(),
        credential: credential(record.id, secret),
        hub: hub.node,
        hub_name: hub.name.clone(),
        epoch: hub.epoch,
        scope: record.scope.clone(),
    };
    if let Some(by) = invitation.used_by {
        let record = store.local(NODE, &by.to_string()).await?.ok_or_else(unknown)?;
        let record: NodeRecord = read(record)?;
        let is_the_same = record.revoked_at.is_none() && is_of(&record, &credential(by, secret))?;
        return if is_the_same { Ok(enrolled(&record)) } else { Err(used(&record.name)) };
    }
    if invitation.expires_at <= now {
        return Err(HubError::Token("this token has expired; ask for another".into()));
    }
    let asked: String = enrol.name.trim().chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    let name = match (invitation.name.is_empty(), asked.is_empty()) {
        (false, _) => invitation.name.clone(),
        (true, false) => asked,
        (true, true) => format!("node {node}"),
    };
    let record = NodeRecord {
        id: node,
        name,
        scope: invitation.scope.clone(),
        relays: invitation.relays,
        site: invitation.site.clone(),
        sites: invitation.site.clone().into_iter().collect(),
        enrolled_at: now,
        revoked_at: None,
        credential: fingerprint(&credential(node, secret)),
    };
    invitation.used_by = Some(node);
    let use_up = LocalChange { kind: INVITATION, key, value: value_of(&invitation), expect: Some(Some(standing)) };
    let let_in = LocalChange { kind: NODE, key: node.to_string(), value: value_of(&record), expect: Some(None) };
    match store.write(Request::Local(vec![use_up, let_in])).await? {
        Outcome::Done => Ok(enrolled(&record)),
        _ => Err(used("another node")),
    }
}

pub(super) fn credential(node: NodeId, secret: &str) -> String {
    format!("opn_{node}.{secret}")
}

/// Whether a credential is that of a node; takes the same time whatever it is.
fn is_of(record: &NodeRecord, credential: &str) -> Result<bool, StoreError> {
    let kept = blake3::Hash::from_hex(&record.credential).map_err(|err| StoreError::Damaged(err.to_string()))?;
    Ok(kept == blake3::hash(credential.as_bytes()))
}

/// The node a credential belongs to, as long as it is let in.
pub(super) async fn authenticate(store: &dyn Store, credential: &str) -> Result<NodeRecord, HubError> {
    let record = recognise(store, credential).await?;
    if record.revoked_at.is_some() { Err(HubError::Revoked) } else { Ok(record) }
}

/// The node a credential belongs to, revoked or not.
pub(super) async fn recognise(store: &dyn Store, credential: &str) -> Result<NodeRecord, HubError> {
    let id = credential.strip_prefix("opn_").and_then(|rest| rest.split_once('.'));
    let id: NodeId = id.and_then(|(id, _)| id.parse().ok()).ok_or(HubError::Credential)?;
    let record = store.local(NODE, &id.to_string()).await?.ok_or(HubError::Credential)?;
    let record: NodeRecord = read(record)?;
    if !is_of(&record, credential)? {
        return Err(HubError::Credential);
    }
    Ok(record)
}

/// A node that was let in, revoked or not.
pub(super) async fn node(store: &dyn Store, id: NodeId) -> Result<Option<NodeRecord>, StoreError> {
    store.local(NODE, &id.to_string()).await?.map(read).transpose()
}

/// All nodes that were let in, revoked or not.
pub async fn nodes(store: &dyn Store) -> Result<Vec<NodeRecord>, StoreError> {
    store.locals(NODE).await?.into_iter().map(|(_, value)| read(value)).collect()
}

/// Withdraws a node; again changes nothing. False if there is none of this id.
pub async fn revoke(store: &dyn Store, id: NodeId, now: i64) -> Result<bool, StoreError> {
    amend(store, id, |record| {
        record.revoked_at.get_or_insert(now);
        true
    })
    .await
}

/// Says anew what a node may hold and do. False if there is none of this id that is let in.
pub(super) async fn change(
    store: &dyn Store,
    id: NodeId,
    scope: Option<Scope>,
    relays: Option<bool>,
) -> Result<bool, StoreError> {
    amend(store, id, |record| {
        record.scope = scope.clone().unwrap_or_else(|| record.scope.clone());
        record.relays = relays.unwrap_or(record.relays);
        record.revoked_at.is_none()
    })
    .await
}

/// Says at which site a node is, if at any. False if there is none of this id that is let in.
pub(super) async fn move_to(store: &dyn Store, id: NodeId, site: Option<String>) -> Result<bool, StoreError> {
    amend(store, id, |record| {
        record.site = site.clone();
        record.sites.extend(site.clone());
        record.revoked_at.is_none()
    })
    .await
}

/// Changes what is known of a node, unless `change` says no.
async fn amend(store: &dyn Store, id: NodeId, change: impl Fn(&mut NodeRecord) -> bool) -> Result<bool, StoreError> {
    loop {
        let Some(standing) = store.local(NODE, &id.to_string()).await? else { return Ok(false) };
        let before: NodeRecord = read(standing.clone())?;
        let mut record = before.clone();
        if !change(&mut record) {
            return Ok(false);
        }
        if record == before {
            return Ok(true);
        }
        let change =
            LocalChange { kind: NODE, key: id.to_string(), value: value_of(&record), expect: Some(Some(standing)) };
        if store.write(Request::Local(vec![change])).await? == Outcome::Done {
            return Ok(true);
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("this node is already part of {0}; join with an empty data directory")]
    AlreadyPart(String),
    #[error("{0:?} is no address of a hub; an example is https://hub.example.org")]
    Address(String),
    #[error("the hub at {url} does not let this node in: {reason}")]
    Refused { url: String, reason: String },
    #[error("the hub at {url} could not be asked: {reason}")]
    Unreachable { url: String, reason: String },
    /// The hub may have let this node in; asked again by the same store, it says the same.
    #[error("the hub at {url} did not answer: {reason}; run the same command again to go on")]
    Unanswered { url: String, reason: String },
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The edge's side: makes an empty store that of an edge of the hub at `url`.
pub async fn enrol(
    store: &dyn Store,
    world: &dyn World,
    url: &str,
    token: &str,
    name: &str,
) -> Result<Identity, EnrolError> {
    if let Some(identity) = Identity::load(store).await? {
        return Err(EnrolError::AlreadyPart(match identity.role {
            NodeRole::Hub => format!("{} as its hub", identity.name),
            NodeRole::Edge(upstream) => upstream.name,
        }));
    }
    let url = http_transport::base(url).ok_or_else(|| EnrolError::Address(url.into()))?;
    let enrol = Enrol { token: token.into(), name: name.into(), secret: own_secret(store, world).await? };
    let enrolled = http_transport::enrol(&url, &enrol).await.map_err(|(failure, sent)| {
        let url = url.clone();
        match failure {
            Failure::Refused(reason) | Failure::Rejected(reason) => EnrolError::Refused { url, reason },
            Failure::Unreachable(reason) if sent => EnrolError::Unanswered { url, reason },
            other => EnrolError::Unreachable { url, reason: other.to_string() },
        }
    })?;
    let identity = Identity {
        node: enrolled.node,
        incarnation: Incarnation(world.random() as u64),
        epoch: Epoch(world.random() as u64),
        ancestors: Vec::new(),
        name: enrolled.name,
        role: NodeRole::Edge(Upstream {
            url,
            name: enrolled.hub_name,
            node: enrolled.hub,
            credential: enrolled.credential,
        }),
    };
    if identity.settle(store).await? {
        Ok(identity)
    } else {
        Err(EnrolError::AlreadyPart("another hub since a moment ago".into()))
    }
}

/// The secret of this node's credential: kept before it is sent, so that an enrolment can be asked for again.
async fn own_secret(store: &dyn Store, world: &dyn World) -> Result<String, StoreError> {
    const KIND: &str = "enrolment";
    const KEY: &str = "secret";
    loop {
        if let Some(Value::String(secret)) = store.local(KIND, KEY).await? {
            return Ok(secret);
        }
        let secret = BASE64URL_NOPAD.encode(&world.random().to_be_bytes());
        let change = LocalChange { kind: KIND, key: KEY.into(), value: Some(secret.into()), expect: Some(None) };
        store.write(Request::Local(vec![change])).await?;
    }
}
