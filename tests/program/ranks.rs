//! The program under `mpirun`: several ranks come to what one comes to, start and end together, and lose nothing.
//!
//! `MPIRUN` names another launcher than Open MPI's, with its options: `MPIRUN="mpirun.mpich -bind-to none"`.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cli::workplace;
use crate::program;
use crate::resume::{RUNS, result, resume, send, succeeded, train, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(600);

/// More epochs than a run completes before a signal reaches its ranks.
const MANY_EPOCHS: [&str; 2] = ["--epochs", "400"];

/// Open MPI's launcher kills ranks a second after it has told them to stop, which this variable makes longer; it always
/// waits as long.
const KILLED_AFTER: (&str, &str) = ("OMPI_MCA_odls_base_sigkill_timeout", "5");

/// The launcher with its options: these tests start more ranks than there are cores, as root in a container.
fn launcher() -> Command {
    let words = std::env::var("MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe --bind-to none".to_owned());
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command
}

/// `command` as each of `count` ranks.
fn on_ranks(count: usize, command: &Command) -> Command {
    let mut on_ranks = launcher();
    on_ranks.args(["-n", &count.to_string()]).arg(command.get_program()).args(command.get_args());
    in_place_of(&mut on_ranks, command);
    on_ranks
}

/// Gives `launched` the directory and the environment of `command`.
fn in_place_of(launched: &mut Command, command: &Command) {
    launched.current_dir(command.get_current_dir().unwrap());
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => launched.env(variable, value),
            None => launched.env_remove(variable),
        };
    }
}

/// What a run came to, but for what ranks may change: nothing that is trained.
fn result_of_ranks(place: &TempDir, out: &str) -> (Value, Vec<Value>) {
    let (mut summary, mut epochs) = result(place, out);
    for field in ["ranks", "comm_seconds"] {
        summary.as_object_mut().unwrap().remove(field);
    }
    let of_summary = summary["epochs"].as_array_mut().unwrap();
    of_summary
        .iter_mut()
        .chain(&mut epochs)
        .for_each(|epoch| _ = epoch.as_object_mut().unwrap().remove("comm_seconds"));
    (summary, epochs)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What ranks that refuse say: one line that is an error, whatever the launcher adds.
fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    let said = text(&output.stderr);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors[..] else { panic!("one line is the error: {said}") };
    error.to_owned()
}

