//! `outpost bundle`: sync where there is no link, by files that people carry.
//!
//! The command reads and writes the file; what is in it is made and taken in by whoever serves the node, a few megabytes at a
//! time.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Subcommand};
use data_encoding::BASE64;
use outpost::domain::ids::NodeId;
use outpost::node::World as _;
use outpost::sync::bundle::file::{Reader, Writer, unpack};
use outpost::sync::bundle::{BadBundle, BundleError, Files, Header, Key, Next, Piece, Taken, Way};
use outpost::world::SystemWorld;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::host::{self, Absent, Host, Served};
use super::{Failure, Result, answer, print};
use crate::config::Settings;

/// About so many bytes are made or taken in at once.
const ROOM: usize = 12 << 20;

#[derive(Debug, Subcommand)]
pub enum Bundle {
    Export(Export),
    Import(Import),
}

/// Write what the other side lacks into one file, to be carried there
///
/// On an edge: all that it saved and its hub has not acknowledged, and how far it is. On a hub, with --for: what that edge
/// lacks, and which of its saves are here. It works while the node serves. A bundle may be lost, come late or be imported
/// twice: the next one has again what is missing. Photos and files that records in it refer to go with it. Whoever has the
/// file can read it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outpost bundle export /media/stick/platform-7.bundle\n  outpost bundle export /media/stick/for-platform-7.bundle --for \"Platform 7\""
)]
pub struct Export {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The edge that it is for: its id or its name, as `outpost node list` shows them
    #[arg(long = "for", env = "OUTPOST_FOR", value_name = "NODE")]
    to: Option<String>,
    /// For a new edge that joins by this bundle: a token of `outpost node invite`, which it has to be told, too
    #[arg(long, env = "OUTPOST_TOKEN", hide_env_values = true, conflicts_with = "to")]
    token: Option<String>,
    /// Leave out photos and files, for a stick that is too small
    #[arg(long, env = "OUTPOST_NO_FILES", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    no_files: bool,
    /// Write over a file that is there
    #[arg(long, env = "OUTPOST_FORCE", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    force: bool,
}

