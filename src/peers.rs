//! Peer normalisation: units that are on less than the layer's mean are pushed up, the others down, so that none falls
//! silent and none takes everything (Hinton's published code).
//!
//! The derivative of each positive row after unit `j`'s `z` becomes larger by `strength * (mean_j - mean)`, whether the
//! unit is on or not, where `mean_j` is a running mean of its activity on positive rows and `mean` that of the layer.
//! The rows' share in it is the same for all units, so that the gradient of the weights becomes larger by one outer
//! product: the sum of the positive rows' inputs, times this vector.

use rayon::prelude::*;

use crate::batch::{Input, TRAINING_VARIANTS};
use crate::labels::Label;
use crate::ranks::{PendingSum, Share};
use crate::recipe::{Recipe, squared_norm};

/// Share of the running mean kept from batch to batch.
const KEPT: f32 = 0.9;

/// Where the running means begin.
const BEGIN: f32 = 0.5;

/// Columns whose sums one thread computes: a few lines of each row.
const COLUMNS: usize = 64;

/// The running mean activity of each unit of a layer: part of the training state. A mean begins at 0.5 and keeps 0.9 of
/// itself with each batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity(Vec<f32>);

impl Activity {
    /// Before the first batch of a layer of `u` units.
    pub fn new(u: usize) -> Self {
        Self(vec![BEGIN; u])
    }

    /// The running means, one for each unit.
    pub(crate) fn values(&mut self) -> &mut Vec<f32> {
        &mut self.0
    }

    /// Takes in the sums of the `positive` positive rows of activations of a training batch, one for each unit.
    pub fn learn(&mut self, sums: &[f32], positive: usize) {
        let positive = positive as f32;
        let means = self.0.iter_mut().zip(sums);
        means.for_each(|(mean, sum)| *mean = KEPT * *mean + (1.0 - KEPT) * sum / positive);
    }

    /// The peer term of a batch of `rows` rows, over which its loss is the mean; `inputs` are [`positive_inputs`] of
    /// the batch.
    pub fn term(&self, inputs: Vec<f32>, (strength, rows): (f32, usize)) -> PeerTerm {
        let mean = self.0.iter().map(|&activity| f64::from(activity)).sum::<f64>() / self.0.len() as f64;
        // The loss is a mean over positive and negative rows; the term is one of the sum of both losses of a pair.
        let factor = TRAINING_VARIANTS as f32 * strength / rows as f32;
        let slopes = self.0.iter().map(|activity| factor * (activity - mean as f32)).collect();
        PeerTerm { inputs, slopes, positive: (rows / TRAINING_VARIANTS) as f32 }
    }
}

/// The outer product by which a gradient becomes larger.
pub struct PeerTerm {
    /// The sum of the positive rows, for each of the `k` inputs.
    pub inputs: Vec<f32>,
    /// What each unit is pushed by, for each of the `u` units.
    pub slopes: Vec<f32>,
    /// Positive rows.
    positive: f32,
}

impl PeerTerm {
    /// Adds the term to the gradient of the weights, k x u, row-major.
    pub fn add_to_kernel(&self, gradient: &mut [f32]) {
        gradient.par_chunks_exact_mut(self.slopes.len()).zip(&self.inputs).for_each(|(row, input)| {
            row.iter_mut().zip(&self.slopes).for_each(|(to, slope)| *to += input * slope);
        });
    }

    /// Adds the term to the gradient of the biases, `u` numbers.
    pub fn add_to_bias(&self, gradient: &mut [f32]) {
        gradient.iter_mut().zip(&self.slopes).for_each(|(to, slope)| *to += self.positive * slope);
    }
}

/// Sums over a training batch that are on their way from other ranks.
pub struct PendingSums {
    sums: Vec<f32>,
    pending: PendingSum,
}

impl PendingSums {
    /// Waits for the sums of all ranks.
    pub fn finish(self) -> Vec<f32> {
        let Self { mut sums, pending } = self;
        pending.finish([&mut *sums]);
        sums
    }
}

/// The sum of the positive rows of activations of a training batch: one number for each of the `u` units. `activations`
/// are those of this rank's share of the batch, (n * v) x u, row-major.
pub fn positive_activations(activations: &[f32], u: usize, share: &Share) -> PendingSums {
    sums_of_positive(activations, u, share, |_| 1.0)
}

