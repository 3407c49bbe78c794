//! The whole measurement, in its order: the machine, then peaks, kernels and scaling in rounds, then training.

use std::time::{Duration, Instant, SystemTime};

use rayon::ThreadPool;

use super::sample::{self, Plan, Subject};
use super::training::{self, Extent};
use super::{Build, Circumstances, Report, SCHEMA, System, kernels, peaks, scaling};
use crate::bench::witness::Witness;
use crate::bench::workloads::{self, Size, Targets, Workload};
use crate::data::Dataset;
use crate::error::Result;
use crate::machine::{self, Waiting};
use crate::tier::Tier;

/// Many short visits: the samples of one agree, and those of the next, whose operands lie elsewhere, do not. At least
/// six rounds, and about four minutes where these are over by then; what was disturbed is taken again for two minutes
/// and a half at most. A neighbour that comes and goes every few seconds is waited for.
const FULL: Plan = Plan {
    rounds: (6, 12),
    total: Duration::from_secs(240),
    visit: Duration::from_millis(100),
    samples: 2,
    patience: Duration::from_secs(4),
    retakes: Duration::from_secs(150),
};

/// Two rounds or three, and about a quarter of a minute. A disturbed machine takes half as long again. One with
/// hundreds of megabytes of cache takes twice as long, because its limits of memory alone take a quarter of a minute.
const QUICK: Plan = Plan {
    rounds: (2, 3),
    total: Duration::from_secs(15),
    visit: Duration::from_millis(40),
    samples: 2,
    patience: Duration::from_millis(1_500),
    retakes: Duration::from_millis(7_500),
};

/// What is measured next.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The part of the measurement that it belongs to.
    pub part: &'a str,
    /// What it is.
    pub next: &'a str,
    /// How long the rounds are expected to take still, as far as that can be told; visits once more and training follow
    /// them.
    pub left: Option<Duration>,
}

/// Hears what is measured next. Nothing is measured until it returns.
pub type Watch<'a> = dyn FnMut(&Step<'_>) + Send + 'a;

impl Circumstances {
    /// The circumstances of a report that begins now.
    pub fn beginning(threads: usize, seed: u64, quick: bool) -> Self {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self { threads, seed, date, quick, load_before: machine::load(), stolen: None }
    }
}

/// Measures this machine: the peaks of every instruction set and tile unit it has; kernels, scaling and training on
/// those of `tier`. The network is trained on the first images of `dataset`.
///
/// # Errors
///
/// The system does not start as many threads as `circumstances` says.
pub fn measure(circumstances: Circumstances, tier: Tier, dataset: &Dataset, watch: &mut Watch<'_>) -> Result<Report> {
    let (plan, size, extent) = match circumstances.quick {
        true => (QUICK, Size::Quick, Extent::QUICK),
        false => (FULL, Size::Full, Extent::FULL),
    };
    let (before, start) = (Waiting::now(), Instant::now());
    let workloads = workloads::all(&Targets::of(&tier), size);
    let system = System::of_this_machine();
    let (mut report, pool, mut witness) = of_workloads(circumstances, system, &workloads, plan, watch)?;
    let train = || training::measure((&report.run, &mut witness), &tier, dataset, &extent, watch);
    report.training = pool.install(train)?;
    let stolen = Waiting::now().stolen_since(&before);
    report.run.stolen = stolen.map(|stolen| sample::rounded(stolen.as_secs_f64() / start.elapsed().as_secs_f64()));
    Ok(report)
}

/// All of a report of `system` but training, and the pool of all threads with its witness.
fn of_workloads(
    circumstances: Circumstances,
    system: System,
    workloads: &[Workload],
    plan: Plan,
    watch: &mut Watch<'_>,
) -> Result<(Report, ThreadPool, Witness)> {
    let threads = circumstances.threads;
    let limits = peaks::limits(threads, &system, circumstances.quick);
    let points = scaling::points(workloads, threads);
    let subjects: Vec<Subject<'_>> = (limits.iter().map(peaks::Limit::subject))
        .chain(workloads.iter().map(|workload| kernels::subject(workload, threads)))
        .chain(points.iter().map(scaling::Point::subject))
        .collect();
    let (taken, pool, witness) = sample::take(&subjects, plan, threads, watch)?;
    let mut taken = taken.into_iter();
    drop(subjects);

    let mut next = || taken.next().expect("samples of every subject");
    let mut peaks: Vec<_> = limits.into_iter().map(|limit| limit.with_samples(next())).collect();
    let row = |workload| kernels::row(workload, threads, next(), (&peaks, &system));
    let kernels = workloads.iter().map(row).collect();
    peaks.extend(peaks::of_lacking_tiles(threads));
    let report = Report {
        schema: SCHEMA.to_owned(),
        system,
        build: Build::of_this_program(),
        run: circumstances,
        peaks,
        kernels,
        scaling: scaling::rows(&points, taken),
        training: Vec::new(),
    };
    Ok((report, pool, witness))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::median;

    const OPS: [&str; 3] = ["gemm/NN", "adam/784", "step/images"];

    #[test]
    fn a_report_has_a_row_of_every_workload_and_survives_json() {
        let workloads = OPS.map(|op| Workload::of_numbers(op, "avx2", 8, 4));
        let no_time = Duration::ZERO;
        let plan =
            Plan { rounds: (2, 2), total: no_time, visit: no_time, samples: 2, patience: no_time, retakes: no_time };
        let circumstances = Circumstances::beginning(2, 1, true);
        // Without caches, so that the arrays in memory are the smallest.
        let system = System::default();
        let (report, ..) = of_workloads(circumstances, system, &workloads, plan, &mut |_| ()).unwrap();
        assert!(report.kernels.iter().map(|row| row.op.as_str()).eq(OPS));
        assert_eq!(report.scaling.iter().map(|row| row.threads).collect::<Vec<_>>(), [1, 2]);
        for row in &report.kernels {
            let quiet = row.witnesses.undisturbed(&row.samples_ns);
            assert_eq!((row.samples_ns.len(), row.witnesses.disturbed.len(), row.median_ns), (4, 4, median(&quiet)));
        }
        let peak = |op: &str| report.peaks.iter().find(|row| row.op == op).unwrap();
        assert_eq!(
            report.disturbed().unwrap().1,
            4 * (report.kernels.len() + report.scaling.len()) + peak_samples(&report)
        );
        assert!(["fma", "copy", "triad"].iter().all(|op| peak(op).rate.unwrap() > 0.0));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    fn peak_samples(report: &Report) -> usize {
        report.peaks.iter().map(|peak| peak.samples_ns.len()).sum()
    }

    #[test]
    fn the_date_is_written_as_the_schema_says() {
        let date = Circumstances::beginning(1, 1, false).date;
        assert_eq!((date.len(), &date[10..11], &date[19..]), (20, "T", "Z"));
    }
}
