//! What one running server knows of itself: what it answered, and whether it is stopping.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Shared by all workers of one server.
#[derive(Debug)]
pub struct Run {
    started: Instant,
    stopping: watch::Sender<bool>,
    /// By method and by class of status.
    answered: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    /// Microseconds spent on all of them.
    spent: AtomicU64,
}

/// The methods that are told apart; the last stands for all others.
pub const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "other"];
pub const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

impl Default for Run {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            stopping: watch::Sender::new(false),
            answered: Default::default(),
            spent: AtomicU64::new(0),
        }
    }
}

impl Run {
    /// Ends the streams that would otherwise stay open. To be called before the server waits for open requests.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Turns true when the server is about to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Counts one answer.
    pub fn note(&self, method: &str, status: u16, spent: Duration) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        self.answered[method][class].fetch_add(1, Relaxed);
        self.spent.fetch_add(spent.as_micros().try_into().unwrap_or(u64::MAX), Relaxed);
    }

    /// How many answers there were, by method and class of status; zeros too.
    pub fn answered(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        METHODS.into_iter().zip(&self.answered).flat_map(|(method, row)| {
            CLASSES.into_iter().zip(row).map(move |(class, count)| (method, class, count.load(Relaxed)))
        })
    }

    pub fn spent(&self) -> Duration {
        Duration::from_micros(self.spent.load(Relaxed))
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
