//! Saves made with a clock that could not be checked, brought to corrected time before they are sent.

use super::*;

contract!(
    what_a_wrong_clock_stamped_comes_to_corrected_time_in_its_order,
    a_clock_that_was_behind_or_barely_wrong_is_corrected_as_far_as_it_matters,
    a_corrected_save_stays_above_what_it_replaced,
    a_form_drawn_before_names_what_it_showed_by_its_new_stamp,
    an_entry_that_was_closed_with_a_wrong_clock_is_closed_the_same_everywhere,
    a_lost_value_that_only_this_node_shows_holds_no_save_in_the_future,
    only_what_is_unchecked_is_touched_and_only_once,
    what_two_copies_of_a_device_brought_to_time_each_by_itself_loses_nothing,
    who_saw_a_save_saw_it_under_whatever_time_its_device_s_copy_gives_it,
);

const YEAR: i64 = 31_536_000_000;
/// What the hub's clock shows.
const NOW: i64 = 1_800_000_000_000;

/// An edge that has pulled a note of the hub, and whose clock is `ahead` and was not checked since.
async fn pair(kind_of: Kind, ahead: i64) -> (Site, Site) {
    let (hub, mut edge) = (kind_of.node(1).await, kind_of.node(2).await.edge());
    hub.create("note", 1, json!({"title": "pump", "status": "open"})).await;
    edge.pull(&hub, &notes()).await;
    edge.unchecked = Some(0);
    edge.now.store((NOW + 1_000 + ahead) as u64, Ordering::Relaxed);
    (hub, edge)
}

/// The hub's clock was asked, at `now` of it.
async fn retime(edge: &Site, offset: i64, now: i64) {
    assert_eq!(edge.write(Request::Retime { offset, now }).await, Outcome::Done);
    edge.check().await;
}

async fn note(site: &Site, number: u128) -> Held {
    site.held("note", number).await.expect("it is here")
}

async fn times(edge: &Site) -> Vec<i64> {
    edge.unsent(1 << 20).await.iter().flat_map(|save| save.records.iter().map(|record| record.time.millis())).collect()
}

async fn what_a_wrong_clock_stamped_comes_to_corrected_time_in_its_order(kind_of: Kind) {
    let (hub, edge) = pair(kind_of, YEAR).await;
    let first = edge.change(&note(&edge, 1).await, vec![write(&note(&edge, 1).await, "/title", json!("a"))]).await;
    edge.change(&first, vec![write(&first, "/title", json!("b"))]).await;
    let made = edge.create("note", 2, json!({"title": "new"})).await;
    let binned = edge.change(&made, vec![bin(&made, true)]).await;
    assert!(times(&edge).await.iter().all(|time| *time > NOW + YEAR));
    retime(&edge, -YEAR, NOW + 60_000).await;

    let times = times(&edge).await;
    assert!(times.is_sorted() && times.iter().all(|time| (NOW + 1_000..NOW + 2_000).contains(time)), "{times:?}");
    let (now, seq) = (note(&edge, 2).await, binned.seq);
    assert_eq!((now.document, now.seq, now.flags), (binned.document, seq, binned.flags), "it shows what it showed");
    assert!(now.state.latest().time < Hlc::at(NOW + 2_000));
    for line in edge.store.history(&kind("note"), id(1)).await.expect("works") {
        assert!(line.stamp.time < Hlc::at(NOW + 2_000), "the history tells corrected times: {line:?}");
    }
    // what is saved from now on goes by the corrected clock, too
    edge.now.store((NOW + 61_000) as u64, Ordering::Relaxed);
    let next = edge.create("note", 3, json!({})).await;
    assert!(next.state.latest().time < Hlc::at(NOW + 62_000));

    let there = note(&hub, 1).await;
    hub.now.store((NOW + 30_000) as u64, Ordering::Relaxed);
    hub.change(&there, vec![write(&there, "/title", json!("later, at the hub"))]).await;
    edge.push(&hub).await;
    edge.pull(&hub, &notes()).await;
    assert_eq!(hub.value("note", 1).await["title"], json!("later, at the hub"), "a wrong clock wins nothing");
    let open: Vec<Value> = hub.lost().await.into_iter().filter(|lost| lost["state"] == json!("open")).collect();
    assert_eq!(open.len(), 1, "and loses nothing: {open:?}");
    assert_eq!(open[0]["value"], json!("b"));
    agree(&hub, &edge, &notes()).await;
}

async fn a_clock_that_was_behind_or_barely_wrong_is_corrected_as_far_as_it_matters(kind_of: Kind) {
    let (hub, edge) = pair(kind_of, -20 * YEAR).await;
    let seen = note(&edge, 1).await;
    edge.change(&seen, vec![write(&seen, "/status", json!("done"))]).await;
    let made = edge.create("note", 2, json!({"title": "new"})).await;
    retime(&edge, 20 * YEAR, NOW + 60_000).await;
    assert!(times(&edge).await.iter().all(|time| (NOW + 1_000..NOW + 2_000).contains(time)));
    assert_ne!(note(&edge, 2).await.hash(), made.hash());
    edge.push(&hub).await;
    edge.pull(&hub, &notes()).await;
    agree(&hub, &edge, &notes()).await;

    let (_, edge) = pair(kind_of, 400).await;
    let made = edge.create("note", 2, json!({"title": "new"})).await;
    retime(&edge, -400, NOW + 60_000).await;
    assert_eq!(note(&edge, 2).await.hash(), made.hash(), "less than a second is worth no new stamps");
    assert!(edge.store.outbox(1 << 20).await.expect("works").iter().all(|unsent| unsent.checked));
}

