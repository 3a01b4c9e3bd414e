use serde::{Deserialize, Serialize};

use super::{Node, NodeError, Result, World};
use crate::domain::FieldError;
use crate::domain::ids::{Epoch, Incarnation, NodeId};
use crate::domain::people::{Actor, Operation, authorise};
use crate::store::{LocalChange, Outcome, Request, Store, StoreError};

/// Who this node is; kept in its own database, never copied to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub node: NodeId,
    pub incarnation: Incarnation,
    /// The line of numbers this node hands out.
    pub epoch: Epoch,
    /// The lines of numbers before this one, oldest first: this node's past changed each time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Epoch>,
    /// What people call it.
    pub name: String,
    pub role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Hub,
    Edge(Upstream),
}

/// The hub of an edge, and what the edge shows it to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    pub url: String,
    /// What the hub is called.
    pub name: String,
    pub node: NodeId,
    /// The secret given at enrolment; the hub keeps only its hash.
    pub credential: String,
}

const KIND: &str = "identity";
/// It stands in the bar of every page.
const MAX_NAME: usize = 60;

impl Identity {
    /// The identity in this store, if it has one yet.
    pub async fn load(store: &dyn Store) -> Result<Option<Self>> {
        let Some(value) = store.local(KIND, KIND).await? else { return Ok(None) };
        let identity = serde_json::from_value(value).map_err(|err| StoreError::Damaged(err.to_string()))?;
        Ok(Some(identity))
    }

    /// What the node of this store is called now: a name may change while the node runs.
    pub(crate) async fn name_in(store: &dyn Store) -> std::result::Result<Option<String>, StoreError> {
        let value = store.local(KIND, KIND).await?;
        Ok(value.and_then(|value| Some(value.get("name")?.as_str()?.to_owned())))
    }

    /// Writes down what the hub of this edge is called now, for the next start.
    pub(crate) async fn hub_is_called(store: &dyn Store, name: &str) -> Result<()> {
        let Some(mut identity) = Self::load(store).await? else { return Ok(()) };
        let standing = serde_json::to_value(&identity).expect("an identity is plain data");
        match &mut identity.role {
            Role::Edge(upstream) if upstream.name != name => upstream.name = name.to_owned(),
            _ => return Ok(()),
        }
        let value = serde_json::to_value(&identity).expect("an identity is plain data");
        let change = LocalChange { kind: KIND, key: KIND.into(), value: Some(value), expect: Some(Some(standing)) };
        // whoever wrote it meanwhile is heard again with the next hello
        store.write(Request::Local(vec![change])).await?;
        Ok(())
    }

    /// A hub of its own, with a new identity.
    pub fn hub(world: &dyn World, name: &str) -> Self {
        Self {
            node: NodeId(world.random() as u64),
            incarnation: Incarnation(world.random() as u64),
            epoch: Epoch(world.random() as u64),
            ancestors: Vec::new(),
            name: name.into(),
            role: Role::Hub,
        }
    }

    /// The same node after its database came back from a backup: what it writes from now on is told apart from what it wrote
    /// after the backup was made, and its readers learn that its numbers begin anew.
    pub fn restored(&self, world: &dyn World) -> Self {
        let mut ancestors = self.ancestors.clone();
        ancestors.push(self.epoch);
        Self {
            incarnation: Incarnation(world.random() as u64),
            epoch: Epoch(world.random() as u64),
            ancestors,
            ..self.clone()
        }
    }

    /// Makes the node of a store that was filled from a backup a restored one: its identity is new, and nobody is signed in.
    pub async fn settle_restored(store: &dyn Store, world: &dyn World) -> Result<Self> {
        let standing = Self::load(store).await?;
        let standing = standing.ok_or_else(|| StoreError::Damaged("nobody is written down whose it is".into()))?;
        let restored = standing.restored(world);
        let value = serde_json::to_value(&restored).expect("an identity is plain data");
        let mut changes = vec![LocalChange { kind: KIND, key: KIND.into(), value: Some(value), expect: None }];
        for (key, _) in store.locals(super::people::SESSION).await? {
            changes.push(LocalChange { kind: super::people::SESSION, key, value: None, expect: None });
        }
        store.write(Request::Local(changes)).await?;
        Ok(restored)
    }

