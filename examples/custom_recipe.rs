//! A recipe of one's own: a preset's configuration with other values in some fields, and what each epoch reports.
//!
//! `cargo run --release --example custom_recipe`
//!
//! Every field of `Config` is public, and docs/recipes.md has the equations behind them. The images are some thousand
//! of the built-in digits, drawn anew.

use std::sync::atomic::AtomicBool;

use ffwd::Result;
use ffwd::backends;
use ffwd::config::{Config, Negatives, OptimizerName, Preset};
use ffwd::data::digits;
use ffwd::network::Network;
use ffwd::predict::Evaluation;
use ffwd::recipe::LossName;
use ffwd::tier::Tier;
use ffwd::train::{EpochReport, Trainer, TrainingSet, TrainingState};

/// Rows of a built-in digit, and columns.
const SIDE: usize = 28;

fn main() -> Result<()> {
    let config = checked(&Config {
        layers: vec![400, 300, 200],
        epochs: 6,
        // Each row for itself, against a threshold of so much for each unit, where the preset compares pairs.
        loss: LossName::Logistic,
        threshold: 0.75,
        temperature: 10.0,
        optimizer: OptimizerName::Adam,
        lr: 0.002,
        weight_decay: 0.1,
        // Any wrong label, where the preset asks the read-out which one is hard to tell from the true one.
        negatives: Negatives::Wrong,
        peer: 0.0,
        ..Config::of_preset(&Preset::QUICK)
    })?;

    let (pixels, labels) = digits::draw(0..8_000);
    let (test_pixels, test_labels) = digits::draw(60_000..61_000);
    let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
    let network = Network::new(SIDE, SIDE, config.classes, &config.layers, config.initial(), config.seed);
    let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
    let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, &*backend, set);

    println!("{} digits, layers {:?}, {}, {}", labels.len(), config.layers, backend.name(), backend.precision());
    let stop = AtomicBool::new(false);
    for _ in 0..config.epochs {
        let report = trainer.epoch(&stop).expect("nobody stops it");
        let evaluation = Evaluation::new(trainer.network(), &config.recipe(), &*backend, &test_pixels, &test_labels);
        print(&report, evaluation.accuracy().expect("there are images to test on"));
    }
    Ok(())
}

/// The same configuration, if it passes the checks that files and options pass. The trainer does not repeat them.
fn checked(config: &Config) -> Result<Config> {
    let table = config.to_toml().parse().expect("a configuration is written as TOML");
    Config::resolve(None, table)
}

/// Prints what an epoch reports, and the share of other digits that is then predicted right.
fn print(report: &EpochReport, accuracy: f64) {
    println!("epoch {} in {:.2} s: {:.1}% of other digits right", report.epoch, report.seconds, 100.0 * accuracy);
    println!("    mean loss of all layers and epochs so far  {:.3}", report.final_loss);
    println!("    loss of each layer                         {:.3?}", report.layer_loss);
    if let Some(pairs) = &report.pair_accuracy {
        println!("    pairs that each layer tells apart          {pairs:.3?}");
    }
    println!("    activations above zero                     {:.3?}", report.active);
    if let Some(loss) = report.readout_loss {
        println!("    loss of the read-out                       {loss:.3}");
    }
}
