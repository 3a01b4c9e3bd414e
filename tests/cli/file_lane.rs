//! Photos and files under power cuts and on full disks: what was answered is there, what is in sight is whole, and whatever
//! was on its way goes on where it was. `OUTPOST_KILLS` and `OUTPOST_SEED` choose how often and when.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use outpost::domain::blob::{BlobHash, CHUNK};
use outpost::store::blob::{Arrived, BlobFiles, hash_of};

use crate::bundle_files::{has, photo, put, refer, types, waiting};
use crate::bundles::{Site, healthy, text};
use crate::directory::Mounted;
use crate::run::{Place, Running, http, outpost, run};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn token(data: &Path) -> String {
    let made = run(data, &["token", "create", "--name", "files", "--role", "admin", "--json"]).json();
    made["token"].as_str().expect("a token").to_owned()
}

/// Sends some bytes of a file; an error says that no whole answer came.
fn send(url: &str, token: &str, bytes: &[u8], from: usize) -> std::io::Result<u16> {
    let (hash, size) = (hash_of(bytes), bytes.len());
    let address = url.strip_prefix("http://").expect("a plain address");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let rest = &bytes[from..size.min(from + 300_000)];
    let head = format!(
        "PUT /api/v1/blobs/{hash}?offset={from}&size={size} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        rest.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(rest)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let status = std::str::from_utf8(answer.get(9..12).unwrap_or_default()).ok().and_then(|text| text.parse().ok());
    status.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// Uploads from where each file is, and again and again, until something gives way. Those that were answered as whole.
fn upload(url: &str, token: &str, data: &Path, photos: &[Vec<u8>], stop: &AtomicBool) -> Vec<BlobHash> {
    let mut answered = Vec::new();
    for bytes in photos {
        while !stop.load(Relaxed) {
            let from = match BlobFiles::at(data).arrived(hash_of(bytes)) {
                Arrived::Whole => bytes.len(),
                Arrived::Bytes(have) => have as usize,
            };
            match send(url, token, bytes, from) {
                Ok(200 | 201) => {
                    answered.push(hash_of(bytes));
                    break;
                }
                Ok(202) => {}
                Ok(status) => panic!("{status} for {} from {from}", hash_of(bytes)),
                Err(_) => return answered,
            }
        }
    }
    answered
}

/// How much of each file is here; what is in sight has to be whole.
fn arrived(data: &Path, photos: &[Vec<u8>]) -> BTreeMap<BlobHash, u64> {
    let files = BlobFiles::at(data);
    for hash in files.all().expect("it lists") {
        assert!(files.is_sound(hash).expect("it reads"), "{hash} is in sight in {}", data.display());
    }
    let so_far = |bytes: &Vec<u8>| match files.arrived(hash_of(bytes)) {
        Arrived::Whole => bytes.len() as u64,
        Arrived::Bytes(have) => have,
    };
    photos.iter().map(|bytes| (hash_of(bytes), so_far(bytes))).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn every_file_that_was_answered_is_on_both_nodes_after_any_number_of_power_cuts() {
    let kills = number("OUTPOST_KILLS", 8);
    let mut seed = number("OUTPOST_SEED", u64::from(std::process::id()));
    println!("{kills} kills, OUTPOST_SEED={seed}");
    let mut below = |end: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % end
    };
    let site = Site::new();
    types(&site);
    let tokens = [token(&site.hub), token(&site.edge)];
    let dirs = [site.hub.clone(), site.edge.clone()];
    let some = |seed: u64| -> Vec<Vec<u8>> {
        (0..kills.min(24)).map(|n| photo(seed + n, 400_000 + 700_000 * (n as usize % 4))).collect()
    };
    let photos = [some(100), some(200)];
    for (data, photos) in dirs.iter().zip(&photos) {
        photos.iter().for_each(|bytes| refer(data, "platform-7", bytes));
    }
    let all: Vec<Vec<u8>> = photos.iter().flatten().cloned().collect();
    let mut before = dirs.each_ref().map(|data| arrived(data, &all));
    let mut answered: [Vec<BlobHash>; 2] = Default::default();
    let mut nodes = [Some(site.serve_hub()), Some(Running::serve(&site.edge))];
    let mut gone_on = 0;
    for _ in 0..kills {
        let stop = AtomicBool::new(false);
        let urls = nodes.each_ref().map(|node| {
            let told = &node.as_ref().expect("it runs").told;
            told["url"].as_str().expect("an address").to_owned()
        });
        std::thread::scope(|scope| {
            let uploads: Vec<_> = (0..2)
                .map(|at| {
                    let (url, token, data, photos) = (&urls[at], &tokens[at], &dirs[at], &photos[at]);
                    let stop = &stop;
                    scope.spawn(move || upload(url, token, data, photos, stop))
                })
                .collect();
            std::thread::sleep(Duration::from_millis(20 + below(400)));
            let which = below(3);
            for (at, node) in nodes.iter_mut().enumerate() {
                if which == 2 || which == at as u64 {
                    node.take().expect("it runs").kill();
                }
            }
            stop.store(true, Relaxed);
            for (at, upload) in uploads.into_iter().enumerate() {
                answered[at].extend(upload.join().expect("an upload"));
            }
        });
        let now = dirs.each_ref().map(|data| arrived(data, &all));
        for (now, before) in now.iter().zip(&before) {
            for (hash, so_far) in now {
                assert!(*so_far >= before[hash], "{hash} began again: {so_far} after {}", before[hash]);
                gone_on += u64::from(before[hash] > 0 && *so_far > before[hash]);
            }
        }
        before = now;
        for (at, node) in nodes.iter_mut().enumerate() {
            if node.is_none() {
                *node = Some(if at == 0 { site.serve_hub() } else { Running::serve(&site.edge) });
            }
        }
    }
    println!("{} uploads answered; parts went on {gone_on} times", answered[0].len() + answered[1].len());
    let stop = AtomicBool::new(false);
    for at in 0..2 {
        let url = nodes[at].as_ref().expect("it runs").told["url"].as_str().expect("an address").to_owned();
        let rest = upload(&url, &tokens[at], &dirs[at], &photos[at], &stop);
        assert_eq!(rest.len(), photos[at].len(), "each of them can be ended");
    }
    let whole = |data: &PathBuf| all.iter().all(|bytes| has(data, bytes));
    until("the files do not come over", || dirs.iter().all(whole) && waiting(&site.edge) == [0, 0]);
    let edge = nodes[1].as_ref().expect("it runs").told["url"].as_str().expect("an address").to_owned();
    for bytes in &all {
        let (status, state) = http(&edge, "GET", &format!("/api/v1/blobs/{}/state", hash_of(bytes)), &tokens[1], None);
        assert_eq!((status, state["state"].as_str()), (200, Some("at-hub")), "{state}");
    }
    for node in nodes {
        node.expect("it runs").stop();
    }
    for data in &dirs {
        healthy(data);
        let left = fs::read_dir(data.join("blobs/coming")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing half is left in {}", data.display());
    }
}

/// Puts the files of a node on a small disk.
struct Small {
    blobs: PathBuf,
    disk: PathBuf,
    _mounted: Mounted,
}

impl Small {
    fn of(data: &Path, place: &Place) -> Option<Self> {
        let disk = place.at("small");
        fs::create_dir(&disk).expect("a directory of our own");
        let Some(mounted) = Mounted::small(&disk) else {
            eprintln!("no small disk can be mounted here; not tested");
            return None;
        };
        let blobs = data.join("blobs");
        assert!(!blobs.exists(), "no file came yet");
        std::os::unix::fs::symlink(&disk, &blobs).expect("ours");
        Some(Self { blobs, disk, _mounted: mounted })
    }

    /// The same files, on a large one.
    fn grow(&self) {
        let larger = self.blobs.with_extension("larger");
        let copied = Command::new("cp").arg("-r").arg(&self.disk).arg(&larger).status();
        assert!(copied.is_ok_and(|status| status.success()));
        fs::remove_file(&self.blobs).expect("ours");
        fs::rename(&larger, &self.blobs).expect("ours");
    }
}

#[test]
fn a_full_disk_at_the_hub_holds_up_its_files_alone_and_they_go_on_with_room() {
    full(true);
}

#[test]
fn a_full_disk_on_an_edge_holds_up_its_files_alone_and_they_go_on_with_room() {
    full(false);
}

fn full(at_hub: bool) {
    let (place, site) = (Place::new(), Site::new());
    types(&site);
    let (to, from) = if at_hub { (&site.hub, &site.edge) } else { (&site.edge, &site.hub) };
    let Some(small) = Small::of(to, &place) else { return };
    let photos: Vec<Vec<u8>> = (300..305).map(|seed| photo(seed, 900_000)).collect();
    for bytes in &photos {
        refer(from, "platform-7", bytes);
        put(from, bytes);
    }
    let (hub, edge) = (site.serve_hub(), Running::serve(&site.edge));
    let whole = || photos.iter().filter(|bytes| has(to, bytes)).count();
    until("what has room comes", || whole() >= 2);
    let coming = || {
        fs::read_dir(to.join("blobs/coming")).map_or(0, |coming| {
            coming.flatten().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum::<u64>()
        })
    };
    until("the rest comes as far as there is room", || coming() >= CHUNK / 2 || whole() > 3 || coming() == 0);
    // records go on
    refer(from, "platform-7", &photo(310, 5));
    until("records wait for files", || {
        let _ = run(&site.edge, &["sync", "now"]);
        run(to, &["records", "export", "snag"]).good().lines().count() == 6
    });
    let status = run(&site.edge, &["sync", "status", "--json"]).json();
    assert_eq!(status["pending_out"], 0, "{status}");
    assert!(whole() < photos.len());
    // somebody who uploads is told
    if at_hub {
        let token = token(&site.hub);
        let url = hub.told["url"].as_str().expect("an address");
        let mut seen = Vec::new();
        for seed in 320..324 {
            let bytes = photo(seed, 290_000);
            seen.push(send(url, &token, &bytes, 0).expect("an answer"));
        }
        assert!(seen.contains(&507), "{seen:?}");
    }
    edge.stop();
    hub.stop();
    arrived(to, &photos);
    healthy(to);
    small.grow();
    let (hub, edge) = (site.serve_hub(), Running::serve(&site.edge));
    put(from, &photo(310, 5));
    until("with room all come", || whole() == photos.len());
    edge.stop();
    hub.stop();
    healthy(to);
}

#[test]
fn a_backup_with_files_that_is_killed_or_has_no_room_leaves_nothing_half_and_so_does_its_restore() {
    let (place, site) = (Place::new(), Site::new());
    types(&site);
    let photos: Vec<Vec<u8>> = (400..408).map(|seed| photo(seed, 1_500_000)).collect();
    for bytes in &photos {
        refer(&site.hub, "platform-7", bytes);
        put(&site.hub, bytes);
    }
    let backup = place.at("whole.backup");
    run(&site.hub, &["backup", text(&backup)]).good();
    let kill = |args: &[&str], data: &Path, after: u64| {
        let mut command = outpost();
        command.args(args).arg("--data").arg(data).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(after));
        let was_killed = child.try_wait().expect("it can be asked").is_none();
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        was_killed
    };
    let mut killed = [0, 0];
    for round in 0..8 {
        let file = place.at(&format!("{round}.backup"));
        killed[0] += u64::from(kill(&["backup", text(&file)], &site.hub, 15 + 25 * round));
        if file.exists() {
            let back = place.at(&format!("of-{round}"));
            run(&back, &["restore", text(&file)]).good();
            assert!(photos.iter().all(|bytes| has(&back, bytes)), "a backup in sight is whole");
        }
        let back = place.at(&format!("back-{round}"));
        killed[1] += u64::from(kill(&["restore", text(&backup)], &back, 15 + 25 * round));
        let again = run(&back, &["restore", text(&backup)]);
        // it may have come to its end just before
        if again.status != 0 {
            assert!(back.join("outpost.db").exists(), "{}", again.err);
        }
        assert!(photos.iter().all(|bytes| has(&back, bytes)));
        healthy(&back);
    }
    assert!(killed[0] > 0 && killed[1] > 0, "{killed:?} were killed: it is too fast");

    let small = place.at("small");
    fs::create_dir(&small).expect("a directory of our own");
    let Some(_mounted) = Mounted::small(&small) else {
        eprintln!("no small disk can be mounted here; not tested");
        return;
    };
    let onto = small.join("a.backup");
    let refused = run(&site.hub, &["backup", text(&onto)]);
    assert!(refused.failed().contains("full"), "{}", refused.err);
    assert_eq!(fs::read_dir(&small).expect("it lists").count(), 0, "nothing of it is left");
    let back = small.join("back");
    let refused = run(&back, &["restore", text(&backup)]);
    assert!(refused.failed().contains("full"), "{}", refused.err);
    assert!(!back.join("outpost.db").exists(), "half of a node is none");
    healthy(&site.hub);
}