    /// Takes a new incarnation, because the data of this node was copied or put back to an earlier state, in the same
    /// transaction as `beside`. What stamps saves sees it at once. `fallback` is who it is if the store does not say.
    pub(crate) async fn renew(
        store: &dyn Store,
        fallback: &Identity,
        incarnation: Incarnation,
        beside: Vec<LocalChange>,
    ) -> std::result::Result<(), StoreError> {
        loop {
            let standing = store.local(KIND, KIND).await?;
            let mut identity = match standing.clone() {
                Some(value) => serde_json::from_value(value).map_err(|err| StoreError::Damaged(err.to_string()))?,
                None => fallback.clone(),
            };
            identity.incarnation = incarnation;
            let value = serde_json::to_value(&identity).expect("an identity is plain data");
            let change = LocalChange { kind: KIND, key: KIND.into(), value: Some(value), expect: Some(standing) };
            let changes = beside.iter().cloned().chain([change]).collect();
            if store.write(Request::Local(changes)).await? == Outcome::Done {
                return Ok(());
            }
            // somebody gave it another name in between
        }
    }

    /// The incarnation that a request writes down, if it does.
    pub(super) fn incarnation_in(request: &Request) -> Option<Incarnation> {
        let Request::Local(changes) = request else { return None };
        let identity = changes.iter().find(|change| change.kind == KIND)?.value.as_ref()?;
        identity.get("incarnation")?.as_str()?.parse().ok()
    }

    /// Writes this identity into a store that has none. False if it has one.
    pub async fn settle(&self, store: &dyn Store) -> Result<bool> {
        let change = LocalChange {
            kind: KIND,
            key: KIND.into(),
            value: Some(serde_json::to_value(self).expect("an identity is plain data")),
            expect: Some(None),
        };
        Ok(store.write(Request::Local(vec![change])).await? == Outcome::Done)
    }
}

impl Node {
    /// Gives this node another name. The edges of a hub hear it with their next hello.
    pub async fn rename(&self, actor: &Actor, name: &str) -> Result<()> {
        authorise(actor, Operation::Administer, None, &[])?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME {
            let error =
                FieldError::new("/place", "maxLength", "Enter a name of 1 to 60 characters, for example Tern Bay hub");
            return Err(NodeError::Invalid(vec![error]));
        }
        let identity = Identity {
            name: name.to_owned(),
            incarnation: self.incarnation(),
            ..Identity::load(&**self.store()).await?.unwrap_or_else(|| self.identity().clone())
        };
        let value = serde_json::to_value(&identity).expect("an identity is plain data");
        let change = LocalChange { kind: KIND, key: KIND.into(), value: Some(value), expect: None };
        self.store().write(Request::Local(vec![change])).await?;
        *self.inner.name.write().expect("no holder of this lock panics") = identity.name;
        Ok(())
    }
}

/// The key that authenticates what forms carry; made once.
pub(super) async fn secret(store: &dyn Store, world: &dyn World) -> Result<[u8; 32]> {
    const KIND: &str = "secret";
    const KEY: &str = "forms";
    loop {
        if let Some(value) = store.local(KIND, KEY).await?
            && let Some(text) = value.as_str()
            && let Ok(bytes) = data_encoding::HEXLOWER.decode(text.as_bytes())
            && let Ok(secret) = bytes.try_into()
        {
            return Ok(secret);
        }
        let mut secret = [0; 32];
        secret[..16].copy_from_slice(&world.random().to_le_bytes());
        secret[16..].copy_from_slice(&world.random().to_le_bytes());
        let value = serde_json::Value::String(data_encoding::HEXLOWER.encode(&secret));
        let change = LocalChange { kind: KIND, key: KEY.into(), value: Some(value), expect: Some(None) };
        store.write(Request::Local(vec![change])).await?;
    }
}
