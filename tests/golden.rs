//! Databases and conversations of earlier versions, which every later version opens, shows, serves and understands.
//!
//! `tests/golden/README.md` says what a set is and how the next one is made.

#[path = "support/hands.rs"]
mod hands;
#[path = "golden/scenario.rs"]
mod scenario;
#[path = "golden/site.rs"]
mod site;

use ciborium::Value as Cbor;
use outpost::sync::wire;
use reqwest::Client;
use serde_json::{Value, json};

use scenario::Set;
use site::{Echo, Exchange, Site};

const LIMIT: usize = 32 << 20;

/// All that was told then is told now; now there may be more.
#[track_caller]
fn told(then: &Value, now: &Value, at: &str) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (name, then) in then {
                let now = now.get(name).unwrap_or_else(|| panic!("{at}/{name} is not told any more"));
                told(then, now, &format!("{at}/{name}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            // what an earlier version left out of a record's history, a later one may tell
            let b: Vec<&Value> = match at.ends_with("/history/items") {
                true => b.iter().filter(|now| a.iter().any(|then| same_change(then, now))).collect(),
                false => b.iter().collect(),
            };
            assert_eq!(a.len(), b.len(), "{at}: {then:#} became {now:#}");
            for (i, (then, now)) in a.iter().zip(b).enumerate() {
                told(then, now, &format!("{at}/{i}"));
            }
        }
        _ => assert_eq!(then, now, "{at}"),
    }
}

fn same_change(one: &Value, other: &Value) -> bool {
    ["pointer", "act", "seq"].iter().all(|name| one[name] == other[name])
}

