//! `outpost type`: custom types, as JSON Schema files.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use outpost::domain::ids::TypeName;
use outpost::domain::people::Actor;
use outpost::node::{NodeError, Published, Type as Known};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::host::{self, Absent, Host, Served};
use super::{Failure, Result, answer, failure, print};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub enum Type {
    List(List),
    Show(Show),
    Import(Import),
    Export(Export),
}

/// List the types
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost type list --json")]
pub struct List {}

/// Show one type: its version, its fields
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost type show work-order")]
pub struct Show {
    /// Its name
    name: String,
}

/// Make types of JSON Schema files, or publish new versions of types that exist
///
/// The name of a type is the name of its file up to the first dot. Files in an older draft are brought up to 2020-12,
/// and what was changed for that is told. A file that was imported before changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost type import work-order.schema.json inspection.schema.json")]
pub struct Import {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The name of the type, where the file's is another; for one file
    #[arg(long, env = "OUTPOST_NAME")]
    name: Option<String>,
    /// Why it is changed, for the history of the type
    #[arg(long, env = "OUTPOST_REASON", default_value = "", hide_default_value = true)]
    reason: String,
}

/// Print a type's schema as it was published, or write one file for each type
///
/// Several types are printed as one JSON object by name.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outpost type export work-order > work-order.schema.json\n  outpost type export work-order inspection --dir schemas"
)]
pub struct Export {
    /// The names of the types
    #[arg(required = true, value_name = "TYPE")]
    names: Vec<String>,
    /// Write TYPE.schema.json for each into this directory, instead of printing
    #[arg(long, env = "OUTPOST_DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    List,
    Show { name: String },
    Import { name: String, text: String, reason: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    name: String,
    title: String,
    version: u64,
    retired: bool,
    /// Living records here.
    records: u64,
}

/// One type in full. The schema is text, so that it stays as it was typed.
#[derive(Debug, Serialize, Deserialize)]
struct Detail {
    shown: Shown,
    published_at: String,
    fields: Vec<Field>,
    schema: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Field {
    pointer: String,
    title: String,
    kind: Value,
    required: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Imported {
    name: String,
    version: u64,
    /// False if the type already was exactly so.
    is_new: bool,
    upgraded: Vec<Upgraded>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Upgraded {
    pointer: String,
    message: String,
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    match ask {
        Ask::List => {
            let tallies = on.node.store().tallies().await?;
            let types = on.node.types(&Actor::Operator, true)?;
            let shown = types.iter().map(|found| shown(found, &tallies));
            answer(shown.collect::<Vec<_>>())
        }
        Ask::Show { name } => {
            let tallies = on.node.store().tallies().await?;
            let found = find(on, &name)?;
            let schema = found.current.schema();
            let fields = schema.iter().flat_map(|schema| schema.fields()).map(|field| Field {
                pointer: field.pointer.clone(),
                title: field.title.clone(),
                kind: serde_json::to_value(field.kind).unwrap_or_default(),
                required: field.required,
            });
            answer(Detail {
                shown: shown(&found, &tallies),
                published_at: print::rfc3339(found.current.at),
                fields: fields.collect(),
                schema: found.current.text.clone(),
            })
        }
        Ask::Import { name, text, reason } => {
            on.must_be_hub("types are made and changed")?;
            let node = &on.node;
            let exists = TypeName::custom(&name).is_ok_and(|name| node.caches().get(&name).is_some());
            let published = if exists {
                node.publish_type(&Actor::Operator, &name, text.as_bytes(), &reason).await?
            } else {
                node.create_type(&Actor::Operator, &name, text.as_bytes()).await?
            };
            answer(imported(published))
        }
    }
}

fn find(on: &Served, name: &str) -> Result<std::sync::Arc<Known>> {
    on.node.type_named(&Actor::Operator, name).map_err(|err| match err {
        NodeError::NotFound(_) => no_type(name),
        other => other.into(),
    })
}

pub fn no_type(name: &str) -> Failure {
    Failure::new(format!("there is no type named {name}; `outpost type list` shows which there are"))
}

fn shown(found: &Known, tallies: &[outpost::store::Tally]) -> Shown {
    let records = tallies.iter().find(|tally| tally.type_name == found.name).map_or(0, |tally| tally.living);
    Shown {
        name: found.name.to_string(),
        title: found.title.clone(),
        version: found.current.version,
        retired: found.retired,
        records,
    }
}

fn imported(published: Published) -> Imported {
    let upgraded = published.upgraded.into_iter();
    Imported {
        name: published.found.name.to_string(),
        version: published.found.current.version,
        is_new: published.is_new,
        upgraded: upgraded.map(|change| Upgraded { pointer: change.pointer, message: change.message }).collect(),
    }
}

pub async fn run(command: Type, settings: &Settings) -> Result<()> {
    match command {
        Type::List(_) => list(settings).await,
        Type::Show(show) => self::show(show, settings).await,
        Type::Import(import) => self::import(import, settings).await,
        Type::Export(export) => self::export(export, settings).await,
    }
}

async fn list(settings: &Settings) -> Result<()> {
    let types: Vec<Shown> = host::asked(settings, Absent::Refused, "type list", host::Ask::Type(Ask::List)).await?;
    if settings.json {
        return print::json(&types);
    }
    let rows: Vec<_> = types
        .into_iter()
        .map(|one| {
            let state = if one.retired { "retired" } else { "" };
            [one.name, one.title, one.version.to_string(), one.records.to_string(), state.into()]
        })
        .collect();
    let none = "There are no types yet; `outpost type import FILE` makes one of a JSON Schema.";
    print::table(["NAME", "TITLE", "VERSION", "RECORDS", "STATE"], &rows, none)
}

async fn show(show: Show, settings: &Settings) -> Result<()> {
    let ask = host::Ask::Type(Ask::Show { name: show.name });
    let detail: Detail = host::asked(settings, Absent::Refused, "type show", ask).await?;
    if settings.json {
        let Detail { shown, published_at, fields, schema } = detail;
        let schema: Value = serde_json::from_str(&schema).unwrap_or_default();
        return print::json(&serde_json::json!({
            "name": shown.name, "title": shown.title, "version": shown.version, "retired": shown.retired,
            "records": shown.records, "published_at": published_at, "fields": fields, "schema": schema,
        }));
    }
    let Detail { shown, published_at, fields, .. } = detail;
    let state = if shown.retired { ", retired" } else { "" };
    print::line(format_args!(
        "{}: {}, version {} of {published_at}{state}, {} records\n",
        shown.name, shown.title, shown.version, shown.records
    ))?;
    let rows: Vec<_> = fields
        .into_iter()
        .map(|field| {
            let kind = field.kind.as_str().map_or_else(|| field.kind.to_string(), str::to_owned);
            let required = if field.required { "required" } else { "" };
            [field.pointer, field.title, kind, required.into()]
        })
        .collect();
    print::table(["FIELD", "TITLE", "KIND", ""], &rows, "It has no fields.")
}

async fn import(import: Import, settings: &Settings) -> Result<()> {
    if import.name.is_some() && import.files.len() > 1 {
        return Err(Failure::usage("--name goes with one file; leave it out, or import the files one by one"));
    }
    // all files are read before the first is imported
    let mut files = Vec::new();
    for path in &import.files {
        let name = import.name.clone().unwrap_or_else(|| name_of(path));
        files.push((path, name, read(path)?));
    }
    let mut host = Host::find(settings, Absent::BecomesHub, "type import").await?;
    let (mut report, mut refused) = (Vec::new(), 0);
    for (path, name, text) in files {
        let ask = Ask::Import { name, text, reason: import.reason.clone() };
        let told = match host.ask::<Imported>(host::Ask::Type(ask)).await {
            Ok(imported) => tell(path, &imported, settings.json),
            Err(failure) => {
                refused += 1;
                tell_refused(path, &failure);
                Ok(serde_json::json!({ "file": path, "error": failure.line, "errors": failure.errors }))
            }
        };
        match told {
            Ok(told) => report.push(told),
            Err(failure) => {
                host.close().await;
                return Err(failure);
            }
        }
    }
    host.close().await;
    if settings.json {
        print::json(&report)?;
    }
    match (refused, report.len()) {
        (0, _) => Ok(()),
        (1, 1) => Err(Failure::new("the file was refused and nothing was changed; put right what is told above")),
        (refused, all) => {
            Err(Failure::new(format!("{refused} of {all} files were refused; put right what is told above")))
        }
    }
}

fn tell(path: &Path, imported: &Imported, json: bool) -> Result<Value> {
    if !json {
        let Imported { name, version, is_new, .. } = imported;
        if *is_new {
            print::line(format_args!("{name}: version {version} is published"))?;
        } else {
            print::line(format_args!("{name}: unchanged, version {version}"))?;
        }
        for change in &imported.upgraded {
            print::line(format_args!("  {}: {}", or_root(&change.pointer), change.message))?;
        }
    }
    let mut told = serde_json::to_value(imported).expect("answers are plain data");
    told["file"] = serde_json::json!(path);
    Ok(told)
}

fn tell_refused(path: &Path, failure: &Failure) {
    if failure.errors.is_empty() {
        print::note(format_args!("{}: {}", path.display(), failure.line));
    }
    for error in &failure.errors {
        print::note(format_args!("{}: {}", path.display(), failure::in_word(error)));
    }
}

fn or_root(pointer: &str) -> &str {
    if pointer.is_empty() { "the schema" } else { pointer }
}

/// `schemas/work-order.schema.json` holds the type `work-order`.
fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().to_owned()
}

fn read(path: &Path) -> Result<String> {
    /// Far above what a schema may have; the node judges that.
    const MOST: u64 = 16 << 20;
    let size = std::fs::metadata(path).map_err(|err| Failure::of_file(path, &err))?.len();
    if size > MOST {
        return Err(Failure::new(format!("{} has {size} bytes and is too large to be a schema", path.display())));
    }
    let bytes = std::fs::read(path).map_err(|err| Failure::of_file(path, &err))?;
    String::from_utf8(bytes)
        .map_err(|err| Failure::new(format!("{} is not UTF-8: {}; save it as UTF-8", path.display(), err.utf8_error())))
}

async fn export(export: Export, settings: &Settings) -> Result<()> {
    let mut host = Host::find(settings, Absent::Refused, "type export").await?;
    let mut schemas = Vec::new();
    for name in &export.names {
        match host.ask::<Detail>(host::Ask::Type(Ask::Show { name: name.clone() })).await {
            Ok(detail) => schemas.push((name, detail.schema)),
            Err(failure) => {
                host.close().await;
                return Err(failure);
            }
        }
    }
    host.close().await;
    if let Some(dir) = &export.dir {
        let cannot = |path: &Path, err| Failure::new(format!("{} cannot be written: {err}", path.display()));
        std::fs::create_dir_all(dir).map_err(|err| cannot(dir, err))?;
        for (name, schema) in &schemas {
            let path = dir.join(format!("{name}.schema.json"));
            std::fs::write(&path, schema).map_err(|err| cannot(&path, err))?;
            print::note(path.display());
        }
        return Ok(());
    }
    if let [(_, schema)] = &schemas[..] {
        print::bytes(schema.as_bytes())?;
        return if schema.ends_with('\n') { Ok(()) } else { print::bytes(b"\n") };
    }
    let all: Map<String, Value> = schemas
        .iter()
        .map(|(name, schema)| ((*name).clone(), serde_json::from_str(schema).unwrap_or_default()))
        .collect();
    print::line(format_args!("{:#}", Value::Object(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_name_of_its_file() {
        assert_eq!(name_of(Path::new("schemas/work-order.schema.json")), "work-order");
        assert_eq!(name_of(Path::new("vitals")), "vitals");
    }
}
