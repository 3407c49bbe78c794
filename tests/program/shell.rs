//! What shells and pipes see of the program.

use crate::cli::workplace;
use crate::program;

#[test]
fn completions_and_manual_pages_know_every_command() {
    let place = workplace();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = program(place.path()).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("sweep") && script.contains("preset"), "{shell}");
    }
    let output = program(place.path()).args(["man", "pages"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = |name: &str| std::fs::read_to_string(place.path().join("pages").join(name)).unwrap();
    assert!(page("fast-train.1").contains(".TH") && page("fast-train-sweep.1").contains("seeds"));
}

#[test]
fn train_is_what_is_done_without_a_command() {
    let place = workplace();
    let words = ["--data", "set", "--classes", "4", "--layers", "24", "--epochs", "1", "--out", "none", "--json"];
    let sum = |first: &[&str], seed: Option<&str>| {
        let mut command = program(place.path());
        seed.map(|seed| command.env("FFWD_SEED", seed));
        let output = command.args(first).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        summary["weights_sha256"].as_str().unwrap().to_owned()
    };
    assert_eq!(sum(&["train"], None), sum(&[], None));
    assert_eq!(sum(&["train"], Some("5")), sum(&[], Some("5")), "the environment stands behind both");
    assert_ne!(sum(&["train"], Some("5")), sum(&["train"], None));
}

#[test]
fn nothing_that_is_piped_holds_control_codes() {
    let place = workplace();
    let commands: [&[&str]; 5] = [
        &["--help"],
        &["sweep", "--help"],
        &["--lr", "x"],
        &["--data", "set", "--classes", "4", "--layers", "24", "--epochs", "2", "--out", "none"],
        &["presets"],
    ];
    for words in commands {
        let output = program(place.path()).args(words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(!said.contains(&0x1b) && !said.contains(&b'\r'), "{words:?}: {}", String::from_utf8_lossy(&said));
    }
}
