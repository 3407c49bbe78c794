//! The program on the real MNIST, against the log that the Keras example publishes.
//!
//! Ignored by default, because the images are not part of the repository: `FFWD_DATA=DIR cargo test --release --test
//! mnist -- --ignored` runs it, and fails where MNIST is not found.

use std::process::Command;

use serde_json::Value;

fn train(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fast-train"));
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("FFWD_") && name != "FFWD_ISA" && name != "FFWD_DATA" {
            command.env_remove(&variable);
        }
    }
    command.args(["--data", "mnist", "--out", "none", "--json"]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "needs MNIST and about a minute"]
fn the_first_outer_epoch_has_the_loss_of_the_keras_log() {
    let summary = train(&["--preset", "keras", "--epochs", "1", "--precision", "f32"]);
    assert_eq!(summary["dataset"]["train"], 60_000);
    let loss = summary["final_loss"].as_f64().unwrap();
    // Seeds differ by about 0.001.
    assert!((loss - 0.7247).abs() <= 0.003, "FinalLoss {loss}, the log says 0.7247");
}

#[test]
#[ignore = "needs MNIST and about a minute"]
fn a_subset_is_learned_and_both_backends_agree_on_it() {
    let subset = ["--train-limit", "2000", "--test-limit", "2000", "--layers", "120,80", "--epochs", "12"];
    let run = |backend| train(&[&["--preset", "keras", "--backend", backend], subset.as_slice()].concat());
    let (fused, reference) = (run("fused"), run("reference"));
    let number = |summary: &Value, field: &str| summary[field].as_f64().unwrap();
    let gap = (number(&fused, "final_loss") - number(&reference, "final_loss")).abs();
    // 600 steps amplify the roundings in which the backends differ.
    assert!(gap <= 0.003, "FinalLoss differs by {gap}");
    for summary in [fused, reference] {
        assert!(number(&summary, "test_accuracy") > 0.75, "{summary}");
    }
}

#[test]
#[ignore = "needs MNIST and about ten seconds"]
fn a_bare_run_gets_98_percent() {
    // docs/recipes.md has 98.6% with every seed.
    let summary = train(&[]);
    assert_eq!(summary["config"]["preset"], "quick");
    assert!(summary["test_accuracy"].as_f64().unwrap() > 0.98, "{summary}");
}
