//! Many edges of one hub that goes away and comes back, in time that is only counted.

use super::*;
use crate::domain::ids::NodeId;

const EDGES: usize = 200;
const WINDOW: i64 = 100;

fn welcome() -> Welcome {
    Welcome {
        protocol: 1,
        node: NodeId(9),
        name: "hub".into(),
        epoch: Epoch(1),
        ancestors: Vec::new(),
        clock: 0,
        scope: Scope::All,
        head: 0,
        partitions: Vec::new(),
        limits: Limits::default(),
        ratchet: None,
        relays: false,
        locates: false,
        remembers: false,
        above: None,
        peers: Vec::new(),
    }
}

fn throw(dice: &mut u64) -> u64 {
    *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *dice >> 20
}

/// When the edges of a hub say hello again, all of whose streams ended at zero. `hub` answers at a moment, or does not.
fn arrivals(hub: impl Fn(i64) -> Result<(), Failure>) -> Vec<i64> {
    let mut dice = 7;
    let mut edges: Vec<Session> = (0..EDGES)
        .map(|_| {
            let mut session = Session::new(-1_000);
            session.handle(Event::Welcomed { welcome: welcome(), held: Vec::new() }, -1_000, 0);
            session.handle(Event::LiveUp, -1_000, 0);
            session.handle(Event::LiveDown, 0, throw(&mut dice));
            session
        })
        .collect();
    let mut arrived = Vec::new();
    for now in (0..300_000).step_by(10) {
        edges.retain_mut(|session| {
            if session.next(now) != Step::Hello {
                return true;
            }
            match hub(now) {
                Ok(()) => arrived.push(now),
                Err(failure) => {
                    session.handle(Event::Failed { doing: Doing::Hello, failure }, now, throw(&mut dice));
                }
            }
            hub(now).is_err()
        });
    }
    assert_eq!(arrived.len(), EDGES, "some never came back");
    arrived
}

/// The most that came within a tenth of a second.
fn crowd(arrivals: &[i64]) -> usize {
    arrivals
        .iter()
        .map(|from| arrivals.iter().filter(|at| (*from..from + WINDOW).contains(*at)).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn edges_of_a_hub_that_was_restarted_come_back_spread_over_time() {
    for (away, most, within) in [(1_000, 50, 3_000), (20_000, 20, 32_000), (120_000, 15, 70_000)] {
        let gone = || Failure::Unreachable("no route to the hub".into());
        let arrivals = arrivals(|now| if now < away { Err(gone()) } else { Ok(()) });
        let (crowd, last) = (crowd(&arrivals), arrivals.iter().max().map_or(0, |last| last - away));
        assert!(crowd <= most, "away {away}: {crowd} at once");
        assert!(last <= within, "away {away}: the last came after {last}");
    }
}

#[test]
fn edges_that_were_all_asked_to_wait_do_so_and_do_not_come_all_at_once() {
    let busy = || Failure::Busy { reason: "too many at once".into(), retry_after: Some(30_000) };
    let arrivals = arrivals(|now| if now < 1_000 { Err(busy()) } else { Ok(()) });
    assert!(arrivals.iter().all(|at| (30_000..=46_000).contains(at)), "{arrivals:?}");
    assert!(crowd(&arrivals) <= 10, "{} at once", crowd(&arrivals));
}
