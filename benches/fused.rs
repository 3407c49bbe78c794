//! One layer step of the reference problem's two layers, by backend and instruction set.
//!
//! Throughput is the multiply-adds of the step as the algorithm is written (positive and negative rows apart, zeros
//! counted), two operations each: `Gelem/s` reads as GFLOP/s of useful work, and above the peak where work is saved.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ffwd::data::{Dataset, Places, digits};
use ffwd::fused::Fused;
use ffwd::isa::Isa;
use ffwd::objective::Objective;
use ffwd::reference::Reference;
use ffwd::step::{Activations, Backend, Images, Input, Parameters};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Samples of the batch: a sixth of MNIST, so that a whole `cargo bench` stays short.
const N: usize = 10_000;
const UNITS: usize = 500;

fn backends() -> Vec<Box<dyn Backend>> {
    let mut backends: Vec<Box<dyn Backend>> = Vec::new();
    for isa in Isa::available() {
        backends.push(Box::new(Fused::new(isa)));
    }
    backends.push(Box::new(Reference::new(Isa::best())));
    backends
}

fn parameters(k: usize, rng: &mut Xoshiro256PlusPlus) -> Parameters {
    let mut parameters = Parameters::zeros(k, UNITS, true);
    parameters.kernel.fill_with(|| rng.random_range(-0.07..0.07));
    parameters
}

/// Forward and gradient of 2 N rows.
fn operations(k: usize) -> Throughput {
    Throughput::Elements((2 * 2 * 2 * N * k * UNITS) as u64)
}

fn bench_step<'a>(criterion: &mut Criterion, name: &str, input: impl Fn() -> Input<'a>) {
    let k = input().k();
    let parameters = parameters(k, &mut Xoshiro256PlusPlus::seed_from_u64(1));
    let mut gradient = Parameters::zeros(k, UNITS, true);
    let mut group = criterion.benchmark_group("gradient");
    group.throughput(operations(k)).sample_size(10).measurement_time(Duration::from_secs(2));
    for backend in backends() {
        let mut step = backend.prepare(input(), UNITS);
        let id =
            BenchmarkId::new(format!("{name} {}x{k}x{UNITS}", 2 * N), format!("{}-{}", backend.name(), backend.isa()));
        group.bench_function(id, |bencher| {
            bencher.iter(|| step.gradient(black_box(&parameters), &Objective { threshold: 1.5 }, &mut gradient));
        });
    }
}

/// Layer 1: the built-in digits, samples of one label together as in training.
fn images(criterion: &mut Criterion) {
    let located = Places::from_environment().locate(digits::NAME).expect("the built-in digits");
    let dataset = Dataset::open(&located.directory, &located.name, 10).expect("the built-in digits");
    let labels = &dataset.train.labels.values()[..N];
    let mut samples: Vec<u32> = (0..N as u32).collect();
    samples.sort_by_key(|&s| labels[s as usize]);
    let positive: Vec<u8> = samples.iter().map(|&s| labels[s as usize]).collect();
    let negative = positive.iter().map(|&label| (label * 7 + 3) % 10).collect();
    let labels = [positive, negative];
    let images =
        Images { pixels: dataset.train.images.pixels(), k: 784, samples: &samples, classes: 10, labels: &labels };
    bench_step(criterion, "images", || Input::Images(images));
}

/// Layer 2: dense activations, as in the first outer epochs, and activations of which 95% are zero, as in the last.
fn activations(criterion: &mut Criterion) {
    for (name, share) in [("dense", 1.0), ("5%", 0.05)] {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(2);
        let value =
            |rng: &mut Xoshiro256PlusPlus| if rng.random_bool(share) { rng.random_range(0.1..1.0) } else { 0.0 };
        let rows: Vec<f32> = (0..2 * N * UNITS).map(|_| value(rng)).collect();
        let input = || Input::Activations(Activations { rows: rows.clone(), k: UNITS, variants: 2 });
        bench_step(criterion, &format!("activations {name}"), input);
    }
}

criterion_group!(benches, images, activations);
criterion_main!(benches);
