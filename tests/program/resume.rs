//! Runs that are stopped, killed, damaged and taken up again: they end as if nothing had happened.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use crate::cli::workplace;
use crate::program;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;

const EPOCHS: usize = 60;

/// Options of a small run by each way of learning.
pub const RUNS: [&str; 5] = [
    "--preset keras --layers 24,12 --inner-steps 20",
    "--preset quick --layers 24,12 --batch 50 --validation 40 --validate-every 2",
    "--preset paper --layers 24,12,9 --batch 50 --dropout 0.1 --weight-average 0.9 --shift 1",
    "--preset quick --layers 24,12 --batch 50 --optimizer adam --lr 0.002 --peer 0",
    "--preset backprop --layers 24,12 --batch 50",
];

pub fn train(place: &TempDir, run: &str, out: &str, more: &[&str]) -> Command {
    let mut command = program(place.path());
    command.args(["--data", "set", "--classes", "4", "--epochs", &EPOCHS.to_string(), "--out", out]);
    command.args(["--checkpoint-every", "1"]).args(run.split(' ')).args(more);
    command
}

pub fn resume(place: &TempDir, out: &str, more: &[&str]) -> Command {
    let mut command = program(place.path());
    command.args(["--resume", out]).args(more);
    command
}

pub fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a command that fails says; one line of it is the error.
pub fn complaint(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
    said
}

/// What a run came to, but for times.
pub fn result(place: &TempDir, out: &str) -> (Value, Vec<Value>) {
    let directory = place.path().join(out);
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let mut summary: Value = serde_json::from_str(&read("summary.json")).unwrap();
    for field in ["train_seconds", "peak_rss_bytes", "threads"] {
        summary[field].take();
    }
    // Not decided by the run: how it was asked for.
    summary["config"]["threads"].take();
    let mut epochs: Vec<Value> =
        read("metrics.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_summary = summary["epochs"].as_array_mut().unwrap();
    of_summary.iter_mut().chain(&mut epochs).for_each(|epoch| _ = epoch["seconds"].take());
    (summary, epochs)
}

/// What a process says of its progress.
struct Progress(Lines<BufReader<ChildStderr>>);

fn progress(child: &mut Child) -> Progress {
    Progress(BufReader::new(child.stderr.take().unwrap()).lines())
}

impl Progress {
    /// Waits until a line begins with `words`, or until the process ends; whether there was such a line.
    fn reaches(&mut self, words: &str) -> bool {
        self.0.any(|line| line.unwrap().starts_with(words))
    }

    /// What it says later must not end it.
    fn ignore(self) {
        std::thread::spawn(move || self.0.for_each(drop));
    }
}

/// Waits until a line of its progress begins with `words`, or until it ends; whether there was such a line.
pub fn wait_for(child: &mut Child, words: &str) -> bool {
    let mut progress = progress(child);
    let found = progress.reaches(words);
    progress.ignore();
    found
}

/// Sends `signal` at once: starting `kill` for it would take as long as some epochs of a small run.
#[cfg(unix)]
pub fn send(signal: i32, child: &Child) {
    // SAFETY: the call takes two numbers and touches no memory. Nobody has waited for the child, so its number is its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

#[test]
#[cfg(unix)]
fn a_run_that_is_told_to_stop_goes_on_bit_for_bit() {
    let place = workplace();
    let mut stops = 0;
    for (number, run) in RUNS.iter().enumerate() {
        let (whole, stopped) = (format!("whole{number}"), format!("stopped{number}"));
        succeeded(&train(&place, run, &whole, &[]).output().unwrap());
        for (signal, begin) in [(libc::SIGTERM, true), (libc::SIGHUP, false), (libc::SIGINT, false)] {
            let mut command =
                if begin { train(&place, run, &stopped, &["--threads", "1"]) } else { resume(&place, &stopped, &[]) };
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            if !wait_for(&mut child, "epoch ") {
                // The run before was over before it was told to stop.
                child.wait().unwrap();
                break;
            }
            send(signal, &child);
            let code = child.wait().unwrap().code();
            assert!(code == Some(130) || code == Some(0), "{run}: signal {signal} ends a run in order: {code:?}");
            stops += usize::from(code == Some(130));
        }
        succeeded(&resume(&place, &stopped, &["--threads", "3"]).output().unwrap());
        assert!(result(&place, &stopped) == result(&place, &whole), "{run}");
    }
    assert!(stops >= RUNS.len(), "{stops} runs were stopped before they were over");
}

#[test]
#[cfg(unix)]
fn a_run_that_is_killed_at_any_moment_goes_on_bit_for_bit() {
    const KILLS: usize = 50;
    let place = workplace();
    let run = "--preset quick --layers 64,48 --batch 10 --validation 40";
    let start = std::time::Instant::now();
    succeeded(&train(&place, run, "whole", &[]).output().unwrap());
    let whole = start.elapsed();
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(5);
    let config = place.path().join("killed").join("config.toml");
    let mut kills = 0;
    while kills < KILLS {
        let mut command =
            if config.exists() { resume(&place, "killed", &[]) } else { train(&place, run, "killed", &[]) };
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(rng.random_range(0.0..0.3)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(status.code().is_none_or(|code| code == 0), "a resume failed: {status}");
        kills += 1;
        if status.success() {
            // It was over before it was killed: the next one begins anew.
            assert!(result(&place, "killed") == result(&place, "whole"));
            std::fs::remove_dir_all(place.path().join("killed")).unwrap();
        }
    }
    if config.exists() {
        succeeded(&resume(&place, "killed", &[]).output().unwrap());
        assert!(result(&place, "killed") == result(&place, "whole"));
        let left = std::fs::read_dir(place.path().join("killed")).unwrap();
        let names: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.starts_with('.')), "leftovers: {names:?}");
    }
}

/// A run of one epoch less than it is to have, in `out`.
fn short_run(place: &TempDir, out: &str) {
    succeeded(&train(place, RUNS[0], out, &["--epochs", "2"]).output().unwrap());
}

#[test]
fn more_epochs_are_allowed_and_another_recipe_or_data_set_is_not() {
    let place = workplace();
    succeeded(&train(&place, RUNS[0], "whole", &["--epochs", "3"]).output().unwrap());
    short_run(&place, "run");
    for (option, value, found) in [
        ("--lr", "0.5", "--lr or FFWD_LR: found 0.5, expected 0.03, with which the run began"),
        ("--layers", "24,13", "--layers or FFWD_LAYERS: found [24, 13], expected [24, 12]"),
        ("--seed", "2", "--seed or FFWD_SEED: found 2, expected 1"),
    ] {
        let said = complaint(resume(&place, "run", &[option, value]));
        assert!(said.contains(found), "{said}");
    }
    let other = workplace();
    let labels = other.path().join("set/train-labels-idx1-ubyte");
    let mut bytes = std::fs::read(&labels).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&labels, bytes).unwrap();
    let said = complaint(resume(&place, "run", &["--data", &other.path().join("set").to_string_lossy()]));
    assert!(said.contains("--data: found set of SHA-256") && said.contains("with which the run began"), "{said}");

    succeeded(&resume(&place, "run", &["--epochs", "3"]).output().unwrap());
    let [(run, of_run), (whole, of_whole)] = ["run", "whole"].map(|out| result(&place, out));
    assert_eq!((&run["weights_sha256"], of_run), (&whole["weights_sha256"], of_whole));
}

