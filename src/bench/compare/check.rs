//! The values of a report: what JSON and the schema's types leave open.
//!
//! Every number of a report is a count, a size, a time or a rate, so none is negative; every text is a name, so it is
//! short and free of control characters, which could speak to a terminal. Times lie in a range in which no rate
//! overflows.

use std::collections::HashSet;
use std::hash::Hash;
use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::Value;

use super::text::quoted;
use crate::bench::report::{Report, Witnesses};
use crate::error::Error;
use crate::text::{is_control, shortened};

const MAX_CHARACTERS: usize = 500;
/// In each list: enough for every kernel on a hundred shapes, few enough to draw.
const MAX_ROWS: usize = 10_000;
const MAX_NUMBER: f64 = 1e30;
/// From a picosecond to thirty years.
const NANOSECONDS: RangeInclusive<f64> = 1e-3..=1e18;
const SECONDS: RangeInclusive<f64> = 1e-9..=1e9;

/// What is wrong in a report, before its file is known.
#[derive(Debug)]
pub struct Fault {
    field: String,
    found: String,
    expected: String,
}

impl Fault {
    /// What was found in `field` is not what was expected; `.` is the report as a whole.
    pub fn new(field: impl Into<String>, found: impl ToString, expected: impl ToString) -> Self {
        let field = Some(field.into()).filter(|field| field != ".").unwrap_or_else(|| "content".into());
        Self { field, found: found.to_string(), expected: expected.to_string() }
    }

    /// The error of the file at `path`, short and on one line whatever the file holds.
    pub fn at(self, path: &Path) -> Error {
        let Self { field, found, expected } = self;
        Error::Report {
            path: path.to_path_buf(),
            field: shortened(&field, 80),
            found: shortened(&found, 120),
            expected,
        }
    }
}

type Checked = Result<(), Fault>;

/// Checks what the types do not.
pub fn check(report: &Report) -> Checked {
    let value = serde_json::to_value(report).expect("plain values serialise");
    check_value(&mut String::new(), &value)?;
    check_run(report)?;
    check_lengths(report)?;
    check_peaks(report)?;
    check_kernels(report)?;
    check_scaling(report)?;
    check_training(report)
}

/// Checks every text and number under `field`.
fn check_value(field: &mut String, value: &Value) -> Checked {
    let length = field.len();
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::String(text) => check_text(field, text)?,
        Value::Number(number) => {
            let sound = number.as_f64().is_some_and(|number| (0.0..=MAX_NUMBER).contains(&number));
            sound.then_some(()).ok_or_else(|| Fault::new(&*field, number, "a number from 0 to 1e30"))?;
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                field.push_str(&format!("[{index}]"));
                check_value(field, value)?;
                field.truncate(length);
            }
        }
        Value::Object(values) => {
            for (name, value) in values {
                field.push_str(if length == 0 { "" } else { "." });
                field.push_str(name);
                check_value(field, value)?;
                field.truncate(length);
            }
        }
    }
    Ok(())
}

fn check_text(field: &str, text: &str) -> Checked {
    if text.chars().any(is_control) {
        return Err(Fault::new(field, quoted(text), "text without control characters"));
    }
    match text.chars().count() {
        count if count > MAX_CHARACTERS => {
            Err(Fault::new(field, format!("{count} characters"), format!("at most {MAX_CHARACTERS}")))
        }
        _ => Ok(()),
    }
}

fn check_run(report: &Report) -> Checked {
    one_of("build.profile", &report.build.profile, &["release", "debug"])?;
    threads("run", report.run.threads)
}

fn check_lengths(report: &Report) -> Checked {
    let lengths = [
        ("peaks", report.peaks.len()),
        ("kernels", report.kernels.len()),
        ("scaling", report.scaling.len()),
        ("training", report.training.len()),
    ];
    let too_long = lengths.into_iter().find(|&(_, rows)| rows > MAX_ROWS);
    too_long
        .map_or(Ok(()), |(field, rows)| Err(Fault::new(field, format!("{rows} rows"), format!("at most {MAX_ROWS}"))))
}

fn check_peaks(report: &Report) -> Checked {
    let mut seen = HashSet::new();
    for (index, peak) in report.peaks.iter().enumerate() {
        let place = format!("peaks[{index}]");
        one_of(&format!("{place}.unit"), &peak.unit, &["GFLOP/s", "GB/s"])?;
        threads(&place, peak.threads)?;
        // What could not be measured has neither samples nor a rate.
        if peak.rate.is_some() || !peak.samples_ns.is_empty() {
            times(&format!("{place}.samples_ns"), &peak.samples_ns, NANOSECONDS, "ns")?;
        }
        witnesses(&place, &peak.witnesses, peak.samples_ns.len())?;
        once(&mut seen, &place, (&peak.op, &peak.dtype, &peak.isa, peak.threads))?;
    }
    Ok(())
}

