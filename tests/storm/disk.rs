//! What outlives a process: the model store, or the files of a real database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use outpost::node::Caches;
use outpost::store::{Judge, Model, Options, Sqlite, Store};
use sqlx::{ConnectOptions, Connection, Row};

use crate::people::Fixed;

/// Where everything runs: at once, or on one thread with a real database beside it.
pub struct Ground {
    runtime: Option<tokio::runtime::Runtime>,
    place: Option<tempfile::TempDir>,
    copies: AtomicU64,
    typed: bool,
}

impl Ground {
    pub fn new(sqlite: bool, typed: bool) -> Self {
        let runtime = sqlite.then(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().build().expect("a runtime starts")
        });
        // memory is as good a disk as any for one that is never unplugged, and does not wait
        let place = sqlite.then(|| {
            tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("there is a place for files")
        });
        Self { runtime, place, copies: AtomicU64::new(0), typed }
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => work.now_or_never().expect("the model store never waits"),
        }
    }

    /// What a new store knows of types.
    fn judge(&self) -> (Arc<dyn Judge>, Option<Arc<Caches>>) {
        if self.typed {
            let caches = Arc::new(Caches::default());
            (caches.clone(), Some(caches))
        } else {
            (Arc::new(Fixed), None)
        }
    }

    fn path(&self) -> Option<PathBuf> {
        let copy = self.copies.fetch_add(1, Ordering::Relaxed);
        Some(self.place.as_ref()?.path().join(format!("{copy}.db")))
    }
}

#[derive(Clone)]
pub struct Disk {
    pub kept: Kept,
    /// What its store knows of types, where they are real.
    pub caches: Option<Arc<Caches>>,
}

#[derive(Clone)]
pub enum Kept {
    Memory(Arc<Model>),
    Files(Arc<Sqlite>, PathBuf),
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// Nothing in a storm may be random, and no two openings may give numbers in the same run.
fn options(ground: &Ground) -> Options {
    Options { readers: 1, first_run: Some(ground.copies.load(Ordering::Relaxed)), ..Options::default() }
}

impl Disk {
    pub fn empty(ground: &Ground) -> Self {
        let (judge, caches) = ground.judge();
        let kept = match ground.path() {
            None => Kept::Memory(Arc::new(Model::new(judge))),
            Some(path) => {
                let store = ground.run(Sqlite::open(&path, judge, options(ground))).expect("a new database opens");
                Kept::Files(Arc::new(store), path)
            }
        };
        Disk { kept, caches }
    }

    pub fn store(&self) -> Arc<dyn Store> {
        match &self.kept {
            Kept::Memory(model) => model.clone(),
            Kept::Files(store, _) => store.clone(),
        }
    }

    /// The log of the database, to be torn.
    pub fn log(&self) -> Option<PathBuf> {
        match &self.kept {
            Kept::Memory(_) => None,
            Kept::Files(_, path) => Some(log_of(path)),
        }
    }

    /// A copy of what is on it now, at any moment; of the log only so many bytes.
    pub fn copy(&self, ground: &Ground, log_bytes: Option<u64>) -> Self {
        let (judge, caches) = ground.judge();
        let kept = match &self.kept {
            Kept::Memory(model) => Kept::Memory(Arc::new(model.copy(judge))),
            Kept::Files(_, from) => {
                let to = ground.path().expect("files have a place");
                std::fs::copy(from, &to).expect("the database is copied");
                if log_of(from).exists() {
                    std::fs::copy(log_of(from), log_of(&to)).expect("the log is copied");
                    if let Some(bytes) = log_bytes {
                        let log = std::fs::File::options().write(true).open(log_of(&to)).expect("the log is there");
                        log.set_len(bytes).expect("the log is cut");
                    }
                }
                let store = ground.run(async {
                    let store = Sqlite::open(&to, judge, options(ground)).await.expect("a copied database opens");
                    check_integrity(&to).await;
                    store
                });
                Kept::Files(Arc::new(store), to)
            }
        };
        Disk { kept, caches }
    }

    /// Nobody needs it any more.
    pub fn discard(&self, ground: &Ground) {
        if let Kept::Files(store, path) = &self.kept {
            ground.run(store.close());
            for path in [path.clone(), log_of(path), path.with_extension("db-shm")] {
                // the log is gone already when the database was closed well
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

async fn check_integrity(path: &Path) {
    let connect = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut conn = connect.connect().await.expect("the database opens");
    let row = sqlx::query("pragma integrity_check").fetch_one(&mut conn).await.expect("it is checked");
    assert_eq!(row.get::<String, _>(0), "ok", "the database is damaged");
    conn.close().await.expect("it closes");
}
