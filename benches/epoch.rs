//! Outer epochs of the reference network 784-500-500 on 1,000 of the built-in digits, 10 inner steps for each layer:
//! the first, in which activations are dense, and on the fastest instruction set later ones, in which few are on.
//!
//! Throughput is the multiply-adds of the steps as the algorithm is written (positive and negative rows apart, zeros
//! counted), two operations each: `Gelem/s` reads as GFLOP/s of useful work, and above the peak where work is saved.
//! Preparing the batches counts as time but not as work; with 50 inner steps and a whole data set its share is smaller.

mod common;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ffwd::config::{Config, Preset};
use ffwd::data::digits;
use ffwd::internals::Fused;
use ffwd::network::Network;
use ffwd::train::{Trainer, TrainingSet, TrainingState};

const N: usize = 1_000;
const STEPS: usize = 10;

/// Epochs before the later ones: by then most strips are sparse.
const EARLIER: usize = 60;

fn epoch(criterion: &mut Criterion) {
    let (pixels, labels) = digits::draw(0..N);
    let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
    let config = Config { inner_steps: STEPS, ..Config::of_preset(&Preset::KERAS) };
    let weights: usize = 784 * config.layers[0] + config.layers.windows(2).map(|w| w[0] * w[1]).sum::<usize>();
    let mut group = common::Group::new(criterion, "epoch");
    let work = || Throughput::Elements((2 * 2 * 2 * N * weights * STEPS) as u64);
    let stop = false.into();
    let isas = common::targets().isas;
    let backends: Vec<Fused> = isas.iter().map(|&isa| Fused::new(isa)).collect();
    let trainer = |backend| {
        let network = Network::new(28, 28, 10, &config.layers, config.initial(), config.seed);
        Trainer::new(TrainingState::new(network, &config), &config, backend, set)
    };
    for (isa, backend) in isas.iter().zip(&backends) {
        group.bench(BenchmarkId::new(format!("first {N}x784-500-500"), isa), work(), |bencher| {
            bencher.iter_batched(|| trainer(backend), |mut trainer| trainer.epoch(&stop), BatchSize::PerIteration);
        });
    }
    let mut trained = None;
    group.bench(BenchmarkId::new(format!("after {EARLIER} {N}x784-500-500"), isas[0]), work(), |bencher| {
        let trained = trained.get_or_insert_with(|| {
            let mut trainer = trainer(&backends[0]);
            (0..EARLIER).for_each(|_| _ = trainer.epoch(&stop));
            trainer
        });
        bencher.iter(|| trained.epoch(&stop));
    });
}

criterion_group!(benches, epoch);
criterion_main!(benches);
