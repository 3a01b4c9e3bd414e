//! A wire between two nodes that counts what goes over it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub struct Counted {
    pub up: AtomicU64,
    pub down: AtomicU64,
    /// All that went up since it was last cleared.
    pub sent: Mutex<Vec<u8>>,
}

impl Counted {
    pub fn both(&self) -> u64 {
        self.up.load(Ordering::Relaxed) + self.down.load(Ordering::Relaxed)
    }

    /// The sizes of the bodies of requests to an address since it was last cleared.
    pub fn bodies(&self, address: &str) -> Vec<usize> {
        let sent = self.sent.lock().expect("no holder of this lock panics");
        let text = String::from_utf8_lossy(&sent).to_ascii_lowercase();
        let line = format!("post {address} http");
        let requests = text.match_indices(&line).map(|(at, _)| &text[at..]);
        let length = |request: &str| {
            let (head, _) = request.split_once("\r\n\r\n")?;
            head.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()
        };
        requests.filter_map(length).collect()
    }

    pub fn clear(&self) {
        self.sent.lock().expect("no holder of this lock panics").clear();
        self.up.store(0, Ordering::Relaxed);
        self.down.store(0, Ordering::Relaxed);
    }
}

/// Where it listens, and what it counts. It ends with the process.
pub fn between(hub: &str) -> (String, Arc<Counted>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (hub, counted) = (hub.to_owned(), Arc::new(Counted::default()));
    let counting = counted.clone();
    std::thread::spawn(move || {
        for edge in listener.incoming().flatten() {
            let Ok(hub) = TcpStream::connect(&hub) else { continue };
            for stream in [&edge, &hub] {
                stream.set_nodelay(true).expect("a socket");
            }
            let (one, other) = (edge.try_clone().expect("a socket"), hub.try_clone().expect("a socket"));
            let (up, down) = (counting.clone(), counting.clone());
            std::thread::spawn(move || {
                carry(one, other, |bytes| {
                    up.up.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    up.sent.lock().expect("no holder of this lock panics").extend_from_slice(bytes);
                });
            });
            std::thread::spawn(move || {
                carry(hub, edge, |bytes| {
                    down.down.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                });
            });
        }
    });
    (address, counted)
}

fn carry(mut from: TcpStream, mut to: TcpStream, count: impl Fn(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        count(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
