//! Outer epochs of the Keras example from stored states: ffwd makes the states once, and all libraries go on from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use ffwd::config::Config;
use ffwd::train::stored::StoredState;
use serde_json::{Value, json};

use crate::training::Run;
use crate::{Epoch, EpochTask};

/// Trains from `[SAMPLES, STEPS, DATA, {EPOCH: DIRECTORY}]` in JSON: so many images of the data set as one batch, so
/// many inner steps for each layer. What the run is before each of these epochs, counted from 1, goes to its directory.
pub fn make(request: &str) -> Result<Value> {
    let (samples, steps, data, directories): (usize, usize, String, BTreeMap<usize, PathBuf>) =
        serde_json::from_str(request).context("expected [SAMPLES, STEPS, DATA, {EPOCH: DIRECTORY}]")?;
    let mut run = Run::new(keras(samples, steps)?, &data)?;
    for (epoch, directory) in directories {
        while run.epochs_done() + 1 < epoch {
            run.epoch()?;
        }
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        run.stored().save_in(&directory)?;
    }
    Ok(json!({}))
}

/// One epoch from `[SAMPLES, STEPS, DATA, STATE]` in JSON, again and again from the state in the directory STATE, as
/// [`make`] has stored it for so many images and steps.
pub fn epochs(request: &str) -> Result<EpochTask> {
    let (samples, steps, data, state): (usize, usize, String, PathBuf) =
        serde_json::from_str(request).context("expected [SAMPLES, STEPS, DATA, STATE]")?;
    let mut run = Run::new(keras(samples, steps)?, &data)?;
    let (StoredState { state, .. }, damage) = StoredState::load_from(&state, &run.config, run.size)?;
    damage.map_or(Ok(()), Err)?;
    Ok(Box::new(move || {
        run.go_on_from(state.clone());
        let (elapsed, report) = run.epoch()?;
        let loss = report.layer_loss.iter().sum::<f64>() / report.layer_loss.len() as f64;
        Ok(Epoch { elapsed, outcome: ("loss", loss) })
    }))
}

/// The Keras example in f32 on so many images, with so many inner steps.
fn keras(samples: usize, steps: usize) -> Result<Config> {
    let fields = format!("preset = \"keras\"\ninner_steps = {steps}\ntrain_limit = {samples}\nprecision = \"f32\"");
    Ok(Config::resolve(None, fields.parse()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffwd::data::{digits, idx};
    use std::path::Path;

    /// So many digits as a data set.
    fn write_digits(directory: &Path, count: usize) {
        let (pixels, labels) = digits::draw(0..count);
        for part in ["train", "t10k"] {
            idx::write_images(&directory.join(format!("{part}-images-idx3-ubyte")), 28, 28, &pixels).unwrap();
            idx::write_labels(&directory.join(format!("{part}-labels-idx1-ubyte")), &labels).unwrap();
        }
    }

    #[test]
    fn an_epoch_from_a_state_is_that_of_an_unbroken_run_however_often() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().to_str().unwrap();
        write_digits(place.path(), 40);
        let state = |epoch: usize| place.path().join(format!("before {epoch}"));
        make(&json!([40, 2, data, {"3": state(3), "1": state(1)}]).to_string()).unwrap();
        let mut run = Run::new(keras(40, 2).unwrap(), data).unwrap();
        let unbroken = [(); 3].map(|()| run.epoch().unwrap().1.layer_loss.iter().sum::<f64>() / 2.0);
        for epoch in [1, 3] {
            let mut train = epochs(&json!([40, 2, data, state(epoch)]).to_string()).unwrap();
            for _ in 0..2 {
                assert_eq!(train().unwrap().outcome, ("loss", unbroken[epoch - 1]));
            }
        }
    }

    #[test]
    fn requests_without_data_or_states_are_errors() {
        for request in ["", "[]", r#"[1, 1, "no such directory", {"1": "x"}]"#] {
            assert!(make(request).is_err(), "{request}");
        }
        let place = tempfile::tempdir().unwrap();
        write_digits(place.path(), 1);
        let request = json!([1, 1, place.path(), place.path().join("no state")]).to_string();
        let message = format!("{:#}", epochs(&request).err().expect("an error"));
        assert!(message.contains("no state"), "{message}");
    }
}
