//! Edges of one site that speak to each other directly: with the hub away, and for a first copy.

use std::collections::BTreeMap;
use std::time::Duration;

use outpost::domain::ids::{Partition, SaveId};
use outpost::domain::peer::{Ask, Meet, Met, Peer, Sealed, SessionKey, Told, Way};
use outpost::domain::protocol::Push;
use outpost::domain::scope::Scope;
use outpost::domain::session::LinkState;
use outpost::domain::snapshot::ChunkHash;
use outpost::node::{Link as _, Nodes, PeerState, Peers as _};
use outpost::store::{Digest, HistoryLine, Store};
use outpost::sync::{HttpTransport, Switch, Transport, wire};
use serde_json::{Value, json};

use crate::site::{EdgeNode, HubNode, Key, Kind, job, note};

/// An edge of a site, which answers; and where.
async fn at(hub: &HubNode, site: &str, name: &str, kind: Kind, scope: Value) -> (EdgeNode, String) {
    let token = hub.hub.invite_to(name, scope, false, site).await.expect("an invitation is made");
    let mut edge = EdgeNode::join_at(&hub.url, &token, kind).await;
    edge.until_in_step().await;
    let url = edge.serve();
    (edge, url)
}

/// So many edges of one site, each of which asks the next one, and the last the first.
async fn ring(hub: &HubNode, kind: Kind, many: usize) -> Vec<EdgeNode> {
    let mut edges = Vec::new();
    for n in 0..many {
        edges.push(at(hub, "bay", &format!("edge {n}"), kind, json!("all")).await);
    }
    for (n, (edge, _)) in edges.iter().enumerate() {
        named(edge, many - 1).await;
        edge.meets(&edges[(n + 1) % many].1).await;
    }
    edges.into_iter().map(|(edge, _)| edge).collect()
}

