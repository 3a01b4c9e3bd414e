//! What was not made by our pages: it is told clearly and changes nothing.

use outpost::domain::people::{Actor, Role};
use reqwest::Method;
use serde_json::json;

use crate::browser::{Site, filled};

const NEW: &str = "/records/work-order/new";
const FORM: &str = "application/x-www-form-urlencoded";

#[actix_web::test]
async fn a_post_without_the_token_of_the_session_changes_nothing() {
    let site = Site::start().await;
    let browser = site.browser(Role::Admin).await;
    let other = site.browser(Role::Admin).await;
    let record = site.make("work-order", json!({"title": "Seal"})).await;
    let edit = format!("{record}/edit");
    let conflict = format!("/conflicts/{}", uuid_of(&record));
    let paths = [
        "/logout",
        "/display",
        "/types/new",
        "/types/work-order/design",
        NEW,
        &record,
        &edit,
        &conflict,
        "/sync",
        "/nodes",
        "/users",
    ];
    for path in paths {
        for token in [None, Some(String::new()), Some("x".repeat(43)), Some(other.csrf())] {
            let mut fields = vec![("_do", "bin"), ("theme", "dark"), ("email", "a@b.c"), ("/title", "Taken over")];
            if let Some(token) = &token {
                fields.push(("_csrf", token));
            }
            let page = browser.post(path, &fields).await;
            assert_eq!(page.status, 403, "{path} {token:?}: {}", page.text);
            page.says("older than your session");
        }
        let signed_out = site.visitor().post(path, &[("_csrf", "x")]).await.led_to();
        assert!(signed_out.starts_with("/login"), "{path}");
    }
    assert_eq!(site.data(&record).await, json!({"title": "Seal"}));
    browser.get(&record).await.expect(200).says("Seal");
    assert!(!browser.get("/").await.text.contains("data-theme"));
}

