//! Figures of writing and of sync, for Prometheus.
//!
//! Names follow its conventions: seconds and bytes, `_total` for what only grows, moments as seconds since 1970, so that an
//! age is `time() - it`. Labels are few and bounded; each edge on its own is told to those who may see records, and no more
//! than [`MAX_NODES`] of them.

use std::collections::BTreeSet;

use super::Problem;
use super::health::Page;
use crate::domain::protocol::PROTOCOLS;
use crate::domain::session::LinkState;
use crate::meter::Talk;
use crate::node::{KnownNode, LinkStatus, PeerState, PeerStatus};
use crate::web::App;

/// Of so many edges each is told on its own: those that were not heard of for the longest.
const MAX_NODES: usize = 200;

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

/// What the one who writes does, and what waits to be sent.
pub async fn writes(app: &App, page: &mut Page) -> Result<(), Problem> {
    let store = app.node.store();
    if let Some(writes) = store.meter() {
        page.family("outpost_store_group_requests", "histogram", "Requests that shared one transaction.");
        page.histogram("outpost_store_group_requests", &[], &writes.together);
        page.family("outpost_store_commit_seconds", "histogram", "Time a transaction took, with the flush to disk.");
        page.histogram("outpost_store_commit_seconds", &[], &writes.took);
        page.family("outpost_store_commit_failures_total", "counter", "Transactions that were given up.");
        page.value("outpost_store_commit_failures_total", &[], writes.failed.get());
    }
    let oldest = store.outbox(1).await?.into_iter().next();
    let oldest = oldest.and_then(|unsent| unsent.save.records.first().map(|record| record.time.millis()));
    page.family(
        "outpost_outbox_oldest_timestamp_seconds",
        "gauge",
        "When the oldest save was made that the hub has not acknowledged; absent if there is none.",
    );
    if let Some(oldest) = oldest {
        page.value("outpost_outbox_oldest_timestamp_seconds", &[], seconds(oldest));
    }
    Ok(())
}

/// How a node stands with its hub and with its edges.
pub async fn conversations(app: &App, named: bool, page: &mut Page) -> Result<(), Problem> {
    page.family("outpost_sync_protocol", "gauge", "The best version of the sync protocol spoken here.");
    page.value("outpost_sync_protocol", &[], PROTOCOLS.first().copied().unwrap_or_default());
    if let Some(link) = &app.link {
        state(&link.status(), page);
        if let Some(talk) = link.meter() {
            above(&talk, page);
        }
        if let Some(known) = link.peers() {
            peers(&known.list(), named, page);
        }
    }
    if let Some(nodes) = &app.nodes {
        let known = nodes.list().await?;
        below(&known, named, page);
        if let Some(talk) = nodes.meter() {
            served(&talk, page);
        }
    }
    Ok(())
}

/// The other edges of the site, and what came from them.
fn peers(known: &[PeerStatus], named: bool, page: &mut Page) {
    page.family("outpost_peers", "gauge", "Other edges of the site that this one asks, by how it stands with them.");
    for state in PeerState::ALL {
        let count = known.iter().filter(|peer| peer.state == state).count();
        page.value("outpost_peers", &[("state", state.as_str())], count);
    }
    let sum = |of: fn(&PeerStatus) -> u64| known.iter().map(of).sum::<u64>();
    page.family("outpost_peer_taken_total", "counter", "What was taken from other edges of the site.");
    page.value("outpost_peer_taken_total", &[("what", "saves")], sum(|peer| peer.saves));
    page.value("outpost_peer_taken_total", &[("what", "records")], sum(|peer| peer.records));
    page.value("outpost_peer_taken_total", &[("what", "chunks")], sum(|peer| peer.chunks));
    if !named {
        return;
    }
    page.family("outpost_peer_last_contact_timestamp_seconds", "gauge", "When the peer was last heard.");
    for peer in known {
        if let Some(at) = peer.last_contact {
            let labels = [("url", peer.url.as_str()), ("name", peer.name.as_deref().unwrap_or_default())];
            page.value("outpost_peer_last_contact_timestamp_seconds", &labels, seconds(at));
        }
    }
}

