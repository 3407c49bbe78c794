//! Layers and a whole training in bf16 on the AMX unit, its instructions executed by the model.

use ffwd::backend::{Backend, Use};
use ffwd::batch::{Images, Input, Overlay};
use ffwd::checkpoint::weights_sha256;
use ffwd::config::Config;
use ffwd::internals::{Amx, Decoded, Fused, TileTier};
use ffwd::isa::Isa;
use ffwd::network::Network;
use ffwd::parameters::Parameters;
use ffwd::recipe::Recipe;
use ffwd::train::{Trainer, TrainingSet, TrainingState};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::{amx_on_silicon, amx_on_the_model, on_the_model};

const CLASSES: usize = 7;

/// A sum of up to 600 products in f32, in whatever order, and the bf16 numbers of D that such a difference moves to the
/// other side of a tie: these are off by 1/256 of themselves, and few.
const CLOSE: f32 = 1.0 / 512.0;

/// Images of `k` bytes, three quarters of them zero, with their labels.
fn images(n: usize, k: usize, rng: &mut Xoshiro256PlusPlus) -> (Vec<u8>, Vec<u8>) {
    let pixels = (0..n * k).map(|_| if rng.random_ratio(1, 4) { rng.random() } else { 0 }).collect();
    (pixels, (0..n).map(|_| rng.random_range(0..CLASSES) as u8).collect())
}

/// The loss, the gradient of kernel and bias, and the outputs of one step.
fn step(fused: Fused, input: &Input<'_>, parameters: &Parameters, wanted: Use) -> [Vec<f32>; 4] {
    let mut layer = fused.layer(&Recipe::keras(1.5), parameters.k, parameters.u);
    layer.begin(input, wanted);
    let mut gradient = parameters.clone();
    let loss = layer.gradient(parameters, &mut gradient, None);
    let mut outputs = vec![f32::NAN; input.rows() * parameters.u];
    layer.forward(parameters, Some(&mut outputs), None);
    [vec![loss as f32], gradient.kernel, gradient.bias, outputs]
}

/// A step on the unit against the same in f32 arithmetic on the same bf16 operands, every strip dense.
fn compare(isa: Isa, (n, k, u): (usize, usize, usize)) {
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64((n + k + u) as u64);
    let (pixels, labels) = images(n, k, rng);
    let negatives: Vec<u8> = labels.iter().map(|label| (label + 1) % CLASSES as u8).collect();
    let (samples, overlays) = ((0..n as u32).rev().collect::<Vec<_>>(), [labels, negatives]);
    let overlay = Overlay::Labels(&overlays);
    let input = Input::Images(Images { pixels: (&pixels).into(), k, samples: &samples, classes: CLASSES, overlay });
    let mut parameters = Parameters::zeros(k, u, true);
    parameters.kernel.iter_mut().chain(&mut parameters.bias).for_each(|value| *value = rng.random_range(-0.7..0.7));
    let on = |tier| Fused::in_bf16(isa, tier).with_sparse_below(0.0);
    for wanted in [Use::ManySteps, Use::OneStep] {
        let found = step(on(TileTier::Amx(amx_on_the_model(isa))), &input, &parameters, wanted);
        let expected = step(on(TileTier::Decoded(Decoded(isa))), &input, &parameters, wanted);
        for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let scale = expected.iter().fold(0_f32, |scale, value| scale.max(value.abs()));
            for (found, expected) in found.iter().zip(expected) {
                let gap = (found - expected).abs();
                assert!(gap <= CLOSE * scale, "{isa} {n} x {k} x {u} {wanted:?}, part {part}: {found} {expected}");
            }
        }
    }
}

#[test]
fn a_layer_computes_on_the_model_what_decoded_arithmetic_does() {
    on_the_model("training::a_layer_computes_on_the_model_what_decoded_arithmetic_does", || {
        for isa in Isa::available() {
            [(1, 11, 3), (31, 33, 32), (33, 40, 31), (70, 45, 33)].into_iter().for_each(|shape| compare(isa, shape));
        }
        Vec::new()
    });
}

/// Runs of the shapes that need every kind of batch: one that stays, and mini-batches.
const RUNS: [&str; 2] = ["layers = [33, 20]\ninner_steps = 3\nlr = 0.1", "layers = [40]\ninner_steps = 1\nbatch = 30"];

/// The weights after two epochs of a run.
fn weights(fields: &str, isa: Isa, unit: Amx, threads: usize) -> String {
    let (rows, cols) = (5, 9);
    let (pixels, labels) = images(70, rows * cols, &mut Xoshiro256PlusPlus::seed_from_u64(9));
    let config = Config::resolve(None, format!("preset = \"keras\"\n{fields}").parse().expect("TOML"))
        .expect("a valid configuration");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        let network = Network::new(rows, cols, CLASSES, &config.layers, config.initial(), config.seed);
        let state = TrainingState::new(network, &config);
        let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
        let backend = Fused::in_bf16(isa, TileTier::Amx(unit));
        let mut trainer = Trainer::new(state, &config, &backend, set);
        (0..2).for_each(|_| _ = trainer.epoch(&false.into()).expect("nothing interrupts it"));
        weights_sha256(trainer.network())
    })
}

#[test]
fn a_training_on_the_model_has_the_bits_of_silicon_on_any_number_of_threads() {
    let of_all_runs = |unit: &dyn Fn(Isa) -> Amx, threads: usize| -> Vec<String> {
        let runs = Isa::available().into_iter().flat_map(|isa| RUNS.map(|fields| (isa, fields)));
        runs.map(|(isa, fields)| weights(fields, isa, unit(isa), threads)).collect()
    };
    let test = "training::a_training_on_the_model_has_the_bits_of_silicon_on_any_number_of_threads";
    let of_model = on_the_model(test, || {
        let alone = of_all_runs(&amx_on_the_model, 1);
        assert_eq!(of_all_runs(&amx_on_the_model, 3), alone);
        alone
    });
    if let Some(of_model) = of_model
        && amx_on_silicon(Isa::best()).is_ok()
    {
        assert_eq!(of_all_runs(&|isa| amx_on_silicon(isa).expect("it was there before"), 2), of_model);
    }
}
