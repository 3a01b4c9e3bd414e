//! What holds for every store; run on SQLite and on the model.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::domain::ids::{Epoch, Incarnation, TypeName};
use crate::domain::record::{Act, Content, Cover};

/// Records are valid unless they say otherwise; their partition is their site.
struct Toy;

impl Judge for Toy {
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition {
        match type_name.as_str() {
            TypeName::LOST => Partition(document["partition"].as_str().unwrap_or_default().to_owned()),
            _ => Partition::of_value(type_name, document.get("site")),
        }
    }

    fn is_valid(&self, _: &TypeName, revision: Option<RevisionId>, document: &Value) -> Option<bool> {
        revision.is_none_or(|revision| revision.0 == 1).then(|| document["valid"] != json!(false))
    }
}

fn kind() -> TypeName {
    TypeName::custom("work-order").expect("a good name")
}

fn author(node: u64) -> Author {
    Author { node: NodeId(node), incarnation: Incarnation(1), person: Uuid::from_u128(u128::from(node)) }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn creation(value: Value) -> Vec<Change> {
    vec![Change { path: Path::root(), act: Act::Set(Content::json(value)), replaces: Cover::nothing() }]
}

fn write(state: &State, name: &str, value: Value) -> Change {
    let path = Path::root().property(name);
    Change { replaces: state.cover(&path), path, act: Act::Set(Content::json(value)) }
}

struct Saver {
    node: u64,
    next: std::sync::atomic::AtomicU64,
    outbox: bool,
}

impl Saver {
    fn new(node: u64, outbox: bool) -> Self {
        Self { node, next: 1.into(), outbox }
    }

    fn request(&self, id: Uuid, expect: Expect, changes: Vec<Change>) -> Request {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let record = LocalRecord { type_name: kind(), id, revision: Some(RevisionId(1)), expect, changes };
        Request::Save(LocalSave {
            id: SaveId(u128::from(number) << 96 | u128::from(self.node)),
            author: author(self.node),
            now: 1_800_000_000_000 + number as i64,
            records: vec![record],
            outbox: self.outbox,
        })
    }

    async fn save(&self, store: &dyn Store, id: Uuid, expect: Expect, changes: Vec<Change>) -> Outcome {
        store.write(self.request(id, expect, changes)).await.expect("the store answers")
    }
}

fn saved(outcome: Outcome) -> Held {
    match outcome {
        Outcome::Saved(mut held) => held.remove(0),
        other => panic!("not saved: {other:?}"),
    }
}

async fn get(store: &dyn Store, id: Uuid) -> Held {
    store.record(&kind(), id).await.expect("the store answers").expect("the record is here")
}

/// Brings everything from one store to the other, page by page.
async fn pull(from: &dyn Store, to: &dyn Store, page: usize) {
    for partition in from.partitions().await.expect("the store answers") {
        let name = partition.partition;
        let known = to.partitions().await.expect("the store answers");
        let cursor =
            known.iter().find(|state| state.partition == name).and_then(|state| state.cursor).unwrap_or_default();
        let (base, mut after) = (cursor.base, cursor.base);
        loop {
            let changes = from.changes(&name, base, after, page).await.expect("the store answers");
            let cursor = match changes.next {
                Some(next) => Cursor { epoch: Epoch(1), base, after: next },
                None => Cursor { epoch: Epoch(1), base: changes.head, after: changes.head },
            };
            let next = changes.next;
            let page = PulledPage {
                partition: name.clone(),
                rows: changes.rows,
                moved: changes.moved,
                cursor,
                dictionary: changes.dictionary,
            };
            to.write(Request::Join { page, now: 1_800_000_000_000 }).await.expect("the store answers");
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
    }
}

async fn push(from: &dyn Store, to: &dyn Store) {
    let saves = from.outbox(1 << 20).await.expect("the store answers");
    let ids = saves.iter().map(|save| save.id).collect();
    let outcome = to.write(Request::Receive { saves, now: 1_800_000_000_000 }).await.expect("the store answers");
    let Outcome::Received(verdicts) = outcome else { panic!("not received") };
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Accepted), "{verdicts:?}");
    from.write(Request::Acknowledge(ids)).await.expect("the store answers");
}

async fn digests(store: &dyn Store) -> Vec<(Partition, Digest, u64)> {
    let states = store.partitions().await.expect("the store answers");
    states
        .into_iter()
        .filter(|state| state.records > 0)
        .map(|state| (state.partition, state.digest, state.records))
        .collect()
}

