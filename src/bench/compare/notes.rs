//! What stands in the way of comparing whole reports: how they were built and run, and rows that not all of them have.

use super::Note;
use super::labels::letter;
use super::rows::Row;
use super::text::count;
use crate::bench::report::Report;

/// The remarks on each report.
pub fn all(reports: &[&Report], kernels: &[Row]) -> Vec<Note> {
    let of = |(index, report): (usize, &&Report)| {
        let mut texts = on_its_own(report);
        if index > 0 {
            texts.extend(beside(report, reports[0]));
            texts.extend(rows_apart(kernels, index));
        }
        texts.into_iter().map(move |text| Note { report: letter(index), text })
    };
    reports.iter().enumerate().flat_map(of).collect()
}

fn on_its_own(report: &Report) -> Vec<String> {
    let mut texts = Vec::new();
    if report.build.profile == "debug" {
        texts.push("a debug build: its rates are not comparable with those of a release".to_owned());
    }
    texts
}

fn beside(report: &Report, first: &Report) -> Vec<String> {
    let kind = |quick| if quick { "a quick run" } else { "a full run" };
    let mut texts = Vec::new();
    if report.run.quick != first.run.quick {
        let (this, that) = (kind(report.run.quick), kind(first.run.quick));
        texts.push(format!("{this}, A is {that}: shapes and numbers of samples differ"));
    }
    if report.run.seed != first.run.seed {
        let (this, that) = (report.run.seed, first.run.seed);
        texts.push(format!("seed {this}, A has {that}: operands and weights differ, training is not comparable"));
    }
    texts
}

/// How many kernels only one of the first report and the one at `index` has.
fn rows_apart(kernels: &[Row], index: usize) -> Option<String> {
    let has = |row: &Row, index: usize| row.cells[index].is_some();
    let number =
        |here: bool, there: bool| kernels.iter().filter(|row| has(row, index) == here && has(row, 0) == there).count();
    let (shared, lacks, adds) = (number(true, true), number(false, true), number(true, false));
    match (shared, lacks, adds) {
        (_, 0, 0) => None,
        (0, ..) => Some("shares no kernel with A: instruction set, threads, shapes or names differ throughout".into()),
        _ => Some(format!("{} in common with A, {lacks} only in A, {adds} not in A", count(shared, "kernel"))),
    }
}
