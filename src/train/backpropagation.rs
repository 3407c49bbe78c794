//! The same network trained by back-propagation, as a yardstick: softmax cross-entropy of the read-out, through ReLU
//! and the normalisation of rows.
//!
//! ```text
//! forward     y_0 = the images under the neutral label, normalised;  z = y W + b;  h = max(z, 0);  y = s h
//! backward    dy = what the read-out and the layer behind give;  dh = s (dy - h (h dy) / (h h));  dz = dh where h > 0
//! ```
//!
//! Relies on [`crate::gemm`] for products, which are in f32, and on [`crate::readout`].

use rayon::prelude::*;

use super::{Tally, TrainingState};
use crate::batch::Images;
use crate::config::Config;
use crate::gemm::{self, Matrix, MatrixMut, Workspace};
use crate::isa::Isa;
use crate::labels::Label;
use crate::memory::fitted;
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::parameters::Parameters;
use crate::ranks::Share;
use crate::readout::{self, Features};
use crate::recipe::{Recipe, squared_norm};

/// What trains a network by back-propagation.
pub struct Backpropagation {
    isa: Isa,
    recipe: Recipe,
    optimizer: Optimizer,
    readout: readout::Trainer,
    features: Features,
    /// Images, normalised: n x k.
    images: Vec<f32>,
    layers: Vec<Layer>,
    workspace: Workspace,
}

/// What one layer keeps of a batch.
struct Layer {
    /// Activations, n x u.
    h: Vec<f32>,
    /// The same, normalised.
    y: Vec<f32>,
    /// The derivative after `y`, then after `z`: n x u.
    slopes: Vec<f32>,
    gradient: Parameters,
}

impl Backpropagation {
    /// What trains `network`, which has a read-out, as `config` says.
    pub fn new(network: &Network, config: &Config, isa: Isa) -> Self {
        let readout = network.readout.as_ref().expect("back-propagation begins at a read-out");
        let layer = |parameters: &Parameters| Layer {
            h: Vec::new(),
            y: Vec::new(),
            slopes: Vec::new(),
            gradient: Parameters::zeros(parameters.k, parameters.u, !parameters.bias.is_empty()),
        };
        Self {
            isa,
            recipe: config.recipe(),
            optimizer: Optimizer::new(isa, config.rule()),
            readout: readout::Trainer::new(isa, Optimizer::new(isa, config.readout_rule()), readout),
            features: Features::new(0, readout.k),
            images: Vec::new(),
            layers: network.layers.iter().map(layer).collect(),
            workspace: Workspace::new(),
        }
    }

    /// Takes a step of all layers and of the read-out on `images` with their labels; of the batch, `share` is this
    /// rank's. Returns the loss before it, which is every layer's.
    pub fn train_batch(
        &mut self,
        state: &mut TrainingState,
        images: &Images<'_>,
        (labels, share): (&[u8], &Share),
        rate: f64,
        tallies: &mut [Tally],
    ) -> f64 {
        let images = Images { samples: &images.samples[share.own()], ..*images };
        self.forward(&state.network, &images, share);
        let readout = state.network.readout.as_mut().expect("a read-out to train");
        let loss = self.readout.differentiate(readout, &self.features, (labels, share));
        self.take_slopes(readout, images.samples.len());
        self.backward(&state.network, share);
        let readout = state.network.readout.as_mut().expect("a read-out to train");
        let optimizer = state.readout_optimizer.as_mut().expect("a read-out has an optimiser");
        self.readout.update((readout, optimizer), rate);
        let trained = state.network.layers.iter_mut().zip(&mut state.optimizers);
        for ((layer, (parameters, state)), tally) in self.layers.iter().zip(trained).zip(tallies) {
            self.optimizer.update(state, parameters, &layer.gradient, rate);
            tally.losses.push(loss);
            tally.count(&layer.h);
        }
        loss
    }

