//! What travels: pushes, pulls, moves between partitions, values that lose.

use super::*;
use crate::domain::record::pack::Dictionary;

contract!(
    what_was_saved_at_an_edge_reaches_the_hub_and_the_other_edge,
    receiving_again_changes_nothing,
    joining_again_changes_nothing,
    a_pull_sends_only_what_the_reader_lacks,
    a_save_of_a_record_that_is_not_here_waits_until_it_comes,
    a_save_that_cannot_be_kept_is_refused_and_holds_nobody_up,
    a_row_that_cannot_be_understood_is_set_aside_and_the_cursor_passes,
    a_record_that_leaves_a_partition_goes_from_those_who_read_it,
    a_record_that_comes_into_a_partition_comes_whole,
    a_record_that_comes_back_stays,
    a_record_that_comes_before_its_type_is_where_the_hub_says,
    a_moved_record_with_unsent_saves_stays_until_they_are_sent,
    forgetting_a_partition_drops_its_rows_but_not_unsent_saves,
    a_value_that_lost_is_kept_at_the_hub_and_travels,
    a_lost_value_is_judged_once_however_often_it_arrives,
    an_entry_closes_when_a_later_write_had_seen_the_value,
    a_persons_decision_clears_the_flag_on_every_node,
    what_arrives_late_and_was_seen_is_not_lost,
    an_edge_shows_its_own_beaten_value_until_the_hub_has_judged,
    entries_move_with_their_record,
    a_wrong_clock_stays_with_what_it_touched,
    a_page_ends_where_the_next_begins,
    partitions_of_a_scope_are_those_it_contains,
);

pub(super) async fn pair(kind_of: Kind) -> (Site, Site, Site) {
    (kind_of.node(1).await, kind_of.node(2).await.edge(), kind_of.node(3).await.edge())
}

async fn what_was_saved_at_an_edge_reaches_the_hub_and_the_other_edge(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    let exact: Value = serde_json::from_str("2.50").expect("JSON");
    let made = one.create("note", 1, json!({"title": "a", "n": 1})).await;
    one.change(&made, vec![write(&made, "/n", exact.clone())]).await;
    one.push(&hub).await;
    two.pull(&hub, &notes()).await;
    let held = two.held("note", 1).await.expect("it came");
    assert_eq!(held.document.value, json!({"title": "a", "n": exact}));
    assert_eq!(held.state.revision(), Some(RevisionId(1)));
    let other = two.change(&held, vec![write(&held, "/title", json!("b"))]).await;
    two.push(&hub).await;
    one.pull(&hub, &notes()).await;
    assert_eq!(one.held("note", 1).await.map(|held| held.document.value), Some(other.document.value));
    two.pull(&hub, &notes()).await;
    agree(&hub, &one, &notes()).await;
    agree(&hub, &two, &notes()).await;
    let lines = one.store.history(&kind("note"), id(1)).await.expect("works");
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0].old.clone(), lines[0].new.clone()), (Some(json!("a")), Some(json!("b"))));
    assert_eq!(lines[0].stamp.author.node, NodeId(3));
    assert!(two.store.history(&kind("note"), id(1)).await.expect("works").len() == 1, "what came whole is no change");
}

async fn receiving_again_changes_nothing(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    let made = one.create("note", 1, json!({"title": "a"})).await;
    let seen = one.change(&made, vec![write(&made, "/title", json!("b"))]).await;
    one.change(&seen, vec![write(&seen, "/title", json!("c"))]).await;
    let saves = one.unsent(1 << 20).await;
    let receive = || Request::Receive { saves: saves.clone(), now: 1, relay: false };
    hub.write(receive()).await;
    let (held, lines) = (hub.held("note", 1).await, hub.store.history(&kind("note"), id(1)).await.expect("works"));
    assert_eq!(lines.len(), 2);
    assert_eq!(hub.write(receive()).await, Outcome::Received(vec![Verdict::Accepted; 3]));
    assert_eq!(
        hub.write(Request::Receive { saves: saves[1..2].to_vec(), now: 1, relay: false }).await,
        Outcome::Received(vec![Verdict::Accepted])
    );
    assert_eq!(hub.held("note", 1).await, held);
    assert_eq!(hub.store.history(&kind("note"), id(1)).await.expect("works"), lines);
    assert!(hub.lost().await.is_empty(), "a save that arrives again loses nothing");
}