/// Take in a bundle that the other side wrote
///
/// It does what the same would do over a link, and again changes nothing. A file that was cut, damaged, altered, or made for
/// another node is refused as a whole.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost bundle import /media/stick/platform-7.bundle")]
pub struct Import {
    /// The bundle
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    Begin {
        to: Option<String>,
        token: Option<String>,
        files: bool,
    },
    More {
        next: Next,
    },
    Key {
        header: Header,
    },
    /// The pieces as they stand in the file, in base64.
    Take {
        header: Header,
        pieces: Vec<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    header: Header,
    key: Key,
    next: Next,
}

#[derive(Debug, Serialize, Deserialize)]
struct More {
    /// In base64.
    pieces: Vec<String>,
    next: Option<Next>,
    files: Files,
}

impl From<BundleError> for Failure {
    fn from(err: BundleError) -> Self {
        match err {
            BundleError::Store(err) => err.into(),
            other => Self::new(other.to_string()),
        }
    }
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    match ask {
        Ask::Begin { to, token, files } => {
            let edge = match (to, token) {
                (None, None) => None,
                (_, Some(token)) => {
                    on.must_serve()?;
                    Some(on.hub.enrol_by_bundle(&token).await?)
                }
                (Some(to), None) => {
                    on.must_serve()?;
                    Some(named(on, &to).await?)
                }
            };
            let (header, key, next) = match (edge, on.edge_side()) {
                (Some(edge), _) => on.hub.begin_bundle(edge, files).await?,
                (None, Some(side)) => side.begin(files).await?,
                (None, None) => {
                    return Err(Failure::usage(
                        "say which edge it is for, with --for; `outpost node list` shows which there are",
                    ));
                }
            };
            answer(Begun { header, key, next })
        }
        Ask::More { next } => {
            let packed = match (next, on.edge_side()) {
                (Next::Down { edge, begun, routes, files }, _) => {
                    on.hub.more_of_bundle(edge, begun, routes, files, ROOM).await?
                }
                (Next::Files { edge: Some(edge), sending }, _) => {
                    on.hub.more_files_of_bundle(edge, sending, ROOM).await?
                }
                (Next::Up { begun, after, files }, Some(side)) => side.more(begun, after, files, ROOM).await?,
                (Next::Files { edge: None, sending }, Some(side)) => side.more_files(sending, ROOM).await?,
                (Next::Up { .. } | Next::Files { edge: None, .. }, None) => {
                    return Err(Failure::new("this node has no hub"));
                }
            };
            let pieces = packed.pieces.iter().map(|piece| BASE64.encode(piece)).collect();
            answer(More { pieces, next: packed.next, files: packed.files })
        }
        Ask::Key { header } => match on.edge_side() {
            Some(side) if header.way == Way::Down || header.edge == side.identity.node => answer(side.key(&header)?),
            _ => answer(on.hub.key_of_bundle(&header).await?),
        },
        Ask::Take { header, pieces } => {
            let bad = |err: &dyn std::fmt::Display| Failure::new(format!("a part of it cannot be read: {err}"));
            let mut read: Vec<Piece> = Vec::with_capacity(pieces.len());
            for piece in &pieces {
                let packed = BASE64.decode(piece.as_bytes()).map_err(|err| bad(&err))?;
                read.push(unpack(&packed).map_err(|err| Failure::new(err.to_string()))?);
            }
            let taken = match (header.way, on.edge_side(), on.link()) {
                (Way::Up, ..) => on.hub.take_bundle(&header, read).await?,
                (Way::Down, Some(side), Some(link)) => link.while_it_rests(side.take(&header, read)).await?,
                (Way::Down, Some(side), None) => side.take(&header, read).await?,
                (Way::Down, None, _) => return Err(Failure::new("this node has no hub")),
            };
            answer(taken)
        }
    }
}

/// An edge by its id or its name.
async fn named(on: &Served, asked: &str) -> Result<NodeId> {
    let known = on.nodes().list().await?.into_iter().filter(|known| known.via.is_none());
    let mut fits: Vec<_> = known.filter(|known| known.id.to_string() == asked || known.name == asked.trim()).collect();
    if fits.len() > 1 {
        // a device that was revoked and joined anew has its name twice
        fits.retain(|known| !known.revoked);
    }
    match &fits[..] {
        [one] => Ok(one.id),
        [] => Err(Failure::new(format!("there is no edge {asked}; `outpost node list` shows which there are"))),
        _ => {
            Err(Failure::new(format!("there are several edges {asked}; name one by its id, as in `outpost node list`")))
        }
    }
}

pub async fn run(command: Bundle, settings: &Settings) -> Result<()> {
    match command {
        Bundle::Export(export) => export_to(export, settings).await,
        Bundle::Import(import) => import_from(&import.file, settings).await,
    }
}

async fn export_to(export: Export, settings: &Settings) -> Result<()> {
    let file = export.file.clone();
    if file.is_dir() {
        return Err(Failure::new(format!("{} is a directory; name a file in it", file.display())));
    }
    if file.exists() && !export.force {
        return Err(Failure::new(format!(
            "{} is there already; name another file, or write over it with --force",
            file.display()
        )));
    }
    let mut host = Host::find(settings, Absent::Refused, "bundle export").await?;
    let written = write(&mut host, &export).await;
    host.close().await;
    let (header, bytes, files) = written?;
    let to = if header.way == Way::Up { &header.hub_name } else { &header.edge_name };
    if settings.json {
        return print::json(&json!({
            "file": file,
            "bytes": bytes,
            "way": header.way,
            "for": to,
            "number": header.number,
            "made_at": print::rfc3339(header.made_at),
            "files": files.count,
            "file_bytes": files.bytes,
            "files_missing": files.missing,
        }));
    }
    print::line(format_args!("{} holds what {to} lacks, in {bytes} bytes", file.display()))?;
    if files.count > 0 {
        print::line(format_args!("{} files are in it, of {} bytes", files.count, files.bytes))?;
    }
    if files.missing > 0 {
        print::note(format_args!(
            "{} files that records refer to are not here either, and not in it; they follow when they are",
            files.missing
        ));
    }
    print::note(format_args!("At {to}: outpost bundle import {}", file.display()));
    Ok(())
}

async fn write(host: &mut Host, export: &Export) -> Result<(Header, u64, Files)> {
    let file = &export.file;
    let unwritten = |err: &io::Error| match err.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::new(format!("the disk of {} is full; free some space and try again", file.display()))
        }
        _ => Failure::new(format!("{} cannot be written: {err}", file.display())),
    };
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // in sight only when it is whole, and for this user alone: anyone who has it can read it
    let part =
        tempfile::Builder::new().prefix(".outpost-bundle-").tempfile_in(parent).map_err(|err| unwritten(&err))?;
    let ask = Ask::Begin { to: export.to.clone(), token: export.token.clone(), files: !export.no_files };
    let Begun { header, key, next } = host.ask(host::Ask::Bundle(ask)).await?;
    let to = part.reopen().map(BufWriter::new).map_err(|err| unwritten(&err))?;
    let mut writer = Writer::new(to, &key, &header).map_err(|err| unwritten(&err))?;
    let mut progress = print::Progress::new("writing pieces", None);
    let (mut next, mut count, mut files) = (Some(next), 0, Files::default());
    while let Some(from) = next.take() {
        let more: More = host.ask(host::Ask::Bundle(Ask::More { next: from })).await?;
        for piece in &more.pieces {
            let packed = BASE64.decode(piece.as_bytes()).map_err(|err| Failure::new(err.to_string()))?;
            writer.piece(&packed).map_err(|err| unwritten(&err))?;
            count += 1;
        }
        progress.set(count);
        files = files.and(more.files);
        next = more.next;
    }
    let (_, bytes) = writer.finish().map_err(|err| unwritten(&err))?;
    part.as_file().sync_all().map_err(|err| unwritten(&err))?;
    let kept = if export.force { part.persist(file) } else { part.persist_noclobber(file) };
    kept.map_err(|err| unwritten(&err.error))?;
    // some sticks know no such thing as a directory that is synced
    let _ = fs::File::open(parent).and_then(|parent| parent.sync_all());
    Ok((header, bytes, files))
}

