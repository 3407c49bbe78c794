//! The report as CSV: one flat row for everything measured, each with what is needed to tell where it comes from.
//!
//! Relies on the crate `csv` for quoting.

use itertools::Itertools;
use serde::Serialize;

use super::{Report, Training, Witnesses, median};

/// A row; a field is empty where it does not apply or is not known.
#[derive(Default, Serialize)]
struct Row<'a> {
    section: &'static str,
    op: &'a str,
    shape: String,
    dtype: &'a str,
    isa: &'a str,
    threads: usize,
    samples: usize,
    disturbed: Option<usize>,
    median_ns: Option<f64>,
    fastest_ns: Option<f64>,
    slowest_ns: Option<f64>,
    rate: Option<f64>,
    unit: &'a str,
    gflops_per_core: Option<f64>,
    percent_of_peak: Option<f64>,
    executed_percent_of_peak: Option<f64>,
    percent_of_roofline: Option<f64>,
    speedup: Option<f64>,
    cpu_model: Option<&'a str>,
    version: &'a str,
    commit: Option<&'a str>,
    dirty: Option<bool>,
    date: &'a str,
    seed: u64,
    quick: bool,
}

impl<'a> Row<'a> {
    /// A row with the fields that all rows of `report` share.
    fn new(section: &'static str, report: &'a Report) -> Self {
        Self {
            section,
            cpu_model: report.system.cpu_model.as_deref(),
            version: &report.build.version,
            commit: report.build.commit.as_deref(),
            dirty: report.build.dirty,
            date: &report.run.date,
            seed: report.run.seed,
            quick: report.run.quick,
            ..Self::default()
        }
    }

    /// All samples are counted; the times are those of the samples that are not disturbed.
    fn with_samples(self, samples: &[f64], witnesses: &Witnesses) -> Self {
        let (count, quiet) = (samples.len(), witnesses.undisturbed(samples));
        let samples = &quiet[..];
        Self {
            samples: count,
            disturbed: (!witnesses.are_missing()).then(|| witnesses.disturbed()),
            median_ns: Some(median(samples)).filter(|median| median.is_finite()),
            fastest_ns: samples.iter().copied().min_by(f64::total_cmp),
            slowest_ns: samples.iter().copied().max_by(f64::total_cmp),
            ..self
        }
    }
}

/// The table, its header first. Sections are `peak`, `kernel`, `scaling`, `training` (whose samples are outer epochs)
/// and `prediction`.
pub fn csv(report: &Report) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in peaks(report).chain(kernels(report)).chain(scaling(report)).chain(training(report)) {
        writer.serialize(row).expect("plain fields serialise");
    }
    String::from_utf8(writer.into_inner().expect("memory takes all")).expect("strings are UTF-8")
}

fn peaks(report: &Report) -> impl Iterator<Item = Row<'_>> {
    report.peaks.iter().map(|peak| Row {
        op: &peak.op,
        dtype: &peak.dtype,
        isa: peak.isa.as_deref().unwrap_or_default(),
        threads: peak.threads,
        rate: peak.rate,
        unit: &peak.unit,
        ..Row::new("peak", report).with_samples(&peak.samples_ns, &peak.witnesses)
    })
}

fn kernels(report: &Report) -> impl Iterator<Item = Row<'_>> {
    report.kernels.iter().map(|kernel| {
        let moved = || (kernel.bytes > 0).then(|| kernel.bytes as f64 / kernel.median_ns);
        Row {
            op: &kernel.op,
            shape: kernel.shape.clone(),
            dtype: &kernel.dtype,
            isa: &kernel.isa,
            threads: kernel.threads,
            rate: kernel.gflops.or_else(moved),
            unit: if kernel.gflops.is_some() { "GFLOP/s" } else { "GB/s" },
            gflops_per_core: kernel.gflops_per_core,
            percent_of_peak: kernel.percent_of_peak,
            executed_percent_of_peak: kernel.executed_percent_of_peak,
            percent_of_roofline: kernel.percent_of_roofline,
            ..Row::new("kernel", report).with_samples(&kernel.samples_ns, &kernel.witnesses)
        }
    })
}

