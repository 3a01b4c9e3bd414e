//! The first copy of an edge whose power fails again and again.

use std::time::Duration;

use crate::run::{Place, Running, binary, hub, run, run_with, titles};

#[test]
fn a_join_that_is_killed_again_and_again_comes_to_its_end_with_everything() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let body = "Seal weeps about a cup an hour at full load. ".repeat(12);
    let lines: String =
        (0..7_000).map(|n| format!("{{\"title\":\"order {n:05}\",\"fault\":\"{body}{n}\"}}\n")).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    let node = Running::serve(&data);
    let invited = run(&data, &["node", "invite", "--json"]).json();
    let token = invited["token"].as_str().expect("a token").to_owned();
    let edge = place.at("edge");
    let mut killed = 0;
    // longer each time, so that a fast machine is met in the middle as well as a slow one
    for millis in [60, 100, 150, 220, 320, 450, 650, 900, 1_200] {
        let mut command = binary(std::path::Path::new(env!("CARGO_BIN_EXE_outpost")));
        command.args(["join", &node.url, "--token", &token, "--data"]).arg(&edge);
        let mut child = command.spawn().expect("the binary starts");
        std::thread::sleep(Duration::from_millis(millis));
        killed += usize::from(child.try_wait().expect("it can be waited for").is_none());
        // as a power cut does
        let _ = child.kill();
        child.wait().expect("it ends");
    }
    assert!(killed > 0, "it was never in the middle of it");
    let ended = run(&edge, &["join", &node.url, "--token", &token]);
    // it may have come to its end just before it was killed
    assert!(ended.status == 0 || ended.failed().contains("already an edge"), "{}", ended.err);
    assert_eq!(titles(&edge), titles(&data));
    let doctor = run(&edge, &["doctor"]);
    assert_eq!(doctor.status, 0, "{}", doctor.out);
    let chunks = std::fs::read_dir(data.join("chunks")).expect("they were made").count();
    assert!(chunks > 2, "{chunks}");
    node.stop();
}