/// Names that the JSON reader takes for its own: what is stored under them would be read back as something else.
#[actix_web::test]
async fn json_that_would_be_read_back_as_something_else_is_refused_in_forms() {
    let site = Site::start().await;
    let browser = site.browser(Role::Admin).await;
    let schema = r#"{"type":"object","properties":{"any":{}}}"#;
    site.node.create_type(&Actor::Operator, "free", schema.as_bytes()).await.expect("a type");
    let record = site.make("free", json!({"any": {"a": 1}})).await;
    // what no control can show is edited as its text: here, since it was there before the type asked for a text
    let schema = r#"{"type":"object","properties":{"any":{"type":"string"}}}"#;
    site.node.publish_type(&Actor::Operator, "free", schema.as_bytes(), "text").await.expect("a version");
    let edit = format!("{record}/edit");
    for bad in [
        r#"{"$serde_json::private::Number":"12"}"#,
        r#"{"a":[{"$serde_json::private::RawValue":"["}]}"#,
        r#"{"a":1,"a":2}"#,
        &("[".repeat(130) + &"]".repeat(130)),
        &("[".repeat(122) + &"]".repeat(122)),
    ] {
        let form = browser.open(&edit).await;
        assert!(form.iter().any(|(name, _)| name == "/any"), "{form:?}");
        let refused = browser.submit(&edit, &filled(&form, &[("/any", bad)])).await.expect(422);
        assert!(refused.has("textarea[name='/any'][aria-invalid=true]"), "{bad}: {}", refused.text);
        let schema = format!(r#"{{"type":"object","default":{}}}"#, bad.replace("[[", "[[[[").replace("]]", "]]]]"));
        browser.press("/types/new", &[("name", "bad"), ("schema", &schema), ("_do", "publish")]).await.expect(422);
    }
    assert_eq!(site.data(&record).await, json!({"any": {"a": 1}}));
    assert!(site.node.known_type("bad").is_err());
}

#[actix_web::test]
async fn posts_that_no_form_of_ours_sends_are_refused_and_change_nothing() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let data = json!({"title": "Seal", "parts": [{"part": "Kit"}, {"part": "Ring"}]});
    let record = site.make("work-order", data.clone()).await;
    let (edit, history) = (format!("{record}/edit"), format!("{record}/history"));
    let before = browser.get(&history).await.expect(200).main();
    let form = browser.open(&edit).await;
    let value = |name: &str| {
        let field = form.iter().find(|(known, _)| known == name);
        field.unwrap_or_else(|| panic!("no {name}")).1.clone()
    };
    let items = value("/parts#items");
    let (first, _) = items[1..].split_once('/').expect("two items");
    let with = |more: &[(&str, &str)]| {
        let mut fields = filled(&form, &[("/title", "Taken over")]);
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        fields
    };
    let forged = "/parts/@forged1/part";
    let mut posts = vec![
        ("a field that is not there", with(&[("/nothing", "x")])),
        ("a forged key", with(&[(forged, "x")])),
        (
            "a forged key in the list",
            filled(&with(&[(forged, "x")]), &[("/parts#items", &format!("{items}/@forged1"))]),
        ),
        ("a position for a key", with(&[("/parts/0/part", "x")])),
        ("an item twice", filled(&with(&[]), &[("/parts#items", &format!("{items}/{first}"))])),
        ("a field twice", with(&[("/asset", "x")])),
        ("a token that was not given out", filled(&with(&[]), &[("/status", "e77")])),
        ("a value for a token", filled(&with(&[]), &[("/status", "open")])),
        ("JSON for a token", filled(&with(&[]), &[("/status", "\"open\"")])),
    ];
    for action in ["add", "add /none", "add /title", "remove /parts/@none", "up /parts", "zap /parts", "choose /site 1"]
    {
        posts.push((action, with(&[("_do", action)])));
    }
    let base = value("_base");
    for (what, base) in [("no base", ""), ("a junk base", "zzzz"), ("half a base", &base[..base.len() / 2])] {
        posts.push((what, filled(&with(&[]), &[("_base", base)])));
    }
    let flipped = if base.ends_with('A') { "B" } else { "A" };
    let flipped = format!("{}{flipped}{}", &base[..base.len() - 9], &base[base.len() - 8..]);
    if flipped != base {
        posts.push(("a flipped base", filled(&with(&[]), &[("_base", &flipped)])));
    }
    for (what, fields) in posts {
        let refused = browser.submit(&edit, &fields).await;
        assert_eq!(refused.status, 422, "{what}: {}", refused.text);
        assert!(refused.has(".summary"), "{what}: {}", refused.text);
        assert!(refused.form("#record-form").contains(&("/title".into(), "Taken over".into())), "{what}");
        assert_eq!(browser.get(&history).await.expect(200).main(), before, "{what}");
    }
    assert_eq!(site.data(&record).await, data);
}

fn uuid_of(record: &str) -> &str {
    record.rsplit('/').next().expect("an id")
}

#[actix_web::test]
async fn wrong_encodings_are_refused() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let csrf = browser.csrf();
    let bodies: [(&str, Vec<u8>, u16); 7] = [
        (FORM, [b"_csrf=", csrf.as_bytes(), b"&/title=%ff"].concat(), 400),
        (FORM, [b"_csrf=", csrf.as_bytes(), b"&/title=\xff"].concat(), 400),
        (FORM, [b"_csrf=", csrf.as_bytes(), b"&/title=%4"].concat(), 400),
        (FORM, [b"_csrf=", csrf.as_bytes(), b"&", &b"a&".repeat(30_000)[..]].concat(), 413),
        ("text/plain", format!("_csrf={csrf}").into_bytes(), 415),
        ("application/json", b"{}".to_vec(), 415),
        ("multipart/form-data; boundary=x", b"--x--".to_vec(), 415),
    ];
    for (content_type, body, status) in bodies {
        let request = browser.request(Method::POST, NEW).header("content-type", content_type).body(body);
        let page = browser.send(request).await;
        assert_eq!(page.status, status, "{content_type}: {}", page.text);
        page.says("Nothing was changed");
    }
    browser.get("/records/work-order").await.expect(200).says("No work orders yet");
}

