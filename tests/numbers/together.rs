//! Layers that train together, with read-out and peer normalisation, and back-propagation: every backend on every
//! instruction set against golden runs computed in float64 by `tools/golden_together.py`.

use crate::common::{self, bytes, golden_tests, to_f32, to_f64};
use ffwd::backend::Backend;
use ffwd::config::Config;
use ffwd::network::Network;
use ffwd::parameters::Parameters;
use ffwd::predict;
use ffwd::train::{Trainer, TrainingSet, TrainingState};
use serde::Deserialize;

/// Twelve steps in f32, each a sum of fewer than a hundred products, of numbers up to 10.
const TOLERANCE: f64 = 1e-4;

/// What the golden runs have in common: two classes, so that the wrong label of a negative is known, and batches in
/// their order.
const COMMON: &str = "preset = \"paper\"\nclasses = 2\nnegatives = \"wrong\"\nshuffle = false\ninput_dropout = 0.0\nprecision = \"f32\"\n";

#[derive(Deserialize)]
struct Golden {
    rows: usize,
    cols: usize,
    layers: Vec<usize>,
    fields: toml::Table,
    pixels: String,
    labels: Vec<u8>,
    /// Weights of each layer; biases and the read-out begin at zero.
    initial: Vec<Vec<f64>>,
    /// By epoch, layer and batch.
    step_loss: Vec<Vec<Vec<f64>>>,
    #[serde(rename = "final")]
    last: Vec<Linear>,
    readout: Linear,
    probabilities: Vec<f64>,
}

#[derive(Deserialize)]
struct Linear {
    weights: Vec<f64>,
    bias: Vec<f64>,
}

impl Golden {
    fn load(case: &str) -> Self {
        serde_json::from_str(&common::golden_text(case)).unwrap()
    }

    fn config(&self) -> Config {
        let mut fields: toml::Table = COMMON.parse().unwrap();
        fields.insert("layers".into(), self.layers.iter().map(|&u| u as i64).collect::<Vec<_>>().into());
        fields.extend(self.fields.clone());
        common::config(&fields.to_string())
    }

    fn network(&self) -> Network {
        let mut k = self.rows * self.cols;
        let mut layers = Vec::new();
        for (weights, &u) in self.initial.iter().zip(&self.layers) {
            layers.push(Parameters { k, u, kernel: to_f32(weights), bias: vec![0.0; u] });
            k = u;
        }
        Network { rows: self.rows, cols: self.cols, classes: 2, layers, readout: None, unit: None }
    }

    fn check(&self, who: &str, backend: &dyn Backend) {
        let (config, pixels) = (self.config(), bytes(&self.pixels));
        let set = TrainingSet { pixels: (&pixels).into(), labels: &self.labels };
        let mut trainer = Trainer::new(TrainingState::new(self.network(), &config), &config, backend, set);
        for (epoch, expected) in self.step_loss.iter().enumerate() {
            let report = trainer.epoch(&false.into()).expect("nobody stops it");
            for (layer, (losses, expected)) in report.step_loss.iter().zip(expected).enumerate() {
                close(losses, expected, &format!("{who}: losses of layer {layer} in epoch {epoch}"));
            }
        }
        let network = trainer.network();
        let found = network.layers.iter().chain(&network.readout);
        for (number, (found, expected)) in found.zip(self.last.iter().chain([&self.readout])).enumerate() {
            close(&to_f64(&found.kernel), &expected.weights, &format!("{who}: weights {number}"));
            close(&to_f64(&found.bias), &expected.bias, &format!("{who}: biases {number}"));
        }
        let probabilities = predict::probabilities(network, &config.recipe(), backend, &pixels);
        close(&to_f64(&probabilities), &self.probabilities, &format!("{who}: probabilities"));
    }
}

fn close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.1_f64, |largest, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < TOLERANCE * largest, "{what} {i}: {found} {expected}");
    }
}

golden_tests!(
    together_logistic,
    together_symba,
    together_swish,
    together_adam,
    together_average,
    together_one_layer,
    backpropagation
);