async fn a_corrected_save_stays_above_what_it_replaced(kind_of: Kind) {
    let (hub, edge) = pair(kind_of, YEAR).await;
    // another device's clock was ahead, too, and nobody corrected it
    hub.now.store((NOW + YEAR / 2) as u64, Ordering::Relaxed);
    let there = note(&hub, 1).await;
    hub.change(&there, vec![write(&there, "/title", json!("far ahead"))]).await;
    hub.now.store((NOW + 2_000) as u64, Ordering::Relaxed);
    edge.pull(&hub, &notes()).await;
    let seen = note(&edge, 1).await;
    let own = edge.change(&seen, vec![write(&seen, "/title", json!("seen and changed"))]).await;
    edge.change(&own, vec![write(&own, "/status", json!("done"))]).await;
    retime(&edge, -YEAR, NOW + 60_000).await;
    let times = times(&edge).await;
    assert!(times[0] >= NOW + YEAR / 2, "above what it replaced: {times:?}");
    assert!(times[1] < NOW + 2_000, "and what replaced nothing of that is where it belongs: {times:?}");
    edge.push(&hub).await;
    edge.pull(&hub, &notes()).await;
    assert_eq!(hub.value("note", 1).await, json!({"title": "seen and changed", "status": "done"}));
    assert_eq!(hub.lost().await, Vec::<Value>::new());
    agree(&hub, &edge, &notes()).await;
}

async fn a_form_drawn_before_names_what_it_showed_by_its_new_stamp(kind_of: Kind) {
    let (hub, edge) = pair(kind_of, YEAR).await;
    let seen = note(&edge, 1).await;
    let drawn = edge.change(&seen, vec![write(&seen, "/title", json!("a"))]).await;
    retime(&edge, -YEAR, NOW + 60_000).await;
    edge.push(&hub).await;
    let there = note(&hub, 1).await;
    hub.now.store((NOW + 70_000) as u64, Ordering::Relaxed);
    hub.change(&there, vec![write(&there, "/title", json!("nobody at the edge saw this"))]).await;
    edge.pull(&hub, &notes()).await;
    edge.now.store((NOW + 80_000) as u64, Ordering::Relaxed);
    let saved = edge.change(&drawn, vec![write(&drawn, "/title", json!("b"))]).await;
    assert!(saved.state.latest().time < Hlc::at(NOW + 81_000), "not above the time that was none");
    retime(&edge, -YEAR, NOW + 90_000).await;
    edge.push(&hub).await;
    edge.pull(&hub, &notes()).await;
    assert_eq!(hub.value("note", 1).await["title"], json!("b"));
    let lost = hub.lost().await;
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(lost[0]["value"], json!("nobody at the edge saw this"));
    agree(&hub, &edge, &notes()).await;
}

async fn an_entry_that_was_closed_with_a_wrong_clock_is_closed_the_same_everywhere(kind_of: Kind) {
    let (hub, edge) = pair(kind_of, 0).await;
    let seen = note(&edge, 1).await;
    edge.change(&seen, vec![write(&seen, "/title", json!("edge"))]).await;
    hub.now.store((NOW + 5_000) as u64, Ordering::Relaxed);
    let there = note(&hub, 1).await;
    hub.change(&there, vec![write(&there, "/title", json!("hub"))]).await;
    retime(&edge, 0, NOW + 6_000).await;
    edge.push(&hub).await;
    edge.pull(&hub, &notes()).await;
    assert_eq!(edge.lost().await[0]["state"], json!("open"));

    edge.now.store((NOW + YEAR) as u64, Ordering::Relaxed);
    let now = note(&edge, 1).await;
    let mut change = write(&now, "/title", json!("decided"));
    // as a person does who has both values in front of them
    let entry = &edge.lost().await[0];
    let hidden = edge.store.history(&kind("note"), id(1)).await.expect("works");
    let lost = hidden.iter().find(|line| line.new == Some(json!("edge"))).expect("it is told").stamp;
    assert_eq!(entry["value"], json!("edge"));
    change.replaces.inside.insert(Path::root(), lost.max(change.replaces.all));
    change.replaces.all = lost;
    edge.change(&now, vec![change]).await;
    assert_eq!(edge.lost().await[0]["state"], json!("seen"));
    retime(&edge, -YEAR, NOW + 60_000).await;
    edge.push(&hub).await;
    edge.pull(&hub, &notes()).await;
    assert_eq!(hub.lost().await[0]["state"], json!("seen"));
    agree(&hub, &edge, &notes()).await;
}

