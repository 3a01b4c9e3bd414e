//! `outpost quarantine`: saves that the hub may not accept, and what is decided about them.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use outpost::domain::people::Actor;
use outpost::node::{Nodes, Quarantined};
use outpost::web::api::{Who, exported};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::host::{self, Absent, Served};
use super::{Failure, Result, print};
use crate::config::Settings;

/// As many entries as are read at once.
const PAGE: usize = 200;

#[derive(Debug, Subcommand)]
pub enum Quarantine {
    List(List),
    Show(Show),
    Admit(Admit),
    SendBack(SendBack),
    Export(Export),
}

/// List what is in quarantine, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost quarantine list --state open --json")]
pub struct List {
    /// Only what is in this state
    #[arg(long, env = "OUTPOST_STATE", value_enum, default_value_t = State::Open)]
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Open,
    Admitted,
    Returned,
    All,
}

/// Show who saved what, where and when, why it was not accepted, and what stands instead
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost quarantine show 0199d6a8-93f1-7c3e-a1d0-4b7b0c6f2e11")]
pub struct Show {
    /// Its id, as `outpost quarantine list` shows it
    id: Uuid,
}

/// Let a save be after all, as a later write of whoever made it; all parts of that save together
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost quarantine admit 0199d6a8-93f1-7c3e-a1d0-4b7b0c6f2e11")]
pub struct Admit {
    /// Its id, as `outpost quarantine list` shows it
    id: Uuid,
}

/// Do not let a save be, with a word that its author reads on her device
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outpost quarantine send-back 0199d6a8-93f1-7c3e-a1d0-4b7b0c6f2e11 --reason \"Measured again on Friday\""
)]
pub struct SendBack {
    /// Its id, as `outpost quarantine list` shows it
    id: Uuid,
    /// Why, in at most 1,000 characters
    #[arg(long, env = "OUTPOST_REASON")]
    reason: String,
}

/// Write a save as JSON, with all that was typed, decided or not
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost quarantine export 0199d6a8-93f1-7c3e-a1d0-4b7b0c6f2e11 --out save.json")]
pub struct Export {
    /// Its id, as `outpost quarantine list` shows it
    id: Uuid,
    /// A new file; without it the save goes to standard output
    #[arg(long, env = "OUTPOST_OUT", value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// A page of what is in this state, or in any.
    List {
        state: Option<String>,
        cursor: Option<String>,
    },
    Show {
        id: Uuid,
    },
    Admit {
        id: Uuid,
    },
    SendBack {
        id: Uuid,
        reason: String,
    },
}

/// As JSON text, so that what people typed keeps every digit.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    items: Vec<String>,
    next: Option<String>,
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    let (node, actor) = (&on.node, &Actor::Operator);
    let decides = || on.must_be_hub("what is in quarantine is decided");
    let found = match ask {
        Ask::List { state, cursor } => {
            let page = node.quarantine(actor, state.as_deref(), PAGE, cursor).await?;
            (page.items, page.next)
        }
        Ask::Show { id } => (vec![node.quarantined(actor, id).await?], None),
        Ask::Admit { id } => {
            decides()?;
            (vec![node.admit(actor, id).await?], None)
        }
        Ask::SendBack { id, reason } => {
            decides()?;
            (vec![node.send_back(actor, id, &reason).await?], None)
        }
    };
    let who = Who::knowing(node, on.hub.list().await?);
    let text = |entry: &Quarantined| exported(entry, &who).to_string();
    super::answer(Told { items: found.0.iter().map(text).collect(), next: found.1 })
}

