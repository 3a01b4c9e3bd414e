//! Lists, one record, its history.

use outpost::domain::people::{Actor, Role};
use outpost::node::Patch;
use serde_json::json;

use crate::browser::{Browser, Page, Site};

fn names(page: &Page) -> Vec<String> {
    page.words("tbody th a")
}

async fn list(browser: &Browser, query: &str) -> Page {
    browser.get(&format!("/records/work-order?{query}")).await.expect(200)
}

async fn filled(site: &Site) {
    for (title, status, hours) in [("Alpha", "open", 3), ("Beta", "done", 1), ("Gamma", "open", 2)] {
        site.make("work-order", json!({"title": title, "status": status, "hours": hours})).await;
        site.hands.advance(1000);
    }
}

#[actix_web::test]
async fn a_list_is_sorted_and_narrowed_by_links() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    filled(&site).await;
    let page = list(&browser, "").await;
    assert_eq!(names(&page), ["Gamma", "Beta", "Alpha"]);
    let by_name = page.attribute("thead th:first-child a", "href");
    let page = browser.get(&by_name).await.expect(200);
    assert_eq!(names(&page), ["Alpha", "Beta", "Gamma"]);
    assert_eq!(page.attribute("thead th:first-child", "aria-sort"), "ascending");
    let back = page.attribute("thead th:first-child a", "href");
    assert_eq!(names(&browser.get(&back).await), ["Gamma", "Beta", "Alpha"]);
    let html = page.html();
    let open =
        html.select(&crate::browser::select("details.pick a")).find(|link| link.text().collect::<String>() == "Open");
    let open = open.and_then(|link| link.value().attr("href")).expect("a filter for open ones").to_owned();
    let page = browser.get(&open).await.expect(200);
    assert_eq!(names(&page), ["Alpha", "Gamma"]);
    page.says("Status: Open").says("2 of 3 work orders");
    let off = page.attribute("a.chip[aria-current]", "href");
    assert_eq!(names(&browser.get(&off).await), ["Alpha", "Beta", "Gamma"]);
    let nothing = list(&browser, "filter=/status:eq:cancelled").await;
    nothing.says("No work order fits");
}

#[actix_web::test]
async fn a_condition_of_ones_own_becomes_a_filter_or_says_what_is_wrong() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    filled(&site).await;
    let schema = site.node.known_type("work-order").expect("it is there").current.schema().expect("a schema");
    let number = schema.columns().into_iter().find(|field| field.kind == outpost::domain::schema::Kind::Number);
    let number = number.expect("a number").pointer.clone();
    let ask = async |field: &str, op: &str, value: &str| {
        let query = serde_urlencoded::to_string([("_field", field), ("_op", op), ("_value", value)]).expect("pairs");
        browser.get(&format!("/records/work-order?{query}")).await
    };
    let to = ask("/title", "contains", "ta").await.led_to();
    assert_eq!(names(&browser.get(&to).await), ["Beta"]);
    let to = ask(&number, "ge", "2,0").await.led_to();
    assert!(to.contains("2.0"), "{to}");
    for (field, op, value) in
        [(number.as_str(), "ge", "many"), ("/none", "eq", "x"), ("/title", "like", "x"), ("/title", "eq", " ")]
    {
        let refused = ask(field, op, value).await.expect(422);
        assert_eq!(refused.words("#f-msg").len(), 1, "{field} {op} {value}");
        assert_eq!(names(&refused).len(), 3);
    }
}

#[actix_web::test]
async fn a_long_list_comes_in_pages() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    let rows =
        (0..120).map(|n| outpost::node::ImportedRow { id: None, data: json!({"title": format!("Order {n:03}")}) });
    for made in site.node.import_records(&Actor::Operator, "work-order", rows.collect()).await.expect("no error") {
        made.expect("a record");
    }
    let mut seen = Vec::new();
    let mut next = Some("/records/work-order?sort=/title".to_owned());
    while let Some(path) = next {
        let page = browser.get(&path).await.expect(200);
        seen.extend(names(&page));
        next = page.has("a[rel=next]").then(|| page.attribute("a[rel=next]", "href"));
    }
    let all: Vec<String> = (0..120).map(|n| format!("Order {n:03}")).collect();
    assert_eq!(seen, all);
}

