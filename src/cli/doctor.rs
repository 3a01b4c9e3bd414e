//! `outpost doctor`: looks a node over and says what is wrong, each in a sentence with what to do. It changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Args;
use outpost::store::StoreError;
use outpost::store::blob::BlobFiles;
use outpost::store::checkup::{Checkup, document, examine};
use outpost::world::SystemWorld;
use serde::Serialize;
use serde_json::{Value, json};

use super::door::Connection;
use super::host::{self, DATABASE};
use super::lock::Lock;
use super::{Failure, Result, print, sync};
use crate::config::Settings;

/// Look this node over, whether it runs or not, and say what is wrong and what to do
///
/// Reads every record and holds it against what is kept of it; changes nothing. Ends with status 1 if something was found.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost doctor --data /var/lib/outpost")]
pub struct Doctor {}

/// Something that was looked at.
#[derive(Debug, Clone, Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
    /// A sentence.
    text: String,
    /// What to do; only with what is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

#[derive(Default)]
struct Chart(Vec<Check>);

impl Chart {
    fn well(&mut self, check: &'static str, text: impl Into<String>) {
        self.0.push(Check { check, ok: true, text: text.into(), todo: None });
    }

    fn found(&mut self, check: &'static str, text: impl Into<String>, todo: impl Into<String>) {
        self.0.push(Check { check, ok: false, text: text.into(), todo: Some(todo.into()) });
    }

