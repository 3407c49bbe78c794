//! One layer step of the reference problem's two layers, by backend and instruction set.
//!
//! Throughput is the multiply-adds of the step as the algorithm is written (positive and negative rows apart, zeros
//! counted), two operations each: `Gelem/s` reads as GFLOP/s of useful work, and above the peak where work is saved.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ffwd::config::Config;
use ffwd::data::{Dataset, Places, digits};
use ffwd::fused::Fused;
use ffwd::isa::Isa;
use ffwd::network::Network;
use ffwd::objective::Objective;
use ffwd::reference::Reference;
use ffwd::similar;
use ffwd::step::{Activations, Backend, Images, Input, Parameters};
use ffwd::train::{Trainer, TrainingSet};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Samples of the batch: a sixth of MNIST, so that a whole `cargo bench` stays short.
const N: usize = 10_000;
const UNITS: usize = 500;

/// Backends with the last part of their benches' names.
type Backends = Vec<(String, Box<dyn Backend>)>;

fn backends() -> Backends {
    let mut backends = Backends::new();
    for isa in Isa::available() {
        backends.push((format!("fused-{isa}"), Box::new(Fused::new(isa))));
    }
    backends.push((format!("reference-{}", Isa::best()), Box::new(Reference::new(Isa::best()))));
    backends
}

/// The fused backend with all strips dense, and with all strips sparse.
fn forms() -> Backends {
    let mut backends = Backends::new();
    for isa in Isa::available() {
        for (form, share) in [("dense", 0.0), ("sparse", 2.0)] {
            backends.push((format!("{form}-{isa}"), Box::new(Fused::new(isa).with_sparse_below(share))));
        }
    }
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

fn bench_random_step<'a>(criterion: &mut Criterion, name: &str, input: impl Fn() -> Input<'a>) {
    let parameters = parameters(input().k(), &mut Xoshiro256PlusPlus::seed_from_u64(1));
    bench_step(criterion, name, backends(), &parameters, input);
}

fn bench_step<'a>(
    criterion: &mut Criterion,
    name: &str,
    backends: Backends,
    parameters: &Parameters,
    input: impl Fn() -> Input<'a>,
) {
    let k = input().k();
    let mut gradient = Parameters::zeros(k, UNITS, true);
    let mut group = criterion.benchmark_group("gradient");
    group.throughput(operations(k)).sample_size(10);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for (backend_name, backend) in backends {
        let mut step = backend.prepare(input(), UNITS);
        let mut take = || step.gradient(black_box(parameters), &Objective { threshold: 1.5 }, &mut gradient);
        // The first step of a batch decides on the form of its strips, and packs them.
        take();
        let id = BenchmarkId::new(format!("{name} {}x{k}x{UNITS}", 2 * N), backend_name);
        group.bench_function(id, |bencher| bencher.iter(&mut take));
    }
}

/// The built-in digits and the order and labels of a batch of them, as in training.
struct Digits {
    dataset: Dataset,
    samples: Vec<u32>,
    labels: [Vec<u8>; 2],
}

impl Digits {
    fn open() -> Self {
        let located = Places::from_environment().locate(digits::NAME).expect("the built-in digits");
        let dataset = Dataset::open(&located.directory, &located.name, 10).expect("the built-in digits");
        let true_labels = &dataset.train.labels.values()[..N];
        let mut places = vec![0; N];
        let order = similar::images(&dataset.train.images.pixels()[..N * 784], 28, 28);
        order.iter().zip(0..).for_each(|(&sample, place)| places[sample as usize] = place);
        let negative = |s: u32| (true_labels[s as usize] + 1 + (s % 9) as u8) % 10;
        let mut samples: Vec<u32> = (0..N as u32).collect();
        samples.sort_by_key(|&s| (true_labels[s as usize], negative(s), places[s as usize]));
        let positive = samples.iter().map(|&s| true_labels[s as usize]).collect();
        let labels = [positive, samples.iter().map(|&s| negative(s)).collect()];
        Self { dataset, samples, labels }
    }

    fn images(&self) -> Images<'_> {
        let pixels = self.dataset.train.images.pixels();
        Images { pixels, k: 784, samples: &self.samples, classes: 10, labels: &self.labels }
    }

    /// The reference network after `epochs` outer epochs on the batch.
    fn train(&self, epochs: usize) -> Network {
        let config = Config::resolve(None, Default::default()).expect("the preset");
        let network = Network::new(28, 28, 10, &config.layers, config.initial(), config.seed);
        let backend = Fused::new(Isa::best());
        let pixels = &self.dataset.train.images.pixels()[..N * 784];
        let set = TrainingSet { pixels, labels: &self.dataset.train.labels.values()[..N] };
        let mut trainer = Trainer::new(network, &config, &backend, set);
        (0..epochs).for_each(|_| _ = trainer.epoch(&false.into()));
        trainer.into_network()
    }
}

/// Layer 1: the built-in digits.
fn images(criterion: &mut Criterion) {
    let digits = Digits::open();
    bench_random_step(criterion, "images", || Input::Images(digits.images()));
}

/// Percent of activations above zero; writes the activations to `outputs`.
fn percent_on(input: Input<'_>, layer: &Parameters, outputs: Option<&mut [f32]>) -> u64 {
    let on = Fused::new(Isa::best()).prepare(input, UNITS).forward(layer, outputs, None);
    (100 * on).div_ceil((2 * N * UNITS) as u64)
}

/// Both layers of networks after some outer epochs, dense and sparse: which form is faster at which share of units on.
fn trained(criterion: &mut Criterion) {
    let digits = Digits::open();
    for epochs in [6, 12, 24] {
        let network = digits.train(epochs);
        let mut hidden = vec![0.0; 2 * N * UNITS];
        let first = percent_on(Input::Images(digits.images()), &network.layers[0], Some(&mut hidden));
        let activations = || Input::Activations(Activations { rows: hidden.clone(), k: UNITS, variants: 2 });
        let second = percent_on(activations(), &network.layers[1], None);
        bench_step(
            criterion,
            &format!("images, {first}% on after {epochs} epochs"),
            forms(),
            &network.layers[0],
            || Input::Images(digits.images()),
        );
        bench_step(
            criterion,
            &format!("activations, {second}% on after {epochs} epochs"),
            forms(),
            &network.layers[1],
            activations,
        );
    }
}

/// Layer 2: dense activations, as in the first outer epochs, and activations of which 95% are zero, as in the last.
fn activations(criterion: &mut Criterion) {
    for (name, share) in [("dense", 1.0), ("5%", 0.05)] {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(2);
        let value =
            |rng: &mut Xoshiro256PlusPlus| if rng.random_bool(share) { rng.random_range(0.1..1.0) } else { 0.0 };
        let rows: Vec<f32> = (0..2 * N * UNITS).map(|_| value(rng)).collect();
        let input = || Input::Activations(Activations { rows: rows.clone(), k: UNITS, variants: 2 });
        bench_random_step(criterion, &format!("activations {name}"), input);
    }
}

criterion_group!(benches, images, activations, trained);
criterion_main!(benches);
