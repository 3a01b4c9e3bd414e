//! Data directories that cannot be used: each is told in one line, and nothing is changed.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Place, binary, ended, hub, outpost, run, run_with, titles};

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let place = Place::new();
    let (data, _) = hub(&place);
    for file in fs::read_dir(&data).expect("a directory") {
        fs::set_permissions(file.expect("a file").path(), fs::Permissions::from_mode(0o444)).expect("ours");
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).expect("ours");
    fs::set_permissions(data.parent().expect("a parent"), fs::Permissions::from_mode(0o555)).expect("ours");
    let beside = place.at("beside");
    for data in [&data, &beside] {
        for args in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["user", "list"],
            &["token", "create", "--name", "a", "--role", "staff"],
        ] {
            let mut command = as_ordinary_user(&place);
            let ended = ended(command.args(args).arg("--data").arg(data));
            if data == &beside && args[0] == "user" {
                assert!(ended.failed().contains("no node"), "{}", ended.err);
            } else {
                let line = ended.failed();
                assert!(line.contains("cannot be written") && line.contains("--data"), "{args:?}: {line}");
            }
        }
    }
    fs::set_permissions(data.parent().expect("a parent"), fs::Permissions::from_mode(0o755)).expect("ours");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("ours");
}

/// Root writes wherever it likes, so it runs the binary as nobody, from a place that nobody can read.
fn as_ordinary_user(place: &Place) -> Command {
    const NOBODY: u32 = 65_534;
    let is_root = fs::metadata(place.at(".")).expect("a directory").uid() == 0;
    if !is_root {
        return outpost();
    }
    let copy = place_of_copy().join("outpost");
    if !copy.exists() {
        fs::copy(env!("CARGO_BIN_EXE_outpost"), &copy).expect("a copy");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let mut command = binary(&copy);
    command.uid(NOBODY).gid(NOBODY);
    command
}

fn place_of_copy() -> PathBuf {
    use std::sync::OnceLock;
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let place = tempfile::tempdir().expect("a directory of our own");
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        place
    });
    place.path().to_owned()
}

#[test]
fn a_directory_of_a_newer_version_is_told_and_left_as_it_is() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let database = data.join("outpost.db");
    // where SQLite keeps the number of the version, see "Database file format", 1.3.14
    let file = fs::OpenOptions::new().read(true).write(true).open(&database).expect("the database");
    file.write_all_at(&999u32.to_be_bytes(), 60).expect("ours");
    let before = fs::read(&database).expect("the database");
    for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["user", "list"], &["type", "list"]] {
        let ended = run(&data, args);
        assert!(ended.failed().contains("newer version of outpost"), "{}", ended.err);
    }
    assert_eq!(fs::read(&database).expect("the database"), before);
}

#[test]
fn a_directory_that_is_none_is_told() {
    let place = Place::new();
    let file = place.file("file", "not a directory");
    let ended = run(&file, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(ended.failed().contains("is not a directory"), "{}", ended.err);
    let damaged = place.at("damaged");
    fs::create_dir(&damaged).expect("ours");
    fs::write(damaged.join("outpost.db"), "this is no database at all, only some text".repeat(100)).expect("ours");
    for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["type", "list"]] {
        run(&damaged, args).failed();
    }
}

#[test]
fn a_full_disk_is_told_and_what_was_there_stays() {
    let place = Place::new();
    let small = place.at("small");
    fs::create_dir(&small).expect("ours");
    let Some(_mounted) = Mounted::small(&small) else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    let data = small.join("hub");
    run(&data, &["type", "import", &crate::run::sample("work-order").to_string_lossy()]).good();
    run_with(&data, &["records", "import", "work-order", "-"], "{\"title\":\"first\"}").good();
    let lines: String =
        (0..3_000).map(|n| format!("{{\"title\":\"{n}\",\"fault\":\"{}\"}}\n", "x".repeat(1_900))).collect();
    let ended = run_with(&data, &["records", "import", "work-order", "-"], &lines);
    let line = ended.failed();
    assert!(line.contains("full") && line.contains("free some space"), "{line}");
    fs::write(small.join("ballast"), vec![0; 4 << 20]).expect_err("the disk is full");
    // one short record may still find room in the log, so many
    let again = run_with(
        &data,
        &["records", "import", "work-order", "-"],
        &lines.replace("\"title\":\"", "\"title\":\"again "),
    );
    assert!(again.failed().contains("full"), "{}", again.err);
    fs::remove_file(small.join("ballast")).expect("ours");
    assert!(titles(&data).contains(&"first".to_owned()));
    let beside = small.join("beside");
    fs::write(small.join("ballast"), vec![0; 4 << 20]).expect_err("the disk is full");
    assert!(run(&beside, &["serve", "--listen", "127.0.0.1:0"]).failed().contains("full"));
}

pub struct Mounted(PathBuf);

impl Mounted {
    pub fn small(at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
