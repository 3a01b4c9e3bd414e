use super::failing::REFUSED;
use super::*;
use crate::domain::ids::{NodeId, TypeName};
use crate::domain::protocol::Verdict;

const EPOCH: Epoch = Epoch(1);

fn partition(name: &str) -> Partition {
    Partition(name.into())
}

fn head(name: &str, head: u64) -> Head {
    Head { id: partition(name), head, digest: Digest(u128::from(head)), newer: head, put_back: false, forgets: false }
}

pub(super) fn welcome(epoch: Epoch, partitions: Vec<Head>) -> Welcome {
    Welcome {
        protocol: 1,
        node: NodeId(9),
        name: "hub".into(),
        epoch,
        ancestors: Vec::new(),
        clock: 0,
        scope: Scope::All,
        head: partitions.iter().map(|head| head.head).max().unwrap_or(0),
        partitions,
        limits: Limits::default(),
        ratchet: None,
        relays: false,
        locates: false,
        remembers: false,
        above: None,
        peers: Vec::new(),
    }
}

fn holding(name: &str, base: u64, digest: u128) -> Holding {
    let cursor = Cursor { epoch: EPOCH, base, after: base, tag: None };
    Holding { partition: partition(name), cursor: Some(cursor), records: 1, digest: Digest(digest), copying: false }
}

/// A session that knows a hub with these partitions.
fn greeted(partitions: Vec<Head>, held: Vec<Holding>) -> Session {
    let mut session = Session::new(0);
    assert_eq!(session.next(0), Step::Hello);
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, partitions), held }, 0, 0);
    session
}

fn joined(session: &mut Session, name: &str, next: Option<u64>, head: u64, now: i64) {
    let Step::Pull { partition, cursor, .. } = session.next(now) else { panic!("a pull was expected") };
    assert_eq!(partition.0, name);
    let cursor = cursor.turned(next, head);
    let digest = Digest(u128::from(head));
    session.handle(Event::Joined { partition, cursor, head, digest, rows: 1 }, now, 0);
}

fn pulls(session: &mut Session, now: i64) -> Partition {
    match session.next(now) {
        Step::Pull { partition, .. } => partition,
        other => panic!("a pull was expected, not {other:?}"),
    }
}

fn unreachable() -> Failure {
    Failure::Unreachable("no route to the hub".into())
}

fn fail(session: &mut Session, doing: Doing, failure: Failure, now: i64) {
    session.handle(Event::Failed { doing, failure }, now, 0);
}

fn state(session: &Session) -> LinkState {
    session.status().state
}

#[test]
fn types_come_first_then_people_then_the_rest_in_turn() {
    let mut session = greeted(vec![head("a", 9), head("b", 8), head("_people", 7), head("_types", 6)], vec![]);
    joined(&mut session, "_types", None, 6, 1);
    joined(&mut session, "_people", None, 7, 1);
    joined(&mut session, "a", Some(3), 9, 1);
    joined(&mut session, "b", Some(4), 8, 1);
    joined(&mut session, "a", None, 9, 1);
    joined(&mut session, "b", None, 8, 1);
    assert_eq!(session.next(1), Step::Compare);
}

#[test]
fn a_partition_is_complete_only_with_its_last_page() {
    let mut session = greeted(vec![head("a", 9)], vec![]);
    joined(&mut session, "a", Some(5), 9, 1);
    let Step::Pull { cursor, .. } = session.next(1) else { panic!("a pull was expected") };
    assert_eq!(cursor, Cursor { epoch: EPOCH, base: 0, after: 5, tag: None });
    joined(&mut session, "a", None, 12, 1);
    assert_eq!(
        session.cursors().next(),
        Some((&partition("a"), Cursor { epoch: EPOCH, base: 12, after: 12, tag: None }))
    );
}

