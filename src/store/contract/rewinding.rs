//! A store that is put back to an earlier state: its runs, what is compared, and what is given back to it.

use super::*;
use crate::domain::reconcile::{Hashed, Mark, fingerprint};
use crate::domain::record::pack::{Values, pack};

contract!(
    a_number_is_given_in_a_run_of_its_own_time,
    a_partition_is_read_in_the_order_of_its_records,
    what_is_given_back_is_joined_once_and_numbered,
    a_value_that_comes_back_too_late_is_lost_unless_it_was_seen,
    that_somebody_cleared_a_field_is_lost_like_a_value,
);

async fn a_number_is_given_in_a_run_of_its_own_time(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    assert!(hub.store.runs().await.expect("works").0.is_empty(), "who gives no number begins no run");
    hub.create("note", 1, json!({})).await;
    let last = hub.create("note", 2, json!({})).await.seq;
    let runs = hub.store.runs().await.expect("works");
    assert_eq!((runs.0.len(), runs.0[0].first), (1, 1));
    assert!(runs.agree(last, Some(runs.0[0].tag)));
}

async fn hashes(site: &Site, from: Option<&Mark>, to: Option<&Mark>, limit: usize) -> Vec<Hashed> {
    site.store.hashes(&jobs_at("a"), from, to, limit).await.expect("the store works")
}

async fn a_partition_is_read_in_the_order_of_its_records(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    for (number, site) in [(5, "a"), (1, "a"), (3, "b"), (4, "a"), (2, "a")] {
        hub.create("job", number, json!({"site": site})).await;
    }
    let seen = hub.held("job", 5).await.expect("it is here");
    hub.change(&seen, vec![write(&seen, "/title", json!("x"))]).await;
    let mark = |number| Mark { type_name: kind("job"), id: id(number) };
    let all = hashes(&hub, None, None, 99).await;
    let marks = |rows: &[Hashed]| rows.iter().map(|row| row.mark.id.as_u128()).collect::<Vec<_>>();
    assert_eq!(marks(&all), [1, 2, 4, 5]);
    assert_eq!(fingerprint(&all), hub.digest(&jobs_at("a")).await);
    assert_eq!(marks(&hashes(&hub, Some(&mark(2)), Some(&mark(5)), 99).await), [2, 4]);
    assert_eq!(marks(&hashes(&hub, Some(&mark(2)), None, 2).await), [2, 4]);
    assert_eq!(marks(&hashes(&hub, Some(&mark(6)), None, 2).await), [0u128; 0]);
    let later = Mark { type_name: kind("note"), id: id(0) };
    assert_eq!(marks(&hashes(&hub, None, Some(&later), 99).await), [1, 2, 4, 5]);
    assert!(hashes(&hub, Some(&later), None, 99).await.is_empty());
}

/// Everything of a partition, as one has it who gives it back.
pub(super) async fn held_by(site: &Site, partition: &Partition) -> Request {
    let mut dictionary = Dictionary::default();
    let mut rows = Vec::new();
    for Hashed { mark, .. } in site.store.hashes(partition, None, None, 999).await.expect("the store works") {
        let held = site.store.record(&mark.type_name, mark.id).await.expect("works").expect("it is here");
        let state = pack(&held.state, held.seq, Values::Inline, &mut dictionary);
        rows.push(Row { type_name: held.type_name, id: held.id, seq: held.seq, state });
    }
    Request::Offer { page: OfferedPage { partition: partition.clone(), rows, dictionary }, now: 1, relay: false }
}