/// Waits for the end of a job, which may not take for ever.
fn end_of(mut job: Child) -> Output {
    let start = Instant::now();
    while job.try_wait().unwrap().is_none() {
        if start.elapsed() > LONG {
            job.kill().unwrap();
            panic!("the job hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    job.wait_with_output().unwrap()
}

/// What a job comes to; it writes less than a pipe holds.
fn output(mut command: Command) -> Output {
    end_of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn any_number_of_ranks_and_threads_comes_to_the_same() {
    let place = workplace();
    // Batches of more than one part, and sums that travel in slices.
    let larger = "--preset keras --layers 150,60 --inner-steps 3 --precision f32";
    for (number, run) in RUNS.into_iter().chain([larger]).enumerate() {
        let run = &run.replace("--batch 50", "--batch 150");
        let alone = format!("alone-{number}");
        succeeded(&train(&place, run, &alone, &["--epochs", "3"]).output().unwrap());
        let alone = result_of_ranks(&place, &alone);
        for (ranks, threads) in [(1, 2), (2, 1), (2, 2), (3, 1), (4, 1), (4, 2)] {
            let out = format!("{number}-{ranks}-{threads}");
            let command = train(&place, run, &out, &["--epochs", "3", "--threads", &threads.to_string()]);
            let output = output(on_ranks(ranks, &command));
            succeeded(&output);
            let said = text(&output.stderr);
            assert_eq!(said.lines().filter(|line| line.starts_with("epoch ")).count(), 3, "one line an epoch: {said}");
            assert!(result_of_ranks(&place, &out) == alone, "{run} on {ranks} ranks of {threads} threads");
        }
    }
}

#[test]
fn a_run_that_is_interrupted_goes_on_with_another_number_of_ranks() {
    let place = workplace();
    for (run, signal) in [(RUNS[0], libc::SIGINT), (RUNS[2], libc::SIGTERM)] {
        let whole = format!("whole{signal}");
        succeeded(&train(&place, run, &whole, &MANY_EPOCHS).output().unwrap());
        let stopped = format!("stopped{signal}");
        let mut command = on_ranks(3, &train(&place, run, &stopped, &[&MANY_EPOCHS[..], &["--threads", "1"]].concat()));
        command.envs([KILLED_AFTER]);
        let mut job = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        assert!(wait_for(&mut job, "epoch 3/"));
        send(signal, &job);
        assert!(!end_of(job).status.success());
        let stored = place.path().join(&stopped).join("checkpoint.safetensors");
        assert!(stored.exists(), "signal {signal}: a checkpoint is written");
        assert!(!place.path().join(format!("{stopped}-2")).exists(), "one directory");
        succeeded(&output(on_ranks(2, &resume(&place, &stopped, &[]))));
        assert!(result_of_ranks(&place, &stopped) == result_of_ranks(&place, &whole), "{run}");
    }
}

/// The processes of the job that are ranks.
#[cfg(target_os = "linux")]
fn ranks_of(place: &Path) -> Vec<String> {
    let name = |process: &Path| std::fs::read_link(process.join("exe")).unwrap_or_default();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let here = |process: &std::path::PathBuf| {
        name(process).ends_with("fast-train") && std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == place)
    };
    let number = |process: std::path::PathBuf| process.file_name().unwrap().to_string_lossy().into_owned();
    processes.filter(here).map(number).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_that_dies_ends_the_job_and_the_run_goes_on_from_the_checkpoint() {
    let place = workplace();
    succeeded(&train(&place, RUNS[1], "whole", &MANY_EPOCHS).output().unwrap());
    let mut command = on_ranks(3, &train(&place, RUNS[1], "killed", &[&MANY_EPOCHS[..], &["--threads", "1"]].concat()));
    command.envs([KILLED_AFTER]);
    let said = place.path().join("said");
    let file = std::fs::File::create(&said).unwrap();
    let mut job = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let start = Instant::now();
    while !std::fs::read_to_string(&said).unwrap().contains("epoch 3/") {
        assert!(job.try_wait().unwrap().is_none() && start.elapsed() < LONG, "{said:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let ranks = ranks_of(&place.path().canonicalize().unwrap());
    assert_eq!(ranks.len(), 3);
    assert!(Command::new("kill").args(["-KILL", &ranks[1]]).status().unwrap().success());
    assert!(!end_of(job).status.success(), "the launcher says that something went wrong");
    let said = std::fs::read_to_string(&said).unwrap();
    assert!(said.to_lowercase().contains("killed"), "the launcher names the rank: {said}");
    // MPICH's launcher kills the others at once.
    let version = launcher().arg("--version").output().unwrap();
    let is_told = text(&version.stdout).contains("Open MPI");
    assert!(!is_told || said.contains("--resume killed"), "rank 0 names the checkpoint: {said}");
    let end = Instant::now();
    while !ranks_of(&place.path().canonicalize().unwrap()).is_empty() {
        assert!(end.elapsed() < LONG, "a rank is left behind");
        std::thread::sleep(Duration::from_millis(5));
    }
    succeeded(&output(on_ranks(2, &resume(&place, "killed", &[]))));
    assert!(result_of_ranks(&place, "killed") == result_of_ranks(&place, "whole"));
}

/// Two ranks with different options.
fn different_ranks(place: &TempDir, first: &[&str], second: &[&str]) -> Command {
    let of = |more: &[&str]| train(place, RUNS[0], "none", more);
    let mut command = launcher();
    for (number, rank) in [of(first), of(second)].iter().enumerate() {
        if number > 0 {
            command.arg(":");
        }
        command.args(["-n", "1"]).arg(rank.get_program()).args(rank.get_args());
    }
    in_place_of(&mut command, &of(&[]));
    command
}

/// What two ranks with different options come to.
fn different(place: &TempDir, first: &[&str], second: &[&str]) -> Output {
    output(different_ranks(place, first, second))
}

#[test]
fn ranks_that_differ_are_refused_by_the_field() {
    let place = workplace();
    let said = complaint(&different(&place, &[], &["--lr", "0.5"]));
    assert!(said.contains("rank 1: lr: found 0.5, expected ") && said.contains("as on rank 0"), "{said}");
    let images = |directory: &str| place.path().join(directory).join("train-images-idx3-ubyte");
    std::fs::create_dir(place.path().join("other")).unwrap();
    for file in std::fs::read_dir(place.path().join("set")).unwrap().flatten() {
        std::fs::copy(file.path(), place.path().join("other").join(file.file_name())).unwrap();
    }
    succeeded(&different(&place, &["--epochs", "1"], &["--epochs", "1", "--data", "other"]));
    // The first image is the other rank's, the last is this one's; both may train on either.
    let sound = std::fs::read(images("other")).unwrap();
    for byte in [20, sound.len() - 1] {
        let mut bytes = sound.clone();
        bytes[byte] ^= 1;
        std::fs::write(images("other"), bytes).unwrap();
        let said = complaint(&different(&place, &[], &["--data", "other"]));
        assert!(said.starts_with("error: rank 1: --data: found "), "{said}");
        assert!(said.contains("the same files on every rank"), "{said}");
    }
}

#[test]
fn a_file_that_changes_under_one_rank_ends_all() {
    let place = workplace();
    std::fs::create_dir(place.path().join("other")).unwrap();
    for file in std::fs::read_dir(place.path().join("set")).unwrap().flatten() {
        std::fs::copy(file.path(), place.path().join("other").join(file.file_name())).unwrap();
    }
    let long = ["--epochs", "100000", "--inner-steps", "1"];
    let mut command = different_ranks(&place, &long, &[&long[..], &["--data", "other"]].concat());
    let mut job = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(wait_for(&mut job, "epoch 2/"));
    let labels = place.path().join("other/train-labels-idx1-ubyte");
    std::fs::OpenOptions::new().append(true).open(labels).unwrap().set_len(3).unwrap();
    assert_eq!(end_of(job).status.code(), Some(1));
}

#[test]
fn one_rank_is_a_process_by_itself() {
    let place = workplace();
    let wrong = output(on_ranks(1, &train(&place, RUNS[0], "none", &["--data", "nowhere"])));
    let alone = train(&place, RUNS[0], "none", &["--data", "nowhere"]).output().unwrap();
    assert_eq!((complaint(&wrong), wrong.status.code()), (complaint(&alone), alone.status.code()));
}

#[test]
fn what_is_wrong_is_said_once() {
    let place = workplace();
    let wrong = |more: &[&str]| output(on_ranks(3, &train(&place, RUNS[0], "none", more)));
    assert!(complaint(&wrong(&["--data", "nowhere"])).contains("nowhere"));
    assert!(complaint(&wrong(&["--backend", "reference"])).contains("3 processes share each batch"));
    assert!(complaint(&wrong(&["--lr", "1e30", "--precision", "f32"])).contains("try a smaller --lr"));
    assert!(complaint(&different(&place, &[], &["--data", "nowhere"])).contains("rank 1: "));
    let output = train(&place, RUNS[0], "none", &["--validation", "100000"]).output().unwrap();
    assert_eq!(complaint(&wrong(&["--validation", "100000"])), complaint(&output), "as without ranks");
}

#[test]
fn evaluation_and_prediction_are_shared() {
    let place = workplace();
    succeeded(&train(&place, RUNS[1], "run", &["--epochs", "3"]).output().unwrap());
    for words in [
        "eval --model run/model.safetensors --data set --json",
        "predict --model run/model.safetensors set/t10k-images-idx3-ubyte",
    ] {
        let mut command = program(place.path());
        command.args(words.split(' '));
        let alone = command.output().unwrap();
        let together = output(on_ranks(3, &command));
        succeeded(&together);
        assert_eq!(text(&together.stdout), text(&alone.stdout), "{words}");
    }
}
