//! Layers that train together, with read-out and peer normalisation: against every equation in plain f64 loops.
//!
//! There are two classes, so that the wrong label of a negative is known.

use crate::common;
use ffwd::config::Config;
use ffwd::network::Network;
use ffwd::parameters::Parameters;
use ffwd::predict;
use ffwd::recipe::LossName;
use ffwd::train::{Trainer, TrainingSet, TrainingState};

const FIELDS: &str = "preset = \"paper\"\nlayers = [12, 9, 7]\nclasses = 2\nepochs = 4\nbatch = 15\nlr = 0.02\n\
                      negatives = \"wrong\"\nshuffle = false\npeer = 0.05\nweight_decay = 0.01\ninput_dropout = 0.0\n\
                      cooldown = 0.5\nreadout_lr = 0.1\n";

/// The losses, with a temperature at which none of them is flat here.
const LOSSES: [&str; 3] = [
    "loss = \"logistic\"\ntemperature = 1.0",
    "loss = \"symba\"\ntemperature = 8.0",
    "loss = \"swish\"\ntemperature = 20.0",
];

/// Samples, and rows and columns of an image.
const N: usize = 40;
const ROWS: usize = 5;
const COLS: usize = 6;

/// A tensor and the running mean of its gradients.
struct Tensor {
    values: Vec<f64>,
    mean: Vec<f64>,
    decay: f64,
}

impl Tensor {
    fn new(values: &[f32], decay: f64) -> Self {
        Self { values: values.iter().map(|&x| x.into()).collect(), mean: vec![0.0; values.len()], decay }
    }

    /// `mean = 0.9 mean + 0.1 g; w -= lr (mean + decay w)`.
    fn step(&mut self, gradient: &[f64], lr: f64) {
        for ((w, mean), g) in self.values.iter_mut().zip(&mut self.mean).zip(gradient) {
            *mean = 0.9 * *mean + 0.1 * g;
            *w -= lr * (*mean + self.decay * *w);
        }
    }
}

/// A linear map of `k` inputs to `u` outputs.
struct Linear {
    k: usize,
    u: usize,
    kernel: Tensor,
    bias: Tensor,
    /// Running mean activity.
    activity: Vec<f64>,
}

impl Linear {
    fn new(parameters: &Parameters, decay: f64) -> Self {
        let Parameters { k, u, kernel, bias } = parameters;
        let (kernel, bias) = (Tensor::new(kernel, decay), Tensor::new(bias, 0.0));
        Self { k: *k, u: *u, kernel, bias, activity: vec![0.5; *u] }
    }

    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let of = |j| (0..self.k).map(|i| x[i] * self.kernel.values[i * self.u + j]).sum::<f64>() + self.bias.values[j];
        (0..self.u).map(of).collect()
    }

    /// Steps along the gradient of which each row is the outer product of an input and a slope.
    fn step(&mut self, rows: &[(Vec<f64>, Vec<f64>)], lr: f64) {
        let (mut kernel, mut bias) = (vec![0.0; self.k * self.u], vec![0.0; self.u]);
        for (x, slope) in rows {
            for j in 0..self.u {
                (0..self.k).for_each(|i| kernel[i * self.u + j] += x[i] * slope[j]);
                bias[j] += slope[j];
            }
        }
        self.kernel.step(&kernel, lr);
        self.bias.step(&bias, lr);
    }
}

fn normalised(row: &[f64]) -> Vec<f64> {
    let root = (row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64).sqrt();
    row.iter().map(|x| if root > 0.0 { x / root } else { 0.0 }).collect()
}

/// An image with the values of its two label pixels.
fn row(image: &[u8], label: [f64; 2]) -> Vec<f64> {
    label.into_iter().chain(image[2..].iter().map(|&byte| f64::from(byte) / 255.0)).collect()
}

fn one_hot(label: u8) -> [f64; 2] {
    if label == 0 { [1.0, 0.0] } else { [0.0, 1.0] }
}

struct Plain {
    layers: Vec<Linear>,
    readout: Linear,
}

impl Plain {
    fn relu(layer: &Linear, x: &[f64]) -> Vec<f64> {
        layer.apply(x).into_iter().map(|z| z.max(0.0)).collect()
    }

