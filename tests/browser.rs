//! The demo's three steps in a real browser: cut the link, change one record on both sides, restore, see both.
//!
//! Needs ChromeDriver and Chromium; without them it says so and passes, unless `OUTPOST_TEST_ALL=1`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A process of the test; ended when dropped.
struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Ok(Self { child, lines })
    }

    /// The first line of its output that `find` makes something of.
    fn told<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).expect("its output"), 0, "it ended");
            if let Some(found) = find(&line) {
                return found;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // in order, so that a driver takes its browser along and a demo its directory
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A browser with an empty profile. The driver goes with it.
struct Browser {
    client: Client,
    _driver: Process,
    _profile: TempDir,
}

impl std::ops::Deref for Browser {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Browser {
    /// `None` if there is none on this machine.
    async fn start() -> Option<Self> {
        let Ok(mut driver) = Process::start(Command::new("chromedriver").arg("--port=0")) else {
            assert!(std::env::var_os("OUTPOST_TEST_ALL").is_none(), "chromedriver is needed and is not here");
            eprintln!("skipped: chromedriver is not here");
            return None;
        };
        let port: u16 =
            driver.told(|line| line.split("successfully on port ").nth(1)?.trim().trim_end_matches('.').parse().ok());
        let profile = TempDir::new().expect("a directory of our own");
        let profile_arg = format!("--user-data-dir={}", profile.path().display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,1000",
            &profile_arg,
        ];
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": args } });
        let wanted = wanted.as_object().expect("an object").clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the browser starts");
        Some(Self { client, _driver: driver, _profile: profile })
    }

    async fn find(&self, css: &str) -> Element {
        let wait = self.client.wait().at_most(Duration::from_secs(10)).every(Duration::from_millis(50));
        match wait.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(err) => panic!("{css}: {err}\n{}", self.text().await),
        }
    }

    /// Presses what is in the middle of the window, where nothing lies over it.
    async fn press(&self, css: &str) {
        let element = self.find(css).await;
        let place = json!(element);
        self.execute("arguments[0].scrollIntoView({block: 'center'})", vec![place]).await.expect("it scrolls");
        element.click().await.unwrap_or_else(|err| panic!("{css}: {err}"));
    }

    async fn fill(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        element.clear().await.expect("it can be cleared");
        element.send_keys(text).await.expect("it takes keys");
    }

    /// What has the focus: the value of a button, the name of a field, or else the words of it.
    async fn focused(&self) -> String {
        let script = "const e = document.activeElement; return e.matches('button') ? e.value : e.name || e.innerText";
        let focused = self.execute(script, Vec::new()).await.expect("a page");
        focused.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the focus is where it should be.
    async fn focuses(&self, is_it: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let focused = self.focused().await;
            if is_it(&focused) {
                return focused;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "the focus is on {focused:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Types where the focus is.
    async fn keys(&self, keys: &str) {
        self.active_element().await.expect("something has it").send_keys(keys).await.expect("it takes keys");
    }

    /// All that a person reads.
    async fn text(&self) -> String {
        let text = self.execute("return document.body.innerText", Vec::new()).await.expect("a page");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Loads a page again and again until it says something. How long that took.
    async fn reads(&self, url: &str, words: &[&str]) -> Duration {
        let begun = Instant::now();
        loop {
            self.goto(url).await.expect("a page");
            let text = self.text().await;
            if words.iter().all(|word| text.contains(word)) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(15), "{words:?} at {url}:\n{text}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the address is another, and this one.
    async fn arrives(&self, path: &str) {
        let begun = Instant::now();
        loop {
            let url = self.current_url().await.expect("an address");
            if url.path() == path {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{url} and not {path}:\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn sign_in(&self, node: &str, person: &Value) {
        let text = |name: &str| person[name].as_str().expect("text");
        self.goto(&format!("{node}/login")).await.expect("a page");
        self.fill("[name='email']", text("email")).await;
        self.fill("[name='password']", text("password")).await;
        self.press("form[action='/login'] button[data-kind='primary']").await;
        self.arrives("/").await;
    }

    /// Saves the form that is open and waits for the record.
    async fn save(&self, record: &str) {
        self.press(".dock button[data-kind='primary']").await;
        self.arrives(record).await;
    }
}

struct Demo {
    _process: Process,
    hub: String,
    edge: String,
    people: [Value; 2],
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
        command.args(["demo", "--json", "--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0"]);
        let mut process = Process::start(&mut command).expect("the demo starts");
        let told: Value = process.told(|line| serde_json::from_str(line).ok());
        let address = |name: &str| told[name].as_str().expect("an address").to_owned();
        let (hub, edge) = (address("hub"), address("edge"));
        Self { _process: process, hub, edge, people: [told["people"][0].clone(), told["people"][1].clone()] }
    }

    /// The path of the record that the second step names.
    async fn record(&self, browser: &Browser) -> String {
        browser.goto(&format!("{}/demo", self.hub)).await.expect("a page");
        let link = browser.find("a[target='_blank']").await;
        let href = link.attr("href").await.expect("it is there").expect("an address");
        let edit = href.split("next=").nth(1).expect("a way on").to_owned();
        edit.trim_end_matches("/edit").to_owned()
    }

    async fn switch(&self, browser: &Browser, word: &str, then: &str) {
        browser.goto(&format!("{}/demo", self.hub)).await.expect("a page");
        browser.press(&format!("button[form='step'][value='{word}']")).await;
        let begun = Instant::now();
        while !browser.text().await.contains(then) {
            assert!(begun.elapsed() < Duration::from_secs(5), "{}", browser.text().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn the_three_steps_of_the_demo_work_in_a_browser() {
    let Some(browser) = Browser::start().await else { return };
    let demo = Demo::start();
    let [tomas, ingrid] = &demo.people;
    // what the first page says is so from the first moment
    browser.goto(&demo.hub).await.expect("a page");
    let first = browser.text().await;
    assert!(first.contains("1 site in step") && first.contains("Three things to try"), "{first}");
    let record = demo.record(&browser).await;
    let (hub, edge) = (format!("{}{record}", demo.hub), format!("{}{record}", demo.edge));
    browser.sign_in(&demo.hub, tomas).await;
    browser.sign_in(&demo.edge, ingrid).await;
    browser.reads(&edge, &["Replace hydraulic pump seal", "Normal"]).await;

    // 1: cut the link
    demo.switch(&browser, "cut", "Link is cut").await;

    // 2: two fields of one record, each on its side
    browser.goto(&format!("{hub}/edit")).await.expect("a page");
    browser.press("label:has([name='/priority'][data-json='\"urgent\"'])").await;
    browser.save(&record).await;
    browser.reads(&hub, &["Urgent"]).await;

    browser.goto(&format!("{edge}/edit")).await.expect("a page");
    browser.fill("[name='/location/area']", "Pump room, behind the spare").await;
    browser.press("button[value='add /parts']").await;
    browser.fill("li:nth-child(3) [name^='/parts/@'][name$='/part']", "O-ring 42 × 3").await;
    browser.save(&record).await;
    browser.reads(&edge, &["Pump room, behind the spare", "O-ring 42 × 3"]).await;
    assert!(!browser.text().await.contains("Urgent"), "the link is cut");
    browser.goto(&hub).await.expect("a page");
    assert!(!browser.text().await.contains("O-ring"), "the link is cut");

    // 3: restore it
    demo.switch(&browser, "restore", "Link is up").await;
    assert!(browser.text().await.contains("1 site in step"), "{}", browser.text().await);
    let all = ["Urgent", "Pump room, behind the spare", "O-ring 42 × 3", "Seal kit HS-22"];
    for node in [&hub, &edge] {
        browser.reads(node, &all).await;
    }
    browser.client.clone().close().await.expect("the browser ends");
}

#[tokio::test]
async fn a_value_that_lost_waits_in_attention_and_can_be_brought_back() {
    let Some(browser) = Browser::start().await else { return };
    let demo = Demo::start();
    let [tomas, ingrid] = &demo.people;
    let record = demo.record(&browser).await;
    browser.sign_in(&demo.hub, tomas).await;
    browser.sign_in(&demo.edge, ingrid).await;
    demo.switch(&browser, "cut", "Link is cut").await;
    for (node, words) in [(&demo.hub, "Asset as the hub says"), (&demo.edge, "Asset as the edge says")] {
        browser.goto(&format!("{node}{record}/edit")).await.expect("a page");
        browser.fill("[name='/asset']", words).await;
        browser.save(&record).await;
    }
    demo.switch(&browser, "restore", "Link is up").await;

    // both are shown on both sides, the later one stands
    for node in [&demo.hub, &demo.edge] {
        browser.reads(&format!("{node}/attention"), &["Asset as the hub says", "Asset as the edge says"]).await;
        browser.reads(&format!("{node}{record}"), &["Asset as the edge says"]).await;
    }
    // one press brings the other one back, everywhere
    browser.goto(&format!("{}/attention", demo.edge)).await.expect("a page");
    browser.press("button[name='_do'][value^='restore']").await;
    for node in [&demo.hub, &demo.edge] {
        browser.reads(&format!("{node}{record}"), &["Asset as the hub says"]).await;
    }
    browser.client.clone().close().await.expect("the browser ends");
}

#[tokio::test]
async fn the_keyboard_alone_is_enough_and_keeps_its_place() {
    let Some(browser) = Browser::start().await else { return };
    let demo = Demo::start();
    let [tomas, ingrid] = &demo.people;
    let record = demo.record(&browser).await;
    browser.sign_in(&demo.hub, tomas).await;
    browser.sign_in(&demo.edge, ingrid).await;

    // past bar and rail with the first link
    browser.goto(&demo.hub).await.expect("a page");
    browser.goto(&format!("{}/records/work-order", demo.hub)).await.expect("a page");
    browser.find("body").await.send_keys("\u{e004}").await.expect("it takes keys");
    assert_eq!(browser.focused().await, "Skip to the content");
    browser.keys("\u{e007}").await;
    browser.focuses(|words| words.contains("Work orders")).await;

    // items are added, moved and removed, and one goes on where one is
    browser.goto(&format!("{}{record}/edit", demo.hub)).await.expect("a page");
    let add = browser.find("button[value='add /parts']").await;
    add.send_keys("\u{e007}").await.expect("it takes keys");
    let new = browser.focuses(|name| name.starts_with("/parts/@") && name.ends_with("/part")).await;
    browser.keys("Gasket").await;
    let new = new.trim_end_matches("/part");
    browser.find(&format!("button[value='up {new}']")).await.send_keys("\u{e007}").await.expect("it takes keys");
    browser.focuses(|value| value == format!("up {new}")).await;
    browser.find("ol.items > li:nth-child(2) input[value='Gasket']").await;
    browser.keys("\u{e007}").await;
    browser.find("ol.items > li:nth-child(1) input[value='Gasket']").await;
    browser.focuses(|value| value == format!("down {new}")).await;
    browser.find(&format!("button[value='remove {new}']")).await.send_keys("\u{e007}").await.expect("it takes keys");
    browser.focuses(|words| words.starts_with("1. Seal kit HS-22")).await;

    // Enter in a text saves; what is wrong is told where the focus goes, and leads to its field
    browser.fill("[name='/title']", "").await;
    browser.find("[name='/title']").await.send_keys("\u{e007}").await.expect("it takes keys");
    browser.focuses(|words| words.starts_with("One thing to put right")).await;
    browser.find(".summary a").await.send_keys("\u{e007}").await.expect("it takes keys");
    browser.focuses(|name| name == "/title").await;
    browser.keys("By keyboard\u{e007}").await;
    browser.arrives(&record).await;

    // what comes in meanwhile takes neither the focus nor what was typed
    browser.goto(&format!("{}/records/work-order", demo.hub)).await.expect("a page");
    browser.press("details.pick:has(.condition) > summary").await;
    browser.fill("#f-value", "half a word").await;
    let edge = browser.new_window(true).await.expect("a window");
    let hub = browser.window().await.expect("a window");
    browser.switch_to_window(edge.handle).await.expect("it is there");
    browser.goto(&format!("{}/records/work-order/new", demo.edge)).await.expect("a page");
    browser.fill("[name='/title']", "From the edge").await;
    browser.press(".dock button[data-kind='primary']").await;
    browser.reads(&format!("{}/records/work-order", demo.edge), &["From the edge"]).await;
    browser.switch_to_window(hub).await.expect("it is there");
    let begun = Instant::now();
    while !browser.text().await.contains("1 new work order came in") {
        assert!(begun.elapsed() < Duration::from_secs(15), "{}", browser.text().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(browser.focused().await, "_value");
    let typed = browser.find("#f-value").await.prop("value").await.expect("a field");
    assert_eq!(typed.as_deref(), Some("half a word"));
    assert!(
        !browser.find("table").await.text().await.expect("a table").contains("From the edge"),
        "rows wait to be asked for"
    );
    browser.client.clone().close().await.expect("the browser ends");
}

#[tokio::test]
async fn an_answer_brings_the_questions_that_follow_and_takes_neither_focus_nor_words() {
    let Some(browser) = Browser::start().await else { return };
    let demo = Demo::start();
    let admin = &demo.people[0];
    browser.sign_in(&demo.hub, admin).await;
    let schema = json!({
        "type": "object", "title": "Visit", "required": ["place"],
        "properties": {
            "place": {"type": "string", "title": "Place"},
            "state": {"title": "State", "enum": ["open", "flooded"]},
            "contact": {"title": "Contact", "oneOf": [
                {"title": "Phone", "type": "object", "required": ["phone"], "properties": {"phone": {"type": "string"}}},
                {"title": "Mail", "type": "object", "required": ["mail"], "properties": {"mail": {"type": "string"}}}]}
        },
        "if": {"properties": {"state": {"const": "flooded"}}, "required": ["state"]},
        "then": {"properties": {"depth": {"type": "number", "title": "Depth"}}}
    });
    browser.goto(&format!("{}/types/new", demo.hub)).await.expect("a page");
    browser.fill("[name='name']", "visit").await;
    let script = "arguments[0].value = arguments[1]";
    let area = json!(browser.find("#schema").await);
    browser.execute(script, vec![area, json!(schema.to_string())]).await.expect("it takes the schema");
    browser.press("button[data-kind='primary'][name='_do'][value='publish']").await;
    browser.find("main h1").await;

    browser.goto(&format!("{}/records/visit/new", demo.hub)).await.expect("a page");
    let questions = |css: &'static str| {
        let browser = &browser;
        async move { browser.find_all(Locator::Css(css)).await.expect("a page").len() }
    };
    assert_eq!(questions("[name='/depth']").await, 0);
    browser.press("label:has([name='/state'][data-json='\"flooded\"'])").await;
    browser.find("[name='/depth']").await;
    browser.fill("[name='/depth']", "40").await;
    // where one is, one stays, and what is being typed is not taken away
    browser.press("label:has([name='/contact#choice'][value='1'])").await;
    browser.find("[name='/contact/mail']").await;
    browser.fill("[name='/place']", "Weir 4").await;
    browser.fill("[name='/contact/mail']", "gate@example.org").await;
    browser.press("label:has([name='/state'][data-json='\"open\"'])").await;
    let begun = Instant::now();
    while questions("[name='/depth']").await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", browser.text().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    browser.press("label:has([name='/state'][data-json='\"flooded\"'])").await;
    let depth = browser.find("[name='/depth']").await.prop("value").await.expect("a field");
    assert_eq!(depth.as_deref(), Some("40"), "what was typed comes back with the question");
    for (name, text) in [("/place", "Weir 4"), ("/contact/mail", "gate@example.org")] {
        let value = browser.find(&format!("[name='{name}']")).await.prop("value").await.expect("a field");
        assert_eq!(value.as_deref(), Some(text));
    }
    browser.press(".dock button[data-kind='primary']").await;
    let begun = Instant::now();
    while !browser.text().await.contains("gate@example.org") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", browser.text().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    browser.client.clone().close().await.expect("the browser ends");
}
