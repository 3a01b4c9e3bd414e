//! Lists: filters, orders, pages. The cases are data, so that both stores answer the same questions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

contract!(
    lists_answer_the_table_of_cases,
    pages_show_every_record_once_in_the_order_of_the_whole,
    a_cursor_of_another_list_is_refused,
    hostile_names_and_values_find_what_they_say_and_nothing_else,
);

fn cases() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/store/queries.json")).expect("JSON")
}

fn steps(pointer: &str) -> Vec<String> {
    Path::steps(pointer).expect("a pointer")
}

fn operator(name: &str) -> Operator {
    match name {
        "eq" => Operator::Equal,
        "ne" => Operator::NotEqual,
        "lt" => Operator::Less,
        "le" => Operator::LessOrEqual,
        "gt" => Operator::Greater,
        "ge" => Operator::GreaterOrEqual,
        "in" => Operator::In,
        "contains" => Operator::Contains,
        "starts" => Operator::Starts,
        "empty" => Operator::Empty,
        other => panic!("an operator, not {other}"),
    }
}

fn sorts(text: &str) -> Vec<Sort> {
    let sort = |text: &str| {
        let (descending, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let by = if rest == "changed" { SortKey::Changed } else { SortKey::Field(steps(rest)) };
        Sort { by, descending }
    };
    text.split(',').filter(|text| !text.is_empty()).map(sort).collect()
}

fn query_of(case: &Value) -> Query {
    let filters = case["filter"].as_array().map(Vec::as_slice).unwrap_or_default();
    let filter = |filter: &Value| Filter {
        path: steps(filter[0].as_str().expect("a pointer")),
        operator: operator(filter[1].as_str().expect("an operator")),
        value: filter[2].clone(),
    };
    Query {
        filters: filters.iter().map(filter).collect(),
        sort: sorts(case["sort"].as_str().unwrap_or_default()),
        binned: case["binned"] == json!(true),
        ..query("note")
    }
}

async fn all_pages(site: &Site, query: &Query, limit: usize) -> Vec<Held> {
    let mut query = Query { limit, ..query.clone() };
    let mut items = Vec::new();
    loop {
        let page = site.store.records(&query).await.expect("works");
        assert!(page.items.len() <= limit);
        let listed = site.store.listed(&query).await.expect("works");
        assert_eq!(listed.items, page.items.iter().map(Held::listed).collect::<Vec<_>>());
        assert_eq!(listed.next, page.next);
        items.extend(page.items);
        assert!(items.len() < 10_000, "a list ends");
        query.cursor = page.next;
        if query.cursor.is_none() {
            return items;
        }
    }
}

async fn lists_answer_the_table_of_cases(kind_of: Kind) {
    let table = cases();
    let mut stores = vec![kind_of.open().await];
    if kind_of == Kind::Disk {
        stores.push(eager().await);
    }
    for site in &stores {
        let mut names: BTreeMap<RecordId, String> = BTreeMap::new();
        for (number, (name, value)) in table["records"].as_object().expect("records").iter().enumerate() {
            let held = site.create("note", number as u128 + 1, value.clone()).await;
            names.insert(held.id, name.clone());
            if name.starts_with("binned") {
                site.change(&held, vec![bin(&held, true)]).await;
            }
        }
        site.create("other", 1, json!({"title": "of another type", "n": 1})).await;
        // the second time around, indexes may be there
        for _ in 0..2 {
            for case in table["cases"].as_array().expect("cases") {
                let query = query_of(case);
                let expected: Vec<&str> = case["finds"].as_str().expect("names").split_whitespace().collect();
                for limit in [100, 1, 2] {
                    let found = all_pages(site, &query, limit).await;
                    let mut found: Vec<&str> = found.iter().map(|held| names[&held.id].as_str()).collect();
                    let mut expected = expected.clone();
                    if query.sort.is_empty() {
                        found.sort_unstable();
                        expected.sort_unstable();
                    }
                    assert_eq!(found, expected, "{case} in pages of {limit}");
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A store that makes indexes for the smallest of types at once.
async fn eager() -> Site {
    let dir = tempfile::tempdir().expect("a directory");
    let rules = Arc::new(Rules::default());
    let options = Options { index_from: 1, index_after: Duration::from_millis(1), ..Options::default() };
    let store = Sqlite::open(&dir.path().join("outpost.db"), rules.clone(), options).await.expect("it opens");
    Site::new(Arc::new(store), rules, Some(dir))
}

async fn pages_show_every_record_once_in_the_order_of_the_whole(kind_of: Kind) {
    let site = if kind_of == Kind::Disk { eager().await } else { kind_of.open().await };
    let records = (0..300u128)
        .map(|number| {
            let mut value = json!({"n": (number * 7 % 13) as u64, "s": format!("{}", number % 5)});
            if number % 4 == 0 {
                value["n"] = json!(number as f64 / 8.0);
            }
            if number % 9 == 0 {
                value["n"] = Value::Null;
            }
            if number % 11 == 0 {
                value.as_object_mut().expect("an object").shift_remove("n");
            }
            if number % 17 == 0 {
                value["n"] = json!("text");
            }
            part("note", id(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)), Expect::New, create(value))
        })
        .collect();
    site.save(records).await;
    for sort in [
        "",
        "/n",
        "-/n",
        "/s,-/n",
        "-/s,/n",
        "/n,/s",
        "-changed",
        "changed",
        "/s,changed",
        "/missing",
        "/s,/missing,-/n",
    ] {
        for filter in [vec![], vec![("/s", Operator::Equal, json!("3"))], vec![("/n", Operator::Less, json!(6.5))]] {
            let query = Query {
                sort: sorts(sort),
                filters: filter
                    .into_iter()
                    .map(|(path, operator, value)| Filter { path: steps(path), operator, value })
                    .collect(),
                ..query("note")
            };
            let whole = all_pages(&site, &query, 1000).await;
            for limit in [1, 7, 50] {
                let paged = all_pages(&site, &query, limit).await;
                let ids = |items: &[Held]| items.iter().map(|held| held.id).collect::<Vec<_>>();
                assert_eq!(ids(&paged), ids(&whole), "by {sort:?} in pages of {limit}");
            }
        }
    }
}

async fn a_cursor_of_another_list_is_refused(kind_of: Kind) {
    let site = kind_of.open().await;
    for number in 1..=3 {
        site.create("note", number, json!({"n": number as u64})).await;
    }
    let by_n = Query { sort: sorts("/n"), limit: 1, ..query("note") };
    let next = site.store.records(&by_n).await.expect("works").next;
    assert!(next.is_some());
    let other = Query { sort: sorts("-/n"), cursor: next.clone(), ..by_n.clone() };
    for query in
        [other, Query { cursor: Some("nonsense".into()), ..by_n.clone() }, Query { cursor: Some("e30".into()), ..by_n }]
    {
        let page = site.store.records(&query).await.map(|page| page.items.len());
        assert!(matches!(page, Err(StoreError::Cursor)), "{page:?}");
    }
}

async fn hostile_names_and_values_find_what_they_say_and_nothing_else(kind_of: Kind) {
    let site = if kind_of == Kind::Disk { eager().await } else { kind_of.open().await };
    let names = [
        "",
        "'",
        "\"",
        "\\",
        "a.b",
        "$",
        "[0]",
        "#",
        "' or 1=1 --",
        "\"]",
        "ä",
        "a\nb",
        "\u{0}",
        "\u{1f600}",
        "*",
        "@x",
        "a b",
        "?1",
        "\\u0061",
        "x'00'",
        "::",
    ];
    for (number, name) in names.iter().enumerate() {
        let mut map = serde_json::Map::new();
        map.insert((*name).to_owned(), json!({*name: *name}));
        map.insert(format!("{name}x"), json!(1));
        site.create("note", number as u128 + 1, Value::Object(map)).await;
    }
    for (number, name) in names.iter().enumerate() {
        let path = vec![(*name).to_owned(), (*name).to_owned()];
        for (operator, value) in [
            (Operator::Equal, json!(name)),
            (Operator::In, json!([name])),
            (Operator::GreaterOrEqual, json!(name)),
            (Operator::Starts, json!(name)),
            (Operator::Contains, json!(name)),
            (Operator::Empty, json!(false)),
        ] {
            let query = Query {
                filters: vec![Filter { path: path.clone(), operator, value }],
                sort: vec![Sort { by: SortKey::Field(path.clone()), descending: true }],
                ..query("note")
            };
            for _ in 0..2 {
                let page = site.store.records(&query).await.expect("works");
                let found: Vec<RecordId> = page.items.iter().map(|held| held.id).collect();
                assert_eq!(found, [id(number as u128 + 1)], "{name:?} {operator:?}");
            }
        }
        let query = Query { sort: vec![Sort { by: SortKey::Field(path), descending: false }], ..query("note") };
        let items = all_pages(&site, &query, 4).await;
        assert_eq!(items.len(), names.len());
        assert_eq!(items[0].id, id(number as u128 + 1), "{name:?}: the one with a value comes first");
    }
}

#[tokio::test]
async fn a_list_is_read_along_an_index_that_it_made() {
    let site = eager().await;
    let records = (0..900u128)
        .map(|number| {
            let value =
                json!({"status": if number % 2 == 0 { "open" } else { "done" }, "due": (number * 37 % 900) as u64, "x": 1});
            part("note", id(number + 1), Expect::New, create(value))
        })
        .collect();
    site.save(records).await;
    let filters = vec![Filter { path: vec!["status".into()], operator: Operator::Equal, value: json!("open") }];
    let query = Query { filters, sort: sorts("-/due"), limit: 5, ..query("note") };
    let before = site.store.records(&query).await.expect("works").items;
    let path = site.dir.as_ref().expect("on disk").path().join("outpost.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("it opens");
    let mut index = None::<String>;
    for _ in 0..200 {
        let sql = "select name from list_index";
        let row = sqlx::query(sql).fetch_optional(&mut conn).await.expect("works");
        index = row.map(|row| sqlx::Row::get(&row, 0));
        if index.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sql = format!(
        "explain query plan select * from record indexed by {}
         where type = 2 and flags & 1 = 0 and (doc ->> '$.\"status\"') = ?2 and (doc ->> '$.\"due\"') is not null
         order by (doc ->> '$.\"due\"') desc, id desc limit 5",
        index.expect("an index is made")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut conn).await.expect("works");
    let plan = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 3)).collect::<Vec<_>>().join("; ");
    assert!(plan.contains("USING INDEX list_") && !plan.contains("TEMP B-TREE"), "{plan}");
    assert_eq!(site.store.records(&query).await.expect("works").items, before);
    // it follows what is written
    let held = &before[0];
    site.change(held, vec![write(held, "/status", json!("done"))]).await;
    let after = site.store.records(&query).await.expect("works").items;
    assert_eq!(after[..4], before[1..]);
}

#[tokio::test]
async fn the_number_of_indexes_is_bounded() {
    let site = eager().await;
    site.create("note", 1, json!({"a": 1})).await;
    for round in 0..3 {
        for field in 0..12 {
            let query = Query { sort: sorts(&format!("/f{field}")), ..query("note") };
            assert_eq!(site.store.records(&query).await.expect("works").items.len(), 1, "round {round}");
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let path = site.dir.as_ref().expect("on disk").path().join("outpost.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("it opens");
    let sql = "select count(*) from sqlite_schema where type = 'index' and name like 'list%'";
    let count: i64 = sqlx::Row::get(&sqlx::query(sql).fetch_one(&mut conn).await.expect("works"), 0);
    assert_eq!(count, 6);
}
