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

use scenario::{PHOTOS, Set, content, restored};
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
        let mut dice = Thrown::default();
        for (at, then) in set.meeting.iter().chain(&set.first_copy).enumerate() {
            let now = dice.answer(then, dice.ask(then).send(&client, &hub.url).await);
            answers_alike(then, &now, &format!("{} {at} {} {}", set.name, then.method, then.path));
        }
        hub.stop().await;
    }
}

/// What a hub threw dice for then and throws them for now, its ratchets and the tags of its numbers: an edge shows what it was
/// given.
#[derive(Default)]
struct Thrown(Vec<(Cbor, Cbor)>);

/// All such values of a message, in their order.
fn thrown(message: &mut Cbor) -> Vec<&mut Cbor> {
    match message {
        Cbor::Map(members) => {
            let found = members.iter_mut().map(|(name, value)| match name.as_text() {
                Some("ratchet" | "tag") if value.is_integer() => vec![value],
                _ => thrown(value),
            });
            found.flatten().collect()
        }
        Cbor::Array(items) => items.iter_mut().flat_map(thrown).collect(),
        _ => Vec::new(),
    }
}

impl Thrown {
    fn now(&self, then: &Cbor) -> Option<&Cbor> {
        self.0.iter().rfind(|(given, _)| given == then).map(|(_, now)| now)
    }

    /// A question with what this hub gave.
    fn ask(&self, then: &Exchange) -> Exchange {
        let mut asked = then.clone();
        if let Ok(mut message) = wire::decode::<Cbor>(&then.body, LIMIT) {
            for shown in thrown(&mut message) {
                if let Some(now) = self.now(shown) {
                    *shown = now.clone();
                }
            }
            asked.body = wire::encode(&message);
        }
        if let Some((before, rest)) = then.path.split_once("&tag=") {
            let (tag, rest) =
                rest.split_once('&').map_or((rest, String::new()), |(tag, rest)| (tag, format!("&{rest}")));
            let shown = Cbor::from(tag.parse::<u64>().expect("a tag"));
            if let Some(now) = self.now(&shown).and_then(|now| u64::try_from(now.as_integer()?).ok()) {
                asked.path = format!("{before}&tag={now}{rest}");
            }
        }
        asked
    }

    /// An answer with what the hub gave then.
    fn answer(&mut self, then: &Exchange, mut now: Exchange) -> Exchange {
        let read = |one: &Exchange| wire::decode::<Cbor>(&one.answer, LIMIT).ok();
        if let (Some(mut given), Some(mut message)) = (read(then), read(&now)) {
            let (given, gives) = (thrown(&mut given), thrown(&mut message));
            if given.len() == gives.len() {
                for (given, gives) in given.into_iter().zip(gives) {
                    self.0.push((given.clone(), gives.clone()));
                    *gives = given.clone();
                }
                now.answer = wire::encode(&message);
            }
        }
        now
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
    let mut unknown = echo.unknown.lock().expect("no holder of this lock panics").clone();
    // asked when somebody looks at a record
    unknown.retain(|path| path != "/sync/v1/whereabouts");
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
    let (mut changed, mut dice) = (0, Thrown::default());
    for then in set.meeting.iter().chain(&set.first_copy) {
        let later = of_a_later_version(&dice.ask(then));
        changed += usize::from(later.body != then.body);
        let now = dice.answer(then, later.send(&client, &hub.url).await);
        answers_alike(then, &now, &format!("{} {}", then.method, then.path));
    }
    assert!(changed >= 4, "{changed}");
    hub.stop().await;
    let later: Vec<Exchange> = set.meeting.iter().map(of_a_later_version).collect();
    understands(&set, "edge", &later, "edge_after").await;
    let later: Vec<Exchange> = set.first_copy.iter().map(of_a_later_version).collect();
    understands(&set, "reader", &later, "reader_after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_and_a_backup_of_an_earlier_version_are_taken_in_with_their_files() {
    let mut tried = 0;
    for set in Set::all().iter().filter(|set| set.has("edge.up")) {
        for (node, file, photo) in [("hub", "edge.up", PHOTOS[1]), ("reader", "reader.down", PHOTOS[0])] {
            let dir = set.open(node);
            std::fs::create_dir(dir.path().join("blobs")).expect("ours");
            let site = Site::open(dir.path(), &set.clock(), None).await;
            let bundle = set.read(file);
            assert_eq!(site.take_bundle(&bundle).await.files, 1, "{} {file}", set.name);
            told(&set.golden["files"][file], &site.listing().await, &format!("{} {file}", set.name));
            let again = site.take_bundle(&bundle).await;
            assert_eq!((again.files, again.files_damaged), (0, 0), "{} {file}", set.name);
            told(&set.golden["files"][file], &site.listing().await, &format!("{} {file} again", set.name));
            site.check_digests().await;
            site.stop().await;
            assert!(is_there(dir.path(), photo), "{} {file}", set.name);
        }
        let dir = tempfile::tempdir().expect("a directory of our own");
        let backup = dir.path().join("backup");
        std::fs::write(&backup, set.read("hub.backup")).expect("it has room");
        let site = restored(&dir.path().join("back"), &backup, &set.clock()).await;
        told(&set.golden["files"]["hub.backup"], &content(&site.listing().await), &format!("{} backup", set.name));
        site.check_digests().await;
        site.stop().await;
        assert!(is_there(&dir.path().join("back"), PHOTOS[0]), "{}", set.name);
        tried += 1;
    }
    assert!(tried > 0, "a set has such files");
}

fn is_there(dir: &std::path::Path, bytes: &[u8]) -> bool {
    let read = outpost::store::blob::BlobFiles::at(dir).read(outpost::store::blob::hash_of(bytes), 0, 1 << 20);
    read.expect("it reads").is_some_and(|read| read == bytes)
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
        "files": {
            "edge.up": made.files.hub_after_up,
            "reader.down": made.files.reader_after_down,
            "hub.backup": made.files.hub_of_backup,
        },
    });
    for (file, bytes) in
        [("edge.up", made.files.up), ("reader.down", made.files.down), ("hub.backup", made.files.backup)]
    {
        std::fs::write(away.join(format!("{file}.zst")), scenario::pack(&bytes)).expect("it has room");
    }
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