fn check_kernels(report: &Report) -> Checked {
    let mut seen = HashSet::new();
    for (index, kernel) in report.kernels.iter().enumerate() {
        let place = format!("kernels[{index}]");
        threads(&place, kernel.threads)?;
        times(&format!("{place}.samples_ns"), &kernel.samples_ns, NANOSECONDS, "ns")?;
        witnesses(&place, &kernel.witnesses, kernel.samples_ns.len())?;
        once(&mut seen, &place, (&kernel.op, &kernel.shape, &kernel.dtype, &kernel.isa, kernel.threads))?;
    }
    Ok(())
}

fn check_scaling(report: &Report) -> Checked {
    let mut seen = HashSet::new();
    for (index, row) in report.scaling.iter().enumerate() {
        let place = format!("scaling[{index}]");
        threads(&place, row.threads)?;
        times(&format!("{place}.samples_ns"), &row.samples_ns, NANOSECONDS, "ns")?;
        witnesses(&place, &row.witnesses, row.samples_ns.len())?;
        once(&mut seen, &place, (&row.op, &row.shape, &row.dtype, &row.isa, row.threads))?;
    }
    Ok(())
}

fn check_training(report: &Report) -> Checked {
    let mut seen = HashSet::new();
    for (index, row) in report.training.iter().enumerate() {
        let place = format!("training[{index}]");
        threads(&place, row.threads)?;
        times(&format!("{place}.epoch_seconds"), &row.epoch_seconds, SECONDS, "s")?;
        let epochs = if row.epochs_disturbed.is_empty() { 0 } else { row.epoch_seconds.len() };
        as_long(&format!("{place}.epochs_disturbed"), row.epochs_disturbed.len(), epochs)?;
        let task = (&row.dataset, &row.dataset_sha256, row.samples, &row.layers, row.inner_steps);
        once(&mut seen, &place, (task, &row.backend, &row.dtype, &row.isa, row.threads))?;
    }
    Ok(())
}

fn one_of(field: &str, found: &str, expected: &[&str]) -> Checked {
    let words = || expected.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" or ");
    expected.contains(&found).then_some(()).ok_or_else(|| Fault::new(field, quoted(found), words()))
}

fn threads(place: &str, threads: usize) -> Checked {
    let fault = || Fault::new(format!("{place}.threads"), "0", "at least one thread");
    (threads > 0).then_some(()).ok_or_else(fault)
}

fn times(field: &str, times: &[f64], range: RangeInclusive<f64>, unit: &str) -> Checked {
    if times.is_empty() {
        return Err(Fault::new(field, "an empty list", "at least one sample"));
    }
    let expected = || format!("a time from {:e} to {:e} {unit}", range.start(), range.end());
    match times.iter().position(|time| !range.contains(time)) {
        Some(index) => Err(Fault::new(format!("{field}[{index}]"), times[index], expected())),
        None => Ok(()),
    }
}

/// Checks that each of so many samples has its witnesses, or none has any.
fn witnesses(place: &str, witnesses: &Witnesses, samples: usize) -> Checked {
    let Witnesses { arithmetic, memory, waiting, disturbed } = witnesses;
    let lists = [
        ("arithmetic", arithmetic.len()),
        ("memory", memory.len()),
        ("waiting", waiting.len()),
        ("disturbed", disturbed.len()),
    ];
    let whole = if lists.iter().all(|&(_, length)| length == 0) { 0 } else { samples };
    lists.into_iter().try_for_each(|(name, length)| as_long(&format!("{place}.witnesses.{name}"), length, whole))?;
    let shares = [("arithmetic", arithmetic), ("memory", memory), ("waiting", waiting)];
    shares.into_iter().try_for_each(|(name, shares)| {
        let beyond = shares.iter().find(|share| **share > 1.0);
        beyond.map_or(Ok(()), |share| Err(Fault::new(format!("{place}.witnesses.{name}"), share, "shares from 0 to 1")))
    })
}

/// Checks that a list beside samples has as many entries as it should.
fn as_long(field: &str, length: usize, expected: usize) -> Checked {
    let fault = || Fault::new(field, format!("{length} entries"), format!("{expected}, one for each sample"));
    (length == expected).then_some(()).ok_or_else(fault)
}

/// Checks that no row before had the same `key`.
fn once<K: Hash + Eq>(seen: &mut HashSet<K>, place: &str, key: K) -> Checked {
    let fault = || Fault::new(place, "a row that an earlier one repeats", "each row once");
    seen.insert(key).then_some(()).ok_or_else(fault)
}