async fn joining_again_changes_nothing(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    let held = hub.create("note", 1, json!({"title": "a"})).await;
    hub.change(&held, vec![write(&held, "/title", json!("b"))]).await;
    one.pull(&hub, &notes()).await;
    let before = (one.held("note", 1).await, one.store.partitions().await.expect("works"));
    let changes = hub.store.changes(&notes(), 0, 0, 10_000).await.expect("works");
    let page = PulledPage {
        partition: notes(),
        rows: changes.rows,
        moved: Vec::new(),
        cursor: one.cursor(&notes()).await,
        dictionary: changes.dictionary,
    };
    one.write(Request::Join { page, now: 1 }).await;
    assert_eq!((one.held("note", 1).await, one.store.partitions().await.expect("works")), before);
}

async fn a_pull_sends_only_what_the_reader_lacks(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    let held = hub.create("note", 1, json!({"long": "x".repeat(5000), "title": "a"})).await;
    hub.create("note", 2, json!({})).await;
    one.pull(&hub, &notes()).await;
    let base = one.cursor(&notes()).await.base;
    hub.change(&held, vec![write(&held, "/title", json!("b"))]).await;
    let changes = hub.store.changes(&notes(), base, base, 10_000).await.expect("works");
    assert_eq!(changes.rows.len(), 1);
    assert!(changes.rows[0].state.len() < 200, "{} bytes", changes.rows[0].state.len());
    one.pull(&hub, &notes()).await;
    assert_eq!(one.value("note", 1).await["title"], json!("b"));
    agree(&hub, &one, &notes()).await;
}

async fn a_save_of_a_record_that_is_not_here_waits_until_it_comes(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    let made = one.create("note", 1, json!({"title": "a", "n": 1})).await;
    let seen = one.change(&made, vec![write(&made, "/title", json!("b"))]).await;
    one.change(&seen, vec![write(&seen, "/title", json!("c")), write(&seen, "/n", json!(2))]).await;
    let saves = one.unsent(1 << 20).await;
    let late =
        Request::Receive { saves: vec![saves[2].clone(), saves[1].clone(), saves[2].clone()], now: 1, relay: false };
    assert_eq!(hub.write(late).await, Outcome::Received(vec![Verdict::Waits; 3]), "it is not here at all");
    assert_eq!(hub.held("note", 1).await, None, "what waits is not here");
    hub.write(Request::Receive { saves: vec![saves[0].clone()], now: 1, relay: false }).await;
    assert_eq!(hub.value("note", 1).await, json!({"title": "c", "n": 2}));
    assert!(hub.lost().await.is_empty());
    one.write(Request::Acknowledge(saves.iter().map(|save| save.id).collect())).await;
    one.pull(&hub, &notes()).await;
    agree(&hub, &one, &notes()).await;
}

async fn a_save_that_cannot_be_kept_is_refused_and_holds_nobody_up(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    one.create("note", 1, json!({"title": "a"})).await;
    let good = one.unsent(1 << 20).await.remove(0);
    let with = |change: &dyn Fn(&mut Save)| {
        let mut save = good.clone();
        change(&mut save);
        save
    };
    let deep = (0..130).fold(json!(1), |value, _| json!([value]));
    let name = "$serde_json::private::Number";
    let bad = vec![
        with(&|save| save.records.clear()),
        with(&|save| save.records = vec![save.records[0].clone(); 1001]),
        with(&|save| save.records[0].time = Hlc(i64::MIN)),
        with(&|save| save.records[0].time = Hlc(i64::MAX)),
        with(&|save| save.records[0].changes[0].act = Act::Set(Content::json(json!([1])))),
        with(&|save| save.records[0].changes[0].act = Act::Set(Content::Absent)),
        with(&|save| save.records[0].changes[0].act = Act::Set(Content::json(json!({"a": deep})))),
        with(&|save| save.records[0].changes[0].act = Act::Set(Content::json(json!({"a": "x".repeat(3 << 20)})))),
        with(&|save| save.records[0].changes[0].act = Act::Set(Content::json(json!({"a": [{name: "12"}]})))),
        with(&|save| {
            let path = Path::root().property(name);
            let act = Act::Set(Content::json(json!("12")));
            save.records[0].changes.push(Change { path, act, replaces: Cover::nothing() });
        }),
    ];
    let count = bad.len();
    let saves = bad.into_iter().chain([good]).collect();
    let Outcome::Received(verdicts) = hub.write(Request::Receive { saves, now: 1, relay: false }).await else {
        panic!("verdicts")
    };
    for (at, verdict) in verdicts.iter().enumerate() {
        assert_eq!(*verdict == Verdict::Accepted, at == count, "{at}: {verdict:?}");
    }
    assert_eq!(hub.value("note", 1).await, json!({"title": "a"}));
    hub.check().await;
}