async fn what_is_given_back_is_joined_once_and_numbered(kind_of: Kind) {
    let (hub, one) = (kind_of.node(1).await, kind_of.node(2).await);
    let both = one.create("job", 1, json!({"site": "a", "title": "old"})).await;
    hub.write(held_by(&one, &jobs_at("a")).await).await;
    one.change(&both, vec![write(&both, "/title", json!("new"))]).await;
    one.create("job", 2, json!({"site": "a"})).await;
    hub.create("job", 3, json!({"site": "a"})).await;
    let head = hub.store.changes(&jobs_at("a"), 0, 0, 1).await.expect("works").head;
    hub.write(held_by(&one, &jobs_at("a")).await).await;
    assert_eq!(hub.value("job", 1).await["title"], json!("new"));
    assert!(hub.held("job", 2).await.is_some() && hub.held("job", 3).await.is_some(), "nothing goes");
    let lines = hub.store.history(&kind("job"), id(1)).await.expect("works");
    assert_eq!((lines[0].old.clone(), lines[0].new.clone()), (Some(json!("old")), Some(json!("new"))));
    let changes = hub.store.changes(&jobs_at("a"), head, head, 10_000).await.expect("works");
    assert_eq!(changes.rows.len(), 2, "other readers get what came");
    hub.write(held_by(&one, &jobs_at("a")).await).await;
    assert_eq!(hub.store.changes(&jobs_at("a"), 0, 0, 1).await.expect("works").head, changes.head);
    // what is elsewhere here is announced to whoever thinks that it is there
    let moved = hub.held("job", 2).await.expect("it is here");
    hub.change(&moved, vec![write(&moved, "/site", json!("b"))]).await;
    let head = hub.store.changes(&jobs_at("a"), 0, 0, 1).await.expect("works").head;
    hub.write(held_by(&one, &jobs_at("a")).await).await;
    let moved = hub.store.changes(&jobs_at("a"), head, head, 10_000).await.expect("works").moved;
    assert_eq!(moved.iter().map(|moved| moved.id).collect::<Vec<_>>(), [id(2)]);
    hub.check().await;
    assert!(hub.lost().await.is_empty());
}

async fn a_value_that_comes_back_too_late_is_lost_unless_it_was_seen(kind_of: Kind) {
    let (hub, one) = (kind_of.node(1).await, kind_of.node(2).await);
    one.create("job", 1, json!({"site": "a", "title": "old"})).await;
    hub.write(held_by(&one, &jobs_at("a")).await).await;
    let (here, there) = (hub.held("job", 1).await.expect("here"), one.held("job", 1).await.expect("there"));
    one.change(&there, vec![write(&there, "/title", json!("beaten"))]).await;
    hub.now.fetch_add(1_000, Ordering::Relaxed);
    let here = hub.change(&here, vec![write(&here, "/title", json!("stands"))]).await;
    for _ in 0..2 {
        hub.write(held_by(&one, &jobs_at("a")).await).await;
        assert_eq!(hub.value("job", 1).await["title"], json!("stands"));
        assert_eq!(hub.lost().await.len(), 1);
    }
    // what an author had seen is not lost
    let other = kind_of.node(3).await;
    other.write(held_by(&hub, &jobs_at("a")).await).await;
    hub.change(&here, vec![write(&here, "/title", json!("later"))]).await;
    hub.write(held_by(&other, &jobs_at("a")).await).await;
    assert_eq!((hub.value("job", 1).await["title"].clone(), hub.lost().await.len()), (json!("later"), 1));
    hub.check().await;
}

async fn that_somebody_cleared_a_field_is_lost_like_a_value(kind_of: Kind) {
    let (hub, one) = (kind_of.node(1).await, kind_of.node(2).await);
    one.create("job", 1, json!({"site": "a", "title": "old", "n": 1})).await;
    hub.write(held_by(&one, &jobs_at("a")).await).await;
    let (here, there) = (hub.held("job", 1).await.expect("here"), one.held("job", 1).await.expect("there"));
    let clear = |pointer: &str| Change {
        path: at(pointer),
        act: Act::Set(Content::Absent),
        replaces: there.state.cover(&at(pointer)),
    };
    one.change(&there, vec![clear("/title"), clear("/n")]).await;
    hub.now.fetch_add(1_000, Ordering::Relaxed);
    let clears = Change { replaces: here.state.cover(&at("/n")), ..clear("/n") };
    hub.change(&here, vec![write(&here, "/title", json!("stands")), clears]).await;
    for _ in 0..2 {
        hub.write(held_by(&one, &jobs_at("a")).await).await;
        assert_eq!(hub.value("job", 1).await, json!({"site": "a", "title": "stands"}));
        let lost = hub.lost().await;
        assert_eq!(lost.len(), 1, "both cleared the number: {lost:?}");
        assert_eq!((&lost[0]["pointer"], lost[0].get("value")), (&json!("/title"), None));
    }
}
