//! Sweeps: every combination once, taken up where they were stopped, refused before anything is trained.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::workplace;
use crate::program;
#[cfg(unix)]
use crate::resume::send;
use crate::resume::{complaint, succeeded, wait_for};
use tempfile::TempDir;

/// A sweep of small runs.
fn sweep(place: &TempDir, more: &[&str]) -> Command {
    let mut command = program(place.path());
    command.args(["sweep", "--data", "set", "--classes", "4", "--batch", "50", "--layers", "24,12"]).args(more);
    command
}

/// The lines of the tables that a command prints.
fn tables(mut command: Command) -> Vec<String> {
    let output = command.output().unwrap();
    succeeded(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.starts_with('|') && !line.starts_with("| ---")).map(str::to_owned).collect()
}

/// A line of a table without its seconds.
fn untimed(line: &str) -> &str {
    line.trim_end_matches(" |").rsplit_once(" | ").unwrap().0
}

fn summary(directory: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(directory.join("summary.json")).unwrap()).unwrap()
}

#[test]
fn a_sweep_trains_every_combination_and_tells_what_came_of_each() {
    let place = workplace();
    let words = ["--epochs", "2", "--lr", "0.05,0.1", "--loss", "swish,symba", "--seed", "7", "--seeds", "2"];
    let lines = tables(sweep(&place, &words));
    assert_eq!(lines.len(), 1 + 8 + 1 + 4, "{lines:#?}");
    assert!(lines[0].starts_with("| lr | loss | seed | errors"), "in the order of the help: {}", lines[0]);
    assert!(lines[1].starts_with("| 0.05 | swish | 7 | ") && lines[8].starts_with("| 0.1 | symba | 8 | "));
    assert!(lines[10].starts_with("| 0.05 | swish | 2 | "), "{}", lines[10]);
    let run = summary(&place.path().join("runs/sweep/lr=0.1_loss=symba_seed=8"));
    assert_eq!((&run["config"]["lr"], &run["seed"], &run["config"]["loss"]), (&0.1.into(), &8.into(), &"symba".into()));
    // Again: nothing is trained anew, and what a run came to is told as before.
    let again = tables(sweep(&place, &words));
    assert_eq!(
        again.iter().map(|line| untimed(line)).collect::<Vec<_>>(),
        lines.iter().map(|line| untimed(line)).collect::<Vec<_>>()
    );
    // An option that decides the result cannot be changed.
    let other =
        ["--epochs", "2", "--lr", "0.05,0.1", "--loss", "swish,symba", "--seed", "7", "--seeds", "2", "--peer", "0"];
    assert!(complaint(sweep(&place, &other)).contains("peer"));
}

#[test]
fn an_option_that_is_left_out_is_not_that_of_the_runs_that_are_there() {
    let place = workplace();
    let words = ["--epochs", "1", "--lr", "0.05,0.1", "--checkpoint-every", "0"];
    let lines = tables(sweep(&place, &[&words[..], &["--peer", "0"]].concat()));
    assert!(complaint(sweep(&place, &words)).contains("peer"));
    let again = tables(sweep(&place, &[&words[..], &["--peer", "0"]].concat()));
    assert_eq!(again, lines, "finished runs need no checkpoint");
}

#[test]
fn values_of_layers_are_separated_by_slashes() {
    let place = workplace();
    let mut command = program(place.path());
    command.args(["sweep", "--data", "set", "--classes", "4", "--epochs", "1", "--layers", "9,8/7"]);
    let lines = tables(command);
    assert!(lines[1].starts_with("| 9,8 | ") && lines[2].starts_with("| 7 | "), "{lines:#?}");
    assert!(place.path().join("runs/sweep/layers=9-8/model.safetensors").exists());
}

#[test]
fn a_sweep_that_cannot_run_to_its_end_is_refused_before_it_begins() {
    for (words, named) in [
        (["--lr", "0.1,0.1"], "--lr"),
        (["--lr", "0.1,x"], "--lr"),
        (["--dropout", "0,2"], "--dropout"),
        (["--seeds", "0"], "--seeds"),
        (["--out", ""], "--out"),
    ] {
        let place = workplace();
        let output = sweep(&place, &words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(named), "{words:?}: {said}");
        assert!(!place.path().join("runs").exists(), "{words:?}");
    }
}

#[test]
fn a_run_that_diverges_leaves_the_others_their_turn() {
    let place = workplace();
    let words = ["--epochs", "2", "--lr", "1e30,0.05"];
    let output = sweep(&place, &words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert!(lines[2].contains("try a smaller --lr") && lines[3].contains('%'), "{lines:#?}");
}

#[cfg(unix)]
#[test]
fn a_sweep_that_is_interrupted_goes_on_where_it_was() {
    let place = workplace();
    let words = |epochs| ["--epochs", epochs, "--lr", "0.05,0.1", "--checkpoint-every", "1"];
    let mut command = sweep(&place, &words("1000000"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(wait_for(&mut child, "epoch 3/"));
    send(libc::SIGINT, &child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8(output.stdout).unwrap().contains(", stopped | "));
    assert!(!place.path().join("runs/sweep/lr=0.1").exists(), "the second run has not begun");
    let kept = std::fs::read_to_string(place.path().join("runs/sweep/lr=0.05/metrics.jsonl")).unwrap().lines().count();
    let epochs = kept + 3;
    let lines = tables(sweep(&place, &words(&epochs.to_string())));
    assert_eq!(lines.len(), 3);
    let [first, second] = ["lr=0.05", "lr=0.1"].map(|name| summary(&place.path().join("runs/sweep").join(name)));
    for run in [&first, &second] {
        assert_eq!((run["epochs"].as_array().unwrap().len(), &run["interrupted"]), (epochs, &false.into()));
    }
}