async fn a_row_that_cannot_be_understood_is_set_aside_and_the_cursor_passes(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    hub.create("note", 1, json!({"a": 1})).await;
    let held = hub.create("note", 2, json!({"a": 2})).await;
    hub.change(&held, vec![write(&held, "/a", json!(3))]).await;
    let changes = hub.store.changes(&notes(), 0, 0, 10_000).await.expect("works");
    let part = hub.store.changes(&notes(), 2, 2, 10_000).await.expect("works");
    let mut rows = changes.rows;
    rows[1].state = vec![250, 1, 2, 3];
    let cursor = Cursor { base: 9, after: 9, ..Cursor::default() };
    let page = PulledPage { partition: notes(), rows, moved: Vec::new(), cursor, dictionary: changes.dictionary };
    one.write(Request::Join { page, now: 1 }).await;
    assert_eq!(one.value("note", 1).await, json!({"a": 1}));
    assert_eq!(one.held("note", 2).await, None);
    assert_eq!(one.cursor(&notes()).await, cursor);
    // a part of a record that is not here is no record
    let rows = part.rows;
    let page = PulledPage { partition: notes(), rows, moved: Vec::new(), cursor, dictionary: part.dictionary };
    one.write(Request::Join { page, now: 1 }).await;
    assert_eq!(one.held("note", 2).await, None);
    assert_eq!(one.store.locals("set-aside").await.expect("works").len(), 1);
    // nor is one with a name that could not be read back
    let real = hub.store.changes(&notes(), 0, 0, 10_000).await.expect("works");
    let mut names = real.dictionary.names().to_vec();
    *names.iter_mut().find(|name| *name == "a").expect("the field was written twice") =
        "$serde_json::private::RawValue".into();
    let dictionary = Dictionary::of(real.dictionary.authors().to_vec(), names);
    let page = PulledPage { partition: notes(), rows: real.rows, moved: Vec::new(), cursor, dictionary };
    one.write(Request::Join { page, now: 1 }).await;
    assert_eq!(one.held("note", 2).await, None);
    one.check().await;
}

async fn a_record_that_leaves_a_partition_goes_from_those_who_read_it(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    let held = hub.create("job", 1, json!({"site": "a"})).await;
    let held = hub.change(&held, vec![write(&held, "/note", json!("x"))]).await;
    one.pull(&hub, &jobs_at("a")).await;
    hub.change(&held, vec![write(&held, "/site", json!("b"))]).await;
    one.pull(&hub, &jobs_at("a")).await;
    assert_eq!(one.held("job", 1).await, None);
    assert!(one.store.history(&kind("job"), id(1)).await.expect("works").is_empty());
    agree(&hub, &one, &jobs_at("a")).await;
    two.pull(&hub, &jobs_at("a")).await;
    assert_eq!(two.held("job", 1).await, None);
    agree(&hub, &two, &jobs_at("a")).await;
}

async fn a_record_that_comes_into_a_partition_comes_whole(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    let held = hub.create("job", 1, json!({"site": "a", "title": "t"})).await;
    for number in 2..6 {
        hub.create("job", number, json!({"site": "b"})).await;
    }
    one.pull(&hub, &jobs_at("b")).await;
    hub.change(&held, vec![write(&held, "/site", json!("b"))]).await;
    one.pull(&hub, &jobs_at("b")).await;
    assert_eq!(one.value("job", 1).await, json!({"site": "b", "title": "t"}));
    agree(&hub, &one, &jobs_at("b")).await;
}

async fn a_record_that_comes_before_its_type_is_where_the_hub_says(kind_of: Kind) {
    let (hub, one) = (kind_of.node(1).await, kind_of.node(2).await.edge());
    let made = hub.create("job", 1, json!({"site": "a", "title": "x"})).await;
    one.rules.unscoped.store(true, Ordering::Relaxed);
    one.pull(&hub, &jobs_at("a")).await;
    agree(&hub, &one, &jobs_at("a")).await;
    hub.change(&made, vec![write(&made, "/title", json!("y"))]).await;
    one.pull(&hub, &jobs_at("a")).await;
    // what would have been judged from nothing is out of this node's scope
    one.write(Request::Forget(vec![Partition::of_type(&kind("job"))])).await;
    agree(&hub, &one, &jobs_at("a")).await;
    one.rules.unscoped.store(false, Ordering::Relaxed);
    one.write(Request::Rejudge(kind("job"))).await;
    agree(&hub, &one, &jobs_at("a")).await;
    assert_eq!(one.value("job", 1).await["title"], "y");
    one.check().await;
}

