//! The fused kernels against the plain reference backend, at sizes that do not fit vectors, panels, strips or parts.

use crate::common::{self, gap, largest};
use ffwd::internals::{MR, Reference};
use ffwd::isa::Isa;
use ffwd::step::{Activations, Backend, Images, Input, Objective, Parameters};
use rand::RngExt;

const OBJECTIVE: Objective = Objective { threshold: 1.5 };

/// Both sides sum the same products, the fused side in parts of at most 2,200 rows, the reference in one run of blocks. A sum
/// of that many products is off by some 47 (the square root) roundings of 6e-8 of its largest partial sums; the tolerance
/// is 64 of them.
const TOLERANCE: f32 = 32.0 * f32::EPSILON;

/// What a backend makes of one batch.
struct Outcome {
    loss: f64,
    gradient: Parameters,
    outputs: Vec<f32>,
    goodness: Vec<f32>,
    active: u64,
}

fn outcome(backend: &dyn Backend, input: Input<'_>, parameters: &Parameters) -> Outcome {
    let rows = input.samples() * input.variants();
    let training = input.samples() > 0 && input.variants() == 2;
    let mut step = backend.prepare(input, parameters.u);
    let mut gradient = Parameters::zeros(parameters.k, parameters.u, !parameters.bias.is_empty());
    // The second step of a batch can know what the first has seen.
    let mut gradient_step = || step.gradient(parameters, &OBJECTIVE, &mut gradient);
    let loss = if training { gradient_step().min(gradient_step()) } else { 0.0 };
    let mut outputs = vec![f32::NAN; rows * parameters.u];
    let mut goodness = vec![f32::NAN; rows];
    let active = step.forward(parameters, Some(&mut outputs), Some(&mut goodness));
    assert_eq!(step.forward(parameters, None, None), active, "outputs are optional");
    Outcome { loss, gradient, outputs, goodness, active }
}

/// Runs both backends on what `input` makes and compares everything.
fn compare<'a>(isa: Isa, input: impl Fn() -> Input<'a>, parameters: &Parameters, what: &str) {
    let plain = outcome(&Reference::new(isa), input(), parameters);
    for (name, fused) in common::fused(isa) {
        compare_outcomes(&outcome(&fused, input(), parameters), &plain, &format!("{name}, {what}"));
    }
}

fn compare_outcomes(fused: &Outcome, plain: &Outcome, what: &str) {
    let close = |a: &[f32], b: &[f32], part: &str| {
        let (gap, scale) = (gap(a, b), largest(b));
        assert!(gap <= TOLERANCE * scale, "{what}: {part} differs by {gap:e} at a scale of {scale:e}");
    };
    assert!((fused.loss - plain.loss).abs() <= 1e-6 * plain.loss.abs(), "{what}: {} {}", fused.loss, plain.loss);
    close(&fused.gradient.kernel, &plain.gradient.kernel, "kernel gradient");
    close(&fused.gradient.bias, &plain.gradient.bias, "bias gradient");
    close(&fused.outputs, &plain.outputs, "outputs");
    close(&fused.goodness, &plain.goodness, "goodness");
    // An activation within rounding of zero may fall on either side.
    let flips = fused.outputs.iter().zip(&plain.outputs).filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count() as u64;
    assert!(fused.active.abs_diff(plain.active) <= flips, "{what}: {} {} active", fused.active, plain.active);
    assert_eq!(fused.active, fused.outputs.iter().filter(|&&h| h > 0.0).count() as u64, "{what}");
}

fn compare_images(isa: Isa, (n, k, u): (usize, usize, usize), classes: usize, variants: usize) {
    let rng = &mut common::rng((n * 31 + k * 7 + u * 3 + classes) as u64);
    let pixels = common::images(n.max(1) + 3, k, rng);
    // Not every image, and not in order.
    let samples: Vec<u32> = (0..n).map(|_| rng.random_range(0..n as u32 + 3)).collect();
    let labels: Vec<Vec<u8>> = (0..variants).map(|_| common::labels(n, classes, rng)).collect();
    let parameters = common::parameters(k, u, 0.7, rng);
    let input = || Input::Images(Images { pixels: &pixels, k, samples: &samples, classes, labels: &labels });
    compare(isa, input, &parameters, &format!("images n {n}, k {k}, u {u}, c {classes}, v {variants}"));
}

fn compare_activations(isa: Isa, (n, k, u): (usize, usize, usize), variants: usize, zeros: f64) {
    let rng = &mut common::rng((n * 31 + k * 7 + u * 3) as u64);
    let value = |rng: &mut rand::rngs::Xoshiro256PlusPlus| -> f32 {
        if rng.random_bool(zeros) { 0.0 } else { rng.random_range(0.0..3.0) }
    };
    let rows: Vec<f32> = (0..n * variants * k).map(|_| value(rng)).collect();
    let parameters = common::parameters(k, u, 0.7, rng);
    let input = || Input::Activations(Activations { rows: rows.clone(), k, variants });
    compare(isa, input, &parameters, &format!("activations n {n}, k {k}, u {u}, v {variants}, zeros {zeros}"));
}