fn scaling(report: &Report) -> impl Iterator<Item = Row<'_>> {
    report.scaling.iter().map(|point| Row {
        op: &point.op,
        shape: point.shape.clone(),
        dtype: &point.dtype,
        isa: &point.isa,
        threads: point.threads,
        speedup: Some(point.speedup),
        ..Row::new("scaling", report).with_samples(&point.samples_ns, &point.witnesses)
    })
}

fn training(report: &Report) -> impl Iterator<Item = Row<'_>> {
    report.training.iter().flat_map(|training| {
        let row = |section, rate| Row {
            op: &training.dataset,
            shape: shape(training),
            dtype: &training.dtype,
            isa: &training.isa,
            threads: training.threads,
            rate: Some(rate),
            unit: "images/s",
            ..Row::new(section, report)
        };
        let epochs: Vec<f64> = training.epoch_seconds.iter().map(|seconds| seconds * 1e9).collect();
        let witnesses = Witnesses { disturbed: training.epochs_disturbed.clone(), ..Witnesses::default() };
        [
            row("training", training.samples_per_second).with_samples(&epochs, &witnesses),
            row("prediction", training.predictions_per_second),
        ]
    })
}

/// The images and the units of each layer: `10000x500x500`.
pub(super) fn shape(training: &Training) -> String {
    [training.samples].iter().chain(&training.layers).join("x")
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    /// The rows as lists of (column, field).
    fn read(text: &str) -> Vec<Vec<(String, String)>> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let pairs = |row: csv::StringRecord| {
            header.iter().zip(row.iter()).map(|(name, field)| (name.to_owned(), field.to_owned())).collect()
        };
        reader.records().map(|row| pairs(row.unwrap())).collect()
    }

    fn field<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
        &row.iter().find(|(column, _)| column == name).unwrap().1
    }

    #[test]
    fn everything_measured_has_a_row() {
        let report = report();
        let rows = read(&csv(&report));
        let sections: Vec<&str> = rows.iter().map(|row| field(row, "section")).collect();
        assert_eq!(sections, ["peak", "peak", "kernel", "kernel", "scaling", "training", "prediction"]);
        assert!(rows.iter().all(|row| field(row, "cpu_model") == "Some CPU" && field(row, "version") == "0.0.1"));
        let product = &rows[2];
        let expected = [
            ("op", "gemm/NN"),
            ("rate", "25.0"),
            ("unit", "GFLOP/s"),
            ("samples", "3"),
            ("median_ns", "2000.0"),
            ("slowest_ns", "3000.0"),
        ];
        assert_eq!(expected.map(|(name, _)| (name, field(product, name))), expected);
        let moved = &rows[3];
        assert_eq!((field(moved, "rate"), field(moved, "unit"), field(moved, "percent_of_peak")), ("10.0", "GB/s", ""));
        assert_eq!((field(&rows[1], "rate"), field(&rows[1], "samples")), ("", "0"), "a peak that was not measured");
        assert_eq!((field(&rows[5], "median_ns"), field(&rows[5], "shape")), ("2000000000.0", "10x5x4"));
    }

    #[test]
    fn fields_with_separators_are_quoted() {
        let mut report = report();
        report.system.cpu_model = Some("CPU \"7\", fast\n".into());
        report.kernels[0].op = "step/a, b".into();
        let text = csv(&report);
        assert!(text.contains("\"CPU \"\"7\"\", fast\n\""), "{text}");
        let rows = read(&text);
        assert_eq!((field(&rows[2], "op"), field(&rows[2], "cpu_model")), ("step/a, b", "CPU \"7\", fast\n"));
    }
}
