//! Long texts that people edit without a link.

use outpost::domain::session::LinkState;
use serde_json::json;

use crate::site::{EdgeNode, HubNode, Kind, note};

#[tokio::test(flavor = "multi_thread")]
async fn who_edits_one_text_on_two_sites_without_a_link_finds_both_edits_in_it() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let here = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    let there = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let text = "The pump is loud. The valve is shut.";
    let record = hub.person.create(note(), json!({"title": "a", "story": text})).await;
    for edge in [&here, &there] {
        edge.person.sees(&record, "/story", json!(text)).await;
        edge.switch.set(false);
        edge.until(LinkState::Offline).await;
    }
    here.person.edit(&record, "/story", "The old pump is loud. The valve is shut.").await;
    here.person.edit(&record, "/story", "The old pump is very loud. The valve is shut.").await;
    there.person.edit(&record, "/story", "The pump is loud. The valve is open now. Call me.").await;
    hub.person.edit(&record, "/story", "Monday: The pump is loud. The valve is shut.").await;

    let both = json!("Monday: The old pump is very loud. The valve is open now. Call me.");
    for edge in [&here, &there] {
        edge.switch.set(true);
    }
    for person in [&hub.person, &here.person, &there.person] {
        person.sees(&record, "/story", both.clone()).await;
    }
    here.until_in_step().await;
    there.until_in_step().await;
    assert_eq!(hub.lost().await, 0, "nothing lost");
    here.stop().await;
    there.stop().await;
    hub.stop().await;
}
