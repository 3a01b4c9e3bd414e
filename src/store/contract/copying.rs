//! All of a partition at one moment, and taking it in chunk by chunk.

use super::*;
use crate::domain::record::pack::Dictionary;
use crate::domain::snapshot::{ChunkHash, Cutter, read};

contract!(
    a_walk_sees_every_record_of_a_partition_in_order_and_where_it_stands,
    a_walk_ends_with_the_first_error,
    chunks_join_to_what_they_were_made_of_and_are_remembered,
    a_chunk_makes_the_same_of_a_node_as_a_page,
    what_a_chunk_was_judged_by_is_asked_again_if_it_changed_meanwhile,
    forgetting_a_partition_forgets_how_far_its_copy_was,
    a_row_of_a_chunk_that_cannot_be_understood_is_set_aside,
);

async fn walked(site: &Site, partition: &Partition) -> (Vec<Held>, PartitionState) {
    let mut all = Vec::new();
    let mut see = |held| {
        all.push(held);
        Ok(())
    };
    let state = site.store.walk(partition, &mut see).await.expect("the store works");
    (all, state)
}

async fn a_walk_sees_every_record_of_a_partition_in_order_and_where_it_stands(kind_of: Kind) {
    let site = kind_of.open().await;
    for number in [700u128, 3, 9, 4, 5] {
        site.create("job", number, json!({"site": "a", "n": number as u64})).await;
    }
    for number in 1_000..1_600u128 {
        site.create("note", number, json!({"n": number as u64})).await;
    }
    let moved = site.create("job", 6, json!({"site": "b"})).await;
    site.change(&moved, vec![write(&moved, "/site", json!("a"))]).await;
    let binned = site.held("job", 4).await.expect("it is here");
    site.change(&binned, vec![bin(&binned, true)]).await;
    let (all, state) = walked(&site, &jobs_at("a")).await;
    assert_eq!(all.iter().map(|held| held.id.as_u128()).collect::<Vec<_>>(), [3, 4, 5, 6, 9, 700]);
    assert!(all.iter().all(|held| held.partition == jobs_at("a")));
    let known = site.store.partitions().await.expect("the store works");
    let known = known.into_iter().find(|known| known.partition == jobs_at("a")).expect("it is known");
    assert_eq!(state, known);
    assert_eq!(walked(&site, &notes()).await.0.len(), 600);
    let (none, state) = walked(&site, &jobs_at("nowhere")).await;
    assert!(none.is_empty());
    assert_eq!((state.head, state.records, state.digest), (0, 0, Digest::default()));
}

async fn a_walk_ends_with_the_first_error(kind_of: Kind) {
    let site = kind_of.open().await;
    for number in 1..4 {
        site.create("note", number, json!({})).await;
    }
    let mut seen = 0;
    let mut see = |_| {
        seen += 1;
        Err(StoreError::Full)
    };
    assert!(matches!(site.store.walk(&notes(), &mut see).await, Err(StoreError::Full)));
    assert_eq!(seen, 1);
    site.create("note", 9, json!({})).await;
}

/// What a chunk of these records hands on.
fn chunk(partition: &Partition, all: &[Held]) -> (Vec<Row>, Dictionary) {
    let mut cutter = Cutter::new(partition);
    for held in all {
        assert!(cutter.push(&held.type_name, held.id, held.state.clone(), 100).is_none(), "they are few");
    }
    let content = cutter.finish().expect("there is something");
    read(partition, &content.bytes).expect("it is what was made")
}

fn page(partition: &Partition, (rows, dictionary): (Vec<Row>, Dictionary), base: u64) -> PulledPage {
    let cursor = Cursor { base, after: base, ..Cursor::default() };
    PulledPage { partition: partition.clone(), rows, moved: Vec::new(), cursor, dictionary }
}

fn copying(head: u64) -> Copying {
    Copying { epoch: Default::default(), head, done: [ChunkHash([7; 32])].into() }
}