#[actix_web::test]
async fn what_is_too_large_is_told_and_not_saved() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let form = browser.open(NEW).await;
    let large = "y".repeat(1 << 20);
    let refused = browser.submit(NEW, &filled(&form, &[("/title", "Seal"), ("/description", &large)])).await;
    assert!([413, 422].contains(&refused.status), "{}", refused.status);
    let huge = "%41".repeat(3 << 20);
    let refused = browser.post_body(NEW, format!("/title={huge}")).await.expect(413);
    refused.says("larger than 4 MiB");
    browser.get("/records/work-order").await.expect(200).says("No work orders yet");
}

#[actix_web::test]
async fn addresses_that_lead_nowhere_say_so() {
    let site = Site::start().await;
    let browser = site.browser(Role::Admin).await;
    let nil = "00000000-0000-0000-0000-000000000000";
    for path in [
        "/nowhere",
        "/records",
        "/records/",
        "/records/none",
        "/records/none/new",
        "/records/WORK",
        "/records/_person",
        "/records/work-order/x",
        &format!("/records/work-order/{nil}"),
        &format!("/records/work-order/{nil}/edit"),
        &format!("/records/work-order/{nil}/history"),
        "/records/work-order/00000000000000000000000000000000",
        "/types/none/design",
        "/types/work-order/schema?version=99",
        "/static/none.css",
        "/static/..%2fCargo.toml",
        "/demo",
        "/demo/as/0",
        "/nodes",
        "/%00",
        "/records/%ff",
    ] {
        let page = browser.get(path).await;
        assert!([400, 404].contains(&page.status), "{path}: {}", page.status);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert!(page.has("h1"), "{path}: {}", page.text);
    }
    browser.press(&format!("/conflicts/{nil}"), &[("_do", "restore")]).await.expect(404);
    browser.press(&format!("/users/{nil}"), &[("_do", "disable")]).await.expect(404);
    browser.press("/sync", &[("_do", "now")]).await.expect(404);
    let page = browser.send(browser.request(Method::DELETE, "/types")).await.expect(405);
    assert_eq!(page.header("allow"), "GET, HEAD");
}

#[actix_web::test]
async fn a_list_says_what_is_wrong_with_its_address() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    site.make("work-order", json!({"title": "Seal"})).await;
    for query in ["filter=x", "filter=/a:like:b", "sort=title", "cursor=nonsense", "filter=/a:in:b"] {
        let page = browser.get(&format!("/records/work-order?{query}")).await;
        assert_eq!(page.status, 400, "{query}: {}", page.text);
    }
    let odd = "/records/work-order?filter=/title:eq:%22%3Cscript%3Ealert(1)%3C/script%3E%22&sort=/%3Cb%3E";
    let page = browser.get(odd).await.expect(200);
    assert!(!page.text.contains("<script>alert") && !page.text.contains("<b>"), "{}", page.text);
}

#[actix_web::test]
async fn what_people_type_is_never_markup() {
    let site = Site::start().await;
    let browser = site.browser(Role::Designer).await;
    let evil = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";
    let schema = json!({"type": "object", "title": evil, "properties": {"a\"><script>": {"type": "string", "title": evil,
        "description": evil, "enum": [evil]}}});
    let made =
        browser.press("/types/new", &[("name", "evil"), ("schema", &schema.to_string()), ("_do", "publish")]).await;
    made.led_to();
    let record = site.make("evil", json!({"a\"><script>": evil})).await;
    for path in [
        "/",
        "/types",
        "/types/evil/design",
        "/records/evil",
        "/records/evil/new",
        &record,
        &format!("{record}/edit"),
        &format!("{record}/history"),
        &format!("/login?next={}&email=%22%3E%3Cscript%3E", "/%22%3E%3Cscript%3E"),
    ] {
        let page = browser.get(path).await;
        assert!(!page.has("img") && !page.text.contains("<script>"), "{path}: {}", page.text);
    }
}