/// The sum of the positive rows of a training batch, normalised: one number for each of the `k` inputs. `input` is this
/// rank's share of the batch.
pub fn positive_inputs(recipe: &Recipe, input: &Input<'_>, share: &Share) -> PendingSums {
    match input {
        Input::Images(images) => {
            let mut rows = vec![0.0; images.samples.len() * images.k];
            rows.par_chunks_exact_mut(images.k).enumerate().for_each(|(s, row)| {
                recipe.labels.overlay(images.image(s), images.label(s, 0), images.classes, row);
                let is_neutral = images.label(s, 0) == Label::Neutral;
                let norm = recipe.labels.squared_norm(images.image(s), is_neutral, images.classes);
                let scale = recipe.normalisation.scale(norm, images.k);
                row.iter_mut().for_each(|x| *x *= scale);
            });
            column_sums(&rows, (images.k, images.k), share, |_| 1.0)
        }
        Input::Activations(activations) => {
            let k = activations.k;
            let scale = |row: &[f32]| recipe.normalisation.scale(squared_norm(row), k);
            let scales: Vec<f32> =
                activations.rows.par_chunks_exact(TRAINING_VARIANTS * k).map(|pair| scale(&pair[..k])).collect();
            sums_of_positive(activations.rows, k, share, |s| scales[s])
        }
    }
}

/// The sums of the columns of the positive rows, (n * v) x columns, each row times a factor of its sample.
fn sums_of_positive(rows: &[f32], columns: usize, share: &Share, factor: impl Fn(usize) -> f32 + Sync) -> PendingSums {
    column_sums(rows, (TRAINING_VARIANTS * columns, columns), share, factor)
}

/// The sums over the batch of the first `columns` columns of rows that are `stride` floats apart, one for each sample,
/// each row times its factor. Of a part, each column is summed by one thread, from the first row to the last, so that
/// the threads cannot change a bit of it.
fn column_sums(
    rows: &[f32],
    (stride, columns): (usize, usize),
    share: &Share,
    factor: impl Fn(usize) -> f32 + Sync,
) -> PendingSums {
    let mut sums = vec![0.0; columns];
    let pending = share.begin_sum([&mut sums], |samples, [sums]| {
        sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, sums)| {
            sums.fill(0.0);
            for number in samples.clone() {
                let (factor, row) = (factor(number), &rows[number * stride + block * COLUMNS..][..sums.len()]);
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * x);
            }
        });
    });
    PendingSums { sums, pending }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Activations, Images, Overlay};
    use crate::parameters::Parameters;

    #[test]
    fn activity_is_a_running_mean_over_positive_rows() {
        let mut activity = Activity::new(2);
        let sums = positive_activations(&[1.0, 0.0, 9.0, 9.0, 3.0, 2.0, 9.0, 9.0], 2, &Share::whole(2)).finish();
        activity.learn(&sums, 2);
        assert_eq!(activity.0, [0.9 * 0.5 + (1.0 - KEPT) * 2.0, 0.9 * 0.5 + (1.0 - KEPT) * 1.0]);
    }

    #[test]
    fn the_term_is_the_gradient_of_rows_whose_derivative_is_shifted() {
        let recipe = Recipe::keras(1.5);
        let rows: Vec<f32> = (0..24).map(|i| (i * i % 7) as f32).collect();
        let input = Input::Activations(Activations { rows: &rows, k: 4, variants: TRAINING_VARIANTS });
        let activity = Activity(vec![0.1, 0.4, 1.0]);
        let mut gradient = Parameters::zeros(4, 3, true);
        let term = activity.term(positive_inputs(&recipe, &input, &Share::whole(3)).finish(), (0.03, 6));
        term.add_to_kernel(&mut gradient.kernel);
        term.add_to_bias(&mut gradient.bias);
        for unit in 0..3 {
            let shift = 0.03 * (activity.0[unit] - 0.5) / 3.0;
            for i in 0..4 {
                let inputs = rows.chunks_exact(8).map(|pair| pair[i] / squared_norm(&pair[..4]).sqrt() as f32);
                let expected = inputs.sum::<f32>() * shift;
                assert!((gradient.kernel[i * 3 + unit] - expected).abs() < 1e-5);
            }
            assert!((gradient.bias[unit] - 3.0 * shift).abs() < 1e-7);
        }
    }

    #[test]
    fn images_are_summed_with_their_true_labels() {
        let recipe = Recipe::keras(1.5);
        let labels = [vec![1, 0], vec![0, 1]];
        let images = Images {
            pixels: (&[9, 9, 255, 0, 9, 9, 0, 255]).into(),
            k: 4,
            samples: &[0, 1],
            classes: 2,
            overlay: Overlay::Labels(&labels),
        };
        let sums = positive_inputs(&recipe, &Input::Images(images), &Share::whole(2)).finish();
        let half = std::f32::consts::FRAC_1_SQRT_2;
        assert!(sums.iter().zip([half; 4]).all(|(sum, expected)| (sum - expected).abs() < 1e-4), "{sums:?}");
    }
}