async fn a_refused_save_leaves_no_trace(store: Arc<dyn Store>) {
    let saver = Saver::new(1, false);
    let first = saved(saver.save(&*store, id(1), Expect::New, creation(json!({"a": 1}))).await);
    let again = saver.save(&*store, id(1), Expect::New, creation(json!({"a": 2}))).await;
    assert!(matches!(again, Outcome::Refused { index: 0, now: Some(now) } if now.hash() == first.hash()));
    let missing = saver.save(&*store, id(2), Expect::Exists, vec![write(&first.state, "a", json!(2))]).await;
    assert_eq!(missing, Outcome::Refused { index: 0, now: None });
    let stale = Expect::Unchanged(crate::domain::record::hash::Hash(7));
    let stale = saver.save(&*store, id(1), stale, vec![write(&first.state, "a", json!(3))]).await;
    assert!(matches!(stale, Outcome::Refused { .. }));
    assert_eq!(get(&*store, id(1)).await, first);
    assert_eq!(store.history(&kind(), id(1)).await.expect("the store answers"), []);
}

async fn a_change_is_in_the_history_with_its_old_value(store: Arc<dyn Store>) {
    let saver = Saver::new(1, false);
    let held = saved(saver.save(&*store, id(1), Expect::New, creation(json!({"a": 1.50, "b": "x"}))).await);
    saver.save(&*store, id(1), Expect::Exists, vec![write(&held.state, "a", json!(2))]).await;
    let lines = store.history(&kind(), id(1)).await.expect("the store answers");
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].path.to_string().as_str(), &lines[0].old, &lines[0].new),
        ("/a", &Some(json!(1.50)), &Some(json!(2)))
    );
    assert_eq!(get(&*store, id(1)).await.document.value, json!({"a": 2, "b": "x"}));
}

async fn savers_at_once_all_get_their_own_number(store: Arc<dyn Store>) {
    let saver = Arc::new(Saver::new(1, false));
    let mut tasks = Vec::new();
    for number in 0..200u128 {
        let (store, saver) = (store.clone(), saver.clone());
        tasks.push(tokio::spawn(async move {
            saved(saver.save(&*store, id(number + 1), Expect::New, creation(json!({"n": number as u64}))).await).seq
        }));
    }
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.expect("no saver panics"));
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 200);
    let state = &store.partitions().await.expect("the store answers")[0];
    assert_eq!((state.records, state.head), (200, 200));
}

async fn two_nodes_that_exchanged_everything_are_equal(hub: Arc<dyn Store>, edge: Arc<dyn Store>) {
    let (at_hub, at_edge) = (Saver::new(1, false), Saver::new(2, true));
    for number in 1..=40u128 {
        let site = json!(["north", "south"][number as usize % 2]);
        saved(at_hub.save(&*hub, id(number), Expect::New, creation(json!({"site": site, "a": 1, "b": 1}))).await);
    }
    pull(&*hub, &*edge, 200).await;
    assert_eq!(digests(&*hub).await, digests(&*edge).await);
    for number in 1..=20u128 {
        let state = get(&*hub, id(number)).await.state;
        at_hub.save(&*hub, id(number), Expect::Exists, vec![write(&state, "a", json!("hub"))]).await;
        let state = get(&*edge, id(number)).await.state;
        at_edge.save(&*edge, id(number), Expect::Exists, vec![write(&state, "b", json!("edge"))]).await;
    }
    push(&*edge, &*hub).await;
    pull(&*hub, &*edge, 300).await;
    assert_eq!(edge.waiting().await.expect("the store answers"), 0);
    assert_eq!(digests(&*hub).await, digests(&*edge).await);
    for number in 1..=20u128 {
        let value = get(&*edge, id(number)).await.document.value;
        assert_eq!((&value["a"], &value["b"]), (&json!("hub"), &json!("edge")));
        assert_eq!(get(&*hub, id(number)).await.hash(), get(&*edge, id(number)).await.hash());
    }
    let before = digests(&*edge).await;
    pull(&*hub, &*edge, 300).await;
    assert_eq!(digests(&*edge).await, before, "pulling again changes nothing");
}