async fn a_record_that_comes_back_stays(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    let held = hub.create("job", 1, json!({"site": "a"})).await;
    one.pull(&hub, &jobs_at("a")).await;
    let away = hub.change(&held, vec![write(&held, "/site", json!("b"))]).await;
    let back = hub.change(&away, vec![write(&away, "/site", json!("a"))]).await;
    one.pull(&hub, &jobs_at("a")).await;
    one.pull(&hub, &jobs_at("b")).await;
    assert_eq!(one.held("job", 1).await.map(|held| held.hash()), Some(back.hash()));
    agree(&hub, &one, &jobs_at("a")).await;
    agree(&hub, &one, &jobs_at("b")).await;
    // the other way round: what is read first of two partitions does not matter
    hub.change(&back, vec![write(&back, "/site", json!("b"))]).await;
    one.pull(&hub, &jobs_at("b")).await;
    one.pull(&hub, &jobs_at("a")).await;
    assert_eq!(one.value("job", 1).await, json!({"site": "b"}));
    agree(&hub, &one, &jobs_at("b")).await;
}

async fn a_moved_record_with_unsent_saves_stays_until_they_are_sent(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    let held = hub.create("job", 1, json!({"site": "a", "n": 1})).await;
    one.pull(&hub, &jobs_at("a")).await;
    let here = one.held("job", 1).await.expect("it came");
    one.change(&here, vec![write(&here, "/n", json!(2))]).await;
    hub.change(&held, vec![write(&held, "/site", json!("b"))]).await;
    one.pull(&hub, &jobs_at("a")).await;
    let kept = one.held("job", 1).await.expect("what was saved here is not lost");
    assert!(kept.flags.has(Flags::LEAVING));
    one.push(&hub).await;
    assert_eq!(one.held("job", 1).await, None);
    assert_eq!(hub.value("job", 1).await, json!({"site": "b", "n": 2}));
    agree(&hub, &one, &jobs_at("a")).await;
}

async fn forgetting_a_partition_drops_its_rows_but_not_unsent_saves(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    for chunk in 0..2u128 {
        let records = (chunk * 600..chunk * 600 + 600)
            .map(|number| part("job", id(number), Expect::New, create(json!({"site": "a"}))))
            .collect();
        hub.save(records).await;
    }
    hub.create("job", 5000, json!({"site": "b"})).await;
    one.pull(&hub, &jobs_at("a")).await;
    one.pull(&hub, &jobs_at("b")).await;
    let held = one.held("job", 3).await.expect("it came");
    one.change(&held, vec![write(&held, "/n", json!(1))]).await;
    one.write(Request::Forget(vec![jobs_at("a")])).await;
    assert_eq!(one.held("job", 2).await, None);
    assert_eq!(one.held("job", 1199).await, None);
    assert!(one.held("job", 3).await.is_some() && one.held("job", 5000).await.is_some());
    assert_eq!(one.cursor(&jobs_at("a")).await, Cursor::default());
    one.check().await;
    one.push(&hub).await;
    assert_eq!(one.held("job", 3).await, None);
    one.pull(&hub, &jobs_at("a")).await;
    assert_eq!(one.value("job", 3).await, json!({"site": "a", "n": 1}), "whoever comes back gets all of it");
    agree(&hub, &one, &jobs_at("a")).await;
}

/// Two edges that write the same field without having seen each other; the second is later. Both have pushed.
async fn clash(kind_of: Kind) -> (Site, Site, Site) {
    let (hub, one, two) = pair(kind_of).await;
    hub.create("note", 1, json!({"title": "a", "n": 1})).await;
    one.pull(&hub, &notes()).await;
    two.pull(&hub, &notes()).await;
    let (first, second) = (one.held("note", 1).await.expect("it came"), two.held("note", 1).await.expect("it came"));
    two.now.fetch_add(1000, Ordering::Relaxed);
    one.change(&first, vec![write(&first, "/title", json!("one"))]).await;
    two.change(&second, vec![write(&second, "/title", json!("two"))]).await;
    one.push(&hub).await;
    two.push(&hub).await;
    (hub, one, two)
}

