//! The fused kernels against the plain reference backend, at sizes that do not fit vectors, panels, strips or parts.

use crate::common::{self, gap, largest};
use ffwd::backend::{Backend, Use};
use ffwd::batch::{Activations, Images, Input, Overlay, TRAINING_VARIANTS};
use ffwd::dropout::Dropout;
use ffwd::internals::{Fused, MR, Reference};
use ffwd::isa::Isa;
use ffwd::labels::LabelStyle;
use ffwd::parameters::Parameters;
use ffwd::recipe::{Goodness, Loss, LossName, Normalisation, Recipe, Threshold};
use rand::RngExt;

const KERAS: &str = "keras";

/// Recipes to test, named: the Keras example's, and that of Hinton's published code, whose rows are sqrt(k) long, with
/// its loss and those of pairs.
fn recipes() -> [(&'static str, Recipe); 4] {
    let hinton = |name, temperature| Recipe {
        labels: LabelStyle::ONE,
        normalisation: Normalisation::RootMeanSquare,
        goodness: Goodness::SumOfSquares,
        loss: Loss { name, threshold: Threshold::PerUnit(1.0), temperature },
    };
    [
        (KERAS, Recipe::keras(1.5)),
        ("hinton", hinton(LossName::Logistic, 1.0)),
        ("symba", hinton(LossName::Symba, 3.0)),
        ("swish", hinton(LossName::Swish, 9.0)),
    ]
}

/// Both sides sum the same products, the fused side in parts of at most 2,200 rows, the reference in one run of blocks.
/// A sum of that many products is off by some 47 (the square root) roundings of 6e-8 of its largest partial sums; the
/// tolerance is 64 of them.
const TOLERANCE: f32 = 32.0 * f32::EPSILON;

/// What a backend makes of one batch.
struct Outcome {
    /// Of one step after another.
    losses: Vec<f64>,
    gradient: Parameters,
    /// The activations that the gradient is of.
    of_gradient: Vec<f32>,
    outputs: Vec<f32>,
    goodness: Vec<f32>,
    active: u64,
}

fn outcome(
    backend: &dyn Backend,
    recipe: &Recipe,
    input: &Input<'_>,
    parameters: &Parameters,
    (wanted, dropout): (Use, Option<Dropout>),
) -> Outcome {
    let rows = input.rows();
    let mut layer = backend.layer(recipe, parameters.k, parameters.u);
    layer.begin(input, wanted);
    layer.drop_out(dropout);
    let mut gradient = Parameters::zeros(parameters.k, parameters.u, !parameters.bias.is_empty());
    let mut outputs = vec![f32::NAN; rows * parameters.u];
    // The second step of a batch can know what the first has seen.
    let steps = if wanted == Use::Inference { 0 } else { 2 };
    let losses = (0..steps).map(|_| layer.gradient(parameters, &mut gradient, Some(&mut outputs))).collect();
    let of_gradient = if steps > 0 { outputs.clone() } else { Vec::new() };
    let mut goodness = vec![f32::NAN; rows];
    let active = layer.forward(parameters, Some(&mut outputs), Some(&mut goodness));
    if steps > 0 && dropout.is_none() {
        assert!(gap(&of_gradient, &outputs) <= TOLERANCE * largest(&outputs), "a gradient's outputs are a forward's");
    }
    assert_eq!(layer.forward(parameters, None, None), active, "outputs are optional");
    Outcome { losses, gradient, of_gradient, outputs, goodness, active }
}

/// Runs both backends on `input` and compares everything.
fn compare(isa: Isa, input: &Input<'_>, parameters: &Parameters, what: &str) {
    let can_train = input.samples() > 0 && input.variants() == TRAINING_VARIANTS;
    let mut uses = vec![(Use::Inference, None)];
    if can_train {
        let dropout = Dropout::new(0.3, 77);
        uses.extend([(Use::ManySteps, None), (Use::OneStep, None), (Use::OneStep, Some(dropout))]);
    }
    let compare_uses = |recipe_name: &str, recipe: &Recipe| {
        for &wanted in &uses {
            let plain = outcome(&Reference::new(isa), recipe, input, parameters, wanted);
            for (name, fused) in common::fused(isa) {
                let found = outcome(&fused, recipe, input, parameters, wanted);
                let what = format!("{name}, {recipe_name}, {wanted:?}, {what}");
                compare_outcomes(&found, &plain, recipe.loss.name.is_of_pairs(), &what);
            }
        }
    };
    common::piecemeal(|| recipes().iter().for_each(|(name, recipe)| compare_uses(name, recipe)));
}

/// What rounding is relative to where the loss is of pairs: the two rows of a pair cancel, and what they come to is up
/// to four times an activation, with inputs of about 1.
fn scale_of_pairs(is_of_pairs: bool, activations: &[f32]) -> f32 {
    if is_of_pairs { 4.0 * largest(activations) } else { 0.0 }
}

/// What rounding is relative to where activations are left out: a gradient is up to twice the mean of the rows' scaled
/// activations over the units, of which few may be left that cancel.
fn scale_of_dropout(plain: &Outcome) -> f32 {
    let units = plain.outputs.len() / plain.goodness.len().max(1);
    if plain.of_gradient == plain.outputs { 0.0 } else { 2.0 * largest(&plain.of_gradient) / units as f32 }
}

fn compare_outcomes(fused: &Outcome, plain: &Outcome, is_of_pairs: bool, what: &str) {
    let least = scale_of_pairs(is_of_pairs, &plain.outputs).max(scale_of_dropout(plain));
    let close = |a: &[f32], b: &[f32], part: &str| {
        let (gap, scale) = (gap(a, b), largest(b).max(least));
        assert!(gap <= TOLERANCE * scale, "{what}: {part} differs by {gap:e} at a scale of {scale:e}");
    };
    assert_eq!(fused.losses.len(), plain.losses.len());
    let goodness = &plain.goodness;
    for (step, (fused, plain)) in fused.losses.iter().zip(&plain.losses).enumerate() {
        // A loss far from the threshold is the goodness itself, a sum of squares in f32.
        let scale = if is_of_pairs { f64::from(largest(goodness)) } else { 1.0 };
        let tolerance = f64::from(TOLERANCE) * plain.abs().max(scale);
        assert!((fused - plain).abs() <= tolerance, "{what}, step {step}: {fused} {plain}");
    }
    close(&fused.gradient.kernel, &plain.gradient.kernel, "kernel gradient");
    close(&fused.gradient.bias, &plain.gradient.bias, "bias gradient");
    close(&fused.of_gradient, &plain.of_gradient, "the gradient's outputs");
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
    for overlay in [Overlay::Labels(&labels), Overlay::Neutral] {
        let images = Images { pixels: (&pixels).into(), k, samples: &samples, classes, overlay };
        let what = format!("images n {n}, k {k}, u {u}, c {classes}, v {}", images.variants());
        compare(isa, &Input::Images(images), &parameters, &what);
    }
}

fn compare_activations(isa: Isa, (n, k, u): (usize, usize, usize), variants: usize, zeros: f64) {
    let rng = &mut common::rng((n * 31 + k * 7 + u * 3) as u64);
    let value = |rng: &mut rand::rngs::Xoshiro256PlusPlus| -> f32 {
        if rng.random_bool(zeros) { 0.0 } else { rng.random_range(0.0..3.0) }
    };
    let rows: Vec<f32> = (0..n * variants * k).map(|_| value(rng)).collect();
    let parameters = common::parameters(k, u, 0.7, rng);
    let input = Input::Activations(Activations { rows: &rows, k, variants });
    compare(isa, &input, &parameters, &format!("activations n {n}, k {k}, u {u}, v {variants}, zeros {zeros}"));
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
    // An f32 strip has at most 256 base rows: 32 parts of one whole strip, of two, and of several, the last part being
    // short.
    for isa in common::isas() {
        for n in [8_192, 8_193, 17_000] {
            compare_images(isa, (n, 6, 3), 2, 2);
            compare_activations(isa, (n / 2, 5, 3), 2, 0.5);
        }
    }
}

#[test]
fn inputs_and_units_around_row_and_column_panels() {
    for isa in common::isas() {
        let nr = Fused::new(isa).nr();
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

/// Takes steps of one batch on both sides, `change` making each step's parameters of the last: what is known from
/// earlier steps must never change a later one.
fn compare_steps(
    isa: Isa,
    input: &Input<'_>,
    start: &Parameters,
    steps: usize,
    change: impl Fn(usize, &mut Parameters) + Sync,
) {
    let compare_forms = |recipe_name: &str, recipe: &Recipe| {
        for (name, fused) in common::fused(isa) {
            let (k, u) = (start.k, start.u);
            let (mut fused, mut plain) = (fused.layer(recipe, k, u), Reference::new(isa).layer(recipe, k, u));
            fused.begin(input, Use::ManySteps);
            plain.begin(input, Use::ManySteps);
            let mut parameters = start.clone();
            let (mut found, mut expected) = (start.clone(), start.clone());
            let (mut outputs, mut plain_outputs) = (vec![0.0; input.rows() * u], vec![0.0; input.rows() * u]);
            let mut goodness = vec![0.0; input.rows()];
            for step in 0..steps {
                change(step, &mut parameters);
                let what = format!("{name}, {recipe_name}, k {k}, u {u}, step {step}");
                let loss = fused.gradient(&parameters, &mut found, None);
                let reference = plain.gradient(&parameters, &mut expected, None);
                let is_of_pairs = recipe.loss.name.is_of_pairs();
                plain.forward(&parameters, Some(&mut plain_outputs), Some(&mut goodness));
                let scale = if is_of_pairs { f64::from(largest(&goodness)) } else { 0.0 };
                let tolerance = 1e-6 * reference.abs().max(scale);
                assert!((loss - reference).abs() <= tolerance, "{what}: {loss} {reference}");
                let least = scale_of_pairs(is_of_pairs, &plain_outputs);
                let close = |found: &[f32], expected: &[f32], part: &str| {
                    assert!(gap(found, expected) <= TOLERANCE * largest(expected).max(least), "{what}: {part}");
                };
                close(&found.kernel, &expected.kernel, "kernel");
                close(&found.bias, &expected.bias, "bias");
                if step % 2 == 0 {
                    fused.forward(&parameters, Some(&mut outputs), None);
                    close(&outputs, &plain_outputs, "outputs");
                }
            }
        }
    };
    common::piecemeal(|| recipes().iter().for_each(|(name, recipe)| compare_forms(name, recipe)));
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
        let (n, k, u) = (150, 21, 2 * Fused::new(isa).nr() + 5);
        let start = common::parameters(k, u, 0.7, rng);
        let unbiased = Parameters { bias: Vec::new(), ..start.clone() };
        for lowest in [0.0, -0.5] {
            let rows: Vec<f32> = (0..2 * n * k).map(|_| rng.random_range(lowest..1.0)).collect();
            let input = Input::Activations(Activations { rows: &rows, k, variants: 2 });
            compare_steps(isa, &input, &start, 12, switch_units);
            compare_steps(isa, &input, &unbiased, 12, switch_units);
        }
        let pixels = common::images(n, k, rng);
        let samples: Vec<u32> = (0..n as u32).collect();
        let labels: Vec<Vec<u8>> = (0..2).map(|_| common::labels(n, 5, rng)).collect();
        let overlay = Overlay::Labels(&labels);
        let images = Images { pixels: (&pixels).into(), k, samples: &samples, classes: 5, overlay };
        compare_steps(isa, &Input::Images(images), &start, 12, switch_units);
    }
}

/// Rows of one input each and a weight that climbs above zero in small steps: the bound of a unit is its `z`, so a unit
/// that is left out one step too long is seen.
#[test]
fn units_that_come_on_by_a_hair() {
    for isa in common::isas() {
        for (n, k, u) in [(1, 1, 15), (3, 15, 16), (10, 16, 17), (9, 17, 33)] {
            let rows: Vec<f32> = (0..2 * n * k).map(|i| if i / k % k == i % k { 1.0 } else { 0.0 }).collect();
            let input = Input::Activations(Activations { rows: &rows, k, variants: 2 });
            let mut start = Parameters::zeros(k, u, true);
            start.kernel.iter_mut().enumerate().for_each(|(i, w)| *w = -1e-3 * (i % 40) as f32 - 1e-4);
            compare_steps(isa, &input, &start, 50, |_, parameters| {
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
            let input = Input::Activations(Activations { rows: &rows, k, variants: 2 });
            let mut start = common::parameters(k, u, 0.7, rng);
            start.kernel[..u].fill(-3.0);
            start.bias.fill(0.01);
            compare_steps(isa, &input, &start, 12, switch_units);
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
        let (recipe, input) = (Recipe::keras(1.5), Input::Activations(Activations { rows: &rows, k, variants: 2 }));
        for (name, fused) in common::fused(isa) {
            let mut layer = fused.layer(&recipe, k, u);
            layer.begin(&input, Use::ManySteps);
            for parameters in [&off, &off, &without, &off, &with, &without, &off, &without] {
                let (mut gradient, mut expected) = (parameters.clone(), parameters.clone());
                let loss = layer.gradient(parameters, &mut gradient, None);
                let mut plain = Reference::new(isa).layer(&recipe, k, u);
                plain.begin(&input, Use::ManySteps);
                let plain = plain.gradient(parameters, &mut expected, None);
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
            let rows = vec![0.5; 2 * 8 * k];
            let mut layer = fused.layer(&Recipe::keras(1.5), k, u);
            layer.begin(&Input::Activations(Activations { rows: &rows, k, variants: 2 }), Use::ManySteps);
            let mut parameters = Parameters::zeros(k, u, true);
            parameters.kernel.fill(-1.0);
            let mut gradient = parameters.clone();
            assert!(layer.gradient(&parameters, &mut gradient, None).is_finite());
            assert!(layer.gradient(&parameters, &mut gradient, None).is_finite());
            parameters.kernel.fill(1e20);
            assert!(!layer.gradient(&parameters, &mut gradient, None).is_finite(), "{name}");
        }
    }
}

/// A layer is given one batch after another, of other sizes and for other uses: nothing of the earlier ones may be
/// left.
#[test]
fn one_batch_after_another_leaves_no_trace() {
    for isa in common::isas() {
        let (k, u, classes) = (23, 19, 5);
        let rng = &mut common::rng(15);
        let parameters = common::parameters(k, u, 0.7, rng);
        let pixels = common::images(400, k, rng);
        let samples: Vec<u32> = (0..400).collect();
        let labels: Vec<Vec<u8>> = (0..2).map(|_| common::labels(400, classes, rng)).collect();
        for (name, fused) in common::fused(isa) {
            let (recipe, mut layer) = (Recipe::keras(1.5), fused.layer(&Recipe::keras(1.5), k, u));
            for (n, wanted) in [
                (400, Use::ManySteps),
                (300, Use::OneStep),
                (300, Use::OneStep),
                (37, Use::OneStep),
                (400, Use::ManySteps),
                (5, Use::Inference),
                (129, Use::OneStep),
            ] {
                let labels: Vec<Vec<u8>> = labels.iter().map(|list| list[..n].to_vec()).collect();
                let overlay = Overlay::Labels(&labels);
                let images = Images { pixels: (&pixels).into(), k, samples: &samples[..n], classes, overlay };
                layer.begin(&Input::Images(images), wanted);
                let mut fresh = fused.layer(&recipe, k, u);
                fresh.begin(&Input::Images(images), wanted);
                let (mut found, mut expected) = (parameters.clone(), parameters.clone());
                if wanted != Use::Inference {
                    let loss = layer.gradient(&parameters, &mut found, None);
                    assert_eq!(loss, fresh.gradient(&parameters, &mut expected, None), "{name}, n {n}, {wanted:?}");
                }
                assert_eq!(found, expected, "{name}, n {n}, {wanted:?}");
                let (mut found, mut expected) = (vec![f32::NAN; 2 * n * u], vec![f32::NAN; 2 * n * u]);
                layer.forward(&parameters, Some(&mut found), None);
                fresh.forward(&parameters, Some(&mut expected), None);
                assert_eq!(found, expected, "{name}, n {n}, {wanted:?}");
            }
        }
    }
}