#[test]
fn equal_digests_and_an_empty_outbox_are_in_step() {
    let mut session = greeted(vec![head("a", 9)], vec![holding("a", 9, 9)]);
    assert_eq!(session.next(1), Step::Compare);
    assert_eq!(state(&session), LinkState::Behind);
    session.handle(Event::Compared { waiting: 0, held: vec![holding("a", 9, 9)] }, 1, 0);
    assert_eq!(state(&session), LinkState::InStep);
    assert_eq!(session.status().since, 1);
    session.handle(Event::Waiting(2), 5, 0);
    assert_eq!((state(&session), session.status().pending_out, session.status().since), (LinkState::Behind, 2, 5));
}

#[test]
fn what_those_below_gave_back_to_this_node_makes_it_compare_again() {
    let mut session = greeted(vec![head("a", 9)], vec![holding("a", 9, 9)]);
    session.handle(Event::Compared { waiting: 0, held: vec![holding("a", 9, 9)] }, 1, 0);
    assert_eq!(state(&session), LinkState::InStep);
    session.handle(Event::Report, 2, 0);
    let now = 2 + REPORT;
    assert_eq!(session.next(now), Step::Hello);
    let held = vec![holding("a", 9, 10)];
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![head("a", 9)]), held: held.clone() }, now, 0);
    assert_eq!(session.next(now), Step::Compare);
    session.handle(Event::Compared { waiting: 0, held }, now, 0);
    assert_eq!(state(&session), LinkState::Behind, "it is not what the hub has");
}

#[test]
fn the_hub_is_told_at_once_who_came_into_step_and_then_no_more_often_than_it_was() {
    let held = || vec![holding("a", 9, 9)];
    let welcomed = |session: &mut Session, now| {
        assert_eq!(session.next(now), Step::Hello);
        session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![head("a", 9)]), held: held() }, now, 0);
    };
    let mut session = greeted(vec![head("a", 9)], held());
    session.handle(Event::LiveUp, 1, 0);
    session.handle(Event::Compared { waiting: 0, held: held() }, 1, 0);
    welcomed(&mut session, 1);
    assert!(matches!(session.next(2), Step::Wait { until: Some(until) } if until > 1 + REPORT), "once is enough");
    // saves that follow each other closely are told of together
    for now in [10, 20] {
        session.handle(Event::Waiting(1), now, 0);
        let verdicts = vec![Verdict { save: SaveId(1), refused: None, quarantined: None, waits: false }];
        let reply = Pushed { epoch: EPOCH, verdicts, head: 9, partitions: vec![] };
        session.handle(Event::Pushed { reply, waiting: 0 }, now, 0);
        session.handle(Event::Compared { waiting: 0, held: held() }, now, 0);
        assert_eq!(state(&session), LinkState::InStep);
        assert_eq!(session.next(now), Step::Wait { until: Some(1 + REPORT) });
    }
    welcomed(&mut session, 1 + REPORT);
    // after a while of rest the hub hears at once
    session.handle(Event::Waiting(1), 9_000, 0);
    let reply = Pushed { epoch: EPOCH, verdicts: vec![], head: 9, partitions: vec![] };
    session.handle(Event::Pushed { reply, waiting: 0 }, 9_000, 0);
    session.handle(Event::Compared { waiting: 0, held: held() }, 9_000, 0);
    welcomed(&mut session, 9_000);
    // so it does after the link was gone, whatever is told about first
    session.handle(Event::LiveDown, 9_010, 0);
    session.handle(Event::Failed { doing: Doing::Hello, failure: unreachable() }, 9_010, 0);
    welcomed(&mut session, 20_000);
    session.handle(Event::Compared { waiting: 0, held: held() }, 20_001, 0);
    assert_eq!(state(&session), LinkState::InStep);
}

#[test]
fn a_save_goes_before_the_next_page_and_its_partition_is_compared_again() {
    let mut session = greeted(vec![head("a", 9)], vec![]);
    joined(&mut session, "a", Some(5), 9, 1);
    session.handle(Event::Waiting(1), 1, 0);
    assert!(matches!(session.next(1), Step::Push { since: 9, .. }));
    let verdicts = vec![Verdict { save: SaveId(1), refused: None, quarantined: None, waits: false }];
    let reply = Pushed { epoch: EPOCH, verdicts, head: 10, partitions: vec![head("b", 10)] };
    session.handle(Event::Pushed { reply, waiting: 0 }, 2, 0);
    joined(&mut session, "b", None, 10, 2);
    joined(&mut session, "a", None, 9, 2);
    assert_eq!(session.next(2), Step::Compare);
    session.handle(Event::Compared { waiting: 1, held: vec![] }, 2, 0);
    assert!(matches!(session.next(2), Step::Push { since: 10, .. }), "a save that came meanwhile makes no difference");
}