async fn a_value_that_lost_is_kept_and_closes_when_it_was_seen(hub: Arc<dyn Store>, edge: Arc<dyn Store>) {
    let (at_hub, at_edge) = (Saver::new(1, false), Saver::new(2, true));
    saved(at_hub.save(&*hub, id(1), Expect::New, creation(json!({"a": 0}))).await);
    pull(&*hub, &*edge, 1000).await;
    let base = get(&*edge, id(1)).await.state;
    at_edge.save(&*edge, id(1), Expect::Exists, vec![write(&base, "a", json!("edge"))]).await;
    for _ in 0..3 {
        let state = get(&*hub, id(1)).await.state;
        at_hub.save(&*hub, id(1), Expect::Exists, vec![write(&state, "a", json!("hub"))]).await;
    }
    push(&*edge, &*hub).await;
    assert!(get(&*hub, id(1)).await.flags.has(Flags::LOST));
    pull(&*hub, &*edge, 1000).await;
    assert!(get(&*edge, id(1)).await.flags.has(Flags::LOST), "the entry came to the edge");
    let lost = lost_of(&*edge).await;
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0]["value"], json!("edge"));
    assert_eq!(lost[0]["state"], json!("open"));
    // whoever writes the field after seeing what stands has not seen what lost; naming it closes the entry
    let held = get(&*hub, id(1)).await;
    let mut change = write(&held.state, "a", json!("decided"));
    let named = edge.history(&kind(), id(1)).await.expect("the store answers");
    change.replaces.all =
        named.iter().find(|line| line.new == Some(json!("edge"))).expect("it is in the history").stamp;
    at_hub.save(&*hub, id(1), Expect::Exists, vec![change]).await;
    assert!(
        !get(&*hub, id(1)).await.flags.has(Flags::LOST)
            || lost_of(&*hub).await.iter().any(|one| one["value"] == json!("hub"))
    );
    assert!(lost_of(&*hub).await.iter().any(|one| one["value"] == json!("edge") && one["state"] == json!("seen")));
}

async fn lost_of(store: &dyn Store) -> Vec<Value> {
    let query = Query {
        type_name: TypeName::built_in(TypeName::LOST),
        filters: Vec::new(),
        sort: Vec::new(),
        binned: false,
        limit: 100,
        cursor: None,
    };
    let page = store.records(&query).await.expect("the store answers");
    page.items.into_iter().map(|held| held.document.value).collect()
}

async fn a_save_waits_for_its_record(hub: Arc<dyn Store>, edge: Arc<dyn Store>) {
    let at_edge = Saver::new(2, true);
    let held = saved(at_edge.save(&*edge, id(1), Expect::New, creation(json!({"a": 0}))).await);
    at_edge.save(&*edge, id(1), Expect::Exists, vec![write(&held.state, "a", json!(1))]).await;
    let mut saves = edge.outbox(1 << 20).await.expect("the store answers");
    let creation = saves.remove(0);
    let receive = |saves| hub.write(Request::Receive { saves, now: 1_800_000_000_000 });
    receive(saves).await.expect("the store answers");
    assert_eq!(hub.record(&kind(), id(1)).await.expect("the store answers"), None);
    receive(vec![creation]).await.expect("the store answers");
    assert_eq!(get(&*hub, id(1)).await.document.value, json!({"a": 1}));
    assert_eq!(get(&*hub, id(1)).await.hash(), get(&*edge, id(1)).await.hash());
}

async fn a_record_that_moves_leaves_one_partition_and_enters_another_whole(hub: Arc<dyn Store>, edge: Arc<dyn Store>) {
    let at_hub = Saver::new(1, false);
    saved(at_hub.save(&*hub, id(1), Expect::New, creation(json!({"site": "north", "a": 1}))).await);
    saved(at_hub.save(&*hub, id(2), Expect::New, creation(json!({"site": "south", "a": 2}))).await);
    pull(&*hub, &*edge, 1000).await;
    let state = get(&*hub, id(1)).await.state;
    at_hub.save(&*hub, id(1), Expect::Exists, vec![write(&state, "site", json!("south"))]).await;
    let north = Partition::of_value(&kind(), Some(&json!("north")));
    let changes = hub.changes(&north, 1, 1, 1000).await.expect("the store answers");
    assert_eq!((changes.rows.len(), changes.moved.len()), (0, 1));
    let south = Partition::of_value(&kind(), Some(&json!("south")));
    let rows = hub.changes(&south, 2, 2, 1000).await.expect("the store answers");
    let whole = crate::domain::record::pack::unpack(&rows.rows[0].state, rows.rows[0].seq, None, &rows.dictionary);
    assert_eq!(whole.expect("a row is read").document().value, json!({"a": 1, "site": "south"}));
    pull(&*hub, &*edge, 1000).await;
    assert_eq!(digests(&*hub).await, digests(&*edge).await);
}

