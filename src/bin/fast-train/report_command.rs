//! `fast-train report`: one page about one run or several, finished or not. A directory that is no run stands for the
//! runs within it, as a sweep leaves them.
//!
//! What happened in each epoch comes from the run's metrics (`recorded`); what the network makes of images is computed
//! anew from its model and its data set (`pictures`), and left out with the reason where one of them is missing.

mod charts;
mod images;
mod recorded;
mod sections;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use ffwd::{Error, files, page};

use crate::arguments::ReportArguments;
use crate::pictures::Shown;
use crate::run_directory::CONFIG;
use crate::{print, say};
use images::Images;
use recorded::Recorded;

/// A run, and what its network makes of images or why that is missing.
struct Run {
    recorded: Recorded,
    images: Result<Images, String>,
}

pub fn run(arguments: &ReportArguments) -> Result<ExitCode> {
    let mut recorded = Vec::new();
    for path in &arguments.runs {
        let within = runs_within(path);
        if within.is_empty() {
            say(format!("note: {} holds no run", path.display()));
        }
        recorded.extend(within.iter().map(|path| Recorded::read(path)).collect::<Result<Vec<_>>>()?);
    }
    if recorded.is_empty() {
        let expected = format!("the directory of a run, with {CONFIG}, or of several");
        return Err(Error::config("RUN_DIR", arguments.runs[0].display(), expected).into());
    }
    let with_images = |recorded| with_images(recorded, arguments.data.as_deref());
    let runs: Vec<Run> = recorded.into_iter().map(with_images).collect::<Result<_>>()?;
    let title = match &runs[..] {
        [run] => format!("Run {}", run.recorded.name),
        runs => format!("{} runs", runs.len()),
    };
    let page = page::document(&title, "ffwd training", &sections::all(&runs), "report");
    let output = &arguments.output;
    files::write_atomically(output, |file| file.write_all(page.as_bytes()).map_err(Error::io(output, "write")))?;
    print(format!("Written to {}", output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The run in a directory, or those in the directories within it, by their names.
fn runs_within(path: &Path) -> Vec<PathBuf> {
    let is_run = |path: &Path| path.join(CONFIG).exists();
    if is_run(path) {
        return vec![path.to_path_buf()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut within: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_run(path)).collect();
    within.sort();
    within
}

/// Asks the run's network about images, where it has one and they can be had.
///
/// # Errors
///
/// A data set that the user named and that cannot be had, or is of images of another size.
fn with_images(recorded: Recorded, data: Option<&str>) -> Result<Run> {
    let images = match recorded.without_model() {
        Some(reason) => Err(reason.to_owned()),
        None => match Shown::open(&recorded.path, data).and_then(|shown| Images::of(&shown)) {
            Err(error) if data.is_some() => return Err(error),
            images => images.map_err(|error| format!("{error:#}")),
        },
    };
    if let Err(reason) = &images {
        say(format!("note: {}: no pictures of images: {reason}", recorded.path.display()));
    }
    Ok(Run { recorded, images })
}
