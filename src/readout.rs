//! The softmax read-out: a linear classifier on what the layers from the second up put out for an image with the
//! neutral label (section 3.3 of Hinton 2022). It predicts in one pass, and its probabilities choose hard negatives.
//!
//! Letters: `n` images, `c` classes, `k` features: the units of the layers from the second up, of the first where there
//! is no second. Each layer's row is normalised as the recipe says. No gradient goes back into the layers.

use rand::Rng;
use rayon::prelude::*;

use crate::backend::{LayerBackend, Use};
use crate::batch::{Activations, Images, Input};
use crate::gemm::{self, Matrix, MatrixMut, Workspace};
use crate::isa::Isa;
use crate::memory::fitted;
use crate::network::Network;
use crate::optimizer::{Optimizer, OptimizerState};
use crate::parameters::Parameters;
use crate::ranks::Share;
use crate::recipe::{Normalisation, Recipe, squared_norm};

/// Rows of one product: with at most 256 classes, a result of which the length of the reduction alone decides whether
/// it is split, so that a row does not depend on how many there are beside it.
const PRODUCT_ROWS: usize = 4096;

/// Which of `layers` layers, at least one, the read-out sees: all but the first, or the only one.
pub fn layers_seen(layers: usize) -> std::ops::Range<usize> {
    layers.min(2) - 1..layers
}

/// Features of a read-out of `network`, which has at least one layer: the units that it sees.
pub fn features(network: &Network) -> usize {
    network.layers[layers_seen(network.layers.len())].iter().map(|layer| layer.u).sum()
}

/// What the layers put out for `n` images, side by side and normalised: n x k.
pub struct Features {
    rows: Vec<f32>,
    k: usize,
    /// Columns filled so far.
    filled: usize,
}

impl Features {
    /// Room for `n` images of `k` features.
    pub fn new(n: usize, k: usize) -> Self {
        Self { rows: vec![0.0; n * k], k, filled: 0 }
    }

    /// Begins anew with `n` images, in the same memory where that suffices.
    pub fn begin(&mut self, n: usize) {
        self.rows.resize(n * self.k, 0.0);
        self.filled = 0;
    }

    /// Takes in the activations of the next layer, n x u, row-major.
    ///
    /// # Panics
    ///
    /// They are not of as many images, or more than there is room for.
    pub fn push(&mut self, activations: &[f32], u: usize, normalisation: Normalisation) {
        assert!(activations.len() * self.k == self.rows.len() * u && self.filled + u <= self.k, "n x u activations");
        let first = self.filled;
        self.rows.par_chunks_exact_mut(self.k).zip(activations.par_chunks_exact(u)).for_each(|(row, h)| {
            let scale = normalisation.scale(squared_norm(h), u);
            row[first..][..u].iter_mut().zip(h).for_each(|(to, h)| *to = scale * h);
        });
        self.filled += u;
    }

    fn matrix(&self) -> Matrix<'_> {
        assert_eq!(self.filled, self.k, "every layer has been taken in");
        Matrix::new(&self.rows, self.rows.len() / self.k, self.k)
    }
}

/// Takes the features of `images`, which carry the neutral label, into `features`, which have been begun, with one of
/// `layers` for each layer of `network`; `activations` is memory for what goes from one layer to the next.
pub fn features_of<'a>(
    network: &Network,
    recipe: &Recipe,
    layers: impl Iterator<Item = &'a mut Box<dyn LayerBackend>>,
    images: &Images<'_>,
    activations: &mut [Vec<f32>; 2],
    features: &mut Features,
) {
    let seen = layers_seen(network.layers.len());
    let [inputs, outputs] = activations;
    for (index, (parameters, layer)) in network.layers.iter().zip(layers).enumerate() {
        let input = match index {
            0 => Input::Images(*images),
            _ => Input::Activations(Activations { rows: inputs, k: parameters.k, variants: 1 }),
        };
        layer.begin(&input, Use::Inference);
        layer.forward(parameters, Some(fitted(outputs, images.samples.len() * parameters.u)), None);
        if seen.contains(&index) {
            features.push(outputs, parameters.u, recipe.normalisation);
        }
        std::mem::swap(inputs, outputs);
    }
}

/// Writes the probabilities of the classes, `softmax(x W + b)`, over `rows`: n x c, row-major. `parameters` are W,
/// which is k x c, and b, which may be empty.
///
/// # Panics
///
/// The features are not filled up to `k`, or `parameters` have another number of inputs.
pub fn probabilities(
    isa: Isa,
    parameters: &Parameters,
    features: &Features,
    rows: &mut Vec<f32>,
    workspace: &mut Workspace,
) {
    let (x, c) = (features.matrix(), parameters.u);
    let n = x.rows();
    parameters.assert_shape(x.columns(), c);
    rows.resize(n * c, 0.0);
    let w = Matrix::new(&parameters.kernel, parameters.k, c);
    for (number, logits) in rows.chunks_mut(PRODUCT_ROWS * c).enumerate() {
        let (first, m) = (number * PRODUCT_ROWS, logits.len() / c);
        let x = x.block(first..first + m, 0..parameters.k);
        gemm::sgemm(isa, 1.0, x, w, 0.0, MatrixMut::new(logits, m, c), workspace);
    }
    for row in rows.chunks_exact_mut(c) {
        row.iter_mut().zip(&parameters.bias).for_each(|(logit, bias)| *logit += bias);
        softmax(row);
    }
}

