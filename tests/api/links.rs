//! Nodes below a hub, and the link of an edge. Carrying itself is tested where it is done; here is what one can ask of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use outpost::domain::ids::NodeId;
use outpost::node::{KnownNode, Link, LinkState, LinkStatus, NodeChange, NodeError, Nodes};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{BEGIN, start_hub, start_hub_with};

struct OneNode(Mutex<KnownNode>);

#[async_trait]
impl Nodes for OneNode {
    async fn invite(&self, name: &str, scope: Value, _: bool) -> Result<String, NodeError> {
        Ok(format!("invitation of {name} to {scope}"))
    }

    async fn list(&self) -> Result<Vec<KnownNode>, NodeError> {
        Ok(vec![self.0.lock().expect("no panic").clone()])
    }

    async fn revoke(&self, id: NodeId) -> Result<(), NodeError> {
        let mut known = self.0.lock().expect("no panic");
        if known.id != id {
            return Err(NodeError::NotFound("node"));
        }
        known.revoked = true;
        Ok(())
    }

    async fn move_to(&self, id: NodeId, site: &str) -> Result<(), NodeError> {
        let mut known = self.0.lock().expect("no panic");
        if known.id != id || known.revoked {
            return Err(NodeError::NotFound("node"));
        }
        known.site = Some(site.to_owned()).filter(|site| !site.is_empty());
        Ok(())
    }

    async fn change(&self, id: NodeId, change: NodeChange) -> Result<(), NodeError> {
        let mut known = self.0.lock().expect("no panic");
        if known.id != id || known.revoked {
            return Err(NodeError::NotFound("node"));
        }
        known.scope = change.scope.unwrap_or(known.scope.clone());
        known.relays = change.relays.unwrap_or(known.relays);
        Ok(())
    }
}

fn one_node() -> Arc<dyn Nodes> {
    Arc::new(OneNode(Mutex::new(KnownNode {
        id: NodeId(0xed9e),
        name: "Platform 7".into(),
        scope: json!("all"),
        relays: false,
        site: None,
        via: None,
        enrolled_at: BEGIN,
        last_contact: None,
        revoked: false,
        behind: None,
        waiting: None,
        in_step: false,
        past: None,
        silent: false,
    })))
}

#[actix_web::test]
async fn a_hub_lists_invites_and_withdraws_nodes() {
    let hub = start_hub_with(|_| (None, Some(one_node()))).await;
    let listed = hub.get("/nodes").await.expect(200);
    assert_eq!(listed["items"][0]["id"], "000000000000ed9e");
    assert_eq!(listed["items"][0]["enrolled_at"], "2026-11-03T09:00:00.000Z");
    let scope = json!({ "work-order": ["platform-7"], "inspection": true });
    let invited = hub.post("/nodes/invitations", &json!({ "name": "Boat", "scope": scope })).await.expect(201);
    assert_eq!((&invited["name"], &invited["scope"]), (&json!("Boat"), &scope));
    assert!(invited["token"].as_str().is_some_and(|token| token.starts_with("invitation of Boat")));
    assert_eq!(hub.post("/nodes/invitations", &json!({})).await.expect(201)["scope"], "all");
    for bad in [
        json!({ "scope": "some" }),
        json!({ "scope": { "work-order": false } }),
        json!({ "scope": ["work-order"] }),
        json!({ "scope": 1 }),
        json!({ "name": 1 }),
        json!({ "name": "x".repeat(101) }),
        json!({ "scopes": "all" }),
        json!([]),
    ] {
        hub.post("/nodes/invitations", &bad).await.problem(422);
    }
    let change = |body: &Value| hub.send(hub.request(Method::PATCH, "/nodes/000000000000ed9e").json(body));
    assert_eq!(
        change(&json!({ "scope": { "inspection": true } })).await.expect(200)["scope"],
        json!({ "inspection": true })
    );
    for bad in [
        json!({ "scope": "some" }),
        json!({ "scope": null }),
        json!({ "name": "x" }),
        json!({ "relays": 1 }),
        json!({ "site": 7 }),
        json!([]),
    ] {
        change(&bad).await.problem(422);
    }
    assert_eq!(change(&json!({ "relays": true })).await.expect(200)["relays"], true);
    assert_eq!(change(&json!({ "site": "Tern Bay" })).await.expect(200)["site"], "Tern Bay");
    assert_eq!(change(&json!({ "site": null, "relays": true })).await.expect(200)["site"], Value::Null);
    assert_eq!(hub.post("/nodes/invitations", &json!({ "site": "Tern Bay" })).await.expect(201)["site"], "Tern Bay");
    assert_eq!(change(&json!({})).await.expect(200)["scope"], json!({ "inspection": true }));
    hub.send(hub.request(Method::PATCH, "/nodes/000000000000ed9f").json(&json!({ "scope": "all" }))).await.problem(404);
    assert_eq!(hub.delete("/nodes/000000000000ed9e").await.expect(200)["revoked"], true);
    hub.send(hub.request(Method::PATCH, "/nodes/000000000000ed9e").json(&json!({ "scope": "all" }))).await.problem(404);
    for unknown in ["000000000000ed9f", "ed9e", "none"] {
        hub.delete(&format!("/nodes/{unknown}")).await.problem(404);
    }
    let staff = hub.token(outpost::domain::people::Role::Designer).await;
    let request = hub.client.get(format!("{}/api/v1/nodes", hub.base)).bearer_auth(&staff);
    hub.send(request).await.problem(403);
}