/// Waits until the hub has named so many others to an edge.
async fn named(edge: &EdgeNode, many: usize) {
    for _ in 0..1_000 {
        if edge.peers.named().len() == many {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", edge.peers.named());
}

async fn cut(edges: &[&EdgeNode]) {
    for edge in edges {
        edge.switch.set(false);
        // so that it notices now
        edge.link.sync_now();
    }
    for edge in edges {
        edge.until(LinkState::Offline).await;
    }
}

async fn digests(store: &dyn Store) -> BTreeMap<Partition, (u64, Digest)> {
    let states = store.partitions().await.expect("the store works");
    let states = states.into_iter().filter(|state| !state.partition.is_local() && state.records > 0);
    states.map(|state| (state.partition, (state.records, state.digest))).collect()
}

/// All have the same, nothing waits, and each saw every change once.
async fn all_equal(hub: &HubNode, edges: &[&EdgeNode], keys: &[&Key]) {
    let at_hub = digests(&*hub.store).await;
    for edge in edges {
        edge.until_in_step().await;
        assert_eq!(digests(&*edge.store).await, at_hub);
        assert_eq!(edge.store.waiting().await.expect("the store works"), 0);
        assert_eq!(edge.store.recompute_digests().await.expect("it can be read").len(), at_hub.len());
        let told = edge.link.meter().expect("it counts");
        assert_eq!(told.healed.get(), 0, "no digest ever differed");
    }
    for key in keys {
        let mut changes: Vec<_> = lines(hub, key).await.iter().map(|line| (line.stamp, line.path.clone())).collect();
        let all = changes.len();
        changes.dedup();
        assert_eq!(changes.len(), all, "a change is told once");
    }
    assert_eq!(hub.lost().await, 0, "nobody wrote over what they had not seen");
}

/// Ends all of it; those who ask first, so that nobody is waited for.
async fn stop(hub: &HubNode, edges: &[&EdgeNode]) {
    for edge in edges {
        edge.peers.stop().await;
    }
    for edge in edges {
        edge.link.stop().await;
    }
    for edge in edges {
        edge.stop().await;
    }
    hub.stop().await;
}

async fn lines(hub: &HubNode, key: &Key) -> Vec<HistoryLine> {
    hub.store.history(&key.0, key.1).await.expect("the store works")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_on_either_is_on_both_without_the_hub_and_one_of_them_brings_all_of_it() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let old = hub.person.create(note(), json!({"title": "old", "status": "open"})).await;
        let edges = ring(&hub, kind, 2).await;
        let (one, two) = (&edges[0], &edges[1]);
        cut(&[one, two]).await;
        let new = one.person.create(note(), json!({"title": "made by one"})).await;
        two.person.sees(&new, "/title", json!("made by one")).await;
        two.person.set(&new, "/title", json!("changed by two")).await;
        one.person.sees(&new, "/title", json!("changed by two")).await;
        one.person.set(&old, "/status", json!("done")).await;
        two.person.sees(&old, "/status", json!("done")).await;
        assert_eq!(hub.person.value(&new, "/title").await, None);
        one.until_peers(PeerState::Connected).await;

        // only one of them meets the hub
        two.switch.set(true);
        hub.person.sees(&new, "/title", json!("changed by two")).await;
        hub.person.sees(&old, "/status", json!("done")).await;
        two.until_in_step().await;
        let made = hub.store.record(&new.0, new.1).await.expect("the store works").expect("it is there");
        let by: Vec<_> = lines(&hub, &new).await.iter().map(|line| line.stamp.author).collect();
        assert_eq!(by, [two.person.author()], "one line, by whom it was changed");
        let path = outpost::domain::path::Path::root().property("title");
        assert_eq!(made.state.stamp_at(&path).author, two.person.author());
        let done = &lines(&hub, &old).await[0];
        assert_eq!((done.stamp.author, done.new.clone()), (one.person.author(), Some(json!("done"))));
        // the other one does not believe that the hub has it before the hub says so
        assert!(one.store.waiting().await.expect("the store works") >= 2);
        assert_eq!(one.link.status().state, LinkState::Offline);

        one.switch.set(true);
        one.until_in_step().await;
        all_equal(&hub, &[one, two], &[&new, &old]).await;
        one.peers.now();
        two.peers.now();
        for edge in [one, two] {
            edge.until_peers(PeerState::Resting).await;
            assert!(edge.peers.list()[0].saves >= 1, "{:?}", edge.peers.list());
        }
        stop(&hub, &[one, two]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_three_goes_on_without_the_hub_and_nothing_is_there_twice_when_it_is_back() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let text = hub.person.create(note(), json!({"title": "t", "text": "one two three"})).await;
    let edges = ring(&hub, Kind::Sqlite, 3).await;
    let all: Vec<&EdgeNode> = edges.iter().collect();
    for edge in &all {
        edge.person.sees(&text, "/title", json!("t")).await;
    }
    cut(&all).await;
    let mut made = Vec::new();
    for (n, edge) in all.iter().enumerate() {
        made.push(edge.person.create(note(), json!({"title": format!("by {n}"), "n": n})).await);
    }
    for edge in &all {
        for (n, key) in made.iter().enumerate() {
            edge.person.sees(key, "/n", json!(n)).await;
        }
    }
    // each edits what the one before it made, when it has come round
    for (n, key) in made.iter().enumerate() {
        all[(n + 1) % 3].person.set(key, "/title", json!("edited")).await;
    }
    for edge in &all {
        for key in &made {
            edge.person.sees(key, "/title", json!("edited")).await;
        }
    }
    // each holds the saves of all, and none more than once
    let mut ids = Vec::new();
    for edge in &all {
        let mut saves: Vec<_> = edge
            .store
            .outbox(1 << 30)
            .await
            .expect("the store works")
            .into_iter()
            .map(|unsent| unsent.save.id)
            .collect();
        saves.sort();
        ids.push(saves);
    }
    assert_eq!(ids[0].len(), 6, "three made, three edits");
    assert!(ids.iter().all(|known| *known == ids[0]));
    // it comes to rest: nothing goes round and round
    tokio::time::sleep(Duration::from_millis(300)).await;
    let heads = || async {
        let mut heads = Vec::new();
        for edge in &all {
            heads.extend(edge.store.partitions().await.expect("the store works").into_iter().map(|state| state.head));
        }
        heads
    };
    let before = heads().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(heads().await, before);

    for edge in &all {
        edge.switch.set(true);
    }
    let keys: Vec<&Key> = made.iter().chain([&text]).collect();
    for key in &made {
        hub.person.sees(key, "/title", json!("edited")).await;
        assert_eq!(lines(&hub, key).await.len(), 1, "made, and edited once");
    }
    for edge in &all {
        edge.until_in_step().await;
    }
    all_equal(&hub, &all, &keys).await;
    // and after that, too
    hub.person.set(&text, "/title", json!("later")).await;
    for edge in &all {
        edge.person.sees(&text, "/title", json!("later")).await;
        edge.until_in_step().await;
    }
    all_equal(&hub, &all, &keys).await;
    stop(&hub, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_scope_of_both_stays_where_it_is() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let shared = hub.person.create(job(), json!({"site": "p8", "title": "shared"})).await;
    let (one, one_url) = at(&hub, "bay", "one", Kind::Sqlite, json!({"job": ["p7", "p8"]})).await;
    let (two, two_url) = at(&hub, "bay", "two", Kind::Sqlite, json!({"job": ["p8", "p9"], "note": true})).await;
    for (edge, url) in [(&one, &two_url), (&two, &one_url)] {
        named(edge, 1).await;
        edge.meets(url).await;
        edge.person.sees(&shared, "/title", json!("shared")).await;
    }
    cut(&[&one, &two]).await;
    let only_one = one.person.create(job(), json!({"site": "p7", "title": "only one"})).await;
    let only_two = two.person.create(note(), json!({"title": "only two"})).await;
    let moves = one.person.create(job(), json!({"site": "p8", "title": "stays here"})).await;
    two.person.sees(&moves, "/title", json!("stays here")).await;
    one.person.set(&moves, "/site", json!("p7")).await;
    one.person.set(&moves, "/title", json!("not for two")).await;
    let both = one.person.create(job(), json!({"site": "p8", "title": "both"})).await;
    let back = two.person.create(job(), json!({"site": "p8", "title": "back"})).await;
    two.person.sees(&both, "/title", json!("both")).await;
    one.person.sees(&back, "/title", json!("back")).await;
    for (edge, outside) in [(&two, &only_one), (&one, &only_two)] {
        assert!(edge.store.record(&outside.0, outside.1).await.expect("the store works").is_none());
        let saves = edge.store.outbox(1 << 30).await.expect("the store works");
        assert!(saves.iter().all(|unsent| unsent.save.records.iter().all(|record| record.id != outside.1)));
    }
    // what went elsewhere since is told by the hub alone
    assert_eq!(two.person.value(&moves, "/title").await, Some(json!("stays here")));
    two.switch.set(true);
    hub.person.sees(&both, "/title", json!("both")).await;
    two.until_in_step().await;
    assert_eq!(hub.person.value(&moves, "/site").await, Some(json!("p8")));
    one.switch.set(true);
    two.person.is_gone(&moves).await;
    hub.person.sees(&moves, "/title", json!("not for two")).await;
    for edge in [&one, &two] {
        edge.until_in_step().await;
        assert_eq!(edge.store.waiting().await.expect("the store works"), 0);
    }
    stop(&hub, &[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_heard_from_the_hub_comes_to_the_other_and_nothing_that_left_comes_back() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let stays = hub.person.create(note(), json!({"title": "stays"})).await;
    let leaves = hub.person.create(job(), json!({"site": "p7", "title": "leaves"})).await;
    let scope = json!({"note": true, "job": ["p7"]});
    let (one, one_url) = at(&hub, "bay", "one", Kind::Sqlite, scope.clone()).await;
    let (two, two_url) = at(&hub, "bay", "two", Kind::Sqlite, scope).await;
    for (edge, url) in [(&one, &two_url), (&two, &one_url)] {
        named(edge, 1).await;
        edge.meets(url).await;
        edge.person.sees(&leaves, "/title", json!("leaves")).await;
        edge.until_in_step().await;
    }
    cut(&[&one]).await;
    // only two hears of these
    let news = hub.person.create(note(), json!({"title": "news"})).await;
    hub.person.set(&stays, "/title", json!("changed")).await;
    hub.person.set(&leaves, "/site", json!("p9")).await;
    two.person.is_gone(&leaves).await;
    one.person.sees(&news, "/title", json!("news")).await;
    one.person.sees(&stays, "/title", json!("changed")).await;
    assert!(one.peers.list()[0].records >= 2, "{:?}", one.peers.list());
    // what one edits of that goes the other way, and what left does not come back to two
    one.person.set(&news, "/title", json!("read and answered")).await;
    two.person.sees(&news, "/title", json!("read and answered")).await;
    one.person.set(&leaves, "/title", json!("edited where it was")).await;
    hub.person.sees(&news, "/title", json!("read and answered")).await;
    hub.person.sees(&leaves, "/title", json!("edited where it was")).await;
    assert!(two.store.record(&leaves.0, leaves.1).await.expect("the store works").is_none());
    two.until_in_step().await;
    assert_eq!(one.store.waiting().await.expect("the store works"), 2, "the hub has not told one");
    one.switch.set(true);
    one.person.is_gone(&leaves).await;
    for edge in [&one, &two] {
        edge.until_in_step().await;
        assert_eq!(edge.link.meter().expect("it counts").healed.get(), 0, "no digest ever differed");
    }
    assert_eq!(digests(&*one.store).await, digests(&*two.store).await);
    assert_eq!(hub.lost().await, 0);
    stop(&hub, &[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_revoked_or_is_of_another_site_gets_and_gives_nothing() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let (one, one_url) = at(&hub, "bay", "one", Kind::Sqlite, json!("all")).await;
    let (two, two_url) = at(&hub, "bay", "two", Kind::Sqlite, json!("all")).await;
    let (far, _) = at(&hub, "elsewhere", "far", Kind::Sqlite, json!("all")).await;
    named(&one, 1).await;
    named(&two, 1).await;
    assert_eq!(far.peers.named().len(), 0);
    one.meets(&two_url).await;
    two.meets(&one_url).await;
    far.meets(&one_url).await;
    far.until_peers(PeerState::Refused).await;
    let reason = far.peers.list()[0].reason.clone().expect("a reason");
    assert!(reason.contains("outpost node change"), "{reason}");

    // one is revoked while it is out of reach; two hears of it
    cut(&[&one]).await;
    let id =
        hub.hub.list().await.expect("the store works").iter().find(|node| node.name == "one").expect("it is known").id;
    hub.hub.revoke(id).await.expect("it is known");
    named(&two, 0).await;
    cut(&[&two]).await;
    let stolen = one.person.create(note(), json!({"title": "stolen"})).await;
    let secret = two.person.create(note(), json!({"title": "secret"})).await;
    one.until_peers(PeerState::Refused).await;
    two.until_peers(PeerState::Refused).await;
    for (edge, other) in [(&one, &secret), (&two, &stolen)] {
        assert_eq!(edge.person.value(other, "/title").await, None);
    }
    // what two took from it before it was revoked would go to quarantine; what it made itself is taken
    two.switch.set(true);
    hub.person.sees(&secret, "/title", json!("secret")).await;
    stop(&hub, &[&one, &two, &far]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_brings_of_one_that_was_revoked_goes_to_quarantine() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let edges = ring(&hub, Kind::Sqlite, 2).await;
    let (one, two) = (&edges[0], &edges[1]);
    cut(&[one, two]).await;
    let taken = one.person.create(note(), json!({"title": "of a lost device"})).await;
    two.person.sees(&taken, "/title", json!("of a lost device")).await;
    let own = two.person.create(note(), json!({"title": "of this one"})).await;
    hub.hub.revoke(one.identity.node).await.expect("it is known");
    two.switch.set(true);
    hub.person.sees(&own, "/title", json!("of this one")).await;
    two.until_in_step().await;
    assert_eq!(hub.person.value(&taken, "/title").await, None);
    two.person.is_gone(&taken).await;
    let entries: u64 = hub
        .store
        .tallies()
        .await
        .expect("the store works")
        .iter()
        .filter(|tally| tally.type_name.as_str() == "_quarantine")
        .map(|tally| tally.living)
        .sum();
    assert_eq!(entries, 1);
    two.until_in_step().await;
    assert_eq!(digests(&*two.store).await, digests(&*hub.store).await);
    stop(&hub, &[one, two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_judges_a_save_that_a_peer_brings_by_the_rights_of_its_author() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let record = hub.person.create(note(), json!({"title": "t", "status": "open"})).await;
    let edges = ring(&hub, Kind::Sqlite, 2).await;
    let (one, two) = (&edges[0], &edges[1]);
    one.person.sees(&record, "/title", json!("t")).await;
    cut(&[one, two]).await;
    let denied = one.person.create(note(), json!({"title": "forbidden"})).await;
    one.person.set(&record, "/status", json!("done")).await;
    two.person.sees(&denied, "/title", json!("forbidden")).await;
    two.person.sees(&record, "/status", json!("done")).await;
    two.switch.set(true);
    hub.person.sees(&record, "/status", json!("done")).await;
    two.until_in_step().await;
    assert_eq!(hub.person.value(&denied, "/title").await, None, "it is in quarantine");
    two.person.is_gone(&denied).await;
    one.switch.set(true);
    one.until_in_step().await;
    one.person.is_gone(&denied).await;
    assert_eq!(digests(&*one.store).await, digests(&*two.store).await);
    assert_eq!(digests(&*one.store).await, digests(&*hub.store).await);
    stop(&hub, &[one, two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_at_a_site_is_brought_also_after_its_author_moved_and_nobody_else_brings_it() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let (one, one_url) = at(&hub, "bay", "one", Kind::Sqlite, json!("all")).await;
    let (two, _) = at(&hub, "bay", "two", Kind::Sqlite, json!("all")).await;
    named(&one, 1).await;
    named(&two, 1).await;
    two.meets(&one_url).await;
    cut(&[&one, &two]).await;
    let early = one.person.create(note(), json!({"title": "early"})).await;
    two.person.sees(&early, "/title", json!("early")).await;
    // somebody who was never at its site cannot bring it
    let (far, _) = at(&hub, "far", "far", Kind::Model, json!("all")).await;
    let way = HttpTransport::new(&hub.url, far.credential(), Switch::default()).expect("an address");
    let unsent = two.store.outbox(1 << 20).await.expect("the store works").into_iter();
    let mut saves: Vec<_> = unsent.map(|unsent| unsent.save).collect();
    saves.iter_mut().for_each(|save| save.id = SaveId(7));
    let told = way.push(&Push { since: 0, saves }).await.expect("the hub answers");
    let reason = told.verdicts[0].quarantined.clone().expect("it is not taken");
    assert!(reason.contains("not made on the device that brought it"), "{reason}");
    // one moves to another site; what two took before is still its to bring
    let id =
        hub.hub.list().await.expect("the store works").iter().find(|node| node.name == "one").expect("it is known").id;
    hub.hub.move_to(id, "elsewhere").await.expect("it is known");
    two.switch.set(true);
    hub.person.sees(&early, "/title", json!("early")).await;
    named(&two, 0).await;
    two.until_in_step().await;
    let known = hub.hub.list().await.expect("the store works");
    assert!(known.iter().any(|node| node.site.as_deref() == Some("elsewhere")));
    one.switch.set(true);
    one.until_in_step().await;
    all_equal(&hub, &[&one, &two], &[&early]).await;
    stop(&hub, &[&one, &two, &far]).await;
}

/// A hub with many notes in small chunks, and an edge of a site that has them all.
async fn many(kind: Kind) -> (HubNode, EdgeNode, String) {
    let hub = HubNode::start(kind).await;
    hub.hub.cut_chunks_about(4_000);
    for many in 0..6 {
        let documents = (0..1_000).map(|n| json!({"title": format!("note {many} {n}"), "n": n}));
        hub.person.create_all(note(), documents.collect()).await;
    }
    let (old, url) = at(&hub, "bay", "old", kind, json!("all")).await;
    old.hub.cut_chunks_about(4_000);
    (hub, old, url)
}

fn chunks_of(hub: &HubNode) -> u64 {
    hub.hub.meter().steps().filter(|(step, _, _)| *step == "chunks").map(|(_, _, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_copy_comes_from_another_edge_of_the_site_and_the_hub_gives_what_that_lacks() {
    let (hub, old, url) = many(Kind::Model).await;
    let before = chunks_of(&hub);
    assert!(before > 20, "the first edge of the site has them from the hub: {before}");
    let token = hub.hub.invite_to("new", json!("all"), false, "bay").await.expect("an invitation is made");
    let new = EdgeNode::join_beside(&hub.url, &token, Kind::Sqlite, std::slice::from_ref(&url)).await;
    new.until_in_step().await;
    assert_eq!(digests(&*new.store).await, digests(&*hub.store).await);
    assert_eq!(chunks_of(&hub), before, "not one came over the link");
    assert_eq!(new.peers.list()[0].chunks, before, "{:?}", new.peers.list());

    // what is otherwise there than at the hub comes from the hub
    cut(&[&old]).await;
    let first = &hub.store.hashes(&Partition("note".into()), None, None, 1).await.expect("it can be read")[0];
    let key = (first.mark.type_name.clone(), first.mark.id);
    old.person.set(&key, "/title", json!("edited at the old one alone")).await;
    let token = hub.hub.invite_to("third", json!("all"), false, "bay").await.expect("an invitation is made");
    let at_hub = chunks_of(&hub);
    let third = EdgeNode::join_beside(&hub.url, &token, Kind::Model, &[url]).await;
    third.until_in_step().await;
    // the old one has not heard of it, since it is cut: all of it came from the hub
    assert_eq!(third.peers.list()[0].chunks, 0);
    assert_eq!(chunks_of(&hub), at_hub + before);
    old.switch.set(true);
    old.until_in_step().await;
    stop(&hub, &[&old, &new, &third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_differs_at_the_other_edge_comes_from_the_hub() {
    let (hub, old, url) = many(Kind::Model).await;
    let all = chunks_of(&hub);
    let first = &hub.store.hashes(&Partition("note".into()), None, None, 1).await.expect("it can be read")[0];
    let key = (first.mark.type_name.clone(), first.mark.id);
    // the link of the old one is full: what is saved there does not leave, but it hears of the new one
    *hub.withdrawn.lock().expect("no panic") = Some("not now".into());
    old.person.set(&key, "/title", json!("edited")).await;
    old.until_in_step().await;
    *hub.withdrawn.lock().expect("no panic") = None;
    // the hub hands out a manifest from before, which has that record as it was
    let before = chunks_of(&hub);
    let token = hub.hub.invite_to("new", json!("all"), false, "bay").await.expect("an invitation is made");
    let new = EdgeNode::join_beside(&hub.url, &token, Kind::Sqlite, &[url]).await;
    new.until_in_step().await;
    assert_eq!(digests(&*new.store).await, digests(&*hub.store).await);
    let (from_hub, from_old) = (chunks_of(&hub) - before, new.peers.list()[0].chunks);
    assert!((1..=3).contains(&from_hub), "{from_hub} of {all} came from the hub");
    assert!(from_old >= all - 3, "{from_old} of {all} came from the old one");
    stop(&hub, &[&old, &new]).await;
}

/// An edge of the site that says it has every chunk, and gives something else.
struct Liar {
    identity: outpost::node::Identity,
    /// Of the one that it lies to, where the key of the two is found.
    asking: std::sync::Mutex<Option<std::sync::Arc<dyn Store>>>,
    has: std::sync::Mutex<Vec<ChunkHash>>,
    conversation: std::sync::Mutex<Option<SessionKey>>,
    gave: std::sync::atomic::AtomicUsize,
}

impl Liar {
    async fn serve(self: &std::sync::Arc<Self>) -> String {
        use actix_web::{App, HttpServer, web};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://127.0.0.1:{}", listener.local_addr().expect("it is bound").port());
        let liar = self.clone();
        let app = move || {
            App::new()
                .app_data(web::Data::from(liar.clone()))
                .route("/sync/v1/peer/meet", web::post().to(Liar::meet))
                .route("/sync/v1/peer/ask", web::post().to(Liar::ask))
        };
        tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).expect("a port").run());
        url
    }

    async fn meet(liar: actix_web::web::Data<Liar>, body: actix_web::web::Bytes) -> Vec<u8> {
        let meet: Meet = wire::decode(&body, 1 << 20).expect("a message");
        let store = liar.asking.lock().expect("no panic").clone().expect("it is told");
        let peers = store.local("peers", "peers").await.expect("the store works").expect("they were named");
        let peers: Vec<Peer> = serde_json::from_value(peers).expect("peers");
        let peer = peers.iter().find(|peer| peer.node == liar.identity.node).expect("it is one of them");
        let key = peer.key.session(meet.node, liar.identity.node, meet.challenge, 5);
        *liar.conversation.lock().expect("no panic") = Some(key);
        let seal = key.seal(Way::Answer, 0, &[]);
        wire::encode(&Met { protocol: 1, node: liar.identity.node, name: "liar".into(), session: 5, seal })
    }

    async fn ask(liar: actix_web::web::Data<Liar>, body: actix_web::web::Bytes) -> Vec<u8> {
        let sealed: Sealed = wire::decode(&body, 1 << 20).expect("a message");
        let key = liar.conversation.lock().expect("no panic").expect("they have met");
        let told = match wire::decode::<Ask>(&sealed.body, 1 << 20).expect("a question") {
            Ask::Chunks(_) => Told::Chunks(liar.has.lock().expect("no panic").clone()),
            Ask::Chunk { .. } => {
                liar.gave.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Told::Chunk(b"something else".to_vec())
            }
            Ask::News(_) => Told::Nothing,
        };
        wire::encode(&Sealed::new(sealed.session, sealed.number, wire::encode(&told), Way::Answer, &key))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_is_not_what_it_is_called_is_thrown_away_and_that_edge_not_asked_again() {
    let (hub, old, url) = many(Kind::Model).await;
    let all = chunks_of(&hub);
    let (store, _dir) = crate::site::store(Kind::Model).await;
    let token = hub.hub.invite_to("liar", json!("all"), false, "bay").await.expect("an invitation is made");
    let world = crate::site::Real::new(90);
    let identity = outpost::sync::enrol(&*store, &*world, &hub.url, &token, "liar").await.expect("it is let in");
    let manifest = {
        let outpost::node::NodeRole::Edge(upstream) = &identity.role else { panic!("it is an edge") };
        let way = HttpTransport::new(&upstream.url, &upstream.credential, Switch::default()).expect("an address");
        way.snapshot(&Partition("note".into())).await.expect("there are chunks")
    };
    let liar = std::sync::Arc::new(Liar {
        identity,
        asking: std::sync::Mutex::default(),
        has: std::sync::Mutex::new(manifest.chunks.iter().map(|chunk| chunk.hash).collect()),
        conversation: std::sync::Mutex::default(),
        gave: Default::default(),
    });
    let liar_url = liar.serve().await;
    let token = hub.hub.invite_to("new", json!("all"), false, "bay").await.expect("an invitation is made");
    let before = chunks_of(&hub);
    let new = EdgeNode::join_telling(&hub.url, &token, Kind::Sqlite, &[liar_url, url], |store| {
        *liar.asking.lock().expect("no panic") = Some(store);
    })
    .await;
    new.until_in_step().await;
    assert_eq!(digests(&*new.store).await, digests(&*hub.store).await);
    assert_eq!(liar.gave.load(std::sync::atomic::Ordering::Relaxed), 1, "it was asked once and never again");
    assert_eq!(chunks_of(&hub), before);
    let chunks: Vec<u64> = new.peers.list().iter().map(|peer| peer.chunks).collect();
    assert_eq!(chunks.iter().sum::<u64>(), all);
    stop(&hub, &[&old, &new]).await;
}

/// Numbers that follow from one another.
struct Dice(u64);

impl Dice {
    fn below(&mut self, many: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % many
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_saved_moved_cut_and_joined_in_between_all_end_with_what_the_hub_has() {
    for seed in 1..=3 {
        let mut dice = Dice(seed);
        let hub = HubNode::start(Kind::Model).await;
        let scopes =
            [json!("all"), json!({"note": true, "job": ["p7", "p8"]}), json!({"note": true, "job": ["p8", "p9"]})];
        let mut edges = Vec::new();
        for (n, scope) in scopes.iter().enumerate() {
            edges.push(at(&hub, "bay", &format!("edge {n}"), Kind::Model, scope.clone()).await);
        }
        let mut keys: Vec<Key> = Vec::new();
        for n in 0..4 {
            keys.push(hub.person.create(note(), json!({"title": n})).await);
            keys.push(hub.person.create(job(), json!({"title": n, "site": format!("p{}", 7 + n % 3)})).await);
        }
        for (n, (edge, _)) in edges.iter().enumerate() {
            named(edge, 2).await;
            for (_, url) in edges.iter().enumerate().filter(|(other, _)| *other != n).map(|(_, other)| other) {
                edge.meets(url).await;
            }
        }
        for step in 0..120 {
            let who = dice.below(4);
            let person = edges.get(who).map_or(&hub.person, |(edge, _)| &edge.person);
            match dice.below(8) {
                0 | 1 if who < 3 => {
                    let (edge, _) = &edges[who];
                    edge.switch.set(!edge.switch.is_up());
                    edge.link.sync_now();
                }
                2 => keys.push(person.create(note(), json!({"title": step})).await),
                3 => {
                    let site = format!("p{}", 7 + dice.below(3));
                    keys.push(person.create(job(), json!({"title": step, "site": site})).await);
                }
                other => {
                    let key = keys[dice.below(keys.len())].clone();
                    let site = format!("p{}", 7 + dice.below(3));
                    // only what is there can be edited
                    if person.value(&key, "/title").await.is_some() {
                        match other {
                            4 if key.0 == job() => person.set(&key, "/site", json!(site)).await,
                            5 => person.bin(&key, dice.below(2) == 0).await,
                            _ => person.set(&key, "/title", json!(step)).await,
                        }
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(dice.below(25) as u64)).await;
        }
        for (edge, _) in &edges {
            edge.switch.set(true);
            edge.link.sync_now();
        }
        let mut at_hub = BTreeMap::new();
        for _ in 0..100 {
            for (edge, _) in &edges {
                edge.until_in_step().await;
            }
            let before = digests(&*hub.store).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            at_hub = digests(&*hub.store).await;
            let mut waiting = 0;
            for (edge, _) in &edges {
                waiting += edge.store.waiting().await.expect("the store works");
            }
            let in_step = edges.iter().all(|(edge, _)| edge.link.status().in_step);
            if before == at_hub && waiting == 0 && in_step {
                break;
            }
        }
        for ((edge, _), scope) in edges.iter().zip(&scopes) {
            let scope = Scope::from_json(scope).expect("a scope");
            let mine: BTreeMap<_, _> = at_hub
                .iter()
                .filter(|(partition, _)| scope.contains(partition))
                .map(|(key, sum)| (key.clone(), *sum))
                .collect();
            assert_eq!(digests(&*edge.store).await, mine, "seed {seed}");
            assert_eq!(edge.store.waiting().await.expect("the store works"), 0);
            let told = edge.link.meter().expect("it counts");
            assert_eq!(told.healed.get(), 0, "seed {seed}: no digest ever differed");
        }
        let all: Vec<&EdgeNode> = edges.iter().map(|(edge, _)| edge).collect();
        stop(&hub, &all).await;
    }
}
