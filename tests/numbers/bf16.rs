//! The fused backend in bf16 on every tile unit of the machine, and in decoded f32 arithmetic on every instruction set.
//!
//! Against the same operands multiplied elsewhere it has to agree closely; against the reference backend, whose
//! operands are not rounded, as far as bf16 goes.

use crate::common::{self, gap, largest};
use ffwd::backend::{Backend, LayerBackend, Use};
use ffwd::batch::{Activations, Images, Input, Overlay};
use ffwd::checkpoint::weights_sha256;
use ffwd::internals::{Decoded, Fused, Reference, TileTier};
use ffwd::isa::{ISA_VARIABLE, Isa};
use ffwd::network::Network;
use ffwd::parameters::Parameters;
use ffwd::recipe::Recipe;
use ffwd::tier::{Tier, Usability};
use ffwd::train::{Trainer, TrainingSet, TrainingState};
use rand::RngExt;

/// A sum of up to 800 products in f32, in whatever order, and the bf16 numbers of D that such a difference moves to the
/// other side of a tie: these are off by 1/256 of themselves, and few.
const CLOSE: f32 = 1.0 / 512.0;

/// Each operand of a product is off by up to 1/256 of itself; sums of many such products by less.
const AS_BF16: f32 = 1.0 / 64.0;

/// Every tile unit to test, named: those of the machine, unless `FFWD_ISA` asks for one, and decoded arithmetic.
pub fn units() -> Vec<(&'static str, Isa, TileTier)> {
    let restricted = std::env::var_os(ISA_VARIABLE).is_some();
    let mut units: Vec<_> = if restricted {
        let tier = Tier::from_environment().expect("what FFWD_ISA asks for");
        tier.asks_for_bf16().then(|| (tier.tiles().name(), tier.isa(), tier.tiles())).into_iter().collect()
    } else {
        let usable = Tier::tile_units().filter(|&(_, usability)| usability == Usability::Usable);
        let requested = |name| Tier::requested(name).expect("it is usable");
        usable.map(|(name, _)| (name, requested(name).isa(), requested(name).tiles())).collect()
    };
    if units.is_empty() || !restricted {
        units.extend(common::isas().into_iter().map(|isa| (isa.name(), isa, TileTier::Decoded(Decoded(isa)))));
    }
    units
}

/// The backends of a unit: as it comes, and with every strip dense, every strip sparse, and some of each.
pub fn backends(isa: Isa, tier: TileTier) -> [Fused; 4] {
    let fused = Fused::in_bf16(isa, tier);
    [fused, fused.with_sparse_below(0.0), fused.with_sparse_below(2.0), fused.with_sparse_below(0.45)]
}

struct Outcome {
    loss: f64,
    gradient: Parameters,
    outputs: Vec<f32>,
}

/// What a layer makes of a step, and of its batch run forward.
fn step(layer: &mut dyn LayerBackend, parameters: &Parameters, rows: usize) -> Outcome {
    let mut gradient = parameters.clone();
    let loss = layer.gradient(parameters, &mut gradient, None);
    let mut outputs = vec![f32::NAN; rows * parameters.u];
    layer.forward(parameters, Some(&mut outputs), None);
    Outcome { loss, gradient, outputs }
}

fn close(found: &Outcome, expected: &Outcome, tolerance: f32, what: &str) {
    let near = |a: &[f32], b: &[f32], part: &str| {
        let (gap, scale) = (gap(a, b), largest(b));
        assert!(gap <= tolerance * scale, "{what}: {part} differs by {gap:e} at a scale of {scale:e}");
    };
    let (loss, expected_loss) = (found.loss, expected.loss);
    assert!((loss - expected_loss).abs() <= f64::from(tolerance) * expected_loss, "{what}: {loss} {expected_loss}");
    near(&found.outputs, &expected.outputs, "outputs");
    near(&found.gradient.kernel, &expected.gradient.kernel, "kernel gradient");
    near(&found.gradient.bias, &expected.gradient.bias, "bias gradient");
}

