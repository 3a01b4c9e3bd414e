//! What becomes of a value that lost is for its type to say: the later stands, or the highest or lowest, or people are asked.

use super::syncing::pair;
use super::*;

contract!(
    the_highest_or_lowest_of_two_values_stands_where_the_type_says_so,
    a_value_that_people_are_asked_about_waits_for_them,
);

/// Two edges write a field of one record, the second later, neither having seen the other's.
async fn answers(kind_of: Kind, pointer: &str, first: Value, second: Value) -> (Site, Site, Site) {
    let (hub, one, two) = pair(kind_of).await;
    hub.create("note", 1, json!({"title": "a", "peak": 1, "low": 100, "answer": "none"})).await;
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
    }
    let seen = one.held("note", 1).await.expect("it came");
    one.change(&seen, vec![write(&seen, pointer, first)]).await;
    let seen = two.held("note", 1).await.expect("it came");
    two.now.fetch_add(60_000, Ordering::Relaxed);
    two.change(&seen, vec![write(&seen, pointer, second)]).await;
    (hub, one, two)
}

async fn the_highest_or_lowest_of_two_values_stands_where_the_type_says_so(kind_of: Kind) {
    // the value that shall stand came first, or last; and the hub hears of it first, or last
    for (pointer, values, stands) in
        [("/peak", [9, 7], 9), ("/peak", [7, 9], 9), ("/low", [20, 30], 20), ("/low", [30, 20], 20)]
    {
        for turned in [false, true] {
            let (hub, one, two) = answers(kind_of, pointer, json!(values[0]), json!(values[1])).await;
            let edges = if turned { [&two, &one] } else { [&one, &two] };
            for edge in edges {
                edge.push(&hub).await;
            }
            for edge in edges {
                edge.pull(&hub, &notes()).await;
                agree(&hub, edge, &notes()).await;
            }
            for site in [&hub, &one, &two] {
                let held = site.held("note", 1).await.expect("it is here");
                assert_eq!(held.document.value.pointer(pointer), Some(&json!(stands)), "{pointer} {values:?} {turned}");
                assert!(!held.flags.has(Flags::LOST), "nobody has to look");
            }
            // an edge that goes on from there is not overruled
            let held = two.held("note", 1).await.expect("it is here");
            two.change(&held, vec![write(&held, pointer, json!(50))]).await;
            two.push(&hub).await;
            assert_eq!(hub.value("note", 1).await.pointer(pointer), Some(&json!(50)));
            // and what comes again changes nothing
            let digest = hub.digest(&notes()).await;
            one.pull(&hub, &notes()).await;
            assert_eq!(one.digest(&notes()).await, digest);
        }
    }
}

async fn a_value_that_people_are_asked_about_waits_for_them(kind_of: Kind) {
    let (hub, one, two) = answers(kind_of, "/answer", json!("yes"), json!("no")).await;
    for edge in [&one, &two] {
        edge.push(&hub).await;
        edge.pull(&hub, &notes()).await;
    }
    one.pull(&hub, &notes()).await;
    for site in [&hub, &one, &two] {
        let held = site.held("note", 1).await.expect("it is here");
        assert_eq!(held.document.value["answer"], json!("no"), "the later one stands meanwhile");
        assert!(held.flags.has(Flags::LOST));
        let lost = site.lost().await;
        assert_eq!((lost[0]["ask"].clone(), lost[0]["value"].clone()), (json!(1), json!("yes")));
        agree(&hub, site, &notes()).await;
    }
}
