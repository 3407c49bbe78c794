//! Which machine is the faster one, by how much, and why, as far as the reports show it: what a comparison begins with.
//!
//! Kernels are held against each other by the fastest of each report, whatever its instruction set and threads, so that
//! a machine is not judged by what it lacks.

use serde::Serialize;

use super::roofline::Roofline;
use super::rows::{Cell, Row};
use super::text::{count, number};
use super::training::TrainingRow;
use super::{Comparison, Heading};

/// Smaller differences of two peaks explain nothing: they are what two reports of one machine differ by.
const NOTEWORTHY: f64 = 1.05;

/// What one report is to the first.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The report's letter.
    pub report: String,
    /// How many times as fast as A, kind by kind; kinds that the two do not share are left out.
    pub speeds: Vec<Speed>,
    /// What of the machines may explain it, in words.
    pub reasons: Vec<String>,
    /// How disturbed the measurements of both were, in words; nothing of a report that does not tell.
    pub disturbed: Vec<String>,
}

/// How many times as fast as A a report is in one kind of work.
#[derive(Debug, Serialize)]
pub struct Speed {
    /// The kind, in words.
    pub of: &'static str,
    /// The geometric mean of the ratios.
    pub ratio: f64,
    /// Its low end: for kernels, were every median at the unfavourable end of its 95% interval; for training, the
    /// smallest ratio.
    pub low: f64,
    /// Its high end, likewise.
    pub high: f64,
    /// Rows that both reports have.
    pub rows: usize,
}

/// The verdict on each report after the first.
pub fn all(comparison: &Comparison) -> Vec<Verdict> {
    let others = comparison.reports.iter().enumerate().skip(1);
    others.map(|(index, heading)| verdict(comparison, index, heading)).collect()
}

fn verdict(comparison: &Comparison, index: usize, heading: &Heading) -> Verdict {
    let of_kind = |of, is_of_kind: fn(&Row) -> bool| {
        let rows = comparison.best.iter().filter(|row| is_of_kind(row));
        speed(of, &rows.filter_map(|row| kernel(row, index)).collect::<Vec<_>>())
    };
    let trained = comparison.training.iter().filter(|row| row.report == heading.letter);
    let training: Vec<[f64; 3]> = trained.filter_map(epoch).collect();
    let (least, most) = training.iter().fold((f64::INFINITY, 0.0_f64), |(l, m), [_, r, _]| (l.min(*r), m.max(*r)));
    let of_training = speed("training", &training).map(|speed| Speed { low: least, high: most, ..speed });
    let speeds = [
        of_training,
        of_kind("dense products", is_product),
        of_kind("kernels of layers", |row| row.unit == "GFLOP/s" && !is_product(row)),
        of_kind("memory-bound kernels", |row| row.unit == "GB/s"),
    ];
    Verdict {
        report: heading.letter.clone(),
        speeds: speeds.into_iter().flatten().collect(),
        reasons: reasons(comparison, index),
        disturbed: [&comparison.reports[0], heading].into_iter().filter_map(disturbed).collect(),
    }
}

fn is_product(row: &Row) -> bool {
    row.op.starts_with("gemm/")
}

/// The ratio of a kernel of ours, between the least and the most that its intervals allow.
fn kernel(row: &Row, index: usize) -> Option<[f64; 3]> {
    let (first, cell): (&Cell, &Cell) = (row.cells[0].as_ref()?, row.cells[index].as_ref()?);
    let ratio = cell.ratio.filter(|_| cell.isa.as_deref() != Some("library"))?;
    Some([first.low_ns / cell.high_ns, ratio, first.high_ns / cell.low_ns])
}

fn epoch(row: &TrainingRow) -> Option<[f64; 3]> {
    row.epoch_ratio.map(|ratio| [ratio; 3])
}

/// The geometric means of ratios and of the ends of their intervals.
fn speed(of: &'static str, ratios: &[[f64; 3]]) -> Option<Speed> {
    if ratios.is_empty() {
        return None;
    }
    let mean = |place: usize| {
        let logarithms = ratios.iter().map(|ratio| ratio[place].ln());
        (logarithms.sum::<f64>() / ratios.len() as f64).exp()
    };
    Some(Speed { of, ratio: mean(1), low: mean(0), high: mean(2), rows: ratios.len() })
}

