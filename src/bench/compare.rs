//! Benchmark reports side by side: what `fast-train compare` prints.
//!
//! Reports are called A, B, C, ... in the order they were given; A is what the others are held against. Rows of two
//! reports are the same where op, shape, number format, instruction set and threads agree. A ratio is the speed by A's:
//! above 1 is faster. Only samples count: medians, rates and speed-ups are computed again, whatever a report says they
//! are.
//!
//! Data flows one way: [`read`] takes a file apart and checks it, [`rows`] matches what was measured, [`training`] and
//! [`roofline`] the rest, and [`verdict`] says what they come to; [`Comparison`] is the result, itself the JSON;
//! [`tables`] words it for [`markdown`] and [`html`].

mod check;
pub mod html;
mod interval;
mod labels;
pub mod markdown;
mod microarchitecture;
mod notes;
pub mod read;
pub mod roofline;
pub mod rows;
mod slower;
pub mod tables;
mod text;
pub mod training;
pub mod verdict;

pub use labels::letter;

use std::path::PathBuf;

use serde::Serialize;

use crate::bench::report::{Build, Circumstances, Report, System};

/// The name and version of the comparison as JSON.
pub const SCHEMA: &str = "ffwd/comparison/v1";

/// A report and the file it was read from.
#[derive(Clone, Debug)]
pub struct ReportFile {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub report: Report,
}

/// Everything that two or more reports say about each other.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The reports, in the order they were given.
    pub reports: Vec<Heading>,
    /// Which is faster, and why, for each report after the first.
    pub verdicts: Vec<verdict::Verdict>,
    /// What stands in the way of comparing whole reports.
    pub notes: Vec<Note>,
    /// The machines' limits, matched by op, number format, instruction set and threads.
    pub peaks: Vec<rows::Row>,
    /// The fastest of each report for every op, shape and number format, on whichever instruction set and threads.
    pub best: Vec<rows::Row>,
    /// The kernels, matched by op, shape, number format, instruction set and threads.
    pub kernels: Vec<rows::Row>,
    /// Inner steps on 1, 2, ... threads, matched like kernels.
    pub scaling: Vec<rows::Row>,
    /// Outer epochs and prediction.
    pub training: Vec<training::TrainingRow>,
    /// Each report's limits and how close its kernels come.
    pub rooflines: Vec<roofline::Roofline>,
}

/// A report as a whole.
#[derive(Debug, Serialize)]
pub struct Heading {
    /// What it is called in tables and charts: `A`, `B`, ...
    pub letter: String,
    /// CPU and instruction set, with the file where that does not tell two reports apart.
    pub label: String,
    /// The file.
    pub path: String,
    /// The machine.
    pub system: System,
    /// The program.
    pub build: Build,
    /// The circumstances.
    pub run: Circumstances,
    /// How many samples were disturbed, of how many; null where the report does not tell.
    pub disturbed: Option<(usize, usize)>,
    /// The same of outer epochs.
    pub epochs_disturbed: Option<(usize, usize)>,
    /// Kernels of which every sample was disturbed.
    pub kernels_without_quiet: usize,
    /// How many cores' worth of multiply-adds all threads do together.
    pub cores_worth: Option<f64>,
}

/// A remark on one report.
#[derive(Debug, PartialEq, Serialize)]
pub struct Note {
    /// The report's letter.
    pub report: String,
    /// The remark.
    pub text: String,
}

impl Comparison {
    /// Compares `files` with the first of them.
    ///
    /// # Panics
    ///
    /// `files` is empty.
    pub fn new(files: &[ReportFile]) -> Self {
        assert!(!files.is_empty(), "a report to compare with");
        let reports: Vec<&Report> = files.iter().map(|file| &file.report).collect();
        let kernels = rows::kernels(&reports);
        let mut comparison = Self {
            schema: SCHEMA,
            reports: labels::headings(files),
            verdicts: Vec::new(),
            notes: notes::all(&reports, &kernels),
            peaks: rows::peaks(&reports),
            best: rows::best(&reports),
            kernels,
            scaling: rows::scaling(&reports),
            training: training::rows(&reports),
            rooflines: reports.iter().map(|report| roofline::Roofline::new(report)).collect(),
        };
        comparison.verdicts = verdict::all(&comparison);
        comparison
    }

    /// The kernels whose whole interval lies more than `percent` above the whole interval of A's, one line for each.
    pub fn slower_than(&self, percent: f64) -> Vec<String> {
        slower::kernels(self, percent)
    }

    /// The reports, A apart, that share no comparable kernel with A: of these nothing can be said to be slower.
    pub fn without_common_kernels(&self) -> Vec<&Heading> {
        slower::unjudged(self)
    }
}
