//! A record's form: filled in, refused, saved, merged.

use outpost::domain::people::{Actor, Role};
use outpost::node::Patch;
use serde_json::json;

use crate::browser::{Site, filled};

const NEW: &str = "/records/work-order/new";

#[actix_web::test]
async fn a_new_record_is_filled_in_and_found_again() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let page = browser.get(NEW).await.expect(200);
    let urgent = page.token("/priority", "\"urgent\"");
    let form = filled(
        &page.form("#record-form"),
        &[("/title", "Replace hydraulic pump seal"), ("/priority", &urgent), ("/hours", "12.50")],
    );
    let record = browser.submit(NEW, &form).await.led_to();
    let data = site.data(&record).await;
    assert_eq!(data["title"], "Replace hydraulic pump seal");
    assert_eq!(data["priority"], "urgent");
    let page = browser.get(&record).await.expect(200);
    page.says("Urgent").says("staff person made it");
    assert_eq!(page.words(".toast"), ["Saved here."]);
    assert!(!browser.get(&record).await.has(".toast"));
    browser.get("/records/work-order").await.expect(200).says("Replace hydraulic pump seal");
}

#[actix_web::test]
async fn a_form_that_is_sent_twice_makes_one_record() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let form = filled(&browser.open(NEW).await, &[("/title", "Once")]);
    let (one, two) = (browser.submit(NEW, &form).await.led_to(), browser.submit(NEW, &form).await.led_to());
    assert_eq!(one, two);
    browser.get("/records/work-order").await.expect(200).says("1 record");
}

#[actix_web::test]
async fn a_refused_form_comes_back_with_its_errors_and_all_that_was_typed() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let form = filled(&browser.open(NEW).await, &[("/asset", "Pump <P-204> & \"more\"")]);
    let refused = browser.submit(NEW, &form).await.expect(422);
    let target = refused.attribute(".summary a", "href");
    let id = target.strip_prefix('#').expect("a fragment");
    let wrong = format!("[id=\"{id}\"]");
    assert_eq!(refused.attribute(&wrong, "name"), "/title");
    assert_eq!(refused.attribute(&wrong, "aria-invalid"), "true");
    let message = refused.attribute(&wrong, "aria-describedby");
    assert!(message.split(' ').any(|id| refused.has(&format!("[id=\"{id}\"][data-tone=stop]"))), "{message}");
    assert_eq!(refused.value("input[name=\"/asset\"]"), "Pump <P-204> & \"more\"");
    browser.get("/records/work-order").await.expect(200).says("No work orders yet");
    let again = filled(&refused.form("#record-form"), &[("/title", "Put right")]);
    let record = browser.submit(NEW, &again).await.led_to();
    assert_eq!(site.data(&record).await["asset"], "Pump <P-204> & \"more\"");
}

#[actix_web::test]
async fn an_untouched_form_writes_nothing() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let data = json!({"title": "Seal", "what": "old", "parts": [{"part": "Kit", "quantity": 1.50}], "due": "2026-05-14T16:00:07.5+02:00"});
    let record = site.make("work-order", data).await;
    let before = browser.get(&format!("{record}/history")).await.words("main ol li").len();
    let edit = format!("{record}/edit");
    let form = browser.open(&edit).await;
    assert_eq!(browser.submit(&edit, &form).await.led_to(), record);
    assert_eq!(browser.get(&record).await.words(".toast"), ["Nothing was different, so nothing was saved."]);
    assert_eq!(browser.get(&format!("{record}/history")).await.words("main ol li").len(), before);
}

#[actix_web::test]
async fn two_who_edit_different_fields_both_keep_their_change() {
    let site = Site::start().await;
    let (staff, designer) = (site.browser(Role::Staff).await, site.browser(Role::Designer).await);
    let record = site.make("work-order", json!({"title": "Seal", "asset": "P-204"})).await;
    let edit = format!("{record}/edit");
    let (hers, his) = (staff.open(&edit).await, designer.open(&edit).await);
    staff.submit(&edit, &filled(&hers, &[("/title", "Pump seal")])).await.led_to();
    designer.submit(&edit, &filled(&his, &[("/asset", "P-205")])).await.led_to();
    assert_eq!(site.data(&record).await, json!({"title": "Pump seal", "asset": "P-205"}));
    staff.get("/attention").await.expect(200).says("Nothing to look at");
}

