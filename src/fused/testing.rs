//! Random strips and layers for the tests of this backend.

use std::ops::Range;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::dense::F32;
use super::packing::ColumnOrder;
use super::strip::Strip;
use crate::batch::{Activations, Images, Input, Overlay};
use crate::isa::Isa;
use crate::labels::LabelStyle;
use crate::parameters::Parameters;
use crate::recipe::{Goodness, Loss, LossName, Normalisation, Recipe, Threshold};

/// Recipes that differ in every choice: norms of at most 1 and of sqrt(k), means and sums of squares.
pub fn recipes() -> [Recipe; 2] {
    let sum_of_squares = Recipe {
        labels: LabelStyle::ONE,
        normalisation: Normalisation::RootMeanSquare,
        goodness: Goodness::SumOfSquares,
        loss: Loss { name: LossName::Logistic, threshold: Threshold::PerUnit(1.0), temperature: 7.0 },
    };
    [Recipe::keras(0.1), sum_of_squares]
}

/// A generator of test data.
pub fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// What the rows of a strip are.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Images of this many variants, which differ in their labels.
    Labelled(usize),
    /// Images under the neutral label.
    Neutral,
    /// Activations of samples of this many variants.
    Activations(usize),
    /// Inputs of either sign, in samples of this many variants.
    Signed(usize),
}

impl Kind {
    /// How many of the inputs are pixels of labels that are no part of a row's product.
    pub fn label_pixels(self) -> usize {
        if matches!(self, Self::Labelled(_)) { CLASSES } else { 0 }
    }
}

/// Classes of the images.
pub const CLASSES: usize = 5;

/// A strip, and its rows as they were packed: base rows x k, not scaled, label pixels zero where rows carry labels.
pub struct Packed {
    pub strip: Strip<F32>,
    pub dense: Vec<f32>,
}

/// The base rows `rows` of a random batch of `kind` with `k` inputs, two thirds of them zero. The batch ends with the
/// last of the rows, or with the last variant of its sample.
pub fn strip(
    isa: Isa,
    recipe: &Recipe,
    kind: Kind,
    rows: Range<usize>,
    k: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Packed {
    let mut packed = Packed { strip: Strip::default(), dense: Vec::new() };
    let mut pack = |input: Input<'_>| {
        input.assert_shapes();
        let ordered = (&input, ColumnOrder::Natural(k));
        packed.strip.pack(F32(isa), recipe, ordered, rows.clone(), &mut packed.dense);
    };
    match kind {
        Kind::Labelled(_) | Kind::Neutral => {
            let pixels: Vec<u8> =
                (0..rows.end * k).map(|_| if rng.random_ratio(1, 3) { rng.random() } else { 0 }).collect();
            let samples: Vec<u32> = (0..rows.end as u32).rev().collect();
            let variants = if let Kind::Labelled(variants) = kind { variants } else { 0 };
            let mut list = || (0..rows.end).map(|_| rng.random_range(0..CLASSES as u8)).collect();
            let labels: Vec<Vec<u8>> = (0..variants).map(|_| list()).collect();
            let overlay = if variants == 0 { Overlay::Neutral } else { Overlay::Labels(&labels) };
            pack(Input::Images(Images { pixels: (&pixels).into(), k, samples: &samples, classes: CLASSES, overlay }));
        }
        Kind::Activations(variants) | Kind::Signed(variants) => {
            let least = if matches!(kind, Kind::Signed(_)) { -1.0 } else { 0.0 };
            let count = rows.end.next_multiple_of(variants) * k;
            let floats: Vec<f32> =
                (0..count).map(|_| if rng.random_ratio(1, 3) { rng.random_range(least..1.0) } else { 0.0 }).collect();
            pack(Input::Activations(Activations { rows: &floats, k, variants }));
        }
    }
    packed
}

/// Parameters uniform in +-`spread`.
pub fn parameters(k: usize, u: usize, spread: f32, rng: &mut Xoshiro256PlusPlus) -> Parameters {
    let mut parameters = Parameters::zeros(k, u, true);
    for value in parameters.kernel.iter_mut().chain(&mut parameters.bias) {
        *value = rng.random_range(-spread..=spread);
    }
    parameters
}

/// `length` floats uniform in +-`spread`.
pub fn floats(length: usize, spread: f32, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    (0..length).map(|_| rng.random_range(-spread..=spread)).collect()
}
