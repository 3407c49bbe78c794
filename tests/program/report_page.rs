//! `fast-train report`: what its page says, and the page in a browser.

use std::fs;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::browser::check_page;
use crate::cli::workplace;
use crate::program;
use crate::resume::{RUNS, complaint, succeeded, train};

/// A directory whose name would take over a page that lets it.
const HOSTILE: &str = "b\"'><img src=x onerror=\"document.title='hostile'\"><b>";

fn report(place: &TempDir, words: &[&str]) -> Output {
    program(place.path()).arg("report").args(words).output().unwrap()
}

/// The page about some runs.
fn page_of(place: &TempDir, runs: &[&str]) -> String {
    succeeded(&report(place, runs));
    fs::read_to_string(place.path().join("report.html")).unwrap()
}

fn trained(place: &TempDir, run: &str, out: &str, more: &[&str]) {
    succeeded(&train(place, run, out, more).output().unwrap());
}

#[test]
fn a_page_of_every_way_of_learning_tells_what_the_summary_tells() {
    let place = workplace();
    for (number, run) in RUNS.iter().enumerate() {
        let out = format!("run-{number}");
        // The page computes in f32, wherever it is made.
        trained(&place, run, &out, &["--epochs", "3", "--precision", "f32", "--test-limit", "50"]);
        let page = page_of(&place, &[&out]);
        let summary: Value =
            serde_json::from_slice(&fs::read(place.path().join(&out).join("summary.json")).unwrap()).unwrap();
        let (errors, tested) = (summary["test_errors"].as_u64().unwrap(), &summary["dataset"]["test"]);
        assert!(page.contains(&format!("of {tested} test images ({errors} errors)")), "{run}");
        assert!(page.contains(&format!("of {errors} mistakes on {tested} test images")), "{run}");
        let learns_by_layers = !run.contains("backprop");
        let charts = if learns_by_layers { summary["config"]["layers"].as_array().unwrap().len() } else { 0 };
        assert_eq!(page.matches(": goodness over training</figcaption>").count(), charts, "{run}");
        assert_eq!(page.matches(": goodness of test images <").count(), charts, "{run}");
        assert_eq!(page.contains("Validation error"), summary["config"]["validation"] != 0, "{run}");
    }
}

#[test]
fn several_runs_share_a_page_that_fits_every_screen_and_runs_nothing() {
    let place = workplace();
    trained(&place, RUNS[0], "a", &["--epochs", "5"]);
    trained(&place, RUNS[1], HOSTILE, &["--epochs", "12", "--seed", "3"]);
    trained(&place, RUNS[4], "c", &["--epochs", "1"]);
    let page = page_of(&place, &["a", HOSTILE, "c"]);
    assert!(page.contains("What differs") && page.contains("<td>seed</td>"));
    check_page("report-page", &page, "3 runs", 15);
}

#[test]
fn a_run_that_is_not_finished_is_shown_as_far_as_it_is() {
    let place = workplace();
    trained(&place, RUNS[0], "run", &["--epochs", "4"]);
    let file = |name: &str| place.path().join("run").join(name);
    for name in ["summary.json", "model.safetensors"] {
        fs::remove_file(file(name)).unwrap();
    }
    let metrics = fs::read_to_string(file("metrics.jsonl")).unwrap();
    let three: Vec<&str> = metrics.split_inclusive('\n').take(3).collect();
    fs::write(file("metrics.jsonl"), three.concat() + "{\"epoch\":4,\"final").unwrap();
    let page = page_of(&place, &["run"]);
    assert!(page.contains("Not finished: 3 of 4 epochs") && page.contains("the run has no model yet"));
}

#[test]
fn without_its_data_a_run_is_shown_without_images() {
    let place = workplace();
    trained(&place, RUNS[0], "run", &["--epochs", "2"]);
    fs::rename(place.path().join("set"), place.path().join("elsewhere")).unwrap();
    let output = report(&place, &["run", "-o", "page.html"]);
    succeeded(&output);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("note: run: no pictures of images: "), "{said}");
    let page = fs::read_to_string(place.path().join("page.html")).unwrap();
    assert!(page.contains("No pictures of images") && page.contains("goodness over training"));
    assert!(!page.contains("<img"));
    succeeded(&report(&place, &["run", "--data", "elsewhere"]));
    let mut mistyped = program(place.path());
    mistyped.args(["report", "run", "--data", "elswhere"]);
    assert!(complaint(mistyped).contains("elswhere"));
}

#[test]
fn runs_within_a_directory_are_shown_and_what_holds_none_is_left_out() {
    let place = workplace();
    fs::create_dir_all(place.path().join("runs/sweep/notes")).unwrap();
    fs::create_dir_all(place.path().join("runs/empty")).unwrap();
    for run in ["runs/alone", "runs/sweep/b", "runs/sweep/a"] {
        trained(&place, RUNS[0], run, &["--epochs", "1"]);
    }
    let output = report(&place, &["runs/alone", "runs/sweep", "runs/empty"]);
    succeeded(&output);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "note: runs/empty holds no run\n");
    let page = fs::read_to_string(place.path().join("report.html")).unwrap();
    let place_of = |name: &str| page.find(&format!("<p class=\"file\">{name}</p>")).unwrap();
    assert!(place_of("runs/alone") < place_of("runs/sweep/a") && place_of("runs/sweep/a") < place_of("runs/sweep/b"));
}

#[test]
fn a_run_that_goes_on_is_not_shown_with_what_it_ended_with_before() {
    let place = workplace();
    trained(&place, RUNS[0], "run", &["--epochs", "2"]);
    let metrics = place.path().join("run/metrics.jsonl");
    let lines = fs::read_to_string(&metrics).unwrap();
    let third = lines.lines().last().unwrap().replace("\"epoch\":2", "\"epoch\":3");
    fs::write(&metrics, lines + &third + "\n").unwrap();
    let page = page_of(&place, &["run"]);
    assert!(page.contains("Not finished: 3 of 2 epochs") && page.contains("that of an earlier end"));
}

#[test]
fn a_run_without_an_epoch_is_shown_as_well() {
    let place = workplace();
    trained(&place, RUNS[0], "run", &["--epochs", "1"]);
    for name in ["summary.json", "model.safetensors"] {
        fs::remove_file(place.path().join("run").join(name)).unwrap();
    }
    fs::write(place.path().join("run/metrics.jsonl"), "").unwrap();
    let page = page_of(&place, &["run"]);
    assert!(page.contains("Not finished: 0 of 1 epochs") && !page.contains("<figure>"));
}

#[test]
fn what_is_no_run_is_named() {
    let place = workplace();
    let refused = |words: &[&str]| {
        let mut command = program(place.path());
        command.arg("report").args(words);
        complaint(command)
    };
    assert!(refused(&["nowhere"]).contains("nowhere"));
    trained(&place, RUNS[0], "run", &["--epochs", "2"]);
    fs::write(place.path().join("run/metrics.jsonl"), "{}\n").unwrap();
    assert!(refused(&["run"]).contains("run/metrics.jsonl: line 1"));
    fs::remove_file(place.path().join("run/metrics.jsonl")).unwrap();
    assert!(refused(&["run"]).contains("run/metrics.jsonl"));
    assert!(!place.path().join("report.html").exists());
}