/// Replaces logits by their probabilities.
fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|logit| *logit = (*logit - largest).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|share| *share /= sum);
}

/// A read-out in training. Its memory stays from batch to batch.
pub struct Trainer {
    isa: Isa,
    optimizer: Optimizer,
    gradient: Parameters,
    /// Of the last batch, n x c.
    probabilities: Vec<f32>,
    /// The derivative of the mean loss after the logits, n x c.
    slopes: Vec<f32>,
    workspace: Workspace,
}

impl Trainer {
    /// A trainer of a read-out of the shape of `parameters`.
    pub fn new(isa: Isa, optimizer: Optimizer, parameters: &Parameters) -> Self {
        Self {
            isa,
            optimizer,
            gradient: Parameters::zeros(parameters.k, parameters.u, true),
            probabilities: Vec::new(),
            slopes: Vec::new(),
            workspace: Workspace::new(),
        }
    }

    /// The probabilities of the classes before the last step, n x c of the whole batch, row-major.
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// The derivative of the mean loss after the logits, n x c, row-major, of this rank's share of the last batch.
    pub fn slopes(&self) -> &[f32] {
        &self.slopes
    }

    /// Takes one step of softmax cross-entropy on a share of a batch: its `features`, and all of the batch's true
    /// `labels`. Returns the mean loss before it, in nats. `rate` multiplies the rule's learning rate.
    ///
    /// # Panics
    ///
    /// As [`probabilities`], or a label is not below the classes.
    pub fn train(
        &mut self,
        (parameters, state): (&mut Parameters, &mut OptimizerState),
        features: &Features,
        (labels, share): (&[u8], &Share),
        rate: f64,
    ) -> f64 {
        let loss = self.differentiate(parameters, features, (labels, share));
        self.update((parameters, state), rate);
        loss
    }

    /// Takes the step of which [`Trainer::differentiate`] has found the gradient.
    pub fn update(&mut self, (parameters, state): (&mut Parameters, &mut OptimizerState), rate: f64) {
        self.optimizer.update(state, parameters, &self.gradient, rate);
    }

    /// The mean cross-entropy, in nats, on a batch of whose share `features` are, with all of its n true `labels`; its
    /// gradient is kept for a step.
    ///
    /// # Panics
    ///
    /// As [`Trainer::train`].
    pub fn differentiate(
        &mut self,
        parameters: &Parameters,
        features: &Features,
        (labels, share): (&[u8], &Share),
    ) -> f64 {
        let Self { isa, gradient, probabilities: rows, slopes, workspace, .. } = self;
        probabilities(*isa, parameters, features, slopes, workspace);
        share.gather(slopes, parameters.u, rows);
        let (x, k, c, n) = (features.matrix(), parameters.k, parameters.u, labels.len());
        let loss = |(row, &label): (&[f32], &u8)| -f64::from(row[usize::from(label)].max(f32::MIN_POSITIVE)).ln();
        let losses = rows.chunks_exact(c).zip(labels).map(loss).sum::<f64>();
        // The derivative is (p - true) / n.
        for (row, &label) in slopes.chunks_exact_mut(c).zip(&labels[share.own()]) {
            row[usize::from(label)] -= 1.0;
            row.iter_mut().for_each(|slope| *slope /= n as f32);
        }
        share.sum([&mut gradient.kernel, &mut gradient.bias], |samples, [kernel, bias]| {
            let slopes = &slopes[samples.start * c..samples.end * c];
            let (dz, kernel) = (Matrix::new(slopes, samples.len(), c), MatrixMut::new(kernel, k, c));
            gemm::sgemm(*isa, 1.0, x.block(samples, 0..k).transposed(), dz, 0.0, kernel, workspace);
            bias.fill(0.0);
            for row in slopes.chunks_exact(c) {
                bias.iter_mut().zip(row).for_each(|(sum, slope)| *sum += slope);
            }
        });
        losses / n as f64
    }
}

