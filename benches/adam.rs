//! One in-place Adam step on the parameters of a 784 x 500 layer, by instruction set; throughput in parameters.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ffwd::isa::Isa;
use ffwd::optimizer::{Optimizer, Rule};
use ffwd::step::Parameters;

const K: usize = 784;
const UNITS: usize = 500;

fn adam(criterion: &mut Criterion) {
    let rule = Rule::Adam { lr: 0.03, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
    let mut group = criterion.benchmark_group("adam");
    group.throughput(Throughput::Elements((K * UNITS + UNITS) as u64));
    for isa in Isa::available() {
        let mut parameters = Parameters::zeros(K, UNITS, true);
        let mut gradient = Parameters::zeros(K, UNITS, true);
        gradient.kernel.fill(1e-3);
        let mut optimizer = Optimizer::new(isa, rule, &parameters);
        group.bench_function(format!("{K}x{UNITS}/{isa}"), |bencher| {
            bencher.iter(|| optimizer.update(&mut parameters, &gradient));
        });
    }
}

criterion_group!(benches, adam);
criterion_main!(benches);
