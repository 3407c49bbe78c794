//! What happens around the program while it runs: files that change under it, names that are no text, terminals.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cli::workplace;
use crate::program;
#[cfg(unix)]
use crate::resume::send;
use crate::resume::{RUNS, complaint, result, resume, succeeded, train, wait_for};
use serde_json::Value;
use tempfile::TempDir;

const IMAGES: &str = "set/train-images-idx3-ubyte";

/// Starts a long run, and does something after the second epoch; the exit code and what it said.
fn disturbed(place: &TempDir, disturb: impl FnOnce(&TempDir)) -> (Option<i32>, String) {
    let said = place.path().join("said");
    let mut command = train(place, RUNS[0], "run", &["--epochs", "100000", "--inner-steps", "1"]);
    let stderr = std::fs::File::create(&said).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let text = || std::fs::read_to_string(&said).unwrap();
    while !text().contains("epoch 2/") {
        assert!(child.try_wait().unwrap().is_none(), "{}", text());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    disturb(place);
    (child.wait().unwrap().code(), text())
}

#[test]
#[cfg(target_os = "linux")]
fn a_mapped_file_that_is_cut_off_is_named_and_the_run_goes_on_with_a_whole_one() {
    let place = workplace();
    let whole = std::fs::read(place.path().join(IMAGES)).unwrap();
    let cut_off = |place: &TempDir| {
        OpenOptions::new().write(true).open(place.path().join(IMAGES)).unwrap().set_len(0).unwrap();
    };
    // An epoch may have read what it needs, and the run then ends where it looks at the file.
    let is_cut_off = |_| {
        std::fs::write(place.path().join(IMAGES), &whole).unwrap();
        let _ = std::fs::remove_dir_all(place.path().join("run"));
        let (code, said) = disturbed(&place, cut_off);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        let [error] = errors[..] else { panic!("one line: {said}") };
        let seen = error.contains("cut off");
        assert!(error.contains(IMAGES) && (seen || error.contains("found it changed")), "{said}");
        assert_eq!(code, Some(1));
        seen
    };
    assert!((0..20).any(is_cut_off), "a read of what is no longer there");

    let said = complaint(resume(&place, "run", &[]));
    assert!(said.contains(IMAGES) && said.contains("header truncated"), "{said}");
    std::fs::write(place.path().join(IMAGES), whole).unwrap();
    let mut command = resume(&place, "run", &["--epochs", "100000"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(wait_for(&mut child, "epoch "));
    send(libc::SIGTERM, &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// Bytes of an image of the small set.
const PIXELS: usize = 56;

#[test]
#[cfg(not(feature = "mpi"))]
fn several_processes_are_refused_by_a_build_that_cannot_join_them() {
    let place = workplace();
    let mut command = train(&place, RUNS[0], "none", &[]);
    command.env("OMPI_COMM_WORLD_SIZE", "4");
    let said = complaint(command);
    assert!(said.contains("4 processes started together") && said.contains("--features mpi"), "{said}");
}

#[test]
fn a_data_set_in_shards_trains_the_same_weights() {
    let place = workplace();
    let whole = train(&place, RUNS[1], "whole", &["--epochs", "2"]).output().unwrap();
    succeeded(&whole);
    let images = std::fs::read(place.path().join(IMAGES)).unwrap().split_off(16);
    std::fs::remove_file(place.path().join(IMAGES)).unwrap();
    for (number, shard) in images.chunks(100 * PIXELS).enumerate() {
        let name = format!("set/train-images-{number:05}-of-00003-idx3-ubyte");
        ffwd::data::idx::write_images(&place.path().join(name), 8, 7, shard).unwrap();
    }
    succeeded(&train(&place, RUNS[1], "shards", &["--epochs", "2"]).output().unwrap());
    let weights = |out: &str| result(&place, out).0["weights_sha256"].clone();
    assert_eq!(weights("shards"), weights("whole"));
}

#[test]
#[cfg(unix)]
fn a_data_file_that_is_written_to_ends_the_run_before_it_learns_more_from_it() {
    use std::os::unix::fs::FileExt;
    // In place, not as a new file; a label that is none.
    for file in [IMAGES, "set/train-labels-idx1-ubyte", "set/t10k-labels-idx1-ubyte"] {
        let place = workplace();
        let path = place.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let write = |bytes: &[u8]| OpenOptions::new().write(true).open(&path).unwrap().write_all_at(bytes, 0).unwrap();
        let (code, said) = disturbed(&place, |_| {
            let mut changed = whole.clone();
            *changed.last_mut().unwrap() = 255;
            write(&changed);
        });
        let last = said.lines().last().unwrap();
        assert!(last.contains(file) && last.contains("changed since it was opened"), "{said}");
        assert_eq!(code, Some(1));
        // What it has kept is what it had learnt before: with the old content it goes on as if nothing had happened.
        write(&whole);
        let kept = std::fs::read_to_string(place.path().join("run/metrics.jsonl")).unwrap().lines().count();
        let epochs = (kept + 3).to_string();
        let resumed = resume(&place, "run", &["--epochs", &epochs]).output().unwrap();
        succeeded(&resumed);
        let said = String::from_utf8(resumed.stderr).unwrap();
        assert!(said.contains(&format!("going on in run after epoch {kept}")), "{said}");
        succeeded(&train(&place, RUNS[0], "whole", &["--epochs", &epochs, "--inner-steps", "1"]).output().unwrap());
        assert!(result(&place, "run") == result(&place, "whole"), "{file}");
    }
}

/// A directory whose name is no UTF-8, below a workplace; `None` where the file system has no such names.
#[cfg(unix)]
fn nameless(place: &TempDir) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let path = place.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    std::fs::create_dir(&path).ok()?;
    Some(path)
}

#[test]
#[cfg(unix)]
fn a_path_that_is_no_text_works_or_is_refused_before_training() {
    let place = workplace();
    let Some(odd) = nameless(&place) else {
        println!("not run: the file system has only names in UTF-8");
        return;
    };
    let within = |arguments: &[&str]| {
        let mut command = program(place.path());
        command.current_dir(&odd).args(arguments);
        command
    };
    let options = ["--preset", "quick", "--layers", "8", "--epochs", "1", "--train-limit", "300", "--test-limit", "50"];
    // A set by its name, a run below the working directory: they never need the whole path.
    succeeded(&within(&[&options[..], &["--data", "digits", "--out", "run"]].concat()).output().unwrap());
    succeeded(&within(&["--resume", "run", "--epochs", "2"]).output().unwrap());
    succeeded(&within(&["eval", "--model", "run/model.safetensors"]).output().unwrap());
    // A set that the model could not name.
    std::fs::rename(place.path().join("set"), odd.join("set")).unwrap();
    let refused = within(&[&options[..], &["--data", "set", "--classes", "4", "--out", "other"]].concat());
    let said = complaint(refused);
    assert!(said.contains("\\xFF\\xFE/set") && said.contains("expected a path in UTF-8"), "{said}");
    assert!(!odd.join("other").exists());
    let mut named = program(place.path());
    named.arg("--data").arg(odd.join("set"));
    assert_eq!(named.output().unwrap().status.code(), Some(2), "an option that is no text");
    // What is a path and nothing else may be any.
    let mut read = program(place.path());
    read.arg("predict").arg("--model").arg(odd.join("run/model.safetensors"));
    read.arg(place.path().join("cache/ffwd/digits-v1/t10k-images-idx3-ubyte"));
    let output = read.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Names that are text, but in which every character matters, survive being stored in a model.
#[test]
fn an_odd_name_is_remembered_as_it_is() {
    let place = workplace();
    for name in ["with space", "quo\"te", "back\\slash", "emoji-\u{1f600}", "a'b", "new\nline"] {
        let Ok(()) = std::fs::create_dir(place.path().join(name)) else { continue };
        for file in std::fs::read_dir(place.path().join("set")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), place.path().join(name).join(file.file_name())).unwrap();
        }
        let mut command = program(place.path());
        command.args(["--layers", "8", "--epochs", "1", "--classes", "4", "--quiet", "--out", "run"]);
        succeeded(&command.arg("--data").arg(place.path().join(name)).output().unwrap());
        let mut eval = program(place.path());
        let output = eval.args(["eval", "--json", "--model", "run/model.safetensors"]).output().unwrap();
        succeeded(&output);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&said["dataset"]["name"], output.stderr.as_slice()), (&name.into(), &[][..]));
        std::fs::remove_dir_all(place.path().join("run")).unwrap();
    }
}

#[test]
#[cfg(unix)]
fn control_characters_of_names_do_not_reach_the_terminal() {
    let place = workplace();
    let odd = place.path().join("a\u{1b}[2J\nb");
    std::fs::rename(place.path().join("set"), &odd).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = program(place.path());
        command.args(arguments).arg("--data").arg(&odd);
        let output = command.output().unwrap();
        let written = [output.stdout, output.stderr].concat();
        assert!(!written.contains(&0x1b), "{}", String::from_utf8_lossy(&written));
        output.status.success()
    };
    let train = ["--layers", "8", "--epochs", "1", "--out", "run", "--classes"];
    assert!(!run(&[&train[..], &["2"]].concat()), "a label that is no class");
    assert!(run(&[&train[..], &["4"]].concat()));
    assert!(run(&["eval", "--model", "run/model.safetensors"]));
    std::fs::remove_file(odd.join("train-labels-idx1-ubyte")).unwrap();
    assert!(!run(&["eval", "--model", "run/model.safetensors"]));
}