    fn features(&self, image: &[u8]) -> Vec<f64> {
        let mut x = normalised(&row(image, [0.1; 2]));
        let mut features = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            x = normalised(&Self::relu(layer, &x));
            if index > 0 {
                features.extend(&x);
            }
        }
        features
    }

    fn probabilities(&self, features: &[f64]) -> Vec<f64> {
        let logits = self.readout.apply(features);
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        logits.iter().map(|logit| logit.exp() / sum).collect()
    }

    fn train_batch(&mut self, config: &Config, images: &[&[u8]], labels: &[u8], rate: f64) {
        let n = images.len() as f64;
        let slopes = images.iter().zip(labels).map(|(image, &label)| {
            let features = self.features(image);
            let slope = self.probabilities(&features).iter().zip(one_hot(label)).map(|(p, t)| (p - t) / n).collect();
            (features, slope)
        });
        let slopes: Vec<_> = slopes.collect();
        self.readout.step(&slopes, rate * config.readout_lr);

        let of = |flip: u8| images.iter().zip(labels).map(move |(image, &label)| row(image, one_hot(label ^ flip)));
        let mut inputs: Vec<Vec<Vec<f64>>> = [0, 1].map(|flip| of(flip).map(|row| normalised(&row)).collect()).into();
        for layer in &mut self.layers {
            let h: Vec<Vec<Vec<f64>>> =
                inputs.iter().map(|rows| rows.iter().map(|x| Self::relu(layer, x)).collect()).collect();
            for (j, activity) in layer.activity.iter_mut().enumerate() {
                *activity = 0.9 * *activity + 0.1 * h[0].iter().map(|h| h[j]).sum::<f64>() / n;
            }
            let mean = layer.activity.iter().sum::<f64>() / layer.u as f64;
            let mut steps = Vec::new();
            let factors: Vec<[f64; 2]> =
                h[0].iter().zip(&h[1]).map(|(h, other)| factors(config, [h, other]).map(|factor| factor / n)).collect();
            for (polarity, (xs, hs)) in inputs.iter().zip(&h).enumerate() {
                for ((x, h), factors) in xs.iter().zip(hs).zip(&factors) {
                    let factor = factors[polarity];
                    let peers = |j: usize| {
                        if polarity == 0 { config.peer * (layer.activity[j] - mean) / n } else { 0.0 }
                    };
                    steps.push((x.clone(), (0..layer.u).map(|j| factor * h[j] + peers(j)).collect()));
                }
            }
            layer.step(&steps, rate * config.lr);
            inputs = h.iter().map(|hs| hs.iter().map(|h| normalised(h)).collect()).collect();
        }
    }
}

/// What the activations of a positive and a negative row are multiplied with in the derivative of their mean loss.
fn factors(config: &Config, h: [&Vec<f64>; 2]) -> [f64; 2] {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let goodness = h.map(|h| h.iter().map(|h| h * h).sum::<f64>());
    let x = (goodness[1] - goodness[0]) / config.temperature;
    let slope = match config.loss {
        LossName::Logistic => {
            let [positive, negative] = goodness.map(|goodness| sigmoid(goodness - h[0].len() as f64));
            // The mean over both rows of a sample of the derivative 2 h (p - 1) or 2 h p.
            return [positive - 1.0, negative];
        }
        LossName::Symba => sigmoid(x),
        LossName::Swish => sigmoid(x) + x * sigmoid(x) * (1.0 - sigmoid(x)),
    };
    [-2.0 * slope, 2.0 * slope]
}

fn close(found: &[f32], expected: &[f64], what: &str) {
    let largest = expected.iter().fold(0.1_f64, |largest, x| largest.max(x.abs()));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        // Twelve steps in f32, each a sum of fewer than a hundred products.
        assert!((f64::from(found) - expected).abs() < 1e-4 * largest, "{what} {i}: {found} {expected}");
    }
}

#[test]
fn every_equation_is_that_of_plain_loops() {
    LOSSES.iter().for_each(|loss| compare(&common::config(&format!("{FIELDS}{loss}"))));
}

/// A run on every backend against plain loops.
fn compare(config: &Config) {
    let rng = &mut common::rng(3);
    let (pixels, labels) = (common::images(N, ROWS * COLS, rng), common::labels(N, 2, rng));
    let images: Vec<&[u8]> = pixels.chunks(ROWS * COLS).collect();
    let network = Network::new(ROWS, COLS, 2, &config.layers, config.initial(), 1);
    let start = TrainingState::new(network, config);
    let mut plain = Plain {
        layers: start.network.layers.iter().map(|layer| Linear::new(layer, config.weight_decay)).collect(),
        readout: Linear::new(start.network.readout.as_ref().unwrap(), config.readout_decay),
    };
    for epoch in 0..config.epochs {
        for (number, (images, labels)) in images.chunks(config.batch).zip(labels.chunks(config.batch)).enumerate() {
            let progress = (epoch as f64 + (number * config.batch) as f64 / N as f64) / config.epochs as f64;
            plain.train_batch(config, images, labels, (2.0 - 2.0 * progress).clamp(0.0, 1.0));
        }
    }
    let expected: Vec<f64> = images.iter().flat_map(|image| plain.probabilities(&plain.features(image))).collect();
    for (name, backend) in common::backends() {
        let set = TrainingSet { pixels: &pixels, labels: &labels };
        let mut trainer = Trainer::new(start.clone(), config, &*backend, set);
        (0..config.epochs).for_each(|_| _ = trainer.epoch(&false.into()).expect("nobody stops it"));
        let network = trainer.network();
        for (layer, plain) in network.layers.iter().zip(&plain.layers) {
            close(&layer.kernel, &plain.kernel.values, &format!("{name}: weights of {} units", layer.u));
            close(&layer.bias, &plain.bias.values, &format!("{name}: biases of {} units", layer.u));
        }
        let readout = network.readout.as_ref().unwrap();
        close(&readout.kernel, &plain.readout.kernel.values, &format!("{name}: weights of the read-out"));
        let probabilities = predict::probabilities(network, &config.recipe(), &*backend, &pixels);
        close(&probabilities, &expected, &format!("{name}: probabilities"));
    }
}
