//! Edges that serve edges of their own: what is saved below goes on as it came, what leaves is told.

use super::syncing::pair;
use super::*;

contract!(
    what_a_node_below_saved_is_sent_on_as_it_came,
    what_waits_to_be_sent_is_read_from_behind_any_save_on,
    a_save_that_comes_again_with_other_stamps_follows_the_first,
    those_below_hear_of_a_record_that_an_edge_drops,
    those_below_let_go_of_a_record_that_came_back_to_an_edge_elsewhere,
    those_below_hear_that_a_move_of_theirs_was_overruled,
    those_below_hear_what_was_decided_about_a_record_that_is_not_on_the_edge_between,
    an_edge_between_asks_for_a_record_that_it_never_had_and_for_none_that_left,
);

fn relayed(saves: Vec<Save>, now: i64) -> Request {
    Request::Receive { saves, now, relay: true }
}

async fn what_a_node_below_saved_is_sent_on_as_it_came(kind_of: Kind) {
    let (hub, between, below) = pair(kind_of).await;
    let made = hub.create("note", 1, json!({"title": "a", "n": 1})).await;
    between.pull(&hub, &notes()).await;
    below.pull(&between, &notes()).await;
    let seen = below.held("note", 1).await.expect("it was pulled");
    below.change(&seen, vec![write(&seen, "/title", json!("below"))]).await;
    below.create("note", 2, json!({"title": "new"})).await;
    // somebody at the hub wrote the same meanwhile, and later
    for _ in 0..20 {
        hub.now();
    }
    hub.change(&made, vec![write(&made, "/title", json!("hub"))]).await;
    let saves: Vec<Save> = below.unsent(1 << 20).await;
    for _ in 0..2 {
        between.write(relayed(saves.clone(), between.now())).await;
        assert_eq!(between.unsent(1 << 20).await, saves, "as they came, and once");
    }
    between.pull(&hub, &notes()).await;
    assert_eq!(between.value("note", 1).await["title"], json!("hub"));
    let lost = Partition("_lost".into());
    assert_eq!(between.store.changes(&lost, 0, 0, 1 << 20).await.expect("works").rows.len(), 0, "that is for the hub");
    between.push(&hub).await;
    between.pull(&hub, &notes()).await;
    below.pull(&between, &notes()).await;
    assert_eq!(hub.digest(&notes()).await, between.digest(&notes()).await);
    assert_eq!(between.store.waiting().await.expect("works"), 0);
    let entries = |held: Option<Held>| held.is_some_and(|held| held.flags.has(Flags::LOST));
    assert!(entries(hub.held("note", 1).await) && entries(between.held("note", 1).await));
    hub.check().await;
    between.check().await;
}

async fn what_waits_to_be_sent_is_read_from_behind_any_save_on(kind_of: Kind) {
    let (_, between, below) = pair(kind_of).await;
    for n in 1..=4 {
        below.create("note", n, json!({"n": n})).await;
    }
    let all: Vec<SaveId> = below.unsent(1 << 20).await.iter().map(|save| save.id).collect();
    let behind = async |site: &Site, after: Option<SaveId>, max_bytes: usize| -> Vec<SaveId> {
        let unsent = site.store.outbox_after(after, max_bytes).await.expect("works");
        unsent.iter().map(|unsent| unsent.save.id).collect()
    };
    assert_eq!(behind(&below, None, 1 << 20).await, all);
    assert_eq!(behind(&below, Some(all[1]), 1 << 20).await, all[2..]);
    assert_eq!(behind(&below, Some(all[1]), 1).await, all[2..3], "at least one");
    assert!(behind(&below, Some(all[3]), 1 << 20).await.is_empty());
    assert_eq!(behind(&below, Some(SaveId(77)), 1 << 20).await, all, "of what is not there it begins at the beginning");
    below.write(Request::Acknowledge(vec![all[0]])).await;
    assert_eq!(behind(&below, Some(all[0]), 1 << 20).await, all[1..]);
    // what was taken from others stands where it came
    let theirs = below.unsent(1 << 20).await;
    between.create("note", 9, json!({"n": 9})).await;
    let own = behind(&between, None, 1 << 20).await;
    between.write(relayed(theirs, between.now())).await;
    assert_eq!(behind(&between, Some(own[0]), 1 << 20).await, all[1..]);
}