async fn a_lost_value_that_only_this_node_shows_holds_no_save_in_the_future(kind_of: Kind) {
    let (hub, edge) = pair(kind_of, YEAR).await;
    let seen = note(&edge, 1).await;
    let beaten = edge.change(&seen, vec![write(&seen, "/title", json!("a"))]).await;
    edge.change(&seen, vec![write(&seen, "/title", json!("b"))]).await;
    assert_eq!(edge.lost().await.len(), 1, "two people at one node, neither saw the other");
    // a third has both in front of them
    let now = note(&edge, 1).await;
    let mut decision = write(&now, "/title", json!("decided"));
    let (path, standing) = (at("/title"), decision.replaces.all);
    decision.replaces = Cover { all: beaten.state.stamp_at(&path), inside: [(Path::root(), standing)].into() };
    edge.change(&now, vec![decision]).await;
    retime(&edge, -YEAR, NOW + 60_000).await;
    let times = times(&edge).await;
    assert!(times.is_sorted() && times.iter().all(|time| *time < NOW + 2_000), "{times:?}");
    edge.push(&hub).await;
    edge.pull(&hub, &notes()).await;
    assert_eq!(hub.value("note", 1).await["title"], json!("decided"));
    agree(&hub, &edge, &notes()).await;
}

async fn only_what_is_unchecked_is_touched_and_only_once(kind_of: Kind) {
    let (hub, mut edge) = pair(kind_of, YEAR).await;
    edge.create("note", 2, json!({"title": "unchecked"})).await;
    edge.unchecked = None;
    edge.create("note", 3, json!({"title": "checked"})).await;
    let checked = async |edge: &Site| -> Vec<bool> {
        edge.store.outbox(1 << 20).await.expect("works").iter().map(|unsent| unsent.checked).collect()
    };
    assert_eq!(checked(&edge).await, [false, false], "what follows it waits with it");
    retime(&edge, -YEAR, NOW + 60_000).await;
    assert_eq!(checked(&edge).await, [true, true]);
    let once = times(&edge).await;
    assert!(once[0] < once[1] && once[1] < NOW + 61_000, "{once:?}");
    retime(&edge, 20 * YEAR, NOW + 70_000).await;
    assert_eq!(times(&edge).await, once);
    edge.push(&hub).await;
    edge.pull(&hub, &notes()).await;
    agree(&hub, &edge, &notes()).await;
}

/// The same saves as a copy of their device would give them, whose clock was corrected by so much more.
fn corrected(saves: &[Save], by: i64) -> Vec<Save> {
    let mut restamped = std::collections::BTreeMap::new();
    for save in saves {
        for record in &save.records {
            let old = save.stamp(record);
            restamped.insert(old, Stamp { time: Hlc(old.time.0 + (by << 16)), ..old });
        }
    }
    let mut saves = saves.to_vec();
    for record in saves.iter_mut().flat_map(|save| &mut save.records) {
        record.time = Hlc(record.time.0 + (by << 16));
        record.changes.iter_mut().for_each(|change| change.replaces.restamp(&restamped));
    }
    saves
}

async fn open_entries(site: &Site) -> Vec<Value> {
    site.lost().await.into_iter().filter(|entry| entry["state"] == "open").collect()
}

async fn what_two_copies_of_a_device_brought_to_time_each_by_itself_loses_nothing(kind_of: Kind) {
    let (hub, edge) = (kind_of.node(1).await, kind_of.node(2).await.edge());
    let made = edge.create("note", 1, json!({"title": "pump"})).await;
    edge.change(&made, vec![write(&made, "/status", json!("open"))]).await;
    let saves = edge.unsent(1 << 20).await;
    for by in [0, 60_000, 30_000] {
        let saves = corrected(&saves, by);
        hub.write(Request::Receive { saves, now: hub.now(), relay: false }).await;
        assert_eq!(open_entries(&hub).await, Vec::<Value>::new(), "corrected by {by}");
        assert_eq!(hub.value("note", 1).await, json!({"title": "pump", "status": "open"}));
    }
    hub.check().await;
}

async fn who_saw_a_save_saw_it_under_whatever_time_its_device_s_copy_gives_it(kind_of: Kind) {
    let (hub, edge) = (kind_of.node(1).await, kind_of.node(2).await.edge());
    let made = edge.create("note", 1, json!({"title": "pump"})).await;
    edge.change(&made, vec![write(&made, "/title", json!("seal"))]).await;
    let saves = edge.unsent(1 << 20).await;
    hub.write(Request::Receive { saves: saves.clone(), now: hub.now(), relay: false }).await;
    hub.now.fetch_add(600_000, Ordering::Relaxed);
    hub.change(&note(&hub, 1).await, vec![write(&note(&hub, 1).await, "/title", json!("valve"))]).await;
    let saves = corrected(&saves, 60_000);
    hub.write(Request::Receive { saves, now: hub.now(), relay: false }).await;
    assert_eq!(open_entries(&hub).await, Vec::<Value>::new());
    assert_eq!(hub.value("note", 1).await["title"], "valve");
}
