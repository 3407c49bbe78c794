//! The program from outside: what it prints, which files it writes, how it ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::program;
#[cfg(unix)]
use crate::resume::send;
use ffwd::data::idx;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;

const TRAIN: usize = 240;
const TEST: usize = 60;

/// A working directory with a small data set `data` of 8 x 7 images in four classes: bars at a place of their own.
pub fn workplace() -> TempDir {
    let place = TempDir::new().unwrap();
    let data = place.path().join("set");
    std::fs::create_dir(&data).unwrap();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    for (prefix, count) in [("train", TRAIN), ("t10k", TEST)] {
        let labels: Vec<u8> = (0..count).map(|_| rng.random_range(0..4)).collect();
        let mut pixels = vec![0; count * 56];
        for (image, &label) in pixels.chunks_exact_mut(56).zip(&labels) {
            image[14 + usize::from(label) * 10..][..8].fill_with(|| rng.random_range(100..=255));
            image[rng.random_range(7..56)] = 255;
        }
        idx::write_images(&data.join(format!("{prefix}-images-idx3-ubyte")), 8, 7, &pixels).unwrap();
        idx::write_labels(&data.join(format!("{prefix}-labels-idx1-ubyte")), &labels).unwrap();
    }
    place
}

fn run(place: &TempDir, arguments: &[&str]) -> Output {
    program(place.path()).args(arguments).output().unwrap()
}

const SMALL: [&str; 12] = [
    "--preset",
    "keras",
    "--data",
    "set",
    "--classes",
    "4",
    "--layers",
    "24,12",
    "--epochs",
    "4",
    "--inner-steps",
    "20",
];

fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().chain(more).copied().collect()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else on stdout")
}

