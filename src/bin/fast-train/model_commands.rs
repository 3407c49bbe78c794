//! `fast-train eval` and `fast-train predict`: what a stored model says.

use std::process::ExitCode;

use anyhow::Result;
use ffwd::config::{BackendName, PrecisionName};
use ffwd::data::IdxImages;
use ffwd::isa::Isa;
use ffwd::step::Backend;
use ffwd::{Error, backend, checkpoint, predict as prediction};
use serde_json::json;

use crate::arguments::{EvalArguments, PredictArguments};
use crate::dataset;
use crate::print;
use crate::summary::DatasetSummary;
use crate::train_command::Evaluation;

fn backend() -> ffwd::Result<Box<dyn Backend>> {
    Ok(backend::choose(BackendName::Auto, PrecisionName::Auto, Isa::from_environment()?))
}

/// Measures a model's accuracy.
pub fn eval(arguments: &EvalArguments) -> Result<ExitCode> {
    let backend = backend()?;
    let network = checkpoint::load(&arguments.model)?;
    let dataset = dataset::open(arguments.data.as_deref(), network.classes)?;
    let images = &dataset.test.images;
    check_size(images, (network.rows, network.cols))?;
    let evaluation = Evaluation::new(&network, &*backend, &dataset, 0);
    if arguments.json {
        let summary = json!({
            "schema": "ffwd/eval/v1",
            "dataset": DatasetSummary::new(&dataset, dataset.train.images.count(), evaluation.tested),
            "test_accuracy": evaluation.accuracy(),
            "test_errors": evaluation.errors,
            "weights_sha256": checkpoint::weights_sha256(&network),
        });
        print(summary)?;
    } else {
        let kind = if dataset.synthetic { " (synthetic)" } else { "" };
        let accuracy = evaluation.accuracy().map_or_else(|| "unknown".into(), |share| format!("{:.2}%", 100.0 * share));
        let Evaluation { tested, errors, .. } = evaluation;
        print(format!("Test accuracy {accuracy} ({errors} errors in {tested} images of {}{kind})", dataset.name))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the label of each image.
pub fn predict(arguments: &PredictArguments) -> Result<ExitCode> {
    let backend = backend()?;
    let network = checkpoint::load(&arguments.model)?;
    let images = IdxImages::open(&arguments.images)?;
    check_size(&images, (network.rows, network.cols))?;
    let labels = prediction::predict(&network, &*backend, images.pixels());
    if arguments.json {
        print(json!({ "schema": "ffwd/predictions/v1", "predictions": labels }))?;
    } else {
        let lines: Vec<String> = labels.iter().map(u8::to_string).collect();
        print(lines.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks that the images are of the size the model was trained on.
fn check_size(images: &IdxImages, (rows, cols): (usize, usize)) -> ffwd::Result<()> {
    if images.pixels_per_image() == rows * cols {
        return Ok(());
    }
    Err(Error::Model {
        path: images.path().to_path_buf(),
        found: format!("images of {} x {} pixels", images.rows(), images.cols()),
        expected: format!("{rows} x {cols}, as the model was trained on"),
    })
}
