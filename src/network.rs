//! A network: the layers' parameters, their initial values, and the shape of the images they read.

use rand::Rng;
use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::parameters::Parameters;
use crate::pixels::Pixels;

/// How a tensor starts, with the names and the distributions of Keras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initializer {
    /// Uniform in +-sqrt(6 / (fan in + fan out)) (Glorot & Bengio 2010).
    GlorotUniform,
    /// Normal of variance 2 / fan in, cut at two standard deviations (He et al. 2015).
    HeNormal,
    /// Normal of standard deviation 1 / sqrt(fan in): Hinton's published code.
    FanInNormal,
    /// Normal of standard deviation 0.05.
    Normal,
    /// All zeros.
    Zeros,
}

/// A normal distribution cut at two standard deviations has this standard deviation.
const CUT_NORMAL_DEVIATION: f64 = 0.879_625_661_034_239_8;

impl Initializer {
    /// Fills `tensor` of a layer with `fan_in` inputs and `fan_out` outputs. A bias of `u` units has both fans `u`.
    fn fill<R: Rng>(self, tensor: &mut [f32], fan_in: usize, fan_out: usize, rng: &mut R) {
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        match self {
            Self::GlorotUniform => {
                let limit = (6.0 / (fan_in + fan_out) as f64).sqrt();
                let uniform = Uniform::new_inclusive(-limit, limit).expect("a finite range");
                tensor.iter_mut().for_each(|w| *w = uniform.sample(rng) as f32);
            }
            Self::HeNormal => {
                let deviation = (2.0 / fan_in as f64).sqrt() / CUT_NORMAL_DEVIATION;
                let mut cut_normal = || std::iter::repeat_with(&mut normal).find(|x| x.abs() <= 2.0).expect("endless");
                tensor.iter_mut().for_each(|w| *w = (deviation * cut_normal()) as f32);
            }
            Self::FanInNormal => {
                let deviation = 1.0 / (fan_in as f64).sqrt();
                tensor.iter_mut().for_each(|w| *w = (deviation * normal()) as f32);
            }
            Self::Normal => tensor.iter_mut().for_each(|w| *w = (0.05 * normal()) as f32),
            Self::Zeros => tensor.fill(0.0),
        }
    }
}

/// How the layers of a network start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initial {
    /// Whether the layers have a bias.
    pub use_bias: bool,
    /// Initial weights.
    pub kernel: Initializer,
    /// Initial biases.
    pub bias: Initializer,
}

/// A network of fully connected layers that reads images with a label overlaid, or floats behind a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Image height in pixels; 1 for floats.
    pub rows: usize,
    /// Image width in pixels; for floats as many as there are classes and floats of a sample.
    pub cols: usize,
    /// Labels, and pixels that the overlay replaces; at most 256, because labels are bytes.
    pub classes: usize,
    /// The layers' parameters; the first reads rows * cols inputs, each later one the units of the one before.
    pub layers: Vec<Parameters>,
    /// The softmax read-out, where there is one: its features x classes, see [`crate::readout`].
    pub readout: Option<Parameters>,
    /// What floats are divided by, [`Floats::unit`](crate::pixels::Floats::unit), in a network that reads samples of
    /// floats; none in one that reads images.
    pub unit: Option<f32>,
}

impl Network {
    /// A network with initial values drawn from `seed`, layer by layer, kernel before bias. It reads images of `rows` x
    /// `cols` pixels and has a layer for each of `units`, but no read-out:
    /// [`TrainingState::new`](crate::train::TrainingState::new) adds one where it is to be trained.
    ///
    /// # Examples
    ///
    /// ```
    /// use ffwd::network::{Initial, Initializer, Network};
    ///
    /// let initial = Initial { use_bias: true, kernel: Initializer::GlorotUniform, bias: Initializer::Zeros };
    /// let network = Network::new(8, 8, 10, &[20, 30], initial, 1);
    /// assert_eq!((network.layers[0].k, network.layers[0].u), (64, 20));
    /// assert_eq!((network.layers[1].k, network.layers[1].u), (20, 30));
    /// assert_eq!(network, Network::new(8, 8, 10, &[20, 30], initial, 1));
    /// ```
    pub fn new(rows: usize, cols: usize, classes: usize, units: &[usize], initial: Initial, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut k = rows * cols;
        let mut layers = Vec::with_capacity(units.len());
        for &u in units {
            let mut layer = Parameters::zeros(k, u, initial.use_bias);
            initial.kernel.fill(&mut layer.kernel, k, u, &mut rng);
            initial.bias.fill(&mut layer.bias, u, u, &mut rng);
            layers.push(layer);
            k = u;
        }
        Self { rows, cols, classes, layers, readout: None, unit: None }
    }