#[actix_web::test]
async fn a_hub_has_no_link_upwards() {
    let hub = start_hub().await;
    let status = hub.get("/sync").await.expect(200);
    assert_eq!((&status["role"], &status["upstream"], &status["in_step"]), (&json!("hub"), &json!(null), &json!(true)));
    assert_eq!(status["node"], json!({ "id": hub.node().identity().node, "name": "Hub" }));
    for verb in ["now", "pause", "resume"] {
        hub.post(&format!("/sync/{verb}"), &json!({})).await.problem(409);
    }
    // this node was started without any below it
    hub.get("/nodes").await.problem(409);
}

/// Remembers what was asked of it.
struct Asked(watch::Sender<LinkStatus>);

impl Asked {
    fn say(&self, state: LinkState) {
        self.0.send_modify(|status| status.state = state);
    }
}

impl Link for Asked {
    fn status(&self) -> LinkStatus {
        self.0.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<LinkStatus> {
        self.0.subscribe()
    }

    fn sync_now(&self) {
        self.say(LinkState::InStep);
    }

    fn pause(&self) {
        self.say(LinkState::Paused);
    }

    fn resume(&self) {
        self.say(LinkState::Behind);
    }
}

#[actix_web::test]
async fn the_link_of_an_edge_is_shown_sent_paused_and_resumed() {
    let status = LinkStatus {
        url: "http://hub.example.org".into(),
        hub_name: "Hub".into(),
        state: LinkState::Offline,
        since: BEGIN,
        last_contact: None,
        reason: Some("connection refused".into()),
        next_try: Some(BEGIN + 5000),
        pending_out: 3,
        pending_in: 0,
        in_step: false,
        clock_ahead: Some(-20),
        above: None,
        noticed: None,
    };
    let link: Arc<dyn Link> = Arc::new(Asked(watch::Sender::new(status)));
    let edge = start_hub_with(|_| (Some(link), None)).await;
    let shown = edge.get("/sync").await.expect(200);
    assert_eq!((&shown["pending_out"], &shown["pending_in"], &shown["in_step"]), (&json!(3), &json!(0), &json!(false)));
    assert_eq!(
        shown["upstream"],
        json!({
            "url": "http://hub.example.org",
            "name": "Hub",
            "state": "offline",
            "since": "2026-11-03T09:00:00.000Z",
            "last_contact": null,
            "reason": "connection refused",
            "next_try": "2026-11-03T09:00:05.000Z",
                "above": null,
        })
    );
    for (verb, state) in [("now", "in-step"), ("pause", "paused"), ("resume", "behind")] {
        assert_eq!(edge.post(&format!("/sync/{verb}"), &json!({})).await.expect(200)["upstream"]["state"], state);
    }
    let viewer = edge.token(outpost::domain::people::Role::Viewer).await;
    let request = edge.client.post(format!("{}/api/v1/sync/pause", edge.base)).bearer_auth(&viewer);
    edge.send(request).await.problem(403);
}
