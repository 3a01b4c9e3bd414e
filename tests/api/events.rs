//! Server-sent events: what changed, as it changes, and where a reader left off.

use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Hub, start_hub};

struct Reader {
    bytes: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>>>>,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: u64,
    name: String,
    data: Value,
}

impl Reader {
    async fn open(hub: &Hub, last: Option<u64>) -> Self {
        // nothing may hold events back, compression neither
        let mut request = hub.request(Method::GET, "/events").header("accept-encoding", "gzip");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.expect("the hub answers");
        assert_eq!(response.status(), 200);
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("x-accel-buffering"), "no");
        let mut reader = Self { bytes: Box::pin(response.bytes_stream()), text: String::new() };
        // the first block tells where the stream begins
        let block = reader.block().await.expect("a first block");
        assert!(block.starts_with("retry: ") && block.contains("\nid: "), "{block}");
        reader
    }

    /// The next block of lines; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let next = tokio::time::timeout(Duration::from_secs(10), self.bytes.next()).await;
            let chunk = next.expect("something comes in time")?.expect("the stream is whole");
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    async fn event(&mut self) -> Event {
        let block = self.block().await.expect("the stream goes on");
        let line = |name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {block}"))
        };
        Event {
            id: line("id: ").parse().expect("a number"),
            name: line("event: ").to_owned(),
            data: serde_json::from_str(line("data: ")).expect("JSON"),
        }
    }
}

fn id_of(record: &str) -> &str {
    record.rsplit('/').next().expect("an id")
}

#[actix_web::test]
async fn a_change_is_told_to_those_who_listen() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let mut reader = Reader::open(&hub, None).await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    let made = reader.event().await;
    assert_eq!(made.name, "record");
    assert_eq!(made.data, json!({ "type": "work-order", "id": id_of(&record), "seq": made.id }));
    hub.merge(&record, &json!({ "title": "Seals" })).await.expect(200);
    let changed = reader.event().await;
    assert!(changed.id > made.id);
    assert_eq!(changed.data["id"], id_of(&record));
    hub.put("/types/work-order", &json!({ "schema": { "type": "object" } })).await.expect(200);
    let published = reader.event().await;
    assert_eq!((published.name.as_str(), &published.data["type"]), ("type", &json!("work-order")));
}

#[actix_web::test]
async fn a_stream_goes_on_where_the_one_before_broke_off() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let mut reader = Reader::open(&hub, None).await;
    let first = hub.make("work-order", json!({ "title": "1" })).await;
    let seen = reader.event().await;
    drop(reader);
    let second = hub.make("work-order", json!({ "title": "2" })).await;
    hub.merge(&first, &json!({ "title": "1b" })).await.expect(200);
    hub.sample("inspection").await;
    let mut reader = Reader::open(&hub, Some(seen.id)).await;
    let events = [reader.event().await, reader.event().await, reader.event().await];
    assert_eq!(events[0].data["id"], id_of(&second));
    assert_eq!(events[1].data["id"], id_of(&first));
    assert_eq!((events[2].name.as_str(), &events[2].data["type"]), ("type", &json!("inspection")));
    assert!(seen.id < events[0].id && events[0].id < events[1].id && events[1].id < events[2].id);
    let third = hub.make("work-order", json!({ "title": "3" })).await;
    assert_eq!(reader.event().await.data["id"], id_of(&third));
}

#[actix_web::test]
async fn whoever_comes_with_an_id_of_another_life_is_told_to_begin_anew() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let mut reader = Reader::open(&hub, Some(1_000_000)).await;
    let event = reader.event().await;
    assert_eq!(event.name, "reset");
    let record = hub.make("work-order", json!({ "title": "1" })).await;
    let next = reader.event().await;
    assert_eq!(next.data["id"], id_of(&record));
    assert!(next.id > event.id);
    for wrong in ["yesterday", "-1", "1.5", "99999999999999999999999", "1,2"] {
        let wrong = hub.request(Method::GET, "/events").header("last-event-id", wrong);
        hub.send(wrong).await.problem(400);
    }
}

#[actix_web::test]
async fn those_who_never_read_what_they_are_told_hold_up_nobody() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let mut deaf = Vec::new();
    for _ in 0..40 {
        deaf.push(hub.request(Method::GET, "/events").send().await.expect("the hub answers"));
    }
    let mut reader = Reader::open(&hub, None).await;
    let long = "x".repeat(100);
    for _ in 0..20 {
        let made = (0..50).map(|i| hub.make("work-order", json!({ "title": format!("{i} {long}") })));
        futures_util::future::join_all(made).await;
    }
    let told = async {
        for _ in 0..1_000 {
            reader.event().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("who reads is told all of it");
}

#[actix_web::test]
async fn many_changes_at_once_are_all_told_in_their_order() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let mut reader = Reader::open(&hub, None).await;
    let made =
        futures_util::future::join_all((0..40).map(|i| hub.make("work-order", json!({ "title": i.to_string() }))))
            .await;
    let mut told = Vec::new();
    for _ in 0..40 {
        told.push(reader.event().await);
    }
    assert!(told.is_sorted_by(|a, b| a.id < b.id));
    let mut ids: Vec<&str> = told.iter().filter_map(|event| event.data["id"].as_str()).collect();
    let mut expected: Vec<&str> = made.iter().map(|record| id_of(record)).collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[actix_web::test]
async fn streams_end_when_the_server_stops_and_it_does_not_wait_for_them() {
    let mut hub = start_hub().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    hub.base = format!("http://{}", listener.local_addr().expect("an address"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let app = outpost::web::App::new(hub.node().clone());
    let served = actix_web::rt::spawn(outpost::web::serve(app, listener, |_| (), shutdown));
    hub.sample("work-order").await;
    let mut reader = Reader::open(&hub, None).await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    assert_eq!(reader.event().await.data["id"], id_of(&record));
    drop(stop);
    assert_eq!(reader.block().await, None);
    let ended = tokio::time::timeout(Duration::from_secs(10), served).await.expect("the server does not wait");
    ended.expect("no panic").expect("it ends well");
}

#[actix_web::test]
async fn what_people_are_called_is_told_to_nobody() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let mut reader = Reader::open(&hub, None).await;
    let operator = outpost::domain::people::Actor::Operator;
    let staff = outpost::domain::people::Role::Staff;
    hub.node().add_person(&operator, "ingrid@example.org", "Ingrid", staff, None).await.expect("added");
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    assert_eq!(reader.event().await.data["id"], id_of(&record));
}