async fn a_value_that_lost_is_kept_at_the_hub_and_travels(kind_of: Kind) {
    let (hub, one, two) = clash(kind_of).await;
    let lost = hub.lost().await;
    assert_eq!(lost.len(), 1);
    assert_eq!((&lost[0]["value"], &lost[0]["state"]), (&json!("one"), &json!("open")));
    assert_eq!(lost[0]["node"], json!(NodeId(2)));
    assert!(hub.held("note", 1).await.expect("it is here").flags.has(Flags::LOST));
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
        assert_eq!(edge.lost().await, lost);
        let held = edge.held("note", 1).await.expect("it is here");
        assert_eq!(held.document.value["title"], json!("two"));
        assert!(held.flags.has(Flags::LOST));
        agree(&hub, edge, &notes()).await;
    }
}

async fn a_lost_value_is_judged_once_however_often_it_arrives(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    let held = hub.create("note", 1, json!({"title": "a"})).await;
    one.pull(&hub, &notes()).await;
    two.pull(&hub, &notes()).await;
    let seen = two.held("note", 1).await.expect("it came");
    let late = one.held("note", 1).await.expect("it came");
    one.change(&late, vec![write(&late, "/title", json!("early"))]).await;
    two.now.fetch_add(1000, Ordering::Relaxed);
    two.change(&seen, vec![write(&seen, "/title", json!("later"))]).await;
    let saves = one.unsent(10_000).await;
    two.push(&hub).await;
    // the earlier one arrives when the later one stands, and again, and again
    for _ in 0..3 {
        hub.write(Request::Receive { saves: saves.clone(), now: 1, relay: false }).await;
    }
    let lost = hub.lost().await;
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0]["value"], json!("early"));
    let lines = hub.store.history(&kind("note"), held.id).await.expect("works");
    let overruled: Vec<_> = lines.iter().filter(|line| line.act == EffectKind::Overruled).collect();
    assert_eq!(overruled.len(), 1, "what came too late is in the history, once: {lines:?}");
    assert_eq!(overruled[0].new, Some(json!("early")));
}

async fn an_entry_closes_when_a_later_write_had_seen_the_value(kind_of: Kind) {
    let (hub, one, two) = clash(kind_of).await;
    assert_eq!(hub.lost().await[0]["state"], json!("open"));
    // whoever wrote what lost does not know that yet, and writes it better
    let held = one.held("note", 1).await.expect("it is here");
    one.change(&held, vec![write(&held, "/title", json!("one, better"))]).await;
    one.push(&hub).await;
    let states: Vec<(Value, Value)> =
        hub.lost().await.into_iter().map(|lost| (lost["value"].clone(), lost["state"].clone())).collect();
    assert_eq!(states.len(), 2);
    assert!(states.contains(&(json!("one"), json!("seen"))), "{states:?}");
    assert!(states.contains(&(json!("one, better"), json!("open"))), "{states:?}");
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
        agree(&hub, edge, &notes()).await;
    }
    // on an edge that knows of it, an entry closes at once, and the hub does the same
    let held = one.held("note", 1).await.expect("it is here");
    let entries = one.store.records(&query(TypeName::LOST)).await.expect("works").items;
    let open = entries.iter().find(|entry| entry.document.value["state"] == json!("open")).expect("one is open");
    let tag = open.document.value["tag"].as_str().and_then(|tag| u32::from_str_radix(tag, 16).ok()).expect("a tag");
    let mut change = write(&held, "/title", json!("settled"));
    change.replaces.inside.insert(Path::root(), Stamp { tag, ..open.state.latest() });
    one.change(&held, vec![change]).await;
    assert!(one.lost().await.iter().all(|lost| lost["state"] == json!("seen")), "{:?}", one.lost().await);
    assert!(!one.held("note", 1).await.expect("it is here").flags.has(Flags::LOST));
    one.push(&hub).await;
    assert!(!hub.held("note", 1).await.expect("it is here").flags.has(Flags::LOST));
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
        agree(&hub, edge, &notes()).await;
    }
}

