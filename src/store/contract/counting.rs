//! Differences of a number: each counts once, whatever is written over the number meanwhile.

use super::*;
use crate::domain::record::difference;

contract!(
    a_difference_counts_though_a_twin_gives_the_save_that_made_the_record_a_later_time,
    a_difference_adds_to_a_number_that_was_written_by_who_had_not_counted_it,
    a_difference_that_a_number_has_counted_does_not_count_again_whatever_its_time_is,
    a_difference_counts_also_where_a_later_number_is_given_back,
);

fn stock(by: i64, once: &str) -> Change {
    let path = at("/stock").item(&difference(once));
    Change { path, act: Act::Set(Content::json(json!(by))), replaces: Cover::nothing() }
}

/// A hub; an edge that made a note with a stock of 100; and its saves.
async fn made(kind_of: Kind) -> (Site, Site, Vec<Save>) {
    let (hub, edge) = (kind_of.node(1).await, kind_of.node(2).await.edge());
    let made = edge.create("note", 1, json!({"title": "bolts", "stock": 100})).await;
    edge.change(&made, vec![stock(-3, "one")]).await;
    let saves = edge.unsent(1 << 20).await;
    (hub, edge, saves)
}

/// The same save, stamped so much later.
fn later(save: &Save, millis: i64) -> Save {
    let mut later = save.clone();
    for record in &mut later.records {
        record.time = Hlc::at(record.time.millis() + millis);
    }
    later
}

async fn receive(hub: &Site, saves: &[&Save]) {
    let saves = saves.iter().map(|save| (*save).clone()).collect();
    hub.write(Request::Receive { saves, now: hub.now(), relay: false }).await;
}

async fn stock_of(site: &Site) -> Value {
    site.value("note", 1).await["stock"].clone()
}

async fn all_agree(hub: &Site, edge: &Site) {
    edge.pull(hub, &notes()).await;
    agree(hub, edge, &notes()).await;
    hub.check().await;
    edge.check().await;
}

async fn a_difference_counts_though_a_twin_gives_the_save_that_made_the_record_a_later_time(kind_of: Kind) {
    let orders: [&[usize]; 4] = [&[0, 1, 2, 3], &[0, 2, 1, 3], &[2, 3, 0, 1], &[2, 0, 1]];
    for order in orders {
        let (hub, edge, saves) = made(kind_of).await;
        let all = [&saves[0], &saves[1], &later(&saves[0], 1_000), &later(&saves[1], 1_000)];
        receive(&hub, &order.iter().map(|at| all[*at]).collect::<Vec<_>>()).await;
        assert_eq!(stock_of(&hub).await, json!(97), "{order:?}");
        receive(&hub, &all).await;
        assert_eq!(stock_of(&hub).await, json!(97), "{order:?}, and all of it again");
        all_agree(&hub, &edge).await;
        assert_eq!(stock_of(&edge).await, json!(97));
    }
}

async fn a_difference_adds_to_a_number_that_was_written_by_who_had_not_counted_it(kind_of: Kind) {
    for number_first in [true, false] {
        let (hub, edge, saves) = made(kind_of).await;
        receive(&hub, &[&saves[0]]).await;
        let seen = hub.held("note", 1).await.expect("it is here");
        for _ in 0..20 {
            hub.now();
        }
        if !number_first {
            receive(&hub, &[&saves[1]]).await;
        }
        hub.change(&seen, vec![write(&seen, "/stock", json!(50))]).await;
        if number_first {
            receive(&hub, &[&saves[1]]).await;
        }
        assert_eq!(stock_of(&hub).await, json!(47), "number first: {number_first}");
        all_agree(&hub, &edge).await;
    }
}

async fn a_difference_that_a_number_has_counted_does_not_count_again_whatever_its_time_is(kind_of: Kind) {
    for millis in [-1, 0, 1, 5] {
        let (hub, edge, saves) = made(kind_of).await;
        receive(&hub, &[&saves[0], &saves[1]]).await;
        let seen = hub.held("note", 1).await.expect("it is here");
        for _ in 0..20 {
            hub.now();
        }
        let held = hub.change(&seen, vec![write(&seen, "/stock", json!(50))]).await;
        assert!(held.state.latest().time > later(&saves[1], millis).records[0].time);
        receive(&hub, &[&later(&saves[1], millis)]).await;
        assert_eq!(stock_of(&hub).await, json!(50), "{millis} ms later");
        all_agree(&hub, &edge).await;
    }
}

async fn a_difference_counts_also_where_a_later_number_is_given_back(kind_of: Kind) {
    for hub_has_the_number in [true, false] {
        let (hub, edge, saves) = made(kind_of).await;
        let other = kind_of.node(3).await.edge();
        receive(&hub, &[&saves[0]]).await;
        other.write(Request::Receive { saves: vec![later(&saves[0], 1_000)], now: 1, relay: true }).await;
        let (first, second) = if hub_has_the_number { (&other, &edge) } else { (&edge, &other) };
        for from in [first, second] {
            let changes = from.store.changes(&notes(), 0, 0, 1 << 20).await.expect("works");
            let page = OfferedPage { partition: notes(), rows: changes.rows, dictionary: changes.dictionary };
            hub.write(Request::Offer { page, now: hub.now(), relay: false }).await;
        }
        assert_eq!(stock_of(&hub).await, json!(97), "at the hub first: {hub_has_the_number}");
        all_agree(&hub, &edge).await;
    }
}
