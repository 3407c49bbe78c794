//! `fast-train eval` and `fast-train predict`: what a stored model says.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use ffwd::backend::Backend;
use ffwd::checkpoint::Model;
use ffwd::config::{Config, Learning};
use ffwd::data::{Dataset, IdxImages, Reading};
use ffwd::network::Network;
use ffwd::predict::{self as prediction, By, Evaluation};
use ffwd::recipe::Recipe;
use ffwd::{Error, checkpoint};
use serde_json::json;

use crate::arguments::{EvalArguments, PredictArguments, Predictor};
use crate::cut_off;
use crate::dataset;
use crate::model::{self, backend, check_size, configuration, note_other_data, note_unchecked, trained_on};
use crate::ranks::Crew;
use crate::summary::DatasetSummary;
use crate::{print, write_out};

/// What predicts: what was asked for, if the model has it.
fn predictor(asked: Option<Predictor>, network: &Network, config: &Config) -> ffwd::Result<By> {
    match asked {
        None => Ok(By::default_of(network)),
        Some(Predictor::Goodness) if config.learning == Learning::Backpropagation => {
            Err(Error::config("--by", "goodness", "readout, because the model was trained by back-propagation"))
        }
        Some(Predictor::Goodness) => Ok(By::Goodness),
        Some(Predictor::Readout) if network.readout.is_some() => Ok(By::Readout),
        Some(Predictor::Readout) => {
            Err(Error::config("--by", "readout", "goodness, because the model has no read-out"))
        }
    }
}

/// A model that is to be evaluated, and on what.
struct Examined {
    backend: Box<dyn Backend>,
    model: Model,
    dataset: Dataset,
    recipe: Recipe,
    by: By,
}

/// Reads the model, and the data set it was trained on where none is named.
fn examined(arguments: &EvalArguments, crew: &Crew) -> Result<Examined> {
    let backend = backend()?;
    let model = model::load(&arguments.model)?;
    let Model { network, origin, is_checked } = &model;
    if crew.is_first() {
        note_unchecked(&arguments.model, *is_checked);
    }
    let spec = arguments.data.clone().or_else(|| trained_on(origin)).ok_or_else(|| {
        Error::config("--data", "nothing", "a data set, because the model does not say which it was trained on")
    })?;
    let config = configuration(origin);
    let reading = Reading { classes: network.classes, ..config.reading() };
    let (dataset, _) = dataset::open(Some(&spec), reading, false)?;
    check_size(&dataset.test.images, (network.rows, network.cols))?;
    let by = predictor(arguments.by, network, &config)?;
    Ok(Examined { backend, dataset, recipe: config.recipe(), by, model })
}

/// Measures a model's accuracy, on the data set it was trained on where none is named.
pub fn eval(arguments: &EvalArguments) -> Result<ExitCode> {
    let crew = Crew::join(&Arc::default())?;
    crew.end(eval_with(arguments, &crew))
}

fn eval_with(arguments: &EvalArguments, crew: &Crew) -> Result<ExitCode> {
    let Examined { backend, model, dataset, recipe, by } = crew.first_then_others(|| examined(arguments, crew))?;
    let Model { network, origin, .. } = model;
    check_alike(crew, &*backend, &network, by, dataset.outline())?;
    let images = &dataset.test.images;
    let pixels = &*images.bytes_of(0..images.count());
    let predicted = on_threads(crew, || prediction::predict_on(&crew.ranks, &network, &recipe, &*backend, pixels, by))?;
    let evaluation = Evaluation::of(dataset.test.labels.values(), &predicted, network.classes);
    crew.agree(dataset.check_unchanged().map_err(anyhow::Error::from))?;
    if !crew.is_first() {
        return Ok(ExitCode::SUCCESS);
    }
    note_other_data(&origin, &dataset);
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

/// What `predict` gives on as many threads as this rank has.
fn on_threads<T: Send>(crew: &Crew, predict: impl FnOnce() -> T + Send) -> Result<T> {
    if crew.ranks.count() == 1 {
        return Ok(predict());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(crew.threads(0)).build();
    Ok(crew.agree(pool.map_err(anyhow::Error::from))?.install(predict))
}

/// Checks that all ranks predict the same by the same means.
fn check_alike(crew: &Crew, backend: &dyn Backend, network: &Network, by: By, images: String) -> Result<()> {
    crew.check_alike(&BTreeMap::from([
        ("products".to_owned(), backend.products().to_owned()),
        ("--model".to_owned(), checkpoint::weights_sha256(network)),
        ("--by".to_owned(), format!("{by:?}")),
        ("images".to_owned(), images),
    ]))
}

/// A model that is to predict, and what.
struct Asked {
    backend: Box<dyn Backend>,
    network: Network,
    config: Config,
    images: IdxImages,
    by: By,
}

fn asked(arguments: &PredictArguments, crew: &Crew) -> Result<Asked> {
    let backend = backend()?;
    let Model { network, origin, is_checked } = model::load(&arguments.model)?;
    if crew.is_first() {
        note_unchecked(&arguments.model, is_checked);
    }
    let config = configuration(&origin);
    cut_off::name_files();
    let images = IdxImages::open(&arguments.images)?;
    cut_off::know_images(&images);
    let images = if config.transpose { images.transposed()? } else { images };
    check_size(&images, (network.rows, network.cols))?;
    let by = predictor(arguments.by, &network, &config)?;
    Ok(Asked { backend, network, config, images, by })
}

/// Prints the label of each image.
pub fn predict(arguments: &PredictArguments) -> Result<ExitCode> {
    let crew = Crew::join(&Arc::default())?;
    crew.end(predict_with(arguments, &crew))
}

fn predict_with(arguments: &PredictArguments, crew: &Crew) -> Result<ExitCode> {
    let Asked { backend, network, config, images, by } = crew.agree(asked(arguments, crew))?;
    check_alike(crew, &*backend, &network, by, images.sum_of(0..images.count()))?;
    let (recipe, pixels) = (config.recipe(), &*images.bytes_of(0..images.count()));
    let classes = on_threads(crew, || prediction::predict_on(&crew.ranks, &network, &recipe, &*backend, pixels, by))?;
    crew.agree(images.check_unchanged().map_err(anyhow::Error::from))?;
    if !crew.is_first() {
        return Ok(ExitCode::SUCCESS);
    }
    // As they are called in the files of the data set.
    let labels: Vec<u16> = classes.into_iter().map(|class| u16::from(class) + u16::from(config.label_base)).collect();
    if arguments.json {
        print(json!({ "schema": "ffwd/predictions/v1", "predictions": labels }))?;
    } else {
        let lines: String = labels.iter().map(|label| format!("{label}\n")).collect();
        write_out(&lines)?;
    }
    Ok(ExitCode::SUCCESS)
}
