//! Saves as they come from other nodes.

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, NodeId, SaveId};
use outpost::domain::path::Path;
use outpost::domain::record::{Act, Change, Content};
use outpost::domain::save::{Save, SavedRecord};
use outpost::domain::stamp::Author;
use outpost::store::{Held, Outcome, Request, Verdict};
use serde_json::Value;

use crate::browser::Site;

/// Writes a field on another node by somebody who has seen `held` and nothing later.
pub async fn write_unknowing(site: &Site, held: &Held, field: &str, value: Value) {
    let path = Path::root().property(field);
    let person = site.node.caches().people().first().expect("somebody").id;
    let change = Change { replaces: held.state.cover(&path), path, act: Act::Set(Content::json(value)) };
    let save = Save {
        id: SaveId(held.id.as_u128()),
        author: Author { node: NodeId(9), incarnation: Incarnation(9), person },
        records: vec![SavedRecord {
            type_name: held.type_name.clone(),
            id: held.id,
            revision: held.state.revision(),
            time: Hlc::at(site.node.now() + 1000),
            changes: vec![change],
        }],
    };
    let received =
        site.node.store().write(Request::Receive { saves: vec![save], now: site.node.now(), relay: false }).await;
    assert_eq!(received.expect("no error"), Outcome::Received(vec![Verdict::Accepted]));
}