async fn a_save_that_comes_again_with_other_stamps_follows_the_first(kind_of: Kind) {
    let (hub, between, below) = pair(kind_of).await;
    below.create("note", 1, json!({"title": "a"})).await;
    let first = below.unsent(1 << 20).await;
    let mut again = first.clone();
    again[0].records[0].time = first[0].records[0].time.next();
    between.write(relayed(first.clone(), between.now())).await;
    between.write(relayed(again.clone(), between.now())).await;
    between.write(relayed(again.clone(), between.now())).await;
    assert_eq!(between.unsent(1 << 20).await, first);
    between.write(Request::Acknowledge(vec![first[0].id])).await;
    assert_eq!(between.unsent(1 << 20).await, again);
    for saves in [first, again.clone()] {
        hub.write(Request::Receive { saves, now: hub.now(), relay: false }).await;
    }
    between.write(Request::Acknowledge(vec![again[0].id])).await;
    assert_eq!(between.store.waiting().await.expect("works"), 0);
    assert_eq!(hub.digest(&notes()).await, between.digest(&notes()).await);
}

async fn those_below_hear_of_a_record_that_an_edge_drops(kind_of: Kind) {
    let (hub, between, below) = pair(kind_of).await;
    let made = hub.create("job", 1, json!({"site": "a", "title": 1})).await;
    let jobs = |site: &str| Partition::of_value(&kind("job"), Some(&json!(site)));
    between.pull(&hub, &jobs("a")).await;
    below.pull(&between, &jobs("a")).await;
    assert!(below.held("job", 1).await.is_some());
    let made = hub.change(&made, vec![write(&made, "/site", json!("b"))]).await;
    between.pull(&hub, &jobs("a")).await;
    below.pull(&between, &jobs("a")).await;
    assert!(between.held("job", 1).await.is_none() && below.held("job", 1).await.is_none());
    // and it comes back by the same way
    hub.change(&made, vec![write(&made, "/site", json!("a"))]).await;
    between.pull(&hub, &jobs("a")).await;
    below.pull(&between, &jobs("a")).await;
    assert_eq!(below.value("job", 1).await["title"], json!(1));
    for site in [&between, &below] {
        assert_eq!(site.digest(&jobs("a")).await, hub.digest(&jobs("a")).await);
    }
}

async fn those_below_let_go_of_a_record_that_came_back_to_an_edge_elsewhere(kind_of: Kind) {
    let (hub, between, below) = pair(kind_of).await;
    let jobs = |site: &str| Partition::of_value(&kind("job"), Some(&json!(site)));
    let made = hub.create("job", 1, json!({"site": "b", "title": 1})).await;
    between.pull(&hub, &jobs("b")).await;
    let made = hub.change(&made, vec![write(&made, "/site", json!("a"))]).await;
    between.pull(&hub, &jobs("a")).await;
    below.pull(&between, &jobs("a")).await;
    assert!(below.held("job", 1).await.is_some());
    // it goes back to where it was: gone from the one partition first, there in the other then
    hub.change(&made, vec![write(&made, "/site", json!("b"))]).await;
    between.pull(&hub, &jobs("a")).await;
    assert!(between.held("job", 1).await.is_none());
    between.pull(&hub, &jobs("b")).await;
    below.pull(&between, &jobs("a")).await;
    assert!(below.held("job", 1).await.is_none(), "it is not there any more");
    assert_eq!(below.digest(&jobs("a")).await, hub.digest(&jobs("a")).await);
}

