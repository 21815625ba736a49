//! The cost of one arrival, by kind, alone and through the pacer. A producer pays it for every
//! event.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamgauge_actors::{ArrivalKind, Arrivals, Bursts, Due, Pacer};

const EVENTS: u64 = 10_000;

const KINDS: [ArrivalKind; 5] = [
    ArrivalKind::Uniform,
    ArrivalKind::Poisson,
    ArrivalKind::PoissonNormalized,
    ArrivalKind::Mmpp,
    ArrivalKind::MmppWindowed,
];

fn arrivals(kind: ArrivalKind) -> Arrivals {
    Arrivals::new(kind, 100_000.0, 42, 0, 4, Bursts::default())
}

fn next(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("arrivals_next");
    group.throughput(Throughput::Elements(EVENTS));
    for kind in KINDS {
        let mut arrivals = arrivals(kind);
        group.bench_function(kind.name(), |bencher| {
            bencher.iter(|| {
                for _ in 0..EVENTS {
                    black_box(arrivals.next());
                }
            });
        });
    }
    group.finish();
}

fn pace(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pacer_due_and_take");
    group.throughput(Throughput::Elements(EVENTS));
    for kind in KINDS.into_iter().chain([ArrivalKind::Max]) {
        let end_ns = i64::MAX;
        let mut pacer = Pacer::new(arrivals(kind), 0, end_ns);
        group.bench_function(kind.name(), |bencher| {
            bencher.iter(|| {
                for _ in 0..EVENTS {
                    if let Due::Now(intended) = black_box(pacer.due(black_box(end_ns - 1))) {
                        black_box(intended);
                        pacer.take();
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, next, pace);
criterion_main!(benches);