#[test]
fn a_difference_is_healed_from_the_beginning_once_and_then_rarely() {
    let differs = |session: &mut Session, base, now| {
        session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![head("a", base)]), held: vec![] }, now, 0);
        assert_eq!(session.next(now), Step::Compare);
        session.handle(Event::Compared { waiting: 0, held: vec![holding("a", base, 4)] }, now, 0);
    };
    let mut session = greeted(vec![head("a", 9)], vec![holding("a", 9, 4)]);
    session.handle(Event::Compared { waiting: 0, held: vec![holding("a", 9, 4)] }, 1, 0);
    let Step::Pull { cursor, .. } = session.next(1) else { panic!("a pull was expected") };
    assert_eq!((cursor, session.healed()), (Cursor::start(EPOCH), 1));
    joined(&mut session, "a", None, 9, 1);
    differs(&mut session, 9, 1);
    assert_eq!(session.status().reason, "a is not the same here and at the hub");
    assert!(matches!(session.next(1), Step::Wait { until: Some(_) }));
    session.handle(Event::Heard(Hint { epoch: EPOCH, partition: partition("a"), head: 11, records: 1 }), 2, 0);
    let Step::Pull { cursor, .. } = session.next(2) else { panic!("a pull was expected") };
    assert_eq!(cursor.base, 9, "what is new goes on meanwhile");
    joined(&mut session, "a", None, 11, 2);
    differs(&mut session, 11, 2);
    let later = 2_000_000;
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![head("a", 11)]), held: vec![] }, later, 0);
    let Step::Pull { cursor, .. } = session.next(later) else { panic!("a pull was expected") };
    assert_eq!(cursor.base, 0);
    joined(&mut session, "a", None, 11, later);
    session.handle(Event::Compared { waiting: 0, held: vec![holding("a", 11, 11)] }, later, 0);
    assert_eq!(state(&session), LinkState::InStep);
}

#[test]
fn a_difference_between_what_was_heard_at_different_moments_is_looked_at_again() {
    // a record moved from a to b at the hub, and only b was heard of
    let mut session = greeted(vec![head("a", 9), head("b", 8)], vec![holding("a", 9, 9)]);
    joined(&mut session, "b", None, 10, 1);
    assert_eq!(session.next(1), Step::Compare);
    session.handle(Event::Compared { waiting: 0, held: vec![holding("a", 9, 4), holding("b", 10, 10)] }, 1, 0);
    assert_eq!(session.status().reason, "comparing with the hub");
    let Step::Wait { until: Some(until) } = session.next(1) else { panic!("a wait was expected") };
    assert!(until <= 1 + REPORT);
    assert_eq!(session.next(until), Step::Hello);
    let heads = vec![head("a", 10), head("b", 10)];
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, heads), held: vec![] }, until, 0);
    joined(&mut session, "a", None, 10, until);
    session.handle(Event::Compared { waiting: 0, held: vec![holding("a", 10, 10), holding("b", 10, 10)] }, until, 0);
    assert_eq!((state(&session), session.healed()), (LinkState::InStep, 0));
}

#[test]
fn a_foreign_epoch_starts_the_cursors_again_and_drops_nothing() {
    let mut session = greeted(vec![head("a", 9)], vec![holding("a", 4, 4)]);
    fail(&mut session, Doing::Pull(partition("a")), Failure::ForeignEpoch, 1);
    assert_eq!(session.next(1), Step::Hello);
    let held = vec![holding("a", 4, 4)];
    session.handle(Event::Welcomed { welcome: welcome(Epoch(2), vec![head("a", 30)]), held }, 1, 0);
    let Step::Pull { cursor, .. } = session.next(1) else { panic!("a pull was expected") };
    assert_eq!(cursor, Cursor::start(Epoch(2)));
    session.handle(Event::Heard(Hint { epoch: EPOCH, partition: partition("a"), head: 99, records: 1 }), 1, 0);
    assert_eq!(session.next(1), Step::Hello, "a hint of another line of numbers is no number of this one");
}