fn message(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// The only line on stderr, which says once what was expected and what the system answered.
fn one_line(output: &Output, code: i32) -> String {
    let text = message(output, code);
    // A debug build says so first.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("warning: this is a debug build")).collect();
    let &[line] = lines.as_slice() else { panic!("not one line: {text}") };
    assert!(line.starts_with("error: "), "{line}");
    assert!(line.matches(", expected ").count() <= 1 && line.matches("os error").count() <= 1, "{line}");
    line.to_owned()
}

#[test]
fn a_run_prints_its_summary_and_writes_its_files() {
    let place = workplace();
    let summary = json(&run(&place, &small(&["--json", "--seed", "5"])));
    assert_eq!(summary["schema"], "ffwd/summary/v1");
    assert_eq!((&summary["dataset"]["name"], &summary["dataset"]["synthetic"]), (&"set".into(), &false.into()));
    assert_eq!((&summary["dataset"]["train"], &summary["dataset"]["test"]), (&TRAIN.into(), &TEST.into()));
    for sum in [&summary["dataset"]["sha256"], &summary["weights_sha256"]] {
        assert_eq!(sum.as_str().unwrap().len(), 64);
    }
    let precision = &json(&run(&place, &["info", "--json"]))["precision"][0];
    assert_eq!((&summary["precision"], &summary["backend"]), (precision, &"fused".into()));
    assert_eq!((&summary["seed"], &summary["config"]["seed"]), (&5.into(), &5.into()));
    let epochs = summary["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 4);
    assert_eq!(epochs[3]["epoch"], 4);
    for list in ["layer_loss", "active"] {
        assert_eq!(epochs[3][list].as_array().unwrap().len(), 2);
    }
    assert_eq!(summary["final_loss"], epochs[3]["final_loss"]);
    let errors = summary["test_errors"].as_u64().unwrap();
    assert_eq!(summary["test_accuracy"], (TEST as u64 - errors) as f64 / TEST as f64);
    assert!(summary["test_accuracy"].as_f64().unwrap() > 0.9, "bars at four places are easy: {summary}");

    let directory = place.path().join("runs/keras-set-5");
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&read("summary.json")).unwrap(), summary);
    let metrics: Vec<Value> = read("metrics.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&metrics, epochs);
    for line in ["inner_steps = 20", "backend = \"fused\"", "threads = 0"] {
        assert!(read("config.toml").contains(line), "{line}");
    }
    assert!(read("config.toml").contains(&format!("precision = {precision}")));
    let set = place.path().canonicalize().unwrap().join("set");
    let stored = PathBuf::from(summary["config"]["data"].as_str().unwrap());
    assert!(stored.is_absolute() && stored.canonicalize().unwrap() == set);
    for plot in ["loss.svg", "samples.svg", "confusion.svg"] {
        assert!(read(plot).starts_with("<svg") && read(plot).trim_end().ends_with("</svg>"), "{plot}");
    }
    assert_eq!(read("samples.svg").matches("Label: ").count(), 4);

    let model = directory.join("model.safetensors");
    let model = model.to_str().unwrap();
    let eval = json(&run(&place, &["eval", "--model", model, "--data", "set", "--json"]));
    assert_eq!(eval["test_errors"], summary["test_errors"]);
    assert_eq!(eval["weights_sha256"], summary["weights_sha256"]);
    let predictions = json(&run(&place, &["predict", "--model", model, "set/t10k-images-idx3-ubyte", "--json"]));
    let labels = idx::IdxLabels::open(&place.path().join("set/t10k-labels-idx1-ubyte")).unwrap();
    let wrong = predictions["predictions"].as_array().unwrap().iter().zip(labels.values());
    assert_eq!(wrong.filter(|(found, label)| found.as_u64() != Some(u64::from(**label))).count() as u64, errors);
    let lines = run(&place, &["predict", "--model", model, "set/t10k-images-idx3-ubyte"]).stdout;
    assert_eq!(lines.lines().count(), TEST);
}

#[test]
fn a_stored_configuration_repeats_the_run_and_no_run_is_overwritten() {
    let place = workplace();
    let first = json(&run(&place, &small(&["--json"])));
    let again = json(&run(&place, &["--config", "runs/keras-set-1/config.toml", "--json", "--threads", "3"]));
    assert_eq!(again["weights_sha256"], first["weights_sha256"]);
    assert!(place.path().join("runs/keras-set-1-2/summary.json").exists());
    let named = run(&place, &small(&["--out", "runs/keras-set-1"]));
    assert!(message(&named, 2).contains("holds a run"));
    json(&run(&place, &small(&["--json", "--out", "named"])));
    let again = json(&run(&place, &["--config", "named/config.toml", "--json"]));
    assert_eq!(again["weights_sha256"], first["weights_sha256"], "the directory is not part of the configuration");
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let place = workplace();
    std::fs::write(place.path().join("run.toml"), "epochs = 3\nseed = 3\nlr = 0.02\n").unwrap();
    let mut command = program(place.path());
    command.args(["--data", "set", "--classes", "4", "--layers", "5", "--inner-steps", "1", "--out", "none", "--json"]);
    command.args(["--config", "run.toml", "--seed", "9"]).env("FFWD_SEED", "8").env("FFWD_EPOCHS", "2");
    let config = json(&command.output().unwrap())["config"].clone();
    assert_eq!((&config["seed"], &config["epochs"], &config["lr"]), (&9.into(), &2.into(), &0.02.into()));
    assert!(!place.path().join("runs").exists());
}

#[test]
fn both_backends_agree() {
    let place = workplace();
    let loss = |backend: &str| {
        let summary = json(&run(&place, &small(&["--json", "--out", "none", "--backend", backend, "--epochs", "2"])));
        assert_eq!(summary["backend"], backend);
        summary["final_loss"].as_f64().unwrap()
    };
    assert!((loss("fused") - loss("reference")).abs() < 1e-4);
}

#[test]
fn usage_errors_exit_with_two_and_name_the_field() {
    let place = workplace();
    std::fs::write(place.path().join("bad.toml"), "epoch = 1").unwrap();
    std::fs::write(place.path().join("range.toml"), "epochs = 0").unwrap();
    std::fs::write(place.path().join("syntax.toml"), "seed = 1\nepochs = [").unwrap();
    for (arguments, word) in [
        (vec!["--layers", "0"], "--layers"),
        (vec!["--lr=-1"], "--lr or FFWD_LR"),
        (vec!["--epochs", "1000001"], "--epochs"),
        (vec!["--data", "no-such-set"], "no-such-set"),
        (vec!["--config", "bad.toml"], "bad.toml: epoch:"),
        (vec!["--config", "range.toml", "--epochs", "3"], "range.toml: epochs: found 0"),
        (vec!["--config", "syntax.toml"], "syntax.toml: line 2:"),
    ] {
        assert!(one_line(&run(&place, &arguments), 2).contains(word), "{arguments:?}");
    }
    for (arguments, word) in [
        (vec!["--epochs", "x"], "--epochs"),
        (vec!["--backend", "gpu"], "--backend"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["--out", ""], "--out"),
        (vec!["data", "fetch", "digits"], "digits"),
    ] {
        assert!(message(&run(&place, &arguments), 2).contains(word), "{arguments:?}");
    }
    let isa = program(place.path()).args(SMALL).env("FFWD_ISA", "mmx").output().unwrap();
    assert!(one_line(&isa, 2).contains("FFWD_ISA"));
}

#[test]
fn other_failures_exit_with_one_and_name_the_file() {
    let place = workplace();
    std::fs::write(place.path().join("broken.safetensors"), "nothing").unwrap();
    std::fs::write(place.path().join("broken.idx"), [0, 0, 8, 3, 0, 0, 0, 9]).unwrap();
    for (arguments, word) in [
        (vec!["--data", "./missing"], "missing"),
        (vec!["--data", "set", "--classes", "2"], "train-labels-idx1-ubyte"),
        (vec!["--config", "missing.toml"], "missing.toml"),
        (vec!["eval", "--model", "broken.safetensors"], "broken.safetensors"),
        (vec!["predict", "--model", "missing.safetensors", "broken.idx"], "missing.safetensors"),
    ] {
        assert!(one_line(&run(&place, &arguments), 1).contains(word), "{arguments:?}");
    }
    let missing = one_line(&run(&place, &["--config", "missing.toml"]), 1);
    assert_eq!(missing.matches("os error").count(), 1, "{missing}");
    json(&run(&place, &small(&["--json", "--out", "run", "--epochs", "1"])));
    let images = run(&place, &["predict", "--model", "run/model.safetensors", "broken.idx"]);
    assert!(one_line(&images, 1).contains("broken.idx"));
}

#[test]
fn images_of_another_size_than_the_models_are_refused() {
    let place = workplace();
    json(&run(&place, &small(&["--json", "--out", "run", "--epochs", "1"])));
    let other = place.path().join("other");
    for (prefix, count) in [("train", 3), ("t10k", 2)] {
        idx::write_images(&other.join(format!("{prefix}-images-idx3-ubyte")), 5, 6, &vec![9; count * 30]).unwrap();
        idx::write_labels(&other.join(format!("{prefix}-labels-idx1-ubyte")), &vec![1; count]).unwrap();
    }
    for command in [["eval", "--data", "other"].as_slice(), &["predict", "other/t10k-images-idx3-ubyte"]] {
        let output = run(&place, &[command, &["--model", "run/model.safetensors"]].concat());
        let text = one_line(&output, 1);
        assert!(
            text.contains("t10k-images-idx3-ubyte") && text.contains("(5, 6)") && text.contains("(8, 7)"),
            "{text}"
        );
    }
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_training() {
    let place = workplace();
    std::fs::write(place.path().join("file"), "").unwrap();
    // So many epochs would not end.
    let output = run(&place, &small(&["--out", "file/run", "--epochs", "1000000"]));
    assert!(one_line(&output, 1).contains("file/run"));
}

#[test]
fn quiet_is_quiet() {
    let place = workplace();
    let output = run(&place, &small(&["--quiet", "--epochs", "1"]));
    let text = message(&output, 0);
    assert!(text.lines().all(|line| line.starts_with("warning: this is a debug build")), "{text}");
    assert!(output.stdout.is_empty());
    assert!(place.path().join("runs/keras-set-1/summary.json").exists());
}

#[test]
fn a_run_that_diverges_ends_with_the_epoch_the_layer_and_no_model() {
    let place = workplace();
    let output = run(&place, &small(&["--lr", "1e30", "--quiet", "--out", "run"]));
    let text = one_line(&output, 1);
    assert!(text.contains("epoch 1") && text.contains("layer 1") && text.contains("--lr"), "{text}");
    let directory = place.path().join("run");
    assert_eq!(std::fs::read_to_string(directory.join("metrics.jsonl")).unwrap().lines().count(), 1);
    assert!(!directory.join("model.safetensors").exists());
}

#[test]
fn without_test_images_a_run_has_no_accuracy() {
    let place = workplace();
    idx::write_images(&place.path().join("set/t10k-images-idx3-ubyte"), 8, 7, &[]).unwrap();
    idx::write_labels(&place.path().join("set/t10k-labels-idx1-ubyte"), &[]).unwrap();
    let summary = json(&run(&place, &small(&["--json", "--out", "run", "--epochs", "1"])));
    assert_eq!((&summary["test_accuracy"], &summary["dataset"]["test"]), (&Value::Null, &0.into()));
    let model = ["--model", "run/model.safetensors"];
    let eval = json(&run(&place, &[["eval", "--data", "set", "--json"].as_slice(), &model].concat()));
    assert_eq!((&eval["test_accuracy"], &eval["test_errors"]), (&Value::Null, &0.into()));
    let predictions = run(&place, &[["predict", "set/t10k-images-idx3-ubyte"].as_slice(), &model].concat());
    message(&predictions, 0);
    assert!(predictions.stdout.is_empty());
}

#[test]
fn one_class_is_learned_at_once() {
    let place = workplace();
    for prefix in ["train", "t10k"] {
        let path = place.path().join(format!("set/{prefix}-labels-idx1-ubyte"));
        let count = idx::IdxLabels::open(&path).unwrap().len();
        idx::write_labels(&path, &vec![0; count]).unwrap();
    }
    let summary = json(&run(&place, &small(&["--json", "--classes", "1", "--epochs", "1"])));
    assert_eq!(summary["test_accuracy"], 1.0);
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set_and_the_last_flag_counts() {
    let place = workplace();
    let mut command = program(place.path());
    command.args(small(&["--epochs", "1", "--layers", "7", "--json", "--out", "none"]));
    for variable in ["FFWD_SEED", "FFWD_CONFIG", "FFWD_OUT", "FFWD_PRESET", "FFWD_DATA", "FFWD_LR"] {
        command.env(variable, "");
    }
    let config = json(&command.output().unwrap())["config"].clone();
    assert_eq!((&config["seed"], &config["layers"]), (&1.into(), &serde_json::json!([7])));
}

#[test]
fn a_model_remembers_its_data_set() {
    let place = workplace();
    json(&run(&place, &small(&["--json", "--out", "run", "--epochs", "1"])));
    let eval = ["eval", "--model", "run/model.safetensors", "--data", "set"];
    let note = |output: Output| message(&output, 0).contains("is not the data set this model was trained on (set)");
    assert!(!note(run(&place, &eval)));
    idx::write_labels(&place.path().join("set/t10k-labels-idx1-ubyte"), &[0; TEST]).unwrap();
    assert!(note(run(&place, &eval)));
}

/// A reader of the progress or of the result that goes away does not take the run with it.
#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let place = workplace();
    let end_of_reading = |out: &str, close: fn(&mut std::process::Child)| {
        let mut command = program(place.path());
        command.args(small(&["--out", out])).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        close(&mut child);
        child.wait_with_output().unwrap()
    };
    let output = end_of_reading("a", |child| drop(child.stderr.take()));
    assert_eq!(output.status.code(), Some(0));
    let output = end_of_reading("b", |child| drop(child.stdout.take()));
    assert!(!message(&output, 0).contains("error"), "as of a filter behind which `head` has seen enough");
    for out in ["a", "b"] {
        assert!(place.path().join(out).join("model.safetensors").exists(), "{out}");
    }
}

/// A disk that is full in the middle of a run costs the files, not the result.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_in_the_middle_does_not_discard_the_result() {
    let place = workplace();
    let directory = place.path().join("run");
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.join("metrics.jsonl")).unwrap();
    let output = run(&place, &small(&["--json", "--quiet", "--out", "run"]));
    assert!(one_line(&output, 1).contains("metrics.jsonl"));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["epochs"].as_array().unwrap().len(), 4);
    for file in ["model.safetensors", "summary.json", "loss.svg"] {
        assert!(directory.join(file).exists(), "{file}");
    }
}