#[actix_web::test]
async fn a_list_tells_what_came_in_since() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    filled(&site).await;
    let page = list(&browser, "filter=/status:eq:open").await;
    let ask = page.attribute("#live-line", "hx-get");
    assert!(!browser.get(&ask).await.expect(200).text.contains("came in"));
    site.make("work-order", json!({"title": "Delta", "status": "open"})).await;
    site.make("work-order", json!({"title": "Other", "status": "done"})).await;
    let told = browser.get(&ask).await.expect(200);
    assert!(told.text.contains("1 new work order came in."), "{}", told.text);
    assert_eq!(told.attribute("a", "href"), "/records/work-order?filter=%2Fstatus%3Aeq%3Aopen");
    assert!(!told.text.contains("<html"));
}

#[actix_web::test]
async fn a_history_tells_who_changed_what_and_when() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let record = site.make("work-order", json!({"title": "Seal", "asset": "P-204"})).await;
    let edit = format!("{record}/edit");
    let form = crate::browser::filled(&browser.open(&edit).await, &[("/asset", "P-205"), ("/title", "Pump seal")]);
    browser.submit(&edit, &form).await.led_to();
    browser.press(&record, &[("_do", "bin")]).await.led_to();
    let page = browser.get(&format!("{record}/history")).await.expect(200);
    let entries = page.words("main ol.timeline li");
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert!(entries[0].contains("staff person put it in the bin"), "{entries:?}");
    assert!(entries[1].contains("saved 2 fields") && entries[1].contains("P-204 P-205"), "{entries:?}");
    assert!(entries[2].contains("The operator made it"), "{entries:?}");
}

#[actix_web::test]
async fn an_edit_that_met_a_deletion_is_shown_and_decided() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let record = site.make("work-order", json!({"title": "Seal"})).await;
    let id = record.rsplit('/').next().expect("an id").parse().expect("a UUID");
    // somebody elsewhere, who does not know that it was binned, writes in it
    let held = site.node.record(&Actor::Operator, "work-order", id).await.expect("a record");
    browser.press(&record, &[("_do", "bin")]).await.led_to();
    crate::elsewhere::write_unknowing(&site, &held, "title", json!("Pump seal")).await;
    let page = browser.get("/attention?kind=edited").await.expect(200);
    page.says("put it in the bin").says("not knowing that");
    let leave = [("_do", "keep"), ("_to", "/attention")];
    assert_eq!(browser.press(&record, &leave).await.led_to(), "/attention");
    browser.get("/attention").await.expect(200).says("Nothing to look at");
    browser.get(&record).await.expect(200).says("In the bin");
}

#[actix_web::test]
async fn a_change_by_a_program_is_told_as_one() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    let record = site.make("work-order", json!({"title": "Seal"})).await;
    let (secret, _) = site.node.create_token(&Actor::Operator, "import", Role::Staff).await.expect("a token");
    let program = site.node.token_actor(&secret).await.expect("an actor");
    let id = record.rsplit('/').next().expect("an id").parse().expect("a UUID");
    let patch = Patch::Merge(json!({"asset": "P-1"}));
    site.node.patch_record(&program, "work-order", id, None, patch).await.expect("patched");
    browser.get(&record).await.expect(200).says("A program saved 1 field");
}

#[actix_web::test]
async fn a_day_is_asked_for_as_one_and_finds_every_time_of_it() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    for (title, due) in
        [("Early", "2026-11-24T06:00:00Z"), ("Late", "2026-11-24T22:00:00Z"), ("Next", "2026-11-25T00:00:00Z")]
    {
        site.make("work-order", json!({"title": title, "due": due})).await;
    }
    let ask = async |value: &str| {
        let query = serde_urlencoded::to_string([("_field", "/due"), ("_op", "eq"), ("_value", value)]).expect("pairs");
        browser.get(&format!("/records/work-order?{query}")).await
    };
    let wrong = ask("tomorrow").await.expect(422);
    wrong.says("Enter a date for Due, for example 2026-05-14");
    assert_eq!(wrong.value("#f-value"), "tomorrow");
    assert_eq!(wrong.words("#f-field option[selected]"), ["Due"]);
    let day = ask("2026-11-24").await.led_to();
    let mut found = names(&browser.get(&day).await.expect(200));
    found.sort();
    assert_eq!(found, ["Early", "Late"]);
}

