//! `outpost backup` and `outpost restore`: all that a node knows as one file, and back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use outpost::node::{Caches, Identity, NodeRole};
use outpost::store::archive::{BadArchive, Index, Reader, Writer};
use outpost::store::backup::{Made, back_up};
use outpost::store::blob::{self, BlobFiles};
use outpost::store::restore::{RestoreError, restore};
use outpost::store::{Sqlite, Store};
use outpost::world::SystemWorld;
use serde_json::json;

use super::host::{self, Absent, DATABASE};
use super::lock::Lock;
use super::{Failure, Result, print};
use crate::config::Settings;

/// Write all that this node knows into one file, while it runs or not
///
/// Everything is of one moment: records with their history, the bin, types, people, tokens, edges, what waits to be
/// sent, and the photos and files that are here. Saves go on meanwhile. The file holds password hashes and credentials: keep it as safe as the node itself.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost backup /mnt/backup/tern-bay-2026-11-24.outpost")]
pub struct Backup {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write over a file that is there
    #[arg(long, env = "OUTPOST_FORCE", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    force: bool,
}

/// Bring a node back from a backup, into a new directory
///
/// Every part of the file is checked. If it is interrupted, the same command begins again; until it is done nothing serves the
/// directory. The original must not run any more.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost restore /mnt/backup/tern-bay-2026-11-24.outpost --data /var/lib/outpost")]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Where files are as long as a restore is not done.
const UNFINISHED_FILES: &str = "outpost.db.restoring-files";

pub async fn back_up_to(backup: Backup, settings: &Settings) -> Result<()> {
    let (dir, file) = (&settings.data, &backup.file);
    if !host::has_database(dir) {
        return Err(host::no_node(dir));
    }
    if file.exists() && !backup.force {
        return Err(Failure::new(format!(
            "{} is there already; name another file, or write over it with --force",
            file.display()
        )));
    }
    if file.is_dir() {
        return Err(Failure::new(format!("{} is a directory; name a file in it", file.display())));
    }
    note_backup(settings).await?;
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unwritten = |err: &io::Error| Failure::new(format!("{} cannot be written: {err}", file.display()));
    // only for this user: it holds secrets
    let part =
        tempfile::Builder::new().prefix(".outpost-backup-").tempfile_in(parent).map_err(|err| unwritten(&err))?;
    let writer = part.reopen().and_then(Writer::new).map_err(|err| unwritten(&err))?;
    let mut progress = print::Progress::new("backing up records", None);
    let mut told = |done, total| progress.set_of(done, total);
    let files = BlobFiles::at(dir);
    let made = back_up(&dir.join(DATABASE), &files, writer, outpost::node::World::now(&SystemWorld), &mut told).await;
    drop(progress);
    let made = made.map_err(|err| match err {
        outpost::store::StoreError::Full => {
            Failure::new(format!("the disk of {} is full; free some space and try again", file.display()))
        }
        outpost::store::StoreError::ReadOnly(why) => {
            Failure::new(format!("{} cannot be written: {why}", file.display()))
        }
        other => Failure::new(format!("{}: {other}", dir.display())),
    })?;
    let kept = if backup.force { part.persist(file) } else { part.persist_noclobber(file) };
    kept.map_err(|err| unwritten(&err.error))?;
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(|err| unwritten(&err))?;
    told_of(&made, file, settings)
}

/// Has the node note that it may be put back to what it is now, so that nothing is forgotten that this would bring back.
async fn note_backup(settings: &Settings) -> Result<()> {
    let _: serde_json::Value = host::asked(settings, Absent::Refused, "backup", host::Ask::BackingUp).await?;
    Ok(())
}

fn told_of(made: &Made, file: &Path, settings: &Settings) -> Result<()> {
    for partition in &made.differing {
        print::note(format_args!(
            "the digest kept of {partition} is not that of its records; they are backed up as they are: see `outpost doctor`"
        ));
    }
    if made.unreadable > 0 {
        print::note(format_args!(
            "{} records cannot be read and are backed up as they stand: see `outpost doctor`",
            made.unreadable
        ));
    }
    let index = &made.index;
    if settings.json {
        return print::json(&json!({
            "file": file,
            "bytes": made.bytes,
            "records": index.records(),
            "files": index.files.count,
            "node": index.name,
            "role": index.role,
            "made_at": print::rfc3339(index.made_at),
            "unreadable": made.unreadable,
        }));
    }
    print::line(format_args!(
        "{} holds all of {}: {} records{} in {} bytes",
        file.display(),
        index.name,
        index.records(),
        and_files(index),
        made.bytes
    ))
}

fn and_files(index: &Index) -> String {
    match index.files.count {
        0 => String::new(),
        1 => " and 1 file".into(),
        count => format!(" and {count} files"),
    }
}

