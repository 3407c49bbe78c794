//! The whole measurement, in its order: the machine, then peaks, kernels and scaling in rounds, then training.

use std::time::{Duration, SystemTime};

use super::sample::{self, Plan, Subject};
use super::training::{self, Extent};
use super::{Build, Circumstances, Report, SCHEMA, System, kernels, peaks, scaling};
use crate::bench::workloads::{self, Size, Targets, Workload};
use crate::data::Dataset;
use crate::error::Result;
use crate::machine;
use crate::tier::Tier;

/// At least three rounds, and about two minutes and a half where there are many kernels.
const FULL: Plan =
    Plan { rounds: (3, 8), total: Duration::from_secs(150), visit: Duration::from_millis(300), samples: 2 };

/// Two rounds or three, and about a quarter of a minute.
const QUICK: Plan =
    Plan { rounds: (2, 3), total: Duration::from_secs(15), visit: Duration::from_millis(40), samples: 2 };

/// Hears which part of the measurement is running, and what is next in it. Nothing is measured until it returns.
pub type Watch<'a> = dyn FnMut(&str, &str) + Send + 'a;

impl Circumstances {
    /// The circumstances of a report that begins now.
    pub fn beginning(threads: usize, seed: u64, quick: bool) -> Self {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self { threads, seed, date, quick, load_before: machine::load() }
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
    let mut report = of_workloads(circumstances, &workloads::all(&Targets::of(&tier), size), plan, watch)?;
    let pool = sample::pool(report.run.threads)?;
    report.training = pool.install(|| training::measure(&report.run, &tier, dataset, &extent, watch))?;
    Ok(report)
}

/// All of a report but training.
fn of_workloads(
    circumstances: Circumstances,
    workloads: &[Workload],
    plan: Plan,
    watch: &mut Watch<'_>,
) -> Result<Report> {
    let system = System::of_this_machine();
    let threads = circumstances.threads;
    let limits = peaks::limits(threads, &system);
    let points = scaling::points(workloads, threads);
    let subjects: Vec<Subject<'_>> = (limits.iter().map(peaks::Limit::subject))
        .chain(workloads.iter().map(|workload| kernels::subject(workload, threads)))
        .chain(points.iter().map(scaling::Point::subject))
        .collect();
    let mut samples = sample::take(&subjects, plan, watch)?.into_iter();
    drop(subjects);

    let mut next = || samples.next().expect("samples of every subject");
    let mut peaks: Vec<_> = limits.into_iter().map(|limit| limit.with_samples(next())).collect();
    let kernels = workloads.iter().map(|workload| kernels::row(workload, threads, next(), &peaks)).collect();
    peaks.extend(peaks::of_lacking_tiles(threads));
    Ok(Report {
        schema: SCHEMA.to_owned(),
        system,
        build: Build::of_this_program(),
        run: circumstances,
        peaks,
        kernels,
        scaling: scaling::rows(&points, samples),
        training: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::median;

    const OPS: [&str; 3] = ["gemm/NN", "adam/784", "step/images"];

    #[test]
    fn a_report_has_a_row_of_every_workload_and_survives_json() {
        let workloads = OPS.map(|op| Workload::of_numbers(op, "avx2", 8, 4));
        let plan = Plan { rounds: (2, 2), total: Duration::ZERO, visit: Duration::ZERO, samples: 2 };
        let circumstances = Circumstances::beginning(2, 1, true);
        let report = of_workloads(circumstances, &workloads, plan, &mut |_, _| ()).unwrap();
        assert!(report.kernels.iter().map(|row| row.op.as_str()).eq(OPS));
        assert_eq!(report.scaling.iter().map(|row| row.threads).collect::<Vec<_>>(), [1, 2]);
        for row in &report.kernels {
            assert_eq!((row.samples_ns.len(), row.median_ns), (4, median(&row.samples_ns)));
        }
        let peak = |op: &str| report.peaks.iter().find(|row| row.op == op).unwrap();
        assert!(["fma", "copy", "triad"].iter().all(|op| peak(op).rate.unwrap() > 0.0));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn the_date_is_written_as_the_schema_says() {
        let date = Circumstances::beginning(1, 1, false).date;
        assert_eq!((date.len(), &date[10..11], &date[19..]), (20, "T", "Z"));
    }
}