#[actix_web::test]
async fn of_two_values_of_one_field_the_later_stands_and_the_other_waits() {
    let site = Site::start().await;
    let (staff, designer) = (site.browser(Role::Staff).await, site.browser(Role::Designer).await);
    let record = site.make("work-order", json!({"title": "Seal"})).await;
    let edit = format!("{record}/edit");
    let (hers, his) = (staff.open(&edit).await, designer.open(&edit).await);
    staff.submit(&edit, &filled(&hers, &[("/asset", "P-204")])).await.led_to();
    designer.submit(&edit, &filled(&his, &[("/asset", "P-205")])).await.led_to();
    assert_eq!(site.data(&record).await["asset"], "P-205");
    let page = staff.get(&record).await.expect(200);
    page.says("Kept P-205").says("Lost P-204").says("Bring back P-204");
    let attention = staff.get("/attention").await.expect(200);
    attention.says("Lost P-204");
    let address = attention.attribute("form[action^='/conflicts/']", "action");
    assert_eq!(staff.press(&address, &[("_do", "restore"), ("_to", &record)]).await.led_to(), record);
    assert_eq!(site.data(&record).await["asset"], "P-204");
    staff.press(&address, &[("_do", "restore")]).await.expect(409);
    staff.get("/attention").await.expect(200).says("Nothing to look at");
    // leaving it is the other way
    let (hers, his) = (staff.open(&edit).await, designer.open(&edit).await);
    staff.submit(&edit, &filled(&hers, &[("/asset", "P-1")])).await.led_to();
    designer.submit(&edit, &filled(&his, &[("/asset", "P-2")])).await.led_to();
    let address = staff.get("/attention").await.attribute("form[action^='/conflicts/']", "action");
    site.browser(Role::Viewer).await.press(&address, &[("_do", "dismiss")]).await.expect(403);
    let request = staff.request(reqwest::Method::POST, &address).header("hx-request", "true");
    let request =
        request.header("hx-request-type", "partial").form_pairs(&[("_csrf", &staff.csrf()), ("_do", "dismiss")]);
    let part = staff.send(request).await.expect(200);
    assert!(!part.text.contains("<html") && part.text.contains("Left as it is"), "{}", part.text);
    assert_eq!(site.data(&record).await["asset"], "P-2");
    assert!(!staff.get(&record).await.main().contains("Kept"));
}

/// The same as a browser's own forms.
trait Pairs {
    fn form_pairs(self, pairs: &[(&str, &str)]) -> Self;
}

impl Pairs for reqwest::RequestBuilder {
    fn form_pairs(self, pairs: &[(&str, &str)]) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded")
            .body(serde_urlencoded::to_string(pairs).expect("pairs"))
    }
}

