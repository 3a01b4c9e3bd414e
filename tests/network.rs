//! Bad networks between real processes: slow, far, lossy, cut in one direction, with a proxy that holds answers back.
//!
//! What needs more than this process has (nginx, network namespaces) is skipped with a reason where it is not there.

#[allow(dead_code)]
#[path = "support/proxy.rs"]
mod proxy;
#[allow(dead_code)]
#[path = "cli/run.rs"]
mod run;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proxy::{Proxy, Weather};
use run::{Place, Running, http, hub, run, run_with};
use serde_json::json;

const RECORDS: &str = "/api/v1/types/work-order/records";
const PATIENCE: Duration = Duration::from_secs(50);

/// A hub and, behind something, its edge.
struct Pair {
    hub: Running,
    edge: Running,
    hub_token: String,
    edge_token: String,
    _place: Place,
}

impl Pair {
    /// The edge joins without trouble and then finds its hub at the address that `between` makes of the hub's.
    fn new(between: impl FnOnce(&str) -> String, orders: usize) -> Self {
        let place = Place::new();
        let (data, hub_token) = hub(&place);
        let hub = Running::serve(&data);
        let invited = run(&data, &["node", "invite", "--json"]).json();
        let url = between(&hub.url);
        let edge_data = place.at("edge");
        run(&edge_data, &["join", &url, "--token", invited["token"].as_str().expect("a token")]).good();
        let made = run(&edge_data, &["token", "create", "--name", "tests", "--role", "admin", "--json"]).json();
        let edge_token = made["token"].as_str().expect("a token").to_owned();
        let lines: String = (0..orders).map(|n| format!("{{\"title\":\"order {n:04}\"}}\n")).collect();
        if orders > 0 {
            run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
        }
        let edge = Running::serve(&edge_data);
        Self { hub, edge, hub_token, edge_token, _place: place }
    }

    /// With a proxy in this weather between the two.
    fn through(weather: Weather, orders: usize) -> (Self, Proxy) {
        let mut proxy = None;
        let between = |url: &str| proxy.insert(Proxy::start(url, weather)).url.clone();
        let pair = Self::new(between, orders);
        (pair, proxy.expect("it was asked for"))
    }

    fn make(&self, at_hub: bool, title: &str) {
        let (node, token) = if at_hub { (&self.hub, &self.hub_token) } else { (&self.edge, &self.edge_token) };
        let (status, said) = http(&node.url, "POST", RECORDS, token, Some(&json!({ "data": { "title": title } })));
        assert_eq!(status, 201, "{said}");
    }