/// The same of an answer in CBOR. Its clock is another one.
#[track_caller]
fn said(then: &Cbor, now: &Cbor, at: &str) {
    match (then, now) {
        (Cbor::Map(then), Cbor::Map(now)) => {
            for (name, then) in then {
                let found = now.iter().find(|(other, _)| other == name);
                let (_, now) = found.unwrap_or_else(|| panic!("{at}/{name:?} is not said any more"));
                said(then, now, &format!("{at}/{}", name.as_text().unwrap_or("?")));
            }
        }
        (Cbor::Array(a), Cbor::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{at}: {then:?} became {now:?}");
            for (i, (then, now)) in a.iter().zip(b).enumerate() {
                said(then, now, &format!("{at}/{i}"));
            }
        }
        _ => assert_eq!(then, now, "{at}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_an_earlier_version_opens_and_shows_all_that_it_showed_then() {
    for set in Set::all() {
        for node in ["hub", "edge"] {
            let dir = set.open(node);
            let site = Site::open(dir.path(), &set.clock(), None).await;
            told(&set.golden[node], &site.listing().await, &format!("{} {node}", set.name));
            site.check_digests().await;
            site.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_and_an_edge_of_an_earlier_version_come_in_step_and_nothing_is_missing() {
    for set in Set::all() {
        let (above, below) = (set.open("hub"), set.open("edge"));
        let clock = set.clock();
        let hub = Site::open(above.path(), &clock, None).await;
        let edge = Site::open(below.path(), &clock, Some(&hub.url)).await;
        edge.until_same_as(&hub).await;
        told(&set.golden["hub_after"], &hub.listing().await, &format!("{} hub", set.name));
        told(&set.golden["edge_after"], &edge.listing().await, &format!("{} edge", set.name));
        for site in [&hub, &edge] {
            site.check_digests().await;
        }
        // and they go on together
        hub.post("/types/note/records", json!({ "data": { "text": "after" } })).await;
        edge.post("/types/job/records", json!({ "data": { "title": "after", "site": "north" } })).await;
        edge.until_same_as(&hub).await;
        assert!(edge.get("/types/note/records").await.to_string().contains("\"after\""));
        assert!(hub.get("/types/job/records").await.to_string().contains("\"after\""));
        edge.stop().await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_answers_an_edge_of_an_earlier_version_as_it_did_then() {
    for set in Set::all() {
        let dir = set.open("hub");
        let hub = Site::open(dir.path(), &set.clock(), None).await;
        let client = Client::new();
        for (at, then) in set.meeting.iter().chain(&set.first_copy).enumerate() {
            let now = then.send(&client, &hub.url).await;
            answers_alike(then, &now, &format!("{} {at} {} {}", set.name, then.method, then.path));
        }
        hub.stop().await;
    }
}

#[track_caller]
fn answers_alike(then: &Exchange, now: &Exchange, at: &str) {
    assert_eq!((then.status, &then.kind), (now.status, &now.kind), "{at}: {}", String::from_utf8_lossy(&now.answer));
    if then.kind == wire::MEDIA_TYPE {
        let read = |one: &Exchange| wire::decode::<Cbor>(&one.answer, LIMIT).expect("a message");
        said(&read(then), &read(now), at);
    } else if then.kind.contains("json") {
        let read = |one: &Exchange| serde_json::from_slice::<Value>(&one.answer).expect("JSON");
        // the sentence is for people, and may become better
        let (mut then, now) = (read(then), read(now));
        for words in ["title", "detail"] {
            assert!(now[words].is_string(), "{at}: {now}");
            then.as_object_mut().map(|problem| problem.remove(words));
        }
        told(&then, &now, at);
    } else {
        let hints = |one: &Exchange| -> Vec<Value> {
            let text = String::from_utf8(one.answer.clone()).expect("text");
            let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
        };
        assert!(now.answer.starts_with(b":"), "{at}: a comment opens the stream");
        told(&json!(hints(then)), &json!(hints(now)), at);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_understands_what_a_hub_of_an_earlier_version_says() {
    for set in Set::all() {
        understands(&set, "edge", &set.meeting, "edge_after").await;
        understands(&set, "reader", &set.first_copy, "reader_after").await;
    }
}

async fn understands(set: &Set, node: &str, conversation: &[Exchange], after: &str) {
    let dir = set.open(node);
    let echo = Echo::start(conversation);
    let edge = Site::open(dir.path(), &set.clock(), Some(&echo.url)).await;
    edge.until_in_step().await;
    told(&set.golden[after], &edge.listing().await, &format!("{} {node}", set.name));
    let unknown = echo.unknown.lock().expect("no holder of this lock panics").clone();
    assert!(unknown.is_empty(), "{} {node} asks what was not asked then: {unknown:?}", set.name);
    edge.stop().await;
    echo.stop().await;
}

/// The same message as a later version might write it: with more members in it.
fn with_more(message: &Cbor) -> Cbor {
    match message {
        Cbor::Map(members) => {
            let mut more: Vec<(Cbor, Cbor)> =
                members.iter().map(|(name, value)| (name.clone(), with_more(value))).collect();
            // one member alone may be one of several choices, to which nothing can be added
            if members.len() > 1 {
                let later =
                    Cbor::Map(vec![(Cbor::Text("of".into()), Cbor::Array(vec![Cbor::Null, Cbor::Bytes(vec![1])]))]);
                more.insert(0, (Cbor::Text("a later member".into()), later));
            }
            Cbor::Map(more)
        }
        Cbor::Array(items) => Cbor::Array(items.iter().map(with_more).collect()),
        other => other.clone(),
    }
}

fn of_a_later_version(exchange: &Exchange) -> Exchange {
    let more = |bytes: &[u8]| match wire::decode::<Cbor>(bytes, LIMIT) {
        Ok(message) => wire::encode(&with_more(&message)),
        Err(_) => bytes.to_vec(),
    };
    Exchange { body: more(&exchange.body), answer: more(&exchange.answer), ..exchange.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_a_later_version_adds_to_messages_pass_over() {
    let set = Set::all().pop().expect("there is a set");
    let dir = set.open("hub");
    let hub = Site::open(dir.path(), &set.clock(), None).await;
    let client = Client::new();
    let mut changed = 0;
    for then in set.meeting.iter().chain(&set.first_copy) {
        let later = of_a_later_version(then);
        changed += usize::from(later.body != then.body);
        let now = later.send(&client, &hub.url).await;
        answers_alike(then, &now, &format!("{} {}", then.method, then.path));
    }
    assert!(changed >= 4, "{changed}");
    hub.stop().await;
    let later: Vec<Exchange> = set.meeting.iter().map(of_a_later_version).collect();
    understands(&set, "edge", &later, "edge_after").await;
    let later: Vec<Exchange> = set.first_copy.iter().map(of_a_later_version).collect();
    understands(&set, "reader", &later, "reader_after").await;
}

/// `OUTPOST_GOLDEN=0.2.0 cargo test --test golden a_new_set_is_made -- --ignored`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a new set, named by OUTPOST_GOLDEN"]
async fn a_new_set_is_made() {
    let name = std::env::var("OUTPOST_GOLDEN").expect("OUTPOST_GOLDEN names the set, for example 0.2.0");
    let target = scenario::directory(&name);
    assert!(!target.exists(), "{} is there; a set is never made again", target.display());
    let place = tempfile::tempdir().expect("a directory of our own");
    let dirs = ["hub", "edge", "reader"].map(|node| place.path().join(node));
    for dir in &dirs {
        std::fs::create_dir_all(dir).expect("a directory of our own");
    }
    let away = place.path().join("away");
    std::fs::create_dir_all(&away).expect("a directory of our own");
    let put_away = || {
        for dir in &dirs {
            let left: Vec<_> =
                std::fs::read_dir(dir).expect("it is there").flatten().map(|file| file.file_name()).collect();
            assert_eq!(left, ["outpost.db"], "a closed database is one file");
            let bytes = std::fs::read(dir.join("outpost.db")).expect("it is there");
            let name = dir.file_name().expect("a name").to_string_lossy();
            std::fs::write(away.join(format!("{name}.db.zst")), scenario::pack(&bytes)).expect("it has room");
        }
    };
    let made = scenario::play(&dirs[0], &dirs[1], &dirs[2], put_away).await;
    let golden = json!({
        "made_by": format!("outpost {}", env!("CARGO_PKG_VERSION")),
        "moment": made.moment,
        "hub": made.hub,
        "edge": made.edge,
        "hub_after": made.hub_after,
        "edge_after": made.edge_after,
        "reader_after": made.reader_after,
    });
    let files = [("golden", golden), ("meeting", json!(made.meeting)), ("first-copy", json!(made.first_copy))];
    for (file, content) in files {
        let text = serde_json::to_string_pretty(&content).expect("JSON");
        std::fs::write(away.join(format!("{file}.json.zst")), scenario::pack(text.as_bytes())).expect("it has room");
    }
    std::fs::create_dir_all(&target).expect("a directory of our own");
    for file in std::fs::read_dir(&away).expect("it is there").flatten() {
        std::fs::copy(file.path(), target.join(file.file_name())).expect("it has room");
    }
}
