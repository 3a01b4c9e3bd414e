//! What every page keeps: nothing inline, headers, one heading, a way to look at it.

use outpost::domain::people::Role;
use reqwest::Method;
use serde_json::json;

use crate::browser::{Site, select};

async fn pages(site: &Site) -> Vec<String> {
    let record = site.make("work-order", json!({"title": "Seal", "parts": [{"part": "Kit", "quantity": 2}]})).await;
    let mut pages: Vec<String> = [
        "/",
        "/types",
        "/types/new",
        "/types/work-order/design",
        "/records/work-order",
        "/records/work-order?deleted=true",
        "/records/work-order?filter=/status:eq:open",
        "/records/work-order/new",
        "/attention",
        "/sync",
        "/users",
        "/api/docs",
        "/nowhere",
    ]
    .map(str::to_owned)
    .to_vec();
    pages.extend([record.clone(), format!("{record}/edit"), format!("{record}/history")]);
    pages
}

#[actix_web::test]
async fn no_page_has_anything_inline_and_each_has_its_headers() {
    let site = Site::start().await;
    let browser = site.browser(Role::Admin).await;
    let mut all = pages(&site).await;
    all.push("/login".to_owned());
    for path in all {
        let page = if path == "/login" { site.visitor().get(&path).await } else { browser.get(&path).await };
        let html = page.html();
        for element in html.select(&select("*")) {
            let value = element.value();
            assert!(value.name() != "style", "{path}");
            assert!(
                value.name() != "script" || (value.attr("src").is_some() && element.text().next().is_none()),
                "{path}"
            );
            for (name, value) in value.attrs() {
                assert!(name != "style" && !name.starts_with("on") && !name.starts_with("hx-on"), "{path}: {name}");
                assert!(!value.trim_start().to_lowercase().starts_with("javascript:"), "{path}: {value}");
            }
        }
        assert_eq!(page.words("h1").len(), 1, "{path}: {:?}", page.words("h1"));
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(page.header("cache-control"), "private, no-cache", "{path}");
        for form in html.select(&select("form[method=post]")) {
            let has_token = form.select(&select("input[name=_csrf]")).next().is_some();
            assert!(has_token, "{path}: {}", form.html());
        }
    }
    let api = browser.get("/api/v1/types").await;
    assert_eq!(api.header("x-content-type-options"), "nosniff");
}

#[actix_web::test]
async fn all_that_pages_link_to_is_there() {
    let site = Site::start().await;
    let browser = site.browser(Role::Admin).await;
    let mut todo = vec!["/".to_owned()];
    let record = pages(&site).await;
    todo.extend(record.into_iter().filter(|path| path != "/nowhere"));
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = todo.pop() {
        if !seen.insert(path.clone()) || seen.len() > 300 {
            continue;
        }
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        if !page.header("content-type").starts_with("text/html") {
            continue;
        }
        let html = page.html();
        for element in html.select(&select("a[href], link[href], script[src], use[href]")) {
            let value = element.value();
            let to = value.attr("href").or(value.attr("src")).expect("either");
            if let Some(anchor) = to.strip_prefix('#') {
                assert!(page.has(&format!("[id=\"{anchor}\"]")), "{path}: #{anchor}");
            } else if to.starts_with('/') {
                todo.push(to.split('#').next().expect("the first").to_owned());
            }
        }
    }
    assert!(seen.len() > 40, "{}", seen.len());
}

#[actix_web::test]
async fn how_pages_look_is_chosen_and_kept() {
    let site = Site::start().await;
    let browser = site.browser(Role::Viewer).await;
    let chosen = [("theme", "sun"), ("density", "gloves"), ("_to", "/types")];
    assert_eq!(browser.press("/display", &chosen).await.led_to(), "/types");
    let page = browser.get("/types").await.expect(200);
    assert_eq!(page.attribute("html", "data-theme"), "sun");
    assert_eq!(page.attribute("html", "data-density"), "gloves");
    browser.press("/display", &[("theme", "\"><script>"), ("_to", "//evil")]).await.led_to();
    assert!(!browser.get("/types").await.has("html[data-theme]"));
}

#[actix_web::test]
async fn assets_are_kept_for_ever_by_their_hash_and_are_compressed() {
    let site = Site::start().await;
    let visitor = site.visitor();
    let address = visitor.get("/login").await.attribute("link[rel=stylesheet]", "href");
    let sheet = visitor.get(&address).await.expect(200);
    assert_eq!(sheet.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(sheet.header("content-type"), "text/css; charset=utf-8");
    let plain = visitor.get(address.split('?').next().expect("a path")).await.expect(200);
    assert_eq!(plain.header("cache-control"), "public, no-cache");
    let tag = plain.header("etag").to_owned();
    let again = visitor.send(visitor.request(Method::GET, &address).header("if-none-match", &tag)).await.expect(304);
    assert_eq!(again.text, "");
    let request = visitor.request(Method::GET, &address).header("accept-encoding", "gzip");
    assert_eq!(visitor.send(request).await.header("content-encoding"), "gzip");
    let head = visitor.send(visitor.request(Method::HEAD, &address)).await.expect(200);
    assert_eq!(head.text, "");
}