    /// The activations of all layers, and the features of the read-out. Products are of one unit of the share after
    /// another, so that their sizes depend on the batch's shape alone.
    fn forward(&mut self, network: &Network, images: &Images<'_>, share: &Share) {
        let Self { isa, recipe, features, images: pixels, layers, workspace, .. } = self;
        let n = images.samples.len();
        fitted(pixels, n * images.k).par_chunks_exact_mut(images.k).enumerate().for_each(|(s, row)| {
            recipe.labels.overlay(images.image(s), Label::Neutral, images.classes, row);
            let scale = recipe.normalisation.scale(squared_norm(row), images.k);
            row.iter_mut().for_each(|x| *x *= scale);
        });
        features.begin(n);
        let seen = readout::layers_seen(layers.len());
        let mut inputs = &*pixels;
        for (index, (layer, Parameters { k, u, kernel, bias })) in layers.iter_mut().zip(&network.layers).enumerate() {
            let (x, w) = (Matrix::new(inputs, n, *k), Matrix::new(kernel, *k, *u));
            let h = fitted(&mut layer.h, n * u);
            for rows in share.units() {
                let (m, x) = (rows.len(), x.block(rows.clone(), 0..*k));
                let h = MatrixMut::new(&mut h[rows.start * u..rows.end * u], m, *u);
                gemm::sgemm(*isa, 1.0, x, w, 0.0, h, workspace);
            }
            let rows = layer.h.par_chunks_exact_mut(*u).zip(fitted(&mut layer.y, n * u).par_chunks_exact_mut(*u));
            rows.for_each(|(h, y)| {
                h.iter_mut().zip(bias).for_each(|(h, b)| *h += b);
                h.iter_mut().for_each(|h| *h = h.max(0.0));
                let scale = recipe.normalisation.scale(squared_norm(h), *u);
                y.iter_mut().zip(h).for_each(|(y, h)| *y = scale * *h);
            });
            if seen.contains(&index) {
                features.push(&layer.h, *u, recipe.normalisation);
            }
            inputs = &layer.y;
        }
    }

    /// What the read-out's error gives each layer: the derivative after what it has seen of the layer, or zeros.
    fn take_slopes(&mut self, readout: &Parameters, n: usize) {
        let Self { isa, readout: trainer, layers, workspace, .. } = self;
        let (c, seen) = (readout.u, readout::layers_seen(layers.len()));
        let slopes = Matrix::new(trainer.slopes(), n, c);
        let mut first = 0;
        for (index, layer) in layers.iter_mut().enumerate() {
            let u = layer.gradient.u;
            let to = fitted(&mut layer.slopes, n * u);
            if seen.contains(&index) {
                let w = Matrix::new(&readout.kernel[first * c..][..u * c], u, c).transposed();
                gemm::sgemm(*isa, 1.0, slopes, w, 0.0, MatrixMut::new(to, n, u), workspace);
                first += u;
            } else {
                to.fill(0.0);
            }
        }
    }