#[actix_web::test]
async fn items_are_added_moved_and_removed_without_a_script_and_nothing_is_saved_before_it_is_said() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let record = site.make("work-order", json!({"title": "Seal", "parts": [{"part": "Kit"}]})).await;
    let edit = format!("{record}/edit");
    let items = |fields: &crate::browser::Fields| -> Vec<String> {
        let names = fields.iter().filter_map(|(name, _)| name.strip_suffix("/part").map(str::to_owned));
        names.collect()
    };
    let form = filled(&browser.open(&edit).await, &[("/asset", "typed meanwhile")]);
    let added = browser.submit(&edit, &filled(&form, &[("_do", "add /parts")])).await.expect(200);
    let form = added.form("#record-form");
    let rows = items(&form);
    assert_eq!(rows.len(), 2);
    assert_eq!(added.value("input[name=\"/asset\"]"), "typed meanwhile");
    assert_eq!(added.attribute("#record-form [autofocus]", "name"), format!("{}/part", rows[1]));
    let new = rows[1].clone();
    let form = filled(&form, &[(&format!("{new}/part"), "Oil")]);
    let moved = browser.submit(&edit, &filled(&form, &[("_do", &format!("up {new}"))])).await.expect(200);
    assert_eq!(items(&moved.form("#record-form")), [new.clone(), rows[0].clone()]);
    // it cannot go further up, so the focus is on the way back
    assert_eq!(moved.attribute("#record-form [autofocus]", "value"), format!("down {new}"));
    assert_eq!(site.data(&record).await, json!({"title": "Seal", "parts": [{"part": "Kit"}]}));
    // what a new item was shown with, it is saved with
    let oil = json!({"part": "Oil", "quantity": 1, "unit": "pieces"});
    let record_again = browser.submit(&edit, &moved.form("#record-form")).await.led_to();
    assert_eq!(site.data(&record_again).await["parts"], json!([oil, {"part": "Kit"}]));
    let form = browser.open(&edit).await;
    let removed = browser.submit(&edit, &filled(&form, &[("_do", &format!("remove {}", rows[0]))])).await.expect(200);
    assert_eq!(removed.words("#record-form li[autofocus] header strong"), ["1. Oil"], "the one that is there now");
    let form_without = removed.form("#record-form");
    let none = browser.submit(&edit, &filled(&form_without, &[("_do", &format!("remove {new}"))])).await.expect(200);
    assert_eq!(none.words("#record-form section[autofocus] h2"), ["Parts used optional"]);
    browser.submit(&edit, &form_without).await.led_to();
    assert_eq!(site.data(&record).await["parts"], json!([oil]));
    for wrong in ["dance /parts", "add", "remove /parts/@none", "add /title", "up \u{1}"] {
        browser.submit(&edit, &filled(&form, &[("_do", wrong)])).await.expect(422);
    }
}

#[actix_web::test]
async fn what_a_form_was_opened_from_cannot_be_forged() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let one = site.make("work-order", json!({"title": "One"})).await;
    let two = site.make("work-order", json!({"title": "Two"})).await;
    let edit = format!("{one}/edit");
    let form = browser.open(&edit).await;
    let base =
        |fields: &crate::browser::Fields| fields.iter().find(|(name, _)| name == "_base").expect("a base").1.clone();
    let (own, other, new) =
        (base(&form), base(&browser.open(&format!("{two}/edit")).await), base(&browser.open(NEW).await));
    let mut bent = own.clone().into_bytes();
    let at = bent.len() / 2;
    bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).expect("ASCII");
    for forged in ["", "AAAA", "\u{0}", &own[..own.len() - 4], &bent, &other, &new] {
        let sent = filled(&form, &[("_base", forged), ("/title", "Typed")]);
        let refused = browser.submit(&edit, &sent).await.expect(422);
        assert!(refused.words(".summary").join(" ").contains("Nothing was saved"), "{:?}", refused.words(".summary"));
        assert_eq!(refused.value("input[name=\"/title\"]"), "Typed");
        assert_eq!(site.data(&one).await, json!({"title": "One"}));
    }
}

#[actix_web::test]
async fn a_form_that_was_opened_before_the_type_changed_is_still_taken() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let publish = async |text: &str| site.node.publish_type(&Actor::Operator, "thing", text.as_bytes(), "").await;
    let first = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}"#;
    site.node.create_type(&Actor::Operator, "thing", first.as_bytes()).await.expect("a type");
    let record = site.make("thing", json!({"a": "1", "b": "2"})).await;
    let edit = format!("{record}/edit");
    let form = browser.open(&edit).await;
    publish(r#"{"type":"object","properties":{"a":{"type":"string"}}}"#).await.expect("published");
    browser.submit(&edit, &filled(&form, &[("/a", "3")])).await.led_to();
    assert_eq!(site.data(&record).await, json!({"a": "3", "b": "2"}));
    // what the new one asks for is asked for in the new form
    let form = browser.open(&edit).await;
    publish(r#"{"type":"object","required":["c"],"properties":{"a":{"type":"string"},"c":{"type":"string"}}}"#)
        .await
        .expect("published");
    let new = browser.open("/records/thing/new").await;
    assert!(new.iter().any(|(name, _)| name == "/c"));
    let refused = browser.submit(&edit, &filled(&form, &[("/a", "4")])).await;
    match refused.status {
        // the record lacked it before, so it does not hold up the save
        303 => assert_eq!(site.data(&record).await["a"], "4"),
        _ => assert!(refused.expect(422).has("[name=\"/c\"]")),
    }
}

#[actix_web::test]
async fn a_record_in_the_bin_is_not_edited() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let record = site.make("work-order", json!({"title": "Seal"})).await;
    let edit = format!("{record}/edit");
    let form = browser.open(&edit).await;
    assert_eq!(browser.press(&record, &[("_do", "bin")]).await.led_to(), record);
    browser.get(&record).await.expect(200).says("In the bin");
    assert_eq!(browser.get(&edit).await.led_to(), record);
    let refused = browser.submit(&edit, &filled(&form, &[("/title", "Typed")])).await.expect(422);
    assert!(refused.words(".summary").join(" ").contains("in the bin"), "{:?}", refused.words(".summary"));
    assert_eq!(refused.value("input[name=\"/title\"]"), "Typed");
    browser.get("/records/work-order").await.expect(200).says("No work orders yet");
    browser.get("/records/work-order?deleted=true").await.expect(200).says("Seal");
    assert_eq!(browser.press(&record, &[("_do", "restore")]).await.led_to(), record);
    browser.get("/records/work-order").await.expect(200).says("Seal");
    assert_eq!(site.data(&record).await, json!({"title": "Seal"}));
}