#[test]
#[cfg(unix)]
fn what_is_changed_when_a_run_goes_on_stays_changed() {
    let place = workplace();
    short_run(&place, "run");
    let mut command = resume(&place, "run", &["--epochs", "100000", "--checkpoint-every", "2"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(wait_for(&mut child, "epoch 5/100000"));
    child.kill().unwrap();
    child.wait().unwrap();
    let config = std::fs::read_to_string(place.path().join("run/config.toml")).unwrap();
    assert!(config.contains("epochs = 100000") && config.contains("checkpoint_every = \"2\""), "{config}");
    succeeded(&resume(&place, "run", &["--epochs", "5"]).output().unwrap());
}

#[test]
fn a_run_without_checkpoints_cannot_go_on_and_is_not_begun_anew() {
    let place = workplace();
    succeeded(&train(&place, RUNS[0], "run", &["--epochs", "2", "--checkpoint-every", "0"]).output().unwrap());
    let before = std::fs::read(place.path().join("run/metrics.jsonl")).unwrap();
    let said = complaint(resume(&place, "run", &["--epochs", "3"]));
    assert!(said.contains("run with metrics.jsonl and no checkpoint"), "{said}");
    assert_eq!(std::fs::read(place.path().join("run/metrics.jsonl")).unwrap(), before);
    // A run that was killed before its first checkpoint is nothing but its configuration, which still decides.
    for file in ["metrics.jsonl", "summary.json", "model.safetensors"] {
        std::fs::remove_file(place.path().join("run").join(file)).unwrap();
    }
    let said = complaint(resume(&place, "run", &["--lr", "0.5"]));
    assert!(said.contains("found 0.5, expected 0.03"), "{said}");
    succeeded(&resume(&place, "run", &[]).output().unwrap());
}

#[test]
fn the_environment_does_not_hinder_a_run_that_goes_on() {
    let place = workplace();
    short_run(&place, "run");
    let mut command = resume(&place, "run", &["--epochs", "3"]);
    succeeded(&command.env("FFWD_OUT", "elsewhere").env("FFWD_CONFIG", "nothing.toml").output().unwrap());
    assert_eq!(result(&place, "run").1.len(), 3);
    let said = complaint(resume(&place, "run", &["--out", "elsewhere"]));
    assert!(said.contains("--out"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_hang_up_does_not_stop_a_run_under_nohup() {
    let place = workplace();
    let run = train(&place, RUNS[1], "run", &["--epochs", "400"]);
    let mut command = Command::new("nohup");
    command.arg(run.get_program()).args(run.get_args()).current_dir(place.path());
    command.env("XDG_CACHE_HOME", place.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert!(wait_for(&mut child, "epoch 2/"));
    send(libc::SIGHUP, &child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(result(&place, "run").1.len(), 400);
}

#[test]
fn a_damaged_checkpoint_is_noticed_and_the_one_before_taken() {
    let place = workplace();
    succeeded(&train(&place, RUNS[0], "whole", &["--epochs", "3"]).output().unwrap());
    short_run(&place, "run");
    let directory = place.path().join("run");
    let damage = |name: &str| {
        let path = directory.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() * 3 / 4;
        bytes[middle] ^= 4;
        std::fs::write(path, bytes).unwrap();
    };
    damage("checkpoint.safetensors");
    let output = resume(&place, "run", &["--epochs", "3"]).output().unwrap();
    succeeded(&output);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the file is damaged") && said.contains("after epoch 1"), "{said}");
    assert_eq!(result(&place, "run").1, result(&place, "whole").1);
    damage("checkpoint.safetensors");
    damage("checkpoint.previous.safetensors");
    let said = complaint(resume(&place, "run", &[]));
    assert!(said.contains("checkpoint.safetensors: found content of SHA-256"), "{said}");
}

#[test]
fn what_is_no_run_or_in_use_is_refused() {
    let place = workplace();
    let said = complaint(resume(&place, "nothing", &[]));
    assert!(said.contains("config.toml: cannot read the configuration"), "{said}");

    let mut command = train(&place, RUNS[1], "busy", &["--epochs", "100000"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(wait_for(&mut child, "epoch 2/"));
    let said = complaint(resume(&place, "busy", &[]));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("busy, in which another process is training"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_directory_that_goes_away_costs_no_training() {
    let place = workplace();
    let mut command = train(&place, RUNS[3], "gone", &["--epochs", "1000000", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = progress(&mut child);
    assert!(said.reaches("epoch 2/"));
    std::fs::rename(place.path().join("gone"), place.path().join("elsewhere")).unwrap();
    assert!(said.reaches("warning: no checkpoint"));
    said.ignore();
    send(libc::SIGTERM, &child);
    let output = child.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).expect("the summary in spite of it");
    assert_eq!((output.status.code(), &summary["interrupted"]), (Some(1), &true.into()));
    assert!(place.path().join("gone/model.safetensors").exists(), "the weights, in a directory of the same name");
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_neither_the_run_nor_the_one_before() {
    let place = workplace();
    succeeded(&train(&place, RUNS[0], "whole", &["--epochs", "3"]).output().unwrap());
    short_run(&place, "run");
    // In the way of the file that is written first.
    let obstacle = place.path().join("run/checkpoint.new.safetensors");
    std::fs::create_dir(&obstacle).unwrap();
    let before = std::fs::read(place.path().join("run/checkpoint.safetensors")).unwrap();
    let said = complaint(resume(&place, "run", &["--epochs", "3"]));
    assert!(said.contains("warning: no checkpoint after epoch 3: run/checkpoint.new.safetensors"), "{said}");
    assert_eq!(std::fs::read(place.path().join("run/checkpoint.safetensors")).unwrap(), before);
    assert_eq!(result(&place, "run").1, result(&place, "whole").1);
    std::fs::remove_dir(obstacle).unwrap();
    succeeded(&resume(&place, "run", &["--epochs", "3"]).output().unwrap());
}

#[test]
fn a_run_begins_with_the_weights_of_a_model() {
    let place = workplace();
    short_run(&place, "first");
    let model = Path::new("first/model.safetensors").to_string_lossy().into_owned();
    let output = train(&place, RUNS[0], "second", &["--epochs", "1", "--from", &model]).output().unwrap();
    succeeded(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("with the weights of"));
    let loss = |out: &str, epoch: usize| result(&place, out).1[epoch]["layer_loss"][0].as_f64().unwrap();
    assert!(loss("second", 0) < loss("first", 0), "it begins where the first one ended");
    let said = complaint(train(&place, RUNS[0], "third", &["--from", &model, "--layers", "24,13"]));
    assert!(said.contains("model.safetensors: layers: found [24, 12], expected [24, 13]"), "{said}");
}

#[test]
fn a_seed_has_64_bits() {
    let place = workplace();
    let output = train(&place, RUNS[0], "run", &["--epochs", "1", "--seed", "18446744073709551615"]).output().unwrap();
    succeeded(&output);
    succeeded(&resume(&place, "run", &["--epochs", "2"]).output().unwrap());
    assert_eq!(result(&place, "run").0["seed"], u64::MAX);
}