#[test]
fn samples_around_a_panel_a_strip_and_a_part() {
    for isa in common::isas() {
        for n in [0, 1, MR - 1, MR, MR + 1, 63, 64, 65, 200] {
            compare_images(isa, (n, 13, 5), 3, 2);
            compare_activations(isa, (n, 13, 5), 2, 0.5);
        }
    }
}

#[test]
fn a_part_of_several_strips() {
    // A strip has at most 256 base rows: 32 parts of one whole strip, of two, and of several, the last part being short.
    for isa in common::isas() {
        for n in [8_192, 8_193, 17_000] {
            compare_images(isa, (n, 6, 3), 2, 2);
            compare_activations(isa, (n / 2, 5, 3), 2, 0.5);
        }
    }
}

#[test]
fn inputs_and_units_around_a_panel_and_a_slice() {
    for isa in common::isas() {
        let nr = isa.nr();
        for k in [2, 3, MR, MR + 1, 31] {
            compare_activations(isa, (9, 1, k), 2, 0.5);
            for u in [1, 2, nr - 1, nr, nr + 1, 2 * nr + 3] {
                compare_images(isa, (9, k, u), 2, 2);
                compare_activations(isa, (9, k, u), 2, 0.5);
            }
        }
    }
}

#[test]
fn every_number_of_classes_up_to_all_pixels() {
    for isa in common::isas() {
        for classes in 2..=26 {
            compare_images(isa, (11, 26, 7), classes, 2);
            compare_images(isa, (11, 40, 7), classes, classes);
        }
    }
}

#[test]
fn every_density_from_all_zero_to_dense() {
    for isa in common::isas() {
        for zeros in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
            compare_activations(isa, (150, 37, 41), 2, zeros);
        }
    }
}

#[test]
fn prediction_variants_of_activations() {
    for isa in common::isas() {
        for variants in [1, 3, 10] {
            compare_activations(isa, (7, 12, 9), variants, 0.3);
        }
    }
}

#[test]
fn a_large_reduction() {
    for isa in common::isas() {
        compare_images(isa, (1_300, 784, 130), 10, 2);
    }
}

/// Takes steps of one prepared batch on both sides, `change` making each step's parameters of the last: what is known from
/// earlier steps must never change a later one.
fn compare_steps<'a>(
    isa: Isa,
    input: impl Fn() -> Input<'a>,
    start: &Parameters,
    steps: usize,
    change: impl Fn(usize, &mut Parameters),
) {
    for (name, fused) in common::fused(isa) {
        let (k, u, rows) = (start.k, start.u, input().samples() * 2);
        let plain = Reference::new(isa);
        let (mut fused, mut plain) = (fused.prepare(input(), u), plain.prepare(input(), u));
        let mut parameters = start.clone();
        let (mut found, mut expected) = (start.clone(), start.clone());
        let (mut outputs, mut plain_outputs) = (vec![0.0; rows * u], vec![0.0; rows * u]);
        for step in 0..steps {
            change(step, &mut parameters);
            let what = format!("{name}, k {k}, u {u}, step {step}");
            let loss = fused.gradient(&parameters, &OBJECTIVE, &mut found);
            let reference = plain.gradient(&parameters, &OBJECTIVE, &mut expected);
            assert!((loss - reference).abs() <= 1e-6 * reference, "{what}: {loss} {reference}");
            assert!(gap(&found.kernel, &expected.kernel) <= TOLERANCE * largest(&expected.kernel), "{what}: kernel");
            assert!(gap(&found.bias, &expected.bias) <= TOLERANCE * largest(&expected.bias), "{what}: bias");
            if step % 2 == 0 {
                fused.forward(&parameters, Some(&mut outputs), None);
                plain.forward(&parameters, Some(&mut plain_outputs), None);
                assert!(gap(&outputs, &plain_outputs) <= TOLERANCE * largest(&plain_outputs), "{what}: outputs");
            }
        }
    }
}

/// Two units in three go off at step 2; half of these come back by their bias at 5, the others by one weight at 8; all
/// others drift.
fn switch_units(step: usize, parameters: &mut Parameters) {
    let rng = &mut common::rng(step as u64);
    let (k, u) = (parameters.k, parameters.u);
    for unit in 0..u {
        match (step, unit % 3) {
            (2, 0 | 1) => parameters.kernel[unit..].iter_mut().step_by(u).for_each(|w| *w -= 2.0),
            (5, 0) if !parameters.bias.is_empty() => parameters.bias[unit] += 9.0,
            (8, 1) => parameters.kernel[unit] += 60.0,
            _ => parameters.kernel[unit + u * (step % k)] += rng.random_range(-0.02..0.02),
        }
    }
}