/// Steps on `input` under parameters that move, on every unit in every form, in both lives of a training batch.
fn compare(input: &Input<'_>, start: &Parameters, what: &str) {
    let (recipe, rows) = (Recipe::keras(1.5), input.rows());
    let decoded = Fused::in_bf16(Isa::best(), TileTier::Decoded(Decoded(Isa::best()))).with_sparse_below(0.0);
    for wanted in [Use::ManySteps, Use::OneStep] {
        let begin = |backend: &dyn Backend| {
            let mut layer = backend.layer(&recipe, start.k, start.u);
            layer.begin(input, wanted);
            layer
        };
        for (name, isa, tier) in units() {
            for (form, fused) in backends(isa, tier).into_iter().enumerate() {
                let (mut found, mut same) = (begin(&fused), begin(&decoded));
                let mut plain = begin(&Reference::new(isa));
                let mut parameters = start.clone();
                for number in 0..6 {
                    move_weights(number, &mut parameters);
                    let what = format!("{name}, form {form}, {wanted:?}, {what}, step {number}");
                    let outcome = step(&mut *found, &parameters, rows);
                    close(&outcome, &step(&mut *plain, &parameters, rows), AS_BF16, &what);
                    // Sparse strips multiply by weights that are not rounded.
                    if form == 1 || wanted == Use::OneStep {
                        close(&outcome, &step(&mut *same, &parameters, rows), CLOSE, &what);
                    }
                }
            }
        }
    }
}

/// Two units in three go off at step 1 and come back at step 4, one half by their bias, the others by one weight.
fn move_weights(step: usize, parameters: &mut Parameters) {
    let (k, u) = (parameters.k, parameters.u);
    for unit in 0..u {
        match (step, unit % 3) {
            (1, 0 | 1) => parameters.kernel[unit..].iter_mut().step_by(u).for_each(|w| *w -= 2.0),
            (4, 0) => parameters.bias[unit] += 9.0,
            (4, 1) => parameters.kernel[unit + u * (k - 1)] += 60.0,
            _ => parameters.kernel[unit + u * (step % k)] += 0.01 * (unit % 5) as f32,
        }
    }
}

#[test]
fn images_of_sizes_around_tiles_and_strips() {
    for (n, k, u) in [(1, 11, 3), (31, 33, 32), (33, 40, 31), (70, 64, 33), (600, 70, 40)] {
        let rng = &mut common::rng((n + k + u) as u64);
        let pixels = common::images(n, k, rng);
        let samples: Vec<u32> = (0..n as u32).rev().collect();
        let labels: Vec<Vec<u8>> = (0..2).map(|_| common::labels(n, 7, rng)).collect();
        let overlay = Overlay::Labels(&labels);
        let images = Images { pixels: (&pixels).into(), k, samples: &samples, classes: 7, overlay };
        compare(&Input::Images(images), &common::parameters(k, u, 0.7, rng), &format!("images {n} x {k} x {u}"));
    }
}

#[test]
fn activations_of_sizes_around_tiles_and_strips() {
    for (n, k, u, zeros) in [(1, 1, 1, 0.0), (16, 32, 31, 0.5), (17, 31, 65, 0.9), (300, 50, 33, 0.3)] {
        let rng = &mut common::rng((n + k + u) as u64);
        let value = |_| if rng.random_bool(zeros) { 0.0 } else { rng.random_range(0.1..3.0) };
        let rows: Vec<f32> = (0..2 * n * k).map(value).collect();
        let input = Input::Activations(Activations { rows: &rows, k, variants: 2 });
        compare(&input, &common::parameters(k, u, 0.7, rng), &format!("activations {n} x {k} x {u}"));
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let rng = &mut common::rng(9);
    let (n, rows, cols) = (700, 9, 11);
    let pixels = common::images(n, rows * cols, rng);
    let labels = common::labels(n, 10, rng);
    let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
    for fields in ["layers = [70, 33]\ninner_steps = 4\nlr = 0.1", "layers = [40]\ninner_steps = 1\nbatch = 150"] {
        let config = common::config(fields);
        for (name, isa, tier) in units() {
            let train = |threads| {
                common::on_threads(threads, || {
                    let network = Network::new(rows, cols, 10, &config.layers, config.initial(), config.seed);
                    let state = TrainingState::new(network, &config);
                    let backend = Fused::in_bf16(isa, tier);
                    let mut trainer = Trainer::new(state, &config, &backend, set);
                    (0..2).for_each(|_| _ = trainer.epoch(&false.into()).unwrap());
                    weights_sha256(trainer.network())
                })
            };
            let alone = train(1);
            assert!([2, 3, 5].into_iter().all(|threads| train(threads) == alone), "{name}");
        }
    }
}
