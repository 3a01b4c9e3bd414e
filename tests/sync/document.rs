//! `docs/sync-protocol.md` says what is so: its examples are read as the messages they stand for, and written again.

use outpost::domain::blob::{AskBlobs, BlobsHeld};
use outpost::domain::peer::{Ask, Meet, Met, Peer, Sealed};
use outpost::domain::protocol::{
    Enrol, Enrolled, Hello, Hint, Hints, Problem, Pull, Pulled, Push, Pushed, Snapshot, Welcome,
};
use outpost::domain::reach::{Located, Whereabouts};
use outpost::domain::reconcile::{Fetch, Fetched, Offer, Offered, Reconcile, Reconciled};
use outpost::domain::snapshot::Manifest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn same<T: Serialize + DeserializeOwned>(example: &Value) {
    let message: T = serde_json::from_value(example.clone()).unwrap_or_else(|err| panic!("{err}: {example:#}"));
    let again = serde_json::to_value(&message).expect("a message is JSON");
    assert_eq!(outpost::domain::json::canonical(&again), outpost::domain::json::canonical(example));
}

#[test]
fn the_examples_in_the_document_are_messages() {
    let text = include_str!("../../docs/sync-protocol.md");
    let mut seen = Vec::new();
    for block in text.split("```json ").skip(1) {
        let (name, rest) = block.split_once('\n').expect("a block has lines");
        let (json, _) = rest.split_once("```").expect("a block ends");
        let example: Value = serde_json::from_str(json).unwrap_or_else(|err| panic!("{name}: {err}"));
        match name.trim() {
            "enrol" => same::<Enrol>(&example),
            "enrolled" => same::<Enrolled>(&example),
            "hello" => same::<Hello>(&example),
            "welcome" => same::<Welcome>(&example),
            "push" => same::<Push>(&example),
            "pushed" => same::<Pushed>(&example),
            "pull" => same::<Pull>(&example),
            "pulled" => same::<Pulled>(&example),
            "snapshot" => same::<Snapshot>(&example),
            "manifest" => same::<Manifest>(&example),
            "hint" => same::<Hint>(&example),
            "hints" => same::<Hints>(&example),
            "reconcile" => same::<Reconcile>(&example),
            "reconciled" => same::<Reconciled>(&example),
            "fetch" => same::<Fetch>(&example),
            "fetched" => same::<Fetched>(&example),
            "offer" => same::<Offer>(&example),
            "offered" => same::<Offered>(&example),
            "whereabouts" => same::<Whereabouts>(&example),
            "located" => same::<Located>(&example),
            "askblobs" => same::<AskBlobs>(&example),
            "blobsheld" => same::<BlobsHeld>(&example),
            "peer" => same::<Peer>(&example),
            "meet" => same::<Meet>(&example),
            "met" => same::<Met>(&example),
            "sealed" => same::<Sealed>(&example),
            "ask" => same::<Ask>(&example),
            "problem" => same::<Problem>(&example),
            other => panic!("no message is called {other}"),
        }
        seen.push(name.trim().to_owned());
    }
    for name in [
        "enrol",
        "enrolled",
        "hello",
        "welcome",
        "push",
        "pushed",
        "pull",
        "pulled",
        "snapshot",
        "manifest",
        "hint",
        "reconcile",
        "reconciled",
        "fetch",
        "fetched",
        "offer",
        "offered",
        "whereabouts",
        "located",
        "hints",
        "askblobs",
        "blobsheld",
        "peer",
        "meet",
        "met",
        "sealed",
        "ask",
        "problem",
    ] {
        assert!(seen.iter().any(|seen| seen == name), "{name} has no example");
    }
}