#[test]
fn a_hub_that_knows_less_than_it_handed_out_is_read_from_the_beginning() {
    let mut session = greeted(vec![head("a", 5)], vec![holding("a", 9, 9)]);
    let Step::Pull { cursor, .. } = session.next(0) else { panic!("a pull was expected") };
    assert_eq!(cursor.base, 0);
}

/// A hub that compares record by record.
fn comparing(epoch: Epoch, partitions: Vec<Head>, ancestors: Vec<Epoch>) -> Welcome {
    Welcome { ratchet: Some(1), ancestors, ..welcome(epoch, partitions) }
}

fn reconciles(session: &mut Session, now: i64) -> (Partition, Walk) {
    match session.next(now) {
        Step::Reconcile { partition, walk, .. } => (partition, walk),
        other => panic!("a comparison was expected, not {other:?}"),
    }
}

#[test]
fn what_a_restored_hub_may_lack_is_compared_types_first_and_then_read_from_where_it_was() {
    let mut session = Session::new(0);
    session.handle(Event::Waiting(1), 0, 0);
    let heads = vec![head("_types", 3), head("a", 9), head("new", 2)];
    let held = || vec![holding("_types", 40, 1), holding("a", 30, 30), holding("gone", 20, 20)];
    let event = |at| Event::Welcomed { welcome: comparing(Epoch(2), heads.clone(), vec![EPOCH]), held: at };
    session.handle(event(held()), 0, 0);
    let begun = |base| Cursor { epoch: Epoch(2), base, after: base, tag: Some(7) };
    assert_eq!(reconciles(&mut session, 0), (Partition::types(), Walk::default()));
    session.handle(Event::Reconciled { partition: Partition::types(), begun: begun(3), next: None }, 1, 0);
    assert!(matches!(session.next(1), Step::Push { .. }), "then saves can be judged");
    session.handle(Event::NothingToPush, 1, 0);
    assert_eq!(reconciles(&mut session, 1).0, partition("a"));
    let from = Mark { type_name: TypeName::custom("a").expect("a good name"), id: uuid::Uuid::nil() };
    let next = Some(from.clone());
    session.handle(Event::Reconciled { partition: partition("a"), begun: begun(9), next }, 1, 0);
    assert_eq!(reconciles(&mut session, 1).0, partition("gone"), "what the hub does not hold at all");
    session.handle(Event::Reconciled { partition: partition("gone"), begun: begun(0), next: None }, 1, 0);
    // whatever fails, it goes on where it was
    fail(&mut session, Doing::Reconcile(partition("a")), unreachable(), 2);
    let Step::Wait { until: Some(until) } = session.next(2) else { panic!("a wait was expected") };
    assert_eq!(session.next(until), Step::Hello);
    session.handle(event(vec![holding("a", 30, 30)]), until, 0);
    let walk = Walk { from: Some(from), begun: Some(begun(9)) };
    assert_eq!(reconciles(&mut session, until), (partition("a"), walk));
    session.handle(Event::Reconciled { partition: partition("a"), begun: begun(9), next: None }, until, 0);
    assert_eq!(pulls(&mut session, until), partition("new"));
}

#[test]
fn numbers_that_were_given_twice_are_compared_and_the_cursor_then_begins_where_the_hub_was() {
    let mut session = Session::new(0);
    let heads = vec![Head { put_back: true, ..head("a", 20) }];
    let held = vec![holding("a", 9, 9)];
    session.handle(Event::Welcomed { welcome: comparing(EPOCH, heads, vec![]), held }, 0, 0);
    assert!(session.status().reason.contains("put back"), "{}", session.status().reason);
    let (partition, walk) = reconciles(&mut session, 0);
    assert_eq!(walk, Walk::default());
    let begun = Cursor { epoch: EPOCH, base: 15, after: 15, tag: Some(4) };
    session.handle(Event::Reconciled { partition, begun, next: None }, 1, 0);
    let Step::Pull { cursor, .. } = session.next(1) else { panic!("a pull was expected") };
    assert_eq!(cursor, begun);
}

