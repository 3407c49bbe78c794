//! Rows of all reports that measured the same, matched, with the speed by the first report's.
//!
//! Peaks, kernels and scaling become `Measured` first, so that one function matches all of them.

use indexmap::IndexMap;
use serde::Serialize;

use super::interval::Interval;
use super::labels::letter;
use crate::bench::report::{self, Report, sustained};

/// What was measured once at least, with a cell for each report.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What is computed.
    pub op: String,
    /// Sizes; empty for peaks.
    pub shape: String,
    /// The number format of products.
    pub dtype: String,
    /// Of the cells' rates: `GFLOP/s` where the work is operations, `GB/s` where it is bytes, otherwise `ms`, the time
    /// itself.
    pub unit: &'static str,
    /// One for each report, null where it lacks the row.
    pub cells: Vec<Option<Cell>>,
    /// Why a ratio is missing.
    pub note: Option<String>,
}

/// What one report says in a row.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The instruction set; null for memory.
    pub isa: Option<String>,
    /// Threads it was measured with.
    pub threads: usize,
    /// The number of samples that count: those that are not disturbed, and of peaks the fastest quarter.
    pub samples: usize,
    /// The median, in nanoseconds.
    pub median_ns: f64,
    /// The low end of the median's 95% interval.
    pub low_ns: f64,
    /// The high end of the median's 95% interval.
    pub high_ns: f64,
    /// The rate at the median, in the row's unit.
    pub rate: f64,
    /// The speed by the first report's, above 1 where this one is faster; null where the two cannot be compared.
    pub ratio: Option<f64>,
    /// Whether the intervals of the two have nothing in common.
    pub distinct: bool,
    /// Of scaling rows: the median on one thread by this one; null where one thread was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speedup: Option<f64>,
}

/// How much work one run of a kernel does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    Operations(u64),
    Bytes(u64),
    /// Nothing that can be counted.
    Unknown,
}

impl Amount {
    fn unit(self) -> &'static str {
        match self {
            Self::Operations(_) => "GFLOP/s",
            Self::Bytes(_) => "GB/s",
            Self::Unknown => "ms",
        }
    }

    /// Work by time; without work the time, in milliseconds.
    fn rate(self, ns: f64) -> f64 {
        match self {
            Self::Operations(work) | Self::Bytes(work) => work as f64 / ns,
            Self::Unknown => ns / 1e6,
        }
    }

    fn in_words(self) -> String {
        match self {
            Self::Operations(count) => format!("{count} operations"),
            Self::Bytes(count) => format!("{count} bytes"),
            Self::Unknown => "unknown work".into(),
        }
    }
}

/// A row of one report, whichever list it stands in.
struct Measured<'a> {
    op: &'a str,
    shape: &'a str,
    dtype: &'a str,
    isa: Option<&'a str>,
    threads: usize,
    work: Amount,
    interval: Interval,
    samples: usize,
    speedup: Option<f64>,
}

/// op, shape, number format, instruction set, threads; a key that leaves the last two out has none of each.
type Key<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, usize);

impl<'a> Measured<'a> {
    fn new((op, shape, dtype, isa, threads): Key<'a>, work: Amount, samples: &[f64]) -> Self {
        let (interval, samples) = (Interval::of(samples), samples.len());
        Self { op, shape, dtype, isa, threads, work, interval, samples, speedup: None }
    }

    fn key(&self) -> Key<'a> {
        (self.op, self.shape, self.dtype, self.isa, self.threads)
    }

    fn key_of_best(&self) -> Key<'a> {
        (self.op, self.shape, self.dtype, None, 0)
    }
}

/// The peaks of all reports, matched.
pub fn peaks(reports: &[&Report]) -> Vec<Row> {
    matched(reports, peaks_of, Measured::key)
}

fn peaks_of(report: &Report) -> Vec<Measured<'_>> {
    report.peaks.iter().filter(|peak| !peak.samples_ns.is_empty()).map(peak).collect()
}

fn peak(peak: &report::Peak) -> Measured<'_> {
    let work = if peak.unit == "GB/s" { Amount::Bytes(peak.work) } else { Amount::Operations(peak.work) };
    let samples = sustained(&peak.witnesses.undisturbed(&peak.samples_ns));
    Measured::new((&peak.op, "", &peak.dtype, peak.isa.as_deref(), peak.threads), work, &samples)
}

/// The kernels of all reports, matched.
pub fn kernels(reports: &[&Report]) -> Vec<Row> {
    matched(reports, |report| report.kernels.iter().map(kernel).collect(), Measured::key)
}

/// The fastest kernels of each report, matched whatever their instruction set and threads; number formats of one op and
/// shape below each other.
pub fn best(reports: &[&Report]) -> Vec<Row> {
    let rows = matched(reports, |report| report.kernels.iter().map(kernel).collect(), Measured::key_of_best);
    let mut products: IndexMap<(String, String), Vec<Row>> = IndexMap::new();
    for row in rows {
        products.entry((row.op.clone(), row.shape.clone())).or_default().push(row);
    }
    products.into_values().flatten().collect()
}