    /// The same for samples of `of_sample` floats, which are divided by `unit`: images of one row, in which an input
    /// for each class stands before the floats.
    pub fn of_floats(
        (of_sample, unit): (usize, f32),
        classes: usize,
        units: &[usize],
        initial: Initial,
        seed: u64,
    ) -> Self {
        Self { unit: Some(unit), ..Self::new(1, classes + of_sample, classes, units, initial, seed) }
    }

    /// How many samples `pixels` holds.
    ///
    /// # Panics
    ///
    /// They are no images of this network's size, or no samples of its floats.
    pub(crate) fn count(&self, pixels: Pixels<'_>) -> usize {
        let unit = match pixels {
            Pixels::Whole(_) | Pixels::Pieces(..) => None,
            Pixels::Floats(floats) => Some(floats.unit),
        };
        assert!(
            unit == self.unit && pixels.fits(self.pixels(), self.classes),
            "images, or floats, as the network reads"
        );
        pixels.count(self.pixels())
    }

    /// Moves all weights and biases by `share` of the way to those of `other`, a network of the same shape; 0 leaves
    /// them, and 1 goes all the way.
    pub fn approach(&mut self, other: &Self, share: f32) {
        for (to, from) in self.layers.iter_mut().chain(&mut self.readout).zip(other.layers.iter().chain(&other.readout))
        {
            approach(&mut to.kernel, &from.kernel, share);
            approach(&mut to.bias, &from.bias, share);
        }
    }

    /// Inputs of the first layer: bytes of one image, or classes and floats of a sample.
    pub fn pixels(&self) -> usize {
        self.rows * self.cols
    }
}

/// `to += share (from - to)`, elementwise.
fn approach(to: &mut [f32], from: &[f32], share: f32) {
    /// Floats that a thread moves at a time: 32 KB in, 16 KB out.
    const BLOCK: usize = 4096;
    to.par_chunks_mut(BLOCK).zip(from.par_chunks(BLOCK)).for_each(|(to, from)| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to += share * (from - *to));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation(values: &[f32]) -> f64 {
        (values.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>() / values.len() as f64).sqrt()
    }

    fn drawn(kernel: Initializer, seed: u64) -> Network {
        Network::new(20, 20, 10, &[300, 7], Initial { use_bias: true, kernel, bias: Initializer::Zeros }, seed)
    }

    #[test]
    fn layers_chain_and_biases_start_as_asked() {
        let network = drawn(Initializer::GlorotUniform, 1);
        assert_eq!(network.layers.iter().map(|l| (l.k, l.u)).collect::<Vec<_>>(), [(400, 300), (300, 7)]);
        assert!(network.layers.iter().all(|l| l.bias == vec![0.0; l.u]));
    }

    #[test]
    fn initial_weights_have_the_spread_their_names_promise() {
        // Standard error of a deviation from 120,000 samples: 0.2%.
        let uniform = drawn(Initializer::GlorotUniform, 1).layers[0].kernel.clone();
        let limit = (6.0_f64 / 700.0).sqrt();
        assert!(uniform.iter().all(|&w| f64::from(w).abs() <= limit));
        assert!((deviation(&uniform) / (limit / 3.0_f64.sqrt()) - 1.0).abs() < 0.01);
        let he = drawn(Initializer::HeNormal, 1).layers[0].kernel.clone();
        assert!((deviation(&he) / (2.0_f64 / 400.0).sqrt() - 1.0).abs() < 0.01);
        assert!((deviation(&drawn(Initializer::Normal, 1).layers[0].kernel) / 0.05 - 1.0).abs() < 0.01);
        let fan_in = drawn(Initializer::FanInNormal, 1).layers[0].kernel.clone();
        assert!((deviation(&fan_in) * 20.0 - 1.0).abs() < 0.01);
        assert_eq!(deviation(&drawn(Initializer::Zeros, 1).layers[0].kernel), 0.0);
    }

    #[test]
    fn the_seed_decides_everything() {
        assert_eq!(drawn(Initializer::GlorotUniform, 5), drawn(Initializer::GlorotUniform, 5));
        assert_ne!(drawn(Initializer::GlorotUniform, 5), drawn(Initializer::GlorotUniform, 6));
    }
}
