//! Training rows: every one of every report, held against the first report's on the same task.

use indexmap::IndexSet;
use serde::Serialize;

use super::labels::letter;
use crate::bench::report::{Report, Training, median};

/// Training in one report.
#[derive(Debug, Serialize)]
pub struct TrainingRow {
    /// The report's letter.
    pub report: String,
    /// The report's row, its images per second computed again from its epochs.
    #[serde(flatten)]
    pub training: Training,
    /// The speed of the outer epoch by the first report's; null where the two cannot be compared.
    pub epoch_ratio: Option<f64>,
    /// The same for prediction.
    pub prediction_ratio: Option<f64>,
    /// What is not as in the first report.
    pub note: Option<String>,
}

/// The training rows of all reports: those of one data set together, in the order in which data sets first appear.
pub fn rows(reports: &[&Report]) -> Vec<TrainingRow> {
    let mut rows = Vec::new();
    for (index, report) in reports.iter().enumerate() {
        rows.extend(report.training.iter().map(|training| row(index, report, training, reports[0])));
    }
    let order: IndexSet<String> = rows.iter().map(|row| row.training.dataset.clone()).collect();
    rows.sort_by_key(|row| order.get_index_of(&row.training.dataset));
    rows
}

fn row(index: usize, report: &Report, training: &Training, first: &Report) -> TrainingRow {
    let rate = |training: &Training| training.samples as f64 / median(&training.epoch_seconds);
    let mut row = TrainingRow {
        report: letter(index),
        training: Training { samples_per_second: rate(training), ..training.clone() },
        epoch_ratio: None,
        prediction_ratio: None,
        note: None,
    };
    if index == 0 {
        return row;
    }
    let Some(base) = base(training, first) else {
        row.note = Some("A has no training on this data set".into());
        return row;
    };
    let mut different = differences(training, base);
    if report.run.seed != first.run.seed {
        different.push("seed");
    }
    if different.is_empty() {
        row.epoch_ratio = ratio(rate(training), rate(base));
        row.prediction_ratio = ratio(training.predictions_per_second, base.predictions_per_second);
        row.note = on_weights(training, base);
    } else {
        row.note = Some(format!("not comparable: other {}", different.join(", ")));
    }
    row
}

/// The first report's row to hold `training` against: one on the same data set, as like it as can be.
fn base<'a>(training: &Training, first: &'a Report) -> Option<&'a Training> {
    let same_set = first.training.iter().filter(|base| base.dataset == training.dataset);
    same_set.min_by_key(|base| {
        (differences(training, base).len(), !same_arithmetic(training, base), base.threads != training.threads)
    })
}

/// What makes two rows different tasks.
fn differences(training: &Training, base: &Training) -> Vec<&'static str> {
    let different = [
        (training.dataset_sha256 != base.dataset_sha256, "data"),
        (training.samples != base.samples, "number of images"),
        (training.layers != base.layers, "layers"),
        (training.inner_steps != base.inner_steps, "inner steps"),
        // Epochs become faster as activations become sparse.
        (training.epoch_seconds.len() != base.epoch_seconds.len(), "number of epochs"),
    ];
    different.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect()
}

/// Whether two rows of one task should end in the same weights, bit for bit.
fn same_arithmetic(training: &Training, base: &Training) -> bool {
    (&training.backend, &training.dtype, &training.isa) == (&base.backend, &base.dtype, &base.isa)
}

fn ratio(rate: f64, base: f64) -> Option<f64> {
    Some(rate / base).filter(|ratio| ratio.is_finite())
}

fn on_weights(training: &Training, base: &Training) -> Option<String> {
    if !same_arithmetic(training, base) {
        return Some(format!("held against A's {} {} on {}", base.dtype, base.isa, base.backend));
    }
    (training.weights_sha256 != base.weights_sha256)
        .then(|| "the weights differ from A's, all else is the same".to_owned())
}