/// What a command writes where its output is a terminal, and where only its errors go to one; `None` where the program
/// `script` is missing, which makes terminals.
#[cfg(target_os = "linux")]
fn under_terminal(place: &TempDir, command: &str) -> Option<[String; 2]> {
    let program = env!("CARGO_BIN_EXE_fast-train");
    let run = |line: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", line, "typescript"]).current_dir(place.path()).stdin(Stdio::null()).stdout(Stdio::null());
        script.envs(crate::program(place.path()).get_envs().filter_map(|(name, value)| Some((name, value?))));
        let status = script.status().ok()?;
        assert!(status.success(), "{line}: {status}");
        Some(())
    };
    run(&format!("'{program}' {command} 2>errors"))?;
    let on_terminal = std::fs::read_to_string(place.path().join("typescript")).unwrap();
    run(&format!("'{program}' {command} >output"))?;
    let beside_terminal = std::fs::read_to_string(place.path().join("output")).unwrap();
    Some([on_terminal, beside_terminal])
}

#[test]
#[cfg(target_os = "linux")]
fn json_under_a_terminal_is_one_object_and_nothing_else() {
    let place = workplace();
    let train = "--data set --classes 4 --layers 8 --epochs 3 --json --out none";
    let Some(outputs) = under_terminal(&place, train) else {
        println!("not run: there is no program `script`");
        return;
    };
    let mut command = program(place.path());
    succeeded(&command.args("--data set --classes 4 --layers 8 --epochs 1 --out run".split(' ')).output().unwrap());
    let eval = under_terminal(&place, "eval --json --model run/model.safetensors").unwrap();
    let images = "predict --json --model run/model.safetensors set/t10k-images-idx3-ubyte";
    let predictions = under_terminal(&place, images).unwrap();
    let info = under_terminal(&place, "info --json").unwrap();
    for output in [outputs, eval, predictions, info].into_iter().flatten() {
        // `script` frames what it has recorded in two lines.
        let output: String = output.lines().filter(|line| !line.starts_with("Script ")).collect();
        assert!(!output.contains('\u{1b}'), "control codes: {output:?}");
        assert!(serde_json::from_str::<Value>(&output).unwrap().is_object(), "{output}");
    }
}