async fn a_persons_decision_clears_the_flag_on_every_node(kind_of: Kind) {
    let (hub, one, two) = clash(kind_of).await;
    two.pull(&hub, &notes()).await;
    let entry = two.store.records(&query(TypeName::LOST)).await.expect("works").items.remove(0);
    two.change(&entry, vec![write(&entry, "/state", json!("dismissed"))]).await;
    assert!(!two.held("note", 1).await.expect("it is here").flags.has(Flags::LOST));
    two.push(&hub).await;
    one.pull(&hub, &notes()).await;
    two.pull(&hub, &notes()).await;
    for site in [&hub, &one, &two] {
        assert!(!site.held("note", 1).await.expect("it is here").flags.has(Flags::LOST));
        assert_eq!(site.lost().await[0]["state"], json!("dismissed"));
        agree(&hub, site, &notes()).await;
    }
    assert!(hub.store.flagged(Flags::LOST, None, 10).await.expect("works").is_empty());
}

async fn what_arrives_late_and_was_seen_is_not_lost(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    hub.create("note", 1, json!({"a": 0, "b": 0})).await;
    one.pull(&hub, &notes()).await;
    let held = one.held("note", 1).await.expect("it came");
    // both fields belong together, so both are written, and the second writer changes only one of them
    let first = one.change(&held, vec![write(&held, "/a", json!(1)), write(&held, "/b", json!(1))]).await;
    let second = one.change(&first, vec![write(&first, "/a", json!(2)), write(&first, "/b", json!(1))]).await;
    one.change(&second, vec![write(&second, "/a", json!(3)), write(&second, "/b", json!(3))]).await;
    let saves = one.unsent(1 << 20).await;
    for save in saves.iter().rev() {
        hub.write(Request::Receive { saves: vec![save.clone()], now: 1, relay: false }).await;
    }
    assert_eq!(hub.value("note", 1).await, json!({"a": 3, "b": 3}));
    assert!(hub.lost().await.is_empty(), "{:?}", hub.lost().await);
    drop(two);
}

async fn an_edge_shows_its_own_beaten_value_until_the_hub_has_judged(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    hub.create("note", 1, json!({"title": "a"})).await;
    one.pull(&hub, &notes()).await;
    two.pull(&hub, &notes()).await;
    let (first, second) = (one.held("note", 1).await.expect("it came"), two.held("note", 1).await.expect("it came"));
    one.change(&first, vec![write(&first, "/title", json!("one"))]).await;
    two.now.fetch_add(1000, Ordering::Relaxed);
    two.change(&second, vec![write(&second, "/title", json!("two"))]).await;
    two.push(&hub).await;
    one.pull(&hub, &notes()).await;
    assert_eq!(one.value("note", 1).await["title"], json!("two"));
    let shown = one.lost().await;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["value"], json!("one"));
    assert!(one.held("note", 1).await.expect("it is here").flags.has(Flags::LOST));
    one.check().await;
    assert_eq!(
        one.digest(&notes()).await,
        hub.digest(&notes()).await,
        "what only one node shows is no part of what is shared"
    );
    one.push(&hub).await;
    one.pull(&hub, &notes()).await;
    assert_eq!(one.lost().await, hub.lost().await);
    agree(&hub, &one, &notes()).await;
    let entry = one.store.records(&query(TypeName::LOST)).await.expect("works").items.remove(0);
    assert!(!entry.flags.has(Flags::PROVISIONAL));

    // what the hub does not find lost goes again
    let held = one.held("note", 1).await.expect("it is here");
    one.change(&held, vec![write(&held, "/title", json!("three"))]).await;
    one.change(&held, vec![write(&held, "/title", json!("four"))]).await;
    assert_eq!(one.lost().await.len(), 2);
    let other = hub.held("note", 1).await.expect("it is here");
    hub.now.store(1_700_000_000_000, Ordering::Relaxed);
    hub.change(&other, vec![write(&other, "/title", json!("three"))]).await;
    one.push(&hub).await;
    one.pull(&hub, &notes()).await;
    one.pull(&hub, &notes()).await;
    assert_eq!(one.lost().await, hub.lost().await);
    agree(&hub, &one, &notes()).await;
}