#[test]
fn out_of_reach_waits_longer_each_time_and_never_for_ever() {
    let mut session = Session::new(0);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert_eq!(session.next(now), Step::Hello);
        fail(&mut session, Doing::Hello, unreachable(), now);
        let Step::Wait { until: Some(until) } = session.next(now) else { panic!("a wait was expected") };
        waits.push(until - now);
        now = until;
    }
    assert!(waits.is_sorted() && waits[0] >= 250 && *waits.last().expect("twelve waits") <= 60_000, "{waits:?}");
    let status = session.status();
    assert_eq!((status.state, status.reason.as_str()), (LinkState::Offline, "no route to the hub"));
    session.handle(Event::Now, now - 1, 0);
    assert_eq!(session.next(now - 1), Step::Hello);
}

#[test]
fn what_the_hub_asks_for_is_honoured() {
    let mut session = greeted(vec![], vec![]);
    session.handle(Event::Waiting(1), 0, 0);
    let failure = Failure::Busy { reason: "too many at once".into(), retry_after: Some(90_000) };
    fail(&mut session, Doing::Push(None), failure, 10);
    assert_eq!(session.next(11), Step::Wait { until: Some(90_010) });
    assert_eq!(session.next(90_010), Step::Hello);
}

#[test]
fn a_partition_that_fails_does_not_hold_up_the_others() {
    let mut session = greeted(vec![head("_types", 5), head("a", 9)], vec![]);
    fail(&mut session, Doing::Pull(Partition::types()), Failure::Local("the disk is full".into()), 1);
    assert_eq!(pulls(&mut session, 1), partition("a"));
    joined(&mut session, "a", None, 9, 1);
    session.handle(Event::Waiting(1), 1, 0);
    assert!(matches!(session.next(1), Step::Push { .. }));
    session.handle(Event::NothingToPush, 1, 0);
    session.handle(Event::Compared { waiting: 0, held: vec![holding("a", 9, 9)] }, 1, 0);
    let Step::Wait { until: Some(until) } = session.next(1) else { panic!("a wait was expected") };
    assert_eq!(pulls(&mut session, until), Partition::types());
    assert_eq!(session.status().reason, "_types cannot be fetched: the disk is full");
}

#[test]
fn a_save_the_hub_can_never_take_is_set_aside_and_the_others_go_on() {
    let mut session = greeted(vec![], vec![]);
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![]), held: vec![] }, 0, 0);
    session.handle(Event::Waiting(3), 0, 0);
    let reject = || Failure::Rejected("a save is larger than 4 MiB".into());
    fail(&mut session, Doing::Push(None), reject(), 0);
    let mut now = 0;
    for _ in 0..3 {
        let Step::Wait { until: Some(until) } = session.next(now) else { panic!("a wait was expected") };
        now = until;
        assert!(matches!(session.next(now), Step::Push { max_bytes: 1, .. }), "one by one");
        fail(&mut session, Doing::Push(Some(SaveId(7))), reject(), now);
    }
    let Step::SetAside { save, reason } = session.next(now) else { panic!("setting aside was expected") };
    assert_eq!((save, reason.as_str()), (SaveId(7), "a save is larger than 4 MiB"));
    session.handle(Event::IsAside { waiting: 2 }, now, 0);
    assert!(matches!(session.next(now), Step::Push { max_bytes, .. } if max_bytes > 1));
}

#[test]
fn a_refused_node_says_so_and_asks_again_later() {
    let mut session = greeted(vec![head("a", 9)], vec![]);
    fail(&mut session, Doing::Pull(partition("a")), Failure::Refused("this node was revoked".into()), 7);
    let status = session.status();
    assert_eq!((status.state, status.reason.as_str(), status.since), (LinkState::Refused, "this node was revoked", 7));
    assert_eq!(session.listens(8), None);
    let Step::Wait { until: Some(until) } = session.next(8) else { panic!("a wait was expected") };
    assert_eq!(session.next(until), Step::Hello);
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![]), held: vec![] }, until, 0);
    assert_eq!(state(&session), LinkState::InStep);
}

