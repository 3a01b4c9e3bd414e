//! Saving, reading, history and documents of a node's own.

use super::*;
use crate::domain::path::Segment;

contract!(
    a_save_that_was_answered_can_be_read,
    a_new_record_is_refused_where_one_is_and_told_how_it_is,
    a_refused_save_leaves_no_trace,
    a_save_is_refused_if_the_record_changed_meanwhile,
    a_save_without_changes_writes_nothing,
    a_record_is_never_built_from_some_of_its_fields,
    a_save_is_stamped_above_what_it_meets,
    one_counter_numbers_all_changes,
    history_tells_what_was_there_and_what_came,
    the_bin_keeps_the_record,
    an_edit_after_deletion_is_flagged,
    flags_follow_the_judge,
    records_are_judged_again_when_their_type_changed,
    a_type_that_gets_a_scope_moves_its_records,
    saves_wait_in_the_outbox_in_order_until_they_are_acknowledged,
    local_documents_change_all_or_none,
    local_documents_are_found_by_how_their_keys_begin,
    concurrent_savers_all_get_through,
    of_savers_who_expect_the_same_one_wins,
    what_is_nested_too_deep_is_told_and_changes_nothing,
    a_name_that_could_not_be_read_back_is_told_and_changes_nothing,
    tallies_count_the_living_and_the_binned,
    notices_tell_what_was_committed,
    what_two_on_one_node_did_not_see_of_each_other_is_kept,
    a_closed_store_says_so,
    large_and_odd_values_come_back_as_they_were_typed,
);