async fn local_documents_change_all_or_none(store: Arc<dyn Store>) {
    let change = |key: &str, value: Option<Value>, expect| LocalChange { kind: "k", key: key.into(), value, expect };
    let write = |changes| store.write(Request::Local(changes));
    let made = write(vec![change("a", Some(json!(1)), Some(None)), change("b", Some(json!(2)), None)]).await;
    assert_eq!(made.expect("the store answers"), Outcome::Done);
    let refused = write(vec![change("b", Some(json!(3)), None), change("a", None, Some(Some(json!(9))))]).await;
    assert_eq!(refused.expect("the store answers"), Outcome::Unexpected { index: 1 });
    assert_eq!(store.locals("k").await.expect("the store answers"), [("a".into(), json!(1)), ("b".into(), json!(2))]);
    write(vec![change("a", None, Some(Some(json!(1))))]).await.expect("the store answers");
    assert_eq!(store.local("k", "a").await.expect("the store answers"), None);
}

async fn flags_tell_what_people_should_look_at(store: Arc<dyn Store>) {
    let saver = Saver::new(1, false);
    let held = saved(saver.save(&*store, id(1), Expect::New, creation(json!({"valid": false}))).await);
    assert_eq!(held.flags, Flags::INVALID);
    let found = store.flagged(Flags::INVALID, 10).await.expect("the store answers");
    assert_eq!(found.len(), 1);
    let bin = |binned| Change { path: Path::root(), act: Act::Bin(binned), replaces: held.state.cover(&Path::root()) };
    let binned = saved(saver.save(&*store, id(1), Expect::Exists, vec![bin(true)]).await);
    assert!(binned.flags.has(Flags::BINNED) && !binned.flags.has(Flags::EDITED_AFTER_DELETION));
    let edited =
        saved(saver.save(&*store, id(1), Expect::Exists, vec![write(&held.state, "valid", json!(true))]).await);
    assert!(edited.flags.has(Flags::EDITED_AFTER_DELETION));
    let tally = &store.tallies().await.expect("the store answers")[0];
    assert_eq!((tally.living, tally.binned, tally.flagged), (0, 1, 1));
    let back = saved(saver.save(&*store, id(1), Expect::Exists, vec![bin(false)]).await);
    assert_eq!(back.flags, Flags::default());
    assert_eq!(back.document.value, json!({"valid": true}));
}

/// The cases of `tests/data/store/queries.json`: a filter or a sort, and the records it finds.
async fn lists_find_and_order_as_the_table_says(store: Arc<dyn Store>) {
    let cases: Value = serde_json::from_str(include_str!("../../tests/data/store/queries.json")).expect("JSON");
    let saver = Saver::new(1, false);
    for (number, value) in (1..).zip(cases["records"].as_array().expect("a list")) {
        saved(saver.save(&*store, id(number), Expect::New, creation(value.clone())).await);
    }
    for case in cases["cases"].as_array().expect("a list") {
        let path = |value: &Value| Path::steps(value.as_str().expect("a pointer")).expect("a pointer");
        let filters = case["filters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let filters = filters.iter().map(|filter| Filter {
            path: path(&filter[0]),
            operator: operator(filter[1].as_str().expect("a word")),
            value: filter[2].clone(),
        });
        let sort = case["sort"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sort =
            sort.iter().map(|sort| Sort { by: SortKey::Field(path(&sort[0])), descending: sort[1] == json!("desc") });
        let mut query = Query {
            type_name: kind(),
            filters: filters.collect(),
            sort: sort.collect(),
            binned: false,
            limit: 500,
            cursor: None,
        };
        let wanted: Vec<Value> = case["found"].as_array().expect("a list").clone();
        let number = |held: &Held| json!(held.id.as_u128() as u64);
        let page = store.records(&query).await.expect("the store answers");
        assert_eq!(page.items.iter().map(number).collect::<Vec<_>>(), wanted, "{case}");
        assert_eq!(page.next, None);
        query.limit = 2;
        let mut found = Vec::new();
        loop {
            let page = store.records(&query).await.expect("the store answers");
            found.extend(page.items.iter().map(number));
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(found, wanted, "by pages of two: {case}");
    }
}

fn operator(word: &str) -> Operator {
    match word {
        "eq" => Operator::Equal,
        "ne" => Operator::NotEqual,
        "lt" => Operator::Less,
        "le" => Operator::LessOrEqual,
        "gt" => Operator::Greater,
        "ge" => Operator::GreaterOrEqual,
        "in" => Operator::In,
        "contains" => Operator::Contains,
        "starts" => Operator::Starts,
        "empty" => Operator::Empty,
        other => panic!("no operator {other}"),
    }
}

macro_rules! contract {
    ($($name:ident($($store:ident),+);)*) => {
        mod model {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name($({
                    let $store = Model::new(Arc::new(Toy));
                    Arc::new($store) as Arc<dyn Store>
                }),+).await;
            })*
        }
        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().expect("a folder");
                super::$name($({
                    let file = folder.path().join(concat!(stringify!($store), ".db"));
                    let $store = Sqlite::open(&file, Arc::new(Toy), Options::default()).await.expect("it opens");
                    Arc::new($store) as Arc<dyn Store>
                }),+).await;
            })*
        }
    };
}

