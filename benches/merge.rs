//! Field merges in `domain` on one core: the join of a record whose ten fields were all written anew elsewhere, and the
//! application of a save of one field.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use outpost::domain::clock::Hlc;
use outpost::domain::ids::{NodeId, SaveId};
use outpost::domain::path::Path;
use outpost::domain::record::{Act, Change, Content, Cover, State};
use outpost::domain::stamp::{Author, Stamp};
use serde_json::{Map, Value, json};

const FIELDS: usize = 10;

fn stamp(time: i64, node: u64) -> Stamp {
    Stamp::new(Hlc::at(time), Author { node: NodeId(node), ..Author::default() }, SaveId(u128::from(node) << 96))
}

fn record() -> State {
    let value: Map<String, Value> = (0..FIELDS).map(|i| (format!("field{i}"), json!(format!("value {i}")))).collect();
    let mut state = State::default();
    let create =
        Change { path: Path::root(), act: Act::Set(Content::json(Value::Object(value))), replaces: Cover::nothing() };
    state.apply(&[create], stamp(1, 1), 1, &|_, _| false);
    state
}

fn edited(base: &State, fields: usize, time: i64, node: u64) -> (State, Vec<Change>) {
    let changes: Vec<Change> = (0..fields)
        .map(|i| {
            let path = Path::root().property(format!("field{i}"));
            let value = json!(format!("changed {i} by {node}"));
            Change { replaces: base.cover(&path), path, act: Act::Set(Content::json(value)) }
        })
        .collect();
    let mut state = base.clone();
    state.apply(&changes, stamp(time, node), 2, &|_, _| false);
    (state, changes)
}

fn merges(criterion: &mut Criterion) {
    let base = record();
    let (mine, _) = edited(&base, FIELDS, 10, 1);
    let (theirs, changes) = edited(&base, FIELDS, 11, 2);
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements(FIELDS as u64));
    group.bench_function("join, ten fields", |bencher| {
        bencher.iter_batched(
            || (mine.clone(), theirs.clone()),
            |(mut mine, theirs)| {
                mine.join(theirs, 3);
                mine
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("apply a save of ten fields", |bencher| {
        bencher.iter_batched(
            || mine.clone(),
            |mut mine| {
                mine.apply(&changes, stamp(11, 2), 3, &|_, _| false);
                mine
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, merges);
criterion_main!(benches);
