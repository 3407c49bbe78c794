//! Outer epochs of the reference network 784-500-500 on 2,000 of the built-in digits, 10 inner steps for each layer: the
//! first, in which activations are dense, and later ones, in which few are on.
//!
//! Throughput is the multiply-adds of the steps as the algorithm is written (positive and negative rows apart, zeros
//! counted), two operations each: `Gelem/s` reads as GFLOP/s of useful work, and above the peak where work is saved. Preparing
//! the batches counts as time but not as work; with 50 inner steps and a whole data set its share is smaller.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ffwd::config::Config;
use ffwd::data::{Dataset, Places, digits};
use ffwd::fused::Fused;
use ffwd::isa::Isa;
use ffwd::network::Network;
use ffwd::train::{Trainer, TrainingSet};

const N: usize = 2_000;
const STEPS: usize = 10;

/// Epochs before the later ones: by then most strips are sparse.
const EARLIER: usize = 60;

fn epoch(criterion: &mut Criterion) {
    let located = Places::from_environment().locate(digits::NAME).expect("the built-in digits");
    let dataset = Dataset::open(&located.directory, &located.name, 10).expect("the built-in digits");
    let labels = &dataset.train.labels.values()[..N];
    let set = TrainingSet { pixels: &dataset.train.images.pixels()[..N * 784], labels };
    let config = Config::resolve(None, format!("inner_steps = {STEPS}").parse().expect("TOML")).expect("a preset");
    let weights: usize = 784 * config.layers[0] + config.layers.windows(2).map(|w| w[0] * w[1]).sum::<usize>();
    let mut group = criterion.benchmark_group("epoch");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements((2 * 2 * 2 * N * weights * STEPS) as u64));
    let stop = false.into();
    for isa in Isa::available() {
        let backend = Fused::new(isa);
        let trainer = || {
            let network = Network::new(28, 28, 10, &config.layers, config.initial(), config.seed);
            Trainer::new(network, &config, &backend, set)
        };
        group.bench_function(BenchmarkId::new(format!("first {N}x784-500-500"), isa), |bencher| {
            bencher.iter_batched(trainer, |mut trainer| trainer.epoch(&stop), BatchSize::PerIteration);
        });
        let mut trained = trainer();
        (0..EARLIER).for_each(|_| _ = trained.epoch(&stop));
        group.bench_function(BenchmarkId::new(format!("after {EARLIER} {N}x784-500-500"), isa), |bencher| {
            bencher.iter(|| trained.epoch(&stop));
        });
    }
}

criterion_group!(benches, epoch);
criterion_main!(benches);
