//! Who reads what: the nodes of a hub by what they may hold, so that asking for those of one partition costs nothing for
//! the thousands that hold others.

use std::collections::HashMap;
use std::sync::Arc;

use super::Hub;
use crate::domain::ids::{NodeId, Partition};
use crate::store::StoreError;
use crate::sync::enrolment::{self, NodeRecord};

/// For so many milliseconds it is taken for true.
const FRESH: i64 = 1_000;

/// The nodes that were let in and not revoked, at one moment.
pub(super) struct Roster {
    at: i64,
    nodes: Vec<NodeRecord>,
    all: Vec<usize>,
    whole: HashMap<String, Vec<usize>>,
    partitions: HashMap<Partition, Vec<usize>>,
    sites: HashMap<String, Vec<usize>>,
}

impl Roster {
    fn of(nodes: Vec<NodeRecord>, at: i64) -> Self {
        let (mut all, mut whole, mut partitions) = (Vec::new(), HashMap::new(), HashMap::new());
        let mut sites = HashMap::new();
        for (place, node) in nodes.iter().enumerate() {
            if let Some(site) = &node.site {
                sites.entry(site.clone()).or_insert_with(Vec::new).push(place);
            }
            let Some(named) = node.scope.named() else {
                all.push(place);
                continue;
            };
            for partition in named.partitions {
                partitions.entry(partition).or_insert_with(Vec::new).push(place);
            }
            for name in named.whole {
                whole.entry(name.to_string()).or_insert_with(Vec::new).push(place);
            }
        }
        Self { at, nodes, all, whole, partitions, sites }
    }

    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Those at a site.
    pub fn at_site(&self, site: &str) -> impl Iterator<Item = &NodeRecord> {
        self.sites.get(site).into_iter().flatten().map(|place| &self.nodes[*place])
    }

    /// Those that may hold a partition, each once.
    pub fn readers(&self, partition: &Partition) -> impl Iterator<Item = &NodeRecord> {
        let whole = self.whole.get(partition.type_name());
        let lists = [Some(&self.all), whole, self.partitions.get(partition)];
        let found = lists.into_iter().flatten().flatten().map(|place| &self.nodes[*place]);
        found.filter(|node| node.scope.contains(partition))
    }
}

impl Hub {
    /// Something was said of a node: they are looked at anew.
    pub(super) async fn roster_changed(&self) {
        *self.roster.lock().await = None;
    }

    /// The nodes as they were a moment ago at most.
    pub(super) async fn roster(&self) -> Result<Arc<Roster>, StoreError> {
        // whoever comes while it is made waits for it
        let mut kept = self.roster.lock().await;
        let now = self.world.now();
        if let Some(roster) = kept.as_ref().filter(|roster| now.abs_diff(roster.at) < FRESH.unsigned_abs()) {
            return Ok(roster.clone());
        }
        let nodes = enrolment::nodes(&*self.store).await?.into_iter().filter(|node| node.revoked_at.is_none());
        let roster = Arc::new(Roster::of(nodes.collect(), now));
        *kept = Some(roster.clone());
        Ok(roster)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::ids::TypeName;
    use crate::domain::scope::Scope;

    fn node(id: &str, scope: &Value) -> NodeRecord {
        let record = json!({ "id": id, "name": id, "scope": scope, "enrolled_at": 0, "credential": "" });
        serde_json::from_value(record).expect("a record of a node")
    }

    #[test]
    fn the_readers_of_a_partition_are_those_whose_scope_contains_it() {
        let scopes = [
            json!("all"),
            json!({"job": true}),
            json!({"job": ["a", "b"]}),
            json!({"job": ["b"], "note": true}),
            json!({}),
        ];
        let nodes = scopes.iter().enumerate().map(|(n, scope)| node(&format!("{n:016x}"), scope));
        let roster = Roster::of(nodes.collect(), 0);
        let job = TypeName::custom("job").expect("a name");
        let mut partitions: Vec<Partition> =
            ["a", "b", "c"].map(|at| Partition::of_value(&job, Some(&json!(at)))).into();
        partitions.extend([Partition::of_value(&job, None), Partition::of_type(&job), Partition::types()]);
        partitions.extend(["note", "_here"].map(|name| Partition(name.into())));
        for partition in partitions {
            let mut found: Vec<u64> = roster.readers(&partition).map(|node| node.id.0).collect();
            found.sort_unstable();
            let contains = |scope: &Value| Scope::from_json(scope).expect("a scope").contains(&partition);
            let expected: Vec<u64> = (0..5).filter(|n| contains(&scopes[*n as usize])).collect();
            assert_eq!(found, expected, "{partition}");
        }
    }
}