#[test]
fn a_node_that_is_not_the_only_one_takes_a_new_incarnation_and_says_hello_again() {
    let mut session = Session::new(0);
    let twin = || Failure::Twin("take a new incarnation".into());
    fail(&mut session, Doing::Hello, twin(), 0);
    assert_eq!(session.next(0), Step::Renew);
    session.handle(Event::Failed { doing: Doing::Renew, failure: Failure::Local("the disk is full".into()) }, 0, 0);
    let Step::Wait { until: Some(until) } = session.next(0) else { panic!("a wait was expected") };
    assert_eq!(session.next(until), Step::Renew);
    session.handle(Event::Renewed, until, 0);
    assert_eq!(session.next(until), Step::Hello);
    fail(&mut session, Doing::Hello, twin(), until);
    assert!(matches!(session.next(until), Step::Wait { until: Some(_) }), "a hub that errs is not asked for ever");
    session.handle(Event::Now, until, 0);
    assert_eq!(session.next(until), Step::Renew);
    session.handle(Event::Renewed, until, 0);
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![]), held: vec![] }, until, 0);
    assert_eq!(state(&session), LinkState::InStep);
}

#[test]
fn a_revoked_node_hands_over_its_outbox_and_then_rests() {
    let mut session = greeted(vec![head("a", 9)], vec![]);
    session.handle(Event::Waiting(2), 1, 0);
    let revoked = || Failure::Revoked("this node was revoked".into());
    fail(&mut session, Doing::Hello, revoked(), 2);
    assert_eq!(state(&session), LinkState::Refused);
    let handed = |session: &mut Session, waiting, now| {
        assert!(matches!(session.next(now), Step::Push { .. }));
        let reply = Pushed { epoch: EPOCH, verdicts: vec![], head: 0, partitions: vec![] };
        session.handle(Event::Pushed { reply, waiting }, now, 0);
    };
    handed(&mut session, 1, 3);
    handed(&mut session, 0, 3);
    let Step::Wait { until: Some(until) } = session.next(3) else { panic!("a wait was expected") };
    assert_eq!((state(&session), until), (LinkState::Refused, 2 + REFUSED));
    // what is saved later goes with the next try; a hub that does not answer is left in peace until the one after
    session.handle(Event::Waiting(1), 4, 0);
    assert!(matches!(session.next(4), Step::Wait { .. }));
    assert_eq!(session.next(until), Step::Hello);
    fail(&mut session, Doing::Hello, revoked(), until);
    assert!(matches!(session.next(until), Step::Push { .. }));
    fail(&mut session, Doing::Push(None), unreachable(), until);
    assert!(matches!(session.next(until), Step::Wait { until: Some(next) } if next == until + REFUSED));
    assert_eq!(state(&session), LinkState::Refused);
}

#[test]
fn paused_does_nothing_until_resumed() {
    let mut session = greeted(vec![head("a", 9)], vec![]);
    session.handle(Event::Pause, 1, 0);
    session.handle(Event::Waiting(1), 1, 0);
    assert_eq!(session.next(1_000_000), Step::Wait { until: None });
    assert_eq!((state(&session), session.listens(1)), (LinkState::Paused, None));
    session.handle(Event::Resume, 2, 0);
    assert_eq!(session.next(2), Step::Hello);
}

#[test]
fn hints_are_listened_for_while_the_hub_answers() {
    let mut session = Session::new(0);
    assert_eq!(session.listens(0), None);
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![head("a", 9)]), held: vec![] }, 0, 0);
    assert_eq!(session.listens(0), Some(9));
    session.handle(Event::LiveUp, 0, 0);
    session.handle(Event::LiveDown, 5, 0);
    assert_eq!(session.listens(5), None);
    assert_eq!(session.next(5), Step::Hello, "a stream that ends most likely means that the network is gone");
    fail(&mut session, Doing::Hello, unreachable(), 5);
    assert_eq!(session.listens(1_000_000), None);
    session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![head("a", 9)]), held: vec![] }, 6_000, 0);
    assert_eq!(session.listens(6_000), Some(9));
}