    /// The gradient of every layer, from the last to the first: the sum of the shares of all ranks.
    fn backward(&mut self, network: &Network, share: &Share) {
        let Self { isa, recipe, images, layers, workspace, .. } = self;
        for index in (0..layers.len()).rev() {
            let (before, rest) = layers.split_at_mut(index);
            let Layer { h, slopes, gradient, .. } = &mut rest[0];
            let Parameters { k, u, kernel, bias } = gradient;
            let n = h.len() / *u;
            slopes.par_chunks_exact_mut(*u).zip(h.par_chunks_exact(*u)).for_each(|(slopes, h)| {
                let squares = squared_norm(h);
                let scale = recipe.normalisation.scale(squares, *u);
                let along: f64 = slopes.iter().zip(h).map(|(&slope, &h)| f64::from(slope) * f64::from(h)).sum();
                let share = if squares > 0.0 { (along / squares) as f32 } else { 0.0 };
                for (slope, &h) in slopes.iter_mut().zip(h) {
                    *slope = if h > 0.0 { scale * (*slope - share * h) } else { 0.0 };
                }
            });
            let (k, u, dz) = (*k, *u, Matrix::new(slopes, n, *u));
            let inputs = before.last().map_or(&*images, |layer| &layer.y);
            let x = Matrix::new(inputs, n, k);
            share.sum([kernel, bias], |samples, [kernel, bias]| {
                let (x, dz) = (x.block(samples.clone(), 0..k), dz.block(samples.clone(), 0..u));
                gemm::sgemm(*isa, 1.0, x.transposed(), dz, 0.0, MatrixMut::new(kernel, k, u), workspace);
                bias.fill(0.0);
                for row in slopes.chunks_exact(u).take(samples.end).skip(samples.start) {
                    bias.iter_mut().zip(row).for_each(|(sum, slope)| *sum += slope);
                }
            });
            if let Some(Layer { slopes: to, .. }) = before.last_mut() {
                let w = Matrix::new(&network.layers[index].kernel, k, u).transposed();
                for rows in share.units() {
                    let (m, dz) = (rows.len(), dz.block(rows.clone(), 0..u));
                    let to = MatrixMut::new(&mut to[rows.start * k..rows.end * k], m, k);
                    gemm::sgemm(*isa, 1.0, dz, w, 1.0, to, workspace);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Overlay;
    use crate::network::{Initial, Initializer};

    const SIZE: (usize, usize) = (3, 4);
    const LABELS: [u8; 5] = [0, 1, 1, 2, 0];

    /// The mean loss of five images; leaves its gradient behind.
    fn differentiate(trainer: &mut Backpropagation, network: &Network) -> f64 {
        let pixels: Vec<u8> = (0..60_u32).map(|i| (i * i * 7 % 256) as u8).collect();
        let samples = [0, 1, 2, 3, 4];
        let images =
            Images { pixels: (&pixels).into(), k: 12, samples: &samples, classes: 3, overlay: Overlay::Neutral };
        trainer.forward(network, &images, &Share::whole(5));
        let readout = network.readout.as_ref().unwrap();
        let loss = trainer.readout.differentiate(readout, &trainer.features, (&LABELS, &Share::whole(5)));
        trainer.take_slopes(readout, LABELS.len());
        trainer.backward(network, &Share::whole(5));
        loss
    }

    #[test]
    fn the_gradient_of_every_layer_is_the_slope_of_the_loss() {
        let fields =
            "preset = \"paper\"\nlayers = [7, 6, 5]\nclasses = 3\nprecision = \"f32\"\nlearning = \"backpropagation\"";
        let config = Config::resolve(None, fields.parse().unwrap()).unwrap();
        let initial = Initial { use_bias: true, kernel: Initializer::HeNormal, bias: Initializer::Normal };
        let mut network = Network::new(SIZE.0, SIZE.1, 3, &config.layers, initial, 4);
        let weights = (0..33).map(|i| ((i * 5 % 7) as f32 - 3.0) / 4.0).collect();
        network.readout = Some(Parameters { k: 11, u: 3, kernel: weights, bias: vec![0.1, -0.2, 0.0] });
        let mut trainer = Backpropagation::new(&network, &config, Isa::best());
        differentiate(&mut trainer, &network);
        let gradients: Vec<Parameters> = trainer.layers.iter().map(|layer| layer.gradient.clone()).collect();
        let step = 2e-3_f32;
        let mut largest: f64 = 0.0;
        for (index, gradient) in gradients.iter().enumerate() {
            let all = gradient.kernel.iter().chain(&gradient.bias);
            for (i, &found) in all.enumerate() {
                let mut loss = |by: f32| {
                    let mut moved = network.clone();
                    let Parameters { kernel, bias, .. } = &mut moved.layers[index];
                    *kernel.iter_mut().chain(bias).nth(i).unwrap() += by;
                    differentiate(&mut trainer, &moved)
                };
                let slope = (loss(step) - loss(-step)) / f64::from(2.0 * step);
                largest = largest.max(slope.abs());
                // The losses are sums in f32: some 1e-7 by a step of 4e-3.
                assert!((slope - f64::from(found)).abs() < 2e-3, "layer {index}, {i}: {slope} {found}");
            }
        }
        assert!(largest > 0.05, "the gradient is not nothing: {largest}");
    }
}
