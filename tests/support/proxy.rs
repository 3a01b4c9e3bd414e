//! A bad network in one process: stands between an edge and its hub, and delays, slows, cuts, resets or holds back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How the network is; may change at any time.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// For each direction.
    pub delay: Duration,
    /// Bytes a second in each direction; 0 for as fast as it goes.
    pub rate: u64,
    /// Every connection is reset after about so many bytes of answers; 0 for never.
    pub reset_after: u64,
    /// What the edge sends vanishes.
    pub deaf: bool,
    /// What the hub answers vanishes.
    pub mute: bool,
    /// An answer is passed on only when it is complete; a stream never is.
    pub holds_back: bool,
}

pub struct Proxy {
    pub url: String,
    inner: Arc<Inner>,
}

struct Inner {
    weather: Mutex<Weather>,
    /// Connections of an earlier generation are reset.
    generation: AtomicU64,
    opened: AtomicUsize,
    bytes: AtomicU64,
}

const TICK: Duration = Duration::from_millis(20);

impl Proxy {
    /// Before the node at `url`, which need not be there yet.
    pub fn start(url: &str, weather: Weather) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let inner = Arc::new(Inner {
            weather: Mutex::new(weather),
            generation: AtomicU64::new(0),
            opened: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
        });
        let shared = inner.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let number = shared.opened.fetch_add(1, Relaxed);
                let Ok(node) = TcpStream::connect(&target) else { continue };
                let generation = shared.generation.load(Relaxed);
                for up in [true, false] {
                    let (from, to) = if up { (&client, &node) } else { (&node, &client) };
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let pipe = Pipe { up, number, generation, inner: shared.clone() };
                    thread::spawn(move || pipe.run(from, to));
                }
            }
        });
        Self { url, inner }
    }

    pub fn set(&self, weather: Weather) {
        *self.inner.weather.lock().expect("no holder of this lock panics") = weather;
    }

    /// Forgets all connections, as a router does that was restarted.
    pub fn reset(&self) {
        self.inner.generation.fetch_add(1, Relaxed);
    }

    pub fn opened(&self) -> usize {
        self.inner.opened.load(Relaxed)
    }

    /// How many bytes came through, both ways.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes.load(Relaxed)
    }
}

/// One direction of a connection.
struct Pipe {
    up: bool,
    number: usize,
    generation: u64,
    inner: Arc<Inner>,
}

impl Pipe {
    fn weather(&self) -> Weather {
        self.inner.weather.lock().expect("no holder of this lock panics").clone()
    }

    fn run(&self, mut from: TcpStream, mut to: TcpStream) {
        from.set_read_timeout(Some(TICK)).expect("a timeout");
        // a reset in either direction ends both
        let ended = self.pump(&mut from, &mut to);
        let how = if ended.is_ok() { Shutdown::Write } else { Shutdown::Both };
        let _ = to.shutdown(how);
        if ended.is_err() {
            let _ = from.shutdown(how);
        }
    }

    /// `Ok` at the end of what one side has to say.
    fn pump(&self, from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<()> {
        let mut chunk = [0; 4096];
        let (mut passed, mut held) = (0u64, Held::default());
        // what is on its way, with the moment it arrives
        let mut on_its_way: std::collections::VecDeque<(Instant, Vec<u8>)> = Default::default();
        let mut ended = false;
        loop {
            if self.inner.generation.load(Relaxed) != self.generation {
                return Err(ErrorKind::ConnectionReset.into());
            }
            let weather = self.weather();
            let vanishes = if self.up { weather.deaf } else { weather.mute };
            if !ended {
                match from.read(&mut chunk) {
                    Ok(0) => ended = true,
                    Ok(count) if vanishes => passed += count as u64,
                    Ok(count) => {
                        let bytes = if !self.up && weather.holds_back {
                            held.take(&chunk[..count])
                        } else {
                            chunk[..count].to_vec()
                        };
                        on_its_way.push_back((Instant::now() + weather.delay, bytes));
                    }
                    Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(err) => return Err(err),
                }
            } else if !on_its_way.is_empty() {
                thread::sleep(Duration::from_millis(1));
            }
            while on_its_way.front().is_some_and(|(at, _)| *at <= Instant::now()) {
                let Some((_, bytes)) = on_its_way.pop_front() else { break };
                if weather.rate > 0 {
                    thread::sleep(Duration::from_secs_f64(bytes.len() as f64 / weather.rate as f64));
                }
                to.write_all(&bytes)?;
                passed += bytes.len() as u64;
                self.inner.bytes.fetch_add(bytes.len() as u64, Relaxed);
                // not all after as many, so that what is begun again and again gets somewhere
                let limit = weather.reset_after * (1 + self.number as u64 % 7) / 4;
                if !self.up && limit > 0 && passed > limit {
                    return Err(ErrorKind::ConnectionReset.into());
                }
            }
            if ended && on_its_way.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Answers that are not complete.
#[derive(Default)]
struct Held(Vec<u8>);

impl Held {
    /// Takes more bytes and lets go of the answers that are complete now.
    fn take(&mut self, more: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(more);
        let mut whole = Vec::new();
        while let Some(end) = self.end() {
            whole.extend(self.0.drain(..end));
        }
        whole
    }

    fn end(&self) -> Option<usize> {
        let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|part| part == what);
        let head = find(&self.0, b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.0[..head]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let end = match length {
            Some(length) => head + length,
            None if text.contains("transfer-encoding: chunked") => head + find(&self.0[head..], b"0\r\n\r\n")? + 5,
            None => head,
        };
        (self.0.len() >= end).then_some(end)
    }
}
