//! One layer from which activations are left out: every backend against a golden step computed in float64 by
//! `tools/golden_together.py`.

use crate::common::{self, to_f32};
use ffwd::backend::{Backend, Use};
use ffwd::batch::{Activations, Input, TRAINING_VARIANTS};
use ffwd::dropout::Dropout;
use ffwd::labels::LabelStyle;
use ffwd::parameters::Parameters;
use ffwd::recipe::{Goodness, Loss, LossName, Normalisation, Recipe, Threshold};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    share: f64,
    seed: u64,
    k: usize,
    u: usize,
    temperature: f64,
    /// Activations of the layer before, positive and negative in turn.
    rows: Vec<f64>,
    weights: Vec<f64>,
    bias: Vec<f64>,
    loss: f64,
    gradient: Gradient,
    outputs: Vec<f64>,
}

#[derive(Deserialize)]
struct Gradient {
    weights: Vec<f64>,
    bias: Vec<f64>,
}

impl Golden {
    fn check(&self, who: &str, backend: &dyn Backend) {
        let (k, u) = (self.k, self.u);
        let parameters = Parameters { k, u, kernel: to_f32(&self.weights), bias: to_f32(&self.bias) };
        let recipe = Recipe {
            labels: LabelStyle::ONE,
            normalisation: Normalisation::RootMeanSquare,
            goodness: Goodness::SumOfSquares,
            loss: Loss { name: LossName::Swish, threshold: Threshold::PerUnit(1.0), temperature: self.temperature },
        };
        let rows = to_f32(&self.rows);
        let mut layer = backend.layer(&recipe, k, u);
        layer.begin(&Input::Activations(Activations { rows: &rows, k, variants: TRAINING_VARIANTS }), Use::OneStep);
        layer.drop_out(Some(Dropout::new(self.share, self.seed)));
        let mut gradient = Parameters::zeros(k, u, true);
        let mut outputs = vec![f32::NAN; rows.len() / k * u];
        let loss = layer.gradient(&parameters, &mut gradient, Some(&mut outputs));
        close(&[loss as f32], &[self.loss], &format!("{who}: loss"));
        close(&outputs, &self.outputs, &format!("{who}: activations"));
        close(&gradient.kernel, &self.gradient.weights, &format!("{who}: gradient of the weights"));
        close(&gradient.bias, &self.gradient.bias, &format!("{who}: gradient of the biases"));
    }
}

/// Sums of fewer than forty products of numbers up to 40, in f32.
fn close(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.1_f64, |largest, x| largest.max(x.abs()));
    for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - expected).abs() < 1e-5 * largest, "{what} {i}: {found} {expected}");
    }
}

#[test]
fn a_layer_with_dropout() {
    let golden: Golden = serde_json::from_str(&common::golden_text("dropout")).unwrap();
    for (who, backend) in common::backends() {
        golden.check(&who, &*backend);
    }
}
