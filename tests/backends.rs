//! The fused kernels against the plain reference backend, at sizes that do not fit vectors, panels, strips or parts.

mod common;

use common::{gap, largest};
use ffwd::fused::Fused;
use ffwd::isa::Isa;
use ffwd::objective::Objective;
use ffwd::reference::Reference;
use ffwd::simd::MR;
use ffwd::step::{Activations, Backend, Images, Input, Parameters};
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
    let loss = if training { step.gradient(parameters, &OBJECTIVE, &mut gradient) } else { 0.0 };
    let mut outputs = vec![f32::NAN; rows * parameters.u];
    let mut goodness = vec![f32::NAN; rows];
    let active = step.forward(parameters, Some(&mut outputs), Some(&mut goodness));
    assert_eq!(step.forward(parameters, None, None), active, "outputs are optional");
    Outcome { loss, gradient, outputs, goodness, active }
}

/// Runs both backends on what `input` makes and compares everything.
fn compare<'a>(isa: Isa, input: impl Fn() -> Input<'a>, parameters: &Parameters, what: &str) {
    let what = format!("{isa}, {what}");
    let fused = outcome(&Fused::new(isa), input(), parameters);
    let plain = outcome(&Reference::new(isa), input(), parameters);
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

/// Steps of one prepared batch whose parameters move, some units being switched off for good, for a while, or never: what
/// is known from earlier steps must never change a later one.
fn compare_steps<'a>(isa: Isa, input: impl Fn() -> Input<'a>, u: usize) {
    let rng = &mut common::rng(11);
    let (k, rows) = (input().k(), input().samples() * 2);
    let (fused, plain) = (Fused::new(isa), Reference::new(isa));
    let (mut fused, mut plain) = (fused.prepare(input(), u), plain.prepare(input(), u));
    let mut parameters = common::parameters(k, u, 0.7, rng);
    let (mut found, mut expected) = (Parameters::zeros(k, u, true), Parameters::zeros(k, u, true));
    let (mut outputs, mut plain_outputs) = (vec![0.0; rows * u], vec![0.0; rows * u]);
    for step in 0..12 {
        // Two units in three go off at step 2; half of these come back by their bias at 5, the others by one weight at 8;
        // all others drift.
        for unit in 0..u {
            match (step, unit % 3) {
                (2, 0 | 1) => parameters.bias[unit] -= 9.0,
                (5, 0) => parameters.bias[unit] += 9.0,
                (8, 1) => parameters.kernel[unit] += 60.0,
                _ => parameters.kernel[unit + u * (step % k)] += rng.random_range(-0.02..0.02),
            }
        }
        let what = format!("{isa}, k {k}, u {u}, step {step}");
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

#[test]
fn steps_that_switch_units_off_and_on_again() {
    for isa in common::isas() {
        let (n, k, u) = (150, 21, 2 * isa.nr() + 5);
        let rng = &mut common::rng(12);
        for lowest in [0.0, -0.5] {
            let rows: Vec<f32> = (0..2 * n * k).map(|_| rng.random_range(lowest..1.0)).collect();
            compare_steps(isa, || Input::Activations(Activations { rows: rows.clone(), k, variants: 2 }), u);
        }
        let pixels = common::images(n, k, rng);
        let samples: Vec<u32> = (0..n as u32).collect();
        let labels: Vec<Vec<u8>> = (0..2).map(|_| common::labels(n, 5, rng)).collect();
        let images = Images { pixels: &pixels, k, samples: &samples, classes: 5, labels: &labels };
        compare_steps(isa, || Input::Images(images), u);
    }
}