fn state(status: &LinkStatus, page: &mut Page) {
    use LinkState::{Behind, InStep, Offline, Paused, Refused};
    page.family("outpost_link_in_step", "gauge", "Whether this edge and its hub hold the same.");
    page.value("outpost_link_in_step", &[("state", status.state.as_str())], u8::from(status.in_step));
    page.family("outpost_link_state", "gauge", "1 for the state of the link, 0 for the others.");
    for state in [InStep, Behind, Offline, Paused, Refused] {
        page.value("outpost_link_state", &[("state", state.as_str())], u8::from(state == status.state));
    }
    page.family("outpost_link_state_timestamp_seconds", "gauge", "Since when the link is in its state.");
    page.value("outpost_link_state_timestamp_seconds", &[], seconds(status.since));
    page.family("outpost_link_pending_in", "gauge", "Records known to be newer at the hub.");
    page.value("outpost_link_pending_in", &[], status.pending_in);
    page.family("outpost_link_last_contact_timestamp_seconds", "gauge", "When the hub was last heard; absent before.");
    if let Some(at) = status.last_contact {
        page.value("outpost_link_last_contact_timestamp_seconds", &[], seconds(at));
    }
    page.family(
        "outpost_link_clock_ahead_seconds",
        "gauge",
        "How far this clock is ahead of the hub's; absent before.",
    );
    if let Some(ahead) = status.clock_ahead {
        page.value("outpost_link_clock_ahead_seconds", &[], seconds(ahead));
    }
}

/// The counters of an edge's own conversations.
fn above(talk: &Talk, page: &mut Page) {
    page.family("outpost_link_steps_total", "counter", "Steps of conversations with the hub, by how they ended.");
    for (step, outcome, count) in talk.steps().filter(|(step, _, _)| *step != "enrol") {
        page.value("outpost_link_steps_total", &[("step", step), ("outcome", outcome)], count);
    }
    page.family("outpost_link_step_seconds", "histogram", "Time a step took, with what it wrote here.");
    for (step, took) in talk.durations().filter(|(step, _)| *step != "enrol") {
        page.histogram("outpost_link_step_seconds", &[("step", step)], took);
    }
    page.family("outpost_link_sent_bytes_total", "counter", "Bytes of messages sent to the hub.");
    page.value("outpost_link_sent_bytes_total", &[], talk.bytes_sent.get());
    page.family("outpost_link_received_bytes_total", "counter", "Bytes of answers and streams of the hub.");
    page.value("outpost_link_received_bytes_total", &[], talk.bytes_received.get());
    page.family("outpost_link_rows_total", "counter", "Records, or parts of them, that were pulled.");
    page.value("outpost_link_rows_total", &[], talk.rows.get());
    page.family("outpost_link_saves_total", "counter", "Saves sent to the hub, by what it said.");
    page.value("outpost_link_saves_total", &[("verdict", "accepted")], talk.saves_accepted.get());
    page.value("outpost_link_saves_total", &[("verdict", "quarantined")], talk.saves_quarantined.get());
    page.value("outpost_link_saves_total", &[("verdict", "refused")], talk.saves_refused.get());
    let help = "Partitions whose digest differed from the hub's, which were pulled from the beginning.";
    page.family("outpost_link_differences_total", "counter", help);
    page.value("outpost_link_differences_total", &[], talk.healed.get());
}