fn refused(file: &Path, err: &BadBundle) -> Failure {
    Failure::new(format!("{} cannot be imported: {err}; nothing was changed", file.display()))
}

/// Opens a bundle that came over whole.
pub fn open(file: &Path) -> Result<Reader<File>> {
    let opened = File::open(file).map_err(|err| Failure::of_file(file, &err))?;
    Reader::open(opened).map_err(|err| refused(file, &err))
}

/// Takes a bundle in; whose it was, and what came of it.
pub async fn take_in(host: &mut Host, file: &Path) -> Result<(Header, Taken)> {
    let named = |failure: Failure| Failure {
        line: format!("{} cannot be imported: {}", file.display(), failure.line),
        ..failure
    };
    let mut reader = open(file)?;
    let header = reader.header().clone();
    let key: Key = host.ask(host::Ask::Bundle(Ask::Key { header: header.clone() })).await.map_err(named)?;
    reader.unseal(&key).map_err(|err| refused(file, &err))?;
    let mut progress = print::Progress::new("taking in bytes", Some(reader.bytes()));
    let (mut taken, mut done, mut is_over) = (Taken::default(), 0, false);
    while !is_over {
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        while bytes < ROOM {
            let Some(packed) = reader.piece().map_err(|err| refused(file, &err))? else {
                is_over = true;
                break;
            };
            bytes += packed.len();
            pieces.push(BASE64.encode(&packed));
        }
        let ask = Ask::Take { header: header.clone(), pieces };
        let more: Taken = host.ask(host::Ask::Bundle(ask)).await.map_err(named)?;
        taken = taken.and(more);
        done += bytes as u64;
        progress.set(done);
    }
    Ok((header, taken))
}

async fn import_from(file: &Path, settings: &Settings) -> Result<()> {
    let mut host = Host::find(settings, Absent::Refused, "bundle import").await?;
    let taken = take_in(&mut host, file).await;
    host.close().await;
    let (header, taken) = taken?;
    let from = if header.way == Way::Up { &header.edge_name } else { &header.hub_name };
    let ahead = header.made_at.saturating_sub(SystemWorld.now()) / 60_000;
    if ahead > 0 {
        print::note(format_args!(
            "by the clock of this device the bundle is made in {ahead} minutes: one of the two clocks is wrong"
        ));
    }
    if taken.is_old {
        print::note(format_args!(
            "something newer from {from} is here already; of this one only what was missing counts"
        ));
    }
    if taken.files_refused > 0 {
        print::note(format_args!(
            "{} files were not taken: no record that both {from} and this node may hold refers to them, or they are too large",
            taken.files_refused
        ));
    }
    if taken.files_damaged > 0 {
        print::note(format_args!(
            "{} files were not taken: they are not what their names say; import it again, and if that says the same, run `outpost doctor` at {from}",
            taken.files_damaged
        ));
    }
    if settings.json {
        return print::json(&json!({
            "from": from,
            "way": header.way,
            "made_at": print::rfc3339(header.made_at),
            "saves": taken.saves,
            "quarantined": taken.quarantined,
            "refused": taken.refused,
            "acknowledged": taken.acknowledged,
            "records": taken.records,
            "is_old": taken.is_old,
            "files": taken.files,
            "file_bytes": taken.file_bytes,
            "files_refused": taken.files_refused,
            "files_damaged": taken.files_damaged,
            "files_at_hub": taken.files_at_hub,
        }));
    }
    let made_at = print::rfc3339(header.made_at);
    if taken.files > 0 {
        print::note(format_args!("{} files came, of {} bytes", taken.files, taken.file_bytes));
    }
    if taken.files_at_hub > 0 {
        print::note(format_args!("{} files of this node are at {from}", taken.files_at_hub));
    }
    match header.way {
        Way::Up => print::line(format_args!(
            "{from} as of {made_at}: {} saves, {} of them in quarantine, {} refused",
            taken.saves, taken.quarantined, taken.refused
        )),
        Way::Down => print::line(format_args!(
            "{from} as of {made_at}: {} records came, {} saves of this node are there",
            taken.records, taken.acknowledged
        )),
    }
}