#[test]
fn the_environment_of_a_run_does_not_reach_other_commands() {
    let place = workplace();
    let with_variable =
        |arguments: &[&str]| program(place.path()).args(arguments).env("FFWD_EPOCHS", "x").output().unwrap();
    assert!(with_variable(&["info"]).status.success());
    assert!(message(&with_variable(&["--data", "set"]), 2).contains("--epochs"));
}

/// All layers together, on the small set.
const PAPER: [&str; 10] =
    ["--data", "set", "--preset", "paper", "--classes", "4", "--layers", "24,16", "--batch", "20"];

#[test]
fn validation_keeps_the_best_network_and_stops_at_the_target() {
    let place = workplace();
    let train = |more: &[&str]| json(&run(&place, &[&PAPER[..], &["--json", "--validation", "40"], more].concat()));
    let summary = train(&["--epochs", "30", "--target-accuracy", "0.9", "--out", "stopped"]);
    let epochs = summary["epochs"].as_array().unwrap();
    let accuracy = |epoch: &Value| epoch["validation_accuracy"].as_f64();
    assert!(epochs.len() < 30 && accuracy(epochs.last().unwrap()).unwrap() >= 0.9, "{summary}");
    assert!(epochs[..epochs.len() - 1].iter().all(|epoch| accuracy(epoch).unwrap() < 0.9));
    assert!(epochs.iter().all(|epoch| epoch["readout_loss"].as_f64().unwrap() > 0.0));
    let told_apart = |epoch: &Value| epoch["pair_accuracy"][0].as_f64().unwrap();
    assert!(told_apart(epochs.last().unwrap()) > 0.8, "{summary}");
    let seconds: f64 = epochs.iter().map(|epoch| epoch["seconds"].as_f64().unwrap()).sum();
    assert_eq!(summary["seconds_to_target"].as_f64(), Some(seconds));
    assert_eq!((&summary["interrupted"], &summary["dataset"]["train"]), (&false.into(), &(TRAIN - 40).into()));
    // The last network is the best one, and both say by their read-out what the run's own test said.
    for model in ["stopped/model.safetensors", "stopped/best.safetensors"] {
        let eval = json(&run(&place, &["eval", "--json", "--model", model]));
        assert_eq!(eval["weights_sha256"], summary["weights_sha256"], "{model}");
        assert!(eval["test_accuracy"].as_f64().unwrap() > 0.7, "{eval}");
    }
    let images = "set/t10k-images-idx3-ubyte";
    let predicted = run(&place, &["predict", "--model", "stopped/model.safetensors", images]);
    assert_eq!(String::from_utf8(predicted.stdout).unwrap().lines().count(), TEST);
    // Both predictors are to be had, and a read-out only where there is one.
    let by = |model: &str, by: &str| run(&place, &["eval", "--json", "--model", model, "--by", by]);
    let readout = json(&by("stopped/model.safetensors", "readout"));
    assert_eq!(readout["test_accuracy"], summary["test_accuracy"]);
    let goodness = json(&by("stopped/model.safetensors", "goodness"));
    assert!(goodness["test_accuracy"].as_f64().unwrap() > 0.7, "{goodness}");
    let backpropagation = ["--json", "--epochs", "1", "--learning", "backpropagation", "--out", "b"];
    let line = one_line(&run(&place, &[&PAPER[..], &backpropagation].concat()), 2);
    assert!(line.contains("precision") && line.contains("back-propagation"), "{line}");
    json(&run(&place, &[&PAPER[..], &backpropagation, &["--precision", "f32"]].concat()));
    let line = one_line(&by("b/model.safetensors", "goodness"), 2);
    assert!(line.contains("--by") && line.contains("back-propagation"), "{line}");
    json(&run(&place, &small(&["--json", "--out", "keras"])));
    let line = one_line(&by("keras/model.safetensors", "readout"), 2);
    assert!(line.contains("--by") && line.contains("no read-out"), "{line}");

    let summary = train(&["--epochs", "4", "--validate-every", "3", "--out", "whole"]);
    let validated: Vec<bool> = summary["epochs"].as_array().unwrap().iter().map(|e| accuracy(e).is_some()).collect();
    assert_eq!(validated, [false, false, true, true], "every third epoch, and the last");
    assert!(summary["seconds_to_target"].is_null());
}