#[test]
fn steps_that_switch_units_off_and_on_again() {
    for isa in common::isas() {
        let rng = &mut common::rng(12);
        let (n, k, u) = (150, 21, 2 * isa.nr() + 5);
        let start = common::parameters(k, u, 0.7, rng);
        let unbiased = Parameters { bias: Vec::new(), ..start.clone() };
        for lowest in [0.0, -0.5] {
            let rows: Vec<f32> = (0..2 * n * k).map(|_| rng.random_range(lowest..1.0)).collect();
            let input = || Input::Activations(Activations { rows: rows.clone(), k, variants: 2 });
            compare_steps(isa, input, &start, 12, switch_units);
            compare_steps(isa, input, &unbiased, 12, switch_units);
        }
        let pixels = common::images(n, k, rng);
        let samples: Vec<u32> = (0..n as u32).collect();
        let labels: Vec<Vec<u8>> = (0..2).map(|_| common::labels(n, 5, rng)).collect();
        let images = Images { pixels: &pixels, k, samples: &samples, classes: 5, labels: &labels };
        compare_steps(isa, || Input::Images(images), &start, 12, switch_units);
    }
}

/// Rows of one input each and a weight that climbs above zero in small steps: the bound of a unit is its `z`, so a unit
/// that is left out one step too long is seen.
#[test]
fn units_that_come_on_by_a_hair() {
    for isa in common::isas() {
        for (n, k, u) in [(1, 1, 15), (3, 15, 16), (10, 16, 17), (9, 17, 33)] {
            let rows: Vec<f32> = (0..2 * n * k).map(|i| if i / k % k == i % k { 1.0 } else { 0.0 }).collect();
            let input = || Input::Activations(Activations { rows: rows.clone(), k, variants: 2 });
            let mut start = Parameters::zeros(k, u, true);
            start.kernel.iter_mut().enumerate().for_each(|(i, w)| *w = -1e-3 * (i % 40) as f32 - 1e-4);
            compare_steps(isa, input, &start, 50, |_, parameters| {
                parameters.kernel.iter_mut().for_each(|w| *w += 1e-3)
            });
        }
    }
}

/// Half of the samples turn all units off and half do not, in strips of one part and in parts of one strip.
#[test]
fn dense_and_sparse_strips_side_by_side() {
    for isa in common::isas() {
        for n in [400, 5_000] {
            let rng = &mut common::rng(13);
            let (k, u) = (6, 5);
            let input_of = |i: usize, rng: &mut rand::rngs::Xoshiro256PlusPlus| -> f32 {
                // The first input's weights are negative, and it is all that every other stretch of rows has.
                let (row, input) = (i / k, i % k);
                let off = row / 150 % 2 == 0;
                if off == (input == 0) { rng.random_range(0.1..1.0) } else { 0.0 }
            };
            let rows: Vec<f32> = (0..2 * n * k).map(|i| input_of(i, rng)).collect();
            let input = || Input::Activations(Activations { rows: rows.clone(), k, variants: 2 });
            let mut start = common::parameters(k, u, 0.7, rng);
            start.kernel[..u].fill(-3.0);
            start.bias.fill(0.01);
            compare_steps(isa, input, &start, 12, switch_units);
        }
    }
}

/// A layer that has lost its bias, or got one, between two steps of a batch.
#[test]
fn a_bias_that_comes_and_goes() {
    for isa in common::isas() {
        let rng = &mut common::rng(14);
        let (n, k, u) = (40, 7, 9);
        let rows: Vec<f32> = (0..2 * n * k).map(|_| rng.random_range(0.0..1.0)).collect();
        let with = common::parameters(k, u, 0.7, rng);
        let without = Parameters { bias: Vec::new(), ..with.clone() };
        let off = Parameters { bias: vec![-5.0; u], ..with.clone() };
        for (name, fused) in common::fused(isa) {
            let input = || Input::Activations(Activations { rows: rows.clone(), k, variants: 2 });
            let mut step = fused.prepare(input(), u);
            for parameters in [&off, &off, &without, &off, &with, &without, &off, &without] {
                let (mut gradient, mut expected) = (parameters.clone(), parameters.clone());
                let loss = step.gradient(parameters, &OBJECTIVE, &mut gradient);
                let plain = Reference::new(isa).prepare(input(), u).gradient(parameters, &OBJECTIVE, &mut expected);
                assert!((loss - plain).abs() <= 1e-6 * plain, "{name}: {loss} {plain}");
            }
        }
    }
}

/// Weights beyond what their squares can hold in f32 end in a loss that shows it.
#[test]
fn a_layer_that_diverges_is_seen_to() {
    for isa in common::isas() {
        let (k, u) = (6, 20);
        for (name, fused) in common::fused(isa) {
            let input = Input::Activations(Activations { rows: vec![0.5; 2 * 8 * k], k, variants: 2 });
            let mut step = fused.prepare(input, u);
            let mut parameters = Parameters::zeros(k, u, true);
            parameters.kernel.fill(-1.0);
            let mut gradient = parameters.clone();
            assert!(step.gradient(&parameters, &OBJECTIVE, &mut gradient).is_finite());
            assert!(step.gradient(&parameters, &OBJECTIVE, &mut gradient).is_finite());
            parameters.kernel.fill(1e20);
            assert!(!step.gradient(&parameters, &OBJECTIVE, &mut gradient).is_finite(), "{name}");
        }
    }
}