#[test]
fn images_that_lie_flat_are_not_transposed() {
    let place = workplace();
    let flat = |name: &str| {
        let path = place.path().join("set").join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        // n x 8 x 7 becomes n x 56.
        bytes.splice(8..16, 56_u32.to_be_bytes());
        bytes[3] = 2;
        std::fs::write(path, bytes).unwrap();
    };
    let train = |more: &[&str]| {
        let mut command = program(place.path());
        command.args("--data set --classes 4 --layers 8 --epochs 1 --transpose true".split(' ')).args(more);
        command
    };
    succeeded(&train(&["--out", "run"]).output().unwrap());
    flat("t10k-images-idx3-ubyte");
    let mut predict = program(place.path());
    predict.args(["predict", "--model", "run/model.safetensors", "set/t10k-images-idx3-ubyte"]);
    let said = complaint(predict);
    assert!(said.contains("found images of one row each, expected rows and columns"), "{said}");
    flat("train-images-idx3-ubyte");
    let said = complaint(train(&["--out", "none"]));
    assert!(said.contains("found images of one row each, expected rows and columns"), "{said}");
}

#[test]
fn an_option_that_back_propagation_does_not_use_is_refused() {
    let place = workplace();
    for option in [["--peer", "0.1"], ["--negatives", "wrong"], ["--threshold", "2"]] {
        let said = complaint(train(&place, RUNS[4], "run", &option));
        assert!(said.contains(option[0]) && said.contains("back-propagation does not use it"), "{said}");
    }
}
