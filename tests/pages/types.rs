//! Types on pages: made, tried, published, retired.

use outpost::domain::people::{Actor, Role};
use serde_json::json;

use crate::browser::Site;

const FIRST: &str = r#"{"title":"Delivery","type":"object","properties":{"what":{"type":"string"}}}"#;
const SECOND: &str = r#"{"title":"Delivery","type":"object","required":["when"],"properties":{"what":{"type":"string"},"when":{"type":"string","format":"date"}}}"#;

#[actix_web::test]
async fn a_type_is_made_and_its_form_is_ready() {
    let site = Site::start().await;
    let browser = site.browser(Role::Designer).await;
    let beginning = browser.get("/types/new").await.expect(200);
    let text = beginning.words("textarea[name=schema]").join("");
    assert!(text.contains("2020-12"), "{text}");
    let publish = |name: &'static str, schema: &'static str| [("name", name), ("schema", schema), ("_do", "publish")];
    let made = browser.press("/types/new", &publish("delivery", FIRST)).await;
    assert_eq!(made.led_to(), "/types/delivery/design");
    assert!(browser.get("/records/delivery/new").await.expect(200).has("input[name=\"/what\"]"));
    browser.get("/types").await.expect(200).says("Version 1");
    let exported = browser.get("/types/delivery/schema").await.expect(200);
    assert_eq!((exported.text.as_str(), exported.header("content-type")), (FIRST, "application/schema+json"));
    // the same again is harmless, another one is told
    browser.press("/types/new", &publish("delivery", FIRST)).await.led_to();
    let taken = browser.press("/types/new", &publish("delivery", SECOND)).await.expect(422);
    assert!(taken.words(".summary").join(" ").contains("exists"), "{:?}", taken.words(".summary"));
    let misnamed = browser.press("/types/new", &publish("Delivery Note", FIRST)).await.expect(422);
    assert_eq!(misnamed.value("#name"), "Delivery Note");
    assert_eq!(misnamed.attribute("#name", "aria-invalid"), "true");
}

#[actix_web::test]
async fn what_is_wrong_with_a_schema_is_told_with_its_place() {
    let site = Site::start().await;
    let browser = site.browser(Role::Designer).await;
    for (schema, place) in [
        (r#"{"type":"object","properties":{"a":{"type":"strin"}}}"#, "/properties/a/type"),
        (r#"{"type":"array"}"#, "/type"),
        ("{\n  \"type\": ", "Line 2"),
        ("", "Line 1"),
        (r#"{"type":"object","properties":{"a":{"$ref":"https://example.org/a.json"}}}"#, "/properties/a/$ref"),
    ] {
        for verb in ["publish", "check"] {
            let fields = [("name", "wrong"), ("schema", schema), ("_do", verb)];
            let refused = browser.press("/types/new", &fields).await.expect(422);
            let told = refused.words(".summary li").join(" ");
            assert!(told.contains(place), "{schema}: {told}");
        }
    }
    assert!(site.node.known_type("wrong").is_err());
}

#[actix_web::test]
async fn an_older_draft_is_brought_up_with_a_report() {
    let site = Site::start().await;
    let browser = site.browser(Role::Designer).await;
    let old = r##"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","definitions":{"d":{"type":"string"}},
        "properties":{"a":{"$ref":"#/definitions/d"}}}"##;
    for verb in ["check", "publish"] {
        let page = browser.press("/types/new", &[("name", "old"), ("schema", old), ("_do", verb)]).await.expect(200);
        page.says("Brought up to draft 2020-12").says("/definitions");
    }
    assert!(site.node.known_type("old").expect("it was made").current.text.contains("$defs"));
}

#[actix_web::test]
async fn a_change_is_tried_before_it_is_published() {
    let site = Site::start().await;
    let browser = site.browser(Role::Designer).await;
    site.node.create_type(&Actor::Operator, "delivery", FIRST.as_bytes()).await.expect("a type");
    for what in ["bolts", "nuts"] {
        site.make("delivery", json!({"what": what})).await;
    }
    let here = "/types/delivery/design";
    let base = browser.get(here).await.expect(200).value("#design input[name=_base]");
    let tried = browser.press(here, &[("schema", SECOND), ("_base", &base), ("_do", "check")]).await.expect(200);
    tried.says("0 of 2 records fit as they are").says("When is new");
    assert_eq!(site.node.known_type("delivery").expect("it is there").current.version, 1);
    let fields = [("schema", SECOND), ("_base", &base), ("reason", "since Monday"), ("_do", "publish")];
    assert_eq!(browser.press(here, &fields).await.led_to(), here);
    let page = browser.get(here).await.expect(200);
    page.says("Version 2 , in use").says("since Monday").says("designer person");
    assert_eq!(browser.get("/types/delivery/schema?version=1").await.expect(200).text, FIRST);
    // whoever opened the page before is told
    let stale = browser.press(here, &[("schema", FIRST), ("_base", &base), ("_do", "publish")]).await.expect(422);
    assert!(stale.words(".summary").join(" ").contains("published version 2"), "{:?}", stale.words(".summary"));
    assert!(stale.words("textarea").join("").contains("Delivery"));
    assert_eq!(site.node.known_type("delivery").expect("it is there").current.version, 2);
    browser.press(here, &[("schema", "{"), ("_do", "publish")]).await.expect(422);
}

#[actix_web::test]
async fn a_retired_type_is_hidden_keeps_its_records_and_comes_back() {
    let site = Site::start().await;
    let browser = site.browser(Role::Designer).await;
    let record = site.make("vitals", json!({"patient": "A. Lindqvist", "taken_at": "2026-11-03T08:00:00Z"})).await;
    let here = "/types/vitals/design";
    assert_eq!(browser.press(here, &[("_do", "retire")]).await.led_to(), here);
    assert!(!browser.get("/").await.has("a[href='/records/vitals']"));
    browser.get("/types").await.expect(200).says("Retired");
    browser.get(&record).await.expect(200);
    browser.get("/records/vitals").await.expect(200);
    browser.get("/records/vitals/new").await.expect(409).says("retired");
    assert_eq!(browser.press(here, &[("_do", "restore")]).await.led_to(), here);
    browser.get("/records/vitals/new").await.expect(200);
    site.browser(Role::Staff).await.press(here, &[("_do", "retire")]).await.expect(403);
}
