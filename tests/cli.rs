//! The program from outside: what it prints, which files it writes, how it ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ffwd::data::idx;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;

const TRAIN: usize = 240;
const TEST: usize = 60;

/// A working directory with a small data set `data` of 8 x 7 images in four classes: bars at a place of their own.
fn workplace() -> TempDir {
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

/// The program in `place`, with a cache of its own, no data of the user's and no network.
fn program(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fast-train"));
    let cache = place.join("cache");
    command.current_dir(place).env("XDG_CACHE_HOME", cache).env_remove("FFWD_DATA");
    for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(variable, "http://127.0.0.1:9");
    }
    command
}

fn run(place: &TempDir, arguments: &[&str]) -> Output {
    program(place.path()).args(arguments).output().unwrap()
}

const SMALL: [&str; 10] =
    ["--data", "set", "--classes", "4", "--layers", "24,12", "--epochs", "4", "--inner-steps", "20"];

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
    assert_eq!((&summary["precision"], &summary["backend"]), (&"f32".into(), &"fused".into()));
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
    assert!(read("config.toml").contains("inner_steps = 20"));
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
    for (arguments, word) in [
        (vec!["--epochs", "x"], "--epochs"),
        (vec!["--layers", "0"], "layers"),
        (vec!["--lr=-1"], "lr"),
        (vec!["--backend", "gpu"], "--backend"),
        (vec!["--data", "no-such-set"], "no-such-set"),
        (vec!["--config", "bad.toml"], "bad.toml"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["data", "fetch", "digits"], "digits"),
    ] {
        assert!(message(&run(&place, &arguments), 2).contains(word), "{arguments:?}");
    }
    let isa = program(place.path()).args(SMALL).env("FFWD_ISA", "mmx").output().unwrap();
    assert!(message(&isa, 2).contains("FFWD_ISA"));
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
        assert!(message(&run(&place, &arguments), 1).contains(word), "{arguments:?}");
    }
    json(&run(&place, &small(&["--json", "--out", "run", "--epochs", "1"])));
    let images = run(&place, &["predict", "--model", "run/model.safetensors", "broken.idx"]);
    assert!(message(&images, 1).contains("broken.idx"));
}

#[test]
fn info_names_an_instruction_set_that_is_usable() {
    let place = workplace();
    let info = json(&run(&place, &["info", "--json"]));
    let usable = info["isa"]["usable"].as_array().unwrap();
    assert!(usable.contains(&info["isa"]["selected"]));
    assert!(run(&place, &["info"]).status.success());
}

#[test]
fn data_list_shows_every_set_and_place() {
    let place = workplace();
    let listing = String::from_utf8(run(&place, &["data", "list"]).stdout).unwrap();
    for word in ["mnist", "fashion-mnist", "digits", "/usr/share/datasets"] {
        assert!(listing.contains(word), "{listing}");
    }
}

/// With no data and no network the program says so, draws its own digits and trains on them.
#[test]
fn without_data_and_network_it_trains_on_synthetic_digits() {
    if Path::new("/usr/share/datasets/mnist").exists() {
        eprintln!("not run: this machine has MNIST in a place of the system");
        return;
    }
    let place = TempDir::new().unwrap();
    let output = run(&place, &["--epochs", "1", "--inner-steps", "2", "--layers", "16", "--test-limit", "200"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(
        err.contains("synthetic digits") && out.contains("Test accuracy") && out.contains("synthetic"),
        "{out}{err}"
    );
    assert!(place.path().join("runs/keras-digits-1/summary.json").exists());
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
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
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
