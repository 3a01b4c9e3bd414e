//! What is deleted for good: by whom, when, and how long is waited.

use serde_json::json;

use crate::run::{Place, Running, http, hub, run};

const RECORDS: &str = "/api/v1/types/work-order/records";

#[test]
fn a_record_is_deleted_for_good_from_the_bin_by_an_admin_and_not_before_a_backup_is_too_old() {
    let place = Place::new();
    let (data, token) = hub(&place);
    let staff = run(&data, &["token", "create", "--name", "staff", "--role", "staff", "--json"]).json();
    let staff = staff["token"].as_str().expect("a token").to_owned();
    let node = Running::serve(&data);
    let ask = |method: &str, path: &str, token: &str| http(&node.url, method, path, token, None);
    let make = |title: &str| {
        let (status, made) = http(&node.url, "POST", RECORDS, &token, Some(&json!({ "data": { "title": title } })));
        assert_eq!(status, 201, "{made}");
        format!("{RECORDS}/{}", made["id"].as_str().expect("an id"))
    };
    let first = make("first");
    let (status, problem) = ask("DELETE", &format!("{first}?purge=true"), &token);
    assert_eq!(status, 409, "{problem}");
    assert_eq!(ask("DELETE", &first, &token).0, 200);
    assert_eq!(ask("DELETE", &format!("{first}?purge=true"), &staff).0, 403);
    assert_eq!(ask("DELETE", &format!("{first}?purge=true"), &token).0, 204, "there is nobody to wait for");
    assert_eq!(ask("GET", &first, &token).0, 404);
    assert_eq!(ask("DELETE", &format!("{first}?purge=true"), &token).0, 404);

    let second = make("second");
    run(&data, &["backup", &place.at("backup").to_string_lossy()]).good();
    assert_eq!(ask("DELETE", &second, &token).0, 200);
    let (status, kept) = ask("DELETE", &format!("{second}?purge=true"), &token);
    assert_eq!((status, &kept["deleted"]), (202, &json!(true)), "the backup would bring it back");
    let stands = run(&data, &["node", "forgetting", "--json"]).json();
    assert_eq!(
        (&stands["waiting"], &stands["silent_days"], &stands["bin_days"]),
        (&json!(1), &json!(180), &json!(null))
    );
    assert!(run(&data, &["node", "forgetting", "--bin-days", "soon"]).failed().contains("never"));
    let set = ["node", "forgetting", "--backup-days", "0", "--silent-days", "90", "--bin-days", "30", "--json"];
    let stands = run(&data, &set).json();
    assert_eq!((&stands["silent_days"], &stands["bin_days"]), (&json!(90), &json!(30)));
    assert_eq!(ask("GET", &second, &token).0, 404, "no backup is restored any more");
    assert!(run(&data, &["node", "forgetting"]).good().contains("90 days"));
    node.stop();
    run(&data, &["doctor"]).good();
}