/// A wrong label for each image, drawn by the power `hardness` of its `probabilities` (n x c) with the true class left
/// out; where these are all zero, any wrong label. With one class there is no wrong one, and the true one is returned.
/// In section 3.3 of Hinton 2022 `hardness` is 1.
pub fn hard_negatives<R: Rng + ?Sized>(
    labels: &[u8],
    (probabilities, hardness): (&[f32], f64),
    classes: usize,
    rng: &mut R,
) -> Vec<u8> {
    let mut weights = vec![0.0; classes];
    let draw = |(&label, row): (&u8, &[f32])| {
        weigh_negatives(label, row, hardness, &mut weights);
        let drawn = rng.next_u64() as f64 / u64::MAX as f64;
        let mut left = drawn * weights.iter().sum::<f64>();
        let mut last = label;
        for (class, weight) in weights.iter().enumerate().filter(|&(_, &weight)| weight > 0.0) {
            last = class as u8;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    };
    labels.iter().zip(probabilities.chunks_exact(classes)).map(draw).collect()
}

/// The weights by which [`hard_negatives`] draws each class for an image with this label and these probabilities.
pub fn weigh_negatives(label: u8, probabilities: &[f32], hardness: f64, weights: &mut [f64]) {
    let is_wrong = |class: usize| class != usize::from(label);
    for (class, (weight, &probability)) in weights.iter_mut().zip(probabilities).enumerate() {
        *weight = if is_wrong(class) { f64::from(probability).powf(hardness) } else { 0.0 };
    }
    let sum: f64 = weights.iter().sum();
    if !(sum.is_finite() && sum > 0.0) {
        weights.iter_mut().enumerate().for_each(|(class, weight)| *weight = f64::from(u8::from(is_wrong(class))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::Rule;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    #[test]
    fn the_read_out_sees_all_layers_but_the_first_or_the_only_one() {
        assert_eq!([1, 2, 4].map(layers_seen), [0..1, 1..2, 1..4]);
    }

    fn of_two_layers(a: &[f32], b: &[f32]) -> Features {
        let mut features = Features::new(2, 5);
        features.push(a, 3, Normalisation::RootMeanSquare);
        features.push(b, 2, Normalisation::RootMeanSquare);
        features
    }

    #[test]
    fn features_stand_side_by_side_with_a_root_mean_square_of_one_in_each_layer() {
        let features = of_two_layers(&[3.0, 0.0, 0.0, 1.0, 1.0, 1.0], &[0.0, 0.0, 4.0, 0.0]);
        let root = |x: f32| x.sqrt();
        let expected = [root(3.0), 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, root(2.0), 0.0];
        let gap = |(a, b): (&f32, f32)| (a - b).abs();
        assert!(features.rows.iter().zip(expected).map(gap).all(|gap| gap < 1e-6), "{:?}", features.rows);
    }

    #[test]
    fn a_step_follows_the_gradient_of_the_cross_entropy() {
        let isa = Isa::best();
        let features = of_two_layers(&[1.0, 2.0, 0.5, 0.3, 0.0, 1.0], &[1.0, 0.25, 0.0, 2.0]);
        let kernel = (0..15).map(|i| (i as f32 - 7.0) / 9.0).collect();
        let parameters = Parameters { k: 5, u: 3, kernel, bias: vec![0.1, -0.2, 0.3] };
        let labels = [2, 0];
        let rule = Rule::Sgd { lr: 1.0, momentum: 0.0 };
        let loss_of = |parameters: &Parameters| {
            let mut p = Vec::new();
            probabilities(isa, parameters, &features, &mut p, &mut Workspace::new());
            p.chunks_exact(3).zip(labels).map(|(p, label)| -f64::from(p[usize::from(label)]).ln()).sum::<f64>() / 2.0
        };
        let mut trained = parameters.clone();
        let mut state = OptimizerState::new(rule, &parameters);
        let mut trainer = Trainer::new(isa, Optimizer::new(isa, rule), &parameters);
        let loss = trainer.train((&mut trained, &mut state), &features, (&labels, &Share::whole(2)), 1.0);
        assert!((loss - loss_of(&parameters)).abs() < 1e-6);
        let step = 1e-2;
        for i in 0..15 {
            let moved = |by: f32| {
                let mut moved = parameters.clone();
                moved.kernel[i] += by;
                loss_of(&moved)
            };
            let slope = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            let taken = f64::from(parameters.kernel[i] - trained.kernel[i]);
            assert!((slope - taken).abs() < 1e-4, "{i}: {slope} {taken}");
        }
    }

    #[test]
    fn hard_negatives_are_wrong_and_as_likely_as_the_read_out_says() {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
        let row = [0.7, 0.2, 0.1, 0.0];
        let labels = vec![0; 30_000];
        let drawn = hard_negatives(&labels, (&row.repeat(labels.len()), 1.0), 4, rng);
        let share = |class: u8| drawn.iter().filter(|&&label| label == class).count() as f64 / drawn.len() as f64;
        assert!(share(0) == 0.0 && share(3) == 0.0);
        // Standard error: 0.0027.
        assert!((share(1) - 2.0 / 3.0).abs() < 0.011 && (share(2) - 1.0 / 3.0).abs() < 0.011);
        let sharper = hard_negatives(&labels, (&row.repeat(labels.len()), 2.0), 4, rng);
        let ones = sharper.iter().filter(|&&label| label == 1).count() as f64 / sharper.len() as f64;
        assert!((ones - 0.8).abs() < 0.01, "{ones}");
        let uniform = hard_negatives(&labels, (&[1.0, 0.0, 0.0, 0.0].repeat(labels.len()), 1.0), 4, rng);
        assert!((1..4).all(|class| uniform.contains(&class)) && !uniform.contains(&0));
        assert_eq!(hard_negatives(&[0, 0], (&[1.0, 1.0], 1.0), 1, rng), [0, 0]);
    }
}