/// The counters of what edges asked of this node.
fn served(talk: &Talk, page: &mut Page) {
    const ASKED: [&str; 4] = ["enrol", "hello", "push", "pull"];
    page.family("outpost_sync_requests_total", "counter", "Questions of edges, by how they were answered.");
    let never = |outcome: &str| outcome == "unreachable";
    for (step, outcome, count) in talk.steps().filter(|(step, outcome, _)| ASKED.contains(step) && !never(outcome)) {
        page.value("outpost_sync_requests_total", &[("step", step), ("outcome", outcome)], count);
    }
    page.family("outpost_sync_request_seconds", "histogram", "Time an answer to an edge took.");
    for (step, took) in talk.durations().filter(|(step, _)| ASKED.contains(step)) {
        page.histogram("outpost_sync_request_seconds", &[("step", step)], took);
    }
    page.family("outpost_sync_received_bytes_total", "counter", "Bytes of messages of edges.");
    page.value("outpost_sync_received_bytes_total", &[], talk.bytes_received.get());
    page.family("outpost_sync_sent_bytes_total", "counter", "Bytes of answers to edges, without streams.");
    page.value("outpost_sync_sent_bytes_total", &[], talk.bytes_sent.get());
    page.family("outpost_sync_rows_total", "counter", "Records, or parts of them, that edges pulled.");
    page.value("outpost_sync_rows_total", &[], talk.rows.get());
    page.family("outpost_sync_saves_total", "counter", "Saves that edges pushed, by what they were answered.");
    page.value("outpost_sync_saves_total", &[("verdict", "accepted")], talk.saves_accepted.get());
    page.value("outpost_sync_saves_total", &[("verdict", "quarantined")], talk.saves_quarantined.get());
    page.value("outpost_sync_saves_total", &[("verdict", "refused")], talk.saves_refused.get());
    page.family("outpost_sync_listening", "gauge", "Streams and long polls of edges that are open.");
    page.value("outpost_sync_listening", &[], talk.listening.get());
}

/// How far the edges are.
fn below(known: &[KnownNode], named: bool, page: &mut Page) {
    let mut active: Vec<&KnownNode> = known.iter().filter(|known| !known.revoked).collect();
    active.sort_by_key(|known| (known.last_contact, known.id));
    // one that is served by two is one
    let mut seen = BTreeSet::new();
    active.retain(|known| seen.insert(known.id));
    page.family("outpost_nodes", "gauge", "Nodes below this one that were not withdrawn, in step and not.");
    let in_step = active.iter().filter(|known| known.in_step).count();
    page.value("outpost_nodes", &[("in_step", "true")], in_step);
    page.value("outpost_nodes", &[("in_step", "false")], active.len() - in_step);
    page.family("outpost_nodes_never_heard", "gauge", "Nodes that were let in and never heard of.");
    page.value("outpost_nodes_never_heard", &[], active.iter().filter(|known| known.last_contact.is_none()).count());
    page.family(
        "outpost_nodes_oldest_contact_timestamp_seconds",
        "gauge",
        "When the node was heard of that is silent the longest.",
    );
    if let Some(at) = active.iter().find_map(|known| known.last_contact) {
        page.value("outpost_nodes_oldest_contact_timestamp_seconds", &[], seconds(at));
    }
    page.family("outpost_nodes_waiting_saves", "gauge", "Saves that all nodes told they still hold.");
    page.value("outpost_nodes_waiting_saves", &[], active.iter().filter_map(|known| known.waiting).sum::<u64>());
    if !named {
        return;
    }
    active.truncate(MAX_NODES);
    let labels: Vec<(String, &str)> = active.iter().map(|known| (known.id.to_string(), known.name.as_str())).collect();
    let mut each = |name: &str, help: &str, value: &dyn Fn(&KnownNode) -> Option<f64>| {
        page.family(name, "gauge", help);
        for (known, (id, called)) in active.iter().zip(&labels) {
            if let Some(value) = value(known) {
                page.value(name, &[("node", id), ("name", called)], value);
            }
        }
    };
    each("outpost_node_in_step", "Whether the node and this one hold the same.", &|known| {
        Some(f64::from(u8::from(known.in_step)))
    });
    each("outpost_node_last_contact_timestamp_seconds", "When the node was last heard of.", &|known| {
        known.last_contact.map(seconds)
    });
    each("outpost_node_behind_records", "Records here that the node does not have, as far as it told.", &|known| {
        known.behind.map(|behind| behind as f64)
    });
    each("outpost_node_waiting_saves", "Saves the node told it still holds.", &|known| {
        known.waiting.map(|waiting| waiting as f64)
    });
}