async fn chunks_join_to_what_they_were_made_of_and_are_remembered(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    let one = hub.create("note", 1, json!({"title": "a", "n": 1})).await;
    hub.change(&one, vec![write(&one, "/n", json!(2))]).await;
    let two = hub.create("note", 2, json!({"title": "b"})).await;
    hub.change(&two, vec![bin(&two, true)]).await;
    hub.create("note", 3, json!([1, 2])).await;
    let (all, state) = walked(&hub, &notes()).await;
    let edge = kind_of.node(2).await.edge();
    let first = Request::JoinChunk {
        page: page(&notes(), chunk(&notes(), &all[..1]), state.head),
        ready: Ready::default(),
        copying: Some(copying(state.head)),
        now: 1,
    };
    for _ in 0..2 {
        assert_eq!(edge.write(first.clone()).await, Outcome::Done);
        let kept = edge.store.local(COPYING, "note").await.expect("the store works").expect("it is remembered");
        assert_eq!(serde_json::from_value::<Copying>(kept).expect("how far it is"), copying(state.head));
        assert_eq!(edge.store.local("cursor", "note").await.expect("the store works"), None);
        assert!(edge.held("note", 1).await.is_some() && edge.held("note", 2).await.is_none());
    }
    let rest = page(&notes(), chunk(&notes(), &all[1..]), state.head);
    let ready = Ready::of(&rest.rows, &rest.dictionary, &notes(), Some(&*edge.rules));
    let last = Request::JoinChunk { page: rest, ready, copying: None, now: 1 };
    assert_eq!(edge.write(last).await, Outcome::Done);
    assert_eq!(edge.store.local(COPYING, "note").await.expect("the store works"), None);
    assert_eq!(edge.cursor(&notes()).await.base, state.head);
    agree(&hub, &edge, &notes()).await;
    assert!(edge.held("note", 2).await.is_some_and(|held| held.flags.has(Flags::BINNED)));
}

/// Where nothing is here yet, where something is here that the chunk meets, and where a row cannot be understood.
async fn a_chunk_makes_the_same_of_a_node_as_a_page(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    for number in 1..40u128 {
        let made = hub.create("note", number, json!({"z": number as u64, "a": {"b": 1}, "title": "ä\"x"})).await;
        match number % 5 {
            0 => drop(hub.change(&made, vec![write(&made, "/a/b", json!(2.5))]).await),
            1 => drop(hub.change(&made, vec![bin(&made, true)]).await),
            2 => drop(hub.change(&made, vec![write(&made, "/a", json!({})), write(&made, "/n", json!(1))]).await),
            _ => {}
        }
    }
    let (all, state) = walked(&hub, &notes()).await;
    for (held_before, damaged) in [(None, false), (Some(17), false), (Some(99), true), (None, true)] {
        let (by_chunk, by_page) = (kind_of.node(2).await.edge(), kind_of.node(2).await.edge());
        let (mut rows, dictionary) = chunk(&notes(), &all);
        if damaged {
            rows[7].state[0] = 99;
        }
        let page = page(&notes(), (rows, dictionary), state.head);
        if let Some(number) = held_before {
            match hub.held("note", number).await {
                Some(held) => {
                    let part = chunk(&notes(), &[held]);
                    let page = PulledPage { cursor: Cursor::default(), ..super::copying::page(&notes(), part, 0) };
                    by_chunk.write(Request::Join { page: page.clone(), now: 1 }).await;
                    by_page.write(Request::Join { page, now: 1 }).await;
                }
                None => {
                    by_chunk.create("note", number, json!({"own": true})).await;
                    by_page.create("note", number, json!({"own": true})).await;
                }
            }
        }
        let mut told = by_chunk.store.notices();
        let request =
            Request::JoinChunk { page: page.clone(), ready: Ready::default(), copying: None, now: 1_700_000_000_000 };
        assert_eq!(by_chunk.write(request).await, Outcome::Done);
        assert_eq!(by_page.write(Request::Join { page: page.clone(), now: 1_700_000_000_000 }).await, Outcome::Done);
        let mut heard: Vec<_> = told.try_recv().expect("it is told").iter().map(|notice| notice.id).collect();
        heard.sort();
        let new = if held_before == Some(17) { 38 } else { 39 } - usize::from(damaged);
        assert_eq!(heard.len(), new);
        let known = |site: &Site| {
            let store = site.store.clone();
            async move {
                let of =
                    |held: Held| (held.id, held.document, held.state.stamps(), held.state.bin.is_some(), held.flags);
                let mut own = Vec::new();
                let mut see = |held: Held| {
                    own.push(of(held));
                    Ok(())
                };
                let state = store.walk(&notes(), &mut see).await.expect("the store works");
                (own, state.records, state.digest, state.cursor)
            }
        };
        let (chunked, paged) = (known(&by_chunk).await, known(&by_page).await);
        assert_eq!(chunked, paged);
        assert_eq!(chunked.0.len() as u64, chunked.1);
        let counted = by_chunk.store.recompute_digests().await.expect("the store works");
        assert!(counted.contains(&(notes(), chunked.2)), "{counted:?}");
        assert_eq!(by_chunk.store.tallies().await.expect("it works"), by_page.store.tallies().await.expect("it works"));
        let aside = by_chunk.store.locals("set-aside").await.expect("the store works");
        assert_eq!(aside.len(), usize::from(damaged));
    }
}

