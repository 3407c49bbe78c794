//! Every backend on every instruction set against golden runs computed in float64 by `tools/golden.py`.

use crate::common::{self, bytes, golden_tests, to_f32, to_f64};

use ffwd::backend::Backend;
use ffwd::network::Network;
use ffwd::parameters::Parameters;
use ffwd::predict;
use ffwd::train::{Trainer, TrainingSet, TrainingState};
use serde::Deserialize;

/// The golden runs move their weights by 0.06 to 1.1 in some 15 steps, and NumPy in float32 stays within 2e-7 of
/// float64 on all of them, in weights and in losses (tests/golden/README.md); 2e-6 leaves room for another order of
/// summation.
const TOLERANCE: f64 = 2e-6;

#[derive(Deserialize)]
struct Golden {
    case: String,
    classes: usize,
    rows: usize,
    cols: usize,
    layers: Vec<usize>,
    inner_steps: usize,
    batch: usize,
    threshold: f64,
    use_bias: bool,
    kernel_l2: f64,
    bias_l2: f64,
    optimizer: toml::Table,
    train_pixels: String,
    train_labels: Vec<u8>,
    negative_labels: Vec<Vec<u8>>,
    test_pixels: String,
    initial: Vec<Layer>,
    step_loss: Vec<Vec<Vec<f64>>>,
    layer_loss: Vec<Vec<f64>>,
    final_loss: Vec<f64>,
    #[serde(rename = "final")]
    last: Vec<Layer>,
    goodness: Vec<Vec<f64>>,
    predictions: Vec<u8>,
}

#[derive(Deserialize)]
struct Layer {
    weights: Vec<f64>,
    bias: Vec<f64>,
}

impl Golden {
    fn load(case: &str) -> Self {
        let golden: Self = serde_json::from_str(&common::golden_text(case)).unwrap();
        assert_eq!(golden.case, case);
        golden
    }

    fn config(&self) -> ffwd::config::Config {
        let mut fields = self.optimizer.clone();
        let name = fields.remove("name").unwrap();
        let mut config = common::config(&fields.to_string());
        config.optimizer = name.try_into().unwrap();
        config.layers.clone_from(&self.layers);
        config.inner_steps = self.inner_steps;
        config.batch = self.batch;
        config.threshold = self.threshold;
        config.classes = self.classes;
        config.use_bias = self.use_bias;
        config.kernel_l2 = self.kernel_l2;
        config.bias_l2 = self.bias_l2;
        config
    }

    fn network(&self) -> Network {
        let mut k = self.rows * self.cols;
        let mut layers = Vec::new();
        for (layer, &u) in self.initial.iter().zip(&self.layers) {
            layers.push(Parameters { k, u, kernel: to_f32(&layer.weights), bias: to_f32(&layer.bias) });
            k = u;
        }
        Network { rows: self.rows, cols: self.cols, classes: self.classes, layers, readout: None, unit: None }
    }

    fn check(&self, name: &str, backend: &dyn Backend) {
        let who = format!("{}, {name}", self.case);
        let pixels = bytes(&self.train_pixels);
        let set = TrainingSet { pixels: (&pixels).into(), labels: &self.train_labels };
        let mut trainer =
            Trainer::new(TrainingState::new(self.network(), &self.config()), &self.config(), backend, set);
        for (epoch, negatives) in self.negative_labels.iter().enumerate() {
            let report = trainer.epoch_with_negatives(negatives, &false.into()).expect("nobody stops it");
            assert_eq!(report.epoch, epoch + 1);
            for (layer, losses) in report.step_loss.iter().enumerate() {
                let what = format!("{who}: losses of the steps of layer {layer} in epoch {epoch}");
                close(losses, &self.step_loss[epoch][layer], &what);
            }
            close(&report.layer_loss, &self.layer_loss[epoch], &format!("{who}: layer losses of epoch {epoch}"));
            close(&[report.final_loss], &self.final_loss[epoch..=epoch], &format!("{who}: FinalLoss of {epoch}"));
        }
        for (layer, expected) in trainer.network().layers.iter().zip(&self.last) {
            close(&to_f64(&layer.kernel), &expected.weights, &format!("{who}: weights"));
            close(&to_f64(&layer.bias), &expected.bias, &format!("{who}: biases"));
        }
        let test = bytes(&self.test_pixels);
        let recipe = self.config().recipe();
        let goodness = to_f64(&predict::goodness(trainer.network(), &recipe, backend, &test));
        close(&goodness, &self.goodness.concat(), &format!("{who}: goodness"));
        assert_eq!(
            predict::predict(trainer.network(), &recipe, backend, &test, predict::By::Goodness),
            self.predictions,
            "{who}: predictions"
        );
    }
}

fn close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let gap = (found - expected).abs();
        assert!(gap <= TOLERANCE * expected.abs().max(1.0), "{what}, {i}: {found}, expected {expected}");
    }
}

golden_tests!(keras, one_layer, three_layers_sgd, no_bias_l2, bias_l2_momentum, wide);