pub async fn run(command: Quarantine, settings: &Settings) -> Result<()> {
    match command {
        Quarantine::List(List { state }) => list(state, settings).await,
        Quarantine::Show(Show { id }) => {
            let entry = one(settings, "quarantine show", Ask::Show { id }).await?;
            if settings.json { print::json(&entry) } else { show(&entry) }
        }
        Quarantine::Admit(Admit { id }) => {
            let entry = one(settings, "quarantine admit", Ask::Admit { id }).await?;
            told(&entry, "is admitted, as a later save of whoever made it", settings)
        }
        Quarantine::SendBack(SendBack { id, reason }) => {
            let entry = one(settings, "quarantine send-back", Ask::SendBack { id, reason }).await?;
            told(&entry, "is sent back; its author reads why", settings)
        }
        Quarantine::Export(Export { id, out }) => {
            let entry = one(settings, "quarantine export", Ask::Show { id }).await?;
            let mut text = serde_json::to_string_pretty(&entry).expect("an entry is plain data");
            text.push('\n');
            let Some(path) = out else { return print::bytes(text.as_bytes()) };
            let file = OpenOptions::new().write(true).create_new(true).open(&path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
            written.map_err(|err| Failure::new(format!("{} cannot be written: {err}", path.display())))?;
            print::note(format_args!("{} has the save.", path.display()));
            Ok(())
        }
    }
}

async fn asked(settings: &Settings, name: &str, ask: Ask) -> Result<(Vec<Value>, Option<String>)> {
    let told: Told = host::asked(settings, Absent::Refused, name, host::Ask::Quarantine(ask)).await?;
    let read = |text: &String| {
        outpost::domain::json::read(text)
            .map_err(|fault| Failure::new(format!("the answer is not understood: {fault}")))
    };
    Ok((told.items.iter().map(read).collect::<Result<_>>()?, told.next))
}

async fn one(settings: &Settings, name: &str, ask: Ask) -> Result<Value> {
    let (items, _) = asked(settings, name, ask).await?;
    items.into_iter().next().ok_or_else(|| Failure::new("the node said nothing about it"))
}

async fn list(state: State, settings: &Settings) -> Result<()> {
    let state = match state {
        State::Open => Some("open"),
        State::Admitted => Some("admitted"),
        State::Returned => Some("returned"),
        State::All => None,
    };
    let (mut entries, mut cursor) = (Vec::new(), None);
    loop {
        let ask = Ask::List { state: state.map(str::to_owned), cursor };
        let (items, next) = asked(settings, "quarantine list", ask).await?;
        entries.extend(items);
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    if settings.json {
        return print::json(&entries);
    }
    let text =
        |entry: &Value, pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            ["/id", "/state", "/type", "/by/name", "/node/name", "/received", "/reason"].map(|of| text(entry, of))
        })
        .collect();
    print::table(["ID", "STATE", "TYPE", "BY", "ON", "RECEIVED", "WHY"], &rows, "Nothing is in quarantine.")
}

fn show(entry: &Value) -> Result<()> {
    let text = |pointer: &str| match entry.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "unknown".to_owned(),
        Some(other) => other.to_string(),
    };
    print::line(format_args!("{} {} of {}", text("/type"), text("/record"), text("/at")))?;
    print::line(format_args!("  by {} on {}, brought by {}", text("/by/name"), text("/node/name"), text("/via/name")))?;
    print::line(format_args!("  {}: {}", text("/state"), text("/reason")))?;
    if entry["decision"]["word"].is_string() {
        print::line(format_args!("  word: {}", text("/decision/word")))?;
    }
    for change in entry["changes"].as_array().into_iter().flatten() {
        let value = |name: &str| change.get(name).map_or_else(|| "nothing".to_owned(), Value::to_string);
        let (pointer, act) = (change["pointer"].as_str().unwrap_or("/"), change["act"].as_str().unwrap_or("set"));
        print::line(format_args!("  {pointer} {act}: {}; {} stands", value("denied"), value("stands")))?;
    }
    Ok(())
}

fn told(entry: &Value, what: &str, settings: &Settings) -> Result<()> {
    if settings.json {
        return print::json(entry);
    }
    print::line(format_args!("{} {what}", entry["id"].as_str().unwrap_or_default()))
}