#[actix_web::test]
async fn what_was_wrong_before_does_not_hold_up_what_is_right_now() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}"#;
    site.node.create_type(&Actor::Operator, "thing", schema.as_bytes()).await.expect("a type");
    let record = site.make("thing", json!({"a": "long enough"})).await;
    let strict = r#"{"type":"object","properties":{"a":{"type":"string","maxLength":3},"b":{"type":"string"}}}"#;
    site.node.publish_type(&Actor::Operator, "thing", strict.as_bytes(), "").await.expect("published");
    let edit = format!("{record}/edit");
    let form = browser.open(&edit).await;
    browser.submit(&edit, &filled(&form, &[("/b", "fine")])).await.led_to();
    assert_eq!(site.data(&record).await, json!({"a": "long enough", "b": "fine"}));
    let page = browser.get(&record).await.expect(200);
    page.says("no longer fits its form");
    browser.get("/attention?kind=invalid").await.expect(200).says("at most 3");
    browser.submit(&edit, &filled(&browser.open(&edit).await, &[("/a", "other")])).await.expect(422);
}

#[actix_web::test]
async fn htmx_gets_the_way_on_as_a_header() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let form = filled(&browser.open(NEW).await, &[("/title", "Smooth")]);
    let body = serde_urlencoded::to_string(&form).expect("pairs");
    let request = browser.request(reqwest::Method::POST, NEW).header("hx-request", "true");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = browser.send(request).await.expect(200);
    assert!(answer.header("hx-redirect").starts_with("/records/work-order/"));
    assert!(answer.header("vary").to_lowercase().contains("hx-request"));
    // an error goes to its own place and leaves the form alone
    let request = browser.request(reqwest::Method::POST, NEW).header("hx-request", "true");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body("_csrf=wrong");
    let answer = browser.send(request).await.expect(403);
    assert_eq!(answer.header("hx-retarget"), "#notice");
    assert!(!answer.text.contains("<html"));
}

#[actix_web::test]
async fn digits_are_kept_as_they_were_typed() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let schema = r#"{"type":"object","properties":{"n":{"type":"number"},"i":{"type":"integer"}}}"#;
    site.node.create_type(&Actor::Operator, "thing", schema.as_bytes()).await.expect("a type");
    let new = "/records/thing/new";
    let form = filled(&browser.open(new).await, &[("/n", "0.10"), ("/i", "9007199254740993")]);
    let record = browser.submit(new, &form).await.led_to();
    assert_eq!(site.data(&record).await.to_string(), r#"{"i":9007199254740993,"n":0.10}"#);
    let patch = Patch::Merge(json!({"n": null}));
    let id = record.rsplit('/').next().expect("an id").parse().expect("a UUID");
    site.node.patch_record(&Actor::Operator, "thing", id, None, patch).await.expect("patched");
    browser.get(&record).await.expect(200).says("Not answered").says("9,007,199,254,740,993");
}
