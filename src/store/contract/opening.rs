//! What only a store on disk can suffer.

use std::path::Path as FilePath;

use super::*;

async fn open(path: &FilePath) -> Result<Site, StoreError> {
    open_with(path, Options::default()).await
}

async fn open_with(path: &FilePath, options: Options) -> Result<Site, StoreError> {
    let rules = Arc::new(Rules::default());
    Ok(Site::new(Arc::new(Sqlite::open(path, rules.clone(), options).await?), rules, None))
}

/// What the disk holds at this moment, as after a power cut.
fn cut_power(from: &FilePath, to: &FilePath) {
    std::fs::create_dir_all(to).expect("a directory");
    for file in ["outpost.db-wal", "outpost.db"] {
        // the log first: what is checkpointed between is in both
        if from.join(file).exists() {
            std::fs::copy(from.join(file), to.join(file)).expect("a copy");
        }
    }
}

#[tokio::test]
async fn what_was_answered_survives_a_power_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = open(&dir.path().join("outpost.db")).await.expect("it opens").edge();
    for number in 1..=30u128 {
        let held = site.create("note", number, json!({"n": number as u64})).await;
        site.change(&held, vec![write(&held, "/n", json!("changed"))]).await;
        if number % 10 == 0 {
            let copy = dir.path().join(number.to_string());
            cut_power(dir.path(), &copy);
            let after = open(&copy.join("outpost.db")).await.expect("it opens");
            for number in 1..=number {
                assert_eq!(after.value("note", number).await, json!({"n": "changed"}));
                assert_eq!(after.store.history(&kind("note"), id(number)).await.expect("works").len(), 1);
            }
            assert_eq!(after.store.waiting().await.expect("works"), 2 * number as u64);
            after.check().await;
            let next = after.create("note", 999, json!({})).await;
            assert_eq!(next.seq, 2 * number as u64 + 1, "numbers go on");
        }
    }
}

#[tokio::test]
async fn what_was_written_is_there_when_it_is_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("outpost.db");
    let site = open(&path).await.expect("it opens");
    let held = site.create("job", 1, json!({"site": "a", "bad": 1})).await;
    let held = site.change(&held, vec![write(&held, "/site", json!("b"))]).await;
    let states = site.store.partitions().await.expect("works");
    let tallies = site.store.tallies().await.expect("works");
    site.store.close().await;
    let site = open(&path).await.expect("it opens");
    assert!(alike(&site.held("job", 1).await.expect("it is here"), &held));
    assert_eq!(site.store.partitions().await.expect("works"), states);
    assert_eq!(site.store.tallies().await.expect("works"), tallies);
    let back = site.change(&held, vec![write(&held, "/site", json!("a"))]).await;
    assert_eq!(back.seq, held.seq + 1);
    assert!(site.store.changes(&jobs_at("a"), 0, 0, 100).await.expect("works").moved.is_empty());
    site.check().await;
}

#[tokio::test]
async fn dropped_without_closing_nothing_that_was_answered_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("outpost.db");
    for round in 1..=3u128 {
        let site = open(&path).await.expect("it opens");
        site.create("note", round, json!({})).await;
        // more is under way when it is dropped
        let (store, request) =
            (site.store.clone(), site.request(vec![part("note", id(100 + round), Expect::New, create(json!({})))]));
        let under_way = tokio::spawn(async move { store.write(request).await });
        tokio::task::yield_now().await;
        drop(site);
        let answered = under_way.await.expect("it is answered").is_ok();
        let again = loop {
            // the one before may still be closing
            match open(&path).await {
                Ok(site) => break site,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        assert!(again.held("note", round).await.is_some());
        assert!(again.held("note", 100 + round).await.is_some() || !answered);
        again.check().await;
        again.store.close().await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("outpost.db");
    let options = Options { max_pages: Some(60), ..Options::default() };
    let site = open_with(&path, options).await.expect("it opens");
    let mut kept = 0;
    let full = loop {
        let value = json!({"text": "x".repeat(2000)});
        let request = site.request(vec![part("note", id(kept + 1), Expect::New, create(value))]);
        match site.store.write(request).await {
            Ok(_) => kept += 1,
            Err(err) => break err,
        }
        assert!(kept < 1000, "it fills up");
    };
    assert!(matches!(full, StoreError::Full), "{full:?}");
    assert_eq!(site.held("note", kept + 1).await, None);
    assert!(site.held("note", kept).await.is_some());
    site.check().await;
    site.store.close().await;
    let site = open(&path).await.expect("it opens");
    let next = site.create("other", 1, json!({"new": "names"})).await;
    assert_eq!(next.seq, kept as u64 + 1);
    site.check().await;
}

#[tokio::test]
async fn one_request_that_fails_does_not_fail_the_others_of_its_group() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { max_pages: Some(80), ..Options::default() };
    let site = Arc::new(open_with(&dir.path().join("outpost.db"), options).await.expect("it opens"));
    let writers: Vec<_> = (1..=12u128)
        .map(|number| {
            let site = site.clone();
            tokio::spawn(async move {
                let size = if number == 4 { 600_000 } else { 10 };
                let value = json!({"text": "x".repeat(size)});
                let request = site.request(vec![part("note", id(number), Expect::New, create(value))]);
                site.store.write(request).await.is_ok()
            })
        })
        .collect();
    for (at, writer) in writers.into_iter().enumerate() {
        assert_eq!(writer.await.expect("it is answered"), at != 3, "writer {}", at + 1);
    }
    site.check().await;
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("outpost.db");
    open(&path).await.expect("it opens").store.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("it opens");
    sqlx::query("pragma user_version = 99").execute(&mut conn).await.expect("works");
    sqlx::Connection::close(conn).await.expect("works");
    let again = open(&path).await.map(|_| ());
    assert!(matches!(again, Err(StoreError::Newer)), "{again:?}");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").expect("works");
    for place in [file.join("outpost.db"), FilePath::new("/proc/outpost.db").to_owned()] {
        let opened = open(&place).await.map(|_| ());
        let Err(StoreError::ReadOnly(what)) = opened else { panic!("{opened:?}") };
        assert!(what.contains("outpost.db"), "{what}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("outpost.db");
    std::fs::write(&path, "my shopping list, which is long enough to be taken for a header".repeat(20)).expect("works");
    assert!(open(&path).await.is_err());
    assert!(std::fs::read_to_string(&path).expect("works").starts_with("my shopping list"));
}

#[tokio::test]
async fn a_damaged_record_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("outpost.db");
    let site = open(&path).await.expect("it opens");
    site.create("note", 1, json!({"a": 1})).await;
    site.store.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("it opens");
    sqlx::query("update record set stamps = x'0102'").execute(&mut conn).await.expect("works");
    sqlx::Connection::close(conn).await.expect("works");
    let site = open(&path).await.expect("it opens");
    let read = site.store.record(&kind("note"), id(1)).await;
    assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
}