pub async fn restore_from(command: Restore, settings: &Settings) -> Result<()> {
    let (dir, file) = (&settings.data, &command.file);
    let opened = File::open(file).map_err(|err| Failure::of_file(file, &err))?;
    let reader = Reader::open(opened).map_err(|err| bad(file, &err))?;
    let index = reader.index.clone();
    let made_here = !dir.exists();
    let lock = host::take_lock(dir, "restore").await?;
    let restored = restore_into(dir, file, reader).await;
    drop(lock);
    if restored.is_err() && made_here {
        // what cannot be removed is empty
        let _ = fs::remove_file(dir.join(Lock::FILE));
        let _ = fs::remove_dir(dir);
    }
    let identity = restored?;
    done(&index, &identity, dir, settings)
}

fn bad(file: &Path, err: &BadArchive) -> Failure {
    Failure::new(format!("{} cannot be restored: {err}; nothing was changed", file.display()))
}

async fn restore_into(dir: &Path, file: &Path, reader: Reader) -> Result<Identity> {
    must_be_empty(dir)?;
    let unfinished = dir.join(host::UNFINISHED);
    remove_unfinished(dir);
    let files = BlobFiles::at(&dir.join(UNFINISHED_FILES));
    let filled = fill(&unfinished, &files, reader).await.map_err(|err| match err {
        Unfilled::Backup(RestoreError::Archive(err)) => bad(file, &err),
        Unfilled::Backup(RestoreError::Store(err)) => err.into(),
        Unfilled::Other(failure) => failure,
    });
    let identity = match filled {
        Ok(identity) => identity,
        Err(failure) => {
            remove_unfinished(dir);
            return Err(failure);
        }
    };
    if files.place().exists() {
        fs::rename(files.place(), dir.join(blob::PLACE)).map_err(|err| Failure::of_data(dir, &err))?;
        // it is empty now
        let _ = fs::remove_dir(dir.join(UNFINISHED_FILES));
    }
    // from here on it is a node
    fs::rename(&unfinished, dir.join(DATABASE)).map_err(|err| Failure::of_data(dir, &err))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|err| Failure::of_data(dir, &err))?;
    Ok(identity)
}

enum Unfilled {
    Backup(RestoreError),
    Other(Failure),
}

impl<E: Into<Failure>> From<E> for Unfilled {
    fn from(err: E) -> Self {
        Self::Other(err.into())
    }
}

async fn fill(path: &Path, files: &BlobFiles, reader: Reader) -> Result<Identity, Unfilled> {
    let mut progress = print::Progress::new("restoring records", Some(reader.index.records()));
    restore(path, files, reader, &mut |done, _| progress.set(done)).await.map_err(Unfilled::Backup)?;
    drop(progress);
    let store = Sqlite::open(path, Arc::new(Caches::default()), Default::default()).await?;
    let settled = Identity::settle_restored(&store, &SystemWorld).await;
    store.close().await;
    let identity = settled?;
    let log = path.with_extension("restoring-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(Unfilled::Other(Failure::new(format!(
            "the log of {} did not go into it; try again",
            path.display()
        ))));
    }
    Ok(identity)
}

/// Only what a restore that was interrupted left may be there.
fn must_be_empty(dir: &Path) -> Result<()> {
    if host::has_database(dir) {
        return Err(Failure::new(format!(
            "there is a node in {} already; restore into a new directory with --data",
            dir.display()
        )));
    }
    let entries = fs::read_dir(dir).map_err(|err| Failure::of_data(dir, &err))?;
    for entry in entries {
        let entry = entry.map_err(|err| Failure::of_data(dir, &err))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name == blob::PLACE && dir.join(host::UNFINISHED).exists();
        if name != Lock::FILE && !name.starts_with(host::UNFINISHED) && !is_ours {
            return Err(Failure::new(format!(
                "{} is not empty: it holds {name}; restore into a new directory with --data",
                dir.display()
            )));
        }
    }
    Ok(())
}

fn remove_unfinished(dir: &Path) {
    if dir.join(host::UNFINISHED).exists() {
        for files in [UNFINISHED_FILES, blob::PLACE] {
            // what is not there need not go
            let _ = fs::remove_dir_all(dir.join(files));
        }
    }
    for more in ["", "-wal", "-shm", "-journal"] {
        // what is not there need not go
        let _ = fs::remove_file(dir.join(format!("{}{more}", host::UNFINISHED)));
    }
}

fn done(index: &Index, identity: &Identity, dir: &Path, settings: &Settings) -> Result<()> {
    if settings.json {
        return print::json(&json!({
            "data": dir,
            "node": identity.name,
            "role": index.role,
            "records": index.records(),
            "files": index.files.count,
            "made_at": print::rfc3339(index.made_at),
        }));
    }
    let made_at = print::rfc3339(index.made_at);
    let (records, files) = (index.records(), and_files(index));
    print::line(format_args!("{} is back as it was at {made_at}, with {records} records{files}.", identity.name))?;
    if let NodeRole::Edge(upstream) = &identity.role {
        print::line(format_args!("It fetches what is newer from {} at {}.", upstream.name, upstream.url))?;
    }
    print::line(format_args!("Run it with: outpost serve --data {}", dir.display()))
}