async fn what_a_chunk_was_judged_by_is_asked_again_if_it_changed_meanwhile(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    hub.create("note", 1, json!({"title": "a"})).await;
    hub.create("note", 2, json!({"bad": true})).await;
    let (all, state) = walked(&hub, &notes()).await;
    for changes in [false, true] {
        let edge = kind_of.node(2).await.edge();
        let page = page(&notes(), chunk(&notes(), &all), state.head);
        let ready = Ready::of(&page.rows, &page.dictionary, &notes(), Some(&*edge.rules));
        assert!(ready.judged_by.is_some());
        edge.rules.strict.store(changes, Ordering::Relaxed);
        assert_eq!(edge.write(Request::JoinChunk { page, ready, copying: None, now: 1 }).await, Outcome::Done);
        let invalid = async |number| edge.held("note", number).await.expect("it is here").flags.has(Flags::INVALID);
        assert_eq!((invalid(1).await, invalid(2).await), (changes, true));
        assert_eq!(edge.value("note", 1).await, json!({"title": "a"}));
        agree(&hub, &edge, &notes()).await;
    }
}

async fn forgetting_a_partition_forgets_how_far_its_copy_was(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    hub.create("note", 1, json!({"title": "a"})).await;
    let (all, state) = walked(&hub, &notes()).await;
    let edge = kind_of.node(2).await.edge();
    let page = page(&notes(), chunk(&notes(), &all), state.head);
    edge.write(Request::JoinChunk { page, ready: Ready::default(), copying: Some(copying(1)), now: 1 }).await;
    edge.write(Request::Forget(vec![notes()])).await;
    assert_eq!(edge.store.local(COPYING, "note").await.expect("the store works"), None);
    assert_eq!(edge.held("note", 1).await, None);
}

async fn a_row_of_a_chunk_that_cannot_be_understood_is_set_aside(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    hub.create("note", 1, json!({"title": "a"})).await;
    hub.create("note", 2, json!({"title": "b"})).await;
    let (all, state) = walked(&hub, &notes()).await;
    let (mut rows, dictionary) = chunk(&notes(), &all);
    rows[0].state[0] = 99;
    let edge = kind_of.node(2).await.edge();
    let page = page(&notes(), (rows, dictionary), state.head);
    assert_eq!(
        edge.write(Request::JoinChunk { page, ready: Ready::default(), copying: None, now: 1 }).await,
        Outcome::Done
    );
    assert_eq!((edge.held("note", 1).await, edge.value("note", 2).await), (None, json!({"title": "b"})));
    let aside = edge.store.locals("set-aside").await.expect("the store works");
    assert_eq!(aside.len(), 1);
    assert!(aside[0].1["why"].as_str().is_some_and(|why| why.contains("version")), "{aside:?}");
}
