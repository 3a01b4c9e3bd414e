//! Signing in and out, the first admin, roles.

use outpost::domain::people::{Actor, Role};

use crate::browser::{Beside, PASSWORD, Site};

#[actix_web::test]
async fn who_is_not_signed_in_is_led_to_the_sign_in_and_back() {
    let site = Site::start().await;
    let visitor = site.visitor();
    let way = visitor.get("/records/work-order?sort=/due").await.led_to();
    assert_eq!(way, "/login?next=%2Frecords%2Fwork-order%3Fsort%3D%2Fdue");
    let page = visitor.get(&way).await.expect(200);
    let mut form = page.form("form");
    for (name, value) in &mut form {
        match name.as_str() {
            "email" => *value = " Staff@Example.org ".into(),
            "password" => *value = PASSWORD.into(),
            _ => {}
        }
    }
    assert_eq!(visitor.submit("/login", &form).await.led_to(), "/records/work-order?sort=/due");
    visitor.get("/records/work-order").await.expect(200);
    assert_eq!(visitor.get("/login").await.led_to(), "/");
}

#[actix_web::test]
async fn the_way_back_never_leads_to_another_site() {
    let site = Site::start().await;
    for next in ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let fields = [("email", "staff@example.org"), ("password", PASSWORD), ("_next", next)];
        assert_eq!(site.visitor().post("/login", &fields).await.led_to(), "/", "{next}");
    }
}

#[actix_web::test]
async fn a_wrong_password_is_refused_in_the_same_words_as_an_unknown_address_and_five_wait() {
    let site = Site::start().await;
    let visitor = site.visitor();
    let try_it =
        async |email: &str, password: &str| visitor.post("/login", &[("email", email), ("password", password)]).await;
    let unknown = try_it("nobody@example.org", "x").await.expect(422);
    let wrong = try_it("staff@example.org", "x").await.expect(422);
    assert_eq!(unknown.words(".message"), wrong.words(".message"));
    assert_eq!(wrong.value("input[name=email]"), "staff@example.org");
    assert!(!wrong.text.contains("value=\"x\""));
    for _ in 0..4 {
        try_it("staff@example.org", "x").await;
    }
    let waits = try_it("staff@example.org", PASSWORD).await.expect(429);
    assert!(waits.words(".message").join(" ").contains("wait 300 seconds"), "{:?}", waits.words(".message"));
    assert!(visitor.cookies().is_empty());
    site.hands.advance(300_001);
    try_it("staff@example.org", PASSWORD).await.led_to();
}

#[actix_web::test]
async fn the_cookie_is_strict_closed_to_scripts_and_named_after_the_node() {
    let site = Site::start().await;
    let fields = [("email", "staff@example.org"), ("password", PASSWORD)];
    let plain = site.visitor().post("/login", &fields).await;
    let cookie = plain.header("set-cookie").to_owned();
    let name = format!("outpost-{}=", &site.node.identity().node.to_string()[..8]);
    assert!(cookie.starts_with(&name), "{cookie}");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict") && cookie.contains("; Path=/"));
    assert!(!cookie.contains("Secure"));
    let visitor = site.visitor();
    let body = serde_urlencoded::to_string(fields).expect("pairs");
    let request = visitor.request(reqwest::Method::POST, "/login").header("x-forwarded-proto", "https");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    assert!(visitor.send(request).await.header("set-cookie").contains("; Secure"));
}

#[actix_web::test]
async fn signing_out_ends_the_session_on_the_node() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let cookies = browser.cookies();
    assert_eq!(browser.press("/logout", &[]).await.led_to(), "/login");
    assert!(browser.cookies().is_empty());
    // the old cookie is worth nothing
    let (name, value) = cookies.iter().next().expect("a cookie");
    let stolen = site.visitor();
    let request = stolen.request(reqwest::Method::GET, "/types").header("cookie", format!("{name}={value}"));
    assert!(stolen.send(request).await.led_to().starts_with("/login"));
}

#[actix_web::test]
async fn a_form_of_another_site_is_not_taken_to_sign_in() {
    let site = Site::start().await;
    let visitor = site.visitor();
    let body = || serde_urlencoded::to_string([("email", "staff@example.org"), ("password", PASSWORD)]).expect("pairs");
    for (header, value, status) in [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", site.base.as_str(), 303),
        ("sec-fetch-site", "same-origin", 303),
    ] {
        let request = visitor.request(reqwest::Method::POST, "/login").header(header, value);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body());
        assert_eq!(visitor.send(request).await.status, status, "{header}: {value}");
    }
}

#[actix_web::test]
async fn a_link_from_another_site_finds_the_session_all_the_same() {
    let site = Site::start().await;
    let visitor = site.visitor();
    let request = visitor.request(reqwest::Method::GET, "/types?a=b").header("sec-fetch-site", "cross-site");
    let page = visitor.send(request).await.expect(200);
    assert_eq!(page.header("refresh"), "0; url=/types?a=b");
}