fn reasons(comparison: &Comparison, index: usize) -> Vec<String> {
    let (first, of_first) = (&comparison.reports[0], &comparison.rooflines[0]);
    let (other, of_other) = (&comparison.reports[index], &comparison.rooflines[index]);
    let mut reasons = Vec::new();
    if of_first.threads != of_other.threads {
        reasons.push(format!("{} against {}", count(of_other.threads, "thread"), of_first.threads));
    }
    let isa = |heading: &Heading| heading.system.isa_usable.first().cloned().unwrap_or("unknown".into());
    if isa(first) != isa(other) {
        reasons.push(format!("{} against {}", isa(other), isa(first)));
    }
    for dtype in ["f32", "bf16"] {
        let peak = |roofline: &Roofline| {
            let of_dtype = roofline.ceilings.iter().find(|ceiling| ceiling.dtype == dtype);
            of_dtype.map(|ceiling| ceiling.rate)
        };
        reasons.extend(of_rates(&format!("{dtype} peak"), "GFLOP/s", peak(of_other), peak(of_first)));
    }
    // Copies, because every report has them.
    let copy = |index: usize, roofline: &Roofline| {
        let rates = comparison.peaks.iter().filter(|row| row.op == "copy").filter_map(|row| row.cells[index].as_ref());
        rates.filter(|cell| cell.threads == roofline.threads).map(|cell| cell.rate).next()
    };
    reasons.extend(of_rates("memory", "GB/s", copy(index, of_other), copy(0, of_first)));
    for level in [2, 3] {
        let mebibytes = |heading: &Heading| {
            let caches = heading.system.caches.iter().filter(|cache| cache.level == level);
            caches.map(|cache| cache.bytes as f64 / f64::from(1 << 20)).next_back()
        };
        reasons.extend(of_rates(&format!("L{level}"), "MiB", mebibytes(other), mebibytes(first)));
    }
    reasons
}

/// How disturbed the measurement of a report was, where it tells.
fn disturbed(heading: &Heading) -> Option<String> {
    let (disturbed, samples) = heading.disturbed?;
    let mut text =
        format!("{}% of the samples of {}", number(100.0 * disturbed as f64 / samples as f64), heading.letter);
    if let Some((disturbed @ 1.., epochs)) = heading.epochs_disturbed {
        text += &format!(" and {disturbed} of its {}", count(epochs, "outer epoch"));
    }
    if heading.kernels_without_quiet > 0 {
        text += &format!(", {} without a single other one", count(heading.kernels_without_quiet, "kernel"));
    }
    Some(text)
}

/// What a measured limit of both machines, or of one, says, where it says something.
fn of_rates(what: &str, unit: &str, other: Option<f64>, first: Option<f64>) -> Option<String> {
    match (other, first) {
        (Some(other), Some(first)) => {
            let differs = (other / first).max(first / other) > NOTEWORTHY;
            differs.then(|| {
                let times = number(other / first);
                format!("{what} {times} times A's ({} against {} {unit})", number(other), number(first))
            })
        }
        (Some(other), None) => Some(format!("{what} of {} {unit}, which A has not", number(other))),
        (None, Some(first)) => Some(format!("no {what}, of which A has {} {unit}", number(first))),
        (None, None) => None,
    }
}

impl Verdict {
    /// The verdict in two or three sentences.
    pub fn words(&self) -> String {
        let speed = |(place, Speed { of, ratio, low, high, rows }): (usize, &Speed)| {
            let as_fast = if place == 0 { " as fast as A" } else { "" };
            let range = format!("{} to {}, {}", number(*low), number(*high), count(*rows, "row"));
            format!("{} times{as_fast} in {of} ({range})", number(*ratio))
        };
        let speeds: Vec<String> = self.speeds.iter().enumerate().map(speed).collect();
        let which = match speeds.is_empty() {
            true => format!("{} has nothing in common with A.", self.report),
            false => format!("{} is {}.", self.report, speeds.join(", ")),
        };
        let why = match self.reasons.is_empty() {
            true => "The reports show no difference of the machines.".to_owned(),
            false => format!("What differs: {}.", self.reasons.join("; ")),
        };
        let disturbed = match self.disturbed.is_empty() {
            true => String::new(),
            false => format!(" Disturbed: {}.", self.disturbed.join("; ")),
        };
        format!("{which} {why}{disturbed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_ratios_is_geometric() {
        let speed = speed("products", &[[0.4, 0.5, 0.6], [1.5, 2.0, 2.5], [0.9, 1.0, 1.1]]).unwrap();
        assert!((speed.ratio - 1.0).abs() < 1e-12 && speed.low < 1.0 && speed.high > 1.0);
        assert_eq!(speed.rows, 3);
        assert!(super::speed("products", &[]).is_none());
    }

    #[test]
    fn limits_are_told_where_they_differ() {
        assert_eq!(of_rates("memory", "GB/s", Some(51.0), Some(50.0)), None);
        let said = of_rates("memory", "GB/s", Some(25.0), Some(50.0)).unwrap();
        assert_eq!(said, "memory 0.500 times A's (25.0 against 50.0 GB/s)");
        assert_eq!(
            of_rates("bf16 peak", "GFLOP/s", Some(900.0), None).unwrap(),
            "bf16 peak of 900 GFLOP/s, which A has not"
        );
        assert_eq!(of_rates("bf16 peak", "GFLOP/s", None, None), None);
    }
}