contract! {
    a_refused_save_leaves_no_trace(store);
    a_change_is_in_the_history_with_its_old_value(store);
    savers_at_once_all_get_their_own_number(store);
    two_nodes_that_exchanged_everything_are_equal(hub, edge);
    a_value_that_lost_is_kept_and_closes_when_it_was_seen(hub, edge);
    a_save_waits_for_its_record(hub, edge);
    a_record_that_moves_leaves_one_partition_and_enters_another_whole(hub, edge);
    local_documents_change_all_or_none(store);
    flags_tell_what_people_should_look_at(store);
    lists_find_and_order_as_the_table_says(store);
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_process_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("outpost.db");
    let saver = Saver::new(1, true);
    let store = Sqlite::open(&file, Arc::new(Toy), Options::default()).await.expect("it opens");
    let held =
        saved(saver.save(&store, id(1), Expect::New, creation(json!({"a": 1, "big": 1152921504606846977u64}))).await);
    let held = saved(saver.save(&store, id(1), Expect::Exists, vec![write(&held.state, "a", json!(2))]).await);
    // not closed: as if it was killed
    std::mem::forget(store);
    let store = Sqlite::open(&file, Arc::new(Toy), Options::default()).await.expect("it opens");
    let again = get(&store, id(1)).await;
    assert_eq!((again.hash(), &again.document, again.seq), (held.hash(), &held.document, held.seq));
    assert_eq!(store.waiting().await.expect("the store answers"), 2);
    let next = saved(saver.save(&store, id(2), Expect::New, creation(json!({}))).await);
    assert!(next.seq > held.seq && next.state.latest() > held.state.latest());
    let state = store.partitions().await.expect("the store answers").remove(0);
    assert_eq!(store.recompute(&state.partition).await.expect("the store answers"), state.digest);
}

#[tokio::test]
async fn a_full_disk_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("outpost.db");
    let options = Options { max_pages: Some(60), ..Options::default() };
    let store = Sqlite::open(&file, Arc::new(Toy), options).await.expect("it opens");
    let saver = Saver::new(1, false);
    let small = saved(saver.save(&store, id(1), Expect::New, creation(json!({"a": 1}))).await);
    let large = saver.request(id(2), Expect::New, creation(json!({"a": "x".repeat(500_000), "new name": 1})));
    assert!(matches!(store.write(large).await, Err(StoreError::Full)));
    assert_eq!(store.record(&kind(), id(2)).await.expect("the store answers"), None);
    let next = saved(saver.save(&store, id(1), Expect::Exists, vec![write(&small.state, "b", json!(2))]).await);
    assert_eq!(next.seq, small.seq + 1, "the number of the refused one is free again");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("outpost.db");
    let store = Sqlite::open(&file, Arc::new(Toy), Options::default()).await.expect("it opens");
    store.raise_version().await;
    store.close().await;
    let again = Sqlite::open(&file, Arc::new(Toy), Options::default()).await;
    assert!(matches!(again, Err(StoreError::Newer)));
}