#[test]
fn without_hints_the_hub_is_asked_more_often() {
    let wait = |live: bool| {
        let mut session = Session::new(0);
        session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![]), held: vec![] }, 0, 0);
        if live {
            session.handle(Event::LiveUp, 0, 0);
        }
        session.handle(Event::Welcomed { welcome: welcome(EPOCH, vec![]), held: vec![] }, 0, 0);
        match session.next(0) {
            Step::Wait { until: Some(until) } => until,
            other => panic!("a wait was expected, not {other:?}"),
        }
    };
    assert!(wait(false) < wait(true));
}

#[test]
fn what_is_outside_the_scope_is_dropped_after_its_saves_are_pushed() {
    let mut session = Session::new(0);
    session.handle(Event::Waiting(1), 0, 0);
    let mut welcome = welcome(EPOCH, vec![head("a", 9)]);
    welcome.scope = Scope::from_json(&serde_json::json!({"a": true})).expect("a good scope");
    let held = vec![holding("a", 9, 9), holding("b", 3, 3), holding("_people", 2, 2)];
    session.handle(Event::Welcomed { welcome, held }, 0, 0);
    assert!(matches!(session.next(0), Step::Push { .. }));
    session.handle(Event::NothingToPush, 0, 0);
    assert_eq!(session.next(0), Step::Forget(vec![partition("b")]));
    session.handle(Event::Forgot, 0, 0);
    assert_eq!(session.next(0), Step::Compare);
}

#[test]
fn what_a_save_takes_out_of_the_scope_is_dropped_before_the_node_is_in_step() {
    let mut session = Session::new(0);
    let mut welcome = welcome(EPOCH, vec![head("a", 9)]);
    welcome.scope = Scope::from_json(&serde_json::json!({"a": true})).expect("a good scope");
    let held = || vec![holding("a", 9, 9), holding("b", 3, 3)];
    session.handle(Event::Welcomed { welcome, held: held() }, 0, 0);
    assert_eq!(session.next(0), Step::Forget(vec![partition("b")]));
    session.handle(Event::Forgot, 0, 0);
    session.handle(Event::Waiting(1), 1, 0);
    session.handle(Event::NothingToPush, 1, 0);
    assert_eq!(session.next(1), Step::Compare);
    session.handle(Event::Compared { waiting: 0, held: held() }, 1, 0);
    assert_eq!(session.next(1), Step::Forget(vec![partition("b")]));
}

#[test]
fn a_partition_that_only_this_node_holds_is_not_in_step() {
    let mut session = greeted(vec![head("a", 9)], vec![holding("a", 9, 9), holding("b", 3, 3)]);
    session.handle(Event::Compared { waiting: 0, held: vec![holding("a", 9, 9), holding("b", 3, 3)] }, 1, 0);
    assert_eq!(session.status().reason, "b is here and not at the hub");
    let name = TypeName::custom("b").expect("a good name");
    assert_eq!(partition("b"), Partition::of_type(&name));
}

#[test]
fn whatever_it_waits_for_it_says_until_when() {
    let failures = [
        unreachable(),
        Failure::Busy { reason: "busy".into(), retry_after: Some(i64::MAX) },
        Failure::Refused("no".into()),
        Failure::Twin("no".into()),
        Failure::Revoked("no".into()),
        Failure::ForeignEpoch,
        Failure::OutOfScope("no".into()),
        Failure::Rejected("no".into()),
        Failure::Faulty("no".into()),
        Failure::Local("no".into()),
    ];
    let doings = [
        Doing::Hello,
        Doing::Renew,
        Doing::Push(None),
        Doing::Push(Some(SaveId(1))),
        Doing::SetAside,
        Doing::Forget,
        Doing::Pull(partition("a")),
        Doing::Reconcile(partition("a")),
        Doing::Compare,
    ];
    for failure in &failures {
        for doing in &doings {
            let mut session = greeted(vec![head("a", 9)], vec![]);
            session.handle(Event::Waiting(1), 0, 0);
            let mut now = 10;
            for _ in 0..20 {
                session.handle(Event::Failed { doing: doing.clone(), failure: failure.clone() }, now, u64::MAX);
                if let Step::Wait { until } = session.next(now) {
                    let until = until.expect("only a paused link waits without end");
                    assert!(until > now && until - now <= 3_700_000, "{failure:?} {doing:?} {until}");
                    now = until;
                    assert!(!matches!(session.next(now), Step::Wait { .. }), "{failure:?} {doing:?}");
                }
            }
        }
    }
}

