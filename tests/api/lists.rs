//! Lists: filtered, sorted, paged.

use serde_json::{Value, json};

use crate::support::{Hub, start_hub};

async fn hub() -> Hub {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    for (title, status, hours, asset) in [
        ("Pump seal", "open", Some(json!(2)), Some("P-204")),
        ("Valve", "done", Some(json!(10)), Some("V-1")),
        ("pump oil", "open", Some(json!(1.5)), None),
        ("Ladder", "cancelled", None, Some("L-9")),
    ] {
        let mut data = json!({ "title": title, "status": status });
        if let Some(hours) = hours {
            data["hours"] = hours;
        }
        if let Some(asset) = asset {
            data["asset"] = json!(asset);
        }
        hub.make("work-order", data).await;
        hub.hands.advance(1000);
    }
    hub
}

async fn page(hub: &Hub, query: &[(&str, &str)]) -> Value {
    let query = serde_urlencoded::to_string(query).expect("a query string");
    hub.get(&format!("/types/work-order/records?{query}")).await.expect(200)
}

async fn titles(hub: &Hub, query: &[(&str, &str)]) -> Vec<String> {
    titles_of(&page(hub, query).await)
}

fn titles_of(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["data"]["title"].as_str().expect("a title").to_owned()).collect()
}

#[actix_web::test]
async fn filters_hold_together() {
    let hub = hub().await;
    for (filters, expected) in [
        (vec!["/status:eq:open"], vec!["Pump seal", "pump oil"]),
        (vec!["/status:eq:\"open\"", "/hours:gt:1.5"], vec!["Pump seal"]),
        (vec!["/status:ne:open"], vec!["Valve", "Ladder"]),
        (vec!["/hours:ge:2"], vec!["Pump seal", "Valve"]),
        (vec!["/hours:lt:2.0"], vec!["pump oil"]),
        (vec!["/hours:eq:10.0"], vec!["Valve"]),
        (vec!["/status:in:[\"done\",\"cancelled\"]"], vec!["Valve", "Ladder"]),
        (vec!["/title:contains:PUMP"], vec!["Pump seal", "pump oil"]),
        (vec!["/asset:starts:P-"], vec!["Pump seal"]),
        (vec!["/asset:empty"], vec!["pump oil"]),
        (vec!["/asset:empty:false", "/hours:empty:true"], vec!["Ladder"]),
        (vec!["/nothing:eq:1"], vec![]),
    ] {
        let query: Vec<(&str, &str)> = filters.iter().map(|filter| ("filter", *filter)).collect();
        assert_eq!(titles(&hub, &query).await, expected, "{filters:?}");
    }
}

#[actix_web::test]
async fn records_come_in_the_asked_order_and_else_as_they_were_made() {
    let hub = hub().await;
    assert_eq!(titles(&hub, &[]).await, ["Pump seal", "Valve", "pump oil", "Ladder"]);
    assert_eq!(titles(&hub, &[("sort", "/hours")]).await, ["pump oil", "Pump seal", "Valve", "Ladder"]);
    assert_eq!(titles(&hub, &[("sort", "-/hours")]).await, ["Valve", "Pump seal", "pump oil", "Ladder"]);
    assert_eq!(titles(&hub, &[("sort", "-/status,/title")]).await, ["Pump seal", "pump oil", "Valve", "Ladder"]);
    assert_eq!(titles(&hub, &[("sort", "-changed")]).await, ["Ladder", "pump oil", "Valve", "Pump seal"]);
}

#[actix_web::test]
async fn pages_follow_one_another_without_gaps() {
    let hub = hub().await;
    for sort in ["/hours", "-/status", "changed"] {
        let all = titles(&hub, &[("sort", sort)]).await;
        let mut paged = Vec::new();
        let mut cursor = String::new();
        for _ in 0..10 {
            let page = page(&hub, &[("sort", sort), ("limit", "1"), ("cursor", &cursor)]).await;
            paged.extend(titles_of(&page));
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(paged, all, "{sort}");
    }
}

#[actix_web::test]
async fn an_item_is_the_record_without_its_stamps() {
    let hub = hub().await;
    let page = hub.get("/types/work-order/records?limit=1").await.expect(200);
    let item = &page["items"][0];
    let mut record =
        hub.get(&format!("/types/work-order/records/{}", item["id"].as_str().expect("an id"))).await.expect(200);
    record.as_object_mut().expect("an object").shift_remove("fields");
    assert_eq!(*item, record);
}

#[actix_web::test]
async fn a_wrong_parameter_is_named() {
    let hub = hub().await;
    for (query, named) in [
        ("filter=/status:like:x", "filter: "),
        ("filter=status:eq:x", "filter: "),
        ("filter=/status:in:open", "filter: "),
        ("sort=due", "sort: "),
        ("sort=/due&sort=/title", "sort: "),
        ("limit=501", "limit: "),
        ("limit=0", "limit: "),
        ("limit=many", "limit: "),
        ("cursor=forged", "cursor: "),
        ("deleted=maybe", "deleted: "),
        ("q=pump", "q: "),
        ("filters=/status:eq:open", "filters: "),
        ("limit=-1", "limit: "),
        ("limit=99999999999999999999", "limit: "),
        ("limit=", "limit: "),
        ("filter=/title:eq:%ff", "The query string"),
        ("filter=/title:eq:%c3", "The query string"),
        ("filter=/title:eq:%4", "The query string"),
        ("filter=/title:eq:%ed%a0%80", "The query string"),
    ] {
        let problem = hub.get(&format!("/types/work-order/records?{query}")).await.problem(400);
        assert!(problem["detail"].as_str().expect("a detail").starts_with(named), "{query}: {problem}");
    }
    for many in [33, 2_000] {
        let many = vec!["filter=/status:eq:open"; many].join("&");
        hub.get(&format!("/types/work-order/records?{many}")).await.problem(400);
    }
}

#[actix_web::test]
async fn the_cursor_of_another_list_is_refused() {
    let hub = hub().await;
    hub.sample("vitals").await;
    let first = page(&hub, &[("sort", "/title"), ("limit", "1")]).await;
    let cursor = first["next"].as_str().expect("there are more");
    let list = "/types/work-order/records";
    hub.get(&format!("{list}?sort=/title&limit=2&cursor={cursor}")).await.expect(200);
    let cut = &cursor[..cursor.len() - 3];
    for other in [
        format!("{list}?cursor={cursor}"),
        format!("{list}?sort=-/title&cursor={cursor}"),
        format!("{list}?sort=/due&cursor={cursor}"),
        format!("{list}?sort=/title&filter=/status:eq:open&cursor={cursor}"),
        format!("{list}?sort=/title&deleted=true&cursor={cursor}"),
        format!("/types/vitals/records?sort=/title&cursor={cursor}"),
        format!("{list}?sort=/title&cursor={cut}"),
        format!("{list}?sort=/title&cursor={cursor}A"),
        format!("{list}?sort=/title&cursor=%00"),
        format!("{list}?sort=/title&cursor={}", "A".repeat(5_000)),
    ] {
        let problem = hub.get(&other).await.problem(400);
        assert!(problem["detail"].as_str().expect("a detail").starts_with("cursor: "), "{other}: {problem}");
    }
}
