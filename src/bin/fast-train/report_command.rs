//! `fast-train report`: one page about one run or several, finished or not.
//!
//! What happened in each epoch comes from the run's metrics (`recorded`); what the network makes of images is computed
//! anew from its model and its data set (`pictures`), and left out with the reason where one of them is missing.

mod charts;
mod images;
mod recorded;
mod sections;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use ffwd::{Error, files, page};

use crate::arguments::ReportArguments;
use crate::pictures::Shown;
use crate::{print, say};
use images::Images;
use recorded::Recorded;

/// A run, and what its network makes of images or why that is missing.
struct Run {
    recorded: Recorded,
    images: Result<Images, String>,
}

pub fn run(arguments: &ReportArguments) -> Result<ExitCode> {
    let recorded: Vec<Recorded> = arguments.runs.iter().map(|path| Recorded::read(path)).collect::<Result<_>>()?;
    let runs: Vec<Run> =
        recorded.into_iter().map(|recorded| with_images(recorded, arguments.data.as_deref())).collect();
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

/// Asks the run's network about images, where it has one and they can be had.
fn with_images(recorded: Recorded, data: Option<&str>) -> Run {
    let images = match recorded.has_model() {
        true => Shown::open(&recorded.path, data).and_then(|shown| Images::of(&shown)),
        false => Err(anyhow::anyhow!("the run has no model yet")),
    };
    let images = images.map_err(|reason| {
        let reason = format!("{reason:#}");
        say(format!("note: {}: no pictures of images: {reason}", recorded.path.display()));
        reason
    });
    Run { recorded, images }
}
