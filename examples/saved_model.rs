//! A model in a file: trained, stored, read again, and the same predictions from both.
//!
//! `cargo run --release --example saved_model`
//!
//! The file is a safetensors file of the weights. The configuration goes with it as text, because a network predicts by
//! the recipe that it was trained with.

use std::sync::atomic::AtomicBool;

use ffwd::backend::Backend;
use ffwd::checkpoint::{self, Model, Origin};
use ffwd::config::{Config, Preset};
use ffwd::data::digits;
use ffwd::network::Network;
use ffwd::predict::{self, By, Evaluation};
use ffwd::tier::Tier;
use ffwd::train::{Trainer, TrainingSet, TrainingState};
use ffwd::{Error, Result, backends};

/// Rows of a built-in digit, and columns.
const SIDE: usize = 28;

fn main() -> Result<()> {
    let config = Config { epochs: 3, ..Config::of_preset(&Preset::QUICK) };
    let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
    let trained = train(&config, &*backend);

    let directory = tempfile::tempdir().map_err(Error::io(std::env::temp_dir(), "create a directory in"))?;
    let path = directory.path().join("model.safetensors");
    let origin = Origin { config: config.to_toml(), dataset: digits::NAME.to_owned(), ..Origin::default() };
    checkpoint::save(&trained, &origin, &path)?;

    // From here on the file alone says what the network is.
    let Model { network, origin, is_checked } = checkpoint::load(&path)?;
    let table = origin.config.parse().expect("the model was stored with its configuration");
    let recipe = Config::resolve(None, table)?.recipe();
    println!("read a network trained on {}, checked by its sum: {is_checked}", origin.dataset);
    println!("SHA-256 of the weights before: {}", checkpoint::weights_sha256(&trained));
    println!("SHA-256 of the weights after:  {}", checkpoint::weights_sha256(&network));

    let (pixels, labels) = digits::draw(60_000..62_000);
    for by in [By::Readout, By::Goodness] {
        let before = predict::predict(&trained, &config.recipe(), &*backend, &pixels, by);
        let after = predict::predict(&network, &recipe, &*backend, &pixels, by);
        assert_eq!(before, after, "the same weights predict the same");
        let Evaluation { tested, errors, .. } = Evaluation::of(&labels, &after, network.classes);
        println!("{by:?}: {} of {tested} digits right, predicted the same before and after", tested - errors);
    }

    let image = &pixels[..network.pixels()];
    let probabilities = predict::probabilities(&network, &recipe, &*backend, image);
    println!("the first digit is a {}; probabilities of 0 to 9: {probabilities:.3?}", labels[0]);
    Ok(())
}

/// A network trained on some thousand of the built-in digits.
fn train(config: &Config, backend: &dyn Backend) -> Network {
    let (pixels, labels) = digits::draw(0..6_000);
    let network = Network::new(SIDE, SIDE, config.classes, &config.layers, config.initial(), config.seed);
    let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
    let mut trainer = Trainer::new(TrainingState::new(network, config), config, backend, set);
    let stop = AtomicBool::new(false);
    for _ in 0..config.epochs {
        let report = trainer.epoch(&stop).expect("nobody stops it");
        println!("epoch {}: loss {:.3} in {:.2} s", report.epoch, report.final_loss, report.seconds);
    }
    trainer.into_state().into_result()
}