    /// How long it takes until a title that was just made on one side is on the other.
    fn travels(&self, to_hub: bool, title: &str) -> Duration {
        let (node, token) = if to_hub { (&self.hub, &self.hub_token) } else { (&self.edge, &self.edge_token) };
        let filter = format!("{RECORDS}?filter=/title:eq:{}", title.replace(' ', "%20"));
        let began = Instant::now();
        loop {
            let (_, page) = http(&node.url, "GET", &filter, token, None);
            let found = page["items"].as_array().map_or(0, Vec::len);
            assert!(found <= 1, "{title} is there {found} times");
            if found == 1 {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "{title} does not come: {}", self.status());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn status(&self) -> String {
        http(&self.edge.url, "GET", "/api/v1/sync", &self.edge_token, None).1.to_string()
    }

    fn until_in_step(&self) {
        let began = Instant::now();
        while http(&self.edge.url, "GET", "/api/v1/sync", &self.edge_token, None).1["in_step"] != true {
            assert!(began.elapsed() < PATIENCE, "{}", self.status());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_far_and_narrow_link_brings_everything() {
    // 600 ms there and back, 64 kbit a second
    let weather = Weather { delay: Duration::from_millis(300), rate: 8_000, ..Weather::default() };
    let (pair, proxy) = Pair::through(weather, 300);
    pair.until_in_step();
    pair.make(false, "from below");
    pair.make(true, "from above");
    let (up, down) = (pair.travels(true, "from below"), pair.travels(false, "from above"));
    println!("600 ms, 64 kbit/s: up {up:?}, down {down:?}, {} bytes", proxy.bytes());
    assert!(up < Duration::from_secs(6) && down < Duration::from_secs(6), "{up:?} {down:?}");
}

#[test]
fn connections_that_break_all_the_time_lose_and_double_nothing() {
    let (pair, proxy) = Pair::through(Weather::default(), 0);
    pair.until_in_step();
    proxy.set(Weather { reset_after: 1_200, ..Weather::default() });
    proxy.reset();
    for n in 0..30 {
        pair.make(n % 2 == 0, &format!("order {n}"));
        std::thread::sleep(Duration::from_millis(40));
        if n % 10 == 9 {
            proxy.reset();
        }
    }
    for n in 0..30 {
        pair.travels(n % 2 != 0, &format!("order {n}"));
    }
    println!("{} connections", proxy.opened());
    assert!(proxy.opened() > 5, "nothing broke: {}", proxy.opened());
    proxy.set(Weather::default());
    pair.until_in_step();
}

#[test]
fn a_link_that_is_cut_in_one_direction_neither_loses_nor_doubles() {
    for (deaf, mute) in [(true, false), (false, true)] {
        let (pair, proxy) = Pair::through(Weather::default(), 0);
        pair.until_in_step();
        proxy.set(Weather { deaf, mute, ..Weather::default() });
        pair.make(false, "into the dark");
        if mute {
            // it arrives, and the edge cannot know
            pair.travels(true, "into the dark");
        }
        pair.make(true, "out of the dark");
        std::thread::sleep(Duration::from_millis(500));
        proxy.set(Weather::default());
        proxy.reset();
        pair.travels(true, "into the dark");
        pair.travels(false, "out of the dark");
        pair.until_in_step();
    }
}

/// How long changes take to the edge: the first ones, made while it connects, and the others.
fn live_through(name: &str, pair: &Pair) {
    pair.until_in_step();
    let mut times: Vec<Duration> = (0..12)
        .map(|n| {
            let title = format!("{name} {n}");
            pair.make(true, &title);
            let time = pair.travels(false, &title);
            std::thread::sleep(Duration::from_millis(220));
            time
        })
        .collect();
    let first = times[0];
    times.sort();
    println!("{name}: the first after {first:?}, p50 {:?}, the slowest {:?}", times[6], times[11]);
    assert!(times[11] < Duration::from_secs(1), "{name}: {times:?}");
}

#[test]
fn changes_are_seen_within_a_second_through_a_proxy_that_holds_answers_back() {
    let pair = Pair::new(
        |url| {
            let proxy = Proxy::start(url, Weather { holds_back: true, ..Weather::default() });
            let url = proxy.url.clone();
            std::mem::forget(proxy);
            url
        },
        0,
    );
    live_through("all answers held back", &pair);
}

/// nginx before a hub; ended when dropped.
struct Nginx(Child, #[allow(dead_code)] Place);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nginx(target: &str, more: &str) -> Option<(Nginx, String)> {
    let binary = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
    let Some(binary) = binary else {
        println!("skipped: nginx is not installed here (Debian: nginx-light)");
        return None;
    };
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let dir = place.at("").display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {dir}/{name};\n"))
        .collect();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log stderr warn;\nevents {{}}\nhttp {{\n{temporary}    access_log off;\n\
         \x20   server {{\n        listen 127.0.0.1:{port};\n        location / {{\n            proxy_pass {target};\n{more}        }}\n    }}\n}}\n"
    );
    let file = place.file("nginx.conf", &config);
    let child = Command::new(binary)
        .args(["-p", &dir, "-c"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("nginx starts");
    let nginx = Nginx(child, place);
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "nginx does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some((nginx, format!("http://127.0.0.1:{port}")))
}

#[test]
fn changes_are_seen_within_a_second_through_nginx_as_it_comes_and_where_it_buffers_all() {
    let buffers = "            proxy_ignore_headers X-Accel-Buffering;\n";
    for (name, more) in [("nginx as it comes", ""), ("nginx that buffers all", buffers)] {
        let mut server = None;
        let mut skipped = false;
        let pair = Pair::new(
            |url| match nginx(url, more) {
                Some((running, url)) => {
                    server = Some(running);
                    url
                }
                None => {
                    skipped = true;
                    url.to_owned()
                }
            },
            0,
        );
        if skipped {
            return;
        }
        live_through(name, &pair);
        drop(server);
    }
}

#[test]
fn a_link_whose_answers_vanish_in_a_real_network_comes_back_and_doubles_nothing() {
    let Some(net) = Namespace::new() else { return };
    net.is_bad();
    let place = Place::new();
    let (data, _) = hub(&place);
    let lines: String = (0..300).map(|n| format!("{{\"title\":\"order {n:04}\"}}\n")).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &net.name, env!("CARGO_BIN_EXE_outpost"), "serve", "--json", "--log", "warn"]);
    command.args(["--listen", &format!("{}:8080", net.there), "--data"]).arg(&data).stdout(Stdio::piped());
    let hub = Running::start(command);
    let url = hub.told["url"].as_str().expect("an address").to_owned();
    let invited = run(&data, &["node", "invite", "--json"]).json();
    let edge = place.at("edge");
    run(&edge, &["join", &url, "--token", invited["token"].as_str().expect("a token")]).good();
    let running = Running::serve(&edge);
    let until = |in_step: bool| {
        let began = Instant::now();
        while (run(&edge, &["sync", "status", "--json"]).json()["in_step"] == true) != in_step {
            assert!(began.elapsed() < PATIENCE, "{}", run(&edge, &["sync", "status"]).out);
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(true);
    // answers vanish on their way, as the edge's own questions do not
    net.inside(&["route", "add", "blackhole", &format!("{}/32", net.here)]);
    run_with(&edge, &["records", "import", "work-order", "-"], "{\"title\":\"sent into the dark\"}").good();
    until(false);
    std::thread::sleep(Duration::from_secs(2));
    net.inside(&["route", "del", "blackhole", &format!("{}/32", net.here)]);
    until(true);
    let held = run::titles(&data);
    assert_eq!(held.iter().filter(|title| *title == "sent into the dark").count(), 1);
    running.stop();
    hub.stop();
    assert_eq!(run::titles(&edge), held);
}

/// A network of its own with one cable to ours; removed when dropped.
struct Namespace {
    number: u32,
    name: String,
    here: String,
    there: String,
}

impl Namespace {
    fn new() -> Option<Self> {
        let number = std::process::id() % 60_000;
        let name = format!("outpost{number}");
        let net = Self {
            number,
            here: format!("10.219.{}.{}", number / 250, 1),
            there: format!("10.219.{}.{}", number / 250, 2),
            name: name.clone(),
        };
        let (ours, theirs) = (format!("op{number}a"), format!("op{number}b"));
        let (here, there) = (format!("{}/24", net.here), format!("{}/24", net.there));
        let steps: [&[&str]; 6] = [
            &["netns", "add", &name],
            &["link", "add", &ours, "type", "veth", "peer", "name", &theirs, "netns", &name],
            &["addr", "add", &here, "dev", &ours],
            &["link", "set", &ours, "up"],
            &["-n", &name, "addr", "add", &there, "dev", &theirs],
            &["-n", &name, "link", "set", &theirs, "up"],
        ];
        for step in steps {
            let done = Command::new("ip").args(step).output();
            match done {
                Ok(done) if done.status.success() => {}
                Ok(done) => {
                    println!("skipped: no network namespaces here: {}", String::from_utf8_lossy(&done.stderr).trim());
                    return None;
                }
                Err(err) => {
                    println!("skipped: no network namespaces here: ip: {err}");
                    return None;
                }
            }
        }
        Some(net)
    }

    /// Makes it far, lossy and narrow, where the kernel has what that needs.
    fn is_bad(&self) {
        let netem = "netem delay 300ms 50ms loss 2% rate 64kbit";
        let device = format!("op{}b", self.number);
        let done = Command::new("ip")
            .args(["netns", "exec", &self.name, "tc", "qdisc", "add", "dev", &device, "root"])
            .args(netem.split(' '))
            .output();
        match done {
            Ok(done) if done.status.success() => println!("{netem}"),
            Ok(done) => println!("without {netem}: {}", String::from_utf8_lossy(&done.stderr).trim()),
            Err(err) => println!("without {netem}: {err}"),
        }
    }

    fn inside(&self, what: &[&str]) {
        let done = Command::new("ip").args(["-n", &self.name]).args(what).output().expect("ip runs");
        assert!(done.status.success(), "{what:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}