#[actix_web::test]
async fn a_long_history_has_pages() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    let record = site.make("work-order", json!({"title": "Seal"})).await;
    let id = record.rsplit('/').next().expect("an id").parse().expect("a UUID");
    for n in 1..=104 {
        let patch = Patch::Merge(json!({"hours": n}));
        site.node.patch_record(&Actor::Operator, "work-order", id, None, patch).await.expect("patched");
    }
    browser.get(&record).await.expect(200).says("All 105");
    let first = browser.get(&format!("{record}/history")).await.expect(200);
    first.says("1 to 100 of 105 changes");
    assert!(!first.has("a[rel=prev]"));
    let last = browser.get(&first.attribute("a[rel=next]", "href")).await.expect(200);
    last.says("101 to 105 of 105 changes").says("The operator made it");
    assert_eq!(last.words("main ol.timeline > li").len(), 5);
    assert!(!last.has("a[rel=next]"));
    assert_eq!(last.attribute("a[rel=prev]", "href"), format!("{record}/history"));
    browser.get(&format!("{record}/history?skip=99999999999")).await.expect(200);
}

#[actix_web::test]
async fn what_a_save_did_is_told_once_and_in_the_order_of_the_form() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    let record = site.make("work-order", json!({"title": "Seal", "status": "open"})).await;
    let id = record.rsplit('/').next().expect("an id").parse().expect("a UUID");
    let patch =
        json!({"signed_by": "Ada", "runs_again": true, "status": "done", "parts": [{"part": "Kit", "quantity": 2}]});
    site.node.patch_record(&Actor::Operator, "work-order", id, None, Patch::Merge(patch)).await.expect("patched");
    let page = browser.get(&format!("{record}/history")).await.expect(200);
    let told = page.words("main ol.timeline > li:first-child > div");
    assert_eq!(
        told,
        [
            "The operator saved 4 fields",
            "Status: Open Done",
            "Parts used: Kit · 2",
            "Does it run again? Yes",
            "Signed by: Ada"
        ]
    );
    assert!(!page.has("main table"));
}

#[actix_web::test]
async fn attention_goes_on_to_a_next_page() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    for n in 0..106 {
        let record = site.make("work-order", json!({"title": format!("Seal {n}")})).await;
        let id = record.rsplit('/').next().expect("an id").parse().expect("a UUID");
        let held = site.node.record(&Actor::Operator, "work-order", id).await.expect("a record");
        if n % 2 == 0 {
            let patch = Patch::Merge(json!({"title": "Overruled"}));
            site.node.patch_record(&Actor::Operator, "work-order", id, None, patch).await.expect("patched");
        } else {
            site.node.bin_record(&Actor::Operator, "work-order", id, None, true).await.expect("binned");
        }
        crate::elsewhere::write_unknowing(&site, &held, "title", json!(format!("Gasket {n}"))).await;
        site.hands.advance(3000);
    }
    let all = browser.get("/attention").await.expect(200);
    all.says("106 things a person should look at").says("All lost values").says("All that were edited after deletion");
    assert_eq!(all.words(".tabs .count"), ["106", "53", "0", "53", "0"]);
    for (kind, rows) in [("lost", ".contest"), ("edited", ".rows > li strong")] {
        let first = browser.get(&format!("/attention?kind={kind}")).await.expect(200);
        let next = browser.get(&first.attribute("a[rel=next]", "href")).await.expect(200);
        assert_eq!((first.words(rows).len(), next.words(rows).len()), (50, 3), "{kind}");
        let again = first.words(rows);
        assert!(next.words(rows).iter().all(|row| !again.contains(row)), "{kind}");
        assert!(!next.has("a[rel=next]") && next.main().contains("First page"), "{kind}");
    }
    browser.get("/attention?kind=lost&cursor=forged").await.expect(400);
}