    /// Well, unless there is something to tell.
    fn unless(&mut self, check: &'static str, well: &str, found: Option<(String, &str)>) {
        match found {
            None => self.well(check, well),
            Some((text, todo)) => self.found(check, text, todo),
        }
    }
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Less room than this is told, or than half of the database.
const ROOM: u64 = 256 << 20;
/// A log that does not go into the database grows beyond this.
const LARGE_LOG: u64 = 256 << 20;

pub async fn run(_: Doctor, settings: &Settings) -> Result<()> {
    let dir = &settings.data;
    host::refuse_unfinished(dir)?;
    if !host::has_database(dir) {
        return Err(host::no_node(dir));
    }
    let mut chart = Chart::default();
    directory(dir, &mut chart);
    let database = dir.join(DATABASE);
    let mut progress = print::Progress::new("looking at records", None);
    let mut told = |done, total| progress.set_of(done, total);
    let examined = examine(&database, &mut told).await;
    drop(progress);
    match examined {
        Ok(checkup) => {
            of_database(&checkup, &mut chart);
            of_saves(&checkup, &mut chart);
            let offset = document(&database, "clock", "clock").await?.as_ref().and_then(Value::as_i64);
            clock(&checkup, offset, &mut chart);
            let begun = document(&database, "join", "first-copy").await?;
            if begun.is_some() {
                chart.found(
                    "first-copy",
                    "Joining the hub was begun and not finished.",
                    "Run `outpost join` with the same token again.",
                );
            }
        }
        Err(StoreError::Older) => {
            return Err(Failure::new(format!("{}: {}", dir.display(), StoreError::Older)));
        }
        Err(err) => chart.found(
            "database",
            format!("The database cannot be read: {err}."),
            "Copy the data directory away as it is, and restore the last backup into a new one with `outpost restore`.",
        ),
    }
    files(dir, &mut chart);
    link(dir, &mut chart).await?;
    tell(&chart.0, dir, settings)
}

/// Every photo and file is held against its name.
fn files(dir: &Path, chart: &mut Chart) {
    let files = BlobFiles::at(dir);
    let all = match files.all() {
        Ok(all) => all,
        Err(err) => {
            let text = format!("The photos and files in {} cannot be read: {err}.", files.place().display());
            return chart.found("files", text, "Look whether the disk is well, and whose the directory is.");
        }
    };
    let mut progress = print::Progress::new("looking at files", Some(all.len() as u64));
    let mut damaged = Vec::new();
    for (done, hash) in all.iter().enumerate() {
        // one that cannot be read is as good as damaged
        if !files.is_sound(*hash).unwrap_or(false) {
            damaged.push(hash.to_string());
        }
        progress.set(done as u64 + 1);
    }
    drop(progress);
    match &damaged[..] {
        [] => chart.well("files", format!("{} photos and files are what they should be.", all.len())),
        [first, ..] => chart.found(
            "files",
            format!("{} of {} photos and files are damaged, the first is {first}.", damaged.len(), all.len()),
            "Take them out of the directory blobs: they come again from where they are still whole, or from a backup.",
        ),
    }
}

fn directory(dir: &Path, chart: &mut Chart) {
    let mode = fs::metadata(dir).map(|about| about.permissions().mode() & 0o777);
    let open = mode.ok().filter(|mode| mode & 0o077 != 0);
    chart.unless(
        "permissions",
        "The data directory is for its user alone.",
        open.map(|mode| {
            (
                format!("Others on this machine may look into the data directory (mode {mode:o}).",),
                "Take that away: chmod 700 on it.",
            )
        }),
    );
    let database = fs::metadata(dir.join(DATABASE)).map_or(0, |about| about.len());
    match rustix::fs::statvfs(dir) {
        Ok(disk) => {
            of_disk(disk.f_bavail.saturating_mul(disk.f_frsize), database, chart);
        }
        Err(err) => chart.found("disk", format!("How full the disk is cannot be told: {err}."), "Look with `df`."),
    }
    let log = fs::metadata(dir.join(format!("{DATABASE}-wal"))).map_or(0, |about| about.len());
    let large = (log > LARGE_LOG).then(|| {
        (
            format!("The log of the database has grown to {} MB.", log >> 20),
            "Something reads it for a very long time, perhaps a backup that hangs: end that, or restart the node.",
        )
    });
    chart.unless("log", "The log of the database is small.", large);
}

/// `room` on the disk beside a database of this size, in bytes.
fn of_disk(room: u64, database: u64, chart: &mut Chart) {
    let megabytes = room >> 20;
    let short = (room < ROOM.max(database / 2)).then(|| {
        (
            format!("The disk has {megabytes} MB left; the database has {}.", database >> 20),
            "Free some space: without it nobody can save.",
        )
    });
    chart.unless("disk", &format!("The disk has {megabytes} MB left."), short);
}

const RESTORE: &str = "Make a backup of what is there, and restore the last good one into a new directory; on an edge, joining anew brings all that the hub has.";

fn of_database(checkup: &Checkup, chart: &mut Chart) {
    let old = (!checkup.sqlite_is_safe).then(|| {
        (
            format!("SQLite {} can lose committed data.", checkup.sqlite),
            "Use a build of outpost with SQLite 3.51.3 or newer.",
        )
    });
    chart.unless("sqlite", &format!("SQLite is {}.", checkup.sqlite), old);
    let fault = checkup.faults.first().map(|first| {
        let more = checkup.faults.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        (format!("The database file is damaged: {first}{more}."), RESTORE)
    });
    chart.unless("database", "The database file is sound.", fault);
    let unreadable = (checkup.unreadable > 0).then(|| {
        let named = checkup.unreadable_named.join(", ");
        (format!("{} cannot be read: {named}.", records(checkup.unreadable)), RESTORE)
    });
    chart.unless("records", &format!("All {} can be read.", records(checkup.records)), unreadable);
    let differing = checkup.differing.first().map(|_| {
        let named: Vec<&str> = checkup.differing.iter().map(|partition| &partition.0[..]).collect();
        (
            format!("What is kept of the digests is not that of the records, in {}.", named.join(", ")),
            "Make a backup and restore it into a new directory: that counts anew.",
        )
    });
    chart.unless("digests", "The digests are those of the records.", differing);
    let lost = checkup.lost_indexes.first().map(|_| {
        (
            format!("Indexes for lists are not there: {}.", checkup.lost_indexes.join(", ")),
            "Make a backup and restore it into a new directory: lists get their indexes anew.",
        )
    });
    chart.unless("lists", "The indexes for lists are there.", lost);
}

fn records(count: u64) -> String {
    if count == 1 { "1 record".into() } else { format!("{count} records") }
}

fn saves(count: u64) -> String {
    if count == 1 { "1 save".into() } else { format!("{count} saves") }
}

fn of_saves(checkup: &Checkup, chart: &mut Chart) {
    let count = |kind: &str| checkup.locals.get(kind).copied().unwrap_or(0);
    let aside = count("set-aside");
    let aside = (aside > 0).then(|| {
        (
            format!("{} that came from the hub could not be understood and are kept aside.", records(aside)),
            "Use the version of outpost that the hub has, and say hello: `outpost sync now`.",
        )
    });
    chart.unless("set-aside", "Nothing that came from the hub is kept aside.", aside);
    let refused = count("refused-save");
    let refused = (refused > 0).then(|| {
        (
            format!("The hub did not take {}; what was typed is kept here.", saves(refused)),
            "Look at the reasons on the page Sync, and ask an admin of the hub.",
        )
    });
    chart.unless("refused", "The hub refused nothing.", refused);
    let now = outpost::node::World::now(&SystemWorld);
    let long = |since: Option<i64>| since.filter(|since| now.saturating_sub(*since) > DAY);
    let waiting = long(checkup.waiting_since).map(|since| {
        (
            format!("{} for records that are not here wait since {}.", saves(checkup.waiting), print::rfc3339(since)),
            "They are applied when the record comes; if its edge is gone for good, nothing is to be done.",
        )
    });
    chart.unless("waiting", "No save waits long for its record.", waiting);
    let outbox = long(checkup.outbox_since).map(|since| {
        (
            format!("{} are not sent yet, the oldest of {}.", saves(checkup.outbox), print::rfc3339(since)),
            "See why the hub is not reached: `outpost sync status`.",
        )
    });
    let none = match checkup.outbox {
        0 => "Nothing waits to be sent.".to_owned(),
        some => format!("{} to be sent, none of them old.", saves(some)),
    };
    chart.unless("outbox", &none, outbox);
}

fn clock(checkup: &Checkup, offset: Option<i64>, chart: &mut Chart) {
    const TODO: &str =
        "Set the clock, or let the machine keep it (NTP); until then the hub's time is used where it is known.";
    let offset = offset.unwrap_or(0);
    let now = outpost::node::World::now(&SystemWorld).saturating_add(offset);
    let ahead = checkup.clock.saturating_sub(now);
    let wrong = if offset.abs() > MINUTE {
        let way = if offset < 0 { "fast" } else { "slow" };
        Some(format!("This device's clock is {} {way}, held against the hub's.", lasting(offset.abs())))
    } else if ahead > MINUTE {
        Some(format!("The newest record is stamped {} later than the clock shows.", lasting(ahead)))
    } else {
        None
    };
    chart.unless("clock", "The clock is right, as far as is known.", wrong.map(|text| (text, TODO)));
}

fn lasting(millis: i64) -> String {
    match millis / 1_000 {
        seconds if seconds < 7_200 => format!("{} min", seconds / 60),
        seconds if seconds < 48 * 3_600 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// How the link stands, as the running node tells.
async fn link(dir: &Path, chart: &mut Chart) -> Result<()> {
    let holder = match Lock::try_take(dir, "doctor")? {
        Ok(_) => {
            chart.well("node", "The node does not run; `outpost serve` runs it.");
            return Ok(());
        }
        Err(holder) => holder,
    };
    let Some(mut connection) = Connection::open(dir).await else {
        if holder.serves() {
            chart.found("node", format!("{holder} holds the data directory and does not answer."), "Restart the node.");
        }
        return Ok(());
    };
    let status = connection.ask(&host::Ask::Sync(sync::Ask::Status)).await?;
    chart.well("node", format!("The node runs as {holder}."));
    let upstream = &status["upstream"];
    let reason = upstream["reason"].as_str().unwrap_or("no reason is known");
    let found = match upstream["state"].as_str() {
        Some("offline") => Some((
            format!("The hub is out of reach: {reason}."),
            "See that the address of the hub can be reached from here; the node tries again by itself.",
        )),
        Some("refused") => Some((
            format!("The hub does not let this node in: {reason}."),
            "Ask an admin of the hub; a revoked node joins anew with a new token and a new directory.",
        )),
        Some("paused") => {
            Some(("The link to the hub was paused by hand.".to_owned(), "Let it go on: `outpost sync resume`."))
        }
        _ => None,
    };
    let well = if upstream.is_null() { "This node is the hub." } else { "The hub is reached." };
    chart.unless("link", well, found);
    Ok(())
}

fn tell(checks: &[Check], dir: &Path, settings: &Settings) -> Result<()> {
    let found = checks.iter().filter(|check| !check.ok).count();
    if settings.json {
        print::json(&json!({ "sound": found == 0, "checks": checks }))?;
    } else {
        for check in checks {
            let mark = if check.ok { "ok" } else { "!!" };
            print::line(format_args!("[{mark}] {}", check.text))?;
            if let Some(todo) = &check.todo {
                print::line(format_args!("     {todo}"))?;
            }
        }
    }
    match found {
        0 => Ok(()),
        1 => Err(Failure::new(format!("1 thing is not well with {}; what to do stands beside it", dir.display()))),
        some => Err(Failure::new(format!(
            "{some} things are not well with {}; what to do stands beside each",
            dir.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(look: impl FnOnce(&mut Chart), name: &str) -> Check {
        let mut chart = Chart::default();
        look(&mut chart);
        chart.0.into_iter().find(|check| check.check == name).expect("it is looked at")
    }

    #[test]
    fn little_room_is_found_and_so_is_little_beside_a_large_database() {
        const GIB: u64 = 1 << 30;
        for (room, database, ok) in [
            (ROOM - 1, 0, false),
            (ROOM, 0, true),
            (2 * GIB, 4 * GIB, true),
            (2 * GIB - 1, 4 * GIB, false),
            (0, u64::MAX, false),
        ] {
            let check = of(|chart| of_disk(room, database, chart), "disk");
            assert_eq!(check.ok, ok, "{room} {database}: {}", check.text);
            assert_eq!(check.todo.is_some(), !ok);
            assert!(check.text.contains(&format!("{} MB left", room >> 20)), "{}", check.text);
        }
    }

    #[test]
    fn an_sqlite_that_can_lose_data_is_found() {
        for is_safe in [true, false] {
            let checkup = Checkup { sqlite: "3.50.1".into(), sqlite_is_safe: is_safe, ..Checkup::default() };
            let check = of(|chart| of_database(&checkup, chart), "sqlite");
            assert_eq!((check.ok, check.todo.is_some()), (is_safe, !is_safe));
            assert!(check.text.contains("3.50.1"), "{}", check.text);
        }
    }
}
