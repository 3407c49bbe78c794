//! Pictures of a run.

use std::process::Output;

use crate::cli::workplace;
use crate::program;
use crate::resume::{RUNS, succeeded, train};
use tempfile::TempDir;

const KINDS: [&str; 5] = ["samples", "negatives", "weights", "goodness", "mistakes"];

fn show(place: &TempDir, words: &[&str]) -> Output {
    program(place.path()).arg("show").args(words).output().unwrap()
}

#[test]
fn every_picture_of_every_way_of_learning_is_drawn() {
    let place = workplace();
    for (number, run) in RUNS.iter().enumerate() {
        let out = format!("run-{number}");
        succeeded(&train(&place, run, &out, &["--epochs", "2"]).output().unwrap());
        for kind in KINDS {
            let shown = show(&place, &[kind, "--run", &out]);
            if ["negatives", "goodness"].contains(&kind) && run.contains("backprop") {
                let said = String::from_utf8(shown.stderr).unwrap();
                assert!(shown.status.code() == Some(2) && said.contains("back-propagation"), "{said}");
                continue;
            }
            succeeded(&shown);
            let svg = std::fs::read_to_string(place.path().join(&out).join(format!("show-{kind}.svg"))).unwrap();
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{kind} of {run}");
            let images = svg.matches("<image ").count();
            let expected = match kind {
                "samples" => 24,
                "negatives" => 8 * 3,
                "weights" => 24,
                "goodness" => 0,
                // As many as the title says.
                _ => svg.split_once("mistakes on").map_or(images + 1, |(title, _)| {
                    title.rsplit_once('>').unwrap().1.split(' ').next().unwrap().parse().unwrap()
                }),
            };
            assert_eq!(images, expected, "{kind} of {run}");
        }
    }
}

#[test]
fn a_picture_has_the_form_that_its_name_asks_for() {
    let place = workplace();
    succeeded(&train(&place, RUNS[0], "run", &["--epochs", "1"]).output().unwrap());
    succeeded(&show(&place, &["weights", "--run", "run", "-o", "weights.png"]));
    assert!(std::fs::read(place.path().join("weights.png")).unwrap().starts_with(b"\x89PNG"));
    for (kind, name, expected) in [("weights", "weights.jpg", ".svg or .png"), ("goodness", "goodness.png", ".svg")] {
        let refused = show(&place, &[kind, "--run", "run", "-o", name]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && said.contains(name) && said.contains(expected), "{said}");
    }
    let missing = show(&place, &["weights", "--run", "nowhere"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("nowhere/model.safetensors"));
}