async fn those_below_hear_that_a_move_of_theirs_was_overruled(kind_of: Kind) {
    let (hub, between, below) = pair(kind_of).await;
    let jobs = |site: &str| Partition::of_value(&kind("job"), Some(&json!(site)));
    let made = hub.create("job", 1, json!({"site": "b", "title": 1})).await;
    between.pull(&hub, &jobs("b")).await;
    below.pull(&between, &jobs("b")).await;
    let seen = below.held("job", 1).await.expect("it was pulled");
    below.change(&seen, vec![write(&seen, "/site", json!("a"))]).await;
    let saves = below.unsent(1 << 20).await;
    for _ in 0..20 {
        hub.now();
    }
    // somebody at the hub said meanwhile, and later, that it stays where it is
    hub.change(&made, vec![write(&made, "/site", json!("c"))]).await;
    let held = hub.held("job", 1).await.expect("it is there");
    hub.change(&held, vec![write(&held, "/site", json!("b"))]).await;
    between.pull(&hub, &jobs("b")).await;
    between.write(relayed(saves.clone(), between.now())).await;
    below.write(Request::Acknowledge(vec![saves[0].id])).await;
    below.pull(&between, &jobs("a")).await;
    assert!(below.held("job", 1).await.is_none_or(|held| held.partition != jobs("a")), "it is not there");
    below.pull(&between, &jobs("b")).await;
    assert_eq!(below.digest(&jobs("b")).await, hub.digest(&jobs("b")).await);
}

async fn those_below_hear_what_was_decided_about_a_record_that_is_not_on_the_edge_between(kind_of: Kind) {
    let (hub, between, below) = pair(kind_of).await;
    let jobs = |site: &str| Partition::of_value(&kind("job"), Some(&json!(site)));
    let made = hub.create("job", 1, json!({"site": "a", "title": 1})).await;
    between.pull(&hub, &jobs("a")).await;
    below.pull(&between, &jobs("a")).await;
    let made = hub.change(&made, vec![write(&made, "/site", json!("b"))]).await;
    between.pull(&hub, &jobs("a")).await;
    assert!(between.held("job", 1).await.is_none());
    // somebody below says later that it is where it was, and believes that it is
    for _ in 0..20 {
        below.now();
    }
    let seen = below.held("job", 1).await.expect("it was pulled");
    below.change(&seen, vec![write(&seen, "/site", json!("a"))]).await;
    let saves = below.unsent(1 << 20).await;
    below.pull(&between, &jobs("a")).await;
    assert!(below.held("job", 1).await.is_some());
    between.write(relayed(saves.clone(), between.now())).await;
    below.write(Request::Acknowledge(vec![saves[0].id])).await;
    // and somebody at the hub, later still, that it is not
    for _ in 0..200 {
        hub.now();
    }
    hub.change(&made, vec![write(&made, "/site", json!("c"))]).await;
    between.push(&hub).await;
    between.pull(&hub, &jobs("a")).await;
    below.pull(&between, &jobs("a")).await;
    assert!(below.held("job", 1).await.is_none(), "it is not there");
    assert_eq!(below.digest(&jobs("a")).await, hub.digest(&jobs("a")).await);
}

async fn an_edge_between_asks_for_a_record_that_it_never_had_and_for_none_that_left(kind_of: Kind) {
    let (hub, between, below) = pair(kind_of).await;
    let jobs = |site: &str| Partition::of_value(&kind("job"), Some(&json!(site)));
    for number in [1, 2] {
        hub.create("job", number, json!({"site": "a", "title": number})).await;
    }
    below.pull(&hub, &jobs("a")).await;
    let seen = below.held("job", 1).await.expect("it was pulled");
    below.change(&seen, vec![write(&seen, "/title", json!("new"))]).await;
    let saves = below.unsent(1 << 20).await;
    // a hub that was put back would have nothing of it either, and nobody else could give it
    assert_eq!(between.write(relayed(saves, between.now())).await, Outcome::Received(vec![Verdict::Waits]));
    let Request::Offer { page, now, .. } = super::rewinding::held_by(&below, &jobs("a")).await else {
        panic!("what is held is offered")
    };
    between.write(Request::Offer { page, now, relay: true }).await;
    assert_eq!(between.value("job", 1).await, json!({"site": "a", "title": "new"}), "with what waited for it");

    let seen = below.held("job", 2).await.expect("it was pulled");
    let there = hub.held("job", 2).await.expect("it was made");
    hub.change(&there, vec![write(&there, "/site", json!("b"))]).await;
    between.pull(&hub, &jobs("a")).await;
    assert!(between.held("job", 2).await.is_none());
    below.change(&seen, vec![write(&seen, "/title", json!("late"))]).await;
    let late = below.unsent(1 << 20).await.pop().expect("it waits");
    assert_eq!(between.write(relayed(vec![late], between.now())).await, Outcome::Received(vec![Verdict::Accepted]));
}