async fn entries_move_with_their_record(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    hub.create("job", 1, json!({"site": "a", "n": 0})).await;
    one.pull(&hub, &jobs_at("a")).await;
    two.pull(&hub, &jobs_at("a")).await;
    for edge in [&one, &two] {
        let held = edge.held("job", 1).await.expect("it came");
        edge.change(&held, vec![write(&held, "/n", json!(edge.author.node))]).await;
        edge.push(&hub).await;
    }
    one.pull(&hub, &jobs_at("a")).await;
    two.pull(&hub, &jobs_at("a")).await;
    let held = one.held("job", 1).await.expect("it is here");
    one.change(&held, vec![write(&held, "/site", json!("b"))]).await;
    one.push(&hub).await;
    assert_eq!(hub.lost().await[0]["partition"], json!("job=\"b\""));
    for edge in [&one, &two] {
        edge.pull(&hub, &jobs_at("a")).await;
        agree(&hub, edge, &jobs_at("a")).await;
    }
    assert!(two.lost().await.is_empty() && two.held("job", 1).await.is_none());
    two.pull(&hub, &jobs_at("b")).await;
    assert!(two.held("job", 1).await.expect("it came").flags.has(Flags::LOST));
    one.pull(&hub, &jobs_at("b")).await;
    agree(&hub, &one, &jobs_at("b")).await;
    agree(&hub, &two, &jobs_at("b")).await;
}

async fn a_wrong_clock_stays_with_what_it_touched(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    one.now.store(2_500_000_000_000, Ordering::Relaxed);
    one.create("note", 1, json!({"title": "from the future"})).await;
    one.push(&hub).await;
    let held = hub.create("note", 2, json!({})).await;
    assert!(held.state.latest().time < Hlc::at(1_800_000_010_000), "our clock is ours");
    let far = hub.held("note", 1).await.expect("it is here");
    let next = hub.change(&far, vec![write(&far, "/title", json!("now"))]).await;
    assert_eq!(next.document.value["title"], json!("now"));
}

async fn a_page_ends_where_the_next_begins(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    for number in 1..=10 {
        hub.create("note", number, json!({"title": "x".repeat(200)})).await;
    }
    let first = hub.store.changes(&notes(), 0, 0, 1).await.expect("works");
    assert_eq!((first.rows.len(), first.next, first.head), (1, Some(1), 10), "one at least");
    let most = hub.store.changes(&notes(), 0, 1, 1_000).await.expect("works");
    assert!(most.rows.len() > 1 && most.rows.len() < 9);
    assert_eq!(most.next, most.rows.last().map(|row| row.seq));
    let last = hub.store.changes(&notes(), 0, 9, 1_000).await.expect("works");
    assert_eq!((last.rows.len(), last.next), (1, None));
    let none = hub.store.changes(&notes(), 10, 10, 1_000).await.expect("works");
    assert_eq!((none.rows.len(), none.next, none.head), (0, None, 10));
    let unknown = hub.store.changes(&Partition("nothing".into()), 0, 0, 1_000).await.expect("works");
    assert_eq!((unknown.rows.len(), unknown.next, unknown.head), (0, None, 0));
    // a page without rows still moves the cursor, and the partition is known
    let page = PulledPage {
        partition: Partition("empty".into()),
        rows: Vec::new(),
        moved: Vec::new(),
        cursor: Cursor::default(),
        dictionary: Dictionary::default(),
    };
    one.write(Request::Join { page, now: 1 }).await;
    let states = one.store.partitions().await.expect("works");
    assert_eq!(states[0].cursor, Some(Cursor::default()));
}

async fn partitions_of_a_scope_are_those_it_contains(kind_of: Kind) {
    let one = kind_of.node(2).await.edge();
    let names = [
        "_types",
        "_people",
        "_lost",
        "note",
        "note=",
        "note=\"a\"",
        "note=1",
        "notes",
        "not",
        "job",
        "job=\"a\"",
        "job=\"b\"",
    ];
    for name in names {
        let page = PulledPage {
            partition: Partition(name.into()),
            rows: Vec::new(),
            moved: Vec::new(),
            cursor: Cursor::default(),
            dictionary: Dictionary::default(),
        };
        one.write(Request::Join { page, now: 1 }).await;
    }
    for scope in [
        json!("all"),
        json!({}),
        json!({"note": true}),
        json!({"job": ["a", "c"]}),
        json!({"note": ["a", null, 1.0], "job": true, "none": true}),
    ] {
        let scope = Scope::from_json(&scope).expect("a good scope");
        let mut expected = one.store.partitions().await.expect("works");
        expected.retain(|state| scope.contains(&state.partition));
        assert_eq!(one.store.partitions_in(&scope).await.expect("works"), expected, "{scope:?}");
    }
}