#[test]
fn every_way_of_learning_gets_somewhere_on_the_small_set() {
    let place = workplace();
    for more in [
        &["--loss", "logistic", "--temperature", "1", "--lr", "0.02"][..],
        &["--loss", "symba", "--temperature", "4"],
        &["--learning", "backpropagation", "--precision", "f32", "--shift", "1", "--lr", "0.1"],
        &["--optimizer", "adam", "--lr", "0.002", "--peer", "0", "--schedule", "cosine", "--warmup", "0.1"],
    ] {
        let arguments = [&PAPER[..], &["--json", "--out", "none", "--epochs", "12"], more].concat();
        let accuracy = json(&run(&place, &arguments))["test_accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.7, "{more:?}: {accuracy}");
    }
}

#[test]
fn presets_are_listed_and_shown_as_files_for_config() {
    let place = workplace();
    let list = String::from_utf8(run(&place, &["presets"]).stdout).unwrap();
    let shown = run(&place, &["presets", "show", "best"]).stdout;
    assert_eq!(list.lines().count(), 7, "{list}");
    for (name, line) in ["quick", "paper", "paper-4x2000", "best", "backprop", "keras"].iter().zip(list.lines()) {
        assert!(line.starts_with(name) && line.contains(" epochs "), "{list}");
    }
    std::fs::write(place.path().join("best.toml"), shown).unwrap();
    let small = ["--data", "set", "--classes", "4", "--layers", "24,16", "--epochs", "1", "--json", "--out", "none"];
    let summary = json(&run(&place, &[&["--config", "best.toml"], &small[..]].concat()));
    assert_eq!((&summary["config"]["preset"], &summary["config"]["shift"]), (&"best".into(), &2.into()));
}

#[test]
fn validation_leaves_something_to_train_on() {
    let place = workplace();
    let line = one_line(&run(&place, &[&PAPER[..], &["--validation", "240"]].concat()), 2);
    assert!(line.contains("validation") && line.contains("240"), "{line}");
    assert!(!place.path().join("runs").exists(), "nothing is begun");
    let line = one_line(&run(&place, &[&PAPER[..], &["--shift", "7"]].concat()), 2);
    assert!(line.contains("shift") && line.contains("fewer pixels than the 7"), "{line}");
    let line = one_line(&run(&place, &small(&["--negatives", "hard"])), 2);
    assert!(line.contains("negatives") && line.contains("expected"), "{line}");
}

#[test]
fn info_names_an_instruction_set_that_is_usable() {
    let place = workplace();
    let info = json(&run(&place, &["info", "--json"]));
    let usable = info["isa"]["usable"].as_array().unwrap();
    assert!(usable.contains(&info["isa"]["selected"]));
    let precision = info["precision"].as_array().unwrap();
    assert!(precision == &["f32"] || precision == &["bf16"] && usable.contains(&"avx512".into()), "{precision:?}");
    let text = String::from_utf8(run(&place, &["info"]).stdout).unwrap();
    for name in ["mnist", "fashion-mnist", "digits"] {
        assert!(text.contains(&format!("data         {name}: ")), "{text}");
    }
}

#[test]
fn data_list_shows_every_set_and_place() {
    let place = workplace();
    let listing = String::from_utf8(run(&place, &["data", "list"]).stdout).unwrap();
    for word in ["mnist", "fashion-mnist", "digits", "/usr/share/datasets"] {
        assert!(listing.contains(word), "{listing}");
    }
}

/// With no data and no network the program says so, draws its own digits and trains on them; what the system has, it
/// takes.
#[test]
fn without_data_and_network_it_trains_on_what_there_is() {
    let place = TempDir::new().unwrap();
    let mut command = program(place.path());
    command.args(["--epochs", "1", "--layers", "16", "--test-limit", "200"]);
    let output = command.env("FFWD_DATA", "elsewhere").output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = message(&output, 0);
    assert!(out.contains("Test accuracy"), "{out}{err}");
    let name = if Path::new("/usr/share/datasets/mnist").exists() {
        assert!(err.contains("mnist from /usr/share/datasets"), "{err}");
        "mnist"
    } else {
        let line = err.lines().find(|line| line.contains("synthetic digits")).unwrap();
        assert!(line.contains("FFWD_DATA (elsewhere)"), "{err}");
        assert!(out.contains("synthetic"), "{out}");
        "digits"
    };
    let directory = format!("runs/quick-{name}-1");
    let summary = std::fs::read_to_string(place.path().join(&directory).join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((&summary["dataset"]["name"], &summary["config"]["data"]), (&name.into(), &name.into()));

    // The model remembers what it was trained on.
    let eval = run(&place, &["eval", "--model", &format!("{directory}/model.safetensors"), "--json"]);
    assert!(!message(&eval, 0).contains("note"));
    assert_eq!(json(&eval)["dataset"]["sha256"], summary["dataset"]["sha256"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_after_the_running_step_and_keeps_the_run() {
    let place = workplace();
    let mut command = program(place.path());
    command.args(small(&["--epochs", "1000000", "--json", "--out", "run"])).stdout(Stdio::piped());
    let child = command.stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("epoch 2/") {
        line.clear();
        assert!(progress.read_line(&mut line).unwrap() > 0, "it ended by itself");
    }
    send(libc::SIGINT, &child);
    let drain = std::thread::spawn(move || progress.lines().for_each(drop));
    let output = child.wait_with_output().unwrap();
    drain.join().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["interrupted"], true);
    assert!(summary["test_accuracy"].is_f64() && summary["epochs"].as_array().unwrap().len() >= 2);
    let files: Vec<PathBuf> =
        ["summary.json", "model.safetensors"].map(|name| place.path().join("run").join(name)).into();
    assert!(files.iter().all(|file| file.exists()));
}