#[test]
fn what_was_acknowledged_and_never_read_is_compared_with_a_restored_hub() {
    let unread = |name: &str| Holding { cursor: None, ..holding(name, 0, 7) };
    let mut session = Session::new(0);
    let held = vec![unread("a"), unread("gone")];
    session.handle(Event::Welcomed { welcome: comparing(Epoch(2), vec![head("a", 9)], vec![EPOCH]), held }, 0, 0);
    let begun = Cursor { epoch: Epoch(2), base: 9, after: 9, tag: None };
    assert_eq!(reconciles(&mut session, 0).0, partition("a"));
    session.handle(Event::Reconciled { partition: partition("a"), begun, next: None }, 0, 0);
    assert_eq!(reconciles(&mut session, 0).0, partition("gone"), "what the hub does not hold at all");
    // a hub that never was put back has it, and is read
    let mut session = Session::new(0);
    let welcome = comparing(Epoch(2), vec![head("a", 9)], vec![]);
    session.handle(Event::Welcomed { welcome, held: vec![unread("a")] }, 0, 0);
    assert_eq!(pulls(&mut session, 0), partition("a"));
}

#[test]
fn whoever_hears_of_a_partition_outside_of_its_scope_asks_for_the_scope() {
    let mut welcome = welcome(EPOCH, vec![head("a", 9)]);
    welcome.scope = Scope::from_json(&serde_json::json!({"a": true})).expect("a good scope");
    let greeted = || {
        let mut session = Session::new(0);
        session.handle(Event::Welcomed { welcome: welcome.clone(), held: vec![holding("a", 9, 9)] }, 0, 0);
        assert_eq!(session.next(0), Step::Compare);
        session
    };
    let mut session = greeted();
    let reply = Pushed { epoch: EPOCH, verdicts: Vec::new(), head: 12, partitions: vec![head("b", 12)] };
    session.handle(Event::Pushed { reply, waiting: 0 }, 0, 0);
    assert_eq!(session.next(0), Step::Hello);
    let mut session = greeted();
    session.handle(Event::Heard(Hint { epoch: EPOCH, partition: partition("b"), head: 12, records: 1 }), 0, 0);
    assert_eq!(session.next(0), Step::Hello);
}

#[test]
fn what_was_acknowledged_and_never_read_is_compared_with_a_hub_that_forgets() {
    let unread = || vec![Holding { cursor: None, ..holding("a", 0, 7) }];
    let forgets = || vec![Head { forgets: true, ..head("a", 9) }];
    let mut session = Session::new(0);
    session.handle(Event::Welcomed { welcome: comparing(EPOCH, forgets(), vec![]), held: unread() }, 0, 0);
    assert_eq!(reconciles(&mut session, 0).0, partition("a"));
    // also if that is heard before the first pull was carried out
    let mut session = Session::new(0);
    let welcome = comparing(EPOCH, vec![head("a", 9)], vec![]);
    session.handle(Event::Welcomed { welcome, held: unread() }, 0, 0);
    session.handle(Event::Welcomed { welcome: comparing(EPOCH, forgets(), vec![]), held: unread() }, 1, 0);
    assert_eq!(reconciles(&mut session, 1).0, partition("a"));
    // whoever holds nothing is told all that is there
    let mut session = Session::new(0);
    session.handle(Event::Welcomed { welcome: comparing(EPOCH, forgets(), vec![]), held: vec![] }, 0, 0);
    assert_eq!(pulls(&mut session, 0), partition("a"));
}