async fn a_save_that_was_answered_can_be_read(kind_of: Kind) {
    let site = kind_of.open().await;
    let held = site.create("note", 1, serde_json::from_str(r#"{"title":"a","n":1.50}"#).expect("JSON")).await;
    let read = site.held("note", 1).await.expect("it is here");
    assert_eq!(read, held);
    assert_eq!(read.document.value.to_string(), r#"{"title":"a","n":1.50}"#);
    assert_eq!(read.partition, notes());
    assert_eq!(read.state.revision(), Some(RevisionId(1)));
    assert_eq!(site.held("note", 2).await, None);
    assert_eq!(site.held("other", 1).await, None);
    site.check().await;
}

async fn a_new_record_is_refused_where_one_is_and_told_how_it_is(kind_of: Kind) {
    let site = kind_of.open().await;
    let held = site.create("note", 1, json!({"title": "a"})).await;
    let again = site.save(vec![part("note", id(1), Expect::New, create(json!({"title": "b"})))]).await;
    assert_eq!(again, Outcome::Refused { index: 0, now: Some(Box::new(held)) });
    let missing = site.save(vec![part("note", id(2), Expect::Exists, create(json!({})))]).await;
    assert_eq!(missing, Outcome::Refused { index: 0, now: None });
}

async fn a_refused_save_leaves_no_trace(kind_of: Kind) {
    let site = kind_of.open().await.edge();
    let held = site.create("note", 1, json!({"title": "a"})).await;
    let before = (site.store.partitions().await.expect("works"), site.store.tallies().await.expect("works"));
    let refused = site
        .save(vec![
            part("note", id(1), Expect::Exists, vec![write(&held, "/title", json!("b"))]),
            part("note", id(2), Expect::New, create(json!({}))),
            part("note", id(1), Expect::New, create(json!({}))),
        ])
        .await;
    assert!(matches!(refused, Outcome::Refused { index: 2, .. }), "{refused:?}");
    assert_eq!(site.held("note", 1).await, Some(held.clone()));
    assert_eq!(site.held("note", 2).await, None);
    assert_eq!(site.store.waiting().await.expect("works"), 1);
    assert!(site.store.history(&kind("note"), id(1)).await.expect("works").is_empty());
    assert_eq!((site.store.partitions().await.expect("works"), site.store.tallies().await.expect("works")), before);
    let next = site.create("note", 3, json!({})).await;
    assert_eq!(next.seq, held.seq + 1, "no number was spent");
}

async fn a_save_is_refused_if_the_record_changed_meanwhile(kind_of: Kind) {
    let site = kind_of.open().await;
    let seen = site.create("note", 1, json!({"title": "a"})).await;
    let save =
        |to: &str| vec![part("note", id(1), Expect::Unchanged(seen.hash()), vec![write(&seen, "/title", json!(to))])];
    assert!(matches!(site.save(save("b")).await, Outcome::Saved(_)));
    let Outcome::Refused { index: 0, now: Some(now) } = site.save(save("c")).await else { panic!("it is refused") };
    assert_eq!(now.document.value["title"], json!("b"));
}

async fn a_save_without_changes_writes_nothing(kind_of: Kind) {
    let site = kind_of.open().await.edge();
    let held = site.create("note", 1, json!({})).await;
    let saved = site.save(vec![part("note", id(1), Expect::Exists, Vec::new())]).await;
    assert_eq!(saved, Outcome::Saved(vec![held.clone()]));
    assert_eq!(site.store.waiting().await.expect("works"), 1);
    assert_eq!(site.held("note", 1).await, Some(held));
}

async fn a_record_is_never_built_from_some_of_its_fields(kind_of: Kind) {
    let site = kind_of.open().await;
    let changes =
        vec![Change { path: at("/title"), act: Act::Set(Content::json(json!(1))), replaces: Cover::nothing() }];
    let saved = site.save(vec![part("note", id(1), Expect::New, changes)]).await;
    assert_eq!(saved, Outcome::Refused { index: 0, now: None });
    assert_eq!(site.held("note", 1).await, None);
}

async fn a_save_is_stamped_above_what_it_meets(kind_of: Kind) {
    let site = kind_of.open().await;
    let held = site.create("note", 1, json!({"title": "a"})).await;
    site.now.store(2_000_000_000_000, Ordering::Relaxed);
    let ahead = site.change(&held, vec![write(&held, "/title", json!("from a clock that is ahead"))]).await;
    site.now.store(1_800_000_000_000, Ordering::Relaxed);
    let later = site.change(&held, vec![write(&held, "/title", json!("later"))]).await;
    assert_eq!(later.document.value["title"], json!("later"));
    assert!(later.state.stamp_at(&at("/title")) > ahead.state.stamp_at(&at("/title")));
}

async fn one_counter_numbers_all_changes(kind_of: Kind) {
    let site = kind_of.open().await;
    let records = |range: std::ops::Range<u128>| {
        range.map(|number| part("note", id(number), Expect::New, create(json!({})))).collect::<Vec<_>>()
    };
    let Outcome::Saved(first) = site.save(records(1..4)).await else { panic!("it is saved") };
    assert_eq!(first.iter().map(|held| held.seq).collect::<Vec<_>>(), [1, 2, 3]);
    let held = site.change(&first[0], vec![write(&first[0], "/a", json!(1))]).await;
    assert_eq!(held.seq, 4);
    assert_eq!(held.state.place(&at("/a")).and_then(|place| place.write.as_ref()).map(|write| write.arrival), Some(4));
}

async fn history_tells_what_was_there_and_what_came(kind_of: Kind) {
    let site = kind_of.open().await;
    let made = site.create("note", 1, json!({"title": "a"})).await;
    let first = site.change(&made, vec![write(&made, "/title", json!("b"))]).await;
    let binned = site.change(&first, vec![bin(&first, true)]).await;
    site.change(&binned, vec![bin(&binned, false)]).await;
    let lines = site.store.history(&kind("note"), id(1)).await.expect("works");
    let acts: Vec<EffectKind> = lines.iter().map(|line| line.act).collect();
    assert_eq!(acts, [EffectKind::Restored, EffectKind::Binned, EffectKind::Changed], "newest first");
    let line = &lines[2];
    assert_eq!((line.old.clone(), line.new.clone()), (Some(json!("a")), Some(json!("b"))));
    assert_eq!((line.path.clone(), line.stamp.author), (at("/title"), site.author));
    assert_eq!(line.seq, first.seq);
}

async fn the_bin_keeps_the_record(kind_of: Kind) {
    let site = kind_of.open().await;
    let held = site.create("note", 1, json!({"title": "a"})).await;
    let binned = site.change(&held, vec![bin(&held, true)]).await;
    assert!(binned.flags.has(Flags::BINNED));
    assert_eq!(binned.document, held.document);
    let listed = |binned| Query { binned, ..query("note") };
    assert!(site.store.records(&listed(false)).await.expect("works").items.is_empty());
    assert_eq!(site.store.records(&listed(true)).await.expect("works").items, std::slice::from_ref(&binned));
    let back = site.change(&binned, vec![bin(&binned, false)]).await;
    assert!(!back.flags.has(Flags::BINNED));
}

async fn an_edit_after_deletion_is_flagged(kind_of: Kind) {
    let site = kind_of.open().await;
    let seen = site.create("note", 1, json!({"title": "a"})).await;
    site.change(&seen, vec![bin(&seen, true)]).await;
    let edited = site.change(&seen, vec![write(&seen, "/title", json!("b"))]).await;
    assert!(edited.flags.has(Flags::BINNED) && edited.flags.has(Flags::EDITED_AFTER_DELETION));
    let found = site.store.flagged(Flags::EDITED_AFTER_DELETION, None, 10).await.expect("works");
    assert!(found.len() == 1 && alike(&found[0], &edited));
}

async fn flags_follow_the_judge(kind_of: Kind) {
    let site = kind_of.open().await;
    let held = site.create("note", 1, json!({"bad": true})).await;
    site.create("note", 2, json!({})).await;
    assert!(held.flags.has(Flags::INVALID));
    let other = site.create("note", 3, json!({"bad": true})).await;
    let ids = |held: Vec<Held>| held.into_iter().map(|held| held.id).collect::<Vec<_>>();
    assert_eq!(ids(site.store.flagged(Flags::INVALID, None, 10).await.expect("works")), [id(3), id(1)], "newest first");
    assert_eq!(ids(site.store.flagged(Flags::INVALID, None, 1).await.expect("works")), [id(3)]);
    let before = Some(other.seq);
    assert_eq!(ids(site.store.flagged(Flags::INVALID, before, 10).await.expect("works")), [id(1)], "the page after");
    let path = at("/bad");
    let clear = Change { replaces: other.state.cover(&path), path, act: Act::Set(Content::Absent) };
    let good = site.change(&other, vec![clear]).await;
    assert!(!good.flags.has(Flags::INVALID));
    assert_eq!(ids(site.store.flagged(Flags::INVALID, None, 10).await.expect("works")), [id(1)]);
}

async fn records_are_judged_again_when_their_type_changed(kind_of: Kind) {
    let site = kind_of.open().await;
    site.rules.unknown.lock().expect("not poisoned").insert(RevisionId(1));
    for chunk in 0..3 {
        let records = (chunk * 400..(chunk + 1) * 400)
            .map(|number| {
                let value = if number == 700 { json!({"due": 1}) } else { json!({}) };
                part("note", id(number), Expect::New, create(value))
            })
            .collect();
        site.save(records).await;
    }
    let held = site.held("note", 5).await.expect("it is here");
    assert!(held.flags.has(Flags::UNKNOWN_REVISION));
    site.rules.unknown.lock().expect("not poisoned").clear();
    site.rules.strict.store(true, Ordering::Relaxed);
    assert_eq!(site.write(Request::Rejudge(kind("note"))).await, Outcome::Done);
    let after = site.held("note", 5).await.expect("it is here");
    assert!(after.flags.has(Flags::INVALID) && !after.flags.has(Flags::UNKNOWN_REVISION));
    assert_eq!((after.hash(), after.seq), (held.hash(), held.seq), "a judgement is no change of the record");
    assert_eq!(site.held("note", 700).await.map(|held| held.flags), Some(Flags::default()));
    let tally = site.store.tallies().await.expect("works");
    assert_eq!(tally, [Tally { type_name: kind("note"), living: 1200, binned: 0, flagged: 1199 }]);
    site.check().await;
}

async fn a_type_that_gets_a_scope_moves_its_records(kind_of: Kind) {
    let site = kind_of.open().await;
    site.rules.unscoped.store(true, Ordering::Relaxed);
    site.create("job", 1, json!({"site": "a"})).await;
    let other = site.create("job", 2, json!({"site": "b"})).await;
    site.rules.unscoped.store(false, Ordering::Relaxed);
    site.write(Request::Rejudge(kind("job"))).await;
    let whole = Partition::of_type(&kind("job"));
    let left = site.store.changes(&whole, other.seq, other.seq, 10_000).await.expect("works");
    assert!(left.rows.is_empty());
    assert_eq!(left.moved.iter().map(|moved| moved.id).collect::<Vec<_>>(), [id(1), id(2)]);
    let came = site.store.changes(&jobs_at("b"), other.seq, other.seq, 10_000).await.expect("works");
    assert_eq!(came.rows.len(), 1);
    site.check().await;
}

async fn saves_wait_in_the_outbox_in_order_until_they_are_acknowledged(kind_of: Kind) {
    let site = kind_of.open().await.edge();
    for number in 1..=5 {
        site.create("note", number, json!({"title": "x".repeat(100)})).await;
    }
    let all = site.unsent(1 << 20).await;
    let notes = |numbers: std::ops::RangeInclusive<u128>| -> Vec<_> {
        numbers.map(|number| (TypeName::custom("note").expect("a name"), id(number))).collect()
    };
    let mut asked = notes(0..=7);
    asked.push((TypeName::custom("other").expect("a name"), id(1)));
    let unsent = site.store.unsent(&asked).await.expect("works");
    assert_eq!(unsent, notes(1..=5).into_iter().collect(), "and what is not here is not unsent");
    let ids: Vec<RecordId> = all.iter().map(|save| save.records[0].id).collect();
    assert_eq!(ids, (1..=5).map(id).collect::<Vec<_>>());
    assert_eq!(site.unsent(1).await.len(), 1, "one at least");
    let size = |save: &Save| {
        let mut bytes = Vec::new();
        ciborium::into_writer(save, &mut bytes).expect("it encodes");
        bytes.len()
    };
    let two = size(&all[0]) + size(&all[1]);
    assert_eq!(site.unsent(two).await.len(), 2);
    assert_eq!(site.unsent(two - 1).await.len(), 1);
    site.write(Request::Acknowledge(vec![all[0].id, all[2].id, SaveId(99)])).await;
    let unsent = site.store.unsent(&notes(1..=3)).await.expect("works");
    assert_eq!(unsent, notes(2..=2).into_iter().collect());
    assert!(site.store.unsent(&[]).await.expect("works").is_empty());
    site.write(Request::Acknowledge(vec![all[0].id])).await;
    assert_eq!(site.store.waiting().await.expect("works"), 3);
    let left: Vec<RecordId> = site.unsent(1 << 20).await.iter().map(|save| save.records[0].id).collect();
    assert_eq!(left, [id(2), id(4), id(5)]);
}

async fn local_documents_change_all_or_none(kind_of: Kind) {
    let site = kind_of.open().await;
    let change = |key: &str, value: Option<Value>, expect: Option<Option<Value>>| LocalChange {
        kind: "session",
        key: key.into(),
        value,
        expect,
    };
    let first = vec![change("b", Some(json!(1)), Some(None)), change("a", Some(json!({"x": 1})), None)];
    assert_eq!(site.write(Request::Local(first)).await, Outcome::Done);
    let all = vec![("a".to_owned(), json!({"x": 1})), ("b".to_owned(), json!(1))];
    assert_eq!(site.store.locals("session").await.expect("works"), all, "in order of key");
    let bad = vec![change("a", None, None), change("c", Some(json!(1)), None), change("b", None, Some(Some(json!(2))))];
    assert_eq!(site.write(Request::Local(bad)).await, Outcome::Unexpected { index: 2 });
    assert_eq!(site.store.locals("session").await.expect("works"), all);
    let taken = vec![change("b", Some(json!(2)), Some(None))];
    assert_eq!(site.write(Request::Local(taken)).await, Outcome::Unexpected { index: 0 });
    let good = vec![change("a", None, Some(Some(json!({"x": 1.0})))), change("b", None, Some(Some(json!(1))))];
    assert_eq!(site.write(Request::Local(good)).await, Outcome::Done);
    assert!(site.store.locals("session").await.expect("works").is_empty());
    assert_eq!(site.store.local("session", "a").await.expect("works"), None);
}

async fn concurrent_savers_all_get_through(kind_of: Kind) {
    let site = Arc::new(kind_of.open().await);
    let savers = (0..20u128).map(|saver| {
        let site = site.clone();
        tokio::spawn(async move {
            for number in 0..10 {
                site.create("note", saver * 100 + number, json!({"saver": saver as u64})).await;
            }
        })
    });
    for saver in savers.collect::<Vec<_>>() {
        saver.await.expect("it gets through");
    }
    let states = site.store.partitions().await.expect("works");
    assert_eq!((states[0].records, states[0].head), (200, 200), "no number is missing or given twice");
    site.check().await;
}

async fn of_savers_who_expect_the_same_one_wins(kind_of: Kind) {
    let site = Arc::new(kind_of.open().await);
    let seen = site.create("note", 1, json!({"n": 0})).await;
    let savers: Vec<_> = (0..12)
        .map(|number| {
            let (site, seen) = (site.clone(), seen.clone());
            tokio::spawn(async move {
                let change = vec![write(&seen, "/n", json!(number + 1))];
                site.save(vec![part("note", id(1), Expect::Unchanged(seen.hash()), change)]).await
            })
        })
        .collect();
    let mut won = 0;
    for saver in savers {
        won += usize::from(matches!(saver.await.expect("it is answered"), Outcome::Saved(_)));
    }
    assert_eq!(won, 1);
    assert_eq!(site.store.history(&kind("note"), id(1)).await.expect("works").len(), 1);
}

async fn what_is_nested_too_deep_is_told_and_changes_nothing(kind_of: Kind) {
    let site = kind_of.open().await;
    let held = site.create("note", 1, json!({})).await;
    let deep = (0..100).fold(json!(1), |value, _| json!([value]));
    let path = Path((0..40).map(|_| Segment::Property("a".into())).collect());
    let change = Change { path, act: Act::Set(Content::json(deep)), replaces: Cover::nothing() };
    let saved = site.store.write(site.request(vec![part("note", id(1), Expect::Exists, vec![change])])).await;
    assert!(matches!(saved, Err(StoreError::Limit(_))), "{saved:?}");
    assert_eq!(site.held("note", 1).await, Some(held));
}

async fn a_name_that_could_not_be_read_back_is_told_and_changes_nothing(kind_of: Kind) {
    let site = kind_of.open().await;
    let held = site.create("note", 1, json!({"a": 1})).await;
    for name in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        let mut inside = serde_json::Map::new();
        inside.insert(name.to_owned(), json!("12"));
        for change in [
            write(&held, &format!("/{name}"), json!("12")),
            write(&held, &format!("/own/{name}/b"), json!("12")),
            write(&held, "/own", json!([Value::Object(inside)])),
        ] {
            let saved = site.store.write(site.request(vec![part("note", id(1), Expect::Exists, vec![change.clone()])]));
            assert!(matches!(saved.await, Err(StoreError::Limit(why)) if why.contains("reserved")));
        }
    }
    assert_eq!(site.held("note", 1).await, Some(held));
}

async fn tallies_count_the_living_and_the_binned(kind_of: Kind) {
    let site = kind_of.open().await;
    assert!(site.store.tallies().await.expect("works").is_empty());
    site.create("note", 1, json!({"bad": true})).await;
    let held = site.create("note", 2, json!({})).await;
    site.change(&held, vec![bin(&held, true)]).await;
    site.create("job", 1, json!({})).await;
    let tallies = site.store.tallies().await.expect("works");
    assert_eq!(
        tallies,
        [
            Tally { type_name: kind("job"), living: 1, binned: 0, flagged: 0 },
            Tally { type_name: kind("note"), living: 1, binned: 1, flagged: 1 },
        ]
    );
}

async fn notices_tell_what_was_committed(kind_of: Kind) {
    let site = kind_of.open().await;
    let mut notices = site.store.notices();
    let held = site.create("job", 1, json!({"site": "a"})).await;
    let moved = site.change(&held, vec![write(&held, "/site", json!("b"))]).await;
    let first = notices.recv().await.expect("a notice");
    assert_eq!(first.len(), 1);
    let Notice { partition, type_name, id: of, seq, person, node, .. } = first[0].clone();
    assert_eq!((partition, type_name, of, seq), (jobs_at("a"), kind("job"), id(1), held.seq));
    assert_eq!((person, node), (site.author.person, site.author.node));
    let second = notices.recv().await.expect("a notice");
    let places: Vec<_> = second.iter().map(|notice| (notice.partition.clone(), notice.seq)).collect();
    assert_eq!(places, [(jobs_at("a"), moved.seq), (jobs_at("b"), moved.seq)]);
}

async fn what_two_on_one_node_did_not_see_of_each_other_is_kept(kind_of: Kind) {
    let site = kind_of.open().await;
    let seen = site.create("note", 1, json!({"title": "a", "other": 1})).await;
    site.change(&seen, vec![write(&seen, "/title", json!("first"))]).await;
    let second = site.change(&seen, vec![write(&seen, "/title", json!("second"))]).await;
    assert_eq!(second.document.value["title"], json!("second"));
    assert!(second.flags.has(Flags::LOST));
    let lost = site.lost().await;
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (&lost[0]["value"], &lost[0]["pointer"], &lost[0]["state"]),
        (&json!("first"), &json!("/title"), &json!("open"))
    );
    assert_eq!(
        (&lost[0]["record"], &lost[0]["type"], &lost[0]["partition"]),
        (&json!(id(1)), &json!("note"), &json!("note"))
    );
    site.check().await;
}

async fn a_closed_store_says_so(kind_of: Kind) {
    let site = kind_of.open().await;
    site.create("note", 1, json!({})).await;
    site.store.close().await;
    site.store.close().await;
    let saved = site.store.write(site.request(Vec::new())).await;
    assert!(matches!(saved, Err(StoreError::Closed)), "{saved:?}");
    let read = site.store.record(&kind("note"), id(1)).await;
    assert!(matches!(read, Err(StoreError::Closed)), "{read:?}");
}

async fn large_and_odd_values_come_back_as_they_were_typed(kind_of: Kind) {
    let site = kind_of.open().await;
    let text = r#"{"n":1.0,"big":123456789012345678901234567890.5,"e":1e-7,"s":"line\nbreak \u0000 ; , 😀","":{"a\"b":[1,null,{"'":false}]}}"#;
    let value: Value = serde_json::from_str(text).expect("JSON");
    site.create("note", 1, value.clone()).await;
    site.create("note", 2, json!({"long": "x".repeat(300_000)})).await;
    let held = site.held("note", 1).await.expect("it is here");
    assert_eq!(held.document.value.to_string(), value.to_string());
    let changed = site.change(&held, vec![write(&held, "/n", json!("; , \n"))]).await;
    let page = site.store.records(&query("note")).await.expect("works");
    assert!(alike(&page.items[0], &changed), "{:?}", page.items[0]);
    assert_eq!(page.items[1].document.value["long"].as_str().map(str::len), Some(300_000));
}

async fn local_documents_are_found_by_how_their_keys_begin(kind_of: Kind) {
    let site = kind_of.open().await;
    let keys = ["7a", "7a/", "7a/1", "7a/\u{10ffff}", "7a0", "7b/1", "7"];
    let changes = keys.map(|key| LocalChange { kind: "life", key: key.into(), value: Some(json!(key)), expect: None });
    assert_eq!(site.write(Request::Local(changes.into())).await, Outcome::Done);
    let other = LocalChange { kind: "lift", key: "7a/2".into(), value: Some(json!(2)), expect: None };
    assert_eq!(site.write(Request::Local(vec![other])).await, Outcome::Done);
    let found = site.store.locals_under("life", "7a/").await.expect("works");
    assert_eq!(found, ["7a/", "7a/1", "7a/\u{10ffff}"].map(|key| (key.to_owned(), json!(key))));
}