#[actix_web::test]
async fn a_new_hub_is_set_up_once() {
    let site = Site::empty(Beside::default()).await;
    let visitor = site.visitor();
    visitor.get("/login").await.expect(200).says("Nobody can sign in yet");
    visitor.get("/setup?token=wrong").await.expect(410);
    let secret = site.node.begin_setup().await.expect("no error").expect("a secret");
    let address = format!("/setup?token={secret}");
    let form = visitor.get(&address).await.expect(200).form("form");
    let fill = |email: &str, password: &str| {
        let mut form = form.clone();
        for (name, value) in &mut form {
            match name.as_str() {
                "place" => *value = "North clinic".into(),
                "email" => *value = email.into(),
                "password" => *value = password.into(),
                _ => {}
            }
        }
        form
    };
    let refused = visitor.submit(&address, &fill("not an address", "short")).await.expect(422);
    assert_eq!(refused.words(".summary li").len(), 2, "{:?}", refused.words(".summary"));
    assert_eq!(refused.value("input[name=place]"), "North clinic");
    assert_eq!(visitor.submit(&address, &fill("mei@example.org", PASSWORD)).await.led_to(), "/");
    let home = visitor.get("/").await.expect(200);
    assert_eq!(home.words("h1"), ["North clinic"]);
    visitor.get("/users").await.expect(200).says("mei@example.org");
    site.visitor().get(&address).await.expect(410);
    site.visitor().submit(&address, &fill("eve@example.org", PASSWORD)).await.expect(410);
}

#[actix_web::test]
async fn each_role_sees_and_may_do_what_is_its_own() {
    let site = Site::start().await;
    let record = site.make("work-order", serde_json::json!({"title": "Seal"})).await;
    let edit = format!("{record}/edit");
    let pages: [(&str, Role); 12] = [
        ("/", Role::Viewer),
        ("/records/work-order", Role::Viewer),
        (&record, Role::Viewer),
        ("/attention", Role::Viewer),
        ("/sync", Role::Viewer),
        ("/types", Role::Viewer),
        ("/types/work-order/design", Role::Viewer),
        ("/records/work-order/new", Role::Staff),
        (&edit, Role::Staff),
        ("/types/new", Role::Designer),
        ("/users", Role::Admin),
        ("/api/docs", Role::Viewer),
    ];
    for role in Role::ALL {
        let browser = site.browser(role).await;
        for (path, needed) in pages {
            let status = if role >= needed { 200 } else { 403 };
            assert_eq!(browser.get(path).await.status, status, "{role} {path}");
        }
        let may = browser.get(&record).await.has("a[href$='/edit']");
        assert_eq!(may, role >= Role::Staff, "{role}");
        let binned = browser.press(&record, &[("_do", "bin")]).await.status;
        assert_eq!(binned, if role >= Role::Staff { 303 } else { 403 }, "{role}");
        browser.press(&record, &[("_do", "restore")]).await;
        let steered = browser.press("/users", &[("email", "x")]).await.status;
        assert_eq!(steered, if role == Role::Admin { 422 } else { 403 }, "{role}");
    }
}

#[actix_web::test]
async fn people_are_added_changed_and_stopped() {
    let site = Site::start().await;
    let admin = site.browser(Role::Admin).await;
    let add = |email: &'static str, role: &'static str| {
        [("email", email), ("name", ""), ("role", role), ("password", PASSWORD)]
    };
    assert_eq!(admin.press("/users", &add("tomas@example.org", "staff")).await.led_to(), "/users");
    let taken = admin.press("/users", &add("Tomas@example.org", "king")).await.expect(422);
    assert_eq!(taken.words(".summary li").len(), 1);
    let taken = admin.press("/users", &add("Tomas@example.org", "staff")).await.expect(422);
    assert_eq!(taken.value("#new-email"), "Tomas@example.org");
    let people = site.node.people(&Actor::Operator).expect("no error");
    let tomas = people.iter().find(|person| person.email == "tomas@example.org").expect("he was added").id;
    let address = format!("/users/{tomas}");
    let short = admin.press(&address, &[("_do", "passwd"), ("password", "short")]).await.expect(422);
    assert!(short.says("at least 8").has("details[open]"));
    assert_eq!(admin.press(&address, &[("_do", "role"), ("role", "designer")]).await.led_to(), "/users");
    let his = site.visitor();
    his.post("/login", &[("email", "tomas@example.org"), ("password", PASSWORD)]).await.led_to();
    his.get("/types/new").await.expect(200);
    assert_eq!(admin.press(&address, &[("_do", "disable")]).await.led_to(), "/users");
    assert!(his.get("/types/new").await.led_to().starts_with("/login"));
    let me = people.iter().find(|person| person.role == Role::Admin).expect("an admin").id;
    admin.press(&format!("/users/{me}"), &[("_do", "disable")]).await.expect(422).says("last admin");
    admin.press(&format!("/users/{me}"), &[("_do", "dance")]).await.expect(400);
}