fn kernel(kernel: &report::KernelRow) -> Measured<'_> {
    let work = match kernel {
        report::KernelRow { flops: 1.., .. } => Amount::Operations(kernel.flops),
        report::KernelRow { bytes: 1.., .. } => Amount::Bytes(kernel.bytes),
        _ => Amount::Unknown,
    };
    let key = (&*kernel.op, &*kernel.shape, &*kernel.dtype, Some(&*kernel.isa), kernel.threads);
    Measured::new(key, work, &kernel.witnesses.undisturbed(&kernel.samples_ns))
}

/// The scaling of all reports, matched.
pub fn scaling(reports: &[&Report]) -> Vec<Row> {
    matched(reports, scaling_of, Measured::key)
}

fn scaling_of(report: &Report) -> Vec<Measured<'_>> {
    let mut rows: Vec<Measured<'_>> = report.scaling.iter().map(scaling_row).collect();
    let alone: IndexMap<Key<'_>, f64> =
        rows.iter().filter(|row| row.threads == 1).map(|row| (row.key(), row.interval.median)).collect();
    for row in &mut rows {
        let one_thread = (row.op, row.shape, row.dtype, row.isa, 1);
        row.speedup = alone.get(&one_thread).map(|median| median / row.interval.median);
    }
    rows
}

fn scaling_row(row: &report::Scaling) -> Measured<'_> {
    let key = (&*row.op, &*row.shape, &*row.dtype, Some(&*row.isa), row.threads);
    Measured::new(key, Amount::Unknown, &row.witnesses.undisturbed(&row.samples_ns))
}

/// The rows that `of` finds in each report, those with the same `key` together, in the order in which they first
/// appear. Of several of one report the fastest counts.
fn matched<'a>(
    reports: &[&'a Report],
    of: impl Fn(&'a Report) -> Vec<Measured<'a>>,
    key: impl Fn(&Measured<'a>) -> Key<'a>,
) -> Vec<Row> {
    let mut groups: IndexMap<Key<'a>, Vec<Option<Measured<'a>>>> = IndexMap::new();
    for (index, report) in reports.iter().enumerate() {
        for row in of(report) {
            let group = groups.entry(key(&row)).or_insert_with(|| reports.iter().map(|_| None).collect());
            let slower = |held: &Measured<'_>| held.interval.median > row.interval.median;
            if group[index].as_ref().is_none_or(slower) {
                group[index] = Some(row);
            }
        }
    }
    groups.iter().map(|(key, group)| row(key, group)).collect()
}

fn row(&(op, shape, dtype, ..): &Key<'_>, group: &[Option<Measured<'_>>]) -> Row {
    let mut works = group.iter().flatten().map(|measured| measured.work);
    let first = works.next().unwrap_or(Amount::Unknown);
    let unit = if works.all(|work| work.unit() == first.unit()) { first.unit() } else { Amount::Unknown.unit() };
    let base = group[0].as_ref();
    let cells = group.iter().map(|measured| Some(cell(measured.as_ref()?, unit, base))).collect();
    Row { op: op.into(), shape: shape.into(), dtype: dtype.into(), unit, cells, note: note(group) }
}

fn cell(measured: &Measured<'_>, unit: &str, base: Option<&Measured<'_>>) -> Cell {
    let Interval { low, median, high } = measured.interval;
    let work = if measured.work.unit() == unit { measured.work } else { Amount::Unknown };
    let base = base.filter(|base| base.work == measured.work).map(|base| base.interval);
    Cell {
        isa: measured.isa.map(str::to_owned),
        threads: measured.threads,
        samples: measured.samples,
        median_ns: median,
        low_ns: low,
        high_ns: high,
        rate: work.rate(median),
        ratio: base.map(|base| base.median / median),
        distinct: base.is_some_and(|base| base.high < low || high < base.low),
        speedup: measured.speedup,
    }
}

/// Which report's work is not the first's.
fn note(group: &[Option<Measured<'_>>]) -> Option<String> {
    let base = group[0].as_ref()?;
    let others = group.iter().enumerate().filter_map(|(index, measured)| Some((index, measured.as_ref()?.work)));
    let different: Vec<String> = others
        .filter(|(_, work)| *work != base.work)
        .map(|(index, work)| format!("{} does {}", letter(index), work.in_words()))
        .collect();
    (!different.is_empty())
        .then(|| format!("not comparable: A does {}, {}", base.work.in_words(), different.join(", ")))
}

impl Cell {
    /// The rates at the ends of the interval, in `unit`, lower first.
    pub fn rates(&self, unit: &str) -> (f64, f64) {
        if unit == "ms" {
            return (self.low_ns / 1e6, self.high_ns / 1e6);
        }
        (self.rate * self.median_ns / self.high_ns, self.rate * self.median_ns / self.low_ns)
    }
}
