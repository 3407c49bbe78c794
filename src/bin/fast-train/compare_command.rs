//! `fast-train compare`: reports side by side, and a verdict on what became slower.

use std::process::ExitCode;

use anyhow::{Context, Result};
use ffwd::bench::compare::{Comparison, html, markdown, read};

use crate::arguments::{CompareArguments, ComparisonForm};
use crate::{print, say};

const SLOWER: u8 = 3;

/// Prints the comparison; ends with [`SLOWER`] where a kernel is slower than `--fail-over` allows.
pub fn run(arguments: &CompareArguments) -> Result<ExitCode> {
    let files = arguments.reports.iter().map(|path| read::read(path)).collect::<ffwd::Result<Vec<_>>>()?;
    let comparison = Comparison::new(&files);
    let page = match arguments.output {
        ComparisonForm::Md => markdown::page(&comparison),
        ComparisonForm::Html => html::page(&comparison),
        ComparisonForm::Json => serde_json::to_string(&comparison).context("writing the comparison as JSON")?,
    };
    print(page.trim_end())?;
    Ok(arguments.fail_over.map_or(ExitCode::SUCCESS, |percent| verdict(&comparison, percent)))
}

/// Names what is slower by more than `percent`, and the reports of which nothing can be said.
fn verdict(comparison: &Comparison, percent: f64) -> ExitCode {
    for report in comparison.without_common_kernels() {
        say(format!("note: {} shares no kernel with A, so that none was judged", report.letter));
    }
    let slower = comparison.slower_than(percent);
    for kernel in &slower {
        say(format!("slower: {kernel}"));
    }
    if slower.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SLOWER) }
}
